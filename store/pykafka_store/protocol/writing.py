"""Writing answers and requests: fields -> bytes, by a schema of dataclasses as kio has them.

Whatever has the fields is written: the schema says which of them a version has, and in which order. Times and durations
are numbers of milliseconds here, error codes numbers. Large fields are kept as they are, so that what lies in a log is
sent from there. (kio's own writer wants its own objects, and imports asyncio, which takes longer than all else here.)
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any, Protocol, TypeAlias

from pykafka_store.format.varint import encode_unsigned_varint
from pykafka_store.protocol.fields import FieldShape, shape_of

_SMALL = 4096
"""Bytes of a field that is copied; a larger one is a piece of its own."""


class Piece(Protocol):
    """Bytes that an answer holds without having them in memory."""

    def __len__(self) -> int: ...


class Pieces:
    """What is written to."""

    def __init__(self) -> None:
        self.size = 0
        self._done: list[bytes | Piece] = []
        self._some: list[bytes] = []

    def add(self, data: bytes) -> None:
        """A few bytes."""
        self.size += len(data)
        self._some.append(data)

    def add_piece(self, data: bytes | Piece) -> None:
        """Bytes that may be many, or not in memory."""
        if isinstance(data, bytes) and len(data) < _SMALL:
            self.add(data)
            return
        self._flush()
        self.size += len(data)
        self._done.append(data)

    def varint(self, value: int) -> None:
        """An unsigned varint."""
        self.add(encode_unsigned_varint(value))

    def _flush(self) -> None:
        if self._some:
            self._done.append(b"".join(self._some))
            self._some = []

    def all(self) -> list[bytes | Piece]:
        """All that was written, in order."""
        self._flush()
        return self._done


Writer: TypeAlias = Callable[[Pieces, Any], None]

_FIXED = {
    "int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "uint8": ">B", "uint16": ">H", "uint32": ">I",
    "uint64": ">Q", "float64": ">d", "error_code": ">h", "timedelta_i32": ">i", "timedelta_i64": ">q",
    "datetime_i64": ">q",
}  # fmt: skip
_INT16, _INT32 = Struct(">h").pack, Struct(">i").pack


def _fixed(layout: str) -> Writer:
    pack = Struct(layout).pack
    return lambda pieces, value: pieces.add(pack(value))


def _boolean(pieces: Pieces, value: bool) -> None:
    pieces.add(b"\x01" if value else b"\x00")


def _uuid(pieces: Pieces, value: Any) -> None:
    pieces.add(bytes(16) if value is None else value.bytes)


def _sized(kind: str, *, flexible: bool, nullable: bool) -> Writer:
    pack = _INT16 if kind == "string" else _INT32

    def write(pieces: Pieces, value: Any) -> None:
        if value is None:
            if not nullable:
                raise TypeError("a field is null that may not be")
            pieces.add(b"\x00" if flexible else pack(-1))
            return
        data = value.encode() if kind == "string" else value
        if flexible:
            pieces.varint(len(data) + 1)
        else:
            pieces.add(pack(len(data)))
        pieces.add_piece(data)

    return write


def _primitive(kind: str, *, flexible: bool, nullable: bool) -> Writer:
    if kind in _FIXED:
        return _fixed(_FIXED[kind])
    if kind == "bool":
        return _boolean
    if kind == "uuid":
        return _uuid
    if kind in {"string", "bytes", "records"}:
        return _sized(kind, flexible=flexible, nullable=nullable)
    raise NotImplementedError(f"nothing has a field of type {kind}")


def _array(item: Writer, *, flexible: bool, nullable: bool) -> Writer:
    def write(pieces: Pieces, value: Any) -> None:
        if value is None and not nullable:
            raise TypeError("an array is null that may not be")
        count = -1 if value is None else len(value)
        if flexible:
            pieces.varint(count + 1)
        else:
            pieces.add(_INT32(count))
        for each in value or ():
            item(pieces, each)

    return write


def _nullable_entity(entity: Writer) -> Writer:
    def write(pieces: Pieces, value: Any) -> None:
        pieces.add(b"\xff" if value is None else b"\x01")
        if value is not None:
            entity(pieces, value)

    return write


def _field(shape: FieldShape) -> Writer:
    """What writes one field of a schema."""
    if shape.entity is not None:
        write = writer_of(shape.entity)
        if shape.nullable and not shape.is_array:
            write = _nullable_entity(write)
    else:
        write = _primitive(shape.primitive, flexible=shape.flexible, nullable=shape.nullable and not shape.is_array)
    return _array(write, flexible=shape.flexible, nullable=shape.nullable) if shape.is_array else write


@cache
def writer_of(schema: type) -> Writer:
    """What writes an entity: anything that has the schema's fields. A tagged field that it lacks is left out; for any
    other it raises AttributeError.
    """
    hints = typing.get_type_hints(schema)
    flexible = bool(schema.__flexible__)  # type: ignore[attr-defined]
    fields: list[tuple[str, Writer]] = []
    tagged: list[tuple[int, str, Writer]] = []
    for field in dataclasses.fields(schema):
        write = _field(shape_of(field, hints[field.name], schema))
        if "tag" in field.metadata:
            tagged.append((field.metadata["tag"], field.name, write))
        else:
            fields.append((field.name, write))
    tagged.sort(key=lambda each: each[0])

    def write_entity(pieces: Pieces, value: Any) -> None:
        for name, write in fields:
            write(pieces, getattr(value, name))
        if flexible:
            there = [each for each in tagged if hasattr(value, each[1])]
            pieces.varint(len(there))
            for tag, name, write in there:
                _write_tagged(pieces, tag, getattr(value, name), write)

    return write_entity


def _write_tagged(pieces: Pieces, tag: int, value: Any, write: Writer) -> None:
    inner = Pieces()
    write(inner, value)
    pieces.varint(tag)
    pieces.varint(inner.size)
    for each in inner.all():
        pieces.add_piece(each)
