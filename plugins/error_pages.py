"""Error pages that say what to do next.

Datasette's own answer is made as well, before the first one is sent: `error.html` therefore has
to do with the few variables that Datasette gives it, and the page told here is `error_page.html`.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils import add_cors_headers, tilde_decode
from datasette.utils.asgi import Base400, Forbidden, Request, Response
from datasette.views.base import DatasetteError
from markupsafe import Markup

from dailypapers.publishing import errors

Answer = Callable[[], Awaitable[Response | None]]
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@hookimpl
def handle_exception(datasette: Datasette, request: Request, exception: Exception) -> Answer:
    """Answer as HTML, or as one line of text for CSV; JSON stays Datasette's own."""

    async def answer() -> Response | None:
        if request.path.endswith(".json"):
            return None
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
    """Answer for templates/pages/ too: what fails in them, Datasette lets through."""

    def wrap(app: App) -> App:
        async def with_answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
            started = False

            async def send_and_note(message: dict[str, Any]) -> None:
                nonlocal started
                started = True
                await send(message)

            try:
                await app(scope, receive, send_and_note)
            except Exception as exception:
                if started or scope["type"] != "http":
                    raise
                traceback.print_exc()
                request = Request({"csrftoken": str, **scope}, receive)  # str() is "", no token
                answer = await write_answer(datasette, request, exception)
                if answer is None:
                    raise
                await answer.asgi_send(send)

        return with_answer

    return wrap


async def write_answer(
    datasette: Datasette, request: Request, exception: Exception
) -> Response | None:
    """The error as an answer; None, so that Datasette's comes, where writing it fails too."""
    headers = {"Cache-Control": "no-store"}
    if datasette.cors:
        add_cors_headers(headers)
    try:
        explained = explain(datasette, request, exception)
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


def explain(datasette: Datasette, request: Request, exception: Exception) -> errors.Explanation:
    """Which error it is. Text that Datasette marks as HTML is read as text all the same."""
    # Bare, it is a query of a page of ours that was too slow; only for CSV is it the visitor's.
    slow = exception.__context__ if isinstance(exception, DatasetteError) else exception
    is_theirs = slow is not exception or request.path.endswith(".csv")
    if is_theirs and isinstance(slow, QueryInterrupted):
        parameters = slow.params if isinstance(slow.params, Mapping) else None
        limit_ms = datasette.setting("sql_time_limit_ms")
        return errors.explain_slow_query(slow.sql, parameters, limit_ms)
    if not isinstance(exception, (Base400, DatasetteError)):
        return errors.explain_failure()
    message = str(exception.args[0]) if exception.args else ""
    if isinstance(exception, DatasetteError):
        message = str(exception.message)
        if exception.message_is_html:
            message = Markup(message).striptags()
    if exception.status == 404:
        path = [tilde_decode(part) for part in request.path.strip("/").split("/")]
        return errors.explain_missing(message, path)
    if exception.status == 403:
        return errors.explain_forbidden()
    return errors.explain_request(message)  # Datasette says 500 of a wrong _sort, too
