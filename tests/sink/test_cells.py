"""Rows as one list of cells come to what the same rows come to as objects, one by one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka_store import Records
from pykafka_store.sink import parsing
from pykafka_store.sink.cells import Cells
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import meta_columns, parse
from pykafka_store.sink.shaping import Shaped, Shaping
from pykafka_store.sink.sqlite_target import SqliteTarget

_VALUES = st.one_of(
    st.none(), st.integers(-3, 3), st.just(2**63), st.floats(width=16, allow_nan=False, allow_infinity=False),
    st.booleans(), st.text("a\0é\ud800", max_size=2), st.lists(st.integers(0, 2), max_size=2),
)  # fmt: skip
_ROWS = st.dictionaries(st.sampled_from(["n", "x", "s", "g", "N"]), _VALUES, max_size=4)
_ALIKE = st.lists(st.sampled_from(["n", "x", "s", "g", "N"]), unique=True, min_size=1, max_size=4).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, _VALUES)), min_size=1, max_size=9)
)
_OPTIONS = st.sampled_from(
    [
        SinkOptions(errors="dead-letter"),
        SinkOptions(errors="null", extra=("offset",)),
        SinkOptions(errors="dead-letter", columns=("n", "s")),
        SinkOptions(errors="null", pk=("n",), mode="upsert"),
        SinkOptions(errors="dead-letter", pk=("n", "x"), mode="replace"),
        SinkOptions(errors="dead-letter", pk=("n",), mode="ignore", types={"x": "timestamp-ms"}),
    ]
)


def _no_json(word: str) -> None:
    raise ValueError(word)


def _records(rows: list[dict[str, object]]) -> Records:
    values: list[bytes | None] = [json.dumps(row).encode() for row in rows]
    count = len(rows)
    return Records(
        "t", 0, offsets=range(count), timestamps=[0] * count, keys=[None] * count, values=values, headers=[()] * count
    )


@pytest.fixture(scope="module", autouse=True)
def _few_together() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "TOGETHER", 3)
        yield


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteTarget]:
    """With a table, which shaping only looks at."""
    path = tmp_path_factory.mktemp("cells") / "x.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (n INTEGER, x, s TEXT, g AS (n + 1), topic, partition, offset)")
        connection.execute("CREATE UNIQUE INDEX one ON t (n)")
        connection.execute("CREATE UNIQUE INDEX two ON t (n, x)")
    with closing(SqliteTarget(str(path))) as found:
        found.prepare(None)
        yield found


@settings(deadline=None)
@given(rows=st.one_of(_ALIKE, st.lists(_ROWS, max_size=9)))
def test_parsed_rows_are_the_records(rows: list[dict[str, object]]) -> None:
    values = [value for value in _records(rows).values if value is not None]
    try:
        expected = [json.loads(value, parse_constant=_no_json) for value in values]
    except ValueError:
        return
    assert parse([_records(rows)], SinkOptions()).rows == expected


@settings(deadline=None)
@given(rows=_ALIKE, options=_OPTIONS)
def test_cells_are_shaped_as_objects_are(
    target: SqliteTarget, rows: list[dict[str, object]], options: SinkOptions
) -> None:
    records = _records(rows)
    cells = parse([records], options)
    assert cells.cells is not None, "all rows have the same fields"
    objects = cells._replace(outcomes=cells.rows, cells=None, names=(), seen=())
    found, expected = (
        Shaping(target, "t", options, parsed, meta_columns([records], options.all_extra)).shape()
        for parsed in (cells, objects)
    )
    assert repr(_plain(found)) == repr(_plain(expected))


def _plain(shaped: Shaped) -> object:
    """Of a shaping what counts: a statement's columns may stand in any order."""
    statements = []
    for kind, columns, rows, origin in shaped.statements:
        order = sorted(range(len(columns)), key=columns.__getitem__)
        cells = [tuple(row[number] for number in order) for row in rows]
        statements.append((kind, [columns[number] for number in order], cells, list(origin)))
    return shaped.pk, statements, sorted(shaped.problems.items()), shaped.nulled


def test_cells_are_a_sequence_of_rows() -> None:
    rows = Cells.of([[1, 2, 3], ["a", "b", "c"]])
    assert (len(rows), rows[1], rows[-1], list(rows[1:])) == (3, (2, "b"), (3, "c"), [(2, "b"), (3, "c")])
    assert (rows.column(1), list(rows[3:])) == (["a", "b", "c"], [])
    with pytest.raises(IndexError):
        rows[3]
