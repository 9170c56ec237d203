"""Events as lines of JSON, for the harnesses that drive Kafka's verifiable tools: each is written at once."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pykafka_cli.env import Env
from pykafka_store.model import TopicPartition


class Events:
    """``{"timestamp":…,"name":…}`` and what the event has besides. Source: VerifiableProducer, VerifiableConsumer."""

    def __init__(self, env: Env) -> None:
        self._env = env

    def tell(self, name: str, **fields: object) -> None:
        event = {"timestamp": int(self._env.clock() * 1000), "name": name, **fields}
        self._env.out(json.dumps(event, separators=(",", ":"), ensure_ascii=False))
        self._env.flush()


def named(partitions: Iterable[TopicPartition]) -> list[dict[str, object]]:
    """Partitions as these events have them."""
    return [{"topic": each.topic, "partition": each.partition} for each in sorted(partitions)]
