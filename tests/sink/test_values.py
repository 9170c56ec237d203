"""Values on their way into columns: each ends in the right cell, or is a bad record with a reason."""

from __future__ import annotations

import json
import math

import pytest

from pykafka_store import ConfigResource, Records
from pykafka_store.sink.fitting import fit
from pykafka_store.sink.kinds import kind_for
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import Problem, parse
from pykafka_store.sink.target import Kind
from pykafka_store.sink.values import UnfitError
from tests.sink.conftest import Lab

BAD_VALUES = [
    (b"", "the value is no JSON: Expecting value"),
    (b"tea", "the value is no JSON: Expecting value"),
    (b'{"n": NaN}', "the value is no JSON: NaN is no JSON"),
    (b'{"n": -Infinity}', "the value is no JSON: -Infinity is no JSON"),
    (b'{"n": 1}{"n": 2}', "the value is no JSON: Extra data"),
    (b'{"n": 1},{"n": 2}', "the value is no JSON: Extra data"),
    (b'\xef\xbb\xbf{"n": 1}', "the value is no JSON: "),
    ('{"n": "\u00e9"}'.encode("latin-1"), "the value is not UTF-8"),
    ('{"n": 1}'.encode("utf-16"), "the value is not UTF-8"),
    (b'{"n": 1' + b"0" * 5000 + b"}", "the value is no JSON: Exceeds the limit"),
    (b"[" * 100_000 + b"]" * 100_000, "the value is nested too deeply"),
    (b"[1, 2]", "the value is an array and no JSON object"),
    (b"5", "the value is a number and no JSON object"),
    (b'"five"', "the value is a string and no JSON object"),
    (b"true", "the value is a boolean and no JSON object"),
    (b"null", "the value is null and no JSON object"),
    (None, "the value is null"),
    (b'{"n": 9223372036854775808}', "9223372036854775808 has more than 64 bits"),
    (b'{"n": -9223372036854775809}', "-9223372036854775809 has more than 64 bits"),
    (b'{"n": 1e400}', "Infinity is no integer"),
    (b'{"n": 1.5}', "1.5 is no integer"),
    (b'{"n": "5 "}', "'5 ' is no integer"),
    (b'{"n": "05"}', "'05' is no integer"),
    (b'{"n": [1]}', "[1] is no integer"),
    (b'{"n": "\\ud800"}', "is no integer"),
    (b'{"\\ud800": 1}', "it holds half a surrogate pair"),
    (b'{"a\\u0000b": 1}', "it holds U+0000"),
    (b'{"N": 1}', "the field N differs from the column n of table t only in case"),
    (b'{"m": 1}', "table t has no column m. Try using --alter to add it, or --columns to leave it out"),
]


@pytest.mark.parametrize(("value", "reason"), BAD_VALUES, ids=[reason for _, reason in BAD_VALUES])
def test_a_bad_record_is_named_and_its_neighbours_go_in(lab: Lab, value: bytes | None, reason: str) -> None:
    lab.sql("CREATE TABLE t (n INTEGER)")
    lab.send({"n": 1}, {"n": 2}, value, {"n": 3}, value, {"n": 4})
    report = lab.sink(errors="dead-letter")
    assert (report.messages, report.dead_letters) == (6, 2)
    assert lab.sql("SELECT n FROM t") == [(1,), (2,), (3,), (4,)]
    letters = lab.sql('SELECT "offset", value, reason FROM _pykafka_dead_letters')
    assert [(offset, raw) for offset, raw, _ in letters] == [(2, value), (4, value)]
    assert reason in str(letters[0][2])


def test_no_table_is_made_of_records_behind_one_that_ends_it(both: Lab) -> None:
    both.send(b"tea", {"n": 1})
    assert str(both.sink().stopped).startswith("t-0@0: the value is no JSON: Expecting value")
    question = "SELECT name FROM sqlite_schema" if type(both) is Lab else "SELECT tablename FROM pg_tables"
    assert ("t",) not in both.sql(question)


def test_a_value_can_not_pass_for_several(lab: Lab) -> None:
    """Two records that are no JSON alone, and are when they are joined; and one that would be two."""
    values = [b'{"a": [1', b"2]}", b'{"b": 1},{"b": 2}', b'{"c": 3}']
    none: list[None] = [None] * 4
    records = Records("t", 0, offsets=range(4), timestamps=[0] * 4, keys=none, values=values, headers=[()] * 4)
    rows = parse([records], SinkOptions()).rows
    assert [type(row) for row in rows] == [Problem, Problem, Problem, dict]


def test_integers_of_64_bits_are_kept(lab: Lab) -> None:
    values = [2**63 - 1, -(2**63), 2**53 + 1, 0]
    lab.send(*({"n": value} for value in values))
    assert lab.sink().is_good
    assert lab.sql("SELECT n FROM t") == [(value,) for value in values]


def test_doubles_are_kept(lab: Lab) -> None:
    lab.send(b'{"x": 0.1000000000000000055}', b'{"x": -0.0}', b'{"x": 5e-324}', b'{"x": 1.7976931348623157e308}')
    assert lab.sink().is_good
    assert lab.sql("SELECT x FROM t") == [(0.1,), (0.0,), (5e-324,), (1.7976931348623157e308,)]


def test_a_number_beyond_a_double_is_bad(lab: Lab) -> None:
    lab.send(b'{"x": 0.5}', b'{"x": 1e400}', b'{"x": 0.25, "y": [{"z": -1e400}]}')
    assert lab.sink(errors="dead-letter").dead_letters == 2
    assert lab.sql("SELECT x FROM t") == [(0.5,)]


def test_whole_numbers_among_doubles_are_exact_or_bad(lab: Lab) -> None:
    lab.send({"x": 0.5}, {"x": 2}, {"x": 2**53 + 1})
    assert lab.sink(errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT x FROM t") == [(0.5,), (2.0,)]
    ((reason,),) = lab.sql("SELECT reason FROM _pykafka_dead_letters")
    assert reason == "9007199254740993 can't be a double without losing digits"


def test_numbers_and_text_together_are_text(lab: Lab) -> None:
    lab.send({"x": "a"}, {"x": 5}, {"x": 2**70}, {"x": True}, {"x": None}, {"x": [1, "é"]}, {"x": 1.5})
    assert lab.sink().is_good
    assert lab.sql("SELECT x FROM t") == [("a",), ("5",), (str(2**70),), ("true",), (None,), ('[1, "é"]',), ("1.5",)]


def test_a_column_that_was_null_at_first_gets_its_type_by_its_first_value(lab: Lab) -> None:
    lab.send({"n": 1, "late": None})
    lab.sink()
    assert lab.sql("SELECT name FROM pragma_table_info('t')") == [("n",)]
    lab.send({"n": 2, "late": None}, {"n": 3, "late": 7})
    assert lab.sink().is_good
    assert lab.sql("SELECT n, late, typeof(late) FROM t") == [(1, None, "null"), (2, None, "null"), (3, 7, "integer")]


def test_a_type_that_changes_in_a_batch_is_bad_where_the_table_was_there(lab: Lab) -> None:
    lab.send({"n": 1})
    lab.sink()
    lab.send({"n": 2}, {"n": "three"}, {"n": {"four": 4}}, {"n": 5})
    report = lab.sink(errors="dead-letter")
    assert report.dead_letters == 2
    assert lab.sql("SELECT n FROM t") == [(1,), (2,), (5,)]


def test_with_null_a_value_that_does_not_fit_is_null_and_noted(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (n INTEGER, s TEXT)")
    lab.send({"n": "x", "s": "one"}, {"n": 2, "s": "two"}, b"no row")
    report = lab.sink(errors="null")
    assert (report.messages, report.dead_letters) == (3, 2)
    assert lab.sql("SELECT n, s FROM t") == [(None, "one"), (2, "two")]
    assert lab.sql('SELECT "offset", "column" FROM _pykafka_dead_letters ORDER BY 1') == [(0, "n"), (2, None)]


def test_text_is_kept_whatever_is_in_it(lab: Lab) -> None:
    texts = ["", "a\0b", "é", "\U0001f6b2", "2026-01-02", "12", "NaN", "x" * 100_000, "'; DROP TABLE t; --"]
    lab.send(*({"s": text} for text in texts))
    assert lab.sink().is_good
    assert lab.sql("SELECT s FROM t ORDER BY rowid") == [(text,) for text in texts]


def test_half_a_surrogate_pair_is_bad_and_a_whole_one_is_not(lab: Lab) -> None:
    lab.send(b'{"s": "\\ud83d\\udeb2"}', b'{"s": "\\ud83d"}', b'{"s": ["\\udc00"]}')
    assert lab.sink(errors="dead-letter").dead_letters == 2
    assert lab.sql("SELECT s FROM t") == [("\U0001f6b2",)]


def test_a_value_of_16_mib_is_a_row(both: Lab) -> None:
    both.cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"max.message.bytes": str(40 << 20)})
    text = "x" * (16 << 20)
    with both.cluster.producer({"max.request.size": str(40 << 20)}) as producer:
        producer.send("t", [json.dumps({"s": text}).encode(), b'{"s": "small"}'], partitions=0)
    assert both.sink().is_good
    assert both.sql("SELECT length(s) FROM t") == [(16 << 20,), (5,)]


def test_a_value_is_as_deep_as_can_be_read(both: Lab) -> None:
    deep, too_deep = (b'{"j": ' + b"[" * depth + b"1" + b"]" * depth + b"}" for depth in (300, 100_000))
    both.send(deep, too_deep, {"j": [2]})
    assert both.sink(errors="dead-letter").dead_letters == 1
    found = [json.loads(str(value)) for (value,) in both.sql("SELECT CAST(j AS text) FROM t")]
    assert found == [json.loads(deep)["j"], [2]]


@pytest.mark.parametrize(
    ("kind", "value", "fitted"),
    [
        (Kind.INTEGER, 2.0, 2),
        (Kind.INTEGER, "-12", -12),
        (Kind.INTEGER, True, 1),
        (Kind.REAL, 3, 3.0),
        (Kind.REAL, "1.5", 1.5),
        (Kind.REAL, "-Infinity", -math.inf),
        (Kind.INTEGER, 1e18, 10**18),
        (Kind.TEXT, 5, "5"),
        (Kind.TEXT, {"a": None}, '{"a": null}'),
        (Kind.BOOLEAN, False, False),
        (Kind.NUMERIC, "2026-01-02", "2026-01-02"),
        (Kind.NUMERIC, "12", 12),
        (Kind.NUMERIC, 1.5, 1.5),
        (Kind.JSON, "text", '"text"'),
        (Kind.ANY, [1], "[1]"),
        (Kind.ANY, "12", "12"),
    ],
)
def test_a_value_is_converted_so_that_it_can_be_told_back(kind: Kind, value: object, fitted: object) -> None:
    found, unfit = fit(kind, [value, None], has_surrogates=False, refuses_nul=False)
    assert not unfit
    assert list(found) == [fitted, None]
    assert type(found[0]) is type(fitted)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.INTEGER, 2.5), (Kind.INTEGER, "2.0"), (Kind.INTEGER, " 1"), (Kind.INTEGER, 1e30), (Kind.INTEGER, "-0"),
        (Kind.REAL, True), (Kind.REAL, "1e1"), (Kind.REAL, 2**63), (Kind.REAL, math.inf), (Kind.REAL, "inf"),
        (Kind.REAL, "NaN"), (Kind.DOUBLE, "nan"), (Kind.DOUBLE, math.inf), (Kind.INTEGER, "NaN"),
        (Kind.BOOLEAN, 1), (Kind.BOOLEAN, "true"),
        (Kind.NUMERIC, "1.10"), (Kind.NUMERIC, "007"), (Kind.NUMERIC, 2**64),
        (Kind.JSON, [math.inf]), (Kind.TEXT, b"\xff"), (Kind.ANY, 2**64),
    ],
)  # fmt: skip
def test_a_value_that_could_not_be_told_back_is_none(kind: Kind, value: object) -> None:
    found, unfit = fit(kind, [value], has_surrogates=False, refuses_nul=False)
    assert list(found) == [None]
    assert list(unfit) == [0]
    assert issubclass(UnfitError, ValueError)


def test_kinds_are_those_of_all_values() -> None:
    assert kind_for([None, None]) is None
    assert kind_for([1, None, 2]) is Kind.INTEGER
    assert kind_for([1, 2.5]) is Kind.REAL
    assert kind_for([True]) is Kind.BOOLEAN
    assert kind_for([True, 1]) is Kind.TEXT
    assert kind_for([[1], {"a": 1}]) is Kind.JSON
    assert kind_for([1, "a"]) is Kind.TEXT
