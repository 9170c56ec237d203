"""The storm's records: each says what it is, where it belongs and whether it was changed.

A value is ``writer topic partition number key crc filler``, with a CRC-32 of all the rest. ``number`` counts the
records of a writer for a partition from 0; a writer that lost count of what was acknowledged goes on under another
name.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

ANY = -1
"""In place of a partition that somebody else chooses. The numbers of such records count in each partition with gaps."""


class Name(NamedTuple):
    writer: str
    topic: str
    partition: int
    number: int
    key: str

    def belongs(self, topic: str, partition: int) -> bool:
        return self.topic == topic and self.partition in (ANY, partition)


def value_of(name: Name, filler: int = 0) -> bytes:
    """The value of the record of that name, with so many bytes more."""
    head = f"{name.writer} {name.topic} {name.partition} {name.number} {name.key}".encode()
    tail = b"x" * filler
    return b"%s %08x %s" % (head, zlib.crc32(tail, zlib.crc32(head)), tail)


def name_of(value: bytes | None) -> Name:
    """What a value says that it is. Raises ValueError for one that no writer of the storm wrote like this."""
    try:
        writer, topic, partition, number, key, crc, tail = (value or b"").split(b" ", 6)
        head = b" ".join([writer, topic, partition, number, key])
        changed = int(crc, 16) != zlib.crc32(tail, zlib.crc32(head))
        name = Name(writer.decode(), topic.decode(), int(partition), int(number), key.decode())
    except ValueError:
        changed = True
    if changed:
        raise ValueError(f"no record of the storm: {value!r:.200}")
    return name
