"""The catalogue into a database file, and that file into the place of the old one."""

import json
import sqlite3
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from .catalogue import Catalogue
from .columns import count_tags, guard_columns, write_columns
from .files import lock_folder, replace_file
from .finishing import check_database
from .listing import Severity
from .merge import give_ids
from .rows import Row
from .schema import COUNT_WORDS, FULL_TEXT, STORED_COUNTS, TABLES
from .tagging import SOURCE, Vocabulary
from .workers import WorkerError, count_processors, work_beside

Report = Callable[[str], None]

_HASH_SIZE = 128 * 1024 * 1024
"""Bytes FTS5 may hold before it writes: fewer, larger segments are built in half the time."""

MANY = 2_000
"""Papers from which on a second process pays."""

BESIDE = ("entries", "words", "paper_arrays", "tag_months", "tags_together")
"""The tables that it writes, besides the text index."""

_TEXT_TABLES = tuple(f"papers_fts_{part}" for part in ("data", "idx", "docsize", "config"))
"""Those in which FTS5 keeps the text index."""

_ROWS = 60
"""Rows of a statement. All their values are parameters, of which any SQLite takes 999: sixteen
columns, the most that a table has, make 960."""

_BATCH = 2_000
"""Papers whose tags and links are written at a time."""


class WriteError(Exception):
    """The database could not be written; the message says why. The old file is untouched."""


@dataclass
class Building:
    """A new file; once it is whole, with its SHA-256 in hex."""

    path: Path
    sha256: str = ""


@contextmanager
def hold_folder(target: Path, notice: Report) -> Iterator[None]:
    """Within the block, no other build replaces `target`. Builds in one folder wait for each other,
    which `notice` is told of. Raises WriteError where the folder refuses."""
    waiting = f"another build writes into {target.parent}/; waiting for its end"
    folder = target.resolve().parent
    with explain_failure(target):
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, lambda: notice(waiting)):
            yield


@contextmanager
def replace_database(target: Path, copied: Iterable[str] = ()) -> Iterator[Building]:
    """A path to build a new file at; when the block ends well, it replaces `target` in one step.
    The tables in `copied` are looked at more closely: see `check_database`.

    Raises WriteError where the folder or the disk refuses. Whatever happens, even a
    kill, `target` is the old file or the new one, whole. A killed build leaves its unfinished
    file behind, which the next one removes.
    """
    with explain_failure(target), replace_file(target, "building") as path:
        building = Building(path)
        yield building
        building.sha256 = check_database(path, copied)


@contextmanager
def explain_failure(target: Path) -> Iterator[None]:
    """What hinders the writing of `target`, or the work for it, as a WriteError of one line."""
    try:
        yield
    except (OSError, sqlite3.Error, WorkerError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"cannot write {target}: {reason}") from error


def write_database(
    path: Path, catalogue: Catalogue, vocabulary: Vocabulary, report: Report = lambda stage: None
) -> None:
    """Write all tables, then what needs them whole: counts, indexes, text index, statistics.

    Of many papers, another process makes entries, text index and arrays meanwhile, in a file beside
    it. `report` is told each stage as it begins. Raises sqlite3.Error, as on a full disk, and
    WorkerError.
    """
    beside = path.with_name(f"{path.name}-beside")
    with _do_beside(beside, catalogue, vocabulary) as wait, closing(_open_unfinished(path)) as db:
        report("writing tables")
        with db.atomic():
            create_tables(db)
            _save(db, "papers", catalogue.list_paper_rows())
            _save_signs(db, catalogue)
            _save_lookups(db, catalogue, vocabulary)
            _save_names(db, catalogue)
            _save_listings(db, catalogue)
        report("finding related papers")
        with db.atomic():
            _save_related(db)
        report("indexing")
        with db.atomic():
            create_indexes(db)
        wait()
        _take_over(db, beside)
        with db.atomic():
            _store_counts(db)
            guard_columns(db.conn)
        db.analyze()


def _open_unfinished(path: Path) -> Database:
    """For a file that is nobody's yet, so that nothing needs to be undone.

    A larger cache than 16 MB saves no time.
    """
    db = Database(path, recursive_triggers=False, execute_plugins=False)
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -16384"):
        db.execute(f"pragma {pragma}")
    return db


@contextmanager
def _do_beside(
    beside: Path, catalogue: Catalogue, vocabulary: Vocabulary
) -> Iterator[Callable[[], None]]:
    """Begin to write the file beside; what the block is given waits until it is there."""
    beside.unlink(missing_ok=True)  # a killed build's
    work = partial(_write_beside, beside, catalogue, vocabulary)
    try:
        if len(catalogue.papers) < MANY or count_processors() == 1:
            yield work
        else:
            with work_beside(work) as wait:
                yield wait
    finally:
        beside.unlink(missing_ok=True)


def _write_beside(path: Path, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
    with closing(_open_unfinished(path)) as db, db.atomic():
        create_tables(db)
        _save(db, "entries", catalogue.list_entry_rows())
        create_indexes(db, BESIDE)
        index_text(db, (row[1:4] for row in catalogue.list_paper_rows()))
        _count_in_arrays(db, catalogue, vocabulary)


def _count_in_arrays(db: Database, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
    """The arrays, and the counts that come from them, of papers that stay behind: without their
    abstracts and without a key, which would be looked up for each."""
    for table in ("papers", "tags"):
        db.execute(f"create temp table {table} ({', '.join(TABLES[table].columns)})")
    _save(db, "papers", ((*row[:3], None, *row[4:]) for row in catalogue.list_paper_rows()))
    _save(db, "tags", _list_tags(vocabulary))
    write_columns(db.conn)
    count_tags(db.conn)


def _take_over(db: Database, beside: Path) -> None:
    """The tables of the file beside. SQLite copies the pages' rows as they are, indexes too, since
    both tables have the same ones; those of FTS5 as VACUUM would."""
    db.execute(FULL_TEXT)
    db.execute("attach ? as beside", [str(beside)])
    with db.atomic():
        for table in (*BESIDE, *_TEXT_TABLES):
            db.execute(f"delete from main.{table}")  # noqa: S608
            db.execute(f"insert into main.{table} select * from beside.{table}")  # noqa: S608
    db.execute("detach beside")


def create_tables(db: Database) -> None:
    """All tables of the schema, empty, without their indexes."""
    for name, table in TABLES.items():
        sql = db.create_table_sql(
            name,
            dict(table.columns),
            pk=table.key[0] if len(table.key) == 1 else table.key,
            foreign_keys=list(table.references),
            not_null=table.required,
        )
        db.execute(sql.rstrip("; \n") + (" WITHOUT ROWID" if table.without_rowid else ""))


def _save(db: Database, table: str, rows: Iterable[Row]) -> None:
    """Rows of the table's columns in their order; of few columns, a statement for many rows takes
    half the time of one for each."""
    width = len(TABLES[table].columns)
    one = f"({', '.join('?' * width)})"
    many = f"insert into {table} values {', '.join([one] * _ROWS)}"  # noqa: S608
    values = chain.from_iterable(rows)
    while len(chunk := list(islice(values, width * _ROWS))) == width * _ROWS:
        db.conn.execute(many, chunk)
    rest = (chunk[start : start + width] for start in range(0, len(chunk), width))
    db.conn.executemany(f"insert into {table} values {one}", rest)  # noqa: S608


def _save_lookups(db: Database, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
    """The tables that papers point at; their counts are stored at the end."""
    stated = "select distinct authors_count from papers where authors_count is not null order by 1"
    counts = [count for (count,) in db.execute(stated)]
    _save(db, "authors_count", ((count, _label_authors(count), 0) for count in counts))
    _save(db, "organizations", ((key, name, 0) for key, name in catalogue.organizations.items()))
    _save(db, "tags", _list_tags(vocabulary))


def _list_tags(vocabulary: Vocabulary) -> Iterator[Row]:
    return ((t.slug, t.name, t.group, t.means, 0) for t in vocabulary.tags)


def _label_authors(count: int) -> str:
    return "1 author" if count == 1 else f"{count:,} authors"


def _save_listings(db: Database, catalogue: Catalogue) -> None:
    _save(
        db,
        "listings",
        (
            (key, *_LISTING_FACTS(one.listing), one.entries)
            for key, one in catalogue.listings.items()
        ),
    )
    _save(
        db,
        "problems",
        (
            (number, key, one.line, Severity(one.severity).value, one.message, one.text, one.count)
            for number, (key, one) in enumerate(catalogue.problems, 1)
        ),
    )


_LISTING_FACTS = attrgetter(
    *(name for name in TABLES["listings"].columns if name not in ("id", "entries"))
)


def _save_signs(db: Database, catalogue: Catalogue) -> None:
    """Tags and links in the order of their keys, in which they stand, some papers at a time. The
    index of the papers' ids has that order already; a million ids would take 150 MB to sort."""
    ids = catalogue.paper_ids
    rows = db.execute("select rowid - 1 from papers order by id")
    order = array("I", (place for (place,) in rows))
    for start in range(0, len(order), _BATCH):
        signs = [
            (ids[paper], catalogue.read_signs(paper)) for paper in order[start : start + _BATCH]
        ]
        tags = ((key, *tag, SOURCE) for key, own in signs for tag in own.tags)
        _save(db, "paper_tags", tags)
        _save(db, "links", ((key, *link) for key, own in signs for link in own.links))


def _save_names(db: Database, catalogue: Catalogue) -> None:
    """Authors in order, and keywords with their case folded, where listings give them."""
    if not catalogue.has_names:
        return
    papers = catalogue.papers
    authors = give_ids(name for paper in papers for name in paper.authors)
    keywords = give_ids(name.casefold() for paper in papers for name in paper.keywords)
    _save(db, "authors", _make_name_rows(authors))
    _save(db, "keywords", _make_name_rows(keywords))
    _save(
        db,
        "paper_authors",
        (
            (paper.id, position, authors[name])
            for paper in papers
            for position, name in enumerate(paper.authors, 1)
        ),
    )
    _save(
        db,
        "paper_keywords",
        (
            (paper.id, keywords[name])
            for paper in papers
            for name in sorted({keyword.casefold() for keyword in paper.keywords})
        ),
    )


def _make_name_rows(ids: Mapping[str, str]) -> Iterator[Row]:
    for name, key in sorted(ids.items(), key=lambda item: item[1]):
        yield key, name, 0


def _save_related(db: Database) -> None:
    from .related import find_related, join_text  # scikit-learn takes a second to import

    papers = "select {} from papers order by number"
    texts = _Rows(db, papers.format("title, abstract"), join_text)
    tags = _Rows(db, papers.format("tags"), json.loads)
    ids = [key for (key,) in db.execute(papers.format("id"))]
    _save(
        db,
        "related_papers",
        (
            (key, rank, ids[index], score)
            for key, neighbours in zip(ids, find_related(texts, tags), strict=True)
            for rank, (index, score) in enumerate(neighbours, 1)
        ),
    )


class _Rows(Collection[Any]):
    """What is made of each row of a query, which is asked again each time."""

    def __init__(self, db: Database, sql: str, make: Callable[..., Any]) -> None:
        self._db, self._sql, self._make = db, sql, make

    def __iter__(self) -> Iterator[Any]:
        return (self._make(*row) for row in self._db.execute(self._sql))

    def __len__(self) -> int:
        return sum(1 for _ in self._db.execute(self._sql))

    def __contains__(self, one: object) -> bool:
        return any(one == other for other in self)


def _store_counts(db: Database) -> None:
    """After the indexes, which spare a scan of the counted table for each row."""
    for statement in STORED_COUNTS:
        db.execute(statement)


def create_indexes(db: Database, names: Iterable[str] = TABLES) -> None:
    """What makes facets, sorts and look-ups quick, from the finished rows."""
    for name in names:
        table = TABLES[name]
        for column in table.unique:
            db.table(name).create_index([column], unique=True)
        for columns in table.indexes:
            db.table(name).create_index(columns)


def index_text(db: Database, texts: Iterable[tuple[int, str, str | None]]) -> None:
    """Build the text index in one go, from the number, title and abstract of all papers, and count
    how many of them hold each word."""
    db.execute(FULL_TEXT)
    db.execute("insert into papers_fts(papers_fts, rank) values ('hashsize', ?)", [_HASH_SIZE])
    db.conn.executemany("insert into papers_fts(rowid, title, abstract) values (?, ?, ?)", texts)
    db.execute("insert into papers_fts(papers_fts) values ('optimize')")
    db.execute("create virtual table temp.vocabulary using fts5vocab(main, papers_fts, row)")
    db.execute(COUNT_WORDS)
