"""What the three marked shapes of text share: cards made of the parts that their readers find.

Markdown, numbered links and links after text mark each part of a card in a way of their own, yet
print the parts in the page's order: upvotes, title, abstract, authors or organization, date,
comments. So a reader only finds parts; a part that cannot follow the last one begins a card.
"""

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import parse_qs, unquote, urlsplit

from ..dates import parse_printed_date
from ..listing import Entry, Problem
from . import page
from .page import Line, Page, Pair

_MAX_HEADER_VALUE = 2_000
_MAX_ADDRESS = 2_000
_ARXIV_ID = re.compile(
    r"/papers/([0-9]{4}\.[0-9]{4,5}|[a-z-]+(?:\.[A-Z]{2})?/[0-9]{7})(?:v[0-9]+)?(?![^#?&])"
)
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_NUMBER = re.compile(r"[0-9]{1,9}|[0-9]{1,3}(?:,[0-9]{3}){1,2}")
_CAPTURE_DAYS = {"retrieved", "captured", "captured (utc)", "fetched", "accessed"}
_HOSTS = {"huggingface.co", "www.huggingface.co"}


class Kind(IntEnum):
    """The parts of a card, in the order in which pages print them."""

    UPVOTES = 0
    TITLE = 1
    ABSTRACT = 2
    AUTHORS = 3
    ORGANIZATION = 4
    DATE = 5
    COMMENTS = 6


@dataclass(frozen=True)
class Part:
    """One part of a card: its words with white space collapsed, the line where they begin, and
    the address that they link to. `slug` is an organization's, where the text itself has it."""

    kind: Kind
    line: int
    text: str
    address: str | None = None
    slug: str | None = None

    @property
    def arxiv_id(self) -> str | None:
        """The paper that the address leads to."""
        return find_arxiv_id(self.address or "")


@dataclass
class Finder:
    """The parts found so far, and what the next line may belong to: a link whose end has not
    come yet, an organization that a "·" must confirm, a date after that."""

    parts: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    open_lines: list[Line] = field(default_factory=list)
    organization: Part | None = None
    awaits_date: bool = False

    def take_dot(self) -> None:
        """A "·": what stood above is an organization, what follows a date. Above the first card
        it is none of a byline."""
        if self.organization and self.parts:
            self.parts.append(self.organization)
        self.organization = None
        self.awaits_date = bool(self.parts)

    def note_unclosed(self, line: Line) -> None:
        """A link without an end costs its part; above the first card it is none."""
        if self.parts:
            self.problems.append(_warn(line, "a link that begins here has no end; it is left out"))
            page.refuse_cards(len(self.problems))


def find_arxiv_id(address: str) -> str | None:
    """The paper of an address as /papers/2409.02326 or /login?next=%2Fpapers%2F2409.02326."""
    match = _ARXIV_ID.search(unquote(address[:_MAX_ADDRESS]))
    return match[1] if match else None


def find_slug(address: str) -> str | None:
    """The organization of an address as https://huggingface.co/nvidia."""
    url = split_address(address)
    slug = url[1].strip("/") if url and not url[2] else ""
    return slug if _SLUG.fullmatch(slug) else None


def split_address(address: str) -> tuple[str, str, str] | None:
    """Host, path and query of an address on the site; a bare path is the site's own."""
    try:
        url = urlsplit(address)
    except ValueError:  # as of "http://["
        return None
    is_own = url.netloc.lower() in _HOSTS or (not url.netloc and address.startswith("/"))
    return (url.netloc, url.path, url.query) if is_own else None


def is_authors(text: str) -> bool:
    """Whether a text is "5 authors" as bylines print it."""
    return bool(page.AUTHORS.fullmatch(text))


def number_lines(text: str) -> list[Line]:
    """All lines, blank ones too, counted from 1."""
    return [Line(number, printed) for number, printed in enumerate(page.split_text(text), 1)]


def make_page(lines: Sequence[Line], parts: Sequence[Part], problems: Iterable[Problem]) -> Page:
    """The page of the parts that a reader found, with what stands above the first of them."""
    if not parts:
        return Page(None, (), ())
    head = [line for line in lines[: parts[0].line - 1] if len(line.printed) < _MAX_HEADER_VALUE]
    days = [line.text for line in head if parse_printed_date(line.text)]
    captured_on, wrong = _find_capture_day(head)
    entries, lost = _lay_cards(parts)
    found = sorted([*problems, *wrong, *lost], key=lambda problem: problem.line or 0)
    heading = days[-1] if days else None
    return Page(heading, tuple(entries), tuple(found), _find_query(head), captured_on)


def _read_header(head: Iterable[Line]) -> Iterator[tuple[Line, str, str]]:
    """Lines as `url: https://…` in front matter and `- Captured (UTC): 2026-06-29T…` in headers."""
    for line in head:
        key, colon, value = line.text.partition(":")
        if colon and value:
            yield line, key.strip(" -*#>").lower(), value.strip(" \"'*<>")


def _find_query(head: Iterable[Line]) -> str | None:
    """What the page was asked: the q of its own address."""
    for _, key, value in _read_header(head):
        url = split_address(value) if key in ("url", "source") else None
        if url and url[0]:
            asked = page.mend_text("".join(parse_qs(url[2]).get("q", [])[:1]))
            return " ".join(asked.split()) or None
    return None


def _find_capture_day(head: Iterable[Line]) -> tuple[str | None, list[Problem]]:
    for line, key, value in _read_header(head):
        if key in _CAPTURE_DAYS:
            try:
                return datetime.date.fromisoformat(value[:10]).isoformat(), []
            except ValueError:
                return None, [_warn(line, f"{page.quote(value)} is no day of a capture")]
    return None, []


def _split_cards(parts: Iterable[Part]) -> Iterator[dict[Kind, Part]]:
    card: dict[Kind, Part] = {}
    paper = None
    for part in parts:
        differs = paper and part.arxiv_id and part.arxiv_id != paper
        if card and (differs or part.kind <= max(card)):
            yield card
            card, paper = {}, None
        card[part.kind] = part
        paper = paper or part.arxiv_id
    if card:
        yield card


def _lay_cards(parts: Iterable[Part]) -> tuple[list[Entry], list[Problem]]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for position, card in enumerate(_split_cards(parts), 1):
        page.refuse_cards(position)
        title = card.get(Kind.TITLE)
        if title and 0 < len(title.text) <= page.MAX_TITLE:
            entries.append(_make_entry(card, len(entries) + 1, problems))
        else:
            first = title or card[min(card)]
            size = f"a title of {len(first.text):,} characters" if title and title.text else ""
            problems.append(page.lose(_line(first), size or "a card without a title"))
    return entries, problems


def _make_entry(card: dict[Kind, Part], position: int, problems: list[Problem]) -> Entry:
    title, abstract = card[Kind.TITLE], card.get(Kind.ABSTRACT)
    pair = Pair(_line(title), _line(abstract) if abstract and abstract.text else None)
    entry, wrong = page.make_entry(pair, position)
    problems += wrong
    slug, name = _read_organization(card.get(Kind.ORGANIZATION), problems)
    return entry._replace(
        arxiv_id=_read_arxiv_id(card, problems),
        upvotes=_read_number(card.get(Kind.UPVOTES), "upvotes", problems),
        authors_count=_read_authors(card.get(Kind.AUTHORS), problems),
        organization=slug,
        organization_name=name,
        published_printed=_read_date(card, problems),
        comments=_read_comments(card, problems),
    )


def _read_arxiv_id(card: dict[Kind, Part], problems: list[Problem]) -> str | None:
    """The title's; where that is lost, any other part's, as all link to the same paper."""
    found = [part.arxiv_id for part in (card[Kind.TITLE], *card.values()) if part.arxiv_id]
    address = card[Kind.TITLE].address
    if not found and address:
        problems.append(
            _warn(_line(card[Kind.TITLE]), f"{page.quote(address)} leads to no arXiv paper")
        )
    return found[0] if found else None


def _read_number(part: Part | None, what: str, problems: list[Problem]) -> int | None:
    """A count, or None where "-" says that there is none to show."""
    if part is None or part.text == "-":
        return None
    if _NUMBER.fullmatch(part.text):
        return int(part.text.replace(",", ""))
    problems.append(_warn_unknown(part, f"no number of {what}"))
    return None


def _read_authors(part: Part | None, problems: list[Problem]) -> int | None:
    match = page.AUTHORS.fullmatch(part.text) if part else None
    if part and not (match and int(match[1])):
        problems.append(_warn_unknown(part, "no number of authors"))
    return (int(match[1]) or None) if match else None


def _read_organization(part: Part | None, problems: list[Problem]) -> tuple[str | None, str | None]:
    """Slug and name. A name alone is no organization: slugs tell them apart."""
    if part is None:
        return None, None
    slug = find_slug(part.address or "") or part.slug
    if slug is None or not _SLUG.fullmatch(slug):
        problems.append(_warn_unknown(part, "an organization whose address is not there"))
        return None, None
    return slug, part.text[:100] or slug


def _read_date(card: dict[Kind, Part], problems: list[Problem]) -> str | None:
    date = card.get(Kind.DATE)
    if date and parse_printed_date(date.text):
        return date.text
    byline = card.get(Kind.AUTHORS) or card.get(Kind.ORGANIZATION)
    if date:
        problems.append(_warn_unknown(date, "no date"))
    elif byline:
        problems.append(_warn(_line(byline), "the byline has no date"))
    return None


def _read_comments(card: dict[Kind, Part], problems: list[Problem]) -> int | None:
    """A byline without a number says that there are none."""
    if Kind.COMMENTS in card:
        return _read_number(card[Kind.COMMENTS], "comments", problems)
    return 0 if Kind.DATE in card else None


def _line(part: Part) -> Line:
    return Line(part.line, part.text)


def _warn_unknown(part: Part, what: str) -> Problem:
    return _warn(_line(part), f"{page.quote(part.text)} is {what}, so it is unknown")


def _warn(line: Line, message: str) -> Problem:
    return page.warn(line, f"{message}; check the page as saved")
