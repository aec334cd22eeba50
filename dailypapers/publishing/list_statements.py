"""The statements of Datasette's table page, as such that read what arrays have told already."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from ..columns import NUMBERS, TEXTS
from .lists import Order, PaperList

Statement = tuple[str, dict[str, Any]]
"""SQL and its parameters."""

_PAGE = re.compile(r"(select (?:(?! from ).)+ from papers) (?:where .* |)(order by .+ limit (\d+))",
                   re.DOTALL)  # fmt: skip
_COUNT = re.compile(r"select count\(\*\) from papers where .*", re.DOTALL)
_FACET = re.compile(
    r"\s*select (\w+) as value, count\(\*\) as count from \(\s*select .* from papers .*\)"
    r"\s*where \1 is not null\s*group by \1 order by count desc, value limit (\d+)\s*",
    re.DOTALL,
)


_WALKED = (Order("published", descending=True), Order("title"), Order("title", descending=True))
"""Orders of all papers whose first ones SQLite has at once: few papers share a value there."""


def replace_statement(papers: PaperList, sql: str) -> Callable[[], Statement] | None:
    """What makes a statement with the same result for one of Datasette's table page; None for
    others, and for what SQLite finds as quickly."""
    if found := _FACET.fullmatch(sql):
        known = found[1] in NUMBERS + TEXTS
        return partial(_count_values, papers, found[1], int(found[2])) if known else None
    if not papers.conditions and papers.after is None and papers.order in _WALKED:
        return None
    if _COUNT.fullmatch(sql):
        return partial(_count_papers, papers)
    if found := _PAGE.fullmatch(sql):
        return partial(_list_page, papers, *found.groups())
    return None


def _count_values(papers: PaperList, column: str, limit: int) -> Statement:
    sql = """
        select json_extract(value, '$[0]') as value, json_extract(value, '$[1]') as count
        from json_each(:papers_counted) order by key
    """
    return sql, {"papers_counted": json.dumps(papers.count_values(column, limit))}


def _count_papers(papers: PaperList) -> Statement:
    return "select :papers_found", {"papers_found": papers.count()}


def _list_page(papers: PaperList, selected: str, order: str, limit: str) -> Statement:
    within = "where number in (select value from json_each(:papers_listed))"
    numbers = papers.list_first(int(limit))
    return f"{selected} {within} {order}", {"papers_listed": json.dumps(numbers)}
