"""``--changes``: each change of a table as a record of its row's key, in order, a deletion as a tombstone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from pykafka_store.source.feed import SourceError
from pykafka_store.source.postgres_changes import remove_postgres_source
from pykafka_store.source.sqlite_changes import remove_sqlite_source
from tests.source.conftest import Lab, PostgresLab


def key(number: int) -> object:
    return {"id": number}


def made(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id integer PRIMARY KEY, word text)")
    lab.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two')")


def test_rows_that_are_there_come_first_and_then_each_change(both: Lab) -> None:
    made(both)
    assert both.send(both.changes()).records == 2
    both.sql("UPDATE t SET word = 'ONE' WHERE id = 1")
    both.sql("DELETE FROM t WHERE id = 2")
    both.sql("INSERT INTO t VALUES (3, NULL)")
    both.sql("UPDATE t SET id = 4 WHERE id = 3")
    report = both.send(both.changes())
    assert (report.records, report.tombstones) == (5, 2)
    assert both.topic() == [
        (key(1), {"id": 1, "word": "one"}), (key(2), {"id": 2, "word": "two"}),
        (key(1), {"id": 1, "word": "ONE"}), (key(2), None), (key(3), {"id": 3, "word": None}),
        (key(3), None), (key(4), {"id": 4, "word": None}),
    ]  # fmt: skip
    assert both.send(both.changes()).records == 0
    assert both.sql("SELECT count(*) FROM _pykafka_changes_1") == [(0,)]


def test_from_latest_begins_with_the_changes(both: Lab) -> None:
    made(both)
    assert both.send(both.changes(), from_latest=True).records == 0
    both.sql("INSERT INTO t VALUES (3, 'three')")
    assert both.send(both.changes()).records == 1


def test_what_was_not_committed_is_no_change(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    opened = sqlite3.connect(both.database) if both.kind == "sqlite" else psycopg.connect(both.database)
    with closing(opened) as connection:
        connection.execute("INSERT INTO t VALUES (3, 'never')")  # type: ignore[call-overload]
        connection.rollback()
    assert both.send(both.changes()).records == 0


def test_all_rows_of_a_table_that_is_emptied_are_tombstones(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    both.sql("DELETE FROM t" if both.kind == "sqlite" else "TRUNCATE t")
    assert both.send(both.changes()).tombstones == 2


def test_small_batches_and_partitions_make_no_difference(both: Lab) -> None:
    made(both)
    both.cluster.admin().create_topic("t", partitions=3)
    both.send(both.changes())
    for number in range(3, 30):
        both.sql(f"INSERT INTO t VALUES ({number}, 'n')")
        both.sql(f"UPDATE t SET word = 'm' WHERE id = {number}")
    assert both.send(both.changes(), batch_size=7).records == 54
    last: dict[str, object] = {}
    for found, value in both.topic(3):
        last[str(found)] = value
    assert sorted(value["word"] for value in last.values()) == ["m"] * 27 + ["one", "two"]  # type: ignore[index]


def test_columns_may_come_and_go(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    both.sql("INSERT INTO t VALUES (3, 'before')")
    both.sql("ALTER TABLE t ADD COLUMN n integer DEFAULT 7")
    both.sql("INSERT INTO t VALUES (4, 'after', 8)")
    both.send(both.changes())
    both.sql("INSERT INTO t VALUES (5, 'later', 9)")
    both.send(both.changes())
    rows = both.values()[2:]
    assert rows[0] == {"id": 3, "word": "before"}  # it had no column n, and does not say that it has null there
    assert rows[2] == {"id": 5, "word": "later", "n": 9}
    if both.kind == "postgres":
        assert rows[1] == {"id": 4, "word": "after", "n": 8}
        both.sql("ALTER TABLE t DROP COLUMN word")
        both.sql("INSERT INTO t VALUES (6, 10)")
        both.send(both.changes())
        assert both.values()[5:] == [{"id": 6, "n": 10}]
    else:
        with pytest.raises(sqlite3.OperationalError, match="error in trigger _pykafka_changes_1_"):
            both.sql("ALTER TABLE t DROP COLUMN word")


def _drop_trigger(both: Lab) -> None:
    name = "_pykafka_changes_1_" + ("insert" if both.kind == "sqlite" else "row")
    both.sql(f"DROP TRIGGER {name}" + ("" if both.kind == "sqlite" else " ON t"))


def _make_table_anew(both: Lab) -> None:
    """As a migration does it: triggers go with the table, and stay with one that gets another name."""
    both.sql("CREATE TABLE other (id integer PRIMARY KEY, word text)")
    both.sql("INSERT INTO other SELECT id, word FROM t")
    both.sql("DROP TABLE t")
    both.sql("ALTER TABLE other RENAME TO t")


@pytest.mark.parametrize("lose", [_drop_trigger, _make_table_anew])
def test_triggers_that_are_gone_are_no_source_without_news(both: Lab, lose: Callable[[Lab], None]) -> None:
    """What happened meanwhile nobody saw: a source that ran on would have lost it, and said that all is sent."""
    made(both)
    both.send(both.changes())
    lose(both)
    both.sql("INSERT INTO t VALUES (3, 'unseen')")
    with pytest.raises(SourceError, match="its triggers are gone, and what changed since nobody saw: --remove"):
        both.send(both.changes())


def test_a_topic_that_was_made_anew_gets_all_rows(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    both.sql("INSERT INTO t VALUES (3, 'three')")
    both.cluster.admin().delete_topic("t")
    assert both.send(both.changes()).records == 3
    assert both.sql("SELECT count(*) FROM _pykafka_sources") == [(1,)]


def test_a_source_that_was_removed_begins_anew(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    remove = remove_sqlite_source if both.kind == "sqlite" else remove_postgres_source
    place = (both.database, both.cluster.admin().cluster_id(), "t", "s")
    assert remove(*place)
    assert not remove(*place)
    both.sql("INSERT INTO t VALUES (3, 'three')")
    assert both.sql("SELECT count(*) FROM _pykafka_sources") == [(0,)]
    assert both.send(both.changes()).records == 3
    both.sql("INSERT INTO t VALUES (4, 'four')")
    assert both.send(both.changes()).records == 1
    assert len(both.values()) == 6


def test_sources_of_two_topics_have_changes_of_their_own(both: Lab) -> None:
    made(both)
    both.send(both.changes())
    both.send(both.changes(), topic="u", name="other")
    both.sql("DELETE FROM t WHERE id = 1")
    assert both.send(both.changes()).tombstones == 1
    assert both.send(both.changes(), topic="u", name="other").tombstones == 1


def test_a_database_that_was_brought_back_is_found(lab: Lab, tmp_path: Path) -> None:
    made(lab)
    lab.send(lab.changes())
    for number in range(3, 6):
        lab.sql(f"INSERT INTO t VALUES ({number}, 'n')")
        lab.send(lab.changes())
        if number == 3:
            with closing(sqlite3.connect(lab.database)) as source, closing(sqlite3.connect(tmp_path / "old.db")) as old:
                source.backup(old)
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, closing(sqlite3.connect(lab.database)) as now:
        old.backup(now)
    lab.sql("INSERT INTO t VALUES (9, 'would be taken for one that is there')")
    with pytest.raises(SourceError, match="one of the two was brought back from an older copy"):
        lab.send(lab.changes())


@pytest.mark.parametrize(
    ("table", "words", "reason"),
    [
        ("(id integer)", [], "has no primary key: name with --key"),
        ("(id integer PRIMARY KEY, a text)", ["a"], "no unique index over a"),
        ("(id integer PRIMARY KEY, a text)", ["nothing"], "no unique index over nothing"),
    ],
)
def test_rows_have_to_have_a_key(both: Lab, table: str, words: list[str], reason: str) -> None:
    both.sql(f"CREATE TABLE t {table}")
    with pytest.raises(SourceError, match=reason):
        both.send(both.changes(words))


def test_the_key_may_be_another_unique_one(both: Lab) -> None:
    both.sql("CREATE TABLE t (id integer PRIMARY KEY, a text, b integer, UNIQUE (a, b))")
    both.sql("INSERT INTO t VALUES (1, 'x', 2)")
    both.send(both.changes(["a", "b"]))
    both.sql("DELETE FROM t")
    both.send(both.changes(["a", "b"]))
    assert both.topic() == [({"a": "x", "b": 2}, {"id": 1, "a": "x", "b": 2}), ({"a": "x", "b": 2}, None)]


def test_sqlite_tells_of_rows_that_are_replaced_unseen(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id integer PRIMARY KEY, name text UNIQUE)")
    lab.send(lab.changes())
    assert "INSERT OR REPLACE without PRAGMA recursive_triggers deletes such rows unseen" in lab.notices[-1]


# -------------------------------------------------------------------------------------------- concurrent transactions


def test_postgres_misses_nothing_that_commits_late(pg: PostgresLab) -> None:
    made(pg)
    pg.send(pg.changes())
    with psycopg.connect(pg.database) as slow:
        slow.execute("INSERT INTO t VALUES (3, 'slow')")
        pg.sql("INSERT INTO t VALUES (4, 'quick')")
        assert pg.send(pg.changes()).records == 1
        slow.execute("DELETE FROM t WHERE id = 1")
        slow.commit()
    assert pg.send(pg.changes()).records == 2
    assert pg.topic()[2:] == [(key(4), {"id": 4, "word": "quick"}), (key(3), {"id": 3, "word": "slow"}), (key(1), None)]


def test_postgres_keeps_the_order_of_a_row_where_the_older_transaction_changes_it_last(pg: PostgresLab) -> None:
    """By the transactions' numbers the first change would come last."""
    made(pg)
    pg.send(pg.changes())
    with psycopg.connect(pg.database) as older, psycopg.connect(pg.database) as newer:
        older.execute("INSERT INTO t VALUES (5, 'has a number')")
        newer.execute("UPDATE t SET word = 'first' WHERE id = 1")
        newer.commit()
        older.execute("UPDATE t SET word = 'second' WHERE id = 1")
        older.commit()
    pg.send(pg.changes())
    assert [value["word"] for _, value in pg.topic()[2:] if value["id"] == 1] == ["first", "second"]  # type: ignore[index]


def test_postgres_takes_what_was_taken_and_not_sent_again_in_the_same_order(pg: PostgresLab) -> None:
    """Killed between taking changes and sending them, with one of a lower number visible since."""
    made(pg)
    pg.send(pg.changes(), from_latest=True)
    (topic,) = pg.cluster.admin().describe_topics(["t"])
    place = (pg.cluster.admin().cluster_id(), "t", topic.topic_id, "s")
    with psycopg.connect(pg.database) as slow:
        slow.execute("INSERT INTO t VALUES (3, 'slow')")
        pg.sql("INSERT INTO t VALUES (4, 'quick')")
        with closing(pg.changes()) as feed:
            feed.prepare(place, from_latest=False)
            taken = feed.look(-1, 100).changes
        slow.commit()
    with closing(pg.changes()) as feed:
        feed.prepare(place, from_latest=False)
        assert feed.look(-1, 100).changes == taken
    pg.send(pg.changes())
    assert [found for found, _ in pg.topic()] == [key(4), key(3)]


def test_postgres_writers_need_no_rights_and_no_settings_of_theirs_change_what_is_captured(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (id integer PRIMARY KEY, x float8, at timestamptz, i interval)")
    pg.send(pg.changes())
    pg.sql("DROP ROLE IF EXISTS writer")
    pg.sql("CREATE ROLE writer LOGIN")
    pg.sql("GRANT INSERT ON t TO writer")
    with psycopg.connect(pg.database, user="writer") as writer:
        writer.execute("SET extra_float_digits = -10")
        writer.execute("SET TimeZone = 'Asia/Tokyo'")
        writer.execute("SET IntervalStyle = 'sql_standard'")
        writer.execute("INSERT INTO t VALUES (1, 0.1::float8 + 0.2::float8, '2026-01-01 00:00+00', '1 day')")
    pg.send(pg.changes())
    assert pg.values() == [{"id": 1, "x": 0.30000000000000004, "at": "2026-01-01T00:00:00+00:00", "i": "1 day"}]
    pg.sql("REVOKE ALL ON t FROM writer")
    pg.sql("DROP ROLE writer")


def test_postgres_partitioned_tables_and_appliers_of_replication_are_seen(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (id integer PRIMARY KEY, n numeric) PARTITION BY RANGE (id)")
    pg.sql("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100)")
    pg.sql("INSERT INTO t VALUES (1, 1.10)")
    pg.send(pg.changes())
    with psycopg.connect(pg.database) as applier:
        applier.execute("SET session_replication_role = replica")
        applier.execute("INSERT INTO t1 VALUES (2, 12345678901234567890.0)")
    pg.send(pg.changes())
    assert pg.values() == [{"id": 1, "n": "1.10"}, {"id": 2, "n": "12345678901234567890.0"}]


def test_changes_whose_source_somebody_dropped_are_told(both: Lab) -> None:
    """They may hold a deletion that is not in the topic: to begin anew is for who knows that."""
    made(both)
    both.send(both.changes())
    both.sql("DELETE FROM t WHERE id = 1")
    both.sql("DROP TABLE _pykafka_sources")
    with pytest.raises(SourceError, match="_pykafka_changes_1 holds the changes of a source that is gone"):
        both.send(both.changes())
    assert both.sql("SELECT count(*) FROM _pykafka_changes_1") == [(1,)]


def test_text_that_is_not_utf_8_is_named_in_one_line(lab: Lab) -> None:
    """SQLite takes any bytes for text. They are no JSON, and nobody could tell what they were."""
    made(lab)
    lab.sql("INSERT INTO t VALUES (3, CAST(x'ff0a41' AS TEXT))")
    for feed in (lab.changes(), lab.query("SELECT id, word FROM t")):
        with pytest.raises(SourceError, match=r"x\.db: column word holds text that is not UTF-8, .*: correct") as found:
            lab.send(feed, topic=type(feed).__name__, name=type(feed).__name__)
        assert "\n" not in str(found.value)
    lab.sql("UPDATE t SET word = 'three' WHERE id = 3")
    assert lab.send(lab.query("SELECT id, word FROM t"), topic="SqliteQuery", name="SqliteQuery").records == 3


@pytest.mark.parametrize("collation", ["NOCASE", "RTRIM"])
def test_a_key_that_only_its_collation_takes_for_the_same_is_another_one(lab: Lab, collation: str) -> None:
    other = {"NOCASE": "A", "RTRIM": "a "}[collation]
    lab.sql(f"CREATE TABLE t (id TEXT COLLATE {collation} PRIMARY KEY, v int)")
    lab.sql("INSERT INTO t VALUES ('a', 1)")
    lab.send(lab.changes())
    lab.sql("UPDATE t SET id = ?", other)
    lab.send(lab.changes())
    assert lab.topic()[1:] == [({"id": "a"}, None), ({"id": other}, {"id": other, "v": 1})]
