"""The API as an OpenAPI 3.1 document.

Types are those of dailypapers/schema.py; titles, descriptions, orders and queries are those of
metadata.yml; formats name their own content types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..schema import TABLES
from . import answers, questions
from .answers import Schema, refer_to
from .citations import FORMATS
from .exports import Csv, JsonLines
from .feeds import CONTENT_TYPE
from .filters import OPERATORS
from .parameters import SHAPES
from .wording import say_format

DATABASE = "daily"
TERMS = ("source", "source_url", "license", "license_url")
UNKEYED = tuple(shape for shape in SHAPES if shape != "object")
"""Shapes of rows that have no key."""

CITATIONS = {format.extension: [format.content_type] for format in FORMATS}
FEEDS = {"atom": [CONTENT_TYPE.partition(";")[0]]}
FILES = {
    # Datasette's own, to be looked at in a browser, is plain text.
    "csv": [Csv().content_type.partition(";")[0], "text/plain"],
    "ndjson": [JsonLines().content_type.partition(";")[0]],
}
"""Content types by extension."""


@dataclass(frozen=True)
class Site:
    """What the document is about: the site's address without a slash at its end, the version, the
    metadata of Datasette, and its limits on rows."""

    url: str
    version: str
    metadata: Mapping[str, Any]
    page_size: int
    max_rows: int

    @property
    def tables(self) -> dict[str, Mapping[str, Any]]:
        """The tables that visitors are shown, as metadata.yml describes them."""
        told = self.metadata["databases"][DATABASE]["tables"]
        return {
            name: words
            for name, words in told.items()
            if name in TABLES and not words.get("hidden")
        }

    @property
    def queries(self) -> Mapping[str, Mapping[str, Any]]:
        """The queries of metadata.yml."""
        queries: Mapping[str, Mapping[str, Any]] = self.metadata["databases"][DATABASE]["queries"]
        return queries

    @property
    def terms(self) -> list[str]:
        """What every JSON page says of source and licence."""
        return [name for name in TERMS if self.metadata.get(name)]


def describe_api(site: Site) -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": describe_site(site),
        "servers": [{"url": site.url}],
        "externalDocs": {"url": f"{site.url}/api", "description": "Examples and limits"},
        "security": [],
        "tags": [
            *({"name": words["title"], "description": words["description"]}
              for words in site.tables.values()),
            {"name": "Queries", "description": "Search, and other questions with an address."},
            {"name": "SQL", "description": "The whole database."},
        ],
        "paths": list_paths(site),
        "components": {"schemas": describe_schemas(site), "responses": describe_responses()},
    }  # fmt: skip


def describe_site(site: Site) -> Schema:
    """The document's `info`."""
    lookups = ", ".join(f"__{name} ({words})" for name, words in OPERATORS.items())
    info = {
        "title": site.metadata["title"],
        "version": site.version,
        "description": (
            f"{site.metadata['description']}\n\nNo key is needed. What is unknown is null. Any"
            f" column filters its table, alone (year=2024) or with a comparison: {lookups}. The"
            f" parameters _col and _nocol choose columns, _json=tags reads one that holds JSON."
        ),
    }
    if site.metadata.get("license") and site.metadata.get("license_url"):
        terms = {"name": site.metadata["license"], "url": site.metadata["license_url"]}
        return {**info, "license": terms}
    return info


def describe_schemas(site: Site) -> dict[str, Schema]:
    """The schemas by name: a row and two pages for each table, then what several have in common."""
    schemas: dict[str, Schema] = {
        "Cell": answers.A_CELL,
        "Labelled": answers.A_LABELLED_CELL,
        "Error": answers.ERROR,
        "Facet": answers.FACET,
    }
    for name, words in site.tables.items():
        columns = answers.describe_columns(name, words["columns"])
        labelled = answers.add_labels(name, columns)
        schemas[name] = answers.make_object(columns)
        schemas[f"{name}_labelled"] = answers.make_object(labelled)
        rows = [refer_to(f"{name}_labelled"), answers.make_cells(labelled)]
        schemas[f"{name}_list"] = answers.describe_table_page(rows, site.terms)
        rows = [refer_to(name), answers.make_cells(columns)]
        schemas[f"{name}_row"] = answers.describe_row_page(rows, site.terms)
    words_of = {name: words["columns"] for name, words in site.tables.items()}
    columns = answers.describe_search(words_of)
    schemas["Found"] = answers.make_object(columns)
    rows = [refer_to("Found"), answers.make_cells(columns)]
    schemas["Search"] = answers.describe_query_page(rows, site.terms)
    rows = [answers.ANY_ROW, answers.ANY_CELLS]
    schemas["Result"] = answers.describe_query_page(rows, site.terms)
    schemas["Database"] = answers.describe_database(site.terms)
    return schemas


def describe_responses() -> dict[str, Schema]:
    """Answers that many addresses have in common."""
    error = {"application/json": {"schema": refer_to("Error")}}
    either = {"anyOf": [refer_to("Error"), refer_to("Result")]}
    page = {kind: {"schema": answers.TEXT} for kind in ("text/html", "text/plain")}
    return {
        "Wrong": {"description": "The parameters make no sense.", "content": error},
        "WrongQuery": {
            "description": "The parameters make no sense, or the SQL failed or took too long.",
            "content": {"application/json": {"schema": either}},
        },
        "WrongInWords": {"description": "The parameters make no sense.", "content": page},
        "Missing": {"description": "There is no such row.", "content": error},
        "MissingInWords": {"description": "There is no such row.", "content": page},
    }


LINK = {
    "description": 'The next page, as <address>; rel="next"; none on the last.',
    "schema": answers.TEXT,
}


@dataclass(frozen=True)
class About:
    """What an operation is about: its group, its name in the document, what it does, and whether
    the header Link leads to a next page."""

    group: str
    id: str
    summary: str
    description: str
    is_paged: bool = False

    def make(
        self, parameters: Sequence[Schema], content: Schema, refused: Mapping[str, str]
    ) -> Schema:
        """The operation. `refused` names a response for each status but 200."""
        found = {"description": self.summary, "content": content}
        if self.is_paged:
            found["headers"] = {"Link": LINK}
        others = {status: {"$ref": f"#/components/responses/{name}"}
                  for status, name in refused.items()}  # fmt: skip
        return {
            "get": {
                "operationId": self.id,
                "tags": [self.group],
                "summary": self.summary,
                "description": self.description,
                "parameters": list(parameters),
                "responses": {"200": found, **others},
            }
        }


def make_json(about: About, parameters: Sequence[Schema], shapes: Schema, *refused: str) -> Schema:
    """An operation that answers JSON."""
    statuses = {"404" if name.startswith("Missing") else "400": name for name in refused}
    return about.make(parameters, {"application/json": {"schema": shapes}}, statuses)


def make_texts(
    path: str, about: About, parameters: Sequence[Schema], formats: Mapping[str, Sequence[str]]
) -> dict[str, Schema]:
    """Operations that answer files: for each extension, the content types it may have."""
    paths = {}
    for extension, kinds in formats.items():
        here = replace(
            about,
            id=f"{about.id}_{extension}",
            summary=f"{about.summary} as {say_format(extension)}",
        )
        items = answers.make_list(answers.ANY_OBJECT)
        content = {
            kind: {"schema": items if kind.endswith("+json") else answers.TEXT} for kind in kinds
        }
        refused = {"400": "WrongInWords"} | ({"404": "MissingInWords"} if "{" in path else {})
        paths[f"{path}.{extension}"] = here.make(parameters, content, refused)
    return paths


def make_files(path: str, about: About, parameters: Sequence[Schema]) -> dict[str, Schema]:
    """Operations that answer rows as text."""
    paths: dict[str, Schema] = {}
    for extension, kinds in FILES.items():
        choices = questions.list_file_choices(is_csv=extension == "csv")
        paths |= make_texts(path, about, [*parameters, *choices], {extension: kinds})
    return paths


def list_paths(site: Site) -> dict[str, Schema]:
    """Every address with what it takes and answers."""
    paths: dict[str, Schema] = {}
    for name in site.tables:
        paths |= list_table_paths(site, name) | list_row_paths(site, name)
    for name in site.queries:
        paths |= list_query_paths(site, name)
    return paths | list_database_paths()


def list_table_paths(site: Site, name: str) -> dict[str, Schema]:
    """A table in its formats."""
    words = site.tables[name]
    path = f"/{DATABASE}/{name}"
    about = About(words["title"], f"list_{name}", words["title"], words["description"], True)
    filters = questions.list_filters(name, words["columns"])
    asked = [
        *filters,
        *questions.list_orders(name, words),
        *questions.list_pages(site.page_size, site.max_rows),
    ]
    details = [*questions.list_details(name), questions.choose_shape(SHAPES)]
    row = refer_to(f"{name}_labelled")
    shapes = answers.describe_shapes(refer_to(f"{name}_list"), row, has_keys=True)
    paths = {f"{path}.json": make_json(about, [*asked, *details], shapes, "Wrong")}
    paths |= make_files(path, about, asked)
    if name == "papers":
        paths |= make_texts(path, about, asked, CITATIONS)
        paths |= make_texts(path, about, filters, FEEDS)
    return paths


def list_row_paths(site: Site, name: str) -> dict[str, Schema]:
    """One row of a table in its formats."""
    words = site.tables[name]
    keys = TABLES[name].key
    path = f"/{DATABASE}/{name}/{','.join(f'{{{key}}}' for key in keys)}"
    summary = f"{words['title']}: one row"
    about = About(words["title"], f"get_{name}", summary, "One row by its key.")
    asked = questions.list_keys(name, words["columns"])
    shapes = answers.describe_shapes(refer_to(f"{name}_row"), refer_to(name), has_keys=True)
    shaped = [*asked, questions.choose_shape(SHAPES)]
    paths = {f"{path}.json": make_json(about, shaped, shapes, "Wrong", "Missing")}
    return paths | (make_texts(path, about, asked, CITATIONS) if name == "papers" else {})


def list_query_paths(site: Site, name: str) -> dict[str, Schema]:
    """A query of metadata.yml in its formats."""
    words = site.queries[name]
    path = f"/{DATABASE}/{name}"
    said = words.get("description") or words["title"]
    about = About("Queries", f"query_{name}", words["title"], said)
    asked = questions.list_query_parameters(name, words)
    page, row = ("Search", refer_to("Found")) if name == "search" else ("Result", answers.ANY_ROW)
    shapes = answers.describe_shapes(refer_to(page), row, has_keys=False)
    shaped = [*asked, questions.choose_shape(UNKEYED)]
    paths = {f"{path}.json": make_json(about, shaped, shapes, "WrongQuery")}
    paths |= make_files(path, about, asked)
    if name == "search":
        paths |= make_texts(path, about, asked, CITATIONS)
    return paths | (make_texts(path, about, asked, FEEDS) if name == "feed" else {})


def list_database_paths() -> dict[str, Schema]:
    """The database as a whole: what is in it, any SQL, and the file."""
    path = f"/{DATABASE}"
    said = "What the database holds; with sql, what a query finds."
    about = About("SQL", "run_sql", "SQL", said)
    shapes = answers.describe_shapes(refer_to("Result"), answers.ANY_ROW, has_keys=False)
    either = {"anyOf": [*shapes["anyOf"], refer_to("Database")]}
    asked = questions.list_sql_parameters(required=False)
    shaped = [*asked, questions.choose_shape(UNKEYED)]
    needed = questions.list_sql_parameters(required=True)
    file = About("SQL", "download", "The whole database", "One SQLite file.")
    checksum = About("SQL", "checksum", "Its checksum", "SHA-256, for sha256sum -c.")
    return {
        f"{path}.json": make_json(about, shaped, either, "WrongQuery"),
        **make_files(path, about, needed),
        f"{path}.db": file.make([], {"application/octet-stream": {}}, {}),
        f"{path}.db.sha256": checksum.make([], {"text/plain": {"schema": answers.TEXT}}, {}),
    }
