"""What is asked of a served database, each call beside the SQL that it cannot do without."""

import csv
import io
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import yaml
from corpus import PROJECT

PAGE_MS = 50
SLOW_MS = 300
"""What is asked for at a million papers; the latter for many facets and for common words."""

COMMON_WORDS = "language model training data"
PAPERS_SEEN = 20
"""Different papers whose pages are opened in turn."""

Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """An address and the bare SQL for what it shows, in several variants that take turns.

    `bound` is what the 95th percentile may be, in milliseconds.
    """

    name: str
    variants: Sequence[tuple[str, Sequence[Statement]]]
    bound: int = PAGE_MS


def list_calls(connection: sqlite3.Connection) -> Iterator[Call]:
    """Each kind of page once, at the addresses where it has most to do, and a few of its data."""
    queries = read_queries()
    tags = [row[0] for row in connection.execute("select id from tags order by papers desc, id")]
    rare = connection.execute("select id from tags where papers > 0 order by papers, id limit 1")
    [[organization]] = connection.execute(
        "select id from organizations order by papers desc, id limit 1"
    )
    year = {"year": "2024"}
    yield Call("home", [("/", [(sql, {}) for name, sql in queries.items() if name in HOME])])
    yield Call("papers", [("/daily/papers", list_papers({}))])
    yield Call("… of a year", [make_filtered(year)])
    two = {**year, "_tag": tags[0]}
    yield Call("… and a tag", [make_filtered(two)], SLOW_MS)
    three = {**two, "authors_count": "5"}
    yield Call("… and a number of authors", [make_filtered(three)], SLOW_MS)
    yield Call("papers of a frequent tag, filtered", [make_filtered({"_tag": tags[0]})])
    yield Call("papers by comments", [make_sorted("comments")])
    yield Call("a paper", list(make_papers(list_paper_ids(connection))))
    for name, [tag] in {"a frequent tag": tags[:1], "a rare tag": rare.fetchone()}.items():
        yield Call(name, [(f"/daily/tags/{quote(tag)}", list_facet("tags", {"_tag": tag}))])
    yield Call("an organization", [make_organization(organization)])
    yield from list_searches(connection)
    for name, path, sql, bound in DATA:
        yield Call(name, [(path, [(sql, {})])], bound)


DATA = [
    (
        "100 rows as JSON", "/daily/papers.json?_shape=array&_size=100",
        "select * from papers order by published desc, id limit 101", PAGE_MS,
    ),
    (
        "feed", "/daily/feed.atom",
        "select * from papers order by published desc limit 50", PAGE_MS,
    ),
    (
        "sitemap of 10,000 papers", "/sitemap-papers-1.xml",
        "select id, last_listed from papers order by number limit 10000", SLOW_MS,
    ),
]  # fmt: skip
"""What is no page: name, address, SQL, bound."""

HOME = {
    "facts", "papers_of_newest_listing", "most_discussed", "papers_per_month",
    "papers_per_organization", "tags_in_use",
}  # fmt: skip
"""Queries of metadata.yml that the home page shows."""


def read_queries() -> dict[str, str]:
    """The SQL of metadata.yml's queries, by name."""
    metadata = yaml.safe_load((PROJECT / "metadata.yml").read_text("utf-8"))
    queries = metadata["databases"]["daily"]["queries"]
    return {name: query["sql"] for name, query in queries.items()}


def make_filtered(filters: dict[str, str]) -> tuple[str, list[Statement]]:
    return f"/daily/papers?{urlencode(filters)}", list_papers(filters)


def make_sorted(column: str) -> tuple[str, list[Statement]]:
    statement = f"select * from papers order by {column} desc, id limit 51"  # noqa: S608
    return f"/daily/papers?_sort_desc={column}", [(statement, {}), *list_papers({})[1:]]


def list_papers(filters: dict[str, str]) -> list[Statement]:
    """A page of rows, their number, and four facets; without filters, facets are stored."""
    where = write_condition(filters)
    rows = f"select * from papers where {where} order by published desc, id limit 51"  # noqa: S608
    return [(rows, filters), *count_papers(where, filters)]


def write_condition(filters: dict[str, str]) -> str:
    tagged = "id in (select paper from paper_tags where tag = :_tag)"
    parts = [tagged if name == "_tag" else f"{name} = :{name}" for name in filters]
    return " and ".join(parts) or "true"


def count_papers(where: str, filters: dict[str, str]) -> Iterator[Statement]:
    if filters:
        yield f"select count(*) from papers where {where}", filters  # noqa: S608
        tagged = f"paper in (select id from papers where {where})"  # noqa: S608
        yield group_by("tag", "paper_tags", tagged), filters
    else:
        yield "select id, papers from tags order by papers desc limit 31", {}
    for column in ("year", "organization", "authors_count"):
        yield group_by(column, "papers", f"{where} and {column} is not null"), filters


def group_by(column: str, table: str, where: str) -> str:
    return (
        f"select {column}, count(*) from {table} where {where}"  # noqa: S608
        f" group by {column} order by count(*) desc limit 31"
    )


def list_paper_ids(connection: sqlite3.Connection) -> list[str]:
    """Papers from all over the file."""
    [[last]] = connection.execute("select max(number) from papers")
    sql = "select id from papers where number > ? order by number limit 1"
    places = [place * (last - 1) // PAPERS_SEEN for place in range(PAPERS_SEEN)]
    return [paper for place in places for (paper,) in connection.execute(sql, [place])]


def make_papers(ids: Sequence[str]) -> Iterator[tuple[str, list[Statement]]]:
    """A paper's page: its row, and each of metadata.yml's queries that the page shows."""
    shown = [
        sql for name, sql in read_queries().items() if name.endswith(("_of_paper", "_to_paper"))
    ]
    for paper in ids:
        row = ("select * from papers where id = :paper", {"paper": paper})
        yield f"/daily/papers/{paper}", [row, *((sql, {"paper": paper}) for sql in shown)]


def list_facet(table: str, filters: dict[str, str]) -> list[Statement]:
    """A row's page: the row, its newest papers, its course over time, and its tags."""
    [key] = filters.values()
    where = write_condition(filters)
    return [
        (f"select * from {table} where id = :key", {"key": key}),  # noqa: S608
        (f"select * from papers where {where} order by published desc, id limit 11", filters),  # noqa: S608
        (group_by("substr(published, 1, 7)", "papers", where), filters),
        (group_by("tag", "paper_tags", f"paper in (select id from papers where {where})"), filters),  # noqa: S608
    ]


def make_organization(key: str) -> tuple[str, list[Statement]]:
    return f"/daily/organizations/{quote(key)}", list_facet("organizations", {"organization": key})


def list_searches(connection: sqlite3.Connection) -> Iterator[Call]:
    """Ranked search beside FTS5's own ranking of the same words."""
    [[rare]] = connection.execute("select word from words order by abs(papers - 10), word limit 1")
    for name, words, bound in [
        ("search: common words", COMMON_WORDS, SLOW_MS),
        ("search: a rare word", rare, PAGE_MS),
        ("search: a phrase", '"language models"', SLOW_MS),
    ]:
        expression = words if words.startswith('"') else " or ".join(words.split()).upper()
        yield Call(name, [(f"/daily/search?{urlencode({'q': words})}", rank(expression))], bound)


def rank(expression: str) -> list[Statement]:
    statement = """
        select papers.* from (
            select rowid, rank from papers_fts where papers_fts match :match order by rank limit 20
        ) as hit
        join papers on papers.number = hit.rowid order by hit.rank
    """
    return [(statement, {"match": expression})]


def stream_csv(connection: sqlite3.Connection) -> int:
    """The floor of a CSV of all papers: its size in bytes."""
    size, text = 0, io.StringIO()
    writer = csv.writer(text)
    for row in connection.execute("select * from papers order by published desc, id"):
        writer.writerow(row)
        if text.tell() > 100_000:
            size += len(text.getvalue().encode())
            text.seek(0)
            text.truncate()
    return size + len(text.getvalue().encode())
