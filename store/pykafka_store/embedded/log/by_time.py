"""Searching a log by timestamp.

The time index of a segment bounds the search from below, where its entry is to be believed; a damaged one only makes it
longer. Segments that retention or compaction takes away meanwhile make it begin anew.
"""

from __future__ import annotations

from contextlib import suppress

from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.errors import OffsetOutOfRangeError
from pykafka_store.format.state import PublishedState
from pykafka_store.model import TimestampType


def offset_for_timestamp(reader: LogReader, timestamp: int) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record at or after ``timestamp``, in ms; None where there is none.

    Source: UnifiedLog#fetchOffsetByTimestamp. Raises as :meth:`LogReader.read`.
    """
    while True:
        state = reader.state()
        segments = reader.segments(state)
        try:
            found = _search(reader, state, segments, timestamp)
        except OffsetOutOfRangeError:
            if reader.state().log_start_offset == state.log_start_offset:
                raise
            continue  # retention was here
        now = reader.segments(reader.state())[: len(segments)]
        if [segment.base_offset for segment in now] == [segment.base_offset for segment in segments]:
            return found
        # Segments went away or were merged on the way: what was looked for may have been in one that was skipped.


def offset_of_max_timestamp(reader: LogReader) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record with the largest timestamp, or None in an empty log (KIP-734).

    Under LogAppendTime all records of a batch have it: its last one is meant (RecordBatch.offsetOfMaxTimestamp).
    """
    while True:
        state = reader.state()
        try:
            return _offset_of_max_timestamp(reader, state)
        except OffsetOutOfRangeError:
            if reader.state().log_start_offset == state.log_start_offset:
                raise
            # Retention was here: what was found, or was to be read from, is gone.


def _offset_of_max_timestamp(reader: LogReader, state: PublishedState) -> tuple[int, int] | None:
    """The same, in a log that is as ``state`` says."""
    largest = state.max_timestamp
    for segment in reader.segments(state):
        if segment.base_offset != state.active_base_offset:
            with suppress(FileNotFoundError):  # retention was here
                largest = max(largest, segment.largest_timestamp(state.has_gaps))
    if state.log_start_offset == state.high_watermark:
        return None
    # The largest may be that of a record that was deleted, of one that nobody is shown yet, or of a transaction's mark.
    found = offset_for_timestamp(reader, largest) or _newest(reader, state.log_start_offset)
    if found is not None:
        header = reader.read(found[0])[0].header
        if header.timestamp_type is TimestampType.LOG_APPEND_TIME:
            return header.last_offset, header.max_timestamp
    return found


def _newest(reader: LogReader, start: int) -> tuple[int, int] | None:
    """The same of the records from ``start`` on, by reading them all."""
    newest: tuple[int, int] | None = None
    offset = start
    while batches := reader.read(offset):
        for batch in batches:
            header = batch.header
            offset = header.last_offset + 1
            if header.is_control or (newest is not None and header.max_timestamp <= newest[1]):
                continue
            records = reader.decode(batch)
            for at, stamp in zip(records.offsets, records.timestamps, strict=True):
                if at >= start and (newest is None or stamp > newest[1]):
                    newest = at, stamp
    return newest


def _search(
    reader: LogReader, state: PublishedState, segments: list[Segment], timestamp: int
) -> tuple[int, int] | None:
    if not segments:
        return None  # there is no file before the first record
    ends = [segment.base_offset for segment in segments[1:]]
    for segment, end in zip(segments, [*ends, None], strict=True):
        start = segment.base_offset
        with suppress(FileNotFoundError):  # retention was here, as the reader will find
            active = segment.base_offset == state.active_base_offset
            largest = state.max_timestamp if active else segment.indexed_largest_timestamp(state.has_gaps)
            if largest is not None and largest < timestamp:
                continue
            entry = segment.time_entry_before(timestamp, state.has_gaps, state if active else None)
            if entry is not None:
                start = entry.offset
        found = _first_at_or_after(reader, max(start, state.log_start_offset), timestamp, end)
        if found is not None:
            return found
    return None


def _first_at_or_after(reader: LogReader, start: int, timestamp: int, end: int | None) -> tuple[int, int] | None:
    """Search forward from offset ``start``, to the batch that reaches ``end`` if that is given."""
    offset = start
    while (end is None or offset < end) and (batches := reader.read(offset)):
        for batch in batches:
            header = batch.header
            offset = header.last_offset + 1
            if header.max_timestamp >= timestamp and not header.is_control:
                records = reader.decode(batch)
                for at, stamp in zip(records.offsets, records.timestamps, strict=True):
                    if stamp >= timestamp and at >= start:
                        return at, stamp
    return None
