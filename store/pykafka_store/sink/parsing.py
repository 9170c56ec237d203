"""Bytes -> rows: the values of many records as JSON objects, and what is wrong with those that are none.

Many records are parsed as one array, which takes three fifths of the time that they take one by one. What stands
between two values there is a number that nobody can guess: a record whose value is no single JSON text, such as
``1},{"a":2``, can only shift those numbers, which is seen, and those are parsed record by record then.

The standard library's parser is told to refuse NaN and Infinity, and what it accepts beyond that and databases can't
hold (a float that overflows, half a surrogate pair) is found when values are fitted to columns.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

from pykafka_store.model import Records
from pykafka_store.sink.cells import Cells
from pykafka_store.sink.digits import exact_number, may_be_lost
from pykafka_store.sink.kinds import Seen
from pykafka_store.sink.options import Convert, SinkOptions
from pykafka_store.sink.target import SinkError

Row = dict[str, object]


class Problem(NamedTuple):
    """Why a record is no row, or a value can't be in its column."""

    reason: str
    column: str | None = None


class Deletion(NamedTuple):
    """A null value: the row of this key goes."""

    key: Row


Outcome = Row | Deletion | Problem | None
"""What a record comes to; None: nothing, which is what somebody's own function wants."""


class Parsed(NamedTuple):
    outcomes: list[Outcome]
    """What each record comes to; none where they are in ``cells``."""
    has_surrogates: bool
    """Whether there may be halves of surrogate pairs in text: none where this is False."""
    has_nul: bool
    """Whether there may be U+0000 in text."""
    key_names: tuple[str, ...] = ()
    """The columns of the first key that can be one, where keys are the primary key."""
    names: tuple[str, ...] = ()
    """The fields that all rows have, where they are in ``cells``."""
    cells: Cells | None = None
    """The rows, where every record is one and all have the same fields, as nearly always."""
    seen: Sequence[Seen] = ()
    """Of each column of ``cells``."""
    is_exact: bool = False
    """Whether numbers have all of their digits: doubles only where these have the same value."""

    @property
    def rows(self) -> list[Outcome]:
        """What each record comes to, made of ``cells`` where they are there."""
        if self.cells is None:
            return self.outcomes
        return [dict(zip(self.names, row, strict=True)) for row in self.cells]


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _number(text: str) -> int | float:
    """A number without a fraction. Who writes ``-0`` (Go, PostgreSQL) means the double: there is no such integer."""
    return -0.0 if text == "-0" else int(text)


_NEGATIVE_ZERO = re.compile(r"-0(?![0-9.eE])")
_decoder = partial(json.JSONDecoder, parse_constant=_refuse)
_plainly = _decoder().decode
_with_negative_zero = _decoder(parse_int=_number).decode
_exactly = _decoder(parse_float=exact_number).decode
_exactly_with_negative_zero = _decoder(parse_int=_number, parse_float=exact_number).decode


def _loads(text: str, *, is_exact: bool) -> object:
    """Raises DECODED_ONE_BY_ONE. ``is_exact``: a number is a Decimal where a double would be another one."""
    if "-0" in text and _NEGATIVE_ZERO.search(text) is not None:  # looking for two letters takes no time
        return (_exactly_with_negative_zero if is_exact else _with_negative_zero)(text)
    return (_exactly if is_exact else _plainly)(text)


_SEPARATOR = secrets.randbits(62)
_BETWEEN = f",{_SEPARATOR},".encode()

TOGETHER = 200
"""Records that are parsed as one array: with more of them it takes no less time, and their objects don't stay in the
processor's cache until their cells are taken."""

DECODED_ONE_BY_ONE = (ValueError, RecursionError)
"""What says that a batch has to be looked at record by record."""


def parse(runs: Sequence[Records], options: SinkOptions, *, is_exact: bool = False) -> Parsed:
    """The rows of these records, in order. ``is_exact``: as :class:`Parsed` has it."""
    values = [value for run in runs for value in run.values]
    if options.raw:
        return _raw(runs, values, options)
    rows: list[Outcome] = []
    if options.convert is not None:
        text_flags = True, True
        for run in runs:
            rows += _converted(run, options.convert)
    else:
        found = _Gathering(one_by_one=options.flatten or options.pk_is_key)
        text_flags = False, False
        for begin in range(0, len(values), TOGETHER):
            some, flags = _documents(values[begin : begin + TOGETHER], is_exact=is_exact)
            found.add(some)
            text_flags = text_flags[0] or flags[0], text_flags[1] or flags[1]
        if found.cells:
            cells = Cells(found.cells, len(found.names))
            return Parsed([], *text_flags, names=found.names, cells=cells, seen=found.seen, is_exact=is_exact)
        rows = [_as_row(document) for document in found.documents]
    if options.flatten:
        rows = [_flattened(row) if isinstance(row, dict) else row for row in rows]
    if options.pk_is_key:
        keys = [key for run in runs for key in run.keys]
        columns = [key_columns(key, is_exact=is_exact) for key in keys]
        rows = [_keyed(*each, options) for each in zip(columns, rows, values, strict=True)]
        names = next((tuple(each) for each in columns if not isinstance(each, Problem)), ())
        # The keys' text was not looked at.
        return Parsed(rows, has_surrogates=True, has_nul=True, key_names=names, is_exact=is_exact)
    return Parsed(rows, *text_flags, is_exact=is_exact or options.convert is not None)


class _Gathering:
    """Documents, as cells for as long as all are objects with the same fields."""

    def __init__(self, *, one_by_one: bool) -> None:
        """``one_by_one``: each document is looked at by itself anyway."""
        self.documents: list[object] = []
        """All of them, where there are no cells."""
        self.cells: list[object] = []
        self.names: tuple[str, ...] = ()
        self.seen: list[Seen] = []
        self._get: Callable[[Any], Any] | None = None
        self._together = not one_by_one

    def add(self, documents: list[object]) -> None:
        if self._together and self._get is None:
            first = documents[0]
            self.names = tuple(first) if isinstance(first, dict) else ()
            self._together = bool(self.names)
            self._get = itemgetter(*self.names) if self.names else None
            self.seen = [Seen() for _ in self.names]
        self._together = self._together and self._add_cells(documents)
        if not self._together:
            if self.cells:
                self.documents = [dict(zip(self.names, row, strict=True)) for row in Cells(self.cells, len(self.names))]
                self.cells = []
            self.documents += documents

    def _add_cells(self, documents: list[object]) -> bool:
        """Whether these have the fields that the others have, and are added to their cells."""
        assert self._get is not None
        if set(map(type, documents)) != {dict} or set(map(len, documents)) != {len(self.names)}:  # type: ignore[arg-type]
            return False
        try:
            rows = list(map(self._get, documents))
        except KeyError:
            return False
        cells = rows if len(self.names) == 1 else list(chain.from_iterable(rows))
        for number, seen in enumerate(self.seen):
            seen.add(cells[number :: len(self.names)])
        self.cells += cells
        return True


def _documents(values: Sequence[bytes | None], *, is_exact: bool) -> tuple[list[object], tuple[bool, bool]]:
    """The JSON of each value, or a Problem; and whether there may be (half surrogates, U+0000)."""
    is_exact = is_exact and may_be_lost(values)
    try:
        text = _BETWEEN.join(values).decode()  # type: ignore[arg-type]  # None is a TypeError
        found = _loads(f"[{text}]", is_exact=is_exact)
        assert isinstance(found, list)
    except (TypeError, *DECODED_ONE_BY_ONE):
        return [_document(value, is_exact=is_exact) for value in values], (True, True)
    separators = found[1::2]
    if len(found) != 2 * len(values) - 1 or separators != [_SEPARATOR] * len(separators):
        return [_document(value, is_exact=is_exact) for value in values], (True, True)
    return found[::2], ("\\ud" in text or "\\uD" in text, "\\u0000" in text)


def _document(value: bytes | None, *, is_exact: bool) -> object:
    if value is None:
        return Problem("the value is null")
    try:
        return _loads(value.decode(), is_exact=is_exact)
    except UnicodeDecodeError:
        return Problem("the value is not UTF-8")
    except RecursionError:
        return Problem("the value is nested too deeply")
    except ValueError as error:
        return Problem(f"the value is no JSON: {error}")


def _as_row(document: object) -> Row | Problem:
    if isinstance(document, dict | Problem):
        return document
    kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(document), "a number")
    return Problem(f"the value is {kind} and no JSON object")


def _converted(run: Records, convert: Convert) -> list[Outcome]:
    """The rows that somebody's own function makes of a run; where it fails, of each record by itself."""
    try:
        rows: list[object] = list(convert(run))
    except Exception as error:  # whatever it raises: it is the user's, and says so by the record's own reason
        if len(run) == 1:
            return [Problem(f"--convert raised {type(error).__name__}: {error}")]
        return [row for at in range(len(run)) for row in _converted(run.slice(at, at + 1), convert)]
    if len(rows) != len(run):
        raise SinkError(f"--convert made {len(rows)} rows of {len(run)} records: it must yield one, or None, for each")
    return [_made(row) for row in rows]


_VALUES = {type(None), bool, int, float, Decimal, str, bytes, dict, list}
"""What somebody's own function may put into a row: the parser's types, and bytes."""


def _made(row: object) -> Outcome:
    """What somebody's own function made of a record."""
    if row is None:
        return None
    if not isinstance(row, dict):
        return Problem(f"--convert made {type(row).__name__} and no dict")
    for name, value in row.items():
        if not isinstance(name, str):
            return Problem(f"--convert made a field whose name is no text: {name!r}")
        if type(value) not in _VALUES:
            return Problem(
                f"--convert made {type(value).__name__}, which JSON has not: make it text, or a number", name
            )
    return row


def _flattened(row: Row) -> Row | Problem:
    flat: Row = {}
    waiting: list[tuple[str, object]] = list(reversed(row.items()))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{name}_{inner}", value[inner]) for inner in reversed(value)]
        elif name in flat:
            return Problem(f"two fields are called {name} when it is flattened", name)
        else:
            flat[name] = value
    return flat


# --------------------------------------------------------------------------------------------------- the record's key


def _keyed(columns: Row | Problem, row: Outcome, value: bytes | None, options: SinkOptions) -> Outcome:
    """A row with the columns of its record's key in front."""
    if isinstance(columns, Problem):
        return columns
    if value is None and options.delete:
        return Deletion(columns)
    if not isinstance(row, dict):
        return row
    for name, of_key in columns.items():
        if name in row and (row[name] != of_key or type(row[name]) is not type(of_key)):
            return Problem(f"the field {name} of the value is another one than the key's", name)
    return columns | row


def key_columns(key: bytes | None, *, is_exact: bool = False) -> Row | Problem:
    """The columns of a record's key: the fields of a JSON object, else the one column ``key``."""
    if key is None:
        return Problem("the key is null")
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return Problem("the key is not UTF-8")
    if text.lstrip()[:1] == "{":
        try:
            document = _loads(text, is_exact=is_exact)
        except DECODED_ONE_BY_ONE:
            return {"key": text}
        if isinstance(document, dict) and document:
            return document
    return {"key": text}


# ---------------------------------------------------------------------------------------------------------------- raw


def _raw(runs: Sequence[Records], values: Sequence[bytes | None], options: SinkOptions) -> Parsed:
    rows: list[Outcome] = []
    keys = [key for run in runs for key in run.keys]
    for key, value in zip(keys, values, strict=True):
        row: Row = {"key": text_or_bytes(key), "value": text_or_bytes(value)}
        if options.pk_is_key and key is None:
            rows.append(Problem("the key is null"))
        elif value is None and options.delete:
            rows.append(Deletion({"key": row["key"]}))
        else:
            rows.append(row)
    return Parsed(rows, has_surrogates=False, has_nul=True, key_names=("key",), is_exact=True)


def text_or_bytes(value: bytes | None) -> str | bytes | None:
    """Text where it is UTF-8."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


# ---------------------------------------------------------------------------------------------- what is not the value


def meta_columns(runs: Sequence[Records], names: Sequence[str]) -> Mapping[str, Sequence[object]]:
    """Columns of what a record has besides its value. ``headers`` is an array of [key, value] as JSON text."""
    found: dict[str, Sequence[object]] = {}
    for name in names:
        column: list[object] = []
        for run in runs:
            if name == "topic":
                column += [run.topic] * len(run)
            elif name == "partition":
                column += [run.partition] * len(run)
            elif name == "offset":
                column += run.offsets
            elif name == "timestamp":
                column += run.timestamps
            elif name == "key":
                column += map(text_or_bytes, run.keys)
            else:
                column += [headers_text(run.headers[index]) for index in range(len(run))]
        found[name] = column
    return found


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """Headers as a JSON array of [key, value], a value that is not UTF-8 as ``{"base64": ...}``; None for none."""
    if not headers:
        return None
    import base64

    pairs = []
    for name, value in headers:
        text = text_or_bytes(value)
        pairs.append([name, {"base64": base64.b64encode(text).decode()} if isinstance(text, bytes) else text])
    return json.dumps(pairs, ensure_ascii=False)
