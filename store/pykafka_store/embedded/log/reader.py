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
from contextlib import suppress
from struct import error as StructError

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.recovery import recover
from pykafka_store.embedded.log.segments import (
    READ_SIZE,
    damaged,
    follows,
    list_segments,
    read_batches,
    segment_path,
    walk_headers,
)
from pykafka_store.errors import (
    CorruptRecordError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedCompressionError,
    UnsupportedVersionError,
)
from pykafka_store.format import state as states
from pykafka_store.format.batch import HEADER_SIZE, Batch, decode_records, parse_header
from pykafka_store.format.copies import last_source_offset
from pykafka_store.format.index import (
    OFFSET_ENTRY,
    TIME_ENTRY,
    AbortedTransaction,
    TimestampOffset,
    aborted_transactions,
    entry_before_timestamp,
    entry_for_offset,
)
from pykafka_store.format.names import INDEX_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX
from pykafka_store.format.snapshot import snapshot_entries
from pykafka_store.format.state import PublishedState, parse_state
from pykafka_store.model import CopiedRun, Records, TimestampType, topic_id_bytes

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
        self.recovered = False
        """Whether the state was found from the log's bytes, for no writer of this boot has published one yet."""
        self._segment: int | None = None
        self._segment_path = ""
        self._segment_base = -1
        self._position = 0
        self._expected = -1
        """The offset that the batch at ``_position`` of the open segment begins with."""
        self._next_offset = -1
        """The offset that can be read from ``_position`` on without looking it up; -1 before the first read."""
        self._aborted: list[AbortedTransaction] | None = None
        self._first_open: int | None = None
        """The first offset of a transaction that nobody has ended; -1: there is none; None: not looked for yet."""

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
            self._raw_state, self._state = self._interpret(raw)
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

    def _interpret(self, raw: bytes) -> tuple[bytes, PublishedState]:
        """What the state's bytes, or those read after them, mean."""
        while True:
            published: PublishedState | None = None
            for _ in range(_STATE_TRIES if raw else 0):
                try:
                    published = parse_state(raw)
                    break
                except CorruptRecordError:
                    time.sleep(0.001)  # most likely read in the middle of a publish
                    raw = self._read_raw()
            self.recovered = published is None or not (published.boot_id == self._boot_id or published.deleted)
            if published is not None and not self.recovered:
                return raw, published
            found = recover(self._disk, self._directory, published, self._topic_id, self._boot_id, self.label).state
            now = self._read_raw()
            if now == raw:
                return raw, found
            raw = now  # a writer came by: what was found may hold what it has not acknowledged yet

    # --------------------------------------------------------------------------------------------------------- read

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:
        """Batches from the one that holds ``offset`` on, about ``size`` bytes of them; [] at the high watermark.

        Control batches and batches that compaction emptied are among them. Raises OffsetOutOfRangeError,
        CorruptRecordError (naming partition, offset and file), UnknownTopicOrPartitionError.
        """
        while True:
            state = self.state()
            # Beyond the high watermark but in the log: a new leader that has not taken over yet. It will be shown.
            if not state.log_start_offset <= offset <= max(state.high_watermark, state.log_end_offset):
                raise OffsetOutOfRangeError(
                    f"Offset {offset} of {self.label} is out of range: it holds {state.log_start_offset} to "
                    f"{state.high_watermark}"
                )
            if offset >= state.high_watermark:
                return []
            try:
                batches = self._read_at(state, offset, size)
            except FileNotFoundError:
                # Retention or compaction took the segment between our looking and our opening it.
                self._close_segment()
                self._require_directory()
                continue
            except CorruptRecordError:
                # What looks like damage may be retention or compaction at work since we looked at the state.
                if _layout(self.state()) == _layout(state):
                    raise
                self._close_segment()
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
            self._open_segment_after(state, offset)
            self._next_offset = offset
            return None
        try:
            found = read_batches(self._disk, self._segment, self._segment_path, self._position, end, size)
        except (CorruptRecordError, UnsupportedVersionError) as error:
            raise self._at(offset, error) from error
        kept: list[Batch] = []
        for batch in found:
            header = batch.header
            # One that ends before the offset comes from an index entry before it, or from below a gap of compaction.
            wanted = header.last_offset >= offset
            if not follows(header, self._expected, state.has_gaps):
                problem = f"the batch says offset {header.base_offset} where {self._expected} belongs"
            elif header.leader_epoch > state.leader_epoch:
                problem = f"the batch says leader epoch {header.leader_epoch}, and there were {state.leader_epoch}"
            elif wanted and not batch.is_valid:
                problem = f"the CRC of the batch at offset {header.base_offset} is wrong"
            elif header.base_offset >= state.high_watermark:
                self._next_offset = self._expected if kept else offset
                return kept
            else:
                self._position, self._expected = batch.position + header.size, header.last_offset + 1
                if wanted:
                    kept.append(batch)
                continue
            if kept:
                break  # what is good goes out first; the next read reports this one
            raise self._at(offset, damaged(self._segment_path, batch.position, problem))
        self._next_offset = self._expected if kept else offset
        return kept or None

    def decode(self, batch: Batch) -> Records:
        """The records of a batch that the last ``read`` returned. Raises as that, where they say what can't be."""
        try:
            return decode_records(batch, self.topic, self.partition)
        except (CorruptRecordError, UnsupportedCompressionError) as error:
            offset = batch.header.base_offset
            raise self._at(offset, type(error)(f"{self._segment_path} at byte {batch.position}: {error}")) from error

    def _at(self, offset: int, error: StoreError) -> StoreError:
        """The same error, naming partition and offset."""
        return type(error)(f"{self.label} at offset {offset}: {error}")

    def copied(self, producer_id: int, since: int) -> list[CopiedRun]:
        """The batches from offset ``since`` on that were copied under this producer id, those of earlier ones left out.

        Compaction may have taken records of them away, or all: what they said of their offsets stays.
        """
        runs: list[CopiedRun] = []
        offset = max(since, self.state().log_start_offset)
        while batches := self.read(offset):
            for header in (batch.header for batch in batches):
                offset = header.last_offset + 1
                if header.producer_id == producer_id and header.base_offset >= since:
                    length = header.last_offset_delta + 1
                    runs.append(CopiedRun(header.base_offset, length, last_source_offset(header)))
        return runs

    def is_aborted(self, batch: Batch) -> bool:
        """Whether a batch belongs to a transaction that was aborted, by the segments' transaction indexes.

        This engine writes no transactions: it meets them in segments that a broker wrote.
        """
        if not batch.header.is_transactional:
            return False
        if self._aborted is None:
            self._aborted = []
            for path in (segment_path(self._directory, base, TRANSACTION_INDEX_SUFFIX) for base in self._all_bases()):
                try:
                    self._aborted += aborted_transactions(self._disk.read_file(path, limit=1 << 26))
                except FileNotFoundError:
                    pass  # most segments have none
                except CorruptRecordError as error:
                    self._aborted = None
                    raise self._at(batch.header.base_offset, CorruptRecordError(f"{path}: {error}")) from error
        header = batch.header
        return any(
            entry.producer_id == header.producer_id and entry.first_offset <= header.base_offset <= entry.last_offset
            for entry in self._aborted
        )

    def last_stable_offset(self) -> int:
        """Where read_committed stops: the high watermark, or the first transaction that its producer has not ended.

        Such a one is in segments of a broker's only, and nobody will end it here: this engine writes no transactions.
        """
        if self._first_open is None:
            while True:
                try:
                    self._first_open = min(self._open_transactions().values(), default=-1)
                    break
                except FileNotFoundError:
                    self._require_directory()  # retention or compaction took a file between our looking and opening it
        end = self.state().high_watermark
        return end if self._first_open < 0 else min(end, self._first_open)

    def _open_transactions(self) -> dict[int, int]:
        """Producer -> the first offset of the transaction that it left open: by the newest snapshot, and what follows
        it. A log without snapshots is not a broker's.
        """
        names = sorted(name for name in self._disk.list(self._directory) if name.endswith(SNAPSHOT_SUFFIX))
        if not names:
            return {}
        path = os.path.join(self._directory, names[-1])
        try:
            taken = int(names[-1].removesuffix(SNAPSHOT_SUFFIX))
            entries = snapshot_entries(self._disk.read_file(path, limit=1 << 26), path)
            found = {
                each.producer_id: each.current_txn_first_offset
                for each in entries
                if each.current_txn_first_offset is not None
            }
        except (CorruptRecordError, ValueError):
            taken, found = 0, {}  # the log itself tells, from its beginning on
        state = self.state()
        bases = self._bases(state)
        for base in bases[max(0, bisect_right(bases, taken) - 1) :]:
            path = segment_path(self._directory, base)
            segment = self._disk.open(path)
            try:
                end = state.end_position if base == state.active_base_offset else self._disk.size(segment)
                for _, header in walk_headers(self._disk, segment, path, end, base, state.has_gaps):
                    if header.last_offset < taken or not header.is_transactional:
                        continue
                    if header.is_control:
                        found.pop(header.producer_id, None)
                    else:
                        found.setdefault(header.producer_id, header.base_offset)
            finally:
                self._disk.close(segment)
        return found

    # ----------------------------------------------------------------------------------------------------- segments

    def _seek(self, state: PublishedState, offset: int) -> None:
        bases = self._bases(state)
        number = bisect_right(bases, offset) - 1
        if number < 0:
            raise self._at(
                offset, CorruptRecordError(f"{self._directory} has no segment for it: restore the missing file")
            )
        self._open_segment(bases[number])
        self._position, self._expected = self._look_up(state, offset)
        self._next_offset = offset

    def _bases(self, state: PublishedState) -> list[int]:
        """The segments that count: beyond the active one there may be one that a dying writer left unpublished."""
        return [base for base in self._all_bases() if base <= state.active_base_offset]

    def _all_bases(self) -> list[int]:
        try:
            return list_segments(self._disk, self._directory)
        except FileNotFoundError:
            self._require_directory()
            raise

    def _open_segment_after(self, state: PublishedState, offset: int) -> None:
        if self._open_expected_segment(state):
            return
        bases = self._bases(state)  # before the question whether they are still those that the open file belongs to
        assert self._segment is not None
        if not self._disk.is_at(self._segment, self._segment_path):
            # Compaction replaced or merged it: what comes next may lie in the file that took its place.
            self._seek(state, offset)
            return
        number = bisect_right(bases, self._segment_base)
        while state.has_gaps and number < len(bases) and bases[number] < self._expected:
            number += 1  # merged into the open one, and about to be removed
        following = bases[number] if number < len(bases) else None
        if following == self._expected or (following is not None and following > self._expected and state.has_gaps):
            self._open_segment(following)
        elif self.state().log_start_offset > offset:
            self._close_segment()  # retention was here: the caller will see where the log starts now
        else:
            problem = f"it ends before offset {self._expected}, and no segment begins there: restore the missing file"
            raise self._at(offset, damaged(self._segment_path, self._position, problem))

    def _open_expected_segment(self, state: PublishedState) -> bool:
        """Go on to the segment that begins right where the open one ends, if there is one.

        The usual case, without a look at the whole directory: a thousand segments cost little more than one.
        """
        assert self._segment is not None
        if not self._segment_base < self._expected <= state.active_base_offset:
            return False
        try:
            following = self._disk.open(segment_path(self._directory, self._expected))
        except FileNotFoundError:
            return False
        # Opened before this question, so that it belongs to the same row of segments as the open one.
        if not self._disk.is_at(self._segment, self._segment_path):
            self._disk.close(following)
            return False
        self._adopt_segment(self._expected, following)
        return True

    def _open_segment(self, base: int) -> None:
        self._adopt_segment(base, self._disk.open(segment_path(self._directory, base)))

    def _adopt_segment(self, base: int, descriptor: int) -> None:
        self._close_segment()
        self._segment = descriptor
        self._segment_path, self._segment_base = segment_path(self._directory, base), base
        self._position, self._expected = 0, base

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._disk.close(self._segment)
            self._segment = None

    def _require_directory(self) -> None:
        if not self._disk.exists(self._directory):
            raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted while it was read")

    def _look_up(self, state: PublishedState, offset: int) -> tuple[int, int]:
        """A position in the open segment at or before the batch of ``offset``, and the offset that begins there.

        An index has no checksum: an entry is believed if a batch lies where it says that ends where it says.
        """
        assert self._segment is not None
        with _Index(self._disk, self._directory, self._segment_base, INDEX_SUFFIX) as index:
            count = (
                state.index_entries
                if self._segment_base == state.active_base_offset
                else index.size // OFFSET_ENTRY.size
            )
            entry = entry_for_offset(
                index.read_at, min(count, index.size // OFFSET_ENTRY.size), self._segment_base, offset
            )
        if entry is not None and entry.position > 0:
            with suppress(StructError, CorruptRecordError, UnsupportedVersionError):
                header = parse_header(
                    self._disk.read_at(self._segment, HEADER_SIZE, entry.position, self._segment_path)
                )
                if header.last_offset == entry.offset:
                    return entry.position, header.base_offset
        return 0, self._segment_base

    # ------------------------------------------------------------------------------------------------- by timestamp

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record at or after ``timestamp``, or None. Source:
        UnifiedLog.fetchOffsetByTimestamp.
        """
        while True:
            state = self.state()
            bases = self._bases(state)
            try:
                found = self._search_by_time(state, bases, timestamp)
            except OffsetOutOfRangeError:
                if self.state().log_start_offset == state.log_start_offset:
                    raise
                continue  # retention was here
            if self._bases(self.state())[: len(bases)] == bases:
                return found
            # Segments went away or were merged on the way: what was looked for may have been in one that was skipped.

    def _search_by_time(self, state: PublishedState, bases: list[int], timestamp: int) -> tuple[int, int] | None:
        for base in bases:
            active = base == state.active_base_offset
            largest = state.max_timestamp if active else self._indexed_maximum(base)
            if largest is not None and largest < timestamp:
                continue
            with _Index(self._disk, self._directory, base, TIME_INDEX_SUFFIX) as index:
                count = index.size // TIME_ENTRY.size
                if active:
                    count = min(count, state.time_index_entries)
                entry = entry_before_timestamp(index.read_at, count, base, timestamp)
            start = entry.offset if entry is not None and self._holds(entry) else base
            start = max(start, state.log_start_offset)
            found = self._first_at_or_after(start, timestamp, until=None if active else base)
            if found is not None:
                return found
        return None

    def _indexed_maximum(self, base: int) -> int | None:
        """The largest timestamp of a sealed segment, which is its time index's last entry; None where that is lost."""
        with _Index(self._disk, self._directory, base, TIME_INDEX_SUFFIX) as index:
            if not index.size or index.size % TIME_ENTRY.size:
                return None
            timestamp, relative = TIME_ENTRY.unpack(index.read_at(TIME_ENTRY.size, index.size - TIME_ENTRY.size))
        return timestamp if self._holds(TimestampOffset(timestamp, base + relative)) else None

    def _holds(self, entry: TimestampOffset) -> bool:
        """Whether the batch that a time index's entry speaks of is what it says: an index has no checksum."""
        try:
            batches = self.read(entry.offset, 1)
        except (CorruptRecordError, OffsetOutOfRangeError, UnsupportedVersionError):
            return False
        if not batches:
            return False
        return (batches[0].header.max_timestamp, batches[0].header.last_offset) == entry

    def _scanned_maximum(self, base: int, gaps: bool) -> int:
        """The largest timestamp of a sealed segment without a time index, from its batches; -1 if it is gone."""
        path = segment_path(self._directory, base)
        try:
            segment = self._disk.open(path)
        except FileNotFoundError:
            return -1
        try:
            size = self._disk.size(segment)
            headers = walk_headers(self._disk, segment, path, size, base, gaps)
            return max((header.max_timestamp for _, header in headers), default=-1)
        finally:
            self._disk.close(segment)

    def _first_at_or_after(self, start: int, timestamp: int, until: int | None) -> tuple[int, int] | None:
        """Search forward from ``start``, within the segment ``until`` if one is given."""
        offset = start
        while batches := self.read(offset):
            for batch in batches:
                header = batch.header
                offset = header.last_offset + 1
                if header.max_timestamp >= timestamp and not header.is_control:
                    records = self.decode(batch)
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
            if base != state.active_base_offset:
                indexed = self._indexed_maximum(base)
                largest = max(largest, self._scanned_maximum(base, state.has_gaps) if indexed is None else indexed)
        if state.log_start_offset == state.high_watermark:
            return None
        found = self.offset_for_timestamp(largest)
        if found is not None:
            header = self.read(found[0])[0].header
            if header.timestamp_type is TimestampType.LOG_APPEND_TIME:
                return header.last_offset, header.max_timestamp
        return found


def _layout(state: PublishedState) -> tuple[int, int, int]:
    """What changes in a state where segments are taken away, sealed or replaced."""
    return state.log_start_offset, state.active_base_offset, state.flags


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
