"""A consumer as a member of a group of a Kafka cluster: what the group assigns to it, and what it commits.

The group's protocol is librdkafka's, which calls back from within ``poll`` and ``close``, in the caller's thread. What
a callback could not do is raised by the ``poll`` that called it. Offsets are committed here, for the records that were
returned by a ``poll`` before the present one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as TheirPartition

from pykafka_store.errors import IllegalGenerationError, NoOffsetForPartitionError, StoreError
from pykafka_store.model import CommittedOffset, OffsetAt, TopicPartition
from pykafka_store.remote.link import CREATION, SLICE, Link
from pykafka_store.remote.lookup import Lookup
from pykafka_store.remote.partitions import committed_offset, from_librdkafka, to_librdkafka
from pykafka_store.remote.positions import Positions
from pykafka_store.settings.client_configs import ClientConfig, reset_duration_ms

UNDEFINED = -1001
"""The position where nothing is committed and ``auto.offset.reset`` is none, until the caller seeks: librdkafka's
OFFSET_INVALID.
"""

_SUPERSEDED = {"REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH", "FENCED_MEMBER_EPOCH", "_ASSIGNMENT_LOST"}

Callback = Callable[[Sequence[TopicPartition]], None]


class MemberSettings(NamedTuple):
    """What a consumer's settings say of its membership."""

    reset: str
    """``auto.offset.reset``."""
    reset_ms: int | None
    """The duration in it, in milliseconds, if it has one."""
    auto_commit: bool
    auto_commit_interval: float
    """Seconds."""
    incremental: bool
    """Whether a rebalance adds partitions and takes them away, instead of replacing what was assigned."""

    @classmethod
    def of(cls, config: ClientConfig) -> MemberSettings:
        """Raises InvalidConfigError."""
        reset = config.text("auto.offset.reset", "latest")
        return cls(
            reset,
            reset_duration_ms(reset),
            config.flag("enable.auto.commit", default=True),
            config.milliseconds("auto.commit.interval.ms", 5000),
            config.text("group.protocol", "classic") == "consumer"
            or "ooperative" in config.text("partition.assignment.strategy", "").rpartition(",")[2],
        )


class Callbacks(NamedTuple):
    """What the caller does when the group assigns partitions and takes them away."""

    assigned: Callback | None = None
    revoked: Callback | None = None
    lost: Callback | None = None


class Member:
    def __init__(self, link: Link[Client], lookup: Lookup, positions: Positions, settings: MemberSettings) -> None:
        self._link = link
        self._client = link.client
        self._lookup = lookup
        self._positions = positions
        self._settings = settings
        self.callbacks = Callbacks()
        self._topics: tuple[str, ...] = ()
        """The topics that the group knows this member to subscribe to."""
        self._committed: dict[TopicPartition, int] = {}
        self._next_commit = 0.0
        self.knows_its_share = False
        """Whether the group has assigned something, if only nothing, and has not taken all of it away since."""
        self._failure: StoreError | None = None
        """What a callback could not do, until :meth:`raise_failure`."""

    @property
    def assigns_incrementally(self) -> bool:
        """Whether librdkafka expects partitions to be added and taken away, instead of being replaced all at once."""
        return bool(self._topics) and self._settings.incremental

    def join(self, topics: Sequence[str]) -> None:
        """Subscribe to topics, unless these are the ones that the member subscribes to."""
        topics = tuple(dict.fromkeys(topics))
        if topics != self._topics:
            self._topics = topics
            self._subscribe()

    def start(self, topics: Sequence[str]) -> None:
        """Subscribe to topics anew, and count the time to the first automatic commit from now on."""
        self._next_commit = time.monotonic() + self._settings.auto_commit_interval
        self._topics = tuple(dict.fromkeys(topics))
        self._subscribe()

    def _subscribe(self) -> None:
        try:
            self._client.subscribe(
                list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            raise self._link.reports.error(error.args[0]) from None

    def leave(self) -> None:
        """Give up what the group assigned."""
        if self._topics:
            self._topics = ()
            self._client.unsubscribe()
            deadline = time.monotonic() + CREATION
            while self._positions.offsets and time.monotonic() < deadline:
                self._client.poll(SLICE)  # calls _revoked; a record that it returns is of a partition that is given up

    def raise_failure(self) -> None:
        """Raises what a callback could not do, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # --------------------------------------------------------------------------------------------------- rebalances

    def _assigned(self, _client: Client, theirs: list[TheirPartition]) -> None:
        """librdkafka's callback, from within ``poll``: begin where the group has committed, else by the reset."""
        partitions = [from_librdkafka(each) for each in theirs]
        try:
            starts = self._starts(partitions)
        except StoreError as error:
            self._failure = error
            return
        positions = self._positions
        if not self._settings.incremental:
            positions.offsets.clear()
        positions.offsets |= starts
        # A seek in the caller's callback changes our positions only, as they are stale; librdkafka is told next.
        positions.stale = True
        self.knows_its_share = True
        if self.callbacks.assigned is not None:
            self.callbacks.assigned(partitions)
        positions.hand_over_new(partitions, incremental=self._settings.incremental)
        undefined = [partition for partition, offset in positions.offsets.items() if offset == UNDEFINED]
        if undefined:
            self._failure = NoOffsetForPartitionError(
                f"Undefined offset with no reset policy for partitions: [{', '.join(map(str, undefined))}]"
            )

    def _starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to begin to read partitions that were just assigned."""
        if not partitions:
            return {}
        committed = {partition: each.offset for partition, each in self.committed(partitions).items()}
        for partition in partitions:
            self._committed.pop(partition, None)
        self._committed |= committed
        missing = [partition for partition in partitions if partition not in committed]
        if self._settings.reset == "none":
            return committed | dict.fromkeys(missing, UNDEFINED)
        at = int(OffsetAt.EARLIEST if self._settings.reset == "earliest" else OffsetAt.LATEST)
        if self._settings.reset_ms is not None:
            at = max(0, time.time_ns() // 1_000_000 - self._settings.reset_ms)
        starts = self._lookup.offsets_there(dict.fromkeys(missing, at))
        too_late = [partition for partition, offset in starts.items() if offset < 0]
        starts |= self._lookup.offsets_there(dict.fromkeys(too_late, int(OffsetAt.LATEST)))
        # Of a topic that was deleted just now nothing comes, and the group takes it away soon.
        return dict.fromkeys(missing, 0) | {each: max(0, offset) for each, offset in starts.items()} | committed

    def _revoked(self, _client: Client, theirs: list[TheirPartition]) -> None:
        """librdkafka's callback, from within ``poll`` and ``close``: these are still ours, and about to go."""
        partitions = [from_librdkafka(each) for each in theirs]
        if self._settings.auto_commit:
            offsets = self._positions.offsets
            with suppress(StoreError):  # fenced meanwhile: the next owner reads on from what was committed before
                self.commit({each: offsets[each] for each in partitions if each in offsets})
        if self.callbacks.revoked is not None:
            self.callbacks.revoked(partitions)
        self._forget(partitions)

    def _lost(self, _client: Client, theirs: list[TheirPartition]) -> None:
        """librdkafka's callback, from within ``poll``: another member may own these already."""
        partitions = [from_librdkafka(each) for each in theirs]
        self._forget(partitions)
        if self.callbacks.lost is not None:
            self.callbacks.lost(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions.forget(partitions)
        if not self._settings.incremental:  # else nothing tells when a rebalance that only took away is over
            self.knows_its_share = False

    # ------------------------------------------------------------------------------------------------------ commits

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """Commit these offsets, or all positions. Raises IllegalGenerationError for partitions that are no longer ours,
        and other StoreErrors.
        """
        wanted = self._positions.offsets if offsets is None else offsets
        new = {partition: offset for partition, offset in wanted.items() if self._committed.get(partition) != offset}
        if not new:
            return
        self._link.contact()
        try:
            answers = self._client.commit(offsets=to_librdkafka(new), asynchronous=False)
        except KafkaException as error:
            raise self._not_committed(error.args[0]) from None
        for answer in answers or ():
            if answer.error is not None:
                raise self._not_committed(answer.error)
        self._committed.update(new)

    def _not_committed(self, error: KafkaError) -> StoreError:
        """A commit that came too late, whatever the protocol calls it, is one from an ownership that is over."""
        translated = self._link.reports.error(error)
        return IllegalGenerationError(str(translated)) if error.name() in _SUPERSEDED else translated

    def commit_now_and_then(self) -> None:
        """Commit automatically, once an interval: what the ``poll`` before this one returned is processed by now."""
        if self._settings.auto_commit and time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + self._settings.auto_commit_interval
            with suppress(StoreError):  # fenced, or no answer: the next rebalance or commit says so
                self.commit()

    def commit_at_last(self) -> None:
        """Commit automatically as the consumer closes."""
        if self._settings.auto_commit:
            with suppress(StoreError):  # fenced, or no answer: the group reads on from what was committed before
                self.commit()

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """What the group has committed for partitions; those without a commit are left out."""
        if not partitions:
            return {}
        self._link.contact()
        question = to_librdkafka(partitions)
        answers = self._link.patiently(lambda seconds: self._client.committed(question, timeout=seconds))
        offsets = {}
        for answer in answers:
            if answer.error is not None:
                raise self._link.reports.error(answer.error)
            if answer.offset >= 0:
                offsets[from_librdkafka(answer)] = committed_offset(answer)
        return offsets
