"""Keys that a program percent-encodes in an address find their row, in every format.

Datasette 0.65 redirects them to its own encoding, but encodes the dot before the format as well, so
that /daily/tags/%C3%A9.json became the page of a row “é.json”.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

_FORMATS = {b"json", b"csv", b"ndjson", b"bib", b"ris", b"csljson", b"blob"}


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Answer as for the address that Datasette understands."""

    def wrap(app: App) -> App:
        async def with_keys(scope: dict[str, Any], receive: Any, send: Any) -> None:
            raw = (scope.get("raw_path") or b"").partition(b"?")[0]
            path, dot, extension = raw.rpartition(b".")
            if extension in _FORMATS and has_encoded_key(path):
                path = encode_key(path) + dot + extension
                scope = {**scope, "path": path.decode("latin-1"), "raw_path": path}
            await app(scope, receive, send)

        return with_keys

    return wrap


def has_encoded_key(path: bytes) -> bool:
    """Whether the path is of a row, as /daily/tags/%C3%A9. A pattern took sixteen seconds to tell
    that sixty thousand percent signs are none."""
    above, _, key = path.rpartition(b"/")
    root, *names = above.split(b"/")
    return b"%" in key and not root and len(names) >= 2 and all(names)


def encode_key(path: bytes) -> bytes:
    """The path in Datasette's own encoding, as Datasette's redirect has it."""
    return path.replace(b"~", b"~7E").replace(b"%", b"~").replace(b".", b"~2E")
