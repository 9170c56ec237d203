"""Waiting for a lock in the kernel's own queue, with a bound on time.

``flock`` wakes who waits in the order in which they came, and costs nobody a processor meanwhile; but it has no bound
on time, and a thread that is in it hears of no signal that another thread should act on. So a thread of its own does
the waiting, and who wants the lock waits for that thread. Where that one gives up, the thread keeps the descriptor: it
closes it when the lock falls to it, and with that the lock is free again.

Only a lock that is contended comes here, so nobody else pays for the thread. It is started, and waited for, by calls of
C: a signal that strikes within threading.Thread or threading.Event may leave them as they should never be.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import threading
from contextlib import suppress

from pykafka_store.embedded.disk import Disk, failure


class Turn:
    """One wait for the exclusive lock of an open file. The descriptor belongs to it until ``wait`` was true."""

    def __init__(self, disk: Disk, descriptor: int, path: str) -> None:
        self._disk = disk
        self._path = path
        self.descriptor = descriptor
        self._ended = threading.Lock()
        self._ended.acquire()
        self._deciding = threading.Lock()
        self._got = self._given_up = False
        self._error: OSError | None = None

    def start(self) -> None:
        """A signal that strikes in here does not undo it: whoever starts it gives it up then."""
        _thread.start_new_thread(self._wait, ())

    def _wait(self) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._deciding:
            if not self._given_up:
                self._got = True
                self._ended.release()
                return
        self._disk.close(self.descriptor)

    def wait(self, seconds: float) -> bool:
        """Whether the lock was got within that time. Raises StorageError where the system has no locks left."""
        if not self._ended.acquire(timeout=seconds):
            return False
        if self._error is not None:
            raise failure(self._path, self._error)
        return True

    def give_up(self) -> None:
        """Let go of the descriptor, and of the lock if it was got meanwhile."""
        with self._deciding:
            self._given_up = True
            if not self._got:
                return
        self._disk.close(self.descriptor)


def holder(path: str) -> str | None:
    """Who has the exclusive lock of a file, as words for an error; None where the system does not tell.

    Source: proc(5), /proc/locks. Those that wait stand there as well, behind an arrow.
    """
    with suppress(OSError, ValueError):
        found = os.stat(path)
        file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        with open("/proc/locks", encoding="ascii") as table:
            for line in table:
                _, kind, _, mode, process, where, *_ = line.split()
                if (kind, mode, where) == ("FLOCK", "WRITE", file):
                    return f"process {process}" + _state(int(process))
    return None


def _state(process: int) -> str:
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as status:
        state = next((line.split()[1] for line in status if line.startswith("State:")), "")
    return ", which is stopped," if state in {"T", "t"} else ""
