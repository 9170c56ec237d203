"""Keys that differ and are one to the database: ``a`` and ``A`` where it compares without case, two texts of one
instant. What a batch's records of a key come to has to be found by the database's measure, for its statements change a
row once, in no order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pykafka_store.sink.statements import Group, Key, key_getter
from pykafka_store.sink.target import TableSchema

Compare = Callable[[TableSchema, Sequence[str], Sequence[Key]], Sequence[int]]
"""See :meth:`pykafka_store.sink.target.Target.same_keys`, of one table."""


def same_keys(schema: TableSchema, pk: tuple[str, ...], groups: Sequence[Group], compare: Compare) -> dict[Key, Key]:
    """For keys of the groups that are the same as an earlier one: that one. None where they compare as they are."""
    if not any(schema.columns[name].compares for name in pk):
        return {}
    found: dict[Key, None] = {}
    for group in groups:
        if group.rows:
            found |= dict.fromkeys(map(key_getter(group.columns, pk), group.rows))
    keys = list(found)
    firsts = compare(schema, pk, keys) if len(keys) > 1 else range(len(keys))
    return {key: keys[first] for at, (key, first) in enumerate(zip(keys, firsts, strict=True)) if first != at}


def firsts_by(measures: Sequence[Callable[[object], object] | None], keys: Sequence[Key]) -> list[int]:
    """For each key the number of the first one that is the same by these measures, one a column; None: as it is."""
    numbers: dict[Key, int] = {}
    found = []
    for at, key in enumerate(keys):
        measured = tuple(
            value if measure is None else measure(value) for value, measure in zip(key, measures, strict=True)
        )
        found.append(numbers.setdefault(measured, at))
    return found


_CASE = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

OF_COLLATION: Mapping[str, Callable[[object], object]] = {
    "NOCASE": lambda value: value.translate(_CASE) if isinstance(value, str) else value,
    "RTRIM": lambda value: value.rstrip(" ") if isinstance(value, str) else value,
}
"""SQLite's collations but for BINARY. https://sqlite.org/datatype3.html#collating_sequences"""
