"""A log as bytes, for whoever passes its batches on as they lie there: where they are, and nothing read of them."""

from __future__ import annotations

from bisect import bisect_right

from pykafka_store.embedded.log.open_file import OpenFile, claims_too_much, damaged
from pykafka_store.embedded.log.reader import LogReader, layout_of
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.errors import CorruptRecordError, OffsetOutOfRangeError
from pykafka_store.format.state import PublishedState


class Slice:
    """Bytes of an open log that begin with a whole batch. Whoever gets one closes it."""

    __slots__ = ("_log", "_position", "_size", "close", "first_batch")

    def __init__(self, log: OpenFile, position: int, size: int, first_batch: int) -> None:
        self._log = log
        self.close = log.close
        self._position = position
        self._size = size
        self.first_batch = first_batch
        """Bytes of the first batch; more than there are where the slice ends within it."""

    def __len__(self) -> int:
        return self._size

    def cut(self, size: int) -> None:
        """Keep at most the first ``size`` bytes."""
        self._size = min(self._size, size)

    def send_to(self, socket: int, done: int) -> int:
        """Send what comes after the first ``done`` bytes; how many the socket took. Raises as OpenFile.send_to."""
        return self._log.send_to(socket, self._position + done, self._size - done)

    def part(self, done: int, size: int) -> bytes:
        """At most ``size`` of the bytes that come after the first ``done``."""
        return self._log.read_at(min(size, self._size - done), self._position + done)

    def read(self) -> bytes:
        """The bytes."""
        return self._log.read_at(self._size, self._position)


def slice_of(reader: LogReader, offset: int, size: int, end: int | None = None) -> Slice | None:
    """The batches from the one that holds ``offset`` on, about ``size`` bytes of them but the first one whole; None
    where there is none before the high watermark, and before ``end`` if that is given.

    The last batch may be cut: clients of Kafka's protocol know that. No CRC is checked, as clients do it; that a batch
    says to have no offsets but its own is, as they don't. Raises OffsetOutOfRangeError, CorruptRecordError,
    UnknownTopicOrPartitionError.
    """
    while True:
        state = reader.state()
        # Beyond the high watermark but in the log: a new leader that has not taken over yet. It will be shown.
        if not state.log_start_offset <= offset <= max(state.high_watermark, state.log_end_offset):
            raise OffsetOutOfRangeError(
                f"Offset {offset} of {reader.label} is out of range: it holds {state.log_start_offset} to "
                f"{state.high_watermark}"
            )
        stop = state.high_watermark if end is None else min(end, state.high_watermark)
        if offset >= stop:
            return None
        try:
            found = _slice_at(reader.segments(state), state, offset, size, stop)
            if found is not None:
                return found
            raise CorruptRecordError(f"{reader.label} has no batch for offset {offset}: pykafka doctor says more")
        except FileNotFoundError:
            continue  # retention or compaction was here: look again
        except CorruptRecordError:
            # What looks like damage may be their work since the state was looked at.
            if layout_of(reader.state()) == layout_of(state):
                raise


def _slice_at(segments: list[Segment], state: PublishedState, offset: int, size: int, stop: int) -> Slice | None:
    """From the segment that should hold the offset, or a later one where compaction left a gap."""
    number = max(0, bisect_right([segment.base_offset for segment in segments], offset) - 1)
    for segment in segments[number:]:
        log = segment.open()
        try:
            found = _slice_in(segment, log, state, offset, size, stop)
        except BaseException:
            log.close()
            raise
        if found is not None:
            return found
        log.close()
    return None


def _slice_in(
    segment: Segment, log: OpenFile, state: PublishedState, offset: int, size: int, stop: int
) -> Slice | None:
    active = segment.base_offset == state.active_base_offset
    end = state.end_position if active else log.size()
    start, expected = segment.look_up(log, offset, state.index_entries if active else None)
    for position, header in log.headers(end, expected, state.has_gaps, start):
        if header.last_offset < offset:
            continue
        if header.base_offset >= stop:
            return None
        if claimed := claims_too_much(header, state):
            raise damaged(log.path, position, claimed)
        wanted = min(max(size, header.size), end - position)
        sound = _sound_bytes(log, stop, position, min(position + wanted, end), header.base_offset, end, state)
        return Slice(log, position, min(wanted, sound), header.size)
    if active and offset < state.log_end_offset:
        raise damaged(log.path, start, f"no batch of offset {offset} follows")
    return None


def _sound_bytes(
    log: OpenFile, stop: int, position: int, enough: int, expected: int, end: int, state: PublishedState
) -> int:
    """Bytes of the batches from ``position`` that begin before offset ``stop`` and before byte ``enough``, up to one
    that is not as it should be: of that one the next fetch is told, which begins with it.
    """
    last = position
    for at, header in log.headers(end, expected, state.has_gaps, position):
        if at >= enough or header.base_offset >= stop or claims_too_much(header, state):
            break
        last = at + header.size
    return last - position
