"""Kafka's line reader. Cases 42 to 56 are those of LineMessageReaderTest; the rest is what Apache Kafka 4.3 does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli.console.records_in import (
    BadLineError,
    InputRecords,
    LineMessageReader,
    ReadError,
    cut_one_by_one,
    cut_twice,
)


def read(text: str, **properties: str) -> list[tuple[object, ...]]:
    """(headers, key, value) of each line; property names with ``_`` for ``.``."""
    return records({name.replace("_", "."): value for name, value in properties.items()}, text.encode().split(b"\n"))


def records(properties: dict[str, str], lines: list[bytes]) -> list[tuple[object, ...]]:
    columns = LineMessageReader(properties).records(lines, 1)
    count = len(columns.values)
    return list(zip(columns.headers or [()] * count, columns.keys or [None] * count, columns.values, strict=True))


BOTH = {"parse.key": "true", "parse.headers": "true"}


@pytest.mark.parametrize(
    ("properties", "line", "expected"),
    [
        pytest.param({"parse.key": "true"}, b"key0\tvalue0", ((), b"key0", b"value0"), id="42"),
        pytest.param(
            BOTH,
            b"headerKey0:headerValue0,headerKey1:headerValue1\tkey0\tvalue0",
            ((("headerKey0", b"headerValue0"), ("headerKey1", b"headerValue1")), b"key0", b"value0"),
            id="43",
        ),
        pytest.param(BOTH, b":\t\t", ((("", b""),), b"", b""), id="44"),
        pytest.param({"parse.key": "true"}, b"key\t", ((), b"key", b""), id="45"),
        pytest.param(
            {
                **BOTH,
                "key.separator": "\t\t",
                "headers.delimiter": "\t\t",
                "headers.separator": "---",
                "headers.key.separator": "::::",
            },
            b"headerKey0.0::::headerValue0.0---headerKey1.0::::\t\tkey\t\tvalue",
            ((("headerKey0.0", b"headerValue0.0"), ("headerKey1.0", b"")), b"key", b"value"),
            id="46",
        ),
        pytest.param(
            {"parse.headers": "true"},
            b"headerKey:headerValue\tvalue",
            ((("headerKey", b"headerValue"),), None, b"value"),
            id="47",
        ),
        pytest.param(
            {**BOTH, "ignore.error": "true"},
            b"h:v[MISSING-HEADER-DELIMITER]key3[MISSING-KEY-DELIMITER]value3",
            ((), None, b"h:v[MISSING-HEADER-DELIMITER]key3[MISSING-KEY-DELIMITER]value3"),
            id="50",
        ),
        pytest.param(
            {**BOTH, "ignore.error": "true"},
            b"key-val\tkey0\tvalue0",
            ((("key-val", None),), b"key0", b"value0"),
            id="51",
        ),
        pytest.param(
            {**BOTH, "null.marker": "<NULL>"},
            b"h0:<NULL>,h1:v1\tkey\t<NULL>",
            ((("h0", None), ("h1", b"v1")), b"key", None),
            id="53",
        ),
        pytest.param({**BOTH, "null.marker": "<NULL>"}, b"<NULL>\tkey\t<NULL>", ((), b"key", None), id="53b"),
        pytest.param({"parse.key": "true"}, b"k\ta\tb", ((), b"k", b"a\tb"), id="the first separator counts"),
        pytest.param({"parse.key": " TRUE "}, b"k\tv", ((), b"k", b"v"), id="true in any case"),
        pytest.param({"parse.key": "yes"}, b"k\tv", ((), None, b"k\tv"), id="only true is true"),
        pytest.param({"parse.key": "true", "key.separator": ""}, b"ab", ((), b"", b"ab"), id="empty separator"),
        pytest.param(
            {"parse.key": "true", "key.separator": "→"}, "a→b".encode(), ((), b"a", b"b"), id="utf-8 separator"
        ),
        pytest.param({"parse.key": "true", "null.marker": ""}, b"\tx", ((), None, b"x"), id="empty marker"),
        pytest.param({"null.marker": "<N>"}, b"<N>", ((), None, None), id="marker without keys"),
        pytest.param({"parse.headers": "true"}, b"a:1,,\tv", ((("a", b"1"),), None, b"v"), id="trailing empty pairs"),
        pytest.param({"parse.headers": "true"}, b",\tv", ((), None, b"v"), id="nothing but a separator"),
        pytest.param(
            {"parse.headers": "true", "ignore.error": "true"},
            b"a:1,,b:2\tv",
            ((("a", b"1"), ("", None), ("b", b"2")), None, b"v"),
            id="inner empty pair ignored",
        ),
        pytest.param(
            {"parse.headers": "true"},
            b"a:1:2,b::\tv",
            ((("a", b"1:2"), ("b", b":")), None, b"v"),
            id="first colon counts",
        ),
        pytest.param(
            {"parse.headers": "true"}, b"a:1,a:2\tv", ((("a", b"1"), ("a", b"2")), None, b"v"), id="a key may repeat"
        ),
        pytest.param(
            {"parse.headers": "true", "headers.separator": "."}, b"a:1.b:2\tv", ((), None, b"v"), id="a dot is a regex"
        ),
        pytest.param(
            {"parse.headers": "true", "headers.separator": "X+"},
            b"a:1XXb:2\tv",
            ((("a", b"1"), ("b", b"2")), None, b"v"),
            id="a regex",
        ),
        pytest.param(
            {"parse.headers": "true", "headers.separator": "(?=b)"},
            b"a:1b:2\tv",
            ((("a", b"1"), ("b", b"2")), None, b"v"),
            id="a regex that matches nothing",
        ),
        pytest.param(
            {"parse.headers": "true", "headers.key.separator": ""}, b"ab\tv", ((("", b"ab"),), None, b"v"), id="empty"
        ),
        pytest.param(
            {"parse.key": "true"},
            b"k\xff\tv\xfe",
            ((), b"k\xff", b"v\xfe"),
            id="bytes that are no text stay as they are",
        ),
        pytest.param(
            {"parse.headers": "true"},
            b"h\xff:\xfe\xff\tv",
            ((("h\ufffd", b"\xfe\xff"),), None, b"v"),
            id="a header's key is text, its value is bytes",
        ),
    ],
)
def test_a_line_becomes_a_record(properties: dict[str, str], line: bytes, expected: tuple[object, ...]) -> None:
    assert records(properties, [line]) == [expected]


def test_null_marker_case_52() -> None:
    text = "key\t\nkey\t<NULL>\nkey\t<NULL>value\n<NULL>\tvalue\n<NULL>\t<NULL>"
    assert [record[1:] for record in read(text, parse_key="true", null_marker="<NULL>")] == [
        (b"key", b""),
        (b"key", None),
        (b"key", b"<NULL>value"),
        (None, b"value"),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("properties", "lines", "message"),
    [
        (
            BOTH,
            [b"h:v\tk\tv", b"headerKey1.0:headerValue1.0\tkey1[MISSING-DELIMITER]value1"],
            "No key separator found on line number 12: 'headerKey1.0:headerValue1.0\tkey1[MISSING-DELIMITER]value1'",
        ),
        (
            BOTH,
            [b"h:v\tk\tv", b"key[MISSING-DELIMITER]val\tkey0\tvalue0"],
            "No header key separator found in pair 'key[MISSING-DELIMITER]val' on line number 12",
        ),
        (
            {**BOTH, "null.marker": "<NULL>", "ignore.error": "true"},
            [b"h:v\tk\tv", b"<NULL>:v0,h1:v1\tkey\tvalue"],
            "Header keys should not be equal to the null marker '<NULL>' as they can't be null",
        ),
        ({"parse.headers": "true"}, [b"h:v\tv", b"none"], "No headers delimiter found on line number 12: 'none'"),
        ({"parse.headers": "true"}, [b"h:v\tv", b"\tv"], "No header key separator found in pair '' on line number 12"),
        ({"parse.key": "true"}, [b"k\tv", b"no\xffne"], "No key separator found on line number 12: 'no\ufffdne'"),
        ({"parse.key": "true", "null.marker": "v"}, [b"k\tv", b""], "No key separator found on line number 12: ''"),
    ],
)
def test_a_bad_line_is_named_and_what_came_before_is_kept(
    properties: dict[str, str], lines: list[bytes], message: str
) -> None:
    reader = LineMessageReader(properties)
    before = reader.records(lines[:1], 11)
    with pytest.raises(BadLineError) as bad:
        reader.records([*lines, b"later"], 11)
    assert str(bad.value) == message
    assert [None if column is None else list(column) for column in bad.value.before] == [
        None if column is None else list(column) for column in before
    ]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"headers.separator": "\t", "headers.key.separator": "\t"}, "headers.delimiter and headers.separator"),
        ({"headers.key.separator": "\t"}, "headers.delimiter and headers.key.separator"),
        ({"headers.separator": ":"}, "headers.separator and headers.key.separator"),
        ({"null.marker": "\t"}, "null.marker and key.separator"),
        ({"null.marker": ","}, "null.marker and headers.separator"),
        ({"null.marker": "-", "headers.delimiter": "-"}, "null.marker and headers.delimiter"),
        ({"null.marker": ":"}, "null.marker and headers.key.separator"),
    ],
)
def test_separators_that_collide_are_refused_whether_they_are_used_or_not(
    properties: dict[str, str], message: str
) -> None:
    with pytest.raises(ReadError, match=f"^{message} may not be equal$"):
        LineMessageReader(properties)


def test_a_property_that_the_reader_does_not_know_is_passed_over() -> None:
    assert LineMessageReader({"parse.kye": "true"}).records([b"a\tb"], 1) == InputRecords([b"a\tb"])


def test_a_separator_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ReadError, match=r"^headers\.separator: \["):
        LineMessageReader({"headers.separator": "["})


@given(
    st.lists(st.text("a;", max_size=70) | st.text("ab;", max_size=4), min_size=1, max_size=5),
    st.sampled_from(["a", ";", ";a", "a;a"]),
)
def test_lines_are_cut_at_the_first_separator(lines: list[str], separator: str) -> None:
    raw, mark = [line.encode() for line in lines], separator.encode()
    parts = [line.partition(mark) for line in raw]
    if all(found for _, found, _ in parts):
        assert cut_one_by_one(raw, mark) == ([before for before, _, _ in parts], [after for _, _, after in parts])
    else:
        assert cut_one_by_one(raw, mark) is None


@given(
    st.lists(st.text("a;,", max_size=70) | st.text("ab;,", max_size=6), min_size=1, max_size=5),
    st.sampled_from([";", ",", ";a"]),
    st.sampled_from([";", ",", "a;a"]),
)
def test_lines_are_cut_at_the_delimiter_and_the_separator_behind_it(
    lines: list[str], delimiter: str, separator: str
) -> None:
    raw, first, second = ([line.encode() for line in lines], delimiter.encode(), separator.encode())
    expected: list[tuple[bytes, bytes, bytes]] = []
    for line in raw:
        before, found, rest = line.partition(first)
        between, also, after = rest.partition(second)
        if not (found and also):
            break
        expected.append((before, between, after))
    assert list(zip(*cut_twice(raw, first, second), strict=True)) == expected


def test_a_separator_far_into_a_line_is_found() -> None:
    lines = [b"x" * length + b"\tvalue" for length in range(130)]
    found = cut_one_by_one(lines, b"\t")
    assert found == ([b"x" * length for length in range(130)], [b"value"] * 130)


def test_many_header_blocks_are_read_as_they_are() -> None:
    """Those of earlier lines are remembered, up to a limit."""
    reader = LineMessageReader({"parse.headers": "true"})
    for start in range(0, 60_000, 3_000):
        numbers = range(start, start + 3_000)
        found = reader.records([b"n:%d,again:%d\tv" % (number, number % 7) for number in numbers], 1)
        assert found.headers == [(("n", b"%d" % number), ("again", b"%d" % (number % 7))) for number in numbers]


def test_plain_lines_are_handed_on_untouched() -> None:
    """No work a line: the very list is the column."""
    lines = [b"a", b"b"]
    columns = LineMessageReader({}).records(lines, 1)
    assert columns.values is lines
    assert columns == InputRecords(lines)


def parsed_by_kafka(line: bytes, *, key: bool, headers: bool, marker: bytes | None) -> tuple[object, ...] | None:
    """LineMessageReader word for word, for ``\\t`` and ``:`` and ``,``; None for an error."""
    start, block, found_key = 0, None, None
    if headers:
        end = line.find(b"\t")
        if end < 0:
            return None
        block, start = line[:end], end + 1
    if key:
        end = line.find(b"\t", start)
        if end < 0:
            return None
        found_key, start = line[start:end], end + 1
    pairs = []
    if block is not None and block != marker:
        parts = block.split(b",")
        while block and parts and not parts[-1]:
            parts.pop()
        for part in parts:
            name, colon, content = part.partition(b":")
            if not colon or name == marker:
                return None
            pairs.append((name.decode(), None if content == marker else content))
    value = line[start:]
    return tuple(pairs), None if found_key == marker else found_key, None if value == marker else value


@given(
    lines=st.lists(st.text("a:,\tN", max_size=8).map(str.encode), min_size=1, max_size=5),
    key=st.booleans(),
    headers=st.booleans(),
    marker=st.sampled_from([None, b"N"]),
)
def test_any_line_is_read_as_kafka_reads_it(lines: list[bytes], key: bool, headers: bool, marker: bytes | None) -> None:
    properties = {"parse.key": str(key), "parse.headers": str(headers)}
    if marker is not None:
        properties["null.marker"] = marker.decode()
    expected = [parsed_by_kafka(line, key=key, headers=headers, marker=marker) for line in lines]
    if None in expected:
        good = lines[: expected.index(None)]
        with pytest.raises(BadLineError) as bad:
            records(properties, lines)
        assert len(bad.value.before.values) == len(good)
    else:
        assert records(properties, lines) == expected


pair = st.tuples(st.text("aé", max_size=3), st.text("bé:N", max_size=4)).map(":".join)
clean = st.tuples(
    st.lists(pair, min_size=1, max_size=3).map(",".join), st.text("kN", max_size=2), st.text("v\t,:", max_size=5)
)


@given(
    lines=st.lists(clean.map("\t".join).map(str.encode), min_size=1, max_size=12),
    key=st.booleans(),
    marker=st.sampled_from([None, b"N"]),
)
def test_lines_without_a_fault_are_read_together_as_kafka_reads_each(
    lines: list[bytes], key: bool, marker: bytes | None
) -> None:
    properties = {"parse.key": str(key), "parse.headers": "true"}
    if marker is not None:
        properties["null.marker"] = marker.decode()
    expected = [parsed_by_kafka(line, key=key, headers=True, marker=marker) for line in lines]
    assert records(properties, lines + lines + lines) == expected + expected + expected


@pytest.mark.parametrize(
    "name", ["key.separator", "headers.delimiter", "headers.separator", "headers.key.separator", "null.marker"]
)
def test_a_property_whose_bytes_are_no_text_is_refused(name: str) -> None:
    """As Python has such a word of the command line."""
    with pytest.raises(ReadError, match=f"^{name} is no UTF-8$"):
        LineMessageReader({name: b"\xff".decode("utf-8", "surrogateescape")})
