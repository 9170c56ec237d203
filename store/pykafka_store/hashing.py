"""The order in which Java's hash tables show what is in them: Kafka's tools and brokers tell it as it comes.

>>> hash_order(["producer_byte_rate", "consumer_byte_rate", "request_percentage"], string_hash, 4)
['consumer_byte_rate', 'producer_byte_rate', 'request_percentage']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

_Key = TypeVar("_Key")


def string_hash(text: str | None) -> int:
    """String#hashCode, by UTF-16's units; 0 for null."""
    found = 0
    units = (text or "").encode("utf-16-be", "surrogatepass")
    for position in range(0, len(units), 2):
        found = (31 * found + units[position] * 256 + units[position + 1]) & 0xFFFFFFFF
    return found


def map_hash(entries: Mapping[str, str | None]) -> int:
    """AbstractMap#hashCode."""
    return sum(string_hash(key) ^ string_hash(value) for key, value in entries.items()) & 0xFFFFFFFF


def entity_hash(entries: Mapping[str, str | None]) -> int:
    """ClientQuotaEntity#hashCode."""
    return (31 + map_hash(entries)) & 0xFFFFFFFF


def hash_order(keys: Iterable[_Key], hash_of: Callable[[_Key], int], capacity: int = 16) -> list[_Key]:
    """The keys of a HashMap that was made for ``capacity`` entries and filled in this order."""
    there = list(keys)
    buckets = 1
    while buckets < capacity or 4 * len(there) > 3 * buckets:
        buckets *= 2

    def bucket(key: _Key) -> int:
        found = hash_of(key)
        return (found ^ (found >> 16)) & (buckets - 1)

    return sorted(there, key=bucket)
