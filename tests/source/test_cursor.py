"""``--cursor``: new rows, each once; what could be lost by it is refused, waited for, or found."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg
import pytest

from pykafka_store.source.destinations import ToDirectory
from pykafka_store.source.feed import SourceError
from pykafka_store.source.sourcing import Source, SourceOptions
from tests.source.conftest import Lab, PostgresLab


def made(lab: Lab, *words: str) -> None:
    lab.sql(f"CREATE TABLE t (id {lab.serial}, word text)")
    put(lab, *words)


def put(lab: Lab, *words: str) -> None:
    for word in words:
        lab.sql(f"INSERT INTO t (word) VALUES ('{word}')")


def test_rows_are_records_and_the_next_run_goes_on(both: Lab) -> None:
    made(both, "one", "two")
    assert both.send(both.cursor()).records == 2
    assert both.notices == ["topic t did not exist and was created with 1 partition"]
    put(both, "three")
    assert both.send(both.cursor()).records == 1
    assert both.send(both.cursor()).records == 0
    assert both.topic() == [
        (None, {"id": number, "word": word}) for number, word in enumerate(["one", "two", "three"], 1)
    ]


def test_keys_divide_the_rows_and_small_batches_make_no_difference(both: Lab) -> None:
    made(both, *(f"w{number % 5}" for number in range(40)))
    both.cluster.admin().create_topic("t", partitions=3)
    assert both.send(both.cursor(["word"]), batch_size=7).records == 40
    rows = both.topic(3)
    assert sorted(value["id"] for _, value in rows) == list(range(1, 41))  # type: ignore[index]
    assert {(key, value["word"]) for key, value in rows} == {(f"w{n}".encode(), f"w{n}") for n in range(5)}  # type: ignore[index]
    for word in range(5):
        ids = [value["id"] for _, value in rows if value["word"] == f"w{word}"]  # type: ignore[index]
        assert ids == sorted(ids)


def test_more_partitions_count_from_the_next_start_on(both: Lab) -> None:
    made(both, *"abcdefgh")
    both.send(both.cursor(["word"]))
    both.cluster.admin().create_partitions("t", 4)
    put(both, *"abcdefgh")
    assert both.send(both.cursor(["word"])).records == 8
    assert len({value["id"] for value in both.values(4)}) == 16  # type: ignore[index]
    assert len(both.values(1)) < 16


def test_from_latest_leaves_out_what_is_there(both: Lab) -> None:
    made(both, "one", "two")
    assert both.send(both.cursor(), from_latest=True).records == 0
    put(both, "three")
    assert both.send(both.cursor(), from_latest=True).records == 1
    assert both.values() == [{"id": 3, "word": "three"}]


def test_a_topic_that_was_made_anew_gets_all_rows(both: Lab) -> None:
    made(both, "one")
    both.send(both.cursor())
    both.cluster.admin().delete_topic("t")
    put(both, "two")
    assert both.send(both.cursor()).records == 2
    assert any("made anew" in notice for notice in both.notices)


def test_a_column_that_is_added_is_there_from_then_on(both: Lab) -> None:
    made(both, "one")
    both.send(both.cursor())
    both.sql("ALTER TABLE t ADD COLUMN n integer")
    both.sql("INSERT INTO t (word, n) VALUES ('two', 5)")
    both.send(both.cursor())
    assert both.values()[1] == {"id": 2, "word": "two", "n": 5}


def test_two_of_one_name_are_refused(both: Lab) -> None:
    made(both, "one")
    both.cluster.admin().create_topic("t")
    running, leave = threading.Event(), threading.Event()

    def wait(_report: object) -> None:
        running.set()
        leave.wait(60)

    feed, other = both.cursor(), both.cursor()
    source = Source(ToDirectory(both.cluster), "t", feed, "s")
    thread = threading.Thread(target=lambda: source.run(leave.is_set, wait))
    thread.start()
    try:
        assert running.wait(60)
        with pytest.raises(Exception, match="another process is this source already"):
            from pykafka_store.open import open_data_directory

            with open_data_directory(both.cluster.directory) as again:  # type: ignore[attr-defined]
                Source(ToDirectory(again), "t", other, "s").run()
    finally:
        leave.set()
        thread.join()
        feed.close()
        other.close()


@pytest.mark.parametrize(
    ("table", "column", "reason"),
    [
        ("(id INTEGER PRIMARY KEY, word text)", "id", "is no INTEGER PRIMARY KEY AUTOINCREMENT"),
        ('(id INTEGER PRIMARY KEY, "AUTOINCREMENT" text /* AUTOINCREMENT */)', "id", "is no INTEGER PRIMARY KEY"),
        ("(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER)", "at", "is no INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("(id INTEGER PRIMARY KEY AUTOINCREMENT)", "nothing", "has no column nothing"),
    ],
)
def test_sqlite_refuses_what_can_lose_rows(lab: Lab, table: str, column: str, reason: str) -> None:
    lab.sql(f"CREATE TABLE t {table}")
    with pytest.raises(SourceError, match=reason):
        lab.cursor(column=column)


def test_sqlite_refuses_what_is_no_table(lab: Lab) -> None:
    with pytest.raises(SourceError, match="has no table t"):
        lab.cursor()
    lab.sql("CREATE VIEW t AS SELECT 1 AS id")
    with pytest.raises(SourceError, match="t is a view and no table: give --query"):
        lab.cursor()


@pytest.mark.parametrize(
    ("table", "column", "reason"),
    [
        ("(id bigint PRIMARY KEY)", "id", "is no identity and no serial"),
        ("(id bigserial, at timestamptz)", "at", "is no identity and no serial"),
        ("(id bigserial)", "id", "has no unique index of its own"),
        ("(id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20) PRIMARY KEY)", "id", "its sequence has CACHE 20"),
        ("(id int GENERATED BY DEFAULT AS IDENTITY (CYCLE) PRIMARY KEY)", "id", "CYCLE"),
        ("(id bigserial PRIMARY KEY) PARTITION BY RANGE (id)", "id", "has partitions or children"),
        ("(id bigserial PRIMARY KEY)", "nothing", "has no column nothing"),
    ],
)
def test_postgres_refuses_what_can_lose_rows(pg: PostgresLab, table: str, column: str, reason: str) -> None:
    pg.sql(f"CREATE TABLE t {table}")
    with pytest.raises(SourceError, match=reason):
        pg.send(pg.cursor(column=column))


def test_rows_that_came_in_behind_the_cursor_are_found(both: Lab) -> None:
    serial = both.serial if both.kind == "sqlite" else "bigserial PRIMARY KEY"
    both.sql(f"CREATE TABLE t (id {serial}, word text)")
    both.sql("INSERT INTO t (id, word) VALUES (1, 'a'), (5, 'b')")
    if both.kind == "postgres":
        both.sql("SELECT setval('t_id_seq', 5)")
    both.send(both.cursor())
    both.sql("INSERT INTO t (id, word) VALUES (3, 'late')")
    with pytest.raises(SourceError, match="has 1 rows that came in behind the cursor, at id 5 or before"):
        both.send(both.cursor())


def test_another_table_of_the_name_is_found(both: Lab) -> None:
    made(both, "one", "two", "three")
    both.send(both.cursor())
    both.sql("DROP TABLE t")
    made(both, "four")
    with pytest.raises(SourceError, match="ends at id 1, and was read up to 3: it is another table"):
        both.send(both.cursor())


def test_a_row_that_is_too_large_is_named_and_nothing_behind_it_is_sent(both: Lab) -> None:
    made(both, "one", "x" * 2_000_000, "three")
    with pytest.raises(Exception, match="not all of the rows at positions 1 to 3 got into topic t"):
        both.send(both.cursor())
    with pytest.raises(Exception, match="not all of the rows"):
        both.send(both.cursor())
    assert len(both.values()) <= 1


# ------------------------------------------------------------------------------------------ an id that commits late


def test_postgres_waits_for_an_id_that_commits_after_a_higher_one(pg: PostgresLab) -> None:
    made(pg)
    feed = pg.cursor()
    feed.prepare(("c", "t", "i", "s"), from_latest=False)
    with psycopg.connect(pg.database) as slow:
        slow.execute("INSERT INTO t (word) VALUES ('slow')")
        put(pg, "quick")
        assert pg.sql("SELECT id FROM t WHERE id > 0") == [(2,)]  # whoever read on from here would miss 1
        look = feed.look(-1, 100)
        assert (look.changes, look.is_all) == ((), False)
        assert "a transaction that writes t" in look.waits_for
        put(pg, "later")  # what comes meanwhile has not to be waited for
        assert feed.look(-1, 100).changes == ()
        slow.commit()
        look = feed.look(-1, 100)
    assert [change.position for change in look.changes] == [1, 2]
    assert [change.position for change in feed.look(2, 100).changes] == [3]
    feed.close()


def test_postgres_waits_where_the_horizon_of_snapshots_would_not(pg: PostgresLab) -> None:
    """The slow one has taken its id, and has no transaction number yet: its trigger waits before the row is put in."""
    made(pg, "first")  # a sequence's first number is logged, for which the transaction gets a number, too
    pg.sql("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.word = 'slow' THEN "
           "PERFORM pg_advisory_xact_lock(7); END IF; RETURN NEW; END$$")  # fmt: skip
    pg.sql("CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait()")
    feed = pg.cursor()
    feed.prepare(("c", "t", "i", "s"), from_latest=False)
    with psycopg.connect(pg.database) as gate, psycopg.connect(pg.database, autocommit=True) as slow:
        gate.execute("SELECT pg_advisory_lock(7)")
        thread = threading.Thread(target=lambda: slow.execute("INSERT INTO t (word) VALUES ('slow')"))
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while pg.sql(waiting) == [(0,)]:
            pass
        put(pg, "quick")
        horizon = "SELECT id FROM t WHERE xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        assert pg.sql(horizon) == [(1,), (3,)], "the horizon lets the higher id pass: this test can fail"
        held = feed.look(-1, 100).changes
        gate.execute("SELECT pg_advisory_unlock(7)")
        thread.join()
        assert held == ()
        assert [change.position for change in feed.look(-1, 100).changes] == [1, 2, 3]
    feed.close()


def test_what_is_waited_for_is_told_once(pg: PostgresLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka_store.source.sourcing.TELL_AFTER", 0.0)
    made(pg)
    rounds = 0
    with psycopg.connect(pg.database) as slow, closing(pg.cursor()) as feed:
        slow.execute("INSERT INTO t (word) VALUES ('slow')")
        put(pg, "quick")
        look = feed.look

        def looking(after: int, most: int) -> object:
            nonlocal rounds
            rounds += 1
            if rounds == 6:
                slow.commit()
            return look(after, most)

        feed.look = looking  # type: ignore[method-assign, assignment]
        options = SourceOptions(exit_at_end=True)
        source = Source(ToDirectory(pg.cluster), "t", feed, "s", options=options, on_notice=pg.notices.append)
        assert source.run().records == 2
    assert [
        line for line in pg.notices if line.startswith("waiting for a transaction that writes t (process ")
    ].__len__() == 1


def test_text_that_is_not_utf_8_is_named(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v_word TEXT)")
    lab.sql("INSERT INTO t (v_word) VALUES (CAST(x'ff' AS TEXT))")
    with pytest.raises(SourceError, match=r"x\.db: column v_word holds text that is not UTF-8"):
        lab.send(lab.cursor())
    lab.sql("UPDATE t SET v_word = 'one'")
    assert lab.send(lab.cursor()).records == 1
