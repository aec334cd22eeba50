"""Links in abstracts: to code, models, data sets and project pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from linkify_it import LinkifyIt

MAX_URL = 500
"""Characters; a longer address is no link that a person printed."""

MAX_WORD = 2_000
"""Characters without a blank that are searched: the time grows with their square."""


class LinkKind(StrEnum):
    """What an address leads to, as far as the address tells."""

    CODE = "code"
    MODEL = "model"
    DATASET = "dataset"
    PROJECT = "project"
    OTHER = "other"


@dataclass(frozen=True)
class Link:
    """One http(s) address in an abstract."""

    url: str
    kind: LinkKind


# Without a scheme only these are taken for addresses: "et.al" and "3.5.In" are none.
_ADDRESSED = ("://", "github.com/", "huggingface.co/")
_BARE_ADDRESS = re.compile(r"(?<![\w./@-])(?=(?:github\.com|huggingface\.co)/)")
# No address has an angle, though linkify takes those that stand between quotes.
_BREAK = re.compile(r"[\s<>]+")
_HOSTS = {
    "github.com": LinkKind.CODE,
    "gitlab.com": LinkKind.CODE,
    "bitbucket.org": LinkKind.CODE,
    "codeberg.org": LinkKind.CODE,
    "gitee.com": LinkKind.CODE,
    "anonymous.4open.science": LinkKind.CODE,
    "zenodo.org": LinkKind.DATASET,
    "kaggle.com": LinkKind.DATASET,
    "dataverse.harvard.edu": LinkKind.DATASET,
    "github.io": LinkKind.PROJECT,
    "gitlab.io": LinkKind.PROJECT,
    "sites.google.com": LinkKind.PROJECT,
}
_HUGGING_FACE = {
    "datasets": LinkKind.DATASET,
    "spaces": LinkKind.PROJECT,
    "papers": LinkKind.OTHER,
    "blog": LinkKind.OTHER,
    "docs": LinkKind.OTHER,
    "collections": LinkKind.OTHER,
}

_linkify = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False})
for _schema in ("ftp:", "//", "mailto:"):
    _linkify.add(_schema, None)


def find_links(text: str) -> list[Link]:
    """The http(s) addresses in a text, each once, in the order in which they stand."""
    found = dict.fromkeys(_find_urls(text))
    return [Link(url, classify_url(url)) for url in found if len(url) <= MAX_URL]


def _find_urls(text: str) -> Iterator[str]:
    if not any(map(text.__contains__, _ADDRESSED)):  # most abstracts: spare them the scan
        return
    for word in _BREAK.split(_BARE_ADDRESS.sub("https://", text)):
        if "://" in word and len(word) <= MAX_WORD:
            for match in _linkify.match(word) or []:
                scheme, colon, rest = match.url.partition(":")
                yield scheme.lower() + colon + rest


def classify_url(url: str) -> LinkKind:
    """What the address leads to, by its host and the first part of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://[…": no address after all
        return LinkKind.OTHER
    host = (parts.hostname or "").removeprefix("www.")
    if host == "huggingface.co":
        return _classify_hugging_face([part for part in parts.path.split("/") if part])
    kinds = (kind for known, kind in _HOSTS.items() if f".{host}".endswith(f".{known}"))
    return next(kinds, LinkKind.OTHER)


def _classify_hugging_face(path: list[str]) -> LinkKind:
    """A model is at huggingface.co/<owner>/<name>; the rest has a first part of its own."""
    if path and path[0] in _HUGGING_FACE:
        return _HUGGING_FACE[path[0]]
    return LinkKind.MODEL if len(path) >= 2 else LinkKind.OTHER
