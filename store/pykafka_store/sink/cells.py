"""Rows that all have the same columns, as one list of cells.

That is the form in which rows are bound to a statement, and every n-th cell is a column: neither costs an object a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload


class Cells(Sequence[tuple[object, ...]]):
    """Row after row, of at least one column."""

    __slots__ = ("cells", "width")

    def __init__(self, cells: list[object], width: int) -> None:
        self.cells = cells
        self.width = width

    @classmethod
    def of(cls, columns: Sequence[Sequence[object]]) -> Cells:
        """The rows of these columns, which are as long as each other."""
        width = len(columns)
        cells: list[object] = [None] * (len(columns[0]) * width)
        for number, column in enumerate(columns):
            cells[number::width] = column
        return cls(cells, width)

    def __len__(self) -> int:
        return len(self.cells) // self.width

    @overload
    def __getitem__(self, index: int) -> tuple[object, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Cells: ...
    def __getitem__(self, index: int | slice) -> tuple[object, ...] | Cells:
        width = self.width
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            assert step == 1, "rows are taken as they stand"
            return Cells(self.cells[begin * width : end * width], width)
        number = range(len(self))[index]
        return tuple(self.cells[number * width : (number + 1) * width])

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return zip(*[iter(self.cells)] * self.width, strict=True)

    def column(self, number: int) -> list[object]:
        return self.cells[number :: self.width]


def columns_of(rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """The columns of some rows; of none there are none."""
    if isinstance(rows, Cells):
        return [rows.column(number) for number in range(rows.width)]
    return list(zip(*rows, strict=True))


def cells_of(rows: Sequence[tuple[object, ...]]) -> list[object]:
    """Row after row."""
    return rows.cells if isinstance(rows, Cells) else list(chain.from_iterable(rows))
