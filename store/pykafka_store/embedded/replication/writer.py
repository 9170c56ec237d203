"""One partition as a producer appends to it: the lock, the replicas in sync, and the rules of the topic.

The whole of an append, in order of effect (store/DESIGN.md, "An append, step by step"): lock · look again at the
catalogue if it moved · load and repair · check · write at every replica in sync · sync if the topic asks for it ·
publish, the leader last · unlock. A replica that fails on the way is left behind, and the append goes on
without it (replication/leadership.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.partitions import HostedPartition
from pykafka_store.embedded.replication.leadership import REPLICA_FAILURES, Leadership, LedPartition, is_ours
from pykafka_store.errors import (
    LeaderNotAvailableError,
    NotEnoughReplicasError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.batch import LogBatch
from pykafka_store.format.state import PublishedState
from pykafka_store.model import TimestampType, TopicPartition
from pykafka_store.settings.configs import TopicConfig

FLUSH_NEVER = (1 << 63) - 1

RETURN_POLL = 1.0
"""Seconds between looks whether a replica that was left behind has come back, doubled while it has not."""
LONGEST_RETURN_POLL = 30.0


class Appended:
    """How far an append came: the leading ``batches`` are acknowledged, and ``error`` stopped the rest (None: nothing
    did). ``log_start_offset`` is the leader's.
    """

    __slots__ = ("base_offset", "batches", "error", "log_start_offset")

    def __init__(self, base_offset: int, batches: int, error: StoreError | None, log_start_offset: int) -> None:
        self.base_offset = base_offset
        self.batches = batches
        self.error = error
        self.log_start_offset = log_start_offset


class PartitionWriter:
    """See the module. Appends to one partition, from open to close."""

    def __init__(self, partition: HostedPartition) -> None:
        self._partition = partition
        self._clock = partition.engine.clock
        # Each append writes to the directories itself: no need to look at them before.
        self._leadership = Leadership(partition, probe=False)
        self._return_poll = RETURN_POLL
        self._next_return = -LONGEST_RETURN_POLL
        self._unsynced = False

    def append(self, batches: Sequence[LogBatch], *, acks_all: bool = True) -> Appended:
        """Append batches in order. What is returned as acknowledged is in the log of every replica in sync, at
        consecutive offsets, and stays there.

        Raises only if nothing was acknowledged. With ``acks_all``, fewer replicas in sync than min.insync.replicas are
        a NotEnoughReplicasError, and nothing is written.
        """
        try:
            appended, rolled, missing = self._append(batches, acks_all=acks_all)
        except (NotEnoughReplicasError, LeaderNotAvailableError):
            self._look_for_returned(needed=True)
            raise
        if rolled:
            # The records are in the log: whatever upkeep meets is no reason to say otherwise. The next pass meets it,
            # too, and `pykafka maintain` tells it.
            with suppress(StoreError, FileNotFoundError):
                self._run_upkeep()
        if missing:
            self._look_for_returned(needed=False)
        return appended

    def _run_upkeep(self) -> None:
        """One pass over each replica, without the partition's lock."""
        from pykafka_store.embedded.log.retention import CHECK_INTERVAL_MS
        from pykafka_store.embedded.replication.upkeep import upkeep_of

        for replica in upkeep_of(self._partition):
            replica.run(patience_ms=CHECK_INTERVAL_MS)

    def _look_for_returned(self, *, needed: bool) -> None:
        """Bring back replicas that were left behind, if that may work by now, without the partition's lock;
        ``needed``: nothing can be written without.
        """
        now = self._clock.monotonic()
        if now < self._next_return and not needed:
            return
        lately = now < self._next_return + LONGEST_RETURN_POLL
        self._return_poll = min(2 * self._return_poll, LONGEST_RETURN_POLL) if lately else RETURN_POLL
        with suppress(StoreError, FileNotFoundError):  # as above
            self._bring_back()
        self._next_return = self._clock.monotonic() + self._return_poll

    def _bring_back(self) -> None:
        from pykafka_store.embedded.replication.replicas import Replicas

        Replicas(self._partition).bring_back()

    def _append(self, batches: Sequence[LogBatch], *, acks_all: bool) -> tuple[Appended, bool, bool]:
        """As above; also whether the active segment changed on the way, and whether replicas are out of sync."""
        done = 0
        base_offset = -1
        with self._partition.lock():
            led = self._leadership.ensure_led()
            active = led.leader.state.active_base_offset
            if led.config.message_timestamp_type is TimestampType.LOG_APPEND_TIME:
                # Stamped under the lock, so that the log's order is the order of its timestamps.
                now = max(self._clock.now_ms(), led.leader.state.max_timestamp)
                batches = [batch.stamped(now) for batch in batches]
            try:
                while done < len(batches):
                    if acks_all and not led.has_enough:
                        raise NotEnoughReplicasError(
                            f"The size of the current ISR Set({', '.join(map(str, led.row.isr))}) is insufficient to "
                            f"satisfy the min.isr requirement of {led.config.min_insync_replicas} for partition "
                            f"{self._partition.label}"
                        )
                    led, count = self._write(led, batches[done:] if done else batches)
                    if count and not done:
                        base_offset = led.leader.state.log_end_offset - sum(
                            batch.record_count for batch in batches[:count]
                        )
                    done += count
            except StoreError as error:
                if not done:
                    raise
                return Appended(base_offset, done, error, led.leader.state.log_start_offset), False, False
        state = led.leader.state
        appended = Appended(base_offset, done, None, state.log_start_offset)
        return appended, state.active_base_offset != active, len(led.row.isr) < len(led.row.replicas)

    def _write(self, led: LedPartition, batches: Sequence[LogBatch]) -> tuple[LedPartition, int]:
        """Put the leading batches into every log in sync, and publish that. Returns the partition as it is then, and
        how many batches that were; 0 if a replica failed and was left behind, so that it is to be tried again.
        """
        failed: dict[int, Exception] = {}
        grown: list[PublishedState] = []
        count = 0
        for replica in led.all:
            try:
                state, count = replica.log.write_locked(replica.state, batches, led.config)
                grown.append(self._sync_if_due(replica.log, state, led.config))
            except REPLICA_FAILURES as error:
                failed[replica.broker] = error
        if not failed:
            committed = led.shown_of(grown[0])
            # The followers before the leader: whoever may lead after it has what readers see at it.
            for replica, state in zip(led.followers, grown[1:], strict=True):
                try:
                    replica.log.publish(state)
                except REPLICA_FAILURES as error:
                    failed[replica.broker] = error
        if not failed:
            grown[0] = grown[0]._replace(high_watermark=committed)
            try:
                led.leader.log.publish(grown[0])
            except REPLICA_FAILURES as error:
                failed[led.leader.broker] = error
        if failed:
            for replica in led.all:
                with suppress(*REPLICA_FAILURES):  # where even that fails, the next writer does it
                    replica.log.cut_back(replica.state)
            if (own := next(filter(is_ours, failed.values()), None)) is not None:
                raise own
            self._next_return = max(self._next_return, self._clock.monotonic() + self._return_poll)
            return self._leadership.leave_behind(led, failed), 0
        for number, replica in enumerate(led.followers, start=1):
            grown[number] = grown[number]._replace(high_watermark=committed)
            # Only so that a reader who follows to it need not wait. If it fails, the next append meets that, too.
            with suppress(*REPLICA_FAILURES):
                replica.log.publish(grown[number])
        return led.with_states(grown), count

    def _sync_if_due(self, log: ReplicaLog, state: PublishedState, config: TopicConfig) -> PublishedState:
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
            return log.sync_locked(state, now)
        self._unsynced = True
        return state

    def sync(self) -> None:
        """Bring everything that is in the log to the disks themselves. A replica whose disk fails is left behind, as in
        an append.
        """
        with self._partition.lock():
            led = self._leadership.ensure_led()
            while failed := self._sync(led):
                if (own := next(filter(is_ours, failed.values()), None)) is not None:
                    raise own
                led = self._leadership.leave_behind(led, failed)
        self._unsynced = False

    def _sync(self, led: LedPartition) -> dict[int, Exception]:
        """Sync all replicas that are in sync. Returns what failed, by broker."""
        failed: dict[int, Exception] = {}
        for replica in led.all:
            try:
                replica.log.publish(replica.log.sync_locked(replica.state, self._clock.now_ms()))
            except REPLICA_FAILURES as error:
                failed[replica.broker] = error
        return failed

    def close(self) -> None:
        """Let go of the files; what flush.ms still owes is synced first, as no other process will come by in time."""
        try:
            if self._unsynced:
                with suppress(UnknownTopicOrPartitionError):
                    self.sync()
        finally:
            self._leadership.close()
            self._partition.close_locks()


def open_writer(
    engine: Engine, topic_id: str, name: TopicPartition, on_notice: Callable[[str], None] | None = None
) -> PartitionWriter:
    """A writer of a topic's partition, to be closed by whoever asks. Nothing is looked at before it is written to."""
    gone = " while it was written: what was acknowledged went with it"
    return PartitionWriter(HostedPartition(engine, topic_id, name, on_notice, gone=gone))
