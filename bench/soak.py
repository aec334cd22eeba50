"""A real server under visitors of all sorts, for minutes: `python bench/soak.py --seconds 600`.

Serves made-up papers as the Procfile does, puts a new database under the site now and then, and
ends it while answers are in flight. Prints what was asked and what failed, what the server held
meanwhile, and how it ended; exits with 1 where anything was lost.
"""

import asyncio
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click
from building import build_database, copy_project, read_kilobytes
from listing_pages import write_listings
from serving import run_server, serve_site
from visitors import ALL_ROWS, Record, Visitor, connect, read_places

from dailypapers.files import replace_file
from dailypapers.finishing import write_inspect_data

LOOK_SECONDS = 5
STREAMS = 10
"""Answers that are in flight when the server is told to end."""

LINES = 12
"""Of the table of what the server held."""


class Held(NamedTuple):
    """What the server's processes hold after so many seconds; memory in MB."""

    seconds: float
    memory: float
    files: int
    threads: int


@dataclass(frozen=True)
class End:
    """How the server ended, and how many of STREAMS were whole."""

    code: int
    seconds: float
    whole: int


@click.command()
@click.option("--seconds", default=600, help="How long visitors come.")
@click.option("--connections", default=50, help="How many visitors there are at once.")
@click.option("--pause", default=1.0, help="Seconds between two visits of one, on average.")
@click.option("--papers", default=5_000, help="How many papers the database holds.")
@click.option("--switch", default=60, help="Seconds after which the database is replaced.")
@click.option("--seed", default=1)
def soak(seconds: int, connections: int, pause: float, papers: int, switch: int, seed: int) -> None:
    """Load a site, and say what held."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        copy_project(project)
        write_listings(project / "listings", papers)
        build_database(project)
        database = project / "db" / "daily.db"
        with run_server(serve_site(project), project / "log.txt") as server:
            places, record = read_places(database), Record()
            visitors = [Visitor(server.port, places, seed + n, record) for n in range(connections)]
            jobs = visit_all(visitors, seconds, pause), replace_often(database, seconds, switch)
            held = asyncio.run(watch(server.pid, seconds, *jobs))
            end = asyncio.run(stop(server.process, server.port))
        errors = find_errors(project / "log.txt")
    report_visits(record, seconds)
    report_held(held)
    click.echo("\n" + "\n".join(["Errors in the server's log:", *(errors or ["none"])]))
    click.echo(f"SIGTERM: {end.whole} of {STREAMS} answers in flight were whole, "
               f"exit code {end.code} after {end.seconds:.1f} s")  # fmt: skip
    if record.failures or errors or end.code or end.whole < STREAMS:
        sys.exit(1)


async def visit_all(visitors: Sequence[Visitor], seconds: float, pause: float) -> None:
    deadline = time.monotonic() + seconds
    await asyncio.gather(*(visitor.visit(deadline, pause) for visitor in visitors))


async def replace_often(database: Path, seconds: float, pause: float) -> None:
    """Put the same papers under the site again and again, which it cannot know to be the same."""
    deadline = time.monotonic() + seconds - pause / 2
    while time.monotonic() + pause < deadline:
        await asyncio.sleep(pause)
        await asyncio.to_thread(replace, database)


def replace(database: Path) -> None:
    with replace_file(database, "new") as part:
        shutil.copyfile(database, part)
    write_inspect_data(database, database.parent.parent / "inspect-data.json")


async def watch(pid: int, seconds: float, *jobs: object) -> list[Held]:
    """What the server held while the jobs ran, and a little after."""
    began, held = time.monotonic(), []
    running = asyncio.gather(*jobs)
    while not running.done():
        held.append(look(pid, time.monotonic() - began))
        await asyncio.wait([running], timeout=LOOK_SECONDS)
    await running
    return held


def look(pid: int, seconds: float) -> Held:
    held = Held(seconds, 0, 0, 0)
    for process in list_processes(pid):
        with suppress(OSError):  # a visitor's statement, whose process has ended meanwhile
            files, threads = (
                sum(1 for _ in Path(f"/proc/{process}/{kind}").iterdir()) for kind in ("fd", "task")
            )
            memory = held.memory + read_memory(process)
            held = Held(seconds, memory, held.files + files, held.threads + threads)
    return held


def list_processes(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended meanwhile
        return []
    return [pid, *(below for child in children for below in list_processes(int(child)))]


def read_memory(pid: int) -> float:
    """MB of its own, without the mapped database and what forks share."""
    return read_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss_Anon") / 1e3


async def stop(server: subprocess.Popen[bytes], port: int) -> End:
    """Tell the server to end while visitors read all rows, and let them read on after a second."""
    connections = [await connect(port, buffer=4096) for _ in range(STREAMS)]
    for connection in connections:
        connection.send(ALL_ROWS, {})
        await connection.reader.readexactly(1)
    server.send_signal(signal.SIGTERM)
    began = time.monotonic()
    await asyncio.sleep(1)
    ends = await asyncio.gather(*(read_to_end(one.reader) for one in connections))
    code = await asyncio.to_thread(server.wait, 60)
    return End(code, time.monotonic() - began, sum(ends))


async def read_to_end(reader: asyncio.StreamReader) -> bool:
    """Whether the answer was whole."""
    last = b""
    try:
        while part := await reader.read(65536):
            last = (last + part)[-8:]
    except ConnectionError:
        return False
    return last.endswith(b"\r\n0\r\n\r\n")


def find_errors(log: Path) -> list[str]:
    """Answers of the 500s, and what nobody caught, with where it came from."""
    lines = log.read_text("utf-8", "replace").splitlines()
    errors = [line for line in lines if '" 5' in line]
    for number, line in enumerate(lines):
        if line.startswith("Traceback"):
            end = next((i for i, later in enumerate(lines[number + 1 :]) if later[:1] != " "), 0)
            errors.append(" … ".join(lines[number + end - 1 : number + end + 2]))
    return errors


def report_visits(record: Record, seconds: float) -> None:
    asked = sum(map(len, record.times.values()))
    failed = sum(record.failures.values())
    click.echo(f"{asked:,} requests in {seconds} s ({asked / seconds:.0f} a second), "
               f"{record.bytes / 1e6:,.0f} MB, {failed} failed\n")  # fmt: skip
    click.echo("| what | requests | median ms | 95 % | 99 % | longest |\n|---|---|---|---|---|---|")
    for kind, times in sorted(record.times.items()):
        ranks = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
        figures = [ranks[49], ranks[94], ranks[98], max(times)]
        told = " | ".join(f"{figure:,.0f}" for figure in figures)
        click.echo(f"| {kind} | {len(times):,} | {told} |")
    for kind, count in record.too_slow.most_common():
        click.echo(f"OVERLOADED {count} × {kind}: took longer than SQL may (400)")
    for failure, count in record.failures.most_common():
        click.echo(f"FAILED {count} × {failure}")


def report_held(held: Sequence[Held]) -> None:
    click.echo("\n| after s | memory MB | open files | threads |\n|---|---|---|---|")
    for one in held[:: max(1, len(held) // LINES)]:
        click.echo(f"| {one.seconds:.0f} | {one.memory:.0f} | {one.files} | {one.threads} |")
    late = held[len(held) // 2 :]
    slope = statistics.linear_regression(
        [one.seconds for one in late], [one.memory for one in late]
    ).slope
    click.echo(f"\nMemory in the second half: {slope * 60:+.2f} MB a minute")


if __name__ == "__main__":
    soak()
