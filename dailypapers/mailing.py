"""Handing mails to an SMTP server, each at most once: the connection, and the state file.

The order is: the server is asked whether it takes the mail, a row in the state file claims it, the
mail is handed over, and when the server has accepted it the row says when. A row that does not say
so is of a run that ended in between: whether the mail arrived, nobody here can know, and it is not
sent again. A mail lost is told and can be sent by hand; a mail sent twice cannot be taken back.
"""

import fcntl
import smtplib
import sqlite3
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import IO, NoReturn

from .digests import clean_text
from .letters import Mail
from .subscribers import Subscriber

PATIENCE = 10
"""Timeouts that a server may take to accept a mail that it has, for all that it checks meanwhile:
to hang up on it would leave the mail in doubt."""

_CREATE = """
create table if not exists sent (
    address text not null, day text not null, what text not null, message_id text not null,
    at text, primary key (address, day)
) without rowid
"""


class RefusedError(Exception):
    """The server has not taken a mail, for the reason in the message; it may take others."""


class UnreachableError(Exception):
    """No mail can be handed to the server; the message says why."""


class DoubtError(Exception):
    """A mail was handed over, and no answer came: it may arrive or not."""


class StateError(Exception):
    """The state file cannot be read or written; without it, nothing is sent."""


# --- The server ---------------------------------------------------------------------------------


class Tls(StrEnum):
    """How a connection is made private."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True)
class Server:
    """An SMTP server and how to talk to it. Its certificate must be valid for `host`."""

    host: str
    port: int
    tls: Tls = Tls.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: float = 30.0

    @property
    def is_local(self) -> bool:
        """Whether what is said to it stays on this machine."""
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host == "localhost"


class Mailer:
    """Sends mails over one connection, which is opened when there is something to send and opened
    again after it broke."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: smtplib.SMTP | None = None
        self._failure: UnreachableError | None = None

    def send(self, message: EmailMessage, claim: Callable[[], None]) -> None:
        """Hand over a mail. `claim` is called when the server is ready for it, before it gets it.

        Raises RefusedError, UnreachableError and DoubtError; after the last, it may have the mail.
        """
        connection = self._connect()
        self._offer(connection, message)
        claim()
        self._hand_over(connection, message)

    def _offer(self, connection: smtplib.SMTP, message: EmailMessage) -> None:
        sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
        try:
            _expect(connection.mail(sender))
            _expect(connection.rcpt(recipient))
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise RefusedError(f"the connection broke off ({_say_error(error)})") from error

    def _hand_over(self, connection: smtplib.SMTP, message: EmailMessage) -> None:
        try:
            self._set_timeout(connection, PATIENCE)
            answer = connection.data(message.as_bytes())
            self._set_timeout(connection, 1)
        except smtplib.SMTPDataError as error:  # refused before it got the mail
            _refuse((error.smtp_code, _as_bytes(error.smtp_error)))
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            reason = _say_error(error)
            raise DoubtError(f"the connection broke off while it was sent ({reason})") from error
        except BaseException:  # stopped by Ctrl-C: a server that is busy is not waited for
            self._drop()
            raise
        _expect(answer)

    def _set_timeout(self, connection: smtplib.SMTP, times: int) -> None:
        if connection.sock:
            connection.sock.settimeout(times * self._server.timeout)

    def close(self) -> None:
        """Say goodbye to the server."""
        if self._connection:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
        self._drop()

    def _connect(self) -> smtplib.SMTP:
        """The open connection, free for a mail, or a new one."""
        if self._connection:
            with suppress(smtplib.SMTPException, OSError):
                if self._connection.rset()[0] == 250:
                    return self._connection
            self._drop()
        if self._failure:  # a server that was not there is not asked again for each reader
            raise self._failure
        try:
            self._connection = open_connection(self._server)
        except UnreachableError as error:
            self._failure = error
            raise
        return self._connection

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def open_connection(server: Server) -> smtplib.SMTP:
    """A private connection, logged in where there is a user. Raises UnreachableError."""
    connection: smtplib.SMTP | None = None
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
        if server.tls is Tls.IMPLICIT:
            connection = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=server.timeout)
        if server.tls is Tls.STARTTLS:
            connection.starttls(context=context)
        connection.ehlo_or_helo_if_needed()
        if server.user and server.password:
            connection.login(server.user, server.password)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        if connection:
            connection.close()
        _hide_password(error, server)
        raise UnreachableError(f"{server.host}:{server.port}: {_say_error(error)}") from error
    return connection


def _hide_password(error: Exception, server: Server) -> None:
    """Drop the words of a server that repeats what it was told, as some do: only a code is left."""
    if isinstance(error, smtplib.SMTPResponseException) and server.user and server.password:
        told = [server.password, f"\0{server.user}\0{server.password}"]
        forms = [server.password, *(b64encode(text.encode()).decode() for text in told)]
        said = _as_bytes(error.smtp_error).decode("utf-8", "replace")
        if any(form.rstrip("=") in said for form in forms):
            error.smtp_error = b""


def _expect(answer: tuple[int, bytes]) -> None:
    """Raise RefusedError unless the answer is yes."""
    if answer[0] // 100 != 2:
        _refuse(answer)


def _refuse(answer: tuple[int, bytes]) -> NoReturn:
    raise RefusedError(f"refused: {_say_answer(*answer)}")


def _say_answer(code: int, text: bytes | str) -> str:
    return f"{code} {clean_text(_as_bytes(text).decode('utf-8', 'replace'))[:200]}".rstrip()


def _as_bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _say_error(error: Exception) -> str:
    """In a few words what happened, without what was sent: the password may be in there."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"user or password refused: {_say_answer(error.smtp_code, error.smtp_error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return _say_answer(error.smtp_code, error.smtp_error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}; --ca-file names an authority of yours"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, UnicodeError):
        return "host, user and password must be of ASCII letters and signs"
    if isinstance(error, OSError) and error.strerror:
        return clean_text(error.strerror)
    return clean_text(str(error))[:200]


# --- The state file -----------------------------------------------------------------------------


class State:
    """Which address was sent a digest for which day. All methods may raise StateError."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def find_sent(self, subscriber: Subscriber, day: str) -> str | None:
        """When a digest was accepted; "" where that is in doubt, None where none was sent."""
        sql = "select coalesce(at, '') from sent where address = ? and day = ?"
        row = self._run(sql, subscriber.key, day).fetchone()
        return str(row[0]) if row else None

    def claim(self, mail: Mail) -> None:
        """Note that a mail is about to be handed over."""
        sql = "insert into sent (address, day, what, message_id) values (?, ?, ?, ?)"
        self._run(sql, *_name_row(mail), mail.what, str(mail.message["Message-ID"]))

    def confirm(self, mail: Mail) -> None:
        """Note that the server has accepted it."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._run("update sent set at = ? where address = ? and day = ?", at, *_name_row(mail))

    def release(self, mail: Mail) -> None:
        """Forget a claim: the mail was not taken, and may be tried again."""
        sql = "delete from sent where address = ? and day = ? and at is null"
        self._run(sql, *_name_row(mail))

    def _run(self, sql: str, *values: str) -> sqlite3.Cursor:
        """One statement, a transaction of its own: on the disk when this returns."""
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {clean_text(str(error))}") from error


def _name_row(mail: Mail) -> tuple[str, str]:
    return mail.subscriber.key, mail.day.isoformat()


@contextmanager
def open_state(path: Path, notice: Callable[[str], None]) -> Iterator[State]:
    """The state file, made if it is not there, for one run at a time: others wait.

    `notice` is told of waiting. Raises StateError.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.with_name(f".{path.name}.lock").open("w"))
            _wait_turn(lock, notice)
            connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            connection.execute("pragma synchronous = extra")
            connection.execute(_CREATE)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: {clean_text(str(error))}") from error
        yield State(connection, path)


def _wait_turn(lock: IO[str], notice: Callable[[str], None]) -> None:
    """Hold the lock, which the system lifts even when a run is killed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        notice("another run is sending; waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)


def deliver(mail: Mail, mailer: Mailer, state: State) -> None:
    """Send a mail that was not sent before, and keep that in mind.

    Raises RefusedError, UnreachableError and DoubtError; only after the last, the state keeps it.
    """
    try:
        mailer.send(mail.message, lambda: state.claim(mail))
    except RefusedError:
        state.release(mail)
        raise
    state.confirm(mail)
