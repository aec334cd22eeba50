"""What README.md and docs/api.md tell people to open and to call answers as they say."""

import csv
import io
import json
import re
from xml.etree import ElementTree

import httpx
import pytest

from .conftest import PROJECT

README = (PROJECT / "README.md").read_text("utf-8")
API = (PROJECT / "docs" / "api.md").read_text("utf-8")
SITE = r"http://127\.0\.0\.1:8001"
ADDRESSES = [
    "".join(found)
    for found in re.findall(rf"'{SITE}(/[^']*)'|\({SITE}(/[^)]*)\)|<{SITE}(/[^>]*)>", README + API)
]


@pytest.mark.parametrize("path", dict.fromkeys(ADDRESSES))
def test_addresses_answer_with_something(served: str, path: str) -> None:
    """Asked of a real server, as curl would."""
    answer = httpx.get(served + path, timeout=30)
    assert answer.status_code == 200
    ending = path.partition("?")[0].rpartition(".")[2]
    if ending in ("json", "csljson"):
        assert answer.json()
    elif ending == "csv":
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 436
    elif ending == "ndjson":
        assert len([json.loads(line) for line in answer.text.splitlines()]) == 436
    elif ending in ("atom", "opml", "xml"):
        assert len(ElementTree.fromstring(answer.content)) > 1 or ending == "opml"
    elif ending == "bib":
        assert answer.text.startswith("@")
    elif ending == "ris":
        assert answer.text.count("TY  - ") == answer.text.count("ER  - ") > 1
    elif ending == "db":
        assert answer.content.startswith(b"SQLite format 3\0")
    elif ending == "sha256":
        assert re.fullmatch(r"[0-9a-f]{64}  daily\.db\n", answer.text)
    else:
        assert "<h1" in answer.text


def test_layout_names_what_is_there() -> None:
    layout = README.split("## How it is laid out")[1]
    named = re.findall(r"^ {4}( {2})?([\w./]+) ", layout, re.MULTILINE)
    assert len(named) > 10
    for inside, name in named:
        assert ((PROJECT / "dailypapers" if inside else PROJECT) / name).exists(), name


def test_make_targets_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^ {4})make (\w+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
