"""Noticing what other processes write: inotify on the files that they change, a poll where there is none.

A missed event must never be a lost wake-up. So whoever waits first watches, then looks, then waits; and looks now and
then without being told, for there are file systems on which a watch says nothing (``tells``).
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Hashable, Iterator
from itertools import islice

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EVENT = struct.Struct("iIII")

POLL_INTERVAL = 0.01
"""Seconds between looks where files can't be watched."""

_MOST_BELOW = 1024
"""Directories that are watched at once: the limit of watches is the user's, for all processes, and may be 8192."""

_OF_OTHERS = (
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs", "glusterfs", "gpfs", "lustre", "ncp", "nfs", "ocfs",
    "orangefs", "prl_fs", "pvfs", "smb", "vboxsf", "virtiofs", "vmhgfs",
)  # fmt: skip
"""How file systems begin whose files another machine may change, of which inotify is not told."""


class Watcher:
    """Watches one file or directory for each of some keys, and tells which of them changed."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[int, str]] = {}
        self._by_watch: dict[int, Hashable] = {}
        self._library = None
        self.descriptor = -1
        """What is readable when there is something to tell; -1 where files can't be watched."""
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            self.descriptor = int(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def is_watched(self, key: Hashable, path: str) -> bool:
        """Whether ``path`` is watched for ``key``."""
        known = self._by_key.get(key)
        return known is not None and known[1] == path

    def watch(self, key: Hashable, path: str) -> bool:
        """Watch ``path`` for ``key``, and nothing else. False where that can't be.

        Of a directory the files in it are watched, and ``changed`` tells of each as (key, name).
        """
        if self._library is None or self.descriptor < 0:
            return False
        mask = _MODIFY | _CREATE | _MOVED_TO
        watch = int(self._library.inotify_add_watch(self.descriptor, os.fsencode(path), mask))
        if self._by_key.get(key, (watch, path))[0] != watch:
            self.forget(key)  # another file had the name
        if watch < 0:
            return False  # the user's limit of watches, or the file is gone
        self._by_key[key] = watch, path
        self._by_watch[watch] = key
        return True

    def forget(self, key: Hashable) -> None:
        """Watch nothing for ``key`` any more."""
        known = self._by_key.pop(key, None)
        if known is not None and self._library is not None and self._by_watch.pop(known[0], None) is not None:
            self._library.inotify_rm_watch(self.descriptor, known[0])

    def changed(self) -> set[Hashable]:
        """The keys whose files changed since the last call; all of them where there was more than could be noted."""
        return set(self._events()) if self.descriptor >= 0 else set()

    def _events(self) -> Iterator[Hashable]:
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, position)
            start = position + _EVENT.size
            position = start + length
            if mask & _OVERFLOW:
                yield from list(self._by_key)
            key = self._by_watch.get(watch)
            if mask & _IGNORED:  # the file is gone, and its watch with it
                self._by_watch.pop(watch, None)
                self._by_key.pop(key, None)
            if key is not None:
                yield (key, os.fsdecode(data[start:position].rstrip(b"\0"))) if length else key

    def close(self) -> None:
        """Watch nothing any more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Below:
    """Watches all that is written below a directory, for who does not know what of it matters.

    Not what SQLite shares with its other readers, which a look itself writes.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._watcher = Watcher() if tells(root) else None
        self._watched: set[str] = set()

    def watch(self) -> bool:
        """Watch what is there now; then look, and then ``wait``. False where that can't be, or is too much."""
        if self._watcher is None:
            return False
        while True:
            there = {parent for parent, _, _ in islice(os.walk(self._root), _MOST_BELOW + 1)}
            for gone in self._watched - there:
                self._watcher.forget(gone)
            new, self._watched = there - self._watched, there
            if not 0 < len(there) <= _MOST_BELOW or not all(self._watcher.watch(path, path) for path in there):
                return False
            if not new:  # else there may be more below these, from before they were watched
                return True

    def wait(self, seconds: float) -> bool:
        """Wait until something is written, and say whether it was; ``seconds`` at most."""
        assert self._watcher is not None
        deadline = time.monotonic() + seconds
        waiting = select.poll()
        waiting.register(self._watcher.descriptor, select.POLLIN)
        while True:
            if any(not (isinstance(key, tuple) and key[1].endswith("-shm")) for key in self._watcher.changed()):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            waiting.poll(1000 * left)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._watcher is not None:
            self._watcher.close()


def tells(path: str, mounted: str = "/proc/self/mountinfo") -> bool:
    """Whether what is written below ``path`` is told to those who watch: not where another machine may write it."""
    if sys.platform != "linux":
        return False
    real = os.path.realpath(path)
    try:
        with open(mounted, encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.partition(" - ") for line in file]
    except OSError:
        return False
    kinds = {before.split()[4]: after.split()[0] for before, _, after in mounts}  # of two at one place the last is seen
    while real not in kinds and real != "/":
        real = os.path.dirname(real)
    return not kinds.get(real, "nfs").startswith(_OF_OTHERS)
