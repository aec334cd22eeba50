"""Citations of papers for reference managers: BibTeX, RIS and CSL JSON.

Only what the listings say is written: a paper whose listings name no authors gets none (an
organization is no author), and a name is split only where its parts are certain.
"""

import hashlib
import json
import re
from base64 import b32encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any
from unicodedata import category, normalize
from urllib.parse import quote

import rispy
from bibtexparser.entrypoint import write_string
from bibtexparser.library import Library
from bibtexparser.model import Entry, Field
from pylatexenc.latexencode import (
    RULE_DICT,
    RULE_REGEX,
    UnicodeToLatexConversionRule,
    UnicodeToLatexEncoder,
)
from slugify import slugify

from ..search import STOP_WORDS
from .wording import MONTHS

MAX_AUTHORS = 500
"""Names in one citation; BibTeX gets “and others” for the rest."""

_WORD = re.compile(r"[^\W_]+")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?)+|[^\W\d_]")  # as “J.”, “J.-P.” and “J”
_GENERATIONS = {"jr", "sr", "ii", "iii", "iv"}
_GROUPS = (" collaboration", " consortium", " group", " lab", " team")
_READ_AS_SEVERAL = re.compile(r",|\b(?:and|others)\b", re.IGNORECASE)  # by BibTeX, in a name
_KEY_WORD = 30
_DOI = "10.48550/arXiv."  # arXiv registers one for every paper


@dataclass(frozen=True)
class Citation:
    """A paper as far as it is known; `authors` are names in the paper's order, `published` is
    YYYY-MM-DD, `url` is where this site shows the paper."""

    id: str
    title: str
    authors: tuple[str, ...]
    published: str | None
    arxiv_id: str | None
    url: str


def make_bibtex(papers: Iterable[Citation]) -> str:
    """The papers as @misc entries, in ASCII but for letters that have no name in LaTeX."""
    # One library for each: one for all would refuse everything if two keys were ever the same.
    return "\n".join(write_string(Library([_make_entry(paper)])) for paper in papers)


def make_ris(papers: Iterable[Citation]) -> str:
    """The papers as RIS. They are MANSCPT: Zotero does not know the UNPB of unpublished work and
    would make articles of a journal of them."""
    return str(rispy.dumps([_make_record(paper) for paper in papers], implementation=_RisWriter))


def make_csl(papers: Iterable[Citation]) -> str:
    """The papers as a JSON array of CSL items of the type article, which stands for preprints."""
    return json.dumps([_make_item(paper) for paper in papers], ensure_ascii=False, indent=1) + "\n"


@dataclass(frozen=True)
class Format:
    """A format of citations: the extension of its addresses (where Datasette takes no dot), the
    ending of its files, its media type and what makes it."""

    extension: str
    file_ending: str
    content_type: str
    make: Callable[[Iterable[Citation]], str]


FORMATS = (
    Format("bib", "bib", "application/x-bibtex", make_bibtex),
    Format("ris", "ris", "application/x-research-info-systems", make_ris),
    Format("csljson", "csl.json", "application/vnd.citationstyles.csl+json", make_csl),
)


def make_key(paper: Citation) -> str:
    """The paper's key, as “example2025made-k3zq1x7a”: it needs no knowledge of other papers, so
    it is the same in every export."""
    words = [slugify(word, separator="")[:_KEY_WORD] for word in _WORD.findall(paper.title)]
    words = [word for word in words if word] or ["paper"]
    first = slugify(_guess_family(paper.authors[0]) if paper.authors else "", separator="")
    name = first[:_KEY_WORD] or words[0]
    day = _read_day(paper.published)
    word = next((word for word in words if word not in STOP_WORDS and word != name), "")
    digest = hashlib.blake2s(paper.id.encode(), digest_size=5).digest()
    return f"{name}{day.year if day else ''}{word}-{b32encode(digest).decode().lower()}"


def split_name(name: str) -> tuple[str, str] | None:
    """Family and given names where they are certain (“Ada Example”, “A. B. Example”, “Ada Bo van
    Example”); None where the name has to stay whole."""
    if _stays_whole(name):
        return None
    *given, family = name.split() or [""]
    particles: list[str] = []
    while given and given[-1].islower():
        particles.insert(0, given.pop())
    certain = particles or all(map(_INITIALS.fullmatch, given[1:]))
    if not given or not certain or not family[:1].isupper() or _INITIALS.fullmatch(family):
        return None
    return " ".join([*particles, family]), " ".join(given)


def _stays_whole(name: str) -> bool:
    """Whether BibTeX would find several names or parts in it, or it is a group's."""
    return bool(_READ_AS_SEVERAL.search(name)) or name.lower().endswith(_GROUPS)


def _guess_family(name: str) -> str:
    """For a key, where a wrong guess does no harm."""
    words = [word for word in name.split() if slugify(word) not in _GENERATIONS]
    return words[-1] if words else ""


def _read_day(published: str | None) -> date | None:
    try:
        return date.fromisoformat(published or "")
    except ValueError:
        return None


def _tidy(text: str) -> str:
    """On one line and without control characters: each format is one of lines."""
    line = " ".join(normalize("NFC", text).split())
    return "".join(letter for letter in line if category(letter) != "Cc")


def _find_address(paper: Citation) -> str:
    """Percent-encoded, so that no format needs to escape it."""
    arxiv_id = _find_arxiv_id(paper)
    return f"https://arxiv.org/abs/{arxiv_id}" if arxiv_id else quote(paper.url, safe="[]:/?&=%")


def _find_arxiv_id(paper: Citation) -> str:
    """Percent-encoded, which leaves a true one as it is; "" where it has none."""
    return quote(paper.arxiv_id or "", safe="/")


# BibTeX


def _make_entry(paper: Citation) -> Entry:
    fields = [Field("title", _protect_capitals(_tidy(paper.title)))]
    if paper.authors:
        fields.append(Field("author", _join_authors(paper.authors)))
    if day := _read_day(paper.published):
        month = MONTHS[day.month - 1].lower()  # BibTeX's own name for it, in no braces
        fields += [Field("year", str(day.year)), Field("month", month, enclosing="no-enclosing")]
    if arxiv_id := _find_arxiv_id(paper):
        fields += [Field("eprint", arxiv_id), Field("archivePrefix", "arXiv")]
        fields.append(Field("doi", f"{_DOI}{arxiv_id}"))
    else:
        fields.append(Field("howpublished", "Listed by Hugging Face Daily Papers"))
    return Entry("misc", make_key(paper), [*fields, Field("url", _find_address(paper))])


def _join_authors(authors: Sequence[str]) -> str:
    names = [_encode_name(_tidy(name)) for name in authors[:MAX_AUTHORS]]
    return " and ".join([*names, "others"] if len(authors) > MAX_AUTHORS else names)


def _encode_name(name: str) -> str:
    """As “First von Last”, which BibTeX splits itself."""
    return f"{{{_encode(name)}}}" if _stays_whole(name) else _encode(name)


def _protect_capitals(title: str) -> str:
    """Words as LoRA and GPT in braces: a style that writes titles small has to leave them."""
    pieces, end = [], 0
    for match in _WORD.finditer(title):
        word = _encode(match[0])
        between = _encode(title[end : match.start()])
        pieces += [between, f"{{{word}}}" if _needs_capitals(match[0]) else word]
        end = match.end()
    return "".join([*pieces, _encode(title[end:])])


def _needs_capitals(word: str) -> bool:
    inner = any(letter.isupper() for letter in word[1:])
    numbered = word[0].isupper() and any(letter.isdigit() for letter in word)
    return inner or numbered or (len(word) == 1 and word.isupper() and word != "A")


def _encode(text: str) -> str:
    encoded: str = _latex_encoder().unicode_to_latex(text)
    return encoded


@cache
def _latex_encoder() -> UnicodeToLatexEncoder:
    """Every letter in its own braces, as BibTeX wants accents; braces themselves by name, as
    BibTeX counts even those behind a backslash."""
    braces = {ord("{"): r"\textbraceleft", ord("}"): r"\textbraceright"}
    ligatures = [(re.compile(r"""([-`',])(?=\1)|'(?=")|[?!](?=`)"""), r"\g<0>{}")]
    return UnicodeToLatexEncoder(
        conversion_rules=[
            UnicodeToLatexConversionRule(RULE_DICT, braces),
            UnicodeToLatexConversionRule(RULE_REGEX, ligatures),
            "defaults",
        ],
        replacement_latex_protection="braces-almost-all",
        unknown_char_policy="keep",
        unknown_char_warning=False,
    )


# RIS


class _RisWriter(rispy.RisWriter):  # type: ignore[misc]  # rispy has no types
    def set_header(self, count: int) -> str:
        """None: rispy numbers the records, which RIS does not know."""
        return ""


def _make_record(paper: Citation) -> dict[str, Any]:
    record: dict[str, Any] = {"type_of_reference": "MANSCPT", "title": _tidy(paper.title)}
    if paper.authors:
        record["authors"] = [_invert_name(_tidy(name)) for name in paper.authors[:MAX_AUTHORS]]
    if day := _read_day(paper.published):
        record |= {"year": str(day.year), "date": f"{day:%Y/%m/%d}"}
    if arxiv_id := _find_arxiv_id(paper):
        record |= {"type_of_work": "Preprint", "name_of_database": "arXiv"}
        record |= {"accession_number": f"arXiv:{arxiv_id}", "doi": f"{_DOI}{arxiv_id}"}
    return record | {"urls": [_find_address(paper)], "id": make_key(paper)}


def _invert_name(name: str) -> str:
    """A comma parts family and given names in RIS, so a whole name has to have none."""
    parts = split_name(name)
    return ", ".join(parts) if parts else " ".join(name.replace(",", " ").split())


# CSL JSON


def _make_item(paper: Citation) -> dict[str, Any]:
    item: dict[str, Any] = {"id": make_key(paper), "type": "article", "title": _tidy(paper.title)}
    if paper.authors:
        item["author"] = [_make_csl_name(_tidy(name)) for name in paper.authors[:MAX_AUTHORS]]
    if day := _read_day(paper.published):
        item["issued"] = {"date-parts": [[day.year, day.month, day.day]]}
    if arxiv_id := _find_arxiv_id(paper):
        item |= {"publisher": "arXiv", "number": f"arXiv:{arxiv_id}"}  # where Zotero puts them
        item["DOI"] = f"{_DOI}{arxiv_id}"
    return item | {"URL": _find_address(paper)}


def _make_csl_name(name: str) -> dict[str, str]:
    parts = split_name(name)
    return {"family": parts[0], "given": parts[1]} if parts else {"literal": name}
