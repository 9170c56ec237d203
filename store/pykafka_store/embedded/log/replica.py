"""One replica's files, as their writer sees them: load, write, publish, cut back.

Every method that changes anything needs the partition's lock. A replica keeps nothing in memory that another process
could change under it: all it knows is in the published state, one pread away.

The order of an append, and why a kill at any instant loses, doubles and reorders nothing:

1. *load* reads the published state. Bytes beyond it belong to an append that was never acknowledged: they are cut off.
2. *write* puts whole batches after the end position, then their index entries. Nobody looks there yet.
3. *publish* writes the state over the old one, in one small write within one page. Before it readers see the old end,
   after it the new one. Only after it does the append return, and only then is a record acknowledged.

A roll syncs the old segment before it creates the new one, and publishes the new one before anything is written to it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from contextlib import suppress

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.recovery import Recovered, recover
from pykafka_store.embedded.log.segments import SEGMENT_SUFFIXES, list_segments, segment_path
from pykafka_store.errors import CorruptRecordError, StorageError, UnknownTopicOrPartitionError
from pykafka_store.format import state as states
from pykafka_store.format.batch import EncodedBatch
from pykafka_store.format.checkpoint import (
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_leader_epochs,
    format_partition_metadata,
    parse_leader_epochs,
)
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY, pack_offset_entry, pack_time_entry
from pykafka_store.format.names import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX
from pykafka_store.format.state import PublishedState, empty_state, pack_state, parse_state
from pykafka_store.model import topic_id_bytes

_INT32_MAX = (1 << 31) - 1


def create_replica(disk: Disk, directory: str, topic_id: str, boot_id: bytes) -> None:
    """Make the directory of a new, empty replica; a crash leaves at most one that the catalogue does not know."""
    disk.make_directory(directory)
    for suffix in SEGMENT_SUFFIXES:
        disk.create_file(segment_path(directory, 0, suffix))
    disk.create_file(os.path.join(directory, PARTITION_METADATA_FILE), format_partition_metadata(topic_id).encode())
    disk.create_file(os.path.join(directory, LEADER_EPOCH_FILE), format_leader_epochs([(0, 0)]).encode())
    state = empty_state(topic_id_bytes(topic_id), boot_id)
    disk.create_file(os.path.join(directory, states.FILE_NAME), pack_state(state))


class ReplicaLog:
    """The writer's hold on one replica directory: open files, no knowledge."""

    def __init__(self, disk: Disk, directory: str, label: str, topic_id: str, boot_id: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self._label = label
        """``topic-partition``, for messages."""
        self._topic_id = topic_id_bytes(topic_id)
        self._boot_id = boot_id
        self._state_path = os.path.join(directory, states.FILE_NAME)
        self._state_file: int | None = None
        self._active_base = -1
        self._files: dict[str, int] = {}
        """Open files of the active segment, by suffix."""
        self._directory_synced = False
        self._verified = any(boot_id)
        """False until the log was verified once, where the system does not tell its boots apart."""
        self.restored = False
        """Whether the last load had to find the log's end from its bytes."""

    @property
    def directory(self) -> str:
        return self._directory

    def close(self) -> None:
        self._close_segment()
        if self._state_file is not None:
            self._disk.close(self._state_file)
            self._state_file = None

    # --------------------------------------------------------------------------------------------------------- load

    def load_locked(self) -> PublishedState:
        """The published state, with the files brought back in line with it.

        Raises UnknownTopicOrPartitionError if the partition was deleted, CorruptRecordError if acknowledged bytes are
        missing.
        """
        if self._state_file is not None and not self._disk.is_at(self._state_file, self._state_path):
            # Renamed away, unmounted or replaced under us: what we have open is nobody's log any more.
            self.close()
        self.restored = False
        state = self._read_state()
        if state is None or state.boot_id != self._boot_id or not self._verified:
            # Another boot wrote this, or nobody knows: what is on the disk decides, batch by batch.
            restored = self._restore(
                recover(self._disk, self._directory, state, self._topic_id, self._boot_id, self._label)
            )
            self._verified = self.restored = True
            return restored
        if state.deleted or state.topic_id != self._topic_id:
            raise UnknownTopicOrPartitionError(f"{self._label} is gone: the topic was deleted while it was written")
        if state.active_base_offset != self._active_base or not self._disk.is_at(
            self._files[LOG_SUFFIX], self._path(LOG_SUFFIX)
        ):
            # The next segment; or the same one, copied anew since the replica was left behind.
            self._open_segment(state.active_base_offset)
        size = self._disk.size(self._files[LOG_SUFFIX])
        if size > state.end_position:
            self._cut_files(state)
        elif size < state.end_position:
            raise CorruptRecordError(
                f"{self._label}: {self._path(LOG_SUFFIX)} holds {size} bytes where {state.end_position} were "
                "acknowledged: restore the file, or delete the topic"
            )
        return state

    def _read_state(self) -> PublishedState | None:
        """None if the state is missing or damaged: it can be found again from the log."""
        try:
            if self._state_file is None:
                self._state_file = self._disk.open(self._state_path, os.O_RDWR)
            return parse_state(self._disk.read_at(self._state_file, states.SIZE, 0, self._state_path))
        except CorruptRecordError:
            return None
        except FileNotFoundError:
            if not self._disk.exists(self._directory):
                raise StorageError(f"{self._label}: {self._directory} does not exist: is its disk mounted?") from None
            return None

    def _restore(self, found: Recovered) -> PublishedState:
        """Make the files what recovery found, bring that to the disk itself, and publish it."""
        base = found.state.active_base_offset
        self._close_segment()
        self._remove_segments_after(base)
        if not found.found_segment:
            for suffix in SEGMENT_SUFFIXES:
                self._disk.create_file(segment_path(self._directory, base, suffix))
        self._open_segment(base)
        for suffix, data in ((INDEX_SUFFIX, found.offset_index), (TIME_INDEX_SUFFIX, found.time_index)):
            self._disk.truncate(self._files[suffix], 0, self._path(suffix))
            self._disk.write_at(self._files[suffix], [data], 0, self._path(suffix))
        self._cut_files(found.state)
        for suffix in SEGMENT_SUFFIXES:
            self._disk.sync(self._files[suffix], self._path(suffix))
        self._disk.sync_directory(self._directory)
        restored = found.state._replace(
            synced_position=found.state.end_position, recovery_point=found.state.log_end_offset
        )
        self.publish(restored)
        return restored

    # -------------------------------------------------------------------------------------------------------- write

    def write_locked(
        self, state: PublishedState, batches: Sequence[EncodedBatch], config: TopicConfig
    ) -> tuple[PublishedState, int]:
        """Put the leading batches that go into one segment after the end, in a new segment if the topic's settings
        ask for it.

        Returns what is to be published, and how many batches it covers (at least one). On StorageError (disk full, I/O)
        the files are cut back to the published state before it is raised.
        """
        if self._must_roll(state, batches[0], config):
            state = self._roll(state)
        grown = state
        pieces: list[bytes] = []
        index_pieces: list[bytes] = []
        time_pieces: list[bytes] = []
        last_time_entry = self._last_time_entry(state)
        count = 0
        for batch in batches:
            if count and self._must_roll(grown, batch, config):
                break
            count += 1
            position, last = grown.end_position, grown.log_end_offset + batch.record_count - 1
            if not position:
                grown = grown._replace(first_timestamp=batch.max_timestamp)
            if batch.max_timestamp > grown.max_timestamp:
                grown = grown._replace(max_timestamp=batch.max_timestamp, max_timestamp_offset=last)
            if position - grown.indexed_position > config.index_interval_bytes:
                index_pieces.append(pack_offset_entry(state.active_base_offset, last, position))
                if grown.max_timestamp > last_time_entry:
                    last_time_entry = grown.max_timestamp
                    time_pieces.append(
                        pack_time_entry(state.active_base_offset, last_time_entry, grown.max_timestamp_offset)
                    )
                grown = grown._replace(
                    indexed_position=position,
                    index_entries=state.index_entries + len(index_pieces),
                    time_index_entries=state.time_index_entries + len(time_pieces),
                )
            pieces += batch.placed(grown.log_end_offset, state.leader_epoch)
            grown = grown._replace(end_position=position + batch.size, log_end_offset=last + 1)
        try:
            for suffix, some, at in (
                (LOG_SUFFIX, pieces, state.end_position),
                (INDEX_SUFFIX, index_pieces, state.index_entries * OFFSET_ENTRY.size),
                (TIME_INDEX_SUFFIX, time_pieces, state.time_index_entries * TIME_ENTRY.size),
            ):
                if some:
                    self._disk.write_at(self._files[suffix], some, at, self._path(suffix))
        except StorageError:
            self._cut_files(state)
            raise
        return grown, count

    def _must_roll(self, state: PublishedState, batch: EncodedBatch, config: TopicConfig) -> bool:
        """Whether ``batch`` opens a new segment. Source: LogSegment.shouldRoll."""
        if not state.end_position:
            return False
        limit = config.segment_ms
        if "compact" in config.cleanup_policy:
            limit = min(limit, config.max_compaction_lag_ms)
        if config.segment_jitter_ms:  # different for each segment, the same for each writer
            name = b"%d" % state.active_base_offset
            limit -= min(limit, zlib.crc32(name, zlib.crc32(self._topic_id)) % (config.segment_jitter_ms + 1))
        return (
            state.end_position + batch.size > config.segment_bytes
            or (state.first_timestamp >= 0 and batch.max_timestamp - state.first_timestamp > limit)
            or (state.index_entries + 1) * OFFSET_ENTRY.size > config.segment_index_bytes
            or (state.time_index_entries + 1) * TIME_ENTRY.size > config.segment_index_bytes
            or state.log_end_offset + batch.record_count - 1 - state.active_base_offset > _INT32_MAX
        )

    def _last_time_entry(self, state: PublishedState) -> int:
        """The largest timestamp in the active time index, -1 where it is empty."""
        if not state.time_index_entries:
            return -1
        at = (state.time_index_entries - 1) * TIME_ENTRY.size
        raw = self._disk.read_at(self._files[TIME_INDEX_SUFFIX], TIME_ENTRY.size, at, self._path(TIME_INDEX_SUFFIX))
        return int(TIME_ENTRY.unpack(raw)[0]) if len(raw) == TIME_ENTRY.size else -1

    def _roll(self, state: PublishedState) -> PublishedState:
        """Seal the active segment, open the next at the log end offset, and publish that before anything is written
        to it.
        """
        log, index, time_index = (self._files[suffix] for suffix in SEGMENT_SUFFIXES)
        entries = state.time_index_entries
        if state.max_timestamp > self._last_time_entry(state):
            entry = pack_time_entry(state.active_base_offset, state.max_timestamp, state.max_timestamp_offset)
            self._disk.write_at(time_index, [entry], entries * TIME_ENTRY.size, self._path(TIME_INDEX_SUFFIX))
            entries += 1
        self._disk.truncate(index, state.index_entries * OFFSET_ENTRY.size, self._path(INDEX_SUFFIX))
        self._disk.truncate(time_index, entries * TIME_ENTRY.size, self._path(TIME_INDEX_SUFFIX))
        for descriptor, suffix in zip((log, index, time_index), SEGMENT_SUFFIXES, strict=True):
            self._disk.sync(descriptor, self._path(suffix))
        base = state.log_end_offset
        # A writer that died in a roll may have left segments that were never published.
        self._remove_segments_after(state.active_base_offset)
        for suffix in SEGMENT_SUFFIXES:
            self._disk.create_file(segment_path(self._directory, base, suffix))
        self._disk.sync_directory(self._directory)
        rolled = state._replace(
            active_base_offset=base,
            end_position=0,
            synced_position=0,
            indexed_position=0,
            index_entries=0,
            time_index_entries=0,
            first_timestamp=-1,
            max_timestamp=-1,
            max_timestamp_offset=-1,
            recovery_point=base,
        )
        self.publish(rolled)
        # Only now: a segment whose publishing failed is one that the next writer removes.
        self._open_segment(base)
        return rolled

    def roll_locked(self, state: PublishedState) -> PublishedState:
        """Seal the active segment though it is not full, so that it can be taken away like any other."""
        return self._roll(state)

    def sync_locked(self, state: PublishedState, now_ms: int) -> PublishedState:
        """Bring everything written to the disk itself; returns the state that says so."""
        self._disk.sync(self._files[LOG_SUFFIX], self._path(LOG_SUFFIX))
        if not self._directory_synced:
            self._disk.sync_directory(self._directory)
            self._disk.sync_directory(os.path.dirname(self._directory))
            self._directory_synced = True
        return state._replace(synced_position=state.end_position, recovery_point=state.log_end_offset, synced_at=now_ms)

    # ------------------------------------------------------------------------------------------------------ publish

    def publish(self, state: PublishedState) -> None:
        """Make ``state`` what readers and the next writer see."""
        if self._state_file is None:
            self._state_file = self._disk.open(self._state_path, os.O_RDWR | os.O_CREAT)
        self._disk.write_at(self._state_file, [pack_state(state)], 0, self._state_path)

    def publish_synced(self, state: PublishedState) -> None:
        """Publish a state that must survive a power cut: what follows from it can't be taken back."""
        self.publish(state)
        assert self._state_file is not None
        self._disk.sync(self._state_file, self._state_path)

    def cut_back(self, state: PublishedState) -> None:
        """After an append that failed, maybe in publishing: ``state`` published again, and the files as it has them.

        In this order: a state never counts what is cut off, should this be cut short.
        """
        self.publish(state)
        self._cut_files(state)

    def remove_unpublished_locked(self, state: PublishedState) -> None:
        """Remove the segments that a roll left which was cut short; else the next roll does."""
        self._remove_segments_after(state.active_base_offset)

    # ---------------------------------------------------------------------------------------------- following others

    def follow_locked(self, state: PublishedState, leaders: PublishedState) -> PublishedState:
        """Cut off what this replica has beyond ``leaders``, a state of another replica that it agrees with up to there.

        ``state`` is its own. Nothing that is cut was ever acknowledged. The state goes first: bytes beyond it are cut
        by whoever comes next, too.
        """
        same = state.active_base_offset == leaders.active_base_offset
        cut = leaders._replace(
            flags=state.flags | leaders.flags & ~states.DELETED,
            log_start_offset=max(state.log_start_offset, leaders.log_start_offset),
            high_watermark=min(state.high_watermark, leaders.log_end_offset),
            synced_position=min(state.synced_position, leaders.end_position) if same else 0,
            recovery_point=min(state.recovery_point, leaders.log_end_offset) if same else leaders.active_base_offset,
            synced_at=state.synced_at,
            leader_epoch=state.leader_epoch,
        )
        if same and state.synced_position > leaders.end_position:
            cut = cut._replace(synced_position=0, recovery_point=leaders.active_base_offset)
        self.publish(cut)
        self._cut_files(cut)
        return cut

    def leader_epochs(self) -> list[tuple[int, int]]:
        """(leader epoch, its first offset) of every epoch in the log, oldest first. Raises CorruptRecordError."""
        path = os.path.join(self._directory, LEADER_EPOCH_FILE)
        try:
            return parse_leader_epochs(self._disk.read_file(path).decode("ascii", "replace"))
        except FileNotFoundError:
            return []

    def assign_epoch_locked(self, epoch: int, offset: int) -> None:
        """Write down that ``epoch`` begins at ``offset``. What does not come before it has been truncated away.

        Source: LeaderEpochFileCache#assign.
        """
        try:
            known = self.leader_epochs()
        except CorruptRecordError:
            known = []  # only followers that come back look there, and compare more than they must without it
        kept = [(other, start) for other, start in known if other < epoch and start < offset]
        path = os.path.join(self._directory, LEADER_EPOCH_FILE)
        self._disk.replace_file(path, format_leader_epochs([*kept, (epoch, offset)]).encode())

    # -------------------------------------------------------------------------------------------------------- files

    def _path(self, suffix: str) -> str:
        return segment_path(self._directory, self._active_base, suffix)

    def _open_segment(self, base: int) -> None:
        self._close_segment()
        try:
            for suffix in SEGMENT_SUFFIXES:
                path = segment_path(self._directory, base, suffix)
                # A lost index file is made again, empty: entries that are missing only make a search start earlier.
                flags = os.O_RDWR | (0 if suffix == LOG_SUFFIX else os.O_CREAT)
                try:
                    self._files[suffix] = self._disk.open(path, flags)
                except FileNotFoundError:
                    raise CorruptRecordError(
                        f"{self._label}: {path} is missing: restore the file, or delete the topic"
                    ) from None
        except BaseException:
            self._close_segment()
            raise
        self._active_base = base

    def _close_segment(self) -> None:
        for descriptor in self._files.values():
            self._disk.close(descriptor)
        self._files.clear()
        self._active_base = -1

    def _cut_files(self, state: PublishedState) -> None:
        """Take away what lies beyond the state. The log comes last: that it is too long is what says that there is
        something to take away, should this be cut short as well.
        """
        if self._active_base != state.active_base_offset:
            self._open_segment(state.active_base_offset)
        for suffix, size in (
            (INDEX_SUFFIX, state.index_entries * OFFSET_ENTRY.size),
            (TIME_INDEX_SUFFIX, state.time_index_entries * TIME_ENTRY.size),
            (LOG_SUFFIX, state.end_position),
        ):
            if self._disk.size(self._files[suffix]) > size:
                self._disk.truncate(self._files[suffix], size, self._path(suffix))

    def _remove_segments_after(self, base: int) -> None:
        for other in list_segments(self._disk, self._directory):
            if other > base:
                for suffix in SEGMENT_SUFFIXES:
                    self._disk.remove(segment_path(self._directory, other, suffix))


def read_state(disk: Disk, directory: str) -> PublishedState | None:
    """A replica's state as published; None where there is none that checks."""
    path = os.path.join(directory, states.FILE_NAME)
    for _ in range(100):  # beside a writer a read may see half of what it writes
        with suppress(CorruptRecordError, FileNotFoundError):
            return parse_state(disk.read_file(path))
    return None


def mark_deleted(disk: Disk, directory: str) -> None:
    """Tell everybody who has this replica open that it is gone for good. Needs the partition's lock."""
    path = os.path.join(directory, states.FILE_NAME)
    try:
        descriptor = disk.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        state = parse_state(disk.read_at(descriptor, states.SIZE, 0, path))
        disk.write_at(descriptor, [pack_state(state._replace(flags=state.flags | states.DELETED))], 0, path)
    except CorruptRecordError:
        pass  # whoever has it open will find the directory gone
    finally:
        disk.close(descriptor)
