"""Lists that arrays tell are those that Datasette's own statements find."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from datasette.app import Datasette
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dailypapers.columns import NUMBERS, ORDERED, TEXTS, read_columns, write_columns
from dailypapers.publishing.lists import PaperList

from .conftest import PROJECT

VALUES = {
    "year": ["2024", "2025", "1999"],
    "authors_count": ["1", "5", "8", "05", "many", ""],
    "organization": ["nvidia", "Salesforce", "NVIDIA", ""],
    "comments": ["0", "2", "-1", "3.0"],
    "published": ["2025-06-03", "2024", "2025-02", "0", "x"],
    "last_listed": ["2025-12-17", "2025-12-30"],
    "listed": ["1", "2"],
    "upvotes": ["0"],
}
LOOKUPS = ["exact", "not", "gt", "gte", "lt", "lte", "isnull", "notnull", "isblank",
           "notblank", "startswith"]  # fmt: skip
PAIRS = [
    *((f"{column}__{lookup}" if lookup != "exact" else column, value)
      for column, values in VALUES.items() for value in values for lookup in LOOKUPS),
    *(("_tag", tag) for tag in ("reasoning", "distillation", "lora", "nothing", "")),
    *((f"tags__{lookup}", tag) for tag in ("reasoning", "nothing")
      for lookup in ("arraycontains", "arraynotcontains")),
    *(("_search", words) for words in ("model", "language model", '"', "nowhere", "don't")),
    ("_listing", "000_d7ab98431e6b4795.txt"), ("_listing", "000-d7ab98431e6b4795"),
    ("_search_title", "model"), ("title__contains", "lora"), ("_where", "number < 100"),
]  # fmt: skip
ORDERS = [
    (direction, column)
    for direction in ("_sort", "_sort_desc")
    for column in (*NUMBERS, *TEXTS, *ORDERED)
    if column != "organization"
]


@pytest.fixture(scope="module")
def bare(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same database, without arrays."""
    copy = shutil.copy(sample, tmp_path_factory.mktemp("bare") / "daily.db")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("drop table paper_arrays")
    return copy


@pytest.fixture
async def bare_site(bare: Path, sample: Path, site: Datasette) -> Datasette:
    known = json.loads(sample.with_name("inspect-data.json").read_text())
    other = Datasette(immutables=[str(bare)], config_dir=PROJECT, inspect_data=known, cors=True)
    await other.invoke_startup()
    return other


def summarize(page: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, without the addresses that other tests look at."""
    facets = {
        name: [(one["value"], one["label"], one["count"]) for one in facet["results"]]
        for name, facet in page["facet_results"].items()
    }
    names = ("columns", "rows", "filtered_table_rows_count", "next", "human_description_en")
    return {name: page[name] for name in names} | {"facets": facets}


@given(pairs=st.lists(st.sampled_from(PAIRS), max_size=4), order=st.sampled_from(ORDERS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_arrays_and_statements_agree(
    site: Datasette, bare_site: Datasette, pairs: list[tuple[str, str]], order: tuple[str, str]
) -> None:
    path = f"/daily/papers.json?{urlencode([*pairs, order, ('_size', '7')])}"
    for _ in range(3):
        answers = [await one.client.get(path) for one in (site, bare_site)]
        assert answers[0].status_code == answers[1].status_code, path
        if answers[0].status_code != 200:
            return
        first, second = (summarize(answer.json()) for answer in answers)
        assert first == second, path
        url = urlsplit(answers[0].json()["next_url"] or "")
        if not url.query:
            return
        path = f"{url.path}?{url.query}"


@pytest.mark.parametrize("table", ["tags", "organizations", "authors_count", "listings"])
async def test_pages_of_facets_agree(site: Datasette, bare_site: Datasette, table: str) -> None:
    for row in await site.get_database("daily").execute(f"select * from {table} limit 100"):
        path = f"/daily/{table}/{row[0]}"
        answers = [(await one.client.get(path)).text for one in (site, bare_site)]
        assert answers[0] == answers[1], path


@pytest.mark.parametrize(
    "filters",
    ["year=2025", "_tag=reasoning&comments__gt=1", "_search=model", "_listing=000", "_next=x"],
)
async def test_arrays_are_asked_where_there_are_filters(
    site: Datasette, bare_site: Datasette, monkeypatch: pytest.MonkeyPatch, filters: str
) -> None:
    monkeypatch.setattr(PaperList, "count", lambda papers: 12_345)
    counts = [
        (await one.client.get(f"/daily/papers.json?{filters}")).json()["filtered_table_rows_count"]
        for one in (site, bare_site)
    ]
    assert (counts[0] == 12_345) == (filters != "_next=x")
    assert counts[1] != 12_345


def test_what_changes_papers_empties_the_arrays(sample: Path, tmp_path: Path) -> None:
    changes = [
        "update papers set year = 1999 where number = 1",
        "delete from paper_tags where tag = 'reasoning'",
        "insert into papers (id, number, title, tags, listed) values ('x', 437, 'X', '[]', 1)",
    ]
    for number, change in enumerate(changes):
        copy = shutil.copy(sample, tmp_path / f"{number}.db")
        with closing(sqlite3.connect(copy)) as connection:
            assert read_columns(connection)
            connection.execute(change)
            assert read_columns(connection) is None


def test_arrays_of_another_version_are_not_used(sample: Path, tmp_path: Path) -> None:
    copy = shutil.copy(sample, tmp_path / "daily.db")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("delete from paper_arrays where name = 'upvotes'")
        assert read_columns(connection) is None


@pytest.mark.parametrize("path", ["", ".json", ".csv", "/year", "/year.json", ".ndjson"])
async def test_visitors_have_no_use_for_the_arrays(site: Datasette, path: str) -> None:
    assert (await site.client.get(f"/daily/paper_arrays{path}")).status_code == 403


async def test_no_page_lists_the_arrays(site: Datasette) -> None:
    pages = ["/", "/daily", "/daily.json", "/about", "/api", "/openapi.json", "/sitemap-site.xml"]
    for path in [*pages, "/daily?_show_hidden=1"]:
        answer = await site.client.get(path)
        assert answer.status_code == 200
        assert "paper_arrays" not in answer.text, path


def test_papers_that_are_not_in_order_are_refused() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table papers (id text primary key, number integer)")
        connection.execute("insert into papers values ('b', 2), ('a', 1)")
        with pytest.raises(ValueError, match="order"):
            write_columns(connection)
