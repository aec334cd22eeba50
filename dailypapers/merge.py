"""Entries into papers: the same paper on several pages becomes one.

All choices follow the listings' own order (`Listing.order`), so that neither the command line
nor the folder changes anything. New days come last in that order, so that adding one renames
no paper: a paper keeps the id that its first listing gave it.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from slugify import slugify

from .listing import Entry, Listing, Problem, Severity
from .readable import make_readable, make_title_readable

MAX_SLUG = 200
"""Characters; real titles give at most 178, so that hardly any id is cut."""

_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")

_CONTRADICTIONS = {
    "published": "date",
    "authors_count": "number of authors",
    "organization": "organization",
}
"""Facts that should be the same wherever a paper is listed; comments and upvotes grow."""


@dataclass(frozen=True)
class Sighting:
    """One entry of one listing. `number` counts all entries in the listings' order, from 1."""

    number: int
    listing_id: str
    listed_on: str | None
    entry: Entry


@dataclass(frozen=True)
class Paper:
    """What the sightings of one paper say together. An unknown fact is None."""

    id: str
    number: int
    title: str
    abstract: str | None
    published: str | None
    authors_count: int | None
    organization: str | None
    comments: int | None
    upvotes: int | None
    arxiv_id: str | None
    authors: tuple[str, ...]
    keywords: tuple[str, ...]
    sightings: tuple[Sighting, ...]

    @property
    def url(self) -> str | None:
        """The paper's page on Hugging Face, where its arXiv id is known."""
        return f"https://huggingface.co/papers/{self.arxiv_id}" if self.arxiv_id else None

    @property
    def listed_days(self) -> list[str]:
        """The days it was listed, oldest first; listings of an unknown day are left out."""
        return sorted(sighting.listed_on for sighting in self.sightings if sighting.listed_on)


@dataclass(frozen=True)
class Catalogue:
    """Everything read, merged: listings by their id in order, papers, organizations' names by
    their slug, and all problems with the id of their listing."""

    listings: dict[str, Listing]
    papers: tuple[Paper, ...]
    problems: tuple[tuple[str, Problem], ...]
    organizations: dict[str, str]


def merge_listings(listings: Iterable[Listing]) -> Catalogue:
    """Merge what was read. Listings in any order give the same catalogue."""
    named = name_listings(_empty_copies(sorted(listings, key=lambda listing: listing.order)))
    sightings = list(_list_sightings(named))
    papers = tuple(_make_papers(group_sightings(sightings)))
    problems = [(key, problem) for key, one in named.items() for problem in one.problems]
    problems += [found for paper in papers for found in _find_contradictions(paper)]
    return Catalogue(named, papers, tuple(problems), _name_organizations(sightings))


def _empty_copies(listings: Iterable[Listing]) -> Iterator[Listing]:
    """A second copy of the same bytes counts no paper twice: it keeps only a problem."""
    originals: dict[str | None, Listing] = {}
    for listing in listings:
        original = originals.setdefault(listing.sha256, listing)
        if original is listing or not listing.entries:
            yield listing
        else:
            message = f"the same bytes as {original.file}, so it was left out; delete one of them"
            problem = Problem(None, Severity.WARNING, message)
            yield replace(listing, entries=(), problems=(problem,))


def name_listings(listings: Iterable[Listing]) -> dict[str, Listing]:
    """The listings by id: the slug of the file's name, with a hash where two would share it."""
    ordered = list(listings)
    slugs = [slugify(listing.file.rsplit(".", 1)[0]) or "listing" for listing in ordered]
    shared = Counter(slugs)
    named: dict[str, Listing] = {}
    for slug, listing in zip(slugs, ordered, strict=True):
        digest = hashlib.sha256(f"{listing.file}\n{listing.sha256}".encode()).hexdigest()
        key = slug if shared[slug] == 1 else f"{slug}-{digest[:8]}"
        while key in named:  # the same name and the same bytes, from two folders
            key += "-copy"
        named[key] = listing
    return named


def _list_sightings(named: dict[str, Listing]) -> Iterator[Sighting]:
    number = 0
    for key, listing in named.items():
        for entry in listing.entries:
            number += 1
            yield Sighting(number, key, listing.listed_on, entry)


def fold_title(title: str) -> str:
    """What makes two titles the same: letters and digits, without case, LaTeX and the rest."""
    text = unicodedata.normalize("NFKC", make_readable(title)).casefold()
    return _NEITHER_LETTER_NOR_DIGIT.sub("", text) or text


def group_sightings(sightings: Iterable[Sighting]) -> list[list[Sighting]]:
    """The sightings of each paper, by arXiv id first and then by title, oldest paper first.

    Entries that state an arXiv id are grouped before those that do not, so that the latter
    find their paper under any of its titles. Two arXiv ids are two papers, whatever the title.
    """
    by_arxiv: dict[str, list[Sighting]] = {}
    by_title: dict[str, list[Sighting]] = {}
    titled: list[tuple[str, Sighting]] = []
    groups: list[list[Sighting]] = []
    for sighting in sightings:
        title, arxiv_id = fold_title(sighting.entry.title), sighting.entry.arxiv_id
        if arxiv_id is None:
            titled.append((title, sighting))
            continue
        if arxiv_id not in by_arxiv:
            groups.append(by_arxiv.setdefault(arxiv_id, []))
        by_arxiv[arxiv_id].append(sighting)
        by_title.setdefault(title, by_arxiv[arxiv_id])
    for title, sighting in titled:
        if title not in by_title:
            groups.append(by_title.setdefault(title, []))
        by_title[title].append(sighting)
    for group in groups:
        group.sort(key=lambda sighting: sighting.number)
    return sorted(groups, key=lambda group: group[0].number)


def _make_papers(groups: Iterable[Sequence[Sighting]]) -> Iterator[Paper]:
    taken: set[str] = set()
    for number, group in enumerate(groups, 1):
        title = make_title_readable(group[0].entry.title)
        arxiv_id = _newest(group, "arxiv_id")
        paper_id = _choose_id(title, arxiv_id, taken)
        taken.add(paper_id)
        yield Paper(
            id=paper_id,
            number=number,
            title=title,
            abstract=_choose_abstract(group),
            published=_choose_date(group),
            authors_count=_newest(group, "authors_count"),
            organization=_newest(group, "organization"),
            comments=_newest(group, "comments"),
            upvotes=_newest(group, "upvotes"),
            arxiv_id=arxiv_id,
            authors=_newest(group, "authors") or (),
            keywords=_newest(group, "keywords") or (),
            sightings=tuple(group),
        )


def _choose_id(title: str, arxiv_id: str | None, taken: set[str]) -> str:
    """The title's slug; a short hash of the paper's identity follows only on collision."""
    slug = slugify(title, max_length=MAX_SLUG, word_boundary=True) or "paper"
    if slug not in taken:
        return slug
    digest = hashlib.sha256((arxiv_id or fold_title(title)).encode()).hexdigest()
    ids = (f"{slug}-{digest[:length]}" for length in range(6, len(digest) + 1))
    return next(candidate for candidate in ids if candidate not in taken)


def give_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each different name: its slug, with a short hash for all but one where several
    names share it ("Jose" before "José", by their signs)."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(set(names)):
        slug = slugify(name, max_length=MAX_SLUG) or "name"
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        ids[name] = slug if slug not in taken else f"{slug}-{digest[:8]}"
        taken.add(ids[name])
    return ids


def _newest(group: Sequence[Sighting], fact: str) -> Any:
    """The fact as the newest listing that states it has it."""
    stated = (getattr(sighting.entry, fact) for sighting in reversed(group))
    return next((value for value in stated if value not in (None, ())), None)


def _choose_abstract(group: Sequence[Sighting]) -> str | None:
    """The API's own beats a page's, which may be marked or cut; then the longer one wins."""
    entries = [sighting.entry for sighting in group if sighting.entry.abstract]
    best = max(entries, key=lambda e: (e.is_summary, len(e.abstract or "")), default=None)
    return make_readable(best.abstract or "") or None if best else None


def _choose_date(group: Sequence[Sighting]) -> str | None:
    """The API's UTC date, else a date printed with its year, else one whose year was worked out;
    of equals, the newest listing's."""
    dated = [sighting.entry for sighting in group if sighting.entry.published]
    full = [entry for entry in dated if "," in (entry.published_printed or "")]
    exact = [entry for entry in dated if entry.is_summary]
    return (exact or full or dated)[-1].published if dated else None


def _agree(fact: str, stated: Any, chosen: Any) -> bool:
    """Pages show the day in New York, the API in UTC: a day apart is the same day."""
    if fact == "published" and stated and chosen:
        days = date.fromisoformat(stated) - date.fromisoformat(chosen)
        return abs(days.days) <= 1
    return bool(stated == chosen)


def _find_contradictions(paper: Paper) -> Iterator[tuple[str, Problem]]:
    """One warning for each entry that states another fact than the paper ended up with."""
    for fact, name in _CONTRADICTIONS.items():
        chosen = getattr(paper, fact)
        for sighting in paper.sightings:
            stated = getattr(sighting.entry, fact)
            if stated is not None and not _agree(fact, stated, chosen):
                message = f"the {name} {stated} contradicts {chosen}, which the paper keeps"
                problem = Problem(
                    sighting.entry.line, Severity.WARNING, message, sighting.entry.title
                )
                yield sighting.listing_id, problem


def _name_organizations(sightings: Iterable[Sighting]) -> dict[str, str]:
    """The name of each organization, as the newest listing prints it."""
    names: dict[str, str] = defaultdict(str)
    for sighting in sightings:
        if sighting.entry.organization:
            names[sighting.entry.organization] = (
                sighting.entry.organization_name or sighting.entry.organization
            )
    return dict(sorted(names.items()))
