"""What the commands share: how they speak to people, and how they say what went wrong."""

import re
import sys
from pathlib import Path
from typing import NoReturn

import click

# A page may be quoted, and could tell the terminal to do as it likes.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def run_command(command: click.Command, name: str, stopped: str) -> NoReturn:
    """Run a command and exit; what is wrong with its use is said in one line.

    `stopped` says what Ctrl-C leaves behind.
    """
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        say(f"{name}: {error.format_message()}")
        sys.exit(error.exit_code)
    except click.Abort:
        say(f"{name}: {stopped}")
        sys.exit(130)
    sys.exit(0)


def say(message: str) -> None:
    """Words for people: to stderr. A progress bar on the line is wiped, and drawn again below."""
    message = _CONTROLS.sub("\ufffd", message)
    click.echo(f"\r\033[K{message}" if sys.stderr.isatty() else message, err=True)


def shorten_path(path: Path) -> Path:
    """Relative to where the command was called, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
