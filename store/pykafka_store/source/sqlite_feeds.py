"""SQLite as a feed. A file has one writer at a time, so what is committed later stands behind what is there.

- **A cursor** is only the table's ``INTEGER PRIMARY KEY AUTOINCREMENT``: without that word an id may be used again
  once its row, the last one, is deleted, and its second row would never be seen. Rows that are put in behind the cursor
  by an id of their own are found when the source starts, for then there are more of them than it has sent.
- **Changes**: see sqlite_changes.py.
- **A query** is compared with what the topic has; see comparing.py.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from pykafka_store.databases.sqlite import explained, quoted
from pykafka_store.source.comparing import Comparison
from pykafka_store.source.encoding import RowEncoder
from pykafka_store.source.feed import Change, Look, PlainFeed, Seen, SourceError
from pykafka_store.source.sqlite_tables import SqliteFeed, read_table, utf8_only

_OUTSIDE = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]""", re.DOTALL)
"""What is no keyword in a statement: comments, strings and names."""


class SqliteCursor(SqliteFeed, PlainFeed):
    """New rows of a table, by a column that only grows. See :class:`pykafka_store.source.feed.Feed`."""

    def __init__(self, path: str, table: str, cursor: str, key: Sequence[str] = ()) -> None:
        super().__init__(path)
        self._table = read_table(self.file, table)
        self._cursor = cursor
        self._key = key
        self._version = -1
        self._encoder = RowEncoder("", ())
        self._check_cursor()

    def _check_cursor(self) -> None:
        table = self._table
        label = f"{self.name}: {table.name}"
        for name in (self._cursor, *self._key):
            if name not in table.columns:
                raise SourceError(f"{label} has no column {name}")
        if list(table.pk) != [self._cursor] or not re.search(
            r"\bAUTOINCREMENT\b", _OUTSIDE.sub(" ", table.sql), re.IGNORECASE
        ):
            raise SourceError(
                f"{label}.{self._cursor} is no INTEGER PRIMARY KEY AUTOINCREMENT: a number may be used again after a "
                "delete, or come late, and that row would be missed; use --changes, which sees all"
            )
        if self.ask("read", f"SELECT 1 FROM {quoted(table.name)} WHERE {quoted(self._cursor)} < 0 LIMIT 1"):
            raise SourceError(f"{label} has rows with a {self._cursor} below 0: use --changes")

    def latest(self) -> int:
        """See :meth:`pykafka_store.source.feed.Feed.latest`."""
        table, cursor = quoted(self._table.name), quoted(self._cursor)
        return self.number("read", f"SELECT coalesce(max({cursor}), -1) FROM {table}")

    def check(self, seen: Seen) -> int | None:
        """See :meth:`pykafka_store.source.feed.Feed.check`."""
        table, cursor = quoted(self._table.name), quoted(self._cursor)
        position = seen.position
        found = self.number("count", f"SELECT count(*) FROM {table} WHERE {cursor} <= ?", position)
        if seen.rows is not None and found > seen.rows:
            raise SourceError(
                f"{self.name}: {self._table.name} has {found - seen.rows} rows that came in behind the cursor, at "
                f"{self._cursor} {position} or before: they are not in the topic; use --changes, which sees such rows"
            )
        last = self.ask("read", "SELECT seq FROM sqlite_sequence WHERE name = ?", self._table.name)
        reached = int(str(last[0][0])) if last else -1
        if position >= 0 and position > reached:
            raise SourceError(
                f"{self.name}: {self._table.name} ends at {self._cursor} {reached}, and was read up to {position}: it "
                "is another table, or lost rows; name another source with --name"
            )
        return found

    def look(self, after: int, most: int) -> Look:
        """See :meth:`pykafka_store.source.feed.Feed.look`."""
        version = self.schema_version()
        if version != self._version:
            self._table = table = read_table(self.file, self._table.name)
            self._check_cursor()
            self._encoder = RowEncoder(f"{self.name}: {table.name}", table.columns, table.binary)
            self._version = version
        columns, cursor = self._table.columns, quoted(self._cursor)
        rows = self.ask(
            "read rows",
            f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(self._table.name)} WHERE {cursor} > ? "
            f"ORDER BY {cursor} LIMIT ?",
            after,
            most,
        )
        at, encoder = columns.index(self._cursor), self._encoder
        single = len(self._key) > 1
        changes = [
            Change(
                row[at],  # type: ignore[arg-type]  # an INTEGER PRIMARY KEY holds nothing else
                encoder.key(row, self._key, as_object=single) if self._key else None,
                encoder.value(row),
            )
            for row in rows
        ]
        return Look(changes, len(rows) < most)


class SqliteQuery(SqliteFeed, PlainFeed):
    """What a query gives, compared with the topic. See :class:`pykafka_store.source.feed.Feed`."""

    compares = True

    def __init__(self, path: str, query: str, key: Sequence[str]) -> None:
        super().__init__(path)
        self._query = query
        self._key = key
        self._comparison = Comparison(path)
        self.recall = self._comparison.recall  # type: ignore[method-assign]
        self.look = self._comparison.looking(self._rows)
        with explained(path, "open"):
            self.file.connection.execute("PRAGMA query_only = ON")

    def _rows(self) -> dict[bytes, bytes]:
        self.file.check_place()
        with explained(self.name, "run the query"), utf8_only(self.name):
            try:
                cursor = self.file.connection.execute(self._query)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_READONLY:  # query_only's; a file's state has extended codes
                    raise SourceError(f"{self.name}: the query changes the database: write a SELECT") from error
                raise
            if cursor.description is None:
                raise SourceError(f"{self.name}: the query gives no rows: write a SELECT")
            columns = [str(column[0]) for column in cursor.description]
            with closing(cursor):
                rows = cursor.fetchall()
        self._comparison.check_columns(columns, self._key)
        # A result has no declared types: what holds bytes is a column for them.
        binary = [name for at, name in enumerate(columns) if any(isinstance(row[at], bytes) for row in rows)]
        encoder = RowEncoder(self.name, columns, binary)
        return self._comparison.keyed((encoder.key(row, self._key, as_object=True), encoder.value(row)) for row in rows)
