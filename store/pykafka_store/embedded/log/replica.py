"""One replica's files, as their writer sees them: load, write, publish, cut back.

Every method that changes anything needs the partition's lock. A replica keeps nothing in memory that another process
could change under it: all it knows is in the published state, one pread away.

The order of an append, and why a kill at any instant loses, doubles and reorders nothing:

1. *load* reads the published state. Bytes beyond it belong to an append that was never acknowledged: they are cut off.
2. *write* puts whole batches after the end position, then their index entries. No reader looks there yet.
3. *publish* writes the state over the old one, in one small write within one page. Before it readers see the old end,
   after it the new one. Only after it does the append return, and only then is a record acknowledged.

A roll syncs the old segment before it creates the new one, and publishes the new one before anything is written to it.
"""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Sequence
from contextlib import suppress

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.index_builder import DEFAULT_INTERVAL, IndexBuilder
from pykafka_store.embedded.log.new_replica import create_log, name_owner, needs_no_log
from pykafka_store.embedded.log.open_file import OpenFile
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import CorruptRecordError, StorageError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.format import state as states
from pykafka_store.format.batch import LogBatch
from pykafka_store.format.checkpoint import (
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_leader_epochs,
    parse_leader_epochs,
)
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY
from pykafka_store.format.names import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, WRITTEN_SUFFIXES
from pykafka_store.format.state import PublishedState, pack_state, parse_state
from pykafka_store.model import NO_TIMESTAMP, topic_id_bytes
from pykafka_store.settings.configs import TopicConfig

_INT32_MAX = (1 << 31) - 1


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
        self._files: dict[str, OpenFile] = {}
        """Those of the active segment, by suffix; none before the first record."""
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
        # Forgotten before it is closed, as are the segment's: Ctrl-C may strike in between, and a number that is closed
        # twice is another file's by then.
        state_file, self._state_file = self._state_file, None
        if state_file is not None:
            self._disk.close(state_file)

    # --------------------------------------------------------------------------------------------------------- load

    def load_locked(self) -> PublishedState:
        """The published state, with the files brought back in line with it.

        Raises UnknownTopicOrPartitionError if the partition was deleted, CorruptRecordError if acknowledged bytes are
        missing.
        """
        if self._state_file is not None and not self._disk.is_at(self._state_file, self._state_path):
            # The directory was renamed away, unmounted or replaced: the files that are open are no partition's log.
            self.close()
        self.restored = False
        state = self._read_state()
        if state is None or state.boot_id != self._boot_id or not self._verified:
            # Another boot wrote this state, or which one did is not known: the bytes decide, batch by batch.
            restored = self._restore(state)
            self._verified = self.restored = True
            return restored
        if state.deleted or state.topic_id != self._topic_id:
            raise UnknownTopicOrPartitionError(f"{self._label} is gone: the topic was deleted while it was written")
        if state.active_base_offset != self._active_base or not all(
            file.is_in_place() for file in self._files.values()
        ):
            # The next segment; or the same one, copied anew since the replica was left behind: its indexes at least.
            self._open_segment_if_needed(state)
        log = self._files.get(LOG_SUFFIX)
        size = log.size() if log is not None else 0
        if size > state.end_position:
            self._cut_files(state)
        elif log is not None and size < state.end_position:
            raise CorruptRecordError(
                f"{self._label}: {log.path} holds {size} bytes where {state.end_position} were "
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
            with suppress(FileNotFoundError):
                if self._disk.is_missing(self._state_path):
                    return None
            raise self._is_gone() from None

    def _is_gone(self) -> StorageError:
        return StorageError(f"{self._label}: {self._directory} does not exist: is its disk mounted?")

    def _restore(self, state: PublishedState | None) -> PublishedState:
        """Make the files what recovery finds, bring that to the disk itself, and publish it."""
        from pykafka_store.embedded.log.recovery import recover

        found = recover(self._disk, self._directory, state, self._topic_id, self._boot_id, self._label)
        base = found.state.active_base_offset
        self._close_segment()
        self._remove_segments_after(base)
        if not found.found_segment and not needs_no_log(found.state):
            create_log(self._disk, self._directory, found.state)
        elif found.found_segment and not self._disk.exists(os.path.join(self._directory, PARTITION_METADATA_FILE)):
            name_owner(self._disk, self._directory, found.state)  # a broker's files were put here
        self._open_segment_if_needed(found.state)
        if self._files:
            for suffix, data in ((INDEX_SUFFIX, found.offset_index), (TIME_INDEX_SUFFIX, found.time_index)):
                self._files[suffix].truncate(0)
                self._files[suffix].write_at([data], 0)
            self._cut_files(found.state)
        for file in self._files.values():
            file.sync()
        self._disk.sync_directory(self._directory)
        restored = found.state._replace(
            synced_position=found.state.end_position, recovery_point=found.state.log_end_offset
        )
        self.publish(restored)
        return restored

    # -------------------------------------------------------------------------------------------------------- write

    def write_locked(
        self, state: PublishedState, batches: Sequence[LogBatch], config: TopicConfig
    ) -> tuple[PublishedState, int]:
        """Put the leading batches that go into one segment after the end, in a new segment if the topic's settings
        ask for it.

        Returns what is to be published, and how many batches it covers (at least one). On StorageError (disk full, I/O)
        the files are cut back to the published state before it is raised.
        """
        self.make_log_locked(state)
        builder = self._index_builder(state, config.index_interval_bytes)
        position, offset = state.end_position, state.log_end_offset
        if self._must_roll(state, builder, position, offset, batches[0], config):
            state = self._roll(state)
            builder, position = self._index_builder(state, config.index_interval_bytes), 0
        pieces: list[bytes | memoryview] = []
        count = 0
        for batch in batches:
            if count and self._must_roll(state, builder, position, offset, batch, config):
                break
            count += 1
            last = offset + batch.record_count - 1
            builder.add(position, last, batch.max_timestamp, batch.record_count)
            pieces += batch.placed(offset, state.leader_epoch)
            position, offset = position + batch.size, last + 1
        try:
            for suffix, some, at in (
                (LOG_SUFFIX, pieces, state.end_position),
                (INDEX_SUFFIX, builder.offset_entries, state.index_entries * OFFSET_ENTRY.size),
                (TIME_INDEX_SUFFIX, builder.time_entries, state.time_index_entries * TIME_ENTRY.size),
            ):
                if some:
                    self._files[suffix].write_at(some, at)
        except StorageError:
            self._cut_files(state)
            raise
        grown = state._replace(
            end_position=position,
            log_end_offset=offset,
            indexed_position=builder.indexed_position,
            index_entries=state.index_entries + len(builder.offset_entries),
            time_index_entries=state.time_index_entries + len(builder.time_entries),
            first_timestamp=builder.first_timestamp,
            max_timestamp=builder.max_timestamp,
            max_timestamp_offset=builder.max_timestamp_offset,
        )
        return grown, count

    def make_log_locked(self, state: PublishedState) -> None:
        """Make the files that a replica has from its first record on, where it has none yet."""
        if not self._files:
            create_log(self._disk, self._directory, state)
            self._open_segment(state)

    def _must_roll(
        self,
        state: PublishedState,
        builder: IndexBuilder,
        position: int,
        offset: int,
        batch: LogBatch,
        config: TopicConfig,
    ) -> bool:
        """Whether ``batch`` opens a new segment, rather than to stand at ``position`` and ``offset`` of the active one,
        whose entries that ``state`` does not have yet are in ``builder``. Source: LogSegment.shouldRoll.
        """
        if not position:
            return False
        limit = config.segment_ms
        if "compact" in config.cleanup_policy:
            limit = min(limit, config.max_compaction_lag_ms)
        if config.segment_jitter_ms:  # different for each segment, the same for each writer
            name = b"%d" % state.active_base_offset
            limit -= min(limit, crc32(name, crc32(self._topic_id)) % (config.segment_jitter_ms + 1))
        index_entries = state.index_entries + len(builder.offset_entries)
        time_index_entries = state.time_index_entries + len(builder.time_entries)
        return (
            position + batch.size > config.segment_bytes
            or (builder.first_timestamp >= 0 and batch.max_timestamp - builder.first_timestamp > limit)
            or (index_entries + 1) * OFFSET_ENTRY.size > config.segment_index_bytes
            or (time_index_entries + 1) * TIME_ENTRY.size > config.segment_index_bytes
            or offset + batch.record_count - 1 - state.active_base_offset > _INT32_MAX
        )

    def _index_builder(self, state: PublishedState, interval: int) -> IndexBuilder:
        """What makes the active segment's next index entries."""
        return IndexBuilder(
            state.active_base_offset,
            interval,
            first_timestamp=state.first_timestamp,
            max_timestamp=state.max_timestamp,
            max_timestamp_offset=state.max_timestamp_offset,
            indexed_position=state.indexed_position,
            last_time_entry=self._last_time_entry(state),
        )

    def _last_time_entry(self, state: PublishedState) -> int:
        """The largest timestamp in the active time index, -1 where it is empty."""
        if not state.time_index_entries:
            return NO_TIMESTAMP
        at = (state.time_index_entries - 1) * TIME_ENTRY.size
        raw = self._files[TIME_INDEX_SUFFIX].read_at(TIME_ENTRY.size, at)
        return int(TIME_ENTRY.unpack(raw)[0]) if len(raw) == TIME_ENTRY.size else NO_TIMESTAMP

    def _roll(self, state: PublishedState) -> PublishedState:
        """Seal the active segment, open the next at the log end offset, and publish that before anything is written
        to it.
        """
        builder = self._index_builder(state, DEFAULT_INTERVAL)
        builder.add_time_entry()
        index, time_index = self._files[INDEX_SUFFIX], self._files[TIME_INDEX_SUFFIX]
        entries = state.time_index_entries
        if builder.time_entries:
            time_index.write_at(builder.time_entries, entries * TIME_ENTRY.size)
            entries += len(builder.time_entries)
        index.truncate(state.index_entries * OFFSET_ENTRY.size)
        time_index.truncate(entries * TIME_ENTRY.size)
        for suffix in WRITTEN_SUFFIXES:
            self._files[suffix].sync()
        base = state.log_end_offset
        # A writer that died in a roll may have left segments that were never published.
        self._remove_segments_after(state.active_base_offset)
        Segment(self._disk, self._directory, base).create()
        self._disk.sync_directory(self._directory)
        rolled = state._replace(
            active_base_offset=base,
            end_position=0,
            synced_position=0,
            indexed_position=0,
            index_entries=0,
            time_index_entries=0,
            first_timestamp=NO_TIMESTAMP,
            max_timestamp=NO_TIMESTAMP,
            max_timestamp_offset=-1,
            recovery_point=base,
        )
        self.publish(rolled)
        # Only now: a segment whose publishing failed is one that the next writer removes.
        self._open_segment(rolled)
        return rolled

    def roll_locked(self, state: PublishedState) -> PublishedState:
        """Seal the active segment though it is not full, so that it can be taken away like any other."""
        return self._roll(state)

    def sync_locked(self, state: PublishedState, now_ms: int) -> PublishedState:
        """Bring everything written to the disk itself; returns the state that says so."""
        if self._files:
            self._files[LOG_SUFFIX].sync()
        # Not before the log is there: whoever makes it may be another process, and its name has to be synced, too.
        if self._files and not self._directory_synced:
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
        by the next writer, too.
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
        """(leader epoch, its first offset) of every epoch in the log, oldest first. Raises CorruptRecordError, and
        FileNotFoundError where the directory is gone.
        """
        path = os.path.join(self._directory, LEADER_EPOCH_FILE)
        try:
            return parse_leader_epochs(self._disk.read_file(path).decode("ascii", "replace"))
        except FileNotFoundError:
            if not self._disk.is_missing(path):
                raise
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

    def _open_segment_if_needed(self, state: PublishedState) -> None:
        """The active segment's files; none where there is no log and needs to be none."""
        if needs_no_log(state) and not Segment(self._disk, self._directory, state.active_base_offset).exists():
            self._close_segment()
        else:
            self._open_segment(state)

    def _open_segment(self, state: PublishedState) -> None:
        """The active segment's files: all of them, or none and an error."""
        self._close_segment()
        segment = Segment(self._disk, self._directory, state.active_base_offset)
        try:
            for suffix in WRITTEN_SUFFIXES:
                # A lost index file is made again, empty: entries that are missing only make a search start earlier.
                flags = os.O_RDWR | (0 if suffix == LOG_SUFFIX else os.O_CREAT)
                try:
                    self._files[suffix] = segment.open(suffix, flags)
                except FileNotFoundError:
                    raise self._not_there(segment.path(suffix)) from None
        except BaseException:
            self._close_segment()
            raise
        self._active_base = state.active_base_offset

    def _not_there(self, path: str) -> StoreError:
        """What it says of a file of the log that it can't be opened: damage, or that its disk is away."""
        with suppress(FileNotFoundError):
            if self._disk.is_missing(path):
                return CorruptRecordError(f"{self._label}: {path} is missing: restore the file, or delete the topic")
        return self._is_gone()

    def _close_segment(self) -> None:
        self._active_base = -1
        while self._files:
            self._files.popitem()[1].close()

    def _cut_files(self, state: PublishedState) -> None:
        """Take away what lies beyond the state. The log comes last: that it is too long is what says that there is
        something to take away, should this be cut short as well.
        """
        if self._active_base != state.active_base_offset:
            self._open_segment_if_needed(state)
        if not self._files:
            return
        for suffix, size in (
            (INDEX_SUFFIX, state.index_entries * OFFSET_ENTRY.size),
            (TIME_INDEX_SUFFIX, state.time_index_entries * TIME_ENTRY.size),
            (LOG_SUFFIX, state.end_position),
        ):
            if self._files[suffix].size() > size:
                self._files[suffix].truncate(size)

    def _remove_segments_after(self, base: int) -> None:
        for other in list_segments(self._disk, self._directory):
            if other > base:
                Segment(self._disk, self._directory, other).remove_unpublished()
