"""In results of a query, a paper's title leads to the paper: the row needs `id` and `title`."""

import sqlite3

import markupsafe
from datasette import hookimpl
from datasette.app import Datasette


@hookimpl
def render_cell(
    row: sqlite3.Row,
    value: object,
    column: str,
    table: str | None,
    database: str,
    datasette: Datasette,
) -> markupsafe.Markup | None:
    """Link the title; None leaves a cell to Datasette, as all those of tables."""
    columns = row.keys()
    if table is not None or column != "title" or "id" not in columns or not value:
        return None
    path = datasette.urls.row(database, "papers", str(row["id"]))
    return markupsafe.Markup('<a href="{}">{}</a>').format(path, value)
