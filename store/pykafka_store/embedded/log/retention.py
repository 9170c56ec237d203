"""Retention: what of a partition's log is old or too much, and how it is taken away.

Source: org.apache.kafka.storage.internals.log.UnifiedLog#deleteOldSegments of Kafka 4.3. Whole segments go, the oldest
first, up to the first that may stay. A segment may go because

1. it lies below the log start offset (kafka-delete-records raised it): under every policy;
2. the log is larger than ``retention.bytes`` without it: under the policy ``delete``;
3. its newest record is older than ``retention.ms``: under the policy ``delete``.

A broker looks every five minutes (``log.retention.check.interval.ms``), so records that are old when they are written
can be read for a while. A writer that looks after an append has that patience by rule 3: what was written to in
the last five minutes stays (``patience_ms``).

Nothing at or beyond the high watermark goes. The active segment may go, too, unless it is empty: a new one is rolled
first, so that a partition always has one.

What must hold when a process is killed in the middle, and in what order things happen for that:

1. The log start offset is raised in the published state, and that is synced; in those of all replicas that are in
   sync, whosever pass it is, and in the leader's last, so that none that leads later begins before what a reader was
   told (who takes over has the highest of all in sync). From here on no reader asks for what goes; one that was about
   to finds the file gone, looks again, and is told that its offset is out of range.
2. The files are renamed to ``….deleted``, segment by segment from the oldest, in each the indexes before the log. A
   kill in between leaves segments below the log start offset: rule 1 takes them at the next pass. What is left is
   always a row without holes, and an index without its log never comes to be; a log without its index is only slower
   to search.
3. ``file.delete.delay.ms`` after that the files are removed, by a later pass. As there is no daemon, that is when the
   next segment is rolled, or at the next ``pykafka maintain``. No process needs them until then (an open file stays
   readable however its name goes): the delay is for a person who wants them back.

After a power cut the state is never older than the removal of a file, for it was synced before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.format.names import DELETED_SUFFIX
from pykafka_store.format.state import PublishedState
from pykafka_store.settings.configs import TopicConfig

CHECK_INTERVAL_MS = 300_000
"""Kafka's ``log.retention.check.interval.ms``."""


class SegmentSpan(NamedTuple):
    """A segment as the rules see it."""

    base_offset: int
    end_offset: int
    """The offset after its last one: the next segment's base offset, or the log end offset."""
    size: int
    """Bytes of its log."""
    is_older_than: Callable[[int], bool]
    """Whether no record has a timestamp at or after a moment, in ms. A segment without timestamps is as old as the last
    change of its file. The files are looked at when this is asked, and rules ask it of the oldest segments only.
    """
    written_at: Callable[[], int]
    """When something was last written to its log, in ms since the epoch."""


class Removed(NamedTuple):
    """What a pass took away. ``bytes`` are those of logs; of a compacted log, ``records`` counts its gaps as well."""

    segments: int = 0
    records: int = 0
    bytes: int = 0


def apply_retention(
    disk: Disk,
    directory: str,
    replica: ReplicaLog,
    config: TopicConfig,
    now_ms: int,
    patience_ms: int,
    start_at: Callable[[int], None],
) -> Removed:
    """One pass over one replica. Needs the upkeep lock and the partition's. ``start_at`` does step 1 for an offset.
    Raises as ``ReplicaLog.load_locked``.
    """
    state = replica.load_locked()
    segments = spans_of(disk, directory, state)
    count = removable(segments, state, config, now_ms, patience_ms)
    if not count:
        return Removed()
    if count == len(segments):
        state = replica.roll_locked(state)
    going = segments[:count]
    start = max(state.log_start_offset, going[-1].end_offset)
    if start > state.log_start_offset:
        start_at(start)
    for span in going:
        Segment(disk, directory, span.base_offset).set_aside(now_ms)
    disk.sync_directory(directory)
    records = sum(max(0, each.end_offset - max(each.base_offset, state.log_start_offset)) for each in going)
    return Removed(count, records, sum(span.size for span in going))


def spans_of(disk: Disk, directory: str, state: PublishedState) -> list[SegmentSpan]:
    """The segments of a log, oldest first, the active one last."""
    bases = [base for base in list_segments(disk, directory) if base <= state.active_base_offset]
    bases = bases or [state.active_base_offset]  # before the first record there is no file
    found = []
    for base, end in zip(bases, [*bases[1:], state.log_end_offset], strict=True):
        segment = Segment(disk, directory, base)
        if base == state.active_base_offset:
            size, is_older = state.end_position, partial(_is_active_older_than, segment, state)
        else:
            size, is_older = segment.size(), partial(segment.is_older_than, gaps=state.has_gaps)
        found.append(SegmentSpan(base, end, size, is_older, segment.changed_at))
    return found


def _is_active_older_than(segment: Segment, state: PublishedState, moment_ms: int) -> bool:
    newest = state.max_timestamp if state.max_timestamp >= 0 else segment.changed_at()
    return newest < moment_ms


def removable(
    segments: Sequence[SegmentSpan], state: PublishedState, config: TopicConfig, now_ms: int, patience_ms: int = 0
) -> int:
    """How many of the oldest segments go, by the three rules in Kafka's order, each going on where the last stopped.

    By the third, nothing goes that was written to in the last ``patience_ms``.
    """
    deletes = "delete" in config.cleanup_policy
    count = 0

    def may_go(segment: SegmentSpan) -> bool:
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
            and segments[count].is_older_than(now_ms - config.retention_ms)
            and not (patience_ms and segments[count].written_at() > now_ms - patience_ms)
        ):
            count += 1
    return count


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
