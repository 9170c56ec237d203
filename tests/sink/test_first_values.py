"""The first values of a column, which say of which type it is made, where none of them is one for it."""

from __future__ import annotations

import pytest

from tests.sink.conftest import Lab


@pytest.mark.parametrize("first", [{"a": None}, {}], ids=["only null", "empty"])
def test_a_record_without_a_value_is_not_lost_where_there_is_no_table(both: Lab, first: dict[str, object]) -> None:
    both.send(first)
    report = both.sink()
    assert report.stopped is not None
    assert "no table yet" in str(report.stopped)
    assert both.next_offset() == 0
    assert both.sink(errors="dead-letter").dead_letters == 1
    both.send({"a": 1}, first)
    assert both.sink(errors="dead-letter").is_good
    assert both.sql("SELECT a FROM t") == [(1,), (None,)]


@pytest.mark.parametrize("unfit", [b'{"a": 1180591620717411303424}', b'{"a": "\\ud800"}'], ids=["integer", "text"])
def test_a_value_that_no_column_holds_makes_none(both: Lab, unfit: bytes) -> None:
    """The column would have its type, and refuse what comes behind."""
    both.send(unfit)
    report = both.sink()
    assert report.stopped is not None
    assert report.stopped.problem.column == "a"
    assert both.sink(errors="dead-letter").dead_letters == 1
    both.send({"a": True, "b": 1}, {"a": False, "b": 2})
    assert both.sink(errors="dead-letter").is_good
    assert both.sql("SELECT a, b FROM t") == [(True, 1), (False, 2)]


def test_a_value_that_no_column_holds_adds_none(both: Lab) -> None:
    both.send({"b": 1, "a": None})
    assert both.sink().is_good
    both.send({"b": 2, "a": 2**70, "c": 2**70})
    assert both.sink(alter=True, errors="dead-letter").dead_letters == 1
    ((reason,),) = both.sql("SELECT reason FROM _pykafka_dead_letters")
    assert "64 bits" in str(reason)
    both.send({"b": 3, "a": "x", "c": "y"})
    assert both.sink(alter=True, errors="dead-letter").is_good
    assert both.sql("SELECT a, c FROM t WHERE b = 3") == [("x", "y")]


def test_records_without_their_key_are_dead_letters_where_there_is_no_table(both: Lab) -> None:
    both.send({"v": 1}, {"id": None, "v": 2})
    assert both.sink(pk=("id",), mode="upsert", errors="dead-letter").dead_letters == 2
    assert both.sql('SELECT "column", reason FROM _pykafka_dead_letters') == [
        ("id", "it is missing"),
        ("id", "it is null"),
    ]
    both.send({"id": 1, "v": 3})
    assert both.sink(pk=("id",), mode="upsert", errors="dead-letter").is_good
    assert both.sql("SELECT id, v FROM t") == [(1, 3)]
