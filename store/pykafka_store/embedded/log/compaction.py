"""Compaction: of each key, keep the newest record.

Source: org.apache.kafka.storage.internals.log.LogCleanerManager of Kafka 4.3. The log is a clean part, which earlier
passes went through, and a dirty one. A pass maps the keys of the dirty part to their last offsets, and then writes all
segments up to its end anew (:mod:`pykafka_store.embedded.log.cleaner`), leaving out every record that a later one of
the same key replaces. The new segments take the places of the old ones
(:mod:`pykafka_store.embedded.log.cleaned_segment`).

Never touched: the active segment, segments younger than ``min.compaction.lag.ms`` and all behind them.

Memory is bounded: when the map of keys has grown to ``buffer_size`` (log.cleaner.dedupe.buffer.size), the pass ends
there, and another one follows.

Before any gap can be seen, the checkpoint (``cleaner-offset-checkpoint``) is there, by which recovery knows of gaps,
and the state's flag COMPACTED is published and synced. When all segments of a pass are replaced, the checkpoint says up
to which offset. A kill before that makes the next pass do again what was done, to the same end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from operator import add
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.cleaned_segment import CleanedSegment
from pykafka_store.embedded.log.cleaner import Cleaner, Source
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.retention import SegmentSpan, spans_of
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.log.transactions import AbortedTransactions, first_open_transaction
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import state as states
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    format_cleaner_checkpoint,
    parse_cleaner_checkpoint,
)
from pykafka_store.format.state import PublishedState
from pykafka_store.model import TopicPartition
from pykafka_store.settings.configs import LONG_MAX, TopicConfig

DEDUPE_BUFFER_SIZE = 128 << 20
"""log.cleaner.dedupe.buffer.size: bytes that the map of keys may take."""

_INT32_MAX = (1 << 31) - 1

Hold = Callable[[], AbstractContextManager[bool]]
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
        spans = spans_of(self._disk, self._directory, state)
        first_dirty = self._first_dirty(state.log_start_offset, state.log_end_offset)
        limit = cleanable_until(spans, first_dirty, self._config, now_ms, self._stable(state, spans))
        if not self._is_due(spans, first_dirty, limit, now_ms):
            return Compacted()
        # Before a gap can be seen: the checkpoint, by which recovery knows, and then the flag.
        self._write_checkpoint(first_dirty)
        with self._hold():
            state = self._replica.load_locked()
            if not state.has_gaps:
                self._replica.publish_synced(state._replace(flags=state.flags | states.COMPACTED))
        done = Compacted()
        while first_dirty < limit:
            one, first_dirty = self._pass(spans_of(self._disk, self._directory, state), first_dirty, limit, now_ms)
            done = Compacted(*map(add, done, one))
            self._write_checkpoint(first_dirty)
        return done

    def _pass(self, spans: Sequence[SegmentSpan], first_dirty: int, limit: int, now_ms: int) -> tuple[Compacted, int]:
        """One pass; returns what it did, and where the dirty part begins now. The map of its keys goes with it: there
        is never a second one.
        """
        sources = [self._source(span) for span in spans if span.base_offset < limit]
        # The entry of an aborted transaction is in the segment that holds its marker: maybe in one that is not cleaned.
        aborted = AbortedTransactions(self._segment(span.base_offset) for span in spans)
        cleaner = Cleaner(sources, aborted, now_ms, self._config.delete_retention_ms, self._on_read)
        end = cleaner.map_keys(first_dirty, limit, self._buffer_size)
        assert end > first_dirty
        done = Compacted(passes=1)
        for group in grouped([source for source in sources if source.base_offset < end], self._config):
            records, freed, read = self._clean(cleaner, group)
            done = Compacted(done.passes, done.records + records, done.bytes + freed, done.read + read)
        return done, end

    def _source(self, span: SegmentSpan) -> Source:
        return Source(self._segment(span.base_offset), span.base_offset, span.end_offset, span.size)

    def _segment(self, base: int) -> Segment:
        return Segment(self._disk, self._directory, base)

    def _clean(self, cleaner: Cleaner, group: Sequence[Source]) -> tuple[int, int, int]:
        """Write a group's segments as one, and put it in their place. Returns (records taken away, bytes freed,
        records looked at).
        """
        cleaned = CleanedSegment(self._disk, self._directory, group[0].base_offset)
        cleaned.begin(self._config.index_interval_bytes)
        try:
            written = cleaner.write(group, cleaned)
            if not written.changed:
                cleaned.discard()
                return 0, 0, written.read
        except BaseException:
            cleaned.discard()
            raise
        with self._hold():
            try:
                self._replica.load_locked()  # the topic is still there, and has not been made again
                cleaned.decide()
            except BaseException:
                cleaned.discard()
                raise
            cleaned.replace(group[-1].end_offset)
        return written.read - written.kept, sum(source.size for source in group) - written.size, written.read

    # ---------------------------------------------------------------------------------------------------- is it time

    def _stable(self, state: PublishedState, spans: Sequence[SegmentSpan]) -> int:
        """The last stable offset. What lies beyond may go again, or count for nothing: it takes no place yet."""
        first = first_open_transaction(self._disk, self._directory, state, [span.base_offset for span in spans])
        return state.high_watermark if first is None else min(first, state.high_watermark)

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

    def _is_due(self, spans: Sequence[SegmentSpan], first_dirty: int, limit: int, now_ms: int) -> bool:
        """Source: LogCleanerManager#grabFilthiestCompactedLog, #maxCompactionDelay."""
        dirty = [span for span in spans if span.end_offset > first_dirty and span.base_offset < limit]
        dirty_bytes = sum(span.size for span in dirty)
        if not dirty_bytes or limit <= first_dirty:
            return False
        clean_bytes = sum(span.size for span in spans if span.base_offset < first_dirty)
        if dirty_bytes / (clean_bytes + dirty_bytes) > self._config.min_cleanable_dirty_ratio:
            return True
        lag = self._config.max_compaction_lag_ms
        return lag < LONG_MAX and any(0 < self._first_timestamp(span) < now_ms - lag for span in dirty)

    def _first_timestamp(self, span: SegmentSpan) -> int:
        """The largest timestamp of a segment's first batch, in ms; -1 where there is none."""
        for _, header in self._segment(span.base_offset).headers(span.size, gaps=True):
            return header.max_timestamp
        return -1


def cleanable_until(
    spans: Sequence[SegmentSpan], first_dirty: int, config: TopicConfig, now_ms: int, stable: int
) -> int:
    """The offset before which a log may be compacted. ``stable`` is its last stable offset: nothing that follows is
    looked at. Source: LogCleanerManager#cleanableOffsets.
    """
    lag = config.min_compaction_lag_ms
    for span in spans[:-1]:
        is_young = lag > 0 and span.end_offset > first_dirty and not span.is_older_than(now_ms - lag + 1)
        if span.end_offset > stable or is_young:
            return span.base_offset
    return spans[-1].base_offset


def grouped(sources: Iterable[Source], config: TopicConfig) -> list[list[Source]]:
    """Neighbours that together are one segment of the size that the topic wants. Source: Cleaner#groupSegmentsBySize,
    but for the sizes of indexes: those made here are made for the new segment.
    """
    groups: list[list[Source]] = []
    size = 0
    for source in sources:
        fits = groups and size + source.size <= config.segment_bytes
        if fits and source.end_offset - 1 - groups[-1][0].base_offset <= _INT32_MAX:
            groups[-1].append(source)
            size += source.size
        else:
            groups.append([source])
            size = source.size
    return groups
