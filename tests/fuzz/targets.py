"""Every parser that sees bytes or text from outside, as a function of bytes that raises nothing but what it may.

For hypothesis (test_parsers.py) and for a fuzzer that is guided by coverage (run.py).
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from pykafka_cli.commands.consumer_groups.offset_reset import parse_partitions, read_plan
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.java import json as java_json
from pykafka_cli.java import properties, re2_syntax, regex
from pykafka_cli.java.time import TimeError, parse_date_time
from pykafka_cli.tool.json_files import partition_of, versioned
from pykafka_store.errors import StoreError
from pykafka_store.format import (
    checkpoint,
    compression,
    coordinator_records,
    index,
    names,
    snapshot,
    sqlite,
    state,
    transaction_index,
)
from pykafka_store.format.batch import crc_of, decode_records, encode_batch, parse_header, split_batches
from pykafka_store.format.varint import decode_varint
from pykafka_store.settings.configs import validate
from pykafka_store.settings.durations import DurationError, parse_duration_ms

FORESEEN = (StoreError, Refusal, UsageProblem, CommandFailure, TimeError, DurationError)
"""What a parser may raise: what is told in a line."""

WHOLE = b"".join(
    encode_batch([b"value", None], keys=[b"k", None], headers=[[("h", b"1")], []], timestamps=5).placed(0, 0)
)
_HEADER = 61
_LIMIT = 1 << 22


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def batches(data: bytes) -> None:
    for found in split_batches(data):
        decode_records(found, "t", 0)


def records(data: bytes) -> None:
    """What stands behind a header that is right: bytes 0 to 3 are the count, byte 4 the attributes."""
    if len(data) < 5:
        return
    header = bytearray(WHOLE[:_HEADER])
    payload = data[5:]
    struct.pack_into(">i", header, 8, _HEADER - 12 + len(payload))
    header[57:61] = data[:4]
    header[22] = data[4]
    batch = header + payload
    struct.pack_into(">I", batch, 17, crc_of(bytes(batch)))
    batches(bytes(batch))


def headers(data: bytes) -> None:
    if len(data) >= _HEADER:
        parse_header(data)


def varints(data: bytes) -> None:
    if data:
        # The records' decoder, which alone calls it, says of an IndexError that the batch ends early.
        with contextlib.suppress(IndexError):
            decode_varint(data, 0)


def published_state(data: bytes) -> None:
    state.parse_state(data)


def indexes(data: bytes) -> None:
    for _ in index.offset_entries(data, 5):
        pass
    for _ in index.time_entries(data, 5):
        pass
    for _ in transaction_index.aborted_transactions(data):
        pass

    def read_at(count: int, position: int) -> bytes:
        return data[position : position + count]

    index.entry_for_offset(read_at, len(data) // 8, 5, 9)
    index.position_for_offset(read_at, len(data) // 8, 5, 9)
    index.entry_before_timestamp(read_at, len(data) // 12, 5, 9)


def snapshots(data: bytes) -> None:
    snapshot.snapshot_entries(data, "x.snapshot")


def coordinators(data: bytes) -> None:
    """A key, or a value under a key of each type."""
    coordinator_records.parse_key(data)
    for kind in range(3):
        with contextlib.suppress(StoreError):
            coordinator_records.parse_value(kind, data)


def checkpoints(data: bytes) -> None:
    text = data.decode("ascii", "replace")
    for parse in (
        checkpoint.parse_leader_epochs,
        checkpoint.parse_cleaner_checkpoint,
        checkpoint.parse_partition_metadata,
        checkpoint.parse_meta_properties,
    ):
        try:
            parse(text)
        except StoreError:
            continue


def databases(data: bytes) -> None:
    """A file and its write-ahead log, one behind the other."""
    middle = len(data) // 2
    assert len(sqlite.image(data[:middle], data[middle:])) <= len(data) + _LIMIT


def file_names(data: bytes) -> None:
    text = _text(data)
    names.parse_partition_directory(text)
    names.segment_base_offset(text)
    names.check_topic_name(text)


def compressed(data: bytes) -> None:
    if data:
        assert len(compression.decompress(data[0] % 5, data[1:], limit=_LIMIT)) <= max(_LIMIT, len(data))


def property_files(data: bytes) -> None:
    properties.parse_properties(data.decode("iso-8859-1"))


def json_files(data: bytes) -> None:
    fields = versioned(java_json.parse(_text(data)))
    for entry in java_json.as_array(java_json.field(fields, "partitions")):
        partition_of(java_json.as_object(entry))


def patterns(data: bytes) -> None:
    text = _text(data[:200])
    re2_syntax.problem(text)
    regex.compile(text)


def times(data: bytes) -> None:
    parse_date_time(_text(data))


def durations(data: bytes) -> None:
    parse_duration_ms(_text(data))


def topic_arguments(data: bytes) -> None:
    parse_partitions(_text(data))


def settings(data: bytes) -> None:
    name, _, value = _text(data).partition("=")
    validate({name: value})


def plans(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        read_plan(file.name, ["g"])


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "batches": (batches, [WHOLE]),
    "records": (records, [b"\0\0\0\2\0" + WHOLE[_HEADER:], b"\0\0\0\2\1" + compression.compress(1, WHOLE[_HEADER:])]),
    "headers": (headers, [WHOLE]),
    "varints": (varints, [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]),
    "published_state": (published_state, [state.pack_state(state.empty_state(bytes(16), bytes(16)))]),
    "indexes": (indexes, [index.pack_offset_entry(5, 9, 100) * 17, index.pack_time_entry(5, 9, 100) * 17]),
    "snapshots": (snapshots, [b"\0\1" + bytes(8)]),
    "coordinators": (
        coordinators,
        [
            coordinator_records.offset_commit_key("g", "t", 0),
            coordinator_records.offset_commit_value(1, 2, "m", 3, "A" * 22),
            coordinator_records.group_metadata_value(
                1, "range", [coordinator_records.Member("m", "i", "c", "h", 9, ["t"], {"t": [0]})], 5
            ),
            b"\0\1" + bytes(15) + b"\2\2t\2\0\0\0\0\0" + bytes(16) + b"\1\0\x08" + bytes(8),
        ],
    ),
    "checkpoints": (checkpoints, [b"0\n1\n0 0\n", b"0\n1\nt 0 5\n", b"version: 0\ntopic_id: x", b"a=b\n"]),
    "databases": (databases, [bytes(512) + struct.pack(">8I", 0x377F0682, 3007000, 512, 0, 0, 0, 0, 0) + bytes(536)]),
    "file_names": (file_names, [b"t-0", b"00000000000000000000.log", b"t-0.0123456789abcdef0123456789abcdef-delete"]),
    "compressed": (compressed, [bytes([i]) + compression.compress(i, b"hello " * 50) for i in range(5)]),
    "property_files": (property_files, [b"a=b\\\n c\n# x\nd : \\u00e9\\t"]),
    "json_files": (json_files, [b'{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0]}]}']),
    "patterns": (patterns, [b"[a-z[0-9]]+x{2,3}\\p{Alpha}", b"\\Qa\\E|(?<n>b)\\k<n>"]),
    "times": (times, [b"2024-01-01T00:00:00.000+02:00"]),
    "durations": (durations, [b"P1DT2H3M4.5S"]),
    "topic_arguments": (topic_arguments, [b"t:0,1,2"]),
    "settings": (settings, [b"retention.ms=5", b"cleanup.policy=compact,delete", b"min.cleanable.dirty.ratio=0.5"]),
    "plans": (plans, [b"t,0,5\n", b'"g",t,0,5\r\n']),
}


def attempt(name: str, data: bytes) -> None:
    """Have a parser read these bytes. Raises what no parser may."""
    with contextlib.suppress(*FORESEEN):
        TARGETS[name][0](data)
