"""How the server ends when it is told to: what is in flight is finished, but not for ever.

`datasette serve` starts uvicorn without a limit, so that one visitor who reads slowly enough keeps
it from ever ending. And uvicorn ends all that well by killing itself with the signal.
"""

import signal

import uvicorn

LONGEST_FINISH = 20
"""Seconds that answers in flight may take, where the server was not given another limit."""


def set_time_limit() -> None:
    """Limit how long a uvicorn that runs in this thread finishes; others are left alone."""
    server = _find_server()
    if server and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = LONGEST_FINISH


def end_well() -> None:
    """Let a uvicorn that finished after a SIGTERM exit with 0."""
    captured: list[int] = getattr(_find_server(), "_captured_signals", [])
    captured[:] = [number for number in captured if number != signal.SIGTERM]


def _find_server() -> uvicorn.Server | None:
    """The one that handles the signal."""
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if isinstance(owner, uvicorn.Server) else None
