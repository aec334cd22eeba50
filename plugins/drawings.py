"""Drawings for templates: `draw_bars(rows, x, y, label)` and `await draw_schema()`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from markupsafe import Markup

from dailypapers.publishing import bars, diagram


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Any]]:
    """Give templates the two functions; what they return is markup."""

    async def draw_schema(database: str = "daily") -> Markup:
        return diagram.draw_schema(await read_shapes(datasette, database))

    return {"draw_bars": draw_bars, "draw_schema": draw_schema}


def draw_bars(
    rows: Sequence[Mapping[str, Any]], x: str, y: str, label: str, href: str | None = None
) -> Markup:
    """A bar for each row: its period ("2025-06", or a year) in column `x`, its count in `y`."""
    return bars.draw_bars([(str(row[x]), int(row[y] or 0)) for row in rows], label, href)


async def read_shapes(datasette: Datasette, database: str) -> list[diagram.TableShape]:
    """The tables that visitors see, as the database itself describes them."""
    db = datasette.get_database(database)
    hidden = set(await db.hidden_table_names())
    foreign_keys = await db.get_all_foreign_keys()
    shapes = []
    for table in await db.table_names():
        if table in hidden:
            continue
        columns = await db.table_column_details(table)
        shapes.append(
            diagram.TableShape(
                name=table,
                href=datasette.urls.table(database, table),
                columns=tuple(column.name for column in columns),
                primary_keys=frozenset(column.name for column in columns if column.is_pk),
                references=tuple(
                    (key["column"], key["other_table"]) for key in foreign_keys[table]["outgoing"]
                ),
            )
        )
    return shapes
