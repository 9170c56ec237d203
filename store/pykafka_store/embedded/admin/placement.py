"""Where new replicas go: replica lists chosen or checked, and the log directory of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pykafka_store.embedded.catalog_rows import ReplicaRow
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import (
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    PolicyViolationError,
)
from pykafka_store.placement import striped

MAX_PARTITIONS_PER_REQUEST = 10_000


def place_partitions(engine: Engine, partitions: int, factor: int) -> list[list[int]]:
    """Replica lists of new partitions, the first of each to lead. Raises InvalidPartitionsError,
    InvalidReplicationFactorError, PolicyViolationError. Source: ReplicationControlManager#createTopic.
    """
    if partitions < 1:
        raise InvalidPartitionsError("Number of partitions was set to an invalid non-positive value.")
    if factor < 1:
        raise InvalidReplicationFactorError("Replication factor must be larger than 0, or -1 to use the default value.")
    if partitions > MAX_PARTITIONS_PER_REQUEST:
        raise PolicyViolationError("Excessively large number of partitions per request.")
    usable = engine.brokers.usable()
    missing = [broker for broker in engine.brokers.all() if broker not in usable]
    try:
        return striped(usable, missing, partitions, factor)
    except InvalidReplicationFactorError as error:
        raise InvalidReplicationFactorError(f"Unable to replicate the partition {factor} time(s): {error}") from None


def check_assignments(engine: Engine, assignments: Sequence[Sequence[int]], factor: int) -> None:
    """Raises InvalidReplicaAssignmentError for replica lists that can't be, or have not ``factor`` replicas each.
    Source: ReplicationControlManager#validateManualPartitionAssignment.
    """
    known = engine.brokers.all()
    for replicas in assignments:
        if not replicas:
            raise InvalidReplicaAssignmentError("The manual partition assignment includes an empty replica list.")
        for broker in replicas:
            if broker not in known:
                raise InvalidReplicaAssignmentError(
                    f"The manual partition assignment includes broker {broker}, but no such broker is registered."
                )
        if len(set(replicas)) != len(replicas):
            twice = next(broker for broker in sorted(replicas) if replicas.count(broker) > 1)
            raise InvalidReplicaAssignmentError(
                f"The manual partition assignment includes the broker {twice} more than once."
            )
        if len(replicas) != factor:
            raise InvalidReplicaAssignmentError(
                f"The manual partition assignment includes a partition with {len(replicas)} replica(s), but this "
                f"is not consistent with previous partitions, which have {factor} replica(s)."
            )


def replica_placer(engine: Engine) -> Callable[[int], ReplicaRow]:
    """Makes new replicas on a broker, in the log directory that has the fewest. Source: LogManager#nextLogDirs."""
    counts: dict[int, list[int]] = {}

    def place(broker: int) -> ReplicaRow:
        paths = engine.brokers.paths(broker)
        if len(paths) == 1:
            return ReplicaRow(broker)
        if broker not in counts:
            counts.clear()
            counts.update({each: [0] * len(places) for each, places in engine.brokers.all_paths().items()})
            for _, row in engine.catalog.partitions():
                for host in row.hosts:
                    counts[host.broker][host.log_dir] += 1
        usable = [number for number, path in enumerate(paths) if engine.brokers.problem(path) is None]
        chosen = min(usable or range(len(paths)), key=counts[broker].__getitem__)
        counts[broker][chosen] += 1
        return ReplicaRow(broker, log_dir=chosen)

    return place
