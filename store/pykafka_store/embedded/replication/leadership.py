"""Which replica of a partition leads, and which are in sync with it.

A partition's row in the catalogue names its leader, the leader's epoch, and the replicas that are in sync (ISR). What
must hold, at any instant at which any process is killed:

1. Every record that was acknowledged is in the log of every replica that the catalogue has in sync. So a replica that
   could not be written to leaves the ISR, in a committed transaction, before the append that it missed is published by
   the leader; and it comes back only with all that the leader has.
2. Readers read from the leader, below its high watermark. The leader publishes last, so what they see is at every
   replica that may lead after it.
3. There is at most one leader an epoch: a leader changes only in a transaction that raises the epoch, under the
   partition's lock.

An append therefore writes the bytes at all replicas in sync, publishes the followers with the old high watermark, and
then the leader with the new one. A kill in between leaves followers that are one append ahead of the leader; no client
was told of it, and the next writer cuts it off (``follow_locked``). If the leader is lost just then, the replicas left
may differ by that append: the new leader and all others are cut to the shortest of them, which has all that was
acknowledged (1).

Taking over is finished by whoever comes first: the catalogue says a higher epoch than the leader's published state
until the epoch is written down in every replica's leader-epoch-checkpoint and state, the leader's last.

Source: Partition, ReplicationControlManager and PartitionChangeBuilder of Kafka 4.3; KIP-101, KIP-966.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence

from pykafka_store.embedded.catalog_rows import IN_SYNC, LED_LAST, OUT_OF_SYNC, PartitionRow
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.partitions import HostedPartition
from pykafka_store.embedded.replication.in_sync import effective_min_isr, with_sync
from pykafka_store.errors import (
    CorruptRecordError,
    EligibleLeadersNotAvailableError,
    LeaderNotAvailableError,
    StorageError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.state import PublishedState
from pykafka_store.holding import holding
from pykafka_store.settings.configs import TopicConfig

REPLICA_FAILURES = (StorageError, CorruptRecordError, UnknownTopicOrPartitionError, FileNotFoundError)
"""What a replica's directory raises that is gone, read-only, full or damaged."""

_OUR_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Failures of this process, which say nothing about a replica."""


class SyncedReplica:
    """One replica in sync, and its state."""

    __slots__ = ("broker", "log", "state")

    def __init__(self, broker: int, log: ReplicaLog, state: PublishedState) -> None:
        self.broker = broker
        self.log = log
        self.state = state

    def with_state(self, state: PublishedState) -> SyncedReplica:
        """The same replica with another state."""
        return SyncedReplica(self.broker, self.log, state)


class LedPartition:
    """A partition with a leader that has taken over, and followers that have just what it has."""

    __slots__ = ("config", "followers", "leader", "row")

    def __init__(
        self, row: PartitionRow, config: TopicConfig, leader: SyncedReplica, followers: tuple[SyncedReplica, ...]
    ) -> None:
        self.row = row
        self.config = config
        self.leader = leader
        self.followers = followers

    @property
    def all(self) -> tuple[SyncedReplica, ...]:
        return (self.leader, *self.followers)

    @property
    def min_isr(self) -> int:
        """See ``effective_min_isr``."""
        return effective_min_isr(self.row, self.config)

    @property
    def has_enough(self) -> bool:
        return len(self.row.isr) >= self.min_isr

    def shown_of(self, state: PublishedState) -> int:
        """The high watermark of a replica in this state once all in sync have what it has."""
        return state.log_end_offset if self.has_enough else state.high_watermark

    def with_states(self, states: Sequence[PublishedState]) -> LedPartition:
        """The same replicas with other states, the leader's first."""
        replicas = [each.with_state(state) for each, state in zip(self.all, states, strict=True)]
        return LedPartition(self.row, self.config, replicas[0], tuple(replicas[1:]))


class Leadership:
    """One partition's. Every method but ``close`` needs the partition's lock."""

    def __init__(self, partition: HostedPartition, *, probe: bool = True) -> None:
        """With ``probe``, a log directory that is gone or read-only is trouble before anything is written to it."""
        self._partition = partition
        self._probe = probe
        self._logs: dict[str, ReplicaLog] = {}

    def close(self) -> None:
        while self._logs:
            self._logs.popitem()[1].close()

    def log(self, broker: int) -> ReplicaLog:
        directory = self._partition.directory(broker)
        if directory not in self._logs:
            self._logs[directory] = self._partition.replica_at(directory)
        return self._logs[directory]

    # ---------------------------------------------------------------------------------------------------------- led

    def ensure_led(self) -> LedPartition:
        """The partition as it is led, having done what is needed for that: left behind replicas that failed, elected
        another leader, finished its taking over.

        Raises LeaderNotAvailableError if no replica can lead, the leader's own error if no other is in sync,
        UnknownTopicOrPartitionError if the topic is gone.
        """
        lost: dict[int, Exception] = {}
        while True:
            row, config = self._partition.current()
            eligible = row.isr or row.elr
            replicas = self._whole(list(self._load(eligible, lost)), lost)
            if not replicas:
                raise self._offline(row, lost)
            leader, row = self._choose(row, config, replicas, lost)
            if leader is None:
                continue
            taking_over = leader.state.leader_epoch < row.leader_epoch
            # Every replica in sync has all that was acknowledged; what one has beyond that was promised to no client.
            pattern = min((each.state for each in replicas), key=_end) if taking_over else leader.state
            aligned = [self._aligned(each, pattern, lost) for each in replicas]
            if leader.broker in lost:
                continue
            (lead,) = (each for each in aligned if each is not None and each.broker == leader.broker)
            followers = tuple(each for each in aligned if each is not None and each.broker != leader.broker)
            row = self._kept(row, config, (leader.broker, *(each.broker for each in followers)), lost)
            led = LedPartition(row, config, lead, followers)
            if not taking_over:
                return led
            try:
                return self._taken_over(led)
            except REPLICA_FAILURES as error:
                if is_ours(error):
                    raise
                lost[leader.broker] = error

    def tidy(self, led: LedPartition) -> None:
        """Have readers see all that they may, and the followers say what the leader says: kills leave them behind in
        that, until the next append. Raises what a replica's directory raises.
        """
        state = led.leader.state
        shown = led.shown_of(state)
        for replica in led.all:
            replica.log.remove_unpublished_locked(state)
        # The followers first: whoever leads next shows no less, also where too few are in sync by then.
        for replica in led.followers:
            same = replica.state._replace(
                high_watermark=shown,
                log_start_offset=max(replica.state.log_start_offset, state.log_start_offset),
                leader_epoch=state.leader_epoch,
            )
            if same != replica.state:
                replica.log.publish(same)
        if shown > state.high_watermark:
            led.leader.log.publish(state._replace(high_watermark=shown))

    def leave_behind(self, led: LedPartition, failed: Mapping[int, Exception]) -> LedPartition:
        """Go on without replicas that could not be written to. Raises the leader's error if none is left: then nothing
        is changed.
        """
        if all(each.broker in failed for each in led.all):
            raise _as_callers_see(failed[led.leader.broker])
        for broker in failed:
            self.log(broker).close()
        row, config = self._partition.current()
        stay = [each.broker for each in led.all if each.broker not in failed]
        changed = with_sync(row, stay, effective_min_isr(row, config))
        if row.leader not in stay:
            leader = next(broker for broker in row.replicas if broker in stay)
            changed = changed._replace(leader=leader, leader_epoch=row.leader_epoch + 1)
        self._change(row, changed, failed)
        return self.ensure_led()

    def elect(self, led: LedPartition, broker: int) -> LedPartition:
        """Have one of the replicas in sync lead instead."""
        assert any(each.broker == broker for each in led.all)
        row = self._partition.current()[0]
        self._change(row, row._replace(leader=broker, leader_epoch=row.leader_epoch + 1), {})
        return self.ensure_led()

    def elect_uncleanly(self) -> LedPartition:
        """Have the first replica lead that can be used, though it may lack records that were acknowledged: they are
        lost. Needs the upkeep lock, too: no process may be copying to it. Raises EligibleLeadersNotAvailableError.
        """
        row, config = self._partition.current()
        lost: dict[int, Exception] = {}
        # One that is being added may have next to nothing yet. (Kafka takes the first in the list.)
        replica = next(self._load(sorted(row.replicas, key=row.adding.__contains__), lost), None)
        if replica is None:
            raise EligibleLeadersNotAvailableError("Eligible topic partition leaders are not available.")
        changed = with_sync(row, (replica.broker,), effective_min_isr(row, config))
        changed = changed._replace(
            leader=replica.broker,
            leader_epoch=row.leader_epoch + 1,
            hosts=tuple(
                each._replace(sync=min(each.sync, IN_SYNC))
                if each.broker == replica.broker
                else each._replace(sync=OUT_OF_SYNC)
                for each in changed.hosts
            ),
        )
        self._change(row, changed, lost)
        return self.ensure_led()

    def _load(self, brokers: Sequence[int], lost: dict[int, Exception]) -> Iterator[SyncedReplica]:
        for broker in brokers:
            if broker in lost:
                continue
            try:
                trouble = self._partition.trouble(broker, probe=self._probe)
                if trouble is not None:
                    raise LeaderNotAvailableError(trouble)
                log = self.log(broker)
                yield SyncedReplica(broker, log, log.load_locked())
            except (*REPLICA_FAILURES, LeaderNotAvailableError) as error:
                if is_ours(error):
                    raise
                lost[broker] = error

    def _whole(self, replicas: list[SyncedReplica], lost: dict[int, Exception]) -> list[SyncedReplica]:
        """Those that have all that readers may have seen at any of them. Another one is not in sync, whatever the
        catalogue says: it is an older copy, brought back from a backup, or was cut by a power failure.
        """
        seen = max((each.state.high_watermark for each in replicas), default=0)
        for each in replicas:
            if _end(each.state) < seen:
                lost[each.broker] = _TooShortError(
                    f"{each.log.directory} ends at offset {_end(each.state)}, and the high watermark was {seen}: "
                    "is it an older copy?"
                )
        return [each for each in replicas if each.broker not in lost]

    def _offline(self, row: PartitionRow, lost: Mapping[int, Exception]) -> Exception:
        """No replica can lead: the error to raise. Where brokers are stopped or gone, the catalogue says so, too."""
        eligible = row.isr or row.elr
        troubles = [error for broker, error in lost.items() if isinstance(error, LeaderNotAvailableError)]
        if not troubles:
            first = row.leader if row.leader is not None else next(iter(eligible), None)
            if first is None:
                return LeaderNotAvailableError(f"{self._partition.label} has no leader, and no replica is in sync")
            if row.leader is None:
                return LeaderNotAvailableError(f"{self._partition.label} has no leader: {lost[first]}")
            return _as_callers_see(lost[first])
        if row.leader is not None:
            config = self._partition.current()[1]
            empty = with_sync(row, (), effective_min_isr(row, config))
            hosts = [each._replace(sync=LED_LAST) if each.broker == row.leader else each for each in empty.hosts]
            self._change(row, empty._replace(hosts=tuple(hosts), leader=None, leader_epoch=row.leader_epoch + 1), {})
        names = ", ".join(map(str, eligible))
        return LeaderNotAvailableError(
            f"{self._partition.label} has no leader: in sync is only broker {names}, and {troubles[0]}"
        )

    def _choose(
        self, row: PartitionRow, config: TopicConfig, replicas: list[SyncedReplica], lost: Mapping[int, Exception]
    ) -> tuple[SyncedReplica | None, PartitionRow]:
        """The leader among those that could be loaded, elected if need be: of those in sync the first in the replica
        list. After a power cut they may have lost different parts of what was never synced: then the one that has most.

        Where none is in sync, those that are eligible have all that readers were shown. Beyond that, one may have what
        ``acks=1`` appended: who led last, or has most of what that one had. It leads, wherever it stands in the list
        (Kafka takes the first, as its controller does not know their ends).
        """
        leader = next((each for each in replicas if each.broker == row.leader), None)
        longest = max(replicas, key=lambda each: _end(each.state))
        restored = any(each.log.restored for each in replicas)
        if leader is not None and not (restored and _end(longest.state) > _end(leader.state)):
            return leader, row
        if row.isr:
            first = next(each for broker in row.replicas for each in replicas if each.broker == broker)
            elected = longest if restored else first
        else:
            # The epoch first: what an older one has beyond was given up when the newer one began.
            elected = max(replicas, key=lambda each: (each.state.leader_epoch, _end(each.state)))
        # What a shorter one lacks was acknowledged, maybe: it leaves in the same transaction that elects the longest,
        # for whoever finishes its taking over cuts all that are in sync to the shortest.
        shorter = {each.broker for each in replicas if restored and _end(each.state) < _end(elected.state)}
        in_sync = [each.broker for each in replicas if each.broker not in shorter] if row.isr else [elected.broker]
        changed = with_sync(row, in_sync, effective_min_isr(row, config), shorter | _too_short(lost))
        why = dict(lost) | {each.broker: _short(each, elected.state) for each in replicas if each.broker in shorter}
        self._change(row, changed._replace(leader=elected.broker, leader_epoch=row.leader_epoch + 1), why)
        return None, row

    def _aligned(
        self, replica: SyncedReplica, pattern: PublishedState, lost: dict[int, Exception]
    ) -> SyncedReplica | None:
        """A replica brought to just what ``pattern`` has; None if it lacks some of that, or fails."""
        state = replica.state
        if _place(state) == _place(pattern):
            return replica
        try:
            if state.log_end_offset > pattern.log_end_offset:
                return replica.with_state(replica.log.follow_locked(state, pattern))
            if state.log_end_offset == pattern.log_end_offset and pattern.active_base_offset == pattern.log_end_offset:
                return replica.with_state(replica.log.roll_locked(state))
            if state.log_end_offset == pattern.log_end_offset and state.active_base_offset == state.log_end_offset:
                return replica.with_state(replica.log.follow_locked(state, pattern))
        except REPLICA_FAILURES as error:
            if is_ours(error):
                raise
            lost[replica.broker] = error
            return None
        lost[replica.broker] = _short(replica, pattern)
        return None

    def _kept(
        self, row: PartitionRow, config: TopicConfig, in_sync: Collection[int], lost: Mapping[int, Exception]
    ) -> PartitionRow:
        min_isr = effective_min_isr(row, config)
        # With enough in sync (fewer may be enough than when others left), no other is eligible: it will lack what
        # is shown from now on.
        if set(in_sync) == set(row.isr) and not (row.elr and len(row.isr) >= min_isr):
            return row
        changed = with_sync(row, in_sync, min_isr, _too_short(lost))
        self._change(row, changed, lost)
        return changed

    def _taken_over(self, led: LedPartition) -> LedPartition:
        """Write the new epoch down, the leader last. Raises what the leader's directory raises."""
        epoch = led.row.leader_epoch
        start = led.leader.state.log_end_offset
        # Whoever raised it may have died amid that; and one that was out of sync, but eligible, was not told.
        first = max(each.state.log_start_offset for each in led.all)
        if (noted := self._partition.noted_log_start()) <= start:  # a shorter log is none of those: an older copy
            first = max(first, noted)
        states = []
        lost: dict[int, Exception] = {}
        for replica in led.followers:
            # What is shown is told to them before it is at the leader (see ``tidy``).
            shown = led.shown_of(replica.state)
            grown = replica.state._replace(leader_epoch=epoch, log_start_offset=first, high_watermark=shown)
            try:
                replica.log.assign_epoch_locked(epoch, start)
                replica.log.publish_synced(grown)
                states.append(grown)
            except REPLICA_FAILURES as error:
                if is_ours(error):
                    raise
                lost[replica.broker] = error
        if lost:
            row = self._kept(led.row, led.config, [each.broker for each in led.all if each.broker not in lost], lost)
            followers = tuple(each for each in led.followers if each.broker not in lost)
            led = LedPartition(row, led.config, led.leader, followers)
        led.leader.log.assign_epoch_locked(epoch, start)
        shown = led.shown_of(led.leader.state)
        grown = led.leader.state._replace(leader_epoch=epoch, log_start_offset=first, high_watermark=shown)
        led.leader.log.publish_synced(grown)
        return led.with_states([grown, *states])

    # ------------------------------------------------------------------------------------------------------- changes

    def _change(self, row: PartitionRow, changed: PartitionRow, why: Mapping[int, Exception]) -> None:
        if changed == row:
            return
        self._partition.change(changed)
        for broker in row.isr:
            if broker not in changed.isr and broker in why:
                reason = str(_as_callers_see(why[broker])).removeprefix(f"{self._partition.label}: ")
                self._partition.notice(f"{self._partition.label}: broker {broker} was left behind: {reason}")
        if changed.leader != row.leader and changed.leader is not None:
            self._partition.notice(
                f"{self._partition.label}: broker {changed.leader} leads, in leader epoch {changed.leader_epoch}"
            )


class _TooShortError(StorageError):
    """A replica lacks what was acknowledged, maybe: a power cut took it, or it is an older copy."""


def _too_short(lost: Mapping[int, Exception]) -> set[int]:
    return {broker for broker, error in lost.items() if isinstance(error, _TooShortError)}


def _short(replica: SyncedReplica, other: PublishedState) -> _TooShortError:
    own, theirs = replica.state.log_end_offset, other.log_end_offset
    return _TooShortError(f"{replica.log.directory} ends at offset {own}, and the leader at {theirs}")


def _end(state: PublishedState) -> int:
    return state.log_end_offset


def _place(state: PublishedState) -> tuple[int, ...]:
    """What must be the same in two replicas that hold the same log."""
    return (
        state.log_end_offset,
        state.active_base_offset,
        state.end_position,
        state.index_entries,
        state.time_index_entries,
    )


def _as_callers_see(error: Exception) -> Exception:
    """A replica's failure as an error to raise: files that are gone are a failing disk, as the topic is there."""
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{error.filename} is gone: is its disk mounted?")
    return error


def is_ours(error: BaseException) -> bool:
    """Whether this process is what failed, and no replica: then no replica is left behind for it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _OUR_OWN


@holding
def locked_leadership(partition: HostedPartition) -> Generator[Leadership, None, None]:
    """The partition's leadership, under its lock. What is opened meanwhile is closed in the end."""
    leadership = Leadership(partition)
    try:
        with partition.lock():
            yield leadership
    finally:
        leadership.close()
