"""The consumer of a Kafka cluster: librdkafka's messages -> runs of records by column.

Without a group the partitions are the caller's to choose: those assigned, or all of a subscription, which is looked up
again from time to time. With a group they are the group's: see :mod:`pykafka_store.remote.membership`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Consumer as Client
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from pykafka_store.errors import (
    InvalidGroupIdError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
    unprepared,
)
from pykafka_store.model import INTERNAL_TOPICS, CommittedOffset, OffsetAt, Records, TopicPartition
from pykafka_store.remote.configs import TUNING_CONSUMER
from pykafka_store.remote.link import SLICE, Endpoint, Link
from pykafka_store.remote.lookup import Lookup
from pykafka_store.remote.membership import Callbacks, Member, MemberSettings
from pykafka_store.remote.messages import records_of
from pykafka_store.remote.partitions import not_hosted
from pykafka_store.remote.positions import Positions
from pykafka_store.settings.client_configs import ClientConfig, group_id
from pykafka_store.threads import User, one_thread_at_a_time

MOST_AT_ONCE = 4000
"""Records of one ``poll``. Fewer cost more a record, more are out of the processor's cache (measured)."""

LOOK = 5.0
"""Seconds between looks for new topics and partitions, or ``metadata.max.age.ms`` if that is less."""

_UNKNOWN = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_ID"}


class _Subscription(NamedTuple):
    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None


@one_thread_at_a_time
class RemoteConsumer:
    """See :class:`pykafka_store.api.Consumer`."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: Mapping[str, str],
        creating: Callable[[], Link[AdminClient]] | None,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        """``creating`` is the connection through which a question for a missing topic creates it; None where this
        consumer must not change the cluster.
        """
        self.user = User()
        settings = ClientConfig("consumer", config)
        group = group_id(config)
        membership = MemberSettings.of(settings)
        self._auto_create = settings.flag("allow.auto.create.topics", default=True)
        self._exclude_internal = settings.flag("exclude.internal.topics", default=True)
        self._max_poll_records = settings.number("max.poll.records", MOST_AT_ONCE, low=1)
        self._look_every = min(LOOK, settings.milliseconds("metadata.max.age.ms", 300000))
        more = dict(TUNING_CONSUMER)
        if group is None:
            more["group.id"] = f"pykafka-{uuid.uuid4()}"  # librdkafka asks for one; this one never joins nor commits
        self._link: Link[Client] = Link(endpoint, "consumer", config, Client, more, on_notice)
        self._client = self._link.client
        self._lookup = Lookup(self._link, creating, on_notice)
        self._positions = Positions(self._link)
        self._member = None if group is None else Member(self._link, self._lookup, self._positions, membership)
        self._subscription: _Subscription | None = None
        self._next_look = 0.0
        self._closed = False
        self._prepared = False
        """Whether anybody has said what is read."""

    # ------------------------------------------------------------------------------------------------ what is read

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
        self._prepared = True
        if self._member is not None:
            self._member.leave()
        self._subscription = None
        counts: dict[str, int] = {}
        for topic, number in positions:
            if topic not in counts:
                counts[topic] = self._lookup.partition_count(topic)
            if not 0 <= number < counts[topic]:
                raise not_hosted()
        self._positions.replace(self._lookup.resolved(positions))

    def subscribe(
        self,
        topics: Sequence[str] | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        start: OffsetAt = OffsetAt.LATEST,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.subscribe`."""
        self._prepared = True
        self._subscription = _Subscription(tuple(topics or ()), pattern)
        self._next_look = time.monotonic() + self._look_every
        covered = self._covered(create=self._auto_create)
        if self._member is None:
            self._positions.replace(self._lookup.resolved(dict.fromkeys(covered, start)))
        else:
            self._member.start([partition.topic for partition in covered])

    def _covered(self, *, create: bool) -> list[TopicPartition]:
        """The partitions of the subscription that there are now. Raises UnknownTopicOrPartitionError for a named topic
        that is missing, unless brokers create it.
        """
        assert self._subscription is not None
        counted = self._lookup.created_partition_count if create else self._lookup.partition_count
        counts = {name: counted(name) for name in self._subscription.topics}
        if self._subscription.pattern is not None:
            counts |= {
                name: count
                for name, count in self._lookup.partition_counts().items()
                if self._subscription.pattern.fullmatch(name)
                and not (self._exclude_internal and name in INTERNAL_TOPICS)
            }
        return [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]

    def _follow_subscription(self) -> None:
        """Begin to read what the subscription covers by now, from its beginning; let go of what is gone."""
        try:
            covered = self._covered(create=False)
        except StoreError as error:
            if not error.retriable or isinstance(error, UnknownTopicOrPartitionError):
                raise
            return  # the cluster does not answer just now: the next look may succeed
        if self._member is not None:
            self._member.join([partition.topic for partition in covered])
            return
        offsets = self._positions.offsets
        new = {partition: int(OffsetAt.EARLIEST) for partition in covered if partition not in offsets}
        kept = {partition: offsets[partition] for partition in covered if partition in offsets}
        if new or len(kept) < len(offsets):
            self._positions.replace(kept | self._lookup.offsets_at(new, leave_out_gone=True))

    @property
    def _may_change(self) -> bool:
        """Whether this consumer follows what is covered: a group follows by itself the topics that it is told of."""
        return self._subscription is not None and (self._member is None or self._subscription.pattern is not None)

    def assignment(self) -> tuple[TopicPartition, ...]:
        return tuple(sorted(self._positions.offsets))

    def position(self, partition: TopicPartition) -> int:
        self._positions.require([partition])
        return self._positions.offsets[partition]

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None:
        self._positions.require([partition])
        self._positions.seek(partition, self._lookup.resolved({partition: offset})[partition])

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions.require(partitions)
        self._positions.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions.require(partitions)
        self._positions.resume(partitions)

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._lookup.offsets_at(dict.fromkeys(partitions, int(OffsetAt.EARLIEST)))

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._lookup.offsets_at(dict.fromkeys(partitions, int(OffsetAt.LATEST)))

    # -------------------------------------------------------------------------------------------------------- group

    def on_rebalance(
        self,
        assigned: Callable[[Sequence[TopicPartition]], None] | None = None,
        revoked: Callable[[Sequence[TopicPartition]], None] | None = None,
        lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.on_rebalance`."""
        if self._member is not None:
            self._member.callbacks = Callbacks(assigned, revoked, lost)

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """See :meth:`pykafka_store.api.Consumer.commit`."""
        if self._member is None:
            raise InvalidGroupIdError("To commit offsets, give the consumer a group.id")
        self._member.commit(offsets)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """See :meth:`pykafka_store.api.Consumer.committed`."""
        if self._member is None:
            raise InvalidGroupIdError("To ask for committed offsets, give the consumer a group.id")
        return self._member.committed(partitions)

    def leave_if_settled(self) -> bool:
        """See :meth:`pykafka_store.api.Consumer.leave_if_settled`. A cluster does not tell what it is about to assign:
        this is True once it has assigned something, if only nothing. It is ``close`` that leaves.
        """
        return self._member is None or self._member.knows_its_share

    # --------------------------------------------------------------------------------------------------------- poll

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """See :meth:`pykafka_store.api.Consumer.poll`."""
        if not self._prepared:
            raise unprepared()
        deadline = time.monotonic() + timeout
        limit = min(self._max_poll_records, MOST_AT_ONCE, max_records or MOST_AT_ONCE)
        if self._member is not None:
            self._member.commit_now_and_then()
        while True:
            if self._may_change and time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + self._look_every
                self._follow_subscription()
            if self._positions.stale:
                self._positions.hand_over(incremental=self._member is not None and self._member.assigns_incrementally)
            # One record ends the wait; what else has arrived comes with it. librdkafka's own wait for many ends only
            # when there are as many. The wait is cut into slices, so that Ctrl-C is noticed.
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

    def _raise_failure(self) -> None:
        if self._member is not None:
            self._member.raise_failure()

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
        offsets = self._positions.offsets
        runs = []
        for partition, some in by_partition.items():
            if partition in offsets:  # else the partition was taken away meanwhile
                runs += records_of(partition, some)
                offsets[partition] = runs[-1].offsets[-1] + 1
        offsets |= {partition: end for partition, end in ends.items() if partition in offsets}
        return runs

    def _complain(self, message: Message) -> None:
        """Raise what librdkafka says in place of a record, unless it mends itself."""
        error = message.error()
        assert error is not None
        label = f"{message.topic()}-{message.partition()}"
        if error.name() == "_AUTO_OFFSET_RESET":
            raise OffsetOutOfRangeError(f"Fetch position of {label} is out of range, and auto.offset.reset is none")
        if error.name() in _UNKNOWN:
            if self._member is None and (self._subscription is None or self._subscription.pattern is None):
                raise UnknownTopicOrPartitionError(f"Topic {message.topic()} was deleted while it was read")
            self._next_look = 0.0
            return
        translated = self._link.reports.error(error)
        if not translated.retriable and error.name() != "_MAX_POLL_EXCEEDED":
            raise translated

    def close(self) -> None:
        if self._member is not None:
            self._member.commit_at_last()
        if not self._closed:
            self._closed = True
            self._client.close()
        self._positions.offsets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
