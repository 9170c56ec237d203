"""The results of kafka-topics, each with its forms (see ``forms``). Source of the text: TopicCommand of Kafka 4.3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pykafka_cli.output.forms import tabulated

if TYPE_CHECKING:
    from pykafka_store.model import PartitionDescription, TopicDescription, TopicListing


class ListedTopics:
    """The topics that ``--list`` names."""

    def __init__(self, topics: Sequence[TopicListing]) -> None:
        self.topics = topics

    def text(self) -> Iterator[str]:
        # One line even where there is none: TopicCommand prints the names joined.
        yield "\n".join(listing.name for listing in self.topics)

    def table(self) -> Iterator[str]:
        rows = [(listing.name, listing.topic_id, "yes" if listing.internal else "no") for listing in self.topics]
        yield tabulated(("TOPIC", "TOPIC ID", "INTERNAL"), rows)

    def json(self) -> Iterator[dict[str, Any]]:
        for listing in self.topics:
            yield {"topic": listing.name, "topicId": listing.topic_id, "internal": listing.internal}


class DescribedTopics:
    """Descriptions, and which of their lines to show: a report shows only partitions, or only topics."""

    def __init__(
        self, topics: Sequence[TopicDescription], *, show_topics: bool = True, show_partitions: bool = True
    ) -> None:
        self.topics = topics
        self.show_topics = show_topics
        self.show_partitions = show_partitions

    def text(self) -> Iterator[str]:
        """Source: TopicCommand.TopicDescription#printDescription and PartitionDescription#printDescription."""
        for topic in self.topics:
            if self.show_topics:
                yield (
                    f"Topic: {topic.name}\tTopicId: {topic.topic_id}\tPartitionCount: {len(topic.partitions)}"
                    f"\tReplicationFactor: {topic.replication_factor}\tConfigs: {_configs(topic)}"
                )
            for partition in topic.partitions if self.show_partitions else ():
                line = (
                    f"\tTopic: {topic.name}\tPartition: {partition.partition}\tLeader: {_leader(partition)}"
                    f"\tReplicas: {_ids(partition.replicas)}\tIsr: {_ids(partition.isr)}"
                )
                if partition.adding_replicas or partition.removing_replicas:
                    line += f"\tAdding Replicas: {_ids(partition.adding_replicas)}"
                    line += f"\tRemoving Replicas: {_ids(partition.removing_replicas)}"
                yield f"{line}\tElr: {_ids(partition.elr)}\tLastKnownElr: {_ids(partition.last_known_elr)}"

    def table(self) -> Iterator[str]:
        if self.show_topics:
            yield tabulated(
                ("TOPIC", "TOPIC ID", "PARTITIONS", "REPLICATION FACTOR", "CONFIGS"),
                [
                    (topic.name, topic.topic_id, len(topic.partitions), topic.replication_factor, _configs(topic))
                    for topic in self.topics
                ],
            )
        if self.show_topics and self.show_partitions:
            yield ""
        if self.show_partitions:
            yield tabulated(
                ("TOPIC", "PARTITION", "LEADER", "REPLICAS", "ISR", "ELR"),
                [
                    (topic.name, part.partition, _leader(part), _ids(part.replicas), _ids(part.isr), _ids(part.elr))
                    for topic in self.topics
                    for part in topic.partitions
                ],
            )

    def json(self) -> Iterator[dict[str, Any]]:
        """One topic a line, as long as any of it is shown; of its partitions those that are."""
        for topic in self.topics:
            fields: dict[str, Any] = {
                "topic": topic.name,
                "topicId": topic.topic_id,
                "internal": topic.internal,
                "configs": {entry.name: entry.value for entry in topic.configs},
            }
            if self.show_partitions:
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
            yield fields


def _configs(topic: TopicDescription) -> str:
    return ",".join(f"{entry.name}={entry.value}" for entry in topic.configs)


def _leader(partition: PartitionDescription) -> str:
    return "none" if partition.leader is None else str(partition.leader)


def _ids(brokers: tuple[int, ...] | None) -> str:
    return "N/A" if brokers is None else ",".join(map(str, brokers))
