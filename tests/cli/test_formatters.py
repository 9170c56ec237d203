"""What the console consumer prints. Cases 68 to 71 are DefaultMessageFormatterTest's; the rest is what 4.3 prints."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli.console import formatters
from pykafka_cli.console.formatters import DefaultMessageFormatter, NoOpMessageFormatter
from pykafka_cli.console.records_out import FormatError, FormatterProblem, UnknownClassProblem
from pykafka_cli.java.floats import double_text, float_text
from pykafka_store.model import Header, Records, TimestampType

ALL = ("timestamp", "partition", "offset", "delivery", "epoch", "headers", "key", "value")
SERIALIZATION = "org.apache.kafka.common.serialization."


def run_of(
    *records: tuple[bytes | None, bytes | None, Sequence[Header]],
    timestamp: int = 123,
    timestamp_type: TimestampType = TimestampType.CREATE_TIME,
) -> Records:
    """Records of topic-0 from offset 123 on, given as (key, value, headers)."""
    return Records(
        "topic",
        0,
        offsets=range(123, 123 + len(records)),
        timestamps=[timestamp] * len(records),
        keys=[key for key, _, _ in records],
        values=[value for _, value, _ in records],
        headers=[headers for _, _, headers in records],
        timestamp_type=timestamp_type,
    )


ONE = run_of((b"key", b"value", ()))
HEADED = run_of((b"key", b"value", (("h1", b"v1"), ("h2", b"v2"))))


def printed(records: Records, *columns: str, **properties: str) -> bytes:
    """What is printed with these columns on; property names with ``_`` for ``.``."""
    settings = {name.replace("_", "."): value for name, value in properties.items()}
    settings |= {f"print.{column}": "true" for column in columns}
    return DefaultMessageFormatter(settings).format(records)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((), b"value\n"),
        (("key",), b"key\tvalue\n"),
        (("key", "partition"), b"Partition:0\tkey\tvalue\n"),
        (("key", "partition", "timestamp"), b"CreateTime:123\tPartition:0\tkey\tvalue\n"),
        (("key", "partition", "offset"), b"Partition:0\tOffset:123\tkey\tvalue\n"),
        (("key", "headers"), b"NO_HEADERS\tkey\tvalue\n"),
        (("key", "delivery", "headers"), b"Delivery:NOT_PRESENT\tNO_HEADERS\tkey\tvalue\n"),
        (
            ALL,
            b"CreateTime:123\tPartition:0\tOffset:123\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\tNO_HEADERS\tkey\tvalue\n",
        ),
    ],
)
def test_columns_have_kafkas_order_whatever_the_order_of_the_properties(
    columns: tuple[str, ...], expected: bytes
) -> None:
    """Case 68."""
    assert printed(ONE, *columns) == expected
    assert printed(ONE, *reversed(columns)) == expected


def test_separators_case_70() -> None:
    columns = ("timestamp", "partition", "offset", "headers", "key")
    assert (
        printed(
            HEADED,
            *columns,
            print_value="false",
            key_separator="<sep>",
            line_separator="<end>",
            headers_separator="|",
        )
        == b"CreateTime:123<sep>Partition:0<sep>Offset:123<sep>h1:v1|h2:v2<sep>key<end>"
    )


def test_null_has_a_literal_in_every_column_case_71() -> None:
    nothing = run_of((None, None, (("h", None),)), (b"", b"", (("h", b""),)))
    assert printed(nothing, "headers", "key") == b"h:null\tnull\tnull\nh:\t\t\n"
    assert printed(nothing, "headers", "key", null_literal="<n>") == b"h:<n>\t<n>\t<n>\nh:\t\t\n"
    assert printed(nothing, null_literal="") == b"\n\n"


def test_a_run_of_records_is_printed_line_by_line() -> None:
    run = run_of((b"a", b"1", ()), (None, b"2", ()), (b"c", None, ()))
    assert printed(run) == b"1\n2\nnull\n"
    assert printed(run, "key", "offset") == b"Offset:123\ta\t1\nOffset:124\tnull\t2\nOffset:125\tc\tnull\n"
    assert printed(run, line_separator="") == b"12null"


def test_log_append_time_is_named() -> None:
    stamped = run_of((None, b"v", ()), timestamp=7, timestamp_type=TimestampType.LOG_APPEND_TIME)
    assert printed(stamped, "timestamp") == b"LogAppendTime:7\tv\n"


def test_nothing_asked_for_is_nothing_printed() -> None:
    assert printed(ONE, print_value="false") == b""
    assert printed(run_of()) == b""
    assert printed(run_of(), line_separator="x") == b""


def test_bytes_are_printed_as_they_are() -> None:
    assert (
        printed(run_of((b"\xff", b"\x00\xfe\r", (("é", b"\xff"),))), "headers", "key")
        == b"\xc3\xa9:\xff\t\xff\t\x00\xfe\r\n"
    )


@pytest.mark.parametrize("value", ["TRUE", " true "])
def test_a_flag_is_on_if_it_says_true(value: str) -> None:
    assert printed(ONE, print_key=value) == b"key\tvalue\n"


@pytest.mark.parametrize("value", ["yes", "1", "", "false"])
def test_a_flag_is_off_for_everything_else(value: str) -> None:
    assert printed(ONE, print_key=value) == b"value\n"
    assert printed(ONE, print_value=value) == b""


# ---------------------------------------------------------------------------------------------------- deserializers


def deserialized(name: str, data: bytes | None, **more: str) -> bytes:
    properties = {"value.deserializer": SERIALIZATION + name} | {n.replace("_", "."): v for n, v in more.items()}
    return DefaultMessageFormatter(properties | {"line.separator": ""}).format(run_of((None, data, ())))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("StringDeserializer", "é".encode(), "é"),
        ("StringDeserializer", b"a\xffb\xe2\x82", "a\ufffdb\ufffd"),
        ("ByteArrayDeserializer", "é".encode(), "é"),
        ("BytesDeserializer", b"a\\ \n\x00\xff~", r"a\x5C \x0A\x00\xFF~"),
        ("ByteBufferDeserializer", b"abcdefgh", "java.nio.HeapByteBuffer[pos=0 lim=8 cap=8]"),
        ("ShortDeserializer", b"ab", "24930"),
        ("ShortDeserializer", b"\xff\xff", "-1"),
        ("IntegerDeserializer", b"abcd", "1633837924"),
        ("LongDeserializer", b"abcdefgh", "7017280452245743464"),
        ("FloatDeserializer", b"abcd", "2.6100788E20"),
        ("DoubleDeserializer", b"abcdefgh", "1.2926117907728089E161"),
        ("UUIDDeserializer", b"123E4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("UUIDDeserializer", b"1-2-3-4-5", "00000001-0002-0003-0004-000000000005"),
        ("BooleanDeserializer", b"\x01", "true"),
        ("BooleanDeserializer", b"\x00", "false"),
    ],
)
def test_a_value_is_shown_as_its_java_object_is_printed(name: str, data: bytes, expected: str) -> None:
    assert deserialized(name, data).decode() == expected


def test_a_null_is_given_to_the_deserializer_as_its_literal() -> None:
    """That is how Kafka's formatter does it, useful or not."""
    assert deserialized("IntegerDeserializer", None) == str(struct.unpack(">i", b"null")[0]).encode()
    assert deserialized("StringDeserializer", None, null_literal="-") == b"-"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("ShortDeserializer", b"abc", "Size of data received by ShortDeserializer is not 2"),
        ("IntegerDeserializer", b"", "Size of data received by IntegerDeserializer is not 4"),
        ("LongDeserializer", b"ab", "Size of data received by LongDeserializer is not 8"),
        ("FloatDeserializer", b"ab", "Size of data received by Deserializer is not 4"),
        ("DoubleDeserializer", b"ab", "Size of data received by Deserializer is not 8"),
        ("UUIDDeserializer", b"0123456789abcdef", "Error parsing data into UUID"),
        ("UUIDDeserializer", b"0000000000000-0000-0000-0000-00000000000000", "Error parsing data into UUID"),
        ("BooleanDeserializer", b"", "Size of data received by BooleanDeserializer is not 1"),
        ("BooleanDeserializer", b"\xff", "Unexpected byte received by BooleanDeserializer: -1"),
    ],
)
def test_bytes_of_another_kind_are_an_error_in_kafkas_words(name: str, data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as error:
        deserialized(name, data)
    assert str(error.value) == message
    assert error.value.java_class == "org.apache.kafka.common.errors.SerializationException"


@pytest.mark.parametrize("data", [b"", None])
def test_the_void_deserializer_never_gets_a_null(data: bytes | None) -> None:
    with pytest.raises(FormatError, match=r"^Data should be null for a VoidDeserializer\.$") as error:
        deserialized("VoidDeserializer", data)
    assert error.value.java_class == "java.lang.IllegalArgumentException"


def test_headers_that_are_one_object_are_printed_alike_and_those_that_change_as_they_are() -> None:
    shared: Sequence[Header] = (("h", b"1"),)
    changing: list[Header] = [("h", b"1")]
    formatter = DefaultMessageFormatter({"print.headers": "true", "print.value": "false"})
    assert formatter.format(run_of((None, None, shared), (None, None, changing), (None, None, shared))) == b"h:1\n" * 3
    changing[0] = ("h", b"2")
    many = [(None, None, (("h", b"%d" % number),)) for number in range(10_000)]  # more than are remembered
    expected = b"".join(b"h:%d\n" % number for number in range(10_000))
    assert formatter.format(run_of((None, None, changing), (None, None, shared))) == b"h:2\nh:1\n"
    assert formatter.format(run_of(*many, (None, None, shared))) == expected + b"h:1\n"


def test_keys_and_headers_have_deserializers_of_their_own() -> None:
    run = run_of((b"\x00\x01", b"v", (("h", b"\x01"), ("i", b"\x00"))))
    properties = {"key.deserializer": f"{SERIALIZATION}ShortDeserializer"}
    properties |= {"headers.deserializer": f"{SERIALIZATION}BooleanDeserializer"}
    properties |= {"print.headers": "true", "print.key": "true"}
    assert DefaultMessageFormatter(properties).format(run) == b"h:true,i:false\t1\tv\n"


@pytest.mark.parametrize("data", [b"\x00\xe9", b"\xfe\xff\x00\xe9", b"\xff\xfe\xe9\x00"])
def test_utf_16_without_a_mark_of_its_order_is_big_endian_as_in_java(data: bytes) -> None:
    assert deserialized("StringDeserializer", data, value_deserializer_deserializer_encoding="UTF-16") == "é".encode()


def test_a_deserializer_has_properties_below_its_name() -> None:
    assert (
        deserialized("StringDeserializer", b"\xe9", value_deserializer_deserializer_encoding="ISO-8859-1")
        == "é".encode()
    )
    own = {
        "value.deserializer.value.deserializer.encoding": "UTF-16BE",
        "value.deserializer.deserializer.encoding": "x",
    }
    formatter = DefaultMessageFormatter(
        {"value.deserializer": f"{SERIALIZATION}StringDeserializer", **own, "line.separator": ""}
    )
    assert formatter.format(run_of((None, b"\x00a", ()))) == b"a"


def test_of_a_record_that_fails_what_kafka_has_printed_by_then_is_kept() -> None:
    """Kafka writes a record in pieces; what is before the failing field stays on the line."""
    run = run_of((b"k", b"\x00\x01", (("h", b"\x01"), ("i", b"no"))))
    properties = {"print.offset": "true", "print.headers": "true", "print.key": "true"}
    with pytest.raises(FormatError) as error:
        DefaultMessageFormatter({**properties, "value.deserializer": f"{SERIALIZATION}LongDeserializer"}).format(run)
    assert error.value.printed == b"Offset:123\th:\x01,i:no\tk\t"
    with pytest.raises(FormatError) as error:
        DefaultMessageFormatter({**properties, "headers.deserializer": f"{SERIALIZATION}BooleanDeserializer"}).format(
            run
        )
    assert error.value.printed == b"Offset:123\th:true,i:"


# --------------------------------------------------------------------------------------------------- Java's numbers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (-1.5, "-1.5"), (100.0, "100.0"), (0.1, "0.1"), (0.001, "0.001"),
        (0.0012, "0.0012"), (0.00099, "9.9E-4"), (1e-3 - 1e-18, "9.99999999999999E-4"), (1234567.0, "1234567.0"),
        (9999999.0, "9999999.0"), (1e7, "1.0E7"), (12345678.9, "1.23456789E7"), (1e21, "1.0E21"), (2e-5, "2.0E-5"),
        (5e-324, "4.9E-324"), (1.7976931348623157e308, "1.7976931348623157E308"), (2e23, "2.0E23"), (0.3, "0.3"),
        (float("inf"), "Infinity"), (float("-inf"), "-Infinity"), (float("nan"), "NaN"), (123.456, "123.456"),
    ],
)  # fmt: skip
def test_doubles_are_printed_as_java_prints_them(number: float, expected: str) -> None:
    assert double_text(number) == expected


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x3F800000, "1.0"), (0x3DCCCCCD, "0.1"), (0x00000001, "1.4E-45"), (0x7F7FFFFF, "3.4028235E38"),
        (0x00800000, "1.1754944E-38"), (0x4B189680, "1.0E7"), (0x4B18967F, "9999999.0"), (0x3A83126F, "0.001"),
        (0x3A83126E, "9.999999E-4"), (0x80000000, "-0.0"), (0x7FC00000, "NaN"), (0xFF800000, "-Infinity"),
    ],
)  # fmt: skip
def test_floats_are_printed_as_java_prints_them(bits: int, expected: str) -> None:
    assert float_text(struct.unpack(">f", bits.to_bytes(4, "big"))[0]) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_double_can_be_read_back(number: float) -> None:
    assert float(double_text(number)) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_printed_float_can_be_read_back(number: float) -> None:
    assert struct.pack(">f", float(float_text(number))) == struct.pack(">f", number)


# ------------------------------------------------------------------------------------------------ what is not known


def test_formatters_go_by_their_java_names() -> None:
    assert isinstance(formatters.named(formatters.DEFAULT, {}), DefaultMessageFormatter)
    logging = formatters.named("org.apache.kafka.tools.consumer.LoggingMessageFormatter", {"print.key": "true"})
    assert logging.format(ONE) == b"key\tvalue\n"
    nothing = formatters.named("org.apache.kafka.tools.consumer.NoOpMessageFormatter", {"any": "thing"})
    assert isinstance(nothing, NoOpMessageFormatter)
    assert nothing.format(ONE) == b""


@pytest.mark.parametrize("name", ["kafka.tools.DefaultMessageFormatter", "NoOpMessageFormatter", ""])
def test_a_class_that_kafka_does_not_have_is_named_and_nothing_else(name: str) -> None:
    with pytest.raises(UnknownClassProblem, match=f"^{name}$"):
        formatters.named(name, {})


def test_a_class_that_only_kafka_has_is_named() -> None:
    with pytest.raises(FormatterProblem, match="is not here, as there are no share groups: "):
        formatters.named("org.apache.kafka.tools.consumer.ShareGroupMessageFormatter", {})


def test_properties_that_nothing_reads_are_named_and_passed_over() -> None:
    known = {"print.key": "true", "value.deserializer.deserializer.encoding": "UTF-8"}
    unknown = {"print.kye": "true", "header.deserializer": "x", "key.deserializer.x": "1", "key.deserializers": "1",
               "value.deserializer.encoding": "x", "auto.offset.reset": "earliest"}  # fmt: skip
    assert formatters.unknown_properties(known | unknown) == list(unknown)
    numbers = unknown | {"value.deserializer": f"{SERIALIZATION}LongDeserializer"}
    assert formatters.named(formatters.DEFAULT, numbers).format(run_of((None, bytes([0] * 7 + [5]), ()))) == b"5\n"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"value.deserializer": "com.example.Avro"}, r"^Unable to instantiate a deserializer from com\.example\.Avro"),
        ({"value.deserializer": "LongDeserializer"}, r"^Unable to instantiate a deserializer from LongDeserializer"),
        (
            {
                "value.deserializer": f"{SERIALIZATION}StringDeserializer",
                "value.deserializer.deserializer.encoding": "klingon",
            },
            r"unsupported encoding klingon$",
        ),
    ],
)
def test_what_the_formatter_does_not_know_is_named(properties: dict[str, str], message: str) -> None:
    with pytest.raises(FormatterProblem, match=message):
        DefaultMessageFormatter(properties)
