"""The values that cross the seam: plain, immutable where it costs nothing, and free of any engine.

Units: offsets count records, positions count bytes, timestamps are milliseconds since the epoch.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from enum import IntEnum, StrEnum
from typing import Literal, NamedTuple

from pykafka_store.errors import StoreError

Header = tuple[str, bytes | None]
"""A header's key, and its value or null. Keys may repeat; order counts."""

Partitioner = Callable[[str, bytes | None, bytes | None, int], int]
"""A custom partitioner: (topic, key, value, number of partitions) -> partition."""

NO_PRODUCER_ID = -1
NO_SEQUENCE = -1
NO_TIMESTAMP = -1

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


class TimestampType(IntEnum):
    """Who set a record's timestamp (bit 3 of a batch's attributes)."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class TopicPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Records:
    """A run of records of one partition in offset order, held by column.

    All columns have the same length. ``headers[i]`` is a tuple of (key, value-or-None) pairs.
    Columns, not objects: the console tools move millions of records and touch few columns.
    """

    __slots__ = (
        "headers", "keys", "leader_epoch", "offsets", "partition", "timestamp_type", "timestamps", "topic", "values",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        offsets: Sequence[int],
        timestamps: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[Header]],
        timestamp_type: TimestampType = TimestampType.CREATE_TIME,
        leader_epoch: int = -1,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offsets = offsets
        self.timestamps = timestamps
        self.keys = keys
        self.values = values
        self.headers = headers
        self.timestamp_type = timestamp_type
        self.leader_epoch = leader_epoch

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        span = f"{self.offsets[0]}..{self.offsets[-1]}" if len(self) else "none"
        return f"Records({self.topic}-{self.partition}, offsets {span})"

    def slice(self, start: int, stop: int) -> Records:
        """The records ``start`` to ``stop`` (exclusive) of this run, as another run."""
        return Records(
            self.topic,
            self.partition,
            offsets=self.offsets[start:stop],
            timestamps=self.timestamps[start:stop],
            keys=self.keys[start:stop],
            values=self.values[start:stop],
            headers=self.headers[start:stop],
            timestamp_type=self.timestamp_type,
            leader_epoch=self.leader_epoch,
        )


class Delivery(NamedTuple):
    """Records that are in the log and will stay there: ``record_count`` of them from ``base_offset`` on."""

    topic: str
    partition: int
    base_offset: int
    record_count: int


class CopiedRun(NamedTuple):
    """A batch of records that were copied from another partition."""

    base_offset: int
    """Its first offset here."""
    length: int
    """Offsets of it here: the records that it held when it was written."""
    last_source_offset: int
    """The offset that its last record has at the source."""


class SendFailure(NamedTuple):
    """Records that were not acknowledged, and why. ``key_size`` and ``value_size`` are of the first; None for null."""

    topic: str
    partition: int | None
    record_count: int
    key_size: int | None
    value_size: int | None
    error: Exception


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


ConfigKind = Literal["topic", "broker", "group"]


class ConfigResource(NamedTuple):
    """What settings belong to."""

    type: ConfigKind
    name: str
    """Of a broker its number, or empty for all brokers."""


class QuorumReplica(NamedTuple):
    """A member of the metadata quorum."""

    id: int
    directory_id: str
    log_end_offset: int
    last_fetch_ms: int
    """-1 where it never fetched: a leader doesn't."""
    last_caught_up_ms: int


class QuorumDescription(NamedTuple):
    """Who keeps the metadata, and how far they are (DescribeQuorum, KIP-595)."""

    leader_id: int
    leader_epoch: int
    high_watermark: int
    voters: tuple[QuorumReplica, ...]
    observers: tuple[QuorumReplica, ...]


class CommittedOffset(NamedTuple):
    """What a group has committed for a partition: the next record to read."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class GroupListing(NamedTuple):
    group_id: str
    type: str
    """``Classic`` or ``Consumer``, by the members' group.protocol."""
    state: str
    """``Empty``, ``Stable``, ``PreparingRebalance`` (classic) or ``Reconciling`` (consumer)."""


class MemberDescription(NamedTuple):
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    """As a broker gives it: ``/127.0.0.1``."""
    assignment: tuple[TopicPartition, ...]
    """What the member owns now, sorted."""


class GroupDescription(NamedTuple):
    group_id: str
    type: str
    state: str
    """As in GroupListing, or ``Dead`` for a group that does not exist."""
    assignor: str
    """``range``, ``roundrobin``, ``sticky``, ``cooperative-sticky``; empty while nothing is assigned."""
    coordinator: int
    """The broker's id."""
    epoch: int
    members: tuple[MemberDescription, ...]


class MaintenanceReport(NamedTuple):
    """What one pass over a data directory did."""

    partitions: int = 0
    busy: int = 0
    """Replicas that were left to another process, which was at them."""
    retained_out: int = 0
    """Records that retention took away."""
    compacted_out: int = 0
    """Records that compaction took away."""
    freed: int = 0
    """Bytes that are free again."""
    aside: int = 0
    """Bytes that are out of the logs, and free when file.delete.delay.ms is over."""
    dead_members: int = 0
    """Members of groups whose process was gone."""
    leftovers: int = 0
    """Directories of deleted topics that a kill had left."""
    caught_up: int = 0
    """Replicas that are in sync again."""
    behind: int = 0
    """Replicas that are not in sync, for their broker is stopped or its directory can't be used."""
    failures: tuple[tuple[str, Exception], ...] = ()
    """(partition, what was wrong with it): the others were gone through."""


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """A normal state that is worth knowing, such as what a kill left behind: nothing is wrong."""
    WARNING = "warning"
    """Something is wrong, and no record is affected."""
    ERROR = "error"
    """Records are lost, or can't be served, or will not be if this goes on."""


class Finding(NamedTuple):
    """What a check of a data directory found in one place."""

    severity: Severity
    where: str
    """A path, relative where it lies below the data directory."""
    message: str
    """What is so."""
    meaning: str
    """What that means, and what to do."""
    repairable: bool = False
    """Whether ``repair`` mends it without touching an acknowledged record."""


class CheckReport(NamedTuple):
    """What a check of a data directory read, and what it found."""

    findings: tuple[Finding, ...] = ()
    partitions: int = 0
    replicas: int = 0
    bytes: int = 0
    """Bytes of logs that were read."""
    mended: tuple[Finding, ...] = ()
    """What was found before, and is no more: it was repaired."""
    kept: tuple[str, ...] = ()
    """Where the copies of what the repair removed or overwrote are, and what it set aside."""

    @property
    def problems(self) -> int:
        """Findings that say that something is wrong."""
        return sum(finding.severity is not Severity.INFO for finding in self.findings)


class OffsetAt(IntEnum):
    """The special timestamps of ListOffsets (KIP-79, 734, 405, 1005, 1023); any number >= 0 is a real one."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5
    EARLIEST_PENDING_UPLOAD = -6


def random_topic_id() -> str:
    """A random version-4-like UUID as Kafka prints it: 22 characters of base64url, never beginning with ``-``.

    Source: org.apache.kafka.common.Uuid#randomUuid.
    """
    while True:
        text = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        if not text.startswith("-") and text != ZERO_TOPIC_ID:
            return text


def topic_id_bytes(topic_id: str) -> bytes:
    """The sixteen bytes behind Kafka's 22-character spelling. Raises ValueError if it is not one."""
    raw = base64.b64decode(topic_id.encode("ascii") + b"==", altchars=b"-_", validate=True)
    if len(raw) != 16:
        raise ValueError(f"Input string `{topic_id}` decoded as {len(raw)} bytes, which is not equal to 16")
    return raw


ZERO_TOPIC_ID = "A" * 22
