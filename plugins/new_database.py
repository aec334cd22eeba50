"""A new database is served without a restart: see dailypapers/publishing/switching.py."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.publishing.known_files import know_files
from dailypapers.publishing.opened import open_files
from dailypapers.publishing.successors import remember_metadata
from dailypapers.publishing.switching import Switch

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(tryfirst=True)  # before others ask the databases
async def startup(datasette: Datasette) -> None:
    """Open the files that are there now; a new one is the next site's."""
    remember_metadata(datasette)
    open_files(datasette)
    await know_files(datasette)


@hookimpl(hookwrapper=True)  # around the wrappers of all plugins, which each site has of its own
def asgi_wrapper(datasette: Datasette) -> Generator[None, Any, None]:
    """Serve the newest site."""
    outcome = yield
    # Datasette's own client, which it makes before it has one, keeps to its site.
    if hasattr(datasette, "client") and datasette.immutables:
        wrappers = outcome.get_result()
        outcome.force_result([*wrappers, lambda app: Switch(datasette, app)])
