"""Batches looked at, one after the other: those of a segment with its indexes held against them, those behind a torn
tail, and those that begin a leader epoch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from struct import error as StructError

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.open_file import OpenFile, follows
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.batch import HEADER_SIZE, Batch, crc_of, parse_header
from pykafka_store.format.names import TIME_INDEX_SUFFIX
from pykafka_store.format.state import PublishedState

READ_SIZE = 8 << 20
_NEVER = 1 << 64
_INT32_MAX = (1 << 31) - 1


class SegmentWalk:
    """What is found of one segment: all of it is to be read after ``run``."""

    def __init__(
        self,
        base: int,
        gaps: bool,
        newest_epoch: int,
        committed: int | None,
        runs: list[tuple[int, int, int]],
        indexes: Sequence[IndexEntries],
    ) -> None:
        """``committed``: the offset up to which a digest is made, None for none. ``runs`` is gone on with: (leader
        epoch, first offset, last offset) of the batches of the segments before. ``indexes``: the offset index and the
        time index, or none.
        """
        self._gaps = gaps
        self._newest_epoch = newest_epoch
        self._committed = committed
        self._runs = runs
        nothing = IndexEntries("", base, [], "")
        self._positions, self._timestamps = indexes or (nothing, nothing)
        self._known = True
        """Whether ``next_offset`` is what must come next: behind damage any offset may."""
        self.damage: list[tuple[str, str]] = []
        """(message, meaning)"""
        self.next_offset = base
        self.last_position = 0
        self.times = (-1, -1, -1)
        """The first batch's timestamp, the largest, and the last offset of the batch that holds it."""
        self.digest = 0
        """CRC of the headers of the batches below ``committed``, which hold the CRCs of their records."""
        self.digested = base
        """The offset after the last of these."""

    def run(self, log: OpenFile, end: int, on_read: Callable[[int], None]) -> None:
        """Go over all bytes up to ``end``. Where no batch follows on one, the rest is lost, and is reported once."""
        position = 0
        try:
            while batches := log.batches(position, end, READ_SIZE):
                for batch in batches:
                    if problem := self._problem(batch):
                        self._add_damage(batch, f"at byte {batch.position}: {problem}")
                    else:
                        self._add(batch)
                reached = batches[-1].position + batches[-1].header.size
                on_read(reached - position)
                position = reached
        except (CorruptRecordError, UnsupportedVersionError) as error:
            if self._known:
                meaning = f"what follows from offset {self.next_offset} on can't be read here"
                self.damage.append((str(error).removeprefix(f"{log.path} "), meaning))

    def _problem(self, batch: Batch) -> str:
        header = batch.header
        if not batch.is_valid:
            return "the CRC of the batch is wrong"
        if self._known and not follows(header, self.next_offset, self._gaps):
            return f"a batch begins with offset {header.base_offset} where {self.next_offset} comes next"
        count, room = header.record_count, header.last_offset_delta + 1
        if not 0 <= count <= room or (count < room and not self._gaps):
            return f"a batch of {count} records has {room} offsets"
        if self._runs and header.leader_epoch < self._runs[-1][0]:
            return f"a batch of leader epoch {header.leader_epoch} comes after one of {self._runs[-1][0]}"
        if header.leader_epoch > self._newest_epoch:
            return f"a batch has leader epoch {header.leader_epoch}, and the newest is {self._newest_epoch}"
        return ""

    def _add_damage(self, batch: Batch, message: str) -> None:
        first, last = batch.header.base_offset, batch.header.last_offset
        meaning = f"offsets {first} to {last} can't be read here"
        if not self._known or first != self.next_offset:
            meaning = f"what follows from offset {self.next_offset} on can't be read here"
        self.damage.append((message, meaning))
        self._known = False

    def _add(self, batch: Batch) -> None:
        position, header, last = batch.position, batch.header, batch.header.last_offset
        self.next_offset, self.last_position, self._known = last + 1, position, True
        if not position:
            self.times = (header.max_timestamp, *self.times[1:])
        if header.max_timestamp > self.times[1] and header.record_count:
            self.times = self.times[0], header.max_timestamp, last
        if position >= self._positions.due:
            self._positions.meet_position(position, last)
        if last >= self._timestamps.due:
            self._timestamps.meet_offset(last, self.times[1])
        if self._runs and self._runs[-1][0] == header.leader_epoch:
            self._runs[-1] = header.leader_epoch, self._runs[-1][1], last
        else:
            self._runs.append((header.leader_epoch, header.base_offset, last))
        if self._committed is not None and last < self._committed:
            self.digest = zlib.crc32(batch.data[:HEADER_SIZE], self.digest)
            self.digested = last + 1


class IndexEntries:
    """The entries of one index, held against the batches as they come by."""

    def __init__(self, suffix: str, base: int, entries: list[tuple[int, int]], problem: str) -> None:
        """``problem``: what is known to be wrong with it already."""
        self.suffix = suffix
        self._base = base
        self._entries = entries
        self._problem = problem
        self._at = -1
        self._largest_step = 0
        self.due = _NEVER
        """The position (of a time index: the offset) at which the next entry wants to be met."""
        self._advance()

    def _advance(self) -> None:
        self._at += 1
        if self._at >= len(self._entries) or self._problem:
            self.due = _NEVER
        elif self.suffix == TIME_INDEX_SUFFIX:
            self.due = self._base + self._entries[self._at][1]
        else:
            before = self._entries[self._at - 1][1] if self._at else 0
            self.due = self._entries[self._at][1]
            self._largest_step = max(self._largest_step, self.due - before)

    def meet_position(self, position: int, last_offset: int) -> None:
        """An offset index's, at the first batch that is not before ``due``."""
        said = self._base + self._entries[self._at][0]
        if position != self.due:
            self._problem = f"has an entry for byte {self.due}, where no batch begins"
        elif last_offset != said:
            self._problem = f"says offset {said} of the batch at byte {position}, which ends with {last_offset}"
        self._advance()

    def meet_offset(self, last_offset: int, newest: int) -> None:
        """A time index's, at the first batch that does not end before ``due``; ``newest``: the largest timestamp up to
        its end.
        """
        said = self._entries[self._at][0]
        if last_offset != self.due:
            self._problem = f"has an entry for offset {self.due}, where no batch ends"
        elif said != newest:
            self._problem = f"says time {said} up to offset {last_offset}, where {newest} is the largest"
        self._advance()

    def verdict(self, walk: SegmentWalk, interval: int | None) -> str:
        """What is wrong with it, once all of a whole segment has come by; nothing if it is as it must be.

        ``interval``: the bytes between two entries, if the segment is sealed. An older setting of the topic may have
        been larger, so what is seen between two entries counts as well.
        """
        if self._problem:
            return self._problem
        if self.due != _NEVER:
            return "has entries for what lies behind the segment's end"
        if interval is None:
            return ""
        if self.suffix == TIME_INDEX_SUFFIX:
            last = self._entries[-1][0] if self._entries else -1
            return f"does not end with the segment's largest timestamp, {walk.times[1]}" if walk.times[1] > last else ""
        step = walk.last_position - (self._entries[-1][1] if self._entries else 0)
        return f"has no entry for its last {step} bytes" if step > max(interval, self._largest_step) else ""


def has_batches_behind(disk: Disk, path: str, position: int, offset: int) -> bool:
    """Whether a whole batch of a later offset lies somewhere behind ``position``: then what is there is no torn
    tail. An empty log may have no file.
    """
    if disk.size_of(path) <= position:
        return False
    with OpenFile(disk, path) as log:
        size = log.size()
        for start in range(position, size, READ_SIZE):  # the file may be large, with nothing in it
            data = log.read_at(min(READ_SIZE + HEADER_SIZE, size - start), start)
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
                        batch = log.read_at(header.size, begin)
                        if crc_of(batch) == header.crc:
                            return True
                at = data.find(b"\x02", at + 1)
    return False


def epochs_of(disk: Disk, directory: str, state: PublishedState) -> list[tuple[int, int]]:
    """(leader epoch, its first offset) as the batches have it, for a checkpoint that is made anew."""
    found: list[tuple[int, int]] = []
    for base in list_segments(disk, directory):
        if base > state.active_base_offset:
            break
        with Segment(disk, directory, base).open() as log:
            position, end = 0, state.end_position if base == state.active_base_offset else log.size()
            while batches := log.batches(position, end, READ_SIZE):
                for batch in batches:
                    if not found or batch.header.leader_epoch > found[-1][0]:
                        found.append((batch.header.leader_epoch, batch.header.base_offset))
                position = batches[-1].position + batches[-1].header.size
    if found:  # its older batches may be gone
        found[0] = found[0][0], min(found[0][1], state.log_start_offset)
    if not found or state.leader_epoch > found[-1][0]:
        found.append((state.leader_epoch, state.log_end_offset))
    return found
