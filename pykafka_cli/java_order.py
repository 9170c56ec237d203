"""The order in which Java's hash tables give back what was put in: some of Kafka's tools print in it.

Source: java.util.HashMap, java.lang.String#hashCode. Tables grow to the next power of two at three quarters full, from
sixteen buckets; within a bucket the order is that of putting in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


def to_int32(number: int) -> int:
    """The number as an overflowing Java int."""
    return ((number + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def string_hash(text: str) -> int:
    """java.lang.String#hashCode."""
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return to_int32(code)


def in_hash_order(items: Iterable[_Item], hash_of: Callable[[_Item], int]) -> list[_Item]:
    """Distinct items in the order of a HashMap's keys after they were put in in the order given."""
    found = list(items)
    buckets = 16
    while len(found) > buckets * 3 // 4:
        buckets *= 2

    def bucket(item: _Item) -> int:
        code = hash_of(item) & 0xFFFFFFFF
        return (code ^ code >> 16) & (buckets - 1)

    return sorted(found, key=bucket)
