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
import time
from collections.abc import Iterable
from contextlib import suppress

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import InvalidGroupIdError

_TEMPORARY = ".joining"


def group_directory(group: str) -> str:
    """The name of a group's directory. Group ids may be any text: what is legible of one, and a hash that tells it
    from all others. Raises InvalidGroupIdError for what is no text.
    """
    try:
        encoded = group.encode()
    except UnicodeEncodeError:
        raise InvalidGroupIdError(f"The group id {group!r} is not Unicode text") from None
    legible = re.sub(r"[^a-zA-Z0-9_-]", "_", group)[:48]
    return f"{legible}-{hashlib.sha256(encoded).hexdigest()[:24]}"


def is_locked(path: str) -> bool:
    """Whether somebody holds this lease. A missing one is held by nobody."""
    return last_beat(path) is not None


def last_beat(path: str) -> int | None:
    """The time of a lease's file, which each heartbeat changes, if somebody holds the lease.

    Asks for a shared lock: two who look at once do not take each other for its holder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
    return None


def is_overdue(path: str, session_timeout: float) -> bool:
    """Whether the static member whose lease is free has been away for its session timeout, by the file's time.

    The time of day will do here: nobody lives who would have to be fenced, only a place that is kept.
    """
    try:
        return time.time() - os.stat(path).st_mtime >= session_timeout
    except FileNotFoundError:
        return True


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
            with suppress(FileNotFoundError):  # its group was deleted just now, and the directory went along: once more
                self._descriptor = disk.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                try:
                    lock_descriptor(self._descriptor)
                    disk.write_at(self._descriptor, [f"{os.getpid()}\n".encode()], 0, temporary)
                    disk.rename(temporary, self.path)
                    break
                except FileNotFoundError:
                    disk.close(self._descriptor)  # tidied away between being made and being locked: once more
                except BaseException:
                    disk.close(self._descriptor)
                    disk.remove(temporary)
                    raise
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
                with suppress(OSError):  # a disk that fails is what expiry is for
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
        if keep_file:
            os.utime(self._descriptor)
        elif self.is_held():
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

        A static member's death counts only after that time too, watched or not: it may come back (KIP-345).
        """
        path = os.path.join(self._directory, name)
        now = self._clock.monotonic()
        beat = last_beat(path)
        if beat is None:
            if not static or now - self._deaths.setdefault(name, now) >= session_timeout:
                return True
            return is_overdue(path, session_timeout)
        self._deaths.pop(name, None)
        known = self._beats.get(name)
        if known is None or known[0] != beat:
            self._beats[name] = beat, now
            return False
        return now - known[1] >= session_timeout

    def keep(self, names: Iterable[str]) -> None:
        """Forget all but these."""
        known = set(names)
        for seen in (self._beats, self._deaths):
            for name in seen.keys() - known:
                del seen[name]


def list_leases(disk: Disk, directory: str) -> list[str]:
    """The files of a group's directory. Who wants to know which of them are strays asks here first and the tables
    then: a lease that a member leaves behind is in the tables by then.
    """
    try:
        return disk.list(directory)
    except FileNotFoundError:
        return []


def remove_strays(disk: Disk, directory: str, names: Iterable[str]) -> None:
    """Remove leases of processes that died before they were members, or after they were not. ``names``: those in no
    table; the locked ones among them are about to be.
    """
    for name in names:
        path = os.path.join(directory, name)
        if not is_locked(path):
            disk.remove(path)


def remove_directory(disk: Disk, directory: str) -> None:
    """Remove the directory of a group that is gone, unless somebody is about to join under its name."""
    remove_strays(disk, directory, list_leases(disk, directory))
    with suppress(OSError):
        os.rmdir(directory)
