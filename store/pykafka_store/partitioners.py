"""Which partition a record goes to. Java's rules, so that a key lands where every Kafka client puts it.

Sources: org.apache.kafka.common.utils.Utils#murmur2, BuiltInPartitioner (KIP-480, KIP-794), RoundRobinPartitioner.
"""

from __future__ import annotations

import random
from functools import lru_cache

from pykafka_store.errors import InvalidConfigError
from pykafka_store.model import Partitioner

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's default partitioner, as Java's signed int.

    >>> murmur2(b"21"), murmur2(b"foobar")
    (-973932308, -790332482)
    """
    length = len(data)
    hashed = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        hashed = (hashed * _M & _MASK) ^ word
    if whole != length:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    hashed = (hashed ^ hashed >> 13) * _M & _MASK
    hashed ^= hashed >> 15
    return hashed - (1 << 32) if hashed & 0x80000000 else hashed


@lru_cache(maxsize=1 << 16)
def _positive_hash(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def partition_for_key(key: bytes, partitions: int) -> int:
    """The partition of a key, over all partitions of a topic."""
    return _positive_hash(key) % partitions


class Sticky:
    """Null keys: stay on one random partition until ``batch.size`` bytes went there, then go to another."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._chosen: dict[str, int] = {}
        self._filled: dict[str, int] = {}

    def choose(self, topic: str, partitions: int, size: int) -> int:
        """The partition for the next ``size`` bytes."""
        chosen = self._chosen.get(topic, -1)
        if not 0 <= chosen < partitions or self._filled[topic] >= self._batch_size:
            others = [number for number in range(partitions) if number != chosen] or [0]
            chosen = self._chosen[topic] = random.choice(others)
            self._filled[topic] = 0
        self._filled[topic] += size
        return chosen


class RoundRobin:
    """Each record to the next partition, keys or not (org.apache.kafka.clients.producer.RoundRobinPartitioner)."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def __call__(self, topic: str, _key: bytes | None, _value: bytes | None, partitions: int) -> int:
        chosen = self._next.get(topic, 0)
        self._next[topic] = chosen + 1
        return chosen % partitions


def load_partitioner(name: str) -> Partitioner | None:
    """The partitioner of a ``partitioner.class``: None for the built-in one, Kafka's class names, or
    ``module:function``.

    Raises InvalidConfigError for a name that leads nowhere.
    """
    short = name.removeprefix("org.apache.kafka.clients.producer.")
    if short in {"", "internals.DefaultPartitioner", "DefaultPartitioner"}:
        return None
    if short == "RoundRobinPartitioner":
        return RoundRobin()
    module, colon, function = name.partition(":")
    if not colon:
        raise InvalidConfigError(
            f"partitioner.class {name} can't be loaded: give RoundRobinPartitioner, or a Python function "
            "as module:function"
        )
    import importlib
    import os
    import sys

    if os.getcwd() not in sys.path:  # as `python -m` would: a script's own module lies beside it
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidConfigError(f"partitioner.class {name} can't be loaded: {error}") from error
    if not callable(found):
        raise InvalidConfigError(f"partitioner.class {name} is not a function of (topic, key, value, partitions)")
    partitioner: Partitioner = found
    return partitioner
