"""Formatters that the console consumer had before Kafka 4 and that print what no formatter of today does.

For who asks for them with PYKAFKA_OLD_OPTIONS=1. Source: GroupMetadataManager.OffsetsMessageFormatter of Kafka 2.8 and
ChecksumMessageFormatter of Kafka 1.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from struct import Struct

from pykafka_cli.console.coordinator_formatters import parsed
from pykafka_cli.console.records_out import MessageFormatter
from pykafka_store.format.coordinator_records import OFFSET_COMMIT
from pykafka_store.model import Records, TimestampType


def named(name: str, properties: Mapping[str, str]) -> MessageFormatter | None:
    """The formatter of that old name; None where the name is another's."""
    if name.endswith("$OffsetsMessageFormatter"):
        return OffsetsAsText()
    return ChecksumMessageFormatter(properties) if name == "kafka.tools.ChecksumMessageFormatter" else None


class OffsetsAsText:
    """A line for each commit, where today's formatter prints JSON."""

    def format(self, records: Records) -> bytes:
        printed = []
        for _kind, key, value in parsed(records, (OFFSET_COMMIT,)):
            fields = None if value is None else value[1]
            told = "NULL" if value is None else "unknown" if fields is None else _commit(fields)
            printed.append(f"[{key['group']},{key['topic']},{key['partition']}]::{told}\n")
        return "".join(printed).encode("utf-8", "surrogatepass")


def _commit(fields: Mapping[str, object]) -> str:
    epoch = fields.get("leaderEpoch", -1)
    expires = fields.get("expireTimestamp", -1)
    return (
        f"OffsetAndMetadata(offset={fields['offset']}, "
        f"leaderEpoch={'Optional.empty' if epoch == -1 else f'Optional[{epoch}]'}, metadata={fields['metadata']}, "
        f"commitTimestamp={fields['commitTimestamp']}, "
        f"expireTimestamp={'None' if expires == -1 else f'Some({expires})'})"
    )


_HEAD = Struct(">bbq")
_LENGTH = Struct(">i")
_LOG_APPEND_TIME = 8


class ChecksumMessageFormatter:
    """The checksum that a record has as a message of its own, in the format of before Kafka 0.11."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        topic = properties.get("topic")
        self._prefix = b"checksum:" if topic is None else f"{topic}:checksum:".encode()

    def format(self, records: Records) -> bytes:
        attributes = _LOG_APPEND_TIME if records.timestamp_type is TimestampType.LOG_APPEND_TIME else 0
        rows = zip(records.timestamps, records.keys, records.values, strict=True)
        return b"".join(
            b"%s%d\n" % (self._prefix, zlib.crc32(_HEAD.pack(1, attributes, at) + _field(key) + _field(value)))
            for at, key, value in rows
        )


def _field(data: bytes | None) -> bytes:
    return _LENGTH.pack(-1) if data is None else _LENGTH.pack(len(data)) + data
