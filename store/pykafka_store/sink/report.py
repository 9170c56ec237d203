"""What a sink says of its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pykafka_store.model import TopicPartition
from pykafka_store.sink.batches import BadRecord


class SinkReport(NamedTuple):
    """What a sink has done so far."""

    messages: int
    """Records that were dealt with: rows, deletions and dead letters."""
    dead_letters: int
    gaps: Sequence[tuple[TopicPartition, int, int]]
    """(partition, first, last offset) of what was deleted before it was read."""
    stopped: BadRecord | None
    """The record that ended it."""
    unwritten: int = 0
    """Records that were read and could not be written; the next sink reads them again."""

    @property
    def is_good(self) -> bool:
        return not (self.dead_letters or self.gaps or self.stopped or self.unwritten)
