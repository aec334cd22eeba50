"""The API's JSON: fields as they drifted, and everything that may be damaged."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailypapers.catalogue import merge_listings
from dailypapers.listing import Listing, Severity
from dailypapers.merge import give_ids
from dailypapers.readers import read_listing

from .pages import abstract, card, cards_page


def make_entry(**changes: Any) -> dict[str, Any]:
    paper: dict[str, Any] = {
        "id": "2501.00001",
        "title": "A made-up\n  title",
        "summary": abstract("the API"),
        "publishedAt": "2025-01-31T23:30:00.000Z",
        "submittedOnDailyAt": "2025-02-03T00:00:00.000Z",
        "authors": [{"name": "Ada  Example", "hidden": False}, {"name": "Bo Sample"}],
        "upvotes": 12,
        "ai_keywords": ["Large Language Models", "LoRA"],
    }
    entry: dict[str, Any] = {
        "paper": paper,
        "title": "A made-up title",
        "numComments": 3,
        "organization": {"name": "example-lab", "fullname": "Example Lab"},
    }
    for name, value in changes.items():
        (paper if name in paper else entry)[name] = value
    return entry


def read(*entries: Any, file: str = "2025-02-03.json") -> Listing:
    return read_listing(file, json.dumps(list(entries), indent=1).encode())


def test_all_fields_are_read() -> None:
    listing = read(make_entry())
    [entry] = listing.entries
    assert (listing.format, listing.listed_on, listing.problems) == ("api json", "2025-02-03", ())
    assert (entry.title, entry.arxiv_id, entry.published) == (
        "A made-up title", "2501.00001", "2025-01-31",
    )  # fmt: skip
    assert (entry.authors, entry.authors_count) == (("Ada Example", "Bo Sample"), 2)
    assert (entry.comments, entry.upvotes) == (3, 12)
    assert (entry.organization, entry.organization_name) == ("example-lab", "Example Lab")
    assert entry.keywords == ("Large Language Models", "LoRA")
    assert entry.is_summary


def test_the_fields_of_2024_suffice() -> None:
    paper = {key: make_entry()["paper"][key] for key in ("id", "authors", "publishedAt", "title")}
    [entry] = read({"paper": paper, "publishedAt": "2025-01-01", "title": "x"}).entries
    assert (entry.comments, entry.upvotes, entry.organization, entry.keywords) == (
        None,
        None,
        None,
        (),
    )


def test_organization_may_stand_in_the_paper() -> None:
    value = make_entry(organization=None)
    value["paper"]["organization"] = {"name": "inner"}
    [entry] = read(value).entries
    assert (entry.organization, entry.organization_name) == ("inner", "inner")


def test_json_lines_and_other_layouts() -> None:
    one, two = make_entry(), make_entry(id="2501.00002", title="Another")
    lines = f"{json.dumps(one)}\n\n{json.dumps(two)}\n".encode()
    for content in (lines, json.dumps([one, two]).encode(), b"\xef\xbb\xbf" + lines):
        listing = read_listing("day.jsonl", content)
        assert [entry.arxiv_id for entry in listing.entries] == ["2501.00001", "2501.00002"]
        assert listing.problems == ()
    assert [entry.line for entry in read_listing("day.jsonl", lines).entries] == [1, 3]


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        ("{'paper': {}}", "entry 2 is a text and no object"),
        (None, "entry 2 is null and no object"),
        (7, "entry 2 is a number and no object"),
        ([], "entry 2 is a list and no object"),
        ({}, "entry 2 has no paper"),
        ({"paper": "x"}, "entry 2 has no paper"),
        (make_entry(title=None), "entry 2 has no title"),
        (make_entry(title=" \n"), "entry 2 has no title"),
        (make_entry(title=9), "entry 2 has no title"),
        (make_entry(title="T" * 5_000_000), "entry 2 has a title of 5,000,000 characters"),
    ],
)
def test_damaged_entry_costs_only_itself(damaged: object, says: str) -> None:
    listing = read(make_entry(), damaged, make_entry(id="2501.00003"))
    assert [entry.position for entry in listing.entries] == [1, 3]
    assert listing.cards == 3
    [problem] = listing.problems
    assert problem.message.startswith(says)
    assert problem.severity is Severity.ERROR
    assert len(problem.text) <= 300


@pytest.mark.parametrize(
    ("field", "value", "fact"),
    [
        ("id", "not-an-id", "arxiv_id"),
        ("id", None, "arxiv_id"),
        ("publishedAt", "yesterday", "published"),
        ("publishedAt", 20250131, "published"),
        ("publishedAt", "9999-12-31T23:59:59-23:59", "published"),
        ("numComments", "3", "comments"),
        ("numComments", -1, "comments"),
        ("numComments", True, "comments"),
        ("upvotes", 1e300, "upvotes"),
        ("organization", "example-lab", "organization"),
        ("organization", {"name": 7}, "organization"),
        ("authors", "Ada", "authors"),
        ("authors", [{"name": "Ada"}, {"nom": "Bo"}], None),
        ("summary", ["x"], "abstract"),
        ("ai_keywords", {"a": 1}, "keywords"),
    ],
)
def test_broken_field_costs_only_its_fact(field: str, value: object, fact: str | None) -> None:
    listing = read(make_entry(**{field: value}))
    [entry] = listing.entries
    [problem] = listing.problems
    assert problem.severity is Severity.WARNING
    assert problem.message.startswith("entry 1 (“A made-up")
    assert problem.line == entry.line == 2
    if fact:
        assert not getattr(entry, fact)
    assert entry.title == "A made-up title"


def test_file_cut_short_keeps_what_came_before() -> None:
    content = json.dumps([make_entry(), make_entry(id="2501.00002")], indent=1)
    listing = read_listing("cut.json", content[:-200].encode())
    assert len(listing.entries) == 1
    [problem] = listing.problems
    assert "no JSON from here to the end of the file" in problem.message
    assert problem.severity is Severity.ERROR
    listing = read_listing("cut.json", content[:-2].encode())
    assert len(listing.entries) == 2
    assert [p.severity for p in listing.problems] == [Severity.WARNING]


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    content = json.dumps([make_entry()])[:-1] + "," + "[" * 200_000
    listing = read_listing("deep.json", content.encode())
    assert len(listing.entries) == 1
    assert "nested too deeply" in listing.problems[0].message


def test_paper_twice_in_a_day_is_reported() -> None:
    listing = read(make_entry(), make_entry(title="The same again"))
    assert len(listing.entries) == 2
    assert listing.problems[0].message == "entry 2 repeats entry 1, 2501.00001"


def test_summary_of_the_api_beats_a_longer_abstract_of_a_page() -> None:
    page = read_listing("2025-02-01.txt", cards_page(card("A made-up title", abstract("x" * 900))))
    [paper] = merge_listings([page, read(make_entry())]).papers
    assert paper.abstract == abstract("the API")
    assert paper.authors == ("Ada Example", "Bo Sample")


@pytest.mark.parametrize(
    ("printed", "problems"), [("Jan 31, 2025", 0), ("Jan 30, 2025", 0), ("Jan 29, 2025", 1)]
)
def test_dates_a_day_apart_agree_and_the_api_wins(printed: str, problems: int) -> None:
    byline = f"  • 2 authors\n·\n{printed}"
    page = read_listing("2025-02-09.txt", cards_page(card("A made-up title", byline=byline)))
    catalogue = merge_listings([page, read(make_entry(organization=None))])
    assert catalogue.papers[0].published == "2025-01-31"
    assert len(catalogue.problems) == problems


def test_names_that_look_alike_have_ids_of_their_own() -> None:
    ids = give_ids(["José Ejemplo", "Jose Ejemplo", "例 子", "!", "José Ejemplo"])
    assert len(set(ids.values())) == len(ids) == 4
    assert ids["Jose Ejemplo"] == "jose-ejemplo"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*make_entry(), *make_entry()["paper"], "name", "fullname"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=5))
def test_any_json_is_read_or_reported(values: list[Any]) -> None:
    listing = read_listing("any.json", json.dumps(values).encode())
    if listing.format == "api json":
        assert listing.cards == len(values)
