"""How good related papers are, and how long they take to find.

`python bench/related.py DB LABELS.jsonl` — LABELS has one {"title": …, "tags": [...]} a line,
tags that people gave. Prints how far the five nearest papers share these: the Jaccard index,
each tag weighted by log(papers / papers with it), averaged over five and over papers. Only
labelled papers count and are compared. What sharpens the search are the tags that DB has from
the vocabulary's rules, never the labels.

`python bench/related.py --scale N` — seconds and peak memory for N made-up papers.
"""

import json
import math
import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from corpus import make_papers
from sklearn.feature_extraction.text import TfidfVectorizer

from dailypapers.merge import fold_title
from dailypapers.related import find_related, join_text
from dailypapers.tagging import Tagger, load_vocabulary

PROJECT = Path(__file__).resolve().parent.parent
NEAREST = 5


@dataclass(frozen=True)
class Labelled:
    """A paper of the database: its tags by the vocabulary's rules, and its labels by people."""

    title: str
    abstract: str | None
    tags: list[str]
    labels: frozenset[str]


def load_labelled(database: Path, labels: Path) -> list[Labelled]:
    """The papers of the database that have labels, in the order of the labels."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("select title, abstract, tags from papers").fetchall()
    papers = {fold_title(row[0]): row for row in rows}
    found = []
    lines = [json.loads(line) for line in labels.read_text("utf-8").splitlines() if line.strip()]
    for line in lines:
        if row := papers.get(fold_title(line["title"])):
            found.append(Labelled(row[0], row[1], json.loads(row[2]), frozenset(line["tags"])))
    click.echo(f"{len(found)} of {len(lines)} labelled papers are in {database}")
    return found


class Overlap:
    """How far two of the papers share their labels, 0 to 1, rarer labels counting more."""

    def __init__(self, labels: Sequence[frozenset[str]]) -> None:
        papers = Counter(label for own in labels for label in own)
        self._labels = labels
        self._weights = {label: math.log(len(labels) / n) for label, n in papers.items()}

    def of(self, one: int, other: int) -> float:
        """Of the papers with these indexes; 0 where neither has a label that tells anything."""
        shared = self._sum(self._labels[one] & self._labels[other])
        either = self._sum(self._labels[one] | self._labels[other])
        return shared / either if either else 0.0

    def of_nearest(self, found: Iterable[Sequence[int]]) -> float:
        """The mean over each paper's nearest; one that is lacking counts as 0."""
        papers = len(self._labels)
        return sum(
            self.of(paper, other) for paper, near in enumerate(found) for other in near[:NEAREST]
        ) / (papers * NEAREST)

    def of_any(self) -> float:
        """The mean over all pairs: what neighbours chosen at random would give."""
        papers = range(len(self._labels))
        pairs = [self.of(one, other) for one in papers for other in papers if one != other]
        return sum(pairs) / len(pairs)

    def _sum(self, labels: Iterable[str]) -> float:
        return math.fsum(self._weights[label] for label in labels)


def find_plainly(texts: Sequence[str], words: int) -> list[list[int]]:
    """The nearest by TF-IDF as scikit-learn comes, of up to so many words in a row."""
    rows = TfidfVectorizer(ngram_range=(1, words)).fit_transform(texts)
    scores = (rows @ rows.T).toarray()
    np.fill_diagonal(scores, -1)
    nearest: list[list[int]] = np.argsort(-scores, kind="stable")[:, :NEAREST].tolist()
    return nearest


def print_quality(database: Path, labels: Path) -> None:
    """The measure, beside its floors."""
    papers = load_labelled(database, labels)
    if len(papers) <= NEAREST:
        raise click.UsageError(f"{labels} must label more than {NEAREST} papers of {database}")
    overlap = Overlap([paper.labels for paper in papers])
    plain = [f"{paper.title}. {paper.abstract or ''}" for paper in papers]
    texts = [join_text(paper.title, paper.abstract) for paper in papers]
    tags = [paper.tags for paper in papers]

    def find_with(used: Sequence[Sequence[str]]) -> list[list[int]]:
        return [[index for index, _ in near] for near in find_related(texts, used, NEAREST)]

    for name, figure in {
        "chosen at random": overlap.of_any(),
        "plain TF-IDF, words": overlap.of_nearest(find_plainly(plain, 1)),
        "plain TF-IDF, words and pairs": overlap.of_nearest(find_plainly(plain, 2)),
        "related papers without tags": overlap.of_nearest(find_with([[]] * len(papers))),
        "related papers": overlap.of_nearest(find_with(tags)),
    }.items():
        click.echo(f"{name:32}{figure:.3f}")


def print_scale(count: int) -> None:
    """What this machine needs for `count` papers, without the time for making them."""
    tagger = Tagger(load_vocabulary(PROJECT / "vocabulary.yml"))
    papers = list(make_papers(count))
    texts = [join_text(*paper) for paper in papers]
    tags = [[tag.slug for tag in tagger.tag(*paper)] for paper in papers]
    before = _read_peak_memory()
    start = time.perf_counter()
    pairs = sum(len(near) for near in find_related(texts, tags))
    seconds = time.perf_counter() - start
    click.echo(
        f"{count:,} papers: {pairs:,} pairs in {seconds:.1f} s; "
        f"peak memory {_read_peak_memory():,.0f} MB, {before:,.0f} MB of it for the papers"
    )


def _read_peak_memory() -> float:
    """Of this process, in MB; macOS counts bytes where others count kilobytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--scale", type=click.IntRange(min=0), help="Measure time with so many papers.")
def main(files: tuple[Path, ...], scale: int | None) -> None:
    """How good related papers are (DB LABELS.jsonl), or how long they take (--scale N)."""
    if scale is not None and not files:
        print_scale(scale)
    elif scale is None and len(files) == 2:
        print_quality(*files)
    else:
        raise click.UsageError("give DB and LABELS.jsonl, or --scale N")


if __name__ == "__main__":
    main()
