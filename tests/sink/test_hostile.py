"""What others do to a sink's database at the worst moment: nothing is lost or doubled, and what stops it is named."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
import pytest

from pykafka_store.databases import postgres as sessions
from pykafka_store.databases.errors import DatabaseError
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.target import SinkError
from tests.sink.conftest import Lab, PostgresLab


@pytest.mark.parametrize("how", ["DROP TABLE t", "ALTER TABLE t RENAME TO u"])
@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_a_table_that_goes_between_its_columns_and_its_rows_stops_it(both: Lab, how: str, mode: str) -> None:
    both.send({"n": 1}, {"n": 2})
    target = both.target()
    write = target.write

    def late(*arguments: object) -> None:
        both.sql(how)
        write(*arguments)  # type: ignore[arg-type]

    target.write = late  # type: ignore[method-assign]
    options = SinkOptions(exit_at_end=True, mode=mode, pk=("n",))  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match=r"no such table|does not exist"):
        Sink(both.cluster, ["t"], target, "g", options=options).run()
    target.close()
    assert both.next_offset() == 0
    assert both.sink(mode=mode, pk=("n",)).messages == 2
    assert both.sql("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


def test_of_a_field_that_comes_twice_the_last_counts(both: Lab) -> None:
    """As for every reader of JSON that takes it at all."""
    both.send(b'{"n": 1, "n": 2}')
    assert both.sink().is_good
    assert both.sql("SELECT n FROM t") == [(2,)]


class Once:
    """Something happens in the transaction of the first rows, behind its snapshot and before any of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, happens: object) -> None:
        self.happens = happens
        copy = psycopg.Cursor.copy

        def late(cursor: psycopg.Cursor[object], statement: str) -> object:
            act, self.happens = self.happens, None
            if callable(act):
                act()
            return copy(cursor, statement)

        monkeypatch.setattr(psycopg.Cursor, "copy", late)


def test_a_transaction_that_can_not_be_serialized_is_tried_again(
    pg: PostgresLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pg.send({"n": 1}, {"n": 2})
    once = Once(monkeypatch, lambda: pg.sql("UPDATE _pykafka_offsets SET owner = owner"))
    name = psycopg.conninfo.conninfo_to_dict(pg.database)["dbname"]
    pg.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    assert pg.sink().messages == 2
    assert once.happens is None
    assert "could not serialize access" in pg.notices[0]
    assert pg.sql("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


def test_a_session_that_is_frozen_in_a_transaction_is_ended_by_the_server(
    pg: PostgresLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had locked there nobody could have otherwise; when it goes on, it begins that batch again."""
    monkeypatch.setattr(sessions, "IDLE_IN_TRANSACTION", "50ms")

    def frozen() -> None:
        deadline = time.monotonic() + 60
        question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pykafka-sink'"
        while pg.sql(question) != [(0,)]:
            assert time.monotonic() < deadline

    pg.send({"n": 1}, {"n": 2})
    once = Once(monkeypatch, frozen)
    assert pg.sink().messages == 2
    assert once.happens is None
    assert "idle-in-transaction timeout" in pg.notices[0]
    assert pg.sql("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


@pytest.mark.parametrize("name", ["a\0b", "ctid", "xmin", "tableoid"])
def test_a_field_that_can_be_no_column_is_a_dead_letter(pg: PostgresLab, name: str) -> None:
    pg.send({name: 1, "b": 1}, {"b": 2})
    assert pg.sink(errors="dead-letter", alter=True).dead_letters == 1
    assert pg.sql("SELECT b FROM t") == [(2,)]
    assert pg.sql('SELECT "column" FROM _pykafka_dead_letters') == [(name.replace("\0", r"\x00"),)]


@pytest.mark.parametrize(
    "row",
    [{"a": object()}, {"a": datetime.now(UTC)}, {1: 2}, {"a": {"b": {1, 2}}}, {"a": [b"x"]}, {"a": (1, 2)}],
    ids=["object", "time", "number as a name", "set within", "bytes within", "tuple"],
)
@pytest.mark.parametrize("made", ["is made", "is there"])
def test_what_a_function_makes_that_no_column_holds_is_a_dead_letter(
    both: Lab, row: dict[str, object], made: str
) -> None:
    if made == "is there":
        both.sql("CREATE TABLE t (a text, b int)")
    rows: list[dict[str, object]] = [{"a": "x", "b": 1}, row, {"a": "y", "b": 2}]
    both.send(*rows[::2], {"b": 3})
    assert both.sink(convert=lambda _run: rows, errors="dead-letter").dead_letters == 1
    assert both.sql("SELECT a, b FROM t") == [("x", 1), ("y", 2)]


def test_a_table_that_is_none_for_dead_letters_is_refused_before_there_are_any(both: Lab) -> None:
    both.sql("CREATE TABLE orders (id int)")
    both.send({"a": 1})
    with pytest.raises(SinkError, match="orders is none for dead letters: name another one"):
        both.sink(errors="dead-letter", dead_letters="orders")
