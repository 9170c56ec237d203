"""Requests that were damaged on the way, or made to do damage: an answer, or a connection that is closed, and no more.

PYKAFKA_FUZZ says how many of each kind; PYKAFKA_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.errors import InvalidRequestError
from pykafka_store.settings.listeners import SASL_PLAINTEXT, Listener, Login
from pykafka_store.wire.gate import Gate, Users
from pykafka_store.wire.protocol import API_VERSIONS, VERSIONS, decode, encode
from tests.support.requests import World, bytes_of
from tests.support.sound_frames import SoundFrames

IN_ONE_WORLD, IN_ONE_GROUP = 5_000, 100
"""Requests that a directory answers before there is a new one, and a group before its members leave."""
ROUNDS = int(os.environ.get("PYKAFKA_FUZZ", "60"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("fuzz") / "data")
    yield made
    made.close()


def _damaged(frame: bytes, chance: random.Random) -> bytes:
    """The frame with some bytes changed, taken out or put in: of its body, and now and then of its client's name."""
    data = bytearray(frame)
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 4])):
        first = 8 if chance.random() < 0.1 else 15
        at = chance.randrange(first, max(first + 1, len(data)))
        match chance.randrange(7):
            case 0 | 1:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 2 | 3:
                data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if at < len(data) else b""
            case 4:
                del data[at : at + chance.randint(1, 8)]
            case 5:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 6:
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
def test_a_damaged_request_is_answered_or_refused(tmp_path: Path, key: int) -> None:
    seed = int(os.environ.get("PYKAFKA_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    frames = SoundFrames(key, chance)
    answered = 0
    before = peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = (0, 0, b"")
    """The KiB by which the process grew most at once, and the round and the frame at which it did."""
    for first in range(0, ROUNDS, IN_ONE_WORLD):
        # In a directory of its own for some time: what they make there would otherwise slow down all that follow.
        directory = tmp_path / str(first)
        world = World(directory)
        frames.renew(world)
        for number in range(first, min(first + IN_ONE_WORLD, ROUNDS)):
            frame = _damaged(frames.one(world), chance)
            try:
                answered += _answered(world, frame)
            except Exception as error:
                raise AssertionError(f"seed {seed}, round {number}: {frame!r}") from error
            last, peak = peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            largest = max(largest, (peak - last, number, frame))
            if number % IN_ONE_GROUP == 0:
                world.members.close()
                frames.join(world)
        world.close()
        shutil.rmtree(directory)
    grown = peak - before
    assert grown < 64 << 10, f"{grown} KiB more, most at once {largest}, seed {seed}"
    print(f"{answered} of {ROUNDS} damaged requests of kind {key} were answered, seed {seed}, {grown} KiB more")
    assert answered > ROUNDS / 20 or ROUNDS < 1000  # or the frames are damaged so that they reach nothing


def _answered(world: World, frame: bytes) -> bool:
    """Whether it decodes, and has an answer, which is then as good as sent."""
    try:
        request = decode(memoryview(frame))
        answer = world.answer(request)
        if answer is not None:
            for piece in encode(request, answer):
                bytes_of(piece)
    except InvalidRequestError:
        return False
    return answer is not None
