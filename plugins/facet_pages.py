"""For templates: `await load_facet(table, id)`, what the page of a tag, an organization, a number
of authors, a listing, an author or a keyword shows; and `await tag_names()`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted

from dailypapers.publishing import facets
from dailypapers.publishing.facets import FACETS, FIRST_PAPERS, NEIGHBOURS, Row
from dailypapers.publishing.list_loading import load_list
from dailypapers.publishing.lists import Order, PaperList, find_condition

WALK_MS = 50
COUNT_MS = 200
"""Milliseconds after which a page goes without what was being counted for it."""

_tag_names: WeakKeyDictionary[Database, Mapping[str, str]] = WeakKeyDictionary()


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Give templates the two functions."""

    async def load_facet(table: str, key: str | int) -> Row | None:
        return await load_page(datasette, table, str(key))

    async def tag_names() -> Mapping[str, str]:
        return await load_tag_names(datasette.get_database("daily"))

    return {"load_facet": load_facet, "tag_names": tag_names}


async def load_tag_names(db: Database) -> Mapping[str, str]:
    """The tags' names by slug; of a file that cannot change, asked for once."""
    if db in _tag_names:
        return _tag_names[db]
    names = {row["id"]: row["name"] for row in await db.execute("select id, name from tags")}
    if not db.is_mutable:
        _tag_names[db] = names
    return names


async def load_page(datasette: Datasette, table: str, key: str) -> Row | None:
    """name, total, papers, papers_url, next_url (None where these papers are all), course, undated
    and neighbours of a row; None where there is no such row.

    What takes too long to count is empty, and `undated` is 0.
    """
    db = datasette.get_database("daily")
    rows = list(await db.execute(facets.find_rows(table), {"ids": json.dumps([key])}))
    if not rows:
        return None
    name, total = rows[0]["name"], rows[0]["papers"]
    listed = await find_list(db, table, key)
    if listed:
        papers, months, neighbours = await read_list(db, listed, table, key)
    else:
        papers = list(await load_first_papers(db, table, key, total))
        months = await ask_briefly(db, facets.count_months(table), {"id": key})
        asked = {"id": key, "tag_limit": NEIGHBOURS}
        neighbours = await ask_briefly(db, facets.find_neighbours(table), asked)
    shown = papers[:FIRST_PAPERS]
    course, undated = facets.split_course(months)
    paths = {name: datasette.urls.table("daily", name) for name in ("papers", "entries", table)}
    next_path = paths["entries" if table == "listings" else "papers"]
    next_pairs = facets.make_next_pairs(table, key, shown[-1]) if papers[FIRST_PAPERS:] else None
    return {
        "name": name,
        "total": total,
        "papers": shown,
        "papers_url": facets.make_address(paths["papers"], [(FACETS[table].parameter, key)]),
        "next_url": next_pairs and facets.make_address(next_path, next_pairs),
        "course": course,
        "undated": undated,
        "neighbours": facets.link_neighbours(table, key, neighbours, paths["papers"], paths[table]),
    }


async def find_list(db: Database, table: str, key: str) -> PaperList | None:
    """The row's papers, where arrays tell them; a listing's stand in an order of its own."""
    condition = find_condition(table, key)
    if table == "listings" or not condition:
        return None
    return await load_list(db, [condition], Order("published", descending=True))


async def read_list(
    db: Database, listed: PaperList, table: str, key: str
) -> tuple[list[Row], list[Row], list[Row]]:
    """The first papers, the papers of each month, and the neighbours."""
    numbers = json.dumps(await asyncio.to_thread(listed.list_first, FIRST_PAPERS + 1))
    papers = [dict(row) for row in await db.execute(facets.LIST_CARDS, {"numbers": numbers})]
    months = facets.sum_months(await asyncio.to_thread(listed.count_in_order, "published"))
    if table == "authors_count":
        return papers, months, await ask_briefly(db, facets.find_neighbours(table), {"id": key})
    tags = await asyncio.to_thread(listed.count_tags, NEIGHBOURS + 1)
    others = [tag for tag in tags if (table, tag[0]) != ("tags", key)][:NEIGHBOURS]
    named = await db.execute(facets.NAME_TAGS, {"counted": json.dumps(others)})
    return papers, months, [dict(row) for row in named]


async def load_first_papers(db: Database, table: str, key: str, total: int) -> Sequence[Row]:
    """One more than are shown, by the first way that is quick enough."""
    *tried, last = facets.list_first_papers(table, total)
    asked = {"id": key, "limit": FIRST_PAPERS + 1}
    for sql in tried:
        papers = await ask_briefly(db, sql, asked, WALK_MS)
        if papers:
            return papers
    return await ask_briefly(db, last, asked, None)


async def ask_briefly(
    db: Database, sql: str, asked: Mapping[str, Any], limit: int | None = COUNT_MS
) -> list[Row]:
    """The rows, or none where finding them takes longer than `limit` milliseconds (None: than
    any query may)."""
    try:
        return [dict(row) for row in await db.execute(sql, asked, custom_time_limit=limit)]
    except QueryInterrupted:
        return []
