"""Dates as listing pages print them, and the year that most of them leave out."""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from .listing import YearSource

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_PRINTED = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2})(?:, (\d{4}))?")
_IN_FILE_NAME = re.compile(
    r"(?<![0-9A-Za-z])(?P<year>(?:19|20)\d\d)(?:"
    r"-W(?P<week>\d\d)|"
    r"(?P<dash>[-_.]?)(?P<month>0[1-9]|1[0-2])(?:(?P=dash)(?P<day>0[1-9]|[12]\d|3[01]))?"
    r")(?![0-9A-Za-z])"
)


@dataclass(frozen=True)
class PrintedDate:
    """A month and a day, with the year only where the page prints one ("Oct 12, 2021")."""

    month: int
    day: int
    year: int | None = None

    def on(self, year: int | None) -> datetime.date | None:
        """The day in its own year or else in `year`; None without a year or such a day."""
        try:
            return datetime.date(
                (year or 0) if self.year is None else self.year, self.month, self.day
            )
        except ValueError:
            return None


def parse_printed_date(text: str) -> PrintedDate | None:
    """Parse "Dec 30" or "Oct 12, 2021"; None where the text is no date (as "Feb 30")."""
    match = _PRINTED.fullmatch(text)
    return _make_date(match[1][:3].lower(), match[2], match[3]) if match else None


@lru_cache(maxsize=4_096)  # pages print few days often
def _make_date(month: str, day: str, year: str | None) -> PrintedDate | None:
    if month not in _MONTHS:
        return None
    date = PrintedDate(_MONTHS.index(month) + 1, int(day), int(year) if year else None)
    return date if date.on(2024) else None  # a leap year, so that Feb 29 may stand


@dataclass(frozen=True)
class CaptureDate:
    """When a page was saved, as far as its file's name tells: a year, perhaps a day."""

    year: int
    day: datetime.date | None = None


def find_capture_date(file_name: str) -> CaptureDate | None:
    """The date in a file's name: 2025-12-30, 20251230, 2025_12 or 2025-W52, on its own."""
    match = _IN_FILE_NAME.search(file_name)
    if not match:
        return None
    day = None
    if match["day"]:
        day = PrintedDate(int(match["month"]), int(match["day"])).on(int(match["year"]))
    return CaptureDate(int(match["year"]), day)


def choose_year(
    option: int | None,
    named: CaptureDate | None,
    stated: CaptureDate | None,
    printed: Iterable[PrintedDate],
) -> tuple[int | None, YearSource | None]:
    """The year of a page's year-less dates, and where it is from.

    The --year option, else a date in the file's name, else the capture's day as the page states
    it, else one more than the latest year that
    the page prints: it prints years only for dates outside of its own (see DESIGN, "what the
    listing pages mean"; true of all captures seen).
    """
    if option is not None:
        return option, YearSource.OPTION
    if named is not None:
        return named.year, YearSource.FILE_NAME
    if stated is not None:
        return stated.year, YearSource.STATED
    years = [date.year for date in printed if date.year is not None]
    return (max(years) + 1, YearSource.INFERRED) if years else (None, None)


def choose_day(
    heading: PrintedDate | None, year: int | None, named: CaptureDate | None
) -> datetime.date | None:
    """The day a page lists: its heading in the capture's year, else the file name's day.

    A page saved on 2 January may still show Dec 30: that day lies in the year before.
    """
    named_day = named.day if named else None
    if heading is None:
        return named_day
    day = heading.on(year)
    if day and named_day and heading.year is None and day > named_day and year == named_day.year:
        return heading.on(named_day.year - 1) or day
    return day
