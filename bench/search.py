"""How long search takes as papers grow: `python bench/search.py [1000 100000 1000000]`.

For each number of papers it makes a database (kept in db/ for the next run) and prints, for
several kinds of search, the median and the 95th percentile beside a bare FTS5 query for the
same words, and their ratio. Both run in turn, in the same process.
"""

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from corpus import make_papers
from sqlite_utils import Database

from dailypapers.columns import write_columns
from dailypapers.database import create_indexes, create_tables, index_text
from dailypapers.ranking import load_synonyms
from dailypapers.results import Search, find_papers
from dailypapers.search import parse_query, quote_phrase

PROJECT = Path(__file__).resolve().parent.parent
BARE = "select rowid, rank from papers_fts where papers_fts match ? order by rank limit 20"
ROUNDS = 40


def build_database(count: int) -> Path:
    """Papers with what search reads: texts, dates, text index, counted words."""
    path = PROJECT / "db" / f"bench-{count}.db"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    db = Database(part)
    db.execute("pragma journal_mode = off")
    db.execute("pragma synchronous = off")
    create_tables(db)
    with db.atomic():
        db.conn.executemany(
            "insert into papers (id, number, title, abstract, published, year, tags, listed)"
            " values (?, ?, ?, ?, ?, ?, '[]', 1)",
            (
                (f"p{n}", n, title, abstract, f"{2015 + n % 10}-01-{n % 28 + 1:02}", 2015 + n % 10)
                for n, (title, abstract) in enumerate(make_papers(count), 1)
            ),
        )
    create_indexes(db)
    index_text(db, db.execute("select number, title, abstract from papers"))
    write_columns(db.conn)
    db.conn.commit()
    db.analyze()
    db.close()
    part.rename(path)
    return path


def list_searches() -> dict[str, list[Search]]:
    """Kinds of searches: a few words each."""
    lines = (PROJECT / "bench" / "queries.jsonl").read_text("utf-8").splitlines()
    remembered = [json.loads(line)["query"] for line in lines[:ROUNDS]]
    return {
        "a rare word": [Search(f"w{n * 7919}x") for n in range(1, ROUNDS + 1)],
        "half-remembered (5 to 14 words)": [Search(typed) for typed in remembered],
        "common words": [Search("language model training data")] * ROUNDS,
        "one common word": [Search("model")] * ROUNDS,
        "a phrase": [Search('"language models"')] * ROUNDS,
        "common words of a year": [Search("language model year:2020")] * ROUNDS,
        "common words, newest first": [Search("language model", sort="newest")] * ROUNDS,
        "blank": [Search("")] * ROUNDS,
    }


def time_call(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def report(path: Path, count: int) -> None:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    synonyms = load_synonyms(PROJECT / "synonyms.yml")
    print(f"{count:,} papers, ms            search median   p95   bare FTS5 median   p95   ratio")
    for name, searches in list_searches().items():
        ours, bare = [], []
        for search in searches:
            words = parse_query(search.typed).scored_words
            expression = " OR ".join(quote_phrase([word]) for word in words) or '""'
            bare.append(time_call(lambda e=expression: connection.execute(BARE, [e]).fetchall()))
            ours.append(time_call(lambda s=search: find_papers(connection, s, synonyms)))
        cells = [statistics.median(ours), _p95(ours), statistics.median(bare), _p95(bare)]
        print(f"{name:34}" + "".join(f"{cell:10.1f}" for cell in cells), end="")
        print(f"{cells[0] / max(cells[2], 0.01):8.1f}")


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95) - 1]


def main() -> None:
    for count in map(int, sys.argv[1:] or ["1000", "100000", "1000000"]):
        report(build_database(count), count)


if __name__ == "__main__":
    main()
