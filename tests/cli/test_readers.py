"""Lines of a descriptor, and Kafka's line reader.

Cases 42 to 56 are those of LineMessageReaderTest; the rest is what Apache Kafka 4.3 does.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli import readers
from pykafka_cli.readers import BadLineError, LineReader, Lines, LineTooLongError, ReadError

MIB = 1 << 20


# ------------------------------------------------------------------------------------------------------------ lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def read_line(data: bytes) -> list[bytes]:
    """What BufferedReader.readLine makes of all the data, the slow and plain way."""
    parts = re.split(rb"\r\n|\r|\n", data)
    if parts[-1] == b"":
        parts.pop()
    return parts


def lines_in_pieces(pieces: list[bytes], at_once: int = 1000) -> list[bytes]:
    """All lines, when the pieces are read one by one."""
    left = iter(pieces)
    lines, found = Lines(0, MIB, at_once), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", lambda descriptor, size: next(left, b""))
        while some := lines.read():
            assert len(some) <= at_once
            found += some
    return found


@given(
    pieces=st.lists(st.text("ab\r\n", min_size=1, max_size=8).map(str.encode), max_size=8),
    at_once=st.integers(1, 4),
)
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes], at_once: int) -> None:
    assert lines_in_pieces(pieces, at_once=at_once) == read_line(b"".join(pieces))


def test_a_line_end_split_between_two_chunks_ends_one_line() -> None:
    assert lines_in_pieces([b"a\r", b"\nb\r", b"\r\n", b"\r", b"c"]) == [b"a", b"b", b"", b"", b"c"]


def test_a_carriage_return_ends_a_line_at_once(pipe: tuple[int, int]) -> None:
    """The next chunk need not come first to tell whether a newline follows."""
    lines = Lines(pipe[0], MIB, 100)
    os.write(pipe[1], b"a\rb")
    assert lines.read() == [b"a"]
    os.write(pipe[1], b"c\r")
    assert lines.read() == [b"bc"]
    os.write(pipe[1], b"\nd\n")
    assert lines.read() == [b"d"]


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], False)
    lines = Lines(pipe[0], MIB, 100)
    writer = threading.Thread(target=os.write, args=(pipe[1], b"late\n"))
    reads: list[int] = []

    def read(descriptor: int, size: int) -> bytes:
        reads.append(descriptor)
        if len(reads) == 1:
            with pytest.raises(BlockingIOError):
                os_read(descriptor, size)
            writer.start()
            raise BlockingIOError
        return os_read(descriptor, size)

    os_read = os.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", read)
        assert lines.read() == [b"late"]
    writer.join()
    assert len(reads) == 2


def test_bytes_pass_through_unchanged() -> None:
    data = bytes(byte for byte in range(256) if byte not in b"\r\n")
    assert lines_in_pieces([data + b"\n\x85\xe2\x80\xa8\n"]) == [data, b"\x85\xe2\x80\xa8"]


def test_the_first_line_of_a_read_is_numbered(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 2)
    os.write(pipe[1], b"1\n2\n3\n4\n5\n6")
    os.close(pipe[1])
    numbered = []
    while some := lines.read():
        numbered.append((lines.first, some))
    assert numbered == [(1, [b"1", b"2"]), (3, [b"3", b"4"]), (5, [b"5"]), (6, [b"6"])]
    assert lines.bytes_read == 11


def test_whether_more_is_waiting(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 1)
    os.write(pipe[1], b"a\nb\nc")
    assert lines.more_is_waiting()
    assert (lines.read(), lines.more_is_waiting()) == ([b"a"], True)
    assert (lines.read(), lines.more_is_waiting()) == ([b"b"], False)
    assert not lines.at_line_start()
    os.close(pipe[1])
    assert lines.more_is_waiting()
    assert (lines.read(), lines.read()) == ([b"c"], [])
    assert lines.at_line_start()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_above_the_limit_is_told_and_skipped(pipe: tuple[int, int], end: bytes) -> None:
    lines = Lines(pipe[0], 10, 100)
    os.write(pipe[1], b"a\n")
    assert lines.read() == [b"a"]
    for _ in range(5):
        os.write(pipe[1], b"x" * 100)
        lines._receive(os.read(pipe[0], MIB))
        lines._split()
        assert len(lines._unfinished) <= 10
    os.write(pipe[1], b"x" + (end + b"b\n" if end else b""))
    os.close(pipe[1])
    with pytest.raises(
        LineTooLongError, match=r"^Line number 2 is 501 bytes long\. Lines are read up to 10 bytes"
    ) as told:
        lines.read()
    assert (told.value.number, told.value.size) == (2, 501)
    if end:
        assert (lines.read(), lines.first) == ([b"b"], 3)
    assert lines.read() == []


def test_short_lines_are_taken_some_at_a_time(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 3)
    os.write(pipe[1], b"\n" * 10)
    os.close(pipe[1])
    sizes = []
    while some := lines.read():
        sizes.append(len(some))
    assert sizes == [3, 3, 3, 1]


def test_enlarging_what_is_no_pipe_does_nothing() -> None:
    with open(os.devnull, "rb") as file:
        readers.enlarge_pipe(file.fileno())


# ------------------------------------------------------------------------------------------------------ line reader


def read(text: str, **properties: str) -> list[tuple[object, ...]]:
    """(headers, key, value) of each line; property names with ``_`` for ``.``."""
    return records({name.replace("_", "."): value for name, value in properties.items()}, text.encode().split(b"\n"))


def records(properties: dict[str, str], lines: list[bytes]) -> list[tuple[object, ...]]:
    columns = LineReader(properties).columns(lines, 1)
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
    reader = LineReader(properties)
    before = reader.columns(lines[:1], 11)
    with pytest.raises(BadLineError) as bad:
        reader.columns([*lines, b"later"], 11)
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
        LineReader(properties)


def test_a_property_that_the_reader_does_not_know_is_named() -> None:
    with pytest.raises(ReadError, match=r"^parse\.kye is not a property of the reader: it knows parse\.key, "):
        LineReader({"parse.kye": "true"})


def test_a_separator_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ReadError, match=r"^headers\.separator: \["):
        LineReader({"headers.separator": "["})


def test_plain_lines_are_handed_on_untouched() -> None:
    """No work a line: the very list is the column."""
    lines = [b"a", b"b"]
    columns = LineReader({}).columns(lines, 1)
    assert columns.values is lines
    assert columns == (lines, None, None, None, None)


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
