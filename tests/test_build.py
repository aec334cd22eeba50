"""build.py as a user runs it: its words, its exit codes, and what it leaves behind."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import PROJECT, Build, Query
from .pages import card, cards_page, dense_page


def titles(query: Query) -> list[str]:
    return [title for (title,) in query("select title from papers order by title")]


def test_it_says_what_it_read_and_how_to_go_on(build: Build, query: Query, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "2025-12-29.txt").write_bytes(cards_page(card("One"), card("Two")))
    (folder / "2025-12-30.txt").write_bytes(cards_page(card("Two"), card("Three", "")))
    run = build("saved")
    assert run.returncode == 0
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert lines[0].startswith("saved/2025-12-30.txt:21: warning: the card has no abstract; ")
    assert lines[1:4] == [
        "2025-12-29.txt: 2 cards, 2 entries, 2 new papers, 0 repeated, 0 problems",
        "2025-12-30.txt: 2 cards, 2 entries, 1 new paper, 1 repeated, 1 problem",
        "2 files: 4 cards, 3 papers, 1 repeated, 1 problem",
    ]
    assert lines[4].startswith("Wrote papers.db (")
    assert lines[4].endswith("Serve it: datasette . -i papers.db --cors")
    assert titles(query) == ["One", "Three", "Two"]


def test_bad_files_cost_only_themselves(build: Build, query: Query, tmp_path: Path) -> None:
    bad = {
        "empty.txt": b"",
        "picture.txt": b"\x89PNG\r\n\x1a\n\x00\x00",
        "program.bin": Path(sys.executable).read_bytes()[:5_000],
        "prose.txt": b"Nothing here is a card.\n",
        "no-cards.txt": cards_page(),
        "page.html": b"<html><body>A page</body></html>",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "nothing").mkdir()
    good = tmp_path / "good.txt"
    good.write_bytes(cards_page(card("Whole")))
    run = build("missing.txt", "nothing", *bad, "good.txt")
    assert run.returncode == 0
    assert titles(query) == ["Whole"]
    reported = dict(
        query("select file, message from problems p join listings l on l.id = p.listing")
    )
    assert reported.keys() == {"missing.txt", "nothing", *bad}
    for name, message in reported.items():
        assert re.search(rf"^{name}(:\d+)?: error: {re.escape(message)}$", run.stderr, re.MULTILINE)
        assert ";" in message or "?" in message, "says what to do"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings_are_read(
    build: Build, query: Query, tmp_path: Path, encoding: str
) -> None:
    page = cards_page(card("Résumé"), card("Two")).decode().replace("\n", "\r\n")
    (tmp_path / "page.txt").write_bytes(page.encode(encoding))
    assert build("page.txt").returncode == 0
    assert titles(query) == ["Résumé", "Two"]


def test_200_megabytes_in_one_line_are_refused_quickly(
    build: Build, query: Query, tmp_path: Path
) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(200_000_000)
    (tmp_path / "good.txt").write_bytes(cards_page(card("Whole")))
    run = build("huge.txt", "good.txt")
    assert run.returncode == 0
    assert "huge.txt: error: not read: 200 MB is too large for a listing page" in run.stderr
    assert titles(query) == ["Whole"]


def test_strict_fails_on_any_problem_and_keeps_the_old_file(build: Build, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_bytes(cards_page(card("Whole")))
    (tmp_path / "bad.txt").write_bytes(b"")
    assert build("good.txt", "--strict").returncode == 0
    before = (tmp_path / "papers.db").read_bytes()
    run = build("good.txt", "bad.txt", "--strict")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "build.py: 1 problem and --strict; papers.db is left as it was"
    )
    assert (tmp_path / "papers.db").read_bytes() == before


def test_no_paper_at_all_replaces_nothing(build: Build, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_bytes(cards_page(card("Whole")))
    (tmp_path / "bad.txt").write_bytes(b"")
    build("good.txt")
    before = (tmp_path / "papers.db").read_bytes()
    run = build("bad.txt")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "build.py: no paper was read; papers.db is left as it was"
    assert (tmp_path / "papers.db").read_bytes() == before


def test_wrong_use_exits_2_with_one_line(build: Build, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes(cards_page(card("Whole")))
    (tmp_path / "empty").mkdir()
    for arguments, says in [
        (["--years", "2025"], "No such option"),
        (["--year", "soon"], "'soon' is not a valid integer range"),
        (["page.txt", "--db", "page.txt"], "page.txt is not a database; choose another --db"),
        (["page.txt", "--db", "empty"], "'empty' is a directory"),
    ]:
        run = build(*arguments)
        assert (run.returncode, run.stdout) == (2, "")
        [line] = run.stderr.splitlines()
        assert says in line
    for arguments in (["missing.txt"], ["empty"]):
        run = build(*arguments)
        assert run.returncode == 2
        assert run.stderr.splitlines()[-1] == (
            "build.py: no listing to read; name saved pages or a folder of them"
        )
    assert (tmp_path / "page.txt").read_bytes() == cards_page(card("Whole"))


@pytest.mark.parametrize("target", ["page.txt/papers.db", "/dev/null/papers.db", "/proc/papers.db"])
def test_unwritable_database_says_so(build: Build, tmp_path: Path, target: str) -> None:
    (tmp_path / "page.txt").write_bytes(cards_page(card("Whole")))
    run = build("page.txt", "--db", target)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"build.py: cannot write {target}: ")


def test_database_may_have_any_name_and_be_a_link(build: Build, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes(cards_page(card("Whole")))
    assert build("page.txt", "--db", "a?b#c %41.db").returncode == 0
    (tmp_path / "link.db").symlink_to("a?b#c %41.db")
    assert build("page.txt", "--db", "link.db").returncode == 0
    assert (tmp_path / "link.db").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"page.txt", "a?b#c %41.db", "link.db"}


def test_year_option_dates_the_page(build: Build, query: Query, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes(cards_page(card("A", byline="  • 1 authors\n·\nJun 3 2")))
    build("page.txt", "--year", "2023")
    assert query("select published, year, comments from papers") == [("2023-06-03", 2023, 2)]
    assert query("select year_source, listed_on from listings") == [("option", "2023-12-30")]


def test_same_inputs_give_the_same_bytes(build: Build, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(PROJECT / "listings", elsewhere)
    files = sorted((PROJECT / "listings").glob("*.txt"))
    one = build(*files, "--db", "one.db", TZ="UTC", PYTHONHASHSEED="1", LC_ALL="C")
    two = build(
        *[elsewhere / file.name for file in reversed(files)], "--db", "two.db",
        TZ="Pacific/Kiritimati", PYTHONHASHSEED="2", LC_ALL="C.UTF-8",
    )  # fmt: skip
    assert (one.returncode, two.returncode) == (0, 0)
    assert (tmp_path / "one.db").read_bytes() == (tmp_path / "two.db").read_bytes()


def test_killed_build_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(cards_page(card("Old")))
    (tmp_path / "new.txt").write_bytes(dense_page(*(f"Paper number {n}" for n in range(3_000))))
    command = [sys.executable, str(PROJECT / "build.py"), "--db", "papers.db"]
    subprocess.run([*command, "old.txt"], cwd=tmp_path, check=True, capture_output=True)
    before = hashlib.sha256((tmp_path / "papers.db").read_bytes()).hexdigest()
    process = subprocess.Popen([*command, "new.txt"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    unfinished = tmp_path / ".papers.db.building"
    while not unfinished.exists():
        assert process.poll() is None, "the build ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert unfinished.exists()
    assert hashlib.sha256((tmp_path / "papers.db").read_bytes()).hexdigest() == before
    subprocess.run([*command, "new.txt"], cwd=tmp_path, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"old.txt", "new.txt", "papers.db"}
    connection = sqlite3.connect(tmp_path / "papers.db")
    assert connection.execute("select count(*) from papers").fetchone() == (3_000,)


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: writing fails halfway through."""
    (tmp_path / "old.txt").write_bytes(cards_page(card("Old")))
    (tmp_path / "new.txt").write_bytes(dense_page(*(f"Paper number {n}" for n in range(3_000))))
    build = f"{sys.executable} {PROJECT / 'build.py'} --db papers.db"
    subprocess.run(f"{build} old.txt", shell=True, cwd=tmp_path, check=True, capture_output=True)
    before = (tmp_path / "papers.db").read_bytes()
    run = subprocess.run(
        f"trap '' XFSZ; ulimit -f 500; {build} new.txt",
        shell=True, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("build.py: cannot write papers.db: ")
    assert (tmp_path / "papers.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"old.txt", "new.txt", "papers.db"}


def test_two_builds_at_once_do_each_other_no_harm(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes(dense_page(*(f"Paper number {n}" for n in range(300))))
    command = [sys.executable, str(PROJECT / "build.py"), "--db", "papers.db", "page.txt"]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    connection = sqlite3.connect(tmp_path / "papers.db")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert {path.name for path in tmp_path.iterdir()} == {"page.txt", "papers.db"}


def test_database_in_db_is_announced_to_datasette(sample: Path, tmp_path: Path) -> None:
    """A copy of the project, so that this one's inspect-data.json is left alone."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "db", "tests", "*.json"))
    run = subprocess.run(
        [sys.executable, "build.py"], cwd=copy, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )  # fmt: skip
    assert run.stderr.splitlines()[-1].endswith("Serve it: make serve")
    told = json.loads((copy / "inspect-data.json").read_text())["daily"]
    content = (copy / "db" / "daily.db").read_bytes()
    assert content == sample.read_bytes()
    assert (told["size"], told["hash"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (told["file"], told["tables"]["papers"]) == ("db/daily.db", {"count": 436})
