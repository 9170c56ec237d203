"""SQLite's write-ahead log, with which readers and a writer of one file don't wait for each other."""

from __future__ import annotations

import sqlite3
import time


def make_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Have the file one with a write-ahead log; one that is made already is not changed. ``patience``: seconds.

    Of several processes that make one file at once, SQLite refuses some without a wait: it can't see that none of them
    waits for another.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.001)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has the file's lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
