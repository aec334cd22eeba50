"""Programs that say their stages, run with a watch on time and memory: build.py and its floor."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corpus import PROJECT

BENCH = Path(__file__).resolve().parent
RELATED = "finding related papers"
NOT_COPIED = (
    ".*", "__pycache__", "bench", "build", "db", "docs", "inspect-data.json", "listings", "tests",
)  # fmt: skip
_WITHOUT_RELATED = """
import runpy
import sys
from types import SimpleNamespace

# In place of the module, as importing that alone takes 150 MB.
sys.modules["dailypapers.related"] = SimpleNamespace(
    find_related=lambda texts, tags: iter([[]] * len(texts)), join_text=lambda *texts: ""
)
runpy.run_path("build.py", run_name="__main__")
"""
_STAGE = re.compile(r"[a-z][a-z -]{3,40}(?=…?$)")
_LOOK = 0.5
"""Seconds between two looks at the memory."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Stage:
    """What a program said it was doing, for how long, for how many seconds of all processors, and
    the most memory in MB that it held meanwhile. The latter two are 0 where there is no /proc."""

    name: str
    seconds: float = 0.0
    processor: float = 0.0
    peak: float = 0.0


def copy_project(folder: Path) -> None:
    """What the site is made and served with, so that nothing changes while it is measured, and
    db/daily.db stays as it is."""
    left_out = shutil.ignore_patterns(*NOT_COPIED)
    shutil.copytree(PROJECT, folder, ignore=left_out, dirs_exist_ok=True)
    (folder / "db").mkdir(exist_ok=True)


def build_database(project: Path, related: bool = True) -> list[Stage]:
    """Run the project's build.py as people do, on its listings/; without `related`, its search
    for related papers finds none."""
    program = ["build.py"] if related else ["-c", _WITHOUT_RELATED]
    return run_stages([sys.executable, *program], project, "reading and merging")


def build_barely(source: Path, target: Path) -> list[Stage]:
    """Run the floor: the rows of a built database into a new one."""
    command = [sys.executable, str(BENCH / "bare_build.py"), str(source), str(target)]
    return run_stages(command, BENCH, "starting")


def run_stages(command: Sequence[str], folder: Path, first: str) -> list[Stage]:
    """Run a program on a terminal, where it says each stage on a line of its own.

    Raises RuntimeError with its last words where it fails.
    """
    ours, its = pty.openpty()
    watch = Watch(Stage(first))
    said = b""
    with subprocess.Popen(
        command, cwd=folder, stdin=its, stdout=subprocess.DEVNULL, stderr=its
    ) as process:
        os.close(its)
        watch.begin(process.pid)
        while chunk := _read(ours):
            watch.look(process.pid)
            *lines, said = (said + chunk.strip(b"\0")).replace(b"\r", b"\n").split(b"\n")
            for name in filter(None, map(_find_stage, lines)):
                watch.change(process.pid, name)
        os.close(ours)
        watch.end(process.pid)
    if process.returncode:
        raise RuntimeError(f"{command[:3]} failed: {said.decode(errors='replace')[-500:]}")
    return watch.stages


class Watch:
    """The stages of a process, of which the last one is going on."""

    def __init__(self, first: Stage) -> None:
        self.stages = [first]
        self._began = self._used = 0.0

    def begin(self, pid: int) -> None:
        """The last stage begins now."""
        self._began, self._used = time.perf_counter(), measure_processor(pid)
        _forget_peak(pid)

    def look(self, pid: int) -> None:
        """Note how much memory is held."""
        self.stages[-1].peak = max(self.stages[-1].peak, measure_memory(pid))

    def end(self, pid: int) -> None:
        """The last stage is over."""
        self.stages[-1].seconds = time.perf_counter() - self._began
        self.stages[-1].processor = measure_processor(pid) - self._used

    def change(self, pid: int, name: str) -> None:
        """Another stage begins."""
        self.end(pid)
        self.stages.append(Stage(name))
        self.begin(pid)


def _read(terminal: int) -> bytes:
    """What was said meanwhile, a zero byte for silence; nothing at the end."""
    if not select.select([terminal], [], [], _LOOK)[0]:
        return b"\0"
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so that nobody is at the other end any more
        return b""


def _find_stage(line: bytes) -> str | None:
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.decode("utf-8", "replace")).strip()
    match = _STAGE.match(words)
    return match[0] if match else None


def measure_memory(pid: int) -> float:
    """MB: the most that the process held, or that it and its children hold now without counting
    shared pages twice, whichever is more. 0 where there is no /proc."""
    with suppress(OSError):
        held = read_kilobytes(f"/proc/{pid}/status", "VmHWM")
        return max(held, _sum_kilobytes(pid, "Pss")) / 1024
    return 0.0


def measure_own_memory(pid: int) -> float:
    """MB that a process and its children hold now, but for files that they map. 0 where there is
    no /proc."""
    with suppress(OSError):
        return _sum_kilobytes(pid, "Pss_Anon") / 1024
    return 0.0


def _sum_kilobytes(pid: int, name: str) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(read_kilobytes(f"/proc/{one}/smaps_rollup", name) for one in [pid, *children])


def measure_processor(pid: int) -> float:
    """Seconds that a process, even one that just ended, and its ended children have worked."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def read_kilobytes(path: str, name: str) -> int:
    """A figure of a file of /proc; 0 where it has none of this name. Raises OSError."""
    match = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


def _forget_peak(pid: int) -> None:
    """Linux: the next VmHWM is the one of the stage that begins."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return
