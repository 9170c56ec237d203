"""librdkafka's full answers to Fetch are kept back for a moment, and that is all that happens to them."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from pykafka_store.open import open_cluster, serve_data_directory
from pykafka_store.settings.listeners import Listener, Login
from pykafka_store.wire import fetch as fetch_module
from pykafka_store.wire.fetch import KeptBack
from pykafka_store.wire.protocol import FETCH, Reply
from tests.support.requests import World, asked, bytes_of
from tests.support.served import PATIENCE

MUCH = random.Random(1).randbytes(600_000)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.close()


def fetch(world: World, max_wait: int = 500, software: str = "librdkafka") -> Any:
    wanted = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20, "current_leader_epoch": -1}
    fields = {"replica_id": -1, "max_wait": max_wait, "min_bytes": 1, "max_bytes": 1 << 20, "isolation_level": 0}
    topics = [{"topic": "there", "partitions": [wanted]}]
    request = asked(FETCH, 11, **fields, session_id=0, session_epoch=-1, topics=topics)
    return world.handlers[FETCH](request._replace(software=software))


def records(reply: object) -> bytes:
    assert isinstance(reply, Reply)
    return bytes_of(reply.responses[0].partitions[0].records)


def open_files() -> set[str]:
    """The log files that this process has open, by their descriptors."""
    found = (os.path.join("/proc/self/fd", each) for each in os.listdir("/proc/self/fd"))
    return {each for each in found if os.path.lexists(each) and os.readlink(each).endswith(".log")}


def test_a_full_answer_is_given_at_its_time_with_all_records(world: World) -> None:
    with world.cluster.producer() as producer:
        producer.send("there", [MUCH], partitions=0)
    waiting = fetch(world)
    assert isinstance(waiting, KeptBack)
    assert waiting.deadline < world.cluster.engine.clock.monotonic() + 0.1
    assert waiting.attempt(late=False) is None
    reply = waiting.attempt(late=True)
    waiting.abandon()  # what was given is not taken back
    assert MUCH in records(reply)


def test_few_records_and_clients_that_do_not_wait_or_pause_are_answered_at_once(world: World) -> None:
    few = fetch(world)
    assert b"one" in records(few)
    with world.cluster.producer() as producer:
        producer.send("there", [MUCH], partitions=0)
    assert MUCH in records(fetch(world, max_wait=0))
    assert MUCH in records(fetch(world, software="apache-kafka-java"))


def test_an_answer_that_nobody_waits_for_any_more_leaves_no_file_open(world: World) -> None:
    with world.cluster.producer() as producer:
        producer.send("there", [MUCH], partitions=0)
    before = open_files()
    waiting = fetch(world)
    assert isinstance(waiting, KeptBack)
    waiting.abandon()
    assert open_files() == before


@pytest.mark.parametrize("has_login", [False, True])
def test_the_server_knows_librdkafka_by_what_it_says_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_login: bool
) -> None:
    made: list[KeptBack] = []

    class Counted(KeptBack):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(fetch_module, "KeptBack", Counted)
    with open_cluster(tmp_path) as cluster, cluster.producer() as producer:
        cluster.admin().create_topic("there")
        producer.send("there", [MUCH], partitions=0)
    login = Login(("PLAIN",), {"ann": "secret"})
    listener = Listener("127.0.0.1", 0, "SASL_PLAINTEXT", login=login) if has_login else Listener("127.0.0.1", 0)
    settings = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"} if has_login else {}
    settings |= {"sasl.username": "ann", "sasl.password": "secret"} if has_login else {}
    server = serve_data_directory(tmp_path, [listener])
    thread = threading.Thread(target=server.run)
    thread.start()
    settings |= {"client.software.name": "librdkafka"}  # Python's binding says its own
    consumer = Consumer(settings | {"bootstrap.servers": "{}:{}".format(*server.address), "group.id": "g"})
    try:
        consumer.assign([TopicPartition("there", 0, 0)])
        message = consumer.poll(PATIENCE)
        assert message is not None and message.error() is None and message.value() == MUCH
    finally:
        consumer.close()
        server.stop()
        thread.join()
    assert made
