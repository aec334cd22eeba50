"""/openapi.json says what the API does: schemathesis asks a real server all that it describes and
much that it does not, and finds no other answer than described, and no failure."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import schemathesis
from datasette.app import Datasette
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from dailypapers.publishing.parameters import find_fault, find_shape_fault
from dailypapers.schema import TABLES

from .conftest import PROJECT
from .test_site import HOSTILE

SETTINGS = {
    "seed": 1,
    "generation": {"deterministic": True, "database": "none", "max-examples": 4},
    "phases": {
        "stateful": {"enabled": False},  # nothing can be changed, so there are no states
        "coverage": {"unexpected-methods": ["POST", "TRACE"]},
    },
    "workers": 2,
    # SQL that is none, the cursor of another list, two orders at once: well-formed, and refused.
    "checks": {"positive_data_acceptance": {"enabled": False}},
}


@pytest.fixture(scope="module")
def document(served: str) -> Any:
    return httpx.get(f"{served}/openapi.json").json()


def list_operations(document: Any) -> dict[str, Any]:
    return {path: item["get"] for path, item in document["paths"].items()}


def add_real_keys(document: Any, served: str) -> set[str]:
    """Examples of rows, which nobody can guess. Gives the paths that have none to show."""
    empty = set()
    for path, operation in list_operations(document).items():
        keys = [parameter for parameter in operation["parameters"] if parameter["in"] == "path"]
        if keys:
            table = path.split("/")[2]
            rows = httpx.get(f"{served}/daily/{table}.json?_shape=array&_size=1").json()
            for key in keys if rows else []:
                key["example"] = rows[0][key["name"]]
            if not rows:
                empty.add(path)
    return empty


def list_alike(document: Any) -> list[str]:
    """Queries as files: one of them stands for all in this, to save time."""
    operations = list_operations(document)
    files = [path for path in operations if path.endswith((".csv", ".ndjson"))]
    queries = [path for path in files if operations[path]["tags"] == ["Queries"]]
    return [path for path in queries if not path.startswith("/daily/search.")]


def test_schemathesis_finds_nothing(served: str, document: Any) -> None:
    """The whole document with valid and with wrong parameters, in under a minute."""
    document = json.loads(json.dumps(document))
    empty = add_real_keys(document, served)
    config = SchemathesisConfig.from_dict(SETTINGS)
    for path in list_alike(document):
        del document["paths"][path]
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=served)
    failures, found = [], Counter[str]()
    for event in from_schema(schema).execute():
        assert not isinstance(event, (events.NonFatalError, events.FatalError)), event
        if not isinstance(event, events.ScenarioFinished):
            continue
        for key, checks in event.recorder.checks.items():
            asked = event.recorder.interactions[key]
            failures += [
                f"{asked.request.uri}\n{check.failure_info.failure}"
                for check in checks
                if check.failure_info
            ]
            if asked.response and asked.response.status_code == 200:
                found[event.recorder.label.removeprefix("GET ")] += 1
    assert not failures, "\n\n".join(failures[:5])
    assert set(list_operations(document)) - set(found) <= empty


def test_the_document_is_valid_openapi(document: Any) -> None:
    validate(document)
    ids = [operation["operationId"] for operation in list_operations(document).values()]
    assert len(set(ids)) == len(ids)
    groups = {tag["name"] for tag in document["tags"]}
    assert all(set(operation["tags"]) <= groups for operation in list_operations(document).values())


async def test_every_table_and_query_is_described(site: Datasette, document: Any) -> None:
    database = (await site.client.get("/daily.json")).json()
    shown = {table["name"] for table in database["tables"] if not table["hidden"]}
    assert shown == set(TABLES) - {"paper_arrays", "words"}
    names = shown | {query["name"] for query in database["queries"]}
    assert {f"/daily/{name}.json" for name in names} <= set(document["paths"])
    for table in database["tables"]:
        if table["name"] in shown:
            schema = document["components"]["schemas"][table["name"]]
            assert list(schema["properties"]) == table["columns"]
            [path] = [one for one in document["paths"] if one.startswith(f"/daily/{table['name']}/")
                      and one.endswith(".json")]  # fmt: skip
            keys = path.removeprefix(f"/daily/{table['name']}/{{").removesuffix("}.json")
            assert keys.split("},{") == table["primary_keys"]


async def test_search_gives_the_columns_described(site: Datasette, document: Any) -> None:
    page = (await site.client.get("/daily/search.json?q=model")).json()
    assert list(document["components"]["schemas"]["Found"]["properties"]) == page["columns"]


async def test_other_rows_than_described_are_noticed(site: Datasette, document: Any) -> None:
    """The schemas are not so wide that anything passes."""
    [row] = (await site.client.get("/daily/papers.json?_shape=array&_size=1")).json()
    schema = {"$ref": "#/components/schemas/papers", "components": document["components"]}
    validator = Draft202012Validator(schema)
    assert validator.is_valid(row)
    for changed in (
        {**row, "more": 1},
        {name: row[name] for name in row if name != "url"},
        {**row, "title": None},
        {**row, "year": "2024"},
    ):
        assert not validator.is_valid(changed)
    assert validator.is_valid({**row, "year": None})


async def test_every_choice_described_can_be_made(site: Datasette, document: Any) -> None:
    """One after the other; together, some contradict each other."""
    tried = 0
    for path, operation in list_operations(document).items():
        if "{" in path:
            continue
        needed = {p["name"]: p["example"] for p in operation["parameters"] if p.get("required")}
        for parameter in operation["parameters"]:
            choices = [*parameter["schema"].get("enum", []), parameter.get("example")]
            for value in choices:
                if value is None or (path, value) in {("/daily.json", "array"),
                                                      ("/daily.json", "arrayfirst")}:  # fmt: skip
                    continue
                address = f"{path}?{urlencode({**needed, parameter['name']: value})}"
                answer = await site.client.get(address)
                assert answer.status_code == 200, address
                tried += 1
    assert tried > 300


@pytest.mark.parametrize("base_url", ["/", "/papers/"])
async def test_the_document_names_this_site(sample: Path, base_url: str) -> None:
    site = Datasette(
        immutables=[str(sample)],
        config_dir=PROJECT,
        inspect_data={},
        settings={"base_url": base_url},
        cors=True,
    )
    await site.invoke_startup()
    answer = await site.client.get(site.urls.path("/openapi.json"))
    [server] = answer.json()["servers"]
    assert server["url"] == f"http://localhost{base_url}".rstrip("/")
    assert answer.headers["access-control-allow-origin"] == "*"
    again = await site.client.get(
        site.urls.path("/openapi.json"), headers={"if-none-match": answer.headers["etag"]}
    )
    assert again.status_code == 304


# Whatever is sent


@pytest.fixture(scope="module")
def visit(sample: Path) -> Iterator[Callable[[str], httpx.Response]]:
    """Ask a site for a path, for tests that are not asynchronous."""
    loop = asyncio.new_event_loop()
    site = Datasette(immutables=[str(sample)], config_dir=PROJECT, inspect_data={})
    loop.run_until_complete(site.invoke_startup())

    def get(path: str) -> httpx.Response:
        answer: httpx.Response = loop.run_until_complete(site.client.get(path))
        return answer

    yield get
    loop.close()


PATHS = ["/daily/papers", "/daily/paper_tags", "/daily/listings", "/daily/search", "/daily",
         "/daily/feed", "/daily/papers_flat", "/daily/papers/x", "/daily/paper_tags/x"]  # fmt: skip
ENDINGS = [".json", ".csv", ".ndjson", ".bib", ".csljson", ".atom", ".blob", ""]
COLUMNS = ["year", "title", "tags", "number", "nothing", "", "a]b", "{c.x}", "\0"]
LOOKUPS = ["exact", "gt", "lte", "in", "notin", "arraycontains", "date", "isnull", "glob", "x"]
ODD = [
    "²", "①", "٣", "9" * 40, "-1", "1e999", "max", "null", "$null", "$null,x", "a,b,c", "[", "[1",
    "[{}]", "[[1]]", "[99999999999999999999]", "{}", '{"column":', '{"simple": 1}', "~FF", "~",
    ":x", "?",
    "1;", '{"table": "paper_tags", "column": "tag", "value": []}', '{"table": 1}', "[" * 3_000,
    '{"table": "papers", "column": "id", "value": "x"}', "select 1", "select :a", "select x'ff'",
    "select 1e999", "select 1; select 2", *HOSTILE,
]  # fmt: skip
NAMES = [
    "_size", "_next", "_sort", "_sort_desc", "_shape", "_labels", "_label", "_facet", "_facetx",
    "_facet_array", "_facet_date", "_facet_size", "_facet_tag", "_tag", "_listing", "_author",
    "_keyword", "_search", "_search_title", "_searchx", "_searchmode", "_where", "_through", "_col",
    "_nocol", "_json", "_json_infinity", "_nl", "_ttl", "_timelimit", "_stream", "_bom", "_dl",
    "_header", "_nofacet", "_nocount", "_extras", "_fts_table", "_fts_pk", "_blob_column",
    "_blob_hash", "_sort_by_desc", "_filter_column", "_filter_op", "_filter_column_1", "_trace",
    "q", "tag", "org", "year", "sort", "page", "after", "sql", "a",
]  # fmt: skip
names = st.sampled_from(NAMES) | st.builds(
    "{}__{}".format, st.sampled_from(COLUMNS), st.sampled_from(LOOKUPS)
)


@settings(max_examples=300)
@given(
    path=st.sampled_from(PATHS),
    ending=st.sampled_from(ENDINGS),
    pairs=st.lists(
        st.tuples(names | st.text(max_size=9), st.sampled_from(ODD) | st.text(max_size=30)),
        max_size=4,
    ),
)
def test_whatever_is_sent_is_answered(
    visit: Callable[[str], httpx.Response], path: str, ending: str, pairs: list[tuple[str, str]]
) -> None:
    answer = visit(f"{path}{ending}?{urlencode(pairs, errors='replace')}")
    assert answer.status_code in (200, 302, 400, 404)
    if ending == ".json" and answer.status_code >= 400:
        told = answer.json()
        assert told["ok"] is False
        assert told["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"])
@pytest.mark.parametrize("path", ["/daily/papers.json", "/daily/search.json", "/daily.json", "/"])
def test_nothing_can_be_sent(served: str, method: str, path: str) -> None:
    answer = httpx.request(method, served + path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    if path.endswith(".json"):
        expected = {"ok": False, "error": "Method not allowed", "status": 405, "title": None}
        assert answer.json() == expected
    else:
        assert "Nothing can be sent here" in answer.text


@pytest.mark.parametrize("cookie", ["a,b=1", "ds_actor=x", "=", '"', "a=1;;[=2"])
def test_cookies_of_others_do_no_harm(served: str, cookie: str) -> None:
    for path in ("/daily/papers.json?_size=1", "/", "/about"):
        assert httpx.get(served + path, headers={"cookie": cookie}).status_code == 200


async def test_encoded_keys_find_their_row(site: Datasette) -> None:
    """Programs encode what they put into an address, whether it needs that or not."""
    [tag] = (await site.client.get("/daily/tags.json?_shape=array&_size=1")).json()
    everything = "".join(f"%{byte:02X}" for byte in tag["id"].encode())
    answer = await site.client.get(f"/daily/tags/{everything}.json?_shape=array")
    assert answer.json() == [tag]
    for key in ("é", "a b", "x.y~z/"):
        answer = await site.client.get(f"/daily/tags/{quote(key, safe='')}.json")
        assert answer.status_code == 404
        assert answer.json()["error"] == "Record not found"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/daily/papers.json?_sort=nonsense", "Cannot sort table by nonsense"),
        ("/daily/papers.json?_labels=perhaps", "_labels must be on or off"),
        ("/daily/papers.json?_through=[]", "_through must be a JSON object of table, column and"
         " value"),
        ("/daily.json?_shape=array", "_shape=array is for rows, and this address has none"),
        ("/daily/search.json?_shape=object", "_shape=object is only available on tables with"
         " primary keys"),
        ("/daily/search.json?_shape=x", "_shape must be one of arrays, objects, array, object,"
         " arrayfirst"),
        ("/daily/papers.json?_where=:x", None),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_400_in_json_too(
    site: Datasette, path: str, error: str | None
) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 400
    told = answer.json()
    assert error in (told["error"], None)
    assert told == {"ok": False, "error": told["error"], "status": 400, "title": None}


async def test_part_of_a_key_is_no_key(site: Datasette) -> None:
    answer = await site.client.get("/daily/paper_tags/x.json")
    assert (answer.status_code, answer.json()["error"]) == (404, "Record not found")


@given(st.text(max_size=20), st.lists(st.tuples(names | st.text(), st.sampled_from(ODD)
                                                | st.text()), max_size=3))  # fmt: skip
def test_any_parameter_is_looked_at(path: str, pairs: list[tuple[str, str]]) -> None:
    fault = find_fault(path, pairs)
    assert fault is None or fault.strip()


@pytest.mark.parametrize(
    "pair",
    [
        ("year__gt", "2024"), ("year__in", "2023,2024"), ("year__in", '["2023", 2024, null]'),
        ("_size", "max"), ("_size", ""), ("_ttl", "60"), ("_labels", "ON"), ("_facet", "year"),
        ("_search", "\0"), ("_search_title", "x"), ("_searchmode", "raw"), ("title__gt", "²x"),
        ("_through", '{"table": "paper_tags", "column": "tag", "value": "rl"}'),
        ("_shape", "array"), ("q", "²"), ("__in", "x"),
    ],
)  # fmt: skip
def test_what_makes_sense_is_no_fault(pair: tuple[str, str]) -> None:
    assert find_fault("/daily/papers.json", [pair]) is None


def test_an_error_takes_no_shape() -> None:
    assert find_shape_fault("object", {"error": "no such table: x"}) is None
    assert find_shape_fault("object", {"primary_keys": ["id"], "rows": []}) is None
    assert find_shape_fault(None, {}) is None
