"""An answer that fails in the middle breaks off, so that nobody takes it for whole.

Datasette sends its error page after what was sent already, which datasette-gzip then ends well.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(tryfirst=True)  # inside of datasette-gzip
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Refuse to begin an answer twice; the server then breaks the connection."""

    def wrap(app: App) -> App:
        async def with_one_start(scope: dict[str, Any], receive: Any, send: Any) -> None:
            started = False

            async def send_once(message: dict[str, Any]) -> None:
                nonlocal started
                if message["type"] == "http.response.start":
                    if started:
                        raise RuntimeError("an answer broke off; the log says why")
                    started = True
                await send(message)

            await app(scope, receive, send_once)

        return with_one_start

    return wrap
