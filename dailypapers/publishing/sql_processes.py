"""Processes that run one visitor's statement each, and end with it or at its time.

A process that has loaded what they need, the stem, waits beside the site and forks one for each
statement, in four milliseconds. The site itself cannot fork: its threads would leave locks behind.
It talks to a stem by a socket that nobody else can reach, over which it sends the end of another
for each statement; when the site is gone, so is the stem.

`python -m dailypapers.publishing.sql_processes SOCKET PLUGIN...` is the stem.
"""

import asyncio
import gc
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from datasette.plugins import pm
from datasette.utils import module_from_path

from .bounded_sql import Answer, Statement, bound_connection, bound_process, run_statement

GRACE = 20
"""Seconds beyond its own limit after which nobody waits for an answer: on a busy machine, a new
stem may take so long to load. Processes know their limit themselves."""

BEGUN = b"."
"""What a process says before it runs anything: a statement that ended its process is not tried a
second time."""


class Stem:
    """The process that forks, started when it is needed first, and again should it ever die.

    `plugins` are the files whose prepare_connection gives SQL its functions.
    """

    def __init__(self, plugins: list[Path]) -> None:
        self._plugins = plugins
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Have it ready."""
        if not self._control:
            self._begin()

    def _begin(self) -> socket.socket:
        ours, its = socket.socketpair()
        command = [sys.executable, "-m", __name__, str(its.fileno()), *map(str, self._plugins)]
        with its:
            subprocess.Popen(
                command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._control = ours
        return ours

    def _fork(self) -> socket.socket:
        ours, its = socket.socketpair()
        with its:
            try:
                socket.send_fds(self._control or self._begin(), [b"."], [its.fileno()])
            except OSError:
                socket.send_fds(self._begin(), [b"."], [its.fileno()])
        return ours

    async def run(self, statement: Statement) -> Answer | None:
        """The answer; None where there was none in time."""
        sent = await self._send(statement)
        if sent == b"":  # the stem died before it forked, so that nothing was run
            self._control = None
            sent = await self._send(statement)
        answer = sent.removeprefix(BEGUN) if sent else None
        return pickle.loads(answer) if answer else None

    async def _send(self, statement: Statement) -> bytes | None:
        """What a process says of a statement: BEGUN, and its answer. None when time was over."""
        reader, writer = await asyncio.open_unix_connection(sock=self._fork())
        try:
            async with asyncio.timeout(statement.limit_ms / 1000 + GRACE):
                writer.write(pickle.dumps(statement))
                writer.write_eof()
                return await reader.read()
        except TimeoutError:
            return None
        except OSError:
            return b""
        finally:
            writer.close()


def main(control: socket.socket, plugins: list[str]) -> None:
    """Fork for each socket that comes, until there come no more."""
    for file in plugins:
        pm.register(module_from_path(file, name=Path(file).name))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    gc.freeze()  # or else collecting garbage would copy pages that are shared
    while True:
        message, sockets, *_ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with socket.socket(fileno=sockets[0]) as visitor:
            if os.fork() == 0:
                control.close()
                answer_one(visitor)


def answer_one(visitor: socket.socket) -> None:
    """Run the statement that comes, and end."""
    try:
        with visitor.makefile("rb") as file:
            statement: Statement = pickle.load(file)
        visitor.sendall(BEGUN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process, whatever it does
        signal.setitimer(signal.ITIMER_REAL, statement.limit_ms / 1000)
        bound_process()
        answer = pickle.dumps(run_statement(open_connection(statement), statement))
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(OSError):  # nobody waits any more
            visitor.sendall(answer)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def open_connection(statement: Statement) -> sqlite3.Connection:
    """A connection as Datasette's, with its functions, and bounded."""
    connection = sqlite3.connect(statement.uri, uri=True)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda text: str(text, "utf-8", "replace")
    pm.hook.prepare_connection(conn=connection, database=statement.database, datasette=None)
    bound_connection(connection)
    return connection


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
