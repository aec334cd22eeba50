"""The pages of tables, SQL and charts, and the queries of metadata.yml that they offer."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urljoin, urlsplit

import pytest
import yaml
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from dailypapers.publishing.charts import Axes, read_axes, split_by_color

from .conftest import PROJECT

METADATA: dict[str, Any] = yaml.safe_load((PROJECT / "metadata.yml").read_text("utf-8"))
QUERIES: dict[str, dict[str, Any]] = METADATA["databases"]["daily"]["queries"]
CHARTS = [name for name, query in QUERIES.items() if query.get("group") == "Charts"]
EXAMPLES = [
    name
    for name, query in QUERIES.items()
    if query.get("group") not in (None, "Charts", "What the pages show")
]
NOT_IN_SAMPLE = {
    "papers_with_code", "coauthors_of_author", "titles_printed_otherwise", "problems_by_kind",
}  # fmt: skip
"""What the sample has nothing of: links, authors' names, changed titles, problems."""

SITES_OWN = {"search", "suggest", "feed"}
"""Queries that need functions and values which only the site has."""

LARGE = "papers|entries|paper_tags|paper_authors|related_papers|links"


@pytest.fixture
def connection(sample: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{sample}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


async def fetch_page(site: Datasette, path: str, status: int = 200) -> LexborHTMLParser:
    answer = await site.client.get(path.removeprefix("http://localhost"))
    assert answer.status_code == status, (path, answer.text[:300])
    return LexborHTMLParser(answer.text)


def find_one(page: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    found = page.css_first(selector)
    assert found is not None, selector
    return found


def list_links(page: LexborHTMLParser | LexborNode) -> dict[str, str]:
    """The addresses of links by their words."""
    return {
        " ".join(link.text().split()): link.attributes["href"] or "" for link in page.css("a[href]")
    }


# The queries


@pytest.mark.parametrize("name", CHARTS + EXAMPLES)
def test_every_offered_query_has_rows_of_its_own_columns(
    connection: sqlite3.Connection, name: str
) -> None:
    query = QUERIES[name]
    parameters = set(re.findall(r":([a-z_]+)", query["sql"]))
    assert set(query.get("params", [])) == parameters == set(query.get("example", {}))
    rows = connection.execute(query["sql"], query.get("example", {})).fetchall()
    assert bool(rows) == (name not in NOT_IN_SAMPLE)
    assert len(rows) <= 1000
    columns = rows[0].keys() if rows else []
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - SITES_OWN))
def test_every_query_bears_any_text(connection: sqlite3.Connection, name: str) -> None:
    query = QUERIES[name]
    for text in ("", "'", "x\0", "9" * 30, "🤗"):
        connection.execute(query["sql"], dict.fromkeys(query.get("params", []), text)).fetchall()


@pytest.mark.parametrize("name", [name for name in QUERIES if "params" in QUERIES[name]])
def test_looked_up_papers_are_found_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    """No large table is read from end to end; an index that serves a count or an order may be."""
    query = QUERIES[name]
    if name in SITES_OWN:
        return
    plan = connection.execute(
        "explain query plan " + query["sql"], dict.fromkeys(query["params"], "x")
    )
    scans = [row["detail"] for row in plan if re.match(rf"SCAN ({LARGE})$", row["detail"])]
    assert scans == []


@pytest.mark.parametrize("name", CHARTS)
def test_charts_name_columns_that_exist(connection: sqlite3.Connection, name: str) -> None:
    rows = connection.execute(QUERIES[name]["sql"]).fetchall()
    settings = dict(parse_qsl(QUERIES[name]["fragment"]))
    assert {"g.mark", "g.x_column", "g.y_column"} <= settings.keys()
    assert settings["g.mark"] in ("bar", "line", "circle")
    named = {value for key, value in settings.items() if key.endswith("_column")}
    assert named <= set(rows[0].keys())
    axes = read_axes(QUERIES[name]["fragment"])
    assert all(isinstance(row[axes.value], (int, float)) for row in rows)
    assert 1 < len(rows) <= 600


def test_months_add_up_to_all_dated_papers(connection: sqlite3.Connection) -> None:
    rows = connection.execute(QUERIES["papers_per_month"]["sql"]).fetchall()
    [dated] = connection.execute("select count(published) from papers").fetchone()
    assert sum(row["papers"] for row in rows) == dated
    numbers = [int(row["month"][:4]) * 12 + int(row["month"][5:]) for row in rows]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_pairs_of_tags_are_those_that_papers_carry(connection: sqlite3.Connection) -> None:
    for pair in connection.execute(QUERIES["tag_pairs"]["sql"]).fetchall():
        [papers] = connection.execute(
            "select count(*) from papers, json_each(tags) as one, json_each(tags) as other"
            " where one.value = ? and other.value = ?",
            (pair["first"], pair["second"]),
        ).fetchone()
        assert papers == pair["papers"]


def test_growth_is_the_difference_of_two_years(connection: sqlite3.Connection) -> None:
    query = QUERIES["tags_that_grew"]
    for row in connection.execute(query["sql"], {"year": "2025"}).fetchall():
        shares = []
        for year in (2024, 2025):
            tagged, papers = connection.execute(
                "select count(*) filter (where instr(tags, json_quote(?))), count(*)"
                " from papers where year = ?",
                (row["id"], year),
            ).fetchone()
            shares.append(100 * tagged / papers)
        assert row["growth"] == pytest.approx(shares[1] - shares[0], abs=0.06)


def test_lift_compares_with_papers_at_large(connection: sqlite3.Connection) -> None:
    rows = connection.execute(QUERIES["tags_with_tag"]["sql"], {"tag": "reasoning"}).fetchall()
    papers = dict(connection.execute("select id, papers from tags").fetchall())
    for row in rows:
        expected = row["papers"] * 436 / (papers["reasoning"] * papers[row["id"]])
        assert row["lift"] == pytest.approx(expected, abs=0.006)


# The SQL page


async def test_the_sql_page_runs_every_query_by_a_click(site: Datasette) -> None:
    page = await fetch_page(site, "/daily")
    links = [urlsplit(link.attributes["href"] or "") for link in page.css(".query-list a[href]")]
    assert sorted(link.path.removeprefix("/daily/") for link in links) == sorted(QUERIES)
    assert len(EXAMPLES) >= 14
    for link in links:
        name = link.path.removeprefix("/daily/")
        result = await fetch_page(site, link.geturl())
        if name in EXAMPLES:
            assert bool(result.css("tbody tr")) == (name not in NOT_IN_SAMPLE), name
    headings = [heading.text() for heading in page.css("h2")]
    assert headings == ["Examples", "Schema", "Tables", "Download"]
    assert find_one(page, ".schema-box svg")


async def test_the_sql_page_lists_tables_and_shows_hidden_ones_on_request(site: Datasette) -> None:
    page = await fetch_page(site, "/daily")
    listed = list_links(find_one(page, ".table-list"))
    assert listed["papers"] == "/daily/papers"
    assert "words" not in listed
    assert "436 rows" in find_one(page, ".table-list").text()
    page = await fetch_page(site, "/daily?_show_hidden=1")
    assert "words" in list_links(find_one(page, ".table-list"))


# Results


async def test_a_result_has_its_sql_its_rows_and_its_exports(site: Datasette) -> None:
    sql = "select id, title from papers where year = :year order by id limit 3"
    page = await fetch_page(site, f"/daily?{urlencode({'sql': sql, 'year': '2024'})}")
    assert find_one(page, "textarea[name=sql]").text().strip() == sql
    assert find_one(page, "label[for=qp1]").text() == "year"
    assert find_one(page, "input#qp1").attributes["value"] == "2024"
    assert len(page.css("tbody tr")) == 3
    for name, href in list_links(find_one(page, ".export-links")).items():
        answer = await site.client.get(urljoin("/daily", href))
        assert answer.status_code == 200, name


async def test_wrong_sql_is_kept_and_explained(site: Datasette) -> None:
    sql = "select <b> from nowhere"
    page = await fetch_page(site, f"/daily?{urlencode({'sql': sql})}", status=400)
    assert find_one(page, "textarea[name=sql]").text().strip() == sql
    assert "syntax error" in find_one(page, ".message-error").text()
    assert "/daily#tables" in list_links(find_one(page, ".message-error")).values()
    assert not page.css("table")


async def test_sql_can_be_hidden_and_shown(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/papers_per_month")
    assert find_one(page, "#sql-query").text() == QUERIES["papers_per_month"]["sql"]
    page = await fetch_page(site, list_links(page)["Hide SQL"])
    assert not page.css("#sql-query")
    page = await fetch_page(site, list_links(page)["Show SQL"])
    assert page.css("#sql-query")
    edited = list_links(page)["Edit SQL"]
    assert parse_qs(urlsplit(edited).query)["sql"] == [QUERIES["papers_per_month"]["sql"]]


async def test_a_cut_result_says_so(site: Datasette) -> None:
    page = await fetch_page(site, f"/daily?sql={quote('select 1 from entries, tags')}")
    assert "The first 1,000 rows" in page.text()
    assert "/daily.db" in list_links(page).values()
    page = await fetch_page(site, f"/daily?sql={quote('select 1 from tags limit 3')}")
    assert "The first" not in page.text()


async def test_an_example_without_values_offers_some(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/papers_with_two_tags")
    assert not page.css("tbody tr")
    offered = list_links(page)["distillation, synthetic-data"]
    page = await fetch_page(site, urljoin("/daily/papers_with_two_tags", offered))
    assert page.css("tbody tr")


# Charts


async def test_charts_are_loaded_only_where_one_is_drawn(site: Datasette) -> None:
    """A table without two rows would make datasette-vega fail."""
    drawn = ["/daily/tags?_chart=on", "/daily/papers?_view=table&_chart=on", "/daily/tag_pairs"]
    plain = ["/daily/tags", "/daily/tags?_chart=on&id=nothing", "/daily/tags_in_use", "/charts"]
    for path in drawn + plain:
        page = await fetch_page(site, path)
        loaded = [script.attributes.get("src") or "" for script in page.css("script[src]")]
        assert any("datasette_vega" in source for source in loaded) == (path in drawn), path
        assert any("/charts.js" in source for source in loaded) == (path in drawn), path
        assert len(page.css("#chart, table[data-chart]")) == (2 if path in drawn else 0), path


async def test_tables_and_results_offer_a_chart(site: Datasette) -> None:
    for path in (
        "/daily/tags?category=stage",
        "/daily/tags_in_use",
        "/daily?sql=select+1+union+select+2",
    ):
        page = await fetch_page(site, path)
        offered = urljoin(path, list_links(page)["Draw a chart"])
        assert (await fetch_page(site, offered)).css("table[data-chart]"), path
        assert urlsplit(path).query in offered or "sql=" in offered


@pytest.mark.parametrize("name", CHARTS)
async def test_a_chart_opens_drawn(site: Datasette, name: str) -> None:
    page = await fetch_page(site, f"/daily/{name}")
    assert find_one(page, "table[data-chart]").attributes["data-chart"] == QUERIES[name]["fragment"]
    assert find_one(page, ".export-links a[href*=json]")


async def test_the_charts_page_shows_and_links_every_chart(site: Datasette) -> None:
    page = await fetch_page(site, "/charts")
    titles = [heading.text() for heading in page.css("h2")]
    assert titles == [QUERIES[name]["title"] for name in CHARTS]
    for section in page.css(".chart-list > section"):
        name = find_one(section, "h2").attributes["id"] or ""
        links = list_links(section)
        assert links["Open the chart"] == f"/daily/{name}#{QUERIES[name]['fragment']}"
        for way in ("SQL", "JSON", "CSV"):
            assert (await site.client.get(links[way])).status_code == 200
        assert section.css("svg rect")


def test_axes_are_read_from_the_fragment() -> None:
    assert read_axes("g.mark=bar&g.x_column=month&g.y_column=papers") == Axes("month", "papers")
    lying = "g.mark=bar&g.x_column=papers&g.y_column=pair&g.y_type=nominal&g.color_column=tag"
    assert read_axes(lying) == Axes("pair", "papers", "tag")
    with pytest.raises(KeyError):
        read_axes("g.mark=bar&g.x_column=month")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9) | st.none())))
def test_splitting_by_color_keeps_every_row(pairs: list[tuple[str, int | None]]) -> None:
    rows = [{"tag": tag, "papers": papers} for tag, papers in pairs]
    parts = split_by_color(rows, Axes("year", "papers", "tag"))
    assert sorted(map(str, rows)) == sorted(str(row) for _, part in parts for row in part)
    for name, part in parts:
        assert part == [row for row in rows if row["tag"] == name]
    sums = [sum(row["papers"] or 0 for row in part) for _, part in parts]
    assert sums == sorted(sums, reverse=True)


# Tables and rows


async def test_a_table_keeps_its_filters_order_and_view_in_its_form(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/tags?category=stage&papers__gt=1&_sort_desc=papers")
    form = find_one(page, "form.filters")
    chosen = [option.text() for option in form.css("option[selected]")]
    assert chosen == ["category", "=", "papers", ">", "=", "papers"]
    assert "checked" in find_one(form, "input[name=_sort_by_desc]").attributes
    page = await fetch_page(site, "/daily/papers?_view=table&_facet=year")
    hidden = {node.attributes["name"] for node in page.css("form.filters input[type=hidden]")}
    assert {"_view", "_facet"} <= hidden


async def test_headings_of_columns_sort_and_say_how(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/tags?_sort=name")
    heading = find_one(page, "th.col-name")
    assert heading.attributes["aria-sort"] == "ascending"
    page = await fetch_page(site, find_one(heading, "a").attributes["href"] or "")
    assert find_one(page, "th.col-name").attributes["aria-sort"] == "descending"
    assert len(page.css("th[aria-sort]")) == 1


async def test_columns_can_be_counted_hidden_and_shown_again(site: Datasette) -> None:
    path = "/daily/tags?category=stage"
    page = await fetch_page(site, path)
    tools = {
        link.attributes["aria-label"]: link.attributes["href"] or ""
        for link in page.css(".column-tools a")
    }
    counted = await fetch_page(site, urljoin(path, tools["Count values of papers"]))
    assert find_one(counted, "#facet-papers")
    assert len(counted.css("tbody tr")) == 7
    without = await fetch_page(site, urljoin(path, tools["Hide description"]))
    assert not without.css("td.col-description")
    again = await fetch_page(site, list_links(without)["Show all columns"])
    assert again.css("td.col-description")


async def test_an_empty_table_and_an_empty_filter_say_which(site: Datasette) -> None:
    assert "This table has no rows" in (await fetch_page(site, "/daily/problems")).text()
    page = await fetch_page(site, "/daily/tags?id=nothing")
    assert "Remove a filter" in page.text()
    assert "/daily/tags" in list_links(page).values()


async def test_pages_of_a_table_lead_on_and_back(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/tags?_size=10&_sort=name")
    first = [cell.text() for cell in page.css("td.col-name")]
    page = await fetch_page(site, list_links(page)["Next page"])
    following = [cell.text() for cell in page.css("td.col-name")]
    assert first + following == sorted(first + following, key=str)
    page = await fetch_page(site, list_links(page)["First page"])
    assert [cell.text() for cell in page.css("td.col-name")] == first


async def test_a_row_names_its_columns_and_leads_to_other_rows(site: Datasette) -> None:
    page = await fetch_page(site, "/daily/entries/1")
    names = [heading.text() for heading in page.css("th[scope=row]")]
    assert names == list(METADATA["databases"]["daily"]["tables"]["entries"]["columns"])
    for link in find_one(page, ".row-facts").css("a"):
        assert (await site.client.get(link.attributes["href"] or "")).status_code == 200
    assert len(find_one(page, ".row-facts").css("a")) == 2


@pytest.mark.parametrize(
    "path",
    ["/daily", "/charts", "/daily/tags", "/daily/tags?_chart=on", "/daily/entries/1",
     "/daily/tag_pairs", "/daily?sql=select+1", "/daily?sql=wrong", "/daily/problems"],
)  # fmt: skip
async def test_pages_hold_no_scripts_or_styles_of_their_own(site: Datasette, path: str) -> None:
    page = LexborHTMLParser((await site.client.get(path)).text)
    assert [node.html for node in page.css("script:not([src]), style, [style]")] == []
    handlers = [node for node in page.css("*") if any(n.startswith("on") for n in node.attributes)]
    assert handlers == []
    assert len(page.css("h1")) == 1
    levels = [int(node.tag[1]) for node in page.css("h1, h2, h3, h4")]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [node.attributes["id"] for node in page.css("[id]")]
    assert len(ids) == len(set(ids))


async def test_hostile_values_are_escaped(site: Datasette) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    for path in (
        f"/daily?{urlencode({'sql': 'select :a as b', 'a': evil})}",
        f"/daily?{urlencode({'sql': f'select {evil}'})}",
        f"/daily/papers_with_two_tags?{urlencode({'first': evil, '_chart': evil})}",
        f"/daily/tags?{urlencode({'name': evil, '_facet': 'category'})}",
        f"/daily/tags?{urlencode({'_x': evil, evil: 'x', '_chart': evil})}",
    ):
        assert "<img" not in (await site.client.get(path)).text, path
