"""What a mirror knows of what it did: a compacted topic at the target, one record a partition, as Kafka Connect does.

Key: ``[source cluster id, source topic, target topic, partition]``; value: see ``Entry``; both JSON, legible to people.
The record is written after what it speaks of is on the target's disks, so it may know too little, and never too much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from pykafka_store.api import Admin, Cluster, Producer
from pykafka_store.errors import CorruptRecordError, TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.mirror.offsets import OffsetMap
from pykafka_store.model import OffsetAt, TopicPartition

TOPIC = "pykafka-mirror-offsets"
_PARTITION = TopicPartition(TOPIC, 0)
_CONFIGS = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20)}
_REPLICAS = 3

MAP_SIZE = 30_000
"""Characters of the offset map in a record: several thousand runs."""

POLL = 1.0

Key = tuple[str, str, str, int]


class Entry(NamedTuple):
    """How far the copying of one partition came."""

    source_id: str
    """The topic's id at the source: one made again under its name is another topic."""
    target_id: str
    position: int
    """The source offset of the next record to copy."""
    floor: int
    """All that was copied before this target offset is in ``offsets``."""
    offsets: OffsetMap


class Ledger:
    def __init__(self, target: Cluster) -> None:
        self._target = target
        self._written: dict[Key, bytes] = {}
        self._exists = False

    def read(self) -> None:
        """Read all that is there. Raises CorruptRecordError for what no mirror wrote."""
        try:
            self._target.admin().describe_topics([TOPIC])
        except UnknownTopicOrPartitionError:
            return
        self._exists = True
        settings = {"auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.auto.commit": "false"}
        with self._target.consumer(settings) as consumer:
            consumer.assign({_PARTITION: OffsetAt.EARLIEST})
            end = consumer.end_offsets([_PARTITION])[_PARTITION]
            while consumer.position(_PARTITION) < end:
                for records in consumer.poll(POLL):
                    for key, value, offset in zip(records.keys, records.values, records.offsets, strict=True):
                        if key is not None and value is not None:
                            self._written[_key(key, offset)] = value

    def entry(self, key: Key) -> Entry | None:
        written = self._written.get(key)
        if written is None:
            return None
        try:
            fields = json.loads(written)
            offsets = OffsetMap.parse(fields["offsets"])
            return Entry(fields["source_id"], fields["target_id"], fields["position"], fields["floor"], offsets)
        except (ValueError, KeyError, TypeError):
            raise _not_ours(f"the newest record of {json.dumps(key)}") from None

    def copied_into(self, topic: str, topic_id: str, cluster_id: str) -> set[tuple[str, str]]:
        """The topics (name, id) of a cluster whose records were copied into this one."""
        found = set()
        for key in self._written:
            cluster, source, target, _ = key
            if (cluster, target) == (cluster_id, topic):
                entry = None
                with suppress(CorruptRecordError):
                    entry = self.entry(key)
                if entry is not None and entry.target_id == topic_id and entry.offsets.runs:
                    found.add((source, entry.source_id))
        return found

    def write(self, entries: Mapping[Key, Entry], producer: Producer) -> None:
        """Send those that changed; they are there when the producer is flushed."""
        new = {}
        for key, entry in entries.items():
            fields = {**entry._asdict(), "offsets": entry.offsets.text(MAP_SIZE)}
            value = json.dumps(fields, separators=(",", ":")).encode()
            if self._written.get(key) != value:
                new[key] = value
        if not new:
            return
        if not self._exists:
            self._create(self._target.admin())
        keys = [json.dumps(key, separators=(",", ":")).encode() for key in new]
        producer.send(TOPIC, list(new.values()), keys=keys, partitions=0)
        self._written |= new

    def _create(self, admin: Admin) -> None:
        try:
            replicas = max(1, min(_REPLICAS, len(admin.live_brokers())))
            admin.create_topic(TOPIC, partitions=1, replication_factor=replicas, configs=_CONFIGS)
        except TopicExistsError:
            pass  # another mirror was first
        self._exists = True


def _key(raw: bytes, offset: int) -> Key:
    try:
        cluster, source, target, partition = json.loads(raw)
    except (ValueError, TypeError):
        raise _not_ours(f"the record at offset {offset}") from None
    return cluster, source, target, partition


def _not_ours(what: str) -> CorruptRecordError:
    return CorruptRecordError(f"Topic {TOPIC} holds what no mirror wrote ({what}): delete the topic or the record")
