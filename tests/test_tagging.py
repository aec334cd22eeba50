from pathlib import Path

import pytest

from dailypapers.tagging import (
    Tag,
    Tagger,
    Vocabulary,
    VocabularyError,
    fold_words,
    load_vocabulary,
)

from .conftest import PROJECT

LONG = " filler" * 120
SPELLINGS = ((" pre train", " pretrain"),)


def tag(of_title: str, abstract: str, **rules: object) -> str | None:
    """The evidence of a tag with these rules, or None where it is not earned."""
    rule = Tag("it", "It", "method", "a tag", **rules)  # type: ignore[arg-type]
    earned = Tagger(Vocabulary((rule,), SPELLINGS)).tag(of_title, abstract)
    return earned[0].evidence if earned else None


def test_words_count_in_the_title_or_twice_in_the_abstract() -> None:
    rules = {"words": ("distill*", "teacher model")}
    assert tag("Distilling step by step", LONG, **rules) == "title: distilling"
    assert tag("T", "distillation" + LONG, **rules) is None
    assert (
        tag("T", "distillation, distilled" + LONG, **rules) == "abstract: distillation, distilled"
    )
    assert tag("T", "distills; a teacher-model; distills" + LONG, **rules) == (
        "abstract: distills ×2, teacher model"
    )
    assert tag("T", "undistilled redistill" + LONG, **rules) is None


def test_each_mention_counts_twice_in_a_short_text() -> None:
    assert tag("T", "some distillation", words=("distill*",)) == "abstract: distillation"


def test_sure_words_need_one_mention_and_times_sets_how_many() -> None:
    assert tag("T", "grpo" + LONG, sure=("GRPO",)) == "abstract: grpo"
    assert tag("T", "code code" + LONG, words=("code",), times=3) is None
    assert tag("T", "code code code" + LONG, words=("code",), times=3) == "abstract: code ×3"


def test_title_words_count_only_there() -> None:
    assert tag("A survey of it", LONG, title=("survey",)) == "title: survey"
    assert tag("T", "survey survey survey", title=("survey",)) is None


def test_never_uses_words_up() -> None:
    rules = {"words": ("graph", "graphs"), "never": ("computation graph*",)}
    assert tag("Computation graphs", "the computation graph of graphs" + LONG, **rules) is None
    assert tag("Graphs", LONG, **rules) == "title: graphs"


def test_longer_phrase_is_not_counted_again_for_its_words() -> None:
    rules = {"words": ("distill*", "knowledge distillation")}
    assert tag("T", "knowledge distillation" + LONG, **rules) is None


def test_folding() -> None:
    assert fold_words(" Fine–Tuning, C++ & N:M (3D)") == "fine tuning c++ n m 3d"


def test_spellings_of_one_word_are_one() -> None:
    for spelling in ("Pre-training", "pre training", "pretraining"):
        assert tag(spelling, LONG, words=("pre-train*",)) == "title: pretraining"
        assert tag(spelling, LONG, words=("pretraining",)) == "title: pretraining"
    assert tag("Presume training", LONG, words=("pretrain*",)) is None


def test_tags_without_rules_and_empty_texts() -> None:
    assert Tagger(Vocabulary((Tag("a", "A", "g", "m"),))).tag("Title", None) == []
    assert Tagger(Vocabulary((Tag("a", "A", "g", "m", words=("x",)),))).tag("", "") == []


def test_the_vocabulary_holds_the_tags_and_every_one_has_rules() -> None:
    tags = load_vocabulary(PROJECT / "vocabulary.yml").tags
    assert len(tags) == 72
    assert {tag.group for tag in tags} == {
        "stage",
        "method",
        "capability",
        "modality",
        "domain",
        "kind",
    }
    assert [tag.slug for tag in tags if not (tag.sure or tag.words or tag.title)] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tags: 3", "not a vocabulary"),
        ("[", "not a vocabulary"),
        ("spellings: 3\ntags: []", "not a vocabulary"),
        ("tags: [{slug: a, group: g, name: A}]", "a lacks ['means']"),
        ("tags: [{slug: a, group: g, name: A, means: m, word: [x]}]", "a has unknown ['word']"),
        ("tags: [{slug: a, group: g, name: A, means: m, words: x}]", "“words” must be a list"),
        ("tags: [{slug: a, group: g, name: A, means: m, words: [2024]}]", "“words” must be a list"),
        ("tags: [{slug: a, group: g, name: A, means: m, times: 0}]", "“times” must be a number"),
        (
            "tags: [&a {slug: a, group: g, name: A, means: m}, *a]",
            "a is defined twice",
        ),
    ],
)
def test_mistakes_in_the_vocabulary_say_which_tag(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "vocabulary.yml"
    path.write_text(text)
    with pytest.raises(VocabularyError) as caught:
        load_vocabulary(path)
    assert says in str(caught.value)
    assert "vocabulary" in str(caught.value)
