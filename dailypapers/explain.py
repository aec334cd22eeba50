"""Why a paper carries a tag, or does not: `python -m dailypapers.explain TITLE [--tag TAG]`.

For people who edit vocabulary.yml: the paper comes from the built database, the rules come from
the file as it is now.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import click

from .command import run_command
from .tagging import (
    Findings,
    Kind,
    Mention,
    Tagger,
    Vocabulary,
    VocabularyError,
    list_words,
    load_vocabulary,
)

PROJECT = Path(__file__).resolve().parent.parent
SHOWN_PAPERS = 10
"""How many papers are listed where several have the words in their titles."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("title")
@click.option("--tag", "slug", metavar="TAG", help="Only this tag, with every phrase found.")
@click.option("--db", type=_FILE, default=PROJECT / "db" / "daily.db", help="The database.")
@click.option("--vocabulary", type=_FILE, default=PROJECT / "vocabulary.yml", help="The rules.")
def explain(title: str, slug: str | None, db: Path, vocabulary: Path) -> None:
    """Tell which words earn a paper its tags, and which tags it comes near.

    TITLE is a part of the paper's title.
    """
    try:
        rules = load_vocabulary(vocabulary)
    except VocabularyError as error:
        raise click.ClickException(str(error)) from error
    if slug is not None and slug not in {tag.slug for tag in rules.tags}:
        raise click.UsageError(f"{vocabulary.name} has no tag {slug}")
    found = find_papers(db, title)
    if not found:
        raise click.ClickException(f"no paper in {db} has “{title}” in its title")
    if len(found) > 1:
        _list_papers(found, title)
        return
    paper_title, abstract = found[0]
    lines = tell_tag(rules, slug, paper_title, abstract) if slug else None
    click.echo(paper_title)
    for line in lines or tell_tags(rules, paper_title, abstract):
        click.echo(line)


def find_papers(db: Path, title: str) -> list[tuple[str, str | None]]:
    """Title and abstract of the papers with these words in the title, or of the one so called."""
    if not db.is_file():
        raise click.ClickException(f"there is no database {db}; run: make db")
    words = title.casefold()
    try:
        with closing(sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            papers = connection.execute("select title, abstract from papers order by id").fetchall()
    except sqlite3.Error as error:
        raise click.ClickException(f"{db}: {error}") from error
    exactly = [paper for paper in papers if paper[0].casefold() == words]
    return exactly or [paper for paper in papers if words in paper[0].casefold()]


def _list_papers(papers: Sequence[tuple[str, str | None]], title: str) -> None:
    click.echo(f"{len(papers):,} papers have “{title}” in their titles; give more of one:")
    for paper_title, _ in papers[:SHOWN_PAPERS]:
        click.echo(f"  {paper_title}")
    if len(papers) > SHOWN_PAPERS:
        click.echo(f"  … and {len(papers) - SHOWN_PAPERS:,} more")


def tell_tags(rules: Vocabulary, title: str, abstract: str | None) -> Iterator[str]:
    """The tags that the paper earns, by which words; then those of which it says too little."""
    findings = list(Tagger(rules).find(title, abstract))
    near = [one for one in findings if not one.is_earned and one.bodies]
    yield "Tags:"
    for one in findings:
        if one.is_earned:
            yield f"  {one.tag.slug}: {one.evidence}"
    yield "Not enough:"
    for one in near:
        yield f"  {one.tag.slug}: {one.evidence} ({_tell_lack(one)})"


def tell_tag(rules: Vocabulary, slug: str, title: str, abstract: str | None) -> Iterator[str]:
    """Every phrase of the tag's rules in the paper, where, in which list; and the verdict."""
    found = next((one for one in Tagger(rules).find(title, abstract) if one.tag.slug == slug), None)
    if found is None:
        yield f"{slug}: no, none of its phrases is in title or abstract"
        return
    yield f"{slug}: {_tell_verdict(found)}"
    yield from _tell_place("title", found.in_title, found.text)
    yield from _tell_place("abstract", found.in_abstract, found.text)


def _tell_place(place: str, mentions: Sequence[Mention], text: str) -> Iterator[str]:
    for kind, group in groupby(sorted(mentions, key=_name_list), key=_name_list):
        words = list_words(list(group), text)
        remark = " (counts in titles only)" if (place, kind) == ("abstract", "title") else ""
        yield f"  {place}, {kind}: {words}{remark}"


def _name_list(mention: Mention) -> str:
    return mention[2].key


def _tell_verdict(found: Findings) -> str:
    if found.heads:
        return "yes, by its title"
    if any(kind is Kind.SURE for _, _, kind in found.bodies):
        return "yes, by a sure phrase in the abstract"
    return f"{'yes' if found.is_earned else 'no'}, {_tell_lack(found)}"


def _tell_lack(found: Findings) -> str:
    twice = ", each counted twice in so short a text" if found.weight > 1 else ""
    mentions = len(found.bodies)
    plural = "" if mentions == 1 else "s"
    return f"{mentions} mention{plural} in the abstract{twice}, of {found.tag.times} needed"


if __name__ == "__main__":
    run_command(explain, "explain", "stopped")
