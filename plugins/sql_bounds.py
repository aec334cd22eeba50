"""SQL that visitors write is bounded: each statement runs in a process of its own, few at once.

That is `?sql=`, `?_where=` and `?_searchmode=raw`. What pages ask themselves runs in Datasette's
threads as ever, and waits for none of it.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.utils.asgi import Request

from dailypapers.publishing.bounded_sql import LIMITS, Answer, Statement
from dailypapers.publishing.failures import TooBusy
from dailypapers.publishing.opened import find_opened
from dailypapers.publishing.sql_processes import Stem

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

AT_ONCE = 2
"""Statements; each may take a whole core."""

PATIENCE = 2
"""Seconds that a statement waits for its turn."""

MAX_BYTES = 4_000_000
MAX_CELLS = 20_000
"""Of an answer's rows; so many cells take 0.4 seconds to write as a page, and others wait."""

SHARE = 1.5
"""All statements of a request together may run so many times as long as one."""


@dataclass
class Visit:
    """What a visitor wrote of the SQL of a request, and how long that may still run."""

    texts: tuple[str, ...]
    left_ms: float


visits: ContextVar[Visit | None] = ContextVar("the visitor's part of a request", default=None)
turns: WeakKeyDictionary[Datasette, asyncio.Semaphore] = WeakKeyDictionary()


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Bound what values alone can do in the site's own statements."""
    for limit in (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, sqlite3.SQLITE_LIMIT_ATTACHED):
        conn.setlimit(limit, LIMITS[limit])


@hookimpl(tryfirst=True)  # innermost: other plugins change statements before they are run
def startup(datasette: Datasette) -> None:
    """Once a process, however many sites it serves."""
    if not hasattr(Database, "execute_here"):
        Database.execute_here = Database.execute
        Database.execute = _run_theirs_apart(Database.execute)
    find_stem(datasette.plugins_dir).start()


@cache
def find_stem(plugins_dir: str | None) -> Stem:
    """The one that knows the SQL functions of the plugins in a folder."""
    files = sorted(Path(plugins_dir).glob("*.py")) if plugins_dir else []
    return Stem([file for file in files if "def prepare_connection" in file.read_text("utf-8")])


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Note which SQL of a request is the visitor's."""

    def wrap(app: App) -> App:
        async def with_visit(scope: dict[str, Any], receive: Any, send: Any) -> None:
            texts = find_texts(Request(scope, receive)) if scope["type"] == "http" else ()
            visits.set(Visit(texts, datasette.sql_time_limit_ms * SHARE) if texts else None)
            await app(scope, receive, send)

        return with_visit

    return wrap


def find_texts(request: Request) -> tuple[str, ...]:
    """What the visitor wrote that becomes part of statements."""
    written = [*request.args.getlist("sql"), *request.args.getlist("_where")]
    if request.args.get("_searchmode") == "raw":
        written += ["match :search"]  # in Datasette's words
    return tuple(filter(None, map(str.strip, written)))


def _run_theirs_apart(execute: Any) -> Any:
    @wraps(execute)
    async def execute_apart(
        database: Database, sql: str, params: Any = None, *rest: Any, **options: Any
    ) -> Any:
        visit = visits.get()
        is_plain = type(params) in (dict, list, tuple, type(None))  # not MagicParameters
        is_theirs = visit and is_plain and any(text in sql for text in visit.texts)
        if visit and is_theirs and is_at_its_path(database):
            statement = make_statement(database, visit, sql, params or (), *rest, **options)
            return await run_apart(database.ds, statement, visit)
        return await execute(database, sql, params, *rest, **options)

    return execute_apart


def is_at_its_path(database: Database) -> bool:
    """Whether another process can open what the site has open. For the seconds between a new
    database and its site, threads of the old site answer: only they can still read its file."""
    opened = find_opened(database)
    return bool(database.path) and not (opened and opened.is_replaced())


def make_statement(
    database: Database,
    visit: Visit,
    sql: str,
    params: Any,
    truncate: bool = False,
    custom_time_limit: int | None = None,
    page_size: int | None = None,
    log_sql_errors: bool = True,
) -> Statement:
    """What Datasette would run, given as to its Database.execute."""
    ds = database.ds
    limits_ms = (visit.left_ms, ds.sql_time_limit_ms, custom_time_limit or ds.sql_time_limit_ms)
    return Statement(
        uri=f"file:{database.path}?{'mode=ro' if database.is_mutable else 'immutable=1'}",
        database=database.name,
        sql=sql,
        parameters=params,
        limit_ms=min(limits_ms),
        max_rows=ds.max_returned_rows + (page_size == ds.max_returned_rows),
        max_cells=MAX_CELLS,
        max_bytes=MAX_BYTES,
        truncate=truncate,
    )


async def run_apart(datasette: Datasette, statement: Statement, visit: Visit) -> Results:
    """The result. Raises QueryInterrupted, TooBusy or what SQLite says."""
    answer = None
    if statement.limit_ms > 0:
        async with take_turn(datasette):
            start = time.perf_counter()
            answer = await find_stem(datasette.plugins_dir).run(statement)
            ran_ms = (time.perf_counter() - start) * 1000
        visit.left_ms -= ran_ms
        if answer is None and ran_ms < statement.limit_ms:
            raise sqlite3.OperationalError("the process of this query died, try again")
    if answer is None:
        raise QueryInterrupted("interrupted", statement.sql, statement.parameters)
    if answer.error:
        raise answer.error
    return Results(make_rows(answer), answer.truncated, answer.description)


@asynccontextmanager
async def take_turn(datasette: Datasette) -> AsyncIterator[None]:
    """Wait until few others run. Raises TooBusy."""
    turn = turns.setdefault(datasette, asyncio.Semaphore(AT_ONCE))
    try:
        async with asyncio.timeout(PATIENCE):
            await turn.acquire()
    except TimeoutError:
        raise TooBusy("Too many visitors run SQL at this moment") from None
    try:
        yield
    finally:
        turn.release()


def make_rows(answer: Answer) -> list[sqlite3.Row]:
    """The rows as sqlite3 gives them, which have to come from a cursor with such columns."""
    names = [column[0].replace('"', '""') for column in answer.description]
    if not names:
        return []
    nothing = ", ".join(f'null as "{name}"' for name in names)
    with closing(sqlite3.connect(":memory:")) as connection:
        cursor = connection.execute(f"select {nothing}")  # names are quoted
        return [sqlite3.Row(cursor, row) for row in answer.rows]
