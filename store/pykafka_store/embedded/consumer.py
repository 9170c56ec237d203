"""The consumer over a directory: positions -> batches -> runs of records. Reading takes no lock.

What is read comes from `assign`, from a subscription of its own (then all partitions), or from a group that shares
them. Following is an adaptive poll of the published states: 1 ms after something came, growing to 20 ms while nothing
does.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from pykafka_store.client_configs import ClientConfig, group_id, reset_duration_ms
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.groups.assignors import assignor_names
from pykafka_store.embedded.groups.database import GroupDatabase
from pykafka_store.embedded.groups.membership import Change, Member, MemberSettings, Subscribed
from pykafka_store.embedded.replication.reader import PartitionReader
from pykafka_store.errors import (
    IllegalGenerationError,
    InvalidConfigError,
    InvalidGroupIdError,
    LeaderNotAvailableError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.batch import Batch
from pykafka_store.model import INTERNAL_TOPICS, CommittedOffset, OffsetAt, Records, TopicPartition

BUSY_POLL = 0.001
IDLE_POLL = 0.020
"""Seconds between looks at the published states: the first right after records came, the second when none have for a
while.
"""

CATALOG_POLL = 0.1
"""Seconds between looks for new topics and partitions that a subscription covers."""

POLL_BYTES = 1 << 20
"""About how much one poll unfolds, so that memory does not depend on how well records compress."""


class Logs(Protocol):
    """What the consumer asks of its cluster."""

    def partitions_of(self, topic: str, *, create: bool) -> tuple[int, ...]:
        """Partition numbers of a topic, made with the server's defaults if ``create``. Raises
        UnknownTopicOrPartitionError.
        """

    def topic_names(self) -> list[str]: ...

    def reader(self, partition: TopicPartition) -> PartitionReader: ...

    def version(self) -> tuple[int, int]:
        """The catalogue's; see Catalog.version."""

    def member(self, settings: MemberSettings) -> Member:
        """A membership that has not joined yet."""

    def groups(self) -> GroupDatabase: ...

    def bury(self, group: str) -> None:
        """Take members that have died out of a group."""

    def topic_ids(self) -> dict[str, str]: ...


UNDEFINED = -1
"""The position of a partition with nothing committed and ``auto.offset.reset`` none, until somebody seeks."""


class _Position:
    """Where one partition is being read."""

    __slots__ = ("offset", "paused", "reader", "start", "waiting")

    def __init__(self, reader: PartitionReader, offset: int, start: OffsetAt | None = None) -> None:
        """With ``start``, the offset is found when the partition has a leader that can be asked."""
        self.reader = reader
        self.offset = offset
        self.start = start
        self.paused = False
        self.waiting: deque[Batch] = deque()
        """Batches read and not yet unfolded."""


class EmbeddedConsumer:
    """See :class:`pykafka_store.api.Consumer`."""

    def __init__(self, logs: Logs, clock: Clock, config: Mapping[str, str] | None) -> None:
        self._logs = logs
        self._clock = clock
        _keep_heap()
        settings = ClientConfig("consumer", config)
        if settings.is_given("interceptor.classes"):
            raise InvalidConfigError("interceptor.classes can't be honoured: there is no Java here to load them")
        self._reset = _Reset(settings.text("auto.offset.reset", "latest"))
        isolation = settings.choice("isolation.level", "read_uncommitted", ("read_uncommitted", "read_committed"))
        self._committed_only = isolation == "read_committed"
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._exclude_internal = settings.flag("exclude.internal.topics", default=True)
        self._fetch_size = settings.number("max.partition.fetch.bytes", POLL_BYTES, low=0) or 1
        self._max_poll_records = settings.number("max.poll.records", 1 << 31, low=1)
        self._subscription: Subscribed | None = None
        self._group = group_id(config or {})
        self._auto_commit = settings.flag("enable.auto.commit", default=True) and self._group is not None
        self._auto_commit_interval = settings.milliseconds("auto.commit.interval.ms", 5000)
        self._next_commit = 0.0
        self._knows_its_share = False
        """Whether ``assigned`` was called since joining; like Kafka's it is, with nothing, where nothing is left to
        own.
        """
        self._committed: dict[TopicPartition, int] = {}
        """What this consumer knows to be committed, so that nothing is written twice."""
        self._member: Member | None = None
        self._member_settings = _member_settings(settings, self._group) if self._group is not None else None
        self._callbacks: dict[str, Callable[[Sequence[TopicPartition]], None] | None] = {}
        self._positions: dict[TopicPartition, _Position] = {}
        self._seen_version = (-1, -1)
        self._next_look = 0.0
        self._turn = 0
        self._pause = BUSY_POLL

    # ------------------------------------------------------------------------------------------------ what is read

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
        self._leave()
        self._next_commit = self._clock.monotonic() + self._auto_commit_interval
        self._subscription = None
        self._drop(tuple(self._positions))
        for partition, start in positions.items():
            self._add(partition, start)

    def subscribe(
        self,
        topics: Sequence[str] | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        start: OffsetAt = OffsetAt.LATEST,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.subscribe`."""
        subscription = Subscribed(tuple(topics or ()), pattern)
        self._seen_version = self._logs.version()
        if self._member_settings is not None:
            member = self._member or self._logs.member(self._member_settings)
            for name in subscription.topics:
                self._logs.partitions_of(name, create=self._auto_create)
            if self._member is not None:
                self._give_up(self.assignment())
            elif self._auto_commit:
                self._commit_if_still_ours()
            self._drop(tuple(self._positions))
            self._member = self._subscription = None
            try:
                member.join(subscription)
            except BaseException:
                member.leave()
                raise
            self._member, self._subscription = member, subscription
            self._knows_its_share = False
            self._next_commit = self._clock.monotonic() + self._auto_commit_interval
            return
        self._drop(tuple(self._positions))
        self._subscription = subscription
        self._follow_subscription(start)

    def _follow_subscription(self, start: OffsetAt) -> None:
        """Begin to read what the subscription covers and is not read yet; let go of what a pattern covered and is
        gone.
        """
        assert self._subscription is not None
        names = list(self._subscription.topics)
        if self._subscription.pattern is not None:
            names += [
                name
                for name in self._logs.topic_names()
                if self._subscription.pattern.fullmatch(name)
                and not (self._exclude_internal and name in INTERNAL_TOPICS)
            ]
            self._drop([partition for partition in self._positions if partition.topic not in names])
        for name in names:
            known = any(partition.topic == name for partition in self._positions)
            for number in self._logs.partitions_of(name, create=self._auto_create and not known):
                if TopicPartition(name, number) not in self._positions:
                    self._add(TopicPartition(name, number), start)

    def _add(self, partition: TopicPartition, start: int | OffsetAt) -> None:
        reader = self._logs.reader(partition)
        try:
            self._positions[partition] = _Position(reader, _resolved(reader, start))
        except LeaderNotAvailableError:  # as Kafka's consumer, wait for one
            later = OffsetAt(start) if start < 0 else None
            self._positions[partition] = _Position(reader, UNDEFINED if later is not None else int(start), later)

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition).reader.close()

    def assignment(self) -> tuple[TopicPartition, ...]:
        return tuple(sorted(self._positions))

    def position(self, partition: TopicPartition) -> int:
        return self._at(partition).offset

    def on_rebalance(
        self,
        assigned: Callable[[Sequence[TopicPartition]], None] | None = None,
        revoked: Callable[[Sequence[TopicPartition]], None] | None = None,
        lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.on_rebalance`."""
        self._callbacks = {"assigned": assigned, "revoked": revoked, "lost": lost}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._at(partition).paused = True

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._at(partition).paused = False

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None:
        position = self._at(partition)
        position.offset, position.start = _resolved(position.reader, offset), None
        position.waiting.clear()

    def _at(self, partition: TopicPartition) -> _Position:
        try:
            return self._positions[partition]
        except KeyError:
            raise UnknownTopicOrPartitionError(f"{partition} is not read by this consumer: assign it first") from None

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._state(partition)[0] for partition in partitions}

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._state(partition)[1] for partition in partitions}

    def _state(self, partition: TopicPartition) -> tuple[int, int]:
        """(log start offset, the end of what may be read) of a partition, read by this consumer or not."""
        position = self._positions.get(partition)
        reader = position.reader if position else self._logs.reader(partition)
        try:
            return reader.state().log_start_offset, self._end(reader)
        finally:
            if position is None:
                reader.close()

    def _end(self, reader: PartitionReader) -> int:
        return reader.last_stable_offset() if self._committed_only else reader.state().high_watermark

    # -------------------------------------------------------------------------------------------------------- group

    def _look_around(self) -> None:
        """Let the group change what is read. All that was returned before is dealt with by now, so it may be
        committed.
        """
        assert self._member is not None
        self._commit_when_due()
        change = self._member.look()
        while change != Change():
            if change.lost:
                self._knows_its_share = False
                self._drop([partition for partition in change.lost if partition in self._positions])
                self._tell("lost", change.lost)
            if change.to_revoke:
                self._give_up(change.to_revoke)
                self._drop([partition for partition in change.to_revoke if partition in self._positions])
                self._member.give_up(change.to_revoke)
            if change.taken:
                self._begin(change.taken)
                self._knows_its_share = True
                self._tell("assigned", change.taken)
            if not change.lost and not change.to_revoke:
                break
            change = self._member.look()
        if self._member.settled and not self._knows_its_share:
            self._knows_its_share = True
            self._tell("assigned", ())
        if len(self._positions) < len(self._member.owned):  # taken when its topic was just being deleted
            self._begin([partition for partition in self._member.owned if partition not in self._positions])
        if self._reset.is_none:
            for position in self._positions.values():
                if position.offset == UNDEFINED:
                    self._reset.offset(position.reader, committed=False)

    def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Read partitions from where the group has committed, else by ``auto.offset.reset``. Those of a topic that is
        gone are left out: the group will see it too.
        """
        committed = self.committed(partitions)
        beginnings: dict[TopicPartition, int] = {}
        for partition in partitions:
            self._committed.pop(partition, None)
            try:
                reader = self._logs.reader(partition)
                if partition in committed:
                    offset = self._committed[partition] = committed[partition].offset
                elif self._reset.is_none:
                    offset = UNDEFINED
                else:
                    offset = beginnings[partition] = self._reset.offset(reader, committed=False)
            except (UnknownTopicOrPartitionError, LeaderNotAvailableError):
                continue  # asked again at the next look
            self._drop([partition] if partition in self._positions else [])
            self._positions[partition] = _Position(reader, offset)
        if self._auto_commit:
            # Where nothing was committed, the beginning is fixed now: found again after a crash it might be later.
            # Only that: this may be in the middle of a poll, whose records nobody has dealt with yet.
            with suppress(UnknownMemberIdError, IllegalGenerationError):
                self._commit(beginnings, only_new=True)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions are about to go to others: commit them, and tell whoever wants to know."""
        if not partitions:
            return
        if self._auto_commit:
            self._commit_if_still_ours()
        assert self._member is not None
        self._tell("revoked" if self._member.check_held() else "lost", partitions)

    def _tell(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        callback = self._callbacks.get(what)
        if callback is not None:
            callback(partitions)

    def _commit_when_due(self) -> None:
        now = self._clock.monotonic()
        if self._auto_commit and now >= self._next_commit:
            self._next_commit = now + self._auto_commit_interval
            self._commit_if_still_ours()

    def _commit_if_still_ours(self) -> None:
        """Auto-commit what has moved. A member that was fenced can't, and learns of it at its next look."""
        with suppress(UnknownMemberIdError, IllegalGenerationError):
            self._commit(self._committable(), only_new=True)

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """See :meth:`pykafka_store.api.Consumer.commit`."""
        if self._group is None:
            raise InvalidGroupIdError("To commit offsets, give the consumer a group.id")
        for topic in {partition.topic for partition in offsets or ()}:
            there = self._logs.partitions_of(topic, create=False)
            for partition in offsets or ():
                if partition.topic == topic and partition.partition not in there:
                    raise UnknownTopicOrPartitionError(f"{partition} does not exist: nothing was committed")
                if partition.topic == topic and partition in self._positions:
                    with suppress(LeaderNotAvailableError):
                        self._positions[partition].reader.state()  # raises if the one that was read is gone
        # What a live member committed before stands; anybody else's may have been changed meanwhile.
        live = self._member is not None and self._member.check_held()
        self._commit(self._committable() if offsets is None else offsets, only_new=live)

    def _committable(self) -> dict[TopicPartition, int]:
        """The positions, but for those of topics that are gone: there may be others under their names by now."""
        found = {}
        for partition, position in self._positions.items():
            with suppress(UnknownTopicOrPartitionError):
                with suppress(LeaderNotAvailableError):
                    position.reader.state()
                if position.offset != UNDEFINED:
                    found[partition] = position.offset
        return found

    def _commit(self, offsets: Mapping[TopicPartition, int], *, only_new: bool) -> None:
        new = {
            partition: offset
            for partition, offset in offsets.items()
            if not only_new or self._committed.get(partition) != offset
        }
        if not new:
            return
        assert self._group is not None
        if self._member is None:
            self._logs.bury(self._group)  # nobody else may be there to do it
        member = (self._member.member_id or "") if self._member is not None else None
        epochs = self._member.owned if self._member is not None else {}
        leader_epochs = {}
        for partition in new.keys() & self._positions.keys():
            with suppress(UnknownTopicOrPartitionError, LeaderNotAvailableError):  # then nothing asks for it
                state = self._positions[partition].reader.state()
                if state.log_end_offset > 0:  # an epoch begins with its first record
                    leader_epochs[partition] = state.leader_epoch
        self._logs.groups().commit(
            self._group,
            new,
            self._logs.topic_ids(),
            self._clock.now_ms(),
            member_id=member,
            epochs=epochs,
            leader_epochs=leader_epochs,
        )
        self._committed.update(new)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """See :meth:`pykafka_store.api.Consumer.committed`."""
        if self._group is None:
            raise InvalidGroupIdError("To ask for committed offsets, give the consumer a group.id")
        found = self._logs.groups().offsets(self._group, self._logs.topic_ids())
        return {partition: found[partition] for partition in partitions if partition in found}

    def _leave(self) -> None:
        if self._member is None:
            if self._auto_commit:
                self._commit_if_still_ours()
            return
        owned = tuple(sorted(self._member.owned))
        try:
            self._give_up(owned)
        finally:
            member, self._member = self._member, None
            member.leave()

    # --------------------------------------------------------------------------------------------------------- poll

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """See :meth:`pykafka_store.api.Consumer.poll`."""
        deadline = self._clock.monotonic() + timeout
        limit = min(self._max_poll_records, max_records if max_records is not None else self._max_poll_records)
        while True:
            if self._member is not None:
                self._look_around()
            else:
                self._commit_when_due()
            before = [(position, position.offset) for position in self._positions.values()]
            try:
                found = self._collect(limit)
                if found and (self._member is None or self._member.check_held()):
                    self._pause = BUSY_POLL
                    return found
            except BaseException:
                _go_back(before)  # Ctrl-C, most likely: what nobody has seen must not be committed
                raise
            if found:
                _go_back(before)  # expired while it read: others own this by now, and read it from what was committed
                continue
            if self._subscription is not None and self._member is None and self._clock.monotonic() >= self._next_look:
                self._next_look = self._clock.monotonic() + CATALOG_POLL
                version = self._logs.version()
                if version != self._seen_version:
                    self._seen_version = version
                    self._follow_subscription(OffsetAt.EARLIEST)
                    continue
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return []
            self._clock.sleep(min(self._pause, left))
            self._pause = min(self._pause * 1.5, IDLE_POLL)

    def _collect(self, limit: int) -> list[Records]:
        """What is there now: about POLL_BYTES and at most ``limit`` records, partitions taking turns at being first."""
        found: list[Records] = []
        wanted = POLL_BYTES
        partitions = list(self._positions)
        self._turn = (self._turn + 1) % len(partitions) if partitions else 0
        for partition in partitions[self._turn :] + partitions[: self._turn]:
            position = self._positions[partition]
            if position.paused:
                continue
            while wanted > 0 and limit > 0:
                try:
                    if not position.waiting and not self._fetch(partition, position):
                        break
                    batch = position.waiting[0]
                    header = batch.header
                    hidden = header.is_control or (self._committed_only and position.reader.is_aborted(batch))
                    records = None if hidden else position.reader.decode(batch)
                except StoreError:
                    if found:
                        return found  # what is good goes out first; the next poll meets the error again
                    raise
                if records is not None and len(records):
                    records = _since(records, position.offset)
                    some = records.slice(0, limit) if len(records) > limit else records
                    if len(some):
                        found.append(some)
                        limit -= len(some)
                        wanted -= len(batch.data) if not header.codec else sum(map(len, filter(None, some.values)))
                    if len(some) < len(records):
                        position.offset = some.offsets[-1] + 1
                        break
                position.waiting.popleft()
                position.offset = header.last_offset + 1
        return found

    def _fetch(self, partition: TopicPartition, position: _Position) -> bool:
        """Read the next batches of a partition, applying ``auto.offset.reset`` where its position is gone."""
        try:
            if position.start is not None:
                position.offset, position.start = _resolved(position.reader, position.start), None
            try:
                batches = position.reader.read(position.offset, self._fetch_size)
                if self._committed_only and batches:
                    end = position.reader.last_stable_offset()
                    batches = [batch for batch in batches if batch.header.base_offset < end]
                position.waiting.extend(batches)
            except OffsetOutOfRangeError:
                position.offset = self._reset.offset(position.reader, committed=True)
                return self._fetch(partition, position)
        except LeaderNotAvailableError:
            return False  # one of its brokers may come back
        except UnknownTopicOrPartitionError:
            if self._member is None and (self._subscription is None or self._subscription.pattern is None):
                raise
            # A topic that came by pattern or group goes by it: the catalogue has moved. It may be there again.
            position.waiting.clear()
            if self._member is not None:
                self._begin([partition])
            else:
                self._drop([partition])
            return False
        return bool(position.waiting)

    def close(self) -> None:
        try:
            self._leave()
        finally:
            self._subscription = None
            self._drop(tuple(self._positions))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Reset:
    """``auto.offset.reset``: where to begin when nothing is committed, or what is lies outside the log (KIP-1106)."""

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._duration_ms = reset_duration_ms(setting)

    @property
    def is_none(self) -> bool:
        return self._setting == "none"

    def offset(self, reader: PartitionReader, *, committed: bool) -> int:
        """The offset to begin with. Raises NoOffsetForPartitionError or OffsetOutOfRangeError where the setting is
        none.
        """
        if self.is_none:
            if committed:
                raise OffsetOutOfRangeError(
                    f"Fetch position of {reader.label} is out of range, and auto.offset.reset is none"
                )
            raise NoOffsetForPartitionError(f"Undefined offset with no reset policy for partitions: [{reader.label}]")
        state = reader.state()
        if self._setting == "earliest":
            return state.log_start_offset
        if self._duration_ms is not None:
            found = reader.offset_for_timestamp(max(0, time.time_ns() // 1_000_000 - self._duration_ms))
            if found is not None:
                return found[0]
        return state.high_watermark


def _keep_heap() -> None:
    """Have the memory of what was read stay with the process until the next read.

    glibc gives the top of its heap back as soon as 128 KiB of it are free, and the kernel then fills it page by page
    once more: a fifth of the time where segments are small. Freeing one larger block raises that to twice its size.
    """
    bytes(POLL_BYTES)


def _member_settings(settings: ClientConfig, group: str) -> MemberSettings:
    session = settings.number("session.timeout.ms", 45000, low=1) / 1000
    protocol = settings.choice("group.protocol", "classic", ("classic", "consumer"))
    strategy = settings.text("partition.assignment.strategy", "RangeAssignor,CooperativeStickyAssignor")
    if protocol == "consumer":
        strategy = settings.text("group.remote.assignor", "uniform")
    return MemberSettings(
        group=group,
        client_id=settings.text("client.id", "") or f"consumer-{group}-1",
        instance_id=settings.text("group.instance.id", "") or None,
        protocol=protocol,
        assignors=assignor_names(strategy),
        session_timeout=session,
        heartbeat_interval=max(min(settings.milliseconds("heartbeat.interval.ms", 3000), session / 3), 0.01),
        max_poll_interval=settings.milliseconds("max.poll.interval.ms", 300000),
    )


def _go_back(positions: Sequence[tuple[_Position, int]]) -> None:
    for position, offset in positions:
        if position.offset != offset:
            position.offset = offset
            position.waiting.clear()


def _resolved(reader: PartitionReader, at: int | OffsetAt) -> int:
    state = reader.state()
    if at == OffsetAt.EARLIEST:
        return state.log_start_offset
    if at == OffsetAt.LATEST:
        return state.high_watermark
    return int(at)


def _since(records: Records, offset: int) -> Records:
    """The records from ``offset`` on: the batch that holds it may begin before it."""
    if records.offsets[0] >= offset:
        return records
    start = next((index for index, at in enumerate(records.offsets) if at >= offset), len(records))
    return records.slice(start, len(records))
