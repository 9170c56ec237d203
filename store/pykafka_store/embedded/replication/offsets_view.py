"""``__consumer_offsets`` as a reader sees it: what the groups have committed, in Kafka's records, from groups.db.

It is a view, and no log: a partition begins at offset 0 with one record for each commit and each classic group that
there is when its reader opens, as if compaction had just been through it, and goes on with what changes from then on.
Nobody writes to it, and no file of it is anywhere. A topic of that name in the catalogue, which somebody created before
there was a group, is that topic.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import GROUPS_FILE
from pykafka_store.embedded.log.open_file import READ_SIZE
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.offsets_topic import is_view, partition_count
from pykafka_store.embedded.replication.reader import OpenReaders, PartitionReader, open_reader
from pykafka_store.errors import OffsetOutOfRangeError, not_hosted
from pykafka_store.format.batch import Batch, decode_records, encode_batch, split_batches
from pykafka_store.format.coordinator_records import (
    Member,
    group_metadata_key,
    group_metadata_value,
    offset_commit_key,
    offset_commit_value,
)
from pykafka_store.format.index import AbortedTransaction
from pykafka_store.format.state import PublishedState, empty_state
from pykafka_store.model import OFFSETS_TOPIC, Records, TopicPartition

HOST = "/127.0.0.1"


def partition_of(group: str, partitions: int) -> int:
    """Where a broker keeps a group. Source: GroupCoordinatorService#partitionFor, String#hashCode."""
    units = group.encode("utf-16-be", "surrogatepass")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % partitions


class OffsetsReader(PartitionReader):
    """Reads a partition of the view as :class:`PartitionReader` reads one of a log."""

    def __init__(self, engine: Engine, name: TopicPartition) -> None:
        """Raises UnknownTopicOrPartitionError."""
        self._engine = engine
        self._name = name
        self._count = partition_count(engine)
        if not 0 <= name.partition < self._count:
            raise not_hosted()
        self.label = str(name)
        self._batches: list[Batch] = []
        self._end = 0
        self._known: dict[bytes, bytes] = {}
        """Key -> the last value that was told of it, but for the time in it."""
        self._seen: tuple[int, int] | None = None

    def close(self) -> None:
        """Nothing is open."""

    def park(self) -> None:
        """As ``close``."""

    def state_path(self) -> str:
        """The database: whoever watches it, and the directory around it, is told of commits."""
        return os.path.join(self._engine.directory, GROUPS_FILE)

    def state(self) -> PublishedState:
        self._look()
        state = empty_state(bytes(16), bytes(16))
        return state._replace(log_end_offset=self._end, high_watermark=self._end)

    def last_stable_offset(self) -> int:
        return self.state().high_watermark

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:  # noqa: ARG002 - a batch is what changed at once
        self._look()
        if not 0 <= offset <= self._end:
            raise OffsetOutOfRangeError(f"{self.label} has no offset {offset}: it has 0 to {self._end}")
        later = [batch for batch in self._batches if batch.header.last_offset >= offset]
        return later[:1]

    def decode(self, batch: Batch) -> Records:
        return decode_records(batch, *self._name)

    def is_aborted(self, batch: Batch) -> bool:  # noqa: ARG002 - as the reader's
        return False

    def aborted_transactions(self, offset: int) -> list[AbortedTransaction]:  # noqa: ARG002
        return []

    def segments(self) -> list[Segment]:
        return []

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        return next((found for found in self._times() if found[1] >= timestamp), None)

    def offset_of_max_timestamp(self) -> tuple[int, int] | None:
        return max(self._times(), key=lambda found: found[1], default=None)

    def _times(self) -> list[tuple[int, int]]:
        """(offset, timestamp) of every record."""
        self._look()
        runs = map(self.decode, self._batches)
        return [pair for run in runs for pair in zip(run.offsets, run.timestamps, strict=True)]

    # -------------------------------------------------------------------------------------------------- what there is

    def _look(self) -> None:
        """Append what has changed since the last look."""
        if not os.path.exists(os.path.join(self._engine.directory, GROUPS_FILE)):
            return
        version = self._engine.groups.version()
        if version == self._seen:
            return
        self._seen = version
        now = self._engine.clock.now_ms()
        keys: list[bytes] = []
        values: list[bytes | None] = []
        times: list[int] = []
        found: dict[bytes, bytes] = {}
        with self._engine.groups.snapshot():
            for key, mark, value, at in self._records(now):
                found[key] = mark
                if self._known.get(key) != mark:
                    keys.append(key)
                    values.append(value)
                    times.append(at)
        for key in self._known.keys() - found.keys():
            keys.append(key)
            values.append(None)
            times.append(now)
        self._known = found
        if keys:
            data = b"".join(encode_batch(values, keys=keys, timestamps=times).placed(self._end, 0))
            self._batches += split_batches(data)
            self._end += len(keys)

    def _records(self, now: int) -> Iterator[tuple[bytes, bytes, bytes, int]]:
        """(key, what tells one value from another, value, time) of all that is known by now."""
        groups = self._engine.groups
        for group in groups.group_ids():
            if partition_of(group, self._count) != self._name.partition:
                continue
            row = groups.group(group)
            if row is not None and row.protocol != "consumer":  # of the others a broker keeps records of other kinds
                members = list(self._members(group))
                protocol = row.assignor if members else None
                mark = group_metadata_value(row.epoch, protocol, members, 0)
                yield group_metadata_key(group), mark, group_metadata_value(row.epoch, protocol, members, now), now
            for topic, number, id, offset, epoch, text, at in groups.commits(group):
                value = offset_commit_value(offset, epoch, text, at, id)
                yield offset_commit_key(group, topic, number), value, value, at

    def _members(self, group: str) -> Iterator[Member]:
        owners: dict[str, dict[str, list[int]]] = {}
        for partition, owner in sorted(self._engine.groups.owners(group).items()):
            owners.setdefault(owner, {}).setdefault(partition.topic, []).append(partition.partition)
        for row in self._engine.groups.members(group):
            yield Member(
                row.id, row.instance_id, row.client_id, HOST, int(row.session_timeout * 1000), row.topics,
                owners.get(row.id, {}),
            )  # fmt: skip


def reader_of(engine: Engine, name: TopicPartition, among: OpenReaders | None = None) -> PartitionReader:
    """A reader of the partition, of the view where the name is its. Raises UnknownTopicOrPartitionError."""
    if name.topic == OFFSETS_TOPIC and is_view(engine, name.topic):
        return OffsetsReader(engine, name)
    return open_reader(engine, name, among)
