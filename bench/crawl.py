"""Follow every link from the home page of a site, and say what is wrong with any answer.

    .venv/bin/python bench/crawl.py [http://127.0.0.1:8001] [--polite] [--most 20000] [--each 100]

Without a site, db/daily.db is served for the purpose. Wrong is: an error, a redirect that leads
nowhere, a header that is missing, something that pages load from elsewhere or by http. Of addresses
that differ in their values only, `--each` are read. With `--polite` those are read, all of them,
that robots.txt and the links' nofollow leave to a crawler; that they do not end is wrong, too.
Exits with 1 where anything is wrong.
"""

import argparse
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from protego import Protego

HEADERS = (
    "content-security-policy", "cross-origin-resource-policy", "permissions-policy",
    "referrer-policy", "x-content-type-options", "x-frame-options",
)  # fmt: skip
LARGE = (".db", ".parquet")
LOADED = {"img", "script", "iframe", "source", "video", "audio", "embed", "object"}
_VALUE = re.compile(r"=[^&]*")
_ROW = re.compile(r"(/daily/[^/.?]+)/[^.?]+")


class Links(HTMLParser):
    """The addresses in a page: `followed` by people, `crawled` without those that ask not to be,
    and `loaded` by the page itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.crawled: list[str] = []
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of a tag, if it has one."""
        told = {name: value for name, value in attrs if value}
        address = told.get("href") or told.get("src") or told.get("action")
        if not address:
            return
        self.followed.append(address)
        if tag == "a" and "nofollow" not in told.get("rel", ""):
            self.crawled.append(address)
        if tag in LOADED or (tag == "link" and told.get("rel") in ("stylesheet", "icon")):
            self.loaded.append(address)


def crawl(
    client: httpx.Client, most: int, each: int | None = None, rules: Protego | None = None
) -> tuple[Counter[int], list[str]]:
    """How often each status came, and what is wrong; with `rules`, of what they leave open."""
    base = str(client.base_url)
    statuses: Counter[int] = Counter()
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    seen, waiting = {"/"}, deque([("/", "")])
    while waiting and statuses.total() < most:
        path, source = waiting.popleft()
        answer = client.get(path)
        statuses[answer.status_code] += 1
        wrong += [f"{path}: {fault} (from {source})" for fault in find_faults(answer, base)]
        for link in list_links(answer, base, bool(rules)):
            kind = name_kind(link)
            is_left = (not each or kinds[kind] < each) and (not rules or rules.can_fetch(link, "*"))
            if link not in seen and is_left:
                kinds[kind] += 1
                seen.add(link)
                waiting.append((link, path))
    if rules and waiting:
        wrong.append(f"more than {most:,} addresses for crawlers, as {waiting[0][0]}")
    return statuses, wrong


def find_faults(answer: httpx.Response, base: str) -> Iterator[str]:
    """What is wrong with an answer."""
    if answer.status_code >= 400:
        yield f"status {answer.status_code}"
    yield from (f"no {name}" for name in HEADERS if name not in answer.headers)
    if is_page(answer):
        links = Links(answer.text)
        for address in links.loaded:
            url = urljoin(str(answer.url), address)
            if not address.startswith("data:") and not url.startswith(base):
                yield f"loads {address}"
        for address in links.followed:
            if urlsplit(address).scheme not in ("", "http", "https", "mailto", "data"):
                yield f"leads to {address}"


def list_links(answer: httpx.Response, base: str, is_polite: bool) -> Iterator[str]:
    """Path and query of what an answer leads to on the same site."""
    found = [answer.headers["location"]] if "location" in answer.headers else []
    if is_page(answer):
        links = Links(answer.text)
        found += links.crawled if is_polite else links.followed
    for address in found:
        url = urlsplit(urljoin(str(answer.url), address))
        if f"{url.scheme}://{url.netloc}" == base.rstrip("/") and not url.path.endswith(LARGE):
            yield url.path + (f"?{url.query}" if url.query else "")


def is_page(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/html")


def name_kind(address: str) -> str:
    """What addresses of one kind share: the names of their parameters, not the values."""
    path, _, query = address.partition("?")
    return _ROW.sub(r"\1/", path) + "?" + _VALUE.sub("", query)


@contextmanager
def find_site(named: str | None) -> Iterator[str]:
    """The address of the site that is named, or of one that is started."""
    if named:
        yield named
        return
    from serving import run_server, serve_site  # beside this file

    with run_server(serve_site(Path(__file__).parents[1])) as server:
        yield f"http://127.0.0.1:{server.port}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("site", nargs="?")
    parser.add_argument("--most", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--polite", action="store_true")
    options = parser.parse_args()
    start = time.perf_counter()
    with (
        find_site(options.site) as site,
        httpx.Client(base_url=site, timeout=30) as client,
    ):
        if options.polite:
            rules = Protego.parse(client.get("/robots.txt").text)
            statuses, wrong = crawl(client, options.most, rules=rules)
        else:
            statuses, wrong = crawl(client, options.most, options.each)
    seconds = time.perf_counter() - start
    print(f"{statuses.total():,} addresses in {seconds:.0f} s: {dict(statuses)}")
    print("\n".join(wrong) or "nothing is wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
