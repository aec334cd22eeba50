"""The database to take home, its checksum, and the Parquet files that build.py wrote beside it.

Datasette's own download states no length and sends no part of a file, to go on where one broke
off. Templates get `list_downloads()`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import add_cors_headers, tilde_decode
from datasette.utils.asgi import Forbidden, NotFound, Request, Response

from dailypapers.parquet import find_parquet_folder
from dailypapers.publishing.downloads import (
    answer_file,
    describe_files,
    find_hash,
    list_parquet,
    read_part,
    trust_inspect_data,
)
from dailypapers.publishing.streaming import Stream


@hookimpl
async def startup(datasette: Datasette) -> None:
    """Know the checksums before the first visitor asks."""
    for db in datasette.databases.values():
        if is_offered(datasette, db):
            await asyncio.to_thread(know_hash, datasette, db)


def know_hash(datasette: Datasette, db: Database) -> None:
    """From inspect-data.json where it can be trusted, else by reading the file."""
    known = (datasette.inspect_data or {}).get(db.name)
    inspect_file = (datasette.config_dir or Path()) / "inspect-data.json"
    if known and inspect_file.is_file():
        trust_inspect_data(Path(db.path), known, inspect_file)
    find_hash(Path(db.path))


def is_offered(datasette: Datasette, db: Database) -> bool:
    """Whether there is a file that will not change while it is sent."""
    has_file = bool(db.path) and not db.is_memory and not db.is_mutable
    return has_file and bool(datasette.setting("allow_download"))


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """The addresses of the files."""
    return [
        (r"^/(?P<database>[^/.]+)\.db$", send_database),
        (r"^/(?P<database>[^/.]+)\.db\.sha256$", send_checksum),
        (r"^/(?P<database>[^/.]+)/(?P<table>[^/.]+)\.parquet$", send_parquet),
    ]


async def send_database(datasette: Datasette, request: Request) -> Response | Stream:
    """The file as it lies on the disk."""
    path = await find_file(datasette, request)
    checksum = await asyncio.to_thread(find_hash, path)
    return send_file(datasette, request, path, checksum)


async def send_checksum(datasette: Datasette, request: Request) -> Response:
    """A line for `sha256sum -c`."""
    path = await find_file(datasette, request)
    checksum = await asyncio.to_thread(find_hash, path)
    return Response.text(f"{checksum}  {path.name}\n", headers=make_headers(datasette))


async def send_parquet(datasette: Datasette, request: Request) -> Response | Stream:
    """A table, if build.py wrote it of just this database."""
    database = await find_file(datasette, request)
    checksums = await asyncio.to_thread(list_parquet, database)
    name = f"{request.url_vars['table']}.parquet"
    if name not in checksums:
        raise NotFound("There is no such Parquet file")
    return send_file(datasette, request, find_parquet_folder(database) / name, checksums[name])


async def find_file(datasette: Datasette, request: Request) -> Path:
    """The database that is asked for, if this visitor may download it."""
    try:
        db = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        raise NotFound("Database not found") from None
    actions = [("view-database-download", db.name), ("view-database", db.name), "view-instance"]
    await datasette.ensure_permissions(request.actor, actions)
    if not is_offered(datasette, db):
        raise Forbidden("Database download is forbidden")
    return Path(db.path)


def send_file(
    datasette: Datasette, request: Request, path: Path, checksum: str
) -> Response | Stream:
    """A file, or what the visitor needs of it."""
    headers = make_headers(datasette)
    if request.method not in ("GET", "HEAD"):
        status = 200 if request.method == "OPTIONS" else 405
        return Response.text("Only GET and HEAD", status=status, headers=headers)
    answer = answer_file(path, checksum, request.headers)
    chunks = read_part(path, answer.part) if answer.part and request.method == "GET" else None
    return Stream(request.receive, chunks, headers | answer.headers, answer.status)


def make_headers(datasette: Datasette) -> dict[str, str]:
    """What lets pages of other sites read the files in parts, where CORS is on."""
    headers: dict[str, str] = {}
    if datasette.cors:
        add_cors_headers(headers)
        headers["Access-Control-Allow-Headers"] = "Authorization, Range, If-Range"
        headers["Access-Control-Expose-Headers"] = "Accept-Ranges, Content-Range, ETag"
    return headers


@hookimpl
def extra_template_vars(datasette: Datasette) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Give templates `list_downloads(database="daily")`: None, or the database and the list
    `parquet`, each with name, url, size and sha256, and the database's checksum_url."""

    async def list_downloads(database: str = "daily") -> dict[str, Any] | None:
        db = datasette.get_database(database)
        if not is_offered(datasette, db):
            return None
        address = str(datasette.urls.database(db.name))
        return await asyncio.to_thread(describe_files, Path(db.path), address)

    return {"list_downloads": list_downloads}
