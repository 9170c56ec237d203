"""Requests of every kind and version, made from kio's description of them, and what answers them in this process."""

from __future__ import annotations

import dataclasses
import datetime
import io
import types
import typing
import uuid
from pathlib import Path
from typing import Any

from kio.index import load_request_schema
from kio.serial import entity_writer

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.format.batch import encode_batch
from pykafka_store.model import topic_id_bytes
from pykafka_store.wire.broker import Broker
from pykafka_store.wire.dispatch import Handlers, handlers_of
from pykafka_store.wire.members import Members
from pykafka_store.wire.protocol import JOIN_GROUP, VERSIONS, Reply, Request, decode

EACH = [(key, version) for key, (low, high) in VERSIONS.items() for version in range(low, high + 1)]
"""(API key, version) of all requests that are served."""

MEMBER_ID_REQUIRED = 79


class World:
    """A directory with a topic, and what answers requests for it."""

    def __init__(self, directory: Path) -> None:
        self.cluster = EmbeddedCluster(str(directory))
        topic = self.cluster.admin().create_topic("there", partitions=2)
        self.topic_id = uuid.UUID(bytes=topic_id_bytes(topic.topic_id))
        with self.cluster.producer() as producer:
            producer.send("there", [b"one", b"two"], partitions=0)
        self.told: list[str] = []
        broker = Broker(self.cluster, ("127.0.0.1", 9092), self.told.append)
        self.members = Members(broker)
        self.partitions = broker.partitions
        self.handlers: Handlers = handlers_of(broker, self.members)
        self._long_work = broker.long_work

    def answer(self, request: Request) -> Reply | None:
        """What a request is answered, when its time is over where it waits; None where nothing is."""
        answer = self.handlers[request.key](request)
        while self._long_work:
            self._long_work.go_on()
        if answer is None or isinstance(answer, Reply):
            return answer
        reply = answer.attempt(late=True)
        answer.abandon()
        return reply

    def ask(self, key: int, version: int, **fields: Any) -> Reply:
        """What a request of these fields is answered; there has to be an answer."""
        answer = self.answer(asked(key, version, **fields))
        assert answer is not None
        return answer

    def join(self, version: int, **fields: Any) -> Reply:
        """What who joins a group is answered in the end: of version 4 on it is told its id first (KIP-394)."""
        told = self.ask(JOIN_GROUP, version, **fields)
        if told.error_code != MEMBER_ID_REQUIRED:
            return told
        return self.ask(JOIN_GROUP, version, **(fields | {"member_id": told.member_id}))

    def close(self) -> None:
        self.members.close()
        self.partitions.close()
        self.cluster.close()


def sound_batch() -> bytes:
    """One record, as a producer sends it."""
    return b"".join(encode_batch([b"x"], timestamps=1).placed(0, 0))


def value_of(world: World, name: str, kind: Any, how: str) -> Any:
    options = [each for each in typing.get_args(kind) if each is not type(None)]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        if type(None) in typing.get_args(kind) and how == "nothing":
            return None
        kind = options[0]
    if typing.get_origin(kind) is tuple:
        return () if how == "nothing" else (value_of(world, name, typing.get_args(kind)[0], how),)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        return kind(**{each.name: value_of(world, each.name, hints[each.name], how) for each in fields})  # type: ignore[operator]
    if kind is uuid.UUID:
        return world.topic_id if how == "there" else uuid.UUID(int=7)
    if isinstance(kind, type) and issubclass(kind, bool):
        return False
    if isinstance(kind, type) and issubclass(kind, datetime.timedelta):
        return datetime.timedelta(milliseconds=10000 if "session" in name else 0)
    if isinstance(kind, type) and issubclass(kind, bytes):
        return sound_batch() if name == "records" else b"\x00\x00" + bytes(8)
    if kind is str or (isinstance(kind, type) and issubclass(kind, str)):
        return {"protocol_type": "consumer", "group_id": "group"}.get(name, how)
    numbers = {"generation_id": 1, "member_epoch": 0, "acks": 1, "resource_type": 2, "max_bytes": 1000, "count": 3}
    return numbers.get(name, 100 if "limit" in name or "max_bytes" in name else 0)


def made(kind: Any, given: Any) -> Any:
    """A value of kio's type ``kind``: what is ``given``, structures as mappings, and the least for what is not."""
    options = [each for each in typing.get_args(kind) if each is not type(None)]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        if given is None:
            return None
        kind = options[0]
    if typing.get_origin(kind) is tuple:
        return tuple(made(typing.get_args(kind)[0], each) for each in given or ())
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {each.name: each for each in dataclasses.fields(kind)}
        given = given or {}
        return kind(**{  # type: ignore[operator]
            name: made(hints[name], given.get(name))
            for name, field in known.items()
            if name in given or field.default is dataclasses.MISSING
        })  # fmt: skip
    if isinstance(kind, type) and issubclass(kind, datetime.timedelta):
        return datetime.timedelta(milliseconds=given or 0)
    if kind is uuid.UUID:
        return given or uuid.UUID(int=0)
    if isinstance(kind, type) and issubclass(kind, int):
        return kind(given or 0)
    return kind() if given is None else kind(given)


def asked(key: int, version: int, **fields: Any) -> Request:
    """A request as the server reads it: with these fields, of those that its version has. Durations are in ms."""
    return decode(memoryview(bytes_of_request(key, version, made(load_request_schema(key, version), fields))))


def frame_of(world: World, key: int, version: int, how: str) -> bytes:
    """A request without its length: with ``nothing`` in it, or one of each thing that is ``there``, or ``missing``."""
    return bytes_of_request(key, version, value_of(world, "", load_request_schema(key, version), how))


def bytes_of_request(key: int, version: int, body: Any) -> bytes:
    """A request without its length, of a body by kio's description."""
    schema = load_request_schema(key, version)
    header = schema.__header_schema__
    frame = io.BytesIO()
    fields = {"request_api_key": key, "request_api_version": version, "correlation_id": 5, "client_id": "test"}
    known = {each.name for each in dataclasses.fields(header)}
    entity_writer(header)(frame, header(**{name: value for name, value in fields.items() if name in known}))
    entity_writer(schema)(frame, body)
    return frame.getvalue()


def bytes_of(piece: Any) -> bytes:
    """What a piece of an answer would send."""
    if isinstance(piece, bytes):
        return piece
    data: bytes = piece.read()
    piece.close()
    return data
