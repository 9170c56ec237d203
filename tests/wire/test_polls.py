"""Polls that come again with the same bytes: answered as if each had been read anew."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Hashable, Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.format.batch import encode_batch
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster, serve_data_directory
from pykafka_store.settings.listeners import Listener
from pykafka_store.watching import Watcher
from pykafka_store.wire import parking as parking_module
from pykafka_store.wire import server as server_module
from pykafka_store.wire.broker import when_to_answer
from tests.support.console import produce
from tests.support.frames import ask, connect, receive
from tests.support.served import PATIENCE, Served

EMPTY, UNKNOWN_TOPIC = 0, 3
PRODUCE, API_VERSIONS = 0, 18


class Poller:
    """A client that fetches from ``polled``-0, from offset ``at`` on."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self._number = 0
        self.at = 0

    def ask(self, wait: int = 50) -> bytes:
        self._number += 1
        topic = struct.pack(">ih6siiqi", 1, 6, b"polled", 1, 0, self.at, 1 << 20)
        body = struct.pack(">hhih", 1, 4, self._number, -1) + struct.pack(">iiiib", -1, wait, 1, 1 << 20, 0) + topic
        return struct.pack(">i", len(body)) + body

    def send(self, data: bytes) -> None:
        self.client.sendall(data)

    def hear(self) -> tuple[int, int]:
        """The error and the bytes of records of the next answer, which must be that to the next request."""
        answer = receive(self.client)
        assert answer is not None
        number, _, topics = struct.unpack_from(">iii", answer)
        assert (number, topics) == (self._number, 1)
        error, _, _, aborted, size = struct.unpack_from(">hqqii", answer, 12 + 2 + 6 + 4 + 4)
        assert aborted <= 0
        return error, size

    def poll(self, wait: int = 50) -> tuple[int, int]:
        self.send(self.ask(wait))
        return self.hear()


@pytest.fixture
def poller(served: Served) -> Iterator[Poller]:
    """One whose last poll is remembered."""
    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("polled")
    with connect(served.address) as client:
        made = Poller(client)
        for _ in range(3):
            assert made.poll() == (EMPTY, 0)
        yield made


def test_what_was_appended_between_two_polls_is_in_the_second(served: Served, poller: Poller) -> None:
    assert produce(served.directory, "one\n", "--topic", "polled").code == 0
    error, size = poller.poll(60_000)
    assert error == 0 and size > 0
    poller.at = 1
    for _ in range(3):
        assert poller.poll() == (EMPTY, 0)
    assert produce(served.directory, "two\n", "--topic", "polled").code == 0
    error, size = poller.poll(60_000)
    assert error == 0 and size > 0


def test_what_is_appended_while_it_waits_again_ends_the_wait(served: Served, poller: Poller) -> None:
    rounds = 0
    while rounds < 2:
        assert poller.poll(1000) == (EMPTY, 0)
        asked = time.monotonic()
        poller.send(poller.ask(1000))  # if it were not woken, it would be answered with what was remembered
        assert produce(served.directory, "one\n", "--topic", "polled").code == 0
        in_time = time.monotonic() - asked < 1  # else this machine stood still, and the wait may have been over
        error, size = poller.hear()
        if size or in_time:
            assert error == 0 and size > 0
            rounds += 1
        else:
            assert poller.poll(60_000)[1] > 0
        poller.at += 1


def test_who_waits_for_a_record_has_it_when_its_producer_hears_of_it(served: Served, poller: Poller) -> None:
    """Its answer is on its way before the producer's: between processes of one machine it is there by then."""
    batch = b"".join(encode_batch([b"x"], timestamps=1).placed(0, 0))
    append = struct.pack(">hhiih6siii", -1, 1, 30_000, 1, 6, b"polled", 1, 0, len(batch)) + batch
    with connect(served.address) as producer:
        for _ in range(20):
            poller.send(poller.ask(60_000))
            assert ask(producer, API_VERSIONS, 0) is not None  # so that the server has read the poll
            assert ask(producer, PRODUCE, 3, append) is not None
            assert select.select([poller.client], [], [], 0)[0]
            error, size = poller.hear()
            assert error == 0 and size > 0
            poller.at += 1


def test_where_a_watch_tells_nothing_each_poll_looks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that another machine writes to."""

    class Deaf(Watcher):
        def changed(self) -> set[Hashable]:
            super().changed()
            return set()

    monkeypatch.setattr(server_module, "Watcher", Deaf)
    monkeypatch.setattr(parking_module, "tells", lambda _path: False)
    with open_cluster(tmp_path) as cluster:
        cluster.admin().create_topic("polled")
    server = serve_data_directory(tmp_path, [Listener("127.0.0.1", 0)])
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with connect("{}:{}".format(*server.address)) as client:
            poller = Poller(client)
            for _ in range(3):
                assert poller.poll() == (EMPTY, 0)
            assert produce(tmp_path, "one\n", "--topic", "polled").code == 0
            error, size = poller.poll()
            assert error == 0 and size > 0
    finally:
        server.stop()
        thread.join()


def test_a_topic_that_is_deleted_between_two_polls_is_gone_in_the_second(served: Served, poller: Poller) -> None:
    with open_cluster(served.directory) as cluster:
        cluster.admin().delete_topic("polled")
    assert poller.poll(60_000)[0] == UNKNOWN_TOPIC
    assert poller.poll()[0] == UNKNOWN_TOPIC


def test_other_requests_between_and_with_it_are_answered_in_order(poller: Poller, served: Served) -> None:
    versions = struct.pack(">ihhih", 10, 18, 0, 77, -1)
    poller.send(versions)
    answer = receive(poller.client)
    assert answer is not None and struct.unpack_from(">i", answer)[0] == 77
    assert poller.poll() == (EMPTY, 0)
    poller.send(poller.ask() + versions)
    assert poller.hear() == (EMPTY, 0)
    answer = receive(poller.client)
    assert answer is not None and struct.unpack_from(">i", answer)[0] == 77
    whole = poller.ask()
    for at in range(0, len(whole), 7):
        poller.send(whole[at : at + 7])
    assert poller.hear() == (EMPTY, 0)
    poller.at = 5
    assert poller.poll()[0] == 1  # OFFSET_OUT_OF_RANGE
    assert produce(served.directory, "one\n", "--topic", "polled").code == 0
    poller.at = 0
    assert poller.poll(60_000)[1] > 0


@pytest.mark.parametrize("patience", [5.1, 30.0, 3600.0])
def test_a_poll_that_waits_for_long_ends_in_time(patience: float) -> None:
    assert when_to_answer(86_400.3, patience) == pytest.approx(86_400.3 + patience, abs=1e-6)


@pytest.mark.parametrize("patience", [0.001, 0.1, 0.5, 5.0])
def test_polls_that_wait_equally_long_end_together(patience: float) -> None:
    turnaround = patience / 100
    ends = set()
    for number in range(100):  # they begin at any time, and each asks again a little after it was answered
        now = 86_400 + number * patience / 37
        for _ in range(25):
            end = when_to_answer(now, patience)
            assert patience - 1e-9 <= end - now <= patience + max(0.001, patience / 10) + 1e-9
            now = end + turnaround
        while now < 86_400 + 60 * patience:
            end = when_to_answer(now, patience)
            now = end + turnaround
        ends.add(end)
    assert len(ends) == 1


def test_more_polls_than_one_turn_answers_end_together(served: Served, poller: Poller) -> None:
    assert poller.poll() == (EMPTY, 0)
    others = [Poller(connect(served.address)) for _ in range(250)]
    try:
        for _ in range(3):
            for each in others:
                each.send(each.ask(400))
            for each in others:
                assert each.hear() == (EMPTY, 0)
    finally:
        for each in others:
            each.client.close()


def test_a_log_that_was_moved_there_and_back_wakes_who_polls_it(tmp_path: Path) -> None:
    """The watch was on the file that had the name before, and went with it."""
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        places = [str(tmp_path / "one"), str(tmp_path / "two")]
        cluster.add_broker(1, places)
        cluster.admin().create_topic("polled", assignments=[[1]])
        places.sort(key=lambda place: os.path.exists(f"{place}/polled-0"))
        with Served(tmp_path / "data") as served, connect(served.address) as client:
            poller = Poller(client)
            assert poller.poll() == (EMPTY, 0)
            for place in places:  # the other one first
                (why,) = cluster.admin().alter_replica_log_dirs({(TopicPartition("polled", 0), 1): place}).values()
                assert why is None
                assert list(cluster.reassign().values()) == [None]
            for _ in range(3):  # the answer is remembered
                assert poller.poll() == (EMPTY, 0)
            with cluster.producer() as producer:
                producer.send("polled", [b"x"])
            deadline = time.monotonic() + PATIENCE
            while (answer := poller.poll()) == (EMPTY, 0):
                assert time.monotonic() < deadline
            assert answer[0] == 0
