"""The API's JSON: an array of entries, or JSON Lines of the same objects.

The rules come from answers of /api/daily_papers between 2024 and 2026: the paper stands in
`paper`, the comments beside it; an organization in either; `paper.publishedAt` is the paper's date
in UTC, while the outer one changed its meaning; `paper.submittedOnDailyAt` is the day listed.
Each field is checked by itself, so that a broken one costs no more than its fact.
"""

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..captures import CaptureError
from ..listing import Entry, Problem, Severity
from .page import MAX_ABSTRACT, MAX_PROBLEM_TEXT, MAX_TITLE, Page, mend_text, quote, refuse_cards

FORMAT = "api json"

MAX_NAMES = 10_000
MAX_COUNT = 1_000_000_000

MAX_VALUES = 10_000_000
"""Commas and brackets of a file; a hundred megabytes of made-up answers have 3,200,000. Python
needs some seventy bytes for each list or object, and all of one entry at once."""

MAX_DAMAGED = 20
"""Lines of a file that may each be damaged by itself: the rest of the file may be read for each."""

_BEGINS = re.compile(r"\s*(?:\[\s*(?:[{\"\[\]]|null|\d|true|false)|\{\s*[\"}])")
_ARXIV_ID = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7}")
_BETWEEN = re.compile(r"[\s,]*")


def recognise(text: str) -> bool:
    """JSON begins with an array of something or with an object."""
    return bool(_BEGINS.match(text))


def read(text: str) -> Page:
    """Read the entries one by one: a damaged one, or a file cut short, costs no other."""
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise CaptureError(f"more than {MAX_VALUES:,} values are no listing; split the file")
    entries: list[Entry] = []
    problems: list[Problem] = []
    days: Counter[str] = Counter()
    for position, (line, value) in enumerate(_read_values(text), 1):
        refuse_cards(position)
        if isinstance(value, Problem):
            problems.append(value)
            continue
        entry, wrong = read_entry(value, position, line)
        problems += wrong
        if entry:
            entries.append(entry)
            days.update(_find_day(value))
    problems += _find_repeated(entries)
    listed_on = days.most_common(1)[0][0] if days else None
    return Page(None, tuple(entries), tuple(problems), listed_on=listed_on)


def _read_values(text: str) -> Iterator[tuple[int, Any]]:
    """The values of an array, or of lines, with the line where each begins.

    Where the text is no JSON any more, one Problem stands for the rest, or, of lines, for what
    comes before the next line that is an object.
    """
    decoder = json.JSONDecoder(parse_int=read_int)
    place = _skip(_BETWEEN, text, 0)
    is_array = text.startswith("[", place)
    place += is_array
    line, counted, damaged = 1, 0, int(is_array) * MAX_DAMAGED
    while (place := _skip(_BETWEEN, text, place)) < len(text):
        line, counted = line + text.count("\n", counted, place), place
        if is_array and text[place] == "]":
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            damaged += 1
            following = text.find("\n{", place) if damaged <= MAX_DAMAGED else -1
            yield line, _lose_rest(line, text[place : place + MAX_PROBLEM_TEXT], error, following)
            if following < 0:
                return
            place = following
        else:
            yield line, value
    if is_array:
        message = "the file ends before its array does; entries may be missing, save it again"
        yield line, Problem(line, Severity.WARNING, message)


def _lose_rest(line: int, text: str, error: Exception, following: int) -> Problem:
    reason = "nested too deeply" if isinstance(error, RecursionError) else "no JSON from here"
    end = "the end of the file" if following < 0 else "the next object"
    return lose(line, f"{reason} to {end}; save it again", text)


def read_int(digits: str) -> float:
    """For the JSON decoder. Python refuses numbers of more than 4,300 digits, and with them the
    rest of the file; no count is as large."""
    return int(digits) if len(digits) < 20 else float(digits)


def _skip(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place


def read_entry(value: object, position: int, line: int) -> tuple[Entry | None, list[Problem]]:
    """One entry of the API; None with an ERROR where it is unusable."""
    refused = _find_refusal(value)
    if refused or not isinstance(value, Mapping):
        reason = f"entry {position} {refused}; fetch the day again"
        return None, [lose(line, reason, _quote(value))]
    return _read_fields(value, value["paper"], position, line)


def _find_refusal(value: object) -> str | None:
    """Why an entry cannot be used at all; None where it can."""
    if not isinstance(value, Mapping):
        kind = {str: "a text", list: "a list", type(None): "null"}.get(type(value), "a number")
        return f"is {kind} and no object"
    paper = value.get("paper")
    if not isinstance(paper, Mapping):
        return "has no paper"
    title = paper.get("title")
    if not isinstance(title, str) or not title.strip():
        return "has no title"
    return f"has a title of {len(title):,} characters" if len(title) > MAX_TITLE else None


def _read_fields(
    value: Mapping[str, Any], paper: Mapping[str, Any], position: int, line: int
) -> tuple[Entry, list[Problem]]:
    title = mend_text(paper["title"])
    fields = _Fields(line, f"{position} ({quote(title)})")
    organization = fields.read_object(
        value.get("organization") or paper.get("organization"), "organization"
    )
    slug = fields.read_text(organization.get("name"), "organization")
    authors = fields.read_names(paper.get("authors"), "authors")
    entry = Entry(
        position=position,
        line=line,
        title=" ".join(title.split()),
        abstract=fields.read_abstract(paper.get("summary")),
        published_printed=_print_date(paper.get("publishedAt")),
        published=fields.read_date(paper.get("publishedAt"), "publishedAt"),
        authors_count=len(authors) or None,
        organization=slug,
        organization_name=fields.read_text(organization.get("fullname"), "organization") or slug,
        comments=fields.read_count(value.get("numComments"), "numComments"),
        upvotes=fields.read_count(paper.get("upvotes"), "upvotes"),
        arxiv_id=fields.read_arxiv_id(paper.get("id")),
        is_summary=True,
        authors=authors,
        keywords=fields.read_names(paper.get("ai_keywords"), "ai_keywords"),
    )
    return entry, fields.problems


class _Fields:
    """Reads the fields of one entry; what is not as it should be becomes a problem and None."""

    def __init__(self, line: int, entry: str) -> None:
        self._line = line
        self._entry = entry
        self.problems: list[Problem] = []

    def read_text(self, value: object, name: str) -> str | None:
        if value is None or (isinstance(value, str) and len(value) <= MAX_TITLE):
            return " ".join(mend_text(value).split()) or None if value else None
        self._refuse(value, name)
        return None

    def read_abstract(self, value: object) -> str | None:
        if value is None or (isinstance(value, str) and len(value) <= MAX_ABSTRACT):
            return mend_text(value) or None if value else None
        self._refuse(value, "summary")
        return None

    def read_count(self, value: object, name: str) -> int | None:
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
            return value
        self._refuse(value, name)
        return None

    def read_date(self, value: object, name: str) -> str | None:
        if value is None:
            return None
        day = parse_day(value)
        if day is None:
            self._refuse(value, name)
        return day

    def read_arxiv_id(self, value: object) -> str | None:
        if isinstance(value, str) and _ARXIV_ID.fullmatch(value):
            return value
        self._refuse(value, "id")
        return None

    def read_object(self, value: object, name: str) -> Mapping[str, Any]:
        if value is None or isinstance(value, Mapping):
            return value or {}
        self._refuse(value, name)
        return {}

    def read_names(self, value: object, name: str) -> tuple[str, ...]:
        """Texts, or objects with a name, in order; authors and keywords come so."""
        if value is not None and not isinstance(value, list):
            self._refuse(value, name)
            return ()
        items = (value or [])[:MAX_NAMES]
        texts = [item.get("name") if isinstance(item, Mapping) else item for item in items]
        good = [
            text for text in texts if isinstance(text, str) and 0 < len(text.strip()) <= MAX_TITLE
        ]
        if len(good) < len(texts):
            self._refuse(value, name)
        return tuple(" ".join(mend_text(text).split()) for text in good)

    def _refuse(self, value: object, name: str) -> None:
        message = f"entry {self._entry}: its {name} cannot be used; fetch the day again"
        self.problems.append(Problem(self._line, Severity.WARNING, message, _quote(value)))


def parse_day(value: object) -> str | None:
    """The UTC day of "2025-12-30T17:35:16.000Z", as ISO date; None where it is none."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        utc = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None
    return utc.date().isoformat()


def _print_date(value: object) -> str | None:
    return mend_text(value[:40]) if isinstance(value, str) else None


def _find_day(value: Mapping[str, Any]) -> list[str]:
    """The day on which the entry was listed, where it says."""
    day = parse_day(value["paper"].get("submittedOnDailyAt"))
    return [day] if day else []


def _find_repeated(entries: list[Entry]) -> Iterator[Problem]:
    """A paper that stands twice in one answer counts twice, but somebody should look."""
    first: dict[str, int] = {}
    for entry in entries:
        if entry.arxiv_id and first.setdefault(entry.arxiv_id, entry.position) != entry.position:
            message = (
                f"entry {entry.position} repeats entry {first[entry.arxiv_id]}, {entry.arxiv_id}"
            )
            yield Problem(entry.line, Severity.WARNING, message, entry.title)


def lose(line: int, reason: str, text: str) -> Problem:
    """A problem that costs its entry."""
    return Problem(line, Severity.ERROR, reason, mend_text(text))


def _quote(value: object) -> str:
    return mend_text(str(value)[:MAX_PROBLEM_TEXT])
