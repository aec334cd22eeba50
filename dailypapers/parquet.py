"""The tables as Parquet files beside the database, for programs that read columns.

Needs pyarrow, which is installed only where it is wanted.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import lock_folder, replace_file
from .schema import TABLES, Table

if TYPE_CHECKING:
    import pyarrow

LEFT_OUT = frozenset({"paper_arrays", "words"})
"""Tables that serve the site alone."""

CHECKSUMS = "SHA256SUMS"
"""The file that says which Parquet files there are, and of which database they were made."""

_BATCH = 10_000
"""Rows that are held at once and stand in one group of a file."""

_DAYS = frozenset({"published", "first_listed", "last_listed", "listed_on"})


def is_parquet_possible() -> bool:
    """Whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def find_parquet_folder(database: Path) -> Path:
    """Where the files of a database lie: those of db/daily.db in db/parquet/daily/."""
    return database.parent / "parquet" / database.stem


def write_parquet(database: Path) -> list[Path]:
    """Write a file for each table of a finished database. Raises OSError and sqlite3.Error.

    They count from the moment the checksums are written, which is last: until then, and when the
    database changes, read_checksums gives none. Builds into the database's folder wait meanwhile.
    """
    folder = find_parquet_folder(database)
    with lock_folder(database.resolve().parent):  # all of one database: no build replaces it now
        (folder / CHECKSUMS).unlink(missing_ok=True)
        paths = _write_tables(database, folder)
        with replace_file(folder / CHECKSUMS, "building") as part:
            named = {_name_database(database): database, **{path.name: path for path in paths}}
            part.write_text("".join(f"{hash_file(path)}  {name}\n" for name, path in named.items()))
    return paths


def _write_tables(database: Path, folder: Path) -> list[Path]:
    paths = []
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        for name, table in TABLES.items():
            if name not in LEFT_OUT:
                path = folder / f"{name}.parquet"
                with replace_file(path, "building") as part:
                    _write_table(connection, name, table, part)
                paths.append(path)
    return paths


def _name_database(database: Path) -> str:
    """As the checksums call it, so that `sha256sum -c` finds it."""
    return f"../../{database.name}"


def read_checksums(database: Path, database_hash: str) -> dict[str, str]:
    """The SHA-256 of each Parquet file, by its name, if they were made of just this database."""
    folder = find_parquet_folder(database)
    try:
        lines = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    hashes = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if hashes.pop(_name_database(database), None) != database_hash:
        return {}
    return {name: digest for name, digest in hashes.items() if (folder / name).is_file()}


def hash_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_table(connection: sqlite3.Connection, name: str, table: Table, path: Path) -> None:
    from pyarrow import array, record_batch
    from pyarrow.parquet import ParquetWriter

    schema = _make_schema(name, table)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _read_batches(connection, name, table):
            columns = zip(table.columns, zip(*rows, strict=True), schema, strict=True)
            arrays = [array(_convert(name, column, values), field.type)
                      for column, values, field in columns]  # fmt: skip
            writer.write_batch(record_batch(arrays, schema=schema))


def _read_batches(
    connection: sqlite3.Connection, name: str, table: Table
) -> Iterator[list[tuple[Any, ...]]]:
    cursor = connection.execute(f"select {', '.join(table.columns)} from {name}")  # noqa: S608
    while rows := cursor.fetchmany(_BATCH):
        yield rows


def _make_schema(name: str, table: Table) -> "pyarrow.Schema":
    import pyarrow

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    days, texts = pyarrow.date32(), pyarrow.list_(pyarrow.string())
    required = {*table.required, *table.key}
    return pyarrow.schema(
        pyarrow.field(
            column,
            days if column in _DAYS else texts if _is_list(name, column) else types[kind],
            nullable=column not in required,
        )
        for column, kind in table.columns.items()
    )


def _is_list(table: str, column: str) -> bool:
    """Whether it is the one column that holds JSON."""
    return (table, column) == ("papers", "tags")


def _convert(table: str, column: str, values: Sequence[Any]) -> Sequence[Any]:
    """What SQLite holds, as what Parquet has types for."""
    if column in _DAYS:
        return [value and date.fromisoformat(value) for value in values]
    return [json.loads(value) for value in values] if _is_list(table, column) else values
