"""Which brokers hold the replicas of new partitions. Source: StripedReplicaPlacer of Kafka 4.3, without racks."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pykafka_store.errors import InvalidReplicationFactorError


def striped(brokers: Sequence[int], unusable: Sequence[int], partitions: int, factor: int) -> list[list[int]]:
    """Replica lists of so many partitions, striped over the brokers from a random start, so that each leads as many as
    the others. Those that can't be used come last.

    Raises InvalidReplicationFactorError where there are too few.
    """
    if not brokers:
        raise InvalidReplicationFactorError(
            "All brokers are currently fenced, or have all their log directories cordoned."
        )
    if factor > len(brokers) + len(unusable):
        raise InvalidReplicationFactorError(
            f"The target replication factor of {factor} cannot be reached because only {len(brokers) + len(unusable)} "
            "broker(s) are registered or some brokers have all their log directories cordoned."
        )
    start, behind = random.randrange(len(brokers)), random.randrange(max(1, len(unusable)))
    placed = []
    for partition in range(partitions):
        turned = [brokers[(start + partition + number) % len(brokers)] for number in range(len(brokers))]
        last = [unusable[(behind + partition + number) % len(unusable)] for number in range(len(unusable))]
        placed.append([*turned, *last][:factor])
    return placed
