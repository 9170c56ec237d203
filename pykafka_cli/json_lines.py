"""Records as JSON lines, of our own: ``--output json`` writes what ``--input json`` reads.

One compact object a line::

    {"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"timestampType":"CreateTime",
     "key":null,"value":"text","headers":[["name","value"],["name",null]]}

Null is null, bytes that are UTF-8 are a string, and other bytes are an object, ``{"base64":"/w=="}``, which no string
can be taken for. Headers are pairs, for their names may repeat and their order counts.

Reading is strict: a field that this form does not have, or has twice, is an error. ``value`` alone is needed.
``partition``, ``timestamp``, ``key``, ``value`` and ``headers`` make the record; null or none stands for: let the
partitioner choose, now, null, null, none. ``topic``, ``offset`` and ``timestampType`` say where a record was: they may
be there and do nothing, for the command line names the topic, the log assigns the offset, and the topic's settings
decide on the type of its timestamps. So the records of one topic can be read into another.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from json import JSONDecodeError, JSONDecoder
from json.encoder import encode_basestring as _quoted

from pykafka_cli.readers import PARSED_AT_ONCE, BadLineError, Columns
from pykafka_store.model import NO_TIMESTAMP, Header, Records, TimestampType

TIMESTAMP_TYPES = {TimestampType.CREATE_TIME: "CreateTime", TimestampType.LOG_APPEND_TIME: "LogAppendTime"}
"""Kafka's names for them (org.apache.kafka.common.record.TimestampType)."""
_FIELDS = frozenset({"topic", "partition", "offset", "timestamp", "timestampType", "key", "value", "headers"})
_WITHOUT_EFFECT = (("topic", (str, type(None))), ("offset", (int, type(None))), ("timestampType", (str, type(None))))
"""Fields that are allowed, and what they may hold."""
_MAX_INT = (1 << 31) - 1
_MAX_LONG = (1 << 63) - 1


# ---------------------------------------------------------------------------------------------------------- writing


class JsonFormatter:
    """Records -> JSON lines."""

    def format(self, records: Records) -> bytes:
        before = f'{{"topic":{_quoted(records.topic)},"partition":{records.partition},"offset":'
        kind = f',"timestampType":"{TIMESTAMP_TYPES[records.timestamp_type]}","key":'
        lines = [
            f'{before}{offset},"timestamp":{"null" if timestamp == NO_TIMESTAMP else timestamp}{kind}{_json(key)},'
            f'"value":{_json(value)},"headers":{_json_headers(headers)}}}\n'
            for offset, timestamp, key, value, headers in zip(
                records.offsets, records.timestamps, records.keys, records.values, records.headers, strict=True
            )
        ]
        return "".join(lines).encode()


def _json(data: bytes | None) -> str:
    if data is None:
        return "null"
    try:
        return _quoted(data.decode())
    except UnicodeDecodeError:
        return f'{{"base64":"{b64encode(data).decode()}"}}'


def _json_headers(headers: Sequence[Header]) -> str:
    if not headers:
        return "[]"
    return "[" + ",".join(f"[{_quoted(name)},{_json(value)}]" for name, value in headers) + "]"


# ---------------------------------------------------------------------------------------------------------- reading


class _NotARecordError(ValueError):
    """Says what is wrong with a line."""


class JsonReader:
    """JSON lines -> records."""

    at_once = PARSED_AT_ONCE

    def __init__(self) -> None:
        self._decode = JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_constant).decode

    def columns(self, lines: list[bytes], first: int) -> Columns:
        """The records in ``lines``, the first of which has the number ``first``. Raises BadLineError."""
        records: list[_Record] = []
        for number, line in enumerate(lines, first):
            try:
                records.append(self._record(line))
            except (_NotARecordError, UnicodeDecodeError, JSONDecodeError, RecursionError) as error:
                message = f"No record found on line number {number}: {_reason(error)}"
                raise BadLineError(message, _columns(records)) from error
        return _columns(records)

    def _record(self, line: bytes) -> _Record:
        fields = self._decode(line.decode())
        if not isinstance(fields, dict):
            raise _NotARecordError("a JSON object is expected")
        if not _FIELDS.issuperset(fields):
            unknown = ", ".join(sorted(fields.keys() - _FIELDS))
            raise _NotARecordError(f"unknown field {unknown}")
        if "value" not in fields:
            raise _NotARecordError("the field value is missing (null is a value)")
        for name, kinds in _WITHOUT_EFFECT:
            if not isinstance(fields.get(name), kinds):
                raise _NotARecordError(f"{name} is neither null nor of the type {kinds[0].__name__}")
        return (
            _bytes(fields["value"], "value"),
            _bytes(fields.get("key"), "key"),
            _headers(fields.get("headers")),
            _number(fields.get("timestamp"), "timestamp", _MAX_LONG),
            _number(fields.get("partition"), "partition", _MAX_INT),
        )


_Record = tuple[bytes | None, bytes | None, tuple[Header, ...], int | None, int | None]


def _columns(records: list[_Record]) -> Columns:
    if not records:
        return Columns([])
    values, keys, headers, timestamps, partitions = zip(*records, strict=True)
    if any(timestamp is not None for timestamp in timestamps):
        now = int(time.time() * 1000)
        stamps = [now if timestamp is None else timestamp for timestamp in timestamps]
    else:
        stamps = None
    # A column that says nothing is left out: the producer is faster without it.
    return Columns(
        values,
        keys if any(key is not None for key in keys) else None,
        headers if any(headers) else None,
        stamps,
        partitions if any(partition is not None for partition in partitions) else None,
    )


def _bytes(field: object, name: str) -> bytes | None:
    if field is None:
        return None
    if isinstance(field, str):
        return _encoded(field, name)
    if isinstance(field, dict) and field.keys() == {"base64"} and isinstance(field["base64"], str):
        try:
            return b64decode(field["base64"].encode("ascii"), validate=True)
        except (Base64Error, UnicodeEncodeError):
            raise _NotARecordError(f"{name} is not base64") from None
    raise _NotARecordError(f'{name} is neither a string, nor null, nor {{"base64": "…"}}')


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
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise _NotARecordError("a header is not a pair of a name and a value")
        _encoded(pair[0], "a header's name")
        headers.append((pair[0], _bytes(pair[1], "a header's value")))
    return tuple(headers)


def _number(field: object, name: str, highest: int) -> int | None:
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
    return str(error)
