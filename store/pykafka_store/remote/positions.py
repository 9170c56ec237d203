"""Where a consumer of a Kafka cluster reads, and whether librdkafka knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as TheirPartition

from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.model import TopicPartition
from pykafka_store.remote.link import Link
from pykafka_store.remote.partitions import to_librdkafka


class Positions:
    """The partitions that one consumer reads: the next offset of each, and which of them are paused."""

    def __init__(self, link: Link[Client]) -> None:
        self._link = link
        self._client = link.client
        self.offsets: dict[TopicPartition, int] = {}
        """The offset of the next record of each partition that is read."""
        self._paused: set[TopicPartition] = set()
        self.stale = False
        """Whether librdkafka has still to be told of what is assigned."""

    def replace(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions instead of those that were read. librdkafka is told by the next :meth:`hand_over`."""
        self.offsets = dict(offsets)
        self._paused &= set(offsets)
        self.stale = True

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self.offsets.pop(partition, None)
            self._paused.discard(partition)

    def require(self, partitions: Iterable[TopicPartition]) -> None:
        """Raises UnknownTopicOrPartitionError for a partition that is not read."""
        for partition in partitions:
            if partition not in self.offsets:
                raise UnknownTopicOrPartitionError(f"{partition} is not read by this consumer: assign it first")

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.offsets[partition] = offset
        if self.stale:
            return
        try:
            self._client.seek(TheirPartition(*partition, offset))
        except KafkaException:
            self.stale = True  # librdkafka does not fetch the partition yet: it is assigned anew

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused |= set(partitions)
        if not self.stale:
            self._client.pause(to_librdkafka(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused -= set(partitions)
        if not self.stale:
            self._client.resume(to_librdkafka(partitions))

    def hand_over(self, *, incremental: bool) -> None:
        """Let librdkafka fetch from these positions. Raises StoreError.

        ``incremental``: the group's protocol adds partitions and takes them away, instead of replacing all of them.
        """
        theirs = to_librdkafka(self.offsets)
        try:
            if incremental:
                self._client.incremental_unassign(theirs)
                self._client.incremental_assign(theirs)
            else:
                self._client.assign(theirs)
            self._pause_again()
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None
        self.stale = False

    def hand_over_new(self, partitions: Iterable[TopicPartition], *, incremental: bool) -> None:
        """The same for partitions that the group has just assigned, within librdkafka's callback."""
        theirs = to_librdkafka({partition: self.offsets[partition] for partition in partitions})
        if incremental:
            self._client.incremental_assign(theirs)
        else:
            self._client.assign(theirs)
        self._pause_again()
        self.stale = False

    def _pause_again(self) -> None:
        """librdkafka fetches every partition that it is assigned, until it is told to pause."""
        if self._paused:
            self._client.pause(to_librdkafka(self._paused))
