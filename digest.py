"""Mail new papers to readers: `python digest.py --to reader@example.org`."""

import math
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.generator import BytesGenerator
from functools import partial
from pathlib import Path
from typing import Any

import click

from dailypapers.command import is_watched, run_command, say, shorten_path
from dailypapers.digests import DatabaseError, knows_tag, open_database
from dailypapers.fetching import parse_day
from dailypapers.letters import (
    MAIL,
    Editor,
    Letterhead,
    load_templates,
    read_sender,
    read_site,
    read_unsubscribe_url,
)
from dailypapers.mailing import (
    DoubtError,
    Mailer,
    RefusedError,
    Server,
    State,
    StateError,
    Tls,
    UnreachableError,
    deliver,
    open_state,
)
from dailypapers.publishing.wording import say_count
from dailypapers.subscribers import (
    Interests,
    Subscriber,
    SubscriberError,
    check_address,
    check_query,
    check_tag,
    load_subscribers,
)

PROJECT = Path(__file__).resolve().parent
PREVIEW_SENDER = "Daily Papers <digest@example.org>"
PREVIEW_SITE = "http://127.0.0.1:8001"
PASSWORDS = ("DIGEST_PASSWORD", "SMTP_PASSWORD")
"""Where the password comes from; as an option, everybody on the machine could read it."""

IMPLICIT_PORT = 465
USUAL_PORTS = {Tls.STARTTLS: 587, Tls.IMPLICIT: IMPLICIT_PORT, Tls.NONE: 25}


@dataclass(frozen=True)
class Options:
    """The command line, with the environment's part in it."""

    to: tuple[str, ...]
    subscribers: Path | None
    tags: tuple[str, ...]
    queries: tuple[str, ...]
    since: str | None
    day: str | None
    top: int
    dry_run: bool
    db: Path | None
    state: Path | None
    site: str | None
    sender: str | None
    unsubscribe_url: str | None
    smtp_host: str | None
    smtp_port: int | None
    smtp_user: str | None
    tls: str | None
    ca_file: Path | None
    insecure: bool
    timeout: float

    @property
    def db_path(self) -> Path:
        """Where the papers are."""
        return self.db or shorten_path(PROJECT / "db" / "daily.db")


_file = partial(click.Path, dir_okay=False, path_type=Path)


@click.command()
@click.option("--to", multiple=True, metavar="ADDRESS", help="A reader; may be given again.")
@click.option("--subscribers", type=_file(), help="A YAML file of readers, instead of --to.")
@click.option("--tag", "tags", multiple=True, help="Papers with this tag; or with another --tag.")
@click.option("--query", "queries", multiple=True, help="Papers that this search finds, too.")
@click.option("--since", metavar="DAY", help="New since this day.  [default: the newest listing's]")
@click.option("--day", metavar="DAY", help="As if this were today.  [default: today (UTC)]")
@click.option(
    "--top", type=click.IntRange(1, 200), default=20, show_default=True, help="Papers in a mail."
)
@click.option("--dry-run", is_flag=True, help="Print the mails, as an mbox file; send nothing.")
@click.option("--db", type=_file(), help="The papers.  [default: db/daily.db]")
@click.option("--state", type=_file(), help="What was sent.  [default: db/digests.db]")
@click.option("--site", envvar="SITE_URL", show_envvar=True, help="The site's address, for links.")
@click.option("--sender", envvar="DIGEST_SENDER", show_envvar=True, help="Who the mails are from.")
@click.option(
    "--unsubscribe-url",
    envvar="DIGEST_UNSUBSCRIBE_URL",
    show_envvar=True,
    help="Where one click stops the mails; {address} in it is the reader's.",
)
@click.option("--smtp-host", envvar="SMTP_HOST", show_envvar=True, help="The mail server.")
@click.option(
    "--smtp-port",
    type=click.IntRange(1, 65535),
    envvar="SMTP_PORT",
    show_envvar=True,
    help="Its port.  [default: 587, or 465 with --tls implicit]",
)
@click.option(
    "--smtp-user",
    envvar="SMTP_USER",
    show_envvar=True,
    help="Its user, with the password in the environment: DIGEST_PASSWORD or SMTP_PASSWORD.",
)
@click.option(
    "--tls",
    type=click.Choice([tls.value for tls in Tls]),
    envvar="SMTP_TLS",
    show_envvar=True,
    help="How it is made private.  [default: implicit on port 465, else starttls]",
)
@click.option(
    "--ca-file",
    type=_file(exists=True),
    envvar="SMTP_CA_FILE",
    show_envvar=True,
    help="Certificates to trust, where the system's do not do.",
)
@click.option("--insecure", is_flag=True, help="Allow --tls none to another machine.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long to wait for an answer of the server.",
)
def digest(**options: Any) -> None:
    """Mail new and much discussed papers, at most one mail a reader and day.

    A paper is of interest if it carries any --tag or any --query finds it; with neither, all are.
    """
    _digest(Options(**options))


def _digest(options: Options) -> None:
    try:
        with open_database(options.db_path) as connection:
            editor = Editor(
                connection,
                _read_letterhead(options),
                load_templates(PROJECT / "templates" / "mail"),
                today=_read_day(options.day) or datetime.now(UTC).date(),
                since=_read_day(options.since),
                top=options.top,
                is_preview=options.dry_run,
            )
            subscribers = _list_subscribers(options, editor)
            if options.dry_run:
                _print_all(editor, subscribers)
            else:
                _send_all(editor, subscribers, options)
    except (DatabaseError, SubscriberError) as error:
        raise click.UsageError(str(error)) from error
    except StateError as error:
        raise click.ClickException(str(error)) from error


def _read_day(text: str | None) -> date | None:
    try:
        return None if text is None else parse_day(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _read_letterhead(options: Options) -> Letterhead:
    """Who writes and from where. A preview does without being told."""
    sender = options.sender or (PREVIEW_SENDER if options.dry_run else None)
    site = options.site or (PREVIEW_SITE if options.dry_run else None)
    if sender is None:
        raise click.UsageError("say who the mails are from: --sender or DIGEST_SENDER")
    if site is None:
        raise click.UsageError("say where the site is: --site or SITE_URL")
    url = options.unsubscribe_url
    try:
        return Letterhead(
            read_sender(sender), read_site(site), read_unsubscribe_url(url) if url else None
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _list_subscribers(options: Options, editor: Editor) -> list[Subscriber]:
    """The readers of the command line, or those of the file, each once."""
    knows = partial(knows_tag, editor.connection)
    if bool(options.to) == bool(options.subscribers):
        raise click.UsageError("name readers with --to, or a file of them with --subscribers")
    if options.subscribers:
        if options.tags or options.queries:
            raise click.UsageError("--tag and --query go with --to; the file has its own")
        return load_subscribers(options.subscribers, knows)
    try:
        for tag in options.tags:
            check_tag(tag, knows)
        queries = tuple(check_query(query) for query in options.queries)
        subscribers = [
            Subscriber(check_address(address), Interests(options.tags, queries))
            for address in options.to
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return list({subscriber.key: subscriber for subscriber in subscribers}.values())


def _read_server(options: Options) -> Server:
    """The mail server; what would give mails or a password away is refused."""
    if not options.smtp_host:
        raise click.UsageError("name the mail server: --smtp-host or SMTP_HOST; or try --dry-run")
    if math.isnan(options.timeout):
        raise click.UsageError("--timeout nan is no number of seconds")
    password = next((os.environ[name] for name in PASSWORDS if os.environ.get(name)), None)
    if options.smtp_user and not password:
        raise click.UsageError(f"put the password of {options.smtp_user} into {PASSWORDS[0]}")
    implied = Tls.IMPLICIT if options.smtp_port == IMPLICIT_PORT else Tls.STARTTLS
    tls = Tls(options.tls) if options.tls else implied
    server = Server(
        options.smtp_host,
        options.smtp_port or USUAL_PORTS[tls],
        tls,
        options.smtp_user or None,
        password,
        options.ca_file,
        options.timeout,
    )
    if tls is Tls.NONE and not server.is_local:
        if not options.insecure:
            raise click.UsageError("--tls none is for this machine; --insecure allows it to others")
        if server.user:
            raise click.UsageError("no password goes to another machine with --tls none")
    return server


def _print_all(editor: Editor, subscribers: list[Subscriber]) -> None:
    """The mails as one mbox file, for people and mail programs; the state plays no part."""
    output = sys.stdout.buffer
    policy = MAIL.clone(linesep="\n", utf8=True)
    for subscriber in subscribers:
        mail = editor.write_mail(subscriber)
        if mail is None:
            say(f"{subscriber.address}: nothing new")
            continue
        BytesGenerator(output, mangle_from_=True, policy=policy).flatten(
            mail.message, unixfrom=True
        )
        output.write(b"\n")


def _send_all(editor: Editor, subscribers: list[Subscriber], options: Options) -> None:
    """Send what is due, one line each; one failure does not stop the rest."""
    failed = 0
    server = _read_server(options)
    hidden = not is_watched()
    with (
        open_state(_choose_state(options), say) as state,
        closing(Mailer(server)) as mailer,
        click.progressbar(subscribers, label="Sending", file=sys.stderr, hidden=hidden) as bar,
    ):
        for subscriber in bar:
            try:
                outcome = _send(subscriber, editor, mailer, state)
            except (RefusedError, UnreachableError) as error:
                outcome = f"not sent: {error}"
                failed += 1
            except DoubtError as error:
                outcome = f"not known whether it arrived, so not sent again: {error}"
                failed += 1
            say(f"{subscriber.address}: {outcome}")
    if failed:
        raise click.ClickException(f"{failed:,} of {say_count(len(subscribers), 'mail')} not sent")


def _send(subscriber: Subscriber, editor: Editor, mailer: Mailer, state: State) -> str:
    """Send one digest, if there is one to send; and say how it went."""
    day = editor.choose_day(subscriber).isoformat()
    sent = state.find_sent(subscriber, day)
    if sent == "":
        raise DoubtError(f"a run broke off while it sent the digest for {day}; see docs/digest.md")
    if sent:
        return f"sent already for {day}"
    mail = editor.write_mail(subscriber)
    if mail is None:
        return "nothing new"
    deliver(mail, mailer, state)
    return f"sent for {day}"


def _choose_state(options: Options) -> Path:
    state = options.state or shorten_path(PROJECT / "db" / "digests.db")
    if state.resolve() == options.db_path.resolve():
        raise click.UsageError("--state and --db are two files")
    return state


if __name__ == "__main__":
    run_command(
        digest,
        "digest.py",
        "stopped; the same command sends what is not sent yet",
    )
