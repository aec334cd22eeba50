"""What went wrong, in a visitor's words: what it was, and what to do about it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .wording import shorten

SHOWN = 120
"""Characters of an address, or of a message, that a sentence repeats."""

MAX_WORDS = 12

_WORD = re.compile(r"[^\W_]+")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")

_OTHER_COLUMN = "The About page lists the columns of every table."
_OTHER_WAY = "Check the address, or go back and choose another way."

_REASONS = [
    (
        r"Cannot sort table by (.+)",
        "This table cannot be sorted by “{}”.",
        "Choose a column whose heading is a link.",
    ),
    (
        r"Cannot use _sort and _sort_desc at the same time",
        "A table is sorted by _sort or by _sort_desc, not by both.",
        "Leave one of the two out of the address.",
    ),
    (
        r"_size must be <= (\d+)",
        "A page holds at most {} rows.",
        "Ask for fewer with _size, and follow the link to the next page for more.",
    ),
    (
        r"_size must be a positive integer",
        "_size, the number of rows on a page, must be a whole number.",
        "Change it, or leave it out of the address.",
    ),
    (r"no such column: (.+)", "There is no column “{}” here.", _OTHER_COLUMN),
    (r"_(?:no)?col=(.*) - invalid columns", "There is no column “{}” here.", _OTHER_COLUMN),
    (r"no such table: (.+)", "There is no table “{}”.", "The About page lists the tables."),
    (
        r"Statement must be a SELECT",
        "Only queries can be run here: SQL that begins with “select” or “with”.",
        "To change the data, download the database and work on the copy.",
    ),
]
"""Datasette's messages, what they mean, and what to do. {} is what the message names."""


@dataclass(frozen=True)
class Explanation:
    """An error as its page tells it.

    All of it is text to be escaped: much of it repeats what the visitor sent. `sql` and
    `parameters` are a query to change and run again, `search` is words to search for instead.
    `message` is Datasette's, which programs may know, where it has one.
    """

    status: int
    title: str
    said: str
    advice: str = ""
    sql: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    search: str = ""
    message: str = ""


def tell_programs(explained: Explanation, title: str | None) -> dict[str, object]:
    """The error in the form of Datasette's JSON; `title` is Datasette's, where it has one."""
    said = explained.message or f"{explained.said} {explained.advice}".strip()
    return {"ok": False, "error": said, "status": explained.status, "title": title}


def explain_missing(message: str, path: Sequence[str]) -> Explanation:
    """404. `path` is what stands between the address's slashes, decoded."""
    *_, table, name = ["", "", *path]
    if message == "Record not found":
        said = f"The table “{shorten(table, SHOWN)}” has no row “{shorten(name, SHOWN)}”."
    elif message == "Table not found":
        said = f"There is no table and no query “{shorten(name, SHOWN)}”."
    elif message.strip() in ("", "404", "Database not found"):
        said = f"There is no page at /{shorten('/'.join(path), SHOWN)}."
    else:
        said = shorten(message, SHOWN)
    return Explanation(404, "Not found", said, search=find_words(name), message=message)


def explain_slow_query(
    sql: str, parameters: Mapping[str, object] | None, limit_ms: int
) -> Explanation:
    """400. The query with what was put in, to be changed and tried again."""
    limit = limit_ms / 1000
    return Explanation(
        400,
        "That query takes too long",
        f"A query may run for {limit:g} second{'' if limit == 1 else 's'} here, and this one was"
        " stopped then.",
        "Add a limit, or filter by a column that has an index, such as year, organization or"
        " published. To count, ask tables that hold their counts already: tags, organizations and"
        " authors_count.",
        sql=sql,
        parameters={name: str(value) for name, value in (parameters or {}).items()},
    )


def explain_request(message: str) -> Explanation:
    """400: what the address asks for and cannot have."""
    title = "That request does not work"
    for pattern, said, advice in _REASONS:
        if match := re.fullmatch(pattern, message):
            named = [shorten(group, SHOWN) for group in match.groups()]
            return Explanation(400, title, said.format(*named), advice, message=message)
    said = f"It was refused with: {shorten(message, SHOWN)}" if message else "It was refused."
    return Explanation(400, title, said, _OTHER_WAY, message=message)


def explain_method() -> Explanation:
    """405."""
    return Explanation(
        405,
        "Nothing can be sent here",
        "This site only answers questions; nothing on it can be changed.",
        "To change the data, download the database and work on the copy.",
        message="Method not allowed",
    )


def explain_busy(message: str) -> Explanation:
    """503."""
    return Explanation(
        503,
        "Too many at once",
        "Others are running queries here at this moment, and only a few run at once.",
        "Try again in some seconds. For many queries, download the database.",
        message=message,
    )


def explain_forbidden() -> Explanation:
    """403."""
    return Explanation(
        403,
        "Not for everyone",
        "This page is not open to you.",
        "If it should be, ask whoever runs this site.",
    )


def explain_failure() -> Explanation:
    """500: nothing about the cause, which is for the log alone."""
    return Explanation(
        500,
        "Something went wrong here",
        "That is this site’s fault, not yours, and it is in the site’s log now.",
        "Try again in a minute, or try another way.",
    )


def find_words(name: str) -> str:
    """The words of an address's last part, as a search for what it may have meant."""
    words = _WORD.findall(_EXTENSION.sub("", name[:500]))
    return shorten(" ".join(words[:MAX_WORDS]), SHOWN)
