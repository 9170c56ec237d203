"""Topics of a Kafka cluster."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]  # they are there, in no __all__

from pykafka_store.errors import (
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    PolicyViolationError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import (
    ZERO_TOPIC_ID,
    ConfigEntry,
    PartitionDescription,
    Reassignment,
    TopicDescription,
    TopicListing,
    TopicPartition,
)
from pykafka_store.remote.admin.brokers import BrokerAdmin
from pykafka_store.remote.admin.configs import ConfigAdmin
from pykafka_store.remote.admin.moves import MoveAdmin
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.link import CREATION, missing_topic
from pykafka_store.remote.partitions import not_hosted

NO_EPOCH = -1
MOST_PARTITIONS = 100_000
"""librdkafka's limit of partitions for a request; a broker's is lower."""
MOST_REPLICAS = 10_000
"""librdkafka's limit of replicas for a partition."""


class TopicAdmin:
    def __init__(self, requests: Requests, brokers: BrokerAdmin, configs: ConfigAdmin, moves: MoveAdmin) -> None:
        self._requests = requests
        self._moves = moves
        self._brokers = brokers
        self._configs = configs

    # ------------------------------------------------------------------------------------------------------ looking

    def list_topics(self) -> list[TopicListing]:
        link = self._requests.link
        names = sorted(link.patiently(lambda seconds: self._requests.client.list_topics(timeout=seconds)).topics)
        listings = []
        for name, future in self._described(names).items():
            try:
                topic = self._requests.answer(future)
            except UnknownTopicOrPartitionError:
                continue  # the topic was deleted meanwhile
            except StoreError:  # whoever may list a topic need not be allowed to describe it
                listings.append(TopicListing(name, ZERO_TOPIC_ID, internal=False))
            else:
                listings.append(TopicListing(name, _topic_id(topic), bool(topic.is_internal)))
        return listings

    def _described(self, names: Sequence[str]) -> dict[str, Future[Any]]:
        if not names:
            return {}
        return dict(self._requests.client.describe_topics(TopicCollection(list(names)), **self._requests.timeouts))

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        asked = [listing.name for listing in self.list_topics()] if names is None else list(names)
        if not asked:
            return []
        topics = {}
        for name, topic in self._requests.network.topics(list(dict.fromkeys(asked))).items():
            if topic.error_code == UnknownTopicOrPartitionError.code:
                if names is not None:
                    raise missing_topic(name)
                continue  # it was deleted meanwhile
            if topic.error_code:
                raise broker_error(topic.error_code, None)
            topics[name] = topic
        configs = self._configs.topic_entries(list(topics))
        moves: Mapping[TopicPartition, Reassignment] = {}
        with suppress(StoreError):  # whoever may describe a topic need not be allowed to see what is moved
            moves = self._moves.list_partition_reassignments()
        described = {name: _description(topic, configs[name], moves) for name, topic in topics.items()}
        return [described[name] for name in asked if name in described]

    def missing(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, StoreError]:
        """Those of the partitions that are not there, or whose topic can't be described: each with the reason."""
        partitions = list(partitions)
        counts: dict[str, int] = {}
        failures: dict[str, StoreError] = {}
        for name, future in self._described(sorted({partition.topic for partition in partitions})).items():
            try:
                counts[name] = len(self._requests.answer(future).partitions)
            except StoreError as error:
                failures[name] = error
        reasons = {}
        for partition in partitions:
            if partition.topic in failures:
                reasons[partition] = failures[partition.topic]
            elif not 0 <= partition.partition < counts[partition.topic]:
                reasons[partition] = not_hosted()
        return reasons

    # ------------------------------------------------------------------------------------------------------- making

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        assignments: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        self._requests.require_writable()
        # librdkafka refuses some of these itself, in other words than a broker.
        if assignments is not None:
            if not all(assignments):
                raise InvalidReplicaAssignmentError("The manual partition assignment includes an empty replica list.")
            new = NewTopic(name, len(assignments), replica_assignment=list(map(list, assignments)))
        else:
            if partitions is not None and partitions < 1:
                raise InvalidPartitionsError("Number of partitions was set to an invalid non-positive value.")
            if replication_factor is not None and replication_factor < 1:
                raise InvalidReplicationFactorError(
                    "Replication factor must be larger than 0, or -1 to use the default value."
                )
            if replication_factor is not None and replication_factor > MOST_REPLICAS:
                raise InvalidReplicationFactorError(
                    f"Unable to replicate the partition {replication_factor} time(s): The target replication factor of "
                    f"{replication_factor} cannot be reached because only {len(self._brokers.live_brokers())} "
                    "broker(s) are registered or some brokers have all their log directories cordoned."
                )
            if partitions is not None and partitions > MOST_PARTITIONS:
                raise PolicyViolationError("Excessively large number of partitions per request.")
            new = NewTopic(
                name,
                num_partitions=-1 if partitions is None else partitions,
                replication_factor=-1 if replication_factor is None else replication_factor,
            )
        new.config = dict(configs or {})
        self._requests.answer(self._requests.client.create_topics([new], **self._requests.timeouts)[name])
        return self._once_known(name, 1)

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None
    ) -> TopicDescription:
        self._requests.require_writable()
        if count > MOST_PARTITIONS:
            raise PolicyViolationError("Excessively large number of partitions per request.")
        if count < 1 or assignments is not None:  # librdkafka refuses some itself, in other words than a broker
            current = len(self.describe_topics([name])[0].partitions)
            if count <= current:
                raise InvalidPartitionsError(
                    f"The topic {name} currently has {current} partition(s); {count} would not be an increase."
                )
            if assignments is not None and len(assignments) != count - current:
                raise InvalidReplicaAssignmentError(
                    f"Attempted to add {count - current} additional partition(s), but only {len(assignments)} "
                    "assignment(s) were specified."
                )
        new = NewPartitions(name, count, *([list(map(list, assignments))] if assignments is not None else []))
        self._requests.answer(self._requests.client.create_partitions([new], **self._requests.timeouts)[name])
        return self._once_known(name, count)

    def _once_known(self, name: str, partitions: int) -> TopicDescription:
        """The description of a topic that was just made: the broker that answers may hear of it a moment later.

        Where a permission to describe the topic is missing, the topic is made all the same, and its description is
        empty.
        """
        deadline = time.monotonic() + CREATION
        while True:
            try:
                topic = self.describe_topics([name])[0]
            except UnknownTopicOrPartitionError:
                topic = TopicDescription(name, ZERO_TOPIC_ID, internal=False, partitions=(), configs=())
            except StoreError:
                return TopicDescription(name, ZERO_TOPIC_ID, internal=False, partitions=(), configs=())
            if len(topic.partitions) >= partitions or time.monotonic() > deadline:
                return topic
            time.sleep(0.02)

    def delete_topic(self, name: str) -> None:
        self._requests.require_writable()
        try:
            self._requests.answer(self._requests.client.delete_topics([name], **self._requests.timeouts)[name])
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None
        deadline = time.monotonic() + CREATION
        with suppress(StoreError):  # the topic is gone
            while time.monotonic() < deadline:  # the broker that answers may hear of the deletion a moment later
                self._requests.answer(self._described([name])[name])
                time.sleep(0.02)


_URL_SAFE = str.maketrans("+/", "-_")


def _topic_id(topic: Any) -> str:
    """The topic's id as Kafka spells it: librdkafka does not use the digits that are safe in a URL."""
    spelled: str = str(topic.topic_id).translate(_URL_SAFE)
    return spelled


def _description(
    topic: Any, configs: tuple[ConfigEntry, ...], moves: Mapping[TopicPartition, Reassignment]
) -> TopicDescription:
    partitions = []
    for each in topic.partitions:
        move = moves.get(TopicPartition(topic.name, each.partition_index))
        partitions.append(
            PartitionDescription(
                each.partition_index,
                each.leader_id if each.leader_id >= 0 else None,
                getattr(each, "leader_epoch", NO_EPOCH),
                tuple(each.replica_nodes),
                tuple(each.isr_nodes),
                () if move is None else move.adding,
                () if move is None else move.removing,
                elr=_maybe(getattr(each, "eligible_leader_replicas", None)),
                last_known_elr=_maybe(getattr(each, "last_known_elr", None)),
            )
        )
    id = getattr(topic, "topic_id", None)
    spelled = ZERO_TOPIC_ID if id is None else base64.urlsafe_b64encode(id.bytes).rstrip(b"=").decode("ascii")
    return TopicDescription(topic.name, spelled, bool(topic.is_internal), tuple(sorted(partitions)), configs)


def _maybe(replicas: Sequence[int] | None) -> tuple[int, ...] | None:
    """None where the broker does not tell."""
    return None if replicas is None else tuple(replicas)
