"""Files that are there whole or not at all, whenever the process is killed."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[tuple[int, Path]] = set()
"""By thread, the folders whose lock this process holds."""


def _wait_silently() -> None:
    """Most files are written within the blink of an eye."""


@contextmanager
def replace_file(target: Path, suffix: str) -> Iterator[Path]:
    """A hidden path to write a new file at; when the block ends well, it replaces `target`.

    What a killed process leaves is gone after the next one. Writers into one folder wait for each
    other. Behind a symbolic link, the file is replaced and not the link. Raises OSError.
    """
    final = target.resolve()
    part = final.with_name(f".{final.name}.{suffix}")
    final.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(final.parent):
        part.unlink(missing_ok=True)
        try:
            yield part
            sync(part)  # on the disk before anybody can open it under its name
            part.replace(final)
            sync(final.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Path, notice: Callable[[], None] = _wait_silently) -> Iterator[None]:
    """Hold the folder's own lock, which the system lifts even when the process is killed.

    Who has to wait for it calls `notice` first; who holds it may ask for it again. Raises OSError.
    """
    holder = (threading.get_ident(), folder.resolve())
    if holder in _held:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _wait_turn(handle, notice)
        _held.add(holder)
        yield
    finally:
        _held.discard(holder)
        os.close(handle)


def _wait_turn(handle: int, notice: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        notice()
        fcntl.flock(handle, fcntl.LOCK_EX)


def sync(path: Path) -> None:
    """Wait until what was written to a file, or renamed in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
