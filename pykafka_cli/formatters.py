"""Records -> the bytes that the console consumer prints: Kafka's formatters and the deserializers they use.

Source: org.apache.kafka.tools.consumer.DefaultMessageFormatter and org.apache.kafka.common.serialization.
Work is done per run of records and per column: the plain console case is one join.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Protocol

from pykafka_cli.properties import is_true
from pykafka_store.model import Header, Records, TimestampType

Deserialize = Callable[[bytes], bytes]
"""The bytes of a field -> the bytes that are printed for it."""

_TIMESTAMP_FORMATS = {TimestampType.CREATE_TIME: b"CreateTime:%d", TimestampType.LOG_APPEND_TIME: b"LogAppendTime:%d"}


class FormatterProblem(ValueError):  # noqa: N818 - it is the user's problem
    """A formatter, deserializer or property that is not known. The text is for a person."""


class UnknownClassProblem(FormatterProblem):
    """No class of that name, here or in Apache Kafka; the text is the name, as Kafka's tool prints it."""


class FormatError(Exception):
    """A record can't be formatted. ``java_class`` is the exception that Kafka throws.

    ``printed`` is what Kafka has printed of the record by then: it writes a record in pieces. It is set where one
    record alone was to be formatted.
    """

    def __init__(self, message: str, java_class: str = "org.apache.kafka.common.errors.SerializationException") -> None:
        super().__init__(message)
        self.java_class = java_class
        self.printed = b""


class Formatter(Protocol):
    """Records -> bytes for stdout."""

    def format(self, records: Records) -> bytes:
        """What is printed for a run of records, all or nothing. Raises FormatError."""


def formatter_named(name: str, properties: Mapping[str, str]) -> Formatter:
    """The formatter of a Java class name. Raises FormatterProblem."""
    if name in {_PACKAGE + "DefaultMessageFormatter", _PACKAGE + "LoggingMessageFormatter"}:
        # The second logs each record too, at a level that the tools' log does not show.
        return DefaultFormatter(properties)
    if name == _PACKAGE + "NoOpMessageFormatter":
        return NoFormatter()
    if name in _FORMATTERS_OF_INTERNAL_TOPICS:
        raise FormatterProblem(f"{name} formats a topic of Kafka's brokers, and there is none here")
    raise UnknownClassProblem(name)


_PACKAGE = "org.apache.kafka.tools.consumer."
DEFAULT_FORMATTER = _PACKAGE + "DefaultMessageFormatter"
_FORMATTERS_OF_INTERNAL_TOPICS = frozenset(
    _PACKAGE + name
    for name in (
        "OffsetsMessageFormatter",
        "GroupMetadataMessageFormatter",
        "TransactionLogMessageFormatter",
        "ShareGroupMessageFormatter",
        "group.share.ShareGroupStateMessageFormatter",
    )
)


class NoFormatter:
    """Prints nothing. Source: NoOpMessageFormatter, which ignores its properties."""

    def format(self, records: Records) -> bytes:  # noqa: ARG002 - the protocol's signature
        return b""


class DefaultFormatter:
    """The columns that the properties ask for, between separators."""

    _FLAGS = (
        "print.timestamp", "print.partition", "print.offset", "print.delivery", "print.epoch", "print.headers",
        "print.key", "print.value",
    )  # fmt: skip
    _SEPARATORS = ("key.separator", "line.separator", "headers.separator", "null.literal")
    _DESERIALIZERS = ("key.deserializer", "value.deserializer", "headers.deserializer")

    def __init__(self, properties: Mapping[str, str]) -> None:
        for name in properties:
            role = ".".join(name.split(".")[:2])  # what follows a deserializer's name is checked below
            if name in self._FLAGS or name in self._SEPARATORS or role in self._DESERIALIZERS:
                continue
            known = ", ".join((*self._FLAGS, *self._SEPARATORS, *self._DESERIALIZERS))
            raise FormatterProblem(f"{name} is not a property of the formatter: it knows {known}")
        (
            self._timestamp, self._partition, self._offset, self._delivery, self._epoch, self._headers, self._key, _
        ) = (is_true(properties, name) for name in self._FLAGS)  # fmt: skip
        self._value = is_true(properties, "print.value", default=True)
        self._separator = properties.get("key.separator", "\t").encode()
        self._line_end = properties.get("line.separator", "\n").encode()
        self._header_separator = properties.get("headers.separator", ",").encode()
        self._null = properties.get("null.literal", "null").encode()
        self._of_key = _deserializer(properties, "key.deserializer")
        self._of_value = _deserializer(properties, "value.deserializer")
        self._of_header = _deserializer(properties, "headers.deserializer")

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
            yield [self._header_block(headers) for headers in records.headers]
        if self._key:
            yield self._fields(records.keys, self._of_key)
        if self._value:
            yield self._fields(records.values, self._of_value)

    def _fields(self, column: Sequence[bytes | None], deserialize: Deserialize | None) -> Sequence[bytes]:
        if None in column:
            # Before the deserializer, which so gets to see the literal's bytes: that is how Kafka does it.
            column = [self._null if field is None else field for field in column]
        fields: Sequence[bytes] = column  # type: ignore[assignment]  # no None is left
        return fields if deserialize is None else list(map(deserialize, fields))

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


# ---------------------------------------------------------------------------------------------------- deserializers


def _deserializer(properties: Mapping[str, str], role: str) -> Deserialize | None:
    """The deserializer that a property names, with the properties below its own; None for raw bytes."""
    class_name = properties.get(role)
    prefix = f"{role}."
    below = {name.removeprefix(prefix): (name, value) for name, value in properties.items() if name.startswith(prefix)}
    if class_name is None:
        if below:
            raise FormatterProblem(f"{next(iter(below.values()))[0]} is of no use without {role}")
        return None
    make = _DESERIALIZERS.get(class_name.removeprefix("org.apache.kafka.common.serialization."))
    if make is None or "." not in class_name:
        raise FormatterProblem(f"Unable to instantiate a deserializer from {class_name}: it is not known here")
    # A header's deserializer is configured as one for values.
    own_encoding = "key.deserializer.encoding" if role == "key.deserializer" else "value.deserializer.encoding"
    _, default_encoding = below.pop("deserializer.encoding", ("", "UTF-8"))
    _, encoding = below.pop(own_encoding, ("", default_encoding))
    for name, _ in below.values():
        raise FormatterProblem(f"{name} is not a property of {class_name}")
    return make(encoding)


def _number_of(code: str, name: str, text: Callable[[int | float], str] | None = None) -> Callable[[str], Deserialize]:
    """A big-endian number of fixed size."""
    layout = Struct(code)

    def deserialize(data: bytes) -> bytes:
        if len(data) != layout.size:
            raise FormatError(f"Size of data received by {name} is not {layout.size}")
        (number,) = layout.unpack(data)
        return b"%d" % number if text is None else text(number).encode()

    return lambda _: deserialize


def java_float(number: float) -> str:
    """A float as java.lang.Float#toString prints it, with the fewest digits that tell it apart."""
    return _java_number(number, _float_digits)


def java_double(number: float) -> str:
    """A double as java.lang.Double#toString prints it, from Java 19 on: with the fewest digits that tell it apart."""
    return _java_number(number, repr)


def _java_number(number: float, shortest: Callable[[float], str]) -> str:
    """Decimals from 0.001 to below ten millions, else ``d.dddE±n``; always a digit on both sides of the point."""
    from decimal import Decimal  # imported by nobody else

    if math.isnan(number):
        return "NaN"
    sign = "-" if math.copysign(1, number) < 0 else ""
    number = abs(number)
    if math.isinf(number):
        return f"{sign}Infinity"
    if number == 0:
        return f"{sign}0.0"
    decimal = Decimal(shortest(number)).normalize()
    if len(decimal.as_tuple().digits) == 1:
        # Where one digit is enough Java takes the nearest number of two: 4.9E-324, not 5.0E-324.
        decimal = Decimal(f"{number:.1e}").normalize()
    digits, exponent = "".join(map(str, decimal.as_tuple().digits)), decimal.adjusted()
    if not -3 <= exponent < 7:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction or '0'}"


def _float_digits(number: float) -> str:
    """The shortest text that tells a float of four bytes apart from every other."""
    layout = Struct(">f")
    exact = layout.pack(number)
    for count in range(1, 9):
        text = f"{number:.{count - 1}e}"
        try:
            if layout.pack(float(text)) == exact:
                return text
        except OverflowError:
            continue  # rounded up beyond the largest float
    return f"{number:.8e}"


def _string(encoding: str) -> Deserialize:
    """Text in the encoding named; what is no such text becomes U+FFFD, as in Java."""
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        message = f"Error when deserializing byte[] to string due to unsupported encoding {encoding}"
        raise FormatterProblem(message) from None
    if codec.name not in _EITHER_ORDER:
        return lambda data: codec.decode(data, "replace")[0].encode("utf-8", "replace")
    marks, default = _EITHER_ORDER[codec.name], codecs.lookup(f"{codec.name}-be")

    def either(data: bytes) -> bytes:
        return (codec if data.startswith(marks) else default).decode(data, "replace")[0].encode("utf-8", "replace")

    return either


# Python reads these without a mark of their order as the processor has it, Java as big-endian.
_EITHER_ORDER = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


def _raw(_: str) -> Deserialize:
    """The bytes themselves. Kafka prints an object's address (``[B@1b2c6ec2``), which helps nobody."""
    return lambda data: data


def _bytes(_: str) -> Deserialize:
    """Printable ASCII as it is, other bytes as ``\\xNN`` (org.apache.kafka.common.utils.Bytes#toString)."""
    table = [chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x5C else f"\\x{byte:02X}" for byte in range(256)]
    return lambda data: "".join(map(table.__getitem__, data)).encode()


def _byte_buffer(_: str) -> Deserialize:
    return lambda data: b"java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]" % (len(data), len(data))


_UUID = re.compile(
    r"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16})"
)


def _uuid(encoding: str) -> Deserialize:
    """A UUID's text, in its usual form. java.util.UUID#fromString takes shorter and longer groups, and cuts them."""
    text = _string(encoding)

    def deserialize(data: bytes) -> bytes:
        found = _UUID.fullmatch(text(data).decode())
        if found is None or len(found[0]) > 36:
            raise FormatError("Error parsing data into UUID")
        parts = (int(group, 16) for group in found.groups())
        widths = (8, 4, 4, 4, 12)
        return "-".join(f"{part % 16**width:0{width}x}" for part, width in zip(parts, widths, strict=True)).encode()

    return deserialize


def _boolean(_: str) -> Deserialize:
    def deserialize(data: bytes) -> bytes:
        if len(data) != 1:
            raise FormatError("Size of data received by BooleanDeserializer is not 1")
        if data[0] > 1:
            signed = data[0] - 256 if data[0] > 127 else data[0]
            raise FormatError(f"Unexpected byte received by BooleanDeserializer: {signed}")
        return b"true" if data[0] else b"false"

    return deserialize


def _void(_: str) -> Deserialize:
    """Always an error: Kafka's formatter hands its null literal to it, and never a null."""

    def deserialize(_: bytes) -> bytes:
        raise FormatError("Data should be null for a VoidDeserializer.", "java.lang.IllegalArgumentException")

    return deserialize


_DESERIALIZERS: Mapping[str, Callable[[str], Deserialize]] = {
    "StringDeserializer": _string,
    "ByteArrayDeserializer": _raw,
    "BytesDeserializer": _bytes,
    "ByteBufferDeserializer": _byte_buffer,
    "ShortDeserializer": _number_of(">h", "ShortDeserializer"),
    "IntegerDeserializer": _number_of(">i", "IntegerDeserializer"),
    "LongDeserializer": _number_of(">q", "LongDeserializer"),
    "FloatDeserializer": _number_of(">f", "Deserializer", java_float),  # Kafka's text lacks the type's name
    "DoubleDeserializer": _number_of(">d", "Deserializer", java_double),
    "UUIDDeserializer": _uuid,
    "BooleanDeserializer": _boolean,
    "VoidDeserializer": _void,
}
