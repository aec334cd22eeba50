"""Build the database from saved listing pages: `python build.py [LISTING …]`."""

import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

import click

from dailypapers.captures import find_captures, name_capture
from dailypapers.catalogue import Catalogue
from dailypapers.command import is_watched, run_command, say, say_when_stopped, shorten_path
from dailypapers.database import (
    BESIDE,
    WriteError,
    explain_failure,
    hold_folder,
    replace_database,
    write_database,
)
from dailypapers.finishing import forget_inspect_data, write_inspect_data
from dailypapers.parquet import find_parquet_folder, is_parquet_possible, write_parquet
from dailypapers.reading import read_files
from dailypapers.tagging import Tagger, Vocabulary, VocabularyError, load_vocabulary

PROJECT = Path(__file__).resolve().parent
SHOWN_PROBLEMS = 20
"""How many problems of one file are printed; all are in the table `problems`."""


@click.command()
@click.argument("listings", nargs=-1, type=click.Path(path_type=Path), metavar="[LISTING …]")
@click.option(
    "--db",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The database to write.  [default: db/daily.db]",
)
@click.option(
    "--year",
    type=click.IntRange(1991, 2100),
    help="The year of dates printed without one.  [default: what file name or page tell]",
)
@click.option("--strict", is_flag=True, help="Any problem fails the build; the old file stays.")
@click.option(
    "--parquet", is_flag=True, help="Write the tables as Parquet, too: db/parquet/daily/."
)
def build(
    listings: tuple[Path, ...], target: Path | None, year: int | None, strict: bool, parquet: bool
) -> None:
    """Build a searchable database from saved Daily Papers pages.

    LISTING is a saved page or a folder of them (by default listings/).
    """
    if parquet and not is_parquet_possible():
        raise click.UsageError("--parquet needs pyarrow, which is not there: pip install pyarrow")
    target = target or shorten_path(PROJECT / "db" / "daily.db")
    _check_target(target)
    paths = find_captures(listings or [shorten_path(PROJECT / "listings")])
    try:
        _build(paths, target, year, strict)
    except (WriteError, VocabularyError) as error:
        raise click.ClickException(str(error)) from error
    if parquet:
        _write_parquet(target)
    say(f"Wrote {target} ({target.stat().st_size / 1e6:.1f} MB). {_tell_how_to_serve(target)}")


def _check_target(target: Path) -> None:
    """A typing error must not replace a listing, or a device, with a database."""
    try:
        facts = target.stat()
        if not S_ISREG(facts.st_mode):
            raise click.UsageError(f"{target} is not a file; choose another --db")
        with target.open("rb") as file:
            if facts.st_size and file.read(15) != b"SQLite format 3":
                raise click.UsageError(f"{target} is not a database; choose another --db")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error.strerror}") from error


def _build(paths: list[Path], target: Path, year: int | None, strict: bool) -> None:
    vocabulary = load_vocabulary(PROJECT / "vocabulary.yml")
    with _read_all(paths, target, year, Tagger(vocabulary)) as catalogue:
        _report_problems(catalogue, paths)
        _report_listings(catalogue)
        _check_catalogue(catalogue, target, strict)
        _write(catalogue, target, vocabulary)


@contextmanager
def _read_all(
    paths: list[Path], target: Path, year: int | None, tagger: Tagger
) -> Iterator[Catalogue]:
    hidden = not is_watched()
    with explain_failure(target), read_files(paths, year, tagger, target.resolve().parent) as read:
        with click.progressbar(
            read, label="Reading", length=len(paths), file=sys.stderr, hidden=hidden
        ) as bar:
            catalogue = Catalogue(bar, tagger)
        yield catalogue


def _report_problems(catalogue: Catalogue, paths: list[Path]) -> None:
    """As compilers do: "listings/page.txt:12: warning: …", so that editors can jump there."""
    shown: Counter[str] = Counter()
    folders = {name_capture(path): path for path in paths}
    for key, problem in catalogue.problems:
        shown[key] += problem.count
        if shown[key] <= SHOWN_PROBLEMS:
            place = f"{folders[catalogue.listings[key].listing.file]}:{problem.line or ''}".rstrip(
                ":"
            )
            say(f"{place}: {problem.severity}: {problem.message}")
    for key, count in shown.items():
        if count > SHOWN_PROBLEMS:
            file_name = catalogue.listings[key].listing.file
            say(f"{file_name}: … and {count - SHOWN_PROBLEMS:,} more problems")


def _report_listings(catalogue: Catalogue) -> None:
    new = catalogue.new_papers
    problems: Counter[str] = Counter()
    for key, problem in catalogue.problems:
        problems[key] += problem.count
    for key, one in catalogue.listings.items():
        say(
            f"{one.listing.file}: {_count(one.cards, 'card')}, {_count(one.entries, 'entry')}, "
            f"{_count(new[key], 'new paper')}, {one.entries - new[key]:,} repeated, "
            f"{_count(problems[key], 'problem')}"
        )
    listings = catalogue.listings.values()
    papers = len(catalogue.papers)
    say(
        f"{_count(len(listings), 'file')}: {_count(sum(one.cards for one in listings), 'card')}, "
        f"{_count(papers, 'paper')}, {sum(one.entries for one in listings) - papers:,} "
        f"repeated, {_count(problems.total(), 'problem')}"
    )


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _check_catalogue(catalogue: Catalogue, target: Path, strict: bool) -> None:
    """A build without a paper replaces nothing; with --strict, nor does one with a problem."""
    if not catalogue.papers:
        if all(one.listing.sha256 is None for one in catalogue.listings.values()):
            raise click.UsageError("no listing to read; name saved pages or a folder of them")
        raise click.ClickException(f"no paper was read; {target} is left as it was")
    if strict and catalogue.problems:
        raise click.ClickException(
            f"{_count(sum(problem.count for _, problem in catalogue.problems), 'problem')} and "
            f"--strict; {target} is left as it was"
        )


def _write(catalogue: Catalogue, target: Path, vocabulary: Vocabulary) -> None:
    """Write the database and, for one in db/, what Datasette wants to know beforehand."""
    report = say if is_watched() else _be_silent
    inspect_file = PROJECT / "inspect-data.json"
    is_served = target.resolve().parent == PROJECT / "db"
    with hold_folder(target, say):
        with replace_database(target, BESIDE) as building:
            write_database(building.path, catalogue, vocabulary, report)
            if is_served:
                forget_inspect_data(target, inspect_file)
        if is_served:
            _write_inspect_data(target, inspect_file, building.sha256)


def _write_inspect_data(target: Path, inspect_file: Path, sha256: str) -> None:
    """Without it, Datasette reads the whole file when it starts."""
    unfinished = f"{target} is written, but not {inspect_file.name}"
    try:
        with say_when_stopped(f"stopped; {unfinished}"):
            write_inspect_data(target, inspect_file, sha256)
    except OSError as error:
        raise click.ClickException(f"{unfinished}: {error.strerror or error}") from error


def _write_parquet(target: Path) -> None:
    """Say which files there are; without them, the database is a good one all the same."""
    unfinished = f"{target} is written, but not its Parquet files"
    try:
        with say_when_stopped(f"stopped; {unfinished}"):
            paths = write_parquet(target)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.ClickException(f"{unfinished}: {reason}") from error
    size = sum(path.stat().st_size for path in paths) / 1e6
    say(f"Wrote {_count(len(paths), 'file')} in {find_parquet_folder(target)}/ ({size:.1f} MB).")


def _tell_how_to_serve(target: Path) -> str:
    default = target.resolve() == PROJECT / "db" / "daily.db"
    return "Serve it: make serve" if default else f"Serve it: datasette . -i {target} --cors"


def _be_silent(message: str) -> None:
    """Progress is for people at a terminal."""


if __name__ == "__main__":
    run_command(build, "build.py", "stopped; the database is as it was")
