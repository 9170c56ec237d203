"""The next batch, which is read and parsed while the database has this one: that it is the next one, and whose rows."""

from __future__ import annotations

import json

import pytest

from pykafka_store import Records, TopicPartition
from pykafka_store.sink.ahead import Ahead
from pykafka_store.sink.buffer import Buffer, Piece
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import Problem
from tests.sink.conftest import PostgresLab

ONE, TWO = TopicPartition("t", 0), TopicPartition("t", 1)


def run(partition: TopicPartition, first: int, count: int) -> Records:
    numbers = range(first, first + count)
    values = [json.dumps({"n": number}).encode() for number in numbers]
    nothing = [None] * count
    return Records(*partition, offsets=numbers, timestamps=numbers, keys=nothing, values=values, headers=[()] * count)


def buffer_of(*counts: int) -> Buffer:
    """So many records of each partition, in runs of four."""
    buffer = Buffer()
    for partition, count in zip((ONE, TWO), counts, strict=False):
        buffer.begin(partition, 0)
        for first in range(0, count, 4):
            buffer.add(partition, run(partition, first, min(4, count - first)), 0.0)
        buffer.reach(partition, count)
    return buffer


def offsets(pieces: list[Piece]) -> list[tuple[int, list[int], int]]:
    return [
        (each.partition.partition, [at for some in each.runs for at in some.offsets], each.after) for each in pieces
    ]


def test_what_follows_is_taken_next_in_the_same_objects() -> None:
    buffer = buffer_of(10, 7)
    first = buffer.take(6)
    following = buffer.following(first, 6)
    assert offsets(first) == [(0, [0, 1, 2, 3, 4, 5], 6)]
    assert offsets(following) == [(0, [6, 7, 8, 9], 10), (1, [0, 1], 2)]
    buffer.add(ONE, run(ONE, 10, 4), 0.0)  # more has come of a partition that is before another
    buffer.reach(ONE, 14)
    buffer.done(first, 0.0)
    taken = buffer.take(6)
    assert [id(some) for piece in taken for some in piece.runs] == [
        id(some) for piece in following for some in piece.runs
    ]
    buffer.done(taken, 0.0)
    assert offsets(buffer.take(100)) == [(0, [10, 11, 12, 13], 14), (1, [2, 3, 4, 5, 6], 7)]


def test_what_is_not_written_is_taken_again_and_not_what_follows() -> None:
    buffer = buffer_of(20)
    first = buffer.take(6)
    buffer.following(first, 6)
    assert offsets(buffer.take(6)) == offsets(first)


@pytest.mark.parametrize("change", ["dropped", "read anew", "written otherwise", "too few"])
def test_what_follows_is_forgotten_where_the_buffer_is_another(change: str) -> None:
    buffer = buffer_of(8, 8)
    first = buffer.take(6)
    following = buffer.following(first, 6 if change != "too few" else 11)
    if change == "dropped":
        buffer.done(first, 0.0)
        buffer.drop([TWO])
        assert offsets(buffer.take(6)) == [(0, [6, 7], 8)]
    elif change == "read anew":
        buffer.begin(ONE, 5)
        buffer.add(ONE, run(ONE, 5, 3), 0.0)
        buffer.reach(ONE, 8)
        assert offsets(buffer.take(6)) == [(0, [5, 6, 7], 8), (1, [0, 1, 2], 3)]
    elif change == "written otherwise":
        buffer.done([first[0].until(3)], 0.0)
        assert offsets(buffer.take(6)) == [(0, [3, 4, 5, 6, 7], 8), (1, [0], 1)]
    else:
        assert not following


def test_rows_that_were_parsed_ahead_are_those_of_the_same_records_only() -> None:
    ahead = Ahead(SinkOptions())
    some, others = run(ONE, 0, 3), run(ONE, 0, 3)
    ahead.begin({"t": [some]})
    assert ahead.parsed("t", [others]).rows == [{"n": 0}, {"n": 1}, {"n": 2}]
    first = ahead.parsed("t", [some])
    assert first.rows == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert ahead.parsed("t", [some]).rows is not first.rows, "the batch that has them changes them"


def test_what_fails_ahead_fails_when_it_is_its_turn() -> None:
    ahead = Ahead(SinkOptions())
    bad = Records("t", 0, offsets=[0], timestamps=[0], keys=[None], values=[b"{"], headers=[()])
    ahead.begin({"t": [bad]})
    (found,) = ahead.parsed("t", [bad]).rows
    assert isinstance(found, Problem)


def test_a_bad_record_among_what_is_parsed_ahead_ends_it_there(pg: PostgresLab) -> None:
    for first in range(0, 60, 6):
        pg.send(*({"n": number} for number in range(first, first + 6)))
    pg.send(b"{")
    pg.send({"n": 61})
    report = pg.sink(batch_size=7)
    assert report.stopped is not None
    assert report.stopped.offset == 60
    assert pg.sql("SELECT n FROM t ORDER BY ctid") == [(number,) for number in range(60)]
    assert pg.next_offset() == 60


def test_a_batch_is_parsed_while_the_one_before_it_is_written(pg: PostgresLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of this would only be in the way."""
    begun: list[int] = []
    begin = Ahead.begin
    monkeypatch.setattr(Ahead, "begin", lambda self, tables: (begun.append(len(tables)), begin(self, tables))[1])
    pg.send(*({"n": number} for number in range(100)))
    pg.sink(batch_size=10)
    assert begun == [1] * 9 + [0]
