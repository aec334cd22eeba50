import random

import pytest

from dailypapers import related
from dailypapers.related import find_related, join_text

Related = list[list[tuple[int, float]]]

LIONS = "Lions hunt zebras at night across open savanna"
MORE_LIONS = "Zebras graze by day; lions hunt them at night"
BREAD = "Sourdough bread rises slowly in a cold kitchen"


def find(*texts: str, tags: list[list[str]] | None = None, count: int = 10) -> Related:
    return list(find_related(texts, tags or [[]] * len(texts), count))


def make_texts(count: int, words: int = 30) -> list[str]:
    chance = random.Random(7)
    return [
        " ".join(f"word{int(40 * chance.random() ** 3)}" for _ in range(words))
        for _ in range(count)
    ]


def make_tags(count: int) -> list[list[str]]:
    chance = random.Random(8)
    return [chance.sample("abcdefgh", chance.randint(0, 4)) for _ in range(count)]


def test_texts_that_share_words_are_related_and_others_are_not() -> None:
    lions, bread, more_lions = find(LIONS, BREAD, MORE_LIONS)
    assert [index for index, _ in lions] == [2]
    assert [index for index, _ in more_lions] == [0]
    assert bread == []


def test_pairs_of_words_count_beside_the_words() -> None:
    [first, *_] = find("purple rain fell", "rain on purple hats", "purple rain again", BREAD)
    assert [index for index, _ in first] == [2, 1]


def test_rare_words_count_more_than_frequent_ones() -> None:
    texts = ["tram quokka", "tram lemon", "coffee quokka", *["tram coffee lemon"] * 5]
    assert find(*texts)[0][0][0] == 2


def test_words_that_stand_everywhere_in_english_relate_nothing() -> None:
    assert find("this is about the lions", "and that is about the bread") == [[], []]


def test_title_counts_twice_and_an_abstract_may_be_missing() -> None:
    texts = [
        join_text("Lions", None),
        join_text("Lions", "They roar, run and rest near water."),
        join_text("Water", "Lions, roaring, running, resting."),
        join_text("Bread", None),
    ]
    assert [index for index, _ in find(*texts)[0]] == [1, 2]


def test_shared_tags_decide_between_equal_texts() -> None:
    tags = [["cats"], ["baking"], ["cats"], ["baking"], []]
    found = find(*[LIONS] * 5, tags=tags)
    assert [index for index, _ in found[0]] == [2, 1, 3, 4]
    assert found[0][0][1] == 1
    assert found[0][1][1] == found[0][2][1] == pytest.approx(1 - related.TAG_SHARE)


def test_shared_tags_relate_papers_without_a_word_in_common() -> None:
    found = find(LIONS, BREAD, "", "", tags=[["a"], ["a"], ["b"], ["b"]])
    assert found == [[(1, 0.15)], [(0, 0.15)], [(3, 0.15)], [(2, 0.15)]]


def test_rare_tags_count_more_than_frequent_ones() -> None:
    tags = [["common", "rare"], ["common"], ["rare"], *[["common"]] * 4, []]
    assert find(*[""] * 8, tags=tags)[0][0][0] == 2


def test_a_tag_that_all_papers_have_relates_nothing() -> None:
    assert find(LIONS, BREAD, tags=[["all"], ["all"]]) == [[], []]


def test_a_tag_given_twice_counts_once() -> None:
    once = [["a", "b"], ["b", "c"], ["a"], []]
    twice = [["b", "a", "a"], ["c", "b"], ["a", "a"], []]
    assert find(*[""] * 4, tags=once) == find(*[""] * 4, tags=twice)


def test_equal_papers_are_ordered_by_index_and_never_include_the_paper_itself() -> None:
    found = find(*[LIONS] * 11)
    for paper, near in enumerate(found):
        assert near == [(other, 0.85) for other in range(11) if other != paper]
    assert [index for index, _ in find(*[LIONS] * 11, count=3)[1]] == [0, 2, 3]


def test_more_equal_papers_than_candidates_are_still_ordered_by_index() -> None:
    found = find(*[LIONS] * (related.CANDIDATES + 100))
    assert all(
        [index for index, _ in near] == [i for i in range(11) if i != paper][:10]
        for paper, near in enumerate(found)
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        ([LIONS], [[]]),
        ([""], [[]]),
        (["", ""], [[], []]),
        (["?", "the", "的"], [[], [], []]),
        ([LIONS, LIONS], [[(1, 0.85)], [(0, 0.85)]]),
        ([LIONS, ""], [[], []]),
    ],
)
def test_few_or_empty_papers(texts: list[str], expected: Related) -> None:
    assert find(*texts) == expected


def test_at_most_count_best_first_with_scores_between_0_and_1() -> None:
    found = list(find_related(make_texts(300), make_tags(300), 7))
    assert len(found) == 300
    for paper, near in enumerate(found):
        indexes, scores = zip(*near, strict=True)
        assert len(near) == 7 == len(set(indexes)) and paper not in indexes
        assert list(near) == sorted(near, key=lambda pair: (-pair[1], pair[0]))
        assert all(0 < score <= 1 for score in scores)


def test_more_neighbours_than_candidates_can_be_asked_for() -> None:
    found = list(find_related(make_texts(300), make_tags(300), 299))
    assert {len(near) for near in found} == {299}


def test_fewer_asked_for_are_the_first_of_more() -> None:
    many = list(find_related(make_texts(300), make_tags(300), 9))
    few = list(find_related(make_texts(300), make_tags(300), 4))
    assert few == [near[:4] for near in many]


def test_same_input_gives_the_same_output() -> None:
    first, second = (list(find_related(make_texts(600), make_tags(600))) for _ in range(2))
    assert first == second


def test_related_papers_have_the_same_score_both_ways() -> None:
    found = [dict(near) for near in find_related(make_texts(100), make_tags(100), 99)]
    assert all(
        found[other][paper] == score
        for paper, near in enumerate(found)
        for other, score in near.items()
    )


def test_scores_stay_exact_where_not_all_features_can_be_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(related, "CANDIDATES", 40)
    texts, tags = make_texts(300), make_tags(300)
    exact = [dict(near) for near in find_related(texts, tags, 299)]
    best = list(find_related(texts, tags, 5))
    limited = list(find_related(texts, tags, 5, work=200_000))
    assert limited != best
    for paper, near in enumerate(limited):
        assert all(score == pytest.approx(exact[paper][other], abs=2e-4) for other, score in near)
    kept = sum(
        len({i for i, _ in a} & {i for i, _ in b}) for a, b in zip(best, limited, strict=True)
    )
    assert kept > 0.8 * 5 * 300


def test_telling_features_are_searched_before_frequent_ones() -> None:
    texts = [f"shared noise rare{number // 2}" for number in range(400)]
    found = list(find_related(texts, [[]] * 400, 1, work=2_000))
    assert [near[0][0] for near in found] == [number ^ 1 for number in range(400)]


def test_texts_and_tags_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="2 texts, but 1 lists"):
        list(find_related([LIONS, BREAD], [[]]))
