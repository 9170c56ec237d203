"""Offsets by what is special of them."""

from enum import IntEnum


class OffsetAt(IntEnum):
    """The special timestamps of ListOffsets (KIP-79, 734, 405, 1005, 1023); any number >= 0 is a real one."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5
    EARLIEST_PENDING_UPLOAD = -6
