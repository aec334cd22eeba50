import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailypapers.listing import Entry, Severity
from dailypapers.readers import links_after, markdown, numbered_links
from dailypapers.readers.page import Page

from .pages import abstract, card, cards_page, dense_page
from .shapes import SITE, Card, render_links_after, render_markdown, render_numbered_links

Render = Callable[..., str]
SHAPES: list[tuple[ModuleType, Render]] = [
    (markdown, render_markdown),
    (numbered_links, render_numbered_links),
    (links_after, render_links_after),
]
EVERY_SHAPE = pytest.mark.parametrize(("reader", "render"), SHAPES, ids=lambda x: x.__name__)
CARDS = [
    Card(
        "A title: with [brackets], 3 digits & “marks”",
        abstract("the first"),
        "2606.00683",
        upvotes=101,
        organization="made-up_lab",
        organization_name="Made-Up Laboratory of Things",
        published_printed="May 29",
        comments=6,
    ),
    Card(
        "Nothing but authors",
        abstract("the second"),
        "2403.01774v2",
        authors_count=9,
        published_printed="Mar 3, 2024",
    ),
    Card("Without a byline", abstract("the third"), "2403.01775", upvotes=0),
    Card(
        "A short abstract",
        "We do it.",
        "cs/0112017",
        upvotes=1,
        authors_count=1,
        published_printed="Dec 7, 2001",
        comments=1,
    ),
]


def expect(made: Card, position: int = 1, line: int = 1) -> Entry:
    return Entry(
        position,
        line,
        made.title,
        made.abstract,
        published_printed=made.published_printed,
        authors_count=None if made.organization else made.authors_count,
        organization=made.organization,
        organization_name=made.organization_name,
        comments=made.comments if made.published_printed else None,
        upvotes=made.upvotes,
        arxiv_id=made.arxiv_id.removesuffix("v2"),
    )


def facts(page: Page) -> list[Entry]:
    return [entry._replace(line=1) for entry in page.entries]


def warnings(page: Page) -> list[str]:
    assert all(problem.severity is Severity.WARNING for problem in page.problems)
    return [problem.message.split(";")[0] for problem in page.problems]


@EVERY_SHAPE
def test_cards_with_all_they_print(reader: ModuleType, render: Render) -> None:
    text = render(CARDS)
    page = reader.read(text)
    assert facts(page) == [expect(made, position) for position, made in enumerate(CARDS, 1)]
    assert page.problems == ()
    assert (page.heading, page.query, page.captured_on) == ("Oct 2", "red kites", "2026-10-02")
    lines = text.split("\n")
    for entry in page.entries:
        assert entry.title[:12] in lines[entry.line - 1].replace("\\", "")


def test_numbered_links_without_targets_have_no_arxiv_id() -> None:
    page = numbered_links.read(render_numbered_links(CARDS, targets=False))
    expected = [expect(made, position) for position, made in enumerate(CARDS, 1)]
    assert facts(page) == [entry._replace(arxiv_id=None) for entry in expected]
    assert page.problems == ()


@pytest.mark.parametrize("repeats_mark", [False, True])
@pytest.mark.parametrize("width", [30, 72, 120])
def test_hard_wraps_anywhere(width: int, repeats_mark: bool) -> None:
    title = "[One] of many words: so long that it wraps, [twice] at least, before it ends [at last]"
    lab = "Made-Up University of Science, Technology and Birds (North)"
    made = Card(title, abstract("it"), organization="mu", organization_name=lab)
    made = replace(made, published_printed="Oct 1")
    text = render_numbered_links([made, *CARDS], width=width, repeats_mark=repeats_mark)
    assert facts(numbered_links.read(text))[0] == expect(made)


@pytest.mark.parametrize("width", [None, 40, 72])
@pytest.mark.parametrize("escapes", [True, False])
def test_markdown_with_breaks_and_with_bare_brackets(width: int | None, escapes: bool) -> None:
    made = Card("A [bracketed] title that is quite long, (really) more than forty", "[0, 1] is it.")
    page = markdown.read(render_markdown([made, *CARDS[1:]], width=width, escapes=escapes))
    assert facts(page) == [expect(c, n) for n, c in enumerate([made, *CARDS[1:]], 1)]


def test_markdown_keeps_latex_whether_or_not_its_backslashes_are_escaped() -> None:
    made = Card('T\\"ULU', "It gains 90\\% and {\\em a lot} of $x_1$, as \\url{it} says.")
    for escapes in (True, False):
        [entry] = markdown.read(render_markdown([made], escapes=escapes)).entries
        assert (entry.title, entry.abstract) == (made.title, made.abstract)


WORDS = st.text(
    st.one_of(
        st.sampled_from("abcXYZ0123456789"),
        st.sampled_from("()[]{}:,.;!?'\"-–—_*&%$#@+=/\\<>|~^`“”"),
        st.characters(categories=["Ll", "Lu", "Lo", "Nd", "Sm"], min_codepoint=0xA1),
    ),
    min_size=1,
    max_size=12,
).filter(lambda word: any(letter.isalnum() for letter in word) and "][" not in word)
"""No "][3]": at the end of a wrapped title's line it would be the link's own."""


@st.composite
def sentences(draw: st.DrawFn, begin: str, least: int, most: int) -> str:
    """Words after one that no line of a shape begins with, so that it is text and no mark."""
    return " ".join([begin, *draw(st.lists(WORDS, min_size=least, max_size=most))])


DATES = st.builds(
    "{} {}{}".format,
    st.sampled_from(["Jan", "Feb", "Sept", "Dec"]),
    st.integers(1, 28),
    st.sampled_from(["", ", 1999", ", 2024"]),
)


@st.composite
def random_cards(draw: st.DrawFn) -> list[Card]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        organization = draw(st.none() | st.from_regex(r"[A-Za-z0-9][\w.-]{0,20}", fullmatch=True))
        organization = organization if organization and organization.isascii() else None
        text = draw(sentences("Sentence", 0, 60))
        date = draw(st.none() | DATES)
        made.append(
            Card(
                draw(sentences(draw(st.sampled_from(["A", "(The)", "[BIG]", "7"])), 0, 15)),
                draw(st.none() | st.just(f"{text}. {text}.")),
                f"24{draw(st.integers(10, 12))}.{number:05}",
                upvotes=draw(st.none() | st.integers(0, 9999)),
                authors_count=None if organization else draw(st.none() | st.integers(1, 3000)),
                organization=organization,
                organization_name=organization and draw(sentences("Lab", 0, 3)),
                published_printed=date,
                comments=draw(st.integers(0, 999)) if date else 0,
            )
        )
    return made


@EVERY_SHAPE
@given(made=random_cards())
def test_random_cards_read_back_equal(reader: ModuleType, render: Render, made: list[Card]) -> None:
    text = render(made)
    page = reader.read(text)
    assert facts(page) == [expect(c, position) for position, c in enumerate(made, 1)]
    expected = [
        message
        for c in made
        for message, is_so in [
            ("the card has no abstract", c.abstract is None),
            ("the byline has no date", c.has_byline and not c.published_printed),
        ]
        if is_so
    ]
    assert warnings(page) == expected
    assert [r for r, _ in SHAPES if r.recognise(text)] == [reader]


@given(made=random_cards(), width=st.integers(40, 120), is_marked=st.booleans())
def test_random_cards_wrapped_anywhere(made: list[Card], width: int, is_marked: bool) -> None:
    expected = [expect(c, position) for position, c in enumerate(made, 1)]
    wrapped = render_numbered_links(made, width=width, repeats_mark=is_marked)
    assert facts(numbered_links.read(wrapped)) == expected
    assert facts(markdown.read(render_markdown(made, width=width))) == expected


@EVERY_SHAPE
def test_no_header_says_nothing(reader: ModuleType, render: Render) -> None:
    arguments = {"captured" if reader is numbered_links else "retrieved": None, "url": None}
    page = reader.read(render(CARDS, **arguments))
    assert (page.query, page.captured_on, page.heading) == (None, None, "Oct 2")
    assert len(page.entries) == len(CARDS)


@EVERY_SHAPE
@pytest.mark.parametrize(
    ("url", "query"),
    [
        (f"{SITE}/papers?q=Long-context+birds", "Long-context birds"),
        (f"{SITE}/papers?date=2026-10-02&q=%C3%A9t%C3%A9", "été"),
        (f'"{SITE}/papers?q=quoted"', "quoted"),
        (f"{SITE}/papers?q=", None),
        (f"{SITE}/papers", None),
        ("https://elsewhere.example/papers?q=kites", None),
        ("http://[broken", None),
    ],
)
def test_query_is_the_q_of_the_pages_address(
    reader: ModuleType, render: Render, url: str, query: str | None
) -> None:
    assert reader.read(render(CARDS, url=url)).query == query


@EVERY_SHAPE
def test_a_day_that_is_none_is_a_problem(reader: ModuleType, render: Render) -> None:
    key = "captured" if reader is numbered_links else "retrieved"
    page = reader.read(render(CARDS, **{key: "2026-02-30"}))
    assert page.captured_on is None
    assert warnings(page) == ["“2026-02-30” is no day of a capture"]


@EVERY_SHAPE
def test_addresses_in_an_abstract_are_its_words(reader: ModuleType, render: Render) -> None:
    text = f"Code: https://code.example/a_b?c=1 and {SITE}/made-up/model [1][2] end it."
    made = [replace(CARDS[0], abstract=text), CARDS[1]]
    assert facts(reader.read(render(made))) == [expect(c, n) for n, c in enumerate(made, 1)]


@EVERY_SHAPE
@pytest.mark.parametrize(
    ("printed", "broken", "lost", "message"),
    [
        ("101", "many", {"upvotes": None}, "“many” is no number of upvotes, so it is unknown"),
        ("May 29", "Feb 30", {"published_printed": None}, "“Feb 30” is no date"),
        ("May 29", "lately", {"published_printed": None}, "“lately” is no date"),
        ("9 authors", "0 authors", {"authors_count": None}, "“0 authors” is no number of authors"),
        ("9 authors", "no authors", {"authors_count": None}, "“no authors” is no number"),
    ],
)
def test_a_broken_fact_costs_only_itself(
    reader: ModuleType,
    render: Render,
    printed: str,
    broken: str,
    lost: dict[str, None],
    message: str,
) -> None:
    text = render(CARDS).replace(printed, broken, 1)
    page = reader.read(text)
    expected = [expect(made, position) for position, made in enumerate(CARDS, 1)]
    which = 1 if "authors" in printed else 0
    expected[which] = expected[which]._replace(**lost)
    assert facts(page) == expected
    [problem] = page.problems
    assert (problem.severity, problem.message[: len(message)]) == (Severity.WARNING, message)
    assert broken in text.split("\n")[(problem.line or 0) - 1]


@EVERY_SHAPE
def test_comments_that_are_no_number_are_unknown(reader: ModuleType, render: Render) -> None:
    old, new = {
        markdown: ("May 29[6]", "May 29[six]"),
        numbered_links: ("May 29 [ 6]", "May 29 [ six]"),
        links_after: ("\n6\n", "\nsix\n"),
    }[reader]
    page = reader.read(render(CARDS).replace(old, new))
    assert facts(page)[0] == expect(CARDS[0])._replace(comments=None)
    assert warnings(page) == ["“six” is no number of comments, so it is unknown"]


@EVERY_SHAPE
def test_a_card_without_its_title_costs_only_that_card(reader: ModuleType, render: Render) -> None:
    lines = render([CARDS[0], replace(CARDS[1], title="Gone"), CARDS[2]]).split("\n")
    text = "\n".join(line for line in lines if "Gone" not in line)
    page = reader.read(text)
    assert facts(page) == [expect(CARDS[0]), expect(CARDS[2], 2)]
    [problem] = page.problems
    assert problem.severity is Severity.ERROR
    assert problem.message.startswith("not a card: a card without a title")
    above, below = (entry.line for entry in page.entries)
    assert above < (problem.line or 0) < below


@EVERY_SHAPE
def test_an_oversized_title_and_abstract(reader: ModuleType, render: Render) -> None:
    made = [Card("T" * 2_000, "It is. " * 60), Card("Long", "x" * 60_000, "2401.00002"), CARDS[1]]
    page = reader.read(render(made))
    assert [(e.title, e.abstract) for e in page.entries] == [
        ("Long", None),
        (CARDS[1].title, CARDS[1].abstract),
    ]
    messages = [problem.message for problem in page.problems]
    assert "left out an abstract of 60,000 characters" in messages
    assert any(message.startswith("not a card: ") for message in messages)
    assert all(len(problem.text) <= 300 for problem in page.problems)


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (markdown, render_markdown(CARDS[:2])),
        (numbered_links, render_numbered_links(CARDS[:2], targets=False)),
    ],
)
def test_a_capture_that_ends_within_an_abstract(reader: ModuleType, text: str) -> None:
    cut = text[: text.index("the second") + 20]
    page = reader.read(cut)
    assert facts(page)[0].title == CARDS[0].title
    last = page.entries[-1]
    assert (last.title, last.abstract, last.comments) == (CARDS[1].title, None, None)
    assert warnings(page) == [
        "the card has no abstract",
        "a link that begins here has no end",
    ]


@EVERY_SHAPE
@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_missing_every_title_is_accounted_for(
    reader: ModuleType, render: Render, seed: int
) -> None:
    """Lines are taken out at random: each title left is an entry, or a problem stands
    where its card begins."""
    chance = random.Random(seed)
    made = [
        replace(chance.choice(CARDS), title=f"Title {n}", arxiv_id=f"2401.{n:05}")
        for n in range(30)
    ]
    lines = render(made, **({"targets": False} if reader is numbered_links else {})).split("\n")
    kept = [line for line in lines if not line.strip() or chance.random() > 0.03]
    page = reader.read("\n".join(kept))
    titles = {entry.title for entry in page.entries}
    near = {(problem.line or 0) + below for problem in page.problems for below in range(6)}
    for number, line in enumerate(kept, 1):
        left = re.search(r"Title \d+", line)
        assert not left or left[0] in titles or number in near
    assert len(titles) >= 20


@EVERY_SHAPE
@pytest.mark.parametrize(
    "line",
    [
        "[" * 50_000,
        "[\n" * 50_000,
        "][1]" * 20_000,
        "][1" + " " * 50_000 + "x",
        "\\" * 50_000,
        "![" * 40_000 + f"]({SITE}/made-up)",
        "[" + "![](" * 20_000 + f")]({SITE}/made-up)",
        "### [" * 20_000,
        "### [\n" * 20_000,
        "### [a\n\n" * 20_000,
        "·\n" * 40_000,
        "* 3 authors\n" * 20_000,
        f"{SITE}/papers/2401.00001\n" * 20_000,
        f"{SITE}/papers/" * 50_000,
        f"[x]({SITE}/papers/2401.00001)\n" * 50_000,
        "1. " * 20_000,
        "url: " + "q=&" * 20_000,
        "- " * 40_000,
    ],
    ids=lambda line: line[:12],
)
def test_hostile_pages_take_linear_time(reader: ModuleType, render: Render, line: str) -> None:
    text = f"{line}\n{render(CARDS)}\n{line}\n{line}\n"
    begun = time.process_time()
    reader.recognise(text)
    page = reader.read(text)
    assert time.process_time() - begun < 5
    assert all(len(problem.text) <= 300 for problem in page.problems)


def test_markdown_as_one_scraper_left_it() -> None:
    """A blank before the comments, a break within a title, escapes where a line begins."""
    text = "\n\n".join(
        [
            "Oct 2",
            f"[-]({SITE}/login?next=%2Fpapers%2F2502.20581)",
            f"### [How Birds Engage\\  with Winds]({SITE}/papers/2502.20581)",
            f"[Birds fly\\\\\n\\-\\- mostly \\\\\n90\\\\% of them.]({SITE}/papers/2502.20581)",
            f"[- 10 authors]({SITE}/papers/2502.20581)",
            "·",
            f"Jul 24, 2024 [2]({SITE}/papers/2502.20581#community)",
        ]
    )
    [entry] = markdown.read(text).entries
    assert entry.title == "How Birds Engage with Winds"
    assert entry.abstract == "Birds fly -- mostly 90\\% of them."
    assert (entry.published_printed, entry.comments, entry.authors_count) == ("Jul 24, 2024", 2, 10)


@EVERY_SHAPE
def test_it_takes_no_other_format(reader: ModuleType, render: Render) -> None:
    others = [
        cards_page(card("One"), card("Two", byline="nvidia NVIDIA\n·\nJun 3 2")).decode(),
        dense_page("One", "Two").decode(),
        '[{"paper": {"id": "2501.00001", "title": "### [T](https://huggingface.co/papers/1)"}}]',
        '{"paper": {"id": "2501.00001"}}\n',
        f"<!doctype html>\n<pre>\n{render(CARDS)}</pre>",
        "",
        "[",
        "Some words that are no page.\n",
        f"---\nurl: {SITE}/papers\n---\n",
    ]
    assert [text for text in others if reader.recognise(text)] == []
    for text in others:
        reader.read(text)  # no exception, whatever it is given
