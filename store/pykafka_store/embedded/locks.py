"""Named locks between processes, and the order in which they nest: cluster, then group, then partition.

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

CLUSTER, GROUP, PARTITION = range(3)
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
    def _holding(self, name: str, rank: int) -> Iterator[None]:
        assert not self._held or self._held[-1] < rank, f"lock {name} taken out of order"
        descriptor = self._acquire(name)
        self._held.append(rank)
        try:
            yield
        finally:
            self._held.pop()
            from filelock import unlock_descriptor

            unlock_descriptor(descriptor)

    def _acquire(self, name: str) -> int:
        from filelock import lock_descriptor

        path = os.path.join(self._directory, f"{name}.lock")
        descriptor = self._descriptors.get(name)
        if descriptor is None:
            descriptor = self._descriptors[name] = self._disk.open(path, os.O_RDWR | os.O_CREAT)
        if lock_descriptor(descriptor, blocking=False):
            return descriptor
        deadline = self._clock.monotonic() + TIMEOUT
        while not lock_descriptor(descriptor, blocking=False):
            if self._clock.monotonic() > deadline:
                raise TimeoutError(
                    f"{path} was held by another process for {TIMEOUT:.0f} s: it may be frozen "
                    f"(fuser -v {path} names it)"
                )
            self._clock.sleep(POLL_INTERVAL)
        return descriptor

    def forget_partition(self, topic_id: str, partition: int) -> None:
        """Remove the lock file of a partition that is gone for good; its topic id never comes back."""
        name = f"{topic_id}-{partition}"
        descriptor = self._descriptors.pop(name, None)
        if descriptor is not None:
            self._disk.close(descriptor)
        self._disk.remove(os.path.join(self._directory, f"{name}.lock"))

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            self._disk.close(descriptor)
        self._descriptors.clear()
