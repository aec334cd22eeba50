"""The tables of the database, a public contract, and what is done to them at the end.

The column names and meanings are described in metadata.yml, which a test holds to this.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, its key, which columns are never empty, what it refers
    to (column, table, column there), and the indexes that facets, sorts and look-ups need."""

    columns: Mapping[str, type]
    key: tuple[str, ...]
    required: tuple[str, ...] = ()
    references: tuple[tuple[str, str, str], ...] = ()
    unique: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    without_rowid: bool = False


TABLES: Mapping[str, Table] = {
    "authors_count": Table(
        {"authors_count": int, "label": str, "papers": int},
        key=("authors_count",),
        required=("label", "papers"),
        indexes=(("papers",),),
    ),
    "organizations": Table(
        {"id": str, "name": str, "papers": int},
        key=("id",),
        required=("name", "papers"),
        indexes=(("papers",),),
    ),
    "papers": Table(
        {
            "id": str,
            "number": int,
            "title": str,
            "abstract": str,
            "published": str,
            "year": int,
            "authors_count": int,
            "organization": str,
            "comments": int,
            "upvotes": int,
            "arxiv_id": str,
            "url": str,
            "tags": str,
            "listed": int,
            "first_listed": str,
            "last_listed": str,
        },
        key=("id",),
        required=("number", "title", "tags", "listed"),
        references=(
            ("authors_count", "authors_count", "authors_count"),
            ("organization", "organizations", "id"),
        ),
        unique=("number", "arxiv_id"),
        indexes=(
            ("published",),
            # With the number, so that searching within one begins with the newest.
            ("year", "number"),
            ("authors_count",),
            ("organization", "number"),
            # The whole order of the most discussed: thousands may have as many comments.
            ("comments", "upvotes", "published"),
            ("upvotes",),
            ("title",),
            ("listed",),
            ("first_listed",),
            ("last_listed",),
        ),
    ),
    "tags": Table(
        {"id": str, "name": str, "category": str, "description": str, "papers": int},
        key=("id",),
        required=("name", "category", "description", "papers"),
        indexes=(("category",), ("papers",)),
    ),
    "paper_tags": Table(
        {"paper": str, "tag": str, "evidence": str, "source": str},
        key=("paper", "tag"),
        required=("paper", "tag", "evidence", "source"),
        references=(("paper", "papers", "id"), ("tag", "tags", "id")),
        indexes=(("tag", "paper"),),
        without_rowid=True,
    ),
    "keywords": Table(
        {"id": str, "name": str, "papers": int},
        key=("id",),
        required=("name", "papers"),
        indexes=(("papers",),),
    ),
    "paper_keywords": Table(
        {"paper": str, "keyword": str},
        key=("paper", "keyword"),
        references=(("paper", "papers", "id"), ("keyword", "keywords", "id")),
        indexes=(("keyword", "paper"),),
        without_rowid=True,
    ),
    "authors": Table(
        {"id": str, "name": str, "papers": int},
        key=("id",),
        required=("name", "papers"),
        indexes=(("papers",), ("name",)),
    ),
    "paper_authors": Table(
        {"paper": str, "position": int, "author": str},
        key=("paper", "position"),
        required=("author",),
        references=(("paper", "papers", "id"), ("author", "authors", "id")),
        indexes=(("author", "paper"),),
        without_rowid=True,
    ),
    "related_papers": Table(
        {"paper": str, "rank": int, "related": str, "score": float},
        key=("paper", "rank"),
        required=("related", "score"),
        references=(("paper", "papers", "id"), ("related", "papers", "id")),
        indexes=(("related",),),
        without_rowid=True,
    ),
    "links": Table(
        {"paper": str, "url": str, "kind": str},
        key=("paper", "url"),
        required=("paper", "url", "kind"),
        references=(("paper", "papers", "id"),),
        indexes=(("kind",),),
        without_rowid=True,
    ),
    "listings": Table(
        {
            "id": str,
            "file": str,
            "sha256": str,
            "format": str,
            "heading": str,
            "listed_on": str,
            "year": int,
            "year_source": str,
            "query": str,
            "entries": int,
        },
        key=("id",),
        required=("file", "entries"),
    ),
    "entries": Table(
        {
            "id": int,
            "listing": str,
            "position": int,
            "line": int,
            "paper": str,
            "title": str,
            "published_printed": str,
            "published": str,
            "authors_count": int,
            "organization": str,
            "comments": int,
            "upvotes": int,
            "arxiv_id": str,
            "abstract_sha256": str,
        },
        key=("id",),
        required=("listing", "position", "line", "paper", "title"),
        references=(
            ("listing", "listings", "id"),
            ("paper", "papers", "id"),
            ("organization", "organizations", "id"),
        ),
        indexes=(("listing", "position"), ("paper",), ("organization",), ("title",)),
    ),
    "problems": Table(
        {
            "id": int,
            "listing": str,
            "line": int,
            "severity": str,
            "message": str,
            "text": str,
            "count": int,
        },
        key=("id",),
        required=("listing", "severity", "message", "text", "count"),
        references=(("listing", "listings", "id"),),
        indexes=(("listing",), ("severity",)),
    ),
    "months": Table(
        {"month": str, "papers": int},
        key=("month",),
        required=("papers",),
        without_rowid=True,
    ),
    "tag_months": Table(
        {"tag": str, "month": str, "papers": int},
        key=("tag", "month"),
        required=("papers",),
        references=(("tag", "tags", "id"),),
        without_rowid=True,
    ),
    "tags_together": Table(
        {"tag": str, "other": str, "papers": int},
        key=("tag", "other"),
        required=("papers",),
        references=(("tag", "tags", "id"), ("other", "tags", "id")),
        without_rowid=True,
    ),
    "paper_arrays": Table(
        {"name": str, "array": bytes, "meanings": str},
        key=("name",),
        required=("array", "meanings"),
    ),
    "words": Table(
        {"word": str, "papers": int},
        key=("word",),
        required=("papers",),
        without_rowid=True,
    ),
}
"""In the order in which they are filled: what is referred to comes first."""

STORED_COUNTS = [
    """update authors_count set papers = (
        select count(*) from papers where papers.authors_count = authors_count.authors_count)""",
    """update organizations set papers = (
        select count(*) from papers where papers.organization = organizations.id)""",
    """update tags set papers = (
        select count(*) from paper_tags where paper_tags.tag = tags.id)""",
    """update keywords set papers = (
        select count(*) from paper_keywords where paper_keywords.keyword = keywords.id)""",
    """update authors set papers = (
        select count(distinct paper) from paper_authors where paper_authors.author = authors.id)""",
    """insert into months select substr(published, 1, 7), count(*) from papers
        where published is not null group by 1""",
]
"""The exact `papers` of the lookup tables, so that browsing never counts a large join, and of the
months, which the home page draws."""

FULL_TEXT = """
create virtual table papers_fts using fts5(
    title, abstract, tokenize="porter unicode61", content="papers", content_rowid="number"
)
"""
"""Tied by `number`, not rowid, so that search survives VACUUM on a copy. The double quotes
matter: Datasette finds the index of a table only in this spelling."""

COUNT_WORDS = """
insert into words select term, doc from temp.vocabulary
"""
"""How many papers hold each word of the index, so that searching need not count them."""
