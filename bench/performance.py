"""How fast the project is for N papers: `python bench/performance.py N`, or `make bench N=…`.

Makes listing pages, builds them, serves the result on this machine, and prints a table in
Markdown: each figure beside its floor, the least that the same work takes without the project,
measured in the same run. It is the ratio that counts; other load slows both.
"""

import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import click
from building import (
    RELATED,
    Stage,
    build_barely,
    build_database,
    copy_project,
    measure_own_memory,
)
from calls import Call, list_calls, list_paper_ids, stream_csv
from listing_pages import write_listings
from serving import (
    RefusedError,
    Times,
    connect,
    fetch,
    measure_load,
    run_server,
    serve_barely,
    serve_site,
    time_call,
    time_unchanged,
)

BUILD_RATIO = 1.4
BUILD_MEMORY = 700
START_SECONDS = 2
TWO_PROCESSES = 1.8
"""What is asked of the project: times the floor, MB, seconds until a server's first answer, and
how many times the requests of one process."""


@dataclass(frozen=True)
class Line:
    """A line of the table; `holds` says whether its bound is kept, None where it has none."""

    what: str
    ours: str
    floor: str = ""
    ratio: float | None = None
    bound: str = ""
    holds: bool | None = None

    def print(self) -> None:
        """As a row of a table in Markdown."""
        ratio = "" if self.ratio is None else f"{self.ratio:,.2f}"
        verdict = "" if self.holds is None else f"{self.bound}: {'yes' if self.holds else '**no**'}"
        click.echo(f"| {self.what} | {self.ours} | {self.floor} | {ratio} | {verdict} |")


def measure_build(project: Path, count: int, related: bool) -> Iterator[Line]:
    """Build a copy of the project, then build the same barely; what each stage took."""
    say("writing listings")
    copy_project(project)
    yield Line("cards on the listing pages", f"{write_listings(project / 'listings', count):,}")
    say("building")
    stages = build_database(project, related)
    built, barely = project / "db" / "daily.db", project / "db" / "bare.db"
    say("building barely")
    barely.unlink(missing_ok=True)
    yield from describe_build(stages, build_barely(built, barely))
    ours, floor = (path.stat().st_size / 1e6 for path in (built, barely))
    yield Line("size of the database", f"{ours:,.0f} MB", f"{floor:,.0f} MB", ours / floor)
    barely.unlink()


def describe_build(stages: Sequence[Stage], bare: Sequence[Stage]) -> Iterator[Line]:
    own = [stage for stage in stages if stage.name != RELATED]
    ours, floor = (sum(stage.seconds for stage in some) for some in (own, bare))
    yield Line(
        "build, without related papers", f"{ours:,.1f} s", f"{floor:,.1f} s", ours / floor,
        f"at most {BUILD_RATIO}", ours / floor <= BUILD_RATIO,
    )  # fmt: skip
    ours, floor = (sum(stage.processor for stage in some) for some in (own, bare))
    if floor:
        yield Line("… time of processors", f"{ours:,.1f} s", f"{floor:,.1f} s", ours / floor)
    ours, floor = (max(stage.peak for stage in some) for some in (own, bare))
    if floor:
        yield Line(
            "… peak memory", f"{ours:,.0f} MB", f"{floor:,.0f} MB", ours / floor,
            f"under {BUILD_MEMORY} MB", ours < BUILD_MEMORY,
        )  # fmt: skip
    for stage in stages:
        yield Line(f"… {stage.name}", describe_stage(stage))
    for stage in bare:
        yield Line(f"… floor: {stage.name}", "", describe_stage(stage))


def describe_stage(stage: Stage) -> str:
    memory = f", {stage.peak:,.0f} MB" if stage.peak else ""
    return f"{stage.seconds:,.1f} s{memory}"


def measure_site(project: Path, rounds: int) -> Iterator[Line]:
    """Serve with one process: the start, each call, and what it keeps in memory afterwards."""
    with closing(connect_barely(project)) as database, run_server(serve_site(project)) as server:
        yield Line(
            "start of the server until home", f"{server.seconds:,.1f} s",
            bound=f"under {START_SECONDS} s", holds=server.seconds < START_SECONDS,
        )  # fmt: skip
        for call in list_calls(database):
            say(call.name)
            yield measure_call(server.port, database, call, rounds)
        paper = list_paper_ids(database)[0]
        for name, path in ("home", "/"), ("a paper", f"/daily/papers/{paper}"):
            times = time_unchanged(server.port, path, rounds)
            yield describe_times(f"{name}, unchanged (floor: all of it)", times)
        say("a CSV of all papers")
        yield measure_csv(server.port, database)
        memory = measure_own_memory(server.pid)
        yield Line("the server's memory, without the mapped file", f"{memory:,.0f} MB")


def measure_call(port: int, database: sqlite3.Connection, call: Call, rounds: int) -> Line:
    try:
        times = time_call(port, database, call, rounds)
    except RefusedError:
        return Line(call.name, "refused", bound=f"under {call.bound} ms", holds=False)
    return describe_times(call.name, times, call.bound)


def find_database(project: Path) -> Path:
    return project.resolve() / "db" / "daily.db"


def connect_barely(project: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{find_database(project)}?mode=ro&immutable=1", uri=True)


def describe_times(name: str, times: Times, bound: int | None = None) -> Line:
    ours, floor = find_percentiles(times.ours), find_percentiles(times.floor)
    left, right = (f"{half:,.1f} / {most:,.1f} ms" for half, most in (ours, floor))
    holds = None if bound is None else ours[1] < bound
    return Line(name, left, right, ours[0] / max(floor[0], 0.001), f"under {bound} ms", holds)


def find_percentiles(times: Sequence[float]) -> tuple[float, float]:
    """The median, and the 95th percentile."""
    return statistics.median(times), sorted(times)[int(len(times) * 0.95 - 0.01)]


def measure_csv(port: int, database: sqlite3.Connection) -> Line:
    began = time.perf_counter()
    stream_csv(database)
    bare = time.perf_counter()
    fetch(connect(port), "/daily/papers.csv?_stream=on")
    ours = time.perf_counter() - bare
    floor = bare - began
    return Line("all papers as CSV", f"{ours:,.1f} s", f"{floor:,.1f} s", ours / floor)


def measure_throughput(project: Path, seconds: float) -> Iterator[Line]:
    """Answers a second of one process and of two, beside a bare application's."""
    with closing(connect_barely(project)) as database:
        papers = list_paper_ids(database)
    own = [f"/daily/papers/{paper}.json?_shape=array" for paper in papers]
    bare = [f"/paper/{paper}" for paper in papers]
    rows = ["/daily/papers.json?_shape=array&_size=100"]
    asked = {"papers as JSON": (own, bare), "100 rows as JSON": (rows, ["/list"])}
    alone: dict[str, float] = {}
    for workers in 1, 2:
        say(f"requests a second, {workers}")
        with run_server(serve_site(project, workers)) as server:
            loads = {
                name: measure_load(server.port, paths, seconds)
                for name, (paths, _) in asked.items()
            }
        with run_server(serve_barely(find_database(project), workers)) as server:
            floors = {
                name: measure_load(server.port, paths, seconds)
                for name, (_, paths) in asked.items()
            }
        for name, load in loads.items():
            yield describe_load(name, load, floors[name], alone.get(name))
        alone = loads


def describe_load(name: str, load: float, floor: float, alone: float | None) -> Line:
    """`alone` is what one process did, where there are two."""
    processes = "two processes" if alone else "one process"
    ours, barely = (f"{number:,.0f} a second" for number in (load, floor))
    bound = f"at least {TWO_PROCESSES} times one" if alone else ""
    holds = load >= TWO_PROCESSES * alone if alone else None
    return Line(f"{name}, {processes}", ours, barely, load / floor, bound, holds)


def say(stage: str) -> None:
    """Progress, for people at a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{stage} …", err=True, nl=False)


@click.command()
@click.argument("count", type=click.IntRange(min=100), metavar="N")
@click.option("--related/--no-related", default=True, help="Find related papers, too.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=40, help="How often each call is made."
)
@click.option("--seconds", type=float, default=4.0, help="How long each load lasts.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep what is made there.")
@click.option("--build/--no-build", default=True, help="Build, or serve what the folder holds.")
def main(
    count: int, related: bool, rounds: int, seconds: float, folder: Path | None, build: bool
) -> None:
    """Measure the build and the site for N made-up papers."""
    began = time.monotonic()
    click.echo(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} processors\n\n"
        f"| {count:,} papers | ours | floor | ratio | bound |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        project = folder or Path(temporary)
        built = measure_build(project, count, related) if build else ()
        for line in chain(
            built, measure_site(project, rounds), measure_throughput(project, seconds)
        ):
            line.print()
    say(f"{time.monotonic() - began:,.0f} seconds\n")


if __name__ == "__main__":
    main()
