"""What README.md tells people to open and to call answers as it says."""

import csv
import io
import re

import pytest
from datasette.app import Datasette

from .conftest import PROJECT

README = (PROJECT / "README.md").read_text("utf-8")
SITE = r"http://127\.0\.0\.1:8001"
ADDRESSES = re.findall(rf"'{SITE}(/[^']*)'|\({SITE}(/[^)]*)\)|<{SITE}(/[^>]*)>", README)


@pytest.mark.parametrize("path", ["".join(found) for found in ADDRESSES])
async def test_addresses_answer_with_something(site: Datasette, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 200
    if ".json" in path:
        assert len(answer.json()) > 1
    if ".csv" in path:
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 436


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
