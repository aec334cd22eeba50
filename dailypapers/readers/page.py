"""What the two plain-text shapes share: their lines, their boilerplate, titles and abstracts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..captures import MAX_LINES, CaptureError
from ..dates import parse_printed_date
from ..listing import Entry, Problem, Severity

MAX_TITLE = 1_000
"""Characters; the longest title in the captures seen has 178."""

MAX_ABSTRACT = 50_000
"""Characters; arXiv takes abstracts of at most 1,920."""

MAX_PROBLEM_TEXT = 300
"""Characters of the page that a problem keeps."""

MAX_QUOTED = 60
"""Characters of the page in a problem's message."""

MAX_CARDS = 200_000
"""Of a file; a hundred megabytes of cards as short as the sample's are 187,000."""

AUTHORS = re.compile(r"([0-9]{1,6}) authors?")
DATE_AND_COMMENTS = re.compile(
    r"([A-Za-z]{3,9}\.? [0-9]{1,2}(?:, [0-9]{4})?)(?: ([0-9][0-9,]{0,9}))?"
)
"""The parts of a byline: "5 authors", and "Sep 29, 2024 2" or "Jun 3", the last being comments."""

_LONG_AS_AN_ABSTRACT = 250
_LONG_AS_A_BUTTON = 100
"""Characters; boilerplate and dates are shorter, even indented."""

_BOILERPLATE = {
    "new",
    "get trending papers in your email inbox!",
    "get trending papers in your email inbox once a day!",
    "subscribe",
    "daily papers",
    "daily",
    "weekly",
    "monthly",
    "trending papers",
    "byak and the research community",
    "by ak and the research community",
}
# The button stands glued to the first title of the dense form: "SubscribeLanPaint: …".
_GLUED_BUTTON = re.compile(r"Subscribe(?=[^\sa-z])")


# What JSON and HTML can say, but neither UTF-8 nor every part of SQLite can hold.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Line(NamedTuple):
    """One line that is not blank. `number` counts from 1; `printed` is the line untouched."""

    number: int
    printed: str

    @property
    def text(self) -> str:
        """The line with its white space collapsed."""
        return " ".join(self.printed.split())


@dataclass(frozen=True)
class Page:
    """What a reader found: entries and problems in the order of the page.

    `heading` is the page's day as printed ("Dec 30"). Where the page states them: the `query` it
    answers, the ISO date `captured_on` of its capture, which tells the year of year-less dates,
    and the ISO date `listed_on` that it lists.
    """

    heading: str | None
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    query: str | None = None
    captured_on: str | None = None
    listed_on: str | None = None


def mend_text(text: str) -> str:
    """The text with "\ufffd" in place of what cannot be stored: null characters and halves of
    surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", text)


def refuse_cards(count: int) -> None:
    """Raises CaptureError where a file has more cards than a listing."""
    if count > MAX_CARDS:
        raise CaptureError(
            f"more than {MAX_CARDS:,} cards are too many for a listing page; split the file"
        )


def split_text(text: str) -> list[str]:
    """The text's lines. Raises CaptureError where they are more than a listing has."""
    count = text.count("\n") + 1
    if count > MAX_LINES:
        raise CaptureError(
            f"{count:,} lines are too many for a listing page (at most {MAX_LINES:,}); "
            "split it, or name the page you saved"
        )
    return text.split("\n")


def split_lines(text: str) -> list[Line]:
    """The lines that hold a card's words: no blank ones, no boilerplate, no glued button."""
    return [line for line in _unglue_button(_number_lines(text)) if not _is_boilerplate(line)]


def take_heading(lines: list[Line]) -> tuple[str | None, list[Line]]:
    """The page's day, if it stands above the first card, and the lines below it."""
    if lines and is_date(lines[0]):
        return lines[0].text, lines[1:]
    return None, lines


def _number_lines(text: str) -> Iterator[Line]:
    for number, printed in enumerate(split_text(text), 1):
        if printed and not printed.isspace():
            yield Line(number, printed)


def _unglue_button(lines: Iterable[Line]) -> Iterator[Line]:
    """Only up to the first title: further down, "Subscribe…" would be a title's own word."""
    above_first_title = True
    for line in lines:
        if above_first_title and not _is_boilerplate(line):
            above_first_title = False
            yield Line(line.number, _GLUED_BUTTON.sub("", line.printed, count=1))
        else:
            yield line


def has_boilerplate(text: str) -> bool:
    """Whether the page's own head stands at the top ("Get trending papers …", "Subscribe")."""
    top = [Line(0, printed) for printed in text[:2_000].split("\n")]
    return any(_is_boilerplate(line) or _GLUED_BUTTON.match(line.printed) for line in top)


def _is_boilerplate(line: Line) -> bool:
    return len(line.printed) < _LONG_AS_A_BUTTON and line.text.lower() in _BOILERPLATE


def is_date(line: Line) -> bool:
    """Whether a day stands there alone."""
    return len(line.printed) < _LONG_AS_A_BUTTON and parse_printed_date(line.text) is not None


def is_long(line: Line) -> bool:
    """Whether a line is longer than titles are: of 1,138 real ones the longest has 178
    characters, the shortest abstract 377."""
    return len(line.printed.strip()) >= _LONG_AS_AN_ABSTRACT


def looks_like_abstract(line: Line) -> bool:
    """Whether a line reads as an abstract: long, or ending in a full stop, as no title did."""
    return is_long(line) or line.printed.rstrip().endswith((".", ".)", '."', ".”"))


class Pair(NamedTuple):
    """A title with its abstract, or with None where the page has no abstract for it."""

    title: Line
    abstract: Line | None


def pair_texts(lines: Sequence[Line]) -> tuple[list[Pair], list[Line]]:
    """Titles with their abstracts, and the lines that found no partner, each in page order.

    Titles and abstracts alternate. Where one is missing, the alternation picks up again at
    the next title that an abstract follows, so that one gap costs one card and not all below.
    Raises CaptureError where they are more than a listing has.
    """
    pairs: list[Pair] = []
    alone: list[Line] = []
    index = 0
    while index < len(lines):
        following = lines[index + 1] if index + 1 < len(lines) else None
        if following and belongs(lines[index], following):
            pairs.append(Pair(lines[index], following))
            index += 2
        else:
            alone.append(lines[index])
            index += 1
    refuse_cards(len(pairs) + len(alone))
    return pairs, alone


def belongs(title: Line, abstract: Line) -> bool:
    """A title that ends in a full stop is told from a short abstract by what follows it."""
    if looks_like_abstract(title):
        return is_long(abstract) and not is_long(title)
    return looks_like_abstract(abstract)


def make_entry(pair: Pair, position: int) -> tuple[Entry, list[Problem]]:
    """The pair as an entry without a byline, and what is wrong with its parts."""
    title, abstract = pair.title, pair.abstract
    problems = []
    if abstract is None:
        problems.append(warn(title, "the card has no abstract; save the page again to have it"))
    elif len(abstract.printed) > MAX_ABSTRACT:
        problems.append(
            warn(abstract, f"left out an abstract of {len(abstract.printed):,} characters")
        )
        abstract = None
    printed = abstract.printed if abstract else None
    return Entry(position, title.number, title.text, printed), problems


def lose_alone(line: Line) -> Problem:
    """The problem of a line that is neither a card's title nor its abstract."""
    if looks_like_abstract(line):
        return lose(line, "an abstract without a title")
    return lose(line, "a title without an abstract")


def lose(line: Line, reason: str) -> Problem:
    """A problem that costs its card; `reason` says what stands there instead of a card."""
    message = f"not a card: {reason}; check the page as saved"
    return Problem(line.number, Severity.ERROR, message, line.text[:MAX_PROBLEM_TEXT])


def quote(text: str) -> str:
    """What was printed, in a problem's message, which is a line."""
    return f"“{text[:MAX_QUOTED]}{'…' * (len(text) > MAX_QUOTED)}”"


def warn(line: Line, message: str) -> Problem:
    """A problem that costs a fact of its card."""
    return Problem(line.number, Severity.WARNING, message, line.text[:MAX_PROBLEM_TEXT])
