"""A file of SQLite: opening it, its transactions, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pykafka_store.databases.errors import DatabaseError, DatabaseUnavailableError
from pykafka_store.write_ahead import make_wal

BUSY = 1.0
"""Seconds that SQLite waits for the file's lock by itself. Beyond that whoever wants it goes on, and tries again."""

MAKING = 10.0
"""Seconds that others have who make the file at the same time: each is done in moments."""

_AWAY = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip
"""Primary result codes of what may be over later. https://sqlite.org/rescode.html"""


def quoted(name: str) -> str:
    """An identifier in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def explained(name: str, what: str) -> Iterator[None]:
    """Raise SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        kind = DatabaseUnavailableError if code in _AWAY else DatabaseError
        raise kind(f"{name}: can't {what}: {error}") from error


class SqliteFile:
    """A connection to one file, whichever has its name by then. One thread uses it at a time."""

    def __init__(self, path: str, *, busy: float = BUSY, create: bool = True) -> None:
        """Opens the file, or makes it. Raises DatabaseError where it is none of SQLite's, or can't be opened."""
        self.path = path
        if not create and not os.path.exists(path):
            raise DatabaseError(f"{path}: there is no such file")
        is_new = _is_empty(path)
        with explained(path, "open"):
            # Autocommit: every BEGIN and COMMIT is in this module.
            self.connection = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
        try:
            with explained(path, "open"):
                self.connection.execute("PRAGMA synchronous = FULL")
                if is_new:
                    make_wal(self.connection, MAKING)
                self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                self._identity = _identity(path)
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        """All of what is done within it, or nothing; with the file's only lock, so that nothing may wait in it."""
        connection = self.connection
        self.check_place()
        with explained(self.path, what):
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def check_place(self) -> None:
        """Raise DatabaseError where another file has the name, or none."""
        if _identity(self.path) != self._identity:
            raise DatabaseError(f"{self.path} was moved, removed or replaced while it was open: nothing more is done")


def _is_empty(path: str) -> bool:
    """Whether nothing was ever written to it, or it is missing."""
    try:
        return os.path.getsize(path) == 0
    except FileNotFoundError:
        return True


def _identity(path: str) -> tuple[int, int] | None:
    """Which file that is; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
