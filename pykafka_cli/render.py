"""A result -> Kafka's text, a table, or JSON lines.

The text is what Apache Kafka's tools print, to the byte. Tables and JSON are ours. JSON is one object a line; its
fields are part of the interface: a field keeps its name and its meaning, and new ones may be added.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pykafka_cli.env import Env
from pykafka_cli.results import CreatedTopic, DescribedTopics, ListedTopics, PartitionOffsets, Result
from pykafka_store.model import PartitionDescription, TopicDescription

FORMS = ("text", "table", "json")


def show(env: Env, result: Result, form: str = "text") -> None:
    """Print a result on stdout in one of FORMS."""
    match result:
        case CreatedTopic(name):
            env.out(f"Created topic {name}.")
        case PartitionOffsets(offsets):
            for partition, offset in offsets:
                env.out(f"{partition.topic}:{partition.partition}:{offset}")
        case ListedTopics():
            _show_each(env, _LISTED[form](result))
        case DescribedTopics():
            _show_each(env, _DESCRIBED[form](result))


def log_line(env: Env, level: str, message: str, logger: str) -> str:
    """A line as Kafka's tools log it. Source: config/tools-log4j2.yaml, pattern ``[%d] %p %m (%c)%n``."""
    now = env.clock()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    return f"[{stamp},{int(now * 1000) % 1000:03d}] {level} {message} ({logger})"


def _show_each(env: Env, lines: Iterable[str]) -> None:
    for line in lines:
        env.out(line)


def _listed_text(result: ListedTopics) -> Iterator[str]:
    # One line even where there is none: TopicCommand prints the names joined.
    yield "\n".join(listing.name for listing in result.topics)


def _listed_table(result: ListedTopics) -> Iterator[str]:
    rows = [(listing.name, listing.topic_id, "yes" if listing.internal else "no") for listing in result.topics]
    yield table(("TOPIC", "TOPIC ID", "INTERNAL"), rows)


def _listed_json(result: ListedTopics) -> Iterator[str]:
    for listing in result.topics:
        yield json_line({"topic": listing.name, "topicId": listing.topic_id, "internal": listing.internal})


def _described_text(result: DescribedTopics) -> Iterator[str]:
    """Source: TopicCommand.TopicDescription#printDescription and PartitionDescription#printDescription."""
    for topic in result.topics:
        if result.show_topics:
            yield (
                f"Topic: {topic.name}\tTopicId: {topic.topic_id}\tPartitionCount: {len(topic.partitions)}"
                f"\tReplicationFactor: {topic.replication_factor}\tConfigs: {_configs(topic)}"
            )
        for partition in topic.partitions if result.show_partitions else ():
            line = (
                f"\tTopic: {topic.name}\tPartition: {partition.partition}\tLeader: {_leader(partition)}"
                f"\tReplicas: {_ids(partition.replicas)}\tIsr: {_ids(partition.isr)}"
            )
            if partition.adding_replicas or partition.removing_replicas:
                line += f"\tAdding Replicas: {_ids(partition.adding_replicas)}"
                line += f"\tRemoving Replicas: {_ids(partition.removing_replicas)}"
            yield f"{line}\tElr: {_ids(partition.elr)}\tLastKnownElr: {_ids(partition.last_known_elr)}"


def _described_table(result: DescribedTopics) -> Iterator[str]:
    if result.show_topics:
        yield table(
            ("TOPIC", "TOPIC ID", "PARTITIONS", "REPLICATION FACTOR", "CONFIGS"),
            [
                (topic.name, topic.topic_id, len(topic.partitions), topic.replication_factor, _configs(topic))
                for topic in result.topics
            ],
        )
    if result.show_topics and result.show_partitions:
        yield ""
    if result.show_partitions:
        yield table(
            ("TOPIC", "PARTITION", "LEADER", "REPLICAS", "ISR", "ELR"),
            [
                (topic.name, part.partition, _leader(part), _ids(part.replicas), _ids(part.isr), _ids(part.elr))
                for topic in result.topics
                for part in topic.partitions
            ],
        )


def _described_json(result: DescribedTopics) -> Iterator[str]:
    """One topic a line, as long as any of it is shown; of its partitions those that are."""
    for topic in result.topics:
        fields: dict[str, Any] = {
            "topic": topic.name,
            "topicId": topic.topic_id,
            "internal": topic.internal,
            "configs": {entry.name: entry.value for entry in topic.configs},
        }
        if result.show_partitions:
            fields["partitions"] = [
                {
                    "partition": partition.partition,
                    "leader": partition.leader,
                    "leaderEpoch": partition.leader_epoch,
                    "replicas": partition.replicas,
                    "isr": partition.isr,
                    "addingReplicas": partition.adding_replicas,
                    "removingReplicas": partition.removing_replicas,
                    "elr": partition.elr,
                    "lastKnownElr": partition.last_known_elr,
                }
                for partition in topic.partitions
            ]
        yield json_line(fields)


_LISTED: dict[str, Callable[[ListedTopics], Iterator[str]]] = {
    "text": _listed_text,
    "table": _listed_table,
    "json": _listed_json,
}
_DESCRIBED: dict[str, Callable[[DescribedTopics], Iterator[str]]] = {
    "text": _described_text,
    "table": _described_table,
    "json": _described_json,
}


def _configs(topic: TopicDescription) -> str:
    return ",".join(f"{entry.name}={entry.value}" for entry in topic.configs)


def _leader(partition: PartitionDescription) -> str:
    return "none" if partition.leader is None else str(partition.leader)


def _ids(brokers: tuple[int, ...] | None) -> str:
    return "N/A" if brokers is None else ",".join(map(str, brokers))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headings, tablefmt="plain", disable_numparse=True)


def json_line(fields: dict[str, Any]) -> str:
    from json import dumps

    return dumps(fields, ensure_ascii=False, separators=(",", ":"))
