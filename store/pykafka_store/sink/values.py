"""A value -> what a column of some kind has of it: as it is, converted so that it can be told back, or not at all.
Nothing here changes a value in silence.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from math import inf, isfinite, nan

from pykafka_store.sink.digits import MOST_BEHIND_POINT, is_finer, json_of
from pykafka_store.sink.target import Kind

HIGHEST, LOWEST = 2**63 - 1, -(2**63)

_INFINITE = {"Infinity": inf, "-Infinity": -inf}
_NOT_FINITE = {**_INFINITE, "NaN": nan}  # one object: as a key it is found again
"""Numbers that JSON does not have, by the texts that ``pykafka source`` writes for them."""

_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n\v\f\r]*")
"""What SQLite takes for a number where a column's affinity is numeric."""

_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class UnfitError(ValueError):
    """A value can't be in a column, and why."""


DOUBLES = frozenset({Kind.REAL, Kind.DOUBLE, Kind.REAL32, Kind.NUMERIC, Kind.ANY})
"""Columns that keep a double of a number with a point, and not more. But JSON may be in the last two."""


def check_text(text: str, *, refuses_nul: bool, is_json: bool = False) -> None:
    """Raises UnfitError for a text that the database can't hold. ``refuses_nul``: it holds no U+0000."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnfitError("the text holds half a surrogate pair, which is no character") from None
    if refuses_nul and ("\0" in text or (is_json and _JSON_NUL.search(text))):
        raise UnfitError("the text holds U+0000, which this database can't hold")


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
    whole = isinstance(value, float) and value.is_integer()
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


def _unsigned_of(bits: int) -> Callable[[object], object]:
    """For types of PostgreSQL's that take a number below 0 for a large one."""

    def convert(value: object) -> object:
        found = value
        if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,19}", value):
            found = int(value)
        elif not isinstance(value, int):
            found = _integer(value)
        assert isinstance(found, int)
        if not 0 <= found < 1 << bits:
            raise UnfitError(f"{shown(value)} is no number of {bits} bits without a sign")
        return int(found)

    return convert


def _real(value: object) -> object:
    if isinstance(value, str):
        if value in _INFINITE:
            return _INFINITE[value]
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


def _double(value: object) -> object:
    return nan if value == "NaN" else _real(value)


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
    found = _double(value)
    assert isinstance(found, float)
    if not isfinite(found):
        return found
    try:
        (kept,) = struct.unpack("f", struct.pack("f", found))
    except OverflowError:
        kept = float("inf")
    # The shortest text that means what 4 bytes keep is what a reader gets back.
    shortest = next(text for digits in range(1, 10) if _as_real32(text := f"{kept:.{digits}g}") == kept)
    if float(shortest) != found:
        raise UnfitError(f"{shown(value)} has more digits than 4 bytes keep: a column of double precision has them")
    return found


def _as_real32(text: str) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", float(text)))[0])
    except OverflowError:
        return float("inf")


_DATE = re.compile(r"[0-9]{4,6}-[0-9]{2}-[0-9]{2}(?: BC)?|-?infinity")


def _date(value: object) -> object:
    if isinstance(value, str) and _DATE.fullmatch(value):
        return value
    raise UnfitError(f"{shown(value)} is no date as in 2026-01-31")


def _dates(value: object) -> object:
    """A range of dates, or several. The database takes times besides, and drops them."""
    if isinstance(value, str) and all(_DATE.fullmatch(bound) for bound in _bounds(value)):
        return value
    raise UnfitError(f"{shown(value)} is no range of dates as in [2026-01-31,2026-02-28)")


def _bounds(ranges: str) -> list[str]:
    """What is said in the text of a range, or of several, but for their own signs."""
    found = [part.strip() for part in re.split(r'[][(){},"]+', ranges)]
    return [part for part in found if part and part.lower() != "empty"]


_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?[AaPp][Mm])?"
_ZONE = r"(?: ?[zZ]| ?[+-][0-9]{1,2}(?::?[0-9]{2})*)"
_NO_ZONE = r"(?: ?(?:[AaPp][Mm]|BC|AD))*$"
_AT_A_ZONE = re.compile(rf"[0-9](?:{_ZONE}| (?!(?:[AaPp][Mm]|BC|AD)\b)[A-Za-z][A-Za-z/_]+){_NO_ZONE}")


_BY_THE_CLOCK = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)


def _instant(value: object) -> object:
    if isinstance(value, str) and _BY_THE_CLOCK.search(value):
        raise UnfitError(f"{shown(value)} is no time: the database would put that of its clock in its place")
    return _text(value)


def _local_time(value: object) -> object:
    if isinstance(value, str) and _AT_A_ZONE.search(value):
        raise UnfitError(f"{shown(value)} has a zone, and the column (timestamp without time zone) would drop it")
    return _instant(value)


def _local_times(value: object) -> object:
    """A range of times, or several."""
    if isinstance(value, str):
        for bound in _bounds(value):
            _local_time(bound)
    return _text(value)


def _time_like(form: str, example: str) -> Callable[[object], object]:
    """Times of a day. The database takes those with a date or a zone too, and drops what its column has not."""
    pattern = re.compile(form)

    def convert(value: object) -> object:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise UnfitError(f"{shown(value)} is no time as in {example}")

    return convert


def _decimal(value: object) -> object:
    if isinstance(value, str) and value in _NOT_FINITE:
        return value
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
    except TypeError as error:  # somebody's own function made it
        raise UnfitError(f"it can't be JSON: {error}") from None


def _bytes(value: object) -> object:
    return value if isinstance(value, bytes | str) else _json(value)


def _binary(value: object) -> object:
    if isinstance(value, bytes):
        return value
    text = _text(value)
    assert isinstance(text, str)
    check_text(text, refuses_nul=False)
    return text.encode()


def _any(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _real(value)
    return value if isinstance(value, bytes | str) else _json(value)


CONVERT: dict[Kind, Callable[[object], object]] = {
    Kind.INTEGER: _integer,
    Kind.REAL: _real,
    Kind.DOUBLE: _double,
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
    Kind.TIME: _time_like(_TIME, "03:04:05"),
    Kind.ZONED_TIME: _time_like(f"{_TIME}{_ZONE}?", "03:04:05+02"),
    Kind.LOCAL_TIME: _local_time,
    Kind.INSTANT: _instant,
    Kind.DATES: _dates,
    Kind.LOCAL_TIMES: _local_times,
    Kind.UNSIGNED32: _unsigned_of(32),
    Kind.UNSIGNED64: _unsigned_of(64),
    Kind.TIMESTAMP: _text,
}


def as_double(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def converted(kind: Kind, value: object) -> object:
    """A value as a column of that kind has it. Raises UnfitError."""
    return CONVERT[kind](as_double(value) if kind in DOUBLES else value)
