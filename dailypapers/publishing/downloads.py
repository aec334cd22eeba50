"""Files to take home: their checksums, and parts of them for who goes on where it broke off."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..parquet import find_parquet_folder, hash_file, read_checksums

TYPES = {".db": "application/octet-stream", ".parquet": "application/vnd.apache.parquet"}
"""Which files there are."""

CHUNK = 256 * 1024
"""Bytes that are read and sent at once."""

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_hashes: dict[tuple[Path, int, int], str] = {}
"""By path, size and time of change, so that a file that was replaced is read again."""


class Part(NamedTuple):
    """The bytes of a file from `start` up to `end`, which is not one of them."""

    start: int
    end: int


class FileAnswer(NamedTuple):
    """How a request for a file is answered; `part` is None where nothing of it is sent."""

    status: int
    headers: dict[str, str]
    part: Part | None = None


class RangeError(Exception):
    """What was asked for lies behind the end of the file."""


def find_hash(path: Path) -> str:
    """A file's SHA-256, for which the file is read once. Raises OSError."""
    key = _identify(path)
    if key not in _hashes:
        _hashes[key] = hash_file(path)
    return _hashes[key]


def trust_inspect_data(path: Path, known: Mapping[str, object], inspect_file: Path) -> bool:
    """Take over the hash that inspect-data.json states, to spare reading gigabytes, if it can be.

    `known` is what it says of a database of this name.
    """
    trusted = is_trusted(path, known, inspect_file)
    if trusted:
        _hashes.setdefault(_identify(path), str(known["hash"]))
    return trusted


def is_trusted(path: Path, known: Mapping[str, object], inspect_file: Path) -> bool:
    """Whether that is about this file: it may be another one, or may have changed since."""
    stated = (inspect_file.parent / str(known.get("file"))).resolve()
    is_meant = stated == path.resolve() and known.get("size") == path.stat().st_size
    return is_meant and inspect_file.stat().st_mtime_ns >= path.stat().st_mtime_ns


def _identify(path: Path) -> tuple[Path, int, int]:
    facts = path.stat()
    return path.resolve(), facts.st_size, facts.st_mtime_ns


def describe_files(database: Path, size: int, checksum: str, address: str) -> dict[str, Any]:
    """What pages say of a database and its Parquet files; `address` is that of its page."""
    folder = find_parquet_folder(database)
    return {
        "name": database.name,
        "url": f"{address}.db",
        "size": size,
        "sha256": checksum,
        "checksum_url": f"{address}.db.sha256",
        "parquet": [
            {
                "name": name,
                "url": f"{address}/{name}",
                "size": (folder / name).stat().st_size,
                "sha256": checksum,
            }
            for name, checksum in read_checksums(database, checksum).items()
        ],
    }


def answer_file(name: str, size: int, checksum: str, asked: Mapping[str, str]) -> FileAnswer:
    """The whole file, the part that the headers `asked` for, or that the visitor has it."""
    etag = f'"{checksum}"'
    headers = {"etag": etag, "accept-ranges": "bytes"}
    if etag in asked.get("if-none-match", ""):
        return FileAnswer(304, headers)
    is_same = asked.get("if-range", etag) == etag
    try:
        part = read_range(asked.get("range", ""), size) if is_same else None
    except RangeError:
        return FileAnswer(416, {**headers, "content-range": f"bytes */{size}"})
    if part:
        headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    sent = part or Part(0, size)
    headers |= {
        "content-type": TYPES.get(Path(name).suffix, TYPES[".db"]),
        "content-length": str(sent.end - sent.start),
        "content-disposition": f'attachment; filename="{name}"',
    }
    return FileAnswer(206 if part else 200, headers, sent)


def read_range(header: str, size: int) -> Part | None:
    """The part that a Range header asks for; None where it does not ask for just one.

    Raises RangeError where the file has no byte of it.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match[1] == match[2] == "":
        return None
    if not match[1]:
        part = Part(max(0, size - int(match[2])), size)
    else:
        part = Part(int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)
        if match[2] and int(match[2]) < part.start:
            return None
    if part.start >= part.end:
        raise RangeError
    return part


async def read_part(open_file: Callable[[], BinaryIO], part: Part) -> AsyncGenerator[bytes]:
    """The bytes in chunks. Raises EOFError where the file turns out to be shorter."""
    with open_file() as file:
        position = part.start
        while position < part.end:
            length = min(CHUNK, part.end - position)
            chunk = await asyncio.to_thread(os.pread, file.fileno(), length, position)
            if not chunk:
                raise EOFError(f"{file.name} became shorter while it was sent")
            position += len(chunk)
            yield chunk
