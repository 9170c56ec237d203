"""Values that are more than they look: what ``--type`` says how to read."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pykafka_store.sink.target import Kind
from pykafka_store.sink.values import UnfitError, shown

_EPOCH = datetime(1970, 1, 1)


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
    return f"{found.isoformat(sep=' ', timespec='milliseconds')}{'+00' if kind is Kind.INSTANT else ''}"


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
