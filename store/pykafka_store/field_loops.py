"""The loops over fields that lie in one text (:class:`pykafka_store.fields.Fields`), from the lines to a batch's bytes.

They are for where they are compiled, and only there asked for; librt, which makes them fast, comes with what is
compiled. A producer's records with keys took two thirds of the processor's time that they took as objects, in lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le

from pykafka_store.partitioners import partition_between

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

NONE: Final = -1
"""In the place of a separator: there is no such field in a line."""
_PLACE: Final = 16
"""Bytes of a place (:data:`pykafka_store.fields.PLACE`)."""
_NEWLINE: Final = 10
_SHORT: Final = 512
"""Bytes in which a newline is looked for without ``bytes.find``, which costs as much, however near it finds one."""


def cut_lines(
    text: bytes, start: i64, most: i64, delimiter: i64, separator: i64
) -> tuple[bytes, bytes, bytes, int, bool]:
    """Cut up to ``most`` lines, from ``start`` on: ``[head DELIMITER][key SEPARATOR]value``, each with its newline.

    ``delimiter`` and ``separator`` are bytes, or NONE. Returns the places of the heads, keys and values, where the
    next line begins, and whether all were cut: a line without a delimiter or a separator ends it, and is the next.
    """
    heads, keys, values = BytesWriter(), BytesWriter(), BytesWriter()
    end: i64 = len(text)
    place: i64 = start
    count: i64 = 0
    while place < end and count < most:
        # Without a delimiter the head ends before the line, and without a separator the key before the value.
        head_end: i64 = place - 1 if delimiter < 0 else _nearest(text, place, delimiter, _NEWLINE)
        if delimiter >= 0 and text[head_end] == _NEWLINE:
            break
        key_end: i64 = head_end if separator < 0 else _nearest(text, head_end + 1, separator, _NEWLINE)
        if separator >= 0 and text[key_end] == _NEWLINE:
            break
        value_end: i64 = _end_of_line(text, key_end + 1)
        if delimiter >= 0:
            write_i64_le(heads, place)
            write_i64_le(heads, head_end)
        if separator >= 0:
            write_i64_le(keys, head_end + 1)
            write_i64_le(keys, key_end)
        write_i64_le(values, key_end + 1)
        write_i64_le(values, value_end)
        place = value_end + 1
        count += 1
    are_cut = place >= end or count >= most
    return heads.getvalue(), keys.getvalue(), values.getvalue(), place, are_cut


def _end_of_line(text: bytes, start: i64) -> i64:
    """Where the next newline stands. There is one.

    To call a method of an object takes as long as to look at a line of some hundred bytes oneself, as ``_nearest``
    does; here with the first test of that chapter, which is shorter, and right for the lowest byte.
    """
    ones: i64 = 0x0101010101010101
    highs: i64 = ~(0x3F3F3F3F3F3F3F3F << 1 | 0x0101010101010101)  # 0x80…, which by itself would be an object
    place: i64 = start
    last: i64 = min(start + _SHORT, len(text)) - 8
    while place <= last:
        word: i64 = read_i64_le(text, place) ^ ones * _NEWLINE
        found: i64 = (word - ones) & ~word & highs
        if found != 0:
            return place + _lowest(found)
        place += 8
    return text.find(b"\n", place)


def _lowest(found: i64) -> i64:
    """Which of the eight bytes is the first that is not 0."""
    number: i64 = 0
    if found & 0xFFFFFFFF == 0:
        number += 4
        found >>= 32
    if found & 0xFFFF == 0:
        number += 2
        found >>= 16
    if found & 0xFF == 0:
        number += 1
    return number


def _nearest(text: bytes, start: i64, one: i64, other: i64) -> i64:
    """Where the first of two bytes stands, from ``start`` on; the end of the text if there is none.

    Eight bytes at a time: those of a word that are the one or the other become 0x80, all else 0 (Warren, Hacker's
    Delight, 6-1), and the lowest of these is the first.
    """
    low: i64 = 0x3F3F3F3F3F3F3F3F << 1 | 0x0101010101010101  # 0x7F7F…, which by itself would be an object
    ones: i64 = one * 0x0101010101010101
    others: i64 = other * 0x0101010101010101
    place: i64 = start
    end: i64 = len(text)
    while place + 8 <= end:
        word: i64 = read_i64_le(text, place)
        by_one: i64 = word ^ ones
        by_other: i64 = word ^ others
        found: i64 = ~((((by_one & low) + low) | by_one) & (((by_other & low) + low) | by_other) | low)
        if found != 0:
            return place + _lowest(found)
        place += 8
    while place < end:
        byte: i64 = text[place]
        if byte in (one, other):
            break
        place += 1
    return place


def fields_of(text: bytes, places: bytes) -> list[bytes]:
    """Each field as an object."""
    found: list[bytes] = []
    place: i64 = 0
    while place < len(places):
        found.append(text[read_i64_le(places, place) : read_i64_le(places, place + 8)])
        place += _PLACE
    return found


def lengths_of(values: bytes, keys: bytes, blocks: list[bytes]) -> list[int]:
    """Each record's bytes of key, value and headers; empty ``keys`` and ``blocks`` stand for none."""
    has_keys, has_blocks = len(keys) > 0, len(blocks) > 0
    lengths: list[int] = []
    count: i64 = len(values) // _PLACE
    number: i64 = 0
    while number < count:
        place: i64 = number * _PLACE
        length: i64 = read_i64_le(values, place + 8) - read_i64_le(values, place)
        if has_keys:
            length += read_i64_le(keys, place + 8) - read_i64_le(keys, place)
        if has_blocks:
            length += len(blocks[number])
        lengths.append(length)
        number += 1
    return lengths


def partitions_of(text: bytes, keys: bytes, partitions: i64) -> list[int]:
    """:func:`pykafka_store.partitioners.partition_for_key` of each key."""
    found: list[int] = []
    place: i64 = 0
    while place < len(keys):
        found.append(partition_between(text, read_i64_le(keys, place), read_i64_le(keys, place + 8), partitions))
        place += _PLACE
    return found


def dealt_places(places: bytes, numbers: list[int], count: int) -> list[bytes]:
    """The places of which each number from 0 is, in order, where each one's number is given."""
    parts = [BytesWriter() for _ in range(count)]
    place: i64 = 0
    for number in numbers:
        part = parts[number]
        write_i64_le(part, read_i64_le(places, place))
        write_i64_le(part, read_i64_le(places, place + 8))
        place += _PLACE
    return [part.getvalue() for part in parts]


def encode_fields(text: bytes, values: bytes, keys: bytes, blocks: list[bytes]) -> bytes:
    """The records' bytes, as :func:`pykafka_store.format.records.encode_records`, all with the timestamp of the batch.

    Empty ``keys`` and ``blocks`` stand for null keys and for no headers.
    """
    has_keys, has_blocks = len(keys) > 0, len(blocks) > 0
    out = BytesWriter()
    count: i64 = len(values) // _PLACE
    number: i64 = 0
    key_begin: i64 = 0
    key_end: i64 = 0
    while number < count:
        place: i64 = number * _PLACE
        begin: i64 = read_i64_le(values, place)
        end: i64 = read_i64_le(values, place + 8)
        # Attributes and timestamp delta, a byte each, and the rest.
        length: i64 = 2 + _size(number) + _size(end - begin) + end - begin
        if has_keys:
            key_begin = read_i64_le(keys, place)
            key_end = read_i64_le(keys, place + 8)
            length += _size(key_end - key_begin) + key_end - key_begin
        else:
            length += 1
        length += len(blocks[number]) if has_blocks else 1
        _write(out, length)
        out.append(0)
        out.append(0)
        _write(out, number)
        if has_keys:
            _write(out, key_end - key_begin)
            out.write(text[key_begin:key_end])
        else:
            out.append(1)
        _write(out, end - begin)
        out.write(text[begin:end])
        if has_blocks:
            out.write(blocks[number])
        else:
            out.append(0)
        number += 1
    return out.getvalue()


def _size(number: i64) -> i64:
    """How many bytes the varint of a number takes that is not below 0."""
    size: i64 = 1
    rest: i64 = number >> 6
    while rest > 0:
        size += 1
        rest >>= 7
    return size


def _write(out: BytesWriter, number: i64) -> None:
    """Write the varint of a number that is not below 0."""
    rest: i64 = number * 2
    byte: int = 0  # what a writer takes; of an i64 mypyc would make an object first
    while rest > 127:
        byte = rest & 127 | 128
        out.append(byte)
        rest >>= 7
    byte = rest
    out.append(byte)
