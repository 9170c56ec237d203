"""Records, where they are, and what became of those that were sent."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

Header = tuple[str, bytes | None]
"""A header's key, and its value or null. Keys may repeat; order counts."""

Partitioner = Callable[[str, bytes | None, bytes | None, int], int]
"""A custom partitioner: (topic, key, value, number of partitions) -> partition."""

NO_SEQUENCE = -1
NO_TIMESTAMP = -1
UNKNOWN_OFFSET = -1


class TimestampType(IntEnum):
    """Who set a record's timestamp (bit 3 of a batch's attributes)."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class TopicPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Record(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970; NO_TIMESTAMP for none."""
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


class Records:
    """A run of records of one partition in offset order, held by column; ``for record in records`` gives single ones.

    All columns have the same length. ``headers[i]`` is a tuple of (key, value-or-None) pairs.
    Columns, not objects: the console tools move millions of records and touch few columns.
    """

    __slots__ = (
        "headers", "keys", "leader_epoch", "offsets", "partition", "timestamp_type", "timestamps", "topic", "values",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        offsets: Sequence[int],
        timestamps: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[Header]],
        timestamp_type: TimestampType = TimestampType.CREATE_TIME,
        leader_epoch: int = -1,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offsets = offsets
        self.timestamps = timestamps
        self.keys = keys
        self.values = values
        self.headers = headers
        self.timestamp_type = timestamp_type
        self.leader_epoch = leader_epoch

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Record]:
        """Single records, for who has few of them: a column costs a tenth as much."""
        columns = zip(self.offsets, self.timestamps, self.keys, self.values, self.headers, strict=True)
        for offset, timestamp, key, value, headers in columns:
            yield Record(self.topic, self.partition, offset, timestamp, key, value, tuple(headers))

    def __repr__(self) -> str:
        span = f"{self.offsets[0]}..{self.offsets[-1]}" if len(self) else "none"
        return f"Records({self.topic}-{self.partition}, offsets {span})"

    def slice(self, start: int, stop: int) -> "Records":
        """The records ``start`` to ``stop`` (exclusive) of this run, as another run."""
        return Records(
            self.topic,
            self.partition,
            offsets=self.offsets[start:stop],
            timestamps=self.timestamps[start:stop],
            keys=self.keys[start:stop],
            values=self.values[start:stop],
            headers=self.headers[start:stop],
            timestamp_type=self.timestamp_type,
            leader_epoch=self.leader_epoch,
        )


class Delivery(NamedTuple):
    """Records that are in the log and will stay there: ``record_count`` of them from ``base_offset`` on."""

    topic: str
    partition: int
    base_offset: int
    """UNKNOWN_OFFSET, as in Kafka: of what a cluster was sent with ``acks=0``, which may be lost as well."""
    record_count: int

    @property
    def next_offset(self) -> int:
        """Where a record lies that follows these."""
        known = self.base_offset != UNKNOWN_OFFSET
        return self.base_offset + self.record_count if known else UNKNOWN_OFFSET


class CopiedRun(NamedTuple):
    """A batch of records that were copied from another partition."""

    base_offset: int
    """Its first offset here."""
    length: int
    """Offsets of it here: the records that it held when it was written."""
    last_source_offset: int
    """The offset that its last record has at the source."""


class SendFailure(NamedTuple):
    """Records that were not acknowledged, and why. ``key_size`` and ``value_size`` are of the first; None for null."""

    topic: str
    partition: int | None
    record_count: int
    key_size: int | None
    value_size: int | None
    error: Exception


class OffsetAt(IntEnum):
    """The special timestamps of ListOffsets (KIP-79, 734, 405, 1005, 1023); any number >= 0 is a real one."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5
    EARLIEST_PENDING_UPLOAD = -6
