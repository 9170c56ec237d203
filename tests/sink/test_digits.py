"""Numbers with more digits than a double keeps, times finer than their column, and text that a column would cut."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.sink.digits import exact_number, is_finer, json_of, may_be_lost
from tests.sink.conftest import Lab, PostgresLab

LONG = "0.1234567890123456789012"
LARGE = "12345678901234567890123.5"

DOMAINS = """
CREATE DOMAIN price AS numeric(6,2);
CREATE DOMAIN fee AS price CHECK (VALUE < 100);
CREATE DOMAIN prices AS price[];
CREATE DOMAIN code AS varchar(3);
CREATE DOMAIN share AS real;
CREATE DOMAIN birthday AS date;
CREATE TYPE pair AS (x int, y text)
"""


@pytest.mark.parametrize("mode", ["insert", "upsert"])
@pytest.mark.parametrize("alike", [True, False], ids=["all with the same fields", "with others"])
def test_a_decimal_has_all_of_its_digits(pg: PostgresLab, mode: str, alike: bool) -> None:
    pg.sql("CREATE TABLE t (id int PRIMARY KEY, v numeric, a numeric[], f numeric(40,30), x float8, other int)")
    values = [LONG, f"-{LONG}", LARGE, "1e-400", "0.1", "1.5e3", "0.30000000000000004", "7", "9007199254740993.0"]
    more = "" if alike else ', "other": 1'
    pg.send(*(f'{{"id": {at}, "v": {text}}}'.encode() for at, text in enumerate(values)), b'{"id": 99, "v": null}')
    pg.send(f'{{"id": 100, "a": [[{LONG}, null], [0.5, 1]], "f": {LONG}, "x": {LONG}{more}}}'.encode())
    assert pg.sink(mode=mode, pk=("id",)).is_good
    found = pg.sql("SELECT v FROM t WHERE id < 99 ORDER BY id")
    assert [value for (value,) in found] == [Decimal(text) for text in values]
    assert pg.sql("SELECT a, f, x FROM t WHERE id = 100") == [
        ([[Decimal(LONG), None], [Decimal("0.5"), Decimal(1)]], Decimal(LONG), float(LONG))
    ]


def test_digits_are_kept_batch_after_batch(pg: PostgresLab) -> None:
    """The first batch has none to lose; those behind it are parsed ahead."""
    pg.sql("CREATE TABLE t (v numeric)")
    texts = [f"{number}.5" for number in range(20)] + [f"{number}.12345678901234567891" for number in range(40)]
    pg.send(*(f'{{"v": {text}}}'.encode() for text in texts))
    assert pg.sink(batch_size=10).is_good
    assert [value for (value,) in pg.sql("SELECT v FROM t ORDER BY ctid")] == [Decimal(text) for text in texts]


@pytest.mark.parametrize("kind", ["json", "jsonb", "made"])
def test_json_in_a_column_has_all_of_its_digits(pg: PostgresLab, kind: str) -> None:
    if kind != "made":
        pg.sql(f"CREATE TABLE t (j {kind}, n int)")
    pg.send(f'{{"j": {{"a": [{LONG}, 0.5, "{LONG}"], "b": {{"c": {LARGE}}}}}, "n": 1}}'.encode())
    assert pg.sink().is_good
    ((found,),) = pg.sql("SELECT j::text FROM t")
    assert json.loads(str(found), parse_float=Decimal) == {
        "a": [Decimal(LONG), Decimal("0.5"), LONG], "b": {"c": Decimal(LARGE)},
    }  # fmt: skip


def test_elements_that_are_json_have_all_of_their_digits(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (a jsonb[], s text, d text[])")
    pg.send(f'{{"a": [{{"x": {LONG}}}, {LARGE}], "s": {LONG}, "d": [{LARGE}]}}'.encode())
    assert pg.sink().is_good
    assert pg.sql("SELECT a[1]->>'x', a[2]::text, s, d FROM t") == [(LONG, LARGE, LONG, [LARGE])]


def test_what_keeps_doubles_gets_doubles(both: Lab) -> None:
    """Also where another column of the row has more."""
    both.send(f'{{"n": 1, "x": {LONG}, "j": [{LONG}, {{"y": {LARGE}}}]}}'.encode())
    assert both.sink().is_good
    ((x, j),) = both.sql("SELECT x, CAST(j AS text) FROM t")
    assert x == float(LONG)
    assert json.loads(str(j), parse_float=Decimal) == [Decimal(LONG), {"y": Decimal(LARGE)}]


def test_a_key_and_a_flat_field_have_all_of_their_digits(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (id numeric PRIMARY KEY, o_v numeric)")
    keys = [f'{{"id": {LONG}{digit}}}'.encode() for digit in (1, 2, 1)]
    pg.send(*(f'{{"o": {{"v": {LARGE}{digit}}}}}'.encode() for digit in (1, 2, 3)), keys=keys)
    assert pg.sink(mode="upsert", pk=("key",), flatten=True, delete=True).is_good
    both = [(Decimal(f"{LONG}1"), Decimal(f"{LARGE}3")), (Decimal(f"{LONG}2"), Decimal(f"{LARGE}2"))]
    assert pg.sql("SELECT id, o_v FROM t ORDER BY id") == both
    pg.send(None, keys=[f'{{"id": {LONG}2}}'.encode()])
    assert pg.sink(mode="upsert", pk=("key",), flatten=True, delete=True).is_good
    assert pg.sql("SELECT id, o_v FROM t") == both[:1]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("v numeric(6,2)", '"1.00000000000000000000000000000000001"', "it has more than the 2 digits behind the point"),
        ("v numeric(6,2)", "1.00000000000000000000000000000000001", "it has more than the 2 digits behind the point"),
        ("v numeric(40,3)[]", f"[{LONG}]", "an element has more than the 3 digits behind the point"),
        ("v numeric", "0." + "0" * 17000 + "1", "the number has more than 16383 digits behind the point"),
        ("v numeric", "1e-20000", "the number has more than 16383 digits behind the point"),
        ("v jsonb", "[1e-20000]", "or too long"),
        ("v numeric", "1e-99999999999999999999", "a number has an exponent that is beyond all measure"),
        ("v numeric", "1e400", "the number is too large for a double"),
        ("v int", "1.00000000000000000001", "1.00000000000000000001 is no integer"),
        ("v timestamptz", '"2026-01-01T00:00:00.123456789Z"', "it has more than the 6 digits behind the point"),
        ("v timestamp", '"2026-01-01T00:00:00.1234567"', "it has more than the 6 digits behind the point"),
        ("v timestamp(3)", '"1.1.2026 00:00:00.1234"', "it has more than the 3 digits behind the point"),
        ("v timestamptz(0)", '"2026-01-01 00:00:00.5+02"', "it has more than the 0 digits behind the point"),
        ("v time", '"00:00:00.0000001"', "it has more than the 6 digits behind the point"),
        ("v interval", '"1.1234567 seconds"', "it has more than the 6 digits behind the point"),
        ("v timestamptz[]", '["2026-01-01T00:00:00.123456789Z"]', "an element has more than the 6 digits"),
        ("v varchar(2)", '"ab "', "it has spaces behind the 2 characters that the column keeps"),
        ("v varchar(2)[]", '["ab "]', "an element has spaces behind the 2 characters that the column keeps"),
        ("v varchar(2)[]", '["abc"]', "value too long for type character varying(2)"),
        ("v char(2)", '"ab "', "it has spaces behind the 2 characters that the column keeps"),
        ("v name", '"' + "n" * 64 + '"', "it has more than the 63 bytes that the column keeps"),
        ('v "char"', '"\u00e9"', "it has more than the 1 bytes that the column keeps"),
        ('v "char"[]', '["xy"]', "an element has more than the 1 bytes that the column keeps"),
        ("v money", "1.005", "it has more than the 2 digits behind the point"),
        ("v tstzrange", '"[2026-01-01 00:00:00.1234567Z,)"', "it has more than the 6 digits behind the point"),
        ("v time", '"03:04:05+02"', "'03:04:05+02' is no time as in 03:04:05"),
        ("v time", '"2026-01-01 03:04:05"', "is no time as in 03:04:05"),
        ("v timetz", '"2026-01-01T03:04:05Z"', "is no time as in 03:04:05+02"),
        ("v timestamp", '"0044-03-15 01:02:03+00 BC"', "has a zone, and the column"),
        ("v interval year to month", '"1 year 2 mons 3 days"', "it has more behind its months than the column keeps"),
        ("v interval year", '"1 year 2 mons"', "it has more behind its years than the column keeps"),
        ("v interval day", '"1 day 05:00:00"', "it has more behind its days than the column keeps"),
        ("v interval day to hour", '"05:00:00.5"', "it has more behind its hours than the column keeps"),
        ("v interval hour to minute", '"PT1M1S"', "or is none as 1 year 2 days 03:04:00"),
        ("v interval day[]", '["1 day", "01:00:00"]', "an element has more behind its days than the column keeps"),
        ("v daterange", '"[2026-01-01 10:00,2026-02-01)"', "is no range of dates as in"),
        ("v datemultirange", '"{[2026-01-01,2026-02-01 11:00)}"', "is no range of dates as in"),
        ("v tsrange", '"[2026-01-01T10:00:00+05:00,)"', "has a zone, and the column"),
        ("v tsmultirange", '"{[,\\"2026-01-01 10:00:00+05\\")}"', "has a zone, and the column"),
        ("v timestamp", '"now"', "'now' is no time: the database would put that of its clock in its place"),
        ("v timestamptz", '"tomorrow 10:00"', "is no time: the database would put that of its clock"),
        ("v tstzrange", '"[Yesterday,)"', "is no time: the database would put that of its clock"),
        ("v oid", "-5", "-5 is no number of 32 bits without a sign"),
        ("v oid[]", '["-5"]', "'-5' is no number of 32 bits without a sign"),
        ("v xid", "4294967296", "is no number of 32 bits without a sign"),
        ("v xid8", "-1", "-1 is no number of 64 bits without a sign"),
        ("v bigint", "9223372036854775808.0", "has more than 64 bits"),
        ("v bigint", "1e300", "has more than 64 bits"),
        ("v price", "1.005", "it has more than the 2 digits behind the point"),
        ("v fee", '"1.005"', "it has more than the 2 digits behind the point"),
        ("v price[]", "[1.005]", "an element has more than the 2 digits behind the point"),
        ("v prices", "[1.005]", "an element has more than the 2 digits behind the point"),
        ("v code", '"abc "', "it has spaces behind the 3 characters that the column keeps"),
        ("v share", "52.512345", "52.512345 has more digits than 4 bytes keep"),
        ("v birthday", '"2026-01-01T12:00"', "is no date as in"),
        ("v pair", '{"x": 1}', "malformed record literal"),
    ],
)  # fmt: skip
def test_what_the_database_would_change_in_silence_is_bad(
    pg: PostgresLab, column: str, value: str, reason: str
) -> None:
    pg.sql(DOMAINS)
    pg.sql(f"CREATE TABLE t (k int, {column})")
    pg.send({"k": 1}, f'{{"k": 2, "v": {value}}}'.encode(), {"k": 3})
    assert pg.sink(errors="dead-letter").dead_letters == 1
    assert pg.sql("SELECT k, v FROM t") == [(1, None), (3, None)]
    ((found, blamed),) = pg.sql('SELECT reason, "column" FROM _pykafka_dead_letters')
    assert reason in str(found)
    assert blamed == ("v" if "exponent" not in reason else None)


def test_what_the_database_keeps_is_good(pg: PostgresLab) -> None:
    pg.sql(
        "CREATE TABLE t (z timestamptz, p timestamp(3), d timestamp(0), c time[], i interval, v varchar(2), n bigint)"
    )
    pg.send(
        {
            "z": "2026-01-01T00:00:00.123456000Z", "p": "01.02.2026 00:00:00.1230", "d": "2026.02.01",
            "c": ["12:00:00.5", None], "i": "1.5 days", "v": "a ", "n": 2,
        },
        b'{"n": 3.00000000000000000000, "p": "2026-01-02 03:04:05 PM"}', b'{"n": 1e18}',
        b'{"n": -9223372036854775808.0}',
    )  # fmt: skip
    assert pg.sink().is_good
    assert pg.sql(
        "SELECT z = '2026-01-01 00:00:00.123456Z', p::text, d::text, c::text, i::text, v FROM t WHERE n = 2"
    ) == [(True, "2026-01-02 00:00:00.123", "2026-02-01 00:00:00", "{12:00:00.5,NULL}", "1 day 12:00:00", "a ")]
    assert pg.sql("SELECT n, p::text FROM t WHERE n != 2 ORDER BY n") == [
        (-(2**63), None), (3, "2026-01-02 15:04:05"), (10**18, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("interval year to month", "1 year -2 mons", "10 mons"),
        ("interval day", "3 days 00:00:00", "3 days"),
        ("interval day to hour", "1 mon 2 days 05:00:00", "1 mon 2 days 05:00:00"),
        ("interval hour to minute", "-05:06:00", "-05:06:00"),
        ("interval day to second", "1 day 00:00:01.5", "1 day 00:00:01.5"),
        ("interval day[]", ["1 day", None], '{"1 day",NULL}'),
        ("daterange", "[2026-01-01,2026-02-01]", "[2026-01-01,2026-02-02)"),
        ("daterange", "empty", "empty"),
        ("daterange", '["0044-03-15 BC",)', '["0044-03-15 BC",)'),
        ("datemultirange", "{[2026-01-01,2026-02-01),(,infinity]}", "{(,infinity]}"),
        ("tsrange", '["2026-01-01 10:00:00","2026-01-02 10:00:00")', '["2026-01-01 10:00:00","2026-01-02 10:00:00")'),
        ("tstzrange", "[2026-01-01T10:00:00+05:00,)", '["2026-01-01 05:00:00+00",)'),
        ("timestamptz", "epoch", "1970-01-01 00:00:00+00"),
        ("oid", 4294967295, "4294967295"),
        ("oid", "7", "7"),
        ("xid8", "18446744073709551615", "18446744073709551615"),
        ("xid8", 18446744073709551615, "18446744073709551615"),
    ],
)
def test_what_a_type_keeps_whole_is_good(pg: PostgresLab, column: str, value: object, kept: str) -> None:
    pg.sql(f"CREATE TABLE t (v {column})")
    pg.send({"v": value})
    assert pg.sink().is_good
    assert pg.sql("SELECT v::text FROM t") == [(kept,)]


_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(_NUMBERS.filter(lambda text: not text.lstrip("-").isdigit()))
def test_a_number_is_a_double_only_where_that_is_the_very_number(text: str) -> None:
    found = exact_number(text)
    if found in {float("inf"), float("-inf")}:
        return
    shown = Decimal(repr(found)) if isinstance(found, float) else found
    assert shown == Decimal(text)
    assert Decimal(json_of([found])[1:-1]) == Decimal(text)
    assert isinstance(found, float) or may_be_lost([b'{"x":' + text.encode() + b"}"])


@pytest.mark.parametrize(
    ("text", "most"), [("0", 0), ("0.000", 0), ("1.50", 1), ("100", -2), ("1E-20", 20), ("-12.345000", 3), ("0", -5)]
)
def test_digits_behind_the_point_are_counted_without_zeros(text: str, most: int) -> None:
    assert not is_finer(Decimal(text), most)
    assert is_finer(Decimal(text), most - 1) is (Decimal(text) != 0)


def test_a_decimal_among_text_that_looks_like_one_is_a_number() -> None:
    assert (
        json_of({"a": Decimal("1.50"), "b": '"1.50"', "c": [1e22, None]})
        == '{"a": 1.50, "b": "\\"1.50\\"", "c": [1e+22, null]}'
    )
