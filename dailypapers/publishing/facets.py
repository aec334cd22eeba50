"""The tables whose rows each stand for a set of papers: what selects them, and what a row's own
page asks about them. All SQL here is made of the fixed names below; values are parameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette.utils import tilde_encode

Pair = tuple[str, str]
Row = dict[str, Any]

FIRST_PAPERS = 10
"""Papers on the page of a tag, an organization, …"""

NEIGHBOURS = 12

FREQUENT = 2_000
"""Papers from which on walking through all by date finds the newest sooner than sorting them."""

VERY_FREQUENT = 100_000
"""Papers from which on a table page must not sort them: past a second Datasette gives up."""

MAX_VALUES = 20
"""Filters through relations that count in one address."""


@dataclass(frozen=True)
class Facet:
    """How a row selects papers: `column` of `links` holds its key, and `paper` the paper's id.

    `parameter` is the papers page's; `words` say what its papers are, `chip` says so briefly.
    """

    parameter: str
    links: str
    paper: str
    column: str
    words: str
    chip: str = ""
    key: str = "id"
    label: str = "name"
    total: str = "papers"

    def say(self, label: str) -> str:
        """The filter in brief."""
        return (self.chip or self.words).format(label)


FACETS: Mapping[str, Facet] = {
    "tags": Facet("_tag", "paper_tags", "paper", "tag", "tagged {}", chip="{}"),
    "organizations": Facet("organization", "papers", "id", "organization", "from {}"),
    "authors_count": Facet(
        "authors_count", "papers", "id", "authors_count", "{}", key="authors_count", label="label"
    ),
    "listings": Facet(
        "_listing", "entries", "paper", "listing", "listed in {}", label="file",
        # A listing may show a paper twice; of a very long one, that is not looked up.
        total="case when entries > 10000 then entries else"
        " (select count(distinct paper) from entries where listing = listings.id) end",
    ),
    "authors": Facet("_author", "paper_authors", "paper", "author", "by {}"),
    "keywords": Facet("_keyword", "paper_keywords", "paper", "keyword", "keyword {}"),
}  # fmt: skip

RELATIONS: Mapping[str, str] = {
    facet.parameter: table for table, facet in FACETS.items() if facet.parameter.startswith("_")
}
"""Parameters of the papers page that are no columns, and the tables that they name rows of."""


def read_pairs(query_string: str) -> list[Pair]:
    """The names and values of an address, blank ones too."""
    return parse_qsl(query_string, keep_blank_values=True)


def read_relations(pairs: Iterable[Pair]) -> list[Pair]:
    """The filters through relations: each once, none blank, MAX_VALUES at most."""
    found = (pair for pair in pairs if pair[0] in RELATIONS and pair[1].strip())
    return list(dict.fromkeys(found))[:MAX_VALUES]


def make_address(path: str, pairs: Iterable[Pair]) -> str:
    """A path with a query string, where there are pairs."""
    query_string = urlencode(list(pairs))
    return f"{path}?{query_string}" if query_string else path


def change_pairs(
    pairs: Iterable[Pair], *, without: Iterable[Pair] = (), added: Iterable[Pair] = ()
) -> list[Pair]:
    """Other filters, hence from the first page on: `_next` never remains."""
    dropped = set(without)
    return [pair for pair in pairs if pair[0] != "_next" and pair not in dropped] + [*added]


def select_papers(facet: Facet, parameter: str = "id") -> str:
    """SQL for the ids of a row's papers, where the row's key is a named parameter."""
    return f"select {facet.paper} from {facet.links} where {facet.column} = :{parameter}"  # noqa: S608


def match_papers(facet: Facet, papers: int, parameter: str = "id") -> str:
    """The condition that a paper is one of the row's `papers`.

    SQLite does not know how many that are and would look up and sort a quarter of all papers;
    asked about one paper after the other, it stops at the end of the page.
    """
    match = _match_at_once if papers < VERY_FREQUENT else _match_each
    return match(facet, parameter)


def _match_at_once(facet: Facet, parameter: str = "id") -> str:
    if facet.links == "papers":
        return f"papers.{facet.column} = :{parameter}"
    return f"papers.id in ({select_papers(facet, parameter)})"


def _match_each(facet: Facet, parameter: str = "id") -> str:
    return (
        f"exists (select 1 from {facet.links} as link"  # noqa: S608
        f" where link.{facet.paper} = papers.id and link.{facet.column} = :{parameter})"
    )


def find_rows(table: str) -> str:
    """SQL for the id, name and number of papers of the rows that JSON array `:ids` names."""
    facet = FACETS[table]
    return f"""
        select {table}.{facet.key} as id, {facet.label} as name, {facet.total} as papers
        from json_each(:ids) as wanted
        cross join {table} on {table}.{facet.key} = wanted.value
    """  # noqa: S608


_CARD = """
    papers.id, papers.title, papers.abstract, papers.published, papers.authors_count,
    papers.organization, organizations.name as organization_name, papers.comments,
    papers.upvotes, papers.tags
"""
_NEWEST = """
    with newest as (
        select papers.id from papers where {condition}
        order by {published} desc, papers.id limit :limit
    )
    select {card} from newest
    cross join papers on papers.id = newest.id
    left join organizations on organizations.id = papers.organization
    order by papers.published desc, papers.id
"""
_LISTED = f"""
    select {_CARD}, entries.position, entries.line, entries.id as entry
    from entries
    cross join papers on papers.id = entries.paper
    left join organizations on organizations.id = papers.organization
    where entries.listing = :id and not exists (
        select 1 from entries as earlier
        where earlier.paper = entries.paper and earlier.listing = entries.listing
        and earlier.position < entries.position
    )
    order by entries.position limit :limit
"""  # noqa: S608

LIST_CARDS = f"""
    select {_CARD} from json_each(:numbers) as listed
    cross join papers on papers.number = listed.value
    left join organizations on organizations.id = papers.organization
    order by papers.published desc, papers.id
"""  # noqa: S608
"""The papers whose numbers are in a JSON array, in the papers page's order."""


def list_first_papers(table: str, papers: int) -> list[str]:
    """Ways to ask for the first `:limit` papers: where one takes too long, the next may not.

    A listing's are in its own order. Others are newest first, in the papers page's exact order,
    so that its next page goes on where these end.
    """
    if table == "listings":
        return [_LISTED]
    facet = FACETS[table]
    ways = [(_match_at_once(facet), "+papers.published")]  # "+": not by the index of the dates
    if papers > FREQUENT and facet.links != "papers":
        ways.insert(0, (_match_each(facet), "papers.published"))
    return [
        _NEWEST.format(condition=condition, published=published, card=_CARD)
        for condition, published in ways
    ]


def count_months(table: str) -> str:
    """SQL for the row's papers by month of publication; NULL for those without a date."""
    return f"""
        select substr(published, 1, 7) as month, count(*) as papers from papers
        where {_match_at_once(FACETS[table])} group by month order by month
    """  # noqa: S608


def sum_months(days: Iterable[tuple[str | None, int]]) -> list[Row]:
    """The same of papers by day, where None comes first and the days upwards."""
    months: dict[str | None, int] = {}
    for day, papers in days:
        month = day[:7] if day is not None else None
        months[month] = months.get(month, 0) + papers
    return [{"month": month, "papers": papers} for month, papers in months.items()]


def split_course(months: Iterable[Row]) -> tuple[list[Row], int]:
    """The months with a name, and how many papers are of none."""
    rows = list(months)
    undated = sum(row["papers"] for row in rows if row["month"] is None)
    return [row for row in rows if row["month"] is not None], undated


_NEARBY = """
    select authors_count as id, label as name, papers from authors_count
    where authors_count in (
        (select max(authors_count) from authors_count where authors_count < :id and papers > 0),
        (select min(authors_count) from authors_count where authors_count > :id and papers > 0)
    )
    order by authors_count
"""


def find_neighbours(table: str) -> str:
    """SQL for the `:tag_limit` tags most frequent on the row's papers, without the row itself.

    Of a number of authors, the numbers before and after it instead.
    """
    if table == "authors_count":
        return _NEARBY
    others = "and tag <> :id" if table == "tags" else ""
    return _COUNT_TAGS.format(papers=select_papers(FACETS[table]), others=others)


def count_tags(papers_sql: str) -> str:
    """SQL for the `:tag_limit` tags most frequent on the papers whose ids a query selects."""
    return _COUNT_TAGS.format(papers=papers_sql, others="")


_COUNT_TAGS = """
    with counted as (
        select tag, count(*) as papers from paper_tags
        where paper in ({papers}) {others}
        group by tag order by count(*) desc, tag limit :tag_limit
    )
    select tags.id, tags.name, counted.papers from counted
    cross join tags on tags.id = counted.tag
    order by counted.papers desc, tags.id
"""

STORED_TAGS = """
    select id, name, papers from tags where papers > 0
    order by papers desc, id limit :tag_limit
"""
"""The tags of all papers, which nobody needs to count."""

NAME_TAGS = """
    select tags.id, tags.name, json_extract(counted.value, '$[1]') as papers
    from json_each(:counted) as counted
    cross join tags on tags.id = json_extract(counted.value, '$[0]')
    order by counted.key
"""
"""The tags of a JSON array of slugs and counts, in its order."""


def make_next_pairs(table: str, key: str, last: Row) -> list[Pair]:
    """The query string of the page after the first papers, of which `last` is the last.

    It leads to the papers page; for a listing, to the entries, which alone have its order.
    """
    if table == "listings":
        token = f"{last['position']},{last['entry']}"
        return [("listing", key), ("_sort", "position"), ("_next", token)]
    published = last["published"]
    begin = "$null" if published is None else tilde_encode(published)
    token = f"{begin},{tilde_encode(last['id'])}"
    return [(FACETS[table].parameter, key), ("_sort_desc", "published"), ("_next", token)]


def link_neighbours(
    table: str, key: str, neighbours: Sequence[Row], papers_path: str, table_path: str
) -> list[Row]:
    """The neighbours with `url`: the papers that are both, or the neighbour's own page."""
    if table == "authors_count":
        return [{**row, "url": f"{table_path}/{row['id']}"} for row in neighbours]
    own = (FACETS[table].parameter, key)
    return [
        {**row, "url": make_address(papers_path, [own, ("_tag", row["id"])])} for row in neighbours
    ]
