"""Servers on this machine: how long they take to answer, and how many answers they give."""

import asyncio
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from building import BENCH
from calls import Call, Statement

HOST = "127.0.0.1"
FEWEST_ROUNDS = 5
PATIENCE = 8.0
"""Seconds after which a call that was timed FEWEST_ROUNDS times is timed no more."""

LONGEST_PAUSE = 4.0
"""Seconds; uvicorn waits five for the next request."""

VISITORS = 8
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class RefusedError(Exception):
    """The server answered with an error."""


@dataclass(frozen=True)
class Command:
    """How a server is started in a folder; "{port}" stands for a free port."""

    words: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A running server; `seconds` is how long it took until its first answer."""

    port: int
    process: subprocess.Popen[bytes]
    seconds: float

    @property
    def pid(self) -> int:
        """Of the process that was started; others may be below it."""
        return self.process.pid


@dataclass
class Times:
    """Milliseconds of a call and of its floor, measured in turn."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


def serve_site(project: Path, workers: int = 1) -> Command:
    """What the project's Procfile runs once the database is built, but for this machine alone."""
    web = (project / "Procfile").read_text("utf-8").partition("exec ")[2].strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PORT": "{port}", "WEB_CONCURRENCY": str(workers), "PATH": path}
    return Command(["sh", "-c", f"exec {web.replace('0.0.0.0', HOST)}"], project, environment)


def serve_barely(database: Path, workers: int) -> Command:
    """The floor."""
    words = [sys.executable, "bare_app.py", str(database), "{port}", str(workers)]
    return Command(words, BENCH)


@contextmanager
def run_server(command: Command, log: Path = Path(os.devnull)) -> Iterator[Server]:
    """A server that runs until the block ends; `log` gets what it prints.

    Raises RuntimeError where it does not answer within a minute.
    """
    port = str(find_port())
    words = [word.replace("{port}", port) for word in command.words]
    own = {name: value.replace("{port}", port) for name, value in command.environment.items()}
    began = time.perf_counter()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            words,
            cwd=command.folder,
            env={**os.environ, **own},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until_up(process, int(port))
            yield Server(int(port), process, time.perf_counter() - began)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def find_port() -> int:
    """One that is free."""
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])


def wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for its first answer. Raises RuntimeError where none comes within a minute."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            fetch(connect(port), "/")
            return
        except ConnectionError:
            time.sleep(0.02)
    raise RuntimeError("the server stopped, or did not answer within a minute")


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(HOST, port, timeout=60)


def fetch(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    """Ask, and read all of the answer. Raises RefusedError where it is an error."""
    connection.request("GET", path, headers=dict(headers or {}))
    response = connection.getresponse()
    while response.read(1_000_000):
        pass
    if response.status >= 400:
        raise RefusedError(f"{path} gave {response.status}")
    return response


def time_call(port: int, database: sqlite3.Connection, call: Call, rounds: int) -> Times:
    """A call again and again, each time beside its bare SQL, both warm.

    Raises RefusedError where the server refuses it, as Datasette does what takes too long.
    """
    connection, times = connect(port), Times()
    for variant in call.variants:
        time_both(connection, database, *variant)
    deadline = time.monotonic() + PATIENCE
    for variant in islice(cycle(call.variants), rounds):
        if len(times.ours) >= FEWEST_ROUNDS and time.monotonic() > deadline:
            break
        ours, floor = time_both(connection, database, *variant)
        times.ours.append(ours)
        times.floor.append(floor)
    connection.close()
    return times


def time_both(
    connection: http.client.HTTPConnection,
    database: sqlite3.Connection,
    path: str,
    statements: Sequence[Statement],
) -> tuple[float, float]:
    """Milliseconds of an answer and of its bare SQL."""
    began = time.perf_counter()
    fetch(connection, path)
    asked = time.perf_counter()
    run_statements(database, statements)
    ended = time.perf_counter()
    if ended - asked > LONGEST_PAUSE:
        connection.close()  # the server has; the next request opens it again
    return (asked - began) * 1000, (ended - asked) * 1000


def run_statements(database: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    for sql, values in statements:
        database.execute(sql, values).fetchall()


def time_unchanged(port: int, path: str, rounds: int) -> Times:
    """The whole answer, as the floor, beside one to somebody who has it already (304).

    Raises RefusedError where the server does not say so.
    """
    connection, times = connect(port), Times()
    known = {"If-None-Match": fetch(connection, path).getheader("etag") or ""}
    for _ in range(rounds):
        began = time.perf_counter()
        status = fetch(connection, path, known).status
        asked = time.perf_counter()
        fetch(connection, path)
        times.ours.append((asked - began) * 1000)
        times.floor.append((time.perf_counter() - asked) * 1000)
        if status != 304:
            raise RefusedError(f"{path} gave {status} to who has it already")
    return times


def measure_load(port: int, paths: Sequence[str], seconds: float) -> float:
    """Answers a second to VISITORS who ask without a pause, each on one connection: wrk where it
    is installed, as visitors in Python take half a processor from the server.

    They begin before it is measured: the last of several processes may still be starting.
    """
    if seconds >= 1 and (wrk := shutil.which("wrk")):
        _visit_with_wrk(wrk, port, paths, 1)
        return _visit_with_wrk(wrk, port, paths, math.ceil(seconds))
    asyncio.run(_visit_all(port, paths, seconds / 2))
    began = time.perf_counter()
    answers = asyncio.run(_visit_all(port, paths, seconds))
    return answers / (time.perf_counter() - began)


def _visit_with_wrk(wrk: str, port: int, paths: Sequence[str], seconds: int) -> float:
    listed = ",".join(map(json.dumps, paths))
    script = f"""
        local paths, at = {{{listed}}}, 0
        request = function() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        load = ["-t1", f"-c{VISITORS}", f"-d{seconds}s", "-s", file.name]
        said = subprocess.run(
            [wrk, *load, f"http://{HOST}:{port}"], check=True, capture_output=True, text=True
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RefusedError(said)
    return float(said.partition("Requests/sec:")[2].split()[0])


async def _visit_all(port: int, paths: Sequence[str], seconds: float) -> int:
    deadline = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_visit(port, paths, deadline) for _ in range(VISITORS))))


async def _visit(port: int, paths: Sequence[str], deadline: float) -> int:
    reader, writer = await asyncio.open_connection(HOST, port, limit=2**24)
    answers = 0
    for path in cycle(paths):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RefusedError(f"{path} gave {head[:40]!r}")
        if length := _LENGTH.search(head):
            await reader.readexactly(int(length[1]))
        else:
            await reader.readuntil(b"\r\n0\r\n\r\n")
        answers += 1
        if time.monotonic() > deadline:
            break
    writer.close()
    return answers
