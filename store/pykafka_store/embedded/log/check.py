"""One replica's directory looked at, file by file, for ``pykafka doctor``. Changes nothing and takes no lock.

What is read is judged by the state that was published before it was read: bytes that a published state covers never
change in place. What may change meanwhile is which files there are, so whoever finds something wrong looks again.

Every batch's CRC is checked, and that the batches' offsets and leader epochs follow one on the other; records are not
decoded, for the CRC says that they are what was written.

Normal, and no finding: bytes and index entries beyond those that count, segments below the log's start or beyond the
active one, ``.deleted`` files, gaps where compaction was.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import pairwise
from struct import error as StructError
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.recovery import INDEX_INTERVAL, recover
from pykafka_store.embedded.log.replica import read_state
from pykafka_store.embedded.log.segment_walk import READ_SIZE, IndexEntries, SegmentWalk
from pykafka_store.embedded.log.segments import SEGMENT_SUFFIXES, list_segments, read_batches, segment_path
from pykafka_store.errors import CorruptRecordError, UnknownTopicOrPartitionError, UnsupportedVersionError
from pykafka_store.format import state as states
from pykafka_store.format.batch import HEADER_SIZE, crc_of, parse_header
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_cleaner_checkpoint,
    format_partition_metadata,
    parse_cleaner_checkpoint,
    parse_leader_epochs,
)
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY, aborted_transactions
from pykafka_store.format.names import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SNAPSHOT_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
)
from pykafka_store.format.state import PublishedState
from pykafka_store.model import Severity, topic_id_bytes

_INT32_MAX = (1 << 31) - 1
_UNFINISHED = (CLEANED_SUFFIX, SWAP_SUFFIX)
_OF_A_SEGMENT = (*SEGMENT_SUFFIXES, TRANSACTION_INDEX_SUFFIX, SNAPSHOT_SUFFIX)
_SMALL_FILES = (states.FILE_NAME, LEADER_EPOCH_FILE, PARTITION_METADATA_FILE, CLEANER_CHECKPOINT_FILE)
_NEVER = 1 << 64

_RECOVERED = "the log's end is found from its batches; records deleted from its start may come back"
_EPOCHS = "a replica that fell behind is compared by it when it comes back"
_SEARCHED = {
    INDEX_SUFFIX: "no record is affected; finding an offset may be slower",
    TIME_INDEX_SUFFIX: "no record is affected; searches and retention by time may be off",
}


class Remedy(StrEnum):
    """What :mod:`pykafka_store.embedded.repair` can do about a finding; each is a method of it."""

    NONE = ""
    META = "meta"
    LOG_DIR = "log_dir"
    STRAY = "stray"
    DEAD_MEMBERS = "dead_members"
    RECOVER = "recover"
    REMOVE = "remove"
    FINISH = "finish"
    INDEXES = "indexes"
    EPOCHS = "epochs"
    METADATA = "metadata"
    CLEANER = "cleaner"
    REMAKE = "remake"


class Place(NamedTuple):
    """A replica, and where it lies."""

    topic: str
    topic_id: str
    partition: int
    broker: int
    directory: str
    leader_epoch: int
    """As the catalogue has it."""
    index_interval: int
    """index.interval.bytes of the topic."""

    @property
    def label(self) -> str:
        return f"{self.topic}-{self.partition}"


class Found(NamedTuple):
    """A finding, and what is needed to mend it."""

    severity: Severity
    path: str
    message: str
    meaning: str
    remedy: Remedy = Remedy.NONE
    place: Place | None = None
    base: int = -1
    """The segment that it is about, if it is about one."""
    source: int = -1
    """To make the replica anew: a broker that has a whole one."""


class Checked(NamedTuple):
    place: Place
    found: list[Found]
    state: PublishedState | None
    """As published, or as recovery would publish it; None where neither can be told."""
    trusted: bool
    """Whether the state was published under this boot: then it is true to the byte."""
    digests: dict[int, tuple[int, int]]
    """Segment -> (the offset after its last batch that is committed, CRC of the headers of all these batches, which
    hold the CRCs of the records): what replicas are compared by."""
    leftovers: bool
    """Whether there is something that a writer or a compaction left behind, or is at just now."""


def check_replica(
    disk: Disk, place: Place, boot_id: bytes, committed: int | None, on_read: Callable[[int], None]
) -> Checked:
    """Look at every file of a replica.

    ``committed``: the high watermark up to which digests are made; None for none. ``on_read`` is told how many bytes of
    logs were read. Raises FileNotFoundError if the directory is gone, StoreError where it can't be read.
    """
    return _Check(disk, place, boot_id, committed, on_read).run()


def leftovers(disk: Disk, place: Place) -> list[Found]:
    """What only a process that was killed leaves behind, asked while nobody is at work: with the upkeep lock and the
    partition's. Raises FileNotFoundError.
    """
    found: list[Found] = []
    for name in sorted(disk.list(place.directory)):
        path = os.path.join(place.directory, name)
        if name.endswith(_UNFINISHED):
            text, meaning = "of a compaction that was killed", "the next pass of upkeep (pykafka maintain) finishes it"
            found.append(Found(Severity.INFO, path, text, meaning, Remedy.FINISH, place))
        elif name.endswith(".tmp"):
            text, meaning = "was left by a process that was killed", "nobody reads it"
            found.append(Found(Severity.INFO, path, text, meaning, Remedy.REMOVE, place))
    state = read_state(disk, place.directory)
    if state is not None:
        path = segment_path(place.directory, state.active_base_offset)
        surplus = disk.size_of(path) - state.end_position
        if surplus > 0:
            text = f"{surplus} bytes beyond the published end"
            meaning = "an append that was never acknowledged; the next writer cuts it off"
            found.append(Found(Severity.INFO, path, text, meaning, Remedy.RECOVER, place))
    return found


def has_batches_behind(disk: Disk, path: str, position: int, offset: int) -> bool:
    """Whether a whole batch of a later offset lies somewhere behind ``position``: then what is there is no torn
    tail.
    """
    descriptor = disk.open(path)
    try:
        size = disk.size(descriptor)
        for start in range(position, size, READ_SIZE):  # the file may be large, with nothing in it
            data = disk.read_at(descriptor, min(READ_SIZE + HEADER_SIZE, size - start), start, path)
            at = data.find(b"\x02", 16)  # a batch's magic
            while at >= 0:
                try:
                    header = parse_header(data, at - 16)
                except (StructError, CorruptRecordError, UnsupportedVersionError):
                    pass
                else:
                    begin = start + at - 16
                    near = offset <= header.base_offset <= offset + _INT32_MAX  # as far as a segment may reach
                    if near and begin + header.size <= size:
                        batch = disk.read_at(descriptor, header.size, begin, path)
                        if crc_of(batch) == header.crc:
                            return True
                at = data.find(b"\x02", at + 1)
    finally:
        disk.close(descriptor)
    return False


def epochs_of(disk: Disk, directory: str, state: PublishedState) -> list[tuple[int, int]]:
    """(leader epoch, its first offset) as the batches have it, for a checkpoint that is made anew."""
    found: list[tuple[int, int]] = []
    for base in list_segments(disk, directory):
        if base > state.active_base_offset:
            break
        path = segment_path(directory, base)
        descriptor = disk.open(path)
        try:
            position, end = 0, state.end_position if base == state.active_base_offset else disk.size(descriptor)
            while batches := read_batches(disk, descriptor, path, position, end, READ_SIZE):
                for batch in batches:
                    if not found or batch.header.leader_epoch > found[-1][0]:
                        found.append((batch.header.leader_epoch, batch.header.base_offset))
                position = batches[-1].position + batches[-1].header.size
        finally:
            disk.close(descriptor)
    if found:  # its older batches may be gone
        found[0] = found[0][0], min(found[0][1], state.log_start_offset)
    if not found or state.leader_epoch > found[-1][0]:
        found.append((state.leader_epoch, state.log_end_offset))
    return found


class _Check:
    def __init__(
        self, disk: Disk, place: Place, boot_id: bytes, committed: int | None, on_read: Callable[[int], None]
    ) -> None:
        self._disk = disk
        self._place = place
        self._boot_id = boot_id
        self._committed = committed
        self._on_read = on_read
        self._found: list[Found] = []
        self._trusted = False
        self._digests: dict[int, tuple[int, int]] = {}
        self._runs: list[tuple[int, int, int]] = []
        """(leader epoch, first offset, last offset) of runs of batches, as they come."""

    def _tell(
        self, severity: Severity, name: str, message: str, meaning: str, remedy: Remedy = Remedy.NONE, base: int = -1
    ) -> None:
        path = os.path.join(self._place.directory, name) if name else self._place.directory
        self._found.append(Found(severity, path, message, meaning, remedy, self._place, base))

    def run(self) -> Checked:
        names = sorted(self._disk.list(self._place.directory))
        state = self._state()
        surplus = 0
        if state is not None:
            self._small_files(state)
            self._segments(state, names)
            self._leader_epochs(state)
            surplus = self._disk.size_of(self._path(state.active_base_offset)) - state.end_position
        self._names(names, state)
        left = (self._trusted and surplus > 0) or any(name.endswith((*_UNFINISHED, ".tmp")) for name in names)
        return Checked(self._place, self._found, state, self._trusted, self._digests, left)

    def _path(self, base: int, suffix: str = LOG_SUFFIX) -> str:
        return segment_path(self._place.directory, base, suffix)

    # ---------------------------------------------------------------------------------------------------- the state

    def _state(self) -> PublishedState | None:
        place, disk, name = self._place, self._disk, states.FILE_NAME
        state = read_state(disk, place.directory)
        other = f"the directory does not belong to {place.topic}"
        if state is not None:
            problem = _problem_of_state(state)
            if state.topic_id != topic_id_bytes(place.topic_id):
                self._tell(Severity.ERROR, name, "is that of another topic", other)
                return None
            if state.deleted:
                text = "says that the partition was deleted"
                self._tell(Severity.ERROR, name, text, "the catalogue still has it: is an older metadata.db back?")
                return None
            if problem:
                self._tell(Severity.ERROR, name, problem, "no writer of ours publishes such a state: please report it")
                return None
            if state.boot_id == self._boot_id and any(self._boot_id):
                self._trusted = True
                return state
        try:
            found = recover(
                disk, place.directory, state, topic_id_bytes(place.topic_id), self._boot_id, place.label
            ).state
        except UnknownTopicOrPartitionError:
            self._tell(Severity.ERROR, PARTITION_METADATA_FILE, "is that of another topic", other)
            return None
        except CorruptRecordError as error:
            self._tell(Severity.ERROR, "", f"the log's end can't be found: {error}", "acknowledged bytes are missing")
            return None
        if state is not None and not disk.exists(self._path(state.active_base_offset)):
            active, end = state.active_base_offset, state.log_end_offset
            meaning = f"offsets {active} to {end - 1} are lost here" if end > active else "it is made again, empty"
            self._tell(Severity.ERROR, f"{active:020d}{LOG_SUFFIX}", "is missing", meaning, base=active)
            return found
        path = self._path(found.active_base_offset)
        behind = disk.size_of(path) > found.end_position and has_batches_behind(
            disk, path, found.end_position, found.log_end_offset
        )
        if state is None:
            text = "does not check" if disk.exists(os.path.join(place.directory, name)) else "is missing"
            if behind:
                self._tell(Severity.WARNING, name, text, "nobody knows where the log ends: restore it from a backup")
            else:
                self._tell(Severity.WARNING, name, text, _RECOVERED, Remedy.RECOVER)
        if behind:
            self._tell(
                Severity.ERROR,
                os.path.basename(path),
                f"is damaged at byte {found.end_position}, and whole batches follow",
                f"a writer takes what follows offset {found.log_end_offset} for a torn tail, and cuts it off",
                base=found.active_base_offset,
            )
        return found

    # ----------------------------------------------------------------------------------------------- the small files

    def _text(self, name: str) -> str | None:
        try:
            return self._disk.read_file(os.path.join(self._place.directory, name)).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def _small_files(self, state: PublishedState) -> None:
        place, name = self._place, PARTITION_METADATA_FILE
        text = self._text(name)
        if text is None or text.rstrip("\n") != format_partition_metadata(place.topic_id):
            message = "is missing" if text is None else "does not name this topic's id"
            meaning = "it tells whose the directory is when its state is lost"
            self._tell(Severity.WARNING, name, message, meaning, Remedy.METADATA)
        name = CLEANER_CHECKPOINT_FILE
        text = self._text(name)
        if text is not None:
            try:
                offset = parse_cleaner_checkpoint(text)
            except CorruptRecordError:
                offset = -1
            known = text == format_cleaner_checkpoint(place.topic, place.partition, offset)
            if not known or not 0 <= offset <= state.log_end_offset:
                meaning = "compaction begins anew at the log's start"
                self._tell(Severity.WARNING, name, "is damaged", meaning, Remedy.CLEANER)

    def _leader_epochs(self, state: PublishedState) -> None:
        """The checkpoint against itself, the state and what the batches say. Needs ``_segments`` before it."""
        text = self._text(LEADER_EPOCH_FILE)
        if text is None:
            self._tell(Severity.WARNING, LEADER_EPOCH_FILE, "is missing", _EPOCHS, Remedy.EPOCHS)
            return
        problem = ""
        try:
            entries = parse_leader_epochs(text)
        except CorruptRecordError as error:
            entries, problem = [], str(error)
        newest = max(self._place.leader_epoch, state.leader_epoch)
        if not problem and any(one[0] >= two[0] or one[1] > two[1] for one, two in pairwise(entries)):
            problem = "its entries do not increase"
        elif entries and entries[-1][0] > newest:
            problem = f"it ends with epoch {entries[-1][0]}, and the leader's is {newest}"
        elif entries and entries[-1][1] > state.log_end_offset:
            problem = f"epoch {entries[-1][0]} begins at offset {entries[-1][1]}, beyond the log's end"
        for epoch, first, last in () if problem else self._runs:
            for offset in (first, last):
                at = bisect_right(entries, offset, key=lambda entry: entry[1])
                said = entries[at - 1][0] if at else None
                if said != epoch:
                    problem = f"offset {offset} has epoch {epoch} in the log, and {said} here"
        if problem:
            self._tell(Severity.WARNING, LEADER_EPOCH_FILE, problem, _EPOCHS, Remedy.EPOCHS)

    def _names(self, names: Sequence[str], state: PublishedState | None) -> None:
        active = state.active_base_offset if state is not None else _NEVER
        for name in names:
            digits, suffix = name[:20], name[20:]
            if name in _SMALL_FILES or name.endswith((".tmp", DELETED_SUFFIX, *_UNFINISHED)):
                continue
            if not (digits.isascii() and digits.isdigit() and suffix in _OF_A_SEGMENT):
                self._tell(Severity.INFO, name, "is no file of ours", "nobody reads it")
            elif suffix in _SEARCHED and int(digits) < active and f"{digits}{LOG_SUFFIX}" not in names:
                text = "is an index without its log"
                self._tell(Severity.INFO, name, text, "nobody reads it")

    # ------------------------------------------------------------------------------------------------------ segments

    def _segments(self, state: PublishedState, names: Sequence[str]) -> None:
        active, start = state.active_base_offset, state.log_start_offset
        bases = [base for base in list_segments(self._disk, self._place.directory) if base <= active]
        if active not in bases:
            if self._trusted:
                lost = f"offsets {active} to {state.log_end_offset - 1} are lost here"
                meaning = lost if state.log_end_offset > active else "nothing can be appended"
                self._tell(Severity.ERROR, f"{active:020d}{LOG_SUFFIX}", "is missing", meaning, base=active)
            bases.append(active)
        if bases[0] > start:
            text = f"the log starts at offset {start}, and its first segment at {bases[0]}"
            self._tell(Severity.ERROR, "", text, f"offsets {start} to {bases[0] - 1} are lost here", base=bases[0])
        unfinished = {int(name[:20]) for name in names if name.endswith(_UNFINISHED) and name[:20].isdigit()}
        replaced = -1
        for base, following in zip(bases, [*bases[1:], None], strict=True):
            if following is not None and following <= start:
                continue  # nobody reads it, and retention takes it away
            if base < replaced:
                continue  # in the segment that compaction wrote as well, and there twice until it is finished
            if f"{base:020d}{LOG_SUFFIX}" in names:
                end = self._segment(state, base, following, finished=base not in unfinished)
                replaced = end if base in unfinished else replaced

    def _segment(self, state: PublishedState, base: int, following: int | None, *, finished: bool) -> int:
        """One segment and its indexes; returns the offset after it."""
        disk, path = self._disk, self._path(base)
        active = base == state.active_base_offset
        descriptor = disk.open(path)
        try:
            size = disk.size(descriptor)
            end = state.end_position if active else size
            cut = size < end
            if cut:
                text = f"holds {size} bytes where {end} were acknowledged"
                meaning = "the records at its end are lost here"
                self._tell(Severity.ERROR, os.path.basename(path), text, meaning, base=base)
                end = size
            indexes = self._indexes(state, base) if finished and (self._trusted or not active) else ()
            epoch = max(self._place.leader_epoch, state.leader_epoch)
            walk = SegmentWalk(base, state.has_gaps, epoch, self._committed, self._runs, indexes)
            walk.run(disk, descriptor, path, end, self._on_read)
        finally:
            disk.close(descriptor)
        for message, meaning in walk.damage:
            self._tell(Severity.ERROR, os.path.basename(path), message, meaning, base=base)
        expected = state.log_end_offset if active else following
        whole = not walk.damage and not cut
        if whole and finished and expected is not None and walk.next_offset != expected:
            whole = False
            text = f"ends with offset {walk.next_offset - 1}, and {expected} comes next"
            meaning = f"offsets {walk.next_offset} to {expected - 1} are lost here"
            if walk.next_offset > expected:
                meaning = "the same offsets are there twice"
            self._tell(Severity.ERROR, os.path.basename(path), text, meaning, base=base)
        if whole:
            for index in indexes:
                problem = index.verdict(walk, None if active else max(self._place.index_interval, INDEX_INTERVAL))
                if problem:
                    meaning = _SEARCHED[index.suffix]
                    self._tell(Severity.WARNING, f"{base:020d}{index.suffix}", problem, meaning, Remedy.INDEXES, base)
            if active and self._trusted and walk.times != state[12:15]:
                text = "has other timestamps than the active segment's batches"
                meaning = _SEARCHED[TIME_INDEX_SUFFIX]
                self._tell(Severity.WARNING, states.FILE_NAME, text, meaning, Remedy.INDEXES, base)
            if self._committed is not None and walk.digested > base:
                self._digests[base] = walk.digested, walk.digest
        self._transactions(base)
        return walk.next_offset

    def _indexes(self, state: PublishedState, base: int) -> tuple[IndexEntries, ...]:
        active = base == state.active_base_offset
        found = []
        for suffix, entry, counted in (
            (INDEX_SUFFIX, OFFSET_ENTRY, state.index_entries),
            (TIME_INDEX_SUFFIX, TIME_ENTRY, state.time_index_entries),
        ):
            path = self._path(base, suffix)
            try:
                data = self._disk.read_file(path, limit=1 << 31)
            except FileNotFoundError:
                found.append(IndexEntries(suffix, base, [], "is missing"))
                continue
            wanted = counted * entry.size if active else len(data)
            problem = ""
            if len(data) < wanted:
                problem = f"has {len(data) // entry.size} entries where {counted} count"
            elif wanted % entry.size:
                problem = f"ends with {wanted % entry.size} bytes that are no entry"
            whole = min(len(data), wanted) // entry.size * entry.size
            found.append(IndexEntries(suffix, base, list(entry.iter_unpack(data[:whole])), problem))
        return tuple(found)

    def _transactions(self, base: int) -> None:
        path = self._path(base, TRANSACTION_INDEX_SUFFIX)
        try:
            for _ in aborted_transactions(self._disk.read_file(path, limit=1 << 26)):
                pass
        except FileNotFoundError:
            pass  # most segments have none
        except CorruptRecordError as error:
            meaning = "who reads committed records only may be given aborted ones"
            self._tell(Severity.ERROR, os.path.basename(path), str(error), meaning, base=base)


def _problem_of_state(state: PublishedState) -> str:
    """What can't be of its fields together; nothing if they make sense."""
    end = state.log_end_offset
    checks = (
        (0 <= state.log_start_offset <= end, "the log starts after its end"),
        (0 <= state.high_watermark <= end, "the high watermark is beyond the log's end"),
        (0 <= state.active_base_offset <= end, "the active segment is beyond the log's end"),
        (0 <= state.synced_position <= state.end_position, "more is synced than is there"),
        (state.recovery_point <= end, "the recovery point is beyond the log's end"),
        (state.index_entries >= 0 <= state.time_index_entries, "its indexes have less than no entries"),
    )
    return next((text for holds, text in checks if not holds), "")
