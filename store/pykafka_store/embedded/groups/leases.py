"""Leases: who is alive. A lease is a file that its member holds locked for as long as its process lives.

The kernel drops the lock when the process dies, however it dies, so a crash is seen at the next look. A process that
lives and does not move (SIGSTOP, a hung disk) still holds its lock: for that case a lease is touched as a heartbeat,
and a member that watches it judges by its own monotonic clock, never by comparing file times with the time of day.

A lease is made under a temporary name, locked, and only then renamed into place: one that can be seen and is not
locked is dead. The member that finds another one dead or expired removes its file; a member that wakes up and finds
its own file gone knows that it was expired.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, failure
from pykafka_store.embedded.forks import carried_over, keep_out_of_forks
from pykafka_store.embedded.locks import try_to_share
from pykafka_store.errors import InvalidGroupIdError, NoSpaceError, StorageError

_TEMPORARY = ".joining"

_SHARED = 0.1
"""Seconds for which members of one process take one look at a lease for their own: shorter than what each of them
leaves between its looks, so that one who is alone has none but its own.
"""


class AwayError(StorageError):
    """The data directory is not where it was: its disk is away, or it was removed."""


def group_directory(group: str) -> str:
    """The name of a group's directory: the legible part of its id, which may be any text, and a hash that tells it from
    all others. Raises InvalidGroupIdError for an id that is not Unicode text.
    """
    try:
        encoded = group.encode()
    except UnicodeEncodeError:
        raise InvalidGroupIdError(f"The group id {group!r} is not Unicode text") from None
    legible = re.sub(r"[^a-zA-Z0-9_-]", "_", group)[:48]
    return f"{legible}-{hashlib.sha256(encoded).hexdigest()[:24]}"


def is_locked(disk: Disk, path: str) -> bool:
    """Whether a member holds this lease. One whose file is missing is not held. Raises StorageError."""
    return last_beat(disk, path) is not None


def last_beat(disk: Disk, path: str) -> int | None:
    """The time of a lease's file, which each heartbeat changes, in ms; None where no member holds the lease.

    Two who look at once do not take each other for its holder. Raises StorageError.
    """
    try:
        descriptor = disk.open(path)
    except FileNotFoundError:
        return None
    try:
        return None if try_to_share(descriptor, path) else disk.changed_at(path)
    except FileNotFoundError:  # removed just now: its member was expired
        return None
    finally:
        disk.close(descriptor)


def is_overdue(disk: Disk, path: str, session_timeout: float) -> bool:
    """Whether the static member whose lease is free has been away for its session timeout (in seconds), by the file's
    time.

    The time of day will do here: there is no living member to be fenced, only a place that is kept for it. Raises
    StorageError.
    """
    try:
        return time.time() - disk.changed_at(path) / 1000 >= session_timeout
    except FileNotFoundError:
        return True


class Lease:
    """A member's own lease, held from construction to ``release``."""

    def __init__(self, disk: Disk, directory: str, name: str, heartbeat_interval: float, poll_limit: float) -> None:
        """``heartbeat_interval`` in seconds. ``poll_limit``: seconds after the last ``polled`` at which heartbeats
        stop (max.poll.interval.ms).
        """
        import fcntl

        self._disk = disk
        self.path = os.path.join(directory, name)
        self._poll_limit = poll_limit
        self._clock = Clock()
        self._last_poll = self._clock.monotonic()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(heartbeat_interval,), daemon=True, name="heartbeat")
        self._forsaken = self._released = False
        self._descriptor = -1
        beats = False
        try:
            while not self._made(directory):
                pass
            beats = True
            self._heart.start()
            keep_out_of_forks(self)
        except BaseException:  # a signal among others: nobody will know of this lease
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._stop.set()
            if self._descriptor >= 0:
                disk.remove(self.path + _TEMPORARY)
                if not beats:
                    disk.close(self._descriptor)
            raise

    def _made(self, directory: str) -> bool:
        """False where it, or its directory, was tidied away meanwhile: once more. Raises AwayError rather
        than to make anything in the place of a data directory, which could not be moved back there.
        """
        import fcntl

        temporary = self.path + _TEMPORARY
        groups = os.path.dirname(directory)
        try:
            self._disk.make_directory(groups, parents=False)
        except FileNotFoundError:
            away = os.path.dirname(groups)
            raise AwayError(f"{away} does not exist: is its disk mounted?") from None
        try:
            self._disk.make_directory(directory, parents=False)
            self._descriptor = self._disk.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileNotFoundError:  # the group was deleted just now, and the directory went along
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            with suppress(NoSpaceError):  # it is for people to read: on a full disk the lease does without
                self._disk.write_at(self._descriptor, [f"{os.getpid()}\n".encode()], 0, temporary)
            self._disk.rename(temporary, self.path)
        except FileNotFoundError:  # between being made and being locked
            descriptor, self._descriptor = self._descriptor, -1
            self._disk.close(descriptor)
            return False
        except OSError as error:
            raise failure(temporary, error) from error
        return True

    def _beat(self, interval: float) -> None:
        while not self._stop.wait(interval):
            if self._clock.monotonic() - self._last_poll < self._poll_limit:
                with suppress(StorageError):  # a disk that fails is what expiry is for
                    self._disk.touch_open(self._descriptor, self.path)

    def polled(self) -> None:
        """The member is at work: heartbeats may go on."""
        self._last_poll = self._clock.monotonic()

    def is_held(self) -> bool:
        """Whether the file under our name is still ours."""
        if self._forsaken:
            raise carried_over(self.path)
        return self._disk.is_at(self._descriptor, self.path)

    def forsake(self) -> None:
        """See :class:`pykafka_store.embedded.forks.Forsaking`: a child would keep its parent alive in others' eyes."""
        if not self._released:
            self._forsaken = True
            self._disk.close(self._descriptor)

    def release(self, *, keep_file: bool = False) -> None:
        """End the lease; the file goes too, unless a static member is to be remembered for a while. May be called again
        where a signal struck.
        """
        import fcntl

        if self._forsaken or self._released:
            return
        try:
            self._stop.set()
            self._heart.join()
            if keep_file:
                self._disk.touch_open(self._descriptor, self.path)
            elif self.is_held():
                self._disk.remove(self.path)
        finally:  # others may not take the member for alive, whatever a signal struck
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._released = True
        self._disk.close(self._descriptor)


class Watch:
    """A process's view of the leases of a group, over time: one for all of the group's members that it has."""

    def __init__(self, disk: Disk, directory: str, clock: Clock) -> None:
        self._disk = disk
        self._directory = directory
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}
        """Member id -> the last heartbeat seen, and when it was first seen, by our clock."""
        self._deaths: dict[str, float] = {}
        """Static members whose lease is free: since when, by our clock."""
        self._looks: dict[str, tuple[float, bool]] = {}
        """Member id -> when it was looked at last, and whether it was gone."""

    def seems_gone(self, name: str, session_timeout: float, *, static: bool) -> bool:
        """``is_gone``, or what that said a moment ago to another member of this process. Who acts on it asks again."""
        now = self._clock.monotonic()
        looked = self._looks.get(name)
        if looked is None or now - looked[0] >= _SHARED:
            looked = self._looks[name] = now, self.is_gone(name, session_timeout, static=static)
        return looked[1]

    def is_gone(self, name: str, session_timeout: float, *, static: bool) -> bool:
        """Whether the member of that lease is dead, or has been silent for ``session_timeout`` seconds of our watching.

        A static member's death counts only after that time too, watched or not: it may come back (KIP-345).

        Whoever watches may be frozen at any instant, and must not count that time as the other's silence: what is seen
        counts from after the look, and is judged by the time before it.
        """
        path = os.path.join(self._directory, name)
        now = self._clock.monotonic()
        beat = last_beat(self._disk, path)
        if beat is None:
            if not static or now - self._deaths.setdefault(name, self._clock.monotonic()) >= session_timeout:
                return True
            return is_overdue(self._disk, path, session_timeout)
        self._deaths.pop(name, None)
        known = self._beats.get(name)
        if known is None or known[0] != beat:
            self._beats[name] = beat, self._clock.monotonic()
            return False
        return now - known[1] >= session_timeout

    def keep(self, names: Iterable[str]) -> None:
        """Forget all but these."""
        known = set(names)
        for seen in (self._beats, self._deaths, self._looks):
            for name in seen.keys() - known:
                seen.pop(name, None)  # members of another thread forget it as well


def list_leases(disk: Disk, directory: str) -> list[str]:
    """The files of a group's directory. To learn which of them are strays, ask here first and the tables then: a lease
    whose member has joined meanwhile is in the tables by then.
    """
    try:
        return disk.list(directory)
    except FileNotFoundError:
        return []


def remove_strays(disk: Disk, directory: str, names: Iterable[str]) -> None:
    """Remove leases of processes that died before they were members, or after they had left. ``names``: the leases that
    are in no table; those that are locked belong to processes that are about to join.
    """
    for name in names:
        path = os.path.join(directory, name)
        if not is_locked(disk, path):
            disk.remove(path)


def remove_directory(disk: Disk, directory: str) -> None:
    """Remove the directory of a group that is gone, unless a process is about to join under its name."""
    remove_strays(disk, directory, list_leases(disk, directory))
    disk.remove_empty_directory(directory)
