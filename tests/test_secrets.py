"""Secrets come from the environment, and come out nowhere: not in what is printed, logged, written,
mailed or served."""

import re
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

import build as build_command
import digest as digest_command
import fetch as fetch_command

from .conftest import PROJECT, Build
from .processes import find_port, wait_until_up

SECRETS = {
    name: f"secret-{number}-Zq7"
    for number, name in enumerate(
        ("DATASETTE_SECRET", "DIGEST_PASSWORD", "SMTP_PASSWORD", "HF_TOKEN", "SOME_API_KEY")
    )
}
COMMANDS = [build_command.build, fetch_command.fetch, digest_command.digest]
LISTING = PROJECT / "listings" / "000_d7ab98431e6b4795.txt"


def find_secrets(content: str | bytes) -> list[str]:
    """The variables whose values are in there, plain or encoded."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    encoded = {name: b64encode(value.encode()).decode()[:-2] for name, value in SECRETS.items()}
    return [name for name, value in SECRETS.items() if value in text or encoded[name] in text]


# --- The commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_takes_a_secret(command: click.Command) -> None:
    """All on a machine can read the command lines of all."""
    names = {option for parameter in command.params for option in parameter.opts}
    assert not [name for name in names if re.search("pass|secret|token|key|credential", name)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_no_values_of_the_environment(command: click.Command) -> None:
    settings = ("SMTP_USER", "SMTP_HOST", "DIGEST_SENDER", "SITE_URL")
    run = CliRunner(env=SECRETS | dict.fromkeys(settings, "told-Zq7")).invoke(command, ["--help"])
    assert run.exit_code == 0
    assert "Zq7" not in run.output


def test_a_build_writes_no_secret_and_no_path(build: Build, tmp_path: Path) -> None:
    run = build("--strict", LISTING, **SECRETS)
    assert run.returncode == 0, run.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "papers.db" in written
    for path in written:
        content = path.read_bytes()
        assert not find_secrets(content), path
        assert str(PROJECT).encode() not in content, path


@pytest.mark.parametrize(
    ("proxy", "arguments"),
    [
        ("http://me:secret/1@127.0.0.1:9", []),
        ("http://me:secret#1@127.0.0.1:9", []),
        ("nonsense://me:secret@127.0.0.1", []),
        ("http://me:secret@127.0.0.1:9", []),
        ("", ["--base-url", "http://me:secret@127.0.0.1:9"]),
        ("", ["--base-url", "http://me:secret/1@127.0.0.1:9"]),
        ("", ["--base-url", "gopher://me:secret@127.0.0.1"]),
    ],
)
def test_fetch_tells_no_password_of_an_address(
    proxy: str, arguments: list[str], tmp_path: Path
) -> None:
    usual = ["2025-12-30", "--pause", "0", "--timeout", "5", "--to", str(tmp_path)]
    address = arguments or ["--base-url", "http://papers.invalid"]
    run = CliRunner(env={"HTTP_PROXY": proxy}).invoke(fetch_command.fetch, [*usual, *address])
    assert run.exit_code in (1, 2)
    assert "proxy" in run.output or "address" in run.output or "not fetched" in run.output
    assert "secret" not in run.output


PASSWORD = SECRETS["DIGEST_PASSWORD"]
LOGIN = b64encode(f"\0me\0{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (f"535 5.7.8 no user me with {PASSWORD}", "535"),
        (f"501 5.5.4 AUTH PLAIN {LOGIN} is not understood", "501"),
        (f"535 5.7.8 {'so sorry ' * 20}for {LOGIN}", "535"),
        ("535 5.7.9 make an app password first", "535 5.7.9 make an app password first"),
    ],
)
def test_a_mail_server_that_repeats_the_password_is_not_quoted(
    sample: Path, tmp_path: Path, answer: str, told: str
) -> None:
    state = tmp_path / "sent.db"
    with open_refusing_server(answer) as port:
        arguments = ["--db", str(sample), "--state", str(state), "--to", "reader@example.org"]
        arguments += ["--smtp-host", "127.0.0.1", "--smtp-port", str(port), "--tls", "none"]
        arguments += ["--site", "https://papers.example.org", "--sender", "digest@example.org"]
        run = CliRunner(env=SECRETS).invoke(
            digest_command.digest, [*arguments, "--smtp-user", "me"]
        )
    assert run.exit_code == 1
    refused = f"reader@example.org: not sent: 127.0.0.1:{port}: user or password refused: {told}\n"
    assert run.output.startswith(refused)
    assert not find_secrets(run.output)
    assert LOGIN[:12] not in run.output
    assert not find_secrets(state.read_bytes())


@contextmanager
def open_refusing_server(answer: str) -> Iterator[int]:
    """A mail server that answers every login with the same."""

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            lines = connection.makefile("rwb")
            lines.write(b"220 ready\r\n")
            lines.flush()
            for line in lines:
                greeting = line.upper().startswith((b"EHLO", b"HELO"))
                lines.write(b"250-here\r\n250 AUTH PLAIN\r\n" if greeting else b"%b\r\n" % said)
                lines.flush()

    said = answer.encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


# --- The site -----------------------------------------------------------------------------------

DEBUGGING = [
    f"/-/{name}{ending}"
    for name in ("actor", "databases", "metadata", "plugins", "settings", "threads", "versions",
                 "config", "permissions", "messages", "allow-debug", "patterns", "auth-token")
    for ending in ("", ".json")
]  # fmt: skip
OTHERS = [
    "/", "/about", "/api", "/openapi.json", "/daily", "/nowhere", "/daily/papers/nothing",
    "/daily?sql=select+nothing", "/daily.json?sql=select+nothing", "/daily?sql=attach+'x'+as+y",
    "/-/auth-token?token=1", "/daily/papers.json?_trace=1", "/daily/papers?_size=nonsense",
    "/daily.json?sql=select+*+from+pragma_database_list",
]  # fmt: skip


def test_a_site_tells_no_secret(sample: Path, tmp_path: Path) -> None:
    """In no page, header or line of its log; asked as people do, and as those who look for it."""
    port = find_port()
    command = [sys.executable, "-m", "datasette", PROJECT, "-i", sample, "--cors", "--port", port]
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            list(map(str, command)),
            env={"PATH": "/usr/bin:/bin", **SECRETS},
            stdout=output,
            stderr=output,
        ) as server,
    ):
        try:
            site = f"http://127.0.0.1:{port}"
            wait_until_up(site, server)
            for path in [*DEBUGGING, *OTHERS]:
                answer = httpx.get(site + path, headers={"Cookie": "ds_actor=x; ds_messages=y"})
                assert answer.status_code < 500, path
                assert not find_secrets(answer.text + str(answer.headers)), path
            answer = httpx.post(f"{site}/-/messages", data={"message": "x", "message_type": "all"})
            assert not find_secrets(answer.text + str(answer.headers))
        finally:
            server.send_signal(signal.SIGTERM)
    said = log.read_text()
    assert said.count('"GET ') > len(DEBUGGING + OTHERS)
    assert not find_secrets(said)
