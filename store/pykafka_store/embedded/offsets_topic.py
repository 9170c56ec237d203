"""``__consumer_offsets`` as a topic: whether it is listed, and what it is described as.

Cheap to import, as every listing of topics asks; :mod:`pykafka_store.embedded.replication.offsets_view` reads it.
"""

from __future__ import annotations

import base64
import hashlib
import os

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import GROUPS_FILE, read_meta
from pykafka_store.model import OFFSETS_TOPIC, PartitionDescription, TopicDescription
from pykafka_store.settings.topic_descriptions import entries

CONFIGS = {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
"""The settings that a broker makes the topic with."""

DEFAULT_PARTITIONS = 50


def is_view(engine: Engine, topic: str) -> bool:
    """Whether the name stands for the view, be there a group yet or not."""
    return topic == OFFSETS_TOPIC and engine.catalog.topic_id(topic) is None


def is_listed(engine: Engine) -> bool:
    """Whether a broker would have the topic: it makes it for the first group."""
    return (
        os.path.exists(os.path.join(engine.directory, GROUPS_FILE))
        and engine.groups.has_groups()
        and is_view(engine, OFFSETS_TOPIC)
    )


def partition_count(engine: Engine) -> int:
    from pykafka_store.settings.dynamic_configs import OFFSETS_PARTITIONS

    text = engine.server_setting(OFFSETS_PARTITIONS)
    return DEFAULT_PARTITIONS if text is None else int(text)


def topic_id(engine: Engine) -> str:
    """The same for ever, and another one in each directory."""
    cluster = read_meta(engine.disk, engine.directory).get("cluster.id", "")
    raw = hashlib.blake2b(cluster.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def leader(engine: Engine) -> int:
    """The broker that has all partitions of the view: the first."""
    return next(iter(engine.brokers.all()))


def describe(engine: Engine) -> TopicDescription:
    """The view as a topic: each partition on one broker alone."""
    broker = leader(engine)
    return TopicDescription(
        OFFSETS_TOPIC,
        topic_id(engine),
        True,
        tuple(
            PartitionDescription(number, broker, 0, (broker,), (broker,)) for number in range(partition_count(engine))
        ),
        entries(CONFIGS, engine.broker_configs(broker)),
    )
