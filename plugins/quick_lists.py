"""Filtered lists of papers are found, counted and ordered in the arrays of dailypapers/columns.py.

Of a million papers, Datasette's statements for two tags and their facets take seconds. Where the
arrays can tell, each of these statements is replaced by one that reads the answer; the rest of the
page is Datasette's. No hook reaches its rows and their number, and a class of facets of our own
would not count for `?_facet=`.
"""

import asyncio
from collections.abc import Mapping
from functools import wraps
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request
from datasette.views.table import TableView

from dailypapers.columns import NUMBERS, ORDERED, TEXTS
from dailypapers.publishing.facets import read_pairs
from dailypapers.publishing.list_loading import asked_for, find_page, load_list
from dailypapers.publishing.list_statements import replace_statement
from dailypapers.publishing.lists import Order, PaperList, read_conditions


@hookimpl(trylast=True)  # statements come here first, before stable_paging.py changes them
def startup(datasette: Datasette) -> None:
    """Once a process, however many sites it serves."""
    if not getattr(TableView, "has_quick_lists", False):
        TableView.has_quick_lists = True
        TableView.data = _understand_list(TableView.data)
        Database.execute = _execute_quickly(Database.execute)


def _understand_list(data: Any) -> Any:
    @wraps(data)
    async def data_of_table(view: TableView, request: Request, *rest: Any, **page: Any) -> Any:
        token = asked_for.set(await read_list(view.ds, request, page.get("_next")))
        try:
            return await data(view, request, *rest, **page)
        finally:
            asked_for.reset(token)

    return data_of_table


def _execute_quickly(execute: Any) -> Any:
    @wraps(execute)
    async def execute_statement(
        database: Database, sql: str, params: Any = None, *rest: Any, **options: Any
    ) -> Any:
        papers = asked_for.get()
        replaced = papers and replace_statement(papers, sql)
        if replaced:
            sql, params = await asyncio.to_thread(replaced)
        return await execute(database, sql, params, *rest, **options)

    return execute_statement


async def read_list(
    datasette: Datasette, request: Request, following: str | None
) -> PaperList | None:
    """The list of papers that an address asks for; None where arrays cannot tell it."""
    if (request.url_vars["database"], request.url_vars["table"]) != ("daily", "papers"):
        return None
    conditions = read_conditions(read_pairs(request.query_string))
    order = read_order(request.args, datasette.table_metadata("daily", "papers"))
    if conditions is None or not order:
        return None
    db = datasette.get_database("daily")
    papers = await load_list(db, conditions, order)
    token = following or request.args.get("_next")
    return await find_page(db, papers, token) if papers and token else papers


def read_order(arguments: Any, metadata: Mapping[str, str]) -> Order | None:
    """As Datasette reads it, which refuses two at once itself."""
    up, down = arguments.get("_sort"), arguments.get("_sort_desc")
    if not up and not down:
        up, down = metadata.get("sort"), metadata.get("sort_desc")
    column = up or down or "id"
    if (up and down) or column not in (*NUMBERS, *TEXTS, *ORDERED):
        return None
    return Order(column, descending=bool(down))
