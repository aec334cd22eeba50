"""SQL that visitors write is bounded: each statement runs in a process of its own, few at once.

That is `?sql=`, `?_where=` and `?_searchmode=raw`. What pages ask themselves runs in Datasette's
threads as ever, and waits for none of it.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.utils.asgi import Request

from dailypapers.publishing.bounded_sql import LIMITS, Statement, make_rows
from dailypapers.publishing.failures import TooBusy
from dailypapers.publishing.opened import find_opened
from dailypapers.publishing.sql_processes import Stem
from dailypapers.publishing.visitor_sql import Visit, begin_visit, make_statement

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

AT_ONCE = 2
"""Statements; each may take a whole core."""

PATIENCE = 2
"""Seconds that a statement waits for its turn."""

visits: ContextVar[Visit | None] = ContextVar("the visitor's part of a request", default=None)
is_theirs: ContextVar[bool] = ContextVar("whether a statement came from the visitor", default=False)
turns: WeakKeyDictionary[Datasette, asyncio.Semaphore] = WeakKeyDictionary()


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Bound what values alone can do in the site's own statements."""
    for limit in (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, sqlite3.SQLITE_LIMIT_ATTACHED):
        conn.setlimit(limit, LIMITS[limit])


@hookimpl(tryfirst=True)  # innermost: other plugins change statements before they are run
def startup(datasette: Datasette) -> None:
    """Once a process, however many sites it serves."""
    if not hasattr(Database, "runs_theirs_apart"):
        Database.runs_theirs_apart = True
        Database.execute = _run_theirs_apart(Database.execute)
    find_stem(datasette.plugins_dir).start()


@hookimpl(specname="startup", trylast=True)
def startup_last(datasette: Datasette) -> None:
    """Outermost: what other plugins make of a visitor's statement is the visitor's, too, though the
    words may have changed."""
    if not hasattr(Database, "notes_theirs"):
        Database.notes_theirs = True
        Database.execute = _note_theirs(Database.execute)


@cache
def find_stem(plugins_dir: str | None) -> Stem:
    """The one that knows the SQL functions of the plugins in a folder."""
    files = sorted(Path(plugins_dir).glob("*.py")) if plugins_dir else []
    return Stem([file for file in files if "def prepare_connection" in file.read_text("utf-8")])


@hookimpl(tryfirst=True)  # innermost: other plugins change addresses before they are read
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Note which SQL of a request is the visitor's."""

    def wrap(app: App) -> App:
        async def with_visit(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            visit = begin_visit(Request(scope, receive), datasette.sql_time_limit_ms)
            token = visits.set(visit)
            try:
                await app(scope, receive, send)
            finally:
                visits.reset(token)

        return with_visit

    return wrap


def _note_theirs(execute: Any) -> Any:
    @wraps(execute)
    async def execute_noted(database: Database, sql: str, *rest: Any, **options: Any) -> Any:
        visit = visits.get()
        token = is_theirs.set(bool(visit and visit.wrote(sql)))
        try:
            return await execute(database, sql, *rest, **options)
        finally:
            is_theirs.reset(token)

    return execute_noted


def _run_theirs_apart(execute: Any) -> Any:
    @wraps(execute)
    async def execute_apart(
        database: Database, sql: str, params: Any = None, *rest: Any, **options: Any
    ) -> Any:
        visit = visits.get()
        is_plain = type(params) in (dict, list, tuple, type(None))  # not MagicParameters
        if visit and is_plain and is_theirs.get() and is_at_its_path(database):
            statement = make_statement(database, visit, sql, params or (), *rest, **options)
            return await run_apart(database.ds, statement, visit)
        return await execute(database, sql, params, *rest, **options)

    return execute_apart


def is_at_its_path(database: Database) -> bool:
    """Whether another process can open what the site has open. For the seconds between a new
    database and its site, threads of the old site answer: only they can still read its file."""
    opened = find_opened(database)
    return bool(database.path) and not (opened and opened.is_replaced())


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
