"""JSON schemas of what the API answers: rows made of the tables of dailypapers/schema.py, and the
pages around them as Datasette 0.65 writes them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..schema import TABLES, Table

Schema = dict[str, Any]

TYPES = {int: "integer", float: "number", str: "string"}
TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
CELL: Schema = {"$ref": "#/components/schemas/Cell"}
LABELLED: Schema = {"$ref": "#/components/schemas/Labelled"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
MAYBE_FLOAT: Schema = {"type": ["number", "null"]}
NAMES: Schema = {"type": "array", "items": TEXT}
ANY_OBJECT: Schema = {"type": "object"}
ANY_LIST: Schema = {"type": "array"}
ANY_ROW: Schema = {"type": "object", "additionalProperties": CELL}
ANY_CELLS: Schema = {"type": "array", "items": CELL}

SEARCH_COLUMNS = ("id", "title", "published", "authors_count", "organization", "comments", "tags")
"""Columns of papers that a search gives, too."""


def make_object(properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """An object with these properties and no others."""
    required = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


def make_list(items: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": items}


def refer_to(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def describe_columns(name: str, words: Mapping[str, str]) -> dict[str, Schema]:
    """The columns of a table; `words` describe them."""
    table = TABLES[name]
    return {
        column: _describe_cell(table, column) | {"description": words[column]}
        for column in table.columns
    }


def _describe_cell(table: Table, column: str) -> Schema:
    kind = TYPES[table.columns[column]]
    is_known = column in (*table.required, *table.key)
    return {"type": kind if is_known else [kind, "null"]}


def describe_search(words: Mapping[str, Mapping[str, str]]) -> dict[str, Schema]:
    """The columns of the query `search`; `words` describe those of tables."""
    papers = describe_columns("papers", words["papers"])
    name = words["organizations"]["name"]
    whole = {"type": "integer", "minimum": 0}
    return {
        **{column: papers[column] for column in SEARCH_COLUMNS},
        "snippet": TEXT | {"description": "HTML: words of the abstract, the hits in <mark>."},
        "score": MAYBE_FLOAT
        | {"description": "How well it matches; more is better. Null without words to match."},
        "organization_name": MAYBE_TEXT | {"description": name},
        "upvotes": papers["upvotes"],
        "more": whole | {"description": "1 where there are more papers than found says."},
        "found": whole | {"description": "How many papers there are on all pages."},
    }


def add_labels(name: str, columns: Mapping[str, Schema]) -> dict[str, Schema]:
    """The columns of a table as `_labels=on` gives them: keys may have the name of what they are
    the key of."""
    keys = {column for column, _, _ in TABLES[name].references}
    return {
        column: _add_label(schema) if column in keys else schema
        for column, schema in columns.items()
    }


def _add_label(schema: Schema) -> Schema:
    either = [{"type": schema["type"]}, LABELLED]
    return {"anyOf": either, "description": schema["description"]}


def make_cells(columns: Mapping[str, Schema]) -> Schema:
    """A row as an array, in the order of the columns."""
    cells = [{key: part for key, part in schema.items() if key != "description"}
             for schema in columns.values()]  # fmt: skip
    return {"type": "array", "prefixItems": cells, "minItems": len(cells), "items": False}


def describe_shapes(page: Schema, row: Schema, *, has_keys: bool) -> Schema:
    """What `_shape` makes of an answer; rows by their key are for what has keys."""
    shapes = [page, make_list(row), make_list({"anyOf": [CELL, LABELLED]})]
    if has_keys:
        shapes.append({"type": "object", "additionalProperties": row})
    return {"anyOf": shapes}


def describe_table_page(rows: Sequence[Schema], terms: Iterable[str]) -> Schema:
    """A page of a table: `rows` are the forms a row may have."""
    return make_object(
        {
            "database": TEXT,
            "table": TEXT,
            "is_view": YES_OR_NO,
            "human_description_en": TEXT | {"description": "The filters and the order in words."},
            "rows": {"anyOf": [make_list(row) for row in rows]},
            "truncated": YES_OR_NO,
            "filtered_table_rows_count": MAYBE_NUMBER
            | {"description": "Rows on all pages; null where they took too long to count."},
            "expanded_columns": NAMES | {"description": "Columns with labels."},
            "expandable_columns": make_list(ANY_LIST),
            "columns": NAMES,
            "primary_keys": NAMES,
            "units": ANY_OBJECT,
            "query": make_object({"sql": TEXT, "params": ANY_OBJECT}),
            "facet_results": {"type": "object", "additionalProperties": refer_to("Facet")},
            "suggested_facets": ANY_LIST,
            "next": MAYBE_TEXT | {"description": "For _next; null on the last page."},
            "next_url": MAYBE_TEXT | {"description": "The next page; null on the last."},
            "private": YES_OR_NO,
            "allow_execute_sql": YES_OR_NO,
            **_describe_end(terms),
        }
    )


def describe_row_page(rows: Sequence[Schema], terms: Iterable[str]) -> Schema:
    """One row by its key."""
    return make_object(
        {
            "database": TEXT,
            "table": TEXT,
            "rows": {"anyOf": [make_list(row) for row in rows]},
            "columns": NAMES,
            "primary_keys": NAMES,
            "primary_key_values": NAMES,
            "units": ANY_OBJECT,
            **_describe_end(terms),
        }
    )


def describe_query_page(rows: Sequence[Schema], terms: Iterable[str]) -> Schema:
    """The result of a query."""
    return make_object(
        {
            "ok": YES_OR_NO,
            "database": TEXT,
            "query_name": MAYBE_TEXT,
            "rows": {"anyOf": [make_list(row) for row in rows]},
            "truncated": YES_OR_NO | {"description": "Whether there are more rows than these."},
            "columns": NAMES,
            "query": make_object({"sql": TEXT, "params": ANY_OBJECT}),
            "error": MAYBE_TEXT,
            "private": YES_OR_NO,
            "allow_execute_sql": YES_OR_NO,
            **_describe_end(terms),
        }
    )


def describe_database(terms: Iterable[str]) -> Schema:
    """The tables and queries."""
    table = make_object(
        {
            "name": TEXT,
            "columns": NAMES,
            "primary_keys": NAMES,
            "count": MAYBE_NUMBER,
            "hidden": YES_OR_NO,
            "fts_table": MAYBE_TEXT,
            "foreign_keys": make_object({"incoming": ANY_LIST, "outgoing": ANY_LIST}),
            "private": YES_OR_NO,
        }
    )
    return make_object(
        {
            "database": TEXT,
            "private": YES_OR_NO,
            "path": TEXT,
            "size": {"type": "integer", "description": "Bytes."},
            "tables": make_list(table),
            "hidden_count": {"type": "integer"},
            "views": ANY_LIST,
            "queries": make_list(ANY_OBJECT),
            "allow_execute_sql": YES_OR_NO,
            **_describe_end(terms),
        }
    )


def _describe_end(terms: Iterable[str]) -> dict[str, Schema]:
    time = {"type": "number", "description": "Milliseconds that the answer took."}
    return {"query_ms": time, **dict.fromkeys(terms, TEXT)}


FACET = make_object(
    {
        "name": TEXT,
        "type": TEXT,
        "hideable": YES_OR_NO,
        "toggle_url": TEXT,
        "results": make_list(
            make_object(
                {
                    "value": CELL,
                    "label": CELL,
                    "count": {"type": "integer"},
                    "toggle_url": TEXT | {"description": "The page with this filter on, or off."},
                    "selected": YES_OR_NO,
                }
            )
        ),
        "truncated": YES_OR_NO,
    }
)

A_CELL = {
    "type": ["string", "number", "null"],
    "description": "What a database may hold in a row and a column.",
}

A_LABELLED_CELL = make_object({"value": CELL, "label": CELL}) | {
    "description": "A key, and the name of the row that it is the key of."
}

ERROR = make_object(
    {
        "ok": {"const": False},
        "error": TEXT | {"description": "What is wrong, in words."},
        "status": {"type": "integer", "description": "The answer's own."},
        "title": MAYBE_TEXT,
    }
)
