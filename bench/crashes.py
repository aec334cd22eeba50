"""Kill builds at random moments while a site is asked: `python bench/crashes.py --kills 50`.

A copy of the project is built and served; then builds of one and of another set of listings are
killed (SIGKILL, the leading process alone) at moments spread over their whole run. After each, the
database must be one of the two, whole, and all that is said of it true; the next build must succeed
and leave nothing but its files. Meanwhile visitors ask the running site, whose answers must be of
one of the two.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from corpus import PROJECT
from serving import find_port, wait_until_up

from dailypapers.parquet import find_parquet_folder, hash_file, read_checksums

LEFT_OUT = (".*", "db", "tests", "bench", "listings", "*.json", "*.egg-info", "__pycache__")

FACTS = (
    "select (select count(*) from papers) papers, (select count(*) from entries) entries,"
    " (select count(*) from related_papers) related, (select sum(papers) from tags) tagged,"
    " (select group_concat(id) from (select id from listings order by id)) listings,"
    " (select count(*) from papers_fts where papers_fts match 'model') found"
)
"""One row that differs between two databases, and is wrong where one of them is not whole."""


@dataclass
class Place:
    """A copy of the project in a folder of its own, with two sets of listings to build from."""

    root: Path
    listings: dict[str, list[Path]]
    known: dict[str, tuple[object, ...]] = field(default_factory=dict)
    """The facts of each good database, by the file's hash."""
    paper: str = ""
    """A paper of both."""

    @property
    def database(self) -> Path:
        """The file that is served and built again and again."""
        return self.root / "db" / "daily.db"

    def make_command(self, name: str) -> list[str]:
        """How a set is built."""
        return [sys.executable, "build.py", "--parquet", *map(str, self.listings[name])]

    def start(self, name: str, **environment: str) -> subprocess.Popen[str]:
        """Begin to build, in a session of its own."""
        return subprocess.Popen(
            self.make_command(name),
            cwd=self.root,
            env=make_environment(self.root) | environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def build(self, name: str) -> None:
        """Build and wait; it must succeed."""
        with self.start(name) as build:
            said = build.communicate(timeout=300)[1]
        assert build.returncode == 0, said

    def learn(self) -> None:
        """Build each set once, and remember what comes out."""
        for name in reversed(self.listings):
            self.build(name)
            with closing(sqlite3.connect(self.database)) as connection:
                facts = connection.execute(FACTS).fetchone()
                (self.paper,) = connection.execute("select min(id) from papers").fetchone()
            self.known[hash_file(self.database)] = facts
        assert len(self.known) == len(self.listings), "the two databases are the same"

    def list_files(self) -> set[str]:
        """All files that a build could leave behind, by their path."""
        folders = (self.root / "db", self.root / "listings")
        found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
        found |= {path for path in self.root.iterdir() if path.is_file()}
        return {str(path.relative_to(self.root)) for path in found}


def make_environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}


def copy_project(root: Path) -> None:
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
    settings = json.loads((PROJECT / "settings.json").read_text())
    settings |= {"sql_time_limit_ms": 20_000}  # how busy the machine is, is not what is tried here
    (root / "settings.json").write_text(json.dumps(settings))


def make_place(root: Path, listings: dict[str, list[Path]]) -> Place:
    copy_project(root)
    place = Place(root, listings)
    place.learn()
    return place


# --- What must hold -----------------------------------------------------------------------------


def check_place(place: Place) -> str:
    """Raise AssertionError unless the database is whole and all that is said of it true; say which
    of the known ones it is."""
    checksum = hash_file(place.database)
    assert checksum in place.known, "the database is neither the old one nor the new one"
    with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        assert connection.execute(FACTS).fetchone() == place.known[checksum]
        check_inspect_data(place, checksum, connection)
    folder = find_parquet_folder(place.database)
    for name, stated in read_checksums(place.database, checksum).items():
        assert hash_file(folder / name) == stated, f"{name} is not what SHA256SUMS says"
    return checksum


def check_inspect_data(place: Place, checksum: str, connection: sqlite3.Connection) -> None:
    """It says nothing of the database, or what is true."""
    path = place.root / "inspect-data.json"
    said = json.loads(path.read_text()).get("daily") if path.exists() else None
    if said:
        assert said["hash"] == checksum, "inspect-data.json speaks of another file"
        assert said["size"] == place.database.stat().st_size
        for table, told in said["tables"].items():
            sql = f"select count(*) from [{table}]"  # noqa: S608
            assert connection.execute(sql).fetchone() == (told["count"],), table


def list_session(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            facts = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(facts[3]) == leader and facts[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def check_session(leader: int, patience: float = 10) -> None:
    """What a killed build had started ends by itself."""
    end = time.monotonic() + patience
    while orphans := list_session(leader):
        assert time.monotonic() < end, f"processes {orphans} outlive their build"
        time.sleep(0.02)


# --- The site and its visitors ------------------------------------------------------------------


@dataclass
class Visits:
    """What visitors saw. A wrong answer is one that no known database gives."""

    place: Place
    address: str
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    pause: float = 0.05
    ended: threading.Event = field(default_factory=threading.Event)

    def keep_asking(self) -> None:
        """Be a visitor who asks one thing after the other, until `ended`."""
        with httpx.Client(base_url=self.address, timeout=60) as client:
            for path in cycle(self._list_paths()):
                self._ask(client, path)
                if self.ended.wait(self.pause):
                    break

    def _list_paths(self) -> list[str]:
        return [
            str(httpx.URL("/daily.json", params={"sql": FACTS, "_shape": "arrays"})),
            f"/daily/papers/{self.place.paper}",
            "/",
            "/daily/papers?_sort_desc=published",
            "/daily/search?q=model",
            "/daily.db",
        ]

    def _ask(self, client: httpx.Client, path: str) -> None:
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            self.wrong.append(f"{path[:40]}: {error!r}")
            return
        self.answers[str(answer.status_code)] += 1
        if answer.status_code != 200:
            said = " ".join(re.sub("<[^>]*>", " ", answer.text.partition("</head>")[2]).split())
            self.wrong.append(f"{path[:40]}: HTTP {answer.status_code}: {said[:300]}")
        elif path.startswith("/daily.json"):
            if tuple(answer.json()["rows"][0]) not in self.place.known.values():
                self.wrong.append(f"neither old nor new: {answer.text[:200]}")
        elif path == "/daily.db":
            checksum = hashlib.sha256(answer.content).hexdigest()
            if checksum not in self.place.known or answer.headers["etag"] != f'"{checksum}"':
                self.wrong.append("the file that was sent is not the one that was named")


@contextmanager
def visit_site(place: Place, port: int, visitors: int = 2) -> Iterator[Visits]:
    """Serve the place while the block runs, and let visitors ask all the time."""
    command = [sys.executable, "-m", "datasette", ".", "-i", "db/daily.db", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = make_environment(place.root)
    with subprocess.Popen(command, cwd=place.root, env=environment, **quiet) as server:
        visits = Visits(place, f"http://127.0.0.1:{port}")
        threads = [threading.Thread(target=visits.keep_asking) for _ in range(visitors)]
        try:
            wait_until_up(server, port)
            for thread in threads:
                thread.start()
            yield visits
        finally:
            visits.ended.set()
            for thread in threads:
                if thread.ident:
                    thread.join()
            server.terminate()


# --- Killing ------------------------------------------------------------------------------------


def measure_build(place: Place, name: str) -> float:
    begun = time.monotonic()
    place.build(name)
    return time.monotonic() - begun


def kill_build(place: Place, name: str, after: float) -> str | None:
    """Kill a build after so many seconds, check what is left, and say how far it had come; None
    where it had ended."""
    before = hash_file(place.database)
    with place.start(name) as build:
        time.sleep(after)
        build.send_signal(signal.SIGKILL)
        build.communicate()
    is_writing = any(path.name.startswith(".") for path in place.database.parent.iterdir())
    check_session(build.pid)
    is_new = check_place(place) != before
    if build.returncode != -signal.SIGKILL:
        return None
    if is_new:
        return "after the database was replaced"
    return "while the database was written" if is_writing else "before it was written"


def run_kills(place: Place, kills: int, seed: int, good: set[str]) -> Counter[str]:
    """Kill so many builds at moments spread over their run, each followed by a good one."""
    chosen = random.Random(seed)
    found: Counter[str] = Counter()
    names = list(place.listings)
    name, lasts = names[0], measure_build(place, names[0])
    while found.total() < kills:
        name = names[names.index(name) - 1]
        moment = (found.total() + chosen.random()) / kills * lasts
        stage = kill_build(place, name, moment)
        found.update([stage] if stage else [])
        lasts = measure_build(place, name)  # other work on the machine makes it faster or slower
        check_place(place)
        strays = place.list_files() - good
        assert not strays, f"left behind: {strays}"
    return found


# --- Full disks ---------------------------------------------------------------------------------


@contextmanager
def mount_disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes at a folder, with what lay there on it; after the block, the folder
    is as it was."""
    kept = folder.with_name(f"{folder.name}-kept")
    shutil.copytree(folder, kept)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    try:
        subprocess.run(command, check=True, capture_output=True)
        try:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        shutil.rmtree(kept)


def measure_folder(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def meet_limits(place: Place, name: str, good: set[str], **environment: str) -> str:
    """Build where the disk may refuse, check what is left, and say how it ended."""
    with place.start(name, **environment) as build:
        said = build.communicate(timeout=300)[1]
    last = said.splitlines()[-1]
    assert "Traceback" not in said
    assert build.returncode == 0 or (build.returncode == 1 and last.startswith("build.py: ")), said
    check_place(place)
    assert place.list_files() <= good
    return "good" if build.returncode == 0 else last.partition(": ")[2]


def fill_disks(place: Place, good: set[str]) -> Counter[str]:
    """Build on disks with ever more room, from none to more than is needed, then on a read-only one
    and with no room for SQLite's temporary files."""
    folder, inspect_file = place.database.parent, place.root / "inspect-data.json"
    found: Counter[str] = Counter()
    place.build("some")
    told = inspect_file.read_bytes()
    used, block = measure_folder(folder), os.statvfs(folder).f_bsize
    sizes = [used + 20 * block + step * used // 2 for step in range(20)]
    for size in [*sizes, 20 * used]:
        with mount_disk(folder, size):
            if size == 20 * used:
                subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            found[meet_limits(place, "all", good)] += 1
        inspect_file.write_bytes(told)
    temporary = place.root.parent / "temporary"
    temporary.mkdir()
    with mount_disk(temporary, 2 * block):
        found[meet_limits(place, "all", good, SQLITE_TMPDIR=str(temporary))] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    pages = sorted((PROJECT / "listings").glob("00*.txt"))
    with TemporaryDirectory(prefix="crashes-") as folder:
        place = make_place(Path(folder) / "project", {"some": pages[:1], "all": pages})
        good = place.list_files()
        with visit_site(place, find_port()) as visits:
            killed = run_kills(place, options.kills, options.seed, good)
        limited = fill_disks(place, good) if os.geteuid() == 0 else Counter()
    print_counts(f"{killed.total()} builds killed (seed {options.seed})", killed)
    asked = visits.answers.total()
    print(f"{asked:,} answers of the running site meanwhile, {len(visits.wrong):,} wrong or failed")
    for answer in visits.wrong[:20]:
        print(f"  {answer}")
    print_counts(
        f"{limited.total()} builds on disks that were full or read-only (as root)", limited
    )
    print("Every database was whole, every next build good, and nothing was left behind.")
    sys.exit(bool(visits.wrong))


def print_counts(title: str, found: Counter[str]) -> None:
    print(title)
    for outcome, count in found.most_common():
        print(f"  {count:2} {outcome}")


if __name__ == "__main__":
    main()
