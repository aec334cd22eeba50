"""One address for the site and for each page, whatever host a request names.

Templates get `canonical_url(request)` and `site_url(request)`. SITE_URL states the origin; without
it, it is the request's.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import StartupError
from datasette.utils.asgi import Request
from jinja2 import Environment

from dailypapers.publishing.addresses import (
    Origin,
    check_host,
    make_canonical,
    read_site_url,
    strip_base,
)

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl(trylast=True)  # outermost: all that Datasette and plugins write builds on this host
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Let every request name the site's own host, or at least one that is a host."""
    config = datasette.plugin_config("addresses") or {}
    try:
        stated = read_site_url(config.get("site_url"))
    except ValueError as error:
        raise StartupError(f"SITE_URL is {error}") from error

    def wrap(app: App) -> App:
        async def with_own_host(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await app(name_host(scope, stated) if scope["type"] == "http" else scope, receive, send)

        return with_own_host

    return wrap


def name_host(scope: dict[str, Any], stated: Origin | None) -> dict[str, Any]:
    """The scope with the stated origin, else with the host it names where that can be one."""
    headers = scope["headers"]
    named = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
    origin = stated or Origin(scope.get("scheme") or "http", check_host(named))
    others = [(name, value) for name, value in headers if name != b"host"]
    host = (b"host", origin.host.encode("ascii"))
    return {**scope, "scheme": origin.scheme, "headers": [host, *others]}


@hookimpl
def prepare_jinja2_environment(env: Environment, datasette: Datasette) -> None:
    """`canonical_url(request)`, absolute, and `site_url(request)`, without path.

    Globals, as Datasette gives its error pages no extra_template_vars.
    """

    def canonical_url(request: Request) -> str:
        path = strip_base(request.path, datasette.setting("base_url"))
        canonical = make_canonical(path, request.args.get("q"))
        return say_origin(datasette, request) + str(datasette.urls.path(canonical))

    env.globals |= {"canonical_url": canonical_url, "site_url": partial(say_origin, datasette)}


def say_origin(datasette: Datasette, request: Request) -> str:
    """As "https://papers.example.org"."""
    scheme = "https" if datasette.setting("force_https_urls") else request.scheme
    return f"{scheme}://{request.host}"
