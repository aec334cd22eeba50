"""Dense text: titles and abstracts in turn, no bylines, and usually no blank lines and no day.

The rules come from a browser's copy of a search page, whose first title may be glued to the
button above it ("SubscribeLanPaint: …"). Such a page says nothing of dates, authors or
comments, so those stay unknown.
"""

from statistics import median

from . import page
from .page import Page, Pair

FORMAT = "dense text"

_MEDIAN_ABSTRACT = 150
"""Characters; shorter "abstracts" on a page without the listing's own head are other text."""


def recognise(text: str) -> bool:
    """Any text may be it: whether it is shows when titles and abstracts pair up."""
    return bool(text)


def read(text: str) -> Page:
    """Read the page; without entries where most lines do not pair, so that it is other text."""
    heading, lines = page.take_heading(page.split_lines(text))
    pairs, alone = page.pair_texts(lines)
    if not _is_listing(text, pairs, len(alone)):
        return Page(None, (), ())
    entries = []
    problems = [page.lose_alone(line) for line in alone]
    for position, pair in enumerate(pairs, 1):
        entry, wrong = page.make_entry(pair, position)
        entries.append(entry)
        problems += wrong
    return Page(heading, tuple(entries), tuple(problems))


def _is_listing(text: str, pairs: list[Pair], alone: int) -> bool:
    if not pairs or alone > 2 * len(pairs):
        return False
    typical = median(len(pair.abstract.printed) for pair in pairs if pair.abstract)
    return typical >= _MEDIAN_ABSTRACT or page.has_boilerplate(text)
