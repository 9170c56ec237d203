"""Retention: what of a partition's log is old or too much, and how it is taken away.

Source: org.apache.kafka.storage.internals.log.UnifiedLog#deleteOldSegments of Kafka 4.3. Whole segments go, the oldest
first, up to the first that may stay. A segment may go because

1. it lies below the log start offset (kafka-delete-records raised it): under every policy;
2. the log is larger than ``retention.bytes`` without it: under the policy ``delete``;
3. its newest record is older than ``retention.ms``: under the policy ``delete``.

Nothing at or beyond the high watermark goes. The active segment may go, too, unless it is empty: a new one is rolled
first, so that a partition always has one.

What must hold when a process is killed in the middle, and in what order things happen for that:

1. The log start offset is raised in the published state, and that is synced. From here on no reader asks for what
   goes; one that was about to finds the file gone, looks again, and is told that its offset is out of range.
2. The files are renamed to ``….deleted``, segment by segment from the oldest, in each the indexes before the log. A
   kill in between leaves segments below the log start offset: rule 1 takes them at the next pass. What is left is
   always a row without holes, and an index without its log never comes to be; a log without its index is only slower
   to search.
3. ``file.delete.delay.ms`` after that the files are removed, by a later pass. As there is no daemon, that is when the
   next segment is rolled, or at the next ``pykafka maintain``. Nobody needs them until then but a person who wants them
   back (an open file stays readable however its name goes): the delay is honoured for their sake.

After a power cut the state is never older than the removal of a file, for it was synced before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.segments import list_segments, segment_path, walk_headers
from pykafka_store.format.index import TIME_ENTRY
from pykafka_store.format.names import (
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SNAPSHOT_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
)
from pykafka_store.format.state import PublishedState

FILES_OF_A_SEGMENT = (SNAPSHOT_SUFFIX, TRANSACTION_INDEX_SUFFIX, TIME_INDEX_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX)
"""In the order in which they go: a log never before its indexes."""


class Segment(NamedTuple):
    """A segment as the rules see it."""

    base_offset: int
    end_offset: int
    """The offset after its last one: the next segment's base offset, or the log end offset."""
    size: int
    """Bytes of its log."""
    largest_timestamp: int
    """In ms; of a segment without any, when its file was last changed."""


class Removed(NamedTuple):
    """What a pass took away. ``bytes`` are those of logs; of a compacted log, ``records`` counts its gaps as well."""

    segments: int = 0
    records: int = 0
    bytes: int = 0


def apply_retention(disk: Disk, directory: str, replica: ReplicaLog, config: TopicConfig, now_ms: int) -> Removed:
    """One pass over one replica. Needs the upkeep lock and the partition's. Raises as ``ReplicaLog.load_locked``."""
    state = replica.load_locked()
    segments = segments_of(disk, directory, state)
    count = removable(segments, state, config, now_ms)
    if not count:
        return Removed()
    if count == len(segments):
        state = replica.roll_locked(state)
    going = segments[:count]
    start = max(state.log_start_offset, going[-1].end_offset)
    if start > state.log_start_offset:
        replica.publish_synced(state._replace(log_start_offset=start))
    for segment in going:
        set_aside(disk, directory, segment.base_offset, now_ms)
    disk.sync_directory(directory)
    records = sum(max(0, each.end_offset - max(each.base_offset, state.log_start_offset)) for each in going)
    return Removed(count, records, sum(segment.size for segment in going))


def segments_of(disk: Disk, directory: str, state: PublishedState) -> list[Segment]:
    """The segments of a log, oldest first, the active one last."""
    bases = [base for base in list_segments(disk, directory) if base <= state.active_base_offset]
    found = []
    for base, end in zip(bases, [*bases[1:], state.log_end_offset], strict=True):
        path = segment_path(directory, base)
        if base == state.active_base_offset:
            size, timestamp = state.end_position, state.max_timestamp
        else:
            size, timestamp = disk.size_of(path), _largest_timestamp(disk, directory, base, state.has_gaps)
        found.append(Segment(base, end, size, timestamp if timestamp >= 0 else disk.changed_at(path)))
    return found


def _largest_timestamp(disk: Disk, directory: str, base: int, gaps: bool) -> int:
    """Of a sealed segment: the last entry of its time index; without one, the largest of its batches. -1 for none."""
    entry = _last_time_entry(disk, segment_path(directory, base, TIME_INDEX_SUFFIX))
    if entry is not None:
        return entry
    path = segment_path(directory, base)
    descriptor = disk.open(path)
    try:
        headers = walk_headers(disk, descriptor, path, disk.size(descriptor), base, gaps)
        return max((header.max_timestamp for _, header in headers), default=-1)
    finally:
        disk.close(descriptor)


def _last_time_entry(disk: Disk, path: str) -> int | None:
    try:
        descriptor = disk.open(path)
    except FileNotFoundError:
        return None
    try:
        size = disk.size(descriptor)
        if not size or size % TIME_ENTRY.size:
            return None
        return int(TIME_ENTRY.unpack(disk.read_at(descriptor, TIME_ENTRY.size, size - TIME_ENTRY.size, path))[0])
    finally:
        disk.close(descriptor)


def removable(segments: Sequence[Segment], state: PublishedState, config: TopicConfig, now_ms: int) -> int:
    """How many of the oldest segments go, by the three rules in Kafka's order, each going on where the last stopped."""
    deletes = "delete" in config.cleanup_policy
    count = 0

    def may_go(segment: Segment) -> bool:
        empty_active = segment is segments[-1] and not segment.size
        return segment.end_offset <= state.high_watermark and not empty_active

    while count < len(segments) - 1 and segments[count + 1].base_offset <= state.log_start_offset:
        if not may_go(segments[count]):
            return count
        count += 1
    if deletes and config.retention_bytes >= 0:
        surplus = sum(segment.size for segment in segments[count:]) - config.retention_bytes
        while count < len(segments) and may_go(segments[count]) and surplus >= segments[count].size:
            surplus -= segments[count].size
            count += 1
    if deletes and config.retention_ms >= 0:
        while (
            count < len(segments)
            and may_go(segments[count])
            and now_ms - segments[count].largest_timestamp > config.retention_ms
        ):
            count += 1
    return count


# ------------------------------------------------------------------------------------------------------------- files


def set_aside(disk: Disk, directory: str, base: int, now_ms: int) -> None:
    """Rename a segment's files out of the log. The time of that stands in the files' own times."""
    for suffix in FILES_OF_A_SEGMENT:
        path = segment_path(directory, base, suffix)
        try:
            disk.touch(path, now_ms)
            disk.rename(path, path + DELETED_SUFFIX)
        except FileNotFoundError:
            pass  # most segments have no snapshot and no transaction index; a kill may have left only some


def remove_set_aside(disk: Disk, directory: str, delay_ms: int, now_ms: int) -> int:
    """Remove what was set aside at least ``delay_ms`` ago; returns its bytes."""
    freed = 0
    for name in sorted(disk.list(directory)):
        if name.endswith(DELETED_SUFFIX):
            path = os.path.join(directory, name)
            try:
                if now_ms - disk.changed_at(path) < delay_ms:
                    continue
            except FileNotFoundError:
                continue
            freed += disk.size_of(path)
            disk.remove(path)
    return freed
