"""Requests that were damaged on the way, or made to do damage: an answer, or a connection that is closed, and no more.

PYKAFKA_FUZZ says how many of each kind; PYKAFKA_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import resource
import struct
from collections.abc import Iterator

import pytest

from pykafka_store.errors import InvalidRequestError
from pykafka_store.settings.listeners import SASL_PLAINTEXT, Listener, Login
from pykafka_store.wire.gate import Gate, Users
from pykafka_store.wire.protocol import API_VERSIONS, VERSIONS, decode, encode
from tests.support.requests import World, bytes_of, frame_of

ROUNDS = int(os.environ.get("PYKAFKA_FUZZ", "60"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("fuzz") / "data")
    yield made
    made.close()


def _damaged(frame: bytes, chance: random.Random) -> bytes:
    """The frame with some bytes of its body changed, taken out or put in."""
    data = bytearray(frame)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(8, max(9, len(data)))
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if at < len(data) else b""
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 4:
                data[at : at + 4] = chance.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00"])
    return bytes(data)


MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MESSAGES = (
    b"\0alice\0secret",
    b"n,,n=alice,r=abc",
    b"c=biws,r=abcdef,p=AAAA",
    b"n,a=alice,n=alice,r=abc,tokenauth=true",
)


def _at_the_gate(chance: random.Random) -> bytes:
    """Something of a log-in, whole or damaged; never with the right password."""
    kind = chance.randrange(4)
    text = chance.choice(MECHANISMS).encode()
    message = chance.choice(MESSAGES)
    frame = [
        struct.pack(">hhih", 18, chance.randrange(4), 1, -1) + chance.choice([b"", b"\x00\x02a\x02b\x00"]),
        struct.pack(">hhihh", 17, chance.randrange(2), 1, -1, len(text)) + text,
        struct.pack(">hhihi", 36, chance.randrange(2), 1, -1, len(message)) + message,
        message,
    ][kind]
    return frame if chance.random() < 0.5 else _damaged(frame + bytes(8), chance)


def test_nobody_gets_through_the_gate_by_chance(world: World) -> None:
    seed = int(os.environ.get("PYKAFKA_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    listener = Listener("127.0.0.1", 0, SASL_PLAINTEXT, login=Login(passwords={"alice": chance.randbytes(9).hex()}))
    users = Users(listener, lambda user: {})
    for number in range(ROUNDS * 10):
        gate = Gate(users, world.handlers[API_VERSIONS], lambda: 0.0)  # type: ignore[arg-type]
        frame = b""
        try:
            for _ in range(6):
                frame = _at_the_gate(chance)
                if gate.take(memoryview(frame)).problem is not None:
                    break
        except InvalidRequestError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}: {frame!r}") from error
        assert not gate.is_open, (seed, number)


@pytest.mark.parametrize("key", VERSIONS)
def test_a_damaged_request_is_answered_or_refused(world: World, key: int) -> None:
    seed = int(os.environ.get("PYKAFKA_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    low, high = VERSIONS[key]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(ROUNDS):
        version = chance.randint(low, high)
        frame = _damaged(frame_of(world, key, version, chance.choice(["there", "missing", "nothing"])), chance)
        try:
            request = decode(memoryview(frame))
        except InvalidRequestError:
            continue
        try:
            answer = world.answer(request)
            if answer is not None:
                for piece in encode(request, answer):
                    bytes_of(piece)
        except InvalidRequestError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}: {frame!r}") from error
        if number % 20 == 0:
            world.members.close()
    world.members.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10, f"{grown} KiB more, seed {seed}"
