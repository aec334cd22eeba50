"""A few words of an abstract around what was searched for, as HTML with the hits marked."""

import html
import re
from collections.abc import Collection

from markupsafe import Markup

from .ranking import stem_text

WORDS = 34
"""Words in a snippet."""

_WORD = re.compile(r"[^\W_]+")
_MARK = re.compile(r"(</?mark>)")


def make_snippet(text: str, stems: Collection[str]) -> str:
    """The part of the text that holds most different stems, escaped, hits between <mark>s."""
    spans = [match.span() for match in _WORD.finditer(text)]
    hits = [_find_stem(text[start:end], stems) for start, end in spans]
    first = _choose_start(hits)
    last = min(first + WORDS, len(spans))
    shown = zip(spans[first:last], hits[first:last], strict=True)
    begin = spans[first][0] if first else 0
    pieces = ["… " if first else ""]
    for (start, end), hit in shown:
        pieces.append(html.escape(text[begin:start]))
        word = html.escape(text[start:end])
        pieces.append(f"<mark>{word}</mark>" if hit else word)
        begin = end
    rest = text[begin:] if last == len(spans) else " …"
    return "".join([*pieces, html.escape(rest)])


def _find_stem(word: str, stems: Collection[str]) -> str | None:
    found = stem_text(word) if stems else ()
    return found[0] if found and found[0] in stems else None


def _choose_start(hits: list[str | None]) -> int:
    """Where a window of WORDS words holds most different hits; the first of equals."""
    best, start = 0, 0
    for index in range(max(1, len(hits) - WORDS + 1)):
        if index and not hits[index]:
            continue  # a window may as well begin at its first hit
        different = len({hit for hit in hits[index : index + WORDS] if hit})
        if different > best:
            best, start = different, index
    return max(0, min(start - 3, len(hits) - WORDS)) if start else 0


def mark_safely(snippet: str) -> Markup:
    """The snippet for a page, whoever made it: only <mark> and </mark> remain as markup."""
    pieces = (
        Markup(piece) if piece in ("<mark>", "</mark>") else Markup.escape(html.unescape(piece))
        for piece in _MARK.split(snippet)
    )
    return Markup("").join(pieces)
