"""The floor of serving: `python bench/bare_app.py DB PORT WORKERS`, an ASGI application that only
runs a statement and sends its rows as JSON: the hundred newest papers at /list, one at /paper/ID.
"""

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import uvicorn

LIST = "select * from papers order by published desc, id limit 100"
PAPER = "select * from papers where id = ?"


@cache
def connect() -> sqlite3.Connection:
    path = os.environ["BENCH_DATABASE"]
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


async def app(
    scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Answer anything below /paper/ as a paper, and everything else as the list."""
    if scope["type"] != "http":
        return  # uvicorn goes on without what happens at start and end
    above, _, key = scope["path"].rpartition("/")
    rows = connect().execute(PAPER, [key]) if above == "/paper" else connect().execute(LIST)
    body = json.dumps([dict(row) for row in rows]).encode()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    os.environ["BENCH_DATABASE"] = sys.argv[1]
    # Unless a socket says that it is TCP, asyncio leaves Nagle's algorithm on, and an answer may
    # wait 40 ms; one that uvicorn makes for several processes does not say so.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", int(sys.argv[2])))
        for _ in range(int(sys.argv[3]) - 1):
            if not os.fork():
                break
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main()
