"""Saved files into staged listings: of many files, on all processors."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO

from .captures import CaptureError, load_capture, name_capture
from .catalogue import StagedListing, stage_listing
from .listing import Listing, Problem, Severity
from .readers import read_listing
from .tagging import Tagger
from .workers import count_processors, work_through

MANY_BYTES = 4_000_000
"""Of files, from which on more processes pay, and records go to the disk."""

MAX_WORKERS = 4
"""Each takes some 60 MB."""


def read_file(path: Path, year: int | None) -> Listing:
    """Read one file; one that cannot be opened is a listing with the problem that says why."""
    try:
        content = load_capture(path)
    except CaptureError as error:
        problem = Problem(None, Severity.ERROR, f"not read: {error}")
        return Listing(name_capture(path), None, problems=(problem,))
    return read_listing(name_capture(path), content, year)


@contextmanager
def read_files(
    paths: Sequence[Path], year: int | None, tagger: Tagger, folder: Path
) -> Iterator[Iterator[StagedListing]]:
    """Read files; the listings come in any order.

    Records of many entries stand in files in `folder` that have no name and are gone when the block
    ends, however it does. Raises OSError, as on a full disk, and WorkerError.
    """
    if sum(map(_measure, paths)) < MANY_BYTES:
        yield (stage_listing(read_file(path, year), tagger) for path in paths)
        return
    with ExitStack() as stack:
        files = [
            stack.enter_context(tempfile.TemporaryFile(dir=_find_existing(folder)))
            for _ in range(min(count_processors(), MAX_WORKERS))
        ]
        works = [_make_work(file, year, tagger) for file in files]
        if works[1:]:
            yield stack.enter_context(closing(work_through(paths, works)))
        else:
            yield map(works[0], paths)


def _make_work(
    file: IO[bytes], year: int | None, tagger: Tagger
) -> Callable[[Path], StagedListing]:
    def work(path: Path) -> StagedListing:
        return stage_listing(read_file(path, year), tagger).move_to(file)

    return work


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _find_existing(folder: Path) -> Path:
    """The folder, or what there is of it."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())
