"""Papers and entries as rows, and what is known of an entry before others of its paper are."""

import json
from operator import attrgetter
from typing import Any, NamedTuple

from .links import find_links
from .listing import Entry
from .merge import Paper, Sighting, make_paper
from .schema import TABLES
from .tagging import Tagger

Row = tuple[Any, ...]
"""Values in the order of a table's columns."""

_ENTRY_FACTS = attrgetter(
    *(name for name in TABLES["entries"].columns if name not in ("id", "listing", "paper"))
)


class Signs(NamedTuple):
    """What a paper's title and abstract tell: tags as (slug, evidence), by slug, and links as
    (url, kind)."""

    tags: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]


def find_signs(title: str, abstract: str | None, tagger: Tagger | None) -> Signs:
    """The tags and links of a readable text; without a tagger, no tags."""
    earned = tagger.tag(title, abstract) if tagger else []
    links = find_links(abstract or "")
    return Signs(
        tuple((slug, evidence) for slug, evidence in sorted(earned)),
        tuple((link.url, link.kind.value) for link in links),
    )


def make_paper_facts(paper: Paper, signs: Signs) -> Row:
    """The row of a paper, from its title on, but for the days on which it was listed."""
    return (
        paper.title,
        paper.abstract,
        paper.published,
        int(paper.published[:4]) if paper.published else None,
        paper.authors_count,
        paper.organization,
        paper.comments,
        paper.upvotes,
        paper.arxiv_id,
        paper.url,
        json.dumps([slug for slug, _ in signs.tags]),
        len(paper.sightings),
    )


def make_paper_row(paper: Paper, signs: Signs) -> Row:
    """The row of a paper."""
    days = paper.listed_days
    first, last = (days[0], days[-1]) if days else (None, None)
    return (paper.id, paper.number, *make_paper_facts(paper, signs), first, last)


def stage_entry(sighting: Sighting, tagger: Tagger | None) -> tuple[Row, Row, Row]:
    """Work out all that an entry tells without others of its paper. As three tuples: the facts of
    its paper, if no other entry speaks of it; its own for the table, with tags and links; and the
    entry as printed, without the abstract where that is readable as it is."""
    entry = sighting.entry
    signs = find_signs(sighting.title, sighting.abstract, tagger)
    alone = make_paper_facts(make_paper(0, "", [sighting]), signs)
    own = None if entry.abstract == sighting.abstract else entry.abstract
    return alone, (_ENTRY_FACTS(entry), *signs), tuple(entry._replace(abstract=own))


def restore_entry(printed: Row, readable_abstract: str | None) -> Entry:
    """The entry as it was printed."""
    entry = Entry(*printed)
    return entry if entry.abstract is not None else entry._replace(abstract=readable_abstract)
