"""Keys that are written differently and are one to the database: what comes last of them counts, as of any other."""

from __future__ import annotations

import json

import pytest

from tests.sink.conftest import Lab, PostgresLab

POSTGRES = {
    "timestamptz": ("2024-01-01T10:00:00Z", "2024-01-01T12:00:00+02"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    "char(3)": ("a", "a  "),
    "numeric": ("1", "1.00"),
    "inet": ("10.0.0.1", "10.0.0.1/32"),
    "jsonb": ({"a": 1, "bb": 2}, {"bb": 2, "a": 1}),
    "text[]": (["a"], "{a}"),
    "date": ("2024-01-01", "02024-01-01"),
    "loose": ("straße", "STRASSE"),
}
SQLITE = {"text COLLATE NOCASE": ("a", "A"), "text COLLATE RTRIM": ("a", "a ")}

CASES = [("lab", *case) for case in SQLITE.items()] + [("pg", *case) for case in POSTGRES.items()]


@pytest.fixture
def keyed(request: pytest.FixtureRequest) -> tuple[Lab, object, object]:
    """A database with a table, and two ways to write one key of it."""
    name, of_type, (one, other) = request.param
    lab = request.getfixturevalue(name)
    assert isinstance(lab, Lab)
    if of_type == "loose":
        lab.sql("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
        of_type = "text COLLATE loose"
    lab.sql(f"CREATE TABLE t (id {of_type} PRIMARY KEY, v int, w int)")
    return lab, one, other


all_types = pytest.mark.parametrize("keyed", CASES, indirect=True, ids=[case[1] for case in CASES])


@all_types
@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_the_last_of_a_key_counts(keyed: tuple[Lab, object, object], mode: str) -> None:
    lab, one, other = keyed
    lab.send({"id": one, "v": 1}, {"id": other, "v": 2}, {"id": one, "v": 3}, {"id": other, "v": 4})
    assert lab.sink(mode=mode, pk=("id",)).is_good
    assert lab.sql("SELECT v, w FROM t") == [(4, None)]


@all_types
def test_fields_of_a_key_come_together_in_order(keyed: tuple[Lab, object, object]) -> None:
    lab, one, other = keyed
    lab.send({"id": one, "w": 0}, {"id": one, "v": 1, "w": 1}, {"id": other, "w": 2})
    assert lab.sink(mode="upsert", pk=("id",)).is_good
    assert lab.sql("SELECT v, w FROM t") == [(1, 2)]


@all_types
def test_a_deletion_is_of_the_key_whichever_way_it_is_written(keyed: tuple[Lab, object, object]) -> None:
    lab, one, other = keyed
    keys = [json.dumps({"id": key}).encode() for key in (one, other)]
    lab.send({"v": 1}, None, keys=keys)
    assert lab.sink(mode="upsert", pk=("key",), delete=True).is_good
    assert lab.sql("SELECT * FROM t") == []
    lab.send(None, {"v": 2}, keys=keys)
    assert lab.sink(mode="upsert", pk=("key",), delete=True).is_good
    assert lab.sql("SELECT v FROM t") == [(2,)]


def test_keys_of_several_columns_and_those_that_are_none(pg: PostgresLab) -> None:
    pg.sql("CREATE TABLE t (sensor text, at timestamptz, v int, PRIMARY KEY (sensor, at))")
    one, other = "2024-01-01T10:00:00Z", "2024-01-01T12:00:00+02"
    rows = [("a", one, 1), ("b", one, 2), ("c", "nonsense", 3), ("a", other, 4), ("b", "2024-01-02", 5)]
    pg.send(*({"sensor": sensor, "at": at, "v": value} for sensor, at, value in rows))
    assert pg.sink(mode="upsert", errors="dead-letter").dead_letters == 1
    assert pg.sql("SELECT sensor, v FROM t ORDER BY v") == [("b", 2), ("a", 4), ("b", 5)]
