"""All answers say what pages may do, and crawlers do not walk into endless lists."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from datasette.app import Datasette

from dailypapers.publishing.answer_headers import make_headers, write_policy
from dailypapers.publishing.crawlers import is_disallowed

ANSWERS = {
    "/": 200,
    "/daily/papers?_size=5": 200,
    "/daily/papers.json?_size=1": 200,
    "/daily/papers.csv?_size=1": 200,
    "/daily/papers.ndjson?_stream=on": 200,
    "/daily/papers.atom?_size=1": 200,
    "/daily/papers.bib?_size=1": 200,
    "/daily.db.sha256": 200,
    "/daily?sql=select+1": 200,
    "/static/site.css": 200,
    "/static/favicon.svg": 200,
    "/-/static/app.css": 200,
    "/-/versions.json": 200,
    "/-/versions": 200,
    "/robots.txt": 200,
    "/openapi.json": 200,
    "/daily/papers/": 302,
    "/nowhere": 404,
    "/daily/papers.json?_sort=nothing": 400,
    "/daily/papers?_size=x": 400,
}


@pytest.mark.parametrize("path", ANSWERS)
async def test_every_answer_carries_the_headers(site: Datasette, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == ANSWERS[path]
    check_headers(answer.headers)


def check_headers(headers: dict[str, str]) -> None:
    for name, value in make_headers(draws_charts=False, is_secure=False):
        if name != b"referrer-policy":  # Datasette's JSON has its own
            assert headers[name.decode()] == value.decode()
    assert headers["referrer-policy"] in ("same-origin", "no-referrer")
    shared = "access-control-allow-origin" in headers
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if shared else "same-origin")
    assert "strict-transport-security" not in headers


async def test_confirmations_and_refusals_carry_them_too(site: Datasette) -> None:
    first = await site.client.get("/daily/tags")
    again = await site.client.get("/daily/tags", headers={"If-None-Match": first.headers["etag"]})
    sent = await site.client.post("/daily/tags")
    assert (again.status_code, sent.status_code) == (304, 405)
    for answer in (again, sent):
        check_headers(answer.headers)


async def test_only_pages_with_charts_may_evaluate(site: Datasette) -> None:
    for path, wider in (
        ("/daily/papers_per_month", True),
        ("/daily/tags?_chart=on", True),
        ("/charts", False),
        ("/daily/most_discussed", False),
        ("/daily?sql=select+1", False),
    ):
        answer = await site.client.get(path)
        again = await site.client.get(
            path, headers={"If-None-Match": answer.headers.get("etag", "")}
        )
        for each in (answer, again):
            assert each.headers["content-security-policy"] == write_policy(wider), path
        assert ("datasette_vega" in answer.text) == wider
    assert "unsafe" not in write_policy(False)
    assert "'unsafe-inline'" not in write_policy(True).split("style-src")[0]


async def test_https_is_insisted_on_where_it_is_used(site: Datasette) -> None:
    transport = httpx.ASGITransport(app=site.app())
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as visitor:
        answer = await visitor.get("/daily/tags")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_other_sites_may_only_read(site: Datasette) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "DELETE"}
    answer = await site.client.options("/daily/papers.json", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "access-control-allow-credentials" not in answer.headers


class Anchors(HTMLParser):
    """The links of a page with their rel."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, set[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a" and told.get("href"):
            self.found.append((told["href"] or "", set((told.get("rel") or "").split())))


LISTS = [
    "/daily/papers",
    "/daily/papers?_tag=distillation&year=2024",
    "/daily/papers?_view=table&_facet=year&_size=5",
    "/daily/tags",
    "/daily/tags?category=method",
    "/daily/tags/distillation",
    "/daily/organizations",
    "/daily/organizations/nvidia",
    "/daily/entries?_size=5",
    "/daily/search?q=model&year=2024",
]


@pytest.mark.parametrize("page", LISTS)
async def test_crawlers_are_not_led_into_endless_lists(site: Datasette, page: str) -> None:
    """Links that change what a list shows are not to be followed; those to its next page may be."""
    answer = await site.client.get(page)
    led = []
    for href, rel in Anchors(answer.text).found:
        url = urlsplit(href)
        names = [name for name, _ in parse_qsl(url.query)]
        changes = len(names) > 1 or any(name.startswith("_") for name in names)
        if changes and url.netloc in ("", "localhost") and not rel & {"nofollow", "next", "prev"}:
            led.append(href)
    assert led == []


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("/", False),
        ("/daily/papers", False),
        ("/daily/tags/distillation", False),
        ("/daily/search?q=lora", False),
        ("/daily/papers?_tag=lora&year=2024", True),
        ("/daily/papers?year=2024&organization=nvidia", True),
        ("/daily/papers?_facet=title", True),
        ("/daily?sql=select+1", True),
        ("/daily/papers.json", True),
        ("/daily/papers.csv?year=2024", True),
        ("/-/versions", True),
        ("/-/static/app.css", False),
    ],
)
async def test_what_robots_leave_alone_is_not_kept(
    site: Datasette, address: str, hidden: bool
) -> None:
    assert is_disallowed(address) == hidden
    answer = await site.client.get(address)
    assert (answer.headers.get("x-robots-tag") == "noindex") == hidden
    robots = (await site.client.get("/robots.txt")).text
    rules = re.findall(r"^Disallow: (.*)$", robots, re.MULTILINE)
    assert len(rules) > 10
