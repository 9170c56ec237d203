"""Rows -> bytes: a row as a JSON object that ``pykafka sink`` reads back to the same cells.

JSON has no bytes and no infinite numbers. Bytes are base64, in columns that are declared for bytes and hold nothing
else, so that a reader knows which is which (``pykafka sink --type COLUMN=base64``). Infinity is the string of that
name, which no column for numbers takes for another value.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Collection, Sequence
from math import isfinite

from pykafka_store.source.feed import SourceError

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class RowEncoder:
    """The rows of one shape."""

    def __init__(self, label: str, columns: Sequence[str], binary: Collection[str] = ()) -> None:
        """``label``: where they come from, for messages. ``binary``: the columns that are for bytes."""
        self._label = label
        self._columns = columns
        self._binary = frozenset(binary)

    def value(self, row: Sequence[object]) -> bytes:
        """A row as a JSON object. Raises SourceError for what no reader could tell back."""
        document = dict(zip(self._columns, row, strict=True))
        if not self._binary:
            try:
                return _encode(document).encode()
            except (TypeError, ValueError):
                pass  # bytes, or a number that is not finite
        return _encode({name: self._plain(name, value) for name, value in document.items()}).encode()

    def key(self, row: Sequence[object], columns: Sequence[str], *, as_object: bool) -> bytes | None:
        """The key that these columns make: a JSON object, or the one column's text."""
        found = [row[self._columns.index(name)] for name in columns]
        if as_object:
            return _encode(
                {name: self._plain(name, value) for name, value in zip(columns, found, strict=True)}
            ).encode()
        (value,) = found
        if value is None or isinstance(value, bytes):
            return value
        return value.encode() if isinstance(value, str) else _encode(self._plain(columns[0], value)).encode()

    def _plain(self, name: str, value: object) -> object:
        """A value as JSON has it."""
        if name in self._binary:
            if value is not None and not isinstance(value, bytes):
                raise SourceError(
                    f"{self._label}: column {name} is for bytes, and holds {value!r:.60}: nobody could tell which is "
                    "which; give it to --query as what it is"
                )
        elif isinstance(value, bytes):
            raise SourceError(
                f"{self._label}: column {name} holds bytes, and is not declared BLOB: nobody could tell which is "
                "which; give it to --query as text"
            )
        if isinstance(value, bytes):
            return b64encode(value).decode()
        if isinstance(value, float) and not isfinite(value):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN alone
        return value
