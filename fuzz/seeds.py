"""Where the fuzzer begins: small made-up files of every format, and what stands in them."""

import html
import json
from collections.abc import Iterator

from tests.pages import abstract, card, cards_page, dense_page
from tests.shapes import Card, render_links_after, render_markdown, render_numbered_links

TOKENS = """
{"paper": "title": "summary": "publishedAt": "numComments": "organization": "fullname":
"authors": "ai_keywords": "upvotes": "submittedOnDailyAt": null true NaN 1e999 -1 \\ud800 \\u0000
<html> <article> </article> <h3> </h3> <p> <a href="/papers/2401.00001"> </a> <!-- --> <script>
data-target="DailyPapers" data-props=" &quot; &#0; &#x110000; &lt; dailyPapers searchResults
dateString periodType query saved url: https://huggingface.co/papers /papers/2401.00001
https://huggingface.co/nvidia login?next=%2Fpapers%2F #community ?q= //[ ### [ ]( ][1] [1]: ![
• · authors Subscribe Dec Feb 30 29 2024 , Sep. retrieved: 2026-10-02 - [-] \\\\ \\em \\url{ $ { }
~ ^ _ `` '' \\" -- times sim frac{ tag: org: year: authors:> comments: title: -" * " ( ) NOT OR
AND NEAR ^ + <mark> </mark> &amp; TY\x20\x20- @misc{ ]]> ftp:// javascript: github.com/a/b
""".split()

CARDS = [
    Card("A title: with [brackets] & “marks”", abstract("one"), "2606.00683", upvotes=101,
         organization="made-up_lab", organization_name="Made-Up Lab", published_printed="May 29",
         comments=6),
    Card("Nothing but authors", abstract("two"), "2403.01774v2", authors_count=9,
         published_printed="Mar 3, 2024"),
    Card("A short abstract", "We do it.", "cs/0112017", upvotes=1),
]  # fmt: skip
_VALUES = [
    {
        "paper": {
            "id": "2512.00001",
            "title": "A made-up title",
            "summary": abstract("three"),
            "authors": [{"name": "A. Author"}, {"name": "B. Author"}],
            "publishedAt": "2025-12-29T13:00:00.000Z",
            "submittedOnDailyAt": "2025-12-30T01:00:00.000Z",
            "upvotes": 3,
            "ai_keywords": ["one", "two"],
        },
        "numComments": 2,
        "organization": {"name": "made-up", "fullname": "Made Up"},
    },
    {"paper": {"id": "x", "title": "Another"}, "numComments": -1},
]
_ARTICLE = """<article><a href="/papers/2401.00001"><img src="x"></a>
<a href="/login?next=%2Fpapers%2F2401.00001"><div>7</div></a>
<h3><a href="/papers/2401.00001">A title</a></h3><p>An abstract</p>
<div><a href="/nvidia">NVIDIA</a> · <time>Jun 3</time>
<a href="/papers/2401.00001#community">2</a></div></article>"""
_TEXTS = {
    "dates": ["Dec 30", "Oct 12, 2021", "2025-12-30.txt", "x_2025_12.md", "2025-W52"],
    "readable": [
        r"T\"ULU {\em labeled} 90\% and $\alpha$-VAE: a 2.3times speedup, valued at \1 million",
        r"https://a.example/b{Page} mathcal{O}(n) \url{x} ~2% \frac{1}{2} \sqrt[3]{x} S^{2}FT",
    ],
    "links": ["Code: https://github.com/a/b. (github.com/a) http://[::1 https://a.example/?a=b&c"],
    "search": [
        '"in quotes" -without title:word quantiz* tag:distillation org:nvidia year:2023-2024',
        "authors:>10 comments:<=2 mixture of experts\x01distillation,lora\x01nvidia\x012024",
        "naive grosse destillation\x01\x01\x01\x01newest",
    ],
    "snippets": ["A <mark>model</mark> of x &amp; <b>y</b>"],
    "citations": ["On {LoRA} & 50% of α-VAE\x01Ada van Example\x01Jr., B. and others\x01a-title"],
    "feeds": ["A title\x01An abstract ]]> <b>\x01Ada Example\x01Tag"],
}


def list_seeds(target: str) -> Iterator[bytes]:
    """The files that a target begins with."""
    if target in _TEXTS:
        yield from (text.encode() for text in _TEXTS[target])
        return
    props = html.escape(json.dumps({"dailyPapers": _VALUES, "dateString": "2025-12-30"}))
    data = f'<!doctype html><html><div data-target="DailyPapers" data-props="{props}"></div>'
    plain = cards_page(
        card("One"), card("Two", byline="nvidia NVIDIA\n·\nJun 3 2"), card("Three", byline="")
    )
    formats = {
        "cards": [plain],
        "dense": [dense_page("A title", "Another")],
        "markdown": [render_markdown(CARDS), render_markdown(CARDS, width=60, escapes=False)],
        "numbered_links": [render_numbered_links(CARDS)],
        "links_after": [render_links_after(CARDS)],
        "api": [json.dumps(_VALUES), "\n".join(map(json.dumps, _VALUES))],
        "html": [f"<html><body><div>Dec 30</div>{_ARTICLE * 2}", data, f"{data[:-90]}{_ARTICLE}"],
    }
    chosen = [one for own in formats.values() for one in own]
    for seed in formats.get(target, chosen):
        yield seed if isinstance(seed, bytes) else seed.encode()
    if target == "captures":
        yield "é\nx".encode("utf-16")
        yield "é\nx".encode("utf-32-be")
        yield "é\nx".encode("latin-1")
