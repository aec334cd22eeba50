"""Made-up papers in any number, with a seed, of the words of the sample as often as there."""

import random
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RARE_WORDS = 300_000
"""Words that the sample lacks: real corpora go on finding new ones (names, misprints, numbers)."""

RARE_SHARE = 0.04
ABSTRACT_WORDS = (120, 260)
TITLE_WORDS = (5, 15)


def make_papers(count: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """Titles and abstracts; the same for the same count and seed."""
    chance = random.Random(seed)
    words, weights = count_sample_words()
    for number in range(count):
        title = _make_text(chance, words, weights, chance.randint(*TITLE_WORDS))
        abstract = _make_text(chance, words, weights, chance.randint(*ABSTRACT_WORDS))
        yield f"{title} {number}".capitalize(), f"{abstract.capitalize()}."


def count_sample_words() -> tuple[list[str], list[int]]:
    """The words of the sample, and their summed frequencies."""
    text = "\n".join(
        path.read_text("utf-8") for path in sorted((PROJECT / "listings").glob("*.txt"))
    )
    counts: dict[str, int] = {}
    for word in re.findall(r"[a-z]+", text.lower()):
        counts[word] = counts.get(word, 0) + 1
    return list(counts), list(accumulate(counts.values()))


def _make_text(chance: random.Random, words: list[str], weights: list[int], length: int) -> str:
    chosen = chance.choices(words, cum_weights=weights, k=length)
    return " ".join(
        f"w{int(RARE_WORDS ** chance.random())}x" if chance.random() < RARE_SHARE else word
        for word in chosen
    )
