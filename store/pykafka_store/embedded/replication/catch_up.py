"""Bringing a replica back: to just what the leader has, and then into the ISR.

A replica falls behind when its broker was stopped or its directory failed; a new one, for a move to another broker or
log directory, is one that has nothing yet. All come back the same way:

1. Where do the two logs agree? Up to the end of the newest leader epoch that both began at the same offset (KIP-101).
   Whole segments below that are the same if they are as long; others, the replica's last, and those of a compacted log,
   are compared batch header by batch header, which includes the CRC of all the rest.
2. The replica is truncated to there: first its published state, then its files. It may have been eligible to lead, as
   it left when too few stayed (KIP-966): the catalogue says that it is not any more, before anything of it is touched.
3. The leader's bytes after that are copied, segment by segment, without the partition's lock: what is published never
   changes, and the upkeep lock, which is held throughout, keeps retention and compaction away. After each round less is
   left.
4. Under the partition's lock the rest is copied, and the small files and the state are made the leader's. All is on the
   disk itself before the catalogue says that the replica is in sync.

A kill at any instant leaves a replica that is not in sync, whose state says a prefix of what its files hold, under no
boot's id: whoever loads it looks at the bytes. The next attempt begins at 1.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from struct import error as StructError

from pykafka_store.embedded.catalog_rows import IN_SYNC, OUT_OF_SYNC
from pykafka_store.embedded.disk import boot_id
from pykafka_store.embedded.layout import set_aside
from pykafka_store.embedded.log.cleaned_segment import finish_interrupted
from pykafka_store.embedded.log.new_replica import create_replica
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.embedded.partitions import HostedPartition, owner_of, require_nobodys
from pykafka_store.embedded.replication.copying import At, Copy, OnCopied, copy_file
from pykafka_store.embedded.replication.in_sync import with_host, with_sync
from pykafka_store.embedded.replication.leadership import Leadership, LedPartition, SyncedReplica
from pykafka_store.errors import (
    CorruptRecordError,
    StorageError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.format import state as states
from pykafka_store.format.batch import HEADER_SIZE, parse_header
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_partition_metadata,
)
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY
from pykafka_store.format.names import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
)
from pykafka_store.format.state import PublishedState, empty_state
from pykafka_store.model import topic_id_bytes

FEW = 4 << 20
"""Bytes that may be left to be copied under the partition's lock."""
MOST_ROUNDS = 20

_EPHEMERAL = bytes(16)
"""The boot id of a state that no process may believe without looking at the bytes."""


class CatchUp:
    """One partition's. Cheap to make."""

    def __init__(self, partition: HostedPartition) -> None:
        self._partition = partition
        self._disk = partition.engine.disk
        self._boot_id = boot_id()

    def run(self, broker: int, log_dir: int | None = None, on_copied: OnCopied | None = None) -> int | None:
        """Bring the broker's replica into sync, in another of its log directories if ``log_dir`` says so.

        ``on_copied`` is called with each number of bytes (never under a lock that appends need). Returns all bytes that
        were copied, None if another process is at this partition. Raises StoreError, FileNotFoundError.
        """
        with self._partition.upkeep_lock() as ours:
            if not ours:
                return None
            with closing(Leadership(self._partition)) as leadership:
                total = 0
                while True:
                    with self._partition.lock():
                        led = leadership.ensure_led()
                        # Else segments would be copied that a compaction was about to remove when it was killed.
                        finish_interrupted(self._disk, led.leader.log.directory)
                        led.leader.log.make_log_locked(led.leader.state)  # what is copied is files
                        host = led.row.host(broker)
                        if host is None:
                            raise self._not_wanted(broker)
                        moves = log_dir is not None and log_dir != host.log_dir
                        self._require_wanted(led, broker, log_dir if moves else None)
                        if not moves and host.sync == IN_SYNC:
                            return total
                        if not moves and host.sync != OUT_OF_SYNC:
                            # It could lead for what it had. From now on it may lack any of that.
                            self._partition.change(with_host(led.row, host._replace(sync=OUT_OF_SYNC)))
                    directory = self._partition.directory_in(broker, host.log_dir if log_dir is None else log_dir)
                    copied, done = self._follow(leadership, led, broker, directory, log_dir, on_copied)
                    total += copied
                    if done:
                        return total

    def differing(self) -> list[int]:
        """The brokers whose replica is in sync and has not the leader's bytes: compaction went over them at different
        times, and wrote other delete horizons, or left another tombstone. They say the same.
        """
        with self._partition.upkeep_lock() as ours:
            if not ours:
                return []
            with closing(Leadership(self._partition)) as leadership:
                with self._partition.lock():
                    led = leadership.ensure_led()
                end = led.leader.state.active_base_offset, led.leader.state.end_position
                return [
                    follower.broker
                    for follower in (led.followers if led.leader.state.log_end_offset else ())
                    if self._agreement(led, follower.log, follower.state, follower.log.directory)[:2] != end
                    or len(self._bases(follower.log.directory)) != len(self._bases(led.leader.log.directory))
                ]

    def _bases(self, directory: str) -> list[int]:
        return list_segments(self._disk, directory)

    def _follow(
        self,
        leadership: Leadership,
        led: LedPartition,
        broker: int,
        directory: str,
        log_dir: int | None,
        on_copied: OnCopied | None,
    ) -> tuple[int, bool]:
        """One attempt to follow the leader of ``led``: (bytes, whether it is done). It is not if the leader changed."""
        leader = led.leader.log.directory
        replica = self._opened(directory)
        try:
            own = self._loaded(replica, directory)
            at = self._agreement(led, replica, own, directory)
            self._truncate(replica, own, led.leader.state, directory, at, set(self._bases(leader)))
            copy = Copy(self._disk, leader, directory, at)
            copy.settle_agreed()
            now = led
            for _ in range(MOST_ROUNDS):
                before = copy.bytes
                copy.go_on(now.leader.state, on_copied)
                replica.publish_synced(_unverified(None, now.leader.state, copy.at))
                if copy.bytes - before <= FEW:
                    break
                with self._partition.lock():
                    now = leadership.ensure_led()
                if not _same_leader(now, led):
                    return copy.bytes, False
            with self._partition.lock():
                now = leadership.ensure_led()
                if not _same_leader(now, led):
                    return copy.bytes, False
                self._require_wanted(now, broker, log_dir)
                copy.go_on(now.leader.state, None)
                copy.settle_beside()
                self._finish(replica, now, directory, leader)
                self._admit(leadership, now, broker, log_dir, replica)
            return copy.bytes, True
        finally:
            replica.close()

    def _require_wanted(self, led: LedPartition, broker: int, log_dir: int | None) -> None:
        """Whoever gave a move up took the replica away, or is about to."""
        host = led.row.host(broker)
        if host is None or (log_dir is not None and host.future_log_dir != log_dir):
            raise self._not_wanted(broker)

    def _not_wanted(self, broker: int) -> UnknownTopicOrPartitionError:
        return UnknownTopicOrPartitionError(f"{self._partition.label} is to have no replica there on broker {broker}")

    # ---------------------------------------------------------------------------------------------- the replica's own

    def _opened(self, directory: str) -> ReplicaLog:
        """The replica's log, made if there is none. What lies there of another topic is set aside."""
        if self._disk.exists(directory) and owner_of(self._disk, directory) not in {None, self._partition.topic_id}:
            require_nobodys(self._partition.engine, directory, self._partition.topic_id)
            set_aside(self._disk, directory, "stray")
        if not self._disk.exists(directory):
            parent = os.path.dirname(directory)
            if (problem := self._partition.engine.brokers.problem(parent)) is not None:
                raise StorageError(problem)
            create_replica(self._disk, directory, self._partition.topic_id, self._boot_id)
            self._disk.sync_directory(parent)
        return self._partition.replica_at(directory)

    def _loaded(self, replica: ReplicaLog, directory: str) -> PublishedState:
        """The replica's state; an empty one where its files are damaged, or are what a deletion left."""
        finish_interrupted(self._disk, directory)  # else it might replace what is copied now
        try:
            return replica.load_locked()
        except (CorruptRecordError, UnknownTopicOrPartitionError):
            replica.close()
        empty = empty_state(topic_id_bytes(self._partition.topic_id), self._boot_id)
        Segment(self._disk, directory, 0).create()
        replica.publish(empty)
        for base in self._bases(directory):
            if base:
                Segment(self._disk, directory, base).remove()
        return replica.load_locked()

    def _agreement(self, led: LedPartition, replica: ReplicaLog, own: PublishedState, directory: str) -> At:
        """Up to where the replica has what the leader has."""
        leader, theirs = led.leader.log.directory, led.leader.state
        agreed = 0
        with suppress(CorruptRecordError):  # then all is compared
            agreed = agreed_end(
                led.leader.log.leader_epochs(), theirs.log_end_offset, replica.leader_epochs(), own.log_end_offset
            )
        bases = [base for base in self._bases(leader) if base <= theirs.active_base_offset]
        there = set(self._bases(directory))
        at = At(bases[0], 0, bases[0])
        for base, end in zip(bases, [*bases[1:], None], strict=True):
            if base not in there or base > own.active_base_offset:
                return At(base, 0, base)
            size = theirs.end_position if end is None else Segment(self._disk, leader, base).size()
            own_active = base == own.active_base_offset
            own_size = own.end_position if own_active else Segment(self._disk, directory, base).size()
            # Not its active one: that may end in an append whose writer was killed before the leader published it.
            # Others took its place in the same epoch, and may be as long.
            same = end is not None and not own_active and size == own_size and end <= agreed
            same = same and not theirs.has_gaps and not own.has_gaps
            if not same:
                at = self._common(leader, directory, base, min(size, own_size))
                if at.position < size or own_size > size:
                    return at
            if end is None or own_active:
                return at
            at = At(base, size, end)
        return at

    def _common(self, leader: str, directory: str, base: int, end: int) -> At:
        """Up to where two files of a segment have the same batches."""
        position, offset = 0, base
        with Segment(self._disk, leader, base).open() as theirs, Segment(self._disk, directory, base).open() as own:
            while position + HEADER_SIZE <= end:
                raw, other = theirs.read_at(HEADER_SIZE, position), own.read_at(HEADER_SIZE, position)
                try:
                    header = parse_header(raw)
                except (StructError, CorruptRecordError, UnsupportedVersionError):
                    break
                if raw != other or position + header.size > end:
                    break
                position, offset = position + header.size, header.last_offset + 1
        return At(base, position, offset)

    def _truncate(
        self,
        replica: ReplicaLog,
        own: PublishedState,
        theirs: PublishedState,
        directory: str,
        at: At,
        keep: set[int],
    ) -> None:
        segment = Segment(self._disk, directory, at.base)
        # Where they agree on some of it, it is there: one that can't be seen now is on a disk that is just going.
        if not at.position and not segment.exists():
            segment.create()
        replica.publish_synced(_unverified(own, theirs, at))
        replica.close()
        with segment.open(flags=os.O_RDWR) as log:
            if log.size() > at.position:
                log.truncate(at.position)
        for base in self._bases(directory):
            if base > at.base or base not in keep:
                Segment(self._disk, directory, base).remove()
        self._disk.sync_directory(directory)

    # ------------------------------------------------------------------------------------------------- like the leader

    def _finish(self, replica: ReplicaLog, led: LedPartition, directory: str, leader: str) -> None:
        """The last of the leader's files, and its state."""
        state = led.leader.state
        base = state.active_base_offset
        for suffix, size in (
            (LOG_SUFFIX, state.end_position),
            (INDEX_SUFFIX, state.index_entries * OFFSET_ENTRY.size),
            (TIME_INDEX_SUFFIX, state.time_index_entries * TIME_ENTRY.size),
        ):
            with Segment(self._disk, directory, base).open(suffix, os.O_RDWR | os.O_CREAT) as file:
                if suffix != LOG_SUFFIX:
                    path = Segment(self._disk, leader, base).path(suffix)
                    file.write_at([self._disk.read_file(path, limit=1 << 30)[:size]], 0)
                file.truncate(size)
                file.sync()
        owner = format_partition_metadata(self._partition.topic_id).encode()
        self._disk.replace_file(os.path.join(directory, PARTITION_METADATA_FILE), owner)
        for name in (LEADER_EPOCH_FILE, CLEANER_CHECKPOINT_FILE):
            copy_file(self._disk, leader, directory, name)
        self._disk.sync_directory(directory)
        replica.publish_synced(state)

    def _admit(
        self, leadership: Leadership, led: LedPartition, broker: int, log_dir: int | None, replica: ReplicaLog
    ) -> None:
        """The replica is in sync; with it there may be enough to show what could not be shown before."""
        row = with_sync(led.row, {*led.row.isr, broker}, led.min_isr)
        if log_dir is not None:
            host = row.host(broker)
            assert host is not None
            row = with_host(row, host._replace(log_dir=log_dir, future_log_dir=None))
        self._partition.change(row)
        if led.leader.broker != broker:
            others = (each for each in led.followers if each.broker != broker)
            joined = SyncedReplica(broker, replica, led.leader.state)
            leadership.tidy(LedPartition(row, led.config, led.leader, (*others, joined)))


def agreed_end(
    leader: list[tuple[int, int]], leader_end: int, follower: list[tuple[int, int]], follower_end: int
) -> int:
    """The offset up to which two logs are the same by their leader epochs, (epoch, first offset) pairs each: the end of
    the newest epoch that both know to begin at the same offset; 0 if there is none.

    Source: LeaderEpochFileCache#endOffsetFor, KIP-101: within an epoch there was one leader, so what both have of it is
    the same.
    """
    common = {*leader} & {*follower}
    if not common:
        return 0
    newest = max(common)

    def end(entries: list[tuple[int, int]], last: int) -> int:
        return min((start for epoch, start in entries if epoch > newest[0]), default=last)

    return min(end(leader, leader_end), end(follower, follower_end))


def _same_leader(now: LedPartition, before: LedPartition) -> bool:
    return (now.leader.broker, now.row.leader_epoch, now.leader.log.directory) == (
        before.leader.broker,
        before.row.leader_epoch,
        before.leader.log.directory,
    )


def _unverified(own: PublishedState | None, theirs: PublishedState, at: At) -> PublishedState:
    """The state of a replica that has the leader's log up to ``at``: no process believes it without looking."""
    state = empty_state(theirs.topic_id, _EPHEMERAL, offset=at.offset, leader_epoch=theirs.leader_epoch)
    flags = (theirs.flags | (own.flags if own is not None else 0)) & ~states.DELETED
    return state._replace(
        flags=flags,
        log_start_offset=min(theirs.log_start_offset, at.offset),
        active_base_offset=at.base,
        end_position=at.position,
        recovery_point=at.base,
    )
