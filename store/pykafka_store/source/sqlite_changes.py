"""The changes of a table of SQLite, by triggers.

A trigger puts each change into a table of the source's, in the transaction of the change itself, with the row as it is
then; a deletion with its key alone. Rows that are there when the triggers are made are put in with them, in one
transaction. They are read in the order of their numbers, which is that of the commits, for a file has one writer at a
time, and are deleted once they are in the topic for good. The numbers are AUTOINCREMENT: none comes twice.

The table of changes holds values as SQLite does, so no trigger of ours refuses what the user's table takes. Each row
says of which ``shape`` it is, that is by which columns the triggers were made: they are made anew when those change.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence

from pykafka_store.databases.sqlite import quoted
from pykafka_store.source.encoding import RowEncoder
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
from pykafka_store.source.sqlite_tables import SqliteFeed, read_table

_SOURCES = f"""
CREATE TABLE IF NOT EXISTS {SOURCES_TABLE} (
    number INTEGER PRIMARY KEY AUTOINCREMENT, cluster TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL,
    topic_id TEXT NOT NULL, identity TEXT NOT NULL, "table" TEXT NOT NULL, "key" TEXT NOT NULL, shapes TEXT NOT NULL,
    forgotten INTEGER NOT NULL, UNIQUE (cluster, topic, name)
)
"""

_PREFIX = "v_"
"""What the columns of changes begin with: the user's may have any names."""


class SqliteChanges(SqliteFeed, PlainFeed):
    """See :class:`pykafka_store.source.feed.Feed`."""

    forgets = True
    prefix = _PREFIX

    def __init__(self, path: str, table: str, key: Sequence[str] = ()) -> None:
        super().__init__(path)
        self._table = read_table(self.file, table)
        self._key = tuple(key or self._table.pk)
        self._number = 0
        self._shapes: list[list[str]] = []
        self._encoders: dict[int, RowEncoder] = {}
        self._version = -1
        self._forgotten = -1
        self._check_key()

    def _check_key(self) -> None:
        table = self._table
        label = f"{self.name}: {table.name}"
        if not self._key:
            raise SourceError(f"{label} has no primary key: name with --key the columns of a unique index")
        if frozenset(self._key) not in table.unique or not set(self._key) <= set(table.columns):
            raise SourceError(
                f"{label} has no primary key and no unique index over {', '.join(self._key)}: two rows would be one key"
            )

    # -------------------------------------------------------------------------------------------------- the triggers

    def prepare(self, place: Sequence[str], *, from_latest: bool) -> Sequence[str]:
        """See :meth:`pykafka_store.source.feed.Feed.prepare`."""
        cluster, topic, topic_id, name = place
        said = []
        with self.file.transaction("make the triggers") as connection:
            connection.execute(_SOURCES)
            found = connection.execute(
                f'SELECT number, topic_id, "table", "key", shapes, forgotten, identity FROM {SOURCES_TABLE} '
                "WHERE cluster = ? AND topic = ? AND name = ?",
                (cluster, topic, name),
            ).fetchone()
            if found is not None and found[1] != topic_id:
                _remove(connection, found[0])
                found = None
            if found is None:
                self._install(connection, place, with_rows=not from_latest)
                others = [each for each in self._table.unique if each != frozenset(self._key)]
                if others:
                    said.append(
                        f"{self._table.name} has other unique columns ({', '.join(sorted(others[0]))}): a program that "
                        "uses INSERT OR REPLACE without PRAGMA recursive_triggers deletes such rows unseen"
                    )
            else:
                self._number, _, table, key, shapes, self._forgotten, self.identity = found
                check_same_table(self.name, name, topic, (table.lower(), key), (self._table.name.lower(), self._key))
                self._shapes = json.loads(shapes)
                self._reshape(connection)
        self._version = self.schema_version()
        return said

    def _install(self, connection: sqlite3.Connection, place: Sequence[str], *, with_rows: bool) -> None:
        table = self._table
        self._shapes = [list(table.columns)]
        self.identity, self._forgotten = str(uuid.uuid4()), -1
        row = connection.execute(
            f'INSERT INTO {SOURCES_TABLE} (cluster, topic, topic_id, name, identity, "table", "key", shapes, '
            "forgotten) VALUES (?, ?, ?, ?, ?, ?, ?, ?, -1) RETURNING number",
            (*place, self.identity, table.name, json.dumps(self._key), json.dumps(self._shapes)),
        ).fetchone()
        self._number = row[0]
        columns = ", ".join(quoted(_PREFIX + column) for column in table.columns)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (self._changes,)).fetchone() is not None:
            raise left_over(self.name, self._changes)
        # No types: what a column holds is what it held in the user's table.
        connection.execute(
            f"CREATE TABLE {self._changes} (seq INTEGER PRIMARY KEY AUTOINCREMENT, shape INTEGER, {columns})"
        )
        self._make_triggers(connection)
        if with_rows:
            # In their order, where they have one.
            order = " ORDER BY " + ", ".join(map(quoted, table.pk)) if table.pk else ""
            connection.execute(
                f"INSERT INTO {self._changes} (shape, {columns}) "
                f"SELECT 0, {', '.join(map(quoted, table.columns))} FROM {quoted(table.name)}{order}"
            )

    @property
    def _changes(self) -> str:
        return f"{CHANGES_TABLE}{self._number}"

    def _make_triggers(self, connection: sqlite3.Connection) -> None:
        """Those of the newest shape."""
        table, shape = self._table, len(self._shapes) - 1
        into = ", ".join(quoted(_PREFIX + column) for column in table.columns)
        new = ", ".join(f"NEW.{quoted(column)}" for column in table.columns)
        key_into = ", ".join(quoted(_PREFIX + column) for column in self._key)
        old_key = ", ".join(f"OLD.{quoted(column)}" for column in self._key)
        # As the topic has keys: one that only a column's NOCASE takes for the same is another one there.
        moved = " OR ".join(f"OLD.{quoted(column)} COLLATE BINARY IS NOT NEW.{quoted(column)}" for column in self._key)
        gone = f"INSERT INTO {self._changes} (shape, {key_into}) SELECT -1, {old_key}"
        here = f"INSERT INTO {self._changes} (shape, {into}) VALUES ({shape}, {new})"
        bodies = {"INSERT": f"{here};", "UPDATE": f"{gone} WHERE {moved}; {here};", "DELETE": f"{gone};"}
        for event, body in bodies.items():
            name = f"{self._changes}_{event.lower()}"
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            connection.execute(f"CREATE TRIGGER {name} AFTER {event} ON {quoted(table.name)} BEGIN {body} END")

    def _reshape(self, connection: sqlite3.Connection) -> None:
        """Make the triggers anew where the table's columns are others than they were made by. Raises SourceError where
        they are gone, as with a table that was dropped and made again.
        """
        triggers = connection.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        there = {name for name, table in triggers if table.lower() == self._table.name.lower()}
        if not there.issuperset(f"{self._changes}_{event}" for event in ("insert", "update", "delete")):
            raise triggers_gone(f"{self.name}: {self._table.name}")
        if self._shapes[-1] == list(self._table.columns):
            return
        columns = {str(row[1]).lower() for row in connection.execute(f"PRAGMA table_xinfo({self._changes})")}
        for column in self._table.columns:
            if (_PREFIX + column).lower() not in columns:
                connection.execute(f"ALTER TABLE {self._changes} ADD COLUMN {quoted(_PREFIX + column)}")
        self._shapes.append(list(self._table.columns))
        self._encoders.clear()
        self._make_triggers(connection)
        connection.execute(
            f"UPDATE {SOURCES_TABLE} SET shapes = ? WHERE number = ?", (json.dumps(self._shapes), self._number)
        )

    # -------------------------------------------------------------------------------------------------- the changes

    def check(self, seen: Seen) -> int | None:
        """See :meth:`pykafka_store.source.feed.Feed.check`."""
        check_forgotten(self.name, self._forgotten, seen)
        return None

    def look(self, after: int, most: int) -> Look:
        """See :meth:`pykafka_store.source.feed.Feed.look`."""
        if self.schema_version() != self._version:
            with self.file.transaction("make the triggers anew") as connection:
                self._table = read_table(self.file, self._table.name)
                self._check_key()
                self._reshape(connection)
            self._version = self.schema_version()
        names = list(dict.fromkeys(column for shape in self._shapes for column in shape))
        columns = ", ".join(quoted(_PREFIX + column) for column in names)
        rows = self.ask(
            "read changes",
            f"SELECT seq, shape, {columns} FROM {self._changes} WHERE seq > ? ORDER BY seq LIMIT ?",
            after,
            most,
        )
        places = {name: at for at, name in enumerate(names, 2)}
        key_at = [places[name] for name in self._key]
        keys = RowEncoder(f"{self.name}: {self._table.name}", self._key, set(self._key) & set(self._table.binary))
        shape_at = {shape: [places[name] for name in columns] for shape, columns in enumerate(self._shapes)}
        changes = []
        for row in rows:
            seq, shape = row[:2]
            assert isinstance(seq, int)
            assert isinstance(shape, int)
            key = keys.key([row[at] for at in key_at], self._key, as_object=True)
            value = None if shape < 0 else self._encoder(shape).value([row[at] for at in shape_at[shape]])
            changes.append(Change(seq, key, value))
        return Look(changes, len(rows) < most)

    def _encoder(self, shape: int) -> RowEncoder:
        if shape not in self._encoders:
            table, columns = self._table, self._shapes[shape]
            binary = set(columns) & set(table.binary)
            self._encoders[shape] = RowEncoder(f"{self.name}: {table.name}", columns, binary)
        return self._encoders[shape]

    def forget(self, position: int) -> None:
        """See :meth:`pykafka_store.source.feed.Feed.forget`."""
        with self.file.transaction("delete changes that are in the topic") as connection:
            connection.execute(f"DELETE FROM {self._changes} WHERE seq <= ?", (position,))
            connection.execute(f"UPDATE {SOURCES_TABLE} SET forgotten = ? WHERE number = ?", (position, self._number))


def remove_sqlite_source(path: str, cluster: str, topic: str, name: str) -> bool:
    """Take a source's triggers and its changes out of a file; whether there were any."""
    feed = SqliteFeed(path)
    try:
        with feed.file.transaction("remove the triggers") as connection:
            connection.execute(_SOURCES)
            found = connection.execute(
                f"SELECT number FROM {SOURCES_TABLE} WHERE cluster = ? AND topic = ? AND name = ?",
                (cluster, topic, name),
            ).fetchone()
            if found is not None:
                _remove(connection, found[0])
            return found is not None
    finally:
        feed.close()


def _remove(connection: sqlite3.Connection, number: int) -> None:
    for event in ("insert", "update", "delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS {CHANGES_TABLE}{number}_{event}")
    connection.execute(f"DROP TABLE IF EXISTS {CHANGES_TABLE}{number}")
    connection.execute(f"DELETE FROM {SOURCES_TABLE} WHERE number = ?", (number,))
