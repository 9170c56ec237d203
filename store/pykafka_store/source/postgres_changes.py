"""The changes of a table of PostgreSQL, by triggers.

A trigger puts each change into a table of the source's, in the transaction of the change itself, with the row as JSON
as it is then; a deletion with its key alone, a TRUNCATE with all keys. Rows that are there when the triggers are made
are put in with them: the table's writers are waited for, and wait, as long as that takes.

**In which order, and none missed.** Changes have numbers (``seq``) in the order in which they are made, but become
visible when their transactions commit, in another one. So nothing here is read "behind the last number": all that is
visible and was not taken yet is taken, ordered by number, and what becomes visible later comes later. Changes of one
row stay in their order: whoever changes a row, or puts one in where a key was deleted, waits for the transaction that
did so before, and gets its number after that. (The order of transactions' own numbers would be wrong there: the later
change may be of the older transaction.)

What was taken stands in the source's row, in the order of the positions that it was given, committed before anything
is sent: a source that was killed gives it again, the same. It is deleted once it is in the topic for good.

The triggers make JSON of the row as it is, and name none of its columns but the key's and those that need another
form than ``to_json``'s, by their names as text: no change of the table's columns makes a writer fail. They fire for
appliers of replication too (ENABLE ALWAYS), and write as the source's user, so that others need no rights.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pykafka_store.databases.postgres import SCHEMA_LOCK, quoted
from pykafka_store.source.feed import (
    CHANGES_TABLE,
    SOURCES_TABLE,
    Change,
    Look,
    PlainFeed,
    Seen,
    SourceError,
    check_forgotten,
    check_same_table,
    left_over,
    triggers_gone,
)
from pykafka_store.source.postgres_feeds import PostgresFeed
from pykafka_store.source.postgres_tables import Table, key_of, read_table, value_of

if TYPE_CHECKING:
    import psycopg

LOCK_TIMEOUT = "5s"
"""How long the table's writers may keep the source, and it them, from its lock; then it tries again."""

_SOURCES = f"""
CREATE TABLE IF NOT EXISTS {SOURCES_TABLE} (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cluster text NOT NULL, topic text NOT NULL,
    topic_id text NOT NULL, name text NOT NULL, identity text NOT NULL, "table" text NOT NULL, "key" text NOT NULL,
    forms text NOT NULL, forgotten bigint NOT NULL, base bigint NOT NULL, taken bigint[] NOT NULL,
    UNIQUE (cluster, topic, name)
)
"""


class PostgresChanges(PostgresFeed, PlainFeed):
    """See :class:`pykafka_store.source.feed.Feed`."""

    forgets = True

    def __init__(self, address: str, table: str, key: Sequence[str] = ()) -> None:
        super().__init__(address)
        self._given = table
        self._key = tuple(key)
        self._number = 0
        self._forms = ""
        self._forgotten = -1

    # -------------------------------------------------------------------------------------------------- the triggers

    def _checked(self, connection: psycopg.Connection[Any]) -> Table:
        table = read_table(self.session, connection, self._given)
        self._key = self._key or tuple(table.pk)
        if not self._key:
            raise SourceError(f"{table.label} has no primary key: name with --key the columns of a unique index")
        if frozenset(self._key) not in table.unique or not set(self._key) <= set(table.types):
            raise SourceError(
                f"{table.label} has no primary key and no unique index over {', '.join(self._key)}: two rows would be "
                "one key"
            )
        return table

    def prepare(self, place: Sequence[str], *, from_latest: bool) -> Sequence[str]:
        """See :meth:`pykafka_store.source.feed.Feed.prepare`."""
        cluster, topic, topic_id, name = place
        with self.session.transaction("make the triggers") as connection:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            table = self._checked(connection)
            connection.execute(_SOURCES)
            found = connection.execute(
                f'SELECT number, topic_id, "table", "key", forms, forgotten, identity FROM {SOURCES_TABLE} '
                "WHERE cluster = %s AND topic = %s AND name = %s",
                (cluster, topic, name),
            ).fetchone()
            if found is not None and found[1] != topic_id:
                _remove(connection, found[0], found[2])
                found = None
            if found is None:
                self._install(connection, table, place, with_rows=not from_latest)
                return ()
            self._number, _, there, key, self._forms, self._forgotten, self.identity = found
            check_same_table(self.name, name, topic, (there, key), (table.name, self._key))
            self._reform(connection, table)
        return ()

    def _install(
        self, connection: psycopg.Connection[Any], table: Table, place: Sequence[str], *, with_rows: bool
    ) -> None:
        self.identity, self._forgotten, self._forms = str(uuid.uuid4()), -1, _forms(table, self._key)
        row = connection.execute(
            f'INSERT INTO {SOURCES_TABLE} (cluster, topic, topic_id, name, identity, "table", "key", forms, forgotten, '
            "base, taken) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, -1, 0, '{}') RETURNING number",
            (*place, self.identity, table.name, json.dumps(self._key), self._forms),
        ).fetchone()
        assert row is not None
        self._number = row[0]
        # Nobody may write between the triggers and the copy of the rows.
        connection.execute(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
        changes = f"{CHANGES_TABLE}{self._number}"
        if connection.execute("SELECT to_regclass(%s)::oid", (changes,)).fetchone() != (None,):
            raise left_over(self.name, changes)
        connection.execute(
            f"CREATE TABLE {changes} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, "
            "content text)"
        )
        self._make_function(connection, table)
        trigger = quoted(f"{changes}_row")
        connection.execute(
            f"CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table.name} FOR EACH ROW "
            f"EXECUTE FUNCTION {changes}_capture()"
        )
        connection.execute(
            f"CREATE TRIGGER {quoted(f'{changes}_all')} BEFORE TRUNCATE ON {table.name} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION {changes}_capture()"
        )
        for name in (f"{changes}_row", f"{changes}_all"):
            connection.execute(f"ALTER TABLE {table.name} ENABLE ALWAYS TRIGGER {quoted(name)}")
        if with_rows:
            order = ", ".join(f"t.{quoted(column)}" for column in self._key)
            connection.execute(
                f"INSERT INTO {changes} (key, content) SELECT {key_of(table.types, self._key, 't')}, "
                f"{value_of(table.types, 't')} FROM {table.name} t ORDER BY {order}"
            )

    def _make_function(self, connection: psycopg.Connection[Any], table: Table) -> None:
        changes = f"{CHANGES_TABLE}{self._number}"
        (schema,) = connection.execute(
            "SELECT nspname::text FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid "
            "WHERE c.oid = to_regclass(%s)",
            (changes,),
        ).fetchone() or ("",)
        into = f"{quoted(schema)}.{changes}"
        key = {row: key_of(table.types, self._key, row) for row in ("OLD", "NEW", "t")}
        body = f"""
            BEGIN
                IF TG_OP = 'TRUNCATE' THEN
                    INSERT INTO {into} (key) SELECT {key["t"]} FROM {table.name} t;
                    RETURN NULL;
                END IF;
                IF TG_OP = 'DELETE' THEN
                    INSERT INTO {into} (key) VALUES ({key["OLD"]});
                    RETURN NULL;
                END IF;
                IF TG_OP = 'UPDATE' AND {key["OLD"]} IS DISTINCT FROM {key["NEW"]} THEN
                    INSERT INTO {into} (key) VALUES ({key["OLD"]});
                END IF;
                INSERT INTO {into} (key, content) VALUES ({key["NEW"]}, {_row_of(connection, table)});
                RETURN NULL;
            END
        """
        connection.execute(
            f"CREATE OR REPLACE FUNCTION {quoted(schema)}.{changes}_capture() RETURNS trigger LANGUAGE plpgsql "
            "SECURITY DEFINER SET search_path = pg_catalog SET TimeZone = 'UTC' SET extra_float_digits = 1 "
            f"SET bytea_output = 'hex' SET IntervalStyle = 'postgres' SET DateStyle = 'ISO' AS {_dollars(body)}"
        )

    def _reform(self, connection: psycopg.Connection[Any], table: Table) -> None:
        """Make the function anew where other columns need another form by now. Raises SourceError where the triggers
        are gone or switched off, as with a table that was dropped and made again.
        """
        changes = f"{CHANGES_TABLE}{self._number}"
        (there,) = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s AND tgname = ANY(%s) AND tgenabled <> 'D'",
            (table.oid, [f"{changes}_row", f"{changes}_all"]),
        ).fetchone() or (0,)
        if there < 2:
            raise triggers_gone(table.label)
        forms = _forms(table, self._key)
        if forms != self._forms:
            self._forms = forms
            self._make_function(connection, table)
            connection.execute(f"UPDATE {SOURCES_TABLE} SET forms = %s WHERE number = %s", (forms, self._number))

    # -------------------------------------------------------------------------------------------------- the changes

    def check(self, seen: Seen) -> int | None:
        """See :meth:`pykafka_store.source.feed.Feed.check`."""
        check_forgotten(self.name, self._forgotten, seen)
        return None

    def look(self, after: int, most: int) -> Look:
        """See :meth:`pykafka_store.source.feed.Feed.look`."""
        changes = f"{CHANGES_TABLE}{self._number}"
        with self.session.transaction("read changes") as connection:
            self._reform(connection, self._checked(connection))
            base, taken = self._state(connection)
            is_all = False
            if base + len(taken) <= after + 1:
                # All that was taken is in the topic, and only the word that it is, is missing.
                more = connection.execute(f"SELECT seq FROM {changes} ORDER BY seq LIMIT %s", (most + len(taken),))
                old = set(taken)
                new = [seq for (seq,) in more if seq not in old][:most]
                is_all = len(new) < most
                if not new:
                    return Look((), is_all)
                taken += new
                connection.execute(f"UPDATE {SOURCES_TABLE} SET taken = %s WHERE number = %s", (taken, self._number))
            wanted = taken[after + 1 - base :][:most]
        # Committed: from now on these have their positions.
        with self.session.transaction("read changes") as connection:
            rows = connection.execute(f"SELECT seq, key, content FROM {changes} WHERE seq = ANY(%s)", (wanted,))
            found = {seq: (key, content) for seq, key, content in rows}
        given = []
        for position, seq in enumerate(wanted, after + 1):
            if seq not in found:
                raise SourceError(f"{self.name}: change {seq} was taken, and is gone from {changes}")
            key, content = found[seq]
            given.append(Change(position, key.encode(), None if content is None else content.encode()))
        return Look(given, is_all)

    def _state(self, connection: psycopg.Connection[Any]) -> tuple[int, list[int]]:
        row = connection.execute(
            f"SELECT base, taken FROM {SOURCES_TABLE} WHERE number = %s FOR UPDATE", (self._number,)
        ).fetchone()
        if row is None:
            raise SourceError(f"{self.name}: this source was removed while it ran")
        return row[0], row[1]

    def forget(self, position: int) -> None:
        """See :meth:`pykafka_store.source.feed.Feed.forget`."""
        with self.session.transaction("delete changes that are in the topic") as connection:
            base, taken = self._state(connection)
            gone = taken[: max(0, position + 1 - base)]
            connection.execute(f"DELETE FROM {CHANGES_TABLE}{self._number} WHERE seq = ANY(%s)", (gone,))
            connection.execute(
                f"UPDATE {SOURCES_TABLE} SET base = %s, taken = %s, forgotten = %s WHERE number = %s",
                (base + len(gone), taken[len(gone) :], position, self._number),
            )
        self._forgotten = position


def remove_postgres_source(address: str, cluster: str, topic: str, name: str) -> bool:
    """Take a source's triggers and its changes out of a database; whether there were any."""
    feed = PostgresFeed(address)
    try:
        with feed.session.transaction("remove the triggers") as connection:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            if connection.execute("SELECT to_regclass(%s)::oid", (SOURCES_TABLE,)).fetchone() == (None,):
                return False
            found = connection.execute(
                f'SELECT number, "table" FROM {SOURCES_TABLE} WHERE cluster = %s AND topic = %s AND name = %s',
                (cluster, topic, name),
            ).fetchone()
            if found is not None:
                _remove(connection, *found)
            return found is not None
    finally:
        feed.close()


def _remove(connection: psycopg.Connection[Any], number: int, table: str) -> None:
    changes = f"{CHANGES_TABLE}{number}"
    if connection.execute("SELECT to_regclass(%s)::oid", (table,)).fetchone() != (None,):
        for name in (f"{changes}_row", f"{changes}_all"):
            connection.execute(f"DROP TRIGGER IF EXISTS {quoted(name)} ON {table}")
    connection.execute(f"DROP FUNCTION IF EXISTS {changes}_capture()")
    connection.execute(f"DROP TABLE IF EXISTS {changes}")
    connection.execute(f"DELETE FROM {SOURCES_TABLE} WHERE number = %s", (number,))


def _forms(table: Table, key: Sequence[str]) -> str:
    """What the function is made by, as a text."""
    special = {column: base for column, base in table.types.items() if base in {"numeric", "bytea"}}
    return json.dumps([special, list(table.generated), [(column, table.types[column]) for column in key]])


def _row_of(connection: psycopg.Connection[Any], table: Table) -> str:
    """An expression for NEW as JSON that fails for no change of the table's columns."""
    numbers = [column for column, base in table.types.items() if base == "numeric"]
    binary = [column for column, base in table.types.items() if base == "bytea"]
    if not (numbers or binary or table.generated):
        return "row_to_json(NEW)::text"
    from psycopg import sql

    def among(names: Sequence[str]) -> str:
        return sql.Literal(list(names)).as_string(connection) + "::text[]"

    text = "value #>> '{}'"
    return (
        f"(SELECT json_object_agg(key, CASE WHEN key = ANY({among(numbers)}) THEN to_json({text}) "
        f"WHEN key = ANY({among(binary)}) THEN "
        f"to_json(translate(encode(decode(substr({text}, 3), 'hex'), 'base64'), E'\\n', '')) ELSE value END) "
        f"FROM json_each(row_to_json(NEW)) WHERE key <> ALL({among(table.generated)}))::text"
    )


def _dollars(body: str) -> str:
    """A function's body as a string that nothing in it ends."""
    tag = "$pykafka$"
    while tag in body:
        tag = f"$pykafka{uuid.uuid4().hex[:8]}$"
    return f"{tag}{body}{tag}"
