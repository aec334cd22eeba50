"""Papers and entries as rows, and what is known of an entry before others of its paper are."""

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from .links import find_links
from .listing import Entry
from .merge import Paper, make_paper, read_sighting
from .schema import TABLES
from .tagging import Tagger

Row = tuple[Any, ...]
"""Values in the order of a table's columns."""

_TITLE, _ABSTRACT = (list(TABLES["papers"].columns).index(one) for one in ("title", "abstract"))
_ENTRY_FACTS = attrgetter(
    *(name for name in TABLES["entries"].columns if name not in ("id", "listing", "paper"))
)


class Texts(NamedTuple):
    """A paper's row with what its title and abstract tell: tags as (slug, evidence), by slug, and
    links as (url, kind)."""

    row: Row
    tags: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]

    def are_of(self, paper: Paper) -> bool:
        """Whether the paper has this title and this abstract."""
        return (self.row[_TITLE], self.row[_ABSTRACT]) == (paper.title, paper.abstract)

    def give_to(self, paper: Paper) -> "Texts":
        """The same tags and links with the row of that paper."""
        return self._replace(row=_make_paper_row(paper, [slug for slug, _ in self.tags]))


class Record(NamedTuple):
    """An entry between reading and writing: as printed, as a row, and as the paper that it is if
    no other entry speaks of it. All values are plain, so that marshal takes them."""

    printed: Row
    facts: Row
    alone: tuple[Any, ...]

    @property
    def entry(self) -> Entry:
        """The entry itself."""
        return Entry(*self.printed)

    @property
    def readable(self) -> tuple[str, str | None]:
        """Title and abstract."""
        row = self.alone[0]
        return row[_TITLE], row[_ABSTRACT]

    @property
    def texts(self) -> Texts:
        """What the entry alone tells."""
        return Texts(*self.alone)


def make_record(entry: Entry, tagger: Tagger | None) -> tuple[Record, Paper]:
    """The record of an entry, and the paper that it is alone."""
    paper = make_paper(0, "", [read_sighting(entry)])
    texts = make_texts(paper, tagger)
    return Record(tuple(entry), _ENTRY_FACTS(entry), tuple(texts)), paper


def make_texts(paper: Paper, tagger: Tagger | None) -> Texts:
    """The row of a paper, its tags and its links."""
    earned = tagger.tag(paper.title, paper.abstract) if tagger else []
    tags = sorted((tag.slug, tag.evidence) for tag in earned)
    links = [(link.url, link.kind.value) for link in find_links(paper.abstract or "")]
    return Texts(_make_paper_row(paper, [slug for slug, _ in tags]), tuple(tags), tuple(links))


def _make_paper_row(paper: Paper, tags: Sequence[str]) -> Row:
    days = paper.listed_days
    return (
        paper.id,
        paper.number,
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
        json.dumps(tags),
        len(paper.sightings),
        days[0] if days else None,
        days[-1] if days else None,
    )
