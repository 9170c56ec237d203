"""A segment of a replica's log: its files, what its indexes say of its batches, and how it is made and taken away.

A partition's log is a row of segments, each named by the offset of its first record. All but the last are sealed: never
written again, synced before the next was created. The files of a segment differ in their suffixes
(:mod:`pykafka_store.format.names`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from struct import error as StructError
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.open_file import OpenFile
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.batch import HEADER_SIZE, BatchHeader, parse_header
from pykafka_store.format.index import (
    OFFSET_ENTRY,
    TIME_ENTRY,
    TimestampOffset,
    entry_before_timestamp,
    entry_for_offset,
)
from pykafka_store.format.names import (
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
    WRITTEN_SUFFIXES,
    segment_base_offset,
    segment_file,
)
from pykafka_store.format.state import PublishedState

if TYPE_CHECKING:
    from pykafka_store.format.transaction_index import AbortedTransaction

_TRANSACTION_INDEX_LIMIT = 1 << 26


def list_segments(disk: Disk, directory: str) -> list[int]:
    """Base offsets of the segments there, in order. Raises FileNotFoundError if the directory is gone."""
    found = (segment_base_offset(name) for name in disk.list(directory))
    return sorted(base for base in found if base is not None)


class Segment:
    """One segment. Cheap to make: it holds no file open, and its files need not be there.

    Methods that open a file raise FileNotFoundError where it is gone (retention, compaction and the deletion of a topic
    take segments away under a reader), and StorageError.
    """

    __slots__ = ("_directory", "_disk", "base_offset")

    def __init__(self, disk: Disk, directory: str, base_offset: int) -> None:
        self._disk = disk
        self._directory = directory
        self.base_offset = base_offset

    # -------------------------------------------------------------------------------------------------------- files

    def path(self, suffix: str = LOG_SUFFIX) -> str:
        return os.path.join(self._directory, segment_file(self.base_offset, suffix))

    def open(self, suffix: str = LOG_SUFFIX, flags: int = os.O_RDONLY) -> OpenFile:
        return OpenFile(self._disk, self.path(suffix), flags)

    def exists(self) -> bool:
        return self._disk.exists(self.path())

    def size(self) -> int:
        """Bytes of the log; 0 where there is none."""
        return self._disk.size_of(self.path())

    def changed_at(self) -> int:
        """When the log was last changed, in ms since the epoch."""
        return self._disk.changed_at(self.path())

    def create(self) -> None:
        """Empty files; what lies there under their names goes."""
        for suffix in WRITTEN_SUFFIXES:
            self._disk.create_file(self.path(suffix))

    def remove(self) -> None:
        """Remove all files of the segment; those that are not there are fine."""
        for suffix in SEGMENT_SUFFIXES:
            self._disk.remove(self.path(suffix))

    def remove_unpublished(self) -> None:
        """Remove the files of a segment that a roll made and never published.

        A broker's producer snapshot may lie under the same name; it belongs to the log, not to the roll, and stays.
        """
        for suffix in reversed(WRITTEN_SUFFIXES):
            self._disk.remove(self.path(suffix))

    def set_aside(self, now_ms: int) -> None:
        """Rename the segment's files out of the log. ``now_ms`` becomes the time at which they were last changed: it
        says how long they have been set aside.
        """
        for suffix in SEGMENT_SUFFIXES:
            path = self.path(suffix)
            with suppress(FileNotFoundError):  # most segments have no snapshot; a kill may have left only some files
                self._disk.touch(path, now_ms)
                self._disk.rename(path, path + DELETED_SUFFIX)

    # ------------------------------------------------------------------------------------------------------ batches

    def headers(self, end: int | None, gaps: bool) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of the batches up to byte ``end`` (None: of the whole log), as far as their offsets follow
        one on the other. No CRC is checked.
        """
        with self.open() as log:
            yield from log.headers(log.size() if end is None else end, self.base_offset, gaps)

    # ------------------------------------------------------------------------------------------------------ indexes

    def look_up(self, log: OpenFile, offset: int, entries: int | None = None) -> tuple[int, int]:
        """A position in the log at or before the batch of ``offset``, and the offset that begins there.

        ``entries``: how many of the offset index's entries count; None for all, as in a sealed segment. An index has no
        checksum: an entry is believed if a batch lies where it says that ends where it says.
        """
        with _Index(self, INDEX_SUFFIX) as index:
            count = index.count(OFFSET_ENTRY.size, entries)
            entry = entry_for_offset(index.read_at, count, self.base_offset, offset)
        if entry is not None and entry.position > 0:
            with suppress(StructError, CorruptRecordError, UnsupportedVersionError):
                header = parse_header(log.read_at(HEADER_SIZE, entry.position))
                if header.last_offset == entry.offset:
                    return entry.position, header.base_offset
        return 0, self.base_offset

    def time_entry_before(
        self, timestamp: int, gaps: bool, active: PublishedState | None = None
    ) -> TimestampOffset | None:
        """The time index's last entry that is older than ``timestamp``; None where there is none to be believed.

        ``active``: the state, if this is the active segment; it says how much of the files counts.
        """
        with _Index(self, TIME_INDEX_SUFFIX) as index:
            count = index.count(TIME_ENTRY.size, None if active is None else active.time_index_entries)
            entry = entry_before_timestamp(index.read_at, count, self.base_offset, timestamp)
        if entry is None:
            return None
        with self.open() as log:
            end, entries = (log.size(), None) if active is None else (active.end_position, active.index_entries)
            return None if self._batch_of(log, end, entry, gaps, entries) is None else entry

    def indexed_largest_timestamp(self, gaps: bool) -> int | None:
        """The largest timestamp of a sealed segment, in ms: its time index's last entry. None where there is none to be
        believed.
        """
        entry = self._last_time_entry()
        if entry is None:
            return None
        with self.open() as log:
            return None if self._batch_of(log, log.size(), entry, gaps) is None else entry.timestamp

    def largest_timestamp(self, gaps: bool) -> int:
        """The largest timestamp of a sealed segment, in ms: by its time index, or where that can't be believed by its
        batches. -1 for none.
        """
        indexed = self.indexed_largest_timestamp(gaps)
        if indexed is not None:
            return indexed
        return max((header.max_timestamp for _, header in self.headers(None, gaps)), default=-1)

    def is_older_than(self, moment_ms: int, gaps: bool) -> bool:
        """Whether no record of a sealed segment has a timestamp at or after ``moment_ms``: then it may be taken away.

        The time index may save the walk over all batches, but it decides nothing alone: the batches behind the one that
        its last entry speaks of are looked at, should the file have been cut between two entries. A segment without
        timestamps, or with damage that hides the batches behind it, is as old as the last change of its log.
        """
        entry = self._last_time_entry()
        with self.open() as log:
            end = log.size()
            batch = None if entry is None else self._batch_of(log, end, entry, gaps)
            position, expected = (0, self.base_offset) if batch is None else (batch[0], batch[1].base_offset)
            largest = -1
            for at, header in log.headers(end, expected, gaps, position):
                largest = max(largest, header.max_timestamp)
                if largest >= moment_ms:
                    return False
                position = at + header.size
        if position < end or largest < 0:
            return self.changed_at() < moment_ms
        return True

    def _last_time_entry(self) -> TimestampOffset | None:
        """As it stands in the file, which may be damaged."""
        with _Index(self, TIME_INDEX_SUFFIX) as index:
            if not index.size or index.size % TIME_ENTRY.size:
                return None
            raw = index.read_at(TIME_ENTRY.size, index.size - TIME_ENTRY.size)
        if len(raw) < TIME_ENTRY.size:
            return None
        timestamp, relative = TIME_ENTRY.unpack(raw)
        return TimestampOffset(timestamp, self.base_offset + relative)

    def _batch_of(
        self, log: OpenFile, end: int, entry: TimestampOffset, gaps: bool, entries: int | None = None
    ) -> tuple[int, BatchHeader] | None:
        """Where the batch is that a time index's entry speaks of, and its header, if it is there, whole, and what the
        entry says: an index has no checksum.
        """
        position, expected = self.look_up(log, entry.offset, entries)
        for at, header in log.headers(end, expected, gaps, position):
            if header.last_offset >= entry.offset:
                said = (header.max_timestamp, header.last_offset) == (entry.timestamp, entry.offset)
                return (at, header) if said and log.batches(at, end, 1)[0].is_valid else None
        return None

    def transaction_index(self) -> bytes:
        """The bytes of the transaction index; most segments have none."""
        try:
            return self._disk.read_file(self.path(TRANSACTION_INDEX_SUFFIX), limit=_TRANSACTION_INDEX_LIMIT)
        except FileNotFoundError:
            return b""

    def aborted_transactions(self) -> list[AbortedTransaction]:
        """Raises CorruptRecordError, naming the file."""
        from pykafka_store.format.transaction_index import aborted_transactions

        try:
            return list(aborted_transactions(self.transaction_index()))
        except CorruptRecordError as error:
            raise CorruptRecordError(f"{self.path(TRANSACTION_INDEX_SUFFIX)}: {error}") from error


class _Index:
    """An index file for bisection, or nothing where it is missing: a search then starts at the segment's beginning."""

    def __init__(self, segment: Segment, suffix: str) -> None:
        self._file: OpenFile | None = None
        self.size = 0
        with suppress(FileNotFoundError):
            self._file = segment.open(suffix)
            self.size = self._file.size()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def count(self, entry_size: int, counted: int | None) -> int:
        """How many entries there are, at most ``counted``."""
        there = self.size // entry_size
        return there if counted is None else min(there, counted)

    def read_at(self, count: int, position: int) -> bytes:
        return b"" if self._file is None else self._file.read_at(count, position)
