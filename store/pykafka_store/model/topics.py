"""Topics, their partitions, and settings."""

import binascii
import os
from typing import Literal, NamedTuple

OFFSETS_TOPIC = "__consumer_offsets"
TRANSACTIONS_TOPIC = "__transaction_state"
INTERNAL_TOPICS = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC, "__share_group_state"})

ZERO_TOPIC_ID = "A" * 22


class TopicListing(NamedTuple):
    name: str
    topic_id: str
    internal: bool


class PartitionDescription(NamedTuple):
    partition: int
    leader: int | None
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()
    elr: tuple[int, ...] | None = ()
    last_known_elr: tuple[int, ...] | None = ()


class ConfigEntry(NamedTuple):
    """One setting in force. ``source`` is Kafka's name of where the value comes from, DEFAULT_CONFIG for built in."""

    name: str
    value: str
    source: str

    @property
    def is_default(self) -> bool:
        return self.source == "DEFAULT_CONFIG"


class ConfigDescription(NamedTuple):
    """One setting in force, and everything it could come from, the value that counts first."""

    name: str
    value: str
    source: str
    """Kafka's name of where the value comes from: DYNAMIC_TOPIC_CONFIG for one that was set on the topic itself."""
    synonyms: tuple[ConfigEntry, ...] = ()
    sensitive: bool = False
    """Whether the broker keeps the value to itself: it is ``null`` then."""


class TopicDescription(NamedTuple):
    name: str
    topic_id: str
    internal: bool
    partitions: tuple[PartitionDescription, ...]
    configs: tuple[ConfigEntry, ...]
    """Only the entries that are not built-in defaults, in Kafka's order."""

    @property
    def replication_factor(self) -> int:
        first = self.partitions[0]
        return len(first.replicas) - len(first.adding_replicas)


ConfigKind = Literal["topic", "broker", "group", "broker-logger", "client-metrics"]


class ConfigResource(NamedTuple):
    """What settings belong to."""

    type: ConfigKind
    name: str
    """Of a broker its number, or empty for all brokers."""


def random_topic_id() -> str:
    """A random version-4-like UUID as Kafka prints it: 22 characters of base64url, never beginning with ``-``.

    Source: org.apache.kafka.common.Uuid#randomUuid.
    """
    while True:
        text = binascii.b2a_base64(os.urandom(16), newline=False).rstrip(b"=").decode()
        text = text.replace("+", "-").replace("/", "_")
        if not text.startswith("-") and text != ZERO_TOPIC_ID:
            return text


def topic_id_bytes(topic_id: str) -> bytes:
    """The sixteen bytes behind Kafka's 22-character spelling. Raises ValueError if it is not one."""
    raw = binascii.a2b_base64(topic_id.replace("-", "+").replace("_", "/") + "==", strict_mode=True)
    if len(raw) != 16:
        raise ValueError(f"Input string `{topic_id}` decoded as {len(raw)} bytes, which is not equal to 16")
    return raw
