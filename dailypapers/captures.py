"""Finding the saved files and turning their bytes into text."""

import codecs
import re
from collections.abc import Iterable
from pathlib import Path

from .listing import Problem, Severity

MAX_BYTES = 100_000_000
"""A listing page has under a megabyte; a file this large is something else."""

_MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins the same way
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
MAX_LINES = 1_000_000
"""Of a text. The longest page of the sample has 782; each line takes 130 bytes besides its text."""

_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class CaptureError(Exception):
    """A file that is no text; the message says why and what to do."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def find_captures(paths: Iterable[Path]) -> list[Path]:
    """The files that the paths name, each once: a folder means the files in it.

    In a folder, README, LICENSE and hidden files are not listings. A path that does not exist
    and a folder without listings stay in the list, so that loading them says so.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in (path.is_dir() and _list_folder(path)) or [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _list_folder(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and not file.name.startswith(".")
        and file.stem.upper() not in ("README", "LICENSE")
    )


def name_capture(path: Path) -> str:
    """The file's name as text. Bytes that are no UTF-8 become "\ufffd"."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def load_capture(path: Path) -> bytes:
    """The file's bytes. Raises CaptureError where it is missing, closed or far too large."""
    if path.is_dir():
        raise CaptureError("a folder without listings; save listing pages into it")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CaptureError(
                f"{size / 1e6:,.0f} MB is too large for a listing page (at most "
                f"{MAX_BYTES / 1e6:,.0f} MB); split it, or name the page you saved"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise CaptureError("no such file; check the path") from None
    except OSError as error:
        raise CaptureError(f"cannot be read ({error.strerror}); check the file") from None


def decode_capture(content: bytes) -> tuple[str, list[Problem]]:
    """Text with \\n line ends, and a warning where it was not UTF-8.

    Byte-order marks are obeyed (editors on Windows save "Unicode" as UTF-16). Bytes that are
    no UTF-8 are read as Windows-1252, the usual other encoding of English pages.

    Raises CaptureError on empty and on binary content.
    """
    if not content.strip():
        raise CaptureError("the file is empty; save the listing page again")
    text, problems = _decode_marked(content) or _decode_unmarked(content)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text, problems


def _decode_marked(content: bytes) -> tuple[str, list[Problem]] | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(encoding, "replace").replace("\0", "\ufffd")
            if not text.strip():
                raise CaptureError("the file is empty; save the listing page again")
            problems = []
            if "\ufffd" in text:
                line = text[: text.index("\ufffd")].count("\n") + 1
                problems.append(_note_encoding(line, f"not all of it is {encoding.upper()}"))
            elif encoding != "utf-8":
                problems.append(_note_encoding(1, f"read as {encoding.upper()}"))
            return text, problems
    return None


def _decode_unmarked(content: bytes) -> tuple[str, list[Problem]]:
    control = _CONTROLS.search(content)
    if control:
        line = content.count(b"\n", 0, control.start()) + 1
        raise CaptureError(
            "binary data, not text; save the page as text, not as a picture, PDF or archive", line
        )
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        note = _note_encoding(line, "not UTF-8 here, so the file was read as Windows-1252")
        return content.decode("cp1252", "replace"), [note]


def _note_encoding(line: int, what: str) -> Problem:
    return Problem(line, Severity.WARNING, f"{what}; save the file as UTF-8 to be sure")
