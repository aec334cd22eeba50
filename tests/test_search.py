"""The query language case by case, ranking, and pages of results."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailypapers.filtering import find_passing, list_first
from dailypapers.ranking import load_synonyms, rank_papers, stem_text
from dailypapers.results import SORTS, Search, find_papers, suggest_spelling
from dailypapers.search import Query, make_filter, parse_query, quote_phrase
from dailypapers.snippets import make_snippet, mark_safely

from .conftest import PROJECT

SYNONYMS = load_synonyms(PROJECT / "synonyms.yml")


@pytest.fixture(scope="module")
def db(sample: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{sample}?mode=ro", uri=True)) as connection:
        yield connection


def find(db: sqlite3.Connection, typed: str, **options: object) -> list[str]:
    search = Search(typed, **options)  # type: ignore[arg-type]
    numbers = [result.number for result in find_papers(db, search, SYNONYMS)]
    return [
        db.execute("select title from papers where number = ?", [n]).fetchone()[0] for n in numbers
    ]


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("plain Words", Query(words=("plain", "words"))),
        ("the plain of words", Query(words=("plain", "words"))),
        ("the of", Query(words=("the", "of"))),
        ("words words", Query(words=("words",))),
        (
            '"stand together" x',
            Query(("x",), ('"stand together"',), required_words=("stand", "together")),
        ),
        ('"never closed', Query((), ('"never closed"',), required_words=("never", "closed"))),
        ("a -word", Query(("a",), excluded=('"word"',))),
        ('x -"two words"', Query(("x",), excluded=('"two words"',))),
        ("title:lora", Query((), ('title : "lora"',), required_words=("lora",))),
        ('title:"low rank"', Query((), ('title : "low rank"',), required_words=("low", "rank"))),
        ("x -title:lora", Query(("x",), excluded=('title : "lora"',))),
        ("quantiz*", Query((), ('"quantiz" *',), required_words=("quantiz",))),
        ("fine-tuning", Query(words=("fine", "tuning"))),
        ("C++ don't AND OR", Query(words=("c", "don"))),
        ("https://a.example/x", Query(words=("https", "example", "x"))),
        ("ratio: year:soon tag:", Query(words=("ratio", "year", "soon", "tag"))),
        ('"" " -"" * - -- : ::', Query()),
        ("🤗 ¿?", Query()),
        ("", Query()),
    ],
)
def test_query_language(typed: str, query: Query) -> None:
    assert parse_query(typed) == query


@pytest.mark.parametrize(
    ("typed", "sql", "parameters"),
    [
        ("year:2024", "papers.year = ?", (2024,)),
        ("year:2022-2024", "papers.year between ? and ?", (2022, 2024)),
        ("authors:>10", "papers.authors_count > ?", (10,)),
        ("comments:>=2", "papers.comments >= ?", (2,)),
        ("upvotes:<5", "papers.upvotes < ?", (5,)),
        ("-year:2024", "(papers.year = ?) is not true", (2024,)),
        ("TAG:Distillation", None, ("distillation", "Distillation")),
        (
            'tag:"Knowledge distillation"',
            None,
            ("knowledge distillation", "Knowledge distillation"),
        ),
        ("org:NVIDIA", None, ("NVIDIA", "NVIDIA")),
    ],
)
def test_filters(typed: str, sql: str | None, parameters: tuple[object, ...]) -> None:
    query = parse_query(typed)
    [condition] = query.filters
    assert condition.parameters == parameters
    assert sql is None or condition.sql == sql
    assert not query.is_text


@pytest.mark.parametrize(
    "value", ["", " ", "x", ">", "1;drop", "99999999999999999999", "1-", ">1-2"]
)
def test_what_is_no_number_is_no_filter(value: str) -> None:
    assert make_filter("year", value) is None


def test_filters_hold(db: sqlite3.Connection) -> None:
    for typed, condition in [
        (
            "tag:distillation",
            "exists (select 1 from paper_tags where paper = papers.id and tag = 'distillation')",
        ),
        (
            "-tag:reasoning model",
            "not exists (select 1 from paper_tags where paper = papers.id and tag = 'reasoning')",
        ),
        ("org:nvidia", "organization = 'nvidia'"),
        ("year:2024 learning", "year = 2024"),
        ("-year:2024", "year is not 2024"),
        ("authors:>10", "authors_count > 10"),
        ("comments:2-3 model", "comments in (2, 3)"),
    ]:
        titles = find(db, typed)
        assert titles, typed
        for title in titles:
            sql = f"select {condition} from papers where title = ?"
            assert db.execute(sql, [title]).fetchone() == (1,), (typed, title)


def test_filters_of_the_page_are_filters_too(db: sqlite3.Connection) -> None:
    assert find(db, "model", filters=(("year", "2024"), ("tag", ""))) == find(db, "model year:2024")
    assert find(db, "", filters=(("tag", "no-such-tag"),)) == []
    assert find(db, "", filters=(("year", "soon"),)) == []


def test_required_and_excluded_words(db: sqlite3.Connection) -> None:
    quoted = find(db, '"mixture of experts"')
    assert quoted
    assert all("upcycling" in title.lower() for title in find(db, "title:upcycling"))
    assert find(db, "upcycl*")
    assert set(find(db, "upcycling -expert")).isdisjoint(find(db, '"experts"'))
    without = find(db, "-model")
    assert len(without) == 20
    assert not any("model" in title.lower().split() for title in without)


def test_synonyms_and_spellings_find_too(db: sqlite3.Connection) -> None:
    assert "OpenVLThinker" in find(db, "OpenVLThinker")[0]
    for one, other in [
        ("pretraining corpora", "pre-training corpora"),
        ("finetuning", "fine-tuning"),
    ]:
        assert set(find(db, one)[:5]) & set(find(db, other)[:10])
    assert any("Knowledge Distillation" in title for title in find(db, "KD"))


@pytest.mark.parametrize("typed", ["TÜLU", "tulu", "tu\u0308lu"])
def test_accents_do_not_matter(db: sqlite3.Connection, typed: str) -> None:
    search = Search(typed)
    best, *_ = find_papers(db, search, SYNONYMS)
    assert best.score is not None
    assert "<mark>" in best.snippet
    assert find(db, typed)[0].startswith("TÜLU 3")


def test_a_synonym_counts_less_than_the_word_itself(db: sqlite3.Connection) -> None:
    hits = rank_papers(db, parse_query("picture"), {("pictur",): frozenset({("imag",)})})
    texts = {
        hit.number: stem_text(" ".join(map(str, db.execute(
            "select title, abstract from papers where number = ?", [hit.number]).fetchone())))
        for hit in hits
    }  # fmt: skip
    as_typed = [("pictur" in texts[hit.number]) for hit in hits]
    assert any(as_typed)
    assert not all(as_typed)
    assert as_typed[0]


def test_best_first_and_the_same_every_time(db: sqlite3.Connection) -> None:
    query = parse_query("sparse upcycling of dense models into experts")
    hits = rank_papers(db, query, SYNONYMS)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits == rank_papers(db, query, SYNONYMS)


def test_blank_search_lists_the_newest(db: sqlite3.Connection) -> None:
    newest = db.execute("select title from papers order by published desc, number limit 20")
    assert find(db, "") == find(db, "  \t") == [title for (title,) in newest]


def test_text_without_words_finds_nothing(db: sqlite3.Connection) -> None:
    assert find(db, "🤗") == find(db, '""') == []


@pytest.mark.parametrize("typed", ["", "distillation", "year:2024", "-distillation"])
@pytest.mark.parametrize("sort", SORTS)
def test_other_orders(db: sqlite3.Connection, typed: str, sort: str) -> None:
    titles = find(db, typed, sort=sort)
    values = [
        db.execute(f"select {SORTS[sort]} from papers where title = ?", [title]).fetchone()[0]
        for title in titles
    ]
    known = [value for value in values if value is not None]
    assert len(titles) == 20
    assert known == sorted(known, reverse=True)
    assert values[: len(known)] == known, "what is unknown comes last"


def test_pages_follow_each_other_without_repeats(db: sqlite3.Connection) -> None:
    for typed in ("", "model"):
        pages = [find(db, typed, page=page) for page in (1, 2, 3)]
        assert [len(page) for page in pages] == [20, 20, 20]
        assert len({title for page in pages for title in page}) == 60
        assert find(db, typed, page=10**9) == []
        assert find(db, typed, page=-5) == pages[0]


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("disstillation", "distillation"),
        ("Disstillation of reasonign", "distillation of reasoning"),
        ("distillation", None),
        ("pretrained", None),
        ("xqzzvw", None),
        ("", None),
        ("🤗 -mdoel", None),
    ],
)
def test_spelling(db: sqlite3.Connection, typed: str, suggested: str | None) -> None:
    found = suggest_spelling(db, typed, SYNONYMS)
    assert found == suggested
    if found:
        assert find(db, found)


def test_snippet_marks_hits_where_most_of_them_stand() -> None:
    text = "Nothing here. " * 30 + "Then distilled <b>models</b> & teachers. " + "More. " * 30
    snippet = make_snippet(text, {"distil", "teacher"})
    assert snippet.startswith("… ")
    assert snippet.endswith(" …")
    assert "<mark>distilled</mark> &lt;b&gt;models&lt;/b&gt; &amp; <mark>teachers</mark>" in snippet
    assert make_snippet("Short & sweet", ()) == "Short &amp; sweet"
    assert make_snippet("", {"x"}) == ""


@pytest.mark.parametrize(
    ("snippet", "shown"),
    [
        ("a <mark>b</mark> &lt;c&gt;", "a <mark>b</mark> &lt;c&gt;"),
        ("<script>x</script><mark>", "&lt;script&gt;x&lt;/script&gt;<mark>"),
        ('<mark onclick="x">', "&lt;mark onclick=&#34;x&#34;&gt;"),
        ("&lt;mark&gt;", "&lt;mark&gt;"),
    ],
)
def test_shown_snippets_hold_no_other_markup(snippet: str, shown: str) -> None:
    assert str(mark_safely(snippet)) == shown


def test_common_words_do_not_make_the_query_score_everything(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("dailypapers.ranking.MAX_POSTINGS", 60)
    db.set_trace_callback(asked.append)
    find(db, "model training upcycling")
    db.set_trace_callback(None)
    typed = next(sql for sql in asked if "papers_fts match" in sql)
    assert "upcycling" in typed
    assert "training" not in typed


FILTERS = [
    "", "tag:reasoning", "-tag:reasoning", "tag:nothing", "-tag:nothing", 'tag:"Synthetic data"',
    "tag:reasoning -tag:distillation", "org:NVIDIA", "-org:nvidia", "org:nobody", "year:2025",
    "-year:2024", "year:2023-2024", "year:<2025", "year:9999", "authors:>5", "authors:<=5",
    "-authors:>5", "comments:>=2", "comments:0", "-comments:0", "upvotes:>0", "-upvotes:>0",
    "tag:reasoning year:2025 authors:>3",
]  # fmt: skip


@pytest.fixture(scope="module")
def bare(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The same database, without arrays."""
    copy = shutil.copy(sample, tmp_path_factory.mktemp("bare") / "daily.db")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("drop table paper_arrays")
        yield connection


@pytest.mark.parametrize("filters", FILTERS)
def test_filters_in_arrays_and_in_sql_pass_the_same_papers(
    db: sqlite3.Connection, bare: sqlite3.Connection, filters: str
) -> None:
    query = parse_query(filters)
    conditions = " and ".join(one.sql for one in query.filters) or "true"
    sql = f"select number from papers where {conditions} order by number"
    asked = db.execute(sql, [value for one in query.filters for value in one.parameters])
    numbers = [number for (number,) in asked]
    for connection in (db, bare):
        passing = find_passing(connection, query.filters)
        assert (np.flatnonzero(passing) + 1).tolist() == numbers
        for column in SORTS.values():
            ordered = sorted(numbers, key=lambda number: read_key(db, column, number))
            for limit in (1, 7, 1_000):
                assert list_first(connection, passing, column, limit) == ordered[:limit]


@cache
def read_key(db: sqlite3.Connection, column: str, number: int) -> tuple[bool, tuple[int, ...], int]:
    """What sorts papers by a column, the greatest first and NULL last, then by number."""
    sql = f"select {column} from papers where number = ?"
    value = db.execute(sql, [number]).fetchone()[0]
    return value is None, tuple(-int(part) for part in str(value or 0).split("-")), number


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(
    "words", ["model", '"language models"', "train*", "model -learning", "-model"]
)
@pytest.mark.parametrize(("span", "filtered"), [(10**9, 0), (50, 10**9), (50, 5)])
def test_common_words_find_the_newest_papers_that_pass(
    db: sqlite3.Connection, bare: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch,
    filters: str, words: str, span: int, filtered: int,
) -> None:  # fmt: skip
    """Whether they are looked up one by one, or a stretch of the file is gone through."""
    monkeypatch.setattr("dailypapers.ranking.MAX_POSTINGS", 0)
    monkeypatch.setattr("dailypapers.results.MAX_EXCLUDED", 0)
    monkeypatch.setattr("dailypapers.ranking.MAX_SPAN", span)
    monkeypatch.setattr("dailypapers.ranking.MAX_FILTERED", filtered)
    monkeypatch.setattr("dailypapers.ranking._BATCH", 3)
    query = parse_query(f"{words} {filters}")
    found = {hit.number for hit in rank_papers(db, query, {})} if query.is_text else set()
    passing = [int(place) + 1 for place in np.flatnonzero(find_passing(db, query.filters))]
    text = query.exclude_from(" AND ".join([*query.words, *query.required]))
    if text:
        holding = {number for (number,) in db.execute(
            "select rowid from papers_fts where papers_fts match ?", [text])}  # fmt: skip
        newest = [number for number in reversed(passing) if number in holding]
        assert found == set(newest[: len(found)])
        if not query.filters or span == 10**9 or (filtered == 10**9 and "*" not in words):
            assert len(found) == min(len(newest), 100)
    for sort in ("", "newest"):
        results = [
            find_papers(one, Search(f"{words} {filters}", sort=sort), {}) for one in (db, bare)
        ]
        assert results[0] == results[1]


def test_papers_without_a_word_are_asked_for_at_once(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = find_papers(db, Search("-model"), {})
    monkeypatch.setattr("dailypapers.ranking.MAX_SPAN", 1)
    monkeypatch.setattr("dailypapers.ranking._BATCH", 1)
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    again = find_papers(db, Search("-model"), {})
    db.set_trace_callback(None)
    assert again == every
    assert len([sql for sql in asked if "match" in sql]) == 1


def test_papers_without_a_common_word_are_those_of_the_first(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = find_papers(db, Search("-model"), {})
    monkeypatch.setattr("dailypapers.results.MAX_EXCLUDED", 0)
    monkeypatch.setattr("dailypapers.results.MAX_LISTED", 30)
    first = find_papers(db, Search("-model"), {})
    assert [one.number for one in first] == [one.number for one in every][: len(first)]
    assert (every[0].more, first[0].more) == (False, True)
    assert first[0].found < 30 < every[0].found


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet='"-:*()^+ andortitle<>=0123456789éß漢🤗\0\n\\'))
def test_any_text_is_a_query(typed: str) -> None:
    query = parse_query(typed)
    parts = [*query.required, *query.excluded, *(quote_phrase([word]) for word in query.words)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create virtual table t using fts5(title, abstract)")
        connection.execute(
            "create table papers(id, year, authors_count, comments, upvotes, organization)"
        )
        connection.execute("create table paper_tags(paper, tag)")
        connection.execute("create table tags(id, name)")
        connection.execute("create table organizations(id, name)")
        for part in parts:
            connection.execute("select * from t where t match ?", [part])
        for condition in query.filters:
            connection.execute(f"select 1 from papers where {condition.sql}", condition.parameters)
