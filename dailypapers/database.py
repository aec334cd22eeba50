"""The catalogue into a database file, and that file into the place of the old one."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from .columns import write_columns
from .files import lock_folder, replace_file
from .links import find_links
from .listing import Severity
from .merge import Catalogue, Paper, give_ids
from .schema import COUNT_WORDS, FULL_TEXT, STORED_COUNTS, TABLES
from .tagging import SOURCE, EarnedTag, Vocabulary, tag_papers

Row = dict[str, Any]
Report = Callable[[str], None]

_HASH_SIZE = 256 * 1024 * 1024
"""Bytes FTS5 may hold before it writes: fewer, larger segments are built in half the time."""


class WriteError(Exception):
    """The database could not be written; the message says why. The old file is untouched."""


@contextmanager
def replace_database(target: Path, notice: Report = lambda words: None) -> Iterator[Path]:
    """A path to build a new file at; when the block ends well, it replaces `target` in one step.

    Raises WriteError where the folder or the disk refuses. Whatever happens, even a
    kill, `target` is the old file or the new one, whole. A killed build leaves its unfinished
    file behind, which the next one removes. Builds in one folder wait for each other, which
    `notice` is told of.
    """
    waiting = f"another build writes into {target.parent}/; waiting for its end"
    try:
        with replace_file(target, "building", lambda: notice(waiting)) as building:
            yield building
            _check_database(building)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"cannot write {target}: {reason}") from error


def _check_database(path: Path) -> None:
    """Raises sqlite3.DatabaseError where SQLite finds the file damaged or a reference broken."""
    with closing(_open_readonly(path)) as connection:
        verdict = connection.execute("pragma integrity_check").fetchone()[0]
        broken = connection.execute("pragma foreign_key_check").fetchall()
    if verdict != "ok" or broken:
        raise sqlite3.DatabaseError(f"the new file is damaged: {verdict}, {broken[:3]}")


def _open_readonly(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def write_database(
    path: Path, catalogue: Catalogue, vocabulary: Vocabulary, report: Report = lambda stage: None
) -> None:
    """Write all tables, then what needs them whole: counts, indexes, text index, statistics.

    `report` is told each stage as it begins. Raises sqlite3.Error, as on a full disk.
    """
    db = Database(path, recursive_triggers=False, execute_plugins=False)
    try:
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -65536"):
            db.execute(f"pragma {pragma}")
        report("writing tables")
        texts = [(paper.title, paper.abstract) for paper in catalogue.papers]
        tags = tag_papers(vocabulary, texts)
        earned = {paper.id: own for paper, own in zip(catalogue.papers, tags, strict=True)}
        with db.atomic():
            create_tables(db)
            _save_lookups(db, catalogue, vocabulary)
            _save_papers(db, catalogue.papers, earned)
            _save_names(db, catalogue.papers)
            _save_listings(db, catalogue)
        report("finding related papers")
        with db.atomic():
            _save_related(db, catalogue.papers, earned)
        report("indexing")
        with db.atomic():
            create_indexes(db)
            _store_counts(db)
            write_columns(db.conn)
        index_text(db)
        db.analyze()
        db.execute("vacuum")
    finally:
        db.close()


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


def _save(db: Database, table: str, rows: Iterator[Row]) -> None:
    """One prepared statement for all rows: insert_all makes one for each sixty, at four times
    the cost."""
    columns = TABLES[table].columns
    values = ", ".join(f":{column}" for column in columns)
    db.conn.executemany(
        f"insert into {table} ({', '.join(columns)}) values ({values})",  # noqa: S608
        rows,
    )


def _save_lookups(db: Database, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
    """The tables that papers point at; their counts are stored at the end."""
    counts = sorted({p.authors_count for p in catalogue.papers if p.authors_count is not None})
    _save(
        db,
        "authors_count",
        ({"authors_count": n, "label": _label_authors(n), "papers": 0} for n in counts),
    )
    _save(
        db,
        "organizations",
        ({"id": key, "name": name, "papers": 0} for key, name in catalogue.organizations.items()),
    )
    _save(
        db,
        "tags",
        (
            {"id": t.slug, "name": t.name, "category": t.group, "description": t.means, "papers": 0}
            for t in vocabulary.tags
        ),
    )


def _label_authors(count: int) -> str:
    return "1 author" if count == 1 else f"{count:,} authors"


def _save_papers(
    db: Database, papers: Sequence[Paper], earned: Mapping[str, Sequence[EarnedTag]]
) -> None:
    _save(db, "papers", (_make_paper_row(paper, earned[paper.id]) for paper in papers))
    _save(
        db,
        "paper_tags",
        (
            {"paper": key, "tag": tag.slug, "evidence": tag.evidence, "source": SOURCE}
            for key, tags in earned.items()
            for tag in sorted(tags, key=lambda tag: tag.slug)
        ),
    )
    _save(
        db,
        "links",
        (
            {"paper": paper.id, "url": link.url, "kind": link.kind.value}
            for paper in papers
            for link in find_links(paper.abstract or "")
        ),
    )


def _save_names(db: Database, papers: Sequence[Paper]) -> None:
    """Authors in order, and keywords with their case folded, where listings give them."""
    authors = give_ids(name for paper in papers for name in paper.authors)
    _save(db, "authors", _make_name_rows(authors))
    _save(
        db,
        "paper_authors",
        (
            {"paper": paper.id, "position": position, "author": authors[name]}
            for paper in papers
            for position, name in enumerate(paper.authors, 1)
        ),
    )
    keywords = give_ids(name.casefold() for paper in papers for name in paper.keywords)
    _save(db, "keywords", _make_name_rows(keywords))
    _save(
        db,
        "paper_keywords",
        (
            {"paper": paper.id, "keyword": keywords[name]}
            for paper in papers
            for name in sorted({keyword.casefold() for keyword in paper.keywords})
        ),
    )


def _make_name_rows(ids: Mapping[str, str]) -> Iterator[Row]:
    for name, key in sorted(ids.items(), key=lambda item: item[1]):
        yield {"id": key, "name": name, "papers": 0}


def _save_related(
    db: Database, papers: Sequence[Paper], earned: Mapping[str, Sequence[EarnedTag]]
) -> None:
    from .related import find_related, join_text  # scikit-learn takes a second to import

    texts = [join_text(paper.title, paper.abstract) for paper in papers]
    tags = [[tag.slug for tag in earned[paper.id]] for paper in papers]
    _save(
        db,
        "related_papers",
        (
            {"paper": paper.id, "rank": rank, "related": papers[index].id, "score": score}
            for paper, neighbours in zip(papers, find_related(texts, tags), strict=True)
            for rank, (index, score) in enumerate(neighbours, 1)
        ),
    )


def _make_paper_row(paper: Paper, earned: Sequence[EarnedTag]) -> Row:
    days = paper.listed_days
    return {
        "id": paper.id,
        "number": paper.number,
        "title": paper.title,
        "abstract": paper.abstract,
        "published": paper.published,
        "year": int(paper.published[:4]) if paper.published else None,
        "authors_count": paper.authors_count,
        "organization": paper.organization,
        "comments": paper.comments,
        "upvotes": paper.upvotes,
        "arxiv_id": paper.arxiv_id,
        "url": paper.url,
        "tags": json.dumps(sorted(tag.slug for tag in earned)),
        "listed": len(paper.sightings),
        "first_listed": days[0] if days else None,
        "last_listed": days[-1] if days else None,
    }


def _save_listings(db: Database, catalogue: Catalogue) -> None:
    _save(
        db,
        "listings",
        (
            {
                **{column: getattr(listing, column) for column in _LISTING_FACTS},
                "id": key,
                "entries": len(listing.entries),
            }
            for key, listing in catalogue.listings.items()
        ),
    )
    _save(db, "entries", _make_entry_rows(catalogue.papers))
    _save(db, "problems", _make_problem_rows(catalogue))


_LISTING_FACTS = [name for name in TABLES["listings"].columns if name not in ("id", "entries")]
_ENTRY_FACTS = [
    name for name in TABLES["entries"].columns if name not in ("id", "listing", "paper")
]


def _make_entry_rows(papers: Sequence[Paper]) -> Iterator[Row]:
    sightings = ((sighting, paper.id) for paper in papers for sighting in paper.sightings)
    for sighting, paper_id in sorted(sightings, key=lambda pair: pair[0].number):
        facts = {column: getattr(sighting.entry, column) for column in _ENTRY_FACTS}
        yield {"id": sighting.number, "listing": sighting.listing_id, "paper": paper_id, **facts}


def _make_problem_rows(catalogue: Catalogue) -> Iterator[Row]:
    for number, (listing_id, problem) in enumerate(catalogue.problems, 1):
        yield {
            "id": number,
            "listing": listing_id,
            "line": problem.line,
            "severity": Severity(problem.severity).value,
            "message": problem.message,
            "text": problem.text,
            "count": problem.count,
        }


def _store_counts(db: Database) -> None:
    """After the indexes, which spare a scan of the counted table for each row."""
    for statement in STORED_COUNTS:
        db.execute(statement)


def create_indexes(db: Database) -> None:
    """What makes facets, sorts and look-ups quick, from the finished rows."""
    for name, table in TABLES.items():
        for column in table.unique:
            db.table(name).create_index([column], unique=True)
        for columns in table.indexes:
            db.table(name).create_index(columns)


def index_text(db: Database) -> None:
    """Built last and in one go, from the finished rows."""
    db.execute(FULL_TEXT)
    db.execute("insert into papers_fts(papers_fts, rank) values ('hashsize', ?)", [_HASH_SIZE])
    for command in ("rebuild", "optimize"):
        db.execute("insert into papers_fts(papers_fts) values (?)", [command])
    db.execute("create virtual table temp.vocabulary using fts5vocab(main, papers_fts, row)")
    db.execute(COUNT_WORDS)
    db.conn.commit()


def write_inspect_data(target: Path, inspect_file: Path) -> None:
    """Tell Datasette the file's hash and counts, which it would else work out at its start.

    `inspect_file` is the inspect-data.json beside metadata.yml; it may speak of several
    databases, and keeps what it says of others that still exist. Raises OSError.
    """
    with lock_folder(target.resolve().parent):  # no other build replaces what is counted here
        known = {
            name: data
            for name, data in read_inspect_data(inspect_file).items()
            if name != target.stem and (inspect_file.parent / data["file"]).exists()
        }
        known[target.stem] = {
            "hash": _hash_file(target),
            "size": target.stat().st_size,
            "file": os.path.relpath(target, inspect_file.parent),
            "tables": {name: {"count": count} for name, count in _count_rows(target).items()},
        }
        _write_inspect_file(inspect_file, known)


def forget_inspect_data(target: Path, inspect_file: Path) -> None:
    """Drop what is said of `target`, before it changes: no counts are better than old ones."""
    known = read_inspect_data(inspect_file)
    if known.pop(target.stem, None):
        _write_inspect_file(inspect_file, known)


def read_inspect_data(inspect_file: Path) -> dict[str, Mapping[str, Any]]:
    """What inspect-data.json says, by database name; nothing where it is missing or damaged."""
    try:
        known = json.loads(inspect_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in known.items() if "file" in value}


def _write_inspect_file(path: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    with replace_file(path, "building") as part:
        part.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_rows(path: Path) -> dict[str, int]:
    with closing(_open_readonly(path)) as connection:
        db = Database(connection)
        return {name: db.table(name).count for name in db.table_names()}
