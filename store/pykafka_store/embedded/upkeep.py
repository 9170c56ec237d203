"""Upkeep of one replica of one partition: retention, compaction, and what interrupted passes left behind.

There is no daemon, so it runs where it is cheap: after a writer has rolled a segment, and on ``pykafka maintain``.
Whoever comes second leaves it to the first. Under the upkeep lock sealed segments belong to this pass; the partition's
lock, which appends need, is held only for moments.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.compaction import DEDUPE_BUFFER_SIZE, Compacted, Compaction, finish_interrupted
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.retention import Removed, apply_retention, remove_set_aside
from pykafka_store.errors import OffsetOutOfRangeError
from pykafka_store.model import TopicPartition


class PassReport(NamedTuple):
    """What a pass over one replica did. ``busy``: nothing, for another process was at it."""

    busy: bool = False
    removed: Removed = Removed()
    compacted: Compacted = Compacted()
    freed: int = 0
    """Bytes of files that are gone for good; those set aside go later."""


class Upkeep:
    """See the module. Cheap to make; ``replica`` is made for each pass, as it holds files open."""

    def __init__(
        self,
        disk: Disk,
        locks: Locks,
        clock: Clock,
        directory: str,
        topic_id: str,
        name: TopicPartition,
        replica: Callable[[], ReplicaLog],
        config: Callable[[], TopicConfig],
        buffer_size: int = DEDUPE_BUFFER_SIZE,
    ) -> None:
        """``config`` answers with the topic's settings in force; it raises if the topic is gone. ``buffer_size`` bounds
        the memory of compaction.
        """
        self._disk = disk
        self._locks = locks
        self._clock = clock
        self._directory = directory
        self._topic_id = topic_id
        self._name = name
        self._replica = replica
        self._config = config
        self._buffer_size = buffer_size

    def run(self, on_read: Callable[[int], None] | None = None) -> PassReport:
        """One pass. ``on_read`` is called with each number of bytes that compaction reads, without the partition's
        lock. Raises StoreError, FileNotFoundError where the topic is deleted meanwhile.
        """
        with self._locks.upkeep(self._topic_id, self._name.partition) as ours:
            if not ours:
                return PassReport(busy=True)
            config = self._config()
            replica = self._replica()
            try:
                with self._hold():
                    finish_interrupted(self._disk, self._directory)
                    removed = apply_retention(self._disk, self._directory, replica, config, self._clock.now_ms())
                compacted = Compacted()
                if "compact" in config.cleanup_policy:
                    compaction = Compaction(
                        self._disk, self._directory, self._name, replica, self._hold, config, self._buffer_size, on_read
                    )
                    compacted = compaction.run(self._clock.now_ms())
            finally:
                replica.close()
            now = self._clock.now_ms()
            freed = remove_set_aside(self._disk, self._directory, config.file_delete_delay_ms, now)
            return PassReport(removed=removed, compacted=compacted, freed=freed)

    def close(self) -> None:
        """Let go of the files of the locks; they are opened again when needed."""
        self._locks.close_partition(self._topic_id, self._name.partition)

    def _hold(self) -> AbstractContextManager[None]:
        return self._locks.partition(self._topic_id, self._name.partition)

    def raise_log_start(self, offset: int) -> int:
        """Make ``offset`` the log's first; below zero, the high watermark. Returns what is the first then: one that is
        higher already stays. Whole segments below it are taken away by the next pass.

        Source: ReplicaManager#deleteRecordsOnLocalLog, UnifiedLog#maybeIncrementLogStartOffset. Raises
        OffsetOutOfRangeError.
        """
        replica = self._replica()
        try:
            with self._hold():
                state = replica.load_locked()
                wanted = state.high_watermark if offset == -1 else offset
                if not 0 <= wanted <= state.high_watermark:
                    raise OffsetOutOfRangeError(
                        "The requested offset is not within the range of offsets maintained by the server."
                    )
                if wanted > state.log_start_offset:
                    replica.publish_synced(state._replace(log_start_offset=wanted))
                return max(wanted, state.log_start_offset)
        finally:
            replica.close()
