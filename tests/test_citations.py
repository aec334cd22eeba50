"""Citations: what is written is read back by the libraries that reference managers resemble."""

import json
import re
from pathlib import Path
from typing import Any

import bibtexparser
import pytest
import rispy
from bibtexparser.middlewares.names import (
    parse_single_name_into_parts,
    split_multiple_persons_names,
)
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.asgi import Request, Response
from datasette.views.base import BaseView
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latex2text import LatexNodes2Text

from dailypapers.publishing.citations import (
    MAX_AUTHORS,
    Citation,
    make_bibtex,
    make_csl,
    make_key,
    make_ris,
    split_name,
)

from .conftest import PROJECT, Build
from .test_api import make_entry

PAGE = "http://localhost/daily/papers/a-made-up-title"
TYPED = st.text("aZ é\nü{}~^\\\"'`&%$#_@=,;-?!<>|\t\u2028\0例🤗", max_size=40)
ANYTHING = st.text(max_size=60)


def make_citation(**changes: Any) -> Citation:
    facts: dict[str, Any] = {
        "id": "a-made-up-title",
        "title": "A made-up title",
        "authors": ("Ada Example", "Bo Sample"),
        "published": "2025-01-31",
        "arxiv_id": "2501.00001",
        "url": PAGE,
    }
    return Citation(**(facts | changes))


def read_bibtex(text: str) -> list[dict[str, str]]:
    """The entries' fields as written; a parser keeps what is broken apart."""
    library = bibtexparser.parse_string(text)
    assert library.failed_blocks == []
    assert library.blocks == library.entries
    return [
        {"key": entry.key, "type": entry.entry_type}
        | {field.key: str(field.value) for field in entry.fields}
        for entry in library.entries
    ]


def test_bibtex_of_a_preprint() -> None:
    [entry] = read_bibtex(make_bibtex([make_citation(title="LoRA & π: 50% of R1")]))
    key = entry.pop("key")
    assert re.fullmatch(r"example2025lora-[a-z2-7]{8}", key)
    assert entry == {
        "type": "misc",
        "title": r"{LoRA} {\&} {\ensuremath{\pi}}: 50{\%} of {R1}",
        "author": "Ada Example and Bo Sample",
        "year": "2025",
        "month": "jan",
        "eprint": "2501.00001",
        "archivePrefix": "arXiv",
        "doi": "10.48550/arXiv.2501.00001",
        "url": "https://arxiv.org/abs/2501.00001",
    }
    assert "month = jan" in make_bibtex([make_citation()])


def test_nothing_is_invented() -> None:
    paper = make_citation(authors=(), published=None, arxiv_id=None)
    [entry] = read_bibtex(make_bibtex([paper]))
    assert set(entry) == {"key", "type", "title", "howpublished", "url"}
    [record] = rispy.loads(make_ris([paper]))
    assert set(record) == {"type_of_reference", "title", "urls", "id"}
    [item] = json.loads(make_csl([paper]))
    assert set(item) == {"id", "type", "title", "URL"}
    assert entry["url"] == item["URL"] == PAGE
    assert record["urls"] == [PAGE]


def test_ris_and_csl_of_a_preprint() -> None:
    paper = make_citation(authors=("Ada Example", "Chong Wei Bo", "Lone"))
    assert rispy.loads(make_ris([paper])) == [
        {
            "type_of_reference": "MANSCPT",
            "title": "A made-up title",
            "authors": ["Example, Ada", "Chong Wei Bo", "Lone"],
            "year": "2025",
            "date": "2025/01/31",
            "type_of_work": "Preprint",
            "name_of_database": "arXiv",
            "accession_number": "arXiv:2501.00001",
            "doi": "10.48550/arXiv.2501.00001",
            "urls": ["https://arxiv.org/abs/2501.00001"],
            "id": make_key(paper),
        }
    ]
    assert make_ris([paper]).startswith("TY  - MANSCPT\n")
    [item] = json.loads(make_csl([paper]))
    assert item["author"] == [
        {"family": "Example", "given": "Ada"},
        {"literal": "Chong Wei Bo"},
        {"literal": "Lone"},
    ]
    assert item["issued"] == {"date-parts": [[2025, 1, 31]]}
    assert (item["type"], item["number"], item["DOI"]) == (
        "article", "arXiv:2501.00001", "10.48550/arXiv.2501.00001",
    )  # fmt: skip


@given(st.lists(st.builds(make_citation, title=TYPED | ANYTHING, id=ANYTHING), max_size=4))
def test_no_title_breaks_a_file(papers: list[Citation]) -> None:
    papers = list({paper.id: paper for paper in papers}.values())
    keys = [make_key(paper) for paper in papers]
    assert [entry["key"] for entry in read_bibtex(make_bibtex(papers))] == keys
    assert [record["id"] for record in rispy.loads(make_ris(papers))] == keys
    assert [item["id"] for item in json.loads(make_csl(papers))] == keys


@given(TYPED)
def test_titles_come_back_as_they_were(title: str) -> None:
    paper = make_citation(title=f"x {title} x")
    expected = " ".join(paper.title.split()).replace("\0", "")
    [entry] = read_bibtex(make_bibtex([paper]))
    assert count_braces(entry["title"]) == 0
    latex = entry["title"].replace(r"\textbraceleft", r"\{").replace(r"\textbraceright", r"\}")
    shown = LatexNodes2Text().latex_to_text(latex)
    assert shown.translate({ord("”"): '"', ord("ˆ"): "^"}).split() == expected.split()
    [record] = rispy.loads(make_ris([paper]))
    assert record["title"].split() == expected.split()
    [item] = json.loads(make_csl([paper]))
    assert item["title"].split() == expected.split()


def count_braces(value: str) -> int:
    """How many stay open; BibTeX counts those behind a backslash too, bibtexparser does not."""
    depth = 0
    for brace in re.findall(r"[{}]", value):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    return depth


@given(st.lists(TYPED.map(lambda name: f"X{name}x"), min_size=1, max_size=4))
def test_each_author_stays_one(names: list[str]) -> None:
    names = [*names, "Ada and Bo Example", "Example, Ada, Bo, Cy", "Others", "The Example Team"]
    paper = make_citation(authors=tuple(names))
    [entry] = read_bibtex(make_bibtex([paper]))
    written = split_multiple_persons_names(entry["author"])
    assert len(written) == len(names)
    parts = [parse_single_name_into_parts(name) for name in written]  # fails on what is no name
    assert parts[-1].last == ["{The Example Team}"]
    [record] = rispy.loads(make_ris([paper]))
    assert len(record["authors"]) == len(names)
    [item] = json.loads(make_csl([paper]))
    assert len(item["author"]) == len(names)


def test_very_many_authors_become_and_others() -> None:
    paper = make_citation(authors=tuple(f"Ada Example{n}" for n in range(MAX_AUTHORS + 1)))
    [entry] = read_bibtex(make_bibtex([paper]))
    assert entry["author"].endswith(f" and Ada Example{MAX_AUTHORS - 1} and others")
    [record] = rispy.loads(make_ris([paper]))
    assert len(record["authors"]) == MAX_AUTHORS


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ada Example", ("Example", "Ada")),
        ("Éda Éxample-Muster", ("Éxample-Muster", "Éda")),
        ("A. B. Example", ("Example", "A. B.")),
        ("Ada J.-P. B Example", ("Example", "Ada J.-P. B")),
        ("Ada Bo van der Example", ("van der Example", "Ada Bo")),
        ("Ada Bo Example", None),
        ("Ada de Bo Example", None),
        ("Ada Example Jr.", None),
        ("Example, Ada", None),
        ("Ada E.", None),
        ("ada example", None),
        ("Example Team", None),
        ("Ada", None),
        ("例 子", None),
        ("", None),
    ],
)
def test_names_are_split_only_where_their_parts_are_certain(
    name: str, parts: tuple[str, str] | None
) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "example2025made"),
        ({"authors": ("Ada Éxample III",)}, "example2025made"),
        ({"authors": ()}, "a2025made"),
        ({"authors": (), "title": "Made of two"}, "made2025two"),
        ({"published": "soon"}, "examplemade"),
        ({"authors": (), "title": "!?", "published": None}, "paper"),
    ],
)
def test_keys_say_who_when_and_what(changes: dict[str, Any], begins: str) -> None:
    key = make_key(make_citation(**changes))
    assert re.fullmatch(rf"{begins}-[a-z2-7]{{8}}", key)
    assert key != make_key(make_citation(**changes, id="another-paper"))


@given(ANYTHING, st.text(max_size=30))
def test_addresses_break_nothing(arxiv_id: str, address: str) -> None:
    paper = make_citation(arxiv_id=arxiv_id, url=f"http://{address}")
    [entry] = read_bibtex(make_bibtex([paper]))
    assert re.fullmatch(r"[^\s{}\\#]+", entry["url"])
    assert len(rispy.loads(make_ris([paper]))) == 1


# The site


@pytest.fixture
async def api_site(build: Build, tmp_path: Path) -> Datasette:
    """The project served with two papers that the API told about."""
    entries = [
        make_entry(),
        make_entry(id="2501.00002", title="Another & <more>", authors=[{"name": "Bo Sample"}]),
    ]
    (tmp_path / "2025-02-03.json").write_text(json.dumps(entries))
    assert build("2025-02-03.json", "--db", "daily.db").returncode == 0
    ds = Datasette(immutables=[str(tmp_path / "daily.db")], config_dir=PROJECT, cors=True)
    await ds.invoke_startup()
    return ds


async def test_one_paper_as_a_file(api_site: Datasette) -> None:
    answer = await api_site.client.get("/daily/papers/a-made-up-title.bib")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-bibtex; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="a-made-up-title.bib"'
    [entry] = read_bibtex(answer.text)
    assert (entry["author"], entry["eprint"]) == ("Ada Example and Bo Sample", "2501.00001")


@pytest.mark.parametrize(
    ("extension", "content_type", "file"),
    [
        ("bib", "application/x-bibtex", "papers.bib"),
        ("ris", "application/x-research-info-systems", "papers.ris"),
        ("csljson", "application/vnd.citationstyles.csl+json", "papers.csl.json"),
    ],
)
async def test_tables_and_queries_in_each_format(
    api_site: Datasette, extension: str, content_type: str, file: str
) -> None:
    answer = await api_site.client.get(f"/daily/papers.{extension}")
    assert answer.headers["content-type"].startswith(content_type)
    assert file in answer.headers["content-disposition"]
    assert answer.headers["access-control-allow-origin"] == "*"
    found = await api_site.client.get(f"/daily/search.{extension}?q=made")
    for text in (answer.text, found.text):
        assert {"Example", "Sample", "2501.00001", "2501.00002"} <= set(
            re.findall(r"[\w.]+\b", text)
        )


async def test_search_tells_all_that_is_known(api_site: Datasette) -> None:
    """Its rows hold neither the authors nor the arXiv identifier."""
    [paper] = (await api_site.client.get("/daily/papers/a-made-up-title.csljson")).json()
    found = (await api_site.client.get("/daily/search.csljson?q=made-up")).json()
    assert paper in found


async def test_rows_of_a_query_only_choose_papers(api_site: Datasette) -> None:
    sql = """select value as id, 'invented' as title
        from json_each('["another-more", 7, null, "none", "a-made-up-title", "another-more"]')"""
    answer = await api_site.client.get("/daily.csljson", params={"sql": sql})
    items = answer.json()
    assert [item["title"] for item in items] == ["Another & <more>", "A made-up title"]


@pytest.mark.parametrize("extension", ["bib", "ris", "csljson"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/daily/tags.{}", 400),
        ("/daily/entries.{}", 400),
        ("/daily.{}?sql=select+1", 400),
        ("/daily.{}?sql=select", 400),
        ("/daily.{}?sql=select+x'00'+as+id,+2+as+title", 200),
        ("/daily/papers.{}?id=no-paper", 200),
        ("/daily/papers/no-paper.{}", 404),
        ("/daily/papers/~22~0D~0Ax~3A~20y.{}", 404),
        ("/daily/papers/x')--.{}", 404),
    ],
)
async def test_what_is_no_paper_is_not_cited(
    site: Datasette, path: str, status: int, extension: str
) -> None:
    answer = await site.client.get(path.format(extension))
    assert answer.status_code == status
    if status == 200:
        assert answer.text.strip() in ("", "[]")


async def test_pages_of_papers_and_no_others_offer_the_formats(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: dict[str, str] = {}

    async def keep_renderers(*_: object, context: dict[str, Any], **__: object) -> Response:
        offered.update(context["renderers"])
        return Response.html("")

    monkeypatch.setattr(BaseView, "render", keep_renderers)
    [paper] = (await site.client.get("/daily/papers.json?_shape=array&_size=1")).json()
    pages = {
        f"/daily/papers/{paper['id']}": f"/daily/papers/{paper['id']}.bib",
        "/daily/papers?year=2025": "/daily/papers.bib?year=2025&_labels=on",
        "/daily/search?q=made": "/daily/search.bib?q=made",
        "/daily?sql=select+id,+title+from+papers": "/daily.bib?sql=select+id,+title+from+papers",
        "/daily?sql=select+1+as+id": None,
        "/daily/tags": None,
        "/daily/entries": None,
    }
    for page, link in pages.items():
        offered.clear()
        assert (await site.client.get(page)).status_code == 200
        assert offered.get("bib") == link
        assert {"ris", "csljson"} & set(offered) == ({"ris", "csljson"} if link else set())
        assert not link or (await site.client.get(link)).status_code == 200
    assert not pm.get_plugin("citations.py").are_papers("another", "papers", ["id", "title"])


async def test_keys_are_unique_and_the_same_in_each_export(site: Datasette) -> None:
    whole = read_bibtex((await site.client.get("/daily/papers.bib?_size=max")).text)
    assert len({entry["key"] for entry in whole}) == len(whole) == 436
    assert not any("author" in entry for entry in whole)  # the sample names none
    first = await site.client.get("/daily/papers.bib?_size=5")
    next_page = re.fullmatch(r'<http://localhost(\S+)>; rel="next"', first.headers["link"])
    assert next_page
    second = await site.client.get(next_page[1])
    entries = read_bibtex(first.text) + read_bibtex(second.text)
    assert len({entry["key"] for entry in entries}) == 10
    assert all(entry in whole for entry in entries)


async def test_exports_take_several_look_ups(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pm.get_plugin("citations.py"), "CHUNK", 100)
    items = (await site.client.get("/daily/papers.csljson?_size=max")).json()
    rows = (await site.client.get("/daily/papers.json?_size=max&_shape=array")).json()
    assert [item["title"] for item in items] == [row["title"] for row in rows]


async def test_templates_cite(api_site: Datasette) -> None:
    template = api_site.jinja_env.from_string(
        "{% set found = cite('a-made-up-title') %}"
        "{{ [found.authors, found.bibtex, found.ris, cite('no-paper')]|tojson }}"
    )
    request = Request.fake("/daily/papers/a-made-up-title")
    request.scope["csrftoken"] = lambda: ""
    authors, bibtex, ris, none = json.loads(
        await api_site.render_template(template, request=request)
    )
    assert authors == ["Ada Example", "Bo Sample"]
    assert bibtex == (await api_site.client.get("/daily/papers/a-made-up-title.bib")).text
    assert ris == (await api_site.client.get("/daily/papers/a-made-up-title.ris")).text
    assert none is None
