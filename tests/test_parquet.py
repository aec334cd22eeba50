"""Files to take home: the database with its checksum, and Parquet files that say the same."""

import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import build as build_script
from dailypapers import parquet as parquet_files
from dailypapers.finishing import write_inspect_data
from dailypapers.parquet import (
    LEFT_OUT,
    find_parquet_folder,
    hash_file,
    read_checksums,
    write_parquet,
)
from dailypapers.publishing import downloads
from dailypapers.publishing.downloads import Part, RangeError, find_hash, read_range
from dailypapers.schema import TABLES

from .conftest import PROJECT, Build

PAGES = sorted((PROJECT / "listings").glob("00*.txt"))
WRITTEN = sorted(TABLES.keys() - LEFT_OUT)
DAYS = {"published", "first_listed", "last_listed", "listed_on"}


@pytest.fixture
def database(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample with Parquet files of it."""
    path = tmp_path / "daily.db"
    path.write_bytes(sample.read_bytes())
    write_parquet(path)
    return path


@pytest.fixture
async def offering(database: Path) -> Datasette:
    """The project served from it."""
    return await serve(database)


async def serve(database: Path, **options: Any) -> Datasette:
    ds = Datasette(
        immutables=[str(database)], config_dir=PROJECT, inspect_data={"_": {}}, cors=True, **options
    )
    await ds.invoke_startup()
    return ds


def read_rows(database: Path, table: str) -> list[tuple[Any, ...]]:
    """The rows with the types that Parquet has and SQLite has not."""
    converts: list[Callable[[Any], Any]] = [
        date.fromisoformat if name in DAYS
        else json.loads if (table, name) == ("papers", "tags")
        else lambda value: value
        for name in TABLES[table].columns
    ]  # fmt: skip
    with closing(sqlite3.connect(database)) as connection:
        return [
            tuple(value if value is None else convert(value)
                  for value, convert in zip(row, converts, strict=True))
            for row in connection.execute(f"select * from {table}")
        ]  # fmt: skip


# build.py --parquet


def test_the_build_writes_them_if_asked(build: Build, tmp_path: Path) -> None:
    done = build("--parquet", *PAGES)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "parquet" / "papers"
    assert sorted(path.stem for path in folder.glob("*.parquet")) == WRITTEN
    assert f"{len(WRITTEN)} files in parquet/papers/" in done.stderr
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert checked.stdout.count(b": OK\n") == len(WRITTEN) + 1


def test_the_build_writes_none_unasked(build: Build, tmp_path: Path) -> None:
    assert build(*PAGES).returncode == 0
    assert not (tmp_path / "parquet").exists()


def test_without_pyarrow_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_script, "is_parquet_possible", lambda: False)
    arguments = ["--parquet", "--db", str(tmp_path / "papers.db"), *map(str, PAGES)]
    result = CliRunner().invoke(build_script.build, arguments)
    assert result.exit_code == 2
    assert "pip install pyarrow" in result.output
    assert list(tmp_path.iterdir()) == []


def test_where_they_cannot_be_written_the_database_stays(build: Build, tmp_path: Path) -> None:
    (tmp_path / "parquet").write_text("in the way")
    done = build("--parquet", *PAGES)
    assert done.returncode == 1
    assert "papers.db is written, but not its Parquet files" in done.stderr
    with closing(sqlite3.connect(tmp_path / "papers.db")) as connection:
        assert connection.execute("select count(*) from papers").fetchone() == (436,)


# What they hold


@pytest.mark.parametrize("table", WRITTEN)
def test_they_hold_the_rows_of_the_database(database: Path, table: str) -> None:
    read = parquet.read_table(find_parquet_folder(database) / f"{table}.parquet")
    assert read.column_names == list(TABLES[table].columns)
    assert [tuple(row.values()) for row in read.to_pylist()] == read_rows(database, table)


def test_small_batches_hold_the_same(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = find_parquet_folder(database) / "papers.parquet"
    before = parquet.read_table(path)
    monkeypatch.setattr(parquet_files, "_BATCH", 100)
    write_parquet(database)
    assert parquet.ParquetFile(path).num_row_groups == 5
    assert parquet.read_table(path).equals(before)


def test_columns_have_types(database: Path) -> None:
    schema = parquet.read_schema(find_parquet_folder(database) / "papers.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types["published"] == types["first_listed"] == "date32[day]"
    assert types["year"] == types["comments"] == "int64"
    assert types["tags"] == "list<element: string>"
    assert not schema.field("title").nullable
    assert schema.field("abstract").nullable
    assert str(parquet.read_schema(
        find_parquet_folder(database) / "related_papers.parquet").field("score").type
    ) == "double"  # fmt: skip


def test_pandas_reads_them(database: Path) -> None:
    papers = pd.read_parquet(find_parquet_folder(database) / "papers.parquet")
    with closing(sqlite3.connect(database)) as connection:
        expected = pd.read_sql("select id, comments, year from papers", connection)
    assert papers[["id", "comments", "year"]].equals(expected)
    assert len(papers[papers.tags.map(lambda tags: "distillation" in tags)]) > 30


def test_they_count_for_their_own_database_alone(database: Path) -> None:
    checksum = hash_file(database)
    assert sorted(read_checksums(database, checksum)) == [f"{name}.parquet" for name in WRITTEN]
    assert read_checksums(database, "0" * 64) == {}
    folder = find_parquet_folder(database)
    (folder / "papers.parquet").unlink()
    assert "papers.parquet" not in read_checksums(database, checksum)
    for damaged in (b"", b"\n\n", b"\xff", b"a  b\n", b"no blanks"):
        (folder / "SHA256SUMS").write_bytes(damaged)
        assert read_checksums(database, checksum) == {}


def test_what_breaks_off_offers_nothing_old(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update tags set name = name || '!'")
    monkeypatch.setattr(parquet_files, "_read_batches", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_parquet(database)
    assert read_checksums(database, hash_file(database)) == {}
    assert not list(database.parent.rglob(".*"))


# The site


async def test_the_site_offers_what_there_is(offering: Datasette, database: Path) -> None:
    page = (await offering.client.get("/daily")).text
    named = set(re.findall(r'<a href="/daily/(\w+)\.parquet">', page))
    assert named == set(WRITTEN)
    for name in named:
        answer = await offering.client.get(f"/daily/{name}.parquet")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/vnd.apache.parquet"
        path = find_parquet_folder(database) / f"{name}.parquet"
        assert answer.content == path.read_bytes()
        assert answer.headers["etag"] == f'"{hash_file(path)}"'
    answer = await offering.client.get("/daily/papers.parquet")
    assert len(pd.read_parquet(io.BytesIO(answer.content))) == 436


async def test_the_site_offers_nothing_else(site: Datasette, offering: Datasette) -> None:
    assert ".parquet" not in (await site.client.get("/daily")).text
    assert (await site.client.get("/daily/papers.parquet")).status_code == 404
    for name in ("words", "nonsense", "SHA256SUMS", "~2E~2E~2Fdaily"):
        assert (await offering.client.get(f"/daily/{name}.parquet")).status_code == 404
    assert (await offering.client.get("/nowhere/papers.parquet")).status_code == 404


async def test_the_site_offers_none_of_another_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update tags set name = name || '!'")
    changed = await serve(database)
    assert ".parquet" not in (await changed.client.get("/daily")).text
    assert (await changed.client.get("/daily/papers.parquet")).status_code == 404


async def test_the_database_stands_with_size_and_checksum(site: Datasette, sample: Path) -> None:
    checksum = hashlib.sha256(sample.read_bytes()).hexdigest()
    size = f"{sample.stat().st_size / 1024 / 1024:.1f} MB"
    page = (await site.client.get("/daily")).text
    assert checksum in page
    assert size in page
    assert size in (await site.client.get("/")).text
    line = await site.client.get("/daily.db.sha256")
    assert line.text == f"{checksum}  daily.db\n"
    assert line.headers["content-type"].startswith("text/plain")


async def test_the_database_is_sent_as_it_is(site: Datasette, sample: Path) -> None:
    answer = await site.client.get("/daily.db", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(sample.stat().st_size)
    assert answer.headers["content-disposition"] == 'attachment; filename="daily.db"'
    assert answer.content == sample.read_bytes()
    head = await site.client.head("/daily.db")
    assert (head.content, head.headers["content-length"]) == (b"", str(sample.stat().st_size))
    assert (await site.client.get("/nowhere.db")).status_code == 404
    assert (await site.client.get("/nowhere.db.sha256")).status_code == 404


@pytest.mark.parametrize("path", ["/daily.db", "/daily.db.sha256", "/daily/papers.parquet"])
async def test_downloads_can_be_switched_off(database: Path, path: str) -> None:
    closed = await serve(database, settings={"allow_download": False})
    assert (await closed.client.get(path)).status_code == 403
    for page in ("/", "/daily"):
        assert "daily.db" not in (await closed.client.get(page)).text
    mutable = Datasette(files=[str(database)], config_dir=PROJECT, inspect_data={"_": {}})
    await mutable.invoke_startup()
    assert (await mutable.client.get(path)).status_code == 403


async def test_those_who_may_not_see_it_get_nothing(
    offering: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(offering._metadata_local, "allow", False)
    for path in ("/daily.db", "/daily.db.sha256", "/daily/papers.parquet"):
        assert (await offering.client.get(path)).status_code == 403


# Parts of files


async def test_a_download_goes_on_where_it_broke_off(site: Datasette, sample: Path) -> None:
    whole = sample.read_bytes()
    etag = (await site.client.head("/daily.db")).headers["etag"]
    middle = len(whole) // 2
    headers = {"Range": f"bytes={middle}-", "If-Range": etag}
    answer = await site.client.get("/daily.db", headers=headers)
    assert answer.status_code == 206
    assert answer.content == whole[middle:]
    size = len(whole)
    assert answer.headers["content-range"] == f"bytes {middle}-{size - 1}/{size}"
    assert answer.headers["content-length"] == str(size - middle)
    other = await site.client.get("/daily.db", headers={**headers, "If-Range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, size)
    behind = await site.client.get("/daily.db", headers={"Range": f"bytes={size}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")
    known = await site.client.get("/daily.db", headers={"If-None-Match": etag})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=2-", Part(2, 10)),
        ("bytes=2-99", Part(2, 10)),
        ("bytes=-3", Part(7, 10)),
        ("bytes=-99", Part(0, 10)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("", None),
        (f"bytes={'9' * 100}-", None),
        ("bytes=٣-", None),
    ],
)
def test_one_range_is_understood(header: str, expected: Part | None) -> None:
    assert read_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_nothing_lies_behind_the_end(header: str) -> None:
    with pytest.raises(RangeError):
        read_range(header, 10)


@given(st.text(max_size=9), st.integers(0, 12))
def test_any_range_lies_in_the_file(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        try:
            part = read_range(header, size)
        except RangeError:
            continue
        assert part is None or 0 <= part.start < part.end <= size


async def test_a_file_that_shrinks_is_no_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with pytest.raises(EOFError):
        [chunk async for chunk in downloads.read_part(partial(path.open, "rb"), Part(0, 6))]


# Checksums


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"a", b"bc"):
        path.write_bytes(content)
        assert find_hash(path) == hashlib.sha256(content).hexdigest()


def test_inspect_data_is_trusted_of_just_this_file(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect_file = tmp_path / "inspect-data.json"
    path = tmp_path / "daily.db"
    path.write_bytes(sample.read_bytes())
    write_inspect_data(path, inspect_file)
    known = {**json.loads(inspect_file.read_text())["daily"], "hash": "stated"}
    real, size = hash_file(path), path.stat().st_size

    def find(known: dict[str, object]) -> str:
        monkeypatch.setattr(downloads, "_hashes", {})
        downloads.trust_inspect_data(path, known, inspect_file)
        return find_hash(path)

    assert find(known) == "stated"
    assert find({**known, "size": size + 1}) == real
    assert find({**known, "file": "other.db"}) == real
    assert find({}) == real
    newer = inspect_file.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(newer, newer))
    assert find(known) == real
