"""What inspect-data.json says is believed of the very file it speaks of.

Datasette believes it of any file of that name, and would then confirm answers and checksums of an
older one. A file that it does not speak of is read once, to know its hash.
"""

import asyncio
from pathlib import Path

from datasette.app import Datasette
from datasette.database import Database

from ..command import say
from .downloads import find_hash, trust_inspect_data
from .opened import OpenedFile, list_opened

LARGE = 200_000_000
"""Bytes from which on reading a file takes noticeable time."""


async def know_files(datasette: Datasette) -> None:
    """Know the hash of each file that was opened for good, before anything builds on it."""
    for name, opened in list_opened(datasette).items():
        await asyncio.to_thread(know_file, datasette, datasette.databases[name], opened)


def know_file(datasette: Datasette, db: Database, opened: OpenedFile) -> None:
    """From inspect-data.json where it can be believed, else by reading the file."""
    known = datasette.inspect_data or {}
    stated = known.get(db.name, {})
    inspect_file = (datasette.config_dir or Path()) / "inspect-data.json"
    path = opened.path
    is_believed = inspect_file.is_file() and trust_inspect_data(path, stated, inspect_file)
    if not is_believed and path.stat().st_size > LARGE:
        say(f"{inspect_file} does not speak of {path} as it is: reading it. build.py writes both.")
    opened.checksum = db.cached_hash = find_hash(path)
    if stated.get("hash") != db.cached_hash:
        # Its numbers of rows are wrong as well.
        datasette.inspect_data = {name: known[name] for name in known if name != db.name}
