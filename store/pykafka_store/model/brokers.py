"""Brokers, what lies in their directories and on its way to others, and the metadata quorum."""

from enum import IntEnum
from typing import NamedTuple

from pykafka_store.errors import StoreError
from pykafka_store.model.records import TopicPartition


class ElectionType(IntEnum):
    """Which leader is asked for (Kafka's numbers): a partition's first replica, or any, even one that lacks records."""

    PREFERRED = 0
    UNCLEAN = 1


class Reassignment(NamedTuple):
    """A partition on its way to other brokers. ``replicas`` are all that hold it meanwhile, its future ones first."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class ReplicaSize(NamedTuple):
    """One replica in a log directory, as kafka-log-dirs shows it."""

    partition: TopicPartition
    size: int
    """Bytes of its segments."""
    offset_lag: int
    """By how many offsets it ends before the partition's high watermark (a future replica: before the current one)."""
    is_future: bool
    """Whether it is on its way into this directory, from another one of the same broker."""


class LogDirDescription(NamedTuple):
    """One log directory of a broker."""

    path: str
    error: StoreError | None
    """Why it can't be used, or None."""
    replicas: tuple[ReplicaSize, ...]
    total_bytes: int | None = None
    """Of the file system it lies on."""
    usable_bytes: int | None = None


class BrokerDescription(NamedTuple):
    """A broker of a data directory: a number, and the directories that hold its replicas."""

    id: int
    log_dirs: tuple[str, ...]
    """Absolute paths."""
    running: bool
    """False after ``stop_broker``."""
    problems: tuple[str, ...]
    """A line for each log directory that can't be used."""
    replicas: int
    leaders: int
    in_sync: int
    """How many of its replicas are in sync."""


class QuorumReplica(NamedTuple):
    """A member of the metadata quorum."""

    id: int
    directory_id: str
    log_end_offset: int
    last_fetch_ms: int
    """-1 where it never fetched: a leader doesn't."""
    last_caught_up_ms: int
    endpoints: tuple[str, ...] = ()
    """Where a controller listens: ``NAME://host:port``."""


class QuorumDescription(NamedTuple):
    """Who keeps the metadata, and how far they are (DescribeQuorum, KIP-595)."""

    leader_id: int
    leader_epoch: int
    high_watermark: int
    voters: tuple[QuorumReplica, ...]
    observers: tuple[QuorumReplica, ...]
