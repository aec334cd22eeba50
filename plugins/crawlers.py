"""/robots.txt, and sitemaps of any number of papers: /sitemap.xml lists /sitemap-site.xml and
/sitemap-papers-1.xml, -2.xml and so on, each a range of the papers' numbers."""

from collections.abc import Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import tilde_encode
from datasette.utils.asgi import NotFound, Request, Response

from dailypapers.publishing.crawlers import (
    CHUNK,
    Page,
    count_chunks,
    write_index,
    write_robots,
    write_sitemap,
)

PATHS = ("/", "/daily", "/daily/papers", "/daily/search")
TEMPLATES = ("about", "api", "charts")
TABLES = {
    "tags": "select id, null from tags where papers > 0 order by papers desc limit :most",
    "organizations": "select id, null from organizations order by papers desc limit :most",
    "listings": "select id, null from listings order by id desc limit :most",
}
MOST_ROWS = 15_000
"""Rows of each table in one sitemap, which may hold 50,000 addresses."""

PAPERS = """
select id, last_listed from papers
where number > :before and number <= :before + :chunk order by number
"""


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """The addresses that crawlers look for."""
    return [
        (r"^/robots\.txt$", robots),
        (r"^/sitemap\.xml$", sitemap_index),
        (r"^/sitemap-site\.xml$", sitemap_of_site),
        (r"^/sitemap-papers-(?P<chunk>[1-9][0-9]{0,6})\.xml$", sitemap_of_papers),
    ]


def robots(datasette: Datasette, request: Request) -> Response:
    """What not to read, and where the sitemap is."""
    address = find_address(datasette, request, "/sitemap.xml")
    return Response.text(write_robots(datasette.setting("base_url"), address))


async def sitemap_index(datasette: Datasette, request: Request) -> Response:
    """The list of sitemaps."""
    chunks = count_chunks(await find_last_number(datasette))
    names = ["site", *(f"papers-{chunk}" for chunk in range(1, chunks + 1))]
    return respond_xml(
        write_index(find_address(datasette, request, f"/sitemap-{name}.xml") for name in names)
    )


async def sitemap_of_site(datasette: Datasette, request: Request) -> Response:
    """All pages but those of papers."""
    known = datasette.jinja_env.list_templates()
    paths = [*PATHS, *(f"/{name}" for name in TEMPLATES if f"pages/{name}.html" in known)]
    pages = [Page(find_address(datasette, request, path)) for path in paths]
    for table, sql in TABLES.items():
        pages.append(Page(find_address(datasette, request, f"/daily/{table}")))
        pages += await list_rows(datasette, request, table, sql, {"most": MOST_ROWS})
    return respond_xml(write_sitemap(pages))


async def sitemap_of_papers(datasette: Datasette, request: Request) -> Response:
    """One range of the papers' numbers."""
    chunk = int(request.url_vars["chunk"])
    if chunk > count_chunks(await find_last_number(datasette)):
        raise NotFound("There are not so many papers")
    values = {"before": (chunk - 1) * CHUNK, "chunk": CHUNK}
    return respond_xml(write_sitemap(await list_rows(datasette, request, "papers", PAPERS, values)))


async def find_last_number(datasette: Datasette) -> int:
    """The highest number of a paper; 0 where there is none."""
    results = await datasette.get_database("daily").execute("select max(number) from papers")
    return results.single_value() or 0


async def list_rows(
    datasette: Datasette, request: Request, table: str, sql: str, values: dict[str, int]
) -> list[Page]:
    """The pages of a table's rows, from a query for their ids and the days they changed."""
    results = await datasette.get_database("daily").execute(sql, values)
    above = find_address(datasette, request, f"/daily/{table}")
    return [Page(f"{above}/{tilde_encode(key)}", changed) for key, changed in results.rows]


def find_address(datasette: Datasette, request: Request, path: str) -> str:
    """An absolute address; plugins/addresses.py has seen to the request's host."""
    address: str = datasette.absolute_url(request, datasette.urls.path(path))
    return address


def respond_xml(text: str) -> Response:
    """An answer that is XML."""
    return Response(text, content_type="application/xml; charset=utf-8")
