"""Requests from bytes, and answers to bytes.

A request is read by the description of its version (protocol/reading.py), and an answer written by it (writing.py).
That is a tree of :class:`Reply`, the same for all versions: of its fields those are written that a version has, and no
others are asked for. So whoever handles a request names every field once, whatever version the client speaks.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

from pykafka_store.errors import InvalidRequestError
from pykafka_store.protocol.reading import Cursor, Unreadable
from pykafka_store.protocol.schemas import data_reader, data_writer, request_readers, response_writer
from pykafka_store.protocol.writing import Piece, Pieces

HEADER = struct.Struct(">hhi")
"""What every request begins with: API key, version, correlation id."""
SIZE = struct.Struct(">i")
"""What stands before it: its length in bytes."""

PRODUCE, FETCH, LIST_OFFSETS, METADATA = range(4)
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = range(8, 15)
DESCRIBE_GROUPS, LIST_GROUPS, SASL_HANDSHAKE = 15, 16, 17
API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID, OFFSET_FOR_LEADER_EPOCH = range(18, 24)
DESCRIBE_ACLS, CREATE_ACLS, DELETE_ACLS, DESCRIBE_CONFIGS, ALTER_CONFIGS = 29, 30, 31, 32, 33
ALTER_REPLICA_LOG_DIRS = 34
CREATE_DELEGATION_TOKEN, RENEW_DELEGATION_TOKEN, EXPIRE_DELEGATION_TOKEN, DESCRIBE_DELEGATION_TOKEN = range(38, 42)
DESCRIBE_LOG_DIRS, SASL_AUTHENTICATE, CREATE_PARTITIONS = 35, 36, 37
DELETE_GROUPS, ELECT_LEADERS, INCREMENTAL_ALTER_CONFIGS = 42, 43, 44
ALTER_PARTITION_REASSIGNMENTS, LIST_PARTITION_REASSIGNMENTS, OFFSET_DELETE = 45, 46, 47
DESCRIBE_QUORUM, UPDATE_FEATURES, DESCRIBE_CLUSTER, DESCRIBE_PRODUCERS, UNREGISTER_BROKER = 55, 57, 60, 61, 64
DESCRIBE_CLIENT_QUOTAS, ALTER_CLIENT_QUOTAS, DESCRIBE_USER_SCRAM, ALTER_USER_SCRAM = range(48, 52)
DESCRIBE_TRANSACTIONS, LIST_TRANSACTIONS = 65, 66
CONSUMER_GROUP_HEARTBEAT, CONSUMER_GROUP_DESCRIBE = 68, 69
LIST_CONFIG_RESOURCES, DESCRIBE_TOPIC_PARTITIONS = 74, 75

VERSIONS: dict[int, tuple[int, int]] = {
    PRODUCE: (3, 13),
    FETCH: (4, 18),
    LIST_OFFSETS: (1, 11),
    METADATA: (0, 13),
    OFFSET_COMMIT: (2, 10),
    OFFSET_FETCH: (1, 10),
    FIND_COORDINATOR: (0, 6),
    JOIN_GROUP: (0, 9),
    HEARTBEAT: (0, 4),
    LEAVE_GROUP: (0, 5),
    SYNC_GROUP: (0, 5),
    DESCRIBE_GROUPS: (0, 6),
    LIST_GROUPS: (0, 5),
    SASL_HANDSHAKE: (0, 1),
    API_VERSIONS: (0, 4),
    CREATE_TOPICS: (2, 7),
    DELETE_TOPICS: (1, 6),
    DELETE_RECORDS: (0, 2),
    INIT_PRODUCER_ID: (0, 5),
    OFFSET_FOR_LEADER_EPOCH: (2, 4),
    DESCRIBE_ACLS: (1, 3),
    CREATE_ACLS: (1, 3),
    DELETE_ACLS: (1, 3),
    DESCRIBE_CONFIGS: (1, 4),
    ALTER_CONFIGS: (0, 2),
    ALTER_REPLICA_LOG_DIRS: (1, 2),
    DESCRIBE_LOG_DIRS: (1, 5),
    SASL_AUTHENTICATE: (0, 2),
    CREATE_PARTITIONS: (0, 3),
    CREATE_DELEGATION_TOKEN: (1, 3),
    RENEW_DELEGATION_TOKEN: (1, 2),
    EXPIRE_DELEGATION_TOKEN: (1, 2),
    DESCRIBE_DELEGATION_TOKEN: (1, 3),
    DELETE_GROUPS: (0, 2),
    ELECT_LEADERS: (0, 2),
    INCREMENTAL_ALTER_CONFIGS: (0, 1),
    ALTER_PARTITION_REASSIGNMENTS: (0, 1),
    LIST_PARTITION_REASSIGNMENTS: (0, 0),
    OFFSET_DELETE: (0, 0),
    DESCRIBE_CLIENT_QUOTAS: (0, 1),
    ALTER_CLIENT_QUOTAS: (0, 1),
    DESCRIBE_USER_SCRAM: (0, 0),
    ALTER_USER_SCRAM: (0, 0),
    DESCRIBE_QUORUM: (0, 2),
    UPDATE_FEATURES: (0, 2),
    DESCRIBE_CLUSTER: (0, 2),
    DESCRIBE_PRODUCERS: (0, 0),
    UNREGISTER_BROKER: (0, 0),
    DESCRIBE_TRANSACTIONS: (0, 0),
    LIST_TRANSACTIONS: (0, 2),
    CONSUMER_GROUP_HEARTBEAT: (0, 1),
    CONSUMER_GROUP_DESCRIBE: (0, 1),
    LIST_CONFIG_RESOURCES: (0, 1),
    DESCRIBE_TOPIC_PARTITIONS: (0, 0),
}
"""API key -> the least and the greatest version: those that a broker of Kafka 4.3 has and calls stable."""


class Request(NamedTuple):
    """A request as it came."""

    key: int
    version: int
    correlation_id: int
    client_id: str
    body: Any
    """The fields of that version, by kio's names; what a version lacks is asked for by ``getattr`` with a default."""
    advertised: tuple[str, int] | None = None
    """The address of the listener that it came by."""
    software: str = ""
    """What its client is, by its ApiVersions; empty where that did not say so (KIP-511)."""

    @property
    def said(self) -> str:
        """For messages."""
        return f"request {self.key} of version {self.version} from {self.client_id or 'a client'}"


class Reply(SimpleNamespace):
    """An answer, or a part of one: fields by kio's names. Times are in ms, ``error_code`` is a number. What all replies
    may leave out is no error, no message and no throttling.
    """

    error_code = 0
    error_message = None
    throttle_time = 0


def seconds(value: datetime.timedelta | None) -> float:
    """A duration of a request, in seconds."""
    return value.total_seconds() if value is not None else 0.0


class Subscription(NamedTuple):
    """What a consumer of the classic protocol says of itself."""

    topics: tuple[str, ...]
    owned: tuple[tuple[str, int], ...]
    """(topic, partition) that it holds while it joins."""


_NEWEST_SUBSCRIPTION, _NEWEST_ASSIGNMENT = 3, 3


def parse_subscription(data: bytes) -> Subscription | None:
    """The metadata of a protocol of type ``consumer``; None for bytes that don't name topics. What all versions begin
    with is enough, as for a broker: segmentio's kafka-go says version 1 and ends where version 0 does. Source:
    ClassicGroup.computeSubscribedTopics.
    """
    for newest in (_NEWEST_SUBSCRIPTION, 0):
        with suppress(ValueError):
            found = _parsed("consumer_protocol_subscription", data, newest)
            owned = getattr(found, "owned_partitions", ())
            holding = tuple((each.topic, number) for each in owned for number in each.partitions)
            return Subscription(tuple(found.topics), holding)
    return None


def parse_assignment(data: bytes) -> list[tuple[str, int]] | None:
    """(topic, partition) of a consumer's assignment; None for bytes that are none."""
    try:
        found = _parsed("consumer_protocol_assignment", data, _NEWEST_ASSIGNMENT)
    except ValueError:  # other protocols say other things here
        return None
    return [(each.topic, number) for each in found.assigned_partitions for number in each.partitions]


def _parsed(name: str, data: bytes, newest: int) -> Any:
    """What consumers say to each other, in the version that it begins with. Raises ValueError."""
    version = int.from_bytes(data[:2], "big", signed=True)
    if len(data) < 2 or version < 0:
        raise Unreadable(f"{len(data)} bytes have no version")
    return data_reader(name, min(version, newest))(Cursor(memoryview(data), 2))


def pack_subscription(topics: Iterable[str]) -> bytes:
    """What a consumer says of itself, in version 0, which all clients read."""
    pieces = Pieces()
    data_writer("consumer_protocol_subscription", 0)(pieces, Reply(topics=list(topics), user_data=None))
    return b"\x00\x00" + b"".join(each for each in pieces.all() if isinstance(each, bytes))


def pack_assignment(partitions: Iterable[tuple[str, int]]) -> bytes:
    """A consumer's assignment, in version 0, which all clients read."""
    by_topic: dict[str, list[int]] = {}
    for topic, number in partitions:
        by_topic.setdefault(topic, []).append(number)
    pieces = Pieces()
    topics = [Reply(topic=topic, partitions=numbers) for topic, numbers in by_topic.items()]
    data_writer("consumer_protocol_assignment", 0)(pieces, Reply(assigned_partitions=topics, user_data=None))
    return b"\x00\x00" + b"".join(each for each in pieces.all() if isinstance(each, bytes))


def software_of(request: Request) -> str:
    """What an ApiVersions says that its client is; empty where it says nothing (KIP-511)."""
    return str(getattr(request.body, "client_software_name", ""))


def decode(frame: memoryview, advertised: tuple[str, int] | None = None, software: str = "") -> Request:
    """A request, from its bytes without their length. Its key and version are among ``VERSIONS``.

    Raises InvalidRequestError for bytes that are none.
    """
    key, version, correlation_id = HEADER.unpack_from(frame)
    read_header, read_body = request_readers(key, version)
    cursor = Cursor(frame)
    try:
        header = read_header(cursor)
        body = read_body(cursor)
    except (ValueError, OverflowError) as error:  # OverflowError: a duration that no calendar has
        raise InvalidRequestError(f"a request {key} of version {version} does not decode: {error}") from error
    return Request(key, version, correlation_id, header.client_id or "", body, advertised, software)


def encode(request: Request, reply: Reply) -> list[bytes | Piece]:
    """The answer's pieces, in order, with its length in front."""
    return encode_as(request.key, request.version, request.correlation_id, reply)


def encode_as(key: int, version: int, correlation_id: int, reply: Reply) -> list[bytes | Piece]:
    """See ``encode``."""
    flexible, write = response_writer(key, version)
    pieces = Pieces()
    write(pieces, reply)
    head = SIZE.pack(correlation_id) + (b"\x00" if flexible else b"")
    return [SIZE.pack(len(head) + pieces.size) + head, *pieces.all()]
