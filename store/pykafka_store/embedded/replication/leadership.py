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
then the leader with the new one. A kill in between leaves followers that are one append ahead of the leader; nobody was
told of it, and the next writer cuts it off (``follow_locked``). If the leader is lost just then, the replicas left may
differ by that append: the new leader and all others are cut to the shortest of them, which has all that was
acknowledged (1).

Taking over is finished by whoever comes first: the catalogue says a higher epoch than the leader's published state
until the epoch is written down in every replica's leader-epoch-checkpoint and state, the leader's last.

Source: Partition, ReplicationControlManager and PartitionChangeBuilder of Kafka 4.3; KIP-101, KIP-966.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.catalog import ELIGIBLE, IN_SYNC, LED_LAST, OUT_OF_SYNC, PartitionRow
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.errors import (
    CorruptRecordError,
    EligibleLeadersNotAvailableError,
    LeaderNotAvailableError,
    StorageError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.state import PublishedState

REPLICA_FAILURES = (StorageError, CorruptRecordError, UnknownTopicOrPartitionError, FileNotFoundError)
"""What a replica's directory raises that is gone, read-only, full or damaged."""

_OUR_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Failures of this process, which say nothing about a replica."""


class Home(Protocol):
    """What is asked of the cluster about one partition."""

    label: str
    """``topic-partition``, for messages."""

    def look(self) -> tuple[PartitionRow, TopicConfig]:
        """The partition and its topic's settings as the catalogue has them now. Raises UnknownTopicOrPartitionError if
        the topic is gone.
        """

    def replica(self, broker: int) -> ReplicaLog:
        """A writer of the replica on that broker, to be closed by whoever asks."""

    def directory(self, broker: int) -> str:
        """Where that replica is."""

    def trouble(self, broker: int) -> str | None:
        """Why the broker can't be used at all (stopped, its disk is gone), or None."""

    def change(self, row: PartitionRow) -> None:
        """Make ``row`` the catalogue's, at once and for good."""

    def notice(self, line: str) -> None:
        """Tell whoever wants to know."""


class Held(NamedTuple):
    """One replica in sync, and its state."""

    broker: int
    log: ReplicaLog
    state: PublishedState


class Led(NamedTuple):
    """A partition with a leader that has taken over, and followers that have just what it has."""

    row: PartitionRow
    config: TopicConfig
    leader: Held
    followers: tuple[Held, ...]

    @property
    def all(self) -> tuple[Held, ...]:
        return (self.leader, *self.followers)

    @property
    def min_isr(self) -> int:
        """How many replicas must be in sync before anything new is shown to readers. Source:
        Partition#effectiveMinIsr.
        """
        return min(self.config.min_insync_replicas, len(self.row.replicas))

    @property
    def has_enough(self) -> bool:
        return len(self.row.isr) >= self.min_isr

    def with_states(self, states: Sequence[PublishedState]) -> Led:
        """The same replicas with other states, the leader's first."""
        held = [each._replace(state=state) for each, state in zip(self.all, states, strict=True)]
        return self._replace(leader=held[0], followers=tuple(held[1:]))


class Leadership:
    """One partition's. Every method but ``close`` needs the partition's lock."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._logs: dict[str, ReplicaLog] = {}

    @property
    def label(self) -> str:
        return self._home.label

    def close(self) -> None:
        while self._logs:
            self._logs.popitem()[1].close()

    def log(self, broker: int) -> ReplicaLog:
        directory = self._home.directory(broker)
        if directory not in self._logs:
            self._logs[directory] = self._home.replica(broker)
        return self._logs[directory]

    # ---------------------------------------------------------------------------------------------------------- led

    def led(self) -> Led:
        """The partition as it is led, having done what is needed for that: left behind replicas that failed, elected
        another leader, finished its taking over.

        Raises LeaderNotAvailableError if nobody can lead, the
        leader's own error if nobody else is in sync, UnknownTopicOrPartitionError if the topic is gone.
        """
        lost: dict[int, Exception] = {}
        while True:
            row, config = self._home.look()
            eligible = row.isr or row.elr
            held = self._whole(list(self._load(eligible, lost)), lost)
            if not held:
                raise self._offline(row, lost)
            leader, row = self._choose(row, config, held, lost)
            if leader is None:
                continue
            taking_over = leader.state.leader_epoch < row.leader_epoch
            # Nobody has less than was acknowledged; what the others have beyond that is nobody's yet.
            pattern = min((each.state for each in held), key=_end) if taking_over else leader.state
            aligned = [self._aligned(each, pattern, lost) for each in held]
            if leader.broker in lost:
                continue
            (lead,) = (each for each in aligned if each is not None and each.broker == leader.broker)
            followers = tuple(each for each in aligned if each is not None and each.broker != leader.broker)
            row = self._kept(row, config, (leader.broker, *(each.broker for each in followers)), lost)
            led = Led(row, config, lead, followers)
            if not taking_over:
                return led
            try:
                return self._taken_over(led)
            except REPLICA_FAILURES as error:
                if is_ours(error):
                    raise
                lost[leader.broker] = error

    def tidy(self, led: Led) -> None:
        """Have readers see all that they may, and the followers say what the leader says: kills leave them behind in
        that, until the next append. Raises what a replica's directory raises.
        """
        state = led.leader.state
        if led.has_enough and state.high_watermark < state.log_end_offset:
            state = state._replace(high_watermark=state.log_end_offset)
            led.leader.log.publish(state)
        for held in led.all:
            held.log.remove_unpublished_locked(state)
        for held in led.followers:
            told = held.state._replace(
                high_watermark=state.high_watermark,
                log_start_offset=max(held.state.log_start_offset, state.log_start_offset),
                leader_epoch=state.leader_epoch,
            )
            if told != held.state:
                held.log.publish(told)

    def leave_behind(self, led: Led, failed: Mapping[int, Exception]) -> Led:
        """Go on without replicas that could not be written to. Raises the leader's error if none is left: then nothing
        is changed.
        """
        if all(each.broker in failed for each in led.all):
            raise _told(failed[led.leader.broker])
        for broker in failed:
            self.log(broker).close()
        row, config = self._home.look()
        stay = [each.broker for each in led.all if each.broker not in failed]
        changed = with_sync(row, stay, self._min_isr(row, config))
        if row.leader not in stay:
            leader = next(broker for broker in row.replicas if broker in stay)
            changed = changed._replace(leader=leader, leader_epoch=row.leader_epoch + 1)
        self._change(row, changed, failed)
        return self.led()

    def elect(self, led: Led, broker: int) -> Led:
        """Have one of the replicas in sync lead instead."""
        assert any(each.broker == broker for each in led.all)
        row = self._home.look()[0]
        self._change(row, row._replace(leader=broker, leader_epoch=row.leader_epoch + 1), {})
        return self.led()

    def elect_uncleanly(self) -> Led:
        """Have the first replica lead that can be used, though it may lack records that were acknowledged: they are
        lost. Needs the upkeep lock, too: nobody may be copying to it. Raises EligibleLeadersNotAvailableError.
        """
        row, config = self._home.look()
        lost: dict[int, Exception] = {}
        # One that is being added may have next to nothing yet. (Kafka takes the first in the list.)
        held = next(self._load(sorted(row.replicas, key=row.adding.__contains__), lost), None)
        if held is None:
            raise EligibleLeadersNotAvailableError("Eligible topic partition leaders are not available.")
        changed = with_sync(row, (held.broker,), self._min_isr(row, config))
        changed = changed._replace(
            leader=held.broker,
            leader_epoch=row.leader_epoch + 1,
            hosts=tuple(
                each._replace(sync=min(each.sync, IN_SYNC))
                if each.broker == held.broker
                else each._replace(sync=OUT_OF_SYNC)
                for each in changed.hosts
            ),
        )
        self._change(row, changed, lost)
        return self.led()

    def _load(self, brokers: Sequence[int], lost: dict[int, Exception]) -> Iterator[Held]:
        for broker in brokers:
            if broker in lost:
                continue
            try:
                trouble = self._home.trouble(broker)
                if trouble is not None:
                    raise LeaderNotAvailableError(trouble)
                log = self.log(broker)
                yield Held(broker, log, log.load_locked())
            except (*REPLICA_FAILURES, LeaderNotAvailableError) as error:
                if is_ours(error):
                    raise
                lost[broker] = error

    def _whole(self, held: list[Held], lost: dict[int, Exception]) -> list[Held]:
        """Those that have all that readers may have seen at any of them. Another one is not in sync, whatever the
        catalogue says: it is an older copy, brought back from a backup, or was cut by a power failure.
        """
        seen = max((each.state.high_watermark for each in held), default=0)
        for each in held:
            if _end(each.state) < seen:
                lost[each.broker] = _TooShortError(
                    f"{each.log.directory} ends at offset {_end(each.state)}, and the high watermark was {seen}: "
                    "is it an older copy?"
                )
        return [each for each in held if each.broker not in lost]

    def _offline(self, row: PartitionRow, lost: Mapping[int, Exception]) -> Exception:
        """Nobody can lead: the error to raise. Where brokers are stopped or gone, the catalogue says so, too."""
        eligible = row.isr or row.elr
        troubles = [error for broker, error in lost.items() if isinstance(error, LeaderNotAvailableError)]
        if not troubles:
            first = row.leader if row.leader is not None else next(iter(eligible), None)
            if first is None:
                return LeaderNotAvailableError(f"{self._home.label} has no leader, and no replica is in sync")
            if row.leader is None:
                return LeaderNotAvailableError(f"{self._home.label} has no leader: {lost[first]}")
            return _told(lost[first])
        if row.leader is not None:
            config = self._home.look()[1]
            empty = with_sync(row, (), self._min_isr(row, config))
            hosts = [each._replace(sync=LED_LAST) if each.broker == row.leader else each for each in empty.hosts]
            self._change(row, empty._replace(hosts=tuple(hosts), leader=None, leader_epoch=row.leader_epoch + 1), {})
        names = ", ".join(map(str, eligible))
        return LeaderNotAvailableError(
            f"{self._home.label} has no leader: in sync is only broker {names}, and {troubles[0]}"
        )

    def _choose(
        self, row: PartitionRow, config: TopicConfig, held: list[Held], lost: Mapping[int, Exception]
    ) -> tuple[Held | None, PartitionRow]:
        """The leader among those that could be loaded, elected if need be: the first in the replica list. After a power
        cut replicas may have lost different parts of what was never synced: then the one that has most.
        """
        leader = next((each for each in held if each.broker == row.leader), None)
        longest = max(held, key=lambda each: _end(each.state))
        restored = any(each.log.restored for each in held)
        if leader is not None and not (restored and _end(longest.state) > _end(leader.state)):
            return leader, row
        best = next(each for broker in row.replicas for each in held if each.broker == broker)
        elected = longest if restored else best
        # What a shorter one lacks was acknowledged, maybe: it leaves in the same transaction that elects the longest,
        # for whoever finishes its taking over cuts all that are in sync to the shortest.
        shorter = {each.broker for each in held if restored and _end(each.state) < _end(elected.state)}
        in_sync = [each.broker for each in held if each.broker not in shorter] if row.isr else [elected.broker]
        changed = with_sync(row, in_sync, self._min_isr(row, config), shorter | _too_short(lost))
        why = dict(lost) | {each.broker: _short(each, elected.state) for each in held if each.broker in shorter}
        self._change(row, changed._replace(leader=elected.broker, leader_epoch=row.leader_epoch + 1), why)
        return None, row

    def _aligned(self, held: Held, pattern: PublishedState, lost: dict[int, Exception]) -> Held | None:
        """A replica brought to just what ``pattern`` has; None if it lacks some of that, or fails."""
        state = held.state
        if _place(state) == _place(pattern):
            return held
        try:
            if state.log_end_offset > pattern.log_end_offset:
                return held._replace(state=held.log.follow_locked(state, pattern))
            if state.log_end_offset == pattern.log_end_offset and pattern.active_base_offset == pattern.log_end_offset:
                return held._replace(state=held.log.roll_locked(state))
            if state.log_end_offset == pattern.log_end_offset and state.active_base_offset == state.log_end_offset:
                return held._replace(state=held.log.follow_locked(state, pattern))
        except REPLICA_FAILURES as error:
            if is_ours(error):
                raise
            lost[held.broker] = error
            return None
        lost[held.broker] = _short(held, pattern)
        return None

    def _kept(
        self, row: PartitionRow, config: TopicConfig, in_sync: Collection[int], lost: Mapping[int, Exception]
    ) -> PartitionRow:
        min_isr = self._min_isr(row, config)
        # With enough in sync (fewer may be enough than when others left), nobody else is eligible: they will lack what
        # is shown from now on.
        if set(in_sync) == set(row.isr) and not (row.elr and len(row.isr) >= min_isr):
            return row
        changed = with_sync(row, in_sync, min_isr, _too_short(lost))
        self._change(row, changed, lost)
        return changed

    def _taken_over(self, led: Led) -> Led:
        """Write the new epoch down, the leader last. Raises what the leader's directory raises."""
        epoch = led.row.leader_epoch
        start = led.leader.state.log_end_offset
        states = []
        lost: dict[int, Exception] = {}
        for held in led.followers:
            grown = held.state._replace(leader_epoch=epoch)
            try:
                held.log.assign_epoch_locked(epoch, start)
                held.log.publish_synced(grown)
                states.append(grown)
            except REPLICA_FAILURES as error:
                if is_ours(error):
                    raise
                lost[held.broker] = error
        if lost:
            row = self._kept(led.row, led.config, [each.broker for each in led.all if each.broker not in lost], lost)
            led = led._replace(row=row, followers=tuple(each for each in led.followers if each.broker not in lost))
        led.leader.log.assign_epoch_locked(epoch, start)
        grown = led.leader.state._replace(leader_epoch=epoch)
        if led.has_enough:
            grown = grown._replace(high_watermark=start)
        led.leader.log.publish_synced(grown)
        return led.with_states([grown, *states])

    # ------------------------------------------------------------------------------------------------------- changes

    def _change(self, row: PartitionRow, changed: PartitionRow, why: Mapping[int, Exception]) -> None:
        if changed == row:
            return
        self._home.change(changed)
        for broker in row.isr:
            if broker not in changed.isr and broker in why:
                reason = str(why[broker]).removeprefix(f"{self._home.label}: ")
                self._home.notice(f"{self._home.label}: broker {broker} was left behind: {reason}")
        if changed.leader != row.leader and changed.leader is not None:
            self._home.notice(
                f"{self._home.label}: broker {changed.leader} leads, in leader epoch {changed.leader_epoch}"
            )

    @staticmethod
    def _min_isr(row: PartitionRow, config: TopicConfig) -> int:
        return min(config.min_insync_replicas, len(row.replicas))


class _TooShortError(StorageError):
    """A replica lacks what was acknowledged, maybe: a power cut took it, or it is an older copy."""


def _too_short(lost: Mapping[int, Exception]) -> set[int]:
    return {broker for broker, error in lost.items() if isinstance(error, _TooShortError)}


def _short(held: Held, other: PublishedState) -> _TooShortError:
    return _TooShortError(
        f"{held.log.directory} ends at offset {held.state.log_end_offset}, and the leader at {other.log_end_offset}"
    )


def with_sync(row: PartitionRow, in_sync: Collection[int], min_isr: int, short: Collection[int] = ()) -> PartitionRow:
    """The row with another ISR. Who leaves while too few stay is eligible still: nothing is shown to readers that it
    lacks. But not who leaves because it is too ``short``. Sources: PartitionChangeBuilder#maybePopulateTargetElr, and
    what KIP-966 says of a broker that comes back from an unclean shutdown.
    """
    few = len(in_sync) < min_isr

    def sync(broker: int, before: int) -> int:
        if broker in in_sync:
            return IN_SYNC
        return ELIGIBLE if few and before != OUT_OF_SYNC and broker not in short else OUT_OF_SYNC

    return row._replace(
        hosts=tuple(each._replace(sync=sync(each.broker, each.sync)) for each in row.hosts),
        isr_sorted=row.isr_sorted or not set(in_sync) <= {*row.isr},
    )


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


def _told(error: Exception) -> Exception:
    """What a caller should see: files that are gone are a failing disk, as the topic is there."""
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{error.filename} is gone: is its disk mounted?")
    return error


def is_ours(error: BaseException) -> bool:
    """Whether this process is what failed, and no replica: then nobody is left behind for it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _OUR_OWN


__all__ = ["REPLICA_FAILURES", "Held", "Home", "Leadership", "Led", "is_ours", "with_sync"]
