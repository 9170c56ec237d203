"""The producer to a Kafka cluster: columns of records -> librdkafka's queue -> brokers.

Records wait in librdkafka's queue for at most ``linger.ms``, or until ``flush``. The queue is bounded by
``buffer.memory``: where it is full, ``send`` waits for brokers to take some. librdkafka reports acknowledged records
only where the caller wants to know of deliveries, for the reports cost more than the sending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import length_hint
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from pykafka_store import notices
from pykafka_store.columns import sendable_columns
from pykafka_store.errors import (
    InvalidRequestError,
    InvalidTimestampError,
    RecordTooLargeError,
    StoreError,
    TimeoutError,
    UnknownTopicOrPartitionError,
    producer_closed,
)
from pykafka_store.format.batch import HEADER_SIZE, record_size_upper_bound
from pykafka_store.model import UNKNOWN_OFFSET, ConfigResource, Delivery, Header, SendFailure
from pykafka_store.partitioners import load_partitioner
from pykafka_store.remote.admin import RemoteAdmin
from pykafka_store.remote.configs import TUNING_PRODUCER
from pykafka_store.remote.link import SLICE, Endpoint, Link, missing_topic
from pykafka_store.remote.messages import cuts
from pykafka_store.settings.client_configs import ClientConfig
from pykafka_store.threads import threads_take_turns

CHOOSE = -1
"""The partition that leaves the choice to librdkafka's partitioner."""

FRESH = 10.0
"""Seconds after which a topic of one partition may have got more."""

NOW = 0
"""The timestamp that librdkafka takes for the present. It can't send the first millisecond of 1970."""

FULL_QUEUE_POLL = 0.003
"""Seconds between attempts while librdkafka's queue is full: what brokers take makes no event to wait for."""

BATCH_SIZE = 1_000_000
"""librdkafka's default of ``batch.size``."""


LAST_CHANCE = 5.0
"""Seconds in which queued records may still be sent when the caller gives up, by Ctrl-C for example."""


@threads_take_turns
class RemoteProducer:
    """See :class:`pykafka_store.api.Producer`."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: Mapping[str, str],
        admin: Callable[[], RemoteAdmin],
        on_delivery: Callable[[Delivery], None] | None,
        on_failure: Callable[[SendFailure], None] | None,
        on_notice: Callable[[str], None] | None,
        own: Mapping[str, str] | None = None,
    ) -> None:
        """``own`` are settings in librdkafka's names that are not the user's to give."""
        self.turns = threading.RLock()
        settings = ClientConfig("producer", config)
        self._admin = admin
        self._on_delivery = on_delivery
        self._on_failure = on_failure
        self._on_notice = on_notice
        self._partitioner = load_partitioner(settings.text("partitioner.class", ""))
        self._max_request_size = settings.number("max.request.size", 1048576, low=0)
        self._max_block = settings.milliseconds("max.block.ms", 60000)
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._asks_for_acks = settings.text("acks", "all") != "0"
        more = {**TUNING_PRODUCER, "on_delivery": self._report, **(own or {})}
        if on_delivery is not None:
            more["delivery.report.only.error"] = False
        self._link: Link[Client] = Link(endpoint, "producer", config, Client, more, on_notice)
        self._client = self._link.client
        self._partitions: dict[str, int] = {}
        """The number of partitions of each topic that was sent to."""
        self._learned: dict[str, float] = {}
        """When that number was asked for, in seconds of the monotonic clock."""
        self._batch_size = settings.number("batch.size", BATCH_SIZE, low=0)
        self._limits: dict[str, int | None] = {}
        """The bytes that brokers take at once, by topic sent to; None where they take as many as ``batch.size``."""
        self._sent = 0
        """Records that librdkafka took."""
        self._lost = 0
        """Records of these that librdkafka reported as failed."""
        self._delivered: list[Delivery] = []
        self._failures: list[SendFailure] = []
        self.acknowledged = 0
        self.failed = 0
        self._is_open = True

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
        if not self._is_open:
            raise producer_closed()
        columns = sendable_columns(values, keys, headers, timestamps, partitions)
        values, keys, headers = columns.values, columns.keys, columns.headers
        timestamps, partitions = columns.timestamps, columns.partitions
        if not values:
            return
        count = self._partitions.get(topic)
        if count is None:
            count = self._partitions[topic] = self._known_partitions(topic)
            self._learned[topic] = time.monotonic()
            self._limits[topic] = self._smaller_limit(topic)
        explicit = self._choices(topic, count, values, keys, partitions)
        limit = self._limits[topic]
        if limit is not None:
            for start, stop in cuts(values, keys, headers, limit):
                cut = slice(start, stop)
                self._send_columns(
                    topic,
                    count,
                    values[cut],
                    None if keys is None else keys[cut],
                    None if headers is None else headers[cut],
                    timestamps[cut] if isinstance(timestamps, Sequence) else timestamps,
                    explicit[cut] if isinstance(explicit, list) else explicit,
                )
                self.flush()
            return
        plain = keys is None and headers is None and timestamps is None
        if plain and not isinstance(explicit, list) and self._all_fit(values):
            self._send_values(topic, values, explicit)
        else:
            self._send_columns(topic, count, values, keys, headers, timestamps, explicit)

    def flush(self) -> None:
        """See :meth:`pykafka_store.api.Producer.flush`. Ends when ``delivery.timeout.ms`` has, at the latest."""
        while self._served(self._client.flush, SLICE):
            self._tell()
        self._tell()

    def _served(self, serve: Callable[[float], int], seconds: float) -> int:
        """The answer of librdkafka's ``flush`` or ``poll`` within so many seconds. Both call our callbacks.

        Raises StoreError for what ends the client, such as another producer with its transactional id; records that
        waited are reported as failed then.
        """
        try:
            return serve(seconds)
        except KafkaException as error:
            self._purge()
            with suppress(StoreError):  # the records failed for the cause that is raised below
                self._tell()
            raise self._link.reports.error(error.args[0]) from None

    def _purge(self) -> None:
        """Give up the records that wait, and let librdkafka report them."""
        self._client.purge()
        with suppress(KafkaException):
            self._client.flush(SLICE)

    # ---------------------------------------------------------------------------------------------------- partitions

    def _smaller_limit(self, topic: str) -> int | None:
        """The topic's ``max.message.bytes``, if a batch of librdkafka's may be larger.

        Brokers refuse such a batch with all that is in it. Java's producer then sends it again in pieces, librdkafka
        does not; and its ``batch.size`` is one for all topics. So records for such a topic are flushed that often.
        """
        try:
            settings = self._admin().describe_configs(ConfigResource("topic", topic))
        except StoreError:
            return None  # whoever may write need not be allowed to ask
        limit = next((int(each.value) for each in settings if each.name == "max.message.bytes" and each.value), None)
        return None if limit is None or limit - HEADER_SIZE >= self._batch_size else limit

    def _known_partitions(self, topic: str) -> int:
        """The number of partitions of a topic, made by the brokers if that is allowed."""
        self._link.contact(self._max_block)
        if not self._auto_create:
            return len(self._admin().describe_topics([topic])[0].partitions)
        try:
            count, created = self._link.created_topic_partitions(topic, self._max_block)
        except UnknownTopicOrPartitionError:
            raise missing_topic(topic) from None
        if created and self._on_notice is not None:
            self._on_notice(notices.topic_made(topic, count))
        return count

    def _choices(
        self,
        topic: str,
        count: int,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        partitions: Sequence[int | None] | int | None,
    ) -> list[int] | int:
        """The partition of each record, or of all; CHOOSE for librdkafka's own partitioner, which is Java's."""
        if isinstance(partitions, int):
            self._require_partition(topic, partitions)
            return partitions
        if self._partitioner is None:
            # Where there is only one, there is nothing to choose, and librdkafka's choosing costs a tenth of the time.
            choose = 0 if count == 1 and time.monotonic() < self._learned[topic] + FRESH else CHOOSE
            return choose if partitions is None else [choose if given is None else given for given in partitions]
        chosen = []
        for index, value in enumerate(values):
            given = None if partitions is None else partitions[index]
            if given is None:
                given = self._partitioner(topic, None if keys is None else keys[index], value, count)
                self._require_partition(topic, given)
            chosen.append(given)
        return chosen

    def _require_partition(self, topic: str, partition: int) -> None:
        count = self._partitions[topic]
        if partition >= count:  # the topic may have got more partitions
            count = self._partitions[topic] = self._link.topic_partitions(topic)
        if not 0 <= partition < count:
            raise InvalidRequestError(
                f"Invalid partition given with record: {partition} is not in the range [0...{count}) of topic {topic}"
            )

    # ------------------------------------------------------------------------------------------------------- sending

    def _all_fit(self, values: Sequence[bytes | None]) -> bool:
        """Whether no record of these values alone is too large: the longest bounds them all."""
        longest = max(map(len, filter(None, values)), default=0)
        return record_size_upper_bound(None, b"", ()) + longest <= self._max_request_size

    def _send_values(self, topic: str, values: Sequence[bytes | None], partition: int) -> None:
        """Send values alone, the usual case, with as little Python a record as there can be."""
        produce = self._client.produce
        left = iter(values)
        try:
            for value in left:
                try:
                    produce(topic, value, None, partition)
                except BufferError:
                    if not self._produce_later(topic, value, None, partition, NOW, None):
                        self._sent -= 1
                except KafkaException as error:
                    self._refuse(topic, partition, None, value, self._link.reports.error(error.args[0]))
                    self._sent -= 1
        except BaseException:  # the last record was not taken; after Ctrl-C that is only likely
            self._sent -= 1
            raise
        finally:
            self._sent += len(values) - length_hint(left)
        self._served(self._client.poll, 0)
        self._tell()

    def _send_columns(
        self,
        topic: str,
        count: int,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        headers: Sequence[Sequence[Header]] | None,
        timestamps: Sequence[int] | int | None,
        partitions: list[int] | int,
    ) -> None:
        produce = self._client.produce
        every: list[Any] = [None] * len(values)
        for value, key, fields, stamp, partition in zip(
            values,
            every if keys is None else keys,
            every if headers is None else headers,
            timestamps if isinstance(timestamps, Sequence) else [timestamps] * len(values),
            partitions if isinstance(partitions, list) else [partitions] * len(values),
            strict=True,
        ):
            refusal = self._refusal(topic, count, value, key, fields, stamp, partition)
            if refusal is not None:
                self._refuse(topic, partition, key, value, refusal)
                continue
            when = NOW if stamp is None else stamp
            listed: list[Any] | None = list(fields) if fields else None
            try:
                produce(topic, value, key, partition, None, None, when, listed)
            except BufferError:
                if not self._produce_later(topic, value, key, partition, when, listed):
                    continue
            except KafkaException as error:
                self._refuse(topic, partition, key, value, self._link.reports.error(error.args[0]))
                continue
            self._sent += 1
        self._served(self._client.poll, 0)
        self._tell()

    def _refusal(
        self,
        topic: str,
        count: int,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[Header] | None,
        timestamp: int | None,
        partition: int,
    ) -> StoreError | None:
        """Why this record can't be sent, or None. Source: KafkaProducer.ensureValidRecordSize, ProducerRecord."""
        length = len(value or b"") + len(key or b"")
        if headers or length + 128 > self._max_request_size:
            size = record_size_upper_bound(key, value, headers or ())
            if size > self._max_request_size:
                return RecordTooLargeError(
                    f"The message is {size} bytes when serialized which is larger than {self._max_request_size}, "
                    "which is the value of the max.request.size configuration."
                )
        if timestamp is not None and timestamp <= NOW:
            if timestamp == NOW:
                return InvalidTimestampError("librdkafka can't send a record with the timestamp 0")
            return InvalidTimestampError(f"Invalid timestamp: {timestamp}. Timestamp should always be non-negative.")
        if partition >= count or partition < CHOOSE:
            try:
                self._require_partition(topic, partition)
            except InvalidRequestError as error:
                return error
        return None

    def _produce_later(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        timestamp: int,
        headers: list[Any] | None,
    ) -> bool:
        """Send the record once brokers have taken others off the queue, within ``max.block.ms``. False if it failed."""
        deadline = time.monotonic() + self._max_block
        while True:
            self._served(self._client.poll, FULL_QUEUE_POLL)
            self._tell()
            try:
                self._client.produce(topic, value, key, partition, None, None, timestamp, headers)
            except BufferError:
                if time.monotonic() < deadline:
                    continue
                why = f"No room for the record in buffer.memory within max.block.ms ({self._max_block:g} s)"
                self._refuse(topic, partition, key, value, TimeoutError(why))
                return False
            except KafkaException as error:
                self._refuse(topic, partition, key, value, self._link.reports.error(error.args[0]))
                return False
            return True

    # ------------------------------------------------------------------------------------------------------- reports

    def _report(self, error: KafkaError | None, message: Message) -> None:
        """librdkafka's report of one record; called from within its ``poll`` and ``flush``."""
        topic, partition = message.topic() or "", message.partition()
        if error is not None:
            self._lost += 1
            self._failures.append(
                SendFailure(
                    topic, partition, 1, _size(message.key()), _size(message.value()), self._link.reports.error(error)
                )
            )
            return
        offset = message.offset()
        assert partition is not None
        if offset is None and not self._asks_for_acks:
            offset = UNKNOWN_OFFSET
        assert offset is not None
        last = self._delivered[-1] if self._delivered else None
        if last is not None and (last.topic, last.partition, last.next_offset) == (topic, partition, offset):
            self._delivered[-1] = last._replace(record_count=last.record_count + 1)
        else:
            self._delivered.append(Delivery(topic, partition, offset, 1))

    def _refuse(self, topic: str, partition: int, key: bytes | None, value: bytes | None, error: StoreError) -> None:
        """A record that was not even queued."""
        self._failures.append(
            SendFailure(topic, None if partition == CHOOSE else partition, 1, _size(key), _size(value), error)
        )
        self._tell()

    def _tell(self) -> None:
        """Hand reports to the caller's callbacks. Raises the first failure where there is none for failures."""
        # Records that are being sent just now are counted when the sending is over.
        self.acknowledged = max(self.acknowledged, self._sent - self._lost - len(self._client))
        delivered, self._delivered = self._delivered, []
        if self._on_delivery is not None:
            for delivery in delivered:
                self._on_delivery(delivery)
        failures, self._failures = self._failures, []
        self.failed += len(failures)
        for failure in failures:
            if self._on_failure is None:
                raise failure.error
            self._on_failure(failure)

    def close(self) -> None:
        if self._is_open:
            self.flush()
            self._end()

    def _end(self) -> None:
        """Give back librdkafka's threads and sockets. It holds our callback and we hold it, so that otherwise Python
        would do so only when it next looks for such circles.
        """
        self._is_open = False
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        # The caller gives up. Queued records have a short time to be sent; the error that is raised is the caller's.
        if not self._is_open:
            return
        with suppress(StoreError):
            self._served(self._client.flush, LAST_CHANCE)
        self._purge()
        with suppress(StoreError):
            self._tell()
        self._end()


def _size(part: str | bytes | None) -> int | None:
    return None if part is None else len(part)
