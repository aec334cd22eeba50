"""Tags from vocabulary.yml: which a paper earns, and by which of its words.

The rules are explained at the top of vocabulary.yml, for the people who edit them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import ahocorasick
import yaml

SOURCE = "vocabulary"
"""What paper_tags.source says of a tag that these rules gave."""

SHORT_TEXT = 100
"""Words; in a shorter abstract, every mention counts twice."""


class _WordSigns(dict[int, str]):
    """For str.translate: letters, digits and "+" stay, everything else is a blank."""

    def __missing__(self, sign: int) -> str:
        kept = chr(sign)
        self[sign] = kept if kept in "abcdefghijklmnopqrstuvwxyz0123456789+" else " "
        return self[sign]


_WORD_SIGNS = _WordSigns()


class Kind(IntEnum):
    """The lists of phrases; where one phrase stands in two, the first of these decides."""

    SURE = 0
    NEVER = 1
    WORDS = 2
    TITLE = 3

    @property
    def key(self) -> str:
        """Its name in vocabulary.yml."""
        return self.name.lower()


_SURE, _NEVER, _WORDS, _ = Kind  # asked for a dozen times a paper
_COUNTED = (_SURE, _WORDS)
_RULE_KEYS = {*(kind.key for kind in Kind), "times"}
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
    """All tags, and how words may begin that are one: (" pre train", " pretrain")."""

    tags: tuple[Tag, ...]
    spellings: tuple[tuple[str, str], ...] = ()


class EarnedTag(NamedTuple):
    """A tag a paper carries, with the words that earned it, most telling first."""

    slug: str
    evidence: str


def load_vocabulary(path: Path) -> Vocabulary:
    """Read vocabulary.yml. Raises VocabularyError, in one line, where something is wrong."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        spellings = dict(document.get("spellings", {})).items()
        tags = [parse_tag(fields) for fields in document["tags"]]
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from error
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise VocabularyError(f"{path}: not a vocabulary: {reason}") from error
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
        raise VocabularyError(f"{slug} {wrong}")
    rules = {key: value for key, value in fields.items() if key in _RULE_KEYS}
    for key, value in rules.items():
        if key == "times":
            valid = isinstance(value, int) and value > 0
        else:
            valid = isinstance(value, list) and all(map(_is_phrase, value))
        if not valid:
            expected = "a number" if key == "times" else "a list of words (quote true, no, 2024)"
            raise VocabularyError(f"{slug}: “{key}” must be {expected}")
    lists = {key: tuple(value) for key, value in rules.items() if key != "times"}
    return Tag(
        slug=str(slug),
        name=str(fields["name"]),
        group=str(fields["group"]),
        means=str(fields["means"]),
        times=int(rules.get("times", 2)),
        **lists,
    )


def _is_phrase(value: object) -> bool:
    return isinstance(value, str) and bool(fold_words(value))


Mention = tuple[int, int, Kind]
"""Between which blanks a phrase of a tag's rules stands, and in which list of the rules. A plain
tuple, as each paper has a dozen."""

_Mentions = tuple[list[Mention], list[Mention]]


class Findings(NamedTuple):
    """What a paper says of one tag's phrases; `text` is title and abstract as the rules see them,
    `weight` is what one mention in the abstract counts."""

    tag: Tag
    text: str
    in_title: Sequence[Mention]
    in_abstract: Sequence[Mention]
    weight: int

    @property
    def heads(self) -> list[Mention]:
        """What counts in the title."""
        return [mention for mention in self.in_title if mention[2] is not _NEVER]

    @property
    def bodies(self) -> list[Mention]:
        """What counts in the abstract."""
        return [mention for mention in self.in_abstract if mention[2] in _COUNTED]

    @property
    def is_earned(self) -> bool:
        """Whether that is enough."""
        if self.in_title and self.heads:
            return True
        kinds = [kind for _, _, kind in self.in_abstract]
        return _SURE in kinds or self.weight * kinds.count(_WORDS) >= self.tag.times

    @property
    def evidence(self) -> str:
        """As "title: distillation; abstract: teacher ×2, student"."""
        head, body = list_words(self.heads, self.text), list_words(self.bodies, self.text)
        if head and body:
            return f"title: {head}; abstract: {body}"
        return f"title: {head}" if head else f"abstract: {body}"


class Tagger:
    """Finds the phrases of all tags in one pass over a text (Aho-Corasick)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tags = vocabulary.tags
        uses: dict[str, list[tuple[int, Kind]]] = {}
        for place, tag in enumerate(self._tags):
            for kind in Kind:
                for phrase in getattr(tag, kind.key):
                    for spelled in spell_phrase(phrase, vocabulary.spellings):
                        uses.setdefault(spelled, []).append((place, kind))
        self._automaton = ahocorasick.Automaton()
        for spelled, kinds in uses.items():
            open_left, open_right = spelled[0] != " ", spelled[-1] != " "
            self._automaton.add_word(spelled, (len(spelled) - 1, open_left, open_right, kinds))
        self._automaton.make_automaton()

    def tag(self, title: str, abstract: str | None) -> list[EarnedTag]:
        """The tags that a paper of this title and abstract earns, in the vocabulary's order."""
        findings = self.find(title, abstract)
        return [EarnedTag(one.tag.slug, one.evidence) for one in findings if one.is_earned]

    def find(self, title: str, abstract: str | None) -> Iterator[Findings]:
        """What the paper says of the tags, in the vocabulary's order, silence left out."""
        head = fold_text(title)
        text = f"{head}\n{fold_text(abstract or '')}"  # no phrase holds a line's end
        weight = 2 if text.count(" ", len(head)) < SHORT_TEXT else 1
        found = self._find_mentions(text, len(head))
        for place in sorted(found):
            in_title, in_abstract = found[place]
            yield Findings(
                self._tags[place], text, _keep_apart(in_title), _keep_apart(in_abstract), weight
            )

    def _find_mentions(self, text: str, title_end: int) -> dict[int, _Mentions]:
        """The mentions of each tag in title and abstract, by its place in the vocabulary."""
        found: dict[int, _Mentions] = {}
        if not self._automaton:  # a vocabulary of tags that have no rules yet
            return found
        for last, (before, open_left, open_right, kinds) in self._automaton.iter(text):
            first = last - before
            start = text.rfind(" ", 0, first) if open_left else first
            end = text.find(" ", last) if open_right else last
            for place, kind in kinds:
                if place not in found:
                    found[place] = ([], [])
                found[place][first > title_end].append((start, end, kind))
        return found


def spell_phrase(phrase: str, spellings: Sequence[tuple[str, str]]) -> set[str]:
    """A phrase as texts are folded, in all its spellings; without its outer blank where "*" leaves
    an end open."""
    spelled = {fold_text(phrase)}
    for pair in spellings:
        for one, other in (pair, pair[::-1]):
            spelled |= {text.replace(one, other) for text in spelled}
    return {text[phrase.startswith("*") : len(text) - phrase.endswith("*")] for text in spelled}


def fold_text(text: str) -> str:
    """The words of a text, with a blank before the first and after the last."""
    return f" {fold_words(text)} "


def fold_words(text: str) -> str:
    """Lower case, only letters, digits and "+", one blank between words."""
    return " ".join(text.lower().translate(_WORD_SIGNS).split())


def _keep_apart(mentions: Sequence[Mention]) -> Sequence[Mention]:
    """Mentions that do not overlap, longer before shorter; those of "never" use words up.

    One right after the other is one: “low-rank adaptation (LoRA)” speaks of one thing once.
    """
    if len(mentions) < 2:
        return mentions
    kept: list[Mention] = []
    for mention in sorted(mentions, key=_order_mention):
        start, end, kind = mention
        before = kept[-1] if kept else None
        if before is None or start > before[1]:
            kept.append(mention)
        elif start == before[1]:
            if _NEVER in (kind, before[2]):
                kept.append(mention)
            else:
                kept[-1] = (before[0], end, min(kind, before[2]))
    return kept


def _order_mention(mention: Mention) -> tuple[int, int, int]:
    start, end, kind = mention
    return start, -end, kind


def list_words(mentions: Sequence[Mention], text: str) -> str:
    """The whole words at the mentions, as "distillation ×3, student", most frequent first."""
    words = [text[start:end].strip() for start, end, _ in mentions]
    if len(words) < 2:
        return "".join(words)
    counts = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{one} ×{count}" if count > 1 else one for one, count in counts)
