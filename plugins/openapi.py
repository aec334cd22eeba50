"""/openapi.json describes the API to programs that make clients, pages or tests of it."""

from collections.abc import Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import add_cors_headers
from datasette.utils.asgi import Request, Response

from dailypapers import __version__
from dailypapers.publishing.openapi import Site, describe_api


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """The address where programs look for it."""
    return [(r"^/openapi\.json$", answer_openapi)]


def answer_openapi(datasette: Datasette, request: Request) -> Response:
    """The document, with the address of this site in it."""
    address = datasette.absolute_url(request, datasette.urls.instance())
    site = Site(
        url=address.rstrip("/"),
        version=__version__,
        metadata=datasette.metadata(),
        page_size=datasette.setting("default_page_size"),
        max_rows=datasette.setting("max_returned_rows"),
    )
    headers: dict[str, str] = {}
    if datasette.cors:
        add_cors_headers(headers)
    return Response.json(describe_api(site), headers=headers)
