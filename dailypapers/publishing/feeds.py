"""Atom feeds of papers: which feed goes with which page, and how a feed is written."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from xml.sax.saxutils import quoteattr

from feedgen.feed import FeedGenerator

from .facets import FACETS, Pair, make_address, read_pairs
from .filters import MAX_SHOWN, read_filters, say_filter
from .wording import shorten

SITE = "Daily Papers"
CONTENT_TYPE = "application/atom+xml; charset=utf-8"
SUFFIX = ".atom"

PAPERS = "/daily/papers"
SEARCH = "/daily/search"
NEWEST = "/daily/feed"
"""Of no search, the newest papers; else the newest of a search."""

SEARCHED = ("q", "tag", "org", "year")
"""Parameters of a search that say which papers are meant."""

MAX_ENTRIES = 50
MAX_AUTHORS = 50
"""Authors named in one entry; the rest are on the paper's page."""

FIND_ENTRIES = f"""
    select papers.id, papers.title, papers.abstract, papers.published,
        max(coalesce(published, ''), coalesce(first_listed, ''), coalesce(last_listed, ''))
            as updated,
        coalesce(organizations.name, authors_count.label, 'Authors not known') as byline,
        (select json_group_array(name) from (
            select authors.name from paper_authors
            join authors on authors.id = paper_authors.author
            where paper_authors.paper = papers.id
            order by paper_authors.position limit {MAX_AUTHORS}
        )) as authors,
        (select json_group_array(json_array(id, name)) from (
            select tags.id, tags.name from paper_tags
            join tags on tags.id = paper_tags.tag
            where paper_tags.paper = papers.id
            order by tags.id
        )) as tags
    from papers
    left join organizations on organizations.id = papers.organization
    left join authors_count on authors_count.authors_count = papers.authors_count
    where papers.id in (select value from json_each(?))
        and coalesce(papers.published, papers.first_listed) is not null
    order by coalesce(papers.published, papers.first_listed) desc, papers.id
    limit {MAX_ENTRIES}
"""  # noqa: S608
"""The newest of the papers whose ids are in a JSON array, but for those of which no day is
known: nothing true could be said of when they changed."""

FIND_LABELS = " union all ".join(
    f"select '{table}', {facet.key}, {facet.label} from {table} where {facet.key} in"  # noqa: S608
    f" (select json_extract(value, '$[1]') from json_each(:rows)"
    f" where json_extract(value, '$[0]') = '{table}')"
    for table, facet in FACETS.items()
)
"""The table, key and name of rows that a JSON array names as pairs of table and key."""

LAST_DAY = """
    select coalesce(
        (select max(last_listed) from papers), (select max(published) from papers), '1970-01-01'
    )
"""
"""When anything was listed last: what a feed without entries says of its last change."""

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG_URI = "tag:daily-papers.invalid,2025:"


@dataclass(frozen=True)
class Entry:
    """One paper. Days are as YYYY-MM-DD; `updated` is the last on which something is known to
    have changed, `tags` are pairs of slug and name, and `link` is absolute."""

    id: str
    title: str
    link: str
    updated: str
    published: str | None
    abstract: str | None
    authors: Sequence[str]
    tags: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Feed:
    """`address` is the feed's own without origin and base, so that it stays when the site moves;
    the other addresses are absolute. `updated` is the day that counts where nothing is in it."""

    address: str
    title: str
    self_link: str
    page_link: str
    rights: str
    updated: str
    entries: Sequence[Entry]


def choose_pairs(path: str, pairs: Iterable[Pair]) -> list[Pair]:
    """What of an address says which papers are meant. Order and form of a page do not."""
    pairs = list(pairs)
    if path == PAPERS:
        chosen = [one.pair for one in read_filters(pairs, of_papers=True)]
        return chosen + [pair for pair in pairs if pair[0] == "_searchmode"]
    first = dict(reversed(pairs))  # of several values, Datasette gives a query the first
    names = [name for name, _ in pairs if not name.startswith("_")]
    wanted = SEARCHED if path in (SEARCH, NEWEST) else dict.fromkeys(names)
    return [(name, first[name]) for name in wanted if first.get(name, "").strip()]


def make_feed_address(path: str, query_string: str) -> str:
    """The feed of a page's papers, always newest first. Paths here are without base_url."""
    feed = NEWEST if path == SEARCH else path
    return make_address(feed + SUFFIX, choose_pairs(path, read_pairs(query_string)))


def make_page_address(path: str, query_string: str) -> str:
    """The page for people that shows what a feed does; `path` is the feed's without suffix."""
    chosen = choose_pairs(path, read_pairs(query_string))
    if path != NEWEST:
        return make_address(path, chosen)
    return make_address(SEARCH, [*chosen, ("sort", "newest")]) if chosen else PAPERS


def ask_for_newest(query_string: str) -> str:
    """The query string of the papers page for a feed: newest first, and nothing counted that a
    feed does not show."""
    asked = [("_sort_desc", "published"), ("_size", str(MAX_ENTRIES))]
    uncounted = [("_nofacet", "1"), ("_nocount", "1")]
    chosen = choose_pairs(PAPERS, read_pairs(query_string))
    return urlencode([*chosen, *asked, *uncounted])


def list_undated_queries(papers_sql: str) -> list[str]:
    """Ways to ask for the papers without a date of publication that were listed last, which the
    papers page has at its end: where one takes too long, there are many, and the next is quick.

    `papers_sql` is the page's, from Datasette, with parameters.
    """
    every, _, _ = papers_sql.rpartition(" order by ")
    # "+": not by this column's index
    ways = [("published", "+first_listed"), ("+published", "first_listed")]
    return [
        f"select id from ({every}\n) where {published} is null and first_listed is not null"  # noqa: S608
        f" order by {listed} desc limit {MAX_ENTRIES}"
        for published, listed in ways
    ]


def list_named_rows(path: str, query_string: str) -> str:
    """The rows that the filters of the papers page name, for FIND_LABELS."""
    pairs = choose_pairs(path, read_pairs(query_string)) if path == PAPERS else []
    return json.dumps([one.row for one in read_filters(pairs, of_papers=True) if one.row])


def say_title(
    path: str, query_string: str, labels: Mapping[tuple[str, str], str], of_query: str | None
) -> str:
    """Which papers these are, as the papers page says it, or as it was typed into the search.

    `labels` are the names of rows, by (table, id); `of_query` is the title of a query of ours.
    """
    chosen = choose_pairs(path, read_pairs(query_string))
    if path == PAPERS:
        return join_title(say_filter(one, labels) for one in read_filters(chosen, of_papers=True))
    if path == NEWEST:
        return join_title(shorten(value, MAX_SHOWN) for _, value in chosen)
    return join_title([of_query or "a query of your own"])


def join_title(words: Iterable[str]) -> str:
    """ "Daily Papers: Distillation, 2024"."""
    return f"{SITE}: {', '.join(words) or 'the newest'}"


def make_entry(row: Mapping[str, Any], link: str) -> Entry:
    """An entry from a row of FIND_ENTRIES. Where no author is named, the byline stands for them."""
    return Entry(
        id=row["id"],
        title=row["title"],
        link=link,
        updated=row["updated"],
        published=row["published"],
        abstract=row["abstract"],
        authors=json.loads(row["authors"]) or [row["byline"]],
        tags=json.loads(row["tags"]),
    )


def write_feed(feed: Feed) -> bytes:
    """The feed as Atom. Texts may hold anything; what XML cannot say is left out of them."""
    generator = FeedGenerator()
    generator.id(f"{_TAG_URI}feeds{quote(feed.address, safe='/%?&=+~$-._')}")
    generator.title(clean_text(feed.title))
    generator.link(href=feed.self_link, rel="self", type="application/atom+xml")
    generator.link(href=feed.page_link, rel="alternate", type="text/html")
    generator.author(name=SITE)
    generator.rights(feed.rights)
    changed = max((entry.updated for entry in feed.entries), default=feed.updated)
    generator.updated(_read_day(changed))
    for entry in feed.entries:
        _add_entry(generator, entry)
    written: bytes = generator.atom_str(pretty=True)
    return written


def _add_entry(generator: FeedGenerator, entry: Entry) -> None:
    item = generator.add_entry(order="append")
    item.id(f"{_TAG_URI}papers/{quote(entry.id)}")
    item.title(clean_text(entry.title) or "Untitled")
    item.link(href=entry.link)
    item.updated(_read_day(entry.updated))
    if entry.published:
        item.published(_read_day(entry.published))
    for name in entry.authors:
        item.author(name=clean_text(name))
    for slug, name in entry.tags:
        item.category(term=clean_text(slug), label=clean_text(name))
    if entry.abstract:
        item.content(clean_text(entry.abstract), type="text")


def _read_day(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def clean_text(text: str) -> str:
    """The text without control characters and the like, which XML cannot even escape."""
    return _NO_XML.sub("", text)


def write_opml(feeds: Iterable[tuple[str, str]]) -> str:
    """A list of feeds, as pairs of title and absolute address, for feed readers to import."""
    outlines = "".join(
        f'<outline type="rss" text={quoteattr(clean_text(title))} xmlUrl={quoteattr(address)}/>\n'
        for title, address in feeds
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0">\n'
        f"<head><title>{SITE}</title></head>\n<body>\n{outlines}</body>\n</opml>\n"
    )
