"""Which partition a record goes to. Java's rules, so that a key lands where every Kafka client puts it.

Sources: org.apache.kafka.common.utils.Utils#murmur2, BuiltInPartitioner (KIP-480, KIP-794), RoundRobinPartitioner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import unpack
from typing import TYPE_CHECKING, Final, cast

from pykafka_store.compiled import COMPILED
from pykafka_store.errors import InvalidConfigError

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

    from pykafka_store.model import Partitioner

_MASK: Final = 0xFFFFFFFF
_M: Final = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's default partitioner, as Java's signed int.

    >>> murmur2(b"21"), murmur2(b"foobar")
    (-973932308, -790332482)
    """
    hashed = _hash(data, 0, len(data))
    return hashed - (1 << 32) if hashed & 0x80000000 else hashed


def _hash(data: bytes, begin: i64, end: i64) -> i64:
    """Murmur2 of a part of the data, as a number that is not negative. A product of 32 bits and _M fits into 63."""
    hashed: i64 = first_hash(end - begin)
    word: i64 = 0
    place: i64 = begin
    while place + 4 <= end:
        word = data[place] | data[place + 1] << 8 | data[place + 2] << 16 | data[place + 3] << 24
        hashed = next_hash(hashed, word)
        place += 4
    word = 0
    if place < end:
        word = data[place]
        if place + 1 < end:
            word |= data[place + 1] << 8
        if place + 2 < end:
            word |= data[place + 2] << 16
    return last_hash(hashed, word, end - place)


def first_hash(size: i64) -> i64:
    """What murmur2 begins with, for so many bytes."""
    return (0x9747B28C ^ size) & _MASK


def next_hash(hashed: i64, word: i64) -> i64:
    """A step of murmur2: four more bytes, as a number."""
    word = (word * _M) & _MASK
    word = ((word ^ (word >> 24)) * _M) & _MASK
    return ((hashed * _M) & _MASK) ^ word


def last_hash(hashed: i64, rest: i64, size: i64) -> i64:
    """The hash, after the last bytes, of which there are up to three."""
    if size > 0:
        hashed = ((hashed ^ rest) * _M) & _MASK
    hashed = ((hashed ^ (hashed >> 13)) * _M) & _MASK
    return hashed ^ (hashed >> 15)


def partition_of_hash(hashed: i64, partitions: i64) -> i64:
    """The partition of a key with this hash, over all partitions of a topic."""
    return (hashed & 0x7FFFFFFF) % partitions


def partition_for_key(key: bytes, partitions: int) -> int:
    """The partition of a key, over all partitions of a topic."""
    return partition_of_hash(_hash(key, 0, len(key)), partitions)


_REMEMBERED = 1 << 15
"""Keys whose hashes are remembered. There are few keys in most topics, and a look is a tenth of a hash."""
_LONGEST_REMEMBERED = 64
_known: dict[bytes, int] = {}


def partitions_for_keys(keys: Sequence[bytes], partitions: int) -> list[int]:
    """``partition_for_key`` of each key."""
    if COMPILED:
        return [partition_for_key(key, partitions) for key in keys]  # a hash costs less than a look
    hashes = list(map(_known.get, keys))
    if None in hashes:
        new = {key for key, hashed in zip(keys, hashes, strict=True) if hashed is None}
        found = _positive_hashes(new)
        hashes = [found[key] if hashed is None else hashed for key, hashed in zip(keys, hashes, strict=True)]
        if len(_known) + len(found) <= _REMEMBERED:
            _known.update((key, hashed) for key, hashed in found.items() if len(key) <= _LONGEST_REMEMBERED)
    return [hashed % partitions for hashed in cast("list[int]", hashes)]


_AT_ONCE = 1 << 10
"""Keys of one length that are hashed at a time: enough of them to make the cost of a step small, and no long number."""


def _positive_hashes(keys: set[bytes]) -> dict[bytes, int]:
    """Each key's hash without its sign."""
    by_length: dict[int, list[bytes]] = {}
    if len(set(map(len, keys))) == 1:
        by_length[len(next(iter(keys)))] = list(keys)
    else:
        for key in keys:
            by_length.setdefault(len(key), []).append(key)
    found: dict[bytes, int] = {}
    for length, alike in by_length.items():
        for start in range(0, len(alike), _AT_ONCE):
            some = alike[start : start + _AT_ONCE]
            found.update(zip(some, _hashes_of_one_length(some, length), strict=True))
    return found


def _hashes_of_one_length(keys: Sequence[bytes], length: int) -> list[int]:
    """The hashes of keys of ``length`` bytes, without their signs, all in the same steps.

    Each step of murmur2 is one operation on a single long number, in which every key has 64 bits of its own: its 32
    and room for a product. So a step costs a few nanoseconds a key.
    """
    count = len(keys)
    if count < 8:
        return [murmur2(key) & 0x7FFFFFFF for key in keys]
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")
    low = ones * _MASK
    joined = b"".join(keys)
    hashed = ones * ((0x9747B28C ^ length) & _MASK)
    for start in range(0, length & ~3, 4):
        word = _lanes(joined, range(start, start + 4), length, count) * _M & low
        word = (word ^ (word >> 24 & low)) * _M & low
        hashed = (hashed * _M & low) ^ word
    if length & 3:
        hashed = (hashed ^ _lanes(joined, range(length & ~3, length), length, count)) * _M & low
    hashed = (hashed ^ (hashed >> 13 & low)) * _M & low
    hashed ^= hashed >> 15 & low
    return list(unpack(f"<{count}Q", (hashed & ones * 0x7FFFFFFF).to_bytes(8 * count, "little")))


def _lanes(joined: bytes, places: range, length: int, count: int) -> int:
    """The bytes at ``places`` of each key, in 64 bits a key."""
    lanes = bytearray(8 * count)
    for index, place in enumerate(places):
        lanes[index::8] = joined[place::length]
    return int.from_bytes(lanes, "little")


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
            if len(others) == 1:
                (chosen,) = others
            else:
                import random

                chosen = random.choice(others)
            self._chosen[topic] = chosen
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

    Raises InvalidConfigError for a name that leads nowhere, and for a module that can't be imported, whatever it
    raises; the function raises it where the user's own one fails or returns no number.
    """
    short = name.removeprefix("org.apache.kafka.clients.producer.")
    if short in {"", "internals.DefaultPartitioner", "DefaultPartitioner"}:
        return None
    if short == "RoundRobinPartitioner":
        return RoundRobin()
    module, _, function = name.partition(":")
    if not (module and function):
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
    except (Exception, SystemExit) as error:  # the module is the user's: what it raises at its import is no bug of ours
        what = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise InvalidConfigError(f"partitioner.class {name} can't be loaded: {what}") from error
    if not callable(found):
        raise InvalidConfigError(f"partitioner.class {name} is not a function of (topic, key, value, partitions)")
    return _checked(name, found)


def _checked(name: str, partitioner: Callable[[str, bytes | None, bytes | None, int], object]) -> Partitioner:
    """A user's function, whose errors are told as errors of the setting."""

    def choose(topic: str, key: bytes | None, value: bytes | None, partitions: int) -> int:
        try:
            chosen = partitioner(topic, key, value, partitions)
        except (Exception, SystemExit) as error:
            raise InvalidConfigError(f"partitioner.class {name} raised {type(error).__name__}: {error}") from error
        if not isinstance(chosen, int) or isinstance(chosen, bool):
            raise InvalidConfigError(
                f"partitioner.class {name} returned {chosen!r:.100}, which is no partition's number"
            )
        return chosen

    return choose
