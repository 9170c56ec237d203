"""The databases of a data directory read as copies: SQLite itself would write -wal and -shm files beside them."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import StorageError, UnsupportedVersionError

_READS = 1000
"""How often a database is read until two reads agree."""
_LIMIT = 1 << 32
"""Bytes. A database that is larger is not looked at."""


class DatabaseBytes(NamedTuple):
    """A database at one moment; None for a file that is not there."""

    file: bytes | None
    wal: bytes | None


def read_database(disk: Disk, path: str) -> DatabaseBytes:
    """A database as it is now, read until it is twice the same, for others may be at it. Raises StorageError."""
    before: object = None
    for _ in range(_READS):
        now = DatabaseBytes(_bytes_of(disk, path), _bytes_of(disk, f"{path}-wal"))
        if now == before:
            return now
        before = now
    raise StorageError(f"{path} does not stop changing: run it again")


def _bytes_of(disk: Disk, path: str) -> bytes | None:
    try:
        return disk.read_file(path, limit=_LIMIT)
    except FileNotFoundError:
        return None


@contextmanager
def copied(path: str, content: DatabaseBytes) -> Iterator[str]:
    """The path of a copy of the database at ``path``, checked whole by SQLite.

    Raises StorageError, and whatever the caller raises, with the original's path for the copy's.
    """
    with tempfile.TemporaryDirectory(prefix="pykafka-doctor-") as scratch:
        copy = os.path.join(scratch, os.path.basename(path))
        for name, data in zip((copy, f"{copy}-wal"), content, strict=True):
            if data is not None:
                with open(name, "wb") as file:
                    file.write(data)
        try:
            _require_whole(copy)
            yield copy
        except (StorageError, UnsupportedVersionError) as error:
            raise type(error)(str(error).replace(copy, path)) from error


def _require_whole(path: str) -> None:
    """Raises StorageError with what SQLite finds wrong with a database."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
    if problems != ["ok"]:
        raise StorageError(f"{path}: {'; '.join(problem.splitlines()[-1] for problem in problems)}")
