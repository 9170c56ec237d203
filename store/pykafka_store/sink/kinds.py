"""Which column a field gets, and how a value gets into a column: as it is, converted so that it can be told back, or
not at all. Nothing here changes a value in silence.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from math import isfinite

from pykafka_store.sink.digits import MOST_BEHIND_POINT, is_finer, json_of
from pykafka_store.sink.target import Column, Kind

HIGHEST, LOWEST = 2**63 - 1, -(2**63)

_EPOCH = datetime(1970, 1, 1)

_SMALLEST_REAL32 = 2.0**-126
"""Smaller ones lose digits."""

_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n\v\f\r]*")
"""What SQLite takes for a number where a column's affinity is numeric."""

_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_NO_NUL = "the text holds U+0000, which this database can't hold"

_NONE = type(None)


class UnfitError(ValueError):
    """A value can't be in a column, and why."""


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


def fit(
    kind: Kind, values: Sequence[object], *, has_surrogates: bool, refuses_nul: bool, seen: Seen | None = None
) -> tuple[Sequence[object], dict[int, str]]:
    """A column's values as they can be bound, and for those that can't be (None in their places) why.

    ``has_surrogates``: text may hold half a surrogate pair. ``refuses_nul``: text may not hold U+0000, and may have it.
    ``seen``: of these values, or of more.
    """
    seen = seen or Seen(values)
    if Decimal in seen.types and kind in DOUBLES:
        values = [_as_double(value) for value in values]
        seen = Seen(values)
    text_may_not_do = str in seen.types and (has_surrogates or refuses_nul)
    if seen.types <= _AS_THEY_ARE[kind] and seen.is_in_range and not text_may_not_do:
        return values, {}
    convert = _CONVERT[kind]
    fitted: list[object] = []
    unfit: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            found = None if value is None else convert(value)
            if isinstance(found, str):
                _check_text(found, refuses_nul=refuses_nul)
                if refuses_nul and kind is Kind.JSON and _JSON_NUL.search(found):
                    raise UnfitError(_NO_NUL)
        except RecursionError:
            found, unfit[index] = None, "the value is nested too deeply"
        except UnfitError as error:
            found, unfit[index] = None, str(error)
        fitted.append(found)
    return fitted, unfit


def _as_double(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


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


_AS_THEY_ARE: dict[Kind, set[type]] = {
    Kind.INTEGER: {int},
    Kind.REAL: {float},
    Kind.BOOLEAN: {bool},
    Kind.NUMERIC: {int},
    Kind.TEXT: {str},
    Kind.JSON: set(),
    Kind.BYTES: {bytes},
    Kind.ANY: {int, float, str, bytes},
    Kind.INTEGER32: set(),
    Kind.INTEGER16: set(),
    Kind.DECIMAL: {int},
    Kind.BINARY: {bytes},
    Kind.OTHER: {str},
    Kind.REAL32: set(),
    Kind.DATE: set(),
    Kind.LOCAL_TIME: set(),
    Kind.TIMESTAMP: set(),
}


DOUBLES = frozenset({Kind.REAL, Kind.REAL32, Kind.NUMERIC, Kind.ANY})
"""Columns that keep a double of a number with a point, and not more. But JSON may be in the last two."""


def _check_text(text: str, *, refuses_nul: bool) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnfitError("the text holds half a surrogate pair, which is no character") from None
    if refuses_nul and "\0" in text:
        raise UnfitError(_NO_NUL)


def shown(value: object) -> str:
    """A value in a message: at most some 60 characters of it."""
    if isinstance(value, int) and abs(value) >= 10**40:
        text = "an integer of more than 40 digits"
    elif isinstance(value, str | bytes):
        text = repr(value)
    else:  # as the record has it: JSON's words, and not Python's
        text = _told(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(value: object) -> str:
    try:
        return json_of(value)
    except (TypeError, ValueError):  # Infinity, or what is no JSON at all
        return json.dumps(value, ensure_ascii=False, default=repr)


def _integer(value: object) -> object:
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2.0**53
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
    if whole or (isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value)):
        value = int(value)  # type: ignore[call-overload]
    if not isinstance(value, int):
        raise UnfitError(f"{shown(value)} is no integer")
    if not LOWEST <= value <= HIGHEST:
        raise UnfitError(f"{shown(value)} has more than 64 bits")
    return int(value)


def _integer_of(bits: int) -> Callable[[object], object]:
    def convert(value: object) -> object:
        found = _integer(value)
        assert isinstance(found, int)
        if not -(1 << bits - 1) <= found < 1 << bits - 1:
            raise UnfitError(f"{shown(value)} has more than {bits} bits")
        return found

    return convert


def _real(value: object) -> object:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
        if number is not None and repr(number) == value and isfinite(number):
            return number
    elif isinstance(value, float):
        if isfinite(value):
            return value
        raise UnfitError("the number is too large for a double")
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) <= HIGHEST and int(float(value)) == value:
            return float(value)
        raise UnfitError(f"{shown(value)} can't be a double without losing digits")
    raise UnfitError(f"{shown(value)} is no number")


def _boolean(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise UnfitError(f"{shown(value)} is no boolean")


def _numeric(value: object) -> object:
    """For SQLite's affinity of that name, which makes a number of text that looks like one."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            try:
                return _integer(value)
            except UnfitError:
                return _real(value)
        return value
    return _any(value)


def _real32(value: object) -> object:
    found = _real(value)
    assert isinstance(found, float)
    try:
        (kept,) = struct.unpack("f", struct.pack("f", found))
    except OverflowError:
        kept = float("inf")
    # The shortest text that means what 4 bytes keep is what a reader gets back.
    shortest = next(text for digits in range(1, 10) if _as_real32(text := f"{kept:.{digits}g}") == kept)
    if float(shortest) != found or (found and abs(found) < _SMALLEST_REAL32):
        raise UnfitError(f"{shown(value)} has more digits than 4 bytes keep: a column of double precision has them")
    return found


def _as_real32(text: str) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", float(text)))[0])
    except OverflowError:
        return float("inf")


def cut_values(values: Sequence[object], column: Column) -> dict[int, str]:
    """What of fitted values a column would drop in silence, by their numbers."""
    texts = [value for value in values if isinstance(value, str)]
    if column.length is not None:
        may_be = any(map(column.length.__lt__, map(len, texts)))
    else:  # a first look at all at once
        may_be = (
            column.kind is Kind.DECIMAL or re.search(rf"\.[0-9]{{{column.scale}}}[0-9]", "\n".join(texts)) is not None
        )
    if not may_be:
        return {}
    return {index: f"it {what}" for index, value in enumerate(values) if (what := what_is_cut(value, column))}


def what_is_cut(value: object, column: Column) -> str | None:
    """What of a fitted value, or an element, a column would drop in silence; None where it keeps all."""
    if value is None:
        return None
    if column.scale is not None and _is_too_fine(value, column):
        return f"has more than the {column.scale} digits behind the point that the column keeps"
    if column.length is not None and isinstance(value, str):
        beyond = value[column.length :]
        if beyond and not beyond.strip(" "):  # the database refuses all others itself
            return f"has spaces behind the {column.length} characters that the column keeps"
    return None


def _is_too_fine(value: object, column: Column) -> bool:
    scale = column.scale
    assert scale is not None
    if (column.element or column.kind) is Kind.DECIMAL:
        return is_finer(Decimal(str(value)), scale)
    return isinstance(value, str) and _finer_time(scale).search(value) is not None


@cache
def _finer_time(scale: int) -> re.Pattern[str]:
    """Finds a time's fraction with more digits than that. The points of 31.1.2026 are in front of none."""
    return re.compile(rf"(?<!\.[0-9])(?<!\.[0-9][0-9])\.(?![0-9]*\.)[0-9]{{{scale}}}[0-9]*[1-9]")


def _date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4,6}-[0-9]{2}-[0-9]{2}|-?infinity", value):
        return value
    raise UnfitError(f"{shown(value)} is no date as in 2026-01-31")


def _local_time(value: object) -> object:
    if isinstance(value, str) and re.search(
        r"[0-9](?: ?[zZ]| ?[+-][0-9]{1,2}(?::?[0-9]{2})*| [A-Za-z][A-Za-z/_]+)$", value
    ):
        raise UnfitError(f"{shown(value)} has a zone, and the column (timestamp without time zone) would drop it")
    return _text(value)


def _decimal(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not isfinite(value):
            raise UnfitError("the number is too large for a double")
        return value
    if isinstance(value, str) and re.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", value):
        if len(value) > MOST_BEHIND_POINT:
            _decimal(Decimal(value))
        return value
    if isinstance(value, Decimal):
        if is_finer(value, MOST_BEHIND_POINT):
            raise UnfitError(f"the number has more than {MOST_BEHIND_POINT} digits behind the point")
        return value
    raise UnfitError(f"{shown(value)} is no number")


def _text(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise UnfitError("the bytes are not UTF-8")
    return _json(value)


def _json(value: object) -> object:
    if isinstance(value, bytes):
        raise UnfitError("the bytes are not UTF-8")
    try:
        return json_of(value)
    except ValueError:
        raise UnfitError("a number in it is too large for a double, or too long") from None


def _bytes(value: object) -> object:
    return value if isinstance(value, bytes | str) else _json(value)


def _binary(value: object) -> object:
    if isinstance(value, bytes):
        return value
    text = _text(value)
    assert isinstance(text, str)
    _check_text(text, refuses_nul=False)
    return text.encode()


def _any(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _real(value)
    return value if isinstance(value, bytes | str) else _json(value)


def moment(value: object, kind: Kind) -> object:
    """Milliseconds since 1970 as a text that a database takes for that instant, in UTC. With its zone where the column
    may have one (PostgreSQL's), else without, as SQLite's functions read it.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnfitError(f"{shown(value)} is no number of milliseconds")
    try:
        found = _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise UnfitError(f"{shown(value)} milliseconds since 1970 are beyond the years 1 to 9999") from None
    return f"{found.isoformat(sep=' ', timespec='milliseconds')}{'+00' if kind is Kind.OTHER else ''}"


def unbase64(value: object, _kind: Kind) -> object:
    """The bytes of a text in base64."""
    if isinstance(value, str):
        try:
            found = b64decode(value, validate=True)
        except ValueError:
            found = None
        if found is not None and b64encode(found).decode() == value:
            return found
    raise UnfitError(f"{shown(value)} is no base64")


_TYPED: dict[str, Callable[[object, Kind], object]] = {"timestamp-ms": moment, "base64": unbase64}
"""What a column's values are read as, where the user says that they are more than they look."""


def typed(word: str, values: Sequence[object], kind: Kind) -> tuple[list[object], dict[int, str]]:
    """Values read by the convention that ``--type`` names; None for those that it does not fit, and why."""
    convert = _TYPED[word]
    found: list[object] = []
    unfit: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            found.append(None if value is None else convert(value, kind))
        except UnfitError as error:
            found.append(None)
            unfit[index] = str(error)
    return found, unfit


_CONVERT: dict[Kind, Callable[[object], object]] = {
    Kind.INTEGER: _integer,
    Kind.REAL: _real,
    Kind.BOOLEAN: _boolean,
    Kind.NUMERIC: _numeric,
    Kind.TEXT: _text,
    Kind.JSON: _json,
    Kind.BYTES: _bytes,
    Kind.ANY: _any,
    Kind.INTEGER32: _integer_of(32),
    Kind.INTEGER16: _integer_of(16),
    Kind.DECIMAL: _decimal,
    Kind.BINARY: _binary,
    Kind.OTHER: _text,
    Kind.REAL32: _real32,
    Kind.DATE: _date,
    Kind.LOCAL_TIME: _local_time,
    Kind.TIMESTAMP: _text,
}


def converted(kind: Kind, value: object) -> object:
    """A value as a column of that kind has it. Raises UnfitError."""
    return _CONVERT[kind](_as_double(value) if kind in DOUBLES else value)
