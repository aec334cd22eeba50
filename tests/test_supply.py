"""What the site is made of: the locks, the bill of materials, the licences, the audit."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply import sbom

from .conftest import PROJECT

LOCKS = [PROJECT / "requirements.txt", PROJECT / "requirements-dev.txt"]
PINS = sbom.read_lock(LOCKS[0])


def pins_of(lock: Path) -> dict[str, str]:
    """What stands in a lock, read without the code that is tested: {"numpy==2.4.6": marker}."""
    lines = re.findall(r"^([\w.-]+==[\w.]+)(?: ; (.*?))?(?: \\)?$", lock.read_text(), re.MULTILINE)
    return dict(lines)


# --- The locks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_line_of_a_lock_is_a_version_with_hashes(lock: Path) -> None:
    lines = lock.read_text().replace("\\\n", "").splitlines()
    lines = [line for line in lines if not line.lstrip().startswith("#")]
    assert len(lines) > 50
    for line in lines:
        assert re.fullmatch(r"\S+==\S+ (; .+ )?( +--hash=sha256:[0-9a-f]{64})+", line), line


def test_the_locks_name_all_that_is_asked_for_and_agree() -> None:
    runtime, dev = map(pins_of, LOCKS)
    project = sbom.tomllib.loads((PROJECT / "pyproject.toml").read_text())
    names = {pin.partition("==")[0] for pin in runtime}
    assert {canonicalize_name(Requirement(n).name) for n in project["project"]["dependencies"]} <= (
        names
    )
    both = names & {pin.partition("==")[0] for pin in dev}
    assert len(both) > 5
    assert {pin for pin in dev if pin.partition("==")[0] in both} <= set(runtime)


def test_what_is_tested_is_what_is_locked() -> None:
    locked = {**pins_of(LOCKS[0]), **pins_of(LOCKS[1])}
    for pin, marker in locked.items():
        if not marker or Marker(marker).evaluate():
            name, number = pin.split("==")
            assert version(name) == number, f"{name}: make .venv/.installed-dev"


def test_installing_asks_for_hashes() -> None:
    """But for the project itself, which brings nothing else and builds with what is there."""
    makefile = (PROJECT / "Makefile").read_text()
    install = re.search(r"^INSTALL = (.*)$", makefile, re.MULTILINE)
    assert install and {"--require-hashes", "--no-build-isolation"} <= set(install[1].split())
    assert re.findall(r"^\t(.*pip install.*)$", makefile, re.MULTILINE) == [
        ".venv/bin/pip install --quiet --no-deps --no-build-isolation -e ."
    ]


# --- The bill of materials ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `make sbom` writes. It is validated by the library, or not written."""
    paths = [tmp_path_factory.mktemp("sbom") / name for name in ("a.json", "b.json")]
    for path in paths:
        command = [sys.executable, PROJECT / "supply" / "sbom.py", path]
        subprocess.run(command, check=True, timeout=60)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    found: dict[str, Any] = json.loads(paths[0].read_text("utf-8"))
    return found


def test_the_bill_names_each_package_with_version_licence_hashes_and_purl(
    bill: dict[str, Any],
) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {f"{part['name']}=={part['version']}" for part in bill["components"]}
    assert named == set(pins_of(LOCKS[0]))
    hashes = []
    for part in bill["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["licenses"][0]["expression"]
        hashes += [entry["content"] for entry in part["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:(\w{64})", LOCKS[0].read_text()))


def test_the_bill_tells_why_each_package_is_there(bill: dict[str, Any]) -> None:
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    reached, ahead = set(), ["daily-papers"]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += needs[ref]
    assert reached == {"daily-papers", *(part["bom-ref"] for part in bill["components"])}


def test_a_bill_that_is_not_valid_is_not_written() -> None:
    [click] = [pin for pin in PINS if pin.name == "click"]
    bill = sbom.make_bill([replace(click, hashes=("sha256:damaged",))])
    with pytest.raises(ValueError, match="not valid"):
        sbom.write_bill(bill)


# --- Licences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({pin.name for pin in PINS}))
def test_the_licence_of_each_package_allows_apache_2(name: str) -> None:
    assert sbom.is_allowed(sbom.read_licence(name))


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("GPL-2.0-or-later OR MIT", True),
        ("GPL-2.0-or-later AND MIT", False),
        ("MIT AND (GPL-2.0-only OR Zlib)", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
    ],
)
def test_which_licences_are_allowed(expression: str, allowed: bool) -> None:
    assert sbom.is_allowed(expression) is allowed


def test_an_unknown_licence_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sbom.LICENCES["readings"], "bleach", ["Something older", "MIT"])
    with pytest.raises(sbom.LicenceError, match="bleach says 'Apache Software License'"):
        sbom.read_licence("bleach")


def test_licences_are_read_of_what_is_there() -> None:
    """A reading that no package needs any more would hide what it says next."""
    assert set(sbom.LICENCES["readings"]) <= {pin.name for pin in PINS}


# --- The audit ----------------------------------------------------------------------------------

OLD, OURS = "jinja2==2.4.1", next(iter(pins_of(LOCKS[1])))


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({OLD: "CVE-2019-10906"}, None),
        ({OLD: "CVE-2019-10906", OURS: "CVE-2030-1"}, "Found 1 known vulnerability in 1 package"),
        ({}, "nothing was audited"),
        (None, "nothing was audited"),
    ],
)
def test_an_audit_passes_only_by_a_list_that_works(
    known: dict[str, str] | None, says: str | None
) -> None:
    """Against a list of ours, in the form of osv.dev. None: it answers nothing of use."""
    with open_list(known) as address:
        service = f"SERVICE=osv --osv-url {address}"
        command = ["make", "-s", "-o", ".venv/.installed-dev", "audit", service]
        run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (run.returncode == 0) is (says is None), run.stderr
    assert (says or "No known vulnerabilities found") in run.stderr


@contextmanager
def open_list(known: dict[str, str] | None) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = (known or {}).get(f"{asked['package']['name']}=={asked['version']}")
            vulns = [{"id": "PYSEC-1", "aliases": [found], "summary": "made up", "affected": []}]
            body = json.dumps({"vulns": vulns} if found else {}).encode()
            self.send_response(404 if known is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
