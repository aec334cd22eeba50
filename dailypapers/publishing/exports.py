"""Rows as text: CSV as programs read it and as Excel does, and JSON with a row on each line."""

import base64
import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

BOM = "\ufeff"
"""By it, Excel knows that a CSV is UTF-8."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Page:
    """Rows of a table or a query. Cells of `labelled` columns may be a dict of value and label."""

    columns: Sequence[str]
    rows: Sequence[Iterable[Any]]
    labelled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Csv:
    """CSV, with a row of names first unless `header` is off.

    `for_excel` puts a byte order mark first, and an apostrophe before text that spreadsheets
    would run as a formula. That is no longer the text itself, so it has to be asked for.
    """

    header: bool = True
    for_excel: bool = False
    content_type: str = "text/csv; charset=utf-8"

    def begin(self, page: Page) -> str:
        """The mark and the names; a labelled column is followed by one of its labels."""
        names = [
            name
            for column in page.columns
            for name in ([column, f"{column}_label"] if column in page.labelled else [column])
        ]
        mark = BOM if self.for_excel else ""
        return mark + (self._write_rows([names]) if self.header else "")

    def write(self, page: Page) -> str:
        """The rows, with CRLF at their ends. Bytes are written in Base64."""
        return self._write_rows(list(_list_cells(page, row)) for row in page.rows)

    def _write_rows(self, rows: Iterable[Sequence[Any]]) -> str:
        text = io.StringIO()
        csv.writer(text).writerows([defuse(cell) for cell in row] if self.for_excel else row
                                   for row in rows)  # fmt: skip
        return text.getvalue()


def _list_cells(page: Page, row: Iterable[Any]) -> Iterator[Any]:
    for column, cell in zip(page.columns, row, strict=True):
        if column in page.labelled:
            labelled = cell if isinstance(cell, dict) else {"value": cell, "label": None}
            yield labelled["value"]
            yield labelled["label"]
        else:
            yield base64.b64encode(cell).decode("ascii") if isinstance(cell, bytes) else cell


def defuse(cell: Any) -> Any:
    """A cell that no spreadsheet runs as a formula, as OWASP advises; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


@dataclass(frozen=True)
class JsonLines:
    """An object a line, all in ASCII, so that nothing but its end can be read as a line's end.

    Columns of `parsed` that hold JSON become the arrays or objects they are.
    """

    parsed: frozenset[str] = frozenset()
    content_type: str = "application/x-ndjson; charset=utf-8"

    def begin(self, page: Page) -> str:
        """Nothing: every line names its columns."""
        return ""

    def write(self, page: Page) -> str:
        """The rows; bytes and infinite numbers are written as Datasette's JSON has them."""
        return "".join(f"{json.dumps(self._make_object(page, row))}\n" for row in page.rows)

    def _make_object(self, page: Page, row: Iterable[Any]) -> dict[str, Any]:
        cells = zip(page.columns, row, strict=True)
        return {name: _make_plain(cell, name in self.parsed) for name, cell in cells}


def _make_plain(cell: Any, is_json: bool) -> Any:
    if isinstance(cell, bytes):
        return {"$base64": True, "encoded": base64.b64encode(cell).decode("ascii")}
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if is_json and isinstance(cell, str):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


Format = Csv | JsonLines
"""A way to write pages: `begin` stands before the first, `write` gives the rows of one."""
