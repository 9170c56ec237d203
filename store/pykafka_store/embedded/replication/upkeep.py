"""Upkeep of one replica of one partition: retention, compaction, and what interrupted passes left behind.

There is no daemon, so it runs where it is cheap: after a writer has rolled a segment, and on ``pykafka maintain``.
Whoever comes second leaves it to the first. Under the upkeep lock sealed segments belong to this pass; the partition's
lock, which appends need, is held only for moments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pykafka_store.embedded.disk import is_nearly_full
from pykafka_store.embedded.log.cleaned_segment import finish_interrupted
from pykafka_store.embedded.log.compaction import DEDUPE_BUFFER_SIZE, Compacted, Compaction
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.retention import Removed, apply_retention, remove_set_aside
from pykafka_store.embedded.partitions import HostedPartition
from pykafka_store.errors import OffsetOutOfRangeError


class PassReport(NamedTuple):
    """What a pass over one replica did. ``busy``: nothing, for another process was at it."""

    busy: bool = False
    removed: Removed = Removed()
    compacted: Compacted = Compacted()
    freed: int = 0
    """Bytes of files that are gone for good; those set aside go later."""


class Upkeep:
    """See the module. Cheap to make; it holds no files open between two passes."""

    def __init__(self, partition: HostedPartition, directory: str, buffer_size: int = DEDUPE_BUFFER_SIZE) -> None:
        """``directory``: the replica's. ``buffer_size`` bounds the memory of compaction."""
        self._partition = partition
        self._directory = directory
        self._disk = partition.engine.disk
        self._clock = partition.engine.clock
        self._buffer_size = buffer_size

    def run(self, on_read: Callable[[int], None] | None = None, *, patience_ms: int = 0) -> PassReport:
        """One pass. ``on_read`` is called with each number of bytes that compaction reads, without the partition's
        lock. ``patience_ms``: see ``log/retention.py``. Raises StoreError, FileNotFoundError where the topic is deleted
        meanwhile.
        """
        partition = self._partition
        with partition.upkeep_lock() as ours:
            if not ours:
                return PassReport(busy=True)
            config = partition.config
            replica = partition.replica_at(self._directory)
            try:
                with partition.lock():
                    replica.load_locked()  # else what lies there might be another topic's of the name by now
                    finish_interrupted(self._disk, self._directory)
                    removed = apply_retention(
                        self._disk,
                        self._directory,
                        replica,
                        config,
                        self._clock.now_ms(),
                        patience_ms,
                        partial(self._start_at, replica),
                    )
                compacted = Compacted()
                if "compact" in config.cleanup_policy:
                    compaction = Compaction(
                        self._disk,
                        self._directory,
                        partition.name,
                        replica,
                        partition.lock,
                        config,
                        self._buffer_size,
                        on_read,
                    )
                    compacted = compaction.run(self._clock.now_ms())
            finally:
                replica.close()
            now = self._clock.now_ms()
            # A disk that is full can't wait for those who might want the files back.
            is_full = partition.engine.was_full or is_nearly_full(self._directory)
            delay = 0 if is_full else config.file_delete_delay_ms
            freed = remove_set_aside(self._disk, self._directory, delay, now)
            return PassReport(removed=removed, compacted=compacted, freed=freed)

    def raise_log_start(self, offset: int) -> int:
        """Make ``offset`` the log's first, at all replicas in sync; below zero, the high watermark. Returns what is the
        first then: one that is higher already stays. Whole segments below it are taken away by the next pass.

        Source: ReplicaManager#deleteRecordsOnLocalLog, UnifiedLog#maybeIncrementLogStartOffset. Raises
        OffsetOutOfRangeError.
        """
        replica = self._partition.replica_at(self._directory)
        try:
            with self._partition.lock():
                state = replica.load_locked()
                wanted = state.high_watermark if offset == -1 else offset
                if not 0 <= wanted <= state.high_watermark:
                    raise OffsetOutOfRangeError(
                        "The requested offset is not within the range of offsets maintained by the server."
                    )
                self._start_at(replica, max(wanted, state.log_start_offset))
                return max(wanted, state.log_start_offset)
        finally:
            replica.close()

    def _start_at(self, own: ReplicaLog, start: int) -> None:
        """Have this replica's log and all that are in sync start there, the leader's last: readers look there, and what
        they were told is gone does not come back with another leader. Of those that are eligible to lead and out of
        sync the disks are away, or about to be changed: the catalogue keeps it for them. Needs the partition's lock.
        Raises what the directory of one raises.
        """
        row = self._partition.row
        if row.elr:
            self._partition.note_log_start(start)
        in_sync = sorted(row.isr, key=lambda broker: broker == row.leader)
        directories = [self._partition.directory(broker) for broker in in_sync]
        if self._directory not in directories:  # it has left since
            directories.insert(0, self._directory)
        for directory in directories:
            replica = own if directory == self._directory else self._partition.replica_at(directory)
            try:
                state = replica.load_locked()
                if state.log_start_offset < start <= state.log_end_offset:  # one that is too short is not in sync
                    shown = max(state.high_watermark, start)
                    replica.publish_synced(state._replace(log_start_offset=start, high_watermark=shown))
            finally:
                if replica is not own:
                    replica.close()


def upkeep_of(partition: HostedPartition) -> list[Upkeep]:
    """The upkeep of each replica that is in sync, the leader's first: others are made like them when they come back.
    Raises UnknownTopicOrPartitionError.
    """
    row = partition.row
    brokers = sorted(row.isr, key=lambda broker: broker != row.leader)
    return [Upkeep(partition, partition.directory(broker)) for broker in brokers]
