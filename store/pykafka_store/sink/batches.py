"""Pieces of partitions -> what one transaction of the target writes: rows, dead letters, and how far it brings each
partition.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from pykafka_store.model import Records, TopicPartition
from pykafka_store.sink.ahead import Ahead
from pykafka_store.sink.buffer import Piece
from pykafka_store.sink.letters import LetterTopic
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import Problem, headers_text, meta_columns
from pykafka_store.sink.shaping import Shaping
from pykafka_store.sink.target import Claim, DeadLetter, Group, Move, RefusedError, TableWrite, Target


class BadRecord(NamedTuple):
    """A record that is no row, where that is the end."""

    partition: TopicPartition
    offset: int
    problem: Problem

    def __str__(self) -> str:
        column = f", column {self.problem.column}" if self.problem.column is not None else ""
        return f"{self.partition}@{self.offset}{column}: {self.problem.reason}"


class _TableBatch:
    """The records of a batch that go into one table."""

    def __init__(self, table: str, runs: Sequence[Records]) -> None:
        self.table = table
        self.runs = runs
        self._ends = list(accumulate(map(len, runs)))

    def record(self, index: int) -> tuple[Records, int]:
        """The run that holds a record, and its number there."""
        number = bisect_right(self._ends, index)
        return self.runs[number], index - (self._ends[number - 1] if number else 0)

    def bad(self, index: int, problem: Problem) -> BadRecord:
        run, at = self.record(index)
        return BadRecord(TopicPartition(run.topic, run.partition), run.offsets[at], problem)

    def letter(self, index: int, problem: Problem) -> DeadLetter:
        run, at = self.record(index)
        return DeadLetter(
            self.table, run.topic, run.partition, run.offsets[at], run.timestamps[at], run.keys[at], run.values[at],
            headers_text(run.headers[at]), None if problem.column is None else _encodable(problem.column),
            _encodable(problem.reason),
        )  # fmt: skip


def _encodable(text: str) -> str:
    """A text of ours as any database has it: it may name a field, whose name may hold half a surrogate pair, or
    U+0000.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class Writer:
    """Writes batches into a target, each once and whole, but for records that are no rows."""

    def __init__(
        self,
        target: Target,
        group: Group,
        options: SinkOptions,
        table_of: Callable[[str], str],
        letter_topic: LetterTopic | None = None,
    ) -> None:
        """``letter_topic``: where dead letters go, instead of into the target."""
        self._target = target
        self._group = group
        self._options = options
        self._table_of = table_of
        self._letter_topic = letter_topic
        self._ahead = Ahead(options)
        self._indexed: set[tuple[str, str]] = set()
        """(table, column) of the indexes that this sink has seen to; no column stands for full-text search."""
        self.dead_letters = 0
        """Records that were no rows, and values that did not fit."""

    def write(
        self, pieces: Sequence[Piece], claims: Mapping[TopicPartition, Claim], following: Sequence[Piece] = ()
    ) -> tuple[list[Piece], BadRecord | None]:
        """Write these records; the answer is what was written, and the first record that ends it all. Meanwhile those
        that are ``following`` are parsed.

        What ends it is left out, with all of its partition behind it. Raises what the target raises.
        """
        first_bad: BadRecord | None = None
        pieces = list(pieces)
        while True:
            bad = self._try(pieces, claims, following)
            if bad is None:
                return pieces, first_bad
            first_bad = bad[0] if first_bad is None or bad[0].partition == first_bad.partition else first_bad
            earliest: dict[TopicPartition, int] = {}
            for each in bad:
                earliest[each.partition] = min(each.offset, earliest.get(each.partition, each.offset))
            pieces = [
                piece.until(earliest[piece.partition]) if piece.partition in earliest else piece for piece in pieces
            ]

    def _by_table(self, pieces: Sequence[Piece]) -> dict[str, list[Records]]:
        runs: dict[str, list[Records]] = {}
        for piece in pieces:
            if piece.runs:
                runs.setdefault(self._table_of(piece.partition.topic), []).extend(piece.runs)
        return runs

    def _try(
        self, pieces: Sequence[Piece], claims: Mapping[TopicPartition, Claim], following: Sequence[Piece]
    ) -> list[BadRecord] | None:
        """Write it; or nothing, and the answer is which records forbid it."""
        stops = self._options.errors == "stop"
        letters: list[DeadLetter] = []
        writes = []
        bad: list[BadRecord] = []
        for table, some in self._by_table(pieces).items():
            batch = _TableBatch(table, some)
            extra = meta_columns(some, self._options.all_extra)
            parsed = self._ahead.parsed(table, some)
            if stops:  # before a table is made for what follows
                none = [batch.bad(index, one) for index, one in enumerate(parsed.outcomes) if isinstance(one, Problem)]
                if none:
                    bad += none
                    continue
            exactly = partial(self._ahead.exactly, table, some, parsed)
            shaped = Shaping(self._target, table, self._options, parsed, extra, exactly).shape()
            if stops:
                bad += [batch.bad(index, problem) for index, problem in sorted(shaped.problems.items())]
            else:
                for index, problem in [*sorted(shaped.problems.items()), *shaped.nulled]:
                    self._add(letters, batch, index, problem)
            writes.append((batch, shaped))
            self._index(table)
        if bad:
            return bad
        if self._letter_topic is not None and letters:
            self._letter_topic.producer.flush()  # now, while no transaction is open
        tables = []
        refused: list[tuple[_TableBatch, RefusedError]] = []
        for batch, shaped in writes:

            def on_refused(index: int, reason: str, column: str | None, batch: _TableBatch = batch) -> None:
                if stops:
                    refused.append((batch, RefusedError(index, reason, column)))
                    raise refused[-1][1]
                self._add(letters, batch, index, Problem(reason, column))
                if self._letter_topic is not None:
                    self._letter_topic.producer.flush()

            tables.append(TableWrite(batch.table, shaped.pk, shaped.statements, on_refused, shaped.schema))
        moves = [
            Move(piece.partition, claims[piece.partition].epoch, claims[piece.partition].next, piece.after)
            for piece in pieces
            if piece.after > claims[piece.partition].next
        ]
        self._ahead.begin(self._by_table(following))
        try:
            self._target.write(self._group, tables, moves, letters if self._letter_topic is None else ())
        except RefusedError as error:
            return [
                batch.bad(error.index, Problem(error.reason, error.column)) for batch, each in refused if each is error
            ]
        self.dead_letters += len(letters)
        return None

    def _index(self, table: str) -> None:
        """Make the indexes that were asked for, as soon as their columns are there."""
        wanted = {name for name in self._options.indexes if (table, name) not in self._indexed}
        searched = self._options.fts if self._options.fts and (table, "") not in self._indexed else ()
        schema = self._target.schema(table) if wanted or searched else None
        if schema is None:
            return
        for name in sorted(wanted & set(schema.columns)):
            self._target.index(table, name)
            self._indexed.add((table, name))
        if searched and set(searched) <= set(schema.columns):
            self._target.enable_search(table, searched)
            self._indexed.add((table, ""))

    def _add(self, letters: list[DeadLetter], batch: _TableBatch, index: int, problem: Problem) -> None:
        """One more dead letter or note, on its way to the topic if that is its place."""
        letters.append(batch.letter(index, problem))
        if self._letter_topic is not None:
            self._letter_topic.add(letters[-1], *batch.record(index))
