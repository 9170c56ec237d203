"""Reading for the console consumer: from a plan of what, from where and how far, to runs of records on stdout.

Source: org.apache.kafka.tools.consumer.ConsoleConsumer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pykafka_cli.kafka_log import CONSUMER_LOGGER, log_line
from pykafka_store.errors import (
    IllegalGenerationError,
    NoOffsetForPartitionError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_cli.printing import Printing
    from pykafka_store.api import Cluster, Consumer
    from pykafka_store.model import Records

LONG_WAIT, SHORT_WAIT = 1.0, 0.02
"""Seconds that one poll waits: for what may come, and for what must be there. Between polls an end can be noticed."""


class Plan(NamedTuple):
    """What to read, from where, and how far."""

    topic: str | None
    pattern: re.Pattern[str] | None
    partition: int | None
    start: int | OffsetAt | None
    """None: there is no place to start from, because auto.offset.reset is none."""
    duration_ms: int | None
    """Start with what is at most so old, where auto.offset.reset is by_duration (KIP-1106)."""
    tail: int | None
    exit_at_end: bool
    max_messages: int
    timeout: float | None
    """Seconds without a record."""


class NothingCame(Exception):  # noqa: N818 - it is an end like others
    """No record came for --timeout-ms."""


class Reading:
    """The way from a plan to runs of records."""

    def __init__(self, env: Env, cluster: Cluster, consumer: Consumer, config: dict[str, str], plan: Plan) -> None:
        self._env = env
        self._cluster = cluster
        self._consumer = consumer
        self._config = config
        self._plan = plan
        self._skip: dict[TopicPartition, int] = {}
        """Records still to be dropped, where --tail had to start further back."""
        self._ends: dict[TopicPartition, int] | None = None
        """Where --exit-at-end stops."""

    def begin(self) -> None:
        """Take up the partitions, at the offsets where reading starts."""
        plan, consumer = self._plan, self._consumer
        if plan.topic is not None and plan.partition is not None:
            assert plan.start is not None
            self._assign(plan.topic, plan.partition, plan.start)
        else:
            start = OffsetAt.LATEST if plan.start is None else OffsetAt(plan.start)
            consumer.subscribe([plan.topic] if plan.topic is not None else None, pattern=plan.pattern, start=start)
            if plan.start is None and plan.tail is None:
                names = ", ".join(map(str, consumer.assignment()))
                raise NoOffsetForPartitionError(f"Undefined offset with no reset policy for partitions: [{names}]")
            if plan.duration_ms is not None:
                self._go_back_to(int(self._env.clock() * 1000) - plan.duration_ms)
        if plan.tail is not None:
            self._go_back(plan.tail)
        if plan.exit_at_end:
            self._ends = consumer.end_offsets(consumer.assignment())

    def end(self) -> None:
        """All is printed that will be."""

    def _assign(self, topic: str, number: int, start: int | OffsetAt) -> None:
        partition = TopicPartition(topic, number)
        try:
            self._consumer.assign({partition: start})
        except UnknownTopicOrPartitionError:
            self._consumer.subscribe([topic])  # makes the topic, if that is allowed; in Kafka, asking for it does
            if partition not in self._consumer.assignment():
                raise UnknownTopicOrPartitionError(f"Topic {topic} has no partition {number}.") from None
            self._consumer.assign({partition: start})

    def _go_back_to(self, timestamp: int) -> None:
        """Start with the first record that is not older; where there is none, with the next that comes."""
        partitions = self._consumer.assignment()
        found = self._cluster.admin().list_offsets(dict.fromkeys(partitions, timestamp))
        for partition, offset in found.items():
            if isinstance(offset, Exception):
                raise offset
            if offset >= 0:
                self._consumer.seek(partition, offset)

    def _go_back(self, count: int) -> None:
        """Start with the last ``count`` records of each partition."""
        partitions = self._consumer.assignment()
        begins, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        with self._cluster.consumer(self._config) as scout:
            for partition in partitions:
                start, excess = _tail(scout, partition, begins[partition], ends[partition], count)
                self._consumer.seek(partition, start)
                self._skip[partition] = excess

    def print_all(self, printing: Printing) -> None:
        """Read and print to the end that the plan names.

        Raises NothingCame, FormatError, and BrokenPipeError if nobody reads on.
        """
        plan = self._plan
        last_came = self._env.monotonic()
        wait = SHORT_WAIT if plan.exit_at_end else LONG_WAIT
        if plan.timeout is not None:
            wait = min(wait, plan.timeout)
        while plan.max_messages == -1 or printing.count < plan.max_messages:
            if self._at_end():
                return
            limit = None
            if plan.max_messages != -1:
                limit = plan.max_messages - printing.count + sum(self._skip.values())
            runs = self._consumer.poll(wait, max_records=limit)
            if runs:
                printing.print(self._wanted(runs))
            self._printed()
            if runs:
                last_came = self._env.monotonic()
            elif plan.timeout is not None and self._env.monotonic() - last_came >= plan.timeout:
                raise NothingCame
            else:
                printing.check_reader()

    def _printed(self) -> None:
        """What the last poll gave, if anything, is written and flushed."""

    def _at_end(self) -> bool:
        if self._ends is None:
            return False
        # What is no longer read was deleted meanwhile, and has no end to be reached.
        for partition in set(self._ends).intersection(self._consumer.assignment()):
            if self._consumer.position(partition) < self._ends[partition]:
                return False
        return True

    def _wanted(self, runs: list[Records]) -> list[Records]:
        """The runs without what --tail skips, and without what came after the end of --exit-at-end."""
        if self._ends is None and not self._skip:
            return runs
        wanted = []
        for run in runs:
            partition = TopicPartition(run.topic, run.partition)
            skipped = min(self._skip.get(partition, 0), len(run))
            if skipped:
                self._skip[partition] -= skipped
            stop = len(run)
            if self._ends is not None:
                stop = bisect_left(run.offsets, self._ends.get(partition, 0))
            if skipped < stop:
                wanted.append(run.slice(skipped, stop))
        return wanted


class GroupReading(Reading):
    """Reading as a member of a group: which partitions, and from where, is the group's affair.

    What is committed is exactly what was written and flushed, so the consumer must not commit by itself: it would count
    what it has handed over. ``--exit-at-end`` stops when this member knows its share and is at the end of all of it,
    each partition's end being the one it had when it was first given here.
    """

    def __init__(self, env: Env, cluster: Cluster, consumer: Consumer, config: dict[str, str], plan: Plan) -> None:
        super().__init__(env, cluster, consumer, config, plan)
        commit = config.pop("enable.auto.commit", "true").strip().lower() == "true"
        self._interval = int(config.get("auto.commit.interval.ms", "5000")) / 1000 if commit else None
        self._next_commit = 0.0
        self._done: dict[TopicPartition, int] = {}
        """Partition -> the offset after the last record that left this process."""
        self._knows_its_share = False
        if plan.exit_at_end:
            self._ends = {}

    def begin(self) -> None:
        """Join the group."""
        plan, consumer = self._plan, self._consumer
        consumer.on_rebalance(assigned=self._assigned, revoked=self._revoked, lost=self._forget)
        consumer.subscribe([plan.topic] if plan.topic is not None else None, pattern=plan.pattern)
        if self._interval is not None:
            self._next_commit = self._env.monotonic() + self._interval

    def end(self) -> None:
        """Commit what is still to be committed, before the consumer leaves."""
        self._commit(self._done)

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._knows_its_share = True
        new = {partition: self._consumer.position(partition) for partition in partitions}
        self._done |= new
        # Where the group had committed nothing, its beginning is fixed now: were it found again after a crash, what
        # came in between would be passed over.
        self._commit(new)
        if self._ends is not None:
            for partition, end in self._consumer.end_offsets(partitions).items():
                self._ends.setdefault(partition, end)

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._commit({partition: self._done[partition] for partition in partitions if partition in self._done})
        self._forget(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._done.pop(partition, None)

    def _printed(self) -> None:
        for partition in set(self._done).intersection(self._consumer.assignment()):
            position = self._consumer.position(partition)
            # Beyond the end of --exit-at-end nothing is printed, so nothing is done either.
            self._done[partition] = min(position, self._ends[partition]) if self._ends is not None else position
        if self._interval is not None and self._env.monotonic() >= self._next_commit:
            self._next_commit = self._env.monotonic() + self._interval
            self._commit(self._done)

    def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit, if committing is wanted. A member that was expired can't: others have its partitions by now."""
        known = {partition: offset for partition, offset in offsets.items() if offset >= 0}
        if self._interval is None or not known:
            return
        try:
            self._consumer.commit(known)
        except (UnknownMemberIdError, IllegalGenerationError, UnknownTopicOrPartitionError) as error:
            self._env.err(log_line(self._env.clock(), "WARN", f"Offset commit failed: {error}", CONSUMER_LOGGER))

    def _at_end(self) -> bool:
        return self._knows_its_share and super()._at_end()


def _tail(scout: Consumer, partition: TopicPartition, begin: int, end: int, count: int) -> tuple[int, int]:
    """Where the last ``count`` records before ``end`` begin: (an offset, how many records from there are too many).

    Offsets have gaps where compaction or a transaction left them, so records are counted, further and further back.
    """
    span = count
    while end - begin > span:
        found = _count(scout, partition, end - span, end)
        if found >= count:
            return end - span, found - count
        span *= 4
    excess = _count(scout, partition, begin, end) - count if span > count else 0
    return begin, max(excess, 0)


def _count(scout: Consumer, partition: TopicPartition, start: int, end: int) -> int:
    """Records from ``start`` to ``end`` (exclusive)."""
    scout.assign({partition: start})
    found = 0
    while scout.position(partition) < end:
        for run in scout.poll(SHORT_WAIT):
            found += bisect_left(run.offsets, end)
    return found
