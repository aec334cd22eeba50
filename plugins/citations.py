"""Citations: papers and results of queries as .bib, .ris and .csljson, and `cite(id)` for pages.

Rows only say which papers are meant; what is cited is what the table papers holds of them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import BadRequest, Request, Response
from slugify import slugify

from dailypapers.publishing.citations import (
    FORMATS,
    MAX_AUTHORS,
    Citation,
    Format,
    make_bibtex,
    make_ris,
)

DATABASE = "daily"
CHUNK = 500
MAX_FILE_NAME = 100

PAPERS = """
    select id, title, published, arxiv_id from papers
    where id in (select value from json_each(?))"""
AUTHORS = """
    select paper_authors.paper, authors.name from paper_authors
    join authors on authors.id = paper_authors.author
    where paper_authors.paper in (select value from json_each(?)) and position <= ?
    order by paper_authors.paper, position"""


@hookimpl
def register_output_renderer() -> list[dict[str, Any]]:
    """Offer the formats wherever rows are papers."""
    return [
        {
            "extension": format.extension,
            "render": partial(render_citations, format),
            "can_render": are_papers,
        }
        for format in FORMATS
    ]


def are_papers(database: str, table: str | None, columns: Sequence[str]) -> bool:
    """The table papers, or a query's rows with `id` and `title`."""
    return database == DATABASE and table in (None, "papers") and {"id", "title"} <= set(columns)


async def render_citations(
    format: Format,
    datasette: Datasette,
    request: Request,
    database: str,
    table: str | None,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    query_name: str | None,
    view_name: str,
    data: Mapping[str, Any],
) -> Response:
    """The rows' papers in one file; a Link header leads to the next page of a table."""
    if not are_papers(database, table, columns):
        raise BadRequest("Only papers can be cited: rows need the columns id and title.")
    papers = await load_papers(datasette, request, [row["id"] for row in rows])
    name = papers[0].id if view_name == "row" and papers else query_name or "papers"
    file = f"{slugify(name, max_length=MAX_FILE_NAME) or 'papers'}.{format.file_ending}"
    headers = {"content-disposition": f'attachment; filename="{file}"'}
    if data.get("next_url"):
        headers["link"] = f'<{data["next_url"]}>; rel="next"'
    content_type = f"{format.content_type}; charset=utf-8"
    body = await asyncio.to_thread(format.make, papers)  # half a second for a thousand papers
    return Response(body, headers=headers, content_type=content_type)


async def load_papers(
    datasette: Datasette, request: Request, ids: Iterable[object]
) -> list[Citation]:
    """The papers in the order of their ids, each once; what is no paper's id is left out."""
    wanted = list(dict.fromkeys(id for id in ids if isinstance(id, str)))
    db = datasette.get_database(DATABASE)
    facts: dict[str, Any] = {}
    authors: dict[str, list[str]] = {}
    for start in range(0, len(wanted), CHUNK):
        chunk = json.dumps(wanted[start : start + CHUNK])
        facts |= {row["id"]: row for row in await db.execute(PAPERS, [chunk])}
        for row in await db.execute(AUTHORS, [chunk, MAX_AUTHORS + 1]):
            authors.setdefault(row["paper"], []).append(row["name"])
    return [
        Citation(
            **facts[id],
            authors=tuple(authors.get(id, ())),
            url=datasette.absolute_url(request, datasette.urls.row(DATABASE, "papers", id)),
        )
        for id in wanted
        if id in facts
    ]


@hookimpl
def extra_template_vars(
    datasette: Datasette, request: Request
) -> dict[str, Callable[[str], Awaitable[dict[str, Any] | None]]]:
    """Give templates `cite(paper_id)`: bibtex, ris and authors (names in order), or None."""

    async def cite(paper_id: str) -> dict[str, Any] | None:
        papers = await load_papers(datasette, request, [paper_id])
        if not papers:
            return None
        return {
            "bibtex": make_bibtex(papers),
            "ris": make_ris(papers),
            "authors": list(papers[0].authors),
        }

    return {"cite": cite}
