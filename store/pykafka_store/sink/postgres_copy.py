"""Rows into a table of PostgreSQL by COPY: in its binary form where we know the bytes of every column, else as text.

The binary form costs a third of text's here, and less at the server. But the server takes the bytes for whatever type
the column has: eight of an integer are a double as well. So it is only for columns that are, while nobody can change
them, of the types that the rows were fitted to (``declared`` of their schema). Else text is sent, which the server
reads by the type that there is, or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pykafka_store.databases.postgres import quoted
from pykafka_store.sink.target import TableSchema

if TYPE_CHECKING:
    import psycopg

_SENT_AS = {
    "bigint": "int8", "integer": "int4", "smallint": "int2", "double precision": "float8", "real": "float4",
    "boolean": "bool", "bytea": "bytea", "text": "text", "character varying": "text", "json": "text", "jsonb": "text",
}  # fmt: skip
"""A column's type, without a length -> the type whose bytes it takes. https://www.postgresql.org/docs/current/sql-copy.html"""

_LENGTH = re.compile(r"\(\d+\)$")  # not "(10)[]": an array's bytes are others

_JSONB = "\1"
"""What jsonb's bytes begin with, before the text: the version of that form."""

_TYPES = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""


def types_held(connection: psycopg.Connection[Any], table: str) -> Mapping[str, str]:
    """The types of a table's columns, which nobody changes until the transaction ends; none where we can't see to that.

    LOCK TABLE asks for a right to the whole table, and COPY only for those to its columns.
    """
    may_lock = connection.execute("SELECT has_table_privilege(to_regclass(%s), 'INSERT')", (quoted(table),)).fetchone()
    if may_lock != (True,):
        return {}
    # The lock that COPY takes itself, before the types are read and not behind that.
    connection.execute(f"LOCK TABLE ONLY {quoted(table)} IN ROW EXCLUSIVE MODE")
    return types_of(connection, table)


def types_of(connection: psycopg.Connection[Any], table: str) -> Mapping[str, str]:
    """The types of a table's columns, as :class:`pykafka_store.sink.target.Column` declares them."""
    return dict(connection.execute(_TYPES, (quoted(table),)).fetchall())


def binary_types(columns: Sequence[str], fitted: TableSchema | None, there: Mapping[str, str]) -> list[str] | None:
    """What each of these columns is sent as; None where text has to be sent. ``there`` are the columns' types that
    nobody can change now, ``fitted`` the table that the rows were fitted to.
    """
    if fitted is None:
        return None
    sent = []
    for name in columns:
        column = fitted.columns.get(name)
        if column is None or there.get(name) != column.declared:
            return None
        of_type = _SENT_AS.get(_LENGTH.sub("", column.declared))
        if of_type is None:
            return None
        sent.append(of_type)
    return sent


def copy_rows(
    connection: psycopg.Connection[Any],
    into: str,
    columns: Sequence[str],
    rows: Sequence[tuple[object, ...]],
    binary: Sequence[str] | None,
    jsonb: Sequence[int] = (),
) -> None:
    """Copy rows into a table. ``into``: its name, quoted. ``binary``: see :func:`binary_types`. ``jsonb``: the numbers
    of the columns that are.
    """
    names = ", ".join(map(quoted, columns))
    form = "" if binary is None else " (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(f"COPY {into} ({names}) FROM STDIN{form}") as copy:
        some: Iterable[tuple[object, ...]] = rows
        if binary is not None:
            copy.set_types(binary)
            some = _versioned(rows, jsonb) if jsonb else rows
        write_row = copy.write_row
        for row in some:
            write_row(row)


def _versioned(rows: Sequence[tuple[object, ...]], jsonb: Sequence[int]) -> Iterable[tuple[object, ...]]:
    """Rows with the texts for jsonb as its bytes."""
    columns: list[Sequence[object]] = list(zip(*rows, strict=True))
    for number in jsonb:
        columns[number] = [None if value is None else f"{_JSONB}{value}" for value in columns[number]]
    return zip(*columns, strict=True)
