"""The consumer over a directory: positions -> batches -> runs of records. Reading takes no lock.

What is read comes from `assign`, or from a subscription of the consumer's own, which then reads all partitions. One
with a group.id shares them with others (member_consumer.py). How it waits for more is following.py's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pykafka_store.embedded.clients.following import Following
from pykafka_store.embedded.clients.topics import require_topic
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.replication.reader import OpenReaders, PartitionReader, open_reader
from pykafka_store.errors import (
    InvalidConfigError,
    InvalidGroupIdError,
    LeaderNotAvailableError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
    unprepared,
)
from pykafka_store.format.batch import Batch
from pykafka_store.model import INTERNAL_TOPICS, OFFSETS_TOPIC, OffsetAt, Records, TopicPartition
from pykafka_store.settings.client_configs import ClientConfig, reset_duration_ms
from pykafka_store.threads import User, one_thread_at_a_time

if TYPE_CHECKING:
    from pykafka_store.model import CommittedOffset

CATALOG_POLL = 0.1
"""Seconds between looks for new topics and partitions that a subscription covers."""

POLL_BYTES = 1 << 20
"""About how much one poll unfolds, so that memory does not depend on how well records compress."""

UNDEFINED = -1
"""The position of a partition with nothing committed and ``auto.offset.reset`` none, until somebody seeks."""


class Position:
    """Where one partition is being read."""

    __slots__ = ("offset", "paused", "reader", "start", "unfolded", "waiting")

    def __init__(self, reader: PartitionReader, offset: int, start: OffsetAt | None = None) -> None:
        """With ``start``, the offset is found when the partition has a leader that can be asked."""
        self.reader = reader
        self.offset = offset
        self.start = start
        self.paused = False
        self.waiting: deque[Batch] = deque()
        """Batches read, and not yet delivered as a whole."""
        self.unfolded: tuple[Batch, Records] | None = None
        """The first of them and all of its records, as long as some of those are to be delivered by later polls."""


@one_thread_at_a_time
class EmbeddedConsumer:
    """See :class:`pykafka_store.api.Consumer`: one that reads alone, and has no offsets to commit."""

    def __init__(self, engine: Engine, settings: ClientConfig, on_notice: Callable[[str], None] | None = None) -> None:
        self.user = User()
        self._engine = engine
        self._clock = engine.clock
        self._on_notice = on_notice
        _keep_heap()
        if settings.is_given("interceptor.classes"):
            raise InvalidConfigError("interceptor.classes can't be honoured: there is no Java here to load them")
        self._reset = OffsetReset(settings.text("auto.offset.reset", "latest"), engine.clock)
        isolation = settings.choice("isolation.level", "read_uncommitted", ("read_uncommitted", "read_committed"))
        self._committed_only = isolation == "read_committed"
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._exclude_internal = settings.flag("exclude.internal.topics", default=True)
        self._fetch_size = settings.number("max.partition.fetch.bytes", POLL_BYTES, low=0) or 1
        self._max_poll_records = settings.number("max.poll.records", 1 << 31, low=1)
        self._topics: Sequence[str] = ()
        self._pattern: re.Pattern[str] | None = None
        """What this consumer follows by itself: topics by name, and those whose whole name matches."""
        self._seen_version = (-1, -1)
        """The catalogue's when the subscription was last compared with it."""
        self._next_comparison = 0.0
        self._positions: dict[TopicPartition, Position] = {}
        self._readers = OpenReaders()
        self._prepared = False
        """Whether anybody has said what is read."""
        self._turn = 0
        self._following = Following(engine.directory, engine.clock)

    # ------------------------------------------------------------------------------------------------ what is read

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
        self._prepared = True
        self._topics, self._pattern = (), None
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
        self._seen_version = self._engine.catalog.version()
        self._drop(tuple(self._positions))
        self._prepared = True
        self._topics, self._pattern = tuple(topics or ()), pattern
        self._follow_subscription(start)

    def _follow_catalog(self) -> bool:
        """Follow the subscription where the catalogue has changed, which is looked up now and then; whether it has."""
        if self._clock.monotonic() < self._next_comparison:
            return False
        self._next_comparison = self._clock.monotonic() + CATALOG_POLL
        self._engine.catalog.require_in_place()  # else it would wait for what is appended to files that are removed
        if not self._topics and self._pattern is None:
            return False
        if (version := self._engine.catalog.version()) == self._seen_version:
            return False
        self._seen_version = version
        self._follow_subscription(OffsetAt.EARLIEST)
        return True

    def _follow_subscription(self, start: OffsetAt) -> None:
        """Begin to read what the subscription covers and is not read yet; drop topics that a pattern covered and that
        are gone. One that goes while this looks is left out, too, and not made anew: only who names a topic wants it.
        """
        names = list(self._topics)
        if self._pattern is not None:
            from pykafka_store.embedded.patterns import matching

            names += [
                name
                for name in matching(self._pattern, [*self._engine.catalog.topic_ids(), OFFSETS_TOPIC])
                if not (self._exclude_internal and name in INTERNAL_TOPICS)
            ]
            self._drop([partition for partition in self._positions if partition.topic not in names])
        for name in names:
            named = name in self._topics
            known = any(partition.topic == name for partition in self._positions)
            with nullcontext() if named else suppress(UnknownTopicOrPartitionError):
                for number in self._partitions_of(name, create=named and self._auto_create and not known):
                    if TopicPartition(name, number) not in self._positions:
                        self._add(TopicPartition(name, number), start)

    def _partitions_of(self, topic: str, *, create: bool) -> range:
        """The partition numbers of a topic; see ``require_topic``."""
        if topic == OFFSETS_TOPIC and self._engine.catalog.topic_id(topic) is None:
            return self._partitions_of_view()
        return range(require_topic(self._engine, topic, create=create, on_notice=self._on_notice).partitions)

    def _add(self, partition: TopicPartition, start: int | OffsetAt) -> None:
        reader = self._open(partition, self._readers)
        self._positions[partition] = Position(reader, *_begun(reader, start))

    def _partitions_of_view(self) -> range:
        """Those of the view of what groups have committed. Raises InvalidTopicError where that can't be read."""
        from pykafka_store.embedded.offsets_topic import partition_count

        return range(partition_count(self._engine))

    def _open(self, partition: TopicPartition, among: OpenReaders | None = None) -> PartitionReader:
        if partition.topic != OFFSETS_TOPIC:
            return open_reader(self._engine, partition, among)
        from pykafka_store.embedded.replication.offsets_view import reader_of

        return reader_of(self._engine, partition, among)

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
        """See :meth:`pykafka_store.api.Consumer.on_rebalance`. Without a group nothing is ever rebalanced."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._at(partition).paused = True

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._at(partition).paused = False

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None:
        position = self._at(partition)
        position.offset, position.start = _begun(position.reader, offset)
        position.waiting.clear()

    def _at(self, partition: TopicPartition) -> Position:
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
        reader = position.reader if position else self._open(partition)
        try:
            return reader.state().log_start_offset, self._end(reader)
        finally:
            if position is None:
                reader.close()

    def _end(self, reader: PartitionReader) -> int:
        return reader.last_stable_offset() if self._committed_only else reader.state().high_watermark

    def leave_if_settled(self) -> bool:
        """See :meth:`pykafka_store.api.Consumer.leave_if_settled`. Without a group there is nothing to wait for."""
        return True

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:  # noqa: ARG002
        """See :meth:`pykafka_store.api.Consumer.commit`."""
        raise InvalidGroupIdError("To commit offsets, give the consumer a group.id")

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:  # noqa: ARG002
        """See :meth:`pykafka_store.api.Consumer.committed`."""
        raise InvalidGroupIdError("To ask for committed offsets, give the consumer a group.id")

    # --------------------------------------------------------------------------------------------------------- poll

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """See :meth:`pykafka_store.api.Consumer.poll`."""
        if not self._prepared:
            raise unprepared()
        deadline = self._clock.monotonic() + timeout
        limit = min(self._max_poll_records, max_records if max_records is not None else self._max_poll_records)
        while True:
            self._prepare_to_read()
            before = [(position, position.offset) for position in self._positions.values()]
            try:
                runs = self._collect(limit)
                if runs and self._may_deliver():
                    self._following.came()
                    return runs
            except BaseException:
                _go_back(before)  # Ctrl-C, most likely: what nobody has seen must not be committed
                raise
            if runs:
                _go_back(before)  # others own these partitions by now, and read them from what was committed
                continue
            if self._follow_catalog():
                continue
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return []
            self._wait(left)

    def _wait(self, seconds: float) -> None:
        """Wait at most so long for records, and for what changes who reads what."""
        positions = self._positions.values()
        paths = (position.reader.state_path() for position in positions if not position.paused)
        self._following.wait(seconds, paths, len(positions))
        if self._following.catalogue_moved:
            self._following.catalogue_moved = False
            self._next_comparison = 0.0

    def _prepare_to_read(self) -> None:
        """What a member does before each look at its partitions: it commits, and follows its group."""

    def _may_deliver(self) -> bool:
        """Whether what was read may still be delivered: it may not where this consumer has lost its partitions."""
        return True

    def _collect(self, limit: int) -> list[Records]:
        """What is there now: about POLL_BYTES and at most ``limit`` records, partitions taking turns at being first."""
        runs: list[Records] = []
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
                    records = self._visible(position, batch)
                except StoreError as error:
                    if runs:
                        return runs  # what is good goes out first; the next poll meets the error again
                    self._follow_deletion(partition, error)
                    break
                first = bisect_left(records.offsets, position.offset) if records is not None else 0
                if records is not None and first < len(records):
                    last = min(first + limit, len(records))
                    some = records.slice(first, last) if last - first < len(records) else records
                    runs.append(some)
                    limit -= len(some)
                    wanted -= sum(map(len, filter(None, some.values))) if batch.header.codec else len(batch.data)
                    if last < len(records):
                        position.offset = some.offsets[-1] + 1
                        position.unfolded = batch, records
                        break
                position.waiting.popleft()
                position.unfolded = None
                position.offset = batch.header.last_offset + 1
        return runs

    def _visible(self, position: Position, batch: Batch) -> Records | None:
        """A batch's records, or None where a consumer sees none of them. They are unfolded once, however few of them
        each poll takes.
        """
        if position.unfolded is not None and position.unfolded[0] is batch:
            return position.unfolded[1]
        if batch.header.is_control or (self._committed_only and position.reader.is_aborted(batch)):
            return None
        return position.reader.decode(batch)

    def _fetch(self, partition: TopicPartition, position: Position) -> bool:
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
        except UnknownTopicOrPartitionError as error:
            self._follow_deletion(partition, error)
            return False
        return bool(position.waiting)

    def _follow_deletion(self, partition: TopicPartition, error: StoreError) -> None:
        """Stop reading a partition whose topic was deleted. One that a pattern covered goes without a word; of another
        the reader, which was told to read it, is told that it is gone: raises the error, as any other.
        """
        if self._pattern is None or not isinstance(error, UnknownTopicOrPartitionError):
            raise error
        self._drop([partition])
        self._next_comparison, self._seen_version = 0.0, (-1, -1)  # there may be another of its name by now

    def close(self) -> None:
        self._topics, self._pattern = (), None
        self._drop(tuple(self._positions))
        self._following.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OffsetReset:
    """``auto.offset.reset``: where to begin when nothing is committed, or what is lies outside the log (KIP-1106)."""

    def __init__(self, setting: str, clock: Clock) -> None:
        self._setting = setting
        self._clock = clock
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
            found = reader.offset_for_timestamp(max(0, self._clock.now_ms() - self._duration_ms))
            if found is not None:
                return found[0]
        return state.high_watermark


def _keep_heap() -> None:
    """Have the memory of what was read stay with the process until the next read.

    glibc gives the top of its heap back as soon as 128 KiB of it are free, and the kernel then fills it page by page
    once more: a fifth of the time where segments are small. Freeing one larger block raises that to twice its size.
    """
    bytes(POLL_BYTES)


def _go_back(positions: Sequence[tuple[Position, int]]) -> None:
    for position, offset in positions:
        if position.offset != offset:
            position.offset = offset
            position.waiting.clear()


def _begun(reader: PartitionReader, at: int | OffsetAt) -> tuple[int, OffsetAt | None]:
    """An offset to read from, and what it is to be found by where the partition has no leader: as Kafka's consumer,
    wait for one.
    """
    try:
        return _resolved(reader, at), None
    except LeaderNotAvailableError:
        return (UNDEFINED, OffsetAt(at)) if at < 0 else (int(at), None)


def _resolved(reader: PartitionReader, at: int | OffsetAt) -> int:
    state = reader.state()
    if at == OffsetAt.EARLIEST:
        return state.log_start_offset
    if at == OffsetAt.LATEST:
        return state.high_watermark
    return int(at)
