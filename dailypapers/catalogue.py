"""Everything read, merged, while the entries themselves stay in files.

Reading makes each listing a `StagedListing`: what merging needs of its entries, as a few bytes
each, and where their records stand. So a million papers are merged in some hundred megabytes.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import IO, overload

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
    read_sighting,
    tell_apart,
)
from .records import Records, pack_records
from .rows import Row, Signs, find_signs, make_paper_row, restore_entry, stage_entry
from .tagging import Tagger

_KEY = 16
"""Bytes of a title's key."""

_NO_RECORDS = pack_records([])


@dataclass(frozen=True)
class StagedListing:
    """A listing without its entries.

    Of these there are the `keys` of their titles, their `slugs` and `arxiv_ids` ("" for none), each
    in one piece; the names of organizations; and the records that `stage_entry` gives: the facts of
    the paper that an entry is `alone`, its own `facts`, and itself as `printed`. They are apart
    because one process writes papers and another entries.
    """

    listing: Listing
    cards: int
    keys: bytes = b""
    slugs: str = ""
    arxiv_ids: str = ""
    organizations: dict[str, str] = field(default_factory=dict)
    has_names: bool = False
    alone: Records = _NO_RECORDS
    facts: Records = _NO_RECORDS
    printed: Records = _NO_RECORDS

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self.facts)

    def move_to(self, file: IO[bytes]) -> "StagedListing":
        """The same with its records at the end of a file, which must stay open. Raises OSError."""
        return replace(
            self,
            alone=self.alone.move_to(file),
            facts=self.facts.move_to(file),
            printed=self.printed.move_to(file),
        )


def stage_listing(listing: Listing, tagger: Tagger | None = None) -> StagedListing:
    """Work out all that an entry tells without others of its paper; with a tagger, tags too."""
    entries = listing.entries
    sightings = [read_sighting(entry) for entry in entries]
    staged = [stage_entry(sighting, tagger) for sighting in sightings]
    return StagedListing(
        replace(listing, entries=()),
        listing.cards,
        keys=b"".join(make_title_key(sighting.title) for sighting in sightings),
        slugs="\n".join(make_slug(sighting.title) for sighting in sightings),
        arxiv_ids="\n".join(entry.arxiv_id or "" for entry in entries),
        organizations={
            entry.organization: entry.organization_name or entry.organization
            for entry in entries
            if entry.organization
        },
        has_names=any(entry.authors or entry.keywords for entry in entries),
        alone=pack_records(alone for alone, _, _ in staged),
        facts=pack_records(facts for _, facts, _ in staged),
        printed=pack_records(printed for _, _, printed in staged),
    )


class Catalogue:
    """Listings by their id in order, papers, organizations' names by their slug, how many papers
    each listing was the first to list, and all problems with the id of their listing.

    Papers are made when they are asked for. The tagger is for those that no single entry tells of.
    """

    def __init__(self, staged: Iterable[StagedListing], tagger: Tagger | None = None) -> None:
        ordered = list(_empty_copies(sorted(staged, key=lambda one: one.listing.order)))
        self.listings = dict(
            zip(name_listings(one.listing for one in ordered), ordered, strict=True)
        )
        self._ids, self._staged = list(self.listings), ordered
        self._begins = list(accumulate((one.entries for one in ordered), initial=0))
        self.paper_of = group_entries(_list_keys(ordered))
        self._members, self._starts = _sort_by_group(self.paper_of)
        self._tellers = array("I", self._list_firsts())
        self.new_papers = Counter(self._ids[self._find_listing(one)] for one in self._tellers)
        self.paper_ids = _PackedTexts(self._choose_ids())
        self.papers = Papers(self)
        self.organizations = dict(
            sorted({k: v for one in ordered for k, v in one.organizations.items()}.items())
        )
        self.has_names = any(one.has_names for one in ordered)
        self._told: dict[int, Signs] = {}
        self.problems = (*self._list_problems(), *self._settle_merged(tagger))

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

    def _list_problems(self) -> Iterator[tuple[str, Problem]]:
        for key, one in self.listings.items():
            for problem in one.listing.problems:
                yield key, problem

    def _settle_merged(self, tagger: Tagger | None) -> Iterator[tuple[str, Problem]]:
        """Of papers of several entries: what contradicts, and whose signs are the paper's."""
        for place in range(len(self.papers)):
            if not self._is_alone(place):
                paper = self.papers[place]
                self._settle_signs(place, paper, tagger)
                yield from find_contradictions(paper)

    def _settle_signs(self, place: int, paper: Paper, tagger: Tagger | None) -> None:
        for sighting in paper.sightings:
            if (sighting.title, sighting.abstract) == (paper.title, paper.abstract):
                self._tellers[place] = sighting.number - 1
                return
        self._told[place] = find_signs(paper.title, paper.abstract, tagger)

    def _is_alone(self, paper: int) -> bool:
        """Whether only one entry speaks of the paper of this index."""
        return self._starts[paper + 1] - self._starts[paper] == 1

    def _find_listing(self, entry: int) -> int:
        return bisect_right(self._begins, entry) - 1

    def list_sightings(self, paper: int) -> list[Sighting]:
        """The entries of a paper, oldest first."""
        entries = self._members[self._starts[paper] : self._starts[paper + 1]]
        return [self._make_sighting(entry) for entry in entries]

    def _make_sighting(self, entry: int) -> Sighting:
        index = self._find_listing(entry)
        one, place = self._staged[index], entry - self._begins[index]
        title, abstract, *_ = one.alone[place]
        printed = restore_entry(one.printed[place], abstract)
        return Sighting(
            entry + 1, self._ids[index], one.listing.listed_on, printed, title, abstract
        )

    def list_paper_rows(self) -> Iterator[Row]:
        """The rows of all papers, by number."""
        following = 0
        for begin, one in zip(self._begins, self._staged, strict=False):
            day = one.listing.listed_on
            for entry, facts in enumerate(one.alone, begin):
                if self.paper_of[entry] != following:
                    continue  # an earlier one speaks of the same paper
                if self._is_alone(following):
                    yield (self.paper_ids[following], following + 1, *facts, day, day)
                else:
                    yield make_paper_row(self.papers[following], self.read_signs(following))
                following += 1

    def list_entry_rows(self) -> Iterator[Row]:
        """The rows of all entries, by id."""
        for begin, key, one in zip(self._begins, self._ids, self._staged, strict=False):
            for entry, ((position, line, *facts), _, _) in enumerate(one.facts, begin):
                paper = self.paper_ids[self.paper_of[entry]]
                yield (entry + 1, key, position, line, paper, *facts)

    def read_signs(self, paper: int) -> Signs:
        """The tags and links of the paper of this index."""
        if paper in self._told:
            return self._told[paper]
        entry = self._tellers[paper]
        index = self._find_listing(entry)
        _, tags, links = self._staged[index].facts[entry - self._begins[index]]
        return Signs(tags, links)


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
