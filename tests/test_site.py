"""The site as visitors and programs use it, through Datasette itself."""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import pytest
from datasette.app import Datasette
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import PROJECT

HOSTILE = [
    '"', '"unbalanced', "AND", "AND AND", "C++", "don't", "a OR", "NEAR(", "title:", "*", "^", "-",
    "\0", "a\0b", "🤗", "<script>alert(1)</script>", "'; drop table papers --", "", "   ", "\t\n",
    "x" * 5_000, "some words " * 900,
    '""', '" "', "a\\b", "%", "_",
]  # fmt: skip


class Links(HTMLParser):
    """The addresses of a page's links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


async def fetch_json(site: Datasette, path: str) -> Any:
    answer = await site.client.get(path)
    assert answer.status_code == 200, (path, answer.text[:300])
    return answer.json()


async def test_every_page_that_the_site_links_to_answers(site: Datasette) -> None:
    """From the home page, three clicks deep; each table and row as HTML, JSON and CSV."""
    seen: set[str] = set()
    frontier = ["/"]
    for _ in range(3):
        following: list[str] = []
        for path in frontier:
            answer = await site.client.get(path)
            assert answer.status_code == 200, path
            if not answer.headers["content-type"].startswith("text/html"):
                continue
            for href in Links(answer.text).found:
                url = urlsplit(urljoin(f"http://localhost{path}", href))
                page = url.path + (f"?{url.query}" if url.query else "")
                if url.netloc == "localhost" and not url.path.endswith(".db") and page not in seen:
                    seen.add(page)
                    following.append(page)
        frontier = following[:150]
    tables = {"papers", "authors_count", "organizations", "tags", "paper_tags", "links", "listings",
              "entries", "problems"}  # fmt: skip
    assert {f"/daily/{table}" for table in tables} <= seen
    for table in tables:
        rows = await fetch_json(site, f"/daily/{table}.json?_shape=array&_size=1")
        if rows and table not in ("paper_tags", "links"):
            key = "authors_count" if table == "authors_count" else "id"
            assert (await site.client.get(f"/daily/{table}/{rows[0][key]}")).status_code == 200
        answer = await site.client.get(f"/daily/{table}.csv?_size=max")
        assert answer.status_code == 200
        assert list(csv.DictReader(io.StringIO(answer.text))) or not rows


async def test_papers_are_listed_newest_first_with_facets_and_labels(site: Datasette) -> None:
    page = await fetch_json(site, "/daily/papers.json?_size=3&_labels=on")
    assert page["filtered_table_rows_count"] == 436
    dates = [row[page["columns"].index("published")] if isinstance(row, list) else row["published"]
             for row in page["rows"]]  # fmt: skip
    assert dates == sorted(dates, reverse=True)
    assert set(page["facet_results"]) == {"year", "tags", "organization", "authors_count"}
    assert {
        fact["value"]: fact["label"] for fact in page["facet_results"]["authors_count"]["results"]
    }[1] == "1 author"
    assert "NVIDIA" in {fact["label"] for fact in page["facet_results"]["organization"]["results"]}
    years = [fact["value"] for fact in page["facet_results"]["year"]["results"]]
    assert 2024 in years


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("year=2024&_sort_desc=comments", "comments"),
        ("organization=nvidia", None),
        ("authors_count__gt=20&_sort=authors_count", None),
        ("tags__arraycontains=distillation", None),
    ],
)
async def test_papers_can_be_filtered_and_sorted(
    site: Datasette, filters: str, expected: str | None
) -> None:
    rows = await fetch_json(site, f"/daily/papers.json?_shape=array&{filters}")
    assert 0 < len(rows) < 436
    if expected:
        values = [row[expected] for row in rows if row[expected] is not None]
        assert values == sorted(values, reverse=True)


async def test_a_paper_shows_what_belongs_to_it(site: Datasette) -> None:
    [row] = await fetch_json(site, "/daily/papers.json?_shape=array&organization=nvidia&_size=1")
    table = await site.client.get("/daily/papers?organization=nvidia")
    assert '<a href="/daily/organizations/nvidia">NVIDIA</a>' in table.text
    answer = await site.client.get(f"/daily/papers/{row['id']}")
    assert row["title"] in answer.text
    assert f"/daily/paper_tags?paper={row['id']}" in answer.text


async def test_search_ranks_and_marks(site: Datasette) -> None:
    rows = await fetch_json(site, "/daily/search.json?_shape=array&q=upcycling+experts")
    assert rows[0]["title"].startswith("Drop-Upcycling")
    assert {"id", "title", "published", "snippet", "score"} <= rows[0].keys()
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert "<mark>" in rows[0]["snippet"]
    html = (await site.client.get("/daily/search?q=upcycling")).text
    assert f'<a href="/daily/papers/{rows[0]["id"]}">{rows[0]["title"]}</a>' in html


async def test_a_phrase_must_stand_together(site: Datasette) -> None:
    path = "/daily/search.json?_shape=array&q="
    loose = await fetch_json(site, path + quote("progressive pruning"))
    strict = await fetch_json(site, path + quote('"progressive pruning"'))
    assert 0 < len(strict) < len(loose)


@pytest.mark.parametrize("typed", HOSTILE)
async def test_nothing_typed_breaks_search(site: Datasette, typed: str) -> None:
    for path in ("/daily/search", "/daily/search.json", "/daily/search.csv"):
        answer = await site.client.get(f"{path}?{urlencode({'q': typed})}")
        assert answer.status_code == 200, (path, typed)
        assert "<script>alert" not in answer.text or path != "/daily/search"
    answer = await site.client.get(f"/daily/papers?{urlencode({'_search': typed})}")
    assert answer.status_code == 200, typed


async def test_blank_search_lists_the_newest(site: Datasette) -> None:
    for path in ("/daily/search.json?_shape=array", "/daily/search.json?_shape=array&q=+"):
        rows = await fetch_json(site, path)
        dates = [row["published"] for row in rows]
        assert dates == sorted(dates, reverse=True)
        assert len(rows) == 20


async def test_search_takes_filters_order_and_page(site: Datasette) -> None:
    path = "/daily/search.json?_shape=array&q=model&year=2024&sort=discussed"
    rows = await fetch_json(site, path)
    assert {row["published"][:4] for row in rows} == {"2024"}
    assert [row["comments"] for row in rows] == sorted(
        (row["comments"] for row in rows), reverse=True
    )
    more = await fetch_json(site, path + "&page=2")
    assert {row["id"] for row in rows}.isdisjoint(row["id"] for row in more)
    for odd in ("page=0", "page=-1", "page=x", "page=" + "9" * 50, "sort=x", "sort='", "year=%00"):
        answer = await site.client.get(f"/daily/search?q=model&{odd}")
        assert answer.status_code == 200, odd


@pytest.fixture(scope="module")
def visit(sample: Path) -> Iterator[Callable[[str], int]]:
    """Ask a site for a path and get the status; for tests that are not asynchronous."""
    loop = asyncio.new_event_loop()
    ds = Datasette(immutables=[str(sample)], config_dir=PROJECT, inspect_data={})
    loop.run_until_complete(ds.invoke_startup())

    def get_status(path: str) -> int:
        status: int = loop.run_until_complete(ds.client.get(path)).status_code
        return status

    yield get_status
    loop.close()


@settings(max_examples=150, deadline=None)
@given(
    q=st.text(max_size=80)
    | st.text(alphabet='"-:*() <>=0123456789titlegayror\0é漢🤗', max_size=40),
    tag=st.text(max_size=8),
    year=st.text(max_size=8),
    sort=st.sampled_from(["", "newest", "discussed", "authors", "x"]),
    page=st.integers(-2, 9).map(str) | st.text(max_size=4),
)
def test_any_text_gives_a_page(
    visit: Callable[[str], int], q: str, tag: str, year: str, sort: str, page: str
) -> None:
    typed = {"q": q, "tag": tag, "year": year, "sort": sort, "page": page}
    for path in ("/daily/search", "/daily/search.json", "/daily/suggest.json"):
        assert visit(f"{path}?{urlencode(typed, errors='replace')}") == 200


async def test_the_search_page_marks_hits_and_says_what_to_try(site: Datasette) -> None:
    text = (await site.client.get("/daily/search?q=upcycling")).text
    assert "<mark>upcycling</mark>" in text.lower()
    text = (await site.client.get("/daily/search?q=xqzzvw")).text
    assert "Nothing found" in text
    assert "Try fewer or other words" in text
    text = (await site.client.get("/daily/search?q=disstillation+%3Cb%3E")).text
    assert 'Did you mean <a href="?q=distillation+%3Cb%3E' in text
    [row] = await fetch_json(site, "/daily/suggest.json?_shape=array&q=disstillation")
    assert row == {"suggestion": "distillation"}


@pytest.mark.parametrize(
    "blank", ["_search=", "_search=+", "_search=%09%0a", "_size=2&_search=&year=2024"]
)
async def test_blank_table_search_lists_everything(site: Datasette, blank: str) -> None:
    page = await fetch_json(site, f"/daily/papers.json?{blank}")
    unsearched = await fetch_json(
        site, "/daily/papers.json?year=2024" if "year" in blank else "/daily/papers.json"
    )
    assert page["filtered_table_rows_count"] == unsearched["filtered_table_rows_count"] > 0


async def test_tables_search_too(site: Datasette) -> None:
    rows = await fetch_json(site, "/daily/papers.json?_shape=array&_search=upcycling")
    assert any(row["title"].startswith("Drop-Upcycling") for row in rows)
    assert len(rows) < 20


@pytest.mark.parametrize("path", ["/nothing", "/daily/nothing", "/daily/papers/nothing"])
async def test_what_is_not_there_is_404(site: Datasette, path: str) -> None:
    assert (await site.client.get(path)).status_code == 404


async def test_counts_are_free_and_facets_are_not_suggested(site: Datasette) -> None:
    assert site.get_database("daily").cached_table_counts["papers"] == 436
    page = await fetch_json(site, "/daily/tags.json")
    assert page["suggested_facets"] == []


async def test_other_sites_may_read_the_api(site: Datasette) -> None:
    answer = await site.client.get("/daily/papers.json?_size=1")
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_csv_is_complete(site: Datasette) -> None:
    answer = await site.client.get("/daily/papers.csv?_stream=on&_labels=on")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 436
    assert {"organization", "organization_label"} <= rows[0].keys()


async def test_charts_are_drawn_on_tables_and_queries_on_request(site: Datasette) -> None:
    for path in ("/daily/authors_count?_chart=on", "/daily/facts?_chart=on", "/daily/tag_pairs"):
        several_rows = "facts" not in path
        assert ("datasette_vega" in (await site.client.get(path)).text) == several_rows, path


async def test_what_listings_hold_is_escaped(site: Datasette) -> None:
    sql = "select '<img src=x onerror=alert(1)>' as title, 'x\"><b>' as id"
    answer = await site.client.get(f"/daily?{urlencode({'sql': sql})}")
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x" in answer.text


async def test_terms_stand_on_every_page(site: Datasette) -> None:
    for path in ("/", "/daily", "/daily/papers", "/daily/tags", "/daily/search?q=lora"):
        text = (await site.client.get(path)).text
        assert "https://creativecommons.org/licenses/by/4.0/" in text, path
        assert "https://huggingface.co/papers" in text, path


async def test_the_schema_is_described_to_programs(site: Datasette) -> None:
    metadata = await fetch_json(site, "/-/metadata.json")
    assert "columns" in metadata["databases"]["daily"]["tables"]["papers"]
    assert json.dumps(metadata)
