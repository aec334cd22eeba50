"""Files and searches made to do harm: they cost what ordinary ones do, and break nothing."""

import gc
import html
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailypapers import listing as listings
from dailypapers.catalogue import merge_listings
from dailypapers.links import find_links
from dailypapers.listing import Listing, Problem, Severity, bound_problems
from dailypapers.publishing.static_files import choose_lifetime
from dailypapers.readable import make_readable, make_title_readable
from dailypapers.readers import page, read_listing
from fuzz.long_files import ARTICLE, HEAD, PAPER, SITE, UNITS, fill
from fuzz.seeds import TOKENS, list_seeds
from fuzz.targets import TARGETS, check_listing

from .conftest import PROJECT, Build, Query
from .pages import abstract, card, cards_page

sys.path.insert(0, str(PROJECT / "plugins"))
import encoded_keys
import stable_paging


def read(content: str | bytes, file: str = "2025-12-30.txt") -> Listing:
    """Read a file, and hold what came out to all promises."""
    listing = read_listing(file, content.encode() if isinstance(content, str) else content)
    check_listing(listing)
    return listing


def read_values(*papers: Any, **more: Any) -> Listing:
    return read(json.dumps([{"paper": paper, **more} for paper in papers]))


# What was found, by the fuzzer or by reading


@pytest.mark.parametrize("bad", ["\0", "\ud800", "\udfff x", "\udc00\ud800"])
def test_what_cannot_be_stored_is_replaced(bad: str) -> None:
    paper = {
        "title": f"A {bad} title", "summary": f"{abstract()} {bad}", "publishedAt": bad,
        "authors": [{"name": f"A{bad}"}], "ai_keywords": [bad], "id": bad, "upvotes": bad,
    }  # fmt: skip
    organization = {"name": f"o{bad}", "fullname": bad}
    value = {"paper": paper, "organization": organization, "numComments": [bad]}
    props = json.dumps({"searchResults": [value], "query": bad, "dateString": bad})
    tag = f'<div data-target="DailyPapers" data-props="{html.escape(props)}"></div>'
    for content in (json.dumps([value]), f"<html><body>{tag}"):
        [entry] = read(content).entries
        assert entry.title.startswith("A \ufffd") and entry.authors[0].startswith("A\ufffd")
        assert "\ufffd" in (entry.abstract or "") and "\ufffd" in (entry.organization or "")


def test_nulls_in_utf_16_are_replaced_with_a_warning() -> None:
    listing = read(cards_page(card("A \0 title")).decode().encode("utf-16"))
    assert listing.entries[0].title == "A \ufffd title"
    assert [problem.severity for problem in listing.problems] == [Severity.WARNING]


@pytest.mark.parametrize(
    "title",
    ["\u202e", "\x1b\x7f", "{}", "\\em", "&#x202e;", "\u2066 \u2069", "\x85\u200b", "$$", "\ufeff"],
)
def test_a_title_can_be_seen(title: str) -> None:
    listing = read_values({"title": f"{title}", "id": "2401.00001"})
    for paper in merge_listings([listing]).papers:
        assert any(sign.isprintable() and not sign.isspace() for sign in paper.title)
    assert make_title_readable("A \u202etitle\u202c\x1b[0m {\\em x}") == "A title[0m x"


@pytest.mark.parametrize(
    "half_latex",
    [
        r"\sqrt[{3]x} {x}", "\\verb|" * 9, r"\verb", r"\href{a}{b", r"\frac", r"\frac{",
        r"\begin{a", r"\begin{array}{", r"{\input{/etc/passwd}}", r"\sqrt[", r"\'", "\\",
        r"\left(", "{" * 9_000,
    ],
)  # fmt: skip
def test_half_latex_is_text(half_latex: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert make_readable(f"before {half_latex}").startswith("before")
    assert "root:" not in make_readable(half_latex)
    assert capfd.readouterr() == ("", "")


def test_address_and_words_are_parted_as_before() -> None:
    for printed, readable in [
        ("at https://github.com/a{github.com/a}.", "at https://github.com/a."),
        ("at github.com/a{github.com/a}.", "at github.com/a."),
        ("at https://a.example{https://b.example} x", "at https://a.examplehttps://b.example x"),
        ("https://a.example{x}{y}", "https://a.example (x)y"),
    ]:
        assert make_readable(printed) == readable


@pytest.mark.parametrize("rest", ["//[x", "?q=%ed%a0%80", "?q=" + "%00", "/date/2025-13-45", "?q"])
def test_odd_addresses_are_no_query(rest: str) -> None:
    meta = f'<meta property="og:url" content="{SITE}/papers{rest}">'
    assert len(read(f"<html>{meta}{ARTICLE}</article>").entries) == 1
    assert len(read(f"url: {SITE}/papers{rest}\n\n{HEAD}\n[{abstract()}]({PAPER})").entries) == 1


@pytest.mark.parametrize(
    "number", ["9" * 5_000, "-" + "9" * 5_000, "NaN", "Infinity", "1e999", "1.5", "true", '"1"']
)
def test_a_number_costs_at_most_its_fact(number: str) -> None:
    bad = f'{{"paper": {{"title": "A", "id": "2401.00001", "upvotes": {number}}}}}'
    good = '{"paper": {"title": "B", "id": "2401.00002", "upvotes": 1}}'
    listing = read(f"[{bad}, {good}]")
    assert [(entry.title, entry.upvotes) for entry in listing.entries] == [("A", None), ("B", 1)]
    assert [problem.severity for problem in listing.problems] == [Severity.WARNING]


def test_of_a_key_given_twice_the_last_counts() -> None:
    [entry] = read('[{"paper": {"title": "A", "title": "B", "id": "2401.00001"}}]').entries
    assert entry.title == "B"


def test_a_damaged_line_costs_only_itself() -> None:
    lines = [json.dumps({"paper": {"title": name, "id": f"2401.0000{n}"}})
             for n, name in enumerate("ABC", 1)]  # fmt: skip
    lines[1] = lines[1][:20]
    listing = read("\n".join(lines))
    assert [entry.title for entry in listing.entries] == ["A", "C"]
    assert [(p.line, p.severity) for p in listing.problems] == [(2, Severity.ERROR)]
    assert len(read('{"paper" x\n' * 500).problems) == 21


@pytest.mark.parametrize("depth", [500, *range(930, 1_010, 3), 100_000])
def test_deep_json_costs_its_own_entry_or_the_rest(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    good = '{"paper": {"title": "B", "id": "2401.00002"}}'
    for bad in (deep, f'{{"paper": {{"title": "A", "authors": {deep}}}}}'):
        listing = read(f"[{good}, {bad}, {good}]")
        assert listing.entries[0].title == "B"
        assert listing.problems
    props = html.escape(f'{{"dailyPapers": [{good}], "dateString": {deep}}}')
    read(f'<html><div data-target="DailyPapers" data-props="{props}"></div>')


def test_deep_html_is_read() -> None:
    deep = "<div>" * 100_000 + f"{ARTICLE}</article>" + "<b>" * 100_000
    assert [entry.title for entry in read(f"<html>{deep}").entries] == ["T"]
    entities = "&#1114112;&#xd800;&#0;&amp;amp;&lol9;&CounterClockwiseContourIntegral;" * 9
    [entry] = read(f"<html>{ARTICLE.replace('>T<', f'>T{entities}<')}</article>").entries
    assert len(entry.title) < 1_000


def test_large_fields_cost_only_themselves() -> None:
    huge = "x" * 10_000_000
    good = {"title": "B", "id": "2401.00002"}
    listing = read_values({"title": huge, "id": "2401.00001"}, good)
    assert [entry.title for entry in listing.entries] == ["B"]
    assert [problem.severity for problem in listing.problems] == [Severity.ERROR]
    large = huge[:1_000_000]
    for field in ("summary", "id", "publishedAt", "upvotes", "authors", "ai_keywords"):
        [entry] = read_values({**good, field: large}).entries
        assert entry.title == "B" and len(repr(entry)) < 5_000
    [entry] = read_values(good, organization={"name": large, "fullname": large}).entries
    assert entry.organization is None
    assert [e.title for e in read(cards_page(card("A"), card(huge), card("B"))).entries] == [
        "A",
        "B",
    ]


def test_archives_are_not_unpacked() -> None:
    for content in (
        b"\x1f\x8b\x08\0" + b"\0" * 99,
        b"PK\3\4\x14\0",
        b"\xfd7zXZ\0\0",
        b"BZh9\x17\0",
    ):
        [problem] = read(content).problems
        assert "binary data, not text; save the page as text" in problem.message


def test_undecodable_names_and_quoted_pages_reach_the_terminal_as_text(
    build: Build, query: Query, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    broken = cards_page(card("A", byline="• 3 authors\n·\nnow \x1b[31m\u202e"))
    (folder / "2025-01-01 \udcff\x1b[31m.txt").write_bytes(broken)
    done = build("saved")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr and "is no date" in done.stderr
    assert query("select file from listings") == [("2025-01-01 \ufffd\x1b[31m.txt",)]


# What holds of anything


@pytest.mark.parametrize("name", TARGETS)
def test_promises_hold_of_damaged_files(name: str) -> None:
    """What the fuzzer does for hours, for a second."""
    seeds = list(list_seeds(name))
    pieces = st.sampled_from([token.encode() for token in TOKENS]) | st.binary(max_size=8)
    places = st.integers(0, max(map(len, seeds)))

    @settings(max_examples=30)
    @given(st.sampled_from(seeds), st.lists(st.tuples(places, places, pieces), max_size=6))
    def hold(seed: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        for start, length, piece in changes:
            seed = seed[:start] + piece + seed[start + length % 40 :]
        TARGETS[name](seed)

    hold()


# Time

N = 20_000


def measure(work: Callable[[Any], object], given: Any) -> float:
    """Seconds of this process, at best; going through what other tests left behind is no part."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(2):
            began = time.process_time()
            work(given)
            best = min(best, time.process_time() - began)
    finally:
        gc.enable()
    return best


def check_growth(work: Callable[[Any], object], short: Any, long: Any) -> None:
    """`long` is four times as long: linear work takes four times as long, square work sixteen."""
    for _ in range(6):  # other processes are there, too
        took = measure(work, long)
        if took < 0.02 or took < 9 * measure(work, short):
            return
    pytest.fail(f"{took:.2f} s, more than 9 times as long for 4 times as much")


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_to_read_grows_with_the_length(unit: str) -> None:
    short, long = (fill(*UNITS[unit], length).encode() for length in (N, 4 * N))
    check_growth(lambda content: read_listing("2025-12-30.txt", content), short, long)


@pytest.mark.parametrize(
    "unit",
    ["{", "\\", "$", "%", "http://", "https://a{", "https://a{b", "github.com/{", "$x_", "\\frac{",
     "\\begin{a}", "\\href{a}{b}", "``", "{sim}", "mathcal"],
)  # fmt: skip
def test_the_time_to_make_readable_grows_with_the_length(unit: str) -> None:
    check_growth(make_readable, fill("{", unit, 4_900), fill("{", unit, 19_600))


@pytest.mark.parametrize(
    "unit", ["http://a.b/(", "http://a.b?", "http://", "github.com/", "https://a.b ", "http://a@"]
)
def test_the_time_to_find_links_grows_with_the_length(unit: str) -> None:
    check_growth(find_links, fill("https://x.y/ ", unit, 12_000), fill("", unit, 48_000))
    assert measure(find_links, fill("", unit, 48_000)) < 1


def ask_for(path: str) -> None:
    """Give an address to the plugin that every request goes through."""

    async def answer(scope: dict[str, Any], receive: object, send: object) -> None:
        assert scope["raw_path"] == path.encode()

    asked = encoded_keys.asgi_wrapper(None)(answer)({"raw_path": path.encode()}, None, None)
    with pytest.raises(StopIteration):
        asked.send(None)


@pytest.mark.parametrize(
    ("work", "unit"),
    [
        (ask_for, "/a%"),
        (lambda path: ask_for(f"/a/b/{path}"), "%"),
        (lambda path: ask_for(f"/a/b/{path}"), "%."),
        (stable_paging.SORTED.search, " order by ["),
        (stable_paging.SORTED.search, " order by a limit 1"),
        (lambda path: choose_lifetime(path, "", None), ".aaaaaaaa"),
    ],
)
def test_the_time_for_an_address_grows_with_its_length(
    work: Callable[[str], object], unit: str
) -> None:
    check_growth(work, fill("", unit, 16_000) + "1", fill("", unit, 64_000) + "1")


def test_keys_that_are_percent_encoded_are_known() -> None:
    assert encoded_keys.has_encoded_key(b"/daily/tags/%C3%A9")
    assert encoded_keys.has_encoded_key(b"/base/daily/tags/a%20")
    for path in (b"/daily/%C3", b"/daily/t%C3/a", b"//tags/%C3", b"daily/tags/%C3", b"%", b""):
        assert not encoded_keys.has_encoded_key(path)


# Size


def test_problems_of_a_file_are_bounded_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listings, "MAX_PROBLEMS", 5)
    listing = read(cards_page(*(card("", "") for _ in range(12)), card("A")))
    assert (len(listing.entries), listing.cards) == (1, 13)
    *first, last = listing.problems
    assert [problem.count for problem in first] == [1] * 5
    assert last.count == 7 and (last.line or 0) > (first[-1].line or 0)
    assert last.message.startswith("and 7 more from here on; the first of them: not a card: ")
    again = bound_problems([*listing.problems, Problem(1, Severity.WARNING, "x")])
    assert sum(problem.count for problem in again) == 13


def test_the_table_of_problems_counts_cards(build: Build, query: Query, tmp_path: Path) -> None:
    cards = [card("Whole"), *(card("", "") for _ in range(10_050))]
    (tmp_path / "2025-12-30.txt").write_bytes(cards_page(*cards))
    done = build("2025-12-30.txt")
    assert "10,051 cards, 1 entry, 1 new paper, 0 repeated, 10,050 problems" in done.stderr
    assert query("select count(*), sum(count) from problems where severity = 'error'") == [
        (10_001, 10_050)
    ]


@pytest.mark.parametrize(
    ("bound", "module", "content", "says"),
    [
        ("MAX_LINES", page, "·\n" * 30, "31 lines are too many for a listing page"),
        ("MAX_CARDS", page, "·\n" * 60, "more than 20 cards are too many"),
        ("MAX_CARDS", page, f"{abstract()}\n" * 30 + "·\n", "more than 20 cards are too many"),
        ("MAX_CARDS", page, HEAD * 30, "more than 20 cards are too many"),
        ("MAX_CARDS", page, HEAD + "[\n\n" * 30, "more than 20 cards are too many"),
        ("MAX_CARDS", page, "·\n" + "Jan 1\n" * 30, "more than 20 cards are too many"),
        ("MAX_CARDS", page, "[1" + ",1" * 30 + "]", "more than 20 cards are too many"),
        ("MAX_CARDS", page, "<html>" + ARTICLE * 30, "more than 20 cards are too many"),
        (
            "MAX_CARDS",
            page,
            '<html><div data-target="DailyPapers" data-props="{&quot;dailyPapers&quot;:[1'
            + ",1" * 30 + ']}"></div>',
            "more than 20 cards are too many",
        ),
    ],
)  # fmt: skip
def test_a_file_with_too_much_in_it_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, bound: str, module: ModuleType, content: str, says: str
) -> None:
    read(content)
    monkeypatch.setattr(module, bound, 20)
    listing = read(content)
    assert (listing.entries, listing.format) == ((), None)
    [problem] = listing.problems
    assert says in problem.message and "split" in problem.message


def test_values_are_counted_before_they_are_read() -> None:
    [problem] = read("[" + "[]," * 5_000_001).problems
    assert "more than 10,000,000 values are no listing; split the file" in problem.message
