"""Which papers are news to a subscriber: those of a few days that are of interest."""

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from .publishing.wording import say_count, say_day, shorten
from .results import Search, understand_search
from .search import NAME_CONDITIONS, Filter, make_filter, quote_phrase
from .subscribers import Interests

EXCERPT = 300
"""Characters of an abstract."""

DISCUSSED_PART = 4
"""One in so many of a mail's papers may stand there for being discussed."""

_NEW = "papers.first_listed between ? and ?"
# "+" keeps the other indexes out: of the papers of a few days, only these are gone through.
_DISCUSSED = "papers.last_listed >= ? and +papers.first_listed <= ? and +papers.comments > 0"
_IN_TEXT = "papers.number in (select rowid from papers_fts where papers_fts match ?)"
_NOT_IN_TEXT = "papers.number not in (select rowid from papers_fts where papers_fts match ?)"
_NEWEST_FIRST = "papers.first_listed desc, papers.upvotes desc, papers.comments desc, papers.number"
_MOST_DISCUSSED = "+papers.comments desc, papers.upvotes desc, papers.number desc"

_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they turn round what follows them


class DatabaseError(Exception):
    """There are no papers to tell of; the message says what to do."""


class Period(NamedTuple):
    """From one listing's day to another's, both included, as ISO dates."""

    since: str
    until: str


@dataclass(frozen=True)
class Paper:
    """What a mail says of one paper; all texts are one clean line each."""

    id: str
    title: str
    facts: tuple[str, ...]
    excerpt: str
    tags: tuple[str, ...]
    is_new: bool


@dataclass(frozen=True)
class Digest:
    """The papers of one mail. `count` is how many are new, of which `new` may show a part only;
    `discussed` come first, and are not repeated in `new`."""

    period: Period
    discussed: tuple[Paper, ...]
    new: tuple[Paper, ...]
    count: int

    @property
    def lead(self) -> Paper:
        """The first new paper."""
        return next(paper for paper in self.discussed + self.new if paper.is_new)

    @property
    def unshown(self) -> int:
        """How many new papers are not in the mail."""
        return self.count - sum(paper.is_new for paper in self.discussed + self.new)


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """The papers, to be read only. Raises DatabaseError, also for what goes wrong inside."""
    if not path.is_file():
        raise DatabaseError(f"{path} is not there; build it with build.py or make db")
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            yield connection
    except sqlite3.DatabaseError as error:
        reason = clean_text(str(error))
        raise DatabaseError(f"{path}: {reason}; build it again with build.py") from error


def knows_tag(connection: sqlite3.Connection, tag: str) -> bool:
    """Whether there is a tag of this slug or name."""
    sql = f"select 1 from tags where {NAME_CONDITIONS['tag']}"  # noqa: S608
    return connection.execute(sql, (tag.strip().lower(), tag.strip())).fetchone() is not None


def find_newest_day(connection: sqlite3.Connection, today: date) -> date | None:
    """The day of the newest listing, which is not in the future; None where no page tells one."""
    sql = "select max(last_listed) from papers where last_listed <= ?"
    (day,) = connection.execute(sql, [today.isoformat()]).fetchone()
    return date.fromisoformat(day) if day else None


def find_last_weekday(today: date, weekday: int) -> date:
    """Today, if it is that weekday (Monday is 0), or the last one before."""
    return today - timedelta(days=(today.weekday() - weekday) % 7)


def match_interests(interests: Interests) -> Filter:
    """The condition on papers: any of the tags, or any of the queries."""
    found = [make_filter("tag", tag) or Filter("false", ()) for tag in interests.tags]
    found += [match_query(typed) for typed in interests.queries]
    if not found:
        return Filter("true", ())
    return _join_conditions("or", found)


def match_query(typed: str) -> Filter:
    """The condition on papers that a search stands for.

    As where the site sorts by date, every word must occur: near misses come last on a page of
    results, but in a mail they would come alone.
    """
    query = understand_search(Search(typed))
    found = list(query.filters)
    expression = " AND ".join((*(quote_phrase([word]) for word in query.words), *query.required))
    if expression:
        found.append(Filter(_IN_TEXT, (expression,)))
    if query.excluded:
        found.append(Filter(_NOT_IN_TEXT, (" OR ".join(query.excluded),)))
    return _join_conditions("and", found)


def _join_conditions(word: str, conditions: Sequence[Filter]) -> Filter:
    sql = f" {word} ".join(f"({condition.sql})" for condition in conditions)
    return Filter(sql, tuple(value for one in conditions for value in one.parameters))


def choose_papers(
    connection: sqlite3.Connection, wanted: Filter, period: Period, top: int
) -> Digest | None:
    """The `top` papers of a period that pass a condition; None where none of them is new.

    New is what no listing had before. The most discussed may have been listed before, too.
    """
    new = _join_conditions("and", [Filter(_NEW, period), wanted])
    count = _count_papers(connection, new)
    if not count:
        return None
    listed = _join_conditions("and", [Filter(_DISCUSSED, period), wanted])
    discussed = _list_papers(connection, listed, _MOST_DISCUSSED, period, top // DISCUSSED_PART)
    ids = {paper.id for paper in discussed}
    others = _list_papers(connection, new, _NEWEST_FIRST, period, top)
    shown = [paper for paper in others if paper.id not in ids][: top - len(discussed)]
    return Digest(period, tuple(discussed), tuple(shown), count)


def _count_papers(connection: sqlite3.Connection, condition: Filter) -> int:
    sql = f"select count(*) from papers where {condition.sql}"  # noqa: S608
    (count,) = connection.execute(sql, condition.parameters).fetchone()
    return int(count)


def _list_papers(
    connection: sqlite3.Connection, condition: Filter, order: str, period: Period, limit: int
) -> list[Paper]:
    sql = (
        "select papers.*, organizations.name as organization_name from papers"  # noqa: S608
        " left join organizations on organizations.id = papers.organization"
        f" where {condition.sql} order by {order} limit ?"
    )
    rows = connection.execute(sql, (*condition.parameters, limit)).fetchall()
    names = dict(connection.execute("select id, name from tags").fetchall())
    return [_describe_paper(row, names, period) for row in rows]


def _describe_paper(row: sqlite3.Row, names: dict[str, str], period: Period) -> Paper:
    counts = [("authors_count", "author"), ("comments", "comment"), ("upvotes", "upvote")]
    facts = [
        say_day(row["published"]),
        row["organization_name"] or "",
        *(say_count(row[column], noun) for column, noun in counts if row[column]),
    ]
    return Paper(
        id=row["id"],
        title=clean_text(row["title"]),
        facts=tuple(clean_text(fact) for fact in facts if fact),
        excerpt=shorten(clean_text(row["abstract"]), EXCERPT),
        tags=tuple(clean_text(names.get(tag, tag)) for tag in json.loads(row["tags"])),
        is_new=row["first_listed"] >= period.since,
    )


def clean_text(text: str | None) -> str:
    """One line without what headers, terminals and readers stumble over: control characters, and
    signs that turn the direction of writing."""
    signs = (
        " " if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") else sign
        for sign in _DIRECTIONS.sub("", text or "")
    )
    return " ".join("".join(signs).split())
