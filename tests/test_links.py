import pytest

from dailypapers.links import find_links


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("Code: https://github.com/a/b.", [("https://github.com/a/b", "code")]),
        ("(github.com/a/b)", [("https://github.com/a/b", "code")]),
        ("at github.com/a/b, and", [("https://github.com/a/b", "code")]),
        (
            "https://huggingface.co/a/b and https://huggingface.co/datasets/a/b",
            [
                ("https://huggingface.co/a/b", "model"),
                ("https://huggingface.co/datasets/a/b", "dataset"),
            ],
        ),
        ("https://huggingface.co/spaces/a/b", [("https://huggingface.co/spaces/a/b", "project")]),
        (
            "https://huggingface.co/papers/2501.1",
            [("https://huggingface.co/papers/2501.1", "other")],
        ),
        ("Page: https://a.github.io/b/", [("https://a.github.io/b/", "project")]),
        ("https://notgithub.com/a", [("https://notgithub.com/a", "other")]),
        ("https://a.example/x https://a.example/x", [("https://a.example/x", "other")]),
        ("javascript:alert(1) ftp://a.example mailto:a@b.example //a.example/x", []),
        ("http://[::1 and http://", []),
        (
            "https://a.example/x'<script>' <https://a.example/y>",
            [("https://a.example/x", "other"), ("https://a.example/y", "other")],
        ),
        ("et.al wrote 3.5.In this; a@github.com/x mygithub.com/x", []),
        ("https://a.example/" + "x" * 600, []),
    ],
)
def test_links_and_their_kinds(text: str, links: list[tuple[str, str]]) -> None:
    assert [(link.url, link.kind.value) for link in find_links(text)] == links
