"""Records that were read and not yet written, by partition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pykafka_store.model import Records, TopicPartition


class Piece(NamedTuple):
    """Some of a partition's records, in order, and the offset behind them."""

    partition: TopicPartition
    runs: Sequence[Records]
    after: int

    @property
    def records(self) -> int:
        return sum(map(len, self.runs))

    def until(self, offset: int) -> Piece:
        """The records before an offset."""
        runs = []
        for run in self.runs:
            stop = bisect_left(run.offsets, offset)
            if stop:
                runs.append(run if stop == len(run) else run.slice(0, stop))
        return Piece(self.partition, runs, offset)


class Buffer:
    def __init__(self) -> None:
        self.count = 0
        """Records."""
        self.size = 0
        """Bytes of their values."""
        self.since: float | None = None
        """When the oldest of them came."""
        self._runs: dict[TopicPartition, list[Records]] = {}
        self._reached: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._next: list[Piece] = []
        """What :meth:`following` said."""

    def begin(self, partition: TopicPartition, offset: int) -> None:
        """A partition is read from here on."""
        self.drop([partition])
        self._runs[partition] = []
        self._reached[partition] = self._written[partition] = offset

    def add(self, partition: TopicPartition, records: Records, now: float) -> None:
        self._runs[partition].append(records)
        self.count += len(records)
        self.size += _size(records)
        if self.since is None:
            self.since = now

    def reach(self, partition: TopicPartition, offset: int) -> None:
        """All before this offset has been added; the last offsets may be no records."""
        self._reached[partition] = offset

    def reached(self, partition: TopicPartition) -> int:
        return self._reached[partition]

    def has_news(self, only: Collection[TopicPartition] | None = None) -> bool:
        """Whether something is left to write, be it that there are no records before an offset."""
        return any(
            self._reached[partition] > self._written[partition]
            for partition in self._runs
            if only is None or partition in only
        )

    def take(self, most: int, only: Collection[TopicPartition] | None = None) -> list[Piece]:
        """At most so many records, which stay until :meth:`done`."""
        following, self._next = self._next, []
        if only is None and following and all(map(self._is_first, following)):
            return following
        return self._cut(most, only, {})

    def following(self, pieces: Sequence[Piece], most: int) -> list[Piece]:
        """What is taken next, in the same objects, once these are written; nothing where that is not settled yet."""
        self._next = []
        if self.count - sum(piece.records for piece in pieces) >= most:
            found = self._cut(most, None, {piece.partition: piece.after for piece in pieces})
            self._next = [piece for piece in found if piece.runs]
        return self._next

    def _is_first(self, piece: Piece) -> bool:
        """Whether a piece is what its partition goes on with."""
        runs = self._runs.get(piece.partition, [])[: len(piece.runs)]
        return len(runs) == len(piece.runs) and all(one is other for one, other in zip(runs, piece.runs, strict=True))

    def _cut(
        self, most: int, only: Collection[TopicPartition] | None, behind: Mapping[TopicPartition, int]
    ) -> list[Piece]:
        """At most so many records, from the offsets ``behind`` on. A run that is too long becomes two."""
        pieces = []
        for partition in sorted(self._runs):
            if (only is not None and partition not in only) or most <= 0:
                continue
            begin = behind.get(partition, self._written[partition])
            waiting = self._runs[partition]
            runs: list[Records] = []
            after = self._reached[partition]
            for number, run in enumerate(waiting):
                if run.offsets[0] < begin:
                    continue
                if most <= 0:
                    after = runs[-1].offsets[-1] + 1
                    break
                if len(run) > most:
                    some = run.slice(0, most)
                    waiting[number : number + 1] = [some, run.slice(most, len(run))]
                    runs.append(some)
                    after = some.offsets[-1] + 1
                    most = 0
                    break
                runs.append(run)
                most -= len(run)
            if after > begin:
                pieces.append(Piece(partition, runs, after))
        return pieces

    def done(self, pieces: Sequence[Piece], now: float) -> None:
        """These are written."""
        for piece in pieces:
            left = []
            for run in self._runs[piece.partition]:
                start = bisect_left(run.offsets, piece.after)
                self.count -= start
                if start:
                    self.size -= _size(run)
                if start < len(run):
                    rest = run.slice(start, len(run)) if start else run
                    self.size += _size(rest) if start else 0
                    left.append(rest)
            self._runs[piece.partition] = left
            self._written[piece.partition] = piece.after
        self.since = now if self.count else None

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions, and what was read of them."""
        for partition in partitions:
            for run in self._runs.pop(partition, ()):
                self.count -= len(run)
                self.size -= _size(run)
            self._reached.pop(partition, None)
            self._written.pop(partition, None)
        if not self.count:
            self.since = None

    def clear(self) -> None:
        self.drop(list(self._runs))


def _size(records: Records) -> int:
    return sum(map(len, filter(None, records.values)))
