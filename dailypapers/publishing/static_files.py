"""Files under /static/, whose addresses change when they do, so that they may be kept."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_HASH_LENGTH = 8
_HASHED_NAME = re.compile(r"[.-][0-9a-f]{8,}\.[a-z.]{1,20}$")
_VERSIONED_NAME = re.compile(r"-\d+\.\d+\.\d+[.-]")

SHORT = "public, max-age=3600"
LONG = "public, max-age=2592000"
FOREVER = "public, max-age=31536000, immutable"


@cache
def hash_folder(folder: Path) -> Mapping[str, str]:
    """A short hash of each file by its path in the folder, read once: what changes while the
    site runs shows after it starts again."""
    return {
        path.relative_to(folder).as_posix(): _hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_LENGTH]


def choose_lifetime(path: str, version: str, current: str | None) -> str:
    """How long a static file may be kept: for ever where its address holds a hash of it.

    `version` is the address's query string, `current` what it should be, where that is known.
    A version in a name is trusted for a month only, as its package might patch the file.
    """
    if (current and version == current) or _HASHED_NAME.search(path):
        return FOREVER
    return LONG if _VERSIONED_NAME.search(path) else SHORT
