"""Papers that match a query, best first.

FTS5 finds candidates: some hundred papers that bm25 puts first, asked once for the words as
typed and once with their synonyms. They are ranked here, because FTS5 can weigh neither a
synonym less than the word itself nor count it as the same word. docs/search.md says what each
part of this brought.
"""

import heapq
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from operator import itemgetter
from pathlib import Path

import numpy as np
import Stemmer
import yaml

from .columns import Array, Mask
from .filtering import find_passing
from .search import STOP_WORDS, Phrase, Query, quote_phrase, split_words

CANDIDATES = 100
"""Papers that each of the two questions to FTS5 may bring."""

SYNONYM_WEIGHT = 0.7
K1, B = 1.2, 0.75
"""The usual bm25 constants: how fast repetition saturates, how much length matters."""

MAX_POSTINGS = 50_000
"""Papers that one question to FTS5 may go through, about 0.1 s: commoner words are left out of it,
and where even the rarest word is commoner, the newest papers that hold it are candidates."""

MAX_SPAN = 100_000
"""Of the papers that pass the filters, those are looked at for a common word whose numbers are not
so far below the newest one's, as FTS5 goes through a stretch in 0.4 µs a paper …"""

MAX_FILTERED = 2_000
"""… or, where that would be fewer, the newest so many one by one, at some 30 µs each."""

_BATCH = 250
"""Papers that are looked up at a time."""

_OPEN = '" *'
"""What stands behind the open phrases of an FTS5 expression, and nowhere else in it: to look them
up, FTS5 merges all words that begin so, each time."""

_PREFIXES = [
    "anti", "auto", "bi", "co", "cross", "down", "fine", "hyper", "inter", "meta", "micro", "mid",
    "mini", "multi", "non", "over", "post", "pre", "re", "self", "semi", "sub", "super", "un",
    "under", "up",
]  # fmt: skip
"""Word beginnings that people write joined, hyphenated or apart: pretrained, pre-trained."""

Stems = tuple[str, ...]
Synonyms = Mapping[Stems, frozenset[Stems]]


@dataclass(frozen=True)
class Variant:
    """A way in which a paper may say a typed word: stems that stand together, and their weight."""

    stems: Stems
    weight: float


@dataclass(frozen=True)
class Unit:
    """A typed word, or typed neighbours that have a synonym; the best variant counts."""

    stems: Stems
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Hit:
    """A paper found: its `papers.number`, its score (greater is better), and the stems to mark."""

    number: int
    score: float
    stems: frozenset[str]


@cache
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("porter")


@lru_cache(maxsize=200_000)
def stem_word(word: str) -> str:
    """The stem under which FTS5's porter tokenizer files a word."""
    if len(word) < 3:  # PyStemmer would take the "s" off "as"
        return word
    stem: str = _stemmer().stemWord(word)
    return stem


def stem_text(text: str) -> Stems:
    """The stems of a text's words."""
    return tuple(stem_word(word) for word in split_words(text))


def load_synonyms(path: Path) -> dict[Stems, frozenset[Stems]]:
    """Read synonyms.yml: lists of words and phrases, each a synonym of the others of its list."""
    found: dict[Stems, set[Stems]] = {}
    for group in yaml.safe_load(path.read_text("utf-8")):
        stems = {stem_text(str(phrase)) for phrase in group}
        for one in stems:
            found.setdefault(one, set()).update(stems - {one})
    return {one: frozenset(others) for one, others in found.items()}


def make_units(words: Sequence[str], synonyms: Synonyms) -> list[Unit]:
    """The typed words, and typed neighbours (up to four) that have synonyms, as units."""
    stems = [stem_word(word) for word in words]
    units: dict[Stems, Unit] = {}
    for size in range(1, 5):
        for start in range(len(stems) - size + 1):
            key = tuple(stems[start : start + size])
            others = dict.fromkeys(synonyms.get(key, ()), SYNONYM_WEIGHT)
            others |= dict.fromkeys(_respell(words[start : start + size]), 1.0)
            if size == 1:
                others[key] = 1.0
            if others and key not in units:
                units[key] = Unit(key, tuple(Variant(*pair) for pair in sorted(others.items())))
    return list(units.values())


def _respell(words: Sequence[str]) -> list[Stems]:
    """The other spellings of a compound: "pretrained" as two words, "pre trained" as one."""
    if len(words) == 2:
        return [(stem_word("".join(words)),)]
    if len(words) > 2:
        return []
    rests = ((prefix, words[0].removeprefix(prefix)) for prefix in _PREFIXES)
    return [
        (stem_word(prefix), stem_word(rest))
        for prefix, rest in rests
        if rest != words[0] and len(rest) > 2
    ]


class Index:
    """The text index of an open database: how common words are, and who holds them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def count_papers(self) -> int:
        """How many papers there are, or were when they were numbered."""
        return self._first("select max(number) from papers") or 0

    def count_holders(self, stems: Stems) -> int:
        """How many papers hold a stem; for several, an upper bound."""
        sql = "select papers from words where word = ?"
        return min((self._first(sql, stem) or 0 for stem in stems), default=0)

    def count_postings(self, stems: Iterable[str]) -> int:
        """What looking for stems together costs FTS5: the papers of each are gone through."""
        return sum(self.count_holders((stem,)) for stem in stems)

    def _first(self, sql: str, *parameters: str) -> int | None:
        row = self._connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def count_phrases(self, phrases: Iterable[Phrase]) -> int:
        """What looking for phrases costs; words that everything holds count where there are no
        others."""
        return sum(self._count_phrase(phrase) for phrase in phrases)

    def _count_phrase(self, phrase: Phrase) -> int:
        words = list(phrase.words)
        begun = 0
        if phrase.is_open:
            begin = words.pop()
            sql = "select sum(papers) from words where word >= ? and word < ?"
            begun = self._first(sql, begin, begin + "\U0010ffff") or 0
        telling = [word for word in words if word not in STOP_WORDS]
        return begun + self.count_postings(map(stem_word, telling or words))

    def match(
        self, expression: str, passing: Mask | None, limit: int, cost: int = 0
    ) -> dict[int, float]:
        """The `limit` best papers by bm25 that match and pass, with their score.

        `cost` is how many papers FTS5 would go through, once to match and once to weigh; above
        MAX_POSTINGS it is the `limit` newest, all with the score 0.
        """
        if passing is not None and not passing.any():
            return {}
        if cost > MAX_POSTINGS:
            return dict.fromkeys(self._match_newest(expression, passing, limit), 0.0)
        sql = "select rowid, -rank from papers_fts where papers_fts match ?"
        if passing is None:
            rows = self._connection.execute(f"{sql} order by rank limit ?", [expression, limit])
            return dict(rows.fetchall())
        rows = self._connection.execute(f"{sql} order by rowid", [expression])
        return dict(heapq.nlargest(limit, (r for r in rows if passing[r[0] - 1]), itemgetter(1)))

    def _match_newest(self, expression: str, passing: Mask | None, limit: int) -> list[int]:
        """Of the papers that pass, only so many of the newest are looked at as are quick."""
        if passing is None:
            found = self._go_through(expression, 1, self.count_papers())
            return list(islice(found, limit))
        numbers = np.flatnonzero(passing)[::-1] + 1
        last = int(numbers[0])
        first = last - MAX_SPAN + 1
        if np.count_nonzero(numbers >= first) > MAX_FILTERED or _OPEN in expression:
            found = (n for n in self._go_through(expression, first, last) if passing[n - 1])
        else:
            found = self._look_up(expression, numbers[:MAX_FILTERED])
        return list(islice(found, limit))

    def find_holders(self, expression: str, numbers: Sequence[int]) -> set[int]:
        """Those of some papers that match."""
        if not numbers:
            return set()
        first, last = min(numbers), max(numbers)
        if last - first < MAX_SPAN or _OPEN in expression:
            return set(self._go_through(expression, first, last))
        return set(self._look_up(expression, np.array(numbers)))

    def find_all_holders(self, expression: str) -> list[int]:
        """All papers that match."""
        return list(self._go_through(expression, 1, self.count_papers()))

    def _go_through(self, expression: str, first: int, last: int) -> Iterator[int]:
        """The matching papers from one number to another, the newest first."""
        sql = """
            select rowid from papers_fts where papers_fts match ? and rowid between ? and ?
            order by rowid desc
        """
        return map(itemgetter(0), self._connection.execute(sql, [expression, first, last]))

    def _look_up(self, expression: str, numbers: Array) -> Iterator[int]:
        """The matching ones of some papers, in their order; some at a time, as few may do."""
        sql = """
            select rowid from papers_fts where papers_fts match ?
            and rowid in (select value from json_each(?))
        """
        for start in range(0, len(numbers), _BATCH):
            asked = numbers[start : start + _BATCH].tolist()
            rows = self._connection.execute(sql, [expression, json.dumps(asked)]).fetchall()
            found = {number for (number,) in rows}
            yield from (number for number in asked if number in found)

    def read_texts(self, numbers: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Titles and abstracts of papers, by number."""
        marks = ",".join(str(int(number)) for number in numbers)
        sql = f"select number, title, abstract from papers where number in ({marks})"  # noqa: S608
        return {
            number: (title, abstract or "")
            for number, title, abstract in self._connection.execute(sql)
        }


def rank_papers(connection: sqlite3.Connection, query: Query, synonyms: Synonyms) -> list[Hit]:
    """The papers that match the words of a query and pass its filters, best first.

    At most two times CANDIDATES. Raises sqlite3.OperationalError where Datasette's time limit
    interrupts it.
    """
    index = Index(connection)
    passing = find_passing(connection, query.filters) if query.filters else None
    units = make_units(query.scored_words, synonyms)
    found: dict[int, float] = {}
    for phrases in _list_phrases(index, query, units):
        affordable, cost = _choose_affordable(index, phrases)
        expression = _write_expression(query, affordable)
        if expression:
            if query.required:
                cost = index.count_phrases(query.required_phrases)
            found = index.match(expression, passing, CANDIDATES, cost) | found
    if not units:  # only open words: bm25 is all there is
        return [Hit(number, score, frozenset()) for number, score in found.items()]
    return _score_papers(index, units, found)


def _list_phrases(index: Index, query: Query, units: Sequence[Unit]) -> list[list[Stems]]:
    """What to ask FTS5 for: the words as typed, then with those of their variants that exist."""
    typed: list[Stems] = [(word,) for word in query.words]
    plain = {(stem_word(word),) for word in query.words}
    varied = dict.fromkeys(v.stems for unit in units if query.words for v in unit.variants)
    others = [stems for stems in varied if stems not in plain and index.count_holders(stems)]
    return [typed, typed + others] if others else [typed]


def _write_expression(query: Query, phrases: Sequence[Stems]) -> str:
    """The FTS5 query: what is required, and any of the phrases, but not what is excluded."""
    any_of = " OR ".join(quote_phrase(phrase) for phrase in phrases)
    needed = list(query.required)
    if any_of:
        needed.append(f"({' OR '.join([any_of, *query.required])})")
    return query.exclude_from(" AND ".join(f"({part})" for part in needed))


def _choose_affordable(index: Index, phrases: Sequence[Stems]) -> tuple[list[Stems], int]:
    """The rarest phrases, as long as FTS5 need not go through half of all papers for them, and
    what they cost."""
    costs = {phrase: index.count_postings(map(stem_word, phrase)) for phrase in phrases}
    chosen: list[Stems] = []
    spent = 0
    for phrase, cost in sorted(costs.items(), key=lambda item: item[1]):
        if chosen and spent + cost > MAX_POSTINGS:
            break
        spent += cost
        chosen.append(phrase)
    return chosen, spent


def _score_papers(index: Index, units: Sequence[Unit], found: Mapping[int, float]) -> list[Hit]:
    """Rank candidates by bm25 over units: of a word's variants in a paper, the best one counts."""
    texts = {
        number: f" {' '.join(stem_text(title))} | {' '.join(stem_text(abstract))} "
        for number, (title, abstract) in index.read_texts(found).items()
    }
    if not texts:
        return []
    lengths = {number: text.count(" ") for number, text in texts.items()}
    usual = sum(lengths.values()) / len(lengths)
    rarities = _weigh_variants(index, units)
    hits = []
    for number, text in texts.items():
        norm = K1 * (1 - B + B * lengths[number] / usual)
        score, stems = _score_text(text, norm, rarities)
        hits.append(Hit(number, round(score, 4), stems))
    return sorted(hits, key=lambda hit: (-hit.score, hit.number))


def _weigh_variants(index: Index, units: Sequence[Unit]) -> list[list[tuple[Stems, float]]]:
    """Each unit's variants with their weight: the rarer the word, the more it tells.

    A synonym never tells more than the word that was typed.
    """
    total = index.count_papers()

    def rarity(stems: Stems) -> float:
        holders = max(1, index.count_holders(stems))
        return math.log(1 + (total - holders + 0.5) / (holders + 0.5))

    weighed = []
    for unit in units:
        most = rarity(unit.stems) if len(unit.stems) == 1 else 0.0
        weighed.append(
            [(v.stems, v.weight * min(rarity(v.stems), most or math.inf)) for v in unit.variants]
        )
    return weighed


def _score_text(
    text: str, norm: float, units: Sequence[Sequence[tuple[Stems, float]]]
) -> tuple[float, frozenset[str]]:
    """The score of one stemmed text, and the stems of the variants found in it."""
    score = 0.0
    found: set[str] = set()
    for variants in units:
        best = 0.0
        for stems, weight in variants:
            count = text.count(f" {' '.join(stems)} ")
            if count:
                found.update(stems)
                best = max(best, weight * count * (K1 + 1) / (count + norm))
        score += best
    return score, frozenset(found)
