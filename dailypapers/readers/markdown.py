r"""Markdown as scrapers write it, perhaps with front matter that states address and day.

A card, each part a link on lines of its own with blank lines between:

    [101](https://huggingface.co/login?next=%2Fpapers%2F2606.00683)         upvotes, "-" for none
    ### [Title](https://huggingface.co/papers/2606.00683)
    [Abstract](https://huggingface.co/papers/2606.00683)
    [![slug](https://….png)Name](https://huggingface.co/slug)   or   [- ![](https://….svg)\\
                                                                     - 9 authors](https://…)
    ·
    May 29[6](https://huggingface.co/papers/2606.00683#community)           or no comments: May 29

The rules come from captures of search pages. Abstracts may span lines that end in backslashes,
titles hold such breaks too, and Markdown's own marks are escaped. No link spans a blank line.
A Markdown parser would not give the lines of titles, and reads brackets left bare otherwise.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import parts
from .page import Line, Page
from .parts import Finder, Kind, Part

FORMAT = "markdown"

_TITLE = re.compile(
    r"^ {0,3}#{1,4} \[[^\n]*\]\((?:https?://(?:www\.)?huggingface\.co)?/papers/", re.MULTILINE
)
_TITLE_BEGINS = re.compile(r" {0,3}#{1,4} \[")
_LINE_END = re.compile(r"\\{1,2}\Z")
_BREAK = re.compile(r"\\{1,2}(?=  )")
# Only what converters escape: \% and \" are LaTeX where a scraper left backslashes alone.
_ESCAPED = re.compile(r"\\([\\`*_\[\]#+.!|<>~-])")
_LOGO = re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*\)")
_OTHER_PAGES = ("/papers/trending", "/papers/date/", "/papers/week/", "/papers/month/")


@dataclass(frozen=True)
class _Link:
    """A link that stands by itself: its lines without the outer brackets, and its address."""

    line: int
    inner: tuple[str, ...]
    address: str | None
    is_title: bool = False


def recognise(text: str) -> bool:
    """A heading that links to a paper; never in HTML or JSON, which may quote one."""
    if "/papers/" not in text or text.lstrip("\ufeff \t\n")[:1] in ("<", "{"):
        return False
    return bool(_TITLE.search(text))


def read(text: str) -> Page:
    """Read the page; every card is an entry, or a problem with its line."""
    lines = parts.number_lines(text)
    finder = Finder()
    for line in lines:
        _take_line(finder, line)
    _drop_open(finder)
    return parts.make_page(lines, finder.parts, finder.problems)


def _take_line(finder: Finder, line: Line) -> None:
    printed = line.printed.strip()
    begins_title = bool(_TITLE_BEGINS.match(line.printed))
    if finder.open_lines and (not printed or begins_title):
        _drop_open(finder)
    if finder.open_lines or begins_title or printed.startswith("["):
        finder.open_lines.append(line)
        address = _find_end(printed)
        if address is not None:
            _take_link(finder, _make_link(finder.open_lines, address))
            finder.open_lines = []
    elif printed.startswith("·"):
        _take_dot(finder, line)
    elif printed and finder.awaits_date:
        _take_date(finder, line, printed)


def _find_end(printed: str) -> str | None:
    """The address where a line ends a link to the site; an image in a link does not end it."""
    label, _, end = printed.rpartition("](")
    if not label or not end.endswith(")"):
        return None
    address = end[:-1].partition(" ")[0]
    opening = label.rfind("[")
    is_image = label[max(opening - 1, 0) : opening] == "!" and "]" not in label[opening:]
    return address if parts.split_address(address) and not is_image else None


def _make_link(lines: Sequence[Line], address: str | None) -> _Link:
    printed = [line.printed.strip() for line in lines]
    if address is not None:
        printed[-1] = printed[-1].rpartition("](")[0]
    is_title = printed[0].startswith("#")
    printed[0] = printed[0].partition("[")[2]
    broken = [_LINE_END.sub("", text) for text in printed[:-1]]
    return _Link(lines[0].number, (*broken, printed[-1]), address, is_title)


def _drop_open(finder: Finder) -> None:
    """A link without an end costs its part, but a title is one even so."""
    lines, finder.open_lines = finder.open_lines, []
    if not lines:
        return
    if _TITLE_BEGINS.match(lines[0].printed):
        _take_link(finder, _make_link(lines[:1], None))
    else:
        finder.note_unclosed(lines[0])


def _take_link(finder: Finder, link: _Link) -> None:
    finder.organization = None
    finder.awaits_date = False
    part = _classify(link)
    if part is None:
        return
    if part.kind is Kind.ORGANIZATION:
        finder.organization = part  # until a "·" confirms it
    else:
        finder.parts.append(part)


def _classify(link: _Link) -> Part | None:
    address = link.address or ""
    _, path, query = parts.split_address(address) or ("", "", "")
    text = _read_text(link.inner)
    if link.is_title:
        leads_elsewhere = address and not path.startswith("/papers/")
        leads_elsewhere = leads_elsewhere or path.startswith(_OTHER_PAGES)
        return None if leads_elsewhere else Part(Kind.TITLE, link.line, text, link.address)
    if path == "/login":
        is_paper = "papers%2f" in query.lower() or "papers/" in query
        return Part(Kind.UPVOTES, link.line, text, address) if is_paper else None
    if parts.find_arxiv_id(address):
        if address.endswith("#community"):
            return Part(Kind.COMMENTS, link.line, text, address)
        authors = _find_authors(link.inner)
        if authors:
            return Part(Kind.AUTHORS, link.line + len(link.inner) - 1, authors, address)
        return Part(Kind.ABSTRACT, link.line, text, address)
    if parts.find_slug(address):
        name = _read_text(tuple(_LOGO.sub("", line) for line in link.inner))
        return Part(Kind.ORGANIZATION, link.line, name, address)
    return None


def _find_authors(inner: Sequence[str]) -> str | None:
    """The last item of a list of pictures, or "5 authors" by itself."""
    last = inner[-1].strip()
    if last.startswith(("- ", "* ")) and all(
        line.lstrip().startswith(("- ", "* ")) for line in inner
    ):
        return _read_text([last[2:]])
    return last if len(inner) == 1 and parts.is_authors(last) else None


def _take_dot(finder: Finder, line: Line) -> None:
    finder.take_dot()
    after_dot = line.printed.strip()[1:].strip()
    if after_dot and finder.parts:
        _take_date(finder, line, after_dot)


def _take_date(finder: Finder, line: Line, printed: str) -> None:
    """A date, and the comments as a link right after it."""
    finder.awaits_date = False
    date, bracket, comments = printed.partition("[")
    finder.parts.append(Part(Kind.DATE, line.number, " ".join(date.split())))
    if bracket:
        number, _, address = comments.rpartition("](")
        text = " ".join(number.split())
        finder.parts.append(Part(Kind.COMMENTS, line.number, text, address.rstrip(") ")))


def _read_text(lines: Sequence[str]) -> str:
    """The words of a link's lines as the page showed them."""
    joined = " ".join(_BREAK.sub("", line) for line in lines)
    return _ESCAPED.sub(r"\1", " ".join(joined.split()))
