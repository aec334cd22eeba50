"""Ways to the feeds: `feed_url(address)` for templates, the list of all tags' feeds for readers at
/feeds.opml, and /daily/papers.atom, which is newest first whatever its address asks for."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

from dailypapers.publishing import feeds
from dailypapers.publishing.addresses import strip_base

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

TAGS = "select id, name from tags where papers > 0 order by name, id"


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[[str], str]]:
    """Give templates `feed_url(address)`, the feed of a page of papers or of a search."""

    def feed_url(address: str) -> str:
        parts = urlsplit(address)
        path = strip_base(parts.path, datasette.setting("base_url"))
        return str(datasette.urls.path(feeds.make_feed_address(path, parts.query)))

    return {"feed_url": feed_url}


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """/feeds.opml; and of a search, the feed is not the page's own papers but the newest."""
    return [(r"^/feeds\.opml$", list_feeds), (r"^/daily/search\.atom$", find_feed)]


def find_feed(datasette: Datasette, request: Request) -> Response:
    """The way to the feed of a search."""
    address = feeds.make_feed_address(feeds.SEARCH, request.query_string)
    return Response.redirect(datasette.urls.path(address))


async def list_feeds(datasette: Datasette, request: Request) -> Response:
    """The feeds of all papers and of each tag."""

    def make_link(path: str) -> str:
        return str(datasette.absolute_url(request, datasette.urls.path(path)))

    found = [(feeds.join_title([]), make_link(feeds.make_feed_address(feeds.NEWEST, "")))]
    for tag in await datasette.get_database("daily").execute(TAGS):
        address = feeds.make_feed_address(feeds.PAPERS, urlencode({"_tag": tag["id"]}))
        found.append((feeds.join_title([tag["name"]]), make_link(address)))
    return Response(feeds.write_opml(found), content_type="text/x-opml; charset=utf-8")


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Let the papers page's feed ask for the newest, and for nothing that a feed does not show."""

    def wrap(app: App) -> App:
        async def with_newest_first(scope: dict[str, Any], receive: Any, send: Any) -> None:
            path = strip_base(scope.get("path", ""), datasette.setting("base_url"))
            if path == feeds.PAPERS + feeds.SUFFIX:
                query_string = feeds.ask_for_newest(scope["query_string"].decode("latin-1"))
                scope = {**scope, "query_string": query_string.encode("ascii")}
            await app(scope, receive, send)

        return with_newest_first

    return wrap
