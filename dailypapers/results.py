"""A search from what was typed to a page of results: filters, order, paging, snippets, advice."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rapidfuzz.distance import OSA

from .filtering import find_passing, list_first
from .ranking import (
    CANDIDATES,
    MAX_POSTINGS,
    Hit,
    Index,
    Synonyms,
    make_units,
    rank_papers,
    stem_word,
)
from .search import (
    MAX_WORDS,
    Filter,
    Query,
    make_filter,
    parse_query,
    quote_phrase,
    split_words,
)
from .snippets import make_snippet

PAGE_SIZE = 20
MAX_PAGE = 500

SORTS = {
    "newest": "published",
    "discussed": "comments",
    "authors": "authors_count",
}
"""Orders besides relevance, greatest first."""

MAX_SORTED = 2_000
"""Papers that are put into another order than relevance: the best so many."""

MAX_EXCLUDED = 200_000
"""Papers up to which all those are looked up, in 0.1 s, that hold what must not occur …"""

MAX_LISTED = 3_000
"""… and where nothing else is asked for and it is commoner, the first papers that are looked at."""

SPELLED_COST = 50
"""To see how a word is spelled, any papers that hold it will do by so much sooner than for a
search: one text may ask for up to 96 words."""

MAX_CHECKED = 12
"""Words whose spelling is looked at; each may go through thousands of words of the index."""


@dataclass(frozen=True)
class Search:
    """What was asked for: the typed text, and the page's own filters, order and page.

    `filters` are pairs of a field ("tag", "org", "year") and a value; of tags, several with commas
    between them, which all must hold. An unknown sort is relevance; pages count from 1.
    """

    typed: str
    filters: tuple[tuple[str, str], ...] = ()
    sort: str = ""
    page: int = 1


@dataclass(frozen=True)
class Result:
    """One paper on the page: its `papers.number`, its score and a snippet (HTML, escaped).

    `found` is how many papers all pages have together; with `more`, at least so many.
    """

    number: int
    score: float | None
    snippet: str
    found: int
    more: bool


@dataclass(frozen=True)
class _Found:
    """Papers in their order, from the first to the end of the page or beyond; and their count."""

    hits: list[Hit]
    count: int
    more: bool


def find_papers(connection: sqlite3.Connection, search: Search, synonyms: Synonyms) -> list[Result]:
    """One page of results. A blank search lists all papers that pass the filters, newest first."""
    query = understand_search(search)
    last = max(1, min(search.page, MAX_PAGE)) * PAGE_SIZE
    if query.is_text:
        found = _rank_and_sort(connection, query, search.sort, synonyms)
    else:
        found = _list_papers(connection, query, search.sort, last)
    hits = found.hits[last - PAGE_SIZE : last]
    texts = Index(connection).read_texts(hit.number for hit in hits)
    return [
        Result(
            hit.number,
            hit.score or None,
            make_snippet(texts[hit.number][1], hit.stems),
            found.count,
            found.more,
        )
        for hit in hits
    ]


def understand_search(search: Search) -> Query:
    """What was typed, with the filters of the page; a value that means nothing finds nothing."""
    query = parse_query(search.typed)
    added = [
        make_filter(name, value) or Filter("false", (), name, value=value.strip())
        for name, value in _split_tags(search.filters)
    ]
    query = replace(query, filters=(*query.filters, *added))
    if search.typed.strip() and not (query.is_text or query.filters or query.excluded):
        nothing = Filter("false", (), value=search.typed.strip())  # "🤗"
        return replace(query, filters=(nothing,))
    return query


def _split_tags(filters: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The filters that say something; each tag as one, for all must hold."""
    pairs = (
        (name, value)
        for name, values in filters
        for value in (values.split(",") if name == "tag" else [values])
        if value.strip()
    )
    return list(dict.fromkeys(pairs))[:MAX_WORDS]


def _rank_and_sort(
    connection: sqlite3.Connection, query: Query, sort: str, synonyms: Synonyms
) -> _Found:
    hits = _match_all_words(connection, query) if sort in SORTS else []
    most = MAX_SORTED
    if not hits:
        hits = rank_papers(connection, query, synonyms)
        most = CANDIDATES  # what fewer hits than this were all of them
    if sort in SORTS:
        hits = _sort_hits(connection, hits, sort)
    more = len(hits) >= most or _has_common_words(connection, query, synonyms)
    return _Found(hits, len(hits), more)


def _has_common_words(connection: sqlite3.Connection, query: Query, synonyms: Synonyms) -> bool:
    """Whether the words are so common that not every paper that holds one was looked at."""
    units = make_units(query.scored_words, synonyms)
    stems = {stem for unit in units for variant in unit.variants for stem in variant.stems}
    return Index(connection).count_postings(stems) > MAX_POSTINGS


def _match_all_words(connection: sqlite3.Connection, query: Query) -> list[Hit]:
    """Papers that hold every word: another order than relevance has no use for near misses."""
    index = Index(connection)
    words = (quote_phrase([word]) for word in query.words)
    expression = query.exclude_from(" AND ".join([*words, *query.required]))
    stems = tuple(stem_word(word) for word in query.scored_words)
    cost = index.count_postings(map(stem_word, query.words))
    cost += index.count_phrases(query.required_phrases)
    passing = find_passing(connection, query.filters) if query.filters else None
    found = index.match(expression, passing, MAX_SORTED, cost)
    return [Hit(number, score, frozenset(stems)) for number, score in found.items()]


def _sort_hits(connection: sqlite3.Connection, hits: Sequence[Hit], sort: str) -> list[Hit]:
    by_number = {hit.number: hit for hit in hits}
    marks = ",".join(str(int(number)) for number in by_number)
    sql = (
        f"select number from papers where number in ({marks})"  # noqa: S608
        f" order by {SORTS[sort]} desc, number"
    )
    return [by_number[number] for (number,) in connection.execute(sql)]


def _list_papers(connection: sqlite3.Connection, query: Query, sort: str, last: int) -> _Found:
    """The papers that pass the filters and hold no excluded word; their number is exact where that
    word is not too common."""
    index, column = Index(connection), SORTS.get(sort, "published")
    passing = find_passing(connection, query.filters)
    excluded = " OR ".join(query.excluded)
    if query.excluded and index.count_phrases(query.excluded_phrases) > MAX_EXCLUDED:
        looked_at = list_first(connection, passing, column, MAX_LISTED)
        holders = index.find_holders(excluded, looked_at)
        numbers = [number for number in looked_at if number not in holders]
        return _make_found(numbers, len(numbers), more=len(looked_at) == MAX_LISTED)
    if query.excluded:
        passing[np.array(index.find_all_holders(excluded), np.int64) - 1] = False
    numbers = list_first(connection, passing, column, last)
    return _make_found(numbers, int(np.count_nonzero(passing)), more=False)


def _make_found(numbers: Iterable[int], count: int, more: bool) -> _Found:
    return _Found([Hit(number, 0.0, frozenset()) for number in numbers], count, more)


def suggest_spelling(connection: sqlite3.Connection, typed: str, synonyms: Synonyms) -> str | None:
    """What was typed with its unknown words replaced by near ones of the index, if there are."""
    index = Index(connection)
    suggested = typed
    for word in parse_query(typed).scored_words[:MAX_CHECKED]:
        variants = [variant for unit in make_units([word], synonyms) for variant in unit.variants]
        if not any(index.count_holders(variant.stems) for variant in variants):
            near = _find_near_word(connection, index, word)
            if near:
                suggested = re.sub(rf"\b{re.escape(word)}\b", near, suggested, flags=re.IGNORECASE)
    return suggested if suggested != typed else None


def _find_near_word(connection: sqlite3.Connection, index: Index, word: str) -> str | None:
    """The nearest word of some paper that begins alike, at most two letters off.

    The index knows stems; a misspelled ending ("reasonign") may have kept its own, so stems are
    compared with the beginning of the word as well.
    """
    if len(word) < 3:
        return None
    allowed = 1 if len(word) < 5 else 2
    rows = connection.execute(
        "select word, papers from words where word >= ? and word < ? and papers > 1"
        " and length(word) between ? and ?",
        [word[0], word[0] + "\U0010ffff", len(word) // 2, len(word) + allowed],
    )
    near = []
    for stem, papers in rows:
        begins = (stem_word(word), word[: len(stem)])
        distance = min(OSA.distance(begin, stem, score_cutoff=allowed) for begin in begins)
        if distance <= allowed:
            near.append((distance, -papers, stem))
    spelled = [_spell_out(index, stem, word) for _, _, stem in sorted(near)[:8]]
    best = min(spelled, key=lambda other: OSA.distance(word, other), default=word)
    return best if 0 < OSA.distance(word, best) <= allowed else None


def _spell_out(index: Index, stem: str, word: str) -> str:
    """The whole word for a stem that is nearest to what was typed, as papers spell it."""
    cost = index.count_holders((stem,)) * SPELLED_COST
    holders = index.match(quote_phrase([stem]), None, 20, cost)
    texts = index.read_texts(holders).values()
    words = {other for title, abstract in texts for other in split_words(f"{title} {abstract}")}
    spelled = [other for other in words if stem_word(other) == stem]
    return min(spelled, key=lambda other: (OSA.distance(word, other), other), default=stem)
