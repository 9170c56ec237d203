"""Where records are sent, and what became of them."""

from collections.abc import Callable
from typing import NamedTuple

Partitioner = Callable[[str, bytes | None, bytes | None, int], int]
"""A custom partitioner: (topic, key, value, number of partitions) -> partition."""

UNKNOWN_OFFSET = -1


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
