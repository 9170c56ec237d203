"""Partitions and committed offsets: the seam's, librdkafka's, and those of requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import TopicPartition as TheirPartition

from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import CommittedOffset, TopicPartition
from pykafka_store.remote.errors import broker_error


def to_librdkafka(partitions: Mapping[TopicPartition, int] | Iterable[TopicPartition]) -> list[TheirPartition]:
    """librdkafka's partitions, each with its offset (or its timestamp, where one is asked for) if it has one."""
    if isinstance(partitions, Mapping):
        return [TheirPartition(topic, number, offset) for (topic, number), offset in partitions.items()]
    return [TheirPartition(topic, number) for topic, number in partitions]


def from_librdkafka(partition: TheirPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def committed_offset(partition: TheirPartition) -> CommittedOffset:
    epoch = partition.leader_epoch
    return CommittedOffset(partition.offset, -1 if epoch is None else epoch, partition.metadata or "")


def not_hosted() -> UnknownTopicOrPartitionError:
    """A broker's words for a partition that its topic does not have."""
    return UnknownTopicOrPartitionError("This server does not host this topic-partition.")


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    """The partitions as requests name them: a topic, and its numbers."""
    found: dict[str, list[int]] = {}
    for topic, number in partitions:
        found.setdefault(topic, []).append(number)
    return found


def outcome(answer: Any) -> StoreError | None:
    """What a part of an answer says: None, or why not."""
    code: int = answer.error_code
    return broker_error(code, getattr(answer, "error_message", None)) if code else None
