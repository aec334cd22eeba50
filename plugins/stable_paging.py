"""Paging through a sorted table shows every row, and each once.

Datasette 0.65 breaks ties by the primary key on every page but the first. Rows that tie with the
last one of the first page (papers of one day) are then lost or shown twice: of the sample's 436
papers, paging by `_sort=published` showed 366. The first page's statement gets the same order here,
and those of later pages begin where the page does.
It also fails to page by a column that is not shown: it catches sqlite3.Row's IndexError, where rows
with labels raise KeyError.
"""

import re
from contextvars import ContextVar
from functools import wraps
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import CustomRow, escape_sqlite, tilde_decode
from datasette.utils.asgi import Request
from datasette.views.table import TableView

from dailypapers.publishing.paging import walk_from_last

KEYS: ContextVar[str] = ContextVar("primary keys of the table being paged", default="")
SORTED = re.compile(r"( order by (?:\w+|\[[^\[\]]+\])(?: desc)?)( limit \d+)$")


@hookimpl
def startup(datasette: Datasette) -> None:
    """Once a process, however many sites it serves."""
    if not getattr(TableView, "has_stable_paging", False):
        TableView.has_stable_paging = True
        TableView.data = _remember_keys(TableView.data)
        Database.execute = _break_ties(Database.execute)
        CustomRow.__getitem__ = _miss_as_rows_do(CustomRow.__getitem__)


def _remember_keys(data: Any) -> Any:
    @wraps(data)
    async def data_of_table(view: TableView, request: Request, *rest: Any, **page: Any) -> Any:
        token = KEYS.set(await _find_keys(view.ds, request))
        try:
            return await data(view, request, *rest, **page)
        finally:
            KEYS.reset(token)

    return data_of_table


async def _find_keys(datasette: Datasette, request: Request) -> str:
    try:
        database = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        return ""  # Datasette says so itself
    table = tilde_decode(request.url_vars["table"])
    keys = await database.primary_keys(table) if await database.table_exists(table) else []
    return ", ".join(map(escape_sqlite, keys))


def _break_ties(execute: Any) -> Any:
    @wraps(execute)
    async def execute_in_order(database: Database, sql: str, *rest: Any, **options: Any) -> Any:
        keys = KEYS.get()
        if keys:
            sql = walk_from_last(SORTED.sub(rf"\1, {keys}\2", sql))
        return await execute(database, sql, *rest, **options)

    return execute_in_order


class MissingColumnError(KeyError, IndexError):
    """What both kinds of rows say of a column they do not have."""


def _miss_as_rows_do(get: Any) -> Any:
    @wraps(get)
    def get_column(row: CustomRow, key: str | int) -> Any:
        try:
            return get(row, key)
        except KeyError as error:
            raise MissingColumnError(*error.args) from None

    return get_column
