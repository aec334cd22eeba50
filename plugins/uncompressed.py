"""Files are sent as they are: datasette-gzip would compress gigabytes again for each visitor, a
second for each 15 MB, and serve nobody else meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.publishing.downloads import TYPES

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(trylast=True)  # outside of datasette-gzip
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Ask for them as a visitor does who reads nothing compressed."""

    def wrap(app: App) -> App:
        async def without_compression(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"].endswith(tuple(TYPES)):
                kept = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
                scope = {**scope, "headers": kept}
            await app(scope, receive, send)

        return without_compression

    return wrap
