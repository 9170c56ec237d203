"""Numbers of JSON that have more digits than a double keeps.

Python's parser makes a double of each number with a point, and 0.1234567890123456789012 loses digits then. A column of
doubles keeps no more, but one of decimals does, and so does JSON in a column. Where a table has such columns, a number
that a double would change is a Decimal, and only such a number: the others stay doubles, and cost what they did.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite

MOST_BEHIND_POINT = 16383
"""Digits that PostgreSQL's numeric keeps behind the point. It rounds what has more."""

_SHAPES = bytes.maketrans(b"123456789.E", b"0000000000e")

_LONG = b"0" * 16
"""A double keeps any 15 digits, which with their point are 16 bytes at most."""

_TINY = b"0e-000"
"""Near the smallest exponents it keeps fewer."""


def may_be_lost(values: Sequence[bytes | None]) -> bool:
    """Whether doubles may lose digits of numbers in these JSON texts. It costs next to nothing a record."""
    shapes = b" ".join([value for value in values if value is not None]).translate(_SHAPES)
    return _LONG in shapes or _TINY in shapes


def exact_number(text: str) -> float | Decimal:
    """A number with a point or an exponent: a double where that has the same value, or where it is too large for one,
    which is for others to complain of. Raises ValueError.
    """
    found = float(text)
    if len(text) <= len(_LONG) and "e" not in text and "E" not in text:
        return found
    if repr(found) == text or not isfinite(found):
        return found
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError("a number has an exponent that is beyond all measure") from None
    return found if exact == Decimal(repr(found)) else exact


def is_finer(value: Decimal, most: int) -> bool:
    """Whether a number has more digits behind the point than so many, zeros at its end not counted."""
    _, digits, exponent = value.as_tuple()
    beyond = -exponent - most if isinstance(exponent, int) else 0
    return beyond > 0 and any(digits[-beyond:])


_MARK = secrets.token_hex(16)
_MARKED = re.compile(f'"{_MARK}([^"]*)"')


def _marked(value: object) -> str:
    """A text that stands for a number, which the standard library's encoder writes as a double or not at all."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is nothing that JSON has")
    if not value.is_finite() or is_finer(value, MOST_BEHIND_POINT):
        raise ValueError("the number is too long")
    return f"{_MARK}{value}"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_marked).encode


def json_of(value: object) -> str:
    """JSON with all digits of its numbers. Raises ValueError for numbers that can't be written."""
    text = _encode(value)
    return _MARKED.sub(r"\1", text) if _MARK in text else text
