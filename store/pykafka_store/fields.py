"""A column of fields that lie in one text: what a reader of lines hands on where the hot modules are compiled.

No field is an object of its own before somebody asks for it; a producer over a directory copies them from the text into
the batch (:mod:`pykafka_store.field_loops`), everybody else takes the column for the sequence that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import overload

PLACE = Struct("<qq")
"""A field's place in the text: where it begins, and where it ends (exclusive)."""


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
