"""fetch.py as a user runs it, against a server that misbehaves. All stays on 127.0.0.1."""

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dailypapers import fetching
from dailypapers.captures import find_captures
from dailypapers.fetching import (
    FetchError,
    WriteError,
    format_entries,
    parse_page,
    parse_retry_after,
    write_file,
)

from .conftest import PROJECT

Run = subprocess.CompletedProcess[str]
Answer = Callable[["Handler"], None]

DAY = "2025-12-30"


class Handler(BaseHTTPRequestHandler):
    """Gives the answers it was told to give, one after the other, and then 404."""

    server: "Server"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append(self.path)
            self.server.agents.append(self.headers["User-Agent"])
            self.server.times.append(time.monotonic())
            answers = self.server.answers
            answer = answers.pop(0) if answers else send("nothing more", 404)
        with contextlib.suppress(OSError):
            answer(self)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.answers: list[Answer] = []
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.times: list[float] = []
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def send(body: object, status: int = 200, **headers: str) -> Answer:
    """An answer: text and bytes as they are, anything else as JSON."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    content = content.encode() if isinstance(content, str) else content

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def hang(handler: Handler) -> None:
    handler.server.released.wait(20)


def drop(handler: Handler) -> None:
    handler.connection.close()


def break_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'[{"paper": {')


def never_end(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"[")
    for _ in range(400):  # 400 MB, if anybody takes them
        handler.wfile.write(b" " * 1_000_000)


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b" ")


def entry(number: int, **more: object) -> dict[str, object]:
    return {"title": f"Paper {number}", "paper": {"id": f"2512.{number:05}", "upvotes": 1}, **more}


def entries(*numbers: int) -> list[dict[str, object]]:
    return [entry(number) for number in numbers]


FULL = entries(*range(100))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def environ() -> dict[str, str]:
    """Whatever were to leave 127.0.0.1 would meet a proxy that is not there."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": "/usr/bin:/bin",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1",
    }


Fetch = Callable[..., Run]


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Callable[..., list[str]]:
    def give(*arguments: str) -> list[str]:
        return [
            sys.executable,
            str(PROJECT / "fetch.py"),
            *("--to", str(tmp_path / "days"), "--pause", "0", "--base-url", server.base),
            *arguments,
        ]

    return give


@pytest.fixture
def fetch(command: Callable[..., list[str]], tmp_path: Path) -> Fetch:
    """Run fetch.py as a user does, from an empty folder into the folder `days` there."""

    def run(*arguments: str, **environment: str) -> Run:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env={**environ(), **environment},
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def files(tmp_path: Path) -> list[str]:
    folder = tmp_path / "days"
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def read(tmp_path: Path, day: str = DAY) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((tmp_path / "days" / f"{day}.json").read_text())
    return found


def test_days_become_files_and_words(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "2025-12-31.json").write_text("[]")
    server.answers = [send(entries(2, 1)), send(entries(3)), send([])]
    run = fetch("2026-01-02", "2026-01-01", "2025-12-31", DAY, DAY)
    assert (run.returncode, run.stdout) == (0, "")
    assert run.stderr.splitlines() == [
        "2025-12-30: 2 papers",
        "2025-12-31: there already",
        "2026-01-01: 1 paper",
        "2026-01-02: no papers",
    ]
    assert files(tmp_path) == ["2025-12-30.json", "2025-12-31.json", "2026-01-01.json"]
    path, query = urlsplit(server.asked[0]).path, parse_qs(urlsplit(server.asked[0]).query)
    assert path == "/api/daily_papers"
    assert query == {"date": [DAY], "limit": ["100"], "p": ["0"]}
    assert set(server.agents) == {"daily-papers"}
    assert (tmp_path / "days" / f"{DAY}.json").read_text("utf-8").splitlines() == [
        "[",
        '{"paper": {"id": "2512.00002", "upvotes": 1}, "title": "Paper 2"},',
        '{"paper": {"id": "2512.00001", "upvotes": 1}, "title": "Paper 1"}',
        "]",
    ]


def test_refresh_replaces_what_changed(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.answers = [send(entries(1)), send(entries(1)), send(entries(1, 2)), send([])]
    file = tmp_path / "days" / f"{DAY}.json"
    fetch(DAY)
    os.utime(file, (0, 0))
    assert fetch(DAY, "--refresh").stderr == f"{DAY}: 1 paper\n"
    assert file.stat().st_mtime == 0, "the same content is not written again"
    assert fetch(DAY).stderr == f"{DAY}: there already\n"
    assert fetch(DAY, "--refresh").stderr == f"{DAY}: 2 papers\n"
    run = fetch(DAY, "--refresh")
    assert (run.returncode, run.stderr) == (0, f"{DAY}: no papers; the file there stays\n")
    assert len(read(tmp_path)) == 2
    assert len(server.asked) == 4


def test_what_passes_is_tried_again(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    soon = format_datetime(datetime.datetime.now(datetime.UTC), usegmt=True)
    troubles = [
        send("sorry", 500),
        send("slowly", 429, Retry_After="0"),
        send("slowly", 429, Retry_After=soon),
        send("later", 503, Retry_After="one day"),
    ]
    server.answers = [*troubles, send(entries(1)), drop, break_off, hang, send(entries(2))]
    run = fetch(DAY, "2025-12-31", "--timeout", "0.4")
    assert (run.returncode, run.stderr) == (0, f"{DAY}: 1 paper\n2025-12-31: 1 paper\n")
    assert len(server.asked) == 9


def test_five_tries_and_the_other_days_go_on(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.answers = [
        *[send("sorry", 502)] * 5,
        *[drip] * 5,
        *[drop] * 5,
        send(entries(1)),
    ]
    run = fetch("2025-12-01", "2025-12-02", "2025-12-03", "2025-12-04", "--timeout", "0.05")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "2025-12-01: not fetched: HTTP 502 Bad Gateway, tried 5 times",
        "2025-12-02: not fetched: no end of the answer in time, tried 5 times",
        "2025-12-03: not fetched: the connection broke off, tried 5 times",
        "2025-12-04: 1 paper",
        "fetch.py: 3 of 4 could not be fetched",
    ]
    assert files(tmp_path) == ["2025-12-04.json"]


def announce(length: int) -> Answer:
    """A header that promises a body of this length, and no body."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()

    return answer


def lead_to(address: str) -> Answer:
    return send("", 302, Location=address)


BAD_ANSWERS: list[tuple[list[Answer], str]] = [
    ([send("none", 404)], "HTTP 404 Not Found"),
    ([send("who are you", 401)], "HTTP 401 Unauthorized"),
    ([send("what", 499)], "HTTP 499"),
    ([send('[{"paper": {"id": "25')], "no JSON instead of a list of papers"),
    ([send("<!doctype html><p>Maintenance")], "a web page instead of a list of papers"),
    ([send({"error": "no"})], "an object instead of a list of papers"),
    ([send("7")], "a single value instead of a list of papers"),
    ([send(["paper", None])], "a list without papers in it"),
    ([send("")], "no JSON instead of a list of papers"),
    ([send(b'[{"a": "\xff"}]')], "no JSON instead of a list of papers"),
    ([send('[{"a": NaN}]')], "no JSON instead of a list of papers"),
    ([send('[{"a": 1e999}]')], "numbers or nesting that no file can hold"),
    ([send("[" * 200_000)], "no JSON instead of a list of papers"),
    ([lead_to("/elsewhere"), send("none", 410)], "HTTP 410 Gone"),
    ([lead_to("ftp://127.0.0.1/")], "led away from the web"),
    ([lead_to("/in/circles")] * 21, "led in circles"),
    ([send("no gzip", Content_Encoding="gzip")], "damaged on its way"),
    ([never_end], "over 50 MB"),
    ([announce(50_000_001)], "over 50 MB"),
]


def test_what_is_no_list_of_papers_stays_out(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    days = [f"2025-11-{number:02}" for number in range(1, len(BAD_ANSWERS) + 1)]
    server.answers = [answer for answers, _ in BAD_ANSWERS for answer in answers]
    server.answers += [lead_to("/elsewhere"), send(entries(1))]
    run = fetch(*days, DAY)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        *(f"{day}: not fetched: {says}" for day, (_, says) in zip(days, BAD_ANSWERS, strict=True)),
        f"{DAY}: 1 paper",
        f"fetch.py: {len(days)} of {len(days) + 1} could not be fetched",
    ]
    assert files(tmp_path) == [f"{DAY}.json"]


def test_pages_end(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    shifted = entries(99, *range(100, 199))  # a new paper came in while the pages were read
    server.answers = [
        *[send(FULL), send(shifted), send(entries(199))],  # a short page
        *[send(FULL), send([])],  # an empty one
        *[send(FULL)] * 2,  # the same again
        *[send(FULL), send(["damaged"])],
    ]
    run = fetch("2025-12-01", "2025-12-02", "2025-12-03", "2025-12-04")
    assert run.stderr.splitlines() == [
        "2025-12-01: 200 papers",
        "2025-12-02: 100 papers",
        "2025-12-03: 100 papers",
        "2025-12-04: not fetched: a list without papers in it",
        "fetch.py: 1 of 4 could not be fetched",
    ]
    assert server.answers == []
    assert [asked[-1] for asked in server.asked] == list("012010101")
    ids = [found["paper"]["id"] for found in read(tmp_path, "2025-12-01")]  # type: ignore[index]
    assert ids == [f"2512.{number:05}" for number in range(200)]


def test_new_papers_without_end(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.answers = [send(entries(*range(page * 100, page * 100 + 100))) for page in range(60)]
    run = fetch(DAY)
    assert (run.returncode, files(tmp_path)) == (1, [])
    assert run.stderr.splitlines()[0] == f"{DAY}: not fetched: no end after 50 pages"
    assert len(server.asked) == 50


def test_trending(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.answers = [send(FULL)]
    run = fetch("--trending")
    [name] = files(tmp_path)
    today = datetime.datetime.now(datetime.UTC).date()
    assert name in {f"trending-{today}.json", f"trending-{today - datetime.timedelta(1)}.json"}
    assert (run.returncode, run.stderr) == (0, f"{name[:-5]}: 100 papers\n")
    assert server.asked == ["/api/daily_papers?sort=trending&limit=100"]


def test_weeks_months_and_since(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    yesterday = today - datetime.timedelta(1)
    server.answers = [send([])] * 60
    run = fetch("--week", "2025-W01", "--month", "2024-02", "--since", str(yesterday))
    days = [line.split(":")[0] for line in run.stderr.splitlines()]
    assert days[:29] == [f"2024-02-{number:02}" for number in range(1, 30)]
    assert days[29:36] == ["2024-12-30", "2024-12-31", *(f"2025-01-0{n}" for n in range(1, 6))]
    assert days[36:38] == [str(yesterday), str(today)]
    run = fetch("--month", f"{today:%Y-%m}")
    assert run.stderr.splitlines()[-1] == f"{today}: no papers", "the month so far"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name days"),
        (["2025-02-30"], "'2025-02-30' is no day"),
        (["20251230"], "is no day"),
        (["2025-12-30\nx"], r"'2025-12-30\nx' is no day"),
        (["9000-01-01"], "9000-01-01 is in the future"),
        (["--week", "2025-W53"], "'2025-W53' is no week"),
        (["--week", "9000-W01"], "is in the future"),
        (["--month", "2025-13"], "'2025-13' is no month"),
        (["--month", "9000-12"], "is in the future"),
        (["--since", "9000-01-01"], "9000-01-01 is after today"),
        (["--since", "2020-01-01"], "days are more than 1,000"),
        ([DAY, "--pause", "nan"], "nan is not a number of seconds"),
        ([DAY, "--timeout", "0"], "0.0 is not in the range"),
        ([DAY, "--base-url", "ftp://127.0.0.1"], "'ftp://127.0.0.1' is no web address"),
        ([DAY, "--base-url", "\0"], "is no web address"),
        ([DAY, "--to", __file__], "is a file"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_use(
    arguments: list[str],
    says: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import fetch as module

    folder = [] if "--to" in arguments else ["--to", str(tmp_path / "days")]
    base = [] if "--base-url" in arguments else ["--base-url", server.base]
    monkeypatch.setattr(sys, "argv", ["fetch.py", *folder, *base, *arguments])
    with pytest.raises(SystemExit) as stopped:
        module.run_command(module.fetch, "fetch.py", "stopped")
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("fetch.py: ")
    assert says in line
    assert (server.asked, files(tmp_path)) == ([], [])


def test_an_environment_without_use(fetch: Fetch) -> None:
    run = fetch(DAY, HTTP_PROXY="nonsense://127.0.0.1")
    assert run.returncode == 2
    assert run.stderr.startswith("fetch.py: proxy or certificates of the environment: ")
    assert run.stderr.count("\n") == 1


def test_the_proxy_of_the_environment_is_asked(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.answers = [send(entries(1))]
    run = fetch(DAY, "--base-url", "http://papers.invalid/", HTTP_PROXY=server.base)
    assert run.stderr == f"{DAY}: 1 paper\n"
    assert server.asked == [f"http://papers.invalid/api/daily_papers?date={DAY}&limit=100&p=0"]


def test_pauses(server: Server, fetch: Fetch) -> None:
    server.answers = [send([]), send("slowly", 429, Retry_After="0"), send([])]
    assert fetch("2025-12-01", "2025-12-02", "--pause", "0.3").returncode == 0
    first, second, third = server.times
    assert min(second - first, third - second) > 0.28


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_whole_files_and_goes_on(
    stop: signal.Signals,
    server: Server,
    command: Callable[..., list[str]],
    fetch: Fetch,
    tmp_path: Path,
) -> None:
    server.answers = [send(entries(1)), send(FULL), hang]
    process = subprocess.Popen(
        command(DAY, "2025-12-31"), env=environ(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 10
    while len(server.asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(stop)
    words = process.communicate(timeout=10)[1].splitlines()
    assert words[0] == f"{DAY}: 1 paper"
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert words[-1].startswith("fetch.py: stopped; ")
    assert files(tmp_path) == [f"{DAY}.json"]
    assert read(tmp_path) == entries(1)

    (tmp_path / "days" / ".2025-12-31.json.part").write_text("[\n{")  # as if killed in writing
    assert [file.name for file in find_captures([tmp_path / "days"])] == [f"{DAY}.json"]
    server.released.set()
    server.answers = [send(entries(2))]
    run = fetch(DAY, "2025-12-31")
    assert run.stderr.splitlines() == [f"{DAY}: there already", "2025-12-31: 1 paper"]
    assert files(tmp_path) == [f"{DAY}.json", "2025-12-31.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "day.json"
    write_file(file, b"old")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=r"cannot write .*day\.json: No space left on device"):
        write_file(file, b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["day.json"]
    assert file.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server.answers = [send(entries(1))]
    run = fetch(DAY, "--to", "file/days")
    assert run.returncode in {1, 2}
    assert run.stderr.startswith("fetch.py: ")
    assert run.stderr.count("\n") == 1


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "day.json"
    link.symlink_to(tmp_path / "elsewhere" / "day.json")
    write_file(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "day.json").read_bytes() == b"new"


def test_every_text_can_be_written_and_read_again() -> None:
    page = [{"b": "é\u2028\x00\ud83d", "a": {"d": 1.5, "c": 10**30}}, "no object", {"b": ["😀"]}]
    written = format_entries(page)
    assert parse_page(written) == page
    assert written.count(b"\n") == len(page) + 2
    assert b'{"a": {"c": 1' in written
    assert "é".encode() in written


def test_entries_without_an_id_count_once() -> None:
    class Same:
        def fetch(self, name: str, params: fetching.Params) -> bytes:
            return json.dumps([{"a": 1}, {"a": 1}, "x", "x", {"paper": {"id": 7}}]).encode()

    question = fetching.ask_trending(datetime.date(2025, 12, 30))
    found = fetching.fetch_entries(Same(), question)  # type: ignore[arg-type]
    assert found == [{"a": 1}, "x", {"paper": {"id": 7}}]


def test_answers_that_are_too_large_together(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many:
        pages = iter(range(50))

        def fetch(self, name: str, params: fetching.Params) -> bytes:
            page = next(self.pages)
            return json.dumps(entries(*range(page * 100, page * 100 + 100))).encode()

    monkeypatch.setattr(fetching, "MAX_BYTES", 20_000)
    question = fetching.ask_day(datetime.date(2025, 12, 30))
    with pytest.raises(FetchError, match="over"):
        fetching.fetch_entries(Many(), question)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "soon", "-3", "1.5", "²", "Fri, 99 Foo 2025 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing(value: str) -> None:
    assert parse_retry_after(value) is None


def test_retry_after() -> None:
    assert parse_retry_after("120") == 120
    assert parse_retry_after("9" * 300) > 300  # type: ignore[operator]
    assert parse_retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
    for usegmt in (True, False):
        assert 110 < (parse_retry_after(format_datetime(later, usegmt=usegmt)) or 0) <= 120


def test_waits_are_told_and_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    told: list[str] = []
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    server.answers = [send("", 429, Retry_After="9999"), send("", 500), send("[]")]
    with fetching.open_source(server.base, pause=1, timeout=5, notice=told.append) as source:
        assert source.fetch(DAY, {"date": DAY}) == b"[]"
    assert told == [f"{DAY}: HTTP 429 Too Many Requests; trying again in 300 s"]
    assert 300 in slept
    assert all(wait <= 300 for wait in slept)
