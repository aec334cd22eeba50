"""How much of its second each query takes: `python bench/queries.py [DB] [--above 100]`.

Every query of metadata.yml with the values that give it most to do, and searches for common words
within every kind of filter, in every order, each run as the site runs it. Prints the time of the
processor that the slowest values took, as a table in Markdown; exits with 1 where that is the
second after which Datasette cuts off.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import product
from pathlib import Path
from typing import Any

import click
from calls import COMMON_WORDS, read_queries
from corpus import PROJECT
from datasette.app import Datasette
from datasette.utils import sqlite_timelimit

LIMIT = 1_000
"""Milliseconds that a query may take, as settings.json has it."""

WORDS = (
    "", "model", COMMON_WORDS, "picture of a model", '"language models"', '"of the" title:model',
    "model -training", "-model", "-adaptation", "mod*",
)  # fmt: skip
FILTERS = (
    "", "tag:{tag}", "tag:{old}", "tag:{rare}", "-tag:{tag}", "tag:{tag} tag:{second}",
    "tag:{tag} tag:{old}", "tag:{old} -tag:{tag}", "org:{organization}",
    "org:{organization} tag:{old}", "year:{year}", "year:{first_year}", "-year:{year}",
    "year:{first_year} tag:{tag}", "year:{year} tag:{old}", "authors:{authors}", "authors:>40",
    "comments:>2", "comments:>100", "upvotes:>1", "tag:{tag} year:{year} authors:{authors}",
)  # fmt: skip
SORTS = ("", "newest", "discussed")


Slowest = tuple[float, dict[str, Any]]


def read_values(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """By the name of a parameter, the values that give most to do."""

    def ask(sql: str) -> list[Any]:
        return [value for (value,) in connection.execute(sql).fetchall()]

    tags = ask("select id from tags where papers > 0 order by papers desc, id")
    years = ask("select year from papers where year is not null group by 1 order by count(*) desc")
    papers = ask("select paper from entries group by paper order by count(*) desc limit 2")
    return {
        "tag": [*tags[:3], tags[-1], *find_old_tags(connection, tags[:20])],
        "first": tags[:2],
        "second": [*tags[1:3], tags[-1], *find_old_tags(connection, tags[:20])],
        "organization": ask("select id from organizations order by papers desc limit 2"),
        "author": ask("select id from authors order by papers desc limit 1") or ["nobody"],
        "year": [str(year) for year in (years[0], min(years), max(years), max(years) + 1)],
        "authors": ["0", "1", "5"],
        "kind": ask("select kind from links group by kind order by count(*) desc") or ["code"],
        "paper": papers,
        "from_day": ["0", "9"],
        "to_day": ["9"],
        "after": [0],
        "q": ["", COMMON_WORDS, "disstillation of reasonign"],
        "org": [""],
        "sort": [""],
        "page": ["1"],
    }


def find_old_tags(connection: sqlite3.Connection, tags: Sequence[str]) -> list[str]:
    """The one of frequent tags whose newest paper is the oldest."""
    sql = """
        select tag, max(number) from paper_tags join papers on id = paper
        where tag = ? group by tag
    """
    found = [row for tag in tags for row in connection.execute(sql, [tag])]
    return [min(found, key=lambda row: row[1])[0]] if found else []


def list_queries(values: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, SQL and parameters: each query with each combination of the values it takes."""
    queries = read_queries()
    for name, sql in queries.items():
        taken = [parameter for parameter in values if f":{parameter}" in sql]
        for chosen in product(*(values[parameter] for parameter in taken)):
            yield name, sql, dict(zip(taken, chosen, strict=True))


def list_searches(
    values: Mapping[str, Sequence[Any]],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The same of searches: words, filters, and orders."""
    sql = read_queries()["search"]
    known = {
        "tag": values["tag"][0], "second": values["tag"][1], "rare": values["tag"][3],
        "old": values["tag"][-1], "organization": values["organization"][0],
        "year": values["year"][0], "first_year": values["year"][1], "authors": "5",
    }  # fmt: skip
    blank = dict.fromkeys(("tag", "org", "year"), "")
    for words, filters in product(WORDS, FILTERS):
        typed = f"{words} {filters.format(**known)}".strip()
        for sort, page in [*product(SORTS, ["1"]), ("authors", "500")]:
            yield f"search: {words}", sql, {"q": typed, **blank, "sort": sort, "page": page}


def time_query(connection: sqlite3.Connection, sql: str, parameters: Mapping[str, Any]) -> float:
    """Milliseconds of the processor, at most three times LIMIT."""
    start = time.thread_time()
    with suppress(sqlite3.OperationalError), sqlite_timelimit(connection, 3 * LIMIT):
        connection.execute(sql, parameters).fetchmany(1_001)
    return (time.thread_time() - start) * 1000


def find_slowest(connection: sqlite3.Connection, above: float) -> dict[str, Slowest]:
    """By name, what took longest; what seems slow is asked twice, as the first reads the file."""
    values = read_values(connection)
    slowest: dict[str, Slowest] = {}
    for name, sql, parameters in [*list_queries(values), *list_searches(values)]:
        took = time_query(connection, sql, parameters)
        if above < took < LIMIT:
            took = min(took, time_query(connection, sql, parameters))
        if name not in slowest or took > slowest[name][0]:
            slowest[name] = took, parameters
    return slowest


async def measure(path: Path, above: float) -> bool:
    """Print the table; whether nothing was cut off."""
    site = Datasette(immutables=[str(path)], config_dir=PROJECT, inspect_data={})
    await site.invoke_startup()
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        site._prepare_connection(db, "daily")
        slowest = find_slowest(db, above)
    print("| query | ms | of its second | slowest with |\n|---|---|---|---|")
    for name, (took, parameters) in slowest.items():
        if took > above:
            values = ", ".join(f"{name}={value}" for name, value in parameters.items() if value)
            print(f"| {name} | {took:,.0f} | {took / LIMIT:.0%} | {values} |")
    most = max(took for took, _ in slowest.values())
    print(f"\n{len(slowest)} queries and words; {most:,.0f} ms at most")
    return all(took < LIMIT for took, _ in slowest.values())


@click.command(help=__doc__)
@click.argument(
    "path", type=click.Path(exists=True, path_type=Path), default=PROJECT / "db/daily.db"
)
@click.option("--above", default=100.0, show_default=True, help="Milliseconds; 0 prints all.")
def main(path: Path, above: float) -> None:
    sys.exit(not asyncio.run(measure(path, above)))


if __name__ == "__main__":
    main()
