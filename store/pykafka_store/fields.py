"""A column of fields that lie in one text: what a reader of lines hands on where the hot modules are compiled.

No field is an object of its own before somebody asks for it; a producer over a directory copies them from the text into
the batch (:mod:`pykafka_store.field_loops`), everybody else takes the column for the sequence that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import TypeVar, overload

PLACE = Struct("<qq")
"""A field's place in the text: where it begins, and where it ends (exclusive)."""
NUMBER = Struct("<q")
T = TypeVar("T")


class Fields(Sequence[bytes]):
    """See the module. There are no nulls among them."""

    __slots__ = ("places", "text")

    def __init__(self, text: bytes, places: bytes) -> None:
        """``places``: a PLACE for each field, one behind the other."""
        self.text = text
        self.places = places

    def __len__(self) -> int:
        return len(self.places) // PLACE.size

    def __iter__(self) -> Iterator[bytes]:
        from pykafka_store.field_loops import fields_of

        return iter(fields_of(self.text, self.places))

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Fields: ...
    def __getitem__(self, index: int | slice) -> bytes | Fields:
        """A slice, which goes forward step by step, is a column over the same text."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"a slice of fields has no step, and not {step}")
            return Fields(self.text, self.places[start * PLACE.size : stop * PLACE.size])
        begin, end = PLACE.unpack_from(self.places, range(len(self))[index] * PLACE.size)
        return self.text[begin:end]


class Repeated(Sequence[T]):
    """A column in which a few items come again and again: the items, and each record's by its place among them."""

    __slots__ = ("items", "numbers")

    def __init__(self, items: list[T], numbers: bytes) -> None:
        """``numbers``: a NUMBER for each record, one behind the other."""
        self.items = items
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers) // NUMBER.size

    def __iter__(self) -> Iterator[T]:
        return iter([self.items[number] for (number,) in NUMBER.iter_unpack(self.numbers)])

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Repeated[T]: ...
    def __getitem__(self, index: int | slice) -> T | Repeated[T]:
        """A slice, which goes forward step by step, is a column of the same items."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"a slice of such a column has no step, and not {step}")
            return Repeated(self.items, self.numbers[start * NUMBER.size : stop * NUMBER.size])
        (number,) = NUMBER.unpack_from(self.numbers, range(len(self))[index] * NUMBER.size)
        return self.items[int(number)]


class Lengths(Sequence[int]):
    """How long records of fields are, with their keys and headers: the sum and the longest, without an object for each.

    The columns are :func:`pykafka_store.field_loops.lengths_of`'s.
    """

    __slots__ = ("_columns", "longest", "total")

    def __init__(self, values: bytes, keys: bytes, blocks: list[bytes], numbers: bytes) -> None:
        from pykafka_store.field_loops import measured

        self._columns = values, keys, blocks, numbers
        self.total, self.longest = measured(values, keys, blocks, numbers)

    def __len__(self) -> int:
        return len(self._columns[0]) // PLACE.size

    def __iter__(self) -> Iterator[int]:
        from pykafka_store.field_loops import lengths_of

        return iter(lengths_of(*self._columns))

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Lengths: ...
    def __getitem__(self, index: int | slice) -> int | Lengths:
        """A slice, which goes forward step by step, is of the same columns."""
        if not isinstance(index, slice):
            index = range(len(self))[index]
            return self[index : index + 1].total
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"a slice of lengths has no step, and not {step}")
        values, keys, blocks, numbers = self._columns
        place, number = slice(start * PLACE.size, stop * PLACE.size), slice(start * NUMBER.size, stop * NUMBER.size)
        return Lengths(values[place], keys[place], blocks, numbers[number])
