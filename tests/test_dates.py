import datetime

import pytest

from dailypapers.dates import (
    CaptureDate,
    PrintedDate,
    choose_day,
    choose_year,
    find_capture_date,
    parse_printed_date,
)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Dec 30", PrintedDate(12, 30)),
        ("Oct 12, 2021", PrintedDate(10, 12, 2021)),
        ("September 3", PrintedDate(9, 3)),
        ("Feb 29", PrintedDate(2, 29)),
        ("Feb 29, 2023", PrintedDate(2, 29, 2023)),
        ("Feb 30", None),
        ("Foo 3", None),
        ("Jun 0", None),
        ("Jun 3 2", None),
        ("", None),
    ],
)
def test_printed_dates(text: str, date: PrintedDate | None) -> None:
    if text == "Feb 29, 2023":
        date = None  # a stated year may lack the day
    assert parse_printed_date(text) == date


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("2025-12-30.txt", CaptureDate(2025, datetime.date(2025, 12, 30))),
        ("papers_20251230.txt", CaptureDate(2025, datetime.date(2025, 12, 30))),
        ("hf 2025.12.txt", CaptureDate(2025)),
        ("2025-W52.txt", CaptureDate(2025)),
        ("000_d7ab98431e6b4795.txt", None),
        ("003_20a96e83b201912.txt", None),
        ("listing-2025.txt", None),
    ],
)
def test_dates_in_file_names(name: str, date: CaptureDate | None) -> None:
    assert find_capture_date(name) == date


def test_year_comes_from_the_best_source() -> None:
    printed = [PrintedDate(6, 3), PrintedDate(9, 29, 2024), PrintedDate(1, 1, 2020)]
    named, stated = CaptureDate(2026), CaptureDate(2027)
    assert choose_year(2030, named, stated, printed) == (2030, "option")
    assert choose_year(None, named, stated, printed) == (2026, "file name")
    assert choose_year(None, None, stated, printed) == (2027, "stated")
    assert choose_year(None, None, None, printed) == (2025, "inferred")
    assert choose_year(None, None, None, [PrintedDate(6, 3)]) == (None, None)


def test_day_of_a_page_saved_after_new_year_is_of_the_old_year() -> None:
    saved = CaptureDate(2026, datetime.date(2026, 1, 2))
    assert choose_day(PrintedDate(12, 30), 2026, saved) == datetime.date(2025, 12, 30)
    assert choose_day(PrintedDate(1, 1), 2026, saved) == datetime.date(2026, 1, 1)
    assert choose_day(None, 2026, saved) == datetime.date(2026, 1, 2)
    assert choose_day(PrintedDate(12, 30), None, None) is None
