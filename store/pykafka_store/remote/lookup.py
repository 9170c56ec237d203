"""What a consumer asks a Kafka cluster before it reads: which partitions topics have, and which offsets are where."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from confluent_kafka import Consumer as Client
from confluent_kafka.admin import AdminClient

from pykafka_store import notices
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.remote.link import CREATION, Link, missing_topic
from pykafka_store.remote.partitions import from_librdkafka, to_librdkafka


class Lookup:
    def __init__(
        self,
        link: Link[Client],
        creating: Callable[[], Link[AdminClient]] | None,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        """``creating`` is the connection through which a question for a missing topic creates it; None where no topic
        must be created. ``on_notice`` gets a line for a topic that was created.
        """
        self._link = link
        self._creating = creating
        self._on_notice = on_notice

    def partition_counts(self) -> dict[str, int]:
        """The number of partitions of each topic, sorted by name."""
        client = self._link.contact()
        topics = self._link.patiently(lambda seconds: client.list_topics(timeout=seconds)).topics
        return {name: len(topics[name].partitions) for name in sorted(topics) if topics[name].error is None}

    def partition_count(self, name: str) -> int:
        """The number of partitions of a topic. Raises UnknownTopicOrPartitionError, which says how to create it."""
        try:
            return self._link.topic_partitions(name)
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None

    def created_partition_count(self, name: str) -> int:
        """The number of partitions of a topic, which brokers create where it is missing and they may."""
        if self._creating is None:
            return self.partition_count(name)
        with suppress(UnknownTopicOrPartitionError):
            return self.partition_count(name)
        try:
            count, created = self._creating().created_topic_partitions(name, CREATION)
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None
        if created and self._on_notice is not None:
            self._on_notice(notices.topic_made(name, count))
        return count

    def resolved(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int]:
        """The offsets of positions, of which some are given as places in the log as it is now."""
        special = {partition: int(at) for partition, at in positions.items() if at < 0}
        return {**{partition: int(at) for partition, at in positions.items()}, **self.offsets_at(special)}

    def offsets_at(
        self, at: Mapping[TopicPartition, int], *, leave_out_gone: bool = False
    ) -> dict[TopicPartition, int]:
        """What ListOffsets answers for timestamps, real ones and -1 (latest) and -2 (earliest), by the isolation level.

        The answer is -1 where no record is that late. With ``leave_out_gone`` there is none for a topic that was
        deleted just now; otherwise that is an UnknownTopicOrPartitionError.
        """
        if not at:
            return {}
        deadline = time.monotonic() + CREATION
        while True:
            try:
                return self._asked_offsets(at)
            except StoreError as error:
                if leave_out_gone and isinstance(error, UnknownTopicOrPartitionError):
                    there = self.partition_counts()
                    if any(partition.topic not in there for partition in at):
                        at = {partition: when for partition, when in at.items() if partition.topic in there}
                        return self.offsets_at(at, leave_out_gone=True)
                if not error.retriable or time.monotonic() >= deadline:
                    raise
            # A topic was just made: brokers agree on who leads it in a moment, and librdkafka does not wait for that.
            time.sleep(0.05)

    def offsets_there(self, at: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The same without partitions that nobody knows of. It may be asked within a callback of librdkafka's, where
        confluent-kafka can't list topics: so each is asked for by itself.
        """
        try:
            return self.offsets_at(at)
        except UnknownTopicOrPartitionError:
            found: dict[TopicPartition, int] = {}
            for partition, when in at.items():
                with suppress(UnknownTopicOrPartitionError):
                    found |= self._asked_offsets({partition: when})
            return found

    def _asked_offsets(self, at: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        client = self._link.contact()
        question = to_librdkafka(at)
        answers = self._link.patiently(lambda seconds: client.offsets_for_times(question, timeout=seconds))
        offsets = {}
        for answer in answers:
            if answer.error is not None:
                raise self._link.reports.error(answer.error)
            offsets[from_librdkafka(answer)] = answer.offset
        return offsets
