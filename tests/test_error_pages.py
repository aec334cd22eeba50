"""Errors tell visitors what was wrong and where to go, keep their status, and tell programs the
same in Datasette's form."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st

from dailypapers.publishing.errors import explain_missing, explain_request, find_words

HOSTILE = '"><script>alert(1)</script>'
ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"


def read_status(answer: Any, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    text: str = answer.text
    return text


@pytest.mark.parametrize(
    ("path", "said", "search"),
    [
        ("/daily/papers/lora-for-x", "The table “papers” has no row “lora-for-x”.", "lora for x"),
        ("/daily/diffusion_models", "There is no table and no query", "diffusion models"),
        ("/nowhere", "There is no page at /nowhere.", "nowhere"),
        (
            "/a/b/c/world-models.html",
            "There is no page at /a/b/c/world-models.html.",
            "world models",
        ),
    ],
)
async def test_a_missing_page_offers_a_search(
    site: Datasette, path: str, said: str, search: str
) -> None:
    html = read_status(await site.client.get(path), 404)
    assert said in html
    link = f"/daily/search?{urlencode({'q': search})}"
    assert f'href="{link}"' in html
    for way in ("/", "/daily/papers", "/daily/tags"):
        assert f'href="{way}"' in html
    assert (await site.client.get(link)).status_code == 200


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("papers?_sort=nonsense", "This table cannot be sorted by “nonsense”."),
        ("papers?_sort=id&_sort_desc=id", "by _sort or by _sort_desc, not by both"),
        ("papers?_size=many", "must be a whole number"),
        ("papers?_size=5000", "A page holds at most 1000 rows."),
        ("papers?_facet=nonsense", "There is no column “nonsense” here."),
        ("papers?_col=nonsense", "There is no column “nonsense” here."),
        ("?sql=delete+from+papers", "Only queries can be run here"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    site: Datasette, address: str, said: str
) -> None:
    html = read_status(await site.client.get(f"/daily/{address}".replace("/?", "?")), 400)
    assert said in html
    assert html.count("<h1>") == 1


@pytest.mark.parametrize(
    "path",
    [
        f"/daily/papers/{quote(HOSTILE, safe='')}",
        f"/daily/{quote(HOSTILE, safe='')}",
        f"/daily/papers?{urlencode({'_sort': HOSTILE})}",
        f"/daily/papers?{urlencode({'_col': HOSTILE})}",
        f"/daily?{urlencode({'sql': f'{ENDLESS} where x = :p', 'p': HOSTILE})}",
        f"/daily?{urlencode({'sql': f'{ENDLESS} -- </textarea>{HOSTILE}'})}",
        f"/daily?{urlencode({'sql': f'delete from papers {HOSTILE}'})}",
    ],
)
async def test_what_a_visitor_sends_is_shown_as_text(site: Datasette, path: str) -> None:
    answer = await site.client.get(path, follow_redirects=True)
    assert answer.status_code in (400, 404)
    assert "<script>" not in answer.text
    assert HOSTILE not in answer.text


async def test_a_slow_query_can_be_changed(site: Datasette) -> None:
    sql = f"{ENDLESS} where x < :most"
    answer = await site.client.get(f"/daily?{urlencode({'sql': sql, 'most': '9e9'})}")
    html = read_status(answer, 400)
    assert "A query may run for 1 second here" in html
    assert "where x &lt; :most</textarea>" in html
    assert '<input type="hidden" name="most" value="9e9">' in html
    assert "<script>" not in html
    assert "style=" not in html


async def test_csv_gets_one_line(site: Datasette) -> None:
    for path, status in [
        ("/daily/papers.csv?_size=many", 400),
        ("/daily/nonsense.csv", 404),
        (f"/daily.csv?{urlencode({'sql': ENDLESS})}", 400),
    ]:
        answer = await site.client.get(path)
        text = read_status(answer, status)
        assert answer.headers["content-type"].startswith("text/plain")
        assert text.count("\n") == 1
        assert "<" not in text


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/daily/papers/nonsense.json", 404, "Record not found"),
        ("/daily/papers.json?_size=many", 400, "_size must be a positive integer"),
    ],
)
async def test_json_has_datasettes_form(
    site: Datasette, path: str, status: int, error: str
) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == status
    assert answer.json() == {"ok": False, "error": error, "status": status, "title": None}


async def test_a_fault_of_ours_tells_only_the_log(
    site: Datasette, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(site, "refresh_schemas", fail)
    html = read_status(await site.client.get("/daily/papers"), 500)
    assert "Something went wrong here" in html
    assert "secret" not in html
    assert "RuntimeError: secret" in capsys.readouterr().err


async def test_a_slow_query_of_a_page_is_a_fault_of_ours(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = site._metadata_local["databases"]["daily"]["queries"]
    monkeypatch.setitem(queries["facts"], "sql", ENDLESS)
    html = read_status(await site.client.get("/about"), 500)
    assert "recursive" not in html


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/daily/papers?_size=5000", 400)])
async def test_datasettes_answer_comes_where_the_page_fails(
    site: Datasette, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    async def fail(*_: object, **__: object) -> str:
        raise RuntimeError("secret")

    monkeypatch.setattr(site, "render_template", fail)
    answer = await site.client.get(path)
    assert answer.status_code == status
    assert f"<h1>Error {status}</h1>" in answer.text
    assert "secret" not in answer.text


async def test_a_refusal_keeps_its_status_where_the_page_fails(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> str:
        raise RuntimeError("secret")

    monkeypatch.setattr(site, "render_template", fail)
    answer = await site.client.get("/daily/papers?_size=x")
    assert (answer.status_code, answer.text) == (400, "Error")


async def test_what_is_closed_says_so(site: Datasette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(site._metadata_local, "allow", False)
    html = read_status(await site.client.get("/daily/papers"), 403)
    assert "This page is not open to you." in html
    answer = await site.client.get("/daily/papers.json")
    assert answer.status_code == answer.json()["status"] == 403


async def test_a_fault_of_ours_tells_programs_no_more(
    site: Datasette, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(site, "refresh_schemas", fail)
    text = read_status(await site.client.get("/daily/papers.json"), 500)
    assert json.loads(text).keys() == {"ok", "error", "status", "title"}
    assert "secret" not in text
    assert "RuntimeError: secret" in capsys.readouterr().err


async def test_a_slow_query_is_told_to_programs_without_html(site: Datasette) -> None:
    answer = await site.client.get(f"/daily.json?{urlencode({'sql': ENDLESS})}")
    told = json.loads(read_status(answer, 400))
    assert told["title"] == "SQL Interrupted"
    assert told["error"].startswith("A query may run for 1 second here")


@given(st.text(max_size=3_000), st.text(max_size=300))
def test_explanations_are_short_whatever_is_sent(message: str, path: str) -> None:
    for explained in (explain_missing(message, path.split("/")), explain_request(message)):
        assert explained.said
        assert len(explained.said) + len(explained.search) < 600
    assert all(letter.isalnum() or letter in " …" for letter in find_words(path))
