"""The sample's cards in all seven formats: the same papers and facts from each."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from dailypapers.catalogue import merge_listings
from dailypapers.listing import Entry, Listing
from dailypapers.readers import read_listing

from .conftest import PROJECT
from .pages import abstract
from .shapes import Card, render_links_after, render_markdown, render_numbered_links
from .test_text_shapes import random_cards

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


def render_text(cards: list[Card]) -> str:
    """Cards as a browser copies them; a card without a date has no byline."""
    parts = ["Daily Papers\n\nDec 17\n"]
    for made in cards:
        parts.append(f"\n{made.title}\n\n{made.abstract}\n")
        if made.published_printed and (made.authors_count or made.organization):
            who = f"  • {made.authors_count} authors"
            if made.organization:
                who = f"{made.organization} {made.organization_name or made.organization}"
            comments = f" {made.comments}" if made.comments else ""
            parts.append(f"\n{who}\n·\n{made.published_printed}{comments}\n")
    return "".join(parts)


def render_dense(cards: list[Card]) -> str:
    return "Subscribe\n" + "\n".join(f"{made.title}\n{made.abstract}" for made in cards)


@settings(deadline=None)
@given(random_cards())
def test_random_cards_survive_plain_text(cards: list[Card]) -> None:
    cards = [replace(made, abstract=abstract(made.arxiv_id)) for made in cards]
    for render, says_more in ((render_text, True), (render_dense, False)):
        entries = read_listing("2024-12-18.txt", render(cards).encode()).entries
        assert [(e.title, e.abstract) for e in entries] == [
            (" ".join(made.title.split()), made.abstract) for made in cards
        ]
        for entry, made in zip(entries, cards, strict=True):
            has_byline = made.published_printed and (made.authors_count or made.organization)
            if says_more and has_byline:
                assert entry.published_printed == made.published_printed
                assert (entry.organization, entry.comments) == (made.organization, made.comments)
                if not made.organization:
                    assert entry.authors_count == made.authors_count
            else:
                assert (entry.published, entry.authors_count, entry.comments) == (None, None, None)


@settings(deadline=None)
@given(random_cards())
def test_random_cards_survive_the_api_and_its_html(cards: list[Card]) -> None:
    entries = tuple(
        Entry(
            position, 1, made.title, made.abstract,
            authors_count=made.authors_count, organization=made.organization,
            organization_name=made.organization_name, comments=made.comments,
        )
        for position, made in enumerate(cards, 1)
    )  # fmt: skip
    for render in (render_api, render_lines, render_html):
        found = read_listing("2024-12-18", render(entries).encode()).entries
        for entry, expected in zip(found, entries, strict=True):
            assert entry.title == " ".join(expected.title.split())
            assert entry.arxiv_id == f"2401.{expected.position:05}"
            for fact in ("abstract", "authors_count", "organization", "comments"):
                assert getattr(entry, fact) == getattr(expected, fact)
