"""What the administration of brokers, replicas and features meets."""

from __future__ import annotations

from pykafka_store.errors.everyday import StoreError


class PolicyViolationError(StoreError):
    code, kafka_name = 44, "PolicyViolationException"


class LogDirNotFoundError(StoreError):
    code, kafka_name = 57, "LogDirNotFoundException"


class PreferredLeaderNotAvailableError(StoreError):
    code, retriable, kafka_name = 80, True, "PreferredLeaderNotAvailableException"


class ElectionNotNeededError(StoreError):
    code, retriable, kafka_name = 84, True, "ElectionNotNeededException"


class NoReassignmentInProgressError(StoreError):
    code, kafka_name = 85, "NoReassignmentInProgressException"


class UnknownTopicIdError(StoreError):
    code, retriable, kafka_name = 100, True, "UnknownTopicIdException"


class InvalidUpdateVersionError(StoreError):
    """A feature can't have the level that it was to get."""

    code, kafka_name = 95, "InvalidUpdateVersionException"


class TransactionalIdNotFoundError(StoreError):
    code, kafka_name = 105, "TransactionalIdNotFoundException"


class InvalidReplicationFactorError(StoreError):
    code, kafka_name = 38, "InvalidReplicationFactorException"
