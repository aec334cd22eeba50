"""Atom feeds: valid by the rules of RFC 4287, of the right papers, and found by feed readers."""

import html
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import feedparser
import pytest
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from dailypapers.publishing.facets import read_pairs
from dailypapers.publishing.feeds import (
    MAX_ENTRIES,
    PAPERS,
    SEARCH,
    Entry,
    Feed,
    ask_for_newest,
    clean_text,
    make_feed_address,
    make_page_address,
    write_feed,
    write_opml,
)

from .conftest import PROJECT

ATOM = "{http://www.w3.org/2005/Atom}"
HOME = "http://localhost"
LISTING = "000-d7ab98431e6b4795"
PAPER = "tag:daily-papers.invalid,2025:papers/"
DAY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ONCE = {"id", "title", "updated"}
IN_FEED = {*ONCE, "author", "link", "generator", "rights", "entry"}
IN_ENTRY = {*ONCE, "author", "link", "category", "content", "published"}
AT_MOST_ONCE = {"content", "published", "rights", "generator"}

FEEDS = {
    "/daily/feed.atom": "the newest",
    "/daily/papers.atom": "the newest",
    "/daily/papers.atom?_tag=distillation": "Knowledge distillation",
    "/daily/papers.atom?organization=nvidia": "from NVIDIA",
    "/daily/papers.atom?authors_count=5": "5 authors",
    "/daily/papers.atom?year=2024": "2024",
    f"/daily/papers.atom?_listing={LISTING}": "listed in 000_",
    "/daily/papers.atom?_tag=distillation&_tag=language-models&year__gte=2024": (
        "Knowledge distillation, Language models, 2024 or later"
    ),
    "/daily/papers.atom?_search=teacher&comments__gte=1": "words “teacher”, at least 1 comment",
    "/daily/papers.atom?_tag=nothing": "nothing",
    "/daily/papers.atom?title=%00%3C%26%22": 'title is “<&"”',
    "/daily/feed.atom?q=lora": "lora",
    "/daily/feed.atom?q=teacher&tag=distillation&year=2024": "teacher, distillation, 2024",
    "/daily/feed.atom?q=%22%0b%5D%5D%3E%3C/title%3E%22": '" ]]></title>"',
    "/daily/most_discussed.atom": "Most discussed",
    "/daily.atom?sql=select+id%2C+title+from+papers": "a query of your own",
}
"""Addresses, and what their titles say."""

EMPTY = [address for address in FEEDS if re.search("nothing|%00", address)]

Open = Callable[..., Datasette]


@pytest.fixture
def open_site(sample: Path, tmp_path: Path) -> Open:
    """The project with other settings, or with the sample changed by SQL."""

    def make(*changes: str | tuple[str, Any], **settings: Any) -> Datasette:
        path = shutil.copy(sample, tmp_path / "daily.db")
        with closing(sqlite3.connect(path)) as connection, connection:
            for change in changes:
                connection.execute(*((change,) if isinstance(change, str) else change))
        return Datasette(
            immutables=[str(path)], config_dir=PROJECT, settings=settings, inspect_data={"_": {}}
        )

    return make


def ask(sample: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(sample)) as connection:
        return connection.execute(sql, values).fetchall()


def name_of(element: Any) -> str:
    assert element.tag.startswith(ATOM)
    return str(element.tag.removeprefix(ATOM))


def check_atom(written: bytes) -> Any:
    """What RFC 4287 and the W3C's validator ask of a feed."""
    feed = etree.fromstring(written)
    assert feed.tag == f"{ATOM}feed"
    entries = feed.findall(f"{ATOM}entry")
    for element, allowed in [(feed, IN_FEED), *((entry, IN_ENTRY) for entry in entries)]:
        check_parts(element, allowed)
    links = {link.get("rel"): link.attrib for link in feed.findall(f"{ATOM}link")}
    assert links.keys() == {"self", "alternate"}
    assert links["self"]["type"] == "application/atom+xml"
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(ids)) == len(ids) <= MAX_ENTRIES
    assert feed.findtext(f"{ATOM}id") not in ids
    changed = [entry.findtext(f"{ATOM}updated") for entry in entries]
    assert not changed or feed.findtext(f"{ATOM}updated") == max(changed)
    return feed


def check_parts(element: Any, allowed: set[str]) -> None:
    names = [name_of(part) for part in element]
    assert set(names) <= allowed
    assert all(names.count(name) == 1 for name in ONCE)
    assert all(names.count(name) <= 1 for name in AT_MOST_ONCE)
    assert names.count("author") >= 1
    assert all(
        part.tag == f"{ATOM}name" and part.text for part in element.iterfind(f"{ATOM}author/*")
    )
    for part in element:
        name = name_of(part)
        if name in ("title", "content", "rights"):
            assert (part.get("type") or "text", len(part)) == ("text", 0)
        if name in ("updated", "published"):
            assert DAY.fullmatch(part.text)
        if name == "link":
            assert urlsplit(part.get("href")).scheme in ("http", "https")
            assert not re.search(r"[\s<>\"{}|\\^`]", part.get("href"))
        if name == "category":
            assert part.get("term")
    identifier = element.findtext(f"{ATOM}id")
    assert re.fullmatch(r"tag:[a-z.-]+,\d{4}:[!-~]+", identifier)
    assert not set(identifier) & set('<>"{}|\\^`#')
    assert any(link.get("rel") in (None, "alternate") for link in element.iterfind(f"{ATOM}link"))


def list_ids(feed: Any) -> list[str]:
    ids = [entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry")]
    assert all(id.startswith(PAPER) for id in ids)
    return [id.removeprefix(PAPER) for id in ids]


def list_links(feed: Any) -> dict[str, str]:
    return {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")}


async def fetch(site: Datasette, address: str, **headers: str) -> Any:
    answer = await site.client.get(address.removeprefix(HOME), headers=headers)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    return check_atom(answer.content)


@pytest.mark.parametrize(("address", "words"), FEEDS.items())
async def test_every_feed_is_valid_and_says_what_it_is(
    site: Datasette, address: str, words: str
) -> None:
    answer = await site.client.get(address)
    feed = check_atom(answer.content)
    assert feed.findtext(f"{ATOM}title").startswith(f"Daily Papers: {words}")
    assert bool(list_ids(feed)) == (address not in EMPTY)
    parsed = feedparser.parse(answer.content, response_headers=dict(answer.headers))
    assert (parsed.bozo, parsed.version) == (False, "atom10")
    assert len(parsed.entries) == len(list_ids(feed))


@pytest.mark.parametrize("address", FEEDS)
async def test_a_feed_leads_to_itself_and_to_its_page(site: Datasette, address: str) -> None:
    links = list_links(await fetch(site, address))
    again = await fetch(site, links["self"])
    assert (list_links(again), list_ids(again)) == (links, list_ids(await fetch(site, address)))
    page = await site.client.get(links["alternate"].removeprefix(HOME))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


CONDITIONS = {
    "/daily/feed.atom": "true",
    "/daily/papers.atom": "true",
    "/daily/papers.atom?_sort=title&_size=3&_next=x&_facet=year&_col=title": "true",
    "/daily/papers.atom?_tag=distillation": "tags like '%\"distillation\"%'",
    "/daily/papers.atom?_tag=distillation&_tag=language-models&year=2025": (
        "tags like '%\"distillation\"%' and tags like '%\"language-models\"%' and year = 2025"
    ),
    "/daily/papers.atom?authors_count=5": "authors_count = 5",
    "/daily/feed.atom?tag=distillation": "tags like '%\"distillation\"%'",
    "/daily/feed.atom?org=nvidia": "organization = 'nvidia'",
    "/daily/feed.atom?q=year:2024+tag:distillation": (
        "year = 2024 and tags like '%\"distillation\"%'"
    ),
    "/daily.atom?sql=select+id%2C+title+from+papers+where+year%3D2025+limit+999": "year = 2025",
}


@pytest.mark.parametrize(("address", "condition"), CONDITIONS.items())
async def test_a_feed_holds_the_newest_papers(
    site: Datasette, sample: Path, address: str, condition: str
) -> None:
    expected = ask(
        sample,
        "select id, coalesce(published, first_listed) as day from papers"
        f" where day is not null and {condition} order by day desc, id limit 50",
    )
    assert expected
    assert list_ids(await fetch(site, address)) == [id for id, _ in expected]


async def test_a_search_has_all_its_pages_in_the_feed(site: Datasette) -> None:
    found = set()
    for page in (1, 2, 3):
        rows = await site.client.get(
            f"/daily/search.json?_shape=array&q=model&sort=newest&page={page}"
        )
        found |= {row["id"] for row in rows.json() if row["published"]}
    listed = list_ids(await fetch(site, "/daily/feed.atom?q=model"))
    assert len(listed) == MAX_ENTRIES
    assert set(listed) <= found


async def test_entries_say_what_is_known(site: Datasette, sample: Path) -> None:
    feed = await fetch(site, "/daily/papers.atom")
    for entry, id in zip(feed.findall(f"{ATOM}entry"), list_ids(feed), strict=True):
        [(title, abstract, published, listed, tags)] = ask(
            sample,
            "select title, abstract, published, last_listed, tags from papers where id = ?",
            id,
        )
        told = {name: entry.findtext(f"{ATOM}{name}") for name in IN_ENTRY}
        assert told["title"] == title
        assert told["content"] == abstract
        assert told["published"] == (published and f"{published}T00:00:00+00:00")
        assert told["updated"] == f"{max(published or '', listed)}T00:00:00+00:00"
        assert entry.find(f"{ATOM}link").get("href") == f"{HOME}/daily/papers/{id}"
        terms = [category.get("term") for category in entry.findall(f"{ATOM}category")]
        assert sorted(terms) == sorted(json.loads(tags))
        [author] = [author.text for author in entry.findall(f"{ATOM}author/{ATOM}name")]
        assert author


async def test_bylines_stand_for_authors_that_nobody_names(site: Datasette) -> None:
    async def list_authors(address: str) -> set[str]:
        feed = await fetch(site, address)
        return {author.text for author in feed.iterfind(f"{ATOM}entry/{ATOM}author/{ATOM}name")}

    assert await list_authors("/daily/papers.atom?authors_count=5") == {"5 authors"}
    assert await list_authors("/daily/papers.atom?organization=nvidia") == {"NVIDIA"}


async def test_what_was_listed_last_is_known_of_an_empty_feed(
    site: Datasette, sample: Path
) -> None:
    [[day]] = ask(sample, "select max(last_listed) from papers")
    feed = await fetch(site, "/daily/papers.atom?_tag=nothing")
    assert feed.findtext(f"{ATOM}updated") == f"{day}T00:00:00+00:00"


async def test_without_any_day_a_feed_is_valid_and_empty(open_site: Open) -> None:
    ds = open_site("update papers set published = null, first_listed = null, last_listed = null")
    for address in ("/daily/feed.atom", "/daily/papers.atom", "/daily/feed.atom?q=lora"):
        feed = await fetch(ds, address)
        assert list_ids(feed) == []
        assert feed.findtext(f"{ATOM}updated") == "1970-01-01T00:00:00+00:00"


async def test_papers_without_a_date_stand_where_they_were_listed(open_site: Open) -> None:
    """The papers page has them at its end, behind more dated ones than a feed holds."""
    number = "(select number from papers where published is null order by id limit 1)"
    ds = open_site(
        "update papers set published = '2024-01-01' where published is not null",
        "update papers set first_listed = '2023-01-01', last_listed = '2023-01-01'",
        "update papers set first_listed = '2025-01-01', last_listed = '2025-01-02'"
        f" where number = {number}",
    )
    for address in (
        "/daily/feed.atom",
        "/daily/papers.atom",
        "/daily/papers.atom?listed__gt=0",
    ):
        feed = await fetch(ds, address)
        first = feed.find(f"{ATOM}entry")
        assert len(list_ids(feed)) == MAX_ENTRIES
        assert first.findtext(f"{ATOM}updated") == "2025-01-02T00:00:00+00:00"
        assert first.find(f"{ATOM}published") is None
    feed = await fetch(ds, "/daily/papers.atom?authors_count=999")
    assert list_ids(feed) == []


@pytest.mark.parametrize("where", ["1=1--", "1=1; --", "1=1 /*", "1=1 limit 500 --"])
async def test_what_datasette_bears_as_a_condition_makes_a_feed(
    site: Datasette, where: str
) -> None:
    answer = await site.client.get("/daily/papers.atom", params={"_where": where})
    assert answer.status_code == 200
    assert list_ids(check_atom(answer.content))


HOSTILE = "\x00\x01\x1b\x1f ]]> </title><script>alert(1)</script> &amp; \ufffe\uffff \u2028 '\" 🤗"


async def test_hostile_texts_stay_text(open_site: Open) -> None:
    paper = "'skill-targeted-adaptive-training'"
    ds = open_site(
        "pragma foreign_keys = off",
        (f"update papers set title = ?, abstract = ? where id = {paper}", (HOSTILE, HOSTILE)),
        ("insert into authors values ('x', ?, 1), ('y', 'Bo Sample', 1)", (HOSTILE,)),
        f"insert into paper_authors values ({paper}, 1, 'y'), ({paper}, 2, 'x')",
        ("update tags set name = ?", (HOSTILE,)),
        # Not even UTF-8: half of a pair of surrogates
        f"update papers set abstract = abstract || cast(x'eda080' as text) where id = {paper}",
        ("update papers set id = ? where rowid = 1", ("a&b<c>/d.e?f g",)),
        "update papers set published = '2030-01-01' where rowid = 1",
    )
    feed = await fetch(ds, "/daily/feed.atom")
    assert list_ids(feed)[0] == "a%26b%3Cc%3E/d.e%3Ff%20g"
    assert feed.find(f"{ATOM}entry/{ATOM}link").get("href") == (
        f"{HOME}/daily/papers/a~26b~3Cc~3E~2Fd~2Ee~3Ff+g"
    )
    entry = feed.findall(f"{ATOM}entry")[1]
    said = clean_text(HOSTILE)
    assert said.startswith(" ]]> </title><script>")
    assert entry.findtext(f"{ATOM}title") == said
    assert entry.findtext(f"{ATOM}content").startswith(said)
    authors = [author.text for author in entry.findall(f"{ATOM}author/{ATOM}name")]
    assert authors == ["Bo Sample", said]
    labels = {category.get("label") for category in feed.iterfind(f"{ATOM}entry/{ATOM}category")}
    assert labels == {said}


async def test_a_title_of_nothing_printable_is_still_a_title(open_site: Open) -> None:
    ds = open_site(("update papers set title = ?, abstract = ''", ("\x01",)))
    feed = await fetch(ds, "/daily/feed.atom")
    titles = {entry.findtext(f"{ATOM}title") for entry in feed.findall(f"{ATOM}entry")}
    assert titles == {"Untitled"}


# Finding feeds


PAGES = {
    "/": [],
    "/daily/papers": ["/daily/papers.atom"],
    "/daily/papers?_tag=distillation&_tag=agents&year=2024&_sort=title&_next=x": [
        "/daily/papers.atom?_tag=distillation&_tag=agents&year=2024"
    ],
    "/daily/papers?_search=%22a+b%22&organization=": [
        "/daily/papers.atom?_search=%22a+b%22&organization="
    ],
    "/daily/tags/distillation": ["/daily/papers.atom?_tag=distillation"],
    "/daily/organizations/nvidia": ["/daily/papers.atom?organization=nvidia"],
    "/daily/authors_count/5": ["/daily/papers.atom?authors_count=5"],
    f"/daily/listings/{LISTING}": [f"/daily/papers.atom?_listing={LISTING}"],
    "/daily/search?q=lora+%3Cb%3E&year=2024&sort=authors&page=1&x=y": [
        "/daily/feed.atom?q=lora+%3Cb%3E&year=2024"
    ],
}


@pytest.mark.parametrize(("page", "feeds"), PAGES.items())
async def test_readers_find_the_feed_of_a_page(
    site: Datasette, page: str, feeds: list[str]
) -> None:
    answer = await site.client.get(page)
    assert answer.status_code == 200
    links = re.findall(r'<link [^>]*type="application/atom\+xml"[^>]*>', answer.text)
    found = [html.unescape(re.search(r'href="([^"]*)"', link)[1]) for link in links]  # type: ignore[index]
    assert found == ["/daily/feed.atom", *feeds]
    assert all('rel="alternate"' in link and 'title="' in link for link in links)
    for feed in feeds:
        await fetch(site, feed)
        assert f'href="{html.escape(feed)}">Atom feed</a>' in answer.text.replace("&#34;", "&quot;")


async def test_no_page_offers_a_feed_in_another_order(site: Datasette) -> None:
    for page in ("/daily/papers?_view=table", "/daily/search?q=lora", "/daily/papers?_sort=title"):
        text = (await site.client.get(page)).text
        assert ">Atom</a>" not in text
    assert ">Atom</a>" in (await site.client.get("/daily/feed")).text


async def test_a_search_leads_to_the_feed_of_its_newest_papers(site: Datasette) -> None:
    answer = await site.client.get(
        "/daily/search.atom?q=a%26b&tag=x&page=2&sort=authors", follow_redirects=False
    )
    assert answer.status_code == 302
    assert answer.headers["location"] == "/daily/feed.atom?q=a%26b&tag=x"


@pytest.mark.parametrize("path", ["/daily/tags.atom", "/daily/papers/x.atom", "/daily/facts.atom"])
async def test_what_is_no_list_of_papers_has_no_feed(site: Datasette, path: str) -> None:
    assert (await site.client.get(path)).status_code in (400, 404)


async def test_a_paper_alone_has_no_feed(site: Datasette, sample: Path) -> None:
    [[id]] = ask(sample, "select id from papers limit 1")
    assert (await site.client.get(f"/daily/papers/{id}.atom")).status_code == 400


async def test_rows_of_a_feed_of_your_own_are_left_to_datasette_atom(site: Datasette) -> None:
    async def ask_for(columns: str) -> Any:
        return await site.client.get("/daily.atom", params={"sql": f"select {columns}"})

    answer = await ask_for(
        "'tag:a.example,2025:1' as atom_id, 'A title' as atom_title, 'Text' as atom_content,"
        " '2025-01-01T00:00:00Z' as atom_updated"
    )
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    [entry] = feedparser.parse(answer.content).entries
    assert (entry.title, entry.id) == ("A title", "tag:a.example,2025:1")
    for columns in (
        "1 as atom_id",
        "1 as atom_id, 'x' as atom_title, 'never' as atom_updated",
        "1 as atom_id, 'x' as atom_title, '2025-01-01T00:00:00Z' as atom_updated where 0",
        "1 as atom_id, char(1) as atom_title, 2025 as atom_updated",
    ):
        assert (await ask_for(columns)).status_code == 400, columns


async def test_readers_can_import_the_feeds_of_all_tags(site: Datasette, sample: Path) -> None:
    answer = await site.client.get("/feeds.opml")
    assert answer.headers["content-type"] == "text/x-opml; charset=utf-8"
    outlines = etree.fromstring(answer.content).findall("body/outline")
    told = {outline.get("xmlUrl"): outline.get("text") for outline in outlines}
    names = dict(ask(sample, "select id, name from tags where papers > 0"))
    expected = {
        f"{HOME}/daily/papers.atom?_tag={id}": f"Daily Papers: {name}" for id, name in names.items()
    }
    assert told == {f"{HOME}/daily/feed.atom": "Daily Papers: the newest"} | expected
    for address in (next(iter(told)), list(told)[-1]):
        assert (await fetch(site, address)).findtext(f"{ATOM}title") == told[address]


# How feeds travel


@pytest.mark.parametrize("address", ["/daily/feed.atom?q=lora", "/daily/papers.atom?year=2024"])
async def test_a_reader_that_has_the_feed_is_told_so(site: Datasette, address: str) -> None:
    first = await site.client.get(address, headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    headers = {"If-None-Match": first.headers["etag"]}
    assert (await site.client.get(address, headers=headers)).status_code == 304
    assert (await site.client.get(address)).content == first.content


async def test_feeds_move_with_the_site_and_stay_the_same(
    open_site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "/daily/papers.atom?_tag=distillation"
    feed = await fetch(open_site(), address)
    monkeypatch.setenv("SITE_URL", "https://papers.example.org")
    moved = await fetch(open_site(base_url="/p/"), address, Host="evil.example")
    above = "https://papers.example.org/p/daily/papers"
    assert list_links(moved)["self"] == f"{above}.atom?_tag=distillation"
    assert list_links(moved)["alternate"] == f"{above}?_tag=distillation"
    assert moved.find(f"{ATOM}entry/{ATOM}link").get("href").startswith(f"{above}/")
    assert list_ids(moved) == list_ids(feed)
    assert moved.findtext(f"{ATOM}id") == feed.findtext(f"{ATOM}id")
    assert b"localhost" not in etree.tostring(moved) and b"evil" not in etree.tostring(moved)


# Pure parts


ADDRESS = st.text("aq_&=tag+%;/?#\x00é]>", max_size=40)


@given(ADDRESS, st.sampled_from([PAPERS, SEARCH, "/daily", "/daily/facts"]))
def test_an_address_of_a_feed_stays_what_it_is(query_string: str, path: str) -> None:
    address = make_feed_address(path, query_string)
    feed_path, _, chosen = address.partition("?")
    assert make_feed_address(feed_path.removesuffix(".atom"), chosen) == address
    page, _, shown = make_page_address(feed_path.removesuffix(".atom"), chosen).partition("?")
    assert set(parse_qsl(chosen)) <= set(parse_qsl(shown))
    assert page in (path, PAPERS, SEARCH)


def test_of_several_values_a_query_takes_the_first() -> None:
    assert make_feed_address(SEARCH, "q=a&q=b&tag=&year=1") == "/daily/feed.atom?q=a&year=1"
    assert make_feed_address(SEARCH, "q=&q=b") == "/daily/feed.atom"


@given(ADDRESS)
def test_the_papers_page_is_asked_for_no_more_than_a_feed_shows(query_string: str) -> None:
    asked = read_pairs(ask_for_newest(query_string))
    assert [value for name, value in asked if name == "_sort_desc"] == ["published"]
    assert [value for name, value in asked if name == "_size"] == ["50"]
    names = [name for name, _ in asked]
    assert names.count("_nofacet") == names.count("_nocount") == 1
    assert not {"_next", "_sort", "_facet", "_col"} & set(names)


ANYTHING = st.text(max_size=30)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_any_text_makes_a_valid_feed(title: str, name: str, slug: str) -> None:
    entry = Entry(
        id=slug,
        title=title,
        link="http://localhost/daily/papers/x",
        updated="2025-01-02",
        published="2025-01-01",
        abstract=title,
        authors=[name, "Ada Example"],
        tags=[(f"x{slug}", name)],
    )
    feed = Feed(
        address="/daily/feed.atom?q=x",
        title=f"x{title}",
        self_link="http://localhost/daily/feed.atom",
        page_link="http://localhost/daily/papers",
        rights="Ours",
        updated="2024-01-01",
        entries=[entry],
    )
    written = check_atom(write_feed(feed)).find(f"{ATOM}entry")
    kept = clean_text(title).replace("\r", "\n")
    assert written.findtext(f"{ATOM}title").replace("\r", "\n") == (kept or "Untitled")
    opml = etree.fromstring(write_opml([(title, f"http://localhost/?{name!r}")]).encode())
    assert len(opml.findall("body/outline")) == 1
