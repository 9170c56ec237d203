"""JSON arrays -> PostgreSQL's arrays, as the text that it reads. https://www.postgresql.org/docs/current/arrays.html

Each element is fitted as a value for a column of the element's type is, for PostgreSQL would round or cut what is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykafka_store.sink.limits import what_is_cut
from pykafka_store.sink.target import Column, Kind
from pykafka_store.sink.values import UnfitError, converted


def fit_arrays(values: Sequence[object], column: Column) -> tuple[list[object], dict[int, str]]:
    """Values with arrays as their texts, and for those that can't be arrays (None in their places) why. Other values
    stay as they are.
    """
    fitted: list[object] = []
    unfit: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            fitted.append(_text(value, column) if isinstance(value, list) else value)
        except UnfitError as error:
            fitted.append(None)
            unfit[index] = str(error)
        except RecursionError:
            fitted.append(None)
            unfit[index] = "the value is nested too deeply"
    return fitted, unfit


def _text(array: list[object], column: Column) -> str:
    assert column.element is not None
    if column.element is Kind.BINARY:
        raise UnfitError("bytes in an array have no form in JSON: the database's text for the array is taken as it is")
    parts = []
    for value in array:
        if value is None:
            parts.append("NULL")
        elif isinstance(value, list):
            if not value:
                raise UnfitError("an array that is empty within another one is none for the database")
            if column.element is Kind.JSON:
                raise UnfitError("an array within another one may be a JSON value, or a dimension")
            parts.append(_text(value, column))
        else:
            found = converted(column.element, value)
            if (cut := what_is_cut(found, column)) is not None:
                raise UnfitError(f"an element {cut}")
            parts.append(_element(found))
    return f"{{{column.delimiter.join(parts)}}}"


def _element(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)  # a number, whose digits are all in it
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
