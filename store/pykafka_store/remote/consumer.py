"""The consumer of a Kafka cluster: librdkafka's messages -> runs of records by column.

Without a group the partitions are ours to choose: those assigned, or all of a subscription, which is looked up again
from time to time. With a group they are the group's, by librdkafka's protocol; offsets are committed here, for what
was returned by a ``poll`` before the present one.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as TheirPartition

from pykafka_store.client_configs import ClientConfig, group_id, reset_duration_ms
from pykafka_store.errors import (
    IllegalGenerationError,
    InvalidGroupIdError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import (
    INTERNAL_TOPICS,
    CommittedOffset,
    OffsetAt,
    Records,
    TimestampType,
    TopicPartition,
)
from pykafka_store.remote.admin import committed
from pykafka_store.remote.cluster import CREATION, SLICE, Link, missing_topic
from pykafka_store.remote.configs import TUNING_CONSUMER

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from pykafka_store.remote.cluster import RemoteCluster

MOST_AT_ONCE = 4000
"""Records of one ``poll``. Fewer cost more a record, more are out of the processor's cache (measured)."""

LOOK = 5.0
"""Seconds between looks for new topics and partitions, or ``metadata.max.age.ms`` if that is less."""

NO_TIMESTAMP = -1
UNDEFINED = -1001
"""The position where nothing is committed and ``auto.offset.reset`` is none, until somebody seeks (OFFSET_INVALID)."""

_SUPERSEDED = {"REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH", "FENCED_MEMBER_EPOCH", "_ASSIGNMENT_LOST"}
_UNKNOWN = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_ID"}


class _Subscribed(NamedTuple):
    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None


class RemoteConsumer:
    """See :class:`pykafka_store.api.Consumer`."""

    def __init__(
        self, cluster: RemoteCluster, config: Mapping[str, str], on_notice: Callable[[str], None] | None
    ) -> None:
        settings = ClientConfig("consumer", config)
        self._cluster = cluster
        self._on_notice = on_notice
        self._group = group_id(config)
        self._reset = settings.text("auto.offset.reset", "latest")
        self._reset_ms = reset_duration_ms(self._reset)
        self._auto_commit = settings.flag("enable.auto.commit", default=True) and self._group is not None
        self._auto_commit_interval = settings.milliseconds("auto.commit.interval.ms", 5000)
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._exclude_internal = settings.flag("exclude.internal.topics", default=True)
        self._max_poll_records = settings.number("max.poll.records", MOST_AT_ONCE, low=1)
        self._look_every = min(LOOK, settings.milliseconds("metadata.max.age.ms", 300000))
        self._incremental = (
            settings.text("group.protocol", "classic") == "consumer"
            or "ooperative" in settings.text("partition.assignment.strategy", "").rpartition(",")[2]
        )
        """Whether a rebalance adds and takes away, instead of replacing what was assigned."""
        more = dict(TUNING_CONSUMER)
        if self._group is None:
            more["group.id"] = f"pykafka-{uuid.uuid4()}"  # librdkafka asks for one; this one never joins nor commits
        self._link: Link[Client] = Link(cluster.address, "consumer", config, Client, more, on_notice)
        self._client = self._link.client
        self._subscription: _Subscribed | None = None
        self._joined: tuple[str, ...] = ()
        """The topics that the group was told of."""
        self._callbacks: dict[str, Callable[[Sequence[TopicPartition]], None] | None] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stale = False
        """Whether librdkafka has still to be told of what is assigned."""
        self._next_look = self._next_commit = 0.0
        self._closed = False
        self._failure: StoreError | None = None
        """What a rebalance callback could not do; raised by the ``poll`` that called it."""

    # ------------------------------------------------------------------------------------------------ what is read

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
        self._leave()
        self._subscription = None
        counts: dict[str, int] = {}
        for topic, number in positions:
            if topic not in counts:
                counts[topic] = self._partition_count(topic)
            if not 0 <= number < counts[topic]:
                raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")
        self._replace(self._resolved(positions))

    def subscribe(
        self,
        topics: Sequence[str] | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        start: OffsetAt = OffsetAt.LATEST,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.subscribe`."""
        self._subscription = _Subscribed(tuple(topics or ()), pattern)
        self._next_look = time.monotonic() + self._look_every
        if self._group is None:
            self._replace(self._resolved(dict.fromkeys(self._covered(create=self._auto_create), start)))
            return
        self._next_commit = time.monotonic() + self._auto_commit_interval
        covered = self._covered(create=self._auto_create)
        self._joined = tuple(dict.fromkeys(partition.topic for partition in covered))
        self._join()

    def _join(self) -> None:
        try:
            self._client.subscribe(
                list(self._joined), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None

    def _covered(self, *, create: bool) -> list[TopicPartition]:
        """The partitions of the subscription that there are now. Raises UnknownTopicOrPartitionError for a named topic
        that is missing, unless brokers create it.
        """
        assert self._subscription is not None
        counted = self._count_or_create if create and not self._cluster.read_only else self._partition_count
        counts = {name: counted(name) for name in self._subscription.topics}
        if self._subscription.pattern is not None:
            counts |= {
                name: count
                for name, count in self._all_topics().items()
                if self._subscription.pattern.fullmatch(name)
                and not (self._exclude_internal and name in INTERNAL_TOPICS)
            }
        return [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]

    def _all_topics(self) -> dict[str, int]:
        """The number of partitions of each topic, sorted."""
        client = self._link.contact()
        try:
            found = client.list_topics(timeout=self._link.timeout).topics
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None
        return {name: len(found[name].partitions) for name in sorted(found) if found[name].error is None}

    def _partition_count(self, name: str) -> int:
        try:
            return self._link.topic_partitions(name)
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None

    def _count_or_create(self, name: str) -> int:
        """The number of partitions of a topic. One that is missing is asked for by a client whose asking creates it."""
        with suppress(UnknownTopicOrPartitionError):
            return self._partition_count(name)
        try:
            count, created = self._cluster.admin_link().created_topic_partitions(name, CREATION)
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None
        if created and self._on_notice is not None:
            self._on_notice(f"Topic {name} did not exist and was created with {count} partition{'s' * (count != 1)}")
        return count

    def _resolved(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int]:
        """Offsets for all, those at a place in the log as it is now."""
        special = {partition: int(at) for partition, at in positions.items() if at < 0}
        return {**{partition: int(at) for partition, at in positions.items()}, **self._offsets_at(special)}

    def _offsets_at(self, at: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """What ListOffsets answers for timestamps, real ones and -1 (latest) and -2 (earliest), by the isolation level.

        -1 where no record is that late.
        """
        if not at:
            return {}
        deadline = time.monotonic() + CREATION
        while True:
            try:
                return self._asked_offsets(at)
            except StoreError as error:
                if not error.retriable or time.monotonic() >= deadline:
                    raise
            # A topic was just made: brokers agree on who leads it in a moment, and librdkafka does not wait for that.
            time.sleep(0.05)

    def _asked_offsets(self, at: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        client = self._link.contact()
        question = [TheirPartition(topic, number, when) for (topic, number), when in at.items()]
        try:
            answers = client.offsets_for_times(question, timeout=self._link.timeout)
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None
        found = {}
        for answer in answers:
            if answer.error is not None:
                raise self._link.reports.error(answer.error)
            found[TopicPartition(answer.topic, answer.partition)] = answer.offset
        return found

    def _replace(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)
        self._paused &= set(positions)
        self._stale = True

    def _follow_subscription(self) -> None:
        """Begin to read what the subscription covers by now, from its beginning; let go of what is gone."""
        assert self._subscription is not None
        try:
            covered = self._covered(create=False)
        except StoreError as error:
            if not error.retriable or isinstance(error, UnknownTopicOrPartitionError):
                raise
            return  # no answer just now: the next look may have one
        if self._group is not None:
            topics = tuple(dict.fromkeys(partition.topic for partition in covered))
            if topics != self._joined:
                self._joined = topics
                self._join()
            return
        new = {partition: OffsetAt.EARLIEST for partition in covered if partition not in self._positions}
        kept = {partition: self._positions[partition] for partition in covered if partition in self._positions}
        if new or len(kept) < len(self._positions):
            self._replace(kept | self._resolved(new))

    @property
    def _may_change(self) -> bool:
        """Whether what is covered is ours to follow: a group follows the topics that it is told of by itself."""
        return self._subscription is not None and (self._group is None or self._subscription.pattern is not None)

    def assignment(self) -> tuple[TopicPartition, ...]:
        return tuple(sorted(self._positions))

    def position(self, partition: TopicPartition) -> int:
        self._require_assigned([partition])
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None:
        self._require_assigned([partition])
        self._positions[partition] = self._resolved({partition: offset})[partition]
        if self._stale:
            return
        try:
            self._client.seek(TheirPartition(*partition, self._positions[partition]))
        except KafkaException:
            self._stale = True  # not being fetched yet: it is assigned anew

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._require_assigned(partitions)
        self._paused |= set(partitions)
        if not self._stale:
            self._client.pause(_theirs(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._require_assigned(partitions)
        self._paused -= set(partitions)
        if not self._stale:
            self._client.resume(_theirs(partitions))

    def _require_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            if partition not in self._positions:
                raise UnknownTopicOrPartitionError(f"{partition} is not read by this consumer: assign it first")

    def _tell_assignment(self) -> None:
        """Let librdkafka fetch from where we stand."""
        theirs = _theirs(self._positions)
        try:
            if self._joined and self._incremental:
                self._client.incremental_unassign(theirs)
                self._client.incremental_assign(theirs)
            else:
                self._client.assign(theirs)
            if self._paused:
                self._client.pause(_theirs(self._paused))
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None
        self._stale = False

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets_at(dict.fromkeys(partitions, int(OffsetAt.EARLIEST)))

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets_at(dict.fromkeys(partitions, int(OffsetAt.LATEST)))

    # -------------------------------------------------------------------------------------------------------- group

    def on_rebalance(
        self,
        assigned: Callable[[Sequence[TopicPartition]], None] | None = None,
        revoked: Callable[[Sequence[TopicPartition]], None] | None = None,
        lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.on_rebalance`."""
        self._callbacks = {"assigned": assigned, "revoked": revoked, "lost": lost}

    def _assigned(self, client: Client, theirs: list[TheirPartition]) -> None:
        """librdkafka's callback, from within ``poll``: begin where the group has committed, else by the reset."""
        partitions = [TopicPartition(each.topic, each.partition) for each in theirs]
        try:
            starts = self._starts(partitions)
        except StoreError as error:
            self._failure = error
            return
        if not self._incremental:
            self._positions.clear()
        self._positions |= starts
        self._stale = True  # so that a seek in the callback changes our positions only, which librdkafka is told next
        self._tell("assigned", partitions)
        told = _theirs({partition: self._positions[partition] for partition in partitions})
        if self._incremental:
            client.incremental_assign(told)
        else:
            client.assign(told)
        if self._paused:
            client.pause(_theirs(self._paused))
        self._stale = False
        undefined = [partition for partition, offset in self._positions.items() if offset == UNDEFINED]
        if undefined:
            self._failure = NoOffsetForPartitionError(
                f"Undefined offset with no reset policy for partitions: [{', '.join(map(str, undefined))}]"
            )

    def _starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        found = self.committed(partitions)
        for partition in partitions:
            self._committed.pop(partition, None)
        self._committed |= {partition: each.offset for partition, each in found.items()}
        missing = [partition for partition in partitions if partition not in found]
        begun = {partition: each.offset for partition, each in found.items()}
        if self._reset == "none":
            return begun | dict.fromkeys(missing, UNDEFINED)
        at = int(OffsetAt.EARLIEST if self._reset == "earliest" else OffsetAt.LATEST)
        if self._reset_ms is not None:
            at = max(0, time.time_ns() // 1_000_000 - self._reset_ms)
        starts = self._offsets_at(dict.fromkeys(missing, at))
        too_late = [partition for partition, offset in starts.items() if offset < 0]
        starts |= self.end_offsets(too_late)
        return starts | begun

    def _revoked(self, _client: Client, theirs: list[TheirPartition]) -> None:
        """librdkafka's callback, from within ``poll`` and ``close``: these are still ours, and about to go."""
        partitions = [TopicPartition(each.topic, each.partition) for each in theirs]
        if self._auto_commit:
            with suppress(StoreError):  # fenced meanwhile: others read on from what was committed before
                self.commit({each: self._positions[each] for each in partitions if each in self._positions})
        self._tell("revoked", partitions)
        self._forget(partitions)

    def _lost(self, _client: Client, theirs: list[TheirPartition]) -> None:
        partitions = [TopicPartition(each.topic, each.partition) for each in theirs]
        self._forget(partitions)
        self._tell("lost", partitions)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._paused.discard(partition)

    def _tell(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        callback = self._callbacks.get(what)
        if callback is not None:
            callback(partitions)

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """See :meth:`pykafka_store.api.Consumer.commit`."""
        if self._group is None:
            raise InvalidGroupIdError("To commit offsets, give the consumer a group.id")
        wanted = self._positions if offsets is None else offsets
        new = {partition: offset for partition, offset in wanted.items() if self._committed.get(partition) != offset}
        if not new:
            return
        self._link.contact()
        question = [TheirPartition(*partition, offset) for partition, offset in new.items()]
        try:
            answers = self._client.commit(offsets=question, asynchronous=False)
        except KafkaException as error:
            raise self._not_committed(error.args[0]) from None
        for answer in answers or ():
            if answer.error is not None:
                raise self._not_committed(answer.error)
        self._committed.update(new)

    def _not_committed(self, error: KafkaError) -> StoreError:
        """A commit that came too late, whatever the protocol calls it, is one from an ownership that is over."""
        made = self._link.reports.error(error)
        return IllegalGenerationError(str(made)) if error.name() in _SUPERSEDED else made

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """See :meth:`pykafka_store.api.Consumer.committed`."""
        if self._group is None:
            raise InvalidGroupIdError("To ask for committed offsets, give the consumer a group.id")
        if not partitions:
            return {}
        self._link.contact()
        question = [TheirPartition(*partition) for partition in partitions]
        try:
            answers = self._client.committed(question, timeout=self._link.timeout)
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None
        found = {}
        for answer in answers:
            if answer.error is not None:
                raise self._link.reports.error(answer.error)
            if answer.offset >= 0:
                found[TopicPartition(answer.topic, answer.partition)] = committed(answer)
        return found

    def _leave(self) -> None:
        """Give up what the group assigned."""
        if self._joined:
            self._joined = ()
            self._client.unsubscribe()
            deadline = time.monotonic() + CREATION
            while self._positions and time.monotonic() < deadline:
                self._client.poll(SLICE)  # calls _revoked; what else it has is of what is given up

    # --------------------------------------------------------------------------------------------------------- poll

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """See :meth:`pykafka_store.api.Consumer.poll`."""
        deadline = time.monotonic() + timeout
        limit = min(self._max_poll_records, MOST_AT_ONCE, max_records or MOST_AT_ONCE)
        self._commit_now_and_then()
        while True:
            if self._may_change and time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + self._look_every
                self._follow_subscription()
            if self._stale:
                self._tell_assignment()
            # One record ends the wait; what else has arrived comes with it. librdkafka's own wait for many ends only
            # when there are as many. In slices, so that Ctrl-C is noticed.
            first = self._client.poll(max(0.0, min(SLICE, deadline - time.monotonic())))
            self._raise_failure()
            if first is not None:
                messages = [first, *self._client.consume(limit - 1, 0.0)] if limit > 1 else [first]
                self._raise_failure()
                runs = self._runs(messages)
                if runs:
                    return runs
            if time.monotonic() >= deadline:
                return []

    def _commit_now_and_then(self) -> None:
        """Auto-commit: what was returned before is dealt with by now."""
        if self._auto_commit and time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + self._auto_commit_interval
            with suppress(StoreError):  # fenced, or no answer: the next rebalance or commit tells
                self.commit()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _runs(self, messages: list[Message]) -> list[Records]:
        """Messages by partition, each one's in order, as runs by column. Ends of partitions move positions."""
        by_partition: dict[TopicPartition, list[Message]] = {}
        ends: dict[TopicPartition, int] = {}
        for message in messages:
            error = message.error()
            where = TopicPartition(message.topic() or "", -1 if (number := message.partition()) is None else number)
            if error is None:
                by_partition.setdefault(where, []).append(message)
                if ends:
                    ends.pop(where, None)
            elif error.name() == "_PARTITION_EOF":
                ends[where] = message.offset() or 0  # behind the last record there may be marks of transactions
            else:
                self._complain(message)
        runs = []
        for partition, some in by_partition.items():
            if partition in self._positions:  # else it was taken away meanwhile
                runs += _records(partition, some)
                self._positions[partition] = runs[-1].offsets[-1] + 1
        self._positions |= {partition: end for partition, end in ends.items() if partition in self._positions}
        return runs

    def _complain(self, message: Message) -> None:
        """Raise what librdkafka says in place of a record, unless it mends itself."""
        error = message.error()
        assert error is not None
        label = f"{message.topic()}-{message.partition()}"
        if error.name() == "_AUTO_OFFSET_RESET":
            raise OffsetOutOfRangeError(f"Fetch position of {label} is out of range, and auto.offset.reset is none")
        if error.name() in _UNKNOWN:
            if self._group is None and (self._subscription is None or self._subscription.pattern is None):
                raise UnknownTopicOrPartitionError(f"Topic {message.topic()} was deleted while it was read")
            self._next_look = 0.0
            return
        made = self._link.reports.error(error)
        if not made.retriable and error.name() != "_MAX_POLL_EXCEEDED":
            raise made

    def close(self) -> None:
        if self._auto_commit:
            with suppress(StoreError):
                self.commit()
        if not self._closed:
            self._closed = True
            self._client.close()
        self._positions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _theirs(partitions: Mapping[TopicPartition, int] | Iterable[TopicPartition]) -> list[TheirPartition]:
    if isinstance(partitions, Mapping):
        return [TheirPartition(topic, number, offset) for (topic, number), offset in partitions.items()]
    return [TheirPartition(topic, number) for topic, number in partitions]


def _records(partition: TopicPartition, messages: list[Any]) -> list[Records]:
    """The messages of one partition as runs, each with one leader epoch and one type of timestamp."""
    stamps = [message.timestamp() for message in messages]
    epochs = [message.leader_epoch() for message in messages]
    cuts = [
        index
        for index in range(1, len(messages))
        if epochs[index] != epochs[index - 1] or stamps[index][0] != stamps[index - 1][0]
    ]
    run = Records(
        partition.topic,
        partition.partition,
        offsets=[message.offset() for message in messages],
        timestamps=[stamp if kind else NO_TIMESTAMP for kind, stamp in stamps],
        keys=[message.key() for message in messages],
        values=[message.value() for message in messages],
        headers=[message.headers() or () for message in messages],
    )
    runs = []
    for start, stop in zip([0, *cuts], [*cuts, len(messages)], strict=True):
        part = run if not cuts else run.slice(start, stop)
        part.leader_epoch = -1 if epochs[start] is None else epochs[start]
        if stamps[start][0] == _LOG_APPEND:
            part.timestamp_type = TimestampType.LOG_APPEND_TIME
        runs.append(part)
    return runs


_LOG_APPEND = 2
"""librdkafka's number for timestamps that the broker set; 1 for the producer's, 0 for none."""
