"""The filters of a table page in words: "at least 3 comments", "from NVIDIA", "words “lora”"."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .facets import FACETS, RELATIONS, Pair, read_relations
from .wording import say_count, shorten

MAX_SHOWN = 120
"""Characters of a filter that are shown."""

OPERATORS = {
    "exact": "is",
    "not": "is not",
    "contains": "contains",
    "endswith": "ends with",
    "startswith": "starts with",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "like": "is like",
    "notlike": "is not like",
    "glob": "matches",
    "in": "is one of",
    "notin": "is none of",
    "arraycontains": "contains",
    "arraynotcontains": "does not contain",
    "date": "is on",
    "isnull": "is unknown",
    "notnull": "is known",
    "isblank": "is empty",
    "notblank": "is not empty",
}
"""All of Datasette's, in words that follow a column; what is none of them is no filter."""

_ALONE = {"isnull", "notnull", "isblank", "notblank"}

_COUNTS = {"authors_count": "author", "comments": "comment", "upvotes": "upvote"}
_COUNTED = {
    "exact": "{}",
    "not": "not {}",
    "gt": "more than {}",
    "gte": "at least {}",
    "lt": "fewer than {}",
    "lte": "at most {}",
}
_DATES = {
    "published": "published",
    "first_listed": "first listed",
    "last_listed": "last listed",
    "listed_on": "listed",
}
_DATED = {
    "exact": "on {}",
    "date": "on {}",
    "startswith": "in {}",
    "gt": "after {}",
    "gte": "on or after {}",
    "lt": "before {}",
    "lte": "on or before {}",
}
_OF_YEAR = {
    "exact": "{}",
    "not": "not {}",
    "gt": "after {}",
    "gte": "{} or later",
    "lt": "before {}",
    "lte": "{} or earlier",
}
_COLUMNS = {facet.column: table for table, facet in FACETS.items()}
_NAMES = {"authors_count": "number of authors", "arxiv_id": "arXiv id", "url": "address"}


@dataclass(frozen=True)
class Filter:
    """A filter that is on: the pair of the address, and what it means.

    `kind` is "search", "where", "through", "relation" or the lookup of a column's filter;
    `row` is the row that it names, as (table, id), where it names one.
    """

    pair: Pair
    kind: str
    column: str = ""
    row: tuple[str, str] | None = None


def read_filters(pairs: Iterable[Pair], *, of_papers: bool) -> list[Filter]:
    """The filters that Datasette applies, each once, in the order of the address.

    `_tag` and its like are filters of papers only, and of them the first MAX_VALUES.
    """
    each = dict.fromkeys(pairs)
    relations = set(read_relations(each)) if of_papers else set()
    ignored = _find_ignored_searches(each)
    read = (
        _read_filter(pair, is_relation=pair in relations) for pair in each if pair not in ignored
    )
    return [one for one in read if one]


def _find_ignored_searches(pairs: Iterable[Pair]) -> set[Pair]:
    """Datasette searches for the first `_search`; only without one for those of columns."""
    searches = [pair for pair in pairs if pair[0].startswith("_search")]
    plain = [pair for pair in searches if pair[0] == "_search"]
    return set(searches) - set(plain[:1]) if plain else set()


def _read_filter(pair: Pair, *, is_relation: bool) -> Filter | None:
    name, value = pair
    if is_relation:
        return Filter(pair, "relation", row=(RELATIONS[name], value))
    if name in ("_where", "_through"):
        return Filter(pair, name[1:])
    if name == "_search" or name.startswith("_search_"):
        return Filter(pair, "search", name.removeprefix("_search").removeprefix("_"))
    if name.startswith("_") and "__" not in name:
        return None
    column, _, lookup = name.rpartition("__") if "__" in name else (name, "", "exact")
    return (
        Filter(pair, lookup, column, _refer(column, lookup, value)) if lookup in OPERATORS else None
    )


def _refer(column: str, lookup: str, value: str) -> tuple[str, str] | None:
    if column == "tags" and lookup in ("arraycontains", "arraynotcontains"):
        return "tags", value
    if column in _COLUMNS and lookup in ("exact", "not") and value.strip():
        return _COLUMNS[column], value
    return None


def say_filter(one: Filter, labels: Mapping[tuple[str, str], str]) -> str:
    """The filter in words, as plain text. `labels` are the names of rows, by (table, id)."""
    return shorten(_say_whole(one, labels), MAX_SHOWN)


def _say_whole(one: Filter, labels: Mapping[tuple[str, str], str]) -> str:
    value = one.pair[1]
    if one.row and (one.row in labels or one.row[0] != "authors_count"):
        words = FACETS[one.row[0]].say(labels.get(one.row, value))
        return f"not {words}" if one.kind in ("not", "arraynotcontains") else words
    if one.kind == "where":
        return value
    if one.kind == "through":
        return _say_through(value)
    if one.kind == "search":
        return f"{one.column} words “{value}”".strip()
    return _say_comparison(one.column, one.kind, value)


def _say_comparison(column: str, lookup: str, value: str) -> str:
    name = _NAMES.get(column, column.replace("_", " "))
    if lookup in _ALONE:
        return f"{name} {OPERATORS[lookup]}"
    if value.strip():
        if column in _COUNTS and lookup in _COUNTED:
            return _COUNTED[lookup].format(_say_quantity(value, _COUNTS[column]))
        if column in _DATES and lookup in _DATED:
            return f"{_DATES[column]} {_DATED[lookup].format(value)}"
        if column == "year" and lookup in _OF_YEAR:
            return _OF_YEAR[lookup].format(value)
    return f"{name} {OPERATORS[lookup]} {value if value.isdecimal() else f'“{value}”'}"


def _say_quantity(value: str, noun: str) -> str:
    is_number = value.isdecimal() and len(value) < 10
    return say_count(int(value), noun) if is_number else f"{value} {noun}s"


def _say_through(value: str) -> str:
    """Datasette's `_through`: a JSON object of table, column and value."""
    try:
        through = json.loads(value)
        table, column, wanted = (str(through[key]) for key in ("table", "column", "value"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return value
    return f"{table.replace('_', ' ')}: {_say_comparison(column, 'exact', wanted)}"
