"""What commands return: frozen values, which render.py turns into Kafka's text, a table or JSON."""

from __future__ import annotations

from typing import NamedTuple

from pykafka_store.model import TopicDescription, TopicListing, TopicPartition


class CreatedTopic(NamedTuple):
    name: str


class ListedTopics(NamedTuple):
    topics: tuple[TopicListing, ...]


class DescribedTopics(NamedTuple):
    """Descriptions, and which of their lines to show: a report shows only partitions, or only topics."""

    topics: tuple[TopicDescription, ...]
    show_topics: bool = True
    show_partitions: bool = True


class PartitionOffsets(NamedTuple):
    offsets: tuple[tuple[TopicPartition, int], ...]


Result = CreatedTopic | ListedTopics | DescribedTopics | PartitionOffsets
