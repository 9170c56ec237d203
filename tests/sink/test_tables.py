"""Tables that are there, and what they do to a sink: constraints, triggers, views, names, and changes on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from pykafka_store import OffsetAt, Records
from pykafka_store.databases.errors import DatabaseError
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.sqlite_target import SqliteTarget
from tests.sink.conftest import Lab


@pytest.mark.parametrize(
    ("table", "modes", "reason"),
    [
        ("CREATE TABLE t (n INTEGER UNIQUE)", {}, "UNIQUE constraint failed: t.n"),
        ("CREATE TABLE t (n INTEGER UNIQUE ON CONFLICT FAIL)", {}, "UNIQUE constraint failed: t.n"),
        ("CREATE TABLE t (n INTEGER PRIMARY KEY)", {}, "UNIQUE constraint failed: t.n"),
        ("CREATE TABLE t (n INTEGER PRIMARY KEY) WITHOUT ROWID", {}, "UNIQUE constraint failed: t.n"),
        ("CREATE TABLE t (n INTEGER CHECK (n != 3))", {}, "CHECK constraint failed: n != 3"),
        ("CREATE TABLE t (n INTEGER NOT NULL, m INTEGER)", {}, "NOT NULL constraint failed: t.n"),
        ("CREATE TABLE t (n INTEGER, m INTEGER NOT NULL)", {}, "NOT NULL constraint failed: t.m"),
    ],
)
def test_a_row_that_the_table_refuses_is_found_by_itself(
    lab: Lab, table: str, modes: Mapping[str, object], reason: str
) -> None:
    lab.sql(table)
    columns = {"m": 0} if "m INT" in table else {}
    lacking: dict[str, object] = {"m": 0} if "t.n" in reason and "NULL" in reason else {"n": 3}
    rows: list[object] = [{"n": number, **columns} for number in range(300)]
    rows[150:150] = [lacking if "NULL" in reason else {"n": 3}]
    if "CHECK" in reason:
        del rows[3]
    lab.send(*rows)
    report = lab.sink(errors="dead-letter", **modes)
    assert report.dead_letters == 1
    assert lab.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(len(rows) - 1,) * 2]
    ((found,),) = lab.sql("SELECT reason FROM _pykafka_dead_letters")
    assert found == reason


def test_stopping_at_a_row_that_the_table_refuses_writes_what_came_before(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (n INTEGER CHECK (n != 70))")
    lab.send(*({"n": number} for number in range(100)))
    for _ in range(2):
        report = lab.sink()
        assert str(report.stopped) == "t-0@70: CHECK constraint failed: n != 70"
        assert lab.sql("SELECT count(*), max(n) FROM t") == [(70, 69)]
        assert lab.next_offset() == 70


@pytest.mark.parametrize("how", ["ABORT", "FAIL"])
def test_a_trigger_that_raises_refuses_one_row(lab: Lab, how: str) -> None:
    lab.sql("CREATE TABLE t (n INTEGER)")
    lab.sql(
        f"CREATE TRIGGER no BEFORE INSERT ON t WHEN new.n = 70 BEGIN SELECT RAISE({how}, 'seventy is too many'); END"
    )
    lab.send(*({"n": number} for number in range(200)))
    assert lab.sink(errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(199, 199)]
    assert lab.sql("SELECT reason FROM _pykafka_dead_letters") == [("seventy is too many",)]


def test_a_trigger_that_ends_the_transaction_stops_it_with_nothing_written(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (n INTEGER)")
    lab.sql("CREATE TRIGGER no BEFORE INSERT ON t WHEN new.n = 70 BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
    lab.send(*({"n": number} for number in range(200)))
    with pytest.raises(DatabaseError, match="a trigger ended the transaction"):
        lab.sink(errors="dead-letter")
    assert lab.sql("SELECT count(*) FROM t") == [(0,)]
    assert lab.next_offset() == 0


def test_a_view_is_no_table(lab: Lab) -> None:
    lab.sql("CREATE VIEW t AS SELECT 1 AS n")
    lab.send({"n": 1})
    with pytest.raises(DatabaseError, match="t is a view and no table"):
        lab.sink()


def test_a_generated_column_takes_no_value(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (n INTEGER, double INTEGER AS (n * 2))")
    lab.send({"n": 1}, {"n": 2, "double": 5})
    assert lab.sink(errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT n, double FROM t") == [(1, 2)]


def test_defaults_are_honoured_where_a_field_is_missing_and_not_where_it_is_null(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (n INTEGER, s TEXT DEFAULT 'none', m INTEGER)")
    lab.send({"n": 1}, {"n": 2, "s": None}, {"n": 3, "s": "x", "m": 1}, {"n": 4, "m": 2})
    assert lab.sink().is_good
    assert lab.sql("SELECT n, s, m FROM t ORDER BY rowid") == [
        (1, "none", None), (2, None, None), (3, "x", 1), (4, "none", 2),
    ]  # fmt: skip


def test_a_strict_table_gets_its_types(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (i INT, r REAL, s TEXT, b BLOB, a ANY) STRICT")
    lab.send({"i": 1, "r": 2, "s": 3, "b": None, "a": "x"}, {"i": "x"}, {"b": "text"})
    assert lab.sink(errors="dead-letter").dead_letters == 2
    assert lab.sql("SELECT i, r, s, b, a FROM t") == [(1, 2.0, "3", None, "x")]


@pytest.mark.parametrize(
    "name",
    [
        "",
        'a"b]',
        "rowid",
        "order",
        "at",
        "select",
        "a b",
        "a:b",
        "a%b",
        "%s",
        "?",
        "é",
        "\U0001f6b2",
        "x" * 200,
        "--",
        ";",
    ],
)
def test_any_name_can_be_a_column_and_a_table(lab: Lab, name: str) -> None:
    lab.send({"n": 1, name: "one"}, {"n": 2, name: "two"})
    quoted = '"' + name.replace('"', '""') + '"'
    table = name or "empty"
    assert lab.sink(table=table).is_good
    place = '"' + table.replace('"', '""') + '"'
    assert lab.sql(f"SELECT {quoted} FROM {place} ORDER BY n") == [("one",), ("two",)]


def test_names_that_differ_only_in_case_can_not_both_be_columns(lab: Lab) -> None:
    lab.send({"a": 1, "b": 1}, {"a": 2, "A": 3}, {"b": 4})
    report = lab.sink(errors="dead-letter")
    assert report.dead_letters == 1
    ((reason,),) = lab.sql("SELECT reason FROM _pykafka_dead_letters")
    assert reason == "the field A differs from the column a of table t only in case"
    assert lab.sql("SELECT a, b FROM t") == [(1, 1), (None, 4)]


@pytest.mark.parametrize(("count", "good"), [(999, True), (2000, True), (2001, False), (32_767, False)])
def test_a_row_has_as_many_columns_as_the_database_allows(lab: Lab, count: int, good: bool) -> None:
    lab.send(*({f"c{column}": row for column in range(count)} for row in range(3)))
    report = lab.sink(errors="dead-letter")
    assert report.dead_letters == (0 if good else 3)
    if good:
        assert lab.sql(f"SELECT c0, c{count - 1} FROM t") == [(row, row) for row in range(3)]
    else:
        ((reason,),) = lab.sql("SELECT DISTINCT reason FROM _pykafka_dead_letters")
        assert reason == "table t has 2000 columns, which is all it can have: c2000 is too many"


def test_fields_that_flattening_makes_one_are_bad(lab: Lab) -> None:
    lab.send({"a": {"b": 1}}, {"a": {"b": 2}, "a_b": 3}, {"a_b": 4})
    assert lab.sink(errors="dead-letter", flatten=True).dead_letters == 1
    assert lab.sql("SELECT a_b FROM t") == [(1,), (4,)]


def test_alter_adds_columns_and_a_second_sink_finds_them_there(lab: Lab) -> None:
    lab.send({"n": 1})
    lab.sink()
    lab.send({"n": 2, "m": 1}, {"n": 3, "k": "x"})
    assert lab.sink(alter=True).is_good
    target = SqliteTarget(lab.database)
    target.prepare(None)
    target.schema("t")
    lab.sql("ALTER TABLE t ADD COLUMN late INTEGER")
    lab.send({"n": 4, "late": 9})
    Sink(lab.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True)).run()
    target.close()
    assert lab.sql("SELECT n, m, k, late FROM t") == [
        (1, None, None, None), (2, 1, None, None), (3, None, "x", None), (4, None, None, 9),
    ]  # fmt: skip


def test_a_table_that_is_dropped_on_the_way_is_made_anew(lab: Lab) -> None:
    lab.send({"n": 1})
    lab.sink()
    lab.sql("DROP TABLE t")
    lab.send({"n": 2})
    assert lab.sink().is_good
    assert lab.sql("SELECT n FROM t") == [(2,)]


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_replaced_while_it_is_open_stops_it(lab: Lab, how: str) -> None:
    target = SqliteTarget(lab.database)
    target.prepare(None)
    os.rename(lab.database, f"{lab.database}.moved")
    if how == "replaced":
        lab.sql("CREATE TABLE t (n)")
    lab.send({"n": 1})
    with pytest.raises(DatabaseError, match="was moved, removed or replaced while it was open"):
        Sink(lab.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True)).run()
    target.close()


def test_what_is_no_database_is_refused(lab: Lab) -> None:
    with open(lab.database, "w") as file:
        file.write("no database" * 1000)
    with pytest.raises(DatabaseError, match="file is not a database"):
        lab.sink()


# ----------------------------------------------------------------------------------------------------------------- keys


def test_upserts_change_only_the_fields_that_a_record_has(lab: Lab) -> None:
    lab.send({"id": 1, "a": 1, "b": 1}, {"id": 2, "a": 2})
    assert lab.sink(pk=("id",), mode="upsert").is_good
    lab.send({"id": 1, "b": 5}, {"id": 2, "b": 6}, {"id": 2, "a": None}, {"id": 3, "a": 7}, {"id": 1, "b": 8})
    assert lab.sink(pk=("id",), mode="upsert").is_good
    assert lab.sql("SELECT id, a, b FROM t ORDER BY id") == [(1, 1, 8), (2, None, 6), (3, 7, None)]


def test_each_mode_does_with_a_row_that_is_there_what_it_says(lab: Lab) -> None:
    for number, mode in enumerate(["upsert", "ignore", "replace"]):
        lab.cluster.admin().create_topic(mode)
        lab.send({"id": 1, "a": 1, "b": 1}, topic=mode)
        lab.sink(topic=mode, pk=("id",), mode=mode)
        lab.send({"id": 1, "a": 2}, {"id": 2, "a": 3}, {"id": 2, "b": 4}, topic=mode)
        assert lab.sink(topic=mode, pk=("id",), mode=mode).is_good, number
    assert lab.sql('SELECT id, a, b FROM "upsert"') == [(1, 2, 1), (2, 3, 4)]
    assert lab.sql('SELECT id, a, b FROM "ignore"') == [(1, 1, 1), (2, 3, None)]
    assert lab.sql('SELECT id, a, b FROM "replace"') == [(1, 2, None), (2, None, 4)]


def test_ignore_passes_over_a_key_and_not_over_a_missing_value(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL)")
    lab.send({"id": 1, "a": 1}, {"id": 1, "a": 2}, {"id": 2, "a": None})
    assert lab.sink(mode="ignore", errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT id, a FROM t") == [(1, 1)]


def test_another_unique_index_refuses_one_row_of_an_upsert(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT UNIQUE)")
    lab.send({"id": 1, "mail": "a"}, {"id": 2, "mail": "a"}, {"id": 3, "mail": "b"})
    assert lab.sink(mode="upsert", errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT id, mail FROM t") == [(1, "a"), (3, "b")]


def test_a_row_without_its_key_is_bad(lab: Lab) -> None:
    lab.send({"id": 1, "a": 1}, {"a": 2}, {"id": None, "a": 3})
    assert lab.sink(pk=("id",), mode="upsert", errors="dead-letter").dead_letters == 2
    assert lab.sql("SELECT id, a FROM t") == [(1, 1)]


def test_upsert_needs_a_key_that_the_table_has(lab: Lab) -> None:
    lab.send({"id": 1})
    with pytest.raises(DatabaseError, match="say with --pk which columns"):
        lab.sink(mode="upsert")
    lab.sql("CREATE TABLE t (id INTEGER)")
    with pytest.raises(DatabaseError, match="has no primary key and no unique index over id, which --upsert needs"):
        lab.sink(mode="upsert", pk=("id",))
    lab.sql("CREATE UNIQUE INDEX i ON t (id)")
    assert lab.sink(mode="upsert", pk=("id",)).is_good


def test_deletions_and_upserts_of_a_key_are_done_in_their_order(lab: Lab) -> None:
    a = b'{"v": 1, "w": 1}'
    lab.send(a, a, None, None, a, b'{"v": 2}', keys=[b"x", b"y", b"x", b"z", b"w", b"x"])
    assert lab.sink(pk=("key",), mode="upsert", delete=True).is_good
    assert lab.sql("SELECT key, v, w FROM t ORDER BY key") == [("w", 1, 1), ("x", 2, None), ("y", 1, 1)]
    lab.send(b'{"w": 5}', None, b'{"v": 6}', None, keys=[b"y", b"x", b"x", b"w"])
    assert lab.sink(pk=("key",), mode="upsert", delete=True).is_good
    assert lab.sql("SELECT key, v, w FROM t ORDER BY key") == [("x", 6, None), ("y", 1, 5)]


def test_keys_that_are_json_objects_are_columns(lab: Lab) -> None:
    keys = [b'{"shop": 1, "id": 2}', b'{"id": 3, "shop": 1}', b'{"shop": 1, "id": 2}']
    lab.send({"a": 1}, {"id": 3, "a": 2}, None, keys=keys)
    assert lab.sink(pk=("key",), mode="upsert", delete=True).is_good
    assert lab.sql("SELECT shop, id, a FROM t") == [(1, 3, 2)]
    assert sorted(lab.sql("SELECT name FROM pragma_table_info('t') WHERE pk > 0")) == [("id",), ("shop",)]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b'{"a": 1}', "the key is null"),
        (b"\xff", b'{"a": 1}', "the key is not UTF-8"),
        (b'{"key": 1, "more": 2}', None, "the key has not the columns of the primary key: key"),
        (b"k", b'{"key": "other"}', "the field key of the value is another one than the key's"),
        (b"k", b"[]", "the value is an array and no JSON object"),
    ],
)
def test_a_key_that_is_none_is_a_bad_record(lab: Lab, key: bytes | None, value: bytes | None, reason: str) -> None:
    lab.send({"a": 1}, value, keys=[b"good", key])
    assert lab.sink(pk=("key",), mode="upsert", delete=True, errors="dead-letter").dead_letters == 1
    assert lab.sql("SELECT key, a FROM t") == [("good", 1)]
    assert lab.sql("SELECT reason FROM _pykafka_dead_letters") == [(reason,)]


def test_raw_takes_whatever_there_is(lab: Lab) -> None:
    keys = [b"\xff", None, b"k", b"{"]
    lab.send(b"no json", b"\xfe\x00", None, b"", keys=keys)
    assert lab.sink(raw=True).is_good
    assert lab.sql("SELECT key, value FROM t") == [(b"\xff", "no json"), (None, b"\xfe\x00"), ("k", None), ("{", "")]


def test_two_topics_can_go_into_one_table(lab: Lab) -> None:
    lab.cluster.admin().create_topic("u")
    lab.send({"n": 1})
    lab.send({"n": 2}, topic="u")
    lab.sink(table="both", extra=("topic",))
    lab.sink(table="both", extra=("topic",), topic="u", group="h")
    assert lab.sql("SELECT n, topic FROM both") == [(1, "t"), (2, "u")]


def test_a_record_has_its_own_columns(lab: Lab) -> None:
    with lab.cluster.producer() as producer:
        headers = [[("a", b"1"), ("a", None), ("b", b"\xff")], []]
        producer.send(
            "t", [b'{"n": 1}', b'{"n": 2}'], keys=[b"k", None], headers=headers, timestamps=[5, 6], partitions=1
        )
    extra = ("topic", "partition", "offset", "timestamp", "key", "headers")
    assert lab.sink(extra=extra).is_good
    assert lab.sql('SELECT n, topic, partition, "offset", timestamp, key, headers FROM t') == [
        (1, "t", 1, 0, 5, "k", '[["a", "1"], ["a", null], ["b", {"base64": "/w=="}]]'),
        (2, "t", 1, 1, 6, None, None),
    ]


def test_a_field_with_the_name_of_such_a_column_is_bad(lab: Lab) -> None:
    lab.send({"n": 1}, {"n": 2, "offset": 7})
    assert lab.sink(extra=("offset",), errors="dead-letter").dead_letters == 1
    assert lab.sql('SELECT n, "offset" FROM t') == [(1, 0)]


def test_dead_letters_can_go_to_a_topic(lab: Lab) -> None:
    lab.cluster.admin().create_topic("dead")
    lab.sql("CREATE TABLE t (n INTEGER CHECK (n != 3))")
    lab.send({"n": 1}, b"no json", {"n": "x"}, {"n": 3}, {"n": 4}, keys=[b"a", b"b", None, b"d", b"e"])
    report = lab.sink(errors="dead-letter", dead_letter_topic="dead")
    assert (report.messages, report.dead_letters) == (5, 3)
    assert lab.sql("SELECT n FROM t") == [(1,), (4,)]
    with lab.cluster.consumer() as consumer:
        consumer.subscribe(["dead"], start=OffsetAt.EARLIEST)
        runs = consumer.poll(1.0)
    found = [(key, value) for run in runs for key, value in zip(run.keys, run.values, strict=True)]
    assert found == [(b"b", b"no json"), (None, b'{"n": "x"}'), (b"d", b'{"n": 3}')]
    headers = [dict(each) for run in runs for each in run.headers]
    assert headers[1] == {
        "__connect.errors.topic": b"t",
        "__connect.errors.partition": b"0",
        "__connect.errors.offset": b"2",
        "__connect.errors.exception.message": b"'x' is no integer",
        "__connect.errors.column": b"n",
    }
    assert "_pykafka_dead_letters" not in {name for (name,) in lab.sql("SELECT name FROM sqlite_schema")}


def test_a_function_of_ones_own_makes_the_rows(lab: Lab) -> None:
    def convert(records: Records) -> Iterator[dict[str, object] | None]:
        for value, key in zip(records.values, records.keys, strict=True):
            if value == b"skip":
                yield None
                continue
            name, number = (value or b"").decode().split("=")
            yield {"key": key, name: int(number)}

    lab.send(b"a=1", b"skip", b"b=2", b"no number", b"a=x", b"a=3", keys=[b"k", b"", None, None, None, b"\xff"])
    report = lab.sink(convert=convert, errors="dead-letter")
    assert (report.messages, report.dead_letters) == (6, 2)
    assert lab.sql("SELECT key, a, b FROM t") == [(b"k", 1, None), (None, None, 2), (b"\xff", 3, None)]
    assert [reason for (reason,) in lab.sql("SELECT reason FROM _pykafka_dead_letters")] == [
        "--convert raised ValueError: not enough values to unpack (expected 2, got 1)",
        "--convert raised ValueError: invalid literal for int() with base 10: 'x'",
    ]


def test_a_function_that_makes_another_number_of_rows_ends_it(lab: Lab) -> None:
    lab.send({"n": 1}, {"n": 2})
    with pytest.raises(DatabaseError, match="--convert made 1 rows of 2 records"):
        lab.sink(convert=lambda records: [{"n": 1}])


def test_indexes_are_made_when_their_columns_are_there(lab: Lab) -> None:
    lab.send({"a": 1, "late": None})
    lab.sink(indexes=("a", "late"))
    assert lab.sql("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't'") == [("idx_t_a",)]
    lab.send({"a": 2, "late": 3})
    for _ in range(2):
        lab.sink(indexes=("a", "late"))
    names = lab.sql("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't' ORDER BY name")
    assert names == [("idx_t_a",), ("idx_t_late",)]


@pytest.mark.parametrize("mode", ["insert", "upsert", "replace"])
def test_full_text_search_finds_what_is_there(lab: Lab, mode: str) -> None:
    lab.send({"id": 1, "text": "tea and cake"}, {"id": 2, "text": "coffee"})
    lab.sink(pk=("id",), mode=mode, fts=("text",))
    lab.send({"id": 3, "text": "more tea"} if mode == "insert" else {"id": 1, "text": "only cake"})
    lab.sink(pk=("id",), mode=mode, fts=("text",))
    found = lab.sql("SELECT rowid FROM t_fts WHERE t_fts MATCH 'tea' ORDER BY rowid")
    assert found == ([(1,), (3,)] if mode == "insert" else [])
    assert lab.sql("SELECT rowid FROM t_fts WHERE t_fts MATCH 'cake'") == [(1,)]


def test_milliseconds_become_the_databases_time(both: Lab) -> None:
    both.send({"at": 1_700_000_000_123}, {"at": -1}, {"at": None}, {"at": 1.7e12}, {"at": "noon"}, {"at": 10**17})
    report = both.sink(types={"at": "timestamp-ms"}, errors="dead-letter")
    assert report.dead_letters == 2
    times = both.sql('SELECT CAST("at" AS text) FROM t')
    zone = "" if isinstance(both.target(), SqliteTarget) else "+00"
    assert [time and str(time).removesuffix(zone) for (time,) in times] == [
        "2023-11-14 22:13:20.123", "1969-12-31 23:59:59.999", None,
        "2023-11-14 22:13:20.000" if not zone else "2023-11-14 22:13:20",
    ]  # fmt: skip
    assert both.sql("SELECT reason FROM _pykafka_dead_letters") == [
        ("'noon' is no number of milliseconds",),
        ("100000000000000000 milliseconds since 1970 are beyond the years 1 to 9999",),
    ]


def test_a_time_goes_into_a_column_that_is_there_and_the_records_own_does(both: Lab) -> None:
    both.sql("CREATE TABLE t (n int, timestamp timestamp)")
    both.send({"n": 1})
    assert both.sink(types={"timestamp": "timestamp-ms"}, extra=("timestamp",)).is_good
    ((year,),) = both.sql("SELECT substr(CAST(timestamp AS text), 1, 4) FROM t")
    assert int(str(year)) > 2020


def test_base64_becomes_bytes(both: Lab) -> None:
    both.send({"b": "AP8="}, {"b": ""}, {"b": "AP8"}, {"b": 5})
    assert both.sink(types={"b": "base64"}, errors="dead-letter").dead_letters == 2
    assert [bytes(value) for (value,) in both.sql("SELECT b FROM t")] == [b"\x00\xff", b""]  # type: ignore[arg-type]


def test_a_strict_table_refuses_what_is_of_another_type(lab: Lab) -> None:
    lab.target = lambda: SqliteTarget(lab.database, strict=True)  # type: ignore[method-assign]
    lab.send({"n": 1, "x": 1.5, "s": "a", "j": [1], "b": True})
    assert lab.sink().is_good
    lab.send({"n": "one"}, {"more": "AA=="}, {"n": None})
    assert lab.sink(errors="dead-letter", alter=True, types={"more": "base64"}).dead_letters == 1
    assert lab.sql("SELECT * FROM t") == [
        (1, 1.5, "a", "[1]", 1, None), (None,) * 5 + (b"\0",), (None,) * 6,
    ]  # fmt: skip
    ((sql,),) = lab.sql("SELECT sql FROM sqlite_schema WHERE name = 't'")
    assert str(sql).endswith("STRICT")
    lab.send(b"text", b"\xff", partition=1)
    assert lab.sink(group="raw", table="raw", raw=True).is_good
    assert lab.sql("SELECT value FROM raw ORDER BY rowid DESC LIMIT 2") == [(b"\xff",), ("text",)]
