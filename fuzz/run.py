"""Fuzz what reads and what writes texts: `python fuzz/run.py [SECONDS] [TARGET …]`.

atheris gives each target of targets.py ever other bytes, led by which code they reach, for SECONDS
each, on all cores. What it learned stays in .fuzz/ and is where the next run begins. Bytes that
break a promise, take ten seconds or two gigabytes are kept in .fuzz/found/; each becomes a test.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".fuzz"
MAX_LENGTH = 20_000
"""Bytes: long enough for a few cards."""

_DONE = re.compile(r"Done (\d+) runs")
_STATE = re.compile(r"#(\d+)\s.*cov: (\d+)")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["dailypapers", "pylatexenc", "linkify_it", "feedgen"]):
        from fuzz.targets import TARGETS
    TARGETS[name](b"")  # what is loaded once is no part of what is timed
    corpus, tokens, found = FOLDER / name, FOLDER / "tokens", FOLDER / "found"
    options = [
        f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=10", "-rss_limit_mb=2000",
        f"-dict={tokens}", f"-artifact_prefix={found}/{name}-", "-print_final_stats=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


def prepare(names: Sequence[str]) -> None:
    """Write the seeds of each target, and the tokens of all."""
    from fuzz.seeds import TOKENS, list_seeds

    (FOLDER / "found").mkdir(parents=True, exist_ok=True)
    quoted = ("".join(f"\\x{byte:02x}" for byte in token.encode()) for token in TOKENS)
    (FOLDER / "tokens").write_text("".join(f'"{token}"\n' for token in quoted))
    for name in names:
        (FOLDER / name).mkdir(exist_ok=True)
        for number, seed in enumerate(list_seeds(name)):
            (FOLDER / name / f"seed-{number}").write_bytes(seed)


def run(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether nothing was found."""
    command = [sys.executable, __file__, "--one", name, str(seconds)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, errors="replace")
    (FOLDER / f"{name}.log").write_text(done.stdout + done.stderr)
    states = _STATE.findall(done.stderr) or [("0", "0")]
    runs = _DONE.findall(done.stderr) or [states[-1][0]]
    verdict = "nothing found" if done.returncode == 0 else f"FOUND: see .fuzz/{name}.log"
    print(f"{name:15} {int(runs[-1]):>11,} runs {int(states[-1][1]):>6,} edges  {verdict}",
          flush=True)  # fmt: skip
    return done.returncode == 0


def read_arguments(number: str, default: int, known: Collection[str]) -> tuple[int, list[str]]:
    """A number of the command line, and the names after it, or all that are known."""
    parser = argparse.ArgumentParser()
    parser.add_argument(number, nargs="?", type=int, default=default)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(known):
        parser.error(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return getattr(options, number), options.names or list(known)


def main() -> None:
    """Fuzz the named targets, or all."""
    from fuzz.targets import TARGETS

    seconds, names = read_arguments("seconds", 60, TARGETS)
    prepare(names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        good = list(pool.map(lambda name: run(name, seconds), names))
    sys.exit(not all(good))


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], int(sys.argv[3]))
    main()
