"""Records as they stand in a batch, one after another: columns -> bytes, and back.

The layout of a record is in :mod:`pykafka_store.format.batch`. Records that are plain, as a console's are, take a way
of their own in both directions, with hardly any Python a record; the general way meets it in the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, pairwise, repeat
from operator import add, itemgetter
from typing import cast

from pykafka_store.compiled import COMPILED
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.record_loop import encode_one_by_one, header_blocks
from pykafka_store.format.varint import decode_varint, encode_varint, grow
from pykafka_store.model import Header

MIN_RECORD_SIZE = 7
"""The smallest record: length, attributes, two deltas, two lengths and a header count, of one byte each."""


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


_SMALL_FIELD = 8192
"""Sizes below this take two bytes at most."""


@cache
def _small_field_sizes() -> list[int]:
    """Size of a field -> that with its length before it; at the end, where -1 finds it, that of null."""
    return [*range(1, 65), *range(66, _SMALL_FIELD + 2), 1]


_VARINTS = _Table(encode_varint)
_PREFIXES = tuple(_Table(partial(_plain_prefix, delta_size)) for delta_size in (1, 2, 3))
_BEGINNINGS = _Table(lambda length: encode_varint(length + 2) + b"\x00\x00")
"""A record's bytes before its offset delta, where the timestamp delta is 0, by the length of what follows."""
_BEGINNINGS_BEFORE_TIMES = _Table(lambda length: encode_varint(length + 1) + b"\x00")
"""A record's bytes before its timestamp delta."""
_NULL_KEY_AND_SIZE = _Table(lambda value_size: b"\x01" + encode_varint(value_size))
"""A null key's length and the value's length: what stands between offset delta and value."""
_PLAIN_LIMIT = 1 << 17
"""Records beyond which a batch takes the general path, so that no batch makes the table of deltas large."""
_DELTA_BOUNDS = (0, 64, 8192, _PLAIN_LIMIT)
"""Offset deltas below 64 take one varint byte, below 8192 two, below 2^20 three."""
_DELTAS: list[bytes] = []


def _deltas(count: int) -> list[bytes]:
    """The offset deltas 0 … count-1 as varints. The table grows to what is used and is kept, up to a limit."""
    if len(_DELTAS) < min(count, _PLAIN_LIMIT):
        grow(_DELTAS, min(count, _PLAIN_LIMIT), encode_varint)
    if count > _PLAIN_LIMIT:
        return _DELTAS + list(map(encode_varint, range(_PLAIN_LIMIT, count)))
    return _DELTAS[:count]


_ALIKE_FROM = 16
"""Records of one size from which on it pays to have what stands between their values at hand."""
_BETWEEN_KEPT = 1 << 16
"""How much of that is kept, for all sizes together: some five megabytes."""
_BETWEEN: dict[int, list[bytes]] = {}
"""Size of a value -> what stands before each of a batch's plain records of that size, from the header count of the
record before to the value.
"""


def _between(size: int, count: int) -> list[bytes]:
    """The first ``count`` entries of the table. Threads share it: a list that is in it is not changed any more."""
    known = _BETWEEN.get(size, [])
    if len(known) >= count:
        return known if len(known) == count else known[:count]
    if count + sum(map(len, list(_BETWEEN.values()))) > _BETWEEN_KEPT:
        _BETWEEN.clear()
    made = list(known)
    value_size = _NULL_KEY_AND_SIZE[size]
    deltas = _deltas(count)
    for prefixes, low, high in zip(_PREFIXES, _DELTA_BOUNDS, _DELTA_BOUNDS[1:], strict=False):
        prefix = prefixes[size]
        made += [prefix + delta + value_size for delta in deltas[max(low, len(known)) : high]]
    if count <= _BETWEEN_KEPT:
        _BETWEEN[size] = made
    return made


def _encode_plain(values: Sequence[bytes], lengths: Sequence[int] | None = None) -> bytes:
    """Records with null keys, no headers and timestamp delta 0: the console's case, with no Python per record.

    Four pieces a record, each column put in its place by one slice assignment; two, where all are of one size. Raises
    TypeError for a null value.
    """
    count = len(values)
    sizes = list(map(len, values)) if lengths is None else lengths
    if count >= _ALIKE_FROM and sizes[0] == sizes[-1] and sizes.count(sizes[0]) == count:
        pieces: list[bytes] = [b"\x00"] * (2 * count + 1)
        pieces[:-1:2] = _between(sizes[0], count)
        pieces[1::2] = values
        pieces[0] = pieces[0][1:]
        return b"".join(pieces)
    pieces = [b""] * (4 * count)
    for prefixes, low, high in zip(_PREFIXES, _DELTA_BOUNDS, _DELTA_BOUNDS[1:], strict=False):
        if low < count:
            pieces[4 * low : 4 * high : 4] = prefixes.all(sizes[low:high])
    pieces[1::4] = _deltas(count)
    pieces[2::4] = _NULL_KEY_AND_SIZE.all(sizes)
    pieces[3::4] = values
    pieces[0] = pieces[0][1:]
    pieces.append(b"\x00")
    return b"".join(pieces)


def encode_columns(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int] | int,
    blocks: Sequence[bytes] | None = None,
) -> bytes:
    """Any records: the pieces of which they consist, a column each, put in their places by one slice assignment."""
    count = len(values)
    value_sizes, values = _sizes(values)
    if keys is None:
        key_sizes: Sequence[int] = [-1] * count
        columns: list[Sequence[bytes]] = [_VARINTS.all(value_sizes), values]
        columns.insert(0, [b"\x01"] * count)
    else:
        key_sizes, keys = _sizes(keys)
        columns = [_VARINTS.all(key_sizes), keys, _VARINTS.all(value_sizes), values]
    # All the bytes of a record that its length counts: attributes, two deltas, key, value and headers.
    lengths = list(map(add, _field_sizes(key_sizes), _field_sizes(value_sizes)))
    deltas = _deltas(count)
    columns.insert(0, deltas)
    if not isinstance(timestamps, int):
        base = timestamps[0]
        times = _VARINTS.all([timestamp - base for timestamp in timestamps])
        columns.insert(0, times)
        lengths = list(map(add, lengths, map(len, times)))
    beginnings = _BEGINNINGS if isinstance(timestamps, int) else _BEGINNINGS_BEFORE_TIMES
    if headers is None and blocks is None:
        columns.append([b"\x00"] * count)
        lengths = list(map(add, lengths, repeat(1)))
    else:
        if blocks is None:
            blocks = header_blocks(cast("Sequence[Sequence[Header]]", headers))
        columns.append(blocks)
        lengths = list(map(add, lengths, map(len, blocks)))
    lengths = list(map(add, lengths, map(len, deltas)))
    columns.insert(0, beginnings.all(lengths))
    width = len(columns)
    pieces: list[bytes] = [b""] * (width * count)
    for place, column in enumerate(columns):
        pieces[place::width] = column
    return b"".join(pieces)


def _sizes(column: Sequence[bytes | None]) -> tuple[list[int], Sequence[bytes]]:
    """The sizes of fields, -1 for null, and the fields with nothing where null was."""
    try:
        return list(map(len, cast("Sequence[bytes]", column))), cast("Sequence[bytes]", column)
    except TypeError:
        sizes = [-1 if field is None else len(field) for field in column]
        return sizes, [b"" if field is None else field for field in column]


def _field_sizes(sizes: Sequence[int]) -> Sequence[int]:
    """What fields of these sizes take with their lengths before them."""
    most = max(sizes)
    if most < 64 and min(sizes) >= 0:
        return list(map(add, sizes, repeat(1)))
    if most < _SMALL_FIELD:
        return itemgetter(*sizes)(_small_field_sizes()) if len(sizes) > 1 else (_small_field_sizes()[sizes[0]],)
    return [max(size, 0) + len(encode_varint(size)) for size in sizes]


def encode_records(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int] | int,
    lengths: Sequence[int] | None = None,
    blocks: Sequence[bytes] | None = None,
) -> bytes:
    """The records' bytes, uncompressed. The first record's timestamp is the batch's base timestamp.

    ``timestamps`` in ms, one for all or a column. If the caller knows them: ``lengths`` of the values (0 for null), and
    ``blocks`` of the headers (:func:`pykafka_store.format.record_loop.header_blocks`), which stand for them.
    """
    count = len(values)
    headers_are_none = headers is None and blocks is None
    if isinstance(timestamps, int) and keys is None and headers_are_none and count <= _PLAIN_LIMIT:
        with suppress(TypeError):  # a null among the values
            return _encode_plain(cast("Sequence[bytes]", values), lengths)
    encode = encode_one_by_one if COMPILED else encode_columns
    return encode(values, keys, headers, timestamps, blocks)


# ----------------------------------------------------------------------------------------------------------- decode


def decode_plain(data: bytes, count: int) -> list[bytes] | None:
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


_HEADERS: dict[bytes, tuple[Header, ...]] = {}
"""The bytes of headers -> what they say, of those that were read lately: most records' are like another's, and these
are given out as one object, by which a formatter knows them again.
"""
_HEADERS_KEPT = 4096


def decode_general(  # noqa: C901 - one loop, for a call a record would cost as much as all of it
    data: bytes, count: int, last_offset_delta: int, base_offset: int, base_timestamp: int
) -> tuple[Sequence[int], Sequence[int], list[bytes | None], list[bytes | None], Sequence[Sequence[Header]]]:
    """Offsets, timestamps, keys, values and headers of any records.

    Raises CorruptRecordError where they say something impossible, IndexError where they end too early. Most numbers
    are a byte or two, and read here; most records are the next in order and of one time, which one comparison shows.
    """
    key: bytes | None
    value: bytes | None
    offsets: list[int] | None = None
    timestamps: list[int] | None = None
    headers: list[Sequence[Header]] | None = None
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    position, total = 0, len(data)
    for index, mark in enumerate(chain(_marks(min(count, _PLAIN_LIMIT)), repeat(b"", count - _PLAIN_LIMIT))):
        begin = position
        size = data[position]
        position += 1
        if size > 127:
            if (byte := data[position]) < 128:
                size = size & 127 | byte << 7
                position += 1
            else:
                size, position = decode_varint(data, begin)
                size <<= 1
        end = position + (size >> 1)
        if size & 1 or size < 0 or end > total:
            raise CorruptRecordError(f"a record of {decode_varint(data, begin)[0]} bytes at {begin} of {total}")
        stop = position + len(mark)
        if not mark or data[position:stop] != mark:
            timestamp_delta, offset_delta, stop = _deltas_at(data, position + 1)
            if not 0 <= offset_delta <= last_offset_delta:
                raise CorruptRecordError(f"offset delta {offset_delta} in a batch of {last_offset_delta + 1}")
            if timestamp_delta and timestamps is None:
                timestamps = [base_timestamp] * index
            if offset_delta != index and offsets is None:
                offsets = list(range(base_offset, base_offset + index))
        else:
            timestamp_delta, offset_delta = 0, index
        position = stop
        if not (size := data[position]) & 0x81:
            stop = position + 1 + (size >> 1)
            key, position = data[position + 1 : stop], stop
        else:
            key, position = _nullable(data, position, end)
        if not (size := data[position]) & 0x81:
            stop = position + 1 + (size >> 1)
            value, position = data[position + 1 : stop], stop
        elif not size & 1 and not (byte := data[position + 1]) & 0x80:
            stop = position + 2 + ((size & 127 | byte << 7) >> 1)
            value, position = data[position + 2 : stop], stop
        else:
            value, position = _nullable(data, position, end)
        if position >= end:
            raise CorruptRecordError(f"a record of {end - begin} bytes at {begin} ends within a field")
        if data[position]:
            block = data[position:end]
            if (fields := _HEADERS.get(block)) is None:
                fields = _headers_of(block)
                if len(block) < 256:
                    if len(_HEADERS) >= _HEADERS_KEPT:
                        _HEADERS.clear()
                    _HEADERS[block] = fields
            if headers is None:
                headers = [()] * index
            headers.append(fields)
        elif position + 1 != end:
            raise CorruptRecordError(f"a record ends at {position + 1}, not at {end}")
        elif headers is not None:
            headers.append(())
        position = end
        if offsets is not None:
            offsets.append(base_offset + offset_delta)
        if timestamps is not None:
            timestamps.append(base_timestamp + timestamp_delta)
        keys.append(key)
        values.append(value)
    if position != total:
        raise CorruptRecordError(f"{total - position} bytes follow the last record")
    return (
        range(base_offset, base_offset + count) if offsets is None else offsets,
        [base_timestamp] * count if timestamps is None else timestamps,
        keys,
        values,
        [()] * count if headers is None else headers,
    )


def _marks(count: int) -> list[bytes]:
    """What a record at each place of a batch begins with behind its length, if it is the next and of the same time."""
    if len(_MARKS) < count:
        grow(_MARKS, count, lambda place: b"\x00\x00" + encode_varint(place))
    return _MARKS[:count]


_MARKS: list[bytes] = []


def _deltas_at(data: bytes, position: int) -> tuple[int, int, int]:
    """Timestamp delta, offset delta and where they end."""
    if (byte := data[position]) < 0x80:
        timestamp_delta, position = (byte >> 1) ^ -(byte & 1), position + 1
    else:
        timestamp_delta, position = decode_varint(data, position)
    if (byte := data[position]) < 0x80:
        return timestamp_delta, (byte >> 1) ^ -(byte & 1), position + 1
    offset_delta, position = decode_varint(data, position)
    return timestamp_delta, offset_delta, position


_TEXTS: dict[bytes, str] = {}
"""Names of headers as text, up to a limit."""


def _headers_of(block: bytes) -> tuple[Header, ...]:
    """The headers that are all of ``block``, with their count before them."""
    end = len(block)
    count, position = decode_varint(block, 0)
    if count < 0 or count * 2 > end - position:
        raise CorruptRecordError(f"{count} headers in {end - position} bytes")
    found: list[Header] = []
    name: bytes | None
    content: bytes | None
    for _ in range(count):
        if not (size := block[position]) & 0x81 and (stop := position + 1 + (size >> 1)) <= end:
            name, position = block[position + 1 : stop], stop
        else:
            name, position = _nullable(block, position, end)
        if name is None:
            raise CorruptRecordError("a header's key is null")
        if not (size := block[position]) & 0x81 and (stop := position + 1 + (size >> 1)) <= end:
            content, position = block[position + 1 : stop], stop
        else:
            content, position = _nullable(block, position, end)
        if (text := _TEXTS.get(name)) is None:
            text = name.decode("utf-8", "replace")  # as Java does
            if len(_TEXTS) < 1024 and len(name) < 256:
                _TEXTS[name] = text
        found.append((text, content))
    if position != end:
        raise CorruptRecordError(f"a record's headers end at {position} of {end} bytes")
    return tuple(found)


def _nullable(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """A length-prefixed field, null for length -1, that must end at or before ``end``."""
    if not (byte := data[position]) & 0x81 and (stop := position + 1 + (byte >> 1)) <= end:
        return data[position + 1 : stop], stop
    size, position = decode_varint(data, position)
    if size < 0:
        if size != -1:
            raise CorruptRecordError(f"a field of {size} bytes")
        return None, position
    stop = position + size
    if stop > end:
        raise CorruptRecordError(f"a field of {size} bytes, {end - position} left")
    return data[position:stop], stop
