"""Several processes: the same database as one makes, and none left over, whatever happens."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dailypapers.catalogue import Catalogue
from dailypapers.database import write_database
from dailypapers.reading import read_files
from dailypapers.tagging import Tagger, load_vocabulary
from dailypapers.workers import WorkerError, work_beside, work_through

from .conftest import PROJECT
from .pages import card, cards_page
from .processes import is_there, list_children, wait_until

CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")

linux = pytest.mark.skipif(not CHILDREN.exists(), reason="asks Linux for processes")


def write_pages(folder: Path) -> list[Path]:
    """Pages whose papers repeat each other's, with one that nobody can read."""
    folder.mkdir()
    for day in range(1, 9):
        cards = [card(f"Distillation of model {n}") for n in range(day * 10, day * 10 + 25)]
        (folder / f"2025-06-{day:02}.txt").write_bytes(cards_page(*cards, day=f"Jun {day}"))
    (folder / "empty.txt").write_bytes(b"")
    return sorted(folder.iterdir())


def build(pages: list[Path], target: Path) -> None:
    vocabulary = load_vocabulary(PROJECT / "vocabulary.yml")
    tagger = Tagger(vocabulary)
    with read_files(pages, None, tagger, target.parent) as staged:
        write_database(target, Catalogue(staged, tagger), vocabulary)


def test_many_processes_write_what_one_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages = write_pages(tmp_path / "saved")
    build(pages, tmp_path / "one.db")
    monkeypatch.setattr("dailypapers.reading.MANY_BYTES", 0)
    for target, processors in ("file.db", 1), ("many.db", 3):
        for module in "reading", "database":
            monkeypatch.setattr(f"dailypapers.{module}.count_processors", lambda n=processors: n)
        monkeypatch.setattr("dailypapers.database.MANY", 0)
        build(pages[::-1], tmp_path / target)
        assert (tmp_path / target).read_bytes() == (tmp_path / "one.db").read_bytes()
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".db"}


def double(number: int) -> int:
    return 2 * number


def end_at_five(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise sqlite3.OperationalError(f"no {number}")


def test_each_task_is_done_once() -> None:
    assert sorted(work_through(range(100), [double, double, double])) == list(range(0, 200, 2))
    assert list(work_through([], [double])) == []


def test_a_killed_worker_and_one_that_fails_are_told() -> None:
    with pytest.raises(WorkerError, match="was killed by signal 9"):
        list(work_through(range(10), [end_at_five, end_at_five]))
    with pytest.raises(sqlite3.OperationalError, match="no 0"):
        list(work_through([0], [refuse]))
    with pytest.raises(WorkerError), work_beside(lambda: os._exit(3)) as wait_for_it:
        wait_for_it()


@linux
def test_no_worker_is_left_when_the_block_ends() -> None:
    before = CHILDREN.read_text()
    with work_beside(lambda: time.sleep(60)):
        assert CHILDREN.read_text() != before
    results = work_through(range(100), [double, double])
    next(results)
    results.close()
    assert CHILDREN.read_text() == before


BUILD = """
import sys, time
sys.path.insert(0, {project!r})
import dailypapers.reading
dailypapers.reading.MANY_BYTES = 0
dailypapers.reading.count_processors = lambda: 2
dailypapers.reading.read_file = lambda *_: time.sleep(60)
import build
from dailypapers.command import run_command
run_command(build.build, "build.py", "stopped; the database is as it was")
"""


def start_build(folder: Path) -> "subprocess.Popen[str]":
    """A build whose workers sleep instead of reading."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD.format(project=str(PROJECT)), "saved", "--db", "papers.db"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_a_killed_build(tmp_path: Path, number: signal.Signals) -> None:
    write_pages(tmp_path / "saved")
    (tmp_path / "papers.db").write_bytes(b"")
    with start_build(tmp_path) as process:
        wait_until(lambda: len(list_children(process.pid)) == 2)
        workers = list_children(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    ends = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert process.returncode == ends[number]
    assert "Traceback" not in said
    wait_until(lambda: not any(map(is_there, workers)))
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "papers.db"}


@linux
def test_a_killed_worker_costs_one_line_and_not_the_old_file(tmp_path: Path) -> None:
    write_pages(tmp_path / "saved")
    (tmp_path / "papers.db").write_bytes(b"")
    with start_build(tmp_path) as process:
        wait_until(lambda: len(list_children(process.pid)) == 2)
        os.kill(list_children(process.pid)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == (
        "build.py: cannot write papers.db: a process that helps was killed by signal 9; "
        "is there enough memory?\n"
    )
    assert (tmp_path / "papers.db").read_bytes() == b""
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "papers.db"}
