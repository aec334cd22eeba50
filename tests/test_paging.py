"""Paging shows every row, and each once, whatever the order."""

from typing import Any

import pytest
from datasette.app import Datasette

from dailypapers.publishing.paging import walk_from_last


async def page_through(site: Datasette, path: str) -> list[Any]:
    """The rows of all pages."""
    seen: list[Any] = []
    while path:
        page = (await site.client.get(path)).json()
        seen += [tuple(row.values()) for row in page["rows"]]
        path = (page["next_url"] or "").removeprefix("http://localhost")
    return seen


@pytest.mark.parametrize("direction", ["_sort", "_sort_desc"])
@pytest.mark.parametrize("column", ["published", "comments", "year", "title", "listed"])
async def test_every_paper_comes_once(site: Datasette, direction: str, column: str) -> None:
    path = f"/daily/papers.json?_shape=objects&_col=id&_size=7&{direction}={column}"
    seen = await page_through(site, path)
    assert len(seen) == len(set(seen)) == 436


@pytest.mark.parametrize("filters", ["", "_sort_desc=year&authors_count=5", "_sort=year&_tag=lora"])
async def test_small_pages_show_what_one_large_page_shows(site: Datasette, filters: str) -> None:
    path = f"/daily/papers.json?_shape=objects&_col=id&{filters}&_size="
    assert await page_through(site, path + "4") == await page_through(site, path + "max")


async def test_tables_of_two_keys_page_too(site: Datasette) -> None:
    seen = await page_through(site, "/daily/paper_tags.json?_shape=objects&_size=100&_sort=tag")
    [total] = await site.get_database("daily").execute("select count(*) from paper_tags")
    assert len(seen) == len({row[:2] for row in seen}) == total[0]


@pytest.mark.parametrize("hidden", ["_nocol=published", "_col=title", "_col=id&_labels=on"])
async def test_the_column_of_the_order_may_be_hidden(site: Datasette, hidden: str) -> None:
    path = f"/daily/papers.json?_shape=objects&_size=100&_sort_desc=published&{hidden}"
    assert len(await page_through(site, path)) == 436
    assert (await site.client.get(path.replace(".json", ""))).status_code == 200


async def test_unknown_databases_and_tables_are_not_found(site: Datasette) -> None:
    for path in ("/nowhere/papers.json", "/daily/nowhere.json"):
        assert (await site.client.get(path)).status_code == 404


@pytest.mark.parametrize("order", ["_sort=comments", "_sort_desc=comments", "_sort=published"])
async def test_later_pages_are_walks_to_the_same_rows(site: Datasette, order: str) -> None:
    page = (await site.client.get(f"/daily/papers.json?_size=50&{order}")).json()
    later = await site.client.get(page["next_url"].removeprefix("http://localhost"))
    query = later.json()["query"]
    sql = walk_from_last(query["sql"])
    assert " union all " in sql
    db = site.get_database("daily")
    asked = [await db.execute(one, query["params"]) for one in (sql, query["sql"])]
    first, second = ([tuple(row) for row in rows] for rows in asked)
    assert first == second
    assert len(first) == 51


@pytest.mark.parametrize(
    "sql",
    [
        "select id from papers order by published desc, id limit 51",
        "select id from papers where published < :p0 order by published desc, id limit 51",
        "select 1",
        "select id from papers where (title = ' order by ') limit 1",
    ],
)
def test_other_statements_stay_as_they_are(sql: str) -> None:
    assert walk_from_last(sql) == sql
