"""Which SQL of a request is the visitor's, and how much it may do."""

from dataclasses import dataclass
from typing import Any

from datasette.database import Database
from datasette.utils.asgi import Request

from .bounded_sql import Statement

MAX_BYTES = 4_000_000
MAX_CELLS = 20_000
"""Of an answer's rows; so many cells take 0.4 seconds to write as a page, and others wait."""

SHARE = 1.5
"""All statements of a request together may run so many times as long as one."""


@dataclass
class Visit:
    """What a visitor wrote of the SQL of a request, and how long that may still run."""

    texts: tuple[str, ...]
    left_ms: float

    def wrote(self, sql: str) -> bool:
        """Whether some of a statement is the visitor's."""
        return any(text in sql for text in self.texts)


def begin_visit(request: Request, limit_ms: float) -> Visit | None:
    """None where no SQL of a request is the visitor's. `limit_ms` is that of one statement."""
    written = [*request.args.getlist("sql"), *request.args.getlist("_where")]
    if request.args.get("_searchmode") == "raw":
        written += ["match :search"]  # in Datasette's words
    texts = tuple(filter(None, map(str.strip, written)))
    return Visit(texts, limit_ms * SHARE) if texts else None


def make_statement(
    database: Database,
    visit: Visit,
    sql: str,
    params: Any,
    truncate: bool = False,
    custom_time_limit: int | None = None,
    page_size: int | None = None,
    log_sql_errors: bool = True,
) -> Statement:
    """What Datasette would run, given as to its Database.execute."""
    ds = database.ds
    limits_ms = (visit.left_ms, ds.sql_time_limit_ms, custom_time_limit or ds.sql_time_limit_ms)
    return Statement(
        uri=f"file:{database.path}?{'mode=ro' if database.is_mutable else 'immutable=1'}",
        database=database.name,
        sql=sql,
        parameters=params,
        limit_ms=min(limits_ms),
        max_rows=ds.max_returned_rows + (page_size == ds.max_returned_rows),
        max_cells=MAX_CELLS,
        max_bytes=MAX_BYTES,
        truncate=truncate,
    )
