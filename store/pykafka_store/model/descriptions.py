"""What a topic consists of."""

from typing import NamedTuple

from pykafka_store.model.configs import ConfigEntry


class PartitionDescription(NamedTuple):
    partition: int
    leader: int | None
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()
    elr: tuple[int, ...] | None = ()
    last_known_elr: tuple[int, ...] | None = ()


class TopicDescription(NamedTuple):
    name: str
    topic_id: str
    internal: bool
    partitions: tuple[PartitionDescription, ...]
    configs: tuple[ConfigEntry, ...]
    """Only the entries that are not built-in defaults, in Kafka's order."""

    @property
    def replication_factor(self) -> int:
        first = self.partitions[0]
        return len(first.replicas) - len(first.adding_replicas)
