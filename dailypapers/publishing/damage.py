"""Is a database file whole? Asked before anything is served of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

MAX_CHECKED = 50_000_000
"""Bytes of a file that is gone through page by page, in well under a second; of larger ones the
length and the schema must do, so that a site starts as quickly whatever its size."""

_HEADER = 100
_MAGIC = b"SQLite format 3\0"


def find_damage(path: Path) -> str | None:
    """What is wrong with a file that nobody writes to, as "is empty"; None where nothing is seen.

    Raises OSError.
    """
    size = path.stat().st_size
    if not size:
        return "is empty"
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header.startswith(_MAGIC):
        return "is not a SQLite database"
    whole = read_length(header)
    if size < whole:
        return f"is cut off after {size:,} of {whole:,} bytes"
    return _ask_sqlite(path, "pragma quick_check(1)" if size <= MAX_CHECKED else None)


def read_length(header: bytes) -> int:
    """How many bytes a file says it has; where it does not say, at least its header."""
    if header[24:28] != header[92:96]:  # written by a program that does not keep the length
        return _HEADER
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    return max(_HEADER, (65_536 if page == 1 else page) * pages)


def _ask_sqlite(path: Path, check: str | None) -> str | None:
    uri = f"{path.resolve().as_uri()}?immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("select name from sqlite_master").fetchall()
            verdict = connection.execute(check).fetchone()[0] if check else "ok"
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    return None if verdict == "ok" else f"is damaged ({' '.join(verdict.split())[:200]})"
