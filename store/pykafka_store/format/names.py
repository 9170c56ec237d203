"""Names that become paths. Topic names are untrusted: nothing else in the store builds a path from one.

Sources: org.apache.kafka.common.internals.Topic (legal names, collisions), LogFileUtils and LocalLog (file names).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pykafka_store.errors import InvalidTopicError

if TYPE_CHECKING:
    from pykafka_store.model import TopicPartition

MAX_TOPIC_NAME = 249
_LEGAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
TRANSACTION_INDEX_SUFFIX = ".txnindex"
SNAPSHOT_SUFFIX = ".snapshot"
"""A broker's producer state; this engine writes none, and takes it away with its segment."""
DELETED_SUFFIX = ".deleted"
"""Behind another suffix: a file on its way out."""
CLEANED_SUFFIX = ".cleaned"
"""Behind another suffix: compaction's work, before it takes its place."""
SWAP_SUFFIX = ".swap"
"""Behind another suffix: compaction's work, whole, and about to take its place."""

WRITTEN_SUFFIXES = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX)
"""The files that this engine makes of every segment, in the order in which it makes them."""
INDEX_SUFFIXES = (TRANSACTION_INDEX_SUFFIX, TIME_INDEX_SUFFIX, INDEX_SUFFIX)
SEGMENT_SUFFIXES = (SNAPSHOT_SUFFIX, *INDEX_SUFFIXES, LOG_SUFFIX)
"""All files that a segment may have, in the order in which they are taken away: a log never before its indexes."""


def check_topic_name(name: str) -> str:
    """Return the name if it is a legal topic name, in Kafka's order of checks. Raises InvalidTopicError."""
    if not name:
        problem = "the empty string is not allowed"
    elif name in {".", ".."}:
        problem = f"'{name}' is not allowed"
    elif len(name) > MAX_TOPIC_NAME:
        problem = f"the length of '{name}' is longer than the max allowed length {MAX_TOPIC_NAME}"
    elif not _LEGAL.issuperset(name):
        problem = f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    else:
        return name
    raise InvalidTopicError(f"Topic name is invalid: {problem}")


def collision_key(name: str) -> str:
    """Two topics with the same key can't coexist: their metric names would be the same."""
    return name.replace(".", "_")


def partition_directory(topic: str, partition: int) -> str:
    """The directory of one replica, as Kafka names it: ``orders-0``. Raises InvalidTopicError."""
    if partition < 0:
        raise InvalidTopicError(f"partition {partition} of topic {topic} is negative")
    return f"{check_topic_name(topic)}-{partition}"


def parse_partition_directory(name: str) -> TopicPartition | None:
    """The inverse, split at the last ``-``; None for any other name."""
    topic, dash, number = name.rpartition("-")
    if not (topic and dash) or not number.isascii() or not number.isdigit() or not _LEGAL.issuperset(topic):
        return None
    from pykafka_store.model import TopicPartition

    return TopicPartition(topic, int(number))


def aside_directory(directory: str, token: str, kind: str) -> str:
    """What a partition's directory is called on its way out: ``orders-0.<32 hex>-delete`` or ``-stray``.

    The topic part is cut so that the whole stays within 255 bytes, the limit of a file name.
    """
    tail = f".{token}-{kind}"
    return directory[: 255 - len(tail)] + tail


def segment_file(base_offset: int, suffix: str = LOG_SUFFIX) -> str:
    return f"{base_offset:020d}{suffix}"


def segment_base_offset(file_name: str) -> int | None:
    """The base offset in a segment's file name, or None if the name is not that of a ``.log`` file."""
    number = file_name.removesuffix(LOG_SUFFIX)
    if len(number) != 20 or len(file_name) != 24 or not number.isascii() or not number.isdigit():
        return None
    return int(number) if int(number) < 1 << 63 else None
