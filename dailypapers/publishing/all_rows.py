"""All rows of what Datasette shows a page of, read by one statement while they are sent.

Datasette reads page after page, each from where the last one ended. For that, SQLite has to walk
there again where it orders by a column that may be empty or the same, and the time grows with
the square. A statement that goes on has no such way to go.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils import InvalidSql, sqlite_timelimit
from datasette.utils.asgi import Request, Response
from datasette.views.base import DatasetteError, DataView
from datasette.views.database import MagicParameters

from .exports import Format, Page
from .opened import connect

Data = dict[str, Any]
"""What Datasette has to show: columns, rows, query, truncated, and of a table, table and next."""

BATCH = 500
"""Rows that are held at once."""

PATIENCE = 10
"""How many times as long as a page a batch may take: SQLite may sort all rows for the first."""

_THREADS = ThreadPoolExecutor(4, "rows")
"""Apart from those that serve pages: however many visitors take all rows, pages go on."""

_LIMIT = re.compile(r" limit \d+$")


async def read_page(view: DataView, request: Request) -> Data | Response:
    """The page of an address, or where it leads. Raises DatasetteError where SQL fails."""
    quick = change_arguments(request, {"_nofacet": "1", "_nocount": "1"})
    try:
        answer = await view.data(quick)
    except (sqlite3.OperationalError, InvalidSql, QueryInterrupted) as error:
        raise DatasetteError(str(error), title="Invalid SQL", status=400) from error
    if isinstance(answer, Response):
        return answer
    data: Data = answer[0]
    if data.get("error"):
        raise DatasetteError(data["error"], title="Invalid SQL", status=400)
    return data


def change_arguments(request: Request, changed: Mapping[str, str]) -> Request:
    """The same request with these values in place of its own."""
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    kept = [pair for pair in pairs if pair[0] not in changed]
    query_string = urlencode([*kept, *changed.items()]).encode("ascii")
    return Request({**request.scope, "query_string": query_string}, request.receive)


async def write_page(data: Data, format: Format) -> AsyncGenerator[bytes]:
    """The rows of a page."""
    page = _make_page(data, data["rows"])
    yield (format.begin(page) + format.write(page)).encode()


async def write_all(
    datasette: Datasette, request: Request, data: Data, format: Format
) -> AsyncGenerator[bytes]:
    """The rows of this page, read again, and of all after it. Raises DatasetteError."""
    text = format.begin(_make_page(data, []))
    async with aclosing(_read_batches(datasette, request, data)) as batches:
        async for rows in batches:
            labelled = await _add_labels(datasette, data, rows)
            yield (text + format.write(_make_page(data, labelled))).encode()
            text = ""


def _make_page(data: Data, rows: Sequence[Any]) -> Page:
    return Page(data["columns"], rows, frozenset(data.get("expanded_columns") or ()))


async def _read_batches(
    datasette: Datasette, request: Request, data: Data
) -> AsyncGenerator[list[Any]]:
    loop = asyncio.get_running_loop()
    sql, parameters = data["query"]["sql"], data["query"]["params"]
    if data.get("table"):
        sql = _LIMIT.sub("", sql)
    else:
        parameters = MagicParameters(parameters, request, datasette)
    limit_ms = datasette.setting("sql_time_limit_ms") * PATIENCE
    async with connect(datasette, datasette.get_database(data["database"])) as connection:
        cursor = connection.cursor()
        execute = partial(cursor.execute, sql, parameters)
        await loop.run_in_executor(_THREADS, run_in_time, connection, limit_ms, execute)
        fetch = partial(cursor.fetchmany, BATCH)
        while rows := await loop.run_in_executor(
            _THREADS, run_in_time, connection, limit_ms, fetch
        ):
            yield rows


def run_in_time(connection: sqlite3.Connection, limit_ms: int, read: Callable[[], Any]) -> Any:
    """What `read` gives. Raises DatasetteError where SQLite fails, or takes too long."""
    try:
        with sqlite_timelimit(connection, limit_ms):
            return read()
    except sqlite3.OperationalError as error:
        slow = "All rows in this order take too long. Try another order, or fewer filters."
        said = slow if str(error) == "interrupted" else str(error)
        raise DatasetteError(said, status=400) from error


async def _add_labels(datasette: Datasette, data: Data, rows: list[Any]) -> Sequence[Any]:
    """The rows with a dict of value and label in labelled columns, as Datasette's pages have."""
    labels: dict[tuple[str, Any], Any] = {}
    for column in data.get("expanded_columns") or ():
        values = {row[column] for row in rows} - {None}
        labels |= await datasette.expand_foreign_keys(
            data["database"], data["table"], column, list(values)
        )
    if not labels:
        return rows
    return [
        [
            {"value": cell, "label": labels[column, cell]} if (column, cell) in labels else cell
            for column, cell in zip(data["columns"], row, strict=True)
        ]
        for row in rows
    ]
