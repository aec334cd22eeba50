"""What hostile listings hold is text on every page, in every file and in every mail."""

import csv
import io
import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from email.headerregistry import Address
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import bibtexparser
import pytest
import rispy
from datasette.app import Datasette

from dailypapers.digests import open_database
from dailypapers.letters import Editor, Letterhead, load_templates
from dailypapers.subscribers import Subscriber

from .conftest import PROJECT, Build
from .pages import abstract, card, cards_page

MARK = "b7zz"
"""A word by which what a listing said is found again; as a tag, an attribute or a scheme it must
never be."""

PAYLOADS = [
    f"\"'><{MARK} onerror=alert(1)><script>{MARK}()</script><!--",
    f"javascript:alert('{MARK}')",
    f'data:text/html,<{MARK}> https://a.example/"onclick={MARK}>',
    f'=HYPERLINK("http://a.example","{MARK}")',
    f"{MARK} \u202egnp.exe \u2066\u200b\ufeff\u200f",
    f"{MARK} \0 \x1b[31m \x9b \ud800 \udfff",
    f"{MARK}}}, year = {{1}}}}\n@misc{{x, title={{\\input{{{MARK}}}}}\nER  - \nTY  - BOOK",
    f"]]></title></feed><{MARK}/>&{MARK};",
    f"{{{{ 7*7 }}}}{{% raise {MARK} %}}",
    f"'; drop table papers; -- {MARK}",
    f"{MARK} &lt;{MARK}&gt; &#60;{MARK}&#62; &amp;lt;{MARK}",
    f"../../{MARK}?x=1#y%00",
    f"\u0430\u0440\u0440le \uff1c{MARK}\uff1e \U000e0041 {MARK}\u0301\u0301",
    f"Subject: {MARK}\r\nBcc: {MARK}@a.example\r\n\r\n",
    f"\\href{{javascript:{MARK}}}{{x}} \\begin{{{MARK}}} \\verb|{MARK}",
]
PAGES = 220


def make_entry(number: int, payload: str) -> dict[str, Any]:
    """An API entry with the payload in each of its fields, in turns where only some take it."""
    says_day = number % 2
    return {
        "paper": {
            "id": payload if number % 3 else f"2401.{number:05}",
            "title": f"{payload} {number}",
            "summary": f"{payload} {abstract(str(number))} https://a.example/{number} {payload}",
            "publishedAt": f"2024-01-{number + 1:02}T00:00:00Z" if says_day else payload,
            "authors": [{"name": payload}, {"name": f"{payload} B"}],
            "ai_keywords": [payload],
            "upvotes": payload,
        },
        "organization": {"name": f"{payload}{number}", "fullname": payload},
        "numComments": number if says_day else payload,
    }


@pytest.fixture
async def hostile(build: Build, tmp_path: Path) -> Datasette:
    entries = [make_entry(number, payload) for number, payload in enumerate(PAYLOADS)]
    cards = [card(f"{payload.splitlines()[0]} card".replace("\0", ""),
                  byline="nvidia <b7zz>\n·\nJun 3 b7zz")
             for payload in PAYLOADS if payload.isprintable()]  # fmt: skip
    pages = {
        f"2024-02-01 <{MARK} onclick=x>.json": json.dumps(entries).encode(),
        f"2024-02-02 ={MARK}.txt": cards_page(*cards),
        f"{MARK}.html": b"\x1f\x8b" + MARK.encode(),
    }
    for name, content in pages.items():
        (tmp_path / "saved").mkdir(exist_ok=True)
        (tmp_path / "saved" / name).write_bytes(content)
    (tmp_path / "saved" / "2024-02-03.md").write_text(
        f"url: https://huggingface.co/papers?q=<{MARK}>\n\nFeb 3\n\n"
        f"### [A <{MARK}> title](https://huggingface.co/papers/2402.00001)\n\n"
        f"[{abstract(MARK)}](https://huggingface.co/papers/2402.00001)\n\n"
        f"[<{MARK}>](https://huggingface.co/{MARK})\n\n·\n\nJan 3\n"
    )
    done = build("saved", "--db", "daily.db")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stderr)
    site = Datasette(immutables=[str(tmp_path / "daily.db")], config_dir=PROJECT, cors=True)
    await site.invoke_startup()
    return site


class Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.data: list[str] = []
        self.texts: list[str] = []
        self.inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        kind = dict(attrs).get("type")
        self.inside = kind or "script" if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        (self.data if self.inside else self.texts).append(data)


def check_page(html: str, path: str) -> Page:
    page = Page(html)
    assert not [tag for tag in page.tags if MARK in tag], path
    assert not [name for name in page.attributes if MARK in name or name.startswith("on")], path
    schemes = {urlsplit(link).scheme for link in page.links}
    assert schemes <= {"", "http", "https", "mailto"}, (path, schemes)
    assert "\0" not in html
    for data in page.data:
        if MARK in data:
            assert "<" not in data, path  # JSON-LD: nothing in it ends its element
            json.loads(data)
    return page


def check_file(content: bytes, kind: str, path: str) -> None:
    text = content.decode()
    if "json" in kind:
        for line in text.splitlines() if "ndjson" in kind else [text]:
            json.loads(line)
    elif "xml" in kind:
        root = ET.fromstring(content)
        assert not [one.tag for one in root.iter() if MARK in one.tag], path
        links = [link.get("href") or "" for link in root.iter("{http://www.w3.org/2005/Atom}link")]
        assert {urlsplit(link).scheme for link in links} <= {"http", "https"}, path
    elif "csv" in kind:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert len({len(row) for row in rows}) <= 1, path
    elif "bibtex" in kind:
        library = bibtexparser.parse_string(text)
        assert not library.failed_blocks, path
        fields = {"title", "author", "year", "month", "eprint", "archivePrefix", "doi", "url",
                  "howpublished"}  # fmt: skip
        for entry in library.entries:
            assert {field.key for field in entry.fields} <= fields, path
            assert MARK not in entry.key or re.fullmatch("[a-z0-9-]+", entry.key)
    elif "research-info" in kind:
        assert "BOOK" not in [one["type_of_reference"] for one in rispy.loads(text)], path


def list_more(path: str) -> Iterator[str]:
    """Addresses that no link of ours leads to, or only late."""
    for table in ("papers", "entries", "problems", "links", "authors", "keywords", "listings",
                  "paper_authors", "organizations", "paper_keywords"):  # fmt: skip
        for form in ("", ".json?_shape=array", ".csv?_size=max", ".ndjson?_stream=on"):
            yield f"{path}/{table}{form}"
    for form in ("bib", "ris", "csljson", "atom"):
        yield f"{path}/papers.{form}"
    yield from (f"{path}/{name}" for name in ("papers_flat.csv?_bom=on", "papers?_view=table"))
    yield from (f"{path}/search?q={MARK}", f"{path}/search.json?q={MARK}&_shape=array")
    yield from (f"{path}/feed.atom?q={MARK}", f"{path}/papers.atom?organization=%3C{MARK}%3E")
    yield from (f"{path}/papers?_facet=organization", f"{path}/problems_by_kind", "/feeds.opml")


async def test_whatever_listings_hold_is_text_wherever_it_stands(hostile: Datasette) -> None:
    seen = dict.fromkeys(["/", *list_more("/daily")])
    checked, with_mark = 0, 0
    for path in iter(lambda: next((p for p in seen if seen[p] is None), None), None):
        answer = await hostile.client.get(path)
        seen[path] = answer.status_code
        assert answer.status_code == 200, (path, answer.text[:500])
        kind = answer.headers["content-type"]
        checked += 1
        with_mark += MARK in answer.text
        if not kind.startswith("text/html"):
            check_file(answer.content, kind, path)
            continue
        for href in check_page(answer.text, path).links:
            url = urlsplit(urljoin(f"http://localhost{path}", href))
            page = url.path + (f"?{url.query}" if url.query else "")
            inner = url.netloc == "localhost" and not re.search(r"\.db$|/static/|_stream|_dl", page)
            if inner and len(seen) < PAGES:
                seen.setdefault(page)
    assert checked == PAGES
    assert with_mark > PAGES / 2


async def test_spreadsheets_are_given_no_formula(hostile: Datasette) -> None:
    """Where Excel is asked for; else CSV says what the listing says, as programs want it."""
    plain = (await hostile.client.get("/daily/papers.csv?_size=max")).text
    for_excel = (await hostile.client.get("/daily/papers.csv?_size=max&_bom=on")).text
    assert re.search(r"^[^\n]*,\"?=HYPERLINK", plain, re.MULTILINE)
    cells = [cell for row in csv.reader(io.StringIO(for_excel.lstrip("\ufeff"))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@"))]


def test_texts_are_stored_without_what_nobody_sees(hostile: Datasette, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "daily.db")) as db:
        texts = "".join(f"{title}{text}" for title, text in
                        db.execute("select title, abstract from papers"))  # fmt: skip
        links = [url for (url,) in db.execute("select url from links union select url from papers")]
    assert not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", texts)
    assert len(links) > 10
    assert all(url is None or url.startswith(("http://", "https://")) for url in links)


def test_mails_hold_text(hostile: Datasette, tmp_path: Path) -> None:
    letterhead = Letterhead(Address("Daily Papers", "digest", "a.example"), "https://a.example")
    with open_database(tmp_path / "daily.db") as db:
        templates = load_templates(PROJECT / "templates" / "mail")
        editor = Editor(db, letterhead, templates, date(2024, 2, 9), date(2024, 1, 1), top=50)
        mail = editor.write_mail(Subscriber("reader@a.example"))
    assert mail is not None
    message = mail.message
    assert {name.lower() for name in message} <= {
        "from", "to", "subject", "date", "message-id", "list-id", "list-unsubscribe", "precedence",
        "auto-submitted", "mime-version", "content-type",
    }  # fmt: skip
    assert "\n" not in str(message["subject"])
    page = check_page(message.get_body(("html",)).get_content(), "the mail")
    assert MARK in "".join(page.texts)
    text = message.get_body(("plain",)).get_content()
    assert MARK in text
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
