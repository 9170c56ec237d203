"""The producer over a directory: columns of records -> partitions -> encoded batches -> appends.

Nothing lingers here: what ``send`` is given is in the log when it returns, and batches come from how much is sent at
once. That is ``linger.ms`` 0; with more, records wait for others first (lingering.py).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from pykafka_store.columns import Columns, has_null
from pykafka_store.embedded.clients.batching import Batched, Batching, is_too_large
from pykafka_store.embedded.clients.outgoing import (
    Origin,
    OutgoingRecords,
    cut_runs,
    longest,
    made_sendable,
    record_lengths,
)
from pykafka_store.embedded.clients.topics import Topic, require_topic
from pykafka_store.embedded.disk import descriptors
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.replication.writer import Appended, PartitionWriter, open_writer
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
    producer_closed,
)
from pykafka_store.format.batch import (
    HEADER_SIZE,
    MAX_RECORD_OVERHEAD,
    EncodedBatch,
    record_size_upper_bound,
)
from pykafka_store.model import NO_TIMESTAMP, TimestampType, TopicPartition
from pykafka_store.partitioners import Sticky, load_partitioner, partition_for_key
from pykafka_store.settings.client_configs import ClientConfig, check_idempotence
from pykafka_store.settings.configs import TopicConfig
from pykafka_store.threads import threads_take_turns

if TYPE_CHECKING:
    from pykafka_store.model import Delivery, Header, SendFailure

BATCH_SIZE = 128 * 1024
"""Bytes of a batch where ``batch.size`` is not given. Kafka's 16 KiB is a balance with a network; measured here, 128
KiB takes 0.7 of the time per record of 16 KiB.
"""

LINGER_MS = 5
"""Kafka's default of ``linger.ms`` (KIP-1030)."""

OPEN_PARTITIONS = 100
"""Partitions whose files stay open at once: six descriptors each, well under the usual limit of 1024."""

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
_ACKS = ("all", "-1", "0", "1")


@threads_take_turns
class EmbeddedProducer:
    """See :class:`pykafka_store.api.Producer`."""

    def __init__(
        self,
        engine: Engine,
        config: Mapping[str, str] | None = None,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        engine.require_writable()
        self.turns = threading.RLock()
        self._engine = engine
        self._clock = engine.clock
        self._on_notice = on_notice
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
        self._batch_size = settings.number("batch.size", BATCH_SIZE, low=0)
        self._batching = Batching(settings, self._batch_size)
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
        self._open: OrderedDict[tuple[str, int], PartitionWriter] = OrderedDict()
        self._closed = False

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
        self._require_open()
        columns, blocks = made_sendable(values, keys, headers, timestamps, partitions)
        if columns.values:
            self._send(topic, columns, blocks)

    def _send(
        self,
        topic: str,
        columns: Columns,
        blocks: Sequence[bytes] | None,
        origin: Origin | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """``blocks`` of the headers, and ``lengths`` of the records, if the caller knows them."""
        found = self._topic(topic)
        stamps = self._clock.now_ms() if columns.timestamps is None else columns.timestamps
        lengths = lengths or record_lengths(columns.values, columns.keys, blocks)
        records = OutgoingRecords(columns.values, columns.keys, columns.headers, stamps, lengths, origin, blocks)
        records, explicit = self._without_refused(found, records, columns.partitions)
        self._deliver(found, records, explicit)

    def _require_open(self) -> None:
        """Source of the text: KafkaProducer.throwIfProducerClosed."""
        if self._closed:
            raise producer_closed()

    def flush(self) -> None:
        """Nothing waits: see the module's docstring."""

    def _topic(self, name: str) -> Topic:
        version = self._engine.catalog.version()
        if version != self._version:
            self._look_again()
            self._version = version
        found = self._known.get(name)
        if found is None:
            create = self._auto_create and name not in self._lost
            found = require_topic(self._engine, name, create=create, on_notice=self._on_notice)
            self._known[name] = found
        return found

    def _look_again(self) -> None:
        """Follow what changed in the settings of known topics. One that is gone is noticed when it is written to."""
        for name, known in self._known.items():
            with suppress(UnknownTopicOrPartitionError):
                now = require_topic(self._engine, name, create=False, on_notice=None)
                if now.id == known.id:
                    self._known[name] = now

    def _without_refused(
        self, topic: Topic, records: OutgoingRecords, partitions: Sequence[int | None] | int | None
    ) -> tuple[OutgoingRecords, Sequence[int | None] | int | None]:
        """The records that a broker would take; the others are reported one by one."""
        if self._are_taken(topic.config, records):
            if isinstance(partitions, int):
                self._require_partition(topic, partitions)
            if not isinstance(partitions, Sequence) or {None, *range(topic.partitions)}.issuperset(partitions):
                return records, partitions
        refused = set()
        records = records.listed()
        for index, value in enumerate(records.values):
            key = records.keys[index] if records.keys is not None else None
            partition = partitions[index] if isinstance(partitions, Sequence) else partitions
            stamp = records.timestamps if isinstance(records.timestamps, int) else records.timestamps[index]
            error = self._refusal(
                topic, key, value, records.headers[index] if records.headers else (), stamp, partition
            )
            if error is not None:
                refused.add(index)
                self._fail(topic.name, partition, records.pick([index]), error)
        if not refused:
            return records, partitions
        kept = [index for index in range(len(records.values)) if index not in refused]
        return records.pick(kept), [partitions[i] for i in kept] if isinstance(partitions, Sequence) else partitions

    def _are_taken(self, config: TopicConfig, records: OutgoingRecords) -> bool:
        """Whether a broker would surely take all of these records: in the usual case it would, and that costs no Python
        a record, as the longest bounds them all.
        """
        if longest(records.lengths) + HEADER_SIZE + MAX_RECORD_OVERHEAD + 20 > self._max_request_size:
            return False
        if "compact" in config.cleanup_policy and (records.keys is None or has_null(records.keys)):
            return False
        stamps = [records.timestamps] if isinstance(records.timestamps, int) else records.timestamps
        ends = min(stamps), max(stamps)
        return NO_TIMESTAMP not in ends and not any(self._time_refusal(config, stamp) for stamp in ends)

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
            return InvalidRecordError(f"Compacted topic cannot accept message without key in topic partition {where}")
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
        if not -LONG_MAX <= timestamp <= LONG_MAX:
            return InvalidTimestampError(f"Timestamp {timestamp} of message is no number of 64 bits")
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

    def _deliver(self, topic: Topic, records: OutgoingRecords, explicit: Sequence[int | None] | int | None) -> None:
        """Append the records to the partitions that are theirs, one partition after another."""
        if explicit is None and self._partitioner is None and records.keys is not None and not self._ignore_keys:
            dealt = self._batching.by_key(topic.config, records, topic.partitions)
            if dealt is not None:
                for partition, batches in dealt:
                    self._append(topic, partition, batches)
                return
        for partition, some in self._partitioned(topic, records, explicit):
            dealt = self._batching.by_key(topic.config, some, 1)
            self._append(topic, partition, self._encoded(topic, partition, some) if dealt is None else dealt[0][1])

    def _partitioned(
        self, topic: Topic, records: OutgoingRecords, explicit: Sequence[int | None] | int | None
    ) -> Iterator[tuple[int, OutgoingRecords]]:
        """The records by partition, in order within each."""
        count = len(records.values)
        if not count:
            return
        if isinstance(explicit, int):
            yield explicit, records
            return
        if explicit is None and self._partitioner is None and (records.keys is None or self._ignore_keys):
            yield from self._stuck(topic, records)
            return
        if explicit is None and self._partitioner is None and topic.partitions == 1:
            yield 0, records
            return
        yield from records.split(self._chosen(topic, records, explicit))

    def _chosen(self, topic: Topic, records: OutgoingRecords, explicit: Sequence[int | None] | None) -> Sequence[int]:
        """The partition of each record."""
        keys = records.keys
        if explicit is not None and None not in explicit:
            return cast("Sequence[int]", explicit)
        if explicit is None and self._partitioner is None and keys is not None and not has_null(keys):
            return records.partitions_of_keys(topic.partitions)
        chosen, records = [], records.listed()
        for index in range(len(records.values)):
            given = explicit[index] if explicit is not None else None
            chosen.append(given if given is not None else self._choose(topic, records, index))
        return chosen

    def _choose(self, topic: Topic, records: OutgoingRecords, index: int) -> int:
        key = records.keys[index] if records.keys is not None else None
        value = records.values[index]
        if self._partitioner is not None:
            partition = self._partitioner(topic.name, key, value, topic.partitions)
            self._require_partition(topic, partition)
            return partition
        if key is not None and not self._ignore_keys:
            return partition_for_key(key, topic.partitions)
        return self._sticky.choose(topic.name, topic.partitions, len(value or b"") + len(key or b"") + 12)

    def _stuck(self, topic: Topic, records: OutgoingRecords) -> Iterator[tuple[int, OutgoingRecords]]:
        """Null keys: runs of about a batch each to the sticky partition."""
        if topic.partitions == 1:
            yield 0, records
            return
        for start, stop, size in cut_runs(records.lengths, self._batch_size):
            yield self._sticky.choose(topic.name, topic.partitions, size), records.slice(start, stop)

    # -------------------------------------------------------------------------------------------------------- append

    def _encoded(self, topic: Topic, partition: int, records: OutgoingRecords) -> list[Batched]:
        """The records' batches, but for a record that is too large for the topic: it is reported."""
        batches = []
        for batch, some in self._batching.batches(topic.config, records):
            if is_too_large(batch, topic.config):
                reason = "The request included a message larger than the max message size the server will accept."
                self._fail(topic.name, partition, some, RecordTooLargeError(reason))
            else:
                batches.append((batch, some))
        return batches

    def _append(self, topic: Topic, partition: int, batches: list[Batched]) -> None:
        while batches:
            try:
                result = self._append_or_retry(topic, partition, [batch for batch, _ in batches])
            except StoreError as error:
                if isinstance(error, UnknownTopicOrPartitionError):
                    self._forget(topic)
                for batch, some in batches:
                    self._fail(topic.name, partition, some, error, batch.record_count)
                return
            count = sum(batch.record_count for batch, _ in batches[: result.batches])
            self.acknowledged += count
            if self._on_delivery is not None:
                from pykafka_store.model import Delivery

                self._tell(Delivery(topic.name, partition, result.base_offset, count))
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

    def _fail(
        self,
        topic: str,
        partition: int | None,
        records: OutgoingRecords,
        error: StoreError,
        count: int | None = None,
    ) -> None:
        """Tell of records that can't be appended; with ``count`` of so many, of which the first is at hand."""
        from pykafka_store.model import SendFailure

        count = count or len(records.values)
        self.failed += count
        key, value = records.keys[0] if records.keys else None, records.values[0]
        self._tell(
            SendFailure(
                topic,
                partition,
                count,
                None if key is None else len(key),
                None if value is None else len(value),
                error,
            )
        )

    def _tell(self, outcome: Delivery | SendFailure) -> None:
        """Tell the caller what became of records. Raises the error where nobody wants to hear of failures."""
        from pykafka_store.model import Delivery

        if isinstance(outcome, Delivery):
            if self._on_delivery is not None:
                self._on_delivery(outcome)
        elif self._on_failure is None:
            raise outcome.error
        else:
            self._on_failure(outcome)

    # -------------------------------------------------------------------------------------------------------- writers

    def _writer(self, topic: Topic, partition: int) -> PartitionWriter:
        key = (topic.id, partition)
        writer = self._open.get(key)
        if writer is not None:
            self._open.move_to_end(key)
            return writer
        if len(self._open) >= max(1, min(OPEN_PARTITIONS, descriptors() // 16) // topic.replicas):
            self._open.popitem(last=False)[1].close()
        name = TopicPartition(topic.name, partition)
        writer = self._open[key] = open_writer(self._engine, topic.id, name, self._on_notice)
        return writer

    def _forget(self, topic: Topic) -> None:
        self._known.pop(topic.name, None)
        self._lost.add(topic.name)
        for key in [key for key in self._open if key[0] == topic.id]:
            self._open.pop(key).close()

    def close(self) -> None:
        self._closed = True
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
