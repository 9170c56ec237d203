"""A segment that compaction wrote, from its first byte until it has taken the place of the old ones.

Segments are replaced so that a reader at any instant, and any process after a kill at any instant, finds a whole log:

1. ``BASE.log.cleaned`` is written, then its indexes (``….cleaned``), and all are synced. A kill leaves them to be
   thrown away by the next pass.
2. The state's flag COMPACTED is published and synced before any gap can be seen
   (:mod:`pykafka_store.embedded.log.compaction`).
3. ``BASE.log.cleaned`` is renamed to ``BASE.log.swap``: the decision. From here on every pass begins by finishing.
4. The new transaction index, which says all that the old ones of the group say, is renamed over the old one. The other
   indexes of the old segment are removed: without them a search only starts at the segment's beginning. One of these is
   never there beside a log that it does not belong to.
5. ``BASE.log.swap`` is renamed over ``BASE.log``: one instant. Readers that have the old file open read on in it.
6. The other segments that went into it are removed, each index before its log. Until then what they hold is there
   twice, in order; readers skip what they have seen.
7. The new indexes are renamed into place. While one of them is still ``….cleaned`` and the log is not, step 6 may be
   unfinished.

All of 3 to 7 happens under the partition's lock; the long part, 1, needs only the upkeep lock. The files that are
replaced go at once, without ``file.delete.delay.ms``: all that they say is said by what takes their place.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.index_builder import IndexBuilder
from pykafka_store.embedded.log.open_file import OpenFile
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.format.batch import parse_header
from pykafka_store.format.names import (
    CLEANED_SUFFIX,
    INDEX_SUFFIX,
    INDEX_SUFFIXES,
    LOG_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
    segment_file,
)

_WRITE_SIZE = 1 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class CleanedSegment:
    """Begun, added to and finished; then decided and put in place, or discarded. The later steps may also be taken for
    what another process began.
    """

    def __init__(self, disk: Disk, directory: str, base: int) -> None:
        self._disk = disk
        self._directory = directory
        self._segment = Segment(disk, directory, base)
        self._log: OpenFile | None = None
        self._builder = IndexBuilder(base)
        self._pieces: list[bytes] = []
        self._waiting = 0
        """Bytes of these, which are not in the file yet."""
        self.size = 0
        """Bytes of the new log."""

    # ------------------------------------------------------------------------------------------------------- writing

    def begin(self, index_interval: int) -> None:
        """``index_interval``: index.interval.bytes."""
        self._builder = IndexBuilder(self._segment.base_offset, index_interval)
        self._log = self._segment.open(LOG_SUFFIX + CLEANED_SUFFIX, _NEW_FILE)

    def add(self, data: bytes) -> None:
        """The next batch."""
        header = parse_header(data)
        self._builder.add(self.size, header.last_offset, header.max_timestamp, header.record_count)
        self._pieces.append(data)
        self.size += len(data)
        self._waiting += len(data)
        if self._waiting >= _WRITE_SIZE:
            self._flush()

    def _flush(self) -> None:
        assert self._log is not None
        self._log.write_at(self._pieces, self.size - self._waiting)
        self._pieces, self._waiting = [], 0

    def finish(self, transaction_index: bytes) -> None:
        """All of it on the disk itself, under its temporary names."""
        self._flush()
        assert self._log is not None
        self._log.sync()
        self._close()
        self._builder.add_time_entry()
        for suffix, data in (
            (INDEX_SUFFIX, b"".join(self._builder.offset_entries)),
            (TIME_INDEX_SUFFIX, b"".join(self._builder.time_entries)),
            (TRANSACTION_INDEX_SUFFIX, transaction_index),
        ):
            if data or suffix != TRANSACTION_INDEX_SUFFIX:
                with self._segment.open(suffix + CLEANED_SUFFIX, _NEW_FILE) as file:
                    file.write_at([data], 0)
                    file.sync()
        self._disk.sync_directory(self._directory)

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def discard(self) -> None:
        """Throw away what was not decided; the log last, for indexes alone say that the log is in its place."""
        self._close()
        for suffix in (*INDEX_SUFFIXES, LOG_SUFFIX):
            self._disk.remove(self._segment.path(suffix + CLEANED_SUFFIX))

    # ----------------------------------------------------------------------------------------------------- replacing

    def decide(self) -> None:
        """Step 3. Needs the partition's lock, as all that follows."""
        log = self._segment.path()
        self._disk.rename(log + CLEANED_SUFFIX, log + SWAP_SUFFIX)
        self._disk.sync_directory(self._directory)

    def replace(self, end: int | None) -> None:
        """Steps 4 to 7. ``end``: the offset at which the new segment ends; None to find out."""
        for suffix in INDEX_SUFFIXES:
            path = self._segment.path(suffix)
            if suffix != TRANSACTION_INDEX_SUFFIX:
                self._disk.remove(path)
            else:  # never away: whoever reads committed records would take aborted ones for such
                with suppress(FileNotFoundError):  # no transactions, or done before a kill
                    self._disk.rename(path + CLEANED_SUFFIX, path)
        log = self._segment.path()
        self._disk.rename(log + SWAP_SUFFIX, log)
        self._disk.sync_directory(self._directory)
        self.settle(end)

    def settle(self, end: int | None) -> None:
        """Steps 6 and 7; ``end`` as above."""
        base = self._segment.base_offset
        if end is None:
            end = self._end()
        # Looked at again: what could not be seen for a moment, as its disk went and came back, is not gone.
        while others := [each for each in list_segments(self._disk, self._directory) if base < each < end]:
            for other in others:
                Segment(self._disk, self._directory, other).remove()
        self._disk.sync_directory(self._directory)
        for suffix in INDEX_SUFFIXES:
            path = self._segment.path(suffix)
            with suppress(FileNotFoundError):  # no transactions, or done before the kill
                self._disk.rename(path + CLEANED_SUFFIX, path)
        self._disk.sync_directory(self._directory)

    def _end(self) -> int:
        """The offset after the segment's last batch, which is always there."""
        end = self._segment.base_offset
        for _, header in self._segment.headers(None, gaps=True):
            end = header.last_offset + 1
        return end


def finish_interrupted(disk: Disk, directory: str) -> None:
    """Finish what a compaction that was killed had decided, and throw away what it had not. Needs the upkeep lock and
    the partition's.
    """
    names = set(disk.list(directory))
    left = {int(name[:20]) for name in names if name.endswith((CLEANED_SUFFIX, SWAP_SUFFIX)) and name[:20].isdigit()}
    for base in sorted(left):
        cleaned = CleanedSegment(disk, directory, base)
        if segment_file(base, LOG_SUFFIX + SWAP_SUFFIX) in names:
            cleaned.replace(None)
        elif segment_file(base, LOG_SUFFIX + CLEANED_SUFFIX) in names:
            cleaned.discard()
        else:
            cleaned.settle(None)
