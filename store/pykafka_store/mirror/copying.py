"""The copying of one partition: how far it is, what is on its way, and where each record got to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from pykafka_store.mirror.ledger import Entry, Key
from pykafka_store.mirror.offsets import OffsetMap
from pykafka_store.mirror.telling import Progress, TopicReport
from pykafka_store.model import Records, TopicPartition

SMALL = 200
"""Records of a batch that is copied together with its neighbours."""

_T = TypeVar("_T")


class Copy:
    """The copying of one partition."""

    def __init__(self, source: TopicPartition, target: TopicPartition, key: Key, ids: tuple[str, str]) -> None:
        self.source = source
        self.target = target
        self.key = key
        self.source_id, self.target_id = ids
        self.offsets = OffsetMap()
        self.floor = 0
        self.position = 0
        """All before this source offset is copied."""
        self.started = 0
        self.goal: int | None = None
        """The source offset to stop at; None: never."""
        self.reading = 0
        """Where the source is read."""
        self.waiting: deque[Sequence[int]] = deque()
        """The source offsets of what was sent and is not acknowledged yet."""
        self.stuck = False
        """Whether the target refused a record: what it says of later ones does not count."""
        self.records = 0
        self.size = 0
        self._landed: list[tuple[int, int]] = []
        """The target offsets of this run's records: first, and the one after the last; runs that touch are one."""

    @property
    def name(self) -> str:
        """What names the source for good."""
        return f"{self.key[0]}/{self.source_id}/{self.source.partition}"

    @property
    def is_done(self) -> bool:
        return self.goal is not None and self.reading >= self.goal

    def delivered(self, base_offset: int, count: int) -> None:
        """The next ``count`` of what waits are in the log, from ``base_offset`` on."""
        self.records += count
        if self._landed and self._landed[-1][1] == base_offset:
            self._landed[-1] = (self._landed[-1][0], base_offset + count)
        else:
            self._landed.append((base_offset, base_offset + count))
        while count:
            sent = self.waiting.popleft()
            if len(sent) > count:
                self.waiting.appendleft(sent[count:])
                sent = sent[:count]
            self.offsets.add_records(sent, base_offset)
            base_offset += len(sent)
            count -= len(sent)
            self.position = sent[-1] + 1
        self.floor = self.offsets.target_end

    def landed_before(self, offset: int) -> int:
        """How many of this run's records lie before an offset of the target."""
        return sum(max(0, min(stop, offset) - start) for start, stop in self._landed)

    def entry(self) -> Entry:
        return Entry(self.source_id, self.target_id, self.position, self.floor, self.offsets)

    def translated(self, offset: int) -> int:
        return self.offsets.translated(offset) if self.offsets.runs else self.floor


def joined_where_small(runs: Iterable[Records]) -> Iterator[Records]:
    """The same records, where many small batches of a partition come one after the other as few larger ones.

    Large ones stay as they are: they were written at once, and have in common what makes them quick to copy.
    """
    waiting: dict[TopicPartition, list[Records]] = {}
    for each in runs:
        some = waiting.setdefault(TopicPartition(each.topic, each.partition), [])
        if len(each) < SMALL:
            some.append(each)
            continue
        if some:
            yield _joined(some)
            some.clear()
        yield each
    yield from (_joined(some) for some in waiting.values() if some)


def _joined(runs: Sequence[Records]) -> Records:
    """Runs of one partition as one."""
    if len(runs) == 1:
        return runs[0]
    return Records(
        runs[0].topic,
        runs[0].partition,
        offsets=_chained([run.offsets for run in runs]),
        timestamps=_chained([run.timestamps for run in runs]),
        keys=_chained([run.keys for run in runs]),
        values=_chained([run.values for run in runs]),
        headers=_chained([run.headers for run in runs]),
    )


def _chained(columns: Iterable[Sequence[_T]]) -> list[_T]:
    return list(chain.from_iterable(columns))


def size_of(records: Records) -> int:
    size = sum(map(len, filter(None, records.values))) + sum(map(len, filter(None, records.keys)))
    for fields in filter(None, records.headers):
        size += sum(len(name.encode()) + len(value or b"") for name, value in fields)
    return size


def progress_of(copies: Iterable[Copy]) -> Progress:
    every = [*copies]
    return Progress(
        sum(copy.records for copy in every),
        sum(copy.size for copy in every),
        sum(copy.reading - copy.started for copy in every),
        sum((copy.reading if copy.goal is None else copy.goal) - copy.started for copy in every),
    )


def reports_of(copies: Iterable[Copy], starts: Mapping[TopicPartition, int | Exception]) -> list[TopicReport]:
    """``starts``: where the logs of those that got anything begin at the target."""
    found: dict[tuple[str, str], list[Copy]] = {}
    for copy in copies:
        found.setdefault((copy.source.topic, copy.target.topic), []).append(copy)
    reports = []
    for names, some in found.items():
        gone = sum(copy.landed_before(start) for copy in some if isinstance(start := starts.get(copy.target), int))
        records, size = sum(copy.records for copy in some), sum(copy.size for copy in some)
        reports.append(TopicReport(*names, len(some), records - gone, size, gone))
    return reports
