"""Cards with bylines: a page's text as a browser copies it, with blank lines between parts.

A card is a title, an abstract and a byline:

      • 5 authors            or  nvidia NVIDIA    (an organization: its slug, then its name)
    ·
    Sep 29, 2024 2           or  Jun 3 2 (year-less), the last number being the comments

The rules come from captures of the daily page. A card may have no byline and run straight
into the next title. Above the first card stands the page's day without a year ("Dec 30").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..dates import parse_printed_date
from ..listing import Entry, Problem
from . import page
from .page import Line, Page, Pair

FORMAT = "cards"

_BYLINE = re.compile(r"^[^\S\n]*(?:·|•[^\S\n]*\d+[^\S\n]+authors?\b)", re.MULTILINE)
_ORGANIZATION = re.compile(r"([A-Za-z0-9][\w.-]*)(?: (.{1,100}))?")


class Byline(NamedTuple):
    """The facts under an abstract. Without a comment number it says that there are none."""

    line: Line
    authors_count: int | None = None
    organization: str | None = None
    organization_name: str | None = None
    published_printed: str | None = None
    comments: int | None = None
    problems: tuple[Problem, ...] = ()


@dataclass
class _Deck:
    """The cards read so far."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: int = 0

    def lose(self, problem: Problem) -> None:
        """A card that is none."""
        self.problems.append(problem)
        self.lost += 1
        page.refuse_cards(len(self.entries) + self.lost)

    def note_second_page(self, line: Line) -> None:
        """A day that stands below cards."""
        message = "a second page begins here; save each page in a file of its own"
        self.problems.append(page.warn(line, message))
        page.refuse_cards(len(self.problems))

    def add(self, pair: Pair, byline: Byline | None = None) -> None:
        entry, problems = page.make_entry(pair, len(self.entries) + 1)
        if byline:
            entry = entry._replace(
                authors_count=byline.authors_count,
                organization=byline.organization,
                organization_name=byline.organization_name,
                published_printed=byline.published_printed,
                comments=byline.comments,
            )
            problems += byline.problems
        self.entries.append(entry)
        self.problems += problems
        page.refuse_cards(len(self.entries) + self.lost)


def recognise(text: str) -> bool:
    """A page has bylines where a line begins with "·" or with "• 5 authors"."""
    return bool(_BYLINE.search(text))


def read(text: str) -> Page:
    """Read the page; every card is an entry, or a problem with its line."""
    heading, lines = page.take_heading(page.split_lines(text))
    deck = _Deck()
    texts: list[Line] = []
    index = 0
    while index < len(lines):
        if _starts_byline(lines[index]):
            byline, index = _read_byline(lines, index, _pop_organization(texts, lines[index]))
            _lay_cards(deck, texts, byline)
            texts = []
        elif page.is_date(lines[index]):
            deck.note_second_page(lines[index])
            index += 1
        else:
            texts.append(lines[index])
            index += 1
    _lay_plain_cards(deck, texts)
    return Page(heading, tuple(deck.entries), tuple(deck.problems))


def _starts_byline(line: Line) -> bool:
    return line.printed.lstrip()[:1] in ("•", "·")


def _pop_organization(texts: list[Line], line: Line) -> Line | None:
    """The line right above a "·" that no "• 5 authors" precedes names the organization."""
    if not line.text.startswith("·") or not texts:
        return None
    above = texts[-1]
    stands_close = above.number == line.number - 1 and not page.looks_like_abstract(above)
    return texts.pop() if stands_close and _ORGANIZATION.fullmatch(above.text) else None


def _read_byline(
    lines: Sequence[Line], index: int, organization: Line | None
) -> tuple[Byline, int]:
    """The byline that begins at `index`, and the index of the line after it."""
    byline = Byline(organization or lines[index])
    if organization:
        slug, _, name = organization.text.partition(" ")
        byline = byline._replace(organization=slug, organization_name=name or slug)
    text = lines[index].text
    if text.startswith("•"):
        authors, dot, after_dot = text[1:].partition("·")
        byline = _note_authors(byline, lines[index], authors.strip())
        index += 1
        if not dot and index < len(lines) and lines[index].text.startswith("·"):
            after_dot = lines[index].text[1:]
            index += 1
    else:
        after_dot = text[1:]
        index += 1
    return _read_date(byline, lines, index, after_dot.strip())


def _note_authors(byline: Byline, line: Line, authors: str) -> Byline:
    match = page.AUTHORS.fullmatch(authors)
    if match and int(match[1]):
        return byline._replace(authors_count=int(match[1]))
    return _note_problem(
        byline, line, f"{page.quote(authors)} is no number of authors, so it is unknown"
    )


def _read_date(
    byline: Byline, lines: Sequence[Line], index: int, after_dot: str
) -> tuple[Byline, int]:
    """The date stands after the dot, or on the line below it, whatever that line says; further
    down, only a line that is a date belongs to the byline."""
    last = lines[index - 1]
    if after_dot:
        return _note_date(byline, last, after_dot), index
    following = lines[index] if index < len(lines) else None
    if following:
        is_below = last.text == "·" and following.number == last.number + 1
        match = page.DATE_AND_COMMENTS.fullmatch(following.text)
        if is_below or (match and parse_printed_date(match[1])):
            return _note_date(byline, following, following.text), index + 1
    return _note_problem(byline, last, "the byline has no date"), index


def _note_date(byline: Byline, line: Line, text: str) -> Byline:
    match = page.DATE_AND_COMMENTS.fullmatch(text)
    if not match:
        return _note_problem(byline, line, f"{page.quote(text)} is no date, so it is unknown")
    comments = int(match[2].replace(",", "")) if match[2] else 0
    byline = byline._replace(published_printed=match[1], comments=comments)
    if parse_printed_date(match[1]) is None:
        return _note_problem(
            byline, line, f"there is no day {page.quote(match[1])}, so it is unknown"
        )
    return byline


def _note_problem(byline: Byline, line: Line, message: str) -> Byline:
    problem = page.warn(line, f"{message}; check the page as saved")
    return byline._replace(problems=(*byline.problems, problem))


def _lay_cards(deck: _Deck, texts: Sequence[Line], byline: Byline) -> None:
    """Lay the cards whose texts stand above a byline; the last of them is the byline's own."""
    own = _find_own_texts(texts)
    used = (1 if own.abstract is None else 2) if own else 0
    _lay_plain_cards(deck, texts[: len(texts) - used])
    if own:
        deck.add(own, byline)
    else:
        deck.problems += byline.problems
    if not texts:
        deck.lose(page.lose(byline.line, "a byline without a title"))


def _find_own_texts(texts: Sequence[Line]) -> Pair | None:
    """The title and the abstract right above a byline, as far as they are there."""
    if len(texts) == 2 and not page.is_long(texts[0]):
        return Pair(texts[0], texts[1])  # the rule, however short the abstract
    if texts and not page.looks_like_abstract(texts[-1]):
        return Pair(texts[-1], None)
    if len(texts) > 1 and page.belongs(texts[-2], texts[-1]):
        return Pair(texts[-2], texts[-1])
    return None


def _lay_plain_cards(deck: _Deck, texts: Sequence[Line]) -> None:
    """Cards without a byline, as on dense pages."""
    pairs, alone = page.pair_texts(texts)
    for pair in pairs:
        deck.add(pair)
    for line in alone:
        deck.lose(page.lose_alone(line))
