"""Where replicas of new partitions go."""

from __future__ import annotations

from collections import Counter

import pytest

from pykafka_store.errors import InvalidReplicationFactorError
from pykafka_store.placement import rack_aware

RACKS = {0: "a", 1: "b", 2: "c", 3: "a", 4: "b", 5: "c"}


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6])
def test_no_rack_has_two_replicas_while_another_has_none(factor: int) -> None:
    placed = rack_aware(RACKS, 24, factor)
    for replicas in placed:
        assert len(set(replicas)) == len(replicas) == factor
        assert len({RACKS[broker] for broker in replicas[:3]}) == min(factor, 3)
    assert set(Counter(replicas[0] for replicas in placed).values()) == {4}  # each leads as many as the others


def test_leaders_have_other_followers_each_time_round() -> None:
    placed = rack_aware(RACKS, 12, 2)
    assert len({tuple(replicas) for replicas in placed}) > 6


def test_there_may_be_racks_of_different_sizes_and_too_few_brokers() -> None:
    placed = rack_aware({0: "a", 1: "a", 2: "a", 3: "b"}, 8, 2)
    assert all(3 in replicas for replicas in placed)
    with pytest.raises(InvalidReplicationFactorError, match="only 2 broker"):
        rack_aware({0: "a", 1: "b"}, 1, 3)
