"""The loops over fields that lie in one text (:class:`pykafka_store.fields.Fields`), from the lines to a batch's bytes.

They are for where they are compiled, and only there asked for; librt, which makes them fast, comes with what is
compiled. A producer's records with keys took two thirds of the processor's time that they took as objects, in lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le

from pykafka_store.partitioners import first_hash, last_hash, next_hash, partition_of_hash

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

NONE: Final = -1
"""In the place of a separator: there is no such field in a line."""
_PLACE: Final = 16
"""Bytes of a place (:data:`pykafka_store.fields.PLACE`)."""
_NUMBER: Final = 8
"""Bytes of a number (:data:`pykafka_store.fields.NUMBER`)."""
_NEWLINE: Final = 10
_SLOTS: Final = 1 << 13
"""A power of 2: how many fields are found again for sure, about, where fields come again."""
_TRIES: Final = 8
"""Slots that are looked at for a field."""
_MIXING: Final = 0x1E3779B97F4A7C15
_TWO_BYTES: Final = 1 << 14
"""Numbers from which on a varint takes more than two bytes."""
_COPIED: Final = 128
"""Bytes up to which a field is copied word by word; to make an object of it costs as much."""
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
    highs: i64 = 0x2020202020202020
    highs *= 4  # 0x80…, which would be an object, as would be what mypyc folds into it
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
    low: i64 = 0x3F3F3F3F3F3F3F3F
    low += low + 0x0101010101010101  # 0x7F7F…, which would be an object, as would be what mypyc folds into it
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


class _Known:
    """A field that was there before: where, and its number."""

    def __init__(self, begin: i64, end: i64, number: i64) -> None:
        self.begin = begin
        self.end = end
        self.number = number


def numbered(text: bytes, places: bytes) -> tuple[list[bytes], bytes]:
    """The fields that differ, each as an object, and for each field the number of its own among them.

    What a dictionary does for objects takes three times as long, with a field's object. Where many fields would have
    the same slot one of them may get a number twice, which costs an object and is right all the same.
    """
    found: list[bytes] = []
    numbers = BytesWriter()
    nothing = _Known(0, 0, -1)
    slots = [nothing] * _SLOTS
    place: i64 = 0
    while place < len(places):
        begin: i64 = read_i64_le(places, place)
        end: i64 = read_i64_le(places, place + 8)
        slot: i64 = _slot(text, begin, end)
        known = slots[slot]
        tries: i64 = 0
        while known.number >= 0 and tries < _TRIES and not _are_alike(text, begin, end, known.begin, known.end):
            slot = (slot + 1) & (_SLOTS - 1)
            known = slots[slot]
            tries += 1
        if known.number < 0 or tries == _TRIES:
            known = slots[slot] = _Known(begin, end, len(found))
            found.append(text[begin:end])
        write_i64_le(numbers, known.number)
        place += _PLACE
    return found, numbers.getvalue()


def _slot(text: bytes, begin: i64, end: i64) -> i64:
    hashed: i64 = end - begin
    place: i64 = begin
    while place < end:
        hashed ^= _eight(text, place, end)
        hashed = (hashed ^ hashed >> 32) * _MIXING  # the highest bits are those that all lower ones have a part in
        place += 8
    return hashed >> 48 & (_SLOTS - 1)


def _are_alike(text: bytes, begin: i64, end: i64, other: i64, other_end: i64) -> bool:
    """Whether two parts of the text are the same bytes."""
    if end - begin != other_end - other:
        return False
    place: i64 = begin
    while place < end:
        if _eight(text, place, end) != _eight(text, place - begin + other, other_end):
            return False
        place += 8
    return True


def _eight(text: bytes, place: i64, end: i64) -> i64:
    """The next eight bytes before ``end`` as a number; of fewer, one that no other as many have."""
    word: i64 = 0
    if place + 8 <= len(text):
        word = read_i64_le(text, place)
        return word if place + 8 <= end else word << 8 * (8 - end + place)
    last: i64 = end - 1
    while last >= place:
        word = word << 8 | text[last]
        last -= 1
    return word << 8 * (8 - end + place)


def measured(values: bytes, keys: bytes, blocks: list[bytes], numbers: bytes) -> tuple[int, int]:
    """The sum of the records' lengths (``lengths_of``), and the longest."""
    total: i64 = 0
    longest: i64 = 0
    place: i64 = 0
    while place < len(values):
        length: i64 = _length(values, keys, blocks, numbers, place)
        total += length
        longest = max(longest, length)
        place += _PLACE
    return total, longest


def lengths_of(values: bytes, keys: bytes, blocks: list[bytes], numbers: bytes) -> list[int]:
    """Each record's bytes of key, value and headers; empty ``keys`` and ``numbers`` stand for none. The headers as
    bytes are ``blocks``, and ``numbers`` says each record's.
    """
    lengths: list[int] = []
    place: i64 = 0
    while place < len(values):
        lengths.append(_length(values, keys, blocks, numbers, place))
        place += _PLACE
    return lengths


def _length(values: bytes, keys: bytes, blocks: list[bytes], numbers: bytes, place: i64) -> i64:
    length: i64 = read_i64_le(values, place + 8) - read_i64_le(values, place)
    if len(keys) > 0:
        length += read_i64_le(keys, place + 8) - read_i64_le(keys, place)
    if len(numbers) > 0:
        length += len(blocks[read_i64_le(numbers, place // _PLACE * _NUMBER)])
    return length


class _Part:
    """What goes to one partition: the batches that are full, and the one that is being written."""

    def __init__(self) -> None:
        self.full: list[tuple[bytes, int, int]] = []
        self.out = BytesWriter()
        self.count: i64 = 0
        """Records of the batch that is being written."""
        self.size: i64 = 0
        """Bytes of it, as they are counted against the limit."""
        self.first: i64 = 0
        """The place of its first record among all."""

    def end_batch(self) -> None:
        """Go on with another batch, in the same room."""
        self.full.append((self.out.getvalue(), self.count, self.first))
        self.out.truncate(0)
        self.count = 0
        self.size = 0


def encode_fields(
    text: bytes,
    values: bytes,
    keys: bytes,
    blocks: list[bytes],
    numbers: bytes,
    partitions: i64,
    limit: i64,
    overhead: i64,
) -> list[list[tuple[bytes, int, int]]]:
    """Batches of at most ``limit`` bytes, or of one record, for each partition: the records' bytes, as
    :func:`pykafka_store.format.records.encode_records` makes them, all with the timestamp of the batch; how many; and
    the place of the first among all.

    Columns are as in ``lengths_of``. With more than one partition there are keys, which choose. Against the limit a
    record counts by its length and ``overhead``.
    """
    has_keys, has_blocks = len(keys) > 0, len(numbers) > 0
    parts = [_Part() for _ in range(partitions)]
    part = parts[0]
    block = b"\x00"
    key: i64 = 0
    key_size: i64 = -1
    place: i64 = 0
    while place < len(values):
        value: i64 = read_i64_le(values, place)
        value_size: i64 = read_i64_le(values, place + 8) - value
        length: i64 = value_size
        if has_keys:
            key = read_i64_le(keys, place)
            key_size = read_i64_le(keys, place + 8) - key
            length += key_size
            if partitions > 1:
                part = parts[_partition(text, key, key + key_size, partitions)]
        if has_blocks:
            block = blocks[read_i64_le(numbers, place // _PLACE * _NUMBER)]
            length += len(block)
        length += overhead
        if part.size + length > limit and part.count > 0:
            part.end_batch()
        if part.count == 0:
            part.first = place // _PLACE
        _write_record(part.out, part.count, text, key, key_size, value, value_size, block)
        part.count += 1
        part.size += length
        place += _PLACE
    for part in parts:
        if part.count > 0:
            part.end_batch()
    return [part.full for part in parts]


def _partition(text: bytes, begin: i64, end: i64, partitions: i64) -> i64:
    """:func:`pykafka_store.partitioners.partition_for_key` of the key that lies there."""
    hashed: i64 = first_hash(end - begin)
    place: i64 = begin
    while place + 4 <= end:
        hashed = next_hash(hashed, _four(text, place))
        place += 4
    rest: i64 = 0
    if place < end:
        rest = _four(text, place) & 0xFFFFFFFF >> 8 * (place + 4 - end)
    return partition_of_hash(last_hash(hashed, rest, end - place), partitions)


def _four(text: bytes, place: i64) -> i64:
    """Four bytes of the text as a number; behind its end there are zeros."""
    if place + 8 <= len(text):
        return read_i64_le(text, place) & 0xFFFFFFFF
    word: i64 = 0
    last: i64 = min(place + 4, len(text)) - 1
    while last >= place:
        word = word << 8 | text[last]
        last -= 1
    return word


def _write_record(
    out: BytesWriter, number: i64, text: bytes, key: i64, key_size: i64, value: i64, value_size: i64, block: bytes
) -> None:
    """The record of this number in its batch; a key of -1 bytes is null. Lengths are doubled, which is their zigzag."""
    place: i64 = number * 2
    key_length: i64 = key_size * 2 if key_size >= 0 else 1
    value_length: i64 = value_size * 2
    # Attributes and timestamp delta, a byte each, and the rest.
    size: i64 = 2 + _size(place) + _size(key_length) + _size(value_length) + value_size + len(block)
    if key_size > 0:
        size += key_size
    size *= 2
    if size < _TWO_BYTES and place < _TWO_BYTES and key_length < _TWO_BYTES:
        # All that stands before the key is one word.
        word: i64 = _in_two(size)
        bits: i64 = 32 if size > 127 else 24
        word |= _in_two(place) << bits
        bits += 16 if place > 127 else 8
        word |= _in_two(key_length) << bits
        bits += 16 if key_length > 127 else 8
        end: i64 = len(out) + (bits >> 3)
        write_i64_le(out, word)
        out.truncate(end)
    else:
        _write(out, size)
        out.append(0)
        out.append(0)
        _write(out, place)
        _write(out, key_length)
    if key_size > 0:
        _copy(out, text, key, key_size)
    _write(out, value_length)
    _copy(out, text, value, value_size)
    if len(block) == 1:
        out.append(block[0])
    else:
        out.write(block)


def _copy(out: BytesWriter, text: bytes, begin: i64, size: i64) -> None:
    """Write a part of the text."""
    stop: i64 = begin + size
    if size > _COPIED or stop + 8 > len(text):
        out.write(text[begin:stop])
        return
    end: i64 = len(out) + size
    place: i64 = begin
    while place < stop:  # the last word may be too long
        write_i64_le(out, read_i64_le(text, place))
        place += 8
    out.truncate(end)


def _in_two(number: i64) -> i64:
    """A varint of one or two bytes, as a number whose lowest byte is its first."""
    return number if number < 128 else number & 127 | 128 | number >> 7 << 8


def _size(number: i64) -> i64:
    """How many bytes the varint of a number takes that is not below 0."""
    if number < 128:
        return 1
    if number < _TWO_BYTES:
        return 2
    size: i64 = 3
    rest: i64 = number >> 21
    while rest > 0:
        size += 1
        rest >>= 7
    return size


def _write(out: BytesWriter, number: i64) -> None:
    """Write the varint of a number that is not below 0."""
    rest: i64 = number
    byte: int = 0  # what a writer takes; of an i64 mypyc would make an object first
    while rest > 127:
        byte = rest & 127 | 128
        out.append(byte)
        rest >>= 7
    byte = rest
    out.append(byte)
