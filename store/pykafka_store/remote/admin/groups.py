"""Groups of a Kafka cluster: their members, and the offsets that they committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from pykafka_store.errors import GroupIdNotFoundError, StoreError
from pykafka_store.errors import TimeoutError as RequestTimeoutError
from pykafka_store.model import CommittedOffset, GroupDescription, GroupListing, MemberDescription, TopicPartition
from pykafka_store.remote.admin.requests import BrokerGoneError, Requests
from pykafka_store.remote.admin.topics import TopicAdmin
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import by_topic, committed_offset, from_librdkafka, outcome, to_librdkafka

COORDINATOR_MOVES = {14, 15, 16}
"""The errors that say so: CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator."""
FIRST_TURN = 5.0
"""Seconds that a question has at first: Java's client has its answer of a new cluster in two."""
NO_EPOCH = -1
NEVER_JOINED = 0
"""The epoch of a group that never had a member, only commits."""

_STATES = {
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
}
"""Kafka's names of group states where they are not librdkafka's in title case."""


class GroupAdmin:
    def __init__(self, requests: Requests, topics: TopicAdmin) -> None:
        self._requests = requests
        self._topics = topics
        self._coordinated: set[str] = set()
        """Groups that are known to have a coordinator."""

    def list_groups(self) -> list[GroupListing]:
        def check(answer: Any) -> None:
            for error in answer.errors or ():
                # confluent-kafka's documents say KafkaException; what comes is a KafkaError.
                raise self._requests.link.reports.error(error.args[0] if isinstance(error, KafkaException) else error)

        answer = self._looked_up(lambda client, seconds: client.list_consumer_groups(request_timeout=seconds), check)
        return sorted(
            GroupListing(each.group_id, each.type.name.capitalize(), _state(each.state)) for each in answer.valid
        )

    def describe_group(self, group: str) -> GroupDescription:
        try:
            described = self._looked_up(
                lambda client, seconds: client.describe_consumer_groups([group], request_timeout=seconds)[group]
            )
        except GroupIdNotFoundError:
            return GroupDescription(group, "Classic", "Dead", "", -1, NO_EPOCH, ())
        members = [
            MemberDescription(
                each.member_id,
                each.group_instance_id,
                each.client_id,
                each.host,
                tuple(sorted(map(from_librdkafka, each.assignment.topic_partitions))),
            )
            for each in described.members
        ]
        return GroupDescription(
            group,
            described.type.name.capitalize(),
            _state(described.state),
            described.partition_assignor or "",
            -1 if described.coordinator is None else described.coordinator.id,
            NEVER_JOINED if described.is_simple_consumer_group else NO_EPOCH,
            tuple(members),
        )

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        if group not in self._coordinated:
            # Asked for offsets where no coordinator is yet, as in a new cluster, librdkafka crashes the process
            # (confluentinc/librdkafka#5040). This question waits until there is one.
            self.describe_group(group)
            self._coordinated.add(group)
        question = [ConsumerGroupTopicPartitions(group)]
        answer = self._looked_up(
            lambda client, seconds: client.list_consumer_group_offsets(question, request_timeout=seconds)[group]
        )
        offsets = {}
        for each in answer.topic_partitions:
            if each.error is not None:
                raise self._requests.link.reports.error(each.error)
            if each.offset >= 0:
                offsets[from_librdkafka(each)] = committed_offset(each)
        return dict(sorted(offsets.items()))

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._requests.require_writable()
        if not offsets:
            return
        # A broker refuses unknown partitions one by one and takes the others: all or nothing is checked here.
        for error in self._topics.missing(offsets).values():
            raise error
        timeouts = self._requests.timeouts
        question = [ConsumerGroupTopicPartitions(group, to_librdkafka(offsets))]

        def check(answer: Any) -> None:
            for each in answer.topic_partitions:
                if each.error is not None:
                    raise self._requests.link.reports.error(each.error)

        self._from_coordinator(lambda client: client.alter_consumer_group_offsets(question, **timeouts)[group], check)

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        self._requests.require_writable()
        topics = [
            SimpleNamespace(name=name, partitions=[SimpleNamespace(partition_index=number) for number in numbers])
            for name, numbers in by_topic(partitions).items()
        ]
        body = SimpleNamespace(group_id=group, topics=topics)
        _, answer = self._requests.network.ask_coordinator(group, "offset_delete", body)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        answers = {
            TopicPartition(topic.name, each.partition_index): outcome(each)
            for topic in answer.topics
            for each in topic.partitions
        }
        return {each: answers[each] for each in partitions}

    def delete_group(self, group: str) -> None:
        self._requests.require_writable()
        timeouts = self._requests.timeouts
        self._from_coordinator(lambda client: client.delete_consumer_groups([group], **timeouts)[group])

    def _looked_up(
        self, ask: Callable[[AdminClient, float], Future[Any]], check: Callable[[Any], None] | None = None
    ) -> Any:
        """What a group's coordinator answers to a question that changes nothing. It has few seconds at first and twice
        as many each time: where a new cluster has no coordinator yet, librdkafka may wait for one that it took for it,
        until its time is over.
        """
        deadline = time.monotonic() + self._requests.link.timeout
        turn = FIRST_TURN
        while True:
            seconds = max(0.1, min(turn, deadline - time.monotonic()))
            try:
                return self._from_coordinator(partial(_within, ask, seconds), check, seconds)
            except BrokerGoneError:
                raise
            except RequestTimeoutError:
                if time.monotonic() >= deadline:
                    raise
                turn *= 2

    def _from_coordinator(
        self,
        ask: Callable[[AdminClient], Future[Any]],
        check: Callable[[Any], None] | None = None,
        limit: float | None = None,
    ) -> Any:
        """What a group's coordinator answers, within ``limit`` seconds. While it is being chosen, made or loaded it is
        asked again, as Java's client does: in a new cluster the first question is what makes it. ``check`` raises the
        errors in an answer.
        """
        deadline = time.monotonic() + self._requests.link.timeout
        while True:
            try:
                answer = self._requests.answer(ask(self._requests.client), limit)
                if check is not None:
                    check(answer)
                return answer
            except StoreError as error:
                if error.code not in COORDINATOR_MOVES or time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)


def _state(state: Any) -> str:
    name: str = state.name
    return _STATES.get(name, name.capitalize())


def _within(ask: Callable[[AdminClient, float], Future[Any]], seconds: float, client: AdminClient) -> Future[Any]:
    return ask(client, seconds)
