"""Asking the Daily Papers API for days, and keeping each answer as one file.

Nothing here reads the papers: a file holds what the API said, in an order and a form that
differ only where the answer did, so that a history of the folder reads well.
"""

import calendar
import datetime
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from .files import replace_file

BASE_URL = "https://huggingface.co"
USER_AGENT = "daily-papers"
PAGE_SIZE = 100
MAX_PAGES = 50
MAX_DAYS = 1_000
MAX_BYTES = 50_000_000
"""Bytes of one day's answers, all pages together; a real day has under one million."""

_TRIES = 5
_MAX_BACKOFF = 60.0
_MAX_RETRY_AFTER = 300.0
_DEADLINE = 10
"""Timeouts that one answer may take as a whole: each byte in time is not yet an end."""
_SILENT_WAIT = 5.0
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WEEK = re.compile(r"([0-9]{4})-W([0-9]{2})")
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")

Params = Mapping[str, str | int]


class FetchError(Exception):
    """An answer that is of no use; the message says why."""


class TransientError(FetchError):
    """A failure that another try may not have; `retry_after` is how many seconds to wait first."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AddressError(Exception):
    """No API can be asked with this address, or from this environment; the message says why."""


class WriteError(Exception):
    """The folder or the disk refused a file; the message says why."""


# --- Which days ---------------------------------------------------------------------------------


def parse_day(text: str) -> datetime.date:
    """Parse "2025-12-30". Raises ValueError where there is no such day."""
    try:
        if _DAY.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no day; write it as 2025-12-30")


def parse_week(text: str) -> list[datetime.date]:
    """The seven days, Monday first, of an ISO week: "2025-W52". Raises ValueError."""
    match = _WEEK.fullmatch(text)
    try:
        if match:
            year, week = int(match[1]), int(match[2])
            return [datetime.date.fromisocalendar(year, week, day) for day in range(1, 8)]
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no week; write it as 2025-W52")


def parse_month(text: str) -> list[datetime.date]:
    """The days of a month: "2025-12". Raises ValueError where there is no such month."""
    match = _MONTH.fullmatch(text)
    try:
        if match:
            year, month = int(match[1]), int(match[2])
            days = calendar.monthrange(year, month)[1]
            return [datetime.date(year, month, day) for day in range(1, days + 1)]
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no month; write it as 2025-12")


def list_since(text: str, today: datetime.date) -> list[datetime.date]:
    """The days from the one written to today, both included. Raises ValueError."""
    first = parse_day(text)
    if first > today:
        raise ValueError(f"{first} is after today, {today} (UTC)")
    return [first + datetime.timedelta(days=days) for days in range((today - first).days + 1)]


def cut_future(days: list[datetime.date], today: datetime.date) -> list[datetime.date]:
    """The days of a week or month that have begun. Raises ValueError where none has."""
    if days[0] > today:
        raise ValueError(f"{days[0]} is in the future; today is {today} (UTC)")
    return [day for day in days if day <= today]


# --- One answer ---------------------------------------------------------------------------------


class Source:
    """The API at one address, asked politely: never two requests within one pause.

    `notice` is told of waits that people may wonder about, as "2025-12-30: HTTP 429 …". With a
    pause of 0 there is no waiting between tries either, but for what a server asks for.
    """

    def __init__(
        self, client: httpx.Client, base_url: str, pause: float, notice: Callable[[str], None]
    ) -> None:
        self._client = client
        self._url = f"{base_url.rstrip('/')}/api/daily_papers"
        self._pause = pause
        self._notice = notice
        self._next_turn = 0.0
        doubling = wait_exponential(multiplier=2 * pause, max=_MAX_BACKOFF)
        self._backoff = doubling + wait_random(0, pause)

    def fetch(self, name: str, params: Params) -> bytes:
        """The body of the API's answer. Raises FetchError when all tries are used up."""
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(_TRIES),
            wait=self._choose_wait,
            before_sleep=self._tell_wait,
            reraise=True,
        )
        try:
            return retrying(self._fetch_once, name, params)
        except TransientError as error:
            raise FetchError(f"{error}, tried {_TRIES} times") from error

    def _fetch_once(self, name: str, params: Params) -> bytes:
        self._wait_turn()
        try:
            with self._client.stream("GET", self._url, params=params) as response:
                _check_status(response)
                return _read_body(response, self._client.timeout.read)
        except httpx.TimeoutException as error:
            raise TransientError("no answer in time") from error
        except httpx.ConnectError as error:
            raise TransientError(f"no connection ({error})") from error
        except httpx.UnsupportedProtocol as error:
            raise FetchError("led away from the web") from error
        except httpx.TransportError as error:
            raise TransientError("the connection broke off") from error
        except httpx.TooManyRedirects as error:
            raise FetchError("led in circles") from error
        except (httpx.RequestError, ValueError, OverflowError) as error:
            raise FetchError("damaged on its way") from error

    def _wait_turn(self) -> None:
        time.sleep(max(0.0, self._next_turn - time.monotonic()))
        self._next_turn = time.monotonic() + self._pause

    def _choose_wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.retry_after is not None:
            return min(error.retry_after, _MAX_RETRY_AFTER)
        return self._backoff(state)

    def _tell_wait(self, state: RetryCallState) -> None:
        if state.outcome and state.upcoming_sleep >= _SILENT_WAIT:
            reason = state.outcome.exception()
            wait = f"trying again in {state.upcoming_sleep:.0f} s"
            self._notice(f"{state.args[0]}: {reason}; {wait}")


@contextmanager
def open_source(
    base_url: str, *, pause: float, timeout: float, notice: Callable[[str], None]
) -> Iterator[Source]:
    """The API at an address, through the proxy of the environment if there is one.

    Raises AddressError where the address, or a proxy or certificate there, is of no use.
    """
    if "@" in base_url:
        raise AddressError("no user or password in an address: all on this machine could read it")
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise AddressError(f"{base_url!r} is no web address; write it as {BASE_URL}")
    try:
        client = httpx.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            follow_redirects=True,
            timeout=timeout,
        )
    except httpx.InvalidURL as error:  # its words quote what may be of a password
        hint = "in a user or password, / is written %2F, and so on"
        raise AddressError(f"the proxy of the environment is no web address; {hint}") from error
    except (ValueError, ImportError, OSError) as error:
        raise AddressError(f"proxy or certificates of the environment: {error}") from error
    with client:
        yield Source(client, base_url, pause, notice)


def _check_status(response: httpx.Response) -> None:
    code = response.status_code
    if response.is_success:
        return
    message = f"HTTP {code} {httpx.codes.get_reason_phrase(code)}".rstrip()
    if code == httpx.codes.TOO_MANY_REQUESTS or code >= 500:
        raise TransientError(message, parse_retry_after(response.headers.get("Retry-After", "")))
    raise FetchError(message)


def parse_retry_after(value: str) -> float | None:
    """Seconds to wait, from "120" or an HTTP date; None where the value is neither."""
    if re.fullmatch(r"[0-9]{1,300}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _read_body(response: httpx.Response, timeout: float | None) -> bytes:
    """All of the body; a body without an end is left after MAX_BYTES or ten timeouts."""
    too_large = FetchError(f"over {MAX_BYTES / 1e6:,.0f} MB")
    if int(response.headers.get("Content-Length", 0)) > MAX_BYTES:
        raise too_large
    end = time.monotonic() + _DEADLINE * (timeout or 0)
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise too_large
        if time.monotonic() > end:
            raise TransientError("no end of the answer in time")
    return bytes(body)


# --- One file -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What one file answers: its name without suffix, and what to ask the API for it."""

    name: str
    params: Params
    pages: int = 1


def ask_day(day: datetime.date) -> Question:
    """The papers listed on a day, page after page."""
    params: Params = {"date": day.isoformat(), "limit": PAGE_SIZE}
    return Question(day.isoformat(), params, MAX_PAGES)


def ask_trending(today: datetime.date) -> Question:
    """The papers that trend now, as one page."""
    return Question(f"trending-{today}", {"sort": "trending", "limit": PAGE_SIZE})


def fetch_file(source: Source, question: Question, folder: Path, refresh: bool) -> str:
    """Answer a question with a file, and say in a few words how it went.

    A file that is there is kept, or with `refresh` replaced by what the API says now; it stays
    when the API says nothing. Raises FetchError, and WriteError.
    """
    path = folder / f"{question.name}.json"
    is_there = path.exists()
    if is_there and not refresh:
        return "there already"
    entries = fetch_entries(source, question)
    if not entries:
        return "no papers; the file there stays" if is_there else "no papers"
    content = format_entries(entries)
    if not (path.is_file() and path.read_bytes() == content):  # an untouched file is not built anew
        write_file(path, content)
    papers = sum(isinstance(entry, dict) for entry in entries)
    return "1 paper" if papers == 1 else f"{papers:,} papers"


def fetch_entries(source: Source, question: Question) -> list[object]:
    """The entries of all pages in their order, each once. Raises FetchError.

    The last page is an empty or a short one, or one that has nothing new: a server that does
    not know pages gives the first one again.
    """
    entries: dict[str, object] = {}
    size = 0
    for number in range(question.pages):
        paging = {"p": number} if question.pages > 1 else {}
        body = source.fetch(question.name, {**question.params, **paging})
        size += len(body)
        if size > MAX_BYTES:
            raise FetchError(f"over {MAX_BYTES / 1e6:,.0f} MB")
        page, before = parse_page(body), len(entries)
        for entry in page:
            entries.setdefault(_identify(entry), entry)
        if len(page) < PAGE_SIZE or len(entries) == before or question.pages == 1:
            return list(entries.values())
    raise FetchError(f"no end after {question.pages} pages")


def parse_page(body: bytes) -> list[object]:
    """The entries of one answer. Raises FetchError where it is anything but a list of objects.

    Entries that are no objects are kept next to ones that are: what they are worth is for a
    reader to say.
    """
    try:
        page = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        what = "a web page" if body.lstrip()[:1] == b"<" else "no JSON"
        raise FetchError(f"{what} instead of a list of papers") from error
    if not isinstance(page, list):
        what = "an object" if isinstance(page, dict) else "a single value"
        raise FetchError(f"{what} instead of a list of papers")
    if page and not any(isinstance(entry, dict) for entry in page):
        raise FetchError("a list without papers in it")
    return page


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(f"{name} is no JSON")


def _identify(entry: object) -> str:
    """A paper's id; for an entry without one, all of it."""
    paper = entry.get("paper") if isinstance(entry, dict) else None
    paper_id = paper.get("id") if isinstance(paper, dict) else None
    if isinstance(paper_id, str) and paper_id:
        return paper_id
    return _format(entry)


def format_entries(entries: Iterable[object]) -> bytes:
    """A JSON array with one entry a line and sorted keys. Raises FetchError.

    Half a surrogate pair, which UTF-8 cannot say, is written as it came: "\\ud83d".
    """
    lines = ",\n".join(map(_format, entries))
    return f"[\n{lines}\n]\n".encode("utf-8", "backslashreplace")


def _format(entry: object) -> str:
    try:
        return json.dumps(entry, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError) as error:  # 1e999, or nested as deep as just readable
        raise FetchError("numbers or nesting that no file can hold") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all. Raises WriteError.

    What a killed run leaves is hidden, and no listing to build.py.
    """
    try:
        with replace_file(path, "part") as part:
            part.write_bytes(content)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
