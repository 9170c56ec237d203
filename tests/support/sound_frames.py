"""Sound requests of one kind, to be damaged: of all its versions, with what is there and what is not."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import random
import types
import typing
import uuid
from typing import Any

from kio.index import load_request_schema

from pykafka_store.wire.protocol import VERSIONS, pack_subscription
from tests.support.requests import World, bytes_of_request, frame_of, sound_batch

KEPT = 150
"""Frames that are made at a time. Making one takes ten times as long as damaging and answering it."""
USED = 10
"""How often each of them is damaged, on the average, before others are made."""

_hints = functools.cache(typing.get_type_hints)

_TEXTS: dict[str, tuple[str, ...]] = {
    "group_id": ("group", "group", "group", "other", ""),
    "protocol_type": ("consumer", "consumer", "connect"),
    "protocol_name": ("range", "mine"),
    "mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "key": ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "wrong"),
    "entity_type": ("user", "client-id", "ip", "wrong"),
    "principal": ("User:alice", "User:*", "alice"),
    "value": ("1", "604800000", "delete", "compact", "zstd", "", "-1"),
    "feature": ("metadata.version", "kraft.version", "group.version"),
    "server_assignor": ("range", "uniform"),
    "subscribed_topic_regex": ("", "the.*", "("),
    "states_filter": ("Stable", "Empty", "wrong"),
    "types_filter": ("consumer", "classic", "wrong"),
}
_NAMES = ("there", "there", "there", "missing", "new", "0", "1", "", "group", "retention.ms", "cleanup.policy", "range")
_NUMBERS = (0, 0, 0, 0, 1, 1, 2, 3, 4, 5, -1, -1, -2, 100)


_MEMBER = "test-" + "m" * 36
_GENERATION = 0x5EED5EED
"""What stands in the frames for the member that is in the group just now."""


class SoundFrames:
    """What ``one`` gives, over and over."""

    def __init__(self, key: int, chance: random.Random) -> None:
        self._key = key
        self._chance = chance
        self._frames: list[bytes] = []
        self._left = 0
        self._member, self._generation = b"", b""

    def renew(self, world: World) -> None:
        """What they named is not there any more."""
        self._frames = [self._made(world) for _ in range(KEPT)]
        self._left = KEPT * USED
        self.join(world)

    def join(self, world: World) -> None:
        """Have a member in the group, which some of them name."""
        reply = world.join(
            9,
            group_id="group", session_timeout=10000, rebalance_timeout=10000, protocol_type="consumer",
            protocols=[{"name": "range", "metadata": pack_subscription(["there"])}],
        )  # fmt: skip
        self._member, self._generation = reply.member_id.encode(), reply.generation_id.to_bytes(4, "big", signed=True)

    def one(self, world: World) -> bytes:
        """A request without its length."""
        if not self._left:
            self.renew(world)
        self._left -= 1
        frame = self._chance.choice(self._frames)
        return frame.replace(_MEMBER.encode(), self._member).replace(_GENERATION.to_bytes(4, "big"), self._generation)

    def _made(self, world: World) -> bytes:
        version = self._chance.randint(*VERSIONS[self._key])
        how = self._chance.choice(["there", "missing", "nothing", "any", "any", "any"])
        if how != "any":
            return frame_of(world, self._key, version, how)
        schema = load_request_schema(self._key, version)
        return bytes_of_request(self._key, version, self._any(world, "", schema))

    def _any(self, world: World, name: str, kind: Any) -> Any:
        """A value of kio's type ``kind`` that a handler may get far with."""
        chance = self._chance
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            options = [each for each in typing.get_args(kind) if each is not type(None)]
            if type(None) in typing.get_args(kind) and chance.random() < 0.3:
                return None
            kind = options[0]
        if typing.get_origin(kind) is tuple:
            return tuple(
                self._any(world, name, typing.get_args(kind)[0]) for _ in range(chance.choice([0, 1, 1, 1, 2]))
            )
        if dataclasses.is_dataclass(kind):
            hints = _hints(kind)
            fields = dataclasses.fields(kind)
            return kind(**{each.name: self._any(world, each.name, hints[each.name]) for each in fields})  # type: ignore[operator]
        if kind is uuid.UUID:
            return chance.choice([world.topic_id, world.topic_id, uuid.UUID(int=7), None])
        return self._simple(world, name, kind)

    def _simple(self, world: World, name: str, kind: type) -> Any:
        chance = self._chance
        if issubclass(kind, bool):
            return chance.random() < 0.3
        if issubclass(kind, datetime.timedelta):
            return datetime.timedelta(milliseconds=chance.choice([0, 1, 10000, 10000, 60000, -1]))
        if issubclass(kind, bytes):
            return chance.choice([sound_batch(), pack_subscription(["there"]), b"", bytes(10)])
        if issubclass(kind, str):
            if name == "member_id":
                return chance.choice([_MEMBER, _MEMBER, "there", ""])
            return chance.choice(_TEXTS.get(name, _NAMES))
        if issubclass(kind, float):
            return chance.choice([0.0, 1.0, 1024.0, -1.0])
        if name.startswith("generation_id") or name == "member_epoch":
            return chance.choice([_GENERATION, _GENERATION, 0, -1, -2])
        return chance.choice(_NUMBERS)
