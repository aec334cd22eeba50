import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dailypapers.explain import tell_tag
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
        tag("T", "distillation or distilled" + LONG, **rules) == "abstract: distillation, distilled"
    )
    assert tag("T", "distills; a teacher-model distills; it distills" + LONG, **rules) == (
        "abstract: distills ×2, teacher model distills"
    )
    assert tag("T", "undistilled redistill" + LONG, **rules) is None


def test_each_mention_counts_twice_in_a_short_text() -> None:
    assert tag("T", "some distillation", words=("distill*",)) == "abstract: distillation"


def test_sure_words_need_one_mention_and_times_sets_how_many() -> None:
    assert tag("T", "grpo" + LONG, sure=("GRPO",)) == "abstract: grpo"
    assert tag("T", "code or code" + LONG, words=("code",), times=3) is None
    assert tag("T", "code, a code, no code" + LONG, words=("code",), times=3) == "abstract: code ×3"


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


def test_mentions_that_follow_each_other_are_one() -> None:
    rules = {"words": ("low-rank adaptation", "LoRA")}
    assert tag("T", "low-rank adaptation (LoRA)" + LONG, **rules) is None
    assert tag("T", "low-rank adaptation (LoRA) or LoRA" + LONG, **rules) == (
        "abstract: lora, low rank adaptation lora"
    )
    assert tag("T", "reward r" + LONG, words=("reward",), sure=("r",)) == "abstract: reward r"
    assert tag("T", "no code code" + LONG, sure=("code",), never=("no code",)) == "abstract: code"


def test_a_star_leaves_an_end_open() -> None:
    assert tag("WebBench: a test", LONG, title=("*bench",)) == "title: webbench"
    assert tag("A bench", LONG, title=("*bench",)) == "title: bench"
    assert tag("Benches", LONG, title=("*bench",)) is None
    assert tag("Workbenches", LONG, title=("*bench*",)) == "title: workbenches"
    assert tag("A self-*", LONG, title=("self-*",)) == "title: self"


def test_folding() -> None:
    assert fold_words(" Fine–Tuning, C++ & N:M (3D)") == "fine tuning c++ n m 3d"


def test_spellings_of_one_word_are_one() -> None:
    for spelling in ("Pre-training", "pre training", "pretraining"):
        as_written = f"title: {fold_words(spelling)}"
        assert tag(spelling, LONG, words=("pre-train*",)) == as_written
        assert tag(spelling, LONG, words=("pretraining",)) == as_written
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


def test_no_phrase_of_the_vocabulary_stands_twice() -> None:
    for tag in load_vocabulary(PROJECT / "vocabulary.yml").tags:
        phrases = [phrase.lower() for phrase in (*tag.sure, *tag.words, *tag.title, *tag.never)]
        assert len(phrases) == len(set(phrases)), tag.slug


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
        ("tags: [{slug: a, group: g, name: A, means: m, words: ['*']}]", "“words” must be a list"),
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
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


RULES = """
tags:
  - {slug: distillation, group: g, name: D, means: m, sure: [GRPO], words: [distill*, teacher],
     title: [student], never: [teacher forcing], times: 3}
  - {slug: graphs, group: g, name: G, means: m, words: [graph*]}
  - {slug: video, group: g, name: V, means: m, words: [video*]}
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    with closing(sqlite3.connect(tmp_path / "it.db")) as db:
        db.execute("create table papers (id, title, abstract)")
        abstract = "Distilled from a teacher, a student. Teacher forcing of videos." + LONG
        papers = [("a", "Graphs of Städte", abstract), ("b", "Graphs", None)]
        db.executemany("insert into papers values (?, ?, ?)", papers)
        more = [(str(number), f"Trees {number}", None) for number in range(12)]
        db.executemany("insert into papers values (?, ?, ?)", more)
        db.commit()
    return tmp_path


def explain(workplace: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "dailypapers.explain", *arguments]
    if arguments:
        command += ["--db", f"{workplace}/it.db", "--vocabulary", f"{workplace}/rules.yml"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=PROJECT, check=False)
    return done.returncode, done.stdout, done.stderr


def test_explain_tells_what_earned_tags_and_what_was_too_little(workplace: Path) -> None:
    assert explain(workplace, "STÄDTE") == (
        0,
        "Graphs of Städte\n"
        "Tags:\n"
        "  graphs: title: graphs\n"
        "Not enough:\n"
        "  distillation: abstract: distilled, teacher (2 mentions in the abstract, of 3 needed)\n"
        "  video: abstract: videos (1 mention in the abstract, of 2 needed)\n",
        "",
    )


def test_explain_one_tag(workplace: Path) -> None:
    assert explain(workplace, "städte", "--tag", "distillation") == (
        0,
        "Graphs of Städte\n"
        "distillation: no, 2 mentions in the abstract, of 3 needed\n"
        "  abstract, never: teacher forcing\n"
        "  abstract, title: student (counts in titles only)\n"
        "  abstract, words: distilled, teacher\n",
        "",
    )
    assert explain(workplace, "graphs", "--tag", "video")[1] == (
        "Graphs\nvideo: no, none of its phrases is in title or abstract\n"
    )


def test_verdicts(workplace: Path) -> None:
    rules = load_vocabulary(workplace / "rules.yml")

    def verdict(title: str, abstract: str) -> str:
        return next(tell_tag(rules, "distillation", title, abstract))

    assert verdict("A student", "") == "distillation: yes, by its title"
    assert verdict("T", "GRPO") == "distillation: yes, by a sure phrase in the abstract"
    assert verdict("T", "a teacher, to distill") == (
        "distillation: yes, 2 mentions in the abstract, each counted twice in so short a text, "
        "of 3 needed"
    )


def test_explain_lists_papers_that_are_meant_perhaps(workplace: Path) -> None:
    status, told, _ = explain(workplace, "trees")
    assert status == 0
    assert told.startswith("12 papers have “trees” in their titles; give more of one:\n  Trees 0\n")
    assert told.endswith("  Trees 7\n  … and 2 more\n")


def test_explain_refuses_in_one_line(workplace: Path) -> None:
    database = f"{workplace}/it.db"
    assert explain(workplace, "zzz") == (
        1,
        "",
        f"explain: no paper in {database} has “zzz” in its title\n",
    )
    assert explain(workplace, "graphs", "--tag", "trees") == (
        2,
        "",
        "explain: rules.yml has no tag trees\n",
    )
    (workplace / "rules.yml").write_text("tags:\n  - {slug: a, group: g, name: A}\n")
    assert explain(workplace, "graphs") == (
        1,
        "",
        f"explain: {workplace}/rules.yml: a lacks ['means']\n",
    )
    (workplace / "rules.yml").write_text(RULES)
    (workplace / "it.db").write_text("no database, and so long that SQLite must see it" * 30)
    assert explain(workplace, "graphs")[::2] == (
        1,
        f"explain: {database}: file is not a database\n",
    )
    (workplace / "it.db").unlink()
    assert explain(workplace, "graphs")[::2] == (
        1,
        f"explain: there is no database {database}; run: make db\n",
    )


def test_explain_without_a_title_says_what_is_missing(workplace: Path) -> None:
    assert explain(workplace) == (2, "", "explain: Missing argument 'TITLE'.\n")
