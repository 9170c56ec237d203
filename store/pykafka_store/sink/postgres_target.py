"""PostgreSQL as a target, by psycopg 3.

New rows go in by COPY (postgres_copy.py). What may meet rows that are there goes by COPY into a temporary table, which
is kept for the session, and from there by INSERT ... ON CONFLICT: a third of the cost of statements with parameters.

A row that the server refuses is found by COPY's line number, else by halves, behind savepoints of the one transaction.
Tables are made under an advisory lock, for CREATE TABLE IF NOT EXISTS of two sessions at once can fail in one of them.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pykafka_store.databases.errors import DatabaseError
from pykafka_store.databases.postgres import SCHEMA_LOCK, Session, line_of, quoted, why_not
from pykafka_store.model import TopicPartition
from pykafka_store.sink.offsets_table import OffsetsTable
from pykafka_store.sink.postgres_copy import binary_types, copy_rows, types_held, types_of
from pykafka_store.sink.postgres_schema import TYPES, HeldByType, read_table
from pykafka_store.sink.target import (
    NOTES_TABLE,
    OFFSETS_TABLE,
    Claim,
    DeadLetter,
    Group,
    Kind,
    Move,
    SinkError,
    Statement,
    TableSchema,
    TableWrite,
)

if TYPE_CHECKING:
    import psycopg

ROWS_OF_RETRY = 500
"""Rows that are tried together once some of a batch are refused."""

_OF_A_ROW = ("22", "23", "54", "P0001")
"""Those that say that a row is what is wrong."""


_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
"""https://www.postgresql.org/docs/current/ddl-system-columns.html"""


class _Stage(NamedTuple):
    """A temporary table of the session, which nobody else can change."""

    name: str
    types: Mapping[str, str]
    """Of its columns, by their names."""


class PostgresTarget:
    """See :class:`pykafka_store.sink.target.Target`."""

    keeps_offsets = True
    is_elsewhere = True
    refuses_nul = True
    text_takes_bytes = False
    max_columns = 1600

    def __init__(self, address: str) -> None:
        """``address``: a URI or libpq's key=value words. The server is first asked in ``prepare``. Raises
        DatabaseError.
        """
        self._staged: dict[object, _Stage] = {}
        """The session's temporary tables, by the shapes of the rows that they are for."""
        self._session = Session(address, "pykafka-sink", on_closed=self._staged.clear)
        self._psycopg = self._session.psycopg
        self.name = self._session.name
        self.close = self._session.close
        self._types: HeldByType = {}
        self._offsets = OffsetsTable("%s")
        self._dead_letters: str | None = None
        self._id: str | None = None

    @property
    def id(self) -> str:
        assert self._id is not None, "prepare() comes first"
        return self._id

    # --------------------------------------------------------------------------------------------------------- tables

    def prepare(self, dead_letters: str | None) -> None:
        """See :meth:`pykafka_store.sink.target.Target.prepare`."""
        self._dead_letters = dead_letters
        with self._session.transaction("make the sink's tables") as connection:
            wanted = [NOTES_TABLE, OFFSETS_TABLE, *([dead_letters] if dead_letters is not None else [])]
            missing = [name for name in wanted if self._oid(connection, name) is None]
            if missing:  # else a user who may not make tables can write all the same
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {NOTES_TABLE} (name text PRIMARY KEY, value text NOT NULL)"
                )
                connection.execute(
                    f'CREATE TABLE IF NOT EXISTS {OFFSETS_TABLE} (cluster text, "group" text, topic text, '
                    "partition integer, topic_id text NOT NULL, next bigint NOT NULL, epoch bigint NOT NULL, "
                    'owner text NOT NULL, PRIMARY KEY (cluster, "group", topic, partition))'
                )
                if dead_letters is not None:
                    connection.execute(
                        f'CREATE TABLE IF NOT EXISTS {quoted(dead_letters)} ("table" text NOT NULL, topic text, '
                        'partition integer NOT NULL, "offset" bigint NOT NULL, timestamp bigint NOT NULL, key bytea, '
                        'value bytea, headers text, "column" text, reason text NOT NULL)'
                    )
            connection.execute(
                f"INSERT INTO {NOTES_TABLE} VALUES ('id', %s) ON CONFLICT DO NOTHING", (str(uuid.uuid4()),)
            )
            (self._id,) = connection.execute(f"SELECT value FROM {NOTES_TABLE} WHERE name = 'id'").fetchone() or ("",)

    def _oid(self, connection: psycopg.Connection[Any], table: str) -> int | None:
        """The table of that name on the search path."""
        if (reason := why_not(table)) is not None:
            raise SinkError(f"{self.name}: {table!r} can't be a table: {reason}")
        (found,) = connection.execute("SELECT to_regclass(%s)::oid", (quoted(table),)).fetchone() or (0,)
        return int(found) if found else None

    def schema(self, table: str) -> TableSchema | None:
        """See :meth:`pykafka_store.sink.target.Target.schema`."""
        with self._session.transaction(f"read the columns of table {table}") as connection:
            oid = self._oid(connection, table)
            if oid is None:
                return None
            return read_table(connection, oid, f"{self.name}: {table}", f"pending {table}", self._types)

    def check_name(self, name: str) -> str | None:
        """See :meth:`pykafka_store.sink.target.Target.check_name`."""
        if name in _SYSTEM_COLUMNS:
            return "each table of PostgreSQL has a column of that name for itself"
        return why_not(name)

    def create_table(self, table: str, columns: Mapping[str, Kind], pk: Sequence[str], pending: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.create_table`."""
        with self._session.transaction(f"make table {table}") as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            if self._oid(connection, table) is not None:
                return  # another sink was first
            namespace, dot, name = table.partition(".")
            if dot and connection.execute("SELECT to_regnamespace(%s)", (quoted(namespace),)).fetchone() != (None,):
                raise DatabaseError(
                    f"{self.name}: {table} would be a table with a point in its name, and there is a schema "
                    f"{namespace}: give {name} as the table and ?options=-csearch_path={namespace} in the address"
                )
            parts = [f"{quoted(name)} {TYPES[kind]}" for name, kind in columns.items()]
            if pk:
                parts.append(f"PRIMARY KEY ({', '.join(map(quoted, pk))})")
            connection.execute(f"CREATE TABLE {quoted(table)} ({', '.join(parts)})")
            if pending:
                connection.execute(
                    f"INSERT INTO {NOTES_TABLE} VALUES (%s, %s) "
                    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (f"pending {table}", json.dumps(list(pending))),
                )

    def add_columns(self, table: str, columns: Mapping[str, Kind]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.add_columns`."""
        with self._session.transaction(f"add columns to table {table}") as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            added = ", ".join(
                f"ADD COLUMN IF NOT EXISTS {quoted(name)} {TYPES[kind]}" for name, kind in columns.items()
            )
            connection.execute(f"ALTER TABLE {quoted(table)} {added}")

    def index(self, table: str, column: str) -> None:
        """See :meth:`pykafka_store.sink.target.Target.index`."""
        name = f"idx_{table}_{column}"
        if why_not(name) is not None:
            name = f"idx_{uuid.uuid5(uuid.NAMESPACE_OID, name).hex}"
        with self._session.transaction(f"make an index of {table}") as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            connection.execute(f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {quoted(table)} ({quoted(column)})")

    def enable_search(self, table: str, columns: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.enable_search`."""
        raise SinkError(
            f"{self.name}: --fts {','.join(columns)} of table {table} is SQLite's: make an index with --index"
        )

    def same_keys(
        self, table: str, schema: TableSchema, columns: Sequence[str], keys: Sequence[tuple[object, ...]]
    ) -> Sequence[int]:
        """See :meth:`pykafka_store.sink.target.Target.same_keys`. Those that are none of the columns' types are like
        no other one: they are refused when they are written.
        """
        stage = self._stage(table, tuple(columns))
        refused: set[int] = set()
        binary = binary_types(columns, schema, stage.types)
        jsonb = [number for number, name in enumerate(columns) if stage.types.get(name) == "jsonb"]
        write = TableWrite(table, tuple(columns), (), lambda index, _reason, _column: refused.add(index), schema)
        with self._session.transaction("compare keys") as connection:
            self._write_rows(
                connection,
                write,
                Statement("insert", tuple(columns), keys, range(len(keys))),
                lambda rows: copy_rows(connection, stage.name, columns, rows, binary, jsonb),
            )
            names = ", ".join(map(quoted, columns))
            found = connection.execute(
                f"SELECT first_value(n) OVER (PARTITION BY {names} ORDER BY n) - 1 "
                f"FROM (SELECT row_number() OVER (ORDER BY ctid) AS n, {names} FROM {stage.name}) AS k ORDER BY n"
            ).fetchall()
        numbers = [at for at in range(len(keys)) if at not in refused]
        firsts = dict(zip(numbers, (numbers[first] for (first,) in found), strict=True))
        return [firsts.get(at, at) for at in range(len(keys))]

    # --------------------------------------------------------------------------------------------------------- claims

    def claim(
        self, group: Group, starts: Mapping[TopicPartition, tuple[str, int]], owner: str
    ) -> dict[TopicPartition, Claim]:
        """See :meth:`pykafka_store.sink.target.Target.claim`."""
        with self._session.transaction("claim partitions") as connection:
            return self._offsets.claim(connection, group, starts, owner)

    def restart(self, group: Group, partition: TopicPartition, claim: Claim, topic_id: str, offset: int) -> Claim:
        """See :meth:`pykafka_store.sink.target.Target.restart`."""
        with self._session.transaction(f"begin {partition} anew") as connection:
            return self._offsets.restart(connection, group, partition, claim, topic_id, offset)

    # ---------------------------------------------------------------------------------------------------------- write

    def write(
        self, group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
    ) -> None:
        """See :meth:`pykafka_store.sink.target.Target.write`."""
        stages = {}
        for table in tables:
            for statement in table.statements:
                if statement.kind != "insert" and statement.rows:
                    stages[id(statement)] = self._stage(table.table, statement.columns)
        with self._session.transaction("write rows") as connection:
            for table in tables:
                types: Mapping[str, str] = {}
                if any(statement.kind == "insert" and statement.rows for statement in table.statements):
                    types = types_held(connection, table.table)
                for statement in table.statements:
                    put = self._putting(connection, table, statement, stages.get(id(statement)), types)
                    self._write_rows(connection, table, statement, put)
            letters_table = None if self._dead_letters is None else quoted(self._dead_letters)
            self._offsets.conclude(connection, group, moves, letters_table, dead_letters)

    def _stage(self, table: str, columns: tuple[str, ...]) -> _Stage:
        """The session's temporary table for rows of this shape, with the columns' types as they are now."""
        schema = self.schema(table)
        types = tuple(schema.columns[name].declared for name in columns) if schema is not None else ()
        shape = table, columns, types
        if shape not in self._staged:
            name = f"_pykafka_stage_{len(self._staged)}"
            with self._session.transaction("make a temporary table") as connection:
                names = ", ".join(map(quoted, columns))
                connection.execute(
                    f"CREATE TEMPORARY TABLE {name} ON COMMIT DELETE ROWS AS SELECT {names} FROM {quoted(table)} "
                    "WITH NO DATA"
                )
                there = types_of(connection, name)
            self._staged[shape] = _Stage(name, there)
        return self._staged[shape]

    def _putting(
        self,
        connection: psycopg.Connection[Any],
        table: TableWrite,
        statement: Statement,
        stage: _Stage | None,
        types: Mapping[str, str],
    ) -> Callable[[Sequence[tuple[object, ...]]], None]:
        """How rows of a statement get into its table, some at a time. ``types``: of the table's columns, which nobody
        can change now.
        """
        goal, columns = quoted(table.table), statement.columns
        into, there = (goal, types) if stage is None else (stage.name, stage.types)
        binary = binary_types(columns, table.schema, there)
        jsonb = [number for number, name in enumerate(columns) if there.get(name) == "jsonb"]

        def copy(rows: Sequence[tuple[object, ...]]) -> None:
            copy_rows(connection, into, columns, rows, binary, jsonb)

        if not columns:

            def put_defaults(rows: Sequence[tuple[object, ...]]) -> None:
                for _ in rows:
                    connection.execute(f"INSERT INTO {goal} DEFAULT VALUES")

            return put_defaults
        if stage is None:
            return copy
        moved = self._moving(table, statement, stage.name)

        def put(rows: Sequence[tuple[object, ...]]) -> None:
            connection.execute(f"DELETE FROM {into}")
            copy(rows)
            connection.execute(moved)

        return put

    def _moving(self, table: TableWrite, statement: Statement, stage: str) -> str:
        """The statement that brings what is staged into the table."""
        goal, names = quoted(table.table), ", ".join(map(quoted, statement.columns))
        if statement.kind == "delete":
            same = " AND ".join(f"goal.{quoted(name)} = stage.{quoted(name)}" for name in table.pk)
            return f"DELETE FROM {goal} AS goal USING {stage} AS stage WHERE {same}"
        sql = f"INSERT INTO {goal} ({names}) SELECT {names} FROM {stage}"
        if statement.kind == "ignore":
            return f"{sql} ON CONFLICT DO NOTHING"
        changes = [f"{quoted(name)} = excluded.{quoted(name)}" for name in statement.columns if name not in table.pk]
        if statement.kind == "replace":
            schema = self.schema(table.table)
            assert schema is not None
            given = {*statement.columns, *table.pk}
            changes += [
                f"{quoted(name)} = DEFAULT"
                for name, column in schema.columns.items()
                if name not in given and not column.is_generated
            ]
        action = f"UPDATE SET {', '.join(changes)}" if changes else "NOTHING"
        return f"{sql} ON CONFLICT ({', '.join(map(quoted, table.pk))}) DO {action}"

    def _write_rows(
        self,
        connection: psycopg.Connection[Any],
        table: TableWrite,
        statement: Statement,
        put: Callable[[Sequence[tuple[object, ...]]], None],
    ) -> None:
        rows = statement.rows
        waiting = [range(len(rows))] if rows else []
        while waiting:
            some = waiting.pop()
            try:
                with connection.transaction():  # a savepoint
                    put(rows[some.start : some.stop])
                continue
            except (self._psycopg.Error, UnicodeEncodeError) as error:
                if isinstance(error, self._psycopg.Error) and not self._is_of_a_row(error):
                    raise
                refusal = error
            if len(some) == 1:
                table.on_refused(statement.origin[some.start], line_of(refusal), _column(refusal, statement.columns))
                continue
            waiting += reversed(_smaller(some, _copy_line(refusal)))

    def _is_of_a_row(self, error: psycopg.Error) -> bool:
        connection = self._session.connection
        if connection is None or connection.closed:
            return False
        return (error.sqlstate or "").startswith(_OF_A_ROW) or (
            error.sqlstate is None and isinstance(error, self._psycopg.DataError)
        )


def _smaller(some: range, line: int | None) -> list[range]:
    """Rows that were refused together, in parts to be tried by themselves: what COPY names alone."""
    if len(some) > ROWS_OF_RETRY:
        return [some[begin : begin + ROWS_OF_RETRY] for begin in range(0, len(some), ROWS_OF_RETRY)]
    if line is not None and line <= len(some):
        parts = [some[: line - 1], some[line - 1 : line], some[line:]]
        return [part for part in parts if len(part)]
    middle = len(some) // 2
    return [some[:middle], some[middle:]]


def _copy_line(error: Exception) -> int | None:
    """The line that COPY was at."""
    found = re.search(r"^COPY .*, line ([0-9]+)", _context(error), re.MULTILINE)
    return int(found[1]) if found else None


def _column(error: Exception, columns: Sequence[str]) -> str | None:
    """The column that the server says is to blame, or COPY was at."""
    named = getattr(getattr(error, "diag", None), "column_name", None)
    if named is not None:
        return str(named)
    place = _context(error)
    at = [name for name in columns if re.search(f", line [0-9]+, column {re.escape(name)}(?::|$)", place, re.MULTILINE)]
    return max(at, key=len, default=None)  # a name may go on with a colon


def _context(error: Exception) -> str:
    return getattr(getattr(error, "diag", None), "context", None) or ""
