"""The entries of a segment's offset index and time index, made as its batches come by.

All that write these files make their entries here: the writer of a log, compaction, recovery, and ``pykafka doctor``.
Sources: org.apache.kafka.storage.internals.log.LogSegment#append and #recover.
"""

from __future__ import annotations

from pykafka_store.format.index import pack_offset_entry, pack_time_entry
from pykafka_store.model import NO_TIMESTAMP

DEFAULT_INTERVAL = 4096
"""Bytes between two entries of an index that is made anew (the default of index.interval.bytes)."""


class IndexBuilder:
    """Give each batch of a segment to :meth:`add`, in order.

    The fields that it goes on from may be those of the published state of a segment that has batches already.
    """

    __slots__ = (
        "_base_offset",
        "_interval",
        "_last_time_entry",
        "first_timestamp",
        "indexed_position",
        "max_timestamp",
        "max_timestamp_offset",
        "offset_entries",
        "time_entries",
    )

    def __init__(
        self,
        base_offset: int,
        interval: int = DEFAULT_INTERVAL,
        *,
        first_timestamp: int = NO_TIMESTAMP,
        max_timestamp: int = NO_TIMESTAMP,
        max_timestamp_offset: int = -1,
        indexed_position: int = 0,
        last_time_entry: int = NO_TIMESTAMP,
    ) -> None:
        """``interval``: index.interval.bytes. ``last_time_entry``: the timestamp of the time index's last entry."""
        self._base_offset = base_offset
        self._interval = interval
        self._last_time_entry = last_time_entry
        self.first_timestamp = first_timestamp
        """The largest timestamp of the segment's first batch, in ms."""
        self.max_timestamp = max_timestamp
        """The largest timestamp so far, in ms; a batch that compaction emptied does not count."""
        self.max_timestamp_offset = max_timestamp_offset
        """The last offset of the batch that has it."""
        self.indexed_position = indexed_position
        """The position of the last batch that has an entry; 0 before there is one."""
        self.offset_entries: list[bytes] = []
        self.time_entries: list[bytes] = []

    def add(self, position: int, last_offset: int, max_timestamp: int, record_count: int) -> None:
        """The batch at byte ``position`` of the segment. It gets an entry when more than ``index.interval.bytes`` lie
        between it and the last one that got one, so the first batch has none.
        """
        if not position:
            self.first_timestamp = max_timestamp
        if max_timestamp > self.max_timestamp and record_count:
            self.max_timestamp, self.max_timestamp_offset = max_timestamp, last_offset
        if position - self.indexed_position > self._interval:
            self.offset_entries.append(pack_offset_entry(self._base_offset, last_offset, position))
            self.indexed_position = position
            self.add_time_entry()

    def add_time_entry(self) -> None:
        """Have the time index end with the largest timestamp so far, as that of a sealed segment must."""
        if self.max_timestamp > self._last_time_entry:
            entry = pack_time_entry(self._base_offset, self.max_timestamp, self.max_timestamp_offset)
            self.time_entries.append(entry)
            self._last_time_entry = self.max_timestamp
