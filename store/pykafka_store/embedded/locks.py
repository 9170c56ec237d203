"""Named locks between processes, and the order in which they nest: cluster, then group, then upkeep, then partition.

Each is an exclusive lock of the operating system on a file in ``locks/`` (filelock's descriptor lock): the kernel
drops it when the holder dies, however it dies. A lock file is never removed while its thing can come back:
partitions' are named by topic *id*, so a topic made again under its old name has locks of its own.

Never held while waiting for input or output. Who holds a lock may have looked at the world before it got it: look
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import TimeoutError

CLUSTER, GROUP, UPKEEP, PARTITION = range(4)
"""Ranks: a lock may only be taken while all held ones rank lower."""

POLL_INTERVAL = 0.0002
"""Seconds between attempts. Of 50, 1 and 0.2 ms this gave four writers the shortest waits and the fairest shares
(DESIGN 4).
"""

TIMEOUT = 60.0
"""Seconds after which a lock's holder is taken to be frozen (Kafka's max.block.ms)."""


class Locks:
    """The locks of one data directory, as one process uses them (one thread at a time)."""

    def __init__(self, directory: str, disk: Disk, clock: Clock) -> None:
        self._directory = directory
        self._disk = disk
        self._clock = clock
        self._descriptors: dict[str, int] = {}
        self._held: list[int] = []

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """Guards the layout of the data directory, and the making and removing of topics' directories."""
        with self._holding("cluster", CLUSTER):
            yield

    @contextmanager
    def partition(self, topic_id: str, partition: int) -> Iterator[None]:
        """Guards the files of all replicas of one partition against other writers."""
        with self._holding(f"{topic_id}-{partition}", PARTITION):
            yield

    @contextmanager
    def upkeep(self, topic_id: str, partition: int) -> Iterator[bool]:
        """Guards the sealed segments of one partition against others who would take them away or replace them.

        Nobody waits for it: the value is False where another process is at it. It may be held for long, so appends
        and reads do without it.
        """
        name = f"{topic_id}-{partition}.upkeep"
        if not self._try(name):
            yield False
            return
        with self._held_as(name, UPKEEP):
            yield True

    def keep(self, name: str) -> bool:
        """Take a lock that has no rank and keep it until ``close``: what it guards is no file of the log. False where
        another process has it.
        """
        return self._try(name)

    @contextmanager
    def _holding(self, name: str, rank: int) -> Iterator[None]:
        if not self._try(name):
            self._wait(name)
        with self._held_as(name, rank):
            yield

    @contextmanager
    def _held_as(self, name: str, rank: int) -> Iterator[None]:
        """Let go of a lock that was taken, in the end."""
        from filelock import unlock_descriptor

        try:
            assert not self._held or self._held[-1] < rank, f"lock {name} taken out of order"
            self._held.append(rank)
            try:
                yield
            finally:
                self._held.pop()
        finally:
            unlock_descriptor(self._descriptors[name])

    def _try(self, name: str) -> bool:
        """Take a lock if it is free."""
        from filelock import lock_descriptor

        descriptor = self._descriptors.get(name)
        if descriptor is None:
            path = os.path.join(self._directory, f"{name}.lock")
            try:
                descriptor = self._disk.open(path, os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:  # lock files hold nothing, so copies and archives may lack them, and their place
                self._disk.make_new_directory(self._directory)
                descriptor = self._disk.open(path, os.O_RDWR | os.O_CREAT)
            self._descriptors[name] = descriptor
        return lock_descriptor(descriptor, blocking=False)

    def _wait(self, name: str) -> None:
        path = os.path.join(self._directory, f"{name}.lock")
        deadline = self._clock.monotonic() + TIMEOUT
        while not self._try(name):
            if self._clock.monotonic() > deadline:
                raise TimeoutError(
                    f"{path} was held by another process for {TIMEOUT:.0f} s: it may be frozen "
                    f"(fuser -v {path} names it)"
                )
            self._clock.sleep(POLL_INTERVAL)

    def close_partition(self, topic_id: str, partition: int) -> None:
        """Close the files of a partition's locks: whoever goes over thousands of partitions can't have all of them
        open.
        """
        for name in (f"{topic_id}-{partition}", f"{topic_id}-{partition}.upkeep"):
            descriptor = self._descriptors.pop(name, None)
            if descriptor is not None:
                self._disk.close(descriptor)

    def forget_partition(self, topic_id: str, partition: int) -> None:
        """Remove the lock files of a partition that is gone for good; its topic id never comes back."""
        self.close_partition(topic_id, partition)
        for name in (f"{topic_id}-{partition}", f"{topic_id}-{partition}.upkeep"):
            self._disk.remove(os.path.join(self._directory, f"{name}.lock"))

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            self._disk.close(descriptor)
        self._descriptors.clear()
