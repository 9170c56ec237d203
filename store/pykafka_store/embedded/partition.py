"""One partition as a producer appends to it: the lock, the replica that leads, and the rules of the topic.

The whole of an append, in order of effect (DESIGN.md, section 4): lock · look again at the catalogue if it moved ·
load and repair · check · write · sync if the topic asks for it · publish · unlock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.format.batch import EncodedBatch
from pykafka_store.format.state import PublishedState
from pykafka_store.model import TimestampType

FLUSH_NEVER = (1 << 63) - 1


class Appended(NamedTuple):
    """How far an append came: the leading ``batches`` are acknowledged, and ``error`` stopped the rest (None: nothing
    did).
    """

    base_offset: int
    batches: int
    error: StoreError | None


class Partition:
    """The producer's side of one partition."""

    def __init__(
        self,
        replica: ReplicaLog,
        locks: Locks,
        clock: Clock,
        topic_id: str,
        partition: int,
        config: Callable[[], TopicConfig],
        upkeep: Callable[[], object] | None = None,
    ) -> None:
        """``config`` answers with the topic's settings in force, looking again if the catalogue moved; it raises if
        the topic is gone. ``upkeep`` is run after an append that rolled a segment, without the lock.
        """
        self._replica = replica
        self._locks = locks
        self._clock = clock
        self._topic_id = topic_id
        self._partition = partition
        self._config = config
        self._upkeep = upkeep
        self._unsynced = False

    def append(self, batches: Sequence[EncodedBatch]) -> Appended:
        """Append batches in order. What is returned as acknowledged is in the log, at consecutive offsets, and stays
        there.

        Raises only if nothing was acknowledged.
        """
        appended, rolled = self._append(batches)
        if rolled and self._upkeep is not None:
            # The records are in the log: whatever upkeep meets is no reason to say otherwise. The next pass meets it,
            # too, and `pykafka maintain` tells it.
            with suppress(StoreError, FileNotFoundError):
                self._upkeep()
        return appended

    def _append(self, batches: Sequence[EncodedBatch]) -> tuple[Appended, bool]:
        """As above, and whether the active segment changed on the way."""
        done = 0
        base_offset = -1
        with self._locks.partition(self._topic_id, self._partition):
            config = self._config()
            state = self._replica.load_locked()
            active = state.active_base_offset
            if config.message_timestamp_type is TimestampType.LOG_APPEND_TIME:
                # Stamped under the lock, so that the log's order is the order of its timestamps.
                now = max(self._clock.now_ms(), state.max_timestamp)
                batches = [batch.stamped(now) for batch in batches]
            try:
                while done < len(batches):
                    grown, count = self._replica.write_locked(state, batches[done:] if done else batches, config)
                    grown = grown._replace(high_watermark=grown.log_end_offset)
                    grown = self._sync_if_due(grown, config)
                    self._replica.publish(grown)
                    if not done:
                        base_offset = state.log_end_offset
                    state = grown
                    done += count
            except StoreError as error:
                with suppress(StoreError):  # where even that fails, the next writer does it
                    self._replica.cut_back(state)
                if not done:
                    raise
                return Appended(base_offset, done, error), False
        return Appended(base_offset, done, None), state.active_base_offset != active

    def _sync_if_due(self, state: PublishedState, config: TopicConfig) -> PublishedState:
        """flush.messages and flush.ms; both are off by default, as in Kafka: replication is for that, and a kill
        loses nothing.
        """
        if config.flush_messages == FLUSH_NEVER and config.flush_ms == FLUSH_NEVER:
            return state
        now = self._clock.now_ms()
        if (
            state.log_end_offset - state.recovery_point >= config.flush_messages
            or now - state.synced_at >= config.flush_ms
        ):
            self._unsynced = False
            return self._replica.sync_locked(state, now)
        self._unsynced = True
        return state

    def close(self) -> None:
        """Let go of the files; what flush.ms still owes is synced first, as nobody else will come by in time."""
        try:
            if self._unsynced:
                with suppress(UnknownTopicOrPartitionError), self._locks.partition(self._topic_id, self._partition):
                    self._replica.publish(self._replica.sync_locked(self._replica.load_locked(), self._clock.now_ms()))
        finally:
            self._replica.close()
