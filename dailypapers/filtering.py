"""Which papers pass the filters of a search, and which of them are first in an order.

The arrays of columns.py tell it in milliseconds. A database without them, as a copy that somebody
edited, is asked the same in SQL.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice

import numpy as np

from .columns import Array, Mask, has_columns, read_array, read_tag_bits
from .search import NAME_CONDITIONS, NUMBER_FIELDS, Filter


def find_passing(connection: sqlite3.Connection, filters: Sequence[Filter]) -> Mask:
    """Whether all filters hold, for each paper by its `papers.number`, less one."""
    [papers] = connection.execute("select coalesce(max(number), 0) from papers").fetchone()
    passing = np.ones(papers, np.bool_)
    if filters and not has_columns(connection):
        return _ask_filters(connection, filters, papers)
    for condition in filters:
        mask = _match_filter(connection, condition, papers)
        passing &= ~mask if condition.negated else mask
    return passing


def _ask_filters(connection: sqlite3.Connection, filters: Sequence[Filter], papers: int) -> Mask:
    conditions = " and ".join(condition.sql for condition in filters)
    sql = f"select number from papers where {conditions}"  # noqa: S608
    parameters = [value for condition in filters for value in condition.parameters]
    numbers = [number for (number,) in connection.execute(sql, parameters)]
    passing = np.zeros(papers, np.bool_)
    passing[np.array(numbers, np.int64) - 1] = True
    return passing


def _match_filter(connection: sqlite3.Connection, condition: Filter, papers: int) -> Mask:
    """The papers that a filter names, before it is turned round."""
    if not condition.operator:
        return np.zeros(papers, np.bool_)
    if condition.field in NUMBER_FIELDS:
        return _match_numbers(connection, condition)
    names = NAME_CONDITIONS[condition.field]
    table = {"tag": "tags", "organization": "organizations"}[condition.field]
    sql = f"select id from {table} where {names}"  # noqa: S608
    keys = [key for (key,) in connection.execute(sql, condition.parameters)]
    if condition.field == "organization":
        codes, values = read_array(connection, "organization")
        return np.isin(codes, [bisect_left(values, key) + 1 for key in keys if key in values])
    bits = [read_tag_bits(connection, key) for key in keys]
    together = np.bitwise_or.reduce(bits) if bits else np.zeros(papers, np.uint8)
    mask: Mask = np.unpackbits(together, count=papers).view(np.bool_)
    return mask


def _match_numbers(connection: sqlite3.Connection, condition: Filter) -> Mask:
    """Codes from `first` to before `last` are of the values that are meant; 0 is of none."""
    codes, values = read_array(connection, NUMBER_FIELDS[condition.field])
    least, greatest = condition.parameters[0], condition.parameters[-1]
    end = len(values) + 1
    first, last = {
        "=": (bisect_left(values, least) + 1, bisect_right(values, least) + 1),
        "between": (bisect_left(values, least) + 1, bisect_right(values, greatest) + 1),
        ">": (bisect_right(values, least) + 1, end),
        ">=": (bisect_left(values, least) + 1, end),
        "<": (1, bisect_left(values, least) + 1),
        "<=": (1, bisect_right(values, least) + 1),
    }[condition.operator]
    mask: Mask = (codes >= first) & (codes < last)
    return mask


def list_first(connection: sqlite3.Connection, passing: Mask, column: str, limit: int) -> list[int]:
    """The numbers of the first papers that pass, by a column of NUMBERS or TEXTS, the greatest
    first and NULL last, then by number."""
    if not has_columns(connection):
        sql = f"select number from papers order by {column} desc, number"  # noqa: S608
        numbers = (number for (number,) in connection.execute(sql) if passing[number - 1])
        return list(islice(numbers, limit))
    places = np.flatnonzero(passing)
    codes, values = read_array(connection, column)
    keys = len(values) - codes[places].astype(np.int64)
    if limit < len(places):
        # The page is full within the papers of this key, which stand in the order of numbers.
        last = np.searchsorted(np.cumsum(np.bincount(keys)), limit)
        ties = np.flatnonzero(keys == last)[:limit]
        chosen = np.sort(np.concatenate([np.flatnonzero(keys < last), ties]))
        places, keys = places[chosen], keys[chosen]
    first: Array = places[np.argsort(keys, kind="stable")][:limit] + 1
    return [int(number) for number in first]
