"""A site that runs: a new database under it, and its end."""

import asyncio
import csv
import hashlib
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from datasette.app import Datasette

from dailypapers.files import replace_file
from dailypapers.finishing import write_inspect_data
from dailypapers.publishing import opened, switching

from .conftest import PROJECT, skip_without
from .processes import find_port, wait_until

FILES = ("build.py", "metadata.yml", "settings.json", "vocabulary.yml", "synonyms.yml")
FOLDERS = ("plugins", "templates", "static")
PAGES = (
    "/",
    "/daily/papers?_sort=published",
    "/daily/papers.json?_shape=array&_size=3",
    "/daily/tags.json?_shape=array",
    "/daily/search.json?q=model&_shape=array",
    "/daily.json?sql=select+count(*)+from+papers&_shape=array",
    "/daily/papers.csv?_stream=on",
    "/daily/feed.atom",
    "/daily.db.sha256",
)
ALL_ROWS = "/daily/papers.csv?_stream=on"
HASH = "/daily.db.sha256"
FACTS = ("/-/settings.json", "/-/plugins.json?all=1", "/-/versions.json", "/", "/daily/papers")


@dataclass(frozen=True)
class Running:
    """A real server in a copy of the project."""

    folder: Path
    address: str
    process: subprocess.Popen[str]
    log: Path

    def get(self, path: str) -> bytes:
        answer = httpx.get(self.address + path, timeout=30)
        assert answer.status_code == 200, (path, answer.text)
        return answer.content

    def build(self, *listings: Path) -> None:
        command = [sys.executable, "build.py", *map(str, listings)]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=120)

    def list_open_files(self) -> list[str]:
        folder = Path(f"/proc/{self.process.pid}/fd")
        return [str(path.readlink()) for path in folder.iterdir() if path.is_symlink()]

    def count_old_files(self) -> int:
        """How many handles the server has on databases that lie nowhere any more."""
        return sum(path.endswith("daily.db (deleted)") for path in self.list_open_files())

    def count_threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose papers fill more than the buffers between a server and a visitor."""
    folder = tmp_path_factory.mktemp("many")
    database = folder / "daily.db"
    for command in (
        [PROJECT / "bench" / "listing_pages.py", folder / "pages", "1500"],
        [PROJECT / "build.py", "--db", database, folder / "pages"],
    ):
        subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=120)
    return database


@pytest.fixture
def running(tmp_path: Path, many: Path) -> Iterator[Running]:
    """The project with many papers, as `make serve` runs it."""
    skip_without("/proc", Path("/proc/self/fd").is_dir())
    copy_project(tmp_path)
    replace(tmp_path, many)
    with serve(tmp_path, "-m", "datasette") as server:
        yield server


def copy_project(folder: Path) -> None:
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    for name in FOLDERS:
        shutil.copytree(PROJECT / name, folder / name)


@contextmanager
def serve(folder: Path, *words: str) -> Iterator[Running]:
    port = str(find_port())
    log = folder / "log.txt"
    command = [sys.executable, *words, ".", "-i", "db/daily.db", "--cors", "--port", port]
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, text=True) as process,
    ):
        running = Running(folder, f"http://127.0.0.1:{port}", process, log)
        try:
            wait_until(lambda: answers(running), 30)
            yield running
        finally:
            process.kill()


def answers(running: Running) -> bool:
    try:
        return httpx.get(f"{running.address}/-/versions.json").status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Visitors:
    """Threads that ask for all pages in turn, and what they got, in order of their questions."""

    address: str
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, float, str, str, bytes]] = field(default_factory=list)
    failures: list[object] = field(default_factory=list)

    def visit(self) -> None:
        with httpx.Client(base_url=self.address, timeout=30) as client:
            while not self.stop.is_set():
                for path in PAGES:
                    self.ask(client, path)

    def ask(self, client: httpx.Client, path: str) -> None:
        began = time.monotonic()
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            self.failures.append((path, error))
            return
        if answer.status_code != 200:
            self.failures.append((path, answer.status_code, answer.text))
        etag = answer.headers.get("etag", "")
        self.answers.append((began, time.monotonic(), path, etag, answer.content))


@contextmanager
def visitors(address: str, number: int) -> Iterator[Visitors]:
    all_of_them = Visitors(address)
    threads = [threading.Thread(target=all_of_them.visit) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield all_of_them
    finally:
        all_of_them.stop.set()
        for thread in threads:
            thread.join()


def test_every_answer_is_of_one_database(running: Running) -> None:
    old = {path: ask(running, path) for path in PAGES}
    with visitors(running.address, 4) as all_of_them:
        running.build(*sorted((PROJECT / "listings").glob("00*.txt")))
        wait_until(lambda: ask(running, HASH) != old[HASH])
        time.sleep(1)
    assert all_of_them.failures == []
    new = {path: ask(running, path) for path in PAGES}
    assert all(old[path] != new[path] for path in PAGES)
    first_new = float("inf")
    for began, ended, path, etag, body in sorted(all_of_them.answers, key=lambda one: one[1]):
        assert (etag, body) in (old[path], new[path]), path
        if (etag, body) == new[path]:
            first_new = min(first_new, ended)
        else:
            assert began < first_new, f"{path} is of the old database again"
    assert first_new < float("inf")
    assert running.log.read_text().count("A new database is served.") == 1


def ask(running: Running, path: str) -> tuple[str, bytes]:
    """The answer with its tag."""
    answer = httpx.get(running.address + path, timeout=30)
    assert answer.status_code == 200
    return answer.headers.get("etag", ""), answer.content


@contextmanager
def slow_answer(running: Running, path: str) -> Iterator[Callable[[], bytes]]:
    """Ask, and read no more than the beginning until the function given is called."""
    host, port = running.address.removeprefix("http://").split(":")
    with socket.socket() as visitor:
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        visitor.settimeout(60)
        visitor.connect((host, int(port)))
        request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"  # ends with the connection
        visitor.sendall(request.encode())
        begun = visitor.recv(1000)
        assert begun.startswith(b"HTTP/1.1 200")

        def read_rest() -> bytes:
            parts = [begun]
            while part := visitor.recv(65536):
                parts.append(part)
            return b"".join(parts).partition(b"\r\n\r\n")[2]

        yield read_rest


def count_rows(answer: bytes) -> int:
    return len(list(csv.DictReader(io.StringIO(answer.decode()))))


def test_who_is_reading_gets_the_old_database_whole(running: Running, sample: Path) -> None:
    whole, checksum = running.get(ALL_ROWS), running.get(HASH).split()[0].decode()
    with slow_answer(running, ALL_ROWS) as rows, slow_answer(running, "/daily.db") as file:
        replace(running.folder, sample)
        wait_until(lambda: running.get(HASH).split()[0].decode() != checksum)
        time.sleep(2)
        assert running.count_old_files(), "the buffers hold all of it: the test needs more papers"
        assert rows() == whole
        assert hashlib.sha256(file()).hexdigest() == checksum
    assert count_rows(whole) == 1500
    assert count_rows(running.get(ALL_ROWS)) == 436
    wait_until(lambda: not running.count_old_files())


def replace(folder: Path, database: Path) -> None:
    """As build.py does."""
    put_in_place(database, folder / "db" / "daily.db")
    write_inspect_data(folder / "db" / "daily.db", folder / "inspect-data.json")


def put_in_place(source: Path, target: Path) -> None:
    with replace_file(target, "new") as part:
        shutil.copyfile(source, part)


def test_switching_leaves_nothing_behind(running: Running, sample: Path, many: Path) -> None:
    files, threads = [], []
    for number in range(8):
        checksum = running.get(HASH)
        replace(running.folder, [sample, many][number % 2])
        wait_until(lambda: running.get(HASH) != checksum)  # noqa: B023
        running.get("/")
        wait_until(lambda: not running.count_old_files())
        files.append(sum(path.endswith("daily.db") for path in running.list_open_files()))
        threads.append(running.count_threads())
    assert len(set(files)) == 1
    assert threads[-1] < threads[0] + 6  # the event loop's own may become six


# In this process, where waiting can be made short


@pytest.fixture
def target(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that no inspect-data.json speaks of."""
    monkeypatch.setattr(switching, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(switching, "PATIENCE", 0.3)
    path = tmp_path / "daily.db"
    shutil.copy(sample, path)
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of one page alone."""
    path = tmp_path_factory.mktemp("other") / "daily.db"
    page = next((PROJECT / "listings").glob("000*.txt"))
    command = [sys.executable, PROJECT / "build.py", "--db", path, page]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


def make_site(**files: Any) -> Datasette:
    """The project, where more than a hundred rows are sent while they are read."""
    settings = json.loads((PROJECT / "settings.json").read_text()) | {"max_returned_rows": 100}
    return Datasette(
        **files, config_dir=PROJECT, inspect_data={"_": {}}, cors=True, settings=settings
    )


@asynccontextmanager
async def live(datasette: Datasette) -> AsyncIterator[httpx.AsyncClient]:
    """The site as a server runs it, with its beginning and end."""
    app, said, heard = datasette.app(), asyncio.Queue[Any](), asyncio.Queue[Any]()
    life = asyncio.create_task(app({"type": "lifespan"}, said.get, heard.put))
    await said.put({"type": "lifespan.startup"})
    assert await heard.get() == {"type": "lifespan.startup.complete"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await said.put({"type": "lifespan.shutdown"})
    assert await heard.get() == {"type": "lifespan.shutdown.complete"}
    await life


async def count_papers(client: httpx.AsyncClient) -> int:
    path = "/daily.json?sql=select+count(*)+from+papers&_shape=arrayfirst"
    answer = await client.get(path)
    assert answer.status_code == 200
    count: int = answer.json()[0]
    return count


async def wait_for(client: httpx.AsyncClient, count: int) -> None:
    async with asyncio.timeout(15):
        while await count_papers(client) != count:
            await asyncio.sleep(0.05)


async def test_a_file_of_others_is_taken_when_it_lies_still(target: Path, other: Path) -> None:
    async with live(make_site(immutables=[str(target)])) as client:
        assert await count_papers(client) == 436
        put_in_place(other, target)
        await wait_for(client, 43)
        checksum = hashlib.sha256(other.read_bytes()).hexdigest()
        assert (await client.get(HASH)).text == f"{checksum}  daily.db\n"
        assert (await client.get("/daily.db")).content == other.read_bytes()


async def test_a_file_that_comes_at_the_start_is_taken_at_once(target: Path, other: Path) -> None:
    site = make_site(immutables=[str(target)])
    await site.invoke_startup()
    put_in_place(other, target)
    async with live(site) as client:
        assert await count_papers(client) == 43
        checksum = hashlib.sha256(other.read_bytes()).hexdigest()
        assert (await client.get(HASH)).text == f"{checksum}  daily.db\n"


async def test_what_begins_before_the_switch_is_of_the_old_file(
    target: Path, other: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "PATIENCE", 60)
    async with live(make_site(immutables=[str(target)])) as client:
        put_in_place(other, target)
        answers = await asyncio.gather(*(client.get(ALL_ROWS) for _ in range(opened.SPARES * 2)))
        assert [count_rows(answer.content) for answer in answers] == [436] * len(answers)
        assert (await client.get("/daily.db")).content == sample.read_bytes()
        assert await asyncio.gather(*(count_papers(client) for _ in range(30))) == [436] * 30
        counted = (await client.get("/daily/papers.json?_size=0")).json()
        assert counted["filtered_table_rows_count"] == 436


@pytest.mark.parametrize("spoilt", ["no database", "half", "strange"])
async def test_a_file_that_cannot_be_served_is_not(
    target: Path, other: Path, spoilt: str, capfd: pytest.CaptureFixture[str]
) -> None:
    part = target.with_name("part")
    if spoilt == "strange":
        subprocess.run(["sqlite3", part, "create table papers (id)"], check=True)
    else:
        content = b"nonsense" * 5000 if spoilt == "no database" else other.read_bytes()
        part.write_bytes(content[: len(content) // 2])
    async with live(make_site(immutables=[str(target)])) as client:
        part.replace(target)
        said, deadline = "", time.monotonic() + 15
        while "not served" not in said and time.monotonic() < deadline:
            assert await count_papers(client) == 436
            said += capfd.readouterr().err
        await asyncio.sleep(0.5)
        assert (said + capfd.readouterr().err).count("The new database is not served") == 1
        assert count_rows((await client.get(ALL_ROWS)).content) == 436
        put_in_place(other, target)
        await wait_for(client, 43)


async def test_a_missing_file_changes_nothing(target: Path, other: Path) -> None:
    async with live(make_site(immutables=[str(target)])) as client:
        target.unlink()
        await asyncio.sleep(0.5)
        assert await count_papers(client) == 436
        assert count_rows((await client.get(ALL_ROWS)).content) == 436
        assert not target.exists()
        put_in_place(other, target)
        await wait_for(client, 43)


async def test_a_database_that_may_change_is_left_alone(target: Path, other: Path) -> None:
    site = make_site(files=[str(target)])
    async with live(site) as client:
        assert await count_papers(client) == 436
        put_in_place(other, target)
        await asyncio.sleep(0.6)
        assert await count_papers(site.client) == await count_papers(client)
        assert opened.list_opened(site) == {}


async def test_the_new_site_is_as_if_started_again(target: Path, other: Path) -> None:
    metadata = (PROJECT / "metadata.yml").read_text()

    def start() -> Datasette:
        return Datasette(
            immutables=[str(target)], config_dir=PROJECT, inspect_data={"_": {}}, cors=True,
            metadata={**yaml.safe_load(metadata), "title": "Another"}, secret="known",
            settings={"default_page_size": 7, "num_sql_threads": 5}, version_note="a note",
        )  # fmt: skip

    site = start()
    async with live(site) as client:
        put_in_place(other, target)
        await wait_for(client, 43)
        site = start()
        await site.invoke_startup()
        for path in FACTS:
            theirs, ours = await site.client.get(path), await client.get(path)
            assert (ours.text, ours.headers) == (theirs.text, theirs.headers)
        cookie = f"ds_actor={site.sign({'a': {'id': 'root'}}, 'actor')}"
        answer = await client.get("/-/actor.json", headers={"Cookie": cookie})
        assert answer.json() == {"actor": {"id": "root"}}


# The end


def test_what_is_in_flight_is_finished(running: Running) -> None:
    whole = running.get(ALL_ROWS)
    with slow_answer(running, ALL_ROWS) as rows:
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(running))
        assert running.process.poll() is None
        assert rows() == whole
    assert running.process.wait(10) == 0


def test_nobody_keeps_it_from_ending(running: Running) -> None:
    running.process.kill()
    start = (
        "from dailypapers.publishing import stopping; stopping.LONGEST_FINISH = 1\n"
        "from datasette.cli import cli; cli()"
    )
    with serve(running.folder, "-c", start, "serve") as server, slow_answer(server, ALL_ROWS):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
