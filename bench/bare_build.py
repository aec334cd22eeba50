"""The floor of a build: `python bench/bare_build.py SOURCE TARGET`.

Streams the rows of a built database into a new one with sqlite3 alone, then makes the same
indexes and the same text index. Related papers are left out, as they are counted apart.
"""

import sqlite3
import sys
from collections.abc import Iterator

LEFT_OUT = "related_papers"
HASH_SIZE = 256 * 1024 * 1024


def list_made(source: sqlite3.Connection, kind: str) -> Iterator[tuple[str, str]]:
    """Names and SQL of the tables or indexes that the schema makes, without what FTS5 makes."""
    yield from source.execute(
        "select name, sql from sqlite_master where type = ? and sql is not null"
        " and tbl_name not like 'papers_fts%' and tbl_name not like 'sqlite_%' and tbl_name <> ?"
        " order by rowid",
        [kind, LEFT_OUT],
    )


def copy_tables(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    tables = list(list_made(source, "table"))
    for name, sql in tables:
        target.execute(sql)
        rows = source.execute(f"select * from [{name}]")  # noqa: S608
        marks = ", ".join("?" * len(rows.description))
        target.executemany(f"insert into [{name}] values ({marks})", rows)  # noqa: S608
    target.commit()


def index_text(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    [[sql]] = source.execute("select sql from sqlite_master where name = 'papers_fts'")
    target.execute(sql)
    target.execute("insert into papers_fts(papers_fts, rank) values ('hashsize', ?)", [HASH_SIZE])
    target.execute("insert into papers_fts(papers_fts) values ('rebuild')")
    target.commit()


def main() -> None:
    source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    target = sqlite3.connect(sys.argv[2])
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -65536"):
        target.execute(f"pragma {pragma}")
    print("writing tables", file=sys.stderr, flush=True)
    copy_tables(source, target)
    print("indexing", file=sys.stderr, flush=True)
    for _, sql in list_made(source, "index"):
        target.execute(sql)
    target.commit()
    print("indexing text", file=sys.stderr, flush=True)
    index_text(source, target)
    target.close()


if __name__ == "__main__":
    main()
