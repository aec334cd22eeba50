"""The site's own address: stated by whoever runs it, else from requests, which may lie."""

import re
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

FALLBACK_HOST = "localhost"
SEARCH = "/daily/search"

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_IN_PATHS = "/%~!$&'()*+,;=:@"


class Origin(NamedTuple):
    """What an absolute address begins with."""

    scheme: str
    host: str


def read_site_url(stated: str | None) -> Origin | None:
    """The origin of "https://papers.example.org"; None where nothing is stated.

    Raises ValueError where it is no such address. A path is not part of it: that is base_url.
    """
    if not (stated or "").strip():
        return None
    parts = urlsplit((stated or "").strip())
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise ValueError(f"not an address such as https://papers.example.org: {stated}")
    return Origin(parts.scheme, parts.netloc)


def check_host(host: str) -> str:
    """The host that a request names, where it can be one; else "localhost"."""
    return host if _HOST.fullmatch(host) else FALLBACK_HOST


def make_canonical(path: str, typed: str | None) -> str:
    """One path for all the addresses of a page, percent-encoded where it must be.

    Filters, orders and pages of a list are left out. A search keeps what was typed.
    """
    kept = f"?{urlencode({'q': typed})}" if path == SEARCH and typed and typed.strip() else ""
    return quote(path, safe=_IN_PATHS) + kept


def strip_base(path: str, base_url: str) -> str:
    """The path without Datasette's base_url, which a proxy may or may not have taken away."""
    return "/" + path[len(base_url) :] if path.startswith(base_url) else path
