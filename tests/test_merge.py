import random

from hypothesis import given
from hypothesis import strategies as st
from slugify import slugify

from dailypapers.catalogue import Catalogue, merge_listings
from dailypapers.listing import Entry, Listing
from dailypapers.merge import MAX_SLUG, Paper, fold_title, make_slug

from .pages import abstract


def listing(day: str | None, *entries: Entry, file: str | None = None) -> Listing:
    name = file or f"{day}.txt"
    return Listing(name, f"hash of {name} {entries}", "cards", listed_on=day, entries=entries)


def entry(title: str = "A paper", **facts: object) -> Entry:
    return Entry(1, 12, title, abstract(title), **facts)  # type: ignore[arg-type]


def merge_one(*listings: Listing) -> Paper:
    [paper] = merge_listings(listings).papers
    return paper


def test_titles_that_differ_in_case_blanks_and_punctuation_are_one_paper() -> None:
    titles = ['Pre-training: T\\"ULU {3}', "PRETRAINING TÜLU 3", "Pre–training – Tülu  3!"]
    assert len({fold_title(title) for title in titles}) == 1
    assert fold_title("A paper on LoRA") != fold_title("A paper on QLoRA")
    assert fold_title("🤗") != fold_title("🚀")


def test_same_paper_on_two_pages_is_one_with_both_sightings() -> None:
    paper = merge_one(
        listing("2025-12-30", entry("A Paper")), listing("2025-12-01", entry("a  paper"))
    )
    assert [s.listed_on for s in paper.sightings] == ["2025-12-01", "2025-12-30"]
    assert paper.listed_days == ["2025-12-01", "2025-12-30"]


def test_stated_facts_beat_unknown_ones_and_the_newest_counts_win() -> None:
    paper = merge_one(
        listing(
            "2025-01-01", entry(comments=7, upvotes=3, authors_count=4, published="2024-12-31")
        ),
        listing("2025-02-01", entry(comments=2, organization="nvidia")),
        listing(None, entry(comments=99), file="dense.txt"),
    )
    assert (paper.comments, paper.upvotes, paper.authors_count) == (2, 3, 4)
    assert (paper.published, paper.organization) == ("2024-12-31", "nvidia")


def test_longer_abstract_wins() -> None:
    short, long = Entry(1, 1, "A", "Short."), Entry(1, 1, "A", "Longer than that.")
    assert (
        merge_one(listing("2025-01-01", long), listing("2025-02-01", short)).abstract
        == long.abstract
    )


def test_contradicting_dates_become_a_problem_and_the_one_with_its_year_stays() -> None:
    catalogue = merge_listings(
        [
            listing("2025-01-01", entry(published="2024-06-03", published_printed="Jun 3, 2024")),
            listing("2025-02-01", entry(published="2025-06-03", published_printed="Jun 3")),
        ]
    )
    assert catalogue.papers[0].published == "2024-06-03"
    [(key, problem)] = catalogue.problems
    assert (key, problem.line, problem.severity) == ("2025-02-01", 12, "warning")
    assert problem.message == "the date 2025-06-03 contradicts 2024-06-03, which the paper keeps"


def test_arxiv_id_joins_titles_and_keeps_papers_apart() -> None:
    catalogue = merge_listings(
        [
            listing("2025-01-01", entry("Old title", arxiv_id="2501.00001")),
            listing("2025-01-02", entry("New title")),
            listing("2025-01-03", entry("New title", arxiv_id="2501.00001")),
            listing("2025-01-04", entry("Old title", arxiv_id="2501.99999")),
        ]
    )
    assert [(p.id, p.arxiv_id, len(p.sightings)) for p in catalogue.papers] == [
        ("old-title", "2501.00001", 3),
        (catalogue.papers[1].id, "2501.99999", 1),
    ]
    assert catalogue.papers[1].id.startswith("old-title-")
    assert catalogue.papers[0].url == "https://huggingface.co/papers/2501.00001"


def test_ids_stay_when_listings_are_added() -> None:
    titles = ["Pre-training", "Résumés", "C++ for robots", "🤗", "x" * 300]
    before = merge_listings([listing("2025-01-01", *map(entry, titles))])
    added = ["Pretraining", "Resumes", "C for robots", "🚀", "x" * 301]
    after = merge_listings(
        [listing("2025-01-01", *map(entry, titles)), listing("2025-01-02", *map(entry, added))]
    )
    ids = [paper.id for paper in before.papers]
    assert ids[:3] == ["pre-training", "resumes", "c-for-robots"]
    assert [paper.id for paper in after.papers][: len(ids)] == ids
    assert len({paper.id for paper in after.papers}) == len(after.papers)
    assert all(len(paper.id) <= 210 for paper in after.papers)


def test_order_of_the_listings_changes_nothing() -> None:
    listings = [
        listing(
            day, entry(f"Paper {n % 3}", comments=n), entry("Common", upvotes=n), file=f"{n}.txt"
        )
        for n, day in enumerate(["2025-03-01", None, "2025-01-01", "2025-02-01", None])
    ]

    def list_all() -> tuple[object, ...]:
        merged = merge_listings(listings)
        return list(merged.listings), list(merged.papers), merged.problems, merged.organizations

    expected = list_all()
    for seed in range(5):
        random.Random(seed).shuffle(listings)
        assert list_all() == expected


def test_copy_of_the_same_bytes_counts_once() -> None:
    one = Listing("a.txt", "same", "cards", entries=(entry(),))
    two = Listing("b.txt", "same", "cards", entries=(entry(),))
    three = Listing("a.txt", "same", "cards", entries=(entry(),))
    catalogue = merge_listings([two, one, three])
    assert len(catalogue.papers[0].sightings) == 1
    assert len(catalogue.listings) == 3
    assert {problem.message.split(",")[0] for _, problem in catalogue.problems} == {
        "the same bytes as a.txt"
    }


def test_listings_of_one_name_have_ids_of_their_own() -> None:
    catalogue: Catalogue = merge_listings(
        [
            listing("2025-01-01", entry("A"), file="page 1.txt"),
            listing("2025-01-02", entry("B"), file="page 1.txt"),
            listing("2025-01-03", entry("C"), file="page-1.md"),
            listing("2025-01-04", entry("D"), file="….txt"),
        ]
    )
    assert len(catalogue.listings) == 4
    assert sorted(key[:6] for key in catalogue.listings) == ["listin", "page-1", "page-1", "page-1"]


def test_organizations_have_the_newest_name() -> None:
    catalogue = merge_listings(
        [
            listing("2025-02-01", entry("B", organization="nvidia", organization_name="NVIDIA")),
            listing("2025-01-01", entry("A", organization="nvidia", organization_name="Nvidia")),
        ]
    )
    assert catalogue.organizations == {"nvidia": "NVIDIA"}


@given(st.one_of(st.text("aZ0 :-"), st.text(max_size=300)))
def test_plain_titles_have_the_ids_that_slugify_gives(title: str) -> None:
    made = slugify(title, max_length=MAX_SLUG, word_boundary=True)
    assert make_slug(title) == (made or "paper")
