"""Related papers: the nearest by the words of their texts, sharpened by shared tags.

Every paper becomes one sparse row: its words and word pairs, weighted by TF-IDF, and its tags.
The score of two papers is the product of their rows: 0 where they share nothing, 1 where they
share all.

All pairs of 100,000 papers would take half an hour, nearly all of it for words that stand
everywhere and tell next to nothing. So WORK limits the search: where not everything fits, the
most telling words and tags find candidates, and the rest only helps to order these. Up to some
15,000 papers everything fits, and the result is exact.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

TAG_SHARE = 0.15
"""How much of a score tags can give; the texts give the rest. Anything from 0.1 to 0.2 finds
neighbours as good. With less, papers on one subject in different words miss each other; with
more, wrong tags mislead."""

WORK = 4e9
"""Multiplications for the search, about 10 ns each: the sum, over all features used, of the
square of the number of papers that have it."""

CANDIDATES = 200
"""How many papers the search finds for each paper, before they are ordered exactly."""

_BLOCK = 256
"""Papers whose neighbours are looked for at a time: some 100 MB for 100,000 papers, for each
of at most `_THREADS` threads."""

_THREADS = 4

_DIGITS = 4
"""Of a score. Scores that differ by less are equal: so float32 noise decides nothing."""

Rows: TypeAlias = csr_array
"""One row a paper, one column a feature; float32, no entry below 0."""


def join_text(title: str, abstract: str | None) -> str:
    """The text to compare: the title stands twice, since its words tell more than others."""
    return f"{title}. {title}. {abstract or ''}"


def find_related(
    texts: Collection[str],
    tags: Collection[Sequence[str]],
    count: int = 10,
    *,
    work: float = WORK,
) -> Iterator[list[tuple[int, float]]]:
    """For each paper in turn, at most `count` (index, score), best first, then by index.

    `texts` and `tags` have one item a paper. Scores are above 0 and at most 1; a paper is never
    its own neighbour. The same input gives the same output. ValueError for unequal lengths.
    """
    if len(texts) != len(tags):
        raise ValueError(f"{len(texts)} texts, but {len(tags)} lists of tags")
    if not texts:
        return
    index = _make_index(_weigh(texts, tags), work, max(CANDIDATES, count))
    blocks = range(0, len(texts), _BLOCK)
    # While it multiplies, scipy lets other threads run.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as pool:
        for related in pool.map(lambda start: index.find(start, start + _BLOCK, count), blocks):
            yield from related


def _weigh(texts: Collection[str], tags: Collection[Sequence[str]]) -> Rows:
    """Rows of length 1 for papers with words and tags: words give 1 - TAG_SHARE of the square."""
    words = _weigh_words(texts) * np.float32((1 - TAG_SHARE) ** 0.5)
    features = csr_array(hstack([words, _weigh_tags(tags) * np.float32(TAG_SHARE**0.5)]))
    # What one paper has alone makes its row longer, but no product larger.
    return _keep_columns(features, _count_papers(features) > 1)


def _weigh_words(texts: Collection[str]) -> Rows:
    """TF-IDF of words and pairs, of length 1, or 0 for a text without words.

    Hashes instead of a vocabulary: millions of pairs as strings would fill the memory. With 31
    bits, hardly any two of them are taken for one.
    """
    hashed = HashingVectorizer(
        n_features=2**31 - 1,
        alternate_sign=False,
        norm=None,
        ngram_range=(1, 2),
        stop_words="english",
        dtype=np.float32,
    ).transform(texts)
    used, columns = np.unique(hashed.indices, return_inverse=True)
    shape = (len(texts), len(used))
    counts = csr_array((hashed.data, columns.astype(np.int32), hashed.indptr), shape=shape)
    if not used.size:
        return counts
    return csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(counts))


def _weigh_tags(tags: Collection[Sequence[str]]) -> Rows:
    """Tags, rarer ones heavier, of length 1, or 0 for a paper without tags."""
    names = {name: column for column, name in enumerate(sorted({t for own in tags for t in own}))}
    columns = [[names[name] for name in sorted(set(own))] for own in tags]
    flat = np.array([column for own in columns for column in own], np.int32)
    ends = np.cumsum([0, *(len(own) for own in columns)], dtype=np.int32)
    shape = (len(tags), len(names))
    rows: Rows = csr_array((np.ones(len(flat), np.float32), flat, ends), shape=shape)
    if not names:
        return rows
    rarity = np.log((1 + len(tags)) / (1 + _count_papers(rows)))
    # The root: two rows are multiplied, so that a shared tag counts by its rarity once.
    return csr_array(normalize(rows @ diags_array(np.sqrt(rarity).astype(np.float32))))


def _count_papers(features: Rows) -> NDArray[np.int64]:
    """How many papers have each feature."""
    return np.bincount(features.indices, minlength=features.shape[1])


def _keep_columns(features: Rows, kept: NDArray[np.bool_]) -> Rows:
    chosen: Rows = features[:, np.flatnonzero(kept)]
    chosen.sort_indices()
    return chosen


@dataclass(frozen=True)
class _Index:
    """`searched` holds the features that find candidates, `by_feature` the same transposed;
    `others` the features left out, which are empty if all could be searched."""

    searched: Rows
    by_feature: Rows
    others: Rows
    candidates: int

    def find(self, start: int, end: int, count: int) -> list[list[tuple[int, float]]]:
        """The neighbours of the papers from `start` up to `end`."""
        papers, found, scores = self._find_candidates(start, end)
        if self.others.nnz:
            shared = self.others[papers].multiply(self.others[found])
            scores = scores + np.asarray(shared.sum(axis=1)).ravel()
        scores = np.minimum(np.round(scores.astype(np.float64), _DIGITS), 1.0)
        wanted = (scores > 0) & (papers != found)
        papers, found, scores = papers[wanted], found[wanted], scores[wanted]
        order = np.lexsort((found, -scores, papers))
        papers, found, scores = papers[order], found[order], scores[order]
        ends = np.searchsorted(papers, np.arange(start, min(end, self.searched.shape[0]) + 1))
        return [
            list(zip(found[a : min(a + count, b)].tolist(), scores[a:b].tolist(), strict=False))
            for a, b in pairwise(ends)
        ]

    def _find_candidates(
        self, start: int, end: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Paper, found paper, and score by the searched features; three arrays of one length."""
        product = self.searched[start:end] @ self.by_feature
        kept = []
        for a, b in pairwise(product.indptr):
            scores = product.data[a:b]
            place = len(scores) - self.candidates - 1  # one more, since it finds itself
            # With those that will be equal after rounding, so that the index decides.
            least = np.partition(scores, place)[place] - 10**-_DIGITS if place > 0 else 0
            kept.append(a + np.flatnonzero(scores >= least))
        papers = np.repeat(np.arange(start, start + len(kept)), [len(one) for one in kept])
        chosen = np.concatenate(kept)
        return papers, product.indices[chosen].astype(np.int64), product.data[chosen]


def _make_index(features: Rows, work: float, candidates: int) -> _Index:
    """Search the features that tell most for their cost, as many as `work` allows.

    A feature adds the product of its weights to the score of two papers that share it, which
    takes one multiplication: so what counts is the mean square of its weights, for each paper
    that has it.
    """
    papers = _count_papers(features).astype(np.float64)
    squares = np.bincount(features.indices, features.data**2, minlength=features.shape[1])
    order = np.argsort(-squares / papers**2, kind="stable")
    searched = np.zeros(features.shape[1], np.bool_)
    searched[order] = np.cumsum(papers[order] ** 2) <= work
    rows = _keep_columns(features, searched)
    return _Index(rows, csr_array(rows.T), _keep_columns(features, ~searched), candidates)
