"""Real processes that tests start: free ports, waiting, and what they hold."""

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx


def find_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in free]


def find_port() -> int:
    [port] = find_ports(1)
    return port


def wait_until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} seconds"
        time.sleep(0.05)


def wait_until_up(address: str, server: subprocess.Popen[bytes]) -> None:
    def is_up() -> bool:
        assert server.poll() is None, "the server stopped before it answered"
        with suppress(httpx.TransportError):
            httpx.get(f"{address}/-/versions.json")
            return True
        return False

    wait_until(is_up)


def list_children(pid: int) -> list[int]:
    """Also those that its threads started."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            found += map(int, file.read_text().split())
    return found


def is_there(pid: int) -> bool:
    """Whether a process has not ended yet, though somebody may have to ask how."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
