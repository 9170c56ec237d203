"""The seam: what a cluster can be asked, whichever engine answers. Protocols only; :mod:`pykafka_store.open` picks the
engine, and README's "From Python" has an example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pykafka_store.access import AccessAdmin
from pykafka_store.errors import StoreError
from pykafka_store.model import (
    CommittedOffset,
    ConfigDescription,
    ConfigResource,
    Delivery,
    ElectionType,
    GroupDescription,
    GroupListing,
    Header,
    LogDirDescription,
    OffsetAt,
    QuorumDescription,
    Reassignment,
    Records,
    SendFailure,
    TopicDescription,
    TopicListing,
    TopicPartition,
)
from pykafka_store.nodes import ApiVersion, NodeDescription
from pykafka_store.operations import FeatureOperations, TransactionOperations

if TYPE_CHECKING:
    from pykafka_store.settings.listeners import Listener


class _Closing(Protocol):
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Admin(AccessAdmin, FeatureOperations, TransactionOperations, Protocol):
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
        """The named topics in the order asked (all, sorted by name, for None), as they are led now.

        There is no controller in a data directory that would notice when a disk goes: where one has gone or come back,
        this elects leaders before it describes, unless the directory may only be read. Raises
        UnknownTopicOrPartitionError if a topic does not exist.
        """

    def delete_topic(self, name: str) -> None: ...

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None
    ) -> TopicDescription:
        """Raise the partition count to ``count``; ``assignments`` are the replica lists of the new ones only."""

    def live_brokers(self) -> tuple[int, ...]:
        """Ids of the brokers that serve, sorted."""

    def racks(self) -> dict[int, str | None]:
        """The rack of each broker that serves, None where it has none, as those of a directory."""

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
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],
        *,
        allow_replication_factor_change: bool = True,
    ) -> dict[TopicPartition, StoreError | None]:
        """Begin to move partitions to other brokers, in the order of these lists; None gives up a move that is on.

        A partition's answer is None, or why not: InvalidReplicaAssignmentError, InvalidReplicationFactorError (where it
        may not change), NoReassignmentInProgressError, UnknownTopicOrPartitionError. Source: KIP-455, KIP-860. A data
        directory goes on with the moves in :meth:`pykafka_store.directory.DataDirectory.reassign`, as there is nobody
        else who would.
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
        directory goes on with the moves in :meth:`pykafka_store.directory.DataDirectory.reassign`.
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
    """Appends records. Threads may share it, as Java's: what each sends stays in its order.

    As with Java's, records wait to be appended with others: for ``linger.ms`` (5) at most, or until there are
    ``batch.size`` bytes of them, ``flush`` or ``close``. With ``linger.ms`` 0 ``send`` appends them itself.

    What is acknowledged is reported through ``on_delivery``, what is not through ``on_failure``; both may be called
    from within ``send``, ``flush`` or ``close``, of these records or of later ones. Without ``on_failure`` the first
    failure is raised there instead. A record that no broker would take is refused by its own ``send``.
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
        may not be created, TypeError for what is no column of bytes, IllegalStateError after ``close``.
        """

    def flush(self) -> None:
        """Wait until everything sent is acknowledged or has failed."""


class Consumer(_Closing, Protocol):
    """Reads records. For one thread at a time, as Java's: a second one gets ConcurrentModificationError.

    With a ``group.id`` it shares what it subscribes to with the other members of the group, whatever process they are
    in: each partition is read by one of them. How far the group has read is committed, and whoever comes later goes on
    there:

    >>> import tempfile
    >>> from pykafka_store import open_cluster
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
        are still owned, so offsets can be committed; in ``lost`` they are not. A partition whose topic was deleted and
        made again is lost and assigned, though the group may have had it all along.
        """

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        """Runs of records in offset order within each partition, as soon as there are any, else [] after ``timeout`` s.

        Raises OffsetOutOfRangeError (when ``auto.offset.reset`` is ``none``), CorruptRecordError,
        UnknownTopicOrPartitionError for a topic deleted while it is read, and IllegalStateError where neither
        ``assign`` nor ``subscribe`` was called.
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
        only when what it returned before is dealt with. Raises UnknownMemberIdError, IllegalGenerationError or
        FencedInstanceIdError, and writes nothing, where this member was fenced; UnknownTopicOrPartitionError for a
        partition that is gone, when the others are committed; InvalidGroupIdError without a group.
        """

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """What the group has committed for these partitions, those with nothing left out."""

    def leave_if_settled(self) -> bool:
        """Leave the group if this member has just what the group means it to have; else False: poll on, ask again."""

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The high watermark (under ``read_committed`` the last stable offset) of each partition, as of now."""


class Cluster(_Closing, Protocol):
    """Hands out clients. Threads share it, and forks do not, as ``help(pykafka_store)`` says."""

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


class KafkaAdmin(Admin, Protocol):
    """What the admin of a Kafka cluster can be asked besides: of its brokers and controllers as nodes of a network."""

    def nodes(self, *, fenced: bool = False) -> list[NodeDescription]:
        """The brokers (the controllers, where their address was opened), sorted by id; with ``fenced`` those as well
        that are registered and do not serve.
        """

    def api_versions(self) -> dict[NodeDescription, list[ApiVersion] | StoreError]:
        """Which requests each node takes, sorted by id; or why that is not known."""

    def unregister_broker(self, broker: int) -> None:
        """Have the cluster forget a broker that is gone. Raises BrokerIdNotRegisteredError."""

    def add_voter(self, voter: int, directory_id: str, endpoints: Mapping[str, tuple[str, int]]) -> None:
        """Add a controller to the quorum of the metadata: its listeners' names, and where each listens (KIP-853)."""

    def remove_voter(self, voter: int, directory_id: str) -> None:
        """Take a controller out of the quorum of the metadata."""


class KafkaCluster(Cluster, Protocol):
    """What a Kafka cluster can do besides."""

    def admin(self) -> KafkaAdmin: ...

    def transactional_producer(
        self,
        transactional_id: str,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
    ) -> TransactionalProducer:
        """A producer whose transactions are its own: any open one under this id is aborted first."""


class RunningServer(Protocol):
    """A server of a data directory, which listens already."""

    address: tuple[str, int]
    """Host and port that clients connect to: those of the first listener."""
    listeners: Sequence[Listener]
    """Where it listens, with the ports that were free."""
    wakes: int
    """A descriptor that wakes ``run`` when something is written to it: for ``signal.set_wakeup_fd``."""

    def run(self) -> None:
        """Answer clients until ``stop``."""

    def stop(self) -> None:
        """End ``run`` soon; for signal handlers and other threads."""
