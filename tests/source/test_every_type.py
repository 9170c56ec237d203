"""PostgreSQL's types, table -> topic -> table: a cell comes back as it was, or is a bad record that names it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import psycopg
import pytest

from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.postgres_target import PostgresTarget
from pykafka_store.sink.sinking import Sink
from tests.source.conftest import PostgresLab

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'a "b');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN price AS numeric(6,2);
CREATE DOMAIN fee AS price CHECK (VALUE < 100);
CREATE DOMAIN code AS varchar(3);
CREATE DOMAIN share AS real;
CREATE DOMAIN ints AS int[];
CREATE DOMAIN moment AS timestamp(0);
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN picture AS bytea;
CREATE DOMAIN birthday AS date;
CREATE DOMAIN flag AS boolean;
"""

SAME: Mapping[str, tuple[str, ...]] = {
    "int2": ("-32768",),
    "int4": ("2147483647",),
    "int8": ("9223372036854775807", "-9223372036854775808"),
    "oid": ("4294967295",),
    "numeric": ("1.50", "NaN", "Infinity", "-Infinity", "1" + "0" * 100, "0.12345678901234567890123"),
    "numeric(6,2)": ("1.50", "NaN"),
    "money": ("1234.50",),
    "real": ("0.1", "NaN", "Infinity", "-Infinity", "1e-40", "1e-45", "-0", "3.4028235e38"),
    "float8": ("0.1", "NaN", "Infinity", "-Infinity", "5e-324", "-0", "1.7976931348623157e308"),
    "boolean": ("true", "false"),
    "text": (" a b ", "NULL", "", "NaN", "\\x00", "2026-01-02"),
    "varchar(5)": ("a  ",),
    "char(5)": ("ab", "abcde"),
    '"char"': ("x",),
    "name": ("n" * 63,),
    "bytea": ("\\x00ff", "\\x"),
    "json": ('{"a": 1, "b": [null, "c"]}', '"s"', "1", "[]", "true"),
    "jsonb": ('{"a": 1.25, "b": [null, "c"]}', '"s"', "12345678901234567890123.5", "[1, null]"),
    "date": ("2026-01-02", "infinity", "-infinity", "0044-03-15 BC", "12026-01-02"),
    "timestamp": ("2026-01-02 03:04:05.123456", "infinity", "0044-03-15 01:02:03 BC", "12026-01-02 01:02:03"),
    "timestamptz": ("2026-01-02 03:04:05.123456+02", "-infinity", "0044-03-15 01:02:03+00 BC"),
    "timestamp(0)": ("2026-01-02 03:04:05",),
    "time": ("03:04:05.5", "24:00:00"),
    "timetz": ("03:04:05.5+02", "03:04:05-05:30"),
    "interval": ("1 day 02:03:04.5", "-1 year -2 mons", "-00:00:00.000001"),
    "uuid": ("12345678-1234-5678-1234-567812345678",),
    "inet": ("10.0.0.1/8", "::1"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "bit(3)": ("101",),
    "varbit(5)": ("101",),
    "xml": ("<a>b</a>",),
    "tsvector": ("'a':1 'b':2",),
    "tsquery": ("'a' & 'b'",),
    "point": ("(1.5,2)",),
    "box": ("(2,2),(1,1)",),
    "circle": ("<(1,2),3>",),
    "polygon": ("((1,2),(3,4))",),
    "int4range": ("[1,5)", "empty"),
    "numrange": ("[1.5,2]",),
    "tstzrange": ('["2026-01-02 00:00:00.123456+00",)',),
    "int4multirange": ("{[1,3),[5,7)}",),
    "mood": ('a "b',),
    "price": ("1.50", "NaN"),
    "fee": ("1.25",),
    "code": ("ab ",),
    "share": ("0.1", "NaN"),
    "ints": ("{1,2}",),
    "moment": ("2026-01-02 00:00:00",),
    "document": ('{"a": 1}', '"s"'),
    "picture": ("\\x00ff",),
    "birthday": ("2026-01-01", "0044-03-15 BC"),
    "flag": ("true",),
    "int4[]": ("{1,NULL,3}", "{}", "{{1,2},{3,4}}"),
    "text[]": ('{a,"b c",NULL,"NULL",""}',),
    "numeric[]": ("{1.25,NaN,-Infinity}",),
    "price[]": ("{1.50}",),
    "float8[]": ("{0.1,NaN,Infinity,-0}",),
    "real[]": ("{0.1,NaN,-Infinity}",),
    "date[]": ('{2026-01-02,infinity,"0044-03-15 BC"}',),
    "timestamp[]": ('{"2026-01-02 03:04:05","0044-03-15 01:02:03 BC"}',),
    "timestamptz[]": ('{"2026-01-02 03:04:05+00",infinity}',),
    "jsonb[]": ('{"{\\"a\\": 1}",NULL,"\\"s\\""}',),
    "box[]": ("{(2,2),(1,1);(4,4),(3,3)}",),
    "point[]": ('{"(1,2)"}',),
    "bool[]": ("{t,f,NULL}",),
    "mood[]": ('{"a \\"b"}',),
    "varchar(3)[]": ("{ab}",),
    "char(3)[]": ("{ab}",),
    "int4range[]": ('{"[1,2)"}',),
}  # fmt: skip
"""Type -> values that come back."""

OTHERS: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "json": (("null", None), ('{"a":1,  "a":2}', '{"a": 2}')),
    "jsonb": (("null", None),),
    "jsonb[]": (("{null}", "{NULL}"),),
    "int4[]": (("[2:3]={1,2}", "{1,2}"),),
    "numeric[]": (("{1.50}", "{1.5}"),),
}
"""Type -> values that JSON has no word for, and what comes back. A null is NULL, an array begins at 1, and a number has
the zeros at its end as text only.
"""

REFUSED: Mapping[str, tuple[str, str]] = {
    "pair": ('(1,"a b")', "malformed record literal"),
    "pair[]": ('{"(1,a)"}', "malformed record literal"),
    "bytea[]": ('{"\\\\x00ff"}', "bytes in an array have no form in JSON"),
    "jsonb[]": ("{[1]}", "an array within another one may be a JSON value, or a dimension"),
    "int2vector": ("1 2", "invalid input syntax for type smallint"),
}
"""Type -> a value that is a bad record, and why."""

BINARY = ("bytea", "picture")


@pytest.mark.parametrize("feed", ["query", "changes"])
def test_a_cell_comes_back_or_is_named(pg: PostgresLab, feed: str) -> None:
    """All of them are in one table, a column a type, for a table a type is slow."""
    types = [*SAME, *(REFUSED.keys() - SAME.keys())]
    columns = {declared: f"c{number}" for number, declared in enumerate(types)}
    listed = ", ".join(f"{name} {declared}" for declared, name in columns.items())
    good = [(declared, given, given) for declared in SAME for given in SAME[declared]]
    good += [(declared, given, back) for declared in OTHERS for given, back in OTHERS[declared]]
    with psycopg.connect(pg.database) as connection, connection.cursor() as cursor:
        cursor.execute(TYPES)
        cursor.execute(f"CREATE TABLE t (id int PRIMARY KEY, {listed})")
        cursor.execute("CREATE TABLE there (LIKE t INCLUDING ALL)")
        values = [(declared, given) for declared, given, _ in good]
        for number, (declared, given) in enumerate([*values, *((each, given) for each, (given, _) in REFUSED.items())]):
            cursor.execute(
                f"INSERT INTO t (id, {columns[declared]}) VALUES (%s, %s::text::{declared})", (number, given)
            )
    pg.send(pg.query("SELECT * FROM t") if feed == "query" else pg.changes())
    options = SinkOptions(
        pk=("id",), mode="upsert", create=False, exit_at_end=True, errors="dead-letter",
        types={columns[declared]: "base64" for declared in BINARY},
    )  # fmt: skip
    with closing(PostgresTarget(pg.database)) as target:
        Sink(pg.cluster, ["t"], target, "g", table="there", options=options).run()
    cells = {
        table: {row[0]: row[1:] for row in pg.sql(f"SELECT id, {_texts(columns)} FROM {table}")}
        for table in ("t", "there")
    }
    for number, (declared, given, back) in enumerate(good):
        at = types.index(declared)
        assert number in cells["there"], (declared, given)
        expected = cells["t"][number][at] if back == given else back
        assert cells["there"][number][at] == expected, (declared, given)
    letters = pg.sql('SELECT "column", reason FROM _pykafka_dead_letters ORDER BY reason')
    assert len(letters) == len(REFUSED)
    for declared, (_, reason) in REFUSED.items():
        assert any(column == columns[declared] and reason in str(found) for column, found in letters), declared


def _texts(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name}::text" for name in columns.values())
