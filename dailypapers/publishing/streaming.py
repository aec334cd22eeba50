"""Answers that are sent while they are made, as large as they may be."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Stream:
    """An answer that Datasette sends like its own. `chunks` is None where only headers are wanted.

    No more chunks are made than the visitor takes, and none after the visitor has left. What fails
    before the first chunk is there can still be answered with an error; later, the exception makes
    the server break the connection, by which the visitor can tell it from the end.
    """

    receive: Receive
    chunks: AsyncGenerator[bytes] | None
    headers: Mapping[str, str]
    status: int = 200

    async def asgi_send(self, send: Send) -> None:
        """What Datasette calls with a view's answer."""
        headers = [(name.encode("latin-1"), value.encode("latin-1"))
                   for name, value in self.headers.items()]  # fmt: skip
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        end = {"type": "http.response.body", "body": b""}
        if self.chunks is None:
            await send(start)
        else:
            async with aclosing(self.chunks) as chunks:
                first = await anext(chunks, b"")
                await send(start)
                await send({**end, "body": first, "more_body": True})
                await self._send_rest(send, chunks)
        await send(end)

    async def _send_rest(self, send: Send, chunks: AsyncGenerator[bytes]) -> None:
        gone = asyncio.create_task(wait_until_gone(self.receive))
        try:
            async for chunk in chunks:
                if gone.done():  # servers take what is sent to nobody, and say nothing
                    break
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # others wait, too
        finally:
            gone.cancel()


async def wait_until_gone(receive: Receive) -> None:
    """Return when the visitor closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
