"""The HTML of pages, on the sample and on listings that mean harm: what it says, what it links to,
and what it tells search engines and reference managers."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from datasette.app import Datasette
from datasette.utils import PrefixedUrlString, tilde_encode
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from dailypapers.finishing import write_inspect_data
from dailypapers.publishing import wording
from dailypapers.publishing.article import describe_paper
from dailypapers.results import MAX_PAGE

from .conftest import PROJECT
from .pages import abstract, card, cards_page, dense_page

CLOSING = (
    "</script><script>alert('x')</script>: a \"title\" and </title><img src=x onerror=alert(2)>"
)
RIGHT_TO_LEFT = "Right to left \u202emitpo and שלום مرحبا \u200f\u200e"
AUTHORS = [f"Author Number {number}" for number in range(1, 121)]
HOSTILE_NAMES = [
    "<b>Bold</b>",
    'O\'Neil, "Q"',
    "李 明",
    "\u202elive",
    "x" * 400,
    "&amp;",
    "a/b",
    "..",
]


def entry(title: str, **facts: Any) -> dict[str, Any]:
    """One of the API's entries, made up."""
    number = facts.pop("number")
    organization = facts.pop("organization", None)
    paper = {
        "id": f"2503.{number:05}",
        "title": title,
        "summary": abstract("distillation and reasoning of large language models"),
        "publishedAt": f"2025-03-{number % 28 + 1:02}T10:00:00.000Z",
        "authors": [{"name": name} for name in facts.pop("authors", ["Ada Example"])],
        "ai_keywords": facts.pop("keywords", ["large language models"]),
        "upvotes": facts.pop("upvotes", 3),
    }
    comments = facts.pop("comments", 2)
    name, fullname = organization or (None, None)
    return {
        "paper": {**paper, **facts},
        "numComments": comments,
        "organization": organization and {"name": name, "fullname": fullname},
    }


ENTRIES = [
    entry(title, number=number, **facts)
    for number, (title, facts) in enumerate(
        [
            ("<script>alert(1)</script> as a title", {}),
            (CLOSING, {}),
            (RIGHT_TO_LEFT, {}),
            ("W" * 900, {"summary": "v" * 5_000}),
            ("🤗 Emoji 👩‍👩‍👧‍👦", {"summary": None}),
            ("Links that do harm", {"summary": abstract() + " javascript:alert(1) and"
             " https://example.org/\"><script>alert(1)</script> [x](javascript:alert(1))"}),
            ("An organization with a dot", {"organization": ("a.b-c", "Dot <b>Bold</b> & Co.")}),
            ("One with slashes", {"organization": ("../../x/y", "Slash/Org")}),
            ("One in another script", {"organization": ("组织 名", "组织名称")}),
            ("One of signs", {"organization": ("a~2Fb%2Fc?d=e#f&g", "~ % ? # &")}),
            ("Hostile names", {"authors": HOSTILE_NAMES, "keywords": HOSTILE_NAMES}),
            ("An old arXiv id", {"id": "hep-th/9901001"}),
            ("Counts of one", {"upvotes": 1, "comments": 1}),
            ("Counts of many", {"upvotes": 1_000_000, "comments": 2_345}),
            ("Counts of none", {"upvotes": 0, "comments": 0, "authors": []}),
            ("No date", {"publishedAt": None}),
            ("Very many authors", {"authors": AUTHORS}),
            ("{{ 7 * 7 }} {% raw %} %s {0}", {}),
            ("../../etc/passwd", {}),
        ],
        start=1,
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of three listings that mean harm."""
    folder = tmp_path_factory.mktemp("hostile")
    listings = folder / "listings"
    listings.mkdir()
    (listings / "2025-03-10.json").write_text(json.dumps(ENTRIES), "utf-8")
    page = cards_page(card("<img src=x onerror=alert(1)> on a card"), card("A plain neighbour"))
    (listings / '<b>page & "quotes".txt').write_bytes(page)
    (listings / "dense '; drop table papers --.txt").write_bytes(
        dense_page("Dense <i>one</i>", "Dense “two”", "Dense three")
    )
    command = [sys.executable, PROJECT / "build.py", "--db", folder / "daily.db", listings]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "daily.db"


async def serve(path: Path, **settings: Any) -> Datasette:
    inspect_file = path.with_name("inspect.json")
    write_inspect_data(path, inspect_file)
    ds = Datasette(
        immutables=[str(path)],
        config_dir=PROJECT,
        inspect_data=json.loads(inspect_file.read_text()),
        settings=settings,
    )
    await ds.invoke_startup()
    return ds


@pytest.fixture
async def hostile_site(hostile: Path) -> Datasette:
    return await serve(hostile)


async def fetch_page(site: Datasette, path: str, status: int = 200) -> LexborHTMLParser:
    answer = await site.client.get(path)
    assert answer.status_code == status, (path, answer.text[:300])
    return LexborHTMLParser(answer.text)


async def fetch_rows(site: Datasette, table: str, query_string: str = "") -> list[dict[str, Any]]:
    answer = await site.client.get(f"/daily/{table}.json?_shape=array&_size=max&{query_string}")
    rows: list[dict[str, Any]] = answer.json()
    return rows


async def find_paper(site: Datasette, title: str) -> LexborHTMLParser:
    [row] = await fetch_rows(site, "papers", urlencode({"title": title}))
    return await fetch_page(site, f"/daily/papers/{row['id']}")


def find_one(page: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    found = page.css_first(selector)
    assert found is not None, selector
    return found


def say(node: LexborNode) -> str:
    return " ".join(node.text().split())


def list_hrefs(page: LexborHTMLParser | LexborNode, selector: str = "a[href]") -> list[str]:
    return [node.attributes["href"] or "" for node in page.css(selector)]


def list_metas(page: LexborHTMLParser) -> dict[str, list[str | None]]:
    metas: dict[str, list[str | None]] = {}
    for node in page.css("meta[name], meta[property]"):
        name = node.attributes.get("name") or node.attributes.get("property") or ""
        metas.setdefault(name, []).append(node.attributes["content"])
    return metas


def read_json_ld(page: LexborHTMLParser) -> Any:
    return json.loads(find_one(page, "script[type='application/ld+json']").text())


def read_query(href: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(href).query, keep_blank_values=True)


# What may stand on a page at all

FORBIDDEN = "main b, main i, main img, [style], script:not([src]):not([type='application/ld+json'])"


def check_page(page: LexborHTMLParser, path: str) -> None:
    """Headings in order, ids once, nothing that runs, and no markup that a listing brought."""
    levels = [int((node.tag or "")[1]) for node in page.css("h1, h2, h3, h4, h5, h6")]
    assert levels.count(1) == 1, path
    assert all(after <= before + 1 for before, after in pairwise(levels)), path
    ids = Counter(node.attributes["id"] for node in page.css("[id]"))
    assert ids.most_common(1)[0][1] == 1, (path, ids.most_common(1))
    assert page.css(FORBIDDEN) == [], path
    for node in page.css("*"):
        assert not [name for name in node.attributes if name.startswith("on")], (path, node.html)
    for href in list_hrefs(page):
        assert urlsplit(urljoin("http://localhost/", href)).scheme in ("http", "https"), href
    for href in list_hrefs(page, "a[href^='#']"):
        assert href[1:] in ids, (path, href)


async def test_rows_of_hostile_listings_have_sound_pages(hostile_site: Datasette) -> None:
    names = {"papers": "title", "organizations": "name", "authors": "name", "keywords": "name",
             "listings": "file", "tags": "name", "authors_count": "label"}  # fmt: skip
    for table, column in names.items():
        rows = await fetch_rows(hostile_site, table, "papers__gt=0" if table == "tags" else "")
        assert rows, table
        for row in rows[:40]:
            path = f"/daily/{table}/{tilde_encode(str(row.get('id') or row['authors_count']))}"
            page = await fetch_page(hostile_site, path)
            check_page(page, path)
            assert say(find_one(page, "h1")) == " ".join(row[column].split())


@pytest.mark.parametrize(
    "path",
    ["/", "/daily", "/daily/papers", "/daily/papers?_view=table", "/daily/papers?_col=title",
     "/daily/papers?_nocol=tags", "/daily/papers?_size=1", "/daily/papers?organization=a.b-c",
     "/daily/papers?_search=script", "/daily/papers?_search=%22%3E%3Cimg+src=x%3E",
     "/daily/papers?_tag=%3Cb%3E&_author=%22%3E%3Cb%3E", "/daily/tags", "/daily/tags?_view=table",
     "/daily/search", "/daily/search?q=script+title", "/daily/search?q=%3Cb%3E&tag=%22%3E%3Ci%3E",
     "/daily/organizations", "/daily/authors", "/daily/keywords", "/daily/listings",
     "/daily/entries", "/daily/links", "/daily/problems", "/charts", "/api", "/about",
     "/daily/feed", "/daily?sql=select+title,+abstract+from+papers"],
)  # fmt: skip
async def test_lists_of_hostile_listings_are_sound(hostile_site: Datasette, path: str) -> None:
    check_page(await fetch_page(hostile_site, path), path)


# What a paper's page tells machines


async def test_json_ld_survives_a_title_that_ends_scripts(hostile_site: Datasette) -> None:
    page = await find_paper(hostile_site, CLOSING)
    told = read_json_ld(page)
    assert told["headline"] == told["name"] == CLOSING
    assert told["author"] == [{"@type": "Person", "name": "Ada Example"}]
    assert told["url"] == find_one(page, "link[rel=canonical]").attributes["href"]
    assert find_one(page, "title").text() == f"{CLOSING} – Daily Papers"
    home = read_json_ld(await fetch_page(hostile_site, "/"))
    assert home["potentialAction"]["target"].endswith("/daily/search?q={words}")


def test_json_ld_leaves_out_what_is_unknown() -> None:
    paper = dict.fromkeys(["abstract", "published", "arxiv_id", "url", "comments"])
    told = describe_paper({**paper, "title": "A title"}, [], "https://example.org/a-title")
    assert told == {
        "@context": "https://schema.org", "@type": "ScholarlyArticle", "headline": "A title",
        "name": "A title", "url": "https://example.org/a-title",
    }  # fmt: skip


async def test_reference_managers_find_all_of_a_paper(hostile_site: Datasette) -> None:
    metas = list_metas(await find_paper(hostile_site, "Hostile names"))
    assert metas["citation_author"] == HOSTILE_NAMES
    one = {name: values[0] for name, values in metas.items() if name.startswith("citation_")}
    [row] = await fetch_rows(hostile_site, "papers", "title=Hostile+names")
    assert one == {
        "citation_title": "Hostile names",
        "citation_author": HOSTILE_NAMES[0],
        "citation_publication_date": "2025/03/12",
        "citation_online_date": "2025/03/12",
        "citation_abstract": row["abstract"],
        "citation_arxiv_id": "2503.00011",
        "citation_doi": "10.48550/arXiv.2503.00011",
        "citation_publisher": "arXiv",
        "citation_pdf_url": "https://arxiv.org/pdf/2503.00011",
        "citation_abstract_html_url": "http://localhost/daily/papers/hostile-names",
    }
    assert metas["DC.type"] == ["preprint"]
    assert metas["og:type"] == ["article"]
    assert "og:site_name" not in metas  # to Zotero, the journal's name
    assert metas["og:description"] == metas["description"]
    assert len(metas["description"][0] or "") <= 202


async def test_reference_managers_are_told_nothing_unknown(hostile_site: Datasette) -> None:
    page = await find_paper(hostile_site, "Dense three")
    named = {name for name in list_metas(page) if name.startswith("citation_")}
    assert named == {"citation_title", "citation_abstract", "citation_abstract_html_url"}
    assert page.css(".paper-head .facts, .paper-head time") == []
    assert "neither its authors’ names nor its date" in say(find_one(page, "aside"))
    without_date = await find_paper(hostile_site, "No date")
    assert "do not give its date; add it" in say(find_one(without_date, "aside"))
    without_names = await find_paper(hostile_site, "A plain neighbour")
    assert "do not name its authors; add them" in say(find_one(without_names, "aside"))


# What a paper's page tells people


@pytest.mark.parametrize(
    ("title", "facts"),
    [
        ("Counts of one", ["14 Mar 2025", "1 author", "1 comment", "1 upvote"]),
        ("Counts of many", ["15 Mar 2025", "1 author", "2,345 comments", "1,000,000 upvotes"]),
        ("Counts of none", ["16 Mar 2025"]),
        ("No date", ["listed 10 Mar 2025", "1 author", "2 comments", "3 upvotes"]),
    ],
)
async def test_facts_are_worded(hostile_site: Datasette, title: str, facts: list[str]) -> None:
    page = await find_paper(hostile_site, title)
    line = page.css(".paper-head .facts")[-1]
    assert [say(item) for item in line.css("li")] == facts


async def test_very_many_authors_are_folded_in_order(hostile_site: Datasette) -> None:
    page = await find_paper(hostile_site, "Very many authors")
    head = find_one(page, ".paper-head")
    assert [say(link) for link in head.css("a[href^='/daily/authors/']")] == AUTHORS
    assert len(head.css("details a")) == 95
    assert say(find_one(head, "details summary")) == "95 more authors"
    few = await find_paper(hostile_site, "Hostile names")
    assert few.css(".paper-head details") == []


async def test_harmful_links_are_text(hostile_site: Datasette) -> None:
    page = await find_paper(hostile_site, "Links that do harm")
    assert "javascript:alert(1)" in say(find_one(page, ".abstract"))
    links = page.css("a[rel~=ugc]")
    assert [link.attributes["href"] for link in links] == ["https://example.org/"]
    assert all("nofollow" in (link.attributes["rel"] or "") for link in links)


async def test_a_paper_leads_to_those_listed_before_and_after(site: Datasette) -> None:
    entries = (await fetch_rows(site, "entries", "_sort=id"))[:3]
    page = await fetch_page(site, f"/daily/papers/{entries[1]['paper']}")
    beside = find_one(page, "nav[aria-label^=Neighbours]")
    assert list_hrefs(beside, "a[rel=prev]") == [f"/daily/papers/{entries[0]['paper']}"]
    assert list_hrefs(beside, "a[rel=next]") == [f"/daily/papers/{entries[2]['paper']}"]
    first = await fetch_page(site, f"/daily/papers/{entries[0]['paper']}")
    assert first.css("nav[aria-label^=Neighbours] a[rel=prev]") == []


# The papers page

SIX = ("_tag=reasoning&_tag=language-models&year=2024&authors_count__gte=1&comments__gte=0"
       "&_search=model")  # fmt: skip


async def test_each_filter_comes_off_alone(site: Datasette) -> None:
    asked = f"{SIX}&_sort_desc=comments&_next=1,a"
    page = await fetch_page(site, f"/daily/papers?{asked}")
    removals = list_hrefs(page, ".chip a")
    kept = [[pair for pair in read_query(f"?{SIX}") if pair != gone] + [("_sort_desc", "comments")]
            for gone in read_query(f"?{SIX}")]  # fmt: skip
    assert [read_query(href) for href in removals] == kept
    assert all(node.attributes["rel"] == "nofollow" for node in page.css(".chip a"))
    assert list_hrefs(page, ".chips > li:not(.chip) a") == ["/daily/papers?_sort_desc=comments"]


async def test_later_pages_send_back_for_facets(site: Datasette) -> None:
    first = await fetch_page(site, "/daily/papers?year=2024&_size=5&_nofacet=1")
    [following] = list_hrefs(first, ".pager a[rel=next]")
    page = await fetch_page(site, following.removeprefix("http://localhost"))
    assert say(find_one(page, "h1")) == say(find_one(first, "h1"))
    [back] = list_hrefs(page, "#facets a")
    assert "_next" not in dict(read_query(back))
    assert ("year", "2024") in read_query(back)
    assert back.endswith("#facets")
    assert list_hrefs(page, ".pager a:not([rel])") == [back.removesuffix("#facets")]
    for href in [*list_hrefs(page, ".chip a"), *list_hrefs(page, "nav[aria-label=Order] a")]:
        assert "_next" not in dict(read_query(href))


async def test_the_form_keeps_filters_and_starts_again(site: Datasette) -> None:
    page = await fetch_page(site, f"/daily/papers?{SIX}&_sort=title&_next=a,b")
    form = find_one(page, "main form")
    fields = [(node.attributes["name"], node.attributes["value"])
              for node in form.css("input[type=hidden]")]  # fmt: skip
    assert fields == [pair for pair in read_query(f"?{SIX}&_sort=title") if pair[0] != "_search"]
    assert find_one(form, "input[name=_search]").attributes["value"] == "model"


async def test_undated_papers_have_no_time(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/papers?published__isnull=1&first_listed__isnull=1")
    cards = page.css(".card")
    assert len(cards) == 50
    assert page.css(".card time, .facts:not(:has(li))") == []


async def test_no_paper_says_so(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/papers?year=1999&_search=gardening")
    assert say(find_one(page, "h1")) == "0 papers"
    assert "No paper is all of this." in say(find_one(page, "main"))
    assert "/daily/search?q=gardening" in list_hrefs(page)
    assert page.css(".facet, .pager a") == []


async def test_what_only_rearranges_is_not_followed(site: Datasette) -> None:
    for path in ("/daily/papers?year=2024", "/daily/papers?_view=table&year=2024", "/daily/tags"):
        for node in (await fetch_page(site, path)).css("main a[href]"):
            names = {name for name, _ in read_query(node.attributes["href"] or "")}
            if names & {"_sort", "_sort_desc", "_view", "_facet", "_nocol", "_tag"}:
                following = node.attributes.get("rel") in ("nofollow", "next")
                assert following or say(node) == "Remove all", node.html


# The plain table


async def test_the_table_stays_a_table(site: Datasette) -> None:
    path = "/daily/papers?_view=table&_tag=distillation&year=2024&_size=5"
    page = await fetch_page(site, path)
    hidden = [(node.attributes["name"], node.attributes["value"])
              for node in page.css(".filters input[type=hidden]")]  # fmt: skip
    assert {("_view", "table"), ("_tag", "distillation")} <= set(hidden)
    changing = ".column-tools a, thead a, .facet-results a, .pager a, .chip a, .chips > li > a"
    hrefs = list_hrefs(page, changing)
    assert len(hrefs) > 30
    assert [href for href in hrefs if ("_view", "table") not in read_query(href)] == []
    assert [say(chip).removesuffix(" ✕") for chip in page.css(".chip")] == [
        "Knowledge distillation", "2024",
    ]  # fmt: skip


async def test_chosen_columns_make_a_table(site: Datasette) -> None:
    for choice, columns in (("_col=title", {"id", "title"}), ("_nocol=tags", None)):
        page = await fetch_page(site, f"/daily/papers?{choice}")
        heads = {say(head).rstrip(" ▼▲") for head in page.css("thead th")}
        assert heads == columns if columns else heads and "tags" not in heads


# Search


async def test_search_pages_through_everything_once(site: Datasette) -> None:
    path: str | None = "/daily/search?" + urlencode({"q": "year:2024", "sort": "discussed"})
    titles: list[str] = []
    starts = []
    while path:
        page = await fetch_page(site, path)
        titles += list_hrefs(page, ".card h2 a")
        starts.append(find_one(page, ".cards").attributes["start"])
        hrefs = list_hrefs(page, ".pager a[rel=next]")
        path = "/daily/search" + hrefs[0] if hrefs else None
        assert not path or ("sort", "discussed") in read_query(path)
    [found] = re.findall(r"([\d,]+) papers", say(find_one(page, ".understood")))
    assert len(titles) == len(set(titles)) == int(found.replace(",", ""))
    assert starts[:3] == ["1", "21", "41"]


@pytest.mark.parametrize("number", ["", "0", "-3", "abc", "1.5", "999999999", "1e3", " ", "²"])
async def test_what_is_no_page_is_the_first(site: Datasette, number: str) -> None:
    page = await fetch_page(site, f"/daily/search?{urlencode({'q': 'model', 'page': number})}")
    assert find_one(page, ".cards").attributes["start"] == "1"
    assert page.css(".pager a[rel=prev]") == []
    [following] = list_hrefs(page, ".pager a[rel=next]")
    assert dict(read_query(following))["page"] == "2"


async def test_a_page_beyond_the_last_leads_to_the_first(site: Datasette) -> None:
    page = await fetch_page(site, f"/daily/search?q=distillation&year=2024&page={MAX_PAGE + 5}")
    assert f"There is no page {MAX_PAGE} of this search." in say(find_one(page, "main"))
    [first] = list_hrefs(page, "main a.button")
    assert dict(read_query(first)) == {
        "q": "distillation", "tag": "", "org": "", "year": "2024", "sort": "", "page": "",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/daily/papers", "/daily/search?q=lora"])
async def test_search_engines_may_show_what_people_read(site: Datasette, path: str) -> None:
    assert "robots" not in list_metas(await fetch_page(site, path))


# The frame


async def test_one_place_in_the_menu_is_here(site: Datasette) -> None:
    for path in ("/daily/papers", "/daily/tags", "/about", "/daily"):
        page = await fetch_page(site, path)
        assert list_hrefs(page, ".site-header [aria-current]") == [path]


PAGES_BELOW = [
    "", "daily", "daily/papers", "daily/papers?_view=table&_facet=number&year=2025",
    "daily/papers?_tag=distillation&_size=2", "daily/papers/hostile-names", "daily/tags",
    "daily/authors/author-number-1", "daily/listings/2025-03-10", "daily/search?q=title&page=9",
    "daily/search?q=large", "daily/entries", "daily/authors?_facet=name", "charts",
    "about", "api", "nowhere",
]  # fmt: skip


def list_addresses(page: LexborHTMLParser) -> Iterator[str]:
    for node in page.css("[href], [src], [action]"):
        for name in ("href", "src", "action"):
            if node.attributes.get(name):
                yield node.attributes[name] or ""


@pytest.mark.parametrize("path", PAGES_BELOW)
async def test_addresses_keep_to_a_path_of_their_own(hostile: Path, path: str) -> None:
    """With base_url, behind a proxy that takes the path away."""
    site = await serve(hostile, base_url="/shelf/")
    answer = await site.client.get(PrefixedUrlString(f"/{path}"))  # which gets no prefix
    page = LexborHTMLParser(answer.text)
    addresses = [urlsplit(urljoin(f"http://localhost/shelf/{path}", address))
                 for address in list_addresses(page)]  # fmt: skip
    own = [address.path for address in addresses if address.netloc == "localhost"]
    assert len(own) > 15
    assert [address for address in own if not address.startswith("/shelf/")] == []
    assert [address for address in own if "/shelf/shelf" in address] == []


# Words


def test_days_months_and_counts_are_worded() -> None:
    assert [wording.say_day(day) for day in ("2025-06-03", "0001-01-02", "2025", "", None)] == [
        "3 Jun 2025", "2 Jan 1", "2025", "", "",
    ]  # fmt: skip
    assert [wording.say_month(month) for month in ("2025-06", "2025", "2025-13", "x-y")] == [
        "Jun 2025", "2025", "2025-13", "x-y",
    ]  # fmt: skip
    assert wording.say_count(1, "entry", "entries") == "1 entry"
    assert wording.say_count(0, "entry", "entries") == "0 entries"
    assert wording.say_count(1_234, "author") == "1,234 authors"
    assert wording.say_format("bib") == "BibTeX"
    assert wording.say_category("stage").startswith("Stages")
    assert wording.say_category("other") == "Other"


@given(st.text(), st.integers(10, 60))
def test_shortened_texts_begin_as_the_text_does(text: str, limit: int) -> None:
    said = wording.shorten(text, limit)
    collapsed = " ".join(text.split())
    assert len(said) <= limit + 2
    if said != collapsed:
        assert len(collapsed) > limit
        assert said.endswith(" …")
        assert collapsed.startswith(said[:-2])
