"""What the commands share: how they speak to people, and how they say what went wrong."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

# A page may be quoted, and could tell the terminal to do as it likes.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TERMINATED = 128 + signal.SIGTERM


class StoppedError(click.ClickException):
    """Stopped by Ctrl-C or SIGTERM, at a moment when what is left behind must be said."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads the instance's


def run_command(command: click.Command, name: str, stopped: str) -> NoReturn:
    """Run a command and exit; what is wrong with its use is said in one line.

    `stopped` says what Ctrl-C and SIGTERM leave behind.
    """
    _clean_up_when_terminated()
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        say(f"{name}: {error.format_message()}")
        sys.exit(error.exit_code)
    except click.Abort:
        say(f"{name}: {stopped}")
        sys.exit(130)
    except SystemExit as error:
        if error.code == TERMINATED:
            say(f"{name}: {stopped}")
        raise
    sys.exit(0)


def _clean_up_when_terminated() -> None:
    """Let SIGTERM, which else ends a process on the spot, unwind the program as Ctrl-C does."""
    command = os.getpid()

    def stop(signal_number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != command:  # a process that the command started has nothing to say
            os._exit(TERMINATED)
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def say_when_stopped(message: str) -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM leave something else behind than usual."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError(message, 130) from error
    except SystemExit as error:
        if error.code != TERMINATED:
            raise
        raise StoppedError(message, TERMINATED) from error


def say(message: str) -> None:
    """Words for people: to stderr. A progress bar on the line is wiped, and drawn again below.

    Where nobody listens any more (a closed pipe, a full disk), the work goes on in silence.
    """
    message = _CONTROLS.sub("\ufffd", message)
    try:
        click.echo(f"\r\033[K{message}" if is_watched() else message, err=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def is_watched() -> bool:
    """Whether stderr is a terminal; it may also be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def shorten_path(path: Path) -> Path:
    """Relative to where the command was called, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
