"""Table -> topic -> table: ``pykafka sink`` reads what ``pykafka source`` writes back to the same cells."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.postgres_target import PostgresTarget
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.sqlite_target import SqliteTarget
from pykafka_store.source.feed import SourceError
from tests.source.conftest import Lab, PostgresLab

SIXTY_FOUR = st.integers(-(2**63), 2**63 - 1)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))

SQLITE = "(id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, n NUMERIC, a)"
SQLITE_ROWS = st.lists(
    st.tuples(
        *(
            st.none() | values
            for values in (
                SIXTY_FOUR, DOUBLES, TEXT, st.binary(), SIXTY_FOUR | DOUBLES | TEXT, SIXTY_FOUR | DOUBLES | TEXT
            )
        )
    ),
    max_size=8,
)  # fmt: skip

POSTGRES = (
    "(id bigint PRIMARY KEY, i bigint, si smallint, r float8, f real, s text, b bytea, n numeric, o boolean, "
    "at timestamptz, local timestamp, day date, j jsonb, u uuid)"
)
NO_NUL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
POSTGRES_ROWS = st.lists(
    st.tuples(
        *(
            st.none() | values
            for values in (
                SIXTY_FOUR, st.integers(-(2**15), 2**15 - 1), DOUBLES, st.floats(width=32, allow_nan=False,
                allow_infinity=False), NO_NUL, st.binary(),
                st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=12),
                st.booleans(), st.datetimes().map(lambda at: f"{at}+00"), st.datetimes().map(str), st.dates().map(str),
                st.recursive(
                    st.booleans() | st.integers(-(2**53), 2**53) | NO_NUL,
                    lambda more: st.lists(more, max_size=2) | st.dictionaries(NO_NUL, more, max_size=2), max_leaves=4,
                ).map(json.dumps),
                st.uuids().map(str),
            )
        )
    ),
    max_size=8,
)  # fmt: skip


def copied(lab: Lab, target: SqliteTarget | PostgresTarget, group: str) -> bool:
    options = SinkOptions(
        pk=("key",), mode="upsert", delete=True, create=False, exit_at_end=True, types={"b": "base64"}
    )
    return Sink(lab.cluster, [group], target, group, table="t", options=options).run().is_good


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SQLITE_ROWS)
def test_sqlite(lab: Lab, tmp_path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    topic = f"t{len(list(tmp_path.iterdir()))}"
    lab.database = str(tmp_path / f"{topic}.db")
    copy = str(tmp_path / f"copy-of-{topic}.db")
    for path in (lab.database, copy):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"CREATE TABLE t {SQLITE}")
            if path != copy:
                connection.executemany(f"INSERT INTO t VALUES (NULL{', ?' * 6})", rows)
    lab.send(lab.changes(), topic=topic)
    lab.sql("DELETE FROM t WHERE id = 1")
    lab.sql("UPDATE t SET id = 100 WHERE id = 2")
    lab.send(lab.changes(), topic=topic)
    with closing(SqliteTarget(copy)) as target:
        assert copied(lab, target, topic)
    with closing(sqlite3.connect(copy)) as connection:
        question = "SELECT *, typeof(i), typeof(r), typeof(s), typeof(b), typeof(n), typeof(a) FROM t ORDER BY id"
        assert repr(connection.execute(question).fetchall()) == repr(lab.sql(question))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POSTGRES_ROWS)
def test_postgres(pg: PostgresLab, rows: Sequence[tuple[object, ...]]) -> None:
    numbers = [int(str(name)[1:]) for (name,) in pg.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'n%'")]
    schema = f"n{max(numbers, default=0) + 1}"
    for name in (schema, f"c{schema}"):
        pg.sql(f"CREATE SCHEMA {name}")
        pg.sql(f"CREATE TABLE {name}.t {POSTGRES}")
    given, address = pg.database, f"{pg.database}&options=-csearch_path%3D"
    with psycopg.connect(address + schema) as connection, connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO t VALUES ({', '.join(['%s'] * 14)})", [(at, *row) for at, row in enumerate(rows, 1)]
        )
    pg.database = address + schema
    try:
        pg.send(pg.changes(), topic=schema)
        pg.sql("DELETE FROM t WHERE id = 1")
        pg.sql("UPDATE t SET id = 100 WHERE id = 2")
        pg.send(pg.changes(), topic=schema)
        with closing(PostgresTarget(f"{address}c{schema}")) as target:
            assert copied(pg, target, schema)
        here, there = (
            [str(row) for row in pg.sql(f"SELECT t::text FROM {name}.t t ORDER BY id")]
            for name in (schema, f"c{schema}")
        )
        assert here == there
    finally:
        pg.database = given


@pytest.mark.parametrize(
    ("declared", "value", "reason"),
    [
        ("text", b"\xff", "column x holds bytes, and is not declared BLOB"),
        ("blob", "text", "column x is for bytes, and holds 'text'"),
    ],
)
def test_what_nobody_could_tell_back_is_refused(lab: Lab, declared: str, value: object, reason: str) -> None:
    lab.sql(f"CREATE TABLE t (id INTEGER PRIMARY KEY, x {declared})")
    lab.sql("INSERT INTO t VALUES (1, ?)", value)
    with pytest.raises(SourceError, match=reason):
        lab.send(lab.changes())
    assert lab.topic() == []


def test_numbers_that_are_not_finite_are_text_that_columns_for_numbers_take(both: Lab) -> None:
    infinite = ("9e999", "-9e999") if both.kind == "sqlite" else ("'infinity'", "'-infinity'")
    both.sql("CREATE TABLE t (id integer PRIMARY KEY, x double precision)")
    both.sql(f"INSERT INTO t VALUES (1, {infinite[0]}), (2, {infinite[1]})")
    both.send(both.changes())
    assert [value["x"] for value in both.values()] == ["Infinity", "-Infinity"]  # type: ignore[index]
    both.sql("DELETE FROM t")
    with closing(SqliteTarget(both.database) if both.kind == "sqlite" else PostgresTarget(both.database)) as target:
        assert copied(both, target, "t")
    assert both.sql("SELECT x FROM t ORDER BY id") == [(math.inf,), (-math.inf,)]


def test_names_may_be_anything(both: Lab) -> None:
    names = [
        'a"b', "x", "t", "q", "key", "seq", "row", "shape", "a%b", "a%sb", "NEW", "select", "größe", "$pykafka$",
        "r", "r_",
    ]  # fmt: skip
    quoted = ", ".join('"' + name.replace('"', '""') + '" text' for name in names)
    both.sql(f'CREATE TABLE t ("id" integer PRIMARY KEY, {quoted}, n numeric, g text GENERATED ALWAYS AS (x) STORED)')
    both.send(both.changes())
    marks = ", ".join(f"'{number}'" for number in range(len(names)))
    both.sql(f"INSERT INTO t VALUES (1, {marks}, 5)")
    both.sql("UPDATE t SET n = 6")
    both.send(both.changes())
    expected = {"id": 1, **{name: str(number) for number, name in enumerate(names)}}
    five, six = (5, 6) if both.kind == "sqlite" else ("5", "6")
    assert both.values() == [{**expected, "n": five}, {**expected, "n": six}]
    both.send(both.query("SELECT * FROM t"), topic="other")
    assert both.topic(topic="other") == [({"id": 1}, {**expected, "n": six, "g": "1"})]
