"""Compaction: of each key, keep the newest record.

Source: org.apache.kafka.storage.internals.log.Cleaner and LogCleanerManager of Kafka 4.3. The log is a clean part,
which earlier passes went through, and a dirty one. A pass maps the keys of the dirty part to their last offsets, and
then writes all segments up to its end anew, leaving out every record that a later one of the same key replaces.

What is kept:

- offsets, timestamps, headers, and the first and last offset of every batch: gaps appear, nothing moves;
- tombstones (null values) for ``delete.retention.ms`` after the first pass that met them, so that a reader who is
  behind learns of the deletion: that pass writes the time into the batch (its delete horizon), a later one removes
  them. Markers of transactions likewise, once nothing of their transaction is left;
- the last batch of every producer id, for its sequence, and the last batch of every segment, so that a segment says
  itself how far it goes: maybe without records.

Never touched: the active segment, segments younger than ``min.compaction.lag.ms`` and all behind them. Records without
a key and those of aborted transactions go.

Memory is bounded: when the map of keys has grown to ``buffer_size`` (log.cleaner.dedupe.buffer.size), the pass ends
there, and another one follows.

Segments are replaced so that a reader at any instant, and anybody after a kill at any instant, finds a whole log:

1. ``BASE.log.cleaned`` is written, then its indexes (``….cleaned``), and all are synced. A kill leaves them to be
   thrown away by the next pass.
2. The state's flag COMPACTED is published and synced before any gap can be seen.
3. ``BASE.log.cleaned`` is renamed to ``BASE.log.swap``: the decision. From here on every pass begins by finishing.
4. The old segment's indexes are removed: without them a search only starts at the segment's beginning. An index is
   never there beside a log that it does not belong to.
5. ``BASE.log.swap`` is renamed over ``BASE.log``: one instant. Readers that have the old file open read on in it.
6. The other segments that went into it are removed, each index before its log. Until then what they hold is there
   twice, in order; readers skip what they have seen.
7. The new indexes are renamed into place. While one of them is still ``….cleaned`` and the log is not, step 6 may be
   unfinished.
8. When all segments are replaced, the checkpoint (``cleaner-offset-checkpoint``) says up to which offset. A kill before
   that makes the next pass do again what was done, to the same end.

All of 3 to 7 happens under the partition's lock; the long part, 1, needs only the upkeep lock. The files that are
replaced go at once, without ``file.delete.delay.ms``: all that they say is said by what takes their place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from operator import add, le
from typing import NamedTuple

from pykafka_store.configs import LONG_MAX, TopicConfig
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.retention import FILES_OF_A_SEGMENT, Segment, segments_of
from pykafka_store.embedded.log.segments import damaged, list_segments, read_batches, segment_path, walk_headers
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import state as states
from pykafka_store.format.batch import Batch, BatchHeader, parse_header
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    format_cleaner_checkpoint,
    parse_cleaner_checkpoint,
)
from pykafka_store.format.cleaning import Scanned, empty_batch, filtered_batch, scan_records
from pykafka_store.format.index import (
    AbortedTransaction,
    aborted_transactions,
    pack_offset_entry,
    pack_time_entry,
)
from pykafka_store.format.names import (
    CLEANED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
    segment_file,
)
from pykafka_store.model import TopicPartition

DEDUPE_BUFFER_SIZE = 128 << 20
"""log.cleaner.dedupe.buffer.size: bytes that the map of keys may take."""

_LONGEST_KEY = 31
"""Longer keys are mapped by a hash of 32 bytes, which no key of this length can be taken for."""
_ENTRY_COST = 90 + 32 + 33 + 15
"""Bytes that an entry of the map takes besides its key's: the dict at its fullest, just before it has moved to a table
twice the size; an int; what bytes have besides their content, and what malloc rounds up."""
_INT32_MAX = (1 << 31) - 1
_WRITE_SIZE = 1 << 20
_CLEANED_INDEXES = (TRANSACTION_INDEX_SUFFIX, TIME_INDEX_SUFFIX, INDEX_SUFFIX)

Hold = Callable[[], AbstractContextManager[None]]
"""Takes the partition's lock."""


class Compacted(NamedTuple):
    """What compaction did to a replica."""

    passes: int = 0
    records: int = 0
    """Records that were taken away."""
    bytes: int = 0
    """Bytes by which the log became smaller."""
    read: int = 0
    """Records that were looked at while copying, over all passes."""


class Compaction:
    """One replica's compaction. All methods need the upkeep lock."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        name: TopicPartition,
        replica: ReplicaLog,
        hold: Hold,
        config: TopicConfig,
        buffer_size: int = DEDUPE_BUFFER_SIZE,
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        """``on_read`` is called with each number of bytes that are read."""
        self._on_read = on_read
        self._disk = disk
        self._directory = directory
        self._name = name
        self._replica = replica
        self._hold = hold
        self._config = config
        self._buffer_size = buffer_size

    def run(self, now_ms: int) -> Compacted:
        """Compact if it is time to. Raises CorruptRecordError, StorageError, UnknownTopicOrPartitionError."""
        with self._hold():
            state = self._replica.load_locked()
        segments = segments_of(self._disk, self._directory, state)
        first_dirty = self._first_dirty(state.log_start_offset, state.log_end_offset)
        limit = cleanable_until(segments, first_dirty, self._config, now_ms)
        if not self._is_due(segments, first_dirty, limit, now_ms):
            return Compacted()
        # Before a gap can be seen: the checkpoint, by which recovery knows, and then the flag.
        self._write_checkpoint(first_dirty)
        with self._hold():
            state = self._replica.load_locked()
            if not state.has_gaps:
                self._replica.publish_synced(state._replace(flags=state.flags | states.COMPACTED))
        done = Compacted()
        while first_dirty < limit:
            one, first_dirty = self._pass(segments_of(self._disk, self._directory, state), first_dirty, limit, now_ms)
            done = Compacted(*map(add, done, one))
            self._write_checkpoint(first_dirty)
        return done

    def _pass(self, segments: Sequence[Segment], first_dirty: int, limit: int, now_ms: int) -> tuple[Compacted, int]:
        """One pass; returns what it did, and where the dirty part begins now. The map of its keys goes with it: there
        is never a second one.
        """
        aborted = self._aborted(segments)
        latest, end = self._map(segments, first_dirty, limit, aborted)
        assert end > first_dirty
        sealed = [segment for segment in segments if segment.base_offset < limit]
        one = _Pass(self, latest, end, aborted, sealed, now_ms)
        done = Compacted(passes=1)
        for group in grouped([segment for segment in sealed if segment.base_offset < end], self._config):
            records, freed, read = one.clean(group)
            done = Compacted(done.passes, done.records + records, done.bytes + freed, done.read + read)
        return done, end

    # ---------------------------------------------------------------------------------------------------- is it time

    def _first_dirty(self, start: int, end: int) -> int:
        """Where the checkpoint says the dirty part begins, if that is in the log at all."""
        path = os.path.join(self._directory, CLEANER_CHECKPOINT_FILE)
        try:
            found = parse_cleaner_checkpoint(self._disk.read_file(path).decode("ascii", "replace"))
        except (FileNotFoundError, CorruptRecordError):
            return start
        return found if start <= found <= end else start

    def _write_checkpoint(self, offset: int) -> None:
        path = os.path.join(self._directory, CLEANER_CHECKPOINT_FILE)
        with self._hold():
            self._replica.load_locked()  # else it might be written for another topic of the same name
            self._disk.replace_file(path, format_cleaner_checkpoint(*self._name, offset).encode())

    def _is_due(self, segments: Sequence[Segment], first_dirty: int, limit: int, now_ms: int) -> bool:
        """Source: LogCleanerManager#grabFilthiestCompactedLog, #maxCompactionDelay."""
        dirty = [each for each in segments if each.end_offset > first_dirty and each.base_offset < limit]
        dirty_bytes = sum(segment.size for segment in dirty)
        if not dirty_bytes or limit <= first_dirty:
            return False
        clean_bytes = sum(segment.size for segment in segments if segment.base_offset < first_dirty)
        if dirty_bytes / (clean_bytes + dirty_bytes) > self._config.min_cleanable_dirty_ratio:
            return True
        lag = self._config.max_compaction_lag_ms
        return lag < LONG_MAX and any(0 < self._first_timestamp(segment) < now_ms - lag for segment in dirty)

    def _first_timestamp(self, segment: Segment) -> int:
        """The largest timestamp of a segment's first batch; -1 where there is none."""
        for header in self._headers(segment):
            return header.max_timestamp
        return -1

    def _headers(self, segment: Segment) -> Iterator[BatchHeader]:
        path = segment_path(self._directory, segment.base_offset)
        descriptor = self._disk.open(path)
        try:
            base = segment.base_offset
            for _, header in walk_headers(self._disk, descriptor, path, segment.size, base, gaps=True):
                yield header
        finally:
            self._disk.close(descriptor)

    # --------------------------------------------------------------------------------------------- the keys' offsets

    def _map(
        self, segments: Sequence[Segment], start: int, limit: int, aborted: Aborted
    ) -> tuple[dict[bytes, int], int]:
        """The last offset of each key from ``start`` on, as far as the buffer goes; and the first offset that is not
        in it.
        """
        latest: dict[bytes, int] = {}
        taken, end = 0, start
        for segment in segments:
            if segment.end_offset <= start or segment.base_offset >= limit:
                continue
            for batch in self._batches(segment):
                header = batch.header
                if header.last_offset < start:
                    continue
                if taken > self._buffer_size and end > start:
                    return latest, end
                if header.record_count and not header.is_control and not aborted.covers(header):
                    scanned = scan_records(batch.payload(), header.record_count)
                    before = len(latest)
                    latest.update(_pairs(header, scanned, start))
                    size = _mean_size(scanned.keys)
                    taken += (len(latest) - before) * (_ENTRY_COST + size)
                end = header.last_offset + 1
            end = segment.end_offset
        return latest, min(end, limit)

    def _aborted(self, segments: Iterable[Segment]) -> Aborted:
        found: list[AbortedTransaction] = []
        for segment in segments:
            path = segment_path(self._directory, segment.base_offset, TRANSACTION_INDEX_SUFFIX)
            with suppress(FileNotFoundError):  # most segments have none
                found += aborted_transactions(self._disk.read_file(path, limit=1 << 26))
        return Aborted(found)

    def _batches(self, segment: Segment) -> Iterator[Batch]:
        """A sealed segment's batches, each checked. Raises CorruptRecordError."""
        path = segment_path(self._directory, segment.base_offset)
        descriptor = self._disk.open(path)
        try:
            position, size = 0, self._disk.size(descriptor)
            while batches := read_batches(self._disk, descriptor, path, position, size):
                if self._on_read is not None:
                    self._on_read(sum(len(batch.data) for batch in batches))
                for batch in batches:
                    if not batch.is_valid:
                        raise damaged(path, batch.position, "the CRC of a batch is wrong: it is not compacted")
                    position = batch.position + batch.header.size
                    yield batch
        finally:
            self._disk.close(descriptor)


class Aborted:
    """Which batches belong to transactions that were aborted."""

    def __init__(self, entries: Iterable[AbortedTransaction]) -> None:
        self._by_producer: dict[int, list[AbortedTransaction]] = {}
        for entry in entries:
            self._by_producer.setdefault(entry.producer_id, []).append(entry)

    def covers(self, header: BatchHeader) -> bool:
        if not header.is_transactional or header.is_control:
            return False
        entries = self._by_producer.get(header.producer_id, ())
        return any(entry.first_offset <= header.base_offset <= entry.last_offset for entry in entries)


def cleanable_until(segments: Sequence[Segment], first_dirty: int, config: TopicConfig, now_ms: int) -> int:
    """The offset before which a log may be compacted. Source: LogCleanerManager#cleanableOffsets."""
    if config.min_compaction_lag_ms > 0:
        for segment in segments[:-1]:
            young = segment.largest_timestamp > now_ms - config.min_compaction_lag_ms
            if young and segment.end_offset > first_dirty:
                return segment.base_offset
    return segments[-1].base_offset


def grouped(segments: Sequence[Segment], config: TopicConfig) -> list[list[Segment]]:
    """Neighbours that together are one segment of the size that the topic wants. Source: Cleaner#groupSegmentsBySize,
    but for the sizes of indexes: those made here are made for the new segment.
    """
    groups: list[list[Segment]] = []
    size = 0
    for segment in segments:
        fits = groups and size + segment.size <= config.segment_bytes
        if fits and segment.end_offset - 1 - groups[-1][0].base_offset <= _INT32_MAX:
            groups[-1].append(segment)
            size += segment.size
        else:
            groups.append([segment])
            size = segment.size
    return groups


def _mapped(key: bytes) -> bytes:
    return key if len(key) <= _LONGEST_KEY else blake2b(key, digest_size=32).digest()


def _mapped_keys(keys: list[bytes | None]) -> list[bytes | None]:
    """Keys as they stand in the map; the usual column, of short keys, as it is."""
    if max(map(len, filter(None, keys)), default=0) <= _LONGEST_KEY:
        return keys
    return [None if key is None else _mapped(key) for key in keys]


def _mean_size(keys: Sequence[bytes | None]) -> int:
    return min(_LONGEST_KEY + 1, sum(map(len, filter(None, keys))) // len(keys) + 1)


def _pairs(header: BatchHeader, scanned: Scanned, start: int) -> Iterable[tuple[bytes, int]]:
    """(key, offset) of the records from offset ``start`` on that have a key."""
    keys = _mapped_keys(scanned.keys)
    base = header.base_offset
    offsets = [base + delta for delta in scanned.offset_deltas]
    if base >= start and None not in keys:
        return zip(keys, offsets, strict=True)  # type: ignore[arg-type]
    return [(key, at) for key, at in zip(keys, offsets, strict=True) if key is not None and at >= start]


# ------------------------------------------------------------------------------------------------------------- copying


class _Pass:
    """One pass: the segments anew, without what the map says is replaced."""

    def __init__(
        self,
        compaction: Compaction,
        latest: dict[bytes, int],
        end: int,
        aborted: Aborted,
        segments: Sequence[Segment],
        now_ms: int,
    ) -> None:
        self._compaction = compaction
        self._disk = compaction._disk
        self._directory = compaction._directory
        self._config = compaction._config
        self._latest = latest
        self._end = end
        """Records at or beyond it are not in the map, and stay."""
        self._aborted = aborted
        self._segments = segments
        self._now_ms = now_ms
        self._last_batches: dict[int, int] | None = None
        self._in_transaction: set[int] = set()
        """Producers of whose transaction this pass has met a batch, and not yet the marker."""

    def clean(self, group: Sequence[Segment]) -> tuple[int, int, int]:
        """Write a group's segments as one, and put it in their place. Returns (records taken away, bytes freed,
        records looked at).
        """
        base = group[0].base_offset
        writer = _SegmentWriter(self._disk, self._directory, base, self._config.index_interval_bytes)
        read = kept = 0
        changed = len(group) > 1
        try:
            emptied: BatchHeader | None = None
            for segment in group:
                for batch in self._compaction._batches(segment):
                    read += batch.header.record_count
                    data, count = self._filtered(batch)
                    kept += count
                    changed = changed or data is not batch.data
                    emptied = None if data else batch.header
                    if data:
                        writer.add(data)
            if emptied is not None:
                writer.add(empty_batch(emptied))
            if not changed:
                writer.discard()
                return 0, 0, read
            writer.finish(self._transaction_index(group))
        except BaseException:
            writer.discard()
            raise
        with self._compaction._hold():
            try:
                self._compaction._replica.load_locked()  # the topic is still there, and has not been made again
                _decide(self._disk, self._directory, base)
            except BaseException:
                writer.discard()
                raise
            _replace(self._disk, self._directory, base, group[-1].end_offset)
        return read - kept, sum(segment.size for segment in group) - writer.size, read

    def _filtered(self, batch: Batch) -> tuple[bytes, int]:
        """What stays of a batch, and how many records: ``batch.data`` itself if that is all, nothing if none."""
        header = batch.header
        if header.is_control:
            return self._filtered_marker(batch)
        if header.is_transactional:
            self._in_transaction.add(header.producer_id)
        if header.base_offset >= self._end:
            return batch.data, header.record_count
        if not header.record_count or self._aborted.covers(header):
            return self._emptied(header), 0
        payload = batch.payload()
        scanned = scan_records(payload, header.record_count)
        kept = self._kept(header, scanned)
        if not kept:
            return self._emptied(header), 0
        horizon = None
        if scanned.tombstones and header.delete_horizon_ms is None and not set(kept).isdisjoint(scanned.tombstones):
            horizon = self._now_ms + self._config.delete_retention_ms
        elif len(kept) == header.record_count:
            return batch.data, len(kept)
        return filtered_batch(header, payload, scanned, kept, horizon), len(kept)

    def _kept(self, header: BatchHeader, scanned: Scanned) -> Sequence[int]:
        """Indexes of the records that stay. Source: Cleaner#shouldRetainRecord."""
        base, end, latest = header.base_offset, self._end, self._latest
        keys = _mapped_keys(scanned.keys)
        offsets = [base + delta for delta in scanned.offset_deltas]
        if None in keys:
            stays = [
                at >= end or (key is not None and latest.get(key, -1) <= at)
                for key, at in zip(keys, offsets, strict=True)
            ]
        else:
            newest = list(map(latest.get, keys, offsets))  # type: ignore[arg-type]
            if newest == offsets:
                stays = None
            else:
                stays = list(map(le, newest, offsets))  # type: ignore[arg-type]
        expired = header.delete_horizon_ms is not None and header.delete_horizon_ms <= self._now_ms
        if expired and scanned.tombstones:
            stays = stays or [True] * len(offsets)
            for index in scanned.tombstones:
                stays[index] = stays[index] and offsets[index] >= end
        if stays is None:
            return range(len(offsets))
        return [index for index, stay in enumerate(stays) if stay]

    def _filtered_marker(self, batch: Batch) -> tuple[bytes, int]:
        """A transaction's marker stays while anything of the transaction does, and ``delete.retention.ms`` longer.

        Source: Cleaner.CleanedTransactionMetadata#onControlBatchRead and #checkBatchRetention.
        """
        header = batch.header
        needed = header.producer_id in self._in_transaction
        self._in_transaction.discard(header.producer_id)
        if needed or not header.record_count or header.base_offset >= self._end or header.producer_id < 0:
            return batch.data, header.record_count
        if header.delete_horizon_ms is None:
            payload = batch.payload()
            scanned = scan_records(payload, header.record_count)
            horizon = self._now_ms + self._config.delete_retention_ms
            every = range(header.record_count)
            return filtered_batch(header, payload, scanned, every, horizon), header.record_count
        if header.delete_horizon_ms > self._now_ms:
            return batch.data, header.record_count
        return self._emptied(header), 0

    def _emptied(self, header: BatchHeader) -> bytes:
        """The batch without records if it is its producer's last one, else nothing."""
        if header.producer_id < 0:
            return b""
        if self._last_batches is None:
            self._last_batches = {}
            for segment in self._segments:
                for each in self._compaction._headers(segment):
                    if each.producer_id >= 0:
                        self._last_batches[each.producer_id] = each.last_offset
        return empty_batch(header) if self._last_batches.get(header.producer_id) == header.last_offset else b""

    def _transaction_index(self, group: Sequence[Segment]) -> bytes:
        """The group's entries together: one too many says nothing of a batch that is gone."""
        found = []
        for segment in group:
            path = segment_path(self._directory, segment.base_offset, TRANSACTION_INDEX_SUFFIX)
            with suppress(FileNotFoundError):  # most segments have none
                found.append(self._disk.read_file(path, limit=1 << 26))
        return b"".join(found)


class _SegmentWriter:
    """``BASE.log.cleaned`` and its indexes."""

    def __init__(self, disk: Disk, directory: str, base: int, index_interval: int) -> None:
        self._disk = disk
        self._directory = directory
        self._base = base
        self._index_interval = index_interval
        self._path = segment_path(directory, base, LOG_SUFFIX + CLEANED_SUFFIX)
        self._log: int | None = disk.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self.size = 0
        self._indexed = 0
        self._index: list[bytes] = []
        self._time_index: list[bytes] = []
        self._last_time_entry = self._newest = self._newest_offset = -1

    def add(self, data: bytes) -> None:
        header = parse_header(data)
        if header.record_count and header.max_timestamp > self._newest:
            self._newest, self._newest_offset = header.max_timestamp, header.last_offset
        if self.size - self._indexed > self._index_interval:
            self._index.append(pack_offset_entry(self._base, header.last_offset, self.size))
            self._add_time_entry()
            self._indexed = self.size
        self._pieces.append(data)
        self.size += len(data)
        self._waiting += len(data)
        if self._waiting >= _WRITE_SIZE:
            self._flush()

    def _add_time_entry(self) -> None:
        if self._newest > self._last_time_entry:
            self._time_index.append(pack_time_entry(self._base, self._newest, self._newest_offset))
            self._last_time_entry = self._newest

    def _flush(self) -> None:
        assert self._log is not None
        self._disk.write_at(self._log, self._pieces, self.size - self._waiting, self._path)
        self._pieces, self._waiting = [], 0

    def finish(self, transaction_index: bytes) -> None:
        """All of it on the disk itself, under its temporary names."""
        self._flush()
        assert self._log is not None
        self._disk.sync(self._log, self._path)
        self._disk.close(self._log)
        self._log = None
        self._add_time_entry()
        for suffix, data in (
            (INDEX_SUFFIX, b"".join(self._index)),
            (TIME_INDEX_SUFFIX, b"".join(self._time_index)),
            (TRANSACTION_INDEX_SUFFIX, transaction_index),
        ):
            if data or suffix != TRANSACTION_INDEX_SUFFIX:
                path = segment_path(self._directory, self._base, suffix + CLEANED_SUFFIX)
                descriptor = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                try:
                    self._disk.write_at(descriptor, [data], 0, path)
                    self._disk.sync(descriptor, path)
                finally:
                    self._disk.close(descriptor)
        self._disk.sync_directory(self._directory)

    def discard(self) -> None:
        if self._log is not None:
            self._disk.close(self._log)
            self._log = None
        _discard(self._disk, self._directory, self._base)


# ------------------------------------------------------------------------------------------------------------ replacing


def finish_interrupted(disk: Disk, directory: str) -> None:
    """Finish what a compaction that was killed had decided, and throw away what it had not. Needs the upkeep lock and
    the partition's.
    """
    names = set(disk.list(directory))
    left = {int(name[:20]) for name in names if name.endswith((CLEANED_SUFFIX, SWAP_SUFFIX)) and name[:20].isdigit()}
    for base in sorted(left):
        if segment_file(base, LOG_SUFFIX + SWAP_SUFFIX) in names:
            _replace(disk, directory, base, None)
        elif segment_file(base, LOG_SUFFIX + CLEANED_SUFFIX) in names:
            _discard(disk, directory, base)
        else:
            _settle(disk, directory, base, None)


def _discard(disk: Disk, directory: str, base: int) -> None:
    """Throw away what was not decided; the log last, for indexes alone say that the log is in its place."""
    for suffix in (*_CLEANED_INDEXES, LOG_SUFFIX):
        disk.remove(segment_path(directory, base, suffix + CLEANED_SUFFIX))


def _decide(disk: Disk, directory: str, base: int) -> None:
    log = segment_path(directory, base)
    disk.rename(log + CLEANED_SUFFIX, log + SWAP_SUFFIX)
    disk.sync_directory(directory)


def _replace(disk: Disk, directory: str, base: int, end: int | None) -> None:
    for suffix in _CLEANED_INDEXES:
        disk.remove(segment_path(directory, base, suffix))
    log = segment_path(directory, base)
    disk.rename(log + SWAP_SUFFIX, log)
    disk.sync_directory(directory)
    _settle(disk, directory, base, end)


def _settle(disk: Disk, directory: str, base: int, end: int | None) -> None:
    """``end``: the offset at which the new segment ends; None to find out."""
    if end is None:
        end = _end_of(disk, segment_path(directory, base), base)
    for other in list_segments(disk, directory):
        if base < other < end:
            for suffix in FILES_OF_A_SEGMENT:
                disk.remove(segment_path(directory, other, suffix))
    disk.sync_directory(directory)
    for suffix in _CLEANED_INDEXES:
        path = segment_path(directory, base, suffix)
        with suppress(FileNotFoundError):  # no transactions, or done before the kill
            disk.rename(path + CLEANED_SUFFIX, path)
    disk.sync_directory(directory)


def _end_of(disk: Disk, path: str, base: int) -> int:
    """The offset after a segment's last batch, which is always there."""
    end = base
    descriptor = disk.open(path)
    try:
        for _, header in walk_headers(disk, descriptor, path, disk.size(descriptor), base, gaps=True):
            end = header.last_offset + 1
    finally:
        disk.close(descriptor)
    return end
