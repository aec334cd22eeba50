"""Everything read, merged, while the entries themselves stay in files.

Reading makes each listing a `StagedListing`: what merging needs of its entries, as a few bytes
each, and where their records stand. So a million papers are merged in some hundred megabytes.
"""

import marshal
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import overload

from .listing import Listing, Problem, Severity
from .merge import (
    Paper,
    Sighting,
    find_contradictions,
    group_entries,
    make_paper,
    make_slug,
    make_title_key,
    name_listings,
    tell_apart,
)
from .rows import Record, Row, Texts, make_record, make_texts
from .tagging import Tagger

_KEY = 16
"""Bytes of a title's key."""


@dataclass(frozen=True)
class StagedListing:
    """A listing without its entries.

    Of these there are the `keys` of their titles, their `slugs` and `arxiv_ids` ("" for none), each
    in one piece; the names of organizations; and their records, of the `sizes` in turn, from
    `start` on in the file of that `handle`, or where that is None, in `content`.
    """

    listing: Listing
    cards: int
    keys: bytes = b""
    slugs: str = ""
    arxiv_ids: str = ""
    organizations: dict[str, str] = field(default_factory=dict)
    has_names: bool = False
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    content: bytes = b""
    handle: int | None = None
    start: int = 0

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self.sizes)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes of one record."""
        if self.handle is None:
            return self.content[offset : offset + size]
        return os.pread(self.handle, size, self.start + offset)


def stage_listing(listing: Listing, tagger: Tagger | None = None) -> StagedListing:
    """Work out all that an entry tells without others of its paper; with a tagger, tags too."""
    made = [make_record(entry, tagger) for entry in listing.entries]
    records = [marshal.dumps(tuple(record)) for record, _ in made]
    entries = listing.entries
    return StagedListing(
        replace(listing, entries=()),
        listing.cards,
        keys=b"".join(make_title_key(paper.title) for _, paper in made),
        slugs="\n".join(make_slug(paper.title) for _, paper in made),
        arxiv_ids="\n".join(entry.arxiv_id or "" for entry in entries),
        organizations={
            entry.organization: entry.organization_name or entry.organization
            for entry in entries
            if entry.organization
        },
        has_names=any(entry.authors or entry.keywords for entry in entries),
        sizes=array("I", map(len, records)),
        content=b"".join(records),
    )


class Catalogue:
    """Listings by their id in order, papers, organizations' names by their slug, how many papers
    each listing was the first to list, and all problems with the id of their listing.

    Papers are made when they are asked for.
    """

    def __init__(self, staged: Iterable[StagedListing]) -> None:
        ordered = list(_empty_copies(sorted(staged, key=lambda one: one.listing.order)))
        self.listings = dict(
            zip(name_listings(one.listing for one in ordered), ordered, strict=True)
        )
        self._ids, self._staged = list(self.listings), ordered
        self._begins = list(accumulate((one.entries for one in ordered), initial=0))
        self._listing_of = array("I")
        self._offsets, self._sizes = array("I"), array("I")
        for index, one in enumerate(ordered):
            self._listing_of.extend([index] * one.entries)
            self._offsets.extend(list(accumulate(one.sizes, initial=0))[:-1])
            self._sizes.extend(one.sizes)
        self.paper_of = group_entries(_list_keys(ordered))
        self._members, self._starts = _sort_by_group(self.paper_of)
        self.new_papers = Counter(
            self._ids[self._listing_of[first]] for first in self._list_firsts()
        )
        self.paper_ids = _PackedTexts(self._choose_ids())
        self.papers = Papers(self)
        self.organizations = dict(
            sorted({k: v for one in ordered for k, v in one.organizations.items()}.items())
        )
        self.has_names = any(one.has_names for one in ordered)
        self.problems = tuple(self._find_problems())

    def _list_firsts(self) -> Iterator[int]:
        """The first entry of each paper."""
        return (self._members[start] for start in self._starts[:-1])

    def _choose_ids(self) -> Iterator[str]:
        slugs = (slug for one in self._staged for slug in _split(one.slugs, one.entries))
        taken: set[str] = set()
        number = 0
        for index, slug in enumerate(slugs):
            if self.paper_of[index] == number:
                if slug in taken:
                    paper = make_paper(0, "", self.list_sightings(number))
                    slug = tell_apart(slug, paper.title, paper.arxiv_id, taken)
                taken.add(slug)
                yield slug
                number += 1

    def _find_problems(self) -> Iterator[tuple[str, Problem]]:
        for key, one in self.listings.items():
            for problem in one.listing.problems:
                yield key, problem
        for paper in range(len(self.papers)):
            if not self.is_alone(paper):
                yield from find_contradictions(self.papers[paper])

    def is_alone(self, paper: int) -> bool:
        """Whether only one entry speaks of the paper of this index."""
        return self._starts[paper + 1] - self._starts[paper] == 1

    def list_entries(self, paper: int) -> Sequence[int]:
        """The indexes of the entries of a paper, oldest first."""
        return self._members[self._starts[paper] : self._starts[paper + 1]]

    def list_sightings(self, paper: int) -> list[Sighting]:
        """The entries of a paper, oldest first."""
        return [self._make_sighting(entry) for entry in self.list_entries(paper)]

    def _make_sighting(self, index: int) -> Sighting:
        record = self.read_record(index)
        listing, day = self.find_listing(index), self.find_day(index)
        return Sighting(index + 1, listing, day, record.entry, *record.readable)

    def find_listing(self, entry: int) -> str:
        """The id of an entry's listing."""
        return self._ids[self._listing_of[entry]]

    def find_day(self, entry: int) -> str | None:
        """The day that an entry's listing lists."""
        return self._staged[self._listing_of[entry]].listing.listed_on

    def read_record(self, entry: int) -> Record:
        """What was worked out for an entry."""
        one = self._staged[self._listing_of[entry]]
        return Record(*marshal.loads(one.read(self._offsets[entry], self._sizes[entry])))

    def read_entry_row(self, entry: int) -> Row:
        """The row of an entry."""
        position, line, *facts = self.read_record(entry).facts
        paper = self.paper_ids[self.paper_of[entry]]
        return (entry + 1, self.find_listing(entry), position, line, paper, *facts)

    def read_texts(self, paper: int, tagger: Tagger | None) -> Texts:
        """The row, the tags and the links of a paper."""
        entries = self.list_entries(paper)
        number, key = paper + 1, self.paper_ids[paper]
        if len(entries) == 1:
            texts = self.read_record(entries[0]).texts
            day = self.find_day(entries[0])
            return texts._replace(row=(key, number, *texts.row[2:-2], day, day))
        merged = self.papers[paper]
        for entry in entries:
            texts = self.read_record(entry).texts
            if texts.are_of(merged):
                return texts.give_to(merged)
        return make_texts(merged, tagger)


class Papers(Sequence[Paper]):
    """The papers of a catalogue, oldest first."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __len__(self) -> int:
        return len(self._catalogue.paper_ids)

    @overload
    def __getitem__(self, index: int) -> Paper: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Paper]: ...
    def __getitem__(self, index: int | slice) -> Paper | Sequence[Paper]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        sightings = self._catalogue.list_sightings(place)
        return make_paper(place + 1, self._catalogue.paper_ids[place], sightings)


class _PackedTexts:
    """Many short texts in one piece: as objects they would take twice the memory."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._content, self._ends = bytearray(), array("Q", [0])
        for text in texts:
            self._content += text.encode()
            self._ends.append(len(self._content))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._content[self._ends[index] : self._ends[index + 1]].decode()


def merge_listings(listings: Iterable[Listing]) -> Catalogue:
    """Merge what was read. Listings in any order give the same catalogue."""
    return Catalogue(map(stage_listing, listings))


def _empty_copies(staged: Iterable[StagedListing]) -> Iterator[StagedListing]:
    """A second copy of the same bytes counts no paper twice: it keeps only a problem."""
    originals: dict[str | None, Listing] = {}
    for one in staged:
        original = originals.setdefault(one.listing.sha256, one.listing)
        if original is one.listing or not one.entries:
            yield one
        else:
            message = f"the same bytes as {original.file}, so it was left out; delete one of them"
            problem = Problem(None, Severity.WARNING, message)
            yield StagedListing(replace(one.listing, problems=(problem,)), 0)


def _list_keys(staged: Iterable[StagedListing]) -> Iterator[tuple[bytes, str]]:
    for one in staged:
        for place, arxiv_id in enumerate(_split(one.arxiv_ids, one.entries)):
            yield one.keys[place * _KEY : (place + 1) * _KEY], arxiv_id


def _split(joined: str, count: int) -> Iterable[str]:
    return joined.split("\n") if count else ()


def _sort_by_group(groups: "array[int]") -> "tuple[array[int], array[int]]":
    """All indexes sorted by their group, and where each group starts, with the end as the last."""
    starts = array("I", bytes(4 * (max(groups, default=-1) + 2)))
    for group in groups:
        starts[group + 1] += 1
    starts = array("I", accumulate(starts))
    members, following = array("I", bytes(4 * len(groups))), starts[:]
    for index, group in enumerate(groups):
        members[following[group]] = index
        following[group] += 1
    return members, starts
