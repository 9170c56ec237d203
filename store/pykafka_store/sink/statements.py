"""Groups of rows -> statements: rows that are only added stay in their order, and others come to one row a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from pykafka_store.sink.cells import Cells
from pykafka_store.sink.target import Statement

Key = tuple[object, ...]


class Group(NamedTuple):
    """Rows that have the same fields."""

    columns: tuple[str, ...]
    origin: Sequence[int]
    rows: Sequence[tuple[object, ...]]


def in_order(groups: Sequence[Group], kind: str) -> Iterator[Statement]:
    """Statements that leave the rows in the order of their records, for that is the order in which they are new."""
    filled = [group for group in groups if group.rows]
    if len(filled) == 1:
        yield Statement(kind, *filled[0][:1], filled[0].rows, filled[0].origin)  # type: ignore[arg-type]
        return
    tuples = [list(group.rows) for group in filled]
    rows = sorted(
        (index, number, row)
        for number, group in enumerate(filled)
        for index, row in zip(group.origin, range(len(group.rows)), strict=True)
    )
    begins = [0, *(at for at, (one, two) in enumerate(pairwise(rows), 1) if one[1] != two[1]), len(rows)]
    for begin, end in pairwise(begins):
        if begin == end:
            continue
        group = filled[rows[begin][1]]
        some = [tuples[rows[begin][1]][row] for _, _, row in rows[begin:end]]
        yield Statement(kind, group.columns, some, [index for index, _, _ in rows[begin:end]])  # type: ignore[arg-type]


def folded(
    groups: Sequence[Group], deletions: Group, pk: tuple[str, ...], mode: str, same: Mapping[Key, Key]
) -> list[Statement]:
    """Statements in which no key comes twice: what the records of each key come to, in their order. ``same``: keys
    that are others to the database.
    """
    filled = [group for group in groups if group.rows]
    if len(filled) <= 1 and not deletions.rows and not same:
        return [_last_of_each(group, pk, mode) for group in filled]
    events: list[tuple[int, Key, dict[str, object] | None]] = []
    for group in filled:
        key_of = key_getter(group.columns, pk)
        events += [
            (index, key_of(row), dict(zip(group.columns, row, strict=True)))
            for index, row in zip(group.origin, group.rows, strict=True)
        ]
    events += [(index, row, None) for index, row in zip(deletions.origin, deletions.rows, strict=True)]
    events.sort(key=itemgetter(0))
    deleted: dict[Key, int] = {}
    state: dict[Key, tuple[int, dict[str, object]]] = {}
    for index, given, row in events:
        key = same.get(given, given)
        if row is None:
            deleted[key] = index
            state.pop(key, None)
        elif mode == "upsert" and key in state:
            before = state[key][1]
            state[key] = index, before | row | {name: before[name] for name in pk}
        else:
            state[key] = index, row
    statements = []
    if deleted:
        statements.append(Statement("delete", pk, list(deleted), list(deleted.values())))
    by_shape: dict[tuple[str, ...], list[tuple[int, tuple[object, ...]]]] = {}
    for index, row in sorted(state.values(), key=itemgetter(0)):
        names = tuple(sorted(row))
        by_shape.setdefault(names, []).append((index, tuple(row[name] for name in names)))
    for names, rows in by_shape.items():
        statements.append(Statement(mode, names, [row for _, row in rows], [index for index, _ in rows]))  # type: ignore[arg-type]
    return statements


def _last_of_each(group: Group, pk: tuple[str, ...], mode: str) -> Statement:
    """Rows with the same columns: of each key the last one."""
    rows, origin = group.rows, group.origin
    keys: Iterable[object]
    if isinstance(rows, Cells):
        columns = [rows.column(group.columns.index(name)) for name in pk]
        keys = columns[0] if len(columns) == 1 else zip(*columns, strict=True)
    else:
        keys = map(key_getter(group.columns, pk), rows)
    last = dict(zip(keys, range(len(rows)), strict=True))
    if len(last) < len(rows):
        kept, rows = sorted(last.values()), list(rows)
        rows, origin = [rows[index] for index in kept], [origin[index] for index in kept]
    return Statement(mode, group.columns, rows, origin)  # type: ignore[arg-type]


def key_getter(columns: tuple[str, ...], pk: tuple[str, ...]) -> Callable[[tuple[object, ...]], Key]:
    """What takes a row's key out of it."""
    places = [columns.index(name) for name in pk]
    if len(places) == 1:
        place = places[0]
        return lambda row: (row[place],)
    return itemgetter(*places)
