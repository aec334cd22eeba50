"""Text with numbered links: a text browser's dump, whose link targets stand at its end or are lost.

A card, hard-wrapped anywhere, its upvotes before the title they belong to:

    [
    65
    ][35]

    ### [Title][36]

    [

    The abstract …

    ][37]
    [
    * 3 authors
    ][38]                 or   [[slug] Organization Name][38]
    ·
    Mar 8, 2024 [ 6][39]  or without comments: Mar 8, 2024

The rules come from a dump of a search page. The site's menu stands above, perhaps a header that
states address and time; a dump cut short ends within an abstract.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import page, parts
from .page import Line, Page
from .parts import Finder, Kind, Part

FORMAT = "numbered links"

_TITLE = re.compile(r"^ {0,3}#{1,4} \[", re.MULTILINE)
_LINK_END = re.compile(r"\]\[([0-9]{1,7})\]$")
_TITLE_OR_BLOCK_END = re.compile(
    r"^(?: {0,3}#{1,4} \[[^\n]*|[^\S\n]*)\]\[[0-9]{1,7}\][^\S\n]*$", re.MULTILINE
)
_HEADING_MARK = re.compile(r"\A#{1,4} ")
_TARGET = re.compile(r"\s*(?:\[([0-9]{1,7})\]:?|([0-9]{1,7})\.)\s+(\S+)\s*")
_ORGANIZATION = re.compile(r"\[([^\[\]]*)\](.*)")
_COMMENTS = re.compile(r"([^\[\]]*)\]\[([0-9]{1,7})\]")
_MAX_WRAPPED_LINES = 30


@dataclass
class _Finder(Finder):
    """With the addresses of the links, by their numbers."""

    targets: dict[str, str] = field(default_factory=dict)


def recognise(text: str) -> bool:
    """Headings in brackets, and a number where their link or another part's ends."""
    if "][" not in text or text.lstrip("\ufeff \t\n")[:1] in ("<", "{"):
        return False
    return bool(_TITLE.search(text) and _TITLE_OR_BLOCK_END.search(text))


def read(text: str) -> Page:
    """Read the page; every card is an entry, or a problem with its line."""
    lines = parts.number_lines(text)
    finder = _Finder(targets=_find_targets(lines))
    for line in lines:
        _take_line(finder, line, line.printed.strip())
    _drop_open(finder)
    return parts.make_page(lines, finder.parts, finder.problems)


def _find_targets(lines: Sequence[Line]) -> dict[str, str]:
    """The list of addresses at the end, as `[36]: https://…` or `36. https://…`."""
    found = (_TARGET.fullmatch(line.printed) for line in lines if len(line.printed) < 2_000)
    return {
        match[1] or match[2]: match[3]
        for match in found
        if match and match[3].startswith(("https://", "http://", "/"))
    }


def _take_line(finder: _Finder, line: Line, printed: str) -> None:
    is_block = bool(finder.open_lines) and finder.open_lines[0].printed.strip() == "["
    begins = printed == "[" or bool(_TITLE.match(line.printed))
    continues_heading = begins and _continues_heading(finder.open_lines, printed)
    ends_early = begins or printed == "·" or (not printed and not is_block)
    if finder.open_lines and ends_early and not continues_heading:
        _drop_open(finder)
    if is_block and finder.open_lines:
        finder.open_lines.append(line)
        if printed.startswith("][") and _LINK_END.fullmatch(printed):
            _close(finder, printed)
    elif finder.open_lines or begins or _begins_inline(printed):
        _open_inline(finder, line, printed)
    elif printed.startswith("·"):
        _take_dot(finder, line, printed)
    elif printed and finder.awaits_date and not printed.startswith("["):
        _take_date(finder, line, printed)


def _continues_heading(open_lines: Sequence[Line], printed: str) -> bool:
    """Wrapped headings may repeat their mark: "### second line][36]"."""
    is_heading = bool(open_lines) and open_lines[0].printed.lstrip().startswith("#")
    return is_heading and printed.startswith("#")


def _begins_inline(printed: str) -> bool:
    return printed.startswith("[") and not _TARGET.fullmatch(printed[:2_000])


def _open_inline(finder: _Finder, line: Line, printed: str) -> None:
    finder.open_lines.append(line)
    if _LINK_END.search(printed):
        _close(finder, printed)
    elif len(finder.open_lines) > _MAX_WRAPPED_LINES:
        _drop_open(finder)


def _close(finder: _Finder, printed: str) -> None:
    """Take the link that ends on this line."""
    match = _LINK_END.search(printed)
    target = finder.targets.get(match[1]) if match else None
    lines, finder.open_lines = finder.open_lines, []
    texts = [line.printed.strip() for line in lines]
    texts[-1] = _LINK_END.sub("", texts[-1])
    finder.organization = None
    finder.awaits_date = False
    if texts[0] == "[":
        _take_block(finder, lines[1:], texts[1:], target)
    elif texts[0].startswith("#"):
        finder.parts.append(Part(Kind.TITLE, lines[0].number, _read_title(texts), target))
    else:
        finder.organization = _read_organization(lines[0], _join(texts)[1:], target)


def _drop_open(finder: _Finder) -> None:
    """A link without an end costs its part, but a title is one even so."""
    lines, finder.open_lines = finder.open_lines, []
    if not lines:
        return
    first = lines[0].printed.strip()
    if first.startswith("#"):
        finder.parts.append(Part(Kind.TITLE, lines[0].number, _read_title([first])))
        finder.awaits_date = False
    elif first == "[":
        finder.note_unclosed(lines[0])


def _take_block(
    finder: _Finder, lines: Sequence[Line], texts: Sequence[str], target: str | None
) -> None:
    """Upvotes, authors or an abstract, each between brackets on lines of their own."""
    words = [text for text in texts if text]
    joined = _join(words)
    if not words:
        return
    number = next(line.number for line, text in zip(lines, texts, strict=True) if text)
    after_title = bool(finder.parts) and finder.parts[-1].kind is Kind.TITLE
    is_upvotes = len(words) == 1 and (joined == "-" or joined.replace(",", "").isdecimal())
    if all(text.startswith("* ") for text in words) and len(joined) < 250:
        part = Part(Kind.AUTHORS, number, words[-1][2:].strip(), target)
    elif not is_upvotes and (after_title or page.is_long(Line(number, joined))):
        part = Part(Kind.ABSTRACT, number, joined, target)
    elif len(words) == 1:
        part = Part(Kind.UPVOTES, number, joined, target)
    else:
        return
    finder.parts.append(part)


def _read_title(texts: Sequence[str]) -> str:
    unmarked = (_HEADING_MARK.sub("", text, count=1) for text in texts)
    return _join(unmarked).removeprefix("[").strip()


def _read_organization(line: Line, text: str, target: str | None) -> Part:
    """An organization as far as a "·" confirms it below."""
    match = _ORGANIZATION.fullmatch(text)
    slug, name = (match[1].strip(), match[2].strip()) if match else (None, text.strip())
    return Part(Kind.ORGANIZATION, line.number, name, target, slug)


def _take_dot(finder: _Finder, line: Line, printed: str) -> None:
    finder.take_dot()
    after_dot = printed[1:].strip()
    if after_dot and finder.parts:
        _take_date(finder, line, after_dot)


def _take_date(finder: _Finder, line: Line, printed: str) -> None:
    """A date, and the comments as a link right after it."""
    finder.awaits_date = False
    date, bracket, after = printed.partition("[")
    finder.parts.append(Part(Kind.DATE, line.number, _join([date])))
    if bracket:
        match = _COMMENTS.fullmatch(after)
        text = _join([match[1]]) if match else _join([after])
        target = finder.targets.get(match[2]) if match else None
        finder.parts.append(Part(Kind.COMMENTS, line.number, text, target))


def _join(texts: Iterable[str]) -> str:
    """Unwrapped: one blank for any white space."""
    return " ".join(" ".join(texts).split())
