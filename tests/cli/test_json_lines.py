"""``--output json`` and ``--input json`` are each other's inverse, and what is no record is refused."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli.console.json_lines import JsonLinesFormatter, JsonLinesReader, KeyFieldReader
from pykafka_cli.console.json_scan import plain_columns
from pykafka_cli.console.records_in import BadLineError, InputRecords, LineMessageReader
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
    text = JsonLinesFormatter().format(run)
    assert not text or text.endswith(b"\n")
    return text.split(b"\n")[:-1]


def full(columns: InputRecords) -> list[list[object]]:
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
    columns = JsonLinesReader().records(written(run), 1)
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


def read(*lines: str | bytes) -> InputRecords:
    return as_tuples(JsonLinesReader().records([line.encode() if isinstance(line, str) else line for line in lines], 1))


def as_tuples(found: InputRecords) -> InputRecords:
    """Whether columns are lists depends on the way that was taken."""
    return InputRecords(*(None if column is None else tuple(column) for column in found))  # type: ignore[arg-type]


def test_a_value_is_enough() -> None:
    assert read('{"value":"x"}', ' { "value" : null } ') == InputRecords((b"x", None))


def test_columns_that_say_nothing_are_left_out() -> None:
    line = (
        '{"topic":null,"offset":null,"timestampType":null,"timestamp":null,"partition":null,"key":null,"headers":null'
    )
    assert read(
        line + ',"value":""}', line.replace('"headers":null', '"headers":[]') + ',"value":"v"}'
    ) == InputRecords((b"", b"v"))


def test_where_some_have_a_timestamp_the_others_are_now() -> None:
    before = int(time.time() * 1000)
    columns = read('{"value":"a","timestamp":5}', '{"value":"b"}')
    assert columns.timestamps is not None
    assert columns.timestamps[0] == 5
    assert before <= columns.timestamps[1] <= time.time() * 1000


def test_where_some_have_a_partition_the_others_are_left_to_the_partitioner() -> None:
    assert read('{"value":"a","partition":3}', '{"value":"b"}').partitions == (3, None)


def test_where_a_record_was_does_not_matter() -> None:
    assert read('{"topic":"other","offset":9,"timestampType":"LogAppendTime","value":"x"}') == InputRecords((b"x",))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "it is empty"),
        (" \t", "it is empty"),
        ("x", "a value is missing, at character 1"),
        ("\ufeff" + '{"value":"x"}', "it begins with a byte order mark: take that away (tail -c +4)"),
        ("{", "the object does not end on this line: a record is one line (jq -c . makes it one)"),
        ('{"value": ', "the object does not end on this line: a record is one line (jq -c . makes it one)"),
        ('{"value":"x"', "the object does not end on this line: a record is one line (jq -c . makes it one)"),
        ('  "value": "x",', "something follows the object, at character 10"),
        ('{"value":"x"} {}', "something follows the object, at character 15"),
        ('{"value" "x"}', "a colon is missing, at character 10"),
        ('{"value":"x" "key":null}', "a comma is missing, at character 14"),
        ("{'value':'x'}", "a field's name in double quotes is missing, at character 2"),
        ('{"value":"x}', "a string without an end, at character 10"),
        ('{"value":"a\tb"}', "a control character is in a string, at character 12"),
        ('{"value":"\\x"}', "an escape is none of JSON's, at character 11"),
        ('{"value":01}', "a comma is missing, at character 11"),
        ("[]", "a JSON object is expected"),
        ("null", "a JSON object is expected"),
        ("{}", "the field value is missing (null is a value)"),
        ('{"value":"x","vlaue":1,"a":2}', "unknown field a, vlaue"),
        ('{"value":{"base64":1234}}', "value is not base64"),
        ('{"value":[1,NaN]}', "NaN is not JSON"),
        ('{"value":{"a":1,"a":2}}', "a field stands twice"),
        ('{"value":["\\ud800"]}', "value has a lone surrogate, which no UTF-8 text has"),
        ('{"value":{"base64":"/w="}}', "value is not base64"),
        ('{"value":{"base64":"/w== "}}', "value is not base64"),
        ('{"value":{"base64":"é"}}', "value is not base64"),
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
        ('{"value":"a","topic":1}', "topic is neither null nor a string"),
        ('{"value":"a","headers":{}}', "headers is not a list"),
        ('{"value":"a","headers":[["k"]]}', "a header is not a pair of a name and a value"),
        ('{"value":"a","headers":[[null,"v"]]}', "a header is not a pair of a name and a value"),
        ('{"value":"a","headers":[["k",1],[2,"v"]]}', "a header is not a pair of a name and a value"),
        ('{"value":1,"timestamp":' + "9" * 5000 + "}", "timestamp is not a whole number from 0 to 9223372036854775807"),
        ('{"value":1,"topic":' + "9" * 5000 + "}", "topic is neither null nor a string"),
        ('{"value":1,"offset":' + "9" * 5000 + "}", "offset is neither null nor a whole number"),
        ('{"value":"a","headers":[["\\ud800","v"]]}', "a header's name has a lone surrogate, which no UTF-8 text has"),
        (b'{"value":"\xff"}', "byte 11 is not UTF-8"),
        ('{"value":' + "[" * 100000, "it is nested too deeply"),
    ],
)
def test_what_is_no_record_is_refused_with_its_line_number(line: str | bytes, reason: str) -> None:
    with pytest.raises(BadLineError, match=f"^No record found on line number 3: {re.escape(reason)}$") as bad:
        read('{"value":"1"}', '{"value":"2"}', line, '{"value":"4"}')
    assert bad.value.before == InputRecords((b"1", b"2"))


def test_the_partition_may_be_left_out_of_account() -> None:
    reader = JsonLinesReader(any_partition=True)
    assert as_tuples(reader.records([b'{"value":"a","partition":3}'], 1)) == InputRecords((b"a",))
    with pytest.raises(BadLineError) as bad:
        reader.records([b'{"value":"a","partition":3}', b"x"], 1)
    assert bad.value.before == InputRecords((b"a",))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1", "1"),
        ("-0.10", "-0.10"),
        ("1e400", "1e400"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("[]", "[]"),
        ('{"a" : 1.0, "b":[null,"é\\u00e9\\n"]}', '{"a":1.0,"b":[null,"éé\\n"]}'),
        ('{"base64":"eA==","more":1}', '{"base64":"eA==","more":1}'),
    ],
)
def test_json_in_the_place_of_bytes_is_its_own_text(written: str, text: str) -> None:
    assert read(f'{{"value":{written}}}') == InputRecords((text.encode(),))
    assert read(f'{{"value":null,"key":{written}}}').keys == (text.encode(),)
    assert read(f'{{"value":null,"headers":[["h",{written}]]}}').headers == ((("h", text.encode()),),)


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    _json_values.map(lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)) | st.text(max_size=8)
)
def test_values_written_as_json_are_read_back_as_they_were(text: str) -> None:
    """For text that is compact already; all other text is the same but for blanks and escapes."""
    try:
        value = text.encode()
    except UnicodeEncodeError:
        return
    (line,) = JsonLinesFormatter(values_are_json=True).format(run_of([(5, None, value, ())])).splitlines()
    (again,) = JsonLinesReader().records([line], 1).values
    assert again == value or json.loads(again or b"") == json.loads(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{ "a": 1.50 }', '{"a":1.50}'),
        (b"17", "17"),
        (b"true", "true"),
        (b"null", '"null"'),
        (b'"text"', '"\\"text\\""'),
        (b"text", '"text"'),
        (b"007", '"007"'),
        (b"NaN", '"NaN"'),
        (b"", '""'),
        (None, "null"),
        (b'{"base64":"eA=="}', '"{\\"base64\\":\\"eA==\\"}"'),
        (b'{"a":1,"a":2}', '"{\\"a\\":1,\\"a\\":2}"'),
        (b'["\\ud800"]', '"[\\"\\\\ud800\\"]"'),
        (b"\xff", '{"base64":"/w=="}'),
        (b"[" * 100000, json.dumps("[" * 100000)),
    ],
)
def test_what_is_shown_as_json_is_told_from_what_is_not(value: bytes | None, shown: str) -> None:
    line = JsonLinesFormatter(values_are_json=True).format(run_of([(5, None, value, ())])).decode()
    assert f',"value":{shown},"headers"' in line


def test_where_no_topic_is_given_each_line_names_its_own() -> None:
    reader = JsonLinesReader(topics=True)
    lines = [b'{"topic":"a","value":"1"}', b'{"topic":"b","value":"2"}']
    assert as_tuples(reader.records(lines, 1)) == InputRecords((b"1", b"2"), topics=("a", "b"))
    for line in (b'{"value":"3"}', b'{"topic":null,"value":"3"}', b'{"topic":"","value":"3"}'):
        with pytest.raises(BadLineError, match="on line number 2: the field topic is missing, and no --topic is given"):
            reader.records([lines[0], line], 1)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('{"id":7}', b"7"),
        ('{"id":"x","a":1}', b"x"),
        ('{"id":null}', None),
        ('{"id":{"a": 1.0}}', b'{"a":1.0}'),
        ('{"id":true}', b"true"),
    ],
)
def test_a_key_may_be_a_field_of_the_value(value: str, key: bytes | None) -> None:
    for reader, line in ((LineMessageReader({}), value), (JsonLinesReader(), f'{{"value":{value}}}')):
        records = KeyFieldReader(reader, "id").records([line.encode()], 1)
        assert list(records.keys or ()) == [key]


def test_a_key_of_its_own_stays() -> None:
    reader = KeyFieldReader(LineMessageReader({"parse.key": "true"}), "id")
    assert reader.records([b'own\t{"id":7}'], 1).keys == [b"own"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x", "a value is missing, at character 1"),
        ("[]", "the value is no JSON object"),
        ("{}", "the value has no field id"),
        ("", "it is empty"),
        ("{", "the object does not end on this line: a record is one line (jq -c . makes it one)"),
    ],
)
def test_a_value_without_that_field_is_refused(value: str, reason: str) -> None:
    with pytest.raises(BadLineError, match=f"^No key found on line number 2: {re.escape(reason)}$") as bad:
        KeyFieldReader(LineMessageReader({}), "id").records([b'{"id":1}', value.encode(), b'{"id":3}'], 1)
    assert bad.value.before == InputRecords([b'{"id":1}'], [b"1"])


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
odd_texts = st.one_of(texts, st.sampled_from(["\ud800", {"base64": "AA=="}, {"a": 1, "b": [2]}, 7, 1.5, True]))
numbers = st.none() | st.sampled_from([0, 1, 7, 1 << 31, (1 << 63) - 1, 1 << 63, -1, 1.5, True, "5"])


@st.composite
def alike(draw: st.DrawFn) -> list[str]:
    """Lines of the same fields in the same order, of which a few hold what is no text, no number, or twice the same."""
    value = draw(st.sampled_from([texts, odd_texts]))
    number = draw(st.sampled_from([st.none() | st.integers(0, 9), numbers]))
    pairs = st.none() | st.lists(st.tuples(texts.map(lambda text: text or "n"), value).map(list), max_size=2)
    headers = draw(st.sampled_from([pairs, pairs | st.just([["n"]]) | st.just("n")]))
    kinds = {
        "key": value, "headers": headers, "offset": number, "timestamp": number,
        "partition": number, "topic": texts, "timestampType": texts,
    }  # fmt: skip
    names = ["value", *draw(st.lists(st.sampled_from(sorted(kinds)), unique=True))]
    kinds["value"] = value
    rows = draw(st.lists(st.fixed_dictionaries({name: kinds[name] for name in names}), min_size=1, max_size=4))
    lines = [json.dumps(row) for row in rows]
    if draw(st.integers(0, 5)) == 0:
        place = draw(st.integers(0, len(lines) - 1))
        fault = draw(
            st.sampled_from(['{"value":"a","value":"b"}', '{"value":[1,', "2]}", '{"value":"a"},{"value":"b"}'])
        )
        lines.insert(place, fault)
    return lines


@given(alike(), st.booleans(), st.booleans())
def test_lines_that_are_alike_are_read_together_as_one_by_one(
    lines: list[str], any_partition: bool, topics: bool
) -> None:
    """With a line that is not like them they are looked at one by one."""
    reader = JsonLinesReader(any_partition=any_partition, topics=topics)
    raw = [line.encode() for line in lines]

    def outcome(lines: list[bytes]) -> tuple[list[tuple[object, ...]], str]:
        try:
            return rows_of(reader.records(lines, 1)), ""
        except BadLineError as error:
            return rows_of(error.before), str(error)

    together, error = outcome(raw)
    other = b'{"topic":"t","value":"v"}' if b'{"topic"' not in raw[0] else b'{"value":"v","topic":"t"}'
    found, why = outcome([*raw, other, b'{"value":"v","topic":"t","offset":1}'])
    assert (found[: len(together)], why) == (together, error)
    assert len(found) == len(together) + (0 if error else 2)


@given(alike(), st.data())
def test_lines_that_are_scanned_say_what_a_parser_says(lines: list[str], data: st.DataObject) -> None:
    """Whatever else is in a line, the scan leaves it to the parser."""
    raw = [bytearray(compact(line)) for line in lines]
    if data.draw(st.booleans()):
        line = raw[data.draw(st.integers(0, len(raw) - 1))]
        place = data.draw(st.integers(0, len(line)))
        line[place : place + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(_MARKS))
    try:
        columns = plain_columns([bytes(line) for line in raw])
    except UnicodeDecodeError:
        return
    if columns is None:
        return
    for index, line in enumerate(raw):
        pairs = json.loads(line, object_pairs_hook=list)
        assert [name for name, _ in pairs] == list(columns)
        for name, field in pairs:
            found = columns[name][index]
            if name in {"key", "value"}:
                assert found == (None if field is None else field.encode())
            elif name == "headers":
                assert found == tuple((key, None if text is None else text.encode()) for key, text in field or ())
            else:
                assert (found, type(found)) == (field, type(field))


def compact(line: str) -> bytes:
    """The line without escapes and blanks, where that can be said."""
    try:
        return json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False).encode()
    except ValueError:  # UnicodeEncodeError among them
        return line.encode()


_MARKS = [mark.encode() for mark in ("01", "-1", "1.5", "1e5", "null", "nul", "true", "\\n", "é", *'{}[]",:\\0 \t\x1f')]
_MARKS.append(b"\xff")


def test_plain_lines_are_scanned() -> None:
    lines = [
        b'{"topic":"t","partition":3,"offset":%d,"timestamp":1700000000000,"timestampType":"CreateTime",'
        b'"key":null,"value":"\xc3\xa9%d","headers":[["a","1"],["b",null]]}' % (number, number)
        for number in range(3)
    ]
    assert plain_columns(lines) == {
        "topic": ["t"] * 3,
        "partition": [3] * 3,
        "offset": [0, 1, 2],
        "timestamp": [1700000000000] * 3,
        "timestampType": ["CreateTime"] * 3,
        "key": [None] * 3,
        "value": [b"\xc3\xa9%d" % number for number in range(3)],
        "headers": [(("a", b"1"), ("b", None))] * 3,
    }


@pytest.mark.parametrize(
    "line",
    ['{"value":"a\\n"}', '{"value":7}', '{"value":"a"}}', '{"value":"a"', '{"value":"a","value":"b"}', '{"x":"a"}',
     "{}",
     '{"value":"a","partition":2147483648}', '{"value":"a","offset":1234567890123456789}', '{"value":"a","offset":01}'],
)  # fmt: skip
def test_what_is_not_plain_is_not_scanned(line: str) -> None:
    assert plain_columns([line.encode()]) is None


def rows_of(columns: InputRecords) -> list[tuple[object, ...]]:
    """The records one by one. A timestamp that the reader has put in is not the same in two calls."""
    count = len(columns.values)
    rows = [column or [None] * count for column in full(columns)]
    rows[3] = ["now" if stamp is not None and 10**12 < stamp < 10**14 else stamp for stamp in rows[3]]  # type: ignore[operator]
    return list(zip(*rows, list(columns.topics or [None] * count), strict=True))
