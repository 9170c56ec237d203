"""Reading requests and answers: bytes -> fields, by a schema of dataclasses as kio has them, with nothing believed that
they claim.

kio's own reader makes room for as many items as an array says that it has, and ends the process where there is none.
Here no count, length or size is used before it was compared with the bytes that are left, and all arrays of one
together have at most ``MOST_ITEMS``.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing
import uuid
from collections.abc import Callable
from functools import cache
from struct import Struct
from types import SimpleNamespace
from typing import Any, TypeAlias

from pykafka_store.protocol.fields import FieldShape, shape_of

MOST_ITEMS = 1_000_000
"""Items of all arrays of one request: a hundred times what a client with ten thousand partitions says of each."""


class Unreadable(ValueError):  # noqa: N818 - it says what the bytes are
    """These bytes are no such request, and no such answer."""


class Cursor:
    """Where in the bytes the reader is."""

    __slots__ = ("at", "data", "end", "items")

    def __init__(self, data: memoryview, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.end = len(data)
        self.items = MOST_ITEMS

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes. Raises Unreadable where there are fewer."""
        at = self.at
        if not 0 <= count <= self.end - at:
            raise Unreadable(f"{count} bytes at {at} of {self.end}")
        self.at = at + count
        return self.data[at : self.at]

    def count(self, items: int) -> int:
        """That many items of an array follow, each of a byte at least. Raises Unreadable where that can't be."""
        if not 0 <= items <= self.end - self.at or items > self.items:
            raise Unreadable(f"an array of {items} at {self.at} of {self.end}")
        self.items -= items
        return items

    def varint(self) -> int:
        """An unsigned varint of at most 32 bits."""
        value = shift = 0
        while shift < 35:
            if self.at >= self.end:
                raise Unreadable("the bytes end within a number")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise Unreadable("a number of more than five bytes")


Reader: TypeAlias = Callable[[Cursor], Any]

_FIXED = {
    "int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "uint8": ">B", "uint16": ">H", "uint32": ">I",
    "uint64": ">Q", "float64": ">d", "bool": ">?", "error_code": ">h",
    "datetime_i64": ">q",
}  # fmt: skip
_DURATIONS = {"timedelta_i32": ">i", "timedelta_i64": ">q"}


def _fixed(layout: str) -> Reader:
    struct = Struct(layout)
    unpack, size = struct.unpack_from, struct.size

    def read(cursor: Cursor) -> Any:
        at = cursor.at
        if cursor.end - at < size:
            raise Unreadable("the bytes end within a number")
        cursor.at = at + size
        return unpack(cursor.data, at)[0]

    return read


def _duration(layout: str) -> Reader:
    number = _fixed(layout)
    return lambda cursor: datetime.timedelta(milliseconds=number(cursor))


_INT16, _INT32 = _fixed(">h"), _fixed(">i")


def _length_of(kind: str, *, flexible: bool) -> Reader:
    """Reads the length of a string or of bytes; -1 for null."""
    if flexible:
        return lambda cursor: cursor.varint() - 1
    return _INT16 if kind == "string" else _INT32


def _sized(kind: str, *, flexible: bool, nullable: bool) -> Reader:
    length_of = _length_of(kind, flexible=flexible)
    is_text = kind == "string"

    def read(cursor: Cursor) -> Any:
        length = length_of(cursor)
        if length < 0:
            if length == -1 and nullable:
                return None
            raise Unreadable(f"a field of {length} bytes")
        data = bytes(cursor.take(length))
        return data.decode() if is_text else data

    return read


def _uuid(cursor: Cursor) -> uuid.UUID | None:
    value = uuid.UUID(bytes=bytes(cursor.take(16)))
    return value if value.int else None


def _primitive(kind: str, *, flexible: bool, nullable: bool) -> Reader:
    if kind in _FIXED:
        return _fixed(_FIXED[kind])
    if kind in _DURATIONS:
        return _duration(_DURATIONS[kind])
    if kind == "uuid":
        return _uuid
    if kind in {"string", "bytes", "records"}:
        return _sized(kind, flexible=flexible, nullable=nullable)
    raise NotImplementedError(f"nothing has a field of type {kind}")


def _array(item: Reader, *, flexible: bool, nullable: bool) -> Reader:
    def read(cursor: Cursor) -> Any:
        items = cursor.varint() - 1 if flexible else _INT32(cursor)
        if items < 0:
            if items == -1 and nullable:
                return None
            raise Unreadable(f"an array of {items}")
        return tuple([item(cursor) for _ in range(cursor.count(items))])

    return read


def _nullable_entity(entity: Reader) -> Reader:
    marker = _fixed(">b")
    return lambda cursor: None if marker(cursor) < 0 else entity(cursor)


def _field(shape: FieldShape) -> Reader:
    """What reads one field of a schema."""
    if shape.entity is not None:
        read = reader_of(shape.entity)
        if shape.nullable and not shape.is_array:
            read = _nullable_entity(read)
    else:
        read = _primitive(shape.primitive, flexible=shape.flexible, nullable=shape.nullable and not shape.is_array)
    return _array(read, flexible=shape.flexible, nullable=shape.nullable) if shape.is_array else read


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


@cache
def reader_of(schema: type) -> Reader:
    """What reads an entity: an object with the schema's fields. It raises Unreadable, and UnicodeDecodeError."""
    hints = typing.get_type_hints(schema)
    fields: list[tuple[str, Reader]] = []
    tagged: dict[int, tuple[str, Reader]] = {}
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        read = _field(shape_of(field, hints[field.name], schema))
        if "tag" in field.metadata:
            tagged[field.metadata["tag"]] = field.name, read
            defaults[field.name] = _default_of(field)
        else:
            fields.append((field.name, read))
    flexible = bool(schema.__flexible__)  # type: ignore[attr-defined]

    def read_entity(cursor: Cursor) -> SimpleNamespace:
        found = {name: read(cursor) for name, read in fields}
        if flexible:
            found |= defaults
            for _ in range(cursor.count(cursor.varint())):
                _read_tagged(cursor, tagged, found)
        return SimpleNamespace(**found)

    return read_entity


def _read_tagged(cursor: Cursor, tagged: dict[int, tuple[str, Reader]], found: dict[str, Any]) -> None:
    """One tagged field; one that is not known is passed over."""
    tag, size = cursor.varint(), cursor.varint()
    if size > cursor.end - cursor.at:
        raise Unreadable(f"a tagged field of {size} bytes")
    stop = cursor.at + size
    if tag in tagged:
        name, read = tagged[tag]
        found[name] = read(cursor)
        if cursor.at != stop:
            raise Unreadable(f"{name} ends at {cursor.at}, not at {stop}")
    cursor.at = stop
