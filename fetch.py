"""Fetch days from the Daily Papers API into listings/: `python fetch.py [DAY …]`."""

import datetime
import math
import sys
from pathlib import Path

import click

from dailypapers.command import is_watched, run_command, say, shorten_path
from dailypapers.fetching import (
    BASE_URL,
    MAX_DAYS,
    AddressError,
    FetchError,
    Question,
    Source,
    WriteError,
    ask_day,
    ask_trending,
    cut_future,
    fetch_file,
    list_since,
    open_source,
    parse_day,
    parse_month,
    parse_week,
)

PROJECT = Path(__file__).resolve().parent


def _check_seconds(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    """Refuse "nan", which click takes for a number within any range."""
    if math.isnan(seconds):
        raise click.BadParameter("nan is not a number of seconds.", context, parameter)
    return seconds


@click.command()
@click.argument("days", nargs=-1, metavar="[DAY …]")
@click.option("--week", "weeks", multiple=True, metavar="YYYY-Www", help="An ISO week's days.")
@click.option("--month", "months", multiple=True, metavar="YYYY-MM", help="A month's days.")
@click.option("--since", metavar="DAY", help="All days from this one to today (UTC).")
@click.option("--trending", is_flag=True, help="What trends now, as trending-DAY.json.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to.  [default: listings]",
)
@click.option("--refresh", is_flag=True, help="Fetch days again whose file is there.")
@click.option("--base-url", default=BASE_URL, show_default=True, help="The API's site.")
@click.option(
    "--pause",
    type=click.FloatRange(min=0, max=3600),
    callback=_check_seconds,
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="The least time between two requests.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    callback=_check_seconds,
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long to wait for an answer to go on.",
)
def fetch(
    days: tuple[str, ...],
    weeks: tuple[str, ...],
    months: tuple[str, ...],
    since: str | None,
    trending: bool,
    folder: Path | None,
    refresh: bool,
    base_url: str,
    pause: float,
    timeout: float,
) -> None:
    """Fetch days of Daily Papers, one file a day.

    DAY is a date such as 2025-12-30. A day whose file is there is not fetched again; so a run
    that was stopped goes on where it stopped. A day without papers gives no file.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    questions = [ask_day(day) for day in _list_days(days, weeks, months, since, today)]
    if trending:
        questions.append(ask_trending(today))
    if not questions:
        raise click.UsageError("name days, --week, --month, --since or --trending")
    folder = folder or shorten_path(PROJECT / "listings")
    try:
        with open_source(base_url, pause=pause, timeout=timeout, notice=say) as source:
            failed = _fetch_all(source, questions, folder, refresh)
    except AddressError as error:
        raise click.UsageError(str(error)) from error
    except WriteError as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.ClickException(f"{failed:,} of {len(questions):,} could not be fetched")


def _list_days(
    days: tuple[str, ...],
    weeks: tuple[str, ...],
    months: tuple[str, ...],
    since: str | None,
    today: datetime.date,
) -> list[datetime.date]:
    """All days asked for, oldest first. Those of the current week and month end today."""
    try:
        found = {day for text in days for day in cut_future([parse_day(text)], today)}
        for text in weeks:
            found.update(cut_future(parse_week(text), today))
        for text in months:
            found.update(cut_future(parse_month(text), today))
        if since is not None:
            found.update(list_since(since, today))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if len(found) > MAX_DAYS:
        raise click.UsageError(f"{len(found):,} days are more than {MAX_DAYS:,}; take fewer")
    return sorted(found)


def _fetch_all(source: Source, questions: list[Question], folder: Path, refresh: bool) -> int:
    """Fetch what is asked, one line each, and count what could not be fetched."""
    failed = 0
    hidden = not is_watched()
    with click.progressbar(questions, label="Fetching", file=sys.stderr, hidden=hidden) as bar:
        for question in bar:
            try:
                outcome = fetch_file(source, question, folder, refresh)
            except FetchError as error:
                outcome = f"not fetched: {error}"
                failed += 1
            say(f"{question.name}: {outcome}")
    return failed


if __name__ == "__main__":
    run_command(
        fetch,
        "fetch.py",
        "stopped; what was fetched stays, and the same command goes on from there",
    )
