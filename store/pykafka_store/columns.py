"""What may be sent: columns of bytes. What is none gets an error that says so, and not one out of the encoding.

A buffer may change while its record waits to be appended, and a memoryview's length may be another than its bytes'. So
what goes on from here is bytes, whole numbers and text, and no longer the caller's. What comes in may be anything, so
it is an ``object`` here: the compiled module would refuse what is not as declared by itself, in words of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, TypeVar, cast

from pykafka_store.compiled import COMPILED
from pykafka_store.fields import Fields, Repeated

if TYPE_CHECKING:
    from pykafka_store.model import Header

BYTES = (bytes, bytearray, memoryview)
_USUAL = frozenset({bytes, type(None)})
_NUMBERS = frozenset({int, type(None)})
T = TypeVar("T")


class Columns:
    """Records to send, as ``Producer.send`` takes them."""

    def __init__(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        headers: Sequence[Sequence[Header]] | None,
        timestamps: Sequence[int] | int | None,
        partitions: Sequence[int | None] | int | None,
    ) -> None:
        self.values = values
        self.keys = keys
        self.headers = headers
        self.timestamps = timestamps
        self.partitions = partitions


def sendable_columns(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int] | int | None,
    partitions: Sequence[int | None] | int | None,
) -> Columns:
    """The columns, with bytes for other buffers and int for other whole numbers, as numpy's.

    Raises TypeError for what is no column or does not belong into one, with its place, and ValueError for columns of
    other lengths.
    """
    for name, column in (("values", values), ("keys", keys)):
        if isinstance(column, str | bytes | bytearray | memoryview):
            raise TypeError(
                f"{name} is {_kind(column)}, and a column of {name} is needed: [{name[:-1]}] for one record"
            )
    values = values if isinstance(values, Fields) else _sliceable("values", values)
    keys = keys if keys is None or isinstance(keys, Fields) else _sliceable("keys", keys)
    headers = headers if headers is None or isinstance(headers, Repeated) else _sliceable("headers", headers)
    stamps = None if timestamps is None else _numbers("timestamps", timestamps)
    chosen = None if partitions is None else _numbers("partitions", partitions)
    for name, sent in (("keys", keys), ("headers", headers), ("timestamps", stamps), ("partitions", chosen)):
        if sent is not None and not isinstance(sent, int) and len(sent) != len(values):
            raise ValueError(f"{len(sent)} {name} for {len(values)} values")
    return Columns(
        _fields("values", values),
        None if keys is None else _fields("keys", keys),
        None if headers is None else _headers(headers),
        stamps,  # type: ignore[arg-type]  # a null is refused with the others that are no time
        chosen,
    )


def _sliceable(name: str, column: Sequence[T]) -> Sequence[T]:
    """A column of which parts can be taken."""
    if isinstance(column, list | tuple):
        return column
    if not hasattr(column, "__len__"):
        raise TypeError(f"{name} is {_kind(column)}, and a column of {name} is needed, as a list is")
    return list(column)


def _fields(name: str, column: Sequence[object]) -> Sequence[bytes | None]:
    if isinstance(column, Fields):
        return column
    if _are_usual(column) if COMPILED else _USUAL.issuperset(map(type, column)):
        return cast("Sequence[bytes | None]", column)
    found: list[bytes | None] = []
    for place, item in enumerate(column):
        if item is not None and not isinstance(item, BYTES):
            hint = ": text is encoded first, as in 'tea'.encode()" if isinstance(item, str) else ""
            raise TypeError(f"{name}[{place}] is {_kind(item)}, and not bytes, or None for null{hint}")
        found.append(None if item is None else bytes(item))
    return found


def _are_usual(column: Sequence[object]) -> bool:
    for item in column if isinstance(column, list) else list(column):
        if item is not None and type(item) is not bytes:
            return False
    return True


def has_null(column: Sequence[object]) -> bool:
    """Whether there is a null in the column."""
    if isinstance(column, Fields):
        return False
    if COMPILED:  # ``in`` asks each item whether it equals None
        return any(item is None for item in column)
    return None in column


def _headers(column: Sequence[object]) -> Sequence[Sequence[Header]]:
    """The headers of each record. Records that share the very object are looked at once, and go on sharing it."""
    if isinstance(column, Repeated):
        return Repeated(list(_headers(column.items)), column.numbers)
    distinct = dict(zip(map(id, column), column, strict=True))
    usual = _usual_names(list(distinct.values()))
    names: set[str] = set() if usual is None else usual
    if usual is None:
        for fields in distinct.values():
            if not isinstance(fields, list | tuple | Sequence):
                raise TypeError(f"A record's headers are a list of them, or (), and not {fields!r:.80}")
            names.update(_header(field)[0] for field in fields)
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"A header's name is text that UTF-8 can say, and not {name!r:.80}") from None
    if usual is not None:
        return cast("Sequence[Sequence[Header]]", column)
    plain = {place: tuple(map(_header, cast("Sequence[object]", fields))) for place, fields in distinct.items()}
    return [plain[place] for place in map(id, column)]


def _usual_names(column: list[object]) -> set[str] | None:
    """The names in headers of which each is a tuple of text and bytes, or null; None where one is something else."""
    names: set[str] = set()
    for fields in column:
        if type(fields) is not tuple and type(fields) is not list:
            return None
        for field in fields:
            if type(field) is not tuple or len(field) != 2:
                return None
            name, content = field
            if type(name) is not str or not (content is None or type(content) is bytes):
                return None
            names.add(name)
    return names


def _header(field: object) -> Header:
    match field:
        case (str() as name, None):
            return str(name), None
        case (str() as name, bytes() | bytearray() | memoryview() as content):
            return str(name), bytes(content)
    raise TypeError(f"A header is a name and bytes, or None: ('name', b'value'), and not {field!r:.80}")


def _numbers(name: str, column: object) -> Sequence[int | None] | int:
    """Whole numbers, or one for all records."""
    if isinstance(column, int):
        return int(column)
    if not hasattr(column, "__len__"):
        return _number(name, column)
    numbers = _sliceable(name, cast("Sequence[object]", column))
    if _NUMBERS.issuperset(map(type, numbers)):
        if name == "timestamps" and None in numbers:
            raise TypeError(f"timestamps[{list(numbers).index(None)}] is None, and no whole number")
        return cast("Sequence[int | None]", numbers)
    return [
        None if item is None and name == "partitions" else _number(f"{name}[{place}]", item)
        for place, item in enumerate(numbers)
    ]


def _number(name: str, item: object) -> int:
    try:
        return int(index(item))  # type: ignore[arg-type]  # what has no index is what the error is for
    except TypeError:
        raise TypeError(f"{name} is {_kind(item)}, and no whole number") from None


def _kind(item: object) -> str:
    return type(item).__name__
