"""The About page describes every table and column that visitors see, from where it is written."""

import re
from html import unescape

from datasette.app import Datasette

from .test_site import Links, fetch_json


async def read_about(site: Datasette) -> str:
    answer = await site.client.get("/about")
    assert answer.status_code == 200
    return unescape(answer.text)


async def test_every_table_and_column_is_there(site: Datasette) -> None:
    html = await read_about(site)
    tables = (await fetch_json(site, "/daily.json"))["tables"]
    for table in tables:
        heading = f'<h3 id="table-{table["name"]}"><a href="/daily/{table["name"]}">'
        assert (heading in html) is not table["hidden"], table["name"]
        if table["hidden"]:
            continue
        count = f"{table['count']:,} row{'' if table['count'] == 1 else 's'}"
        assert f"<code>{table['name']}</code> · {count}" in html
        described = site.metadata("tables", database="daily")[table["name"]]
        assert described["description"] in html
        for column in table["columns"]:
            definition = html.split(f'<dt id="{table["name"]}.{column}">')[1].split("</dd>")[0]
            assert described["columns"][column] in definition
    assert any(table["hidden"] for table in tables)


async def test_foreign_keys_lead_to_their_tables(site: Datasette) -> None:
    html = await read_about(site)
    for table in (await fetch_json(site, "/daily.json"))["tables"]:
        for key in table["foreign_keys"]["outgoing"] if not table["hidden"] else []:
            definition = html.split(f'<dt id="{table["name"]}.{key["column"]}">')[1]
            link = f'<a href="#table-{key["other_table"]}">→ {key["other_table"]}</a>'
            assert link in definition.split("</dd>")[0]


async def test_links_within_lead_somewhere(site: Datasette) -> None:
    for page in ("/about", "/api"):
        html = (await site.client.get(page)).text
        ids = re.findall(r' id="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        within = {href[1:] for href in Links(html).found if href.startswith("#")}
        assert within <= set(ids)
        assert len(within) > 4


async def test_it_says_what_and_how_fresh_and_on_what_terms(site: Datasette) -> None:
    html = await read_about(site)
    assert "4 saved pages" in html
    assert "436 papers" in html
    assert re.search(r"the newest of \d{1,2} \w{3} 20\d\d", html)
    for term in ("source_url", "license_url", "license"):
        assert site.metadata(term) in html
    assert 'href="/daily/problems"' in html


async def test_the_api_page_lists_what_answers(site: Datasette) -> None:
    """Without those that need a parameter: these the examples ask."""
    html = (await site.client.get("/api")).text
    addresses = [href for href in Links(html).found if href.endswith((".json", ".atom"))]
    assert {"/daily.json", "/daily/papers.json", "/daily/most_discussed.json"} <= set(addresses)
    for address in addresses:
        assert (await site.client.get(address)).status_code == 200, address
    assert "at most 1,000 rows" in html
    assert "may run for 1 second." in html
