"""Fetch: batches as they lie in the log, from the asked offset to the high watermark, sent without being read.

A request that finds too little waits until there is enough, or until its time is over: appends that come through this
server wake it, and those of other processes change a file that :mod:`pykafka_store.watching` watches.

Sources: ReplicaManager.fetchMessages and KIP-74 for sizes, KIP-98 for isolation levels, KIP-516 for topic ids.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple

from pykafka_store.embedded.serving.partitions import ServedPartition, Slice
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.wire.broker import Broker, code_of, named
from pykafka_store.wire.protocol import Reply, Request, seconds

_INITIAL, _FINAL = 0, -1
"""The epochs of a fetch that begins a session, or has none or ends it, whatever session it names: it asks for all that
it names. Source: FetchMetadata.
"""
_SESSION_NOT_FOUND = 70
_FENCED_LEADER_EPOCH, _UNKNOWN_LEADER_EPOCH = 74, 75
_MOST = 64 << 20
"""Bytes of records in one answer, whatever is asked for (a broker's fetch.max.bytes is 55 MiB)."""
_FULL = 1 << 19
"""Bytes of records from which on an answer is for a client that has fallen behind, and asks again at once."""
_PAUSES = "librdkafka"
"""The client's software that is better off with a pause (see ``_PAUSE``); Java's is slower by it."""
_PAUSE = 0.002
"""Seconds that such an answer is kept back. librdkafka fetches nothing for up to a second once 100,000 records wait for
its application (queued.min.messages), which answers that come as fast as it reads them bring about: kcat printed a
million lines in 1.7 s, as from a broker, and does in 1.05 s with any pause of 1.5 to 3 ms.
"""


class LeaderEpochError(StoreError):
    code: ClassVar[int] = _FENCED_LEADER_EPOCH
    kafka_name: ClassVar[str] = "FencedLeaderEpochException"


class UnknownLeaderEpochError(StoreError):
    code: ClassVar[int] = _UNKNOWN_LEADER_EPOCH
    kafka_name: ClassVar[str] = "UnknownLeaderEpochException"


def check_leader_epoch(partition: ServedPartition, epoch: int) -> None:
    """Raise LeaderEpochError or UnknownLeaderEpochError where a client believes in another leader (KIP-320)."""
    if epoch >= 0 and epoch != (now := partition.row.leader_epoch):
        error = LeaderEpochError if epoch < now else UnknownLeaderEpochError
        raise error(f"the leader epoch of {partition.name} is {now}, not {epoch}")


class _Collected(NamedTuple):
    reply: Reply
    slices: list[Slice]
    size: int
    failed: bool


class FetchApi:
    """Answers Fetch."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def fetch(self, request: Request) -> Reply | WaitingFetch | KeptBack:
        """The answer, or what waits for records."""
        body = request.body
        if getattr(body, "session_epoch", _FINAL) not in {_INITIAL, _FINAL}:
            # Sessions are never given out: a client that goes on with one got it from somebody else.
            return Reply(error_code=_SESSION_NOT_FOUND, session_id=0, responses=[])
        waiting = WaitingFetch(self._broker, body)
        reply = waiting.attempt(late=waiting.patience <= 0)
        if reply is None:
            return waiting
        if request.software != _PAUSES or waiting.patience < _PAUSE:
            return reply
        parts = [each.records for topic in reply.responses for each in topic.partitions if len(each.records)]
        if sum(map(len, parts)) < _FULL:
            return reply
        return KeptBack(reply, parts, self._broker.clock.monotonic() + _PAUSE)


class KeptBack:
    """An answer that is given a moment later. See :class:`pykafka_store.wire.broker.Parked`."""

    keys: tuple[Hashable, ...] = ()
    found_nothing = False
    """See :class:`pykafka_store.wire.broker.Poll`."""

    def __init__(self, reply: Reply, parts: list[Slice], deadline: float) -> None:
        self._reply = reply
        self._parts = parts
        self.deadline = deadline

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`."""
        if not late:
            return None
        self._parts = []  # they are the answer's now
        return self._reply

    def abandon(self) -> None:
        """See :class:`Parked`."""
        for each in self._parts:
            each.close()


class WaitingFetch:
    """See :class:`pykafka_store.wire.broker.Poll`."""

    def __init__(self, broker: Broker, body: Any) -> None:
        self._broker = broker
        self._body = body
        self.patience = seconds(body.max_wait)
        """See :class:`Poll`."""
        self.deadline = broker.clock.monotonic() + self.patience
        self.keys: tuple[Hashable, ...] = ()
        self.partitions: list[ServedPartition] = []
        """What is waited for."""
        self._last: Reply | None = None
        """The answer that would have been given when it was attempted last, if no records were in it."""
        self.version: object = None
        """See :class:`Poll`."""

    @property
    def found_nothing(self) -> bool:
        """See :class:`Poll`."""
        return self._last is not None

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`. What was found last still holds at the deadline: else this would have been woken."""
        if late and self._last is not None:
            return self._last
        self._last = None
        self.version = self._broker.engine.catalog.version()
        found = self._collect()
        if late or found.failed or found.size >= self._body.min_bytes or not self.partitions:
            return found.reply
        self._last = None if found.slices else found.reply
        for each in found.slices:
            each.close()
        return None

    def abandon(self) -> None:
        """See :class:`Parked`."""

    def _collect(self) -> _Collected:
        left = min(max(0, getattr(self._body, "max_bytes", _MOST)), _MOST)
        slices: list[Slice] = []
        size, failed = 0, False
        self.partitions = []
        responses = []
        for topic in self._body.topics:
            name, topic_id = named(topic)
            answers = []
            for asked in topic.partitions:
                try:
                    answer, part = self._read(topic, asked, left, is_first=not slices)
                except StoreError as error:
                    failed = True
                    answers.append(_failure(asked.partition, error))
                    continue
                if part is not None:
                    slices.append(part)
                    size += len(part)
                    left -= min(left, len(part))
                answers.append(answer)
            responses.append(Reply(topic=name, topic_id=topic_id, partitions=answers))
        self.keys = tuple(each.key for each in self.partitions)
        return _Collected(Reply(session_id=0, responses=responses), slices, size, failed)

    def _read(self, topic: Any, asked: Any, left: int, *, is_first: bool) -> tuple[Reply, Slice | None]:
        broker = self._broker
        partition = broker.partition(broker.topic(*named(topic)), asked.partition)
        check_leader_epoch(partition, getattr(asked, "current_leader_epoch", -1))
        try:
            committed_only = self._body.isolation_level == 1
            stable = partition.reader.last_stable_offset()
            limit = min(max(0, asked.partition_max_bytes), left)
            part = None
            if limit > 0 or is_first:
                part = partition.reader.slice(asked.fetch_offset, limit, stable if committed_only else None)
            if part is not None and part.first_batch > limit and not is_first:
                part.close()  # KIP-74: only the first partition that has records may be over the limits
                part = None
            state = partition.reader.state()
        except UnknownTopicOrPartitionError:
            broker.partitions.forget(partition.topic_id)
            raise
        self.partitions.append(partition)
        aborted = partition.reader.aborted_transactions(asked.fetch_offset) if committed_only else None
        answer = Reply(
            partition_index=asked.partition,
            high_watermark=state.high_watermark,
            last_stable_offset=stable,
            log_start_offset=state.log_start_offset,
            aborted_transactions=None
            if aborted is None
            else [Reply(producer_id=each.producer_id, first_offset=each.first_offset) for each in aborted],
            preferred_read_replica=-1,
            records=b"" if part is None else part,
        )
        return answer, part


def _failure(partition: int, error: StoreError) -> Reply:
    return Reply(
        partition_index=partition,
        error_code=code_of(error),
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=None,
        preferred_read_replica=-1,
        records=b"",
    )
