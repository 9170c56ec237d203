"""Records as JSON lines, a form that Kafka does not have: ``--input json`` reads what ``--output json`` writes.

One compact object a line::

    {"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"timestampType":"CreateTime",
     "key":null,"value":"text","headers":[["name","value"],["name",null]]}

Null is null, bytes that are UTF-8 are a string, and other bytes are an object, ``{"base64":"/w=="}``, which no string
can be taken for. Headers are pairs, for their names may repeat and their order counts.

Any other JSON value in the place of bytes, an object or a number, stands for its own text, without blanks and with its
numbers as they are written. ``--value json`` writes values so that are such texts; read back they are the same but for
blanks and escapes.

Reading is strict: a field that this form does not have, or has twice, is an error. ``value`` alone is needed.
``partition``, ``timestamp``, ``key``, ``value`` and ``headers`` make the record; null or none stands for: let the
partitioner choose, now, null, null, none. ``topic``, ``offset`` and ``timestampType`` say where a record was: they may
be there and do nothing, for the command line names the topic, the log assigns the offset, and the topic's settings
decide on the type of its timestamps. So the records of one topic can be read into another. Only where the command line
names no topic, each line's ``topic`` says where its record goes.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from functools import partial
from json import JSONDecodeError, JSONDecoder
from json.encoder import encode_basestring as _quoted
from typing import Any, cast

from pykafka_cli.console.json_columns import (
    NotAlikeError,
    columns_of,
    header_column,
    number_column,
    require,
    text_column,
)
from pykafka_cli.console.json_scan import plain_columns
from pykafka_cli.console.records_in import PARSED_AT_ONCE, BadLineError, InputRecords, RecordReader
from pykafka_cli.java.text import BEGINS_WITH_MARK, BYTE_ORDER_MARK
from pykafka_store.compiled import COMPILED
from pykafka_store.model import NO_TIMESTAMP, Header, Records, TimestampType
from pykafka_store.numbers import whole_number

TIMESTAMP_TYPES = {TimestampType.CREATE_TIME: "CreateTime", TimestampType.LOG_APPEND_TIME: "LogAppendTime"}
"""Kafka's names for them (org.apache.kafka.common.record.TimestampType)."""
_FIELDS = frozenset({"topic", "partition", "offset", "timestamp", "timestampType", "key", "value", "headers"})
_WITHOUT_EFFECT = (("topic", (str, type(None))), ("offset", (int, type(None))), ("timestampType", (str, type(None))))
"""Fields that are allowed and have no effect, each with the types that its value may have."""
_CALLED = {str: "a string", int: "a whole number"}
_MAX_INT = (1 << 31) - 1
_MAX_LONG = (1 << 63) - 1
_COLUMNS: tuple[tuple[str, Callable[[Sequence[Any]], Sequence[Any]]], ...] = (
    ("value", text_column),
    ("key", text_column),
    ("headers", header_column),
    ("timestamp", partial(number_column, highest=_MAX_LONG)),
    ("partition", partial(number_column, highest=_MAX_INT)),
)
"""The fields that make a record, as ``_input`` takes them, and what makes their columns."""


# ---------------------------------------------------------------------------------------------------------- writing


class JsonLinesFormatter:
    """Records -> JSON lines."""

    def __init__(self, *, values_are_json: bool = False) -> None:
        """With ``values_are_json``, a value that is the text of an object, list, number or flag stands as that."""
        self._column = _embedded_column if values_are_json else _json_column

    def format(self, records: Records) -> bytes:
        before = f'{{"topic":{_quoted(records.topic)},"partition":{records.partition},"offset":'
        kind = f',"timestampType":"{TIMESTAMP_TYPES[records.timestamp_type]}","key":'
        keys, values = _json_column(records.keys), self._column(records.values)
        if any(records.headers):
            headers = list(map(_json_headers, records.headers))
        else:
            headers = ["[]"] * len(values)
        lines = [
            f'{before}{offset},"timestamp":{timestamp}{kind}{key},"value":{value},"headers":{fields}}}\n'
            for offset, timestamp, key, value, fields in zip(
                records.offsets, _json_times(records.timestamps), keys, values, headers, strict=True
            )
        ]
        return "".join(lines).encode()


def _json_times(timestamps: Sequence[int]) -> Sequence[int | str]:
    if NO_TIMESTAMP not in timestamps:
        return timestamps
    return ["null" if timestamp == NO_TIMESTAMP else timestamp for timestamp in timestamps]


def _json_column(column: Sequence[bytes | None]) -> list[str]:
    """``_json`` of each; in most columns all are text."""
    try:
        return list(map(_quoted, map(bytes.decode, cast("Sequence[bytes]", column))))
    except (TypeError, UnicodeDecodeError):  # a null, or bytes that are no text
        return list(map(_json, column))


def _embedded_column(column: Sequence[bytes | None]) -> list[str]:
    return list(map(_embedded, column))


def _json(data: bytes | None) -> str:
    if data is None:
        return "null"
    try:
        return _quoted(data.decode())
    except UnicodeDecodeError:
        return f'{{"base64":"{b64encode(data).decode()}"}}'


def _embedded(data: bytes | None) -> str:
    """The JSON value whose text these bytes are, where it can be told from everything else that ``_json`` writes."""
    if data is not None:
        try:
            value = _exactly(data.decode())
            if not (value is None or _is_string(value)) and not (
                isinstance(value, dict) and value.keys() == {"base64"}
            ):
                text = compact(value)
                text.encode()  # a lone surrogate, half a character, stays as it is written
                return text
        except (ValueError, RecursionError):  # UnicodeError among them
            pass
    return _json(data)


def _json_headers(headers: Sequence[Header]) -> str:
    if not headers:
        return "[]"
    return "[" + ",".join(f"[{_quoted(name)},{_json(value)}]" for name, value in headers) + "]"


# ---------------------------------------------------------------------------------------------------------- reading


class _NotARecordError(ValueError):
    """The text says how a line is wrong."""


class _InexactNumberError(Exception):
    """A number in the place of bytes was read by its value, which does not say how it is written."""


class JsonLinesReader:
    """JSON lines -> records."""

    lines_at_once = PARSED_AT_ONCE

    def __init__(self, *, any_partition: bool = False, topics: bool = False) -> None:
        """With ``any_partition`` the partitions that lines name are left out of account, and with ``topics`` each line
        has to name its topic.
        """
        self._any_partition = any_partition
        self._topics = topics
        self._decode = JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_constant).decode

    def records(self, lines: list[bytes], first: int) -> InputRecords:
        """The records in ``lines``, the first of which has the number ``first``. Raises BadLineError."""
        try:
            return self._at_once(lines)
        except (NotAlikeError, ValueError, RecursionError):
            return self._one_by_one(lines, first)

    def _at_once(self, lines: list[bytes]) -> InputRecords:
        """The records of lines that all have the same fields in the same order, and only text and null for bytes, as
        what a program writes mostly has. Raises NotAlikeError, ValueError or RecursionError where a line has to be
        looked at by itself.
        """
        fields = plain_columns(lines) if COMPILED else None
        if fields is None:
            fields = columns_of(lines)
            if not _FIELDS.issuperset(fields):
                raise NotAlikeError
            for name, kinds in _WITHOUT_EFFECT:
                require(fields.get(name, ()), *kinds)
            fields.update((name, of(fields[name])) for name, of in _COLUMNS if name in fields)
        nothing = (None,) * len(lines)
        if "value" not in fields or (self._topics and not all(fields.get("topic", nothing))):
            raise NotAlikeError
        some = (fields.get(name, nothing) for name, _ in _COLUMNS)
        return self._completed(_input(*some), fields.get("topic", nothing))

    def _one_by_one(self, lines: list[bytes], first: int) -> InputRecords:
        found: list[_Record] = []
        for number, line in enumerate(lines, first):
            try:
                found.append(self._record(line))
            except (_NotARecordError, UnicodeDecodeError, JSONDecodeError, RecursionError) as error:
                message = f"No record found on line number {number}: {_reason(error)}"
                raise BadLineError(message, self._columns(found)) from error
        return self._columns(found)

    def _columns(self, records: list[_Record]) -> InputRecords:
        if not records:
            return self._completed(InputRecords([]), ())
        *columns, topics = zip(*records, strict=True)
        return self._completed(_input(*columns), topics)

    def _completed(self, found: InputRecords, topics: Sequence[str | None]) -> InputRecords:
        if self._topics and topics:
            found = found._replace(topics=list(map(str, topics)))
        return found._replace(partitions=None) if self._any_partition else found

    def _record(self, line: bytes) -> _Record:
        text = line.decode()
        try:
            fields = self._decode(text)
        except (JSONDecodeError, _NotARecordError):
            raise
        except ValueError:  # a number of more digits than Python reads
            fields = _exactly(text)
        if not isinstance(fields, dict):
            raise _NotARecordError("a JSON object is expected")
        if not _FIELDS.issuperset(fields):
            unknown = ", ".join(sorted(fields.keys() - _FIELDS))
            raise _NotARecordError(f"unknown field {unknown}")
        if "value" not in fields:
            raise _NotARecordError("the field value is missing (null is a value)")
        for name, kinds in _WITHOUT_EFFECT:
            if not isinstance(_plain(fields.get(name)), kinds):
                raise _NotARecordError(f"{name} is neither null nor {_CALLED[kinds[0]]}")
        if self._topics and not fields.get("topic"):
            raise _NotARecordError("the field topic is missing, and no --topic is given")
        try:
            return _made(fields)
        except _InexactNumberError:
            return _made(_exactly(text))


_Record = tuple[bytes | None, bytes | None, tuple[Header, ...], int | None, int | None, str | None]


def _made(fields: dict[str, Any]) -> _Record:
    """The record that the fields make. Raises _NotARecordError, _InexactNumberError."""
    return (
        _bytes(fields["value"], "value"),
        _bytes(fields.get("key"), "key"),
        _headers(fields.get("headers")),
        _number(fields.get("timestamp"), "timestamp", _MAX_LONG),
        _number(fields.get("partition"), "partition", _MAX_INT),
        fields.get("topic"),
    )


def _input(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    headers: Sequence[tuple[Header, ...]],
    timestamps: Sequence[int | None],
    partitions: Sequence[int | None],
) -> InputRecords:
    if timestamps.count(None) < len(timestamps):
        now = int(time.time() * 1000)
        stamps = [now if timestamp is None else timestamp for timestamp in timestamps]
    else:
        stamps = None
    # A column that says nothing is left out: the producer is faster without it.
    return InputRecords(
        values,
        keys if keys.count(None) < len(keys) else None,
        headers if any(headers) else None,
        stamps,
        partitions if partitions.count(None) < len(partitions) else None,
    )


def _bytes(field: object, name: str) -> bytes | None:
    if field is None:
        return None
    if isinstance(field, str):
        return _encoded(field, name)
    if isinstance(field, dict) and field.keys() == {"base64"}:
        try:
            if not _is_string(field["base64"]):
                raise Base64Error
            return b64decode(field["base64"].encode("ascii"), validate=True)
        except (Base64Error, UnicodeEncodeError):
            raise _NotARecordError(f"{name} is not base64") from None
    return _encoded(compact(field), name)


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # "\ud800": half a character
        raise _NotARecordError(f"{name} has a lone surrogate, which no UTF-8 text has") from None


def _headers(field: object) -> tuple[Header, ...]:
    if field is None:
        return ()
    if not isinstance(field, list):
        raise _NotARecordError("headers is not a list")
    headers = []
    for pair in field:
        if not (isinstance(pair, list) and len(pair) == 2 and _is_string(pair[0])):
            raise _NotARecordError("a header is not a pair of a name and a value")
        _encoded(pair[0], "a header's name")
        headers.append((pair[0], _bytes(pair[1], "a header's value")))
    return tuple(headers)


def _number(field: object, name: str, highest: int) -> int | None:
    field = _plain(field)
    if field is None:
        return None
    if not isinstance(field, int) or isinstance(field, bool) or not 0 <= field <= highest:
        raise _NotARecordError(f"{name} is not a whole number from 0 to {highest}")
    return field


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _NotARecordError("a field stands twice")
    return fields


def _no_constant(name: str) -> object:
    raise _NotARecordError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, JSONDecodeError):
        return _complaint(error)
    return str(error)


_COMPLAINTS = (
    ("Expecting value", "a value is missing"),
    ("Extra data", "something follows the object"),
    ("Expecting property name", "a field's name in double quotes is missing"),
    ("Expecting ':'", "a colon is missing"),
    ("Expecting ','", "a comma is missing"),
    ("Illegal trailing comma", "a comma is too many"),
    ("Unterminated string", "a string without an end"),
    ("Invalid control character", "a control character is in a string"),
    ("Invalid \\", "an escape is none of JSON's"),
)
"""What json.JSONDecodeError says first, and what is said here of the line."""


def _complaint(error: JSONDecodeError) -> str:
    """What is wrong with a line, of which Python's own words count lines and say what its parser expected."""
    text = error.doc
    if text.startswith(BYTE_ORDER_MARK):
        return f"it {BEGINS_WITH_MARK}"
    if not text.strip():
        return "it is empty"
    if text.lstrip()[0] == "{" and error.pos >= len(text.rstrip()):
        return "the object does not end on this line: a record is one line (jq -c . makes it one)"
    said = next((ours for theirs, ours in _COMPLAINTS if error.msg.startswith(theirs)), "it is no JSON")
    return f"{said}, at character {error.colno}"


# ------------------------------------------------------------------------------------------------------ JSON as text


class _Literal(str):
    """A number as it is written: 1.10 and 1e400 stay so, and no number is too long."""

    __slots__ = ()


_exactly = JSONDecoder(
    object_pairs_hook=_without_repeats, parse_constant=_no_constant, parse_int=_Literal, parse_float=_Literal
).decode
"""JSON -> values whose numbers are literals. Raises as JSONDecoder does, and _NotARecordError."""


def compact(value: object) -> str:
    """The text of a JSON value, without blanks. Raises _InexactNumberError for one that ``_exactly`` has not read."""
    match value:
        case None | bool():
            return "null" if value is None else str(value).lower()
        case _Literal():
            return str(value)
        case str():
            return _quoted(value)
        case dict():
            return "{" + ",".join(f"{_quoted(name)}:{compact(each)}" for name, each in value.items()) + "}"
        case int() | float():
            raise _InexactNumberError
        case list():
            return "[" + ",".join(map(compact, value)) + "]"
    raise AssertionError(f"{type(value)} is no JSON")


def _is_string(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, _Literal)


def _plain(field: object) -> object:
    """A number for a literal; for one that is not whole, or no long, one that no field can have."""
    if not isinstance(field, _Literal):
        return field
    number = whole_number(field, 64)
    return 0.5 if number is None else number


class KeyFieldReader:
    """Records whose keys are a field of their values, which are JSON objects. A key of the record's own stays."""

    def __init__(self, reader: RecordReader, field: str) -> None:
        self._reader = reader
        self._field = field
        self.lines_at_once = PARSED_AT_ONCE

    def records(self, lines: list[bytes], first: int) -> InputRecords:
        """As the reader's. Raises BadLineError for a value without that field, too."""
        try:
            found = self._reader.records(lines, first)
        except BadLineError as error:
            raise BadLineError(str(error), self._keyed(error.before, first)) from error
        return self._keyed(found, first)

    def _keyed(self, records: InputRecords, first: int) -> InputRecords:
        keys = list(records.keys or [None] * len(records.values))
        for index, value in enumerate(records.values):
            if keys[index] is None:
                try:
                    keys[index] = self._key(value)
                except (ValueError, RecursionError) as error:
                    message = f"No key found on line number {first + index}: {_reason(error)}"
                    raise BadLineError(message, records._replace(keys=keys).slice(0, index)) from error
        return records._replace(keys=keys) if keys else records

    def _key(self, value: bytes | None) -> bytes | None:
        fields = None if value is None else _exactly(value.decode())
        if not isinstance(fields, dict):
            raise _NotARecordError("the value is no JSON object")
        if self._field not in fields:
            raise _NotARecordError(f"the value has no field {self._field}")
        return _bytes(fields[self._field], self._field)
