"""Records of the topics in which coordinators keep what they know: ``__consumer_offsets`` and ``__transaction_state``.

Source: OffsetCommitKey.json, OffsetCommitValue.json, GroupMetadataKey.json, GroupMetadataValue.json,
TransactionLogKey.json and TransactionLogValue.json of Kafka 4.3, ConsumerProtocolSubscription.json and
ConsumerProtocolAssignment.json.

>>> key, value = offset_commit_key("g", "t", 7), offset_commit_value(42, 3, "", 1700000000000, "")
>>> parse_key(key)
(1, {'group': 'g', 'topic': 't', 'partition': 7})
>>> parse_value(1, value)
(4, {'offset': 42, 'leaderEpoch': 3, 'metadata': '', 'commitTimestamp': 1700000000000})
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.varint import encode_unsigned_varint

TRANSACTION_LOG, OFFSET_COMMIT, GROUP_METADATA = 0, 1, 2
"""Types of keys, each in the topic of its coordinator. Others there are, and are nobody's here."""

_NO_TOPIC_ID = bytes(16)
_SHORT, _INT, _LONG = Struct(">h"), Struct(">i"), Struct(">q")
_COMMIT = Struct(">hqi")


# ------------------------------------------------------------------------------------------------------------ packing


class Member(NamedTuple):
    """A member of a classic group, as its coordinator notes it."""

    id: str
    instance_id: str | None
    client_id: str
    host: str
    session_timeout_ms: int
    topics: Sequence[str]
    assigned: Mapping[str, Sequence[int]]


def offset_commit_key(group: str, topic: str, partition: int) -> bytes:
    return _SHORT.pack(OFFSET_COMMIT) + _string(group) + _string(topic) + _INT.pack(partition)


def offset_commit_value(offset: int, leader_epoch: int, metadata: str, committed_ms: int, topic_id: str) -> bytes:
    """Version 4. ``topic_id`` in Kafka's spelling, empty for none."""
    text = metadata.encode("utf-8", "surrogateescape")
    tags = b"\x00"
    if topic_id:
        raw = base64.urlsafe_b64decode(topic_id + "==")
        tags = b"\x01\x00\x10" + raw
    return (
        _COMMIT.pack(4, offset, leader_epoch)
        + encode_unsigned_varint(len(text) + 1)
        + text
        + _LONG.pack(committed_ms)
        + tags
    )


def group_metadata_key(group: str) -> bytes:
    return _SHORT.pack(GROUP_METADATA) + _string(group)


def group_metadata_value(generation: int, protocol: str | None, members: Sequence[Member], now_ms: int) -> bytes:
    """Version 3; the first member is the leader."""
    packed = [
        _SHORT.pack(3), _string("consumer"), _INT.pack(generation), _string(protocol),
        _string(members[0].id if members else None), _LONG.pack(now_ms), _INT.pack(len(members)),
    ]  # fmt: skip
    for member in members:
        packed += [
            _string(member.id), _string(member.instance_id), _string(member.client_id), _string(member.host),
            _INT.pack(300_000), _INT.pack(member.session_timeout_ms),
            _bytes(_subscription(member.topics)), _bytes(_assignment(member.assigned)),
        ]  # fmt: skip
    return b"".join(packed)


def _subscription(topics: Sequence[str]) -> bytes:
    """Version 3: topics, no user data, nothing owned, no generation, no rack."""
    listed = b"".join(map(_string, topics))
    return _SHORT.pack(3) + _INT.pack(len(topics)) + listed + _INT.pack(-1) + _INT.pack(0) + _INT.pack(-1) + b"\xff\xff"


def _assignment(assigned: Mapping[str, Sequence[int]]) -> bytes:
    listed = b"".join(
        _string(topic) + _INT.pack(len(numbers)) + b"".join(map(_INT.pack, numbers))
        for topic, numbers in assigned.items()
    )
    return _SHORT.pack(3) + _INT.pack(len(assigned)) + listed + _INT.pack(-1)


def _string(text: str | None) -> bytes:
    if text is None:
        return b"\xff\xff"
    raw = text.encode("utf-8", "surrogateescape")
    return _SHORT.pack(len(raw)) + raw


def _bytes(raw: bytes) -> bytes:
    return _INT.pack(len(raw)) + raw


# ------------------------------------------------------------------------------------------------------------ parsing


def parse_key(key: bytes) -> tuple[int, dict[str, Any]] | None:
    """(type, fields by Kafka's names) of a key; None for one of another type. Raises CorruptRecordError."""
    if len(key) < _SHORT.size:
        return None
    (kind,) = _SHORT.unpack_from(key)
    parse = {
        TRANSACTION_LOG: lambda fields: {"transactionalId": fields.string()},
        OFFSET_COMMIT: lambda fields: {
            "group": fields.string(), "topic": fields.string(), "partition": fields.number(_INT)
        },
        GROUP_METADATA: lambda fields: {"group": fields.string()},
    }.get(kind)  # fmt: skip
    return None if parse is None else (kind, _parsed(key, 0, parse))


def parse_value(kind: int, value: bytes) -> tuple[int, dict[str, Any] | None]:
    """(version, fields by Kafka's names) of the value under a key of that type; no fields for a version that Kafka 4.3
    does not know. Raises CorruptRecordError.
    """
    if len(value) < _SHORT.size:
        raise CorruptRecordError(f"a coordinator's value has {len(value)} bytes")
    (version,) = _SHORT.unpack_from(value)
    last, parse = _VALUES[kind]
    return version, _parsed(value, version, parse) if 0 <= version <= last else None


class _Fields:
    """Reads a record's fields in turn. Whatever asks for more than there is raises."""

    def __init__(self, data: bytes, version: int) -> None:
        self._data = data
        self._at = _SHORT.size
        self.version = version
        self.flexible = False

    def number(self, form: Struct) -> int:
        (found,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return int(found)

    def raw(self, length: int) -> bytes:
        if not 0 <= length <= len(self._data) - self._at:
            raise CorruptRecordError(f"{length} bytes can't stand where {len(self._data) - self._at} are left")
        self._at += length
        return self._data[self._at - length : self._at]

    def unsigned(self) -> int:
        found = shift = 0
        while True:
            (byte,) = self.raw(1)
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7
            if shift > 28:
                raise CorruptRecordError("a length is longer than 32 bits")

    def _length(self, form: Struct) -> int:
        return self.unsigned() - 1 if self.flexible else self.number(form)

    def string(self) -> str | None:
        length = self._length(_SHORT)
        return None if length < 0 else self.raw(length).decode("utf-8", "replace")

    def base64(self) -> str:
        return base64.b64encode(self.raw(max(0, self._length(_INT)))).decode()

    def array(self, item: Callable[[], Any]) -> list[Any] | None:
        length = self._length(_INT)
        if length > len(self._data) - self._at:  # an item has a byte at least
            raise CorruptRecordError(f"{length} items can't stand in {len(self._data) - self._at} bytes")
        return None if length < 0 else [item() for _ in range(length)]

    def tags(self) -> dict[int, bytes]:
        """The tagged fields that end a structure of a flexible version."""
        if not self.flexible:
            return {}
        return {self.unsigned(): self.raw(self.unsigned()) for _ in range(self.unsigned())}


def _parsed(data: bytes, version: int, parse: Callable[[_Fields], dict[str, Any]]) -> dict[str, Any]:
    try:
        return parse(_Fields(data, version))
    except StructError:
        raise CorruptRecordError(f"a coordinator's record ends within a field: it has {len(data)} bytes") from None


def _offset_commit(fields: _Fields) -> dict[str, Any]:
    fields.flexible = fields.version >= 4
    found: dict[str, Any] = {"offset": fields.number(_LONG)}
    if fields.version >= 3:
        found["leaderEpoch"] = fields.number(_INT)
    found["metadata"] = fields.string()
    found["commitTimestamp"] = fields.number(_LONG)
    if fields.version == 1:
        found["expireTimestamp"] = fields.number(_LONG)
    topic_id = fields.tags().get(0, _NO_TOPIC_ID)
    if topic_id != _NO_TOPIC_ID:
        found["topicId"] = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
    return found


def _group_metadata(fields: _Fields) -> dict[str, Any]:
    fields.flexible = fields.version >= 4
    found: dict[str, Any] = {
        "protocolType": fields.string(),
        "generation": fields.number(_INT),
        "protocol": fields.string(),
        "leader": fields.string(),
    }
    if fields.version >= 2:
        found["currentStateTimestamp"] = fields.number(_LONG)
    found["members"] = fields.array(lambda: _member(fields))
    fields.tags()
    return found


def _member(fields: _Fields) -> dict[str, Any]:
    found: dict[str, Any] = {"memberId": fields.string()}
    if fields.version >= 3:
        found["groupInstanceId"] = fields.string()
    found |= {"clientId": fields.string(), "clientHost": fields.string()}
    if fields.version >= 1:
        found["rebalanceTimeout"] = fields.number(_INT)
    found |= {"sessionTimeout": fields.number(_INT), "subscription": fields.base64(), "assignment": fields.base64()}
    fields.tags()
    return found


def _transaction_log(fields: _Fields) -> dict[str, Any]:
    fields.flexible = fields.version >= 1
    producer_id, epoch = fields.number(_LONG), fields.number(_SHORT)
    timeout, (status,) = fields.number(_INT), fields.raw(1)
    partitions = fields.array(lambda: _partitions(fields))
    updated, started = fields.number(_LONG), fields.number(_LONG)
    tags = fields.tags()
    found: dict[str, Any] = {"producerId": producer_id}
    for tag, name in ((0, "previousProducerId"), (1, "nextProducerId")):
        if tag in tags:
            found[name] = _LONG.unpack(tags[tag])[0]
    found |= {
        "producerEpoch": epoch,
        "transactionTimeoutMs": timeout,
        "transactionStatus": status,
        "transactionPartitions": partitions,
        "transactionLastUpdateTimestampMs": updated,
        "transactionStartTimestampMs": started,
    }
    for tag, name in ((2, "clientTransactionVersion"), (3, "nextProducerEpoch")):
        if tag in tags:
            found[name] = _SHORT.unpack(tags[tag])[0]
    return found


def _partitions(fields: _Fields) -> dict[str, Any]:
    found = {"topic": fields.string(), "partitionIds": fields.array(lambda: fields.number(_INT))}
    fields.tags()
    return found


_VALUES: Mapping[int, tuple[int, Callable[[_Fields], dict[str, Any]]]] = {
    TRANSACTION_LOG: (1, _transaction_log),
    OFFSET_COMMIT: (4, _offset_commit),
    GROUP_METADATA: (4, _group_metadata),
}
"""Type of the key -> the last version of its values in Kafka 4.3, and how they are read."""
