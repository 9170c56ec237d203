"""Room kept for a full disk: for the catalogue, for groups, and for whatever frees space.

SQLite needs room beside a database before it opens it for writing (32 KiB of a -shm file) and for each change (in the
-wal file), even for one that deletes. So a data directory has a file that holds nothing, and that is removed when the
disk is full. It comes back when there is room again.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from pykafka_store.embedded.layout import CATALOG_FILE, RESERVE_FILE

RESERVE = 1 << 18
"""Bytes that are kept free, and as many as the catalogue has: a topic of many partitions changes most of its pages when
it is deleted.
"""
_CHUNK = 1 << 14


def keep(directory: str) -> None:
    """Have the reserve, or as much of it as there is room for. One that can't be had is no error."""
    path = os.path.join(directory, RESERVE_FILE)
    try:
        wanted = RESERVE + os.stat(os.path.join(directory, CATALOG_FILE)).st_size // _CHUNK * _CHUNK
        if _size(path) >= wanted:
            return
        # A link or a pipe of this name that somebody has planted is an error here.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    except OSError:
        return
    try:
        # Each piece has its place, as several processes may be at it.
        for position in range(_size(path) // _CHUNK * _CHUNK, wanted, _CHUNK):
            os.pwrite(descriptor, os.urandom(_CHUNK), position)  # bytes that no file system makes smaller
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            with suppress(OSError):
                os.unlink(path)
    finally:
        os.close(descriptor)


def release(directory: str) -> None:
    """Let the reserve go. That another process was first, or that there is none, is as good."""
    with suppress(OSError):
        os.unlink(os.path.join(directory, RESERVE_FILE))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
