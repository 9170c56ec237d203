"""PostgreSQL as a target: its types, its refusals, its names, and what becomes of a sink when it goes away."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from pykafka_store import Records
from pykafka_store.databases.errors import DatabaseError
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.postgres_target import PostgresTarget
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.target import DeadLetter, Group, Kind, Move, TableWrite
from tests.sink.conftest import PostgresLab
from tests.support.postgres import Server


def test_a_new_table_has_the_types_of_its_values(pg: PostgresLab) -> None:
    pg.send(
        {"i": 2**63 - 1, "x": 0.1, "b": True, "s": "é", "o": {"a": [1, None]}, "late": None},
        {"i": -(2**63), "x": 5, "b": None, "s": "", "o": [], "late": None},
    )
    assert pg.sink().is_good
    assert pg.sql("SELECT i, x, b, s, o FROM t") == [
        (2**63 - 1, 0.1, True, "é", {"a": [1, None]}),
        (-(2**63), 5.0, None, "", []),
    ]
    types = pg.sql("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't'")
    assert dict(types) == {"i": "bigint", "x": "double precision", "b": "boolean", "s": "text", "o": "jsonb"}
    pg.send({"i": 1, "late": 2.5})
    assert pg.sink().is_good
    assert pg.sql("SELECT late FROM t WHERE i = 1") == [(2.5,)]


def test_a_table_that_is_there_has_its_own_types(pg: PostgresLab) -> None:
    pg.sql("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    pg.sql(
        "CREATE TABLE t (i2 int2, i4 int4, d numeric, v varchar(3), at timestamptz, day date, u uuid, j json, y bytea, "
        "m mood, r real, a int[])"
    )
    pg.send(
        {
            "i2": 32767, "i4": -(2**31), "d": 2**80, "v": "abc", "at": "2026-01-02T03:04:05Z", "day": "2026-01-02",
            "u": "12345678-1234-5678-1234-567812345678", "j": "text", "y": "é", "m": "ok", "r": 0.5, "a": "{1,2}",
        },
        {"i4": "12", "d": 1.5, "v": 5},
    )  # fmt: skip
    assert pg.sink().is_good
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert pg.sql("SELECT i2, i4, d, v, at, day, u, j, y, m, r, a FROM t WHERE i2 IS NOT NULL") == [
        (
            32767, -(2**31), Decimal(2**80), "abc", moment, datetime.date(2026, 1, 2),
            UUID("12345678-1234-5678-1234-567812345678"), "text", "é".encode(), "ok", 0.5, [1, 2],
        )
    ]  # fmt: skip
    assert pg.sql("SELECT i4, d, v FROM t WHERE i2 IS NULL") == [(12, Decimal("1.5"), "5")]


def test_arrays_of_json_are_arrays_of_the_database(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (i int[], s text[], d numeric(6,2)[], b bool[], r real[], day date[], j jsonb[])")
    texts = ["a,b", 'a"b', "a\\b", "NULL", "", "{}", " é ", None, "\n"]
    pg.send(
        {"i": [1, None, -3], "s": texts, "d": [1.25, 3], "b": [True, False], "r": [0.5], "day": ["2026-01-02"]},
        {"i": [], "s": [["a"], ["b"]], "b": None, "j": [{"a": [None, 'x"y']}, 1, "s", None]},
    )
    assert pg.sink().is_good
    assert pg.sql("SELECT i, s, d, b, r, day, j FROM t") == [
        (
            [1, None, -3], texts, [Decimal("1.25"), Decimal("3.00")], [True, False], [0.5],
            [datetime.date(2026, 1, 2)], None,
        ),
        ([], [["a"], ["b"]], None, None, None, None, [{"a": [None, 'x"y']}, 1, "s", None]),
    ]  # fmt: skip


def test_a_date_may_be_infinite(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (day date, at timestamp, z timestamptz)")
    pg.send(*({"day": word, "at": word, "z": word} for word in ("infinity", "-infinity")))
    assert pg.sink().is_good
    assert pg.sql("SELECT day::text, at::text, z::text FROM t") == [("infinity",) * 3, ("-infinity",) * 3]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("a int[]", {"a": [1, 1.5]}, "1.5 is no integer"),
        ("a int[]", {"a": [[1], [2, 3]]}, "malformed array literal"),
        ("a int[]", {"a": [[], []]}, "an array that is empty within another one"),
        ("a jsonb[]", {"a": [[1]]}, "an array within another one may be a JSON value, or a dimension"),
        ("a numeric(6,2)[]", {"a": [1.234]}, "more than the 2 digits behind the point"),
        ("a real[]", {"a": [52.512345]}, "52.512345 has more digits than 4 bytes keep"),
        ("a text[]", {"a": ["\0"]}, "the text holds U+0000"),
        ("b bool", {"b": [None, True, "é"]}, '[null, true, "é"] is no boolean'),
        ("i2 int2", {"i2": 32768}, "32768 has more than 16 bits"),
        ("i4 int4", {"i4": 2**31}, "2147483648 has more than 32 bits"),
        ("i8 int8", {"i8": 2**63}, "9223372036854775808 has more than 64 bits"),
        ("v varchar(3)", {"v": "abcd"}, "value too long for type character varying(3)"),
        ("at timestamptz", {"at": "the other evening"}, "invalid input syntax for type timestamp with time zone"),
        ("at timestamptz", {"at": 1700000000000}, "date/time field value out of range"),
        ("r real", {"r": 52.512345}, "52.512345 has more digits than 4 bytes keep"),
        ("d numeric(6,2)", {"d": 1.234}, "it has more than the 2 digits behind the point that the column keeps"),
        ("d numeric(6,2)", {"d": 12345.6}, "numeric field overflow"),
        ("day date", {"day": "2026-01-02T03:04:05"}, "'2026-01-02T03:04:05' is no date as in 2026-01-31"),
        ("at timestamp", {"at": "2026-01-02T03:04:05Z"}, "has a zone, and the column"),
        ("at timestamp", {"at": "2026-01-02 03:04:05+05:30"}, "has a zone, and the column"),
        ("at timestamp", {"at": "2026-01-02 03:04:05 Europe/Berlin"}, "has a zone, and the column"),
        ("u uuid", {"u": "x"}, 'invalid input syntax for type uuid: "x"'),
        ("s text", {"s": "a\0b"}, "the text holds U+0000, which this database can't hold"),
        ("j jsonb", {"j": {"a": "\0"}}, "the text holds U+0000, which this database can't hold"),
        ("b bool", {"b": 1}, "1 is no boolean"),
        ("n int NOT NULL", {}, 'null value in column "n" of relation "t" violates not-null constraint'),
        ("n int CHECK (n != 3)", {"n": 3}, 'new row for relation "t" violates check constraint "t_n_check"'),
        ("n int UNIQUE", {"n": 7}, 'duplicate key value violates unique constraint "t_n_key"'),
        ("n int REFERENCES o", {"n": 3}, 'insert or update on table "t" violates foreign key constraint "t_n_fkey"'),
        ("g int GENERATED ALWAYS AS (k * 2) STORED", {"g": 3}, "the column g of table t is a generated one"),
        ("g int GENERATED ALWAYS AS IDENTITY", {"g": 3}, "the column g of table t is a generated one"),
        ("n int", {"N": 3}, "the field N differs from the column n of table t only in case"),
        ("n int", {"x" * 64: 3}, "it has 64 bytes, and PostgreSQL cuts names off after 63"),
        ("n int", {"": 3}, "it is empty"),
    ],
)
def test_a_bad_row_is_found_and_its_neighbours_go_in(
    pg: PostgresLab, column: str, value: dict[str, object], reason: str
) -> None:
    pg.sql("CREATE TABLE o (n int PRIMARY KEY)")
    pg.sql(f"CREATE TABLE t (k int, {column})")
    good: dict[str, object] = {"n": 4} if "NOT NULL" in column else {}
    rows: list[object] = [{"k": number, **good} for number in range(700)]
    if "UNIQUE" in column:
        rows[5] = {"k": 5, **value}
    rows[650:650] = [{"k": -1, **value}]
    pg.send(*rows)
    report = pg.sink(errors="dead-letter")
    assert (report.messages, report.dead_letters) == (701, 1)
    assert pg.sql("SELECT count(*), count(DISTINCT k), min(k) FROM t") == [(700, 700, 0)]
    ((found, offset),) = pg.sql('SELECT reason, "offset" FROM _pykafka_dead_letters')
    assert reason in str(found)
    assert offset == 650


def test_many_bad_rows_are_found_each(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (n int CHECK (n % 10 != 3))")
    pg.send(*({"n": number} for number in range(1000)))
    assert pg.sink(errors="dead-letter").dead_letters == 100
    assert pg.sql("SELECT count(*) FROM t") == [(900,)]
    offsets = [offset for (offset,) in pg.sql('SELECT "offset" FROM _pykafka_dead_letters ORDER BY 1')]
    assert offsets == list(range(3, 1000, 10))


def test_stopping_at_a_refused_row_writes_what_came_before(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (n int CHECK (n != 70))")
    pg.send(*({"n": number} for number in range(100)))
    for _ in range(2):
        assert str(pg.sink().stopped).startswith('t-0@70: new row for relation "t" violates check constraint')
        assert pg.sql("SELECT count(*), max(n) FROM t") == [(70, 69)]
        assert pg.next_offset() == 70


def test_what_a_column_keeps_goes_in(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (r real, d numeric(6,2), day date, at timestamp)")
    pg.send({"r": 52.5, "d": "1.50", "day": "2026-01-02", "at": "2026-01-02T03:04:05.5"}, {"r": 0, "d": 1e2}, {"d": 7})
    assert pg.sink().is_good
    moment, day = datetime.datetime(2026, 1, 2, 3, 4, 5, 500_000), datetime.date(2026, 1, 2)
    assert pg.sql("SELECT r, d, day, at FROM t ORDER BY d") == [
        (52.5, Decimal("1.50"), day, moment), (None, Decimal(7), None, None), (0.0, Decimal(100), None, None),
    ]  # fmt: skip


def test_a_negative_zero_is_one_without_a_point_too(pg: PostgresLab) -> None:
    """Go and PostgreSQL write it so."""
    pg.sql("CREATE TABLE t (x double precision, i bigint)")
    pg.send(b'{"x": -0, "i": -0}', b'{"x": 0, "i": 0}', b'{"x": -0.0, "i": 7}')
    pg.send(b'{"x": -0}', topic="t", partition=1)
    assert pg.sink().is_good
    assert sorted(str(row) for row in pg.sql("SELECT x, i FROM t")) == [
        "(-0.0, 0)", "(-0.0, 7)", "(-0.0, None)", "(0.0, 0)",
    ]  # fmt: skip


def test_a_backslash_in_json_is_no_nul(pg: PostgresLab) -> None:
    pg.send({"j": {"a": "\\u0000"}}, {"j": ["\\\\u0000"]})
    assert pg.sink().is_good
    assert pg.sql("SELECT j FROM t") == [({"a": "\\u0000"},), (["\\\\u0000"],)]


@pytest.mark.parametrize(
    "name", ['a"b', "order", "a b", "a:b", "a%b", "%s", "%(x)s", "é", "x" * 63, "--", ";", "SELECT"]
)
def test_any_name_can_be_a_column_and_a_table(pg: PostgresLab, name: str) -> None:
    pg.send({"n": 1, name: "one"}, {"n": 2, name: "two"}, "no row")
    quoted = '"' + name.replace('"', '""') + '"'
    assert (
        pg.sink(table=name, pk=("n",), mode="upsert", errors="dead-letter", dead_letters=f"{name[:60]}_d").messages == 3
    )
    assert pg.sql(f"SELECT {quoted} FROM {quoted} ORDER BY n") == [("one",), ("two",)]


def test_columns_may_differ_in_case_only(pg: PostgresLab) -> None:
    """Where the table has both. None is made so."""
    pg.sql('CREATE TABLE t ("a" int, "A" text)')
    pg.send({"a": 1, "A": "one"}, {"A": "two"}, {"a": "two"})
    assert pg.sink(errors="dead-letter").dead_letters == 1
    assert pg.sql('SELECT "a", "A" FROM t') == [(1, "one"), (None, "two")]
    pg.send({"b": 1}, {"b": 2, "B": 3}, topic="t", partition=1)
    assert pg.sink(errors="dead-letter", alter=True).dead_letters == 1
    assert pg.sql("SELECT b FROM t WHERE b IS NOT NULL") == [(1,)]


def test_a_table_has_as_many_columns_as_the_database_allows(pg: PostgresLab) -> None:
    fields = {f"c{number}": number for number in range(1601)}
    fits = {"c0": 7, "c1599": 8}
    pg.send(fields, fits, {name: 2**40 for name in fields if name != "c1600"})
    assert pg.sink(errors="dead-letter").dead_letters == 2
    assert pg.sql("SELECT c0, c1599 FROM t") == [(7, 8)]
    reasons = [str(reason) for (reason,) in pg.sql('SELECT reason FROM _pykafka_dead_letters ORDER BY "offset"')]
    assert reasons[0] == "table t has 1600 columns, which is all it can have: c1600 is too many"
    assert "row is too big" in reasons[1]


@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_a_trigger_that_raises_refuses_one_row(pg: PostgresLab, mode: str) -> None:
    pg.sql("CREATE TABLE t (n int PRIMARY KEY, doubled int)")
    pg.sql(
        "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 70 THEN RAISE 'seventy is too "
        "many'; END IF; NEW.doubled = 2 * NEW.n; RETURN NEW; END $$"
    )
    pg.sql("CREATE TRIGGER act BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION act()")
    pg.send(*({"n": number} for number in range(200)))
    assert pg.sink(errors="dead-letter", mode=mode).dead_letters == 1
    assert pg.sql("SELECT count(*), sum(doubled) FROM t") == [(199, 2 * (sum(range(200)) - 70))]
    assert pg.sql("SELECT reason FROM _pykafka_dead_letters") == [("seventy is too many",)]


def test_each_mode_does_with_a_row_that_is_there_what_it_says(pg: PostgresLab) -> None:
    for mode in ("upsert", "ignore", "replace"):
        pg.cluster.admin().create_topic(mode)
        pg.send({"id": 1, "a": 1, "b": 1}, topic=mode)
        pg.sink(topic=mode, pk=("id",), mode=mode)
        pg.send({"id": 1, "a": 2}, {"id": 2, "a": 3}, {"id": 2, "b": 4}, topic=mode)
        assert pg.sink(topic=mode, pk=("id",), mode=mode).is_good
    assert pg.sql("SELECT id, a, b FROM upsert ORDER BY id") == [(1, 2, 1), (2, 3, 4)]
    assert pg.sql("SELECT id, a, b FROM ignore ORDER BY id") == [(1, 1, 1), (2, 3, None)]
    assert pg.sql("SELECT id, a, b FROM replace ORDER BY id") == [(1, 2, None), (2, None, 4)]


def test_deletions_and_upserts_of_a_key_are_done_in_their_order(pg: PostgresLab) -> None:
    a = b'{"v": 1, "w": 1}'
    pg.send(a, a, None, None, a, b'{"v": 2}', keys=[b"x", b"y", b"x", b"z", b"w", b"x"])
    assert pg.sink(pk=("key",), mode="upsert", delete=True).is_good
    pg.send(b'{"w": 5}', None, b'{"v": 6}', None, keys=[b"y", b"x", b"x", b"w"])
    assert pg.sink(pk=("key",), mode="upsert", delete=True).is_good
    assert pg.sql("SELECT key, v, w FROM t ORDER BY key") == [("x", 6, None), ("y", 1, 5)]


def test_defaults_are_honoured_where_a_field_is_missing(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (id serial PRIMARY KEY, n int, s text DEFAULT 'none')")
    pg.send({"n": 1}, {"n": 2, "s": None}, {"n": 3, "s": "x"}, {})
    assert pg.sink().is_good
    assert pg.sql("SELECT id, n, s FROM t ORDER BY id") == [
        (1, 1, "none"), (2, 2, None), (3, 3, "x"), (4, None, "none"),
    ]  # fmt: skip


def test_raw_takes_whatever_there_is(pg: PostgresLab) -> None:
    pg.send(b"no json", b"\xfe\x00", None, b"\\x41", keys=[b"\xff", None, b"k", b"{"])
    assert pg.sink(raw=True).is_good
    assert pg.sql("SELECT key, value FROM t") == [
        (b"\xff", b"no json"), (None, b"\xfe\x00"), (b"k", None), (b"{", b"\\x41"),
    ]  # fmt: skip


def test_a_view_is_no_table_and_a_partitioned_table_is_one(pg: PostgresLab) -> None:
    pg.sql("CREATE VIEW t AS SELECT 1 AS n")
    pg.send({"n": 1}, {"n": 11})
    with pytest.raises(DatabaseError, match="t is a view or the like and no table"):
        pg.sink()
    pg.sql("CREATE TABLE p (n bigint PRIMARY KEY) PARTITION BY RANGE (n)")
    pg.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    assert pg.sink(table="p", mode="upsert", errors="dead-letter").dead_letters == 1
    assert pg.sql("SELECT n FROM p") == [(1,)]


def test_alter_adds_columns(pg: PostgresLab) -> None:
    pg.send({"n": 1})
    pg.sink()
    pg.send({"n": 2, "m": {"a": 1}})
    assert "Try using --alter" in str(pg.sink().stopped)
    assert pg.sink(alter=True).is_good
    assert pg.sql("SELECT n, m FROM t ORDER BY n") == [(1, None), (2, {"a": 1})]


# ------------------------------------------------------------------------------------------- a server that goes away


class Unlucky(PostgresTarget):
    """Something happens to the server when the first rows are written: before, or when all but COMMIT is done."""

    def __init__(self, address: str, happens: object) -> None:
        super().__init__(address)
        self.happens = happens

    def write(
        self, group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
    ) -> None:
        happens, self.happens = self.happens, None
        if callable(happens):
            happens()
        super().write(group, tables, moves, dead_letters)


def test_a_server_that_is_stopped_is_waited_for(pg: PostgresLab, server: Server) -> None:
    """Stopped before a batch, started when the sink says that it waits: one line for each."""
    pg.send(*({"n": number} for number in range(100)))
    target = Unlucky(pg.database, server.stop)

    def notice(text: str) -> None:
        pg.notices.append(text)
        if "waiting" in text:
            server.start()

    report = Sink(pg.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True), on_notice=notice).run()
    target.close()
    assert report.messages == 100
    assert pg.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(100, 100)]
    assert len(pg.notices) == 2
    assert pg.notices[0].endswith(": waiting for it")
    assert " is back after " in pg.notices[1]


def test_a_crash_of_the_server_is_waited_for(pg: PostgresLab, server: Server) -> None:
    pg.send(*({"n": number} for number in range(100)))

    def crash() -> None:
        server.stop("immediate")
        server.start()

    target = Unlucky(pg.database, crash)
    Sink(pg.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True), on_notice=pg.notices.append).run()
    target.close()
    assert pg.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(100, 100)]
    assert len(pg.notices) == 2


def test_a_commit_whose_answer_is_lost_is_not_guessed_at(pg: PostgresLab) -> None:
    """It was done, and the sink learns that it was not: nothing is written twice."""
    pg.send(*({"n": number} for number in range(100)))

    class Lost(PostgresTarget):
        lost = False

        def write(
            self, group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
        ) -> None:
            super().write(group, tables, moves, dead_letters)
            if not self.lost:
                self.lost = True
                self.close()
                from pykafka_store.databases.errors import DatabaseUnavailableError

                raise DatabaseUnavailableError("the connection was lost")

    target = Lost(pg.database)
    Sink(pg.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True), on_notice=pg.notices.append).run()
    target.close()
    assert pg.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(100, 100)]
    assert pg.next_offset() == 100


def test_a_database_that_is_read_only_is_waited_for_as_long_as_it_is_told(pg: PostgresLab) -> None:
    pg.send({"n": 1})
    pg.sink()
    pg.send({"n": 2})
    with psycopg.connect(pg.database, autocommit=True) as connection:
        (name,) = connection.execute("SELECT current_database()").fetchone() or ("",)
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(DatabaseError, match="read-only transaction: gave up after"):
            pg.sink(retry=0.1)
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    assert pg.sink().messages == 1


@pytest.mark.parametrize(("database", "reason"), [("nowhere", 'database "nowhere" does not exist')])
def test_what_waiting_does_not_mend_is_an_error_at_once(
    pg: PostgresLab, server: Server, database: str, reason: str
) -> None:
    pg.database = server.address(database)
    with pytest.raises(DatabaseError, match=reason):
        pg.sink()


def test_a_user_who_may_not_make_tables_is_told(pg: PostgresLab, server: Server) -> None:
    pg.sql("DROP ROLE IF EXISTS clerk")
    pg.sql("CREATE ROLE clerk LOGIN")
    pg.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    pg.send({"n": 1})
    owner, pg.database = pg.database, pg.database.replace("user=postgres", "user=clerk")
    with pytest.raises(DatabaseError, match="permission denied for schema public"):
        pg.sink()
    clerk, pg.database = pg.database, owner
    target = pg.target()
    target.prepare(None)
    target.close()
    pg.sql("CREATE TABLE t (n int)")
    pg.sql("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO clerk")
    pg.database = clerk
    assert pg.sink().is_good  # all tables are there, and it may write them
    pg.database = owner
    pg.sql("DROP OWNED BY clerk")
    pg.sql("DROP ROLE clerk")


def test_two_sinks_can_make_the_tables_at_the_same_time(pg: PostgresLab) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def make(_number: int) -> None:
        target = pg.target()
        target.prepare("dead")
        target.create_table("t", {"n": Kind.INTEGER}, ("n",), ("m",))
        target.add_columns("t", {"k": Kind.TEXT})
        target.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    assert [row for (row,) in pg.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 't'")] == [
        "n",
        "k",
    ]


def test_messages_do_not_tell_the_password(pg: PostgresLab) -> None:
    target = PostgresTarget("postgresql://anna:secret@127.0.0.1:1/shop")
    with pytest.raises(DatabaseError) as caught:
        target.prepare(None)
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("postgresql://127.0.0.1/shop: can't make the sink's tables: ")
    with pytest.raises(DatabaseError, match="the database's address makes no sense"):
        PostgresTarget("postgresql://host/db?colour=red")


def test_json_goes_in_as_it_came(pg: PostgresLab) -> None:
    pg.send({"j": {"n": 10**30, "x": 1.5e10, "s": "\ud83d\udeb2é", "nested": [[], {}, None, True]}})
    assert pg.sink().is_good
    ((found,),) = pg.sql("SELECT j::text FROM t")
    assert json.loads(str(found)) == {"n": 10**30, "x": 1.5e10, "s": "\U0001f6b2é", "nested": [[], {}, None, True]}


def test_indexes_are_made_once_and_full_text_search_is_refused(pg: PostgresLab) -> None:
    pg.send({"a": 1, "b" * 60: 2})
    for _ in range(2):
        assert pg.sink(indexes=("a", "b" * 60)).is_good
    names = [name for (name,) in pg.sql("SELECT indexname FROM pg_indexes WHERE tablename = 't' ORDER BY 1")]
    assert len(names) == 2
    assert "idx_t_a" in names
    pg.send({"a": 3})
    with pytest.raises(DatabaseError, match="--fts a of table t is SQLite's"):
        pg.sink(fts=("a",))


# ------------------------------------------------------------------------------------------------ the bytes of COPY


@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_a_column_that_changes_its_type_under_way_is_not_filled_with_other_bytes(pg: PostgresLab, mode: str) -> None:
    """Eight bytes of an integer are some double, too: so they are sent as bytes only while the type can't change."""
    pg.sql("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
    pg.send({"id": 1, "n": 7})
    target = Unlucky(pg.database, lambda: pg.sql("ALTER TABLE t ALTER n TYPE double precision"))
    Sink(pg.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True, mode=mode, pk=("id",))).run()  # type: ignore[arg-type]
    target.close()
    assert pg.sql("SELECT id, n FROM t") == [(1, 7.0)]


@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_rows_are_the_same_in_either_form_of_copy(pg: PostgresLab, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """One of the tables has a column that can only be sent as text, so that all of its others are."""
    forms = []
    copy = psycopg.Cursor.copy

    def recorded(self: psycopg.Cursor[object], statement: str) -> object:
        forms.append("bytes" if "BINARY" in statement else "text")
        return copy(self, statement)

    monkeypatch.setattr(psycopg.Cursor, "copy", recorded)
    row: dict[str, object] = {
        "id": 0, "i8": -(2**63), "i4": 2**31 - 1, "i2": -1, "x": -0.0, "y": 1.5, "b": False, "v": "", "z": "\\x00",
        "s": "\\N\t\n\\.é\U0001f40d", "j": {"a": "\\u0000"}, "k": [1.5, None, "é"],
    }  # fmt: skip
    pg.send(row, dict.fromkeys(row) | {"id": 1}, row | {"id": 2, "x": 5e-324, "y": -0.0, "s": "", "j": "text"})
    columns = (
        "id bigint PRIMARY KEY, i8 bigint, i4 integer, i2 smallint, x double precision, y real, b boolean, s text, "
        "v varchar(3), j jsonb, k json, z bytea"
    )
    pg.sql(f"CREATE TABLE as_bytes ({columns})")
    pg.sql(f"CREATE TABLE as_text ({columns}, n numeric)")
    assert pg.sink(group="b", table="as_bytes", mode=mode, pk=("id",)).is_good

    def with_n(run: Records) -> Iterator[dict[str, object]]:
        return (json.loads(value or b"") | {"n": 1} for value in run.values)

    assert pg.sink(group="t", table="as_text", mode=mode, pk=("id",), convert=with_n).is_good
    shown = f"SELECT {', '.join(name if name != 'k' else 'k::text' for name in row)} FROM %s ORDER BY id"
    assert pg.sql(shown % "as_bytes") == pg.sql(shown % "as_text")
    assert pg.sql("SELECT s, z, i8, j FROM as_bytes WHERE id = 0") == [(row["s"], b"\\x00", row["i8"], row["j"])]
    assert forms == ["bytes", "text"]


def test_an_array_of_a_type_with_a_length_is_no_such_text(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (a varchar(10)[], b text)")
    pg.send({"a": "{x,y}", "b": "1"})
    assert pg.sink().is_good
    assert pg.sql("SELECT a, b FROM t") == [(["x", "y"], "1")]


def test_a_user_who_may_fill_some_columns_only_fills_them(pg: PostgresLab) -> None:
    """COPY asks for the rights of columns, and LOCK TABLE for those of the table."""
    target = pg.target()
    target.prepare(None)  # the tables of ours
    target.close()
    pg.sql("DROP ROLE IF EXISTS filler")
    pg.sql("CREATE ROLE filler LOGIN")
    pg.sql("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO filler")
    pg.sql("CREATE TABLE t (i int, v text, secret text)")
    pg.sql("GRANT INSERT (i, v) ON t TO filler")
    pg.send({"i": 1, "v": "a"})
    owner, pg.database = pg.database, pg.database.replace("user=postgres", "user=filler")
    try:
        assert pg.sink().is_good
    finally:
        pg.database = owner
        pg.sql("DROP OWNED BY filler")
        pg.sql("DROP ROLE filler")
    assert pg.sql("SELECT i, v, secret FROM t") == [(1, "a", None)]


def test_a_table_of_a_schema_is_not_made_as_one_with_a_point_in_its_name(pg: PostgresLab) -> None:
    pg.sql("CREATE SCHEMA shop")
    pg.sql("CREATE TABLE shop.orders (n int)")
    pg.send({"n": 1})
    with pytest.raises(DatabaseError, match="options=-csearch_path=shop"):
        pg.sink(table="shop.orders")
    assert pg.sink(table="un.known").is_good
    assert pg.sql('SELECT n FROM "un.known"') == [(1,)]
