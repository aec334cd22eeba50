"""Runs the project's commands as processes of their own that end, stop or fail at a named moment.

`python faults.py` imports once what is slow to import, then forks for each line of JSON on stdin.
The moments are what audit hooks, SQL statements and the profiler show from outside of the code.
"""

import atexit
import errno
import json
import os
import re
import resource
import runpy
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

PRELOADED = ("build", "fetch", "digest", "dailypapers.related", "pyarrow.parquet", "datasette.cli")


class Fault:
    """What happens at the n-th moment that a pattern describes, and at no other.

    `event` is one of open, rename, after (the next event after such a rename), sql and call (of a
    function in such a file).
    """

    def __init__(self, event: str, pattern: str, nth: int, do: str) -> None:
        self.event, self.pattern, self.left, self.do = event, re.compile(pattern), nth, do
        self.leader = os.getpid()
        self.is_armed = False

    def install(self) -> None:
        sys.addaudithook(self._hear)
        sqlite3.connect = partial(sqlite3.connect, factory=self._make_connection_class())
        if self.event == "call":
            sys.setprofile(lambda frame, event, _: self._see("call", frame.f_code.co_filename))

    def _make_connection_class(self) -> type[sqlite3.Connection]:
        see = partial(self._see, "sql")

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                see(sql)
                return super().execute(sql, *values)

            def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
                return super().executemany(sql, (see(sql) or row for row in rows))

        return Connection

    def _hear(self, event: str, facts: tuple[Any, ...]) -> None:
        if self.is_armed:
            self.is_armed = False
            self._strike()
        if event == "open":
            self._see("open", str(facts[0]))
        elif event == "os.rename":
            self._see("rename", str(facts[1]))

    def _see(self, event: str, what: str) -> None:
        is_rename_before = event == "rename" and self.event == "after"
        if (event != self.event and not is_rename_before) or not self.pattern.search(what):
            return
        self.left -= 1
        if self.left == 0:
            if is_rename_before:
                self.is_armed = True
            else:
                self._strike()

    def _strike(self) -> None:
        if self.do == "refuse":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.kill(self.leader, signal.Signals[self.do])


def run_job(job: dict[str, Any]) -> None:
    """Be the command, in a session of its own."""
    os.setsid()
    os.chdir(job["cwd"])
    for number in (1, 2):
        os.dup2(os.open(f"{job['files']}.{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(job["environment"])
    sys.argv = job["argv"]
    for name, limit in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if job["fault"]:
        Fault(**job["fault"]).install()
    if sys.argv[0] == "datasette":
        runpy.run_module("datasette", run_name="__main__")
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def supervise(job: dict[str, Any]) -> None:
    """Fork the command, tell its process id, and keep how it ended in a file."""
    leader = fork(lambda: run_job(job))
    print(leader, flush=True)
    status = os.waitstatus_to_exitcode(os.waitpid(leader, 0)[1])
    part = Path(f"{job['files']}.part")
    part.write_text(str(status))
    part.rename(f"{job['files']}.status")


def fork(act: Callable[[], None]) -> int:
    """A child that acts and ends, as a program of its own would."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        act()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else bool(error.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    for module in PRELOADED:
        __import__(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        fork(lambda: supervise(asked))  # noqa: B023
