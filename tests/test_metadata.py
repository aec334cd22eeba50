"""metadata.yml describes the database that is built: all of it, and nothing else."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from dailypapers.schema import TABLES

from .conftest import PROJECT

METADATA: dict[str, Any] = yaml.safe_load((PROJECT / "metadata.yml").read_text("utf-8"))
DAILY: dict[str, Any] = METADATA["databases"]["daily"]
TERMS = {"about", "source", "source_url", "license", "license_url"}


def list_columns(sample: Path) -> dict[str, list[str]]:
    """Every table of the built file but those that FTS5 and SQLite keep for themselves."""
    with closing(sqlite3.connect(sample)) as connection:
        names = [name for (name,) in connection.execute(
            "select name from pragma_table_list where type in ('table', 'virtual')"
            " and name not like 'sqlite_%'"
        )]  # fmt: skip
        return {
            name: [row[1] for row in connection.execute(f"pragma table_xinfo({name})")]
            for name in names
        }


def test_every_table_and_column_is_described(sample: Path) -> None:
    described = {name: list(table["columns"]) for name, table in DAILY["tables"].items()}
    assert described == list_columns(sample)
    for table in DAILY["tables"].values():
        assert table["title"]
        assert table["description"].strip()
        assert all(isinstance(text, str) and text.strip() for text in table["columns"].values())


def test_source_and_licence_stand_on_every_level() -> None:
    levels = [METADATA, DAILY, *DAILY["tables"].values(), *DAILY["queries"].values()]
    assert len({tuple(level[term] for term in sorted(TERMS)) for level in levels}) == 1


def test_the_schema_is_what_is_built(sample: Path) -> None:
    columns = list_columns(sample)
    assert columns.pop("papers_fts") == ["title", "abstract", "papers_fts", "rank"]
    assert columns == {name: list(table.columns) for name, table in TABLES.items()}


@pytest.mark.parametrize("query", DAILY["queries"])
def test_every_query_is_explained(query: str) -> None:
    assert DAILY["queries"][query].keys() >= {"title", "description", "sql"}


def test_the_sample_says_whose_words_it_holds() -> None:
    for text in (METADATA["description"], (PROJECT / "listings" / "README.md").read_text("utf-8")):
        words = " ".join(text.split())
        assert "huggingface.co/papers" in words
        assert "CC BY 4.0" in words
        assert "own abstracts appear when you build from your own captures" in words
