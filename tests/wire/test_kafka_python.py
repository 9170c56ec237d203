"""kafka-python against ``pykafka serve``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest

from pykafka_store.open import open_cluster
from tests.support.console import values
from tests.support.served import PATIENCE, Served

kafka = pytest.importorskip("kafka")

_POLL = 1000
"""ms. kafka-python 3.0 forgets what it was assigned where a poll ends between its JoinGroup and the answer."""


def test_records_go_in_and_come_out(served: Served) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=served.address, linger_ms=5)
    sent = [producer.send("python", b"%d" % number, partition=0) for number in range(100)]
    assert [each.get(PATIENCE).offset for each in sent] == list(range(100))
    producer.close(PATIENCE)
    consumer = kafka.KafkaConsumer(bootstrap_servers=served.address, consumer_timeout_ms=int(PATIENCE * 1000))
    consumer.assign([kafka.TopicPartition("python", 0)])
    consumer.seek_to_beginning()
    found = [next(consumer).value for _ in range(100)]
    consumer.close()
    assert found == [b"%d" % number for number in range(100)] == values(served.directory, "python")


def test_the_version_that_is_inferred_is_kafkas(served: Served) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=served.address)
    try:
        assert admin.describe_cluster()["cluster_id"]
    finally:
        admin.close()


def _custom_assignor() -> type:
    """An assignor that only its members know: range under another name."""
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    class Mine(RangePartitionAssignor):  # type: ignore[misc]
        name = "mine"

    return Mine


@pytest.mark.parametrize("assignor", ["range", "mine"])
def test_consumers_share_a_group(served: Served, assignor: str) -> None:
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("shared", partitions=4)
    found: list[bytes] = []
    with ExitStack() as opened:  # whatever happens: threads and sockets that are left end amid other tests

        def consumer() -> Any:
            made = kafka.KafkaConsumer(
                "shared",
                bootstrap_servers=served.address,
                group_id="python",
                auto_offset_reset="earliest",
                partition_assignment_strategy=[RangePartitionAssignor if assignor == "range" else _custom_assignor()],
                heartbeat_interval_ms=300,
                session_timeout_ms=10000,
            )
            opened.callback(made.close)
            assert len(made.partitions_for_topic("shared")) == 4  # or it joins before it knows of any, and then again
            return made

        def poll_until(members: list[Any], done: Callable[[], bool]) -> None:
            deadline = time.monotonic() + PATIENCE
            while not done():
                assert time.monotonic() < deadline, [each.assignment() for each in members]
                for each in members:
                    found.extend(record.value for some in each.poll(_POLL).values() for record in some)

        members = [consumer()]
        poll_until(members, lambda: len(members[0].assignment()) == 4)
        members.append(consumer())
        threads = [Thread(target=_poll_for_a_while, args=(each,)) for each in members]
        for thread in threads:  # who joins blocks in poll until the other one has joined, too
            thread.start()
        for thread in threads:
            thread.join()
        poll_until(members, lambda: [len(each.assignment()) for each in members] == [2, 2])
        poll_until(members, lambda: len({each.group_metadata().generation_id for each in members}) == 1)
        with open_cluster(served.directory) as cluster:
            described = cluster.admin().describe_group("python")
            assert (described.state, described.assignor) == ("Stable", assignor)
            assert sorted(len(each.assignment) for each in described.members) == [2, 2]
            with cluster.producer() as producer:
                producer.send("shared", [b"%d" % number for number in range(40)], partitions=[n % 4 for n in range(40)])
        poll_until(members, lambda: len(found) == 40)
    with open_cluster(served.directory) as cluster:
        assert {each.offset for each in cluster.admin().group_offsets("python").values()} == {10}


def _poll_for_a_while(consumer: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(consumer.assignment()) != 2 and time.monotonic() < deadline:
        consumer.poll(_POLL)
