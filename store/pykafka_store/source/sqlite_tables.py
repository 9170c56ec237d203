"""Tables and files of SQLite as feeds see them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

from pykafka_store.databases.sqlite import SqliteFile, explained, quoted
from pykafka_store.source.feed import SourceError

_GENERATED, _HIDDEN = {2, 3}, 1


class Table(NamedTuple):
    name: str
    columns: Sequence[str]
    """All but generated ones, which are the others' and would be no cells of a reader's."""
    binary: Sequence[str]
    pk: Sequence[str]
    unique: Sequence[frozenset[str]]
    sql: str


def read_table(file: SqliteFile, name: str) -> Table:
    """Raises SourceError where there is no such table."""
    ask = file.connection.execute
    with explained(file.path, f"read the columns of table {name}"):
        found = ask("SELECT type, name, sql FROM sqlite_schema WHERE name = ? COLLATE NOCASE", (name,)).fetchone()
        if found is None:
            raise SourceError(f"{file.path} has no table {name}")
        kind, name, sql = found
        if kind != "table":
            raise SourceError(f"{file.path}: {name} is a {kind} and no table: give --query 'SELECT * FROM {name}'")
        columns, binary, keys = [], [], {}
        for _, column, declared, _, _, pk, hidden in ask(f"PRAGMA table_xinfo({quoted(name)})"):
            if pk:
                keys[pk] = column
            if hidden in _GENERATED or hidden == _HIDDEN:
                continue
            columns.append(column)
            if "BLOB" in declared.upper():
                binary.append(column)
        pk_columns = [keys[number] for number in sorted(keys)]
        unique = [frozenset(pk_columns)] if pk_columns else []
        for _, index, is_unique, origin, partial in ask(f"PRAGMA index_list({quoted(name)})").fetchall():
            if is_unique and not partial and origin != "pk":
                unique.append(frozenset(str(row[2]) for row in ask(f"PRAGMA index_info({quoted(index)})")))
    return Table(name, columns, binary, pk_columns, unique, sql)


@contextmanager
def utf8_only(name: str, prefix: str = "") -> Iterator[None]:
    """Raise SourceError for a cell that SQLite calls text and that is none: no reader could be told what it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        found = re.match(r"Could not decode to UTF-8 column '(.*?)' with text '(.*)'", str(error), re.DOTALL)
        if found is None:
            raise
        column, text = found[1].removeprefix(prefix), found[2]
        raise SourceError(
            f"{name}: column {column} holds text that is not UTF-8, {text!r:.60}: correct it, or give it to --query as "
            f"CAST({column} AS BLOB); --changes that have it already are begun anew by --remove"
        ) from None


class SqliteFeed:
    """What all of them share. ``path`` is a file that is there."""

    prefix = ""
    """What stands before the names of the user's columns where they are read."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.file = SqliteFile(path, create=False)
        self.close = self.file.connection.close

    def ask(self, what: str, sql: str, *values: object) -> list[tuple[object, ...]]:
        self.file.check_place()
        # Closed even where a cell can't be read: who holds the error would hold the file's lock, too.
        with (
            explained(self.name, what),
            utf8_only(self.name, self.prefix),
            closing(self.file.connection.execute(sql, values)) as cursor,
        ):
            return cursor.fetchall()

    def number(self, what: str, sql: str, *values: object) -> int:
        (found,) = self.ask(what, sql, *values)[0]
        assert isinstance(found, int)
        return found

    def schema_version(self) -> int:
        return self.number("look at", "PRAGMA schema_version")
