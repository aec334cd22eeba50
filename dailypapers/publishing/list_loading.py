"""What lists of papers need of a database that is served: its arrays, and what SQL looks up."""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from datasette.database import Database
from datasette.utils import sqlite_timelimit, urlsafe_components

from ..columns import Array, Columns, read_columns
from .lists import Condition, Order, PaperList, pack_numbers, select_numbers

MAX_KEPT = 64
"""Searches, keywords, authors and listings whose papers are kept, at a bit for each paper."""

asked_for: ContextVar[PaperList | None] = ContextVar("the list of the page", default=None)
"""What the table page that is being made shows, where arrays tell it."""

_columns: WeakKeyDictionary[Database, Columns | None] = WeakKeyDictionary()
_kept: WeakKeyDictionary[Database, OrderedDict[Condition, Array]] = WeakKeyDictionary()


async def load_list(
    db: Database, conditions: Sequence[Condition], order: Order
) -> PaperList | None:
    """The papers for which the conditions hold; None where there are no arrays, or where finding
    papers fails or takes longer than any query may."""
    if db.is_mutable:
        return None
    if db not in _columns:
        _columns[db] = await db.execute_fn(read_columns)
    columns = _columns[db]
    if not columns:
        return None
    found = [await _look_up(db, columns, one) for one in conditions if select_numbers(one)]
    known = [bits for bits in found if bits is not None]
    return PaperList(columns, conditions, known, order) if len(known) == len(found) else None


async def _look_up(db: Database, columns: Columns, condition: Condition) -> Array | None:
    kept = _kept.setdefault(db, OrderedDict())
    if condition not in kept:
        numbers = await db.execute_fn(lambda connection: _read_numbers(db, connection, condition))
        if numbers is None:
            return None
        kept[condition] = await asyncio.to_thread(pack_numbers, columns, numbers)
    kept.move_to_end(condition)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
    return kept[condition]


def _read_numbers(
    db: Database, connection: sqlite3.Connection, condition: Condition
) -> Array | None:
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        with sqlite_timelimit(connection, db.ds.sql_time_limit_ms):
            rows = cursor.execute(select_numbers(condition) or "", {"value": condition.value})
            return np.fromiter((number for (number,) in rows), np.int64)
    except sqlite3.Error:
        return None


async def find_page(db: Database, papers: PaperList, token: str) -> PaperList | None:
    """The list from the paper on that a token of Datasette's paging names; None for tokens of
    another order or paper."""
    try:
        value, key = urlsafe_components(token)
    except ValueError:
        return None
    column = papers.order.column
    sql = f"select number, {column} from papers where id = :id"  # noqa: S608  # one of ours
    for number, found in await db.execute(sql, {"id": key}):
        if value == ("$null" if found is None else str(found)):
            return replace(papers, after=number - 1)
    return None
