"""Records -> the bytes that the console consumer prints: Kafka's formatters, by their Java names.

Source: org.apache.kafka.tools.consumer.DefaultMessageFormatter.
Work is done per run of records and per column: the plain console case is one join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pykafka_cli.console.records_out import (
    Deserialize,
    FormatError,
    FormatterProblem,
    MessageFormatter,
    UnknownClassProblem,
)
from pykafka_cli.java.text import is_true
from pykafka_store.model import Header, Records, TimestampType

_TIMESTAMP_FORMATS = {TimestampType.CREATE_TIME: b"CreateTime:%d", TimestampType.LOG_APPEND_TIME: b"LogAppendTime:%d"}


def named(name: str, properties: Mapping[str, str]) -> MessageFormatter:
    """The formatter of a Java class name. Raises FormatterProblem."""
    if name in {_PACKAGE + "DefaultMessageFormatter", _PACKAGE + "LoggingMessageFormatter"}:
        # The second logs each record too, at a level that the tools' log does not show.
        return DefaultMessageFormatter(properties)
    if name == _PACKAGE + "NoOpMessageFormatter":
        return NoOpMessageFormatter()
    if name in _COORDINATORS:
        from pykafka_cli.console.coordinator_formatters import CoordinatorFormatter

        return CoordinatorFormatter((_COORDINATORS[name],))
    if name in _FORMATTERS_OF_INTERNAL_TOPICS:
        raise FormatterProblem(
            f"{name} is not here, as there are no share groups: Apache Kafka's kafka-console-consumer has it"
        )
    raise UnknownClassProblem(name)


_PACKAGE = "org.apache.kafka.tools.consumer."
DEFAULT = _PACKAGE + "DefaultMessageFormatter"
_COORDINATORS = {
    _PACKAGE + "TransactionLogMessageFormatter": 0,
    _PACKAGE + "OffsetsMessageFormatter": 1,
    _PACKAGE + "GroupMetadataMessageFormatter": 2,
}
"""Formatter of the brokers' own topics -> the type of the keys that it prints (format/coordinator_records.py)."""
_FORMATTERS_OF_INTERNAL_TOPICS = frozenset(
    _PACKAGE + name for name in ("ShareGroupMessageFormatter", "group.share.ShareGroupStateMessageFormatter")
)


class NoOpMessageFormatter:
    """Prints nothing. Source: NoOpMessageFormatter, which ignores its properties."""

    def format(self, records: Records) -> bytes:  # noqa: ARG002 - the protocol's signature
        return b""


_FLAGS = (
    "print.timestamp", "print.partition", "print.offset", "print.delivery", "print.epoch", "print.headers",
    "print.key", "print.value",
)  # fmt: skip
_SEPARATORS = ("key.separator", "line.separator", "headers.separator", "null.literal")
_DESERIALIZERS = ("key.deserializer", "value.deserializer", "headers.deserializer")
_ENCODINGS = frozenset(
    f"{role}.{rest}"
    for role in _DESERIALIZERS
    for rest in ("deserializer.encoding", f"{'key' if role.startswith('key') else 'value'}.deserializer.encoding")
)
"""The properties of StringDeserializer, below the one that names it."""
PROPERTIES = (*_FLAGS, *_SEPARATORS, *_DESERIALIZERS)
"""The properties of DefaultMessageFormatter, which ``--formatter-property`` sets."""


def unknown_properties(properties: Mapping[str, str]) -> list[str]:
    """Those of a formatter's properties that nothing in DefaultMessageFormatter reads, nor a deserializer of its."""
    return [name for name in properties if name not in PROPERTIES and name not in _ENCODINGS]


_PRINTED_KEPT = 4096


class DefaultMessageFormatter:
    """The columns that the properties ask for, between separators."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        """Properties that are none of its own are passed over, as Kafka does it: ``unknown_properties`` names them."""
        (
            self._timestamp, self._partition, self._offset, self._delivery, self._epoch, self._headers, self._key, _
        ) = (is_true(properties, name) for name in _FLAGS)  # fmt: skip
        self._value = is_true(properties, "print.value", default=True)
        self._separator = properties.get("key.separator", "\t").encode()
        self._line_end = properties.get("line.separator", "\n").encode()
        self._header_separator = properties.get("headers.separator", ",").encode()
        self._null_literal = properties.get("null.literal", "null").encode()
        self._of_key, self._of_value, self._of_header = (_deserialize(properties, name) for name in _DESERIALIZERS)
        self._printed: dict[int, tuple[Sequence[Header], bytes]] = {}
        """Headers -> what is printed of them, by the very object, which is held here so that no other has its identity.
        Only tuples, which do not change. Who decodes gives equal headers as one object.
        """

    def format(self, records: Records) -> bytes:
        columns: list[Sequence[bytes]] = []
        try:
            for column in self._columns(records):
                columns.append(column)
        except FormatError as error:
            if len(records) == 1:
                error.printed = b"".join(column[0] + self._separator for column in columns) + error.printed
            raise
        if not columns or not len(records):
            return b""
        if len(columns) == 1:
            lines: Sequence[bytes] = columns[0]
        else:
            lines = list(map(self._separator.join, zip(*columns, strict=True)))
        return self._line_end.join(lines) + self._line_end

    def _columns(self, records: Records) -> Iterator[Sequence[bytes]]:
        """The columns asked for, in the order of Kafka's formatter."""
        count = len(records)
        if self._timestamp:
            yield list(map(_TIMESTAMP_FORMATS[records.timestamp_type].__mod__, records.timestamps))
        if self._partition:
            yield [b"Partition:%d" % records.partition] * count
        if self._offset:
            yield list(map(b"Offset:%d".__mod__, records.offsets))
        # The console consumer rebuilds each record without these two, so Kafka's formatter never sees them.
        if self._delivery:
            yield [b"Delivery:NOT_PRESENT"] * count
        if self._epoch:
            yield [b"Epoch:NOT_PRESENT"] * count
        if self._headers:
            yield self._header_blocks(records.headers)
        if self._key:
            yield self._fields(records.keys, self._of_key)
        if self._value:
            yield self._fields(records.values, self._of_value)

    def _fields(self, column: Sequence[bytes | None], deserialize: Deserialize | None) -> Sequence[bytes]:
        if None in column:
            # The literal is put in before the deserializer, which so gets to see its bytes: that is how Kafka does it.
            column = [self._null_literal if field is None else field for field in column]
        fields: Sequence[bytes] = column  # type: ignore[assignment]  # no None is left
        return fields if deserialize is None else list(map(deserialize, fields))

    def _header_blocks(self, column: Sequence[Sequence[Header]]) -> list[bytes]:
        blocks: list[bytes] = []
        for headers in column:
            known = self._printed.get(id(headers))
            if known is not None:
                blocks.append(known[1])
                continue
            block = self._header_block(headers)
            blocks.append(block)
            if type(headers) is tuple and len(block) < 256:
                if len(self._printed) >= _PRINTED_KEPT:
                    self._printed.clear()
                self._printed[id(headers)] = headers, block
        return blocks

    def _header_block(self, headers: Sequence[Header]) -> bytes:
        if not headers:
            return b"NO_HEADERS"
        printed = b""
        for name, value in headers:
            printed += (self._header_separator if printed else b"") + name.encode() + b":"
            try:
                printed += self._fields([value], self._of_header)[0]
            except FormatError as error:
                error.printed = printed
                raise
        return printed


def _deserialize(properties: Mapping[str, str], name: str) -> Deserialize | None:
    """The deserializer that the property of that name asks for; None for bytes as they are. Raises FormatterProblem."""
    if not any(given.startswith(name) for given in properties):
        return None
    from pykafka_cli.console.deserializers import deserializer

    return deserializer(properties, name)
