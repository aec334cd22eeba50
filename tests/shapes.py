"""Made-up cards, rendered in the shapes that scrapers and text browsers save."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

SITE = "https://huggingface.co"
URL = f"{SITE}/papers?q=red%20kites"
PICTURE = f"{SITE}/avatars/0123456789abcdef.svg"

_NEWSLETTER = """new

Get trending papers in your email inbox once a day!

Get trending papers in your email inbox!
"""
_MENU = ["Models", "Datasets", "Spaces", "Docs", "Enterprise", "Log In"]


@dataclass(frozen=True)
class Card:
    """The facts of a card. None is a part that the page lacks; upvotes None are printed "-"."""

    title: str
    abstract: str | None = None
    arxiv_id: str = "2401.00001"
    upvotes: int | None = None
    authors_count: int | None = None
    organization: str | None = None
    organization_name: str | None = None
    published_printed: str | None = None
    comments: int = 0

    @property
    def url(self) -> str:
        return f"{SITE}/papers/{self.arxiv_id}"

    @property
    def login(self) -> str:
        return f"{SITE}/login?next=%2Fpapers%2F{self.arxiv_id}"

    @property
    def printed_upvotes(self) -> str:
        return "-" if self.upvotes is None else str(self.upvotes)

    @property
    def has_byline(self) -> bool:
        return bool(self.authors_count or self.organization or self.published_printed)


def render_markdown(
    cards: Sequence[Card],
    *,
    day: str = "Oct 2",
    url: str | None = URL,
    retrieved: str | None = "2026-10-02",
    width: int | None = None,
    escapes: bool = True,
) -> str:
    r"""Markdown. With `width`, abstracts span lines that end in `\\`, and long titles hold `\  `;
    without `escapes`, as from scrapers that leave Markdown's own marks bare."""
    front = [f"url: {url}"] * bool(url) + [f"retrieved: {retrieved}"] * bool(retrieved)
    head = [
        *(["\n".join(["---", *front, "title: Daily Papers", "---"])] if front else []),
        _NEWSLETTER,
        f"[Subscribe]({SITE}/login?next=%2Fpapers)",
        "# Daily Papers",
        f"## by [![]({SITE}/front/assets/papers-by.png)AK]({SITE}/made-up) and the community",
        "- Daily\n- Weekly\n- Monthly",
        f"[Trending Papers]({SITE}/papers/trending)",
        day,
    ]
    blocks = [block for card in cards for block in _markdown_card(card, width, escapes)]
    foot = [f"[Previous]({SITE}/papers/date/2026-10-01)", "Trending Papers ranked by stars"]
    return "\n\n".join([*head, *blocks, *foot]) + "\n"


def _markdown_card(card: Card, width: int | None, escapes: bool) -> list[str]:
    def escape(text: str) -> str:
        return re.sub(r"([\\`*_\[\]#+!|<>~-])", r"\\\1", text) if escapes else text

    title = escape(card.title)
    if width and len(title) > width:
        title = title[:width] + title[width:].replace(" ", "\\  ", 1)
    blocks = [f"[{card.printed_upvotes}]({card.login})", f"### [{title}]({card.url})"]
    if card.abstract is not None:
        lines = [card.abstract] if width is None else _wrap(card.abstract, width)
        text = "\\\\\n".join(map(escape, lines))
        blocks.append(f"[{text}]({card.url})")
    if card.organization:
        logo = f"![{card.organization}](https://cdn-avatars.huggingface.co/v1/a-b_c.png)"
        blocks.append(f"[{logo}{escape(card.organization_name or '')}]({SITE}/{card.organization})")
    elif card.authors_count:
        pictures = f"- ![]({PICTURE})\\\\\n" * min(card.authors_count - 1, 3)
        blocks.append(f"[{pictures}- {card.authors_count} authors]({card.url})")
    if card.has_byline:
        blocks.append("·")
    if card.published_printed:
        comments = f"[{card.comments}]({card.url}#community)" if card.comments else ""
        blocks.append(card.published_printed + comments)
    return blocks


def render_numbered_links(
    cards: Sequence[Card],
    *,
    day: str = "Oct 2",
    url: str | None = URL,
    captured: str | None = "2026-10-02T16:31:22.135762458+00:00",
    width: int = 72,
    targets: bool = True,
    repeats_mark: bool = False,
) -> str:
    """A text browser's dump, with its link targets at the end or, without `targets`, lost; with
    `repeats_mark`, each line of a wrapped title has its own "###"."""
    numbers = _Numbers()
    header = [f"- URL: {url}"] * bool(url) + [f"- Captured (UTC): {captured}"] * bool(captured)
    menu = [numbers.link("[[Made-up logo] Made-up]", f"{SITE}/")]
    menu += [numbers.link(f"* [ {item} ]", f"{SITE}/{item.lower()}") for item in _MENU]
    lines = ["# Web source", "", *header, "", *menu, *_NEWSLETTER.split("\n")]
    lines += [numbers.link("[Subscribe]", f"{SITE}/login?next=%2Fpapers"), "", "# Daily Papers", ""]
    lines += [numbers.link("## by[AK]", f"{SITE}/made-up") + " and the community"]
    lines += ["* Daily", "* Weekly", "* Monthly", "", day]
    for card in cards:
        lines += _numbered_card(card, numbers, width, repeats_mark)
    if targets:
        lines += ["", *(f"[{n}]: {target}" for n, target in enumerate(numbers.targets, 1))]
    return "\n".join(lines) + "\n"


class _Numbers:
    """The addresses of the links so far; their numbers count from 1."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    def link(self, text: str, target: str) -> str:
        self.targets.append(target)
        return f"{text}[{len(self.targets)}]"


def _numbered_card(card: Card, numbers: _Numbers, width: int, repeats_mark: bool) -> list[str]:
    lines = ["[", card.printed_upvotes, numbers.link("]", card.login), ""]
    title = numbers.link(f"[{card.title}]", card.url)
    first, *more = _wrap(title, width - 4)
    lines += [f"### {first}", *(f"### {line}" if repeats_mark else line for line in more), ""]
    if card.abstract is not None:
        lines += ["[", "", *_wrap(card.abstract, width), "", numbers.link("]", card.url)]
    if card.organization:
        text = f"[[{card.organization}] {card.organization_name or ''}]"
        lines.append(numbers.link(text, f"{SITE}/{card.organization}"))
    elif card.authors_count:
        lines += ["[", f"* {card.authors_count} authors", numbers.link("]", card.url)]
    if card.has_byline:
        lines.append("·")
    if card.published_printed:
        comments = numbers.link(f" [ {card.comments}]", f"{card.url}#community")
        lines.append(card.published_printed + (comments if card.comments else ""))
    return lines


def render_links_after(
    cards: Sequence[Card],
    *,
    day: str = "Oct 2",
    url: str | None = URL,
    retrieved: str | None = "2026-10-02",
) -> str:
    front = [f"url: {url}"] * bool(url) + [f"retrieved: {retrieved}"] * bool(retrieved)
    blocks = ["\n".join(["---", 'title: "Daily Papers"', *front, "---"])] if front else []
    for item in _MENU:
        blocks += [item, f"{SITE}/{item.lower().replace(' ', '')}"]
    blocks += [_NEWSLETTER, "Subscribe", f"{SITE}/login?next=%2Fpapers", "Daily Papers"]
    blocks += ["by ", "AK", f"{SITE}/made-up", " and the community", "Daily", "Weekly"]
    blocks += ["Monthly ", f"{SITE}/papers/trending", " ", f"{SITE}/papers/date/2026-10-01", day]
    for card in cards:
        blocks += _card_with_links_after(card)
    blocks += ["Previous", f"{SITE}/papers/date/2026-10-01", "System theme", "TOS"]
    blocks += [f"{SITE}/terms-of-service", "Careers", "https://jobs.example/"]
    return "\n\n".join(blocks) + "\n"


def _card_with_links_after(card: Card) -> list[str]:
    blocks = [f" [-] {card.printed_upvotes}", card.login, card.title, card.url]
    if card.abstract is not None:
        blocks += [card.abstract, card.url]
    if card.organization:
        blocks += [" ", card.url, f" {card.organization_name}", f"{SITE}/{card.organization}"]
    elif card.authors_count:
        blocks += ["[", f"{card.authors_count} authors]({card.url})"]
    if card.has_byline:
        blocks.append("·")
    if card.published_printed:
        blocks.append(card.published_printed + " " * bool(card.comments))
        blocks += [str(card.comments), f"{card.url}#community"] if card.comments else []
    return blocks


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
