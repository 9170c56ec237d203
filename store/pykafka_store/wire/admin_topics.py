"""CreateTopics and DeleteTopics."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pykafka_store.errors import (
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import ConfigDescription, ConfigResource, TopicDescription, topic_id_bytes
from pykafka_store.settings.topic_descriptions import describe
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.long_work import LongRequest
from pykafka_store.wire.protocol import Reply, Request

CONFIG_SOURCES = {
    "DYNAMIC_TOPIC_CONFIG": 1,
    "DYNAMIC_BROKER_CONFIG": 2,
    "DYNAMIC_DEFAULT_BROKER_CONFIG": 3,
    "STATIC_BROKER_CONFIG": 4,
    "DEFAULT_CONFIG": 5,
    "DYNAMIC_CLIENT_METRICS_CONFIG": 7,
    "DYNAMIC_GROUP_CONFIG": 8,
}
"""Where a setting comes from, as numbers. Source: DescribeConfigsResponse.ConfigSource."""


class TopicsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def create_topics(self, request: Request) -> Reply | LongRequest:
        """Each topic is made, or has its own error."""
        return self._broker.long_work.begin(self._created(request), lambda made: Reply(topics=made))

    def _created(self, request: Request) -> Iterator[Reply]:
        times = Counter(topic.name for topic in request.body.topics)
        told: set[str] = set()
        for topic in request.body.topics:
            try:
                if times[topic.name] > 1:
                    raise InvalidRequestError("Duplicate topic name.")
                made = self._create(topic, only_check=request.body.validate_only)
            except StoreError as error:
                if topic.name in told:
                    continue
                told.add(topic.name)
                yield Reply(
                    name=topic.name,
                    topic_id=None,
                    error_code=code_of(error),
                    error_message=str(error),
                    num_partitions=-1,
                    replication_factor=-1,
                    configs=[],
                )
                continue
            yield self._made(made, self._configs(made, topic))

    def _create(self, topic: Any, *, only_check: bool) -> TopicDescription:
        """Raises StoreError."""
        if topic.assignments and (topic.num_partitions != -1 or topic.replication_factor != -1):
            raise InvalidRequestError(
                "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1."
            )
        assignments = None
        if topic.assignments:
            by_number = {each.partition_index: each.broker_ids for each in topic.assignments}
            if sorted(by_number) != list(range(len(topic.assignments))):
                raise InvalidReplicaAssignmentError("partitions should be a consecutive 0-based integer sequence")
            assignments = [by_number[number] for number in sorted(by_number)]
        created: TopicDescription = self._broker.admin.create_topic(
            topic.name,
            partitions=None if topic.num_partitions == -1 else topic.num_partitions,
            replication_factor=None if topic.replication_factor == -1 else topic.replication_factor,
            assignments=assignments,
            configs={each.name: each.value or "" for each in topic.configs},
            only_check=only_check,
        )
        return created

    def _configs(self, made: TopicDescription, asked: Any) -> Sequence[ConfigDescription]:
        """The settings of a topic that was made, or would be (KIP-525)."""
        if made.topic_id:
            with suppress(UnknownTopicOrPartitionError):  # it was made, and another process has deleted it
                found: Sequence[ConfigDescription] = self._broker.admin.describe_configs(
                    ConfigResource("topic", made.name)
                )
                return found
        own = {each.name: each.value or "" for each in asked.configs}
        return describe(own, self._broker.engine.broker_configs(made.partitions[0].leader))

    @staticmethod
    def _made(topic: TopicDescription, configs: Sequence[ConfigDescription]) -> Reply:
        return Reply(
            name=topic.name,
            topic_id=uuid.UUID(bytes=topic_id_bytes(topic.topic_id)) if topic.topic_id else None,
            num_partitions=len(topic.partitions),
            replication_factor=topic.replication_factor,
            configs=[
                Reply(
                    name=each.name,
                    value=each.value,
                    read_only=False,
                    config_source=CONFIG_SOURCES.get(each.source, 5),
                    is_sensitive=each.sensitive,
                )
                for each in configs
            ],
        )

    def delete_topics(self, request: Request) -> Reply | LongRequest:
        """Each topic is deleted, by name or by id, or has its own error."""
        body = request.body
        if request.version < 6:
            asked: list[tuple[str | None, uuid.UUID | None]] = [(name, None) for name in body.topic_names]
        else:
            asked = [(topic.name, topic.topic_id) for topic in body.topics]
        times = Counter(asked)
        deleted = (self._delete(name, id, is_repeated=times[name, id] > 1) for name, id in times)
        return self._broker.long_work.begin(deleted, lambda gone: Reply(responses=gone))

    def _delete(self, name: str | None, id: uuid.UUID | None, *, is_repeated: bool) -> Reply:
        """Source: ControllerApis.deleteTopics, which leaves alone what is named twice."""
        found = name
        try:
            if name is not None and id is not None:
                raise InvalidRequestError("You may not specify both topic name and topic id.")
            if name is None and id is None:
                raise InvalidRequestError("Neither topic name nor id were specified.")
            if is_repeated:
                raise InvalidRequestError(f"Duplicate topic {'id' if name is None else 'name'}.")
            topic = self._broker.topic(name, id)
            found, id = topic.name, topic.uuid
            self._broker.admin.delete_topic(topic.name, topic_id=topic.id if name is None else None)
        except StoreError as error:
            return Reply(name=found, topic_id=id, error_code=code_of(error), error_message=str(error))
        return Reply(name=found, topic_id=id)
