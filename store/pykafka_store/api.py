"""The seam: what a cluster can be asked, whichever engine answers.

``open_cluster`` picks the engine from an address: a directory (``file:DIR`` or a path) is served by the embedded
engine, ``host:port`` by a real Kafka cluster. The command line knows this module and neither engine.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory, open_cluster(f"file:{directory}") as cluster:
...     _ = cluster.admin().create_topic("greetings")
...     with cluster.producer() as producer:
...         producer.send("greetings", [b"hello", b"world"], keys=[b"k", None])
...     with cluster.consumer() as consumer:
...         consumer.assign({TopicPartition("greetings", 0): 0})
...         for records in consumer.poll(timeout=1.0):
...             print(records.values)
[b'hello', b'world']
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from pykafka_store.errors import StoreError
from pykafka_store.model import (
    BrokerDescription,
    CheckReport,
    CommittedOffset,
    ConfigDescription,
    ConfigResource,
    CopiedRun,
    Delivery,
    ElectionType,
    Finding,
    GroupDescription,
    GroupListing,
    Header,
    LogDirDescription,
    MaintenanceReport,
    OffsetAt,
    QuorumDescription,
    Reassignment,
    Records,
    SendFailure,
    TopicDescription,
    TopicListing,
    TopicPartition,
)


class _Closing(Protocol):
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Admin(Protocol):
    """Topics and their settings. Every method raises the errors of :mod:`pykafka_store.errors`."""

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        assignments: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Create a topic; None means the server's default. ``assignments[p]`` is the replica list of partition p."""

    def list_topics(self) -> list[TopicListing]:
        """All topics, internal ones included, sorted by name."""

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        """The named topics in the order asked (all, sorted by name, for None).

        Raises UnknownTopicOrPartitionError if one does not exist.
        """

    def delete_topic(self, name: str) -> None: ...

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None
    ) -> TopicDescription:
        """Raise the partition count to ``count``; ``assignments`` are the replica lists of the new ones only."""

    def live_brokers(self) -> tuple[int, ...]:
        """Ids of the brokers that serve, sorted."""

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        """The offset at a point in time, a partition each: a timestamp in ms, or one of OffsetAt.

        -1 where no record answers (later than every record, an empty partition's newest). A partition that can't be
        asked has its error as the answer, so that one failure does not hide the others.
        """

    def describe_configs(self, resource: ConfigResource) -> tuple[ConfigDescription, ...]:
        """Every setting of a topic, a broker or a group, sorted by name; of all brokers (an empty name) those that were
        set. Raises UnknownTopicOrPartitionError, InvalidTopicError, BrokerIdNotRegisteredError.
        """

    def configured_groups(self) -> list[str]:
        """The groups that settings were made for, sorted."""

    def incremental_alter_configs(
        self, resource: ConfigResource, changes: Mapping[str, str], deletions: Sequence[str] = ()
    ) -> None:
        """Set some of a resource's settings and give others back to their defaults, all of it or nothing.

        A setting that was not set may be deleted. Whoever is at work follows. Raises InvalidConfigError or
        InvalidRequestError for a setting that can't be, or is named twice, UnknownTopicOrPartitionError,
        InvalidTopicError, BrokerIdNotRegisteredError.
        """

    def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Exception]:
        """Delete all records before an offset, a partition each; -1 is the high watermark: all that can be read.

        The answer is the partition's first offset then, or why nothing was deleted: OffsetOutOfRangeError,
        UnknownTopicOrPartitionError, PolicyViolationError for a topic that is only compacted, InvalidTopicError for an
        internal one.
        """

    # ----------------------------------------------------------------------------------------- brokers and replicas

    def cluster_id(self) -> str:
        """The cluster's id: 22 characters of base64url, chosen when it was made."""

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        """Have other leaders, each under a raised leader epoch; all partitions that need one for None.

        A partition's answer is None, or why not: ElectionNotNeededError, PreferredLeaderNotAvailableError,
        EligibleLeadersNotAvailableError, UnknownTopicOrPartitionError. Source: ElectLeaders of KIP-460.
        """

    def alter_partition_reassignments(
        self, targets: Mapping[TopicPartition, Sequence[int] | None]
    ) -> dict[TopicPartition, StoreError | None]:
        """Begin to move partitions to other brokers, in the order of these lists; None gives up a move that is on.

        A partition's answer is None, or why not: InvalidReplicaAssignmentError, NoReassignmentInProgressError,
        UnknownTopicOrPartitionError. Source: AlterPartitionReassignments of KIP-455. A data directory goes on with
        the moves in :meth:`DataDirectory.reassign`, as there is nobody else who would.
        """

    def list_partition_reassignments(
        self, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        """The moves that are on, sorted; those of the named partitions, or all."""

    def alter_replica_log_dirs(
        self, moves: Mapping[tuple[TopicPartition, int], str]
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        """Begin to move replicas (partition, broker) to another log directory of their broker, by its path.

        Each answer is None, or why not: LogDirNotFoundError, UnknownTopicOrPartitionError, StorageError. A data
        directory goes on with the moves in :meth:`DataDirectory.reassign`.
        """

    def describe_log_dirs(self, brokers: Sequence[int]) -> dict[int, tuple[LogDirDescription, ...]]:
        """What lies in these brokers' log directories. A broker that does not answer is left out."""

    def describe_quorum(self) -> QuorumDescription:
        """Who keeps the metadata."""

    # --------------------------------------------------------------------------------------------- consumer groups

    def list_groups(self) -> list[GroupListing]:
        """All groups that have members or committed offsets, sorted by id."""

    def describe_group(self, group: str) -> GroupDescription:
        """A group as it is now; one that does not exist is described as Dead, with no members."""

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        """What the group has committed, sorted; empty for a group that does not exist."""

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit for a group without members, made if it does not exist.

        Raises UnknownMemberIdError while the group has members, UnknownTopicOrPartitionError. Nothing is changed then.
        """

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        """Forget commits; each partition's answer is None, or why not.

        A topic that the live group subscribes to: GroupSubscribedToTopicError; a partition that does not exist:
        UnknownTopicOrPartitionError. Raises GroupIdNotFoundError.
        """

    def delete_group(self, group: str) -> None:
        """Forget a group and its commits. Raises GroupIdNotFoundError, GroupNotEmptyError."""


class Producer(_Closing, Protocol):
    """Appends records. Not for use by several threads at once.

    What is acknowledged is reported through ``on_delivery``, what is not through ``on_failure``; both may be called
    from within ``send``, ``flush`` or ``close``. Without ``on_failure`` the first failure is raised instead.
    """

    acknowledged: int
    """Records acknowledged so far."""
    failed: int
    """Records refused so far."""

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Sequence[Header]] | None = None,
        timestamps: Sequence[int] | int | None = None,
        partitions: Sequence[int | None] | int | None = None,
    ) -> None:
        """Append records, in order within each partition.

        ``keys`` and ``headers`` are columns as long as ``values``, or None for none at all. ``timestamps`` is a
        column, one value for all, or None for now. ``partitions`` is a column (None: let the partitioner choose),
        one for all, or None. Raises UnknownTopicOrPartitionError where the topic is missing and
        may not be created.
        """

    def flush(self) -> None:
        """Wait until everything sent is acknowledged or has failed."""


class Consumer(_Closing, Protocol):
    """Reads records. Not for use by several threads at once.

    With a ``group.id`` it shares what it subscribes to with the other members of the group, whatever process they are
    in: each partition is read by one of them. How far the group has read is committed, and whoever comes later goes on
    there:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory, open_cluster(f"file:{directory}") as cluster:
    ...     _ = cluster.admin().create_topic("orders", partitions=2)
    ...     with cluster.producer() as producer:
    ...         producer.send("orders", [b"one", b"two", b"three"], partitions=1)
    ...     settings = {"group.id": "billing", "auto.offset.reset": "earliest"}
    ...     with cluster.consumer(settings) as consumer:
    ...         consumer.on_rebalance(assigned=lambda partitions: print("mine:", *partitions))
    ...         consumer.subscribe(["orders"])
    ...         for records in consumer.poll(timeout=10.0, max_records=2):
    ...             print(records.values)
    ...     for partition, committed in cluster.admin().group_offsets("billing").items():
    ...         print(partition, committed.offset)
    ...     with cluster.consumer(settings) as consumer:
    ...         consumer.subscribe(["orders"])
    ...         for records in consumer.poll(timeout=10.0):
    ...             print(records.values)
    mine: orders-0 orders-1
    [b'one', b'two']
    orders-0 0
    orders-1 2
    [b'three']
    """

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """Read exactly these partitions, from an offset or from LATEST or EARLIEST. Replaces what was read before.

        Raises UnknownTopicOrPartitionError for a partition that does not exist.
        """

    def subscribe(
        self,
        topics: Sequence[str] | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        start: OffsetAt = OffsetAt.LATEST,
    ) -> None:
        """Read all partitions of these topics, or of those whose whole name matches, new ones as they appear.

        Partitions that exist now are read from ``start``; those that appear later from their beginning. A named topic
        that is missing is created if the consumer's ``allow.auto.create.topics`` is true (the default), else an
        error.
        """

    def on_rebalance(
        self,
        assigned: Callable[[Sequence[TopicPartition]], None] | None = None,
        revoked: Callable[[Sequence[TopicPartition]], None] | None = None,
        lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """Be told, from within ``poll`` and ``close``, what this member was given, is about to give up, or lost.

        ``assigned`` is called after joining even if there is nothing left to be given. In ``revoked`` the partitions
        are still owned, so offsets can be committed; in ``lost`` they are not.
        """

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """Runs of records in offset order within each partition, as soon as there are any, else [] after ``timeout`` s.

        Raises OffsetOutOfRangeError (when ``auto.offset.reset`` is ``none``), CorruptRecordError, and
        UnknownTopicOrPartitionError for a topic deleted while it is read.
        """

    def assignment(self) -> tuple[TopicPartition, ...]: ...

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next record that ``poll`` would return."""

    def seek(self, partition: TopicPartition, offset: int | OffsetAt) -> None: ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Keep these partitions, but return nothing of them until ``resume``."""

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """Commit for the group: these offsets, or the positions of all that is assigned. Returns when it is done.

        With ``enable.auto.commit`` (Kafka's default) the positions are committed from within ``poll`` every
        ``auto.commit.interval.ms``, when partitions are given up, and on ``close``: call ``poll`` again, or ``close``,
        only when what it returned before is dealt with. Raises UnknownMemberIdError or IllegalGenerationError, and
        writes nothing, where this member was fenced; InvalidGroupIdError without a group.
        """

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """What the group has committed for these partitions, those with nothing left out."""

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The high watermark (under ``read_committed`` the last stable offset) of each partition, as of now."""


class Cluster(_Closing, Protocol):
    def admin(self) -> Admin: ...

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Producer:
        """A producer with Kafka's producer settings (``acks``, ``batch.size``, ``compression.type``, …).

        ``on_notice`` gets a line for what a user should know, such as a topic created on the way.
        Raises InvalidConfigError for a setting that is unknown or can't be honoured.
        """

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> Consumer:
        """A consumer with Kafka's settings (``auto.offset.reset``, ``isolation.level``, …). Raises as above."""


class TransactionalProducer(Producer, Protocol):
    """Sends to a Kafka cluster in transactions: what is sent between two commits counts all at once, or not at all, for
    consumers with ``isolation.level=read_committed``. The next producer with the same transactional id aborts what a
    kill left open, and shuts out one that is still alive.
    """

    def commit(self) -> None:
        """Wait until all is acknowledged, and have it count. Raises ProducerFencedException's StoreError where another
        producer has the transactional id by now.
        """


class KafkaCluster(Cluster, Protocol):
    """What a Kafka cluster can do besides."""

    def transactional_producer(
        self,
        transactional_id: str,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
    ) -> TransactionalProducer:
        """A producer whose transactions are its own: any open one under this id is aborted first."""


class Copier(Producer, Protocol):
    """A producer of copies into a data directory: each of its batches says where its records come from, so that after a
    kill the log itself tells how far the copying came.
    """

    def copy(self, records: Records, to: TopicPartition, source: str) -> None:
        """Append records to a partition as they are. ``source`` names the partition they come from, for good.

        Raises what was not appended, as nobody is told of single records.
        """

    def sync(self) -> None:
        """Bring what was appended to the disks themselves, of every replica in sync."""


class DataDirectory(Cluster, Protocol):
    """What can be done to a data directory besides: nothing that a Kafka cluster would let a client do."""

    def maintain(self, on_progress: Callable[[TopicPartition, int], None] | None = None) -> MaintenanceReport:
        """One pass of upkeep over everything: moves, replicas that fell behind, retention, compaction, dead members of
        groups, what kills left behind.

        ``on_progress`` is called with each partition, and the bytes of it that were read so far; at least once, with
        none, before anything is. What fails in one partition is in the report.
        """

    def reassign(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, StoreError | None]:
        """Go on with the moves of these partitions (all that are on, for None) until they are done.

        Honours the brokers' ``leader.replication.throttled.rate``. A partition's answer is None when it is where it
        was to go, or why not yet.
        """

    # ------------------------------------------------------------------------------------------------------ copies

    def copier(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Copier:
        """``on_notice`` is told what a user should know, such as a replica that was left behind, in a line each."""

    def copied(self, partition: TopicPartition, source: str, since: int = 0) -> list[CopiedRun]:
        """What a partition holds of copies from ``source``, in order, of batches from offset ``since`` on."""

    def keep_lock(self, name: str) -> bool:
        """Take a lock that nobody else has, until ``close``; False where another process has it."""

    # ----------------------------------------------------------------------------------------------------- brokers

    def brokers(self) -> list[BrokerDescription]:
        """All brokers, stopped ones too, sorted by id."""

    def add_broker(self, broker: int | None = None, log_dirs: Sequence[str] = ()) -> BrokerDescription:
        """A new broker, the next free number for None, with log directories of its own on any local disk; without one,
        a directory below the data directory. It holds replicas of topics that are made from now on, or moved to it.

        Raises InvalidRequestError for a number or a directory that is taken, StorageError.
        """

    def stop_broker(self, broker: int) -> None:
        """Take a broker out of service: others lead what it led, and it falls behind. One that is stopped already is
        fine.

        Raises BrokerIdNotRegisteredError.
        """

    def start_broker(self, broker: int) -> None:
        """Bring a broker back: its replicas are truncated to where they agree with the leaders', and catch up."""

    def remove_broker(self, broker: int) -> None:
        """Forget a broker that holds no replica. Its directories stay where they are, empty.

        Raises BrokerIdNotRegisteredError, InvalidRequestError while it holds replicas, or is the last one.
        """


def open_kafka_cluster(
    address: str, config: Mapping[str, str] | None = None, on_notice: Callable[[str], None] | None = None
) -> KafkaCluster:
    """Open ``host:port[,host:port]``, as ``open_cluster`` does."""
    from pykafka_store.remote.cluster import RemoteCluster

    return RemoteCluster(address, config, on_notice=on_notice)


def open_data_directory(directory: str | os.PathLike[str], *, create: bool = False) -> DataDirectory:
    """Open a data directory to change it; one that is missing is made if ``create`` is true. Raises StorageError,
    UnsupportedVersionError.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster

    return EmbeddedCluster(os.fspath(directory), create=create)


def format_data_directory(
    directory: str | os.PathLike[str], cluster_id: str, broker: int = 0, log_dirs: Sequence[str] = ()
) -> None:
    """Make a data directory with a cluster id of one's own, and a first broker with that number.

    ``log_dirs`` are log directories of the broker besides the one below the data directory. Raises StorageError for a
    directory that is one already, or holds something else, and InvalidRequestError for log directories that can't be.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster, First

    with EmbeddedCluster(os.fspath(directory), first=First(cluster_id, broker, tuple(log_dirs))):
        pass


def check_data_directory(
    directory: str | os.PathLike[str],
    *,
    repair: bool = False,
    on_finding: Callable[[Finding], None] | None = None,
    on_progress: Callable[[TopicPartition | None, int], None] | None = None,
) -> CheckReport:
    """Look at every file of a data directory, and say what is wrong with it. Changes nothing unless ``repair``.

    Not a method of :class:`DataDirectory`, as one that is damaged may not open. Whoever works in the directory may go
    on. ``on_finding`` is called with each finding as it is found, ``on_progress`` with the partition that is being
    looked at and the bytes of logs read so far.

    ``repair`` then mends what can be mended without touching an acknowledged record, keeps copies of what it removes or
    overwrites in ``repaired/<time>/`` of the directory, and looks at everything again: the report's findings are those
    that are left, and ``on_finding`` is called with those only.

    Raises StorageError for what is no data directory, UnsupportedVersionError for one of a newer layout.
    """
    from pykafka_store.embedded.repair import check, check_and_repair

    path = os.fspath(directory)
    return check_and_repair(path, on_finding, on_progress) if repair else check(path, on_finding, on_progress)


def open_cluster(
    address: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    config: Mapping[str, str] | None = None,
    patience: float | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Cluster:
    """Open what an address names: ``file:DIR``, a directory's path, or ``host:port[,host:port]`` for a Kafka cluster.

    A missing directory is made if ``create`` is true. ``read_only`` promises that nothing will be changed; a
    directory that may only be read is opened so by itself. ``config`` are client settings in Java's names that say how
    to reach a cluster and how to log in; a directory needs none of them. ``patience``: how many seconds a cluster has
    for its first answer at most, where its settings leave it more. ``on_notice`` gets a line for each setting that
    librdkafka does not know.

    A cluster is first talked to when something is asked of it. Raises StorageError for a directory that can't be
    used, UnsupportedVersionError for one of a newer layout, EngineUnavailableError where confluent-kafka is not
    installed.
    """
    text = os.fspath(address)
    if is_cluster_address(text):
        from pykafka_store.remote.cluster import RemoteCluster

        return RemoteCluster(text, config, read_only=read_only, patience=patience, on_notice=on_notice)
    from pykafka_store.embedded.cluster import EmbeddedCluster

    return EmbeddedCluster(text.removeprefix("file:"), create=create, read_only=read_only)


_HOST_PORT = re.compile(r"[^/\\,\s]+:[0-9]{1,5}")


def is_cluster_address(text: str) -> bool:
    """Whether an address is ``host:port[,…]`` and not a directory."""
    return not text.startswith("file:") and all(_HOST_PORT.fullmatch(part.strip()) for part in text.split(","))
