"""What all requests are answered from: the directory, its topics as clients know them, and who waits for what."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Mapping
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.offsets_topic import is_listed
from pykafka_store.embedded.serving.partitions import ServedPartition, ServedPartitions, take_producer_ids
from pykafka_store.errors import StoreError, UnknownTopicIdError, not_hosted
from pykafka_store.model import OFFSETS_TOPIC, TopicPartition, topic_id_bytes
from pykafka_store.wire.long_work import LongWork
from pykafka_store.wire.protocol import Reply, Request

if TYPE_CHECKING:
    from pykafka_store.embedded.serving.offsets_topic import OffsetsPartition, TopicRow

UNKNOWN_SERVER_ERROR = -1
NONE = 0


class Topic(NamedTuple):
    """A topic as a request names it."""

    name: str
    id: str
    uuid: uuid.UUID
    partitions: int


class Parked(Protocol):
    """A request that waits for something before it is answered."""

    deadline: float
    """By the monotonic clock, in seconds."""
    keys: tuple[Hashable, ...]
    """What it waits for; see :meth:`Broker.wake`.

    Two more attributes it has where it needs them. ``polls``: it is attempted again and again, as what it waits for
    tells nobody. ``follows_groups``: it is attempted where the groups' tables or the topics are others than before, as
    another process joins and gives up without telling anybody, and now and then, as one may die.
    """

    def attempt(self, *, late: bool) -> Reply | None:
        """The answer, if it can be given; ``late``, at the deadline: it must be."""

    def abandon(self) -> None:
        """Its client is gone."""


class Poll(Parked, Protocol):
    """A request that its client sends again and again, with nothing in between."""

    version: object
    """The catalogue's, from before it was attempted last."""
    found_nothing: bool
    """Whether the last attempt found nothing that will change before this is woken, or the catalogue moves."""

    patience: float
    """Seconds that it waits."""


_LATER = 0.1
"""The part of its time that a poll may be answered later."""
_LONG = 5.0
"""Seconds: a poll that waits longer is answered when its time is over."""


def when_to_answer(now: float, patience: float) -> float:
    """When a poll that came again now is answered, if it finds nothing: when its time is over, or up to a tenth of it
    later. (Who waits for the first time may be somebody who ends with the answer, and gets it in time.)

    To wake up costs the server more than what it does then, so polls that wait equally long end together, at the
    multiples of a period. A poll that would wait too long for the next multiple waits as long as it asked for, which is
    less than the period: so it ends earlier in each, and is in step with the others after some ten of its polls. One
    that waits for long costs next to nothing, and its client may give up soon afterwards (Java's request.timeout.ms).
    """
    if patience > _LONG:
        return now + patience
    later = max(0.001, patience * _LATER)
    period = patience + later
    due = now + patience
    together = ceil(due / period) * period
    if together - due <= later:
        return together
    grain = later / 4
    return ceil(due / grain) * grain


class Broker:
    """One server's view of a data directory."""

    def __init__(self, cluster: EmbeddedCluster, advertised: tuple[str, int], on_notice: Callable[[str], None]) -> None:
        """``advertised``: the first listener's. ``on_notice`` is told what whoever runs the server should know."""
        self.cluster = cluster
        self.engine = cluster.engine
        self.admin = cluster.admin()
        self.clock = cluster.engine.clock
        self.partitions = ServedPartitions(cluster.engine, on_notice)
        self.advertised = advertised
        self.on_notice = on_notice
        self.woken: set[Hashable] = set()
        self.long_work = LongWork(self.clock.monotonic, self.wake)
        self._producer_ids = range(0)
        self.first_producer_id = -1
        """The first producer id that this server gave out: none of them is in any log from before. -1: none yet."""
        self._version: object = None
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}
        self._offsets_row: TopicRow | None = None
        self._offsets: dict[int, OffsetsPartition] = {}
        self.cluster_id = self.admin.cluster_id()

    def address_for(self, request: Request) -> tuple[str, int]:
        """The address that the request's client is to use: that of the listener it came by."""
        return request.advertised or self.advertised

    def wake(self, key: Hashable) -> None:
        """Requests that wait for ``key`` are to be attempted again when this one is answered."""
        self.woken.add(key)

    # -------------------------------------------------------------------------------------------------------- brokers

    def nodes(self) -> tuple[int, ...]:
        """The brokers' numbers. All of them are reached at the one advertised address."""
        return self.admin.live_brokers() or tuple(self.engine.brokers.all())

    def coordinator(self) -> int:
        """The broker that answers for groups and for the cluster."""
        return self.nodes()[0]

    # --------------------------------------------------------------------------------------------------------- topics

    def topics(self) -> Mapping[str, Topic]:
        """All topics, by name; looked up again only when the catalogue moved."""
        version = self.engine.catalog.version()
        if version != self._version:
            counts = self.engine.catalog.partition_counts()
            before = self._by_name
            self._by_name = {}
            for name, id in self.engine.catalog.topic_names():
                was = before.get(name)
                raw = was.uuid if was is not None and was.id == id else uuid.UUID(bytes=topic_id_bytes(id))
                self._by_name[name] = Topic(name, id, raw, counts.get(name, 0))
            for name, gone in before.items():
                now = self._by_name.get(name)
                if now is None or now.id != gone.id:
                    self.partitions.forget(gone.id)
            self._by_id = {topic.uuid: topic for topic in self._by_name.values()}
            self._version = version
        return self._by_name

    def topic(self, name: str | None, id: uuid.UUID | None) -> Topic:
        """The topic that a request names one way or the other; without a name it is by id, of which None is the one of
        zeros. Raises UnknownTopicOrPartitionError, UnknownTopicIdError.
        """
        topics = self.topics()
        if name is None or id is not None:
            found = None if id is None else self._by_id.get(id) or self._offsets_topic()
            if found is None or found.uuid != id:
                raise UnknownTopicIdError("This server does not host this topic ID.")
            return found
        found = topics.get(name)
        if found is None and name == OFFSETS_TOPIC:
            found = self._offsets_topic()
        if found is None:
            raise not_hosted()
        return found

    def offsets_row(self) -> TopicRow | None:
        """``__consumer_offsets``, where it is the view of what groups have committed; None until there is a group."""
        if not is_listed(self.engine):
            return None
        if self._offsets_row is None:
            from pykafka_store.embedded.serving.offsets_topic import offsets_row

            self._offsets_row = offsets_row(self.engine)
        return self._offsets_row

    def _offsets_topic(self) -> Topic | None:
        row = self.offsets_row()
        if row is None:
            return None
        return Topic(row.name, row.id, uuid.UUID(bytes=topic_id_bytes(row.id)), len(row.partitions))

    def partition(self, topic: Topic, number: int) -> ServedPartition:
        """Raises UnknownTopicOrPartitionError."""
        if not 0 <= number < topic.partitions:
            raise not_hosted()
        if topic.name == OFFSETS_TOPIC and topic.name not in self.topics():
            found = self._offsets.get(number)
            if found is None:
                from pykafka_store.embedded.serving.offsets_topic import OffsetsPartition

                found = self._offsets[number] = OffsetsPartition(self.engine, topic.id, number)
            return cast("ServedPartition", found)  # of which it has all that is asked of it: nobody appends
        return self.partitions.get(topic.id, TopicPartition(topic.name, number))

    # ----------------------------------------------------------------------------------------------------- producers

    def new_producer_id(self) -> int:
        """A producer id that no log has."""
        if not self._producer_ids:
            self._producer_ids = take_producer_ids(self.engine)
            if self.first_producer_id < 0:
                self.first_producer_id = self._producer_ids.start
        found, self._producer_ids = self._producer_ids[0], self._producer_ids[1:]
        return found


def code_of(error: Exception) -> int:
    """The number that a client is told; what is no error of ours is the server's own."""
    return error.code if isinstance(error, StoreError) else UNKNOWN_SERVER_ERROR


def named(topic: object) -> tuple[str | None, uuid.UUID | None]:
    """The name and the id that a request has for a topic: one of them, by the request's version."""
    name = getattr(topic, "name", None)
    if name is None:
        name = getattr(topic, "topic", None)
    return name, getattr(topic, "topic_id", None)
