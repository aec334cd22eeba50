import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dailypapers.listing import Entry, Listing
from dailypapers.readers import read_listing

from .conftest import PROJECT

BENCH = PROJECT / "bench"
PAPERS = 1_100


def write_pages(folder: Path) -> dict[str, bytes]:
    command = [sys.executable, BENCH / "listing_pages.py", folder, str(PAPERS)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_pages(pages: dict[str, bytes]) -> list[Listing]:
    return [read_listing(name, content) for name, content in pages.items()]


def list_entries(listings: list[Listing]) -> list[Entry]:
    return [entry for listing in listings for entry in listing.entries]


def average_length(entries: list[Entry]) -> float:
    return sum(len(entry.abstract or "") for entry in entries) / len(entries)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("building")


def test_made_up_pages_are_the_same_each_time(pages: dict[str, bytes], tmp_path: Path) -> None:
    assert write_pages(tmp_path) == pages


def test_made_up_pages_are_read_without_a_problem(pages: dict[str, bytes]) -> None:
    listings = read_pages(pages)
    assert [listing.problems for listing in listings] == [()] * 3
    assert {listing.format for listing in listings} == {"cards"}
    assert [listing.file for listing in listings] == [f"{one.listed_on}.txt" for one in listings]


def test_made_up_pages_list_as_many_papers_as_asked_some_again(pages: dict[str, bytes]) -> None:
    titles = [entry.title for entry in list_entries(read_pages(pages))]
    assert len(set(titles)) == PAPERS
    assert 1.01 < len(titles) / PAPERS < 1.1


def test_made_up_abstracts_are_as_long_as_the_sample_s(pages: dict[str, bytes]) -> None:
    sample = {path.name: path.read_bytes() for path in (PROJECT / "listings").glob("00*.txt")}
    made_up, real = (list_entries(read_pages(some)) for some in (pages, sample))
    assert average_length(made_up) == pytest.approx(average_length(real), rel=0.1)


def test_a_watched_program_has_the_stages_that_it_says(
    building: ModuleType, tmp_path: Path
) -> None:
    program = """
import sys
print("page.txt: 3 cards, 3 entries", file=sys.stderr)
print("\\r\\x1b[Kwriting tables", file=sys.stderr)
held = bytes(60_000_000)
print("indexing", file=sys.stderr)
"""
    stages = building.run_stages([sys.executable, "-c", program], tmp_path, "reading")
    assert [stage.name for stage in stages] == ["reading", "writing tables", "indexing"]
    assert all(stage.seconds > 0 for stage in stages)


def test_a_watched_program_that_fails_is_not_measured(building: ModuleType, tmp_path: Path) -> None:
    program = "raise SystemExit('nothing to build')"
    with pytest.raises(RuntimeError, match="nothing to build"):
        building.run_stages([sys.executable, "-c", program], tmp_path, "reading")


def test_bench_prints_each_figure_beside_its_floor() -> None:
    command = [sys.executable, BENCH / "performance.py", "200", "--no-related"]
    short = ["--rounds", "2", "--seconds", "0.2"]
    done = subprocess.run(
        [*command, *short], check=True, capture_output=True, text=True, timeout=120
    )
    rows = [line.strip("|").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    figures = {row[0].strip(): row[1:] for row in rows[2:]}
    compared = {what for what, row in figures.items() if row[2].strip()}
    assert done.stderr == ""
    assert {"build, without related papers", "home", "a paper", "a rare tag", "feed"} <= compared
    assert {"search: common words", "papers as JSON, one process", "all papers as CSV"} <= compared
    assert all(float(figures[what][2].replace(",", "")) > 0 for what in compared)
    assert {row[3].partition(":")[0].strip() for row in figures.values()} >= {"under 50 ms"}
