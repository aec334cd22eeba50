"""Several processes over one file, and nginx before several servers: none of them that is killed
or stopped costs a visitor an answer."""

import hashlib
import importlib.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlencode

import datasette.database
import httpx
import pytest
import yaml

from dailypapers.database import write_inspect_data

from .conftest import PROJECT, skip_without

SERVED = ["dailypapers", "metadata.yml", "plugins", "serve.py", "settings.json", "static",
          "synonyms.yml", "templates", "vocabulary.yml"]  # fmt: skip
PATHS = [
    "/?",
    "/daily/papers?_tag=reasoning&",
    "/daily/papers.json?_size=100&",
    "/daily/search?q=lora&",
]
SLOW = """
    with recursive n(i) as (select 1 union all select i + 1 from n limit 1000000)
    select sum(i) from n
"""
VISITORS = 4


@pytest.fixture(scope="session")
def project(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the sample as its db/daily.db, as build.py leaves it."""
    folder = tmp_path_factory.mktemp("project")
    for name in SERVED:
        (folder / name).symlink_to(PROJECT / name)
    (folder / "db").mkdir()
    shutil.copy(sample, folder / "db")
    write_inspect_data(folder / "db" / "daily.db", folder / "inspect-data.json")
    return folder


def find_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in free]


@contextmanager
def serve(project: Path, port: int, workers: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """What the Procfile runs when the database is built."""
    _, _, command = (PROJECT / "Procfile").read_text().strip().partition("&& exec python ")
    words = command.replace("0.0.0.0", "127.0.0.1").replace("$PORT", str(port)).split()
    environment = {**os.environ, "WEB_CONCURRENCY": str(workers)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        [sys.executable, *words], cwd=project, env=environment, **quiet
    ) as server:
        try:
            wait_until(lambda: server.poll() is not None or is_answering(port))
            yield server
        finally:
            server.terminate()


def wait_until(holds: Callable[[], object]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in 30 seconds")


def is_answering(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/versions.json").is_success
    except httpx.TransportError:
        return False


def list_workers(server: subprocess.Popen[bytes]) -> set[int]:
    """The processes of a server that answer; one more counts what they share."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline") for child in children}
    return {child for child, command in commands.items() if b"spawn_main" in command.read_bytes()}


@contextmanager
def visit(port: int) -> Iterator[list[tuple[float, str]]]:
    """Pages are asked for all the while; when which of them failed, and how."""
    failed: list[tuple[float, str]] = []
    stop, numbers = Event(), count()

    def ask() -> None:
        while not stop.is_set():
            number = next(numbers)
            path = f"{PATHS[number % len(PATHS)]}_visit={number}"
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=20)
                problem = None if answer.is_success else str(answer.status_code)
            except httpx.TransportError as error:
                problem = repr(error)
            if problem:
                failed.append((time.monotonic(), f"{path}: {problem}"))

    with ThreadPoolExecutor(VISITORS) as pool:
        visitors = [pool.submit(ask) for _ in range(VISITORS)]
        try:
            yield failed
        finally:
            stop.set()
    for visitor in visitors:
        visitor.result()
    assert next(numbers) > 3 * VISITORS


async def test_a_process_starts_without_reading_the_whole_database(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr(datasette.database, "inspect_hash", refuse)
    monkeypatch.setattr(hashlib, "file_digest", refuse)
    spec = importlib.util.spec_from_file_location("serve", project / "serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transport = httpx.ASGITransport(module.create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/daily/papers.json?_tag=reasoning&_size=1")
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"]


def test_each_process_answers_by_itself(project: Path) -> None:
    [port] = find_ports(1)
    with serve(project, port, workers=2) as server:
        wait_until(lambda: len(list_workers(server)) == 2)
        for stopped in list_workers(server):
            wait_until(lambda: is_answering(port))
            os.kill(stopped, signal.SIGSTOP)
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/daily/papers?_tag=lora", timeout=4)
            finally:
                os.kill(stopped, signal.SIGCONT)
            assert answer.is_success


def test_a_process_that_is_killed_is_replaced(project: Path) -> None:
    [port] = find_ports(1)
    with serve(project, port, workers=2) as server, visit(port) as failed:
        wait_until(lambda: len(list_workers(server)) == 2)
        killed = list_workers(server).pop()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(list_workers(server) - {killed}) == 2)
        replaced = time.monotonic()
        time.sleep(3)
    assert [problem for when, problem in failed if when > replaced] == []
    assert len(failed) <= VISITORS, "more than what was being answered"


def test_what_is_being_answered_when_the_server_is_told_to_stop_is_finished(project: Path) -> None:
    [port] = find_ports(1)
    with serve(project, port, workers=2) as server, ThreadPoolExecutor() as pool:
        path = f"/daily.json?{urlencode({'sql': SLOW})}"
        asked = [pool.submit(httpx.get, f"http://127.0.0.1:{port}{path}") for _ in range(4)]
        time.sleep(0.3)
        server.terminate()
        assert [one.result().json()["database"] for one in asked] == ["daily"] * 4
        assert server.wait(30) == 0


# Behind nginx


@contextmanager
def proxy(folder: Path, port: int, upstreams: list[int]) -> Iterator[None]:
    """nginx as deploy/nginx.conf has it, at other ports and with its files in a folder."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    skip_without("nginx", nginx)
    site = (PROJECT / "deploy" / "nginx.conf").read_text()
    for before, after in [
        ("/var/cache/nginx", str(folder)), ("listen 80;", f"listen 127.0.0.1:{port};"),
        *((f"127.0.0.1:{8001 + at};", f"127.0.0.1:{one};") for at, one in enumerate(upstreams)),
        *((f"127.0.0.1:{8001 + at} ", f"127.0.0.1:{one} ") for at, one in enumerate(upstreams)),
    ]:  # fmt: skip
        site = site.replace(before, after)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}}"
        f" http {{ access_log off; {paths} {site} }}"
    )
    with subprocess.Popen([str(nginx), "-p", folder, "-c", folder / "nginx.conf"]) as server:
        try:
            wait_until(lambda: is_answering(port))
            yield
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def behind(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Any]]:
    """The port of nginx, and the three servers behind it."""
    port, *ports = find_ports(4)
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(project, one)) for one in ports]
        stack.enter_context(proxy(tmp_path_factory.mktemp("nginx"), port, ports))
        yield port, servers


def test_nginx_keeps_answers_for_everybody(behind: tuple[int, Any]) -> None:
    address = f"http://127.0.0.1:{behind[0]}/daily/papers?_tag=distillation"
    first = httpx.get(address, headers={"accept-encoding": "gzip"})
    plain = httpx.get(address, headers={"accept-encoding": "identity"})
    assert [first.headers["x-cache"], plain.headers["x-cache"]] == ["MISS", "HIT"]
    assert "content-encoding" not in plain.headers
    assert first.text == plain.text
    known = httpx.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.headers["x-cache"]) == (304, "HIT")


@pytest.mark.parametrize("headers", [{"cookie": "a=b"}, {"authorization": "Bearer x"}])
def test_nginx_keeps_nothing_of_whom_it_knows(
    behind: tuple[int, Any], headers: dict[str, str]
) -> None:
    address = f"http://127.0.0.1:{behind[0]}/daily/papers?_tag=lora&{urlencode(headers)}".replace(
        "cookie=", "_x="
    ).replace("authorization=", "_y=")
    for _ in range(2):
        assert httpx.get(address, headers=headers).headers["x-cache"] == "BYPASS"


def test_a_server_that_is_killed_costs_no_answer_behind_nginx(behind: tuple[int, Any]) -> None:
    port, servers = behind
    with visit(port) as failed:
        time.sleep(1)
        servers[0].kill()
        time.sleep(3)
    assert failed == []


# What else deploys it


def test_the_kubernetes_example_is_whole() -> None:
    parts = list(yaml.safe_load_all((PROJECT / "deploy" / "kubernetes.yaml").read_text()))
    assert [part["kind"] for part in parts] == ["Deployment", "HorizontalPodAutoscaler", "Service"]
    pod = parts[0]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert parts[2]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert parts[1]["spec"]["scaleTargetRef"]["name"] == parts[0]["metadata"]["name"]
    assert container["ports"][0]["name"] == parts[2]["spec"]["ports"][0]["targetPort"]
    assert container["ports"][0]["containerPort"] == 8080


def test_every_way_to_deploy_starts_the_same_server() -> None:
    """The options of uvicorn agree, but for the address."""
    files = ["Procfile", "Dockerfile", "deploy/daily-papers@.service"]
    commands = [
        line.partition("-m uvicorn ")[2].strip('"] ')
        for name in files
        for line in (PROJECT / name).read_text().splitlines()
        if "-m uvicorn " in line
    ]
    options = [shlex.split(command) for command in commands]
    for words in options:
        at = words.index("--host")
        del words[at : at + 4]
    assert len(options) == len(files)
    assert options[0] == options[1] == options[2]


def test_the_image_holds_what_is_served() -> None:
    kept = {
        line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {*SERVED, "build.py", "listings", "requirements.txt"} == kept
