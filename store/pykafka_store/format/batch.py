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

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import pairwise, repeat
from operator import itemgetter
from struct import Struct
from struct import error as StructError
from typing import NamedTuple, cast

import google_crc32c

from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format import compression as codecs
from pykafka_store.model import Header, Records, TimestampType

PREFIX = Struct(">qii")
"""Base offset, batch length, leader epoch: what is known only under the partition's lock."""
_SUMMED = Struct(">hiqqqhii")
"""Attributes … record count: the header's part under the CRC."""
HEADER = Struct(">qiiBIhiqqqhii")
HEADER_SIZE = 61
PREFIX_SIZE = 16
_CRC_START = 21
LOG_OVERHEAD = 12
MAGIC = 2

assert HEADER.size == HEADER_SIZE
assert PREFIX.size == PREFIX_SIZE
assert _CRC_START + _SUMMED.size == HEADER_SIZE

TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

_SMALLEST_OLD_MESSAGE = 14
"""The least length of a message of format v0 (LegacyRecord.RECORD_OVERHEAD_V0)."""
MIN_RECORD_SIZE = 7
"""The smallest record: length, attributes, two deltas, two lengths and a header count, of one byte each."""
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


# ---------------------------------------------------------------------------------------------------------- varints


def encode_varint(number: int) -> bytes:
    """A signed number of up to 64 bits in zigzag varint form."""
    rest = ((number << 1) ^ (number >> 63)) & 0xFFFFFFFFFFFFFFFF
    if rest < 0x80:
        return rest.to_bytes(1, "big")
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at ``position`` and the position after it. Raises CorruptRecordError beyond 64 bits, IndexError at
    the end.
    """
    byte = data[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    rest, shift = byte & 0x7F, 7
    while True:
        position += 1
        byte = data[position]
        rest |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise CorruptRecordError("a varint is longer than 64 bits")
    if rest > 0xFFFFFFFFFFFFFFFF:
        raise CorruptRecordError("a varint is longer than 64 bits")
    return (rest >> 1) ^ -(rest & 1), position + 1


class _Table(dict[int, bytes]):
    """Sizes -> bytes that follow from them, made when first asked for and kept, up to a limit."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        self._make = make

    def __missing__(self, size: int) -> bytes:
        made = self._make(size)
        if len(self) < 8192:
            self[size] = made
        return made

    def all(self, sizes: Sequence[int]) -> tuple[bytes, ...]:
        """The entries for all ``sizes``, fetched in one call."""
        return itemgetter(*sizes)(self) if len(sizes) > 1 else (self[sizes[0]],)


def _plain_prefix(delta_size: int, value_size: int) -> bytes:
    """A plain record's bytes before its offset delta; the zero in front is the header count of the record before it."""
    body = 2 + delta_size + 1 + len(encode_varint(value_size)) + value_size + 1
    return b"\x00" + encode_varint(body) + b"\x00\x00"


@cache
def _plain_value_sizes(delta_size: int) -> list[int]:
    """Length of a plain record -> the size its value must have: one byte holds sizes up to 63, two bytes up to 8191."""
    overhead = 2 + delta_size + 1 + 1 + 1
    return [0] * overhead + [*range(64), *range(63, 8192 - overhead - 64 + 63)]


_VARINTS = _Table(encode_varint)
_PREFIXES = tuple(_Table(partial(_plain_prefix, delta_size)) for delta_size in (1, 2, 3))
_NULL_KEY_AND_SIZE = _Table(lambda value_size: b"\x01" + encode_varint(value_size))
"""A null key's length and the value's length: what stands between offset delta and value."""
_PLAIN_LIMIT = 1 << 17
"""Records beyond which a batch takes the general path, so that no batch makes the table of deltas large."""
_DELTA_BOUNDS = (0, 64, 8192, _PLAIN_LIMIT)
"""Offset deltas below 64 take one varint byte, below 8192 two, below 2^20 three."""
_DELTAS: list[bytes] = []


def _deltas(count: int) -> list[bytes]:
    """The offset deltas 0 … count-1 (or more) as varints; the table grows to what is used and is kept."""
    while len(_DELTAS) < count:
        _DELTAS.append(encode_varint(len(_DELTAS)))
    return _DELTAS


def _encode_plain(values: Sequence[bytes], lengths: Sequence[int] | None = None) -> bytes:
    """Records with null keys, no headers and timestamp delta 0: the console's case, with no Python per record.

    Four pieces a record, each column put in its place by one slice assignment. Raises TypeError for a null value.
    """
    count = len(values)
    sizes = list(map(len, values)) if lengths is None else lengths
    pieces: list[bytes] = [b""] * (4 * count)
    for prefixes, low, high in zip(_PREFIXES, _DELTA_BOUNDS, _DELTA_BOUNDS[1:], strict=False):
        if low < count:
            pieces[4 * low : 4 * high : 4] = prefixes.all(sizes[low:high])
    pieces[1::4] = _deltas(count)[:count]
    pieces[2::4] = _NULL_KEY_AND_SIZE.all(sizes)
    pieces[3::4] = values
    pieces[0] = pieces[0][1:]
    pieces.append(b"\x00")
    return b"".join(pieces)


def _encode_general(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int],
) -> bytes:
    base = timestamps[0]
    varint = _VARINTS  # most numbers come again and again
    out: list[bytes] = []
    for index, (value, key, fields, timestamp) in enumerate(
        zip(values, keys or repeat(None), headers or repeat(()), timestamps, strict=False)
    ):
        body = [b"\x00", varint[timestamp - base], varint[index]]
        body += (b"\x01",) if key is None else (varint[len(key)], key)
        body += (b"\x01",) if value is None else (varint[len(value)], value)
        body.append(varint[len(fields)])
        for name, content in fields:
            raw = name.encode()
            body += (varint[len(raw)], raw)
            body += (b"\x01",) if content is None else (varint[len(content)], content)
        record = b"".join(body)
        out += (varint[len(record)], record)
    return b"".join(out)


# ----------------------------------------------------------------------------------------------------------- encode


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
        crc: int = google_crc32c.extend(google_crc32c.value(fields), self.payload)
        return b"\x02" + crc.to_bytes(4, "big") + fields

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
    codec: int = codecs.NONE,
    level: int | None = None,
    producer: tuple[int, int, int] = NO_PRODUCER,
    attributes: int = 0,
) -> EncodedBatch:
    """Encode at least one record, given by column, as one batch.

    ``timestamps`` in ms, one for all or a column. ``lengths`` of the values (0 for null), if the caller knows them.
    ``producer`` is (id, epoch, base sequence). ``attributes`` adds bits beyond the codec (transactional, control) for
    those who need them.
    """
    count = len(values)
    if not count:
        raise ValueError("a batch holds at least one record")
    for column in (keys, headers, None if isinstance(timestamps, int) else timestamps):
        if column is not None and len(column) != count:
            raise ValueError(f"a column of {len(column)} for {count} records")
    payload = None
    if isinstance(timestamps, int) and keys is None and headers is None and count <= _PLAIN_LIMIT:
        with suppress(TypeError):  # a null among the values
            payload = _encode_plain(cast("Sequence[bytes]", values), lengths)
    if payload is None:
        column = [timestamps] * count if isinstance(timestamps, int) else timestamps
        payload = _encode_general(values, keys, headers, column)
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
    crc: int = google_crc32c.value(batch[_CRC_START:])
    return crc


class Batch(NamedTuple):
    """One batch as it lies in a log: where, its header, and its bytes."""

    position: int
    header: BatchHeader
    data: bytes

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
        plain = _decode_plain(payload, count)
        if plain is not None:
            offsets: Sequence[int] = range(header.base_offset, header.base_offset + count)
            timestamps: Sequence[int] = [header.base_timestamp] * count
            keys: Sequence[bytes | None] = [None] * count
            headers: Sequence[Sequence[Header]] = [()] * count
            values: Sequence[bytes | None] = plain
        else:
            offsets, timestamps, keys, values, headers = _decode_general(payload, header)
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


def _decode_plain(data: bytes, count: int) -> list[bytes] | None:
    """The values, if every record is plain: null key, value, no headers, timestamp delta 0, consecutive offsets.

    None if one is not. This is the consumer's hot path, so it takes records for plain, cuts out what would then be
    their values, and believes it only if encoding them gives the same bytes again. Long records go the general way.
    """
    if not 0 < count <= _PLAIN_LIMIT:
        return None
    values: list[bytes] = []
    append = values.append
    position = 0
    try:
        for delta_size, (low, high) in enumerate(pairwise(_DELTA_BOUNDS), start=1):
            value_sizes = _plain_value_sizes(delta_size)
            for _ in range(low, min(high, count)):
                length = data[position]
                if length > 127:
                    position += 1
                    length = (length & 127) | data[position] << 7
                length >>= 1
                position += length
                append(data[position - value_sizes[length] : position])
                position += 1
    except IndexError:
        return None
    return values if _encode_plain(values) == data else None


def _decode_general(
    data: bytes, header: BatchHeader
) -> tuple[list[int], list[int], list[bytes | None], list[bytes | None], list[Sequence[Header]]]:
    offsets: list[int] = []
    timestamps: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[Sequence[Header]] = []
    position, total = 0, len(data)
    for _ in range(header.record_count):
        length, start = decode_varint(data, position)
        end = start + length
        if length < 0 or end > total:
            raise CorruptRecordError(f"a record of {length} bytes at {position} of {total}")
        timestamp_delta, position = decode_varint(data, start + 1)
        offset_delta, position = decode_varint(data, position)
        key, position = _nullable(data, position, end)
        value, position = _nullable(data, position, end)
        header_count, position = decode_varint(data, position)
        fields: Sequence[Header] = ()
        if header_count:
            if header_count < 0 or header_count * 2 > end - position:
                raise CorruptRecordError(f"{header_count} headers in {end - position} bytes")
            found: list[Header] = []
            for _ in range(header_count):
                name, position = _nullable(data, position, end)
                if name is None:
                    raise CorruptRecordError("a header's key is null")
                content, position = _nullable(data, position, end)
                found.append((name.decode("utf-8", "replace"), content))  # as Java does
            fields = tuple(found)
        if position != end:
            raise CorruptRecordError(f"a record ends at {position}, not at {end}")
        if not 0 <= offset_delta <= header.last_offset_delta:
            raise CorruptRecordError(f"offset delta {offset_delta} in a batch of {header.last_offset_delta + 1}")
        offsets.append(header.base_offset + offset_delta)
        timestamps.append(header.base_timestamp + timestamp_delta)
        keys.append(key)
        values.append(value)
        headers.append(fields)
    if position != total:
        raise CorruptRecordError(f"{total - position} bytes follow the last record")
    return offsets, timestamps, keys, values, headers


def _nullable(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """A length-prefixed field, null for length -1, that must end at or before ``end``."""
    size, position = decode_varint(data, position)
    if size < 0:
        if size != -1:
            raise CorruptRecordError(f"a field of {size} bytes")
        return None, position
    stop = position + size
    if stop > end:
        raise CorruptRecordError(f"a field of {size} bytes, {end - position} left")
    return data[position:stop], stop
