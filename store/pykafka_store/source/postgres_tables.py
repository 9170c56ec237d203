"""Tables of PostgreSQL as feeds see them, and their rows as JSON, which the server writes.

JSON's numbers are doubles to most readers, and bytes it has none: a ``numeric`` is a string, ``bytea`` is base64. All
else is as ``to_json`` has it: times in ISO 8601, in UTC, ``json`` and arrays as they are, NaN and Infinity as strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pykafka_store.databases.postgres import UNIQUE_KEYS, Session, quoted
from pykafka_store.source.feed import SourceError

if TYPE_CHECKING:
    import psycopg

SETTINGS = (
    "SET TimeZone = 'UTC'", "SET extra_float_digits = 1", "SET bytea_output = 'hex'", "SET IntervalStyle = 'postgres'",
    "SET DateStyle = 'ISO'",
)  # fmt: skip
"""What the text of a value depends on: the same in every session, or a key would not be the same."""

_COLUMNS = """
WITH RECURSIVE within (number, oid) AS (
    SELECT attnum, atttypid FROM pg_attribute WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT number, t.typbasetype FROM within JOIN pg_type t ON t.oid = within.oid WHERE t.typtype = 'd'
)
SELECT a.attname, t.typname::text, a.attgenerated != ''
FROM within JOIN pg_attribute a ON a.attrelid = %(table)s AND a.attnum = number JOIN pg_type t ON t.oid = within.oid
WHERE t.typtype != 'd' ORDER BY number
"""
"""A domain has the form of what it is made of."""


class Table(NamedTuple):
    oid: int
    name: str
    """With its schema, quoted."""
    label: str
    """For messages."""
    kind: str
    """Of pg_class: r, p for a partitioned one."""
    types: dict[str, str]
    """Its columns, with their types' names, but generated ones, which would be no cells of a reader's."""
    generated: Sequence[str]
    pk: Sequence[str]
    unique: Sequence[frozenset[str]]


def read_table(session: Session, connection: psycopg.Connection[Any], name: str) -> Table:
    """Raises SourceError where there is no such table."""
    label = f"{session.name}: {name}"
    found = connection.execute(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE c.oid = coalesce(to_regclass(%s), to_regclass(%s))",
        (quoted(name), name),
    ).fetchone()
    if found is None:
        raise SourceError(f"{session.name} has no table {name}")
    oid, schema, relation, kind = found
    if kind not in {"r", "p"}:
        raise SourceError(f"{label} is a view or the like and no table: give --query 'SELECT * FROM {name}'")
    types, generated = {}, []
    for column, base, is_generated in connection.execute(_COLUMNS, {"table": oid}):
        if is_generated:
            generated.append(column)
        else:
            types[column] = base
    primary: list[str] = []
    unique = []
    for is_primary, names in connection.execute(UNIQUE_KEYS, (oid,)):
        unique.append(frozenset(names))
        primary = list(names) if is_primary else primary
    return Table(oid, f"{quoted(schema)}.{quoted(relation)}", label, kind, types, generated, primary, unique)


def as_json(column: str, base: str, row: str) -> str:
    """A column of the row variable, or table, ``row`` as what ``to_json`` makes a value of."""
    name = f"{row}.{quoted(column)}"
    if base == "numeric":
        return f"{name}::text"
    if base == "bytea":
        return f"translate(encode({name}, 'base64'), E'\\n', '')"
    return name


def value_of(types: dict[str, str], row: str) -> str:
    """An expression for a row as a JSON object, as text. ``types``: all columns of the row, or table, ``row``."""
    return key_of(types, list(types), row)


def key_of(types: dict[str, str], columns: Sequence[str], row: str) -> str:
    """An expression for some columns of a row as a JSON object, as text."""
    fields = ", ".join(f"{as_json(column, types[column], row)} AS {quoted(column)}" for column in columns)
    alias = "r"
    while alias in types:  # there the column would be meant
        alias += "_"
    return f"(SELECT row_to_json({alias}) FROM (SELECT {fields}) {alias})::text"
