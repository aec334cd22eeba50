"""What search engines are told: which pages to leave alone, and which there are."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

CHUNK = 10_000
"""Papers in one sitemap; the protocol allows 50,000 and 50 MB."""

DISALLOWED = [
    "/*?*&",  # two parameters: every page has endlessly many of them
    "/*?_",  # facets, orders, pages of a table
    "/*?paper=",  # what belongs to a paper, which the paper's own page shows
    "/*?sql=",
    "/*.json$",
    "/*.json?",
    "/*.csv$",
    "/*.csv?",
    "/*.db$",
    "/*.db.sha256$",
    "/*.ndjson",
    "/*.parquet$",
    "/-/",
    # Tables whose rows have pages of papers that show the same.
    "/daily/entries",
    "/daily/links",
    "/daily/paper_",
    "/daily/papers_flat",
    "/daily/papers_fts",
    "/daily/problems",
    "/daily/related_papers",
    "/daily/suggest",
    "/daily/words",
]
ALLOWED = ["/-/static"]
"""Longer rules win: pages must look as they do to people."""

_DISALLOWED = re.compile(
    "|".join(re.escape(rule).replace(r"\*", ".*").replace(r"\$", "$") for rule in DISALLOWED)
)

_PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


class Page(NamedTuple):
    """An absolute address and the day its page changed last, where that is known."""

    address: str
    changed: str | None = None


def write_robots(base_url: str, sitemap: str) -> str:
    """robots.txt for a site whose paths all begin with base_url. `sitemap` is absolute."""
    base = base_url.rstrip("/")
    rules = [f"Disallow: {base}{rule}" for rule in DISALLOWED]
    rules += [f"Allow: {base}{rule}" for rule in ALLOWED]
    return "\n".join(["User-agent: *", *rules, "", f"Sitemap: {sitemap}", ""])


def is_disallowed(address: str) -> bool:
    """Whether robots.txt keeps crawlers from an address: path and query, without base_url."""
    return bool(_DISALLOWED.match(address)) and not address.startswith(tuple(ALLOWED))


def count_chunks(last_number: int) -> int:
    """How many sitemaps it takes for papers numbered from 1 to this."""
    return -(-last_number // CHUNK)


def write_index(addresses: Iterable[str]) -> str:
    """The sitemap that lists sitemaps."""
    return _write("sitemapindex", "sitemap", (Page(address) for address in addresses))


def write_sitemap(pages: Iterable[Page]) -> str:
    """A sitemap of pages."""
    return _write("urlset", "url", pages)


def _write(root: str, element: str, pages: Iterable[Page]) -> str:
    body = "".join(_write_pages(element, pages))
    return f'{_PROLOGUE}<{root} xmlns="{_NAMESPACE}">\n{body}</{root}>\n'


def _write_pages(element: str, pages: Iterable[Page]) -> Iterator[str]:
    for page in pages:
        changed = f"<lastmod>{escape(page.changed)}</lastmod>" if page.changed else ""
        yield f"<{element}><loc>{escape(page.address)}</loc>{changed}</{element}>\n"
