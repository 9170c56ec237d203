"""Records -> bytes in one loop over the records: a third of what columns cost where that is compiled.

:mod:`pykafka_store.format.records` chooses, and has the way by columns; both make the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pykafka_store.format.varint import encode_varint, grow
from pykafka_store.model import Header

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

_KEPT: Final = 8192
"""Numbers from -1 to below this have their bytes in a table, as most sizes and deltas are."""
_VARINTS: Final[list[bytes]] = []
_BEGINNINGS: Final[list[bytes]] = []
"""A record's bytes before its offset delta, where the timestamp delta is 0, by the length of what follows."""
_NAMES: Final[dict[str, bytes]] = {}
"""Names of headers -> their length and bytes: most come again and again."""
_BLOCKS: Final[dict[int, tuple[Sequence[Header], bytes]]] = {}
"""Headers -> their bytes, by the very object, which is held here: so no other has its identity. Only tuples, which do
not change, are here. A reader of lines gives equal headers as one object.
"""
_BLOCKS_KEPT: Final = 4096


def encode_one_by_one(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int] | int,
    blocks: Sequence[bytes] | None = None,
) -> bytes:
    """As :func:`pykafka_store.format.records.encode_records`."""
    value_column = list(values)
    key_column = [] if keys is None else list(keys)
    times = [] if isinstance(timestamps, int) else list(timestamps)
    block_column = _column_of_blocks(headers, blocks)
    has_keys, has_headers, has_times = keys is not None, len(block_column) > 0, len(times) > 0
    key: bytes | None = None
    block = time = b"\x00"
    last_time = times[0] if has_times else 0
    pieces: list[bytes] = []
    place: i64 = 0
    count: i64 = len(value_column)
    while place < count:
        value = value_column[place]
        value_size: i64 = -1 if value is None else len(value)
        if has_keys:
            key = key_column[place]
        key_size: i64 = -1 if key is None else len(key)
        if has_headers:
            block = block_column[place]
        # What the record's length counts, but for attributes and timestamp delta.
        length: i64 = _size(place) + _size(key_size) + _size(value_size) + len(block)
        if key_size > 0:
            length += key_size
        if value_size > 0:
            length += value_size
        if has_times:
            if times[place] != last_time:
                last_time = times[place]
                time = encode_varint(last_time - times[0])
            pieces.append(_varint(length + 1 + len(time)))
            pieces.append(b"\x00")
            pieces.append(time)
        else:
            pieces.append(_beginning(length))
        pieces.append(_varint(place))
        pieces.append(_varint(key_size))
        if key is not None:
            pieces.append(key)
        pieces.append(_varint(value_size))
        if value is not None:
            pieces.append(value)
        pieces.append(block)
        place += 1
    return b"".join(pieces)


def _size(number: i64) -> i64:
    """How many bytes the varint of a number takes that is not below -1."""
    if number < 64:
        return 1
    if number < 8192:
        return 2
    if number < 1 << 20:
        return 3
    if number < 1 << 27:
        return 4
    return 5


def _varint(number: i64) -> bytes:
    """The varint of a number that is not below -1."""
    if number >= _KEPT:
        return encode_varint(number)
    if len(_VARINTS) <= number + 1:
        grow(_VARINTS, _doubled(number + 2), lambda place: encode_varint(place - 1))
    return _VARINTS[number + 1]


def _beginning(length: i64) -> bytes:
    if length >= _KEPT:
        return encode_varint(length + 2) + b"\x00\x00"
    if len(_BEGINNINGS) <= length:
        grow(_BEGINNINGS, _doubled(length + 1), lambda place: encode_varint(place + 2) + b"\x00\x00")
    return _BEGINNINGS[length]


def _doubled(count: int) -> int:
    """How large a table becomes that is to have so many entries: it is not grown for each."""
    return min(max(64, 2 * count), _KEPT + 1)


def _column_of_blocks(headers: Sequence[Sequence[Header]] | None, blocks: Sequence[bytes] | None) -> list[bytes]:
    """Each record's headers as bytes; none where no record has any."""
    if blocks is not None:
        return list(blocks)
    return [] if headers is None else header_blocks(headers)


def known_blocks(headers: Sequence[Sequence[Header]]) -> list[bytes] | None:
    """As ``header_blocks``, where all of these very objects were there before; None where one was not.

    Such headers need no second look at what is in them: it was text and bytes, and can't have changed.
    """
    if not isinstance(headers, list):
        return None
    blocks: list[bytes] = []
    for fields in headers:
        known = _BLOCKS.get(id(fields))
        if known is None:
            return None
        blocks.append(known[1])
    return blocks


def header_blocks(headers: Sequence[Sequence[Header]]) -> list[bytes]:
    """Each record's headers with their count before them."""
    blocks: list[bytes] = []
    for fields in headers:
        if not fields:
            blocks.append(b"\x00")
            continue
        known = _BLOCKS.get(id(fields))
        if known is not None:
            blocks.append(known[1])
            continue
        block = _header_block(fields)
        blocks.append(block)
        if len(block) < 256 and _never_changes(fields):
            if len(_BLOCKS) >= _BLOCKS_KEPT:
                _BLOCKS.clear()
            _BLOCKS[id(fields)] = fields, block
    return blocks


def _never_changes(fields: object) -> bool:
    """Whether it is tuples, text and bytes all the way down."""
    if type(fields) is not tuple:
        return False
    for field in fields:
        if type(field) is not tuple or len(field) != 2 or type(field[0]) is not str:
            return False
        if not (field[1] is None or type(field[1]) is bytes):
            return False
    return True


def _header_block(fields: Sequence[Header]) -> bytes:
    pieces = [_varint(len(fields))]
    for name, content in fields:
        begin = _NAMES.get(name)
        if begin is None:
            raw = name.encode()
            begin = _varint(len(raw)) + raw
            if len(_NAMES) < 1024 and len(raw) < 256:
                _NAMES[name] = begin
        pieces.append(begin)
        if content is None:
            pieces.append(b"\x01")
        else:
            pieces.append(_varint(len(content)))
            pieces.append(content)
    return b"".join(pieces)
