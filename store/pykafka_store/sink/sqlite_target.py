"""SQLite as a target: one file, one writer at a time.

More columns, indexes and full-text search are sqlite-utils' work. The rows are written here, several in a statement:
its ``insert_all`` takes twice the time, and its ``upsert_all`` makes NULL of the columns that a row lacks. Each
statement has a savepoint: where it fails, its rows are tried again in halves, within the same transaction, until the
bad ones stand alone. That SQLite takes back what a failed statement did is not enough, for a table's ON CONFLICT FAIL,
or a trigger, leaves it.

A transaction takes the file's only lock (BEGIN IMMEDIATE), so nothing may wait while it is open: all that is written
was parsed and fitted before. A process that is frozen right here holds the others up until it goes on; one that is
killed does not. ``synchronous=FULL``: the group's commits speak of rows that a power cut does not take.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence

from pykafka_store.databases.sqlite import BUSY, SqliteFile, explained, quoted
from pykafka_store.model import TopicPartition
from pykafka_store.sink.cells import cells_of
from pykafka_store.sink.offsets_table import OffsetsTable
from pykafka_store.sink.sameness import OF_COLLATION, firsts_by
from pykafka_store.sink.target import (
    NOTES_TABLE,
    OFFSETS_TABLE,
    Claim,
    Column,
    DeadLetter,
    Group,
    Kind,
    Move,
    SinkError,
    Statement,
    TableSchema,
    TableWrite,
)

ROWS_OF_STATEMENT = 100
"""Rows of one INSERT: more are no faster, and fewer are slower."""

_OF_A_ROW = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
"""Result codes that say that a row is what is wrong."""

_TYPES = {
    Kind.INTEGER: "INTEGER",
    Kind.BOOLEAN: "INTEGER",
    Kind.REAL: "REAL",
    Kind.TEXT: "TEXT",
    Kind.JSON: "TEXT",
    Kind.NUMERIC: "TEXT",
    Kind.BYTES: "BLOB",
    Kind.ANY: "BLOB",
    Kind.TIMESTAMP: "TEXT",
}
_STRICT_TYPES = {**_TYPES, Kind.BYTES: "ANY", Kind.ANY: "ANY"}
"""In a STRICT table a column that has bytes, and text where bytes are text, is one for anything."""

_OWN_TABLES = f"""
CREATE TABLE IF NOT EXISTS {NOTES_TABLE} (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS {OFFSETS_TABLE} (
    cluster TEXT NOT NULL, "group" TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    topic_id TEXT NOT NULL, next INTEGER NOT NULL, epoch INTEGER NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (cluster, "group", topic, partition)
);
"""


class SqliteTarget:
    """See :class:`pykafka_store.sink.target.Target`."""

    keeps_offsets = True
    is_elsewhere = False  # and what is parsed in a transaction would only keep the file locked for longer
    refuses_nul = False

    def __init__(self, path: str, *, busy: float = BUSY, strict: bool = False) -> None:
        """Opens the file, or makes it. ``strict``: tables that are made are STRICT. Raises DatabaseError where it is
        none of SQLite's, or can't be opened.
        """
        self.name = path
        self._strict = strict
        self.text_takes_bytes = not strict
        self._schemas: dict[str, TableSchema | None] = {}
        self._version: object = None
        self._dead_letters: str | None = None
        self._offsets = OffsetsTable("?")
        self._file = SqliteFile(path, busy=busy)
        self._connection = self._file.connection
        with explained(path, "open"):
            # A row that is replaced is deleted, and full-text search has to hear of it.
            self._connection.execute("PRAGMA recursive_triggers = ON")
        self._most_variables = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self.max_columns = self._connection.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)

    @property
    def id(self) -> str:
        with explained(self.name, "read"):
            row = self._connection.execute(f"SELECT value FROM {NOTES_TABLE} WHERE name = 'id'").fetchone()
        return str(row[0])

    def close(self) -> None:
        self._connection.close()

    # --------------------------------------------------------------------------------------------------------- tables

    def prepare(self, dead_letters: str | None) -> None:
        """See :meth:`pykafka_store.sink.target.Target.prepare`."""
        self._dead_letters = dead_letters
        with self._file.transaction("make the sink's tables") as connection:
            for statement in filter(str.strip, _OWN_TABLES.split(";")):
                connection.execute(statement)
            connection.execute(
                f"INSERT INTO {NOTES_TABLE} VALUES ('id', ?) ON CONFLICT DO NOTHING", (str(uuid.uuid4()),)
            )
            if dead_letters is not None:
                connection.execute(
                    f'CREATE TABLE IF NOT EXISTS {quoted(dead_letters)} ("table" TEXT NOT NULL, topic TEXT NOT NULL, '
                    'partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, timestamp INTEGER NOT NULL, key BLOB, '
                    'value BLOB, headers TEXT, "column" TEXT, reason TEXT NOT NULL)'
                )

    def schema(self, table: str) -> TableSchema | None:
        """See :meth:`pykafka_store.sink.target.Target.schema`."""
        with explained(self.name, f"read the columns of table {table}"):
            version = self._connection.execute("PRAGMA schema_version").fetchone()
            if version != self._version:
                self._schemas.clear()
                self._version = version
            if table not in self._schemas:
                self._schemas[table] = self._read_schema(table)
        return self._schemas[table]

    def _read_schema(self, table: str) -> TableSchema | None:
        ask = self._connection.execute
        found = ask("SELECT type, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE", (table,)).fetchone()
        if found is None:
            return None
        kind, name = found
        if kind != "table":
            raise SinkError(f"{self.name}: {table} is a {kind} and no table: name another one")
        (strict,) = ask("SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)).fetchone()
        columns = {}
        keys: dict[int, str] = {}
        for _, column, declared, _not_null, default, pk, hidden in ask(f"PRAGMA table_xinfo({quoted(name)})"):
            kind_of = _kind_of(declared, strict=bool(strict))
            columns[column] = Column(column, kind_of, declared, default is not None, hidden in {2, 3})
            if pk:
                keys[pk] = column
        primary = tuple(keys[number] for number in sorted(keys))
        unique = {frozenset(primary)} if primary else set()
        for _, index, is_unique, _, partial in ask(f"PRAGMA index_list({quoted(name)})").fetchall():
            if is_unique and not partial:
                parts = [row for row in ask(f"PRAGMA index_xinfo({quoted(index)})") if row[5]]
                if all(row[2] is not None for row in parts):  # an expression has no name, and no ON CONFLICT means it
                    unique.add(frozenset(row[2] for row in parts))
                    for *_, column, _, collation, _ in parts:
                        if collation.upper() in OF_COLLATION:
                            columns[column] = columns[column]._replace(compares=collation.upper())
        row = ask(f"SELECT value FROM {NOTES_TABLE} WHERE name = ?", (f"pending {table}",)).fetchone()
        return TableSchema(columns, primary, tuple(unique), frozenset(json.loads(row[0])) if row else frozenset())

    def check_name(self, name: str) -> str | None:
        """See :meth:`pykafka_store.sink.target.Target.check_name`."""
        if "\0" in name:
            return "it holds U+0000"
        try:
            name.encode()
        except UnicodeEncodeError:
            return "it holds half a surrogate pair"
        return None

    def create_table(self, table: str, columns: Mapping[str, Kind], pk: Sequence[str], pending: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.create_table`."""
        with self._file.transaction(f"make table {table}") as connection:
            found = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,))
            if found.fetchone() is None:  # else another sink was first
                # One statement, for which importing sqlite-utils would be a large part of a short run.
                types = _STRICT_TYPES if self._strict else _TYPES
                lines = [f"{quoted(name)} {types[kind]}" for name, kind in columns.items()]
                if len(pk) == 1:
                    lines = [f"{line} PRIMARY KEY" if line.startswith(f"{quoted(pk[0])} ") else line for line in lines]
                elif pk:
                    lines.append(f"PRIMARY KEY ({', '.join(map(quoted, pk))})")
                body = ",\n   ".join(lines)
                connection.execute(
                    f"CREATE TABLE {quoted(table)} (\n   {body}\n)" + (" STRICT" if self._strict else "")
                )
                if pending:
                    row = (f"pending {table}", json.dumps(list(pending)))
                    connection.execute(f"INSERT OR REPLACE INTO {NOTES_TABLE} VALUES (?, ?)", row)

    def add_columns(self, table: str, columns: Mapping[str, Kind]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.add_columns`."""
        from sqlite_utils import Database

        with self._file.transaction(f"add columns to table {table}") as connection:
            their = Database(connection).table(table)
            there = {name.lower() for name in their.columns_dict}
            for name, kind in columns.items():
                if name.lower() not in there:
                    their.add_column(name, (_STRICT_TYPES if their.strict else _TYPES)[kind])

    def index(self, table: str, column: str) -> None:
        """See :meth:`pykafka_store.sink.target.Target.index`."""
        from sqlite_utils import Database

        with self._file.transaction(f"make an index of {table}") as connection:
            Database(connection).table(table).create_index([column], if_not_exists=True)

    def enable_search(self, table: str, columns: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.enable_search`."""
        from sqlite_utils import Database

        with self._file.transaction(f"make full-text search of {table}") as connection:
            # What is there already, and is the same, stays.
            Database(connection).table(table).enable_fts(list(columns), create_triggers=True, replace=True)

    def same_keys(
        self,
        table: str,  # noqa: ARG002 - the protocol's
        schema: TableSchema,
        columns: Sequence[str],
        keys: Sequence[tuple[object, ...]],
    ) -> Sequence[int]:
        """See :meth:`pykafka_store.sink.target.Target.same_keys`."""
        return firsts_by([OF_COLLATION.get(schema.columns[name].compares) for name in columns], keys)

    # --------------------------------------------------------------------------------------------------------- claims

    def claim(
        self, group: Group, starts: Mapping[TopicPartition, tuple[str, int]], owner: str
    ) -> dict[TopicPartition, Claim]:
        """See :meth:`pykafka_store.sink.target.Target.claim`."""
        with self._file.transaction("claim partitions") as connection:
            return self._offsets.claim(connection, group, starts, owner)

    def restart(self, group: Group, partition: TopicPartition, claim: Claim, topic_id: str, offset: int) -> Claim:
        """See :meth:`pykafka_store.sink.target.Target.restart`."""
        with self._file.transaction(f"begin {partition} anew") as connection:
            return self._offsets.restart(connection, group, partition, claim, topic_id, offset)

    # ---------------------------------------------------------------------------------------------------------- write

    def write(
        self, group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
    ) -> None:
        """See :meth:`pykafka_store.sink.target.Target.write`."""
        with self._file.transaction("write rows") as connection:
            for table in tables:
                for statement in table.statements:
                    self._write_rows(table, statement)
            letters_table = None if self._dead_letters is None else quoted(self._dead_letters)
            self._offsets.conclude(connection, group, moves, letters_table, dead_letters)

    def _write_rows(self, table: TableWrite, statement: Statement) -> None:
        columns, rows = statement.columns, statement.rows
        most = max(1, min(ROWS_OF_STATEMENT, self._most_variables // len(columns))) if columns else 1
        sql = ""
        for begin in range(0, len(rows), most):
            some = rows[begin : begin + most]
            if len(some) < most or not sql:
                sql = _sql(table, statement, len(some))
            error = self._attempt(sql, some)
            if error is not None:
                self._write_halves(table, statement, range(begin, begin + len(some)), error)

    def _attempt(self, sql: str, rows: Sequence[tuple[object, ...]]) -> Exception | None:
        """Write some rows, or none of them; the error if one of them is to blame."""
        execute = self._connection.execute
        execute("SAVEPOINT attempt")
        try:
            execute(sql, cells_of(rows))
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            self._check_is_of_a_row(error)
            execute("ROLLBACK TO attempt")
            execute("RELEASE attempt")
            return error
        execute("RELEASE attempt")
        return None

    def _write_halves(self, table: TableWrite, statement: Statement, rows: range, error: Exception) -> None:
        """Write rows that can't be written at once, but for those that can't be written alone."""
        if len(rows) == 1:
            table.on_refused(statement.origin[rows[0]], str(error), None)  # SQLite names the column in its words
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            some = [statement.rows[index] for index in half]
            again = self._attempt(_sql(table, statement, len(some)), some)
            if again is not None:
                self._write_halves(table, statement, half, again)

    def _check_is_of_a_row(self, error: Exception) -> None:
        """Raise the error again where no single row is to blame."""
        if isinstance(error, sqlite3.Error):
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _OF_A_ROW and not isinstance(
                error, sqlite3.IntegrityError | sqlite3.DataError
            ):
                raise error
            if not self._connection.in_transaction:  # a trigger's RAISE(ROLLBACK) took what was written before it
                raise SinkError(f"{self.name}: a trigger ended the transaction, which it must not: {error}") from error


def _sql(table: TableWrite, statement: Statement, rows: int) -> str:
    """The statement for so many rows."""
    names = ", ".join(map(quoted, statement.columns))
    places = f"({', '.join('?' * len(statement.columns))})"
    values = ", ".join([places] * rows)
    if statement.kind == "delete":
        return f"DELETE FROM {quoted(table.table)} WHERE ({names}) IN (VALUES {values})"
    into = "INSERT OR REPLACE" if statement.kind == "replace" else "INSERT"
    if not statement.columns:
        assert rows == 1
        return f"{into} INTO {quoted(table.table)} DEFAULT VALUES"
    sql = f"{into} INTO {quoted(table.table)} ({names}) VALUES {values}"
    if statement.kind == "ignore":
        # Not INSERT OR IGNORE, which passes over a NULL where there must be none, too.
        return f"{sql} ON CONFLICT DO NOTHING"
    if statement.kind == "upsert":
        key = ", ".join(map(quoted, table.pk))
        others = [quoted(name) for name in statement.columns if name not in table.pk]
        if not others:
            return f"{sql} ON CONFLICT ({key}) DO NOTHING"
        return f"{sql} ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others)
    return sql


def _kind_of(declared: str, *, strict: bool) -> Kind:
    """What a column makes of values: SQLite's rules of affinity, in their order. https://sqlite.org/datatype3.html"""
    text = declared.upper()
    if strict:
        return {
            "INT": Kind.INTEGER,
            "INTEGER": Kind.INTEGER,
            "REAL": Kind.REAL,
            "TEXT": Kind.TEXT,
            "BLOB": Kind.BYTES,
        }.get(text, Kind.ANY)
    if "INT" in text:
        return Kind.INTEGER
    if "CHAR" in text or "CLOB" in text or "TEXT" in text:
        return Kind.TEXT
    if "BLOB" in text or not text:
        return Kind.ANY
    if "REAL" in text or "FLOA" in text or "DOUB" in text:
        return Kind.REAL
    return Kind.NUMERIC
