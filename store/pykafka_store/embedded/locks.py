"""Named locks between processes, and the order in which they nest: cluster, then upkeep, then partition.

Each is an exclusive lock of the operating system (``flock``) on a file in ``locks/``: the kernel
drops it when the holder dies, however it dies. A lock file is never removed while its thing can come back:
partitions' are named by topic *id*, so a topic made again under its old name has locks of its own. Whoever deletes a
topic makes no lock file for that: who opens one looks whether the topic is there (store/DESIGN.md, "Locks").

Never held while waiting for input or output. Who holds a lock may have looked at the world before it got it: look
again.

A lock of the kernel's belongs to an open file, and those are shared by the threads of a process: so threads take a lock
of their own first, and one of them at a time deals with the kernel's.

A signal may strike anywhere (:mod:`pykafka_store.holding`): a lock is taken, and let go of, by one call of C.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, suppress
from functools import partial

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, failure
from pykafka_store.embedded.forks import carried_over, keep_out_of_forks
from pykafka_store.errors import StorageError, TimeoutError
from pykafka_store.holding import holding

CLUSTER, UPKEEP, PARTITION = range(3)
"""Ranks: a lock may only be taken while all held ones rank lower."""

SOON = 5
"""Attempts before a process waits in the kernel: most locks are held for less time than a thread takes to start."""

POLL_INTERVAL = 0.0002
"""Seconds between these attempts (store/DESIGN.md, "Locks")."""

TIMEOUT = 60.0
"""Seconds after which a lock's holder is taken to be frozen, if nobody got the lock meanwhile (Kafka's
max.block.ms).
"""

LONGEST_QUEUE = 600.0
"""Seconds that a process waits for its turn while others get theirs."""

PATIENCE_TO_SHARE = 10.0
"""Seconds to wait for a lock before looking at what it guards without it."""

SHARE_INTERVAL = 0.0005
"""Seconds between attempts of whoever only looks."""

LOOKS, LOOK_INTERVAL = 100, 0.002
"""Attempts to keep a lock, and seconds between them: who only looks whether it is kept has it himself for a moment."""

IDLE = 100
"""Files of locks that nobody holds which stay open at most."""

Look = Callable[[], object]
"""A look at the catalogue, which raises where the partition is gone."""

Taken = AbstractContextManager[bool]
"""A lock for as long as the context lasts; the value is False where it could not be had."""

_CLUSTER_NAME = "cluster"


def _partition_name(topic_id: str, partition: int) -> str:
    return f"{topic_id}-{partition}"


def _upkeep_name(topic_id: str, partition: int) -> str:
    return f"{topic_id}-{partition}.upkeep"


def _file(directory: str, name: str) -> str:
    return os.path.join(directory, _file_name(name))


def _file_name(name: str) -> str:
    return f"{name}.lock"


def try_to_take(descriptor: int) -> bool:
    """Take the exclusive lock of a file if nobody has it. It goes with the descriptor. Raises OSError."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter is how some file systems of other machines say the same
        return False
    return True


def try_to_share(descriptor: int, path: str) -> bool:
    """Take a shared lock of a file if no process has it exclusively: several that only look do not take each other for
    a holder. It goes with the descriptor. Raises StorageError.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise failure(path, error) from error
    return True


def _acquire(lock: threading.Lock, got: list[bool], seconds: float) -> bool:
    """Acquire a lock of threads; ``got`` has True at the end from the moment at which it is acquired."""
    got.extend(map(lock.acquire, (True,), (seconds,)))
    return got[-1]


class _Ranks(threading.local):
    """The ranks of the locks that a thread holds."""

    def __init__(self) -> None:
        self.held: list[int] = []


class Locks:
    """The locks of one data directory, as the threads of one process use them."""

    def __init__(self, directory: str, disk: Disk, clock: Clock) -> None:
        self._directory = directory
        self._disk = disk
        self._clock = clock
        self._descriptors: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        """Those with which a thread waits in the kernel."""
        self._kept: set[str] = set()
        """The names of locks that are held until ``close``."""
        self._ranks = _Ranks()
        self._among_threads: dict[str, threading.Lock] = {}
        """By name, who of this process's threads may deal with ``_descriptors`` of that name, and with its lock."""
        self._forsaken = False
        keep_out_of_forks(self)

    def cluster(self) -> Taken:
        """Guards the layout of the data directory, and the making and removing of topics' directories."""
        return self._taking(_CLUSTER_NAME, CLUSTER)

    def partition(self, topic_id: str, partition: int, look: Look | None = None) -> Taken:
        """Guards the files of all replicas of one partition against other writers.

        ``look`` is called when the lock's file has been opened. Only who knows that the topic is gone does without.
        """
        return self._taking(_partition_name(topic_id, partition), PARTITION, look)

    def made_for(self, topic_id: str, partitions: Iterable[int]) -> set[int]:
        """Those of a topic's partitions that have a lock file. Of the others nobody has ever had the lock; who opens
        one after this was asked looks at the catalogue after it was asked, too.
        """
        try:
            there = set(self._disk.list(self._directory))
        except FileNotFoundError:  # copies may lack their place as well
            return set()
        names = {number: (_partition_name(topic_id, number), _upkeep_name(topic_id, number)) for number in partitions}
        return {number for number, both in names.items() if not there.isdisjoint(map(_file_name, both))}

    def upkeep(self, topic_id: str, partition: int) -> Taken:
        """Guards the sealed segments of one partition against others who would take them away or replace them.

        Nobody waits for it: the value is False where another process is at it. It may be held for long, so appends
        and reads do without it.
        """
        return self._taking(_upkeep_name(topic_id, partition), UPKEEP, wait=False)

    def keep(self, name: str) -> bool:
        """Take a lock that has no rank and keep it until ``close``: what it guards is no file of the log. False where
        another process has it. The file says which process has it, for as long as it has.
        """
        if name in self._kept:
            return True
        with self._tried(name, exclusive=False) as free:
            if free:  # what one that was killed has said goes before anybody could take it for this one's
                os.ftruncate(self._descriptors[name], 0)
        for _ in range(LOOKS):
            with self._tried(name) as free:
                if free:
                    os.pwrite(self._descriptors[name], b"%d\n" % os.getpid(), 0)
                    self._kept.add(name)
                    return True
            self._clock.sleep(LOOK_INTERVAL)
        return False

    def is_kept(self, name: str) -> bool:
        """Whether another process has such a lock. No file is made."""
        if name in self._kept or not self._disk.exists(_file(self._directory, name)):
            return False
        with self._tried(name, exclusive=False) as free:
            return not free

    def kept_by(self, name: str) -> int | None:
        """The other process that has such a lock; None where there is none."""
        for _ in range(0 if name in self._kept else LOOKS):
            with self._tried(name, exclusive=False) as free:
                said = b"" if free else os.pread(self._descriptors[name], 20, 0)
            if free or said.strip().isdigit():
                return None if free else int(said)
            self._clock.sleep(LOOK_INTERVAL)  # it has got it just now, and says so next
        return None

    @holding
    def _tried(self, name: str, *, exclusive: bool = True) -> Generator[bool, None, None]:
        """The lock, if it is free; ``keep`` may have it kept. Not ``exclusive`` for who only looks: two of them do not
        take each other for its holder.
        """
        import fcntl

        with self._alone(name):
            try:
                yield self._try(name, exclusive=exclusive)
            finally:
                if name not in self._kept and name in self._descriptors:
                    fcntl.flock(self._descriptors[name], fcntl.LOCK_UN)

    @holding
    def _taking(
        self, name: str, rank: int, look: Look | None = None, *, wait: bool = True
    ) -> Generator[bool, None, None]:
        """The value is False where the lock is taken, and is not waited for."""
        import fcntl

        held = self._ranks.held
        assert not held or held[-1] < rank, f"lock {name} taken out of order"
        before = len(held)
        with self._alone(name, wait=wait) as alone:
            if not alone:
                yield False
                return
            try:
                got = self._try(name, look)
                if not got and wait:
                    self._wait(name)
                    got = True
                if got:
                    held.append(rank)
                yield got
            finally:
                del held[before:]
                if name in self._descriptors:  # where another process has the lock, this takes nothing from it
                    fcntl.flock(self._descriptors[name], fcntl.LOCK_UN)

    @holding
    def _alone(self, name: str, *, wait: bool = True) -> Generator[bool, None, None]:
        """No other thread of this process is at that lock; the value is False where one is, and is not waited for."""
        while True:
            if self._forsaken:
                raise carried_over(self._directory)
            lock = self._among_threads.setdefault(name, threading.Lock())
            got: list[bool] = []
            """Whether it was acquired, which is known as soon as it is: there is nothing of Python's in between."""
            try:
                got.extend(map(lock.acquire, (False,)))
                if True not in got:
                    if not wait:
                        yield False
                        return
                    self._wait_for(partial(_acquire, lock, got), _file(self._directory, name))
                if self._among_threads.get(name) is lock:
                    yield True
                    return
                # It was closed in the meantime: there may be another one by now.
            finally:
                if True in got:
                    lock.release()

    def _try(self, name: str, look: Look | None = None, *, exclusive: bool = True) -> bool:
        """Take a lock if it is free. Raises what ``look`` raises, and then keeps no file open: the next time it is
        asked again.
        """
        descriptor = self._descriptors.get(name)
        if descriptor is None:
            if len(self._descriptors) >= IDLE:
                self._close_idle()
            path = _file(self._directory, name)
            try:
                descriptor = self._disk.open(path, os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:  # lock files hold nothing, so copies and archives may lack them, and their place
                self._disk.make_new_directory(self._directory)
                descriptor = self._disk.open(path, os.O_RDWR | os.O_CREAT)
            if look is not None:
                try:
                    look()
                except BaseException:
                    self._disk.close(descriptor)
                    raise
            self._descriptors[name] = descriptor
        if not exclusive:
            return try_to_share(descriptor, _file(self._directory, name))
        try:
            return try_to_take(descriptor)
        except OSError as error:
            raise failure(_file(self._directory, name), error) from error

    def _wait(self, name: str) -> None:
        """Wait for one's turn: a moment by asking again, then in the kernel, where who came first is woken first.

        Who got a lock in that way sets the time of its file, by which the others see that the queue moves.
        """
        for _ in range(SOON):
            self._clock.sleep(POLL_INTERVAL)
            if self._try(name):
                return
        from pykafka_store.embedded.turns import Turn

        path = _file(self._directory, name)
        turn = Turn(self._disk, self._descriptors[name], path)
        try:
            descriptor = self._waiting[name] = self._descriptors[name]
            del self._descriptors[name]
            turn.start()
            self._wait_for(turn.wait, path)
            self._disk.touch_open(turn.descriptor, path)
            self._descriptors[name] = descriptor
        except BaseException:  # Ctrl-C among others
            self._descriptors.pop(name, None)
            turn.give_up()
            raise
        finally:
            self._waiting.pop(name, None)

    def _wait_for(self, wait: Callable[[float], bool], path: str) -> None:
        """Wait until ``wait(seconds)``, for the kernel or for other threads, is true.

        Raises TimeoutError, which tells a holder that seems to be frozen from a queue that is too long.
        """
        from pykafka_store.embedded.turns import holder

        began = moved = self._clock.monotonic()
        seen = self._last_turn(path)
        while not wait(TIMEOUT / 4):
            now, last = self._clock.monotonic(), self._last_turn(path)
            if last != seen:
                seen, moved = last, now
            if now - began >= LONGEST_QUEUE:
                raise TimeoutError(
                    f"{path} was wanted by so many processes that this one had no turn in {LONGEST_QUEUE:.0f} s, while "
                    "others had: run fewer at once"
                )
            if now - moved >= TIMEOUT:
                raise TimeoutError(
                    f"{path} was held by {holder(path) or 'another process'} for {TIMEOUT:.0f} s: it may be frozen "
                    f"(fuser -v {path} names it)"
                )

    def _last_turn(self, path: str) -> int:
        try:
            return self._disk.changed_at(path)
        except FileNotFoundError:  # removed with its topic: whoever holds it removed it, or will look again
            return 0

    def close_partition(self, topic_id: str, partition: int) -> None:
        """Close the files of a partition's locks: whoever goes over thousands of partitions can't have all of them
        open.
        """
        self._close(_partition_name(topic_id, partition), _upkeep_name(topic_id, partition))

    def _close_idle(self) -> None:
        """Close the files of all locks that no thread holds or is about to take."""
        self._close(*(set(self._descriptors) - self._kept))

    def _close(self, *names: str) -> None:
        if self._forsaken:
            return  # they are closed
        for name in names:
            with self._alone(name, wait=False) as alone:
                if not alone:
                    continue  # a thread is at it, maybe this one
                descriptor = self._descriptors.pop(name, None)
                del self._among_threads[name]
                if descriptor is not None:
                    self._disk.close(descriptor)

    def forget_partition(self, topic_id: str, partition: int) -> None:
        """Remove the lock files of a partition that is gone for good; its topic id never comes back."""
        self.close_partition(topic_id, partition)
        for name in (_partition_name(topic_id, partition), _upkeep_name(topic_id, partition)):
            self._disk.remove(_file(self._directory, name))

    def close(self) -> None:
        if self._kept:
            import fcntl

            for name in self._kept & self._descriptors.keys():  # it is free then, also where closing it is struck
                fcntl.flock(self._descriptors[name], fcntl.LOCK_UN)
        self._close_all()

    def _close_all(self) -> None:
        while self._descriptors:
            self._disk.close(self._descriptors.popitem()[1])

    def forsake(self) -> None:
        """See :class:`pykafka_store.embedded.forks.Forsaking`. The parent goes on holding what it holds."""
        self._forsaken = True
        self._descriptors |= self._waiting
        self._close_all()


class SharedLocks:
    """The locks of one data directory for who changes nothing: shared for moments, so that no holder is at work then.

    Each value is False where a lock is still held after ``patience`` seconds. A lock that no process ever took, or that
    may not be touched, counts as free: nothing is made here.
    """

    def __init__(self, directory: str, disk: Disk, clock: Clock) -> None:
        self._directory = directory
        self._disk = disk
        self._clock = clock
        self._may_lock = disk.may_write(os.path.dirname(directory))

    def cluster(self, patience: float = PATIENCE_TO_SHARE) -> Taken:
        """See :meth:`Locks.cluster`."""
        return self._sharing(_CLUSTER_NAME, patience)

    def partition(self, topic_id: str, partition: int, patience: float = PATIENCE_TO_SHARE) -> Taken:
        """See :meth:`Locks.partition`."""
        return self._sharing(_partition_name(topic_id, partition), patience)

    def upkeep(self, topic_id: str, partition: int, patience: float = PATIENCE_TO_SHARE) -> Taken:
        """See :meth:`Locks.upkeep`."""
        return self._sharing(_upkeep_name(topic_id, partition), patience)

    @holding
    def _sharing(self, name: str, patience: float) -> Generator[bool, None, None]:
        import fcntl

        descriptor = None
        path = _file(self._directory, name)
        if self._may_lock:
            with suppress(FileNotFoundError, StorageError):
                descriptor = self._disk.open(path)
        if descriptor is None:
            yield True
            return
        try:
            deadline = self._clock.monotonic() + patience
            while not (free := try_to_share(descriptor, path)) and self._clock.monotonic() < deadline:
                self._clock.sleep(SHARE_INTERVAL)
            yield free
        finally:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            finally:
                self._disk.close(descriptor)
