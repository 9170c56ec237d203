"""The producer over a directory: columns of records -> partitions -> encoded batches -> appends.

Nothing lingers: what ``send`` is given is in the log when it returns. Batches come from how much is sent at once, so
a caller with a lot to say says it in large columns (the console producer hands over a megabyte of lines at a time).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import add
from types import TracebackType
from typing import NamedTuple, Protocol, Self, cast

from pykafka_store.client_configs import ClientConfig, check_idempotence
from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.partition import Appended, Partition
from pykafka_store.errors import (
    InvalidConfigError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidTimestampError,
    LeaderNotAvailableError,
    NotEnoughReplicasError,
    RecordTooLargeError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import (
    HEADER_SIZE,
    MAX_RECORD_OVERHEAD,
    NO_PRODUCER,
    EncodedBatch,
    encode_batch,
    record_size_upper_bound,
)
from pykafka_store.format.copies import copied_producer
from pykafka_store.model import NO_TIMESTAMP, Delivery, Header, SendFailure, TimestampType
from pykafka_store.partitioners import Sticky, load_partitioner, partition_for_key

BATCH_SIZE = 128 * 1024
"""Bytes of a batch where ``batch.size`` is not given. Kafka's 16 KiB is a balance with a network; measured here, 128
KiB takes 0.7 of the time per record of 16 KiB.
"""

OPEN_PARTITIONS = 100
"""Partitions whose files stay open at once: six descriptors each, well under the usual limit of 1024."""

RECORD_OVERHEAD = 12
"""Bytes that a record of a full batch takes besides key, value and headers, a little high."""

INT_MAX = 2**31 - 1
_ACKS = ("all", "-1", "0", "1")
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Topics(Protocol):
    """What the producer asks of its cluster."""

    def topic(self, name: str, *, create: bool) -> Topic:
        """The topic as it is now, made with the server's defaults if ``create``, else UnknownTopicOrPartitionError."""

    def writer(self, topic: Topic, partition: int) -> Partition: ...

    def version(self) -> object:
        """A value that changes whenever a topic or its settings may have."""


class Topic(NamedTuple):
    """What a producer needs to know of a topic."""

    name: str
    id: str
    partitions: int
    config: TopicConfig
    replicas: int = 1
    """The replication factor."""


class Origin(NamedTuple):
    """Where copied records come from; see :mod:`pykafka_store.format.copies`."""

    producer_id: int
    offsets: Sequence[int]
    """At the source."""

    def pick(self, indexes: Sequence[int]) -> Origin:
        return Origin(self.producer_id, [self.offsets[i] for i in indexes])

    def slice(self, start: int, stop: int) -> Origin:
        return Origin(self.producer_id, self.offsets[start:stop])

    def producer(self) -> tuple[int, int, int]:
        """What a batch's header says of it."""
        return copied_producer(self.producer_id, self.offsets[-1], len(self.offsets))


class Columns(NamedTuple):
    """Records bound for one partition, with each one's bytes of key, value and headers."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None
    headers: Sequence[Sequence[Header]] | None
    timestamps: Sequence[int] | int
    lengths: Sequence[int]
    origin: Origin | None = None

    def pick(self, indexes: Sequence[int]) -> Columns:
        return Columns(
            [self.values[i] for i in indexes],
            None if self.keys is None else [self.keys[i] for i in indexes],
            None if self.headers is None else [self.headers[i] for i in indexes],
            self.timestamps if isinstance(self.timestamps, int) else [self.timestamps[i] for i in indexes],
            [self.lengths[i] for i in indexes],
            None if self.origin is None else self.origin.pick(indexes),
        )

    def slice(self, start: int, stop: int) -> Columns:
        if start == 0 and stop == len(self.values):
            return self
        return Columns(
            self.values[start:stop],
            None if self.keys is None else self.keys[start:stop],
            None if self.headers is None else self.headers[start:stop],
            self.timestamps if isinstance(self.timestamps, int) else self.timestamps[start:stop],
            self.lengths[start:stop],
            None if self.origin is None else self.origin.slice(start, stop),
        )


def _lengths(column: Sequence[bytes | None]) -> list[int]:
    """The lengths of a column, 0 for null."""
    try:
        return list(map(len, cast("Sequence[bytes]", column)))
    except TypeError:
        return [0 if item is None else len(item) for item in column]


def _record_lengths(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
) -> list[int]:
    lengths = _lengths(values)
    if keys is not None:
        lengths = list(map(add, lengths, _lengths(keys)))
    if headers is not None:
        for index, fields in enumerate(headers):
            lengths[index] += sum(10 + 4 * len(name) + len(content or b"") for name, content in fields)
    return lengths


class EmbeddedProducer:
    """See :class:`pykafka_store.api.Producer`."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        config: Mapping[str, str] | None,
        on_delivery: Callable[[Delivery], None] | None,
        on_failure: Callable[[SendFailure], None] | None,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._on_delivery = on_delivery
        self._on_failure = on_failure
        self.acknowledged = 0
        self.failed = 0
        settings = ClientConfig("producer", config)
        self._acks_all = settings.choice("acks", "all", _ACKS) in {"all", "-1"}
        check_idempotence(settings)
        self._retries = settings.number("retries", INT_MAX, low=0)
        self._retry_backoff = settings.milliseconds("retry.backoff.ms", 100)
        self._delivery_timeout = settings.milliseconds("delivery.timeout.ms", 120_000)
        if settings.is_given("transactional.id"):
            raise InvalidConfigError("transactional.id can't be honoured: a data directory has no transactions yet")
        if settings.is_given("interceptor.classes"):
            raise InvalidConfigError("interceptor.classes can't be honoured: there is no Java here to load them")
        self._codec = settings.choice("compression.type", "none", _CODECS)
        self._levels = {
            name: settings.number(f"compression.{name}.level", -1 if name == "gzip" else 0)
            for name in ("gzip", "lz4", "zstd")
            if settings.is_given(f"compression.{name}.level")
        }
        self._batch_size = settings.number("batch.size", BATCH_SIZE, low=0)
        self._max_request_size = settings.number("max.request.size", 1048576, low=0)
        self._ignore_keys = settings.flag("partitioner.ignore.keys", default=False)
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._partitioner = load_partitioner(settings.text("partitioner.class", ""))
        self._sticky = Sticky(self._batch_size)
        self._known: dict[str, Topic] = {}
        self._version: object = None
        """The catalogue's when ``_known`` was looked up."""
        self._lost: set[str] = set()
        """Topics that were deleted under us: not to be made again behind their deleter's back."""
        self._open: OrderedDict[tuple[str, int], Partition] = OrderedDict()

    # --------------------------------------------------------------------------------------------------------- send

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Sequence[Header]] | None = None,
        timestamps: Sequence[int] | int | None = None,
        partitions: Sequence[int | None] | int | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Producer.send`."""
        self._send(topic, values, keys, headers, timestamps, partitions)

    def _send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        headers: Sequence[Sequence[Header]] | None,
        timestamps: Sequence[int] | int | None,
        partitions: Sequence[int | None] | int | None,
        origin: Origin | None = None,
    ) -> None:
        if not values:
            return
        for name, column in (
            ("keys", keys), ("headers", headers), ("timestamps", timestamps), ("partitions", partitions),
        ):  # fmt: skip
            if isinstance(column, Sequence) and len(column) != len(values):
                raise ValueError(f"{len(column)} {name} for {len(values)} values")
        found = self._topic(topic)
        stamps = self._clock.now_ms() if timestamps is None else timestamps
        columns = Columns(values, keys, headers, stamps, _record_lengths(values, keys, headers), origin)
        columns, explicit = self._without_refused(found, columns, partitions)
        for partition, some in self._partitioned(found, columns, explicit):
            self._append(found, partition, some)

    def flush(self) -> None:
        """Nothing waits: see the module's docstring."""

    def _topic(self, name: str) -> Topic:
        version = self._topics.version()
        if version != self._version:
            self._look_again()
            self._version = version
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._topics.topic(name, create=self._auto_create and name not in self._lost)
        return found

    def _look_again(self) -> None:
        """Follow what changed in the settings of known topics. One that is gone is noticed when it is written to."""
        for name, known in self._known.items():
            with suppress(UnknownTopicOrPartitionError):
                now = self._topics.topic(name, create=False)
                if now.id == known.id:
                    self._known[name] = now

    def _without_refused(
        self, topic: Topic, columns: Columns, partitions: Sequence[int | None] | int | None
    ) -> tuple[Columns, Sequence[int | None] | int | None]:
        """The records that a broker would take; the others are reported one by one.

        The usual case costs no Python a record: the longest bounds them all.
        """
        config = topic.config
        suspect = max(columns.lengths) + HEADER_SIZE + MAX_RECORD_OVERHEAD + 20 > self._max_request_size
        keyless = "compact" in config.cleanup_policy and (columns.keys is None or None in columns.keys)
        stamped = not isinstance(columns.timestamps, int) or self._time_refusal(config, columns.timestamps) is not None
        if not suspect and not keyless and not stamped and not isinstance(partitions, Sequence):
            if isinstance(partitions, int):
                self._require_partition(topic, partitions)
            return columns, partitions
        refused = set()
        for index, value in enumerate(columns.values):
            key = columns.keys[index] if columns.keys is not None else None
            partition = partitions[index] if isinstance(partitions, Sequence) else partitions
            stamp = columns.timestamps if isinstance(columns.timestamps, int) else columns.timestamps[index]
            error = self._refusal(
                topic, key, value, columns.headers[index] if columns.headers else (), stamp, partition
            )
            if error is not None:
                refused.add(index)
                self._fail(topic.name, partition, columns.pick([index]), error)
        if not refused:
            return columns, partitions
        kept = [index for index in range(len(columns.values)) if index not in refused]
        return columns.pick(kept), [partitions[i] for i in kept] if isinstance(partitions, Sequence) else partitions

    def _refusal(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header],
        timestamp: int,
        partition: int | None,
    ) -> StoreError | None:
        """Why this record can't be taken, or None. Sources: KafkaProducer.ensureValidRecordSize, LogValidator."""
        size = record_size_upper_bound(key, value, headers)
        if size > self._max_request_size:
            return RecordTooLargeError(
                f"The message is {size} bytes when serialized which is larger than {self._max_request_size}, "
                "which is the value of the max.request.size configuration."
            )
        config = topic.config
        if key is None and "compact" in config.cleanup_policy:
            where = f"{topic.name}-{partition if partition is not None else 0}"
            return InvalidRecordError(f"Compacted topic cannot accept message without key in topic partition {where}.")
        if (late := self._time_refusal(config, timestamp)) is not None:
            return late
        if partition is not None:
            try:
                self._require_partition(topic, partition)
            except InvalidRequestError as error:
                return error
        return None

    def _time_refusal(self, config: TopicConfig, timestamp: int) -> StoreError | None:
        """Why a record of this time can't be taken, or None. Under LogAppendTime its time does not count."""
        if config.message_timestamp_type is not TimestampType.CREATE_TIME or timestamp == NO_TIMESTAMP:
            return None
        now = self._clock.now_ms()
        low, high = now - config.message_timestamp_before_max_ms, now + config.message_timestamp_after_max_ms
        if timestamp >= 0 and low <= timestamp <= high:
            return None
        return InvalidTimestampError(
            f"Timestamp {timestamp} of message is out of range. The timestamp should be within [{low}, {high}]"
        )

    def _require_partition(self, topic: Topic, partition: int) -> None:
        if not 0 <= partition < topic.partitions:
            raise InvalidRequestError(
                f"Invalid partition given with record: {partition} is not in the range "
                f"[0...{topic.partitions}) of topic {topic.name}"
            )

    # -------------------------------------------------------------------------------------------------- partitioning

    def _partitioned(
        self, topic: Topic, columns: Columns, explicit: Sequence[int | None] | int | None
    ) -> Iterator[tuple[int, Columns]]:
        """The records by partition, in order within each."""
        count = len(columns.values)
        if not count:
            return
        if isinstance(explicit, int):
            yield explicit, columns
            return
        if explicit is None and self._partitioner is None and (columns.keys is None or self._ignore_keys):
            yield from self._stuck(topic, columns)
            return
        if explicit is None and self._partitioner is None and topic.partitions == 1:
            yield 0, columns
            return
        chosen: dict[int, list[int]] = {}
        for index in range(count):
            given = explicit[index] if explicit is not None else None
            chosen.setdefault(given if given is not None else self._choose(topic, columns, index), []).append(index)
        for partition, indexes in chosen.items():
            yield partition, columns.pick(indexes)

    def _choose(self, topic: Topic, columns: Columns, index: int) -> int:
        key = columns.keys[index] if columns.keys is not None else None
        value = columns.values[index]
        if self._partitioner is not None:
            partition = self._partitioner(topic.name, key, value, topic.partitions)
            self._require_partition(topic, partition)
            return partition
        if key is not None and not self._ignore_keys:
            return partition_for_key(key, topic.partitions)
        return self._sticky.choose(topic.name, topic.partitions, len(value or b"") + len(key or b"") + 12)

    def _stuck(self, topic: Topic, columns: Columns) -> Iterator[tuple[int, Columns]]:
        """Null keys: runs of about a batch each to the sticky partition."""
        if topic.partitions == 1:
            yield 0, columns
            return
        for start, stop, size in _cut(columns.lengths, self._batch_size):
            yield self._sticky.choose(topic.name, topic.partitions, size), columns.slice(start, stop)

    # -------------------------------------------------------------------------------------------------------- append

    def _append(self, topic: Topic, partition: int, columns: Columns) -> None:
        batches: list[tuple[EncodedBatch, Columns]] = []
        for start, stop, _ in _cut(columns.lengths, self._limit(topic)):
            batches += self._encoded(topic, partition, columns.slice(start, stop))
        while batches:
            try:
                result = self._append_or_retry(topic, partition, [batch for batch, _ in batches])
            except StoreError as error:
                if isinstance(error, UnknownTopicOrPartitionError):
                    self._forget(topic)
                for _, some in batches:
                    self._fail(topic.name, partition, some, error)
                return
            count = sum(batch.record_count for batch, _ in batches[: result.batches])
            self.acknowledged += count
            if self._on_delivery is not None:
                self._on_delivery(Delivery(topic.name, partition, result.base_offset, count))
            batches = batches[result.batches :]

    def _append_or_retry(self, topic: Topic, partition: int, batches: Sequence[EncodedBatch]) -> Appended:
        """Append, again and again while too few replicas are there, as Kafka's producer does: nothing was written."""
        deadline = self._clock.monotonic() + self._delivery_timeout
        for attempt in range(self._retries + 1):
            try:
                return self._writer(topic, partition).append(batches, acks_all=self._acks_all)
            except (NotEnoughReplicasError, LeaderNotAvailableError):
                if attempt == self._retries or self._clock.monotonic() + self._retry_backoff > deadline:
                    raise
                self._clock.sleep(self._retry_backoff)
        raise AssertionError

    def _limit(self, topic: Topic) -> int:
        """Bytes of a batch: what was asked for, within what the topic takes and a fraction of its segments."""
        config = topic.config
        fitting = max(16384, config.segment_bytes // 8)
        return max(1, min(self._batch_size, fitting, config.segment_bytes, config.max_message_bytes) - HEADER_SIZE)

    def _encoded(self, topic: Topic, partition: int, columns: Columns) -> Iterator[tuple[EncodedBatch, Columns]]:
        """One batch, or several where one would be over the topic's max.message.bytes, as the Java producer splits."""
        config = topic.config
        name = self._codec if config.compression_type == "producer" else config.compression_type
        level = self._levels.get(name)
        if level is None and config.compression_type != "producer":
            level = {
                "gzip": config.compression_gzip_level,
                "lz4": config.compression_lz4_level,
                "zstd": config.compression_zstd_level,
            }.get(name)
        batch = encode_batch(
            columns.values,
            keys=columns.keys,
            headers=columns.headers,
            timestamps=columns.timestamps,
            lengths=columns.lengths if columns.keys is None and columns.headers is None else None,
            codec=codecs.codec(name),
            level=level,
            producer=NO_PRODUCER if columns.origin is None else columns.origin.producer(),
        )
        if batch.size <= min(config.max_message_bytes, config.segment_bytes):
            yield batch, columns
        elif batch.record_count > 1:
            middle = batch.record_count // 2
            yield from self._encoded(topic, partition, columns.slice(0, middle))
            yield from self._encoded(topic, partition, columns.slice(middle, batch.record_count))
        else:
            reason = "The request included a message larger than the max message size the server will accept."
            self._fail(topic.name, partition, columns, RecordTooLargeError(reason))

    def _fail(self, topic: str, partition: int | None, columns: Columns, error: StoreError) -> None:
        self.failed += len(columns.values)
        if self._on_failure is None:
            raise error
        key = columns.keys[0] if columns.keys else None
        value = columns.values[0]
        self._on_failure(
            SendFailure(
                topic,
                partition,
                len(columns.values),
                None if key is None else len(key),
                None if value is None else len(value),
                error,
            )
        )

    # -------------------------------------------------------------------------------------------------------- writers

    def _writer(self, topic: Topic, partition: int) -> Partition:
        key = (topic.id, partition)
        writer = self._open.get(key)
        if writer is not None:
            self._open.move_to_end(key)
            return writer
        if len(self._open) >= max(1, OPEN_PARTITIONS // topic.replicas):
            self._open.popitem(last=False)[1].close()
        writer = self._open[key] = self._topics.writer(topic, partition)
        return writer

    def _forget(self, topic: Topic) -> None:
        self._known.pop(topic.name, None)
        self._lost.add(topic.name)
        for key in [key for key in self._open if key[0] == topic.id]:
            self._open.pop(key).close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cut(lengths: Sequence[int], limit: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, bytes) of runs of at most ``limit`` bytes each, or of one record.

    Each run is first guessed from the average record, so that nothing is computed for every record but a sum.
    """
    count = len(lengths)
    average = sum(lengths) // count + RECORD_OVERHEAD
    start = 0
    while start < count:
        number = min(max(1, limit // average), count - start)
        while (size := sum(lengths[start : start + number]) + RECORD_OVERHEAD * number) > limit and number > 1:
            number = max(1, min(number - 1, number * limit // size))
        yield start, start + number, size
        start += number
