import hashlib
import random

import pytest

from dailypapers.listing import Listing, Severity
from dailypapers.readers import read_listing

from .pages import abstract, card, cards_page, dense_page

BYLINES = ["", "  • 3 authors\n·\nJun 3, 2024 2", "nvidia NVIDIA\n·\nJun 3, 2024"]


def read(content: bytes | str, file: str = "page.txt", year: int | None = None) -> Listing:
    return read_listing(file, content.encode() if isinstance(content, str) else content, year)


def messages(listing: Listing) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.message) for problem in listing.problems]


def test_cards_with_all_they_print() -> None:
    page = cards_page(
        card("With a year and comments", byline="  • 12 authors\n·\nSep 29, 2024 2"),
        card("Year-less", byline="  • 1 authors\n·\nJun 3"),
        card("Year-less with comments", byline="  • 5 authors\n·\nJun 3 14"),
        card("Of an organization", byline="HuggingFaceFW FineData Team\n·\nSep 26 4"),
    )
    listing = read(page)
    assert (listing.format, listing.heading, listing.listed_on) == ("cards", "Dec 30", "2025-12-30")
    assert (listing.year, listing.year_source) == (2025, "inferred")
    assert listing.problems == ()
    assert [
        (e.title, e.published_printed, e.published, e.authors_count, e.organization, e.comments)
        for e in listing.entries
    ] == [
        ("With a year and comments", "Sep 29, 2024", "2024-09-29", 12, None, 2),
        ("Year-less", "Jun 3", "2025-06-03", 1, None, 0),
        ("Year-less with comments", "Jun 3", "2025-06-03", 5, None, 14),
        ("Of an organization", "Sep 26", "2025-09-26", None, "HuggingFaceFW", 4),
    ]
    assert listing.entries[3].organization_name == "FineData Team"
    assert [e.position for e in listing.entries] == [1, 2, 3, 4]


def test_lines_are_where_an_editor_shows_the_titles() -> None:
    page = cards_page(card("First"), card("Second"))
    lines = page.decode().split("\n")
    assert [lines[entry.line - 1] for entry in read(page).entries] == ["First", "Second"]


def test_hash_is_of_the_line_exactly_as_printed() -> None:
    printed = f"  {abstract('blanks')}  twice "
    [entry] = read(cards_page(card("A", printed)).replace(b"\n", b"\r\n")).entries
    assert entry.abstract == printed
    assert entry.abstract_sha256 == hashlib.sha256(printed.encode()).hexdigest()


def test_card_without_a_byline_runs_into_the_next_title() -> None:
    listing = read(cards_page(card("Has one"), card("Has none", byline=""), card("Has one too")))
    assert [(e.title, e.authors_count, e.comments) for e in listing.entries] == [
        ("Has one", 3, 0),
        ("Has none", None, None),
        ("Has one too", 3, 0),
    ]
    assert listing.problems == ()


@pytest.mark.parametrize(
    "byline",
    [
        "  • 3 authors\nJun 3, 2024 7",
        "• 3 authors · Jun 3, 2024 7",
        "  • 3 authors\n· Jun 3, 2024 7",
        "  • 3 authors\n\n·\n\nJun 3, 2024 7",
    ],
)
def test_byline_on_fewer_or_more_lines(byline: str) -> None:
    [entry] = read(cards_page(card("A", byline=byline))).entries
    assert (entry.authors_count, entry.published, entry.comments) == (3, "2024-06-03", 7)


def test_dense_text_with_the_button_glued_to_the_first_title() -> None:
    listing = read(dense_page("LanPaint: a title", "Subscribers of a second title"))
    assert (listing.format, listing.heading, listing.year) == ("dense text", None, None)
    assert [(e.title, e.line) for e in listing.entries] == [
        ("LanPaint: a title", 3),
        ("Subscribers of a second title", 5),
    ]
    assert {(e.published, e.authors_count, e.comments) for e in listing.entries} == {
        (None, None, None)
    }
    assert listing.problems == ()


def test_page_whose_cards_have_no_bylines_keeps_its_day() -> None:
    listing = read(cards_page(card("One", byline=""), card("Two", byline="")), year=2025)
    assert (listing.format, listing.heading, listing.listed_on) == (
        "dense text", "Dec 30", "2025-12-30",
    )  # fmt: skip
    assert [e.title for e in listing.entries] == ["One", "Two"]
    assert listing.problems == ()


def test_dense_text_loses_only_the_card_with_a_gap() -> None:
    lines = dense_page("One", "Two", "Three", "Four").decode().split("\n")
    del lines[5]  # the abstract of Two, which stood on line 6
    listing = read("\n".join(lines))
    assert [e.title for e in listing.entries] == ["One", "Three", "Four"]
    [problem] = listing.problems
    assert (problem.line, problem.severity, problem.text) == (5, Severity.ERROR, "Two")
    assert listing.cards == 4


def test_every_card_is_an_entry_or_a_problem() -> None:
    page = cards_page(
        card("Whole"),
        card("Without an abstract", ""),
        card("", abstract("no title")),
        card("", ""),
        card("Also whole"),
    )
    listing = read(page)
    assert [e.title for e in listing.entries] == ["Whole", "Without an abstract", "Also whole"]
    assert listing.cards == 5
    assert [(p.severity.value, p.message.split(";")[0]) for p in listing.problems] == [
        ("warning", "the card has no abstract"),
        ("error", "not a card: an abstract without a title"),
        ("error", "not a card: a byline without a title"),
    ]


@pytest.mark.parametrize(
    ("byline", "problem"),
    [
        ("  • many authors\n·\nJun 3, 2024 2", "“many authors” is no number of authors"),
        ("  • 0 authors\n·\nJun 3, 2024 2", "“0 authors” is no number of authors"),
        (f"  • 3 a{'x' * 700}\n·\nJun 3, 2024 2", f"“3 a{'x' * 57}…” is no number of authors"),
        (
            "  • 9999999999 authors\n·\nJun 3, 2024 2",
            "“9999999999 authors” is no number of authors",
        ),
        ("  • 3 authors\n·\nFeb 30 2", "there is no day “Feb 30”"),
        ("  • 3 authors\n·\nyesterday", "“yesterday” is no date"),
        ("  • 3 authors\n·", "the byline has no date"),
        ("  • 3 authors", "the byline has no date"),
    ],
)
def test_bad_byline_costs_only_its_fact(byline: str, problem: str) -> None:
    listing = read(cards_page(card("Before"), card("It", byline=byline), card("After")))
    assert [e.title for e in listing.entries] == ["Before", "It", "After"]
    [found] = listing.problems
    assert found.message.startswith(problem)
    assert found.severity is Severity.WARNING
    entry = listing.entries[1]
    assert (entry.authors_count is None) == ("number of authors" in problem)
    assert (entry.published is None) == ("number of authors" not in problem)
    assert entry.abstract == abstract("It")


def test_year_less_dates_without_a_year_are_one_problem() -> None:
    page = cards_page(*(card(f"T{n}", byline="  • 3 authors\n·\nJun 3") for n in range(3)))
    listing = read(page)
    assert (listing.year, listing.listed_on) == (None, None)
    assert [e.published for e in listing.entries] == [None] * 3
    [(line, message)] = messages(listing)
    assert line == listing.entries[0].line
    assert message.startswith("the date “Jun 3” and 2 others have no year; give --year")
    assert read(page, year=2023).entries[0].published == "2023-06-03"
    assert read(page, "2022-07-01.txt").entries[0].published == "2022-06-03"


def test_date_after_the_pages_own_day_is_a_problem() -> None:
    page = cards_page(
        card("Old", byline="  • 3 authors\n·\nJun 3, 2024"),
        card("Late", byline="  • 3 authors\n·\nDec 20"),
        day="Dec 17",
    )
    [problem] = read(page).problems
    assert "“Dec 20” is after the page's own day 2025-12-17" in problem.message


def test_leap_day_of_a_common_year_is_a_problem() -> None:
    page = cards_page(card("Leap", byline="  • 3 authors\n·\nFeb 29"))
    [(_, message)] = messages(read(page, year=2025))
    assert "“Feb 29” does not exist in 2025" in message
    assert read(page, year=2024).entries[0].published == "2024-02-29"


def test_second_page_in_one_file_is_read_with_a_warning() -> None:
    page = cards_page(card("First")) + cards_page(card("Second"), day="Dec 29")
    listing = read(page)
    assert [e.title for e in listing.entries] == ["First", "Second"]
    assert ["a second page begins here" in m for _, m in messages(listing)] == [True]


def test_oversized_parts_are_left_out() -> None:
    page = cards_page(card("T" * 3_000), card("Long", "x" * 60_000), card("After"))
    listing = read(page)
    assert [e.title for e in listing.entries] == ["Long", "After"]
    assert listing.entries[0].abstract is None
    assert [m for _, m in messages(listing)] == [
        "not a card: an abstract without a title; check the page as saved",
        "not a card: an abstract without a title; check the page as saved",
        "left out an abstract of 60,000 characters",
    ]
    assert all(len(problem.text) <= 300 for problem in listing.problems)


def test_short_abstracts_and_titles_with_a_full_stop() -> None:
    page = (
        dense_page("A title.", "Another title").decode() + "\nShort\nWe do it.\nA third\nIt works."
    )
    assert [e.title for e in read(page).entries] == [
        "A title.",
        "Another title",
        "Short",
        "A third",
    ]
    [entry] = read(cards_page(card("Very short", "Nothing"))).entries
    assert entry.abstract == "Nothing"


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_missing_every_line_is_accounted_for(seed: int) -> None:
    """Lines are taken out at random: the rest are titles, abstracts, bylines or problems."""
    chance = random.Random(seed)
    page = cards_page(*(card(f"Title {n}", byline=chance.choice(BYLINES)) for n in range(30)))
    lines = page.decode().split("\n")
    kept = [line for line in lines if chance.random() > 0.05]
    listing = read("\n".join(kept))
    reported = {problem.line for problem in listing.problems}
    abstracts = {entry.abstract for entry in listing.entries}
    for number, line in enumerate(kept, 1):
        if line.startswith("Title "):
            assert number in reported | {entry.line for entry in listing.entries}
        elif line.startswith("A made-up abstract"):
            assert number in reported or line in abstracts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00", "binary data"),
        (b"Some words that are no page.\n", "no cards found"),
        (cards_page(), "no cards found"),
        (b"x" * 10_000_000, "no cards found"),
        (b"  <!doctype html><p>A page</p>", "no cards found"),
        (b"---\nurl: https://huggingface.co/papers\n---\n", "no cards found"),
    ],
)
def test_what_is_no_listing_says_so(content: bytes, says: str) -> None:
    listing = read(content)
    assert (listing.format, listing.entries, listing.cards) == (None, (), 0)
    [problem] = listing.problems
    assert problem.severity is Severity.ERROR
    assert says in problem.message


def test_prose_is_not_taken_for_dense_text() -> None:
    wrapped = "Notes about\npapers that I read.\nThey were good\nand long enough.\n" * 20
    assert read(wrapped).format is None
