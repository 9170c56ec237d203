"""One reader of one replica's log. Takes no lock and changes nothing; stops at the high watermark.

A read maps an offset to a segment (bisection over the directory's names), to a position (its index), and then reads
whole batches forward, checking each CRC. The next read goes on where the last one stopped. Segments that retention,
compaction or a topic's deletion takes away are a normal event: an open file stays readable, and a name that is gone
makes it look again.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.open_file import READ_SIZE, OpenFile, claims_too_much, damaged, follows
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import (
    CorruptRecordError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedCompressionError,
    UnsupportedVersionError,
)
from pykafka_store.format import state as states
from pykafka_store.format.batch import Batch, decode_records
from pykafka_store.format.state import PublishedState, parse_state
from pykafka_store.model import Records, topic_id_bytes

if TYPE_CHECKING:
    from pykafka_store.embedded.log.transactions import AbortedTransactions
    from pykafka_store.format.transaction_index import AbortedTransaction
    from pykafka_store.model import CopiedRun

_STATE_TRIES = 200
"""Reads of a state that does not check, a millisecond apart, before it is taken to be damaged and not just being
written.
"""


class DirectoryGoneError(UnknownTopicOrPartitionError):
    """The replica's directory is not there: its topic was deleted, or its disk is away. The catalogue knows which."""


class _OpenLog(NamedTuple):
    """The log of the segment that is being read."""

    base_offset: int
    log: OpenFile


class LogReader:
    """Reads one replica directory. Cheap to make; open files are kept until ``close``."""

    def __init__(self, disk: Disk, directory: str, topic: str, partition: int, topic_id: str, boot_id: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self.topic = topic
        self.partition = partition
        self._topic_id = topic_id_bytes(topic_id)
        self._boot_id = boot_id
        self._state_path = os.path.join(directory, states.FILE_NAME)
        self._state_file: int | None = None
        self._raw_state = b""
        self._state: PublishedState | None = None
        self.recovered = False
        """Whether the state was found from the log's bytes, for no writer of this boot has published one yet."""
        self._open: _OpenLog | None = None
        self._log_path = ""
        """Of the segment that is open, or was last."""
        self._position = 0
        self._expected = -1
        """The offset that the batch at ``_position`` of the open segment begins with."""
        self._next_offset = -1
        """The offset that can be read from ``_position`` on without looking it up; -1 before the first read."""
        self._aborted: AbortedTransactions | None = None
        """None: not looked for yet. The same holds for what follows."""
        self._first_open: int | None = None
        """The first offset of a transaction that its producer has not ended; -1 if there is none."""

    @property
    def label(self) -> str:
        return f"{self.topic}-{self.partition}"

    def close(self) -> None:
        self._close_segment()
        # Forgotten before it is closed, as in ReplicaLog.close.
        state_file, self._state_file = self._state_file, None
        if state_file is not None:
            self._disk.close(state_file)

    # -------------------------------------------------------------------------------------------------------- state

    def state(self) -> PublishedState:
        """The published state, as of now.

        A state of another boot, or one that is lost, is replaced by what the log's bytes say: no writer has looked at
        it yet. Raises UnknownTopicOrPartitionError if the partition was deleted.
        """
        raw = self._read_raw()
        if self._state is None or raw != self._raw_state:
            self._raw_state, self._state = self._interpret(raw)
        if self._state.deleted or self._state.topic_id != self._topic_id:
            if self._is_replaced():
                self.close()
                return self.state()
            raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted while it was read")
        return self._state

    def _is_replaced(self) -> bool:
        """Whether another file has the name of the state that is open: a replica that was moved away came back."""
        file, path = self._state_file, self._state_path
        return file is not None and self._disk.exists(path) and not self._disk.is_at(file, path)

    def _read_raw(self) -> bytes:
        if self._state_file is None:
            try:
                self._state_file = self._disk.open(self._state_path)
            except FileNotFoundError:
                if not self._disk.exists(self._directory):
                    raise DirectoryGoneError(f"{self.label} is gone: {self._directory} does not exist") from None
                return b""
        return self._disk.read_at(self._state_file, states.SIZE, 0, self._state_path)

    def _interpret(self, raw: bytes) -> tuple[bytes, PublishedState]:
        """What the state's bytes, or those read after them, mean."""
        while True:
            published: PublishedState | None = None
            for _ in range(_STATE_TRIES if raw else 0):
                try:
                    published = parse_state(raw)
                    break
                except CorruptRecordError:
                    time.sleep(0.001)  # most likely read in the middle of a publish
                    raw = self._read_raw()
            self.recovered = published is None or not (published.boot_id == self._boot_id or published.deleted)
            if published is not None and not self.recovered:
                return raw, published
            from pykafka_store.embedded.log.recovery import recover

            found = recover(self._disk, self._directory, published, self._topic_id, self._boot_id, self.label).state
            now = self._read_raw()
            if now == raw:
                return raw, found
            raw = now  # a writer came by: what was found may hold what it has not acknowledged yet

    # --------------------------------------------------------------------------------------------------------- read

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:
        """Batches from the one that holds ``offset`` on, about ``size`` bytes of them; [] at the high watermark.

        Control batches and batches that compaction emptied are among them. Raises OffsetOutOfRangeError,
        CorruptRecordError (naming partition, offset and file), UnknownTopicOrPartitionError.
        """
        while True:
            state = self.state()
            # Beyond the high watermark but in the log: a new leader that has not taken over yet. It will be shown.
            if not state.log_start_offset <= offset <= max(state.high_watermark, state.log_end_offset):
                raise OffsetOutOfRangeError(
                    f"Offset {offset} of {self.label} is out of range: it holds {state.log_start_offset} to "
                    f"{state.high_watermark}"
                )
            if offset >= state.high_watermark:
                return []
            try:
                batches = self._read_at(state, offset, size)
            except FileNotFoundError:
                # Retention or compaction took the segment between our looking and our opening it.
                self._close_segment()
                self._require_directory()
                continue
            except CorruptRecordError:
                # What looks like damage may be retention or compaction at work since we looked at the state.
                if layout_of(self.state()) == layout_of(state):
                    raise
                self._close_segment()
                continue
            if batches is not None:
                return batches

    def _read_at(self, state: PublishedState, offset: int, size: int) -> list[Batch] | None:
        """None: the segment at hand ends before ``offset``; it has moved on to the next."""
        if self._open is None or offset != self._next_offset:
            opened = self._seek(state, offset)
        else:
            opened = self._open
        log, active = opened.log, opened.base_offset == state.active_base_offset
        end = state.end_position if active else log.size()
        if self._position >= end:
            if active:
                raise damaged(
                    log.path,
                    end,
                    f"the log of {self.label} ends before offset {offset}, high watermark {state.high_watermark}",
                )
            self._open_segment_after(opened, state, offset)
            self._next_offset = offset
            return None
        try:
            found = log.batches(self._position, end, size)
        except (CorruptRecordError, UnsupportedVersionError) as error:
            raise self._at(offset, error) from error
        kept: list[Batch] = []
        for batch in found:
            header = batch.header
            # One that ends before the offset comes from an index entry before it, or from below a gap of compaction.
            wanted = header.last_offset >= offset
            if not follows(header, self._expected, state.has_gaps):
                problem = f"the batch says offset {header.base_offset} where {self._expected} belongs"
            elif header.leader_epoch > state.leader_epoch:
                problem = f"the batch says leader epoch {header.leader_epoch}, and there were {state.leader_epoch}"
            elif wanted and not batch.is_valid:
                problem = f"the CRC of the batch at offset {header.base_offset} is wrong"
            elif wanted and (claimed := claims_too_much(header, state)):
                problem = claimed
            elif header.base_offset >= state.high_watermark:
                self._next_offset = self._expected if kept else offset
                return kept
            else:
                self._position, self._expected = batch.position + header.size, header.last_offset + 1
                if wanted:
                    kept.append(batch)
                continue
            if kept:
                break  # what is good goes out first; the next read reports this one
            raise self._at(offset, damaged(log.path, batch.position, problem))
        self._next_offset = self._expected if kept else offset
        return kept or None

    def decode(self, batch: Batch) -> Records:
        """The records of a batch that the last ``read`` returned. Raises as that, where they say what can't be."""
        try:
            return decode_records(batch, self.topic, self.partition)
        except (CorruptRecordError, UnsupportedCompressionError) as error:
            offset = batch.header.base_offset
            raise self._at(offset, type(error)(f"{self._log_path} at byte {batch.position}: {error}")) from error

    def _at(self, offset: int, error: StoreError) -> StoreError:
        """The same error, naming partition and offset."""
        return type(error)(f"{self.label} at offset {offset}: {error}")

    def copied(self, producer_id: int, since: int) -> list[CopiedRun]:
        """The batches from offset ``since`` on that were copied under this producer id, those of earlier ones left out.

        Compaction may have taken records of them away, or all: what they said of their offsets stays.
        """
        from pykafka_store.format.copies import last_source_offset
        from pykafka_store.model import CopiedRun

        runs: list[CopiedRun] = []
        offset = max(since, self.state().log_start_offset)
        while batches := self.read(offset):
            for header in (batch.header for batch in batches):
                offset = header.last_offset + 1
                if header.producer_id == producer_id and header.base_offset >= since:
                    length = header.last_offset_delta + 1
                    runs.append(CopiedRun(header.base_offset, length, last_source_offset(header)))
        return runs

    # ------------------------------------------------------------------------------------------------- transactions

    def is_aborted(self, batch: Batch) -> bool:
        """Whether a batch belongs to a transaction that was aborted, by the segments' transaction indexes."""
        if not batch.header.is_transactional:
            return False
        known = self._aborted is not None
        if self._aborted_from(batch.header.base_offset).cover(batch.header):
            return True
        # Where retention took the batch's segment before this looked, what was said of it went along.
        return not known and batch.header.last_offset < self.state().log_start_offset

    def aborted_transactions(self, offset: int) -> list[AbortedTransaction]:
        """Those that were aborted and end at ``offset`` or later, by the segments' transaction indexes."""
        return [each for each in self._aborted_from(offset).all() if each.last_offset >= offset]

    def _aborted_from(self, offset: int) -> AbortedTransactions:
        """What the transaction indexes say, for whoever reads at ``offset``. Raises CorruptRecordError."""
        if self._aborted is None:
            from pykafka_store.embedded.log.transactions import AbortedTransactions

            try:
                # The last one first: one that is being merged into one before it is there, or its entries are there.
                self._aborted = AbortedTransactions(map(self._segment_at, reversed(self._all_bases())))
            except CorruptRecordError as error:
                raise self._at(offset, error) from error
        return self._aborted

    def last_stable_offset(self) -> int:
        """Where read_committed stops: the high watermark, or the first transaction that its producer has not ended.

        A producer never ends it here, for only a broker could be told.
        """
        from pykafka_store.embedded.log.transactions import first_open_transaction

        while self._first_open is None:
            state = self.state()
            try:
                first = first_open_transaction(self._disk, self._directory, state, self._bases(state))
                self._first_open = -1 if first is None else first
            except FileNotFoundError:
                self._require_directory()  # retention or compaction took a file between our looking and opening it
        end = self.state().high_watermark
        return end if self._first_open < 0 else min(end, self._first_open)

    # ----------------------------------------------------------------------------------------------------- segments

    def segments(self, state: PublishedState) -> list[Segment]:
        """Those of which the log consists, in order. Raises UnknownTopicOrPartitionError if the directory is gone."""
        return list(map(self._segment_at, self._bases(state)))

    def _segment_at(self, base: int) -> Segment:
        return Segment(self._disk, self._directory, base)

    def _seek(self, state: PublishedState, offset: int) -> _OpenLog:
        bases = self._bases(state)
        number = bisect_right(bases, offset) - 1
        if number < 0:
            raise self._at(
                offset, CorruptRecordError(f"{self._directory} has no segment for it: restore the missing file")
            )
        segment = self._segment_at(bases[number])
        opened = self._adopt(segment.base_offset, segment.open())
        entries = state.index_entries if segment.base_offset == state.active_base_offset else None
        self._position, self._expected = segment.look_up(opened.log, offset, entries)
        self._next_offset = offset
        return opened

    def _bases(self, state: PublishedState) -> list[int]:
        """The segments that count: beyond the active one there may be one that a dying writer left unpublished."""
        return [base for base in self._all_bases() if base <= state.active_base_offset]

    def _all_bases(self) -> list[int]:
        try:
            return list_segments(self._disk, self._directory)
        except FileNotFoundError:
            self._require_directory()
            raise

    def _open_segment_after(self, opened: _OpenLog, state: PublishedState, offset: int) -> None:
        if self._open_expected_segment(opened, state):
            return
        bases = self._bases(state)  # before the question whether they are still those that the open file belongs to
        if not opened.log.is_in_place():
            # Compaction replaced or merged it: what comes next may lie in the file that took its place.
            self._seek(state, offset)
            return
        number = bisect_right(bases, opened.base_offset)
        while state.has_gaps and number < len(bases) and bases[number] < self._expected:
            number += 1  # merged into the open one, and about to be removed
        following = bases[number] if number < len(bases) else None
        if following == self._expected or (following is not None and following > self._expected and state.has_gaps):
            self._adopt(following, self._segment_at(following).open())
        elif self.state().log_start_offset > offset:
            self._close_segment()  # retention was here: the caller will see where the log starts now
        else:
            problem = f"it ends before offset {self._expected}, and no segment begins there: restore the missing file"
            raise self._at(offset, damaged(opened.log.path, self._position, problem))

    def _open_expected_segment(self, opened: _OpenLog, state: PublishedState) -> bool:
        """Go on to the segment that begins right where the open one ends, if there is one.

        The usual case, without a look at the whole directory: a thousand segments cost little more than one.
        """
        if not opened.base_offset < self._expected <= state.active_base_offset:
            return False
        try:
            following = self._segment_at(self._expected).open()
        except FileNotFoundError:
            return False
        # Opened before this question, so that it belongs to the same row of segments as the open one.
        if not opened.log.is_in_place():
            following.close()
            return False
        self._adopt(self._expected, following)
        return True

    def _adopt(self, base: int, log: OpenFile) -> _OpenLog:
        """Read on at the beginning of this log."""
        self._close_segment()
        self._open, self._log_path = _OpenLog(base, log), log.path
        self._position, self._expected = 0, base
        return self._open

    def _close_segment(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.log.close()

    def _require_directory(self) -> None:
        if not self._disk.exists(self._directory):
            raise DirectoryGoneError(f"{self.label} is gone: {self._directory} does not exist")


def layout_of(state: PublishedState) -> tuple[int, int, int]:
    """What changes in a state where segments are taken away, sealed or replaced."""
    return state.log_start_offset, state.active_base_offset, state.flags
