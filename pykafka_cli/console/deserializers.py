"""The bytes of a field -> the text that the console consumer prints for it: Kafka's deserializers, by their Java names.

Source: org.apache.kafka.common.serialization.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from struct import Struct

from pykafka_cli.console.records_out import Deserialize, FormatError, FormatterProblem
from pykafka_cli.java.floats import double_text, float_text


def deserializer(properties: Mapping[str, str], role: str) -> Deserialize | None:
    """The deserializer that a property names, with the properties below its own; None for raw bytes.

    Raises FormatterProblem.
    """
    class_name = properties.get(role)
    if class_name is None:
        return None
    make = _BY_NAME.get(class_name.removeprefix("org.apache.kafka.common.serialization."))
    if make is None or "." not in class_name:
        raise FormatterProblem(f"Unable to instantiate a deserializer from {class_name}: it is not known here")
    # A header's deserializer is configured as one for values.
    own_encoding = "key.deserializer.encoding" if role == "key.deserializer" else "value.deserializer.encoding"
    default_encoding = properties.get(f"{role}.deserializer.encoding", "UTF-8")
    return make(properties.get(f"{role}.{own_encoding}", default_encoding))


def _number_of(code: str, name: str, text: Callable[[int | float], str] | None = None) -> Callable[[str], Deserialize]:
    """A big-endian number of fixed size."""
    layout = Struct(code)

    def deserialize(data: bytes) -> bytes:
        if len(data) != layout.size:
            raise FormatError(f"Size of data received by {name} is not {layout.size}")
        (number,) = layout.unpack(data)
        return b"%d" % number if text is None else text(number).encode()

    return lambda _: deserialize


def _string(encoding: str) -> Deserialize:
    """Text in the encoding named; bytes that are no such text become U+FFFD, as in Java."""
    try:
        codec = codecs.lookup(encoding)
        # Python has codecs besides that decode to bytes (hex), or to no text of Java's (idna).
        b"\xff".decode(codec.name, "replace")
        if codec.name in _PYTHONS_OWN:
            raise LookupError
    except (LookupError, ValueError):
        message = f"Error when deserializing byte[] to string due to unsupported encoding {encoding}"
        raise FormatterProblem(message) from None
    if codec.name not in _EITHER_ORDER:
        return lambda data: codec.decode(data, "replace")[0].encode("utf-8", "replace")
    marks, default = _EITHER_ORDER[codec.name], codecs.lookup(f"{codec.name}-be")

    def either(data: bytes) -> bytes:
        return (codec if data.startswith(marks) else default).decode(data, "replace")[0].encode("utf-8", "replace")

    return either


_PYTHONS_OWN = frozenset({"raw-unicode-escape", "unicode-escape", "utf-7", "utf-8-sig"})
"""Encodings of text that Java does not have, by the names of Python's codecs."""

# Python reads these without a mark of their order as the processor has it, Java as big-endian.
_EITHER_ORDER = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


def _raw(_: str) -> Deserialize:
    """The bytes themselves. Kafka prints an object's address (``[B@1b2c6ec2``), which is of no use."""
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


_BY_NAME: Mapping[str, Callable[[str], Deserialize]] = {
    "StringDeserializer": _string,
    "ByteArrayDeserializer": _raw,
    "BytesDeserializer": _bytes,
    "ByteBufferDeserializer": _byte_buffer,
    "ShortDeserializer": _number_of(">h", "ShortDeserializer"),
    "IntegerDeserializer": _number_of(">i", "IntegerDeserializer"),
    "LongDeserializer": _number_of(">q", "LongDeserializer"),
    "FloatDeserializer": _number_of(">f", "Deserializer", float_text),  # Kafka's text lacks the type's name
    "DoubleDeserializer": _number_of(">d", "Deserializer", double_text),
    "UUIDDeserializer": _uuid,
    "BooleanDeserializer": _boolean,
    "VoidDeserializer": _void,
}
