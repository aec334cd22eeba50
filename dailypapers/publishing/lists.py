"""Lists of papers, filtered, counted and ordered in the arrays of dailypapers/columns.py, with the
results that Datasette's own SQL has."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..columns import NUMBERS, TEXTS, Array, Columns, Mask
from .facets import FACETS, RELATIONS, Pair, read_relations

Counts = list[tuple[Any, int]]


@dataclass(frozen=True)
class Condition:
    """What must hold: the value of a column under one of Datasette's filters, or a tag."""

    column: str
    lookup: str
    value: str


@dataclass(frozen=True)
class Order:
    """By a column, then by id; NULL is less than any value."""

    column: str
    descending: bool = False


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,8}")
_COMPARED = ("exact", "not", "gt", "gte", "lt", "lte")
_UNKNOWN = ("isnull", "isblank")
_KNOWN = ("notnull", "notblank")
_LOOKED_UP = "looked up"
"""The lookup of conditions that SQL has to find papers for, by a parameter of the papers page."""

_SERVING = re.compile(r"_(?!where|through|search|fts_)((?!__).)*")
"""Parameters that choose no papers; those through relations are read apart."""


def read_conditions(pairs: Sequence[Pair]) -> list[Condition] | None:
    """The filters of an address of the papers page; None where one of them is beyond us."""
    searched = [pair for pair in pairs if pair[0] == "_search"][:1]
    filters = [pair for pair in pairs if pair[0] != "_search" and not _SERVING.fullmatch(pair[0])]
    read = [
        *(_read_filter(*pair) for pair in filters),
        *(Condition(name, _LOOKED_UP, value) for name, value in searched),
        *(_read_relation(*pair) for pair in read_relations(pairs)),
    ]
    conditions = [condition for condition in read if condition]
    return conditions if len(conditions) == len(read) else None


def _read_relation(name: str, value: str) -> Condition:
    if name == "_tag":
        return Condition("tags", "arraycontains", value)
    return Condition(name, _LOOKED_UP, value)


def _read_filter(name: str, value: str) -> Condition | None:
    column, _, lookup = name.rpartition("__") if "__" in name else (name, "", "exact")
    if column == "tags":
        known = lookup == "arraycontains"
    elif column not in NUMBERS + TEXTS:
        known = False
    elif lookup in _COMPARED:
        # Numbers are compared as numbers however they are spelled; one spelling is left to us.
        is_text = column in TEXTS and not value.isdigit()
        known = is_text or bool(_INTEGER.fullmatch(value))
    else:
        known = lookup in _UNKNOWN + _KNOWN
    return Condition(column, lookup, value) if known else None


def find_condition(table: str, key: str) -> Condition | None:
    """What selects the papers of a row of one of facets.FACETS; None where that is beyond us."""
    facet = FACETS[table]
    name = facet.column if facet.links == "papers" else facet.parameter
    conditions = read_conditions([(name, key)])
    return conditions[0] if conditions else None


def select_numbers(condition: Condition) -> str | None:
    """SQL for the numbers of the papers, by the parameter :value; None where arrays tell them."""
    if condition.lookup != _LOOKED_UP:
        return None
    if condition.column == "_search":
        return "select rowid from papers_fts where papers_fts match escape_fts(:value)"
    facet = FACETS[RELATIONS[condition.column]]
    return (
        # The rowid is the number (see columns.py), and stands in the index of the ids.
        f"select papers.rowid from {facet.links} as link"  # noqa: S608
        f" cross join papers on papers.id = link.{facet.paper} where link.{facet.column} = :value"
    )


@dataclass(frozen=True)
class PaperList:
    """The papers for which all conditions hold, one page after the other.

    `found` are bits for the conditions that SQL looked up. With `after`, the place of a paper,
    the page is the one that follows this paper.
    """

    columns: Columns
    conditions: Sequence[Condition]
    found: Sequence[Array]
    order: Order
    after: int | None = None

    @cached_property
    def filtered(self) -> Mask:
        """Whether the conditions hold, for each paper."""
        mask = np.ones(self.columns.papers, np.bool_)
        for condition in self.conditions:
            if condition.lookup != _LOOKED_UP:
                mask &= _match(self.columns, condition)
        for bits in self.found:
            mask &= unpack_bits(bits, self.columns.papers)
        return mask

    @cached_property
    def remaining(self) -> Mask:
        """The same of the page and those that follow it, whose values Datasette counts."""
        if self.after is None:
            return self.filtered
        codes, ids = self.columns.codes[self.order.column], self.columns.codes["id"]
        code, key = codes[self.after], ids[self.after]
        follows = codes < code if self.order.descending else codes > code
        mask: Mask = self.filtered & (follows | ((codes == code) & (ids > key)))
        return mask

    @cached_property
    def places(self) -> Array:
        """The places of `remaining`: quicker to look up by than the mask."""
        return np.flatnonzero(self.remaining)

    def count(self) -> int:
        """How many papers all pages have."""
        return int(np.count_nonzero(self.filtered))

    def count_values(self, column: str, limit: int) -> Counts:
        """The most frequent values of one of NUMBERS and TEXTS, NULL left out."""
        values = self.columns.values[column]
        counts = self._count_codes(column)[1:]
        return [(values[index], count) for index, count in _choose_most(counts, limit)]

    def count_in_order(self, column: str) -> Counts:
        """Every value that occurs, upwards, NULL as None before all others."""
        values = [None, *self.columns.values[column]]
        counts = self._count_codes(column)
        return [(values[code], int(counts[code])) for code in np.flatnonzero(counts)]

    def _count_codes(self, column: str) -> Array:
        codes = self.columns.codes[column]
        if len(self.places) < len(codes):
            codes = codes[self.places]
        return np.bincount(codes, minlength=len(self.columns.values[column]) + 1)

    def count_tags(self, limit: int) -> Counts:
        """The slugs of the most frequent tags."""
        tags = self.columns.tags
        packed = np.packbits(self.remaining)
        carried = np.zeros(tags.shape[1], np.uint8)
        carried[: len(packed)] = packed
        together = np.bitwise_count(tags.view(np.uint64) & carried.view(np.uint64))
        counts = together.sum(axis=1, dtype=np.int64)
        return [(self.columns.slugs[index], count) for index, count in _choose_most(counts, limit)]

    def list_first(self, limit: int) -> list[int]:
        """`papers.number` of the first so many papers of the page, in no order of their own."""
        places = self.places
        if limit < len(places):
            codes = self.columns.codes[self.order.column][places]
            codes = codes.max() - codes if self.order.descending else codes
            # The page is full within the papers of this code, of which the ids decide.
            last = np.searchsorted(np.cumsum(np.bincount(codes)), limit)
            before, ties = places[codes < last], places[codes == last]
            wanted = limit - len(before)
            first = np.argpartition(self.columns.codes["id"][ties], wanted - 1)[:wanted]
            places = np.concatenate([before, ties[first]])
        return [int(place) + 1 for place in places]


def pack_numbers(columns: Columns, numbers: Array) -> Array:
    """Bits for the papers with these numbers."""
    mask = np.zeros(columns.papers, np.bool_)
    mask[numbers - 1] = True
    return np.packbits(mask)


def unpack_bits(bits: Array, papers: int) -> Mask:
    """The mask of which they are the bits."""
    mask: Mask = np.unpackbits(bits, count=papers).view(np.bool_)
    return mask


def _choose_most(counts: Array, limit: int) -> list[tuple[int, int]]:
    """Indexes and counts, the greatest first, and of equals the first."""
    chosen = np.argsort(-counts, kind="stable")[:limit]
    return [(int(index), int(counts[index])) for index in chosen if counts[index]]


def _match(columns: Columns, condition: Condition) -> Mask:
    if condition.column == "tags":
        if condition.value not in columns.slugs:
            return np.zeros(columns.papers, np.bool_)
        return unpack_bits(columns.tags[columns.slugs.index(condition.value)], columns.papers)
    codes = columns.codes[condition.column]
    if condition.lookup in _UNKNOWN + _KNOWN:
        return codes > 0 if condition.lookup in _KNOWN else codes == 0
    values = columns.values[condition.column]
    value = int(condition.value) if condition.column in NUMBERS else condition.value
    # Codes from `first` on are of no lesser values, codes from `last` on of greater ones.
    first, last = bisect_left(values, value) + 1, bisect_right(values, value) + 1
    matches: Mapping[str, Callable[[], Mask]] = {
        "exact": lambda: (codes >= first) & (codes < last),
        "not": lambda: (codes > 0) & ((codes < first) | (codes >= last)),
        "gt": lambda: codes >= last,
        "gte": lambda: codes >= first,
        "lt": lambda: (codes > 0) & (codes < first),
        "lte": lambda: (codes > 0) & (codes < last),
    }
    return matches[condition.lookup]()
