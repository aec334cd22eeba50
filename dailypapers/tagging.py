"""Tags from vocabulary.yml: which a paper earns, and by which of its words.

The rules are explained at the top of vocabulary.yml, for the people who edit them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ahocorasick
import yaml

SOURCE = "vocabulary"
"""What paper_tags.source says of a tag that these rules gave."""

SHORT_TEXT = 100
"""Words; in a shorter abstract, every mention counts twice."""

_NOT_WORDS = re.compile(r"[^a-z0-9+]+")
_RULE_KEYS = {"sure", "words", "title", "never", "times"}
_TAG_KEYS = {"slug", "group", "name", "means"} | _RULE_KEYS


class VocabularyError(Exception):
    """vocabulary.yml says something that cannot be used; the message names the tag."""


@dataclass(frozen=True)
class Tag:
    """A tag and its rules; see vocabulary.yml for what each rule means."""

    slug: str
    name: str
    group: str
    means: str
    sure: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    times: int = 2


@dataclass(frozen=True)
class Vocabulary:
    """All tags, and spellings that are one: how a word may begin, and how it counts instead."""

    tags: tuple[Tag, ...]
    spellings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class EarnedTag:
    """A tag a paper carries, with the words that earned it, most telling first."""

    slug: str
    evidence: str


def load_vocabulary(path: Path) -> Vocabulary:
    """Read vocabulary.yml. Raises VocabularyError where a tag lacks or mistakes something."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        spellings = dict(document.get("spellings", {})).items()
        tags = [parse_tag(fields) for fields in document["tags"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VocabularyError(f"{path}: not a vocabulary: {error}") from error
    twice = [slug for slug, count in Counter(tag.slug for tag in tags).items() if count > 1]
    if twice:
        raise VocabularyError(f"{path}: {twice[0]} is defined twice")
    folded = [(f" {fold_words(one)}", f" {fold_words(other)}") for one, other in spellings]
    return Vocabulary(tuple(tags), tuple(folded))


def parse_tag(fields: Mapping[str, Any]) -> Tag:
    """One tag of the file. Raises VocabularyError."""
    slug = fields.get("slug", "a tag without a slug")
    missing = {"slug", "group", "name", "means"} - fields.keys()
    unknown = fields.keys() - _TAG_KEYS
    if missing or unknown:
        wrong = f"lacks {sorted(missing)}" if missing else f"has unknown {sorted(unknown)}"
        raise VocabularyError(f"vocabulary: {slug} {wrong}")
    rules = {key: value for key, value in fields.items() if key in _RULE_KEYS}
    for key, value in rules.items():
        if key == "times":
            valid = isinstance(value, int) and value > 0
        else:
            valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not valid:
            expected = "a number" if key == "times" else "a list of words (quote true, no, 2024)"
            raise VocabularyError(f"vocabulary: {slug}: “{key}” must be {expected}")
    lists = {key: tuple(value) for key, value in rules.items() if key != "times"}
    return Tag(
        slug=str(slug),
        name=str(fields["name"]),
        group=str(fields["group"]),
        means=str(fields["means"]),
        times=int(rules.get("times", 2)),
        **lists,
    )


@dataclass(frozen=True)
class _Mention:
    """A phrase of a tag's rules, found at `start` to `end` of the folded text."""

    start: int
    end: int
    kind: str


class Tagger:
    """Finds the phrases of all tags in one pass over a text (Aho-Corasick)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tags = {tag.slug: tag for tag in vocabulary.tags}
        self._spellings = vocabulary.spellings
        uses: dict[str, list[tuple[str, str]]] = {}
        for tag in self._tags.values():
            for kind in ("sure", "words", "title", "never"):
                for phrase in getattr(tag, kind):
                    uses.setdefault(self._fold_phrase(phrase), []).append((tag.slug, kind))
        self._automaton = ahocorasick.Automaton()
        for phrase, tag_kinds in uses.items():
            self._automaton.add_word(phrase, (len(phrase), tag_kinds))
        self._automaton.make_automaton()

    def tag(self, title: str, abstract: str | None) -> list[EarnedTag]:
        """The tags that a paper of this title and abstract earns, in the vocabulary's order."""
        folded_title, folded_abstract = self._fold(title), self._fold(abstract or "")
        weight = 2 if folded_abstract.count(" ") < SHORT_TEXT else 1
        in_title = self._find_mentions(folded_title)
        in_abstract = self._find_mentions(folded_abstract)
        earned = []
        for slug, tag in self._tags.items():
            if slug not in in_title and slug not in in_abstract:
                continue
            heads = _keep_apart(in_title.get(slug, []))
            bodies = [m for m in _keep_apart(in_abstract.get(slug, [])) if m.kind != "title"]
            is_sure = any(mention.kind == "sure" for mention in bodies)
            if heads or is_sure or weight * len(bodies) >= tag.times:
                earned.append(
                    EarnedTag(slug, _tell_evidence(heads, folded_title, bodies, folded_abstract))
                )
        return earned

    def _fold(self, text: str) -> str:
        """The words in their one spelling, with a blank before the first and after the last."""
        folded = f" {fold_words(text)} "
        for spelling, counted in self._spellings:
            folded = folded.replace(spelling, counted)
        return folded

    def _fold_phrase(self, phrase: str) -> str:
        """As the text is folded; without its last blank where "*" leaves the ending open."""
        folded = self._fold(phrase)
        return folded[:-1] if phrase.endswith("*") else folded

    def _find_mentions(self, folded: str) -> dict[str, list[_Mention]]:
        found: dict[str, list[_Mention]] = {}
        if not self._automaton:  # a vocabulary of tags that have no rules yet
            return found
        for last, (length, uses) in self._automaton.iter(folded):
            start, end = last - length + 1, last + 1
            for slug, kind in uses:
                found.setdefault(slug, []).append(_Mention(start, end, kind))
        return found


def fold_words(text: str) -> str:
    """Lower case, only letters, digits and "+", one blank between words."""
    return _NOT_WORDS.sub(" ", text.lower()).strip()


def _keep_apart(mentions: list[_Mention]) -> list[_Mention]:
    """Mentions that do not overlap, longer before shorter; those of "never" use words up."""
    kept: list[_Mention] = []
    for mention in sorted(mentions, key=lambda m: (m.start, -m.end, m.kind != "sure")):
        if not kept or mention.start >= kept[-1].end - 1:
            kept.append(mention)
    return [mention for mention in kept if mention.kind != "never"]


def _tell_evidence(heads: list[_Mention], title: str, bodies: list[_Mention], abstract: str) -> str:
    """As "title: distillation; abstract: teacher ×2, student"."""
    parts = [
        f"{place}: {', '.join(_count_words(mentions, text))}"
        for place, mentions, text in [("title", heads, title), ("abstract", bodies, abstract)]
        if mentions
    ]
    return "; ".join(parts)


def _count_words(mentions: list[_Mention], text: str) -> Iterator[str]:
    """The whole words at the mentions, as "distillation ×3", most frequent first."""
    found = Counter(text[m.start : text.find(" ", m.end - 1)].strip() for m in mentions)
    for words, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        yield f"{words} ×{count}" if count > 1 else words
