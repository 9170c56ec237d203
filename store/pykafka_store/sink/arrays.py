"""JSON arrays -> PostgreSQL's arrays, as the text that it reads. https://www.postgresql.org/docs/current/arrays.html
A text that is one already is taken as it is, once its elements are known to fit.

Each element is fitted as a value for a column of the element's type is, for PostgreSQL would round or cut what is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from math import isfinite

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
            if isinstance(value, str):
                _check_text(value, column)
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


_KEPT = {
    Kind.TEXT, Kind.JSON, Kind.BINARY, Kind.OTHER, Kind.BOOLEAN, Kind.INTEGER, Kind.INTEGER32, Kind.INTEGER16,
}  # fmt: skip
"""Types that keep all of a text, or refuse it, apart from what their lengths cut."""


def _check_text(array: str, column: Column) -> None:
    """Raises UnfitError for an array's text where the database would change an element in silence. Whether it is one
    is for the database to say.
    """
    assert column.element is not None
    for text in _elements(array, column.delimiter):
        found: object = text
        if column.element in {Kind.DOUBLE, Kind.REAL32}:
            found = converted(column.element, _double(text))
        elif column.element not in _KEPT:
            found = converted(column.element, text)
        if (cut := what_is_cut(found, column)) is not None:
            raise UnfitError(f"an element {cut}")


def _double(text: str) -> object:
    """The number of a text, where a double keeps it; else the text."""
    try:
        number = float(text)
        return number if isfinite(number) and Decimal(repr(number)) == Decimal(text) else text
    except (ValueError, InvalidOperation):
        return text


def _elements(array: str, delimiter: str) -> Iterator[str]:
    """What stands in an array's text, but for NULL."""
    for found in _element_of(delimiter).finditer(array, array.find("{") + 1):
        quoted, bare = found.groups()
        if bare is None or bare.upper() != "NULL":
            yield re.sub(r"\\(.)", r"\1", bare if quoted is None else quoted, flags=re.DOTALL)


@cache
def _element_of(delimiter: str) -> re.Pattern[str]:
    some = rf'[^{{}}"\\\s{delimiter}]|\\.'
    return re.compile(rf'"((?:[^"\\]|\\.)*)"|((?:{some})(?:(?:{some}|\s)*(?:{some}))?)', re.DOTALL)


def _element(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)  # a number, whose digits are all in it
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
