"""A SQLite file of a data directory, as metadata.db and groups.db are: opened, brought up to date, changed, watched.

In WAL mode, because it is atomic, crash-safe and shared between processes already. Every change is one
``BEGIN IMMEDIATE`` transaction. ``version()`` asks SQLite's data_version (about a microsecond): a long-lived process
looks again only when it has moved.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pykafka_store.errors import StorageError, UnsupportedVersionError

if TYPE_CHECKING:
    import tempfile

BUSY_TIMEOUT = 30.0
"""Seconds that a transaction waits for another process's."""

Mode = Literal["rw", "rwc", "ro", "memory"]
"""SQLite's: a file that must be there, one that is made if it is missing, one that is left as it is, none at all."""


class Database:
    """One connection. All methods raise StorageError where SQLite fails."""

    MIGRATIONS: ClassVar[Sequence[str]]
    """What brings the file from version n to n + 1 (PRAGMA user_version). Only ever appended to."""
    SYNCHRONOUS: ClassVar[Literal["FULL", "NORMAL"]]
    """FULL: what is committed survives a power cut. NORMAL: the last commits may be missing after one."""

    def __init__(self, path: str, mode: Mode) -> None:
        """Raises UnsupportedVersionError for a file of a newer version."""
        self.path = path
        self._own_commits = 0
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with self._explained():
            self._connection = self._connect_read_only() if mode == "ro" else self._connect(mode)
        try:
            with self._explained():
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._migrate(mode)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    # -------------------------------------------------------------------------------------------------- connecting

    def _connect(self, mode: Mode) -> sqlite3.Connection:
        connection = sqlite3.connect(_uri(self.path, mode), uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
        with _closing_on_error(connection):
            if mode == "rwc":
                _make_wal(connection)
            connection.execute(f"PRAGMA synchronous = {self.SYNCHRONOUS}")
        return connection

    def _connect_read_only(self) -> sqlite3.Connection:
        """Open the file without changing anything, whatever a writer left: a live WAL, none, or one that can't be
        shared.

        SQLite reads a WAL only through its -shm file. In a directory that may not be written, with a WAL and no usable
        -shm, what is left is to read a copy, which goes when this is closed.
        """
        wal = f"{self.path}-wal"
        immutable = not os.path.exists(wal) or not os.path.getsize(wal)
        uri = _uri(self.path, "ro")
        if immutable and not os.access(os.path.dirname(self.path), os.W_OK):
            uri += "&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
            with _closing_on_error(connection):
                connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
            return connection
        except sqlite3.OperationalError:
            if not os.path.exists(self.path):
                raise
        import shutil
        import tempfile

        self._copy = tempfile.TemporaryDirectory(prefix="pykafka-catalog-")
        copy = os.path.join(self._copy.name, os.path.basename(self.path))
        try:
            for suffix in ("", "-wal"):
                shutil.copy(self.path + suffix, copy + suffix)
        except OSError as error:
            self._copy.cleanup()
            raise StorageError(f"{error.filename or self.path}: {error.strerror}") from error
        return sqlite3.connect(copy, timeout=BUSY_TIMEOUT, isolation_level=None)

    def _migrate(self, mode: Mode) -> None:
        version, newest = self._user_version(), len(self.MIGRATIONS)
        if not version and mode == "rw":
            raise StorageError(f"{self.path} is empty, and the directory is not: restore it from a backup")
        if version > newest:
            raise UnsupportedVersionError(
                f"{self.path} has version {version}, and this pykafka knows up to {newest}: upgrade pykafka-toolkit"
            )
        if version == newest:
            return
        if mode == "ro":
            raise StorageError(f"{self.path} is unfinished or of an older version, and may only be read here")
        with self.transaction():
            for number in range(self._user_version(), newest):  # asked again: another process may have been first
                for statement in filter(str.strip, self.MIGRATIONS[number].split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number + 1}")

    def _user_version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    # ------------------------------------------------------------------------------------------------ transactions

    def version(self) -> tuple[int, int]:
        """A value that differs from an earlier one if anything was committed in between, here or by another process."""
        with self._explained():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0]), self._own_commits

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or not at all; writers take turns."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            changes = self._connection.total_changes
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._end()
                raise
            self._own_commits += self._connection.total_changes != changes

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with self._explained():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._end()

    def _end(self) -> None:
        if self._connection.in_transaction:  # some errors, a full disk for one, have ended it already
            self._connection.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _is_busy(error):
                raise StorageError(
                    f"{self.path} was held by another process for {BUSY_TIMEOUT:g} s: it may be frozen "
                    f"(fuser -v {self.path} names it)"
                ) from error
            raise StorageError(f"{self.path}: {error}") from error


def _uri(path: str, mode: Mode) -> str:
    """What sqlite3.connect wants to hear of a path that may hold any characters."""
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode={mode}"


def _make_wal(connection: sqlite3.Connection) -> None:
    """Of several processes that make one file at once, SQLite refuses some without a wait: it can't see that none of
    them waits for another. Once the file is made, nothing is changed here.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.001)


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


@contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
