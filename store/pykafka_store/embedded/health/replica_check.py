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
from itertools import pairwise
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.findings import Found, Place, Remedy
from pykafka_store.embedded.health.segment_walk import IndexEntries, SegmentWalk, has_batches_behind
from pykafka_store.embedded.log.index_builder import DEFAULT_INTERVAL
from pykafka_store.embedded.log.new_replica import needs_no_log
from pykafka_store.embedded.log.recovery import recover
from pykafka_store.embedded.log.replica_state import read_state
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import CorruptRecordError, UnknownTopicOrPartitionError
from pykafka_store.format import state as states
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_cleaner_checkpoint,
    format_partition_metadata,
    parse_cleaner_checkpoint,
    parse_leader_epochs,
)
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY
from pykafka_store.format.names import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
)
from pykafka_store.format.state import PublishedState
from pykafka_store.format.transaction_index import aborted_transactions
from pykafka_store.model import Severity, topic_id_bytes

_UNFINISHED = (CLEANED_SUFFIX, SWAP_SUFFIX)
_SMALL_FILES = (states.FILE_NAME, LEADER_EPOCH_FILE, PARTITION_METADATA_FILE, CLEANER_CHECKPOINT_FILE)
_NEVER = 1 << 64

_RECOVERED = "the log's end is found from its batches; records deleted from its start may come back"
_EPOCHS = "a replica that fell behind is compared by it when it comes back"
_SEARCHED = {
    INDEX_SUFFIX: "no record is affected; finding an offset may be slower",
    TIME_INDEX_SUFFIX: "no record is affected; searches and retention by time may be off",
}


class Checked(NamedTuple):
    place: Place
    found: list[Found]
    state: PublishedState | None
    """As published, or as recovery would publish it; None where neither can be had."""
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
    """What only a process that was killed leaves behind, asked while no other process is at work: with the upkeep
    lock and the partition's. Raises FileNotFoundError.
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
        active = Segment(disk, place.directory, state.active_base_offset)
        path, surplus = active.path(), active.size() - state.end_position
        if surplus > 0:
            text = f"{surplus} bytes beyond the published end"
            meaning = "an append that was never acknowledged; the next writer cuts it off"
            found.append(Found(Severity.INFO, path, text, meaning, Remedy.RECOVER, place))
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
        return Segment(self._disk, self._place.directory, base).path(suffix)

    # ---------------------------------------------------------------------------------------------------- the state

    def _state(self) -> PublishedState | None:
        """The state to judge the files by: the published one, or what recovery would publish. None where neither can be
        had, which is reported, as is what is wrong with it.
        """
        place, disk, name = self._place, self._disk, states.FILE_NAME
        state = read_state(disk, place.directory)
        if state is not None:
            problem, meaning = _problem_of_state(state, place)
            if problem:
                self._tell(Severity.ERROR, name, problem, meaning)
                return None
            if state.boot_id == self._boot_id and any(self._boot_id):
                self._trusted = True
                return state
        try:
            recovered = recover(
                disk, place.directory, state, topic_id_bytes(place.topic_id), self._boot_id, place.label
            ).state
        except UnknownTopicOrPartitionError:
            self._tell(Severity.ERROR, PARTITION_METADATA_FILE, "is that of another topic", _not_of(place))
            return None
        except CorruptRecordError as error:
            self._tell(Severity.ERROR, "", f"the log's end can't be found: {error}", "acknowledged bytes are missing")
            return None
        if state is not None and not needs_no_log(state) and not disk.exists(self._path(state.active_base_offset)):
            active, end = state.active_base_offset, state.log_end_offset
            meaning = f"offsets {active} to {end - 1} are lost here" if end > active else "it is made again, empty"
            self._tell(Severity.ERROR, f"{active:020d}{LOG_SUFFIX}", "is missing", meaning, base=active)
        else:
            self._judge_recovered(recovered, had_state=state is not None)
        return recovered

    def _judge_recovered(self, state: PublishedState, *, had_state: bool) -> None:
        """Whether what recovery takes for a torn tail is one."""
        name, path = states.FILE_NAME, self._path(state.active_base_offset)
        behind = has_batches_behind(self._disk, path, state.end_position, state.log_end_offset)
        if not had_state:
            is_there = self._disk.exists(os.path.join(self._place.directory, name))
            text = "does not check" if is_there else "is missing"
            if behind:
                self._tell(Severity.WARNING, name, text, "nobody knows where the log ends: restore it from a backup")
            else:
                self._tell(Severity.WARNING, name, text, _RECOVERED, Remedy.RECOVER)
        if behind:
            self._tell(
                Severity.ERROR,
                os.path.basename(path),
                f"is damaged at byte {state.end_position}, and whole batches follow",
                f"a writer takes what follows offset {state.log_end_offset} for a torn tail, and cuts it off",
                base=state.active_base_offset,
            )

    # ----------------------------------------------------------------------------------------------- the small files

    def _text(self, name: str) -> str | None:
        try:
            return self._disk.read_file(os.path.join(self._place.directory, name)).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def _small_files(self, state: PublishedState) -> None:
        place, name = self._place, PARTITION_METADATA_FILE
        text = self._text(name)
        # Before the first record it need not be there, and where a kill struck its making it is empty.
        wanted = bool(text) or not needs_no_log(state)
        if wanted and (text is None or text.rstrip("\n") != format_partition_metadata(place.topic_id)):
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
            if not needs_no_log(state):
                self._tell(Severity.WARNING, LEADER_EPOCH_FILE, "is missing", _EPOCHS, Remedy.EPOCHS)
            return
        try:
            entries = parse_leader_epochs(text)
        except CorruptRecordError as error:
            problem = str(error)
        else:
            newest = max(self._place.leader_epoch, state.leader_epoch)
            problem = _problem_of_epochs(entries, newest, state.log_end_offset, self._runs)
        if problem:
            self._tell(Severity.WARNING, LEADER_EPOCH_FILE, problem, _EPOCHS, Remedy.EPOCHS)

    def _names(self, names: Sequence[str], state: PublishedState | None) -> None:
        active = state.active_base_offset if state is not None else _NEVER
        for name in names:
            digits, suffix = name[:20], name[20:]
            if name in _SMALL_FILES or name.endswith((".tmp", DELETED_SUFFIX, *_UNFINISHED)):
                continue
            if not (digits.isascii() and digits.isdigit() and suffix in SEGMENT_SUFFIXES):
                self._tell(Severity.INFO, name, "is no file of ours", "nobody reads it")
            elif suffix in _SEARCHED and int(digits) < active and f"{digits}{LOG_SUFFIX}" not in names:
                text = "is an index without its log"
                self._tell(Severity.INFO, name, text, "nobody reads it")

    # ------------------------------------------------------------------------------------------------------ segments

    def _segments(self, state: PublishedState, names: Sequence[str]) -> None:
        active, start = state.active_base_offset, state.log_start_offset
        bases = [base for base in list_segments(self._disk, self._place.directory) if base <= active]
        if active not in bases:
            if self._trusted and not needs_no_log(state):
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
                continue  # readers never reach it, and retention takes it away
            if base < replaced:
                continue  # in the segment that compaction wrote as well, and there twice until it is finished
            if f"{base:020d}{LOG_SUFFIX}" in names:
                end = self._segment(state, base, following, finished=base not in unfinished)
                replaced = end if base in unfinished else replaced

    def _segment(self, state: PublishedState, base: int, following: int | None, *, finished: bool) -> int:
        """One segment and its indexes; returns the offset after it."""
        active = base == state.active_base_offset
        with Segment(self._disk, self._place.directory, base).open() as log:
            size = log.size()
            end = state.end_position if active else size
            cut = size < end
            if cut:
                text = f"holds {size} bytes where {end} were acknowledged"
                meaning = "the records at its end are lost here"
                self._tell(Severity.ERROR, os.path.basename(log.path), text, meaning, base=base)
                end = size
            indexes = self._indexes(state, base) if finished and (self._trusted or not active) else ()
            epoch = max(self._place.leader_epoch, state.leader_epoch)
            walk = SegmentWalk(base, state.has_gaps, epoch, self._committed, self._runs, indexes)
            walk.run(log, end, self._on_read)
        expected = state.log_end_offset if active else following
        known = expected if finished and not cut else None
        if self._is_whole(base, walk, known) and not cut:
            self._judge_indexes(state, base, walk, indexes)
            if self._committed is not None and walk.digested > base:
                self._digests[base] = walk.digested, walk.digest
        self._transactions(base)
        return walk.next_offset

    def _is_whole(self, base: int, walk: SegmentWalk, expected: int | None) -> bool:
        """Whether nothing is wrong with a segment's batches; what is wrong is reported. ``expected`` is the offset
        after them, if it is known.
        """
        name = f"{base:020d}{LOG_SUFFIX}"
        for message, meaning in walk.damage:
            self._tell(Severity.ERROR, name, message, meaning, base=base)
        if walk.damage or expected is None or walk.next_offset == expected:
            return not walk.damage
        text = f"ends with offset {walk.next_offset - 1}, and {expected} comes next"
        meaning = f"offsets {walk.next_offset} to {expected - 1} are lost here"
        if walk.next_offset > expected:
            meaning = "the same offsets are there twice"
        self._tell(Severity.ERROR, name, text, meaning, base=base)
        return False

    def _judge_indexes(
        self, state: PublishedState, base: int, walk: SegmentWalk, indexes: Sequence[IndexEntries]
    ) -> None:
        """The indexes of a segment at whose batches nothing is wrong, and what the state says of its timestamps."""
        active = base == state.active_base_offset
        for index in indexes:
            problem = index.verdict(walk, None if active else max(self._place.index_interval, DEFAULT_INTERVAL))
            if problem:
                meaning = _SEARCHED[index.suffix]
                self._tell(Severity.WARNING, f"{base:020d}{index.suffix}", problem, meaning, Remedy.INDEXES, base)
        if active and self._trusted and walk.times != state[12:15]:
            text = "has other timestamps than the active segment's batches"
            meaning = _SEARCHED[TIME_INDEX_SUFFIX]
            self._tell(Severity.WARNING, states.FILE_NAME, text, meaning, Remedy.INDEXES, base)

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
                found.append(IndexEntries(suffix, base, [], "" if needs_no_log(state) else "is missing"))
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


def _not_of(place: Place) -> str:
    return f"the directory does not belong to {place.topic}"


def _problem_of_state(state: PublishedState, place: Place) -> tuple[str, str]:
    """What can't be in the published state of a replica, and what it means; two empty texts if it makes sense."""
    if state.topic_id != topic_id_bytes(place.topic_id):
        return "is that of another topic", _not_of(place)
    if state.deleted:
        return "says that the partition was deleted", "the catalogue still has it: is an older metadata.db back?"
    end = state.log_end_offset
    checks = (
        (0 <= state.log_start_offset <= end, "the log starts after its end"),
        (0 <= state.high_watermark <= end, "the high watermark is beyond the log's end"),
        (0 <= state.active_base_offset <= end, "the active segment is beyond the log's end"),
        (0 <= state.synced_position <= state.end_position, "more is synced than is there"),
        (state.recovery_point <= end, "the recovery point is beyond the log's end"),
        (state.index_entries >= 0 <= state.time_index_entries, "its indexes have less than no entries"),
    )
    for holds, text in checks:
        if not holds:
            return text, "no writer of ours publishes such a state: please report it"
    return "", ""


def _problem_of_epochs(
    entries: Sequence[tuple[int, int]], newest: int, end: int, runs: Sequence[tuple[int, int, int]]
) -> str:
    """What is wrong with the entries of a leader-epoch-checkpoint (leader epoch, its first offset), or nothing.

    ``newest`` is the leader's epoch, ``end`` the log's end offset, and ``runs`` are (leader epoch, first offset, last
    offset) of the log's batches.
    """
    if any(one[0] >= two[0] or one[1] > two[1] for one, two in pairwise(entries)):
        return "its entries do not increase"
    if entries and entries[-1][0] > newest:
        return f"it ends with epoch {entries[-1][0]}, and the leader's is {newest}"
    if entries and entries[-1][1] > end:
        return f"epoch {entries[-1][0]} begins at offset {entries[-1][1]}, beyond the log's end"
    problem = ""
    for epoch, first, last in runs:
        for offset in (first, last):
            at = bisect_right(entries, offset, key=lambda entry: entry[1])
            listed = entries[at - 1][0] if at else None
            if listed != epoch:
                problem = f"offset {offset} has epoch {epoch} in the log, and {listed} here"
    return problem
