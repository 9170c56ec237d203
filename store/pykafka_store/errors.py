"""What can go wrong, by Kafka's names and numbers (org.apache.kafka.common.protocol.Errors).

``str(error)`` is one line for a person: what, where, and what to do next. ``kafka_name`` is the class name that Apache
Kafka's tools print. ``retriable`` answers the one question a caller must ask.
"""

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


class InconsistentGroupProtocolError(StoreError):
    """The members of a group share no assignor."""

    code, kafka_name = 23, "InconsistentGroupProtocolException"


class InvalidGroupIdError(StoreError):
    code, kafka_name = 24, "InvalidGroupIdException"


class UnknownMemberIdError(StoreError):
    """This member was expired by the others while it was frozen, or never belonged to the group."""

    code, kafka_name = 25, "UnknownMemberIdException"


class InvalidTimestampError(StoreError):
    code, kafka_name = 32, "InvalidTimestampException"


class UnsupportedSaslMechanismError(StoreError):
    code, kafka_name = 33, "UnsupportedSaslMechanismException"


class UnsupportedVersionError(StoreError):
    """Bytes of another version than this code knows: an old message format, or a newer data directory."""

    code, kafka_name = 35, "UnsupportedVersionException"


class TopicExistsError(StoreError):
    code, kafka_name = 36, "TopicExistsException"


class InvalidPartitionsError(StoreError):
    code, kafka_name = 37, "InvalidPartitionsException"


class InvalidReplicationFactorError(StoreError):
    code, kafka_name = 38, "InvalidReplicationFactorException"


class InvalidReplicaAssignmentError(StoreError):
    code, kafka_name = 39, "InvalidReplicaAssignmentException"


class InvalidConfigError(StoreError):
    """A setting that does not exist, does not parse, or is out of its range."""

    code, kafka_name = 40, "InvalidConfigurationException"


class InvalidRequestError(StoreError):
    code, kafka_name = 42, "InvalidRequestException"


class PolicyViolationError(StoreError):
    code, kafka_name = 44, "PolicyViolationException"


class SecurityDisabledError(StoreError):
    """The cluster has no authorizer."""

    code, kafka_name = 54, "SecurityDisabledException"


class StorageError(StoreError):
    """The disk or the data directory failed: full, read-only, gone, or not one of ours."""

    code, retriable, kafka_name = 56, True, "KafkaStorageException"


class NoSpaceError(StorageError):
    """The disk is full, or a quota is used up. What was there stays as it was, and can be read."""


class LogDirNotFoundError(StoreError):
    code, kafka_name = 57, "LogDirNotFoundException"


class DelegationTokenAuthDisabledError(StoreError):
    """The cluster has no secret from which tokens are made."""

    code, kafka_name = 61, "DelegationTokenDisabledException"


class DelegationTokenNotFoundError(StoreError):
    code, kafka_name = 62, "DelegationTokenNotFoundException"


class DelegationTokenOwnerMismatchError(StoreError):
    code, kafka_name = 63, "DelegationTokenOwnerMismatchException"


class DelegationTokenRequestNotAllowedError(StoreError):
    code, kafka_name = 64, "UnsupportedByAuthenticationException"


class DelegationTokenAuthorizationError(StoreError):
    code, kafka_name = 65, "DelegationTokenAuthorizationException"


class DelegationTokenExpiredError(StoreError):
    code, kafka_name = 66, "DelegationTokenExpiredException"


class InvalidPrincipalTypeError(StoreError):
    code, kafka_name = 67, "InvalidPrincipalTypeException"


class GroupNotEmptyError(StoreError):
    code, kafka_name = 68, "GroupNotEmptyException"


class GroupIdNotFoundError(StoreError):
    code, kafka_name = 69, "GroupIdNotFoundException"


class UnsupportedCompressionError(StoreError):
    code, kafka_name = 76, "UnsupportedCompressionTypeException"


class PreferredLeaderNotAvailableError(StoreError):
    code, retriable, kafka_name = 80, True, "PreferredLeaderNotAvailableException"


class FencedInstanceIdError(StoreError):
    """Another member joined under the same group.instance.id and took this one's place."""

    code, kafka_name = 82, "FencedInstanceIdException"


class EligibleLeadersNotAvailableError(StoreError):
    code, retriable, kafka_name = 83, True, "EligibleLeadersNotAvailableException"


class ElectionNotNeededError(StoreError):
    code, retriable, kafka_name = 84, True, "ElectionNotNeededException"


class NoReassignmentInProgressError(StoreError):
    code, kafka_name = 85, "NoReassignmentInProgressException"


class GroupSubscribedToTopicError(StoreError):
    code, kafka_name = 86, "GroupSubscribedToTopicException"


class InvalidRecordError(StoreError):
    code, kafka_name = 87, "InvalidRecordException"


class ResourceNotFoundError(StoreError):
    code, kafka_name = 91, "ResourceNotFoundException"


class DuplicateResourceError(StoreError):
    code, kafka_name = 92, "DuplicateResourceException"


class UnacceptableCredentialError(StoreError):
    code, kafka_name = 93, "UnacceptableCredentialException"


class BrokerIdNotRegisteredError(StoreError):
    code, kafka_name = 102, "BrokerIdNotRegisteredException"


class UnknownTopicIdError(StoreError):
    code, retriable, kafka_name = 100, True, "UnknownTopicIdException"


class InvalidUpdateVersionError(StoreError):
    """A feature can't have the level that it was to get."""

    code, kafka_name = 95, "InvalidUpdateVersionException"


class TransactionalIdNotFoundError(StoreError):
    code, kafka_name = 105, "TransactionalIdNotFoundException"


class NoOffsetForPartitionError(StoreError):
    """``auto.offset.reset`` is none, and the group has committed nothing for a partition."""

    code, kafka_name = -1, "NoOffsetForPartitionException"


class InvalidRegularExpressionError(StoreError):
    """A pattern of topics' names that takes for ever to match."""

    code, kafka_name = 128, "InvalidRegularExpression"


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
