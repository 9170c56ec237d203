"""Log-ins that are made again on an open connection (KIP-368), by a clock of the test's own."""

from __future__ import annotations

import struct
from types import MappingProxyType

import pytest

from pykafka_store.settings.listeners import SASL_PLAINTEXT, Listener, Login
from pykafka_store.wire.gate import Gate, Users
from pykafka_store.wire.protocol import Reply
from tests.support.frames import plain

LIFETIME = 60_000
FAILED = 58
FETCH = struct.pack(">hhih", 1, 4, 7, -1)


class Connection:
    """A client's, by PLAIN as alice, whose session ends."""

    def __init__(self, lifetimes: dict[str, int]) -> None:
        self.now = 1000.0
        login = Login(passwords=MappingProxyType({"alice": "secret", "bob": "builder"}), lifetimes=lifetimes)
        users = Users(Listener("", 0, SASL_PLAINTEXT, login=login), lambda _user: {})
        self.gate = Gate(users, lambda _request: Reply(), lambda: self.now)

    def handshake(self, mechanism: str = "PLAIN", version: int = 1) -> int:
        body = struct.pack(">hhihh", 17, version, 7, -1, len(mechanism)) + mechanism.encode()
        if not self.gate.takes(memoryview(body)):
            raise AssertionError("the gate does not take it")
        answer = b"".join(each for each in self.gate.take(memoryview(body)).pieces if isinstance(each, bytes))
        return int(struct.unpack_from(">h", answer, 8)[0])

    def authenticate(self, message: bytes = plain("alice", "secret")) -> tuple[int, str, int]:
        """Error, its text, and for how long (in ms) the session is."""
        frame = memoryview(struct.pack(">hhihi", 36, 1, 7, -1, len(message)) + message)
        assert self.gate.takes(frame)
        answer = b"".join(each for each in self.gate.take(frame).pieces if isinstance(each, bytes))
        error, size = struct.unpack_from(">hh", answer, 8)
        text = answer[12 : 12 + max(0, size)]
        (lifetime,) = struct.unpack(">q", answer[-8:])
        return error, text.decode(), lifetime


@pytest.fixture
def connection() -> Connection:
    made = Connection({"PLAIN": LIFETIME})
    assert made.handshake() == 0
    assert made.authenticate() == (0, "", LIFETIME)
    return made


def test_a_session_ends_and_another_log_in_is_a_session_more(connection: Connection) -> None:
    connection.now += LIFETIME / 1000
    assert not connection.gate.is_over
    assert not connection.gate.takes(memoryview(FETCH))
    connection.now += 1
    assert connection.gate.is_over
    assert connection.handshake() == 0
    assert connection.authenticate() == (0, "", LIFETIME)
    assert not connection.gate.is_over
    assert not connection.gate.takes(memoryview(FETCH))
    connection.now += LIFETIME / 1000 + 1
    assert connection.gate.is_over


def test_where_sessions_do_not_end_a_client_may_log_in_again_too() -> None:
    connection = Connection({"SCRAM-SHA-256": LIFETIME})
    for _ in range(3):
        assert connection.handshake() == 0
        assert connection.authenticate() == (0, "", 0)
        connection.now += 1e6
        assert not connection.gate.is_over


def test_a_client_that_is_older_than_that_has_a_session_as_well() -> None:
    connection = Connection({"PLAIN": LIFETIME})
    assert connection.handshake(version=0) == 0
    connection.gate.take(memoryview(plain("alice", "secret")))
    assert connection.gate.is_open
    connection.now += LIFETIME / 1000 + 1
    assert connection.gate.is_over
    assert connection.handshake() == 0
    assert connection.authenticate() == (0, "", LIFETIME)


def test_who_logs_in_again_is_the_same_user_by_the_same_mechanism(connection: Connection) -> None:
    assert connection.handshake() == 0
    error, text, lifetime = connection.authenticate(plain("bob", "builder"))
    assert (error, lifetime) == (FAILED, 0)
    assert text == "Cannot change principals during re-authentication from User.alice: User.bob"
    assert not connection.gate.is_open


def test_another_mechanism_is_none_to_log_in_again_by(connection: Connection) -> None:
    assert connection.handshake("SCRAM-SHA-256") == 0
    error, text, _ = connection.authenticate(b"n,,n=alice,r=abc")
    assert error == FAILED and "'SCRAM-SHA-256' requested by client is not supported for re-authentication" in text
    assert not connection.gate.is_open


def test_a_log_in_that_fails_leaves_nobody_in(connection: Connection) -> None:
    assert connection.handshake() == 0
    assert connection.authenticate(plain("alice", "guess"))[0] == FAILED
    assert not connection.gate.is_open


def test_between_two_log_ins_is_a_second(connection: Connection) -> None:
    assert connection.handshake() == 0
    assert connection.authenticate()[0] == 0
    connection.now += 0.9
    with pytest.raises(AssertionError, match="does not take it"):
        connection.handshake()
    connection.now += 0.2
    assert connection.handshake() == 0
