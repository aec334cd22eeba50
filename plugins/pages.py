"""What all templates share: queries of metadata.yml, addresses of rows, and filters that write
dates and numbers as people do."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request
from jinja2 import Environment

from dailypapers.publishing import wording
from dailypapers.publishing.article import describe_paper
from dailypapers.results import MAX_PAGE, PAGE_SIZE

Row = dict[str, Any]


@hookimpl
def prepare_jinja2_environment(env: Environment) -> None:
    """`|day`, `|month`, `|number`, `|count_of("author")`, `|shorten(300)`, `|read_json`, and
    `|page_number`; of a search, `page_size` and `last_page`."""
    env.filters |= {
        "day": wording.say_day,
        "month": wording.say_month,
        "number": wording.say_number,
        "count_of": wording.say_count,
        "shorten": wording.shorten,
        "category_title": wording.say_category,
        "format_name": wording.say_format,
        "read_json": json.loads,
        "page_number": read_page_number,
    }
    env.globals |= {"page_size": PAGE_SIZE, "last_page": MAX_PAGE}


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Any]]:
    """Give templates `run_query(name, parameter=value, …)`, the rows as dicts; `row_url(table,
    id)`; `list_arguments(request, without, …)` for hidden fields; `describe_paper(…)` as JSON-LD;
    and `terms()`, the metadata with source and licence."""

    async def run_query(name: str, **parameters: object) -> list[Row]:
        query = await datasette.get_canned_query("daily", name, None)
        results = await datasette.get_database("daily").execute(query["sql"], parameters)
        return [dict(row) for row in results]

    def row_url(table: str, key: object) -> str:
        return str(datasette.urls.row("daily", table, tilde_encode(str(key))))

    return {
        "run_query": run_query,
        "row_url": row_url,
        "list_arguments": list_arguments,
        "describe_paper": describe_paper,
        "terms": datasette.metadata,
    }


def read_page_number(typed: str | None) -> int:
    """The page of a search that was asked for, as search_papers() reads it."""
    number = (typed or "").strip()
    asked = int(number) if number.isdecimal() and len(number) < 9 else 1
    return max(1, min(asked, MAX_PAGE))


def list_arguments(request: Request, *without: str) -> list[tuple[str, str]]:
    """The parameters of an address in order, but for those of some names."""
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    return [(name, value) for name, value in pairs if name not in without]
