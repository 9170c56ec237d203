"""The kind of a group whose members speak two protocols: KIP-848's as soon as one of them does, and as long."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # it is there, in no __all__

from pykafka_store.open import open_cluster
from tests.support.served import PATIENCE, Served


def member(served: Served, protocol: str, cleanup: ExitStack) -> Consumer:
    consumer = Consumer({"bootstrap.servers": served.address, "group.id": "g", "group.protocol": protocol})
    cleanup.callback(consumer.close)
    consumer.subscribe(["t"])
    return consumer


def kind(served: Served, *members: Consumer, share: int) -> str:
    """The group's kind, when all of the members have as many partitions."""
    deadline = time.monotonic() + PATIENCE
    while any(len(each.assignment()) != share for each in members):
        assert time.monotonic() < deadline, [each.assignment() for each in members]
        for each in members:
            each.poll(0.1)
    with open_cluster(served.directory) as cluster:
        return cluster.admin().describe_group("g").type


@pytest.mark.parametrize("_round", range(4))  # a member's id is chance, and was what decided
def test_a_group_is_of_the_consumer_protocol_while_one_of_its_members_is(served: Served, _round: int) -> None:
    admin = AdminClient({"bootstrap.servers": served.address})
    for done in admin.create_topics([NewTopic("t", num_partitions=4)]).values():
        done.result(PATIENCE)
    with ExitStack() as cleanup:
        old = member(served, "classic", cleanup)
        assert kind(served, old, share=4) == "Classic"
        new = member(served, "consumer", cleanup)
        assert kind(served, old, new, share=2) == "Consumer"
        old.close()
        assert kind(served, new, share=4) == "Consumer"
        old = member(served, "classic", cleanup)
        assert kind(served, old, new, share=2) == "Consumer"
        new.close()
        assert kind(served, old, share=4) == "Classic"
