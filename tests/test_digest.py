"""digest.py as a user runs it, against real mail servers on 127.0.0.1 that refuse and break off."""

import asyncio
import mailbox
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from datasette.app import Datasette
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dailypapers.digests import Period as Days
from dailypapers.digests import (
    choose_papers,
    find_last_weekday,
    match_interests,
    match_query,
    open_database,
)
from dailypapers.letters import (
    Editor,
    Letterhead,
    load_templates,
    read_sender,
    read_site,
    read_unsubscribe_url,
)
from dailypapers.mailing import Server
from dailypapers.results import Search, find_papers
from dailypapers.subscribers import (
    Interests,
    Subscriber,
    SubscriberError,
    check_address,
    load_subscribers,
    parse_frequency,
)

from .conftest import PROJECT
from .processes import find_port, wait_until
from .test_site import Links

Run = subprocess.CompletedProcess[str]
Digest = Callable[..., Run]

READER, OTHER, THIRD = "reader@example.org", "other@example.com", "third@example.org"
USER, PASSWORD = "digests", "correct horse 7"
NEWEST = "2025-12-30"


# Of login without TLS, where a test means to see that none is tried.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


# --- Servers ------------------------------------------------------------------------------------


class Post:
    """Takes mails, but for those that it was told to refuse, or to break off at."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.refused: dict[str, str] = {}
        self.breaks_at_recipient: set[str] = set()
        self.breaks_at_data: set[str] = set()
        self.hangs_up = False
        self.verdict = ""
        self.asked: list[str] = []
        self.connections = 0
        self.before_answer: Callable[[], None] | None = None
        self.passwords: list[bytes] = []

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, lines: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return lines

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked.append(address)
        if address in self.breaks_at_recipient:
            server.transport.abort()
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.breaks_at_data.intersection(envelope.rcpt_tos):
            server.transport.abort()
            return "451 nobody hears this"
        if self.verdict:
            return self.verdict
        self.mails.append(envelope)
        if self.before_answer:
            await asyncio.to_thread(self.before_answer)
        if self.hangs_up:
            asyncio.get_running_loop().call_soon(server.transport.close)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.passwords.append(login.password)
        right = (login.login, login.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    @property
    def readers(self) -> list[str]:
        return [address for mail in self.mails for address in mail.rcpt_tos]

    def read(self, number: int = 0) -> EmailMessage:
        content = self.mails[number].content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        assert not message.defects
        return message


class PostOffice:
    """A mail server on a free port."""

    def __init__(self, controller: Controller, post: Post) -> None:
        self.post = post
        self.port = str(controller.port)


@pytest.fixture
def open_office() -> Iterator[Callable[..., PostOffice]]:
    """Start a mail server; `login` makes it ask for USER and PASSWORD."""
    started: list[Controller] = []

    def start(login: bool = False, **choices: Any) -> PostOffice:
        post = Post()
        if login:
            choices |= {"authenticator": post.authenticate, "auth_required": True}
        controller = Controller(post, hostname="127.0.0.1", port=find_port(), **choices)
        controller.start()
        started.append(controller)
        return PostOffice(controller, post)

    yield start
    for controller in started:
        controller.stop()


@pytest.fixture
def office(open_office: Callable[..., PostOffice]) -> PostOffice:
    """A mail server without TLS, as on the machine itself."""
    return open_office()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def make_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


# --- Running digest.py --------------------------------------------------------------------------


def make_command(sample: Path, *arguments: str | Path) -> list[str]:
    given = [str(argument) for argument in arguments]
    usual = [] if "--db" in given else ["--db", str(sample)]
    return [sys.executable, str(PROJECT / "digest.py"), *usual, "--state", "sent.db", *given]


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "SITE_URL": "https://papers.example.org",
    "DIGEST_SENDER": "Daily Papers <digest@example.org>",
    "SMTP_HOST": "127.0.0.1",
}


@pytest.fixture
def digest(sample: Path, tmp_path: Path) -> Digest:
    """Run digest.py in an empty folder, with the state in sent.db there."""

    def run(*arguments: str | Path, **environment: str) -> Run:
        return subprocess.run(
            make_command(sample, *arguments),
            cwd=tmp_path,
            env=ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def send(digest: Digest, office: PostOffice) -> Digest:
    """Run it against `office`."""

    def run(*arguments: str | Path, **environment: str) -> Run:
        return digest("--tls", "none", "--smtp-port", office.port, *arguments, **environment)

    return run


def read_preview(run: Run, tmp_path: Path) -> list[EmailMessage]:
    """The mails that --dry-run printed, as a mail program reads them."""
    path = tmp_path / "preview.mbox"
    path.write_text(run.stdout, "utf-8")
    box = mailbox.mbox(path, factory=lambda file: message_from_bytes(file.read(), policy=default))
    return [message for message in box if isinstance(message, EmailMessage)]


def read_text(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def list_sent(tmp_path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(tmp_path / "sent.db")) as state:
        return state.execute("select address, day, at is not null from sent").fetchall()


def count_new(sample: Path, condition: str = "true") -> int:
    with closing(sqlite3.connect(sample)) as papers:
        sql = f"select count(*) from papers where first_listed = ? and {condition}"
        return int(papers.execute(sql, [NEWEST]).fetchone()[0])


# --- The mail -----------------------------------------------------------------------------------


def test_a_digest_has_all_that_a_mail_needs(
    send: Digest, office: PostOffice, sample: Path, tmp_path: Path
) -> None:
    run = send("--to", READER)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", f"{READER}: sent for {NEWEST}\n")
    (envelope,) = office.post.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("digest@example.org", [READER])
    assert isinstance(envelope.content, bytes)
    assert envelope.content.isascii()
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998
    mail = office.post.read()
    assert str(mail["From"]) == "Daily Papers <digest@example.org>"
    assert mail["To"].addresses[0].addr_spec == READER
    assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=5)
    assert re.fullmatch(r"<digest\.2025-12-30\.[0-9a-f]{24}@example\.org>", mail["Message-ID"])
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Precedence"] == "bulk"
    assert mail["List-Unsubscribe"] == (
        "<mailto:digest@example.org?subject=unsubscribe%20reader%40example.org>"
    )
    assert mail["List-Unsubscribe-Post"] is None
    count = count_new(sample)
    assert re.fullmatch(rf"Daily Papers, 30 Dec 2025: .+ and {count - 1} more", mail["Subject"])
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert list_sent(tmp_path) == [(READER, NEWEST, 1)]


def test_one_click_stops_it_where_that_is_set_up(send: Digest, office: PostOffice) -> None:
    url = "https://papers.example.org/" + "stop/" * 30 + "?reader={address}"
    assert send("--to", "a+b@example.org", DIGEST_UNSUBSCRIBE_URL=url).returncode == 0
    content = office.post.mails[0].content
    assert isinstance(content, bytes)
    written = url.replace("{address}", "a%2Bb%40example.org").encode()
    assert b"List-Unsubscribe: <" + written + b">,\r\n <mailto:digest@example.org?" in content
    mail = office.post.read()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert written.decode() in Links(read_text(mail, "html")).found


class Tags(HTMLParser):
    """All tags of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_its_links_lead_to_pages_of_the_site_and_nothing_is_loaded(
    digest: Digest, site: Datasette, tmp_path: Path
) -> None:
    run = digest("--to", READER, "--tag", "distillation", "--query", "language model", "--dry-run")
    (mail,) = read_preview(run, tmp_path)
    html, text = read_text(mail, "html"), read_text(mail)
    links = [link for link in Links(html).found if not link.startswith("mailto:")]
    assert set(links) == set(re.findall(r"https://\S+", text))
    assert len([link for link in links if "/daily/papers/" in link]) > 5
    for link in links:
        url = urlsplit(link)
        assert f"{url.scheme}://{url.netloc}" == "https://papers.example.org"
        answer = await site.client.get(f"{url.path}?{url.query}")
        assert answer.status_code == 200, link
    tags = Tags(html).found
    assert not {"img", "script", "link", "iframe", "form"} & {tag for tag, _ in tags}
    assert not any({"src", "style", "background"} & attributes.keys() for _, attributes in tags)
    assert "url(" not in html
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in tags
    assert not re.search("#[0-9a-f]{3}|[^-]color: *[a-z]+;", html.split("</style>")[0])


async def test_the_templates_are_no_pages_of_the_site(site: Datasette) -> None:
    for path in ("/mail/digest", "/mail/digest.html", "/mail/digest.txt", "/digest"):
        assert (await site.client.get(path)).status_code == 404


def test_the_text_is_wrapped_and_addresses_are_whole(digest: Digest, tmp_path: Path) -> None:
    (mail,) = read_preview(digest("--to", READER, "--dry-run", "--top", "200"), tmp_path)
    lines = read_text(mail).splitlines()
    assert all(len(line) <= 78 for line in lines if "://" not in line and "mailto:" not in line)
    assert max(len(line) for line in lines if "://" not in line) > 70
    assert not any("\n\n\n" in read_text(mail, kind) for kind in ("plain", "html"))


def test_it_shows_the_most_discussed_first_and_each_once(
    digest: Digest, sample: Path, tmp_path: Path
) -> None:
    (mail,) = read_preview(digest("--to", READER, "--dry-run", "--top", "8"), tmp_path)
    links = [link for link in Links(read_text(mail, "html")).found if "/daily/papers/" in link]
    ids = [link.rsplit("/", 1)[1] for link in links]
    assert len(ids) == len(set(ids)) == 8
    with closing(sqlite3.connect(sample)) as papers:
        sql = "select id, comments, first_listed from papers where last_listed = ?"
        rows = {row[0]: row[1:] for row in papers.execute(sql, [NEWEST])}
    assert [rows[i][0] for i in ids[:2]] == sorted(
        (comments or 0 for comments, _ in rows.values()), reverse=True
    )[:2]
    assert all(rows[i][1] == NEWEST for i in ids[2:])
    shown = sum(rows[i][1] == NEWEST for i in ids)
    assert f"{count_new(sample) - shown} more new papers on the site." in read_text(mail)


def test_since_takes_older_listings_in(digest: Digest, sample: Path, tmp_path: Path) -> None:
    (mail,) = read_preview(digest("--to", READER, "--since", "2025-12-17", "--dry-run"), tmp_path)
    with closing(sqlite3.connect(sample)) as papers:
        sql = "select count(*) from papers where first_listed >= '2025-12-17'"
        (count,) = papers.execute(sql).fetchone()
    assert read_text(mail).startswith(f"{count} new papers, 17 Dec 2025 to 30 Dec 2025\n")
    assert count > count_new(sample)


def test_tags_and_queries_add_up(digest: Digest, sample: Path, tmp_path: Path) -> None:
    def count(*arguments: str) -> int:
        run = digest("--to", READER, "--dry-run", *arguments)
        mails = read_preview(run, tmp_path)
        return int(read_text(mails[0]).split()[0]) if mails else 0

    tagged = "id in (select paper from paper_tags where tag = 'distillation')"
    quantized = "number in (select rowid from papers_fts where papers_fts match 'quantiz*')"
    assert count("--tag", "distillation") == count_new(sample, tagged) > 0
    assert count("--query", "quantiz*") == count_new(sample, quantized) > 0
    both = count("--tag", "distillation", "--query", "quantiz*")
    assert both == count_new(sample, f"({tagged} or {quantized})")
    assert count("--query", "quantiz* tag:distillation") == count_new(
        sample, f"{tagged} and {quantized}"
    )
    assert count("--query", "xylophone") == 0


def test_a_query_means_what_the_site_lists_by_date(sample: Path) -> None:
    """All words must occur; each operator of the search does what it does there."""
    always = Days("0000-00-00", "9999-99-99")
    typed = [
        "language model", "language -model", 'title:model "language model"', "-language",
        "year:2025 comments:>1", "reasoning year:2024", "authors:2-5 -tag:agents", "🤗",
    ]  # fmt: skip
    with open_database(sample) as papers:
        for query in typed:
            wanted = match_query(query)
            sql = f"select number from papers where {wanted.sql}"
            found = {number for (number,) in papers.execute(sql, wanted.parameters)}
            assert found == list_by_date(papers, query), query
        assert choose_papers(papers, match_interests(Interests((), ("🤗",))), always, 5) is None


def list_by_date(papers: sqlite3.Connection, typed: str) -> set[int]:
    """Every result of a search, page after page, as the site gives it."""
    found: set[int] = set()
    for page in range(1, 100):
        results = find_papers(papers, Search(typed, sort="newest", page=page), {})
        if not results:
            break
        found.update(result.number for result in results)
    return found


@given(title=st.text(min_size=1), abstract=st.text(), name=st.text(min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_a_listing_says_stays_in_its_place(
    hostile: Editor, title: str, abstract: str, name: str
) -> None:
    mail = write_about(hostile, title, abstract, name)
    usual = write_about(hostile, "A title", "An abstract", "A name")
    assert [key for key, _ in mail.items()] == [key for key, _ in usual.items()]
    assert mail["Subject"].startswith("Daily Papers, 30 Dec 2025: ")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", mail["Subject"])
    assert tags_of(mail) == tags_of(usual)


def tags_of(mail: EmailMessage) -> set[str]:
    return {tag for tag, _ in Tags(read_text(mail, "html")).found}


@pytest.mark.parametrize(
    "title",
    [
        "Bcc: x\r\nBcc: victim@example.com\r\n\r\nA body of my own",
        "a\nX-Injected: yes",
        "a\u2028X-Injected: yes\x85X-Injected: yes",
        "<script>alert(1)</script><img src=http://example.com/x.png>",
        "{{ 7 * 7 }}{% raw %}",
        "=?utf-8?q?Bcc=3A_victim=40example.com?=",
        "\u202egnp.exe \x1b[31mred\x07",
        ".\r\nMAIL FROM:<x@example.com>",
        "x" * 3_000,
        "日本語の題名" * 60,
    ],
)
def test_hostile_titles_are_only_titles(hostile: Editor, title: str) -> None:
    mail = write_about(hostile, title, title, title)
    assert mail["Bcc"] is None
    assert mail["X-Injected"] is None
    assert mail["Subject"].count("\n") == 0
    assert tags_of(mail) == tags_of(write_about(hostile, "A title", "An abstract", "A name"))
    text = read_text(mail)
    assert "\x1b" not in text
    assert "49" not in text
    assert " ".join(title.split())[:10].strip("\u202e.") in text or "\u202e" in title


@pytest.fixture
def hostile(sample: Path, tmp_path: Path) -> Iterator[Editor]:
    """An editor of a database whose newest listing has one paper."""
    path = tmp_path / "hostile.db"
    shutil.copy(sample, path)
    with closing(sqlite3.connect(path)) as papers, papers:
        papers.execute(f"update papers set first_listed = null where number != ({ONE})", [NEWEST])
        papers.execute("update papers set organization = (select id from organizations limit 1)")
    with open_database(path) as connection:
        letterhead = Letterhead(read_sender("digest@example.org"), "https://papers.example.org")
        templates = load_templates(PROJECT / "templates" / "mail")
        yield Editor(connection, letterhead, templates, date(2026, 1, 2))


ONE = "select min(number) from papers where first_listed = ?"


def write_about(editor: Editor, title: str, abstract: str, name: str) -> EmailMessage:
    (path,) = (row[2] for row in editor.connection.execute("pragma database_list"))
    texts = [text.encode("utf-8", "replace").decode() for text in (title, abstract, name)]
    with closing(sqlite3.connect(path)) as papers, papers:
        sql = "update papers set title = ?, abstract = ? where first_listed is not null"
        papers.execute(sql, texts[:2])
        papers.execute("update organizations set name = ?", texts[2:])
    mail = editor.write_mail(Subscriber(READER))
    assert mail is not None
    message = message_from_bytes(mail.message.as_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


# --- Sending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_it_sends_in_private_with_a_password(
    digest: Digest,
    open_office: Callable[..., PostOffice],
    authority: trustme.CA,
    ca_file: Path,
    tls: str,
) -> None:
    context = make_context(authority)
    choices: dict[str, Any] = {"tls_context": context, "require_starttls": True}
    if tls == "implicit":
        choices = {"ssl_context": context, "auth_require_tls": False}
    office = open_office(login=True, **choices)
    arguments = ["--tls", tls, "--smtp-port", office.port, "--smtp-user", USER, "--to", READER]
    run = digest(*arguments, "--ca-file", ca_file, DIGEST_PASSWORD=PASSWORD)
    assert (run.returncode, run.stderr) == (0, f"{READER}: sent for {NEWEST}\n")
    assert office.post.readers == [READER]
    assert office.post.passwords == [PASSWORD.encode()]


def test_a_wrong_password_sends_nothing_and_is_not_told(
    digest: Digest,
    open_office: Callable[..., PostOffice],
    authority: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
) -> None:
    office = open_office(login=True, tls_context=make_context(authority), require_starttls=True)
    run = digest(
        "--smtp-port", office.port, "--smtp-user", USER, "--ca-file", ca_file,
        "--to", READER, "--to", OTHER, SMTP_PASSWORD="wrong-one",
    )  # fmt: skip
    assert run.returncode == 1
    assert f"{READER}: not sent: 127.0.0.1:{office.port}: user or password refused" in run.stderr
    assert f"{OTHER}: not sent: " in run.stderr
    assert "wrong-one" not in run.stderr + run.stdout
    assert office.post.connections == 2, "before STARTTLS and after it, and not again for OTHER"
    assert list_sent(tmp_path) == []
    assert PASSWORD not in repr(Server("127.0.0.1", 25, password=PASSWORD))


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("name", ["127.0.0.1", "mail.example.com"])
def test_a_certificate_of_nobody_or_of_others_is_refused(
    digest: Digest,
    open_office: Callable[..., PostOffice],
    authority: trustme.CA,
    ca_file: Path,
    tls: str,
    name: str,
) -> None:
    """For 127.0.0.1, but of an authority that is not trusted; or trusted, but for another host."""
    context = make_context(authority, name)
    choice = {"ssl_context" if tls == "implicit" else "tls_context": context}
    office = open_office(login=True, auth_require_tls=False, **choice)
    trusted = ["--ca-file", ca_file] if name == "mail.example.com" else []
    run = digest(
        "--tls", tls, "--smtp-port", office.port, "--smtp-user", USER, *trusted, "--to", READER,
        DIGEST_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert run.returncode == 1
    assert "certificate refused: " in run.stderr
    assert (office.post.readers, office.post.passwords) == ([], [])


def test_a_server_without_starttls_gets_nothing(digest: Digest, office: PostOffice) -> None:
    arguments = ["--smtp-port", office.port, "--smtp-user", USER, "--to", READER]
    run = digest(*arguments, DIGEST_PASSWORD=PASSWORD)
    assert run.returncode == 1
    assert "STARTTLS" in run.stderr
    assert office.post.asked == []


def test_one_refused_address_does_not_stop_the_rest(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    office.post.refused = {OTHER: "550 5.1.1 no such\x1b[31m reader"}
    run = send("--to", READER, "--to", OTHER, "--to", THIRD)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"{READER}: sent for {NEWEST}",
        f"{OTHER}: not sent: refused: 550 5.1.1 no such [31m reader",
        f"{THIRD}: sent for {NEWEST}",
        "digest.py: 1 of 3 mails not sent",
    ]
    assert office.post.readers == [READER, THIRD]
    assert office.post.connections == 1
    office.post.refused = {}
    again = send("--to", READER, "--to", OTHER, "--to", THIRD)
    assert again.returncode == 0
    assert office.post.readers == [READER, THIRD, OTHER]
    assert list_sent(tmp_path) == [
        (OTHER, NEWEST, 1), (READER, NEWEST, 1), (THIRD, NEWEST, 1)
    ]  # fmt: skip


def test_a_mail_that_is_refused_when_it_is_read_may_be_tried_again(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    office.post.verdict = "451 4.7.1 come back later"
    run = send("--to", READER)
    assert run.returncode == 1
    assert f"{READER}: not sent: refused: 451 4.7.1 come back later" in run.stderr
    assert list_sent(tmp_path) == []
    office.post.verdict = ""
    assert send("--to", READER).returncode == 0
    assert office.post.readers == [READER]


def test_a_server_that_hangs_up_after_each_mail_is_called_again(
    send: Digest, office: PostOffice
) -> None:
    office.post.hangs_up = True
    run = send("--to", READER, "--to", OTHER, "--to", THIRD)
    assert run.returncode == 0, run.stderr
    assert office.post.readers == [READER, OTHER, THIRD]
    assert office.post.connections == 3


def test_a_connection_that_breaks_before_the_mail_costs_one_try(
    send: Digest, office: PostOffice
) -> None:
    office.post.breaks_at_recipient = {READER}
    run = send("--to", READER, "--to", OTHER)
    assert run.returncode == 1
    assert f"{READER}: not sent: the connection broke off" in run.stderr
    assert office.post.readers == [OTHER]
    office.post.breaks_at_recipient = set()
    assert send("--to", READER, "--to", OTHER).returncode == 0
    assert office.post.readers == [OTHER, READER]


def test_a_connection_that_breaks_in_the_mail_leaves_a_doubt(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    """The server may have taken it: it is not sent again, each run says so, and people decide."""
    office.post.breaks_at_data = {READER}
    run = send("--to", READER, "--to", OTHER)
    assert run.returncode == 1
    assert f"{READER}: not known whether it arrived, so not sent again" in run.stderr
    assert office.post.readers == [OTHER]
    assert list_sent(tmp_path) == [(OTHER, NEWEST, 1), (READER, NEWEST, 0)]
    office.post.breaks_at_data = set()
    second = send("--to", READER, "--to", OTHER)
    assert second.returncode == 1
    assert "see docs/digest.md" in second.stderr
    assert office.post.readers == [OTHER]
    advice = re.search(r'sqlite-utils \S+ "(.+)"', (PROJECT / "docs" / "digest.md").read_text())
    assert advice is not None
    with closing(sqlite3.connect(tmp_path / "sent.db")) as state, state:
        state.execute(advice[1])
    assert send("--to", READER, "--to", OTHER).returncode == 0
    assert office.post.readers == [OTHER, READER]


def test_a_second_run_sends_nothing_however_the_address_is_written(
    send: Digest, office: PostOffice
) -> None:
    assert send("--to", READER).returncode == 0
    run = send("--to", READER.title(), "--to", READER, "--tag", "agents")
    assert run.returncode == 0
    assert f": sent already for {NEWEST}" in run.stderr
    assert len(office.post.mails) == 1


def test_a_dry_run_leaves_no_trace(digest: Digest, tmp_path: Path) -> None:
    run = digest("--to", READER, "--to", OTHER, "--dry-run", SITE_URL="", DIGEST_SENDER="")
    assert (run.returncode, run.stderr) == (0, "")
    assert [mail["To"] for mail in read_preview(run, tmp_path)] == [READER, OTHER]
    assert {path.name for path in tmp_path.iterdir()} <= {"preview.mbox"}


def test_nothing_new_is_no_mail(send: Digest, office: PostOffice) -> None:
    run = send("--to", READER, "--since", "2025-12-31")
    assert (run.returncode, run.stderr) == (0, f"{READER}: nothing new\n")
    assert office.post.connections == 0


def test_a_killed_run_sends_neither_twice_nor_less(
    sample: Path, send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    """Killed when the server has the second of three mails and has not answered yet."""
    readers = ["--to", READER, "--to", OTHER, "--to", THIRD]
    process: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        if len(office.post.mails) == 2:
            process[0].send_signal(signal.SIGKILL)
            process[0].wait(30)

    office.post.before_answer = kill
    command = make_command(sample, "--tls", "none", "--smtp-port", office.port, *readers)
    process.append(
        subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    )
    assert process[0].wait(30) == -signal.SIGKILL
    office.post.before_answer = None
    run = send(*readers)
    assert run.returncode == 1
    assert office.post.readers == [READER, OTHER, THIRD]
    assert f"{READER}: sent already for {NEWEST}" in run.stderr
    assert f"{OTHER}: not known whether it arrived" in run.stderr
    assert f"{THIRD}: sent for {NEWEST}" in run.stderr


def test_two_runs_at_once_send_once(sample: Path, office: PostOffice, tmp_path: Path) -> None:
    """The first is held in the midst of its first mail until the second one is there."""
    go_on = threading.Event()
    office.post.before_answer = lambda: assert_true(go_on.wait(30))
    arguments = ["--tls", "none", "--smtp-port", office.port, "--to", READER, "--to", OTHER]
    command = make_command(sample, *arguments)
    start = {"cwd": tmp_path, "env": ENVIRONMENT, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **start) as first:  # type: ignore[call-overload]
        wait_until(lambda: bool(office.post.mails))
        with subprocess.Popen(command, **start) as second:  # type: ignore[call-overload]
            assert "waiting" in second.stderr.readline()
            go_on.set()
            said = first.communicate(timeout=30)[1], second.communicate(timeout=30)[1]
    assert said[0] == f"{READER}: sent for {NEWEST}\n{OTHER}: sent for {NEWEST}\n"
    assert said[1] == f"{READER}: sent already for {NEWEST}\n{OTHER}: sent already for {NEWEST}\n"
    assert office.post.readers == [READER, OTHER]


def assert_true(value: bool) -> None:
    assert value


def test_a_server_that_is_not_there_is_said_once_a_reader(digest: Digest) -> None:
    run = digest("--tls", "none", "--smtp-port", str(find_port()), "--to", READER, "--to", OTHER)
    assert run.returncode == 1
    assert run.stderr.count("Connection refused") == 2
    assert run.stderr.endswith("digest.py: 2 of 2 mails not sent\n")


def test_a_server_that_says_nothing_is_left(digest: Digest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        run = digest("--tls", "none", "--smtp-port", port, "--timeout", "0.3", "--to", READER)
    assert run.returncode == 1
    assert f"{READER}: not sent: 127.0.0.1:{port}: " in run.stderr
    assert "Traceback" not in run.stderr


def test_the_papers_are_not_taken_for_the_state(send: Digest, sample: Path) -> None:
    before = sample.read_bytes()
    run = send("--to", READER, "--state", sample)
    assert (run.returncode, run.stderr) == (2, "digest.py: --state and --db are two files\n")
    assert sample.read_bytes() == before


def test_a_state_that_is_no_database_sends_nothing(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    (tmp_path / "sent.db").write_text("not a database, but long enough to be looked at" * 30)
    run = send("--to", READER)
    assert (run.returncode, office.post.mails) == (1, [])
    assert run.stderr == "digest.py: sent.db: file is not a database\n"


# --- Wrong use ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name readers with --to, or a file of them with --subscribers"),
        (["--to", "reader"], "'reader' is no mail address; write it as reader@example.org"),
        (["--to", "a@example.org\nBcc: b@example.org"], "is no mail address"),
        (["--to", READER, "--tag", "no-such-tag"], "'no-such-tag' is no tag"),
        (["--to", READER, "--query", "  "], "a query has 1 to 1,000 printable characters"),
        (["--to", READER, "--since", "yesterday"], "'yesterday' is no day; write it as 2025-12-30"),
        (["--to", READER, "--day", "2025-13-01"], "'2025-13-01' is no day"),
        (["--to", READER, "--day", "2019-01-01"], "no listing has a day up to 2019-01-01"),
        (["--to", READER, "--top", "0"], "0 is not in the range"),
        (["--to", READER, "--db", "none.db"], "none.db is not there; build it"),
        (["--to", READER, "--sender", "x"], "'x' is no mail address"),
        (["--to", READER, "--sender", "A\r\nBcc: b <a@example.org>"], "line breaks"),
        (["--to", READER, "--site", "papers.example.org"], "no address such as https://"),
        (["--to", READER, "--unsubscribe-url", "http://e.org/{address}"], "such as https://"),
        (["--to", READER, "--smtp-host", "mail.example.org", "--tls", "none"], "--insecure"),
        (["--to", READER, "--smtp-user", "me"], "put the password of me into DIGEST_PASSWORD"),
        (["--to", READER, "--timeout", "nan"], "nan is no number"),
        (["--to", READER, "--db", "sent.db"], "sent.db is not there"),
        (["--subscribers", "none.yml"], "none.yml: "),
        (["--subscribers", "none.yml", "--tag", "agents"], "go with --to"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    digest: Digest, arguments: list[str], says: str
) -> None:
    run = digest(*arguments)
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert run.stderr.startswith("digest.py: ")
    assert run.stderr.count("\n") == 1
    assert says in run.stderr


@pytest.mark.parametrize("missing", ["SITE_URL", "DIGEST_SENDER", "SMTP_HOST"])
def test_what_is_needed_is_asked_for(digest: Digest, missing: str) -> None:
    run = digest("--to", READER, **{missing: ""})
    assert run.returncode == 2
    assert missing in run.stderr


def test_no_password_goes_over_an_open_line(digest: Digest) -> None:
    run = digest(
        "--to", READER, "--smtp-host", "mail.example.org", "--tls", "none", "--insecure",
        "--smtp-user", "me", DIGEST_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert run.returncode == 2
    assert PASSWORD not in run.stderr


@pytest.mark.parametrize(
    "text", ["a@b@example.org", "a b@example.org", "a@-example.org", ".a@example.org", "a@",
             "a..b@example.org", "ä@example.org", "<a@example.org>", "a@example.org,b@example.org",
             "a" * 65 + "@example.org", "a@" + "b." * 130 + "org"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        check_address(text)


@given(st.text())
def test_what_is_taken_for_an_address_is_safe_in_headers_and_commands(text: str) -> None:
    with suppress(ValueError):
        assert re.fullmatch(r"[!-~]+@[A-Za-z0-9.-]+", check_address(text))
        assert not set(check_address(text)) & set('<>,;:"\\()[]')


def test_sites_and_senders() -> None:
    assert read_site("https://example.org/papers/ ") == "https://example.org/papers"
    assert read_sender("digest@example.org").addr_spec == "digest@example.org"
    url = "https://example.org/stop?reader={address}"
    assert read_unsubscribe_url(url) == url
    for text in ["https://example.org/?a=1", "ftp://example.org", "https://a b", "https://u:p@h/"]:
        with pytest.raises(ValueError, match="no address"):
            read_site(text)
    for text in ["https://example.org/stop", "https://e.org/{address}>,<x", "https:///{address}"]:
        with pytest.raises(ValueError, match="no address"):
            read_unsubscribe_url(text)


# --- Many subscribers ---------------------------------------------------------------------------

SUBSCRIBERS = f"""\
# Who wants what.
- address: {READER}
- address: {OTHER}
  tags: [distillation, agents]
  queries:
    - '"language model" -video'
  frequency: daily
- address: {THIRD}
  queries: xylophone
  frequency: weekly friday
"""


def test_a_file_of_subscribers_serves_each_with_theirs(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    (tmp_path / "readers.yml").write_text(SUBSCRIBERS)
    run = send("--subscribers", "readers.yml")
    assert run.returncode == 0
    assert run.stderr.splitlines() == [
        f"{READER}: sent for {NEWEST}",
        f"{OTHER}: sent for {NEWEST}",
        f"{THIRD}: nothing new",
    ]
    assert "For: all papers\n" in read_text(office.post.read(0))
    theirs = " ".join(read_text(office.post.read(1)).split())
    assert 'For: tag distillation, tag agents, search “"language model" -video”' in theirs
    ids = {message["Message-ID"] for message in map(office.post.read, (0, 1))}
    assert len(ids) == 2


def test_a_weekly_digest_covers_whole_weeks_once(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    (tmp_path / "readers.yml").write_text(f"- {{address: {READER}, frequency: weekly wednesday}}")
    run = send("--subscribers", "readers.yml", "--day", "2025-12-31")  # a Wednesday
    assert run.stderr == f"{READER}: sent for 2025-12-31\n"
    assert read_text(office.post.read()).split("\n")[0].endswith(", 24 Dec 2025 to 30 Dec 2025")
    for day in ("2025-12-31", "2026-01-02", "2026-01-06"):
        run = send("--subscribers", "readers.yml", "--day", day)
        assert run.stderr == f"{READER}: sent already for 2025-12-31\n"
    run = send("--subscribers", "readers.yml", "--day", "2026-01-07")
    assert run.stderr == f"{READER}: nothing new\n"
    assert len(office.post.mails) == 1


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 6))
def test_the_last_weekday_is_at_most_six_days_ago(today: date, weekday: int) -> None:
    day = find_last_weekday(today, weekday)
    assert day.weekday() == weekday
    assert timedelta(0) <= today - day < timedelta(days=7)


def test_frequencies() -> None:
    assert parse_frequency("Daily") is None
    assert parse_frequency("weekly") == 0
    assert parse_frequency("weekly  Friday") == parse_frequency("weekly (friday)") == 4
    for text in ("", "hourly", "weekly someday", "daily friday", "friday"):
        with pytest.raises(ValueError, match="daily, weekly or weekly friday"):
            parse_frequency(text)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "a list of subscribers is wanted"),
        ("[]", 1, "a list of subscribers is wanted"),
        ("address: a@example.org", 1, "a list of subscribers is wanted"),
        ("- a@example.org", 1, "a subscriber is wanted"),
        ("- address: a@example.org\n- tags: [agents]", 2, "no address"),
        ("- address: a@example.org\n  frequence: daily", 2, "'frequence' is no field"),
        ("- address: a@example.org\n  tags: x\n  tags: y", 3, "tags is there twice"),
        ("- address: a at example.org", 1, "is no mail address"),
        ("- address: a@example.org\n  tags:\n   - agents\n   - nosuch", 4, "'nosuch' is no tag"),
        ("- address: a@example.org\n  queries: ['']", 2, "a query has"),
        ("- address: a@example.org\n  queries: [[a]]", 2, "a text is wanted"),
        ("- address: {a: b}", 1, "a text is wanted"),
        ("- address: a@example.org\n  frequency: often", 2, "'often' is no frequency"),
        ("- address: a@example.org\n- address: A@example.org", 2, "is in line 1 already"),
        ("- address: a@example.org\n  queries: [" + "a," * 60 + "]", 2, "more than 48"),
        ("- address: a@example.org\n  queries: [\n", 3, "no YAML: "),
        ("- address: *nobody", 1, "no YAML: "),
        ("- {[a]: b}", 1, "is no field"),
    ],
)
def test_mistakes_in_the_file_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    path = tmp_path / "readers.yml"
    path.write_text(text)
    with pytest.raises(SubscriberError) as caught:
        load_subscribers(path, lambda tag: tag == "agents")
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- \x01", b"[" * 5_000, b"\x80" * 50])
def test_files_that_are_no_lists_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "readers.yml"
    path.write_bytes(content)
    with pytest.raises(SubscriberError, match=r"readers\.yml:?"):
        load_subscribers(path, lambda _: True)


def test_a_mistake_in_the_file_sends_nothing(
    send: Digest, office: PostOffice, tmp_path: Path
) -> None:
    (tmp_path / "readers.yml").write_text(SUBSCRIBERS.replace("agents", "agentz"))
    run = send("--subscribers", "readers.yml")
    assert run.returncode == 2
    assert run.stderr == (
        "digest.py: readers.yml:4: 'agentz' is no tag; the site lists them at /daily/tags\n"
    )
    assert office.post.connections == 0
