"""One reader of one replica's log. Takes no lock and changes nothing; stops at the high watermark.

A read maps an offset to a segment (bisection over the directory's names), to a position (its index), and then reads
whole batches forward, checking each CRC. The next read goes on where the last one stopped. Segments that retention,
compaction or a topic's deletion takes away are a normal event: an open file stays readable, and a name that is gone
makes it look again.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.recovery import recover
from pykafka_store.embedded.log.segments import READ_SIZE, damaged, list_segments, read_batches, segment_path
from pykafka_store.errors import CorruptRecordError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from pykafka_store.format import state as states
from pykafka_store.format.batch import Batch, decode_records
from pykafka_store.format.index import (
    OFFSET_ENTRY,
    TIME_ENTRY,
    AbortedTransaction,
    aborted_transactions,
    offset_for_timestamp,
    position_for_offset,
)
from pykafka_store.format.names import INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX
from pykafka_store.format.state import PublishedState, parse_state
from pykafka_store.model import TimestampType, topic_id_bytes

_STATE_TRIES = 200
"""Reads of a state that does not check, a millisecond apart, before it is taken to be damaged and not just being
written.
"""


class LogReader:
    """Reads one replica directory. Cheap to make; open files are kept until ``close``."""

    def __init__(self, disk: Disk, directory: str, topic: str, partition: int, topic_id: str, boot_id: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self.topic = topic
        self.partition = partition
        self._topic_id = topic_id_bytes(topic_id)
        self._boot_id = boot_id
        self._state_path = os.path.join(directory, states.FILE_NAME)
        self._state_file: int | None = None
        self._raw_state = b""
        self._state: PublishedState | None = None
        self._segment: int | None = None
        self._segment_path = ""
        self._segment_base = -1
        self._position = 0
        self._next_offset = -1
        """What lies at ``_position`` of the open segment; -1 before the first read."""
        self._aborted: list[AbortedTransaction] | None = None

    @property
    def label(self) -> str:
        return f"{self.topic}-{self.partition}"

    def close(self) -> None:
        self._close_segment()
        if self._state_file is not None:
            self._disk.close(self._state_file)
            self._state_file = None

    # -------------------------------------------------------------------------------------------------------- state

    def state(self) -> PublishedState:
        """The published state, as of now.

        A state of another boot, or one that is lost, is replaced by what the log's bytes say: no writer has looked at
        it yet. Raises UnknownTopicOrPartitionError if the partition was deleted.
        """
        raw = self._read_raw()
        if self._state is None or raw != self._raw_state:
            self._state = self._interpret(raw)
            self._raw_state = raw
        if self._state.deleted or self._state.topic_id != self._topic_id:
            raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted while it was read")
        return self._state

    def _read_raw(self) -> bytes:
        if self._state_file is None:
            try:
                self._state_file = self._disk.open(self._state_path)
            except FileNotFoundError:
                if not self._disk.exists(self._directory):
                    raise UnknownTopicOrPartitionError(
                        f"{self.label} is gone: {self._directory} does not exist"
                    ) from None
                return b""
        return self._disk.read_at(self._state_file, states.SIZE, 0, self._state_path)

    def _interpret(self, raw: bytes) -> PublishedState:
        published: PublishedState | None = None
        for _ in range(_STATE_TRIES if raw else 0):
            try:
                published = parse_state(raw)
                break
            except CorruptRecordError:
                time.sleep(0.001)  # most likely read in the middle of a publish
                raw = self._read_raw()
        if published is not None and (published.boot_id == self._boot_id or published.deleted):
            return published
        return recover(self._disk, self._directory, published, self._topic_id, self._boot_id, self.label).state

    # --------------------------------------------------------------------------------------------------------- read

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:
        """Batches from the one that holds ``offset`` on, about ``size`` bytes of them; [] at the high watermark.

        Control batches and batches that compaction emptied are among them. Raises OffsetOutOfRangeError,
        CorruptRecordError (naming partition, offset and file), UnknownTopicOrPartitionError.
        """
        while True:
            state = self.state()
            if not state.log_start_offset <= offset <= state.high_watermark:
                raise OffsetOutOfRangeError(
                    f"Offset {offset} of {self.label} is out of range: it holds {state.log_start_offset} to "
                    f"{state.high_watermark}"
                )
            if offset == state.high_watermark:
                return []
            try:
                batches = self._read_at(state, offset, size)
            except FileNotFoundError:
                # Retention or compaction took the segment between our looking and our opening it.
                self._close_segment()
                self._require_directory()
                continue
            if batches is not None:
                return batches

    def _read_at(self, state: PublishedState, offset: int, size: int) -> list[Batch] | None:
        """None: the segment at hand ends before ``offset``; it has moved on to the next."""
        if self._segment is None or offset != self._next_offset:
            self._seek(state, offset)
        assert self._segment is not None
        active = self._segment_base == state.active_base_offset
        end = state.end_position if active else self._disk.size(self._segment)
        if self._position >= end:
            if active:
                raise damaged(
                    self._segment_path,
                    end,
                    f"the log of {self.label} ends before offset {offset}, high watermark {state.high_watermark}",
                )
            self._open_segment_after(state)
            self._next_offset = offset
            return None
        try:
            found = read_batches(self._disk, self._segment, self._segment_path, self._position, end, size)
        except CorruptRecordError as error:
            raise self._at(offset, error) from error
        kept: list[Batch] = []
        expected = offset
        for batch in found:
            header = batch.header
            if header.base_offset >= state.high_watermark:
                break
            if header.last_offset < offset:  # from an index entry before it, or below a gap that compaction left
                self._position = batch.position + header.size
                continue
            if not batch.is_valid:
                problem = f"the CRC of the batch at offset {header.base_offset} is wrong"
            elif header.base_offset > expected and not state.has_gaps:
                problem = f"offset {expected} is missing before {header.base_offset}"
            else:
                kept.append(batch)
                self._position = batch.position + header.size
                self._next_offset = expected = header.last_offset + 1
                continue
            if kept:
                break  # what is good goes out first; the next read reports this one
            raise self._at(offset, damaged(self._segment_path, batch.position, problem))
        if not kept:
            self._next_offset = offset
        return kept or None

    def _at(self, offset: int, error: CorruptRecordError) -> CorruptRecordError:
        return CorruptRecordError(f"{self.label} at offset {offset}: {error}")

    def is_aborted(self, batch: Batch) -> bool:
        """Whether a batch belongs to a transaction that was aborted, by the segments' transaction indexes.

        This engine writes no transactions: it meets them in segments that a broker wrote.
        """
        if not batch.header.is_transactional:
            return False
        if self._aborted is None:
            self._aborted = []
            for name in sorted(self._disk.list(self._directory)):
                if name.endswith(TRANSACTION_INDEX_SUFFIX):
                    path = os.path.join(self._directory, name)
                    self._aborted += aborted_transactions(self._disk.read_file(path, limit=1 << 26))
        header = batch.header
        return any(
            entry.producer_id == header.producer_id and entry.first_offset <= header.base_offset <= entry.last_offset
            for entry in self._aborted
        )

    # ----------------------------------------------------------------------------------------------------- segments

    def _seek(self, state: PublishedState, offset: int) -> None:
        bases = self._bases(state)
        number = bisect_right(bases, offset) - 1
        if number < 0:
            raise self._at(
                offset, CorruptRecordError(f"{self._directory} has no segment for it: restore the missing file")
            )
        self._open_segment(bases[number])
        self._position = self._look_up(state, offset)
        self._next_offset = offset

    def _bases(self, state: PublishedState) -> list[int]:
        """The segments that count: beyond the active one there may be one that a dying writer left unpublished."""
        return [base for base in list_segments(self._disk, self._directory) if base <= state.active_base_offset]

    def _open_segment_after(self, state: PublishedState) -> None:
        bases = self._bases(state)
        number = bisect_right(bases, self._segment_base)
        if number == len(bases):
            raise self._at(
                self._next_offset,
                CorruptRecordError(
                    f"{self._directory} has no segment after {self._segment_path}: restore the missing file"
                ),
            )
        self._open_segment(bases[number])

    def _open_segment(self, base: int) -> None:
        self._close_segment()
        path = segment_path(self._directory, base)
        self._segment = self._disk.open(path)
        self._segment_path, self._segment_base, self._position = path, base, 0

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._disk.close(self._segment)
            self._segment = None

    def _require_directory(self) -> None:
        if not self._disk.exists(self._directory):
            raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted while it was read")

    def _look_up(self, state: PublishedState, offset: int) -> int:
        """A position in the open segment at or before the batch of ``offset``."""
        with _Index(self._disk, self._directory, self._segment_base, INDEX_SUFFIX) as index:
            count = (
                state.index_entries
                if self._segment_base == state.active_base_offset
                else index.size // OFFSET_ENTRY.size
            )
            return position_for_offset(
                index.read_at, min(count, index.size // OFFSET_ENTRY.size), self._segment_base, offset
            )

    # ------------------------------------------------------------------------------------------------- by timestamp

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record at or after ``timestamp``, or None. Source:
        UnifiedLog.fetchOffsetByTimestamp.
        """
        state = self.state()
        for base in self._bases(state):
            active = base == state.active_base_offset
            if active and state.max_timestamp < timestamp:
                return None
            with _Index(self._disk, self._directory, base, TIME_INDEX_SUFFIX) as index:
                count = index.size // TIME_ENTRY.size
                if active:
                    count = min(count, state.time_index_entries)
                elif count:  # a sealed segment's last entry holds its largest timestamp
                    last = TIME_ENTRY.unpack(index.read_at(TIME_ENTRY.size, (count - 1) * TIME_ENTRY.size))
                    if last[0] < timestamp:
                        continue
                start = max(offset_for_timestamp(index.read_at, count, base, timestamp), state.log_start_offset)
            found = self._first_at_or_after(start, timestamp, until=None if active else base)
            if found is not None:
                return found
        return None

    def _first_at_or_after(self, start: int, timestamp: int, until: int | None) -> tuple[int, int] | None:
        """Search forward from ``start``, within the segment ``until`` if one is given."""
        offset = start
        while batches := self.read(offset):
            for batch in batches:
                header = batch.header
                offset = header.last_offset + 1
                if header.max_timestamp >= timestamp and not header.is_control:
                    records = decode_records(batch, self.topic, self.partition)
                    for at, stamp in zip(records.offsets, records.timestamps, strict=True):
                        if stamp >= timestamp and at >= start:
                            return at, stamp
            if until is not None and self._segment_base != until:
                return None
        return None

    def offset_of_max_timestamp(self) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the largest timestamp, or None in an empty log (KIP-734).

        Under LogAppendTime all records of a batch have it: its last one is meant (RecordBatch.offsetOfMaxTimestamp).
        """
        state = self.state()
        largest = state.max_timestamp
        for base in self._bases(state):
            if base == state.active_base_offset:
                continue
            with _Index(self._disk, self._directory, base, TIME_INDEX_SUFFIX) as index:
                count = index.size // TIME_ENTRY.size
                if count:
                    last = TIME_ENTRY.unpack(index.read_at(TIME_ENTRY.size, (count - 1) * TIME_ENTRY.size))
                    largest = max(largest, last[0])
        if state.log_start_offset == state.high_watermark:
            return None
        found = self.offset_for_timestamp(largest)
        if found is not None:
            header = self.read(found[0])[0].header
            if header.timestamp_type is TimestampType.LOG_APPEND_TIME:
                return header.last_offset, header.max_timestamp
        return found


class _Index:
    """An index file for bisection, or nothing where it is missing: a search then starts at the segment's beginning."""

    def __init__(self, disk: Disk, directory: str, base: int, suffix: str) -> None:
        self._disk = disk
        self._path = segment_path(directory, base, suffix)
        self._file: int | None = None
        self.size = 0

    def __enter__(self) -> _Index:
        try:
            self._file = self._disk.open(self._path)
            self.size = self._disk.size(self._file)
        except FileNotFoundError:
            pass
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._disk.close(self._file)

    def read_at(self, count: int, position: int) -> bytes:
        return b"" if self._file is None else self._disk.read_at(self._file, count, position, self._path)
