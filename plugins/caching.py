"""A visitor who comes back to a page that has not changed is told so, and nothing is run.

Answers get an ETag and a Cache-Control. They depend on the database, which is immutable, on the
site's own files and settings, and on the address: where one of these changes, so does the tag.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.publishing import caching, static_files
from dailypapers.publishing.addresses import strip_base

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

ROOT = Path(__file__).resolve().parent.parent
FILES = ("dailypapers", "plugins", "static", "templates", "synonyms.yml", "vocabulary.yml")
DAY = 24 * 60 * 60

states: WeakKeyDictionary[Datasette, str] = WeakKeyDictionary()
"""By site; a site that may change while it runs is not in it, and its answers get no tags."""


@hookimpl
async def startup(datasette: Datasette) -> None:
    """Work out the state of the site."""
    state = await asyncio.to_thread(describe_state, datasette)
    if state:
        states[datasette] = state


def describe_state(datasette: Datasette) -> str | None:
    """A hash of all that answers depend on but the address; None where a database may change."""
    databases = [db for name, db in datasette.databases.items() if name != "_internal"]
    if any(db.is_mutable for db in databases):
        return None
    facts = [
        [(db.name, db.hash) for db in databases],
        [datasette.settings_dict(), datasette.metadata(), datasette.cors],
        sorted(f"{package.name} {package.version}" for package in distributions()),
        caching.hash_files(ROOT, FILES),
    ]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Answer what the visitor holds already with 304; mark all other answers."""

    def wrap(app: App) -> App:
        async def with_tags(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            visit = read_visit(datasette, scope)
            tag, lifetime = None, caching.NOT_KEPT
            if visit.is_cacheable:
                tag, lifetime = choose_tag(datasette, visit), choose_lifetime(datasette, visit)
            if tag and visit.holds(tag):
                headers = caching.confirm_answer(visit, tag, lifetime)
                await send({"type": "http.response.start", "status": 304, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
            else:
                await app(scope, receive, partial(send_marked, send, tag, lifetime))

        return with_tags

    return wrap


def read_visit(datasette: Datasette, scope: dict[str, Any]) -> caching.Visit:
    """What is asked for, with the path as Datasette routes it."""
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    return caching.Visit(
        method=scope["method"],
        scheme=scope.get("scheme") or "http",
        path=strip_base(path, datasette.setting("base_url")),
        query_string=(scope.get("query_string") or b"").decode("latin-1"),
        headers=[(name.lower(), value) for name, value in scope["headers"]],
    )


def choose_tag(datasette: Datasette, visit: caching.Visit) -> str | None:
    """None where the site may change, or has not worked out its state yet."""
    state = states.get(datasette)
    return caching.make_tag(state, int(time.time() // DAY), visit) if state else None


def choose_lifetime(datasette: Datasette, visit: caching.Visit) -> str:
    """The Cache-Control of an answer that states none."""
    if not visit.is_static:
        return caching.say_lifetime(datasette.setting("default_cache_ttl"))
    if visit.path == "/-/static/app.css":
        current = datasette.app_css_hash()
    else:
        current = static_files.hash_folder(ROOT / "static").get(visit.path.removeprefix("/static/"))
    return static_files.choose_lifetime(visit.path, visit.query_string, current)


async def send_marked(send: Any, tag: str | None, lifetime: str, message: dict[str, Any]) -> None:
    """Send a part of an answer; its first part is what carries headers."""
    if message["type"] == "http.response.start":
        headers = [(name.lower(), value) for name, value in message["headers"]]
        marked = caching.mark_answer(message["status"], headers, tag, lifetime)
        message = {**message, "headers": marked}
    await send(message)
