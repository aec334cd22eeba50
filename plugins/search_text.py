"""Whatever is typed into a table's search box is a search, never an error.

Datasette 0.65 answers 400 to `?_search=` and to text in which escape_fts finds no word ('""').
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import escape_fts
from datasette.utils.sqlite import sqlite3

QUOTED = re.compile(r'"[^"]*"')
MAX_WORDS = 200

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(trylast=True)  # after Datasette's own, which this takes the name of
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Give SQL an escape_fts whose answer FTS5 always understands."""
    conn.create_function("escape_fts", 1, quote_words)


def quote_words(text: str | None) -> str:
    """The words in quotes, as escape_fts does; "" (which nothing matches) where there are none.

    Of very many, the first: each is looked up by itself.
    """
    quoted: str = escape_fts((text or "").replace("\0", " "))
    return " ".join(QUOTED.findall(quoted)[:MAX_WORDS]) or '""'


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Drop blank searches from the address, so that they list everything."""

    def wrap(app: App) -> App:
        async def without_blank_search(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if b"_search=" in scope.get("query_string", b""):
                scope = {**scope, "query_string": drop_blank_search(scope["query_string"])}
            await app(scope, receive, send)

        return without_blank_search

    return wrap


def drop_blank_search(query_string: bytes) -> bytes:
    """The query string without `_search` parameters that hold no more than blanks."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    kept = [pair for pair in pairs if pair[0] != "_search" or pair[1].strip()]
    return query_string if kept == pairs else urlencode(kept).encode("ascii")
