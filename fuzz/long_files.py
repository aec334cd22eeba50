"""What a long file costs that does harm: `python -m fuzz.long_files [MEGABYTES] [NAME …]`.

Files of one start and one unit, which is repeated, are read by a process each, on all cores. Prints
for each how long that took, the most memory the process held, in MB and by the size of the file,
and what came of it; exits with 1 where a process failed or held too much.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.run import read_arguments
from tests.pages import abstract, card

PROJECT = Path(__file__).resolve().parent.parent
SITE = "https://huggingface.co"
PAPER = f"{SITE}/papers/2401.00001"
HEAD = f"### [T]({PAPER})\n"
ARTICLE = '<article><h3><a href="/papers/2401.00001">T</a></h3>'

UNITS = {
    "cards": ("", card("A made-up title")),
    "API": ("[", f'{{"paper":{{"title":"A made-up title","summary":"{abstract()}"}}}},\n'),
    "dots": ("", "·\n"),
    "bullets": ("", "• 1 authors\n"),
    "lines in cards": ("·\n", "a\n"),
    "dates": ("·\n", "Jan 1\n"),
    "blanks": ("·\n", " "),
    "digits": ("·\n•", "1"),
    "organizations": ("·\n", "a b\n·\n"),
    "no line end": ("", "a"),
    "next lines": ("Subscribe\nT\n", "\x85"),
    "pairs": (f"Subscribe\nT\n{abstract()}\n", "a\nb.\n"),
    "buttons": ("", "Subscribe\n"),
    "markdown titles": ("", HEAD),
    "markdown open": (HEAD, "[\n"),
    "markdown lines": (f"{HEAD}[", "a](b)\n"),
    "markdown pictures": (HEAD, "!["),
    "markdown ends": ("### [", f"]({SITE}/papers/ "),
    "markdown backslashes": (f"{HEAD}[", "\\"),
    "markdown dates": (HEAD, f"[n]({SITE}/nvidia)\n·\nJan 1[2](x)\n"),
    "numbered titles": ("### [T][1]\n", "### [T][1]\n"),
    "numbered open": ("### [T][1]\n", "[\n"),
    "numbered block": ("### [T][1]\n[\n", "a\n"),
    "numbered ends": ("### [", "][1]"),
    "numbered blanks": ("### [T][1]\n]", " "),
    "numbered targets": ("### [T][1]\n", "[1]: http://a\n"),
    "addresses": (f"T\n{PAPER}\n", f"T\n{PAPER}\n"),
    "texts": (f"T\n{PAPER}\n", "a\n"),
    "a long address": (f"T\n{PAPER}\nT\n{SITE}", "/papers/a"),
    "percent signs": (f"T\n{PAPER}\nT\n{SITE}/papers/", "%"),
    "numbers": ("[", "1,"),
    "lists": ("[", "[],"),
    "nested": ("", '{"a":[\n'),
    "a list without an end": ('{"a":[', '1,\n{"a":1},'),
    "damaged lines": ("", '{"paper" x\n'),
    "one string": ('["', "\\\\"),
    "one number": ("[", "1"),
    "small papers": ("[", '{"paper":{"title":"a"}},'),
    "repeated papers": ("[", '{"paper":{"title":"a","id":"2401.00001"}},'),
    "articles": ("<html>", "<article>"),
    "tags": ("<html>", "<a "),
    "angles": ("<html>", "<"),
    "attributes": ("<html><div ", "a=b "),
    "quotes": ("<html>", "<a b='\">"),
    "equal signs": ("<html><div ", "="),
    "comments": ("<html>", "<!--"),
    "scripts": ("<html>", "<script></script>"),
    "targets": ("<html>", '<a data-target="DailyPapers"'),
    "headings": ("<html><article>", "<h3>"),
    "cards in HTML": ("<html>", f"{ARTICLE}</article>"),
    "entities": (f"<html>{ARTICLE[:-9]}", "&amp;"),
    "data": ('<html><div data-target="DailyPapers" data-props="[', "[],"),
    "deep cards": ("<html>", "<article>" + "<div>" * 400 + "a</article>"),
    "bylines of dots": ("<html>", f"{ARTICLE}{'·' * 9_000}</article>"),
    "paragraphs": ("<html>", "<article><h3>T</h3>" + "<p>a" * 400 + "</article>"),
    "saved from": ("<html>", f"saved from url=(1){SITE}/papers?q=a"),
}

MOST = 8
"""Times the size of the file that a process may hold, besides SMALL."""

SMALL = 400
"""MB that a small file may take: cards and lines that are just not too many."""

_READ = """
import sys
from pathlib import Path
from dailypapers.readers import read_listing
read = read_listing("2025-12-30.txt", Path(sys.argv[1]).read_bytes())
lost = sum(problem.count for problem in read.problems)
first = min((problem.message for problem in read.problems), default="")
print(f"{len(read.entries):,} entries, {lost:,} problems | {first}")
"""


def fill(start: str, unit: str, length: int) -> str:
    """A file of so many characters."""
    return (start + unit * (length // len(unit) + 1))[:length]


def write_file(path: Path, start: str, unit: str, size: int) -> None:
    """A file of about so many bytes. It is never in the memory of this process, which counts for
    those that it starts."""
    block = unit.encode() * (100_000 // len(unit) + 1)
    with path.open("wb") as file:
        file.write(start.encode())
        while file.tell() < size:
            file.write(block)


def read_alone(name: str, folder: Path, size: int) -> bool:
    """Read a file of so many bytes in a process, and say what it cost."""
    path = folder / name
    write_file(path, *UNITS[name], size)
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _READ, path], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        said = process.stdout.read().strip() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, size = time.perf_counter() - began, path.stat().st_size
    path.unlink()
    held = used.ru_maxrss * 1024
    is_good = process.returncode == 0 and held < MOST * size + SMALL * 1e6
    verdict = said if is_good else f"**{said or 'FAILED'}**"
    print(f"| {name} | {seconds:.1f} s | {held / 1e6:,.0f} MB | {held / size:.1f} | {verdict} |",
          flush=True)  # fmt: skip
    return is_good


def main() -> None:
    """Read the named files, or all."""
    megabytes, names = read_arguments("megabytes", 100, UNITS)
    print("| file | time | peak | times the file | outcome | first problem |")
    print("|---|---|---|---|---|---|")
    size = megabytes * 1_000_000
    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        good = list(pool.map(lambda name: read_alone(name, Path(folder), size), names))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
