"""Keys that a program percent-encodes in an address find their row, in every format.

Datasette 0.65 redirects them to its own encoding, but encodes the dot before the format as well, so
that /daily/tags/%C3%A9.json became the page of a row “é.json”.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

_FORMATS = rb"\.(?:json|csv|ndjson|bib|ris|csljson|blob)"
_ENCODED = re.compile(rb"(?P<path>(?:/[^/?]+){2,}/[^/?]*%[^/?]*)(?P<format>" + _FORMATS + rb")")


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Answer as for the address that Datasette understands."""

    def wrap(app: App) -> App:
        async def with_keys(scope: dict[str, Any], receive: Any, send: Any) -> None:
            raw = (scope.get("raw_path") or b"").partition(b"?")[0]
            if encoded := _ENCODED.fullmatch(raw):
                path = encode_key(encoded["path"]) + encoded["format"]
                scope = {**scope, "path": path.decode("latin-1"), "raw_path": path}
            await app(scope, receive, send)

        return with_keys

    return wrap


def encode_key(path: bytes) -> bytes:
    """The path in Datasette's own encoding, as Datasette's redirect has it."""
    return path.replace(b"~", b"~7E").replace(b"%", b"~").replace(b".", b"~2E")
