import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from hypothesis import settings

from dailypapers.finishing import write_inspect_data
from dailypapers.publishing.opened import close_files

from .processes import find_port, wait_until_up

# The same examples in every run: CI must not fail by chance. EXPLORE=1 looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile("explore" if os.environ.get("EXPLORE") else "same")

# Where the tests run in the background, Ctrl-C is ignored, also by what they start and stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).parent.parent

Build = Callable[..., subprocess.CompletedProcess[str]]
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Run build.py as a user does, in an empty folder, to `papers.db` there."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, PROJECT / "build.py", *map(str, arguments)]
        if "--db" not in arguments and "--help" not in arguments:
            command += ["--db", "papers.db"]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def query(tmp_path: Path) -> Query:
    """Ask the database that `build` wrote."""

    def run(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{tmp_path}/papers.db?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    return run


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the sample's four pages, whatever else lies in listings/ by now."""
    path = tmp_path_factory.mktemp("sample") / "daily.db"
    pages = sorted((PROJECT / "listings").glob("00*.txt"))
    command = [sys.executable, PROJECT / "build.py", "--strict", "--db", path, *pages]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return path


@pytest.fixture
async def site(sample: Path) -> AsyncIterator[Datasette]:
    """The project served as `make serve` does, from the sample."""
    inspect_file = sample.with_name("inspect-data.json")
    write_inspect_data(sample, inspect_file)
    ds = Datasette(
        immutables=[str(sample)],
        config_dir=PROJECT,
        inspect_data=json.loads(inspect_file.read_text()),
        cors=True,
    )
    await ds.invoke_startup()
    yield ds
    await close_files(ds)


@pytest.fixture(scope="session")
def served(sample: Path) -> Iterator[str]:
    """The address of a real server that serves the project from the sample."""
    inspect_file = sample.with_name("inspect-data.json")
    write_inspect_data(sample, inspect_file)
    port = find_port()
    command = [sys.executable, "-m", "datasette", PROJECT, "-i", sample, "--cors",
               "--port", str(port), "--inspect-file", inspect_file]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until_up(address, server)
            yield address
        finally:
            server.terminate()


def find_chromium() -> str | None:
    """The browser that tests/test_browser.py drives."""
    names = ("chromium", "chromium-browser", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def skip_without(tool: str, found: object) -> None:
    """Skip a test whose tool this machine lacks; where NO_SKIPS is set, fail it."""
    if not found:
        assert "NO_SKIPS" not in os.environ, f"{tool} is not installed"
        pytest.skip(f"{tool} is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that the browser's tests did not run."""
    if not find_chromium():
        terminalreporter.section("NO CHROMIUM: tests/test_browser.py DID NOT RUN", red=True)
        terminalreporter.line("No page was looked at. Install it: apt-get install chromium")
