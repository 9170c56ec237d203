"""Which brokers hold the replicas of new partitions. Sources: StripedReplicaPlacer of Kafka 4.3, KIP-36."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from pykafka_store.errors import InvalidReplicationFactorError


def striped(brokers: Sequence[int], unusable: Sequence[int], partitions: int, factor: int) -> list[list[int]]:
    """Replica lists of so many partitions, striped over the brokers from a random start, so that each leads as many as
    the others. Those that can't be used come last.

    Raises InvalidReplicationFactorError where there are too few.
    """
    _check(brokers, unusable, factor)
    start, behind = random.randrange(len(brokers)), random.randrange(max(1, len(unusable)))
    placed = []
    for partition in range(partitions):
        turned = [brokers[(start + partition + number) % len(brokers)] for number in range(len(brokers))]
        last = [unusable[(behind + partition + number) % len(unusable)] for number in range(len(unusable))]
        placed.append([*turned, *last][:factor])
    return placed


def rack_aware(racks: Mapping[int, str], partitions: int, factor: int) -> list[list[int]]:
    """The same for brokers with racks: no rack has a second replica of a partition while another has none."""
    _check(list(racks), (), factor)
    by_rack: dict[str, list[int]] = {}
    for broker, rack in sorted(racks.items(), key=lambda each: (each[1], each[0])):
        by_rack.setdefault(rack, []).append(broker)
    circle = [broker for broker in chain.from_iterable(zip_longest(*by_rack.values())) if broker is not None]
    start = random.randrange(len(circle))
    placed = []
    for partition in range(partitions):
        first = (start + partition) % len(circle)
        leader, *others = circle[first:] + circle[:first]
        turned = partition // len(circle) % max(1, len(others))  # so that a leader has other followers each time round
        others = others[turned:] + others[:turned]
        chosen = [leader]
        while len(chosen) < factor:
            used = {racks[broker] for broker in chosen}
            left = [broker for broker in others if broker not in chosen]
            chosen.append(next((broker for broker in left if racks[broker] not in used), left[0]))
        placed.append(chosen)
    return placed


def _check(brokers: Sequence[int], unusable: Sequence[int], factor: int) -> None:
    if not brokers:
        raise InvalidReplicationFactorError(
            "All brokers are currently fenced, or have all their log directories cordoned."
        )
    if factor > len(brokers) + len(unusable):
        raise InvalidReplicationFactorError(
            f"The target replication factor of {factor} cannot be reached because only {len(brokers) + len(unusable)} "
            "broker(s) are registered or some brokers have all their log directories cordoned."
        )
