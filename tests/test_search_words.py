"""A search said in words, what its form offers, and how many papers it finds."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st

from dailypapers import results
from dailypapers.publishing.search_words import (
    ORDERS,
    describe_search,
    list_choices,
    look_up_names,
)
from dailypapers.ranking import load_synonyms
from dailypapers.results import SORTS, Result, Search, find_papers, understand_search
from dailypapers.search import Query, parse_query

from .conftest import PROJECT

SYNONYMS = load_synonyms(PROJECT / "synonyms.yml")


@pytest.fixture(scope="module")
def db(sample: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{sample}?mode=ro", uri=True)) as connection:
        yield connection


def describe(db: sqlite3.Connection, typed: str = "", sort: str = "", **filters: str) -> str:
    query = understand_search(Search(typed, tuple(filters.items()), sort))
    return describe_search(query, sort, look_up_names(db, query))


def find(db: sqlite3.Connection, typed: str, **options: Any) -> list[Result]:
    return find_papers(db, Search(typed, **options), SYNONYMS)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "All papers, newest first."),
        (" \t", "All papers, newest first."),
        ("mixture experts", "Papers with any of the words mixture, experts; best match first."),
        ("the Mixture", "Papers with the word mixture; best match first."),
        ('"of experts"', "Papers that hold “of experts”; best match first."),
        (
            '"of experts" sparse upcycling',
            "Papers that hold “of experts”, ideally with sparse and upcycling too;"
            " best match first.",
        ),
        ("quantiz*", "Papers that hold “quantiz…”; best match first."),
        (
            'title:lora title:"low rank" "a b" x',
            "Papers that hold “a b”, with “lora” and “low rank” in the title, ideally with x too;"
            " best match first.",
        ),
        (
            'x -vision -"large model" -quant* -title:survey',
            "Papers with the word x, without vision, “large model” or “quant…”, without survey in"
            " the title; best match first.",
        ),
        ("-vision", "Papers without vision; newest first."),
        ("TAG:Distillation", "Papers tagged “Knowledge distillation”; newest first."),
        (
            'tag:distillation tag:"reasoning" -tag:agents -tag:code',
            "Papers tagged “Knowledge distillation” and “Reasoning”, not tagged “Agents and tool"
            " use” or “Code generation”; newest first.",
        ),
        ("tag:nosuch", "Papers tagged “nosuch” (no such tag); newest first."),
        ("org:NVIDIA", "Papers by NVIDIA; newest first."),
        (
            "-organization:nvidia org:nosuch",
            "Papers by “nosuch” (no such organization), not by NVIDIA; newest first.",
        ),
        ("year:2024", "Papers of 2024; newest first."),
        ("-year:2024", "Papers not of 2024; newest first."),
        ("year:2022-2024", "Papers of 2022 to 2024; newest first."),
        ("year:2024..2022", "Papers of 2022 to 2024; newest first."),
        ("year:>2022 x", "Papers published after 2022 with the word x; best match first."),
        ("year:<2022", "Papers published before 2022; newest first."),
        (
            "year:>=2021 year:<=2023",
            "Papers of 2021 or later and of 2023 or earlier; newest first.",
        ),
        ("authors:1", "Papers with 1 author; newest first."),
        (
            "authors:>1 comments:>=2 upvotes:<1000",
            "Papers with more than 1 author, at least 2 comments and fewer than 1,000 upvotes;"
            " newest first.",
        ),
        ("comments:<=2", "Papers with at most 2 comments; newest first."),
        ("authors:2-5", "Papers with 2 to 5 authors; newest first."),
        (
            "-authors:>9 -comments:0",
            "Papers not with more than 9 authors or 0 comments; newest first.",
        ),
        (
            "tag:code tag:Code x x",
            "Papers tagged “Code generation”, with the word x; best match first.",
        ),
        ("🤗", "No papers: “🤗” holds nothing to look for."),
    ],
)
def test_a_search_in_words(db: sqlite3.Connection, typed: str, said: str) -> None:
    assert describe(db, typed) == said


def test_the_filters_and_order_of_the_page_are_said_too(db: sqlite3.Connection) -> None:
    typed = 'mixture "of experts" -vision tag:distillation authors:>10'
    assert describe(db, typed, "newest", year="2024") == (
        "Papers of 2024 tagged “Knowledge distillation”, with more than 10 authors, that hold “of"
        " experts”, with mixture too if there are any, without vision; newest first."
    )
    assert describe(db, "a1 b2", "discussed") == (
        "Papers with all of the words a1, b2 (with any of them, if none has all);"
        " most discussed first."
    )
    assert describe(db, "", "authors") == "All papers, most authors first."
    assert describe(db, "", "x") == "All papers, newest first."
    assert describe(db, "x", "x").endswith("; best match first.")
    assert describe(db, "", year="{x}") == "Papers of year “{x}” (no such year); newest first."
    assert describe(db, "🤗", org="nvidia") == "Papers by NVIDIA; newest first."


def test_long_searches_are_said_shortly(db: sqlite3.Connection) -> None:
    said = describe(db, " ".join(f"w{number}" for number in range(40)))
    assert "w11, 28 more; " in said
    assert "w12" not in said
    for typed in ("x" * 9_000, f'tag:"{"x y " * 900}"', f'"{"x y " * 900}"', "-title:abc* " * 800):
        assert len(describe(db, typed)) < 200


def test_every_order_has_words() -> None:
    assert ORDERS.keys() == SORTS.keys()


def test_what_is_said_is_what_is_run() -> None:
    query = parse_query('"a b" -c title:d quant* -"e f"')
    made = [phrase.expression for phrase in query.phrases]
    assert made == [*query.required, *query.excluded]
    assert query.phrases[0].words == ("a", "b")


@given(
    typed=st.text() | st.text(alphabet='"-:*<>=0129 tagoryeitl{}%é漢🤗'),
    tag=st.text(max_size=9),
    year=st.text(max_size=9),
    sort=st.sampled_from(["", *SORTS]),
)
def test_any_search_can_be_said(typed: str, tag: str, year: str, sort: str) -> None:
    query = understand_search(Search(typed, (("tag", tag), ("org", tag), ("year", year)), sort))
    said = describe_search(query, sort, {})
    assert said.startswith(("Papers ", "All papers, ", "No papers: "))
    assert said.endswith(".")
    assert len(said) < 8_000
    assert (said.startswith("All papers")) == (query == Query())


def test_names_are_looked_up_as_the_filters_do(db: sqlite3.Connection) -> None:
    query = parse_query("tag:KNOWLEDGE tag:'x or:1 org:NvIdIa tag:Reasoning -tag:code")
    assert look_up_names(db, query) == {
        ("organization", "NvIdIa"): "NVIDIA",
        ("tag", "Reasoning"): "Reasoning",
        ("tag", "code"): "Code generation",
    }


def test_tags_of_the_page_must_all_hold(db: sqlite3.Connection) -> None:
    both = find(db, "", filters=(("tag", "distillation, Reasoning,"),))
    assert both == find(db, "tag:distillation tag:reasoning")
    assert 0 < both[0].found < find(db, "tag:distillation")[0].found
    assert find(db, "", filters=(("tag", "distillation, nosuch"),)) == []
    assert find(db, "", filters=(("tag", " , "),)) == find(db, "")
    many = ",".join(f"t{number}" for number in range(5_000))
    assert find(db, "", filters=(("tag", many),)) == []


@pytest.mark.parametrize("years", ["2023-2024", "2023 - 2024", "2023–2024", "2024..2023"])
def test_ranges_of_the_page(db: sqlite3.Connection, years: str) -> None:
    found = find(db, "", filters=(("year", years),))
    sql = "select count(*) from papers where year in (2023, 2024)"
    assert (found[0].found,) == db.execute(sql).fetchone()
    later = find(db, "", filters=(("year", "> 2023"),))
    assert later == find(db, "year:>2023")
    assert later


@pytest.mark.parametrize(
    ("typed", "condition"),
    [
        ("", "true"),
        ("year:2024", "year = 2024"),
        ("-tag:reasoning", "tags not like '%\"reasoning\"%'"),
        ("title:upcycling", "title like '%upcycling%'"),
        (
            '"mixture of experts"',
            "number in (select rowid from papers_fts('\"mixture of experts\"'))",
        ),
    ],
)
@pytest.mark.parametrize("sort", ["", "newest"])
def test_all_that_are_found_are_counted(
    db: sqlite3.Connection, typed: str, condition: str, sort: str
) -> None:
    [(count,)] = db.execute(f"select count(*) from papers where {condition}")
    found = find(db, typed, sort=sort)
    assert {(result.found, result.more) for result in found} == {(count, False)}
    pages = [find(db, typed, sort=sort, page=page) for page in range(1, count // 20 + 3)]
    assert len({result.number for page in pages for result in page}) == count


def test_more_may_be_found_than_are_counted(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = find(db, "model")[0]
    assert common.more
    assert common.found >= results.CANDIDATES
    assert not find(db, "upcycling")[0].more
    monkeypatch.setattr(results, "MAX_POSTINGS", 1)
    assert find(db, "upcycling")[0].more
    without = find(db, "-upcycling")[0]
    assert (without.found, without.more) == (434, False)
    monkeypatch.setattr(results, "MAX_EXCLUDED", 1)
    monkeypatch.setattr(results, "MAX_LISTED", 30)
    first, second = find(db, "-upcycling"), find(db, "-upcycling", page=2)
    assert {(one.found, one.more) for one in first + second} == {(30, True)}
    assert [len(page) for page in (first, second, find(db, "-upcycling", page=3))] == [20, 10, 0]
    assert (find(db, "", page=3)[0].found, find(db, "")[0].more) == (436, False)


def test_the_form_offers_what_there_is(db: sqlite3.Connection) -> None:
    choices = list_choices(db)
    assert choices["years"] == [2025, 2024, 2023, 2022, 2021, 2020]
    [nvidia] = [choice for choice in choices["organizations"] if choice["id"] == "nvidia"]
    assert nvidia["name"] == "NVIDIA"
    counts = [choice["papers"] for choice in choices["organizations"]]
    assert counts == sorted(counts, reverse=True)
    groups = {group["label"]: group["tags"] for group in choices["tags"]}
    offered = sorted(tag["id"] for tags in groups.values() for tag in tags)
    in_use = db.execute("select distinct tag from paper_tags order by tag")
    assert offered == [tag for (tag,) in in_use]
    assert len(groups) == db.execute("select count(distinct category) from tags").fetchone()[0]


def test_the_form_of_an_empty_database_offers_nothing() -> None:
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.execute("create table papers(year)")
        empty.execute("create table tags(id, name, category, papers)")
        empty.execute("create table organizations(id, name, papers)")
        assert list_choices(empty) == {"tags": [], "organizations": [], "years": []}


async def render(site: Datasette, template: str, **context: object) -> str:
    text: str = await site.render_template(site.jinja_env.from_string(template), context)
    return text


async def test_templates_say_searches(site: Datasette) -> None:
    template = "{{ describe_search(named) }}"
    named = {"q": "<b> tag:'<i>'", "year": "2024", "sort": "newest", "page": "7"}
    assert await render(site, template, named=named) == (
        "Papers of 2024 tagged “&#39;&lt;i&gt;&#39;” (no such tag), with the word b; newest first."
    )
    assert await render(site, template, named={}) == "All papers, newest first."


async def test_templates_offer_choices(site: Datasette) -> None:
    template = "{% set c = list_search_choices() %}{{ c.years|join(' ') }} {{ c.tags[0].label }}"
    assert await render(site, template) == "2025 2024 2023 2022 2021 2020 Capabilities"
    site.get_database("daily").execute_fn = None  # whoever asks again gets what was read
    assert (await render(site, template)).startswith("2025")


async def test_the_query_gives_names_upvotes_and_counts(site: Datasette) -> None:
    path = f"/daily/search.json?{urlencode({'q': 'org:nvidia', '_shape': 'array'})}"
    rows = (await site.client.get(path)).json()
    assert list(rows[0])[:2] == ["id", "title"]
    assert list(rows[0])[7:] == [
        "snippet", "score", "organization_name", "upvotes", "more", "found",
    ]  # fmt: skip
    assert {row["organization_name"] for row in rows} == {"NVIDIA"}
    assert {(row["found"], row["more"]) for row in rows} == {(len(rows), 0)}
    sql = "select search_papers('upcycling', null, 'x', '', 0, 1) as found"
    answer = await site.client.get(f"/daily.json?{urlencode({'sql': sql, '_shape': 'array'})}")
    assert json.loads(answer.json()[0]["found"]) == []
