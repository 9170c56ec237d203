"""``__consumer_offsets`` as a reader sees it: what the groups have committed, in Kafka's records, from groups.db.

It is a view, and no log: a partition begins at offset 0 with one record for each commit and each classic group that
there is when its reader opens, as if compaction had just been through it, and goes on with what changes from then on.
Nobody writes to it, and no file of it is anywhere. A topic of that name in the catalogue, which somebody created before
there was a group, is that topic.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from weakref import WeakKeyDictionary

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
from pykafka_store.format.state import PublishedState, empty_state
from pykafka_store.format.transaction_index import AbortedTransaction
from pykafka_store.model import OFFSETS_TOPIC, Records, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.embedded.log.slices import Slice

HOST = "/127.0.0.1"

_Key: TypeAlias = tuple[str, str | None, int]
"""Group, topic and partition of a commit; without a topic the group itself."""
_Mark: TypeAlias = tuple[Any, ...]
"""What the value of a key is made of, but for the time where it is the group's."""

_MOST_KEPT = 1 << 20
"""Bytes of changes that a reader keeps. Of more it forgets all, and begins anew behind them, as if compaction had been
through: what is left are the newest values, at offsets of their own, and who has read on finds none missing.
"""


class Run(bytes):
    """Batches that are sent as they are; see :class:`pykafka_store.embedded.log.slices.Slice`."""

    first_batch: int

    def close(self) -> None:
        """Nothing is open."""


def partition_of(group: str, partitions: int) -> int:
    """Where a broker keeps a group. Source: GroupCoordinatorService#partitionFor, String#hashCode."""
    units = group.encode("utf-16-be", "surrogatepass")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % partitions


class _Picture:
    """What all groups have committed, looked up once for all partitions of the view."""

    def __init__(self) -> None:
        self._seen: tuple[int, ...] | None = None
        """The database's version, and how many partitions there are."""
        self._partitions: dict[str, int] = {}
        """Group -> partition."""
        self._known: dict[int, dict[_Key, _Mark]] = {}

    def partition(self, engine: Engine, number: int, count: int) -> Mapping[_Key, _Mark]:
        """What there is now in a partition of so many, in order. It is not changed afterwards."""
        version = *engine.groups.version(), count
        if version != self._seen:
            if self._seen is not None and self._seen[-1] != count:
                self._partitions = {}
            with engine.groups.snapshot():
                self._known = self._look(engine, count)
            self._seen = version
        return self._known.get(number, {})

    def _look(self, engine: Engine, count: int) -> dict[int, dict[_Key, _Mark]]:
        known: dict[int, dict[_Key, _Mark]] = {}
        groups = engine.groups
        rows = groups.groups()
        before = self._partitions
        self._partitions = {row.id: before[row.id] if row.id in before else partition_of(row.id, count) for row in rows}
        commits: dict[str, dict[_Key, _Mark]] = {}
        for group, topic, number, *mark in groups.commits():
            commits.setdefault(group, {})[group, topic, number] = tuple(mark)
        living = groups.groups_with_members()
        for row in rows:
            of_partition = known.setdefault(self._partitions[row.id], {})
            if row.protocol != "consumer":  # of the others a broker keeps records of other kinds
                members = list(_members(engine, row.id)) if row.id in living else []
                of_partition[row.id, None, -1] = (row.epoch, row.strategy if members else None, members)
            of_partition.update(commits.get(row.id, {}))
        return known


_pictures: WeakKeyDictionary[Engine, _Picture] = WeakKeyDictionary()


class OffsetsReader(PartitionReader):
    """Reads a partition of the view as :class:`PartitionReader` reads one of a log."""

    topic_id = ""
    """The catalogue has none of the view."""

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
        self._known: Mapping[_Key, _Mark] = {}
        """What was told of last."""

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

    def slice(self, offset: int, size: int, end: int | None = None) -> Slice | None:
        """See :func:`pykafka_store.embedded.log.slices.slice_of`; whole batches, as a :class:`Run`."""
        if not self.read(offset) or (end is not None and offset >= end):
            return None
        later = [batch.data for batch in self._batches if batch.header.last_offset >= offset]
        run = Run(b"".join([later[0], *_within(size - len(later[0]), later[1:])]))
        run.first_batch = len(later[0])
        return cast("Slice", run)  # it has all that an answer asks of one

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
        found = _pictures.setdefault(self._engine, _Picture()).partition(
            self._engine, self._name.partition, self._count
        )
        if found is self._known:
            return
        if sum(len(batch.data) for batch in self._batches) > _MOST_KEPT:
            self._batches, self._known = [], {}
        now = self._engine.clock.now_ms()
        changed = [(key, mark) for key, mark in found.items() if self._known.get(key) != mark]
        told = [_record(key, mark, now) for key, mark in changed]
        told += [(_record_key(key), None, now) for key in self._known if key not in found]
        self._known = found
        if told:
            keys, values, times = zip(*told, strict=True)
            data = b"".join(encode_batch(values, keys=keys, timestamps=times).placed(self._end, 0))
            self._batches += split_batches(data)
            self._end += len(keys)


def _record_key(key: _Key) -> bytes:
    group, topic, number = key
    return group_metadata_key(group) if topic is None else offset_commit_key(group, topic, number)


def _record(key: _Key, mark: _Mark, now: int) -> tuple[bytes, bytes | None, int]:
    """Key, value and time."""
    if key[1] is None:
        generation, protocol, members = mark
        return _record_key(key), group_metadata_value(generation, protocol, members, now), now
    id, offset, epoch, text, at = mark
    return _record_key(key), offset_commit_value(offset, epoch, text, at, id), at


def _members(engine: Engine, group: str) -> Iterator[Member]:
    owners: dict[str, dict[str, list[int]]] = {}
    for partition, owner in sorted(engine.groups.owners(group).items()):
        owners.setdefault(owner, {}).setdefault(partition.topic, []).append(partition.partition)
    for row in engine.groups.members(group):
        yield Member(
            row.id, row.instance_id, row.client_id, HOST, int(row.session_timeout * 1000), row.topics,
            owners.get(row.id, {}),
        )  # fmt: skip


def _within(size: int, runs: list[bytes]) -> Iterator[bytes]:
    """The first of them, as far as they fit into ``size`` bytes."""
    for run in runs:
        size -= len(run)
        if size < 0:
            return
        yield run


def reader_of(engine: Engine, name: TopicPartition, among: OpenReaders | None = None) -> PartitionReader:
    """A reader of the partition, of the view where the name is its. Raises UnknownTopicOrPartitionError."""
    if name.topic == OFFSETS_TOPIC and is_view(engine, name.topic):
        return OffsetsReader(engine, name)
    return open_reader(engine, name, among)
