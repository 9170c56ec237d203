"""The consumer over a directory: positions -> batches -> runs of records. No lock, no group (groups own partitions;
here one owns all).

Following is an adaptive poll of the published states: 1 ms after something came, growing to 20 ms while nothing does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pykafka_store.embedded.client_configs import ClientConfig
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.errors import (
    InvalidConfigError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.batch import Batch, decode_records
from pykafka_store.model import INTERNAL_TOPICS, OffsetAt, Records, TopicPartition

BUSY_POLL = 0.001
IDLE_POLL = 0.020
"""Seconds between looks at the published states: the first right after records came, the second when none have for a
while.
"""

POLL_BYTES = 1 << 20
"""About how much one poll unfolds, so that memory does not depend on how well records compress."""


class Logs(Protocol):
    """What the consumer asks of its cluster."""

    def partitions_of(self, topic: str, *, create: bool) -> tuple[int, ...]:
        """Partition numbers of a topic, made with the server's defaults if ``create``. Raises
        UnknownTopicOrPartitionError.
        """

    def topic_names(self) -> list[str]: ...

    def reader(self, partition: TopicPartition) -> LogReader: ...

    def version(self) -> tuple[int, int]:
        """The catalogue's; see Catalog.version."""


class _Subscription(NamedTuple):
    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None


class _Position:
    """Where one partition is being read."""

    __slots__ = ("offset", "reader", "waiting")

    def __init__(self, reader: LogReader, offset: int) -> None:
        self.reader = reader
        self.offset = offset
        self.waiting: deque[Batch] = deque()
        """Batches read and not yet unfolded."""


class EmbeddedConsumer:
    """See :class:`pykafka_store.api.Consumer`."""

    def __init__(self, logs: Logs, clock: Clock, config: Mapping[str, str] | None) -> None:
        self._logs = logs
        self._clock = clock
        settings = ClientConfig("consumer", config)
        if settings.is_given("group.id"):
            raise InvalidConfigError("group.id can't be honoured: a data directory has no consumer groups yet")
        if settings.is_given("interceptor.classes"):
            raise InvalidConfigError("interceptor.classes can't be honoured: there is no Java here to load them")
        self._reset = settings.choice("auto.offset.reset", "latest", ("latest", "earliest", "none"))
        settings.choice("isolation.level", "read_uncommitted", ("read_uncommitted", "read_committed"))
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._exclude_internal = settings.flag("exclude.internal.topics", default=True)
        self._fetch_size = settings.number("max.partition.fetch.bytes", POLL_BYTES, low=0) or 1
        self._max_poll_records = settings.number("max.poll.records", 1 << 31, low=1)
        self._subscription: _Subscription | None = None
        self._positions: dict[TopicPartition, _Position] = {}
        self._seen_version = (-1, -1)
        self._turn = 0
        self._pause = BUSY_POLL

    # ------------------------------------------------------------------------------------------------ what is read

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
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
        self._drop(tuple(self._positions))
        self._subscription = _Subscription(tuple(topics or ()), pattern)
        self._seen_version = self._logs.version()
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
        self._positions[partition] = _Position(reader, _resolved(reader, start))

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition).reader.close()

    def assignment(self) -> tuple[TopicPartition, ...]:
        return tuple(sorted(self._positions))

    def position(self, partition: TopicPartition) -> int:
        return self._at(partition).offset

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None:
        position = self._at(partition)
        position.offset = _resolved(position.reader, offset)
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
        """(log start offset, high watermark) of a partition, read by this consumer or not."""
        position = self._positions.get(partition)
        reader = position.reader if position else self._logs.reader(partition)
        try:
            state = reader.state()
        finally:
            if position is None:
                reader.close()
        return state.log_start_offset, state.high_watermark

    # --------------------------------------------------------------------------------------------------------- poll

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """See :meth:`pykafka_store.api.Consumer.poll`."""
        deadline = self._clock.monotonic() + timeout
        limit = min(self._max_poll_records, max_records if max_records is not None else self._max_poll_records)
        while True:
            found = self._collect(limit)
            if found:
                self._pause = BUSY_POLL
                return found
            version = self._logs.version()
            if self._subscription is not None and version != self._seen_version:
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
            while wanted > 0 and limit > 0:
                if not position.waiting and not self._fetch(partition, position):
                    break
                batch = position.waiting.popleft()
                header = batch.header
                if not header.is_control and header.record_count:
                    records = _since(decode_records(batch, partition.topic, partition.partition), position.offset)
                    if len(records) > limit:
                        records = records.slice(0, limit)
                        position.waiting.appendleft(batch)
                    if len(records):
                        found.append(records)
                        limit -= len(records)
                        wanted -= len(batch.data) if not header.codec else sum(map(len, filter(None, records.values)))
                    if position.waiting and position.waiting[0] is batch:
                        position.offset = records.offsets[-1] + 1
                        break
                position.offset = header.last_offset + 1
        return found

    def _fetch(self, partition: TopicPartition, position: _Position) -> bool:
        """Read the next batches of a partition, applying ``auto.offset.reset`` where its position is gone."""
        try:
            position.waiting.extend(position.reader.read(position.offset, self._fetch_size))
        except OffsetOutOfRangeError:
            if self._reset == "none":
                raise
            state = position.reader.state()
            position.offset = state.log_start_offset if self._reset == "earliest" else state.high_watermark
            return self._fetch(partition, position)
        except UnknownTopicOrPartitionError:
            if self._subscription is None or self._subscription.pattern is None:
                raise
            position.waiting.clear()  # a topic that came by pattern goes by it: the catalogue has moved
        return bool(position.waiting)

    def close(self) -> None:
        self._drop(tuple(self._positions))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _resolved(reader: LogReader, at: int | OffsetAt) -> int:
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
