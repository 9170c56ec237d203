"""Kafka's varints: zigzag, seven bits a byte, low bits first.

Source: org.apache.kafka.common.utils.ByteUtils.
"""

from __future__ import annotations

from collections.abc import Callable

from pykafka_store.errors import CorruptRecordError


def encode_varint(number: int) -> bytes:
    """A signed number of up to 64 bits in zigzag varint form."""
    rest = ((number << 1) ^ (number >> 63)) & 0xFFFFFFFFFFFFFFFF
    if rest < 0x80:
        return rest.to_bytes(1, "big")
    return encode_unsigned_varint(rest)


def encode_unsigned_varint(number: int) -> bytes:
    """A number that is not negative, without zigzag."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
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


def grow(table: list[bytes], count: int, entry: Callable[[int], bytes]) -> None:
    """Make ``table`` hold ``entry(n)`` at each n below ``count``, and leave what is there beyond.

    Threads share such tables, and another may grow this one while the entries are made. So they are put where they
    belong, whatever is there by now, and never just at the end.
    """
    begin = len(table)
    more = [entry(number) for number in range(begin, count)]
    table[begin : begin + len(more)] = more
