"""``__consumer_offsets`` for clients elsewhere: the view of :mod:`pykafka_store.embedded.replication.offsets_view`,
served as a partition is that nobody appends to.
"""

from __future__ import annotations

from pykafka_store.embedded import offsets_topic
from pykafka_store.embedded.catalog_rows import PartitionRow, ReplicaRow, TopicRow
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.replication.offsets_view import OffsetsReader
from pykafka_store.model import OFFSETS_TOPIC, TopicPartition

__all__ = ["OffsetsPartition", "TopicRow", "offsets_row"]


def offsets_row(engine: Engine) -> TopicRow:
    """The topic, as the catalogue has others."""
    described = offsets_topic.describe(engine)
    return TopicRow(
        described.topic_id,
        described.name,
        tuple(
            PartitionRow(each.partition, each.leader, each.leader_epoch, tuple(map(ReplicaRow, each.replicas)))
            for each in described.partitions
        ),
        dict(offsets_topic.CONFIGS),
    )


class OffsetsPartition:
    """See :class:`pykafka_store.embedded.serving.partitions.ServedPartition`, but for what appends."""

    def __init__(self, engine: Engine, topic_id: str, number: int) -> None:
        """Raises UnknownTopicOrPartitionError."""
        self.topic_id = topic_id
        self.name = TopicPartition(OFFSETS_TOPIC, number)
        self.key = topic_id, -1  # one file changes for all of them
        self.log_dir = engine.directory
        self.row = offsets_row(engine).partitions[number]
        self.reader = OffsetsReader(engine, self.name)

    def state_path(self) -> str:
        """The file that changes with each commit of a group: what SQLite writes first."""
        return f"{self.reader.state_path()}-wal"

    def end_of_epoch(self, epoch: int) -> tuple[int, int]:
        """See ``ServedPartition``: all was appended in the one epoch that there is."""
        return (0, self.reader.state().log_end_offset) if epoch == 0 else (-1, -1)

    def epoch_at(self, offset: int) -> int:  # noqa: ARG002 - as above
        """See ``ServedPartition``."""
        return 0

    def recent_producers(self, now_ms: int) -> tuple[()]:  # noqa: ARG002 - nobody produces here
        """See ``ServedPartition``."""
        return ()

    def close(self) -> None:
        """Nothing is open."""
