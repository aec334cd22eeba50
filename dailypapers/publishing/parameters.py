"""Requests that Datasette 0.65 would answer with 500, or with 200 and an error inside."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHAPES = ("arrays", "objects", "array", "object", "arrayfirst")
SWITCHES = ("on", "off", "true", "false", "1", "0")
MAX_DIGITS = 18
"""Of a number that surely fits into SQLite's 64 bits."""

MAX_PAIRS = 100
MAX_LENGTH = 12_000
MAX_FACETS = 8
"""How many parameters an address may have, their characters together, and how many of them may be
facets. Pages repeat their address in many links, and each facet is a query."""

_NUMBER = r"[0-9]{1,9}"
_SWITCH = f"(?i:{'|'.join(SWITCHES)})"
_FORMS = {
    "_size": (rf"(?:max|{_NUMBER})?", "_size must be a positive integer"),
    "_facet_size": (rf"(?:max|{_NUMBER})?", "_facet_size must be a positive integer or max"),
    "_timelimit": (rf"(?:{_NUMBER})?", "_timelimit must be a number of milliseconds"),
    "_ttl": (rf"(?:{_NUMBER})?", "_ttl must be a number of seconds"),
    "_labels": (rf"(?:{_SWITCH})?", "_labels must be on or off"),
    "_json_infinity": (_SWITCH, "_json_infinity must be on or off"),
    "_shape": ("|".join(SHAPES), f"_shape must be one of {', '.join(SHAPES)}"),
    "_where": (r"[^\0]*", "_where must be SQL"),
}
"""What the whole value of a parameter must be, and what is said otherwise."""


def find_fault(path: str, pairs: Iterable[tuple[str, str]]) -> str | None:
    """What is wrong with the parameters of an address, in words; None where nothing is."""
    each = list(pairs)
    if fault := _find_excess(each):
        return fault
    if re.fullmatch(r"/[^/.]+\.csv", path) and not any(name == "sql" and sql for name, sql in each):
        return "A database as CSV needs a query: ?sql=select …"
    faults = (_find_fault_of(name, value) for name, value in each)
    return next((fault for fault in faults if fault), None)


def _find_excess(pairs: Sequence[tuple[str, str]]) -> str | None:
    if len(pairs) > MAX_PAIRS:
        return f"An address may have at most {MAX_PAIRS} parameters"
    if sum(len(name) + len(value) for name, value in pairs) > MAX_LENGTH:
        return f"The parameters of an address may have at most {MAX_LENGTH:,} characters together"
    if sum(name.startswith("_facet") for name, _ in pairs) > MAX_FACETS:
        return f"An address may ask for at most {MAX_FACETS} facets"
    return None


def _find_fault_of(name: str, value: str) -> str | None:
    if "\0" in name:
        return "A parameter's name holds a null character"
    if name in _FORMS:
        form, message = _FORMS[name]
        return None if re.fullmatch(form, value, re.DOTALL) else message
    if name.startswith("_facet"):
        return _find_facet_fault(name, value)
    if name.startswith("_search") and not re.fullmatch(r"_search(?:mode|_.*)?", name, re.DOTALL):
        return f"There is no parameter {name}"
    if name == "_through":
        return _find_through_fault(value)
    column, is_filter, lookup = name.rpartition("__")
    return _find_comparison_fault(column, lookup, value) if is_filter else None


def _find_facet_fault(name: str, value: str) -> str | None:
    if name != "_facet" and not name.startswith("_facet_"):
        return f"There is no parameter {name}"
    if "\0" in value or value.startswith("{"):
        return f"{name} must be a column"
    return None


def _find_through_fault(value: str) -> str | None:
    through = _read_json(value)
    if not isinstance(through, dict) or not (
        isinstance(through.get("table"), str)
        and isinstance(through.get("column"), str)
        and "value" in through
        and _can_be_bound(through["value"])
    ):
        return "_through must be a JSON object of table, column and value"
    return None


def _find_comparison_fault(column: str, lookup: str, value: str) -> str | None:
    if lookup in ("gt", "gte", "lt", "lte") and value.isdigit():
        fits = value.isdecimal() and len(value) <= MAX_DIGITS
        return None if fits else f"{column}__{lookup} must be a number of {MAX_DIGITS} digits"
    if lookup in ("in", "notin") and value.startswith("["):
        values = _read_json(value)
        if not isinstance(values, list) or not all(map(_can_be_bound, values)):
            return f"{column}__{lookup} must be values with commas between, or a JSON array"
    return None


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _can_be_bound(value: object) -> bool:
    if isinstance(value, int):
        return value.bit_length() < 64
    return value is None or isinstance(value, (str, float))


def find_shape_fault(shape: str | None, data: Mapping[str, Any]) -> str | None:
    """What keeps an answer from taking the shape. `data` is what Datasette's renderers get; an
    error in it takes no shape."""
    if data.get("error"):
        return None
    if shape in ("array", "arrayfirst") and "rows" not in data:
        return f"_shape={shape} is for rows, and this address has none"
    if shape == "object" and not data.get("primary_keys"):
        return "_shape=object is only available on tables with primary keys"
    return None
