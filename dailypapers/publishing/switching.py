"""A site that goes on with a new database file, without a restart.

A whole new site is made of the new file in the background. When it is ready, new visitors get it,
while those who are there already end in the old one, which is then closed: so no answer mixes two
files, and no request fails.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from datasette.app import Datasette

from ..command import say
from .opened import Identity, open_connections
from .stopping import end_well, set_time_limit
from .successors import (
    close_site,
    find_identities,
    is_site_of,
    make_successor,
    read_trusted,
)

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

LOOK_SECONDS = 1.0
"""How often it is looked whether there is a new file."""

PATIENCE = 10.0
"""Seconds that a new file must lie there unchanged if inspect-data.json does not speak of it:
build.py is still counting, or somebody is still copying."""

TRIES = 3
"""How often it is tried to serve a new file, which may fail for other reasons, too."""


@dataclass
class Change:
    """What lies at the paths of the site's databases, since when, and how often it failed."""

    found: list[Identity | None]
    since: float
    failures: int = 0


class Site:
    """A Datasette with the visitors that it serves."""

    def __init__(self, datasette: Datasette, app: App) -> None:
        self.datasette = datasette
        self._app = app
        self._visitors = 0

    async def serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        self._visitors += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._visitors -= 1

    async def wait_until_empty(self) -> None:
        """Return when the last visitor has left."""
        while self._visitors:
            await asyncio.sleep(LOOK_SECONDS)


class Switch:
    """The ASGI application of a site that looks for new files as long as the server runs."""

    def __init__(self, datasette: Datasette, app: App) -> None:
        self._site = Site(datasette, app)
        self._change: Change | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve a request from the newest file; a lifespan is the server's."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._site.serve(scope, receive, send)

    async def _live(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Start the site, then look for new files until the server stops."""
        await start_site(self._site, scope, await receive())
        await open_connections(self._site.datasette)
        await self._catch_up()
        set_time_limit()
        await send({"type": "lifespan.startup.complete"})
        watch = asyncio.create_task(self._watch())
        await receive()
        watch.cancel()
        end_well()
        await send({"type": "lifespan.shutdown.complete"})

    async def _catch_up(self) -> None:
        """Where a new file came while the site started, it might know some of either."""
        datasette = self._site.datasette
        found = find_identities(datasette)
        if not is_site_of(datasette, found) and None not in found:
            await self._take(Change(found, time.monotonic()), read_trusted(datasette))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception:  # the site that is there goes on
                traceback.print_exc()

    async def _look(self) -> None:
        datasette = self._site.datasette
        found = find_identities(datasette)
        if is_site_of(datasette, found) or None in found:
            self._change = None
            return
        if not self._change or self._change.found != found:
            self._change = Change(found, time.monotonic())
        known = read_trusted(datasette)
        waits = len(known) < len(found) and time.monotonic() - self._change.since < PATIENCE
        if not waits and self._change.failures < TRIES:
            await self._take(self._change, known)

    async def _take(self, change: Change, known: dict[str, Any]) -> None:
        """Serve the new file, or say once why not."""
        try:
            successor = await make_successor(self._site.datasette, known)
        except Exception as error:
            change.failures += 1
            if change.failures == TRIES:
                say(f"The new database is not served, but the old one: {error}")
            return
        if not is_site_of(successor, change.found):  # replaced once more meanwhile
            await close_site(successor)
            return
        old, self._site = self._site, Site(successor, successor.client.app)
        say("A new database is served.")
        task = asyncio.create_task(retire_site(old))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def start_site(site: Site, scope: dict[str, Any], message: Any) -> None:
    """Start it as a server does that stops at once, so that nothing holds on to it."""
    messages = iter([message, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(answer: dict[str, Any]) -> None:
        if answer["type"] == "lifespan.startup.failed":
            raise RuntimeError(answer.get("message"))

    await site.serve(scope, receive, send)


async def retire_site(site: Site) -> None:
    """Let its visitors end, then give back what it holds."""
    await site.wait_until_empty()
    await close_site(site.datasette)
