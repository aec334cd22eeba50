"""The site as people see it: Debian's Chromium over every kind of page, at two widths, light and
dark, with axe-core; and the ways people go through it."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

from .conftest import find_chromium, skip_without

PAPER = (
    "/daily/papers/drop-upcycling-training-sparse-mixture-of-experts-with-partial-re-initialization"
)
KINDS = {
    "home": "/",
    "papers": "/daily/papers",
    "papers, filtered": "/daily/papers?_tag=distillation&year=2024",
    "papers, none": "/daily/papers?_tag=distillation&year=1999",
    "papers, table": "/daily/papers?_view=table&_size=5",
    "a paper": PAPER,
    "a tag": "/daily/tags/distillation",
    "an organization": "/daily/organizations/nvidia",
    "a listing": "/daily/listings/000-d7ab98431e6b4795",
    "a number of authors": "/daily/authors_count/5",
    "search": "/daily/search?q=mixture+of+experts",
    "search, blank": "/daily/search",
    "search, none": "/daily/search?q=xqzzvw",
    "tags": "/daily/tags",
    "tags, table": "/daily/tags?category=method",
    "problems, none": "/daily/problems",
    "an entry": "/daily/entries/1",
    "charts": "/charts",
    "a chart": "/daily/papers_per_month",
    "an example": "/daily/most_discussed",
    "SQL": "/daily",
    "SQL, run": "/daily?sql=select+id,+title,+published+from+papers+limit+5",
    "SQL, wrong": "/daily?sql=select+nothing+from+nowhere",
    "API": "/api",
    "about": "/about",
    "not found": "/daily/papers/lora-for-goldfish",
    "wrong": "/daily/papers?_sort=abstract",
    "too slow": "/daily?sql=" + quote(
        "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"
    ),
}  # fmt: skip
STATUS = {"not found": 404, "wrong": 400, "too slow": 400, "SQL, wrong": 400}
LIGHT = ("home", "search", "a paper")
"""Pages that promise to weigh at most 60 KB in at most five requests."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    skip_without("chromium", find_chromium())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update",
                  "--disable-sync"],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, served: str) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=served, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def watch_console(page: Page) -> list[str]:
    """What the page complains about, but for the status that it was asked to have."""
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type == "error"
            and "the server responded with a status of 40" not in message.text
            and told.append(message.text)
        ),
    )
    return told


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_can_be_read(
    browser: Browser, served: str, kind: str, width: int, scheme: Any
) -> None:
    """Nothing for axe to find, nothing wider than the window, nothing in the console."""
    page = browser.new_page(
        base_url=served, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    try:
        told = watch_console(page)
        answer = page.goto(KINDS[kind], wait_until="networkidle" if "chart" in kind else "load")
        assert answer
        assert answer.status == STATUS.get(kind, 200)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
        assert told == []
    finally:
        page.close()


@pytest.mark.parametrize("kind", ["home", "papers", "a paper", "search", "about", "SQL"])
def test_very_wide_windows_do_not_scroll_sideways(page: Page, kind: str) -> None:
    page.set_viewport_size({"width": 2560, "height": 1200})
    page.goto(KINDS[kind])
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("kind", LIGHT)
def test_pages_are_light_and_nothing_jumps(page: Page, kind: str) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(KINDS[kind], wait_until="networkidle")
    sizes = {answer.url: answer.request.sizes()["responseBodySize"] for answer in answers}
    assert len(sizes) <= 5, sizes
    assert 0 < sum(sizes.values()) <= 60_000, sizes
    assert answers[0].headers["content-encoding"] == "gzip"
    shifts = page.evaluate(
        """() => new Promise((resolve) => new PerformanceObserver((list) => resolve(
            list.getEntries().reduce((sum, entry) => sum + entry.value, 0)
        )).observe({type: "layout-shift", buffered: true}) || setTimeout(() => resolve(0), 500))"""
    )
    assert shifts < 0.01


def test_a_revisit_costs_a_304(context: BrowserContext, served: str) -> None:
    first = context.request.get("/daily/papers")
    again = context.request.get("/daily/papers", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, again.status) == (200, 304)


def test_search_filter_page_on_and_open_a_paper(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("reasoning language models")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/daily/search\?q=reasoning"))
    expect(page.locator("mark").first).to_be_visible()
    page.get_by_label("Year").fill("2024")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".understood")).to_contain_text("2024")
    years = page.locator(".card time").evaluate_all("all => all.map(time => time.dateTime)")
    assert years
    assert all(day.startswith("2024") for day in years)
    first = page.locator(".card h2").first.inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".card h2").first).not_to_have_text(first)
    title = page.locator(".card h2").first.inner_text()
    page.locator(".card h2 a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_facets_add_up_and_come_off_one_by_one(page: Page) -> None:
    page.goto("/daily/papers")
    page.locator("#facets").get_by_role("link", name="2024").click()
    page.locator("#facets").get_by_role("link", name="Reasoning", exact=True).click()
    chips = page.locator(".chips .chip")
    expect(chips).to_have_count(2)
    both = page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("link", name=re.compile("Remove the filter “Reasoning”")).click()
    expect(chips).to_have_count(1)
    assert page.get_by_role("heading", level=1).inner_text() != both
    page.get_by_role("link", name=re.compile("Remove the filter “2024”")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("436 papers")
    page.get_by_role("link", name="Plain table").click()
    expect(page.locator("table.rows-and-columns")).to_be_visible()


def test_papers_lead_to_tags_neighbours_and_listings(page: Page) -> None:
    page.goto(PAPER)
    page.locator(".evidence a").first.click()
    expect(page).to_have_url(re.compile("/daily/tags/"))
    page.get_by_role("link", name=re.compile("All of them")).click()
    expect(page.locator(".chips .chip")).to_have_count(1)
    page.locator(".card h2 a").first.click()
    first = page.get_by_role("heading", level=1).inner_text()
    page.locator("a[rel=next], a[rel=prev]").first.click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text(first)
    page.locator("#related ~ .cards a").first.click()
    expect(page).to_have_url(re.compile("/daily/papers/"))


def test_every_chart_opens_drawn(page: Page) -> None:
    page.goto("/charts")
    charts = page.locator("main a[href*='#g.']").evaluate_all(
        "links => [...new Set(links.map(link => link.href))]"
    )
    assert len(charts) >= 6
    for chart in charts:
        for address in (chart, chart.split("#")[0]):
            page.goto("about:blank")
            page.goto(address)
            canvas = page.locator("canvas.marks")
            expect(canvas).to_be_visible()
            drawn = canvas.evaluate(
                """canvas => new Set(new Uint32Array(canvas.getContext("2d").getImageData(
                    0, 0, canvas.width, canvas.height).data.buffer)).size"""
            )
            assert drawn > 3, f"{address} is blank"


def test_sql_runs_and_its_csv_downloads(page: Page) -> None:
    page.goto("/daily?sql=select+id,+title+from+papers+order+by+id+limit+3")
    expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(3)
    with page.expect_download() as download:
        page.evaluate(
            """() => { const link = document.createElement("a"); link.download = "rows.csv";
            link.href = document.querySelector(".export-links a[href*='.csv']").href;
            document.body.append(link); link.click(); }"""
        )
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    assert len(rows) == 3


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/daily/papers")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_pages_work_without_scripts(browser: Browser, served: str) -> None:
    context = browser.new_context(base_url=served, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.locator("main input[name=q]").fill("distillation")
    page.get_by_role("button", name="Search").click()
    page.locator(".card h2 a").first.click()
    page.locator("summary", has_text="BibTeX").click()
    expect(page.locator("#cite-bibtex")).to_be_visible()
    page.goto("/daily")
    page.locator("textarea[name=sql]").fill("select 6 * 7 as answer")
    page.get_by_role("button", name="Run SQL").click()
    expect(page.locator("table.rows-and-columns")).to_contain_text("42")
    context.close()


def test_print_is_a_paper_list(page: Page) -> None:
    page.goto("/daily/papers")
    page.emulate_media(media="print")
    expect(page.locator(".site-header")).to_be_hidden()
    expect(page.locator("#facets")).to_be_hidden()
    expect(page.locator(".card h2").first).to_be_visible()
