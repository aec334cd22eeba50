"""What reading gives: a listing, its entries, and the problems it had.

A *listing* is one saved page. An *entry* is one card on it, as printed. A *paper* is what
several entries may speak of; papers are made later, in merge.py.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How much a problem cost: ERROR lost a card or a file, WARNING only a fact."""

    ERROR = "error"
    WARNING = "warning"


class YearSource(StrEnum):
    """Where the year of a listing's year-less dates comes from, best first."""

    OPTION = "option"
    FILE_NAME = "file name"
    STATED = "stated"
    INFERRED = "inferred"


MAX_PROBLEMS = 10_000
"""Errors of a file that are told one by one, and as many warnings."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a reader could not use. `line` counts from 1; None speaks of the whole file.

    `count` is how many such problems it stands for: see `bound_problems`.
    """

    line: int | None
    severity: Severity
    message: str
    text: str = ""
    count: int = 1


def bound_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The first MAX_PROBLEMS of each severity, and one for all the others, with their number.

    What a file of a million broken lines costs is bounded so, and no line is forgotten.
    """
    bounded: list[Problem] = []
    for severity in Severity:
        own = [problem for problem in problems if problem.severity is severity]
        bounded += own[:MAX_PROBLEMS]
        if rest := own[MAX_PROBLEMS:]:
            count = sum(problem.count for problem in rest)
            message = f"and {count:,} more from here on; the first of them: {rest[0].message}"
            bounded.append(replace(rest[0], message=message, count=count))
    return bounded


class Entry(NamedTuple):
    """One card. A fact the page does not state is None, never 0 or ''.

    `line` is where the title stands (from 1), `position` which card of the listing it is
    (from 1). `title` is the printed one with white space collapsed; `abstract` is the printed
    line untouched, so that its hash ties to the page, and `is_summary` where it is the API's
    own, which no page has cut or marked. `published` is an ISO date, filled in once the year is
    known where the page prints none. `authors` are names in order.
    """

    position: int
    line: int
    title: str
    abstract: str | None = None
    published_printed: str | None = None
    published: str | None = None
    authors_count: int | None = None
    organization: str | None = None
    organization_name: str | None = None
    comments: int | None = None
    upvotes: int | None = None
    arxiv_id: str | None = None
    is_summary: bool = False
    authors: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def abstract_sha256(self) -> str | None:
        """Hex SHA-256 of the abstract's line exactly as printed, in UTF-8."""
        if self.abstract is None:
            return None
        return hashlib.sha256(self.abstract.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Listing:
    """One file. `format` is None where no reader knew its content, `sha256` (hex, of its bytes)
    where it could not even be opened."""

    file: str
    sha256: str | None
    format: str | None = None
    heading: str | None = None
    listed_on: str | None = None
    year: int | None = None
    year_source: YearSource | None = None
    query: str | None = None
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def cards(self) -> int:
        """Cards on the page: each is an entry or a problem of severity ERROR. A file that no
        reader knew has none; its ERROR is about the whole file."""
        errors = (problem for problem in self.problems if problem.severity is Severity.ERROR)
        lost = sum(problem.count for problem in errors)
        return len(self.entries) + lost if self.format else 0

    @property
    def order(self) -> tuple[str, str, str]:
        """The one order in which listings count: oldest first, undated ones before all.

        It depends on what the listing is, not on where it lay or when it was named, so that
        the same listings give the same database whatever their order on the command line.
        """
        return (self.listed_on or "", self.file, self.sha256 or "")
