"""The cleaner: which records of a log compaction keeps, and the batches of a segment written anew without the others.

Source: org.apache.kafka.storage.internals.log.Cleaner of Kafka 4.3. What is kept:

- offsets, timestamps, headers, and the first and last offset of every batch: gaps appear, nothing moves;
- tombstones (null values) for ``delete.retention.ms`` after the first pass that met them, so that a reader who is
  behind learns of the deletion: that pass writes the time into the batch (its delete horizon), a later one removes
  them. Markers of transactions likewise, once nothing of their transaction is left;
- the last batch of every producer id, for its sequence, and the last batch of every segment, so that a segment says
  itself how far it goes: maybe without records.

Records without a key and those of aborted transactions go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from operator import le
from typing import NamedTuple

from pykafka_store.embedded.log.cleaned_segment import CleanedSegment
from pykafka_store.embedded.log.open_file import damaged
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.log.transactions import AbortedTransactions
from pykafka_store.format.batch import Batch, BatchHeader
from pykafka_store.format.cleaning import Scanned, empty_batch, filtered_batch, scan_records

_LONGEST_KEY = 31
"""Longer keys are mapped by a hash of 32 bytes, which no key of this length can be taken for."""
_ENTRY_COST = 90 + 32 + 33 + 15
"""Bytes that an entry of the map takes besides its key's: the dict at its fullest, just before it has moved to a table
twice the size; an int; what bytes have besides their content, and what malloc rounds up."""


class Source(NamedTuple):
    """A sealed segment that goes into a new one."""

    segment: Segment
    base_offset: int
    end_offset: int
    """The offset after its last one."""
    size: int
    """Bytes of its log."""


class Written(NamedTuple):
    """What became of a group of segments."""

    changed: bool
    """Whether the new segment says anything else than the old ones."""
    read: int
    """Records that were looked at."""
    kept: int
    """Records that are in the new segment."""
    size: int
    """Bytes of its log."""


class Cleaner:
    """One pass over sealed segments: first :meth:`map_keys`, and then :meth:`write` for each group of them."""

    def __init__(
        self,
        sources: Sequence[Source],
        aborted: AbortedTransactions,
        now_ms: int,
        delete_retention_ms: int,
        on_read: Callable[[int], None] | None,
    ) -> None:
        """``on_read`` is called with each number of bytes that are read."""
        self._sources = sources
        self._now_ms = now_ms
        self._delete_retention_ms = delete_retention_ms
        self._on_read = on_read
        self._aborted = aborted
        self._latest: dict[bytes, int] = {}
        self._end = 0
        """Records at or beyond it are not in the map, and stay."""
        self._last_batches: dict[int, int] | None = None
        self._in_transaction: set[int] = set()
        """Producers of whose transaction this pass has met a batch, and not yet the marker."""

    def map_keys(self, start: int, limit: int, buffer_size: int) -> int:
        """Learn the last offset of each key from ``start`` on, as far as ``buffer_size`` bytes go. Returns the first
        offset that is not covered, at most ``limit``.
        """
        self._end = min(self._mapped_until(start, limit, buffer_size), limit)
        return self._end

    def _mapped_until(self, start: int, limit: int, buffer_size: int) -> int:
        latest = self._latest
        taken, end = 0, start
        for source in self._sources:
            if source.end_offset <= start or source.base_offset >= limit:
                continue
            for batch in self._batches(source):
                header = batch.header
                if header.last_offset < start:
                    continue
                if taken > buffer_size and end > start:
                    return end
                if header.record_count and not header.is_control and not self._aborted.cover(header):
                    scanned = scan_records(batch.payload(), header.record_count)
                    before = len(latest)
                    latest.update(_pairs(header, scanned, start))
                    size = _mean_size(scanned.keys)
                    taken += (len(latest) - before) * (_ENTRY_COST + size)
                end = header.last_offset + 1
            end = source.end_offset
        return end

    def _batches(self, source: Source) -> Iterator[Batch]:
        """A sealed segment's batches, each checked. Raises CorruptRecordError."""
        with source.segment.open() as log:
            position, size = 0, log.size()
            while batches := log.batches(position, size):
                if self._on_read is not None:
                    self._on_read(sum(len(batch.data) for batch in batches))
                for batch in batches:
                    if not batch.is_valid:
                        raise damaged(log.path, batch.position, "the CRC of a batch is wrong: it is not compacted")
                    position = batch.position + batch.header.size
                    yield batch

    def write(self, group: Sequence[Source], cleaned: CleanedSegment) -> Written:
        """Write what stays of a group's segments as one, which was begun; to the disk itself if it says anything else
        than they do.
        """
        read = kept = 0
        changed = len(group) > 1
        emptied: BatchHeader | None = None
        for source in group:
            for batch in self._batches(source):
                read += batch.header.record_count
                data, count = self._filtered(batch)
                kept += count
                changed = changed or data is not batch.data
                emptied = None if data else batch.header
                if data:
                    cleaned.add(data)
        if emptied is not None:
            cleaned.add(empty_batch(emptied))
        if changed:
            # Entries of the transaction index that say something of batches that are gone do no harm.
            cleaned.finish(b"".join(source.segment.transaction_index() for source in group))
        return Written(changed, read, kept, cleaned.size)

    def _filtered(self, batch: Batch) -> tuple[bytes, int]:
        """What stays of a batch, and how many records: ``batch.data`` itself if that is all, nothing if none."""
        header = batch.header
        if header.is_control:
            return self._filtered_marker(batch)
        if header.is_transactional:
            self._in_transaction.add(header.producer_id)
        if header.base_offset >= self._end:
            return batch.data, header.record_count
        if not header.record_count or self._aborted.cover(header):
            return self._emptied(header), 0
        payload = batch.payload()
        scanned = scan_records(payload, header.record_count)
        kept = self._kept(header, scanned)
        if not kept:
            return self._emptied(header), 0
        horizon = None
        if scanned.tombstones and header.delete_horizon_ms is None and not set(kept).isdisjoint(scanned.tombstones):
            horizon = self._now_ms + self._delete_retention_ms
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
            horizon = self._now_ms + self._delete_retention_ms
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
            for source in self._sources:
                for _, each in source.segment.headers(source.size, gaps=True):
                    if each.producer_id >= 0:
                        self._last_batches[each.producer_id] = each.last_offset
        return empty_batch(header) if self._last_batches.get(header.producer_id) == header.last_offset else b""


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
