"""The sample's cards in all seven formats: the same papers and facts from each."""

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from dailypapers.listing import Entry, Listing
from dailypapers.merge import merge_listings
from dailypapers.readers import read_listing

from .conftest import PROJECT
from .shapes import Card, render_links_after, render_markdown, render_numbered_links

PAGE = "003_80a96e83b939f9e8.txt"
FACTS = ("title", "published", "organization", "organization_name", "comments")


def read_plain() -> Listing:
    return read_listing(PAGE, (PROJECT / "listings" / PAGE).read_bytes())


def make_card(entry: Entry) -> Card:
    return Card(
        title=entry.title,
        abstract=entry.abstract,
        arxiv_id=f"2401.{entry.position:05}",
        upvotes=entry.position % 7 or None,
        authors_count=entry.authors_count,
        organization=entry.organization,
        organization_name=entry.organization_name,
        published_printed=entry.published_printed,
        comments=entry.comments or 0,
    )


def make_api_entry(entry: Entry) -> dict[str, Any]:
    organization = entry.organization and {
        "name": entry.organization, "fullname": entry.organization_name,
    }  # fmt: skip
    return {
        "paper": {
            "id": f"2401.{entry.position:05}",
            "title": entry.title,
            "summary": entry.abstract,
            "publishedAt": f"{entry.published}T12:00:00.000Z" if entry.published else None,
            "authors": [{"name": f"Author {n}"} for n in range(entry.authors_count or 0)],
            "upvotes": entry.position % 7,
        },
        "numComments": entry.comments,
        "organization": organization,
    }


def render_api(entries: tuple[Entry, ...]) -> str:
    return json.dumps([make_api_entry(entry) for entry in entries])


def render_lines(entries: tuple[Entry, ...]) -> str:
    return "\n".join(json.dumps(make_api_entry(entry)) for entry in entries)


def render_html(entries: tuple[Entry, ...]) -> str:
    data = {"dailyPapers": json.loads(render_api(entries)), "dateString": "2025-12-17"}
    props = html.escape(json.dumps(data))
    return f'<!doctype html><html><body><div data-target="DailyPapers" data-props="{props}"></div>'


def render_cards(render: Callable[..., str]) -> Callable[[tuple[Entry, ...]], str]:
    return lambda entries: render([make_card(entry) for entry in entries], day="Dec 17")


SHAPES: dict[str, tuple[str, Callable[[tuple[Entry, ...]], str]]] = {
    "markdown": ("page.md", render_cards(render_markdown)),
    "numbered links": ("page.txt", render_cards(render_numbered_links)),
    "links after text": ("page.txt", render_cards(render_links_after)),
    "api json": ("day.json", render_api),
    "api json, lines": ("day.jsonl", render_lines),
    "html": ("page.html", render_html),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_format_gives_the_papers_and_facts_of_plain_text(shape: str) -> None:
    plain = read_plain()
    file, render = SHAPES[shape]
    listing = read_listing(file, render(plain.entries).encode(), year=2025)
    assert listing.format == shape.split(",")[0]
    assert [p for p in listing.problems if p.severity == "error"] == []
    assert len(listing.entries) == len(plain.entries) == 45
    for entry, expected in zip(listing.entries, plain.entries, strict=True):
        for fact in FACTS:
            if fact == "comments" and expected.comments is None:
                continue  # a card without a byline says nothing; its format may say 0
            assert getattr(entry, fact) == getattr(expected, fact), (fact, entry.title)
        assert entry.authors_count == expected.authors_count
        assert entry.arxiv_id == f"2401.{expected.position:05}"
        assert " ".join((entry.abstract or "").split()) == " ".join(
            (expected.abstract or "").split()
        )


def test_all_formats_together_give_each_paper_once() -> None:
    plain = read_plain()
    listings = [
        read_listing(f"{number} {file}", render(plain.entries).encode(), year=2025)
        for number, (file, render) in enumerate(SHAPES.values())
    ]
    catalogue = merge_listings([plain, *listings])
    assert len(catalogue.papers) == 45
    assert all(len(paper.sightings) == len(SHAPES) + 1 for paper in catalogue.papers)
    alone = merge_listings([plain])
    assert [paper.id for paper in catalogue.papers] != []
    assert {paper.title for paper in catalogue.papers} == {paper.title for paper in alone.papers}
    contradictions = [p.message for _, p in catalogue.problems if "contradicts" in p.message]
    assert contradictions == []


def test_the_query_and_the_day_of_the_capture_are_kept() -> None:
    plain = read_plain()
    markdown = render_markdown([make_card(entry) for entry in plain.entries], day="Oct 2")
    listing = read_listing("page.md", markdown.encode())
    assert re.search(r"q=red%20kites", markdown)
    assert (listing.query, listing.year, listing.year_source) == ("red kites", 2026, "stated")
    assert listing.listed_on == "2026-10-02"
