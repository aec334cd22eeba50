"""Filters through relations, the facet of tags, filters in words, and the pages of facets."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from datasette import Request
from datasette.app import Datasette
from datasette.database import Database as SiteDatabase
from datasette.filters import Filters
from datasette.plugins import pm
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from dailypapers.database import create_indexes, create_tables, index_text
from dailypapers.publishing import facets
from dailypapers.publishing.filters import OPERATORS, read_filters, say_filter
from dailypapers.schema import STORED_COUNTS

from .conftest import PROJECT

Rows = list[dict[str, Any]]
HOSTILE = [
    "<b>",
    "'",
    '"',
    "\0",
    "🤗",
    "{}",
    "{0.x}",
    "%",
    ":p0",
    "x" * 5_000,
    "'); drop table tags",
]


async def fetch_json(site: Datasette, path: str) -> Any:
    answer = await site.client.get(path)
    assert answer.status_code == 200, (path, answer.text[:300])
    return answer.json()


async def fetch_ids(site: Datasette, query_string: str) -> list[str]:
    path = f"/daily/papers.json?_shape=array&_size=max&{query_string}"
    return [row["id"] for row in await fetch_json(site, path)]


async def call_function(site: Datasette, function: str, *arguments: object) -> Any:
    """A function that plugins give to templates."""
    variables = pm.hook.extra_template_vars(
        template=None, database="daily", table="papers", columns=None, view_name="table",
        request=None, datasette=site,
    )  # fmt: skip
    [found] = [
        given[function] for given in variables if isinstance(given, dict) and function in given
    ]
    return await found(*arguments)


def make_request(query_string: str, table: str = "papers") -> Request:
    path = f"/daily/{table}"
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query_string.encode(),
            "headers": [],
            "url_route": {"kwargs": {"database": "daily", "table": table}},
        },
        None,
    )


async def list_filters(site: Datasette, query_string: str, table: str = "papers") -> Rows:
    filters: Rows = await call_function(site, "list_filters", make_request(query_string, table))
    return filters


async def say_filters(site: Datasette, query_string: str, table: str = "papers") -> list[str]:
    return [one["words"] for one in await list_filters(site, query_string, table)]


@pytest.fixture
def rows(sample: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(sample)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what the sample lacks: authors, keywords, a listing with a paper twice."""
    path = tmp_path_factory.mktemp("made") / "daily.db"
    db = Database(path)
    create_tables(db)
    for table in ("tags", "authors", "keywords"):
        names = [{"id": f"x{n}", "name": f"{table} <{n}>", "papers": 0} for n in range(3)]
        more = {"category": "topic", "description": "made up"} if table == "tags" else {}
        db.table(table).insert_all({**name, **more} for name in names)
    db.table("listings").insert({"id": "page", "file": "page & page.txt", "entries": 31})
    for n in range(30):
        add_paper(db, n)
    entries = [*range(29, -1, -1), 29]
    db.table("entries").insert_all(
        {"id": at, "listing": "page", "position": at, "line": 10 * at, "paper": f"p{n:02}",
         "title": ""}
        for at, n in enumerate(entries, 1)
    )  # fmt: skip
    create_indexes(db)
    for statement in STORED_COUNTS:
        db.execute(statement)
    db.conn.commit()
    index_text(db, db.execute("select number, title, abstract from papers"))
    db.conn.commit()
    db.close()
    return path


def add_paper(db: Database, n: int) -> None:
    """One of every second has a second tag, one of every fifth no date."""
    paper, tags = f"p{n:02}", ["x0", "x1"] if n % 2 else ["x0"]
    published = None if n % 5 == 0 else f"2025-{n % 3 + 1:02}-0{n % 2 + 1}"
    db.table("papers").insert(
        {"id": paper, "number": n + 1, "title": f"Paper {n}", "published": published,
         "tags": json.dumps(tags), "listed": 1}
    )  # fmt: skip
    marks = {"evidence": "", "source": "made up"}
    db.table("paper_tags").insert_all({"paper": paper, "tag": tag, **marks} for tag in tags)
    db.table("paper_authors").insert({"paper": paper, "position": 1, "author": f"x{n % 2}"})
    db.table("paper_keywords").insert({"paper": paper, "keyword": f"x{n % 3}"})


@pytest.fixture
async def made_site(made: Path) -> Datasette:
    site = Datasette(immutables=[str(made)], config_dir=PROJECT, inspect_data={})
    await site.invoke_startup()
    return site


# Filters through relations


async def test_a_tag_filters_and_several_must_all_hold(
    site: Datasette, rows: sqlite3.Connection
) -> None:
    sql = "select paper from paper_tags where tag = ?"
    reasoning = {row["paper"] for row in rows.execute(sql, ["reasoning"])}
    distillation = {row["paper"] for row in rows.execute(sql, ["distillation"])}
    assert set(await fetch_ids(site, "_tag=reasoning")) == reasoning
    both = set(await fetch_ids(site, "_tag=distillation&_tag=reasoning"))
    assert both == reasoning & distillation
    assert 0 < len(both) < min(len(reasoning), len(distillation))


async def test_relations_go_with_each_other_and_with_columns(made_site: Datasette) -> None:
    assert len(await fetch_ids(made_site, "_author=x0")) == 15
    assert len(await fetch_ids(made_site, "_keyword=x1")) == 10
    assert len(await fetch_ids(made_site, "_listing=page")) == 30
    ids = await fetch_ids(made_site, "_author=x1&_keyword=x1&_tag=x1&_listing=page&number__gt=10")
    assert sorted(ids) == ["p13", "p19", "p25"]


@pytest.mark.parametrize("blank", ["_tag=", "_tag=+", "_listing=&_author=%09&_keyword="])
async def test_a_blank_value_is_no_filter(site: Datasette, blank: str) -> None:
    assert len(await fetch_ids(site, blank)) == 436


@pytest.mark.parametrize("parameter", facets.RELATIONS)
@pytest.mark.parametrize("value", ["nothing", *HOSTILE])
async def test_an_unknown_value_finds_nothing(site: Datasette, parameter: str, value: str) -> None:
    query_string = urlencode({parameter: value, "year": 2024})
    assert await fetch_ids(site, query_string) == []
    answer = await site.client.get(f"/daily/papers?{query_string}")
    assert answer.status_code == 200
    assert "<b>" not in answer.text


async def test_very_many_values_are_bounded(site: Datasette) -> None:
    values = [("_tag", "reasoning")] * 50 + [("_tag", f"t{n}") for n in range(40)]
    page = await fetch_json(site, f"/daily/papers.json?_size=1&{urlencode(values)}")
    assert page["query"]["sql"].count("paper_tags") == facets.MAX_VALUES


async def test_filters_are_described_with_names(made_site: Datasette) -> None:
    page = await fetch_json(
        made_site, "/daily/papers.json?_tag=x0&_author=x1&_listing=page&_tag=no"
    )
    assert page["human_description_en"].startswith(
        "where tagged tags <0>, by authors <1>, listed in page & page.txt and tagged no"
    )


async def test_relations_are_for_papers_only(site: Datasette) -> None:
    page = await fetch_json(site, "/daily/tags.json?_tag=reasoning&_facet_tag=tags")
    assert page["filtered_table_rows_count"] > 1
    assert set(page["facet_results"]) == {"category"}


async def test_pages_and_csv_keep_the_filter(site: Datasette) -> None:
    whole = await fetch_ids(site, "_tag=reasoning&year=2024")
    found: list[str] = []
    path = "/daily/papers.json?_tag=reasoning&year=2024&_size=7&_sort=title"
    while path:
        page = await fetch_json(site, path)
        found += [row[0] for row in page["rows"]]
        path = page["next_url"] and page["next_url"].replace("http://localhost", "")
    assert len(found) > 7
    assert sorted(found) == sorted(whole)
    answer = await site.client.get("/daily/papers.csv?_stream=on&_tag=reasoning&year=2024&_size=3")
    assert sorted(row["id"] for row in csv.DictReader(io.StringIO(answer.text))) == sorted(whole)


async def test_a_very_frequent_row_selects_the_same_papers(
    made_site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    for query_string in ("_tag=x1", "_author=x0&_tag=x0", "_listing=page&_keyword=x2"):
        usual = await fetch_ids(made_site, query_string)
        monkeypatch.setattr(facets, "VERY_FREQUENT", 1)
        assert sorted(await fetch_ids(made_site, query_string)) == sorted(usual)
        page = await fetch_json(made_site, f"/daily/papers.json?{query_string}")
        assert "exists" in page["query"]["sql"]
        monkeypatch.undo()


# The facet


async def test_the_tag_facet_has_names_counts_and_ways_on(
    site: Datasette, rows: sqlite3.Connection
) -> None:
    facet = (await fetch_json(site, "/daily/papers.json?_size=1"))["facet_results"]["tags"]
    stored = rows.execute("select id, name, papers from tags order by papers desc, id limit 30")
    assert [(one["value"], one["label"], one["count"]) for one in facet["results"]] == [
        tuple(row) for row in stored
    ]
    assert facet["truncated"]
    for one in facet["results"][:3]:
        assert not one["selected"]
        following = await fetch_json(site, one["toggle_url"].removeprefix("http://localhost"))
        assert following["filtered_table_rows_count"] == one["count"]


async def test_the_tag_facet_counts_what_is_filtered(
    site: Datasette, rows: sqlite3.Connection
) -> None:
    path = "/daily/papers.json?year=2024&_tag=reasoning&_facet_size=max&_where=comments+%3E+0"
    facet = (await fetch_json(site, path))["facet_results"]["tags"]
    counted = rows.execute(
        "select tag, count(*) from paper_tags where paper in ("
        " select id from papers where year = 2024 and comments > 0"
        " and id in (select paper from paper_tags where tag = 'reasoning')) group by tag"
    )
    assert {one["value"]: one["count"] for one in facet["results"]} == dict(map(tuple, counted))
    assert facet["results"][0]["value"] == "reasoning"


async def test_the_tag_facet_takes_its_filter_off_and_starts_over(site: Datasette) -> None:
    page = await fetch_json(site, "/daily/papers.json?_tag=reasoning&year=2024&_size=2")
    path = page["next_url"].replace("http://localhost", "")
    assert "_next" in path
    facet = (await fetch_json(site, path))["facet_results"]["tags"]
    toggles = {
        one["value"]: parse_qsl(urlsplit(one["toggle_url"]).query) for one in facet["results"]
    }
    [selected] = [one["value"] for one in facet["results"] if one["selected"]]
    assert selected == "reasoning"
    pairs = [("year", "2024"), ("_size", "2"), ("_sort_desc", "published")]
    assert toggles.pop("reasoning") == pairs
    other = next(iter(toggles))
    assert toggles[other] == [("_tag", "reasoning"), *pairs, ("_tag", other)]


async def test_a_later_page_of_all_papers_still_counts_all(site: Datasette) -> None:
    first = await fetch_json(site, "/daily/papers.json?_size=5")
    second = await fetch_json(site, first["next_url"].replace("http://localhost", ""))
    counts = [
        [one["count"] for one in page["facet_results"]["tags"]["results"]]
        for page in (first, second)
    ]
    assert counts[0] == counts[1]


async def test_the_old_array_filter_works_and_can_be_taken_off(site: Datasette) -> None:
    old = "tags__arraycontains=distillation"
    found = await fetch_ids(site, "_tag=distillation")
    assert len(found) > 1
    assert sorted(await fetch_ids(site, old)) == sorted(found)
    page = await fetch_json(site, f"/daily/papers.json?{old}")
    first = page["facet_results"]["tags"]["results"][0]
    assert (first["value"], first["selected"]) == ("distillation", True)
    assert "distillation" not in first["toggle_url"]


async def test_the_facet_can_be_asked_for_and_left_out(site: Datasette) -> None:
    page = await fetch_json(site, "/daily/papers.json?_facet_tag=tags&_facet_tag=other")
    assert list(page["facet_results"]).count("tags") == 1
    assert "tags_2" not in page["facet_results"]
    page = await fetch_json(site, "/daily/papers.json?_nofacet=1")
    assert page["facet_results"] == {}


# Filters in words


@pytest.mark.parametrize(
    ("query_string", "words"),
    [
        ("_tag=distillation", ["Knowledge distillation"]),
        ("tags__arraycontains=distillation", ["Knowledge distillation"]),
        ("tags__arraynotcontains=distillation", ["not Knowledge distillation"]),
        ("organization=nvidia", ["from NVIDIA"]),
        ("organization__not=nvidia", ["not from NVIDIA"]),
        ("organization__isnull=1", ["organization is unknown"]),
        ("authors_count=1&authors_count__gt=12", ["1 author", "more than 12 authors"]),
        ("authors_count=999999", ["999,999 authors"]),
        ("authors_count__notnull=1", ["number of authors is known"]),
        ("comments__gte=1&upvotes__lt=3000", ["at least 1 comment", "fewer than 3,000 upvotes"]),
        ("comments__lte=x", ["at most x comments"]),
        ("year=2024&year__gte=2023", ["2024", "2023 or later"]),
        ("published__gt=2024-06-01", ["published after 2024-06-01"]),
        ("published__startswith=2024-06", ["published in 2024-06"]),
        ("first_listed__lte=2025-01-01", ["first listed on or before 2025-01-01"]),
        ("title__contains=lora", ["title contains “lora”"]),
        ("arxiv_id__in=1,2", ["arXiv id is one of “1,2”"]),
        ("listed__gt=2", ["listed is more than 2"]),
        ("year=", ["year is “”"]),
        ("_search=lora&_search=more&_search_title=x", ["words “lora”"]),
        ("_search_title=lora&_searchmode=raw", ["title words “lora”"]),
        ("_where=comments+>+3", ["comments > 3"]),
        (
            urlencode({"_through": '{"table":"paper_tags","column":"tag","value":"rl"}'}),
            ["paper tags: tag is “rl”"],
        ),
        ("_through=[[[[", ["[[[["]),
        ("_sort=title&_size=3&_facet=year&_next=1&_labels=on&_nofacet=1&_tag=+", []),
        ("year=2024&year=2024", ["2024"]),
        ("title__nolookup=3", []),
        ("_tag=no-such", ["no-such"]),
    ],
)
async def test_each_filter_is_said_in_words(
    site: Datasette, query_string: str, words: list[str]
) -> None:
    assert await say_filters(site, query_string) == words


async def test_rows_of_all_relations_have_their_names(made_site: Datasette) -> None:
    query_string = "_tag=x1&_listing=page&_author=x0&_keyword=x2"
    assert await say_filters(made_site, query_string) == [
        "tags <1>", "listed in page & page.txt", "by authors <0>", "keyword keywords <2>",
    ]  # fmt: skip
    assert await say_filters(made_site, query_string, "authors") == []
    assert await say_filters(made_site, "listing=page", "entries") == ["listed in page & page.txt"]


async def test_a_filter_is_removed_alone_and_pages_start_over(site: Datasette) -> None:
    query_string = "year=2024&_tag=rl&_tag=distillation&_sort=title&_blank=&_next=abc&year=2024"
    year, rl, distillation = await list_filters(site, query_string)
    assert year["remove"] == "/daily/papers?_tag=rl&_tag=distillation&_sort=title&_blank="
    assert ("_tag", "rl") not in parse_qsl(urlsplit(rl["remove"]).query)
    assert ("_tag", "distillation") in parse_qsl(urlsplit(rl["remove"]).query)
    assert ("_tag", "rl") in parse_qsl(urlsplit(distillation["remove"]).query)


async def test_the_last_filter_leaves_a_bare_address(site: Datasette) -> None:
    [one] = await list_filters(site, "year=2024")
    assert one["remove"] == "/daily/papers"


def test_all_of_datasettes_lookups_have_words() -> None:
    assert set(OPERATORS) == set(Filters._filters_by_key)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["_tag", "_where", "_through", "_search", "_search_", "organization", "__",
                 "_x__in", "authors_count", "comments__gte", "published__date", "year__not",
                 "title__"]
            ) | st.text(max_size=9),
            st.sampled_from(['{"table": 1}', "[]", "{}", "²", "1" * 5_000]) | st.text(max_size=9),
        ),
        max_size=6,
    ),
    st.booleans(),
)  # fmt: skip
def test_any_address_has_words(pairs: list[tuple[str, str]], of_papers: bool) -> None:
    filters = read_filters(pairs, of_papers=of_papers)
    assert len({one.pair for one in filters}) == len(filters)
    for one in filters:
        assert one.pair in pairs
        assert len(say_filter(one, {})) <= 122
        left = facets.change_pairs(pairs, without=[one.pair])
        assert one.pair not in left
        assert set(left) == {pair for pair in pairs if pair[0] != "_next"} - {one.pair}


# The pages of facets


async def load_facet(site: Datasette, table: str, key: object) -> Any:
    return await call_function(site, "load_facet", table, key)


async def test_a_tag_has_its_newest_papers_its_course_and_its_neighbours(
    site: Datasette, rows: sqlite3.Connection
) -> None:
    page = await load_facet(site, "tags", "reasoning")
    [stored] = rows.execute("select name, papers from tags where id = 'reasoning'")
    assert (page["name"], page["total"]) == tuple(stored)
    assert len(page["papers"]) == 10
    assert {"abstract", "organization_name", "tags"} <= page["papers"][0].keys()
    dates = [paper["published"] for paper in page["papers"]]
    assert dates == sorted(dates, reverse=True)
    assert sum(month["papers"] for month in page["course"]) + page["undated"] == stored["papers"]
    assert all(len(month["month"]) == 7 for month in page["course"])
    assert 0 < len(page["neighbours"]) <= 12
    for neighbour in page["neighbours"]:
        path = neighbour["url"].replace("/daily/papers?", "")
        assert len(await fetch_ids(site, path)) == neighbour["papers"]
        assert neighbour["id"] != "reasoning"
    assert len(await fetch_ids(site, page["papers_url"].split("?")[1])) == stored["papers"]


@pytest.mark.parametrize(
    ("table", "key"), [("tags", "x0"), ("tags", "x1"), ("authors", "x0"), ("keywords", "x1")]
)
async def test_the_next_page_goes_on_where_the_first_papers_end(
    made_site: Datasette, table: str, key: str
) -> None:
    page = await load_facet(made_site, table, key)
    shown = [paper["id"] for paper in page["papers"]]
    following: list[str] = []
    if page["next_url"]:
        following = await fetch_ids(made_site, page["next_url"].split("?")[1])
    assert len(shown) == min(page["total"], 10)
    assert len(shown + following) == len({*shown, *following}) == page["total"]


async def test_walking_by_date_and_sorting_agree(rows: sqlite3.Connection) -> None:
    ways = facets.list_first_papers("tags", facets.FREQUENT + 1)
    walked, at_once = (
        [row["id"] for row in rows.execute(sql, {"id": "reasoning", "limit": 50})] for sql in ways
    )
    assert walked == at_once
    assert len(walked) > 20


async def test_a_listing_keeps_its_order_and_shows_a_paper_once(made_site: Datasette) -> None:
    page = await load_facet(made_site, "listings", "page")
    assert page["total"] == 30
    assert [(paper["id"], paper["position"], paper["line"]) for paper in page["papers"]] == [
        (f"p{30 - at:02}", at, 10 * at) for at in range(1, 11)
    ]
    following = await fetch_json(made_site, page["next_url"].replace("?", ".json?_shape=array&"))
    assert [row["position"] for row in following] == list(range(11, 32))
    assert page["undated"] == 6
    assert {row["id"]: row["papers"] for row in page["neighbours"]} == {"x0": 30, "x1": 15}


async def test_a_number_of_authors_has_the_numbers_beside_it(
    site: Datasette, rows: sqlite3.Connection
) -> None:
    numbers = [row[0] for row in rows.execute("select authors_count from authors_count order by 1")]
    for key, beside in [(numbers[0], numbers[1:2]), (numbers[3], [numbers[2], numbers[4]]),
                        (numbers[-1], numbers[-2:-1])]:  # fmt: skip
        page = await load_facet(site, "authors_count", key)
        assert [row["id"] for row in page["neighbours"]] == beside
        for row in page["neighbours"]:
            assert (await site.client.get(row["url"])).status_code == 200


async def test_an_organization_has_its_tags(site: Datasette, rows: sqlite3.Connection) -> None:
    [key] = rows.execute("select id from organizations order by papers desc limit 1").fetchone()
    page = await load_facet(site, "organizations", key)
    assert page["papers"][0]["organization"] == key
    assert page["papers"][0]["organization_name"] == page["name"]
    for row in page["neighbours"]:
        assert len(await fetch_ids(site, row["url"].split("?")[1])) == row["papers"] > 0


@pytest.mark.parametrize("table", facets.FACETS)
async def test_every_row_of_every_facet_has_a_page(
    made_site: Datasette, site: Datasette, table: str
) -> None:
    for one in (site, made_site):
        key = facets.FACETS[table].key
        for row in await one.get_database("daily").execute(f"select {key} from {table} limit 40"):
            page = await load_facet(one, table, row[0])
            assert len(page["papers"]) == min(10, page["total"]), row[0]
            assert (page["next_url"] is None) == (page["total"] <= 10)


@pytest.mark.parametrize("value", ["nothing", *HOSTILE])
async def test_there_is_no_page_of_what_is_not_there(site: Datasette, value: str) -> None:
    for table in facets.FACETS:
        assert await load_facet(site, table, value) is None


async def test_what_takes_too_long_is_left_out(
    made_site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = facets.list_first_papers("tags", 1)
    slow = (
        "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i), :id from n"
    )
    monkeypatch.setattr(facets, "count_months", lambda table: slow)
    monkeypatch.setattr(facets, "find_neighbours", lambda table: f"{slow} limit :tag_limit")
    monkeypatch.setattr(
        facets, "list_first_papers", lambda table, papers: [f"{slow} limit :limit", *quick]
    )
    page = await load_facet(made_site, "tags", "x0")
    assert (page["course"], page["undated"], page["neighbours"]) == ([], 0, [])
    assert len(page["papers"]) == 10


async def test_tags_have_names(site: Datasette, made_site: Datasette) -> None:
    names = await call_function(site, "tag_names")
    assert names["distillation"] == "Knowledge distillation"
    assert await call_function(site, "tag_names") is names
    assert (await call_function(made_site, "tag_names"))["x1"] == "tags <1>"


@pytest.mark.parametrize(
    ("table", "key", "referring", "column"),
    [
        ("authors_count", "authors_count", "papers", "authors_count"),
        ("organizations", "id", "papers", "organization"),
        ("tags", "id", "paper_tags", "tag"),
    ],
)
async def test_stored_counts_are_the_numbers_of_rows(
    site: Datasette, table: str, key: str, referring: str, column: str
) -> None:
    db = site.get_database("daily")
    for row in await db.execute(f"select {key}, papers from {table} limit 50"):
        page = await fetch_json(site, f"/daily/{table}/{row[0]}.json?_extras=foreign_key_tables")
        told = {one["other_table"]: one["count"] for one in page["foreign_key_tables"]}
        counted = await db.execute(
            f"select count(*) from {referring} where {column} = :key", {"key": row[0]}
        )
        assert told[referring] == counted.rows[0][0], row[0]


async def test_datasette_asks_for_counts_as_we_know_it(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its slow statement would be back unnoticed."""
    asked: list[str] = []
    execute = SiteDatabase.execute_fn

    async def note(db: SiteDatabase, run: Any) -> Any:
        def watch(connection: Any) -> Any:
            connection.set_trace_callback(asked.append)
            try:
                return run(connection)
            finally:
                connection.set_trace_callback(None)

        return await execute(db, watch)

    monkeypatch.setattr(SiteDatabase, "execute_fn", note)
    await site.client.get("/daily/tags/reasoning")
    assert any("select papers from tags where id" in sql for sql in asked)
    assert not any("count(*) from paper_tags where tag=" in sql for sql in asked)
