"""Topics as clients know them: looked up by name, and made on first use where that is wanted."""

from __future__ import annotations

from collections.abc import Callable

from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidTopicError, TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.model import OFFSETS_TOPIC, TRANSACTIONS_TOPIC
from pykafka_store.settings.configs import AUTO_CREATE_TOPICS, TopicConfig

_TRANSACTIONS = {
    "cleanup.policy": "compact",
    "compression.type": "uncompressed",
    "segment.bytes": "104857600",
    "unclean.leader.election.enable": "false",
}
_TRANSACTIONS_PARTITIONS = 50
"""As a broker makes that topic when a client asks for it. Source: AutoTopicCreationManager, TransactionLog."""


class Topic:
    """What a client needs to know of a topic. ``replicas``: the replication factor."""

    __slots__ = ("config", "id", "name", "partitions", "replicas")

    def __init__(self, name: str, id: str, partitions: int, config: TopicConfig, replicas: int) -> None:
        self.name = name
        self.id = id
        self.partitions = partitions
        self.config = config
        self.replicas = replicas


def require_topic(engine: Engine, name: str, *, create: bool, on_notice: Callable[[str], None] | None) -> Topic:
    """The topic as it is now, made with the server's defaults if ``create`` (Kafka's auto.create.topics.enable), which
    ``on_notice`` is told of. Raises UnknownTopicOrPartitionError, and InvalidTopicError for the name of the view of
    what groups have committed, which is no topic: nobody writes to it, and no group shares it.
    """
    topic = _look_up(engine, name)
    if topic is None and name == OFFSETS_TOPIC:
        raise InvalidTopicError("The request attempted to perform an operation on an invalid topic.")
    if topic is None and create and not engine.read_only and engine.server_setting(AUTO_CREATE_TOPICS) != "false":
        from pykafka_store.embedded.admin.topics import TopicAdmin

        try:
            admin = TopicAdmin(engine)
            if name == TRANSACTIONS_TOPIC:
                topic_made = admin.create_topic(name, partitions=_TRANSACTIONS_PARTITIONS, configs=_TRANSACTIONS)
            else:
                topic_made = admin.create_topic(name)
            if on_notice is not None:
                from pykafka_store import notices

                on_notice(notices.topic_made(name, len(topic_made.partitions)))
        except TopicExistsError:
            pass  # another process was first
        topic = _look_up(engine, name)
    if topic is None:
        raise UnknownTopicOrPartitionError(
            f"Topic {name} does not exist: create it with kafka-topics --create --topic {name}"
        )
    return topic


def _look_up(engine: Engine, name: str) -> Topic | None:
    row = engine.catalog.topic(name)
    if row is None:
        return None
    replicas = max(len(each.hosts) for each in row.partitions)
    config = engine.topic_config(row.configs, row.first_leader)
    return Topic(row.name, row.id, len(row.partitions), config, replicas)
