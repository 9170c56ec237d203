"""Kafka's record batch, format v2 (magic 2), bit for bit.

Source: org.apache.kafka.common.record.DefaultRecordBatch and DefaultRecord. Big-endian::

    off len
      0   8  base offset
      8   4  batch length: the bytes after this field, so the whole batch is 12 + it
     12   4  partition leader epoch
     16   1  magic = 2
     17   4  CRC-32C of everything from byte 21 to the end
     21   2  attributes: bits 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon set
     23   4  last offset delta
     27   8  base timestamp (the delete horizon, if bit 6)
     35   8  max timestamp
     43   8  producer id (-1: none)
     51   2  producer epoch
     53   4  base sequence
     57   4  record count
     61   …  records, compressed as one block if a codec is set

    record: length varint · attributes int8 = 0 · timestamp delta varlong · offset delta varint
            · key length varint (-1 null) · key · value length varint (-1 null) · value
            · header count varint · per header: key length varint · key · value length varint (-1 null) · value

Varints are zigzag, seven bits a byte, low bits first.

The CRC covers neither base offset nor leader epoch (bytes 0-7 and 12-15). So a batch is encoded and summed before any
lock is taken, and under the lock only the sixteen bytes of ``PREFIX`` are made; ``EncodedBatch`` is a batch without
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from struct import error as StructError
from typing import NamedTuple, Protocol

from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format import compression as codecs
from pykafka_store.format.crc32c import crc32c
from pykafka_store.format.records import MIN_RECORD_SIZE, decode_general, decode_plain, encode_records
from pykafka_store.format.varint import encode_varint
from pykafka_store.model import Header, Records, TimestampType

PREFIX = Struct(">qii")
"""Base offset, batch length, leader epoch: what is known only under the partition's lock."""
_SUMMED = Struct(">hiqqqhii")
"""Attributes … record count: the header's part under the CRC."""
HEADER = Struct(">qiiBIhiqqqhii")
HEADER_SIZE = 61
PREFIX_SIZE = 16
CRC_START = 21
LOG_OVERHEAD = 12
MAGIC = 2

assert HEADER.size == HEADER_SIZE
assert PREFIX.size == PREFIX_SIZE
assert CRC_START + _SUMMED.size == HEADER_SIZE

TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

_SMALLEST_OLD_MESSAGE = 14
"""The least length of a message of format v0 (LegacyRecord.RECORD_OVERHEAD_V0)."""
MAX_BATCH_SIZE = (1 << 31) - 1
NO_PRODUCER = (-1, -1, -1)
"""Producer id, epoch and base sequence of a batch that says nothing of its producer."""
MAX_RECORD_OVERHEAD = 21
"""The most that a record's fixed fields take (DefaultRecord.MAX_RECORD_OVERHEAD)."""


class BatchHeader(NamedTuple):
    """The fixed fields of a batch, in file order."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return LOG_OVERHEAD + self.length

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        return self.attributes & codecs.CODEC_MASK

    @property
    def timestamp_type(self) -> TimestampType:
        return TimestampType((self.attributes & TIMESTAMP_TYPE_BIT) >> 3)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL_BIT)

    @property
    def delete_horizon_ms(self) -> int | None:
        return self.base_timestamp if self.attributes & DELETE_HORIZON_BIT else None


# ----------------------------------------------------------------------------------------------------------- encode


class LogBatch(Protocol):
    """A batch that a log can take: all of it but its base offset and its leader epoch."""

    record_count: int
    max_timestamp: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch in the log."""

    def stamped(self, append_time: int) -> LogBatch:
        """The same records under LogAppendTime: all of them carry ``append_time``, in ms."""

    def placed(self, base_offset: int, leader_epoch: int) -> Sequence[bytes | memoryview]:
        """The batch's bytes at its place in a log, as pieces for one gathered write."""


class EncodedBatch:
    """A batch ready to be placed: everything but base offset and leader epoch, with its CRC."""

    __slots__ = (
        "attributes",
        "base_timestamp",
        "max_timestamp",
        "max_timestamp_delta",
        "payload",
        "producer",
        "record_count",
        "summed",
    )

    def __init__(
        self,
        payload: bytes,
        record_count: int,
        attributes: int,
        base_timestamp: int,
        max_timestamp: int,
        max_timestamp_delta: int,
        producer: tuple[int, int, int] = NO_PRODUCER,
    ) -> None:
        self.payload = payload
        self.record_count = record_count
        self.attributes = attributes
        self.base_timestamp = base_timestamp
        self.max_timestamp = max_timestamp
        self.max_timestamp_delta = max_timestamp_delta
        """Offset delta of the first record that carries ``max_timestamp``."""
        self.producer = producer
        self.summed = self._sum(producer)

    def _sum(self, producer: tuple[int, int, int]) -> bytes:
        """Bytes 16 … 60: magic, CRC, and the fields it covers."""
        fields = _SUMMED.pack(
            self.attributes,
            self.record_count - 1,
            self.base_timestamp,
            self.max_timestamp,
            *producer,
            self.record_count,
        )
        return b"\x02" + crc32c(self.payload, crc32c(fields)).to_bytes(4, "big") + fields

    @property
    def size(self) -> int:
        """Bytes of the whole batch in the log."""
        return HEADER_SIZE + len(self.payload)

    def stamped(self, append_time: int) -> EncodedBatch:
        """The same records under LogAppendTime: all of them carry ``append_time`` (the batch's max timestamp)."""
        return EncodedBatch(
            self.payload,
            self.record_count,
            self.attributes | TIMESTAMP_TYPE_BIT,
            self.base_timestamp,
            append_time,
            self.record_count - 1,
            self.producer,
        )

    def placed(self, base_offset: int, leader_epoch: int) -> tuple[bytes, bytes, bytes]:
        """The batch's bytes at its place in a log, as three pieces for one gathered write."""
        prefix = PREFIX.pack(base_offset, HEADER_SIZE - LOG_OVERHEAD + len(self.payload), leader_epoch)
        return prefix, self.summed, self.payload


def encode_batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Sequence[Header]] | None = None,
    timestamps: Sequence[int] | int,
    lengths: Sequence[int] | None = None,
    blocks: Sequence[bytes] | None = None,
    codec: int = codecs.NONE,
    level: int | None = None,
    producer: tuple[int, int, int] = NO_PRODUCER,
    attributes: int = 0,
) -> EncodedBatch:
    """Encode at least one record, given by column, as one batch.

    ``timestamps`` in ms, one for all or a column. If the caller knows them: ``lengths`` of the values (0 for
    null), and ``blocks`` of the headers, as encode_records takes them.
    ``producer`` is (id, epoch, base sequence). ``attributes`` adds bits beyond the codec (transactional, control) for
    those who need them.
    """
    count = len(values)
    if not count:
        raise ValueError("a batch holds at least one record")
    for column in (keys, headers, blocks, None if isinstance(timestamps, int) else timestamps):
        if column is not None and len(column) != count:
            raise ValueError(f"a column of {len(column)} for {count} records")
    payload = encode_records(values, keys, headers, timestamps, lengths, blocks)
    if isinstance(timestamps, int):
        base_timestamp = max_timestamp = timestamps
        max_delta = 0
    else:
        base_timestamp, max_timestamp = timestamps[0], max(timestamps)
        max_delta = list(timestamps).index(max_timestamp)
    return EncodedBatch(
        codecs.compress(codec, payload, level),
        count,
        attributes | codec,
        base_timestamp,
        max_timestamp,
        max_delta,
        producer,
    )


def batch_of(payload: bytes, count: int, timestamp: int, codec: int, level: int | None) -> EncodedBatch:
    """A batch of records that are encoded by now, all of the same time; the rest as ``encode_batch``."""
    return EncodedBatch(codecs.compress(codec, payload, level), count, codec, timestamp, timestamp, 0)


def record_size_upper_bound(key: bytes | None, value: bytes | None, headers: Sequence[Header] = ()) -> int:
    """What a producer takes a record to need, alone in a batch (DefaultRecordBatch.estimateBatchSizeUpperBound)."""
    size = HEADER_SIZE + MAX_RECORD_OVERHEAD + len(encode_varint(len(headers)))
    for part in (key, value):
        size += 1 if part is None else len(encode_varint(len(part))) + len(part)
    for name, content in headers:
        raw = len(name.encode())
        size += len(encode_varint(raw)) + raw
        size += 1 if content is None else len(encode_varint(len(content))) + len(content)
    return size


# ----------------------------------------------------------------------------------------------------------- decode


def parse_header(data: bytes, position: int = 0) -> BatchHeader:
    """The header at ``position``. Raises CorruptRecordError for impossible fields, UnsupportedVersionError for magic
    0 or 1, struct.error where fewer than 61 bytes are left.
    """
    header = BatchHeader._make(HEADER.unpack_from(data, position))
    if header.magic != MAGIC:
        if header.magic in {0, 1} and header.length >= _SMALLEST_OLD_MESSAGE:  # else zeros, as a power cut leaves them
            raise UnsupportedVersionError(f"message format v{header.magic} is older than this tool reads (v2)")
        raise CorruptRecordError(f"unknown magic byte {header.magic}")
    if header.length < HEADER_SIZE - LOG_OVERHEAD:
        raise CorruptRecordError(f"batch length {header.length} is less than a batch's header")
    if header.base_offset < 0 or header.last_offset_delta < 0:
        raise CorruptRecordError(f"offsets {header.base_offset} + {header.last_offset_delta} are negative")
    return header


def crc_of(batch: bytes) -> int:
    """CRC-32C of a whole batch's summed part."""
    return crc32c(batch[CRC_START:])


class Batch:
    """One batch as it lies in a log: where, its header, and its bytes."""

    __slots__ = ("data", "header", "position")

    def __init__(self, position: int, header: BatchHeader, data: bytes) -> None:
        self.position = position
        self.header = header
        self.data = data

    @property
    def is_valid(self) -> bool:
        return crc_of(self.data) == self.header.crc

    def payload(self) -> bytes:
        """The records' bytes, unfolded. Raises CorruptRecordError."""
        return codecs.decompress(self.header.codec, self.data[HEADER_SIZE:])


def split_batches(data: bytes, position: int = 0) -> Iterator[Batch]:
    """Whole batches at the start of ``data``, whose first byte lies at ``position`` of its file; stops before a
    partial one.

    Raises as :func:`parse_header`. No CRC is checked.
    """
    start, end = 0, len(data)
    while end - start >= HEADER_SIZE:
        header = parse_header(data, start)
        stop = start + header.size
        if stop > end:
            return
        yield Batch(position + start, header, data[start:stop])
        start = stop


def decode_records(batch: Batch, topic: str, partition: int) -> Records:
    """All records of a batch. Raises CorruptRecordError where the bytes say something impossible.

    The CRC is the caller's to check. A control batch decodes too: its records are for whoever reads markers.
    """
    header = batch.header
    payload = batch.payload()
    count = header.record_count
    if count < 0 or count * MIN_RECORD_SIZE > len(payload):
        raise CorruptRecordError(f"{count} records can't stand in {len(payload)} bytes")
    if count > header.last_offset_delta + 1:
        raise CorruptRecordError(f"{count} records can't have {header.last_offset_delta + 1} offsets")
    try:
        plain = decode_plain(payload, count)
        if plain is not None:
            offsets: Sequence[int] = range(header.base_offset, header.base_offset + count)
            timestamps: Sequence[int] = [header.base_timestamp] * count
            keys: Sequence[bytes | None] = [None] * count
            headers: Sequence[Sequence[Header]] = [()] * count
            values: Sequence[bytes | None] = plain
        else:
            offsets, timestamps, keys, values, headers = decode_general(
                payload, count, header.last_offset_delta, header.base_offset, header.base_timestamp
            )
    except (IndexError, StructError) as error:
        raise CorruptRecordError(f"a record does not decode: {error}") from error
    if header.attributes & TIMESTAMP_TYPE_BIT:
        timestamps = [header.max_timestamp] * count
    return Records(
        topic,
        partition,
        offsets=offsets,
        timestamps=timestamps,
        keys=keys,
        values=values,
        headers=headers,
        timestamp_type=header.timestamp_type,
        leader_epoch=header.leader_epoch,
    )
