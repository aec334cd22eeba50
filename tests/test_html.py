import html
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import pytest

from dailypapers.listing import Entry, Severity
from dailypapers.readers import api, cards
from dailypapers.readers.html import read, recognise

from .pages import abstract, cards_page, dense_page

TOP = (
    '<!doctype html>\n<html><head><title>Daily Papers</title></head>\n<body class="flex">\n<main>\n'
)
END = "</main></body></html>\n"


@dataclass(frozen=True)
class Card:
    """A made-up card; None stands for what it does not print."""

    title: str = "A title"
    arxiv_id: str = "2501.00001"
    abstract: str | None = abstract()
    upvotes: str | None = "12"
    authors: int | None = 5
    organization: tuple[str, str] | None = None
    date: str | None = "Sep 29, 2024"
    comments: int | None = None
    site: str = ""


def render(card: Card) -> str:
    """A card of a search page, as the site renders it."""
    paper = f"{card.site}/papers/{card.arxiv_id}"
    escaped = html.escape(card.title)
    parts = [f'<article class="relative">\n<a href="{paper}"><img src="x.png" alt=""></a>\n']
    if card.upvotes is not None:
        login = f"{card.site}/login?next=%2Fpapers%2F{card.arxiv_id}"
        parts.append(f'<a href="{login}"><svg><path d="M0"/></svg><div>{card.upvotes}</div></a>\n')
    parts.append(f'<h3 class="mb-1">\n<a href="{paper}" class="line-clamp-3">{escaped}</a></h3>\n')
    if card.abstract is not None:
        text = html.escape(card.abstract)
        parts.append(f'<p class="line-clamp-2"><a href="{paper}">{text}</a></p>\n')
    parts.append(f'<div class="flex">{render_byline(card, paper)}</div>\n</article>\n')
    return "".join(parts)


def render_byline(card: Card, paper: str) -> str:
    parts = []
    if card.authors is not None:
        avatars = "<li><img src='a.png'></li>" * min(card.authors, 5)
        count = f"<li>{card.authors}<!-- --> authors</li>"
        parts.append(f'<a href="{paper}"><ul>{avatars}{count}</ul></a>')
    if card.organization:
        slug, name = card.organization
        parts.append(f'<a href="{card.site}/{slug}"><img alt="{slug}"><span>{name}</span></a>')
    if card.date:
        parts.append(f"<div>·</div> <time>{card.date}</time>")
    if card.comments is not None:
        svg = '<svg><path d="M1"></path></svg>'
        parts.append(f'<a href="{paper}#community">{svg} {card.comments}</a>')
    return "\n".join(parts)


def render_page(*cards: Card, props: str = "") -> str:
    return TOP + props + "<div>Dec 30</div>\n" + "".join(map(render, cards)) + END


def make_value(number: int = 1, title: str = "From the data") -> dict[str, Any]:
    """An entry of the API."""
    return {
        "paper": {
            "id": f"2512.{number:05}",
            "title": title,
            "summary": abstract(title),
            "authors": [{"name": "A. Author"}, {"name": "B. Author"}],
            "publishedAt": "2025-12-29T13:00:00.000Z",
            "upvotes": 3,
        },
        "numComments": 2,
    }


def render_props(props: object, quote: str = '"') -> str:
    text = html.escape(props if isinstance(props, str) else json.dumps(props))
    data = f"data-props={quote}{text}{quote}"
    return f'<div class="SVELTE_HYDRATER contents" data-target="DailyPapers" {data}></div>\n'


def render_daily(*values: object, **more: object) -> str:
    return render_props({"dailyPapers": values, "dateString": "2025-12-30", **more})


def entries(text: str) -> tuple[Entry, ...]:
    found = read(text)
    assert found.problems == ()
    return found.entries


def test_cards_as_rendered() -> None:
    cards = [
        Card("First", "2501.00001", comments=6),
        Card("Second", "2501.00002", upvotes="-", authors=1, date="Jun 3"),
        Card("Third", "2501.00003", authors=None, organization=("made-up", "A Made-up Lab")),
        Card("Fourth", "2501.00004v2", site="https://huggingface.co", upvotes="1,204"),
    ]
    text = render_page(*cards)
    page = read(text)
    assert (page.heading, page.listed_on, page.problems) == ("Dec 30", None, ())
    assert [
        (e.title, e.arxiv_id, e.upvotes, e.authors_count, e.published_printed, e.comments)
        for e in page.entries
    ] == [
        ("First", "2501.00001", 12, 5, "Sep 29, 2024", 6),
        ("Second", "2501.00002", None, 1, "Jun 3", 0),
        ("Third", "2501.00003", 12, None, "Sep 29, 2024", 0),
        ("Fourth", "2501.00004", 1204, 5, "Sep 29, 2024", 0),
    ]
    assert {e.abstract for e in page.entries} == {abstract()}
    assert [e.position for e in page.entries] == [1, 2, 3, 4]
    third = page.entries[2]
    assert (third.organization, third.organization_name) == ("made-up", "A Made-up Lab")
    lines = text.split("\n")
    for entry in page.entries:
        assert entry.title in lines[entry.line - 1]


def test_card_of_the_daily_page_has_neither_abstract_nor_date() -> None:
    daily = """<article><a href="/papers/2501.00001"><img></a>
      <div><div>Submitted by <img> 77</div></div>
      <div><div><svg></svg><div class="leading-none">0</div></div>
      <div><h3><a href="/papers/2501.00001">A <span class="hl">ti</span>tle</a></h3>
      <a href="/papers/2501.00001"><ul><li><img></li><li>· 4 authors</li></ul></a>
      <a href="/papers/2501.00001#community"><svg></svg>2</a></div></div></article>"""
    [entry] = entries(TOP + daily + END)
    assert (entry.title, entry.upvotes, entry.authors_count, entry.comments) == ("A title", 0, 4, 2)
    assert (entry.abstract, entry.published_printed, entry.organization) == (None, None, None)


@pytest.mark.parametrize("gone", ["abstract", "upvotes", "authors", "date", "comments"])
def test_missing_part_costs_only_itself(gone: str) -> None:
    whole: dict[str, Any] = {
        "abstract": abstract(),
        "upvotes": "7",
        "authors": 2,
        "date": "Jun 3",
        "comments": 9,
    }
    [entry] = entries(render_page(Card(**{**whole, gone: None})))
    found = {
        "abstract": entry.abstract,
        "upvotes": str(entry.upvotes) if entry.upvotes is not None else None,
        "authors": entry.authors_count,
        "date": entry.published_printed,
        "comments": entry.comments,
    }
    assert found == {**whole, gone: 0 if gone == "comments" else None}


def test_card_without_a_byline_says_nothing_of_comments() -> None:
    [entry] = entries(render_page(Card(authors=None, date=None)))
    assert (entry.authors_count, entry.comments) == (None, None)


@pytest.mark.parametrize(
    ("byline", "date", "comments"),
    [
        ("<div>5 authors</div><div>·</div><div>Jun 3 2</div>", "Jun 3", 2),
        ("<div>• 5 authors · Sep 29, 2024 2</div>", "Sep 29, 2024", 2),
        ("<p>5 authors</p><p>·</p><p>Jun 3</p><p>2</p>", "Jun 3", 2),
        ("<div>made-up A Lab</div>·<div>Jun 3</div>", "Jun 3", 0),
    ],
)
def test_bylines_in_other_shapes(byline: str, date: str, comments: int) -> None:
    card = f"<article><h3><a href='/papers/2501.00001'>T</a></h3>{byline}</article>"
    [entry] = entries(TOP + card + END)
    assert (entry.published_printed, entry.comments) == (date, comments)
    organization = ("made-up", "A Lab") if "Lab" in byline else (None, None)
    assert (entry.organization, entry.organization_name) == organization
    assert entry.authors_count == (None if "Lab" in byline else 5)


def test_bad_facts_are_warnings() -> None:
    page = read(render_page(Card(arxiv_id="some-name"), Card(date="Feb 30 4"), Card()))
    assert [(p.severity, p.message.split(",")[0]) for p in page.problems] == [
        (Severity.WARNING, "“/papers/some-name” has no arXiv id"),
        (Severity.WARNING, "“Feb 30 4” is no date"),
    ]
    first, second, _ = page.entries
    assert (first.arxiv_id, second.published_printed, second.comments) == (None, None, 4)


def test_every_article_about_a_paper_is_an_entry_or_a_problem() -> None:
    articles = [
        "<article>\n<h3>A heading without a link</h3></article>\n",
        "<article><a href='/papers/2501.00002'>x</a></article>\n",
        f"<article><h3><a href='/papers/2501.00003'>{'T' * 1_001}</a></h3></article>\n",
        "<article><h3><a href='javascript:alert(1)'>A script</a></h3></article>\n",
        "<article><h4><a href='/someone/model'>A model</a></h4></article>\n",
    ]
    page = read(TOP + "".join(articles) + render(Card()) + END)
    assert [e.title for e in page.entries] == ["A title"]
    assert [(p.line, p.severity.value, p.message.split(";")[0]) for p in page.problems] == [
        (6, "error", "not a card: a title that links to no paper"),
        (7, "error", "not a card: an article without a title that could be one"),
        (8, "error", "not a card: an article without a title that could be one"),
        (9, "error", "not a card: a title that links to no paper"),
    ]
    assert all(len(problem.text) <= 300 for problem in page.problems)


def test_data_of_the_page() -> None:
    text = TOP + render_daily(make_value(1), make_value(2, "Übung <b> & “more”")) + END
    page = read(text)
    assert (page.listed_on, page.query, page.problems) == ("2025-12-30", None, ())
    assert [(e.position, e.line, e.title) for e in page.entries] == [
        (1, 5, "From the data"),
        (2, 5, "Übung <b> & “more”"),
    ]
    assert page.entries[0] == api.read_entry(make_value(1), 1, 5)[0]


@pytest.mark.parametrize("quote", ['"', "'"])
def test_data_wins_over_the_cards(quote: str) -> None:
    props = render_props({"dailyPapers": [make_value()]}, quote)
    [entry] = entries(render_page(Card("As rendered"), props=props))
    assert entry.title == "From the data"


def test_data_below_the_cards_wins_too() -> None:
    [entry] = entries(render_page(Card("As rendered")) + render_daily(make_value()))
    assert entry.title == "From the data"


@pytest.mark.parametrize(
    "props",
    [
        "",
        "{",
        "no json",
        "null",
        "[]",
        "{}",
        '{"dailyPapers": null}',
        '{"dailyPapers": {"a": 1}}',
        "[" * 100_000,
        '{"dailyPapers": [' + "9" * 10_000 + "]}",
        '{"dailyPapers": [&quot &bad; &#x110000; &#0;',
    ],
)
def test_damaged_data_gives_the_rendered_cards_and_a_warning(props: str) -> None:
    page = read(render_page(Card("As rendered"), props=render_props(props)))
    assert [e.title for e in page.entries] == ["As rendered"]
    [problem] = page.problems
    assert (problem.line, problem.severity) == (5, Severity.WARNING)
    assert problem.message.endswith("so the cards were read as the page shows them")


def test_data_cut_short_and_data_without_papers() -> None:
    cut = TOP + render_daily(make_value())[:300]
    page = read(cut)
    assert (page.entries, [p.severity for p in page.problems]) == ((), [Severity.WARNING])
    [entry] = entries(render_page(Card("As rendered"), props=render_daily()))
    assert entry.title == "As rendered"


def test_unusable_entry_costs_only_itself() -> None:
    page = read(TOP + render_daily(make_value(1), {"paper": None}, 7, make_value(2)) + END)
    assert [(e.position, e.arxiv_id) for e in page.entries] == [
        (1, "2512.00001"),
        (4, "2512.00002"),
    ]
    assert [p.severity for p in page.problems] == [Severity.ERROR] * 2


def test_data_without_a_usable_entry_gives_the_rendered_cards() -> None:
    page = read(render_page(Card("As rendered"), props=render_daily(None, {"paper": 1})))
    assert [e.title for e in page.entries] == ["As rendered"]
    [problem] = page.problems
    assert (problem.severity, problem.line) == (Severity.WARNING, 5)


def test_entries_come_from_the_api_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def stub(value: object, position: int, line: int) -> tuple[Entry, list[Any]]:
        return Entry(position, line, str(value)), []

    monkeypatch.setattr("dailypapers.readers.html.read_entry", stub)
    assert [e.title for e in entries(TOP + render_daily("one", "two"))] == ["one", "two"]


@pytest.mark.parametrize("query", ["  source citations ", {"q": "source  citations"}])
def test_search_results_win_over_the_days_papers(query: object) -> None:
    props = {"dailyPapers": [make_value(1)], "searchResults": [make_value(2)], "query": query}
    page = read(TOP + render_props(props) + END)
    assert (page.query, [e.arxiv_id for e in page.entries]) == ("source citations", ["2512.00002"])


def test_search_without_results_has_no_entries() -> None:
    props = {"dailyPapers": [make_value(1)], "searchResults": [], "query": {"q": "nothing"}}
    page = read(TOP + render_props(props) + END)
    assert (page.query, page.entries, page.problems) == ("nothing", (), ())
    daily = {"dailyPapers": [make_value(1)], "searchResults": [], "query": {}}
    assert len(entries(TOP + render_props(daily) + END)) == 1


@pytest.mark.parametrize(
    ("more", "day", "problems"),
    [
        ({"dateString": "2025-12-30T00:00:00.000Z", "periodType": "day"}, "2025-12-30", 0),
        ({"dateString": "2025-12-01", "periodType": "month"}, None, 0),
        ({"dateString": "2025-W52", "periodType": "week"}, None, 0),
        ({"dateString": "2025-W52"}, None, 0),
        ({"dateString": "2025-12"}, None, 0),
        ({"dateString": "2025-12-32"}, None, 1),
        ({"dateString": "yesterday"}, None, 1),
        ({"dateString": 20251230}, None, 1),
        ({"dateString": None}, None, 0),
    ],
)
def test_day_that_the_data_lists(more: dict[str, object], day: str | None, problems: int) -> None:
    page = read(TOP + render_daily(make_value(), **more) + END)
    assert (page.listed_on, len(page.problems), len(page.entries)) == (day, problems, 1)


@pytest.mark.parametrize(
    ("head", "query", "listed", "captured"),
    [
        (
            "<!-- saved from url=(0042)https://huggingface.co/papers/date/2025-12-30 -->",
            None,
            "2025-12-30",
            None,
        ),
        (
            "<!--\n Page saved with SingleFile \n url: https://huggingface.co/papers?q=long%20context"
            " \n saved date: Fri Jan 02 2026 10:11:12 GMT+0100\n-->",
            "long context",
            None,
            "2026-01-02",
        ),
        ('<link rel="canonical" href="https://huggingface.co/papers?q=a+b">', "a b", None, None),
        ('<meta property="og:url" content="https://huggingface.co/papers">', None, None, None),
        ("<!-- saved from url=(0001)https://example.org/papers?q=x -->", None, None, None),
    ],
)
def test_what_the_address_says(
    head: str, query: str | None, listed: str | None, captured: str | None
) -> None:
    page = read(render_page(Card()).replace("<head>", f"<head>{head}"))
    assert (page.query, page.listed_on, page.captured_on) == (query, listed, captured)


@pytest.mark.parametrize(
    "text",
    [
        TOP + END,
        TOP + "<p>Some other page</p>" + END,
        "<html><body><!-- " + render(Card()) + " --></body></html>",
        "<html><body><script>x = `" + render(Card()) + "`</script></body></html>",
        "<html><body><!-- " + render(Card()),
        "<html><body><noscript>" + render(Card()) + "</noscript>",
    ],
)
def test_html_without_cards(text: str) -> None:
    page = read(text)
    assert (page.entries, page.problems) == ((), ())


def test_scripts_in_titles_are_text() -> None:
    [entry] = entries(render_page(Card("<script>alert(1)</script> & co")))
    assert entry.title == "<script>alert(1)</script> & co"
    real = "<h3><a href='/papers/2501.00001'>T <script>alert(1)</script>le</a></h3>"
    assert [e.title for e in entries(TOP + f"<article>{real}</article>")] == ["T le"]


def test_tags_in_attributes_are_no_tags() -> None:
    text = render_page(Card()).replace("<main>", "<main title='</main><article><h3>x</h3>'>")
    assert [e.title for e in entries(text)] == ["A title"]


def test_broken_entities_and_tags() -> None:
    text = render_page(Card("One", comments=3), Card("Two"))
    text = text.replace("One", "One &amp &bogus; &#xD800; &#99999999; &").replace("</p>", "")
    first, second = entries(text)
    assert first.title == "One & &bogus; \ufffd \ufffd &"
    assert (first.abstract or "").startswith(abstract())
    assert second.title == "Two"
    assert len(read(text.replace("</article>", "")).entries) == 2


def time_reading(text: str) -> float:
    begin = time.perf_counter()
    assert isinstance(recognise(text), bool)
    read(text)
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    "text",
    [
        "<div>" * 100_000 + render(Card()),
        "<article>" + "<div>" * 100_000 + render(Card()),
        "<article>" * 100_000,
        "<article><h3>" * 50_000,
        "<!--" * 100_000,
        "<!-- -->" * 100_000,
        "<script>" * 100_000,
        '<a x="' * 100_000,
        "<a x='\"" * 100_000,
        "<a =" * 100_000,
        "<a" + " =" * 500_000,
        "<a" + " = " * 300_000,
        "<" * 1_000_000,
        "<a " * 300_000,
        "</article>" * 100_000,
        " " * 1_000_000 + "<html>" + " " * 1_000_000,
        "<html>" + "data-target " * 100_000,
        "<html><b " + "data-target DailyPapers " * 50_000 + ">",
        "<html>" + "<i data-target=DailyPapers>" * 50_000,
        "<html> url: " * 10_000,
        "<b>" * 100 + "".join(f"<article><b a={n}><p>" + "x<b><p>" * 200 for n in range(100)),
        TOP + "<article>" + "\n<h3><a href='/papers/2501.00001'>T</a></h3>" * 100 + "</article>",
    ],
    ids=range(22),
)
def test_hostile_pages_take_no_time(text: str) -> None:
    assert time_reading(text) < 5


def test_cards_are_found_under_a_hundred_thousand_tags() -> None:
    [entry] = entries("<html>" + "<div>" * 100_000 + render(Card()))
    assert entry.title == "A title"
    page = read("<html><article>" + "<div>" * 100_000 + "</article>" + render(Card()))
    assert [e.title for e in page.entries] == ["A title"]
    [problem] = page.problems
    assert (problem.severity, problem.line) == (Severity.ERROR, 1)


def test_attribute_of_fifty_megabytes() -> None:
    props = render_props('{"dailyPapers": "' + "x" * 50_000_000)
    begin = time.perf_counter()
    page = read(render_page(Card(), props=props))
    assert time.perf_counter() - begin < 10
    assert ([e.title for e in page.entries], len(page.problems)) == (["A title"], 1)


def test_time_grows_with_the_length() -> None:
    short = render_page(*[Card()] * 100)
    assert time_reading(short * 10) < 30 * max(time_reading(short), 0.01)


def test_lone_surrogates_and_nulls() -> None:
    text = render_page(Card("A \ud800 \x00 title"), props=render_props('{"a": "\ud800\x00"}'))
    [entry] = read(text).entries
    assert entry.title.startswith("A ")
    assert entry.title.endswith(" title")


def test_oversized_abstract_is_left_out() -> None:
    page = read(render_page(Card(abstract="x" * 60_000)))
    assert page.entries[0].abstract is None
    assert [p.message for p in page.problems] == ["left out an abstract of 60,000 characters"]


@pytest.mark.parametrize(
    ("text", "is_html"),
    [
        (render_page(Card()), True),
        ("\ufeff\n  " + render_page(), True),
        ("<!-- saved from url -->\n<HTML lang='en'>", True),
        (render(Card()), True),
        ("<div\nclass='x'>", True),
        ("", False),
        ("<", False),
        ("< div>", False),
        ("<3 is a title with <html> in it"[:4], False),
        ("A <div> in text", False),
        ("<svg xmlns='x'></svg>", False),
        (cards_page().decode(), False),
        (dense_page("A", "B").decode(), False),
        (json.dumps([make_value(title="<div>")]), False),
        ("---\nurl: x\n---\n<div>", False),
        ("### [A](https://huggingface.co/papers/2501.00001)", False),
    ],
)
def test_recognises_html_only(text: str, is_html: bool) -> None:
    assert recognise(text) == is_html


def test_other_readers_do_not_take_html() -> None:
    text = render_page(Card(), props=render_daily(make_value()))
    assert not api.recognise(text)
    assert not cards.recognise("<html>" + render(Card()))


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_raises_nothing(seed: int) -> None:
    chance = random.Random(seed)
    text = render_page(*[Card(comments=1)] * 5, props=render_daily(make_value()))
    for _ in range(30):
        place = chance.randrange(len(text))
        junk = chance.choice(
            ["", "<", ">", '"', "&", "\x00", "\ud800", "</h3>", "<article>", "<!--"]
        )
        text = text[:place] + junk + text[place + chance.randrange(4) :]
    page = read(text)
    assert all(entry.title and entry.line >= 1 for entry in page.entries)
