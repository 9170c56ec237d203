"""PostgreSQL's tables and names as a sink sees them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pykafka_store.databases.postgres import LONGEST_NAME, UNIQUE_KEYS
from pykafka_store.sink.target import NOTES_TABLE, Column, Kind, SinkError, TableSchema

if TYPE_CHECKING:
    import psycopg

TYPES = {
    Kind.INTEGER: "bigint",
    Kind.BOOLEAN: "boolean",
    Kind.REAL: "double precision",
    Kind.TEXT: "text",
    Kind.JSON: "jsonb",
    Kind.BYTES: "bytea",
    Kind.TIMESTAMP: "timestamp with time zone",
}

_KINDS = {
    "int8": Kind.INTEGER, "int4": Kind.INTEGER32, "int2": Kind.INTEGER16, "float8": Kind.DOUBLE, "float4": Kind.REAL32,
    "date": Kind.DATE, "timestamp": Kind.LOCAL_TIME, "time": Kind.TIME, "timetz": Kind.ZONED_TIME,
    "numeric": Kind.DECIMAL, "bool": Kind.BOOLEAN, "text": Kind.TEXT, "varchar": Kind.TEXT, "bpchar": Kind.TEXT,
    "json": Kind.JSON, "jsonb": Kind.JSON, "bytea": Kind.BINARY, "timestamptz": Kind.INSTANT,
    "daterange": Kind.DATES, "datemultirange": Kind.DATES, "tsrange": Kind.LOCAL_TIMES,
    "tsmultirange": Kind.LOCAL_TIMES, "tstzrange": Kind.INSTANT, "tstzmultirange": Kind.INSTANT,
    "oid": Kind.UNSIGNED32, "xid": Kind.UNSIGNED32, "cid": Kind.UNSIGNED32, "xid8": Kind.UNSIGNED64,
}  # fmt: skip

_COLUMNS = """
SELECT attname, atttypid, atttypmod, format_type(atttypid, atttypmod), atthasdef OR attidentity != '',
       attgenerated != '' OR attidentity = 'a',
       EXISTS (SELECT FROM pg_collation c WHERE c.oid = attcollation AND NOT c.collisdeterministic)
FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_HELD = """
WITH RECURSIVE within (oid, modifier, is_element) AS (
    SELECT %s::oid, %s::integer, false
    UNION ALL
    SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE e.oid END,
           CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE modifier END, is_element OR t.typtype != 'd'
    FROM within JOIN pg_type t ON t.oid = within.oid LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
    WHERE t.typtype = 'd' OR e.oid IS NOT NULL
)
SELECT t.typname, format_type(t.oid, modifier), is_element, t.typdelim::text,
       CASE t.typname WHEN 'money' THEN scale(0::money::numeric) END
FROM within JOIN pg_type t ON t.oid = within.oid LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
WHERE t.typtype != 'd' AND e.oid IS NULL
"""


_COMPARED_AS_SENT = {"int8", "int4", "int2", "bool", "text", "varchar", "name", "bytea", "float8", "float4"}
"""Types whose values are equal where they are as they are sent; of other types two texts may mean one value."""


class Held(NamedTuple):
    """What a type holds: a domain what it is made of, an array its elements."""

    base: str
    declared: str
    is_element: bool
    delimiter: str
    scale: int | None
    """Digits behind the point, of a type whose name does not tell."""


HeldByType = dict[tuple[int, int], Held]
"""By a type's oid and modifier. It never changes: a domain keeps what it is made of, and a new one has a new oid."""

_SCALE = re.compile(r"numeric\([0-9]+,(-?[0-9]+)\)")
_PRECISION = re.compile(r"(?:timestamp|time|interval|ts(?:tz)?(?:multi)?range)\b[^(]*(?:\(([0-9])\))?")
_LENGTH = re.compile(r"character(?: varying)?\(([0-9]+)\)")
_LAST_FIELD = re.compile(r"interval (?:[a-z]+ to )?(year|month|day|hour|minute)$")
_SIZES = {"name": LONGEST_NAME, '"char"': 1}


class _Limits(NamedTuple):
    scale: int | None = None
    length: int | None = None
    size: int | None = None
    last_field: str | None = None


def _limits(held: Held) -> _Limits:
    """See :class:`pykafka_store.sink.target.Column`."""
    if (found := _SCALE.match(held.declared)) is not None:
        return _Limits(scale=int(found[1]))
    if (found := _LAST_FIELD.match(held.declared)) is not None:
        return _Limits(last_field=found[1])
    if (found := _PRECISION.match(held.declared)) is not None:
        return _Limits(scale=int(found[1] or 6))
    found = _LENGTH.match(held.declared)
    return _Limits(held.scale, int(found[1]) if found is not None else None, _SIZES.get(held.declared))


def read_table(
    connection: psycopg.Connection[Any], oid: int, label: str, pending: str, types: HeldByType
) -> TableSchema:
    """A table by its oid; ``pending`` is the name of the note about it, and ``types`` are those known by now. Raises
    SinkError for what is no table.
    """
    (kind,) = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s", (oid,)).fetchone() or ("",)
    if kind not in {"r", "p"}:
        raise SinkError(f"{label} is a view or the like and no table: name another one")
    columns = {}
    there = connection.execute(_COLUMNS, (oid,)).fetchall()
    for name, of_type, modifier, declared, has_default, generated, loosely in there:
        if (of_type, modifier) not in types:
            (found,) = connection.execute(_HELD, (of_type, modifier)).fetchall()
            types[of_type, modifier] = Held(*found)
        held = types[of_type, modifier]
        kind = _KINDS.get(held.base, Kind.OTHER)
        as_sent = held.base in _COMPARED_AS_SENT and not held.is_element and not loosely
        columns[name] = Column(
            name, Kind.OTHER if held.is_element else kind, declared, has_default, generated, *_limits(held),
            element=kind if held.is_element else None, delimiter=held.delimiter, compares="" if as_sent else declared,
        )  # fmt: skip
    primary: tuple[str, ...] = ()
    unique = set()
    for is_primary, names in connection.execute(UNIQUE_KEYS, (oid,)):
        unique.add(frozenset(names))
        primary = tuple(names) if is_primary else primary
    row = connection.execute(f"SELECT value FROM {NOTES_TABLE} WHERE name = %s", (pending,)).fetchone()
    return TableSchema(columns, primary, tuple(unique), frozenset(json.loads(row[0])) if row else frozenset())
