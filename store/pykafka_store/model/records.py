"""Records by column, and where they are."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pykafka_store.model.record import Record

Header = tuple[str, bytes | None]
"""A header's key, and its value or null. Keys may repeat; order counts."""

NO_SEQUENCE = -1
NO_TIMESTAMP = -1


class TimestampType(IntEnum):
    """Who set a record's timestamp (bit 3 of a batch's attributes)."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class TopicPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


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

    def __iter__(self) -> "Iterator[Record]":
        """Single records, for who has few of them: a column costs a tenth as much."""
        from pykafka_store.model.record import Record

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
