"""How pages travel: compression, tags and caches, static files, addresses, crawlers, the feed."""

import csv
import hashlib
import io
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from datasette.app import Datasette
from datasette.utils import StartupError
from datasette.utils.asgi import Request
from hypothesis import given
from hypothesis import strategies as st

from dailypapers.finishing import write_inspect_data
from dailypapers.publishing.addresses import check_host, make_canonical, read_site_url, strip_base
from dailypapers.publishing.caching import Visit, hash_files, make_tag, mark_answer
from dailypapers.publishing.crawlers import ALLOWED, CHUNK, DISALLOWED
from dailypapers.publishing.static_files import choose_lifetime, hash_folder

from .conftest import PROJECT

ATOM = {"": "http://www.w3.org/2005/Atom"}
SITEMAP = {"": "http://www.sitemaps.org/schemas/sitemap/0.9"}
PAGE_LIFETIME = "public, max-age=60, stale-while-revalidate=600"
FOREVER = "public, max-age=31536000, immutable"
PAPER = "skill-targeted-adaptive-training"

PAGES = [
    "/",
    "/daily",
    "/daily/papers",
    "/daily/papers?year=2024&_sort=comments",
    "/daily/papers.json?_size=2",
    "/daily/papers.csv?_size=2",
    f"/daily/papers/{PAPER}",
    f"/daily/papers/{PAPER}.json",
    "/daily/tags/distillation",
    "/daily/organizations/nvidia",
    "/daily/search?q=lora",
    "/daily/search.json?q=lora&_shape=array",
    "/daily/feed.atom",
    "/robots.txt",
    "/sitemap.xml",
    "/sitemap-site.xml",
    "/sitemap-papers-1.xml",
]

Open = Callable[..., Datasette]


@pytest.fixture
def open_site(sample: Path) -> Open:
    """The project with other settings, or with another file."""

    def make(file: Path = sample, mutable: bool = False, **settings: Any) -> Datasette:
        files = {"files": [str(file)]} if mutable else {"immutables": [str(file)]}
        return Datasette(**files, config_dir=PROJECT, settings=settings, inspect_data={"_": {}})

    return make


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, whatever would run a page fails."""

    async def fail(*arguments: object) -> None:
        raise AssertionError("a page was run")

    return lambda: monkeypatch.setattr("datasette.app.DatasetteRouter.__call__", fail)


def visit(path: str = "/", query: str = "", **headers: str) -> Visit:
    sent = [
        (name.replace("_", "-").encode(), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]
    return Visit("GET", "http", path, query, sent)


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("path", PAGES)
async def test_whoever_comes_back_is_told_that_nothing_changed(
    site: Datasette, no_pages: Callable[[], None], path: str, method: str
) -> None:
    first = await site.client.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == PAGE_LIFETIME
    assert first.headers["etag"].startswith('W/"')
    no_pages()
    again = await getattr(site.client, method)(
        path, headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == PAGE_LIFETIME
    assert read_vary(again) == {"cookie", "authorization", "accept-encoding"} >= read_vary(first)


def read_vary(answer: Any) -> set[str]:
    return {name.strip().lower() for name in answer.headers["vary"].split(",")}


async def test_no_two_addresses_share_a_tag(site: Datasette) -> None:
    tags = [(await site.client.get(path)).headers["etag"] for path in PAGES]
    assert len(set(tags)) == len(PAGES)
    other = await site.client.get("/daily/papers", headers={"If-None-Match": ", ".join(tags)})
    assert other.status_code == 304
    tags.remove(other.headers["etag"])
    other = await site.client.get("/daily/papers", headers={"If-None-Match": ", ".join(tags)})
    assert other.status_code == 200


@pytest.mark.parametrize("form", ["W/{}", "{}", '"a", W/{}, "b"', '"a",{},"b"', ' "a,b" , {} '])
async def test_tags_are_found_in_lists_with_and_without_w(site: Datasette, form: str) -> None:
    tag = (await site.client.get("/daily/tags.json")).headers["etag"].removeprefix("W/")
    sent = {"If-None-Match": form.format(tag)}
    assert (await site.client.get("/daily/tags.json", headers=sent)).status_code == 304


@pytest.mark.parametrize(
    "sent", ["*", '"*"', "", '""', '"', "W/", 'W/"', "\0", '"' * 5_000, "é", "x" * 9_000, "tag"]
)
async def test_what_names_no_answer_gets_the_page(site: Datasette, sent: str) -> None:
    header = {"If-None-Match": sent.encode("latin-1")}
    assert (await site.client.get("/daily/tags.json", headers=header)).status_code == 200
    missing = await site.client.get("/daily/nothing.json", headers=header)
    assert missing.status_code == 404


@given(st.text(st.characters(codec="latin-1")))
def test_nobody_holds_a_tag_by_chance(sent: str) -> None:
    assert not visit(if_none_match=sent).holds('W/"0123456789abcdef"')


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.json",
        "/daily/papers/nothing.json",
        "/daily.json?sql=nonsense",
        "/daily/papers.json?_sort=x",
    ],
)
async def test_errors_are_not_kept(site: Datasette, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code >= 400
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/-/versions.json",
        "/-/actor.json",
        "/daily.json?sql=select+random()",
        "/daily.json?%73ql=select+random()",
        "/daily/papers.csv?_stream=on",
    ],
)
async def test_what_may_change_by_itself_has_no_tag(site: Datasette, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 200
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == (PAGE_LIFETIME if "ql=select" in path else "no-store")


@pytest.mark.parametrize("header", [{"Cookie": "a=b"}, {"Authorization": "Bearer x"}])
async def test_those_who_identify_themselves_get_answers_of_their_own(
    site: Datasette, header: dict[str, str]
) -> None:
    tag = (await site.client.get("/daily/tags.json")).headers["etag"]
    answer = await site.client.get("/daily/tags.json", headers={"If-None-Match": tag, **header})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    assert "etag" not in answer.headers


async def test_downloads_keep_the_tag_that_datasette_gives(site: Datasette) -> None:
    answer = await site.client.get("/daily.db")
    assert answer.headers["etag"] == f'"{site.get_database("daily").hash}"'
    again = await site.client.get("/daily.db", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_site_that_may_change_has_no_tags(open_site: Open, sample: Path) -> None:
    ds = open_site(mutable=True)
    await ds.invoke_startup()
    assert "etag" not in (await ds.client.get("/daily/tags.json")).headers


async def test_tags_change_with_the_database_and_the_settings(
    open_site: Open, sample: Path, tmp_path: Path
) -> None:
    other = tmp_path / "daily.db"
    shutil.copy(sample, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("update tags set name = name || '!' where id = 'distillation'")
    sites = [open_site(), open_site(), open_site(other), open_site(default_page_size=7)]
    tags = []
    for ds in sites:
        await ds.invoke_startup()
        tags.append((await ds.client.get("/daily/tags.json")).headers["etag"])
    assert tags[0] == tags[1]
    assert len(set(tags)) == 3


async def test_what_inspect_data_says_of_an_older_file_is_not_believed(
    sample: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for path in PROJECT.iterdir():
        if path.name in ("metadata.yml", "plugins", "settings.json", "templates"):
            (folder / path.name).symlink_to(path)
    path, inspect_file = folder / "daily.db", folder / "inspect-data.json"
    shutil.copy(sample, path)
    write_inspect_data(path, inspect_file)
    tags = set()
    for older in (False, True):
        if older:  # of the same size, and copied over the other one
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("delete from papers where number = 436")
            os.utime(inspect_file, ns=(0, 0))
        ds = Datasette(immutables=[str(path)], config_dir=folder)
        await ds.invoke_startup()
        db = ds.get_database("daily")
        assert db.hash == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (await db.table_counts())["papers"] == 436 - older
        tags.add((await ds.client.get("/daily/tags.json")).headers["etag"])
        checksum = (await ds.client.get("/daily.db.sha256")).text
        assert checksum.startswith(db.hash)
    assert len(tags) == 2


def test_tags_change_with_the_day_and_every_part_of_the_address() -> None:
    visits = [
        visit(),
        visit("/a"),
        visit("/a", "b"),
        visit("/", host="a"),
        Visit("GET", "https", "/", "", []),
    ]
    tags = {make_tag(state, day, each) for state in "ab" for day in (1, 2) for each in visits}
    assert len(tags) == 4 * len(visits)
    assert make_tag("a", 1, visit(cookie="x")) == make_tag("a", 1, visit())


def test_the_state_changes_with_each_file_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "folder" / "__pycache__").mkdir(parents=True)
    seen = {hash_files(tmp_path, ["folder", "file", "missing"])}
    for name, text in [("folder/a", "1"), ("folder/a", "2"), ("folder/b", "2"), ("file", "2")]:
        (tmp_path / name).write_text(text)
        seen.add(hash_files(tmp_path, ["folder", "file", "missing"]))
    assert len(seen) == 5
    (tmp_path / "folder" / "__pycache__" / "a.pyc").write_text("")
    (tmp_path / "unnamed").write_text("")
    assert hash_files(tmp_path, ["folder", "file", "missing"]) in seen


@pytest.mark.parametrize(
    ("status", "stated", "expected"),
    [
        (200, {}, {"cache-control": "life", "etag": "tag"}),
        (200, {"cache-control": "max-age=5"},
         {"cache-control": "public, max-age=5, stale-while-revalidate=600", "etag": "tag"}),
        (200, {"cache-control": "max-age=0"}, {"cache-control": "no-cache", "etag": "tag"}),
        (200, {"cache-control": "max-age=1, x"}, {"cache-control": "max-age=1, x", "etag": "tag"}),
        (200, {"etag": "own"}, {"cache-control": "life", "etag": "own"}),
        (200, {"cache-control": "private, no-store"}, {"cache-control": "private, no-store"}),
        (200, {"set-cookie": "a=b"}, {"set-cookie": "a=b"}),
        (302, {"location": "/"}, {"location": "/"}),
        (304, {"etag": "own"}, {"etag": "own"}),
        (404, {"cache-control": "max-age=5"}, {"cache-control": "no-store"}),
        (403, {"cache-control": "private, no-store"}, {"cache-control": "private, no-store"}),
        (500, {}, {"cache-control": "no-store"}),
    ],
)  # fmt: skip
def test_what_is_kept(status: int, stated: dict[str, str], expected: dict[str, str]) -> None:
    headers = [(name.encode(), value.encode()) for name, value in stated.items()]
    marked = mark_answer(status, headers, "tag", "life")
    assert {name.decode(): value.decode() for name, value in marked} == expected
    assert len(marked) == len(expected)


@pytest.mark.parametrize("path", ["/daily/papers.json?_size=20", "/daily/papers.csv?_stream=on"])
async def test_long_answers_are_compressed_for_those_who_say_they_can(
    site: Datasette, path: str
) -> None:
    plain = await site.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    small = await site.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers.get("etag") == plain.headers.get("etag")
    assert read_vary(small) == read_vary(plain) == {"cookie", "authorization", "accept-encoding"}
    if path.endswith("_stream=on"):
        assert small.text == plain.text
        assert len(list(csv.DictReader(io.StringIO(small.text)))) == 436


async def render(site: Datasette, template: str, **values: object) -> str:
    rendered: str = await site.jinja_env.from_string(template).render_async(values)
    return rendered


async def test_a_static_file_with_its_hash_is_kept_for_ever(site: Datasette) -> None:
    address = await render(site, "{{ static_url('favicon.svg') }}")
    assert re.fullmatch(r"/static/favicon\.svg\?[0-9a-f]{8}", address)
    answer = await site.client.get(address)
    assert answer.headers["cache-control"] == FOREVER
    assert answer.headers["content-type"] == "image/svg+xml"
    for query in ("", "?", "?00000000", f"?{address[-8:]}0", f"?v={address[-8:]}"):
        answer = await site.client.get(f"/static/favicon.svg{query}")
        assert answer.headers["cache-control"] == "public, max-age=3600", query
    again = await site.client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 200  # another address
    with_cookie = {"If-None-Match": again.headers["etag"], "Cookie": "a=b"}
    again = await site.client.get(address, headers=with_cookie)
    assert (again.status_code, again.headers["cache-control"]) == (304, FOREVER)
    assert again.headers["vary"] == "Accept-Encoding"


async def test_static_files_of_packages_are_kept_by_their_names(site: Datasette) -> None:
    paths = {
        f"/-/static/app.css?{site.app_css_hash()}": FOREVER,
        "/-/static/app.css?000000": "public, max-age=3600",
        "/-/static/table.js": "public, max-age=3600",
        "/-/static/codemirror-5.57.0.min.js": "public, max-age=2592000",
    }
    for path, lifetime in paths.items():
        answer = await site.client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, lifetime), path
        assert answer.headers["etag"]
    assert choose_lifetime("/-/static-plugins/datasette_vega/main.08f5d3d8.js", "", None) == FOREVER


@pytest.mark.parametrize("name", ["missing.css", "../metadata.yml", "%2e%2e/metadata.yml", ""])
async def test_what_is_no_static_file_is_not_kept(site: Datasette, name: str) -> None:
    assert await render(site, "{{ static_url(name) }}", name=name) == f"/static/{name}"
    answer = await site.client.get(f"/static/{name}?00000000")
    assert answer.status_code in (403, 404)
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_every_static_file_has_a_hash() -> None:
    names = {path.relative_to(PROJECT / "static").as_posix()
             for path in (PROJECT / "static").rglob("*") if path.is_file()}  # fmt: skip
    assert hash_folder(PROJECT / "static").keys() == names
    assert {"favicon.svg", "site.css"} <= names


def test_the_favicon_is_a_small_drawing() -> None:
    root = ElementTree.parse(PROJECT / "static" / "favicon.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {element.tag.partition("}")[2] for element in root} == {"path"}


HOSTILE_HOSTS = [
    'evil"><script>alert(1)</script>',
    "evil.example/path",
    "user@evil.example",
    "evil.example?x",
    "evil.example#x",
    "two words",
    "x" * 256,
    "é",
    "",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
@pytest.mark.parametrize(
    "path", ["/daily/papers.json?_size=1", "/daily/feed.atom", "/sitemap.xml", "/robots.txt"]
)
async def test_a_host_that_is_none_stands_nowhere(site: Datasette, host: str, path: str) -> None:
    answer = await site.client.get(path, headers={"Host": host.encode("latin-1")})
    assert answer.status_code == 200
    found = set(re.findall(r"http://[^/\s\"<]*", answer.text)) - {"http://www.w3.org"}
    assert found - {"http://www.sitemaps.org"} == {"http://localhost"}
    assert "<script>" not in answer.text


@pytest.mark.parametrize("host", ["papers.example.org", "127.0.0.1:8001", "[::1]:8001"])
async def test_without_a_stated_address_the_one_asked_for_is_used(
    site: Datasette, host: str
) -> None:
    answer = await site.client.get("/daily/papers.json?_size=1", headers={"Host": host})
    assert answer.json()["next_url"].startswith(f"http://{host}/daily/papers.json?")
    other = await site.client.get("/daily/papers.json?_size=1")
    assert other.headers["etag"] != answer.headers["etag"]


async def test_a_stated_address_is_the_only_one(
    open_site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_URL", "https://papers.example.org/")
    ds = open_site()
    await ds.invoke_startup()
    tags = set()
    for headers in ({"Host": "evil.example"}, {}):
        answer = await ds.client.get("/robots.txt", headers=headers)
        tags.add(answer.headers["etag"])
        assert "Sitemap: https://papers.example.org/sitemap.xml\n" in answer.text
        answer = await ds.client.get("/daily/papers.json?_size=1", headers=headers)
        assert answer.json()["next_url"].startswith("https://papers.example.org/daily/")
    assert len(tags) == 1


@pytest.mark.parametrize("stated", ["papers.example.org", "ftp://a", "https://", "https://a b/"])
def test_a_site_does_not_start_with_an_address_that_is_none(
    open_site: Open, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    monkeypatch.setenv("SITE_URL", stated)
    with pytest.raises(StartupError, match="SITE_URL is not an address such as https://"):
        open_site()


def test_no_stated_address_is_none() -> None:
    assert read_site_url(None) is read_site_url("") is read_site_url(" ") is None
    assert read_site_url("http://localhost:8001") == ("http", "localhost:8001")


@given(st.text())
def test_hosts_and_paths_are_safe_whatever_is_sent(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", check_host(text))
    assert not set(make_canonical("/" + text, text)) & set('"<> \\\n\r\0?#{}')


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ("/", "/"),
        ("/daily/papers?year=2024&_sort=comments&_next=1", "/daily/papers"),
        (f"/daily/papers/{PAPER}?x=1", f"/daily/papers/{PAPER}"),
        ("/daily/search?q=two+words&page=2&tag=x", "/daily/search?q=two+words"),
        ("/daily/search?q=%22%3Cb%3E%26", "/daily/search?q=%22%3Cb%3E%26"),
        ("/daily/search?q=+", "/daily/search"),
        ("/daily/tags?q=x", "/daily/tags"),
        ('/a"b<c>', "/a%22b%3Cc%3E"),
        ("//evil.example/x", "//evil.example/x"),
    ],
)
async def test_a_page_has_one_address(site: Datasette, asked: str, canonical: str) -> None:
    values = {"request": Request.fake(asked)}
    template = "{{ canonical_url(request) }} {{ site_url(request) }}"
    told = await render(site, template, **values)
    assert told == f"http://localhost{canonical} http://localhost"


async def test_addresses_under_a_base(open_site: Open) -> None:
    ds = open_site(base_url="/papers/", force_https_urls=True)
    await ds.invoke_startup()
    template = "{{ canonical_url(request) }} {{ site_url(request) }} {{ static_url('x.css') }}"
    told = "https://localhost/papers/daily https://localhost /papers/static/x.css"
    for path in ("/papers/daily", "/daily"):  # a proxy may take the base away
        assert await render(ds, template, request=Request.fake(path)) == told
    feed = (await ds.client.get("/daily/feed.atom")).text
    assert f'<link href="https://localhost/papers/daily/papers/{PAPER}"/>' in feed
    rules = (await ds.client.get("/robots.txt")).text
    assert "Disallow: /papers/*?*&\n" in rules
    assert "Sitemap: https://localhost/papers/sitemap.xml" in rules
    address = await render(ds, "{{ static_url('favicon.svg') }}")
    answer = await ds.client.get(address.removeprefix("/papers"))  # which the client adds
    assert answer.headers["cache-control"] == FOREVER


def test_a_base_is_taken_away_once() -> None:
    assert strip_base("/papers/papers/x", "/papers/") == "/papers/x"
    assert strip_base("/daily", "/papers/") == "/daily"
    assert strip_base("/daily", "/") == "/daily"


def may_crawl(address: str) -> bool:
    """As Google reads robots.txt: * is anything, $ the end, the longest rule wins."""

    def longest(rules: list[str]) -> int:
        patterns = [re.escape(rule).replace(r"\*", ".*").replace(r"\$", "$") for rule in rules]
        matching = zip(rules, (re.match(pattern, address) for pattern in patterns), strict=True)
        return max((len(rule) for rule, match in matching if match), default=0)

    return longest(ALLOWED) >= longest(DISALLOWED)


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/daily",
        "/about",
        "/daily/papers",
        f"/daily/papers/{PAPER}",
        "/daily/papers?year=2024",
        "/daily/tags",
        "/daily/tags/distillation",
        "/daily/organizations/nvidia",
        "/daily/listings/2024-06-05",
        "/daily/search?q=lora",
        "/daily/feed.atom",
        "/static/site.css?01234567",
        "/-/static/app.css?d59929",
        "/-/static-plugins/datasette_vega/main.08f5d3d8.js",
        "/sitemap.xml",
    ],
)
def test_crawlers_may_read(address: str) -> None:
    assert may_crawl(address)


@pytest.mark.parametrize(
    "address",
    [
        "/daily?sql=select+1",
        "/daily/search?q=lora&page=2",
        "/daily/papers?year=2024&organization=nvidia",
        "/daily/papers?_facet=year",
        "/daily/papers?_sort=title",
        "/daily/papers?_next=1",
        "/daily/papers?_where=1",
        "/daily/papers.json",
        "/daily/papers.json?year=2024",
        "/daily/papers.csv?year=2024",
        f"/daily/papers/{PAPER}.json",
        "/daily.db",
        "/-/versions",
        "/daily/paper_tags",
        "/daily/entries/1",
        f"/daily/related_papers?paper={PAPER}",
        f"/daily/tags_of_paper?paper={PAPER}",
    ],
)
def test_crawlers_leave_alone(address: str) -> None:
    assert not may_crawl(address)


async def test_robots_txt_holds_the_rules(site: Datasette) -> None:
    answer = await site.client.get("/robots.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert lines[0] == "User-agent: *"
    assert [line.removeprefix("Disallow: ") for line in lines if "Disallow" in line] == DISALLOWED
    assert [line.removeprefix("Allow: ") for line in lines if line[:5] == "Allow"] == ALLOWED
    assert lines[-1] == "Sitemap: http://localhost/sitemap.xml"


async def list_pages(site: Datasette, path: str) -> list[tuple[str, str | None]]:
    answer = await site.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/xml")
    return [
        (entry.findtext("loc", "", SITEMAP), entry.findtext("lastmod", None, SITEMAP))
        for entry in ElementTree.fromstring(answer.text)
    ]


async def test_sitemaps_hold_every_paper_once(site: Datasette, sample: Path) -> None:
    index = [address for address, _ in await list_pages(site, "/sitemap.xml")]
    assert index == [f"http://localhost/sitemap-{name}.xml" for name in ("site", "papers-1")]
    with closing(sqlite3.connect(sample)) as connection:
        papers = dict(connection.execute("select id, last_listed from papers"))
    told = await list_pages(site, index[1].removeprefix("http://localhost"))
    assert len(told) == len(papers) == 436
    assert dict(told) == {
        f"http://localhost/daily/papers/{key}": day for key, day in papers.items()
    }
    assert None in papers.values()


async def test_pages_in_the_sitemap_of_the_site_answer(site: Datasette) -> None:
    told = [address for address, _ in await list_pages(site, "/sitemap-site.xml")]
    assert len(set(told)) == len(told)
    paths = [address.removeprefix("http://localhost") for address in told]
    assert {"/", "/daily", "/daily/papers", "/daily/tags/distillation"} <= set(paths)
    assert sum(path.startswith("/daily/organizations/") for path in paths) == 5
    assert sum(path.startswith("/daily/listings/") for path in paths) == 4
    for path in paths:
        assert (await site.client.get(path)).status_code == 200, path
        assert may_crawl(path), path


@pytest.mark.parametrize(
    "name", ["papers-0", "papers-2", "papers-01", "papers--1", "papers-9999999", "papers-x", "x"]
)
async def test_there_is_no_other_sitemap(site: Datasette, name: str) -> None:
    assert (await site.client.get(f"/sitemap-{name}.xml")).status_code == 404


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Callable[[list[tuple[str, int]]], Path]]:
    """A file with just the papers given, as (id, number)."""

    def write(papers: list[tuple[str, int]]) -> Path:
        path = tmp_path / "daily.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("create table papers (id text, number integer unique, last_listed)")
            connection.executemany("insert into papers values (?, ?, null)", papers)
        return path

    yield write


async def test_many_papers_take_many_sitemaps(
    open_site: Open, many: Callable[[list[tuple[str, int]]], Path]
) -> None:
    count = 2 * CHUNK + 5
    ds = open_site(many([(f"paper-{number}", number) for number in range(count, 0, -1)]))
    await ds.invoke_startup()
    told = []
    for chunk, size in enumerate((CHUNK, CHUNK, 5), 1):
        pages = await list_pages(ds, f"/sitemap-papers-{chunk}.xml")
        assert len(pages) == size
        told += [address.rpartition("-")[2] for address, _ in pages]
    assert told == [str(number) for number in range(1, count + 1)]
    assert len(await list_pages(ds, "/sitemap.xml")) == 4
    assert (await ds.client.get("/sitemap-papers-4.xml")).status_code == 404


async def test_sitemaps_escape_what_ids_hold(
    open_site: Open, many: Callable[[list[tuple[str, int]]], Path]
) -> None:
    ds = open_site(many([("a&b<c>/d.e?f", 1)]))
    await ds.invoke_startup()
    [(address, _)] = await list_pages(ds, "/sitemap-papers-1.xml")
    assert address == "http://localhost/daily/papers/a~26b~3Cc~3E~2Fd~2Ee~3Ff"


async def test_without_papers_there_is_no_sitemap_of_papers(
    open_site: Open, many: Callable[[list[tuple[str, int]]], Path]
) -> None:
    ds = open_site(many([]))
    await ds.invoke_startup()
    assert len(await list_pages(ds, "/sitemap.xml")) == 1
    assert (await ds.client.get("/sitemap-papers-1.xml")).status_code == 404


def read_feed(text: str) -> list[dict[str, str]]:
    """The entries of a feed that has what Atom asks for."""
    feed = ElementTree.fromstring(text)
    for element in ("id", "title", "updated"):
        assert feed.findtext(element, "", ATOM)
    return [
        {
            "link": next(link.attrib["href"] for link in entry.findall("link", ATOM)),
            "author": entry.findtext("author/name", "", ATOM),
            **{name: entry.findtext(name, "", ATOM) for name in ("id", "title", "updated")},
        }
        for entry in feed.findall("entry", ATOM)
    ]


async def test_entries_stay_the_same_when_the_site_moves(site: Datasette) -> None:
    entries, moved = [
        read_feed((await site.client.get("/daily/feed.atom", headers={"Host": host})).text)
        for host in ("a.example", "b.example")
    ]
    assert [entry["id"] for entry in entries] == [entry["id"] for entry in moved]
    assert entries[0]["link"] != moved[0]["link"]


async def test_no_parameter_sets_the_links_of_the_feed(site: Datasette) -> None:
    answer = await site.client.get("/daily/feed.atom?_site_url=https://evil.example")
    assert {entry["link"][:17] for entry in read_feed(answer.text)} == {"http://localhost/"}
