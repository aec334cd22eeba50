"""How well search finds a half-remembered paper: `python bench/finding.py [DB] [QUERIES.jsonl]`.

Each line of QUERIES is a query and the title of the one paper meant; bench/queries.jsonl holds
363, written from memory of papers in the sample. Prints, side by side, the mean reciprocal rank
of that paper among the first ten (MRR@10), how often it is among them, and how often first.
"""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from dailypapers import ranking
from dailypapers.merge import fold_title
from dailypapers.ranking import Synonyms, load_synonyms, rank_papers
from dailypapers.search import parse_query, quote_phrase

PROJECT = Path(__file__).resolve().parent.parent
Finder = Callable[[str], list[int]]


def measure(find: Finder, queries: list[tuple[str, int]]) -> tuple[float, float, float]:
    """MRR@10, the share found among ten, the share found first."""
    ranks = [
        found.index(meant) + 1 if meant in found else 0
        for found, meant in ((find(typed)[:10], meant) for typed, meant in queries)
    ]
    count = len(ranks)
    return (
        sum(1 / rank for rank in ranks if rank) / count,
        sum(rank > 0 for rank in ranks) / count,
        sum(rank == 1 for rank in ranks) / count,
    )


def make_finders(connection: sqlite3.Connection) -> dict[str, Finder]:
    """From the floor up, each with one part more."""
    synonyms = load_synonyms(PROJECT / "synonyms.yml")

    def find_plainly(typed: str) -> list[int]:
        words = " OR ".join(quote_phrase([word]) for word in parse_query(typed).words)
        sql = "select rowid from papers_fts where papers_fts match ? order by rank limit 10"
        return [number for (number,) in connection.execute(sql, [words])]

    def find_with(used: Synonyms, respell: bool) -> Finder:
        def find(typed: str) -> list[int]:
            kept, ranking._respell = ranking._respell, ranking._respell if respell else no_spelling
            try:
                return [hit.number for hit in rank_papers(connection, parse_query(typed), used)]
            finally:
                ranking._respell = kept

        return find

    def no_spelling(words: object) -> list[ranking.Stems]:
        return []

    return {
        "FTS5 bm25, any word": find_plainly,
        "our bm25": find_with({}, respell=False),
        "+ joined and split spellings": find_with({}, respell=True),
        "+ synonyms (what search does)": find_with(synonyms, respell=True),
    }


def main() -> None:
    database = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "db" / "daily.db"
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else PROJECT / "bench" / "queries.jsonl"
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    numbers = {
        fold_title(title): number
        for number, title in connection.execute("select number, title from papers")
    }
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    queries = [(line["query"], numbers[fold_title(line["title"])]) for line in lines]
    print(f"{len(queries)} queries, {len(numbers)} papers            MRR@10  in ten  first")
    for name, find in make_finders(connection).items():
        mrr, in_ten, first = measure(find, queries)
        print(f"{name:40} {mrr:.3f}   {in_ten:.3f}   {first:.3f}")


if __name__ == "__main__":
    main()
