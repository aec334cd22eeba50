"""Search for SQL: search_papers(…) ranks, search_suggestion(…) corrects; snippets keep <mark>."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import markupsafe
from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.ranking import Synonyms, load_synonyms
from dailypapers.results import Search, find_papers, suggest_spelling
from dailypapers.snippets import mark_safely

SYNONYMS = Path(__file__).resolve().parent.parent / "synonyms.yml"


@cache
def read_synonyms() -> Synonyms:
    """synonyms.yml, read once."""
    return load_synonyms(SYNONYMS)


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Offer the two functions to SQL; metadata.yml's queries are what calls them."""
    conn.create_function("search_papers", 6, partial(search_papers, conn))
    conn.create_function("search_suggestion", 1, partial(search_suggestion, conn))


def search_papers(
    conn: sqlite3.Connection, q: Any, tag: Any, org: Any, year: Any, sort: Any, page: Any
) -> str:
    """One page of results as a JSON array of objects (number, score, snippet), best first.

    Parameters come from visitors: anything may be in them, and nothing in them is an error.
    """
    filters = tuple(
        (name, _as_text(value)) for name, value in [("tag", tag), ("org", org), ("year", year)]
    )
    number = _as_text(page).strip()
    search = Search(
        typed=_as_text(q),
        filters=filters,
        sort=_as_text(sort),
        page=int(number) if number.isdecimal() and len(number) < 9 else 1,
    )
    results = find_papers(conn, search, read_synonyms())
    return json.dumps([vars(result) for result in results])


def search_suggestion(conn: sqlite3.Connection, q: Any) -> str | None:
    """What was typed with its unknown words corrected, or NULL."""
    return suggest_spelling(conn, _as_text(q), read_synonyms())


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)


@hookimpl
def render_cell(value: Any, column: str) -> markupsafe.Markup | None:
    """Show the hits of a snippet; everything else in it is text, whatever it says."""
    return mark_safely(value) if column == "snippet" and isinstance(value, str) else None


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[[str], Awaitable[str | None]]]:
    """Give templates `suggest_search(typed)`."""

    async def suggest_search(typed: str) -> str | None:
        results = await datasette.get_database("daily").execute(
            "select search_suggestion(?)", [typed]
        )
        suggestion: str | None = results.single_value()
        return suggestion

    return {"suggest_search": suggest_search}
