"""The site in several processes: `python serve.py [--host HOST] [--port PORT] [--workers N]`.

Each process serves what `datasette . -i db/daily.db --cors` does. They share nothing but the port
and the file, which does not change, and what the system holds of it in memory. Other ASGI servers
take the factory `serve:create_app`.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from dailypapers.command import run_command, say, shorten_path

ROOT = Path(__file__).resolve().parent
DATABASE = ROOT / "db" / "daily.db"
GRACE = 20
"""Seconds that answers may still take when the server is told to stop."""

PATIENCE = 20
"""Seconds after which a process that does not react is replaced; a busy machine is slow to start
one."""

TURN = 0.0005
"""Seconds; shorter than the shortest answer takes, and enough for another process to wake up."""

App = Callable[..., Awaitable[Any]]


def create_app() -> App:
    """The application of one process. It works out what it needs when the server starts it, from
    inspect-data.json, which build.py wrote: no process reads the whole database."""
    from datasette.app import Datasette  # which the process that watches the others can spare

    datasette = Datasette(
        immutables=[str(DATABASE)],
        config_dir=ROOT,
        cors=True,
        # Else each process would sign cookies with a secret of its own.
        secret=os.environ.get("DATASETTE_SECRET"),
    )
    app: App = datasette.app()
    # What is there by now stays. To look through it for garbage would keep a visitor waiting for
    # 40 ms every few hundred pages.
    gc.freeze()
    return app


def start_app() -> App:
    """`create_app`, where one that fails is not tried again and again."""
    try:
        return create_app()
    except Exception:
        traceback.print_exc()
        sys.exit(STARTUP_FAILURE)


class SharingLoop(asyncio.SelectorEventLoop):
    """Takes one connection, and gives the other processes time to take the next one. asyncio takes
    all that wait: of eight visitors who stay connected, one process had eight, the other none."""

    def _accept_connection(
        self, protocol: Any, listening: Any, ssl: Any, server: Any, _: int, *rest: Any
    ) -> None:
        super()._accept_connection(protocol, listening, ssl, server, 1, *rest)  # type: ignore[misc]
        time.sleep(TURN)


class Worker(multiprocess.Process):
    """One whose end is seen at once. Did the other processes hold its end of the pipe, too, a
    question to one that died would wait for all of PATIENCE."""

    def start(self) -> None:
        """Give the worker its end."""
        super().start()
        self.child_conn.close()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: to all networks.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8001, envvar="PORT", show_default=True,
    show_envvar=True, help="Where it listens.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, envvar="WEB_CONCURRENCY",
    show_default=True, show_envvar=True, help="How many processes answer.",
)  # fmt: skip
def serve(host: str, port: int, workers: int) -> None:
    """Serve db/daily.db. SIGTERM ends it when what is being answered is answered."""
    if not DATABASE.is_file():
        raise click.ClickException(f"no {shorten_path(DATABASE)}; python build.py makes it")
    config = uvicorn.Config(
        "serve:start_app",
        factory=True,
        loop="auto" if workers == 1 else "serve:SharingLoop",
        lifespan="on",
        workers=workers,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=PATIENCE,
    )
    with listen(host, port) as listening:
        processes = "1 process" if workers == 1 else f"{workers} processes"
        say(f"Serving at port {listening.getsockname()[1]} of {host} with {processes}")
        run(config, listening)


def listen(host: str, port: int) -> socket.socket:
    """A socket for all processes.

    uvicorn's own does not say that it is TCP, whereupon asyncio leaves Nagle's algorithm on: an
    answer would wait 40 ms for the visitor's acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise click.ClickException(f"port {port} of {host}: {error.strerror}") from error
    return listening


def run(config: uvicorn.Config, listening: socket.socket) -> None:
    """Until a signal comes. A process that dies is replaced; one that cannot start ends all."""
    if config.workers == 1:
        # When all is done, uvicorn raises the signal once more: that is no failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        uvicorn.Server(config).run([listening])
        return
    multiprocess.Process = Worker  # type: ignore[misc]
    supervisor = multiprocess.Multiprocess(config, [listening])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    run_command(serve, "serve.py", "stopped")
