"""What this process has open of a test's own."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

OURS = Path("/proc/self/fd")
"""Linux alone tells which file a descriptor is of."""


def open_below(directory: os.PathLike[str] | str) -> int:
    """How many descriptors are of files below a directory, or watch some. Others come and go by themselves: a client of
    librdkafka's that an earlier test left to the collector goes on to look for its broker.
    """
    found = []
    for each in OURS.iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(each))
    return sum(each.startswith((f"{os.path.realpath(directory)}/", "anon_inode:inotify")) for each in found)
