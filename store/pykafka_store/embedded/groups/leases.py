"""Leases: who is alive. A lease is a file that its member holds locked for as long as its process lives.

The kernel drops the lock when the process dies, however it dies, so a crash is seen at the next look. A process that
lives and does not move (SIGSTOP, a hung disk) still holds its lock: for that case a lease is touched as a heartbeat,
and whoever watches it judges by their own monotonic clock, never by comparing file times with the time of day.

A lease is made under a temporary name, locked, and only then renamed into place: one that can be seen and is not
locked is dead. Who finds a member dead or expired removes its file; a member that wakes up and finds its file gone
knows that it was expired.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Iterable

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk

_TEMPORARY = ".joining"


def group_directory(group: str) -> str:
    """The name of a group's directory. Group ids may be anything: what is legible of one, and a hash that tells it
    from all others.
    """
    legible = re.sub(r"[^a-zA-Z0-9_-]", "_", group)[:48]
    return f"{legible}-{hashlib.sha256(group.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}"


def is_locked(path: str) -> bool:
    """Whether somebody holds this lease. A missing one is held by nobody.

    Asks for a shared lock: two who look at once do not take each other for its holder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Lease:
    """A member's own lease, held from construction to ``release``."""

    def __init__(self, disk: Disk, directory: str, name: str, heartbeat_interval: float, poll_limit: float) -> None:
        """``heartbeat_interval`` in seconds. ``poll_limit``: seconds after the last ``polled`` at which heartbeats
        stop (max.poll.interval.ms).
        """
        from filelock import lock_descriptor

        self._disk = disk
        self.path = os.path.join(directory, name)
        temporary = self.path + _TEMPORARY
        while True:
            disk.make_directory(directory)
            self._descriptor = disk.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            lock_descriptor(self._descriptor)
            try:
                disk.write_at(self._descriptor, [f"{os.getpid()}\n".encode()], 0, temporary)
                disk.rename(temporary, self.path)
                break
            except FileNotFoundError:
                disk.close(self._descriptor)  # tidied away between being made and being locked: once more
        self._inode = os.fstat(self._descriptor).st_ino
        self._poll_limit = poll_limit
        self._clock = Clock()
        self._last_poll = self._clock.monotonic()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(heartbeat_interval,), daemon=True, name="heartbeat")
        self._heart.start()

    def _beat(self, interval: float) -> None:
        while not self._stop.wait(interval):
            if self._clock.monotonic() - self._last_poll < self._poll_limit:
                os.utime(self._descriptor)

    def polled(self) -> None:
        """The member is at work: heartbeats may go on."""
        self._last_poll = self._clock.monotonic()

    def is_held(self) -> bool:
        """Whether the file under our name is still ours: one stat."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def release(self, *, keep_file: bool = False) -> None:
        """End the lease; the file goes too, unless a static member is to be remembered for a while."""
        self._stop.set()
        self._heart.join()
        if not keep_file and self.is_held():
            self._disk.remove(self.path)
        self._disk.close(self._descriptor)


class Watch:
    """One member's view of the others' leases, over time."""

    def __init__(self, directory: str, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}
        """Member id -> the last heartbeat seen, and when it was first seen, by our clock."""
        self._deaths: dict[str, float] = {}
        """Static members whose lease is free: since when, by our clock."""

    def is_gone(self, name: str, session_timeout: float, *, static: bool) -> bool:
        """Whether the member of that lease is dead, or has been silent for ``session_timeout`` seconds of our watching.

        A static member's death counts only after that time too: it may come back (KIP-345).
        """
        path = os.path.join(self._directory, name)
        now = self._clock.monotonic()
        if not is_locked(path):
            return not static or now - self._deaths.setdefault(name, now) >= session_timeout
        self._deaths.pop(name, None)
        try:
            beat = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            return not static
        known = self._beats.get(name)
        if known is None or known[0] != beat:
            self._beats[name] = beat, now
            return False
        return now - known[1] >= session_timeout

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._beats.pop(name, None)
            self._deaths.pop(name, None)


def remove_strays(disk: Disk, directory: str, known: Iterable[str]) -> None:
    """Remove leases of processes that died before they were members, or after they were not: free, and in no table."""
    try:
        names = disk.list(directory)
    except FileNotFoundError:
        return
    for name in set(names) - set(known):
        path = os.path.join(directory, name)
        if not is_locked(path):
            disk.remove(path)
