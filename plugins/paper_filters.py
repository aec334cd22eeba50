"""Filters of the papers page through relations (`_tag`, `_listing`, `_author`, `_keyword`), and
`await list_filters(request)` for templates: whatever filter is on, in words, with a way off."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from datasette import Request, hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.filters import FilterArguments

from dailypapers.publishing.facets import (
    FACETS,
    RELATIONS,
    Row,
    change_pairs,
    find_rows,
    make_address,
    match_papers,
    read_pairs,
    read_relations,
)
from dailypapers.publishing.filters import read_filters, say_filter

Key = tuple[str, str]
"""A table and the id of one of its rows."""


@hookimpl
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Callable[[], Awaitable[FilterArguments]] | None:
    """Several values are several conditions, of which all must hold."""
    pairs = read_relations(read_pairs(request.query_string))
    if (database, table) != ("daily", "papers") or not pairs:
        return None

    async def make_filters() -> FilterArguments:
        keys = [(RELATIONS[name], value) for name, value in pairs]
        rows = await find_named_rows(datasette.get_database(database), keys)
        clauses, descriptions = [], []
        for number, key in enumerate(keys):
            facet = FACETS[key[0]]
            row = rows.get(key, {"name": key[1], "papers": 0})
            clauses.append(match_papers(facet, row["papers"], f"relation_{number}"))
            descriptions.append(facet.words.format(row["name"]))
        values = {f"relation_{number}": value for number, (_, value) in enumerate(pairs)}
        return FilterArguments(clauses, values, descriptions)

    return make_filters


async def find_named_rows(db: Database, keys: Iterable[Key]) -> dict[Key, Row]:
    """The rows that exist, as id, name and number of papers: one query for each table."""
    ids: dict[str, list[str]] = {}
    for table, key in dict.fromkeys(keys):
        ids.setdefault(table, []).append(key)
    found: dict[Key, Row] = {}
    for table, wanted in ids.items():
        for row in await db.execute(find_rows(table), {"ids": json.dumps(wanted)}):
            found[table, str(row["id"])] = dict(row)
    return found


@hookimpl
def extra_template_vars(
    datasette: Datasette,
) -> dict[str, Callable[[Request], Awaitable[list[dict[str, Any]]]]]:
    """Give templates `list_filters(request)`: `words`, and `remove`, the page without it."""

    async def list_filters(request: Request) -> list[dict[str, Any]]:
        pairs = read_pairs(request.query_string)
        filters = read_filters(pairs, of_papers=request.url_vars.get("table") == "papers")
        keys = [one.row for one in filters if one.row]
        rows = await find_named_rows(datasette.get_database("daily"), keys)
        labels = {key: str(row["name"]) for key, row in rows.items()}
        path = datasette.urls.path(request.path)
        return [
            {
                "words": say_filter(one, labels),
                "remove": make_address(path, change_pairs(pairs, without=[one.pair])),
            }
            for one in filters
        ]

    return {"list_filters": list_filters}
