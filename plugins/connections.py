"""SQLite reads the database where the system has it in memory, instead of copying page by page.

Of a million papers, 66,000 are looked up in 210 ms so, and in 560 ms otherwise. All processes on a
machine share that memory. SQLite maps at most two gigabytes and reads the rest as ever.

A file that is served must therefore be replaced, as build.py does, and never be written over: who
reads a mapped file that became shorter is ended by the system.
"""

import sqlite3

from datasette import hookimpl

MAPPED = 2**31 - 2**16
"""Bytes; the most that SQLite allows unless it was compiled for more."""


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Of small files, as much as there is."""
    conn.execute(f"pragma mmap_size = {MAPPED}")
