"""A digest as a mail: headers, text and HTML, for the reader and the programs between."""

import hashlib
import re
import sqlite3
import textwrap
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import parseaddr
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from datasette.utils import tilde_encode
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from .digests import (
    DatabaseError,
    Digest,
    Period,
    choose_papers,
    clean_text,
    find_last_weekday,
    find_newest_day,
    match_interests,
)
from .publishing.wording import say_count, say_day, shorten
from .search import quote_phrase
from .subscribers import Interests, Subscriber, check_address

WIDTH = 78
"""Columns of the text part; addresses are never broken."""

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_UNSAFE_IN_URL = re.compile(r"[\s<>,\"\\^`|\x00-\x1f\x7f-\U0010ffff]")


@dataclass(frozen=True)
class Letterhead:
    """Who writes, and where the site is (without a final slash).

    In `unsubscribe_url`, if there is one, "{address}" stands for the reader's.
    """

    sender: Address
    site: str
    unsubscribe_url: str | None = None

    def link_unsubscribe(self, address: str) -> tuple[str, ...]:
        """Where a reader can stop the mails: by mail, and with one click if that is set up."""
        subject = quote(f"unsubscribe {address}", safe="")
        by_mail = f"mailto:{quote(self.sender.addr_spec, safe='@')}?subject={subject}"
        if not self.unsubscribe_url:
            return (by_mail,)
        return (self.unsubscribe_url.replace("{address}", quote(address, safe="")), by_mail)


def read_sender(text: str) -> Address:
    """Parse "digest@example.org" or "Daily Papers <digest@example.org>". Raises ValueError."""
    if clean_text(text) != text.strip():
        raise ValueError("the sender has line breaks or control characters in it")
    name, address = parseaddr(text)
    return Address(display_name=name, addr_spec=check_address(address or text))


def read_site(text: str) -> str:
    """The site's address without a final slash; a path may belong to it. Raises ValueError."""
    parts = urlsplit(text.strip())
    is_whole = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc)
    if not is_whole or parts.query or parts.fragment or _UNSAFE_IN_URL.search(text.strip()):
        raise ValueError(f"{text[:80]!r} is no address such as https://papers.example.org")
    return text.strip().rstrip("/")


def read_unsubscribe_url(text: str) -> str:
    """The address for one click (RFC 8058): https, and with the reader in it. Raises ValueError."""
    parts = urlsplit(text.strip())
    is_whole = parts.scheme == "https" and _HOST.fullmatch(parts.netloc)
    if not is_whole or "{address}" not in text or _UNSAFE_IN_URL.search(text.strip()):
        raise ValueError(
            f"{text[:80]!r} is no address such as https://papers.example.org/stop?reader={{address}}"
        )
    return text.strip()


class _WholeHeader(UnstructuredHeader):
    """Addresses in <>, one a line. Python itself makes unreadable encoded words of long ones."""

    name: str

    def fold(self, *, policy: EmailPolicy) -> str:
        lines = str(self).replace(">, <", f">,{policy.linesep} <")
        return f"{self.name}: {lines}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _WholeHeader)  # type: ignore[arg-type]
MAIL = SMTP.clone(header_factory=_HEADERS)


def load_templates(folder: Path) -> Environment:
    """digest.txt and digest.html; only what goes into HTML is escaped."""
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"wrap": wrap_text, "count_of": say_count}
    return templates


def wrap_text(text: str, first: str = "") -> str:
    """Lines of WIDTH columns; the first begins with `first`, the others with as many blanks."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True)
class Mail:
    """A digest for one reader, ready to send; `what` says in a few words what it is about."""

    subscriber: Subscriber
    day: date
    what: str
    message: EmailMessage


@dataclass(frozen=True)
class Editor:
    """Makes the digests of one day, from one database.

    `since` replaces the first day of every period. `is_preview` leaves letters outside of ASCII
    readable in the message, which then is not for every server.
    """

    connection: sqlite3.Connection
    letterhead: Letterhead
    templates: Environment
    today: date
    since: date | None = None
    top: int = 20
    is_preview: bool = False

    @cached_property
    def newest_day(self) -> date:
        """The newest listing's day. Raises DatabaseError where no listing has one."""
        day = find_newest_day(self.connection, self.today)
        if day is None:
            raise DatabaseError(f"no listing has a day up to {self.today}; build with dated pages")
        return day

    def choose_day(self, subscriber: Subscriber) -> date:
        """The day that a subscriber's digest is for, at most one each: the newest listing's, or
        for a weekly one the weekday."""
        if subscriber.weekday is None:
            return self.newest_day
        return find_last_weekday(self.today, subscriber.weekday)

    def choose_period(self, subscriber: Subscriber) -> Period:
        """The day itself, or the whole week before the weekday: weeks neither miss a day nor
        share one, at whatever hour a digest is made."""
        day = self.choose_day(subscriber)
        first = last = day
        if subscriber.weekday is not None:
            first, last = day - timedelta(days=7), day - timedelta(days=1)
        return Period((self.since or first).isoformat(), last.isoformat())

    def write_mail(self, subscriber: Subscriber) -> Mail | None:
        """The subscriber's digest; None where there is nothing new for them."""
        wanted = match_interests(subscriber.interests)
        digest = choose_papers(self.connection, wanted, self.choose_period(subscriber), self.top)
        if digest is None:
            return None
        day = self.choose_day(subscriber)
        message = self._start_message(subscriber, day, digest)
        self._fill_message(message, subscriber, digest)
        return Mail(subscriber, day, describe_interests(subscriber.interests), message)

    def _start_message(self, subscriber: Subscriber, day: date, digest: Digest) -> EmailMessage:
        """The headers. The Message-ID follows from reader and day: should a digest come twice
        after all, mailboxes can tell."""
        sender = self.letterhead.sender
        links = self.letterhead.link_unsubscribe(subscriber.address)
        mark = hashlib.sha256(f"{sender.addr_spec} {subscriber.key} {day}".encode()).hexdigest()
        message = EmailMessage(policy=MAIL)
        message["From"] = sender
        message["To"] = Address(addr_spec=subscriber.address)
        message["Subject"] = write_subject(digest)
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = f"<digest.{day}.{mark[:24]}@{sender.domain}>"
        message["List-Unsubscribe"] = ", ".join(f"<{link}>" for link in links)
        if self.letterhead.unsubscribe_url:
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["Auto-Submitted"] = "auto-generated"
        message["Precedence"] = "bulk"
        return message

    def _fill_message(self, message: EmailMessage, subscriber: Subscriber, digest: Digest) -> None:
        site = self.letterhead.site
        values = {
            "digest": digest,
            "days": say_period(digest.period),
            "what": describe_interests(subscriber.interests),
            "links": link_interests(site, subscriber.interests, digest.period),
            "site": site,
            "paper_url": lambda paper: f"{site}/daily/papers/{tilde_encode(paper.id)}",
            "unsubscribe": self.letterhead.link_unsubscribe(subscriber.address)[0],
            "reader": subscriber.address,
        }
        encoding = "8bit" if self.is_preview else "quoted-printable"
        text = self.templates.get_template("digest.txt").render(values)
        message.set_content(text, cte=encoding)
        html = self.templates.get_template("digest.html").render(values)
        message.add_alternative(html, subtype="html", cte=encoding)


def write_subject(digest: Digest) -> str:
    """The period, the first new paper, and how many more there are."""
    more = f" and {digest.count - 1:,} more" if digest.count > 1 else ""
    return f"Daily Papers, {say_period(digest.period)}: {shorten(digest.lead.title, 60)}{more}"


def say_period(period: Period) -> str:
    """ "30 Dec 2025", or "24 Dec 2025 to 30 Dec 2025"."""
    first, last = say_day(period.since), say_day(period.until)
    return first if first == last else f"{first} to {last}"


def describe_interests(interests: Interests) -> str:
    """ "all papers", or "tag agents, search “mixture of experts”"."""
    tags = [f"tag {clean_text(tag)}" for tag in interests.tags]
    queries = [f"search “{clean_text(query)}”" for query in interests.queries]
    return ", ".join(tags + queries) or "all papers"


def link_interests(site: str, interests: Interests, period: Period) -> list[tuple[str, str]]:
    """Where the site has more of them: pairs of a name and an address."""
    if interests == Interests():
        days = {"first_listed__gte": period.since, "first_listed__lte": period.until}
        return [("All new papers", f"{site}/daily/papers?{urlencode(days)}")]
    asked = [(f"Tag {tag}", f"tag:{quote_phrase([tag])}") for tag in interests.tags]
    asked += [(f"Search “{query}”", query) for query in interests.queries]
    return [
        (clean_text(name), f"{site}/daily/search?{urlencode({'q': query, 'sort': 'newest'})}")
        for name, query in asked
    ]
