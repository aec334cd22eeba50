"""All rows of a list, as .csv and .ndjson with `_stream=on`; CSV for Excel with `_bom=on`.

Datasette's own streamed CSV goes on when the visitor has left, and ends an error in the middle
like a whole file. Tables and the queries of metadata.yml are sent in full here. Visitors' own SQL
gives what it gives elsewhere, and says so where that is not all.
"""

from collections.abc import Callable, Sequence
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import add_cors_headers
from datasette.utils.asgi import BadRequest, Request, Response
from datasette.views.base import DataView
from datasette.views.database import DatabaseView
from datasette.views.table import TableView

from dailypapers.publishing.all_rows import change_arguments, read_page, write_all, write_page
from dailypapers.publishing.exports import Csv, Format, JsonLines, Page
from dailypapers.publishing.streaming import Stream


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """The addresses of tables and queries, and of visitors' own SQL."""
    return [
        (r"^/(?P<database>[^/.]+)/(?P<table>[^/.]+)\.(?P<format>csv|ndjson)$", export_table),
        (r"^/(?P<database>[^/.]+)\.(?P<format>csv|ndjson)$", export_sql),
    ]


@hookimpl
def register_output_renderer() -> dict[str, Any]:
    """Offer .ndjson wherever there are rows."""
    return {"extension": "ndjson", "render": render_lines}


def render_lines(
    request: Request, columns: Sequence[str], rows: Sequence[Any], data: dict[str, Any]
) -> Response:
    """The rows of one page, with a Link header to the next."""
    if not columns or data.get("error"):
        raise BadRequest(data.get("error") or "There are no rows here.")
    format = choose_format(request)
    headers = {"link": f'<{data["next_url"]}>; rel="next"'} if data.get("next_url") else {}
    body = format.write(Page(columns, rows))
    return Response(body, headers=headers, content_type=format.content_type)


async def export_table(datasette: Datasette, request: Request) -> Any:
    """A table, or a query of metadata.yml."""
    return await export(TableView(datasette), request)


async def export_sql(datasette: Datasette, request: Request) -> Any:
    """A visitor's query."""
    return await export(DatabaseView(datasette), request)


async def export(view: DataView, request: Request) -> Any:
    """All rows, or a CSV for Excel; anything else is Datasette's to answer."""
    wants_all = bool(request.args.get("_stream"))
    for_excel = request.url_vars["format"] == "csv" and bool(request.args.get("_bom"))
    has_rows = "table" in request.url_vars or request.args.get("sql")
    if request.method not in ("GET", "HEAD") or not has_rows or not (wants_all or for_excel):
        return await view.dispatch_request(request)
    if wants_all:
        check_stream(view.ds, request)
        request = change_arguments(request, {"_size": "max"})
    await view.ds.refresh_schemas()
    page = await read_page(view, request)
    if isinstance(page, Response):
        return page
    format = choose_format(request)
    headers = make_headers(view.ds, request, format)
    if wants_all and (page["truncated"] or page.get("next")):
        check_source(view.ds, request, page)
        chunks = write_all(view.ds, request, page, format)
    else:
        chunks = write_page(page, format)
    return Stream(request.receive, chunks if request.method == "GET" else None, headers)


def check_stream(datasette: Datasette, request: Request) -> None:
    """What Datasette refuses, too."""
    if not datasette.setting("allow_csv_stream"):
        raise BadRequest("Streaming is disabled")
    if request.args.get("_next"):
        raise BadRequest("_next is not allowed with _stream, which begins with the first row")


def check_source(datasette: Datasette, request: Request, page: dict[str, Any]) -> None:
    """SQL that anybody may write must not run for long."""
    is_theirs = not page.get("table") and not page.get("query_name")
    is_raw = request.args.get("_searchmode") == "raw"
    if is_theirs or is_raw or request.args.get("_where"):
        limit = datasette.setting("max_returned_rows")
        raise BadRequest(
            f"Your SQL gives at most {limit:,} rows at a time. Page it with limit and offset."
        )


def choose_format(request: Request) -> Format:
    """What the address asks for."""
    if request.url_vars["format"] == "csv":
        return Csv(request.args.get("_header") != "off", bool(request.args.get("_bom")))
    return JsonLines(frozenset(request.args.getlist("_json")))


def make_headers(datasette: Datasette, request: Request, format: Format) -> dict[str, str]:
    """With `_dl`, a browser saves the file."""
    headers = {"content-type": format.content_type}
    if datasette.cors:
        add_cors_headers(headers)
    if request.args.get("_dl"):
        name = request.url_vars.get("table") or request.url_vars["database"]
        file = f"{name}.{request.url_vars['format']}"  # as in the address, without any quotes
        headers["content-disposition"] = f'attachment; filename="{file}"'
    return headers
