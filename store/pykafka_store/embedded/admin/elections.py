"""Elections: where a leader is gone, and where another one is asked for.

There is no controller that would notice: whoever describes topics, stops a broker or asks for an election does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pykafka_store.embedded.catalog_rows import IN_SYNC, PartitionRow
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.partitions import HostedPartition, hosted
from pykafka_store.errors import ElectionNotNeededError, StorageError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import ElectionType, TopicPartition


class ElectionAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        from pykafka_store.embedded.replication.replicas import Replicas

        self._engine.require_writable()
        answers: dict[TopicPartition, StoreError | None] = {}
        for name in partitions if partitions is not None else [name for name, _ in self._engine.catalog.partitions()]:
            try:
                Replicas(named_partition(self._engine, name)).elect(election)
                answers[name] = None
            except (ElectionNotNeededError, UnknownTopicOrPartitionError) as error:
                if partitions is not None:  # of all, those that need none, or were deleted meanwhile, are no error
                    answers[name] = error
            except StoreError as error:
                answers[name] = error
        return answers


def settle_where(engine: Engine, wanted: Callable[[PartitionRow], bool]) -> None:
    """Have partitions led by replicas that can be used, and their ISR be what it is. Those that have no such replica
    are leaderless in the catalogue afterwards.
    """
    from pykafka_store.embedded.replication.replicas import Replicas

    for name, row in engine.catalog.partitions():
        if wanted(row):
            try:
                Replicas(hosted(engine, name)).settle()
            except (StoreError, FileNotFoundError):
                continue  # nothing can lead it, and the catalogue says so by now


def settle_partition(partition: HostedPartition) -> None:
    """The same for one partition. Raises LeaderNotAvailableError, StorageError."""
    from pykafka_store.embedded.replication.replicas import Replicas

    try:
        Replicas(partition).settle()
    except FileNotFoundError as error:
        raise StorageError(f"{error.filename} is gone: is its disk mounted?") from error


def settle_what_changed(engine: Engine) -> None:
    """Elect leaders where brokers came or went without a word, so that what is described is how things are. Nothing is
    opened, and no lock taken, where all brokers run and every partition has a leader.
    """
    gone = {
        (broker, number)
        for broker, row in engine.brokers.all().items()
        for number, path in enumerate(engine.brokers.paths_of(row))
        if not row.running or engine.brokers.problem(path) is not None
    }
    if not gone and not engine.catalog.has_leaderless_partitions():
        return
    settle_where(
        engine,
        lambda row: (
            row.leader is None
            or any(host.sync == IN_SYNC and (host.broker, host.log_dir) in gone for host in row.hosts)
        ),
    )


def named_partition(engine: Engine, name: TopicPartition) -> HostedPartition:
    """The partition that a user named. Source of texts: ReplicationControlManager#electLeader. Raises
    UnknownTopicOrPartitionError.
    """
    if engine.catalog.topic_id(name.topic) is None:
        raise UnknownTopicOrPartitionError(f"No such topic as {name.topic}")
    try:
        return hosted(engine, name)
    except UnknownTopicOrPartitionError:
        raise UnknownTopicOrPartitionError(f"No such partition as {name}") from None
