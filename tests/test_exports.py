"""Rows in full: as CSV and as JSON lines, whole or visibly broken off, in little memory."""

import asyncio
import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from dailypapers.database import create_indexes, create_tables
from dailypapers.publishing import all_rows
from dailypapers.publishing.exports import BOM, Csv, JsonLines, Page, defuse

from .conftest import PROJECT
from .processes import find_port, wait_until_up

DOCUMENT = (PROJECT / "docs" / "exports.md").read_text("utf-8")
MANY = 100_000
FLAT = "/daily/papers_flat"
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"


@pytest.fixture
def small_pages(site: Datasette, monkeypatch: pytest.MonkeyPatch) -> Datasette:
    """The sample in pages of 30 rows, of which 20 are held at once."""
    monkeypatch.setattr(site, "max_returned_rows", 30)
    monkeypatch.setitem(site._settings, "max_returned_rows", 30)
    monkeypatch.setattr(all_rows, "BATCH", 20)
    return site


async def read_csv(site: Datasette, path: str) -> list[dict[str, str]]:
    answer = await site.client.get(path)
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def read_lines(site: Datasette, path: str) -> list[dict[str, Any]]:
    answer = await site.client.get(path)
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    return [json.loads(line) for line in answer.text.splitlines()]


def ask(sample: Path, sql: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{sample}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def as_text(row: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


# Tables


@pytest.mark.parametrize("table", ["papers", "paper_tags", "related_papers", "authors_count"])
async def test_tables_come_in_full(small_pages: Datasette, sample: Path, table: str) -> None:
    rows = ask(sample, f"select * from {table}")
    key = list(rows[0])
    expected = sorted(rows, key=lambda row: [str(row[name]) for name in key])
    lines = await read_lines(small_pages, f"/daily/{table}.ndjson?_stream=on")
    assert sorted(lines, key=lambda row: [str(row[name]) for name in key]) == expected
    cells = await read_csv(small_pages, f"/daily/{table}.csv?_stream=on")
    assert sorted(map(str, cells)) == sorted(str(as_text(row)) for row in rows)


@pytest.mark.parametrize(
    ("filters", "where", "sort"),
    [
        ("_sort=title", "true", "title"),
        ("_sort_desc=comments", "true", "comments desc"),
        ("_sort=comments&_col=title", "true", "comments"),
        ("year=2024&_sort=published", "year = 2024", "published"),
        ("_tag=distillation", "tags like '%\"distillation\"%'", "published desc"),
        ("_search=models", "number in (select rowid from papers_fts('models'))", "published desc"),
        ("year=1066", "false", "published desc"),
    ],
)
async def test_filters_and_orders_hold_for_all_rows(
    small_pages: Datasette, sample: Path, filters: str, where: str, sort: str
) -> None:
    sql = f"select id, {sort.split()[0]} as value from papers where {where} order by {sort}"
    expected = ask(sample, sql)
    values = {row["id"]: row["value"] for row in expected}
    assert len(expected) > 30 or where == "false"
    lines = await read_lines(small_pages, f"/daily/papers.ndjson?_stream=on&{filters}")
    rows = await read_csv(small_pages, f"/daily/papers.csv?_stream=on&{filters}")
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert sorted(line["id"] for line in lines) == sorted(values)
    assert [values[line["id"]] for line in lines] == [row["value"] for row in expected]


async def test_labels_stand_beside_what_they_name(small_pages: Datasette) -> None:
    path = "_stream=on&_labels=on&_sort_desc=authors_count"
    rows = await read_csv(small_pages, f"/daily/papers.csv?{path}")
    lines = await read_lines(small_pages, f"/daily/papers.ndjson?{path}")
    assert len(rows) == len(lines) == 436
    assert {row["organization_label"] for row in rows if row["organization"] == "nvidia"} == {
        "NVIDIA"
    }
    for row, line in zip(rows, lines, strict=True):
        if line["organization"] is None:
            assert row["organization"] == row["organization_label"] == ""
        else:
            assert line["organization"] == {
                "value": row["organization"], "label": row["organization_label"]
            }  # fmt: skip


async def test_json_in_a_column_can_be_read_as_such(site: Datasette) -> None:
    lines = await read_lines(site, "/daily/papers.ndjson?_stream=on&_json=tags&_json=title")
    assert all(isinstance(line["tags"], list) for line in lines)
    assert all(isinstance(line["title"], str) for line in lines)
    [line] = await read_lines(site, "/daily/papers.ndjson?_size=1&_sort=title")
    assert isinstance(line["tags"], str)


async def test_one_page_leads_to_the_next(site: Datasette) -> None:
    seen: list[str] = []
    path = "/daily/papers.ndjson?_size=100&_sort=title"
    while path:
        answer = await site.client.get(path)
        seen += [json.loads(line)["id"] for line in answer.text.splitlines()]
        link = re.fullmatch(r'<http://localhost(.+)>; rel="next"', answer.headers.get("link", ""))
        path = link[1] if link else ""
    assert len(seen) == len(set(seen)) == 436


async def test_headers_are_as_asked_for(site: Datasette) -> None:
    path = "/daily/tags.csv?_stream=on"
    whole = await site.client.get(path)
    bare = await site.client.get(f"{path}&_header=off")
    assert whole.text.partition("\r\n")[2] == bare.text
    assert "content-disposition" not in whole.headers
    assert whole.headers["access-control-allow-origin"] == "*"
    saved = await site.client.get(f"{path}&_dl=on")
    assert saved.headers["content-disposition"] == 'attachment; filename="tags.csv"'
    head = await site.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/daily/papers.csv?_stream=on&_next=100", 400),
        ("/daily/papers.ndjson?_stream=on&_sort=nonsense", 400),
        ("/daily/papers.ndjson?_stream=on&_where=nonsense", 400),
        ("/daily/nonsense.ndjson?_stream=on", 404),
        ("/nowhere/papers.ndjson?_stream=on", 404),
        ("/daily.ndjson?_stream=on&sql=select+nonsense", 400),
        ("/daily.ndjson?_stream=on&sql=delete+from+papers", 400),
        ("/daily.ndjson", 400),
    ],
)
async def test_errors_before_the_first_row_are_errors(
    site: Datasette, path: str, status: int
) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == status


async def test_streaming_can_be_switched_off(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(site._settings, "allow_csv_stream", False)
    for format in ("csv", "ndjson"):
        answer = await site.client.get(f"/daily/papers.{format}?_stream=on")
        assert answer.status_code == 400


async def test_private_tables_stay_private(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = site._metadata_local["databases"]["daily"]["tables"]
    monkeypatch.setitem(tables["papers"], "allow", False)
    for format in ("csv", "ndjson"):
        answer = await site.client.get(f"/daily/papers.{format}?_stream=on")
        assert answer.status_code == 403


# Queries


async def test_a_query_is_sent_in_full_or_refused(site: Datasette) -> None:
    sql = quote("select id from papers order by id")
    for path in (f"/daily.ndjson?sql={sql}", "/daily/tags_in_use.ndjson?"):
        assert await read_lines(site, f"{path}&_stream=on") == await read_lines(site, path)
    more = quote("select 1 from papers, tags")
    for format in ("csv", "ndjson"):
        answer = await site.client.get(f"/daily.{format}?_stream=on&sql={more}")
        assert answer.status_code == 400
        assert "at most 1,000 rows" in answer.text
    answer = await site.client.get(f"/daily.ndjson?_stream=on&sql={quote(ENDLESS)}")
    assert answer.status_code == 400


async def test_conditions_in_sql_hold_for_one_page(small_pages: Datasette) -> None:
    path = "/daily/papers.ndjson?_stream=on&_where="
    lines = await read_lines(small_pages, path + quote("number <= 30"))
    assert len(lines) == 30
    answer = await small_pages.client.get(path + quote("number <= 31"))
    assert answer.status_code == 400


async def test_results_of_sql_are_cut_as_json_says(site: Datasette) -> None:
    more = quote("select 1 from papers, tags")
    page = (await site.client.get(f"/daily.json?sql={more}")).json()
    assert (len(page["rows"]), page["truncated"]) == (1000, True)


async def test_flat_papers_come_with_names(small_pages: Datasette, sample: Path) -> None:
    lines = await read_lines(small_pages, f"{FLAT}.ndjson?_stream=on")
    rows = await read_csv(small_pages, f"{FLAT}.csv?_stream=on")
    assert [as_text(line) for line in lines] == rows
    assert [line["number"] for line in lines] == sorted(
        row["number"] for row in ask(sample, "select number from papers")
    )
    tags: dict[str, set[str]] = {}
    for row in ask(sample, "select paper, name from paper_tags join tags on tags.id = tag"):
        tags.setdefault(row["paper"], set()).add(row["name"])
    assert {line["id"]: set(line["tags"].split("; ")) for line in lines if line["tags"]} == tags
    assert {line["organization_name"] for line in lines} == {
        None, *(row["name"] for row in ask(sample, "select name from organizations"))
    }  # fmt: skip


async def test_flat_papers_go_on_after_a_number(small_pages: Datasette) -> None:
    lines = await read_lines(small_pages, f"{FLAT}.ndjson?_stream=on")
    for after in (0, 10, 435, 436, 10**9):
        rest = await read_lines(small_pages, f"{FLAT}.ndjson?_stream=on&after={after}")
        assert rest == [line for line in lines if line["number"] > after]
    assert await read_lines(small_pages, f"{FLAT}.ndjson") == lines[:30]


async def test_authors_and_keywords_stand_in_their_order(sample: Path, tmp_path: Path) -> None:
    database = tmp_path / "daily.db"
    database.write_bytes(sample.read_bytes())
    with closing(sqlite3.connect(database)) as connection, connection:
        [paper] = connection.execute("select id from papers limit 1").fetchone()
        for number, name in enumerate(("Zoë", "Ann"), 1):
            connection.execute("insert into authors values (?, ?, 1)", (name, name))
            connection.execute("insert into paper_authors values (?, ?, ?)", (paper, number, name))
            connection.execute("insert into keywords values (?, ?, 1)", (name, name.lower()))
            connection.execute("insert into paper_keywords values (?, ?)", (paper, name))
    site = Datasette(immutables=[str(database)], config_dir=PROJECT, inspect_data={"_": {}})
    await site.invoke_startup()
    lines = await read_lines(site, f"{FLAT}.ndjson?_stream=on")
    named = {line["id"]: (line["authors"], line["keywords"]) for line in lines if line["authors"]}
    assert named == {paper: ("Zoë; Ann", "ann; zoë")}


# Excel


async def test_excel_gets_a_mark_and_no_formulas(site: Datasette) -> None:
    sql = quote("""select '=cmd|1' as a, '@x' as "=b", '+1' as c, -1 as d, '-1' as e, 'a=b' as f""")
    answer = await site.client.get(f"/daily.csv?_bom=on&sql={sql}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.decode("utf-8") == (
        f"{BOM}a,'=b,c,d,e,f\r\n'=cmd|1,'@x,'+1,-1,'-1,a=b\r\n"
    )
    plain = await site.client.get(f"/daily.csv?sql={sql}")
    assert plain.text == "a,=b,c,d,e,f\r\n=cmd|1,@x,+1,-1,-1,a=b\r\n"


async def test_excel_gets_whole_tables_and_single_pages(small_pages: Datasette) -> None:
    for arguments, count in (("_stream=on&", 436), ("_size=3&", 3)):
        answer = await small_pages.client.get(f"/daily/papers.csv?{arguments}_bom=on")
        text = answer.content.decode("utf-8")
        assert text.count(BOM) == 1
        assert text.startswith(BOM)
        assert len(list(csv.DictReader(io.StringIO(text[1:], newline="")))) == count


CELLS = st.one_of(
    st.none(), st.integers(), st.floats(), st.binary(max_size=5),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
)  # fmt: skip


@given(st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_any_rows_can_be_read_again(rows: list[tuple[Any, Any]]) -> None:
    page = Page(["a", "b"], rows)
    lines = JsonLines().write(page)
    assert lines.isascii()
    assert len(lines.splitlines()) == len(rows)
    for line, row in zip(lines.splitlines(), rows, strict=True):
        for value, cell in zip(json.loads(line).values(), row, strict=True):
            if isinstance(cell, str | int | None):
                assert value == cell
    for form in (Csv(), Csv(for_excel=True)):
        read = list(csv.reader(io.StringIO(form.begin(page) + form.write(page), newline="")))
        assert [cell.removeprefix(BOM) for cell in read[0]] == ["a", "b"]
        assert len(read) == 1 + len(rows)
        for written, row in zip(read[1:], rows, strict=True):
            for text, cell in zip(written, row, strict=True):
                if isinstance(cell, str):
                    assert text == (defuse(cell) if form.for_excel else cell)


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1"])
def test_formulas_are_text_to_excel(cell: str) -> None:
    assert defuse(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["a=1", "", " =", 1, -1.5, None])
def test_all_else_is_left_alone(cell: object) -> None:
    assert defuse(cell) is cell


# Breaking off


def make_scope(path: str, query: str) -> dict[str, Any]:
    return {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"accept-encoding", b"gzip")],
    }  # fmt: skip


async def ask_site(
    site: Datasette,
    path: str,
    send: Callable[[dict[str, Any]], Awaitable[None]],
    left: asyncio.Event,
) -> None:
    """Ask as a server does; `left` is when the visitor closes the connection."""

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    await site.app()(make_scope(path, "_stream=on"), receive, send)


@pytest.mark.parametrize("path", ["/daily/papers.csv", "/daily/papers.ndjson", f"{FLAT}.csv"])
async def test_a_failure_in_the_middle_is_no_end(
    small_pages: Datasette, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    read, sent = all_rows.run_in_time, list[dict[str, Any]]()

    def fail_later(connection: sqlite3.Connection, limit_ms: int, read_more: Any) -> Any:
        if len(sent) > 3:
            connection.execute("select * from nonsense")
        return read(connection, limit_ms, read_more)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    monkeypatch.setattr(all_rows, "run_in_time", fail_later)
    with pytest.raises(RuntimeError, match="broke off"):
        await ask_site(small_pages, path, send, asyncio.Event())
    assert sent[0]["status"] == 200
    assert len(sent) > 3
    assert all(message["more_body"] for message in sent[1:])


async def test_what_takes_too_long_at_once_is_an_error(
    small_pages: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = small_pages._metadata_local["databases"]["daily"]["queries"]["tags_in_use"]
    sql = f"select id from papers union all select * from ({ENDLESS})"
    monkeypatch.setitem(query, "sql", f"{sql} order by id")
    monkeypatch.setitem(small_pages._settings, "sql_time_limit_ms", 50)
    answer = await small_pages.client.get("/daily/tags_in_use.csv?_stream=on")
    assert answer.status_code == 400
    monkeypatch.setattr(all_rows, "PATIENCE", 1)
    monkeypatch.setitem(query, "sql", sql)  # the first page is quick
    with pytest.raises(RuntimeError, match="broke off"):
        await small_pages.client.get("/daily/tags_in_use.csv?_stream=on")


async def test_nothing_is_read_for_who_has_left(small_pages: Datasette) -> None:
    sent, left = 0, asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += 1
        if sent == 3:
            left.set()

    await ask_site(small_pages, "/daily/papers.csv", send, left)
    assert 3 <= sent < 6


async def test_nothing_is_read_before_the_last_is_sent(
    small_pages: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, events = all_rows.run_in_time, ""

    def count(*arguments: Any) -> Any:
        nonlocal events
        events += "r"
        return read(*arguments)

    async def send(message: dict[str, Any]) -> None:
        nonlocal events
        events += "s"

    monkeypatch.setattr(all_rows, "run_in_time", count)
    await ask_site(small_pages, "/daily/papers.ndjson", send, asyncio.Event())
    assert events.startswith("rrss")  # the statement, the first rows, the start, those rows
    assert "rr" not in events[1:]
    assert events.count("r") > 436 / 20


async def test_connections_are_closed(
    small_pages: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = small_pages.get_database("daily")
    connect, opened = database.connect, list[sqlite3.Connection]()

    def remember() -> sqlite3.Connection:
        opened.append(connect())
        return opened[-1]

    monkeypatch.setattr(database, "connect", remember)
    await read_lines(small_pages, "/daily/papers.ndjson?_stream=on")
    [own] = set(opened) - set(database._all_file_connections)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        own.execute("select 1")


# Memory


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred thousand made-up papers, 150 MB of text."""
    path = tmp_path_factory.mktemp("many") / "daily.db"
    db = Database(path)
    create_tables(db)
    with db.atomic():
        db.execute(
            f"""
            with recursive counted(n) as (
              select 1 union all select n + 1 from counted where n < {MANY}
            )
            insert into papers (id, number, title, abstract, published, tags, listed)
            select 'paper-' || n, n, 'Paper ' || n, printf('%.*c', 1500, 'x'),
              date('2020-01-01', (n % 900) || ' days'), '[]', 1
            from counted
            """
        )
        create_indexes(db)
    db.close()
    return path


@pytest.fixture(scope="module")
def server(many: Path) -> Iterator[tuple[str, int]]:
    """A real server of them: its address and its process."""
    port = find_port()
    command = [sys.executable, "-m", "datasette", ".", "-i", many, "--port", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=PROJECT, stdout=quiet, stderr=quiet) as process:
        try:
            wait_until_up(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def measure_memory(process: int) -> int:
    """Bytes that a process holds now, without those of files that SQLite maps, which the system
    may drop."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "path", ["/daily/papers.csv?_stream=on&_sort_desc=published", f"{FLAT}.ndjson?_stream=on"]
)
def test_a_hundred_thousand_rows_take_little_memory(server: tuple[str, int], path: str) -> None:
    address, process = server
    urlopen(f"{address}/daily/papers.json?_size=1").close()
    before = most = measure_memory(process)
    seen: set[str] = set()
    count = 0
    with urlopen(address + path) as answer:
        lines = (line.decode() for line in answer)
        rows = csv.DictReader(lines) if ".csv" in path else map(json.loads, lines)
        for row in rows:
            seen.add(row["id"])
            count += 1
            if count % 1_000 == 0:
                most = max(most, measure_memory(process))
    assert count == len(seen) == MANY
    assert most - before < 100_000_000


# docs/exports.md


SHELL = re.findall(r"^    (curl .*|\(cd .*)$", DOCUMENT, re.MULTILINE)
PYTHON = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_examples_print_something(served: str, tmp_path: Path, number: int) -> None:
    code = PYTHON[number].replace("http://127.0.0.1:8001", served)
    assert served in code
    printed = run([sys.executable, "-c", code], tmp_path)
    assert re.search(r"[1-9]\d", printed)


def test_shell_examples_write_what_they_say(served: str, sample: Path, tmp_path: Path) -> None:
    for line in SHELL:
        if "curl" in line:
            command = line.replace("http://127.0.0.1:8001", served)
            run(["bash", "-euo", "pipefail", "-c", command], tmp_path)
    papers = list(csv.DictReader((tmp_path / "papers.csv").open(encoding="utf-8", newline="")))
    assert len(papers) == 436
    [in_2024] = ask(sample, "select count(*) as papers from papers where year = 2024")
    rows = list(csv.DictReader((tmp_path / "papers-2024.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == in_2024["papers"]
    assert len((tmp_path / "rest.ndjson").read_text().splitlines()) == 36
    assert (tmp_path / "papers-for-excel.csv").read_bytes().startswith(BOM.encode())
    assert (tmp_path / "daily.db").read_bytes() == sample.read_bytes()
    assert len(SHELL) == 7
