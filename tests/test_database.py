"""What stands in the built file: the sample's facts, and the promises of its stored counts."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from dailypapers.database import _ROWS, replace_database
from dailypapers.schema import TABLES


@pytest.fixture
def db(sample: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{sample}?mode=ro", uri=True)
    yield connection
    connection.close()


def test_the_sample_is_whole(db: sqlite3.Connection) -> None:
    counts = {
        table: db.execute(f"select count(*) from {table}").fetchone()[0]
        for table in ("papers", "entries", "listings", "problems", "organizations", "tags")
    }
    assert counts == {
        "papers": 436, "entries": 466, "listings": 4, "problems": 0, "organizations": 5, "tags": 72,
    }  # fmt: skip
    listings = "select file, heading, listed_on, entries from listings order by file"
    assert db.execute(listings).fetchall() == [
        ("000_d7ab98431e6b4795.txt", "Dec 30", "2025-12-30", 43),
        ("001_0ad1710d79551e23.txt", "Oct 31", "2025-10-31", 97),
        ("002_b77eaf63534df0e8.txt", None, None, 281),
        ("003_80a96e83b939f9e8.txt", "Dec 17", "2025-12-17", 45),
    ]
    assert db.execute("select id, name from organizations order by id").fetchall() == [
        ("ByteDance", "ByteDance"),
        ("HuggingFaceFW", "FineData"),
        ("Salesforce", "Salesforce"),
        ("UCAS", "ucas"),
        ("nvidia", "NVIDIA"),
    ]


@pytest.mark.parametrize(
    ("lookup", "counted"),
    [
        ("authors_count", "select count(*) from papers p where p.authors_count = x.authors_count"),
        ("organizations", "select count(*) from papers p where p.organization = x.id"),
        ("tags", "select count(*) from paper_tags t where t.tag = x.id"),
    ],
)
def test_stored_counts_are_exact(db: sqlite3.Connection, lookup: str, counted: str) -> None:
    wrong = f"select * from {lookup} x where papers is not ({counted})"
    assert db.execute(wrong).fetchall() == []


def test_tags_of_papers_repeat_paper_tags(db: sqlite3.Connection) -> None:
    for paper, tags in db.execute("select id, tags from papers").fetchall():
        rows = db.execute("select tag from paper_tags where paper = ? order by tag", [paper])
        assert json.loads(tags) == [tag for (tag,) in rows]


def test_every_tag_says_what_earned_it(db: sqlite3.Connection) -> None:
    rows = db.execute("select evidence, source from paper_tags").fetchall()
    assert len(rows) > 436
    assert all(evidence.startswith(("title: ", "abstract: ")) for evidence, _ in rows)
    assert {source for _, source in rows} == {"vocabulary"}


def test_every_paper_has_its_ten_nearest_best_first(db: sqlite3.Connection) -> None:
    nearest: dict[str, list[tuple[int, float]]] = {}
    for paper, rank, related, score in db.execute("select * from related_papers"):
        assert paper != related
        nearest.setdefault(paper, []).append((rank, score))
    assert len(nearest) == 436
    for ranked in nearest.values():
        assert [rank for rank, _ in ranked] == list(range(1, 11))
        scores = [score for _, score in ranked]
        assert scores == sorted(scores, reverse=True)
        assert 0 < scores[-1] <= scores[0] <= 1


def test_unknown_facts_are_null_and_never_empty(db: sqlite3.Connection) -> None:
    for table in ("papers", "entries", "listings", "organizations"):
        names = [row[1] for row in db.execute(f"pragma table_info({table})")]
        for name in names:
            assert db.execute(f"select count(*) from {table} where {name} = ''").fetchone() == (0,)
    dense = (
        "select distinct comments, authors_count, published from entries where listing like '002%'"
    )
    assert db.execute(dense).fetchall() == [(None, None, None)]


def test_the_text_index_survives_vacuum(sample: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(sample.read_bytes())
    connection = sqlite3.connect(copy)
    connection.execute("delete from papers where number <= 10")
    connection.commit()
    connection.execute("vacuum")
    found = connection.execute(
        "select p.title from papers_fts f join papers p on p.number = f.rowid"
        " where papers_fts match 'title:openvlthinker'"
    ).fetchall()
    assert len(found) == 1
    assert found[0][0].startswith("OpenVLThinker")


def test_references_hold_and_every_index_is_analysed(db: sqlite3.Connection) -> None:
    assert db.execute("pragma foreign_key_check").fetchall() == []
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert db.execute("select count(*) from sqlite_stat1 where tbl = 'papers'").fetchone()[0] > 5


def test_damaged_file_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "papers.db"
    target.write_bytes(b"the old file")
    with pytest.raises(Exception, match="cannot write"), replace_database(target) as building:
        building.path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    assert target.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [target]


def test_broken_reference_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "papers.db"
    with pytest.raises(Exception, match="damaged"), replace_database(target) as building:
        connection = sqlite3.connect(building.path)
        connection.executescript(
            "create table a(id integer primary key); create table b(a references a);"
            "insert into b values (7)"
        )
        connection.close()
    assert not target.exists()


def test_an_index_of_other_rows_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "papers.db"
    with (
        pytest.raises(Exception, match="damaged"),
        replace_database(target, ["a", "b"]) as building,
    ):
        connection = sqlite3.connect(building.path)
        connection.executescript(
            "create table a(x); create table b(x); create index of_a on a(x);"
            "create index of_b on b(x); insert into a values (1), (2); insert into b values (3);"
            "pragma writable_schema = on;"
            "update sqlite_master set rootpage = 9 - rootpage where type = 'index'"
        )
        connection.close()
    assert list(tmp_path.iterdir()) == []


def test_the_new_file_is_known_by_its_hash(tmp_path: Path) -> None:
    with replace_database(tmp_path / "papers.db") as building:
        connection = sqlite3.connect(building.path)
        connection.executescript("create table a(x); insert into a values (1)")
        connection.close()
    content = (tmp_path / "papers.db").read_bytes()
    assert building.sha256 == hashlib.sha256(content).hexdigest()


def test_a_statement_has_no_more_values_than_any_sqlite_takes() -> None:
    assert max(len(table.columns) for table in TABLES.values()) * _ROWS <= 999
