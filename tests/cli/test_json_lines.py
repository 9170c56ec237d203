"""``--output json`` and ``--input json`` are each other's inverse, and what is no record is refused."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli.json_lines import JsonFormatter, JsonReader
from pykafka_cli.readers import BadLineError, Columns
from pykafka_store.model import NO_TIMESTAMP, Header, Records, TimestampType

fields = st.none() | st.binary(max_size=8) | st.text(max_size=8).map(str.encode)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
rows = st.tuples(
    st.integers(0, 2**63 - 1), fields, fields, st.lists(st.tuples(names, fields), max_size=3).map(tuple)
)  # timestamp, key, value, headers


def run_of(
    records: list[tuple[int, bytes | None, bytes | None, tuple[Header, ...]]], partition: int = 2, topic: str = "t"
) -> Records:
    timestamps, keys, values, headers = zip(*records, strict=True) if records else ((), (), (), ())
    return Records(
        topic,
        partition,
        offsets=range(7, 7 + len(records)),
        timestamps=timestamps,
        keys=keys,
        values=values,
        headers=headers,
    )


def written(run: Records) -> list[bytes]:
    text = JsonFormatter().format(run)
    assert not text or text.endswith(b"\n")
    return text.split(b"\n")[:-1]


def full(columns: Columns) -> list[list[object]]:
    """The columns, with those spelled out that say nothing."""
    count = len(columns.values)
    return [
        list(columns.values),
        list(columns.keys or [None] * count),
        list(columns.headers or [()] * count),
        list(columns.timestamps or []),
        list(columns.partitions or []),
    ]


@given(st.lists(rows, min_size=1, max_size=5))
def test_what_is_written_is_read_back(
    records: list[tuple[int, bytes | None, bytes | None, tuple[Header, ...]]],
) -> None:
    run = run_of(records)
    columns = JsonReader().columns(written(run), 1)
    assert full(columns) == [
        list(run.values), list(run.keys), list(run.headers), list(run.timestamps), [2] * len(records),
    ]  # fmt: skip
    again = Records(
        "t",
        2,
        offsets=run.offsets,
        timestamps=columns.timestamps or (),
        keys=full(columns)[1],  # type: ignore[arg-type]
        values=columns.values,
        headers=full(columns)[2],  # type: ignore[arg-type]
    )
    assert written(again) == written(run)


@given(st.lists(rows, min_size=1, max_size=3))
def test_every_line_is_one_json_object(
    records: list[tuple[int, bytes | None, bytes | None, tuple[Header, ...]]],
) -> None:
    for line in written(run_of(records)):
        assert list(json.loads(line)) == [
            "topic", "partition", "offset", "timestamp", "timestampType", "key", "value", "headers",
        ]  # fmt: skip


def test_a_line_looks_like_this() -> None:
    run = run_of([(5, None, 'é"\n'.encode(), (("h", b"\xff"), ("h", None)))], topic='a"b')
    assert written(run) == [
        '{"topic":"a\\"b","partition":2,"offset":7,"timestamp":5,"timestampType":"CreateTime","key":null,'
        '"value":"é\\"\\n","headers":[["h",{"base64":"/w=="}],["h",null]]}'.encode()
    ]
    run.timestamp_type = TimestampType.LOG_APPEND_TIME
    assert b'"timestampType":"LogAppendTime"' in written(run)[0]
    assert written(run_of([])) == []


def test_a_record_without_a_timestamp_has_a_null() -> None:
    assert json.loads(written(run_of([(NO_TIMESTAMP, None, b"", ())]))[0])["timestamp"] is None


def read(*lines: str | bytes) -> Columns:
    return JsonReader().columns([line if isinstance(line, bytes) else line.encode() for line in lines], 1)


def test_a_value_is_enough() -> None:
    assert read('{"value":"x"}', ' { "value" : null } ') == Columns((b"x", None))


def test_columns_that_say_nothing_are_left_out() -> None:
    line = (
        '{"topic":null,"offset":null,"timestampType":null,"timestamp":null,"partition":null,"key":null,"headers":null'
    )
    assert read(line + ',"value":""}', line.replace('"headers":null', '"headers":[]') + ',"value":"v"}') == Columns(
        (b"", b"v")
    )


def test_where_some_have_a_timestamp_the_others_are_now() -> None:
    before = int(time.time() * 1000)
    columns = read('{"value":"a","timestamp":5}', '{"value":"b"}')
    assert columns.timestamps is not None
    assert columns.timestamps[0] == 5
    assert before <= columns.timestamps[1] <= time.time() * 1000


def test_where_some_have_a_partition_the_others_are_left_to_the_partitioner() -> None:
    assert read('{"value":"a","partition":3}', '{"value":"b"}').partitions == (3, None)


def test_where_a_record_was_does_not_matter() -> None:
    assert read('{"topic":"other","offset":9,"timestampType":"LogAppendTime","value":"x"}') == Columns((b"x",))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("x", "Expecting value: line 1 column 1 (char 0)"),
        ('{"value":"x"} {}', "Extra data: line 1 column 15 (char 14)"),
        ("[]", "a JSON object is expected"),
        ("null", "a JSON object is expected"),
        ("{}", "the field value is missing (null is a value)"),
        ('{"value":"x","vlaue":1,"a":2}', "unknown field a, vlaue"),
        ('{"value":1}', 'value is neither a string, nor null, nor {"base64": "…"}'),
        ('{"value":{"base64":"x","more":1}}', 'value is neither a string, nor null, nor {"base64": "…"}'),
        ('{"value":{"base64":1}}', 'value is neither a string, nor null, nor {"base64": "…"}'),
        ('{"value":{"base64":"/w="}}', "value is not base64"),
        ('{"value":{"base64":"/w== "}}', "value is not base64"),
        ('{"value":{"base64":"é"}}', "value is not base64"),
        ('{"key":false,"value":"x"}', 'key is neither a string, nor null, nor {"base64": "…"}'),
        ('{"value":"\\ud800"}', "value has a lone surrogate, which no UTF-8 text has"),
        ('{"value":"a","value":"b"}', "a field stands twice"),
        ('{"value":"a","timestamp":-1}', "timestamp is not a whole number from 0 to 9223372036854775807"),
        (
            '{"value":"a","timestamp":9223372036854775808}',
            "timestamp is not a whole number from 0 to 9223372036854775807",
        ),
        ('{"value":"a","timestamp":1.0}', "timestamp is not a whole number from 0 to 9223372036854775807"),
        ('{"value":"a","timestamp":NaN}', "NaN is not JSON"),
        ('{"value":"a","partition":true}', "partition is not a whole number from 0 to 2147483647"),
        ('{"value":"a","partition":"1"}', "partition is not a whole number from 0 to 2147483647"),
        ('{"value":"a","topic":1}', "topic is neither null nor of the type str"),
        ('{"value":"a","headers":{}}', "headers is not a list"),
        ('{"value":"a","headers":[["k"]]}', "a header is not a pair of a name and a value"),
        ('{"value":"a","headers":[[null,"v"]]}', "a header is not a pair of a name and a value"),
        ('{"value":"a","headers":[["k",1]]}', 'a header\'s value is neither a string, nor null, nor {"base64": "…"}'),
        ('{"value":"a","headers":[["\\ud800","v"]]}', "a header's name has a lone surrogate, which no UTF-8 text has"),
        (b'{"value":"\xff"}', "byte 11 is not UTF-8"),
        ('{"value":' + "[" * 100000, "it is nested too deeply"),
    ],
)
def test_what_is_no_record_is_refused_with_its_line_number(line: str | bytes, reason: str) -> None:
    with pytest.raises(BadLineError, match=f"^No record found on line number 3: {re.escape(reason)}$") as bad:
        read('{"value":"1"}', '{"value":"2"}', line, '{"value":"4"}')
    assert bad.value.before == Columns((b"1", b"2"))
