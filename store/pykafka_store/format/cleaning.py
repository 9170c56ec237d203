"""What compaction needs of a batch's records: their keys, which are tombstones, and batches with some of them left out.

Records are not decoded into columns and encoded again: what is kept of a batch is cut out of its bytes. Only where a
delete horizon is set are records written anew, for it takes the place of the base timestamp, from which theirs count.
Source: org.apache.kafka.common.record.internal.MemoryRecords#filterTo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import (
    CONTROL_BIT,
    DELETE_HORIZON_BIT,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    TIMESTAMP_TYPE_BIT,
    TRANSACTIONAL_BIT,
    BatchHeader,
)
from pykafka_store.format.crc32c import crc32c
from pykafka_store.format.varint import decode_varint, encode_varint
from pykafka_store.model import NO_TIMESTAMP, TimestampType

_CRC_FIELD = 17
_SUMMED_FROM = 21


class Scanned(NamedTuple):
    """The records of a batch, by column."""

    keys: list[bytes | None]
    offset_deltas: list[int]
    ends: list[int]
    """Where each record ends in the payload, after a zero: record i lies from ends[i] to ends[i + 1]."""
    tombstones: list[int]
    """Indexes of the records whose value is null."""


def scan_records(data: bytes, count: int) -> Scanned:
    """Walk through a batch's unfolded payload. Raises CorruptRecordError where its lengths can't be.

    Compaction calls this twice for every record: what takes one byte in most logs is read in line.
    """
    keys: list[bytes | None] = []
    deltas: list[int] = []
    ends = [0]
    tombstones: list[int] = []
    add_key, add_delta, add_end = keys.append, deltas.append, ends.append
    position = 0
    try:
        for index in range(count):
            byte = data[position]
            if byte < 128:
                end = position + 1 + (byte >> 1)
                at = position + 2  # behind the length, and the record's attributes
            elif (second := data[position + 1]) < 128:
                end = position + 2 + ((byte & 127 | second << 7) >> 1)
                at = position + 3
            else:
                length, at = decode_varint(data, position)
                end = at + max(0, length)
                at += 1
            while data[at] > 127:  # the timestamp's delta
                at += 1
            byte = data[at + 1]
            if byte < 128:
                add_delta(byte >> 1)
                at += 2
            elif (second := data[at + 2]) < 128:
                add_delta((byte & 127 | second << 7) >> 1)
                at += 3
            else:
                delta, at = decode_varint(data, at + 1)
                add_delta(delta)
            byte = data[at]
            if byte == 1:
                add_key(None)
                at += 1
            elif byte < 128:
                start, at = at + 1, at + 1 + (byte >> 1)
                add_key(data[start:at])
            else:
                size, start = decode_varint(data, at)
                at = start + max(0, size)
                add_key(data[start:at])
            if data[at] == 1:
                tombstones.append(index)
            position = end
            add_end(end)
    except IndexError:
        raise CorruptRecordError(f"{count} records do not stand in {len(data)} bytes") from None
    if position != len(data):
        raise CorruptRecordError(f"{count} records end at byte {position} of {len(data)}")
    return Scanned(keys, deltas, ends, tombstones)


def filtered_batch(
    header: BatchHeader, payload: bytes, scanned: Scanned, kept: Sequence[int], delete_horizon: int | None
) -> bytes:
    """The batch with only the records ``kept`` (indexes in order, at least one), and all its fields kept: offsets,
    sequences, epoch. ``delete_horizon`` is set if it is not None.
    """
    ends = scanned.ends
    newest = header.max_timestamp
    base_timestamp, attributes = header.base_timestamp, header.attributes
    append_time = header.timestamp_type is TimestampType.LOG_APPEND_TIME
    if not append_time:
        newest = header.base_timestamp + max(_timestamp_delta(payload, ends[index])[0] for index in kept)
    if delete_horizon is None:
        body = b"".join(payload[start:end] for start, end in _runs(ends, kept))
    else:
        shift = header.base_timestamp - delete_horizon
        body = b"".join(
            _shifted(payload, ends[index], ends[index + 1], newest - delete_horizon if append_time else None, shift)
            for index in kept
        )
        base_timestamp, attributes = delete_horizon, attributes | DELETE_HORIZON_BIT
    fields = header._replace(
        attributes=attributes, base_timestamp=base_timestamp, max_timestamp=newest, record_count=len(kept)
    )
    return _packed(fields, codecs.compress(header.codec, body))


def empty_batch(header: BatchHeader) -> bytes:
    """The batch without any of its records. Source: DefaultRecordBatch#writeEmptyHeader."""
    kept_bits = TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT
    fields = header._replace(attributes=header.attributes & kept_bits, base_timestamp=NO_TIMESTAMP, record_count=0)
    return _packed(fields, b"")


def _packed(header: BatchHeader, body: bytes) -> bytes:
    fields = header._replace(length=HEADER_SIZE - LOG_OVERHEAD + len(body), crc=0)
    raw = HEADER.pack(*fields)
    crc = crc32c(body, crc32c(raw[_SUMMED_FROM:]))
    return b"".join((raw[:_CRC_FIELD], crc.to_bytes(4, "big"), raw[_SUMMED_FROM:], body))


def _runs(ends: Sequence[int], kept: Sequence[int]) -> list[tuple[int, int]]:
    """(start, end) of the bytes of the records ``kept``, neighbours together."""
    runs: list[tuple[int, int]] = []
    start, next_index = ends[kept[0]], kept[0]
    for index in kept:
        if index != next_index:
            runs.append((start, ends[next_index]))
            start = ends[index]
        next_index = index + 1
    runs.append((start, ends[next_index]))
    return runs


def _timestamp_delta(payload: bytes, position: int) -> tuple[int, int]:
    """The timestamp delta of the record at ``position``, and where it ends."""
    while payload[position] > 127:
        position += 1
    return decode_varint(payload, position + 2)


def _shifted(payload: bytes, start: int, end: int, delta: int | None, shift: int) -> bytes:
    """A record whose timestamp delta is ``delta``, or the one that it has and ``shift`` more."""
    old, after = _timestamp_delta(payload, start)
    body = b"\x00" + encode_varint(old + shift if delta is None else delta) + payload[after:end]
    return encode_varint(len(body)) + body
