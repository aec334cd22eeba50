"""The API's parameters, as OpenAPI describes them."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..schema import TABLES
from .answers import TEXT, TYPES, Schema
from .facets import MAX_VALUES, RELATIONS
from .parameters import SWITCHES
from .search_words import ORDERS

Parameters = list[Schema]

ROW_KEY = "^[A-Za-z0-9_~+-]+$"
"""A row's key in an address, tilde-encoded as Datasette has it."""

EXAMPLE_OF_SQL = "select name, papers from tags order by papers desc limit 5"

_SEARCHES = ("search", "suggest", "feed")
_OF_SEARCHES = {
    "q": "What to search for, as in the search box.",
    "tag": "A tag by its slug or its name; several with commas between them, which all must hold.",
    "org": "An organization by its slug or its name.",
    "year": "A year, as 2024, or years, as 2023-2024 or >=2024.",
    "sort": f"{', '.join(ORDERS)}; the best first without it.",
    "page": "From 1.",
}


def take(name: str, schema: Schema, description: str) -> Schema:
    """A parameter of the query string."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def take_choice(name: str, schema: Schema, description: str) -> Schema:
    """A parameter that may be blank, as a form sends it, for what comes without it."""
    return take(name, schema, description) | {"allowEmptyValue": True}


def take_switch(name: str, description: str) -> Schema:
    """A parameter that is on with any value."""
    return take(name, TEXT, f"With any value: {description}") | {"example": "on"}


def list_keys(name: str, words: Mapping[str, str]) -> Parameters:
    """The parts of a row's key, which stand in its path."""
    table = TABLES[name]
    return [
        {
            "name": key,
            "in": "path",
            "required": True,
            "description": words[key],
            "schema": {"type": "integer"}
            if table.columns[key] is int
            else TEXT | {"pattern": ROW_KEY},
        }
        for key in table.key
    ]


def list_filters(name: str, words: Mapping[str, str]) -> Parameters:
    """What limits the rows of a table."""
    filters = [
        take(column, _compare_with(kind), f"Exactly. {words[column]}")
        for column, kind in TABLES[name].columns.items()
    ]
    if name != "papers":
        return filters
    relations = [
        take(
            parameter,
            {"type": "array", "items": TEXT},
            f"The key of a row of {table}. Of several, all must hold; {MAX_VALUES} count.",
        )
        for parameter, table in RELATIONS.items()
    ]
    search = "All of these words occur, in no order of merit: the query search ranks."
    return [*filters, *relations, take("_search", TEXT, search)]


def _compare_with(kind: type) -> Schema:
    """Text may be compared with a number, and is not equal to it."""
    return TEXT if kind is str else {"type": [TYPES[kind], "string"]}


def list_orders(name: str, words: Mapping[str, Any]) -> Parameters:
    """The order of a table's rows; `words` are its metadata."""
    columns = list(words.get("sortable_columns") or TABLES[name].columns)
    usual = words.get("sort") or words.get("sort_desc")
    said = f" Without either, by {usual}." if usual else ""
    return [
        take_choice("_sort", {"enum": columns}, f"The column to sort by, upwards.{said}"),
        take_choice(
            "_sort_desc", {"enum": columns}, "The column to sort by, downwards; not with _sort."
        ),
    ]


def list_pages(page_size: int, max_rows: int) -> Parameters:
    """Which of a table's pages, and how long a page is."""
    size = {"type": "integer", "minimum": 0, "maximum": max_rows}
    return [
        take_choice(
            "_size", {"anyOf": [size, {"const": "max"}]}, f"Rows; {page_size} unless told."
        ),
        take("_next", TEXT, "Where the page begins: the next of the page before."),
    ]


def list_details(name: str) -> Parameters:
    """What else a page of a table holds."""
    names = ", ".join(TABLES[name].columns)
    columns = {"type": "array", "items": TEXT}
    return [
        take_choice("_labels", {"enum": list(SWITCHES)}, "Names beside keys."),
        take("_facet", columns, f"Columns whose values are to be counted: {names}."),
        take_switch("_nofacet", "nothing is counted by value."),
        take_switch("_nocount", "the rows on all pages are not counted."),
    ]


def choose_shape(shapes: Iterable[str]) -> Schema:
    """The form of the JSON."""
    said = (
        "array: the rows alone, as objects. objects: a page with the rows as objects. arrays, as"
        " without it: a page with the rows as arrays. object: each row under its key. arrayfirst:"
        " the first column alone."
    )
    return take("_shape", {"enum": list(shapes)}, said)


def list_file_choices(*, is_csv: bool) -> Parameters:
    """How much of a list a file holds, and for whom it is written."""
    choices = [
        take_switch("_stream", "all rows of a table, however many."),
        take_switch("_dl", "a browser saves it as a file."),
    ]
    if is_csv:
        choices += [
            take("_header", TEXT, "off: no row of names.") | {"example": "off"},
            take_switch("_bom", "CSV that Excel opens."),
        ]
    return choices


def list_query_parameters(name: str, words: Mapping[str, Any]) -> Parameters:
    """What a query of metadata.yml is asked with: `words` are its metadata."""
    examples = words.get("example") or {}
    said = _OF_SEARCHES if name in _SEARCHES else {}
    parameters = []
    for parameter in words.get("params") or ():
        value = f"The value of {parameter} in the query."
        described = take(parameter, TEXT, said.get(parameter, value))
        if parameter in examples:
            described["example"] = str(examples[parameter])
        parameters.append(described)
    return parameters


def list_sql_parameters(*, required: bool) -> Parameters:
    """A visitor's query, and the values it needs."""
    schema = TEXT | {"minLength": 1} if required else TEXT
    sql = take("sql", schema, "A select. What it names with a colon is a parameter, too.")
    values = take("values", {"type": "object"}, "Values by the names that the SQL gives them.")
    return [
        sql | {"required": required, "example": EXAMPLE_OF_SQL},
        values | {"style": "form", "explode": True},
    ]
