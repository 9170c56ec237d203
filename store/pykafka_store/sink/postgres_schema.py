"""PostgreSQL's tables and names as a sink sees them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pykafka_store.databases.postgres import UNIQUE_KEYS
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
    "int8": Kind.INTEGER, "int4": Kind.INTEGER32, "int2": Kind.INTEGER16, "float8": Kind.REAL, "float4": Kind.REAL32,
    "date": Kind.DATE, "timestamp": Kind.LOCAL_TIME,
    "numeric": Kind.DECIMAL, "bool": Kind.BOOLEAN, "text": Kind.TEXT, "varchar": Kind.TEXT, "bpchar": Kind.TEXT,
    "json": Kind.JSON, "jsonb": Kind.JSON, "bytea": Kind.BINARY,
}  # fmt: skip

_COLUMNS = """
SELECT a.attname, t.typname, format_type(a.atttypid, a.atttypmod), a.atthasdef OR a.attidentity != '',
       a.attgenerated != '' OR a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_SCALE = re.compile(r"numeric\([0-9]+,(-?[0-9]+)\)")
_PRECISION = re.compile(r"(?:timestamp|time|interval)\b[^(]*(?:\(([0-9])\))?")
_LENGTH = re.compile(r"character varying\(([0-9]+)\)")


def _limits(declared: str) -> tuple[int | None, int | None]:
    """How many digits behind the point a type keeps, and how many characters; of an array, its elements."""
    if (found := _SCALE.match(declared)) is not None:
        return int(found[1]), None
    if (found := _PRECISION.match(declared)) is not None:
        return int(found[1] or 6), None
    found = _LENGTH.match(declared)
    return None, int(found[1]) if found is not None else None


def read_table(connection: psycopg.Connection[Any], oid: int, label: str, pending: str) -> TableSchema:
    """A table by its oid; ``pending`` is the name of the note about it. Raises SinkError for what is no table."""
    (kind,) = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s", (oid,)).fetchone() or ("",)
    if kind not in {"r", "p"}:
        raise SinkError(f"{label} is a view or the like and no table: name another one")
    columns = {}
    for name, base, declared, has_default, generated in connection.execute(_COLUMNS, (oid,)):
        kind_of = _KINDS.get(base, Kind.OTHER)
        # An array's type has its element's name behind a stroke. Bytes in an array have another text: left out.
        is_array = declared.endswith("[]") and base.startswith("_") and base != "_bytea"
        element = _KINDS.get(base[1:], Kind.OTHER) if is_array else None
        columns[name] = Column(name, kind_of, declared, has_default, generated, *_limits(declared), element)
    primary: tuple[str, ...] = ()
    unique = set()
    for is_primary, names in connection.execute(UNIQUE_KEYS, (oid,)):
        unique.add(frozenset(names))
        primary = tuple(names) if is_primary else primary
    row = connection.execute(f"SELECT value FROM {NOTES_TABLE} WHERE name = %s", (pending,)).fetchone()
    return TableSchema(columns, primary, tuple(unique), frozenset(json.loads(row[0])) if row else frozenset())
