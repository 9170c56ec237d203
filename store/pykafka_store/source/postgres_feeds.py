"""PostgreSQL as a feed: rows behind a cursor, and what a query gives. Changes are in postgres_changes.py.

**A cursor can lose rows** in PostgreSQL: a transaction takes an id and waits, another takes the next one and commits,
and whoever reads on behind that one never sees the first. The horizon of snapshots (``pg_snapshot_xmin``) does not help
by itself, for an id is taken before its transaction has a number: the other one may have the smaller number. What is
waited for here are the writers themselves, as CREATE INDEX CONCURRENTLY does it:

1. ``top`` is the highest id that is visible. Every id up to it was taken by then, for a sequence gives each once, and
   none beforehand (``CACHE 1``).
2. Who took one holds the table's lock for writers since before that, until the end of its transaction: INSERT locks
   the table before it asks the sequence. So the transactions that hold such a lock now are all that may still put in a
   row up to ``top``.
3. When none of those holds it any more, all rows up to ``top`` are there or never will be. They are read then.

Nobody is kept from writing, which a lock of ours (SHARE) would do to everyone for as long as the longest transaction
takes. An id that a program makes up for itself may come at any time: an identity that is GENERATED ALWAYS refuses it,
and for others the rows are counted when the source starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykafka_store.databases.errors import DatabaseUnavailableError
from pykafka_store.databases.postgres import Session, quoted
from pykafka_store.source.comparing import Comparison
from pykafka_store.source.feed import Change, Look, PlainFeed, Seen, SourceError
from pykafka_store.source.postgres_tables import SETTINGS, Table, key_of, read_table, value_of

_INTEGERS = {"int8", "int4", "int2"}

_SEQUENCE = """
SELECT s.seqcache, s.seqincrement, s.seqcycle, a.attnotnull,
       a.attidentity != '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%'
FROM pg_attribute a JOIN pg_sequence s ON s.seqrelid = pg_get_serial_sequence(%s, a.attname)::regclass
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attname = %s
"""

_WRITERS = """
SELECT virtualtransaction, coalesce(pid, 0) FROM pg_locks
WHERE locktype = 'relation' AND relation = %s
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND granted AND pid IS DISTINCT FROM pg_backend_pid()
"""


class PostgresFeed:
    """What all of them share."""

    def __init__(self, address: str) -> None:
        self.session = Session(address, "pykafka-source", setup=SETTINGS)
        self.name = self.session.name
        self.close = self.session.close


class PostgresCursor(PostgresFeed, PlainFeed):
    """New rows of a table, by a column that only grows. See :class:`pykafka_store.source.feed.Feed`."""

    def __init__(self, address: str, table: str, cursor: str, key: Sequence[str] = ()) -> None:
        super().__init__(address)
        self._given = table
        self._table: Table | None = None
        self._cursor = cursor
        self._key = key
        self._safe = -1
        """All rows up to it are there, or never will be."""
        self._held: tuple[int, dict[str, int]] | None = None
        """What may be safe next, and the transactions that keep it from that, with their processes."""

    def prepare(self, place: Sequence[str], *, from_latest: bool) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """See :meth:`pykafka_store.source.feed.Feed.prepare`. Nothing is made; all is checked."""
        with self.session.transaction("look at the table") as connection:
            self._table = table = read_table(self.session, connection, self._given)
            label = f"{table.label}.{self._cursor}"
            for name in (self._cursor, *self._key):
                if name not in table.types:
                    raise SourceError(f"{table.label} has no column {name}")
            if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                raise SourceError(
                    f"{self.name} is a standby, which does not know who is writing: read from the primary"
                )
            children = connection.execute("SELECT 1 FROM pg_inherits WHERE inhparent = %s LIMIT 1", (table.oid,))
            if table.kind == "p" or children.fetchone() is not None:
                raise SourceError(f"{table.label} has partitions or children, whose writers lock others: use --changes")
            row = connection.execute(_SEQUENCE, (table.name, table.oid, self._cursor)).fetchone()
            if table.types[self._cursor] not in _INTEGERS or row is None or not row[3] or not row[4]:
                raise SourceError(
                    f"{label} is no identity and no serial: a number may come late, and that row would be missed; use "
                    "--changes, which sees all"
                )
            cache, increment, cycles = row[:3]
            if cache != 1 or increment < 1 or cycles:
                raise SourceError(
                    f"{label}: its sequence has CACHE {cache}, INCREMENT {increment}{' and CYCLE' if cycles else ''}: "
                    "numbers may come late, and such rows would be missed; use --changes, or ALTER SEQUENCE to CACHE 1"
                )
            if frozenset({self._cursor}) not in table.unique:
                raise SourceError(f"{label} has no unique index of its own: a number may come twice; use --changes")
            below = f"SELECT 1 FROM {table.name} WHERE {quoted(self._cursor)} < 0 LIMIT 1"
            if connection.execute(below).fetchone() is not None:
                raise SourceError(f"{table.label} has rows with a {self._cursor} below 0: use --changes")
        return ()

    @property
    def _known(self) -> Table:
        assert self._table is not None, "prepare() comes first"
        return self._table

    def latest(self) -> int:
        """See :meth:`pykafka_store.source.feed.Feed.latest`."""
        if self._held is None:
            with self.session.transaction("look at the table") as connection:
                top = self._top(connection)
            self._held = top, self._writers()
        top, held = self._still_held(self._held)
        if held:
            raise DatabaseUnavailableError(f"{self._known.label} is written by {len(held)} transactions")
        self._safe, self._held = top, None
        return top

    def check(self, seen: Seen) -> int | None:
        """See :meth:`pykafka_store.source.feed.Feed.check`."""
        table, cursor = self._known, quoted(self._cursor)
        with self.session.transaction("count rows") as connection:
            sql = f"SELECT count(*) FROM {table.name} WHERE {cursor} <= {seen.position:d}"
            (found,) = connection.execute(sql).fetchone() or (0,)
            last = connection.execute(
                "SELECT s.last_value FROM pg_sequences s WHERE to_regclass(quote_ident(s.schemaname) || '.' || "
                "quote_ident(s.sequencename)) = pg_get_serial_sequence(%s, %s)::regclass",
                (table.name, self._cursor),
            ).fetchone()
        if seen.rows is not None and found > seen.rows:
            raise SourceError(
                f"{table.label} has {found - seen.rows} rows that came in behind the cursor, at {self._cursor} "
                f"{seen.position} or before: they are not in the topic; use --changes, which sees such rows"
            )
        reached = -1 if last is None or last[0] is None else int(last[0])
        if seen.position >= 0 and reached < seen.position and self._top_of() < seen.position:
            raise SourceError(
                f"{table.label} ends at {self._cursor} {reached}, and was read up to {seen.position}: it is another "
                "table, or lost rows; name another source with --name"
            )
        return int(found)

    def _top_of(self) -> int:
        with self.session.transaction("look at the table") as connection:
            return self._top(connection)

    def _top(self, connection: Any) -> int:
        sql = f"SELECT coalesce(max({quoted(self._cursor)}), -1) FROM {self._known.name}"
        (found,) = connection.execute(sql).fetchone()
        return int(found)

    def _move_on(self, after: int) -> None:
        """See whether more rows are safe. Each statement has a snapshot of its own, and their order is the point."""
        if self._held is None:
            with self.session.transaction("look at the table") as connection:
                top = self._top(connection)
            if top <= max(after, self._safe):
                return
            self._held = top, self._writers()
        else:
            self._held = self._still_held(self._held)
        top, held = self._held
        if not held:
            self._safe, self._held = top, None

    def _still_held(self, before: tuple[int, dict[str, int]]) -> tuple[int, dict[str, int]]:
        now = self._writers()
        return before[0], {each: process for each, process in before[1].items() if each in now}

    def _writers(self) -> dict[str, int]:
        with self.session.transaction("see who is writing") as connection:
            return dict(connection.execute(_WRITERS, (self._known.oid,)).fetchall())

    def look(self, after: int, most: int) -> Look:
        """See :meth:`pykafka_store.source.feed.Feed.look`."""
        if after >= self._safe:
            self._move_on(after)
        if after >= self._safe:
            if self._held is None:
                return Look((), is_all=True)
            process = next(iter(self._held[1].values()))
            return Look((), is_all=False, waits_for=f"a transaction that writes {self._given} (process {process})")
        cursor = quoted(self._cursor)
        with self.session.transaction("read rows") as connection:
            # The columns as they are now: to read them costs less than a batch.
            self._table = table = read_table(self.session, connection, self._given)
            key = "NULL"
            if len(self._key) == 1:
                key = f"t.{quoted(self._key[0])}::text"
            elif self._key:
                key = key_of(table.types, self._key, "t")
            rows = connection.execute(
                f"SELECT t.{cursor}, {key}, {value_of(table.types, 't')} FROM {table.name} t "
                f"WHERE t.{cursor} > {after:d} AND t.{cursor} <= {self._safe:d} ORDER BY t.{cursor} LIMIT {most:d}"
            ).fetchall()
        changes = [Change(at, None if key is None else key.encode(), value.encode()) for at, key, value in rows]
        is_all = len(changes) < most
        if is_all:
            self._safe = -1  # those up to it that are not among these were deleted meanwhile
        return Look(changes, is_all)


class PostgresQuery(PostgresFeed, PlainFeed):
    """What a query gives, compared with the topic. See :class:`pykafka_store.source.feed.Feed`."""

    compares = True

    def __init__(self, address: str, query: str, key: Sequence[str]) -> None:
        super().__init__(address)
        self._query = query.strip().rstrip(";")
        self._key = key
        self._comparison = Comparison(self.name)
        self.recall = self._comparison.recall  # type: ignore[method-assign]
        self.look = self._comparison.looking(self._rows)

    def _rows(self) -> dict[bytes, bytes]:
        psycopg = self.session.psycopg
        with self.session.transaction("run the query") as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            described = connection.execute(f"SELECT * FROM ({self._query}\n) q LIMIT 0").description or []
            columns = [column.name for column in described]
            self._comparison.check_columns(columns, self._key)
            names = {psycopg.adapters.types[base].oid: base for base in ("numeric", "bytea")}
            types = {column.name: names.get(column.type_code, "") for column in described}
            rows = connection.execute(
                f"SELECT {key_of(types, self._key, 'q')}, {value_of(types, 'q')} FROM ({self._query}\n) q"
            ).fetchall()
        return self._comparison.keyed((key.encode(), value.encode()) for key, value in rows)
