"""Commits of consumers that are in no group: taken while the group has no members, by whatever name they come."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # it is there, in no __all__

from tests.support.served import PATIENCE, Served

UNKNOWN_MEMBER_ID = 25
PROTOCOLS = pytest.mark.parametrize("protocol", ["classic", "consumer"])


@pytest.fixture
def topic(served: Served) -> str:
    admin = AdminClient({"bootstrap.servers": served.address})
    for done in admin.create_topics([NewTopic("t", num_partitions=1)]).values():
        done.result(PATIENCE)
    return "t"


def consumer(served: Served, protocol: str) -> Consumer:
    """One that makes up a member id before it joins, if its protocol is the new one (KIP-1082)."""
    settings = {"bootstrap.servers": served.address, "group.id": "g", "group.protocol": protocol}
    return Consumer(settings | {"enable.auto.commit": False})


@PROTOCOLS
def test_who_assigns_itself_partitions_commits(served: Served, topic: str, protocol: str) -> None:
    for offset in (3, 7):  # the group is made, then it is there and has no members
        alone = consumer(served, protocol)
        try:
            alone.assign([TopicPartition(topic, 0)])
            (done,) = alone.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False) or []
            assert done.error is None
            (found,) = alone.committed([TopicPartition(topic, 0)], timeout=PATIENCE)
            assert found.offset == offset
        finally:
            alone.close()


@PROTOCOLS
def test_but_not_beside_the_groups_members(served: Served, topic: str, protocol: str) -> None:
    member, alone = consumer(served, protocol), consumer(served, protocol)
    try:
        member.subscribe([topic])
        while not member.assignment():
            member.poll(0.1)
        alone.assign([TopicPartition(topic, 0)])
        with pytest.raises(KafkaException) as refused:
            alone.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
        assert refused.value.args[0].code() == UNKNOWN_MEMBER_ID
    finally:
        alone.close()
        member.close()
