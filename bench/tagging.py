"""How right the tags are and how fast: `python bench/tagging.py [DB] [LABELS.jsonl]`.

LABELS has one {"title": …, "tags": […]} a line, tags that people gave; bench/labels.jsonl holds
ours for half of the sample. Prints precision, recall and F1 over all tags together, the tags
that are wrong or missed most often, and microseconds a paper.
"""

import json
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

from dailypapers.merge import fold_title
from dailypapers.tagging import Tagger, load_vocabulary

PROJECT = Path(__file__).resolve().parent.parent
SHOWN = 15


def main() -> None:
    database = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "db" / "daily.db"
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else PROJECT / "bench" / "labels.jsonl"
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    rows = connection.execute("select title, abstract from papers").fetchall()
    papers = {fold_title(title): (title, abstract) for title, abstract in rows}
    tagger = Tagger(load_vocabulary(PROJECT / "vocabulary.yml"))
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for line in map(json.loads, path.read_text("utf-8").splitlines()):
        given = set(line["tags"])
        earned = {tag.slug for tag in tagger.tag(*papers[fold_title(line["title"])])}
        right.update(given & earned)
        wrong.update(earned - given)
        missed.update(given - earned)
    precision = right.total() / max(1, right.total() + wrong.total())
    recall = right.total() / max(1, right.total() + missed.total())
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    print(f"precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f}")
    for slug, _ in (wrong + missed).most_common(SHOWN):
        print(f"{slug:28} right {right[slug]:3}  wrong {wrong[slug]:3}  missed {missed[slug]:3}")
    start = time.perf_counter()
    for title, abstract in papers.values():
        tagger.tag(title, abstract)
    print(f"{(time.perf_counter() - start) / len(papers) * 1e6:.0f} µs a paper")


if __name__ == "__main__":
    main()
