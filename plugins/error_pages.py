"""Errors that say what to do next: as a page, as JSON, or as a line of text for CSV.

What Datasette would fail on is refused before it sees it. Where it does see an error, its own
answer is made as well, before the first one is sent: `error.html` therefore has to do with the
few variables that Datasette gives it, and the page told here is `error_page.html`.
"""

import traceback
from collections.abc import Awaitable, Callable
from http.cookies import CookieError
from typing import Any

from datasette import handle_exception as datasettes_own
from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import add_cors_headers
from datasette.utils.asgi import BadRequest, Base400, Forbidden, Request, Response

from dailypapers.publishing import errors, failures
from dailypapers.publishing.addresses import strip_base
from dailypapers.publishing.facets import read_pairs
from dailypapers.publishing.parameters import find_fault

Answer = Callable[[], Awaitable[Response | None]]
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

METHODS = ("GET", "HEAD", "OPTIONS")

# Where rich is installed, Datasette would print all variables of every 404: a third of a second.
datasettes_own.rich = None


@hookimpl
def handle_exception(datasette: Datasette, request: Request, exception: Exception) -> Answer:
    """Answer in place of Datasette."""

    async def answer() -> Response | None:
        return await write_answer(datasette, request, exception)

    return answer


@hookimpl
def forbidden(datasette: Datasette, request: Request, message: str) -> Answer:
    """The same page for what only some may see. Datasette takes the first answer for granted."""

    async def answer() -> Response:
        written = await write_answer(datasette, request, Forbidden(message))
        return written or Response.text("Forbidden", status=403)

    return answer


@hookimpl(tryfirst=True)  # innermost: other wrappers see a usual answer
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Answer for templates/pages/ too: what fails in them, Datasette lets through. And refuse what
    Datasette would fail on."""

    def wrap(app: App) -> App:
        async def with_answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
            started = False

            async def send_and_note(message: dict[str, Any]) -> None:
                nonlocal started
                started = True
                await send(message)

            try:
                if scope["type"] == "http":
                    scope = drop_unreadable_cookies(scope)
                    refuse_nonsense(datasette, Request(scope, receive))
                await app(scope, receive, send_and_note)
            except Exception as exception:
                if started or scope["type"] != "http":
                    raise
                if not isinstance(exception, Base400):
                    traceback.print_exc()
                request = Request({"csrftoken": str, **scope}, receive)  # str() is "", no token
                answer = await write_answer(datasette, request, exception)
                status = getattr(exception, "status", 500)
                await (answer or Response.text("Error", status=status)).asgi_send(send)

        return with_answer

    return wrap


def drop_unreadable_cookies(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope without cookies where one has a name that Datasette fails on: it may be from
    another site of the same domain."""
    try:
        Request(scope, None).cookies  # noqa: B018  # reading is the test
    except CookieError:
        kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]
        return {**scope, "headers": kept}
    return scope


def refuse_nonsense(datasette: Datasette, request: Request) -> None:
    """Raise what is wrong with a request that would fail for it."""
    path = strip_base(request.path, datasette.setting("base_url"))
    is_own = path.startswith("/-/")  # Datasette's, some of which take forms
    if request.method not in METHODS and not (is_own and request.method == "POST"):
        raise failures.MethodNotAllowed("Method not allowed")
    fault = None if is_own else find_fault(path, read_pairs(request.query_string))
    if fault:
        raise BadRequest(fault)


async def write_answer(
    datasette: Datasette, request: Request, exception: Exception
) -> Response | None:
    """The error as an answer; None, so that Datasette's comes, where writing it fails too."""
    headers = {"Cache-Control": "no-store"}
    if datasette.cors:
        add_cors_headers(headers)
    exception = failures.find_cause(request, exception)
    try:
        limit_ms = datasette.setting("sql_time_limit_ms")
        explained = failures.explain(request, exception, limit_ms)
        if explained.status == 405:
            headers["Allow"] = ", ".join(METHODS)
        if explained.status == 503:
            headers["Retry-After"] = "5"
        if request.path.endswith(".json"):
            told = errors.tell_programs(explained, getattr(exception, "title", None))
            return Response.json(told, status=explained.status, headers=headers)
        if request.path.endswith(".csv"):
            line = " ".join(f"{explained.said} {explained.advice}".split())
            return Response.text(f"{line}\n", status=explained.status, headers=headers)
        body = await datasette.render_template(
            "error_page.html", {"explained": explained}, request=request, view_name="error"
        )
        return Response.html(body, status=explained.status, headers=headers)
    except Exception:
        traceback.print_exc()
        return None
