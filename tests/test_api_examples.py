"""The examples of the API page do what the page says: each is taken from the page as it is served
and run with its tool."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from .conftest import skip_without

RUN = {
    "curl": ["bash", "-euc"],
    "python": [sys.executable, "-c"],
    "pandas": [sys.executable, "-c"],
    "r": ["Rscript", "-e"],
    "javascript": ["node", "--input-type=module", "--eval"],
}
TOOLS = {"curl": "curl", "r": "Rscript", "javascript": "node"}
EXAMPLES = ["newest", "search", "tagged", "paper", "csv", "sql"]
CODE = re.compile(
    r'<pre id="(?P<id>[\w-]+)"><code data-language="(?P<language>\w+)">(?P<code>.*?)</code></pre>',
    re.DOTALL,
)


@pytest.fixture(scope="module")
def examples(served: str) -> dict[str, str]:
    """The code of the page by the id of its element."""
    with urlopen(f"{served}/api") as answer:
        page = answer.read().decode()
    found = list(CODE.finditer(page))
    assert all(match["id"].endswith(f"-{match['language']}") for match in found)
    return {match["id"]: unescape(match["code"]) for match in found}


@pytest.fixture(scope="module")
def expected(served: str, examples: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The rows that each example asks for, asked for by the test itself."""

    def fetch(query: str) -> list[dict[str, Any]]:
        with urlopen(f"{served}/daily.json?_shape=array&sql={query}") as answer:
            rows: list[dict[str, Any]] = json.load(answer)
        return rows

    paper = re.search(r"/daily/papers/([\w-]+)\.json", examples["paper-curl"])
    assert paper
    with urlopen(f"{served}/daily/search.json?_shape=array&q=mixture+of+experts") as answer:
        searched = json.load(answer)
    newest = (
        "select+published,title,organization+from+papers+where+year=(select+max(year)+from+papers)"
    )
    tagged = (
        "select+comments,title+from+papers+join+paper_tags+on+paper=id+where+tag='distillation'"
    )
    return {
        "newest": fetch(f"{newest}+order+by+published+desc,id+limit+10"),
        "search": searched,
        "tagged": fetch(f"{tagged}+order+by+comments+desc,id+limit+10"),
        "paper": fetch(f"select+published,title+from+papers+where+id='{paper[1]}'"),
        "sql": fetch(
            "select+name,papers+from+tags+where+category='method'+order+by+papers+desc+limit+5"
        ),
    }


def run_example(examples: dict[str, str], name: str, folder: Path) -> str:
    language = name.rpartition("-")[2]
    if language in TOOLS:
        skip_without(TOOLS[language], shutil.which(TOOLS[language]))
    done = subprocess.run(
        [*RUN[language], examples[name]],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_an_example_for_each_language(examples: dict[str, str]) -> None:
    wanted = {f"{example}-{language}" for example in EXAMPLES for language in RUN}
    assert set(examples) == wanted | {"pages-python"}


def test_examples_name_the_host_that_was_asked(served: str, examples: dict[str, str]) -> None:
    for code in examples.values():
        assert served in code
        assert set(re.findall(r"https?://[\w.:]+", code)) == {served}


@pytest.mark.parametrize("language", RUN)
@pytest.mark.parametrize("example", [name for name in EXAMPLES if name != "csv"])
def test_examples_print_the_rows(
    examples: dict[str, str],
    expected: dict[str, list[dict[str, Any]]],
    example: str,
    language: str,
    tmp_path: Path,
) -> None:
    printed = run_example(examples, f"{example}-{language}", tmp_path)
    rows = expected[example]
    assert rows
    if language == "curl":
        answered = json.loads(printed)
        assert len(answered) == len(rows)
        for name in rows[0].keys() - {"organization", "snippet"}:
            assert [row[name] for row in answered] == [row[name] for row in rows]
    shown = [row.get("title", row.get("name")) for row in rows]
    # Tables on a terminal cut what is long, and R writes some letters in its own way.
    starts = [re.split(r"[^ -~]|[\"\\]", title)[0][:30].strip() for title in shown]
    places = [printed.find(start) for start in starts]
    assert -1 not in places, (starts, printed)
    assert len(rows) == len(set(shown))
    if language in ("python", "javascript"):
        assert places == sorted(places)
        assert len(printed.splitlines()) >= len(rows)


@pytest.mark.parametrize("language", RUN)
def test_labels_stand_beside_keys(
    examples: dict[str, str],
    expected: dict[str, list[dict[str, Any]]],
    language: str,
    tmp_path: Path,
) -> None:
    printed = run_example(examples, f"newest-{language}", tmp_path)
    assert any(row["organization"] for row in expected["newest"])
    assert "label" in printed


@pytest.mark.parametrize("language", RUN)
def test_csv_examples_get_every_paper(
    examples: dict[str, str], language: str, tmp_path: Path
) -> None:
    printed = run_example(examples, f"csv-{language}", tmp_path)
    if language in ("curl", "javascript"):
        with (tmp_path / "papers.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len({row["id"] for row in rows}) == len(rows) == 436
        assert {"title", "published", "comments"} <= rows[0].keys()
    else:
        assert printed == "436 papers\n"


def test_paging_sees_every_paper_once(examples: dict[str, str], tmp_path: Path) -> None:
    ids = run_example(examples, "pages-python", tmp_path).splitlines()
    assert len(ids) == len(set(ids)) == 436
