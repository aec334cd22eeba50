"""The facts by which papers are filtered, counted and ordered, as arrays in the table
`paper_arrays`.

SQLite counts the organizations of 300,000 papers by looking at one after the other, which takes a
second; an array of a million numbers takes milliseconds. The table serves the site alone: without
it, Datasette's own statements give the same answers.
"""

import io
import json
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUMBERS = ("year", "authors_count", "comments", "upvotes", "listed")
TEXTS = ("published", "organization", "first_listed", "last_listed")
ORDERED = ("id", "title")
"""Columns of which the order alone is kept, not the values, as nearly each paper has its own."""

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """The arrays of one database. A paper's place in each is its `papers.number`, less one.

    `codes` of a column are 0 where it is NULL, else from 1 in the order of its values, which
    `values` lists for NUMBERS and TEXTS. `tags` are bits: for each of the slugs in `slugs` a row,
    with one bit a paper and zeros at the end.
    """

    codes: Mapping[str, Array]
    values: Mapping[str, Sequence[Any]]
    tags: Array
    slugs: Sequence[str]

    @property
    def papers(self) -> int:
        """How many there are."""
        return len(self.codes["id"])


def read_columns(connection: sqlite3.Connection) -> Columns | None:
    """The arrays of a database; None where it has none, or those of another version of this
    program. Raises sqlite3.Error."""
    if not has_columns(connection):
        return None
    arrays, meanings = {}, {}
    for name in (*NUMBERS, *TEXTS, *ORDERED, "tags"):
        arrays[name], meanings[name] = read_array(connection, name)
    return Columns(arrays, meanings, arrays.pop("tags"), meanings.pop("tags"))


def has_columns(connection: sqlite3.Connection) -> bool:
    """Whether a database has the arrays, those of this version of the program."""
    found = "select 1 from sqlite_master where name = 'paper_arrays'"
    if not connection.execute(found).fetchone():
        return False
    names = {row[0] for row in connection.execute("select name from paper_arrays")}
    return names == {*NUMBERS, *TEXTS, *ORDERED, "tags"}


def read_array(connection: sqlite3.Connection, name: str) -> tuple[Array, list[Any]]:
    """One of the arrays of a database that has them, and what it means: two megabytes for a million
    papers, in a millisecond."""
    sql = "select array, meanings from paper_arrays where name = ?"
    [packed, meanings] = connection.execute(sql, [name]).fetchone()
    return np.load(io.BytesIO(packed), allow_pickle=False), json.loads(meanings)


def read_tag_bits(connection: sqlite3.Connection, slug: str) -> Array:
    """The bits of one tag, or zeros: all tags of a million papers are nine megabytes."""
    sql = "select rowid, meanings from paper_arrays where name = 'tags'"
    [row, meanings] = connection.execute(sql).fetchone()
    slugs = json.loads(meanings)
    with connection.blobopen("paper_arrays", "array", row, readonly=True) as file:
        np.lib.format.read_magic(file)
        (_, width), _, _ = np.lib.format.read_array_header_1_0(file)
        if slug not in slugs:
            return np.zeros(width, np.uint8)
        file.seek(slugs.index(slug) * width, io.SEEK_CUR)
        return np.frombuffer(file.read(width), np.uint8)


def write_columns(connection: sqlite3.Connection) -> None:
    """Fill the table `paper_arrays` from the tables `papers` and `tags`.

    Papers must have been inserted in the order of their numbers, 1, 2, 3 …: raises ValueError
    where they were not, as SQLite's indexes name them by this order. Raises sqlite3.Error.
    """
    papers = _count_papers(connection)
    for column in (*NUMBERS, *TEXTS, *ORDERED):
        _save(connection, column, *_read_column(connection, column, papers))
    _save(connection, "tags", *_read_tags(connection, papers))


def guard_columns(connection: sqlite3.Connection) -> None:
    """Let changes of papers or their tags empty the table `paper_arrays`. Raises sqlite3.Error."""
    for table in ("papers", "paper_tags"):
        for event in ("insert", "update", "delete"):
            # A copy may be changed: better no arrays than such that tell otherwise.
            connection.execute(
                f"create trigger arrays_end_with_{event}_of_{table} after {event} on {table}"  # noqa: S608
                " begin delete from paper_arrays; end"
            )


def count_tags(connection: sqlite3.Connection) -> None:
    """Fill the tables `tag_months` and `tags_together` from the arrays: SQL would join millions of
    rows for them. Raises sqlite3.Error."""
    if not has_columns(connection):
        raise ValueError("papers have no arrays yet")
    published, days = read_array(connection, "published")
    bits, slugs = read_array(connection, "tags")
    months = _count_months(published, days, bits, slugs)
    connection.executemany("insert into tag_months values (?, ?, ?)", months)
    connection.executemany("insert into tags_together values (?, ?, ?)", _count_pairs(bits, slugs))


def _count_months(
    published: Array, days: Sequence[str], bits: Array, slugs: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    months = sorted({day[:7] for day in days})
    numbers = {month: number for number, month in enumerate(months, 1)}
    of_day = [0, *(numbers[day[:7]] for day in days)]
    of_paper = np.array(of_day, np.uint32)[published]
    for slug, own in zip(slugs, bits, strict=True):
        carrying = np.unpackbits(own, count=len(published)).view(np.bool_)
        counts = np.bincount(of_paper[carrying], minlength=len(months) + 1)[1:]
        for month in np.flatnonzero(counts):
            yield slug, months[month], int(counts[month])


def _count_pairs(bits: Array, slugs: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    words = bits.view(np.uint64)
    for index, slug in enumerate(slugs):
        for other, others in enumerate(words):
            together = int(np.bitwise_count(words[index] & others).sum(dtype=np.int64))
            if together and other != index:
                yield slug, slugs[other], together


def _count_papers(connection: sqlite3.Connection) -> int:
    [papers, last, others] = connection.execute(
        "select count(*), coalesce(max(number), 0), total(number <> rowid) from papers"
    ).fetchone()
    if papers != last or others:
        raise ValueError("papers do not stand in the order of their numbers")
    return int(papers)


def _save(connection: sqlite3.Connection, name: str, codes: Array, meanings: list[Any]) -> None:
    file = io.BytesIO()
    np.save(file, codes, allow_pickle=False)
    sql = "insert into paper_arrays (name, array, meanings) values (?, ?, ?)"
    connection.execute(sql, [name, file.getvalue(), json.dumps(meanings)])


def _read_column(
    connection: sqlite3.Connection, column: str, papers: int
) -> tuple[Array, list[Any]]:
    """The codes of all papers, and the values but NULL."""
    ordered = connection.execute(f"select rowid from papers order by {column}")  # noqa: S608
    order = np.fromiter((row for (row,) in ordered), np.int64, papers)
    sql = f"select {column}, count(*) from papers group by {column} order by {column}"  # noqa: S608
    values, counts = [], []
    for value, count in connection.execute(sql):
        counts.append(count)
        if column not in ORDERED:
            values.append(value)
    has_unknown = values[:1] == [None]
    codes = np.zeros(papers, f"<u{np.min_scalar_type(len(counts)).itemsize}")
    codes[order - 1] = np.repeat(np.arange(len(counts)) + (not has_unknown), counts)
    return codes, values[has_unknown:]


def _read_tags(connection: sqlite3.Connection, papers: int) -> tuple[Array, list[str]]:
    """The bits of each tag, in lines of whole 64-bit words, and the slugs. From the column `tags`:
    in `paper_tags` each row would have to be looked up by its paper's id."""
    slugs = [slug for (slug,) in connection.execute("select id from tags order by id")]
    codes, rows = _list_tags(connection, {slug: code for code, slug in enumerate(slugs)})
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(slugs) + 1))
    bits = np.zeros((len(slugs), -(-papers // 64) * 8), np.uint8)
    for code in range(len(slugs)):
        carrying = np.zeros(bits.shape[1] * 8, np.bool_)
        carrying[rows[order[ends[code] : ends[code + 1]]]] = True
        bits[code] = np.packbits(carrying)
    return bits, slugs


def _list_tags(connection: sqlite3.Connection, codes: Mapping[str, int]) -> tuple[Array, Array]:
    """The code of each tag of each paper in turn, and the paper's place."""
    carried, counts = array("I"), array("I")
    for (slugs,) in connection.execute("select tags from papers order by rowid"):
        before = len(carried)
        carried.extend(map(codes.__getitem__, json.loads(slugs)))
        counts.append(len(carried) - before)
    rows = np.repeat(np.arange(len(counts), dtype=np.uint32), np.frombuffer(counts, np.uint32))
    return np.frombuffer(carried, np.uint32), rows
