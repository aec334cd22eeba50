"""Search for SQL: search_papers(…) ranks, search_suggestion(…) corrects, search_description(…)
says it in words; snippets keep <mark>. Templates get what the search page needs beside rows."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import markupsafe
from datasette import hookimpl
from datasette.app import Datasette
from jinja2 import Environment

from dailypapers.publishing import search_words
from dailypapers.ranking import Synonyms, load_synonyms
from dailypapers.results import Search, find_papers, suggest_spelling, understand_search
from dailypapers.snippets import mark_safely

SYNONYMS = Path(__file__).resolve().parent.parent / "synonyms.yml"
PARAMETERS = ("q", "tag", "org", "year", "sort")

_choices: WeakKeyDictionary[Datasette, dict[str, list[Any]]] = WeakKeyDictionary()


@cache
def read_synonyms() -> Synonyms:
    """synonyms.yml, read once."""
    return load_synonyms(SYNONYMS)


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Offer the functions to SQL; metadata.yml's queries and the search page call them."""
    conn.create_function("search_papers", 6, partial(search_papers, conn))
    conn.create_function("search_suggestion", 1, partial(search_suggestion, conn))
    conn.create_function("search_description", len(PARAMETERS), partial(search_description, conn))


def search_papers(
    conn: sqlite3.Connection, q: Any, tag: Any, org: Any, year: Any, sort: Any, page: Any
) -> str:
    """One page of results as a JSON array of objects, best first: number, score, snippet, and the
    same in each, found and more.

    Parameters come from visitors: anything may be in them, and nothing in them is an error.
    """
    results = find_papers(conn, make_search(q, tag, org, year, sort, page), read_synonyms())
    return json.dumps([vars(result) for result in results])


def make_search(q: Any, tag: Any, org: Any, year: Any, sort: Any, page: Any = 1) -> Search:
    """What the parameters ask for."""
    number = _as_text(page).strip()
    return Search(
        typed=_as_text(q),
        filters=(("tag", _as_text(tag)), ("org", _as_text(org)), ("year", _as_text(year))),
        sort=_as_text(sort),
        page=int(number) if number.isdecimal() and len(number) < 9 else 1,
    )


def search_description(
    conn: sqlite3.Connection, q: Any, tag: Any, org: Any, year: Any, sort: Any
) -> str:
    """How search_papers understands these parameters, as a sentence of plain text."""
    search = make_search(q, tag, org, year, sort)
    query = understand_search(search)
    names = search_words.look_up_names(conn, query)
    return search_words.describe_search(query, search.sort, names)


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
def prepare_jinja2_environment(env: Environment) -> None:
    """`|mark_safely`, for snippets."""
    env.filters["mark_safely"] = mark_safely


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Give templates `suggest_search(typed)`, `describe_search(named_parameter_values)` and
    `list_search_choices()`."""

    async def ask(sql: str, values: Any) -> Any:
        results = await datasette.get_database("daily").execute(sql, values)
        return results.single_value()

    async def suggest_search(typed: str) -> Any:
        return await ask("select search_suggestion(?)", [typed])

    async def describe_search(named: Mapping[str, Any]) -> Any:
        values = {name: named.get(name) for name in PARAMETERS}
        return await ask("select search_description(:q, :tag, :org, :year, :sort)", values)

    async def list_search_choices() -> dict[str, list[Any]]:
        if datasette not in _choices:
            db = datasette.get_database("daily")
            _choices[datasette] = await db.execute_fn(search_words.list_choices)
        return _choices[datasette]

    return {
        "suggest_search": suggest_search,
        "describe_search": describe_search,
        "list_search_choices": list_search_choices,
    }
