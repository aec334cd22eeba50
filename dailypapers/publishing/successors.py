"""A site like another one, of the files that lie at the same paths by now."""

import asyncio
import gc
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from ..finishing import read_inspect_data
from .downloads import is_trusted
from .opened import Identity, close_files, find_identity, list_opened, open_connections

_metadata: WeakKeyDictionary[Datasette, dict[str, Any]] = WeakKeyDictionary()


class NewFileError(Exception):
    """The new file cannot be served; the message says why."""


def remember_metadata(datasette: Datasette) -> None:
    """Keep what a site was given, before Datasette writes into it while it answers."""
    _metadata[datasette] = deepcopy(datasette._metadata_local)


async def make_successor(old: Datasette, known: dict[str, Any]) -> Datasette:
    """A site that has answered already. `known` is what inspect-data.json says of its files.

    Raises NewFileError and whatever Datasette raises.
    """
    for name, file in list_opened(old).items():
        if name not in known:
            await asyncio.to_thread(check_file, file.path)
    successor = await asyncio.to_thread(copy_site, old, known)
    try:
        await successor.invoke_startup()
        await open_connections(successor)
        answer = await successor.client.get("/")
        if answer.status_code != 200:
            raise NewFileError(f"its home page gives {answer.status_code}")
    except BaseException:
        await close_site(successor)
        raise
    return successor


def check_file(path: Path) -> None:
    """Raises NewFileError where SQLite finds the file damaged, for which it reads all of it."""
    try:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = error
    if str(verdict) != "ok":
        raise NewFileError(f"{path}: {verdict}")


def copy_site(old: Datasette, known: dict[str, Any]) -> Datasette:
    """What Datasette was once given, from what it made of it: nothing but databases is read again.

    So a site does not become half of what its changed code and settings would be.
    """
    new = Datasette(
        files=[file for file in old.files if file not in old.immutables],
        immutables=[file for file in old.files if file in old.immutables],
        cache_headers=old.cache_headers,
        cors=old.cors,
        inspect_data=known,
        metadata=deepcopy(_metadata[old]),
        sqlite_extensions=old.sqlite_extensions,
        template_dir=old.template_dir,
        static_mounts=old.static_mounts,
        memory="_memory" in old.databases,
        settings=old._settings,
        secret=old._secret,
        version_note=old.version_note,
        pdb=old.pdb,
        crossdb=old.crossdb,
        nolock=old.nolock,
    )
    # Only remembered: the plugins are there, and a folder would add databases of its own.
    new.plugins_dir, new.config_dir = old.plugins_dir, old.config_dir
    return new


def read_trusted(datasette: Datasette) -> dict[str, Any]:
    """What inspect-data.json says of just the files that lie at the site's paths, by database."""
    inspect_file = (datasette.config_dir or Path()) / "inspect-data.json"
    told = read_inspect_data(inspect_file)
    return {
        name: told[name]
        for name, file in list_opened(datasette).items()
        if name in told and is_trusted(file.path, told[name], inspect_file)
    }


def find_identities(datasette: Datasette) -> list[Identity | None]:
    """What lies at the paths of the site's files now."""
    return [find_identity(file.path) for file in list_opened(datasette).values()]


def is_site_of(datasette: Datasette, found: list[Identity | None]) -> bool:
    """Whether all that the site has read is of the files that were found, still there."""
    files = list_opened(datasette).values()
    return [file.identity for file in files] == found == find_identities(datasette)


async def close_site(datasette: Datasette) -> None:
    """Give back what a site holds that serves nobody: threads, connections, files and memory."""
    await close_files(datasette)
    is_frozen = gc.get_freeze_count() > 0  # as a server may do that keeps its first site
    gc.unfreeze()
    gc.collect()
    if is_frozen:
        gc.freeze()
