"""The database to take home, its checksum, and the Parquet files that build.py wrote beside it.

Datasette's own download states no length and sends no part of a file, to go on where one broke
off. Templates get `list_downloads()`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import add_cors_headers, tilde_decode
from datasette.utils.asgi import Forbidden, NotFound, Request, Response

from dailypapers.parquet import find_parquet_folder, read_checksums
from dailypapers.publishing.downloads import (
    FileAnswer,
    answer_file,
    describe_files,
    read_part,
)
from dailypapers.publishing.opened import OpenedFile, find_opened
from dailypapers.publishing.streaming import Stream


def find_offered(datasette: Datasette, db: Database) -> OpenedFile | None:
    """The database's file, where it may be sent because it will not change meanwhile."""
    return find_opened(db) if datasette.setting("allow_download") else None


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
    file = await find_file(datasette, request)
    answer = answer_file(file.path.name, file.size, file.checksum, request.headers)
    return send_file(datasette, request, answer, file.open_again)


async def send_checksum(datasette: Datasette, request: Request) -> Response:
    """A line for `sha256sum -c`."""
    file = await find_file(datasette, request)
    said = f"{file.checksum}  {file.path.name}\n"
    return Response.text(said, headers=make_headers(datasette))


async def send_parquet(datasette: Datasette, request: Request) -> Response | Stream:
    """A table, if build.py wrote it of just this database."""
    database = await find_file(datasette, request)
    checksums = read_checksums(database.path, database.checksum)
    name = f"{request.url_vars['table']}.parquet"
    if name not in checksums:
        raise NotFound("There is no such Parquet file")
    path = find_parquet_folder(database.path) / name
    answer = answer_file(name, path.stat().st_size, checksums[name], request.headers)
    return send_file(datasette, request, answer, lambda: path.open("rb"))


async def find_file(datasette: Datasette, request: Request) -> OpenedFile:
    """The database that is asked for, if this visitor may download it."""
    try:
        db = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        raise NotFound("Database not found") from None
    actions = [("view-database-download", db.name), ("view-database", db.name), "view-instance"]
    await datasette.ensure_permissions(request.actor, actions)
    offered = find_offered(datasette, db)
    if not offered:
        raise Forbidden("Database download is forbidden")
    return offered


def send_file(
    datasette: Datasette,
    request: Request,
    answer: FileAnswer,
    open_file: Callable[[], BinaryIO],
) -> Response | Stream:
    """A file, or what the visitor needs of it."""
    headers = make_headers(datasette)
    if request.method not in ("GET", "HEAD"):
        status = 200 if request.method == "OPTIONS" else 405
        return Response.text("Only GET and HEAD", status=status, headers=headers)
    part = answer.part if request.method == "GET" else None
    chunks = read_part(open_file, part) if part else None
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
        file = find_offered(datasette, db)
        if not file:
            return None
        address = str(datasette.urls.database(db.name))
        return await asyncio.to_thread(describe_files, file.path, file.size, file.checksum, address)

    return {"list_downloads": list_downloads}
