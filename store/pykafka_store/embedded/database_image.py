"""A database as its files say, read into memory: for a directory that may not be written, and for a full disk.

SQLite reads a database with a write-ahead log through a -shm file beside it, which it makes if it is missing. Where it
can't, the bytes are read as they stand. Such an image does not move when somebody commits: whoever has one asks
``is_current`` before each use.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import StorageError
from pykafka_store.format.sqlite import image

_TRIES = 1000
"""How often, a millisecond apart, files are read that others change meanwhile."""
_LIMIT = 1 << 32
"""Bytes. A database that is larger is not read."""
_TICK = 20_000_000
"""Nanoseconds. Two changes of a file that are closer than the kernel's clock ticks leave it with the same time."""
_WAL_HEADER = 32
"""Bytes: the head of a write-ahead log differs whenever it begins anew."""

_Times = tuple[tuple[int, int, int] | None, ...]
"""Number, bytes and time of change of the file and of its write-ahead log; None for one that is not there."""


class DatabaseImage(NamedTuple):
    """What a database held at one moment."""

    content: bytes
    """As one file that needs no others; empty where there is none, or where it is being made."""
    times: _Times
    is_settled: bool
    """Whether any later change shows in the times of the files."""

    def is_current(self, path: str) -> bool:
        """Whether the database at that path is still the same, for all that can be told without reading it."""
        return self.is_settled and _times(path) == self.times


def read_image(disk: Disk, path: str) -> DatabaseImage:
    """The database as of its last commit, whatever others do meanwhile. Raises StorageError.

    Closing a file drops the locks that SQLite has on it in this process. There are none: while one connection is to the
    file, what is beside it is there, not empty, and not removed by others, so that SQLite opens it once more.

    The file is read before its log, so that what a checkpoint moves into the file is in one of them at least, unless
    the log began anew in between: then both are read again.
    """
    for _ in range(_TRIES):
        # The time after the times: what changes the files from here on, in another tick than these, shows in them.
        before, now, began = _times(path), time.time_ns(), _bytes_of(disk, f"{path}-wal", _WAL_HEADER)
        file, wal = _bytes_of(disk, path), _bytes_of(disk, f"{path}-wal")
        if wal[:_WAL_HEADER] == began and (wal or _times(path) == before):
            newest = max((changed for _, _, changed in filter(None, before)), default=0)
            return DatabaseImage(image(file, wal), before, abs(now - newest) > _TICK)
        time.sleep(0.001)
    raise StorageError(f"{path} does not stop changing: run it again")


def _times(path: str) -> _Times:
    return _time(path), _time(f"{path}-wal")


def _time(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None  # who may not look at it is told so by the reading
    return found.st_ino, found.st_size, found.st_mtime_ns


def _bytes_of(disk: Disk, path: str, count: int | None = None) -> bytes:
    """A file's bytes, or its first ``count``; none where it is not there."""
    try:
        if count is None:
            return disk.read_file(path, limit=_LIMIT)
        descriptor = disk.open(path)
    except FileNotFoundError:
        return b""
    try:
        return disk.read_at(descriptor, count, 0, path)
    finally:
        disk.close(descriptor)
