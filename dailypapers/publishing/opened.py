"""Database files as a site opened them, whatever lies at their paths by now.

A new file takes the place of the old one at any moment, and a path then leads to the new one. A
site that asked its path again would mix the two: so it opens at its start all that it will need.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.database import Database, connections
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError

Identity = tuple[int, int, int, int]

SPARES = 4
"""Connections that are kept for visitors who take all rows when the file is no longer there."""

SPARE_SECONDS = 10.0
"""How long such a visitor waits for one."""


class OpenedFile:
    """A file that can be read after another one took its place. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self.identity = _identify(os.fstat(self._file.fileno()))
        self.spares: list[sqlite3.Connection] = []
        self.checksum = ""
        """Its SHA-256 (hex), once the site has started."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.identity[2]

    def is_replaced(self) -> bool:
        """Whether another file lies at the path, or none."""
        return find_identity(self.path) != self.identity

    def open_again(self) -> BinaryIO:
        """The same file. Its position is shared by all: read it with os.pread."""
        return os.fdopen(os.dup(self._file.fileno()), "rb")

    def close(self) -> None:
        """What `open_again` gave stays open."""
        self._file.close()
        for connection in self.spares:
            connection.close()


def find_identity(path: Path) -> Identity | None:
    """What tells a file from another one of the same name; None where there is none."""
    try:
        return _identify(path.stat())
    except OSError:
        return None


def _identify(facts: os.stat_result) -> Identity:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


_opened: WeakKeyDictionary[Database, OpenedFile] = WeakKeyDictionary()


def find_opened(db: Database) -> OpenedFile | None:
    """The file of a database that is opened for good; None where it may change, or is none."""
    return _opened.get(db)


def list_opened(datasette: Datasette) -> dict[str, OpenedFile]:
    """All files of a site that are opened for good, by the names of their databases."""
    return {name: _opened[db] for name, db in datasette.databases.items() if db in _opened}


def open_files(datasette: Datasette) -> None:
    """Open the files of a site's immutable databases. Raises OSError."""
    for db in datasette.databases.values():
        if db.path and not db.is_mutable and not db.is_memory:
            _opened[db] = OpenedFile(Path(db.path))


async def open_connections(datasette: Datasette) -> None:
    """Connect each of the site's threads now, where Datasette would when it has to."""
    databases = [db for db in datasette.databases.values() if db in _opened]
    await run_in_each_thread(datasette, lambda: _connect_again(databases))
    for db in databases:
        _opened[db].spares += [db.connect() for _ in range(SPARES)]


def _connect_again(databases: Sequence[Database]) -> None:
    """Give this thread connections to what lies at the paths now."""
    for db in databases:
        connection = db.connect()
        db.ds._prepare_connection(connection, db.name)
        if db.ds.executor is None:
            db._read_connection = connection
        else:
            setattr(connections, db.name, connection)


async def run_in_each_thread(datasette: Datasette, job: Callable[[], None]) -> None:
    """Run it once in each of the threads that run a site's SQL, as soon as all are free."""
    if datasette.executor is None:
        return job()
    count = datasette.setting("num_sql_threads")
    all_here = threading.Barrier(count, timeout=60)

    def run() -> None:
        all_here.wait()
        job()

    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(datasette.executor, run) for _ in range(count)))


@asynccontextmanager
async def connect(datasette: Datasette, db: Database) -> AsyncIterator[Any]:
    """A connection of one's own to the file that the site opened.

    Raises DatasetteError where the file is no longer there, and all spare connections are in use.
    """
    opened = find_opened(db)
    connection = None if opened and opened.is_replaced() else db.connect()
    give_back: Callable[[Any], None] = partial(_close, db)
    if opened and opened.is_replaced():  # perhaps only now
        if connection:
            give_back(connection)
        connection, give_back = await _take_spare(opened), opened.spares.append
    try:
        datasette._prepare_connection(connection, db.name)
        yield connection
    finally:
        give_back(connection)


async def _take_spare(opened: OpenedFile) -> sqlite3.Connection:
    for _ in range(round(SPARE_SECONDS * 10)):
        if opened.spares:
            return opened.spares.pop()
        await asyncio.sleep(0.1)
    raise DatasetteError("A new database is being opened. Try again in a minute.", status=503)


def _close(db: Database, connection: sqlite3.Connection) -> None:
    connection.close()
    with suppress(ValueError):  # Datasette keeps all that it ever opened
        db._all_file_connections.remove(connection)


async def close_files(datasette: Datasette) -> None:
    """Give back what a site that serves nobody holds: its threads, connections and files."""
    await run_in_each_thread(datasette, _close_connections)
    if datasette.executor:
        datasette.executor.shutdown(wait=False)
    for db in datasette.databases.values():
        if db._write_queue:
            db._write_queue.put(_LAST_TASK)
        db.close()
        if opened := _opened.pop(db, None):
            opened.close()


def _close_connections() -> None:
    """Those of this thread: functions of ours hold on to their connection until it is closed."""
    for connection in vars(connections).values():
        connection.close()


class _LastTask:
    """Ends the thread that writes, which Datasette never does."""

    reply_queue = None

    @staticmethod
    def fn(connection: sqlite3.Connection) -> None:
        connection.close()
        raise SystemExit  # of the thread


_LAST_TASK = _LastTask()
