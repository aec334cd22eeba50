"""What is done with a finished file: it is checked, hashed, and told to Datasette."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from .files import lock_folder, replace_file, sync
from .workers import count_processors


def check_database(path: Path, copied: Iterable[str] = ()) -> str:
    """The file's SHA-256 in hex. SQLite and hashlib let threads work at once.

    The indexes were made from the rows, so that it is enough to look at the structure of all; but
    those of the tables in `copied` came from elsewhere, and must agree with their rows. Raises
    sqlite3.DatabaseError where SQLite finds the file damaged or a reference broken.
    """
    pragmas = [*(f"integrity_check([{table}])" for table in copied), "foreign_key_check"]
    tasks = [partial(_check, path, pragma) for pragma in [*pragmas, "quick_check"]]
    pool = ThreadPoolExecutor(count_processors())
    try:
        digest = pool.submit(_hash_file, path)
        for done in [pool.submit(task) for task in [*tasks, partial(sync, path)]]:
            done.result()
        return digest.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check(path: Path, pragma: str) -> None:
    with closing(_open_readonly(path)) as connection:
        found = connection.execute(f"pragma {pragma}").fetchmany(3)
    if found not in ([], [("ok",)]):
        raise sqlite3.DatabaseError(f"the new file is damaged: {found}")


def _open_readonly(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def write_inspect_data(target: Path, inspect_file: Path, sha256: str | None = None) -> None:
    """Tell Datasette the file's hash, unless it is known already, and counts, which it would else
    work out at its start.

    `inspect_file` is the inspect-data.json beside metadata.yml; it may speak of several
    databases, and keeps what it says of others that still exist. Raises OSError.
    """
    with lock_folder(target.resolve().parent):  # no other build replaces what is counted here
        known = {
            name: data
            for name, data in read_inspect_data(inspect_file).items()
            if name != target.stem and (inspect_file.parent / data["file"]).exists()
        }
        known[target.stem] = {
            "hash": sha256 or _hash_file(target),
            "size": target.stat().st_size,
            "file": os.path.relpath(target, inspect_file.parent),
            "tables": {name: {"count": count} for name, count in _count_rows(target).items()},
        }
        _write_inspect_file(inspect_file, known)


def forget_inspect_data(target: Path, inspect_file: Path) -> None:
    """Drop what is said of `target`, before it changes: no counts are better than old ones."""
    known = read_inspect_data(inspect_file)
    if known.pop(target.stem, None):
        _write_inspect_file(inspect_file, known)


def read_inspect_data(inspect_file: Path) -> dict[str, Mapping[str, Any]]:
    """What inspect-data.json says, by database name; nothing where it is missing or damaged."""
    try:
        known = json.loads(inspect_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in known.items() if "file" in value}


def _write_inspect_file(path: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    with replace_file(path, "building") as part:
        part.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_rows(path: Path) -> dict[str, int]:
    with closing(_open_readonly(path)) as connection:
        db = Database(connection)
        return {name: db.table(name).count for name in db.table_names()}
