"""Which error an exception of Datasette's or SQLite's stands for."""

from collections.abc import Mapping

from datasette.database import QueryInterrupted
from datasette.utils import tilde_decode
from datasette.utils.asgi import BadRequest, Base400, NotFound, Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError
from markupsafe import Markup

from . import errors


class MethodNotAllowed(Base400):  # type: ignore[misc]  # Datasette has no types
    """A request that is not for reading."""

    status = 405


class TooBusy(Base400):  # type: ignore[misc]  # Datasette has no types
    """A request that would be answered at another time."""

    status = 503


def find_cause(request: Request, exception: Exception) -> Exception:
    """The exception, or which of a request's faults SQLite or Datasette stumbled over."""
    cause: Exception = exception
    if isinstance(exception, (sqlite3.ProgrammingError, sqlite3.Warning)):
        if "pks" in request.url_vars:
            cause = NotFound("Record not found")  # for a key of fewer parts than the table's
        elif "_where" in request.args:
            cause = BadRequest(str(exception))
    elif isinstance(exception, (IndexError, TypeError)) and request.path.endswith(".blob"):
        cause = BadRequest("There are no such bytes here")
    return cause


def explain(request: Request, exception: Exception, limit_ms: int) -> errors.Explanation:
    """Which error it is. Text that Datasette marks as HTML is read as text all the same."""
    # Bare, it is a query of a page of ours that was too slow; only for CSV is it the visitor's.
    slow = exception.__context__ if isinstance(exception, DatasetteError) else exception
    is_theirs = slow is not exception or request.path.endswith(".csv")
    if is_theirs and isinstance(slow, QueryInterrupted):
        parameters = slow.params if isinstance(slow.params, Mapping) else None
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
    if exception.status == 405:
        return errors.explain_method()
    if exception.status == 503:
        return errors.explain_busy(message)
    return errors.explain_request(message)  # Datasette says 500 of a wrong _sort, too
