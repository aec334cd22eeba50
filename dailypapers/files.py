"""Files that are there whole or not at all, whenever the process is killed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(target: Path, suffix: str) -> Iterator[Path]:
    """A hidden path to write a new file at; when the block ends well, it replaces `target`.

    What a killed process leaves is gone after the next one. Writers into one folder wait for each
    other. Behind a symbolic link, the file is replaced and not the link. Raises OSError.
    """
    final = target.resolve()
    part = final.with_name(f".{final.name}.{suffix}")
    final.parent.mkdir(parents=True, exist_ok=True)
    with _lock_folder(final.parent):
        part.unlink(missing_ok=True)
        try:
            yield part
            _sync(part)  # on the disk before anybody can open it under its name
            part.replace(final)
            _sync(final.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's own lock, which the system lifts even when the process is killed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    """Wait until what was written to a file, or renamed in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
