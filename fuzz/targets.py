"""What must hold of any bytes: one function a target, for the fuzzer and for tests.

Each takes bytes that could be anything, gives them to one part of the program, and raises where
what comes out breaks a promise. Exceptions that are documented are none.
"""

import datetime
import html
import re
import sqlite3
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from dailypapers.captures import CaptureError, decode_capture
from dailypapers.catalogue import merge_listings
from dailypapers.database import write_database
from dailypapers.dates import find_capture_date, parse_printed_date
from dailypapers.links import MAX_URL, find_links
from dailypapers.listing import Listing, Problem, Severity
from dailypapers.publishing import citations, feeds, search_words
from dailypapers.ranking import load_synonyms
from dailypapers.readable import make_readable
from dailypapers.readers import (
    api,
    cards,
    dense,
    links_after,
    markdown,
    numbered_links,
    read_listing,
)
from dailypapers.readers import html as html_reader
from dailypapers.readers.page import MAX_ABSTRACT, MAX_PROBLEM_TEXT, MAX_TITLE, Page
from dailypapers.results import Search, find_papers, suggest_spelling, understand_search
from dailypapers.snippets import make_snippet, mark_safely
from dailypapers.tagging import load_vocabulary

PROJECT = Path(__file__).resolve().parent.parent
MAX_MESSAGE = 600
"""Characters of a problem's message: it is printed on a line."""

_ARXIV_ID = re.compile(r"[0-9]{4}\.[0-9]{4,5}|[a-z-]+(?:\.[A-Z]{2})?/[0-9]{7}")


def read_capture(data: bytes) -> None:
    """Bytes become text, or the documented error."""
    try:
        text, problems = decode_capture(data)
    except CaptureError as error:
        check_text(str(error))
        return
    assert "\r" not in text
    check_text(text.replace("\0", ""))
    check_problems(problems)


def read_any(data: bytes) -> None:
    """A file of any format, from its bytes to papers."""
    check_listing(read_listing("2025-12-30.txt", data))


def read_as(reader: ModuleType) -> Callable[[bytes], None]:
    """A target that gives text to one reader, where the reader says that it is of its format."""

    def target(data: bytes) -> None:
        try:
            text, _ = decode_capture(data)
        except CaptureError:
            return
        if reader.recognise(text):
            check_page(reader.read(text))

    return target


def check_page(page: Page) -> None:
    """What a reader found can be stored, and is as long as the readers promise."""
    for entry in page.entries:
        assert entry.position > 0 and entry.line > 0
        assert entry.title.strip() and len(entry.title) <= MAX_TITLE, "a title"
        assert len(entry.abstract or "") <= MAX_ABSTRACT, "an abstract"
        assert entry.arxiv_id is None or _ARXIV_ID.fullmatch(entry.arxiv_id), entry.arxiv_id
        assert entry.authors_count is None or 0 < entry.authors_count < 10**9
        for count in (entry.comments, entry.upvotes):
            assert count is None or 0 <= count <= 10**10
        for value in entry:
            for text in value if isinstance(value, tuple) else [value]:
                if isinstance(text, str):
                    check_text(text)
    check_problems(page.problems)
    for text in (page.heading, page.query, page.captured_on, page.listed_on):
        check_text(text or "")
    for day in (page.captured_on, page.listed_on):
        assert day is None or datetime.date.fromisoformat(day)


def check_problems(problems: list[Problem] | tuple[Problem, ...]) -> None:
    """Short, and of a line."""
    for problem in problems:
        assert problem.line is None or problem.line > 0
        assert len(problem.text) <= MAX_PROBLEM_TEXT, "a problem's text"
        assert len(problem.message) <= MAX_MESSAGE, problem.message
        check_text(problem.text)
        check_text(problem.message)


def check_text(text: str) -> None:
    """SQLite and UTF-8 can hold it."""
    assert "\0" not in text, "a NUL"
    text.encode()


def check_listing(listing: Listing) -> None:
    """Entries and lost cards are the cards, and papers can be made of them."""
    page = Page(listing.heading, listing.entries, listing.problems, listing.query)
    check_page(page)
    lost = sum(p.count for p in listing.problems if p.severity is Severity.ERROR)
    assert listing.cards == (len(listing.entries) + lost if listing.format else 0)
    assert listing.format or [p.severity for p in listing.problems] == [Severity.ERROR]
    for paper in merge_listings([listing]).papers:
        check_text(paper.title + (paper.abstract or ""))
        assert paper.title.strip() and paper.id, "a paper without a title"
        assert paper.published is None or datetime.date.fromisoformat(paper.published)
        assert (paper.url or "https://").startswith("https://")
        check_links(paper.abstract or "")


def make_text_readable(data: bytes) -> None:
    """LaTeX and what looks like it becomes one line."""
    text = data.decode("utf-8", "replace")
    readable = make_readable(text)
    assert readable == " ".join(readable.split())
    assert not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", readable)
    assert len(readable) <= 20 * len(text) + 20


def find_text_links(data: bytes) -> None:
    """Links are addresses of the web."""
    check_links(data.decode("utf-8", "replace"))


def check_links(text: str) -> None:
    """http(s) alone, and no markup or blank in them."""
    for link in find_links(text):
        assert link.url.startswith(("http://", "https://")), link.url
        assert len(link.url) <= MAX_URL
        assert not set(" \t\n<>") & set(link.url), link.url


def parse_dates(data: bytes) -> None:
    """A date as printed, and one in a file's name."""
    text = data.decode("utf-8", "replace")
    date = parse_printed_date(text)
    if date:
        assert date.on(2024)
        date.on(0), date.on(None), date.on(99_999)
    find_capture_date(text)


@cache
def open_papers() -> sqlite3.Connection:
    """A small database of made-up papers."""
    words = ("distillation of small models", "diffusion, quantized: a study", "naïve Größe 東京 x")
    values = ",".join(
        f'{{"paper": {{"title": "{title}", "summary": "{title} " , "id": "2401.0000{n}",'
        f' "publishedAt": "2024-0{n + 1}-02T00:00:00Z"}}, "numComments": {n},'
        ' "organization": {"name": "nvidia", "fullname": "NVIDIA"}}'
        for n, title in enumerate(words)
    )
    path = Path(tempfile.mkdtemp(prefix="fuzz")) / "daily.db"
    catalogue = merge_listings([read_listing("2024-05-01.json", f"[{values}]".encode())])
    write_database(path, catalogue, load_vocabulary(PROJECT / "vocabulary.yml"))
    return sqlite3.connect(path)


@cache
def read_synonyms() -> dict[tuple[str, ...], frozenset[tuple[str, ...]]]:
    """The site's own."""
    return load_synonyms(PROJECT / "synonyms.yml")


def search_papers(data: bytes) -> None:
    """Whatever is typed is a search, which FTS5 and SQLite take; so is the rest of the form."""
    typed, *more = data.decode("utf-8", "replace").split("\x01")[:5]
    tag, org, year, sort = [*more, "", "", "", ""][:4]
    search = Search(typed, (("tag", tag), ("org", org), ("year", year)), sort, 1)
    connection, synonyms = open_papers(), read_synonyms()
    for result in find_papers(connection, search, synonyms):
        check_markup(result.snippet)
    query = understand_search(search)
    names = search_words.look_up_names(connection, query)
    said = search_words.describe_search(query, search.sort, names)
    assert said.endswith(".") and len(said) < 20_000
    suggest_spelling(connection, typed, synonyms)


def cut_snippet(data: bytes) -> None:
    """Only marks are markup, whatever the text or whoever wrote the snippet."""
    text = data.decode("utf-8", "replace")
    check_markup(make_snippet(text, {"model", "x"}))
    check_markup(str(mark_safely(text)))


def check_markup(snippet: str) -> None:
    """Nothing but <mark> is markup, and no ampersand stands alone."""
    rest = re.sub(r"</?mark>", "", snippet)
    assert "<" not in rest and ">" not in rest and '"' not in rest
    assert not re.search(r"&(?!amp;|lt;|gt;|#34;|#39;|quot;|#x27;)", rest)
    html.unescape(rest)


def _split_fields(data: bytes) -> Iterator[str]:
    yield from data.decode("utf-8", "replace").split("\x01")
    while True:
        yield "x"


def cite(data: bytes) -> None:
    """Citations say what was there and nothing else: no field begins inside of a text."""
    values = _split_fields(data)
    title, author, other, paper_id = (next(values) for _ in range(4))
    paper = citations.Citation(
        paper_id, title, (author, other), "2024-01-02", None, f"https://a.example/{paper_id}"
    )
    written = citations.make_bibtex([paper])
    assert written.count("{") == written.count("}"), written
    assert written.count("\n@") == 0 and written.startswith("@misc{"), written
    lines = citations.make_ris([paper]).splitlines()
    tags = [line[:2] for line in lines if line.strip()]
    assert tags == ["TY", "TI", "AU", "AU", "PY", "DA", "UR", "ID", "ER"], lines
    citations.make_csl([paper]).encode()


def write_feed(data: bytes) -> None:
    """A feed is XML, with the texts that it was given."""
    values = _split_fields(data)
    title, abstract, author, name = (next(values) for _ in range(4))
    entry = feeds.Entry(
        "a", title, "https://a.example/a", "2024-01-02", None, abstract, [author], [("x", name)]
    )
    home = "https://a.example/"
    feed = feeds.Feed("/x", feeds.join_title([title]), home, home, "", "2024-01-02", [entry])
    root = ET.fromstring(feeds.write_feed(feed))
    links = [link.get("href") or "" for link in root.iter("{http://www.w3.org/2005/Atom}link")]
    assert {urlsplit(link).scheme for link in links} == {"https"}
    ET.fromstring(feeds.write_opml([(title, "https://a.example/?a=b&c=d")]))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "captures": read_capture,
    "listing": read_any,
    "cards": read_as(cards),
    "dense": read_as(dense),
    "markdown": read_as(markdown),
    "numbered_links": read_as(numbered_links),
    "links_after": read_as(links_after),
    "api": read_as(api),
    "html": read_as(html_reader),
    "dates": parse_dates,
    "readable": make_text_readable,
    "links": find_text_links,
    "search": search_papers,
    "snippets": cut_snippet,
    "citations": cite,
    "feeds": write_feed,
}
