"""What a source notes of how far it is: a compacted topic beside the one that it writes, one record a source.

Key: ``[topic, source's name]``; value: see :class:`Note`; both JSON. A note is written when what it speaks of is in the
topic for good (a directory) or in the transaction of it (a cluster), so it may say too little, and never too much.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from pykafka_store.api import Cluster, Producer
from pykafka_store.errors import TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.source.feed import SourceError

TOPIC = "pykafka-source-offsets"
_PARTITION = TopicPartition(TOPIC, 0)
_CONFIGS = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20)}
_REPLICAS = 3

POLL = 1.0


class Note(NamedTuple):
    topic_id: str
    """A topic that is made again under its name is another one."""
    identity: str
    """The feed's."""
    before: int
    """The position of the note before this one."""
    position: int
    """All up to it is in the topic."""
    partitions: int
    """Among how many the keys behind it are divided."""
    floors: Sequence[int]
    """Where each partition ended by then: what is behind the position is behind these."""
    rows: int | None
    """How many rows the position and those before it were."""


class Notes:
    def __init__(self, cluster: Cluster, topic: str, name: str) -> None:
        self._cluster = cluster
        self._key = json.dumps([topic, name]).encode()
        self._exists = False
        self._written: bytes | None = None

    def read(self) -> Note | None:
        """The newest note of this source. Raises SourceError for what no source wrote."""
        try:
            self._cluster.admin().describe_topics([TOPIC])
        except UnknownTopicOrPartitionError:
            return None
        self._exists = True
        settings = {"auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.auto.commit": "false"}
        with self._cluster.consumer(settings) as consumer:
            consumer.assign({_PARTITION: OffsetAt.EARLIEST})
            end = consumer.end_offsets([_PARTITION])[_PARTITION]
            while consumer.position(_PARTITION) < end:
                for records in consumer.poll(POLL):
                    for key, value in zip(records.keys, records.values, strict=True):
                        if key == self._key:
                            self._written = value
        if self._written is None:
            return None
        try:
            return Note(**json.loads(self._written))
        except (ValueError, TypeError):
            raise SourceError(
                f"Topic {TOPIC} holds what no source wrote for {self._key.decode()}: delete the record, and the source "
                "finds out from the topic itself, in a directory, or begins anew"
            ) from None

    def write(self, note: Note, producer: Producer) -> None:
        """Send it, if it says anything new; it is there when the producer is flushed."""
        value = json.dumps(note._asdict(), separators=(",", ":")).encode()
        if value == self._written:
            return
        if not self._exists:
            admin = self._cluster.admin()
            try:
                replicas = max(1, min(_REPLICAS, len(admin.live_brokers())))
                admin.create_topic(TOPIC, partitions=1, replication_factor=replicas, configs=_CONFIGS)
            except TopicExistsError:
                pass  # another source was first
            self._exists = True
        producer.send(TOPIC, [value], keys=[self._key], partitions=0)
        self._written = value
