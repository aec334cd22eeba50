"""Entries into papers: the same paper on several pages becomes one.

All choices follow the listings' own order (`Listing.order`), so that neither the command line
nor the folder changes anything. New days come last in that order, so that adding one renames
no paper: a paper keeps the id that its first listing gave it.
"""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from slugify import slugify

from .listing import Entry, Listing, Problem, Severity
from .readable import make_readable, make_title_readable

MAX_SLUG = 200
"""Characters; real titles give at most 178, so that hardly any id is cut."""

_PLAIN_TITLE = re.compile("[A-Za-z0-9 :-]+")
"""One of which the slug is plain, too: most are, and slugify takes ten times as long."""

_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")

_CONTRADICTIONS = {
    "published": "date",
    "authors_count": "number of authors",
    "organization": "organization",
}
"""Facts that should be the same wherever a paper is listed; comments and upvotes grow."""


class Sighting(NamedTuple):
    """One entry of one listing. `number` counts all entries in the listings' order, from 1;
    `title` and `abstract` are readable."""

    number: int
    listing_id: str
    listed_on: str | None
    entry: Entry
    title: str
    abstract: str | None


class Paper(NamedTuple):
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


def name_listings(listings: Iterable[Listing]) -> list[str]:
    """Their ids: the slug of the file's name, with a hash where two would share it."""
    ordered = list(listings)
    slugs = [slugify(listing.file.rsplit(".", 1)[0]) or "listing" for listing in ordered]
    shared = Counter(slugs)
    taken: set[str] = set()
    ids: list[str] = []
    for slug, listing in zip(slugs, ordered, strict=True):
        digest = hashlib.sha256(f"{listing.file}\n{listing.sha256}".encode()).hexdigest()
        key = slug if shared[slug] == 1 else f"{slug}-{digest[:8]}"
        while key in taken:  # the same name and the same bytes, from two folders
            key += "-copy"
        taken.add(key)
        ids.append(key)
    return ids


def fold_title(title: str) -> str:
    """What makes two titles the same: letters and digits, without case, LaTeX and the rest."""
    return fold_readable(make_readable(title))


def fold_readable(title: str) -> str:
    """The same of a title that is readable already."""
    text = unicodedata.normalize("NFKC", title).casefold()
    return _NEITHER_LETTER_NOR_DIGIT.sub("", text) or text


def make_title_key(title: str) -> bytes:
    """16 bytes that are the same for readable titles that are."""
    folded = fold_readable(title).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(folded, digest_size=16).digest()


def read_sighting(entry: Entry) -> Sighting:
    """An entry whose place among others is not known yet."""
    abstract = make_readable(entry.abstract or "") or None
    if abstract == entry.abstract:
        abstract = entry.abstract  # kept once
    return Sighting(0, "", None, entry, make_title_readable(entry.title), abstract)


def group_entries(keys: Iterable[tuple[bytes, str]]) -> "array[int]":
    """For each entry, given by its title's key and its arXiv id or "", the index of its paper;
    papers count from 0, oldest first.

    Entries that state an arXiv id are grouped before those that do not, so that the latter
    find their paper under any of its titles. Two arXiv ids are two papers, whatever the title.
    """
    by_arxiv: dict[str, int] = {}
    by_title: dict[bytes, int] = {}
    titled: list[tuple[int, bytes]] = []
    groups = array("I")
    for index, (title, arxiv_id) in enumerate(keys):
        if arxiv_id:
            group = by_arxiv.setdefault(arxiv_id, len(by_arxiv))
            by_title.setdefault(title, group)
        else:
            group = 0
            titled.append((index, title))
        groups.append(group)
    count = len(by_arxiv)
    for index, title in titled:
        groups[index] = by_title.setdefault(title, count)
        count += groups[index] == count
    del by_arxiv, by_title, titled
    return _number_by_first(groups, count)


def _number_by_first(groups: "array[int]", count: int) -> "array[int]":
    """The same groups, numbered as they first occur."""
    numbers: list[int | None] = [None] * count
    following = 0
    for index, group in enumerate(groups):
        number = numbers[group]
        if number is None:
            number = numbers[group] = following
            following += 1
        groups[index] = number
    return groups


def make_paper(number: int, paper_id: str, group: Sequence[Sighting]) -> Paper:
    """What the sightings of one paper, oldest first, say together."""
    return Paper(
        id=paper_id,
        number=number,
        title=group[0].title,
        abstract=_choose_abstract(group),
        published=_choose_date(group),
        authors_count=_newest(group, "authors_count"),
        organization=_newest(group, "organization"),
        comments=_newest(group, "comments"),
        upvotes=_newest(group, "upvotes"),
        arxiv_id=_newest(group, "arxiv_id"),
        authors=_choose_names(group, "authors"),
        keywords=_choose_names(group, "keywords"),
        sightings=tuple(group),
    )


def make_slug(title: str) -> str:
    """The id of a paper of this title, unless another has it already."""
    if len(title) <= MAX_SLUG and _PLAIN_TITLE.fullmatch(title):
        return "-".join(title.lower().replace(":", " ").replace("-", " ").split()) or "paper"
    return slugify(title, max_length=MAX_SLUG, word_boundary=True) or "paper"


def tell_apart(slug: str, title: str, arxiv_id: str | None, taken: Container[str]) -> str:
    """An id for a paper whose slug is taken: a short hash of the paper's identity follows."""
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
    for sighting in reversed(group):
        value = getattr(sighting.entry, fact)
        if value is not None and value != ():
            return value
    return None


def _choose_names(group: Sequence[Sighting], fact: str) -> tuple[str, ...]:
    """The authors or the keywords of a paper."""
    names: tuple[str, ...] = _newest(group, fact) or ()
    return names


def _choose_abstract(group: Sequence[Sighting]) -> str | None:
    """The API's own beats a page's, which may be marked or cut; then the longer one wins."""
    stated = [sighting for sighting in group if sighting.entry.abstract]
    return max(stated, key=_rate_abstract).abstract if stated else None


def _rate_abstract(sighting: Sighting) -> tuple[bool, int]:
    return sighting.entry.is_summary, len(sighting.entry.abstract or "")


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


def find_contradictions(paper: Paper) -> Iterator[tuple[str, Problem]]:
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
