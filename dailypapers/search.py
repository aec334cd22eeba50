"""What a person types into the search box, as an FTS5 query and filters.

    plain words             any of them may occur; the more and the rarer, the better
    "in quotes"             must stand together
    -word  -"a phrase"      must not occur
    title:word              must occur in the title
    quantiz*                must occur, with any ending
    tag:distillation  org:nvidia  year:2024  authors:>10  comments:>2  upvotes:>=5
                            must hold; "-" before them turns them round

Anything else is text. Whatever is typed gives a query that FTS5 accepts; nothing typed reaches
it but letters and digits in quotes, and nothing reaches SQL but as a parameter.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

MAX_TYPED = 10_000
"""Characters of what was typed that are read."""

MAX_WORDS = 48
"""Words that count; the rest of a longer text adds cost and no sense."""

STOP_WORDS = frozenset(
    """
    a an and are as at be by can do does for from how i in is it its no not of on or s so t that the
    their them then there these they this to up use using via was what when where which while who
    why will with without we you
    """.split()
)
"""Left out unless nothing else was typed: half of all papers hold each of them."""

_PIECE = re.compile(
    r"""(?P<minus>(?<!\S)-)?
        (?:(?P<field>[A-Za-z]+):(?=\S))?
        (?:"(?P<phrase>[^"]*)(?:"|$) | (?P<text>[^\s"]+))""",
    re.VERBOSE,
)
_ACCENTS = re.compile("[\u0300-\u036f]+")
_OPEN = re.compile(r"[^\W_]{3}\*$")  # of fewer letters, too many words begin so
_WORD = re.compile(r"[^\W_]+")
_COMPARED = re.compile(
    r"(?P<operator>[<>]=?|=)?\s*(?P<number>\d{1,9})(?:\s*(?:-|–|\.\.)\s*(?P<last>\d{1,9}))?"
)

NUMBER_FIELDS = {
    "year": "year",
    "authors": "authors_count",
    "comments": "comments",
    "upvotes": "upvotes",
}
"""The fields that are compared with numbers, and their columns of papers."""

_NAME_FIELDS = {"tag": "tag", "org": "organization", "organization": "organization"}

NAME_CONDITIONS = {
    "tag": "id = ? or name = ? collate nocase",
    "organization": "id = ? collate nocase or name = ? collate nocase",
}
"""Which tags and organizations a filter means, by slug or by name, whatever the case. The
parameters are those of the filter."""

_TAGGED = f"""papers.id in (
    select paper from paper_tags join tags on tags.id = paper_tags.tag
    where {NAME_CONDITIONS["tag"]}
)"""  # noqa: S608


@dataclass(frozen=True)
class Filter:
    """A condition on papers: SQL with one "?" for each parameter.

    The rest is for saying it in words: the field, how it is compared ("=", ">", "between", …;
    "" where the value means nothing, so that nothing passes), and the value as typed.
    """

    sql: str
    parameters: tuple[str | int, ...]
    field: str = ""
    operator: str = ""
    value: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Phrase:
    """Words that must stand together, or must not. The last of an open one may go on."""

    words: tuple[str, ...]
    in_title: bool = False
    is_open: bool = False
    negated: bool = False

    @property
    def expression(self) -> str:
        """What finds it, for FTS5."""
        column = "title : " if self.in_title else ""
        return column + quote_phrase(self.words) + (" *" if self.is_open else "")


@dataclass(frozen=True)
class Query:
    """What was asked for.

    `words` are plain, of which any may occur; `required` and `excluded` are FTS5 expressions;
    `required_words` are the words inside of `required`, for ranking and marking. `phrases` are
    what `required` and `excluded` were made of, for saying it in words.
    """

    words: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    required_words: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = field(default=(), compare=False)

    @property
    def scored_words(self) -> tuple[str, ...]:
        """The words that tell how well a paper matches, each once, as typed."""
        return tuple(dict.fromkeys(self.words + self.required_words))

    @property
    def required_phrases(self) -> tuple[Phrase, ...]:
        """The phrases that must occur."""
        return tuple(phrase for phrase in self.phrases if not phrase.negated)

    @property
    def excluded_phrases(self) -> tuple[Phrase, ...]:
        """The phrases that must not."""
        return tuple(phrase for phrase in self.phrases if phrase.negated)

    @property
    def is_text(self) -> bool:
        """Whether there is anything to look for in texts."""
        return bool(self.words or self.required)

    def exclude_from(self, expression: str) -> str:
        """An FTS5 expression without what is excluded."""
        if not expression or not self.excluded:
            return expression
        return f"({expression}) NOT ({' OR '.join(self.excluded)})"


@dataclass
class _Parts:
    words: list[str] = field(default_factory=list)
    required: list[Phrase] = field(default_factory=list)
    excluded: list[Phrase] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)


def parse_query(typed: str) -> Query:
    """Understand what was typed. Never fails; what is no operator is text."""
    parts = _Parts()
    for piece in _PIECE.finditer(typed[:MAX_TYPED]):
        _read_piece(parts, piece)
    plain = [word for word in dict.fromkeys(parts.words) if word not in STOP_WORDS]
    nothing_else = not (parts.required or parts.filters or plain)
    required, excluded = parts.required[:MAX_WORDS], parts.excluded[:MAX_WORDS]
    required_words = [word for phrase in required for word in phrase.words]
    return Query(
        words=tuple((plain or (parts.words if nothing_else else []))[:MAX_WORDS]),
        required=tuple(phrase.expression for phrase in required),
        excluded=tuple(phrase.expression for phrase in excluded),
        filters=tuple(parts.filters[:MAX_WORDS]),
        required_words=tuple(w for w in required_words if w not in STOP_WORDS)[:MAX_WORDS],
        phrases=(*required, *excluded),
    )


def split_words(text: str) -> list[str]:
    """The words of a text as FTS5 reads them: runs of letters and digits, in lower case and
    without accents."""
    bare = text if text.isascii() else _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return [word.lower() for word in _WORD.findall(bare)]


def _read_piece(parts: _Parts, piece: re.Match[str]) -> None:
    negated = piece["minus"] is not None
    name = (piece["field"] or "").lower()
    value = piece["phrase"] if piece["phrase"] is not None else piece["text"]
    condition = make_filter(name, value, negated)
    if condition:
        parts.filters.append(condition)
        return
    words = split_words(value)
    if piece["field"] and name != "title":  # "https://…", "ratio:": the field was text
        words = split_words(piece["field"]) + words
    if not words:
        return
    is_open = piece["text"] is not None and bool(_OPEN.search(value))
    phrase = Phrase(tuple(words), name == "title", is_open, negated)
    if negated:
        parts.excluded.append(phrase)
    elif phrase.in_title or is_open or (piece["phrase"] is not None and not piece["field"]):
        parts.required.append(phrase)
    else:
        parts.words += words


def quote_phrase(words: Iterable[str]) -> str:
    """Words as an FTS5 string: they must stand together."""
    return '"' + " ".join(words) + '"'


def make_filter(name: str, value: str, negated: bool = False) -> Filter | None:
    """The condition that a field and its value stand for; None where they are no filter."""
    if name in NUMBER_FIELDS:
        condition = _compare_number(name, value.strip())
    elif name in _NAME_FIELDS and value.strip():
        condition = _match_name(_NAME_FIELDS[name], value.strip())
    else:
        condition = None
    if condition and negated:
        return replace(condition, sql=f"({condition.sql}) is not true", negated=True)
    return condition


def _compare_number(name: str, value: str) -> Filter | None:
    match = _COMPARED.fullmatch(value)
    if not match or (match["operator"] and match["last"]):
        return None
    column, number = f"papers.{NUMBER_FIELDS[name]}", int(match["number"])
    if match["last"]:
        first, last = sorted((number, int(match["last"])))
        return Filter(f"{column} between ? and ?", (first, last), name, "between", value)
    operator = match["operator"] or "="
    return Filter(f"{column} {operator} ?", (number,), name, operator, value)


def _match_name(kind: str, value: str) -> Filter:
    if kind == "tag":
        return Filter(_TAGGED, (value.lower(), value), kind, "=", value)
    condition = NAME_CONDITIONS[kind]
    sql = f"papers.organization in (select id from organizations where {condition})"  # noqa: S608
    return Filter(sql, (value, value), kind, "=", value)
