"""What the About and API pages tell of the database: read from metadata.yml and the file, so that
it is written once.

Templates get `describe_tables()`, `describe_queries()` and `setting(name)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette


@dataclass(frozen=True)
class Column:
    """A column in words; `points_to` is the table whose rows its values name, if any."""

    name: str
    description: str
    points_to: str | None


@dataclass(frozen=True)
class Table:
    """A table in words; `rows` is None where nobody counted them in time."""

    name: str
    title: str
    description: str
    rows: int | None
    columns: tuple[Column, ...]


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Any]]:
    """`describe_tables()` without hidden ones, `describe_queries()` by name, `setting(name)`."""

    async def list_tables() -> list[Table]:
        return await describe_tables(datasette)

    def describe_queries() -> dict[str, dict[str, Any]]:
        return dict(datasette.metadata("queries", database="daily") or {})

    return {
        "describe_tables": list_tables,
        "describe_queries": describe_queries,
        "setting": datasette.setting,
    }


async def describe_tables(datasette: Datasette) -> list[Table]:
    """The tables that visitors are shown, in metadata.yml's order."""
    database = datasette.get_database("daily")
    counts = await database.table_counts()
    hidden = set(await database.hidden_table_names())
    told = datasette.metadata("tables", database="daily") or {}
    tables = []
    for name, words in told.items():
        if name not in counts or name in hidden:
            continue
        keys = await database.foreign_keys_for_table(name)
        points_to = {key["column"]: key["other_table"] for key in keys}
        columns = tuple(
            Column(column, description, points_to.get(column))
            for column, description in words["columns"].items()
        )
        tables.append(Table(name, words["title"], words["description"], counts[name], columns))
    return tables
