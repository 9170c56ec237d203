"""Consuming for the console consumer: from a plan of what, from where and how far, to runs of records on stdout.

Source: org.apache.kafka.tools.consumer.ConsoleConsumer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pykafka_cli.console.records_out import FormatError
from pykafka_cli.errors import CommandFailure, QuietFailure
from pykafka_cli.output.kafka_log import CONSUMER_LOGGER, exception_line, log_line
from pykafka_store.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    NoOffsetForPartitionError,
    StoreError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_cli.console.printing import Printing
    from pykafka_cli.env import Env
    from pykafka_store.api import Cluster, Consumer
    from pykafka_store.model import Records

LONG_WAIT, SHORT_WAIT = 1.0, 0.02
"""Seconds that one poll waits: for records that may come, and for such as are there. Between polls ends are noticed."""


class Plan:
    """What to read, from where, and how far."""

    def __init__(
        self,
        *,
        topic: str | None,
        pattern: re.Pattern[str] | None,
        partition: int | None,
        start: int | OffsetAt | None,
        duration_ms: int | None,
        tail: int | None,
        exit_at_end: bool,
        max_messages: int,
        timeout: float | None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> None:
        self.topic = topic
        self.pattern = pattern
        self.partition = partition
        self.start = start
        """None: there is no place to start from, because auto.offset.reset is none."""
        self.duration_ms = duration_ms
        """Start with the first record that is at most so old, where auto.offset.reset is by_duration (KIP-1106)."""
        self.tail = tail
        self.exit_at_end = exit_at_end
        self.max_messages = max_messages
        self.timeout = timeout
        """Seconds without a record."""
        self.from_ms = from_ms
        """Start with the first record that is not older: milliseconds since the epoch."""
        self.to_ms = to_ms
        """Stop before the first record that is not older, or at the end that a partition had at the start."""

    @property
    def wants_records(self) -> bool:
        """Whether any may come. Kafka's tool asks for nothing if not, so no topic is made and no group joined."""
        return self.max_messages == -1 or self.max_messages > 0


class TimedOut(Exception):  # noqa: N818 - it is an end like others
    """No record came for --timeout-ms."""


def consume(env: Env, reading: Reading, printing: Printing, *, systest_events: bool = False) -> None:
    """Read and print until an end is reached. At every kind of end the last line on stderr counts the records.

    Raises CommandFailure where a record can't be formatted, and QuietFailure after an error of the cluster.
    """
    try:
        try:
            if reading.plan.wants_records:
                reading.begin()
                reading.print_all(printing)
        except TimedOut:
            _report(env, "org.apache.kafka.common.errors.TimeoutException")
        except StoreError as error:
            _report(env, exception_line(error))
            raise QuietFailure from error
        except BrokenPipeError:
            env.err("Unable to write to standard out, closing consumer.")
        finally:
            reading.end()
            tell_end(env, printing.count, systest_events=systest_events)
    except FormatError as error:
        # Behind the count, where Kafka's tool has it.
        raise unknown_error(env, f"{error.java_class}: {error}") from error


def tell_end(env: Env, count: int, *, systest_events: bool) -> None:
    env.err(f"Processed a total of {count} messages")
    if systest_events:
        env.out("shutdown_complete")


def _report(env: Env, exception: str) -> None:
    what = "Error processing message, terminating consumer process: "
    env.report_error(f"{log_line(env.clock(), 'ERROR', what, CONSUMER_LOGGER)}\n{exception}")


def unknown_error(env: Env, exception: str) -> CommandFailure:
    """The end that Kafka's consumer comes to by an exception that it does not expect."""
    line = log_line(env.clock(), "ERROR", "Unknown error when running consumer: ", CONSUMER_LOGGER)
    return CommandFailure(f"{line}\n{exception}")


class Reading:
    """The way from a plan to runs of records."""

    def __init__(self, env: Env, cluster: Cluster, consumer: Consumer, config: dict[str, str], plan: Plan) -> None:
        self._env = env
        self._cluster = cluster
        self._consumer = consumer
        self._config = config
        self.plan = plan
        self._is_level = False
        """Whether all that was polled is written and flushed: the positions are those of what was printed."""
        self._skip: dict[TopicPartition, int] = {}
        """Records still to be dropped, where --tail had to start further back."""
        self._ends: dict[TopicPartition, int] | None = None
        """Where --exit-at-end and --to-time stop."""

    def begin(self) -> None:
        """Take up the partitions, at the offsets where reading starts."""
        while True:
            try:
                return self._begin()
            except UnknownTopicOrPartitionError:
                if self.plan.pattern is None:
                    raise
                # One that the pattern covers was deleted just now: begin again, without it.

    def _begin(self) -> None:
        plan, consumer = self.plan, self._consumer
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
                self._go_back_to(max(0, int(self._env.clock() * 1000) - plan.duration_ms))
        if plan.from_ms is not None:
            self._go_back_to(plan.from_ms)
        if plan.tail is not None:
            self._go_back(plan.tail)
        if plan.exit_at_end:
            self._ends = consumer.end_offsets(consumer.assignment())
        if plan.to_ms is not None:
            self._ends = self._ends_before(plan.to_ms)

    def end(self) -> None:
        """Note that no further record will be printed."""

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
        for partition, offset in self._first_since(timestamp, partitions).items():
            self._consumer.seek(partition, offset)

    def _ends_before(self, timestamp: int) -> dict[TopicPartition, int]:
        """Each partition's first record that is not older, where it has one; else its end, which is never passed: what
        is behind it may not be readable yet (read_committed).
        """
        ends = self._consumer.end_offsets(self._consumer.assignment())
        for partition, offset in self._first_since(timestamp, ends).items():
            ends[partition] = min(offset, ends[partition])
        return ends

    def _first_since(self, timestamp: int, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record that is not older, of the partitions that have one."""
        found = self._cluster.admin().list_offsets(dict.fromkeys(partitions, timestamp))
        offsets = {}
        for partition, offset in found.items():
            if isinstance(offset, Exception):
                raise offset
            if offset >= 0:
                offsets[partition] = offset
        return offsets

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

        Raises TimedOut, StoreError, FormatError, and BrokenPipeError if the reader of stdout is gone.
        """
        plan = self.plan
        last_came = self._env.monotonic()
        wait = SHORT_WAIT if self._ends is not None else LONG_WAIT
        if plan.timeout is not None:
            wait = min(wait, plan.timeout)
        while plan.max_messages == -1 or printing.count < plan.max_messages:
            if self._at_end():
                return
            limit = None
            if plan.max_messages != -1:
                limit = plan.max_messages - printing.count + sum(self._skip.values())
            self._is_level = False
            runs = self._consumer.poll(self._patience(wait), max_records=limit)
            if runs:
                printing.print(self._wanted(runs))
            self._is_level = True
            self._printed(something=bool(runs))
            if runs:
                last_came = self._env.monotonic()
            elif plan.timeout is not None and self._env.monotonic() - last_came >= plan.timeout:
                raise TimedOut
            else:
                printing.check_reader()

    def _patience(self, wait: float) -> float:
        """Seconds that the next poll waits for records, where ``wait`` would be convenient."""
        return wait

    def _printed(self, *, something: bool) -> None:
        """Note that the records of the last poll, if it had ``something``, are written and flushed."""

    def _at_end(self) -> bool:
        if self._ends is None:
            return False
        # A partition that is no longer read was deleted meanwhile, and has no end to be reached.
        for partition in set(self._ends).intersection(self._consumer.assignment()):
            if self._consumer.position(partition) < self._ends[partition]:
                return False
        return True

    def _wanted(self, runs: list[Records]) -> list[Records]:
        """The runs without the records that --tail skips, and without those behind the end of --exit-at-end."""
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

    Exactly the records that were written and flushed are committed, so the consumer must not commit by itself: it would
    count those that it has handed over. They are committed once an interval, and as soon as there is nothing more to
    read. ``--exit-at-end`` stops when this member is at the end of all that the group means it to have, each
    partition's end being the one it had when it was first given here.
    """

    def __init__(self, env: Env, cluster: Cluster, consumer: Consumer, config: dict[str, str], plan: Plan) -> None:
        super().__init__(env, cluster, consumer, config, plan)
        commit = config.pop("enable.auto.commit", "true").strip().lower() == "true"
        self._interval = int(config.get("auto.commit.interval.ms", "5000")) / 1000 if commit else None
        self._next_commit = 0.0
        self._done: dict[TopicPartition, int] = {}
        """Partition -> the offset after the last record that left this process."""
        self._uncommitted = False
        """Whether records have left this process since the last commit."""
        if plan.exit_at_end:
            self._ends = {}

    def begin(self) -> None:
        """Join the group."""
        plan, consumer = self.plan, self._consumer
        consumer.on_rebalance(assigned=self._assigned, revoked=self._revoked, lost=self._forget)
        consumer.subscribe([plan.topic] if plan.topic is not None else None, pattern=plan.pattern)
        if self._interval is not None:
            self._next_commit = self._env.monotonic() + self._interval

    def end(self) -> None:
        """Commit the last records, before the consumer leaves. A signal may have struck before they were noted."""
        if self._is_level:
            self._note_printed()
        self._commit_all()

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        new = {partition: self._consumer.position(partition) for partition in partitions}
        self._done |= new
        # Where the group had committed nothing, its beginning is fixed now: were it looked up again after a crash, the
        # records that came in between would be passed over.
        self._commit(new)
        if self._ends is not None:
            # One that was here before keeps its end, but that of a topic which was made anew meanwhile is nearer.
            for partition, end in self._ends_of(partitions).items():
                self._ends[partition] = min(self._ends.get(partition, end), end)

    def _ends_of(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Without those of a topic that was deleted just now: the group will take them away again."""
        try:
            return self._consumer.end_offsets(partitions)
        except UnknownTopicOrPartitionError:
            ends: dict[TopicPartition, int] = {}
            for partition in partitions:
                with suppress(UnknownTopicOrPartitionError):
                    ends |= self._consumer.end_offsets([partition])
            return ends

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._commit({partition: self._done[partition] for partition in partitions if partition in self._done})
        self._forget(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._done.pop(partition, None)

    def _patience(self, wait: float) -> float:
        return min(wait, SHORT_WAIT) if self._uncommitted else wait

    def _note_printed(self) -> None:
        """Take the positions for what has left this process, which they are between a print and the next poll."""
        for partition in set(self._done).intersection(self._consumer.assignment()):
            position = self._consumer.position(partition)
            # Records beyond the end of --exit-at-end are not printed, so they are not committed either.
            self._done[partition] = min(position, self._ends.get(partition, 0)) if self._ends is not None else position

    def _printed(self, *, something: bool) -> None:
        self._note_printed()
        if self._interval is None:
            return
        self._uncommitted = self._uncommitted or something
        idle = self._uncommitted and not something
        if idle or self._env.monotonic() >= self._next_commit:
            self._next_commit = self._env.monotonic() + self._interval
            self._commit_all()

    def _commit_all(self) -> None:
        self._uncommitted = False
        self._commit(self._done)

    def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit, if committing is wanted. A member that was expired, or whose place another took, can't: others have
        its partitions by now.
        """
        known = {partition: offset for partition, offset in offsets.items() if offset >= 0}
        if self._interval is None or not known:
            return
        try:
            self._consumer.commit(known)
        except (
            FencedInstanceIdError,
            IllegalGenerationError,
            UnknownMemberIdError,
            UnknownTopicOrPartitionError,
        ) as error:
            self._env.err(log_line(self._env.clock(), "WARN", f"Offset commit failed: {error}", CONSUMER_LOGGER))

    def _at_end(self) -> bool:
        if self._ends is None or not super()._at_end():
            return False
        self._commit_all()
        if not self._consumer.leave_if_settled():
            return False
        self._done.clear()
        return True


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
