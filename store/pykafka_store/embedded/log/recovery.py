"""What a replica's log holds, found from its bytes: after a power cut, or when the published state is lost or damaged.

A healthy replica directory satisfies:

- every segment but the last was synced before the next was created, and the next was published before anything was
  written to it;
- the active segment is whole batches up to the published end position, and up to the synced position these are on the
  disk itself;
- the published state was true under the boot whose id it carries.

After a kill the page cache is still there, so the published state stands and nothing needs finding. After a power cut
any byte written since the last sync may be missing, and the state may be older or newer than the log. So:

1. start at the published active segment, from its synced position (nothing before it can be lost); without a state, at
   the last segment but one, from its beginning;
2. take whole batches whose CRC checks and whose offsets go up; the first that fails is the torn tail, and the log ends
   before it;
3. go on to the next segment only if it begins exactly where this one ends: one that does not was left by a writer that
   died in a roll, before it was published.

This reads only. Under the partition's lock the writer makes the files follow; who may not write reads by what is found.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.segments import list_segments, segment_path, walk_valid
from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.format.index import (
    OFFSET_ENTRY,
    TIME_ENTRY,
    offset_entries,
    pack_offset_entry,
    pack_time_entry,
    time_entries,
)
from pykafka_store.format.names import INDEX_SUFFIX, TIME_INDEX_SUFFIX
from pykafka_store.format.state import PublishedState, empty_state

INDEX_INTERVAL = 4096
"""Bytes between the entries of an index made anew (the default of index.interval.bytes)."""


class Recovered(NamedTuple):
    """What was found, and the indexes that belong to its active segment."""

    state: PublishedState
    offset_index: bytes
    time_index: bytes
    found_segment: bool


def recover(
    disk: Disk, directory: str, published: PublishedState | None, topic_id: bytes, boot_id: bytes, label: str
) -> Recovered:
    """Find the log's true end. Changes nothing.

    ``published`` is the state as last published, or None. Raises UnknownTopicOrPartitionError if the directory is
    gone or belongs to a deleted topic.
    """
    try:
        bases = list_segments(disk, directory)
    except FileNotFoundError:
        raise UnknownTopicOrPartitionError(f"{label} is gone: {directory} does not exist") from None
    if published and (published.deleted or published.topic_id != topic_id):
        raise UnknownTopicOrPartitionError(f"{label} is gone: the topic was deleted")

    # Without a single segment, offsets at least never come twice.
    offset = published.log_end_offset if published else 0
    state = empty_state(topic_id, boot_id, offset=offset, leader_epoch=published.leader_epoch if published else 0)
    found = Recovered(state, b"", b"", found_segment=False)
    if bases:
        if published and published.active_base_offset in bases:
            first = bases.index(published.active_base_offset)
        else:
            first = max(0, len(bases) - 2)
        for number in range(first, len(bases)):
            base = bases[number]
            if number > first and base != found.state.log_end_offset:
                break
            trusted = published if published and published.active_base_offset == base else None
            found = _scan_segment(disk, directory, base, trusted, found.state)
    start = max(published.log_start_offset, bases[0] if bases else 0) if published else (bases[0] if bases else 0)
    end = found.state.log_end_offset
    return found._replace(
        state=found.state._replace(
            flags=published.flags if published else 0,
            log_start_offset=min(start, end),
            high_watermark=end,
            recovery_point=min(end, found.state.recovery_point),
        )
    )


def _scan_segment(
    disk: Disk, directory: str, base: int, trusted: PublishedState | None, before: PublishedState
) -> Recovered:
    """One segment's whole batches, with the entries its indexes should have."""
    path = segment_path(directory, base)
    descriptor = disk.open(path)
    try:
        size = disk.size(descriptor)
        start = min(trusted.synced_position, size) if trusted else 0
        offsets = _entries_below(disk, directory, base, start)
        times = [entry for entry in _time_entries(disk, directory, base) if offsets and entry[1] <= offsets[-1][0]]
        offset = trusted.recovery_point if trusted and start else base
        first_timestamp = trusted.first_timestamp if trusted and start else -1
        max_timestamp, max_offset = times[-1] if times else (-1, -1)
        if trusted and start and trusted.max_timestamp_offset < offset:
            max_timestamp, max_offset = trusted.max_timestamp, trusted.max_timestamp_offset
        indexed = offsets[-1][1] if offsets else 0
        end, epoch = start, before.leader_epoch
        for batch in walk_valid(disk, descriptor, path, start, size):
            header = batch.header
            if not end:
                first_timestamp = header.max_timestamp
            if header.max_timestamp > max_timestamp:
                max_timestamp, max_offset = header.max_timestamp, header.last_offset
            if end - indexed > INDEX_INTERVAL:
                offsets.append((header.last_offset, end))
                if not times or max_timestamp > times[-1][0]:
                    times.append((max_timestamp, max_offset))
                indexed = end
            offset, epoch = header.last_offset + 1, max(epoch, header.leader_epoch)
            end += header.size
    finally:
        disk.close(descriptor)
    state = before._replace(
        active_base_offset=base,
        log_end_offset=offset,
        end_position=end,
        synced_position=start,
        recovery_point=trusted.recovery_point if trusted and start else base,
        indexed_position=indexed,
        index_entries=len(offsets),
        time_index_entries=len(times),
        first_timestamp=first_timestamp,
        max_timestamp=max_timestamp,
        max_timestamp_offset=max_offset,
        leader_epoch=epoch,
    )
    index = b"".join(pack_offset_entry(base, offset, position) for offset, position in offsets)
    time_index = b"".join(pack_time_entry(base, timestamp, offset) for timestamp, offset in times)
    return Recovered(state, index, time_index, found_segment=True)


def _entries_below(disk: Disk, directory: str, base: int, end: int) -> list[tuple[int, int]]:
    """The offset index's entries for positions below ``end``, as far as they go up: the part that can be believed."""
    believed: list[tuple[int, int]] = []
    for offset, position in offset_entries(_read_index(disk, directory, base, INDEX_SUFFIX), base):
        if (
            position >= end
            or position <= (believed[-1][1] if believed else 0)
            or offset <= (believed[-1][0] if believed else base - 1)
        ):
            break
        believed.append((offset, position))
    return believed


def _time_entries(disk: Disk, directory: str, base: int) -> list[tuple[int, int]]:
    believed: list[tuple[int, int]] = []
    for timestamp, offset in time_entries(_read_index(disk, directory, base, TIME_INDEX_SUFFIX), base):
        if timestamp <= (believed[-1][0] if believed else -1):
            break
        believed.append((timestamp, offset))
    return believed


def _read_index(disk: Disk, directory: str, base: int, suffix: str) -> bytes:
    entry = OFFSET_ENTRY if suffix == INDEX_SUFFIX else TIME_ENTRY
    try:
        return disk.read_file(os.path.join(segment_path(directory, base, suffix)), limit=(1 << 24) * entry.size)
    except FileNotFoundError:
        return b""
