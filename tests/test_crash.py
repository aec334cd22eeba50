"""What killed, stopped and refused commands leave behind, at each stage and at chance moments."""

import importlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from dailypapers.parquet import hash_file

from .conftest import PROJECT
from .pages import card, cards_page
from .test_digest import ENVIRONMENT, Post, PostOffice, find_port, wait_until
from .test_fetch import Server, entries, environ, send
from .test_fetch import server as server  # the fixture

sys.path.insert(0, str(PROJECT / "bench"))
crashes = importlib.import_module("crashes")

PAGES = sorted((PROJECT / "listings").glob("00*.txt"))
SETS = {"some": PAGES[:1], "more": [PAGES[0], PAGES[3]]}

STAGES = {
    "reading": ("open", r"\.txt$", 1),
    "merging": ("call", r"/merge\.py$", 30),
    "tagging": ("call", r"/tagging\.py$", 30),
    "writing": ("sql", "(?i)insert into (papers|entries) ", 20),
    "related": ("sql", "(?i)insert into related_papers ", 20),
    "indexing": ("sql", "(?i)create (unique )?index", 3),
    "text index": ("sql", "(?i)insert into papers_fts", 2),
    "statistics": ("sql", "(?i)analyze", 1),
    "check": ("sql", "(?i)integrity_check", 1),
    "before inspect-data.json is forgotten": ("rename", r"/inspect-data\.json$", 1),
    "after it is forgotten": ("after", r"/inspect-data\.json$", 1),
    "before the database is replaced": ("rename", r"/daily\.db$", 1),
    "after it is replaced": ("after", r"/daily\.db$", 1),
    "before inspect-data.json": ("rename", r"/inspect-data\.json$", 2),
    "after inspect-data.json": ("after", r"/inspect-data\.json$", 2),
    "first Parquet file": ("rename", r"/[a-z_]+\.parquet$", 1),
    "a Parquet file": ("after", r"/papers\.parquet$", 1),
    "before the checksums": ("rename", "/SHA256SUMS$", 1),
    "after the checksums": ("after", "/SHA256SUMS$", 1),
}
"""Of a build, in their order; the n-th moment of a kind (tests/faults.py)."""


AFTER_REPLACING = list(STAGES)[list(STAGES).index("after it is replaced") :]
SITE_STAGES = list(STAGES)[list(STAGES).index("after it is forgotten") :][:6]
"""Between which what is said of the database, and the database itself, change."""


def make_fault(stage: str, do: str) -> dict[str, Any]:
    event, pattern, nth = STAGES[stage]
    return {"event": event, "pattern": pattern, "nth": nth, "do": do}


# --- Processes ----------------------------------------------------------------------------------


class Job:
    """A command that runs; as much of subprocess.Popen as is needed."""

    def __init__(self, pid: int, files: Path) -> None:
        self.pid = pid
        self.files = files

    def poll(self) -> int | None:
        status = Path(f"{self.files}.status")
        return int(status.read_text()) if status.exists() else None

    def wait(self, patience: float = 60) -> int:
        end = time.monotonic() + patience
        while (code := self.poll()) is None:
            assert time.monotonic() < end, f"it did not end:\n{self.said}"
            time.sleep(0.005)
        return code

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it may end at this very moment
                os.kill(self.pid, number)

    @property
    def said(self) -> str:
        said = Path(f"{self.files}.2")
        return said.read_text() if said.exists() else ""

    @property
    def output(self) -> str:
        return Path(f"{self.files}.1").read_text()


class Shop:
    """Starts jobs in the folder of a copy of the project (tests/faults.py)."""

    def __init__(self, root: Path, files: Path) -> None:
        self.root = root
        self.files = files
        files.mkdir()
        self._numbers = count()
        self._server = subprocess.Popen(
            [sys.executable, PROJECT / "tests" / "faults.py"],
            cwd=root,
            env=crashes.make_environment(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def start(
        self,
        *argv: object,
        fault: dict[str, Any] | None = None,
        limits: dict[str, int] | None = None,
        **environment: str,
    ) -> Job:
        files = self.files / str(next(self._numbers))
        job = {
            "argv": list(map(str, argv)),
            "cwd": str(self.root),
            "files": str(files),
            "fault": fault,
            "limits": limits or {},
            "environment": environment,
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return Job(int(self._answer()), files)

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def close(self) -> None:
        self._server.communicate(timeout=30)


class Place(crashes.Place):  # type: ignore[name-defined,misc]
    """A copy of the project whose builds are forked, and may meet a fault."""

    shop: Shop

    def start(self, name: str, **choices: Any) -> Job:
        return self.shop.start("build.py", "--parquet", *self.listings[name], **choices)

    def build(self, name: str) -> None:
        job = self.start(name)
        assert job.wait() == 0, job.said

    @property
    def other(self) -> str:
        """The set that the database is not of."""
        known = list(self.known)  # of the last set first: so a hash's place is the other set's
        return list(self.listings)[known.index(hash_file(self.database))]

    def build_the_next(self, good: set[str]) -> None:
        """As the next run does after whatever befell the last one."""
        before = hash_file(self.database)
        self.build(self.other)
        assert crashes.check_place(self) != before
        assert self.list_files() == good


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("crash") / "project"
    crashes.copy_project(root)
    place = Place(root, SETS)
    place.shop = Shop(root, root.parent / "jobs")
    place.learn()
    yield place
    place.shop.close()


@pytest.fixture(scope="module")
def good(place: Place) -> set[str]:
    """The files of a good build, and nothing else."""
    return set(place.list_files())


@pytest.fixture(scope="module")
def visits(place: Place, good: set[str]) -> Iterator[Any]:
    """A site that runs all the while, and one visitor who keeps asking."""
    with crashes.visit_site(place, crashes.find_port(), visitors=1) as visits:
        visits.pause = 0.2
        yield visits


@pytest.fixture(autouse=True)
def nothing_wrong(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever happens to builds, the site that runs answers as it should."""
    yield
    if "visits" in request.fixturenames:
        visits = request.getfixturevalue("visits")
        wrong, visits.wrong = visits.wrong, []
        assert wrong == []


# --- Building -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_build_killed_at_any_stage_harms_nothing(
    place: Place, good: set[str], visits: Any, stage: str
) -> None:
    before = hash_file(place.database)
    asked = visits.answers["200"]
    job = place.start(place.other, fault=make_fault(stage, "SIGKILL"))
    assert job.wait() == -signal.SIGKILL, f"this stage was not met:\n{job.said}"
    crashes.check_session(job.pid)
    is_new = crashes.check_place(place) != before
    assert is_new == (stage in AFTER_REPLACING)
    if stage in SITE_STAGES:
        check_a_new_site(place)
    place.build_the_next(good)
    wait_for_an_answer(visits, asked)


def wait_for_an_answer(visits: Any, asked: int) -> None:
    """The site goes on answering. At the first stage it may only just have started."""
    for _ in range(300):
        if visits.answers["200"] > asked:
            return
        time.sleep(0.1)
    raise AssertionError("the site gave no answer for 30 seconds")


def check_a_new_site(place: Place) -> None:
    """A site that starts at this moment states the right hash and the right counts."""
    checksum = hash_file(place.database)
    [database] = ask_a_new_site(place, "/-/databases.json")
    assert database["hash"] == checksum
    assert database["size"] == place.database.stat().st_size
    listed = ask_a_new_site(place, "/daily.json")["tables"]
    counts = {table["name"]: table["count"] for table in listed}
    assert (counts["papers"], counts["entries"]) == place.known[checksum][:2]


def ask_a_new_site(place: Place, path: str) -> Any:
    job = place.shop.start("datasette", "serve", ".", "-i", "db/daily.db", "--get", path)
    assert job.wait() == 0, job.said
    return json.loads(job.output)


def test_builds_killed_at_chance_moments_harm_nothing(
    place: Place, good: set[str], visits: Any
) -> None:
    """A few; bench/crashes.py kills fifty."""
    chosen = random.Random(8)
    begun = time.monotonic()
    place.build(place.other)
    lasts = time.monotonic() - begun
    for number in range(3):
        job = place.start(place.other)
        time.sleep((number + chosen.random()) / 3 * lasts)
        job.send(signal.SIGKILL)
        job.wait()
        crashes.check_session(job.pid)
        crashes.check_place(place)
    place.build_the_next(good)


@pytest.mark.parametrize(
    ("stage", "stop"),
    [
        ("reading", signal.SIGTERM),
        ("writing", signal.SIGINT),
        ("indexing", signal.SIGTERM),
        ("a Parquet file", signal.SIGINT),
        ("before the checksums", signal.SIGTERM),
    ],
)
def test_a_stopped_build_cleans_up_and_says_what_there_is(
    place: Place, good: set[str], visits: Any, stage: str, stop: signal.Signals
) -> None:
    before = hash_file(place.database)
    job = place.start(place.other, fault=make_fault(stage, stop.name))
    assert job.wait() == 128 + stop
    is_new = crashes.check_place(place) != before
    assert is_new == (stage in AFTER_REPLACING)
    says = (
        "db/daily.db is written, but not its Parquet files"
        if is_new
        else "the database is as it was"
    )
    assert job.said.splitlines()[-1] == f"build.py: stopped; {says}"
    assert place.list_files() <= good
    if is_new:
        place.build_the_next(good)


REFUSED = {
    "before inspect-data.json is forgotten": "build.py: cannot write db/daily.db: ",
    "before the database is replaced": "build.py: cannot write db/daily.db: ",
    "before inspect-data.json": "build.py: db/daily.db is written, but not inspect-data.json: ",
    "first Parquet file": "build.py: db/daily.db is written, but not its Parquet files: ",
    "before the checksums": "build.py: db/daily.db is written, but not its Parquet files: ",
}


@pytest.mark.parametrize("stage", REFUSED)
def test_what_the_disk_refuses_is_said_in_one_line(
    place: Place, good: set[str], visits: Any, stage: str
) -> None:
    before = hash_file(place.database)
    job = place.start(place.other, fault=make_fault(stage, "refuse"))
    assert job.wait() == 1
    assert job.said.splitlines()[-1] == f"{REFUSED[stage]}No space left on device"
    assert "Traceback" not in job.said
    assert (crashes.check_place(place) != before) == ("is written" in REFUSED[stage])
    assert place.list_files() <= good
    place.build_the_next(good)


def test_a_disk_that_is_full_at_any_point_keeps_the_old_file(
    place: Place, good: set[str], visits: Any
) -> None:
    """A limit on the size of files stands for the disk."""
    sizes = [place.database.stat().st_size]
    place.build(place.other)
    sizes.append(place.database.stat().st_size)
    name, before = place.other, hash_file(place.database)
    for part in range(5):
        limit = min(sizes) * part // 5 + 1_000
        job = place.start(name, limits={"RLIMIT_FSIZE": limit})
        assert job.wait() == 1, limit
        assert job.said.splitlines()[-1].startswith("build.py: cannot write db/daily.db: ")
        assert crashes.check_place(place) == before
        assert place.list_files() == good
    place.build_the_next(good)


@pytest.mark.parametrize(
    ("stage", "end"),
    [
        ("writing", signal.SIGKILL),
        ("before inspect-data.json", signal.SIGCONT),
        ("a Parquet file", signal.SIGKILL),
    ],
)
def test_a_build_waits_for_one_that_stands_still(
    place: Place, good: set[str], visits: Any, stage: str, end: signal.Signals
) -> None:
    """The first has a set to write, the second another: what is left is the second's, all of it."""
    name, name_of_second = place.other, next(one for one in SETS if one != place.other)
    first = place.start(name, fault=make_fault(stage, "SIGSTOP"))
    try:
        wait_until(lambda: read_state(first.pid) == "T")
        second = place.start(name_of_second)
        wait_until(lambda: "another build writes into db/; waiting for its end\n" in second.said)
        crashes.check_place(place)
        assert second.poll() is None
    finally:
        first.send(end)
    assert first.wait() == (0 if end is signal.SIGCONT else -signal.SIGKILL)
    assert second.wait() == 0
    crashes.check_place(place)
    assert place.other == name
    assert place.list_files() == good


def read_state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]


# --- The target ---------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.txt"
    path.write_bytes(cards_page(card("Whole")))
    return path


def build_to(place: Place, target: Path, page: Path) -> tuple[int, str]:
    job = place.shop.start("build.py", "--db", target, page)
    return job.wait(), job.said


def test_what_is_no_file_is_not_replaced(place: Place, tmp_path: Path, page: Path) -> None:
    pipe, loop, folder = tmp_path / "pipe.db", tmp_path / "loop.db", tmp_path / "folder.db"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    folder.mkdir()
    assert build_to(place, pipe, page) == (
        2, f"build.py: {pipe} is not a file; choose another --db\n",
    )  # fmt: skip
    assert pipe.is_fifo()
    assert build_to(place, loop, page) == (
        1, f"build.py: cannot write {loop}: Too many levels of symbolic links\n",
    )  # fmt: skip
    assert build_to(place, folder, page)[0] == 2
    long = tmp_path / ("a" * 300)
    assert build_to(place, long, page) == (
        1, f"build.py: cannot write {long}: File name too long\n",
    )  # fmt: skip


def test_links_lead_to_the_file_or_keep_the_old_one(
    place: Place, tmp_path: Path, page: Path
) -> None:
    dangling, target = tmp_path / "dangling.db", tmp_path / "far" / "target.db"
    dangling.symlink_to(target)
    assert build_to(place, dangling, page)[0] == 0
    assert (dangling.is_symlink(), target.is_file()) == (True, True)
    other = tmp_path / "other.db"
    other.hardlink_to(target)
    before = hash_file(target)
    page.write_bytes(cards_page(card("Whole"), card("Another")))
    assert build_to(place, target, page)[0] == 0
    assert hash_file(other) == before != hash_file(target)


@pytest.mark.parametrize("ending", ["2>&-", "2>&1 | true"])
def test_a_build_that_nobody_listens_to_goes_on(tmp_path: Path, page: Path, ending: str) -> None:
    build = f"'{sys.executable}' '{PROJECT / 'build.py'}' --db papers.db page.txt"
    command = f"set -o pipefail; {build} {ending}"
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, timeout=60, capture_output=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    with closing(sqlite3.connect(tmp_path / "papers.db")) as connection:
        assert connection.execute("select count(*) from papers").fetchone() == (1,)


# --- A damaged database -------------------------------------------------------------------------


def cut(content: bytes) -> bytes:
    return content[:-4_096]


def empty(content: bytes) -> bytes:
    return b""


def overwrite(content: bytes) -> bytes:
    """Zeros over what the first index holds, far from the schema."""
    return content[:40_960] + bytes(200_000) + content[240_960:]


def misplace(content: bytes) -> bytes:
    return content[5:]


def shorten(content: bytes) -> bytes:
    return content[:50]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (cut, r"is cut off after [\d,]+ of [\d,]+ bytes"),
        (shorten, "is cut off after 50 of 100 bytes"),
        (empty, "is empty"),
        (misplace, "is not a SQLite database"),
        (overwrite, r"is damaged \(.+\)"),
    ],
)
def test_a_site_says_in_one_line_that_its_database_is_damaged(
    place: Place, tmp_path: Path, harm: Callable[[bytes], bytes], says: str
) -> None:
    file = tmp_path / "daily.db"
    file.write_bytes(harm(place.database.read_bytes()))
    job = place.shop.start("datasette", "serve", ".", "-i", file, "--get", "/")
    assert job.wait() == 1
    assert re.fullmatch(
        f"Error: {file} {says}; build it again with build.py or make db\n", job.said
    )


# --- Fetching -----------------------------------------------------------------------------------

DAYS = ("2025-12-29", "2025-12-30")
FETCH_STAGES = {
    "before a file is written": ("open", r"30\.json\.part$", 1),
    "before it is in place": ("rename", r"30\.json$", 1),
    "after it is in place": ("after", r"30\.json$", 1),
}


def start_fetch(place: Place, server: Server, folder: Path, **choices: Any) -> Job:
    given = ("--to", folder, "--pause", "0", "--base-url", server.base, *DAYS)
    return place.shop.start("fetch.py", *given, **environ(), **choices)


@pytest.mark.parametrize(
    ("stage", "do"),
    [
        *((stage, "SIGKILL") for stage in FETCH_STAGES),
        ("before it is in place", "SIGTERM"),
        ("before it is in place", "refuse"),
    ],
)
def test_a_fetch_that_ends_at_any_stage_goes_on_from_there(
    place: Place, server: Server, tmp_path: Path, stage: str, do: str
) -> None:
    folder = tmp_path / "days"
    event, pattern, nth = FETCH_STAGES[stage]
    server.answers = [send(entries(1)), send(entries(2)), send(entries(2))]
    fault = {"event": event, "pattern": pattern, "nth": nth, "do": do}
    ended = start_fetch(place, server, folder, fault=fault)
    assert ended.wait() == {"SIGKILL": -9, "SIGTERM": 143, "refuse": 1}[do]
    assert "Traceback" not in ended.said
    there = {path.name for path in folder.iterdir()}
    is_there = stage == "after it is in place"
    left = {".2025-12-30.json.part"} if do == "SIGKILL" and event == "rename" else set()
    assert there == {"2025-12-29.json"} | ({"2025-12-30.json"} if is_there else left)
    again = start_fetch(place, server, folder)
    assert again.wait() == 0, again.said
    for day, number in zip(DAYS, (1, 2), strict=True):
        assert json.loads((folder / f"{day}.json").read_text()) == entries(number)
    assert len(server.asked) == (2 if is_there else 3)
    assert {path.name for path in folder.iterdir()} == {f"{day}.json" for day in DAYS}


# --- Mailing ------------------------------------------------------------------------------------

READERS = [f"reader{number}@example.org" for number in range(6)]
DIGEST_STAGES = {
    "before a claim": ("sql", "insert into sent", 3),
    "before it is confirmed": ("sql", "update sent", 3),
}


@pytest.fixture
def office() -> Iterator[PostOffice]:
    controller = Controller(post := Post(), hostname="127.0.0.1", port=find_port())
    controller.start()
    yield PostOffice(controller, post)
    controller.stop()


def start_digest(
    place: Place, office: PostOffice, state: Path, readers: list[str], **choices: Any
) -> Job:
    given = ["--state", state, "--tls", "none", "--smtp-port", office.port]
    given += [part for reader in readers for part in ("--to", reader)]
    return place.shop.start("digest.py", *given, **ENVIRONMENT, **choices)


def read_sent(state: Path) -> dict[str, bool]:
    """Whether a mail to an address is known to have been accepted."""
    if not state.exists():
        return {}
    with closing(sqlite3.connect(state)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        tables = connection.execute("select name from sqlite_master").fetchall()
        return dict(connection.execute("select address, at not null from sent")) if tables else {}


def check_mails(office: PostOffice, state: Path, readers: list[str]) -> set[str]:
    """At most one mail a reader; without a row none, with a time one. The others are in doubt."""
    sent = read_sent(state)
    mails = Counter(office.post.readers)
    for reader in readers:
        assert mails[reader] <= 1
        if reader not in sent:
            assert mails[reader] == 0
        elif sent[reader]:
            assert mails[reader] == 1
    return {reader for reader, accepted in sent.items() if not accepted}


def send_the_rest(place: Place, office: PostOffice, state: Path, readers: list[str]) -> None:
    """The next run sends to all but those in doubt, which it names."""
    in_doubt = check_mails(office, state, readers)
    assert len(in_doubt) <= 1
    run = start_digest(place, office, state, readers)
    assert run.wait() == (1 if in_doubt else 0)
    assert run.said.count("not known whether it arrived") == len(in_doubt)
    assert check_mails(office, state, readers) == in_doubt
    assert set(readers) - set(office.post.readers) <= in_doubt
    assert {path.name for path in state.parent.iterdir()} == {state.name, f".{state.name}.lock"}


@pytest.mark.parametrize(
    ("stage", "do"),
    [
        *((stage, "SIGKILL") for stage in DIGEST_STAGES),
        ("before a claim", "SIGINT"),
        ("before it is confirmed", "SIGTERM"),
    ],
)
def test_a_run_that_ends_at_any_stage_sends_nothing_twice(
    place: Place, office: PostOffice, tmp_path: Path, stage: str, do: str
) -> None:
    event, pattern, nth = DIGEST_STAGES[stage]
    fault = {"event": event, "pattern": pattern, "nth": nth, "do": do}
    state = tmp_path / "state" / "sent.db"
    job = start_digest(place, office, state, READERS, fault=fault)
    assert job.wait() == {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}[do]
    assert office.post.readers == READERS[: 2 if stage == "before a claim" else 3]
    send_the_rest(place, office, state, READERS)


def test_runs_killed_at_chance_moments_send_nothing_twice(
    place: Place, office: PostOffice, tmp_path: Path
) -> None:
    chosen = random.Random(8)
    state = tmp_path / "state" / "sent.db"
    wanted = [reader.replace("reader", f"{run}-") for run in range(3) for reader in READERS]
    for run in range(3):
        readers = wanted[run * len(READERS) :][: len(READERS)]
        job = start_digest(place, office, state, readers)
        wait_until(state.exists)
        time.sleep(chosen.random() * 0.2)
        job.send(signal.SIGKILL)
        job.wait()
        in_doubt = check_mails(office, state, readers) & set(readers)
        assert len(in_doubt) <= 1
        rest = [reader for reader in readers if reader not in in_doubt]
        assert start_digest(place, office, state, rest).wait() == 0
        check_mails(office, state, readers)
        assert set(rest) <= set(office.post.readers)


def test_a_full_disk_sends_nothing_twice(place: Place, office: PostOffice, tmp_path: Path) -> None:
    """What the state cannot claim is not sent; what it cannot confirm is in doubt."""
    readers = [f"reader{number}@example.org" for number in range(40)]
    state = tmp_path / "state" / "sent.db"
    job = start_digest(place, office, state, readers, limits={"RLIMIT_FSIZE": 9_000})
    assert job.wait() == 1
    assert re.search(rf"^digest.py: {state}: .*(full|I/O error)$", job.said.splitlines()[-1])
    assert 0 < len(office.post.mails) < len(readers)
    send_the_rest(place, office, state, readers)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_does_not_wait_for_the_server(
    place: Place, office: PostOffice, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    go_on = threading.Event()
    office.post.before_answer = lambda: assert_holds(go_on.wait(60))
    state = tmp_path / "state" / "sent.db"
    job = start_digest(place, office, state, READERS)
    wait_until(lambda: bool(office.post.mails))
    job.send(stop)
    assert job.wait(20) == code, "it waits five minutes for the answer"
    assert job.said.splitlines()[-1].startswith("digest.py: stopped; ")
    go_on.set()
    office.post.before_answer = None
    assert check_mails(office, state, READERS) == {READERS[0]}
    send_the_rest(place, office, state, READERS)


def assert_holds(value: bool) -> None:
    assert value
