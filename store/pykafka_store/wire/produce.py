"""Produce and InitProducerId: batches go into the log as they are, after Kafka's checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pykafka_store.embedded.serving.partitions import ServedPartition
from pykafka_store.errors import (
    InvalidRecordError,
    InvalidRequestError,
    InvalidTimestampError,
    InvalidTopicError,
    RecordTooLargeError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import HEADER_SIZE, LOG_OVERHEAD, decode_records
from pykafka_store.format.raw_batch import RawBatch, parse_raw_batch
from pykafka_store.model import INTERNAL_TOPICS, NO_TIMESTAMP, TimestampType
from pykafka_store.settings.configs import TopicConfig
from pykafka_store.wire.broker import Broker, code_of, named
from pykafka_store.wire.protocol import Reply, Request
from pykafka_store.wire.sequences import Sequences

_ANY_TIME = (1 << 63) - 1
"""message.timestamp.before.max.ms where nothing is too old."""


class InvalidRequiredAcksError(StoreError):
    code: ClassVar[int] = 21
    kafka_name: ClassVar[str] = "InvalidRequiredAcksException"


class RecordBatchTooLargeError(StoreError):
    code: ClassVar[int] = 18
    kafka_name: ClassVar[str] = "RecordBatchTooLargeException"


TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
_MAGIC = 16
"""Where in a batch its format stands, in all formats that there were."""


def _blame(records: Mapping[int, str]) -> str:
    """Source: LogValidator.processRecordErrors."""
    some = ", ".join(list(records.values())[:3])
    return (
        f"One or more records have been rejected due to {len(records)} record errors in total, and only showing the "
        f"first three errors at most: [{some}]"
    )


class InvalidRecordsError(InvalidRecordError):
    """Records of a batch, by their numbers in it, and what is wrong with each (KIP-467)."""

    def __init__(self, records: Mapping[int, str]) -> None:
        super().__init__(_blame(records))
        self.records = records


class InvalidTimestampsError(InvalidTimestampError):
    """See ``InvalidRecordsError``."""

    def __init__(self, records: Mapping[int, str]) -> None:
        super().__init__(_blame(records))
        self.records = records


class ProduceApi:
    """Answers Produce and InitProducerId."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sequences = Sequences(broker)
        self._told_of_transactions = False

    def init_producer_id(self, request: Request) -> Reply:
        """An id for an idempotent producer. No transaction begins here, and a producer that wants one is told so by an
        error that every client gives up at: librdkafka would go on asking at others.
        """
        body = request.body
        is_new = (getattr(body, "producer_id", -1), getattr(body, "producer_epoch", -1)) == (-1, -1)
        is_known = getattr(body, "producer_id", -1) >= 0 and getattr(body, "producer_epoch", -1) >= 0
        if body.transactional_id == "" or not (is_new or is_known):
            return Reply(error_code=InvalidRequestError.code, producer_id=-1, producer_epoch=-1)
        if body.transactional_id is not None:
            if not self._told_of_transactions:
                self._told_of_transactions = True
                self._broker.on_notice(
                    f"a producer with transactional.id {body.transactional_id} is refused: a data directory "
                    "has no transactions (enable.idempotence works without)"
                )
            return Reply(error_code=TRANSACTIONAL_ID_AUTHORIZATION_FAILED, producer_id=-1, producer_epoch=-1)
        try:
            return Reply(producer_id=self._broker.new_producer_id(), producer_epoch=0)
        except StoreError as error:
            self._broker.on_notice(f"no producer id can be given: {error}")
            return Reply(error_code=code_of(error), producer_id=-1, producer_epoch=-1)

    def produce(self, request: Request) -> Reply | None:
        """None, no answer at all, for acks=0."""
        acks = request.body.acks
        responses = [
            Reply(
                name=named(topic)[0],
                topic_id=named(topic)[1],
                partition_responses=[self._one(topic, each, acks, request) for each in topic.partition_data],
            )
            for topic in request.body.topic_data
        ]
        return Reply(responses=responses) if acks != 0 else None

    def _one(self, named_topic: Any, data: Any, acks: int, request: Request) -> Reply:
        partition = None
        try:
            if acks not in {-1, 0, 1}:
                raise InvalidRequiredAcksError(f"acks must be -1, 0 or 1, not {acks}")
            if request.body.transactional_id is not None:
                raise UnsupportedVersionError("a data directory has no transactions yet")
            topic = self._broker.topic(*named(named_topic))
            if topic.name in INTERNAL_TOPICS:
                raise InvalidTopicError(f"Cannot append to internal topic {topic.name}.")
            partition = self._broker.partition(topic, data.index)
            return self._append(partition, data, acks_all=acks == -1)
        except StoreError as error:
            if isinstance(error, UnknownTopicOrPartitionError) and partition is not None:
                self._broker.partitions.forget(partition.topic_id)
            return Reply(
                index=data.index,
                error_code=code_of(error),
                base_offset=-1,
                log_append_time=-1,
                log_start_offset=-1,
                record_errors=[
                    Reply(batch_index=index, batch_index_error_message=message)
                    for index, message in sorted(getattr(error, "records", {}).items())
                ],
                error_message=str(error),
            )

    def _append(self, partition: ServedPartition, data: Any, *, acks_all: bool) -> Reply:
        batch = _the_batch(data.records or b"")
        if batch.header.is_transactional:
            raise UnsupportedVersionError("a data directory has no transactions yet")
        header = batch.header
        done = self._sequences.duplicate(partition, header)
        if done is None:
            config = partition.config
            batch = _recompressed(batch, config)
            _check_size(batch, config)
            _check_records(batch, partition, config, self._broker.clock.now_ms())
            try:
                appended = partition.append([batch], acks_all=acks_all)
            except BaseException:
                self._sequences.forget(partition)
                raise
            done, log_start = (appended.base_offset, batch.append_time), appended.log_start_offset
            self._sequences.appended(partition, header, *done)
            self._broker.wake(partition.key)
        else:
            log_start = partition.reader.state().log_start_offset
        return Reply(
            index=data.index,
            base_offset=done[0],
            log_append_time=done[1],
            log_start_offset=log_start,
            record_errors=[],
        )


def _the_batch(data: bytes) -> RawBatch:
    """The one batch of a partition. What is none is refused for good, and only one that was damaged may be sent once
    more: so a broker tells them apart. Raises as ``parse_raw_batch``. Source: ProduceRequest.validateRecords.
    """
    if len(data) < HEADER_SIZE or len(data) < LOG_OVERHEAD + int.from_bytes(data[8:12], "big", signed=True):
        raise InvalidRecordError("Produce requests must contain exactly one record batch for each partition")
    if data[_MAGIC] < 2:
        raise InvalidRecordError("Produce requests are only allowed to contain record batches with magic version 2")
    return parse_raw_batch(data)


def _recompressed(batch: RawBatch, config: TopicConfig) -> RawBatch:
    """The batch as ``compression.type`` wants it."""
    if config.compression_type == "producer":
        return batch
    wanted = codecs.codec(config.compression_type)
    if batch.header.codec == wanted:
        return batch
    levels = {
        codecs.GZIP: config.compression_gzip_level,
        codecs.LZ4: config.compression_lz4_level,
        codecs.ZSTD: config.compression_zstd_level,
    }
    return batch.recompressed(wanted, levels.get(wanted))


def _check_size(batch: RawBatch, config: TopicConfig) -> None:
    """Raises RecordTooLargeError, RecordBatchTooLargeError. Source: UnifiedLog.append."""
    if batch.size > config.max_message_bytes:
        raise RecordTooLargeError(
            f"The record batch size in the append is {batch.size} bytes which exceeds the maximum configured size of "
            f"{config.max_message_bytes} (max.message.bytes)"
        )
    if batch.size > config.segment_bytes:
        raise RecordBatchTooLargeError(
            f"Message batch size is {batch.size} bytes in append, which exceeds the maximum configured segment size of "
            f"{config.segment_bytes}."
        )


def _check_records(batch: RawBatch, partition: ServedPartition, config: TopicConfig, now_ms: int) -> None:
    """Raises InvalidRecordError, InvalidTimestampError, CorruptRecordError. Source: LogValidator.

    Records are only looked at where the topic asks for something that the batch's header does not say.
    """
    header = batch.header
    by_create_time = config.message_timestamp_type is TimestampType.CREATE_TIME
    if by_create_time and header.max_timestamp != NO_TIMESTAMP:
        limit = now_ms + config.message_timestamp_after_max_ms
        if header.max_timestamp > limit:
            stamps = decode_records(batch.batch, *partition.name).timestamps
            raise InvalidTimestampsError(
                {
                    index: f"Timestamp {stamp} of message with offset {index} is out of range. The timestamp should be "
                    f"at most {limit}"
                    for index, stamp in enumerate(stamps)
                    if stamp > limit
                }
            )
    if by_create_time and header.attributes & 0x08:
        raise InvalidTimestampError(
            "Invalid timestamp type in message: producers must not set timestamp type to LogAppendTime"
        )
    has_oldest = by_create_time and config.message_timestamp_before_max_ms < _ANY_TIME
    if not has_oldest and "compact" not in config.cleanup_policy:
        return
    records = decode_records(batch.batch, *partition.name)
    if "compact" in config.cleanup_policy and None in records.keys:
        told = f"Compacted topic cannot accept message without key in topic partition {partition.name}."
        raise InvalidRecordsError({index: told for index, key in enumerate(records.keys) if key is None})
    oldest = now_ms - config.message_timestamp_before_max_ms
    if has_oldest and any(NO_TIMESTAMP < stamp < oldest for stamp in records.timestamps):
        raise InvalidTimestampsError(
            {
                index: f"Timestamp {stamp} of message with offset {index} is out of range. The timestamp should be at "
                f"least {oldest}"
                for index, stamp in enumerate(records.timestamps)
                if NO_TIMESTAMP < stamp < oldest
            }
        )
