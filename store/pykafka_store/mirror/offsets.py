"""Which offset at the target each copied record got: what a group's committed offset there is worked out from.

The offsets of a copy are those of its source only where the target was empty and the source has no gaps. Compaction,
markers of transactions, records that were deleted, other writers and records that were copied twice all shift them. So
the map is a row of runs, one for each stretch of records that lie side by side at both ends; one for a whole partition
in the usual case.

>>> offsets = OffsetMap()
>>> offsets.add(10, 0, 5)
>>> offsets.add(20, 5, 5)
>>> [offsets.translated(offset) for offset in (3, 10, 14, 15, 20, 24, 25)]
[0, 0, 4, 5, 5, 9, 10]
>>> OffsetMap.parse(offsets.text(100)).runs == offsets.runs
True
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple


class Run(NamedTuple):
    """``length`` records that lie side by side at both ends, from these offsets on."""

    source: int
    target: int
    length: int


class OffsetMap:
    """The runs of one partition in order, of the source's offsets and of the target's."""

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self.runs = list(runs)

    @property
    def source_end(self) -> int:
        """The source offset behind the last copied record; 0 where there is none."""
        return self.runs[-1].source + self.runs[-1].length if self.runs else 0

    @property
    def target_end(self) -> int:
        """The target offset behind the last copied record; 0 where there is none."""
        return self.runs[-1].target + self.runs[-1].length if self.runs else 0

    def add(self, source: int, target: int, length: int) -> None:
        """Records that were copied after all others."""
        if self.runs and (source, target) == (self.source_end, self.target_end):
            last = self.runs[-1]
            self.runs[-1] = last._replace(length=last.length + length)
        else:
            self.runs.append(Run(source, target, length))

    def add_records(self, sources: Sequence[int], target: int) -> None:
        """Records with these source offsets, side by side at the target from ``target`` on."""
        start = 0
        while start < len(sources):
            stop = _run_end(sources, start)
            self.add(sources[start], target + start, stop - start)
            start = stop

    def add_batch(self, last_source: int, target: int, length: int) -> None:
        """Records of which only the last one's source offset is known, by which the others come as late as they can.

        If there were gaps between them, their offsets are translated to smaller ones than they have: a group reads some
        records again, and misses none.
        """
        self.add(last_source - length + 1, target, length)

    def translated(self, offset: int) -> int:
        """The target offset of the first copied record at or after a source offset; behind all, if there is none."""
        index = bisect_right(self.runs, offset, key=attrgetter("source")) - 1
        if index >= 0 and offset < self.runs[index].source + self.runs[index].length:
            return self.runs[index].target + offset - self.runs[index].source
        return self.runs[index + 1].target if index + 1 < len(self.runs) else self.target_end

    # ---------------------------------------------------------------------------------------------------- as a text

    def text(self, limit: int) -> str:
        """The runs in at most about ``limit`` characters: where they are more, older ones say less exactly.

        Each is ``LENGTH``, with ``SOURCE+TARGET+`` before it: how far it begins behind the end of the one before, left
        out where both are 0.
        """
        runs = self.runs
        while len(text := _text(runs)) > limit and len(runs) > 2:
            half = (len(runs) + 1) // 2
            older = [_merged(*pair) for pair in pairwise(runs[: half + 1])][::2]
            runs = older + runs[half + half % 2 :]
        return text

    @classmethod
    def parse(cls, text: str) -> OffsetMap:
        """Raises ValueError where it is no such text."""
        found = cls()
        for word in text.split():
            *skipped, length = (int(part) for part in word.split("+"))
            source, target = skipped or (0, 0)
            found.runs.append(Run(found.source_end + source, found.target_end + target, length))
        return found


def _run_end(sources: Sequence[int], start: int) -> int:
    """The index behind the records whose offsets follow one on the other from ``start`` on."""
    if sources[-1] - sources[start] == len(sources) - 1 - start:
        return len(sources)
    index = start + 1
    while sources[index] == sources[index - 1] + 1:
        index += 1
    return index


def _text(runs: Sequence[Run]) -> str:
    words = []
    source = target = 0
    for run in runs:
        skipped = (run.source - source, run.target - target)
        words.append(str(run.length) if skipped == (0, 0) else f"{skipped[0]}+{skipped[1]}+{run.length}")
        source, target = run.source + run.length, run.target + run.length
    return " ".join(words)


def _merged(first: Run, second: Run) -> Run:
    """Two neighbours as one, by which no offset becomes a larger one than by the two of them."""
    end = second.source + second.length
    shift = min(first.target - first.source, second.target - second.source)
    start = first.target - shift
    return Run(start, first.target, end - start)
