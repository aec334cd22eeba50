"""A paper as JSON-LD, for search engines and reference managers."""

from collections.abc import Mapping, Sequence
from typing import Any


def describe_paper(
    paper: Mapping[str, Any], authors: Sequence[Mapping[str, Any]], url: str
) -> dict[str, Any]:
    """A paper as schema.org's ScholarlyArticle; what is not known is left out.

    `paper` is a row of papers, `authors` rows with a name each, in order.
    """
    arxiv_id = paper["arxiv_id"]
    facts = {
        "headline": paper["title"],
        "name": paper["title"],
        "url": url,
        "abstract": paper["abstract"],
        "datePublished": paper["published"],
        "author": [{"@type": "Person", "name": author["name"]} for author in authors],
        "identifier": arxiv_id and f"arXiv:{arxiv_id}",
        "sameAs": [
            *([paper["url"]] if paper["url"] else []),
            *([f"https://arxiv.org/abs/{arxiv_id}"] if arxiv_id else []),
        ],
        "commentCount": paper["comments"],
    }
    known = {name: fact for name, fact in facts.items() if fact not in (None, "", [])}
    return {"@context": "https://schema.org", "@type": "ScholarlyArticle", **known}
