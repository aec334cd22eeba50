"""Several processes over one file, and nginx before several servers: none of them that is killed
or stopped costs a visitor an answer."""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import datasette.database
import httpx
import pytest
import yaml

from dailypapers.finishing import write_inspect_data

from .conftest import PROJECT, skip_without
from .processes import find_port, find_ports, list_children, wait_until

SERVED = ["dailypapers", "metadata.yml", "plugins", "serve.py", "settings.json", "static",
          "synonyms.yml", "templates", "vocabulary.yml"]  # fmt: skip
DEPLOY = PROJECT / "deploy"
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
LONG_ROWS = 20_000
LONG = f"""
    with recursive n(i) as (select 1 union all select i + 1 from n limit {LONG_ROWS})
    insert into problems (listing, severity, message, text, count)
    select listings.id, 'warning', i, hex(zeroblob(250)), 1
    from n join listings on listings.id = (select min(id) from listings)
"""
"""10 MB as CSV, which no connection holds on its way."""

VISITORS = 4
NEW_EACH_TIME = httpx.Limits(max_keepalive_connections=0)
# Without certificates, which would take longer to read than the answers.
WEB = httpx.Client(verify=False, limits=NEW_EACH_TIME, timeout=20)


@pytest.fixture(scope="session")
def project(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the sample as its db/daily.db, as build.py leaves it, and a long table."""
    folder = tmp_path_factory.mktemp("project")
    for name in SERVED:
        (folder / name).symlink_to(PROJECT / name)
    (folder / "serve.py").unlink()
    shutil.copy(PROJECT / "serve.py", folder)  # which looks for the database beside itself
    (folder / "db").mkdir()
    shutil.copy(sample, folder / "db")
    with closing(sqlite3.connect(folder / "db" / "daily.db")) as connection, connection:
        connection.execute(LONG)
    write_inspect_data(folder / "db" / "daily.db", folder / "inspect-data.json")
    return folder


@contextmanager
def serve(project: Path, port: int, workers: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """What the Procfile runs when the database is built."""
    environment = {**os.environ, "WEB_CONCURRENCY": str(workers)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = fill_in_procfile(port)
    with subprocess.Popen(command, cwd=project, env=environment, **quiet) as server:
        try:
            wait_until(lambda: server.poll() is not None or is_answering(port))
            yield server
        finally:
            server.terminate()


def fill_in_procfile(port: int) -> list[str]:
    _, _, command = (PROJECT / "Procfile").read_text().strip().partition("&& exec python ")
    words = command.replace("0.0.0.0", "127.0.0.1").replace("$PORT", str(port)).split()
    return [sys.executable, *words]


def is_answering(port: int) -> bool:
    try:
        return WEB.get(f"http://127.0.0.1:{port}/-/versions.json").is_success
    except httpx.TransportError:
        return False


def list_workers(server: subprocess.Popen[bytes]) -> set[int]:
    """The processes of a server that answer; one more counts what they share."""
    commands = {child: Path(f"/proc/{child}/cmdline") for child in list_children(server.pid)}
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
                answer = WEB.get(f"http://127.0.0.1:{port}{path}")
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


@pytest.fixture
def module(project: Path) -> ModuleType:
    """serve.py, beside the sample's database."""
    spec = importlib.util.spec_from_file_location("serve", project / "serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def start(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """As a server does: what an application has to do first is done before anybody asks."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    life.cancel()


async def test_a_process_starts_without_reading_the_whole_database(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr(datasette.database, "inspect_hash", refuse)
    monkeypatch.setattr(hashlib, "file_digest", refuse)
    async with start(module.create_app()) as client:
        answer = await client.get("/daily/papers.json?_tag=reasoning&_size=1")
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"]


def test_answers_do_not_wait_for_acknowledgements(module: ModuleType) -> None:
    """asyncio sees to that where a socket says that it is TCP."""
    with module.listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_keeps_it_from_starting_is_said_once(project: Path, workers: str) -> None:
    def fail(**environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "serve.py", "--workers", workers],
            cwd=project, env={**os.environ, **environment}, text=True, capture_output=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode
        return done.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert fail(PORT=port) == f"serve.py: port {port} of 127.0.0.1: Address already in use\n"
    [port] = map(str, find_ports(1))
    said = fail(PORT=port, SITE_URL="nonsense")
    assert 1 <= said.count("SITE_URL is not an address") <= int(workers)


def test_without_a_database_it_says_how_to_make_one(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "serve.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "serve.py"], cwd=tmp_path, text=True, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (
        1,
        "serve.py: no db/daily.db; python build.py makes it\n",
    )


def test_processes_answer_by_themselves_and_share_visitors(project: Path) -> None:
    """Visitors who stay connected, as a proxy does: else only one of the processes had work."""
    port = find_port()
    request = b"GET /-/versions.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve(project, port, workers=2) as server, ExitStack() as stack:
        wait_until_each_answers(server, port)
        before = {worker: count_open_files(worker) for worker in list_workers(server)}
        visitors = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(20)
        ]
        for visitor in visitors:
            visitor.sendall(request)
            assert visitor.recv(100).startswith(b"HTTP/1.1 200")
        taken = [count_open_files(worker) - count for worker, count in before.items()]
    assert min(taken) >= 4, taken


def wait_until_each_answers(server: subprocess.Popen[bytes], port: int) -> None:
    """Also while the other one does not."""
    wait_until(lambda: len(list_workers(server)) == 2)
    for stopped in list_workers(server):
        wait_until(lambda: is_answering(port))
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert is_answering(port)
        finally:
            os.kill(stopped, signal.SIGCONT)


def count_open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_process_that_is_killed_is_replaced(project: Path) -> None:
    port = find_port()
    with serve(project, port, workers=2) as server, visit(port) as failed:
        wait_until(lambda: len(list_workers(server)) == 2)
        killed = list_workers(server).pop()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(list_workers(server) - {killed}) == 2)
        replaced = time.monotonic()
        time.sleep(3)
    assert [problem for when, problem in failed if when > replaced] == []
    assert len(failed) <= VISITORS, "more than what was being answered"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_being_answered_when_the_server_is_told_to_stop_is_finished(
    project: Path, workers: int
) -> None:
    port = find_port()
    with serve(project, port, workers) as server, ThreadPoolExecutor() as pool:
        path = f"/daily.json?{urlencode({'sql': SLOW})}"
        asked = [pool.submit(WEB.get, f"http://127.0.0.1:{port}{path}") for _ in range(4)]
        with stream(port) as lines:
            time.sleep(0.3)
            server.terminate()
            assert sum(1 for _ in lines) == LONG_ROWS
        # That it took too long is an answer as well.
        assert all(one.result().json()["ok"] in (True, False) for one in asked)
        assert server.wait(30) == 0


@contextmanager
def stream(port: int) -> Iterator[Iterator[str]]:
    """The rows of a long CSV that is still being made, one by one."""
    address = f"http://127.0.0.1:{port}/daily/problems.csv?_stream=on"
    with WEB.stream("GET", address, headers={"accept-encoding": "identity"}) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id,listing")
        yield lines


# Behind nginx


@contextmanager
def proxy(folder: Path, port: int, upstreams: list[int]) -> Iterator[None]:
    """nginx as deploy/nginx.conf has it, at other ports and with its files in a folder."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    skip_without("nginx", nginx)
    site = (DEPLOY / "nginx.conf").read_text()
    for before, after in [
        ("/var/cache", str(folder)), ("listen 80;", f"listen 127.0.0.1:{port};"),
        *((f"127.0.0.1:{8001 + at};", f"127.0.0.1:{one};") for at, one in enumerate(upstreams)),
        *((f"127.0.0.1:{8001 + at} ", f"127.0.0.1:{one} ") for at, one in enumerate(upstreams)),
    ]:  # fmt: skip
        site = site.replace(before, after)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""  # else nobody, who may not enter the folder
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}}"
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
    first = WEB.get(address, headers={"accept-encoding": "gzip"})
    plain = WEB.get(address, headers={"accept-encoding": "identity"})
    assert [first.headers["x-cache"], plain.headers["x-cache"]] == ["MISS", "HIT"]
    assert "content-encoding" not in plain.headers
    assert first.text == plain.text
    known = WEB.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.headers["x-cache"]) == (304, "HIT")


@pytest.mark.parametrize("header", [{"cookie": "a=b"}, {"authorization": "Bearer x"}])
def test_nginx_keeps_nothing_of_those_who_identify_themselves(
    behind: tuple[int, Any], header: dict[str, str]
) -> None:
    address = f"http://127.0.0.1:{behind[0]}/daily/papers?_tag=survey&_size={len(str(header))}"
    for _ in range(2):
        answer = WEB.get(address, headers=header)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "BYPASS")
    assert WEB.get(address).headers["x-cache"] == "MISS"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/daily/papers.csv?_stream=on", "/-/versions.json", "/daily/papers/nothing"],
)
def test_nginx_keeps_no_error_and_nothing_that_may_change(
    behind: tuple[int, Any], path: str
) -> None:
    for _ in range(2):
        assert WEB.get(f"http://127.0.0.1:{behind[0]}{path}").headers.get("x-cache") != "HIT"


def test_nginx_passes_parts_of_the_database_on(behind: tuple[int, Any], project: Path) -> None:
    address = f"http://127.0.0.1:{behind[0]}/daily.db"
    part = WEB.get(address, headers={"range": "bytes=100-199"})
    assert (part.status_code, len(part.content)) == (206, 100)
    assert WEB.get(address).content == (project / "db" / "daily.db").read_bytes()
    assert "x-cache" not in part.headers


def test_a_server_that_is_killed_costs_no_answer_behind_nginx(
    project: Path, behind: tuple[int, Any]
) -> None:
    port, servers = behind
    with visit(port) as failed:
        time.sleep(1)
        servers[0].kill()
        time.sleep(3)
    assert failed == []


def test_a_server_that_is_stopped_costs_no_answer_behind_nginx(behind: tuple[int, Any]) -> None:
    """Even what it is sending arrives whole, while others do not wait for it."""
    port, servers = behind
    with ExitStack() as stack:
        failed = stack.enter_context(visit(port))
        streams = [stack.enter_context(stream(port)) for _ in range(3)]
        servers[1].terminate()
        time.sleep(1)
        assert [sum(1 for _ in lines) for lines in streams] == [LONG_ROWS] * 3
        assert servers[1].wait(30) == 0
        time.sleep(1)
    assert failed == []


# What else deploys it


def read_container() -> dict[str, Any]:
    """The container of the Kubernetes example."""
    [deployment, *_] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_the_kubernetes_example_is_whole() -> None:
    parts = {
        part["kind"]: part["spec"]
        for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    }
    pod = parts["Deployment"]["template"]
    labels = pod["metadata"]["labels"]
    assert parts["Deployment"]["selector"]["matchLabels"] == labels
    assert parts["Service"]["selector"] == labels
    assert parts["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    assert parts["HorizontalPodAutoscaler"]["scaleTargetRef"]["name"] == "daily-papers"
    [port] = read_container()["ports"]
    assert parts["Service"]["ports"][0]["targetPort"] == port["name"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > 5 + 20  # preStop, serve.py's GRACE


def test_image_and_examples_agree(module: ModuleType) -> None:
    image = (PROJECT / "Dockerfile").read_text()
    [user] = re.findall(r"^USER (\d+)$", image, re.MULTILINE)
    [port] = re.findall(r"^EXPOSE (\d+)$", image, re.MULTILINE)
    assert f"--uid {user} " in image
    assert f"ENV PORT={port} " in image
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text())
    assert read_container()["ports"][0]["containerPort"] == int(port)
    assert fly["http_service"]["internal_port"] == int(port)
    assert fly["kill_timeout"] > module.GRACE
    [deployment, *_] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)


def test_health_checks_ask_for_what_answers(served: str) -> None:
    container = read_container()
    [check] = tomllib.loads((DEPLOY / "fly.toml").read_text())["http_service"]["checks"]
    [asked] = re.findall(r"\['PORT'\]\}(/[^\\]+)", (PROJECT / "Dockerfile").read_text())
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")]
    for path in {asked, check["path"], *probes}:
        assert WEB.get(served + path, headers={"host": "10.0.0.7:8080"}).status_code == 200


@pytest.mark.parametrize("name", ["Procfile", "Dockerfile", "deploy/daily-papers@.service"])
def test_every_way_to_deploy_starts_the_same_program(project: Path, name: str) -> None:
    text = (PROJECT / name).read_text().replace('", "', " ")
    [options] = re.findall(r"python serve\.py (.*?)\"?\]?$", text, re.MULTILINE)
    words = options.replace("$PORT", "0").replace("%i", "0").split()
    done = subprocess.run(
        [sys.executable, "serve.py", *words, "--workers", "none"],
        cwd=project, text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert "'none' is not a valid integer" in done.stderr, "all the others are understood"


def test_the_image_holds_what_is_served() -> None:
    kept = {
        line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {*SERVED, "build.py", "listings", "requirements.txt"} == kept


WITHOUT_TOOLS = """
import asyncio, importlib.metadata, pathlib, sys
sys.modules.update(dict.fromkeys(sys.argv[2:]))  # import fails
find = importlib.metadata.version
def version(name):
    if name == "daily-papers":  # nobody installs the project itself
        raise importlib.metadata.PackageNotFoundError(name)
    return find(name)
importlib.metadata.version = version
from datasette.app import Datasette
site = Datasette(immutables=[sys.argv[1]], config_dir=pathlib.Path())
async def main():
    await site.invoke_startup()
    for path in sys.stdin.read().split():
        print((await site.client.get(path)).status_code)
asyncio.run(main())
"""


def test_the_image_serves_without_what_it_leaves_out(project: Path) -> None:
    image = (PROJECT / "Dockerfile").read_text().replace("\\\n", "")
    [names] = re.findall(r"pip uninstall --yes (.+)", image)
    modules = [
        module
        for module, packages in importlib.metadata.packages_distributions().items()
        if set(packages) & set(names.split())
    ]
    assert "scipy" in modules
    paths = ["/", "/about", "/charts", "/openapi.json", "/daily/papers?_tag=lora", "/daily",
             "/daily/search?q=lora", "/daily/papers.bib", "/daily/papers.atom"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TOOLS, "db/daily.db", *modules],
        cwd=project, input="\n".join(paths), text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["200"] * len(paths), done.stderr[-2_000:]


@pytest.mark.parametrize("host", ["cloudrun", "heroku"])
def test_datasette_publishes_the_data_as_documented(
    sample: Path, tmp_path: Path, host: str
) -> None:
    """Up to the point where it leaves the machine: a program that only listens stands there."""
    text = (PROJECT / "docs" / "deploy.md").read_text().replace("\\\n", "")
    [command] = re.findall(rf"^ +(datasette publish {host} .+)$", text, re.MULTILINE)
    (tmp_path / "db").mkdir()
    shutil.copy(sample, tmp_path / "db")
    shutil.copy(PROJECT / "metadata.yml", tmp_path)
    for tool in ("gcloud", "heroku"):
        (tmp_path / tool).write_text(f"#!/bin/sh\ncp -n * {tmp_path}\necho heroku-builds\n")
        (tmp_path / tool).chmod(0o755)
    command += (
        f" --generate-dir {tmp_path}/made" if host == "heroku" else " --artifact-project mine"
    )
    words = shlex.split(command)[1:]
    subprocess.run(
        [sys.executable, "-m", "datasette", *words], cwd=tmp_path, check=True, timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True,
    )  # fmt: skip
    made = tmp_path / "made" if host == "heroku" else tmp_path
    assert (made / "daily.db").read_bytes() == sample.read_bytes()
    requirements = (PROJECT / "requirements.txt").read_text()
    [version] = re.findall(r"^datasette==\S+", requirements, re.MULTILINE)
    told = (made / ("requirements.txt" if host == "heroku" else "Dockerfile")).read_text()
    assert version in told.split()
