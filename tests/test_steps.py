"""What a link leads to takes no longer where there are more papers: SQLite's steps are counted, of
two databases, where the limits of queries are as much smaller as these are."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlite_utils import Database

from dailypapers.columns import count_tags, guard_columns, write_columns
from dailypapers.database import create_indexes, create_tables, index_text
from dailypapers.results import Search, find_papers
from dailypapers.schema import STORED_COUNTS

from .conftest import PROJECT

QUERIES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "metadata.yml").read_text("utf-8"))[
    "databases"
]["daily"]["queries"]
SITES_OWN = {"search", "suggest", "feed"}
"""Queries that need functions which only the site has."""

COUNTING = {"facts_known"}
"""Reads indexes from end to end: 40 ms of a million papers."""

PAPERS = 2_000
SMALLER = 100
"""By so much smaller than in metadata.yml are the limits here."""

VALUES: Mapping[str, list[str]] = {
    "tag": ["every", "many", "old", "none"],
    "first": ["every", "many", "old"],
    "second": ["many", "old", "none"],
    "organization": ["large", "none"],
    "year": ["2020", "2024", "2030"],
    "authors": ["0", "3"],
    "kind": ["code", "none"],
    "paper": ["p000007"],
    "author": ["a1"],
    "from_day": ["0"],
    "to_day": ["9"],
    "after": ["0"],
}


def make_database(path: Path, papers: int) -> sqlite3.Connection:
    """Papers with a common word, tags of which one stands on old papers alone, and the like."""
    db = Database(path)
    create_tables(db)
    save = db.conn.executemany
    save("insert into tags values (?, ?, 'task', 'x', 0)", [(tag, tag) for tag in VALUES["tag"]])
    db.execute("insert into organizations values ('large', 'Large', 0)")
    db.execute("insert into listings (id, file, entries) values ('l', 'l.txt', ?)", [papers])
    db.execute("insert into authors values ('a1', 'One', 1)")
    for number in range(1, papers + 1):
        save_paper(save, number, papers)
    create_indexes(db)
    index_text(db, db.execute("select number, title, abstract from papers"))
    for statement in STORED_COUNTS:
        db.execute(statement)
    write_columns(db.conn)
    guard_columns(db.conn)
    count_tags(db.conn)
    db.analyze()
    db.conn.commit()
    return db.conn


def save_paper(save: Callable[..., Any], number: int, papers: int) -> None:
    """With tags, a link and an entry; years follow each other as numbers do."""
    key, year = f"p{number:06}", 2020 + 5 * (number - 1) // papers
    tags = ["every"] + ["many"] * (number % 2) + ["old"] * (number <= papers / 10)
    save(
        "insert into papers (id, number, title, abstract, published, year, authors_count,"
        " organization, comments, tags, listed, first_listed)"
        " values (?, ?, 'Title', 'A common model', ?, ?, ?, ?, ?, ?, ?, '2025-01-01')",
        [(key, number, f"{year}-03-{number % 28 + 1:02}", year, number % 7 + 1,
          "large" if number % 2 else None, number % 11, json.dumps(tags), number % 3 + 1)],
    )  # fmt: skip
    save(
        "insert into paper_tags values (?, ?, ?, 'vocabulary')",
        [(key, tag, f"title: x{number % 50}") for tag in tags],
    )
    save("insert into links values (?, 'https://x.example', 'code')", [(key,)])
    save(
        "insert into entries (id, listing, position, line, paper, title)"
        " values (?, 'l', ?, ?, ?, 'Other')",
        [(number, number, number, key)],
    )


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[sqlite3.Connection]]:
    """One of PAPERS, one of three times as many."""
    folder = tmp_path_factory.mktemp("steps")
    with (
        closing(make_database(folder / "one.db", PAPERS)) as one,
        closing(make_database(folder / "three.db", 3 * PAPERS)) as three,
    ):
        yield [one, three]


def count_steps(connection: sqlite3.Connection, work: Callable[..., Any]) -> int:
    """Hundreds of SQLite's instructions."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    work(connection)
    connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("query", sorted(QUERIES.keys() - SITES_OWN - COUNTING))
def test_queries_take_no_more_steps_of_more_papers(
    databases: list[sqlite3.Connection], query: str
) -> None:
    sql = re.sub(
        r"\b(20000|10000|5000|2000)\b",
        lambda limit: str(int(limit[0]) // SMALLER),
        QUERIES[query]["sql"],
    )
    names = QUERIES[query].get("params", [])
    for values in product(*(VALUES[name] for name in names)):
        given = dict(zip(names, values, strict=True))
        one, three = (
            count_steps(db, lambda db, given=given: db.execute(sql, given).fetchmany(500))
            for db in databases
        )
        assert three <= 1.5 * one + 50, given


@pytest.mark.parametrize("sort", ["", "newest", "discussed"])
@pytest.mark.parametrize(
    "typed",
    ["common", "common tag:old", "tag:old", "common tag:every", "common year:2020 tag:every",
     "-common", "common -tag:many", "comm* tag:old", '"common model" org:large',
     "common comments:>8", "-common tag:old", '"a" tag:old'],
)  # fmt: skip
def test_searches_take_no_more_steps_of_more_papers(
    databases: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch, typed: str, sort: str
) -> None:
    for limit in ("ranking.MAX_POSTINGS", "ranking.MAX_SPAN", "results.MAX_EXCLUDED",
                  "results.MAX_SORTED", "results.MAX_LISTED"):  # fmt: skip
        monkeypatch.setattr(f"dailypapers.{limit}", 200)
    monkeypatch.setattr("dailypapers.ranking.MAX_FILTERED", 50)
    one, three = (
        count_steps(db, lambda db: find_papers(db, Search(typed, sort=sort), {}))
        for db in databases
    )
    assert three <= 1.5 * one + 50


def test_tags_are_counted_as_sql_counts_them(tmp_path: Path) -> None:
    """Also where some papers have no date."""
    connection = make_database(tmp_path / "daily.db", 300)
    tables = {
        "tag_months": "select tag, substr(published, 1, 7), count(*) from paper_tags"
        " join papers on papers.id = paper where published is not null group by 1, 2",
        "tags_together": "select one.tag, other.tag, count(*) from paper_tags as one"
        " join paper_tags as other on other.paper = one.paper and other.tag <> one.tag"
        " group by 1, 2",
    }
    for _ in range(2):
        for table, counted in tables.items():
            rows = connection.execute(f"select * from {table} order by 1, 2").fetchall()
            assert rows == connection.execute(f"{counted} order by 1, 2").fetchall() != []
            connection.execute(f"delete from {table}")
        connection.execute("update papers set published = null, year = null where number % 3 = 0")
        with pytest.raises(ValueError, match="arrays"):
            count_tags(connection)
        write_columns(connection)
        count_tags(connection)
    connection.close()
