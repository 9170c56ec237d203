"""The JSON files of ``kafka-reassign-partitions``: the topics to move, and where replicas are to go.

Source: org.apache.kafka.tools.reassign.ReassignPartitionsCommand of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pykafka_cli.errors import Refusal
from pykafka_cli.java.json import JsonError, as_array, as_object, as_string, as_whole, field, written
from pykafka_cli.java.text import split, whole
from pykafka_cli.tool.frame import duplicates
from pykafka_cli.tool.json_files import VERSION, partition_of, read_json, versioned
from pykafka_store.model import TopicPartition

ANY_LOG_DIR = "any"


class Replica(NamedTuple):
    """One copy of a partition; printed as Kafka's TopicPartitionReplica."""

    broker: int
    partition: TopicPartition

    def __str__(self) -> str:
        return f"{self.partition}-{self.broker}"


class Moves(NamedTuple):
    """What a ``--reassignment-json-file`` asks for, in its order and not yet checked."""

    partitions: list[tuple[TopicPartition, list[int]]]
    log_dirs: dict[Replica, str]


def read_topics(path: str) -> list[str]:
    """The topics in a ``--topics-to-move-json-file``. Raises Refusal, and JsonError, which is one."""
    entries = as_array(versioned(read_json(path)).get("topics", []))
    return [as_string(field(as_object(entry), "topic")) for entry in entries]


def read_moves(path: str) -> Moves:
    """What a ``--reassignment-json-file`` says. Raises Refusal, and JsonError, which is one.

    Source: ReassignPartitionsCommand#parsePartitionReassignmentData.
    """
    wanted = Moves([], {})
    for entry in map(as_object, as_array(versioned(read_json(path)).get("partitions", []))):
        partition = partition_of(entry)
        replicas = [as_whole(each) for each in _as_list(field(entry, "replicas"))]
        log_dirs = [as_string(each) for each in _as_list(entry.get("log_dirs", [ANY_LOG_DIR] * len(replicas)))]
        if len(replicas) != len(log_dirs):
            raise Refusal(
                f"Size of replicas list {in_brackets(replicas)} is different from size of log dirs list "
                f"{in_brackets(log_dirs)} for partition {partition}"
            )
        wanted.partitions.append((partition, replicas))
        for broker, log_dir in zip(replicas, log_dirs, strict=True):
            if log_dir != ANY_LOG_DIR:
                wanted.log_dirs[Replica(broker, partition)] = log_dir
    return wanted


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise JsonError(f"Expected `JSON array` value, received {written(value)}")
    return value


def checked(wanted: Moves) -> dict[TopicPartition, list[int]]:
    """The replicas that partitions are to have, each partition named once. Raises Refusal.

    Source: ReassignPartitionsCommand#parseExecuteAssignmentArgs.
    """
    if not wanted.partitions:
        raise Refusal("Partition reassignment list cannot be empty")
    if not all(replicas for _, replicas in wanted.partitions):
        raise Refusal("Partition replica list cannot be empty")
    if double := duplicates([partition for partition, _ in wanted.partitions]):
        raise Refusal(f"Partition reassignment contains duplicate topic partitions: {by_commas(double)}")
    twice = [
        f"{partition} contains multiple entries for {by_commas(brokers)}"
        for partition, replicas in wanted.partitions
        if (brokers := duplicates(replicas))
    ]
    if twice:
        raise Refusal(f"Partition replica lists may not contain duplicate entries: {'. '.join(twice)}")
    return dict(wanted.partitions)


def as_json(replicas: Mapping[TopicPartition, Sequence[int]], log_dirs: Mapping[Replica, str]) -> str:
    """The text of a ``--reassignment-json-file`` that puts partitions there."""
    return written(
        {
            "version": VERSION,
            "partitions": [
                {
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "replicas": list(brokers),
                    "log_dirs": [log_dirs.get(Replica(broker, partition), ANY_LOG_DIR) for broker in brokers],
                }
                for partition, brokers in sorted(replicas.items())
            ],
        }
    )


def broker_numbers(text: str) -> list[int]:
    """``--broker-list``. A list of commas only is refused; Java's split makes no broker of it at all."""
    return [whole(word) for word in split(text, ",") or [""]]


def by_commas(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def in_brackets(values: Iterable[object]) -> str:
    """As Java prints a list."""
    return f"[{', '.join(map(str, values))}]"


def plural(values: Sequence[Any] | Mapping[Any, Any]) -> str:
    """The ending of the word before the values."""
    return "" if len(values) == 1 else "s"
