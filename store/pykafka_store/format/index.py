"""The indexes beside a segment, as arrays of fixed entries.

Sources: org.apache.kafka.storage.internals.log.OffsetIndex and TimeIndex. Big-endian::

    .index      int32 offset of a batch's *last* record, relative to the segment's base · int32 position of the batch
    .timeindex  int64 largest timestamp so far in the segment · int32 relative offset (last offset of its batch)

Both are sparse and strictly increasing. Neither carries a checksum: a lost or damaged index is rebuilt from the
log. A file may end in preallocated zeros, as Kafka's active ones do. An entry is made for a batch when more than
``index.interval.bytes`` were appended since the last entry, so the first batch of a segment has none.
"""

from collections.abc import Callable, Iterator
from struct import Struct

OFFSET_ENTRY = Struct(">ii")
TIME_ENTRY = Struct(">qi")

ReadAt = Callable[[int, int], bytes]
"""(count, position) -> bytes: a pread on some file."""


class OffsetPosition:
    __slots__ = ("offset", "position")

    def __init__(self, offset: int, position: int) -> None:
        self.offset = offset
        self.position = position


class TimestampOffset:
    __slots__ = ("offset", "timestamp")

    def __init__(self, timestamp: int, offset: int) -> None:
        self.timestamp = timestamp
        self.offset = offset


def pack_offset_entry(base_offset: int, offset: int, position: int) -> bytes:
    return OFFSET_ENTRY.pack(offset - base_offset, position)


def pack_time_entry(base_offset: int, timestamp: int, offset: int) -> bytes:
    return TIME_ENTRY.pack(timestamp, offset - base_offset)


def offset_entries(data: bytes, base_offset: int) -> Iterator[OffsetPosition]:
    """The entries of a whole ``.index``, up to the preallocated zeros; a partial last entry is left out."""
    whole = len(data) - len(data) % OFFSET_ENTRY.size
    for number, (relative, position) in enumerate(OFFSET_ENTRY.iter_unpack(data[:whole])):
        if number and relative == 0:
            return
        yield OffsetPosition(base_offset + relative, position)


def time_entries(data: bytes, base_offset: int) -> Iterator[TimestampOffset]:
    """The entries of a whole ``.timeindex``, up to the preallocated zeros; a partial last entry is left out."""
    whole = len(data) - len(data) % TIME_ENTRY.size
    for number, (timestamp, relative) in enumerate(TIME_ENTRY.iter_unpack(data[:whole])):
        if number and not timestamp:
            return
        yield TimestampOffset(timestamp, base_offset + relative)


def _last_at_most(
    read_at: ReadAt, entry: Struct, count: int, key: Callable[[tuple[int, int]], int], target: int
) -> tuple[int, int] | None:
    """The last of ``count`` entries whose key is at most ``target``, by bisection over reads of one entry."""
    low, high = 0, count
    found: tuple[int, int] | None = None
    while low < high:
        middle = (low + high) // 2
        raw = read_at(entry.size, middle * entry.size)
        if len(raw) < entry.size:  # the file is shorter than it was said to be: what is not there does not count
            high = middle
            continue
        fields = entry.unpack(raw)
        if key(fields) <= target:
            found, low = fields, middle + 1
        else:
            high = middle
    return found


def entry_for_offset(read_at: ReadAt, count: int, base_offset: int, offset: int) -> OffsetPosition | None:
    """The last entry at or before ``offset``, or None."""
    found = _last_at_most(read_at, OFFSET_ENTRY, count, lambda entry: entry[0], offset - base_offset)
    return OffsetPosition(base_offset + found[0], found[1]) if found else None


def position_for_offset(read_at: ReadAt, count: int, base_offset: int, offset: int) -> int:
    """Where in the segment to start looking for ``offset``: the position of the last indexed batch at or before it,
    else 0.
    """
    found = entry_for_offset(read_at, count, base_offset, offset)
    return found.position if found else 0


def entry_before_timestamp(read_at: ReadAt, count: int, base_offset: int, timestamp: int) -> TimestampOffset | None:
    """The last entry older than ``timestamp``, or None.

    An entry (t, o) says: no record up to o is newer than t. So this one bounds a search from below.
    """
    found = _last_at_most(read_at, TIME_ENTRY, count, lambda entry: entry[0], timestamp - 1)
    return TimestampOffset(found[0], base_offset + found[1]) if found else None
