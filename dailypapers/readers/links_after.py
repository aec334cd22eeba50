"""Links after their text: each text stands on a line of its own, its address on the next.

A card, with blank lines between all of them:

     [-] 19                                                      upvotes, "-" for none
    https://huggingface.co/login?next=%2Fpapers%2F2409.02326
    Title
    https://huggingface.co/papers/2409.02326
    Abstract
    https://huggingface.co/papers/2409.02326
    [
    3 authors](https://huggingface.co/papers/2409.02326)         or   Organization Name
    ·                                                                 https://huggingface.co/slug
    Sep 3, 2024
    2
    https://huggingface.co/papers/2409.02326#community           or no comments: neither line

The rules come from a capture of a search page, whose menu and footer have the same form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from . import page, parts
from .page import Line, Page
from .parts import Finder, Kind, Part

FORMAT = "links after text"

_PAPER_ADDRESS = re.compile(
    r"^[^\S\n]*https?://(?:www\.)?huggingface\.co/"
    r"(?:papers/|login\?next=%2Fpapers%2F)[a-z0-9./%-]+[^\S\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
_MARKED_TITLE = re.compile(r"^ {0,3}#{1,4} \[", re.MULTILINE)
_UPVOTES = re.compile(r"\[[-x ]?\] (\S{1,20})")


@dataclass
class _Finder(Finder):
    """With the texts whose address has not come yet, and the paper whose title has."""

    texts: list[Line] = field(default_factory=list)
    titled: str | None = None

    def add(self, kind: Kind, line: Line, text: str, address: str | None = None) -> None:
        self.parts.append(Part(kind, line.number, text, address))
        self.texts = []
        self.organization = None
        self.awaits_date = False
        if kind in (Kind.UPVOTES, Kind.DATE):
            self.titled = None


def recognise(text: str) -> bool:
    """A paper's address alone on a line; never under headings that are links themselves."""
    if text.lstrip("\ufeff \t\n")[:1] in ("<", "{"):
        return False
    return bool(_PAPER_ADDRESS.search(text)) and not _MARKED_TITLE.search(text)


def read(text: str) -> Page:
    """Read the page; every card is an entry, or a problem with its line."""
    lines = parts.number_lines(text)
    printed = [line for line in lines if line.printed.strip()]
    finder = _Finder()
    for line, following in zip_longest(printed, printed[1:]):
        _take_line(finder, line, following)
    return parts.make_page(lines, finder.parts, ())


def _take_line(finder: _Finder, line: Line, following: Line | None) -> None:
    printed = line.printed.strip()
    upvotes = _UPVOTES.fullmatch(printed)
    if upvotes:
        finder.add(Kind.UPVOTES, line, upvotes[1])
    elif _is_address(line):
        _take_address(finder, printed)
    elif printed == "·":
        finder.take_dot()
        finder.texts = []
    elif finder.awaits_date and not (following and _is_address(following)):
        finder.add(Kind.DATE, line, line.text)
    elif printed != "[" and not _take_authors(finder, line, printed):
        finder.texts.append(line)


def _is_address(line: Line) -> bool:
    """Whether a line is an address on the site; others are an abstract's own words."""
    printed = line.printed.strip()
    is_one = printed.startswith(("https://", "http://")) and " " not in printed
    return is_one and parts.split_address(printed) is not None


def _take_authors(finder: _Finder, line: Line, printed: str) -> bool:
    """The one part that keeps its bracket: "3 authors](https://…)"."""
    text, bracket, address = printed.rpartition("](")
    paper = parts.find_arxiv_id(address[:-1]) if address.endswith(")") else None
    if not bracket or not paper:
        return False
    if finder.texts:  # their own address is lost
        _take_paper_text(finder, finder.texts, address[:-1], paper)
    finder.add(Kind.AUTHORS, line, " ".join(text.removeprefix("[").split()), address[:-1])
    return True


def _take_address(finder: _Finder, address: str) -> None:
    texts, finder.texts = finder.texts, []
    finder.awaits_date = False
    paper = parts.find_arxiv_id(address)
    if paper and texts:
        _take_paper_text(finder, texts, address, paper)
    elif texts and parts.find_slug(address):
        line = texts[-1]
        finder.organization = Part(Kind.ORGANIZATION, line.number, line.text, address)


def _take_paper_text(finder: _Finder, texts: Sequence[Line], address: str, paper: str) -> None:
    """A paper's first text is its title, its second the abstract."""
    last = texts[-1]
    if "/login?" in address:
        finder.add(Kind.UPVOTES, last, last.text, address)
    elif address.endswith("#community"):
        finder.add(Kind.COMMENTS, last, last.text, address)
    elif parts.is_authors(last.text):
        finder.add(Kind.AUTHORS, last, last.text, address)
    elif finder.titled != paper and len(texts) > 1 and page.belongs(texts[-2], last):
        finder.add(Kind.TITLE, texts[-2], texts[-2].text, address)  # its own address is lost
        finder.add(Kind.ABSTRACT, last, last.text, address)
    elif finder.titled == paper or page.is_long(last):
        joined = " ".join(text.text for text in texts)
        finder.add(Kind.ABSTRACT, texts[0], joined, address)
    else:
        finder.add(Kind.TITLE, last, last.text, address)
        finder.titled = paper
