"""`list_charts()` for templates: the queries of metadata.yml whose group is "Charts", with rows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted

from dailypapers.publishing.charts import Axes, Row, read_axes, split_by_color

_rows: WeakKeyDictionary[Database, dict[str, list[Row]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Chart:
    """A chart to show small; `rows` is None where they took too long to count."""

    name: str
    query: dict[str, Any]
    axes: Axes
    rows: list[Row] | None

    def split_rows(self) -> list[tuple[str, list[Row]]]:
        """The rows of each colour, where the chart has colours."""
        return split_by_color(self.rows or [], self.axes)


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[[], Awaitable[list[Chart]]]]:
    """Give templates `list_charts()`."""

    async def list_charts() -> list[Chart]:
        queries = datasette.metadata("queries", database="daily") or {}
        return [
            Chart(name, query, read_axes(query["fragment"]), await read_rows(datasette, query))
            for name, query in queries.items()
            if query.get("group") == "Charts"
        ]

    return {"list_charts": list_charts}


async def read_rows(datasette: Datasette, query: dict[str, Any]) -> list[Row] | None:
    """A page of charts must come even where one of them is too slow for a very large file.

    Of a file that cannot change, each chart is counted once.
    """
    db, sql = datasette.get_database("daily"), query["sql"]
    known = _rows.setdefault(db, {})
    if sql in known:
        return known[sql]
    try:
        rows = [dict(row) for row in await db.execute(sql)]
    except QueryInterrupted:
        return None
    if not db.is_mutable:
        known[sql] = rows
    return rows
