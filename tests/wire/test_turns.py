"""One thread answers all: no client has it for long while others wait."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.format.batch import encode_batch
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster, serve_data_directory
from pykafka_store.settings.listeners import Listener
from pykafka_store.wire import server as server_module
from tests.support.frames import ask, connect, receive
from tests.support.served import PATIENCE, Served

PRODUCE, FETCH, LIST_OFFSETS, METADATA, HEARTBEAT = 0, 1, 2, 3, 12
UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, UNKNOWN_MEMBER_ID = 3, 5, 25


def framed(key: int, version: int, body: bytes) -> bytes:
    frame = struct.pack(">hhih", key, version, 7, -1) + body
    return struct.pack(">i", len(frame)) + frame


def test_who_sends_many_requests_at_once_does_not_hold_up_the_others(served: Served) -> None:
    many = 400
    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("busy")
    batch = b"".join(encode_batch([b"x"], timestamps=1).placed(0, 0))
    append = struct.pack(">hhiih4siii", -1, 1, 30_000, 1, 4, b"busy", 1, 0, len(batch)) + batch
    with connect(served.address) as busy, connect(served.address) as other:
        for client in (busy, other):
            assert ask(client, 18, 0) is not None
        served.process.send_signal(signal.SIGSTOP)  # so that all of it is there when it looks
        try:
            busy.sendall(framed(PRODUCE, 3, append) * many)
            other.sendall(framed(LIST_OFFSETS, 1, struct.pack(">iih4siiq", -1, 1, 4, b"busy", 1, 0, -1)))
        finally:
            served.process.send_signal(signal.SIGCONT)
        answer = receive(other)
        assert answer is not None
        error, _, offset = struct.unpack_from(">hqq", answer, 4 + 4 + 6 + 4 + 4)
        assert error == 0 and offset < many // 4
        for _ in range(many):
            assert receive(busy) is not None


def end_of(served: Served, topic: str) -> int:
    with open_cluster(served.directory) as cluster:
        return cluster.admin().list_offsets({TopicPartition(topic, 0): OffsetAt.LATEST})[TopicPartition(topic, 0)]


@pytest.mark.parametrize("first", ["nothing", "a poll that waits"])
def test_what_a_client_sent_before_it_closed_is_done(served: Served, first: str) -> None:
    """As a producer does that wants no answers: more than one turn has, and behind a request that waits."""
    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("gone")
    batch = b"".join(encode_batch([b"x"], timestamps=1).placed(0, 0))
    append = struct.pack(">hhiih4siii", -1, 0, 30_000, 1, 4, b"gone", 1, 0, len(batch)) + batch
    poll = struct.pack(">iiii", -1, 60_000, 1, 1 << 20) + struct.pack(">bih4siiqi", 0, 1, 4, b"gone", 1, 0, 0, 1)
    client = connect(served.address)
    assert ask(client, 18, 0) is not None
    served.process.send_signal(signal.SIGSTOP)  # so that all of it is there when it looks
    try:
        client.sendall((framed(FETCH, 4, poll) if first != "nothing" else b"") + framed(PRODUCE, 3, append) * 100)
        client.close()
    finally:
        served.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + PATIENCE
    while end_of(served, "gone") < 100:
        assert time.monotonic() < deadline, end_of(served, "gone")
        time.sleep(0.02)
    assert end_of(served, "gone") == 100


def test_a_client_that_says_no_more_gets_its_answers(served: Served) -> None:
    with connect(served.address) as client:
        client.sendall(framed(18, 0, b"") * 40)
        client.shutdown(socket.SHUT_WR)
        for _ in range(40):
            assert receive(client) is not None
        assert client.recv(1) == b""


def test_a_connection_that_nobody_uses_is_closed_and_one_that_waits_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_IDLE", 0.5)
    directory = tmp_path / "data"
    with open_cluster(directory) as cluster:
        cluster.admin().create_topic("quiet")
    server = serve_data_directory(directory, [Listener("127.0.0.1", 0)])
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        address = "{}:{}".format(*server.address)
        with connect(address) as waiting, connect(address) as unread:
            wait = struct.pack(">iiii", -1, 2000, 1, 1 << 20) + struct.pack(">bih5siiqi", 0, 1, 5, b"quiet", 1, 0, 0, 1)
            waiting.sendall(framed(FETCH, 4, wait))
            with suppress(BlockingIOError, ConnectionError):
                unread.setblocking(False)
                while True:
                    unread.sendall(framed(METADATA, 1, struct.pack(">i", -1)) * 1000)
            is_answered = False
            while not is_answered:  # where this machine stands still meanwhile, it is closed before it has asked
                with connect(address) as idle:
                    is_answered = ask(idle, 18, 0) is not None
                    assert receive(idle) is None
            assert receive(waiting) is not None
            unread.settimeout(PATIENCE)
            with suppress(ConnectionError):
                while unread.recv(1 << 16):
                    pass
    finally:
        server.stop()
        thread.join()


def topics_of(answer: bytes | None) -> dict[str, int]:
    """Name -> error, of an answer of Metadata 4."""
    assert answer is not None
    (brokers,) = struct.unpack_from(">i", answer, 4)
    assert brokers == 1
    at = 8 + 4
    at += 2 + struct.unpack_from(">h", answer, at)[0] + 4 + 2  # host, port, rack
    at += 2 + struct.unpack_from(">h", answer, at)[0] + 4  # cluster, controller
    found = {}
    (count,) = struct.unpack_from(">i", answer, at)
    at += 4
    for _ in range(count):
        error, size = struct.unpack_from(">hh", answer, at)
        name = answer[at + 4 : at + 4 + size].decode()
        at += 4 + size + 1
        (partitions,) = struct.unpack_from(">i", answer, at)
        at += 4
        for _ in range(partitions):
            at += 2 + 4 + 4
            for _ in range(2):  # replicas, those in sync
                at += 4 + 4 * struct.unpack_from(">i", answer, at)[0]
        found[name] = error
    assert at == len(answer)
    return found


def test_of_many_topics_that_are_missing_one_request_makes_some(served: Served) -> None:
    names = [f"topic-{number:02}" for number in range(50)]
    body = struct.pack(">i", len(names)) + b"".join(struct.pack(">h", len(each)) + each.encode() for each in names)
    with connect(served.address) as client:
        made: list[int] = []
        while not made or made[-1] < len(names):
            topics = topics_of(ask(client, METADATA, 4, body + b"\1"))
            assert list(topics) == names
            assert set(topics.values()) <= {0, LEADER_NOT_AVAILABLE}
            made.append(list(topics.values()).count(0))
        assert made == [20, 40, 50]
        assert topics_of(ask(client, METADATA, 4, struct.pack(">ih", 1, 4) + b"more\0")) == {"more": 3}


CREATE_TOPICS, DELETE_TOPICS, API_VERSIONS = 19, 20, 18


@pytest.mark.parametrize("is_gone", [False, True], ids=["who waits", "who is gone"])
def test_many_topics_of_one_request_hold_up_nobody_and_are_all_done(served: Served, is_gone: bool) -> None:
    names = [b"made-%03d" % number for number in range(100)]
    topics = b"".join(struct.pack(">h8sihii", 8, name, 1, 1, 0, 0) for name in names)
    creation = struct.pack(">i", len(names)) + topics + struct.pack(">i?", 60_000, False)
    deletion = struct.pack(">i", len(names)) + b"".join(struct.pack(">h8s", 8, name) for name in names)
    deletion += struct.pack(">i", 60_000)
    ends = [each.decode() for each in (names[0], names[-1])]
    which = struct.pack(">i", 2) + b"".join(struct.pack(">h8s", 8, each.encode()) for each in ends) + b"\0"
    for key, version, body, left, between in (
        (CREATE_TOPICS, 2, creation, len(names), [0, UNKNOWN_TOPIC]),
        (DELETE_TOPICS, 1, deletion, 0, [UNKNOWN_TOPIC, 0]),
    ):
        with connect(served.address) as busy, connect(served.address) as other:
            for client in (busy, other):
                assert ask(client, API_VERSIONS, 0) is not None
            served.process.send_signal(signal.SIGSTOP)  # so that all of it is there when it looks
            try:
                busy.sendall(framed(key, version, body))
                if is_gone:
                    busy.close()
                other.sendall(framed(METADATA, 4, which) * 100)
            finally:
                served.process.send_signal(signal.SIGCONT)
            told = []
            for _ in range(100):
                answer = receive(other)
                assert answer is not None
                told.append([topics_of(answer[4:])[each] for each in ends])
            assert between in told  # so it was answered while the one was done and the other was not
            if not is_gone:
                answer = receive(busy)
                assert answer is not None and answer.count(b"made-") == len(names)
            deadline = time.monotonic() + PATIENCE
            while number_of_topics(served) != left:
                assert is_gone and time.monotonic() < deadline
                time.sleep(0.02)


def number_of_topics(served: Served) -> int:
    with open_cluster(served.directory) as cluster:
        return len(cluster.admin().list_topics())


@pytest.mark.skipif(not Path("/proc").exists(), reason="how much memory it takes is read from /proc")
def test_whoever_calls_itself_a_member_is_not_remembered_for_it(served: Served) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{served.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])

    with connect(served.address) as client:
        grown = 0
        for number in range(2500):
            name = f"{number:030000}".encode()
            answer = ask(client, HEARTBEAT, 0, struct.pack(">h1sih", 1, b"g", 1, len(name)) + name)
            assert answer == struct.pack(">h", UNKNOWN_MEMBER_ID)
            grown = grown or resident()
        assert resident() - grown < 30 << 10
