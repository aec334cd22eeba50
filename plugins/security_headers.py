"""Every answer says what pages may do: no inline scripts, no frames, nothing from elsewhere.

Errors, files and 304s carry the same headers as pages.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.publishing.addresses import strip_base
from dailypapers.publishing.answer_headers import (
    complete_headers,
    make_headers,
    may_draw_charts,
)
from dailypapers.publishing.crawlers import is_disallowed

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(trylast=True)  # outermost
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Add the headers that an answer does not state itself."""
    site_url = str((datasette.plugin_config("addresses") or {}).get("site_url") or "")
    is_secure = site_url.startswith("https:") or bool(datasette.setting("force_https_urls"))

    def wrap(app: App) -> App:
        async def with_headers(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            own = make_headers(
                draws_charts(datasette, scope), is_secure or scope.get("scheme") == "https"
            )
            if is_disallowed(read_address(datasette, scope)):  # for those who never read robots.txt
                own.append((b"x-robots-tag", b"noindex"))
            is_preflight = scope["method"] == "OPTIONS"

            async def send_completed(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    stated = list(message["headers"])
                    headers = complete_headers(stated, own, is_preflight)
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, send_completed)

        return with_headers

    return wrap


def read_address(datasette: Datasette, scope: dict[str, Any]) -> str:
    """Path and query, without base_url."""
    path = strip_base(scope["path"], datasette.setting("base_url"))
    query = (scope.get("query_string") or b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def draws_charts(datasette: Datasette, scope: dict[str, Any]) -> bool:
    """Whether templates set `charts` for this address, or may."""
    queries = datasette.metadata("queries", database="daily") or {}
    charts = {f"/daily/{name}" for name, query in queries.items() if query.get("fragment")}
    path, _, query = read_address(datasette, scope).partition("?")
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    return may_draw_charts(path, names, charts)
