"""What a replica's log holds, found from its bytes: after a power cut, or when the published state is lost or damaged.

A healthy replica directory satisfies:

- every segment but the last was synced before the next was created, and the next was published before anything was
  written to it;
- the active segment is whole batches up to the published end position, and up to the synced position these are on the
  disk itself;
- the published state was true under the boot whose id it carries.

After a kill the page cache is still there, so the published state stands and nothing needs finding. After a power cut
any byte written since the last sync may be missing, and the state may be older or newer than the log. So:

1. Find the last segment that was active. It is the published one, or a later one that begins with a whole batch:
   nothing is written to a segment before it is published. Without a state, it is the last that begins so. The segments
   before it were synced, so what fails in them is damage, for readers to report, and no torn tail.
2. In it, begin at the synced position: nothing before that can be lost, and a file that is shorter is an error.
3. Take whole batches whose CRC checks and whose offsets follow one on the other; the first that fails is the torn tail,
   and the log ends before it.
4. Go on to a next, empty segment only if it begins exactly where this one ends: any other was left by a writer that
   died in a roll, before it was published.

The indexes of that segment are made anew from its batches. What was found is synced before it is published: else a
second power cut could bring back what the first one took.

Recovery only reads. Under the partition's lock the writer makes the files follow; a process that may not write reads by
what was found.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.index_builder import IndexBuilder
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import CorruptRecordError, UnknownTopicOrPartitionError
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    PARTITION_METADATA_FILE,
    parse_partition_metadata,
)
from pykafka_store.format.state import COMPACTED, PublishedState, empty_state
from pykafka_store.model import topic_id_bytes


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

    ``published`` is the state as last published, or None. Raises UnknownTopicOrPartitionError if the directory is gone
    or belongs to another topic, CorruptRecordError if bytes are missing that were synced.
    """
    while True:
        try:
            return _recover(disk, directory, published, topic_id, boot_id, label)
        except FileNotFoundError:
            # A writer that recovers at the same time took a segment away, or the topic is being deleted.
            if not disk.exists(directory):
                raise UnknownTopicOrPartitionError(f"{label} is gone: {directory} does not exist") from None


def _recover(
    disk: Disk, directory: str, published: PublishedState | None, topic_id: bytes, boot_id: bytes, label: str
) -> Recovered:
    bases = list_segments(disk, directory)
    _require_same_topic(disk, directory, published, topic_id, label)
    state = _state_before(disk, directory, published, topic_id, boot_id)
    candidates = [base for base in bases if published is None or base >= published.active_base_offset]
    if published and not candidates and (bases or published.recovery_point > published.log_start_offset):
        path = Segment(disk, directory, published.active_base_offset).path()
        raise CorruptRecordError(f"{label}: {path} is missing: restore the file, or delete the topic")
    found = Recovered(state, b"", b"", found_segment=False)
    if candidates:
        found = _scan(disk, directory, candidates, published, state, label)
    end = found.state.log_end_offset
    start = min(_log_start(published, bases, state.log_end_offset), end)
    return found._replace(state=found.state._replace(log_start_offset=start, high_watermark=end))


def _require_same_topic(
    disk: Disk, directory: str, published: PublishedState | None, topic_id: bytes, label: str
) -> None:
    if published and (published.deleted or published.topic_id != topic_id):
        raise UnknownTopicOrPartitionError(f"{label} is gone: the topic was deleted")
    if published is None and _owner(disk, directory) not in {None, topic_id}:
        raise UnknownTopicOrPartitionError(f"{label} is gone: {directory} belongs to another topic")


def _state_before(
    disk: Disk, directory: str, published: PublishedState | None, topic_id: bytes, boot_id: bytes
) -> PublishedState:
    """The state before any segment was looked at: without a single one, offsets at least never come twice."""
    if published is None:
        state = empty_state(topic_id, boot_id)
    else:
        offset, epoch = published.log_end_offset, published.leader_epoch
        state = empty_state(topic_id, boot_id, offset=offset, leader_epoch=epoch)._replace(flags=published.flags)
    if not disk.is_missing(os.path.join(directory, CLEANER_CHECKPOINT_FILE)):
        return state._replace(flags=state.flags | COMPACTED)  # a lost or older state does not know of it
    return state


def _scan(
    disk: Disk,
    directory: str,
    candidates: list[int],
    published: PublishedState | None,
    before: PublishedState,
    label: str,
) -> Recovered:
    """Steps 1 to 4: the last of the candidates that was active, and one that begins where it ends."""
    gaps = before.has_gaps
    started = (base for base in reversed(candidates[1:]) if _begins_with_a_batch(disk, directory, base, gaps))
    first = next(started, candidates[0])
    found = _scan_segment(disk, directory, first, published, before, label)
    for base in candidates:
        if base > first and base == found.state.log_end_offset:
            found = _scan_segment(disk, directory, base, published, found.state, label)
    return found


def _log_start(published: PublishedState | None, bases: list[int], empty_end: int) -> int:
    """The log start offset; ``empty_end`` is where a log without segments starts and ends."""
    if published and bases and any(published.boot_id):
        # The log start offset was synced before any segment went: one that is missing behind it is damage, which
        # readers report. Not so while a replica catches up (no boot id): it has what was copied so far.
        return published.log_start_offset
    return max(published.log_start_offset if published else 0, bases[0] if bases else empty_end)


def _owner(disk: Disk, directory: str) -> bytes | None:
    """The topic id that stands in partition.metadata; None where none can be read."""
    try:
        text = disk.read_file(os.path.join(directory, PARTITION_METADATA_FILE)).decode("ascii", "replace")
        return topic_id_bytes(parse_partition_metadata(text))
    except (FileNotFoundError, CorruptRecordError, ValueError):
        return None


def _begins_with_a_batch(disk: Disk, directory: str, base: int, gaps: bool) -> bool:
    with Segment(disk, directory, base).open() as log:
        return next(log.valid_batches(0, log.size(), base, gaps), None) is not None


def _scan_segment(
    disk: Disk, directory: str, base: int, published: PublishedState | None, before: PublishedState, label: str
) -> Recovered:
    """One segment's whole batches, with the entries its indexes should have."""
    trusted = published if published and published.active_base_offset == base else None
    gaps = before.has_gaps
    synced, offset = (trusted.synced_position, trusted.recovery_point) if trusted else (0, base)
    if not synced:
        offset = base
    builder = IndexBuilder(base)
    end, epoch = synced, before.leader_epoch
    with Segment(disk, directory, base).open() as log:
        size = log.size()
        if size < synced:
            raise CorruptRecordError(
                f"{label}: {log.path} holds {size} bytes where {synced} were on the disk: restore the file, or delete "
                "the topic"
            )
        batches = chain(
            log.headers(synced, base, gaps),
            ((batch.position, batch.header) for batch in log.valid_batches(synced, size, offset, gaps)),
        )
        for position, header in batches:
            if position < synced and header.last_offset >= offset:
                continue  # damage, where no tail can be torn
            builder.add(position, header.last_offset, header.max_timestamp, header.record_count)
            if position >= synced:
                offset, epoch = header.last_offset + 1, max(epoch, header.leader_epoch)
                end = position + header.size
    state = before._replace(
        active_base_offset=base,
        log_end_offset=offset,
        end_position=end,
        synced_position=synced,
        recovery_point=trusted.recovery_point if trusted and synced else base,
        indexed_position=builder.indexed_position,
        index_entries=len(builder.offset_entries),
        time_index_entries=len(builder.time_entries),
        first_timestamp=builder.first_timestamp,
        max_timestamp=builder.max_timestamp,
        max_timestamp_offset=builder.max_timestamp_offset,
        leader_epoch=epoch,
    )
    return Recovered(state, b"".join(builder.offset_entries), b"".join(builder.time_entries), found_segment=True)
