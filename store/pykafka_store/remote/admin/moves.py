"""Where a Kafka cluster's replicas lie, and moves of partitions to other brokers and log directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pykafka_store.errors import StoreError
from pykafka_store.model import LogDirDescription, Reassignment, ReplicaSize, TopicPartition
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import by_topic, outcome

_NOT_ALLOWED = 31
"""CLUSTER_AUTHORIZATION_FAILED."""


class MoveAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def alter_partition_reassignments(
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],
        *,
        allow_replication_factor_change: bool = True,
    ) -> dict[TopicPartition, StoreError | None]:
        self._requests.require_writable()
        topics = [
            SimpleNamespace(
                name=name,
                partitions=[
                    SimpleNamespace(partition_index=number, replicas=targets[TopicPartition(name, number)])
                    for number in numbers
                ],
            )
            for name, numbers in by_topic(targets).items()
        ]
        network = self._requests.network
        body = SimpleNamespace(
            topics=topics,
            timeout=network.timeout_ms,
            allow_replication_factor_change=allow_replication_factor_change,
        )
        answer = network.ask_controller("alter_partition_reassignments", body)
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        answers = {
            TopicPartition(topic.name, each.partition_index): outcome(each)
            for topic in answer.responses
            for each in topic.partitions
        }
        return {each: answers[each] for each in targets}

    def list_partition_reassignments(
        self, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        network = self._requests.network
        asked: Any = None
        if partitions is not None:
            asked = [
                SimpleNamespace(name=name, partition_indexes=numbers) for name, numbers in by_topic(partitions).items()
            ]
        body = SimpleNamespace(topics=asked, timeout=network.timeout_ms)
        answer = network.ask_controller("list_partition_reassignments", body)
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        found = {
            TopicPartition(topic.name, each.partition_index): Reassignment(
                tuple(each.replicas), tuple(each.adding_replicas), tuple(each.removing_replicas)
            )
            for topic in answer.topics
            for each in topic.partitions
        }
        return dict(sorted(found.items()))

    def alter_replica_log_dirs(
        self, moves: Mapping[tuple[TopicPartition, int], str]
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        self._requests.require_writable()
        answers: dict[tuple[TopicPartition, int], StoreError | None] = {}
        for broker in sorted({broker for _, broker in moves}):
            mine = {partition: path for (partition, where), path in moves.items() if where == broker}
            dirs = [
                SimpleNamespace(
                    path=path,
                    topics=[
                        SimpleNamespace(name=name, partitions=numbers)
                        for name, numbers in by_topic(each for each, where in mine.items() if where == path).items()
                    ],
                )
                for path in dict.fromkeys(mine.values())
            ]
            answer = self._requests.network.ask("alter_replica_log_dirs", SimpleNamespace(dirs=dirs), to=broker)
            for topic in answer.results:
                for each in topic.partitions:
                    answers[TopicPartition(topic.topic_name, each.partition_index), broker] = outcome(each)
        return {each: answers[each] for each in moves}

    def describe_log_dirs(self, brokers: Sequence[int]) -> dict[int, tuple[LogDirDescription, ...]]:
        found = {}
        for broker in brokers:
            answer = self._requests.network.ask("describe_log_dirs", SimpleNamespace(topics=None), to=broker)
            if getattr(answer, "error_code", 0):
                raise broker_error(answer.error_code, None)
            if not answer.results:  # an older broker's way to refuse. Source: KafkaAdminClient#describeLogDirs
                raise broker_error(_NOT_ALLOWED, None)
            found[broker] = tuple(_log_dir(each) for each in answer.results)
        return found


def _log_dir(found: Any) -> LogDirDescription:
    replicas = tuple(
        ReplicaSize(
            TopicPartition(topic.name, each.partition_index),
            each.partition_size,
            each.offset_lag,
            each.is_future_key,
        )
        for topic in found.topics
        for each in topic.partitions
    )
    sizes = (size if size >= 0 else None for size in (getattr(found, n, -1) for n in ("total_bytes", "usable_bytes")))
    return LogDirDescription(found.log_dir, outcome(found), replicas, *sizes)
