"""A visitor's SQL and its bounds; sql_processes.py runs it.

A statement is run by a process of its own, since SQLite looks at the clock between its steps only:
one call of instr() on two megabytes takes a minute, `json_patch` and a long `match` likewise, and a
heap limit would hold for everybody's statements at once. A process can be ended at any time.
"""

import os
import resource
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATM = Path("/proc/self/statm")
DATA = 5
"""The field of data and stack in it, in pages."""

MB = 2**20
MAX_CELL = 10 * MB
"""Of a text or blob, also while it is only in between."""

MAX_HEAP = 64 * MB
"""What SQLite may hold at once."""

MAX_MEMORY = 120 * MB
"""What the process may take beyond the one it is forked from: the heap, and the rows."""

MAX_FILE = 256 * MB
"""Of a temporary file, in which SQLite sorts what is more than its cache."""

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 1_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}

READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
PRAGMAS = {
    "foreign_key_list", "function_list", "index_info", "index_list", "index_xinfo", "page_count",
    "page_size", "schema_version", "table_info", "table_list", "table_xinfo",
}  # fmt: skip
"""Those that only tell of the schema."""

INTERNAL = {
    (sqlite3.SQLITE_PRAGMA, "data_version"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master"),
}
"""What virtual tables ask for when they are opened. The file is open for reading only."""

FORBIDDEN = {"load_extension", "fts3_tokenizer", "sqlite_log"}


@dataclass(frozen=True)
class Statement:
    """SQL to run against the database at `uri`.

    `limit_ms` is for all of it. Of more rows, cells or bytes than these, the first are given where
    `truncate` is set; otherwise that is an error.
    """

    uri: str
    database: str
    sql: str
    parameters: Sequence[Any] | Mapping[str, Any]
    limit_ms: float
    max_rows: int
    max_cells: int
    max_bytes: int
    truncate: bool


@dataclass(frozen=True)
class Answer:
    """The rows, with sqlite3's description of their columns; or what went wrong."""

    rows: Sequence[tuple[Any, ...]] = ()
    description: Sequence[tuple[Any, ...]] = ()
    truncated: bool = False
    error: Exception | None = None


def bound_process() -> None:
    """Bound what this process may take from the machine from now on."""
    os.nice(10)  # pages go first
    if STATM.exists():
        taken = int(STATM.read_text("ascii").split()[DATA]) * resource.getpagesize()
        # Its data, not its address space: the file may be mapped into that.
        resource.setrlimit(resource.RLIMIT_DATA, (taken + MAX_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def bound_connection(connection: sqlite3.Connection) -> None:
    """Let a connection read, and no more than is good for everybody."""
    connection.execute(f"pragma hard_heap_limit = {MAX_HEAP}")
    connection.execute("pragma query_only = on")
    for limit, most in LIMITS.items():
        connection.setlimit(limit, most)
    connection.set_authorizer(authorize)


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's question whether a statement may do this."""
    allowed = (
        action in READING
        or (action, first) in INTERNAL
        or (action == sqlite3.SQLITE_PRAGMA and first in PRAGMAS)
        or (action == sqlite3.SQLITE_FUNCTION and second not in FORBIDDEN)
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def run_statement(connection: sqlite3.Connection, statement: Statement) -> Answer:
    """The answer, whatever the statement does, as long as the process lives."""
    try:
        cursor = connection.cursor()
        cursor.row_factory = None
        cursor.execute(statement.sql, statement.parameters)
        rows, truncated = read_rows(cursor, statement)
        return Answer(rows, cursor.description or (), truncated)
    except MemoryError:
        return Answer(error=sqlite3.OperationalError("the query needs too much memory"))
    except (sqlite3.ProgrammingError, sqlite3.Warning) as error:
        return Answer(error=type(error)(str(error)))
    except (sqlite3.Error, ValueError, OverflowError) as error:
        return Answer(error=sqlite3.OperationalError(str(error)))


def read_rows(cursor: sqlite3.Cursor, statement: Statement) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows, and whether there are more."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        is_large = size > statement.max_bytes or (len(rows) + 1) * len(row) > statement.max_cells
        if is_large and not (statement.truncate and rows):
            raise sqlite3.OperationalError("the result is too large")
        if is_large or (statement.truncate and len(rows) == statement.max_rows):
            return rows, True
        rows.append(row)
    return rows, False


def make_rows(answer: Answer) -> list[sqlite3.Row]:
    """The rows as sqlite3 gives them, which have to come from a cursor with such columns."""
    names = [column[0].replace('"', '""') for column in answer.description]
    if not names:
        return []
    nothing = ", ".join(f'null as "{name}"' for name in names)
    with closing(sqlite3.connect(":memory:")) as connection:
        cursor = connection.execute(f"select {nothing}")  # names are quoted
        return [sqlite3.Row(cursor, row) for row in answer.rows]
