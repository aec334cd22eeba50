"""One module a format. The file's content decides which reader takes it, not its name."""

import datetime
import hashlib
from dataclasses import replace

from ..captures import CaptureError, decode_capture
from ..dates import (
    CaptureDate,
    PrintedDate,
    choose_day,
    choose_year,
    find_capture_date,
    parse_printed_date,
)
from ..listing import Entry, Listing, Problem, Severity, bound_problems
from . import api, cards, dense, html, links_after, markdown, numbered_links
from .page import Page, quote

READERS = [markdown, numbered_links, links_after, api, html, cards, dense]
"""The first that recognises a text reads it: those that know their own marks before those that
take any "·" for a byline or any text for dense. Each has FORMAT, `recognise(text) -> bool` and
`read(text) -> Page`."""


def read_listing(file: str, content: bytes, year: int | None = None) -> Listing:
    """Read one saved page. Pure: no clock, no network, and never an exception for bad content.

    `file` is the file's name without its folder; `year` is the --year option. A file that
    cannot be read gives a Listing without entries and with the problem that says why.
    """
    blank = Listing(file, hashlib.sha256(content).hexdigest())
    try:
        text, problems = decode_capture(content)
        page, page_format = _read_page(text)
    except CaptureError as error:
        return replace(blank, problems=(Problem(error.line, Severity.ERROR, f"not read: {error}"),))
    listing = replace(
        blank,
        format=page_format,
        heading=page.heading,
        listed_on=page.listed_on,
        query=page.query,
        entries=page.entries,
        problems=(*problems, *page.problems),
    )
    stated = datetime.date.fromisoformat(page.captured_on) if page.captured_on else None
    return _date_listing(listing, year, CaptureDate(stated.year, stated) if stated else None)


def _read_page(text: str) -> tuple[Page, str]:
    reader = next(reader for reader in READERS if reader.recognise(text))
    page = reader.read(text)
    if page.entries or page.problems:
        return page, reader.FORMAT
    raise CaptureError("no cards found; is this a Daily Papers page?")


def _date_listing(listing: Listing, option: int | None, stated: CaptureDate | None) -> Listing:
    """Give the year-less dates their year, and report those that cannot have it."""
    printed = [parse_printed_date(entry.published_printed or "") for entry in listing.entries]
    named = find_capture_date(listing.file)
    year, year_source = choose_year(option, named, stated, [date for date in printed if date])
    heading = parse_printed_date(listing.heading or "")
    day = choose_day(heading, year, named or stated)
    listed_on = listing.listed_on or (day.isoformat() if day else None)
    dated = [
        entry._replace(published=entry.published or _resolve_date(date, year))
        for entry, date in zip(listing.entries, printed, strict=True)
    ]
    problems = [
        *listing.problems,
        *_check_years(dated, printed, year),
        *_check_days(dated, printed, listed_on),
    ]
    return replace(
        listing,
        year=year,
        year_source=year_source,
        listed_on=listed_on,
        entries=tuple(dated),
        problems=tuple(sorted(bound_problems(problems), key=lambda problem: problem.line or 0)),
    )


def _resolve_date(date: PrintedDate | None, year: int | None) -> str | None:
    day = date.on(year) if date else None
    return day.isoformat() if day else None


def _check_years(
    entries: list[Entry], printed: list[PrintedDate | None], year: int | None
) -> list[Problem]:
    """One problem for all dates that lack a year, or one each for Feb 29 of a common year."""
    undated = [
        entry for entry, date in zip(entries, printed, strict=True) if date and not entry.published
    ]
    if year is None and undated:
        message = f"and {len(undated) - 1} others have no year" if undated[1:] else "has no year"
        advice = "give --year or put the day into the file's name"
        return [_warn(undated[0], f"{message}; {advice}")]
    return [_warn(entry, f"does not exist in {year}; check --year") for entry in undated]


def _check_days(
    entries: list[Entry], printed: list[PrintedDate | None], listed_on: str | None
) -> list[Problem]:
    """A year-less date after the page's own day: the year or the day must be wrong."""
    return [
        _warn(entry, f"is after the page's own day {listed_on}; check --year or the file's name")
        for entry, date in zip(entries, printed, strict=True)
        if date and date.year is None and listed_on and (entry.published or "") > listed_on
    ]


def _warn(entry: Entry, message: str) -> Problem:
    printed = entry.published_printed or ""
    return Problem(entry.line, Severity.WARNING, f"the date {quote(printed)} {message}", printed)
