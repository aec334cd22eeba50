"""What may be kept of an answer, for how long, and when the copy that is kept will do."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

Headers = list[tuple[bytes, bytes]]

STALE = "stale-while-revalidate=600"
"""For ten minutes more, a copy may be shown at once while the next one is fetched."""

NOT_KEPT = "no-store"
"""Said of what may differ next time: some caches keep for hours what says nothing."""

_STATIC = ("/static/", "/-/static/", "/-/static-plugins/")
_READING = ("GET", "HEAD")
_CHANGING = {"sql", "_stream"}
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


@dataclass(frozen=True)
class Visit:
    """A request as far as keeping its answer goes. `path` is without base_url, the names of
    `headers` are in lower case."""

    method: str
    scheme: str
    path: str
    query_string: str
    headers: Headers

    @property
    def is_static(self) -> bool:
        """Whether it is for a file, which is the same for everybody."""
        return self.path.startswith(_STATIC)

    @property
    def is_cacheable(self) -> bool:
        """Whether the answer depends on the address and the site alone.

        Visitors' own SQL may ask for the time, and a streamed CSV can break off in the middle
        of what looks like success.
        """
        if self.is_static:
            return self.method in _READING
        signed = self.read_header(b"cookie") or self.read_header(b"authorization")
        if signed or self.method not in _READING or self.path.startswith("/-/"):
            return False
        names = {name for name, _ in parse_qsl(self.query_string, keep_blank_values=True)}
        return names.isdisjoint(_CHANGING)

    def holds(self, tag: str) -> bool:
        """Whether the visitor has the answer with this tag. `*` names no answer, so it is none."""
        return tag.removeprefix("W/") in _TAG.findall(self.read_header(b"if-none-match"))

    def read_header(self, sought: bytes) -> str:
        """All values of a header with commas between; empty where it is not sent."""
        return b",".join(value for name, value in self.headers if name == sought).decode("latin-1")


def hash_files(root: Path, names: Iterable[str]) -> str:
    """One hash of these files and of all files in these folders; what is not there is left out."""
    digest = hashlib.sha256()
    for name in names:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def make_tag(state: str, day: int, visit: Visit) -> str:
    """The ETag of an address while the site is in this state; weak, as compression changes bytes.

    No two addresses share one, so that whoever holds it has had an answer from this address. The
    day is in it so that a page which a time limit cut short is not confirmed for longer.
    """
    address = (visit.scheme, visit.read_header(b"host"), visit.path, visit.query_string)
    text = repr((state, day, address)).encode("utf-8", "backslashreplace")
    return f'W/"{hashlib.blake2b(text, digest_size=12).hexdigest()}"'


def say_lifetime(seconds: int) -> str:
    """The Cache-Control of a page that everybody may keep for so long."""
    return f"public, max-age={seconds}, {STALE}" if seconds else "no-cache"


def mark_answer(status: int, headers: Headers, tag: str | None, lifetime: str) -> Headers:
    """The headers of an answer with what may be kept of it: no error, and nothing private.

    `lifetime` is the Cache-Control where the answer states none.
    """
    stated = {name: value.decode("latin-1") for name, value in headers}
    control = stated.get(b"cache-control", "")
    if "no-store" in control or b"set-cookie" in stated:
        return headers
    if status >= 400:
        return _set_control(headers, NOT_KEPT)
    if status != 200:
        return headers
    if found := _MAX_AGE.fullmatch(control):
        headers = _set_control(headers, say_lifetime(int(found[1])))
    elif not control:
        headers = _set_control(headers, lifetime)
    if tag and b"etag" not in stated:
        headers = [*headers, (b"etag", tag.encode("ascii"))]
    return headers


def _set_control(headers: Headers, control: str) -> Headers:
    others = [(name, value) for name, value in headers if name != b"cache-control"]
    return [*others, (b"cache-control", control.encode("ascii"))]


def confirm_answer(visit: Visit, tag: str, lifetime: str) -> Headers:
    """The headers of a 304: those of the whole answer that caches go by."""
    vary = b"Accept-Encoding" if visit.is_static else b"Cookie, Authorization, Accept-Encoding"
    headers = [(b"etag", tag.encode("ascii")), (b"vary", vary)]
    return _set_control(headers, lifetime)
