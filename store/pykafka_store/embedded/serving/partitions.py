"""Partitions for whoever passes batches on as they are: appended as they came, read as they lie in the log."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress

from pykafka_store.embedded.catalog_rows import PartitionRow
from pykafka_store.embedded.disk import descriptors
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.log.new_replica import needs_no_log
from pykafka_store.embedded.log.slices import Slice
from pykafka_store.embedded.partitions import HostedPartition
from pykafka_store.embedded.replication.reader import PartitionReader
from pykafka_store.embedded.replication.writer import Appended, PartitionWriter
from pykafka_store.errors import CorruptRecordError, OffsetOutOfRangeError, StoreError
from pykafka_store.format import state as states
from pykafka_store.format.batch import BatchHeader, LogBatch
from pykafka_store.format.checkpoint import LEADER_EPOCH_FILE, parse_leader_epochs
from pykafka_store.format.copies import FIRST_COPIED_PRODUCER_ID
from pykafka_store.model import TopicPartition
from pykafka_store.settings.configs import TopicConfig

OPEN_PARTITIONS = 100
"""Partitions whose files stay open at once: up to eight descriptors each with one replica."""

_PRODUCERS_EXPIRE_MS = 86_400_000
"""How long a broker remembers the sequences of a producer that is silent (producer.id.expiration.ms)."""

_PRODUCER_IDS = "next.producer.id"
_ID_BLOCK = 1000
"""Producer ids that are taken at once, as by a broker (ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE)."""

__all__ = ["FIRST_COPIED_PRODUCER_ID", "ServedPartition", "ServedPartitions", "Slice", "take_producer_ids"]


class ServedPartition:
    """One partition. What it opens stays open until ``close``."""

    def __init__(
        self, engine: Engine, topic_id: str, name: TopicPartition, on_notice: Callable[[str], None] | None
    ) -> None:
        self.topic_id = topic_id
        self.name = name
        self.key = topic_id, name.partition
        """What an append wakes: see :meth:`pykafka_store.wire.broker.Broker.wake`."""
        self._engine = engine
        self._hosted = HostedPartition(engine, topic_id, name, on_notice)
        self._writer: PartitionWriter | None = None
        self._reader: PartitionReader | None = None

    @property
    def row(self) -> PartitionRow:
        """What the catalogue says. Raises UnknownTopicOrPartitionError if the topic is gone."""
        return self._hosted.row

    @property
    def config(self) -> TopicConfig:
        """The settings in force. Raises as ``row``."""
        return self._hosted.config

    def append(self, batches: list[LogBatch], *, acks_all: bool) -> Appended:
        """See :meth:`PartitionWriter.append`."""
        if self._writer is None:
            self._writer = PartitionWriter(self._hosted)
        return self._writer.append(batches, acks_all=acks_all)

    @property
    def reader(self) -> PartitionReader:
        """What reads it."""
        if self._reader is None:
            self._reader = PartitionReader(self._hosted)
        return self._reader

    def state_path(self) -> str:
        """The file that changes with each append. Raises LeaderNotAvailableError."""
        return os.path.join(self._hosted.leader_directory(), states.FILE_NAME)

    @property
    def log_dir(self) -> str:
        """The log directory that this file is in. Raises as ``state_path``."""
        return os.path.dirname(self._hosted.leader_directory())

    def end_of_epoch(self, epoch: int) -> tuple[int, int]:
        """(the greatest leader epoch up to this one, the offset after its last record); -1 both where there is none, or
        ``epoch`` is yet to come. Source: LeaderEpochFileCache.endOffsetFor.
        """
        state = self.reader.state()
        if epoch == state.leader_epoch:
            return epoch, state.log_end_offset
        entries = self._leader_epochs()
        earlier = [known for known, _ in entries if known <= epoch]
        later = [start for known, start in entries if known > epoch]
        return (earlier[-1], later[0]) if earlier and later else (-1, -1)

    def epoch_at(self, offset: int) -> int:
        """The leader epoch in which the record at ``offset`` was appended; -1 where that is not known."""
        return max((epoch for epoch, start in self._leader_epochs() if start <= offset), default=-1)

    def _leader_epochs(self) -> list[tuple[int, int]]:
        """(leader epoch, its first offset), oldest first; none where the file that says so is damaged."""
        path = os.path.join(self._hosted.readable_directory(), LEADER_EPOCH_FILE)
        try:
            return parse_leader_epochs(self._engine.disk.read_file(path).decode("ascii", "replace"))
        except FileNotFoundError:
            state = self.reader.state()  # before the first record it says all that the file would
            return [(state.leader_epoch, state.active_base_offset)] if needs_no_log(state) else []
        except CorruptRecordError:
            return []

    def recent_producers(self, now_ms: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(producer id, epoch, first sequence, records, base offset) of the batches that idempotent producers appended,
        in order, but for segments that nobody has written to for longer than a broker remembers producers.
        """
        for header in self._headers(self._first_written_since(now_ms - _PRODUCERS_EXPIRE_MS)):
            if 0 <= header.producer_id < FIRST_COPIED_PRODUCER_ID and not header.is_control:
                yield (
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    header.last_offset_delta + 1,
                    header.base_offset,
                )

    def _first_written_since(self, moment_ms: int) -> int:
        """Where the first segment begins that was written to since then. 0, which is all of the log, where none was, or
        where retention or compaction takes one as it is looked at.
        """
        with suppress(FileNotFoundError):
            return next((each.base_offset for each in self.reader.segments() if each.changed_at() >= moment_ms), 0)
        return 0

    def _headers(self, offset: int) -> Iterator[BatchHeader]:
        """The headers of all batches from ``offset`` on, of what is still there: retention may be at work."""
        while True:
            start = self.reader.state().log_start_offset
            offset = max(offset, start)
            try:
                for header in self.reader.headers(offset):
                    yield header
                    offset = header.last_offset + 1
                return
            except OffsetOutOfRangeError:
                if self.reader.state().log_start_offset == start:
                    raise

    def close(self) -> None:
        """Close what is open; what flush.ms still owes is synced."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
        self._hosted.close_locks()


class ServedPartitions:
    """The partitions that are in use; those that were used last stay open."""

    def __init__(self, engine: Engine, on_notice: Callable[[str], None] | None = None) -> None:
        engine.require_writable()
        self._engine = engine
        self._on_notice = on_notice
        self._open: OrderedDict[tuple[str, int], ServedPartition] = OrderedDict()

    def get(self, topic_id: str, name: TopicPartition) -> ServedPartition:
        """The partition of that topic id; whether there is one shows when it is asked for something."""
        key = topic_id, name.partition
        found = self._open.get(key)
        if found is not None:
            self._open.move_to_end(key)
            return found
        while len(self._open) >= max(1, min(OPEN_PARTITIONS, descriptors() // 16)):
            self._open.popitem(last=False)[1].close()
        found = self._open[key] = ServedPartition(self._engine, topic_id, name, self._on_notice)
        return found

    def forget(self, topic_id: str) -> None:
        """Close what is open of a topic that is gone."""
        for key in [key for key in self._open if key[0] == topic_id]:
            self._open.pop(key).close()

    def close(self) -> None:
        """Close all of them; the first failure is raised when that is done."""
        failure: StoreError | None = None
        while self._open:
            try:
                self._open.popitem()[1].close()
            except StoreError as error:
                failure = failure or error
        if failure is not None:
            raise failure


def take_producer_ids(engine: Engine) -> range:
    """Producer ids that nobody ever had here."""
    with engine.catalog.transaction():
        first = int(engine.catalog.configs("server").get("", {}).get(_PRODUCER_IDS, "0"))
        engine.catalog.change_entity_configs("server", "", {_PRODUCER_IDS: str(first + _ID_BLOCK)}, ())
    return range(first, first + _ID_BLOCK)
