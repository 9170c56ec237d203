"""What reading, writing and topics meet: the errors that every command has at hand."""

from __future__ import annotations

from typing import ClassVar


class StoreError(Exception):
    """The root: an operation was refused or failed, and said why."""

    code: ClassVar[int] = -1
    retriable: ClassVar[bool] = False
    kafka_name: ClassVar[str] = "UnknownServerException"


class OffsetOutOfRangeError(StoreError):
    code, kafka_name = 1, "OffsetOutOfRangeException"


class CorruptRecordError(StoreError):
    """Damage inside a log: bytes that were acknowledged once and no longer check. Names partition, offset and file."""

    code, kafka_name = 2, "CorruptRecordException"


class UnknownTopicOrPartitionError(StoreError):
    code, retriable, kafka_name = 3, True, "UnknownTopicOrPartitionException"


def not_hosted() -> UnknownTopicOrPartitionError:
    """What a broker answers for a partition that it does not know. Source: Errors.UNKNOWN_TOPIC_OR_PARTITION."""
    return UnknownTopicOrPartitionError("This server does not host this topic-partition.")


class LeaderNotAvailableError(StoreError):
    """No replica of the partition can lead: none that is in sync has a log directory that can be used."""

    code, retriable, kafka_name = 5, True, "LeaderNotAvailableException"


class TimeoutError(StoreError):
    code, retriable, kafka_name = 7, True, "TimeoutException"


class RecordTooLargeError(StoreError):
    code, kafka_name = 10, "RecordTooLargeException"


class InvalidTopicError(StoreError):
    code, kafka_name = 17, "InvalidTopicException"


class NotEnoughReplicasError(StoreError):
    code, retriable, kafka_name = 19, True, "NotEnoughReplicasException"


class NotEnoughReplicasAfterAppendError(StoreError):
    code, retriable, kafka_name = 20, True, "NotEnoughReplicasAfterAppendException"


class IllegalGenerationError(StoreError):
    """A commit from an ownership that has been superseded: the partition was taken over. Nothing was written."""

    code, kafka_name = 22, "IllegalGenerationException"


class InvalidGroupIdError(StoreError):
    code, kafka_name = 24, "InvalidGroupIdException"


class UnknownMemberIdError(StoreError):
    """This member was expired by the others while it was frozen, or never belonged to the group."""

    code, kafka_name = 25, "UnknownMemberIdException"


class InvalidTimestampError(StoreError):
    code, kafka_name = 32, "InvalidTimestampException"


class UnsupportedVersionError(StoreError):
    """Bytes of another version than this code knows: an old message format, or a newer data directory."""

    code, kafka_name = 35, "UnsupportedVersionException"


class TopicExistsError(StoreError):
    code, kafka_name = 36, "TopicExistsException"


class InvalidPartitionsError(StoreError):
    code, kafka_name = 37, "InvalidPartitionsException"


class InvalidReplicaAssignmentError(StoreError):
    code, kafka_name = 39, "InvalidReplicaAssignmentException"


class InvalidConfigError(StoreError):
    """A setting that does not exist, does not parse, or is out of its range."""

    code, kafka_name = 40, "InvalidConfigurationException"


class InvalidRequestError(StoreError):
    code, kafka_name = 42, "InvalidRequestException"


class StorageError(StoreError):
    """The disk or the data directory failed: full, read-only, gone, or not one of ours."""

    code, retriable, kafka_name = 56, True, "KafkaStorageException"


class NoSpaceError(StorageError):
    """The disk is full, or a quota is used up. What was there stays as it was, and can be read."""


class UnsupportedCompressionError(StoreError):
    code, kafka_name = 76, "UnsupportedCompressionTypeException"


class EligibleLeadersNotAvailableError(StoreError):
    code, retriable, kafka_name = 83, True, "EligibleLeadersNotAvailableException"


class InvalidRecordError(StoreError):
    code, kafka_name = 87, "InvalidRecordException"


class BrokerIdNotRegisteredError(StoreError):
    code, kafka_name = 102, "BrokerIdNotRegisteredException"


class NoOffsetForPartitionError(StoreError):
    """``auto.offset.reset`` is none, and the group has committed nothing for a partition."""

    code, kafka_name = -1, "NoOffsetForPartitionException"


class IllegalStateError(StoreError):
    """A client was asked for what it has not been prepared for, such as records without a subscription."""

    code, kafka_name = -1, "IllegalStateException"


def producer_closed() -> IllegalStateError:
    """What a closed producer raises, in the words of Java's."""
    return IllegalStateError("Cannot perform operation after producer has been closed")


def unprepared() -> IllegalStateError:
    """The error of a poll without a subscription. Source of the text: ClassicKafkaConsumer.poll."""
    return IllegalStateError("Consumer is not subscribed to any topics or assigned any partitions")


class ConcurrentModificationError(StoreError):
    """Two threads used a consumer at the same time. Nothing was done for the second."""

    code, kafka_name = -1, "ConcurrentModificationException"


class EngineUnavailableError(StoreError):
    """The address names an engine that is not installed, or not built into this version."""

    code, kafka_name = -1, "ClientException"
