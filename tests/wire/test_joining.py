"""Who joins a group of consumers of the classic protocol: all of them are in the new generation, or none is yet."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.open import open_cluster, open_data_directory
from pykafka_store.settings.static_configs import static_settings
from pykafka_store.wire.protocol import pack_assignment
from tests.support.frames import ask, connect, receive, send
from tests.support.ready import has_come
from tests.support.served import PATIENCE, Served

JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 11, 12, 13, 14
INVALID_SESSION_TIMEOUT, REBALANCE_IN_PROGRESS = 26, 27


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


class Consumer:
    """A consumer with one connection, which speaks of the group ``tellers`` and the topic ``told``."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.client: socket.socket = connect(address)
        self.generation, self.member, self.leads = -1, "", False

    def begin_to_join(self, session: int = 30_000) -> None:
        subscription = struct.pack(">hi", 0, 1) + text("told") + struct.pack(">i", 0)
        body = text("tellers") + struct.pack(">ii", session, 30_000) + text(self.member) + text("consumer")
        body += struct.pack(">i", 1) + text("range") + struct.pack(">i", len(subscription)) + subscription
        send(self.client, struct.pack(">hhi", JOIN_GROUP, 1, 7) + text(self.name) + body)

    def is_answered(self, within: float = 0.0) -> bool:
        """``within`` so many seconds."""
        return has_come(self.client, within)

    def end_joining(self, error: int = 0) -> None:
        answer = receive(self.client)
        assert answer is not None
        told, self.generation = struct.unpack_from(">hi", answer, 4)
        assert told == error
        at = 10
        names = []
        for _ in range(3):  # protocol, leader, member
            (size,) = struct.unpack_from(">h", answer, at)
            names.append(answer[at + 2 : at + 2 + size].decode())
            at += 2 + size
        self.member = names[2]
        (members,) = struct.unpack_from(">i", answer, at)
        assert error or (members > 0) == (self.member == names[1])
        self.leads = members > 0

    def sync(self) -> bytes:
        """Its assignment: who leads takes all."""
        body = text("tellers") + struct.pack(">i", self.generation) + text(self.member)
        share = pack_assignment([("told", 0)])
        mine = struct.pack(">i", 1) + text(self.member) + struct.pack(">i", len(share)) + share
        body += mine if self.leads else struct.pack(">i", 0)
        answer = ask(self.client, SYNC_GROUP, 0, body)
        assert answer is not None and struct.unpack_from(">h", answer) == (0,)
        return answer[6:]

    def heartbeat(self) -> int:
        body = text("tellers") + struct.pack(">i", self.generation) + text(self.member)
        answer = ask(self.client, HEARTBEAT, 0, body)
        assert answer is not None
        return int(struct.unpack_from(">h", answer)[0])

    def wait_for_rebalance(self) -> None:
        while (error := self.heartbeat()) != REBALANCE_IN_PROGRESS:
            assert error == 0


@pytest.fixture
def consumers(served: Served) -> Iterator[tuple[Consumer, Consumer]]:
    """Two, of whom the first has the topic's one partition, and nobody else is in the group."""
    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("told")
    first, second = Consumer(served.address, "a"), Consumer(served.address, "b")
    with first.client, second.client:
        first.begin_to_join()
        first.end_joining()
        assert b"told" in first.sync()
        yield first, second


def test_who_joins_waits_for_the_others_though_nothing_is_for_it(consumers: tuple[Consumer, Consumer]) -> None:
    first, second = consumers
    second.begin_to_join()
    first.wait_for_rebalance()  # so the join was taken, and attempted
    assert not second.is_answered()
    first.begin_to_join()
    first.end_joining()
    second.end_joining()
    assert first.generation == second.generation
    assert (b"told" in first.sync(), b"told" in second.sync()) == (True, False)
    assert (first.heartbeat(), second.heartbeat()) == (0, 0)


def test_who_joins_does_not_wait_for_one_that_leaves(consumers: tuple[Consumer, Consumer]) -> None:
    first, second = consumers
    second.begin_to_join()
    first.wait_for_rebalance()
    assert not second.is_answered()
    answer = ask(first.client, LEAVE_GROUP, 0, text("tellers") + text(first.member))
    assert answer == b"\x00\x00"
    assert second.is_answered(PATIENCE)
    second.end_joining()
    assert b"told" in second.sync()


@pytest.mark.parametrize(
    ("properties", "refused", "taken"),
    [
        ({}, (0, 5999, 1_800_001, -1), (6000, 1_800_000)),
        ({"group.min.session.timeout.ms": "100", "group.max.session.timeout.ms": "7000"}, (99, 7001), (100, 7000)),
    ],
)
def test_a_session_is_as_long_as_a_broker_takes(
    tmp_path: Path, properties: dict[str, str], refused: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    with open_cluster(tmp_path / "data"):
        pass
    with open_data_directory(tmp_path / "data") as directory:
        directory.set_server_settings(0, static_settings(properties))
    with Served(tmp_path / "data") as server:
        for session in (*refused, *taken):
            consumer = Consumer(server.address, "a")
            with consumer.client:
                consumer.begin_to_join(session)
                consumer.end_joining(0 if session in taken else INVALID_SESSION_TIMEOUT)
                if session in taken:
                    assert ask(consumer.client, LEAVE_GROUP, 0, text("tellers") + text(consumer.member)) == b"\0\0"
