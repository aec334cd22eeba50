"""Atom feeds: the papers page and results of queries as .atom.

Rows only say which papers are meant. Rows with atom_id and its like are left to datasette-atom.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasette_atom
from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted
from datasette.utils import tilde_encode
from datasette.utils.asgi import BadRequest, Request, Response

from dailypapers.publishing import feeds
from dailypapers.publishing.addresses import strip_base

UNDATED_MS = 200
"""Milliseconds after which a feed goes without papers that have no date of publication."""


@hookimpl(trylast=True)  # the last of several for .atom is the one that counts
def register_output_renderer() -> dict[str, Any]:
    """Offer .atom; pages that are not newest first have a link of their own to a feed that is."""
    return {"extension": "atom", "render": render_atom, "can_render": is_offered}


def is_offered(
    database: str, table: str | None, columns: Sequence[str], query_name: str | None
) -> bool:
    """Whether a page lists Atom among its formats."""
    is_result = table is None and query_name != "search"
    return is_result and ("atom_id" in columns or are_papers(database, columns))


def are_papers(database: str, columns: Sequence[str]) -> bool:
    """Rows with `id` and `title`."""
    return database == "daily" and {"id", "title"} <= set(columns)


async def render_atom(
    datasette: Datasette,
    request: Request,
    sql: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    database: str,
    table: str | None,
    query_name: str | None,
    view_name: str,
    data: Mapping[str, Any],
) -> Response:
    """A feed of the rows' papers."""
    if "atom_id" in columns:
        return render_own_columns(**locals())  # with all the arguments, as Datasette gave them
    if not are_papers(database, columns) or table not in (None, "papers") or view_name == "row":
        raise BadRequest("Only papers make a feed: rows need the columns id and title.")
    path = strip_base(request.path, datasette.setting("base_url")).removesuffix(feeds.SUFFIX)
    ids = [row["id"] for row in rows]
    if table:
        ids += await find_undated(datasette.get_database(database), data["query"])
    feed = await make_feed(datasette, request, path, ids)
    return Response(feeds.write_feed(feed), content_type=feeds.CONTENT_TYPE)


def render_own_columns(**page: Any) -> Response:
    """What datasette-atom makes of the rows; its errors are those of whoever wrote the SQL."""
    try:
        answer: Response = datasette_atom.render_atom(**page)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"These rows make no feed: {error}") from error
    answer.content_type = feeds.CONTENT_TYPE
    return answer


async def find_undated(db: Database, query: Mapping[str, Any]) -> list[str]:
    """Ids of papers that the papers page's query finds as well, but after all dated ones."""
    for sql in feeds.list_undated_queries(query["sql"]):
        try:
            rows = await db.execute(sql, query["params"], custom_time_limit=UNDATED_MS)
        except (QueryInterrupted, sqlite3.OperationalError):
            continue  # the latter where a visitor's _where cannot stand in brackets
        return [row["id"] for row in rows]
    return []


async def make_feed(
    datasette: Datasette, request: Request, path: str, ids: Iterable[object]
) -> feeds.Feed:
    """The feed of a page, whose path is without base and suffix, with the newest of its papers."""
    db = datasette.get_database("daily")
    asked = request.query_string

    def make_link(path: str) -> str:
        return str(datasette.absolute_url(request, datasette.urls.path(path)))

    query = await datasette.get_canned_query("daily", path.rpartition("/")[2], None) or {}
    named = await db.execute(feeds.FIND_LABELS, [feeds.list_named_rows(path, asked)])
    labels = {(table, str(key)): str(name) for table, key, name in named.rows}
    wanted = json.dumps([id for id in ids if isinstance(id, str)])
    return feeds.Feed(
        address=feeds.make_feed_address(path, asked),
        title=feeds.say_title(path, asked, labels, query.get("title")),
        self_link=make_link(feeds.make_feed_address(path, asked)),
        page_link=make_link(feeds.make_page_address(path, asked)),
        rights=datasette.metadata("license"),
        updated=(await db.execute(feeds.LAST_DAY)).single_value(),
        entries=[
            feeds.make_entry(row, make_link(f"{feeds.PAPERS}/{tilde_encode(row['id'])}"))
            for row in await db.execute(feeds.FIND_ENTRIES, [wanted])
        ],
    )
