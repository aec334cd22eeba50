"""How a search was understood, as a sentence; and what its form offers to choose from.

The sentence is made of the query that is run, so that the two cannot differ.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..search import NAME_CONDITIONS, Filter, Phrase, Query
from .wording import say_category, say_count, say_number, shorten

MAX_SAID = 12
"""Words, phrases or names of one kind that the sentence lists."""

MAX_LETTERS = 60
"""Letters of each of them."""

ORDERS = {
    "newest": "newest first",
    "discussed": "most discussed first",
    "authors": "most authors first",
}

ORGANIZATIONS = 50
"""Organizations that the form offers."""

_LIST_YEARS = """
with recursive years(year) as (
    select max(year) from papers
    union all
    select (select max(year) from papers where papers.year < years.year) from years
    where year is not null limit 200
)
select year from years where year is not null
"""
"""From one year to the next by the index, however many papers each has."""

_AND_OR = {False: " and ", True: " or "}
"""Between what must hold, and between what must not."""

_NOUNS = {"authors": "author", "comments": "comment", "upvotes": "upvote"}
_COMPARED = {
    "=": "",
    ">": "more than ",
    ">=": "at least ",
    "<": "fewer than ",
    "<=": "at most ",
}
_YEARS = {
    "=": "of {}",
    ">": "published after {}",
    ">=": "of {} or later",
    "<": "published before {}",
    "<=": "of {} or earlier",
    "between": "of {} to {}",
}

Names = Mapping[tuple[str, str], str]
"""The printed names of tags and organizations, by field and what was typed."""


def describe_search(query: Query, sort: str, names: Names) -> str:
    """A search in one sentence of plain text, without its page.

    A tag or organization that `names` does not hold is said not to be there.
    """
    for condition in query.filters:
        if not condition.field:
            return f"No papers: {_quote(condition.value)} holds nothing to look for."
    years = _say_years(query)
    clauses = [*_say_names(query, names), *_say_numbers(query), *_say_texts(query, sort)]
    order = ORDERS.get(sort, "best match first" if query.is_text else ORDERS["newest"])
    if not (years or clauses):
        return f"All papers, {order}."
    said = f"Papers {years} {', '.join(clauses)}"
    return f"{' '.join(said.split())}; {order}."


def look_up_names(connection: sqlite3.Connection, query: Query) -> dict[tuple[str, str], str]:
    """The names that `describe_search` needs, of the tags and organizations that there are."""
    names = {}
    for condition in query.filters:
        if condition.field in NAME_CONDITIONS:
            sql = (
                f"select name from {condition.field}s"  # noqa: S608
                f" where {NAME_CONDITIONS[condition.field]} order by papers desc limit 1"
            )
            row = connection.execute(sql, condition.parameters).fetchone()
            if row:
                names[condition.field, condition.value] = str(row[0])
    return names


def list_choices(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """What the form offers: `tags` as groups (label, tags), the organizations with the most
    papers, and the years, newest first. Tags and organizations are dicts of id, name, papers."""
    tags = connection.execute(
        "select category, id, name, papers from tags where papers > 0 order by category, name"
    )
    organizations = connection.execute(
        "select id, name, papers from organizations where papers > 0"
        " order by papers desc, name limit ?",
        [ORGANIZATIONS],
    )
    return {
        "tags": [
            {"label": say_category(category), "tags": [_make_choice(row[1:]) for row in rows]}
            for category, rows in groupby(tags, key=lambda row: str(row[0]))
        ],
        "organizations": [_make_choice(row) for row in organizations],
        "years": [year for (year,) in connection.execute(_LIST_YEARS)],
    }


def _make_choice(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("id", "name", "papers"), row, strict=True))


def _say_years(query: Query) -> str:
    said = ["not " * year.negated + _say_year(year) for year in _choose_filters(query, "year")]
    return _join(said, " and ")


def _say_year(condition: Filter) -> str:
    if not condition.operator:
        return f"of year {_quote(condition.value)} (no such year)"
    return _YEARS[condition.operator].format(*condition.parameters)


def _say_names(query: Query, names: Names) -> list[str]:
    """The organizations and tags that papers must, and must not, have."""
    said = []
    for field, verb in (("organization", "by"), ("tag", "tagged")):
        wanted = _choose_filters(query, field)
        for negated in (False, True):
            found = [
                _say_name(condition, names) for condition in wanted if condition.negated == negated
            ]
            if found:
                said.append("not " * negated + f"{verb} {_join(found, _AND_OR[negated])}")
    return said


def _say_name(condition: Filter, names: Names) -> str:
    name = names.get((condition.field, condition.value))
    if name is None:
        return f"{_quote(condition.value)} (no such {condition.field})"
    return _quote(name) if condition.field == "tag" else shorten(name, MAX_LETTERS)


def _say_numbers(query: Query) -> list[str]:
    wanted = [condition for field in _NOUNS for condition in _choose_filters(query, field)]
    said = []
    for negated in (False, True):
        found = [_say_number(condition) for condition in wanted if condition.negated == negated]
        if found:
            said.append("not " * negated + f"with {_join(found, _AND_OR[negated])}")
    return said


def _say_number(condition: Filter) -> str:
    *first, last = (int(number) for number in condition.parameters)
    compared = f"{say_number(first[0])} to " if first else _COMPARED[condition.operator]
    return compared + say_count(last, _NOUNS[condition.field])


def _choose_filters(query: Query, field: str) -> list[Filter]:
    return [condition for condition in query.filters if condition.field == field]


def _say_texts(query: Query, sort: str) -> list[str]:
    required = [phrase for phrase in query.phrases if not phrase.negated]
    excluded = [phrase for phrase in query.phrases if phrase.negated]
    return [
        *_say_phrases("that hold", required, " and "),
        *_say_words(query.words, bool(required), sort in ORDERS),
        *_say_phrases("without", excluded, " or "),
    ]


def _say_words(words: Sequence[str], beside_required: bool, all_first: bool) -> list[str]:
    """In another order than relevance, papers with all of the words are what is shown, if any."""
    if not words:
        return []
    shown = [shorten(word, MAX_LETTERS) for word in words]
    if beside_required:
        listed = _join(shown, " and ")
        return [
            f"with {listed} too if there are any" if all_first else f"ideally with {listed} too"
        ]
    listed = _join(shown, ", ")
    if len(shown) == 1:
        return [f"with the word {listed}"]
    if all_first:
        return [f"with all of the words {listed} (with any of them, if none has all)"]
    return [f"with any of the words {listed}"]


def _say_phrases(verb: str, phrases: Iterable[Phrase], joint: str) -> list[str]:
    """What texts must, or must not, hold: anywhere, then in the title."""
    anywhere: list[str] = []
    in_title: list[str] = []
    for phrase in phrases:
        plain = phrase.negated and len(phrase.words) == 1 and not phrase.is_open
        words = " ".join(phrase.words)
        said = shorten(words, MAX_LETTERS) if plain else _quote(words, phrase.is_open)
        (in_title if phrase.in_title else anywhere).append(said)
    clauses = [f"{verb} {_join(anywhere, joint)}"] if anywhere else []
    if in_title:
        title_verb = "without" if verb == "without" else "with"
        clauses.append(f"{title_verb} {_join(in_title, joint)} in the title")
    return clauses


def _quote(text: str, is_open: bool = False) -> str:
    return f"“{shorten(text, MAX_LETTERS)}{'…' * is_open}”"


def _join(said: Sequence[str], joint: str) -> str:
    """ "a, b and c", each once; of very many, the first and how many more there are."""
    different = list(dict.fromkeys(said))
    listed = different[:MAX_SAID]
    if len(different) > MAX_SAID:
        listed.append(f"{len(different) - MAX_SAID} more")
    return joint.join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
