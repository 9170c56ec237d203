"""Which column a field gets, and what is known of a column's values."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import isfinite

from pykafka_store.sink.target import Kind
from pykafka_store.sink.values import HIGHEST, LOWEST

_NONE = type(None)


def kind_for(values: Sequence[object]) -> Kind | None:
    """The column that these values get, nulls not counted; None where there is nothing but nulls."""
    types = set(map(type, values)) - {_NONE}
    if Decimal in types:  # no column is made for digits that are rare
        types = types - {Decimal} | {float}
    if not types:
        return None
    if len(types) == 1:
        return _OF_TYPE[types.pop()]
    if types == {int, float}:
        return Kind.REAL
    if types <= {dict, list}:
        return Kind.JSON
    return Kind.TEXT


_OF_TYPE: dict[type, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.REAL,
    str: Kind.TEXT,
    dict: Kind.JSON,
    list: Kind.JSON,
    bytes: Kind.BYTES,
}


class Seen:
    """What is known of a column's values. It is found out of a few at a time, while they are in the processor's cache:
    later each look at each of them would fetch it again.
    """

    def __init__(self, values: Sequence[object] = ()) -> None:
        self.types: set[type] = set()
        """Those of the values, nulls not counted."""
        self.is_in_range = True
        """Whether all integers have 64 bits, and all floats are finite. Maybe so where this is False."""
        self.add(values)

    def add(self, values: Sequence[object]) -> None:
        types = set(map(type, values)) - {_NONE}
        self.types |= types
        self.is_in_range = self.is_in_range and _in_range(values, types)


def _in_range(values: Sequence[object], types: set[type]) -> bool:
    """Whether all integers have 64 bits, and all floats are finite. ``types`` are those of the values."""
    if types == {float}:
        if None not in values and isfinite(sum(values)):  # type: ignore[arg-type]
            return True  # a sum is finite only of numbers that are; that of large ones need not be
        return all(map(isfinite, (value for value in values if value is not None)))  # type: ignore[arg-type]
    if types == {int}:
        numbers: Sequence[int] = values  # type: ignore[assignment]
        if None in values:
            numbers = [value for value in values if value is not None]  # type: ignore[misc]
        return max(numbers) <= HIGHEST and min(numbers) >= LOWEST
    return not types & {int, float}  # a mixture is looked at value by value
