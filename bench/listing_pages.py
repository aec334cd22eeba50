"""Made-up listing pages in any number, with a seed: `python bench/listing_pages.py FOLDER N`.

Writes pages that list N papers as plain-text cards with bylines, a file for each day. Words come
from the sample in runs of a few, so that phrases earn tags as often as there, with rare ones in
between; lengths, numbers of authors and of comments, and the days between publication and listing
are the sample's own. The same N gives the same bytes, whatever day it is.
"""

import datetime
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus import PROJECT, RARE_SHARE, RARE_WORDS

from dailypapers.listing import Listing
from dailypapers.readers import read_listing

CARDS_A_DAY = 500
LAST_DAY = datetime.date(2025, 12, 30)
RUN = 6
"""Words that follow each other as in the sample, before the text goes on elsewhere in it."""

REPEATED_SHARE = 0.06
"""Of a page's papers, those that the next page lists again: 30 of the sample's 466 entries."""

ORGANIZATION_SHARE = 0.03
ORGANIZATIONS = 2_000
"""The n-th one has about 1/n of the papers of the first."""

LINK_SHARE = 0.1
"""Of the abstracts, those that print an address. The sample's have none, real ones do."""

LATEX_SHARE = 0.18
"""Those that hold what is left of LaTeX: of the abstracts of 41 days of the API as many do."""

LATEX = (
    "-- and more", "by 12\\% at most", "``soft'' ones", "a \\emph{small} one", "S^{2} steps",
    "for the \\method itself",
)  # fmt: skip

HEAD = """new

Get trending papers in your email inbox!

Subscribe

Daily Papers

byAK and the research community"""


@dataclass(frozen=True)
class Sample:
    """What pages are made of: words in their order, and facts as often as in the sample."""

    title_words: Sequence[str]
    abstract_words: Sequence[str]
    title_lengths: Sequence[int]
    abstract_lengths: Sequence[int]
    authors: Sequence[int]
    comments: Sequence[int]
    lags: Sequence[int]


@dataclass(frozen=True)
class Card:
    """One paper on a page."""

    title: str
    abstract: str
    byline: str
    published: datetime.date
    comments: int

    def print(self, day: datetime.date) -> str:
        """As the page of that day shows it: dates of its own year have none."""
        year = "" if self.published.year == day.year else f", {self.published.year}"
        date = f"{self.published:%b} {self.published.day}{year}"
        comments = f" {self.comments}" if self.comments else ""
        return f"{self.title}\n\n{self.abstract}\n\n{self.byline}\n·\n{date}{comments}"


def load_sample() -> Sample:
    """The sample's pages as the readers read them."""
    paths = sorted((PROJECT / "listings").glob("00*.txt"))
    listings = [read_listing(path.name, path.read_bytes()) for path in paths]
    entries = [entry for listing in listings for entry in listing.entries]
    titles = [entry.title.split() for entry in entries]
    abstracts = [(entry.abstract or "").split() for entry in entries]
    return Sample(
        title_words=[word for title in titles for word in title],
        abstract_words=[word for abstract in abstracts for word in abstract],
        title_lengths=[len(title) for title in titles],
        abstract_lengths=[len(abstract) for abstract in abstracts],
        authors=[entry.authors_count for entry in entries if entry.authors_count],
        comments=[entry.comments for entry in entries if entry.comments is not None],
        lags=[lag for listing in listings for lag in _list_lags(listing)],
    )


def _list_lags(listing: Listing) -> Iterator[int]:
    """Days between the publication of a paper and the page that lists it."""
    if listing.listed_on:
        listed_on = datetime.date.fromisoformat(listing.listed_on)
        for entry in listing.entries:
            if entry.published:
                yield (listed_on - datetime.date.fromisoformat(entry.published)).days


def write_listings(folder: Path, count: int, seed: int = 1) -> int:
    """Write the pages of `count` papers, one at a time; returns how many cards they have."""
    folder.mkdir(parents=True, exist_ok=True)
    chance, sample = random.Random(seed), load_sample()
    days = -(-count // CARDS_A_DAY)
    written = 0
    repeated: list[Card] = []
    for page in range(days):
        day = LAST_DAY - datetime.timedelta(days=days - 1 - page)
        numbers = range(page * CARDS_A_DAY, min((page + 1) * CARDS_A_DAY, count))
        new = [_make_card(chance, sample, number, day) for number in numbers]
        cards = [card.print(day) for card in [*new, *repeated]]
        text = "\n\n".join([HEAD, f"{day:%b} {day.day}", *cards])
        (folder / f"{day}.txt").write_text(f"{text}\n", "utf-8")
        written += len(cards)
        repeated = [
            replace(card, comments=card.comments + 1)
            for card in new
            if chance.random() < REPEATED_SHARE
        ]
    return written


def _make_card(chance: random.Random, sample: Sample, number: int, day: datetime.date) -> Card:
    title = _make_text(chance, sample.title_words, chance.choice(sample.title_lengths))
    abstract = _make_text(chance, sample.abstract_words, chance.choice(sample.abstract_lengths))
    if chance.random() < LINK_SHARE:
        abstract += f". Code is at https://github.com/maker{number % 997}/project{number}"
    if chance.random() < LATEX_SHARE:
        abstract += f" {chance.choice(LATEX)}"
    byline = f"  • {chance.choice(sample.authors)} authors"
    if chance.random() < ORGANIZATION_SHARE:
        organization = int(ORGANIZATIONS ** chance.random())
        byline = f"maker{organization} Makers {organization}"
    return Card(
        title=f"{title} {number}",
        abstract=f"{abstract}.",
        byline=byline,
        published=day - datetime.timedelta(days=chance.choice(sample.lags)),
        comments=chance.choice(sample.comments),
    )


def _make_text(chance: random.Random, words: Sequence[str], length: int) -> str:
    """Runs of the words, of that length together, some words being replaced by rare ones."""
    chosen: list[str] = []
    while len(chosen) < length:
        start = chance.randrange(len(words) - RUN)
        chosen += words[start : start + RUN]
    for place in range(length):
        if chance.random() < RARE_SHARE:
            chosen[place] = f"w{int(RARE_WORDS ** chance.random())}x"
    return " ".join(chosen[:length]).rstrip(".")


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    print(f"{write_listings(folder, count):,} cards of {count:,} papers in {folder}")


if __name__ == "__main__":
    main()
