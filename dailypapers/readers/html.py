"""Saved HTML of a page: its data as the site's own script reads it, else the cards as rendered.

The element with data-target="DailyPapers" carries the page's data in its attribute data-props,
as escaped JSON: `dailyPapers` or, on search pages, `searchResults` hold the API's entries,
`dateString` the day, `query` what was asked. Where that is absent or damaged, the cards are read
as rendered: an `article` with the upvotes, then the title in `h3 a[href^="/papers/"]`, an
abstract on search pages, and the byline ("5 authors" or an organization, "·", date, comments).

The time to parse HTML grows with the square of its depth, so only what is needed is parsed: the
one tag, and each card by itself. They are found by the tags alone, in one pass.
"""

import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ..dates import parse_printed_date
from ..listing import Entry, Problem
from . import page
from .api import read_entry, read_int
from .page import Line, Page, mend_text, refuse_cards

FORMAT = "html"

_START = re.compile(r"[\s\ufeff]*+<")
_ANY_TAG = re.compile(r"<(?:!doctype\s+html|html|head|body|div|article)[\s/>]", re.IGNORECASE)
_TOP = 10_000
"""Characters in which a page shows that it is HTML, and where it was saved from."""

# A tag up to its ">"; quotes count only in values. Possessive, so it never tries a place twice.
_TAG = re.compile(
    r"<(?:(?P<comment>!--)|(?P<name>/?[a-zA-Z][^\s/>]*+)"
    r"(?P<attributes>(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+))"
)
_RAW_TEXT = {"script", "style", "template", "textarea", "title", "noscript", "iframe"}
"""Elements whose content is no part of what the page shows as cards."""

_TARGET = re.compile(r"\bdata-target\s*+=\s*+[\"']?DailyPapers\b")
_MAX_DATA = 20_000_000
"""Characters of the tag with the page's data; real ones have 200,000. JSON of nothing but empty
lists takes thirty times its length in memory."""

_MAX_CARD_TAGS = 500
_MAX_CARD = 200_000
"""Tags and characters of one card; real ones have about 100 and 10,000. Pictures may be inlined."""

_ADDRESS = re.compile(
    r"https://huggingface\.co/papers(?:/date/(?P<day>\d{4}-\d\d-\d\d))?(?P<rest>[?/#][^\s\"'<>]*+)?"
    r"(?=[\s\"'])"
)
_SAVED_FROM = re.compile(
    r"(?:saved from url=\(\d+\)|\burl:\s|rel=[\"']?canonical[\"']?\s+href=[\"']?"
    r"|property=[\"']?og:url[\"']?\s+content=[\"']?)\s*+"
)
_SAVED_ON = re.compile(r"saved date: [A-Z][a-z]{2} ([A-Z][a-z]{2} \d{1,2}) (\d{4})\b")

_HREF = re.compile(r"(?:https?://(?:www\.)?huggingface\.co)?/papers/([^/?#\s]+)([?#]\S*)?")
_ARXIV_ID = re.compile(r"([0-9]{4}\.[0-9]{4,5})(?:v[0-9]+)?")
_OWNER = re.compile(r"(?:https?://(?:www\.)?huggingface\.co)?/([A-Za-z0-9][\w.-]*)/?")
_NO_OWNERS = {"papers", "login", "join", "models", "datasets", "spaces", "docs", "pricing"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PERIOD = re.compile(r"[0-9]{4}-(?:W?[0-9]{2})")
_NUMBER = re.compile(r"[0-9][0-9,]{0,9}")
_ORGANIZATION = re.compile(r"([A-Za-z0-9][\w.-]*) (.{1,100})")
_HEADING = re.compile(r"<h3\b", re.IGNORECASE)
_INLINE = {"-comment", "span", "b", "i", "em", "strong", "mark", "sup", "sub", "code", "u", "font"}

_MAX_PARTS = 200
"""Parts of a byline around its dots that are looked at; real ones have under ten."""

_HIDDEN = {"script", "style", "template", "noscript", "svg", "textarea"}
_MAX_DEPTH = 50


@dataclass(frozen=True)
class _Slice:
    """A stretch of the source: where it begins, and the line there."""

    start: int
    end: int
    line: int
    tags: int


@dataclass
class _Finds:
    """What the tags of a page show: the tag with its data, its cards, its day."""

    data: _Slice | None = None
    cards: list[_Slice] = field(default_factory=list)
    heading: str | None = None


@dataclass(frozen=True)
class _Piece:
    """Text that stands together on a card, and the address that it links to."""

    text: str
    href: str
    place: str
    """"title", "p" (a paragraph below the title), "before" or "after" the title."""


def recognise(text: str) -> bool:
    """HTML begins with a tag, and one that pages are made of stands near the top."""
    start = _START.match(text)
    return bool(start and _ANY_TAG.search(text, start.end() - 1, start.end() + _TOP))


def read(text: str) -> Page:
    """Read the page; every card is an entry, or a problem with its line."""
    finds = _find(text)
    base = _read_address(text[:_TOP])
    problems: tuple[Problem, ...] = ()
    if finds.data:
        line = Line(finds.data.line, "")
        try:
            props = _load_props(text[finds.data.start : finds.data.end])
            made = _read_props(base, props, line)
            if made.problems and not made.entries and finds.cards:
                raise ValueError("nothing in the page's data is usable")
        except ValueError as error:
            message = f"{error}, so the cards were read as the page shows them"
            problems = (page.warn(line, message),)
        else:
            if made.entries or made.query or not finds.cards:
                return made
    made = _read_cards(replace(base, heading=finds.heading), text, finds.cards)
    return replace(made, problems=problems + made.problems)


def _find(text: str) -> _Finds:
    """Find the data and the cards by their tags, in one pass over the source."""
    finds = _Finds()
    lines = _LineCounter(text)
    opened: _Slice | None = None
    tags = last = 0
    for name, tag in _iterate_tags(text):
        tags += 1
        if name in ("article", "/article"):
            if opened:
                finds.cards.append(replace(opened, end=tag.start(), tags=tags))
                refuse_cards(len(finds.cards))
            opened, tags = None, 0
            if name == "article":
                opened = _Slice(tag.start(), len(text), lines.at(tag.start()), 0)
        if finds.data is None and _has_target(tag):
            finds.data = _Slice(tag.start(), tag.end(), lines.at(tag.start()), 1)
        if not finds.heading and not finds.cards and not opened and tag.start() - last < 40:
            finds.heading = _note_day(text[last : tag.start()])
        last = tag.end() + 1
    if opened:
        finds.cards.append(replace(opened, tags=tags))
    return finds


class _LineCounter:
    """Tells the line of a place in the text; places come in order, so each line counts once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.line = 1

    def at(self, place: int) -> int:
        if place > self.place:
            self.line += self.text.count("\n", self.place, place)
            self.place = place
        return self.line


def _iterate_tags(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Each tag outside of comments and raw text, with its name in lower case."""
    place = 0
    while tag := _TAG.search(text, place):
        name = (tag["name"] or "").lower()
        if tag["comment"]:
            place = text.find("-->", tag.end())
        else:
            yield name, tag
            place = tag.end()
            if name in _RAW_TEXT and not tag["attributes"].endswith("/"):
                place = _find_end(text, name, place)
        if place < 0:
            return


def _find_end(text: str, name: str, place: int) -> int:
    end = re.compile(f"</{name}[\\s/>]", re.IGNORECASE).search(text, place)
    return end.start() if end else -1


def _has_target(tag: re.Match[str]) -> bool:
    return "DailyPapers" in tag["attributes"] and bool(_TARGET.search(tag["attributes"]))


def _note_day(text: str) -> str | None:
    day = " ".join(text.split())
    return day if parse_printed_date(day) else None


def _read_address(top: str) -> Page:
    """What the page's address says, where the browser or the site wrote it into the file."""
    blank = Page(None, (), ())
    on = _SAVED_ON.search(top)
    printed = parse_printed_date(f"{on[1]}, {on[2]}") if on else None
    captured = printed.on(None) if printed else None
    for before in _SAVED_FROM.finditer(top):
        address = _ADDRESS.match(top, before.end())
        if address:
            query = _find_query(address["rest"] or "")
            blank = replace(blank, query=query, listed_on=_to_day(address["day"]))
            break
    return replace(blank, captured_on=captured.isoformat() if captured else None)


def _find_query(address: str) -> str | None:
    """The q of an address's end as "?q=red%20kites"."""
    try:
        asked = parse_qs(urlsplit(address).query).get("q", [""])
    except ValueError:  # "//[x": no address after all
        return None
    return " ".join(mend_text(asked[0]).split()) or None


def _to_day(value: object) -> str | None:
    """An ISO date or datetime as an ISO date; None where it is neither."""
    if not isinstance(value, str) or not _DAY.match(value):
        return None
    try:
        return datetime.date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        return None


def _load_props(tag: str) -> dict[str, Any]:
    """The data in the tag's attribute. Raises ValueError where there is none."""
    if len(tag) > _MAX_DATA:
        raise ValueError(f"the page's data has {len(tag):,} characters")
    node = LexborHTMLParser(f"<body>{tag}>").css_first("[data-target]")
    printed = node.attributes.get("data-props") if node else None
    if not printed:
        raise ValueError("the page's data is missing")
    try:
        props = json.loads(printed, parse_int=read_int)
    except (ValueError, RecursionError):
        raise ValueError("the page's data is damaged") from None
    if not isinstance(props, dict) or _choose_list(props) is None:
        raise ValueError("the page's data lists no papers")
    return props


def _choose_list(props: dict[str, Any]) -> list[Any] | None:
    """A search page has the results beside the day's papers, which it does not show."""
    results, daily = props.get("searchResults"), props.get("dailyPapers")
    if isinstance(results, list) and (results or _get_query(props)):
        return results
    if isinstance(daily, list):
        return daily
    return results if isinstance(results, list) else None


def _get_query(props: dict[str, Any]) -> str | None:
    """`query` is the text itself, or an object with it as `q`."""
    query = props.get("query")
    if isinstance(query, dict):
        query = query.get("q")
    return " ".join(mend_text(query).split()) or None if isinstance(query, str) else None


def _read_props(base: Page, props: dict[str, Any], line: Line) -> Page:
    entries: list[Entry] = []
    problems: list[Problem] = []
    values = _choose_list(props) or []
    refuse_cards(len(values))
    for position, value in enumerate(values, 1):
        entry, wrong = read_entry(value, position, line.number)
        entries += [entry] if entry else []
        problems += wrong
    day, stated = base.listed_on, props.get("dateString")
    # A week's or a month's page names its first day, which is not the day it lists.
    if stated and props.get("periodType") in (None, "day", "daily", "date"):
        day = _to_day(stated) or day
        if not _to_day(stated) and not _PERIOD.fullmatch(str(stated)):
            message = f"{page.quote(str(stated))} is no day, so it is unknown what day this lists"
            problems.append(page.warn(line, mend_text(message)))
    query = _get_query(props) or base.query
    return replace(
        base, entries=tuple(entries), problems=tuple(problems), query=query, listed_on=day
    )


def _read_cards(base: Page, text: str, cards: list[_Slice]) -> Page:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for card in cards:
        entry, wrong = _read_card(text, card, len(entries) + 1)
        entries += [entry] if entry else []
        problems += wrong
    return replace(base, entries=tuple(entries), problems=tuple(problems))


def _read_card(text: str, card: _Slice, position: int) -> tuple[Entry | None, list[Problem]]:
    """The card of one article; neither entry nor problem where the article is something else."""
    if card.tags > _MAX_CARD_TAGS or card.end - card.start > _MAX_CARD:
        return None, [page.lose(Line(card.line, ""), "an article too large for one")]
    source = text[card.start : card.end]
    pieces = _cut_pieces(source)
    titles = [piece for piece in pieces if piece.place == "title"]
    hrefs = [piece.href for piece in titles + pieces if _HREF.fullmatch(piece.href)]
    if not titles and not hrefs:
        return None, []
    title = " ".join(" ".join(piece.text for piece in titles).split())
    line = Line(card.line + _count_lines_above(source, title, hrefs), title)
    if not title or len(title) > page.MAX_TITLE:
        return None, [page.lose(line, "an article without a title that could be one")]
    if not hrefs:
        return None, [page.lose(line, "a title that links to no paper")]
    entry = Entry(position, line.number, title)
    return _note_facts(entry, line, pieces, hrefs[0])


def _count_lines_above(source: str, title: str, hrefs: list[str]) -> int:
    """The lines of an article above its title: the heading's tag, its link, then its words."""
    heading = _HEADING.search(source)
    place = heading.start() if heading else 0
    end = source.find("</", place)
    if hrefs:
        place = max(place, source.find(hrefs[0], place, end))
    words = title.split()
    if words:
        place = max(place, source.find(words[0], source.find(">", place), end))
    return source.count("\n", 0, place)


def _cut_pieces(source: str) -> list[_Piece]:
    """The texts of a card in their order; those of one block, however marked up, are one."""
    root = LexborHTMLParser(f"<body>{source}").body
    pieces: list[_Piece] = []
    run: list[str] = []
    block: LexborNode | None = None
    for node in root.traverse(include_text=True) if root else ():
        parent = _find_block(node) if node.tag == "-text" else None
        if node.tag not in _INLINE and (parent is None or parent != block):
            _lay_piece(pieces, run, block)
            run, block = [], parent
        if parent is not None:
            run.append(node.text_content or "")
    _lay_piece(pieces, run, block)
    return pieces


def _find_block(text: LexborNode) -> LexborNode | None:
    return next((node for node in _climb(text) if node.tag not in _INLINE), None)


def _climb(node: LexborNode) -> Iterator[LexborNode]:
    """What the node stands in, from the inside, as far as a page would nest it."""
    above = node.parent
    for _ in range(_MAX_DEPTH):
        if above is None:
            return
        yield above
        above = above.parent


def _lay_piece(pieces: list[_Piece], run: list[str], block: LexborNode | None) -> None:
    text = " ".join("".join(run).split())
    around = [block, *_climb(block)] if block and text else []
    tags = {node.tag for node in around}
    if not around or tags & _HIDDEN:
        return
    href = next((node.attributes.get("href") for node in around if node.tag == "a"), None) or ""
    last = pieces[-1].place if pieces else "before"
    if "h3" in tags and last in ("before", "title"):
        place = "title"
    elif last == "before":
        place = "before"
    else:
        place = "p" if "p" in tags else "after"
    pieces.append(_Piece(text, href.strip(), place))


def _note_facts(
    entry: Entry, line: Line, pieces: list[_Piece], href: str
) -> tuple[Entry, list[Problem]]:
    problems: list[Problem] = []
    match = _HREF.fullmatch(href)
    arxiv_id = _ARXIV_ID.fullmatch(match[1]) if match else None
    if not arxiv_id:
        problems.append(page.warn(line, f"{page.quote(href)} has no arXiv id, so it is unknown"))
    below = [piece for piece in pieces if piece.place in ("p", "after")]
    abstract = _find_abstract(below)
    if abstract and len(abstract) > page.MAX_ABSTRACT:
        problems.append(page.warn(line, f"left out an abstract of {len(abstract):,} characters"))
        abstract = None
    byline = [piece for piece in below if not _is_abstract(piece)]
    entry = entry._replace(
        abstract=abstract,
        arxiv_id=arxiv_id[1] if arxiv_id else None,
        upvotes=_find_upvotes(pieces),
    )
    return _note_byline(entry, line, byline, problems), problems


def _is_abstract(piece: _Piece) -> bool:
    """Paragraphs below the title, and what else links to the paper, are its abstract, but for
    the byline's parts."""
    match = _HREF.fullmatch(piece.href)
    links = bool(match and not match[2])
    is_byline = (
        piece.text in ("·", "•", "-")
        or _NUMBER.fullmatch(piece.text)
        or page.AUTHORS.fullmatch(piece.text.lstrip("·• "))
        or page.DATE_AND_COMMENTS.fullmatch(piece.text.lstrip("· "))
    )
    return (piece.place == "p" or (links and len(piece.text) > 100)) and not is_byline


def _find_abstract(below: list[_Piece]) -> str | None:
    return " ".join(piece.text for piece in below if _is_abstract(piece)) or None


def _find_upvotes(pieces: list[_Piece]) -> int | None:
    """The number before the title, best in the link that asks to log in for a vote; "-" is none."""
    before = [piece for piece in pieces if piece.place == "before"]
    voting = [piece for piece in before if "/login?" in piece.href] or before
    for piece in reversed(voting):
        if piece.text == "-":
            return None
        if _NUMBER.fullmatch(piece.text):
            return int(piece.text.replace(",", ""))
    return None


def _note_byline(entry: Entry, line: Line, byline: list[_Piece], problems: list[Problem]) -> Entry:
    """Authors or an organization, "·", a date, comments; a byline without a number has none."""
    parts = list(islice((part for piece in byline for part in _split_dots(piece)), _MAX_PARTS))
    for part in parts:
        authors = page.AUTHORS.fullmatch(part.text.lstrip("• "))
        if authors and int(authors[1]) and entry.authors_count is None:
            entry = entry._replace(authors_count=int(authors[1]))
        date = page.DATE_AND_COMMENTS.fullmatch(part.text)
        if date and entry.published_printed is None:
            day = date[1] if parse_printed_date(date[1]) else None
            entry = entry._replace(published_printed=day, comments=_to_number(date[2]))
    if entry.authors_count is None:
        entry = _note_organization(entry, parts)
    if not (entry.authors_count or entry.organization or entry.published_printed):
        return _note_comments(entry, parts) if parts else entry
    if "·" in [part.text for part in parts] and not entry.published_printed:
        problems += _check_date(line, parts)
    entry = _note_comments(entry, parts)
    return entry if entry.comments is not None else entry._replace(comments=0)


def _split_dots(piece: _Piece) -> list[_Piece]:
    """The parts of a text around its dots, each dot a part of its own."""
    parts = re.split(r"(·)", piece.text)
    return [replace(piece, text=part.strip()) for part in parts if part.strip()]


def _to_number(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text else None


def _note_organization(entry: Entry, parts: list[_Piece]) -> Entry:
    """A link to its page, or, where links are lost, "slug Full Name" right before the dot."""
    for part in parts:
        owner = _OWNER.fullmatch(part.href)
        if owner and owner[1] not in _NO_OWNERS and not _NUMBER.fullmatch(part.text):
            return entry._replace(organization=owner[1], organization_name=part.text[:100])
    for part, after in pairwise(parts):
        match = _ORGANIZATION.fullmatch(part.text)
        if match and after.text == "·" and not part.href and "author" not in part.text:
            return entry._replace(organization=match[1], organization_name=match[2])
    return entry


def _check_date(line: Line, parts: list[_Piece]) -> list[Problem]:
    """What follows the last dot should be a date; daily pages print none, and a number there is
    one of comments."""
    *_, last = (index for index, part in enumerate(parts) if part.text == "·")
    for part in parts[last + 1 : last + 2]:
        if not _NUMBER.fullmatch(part.text) and not page.AUTHORS.fullmatch(part.text.lstrip("• ")):
            return [page.warn(line, f"{page.quote(part.text)} is no date, so it is unknown")]
    return []


def _note_comments(entry: Entry, parts: list[_Piece]) -> Entry:
    """The number that links to the paper's discussion, or else stands after the date."""
    linked = [part for part in parts if part.href.endswith("#community")]
    dates = [n for n, part in enumerate(parts) if page.DATE_AND_COMMENTS.fullmatch(part.text)]
    after = parts[dates[0] + 1 : dates[0] + 2] if dates else []
    for part in [*linked, *after]:
        if _NUMBER.fullmatch(part.text):
            return entry._replace(comments=_to_number(part.text))
    return entry
