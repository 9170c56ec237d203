"""A data directory as a cluster: opens or makes it, and hands out admins, producers and consumers.

Layout: store/FORMAT.md. A directory is ours when it has a meta.properties, which is written last when one is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from pykafka_store.configs import BrokerConfigs, TopicConfig
from pykafka_store.embedded.catalog import FILE_NAME as CATALOG_FILE
from pykafka_store.embedded.catalog import Catalog, LogDirRow
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, boot_id, network_file_system
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.replication.home import Brokers, PartitionHome, format_log_dir
from pykafka_store.errors import (
    NoReassignmentInProgressError,
    StorageError,
    StoreError,
    TopicExistsError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.checkpoint import (
    LAYOUT_VERSION,
    META_PROPERTIES_FILE,
    check_layout,
    format_properties,
    parse_properties,
)
from pykafka_store.model import (
    BrokerDescription,
    CopiedRun,
    Delivery,
    MaintenanceReport,
    SendFailure,
    TopicPartition,
    random_topic_id,
)

if TYPE_CHECKING:
    from pykafka_store.embedded.admin import EmbeddedAdmin
    from pykafka_store.embedded.consumer import EmbeddedConsumer
    from pykafka_store.embedded.copier import EmbeddedCopier
    from pykafka_store.embedded.groups.admin import GroupAdmin
    from pykafka_store.embedded.groups.database import GroupDatabase
    from pykafka_store.embedded.groups.membership import Member, MemberSettings
    from pykafka_store.embedded.partition import Partition
    from pykafka_store.embedded.producer import EmbeddedProducer, Topic
    from pykafka_store.embedded.replication.admin import BrokerAdmin
    from pykafka_store.embedded.replication.reader import PartitionReader
    from pykafka_store.embedded.replication.replicas import Replicas
    from pykafka_store.embedded.upkeep import Upkeep

_OWN_NAMES = frozenset(
    {META_PROPERTIES_FILE, f"{META_PROPERTIES_FILE}.tmp", "locks", "groups", "brokers", CATALOG_FILE}
)
FIRST_BROKER = 0
GROUPS_FILE = "groups.db"
"""That of groups.database, which is imported only where there are groups."""


class First(NamedTuple):
    """What a new data directory begins with."""

    cluster_id: str
    broker: int = FIRST_BROKER
    log_dirs: tuple[str, ...] = ()
    """Besides the one below the data directory."""


class EmbeddedCluster:
    """See :class:`pykafka_store.api.Cluster`. Used by one thread at a time; not carried through a fork."""

    def __init__(
        self,
        directory: str,
        *,
        create: bool = True,
        read_only: bool = False,
        disk: Disk | None = None,
        clock: Clock | None = None,
        first: First | None = None,
    ) -> None:
        """With ``first``, the directory must not be a data directory yet."""
        self.directory = os.path.abspath(os.path.expanduser(directory))
        self._disk = disk or Disk()
        self._clock = clock or Clock()
        self._locks = Locks(os.path.join(self.directory, "locks"), self._disk, self._clock)
        try:
            self._open_directory(create and not read_only, first)
            self._read_only = read_only or not self._disk.may_write(self.directory)
            if not self._read_only:
                self._refuse_network_file_system()
            self._catalog = Catalog(self.directory, read_only=self._read_only)
        except BaseException:
            self._locks.close()
            raise
        self._brokers = Brokers(self._catalog, self._disk, self.directory)
        self._groups: GroupDatabase | None = None

    # ------------------------------------------------------------------------------------------------------ opening

    def _open_directory(self, create: bool, first: First | None) -> None:
        path = os.path.join(self.directory, META_PROPERTIES_FILE)
        try:
            properties = parse_properties(self._disk.read_file(path).decode("utf-8", "replace"))
        except FileNotFoundError:
            if not create:
                state = "is not a pykafka data directory" if self._disk.exists(self.directory) else "does not exist"
                raise StorageError(
                    f"{self.directory} {state}: create a topic in it first (kafka-topics --create --topic NAME)"
                ) from None
            self._make_directory(path, first or First(random_topic_id()))
            return
        if first is not None:
            raise StorageError(f"{self.directory} is a data directory already")
        check_layout(properties, path)

    def _make_directory(self, path: str, first: First) -> None:
        self._disk.make_directory(self.directory)
        self._refuse_network_file_system()
        others = sorted(
            name
            for name in self._disk.list(self.directory)
            if not name.startswith(CATALOG_FILE) and name not in _OWN_NAMES
        )
        if others:
            raise StorageError(
                f"{self.directory} is not a pykafka data directory and not empty ({others[0]} is in it): choose another"
            )
        for name in ("locks", "groups", os.path.join("brokers", str(first.broker))):
            self._disk.make_directory(os.path.join(self.directory, name))
        with self._locks.cluster():
            if self._disk.exists(path):
                return  # another process was first
            catalog = Catalog(self.directory, create=True)
            try:
                with catalog.transaction():
                    more = [LogDirRow(log_dir, random_topic_id()) for log_dir in first.log_dirs]
                    for row in more:
                        format_log_dir(self._disk, row.path, first.cluster_id, first.broker, row)
                    own = LogDirRow(os.path.join("brokers", str(first.broker)))
                    catalog.add_broker(first.broker, [own, *more])
            finally:
                catalog.close()
            # What meta.properties speaks for is on the disk before it is.
            self._disk.sync_directory(os.path.join(self.directory, "brokers"))
            properties = {"cluster.id": first.cluster_id, "version": "1", "layout.version": str(LAYOUT_VERSION)}
            self._disk.replace_file(path, format_properties(properties, "a pykafka data directory").encode())

    def _refuse_network_file_system(self) -> None:
        if os.environ.get("PYKAFKA_ALLOW_NETWORK_FS") == "1":
            return
        kind = network_file_system(self.directory)
        if kind:
            raise StorageError(
                f"{self.directory} lies on a network file system ({kind}), where locks can't be trusted: use a local "
                "disk, or set PYKAFKA_ALLOW_NETWORK_FS=1 if only one host uses it"
            )

    def _require_writable(self) -> None:
        if self._read_only:
            raise StorageError(f"{self.directory} may only be read here: check its owner and permissions")

    # ------------------------------------------------------------------------------------------------------ clients

    def admin(self) -> EmbeddedAdmin:
        from pykafka_store.embedded.admin import EmbeddedAdmin

        return EmbeddedAdmin(
            self._catalog,
            self._locks,
            self._disk,
            self._brokers,
            self.reader,
            self._require_writable,
            self._group_admin,
            self.upkeep,
            self._broker_admin,
            read_only=self._read_only,
        )

    def _broker_admin(self) -> BrokerAdmin:
        from pykafka_store.embedded.replication.admin import BrokerAdmin

        return BrokerAdmin(self.directory, self._catalog, self._locks, self._disk, self._brokers, self.replicas)

    def _group_admin(self) -> GroupAdmin:
        from pykafka_store.embedded.groups.admin import GroupAdmin

        directory = os.path.join(self.directory, "groups")
        return GroupAdmin(self.groups(), directory, _ForGroups(self._catalog), self._disk, read_only=self._read_only)

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> EmbeddedProducer:
        from pykafka_store.embedded.producer import EmbeddedProducer

        self._require_writable()
        return EmbeddedProducer(_ForProducer(self, on_notice), self._clock, config, on_delivery, on_failure)

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> EmbeddedConsumer:
        from pykafka_store.embedded.consumer import EmbeddedConsumer

        return EmbeddedConsumer(_ForConsumer(self, on_notice), self._clock, config)

    def copier(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> EmbeddedCopier:
        from pykafka_store.embedded.copier import EmbeddedCopier

        self._require_writable()
        return EmbeddedCopier(_ForProducer(self, on_notice), self._clock, config, on_delivery)

    def copied(self, partition: TopicPartition, source: str, since: int = 0) -> list[CopiedRun]:
        from pykafka_store.format.copies import producer_id_of

        reader = self.reader(partition)
        try:
            return reader.copied(producer_id_of(source), since)
        finally:
            reader.close()

    def keep_lock(self, name: str) -> bool:
        self._require_writable()
        return self._locks.keep(name)

    def maintain(self, on_progress: Callable[[TopicPartition, int], None] | None = None) -> MaintenanceReport:
        from pykafka_store.embedded.maintenance import maintain

        self._require_writable()
        if not self._disk.exists(os.path.join(self.directory, META_PROPERTIES_FILE)):
            raise StorageError(f"{self.directory} is gone: is its disk mounted?")  # every topic would look deleted
        partitions = [
            TopicPartition(topic, number)
            for topic, count in sorted(self._catalog.partition_counts().items())
            for number in range(count)
        ]
        paths = [path for broker in self._brokers.all() for path in self._brokers.paths(broker)]
        if len(self._brokers.all()) > 1:
            self._catalog.keep_reserve()
        moves = self.reassign()
        report = maintain(self._disk, partitions, self.replicas, self.upkeep, paths, on_progress)
        over = (NoReassignmentInProgressError, UnknownTopicOrPartitionError)
        stuck = [(str(name), why) for name, why in moves.items() if why is not None and not isinstance(why, over)]
        report = report._replace(failures=(*stuck, *report.failures))
        return report._replace(dead_members=self._remove_dead_members())

    def reassign(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, StoreError | None]:
        self._require_writable()
        return self._broker_admin().reassign(partitions)

    def brokers(self) -> list[BrokerDescription]:
        return self._broker_admin().brokers()

    def add_broker(self, broker: int | None = None, log_dirs: Sequence[str] = ()) -> BrokerDescription:
        self._require_writable()
        return self._broker_admin().add_broker(broker, log_dirs)

    def stop_broker(self, broker: int) -> None:
        self._require_writable()
        self._broker_admin().stop_broker(broker)

    def start_broker(self, broker: int) -> None:
        self._require_writable()
        self._broker_admin().start_broker(broker)

    def remove_broker(self, broker: int) -> None:
        self._require_writable()
        self._broker_admin().remove_broker(broker)

    def _remove_dead_members(self) -> int:
        """Take the members out of the groups whose process is gone; returns how many they were."""
        if not self._disk.exists(os.path.join(self.directory, GROUPS_FILE)):
            return 0
        groups = self.groups()

        def count() -> int:
            return sum(len(groups.members(group)) for group in groups.group_ids())

        before = count()
        self._group_admin().list_groups()  # looks at every lease on the way
        return max(0, before - count())

    def close(self) -> None:
        if self._groups is not None:
            self._groups.close()
        self._catalog.close()
        self._locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ for the engine's own

    def groups(self) -> GroupDatabase:
        """The groups' database, opened when it is first asked for: most commands have no use for it."""
        if self._groups is None:
            from pykafka_store.embedded.groups.database import GroupDatabase

            self._groups = GroupDatabase(self.directory, read_only=self._read_only)
        return self._groups

    def member(self, settings: MemberSettings) -> Member:
        """A membership in a group that has not joined yet."""
        from pykafka_store.embedded.groups.leases import group_directory
        from pykafka_store.embedded.groups.membership import Member

        self._require_writable()
        if settings.protocol == "consumer":  # its timeouts are the group's (KIP-848)
            told = self._catalog.configs("group").get(settings.group, {})
            if "consumer.session.timeout.ms" in told:
                settings = settings._replace(session_timeout=int(told["consumer.session.timeout.ms"]) / 1000)
            if "consumer.heartbeat.interval.ms" in told:
                settings = settings._replace(heartbeat_interval=int(told["consumer.heartbeat.interval.ms"]) / 1000)
        directory = os.path.join(self.directory, "groups", group_directory(settings.group))
        return Member(settings, self.groups(), directory, _ForGroups(self._catalog), self._disk, self._clock)

    def reader(self, partition: TopicPartition) -> PartitionReader:
        """A reader of the partition's leader. Raises UnknownTopicOrPartitionError."""
        from pykafka_store.embedded.log.reader import LogReader
        from pykafka_store.embedded.replication.reader import PartitionReader

        topic = self._catalog.topic_id(partition.topic)
        home = None if topic is None else self._home(topic, partition, gone=" while it was read")
        if topic is None or home is None or not home.exists():
            raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")

        def open_reader(directory: str) -> LogReader:
            return LogReader(self._disk, directory, *partition, topic, boot_id())

        if self._read_only:
            return PartitionReader(str(partition), home.readable_directory, open_reader, _nothing, _nothing)

        def settle() -> None:
            self._replicas_of(topic, partition).settle()

        def compare() -> None:
            if len(home.look()[0].replicas) > 1:
                settle()

        return PartitionReader(str(partition), home.leader_directory, open_reader, settle, compare)

    def topic_config(self, overrides: Mapping[str, str], leader: int | None) -> TopicConfig:
        """The settings in force for a topic's partition under a leader."""
        stored = self._catalog.configs("broker")
        return TopicConfig.of(overrides, BrokerConfigs.of(stored, leader)) if stored else TopicConfig.of(overrides)

    def _home(
        self,
        topic_id: str,
        partition: TopicPartition,
        *,
        gone: str = "",
        probe: bool = False,
        on_notice: Callable[[str], None] | None = None,
    ) -> PartitionHome:
        return PartitionHome(
            self._catalog,
            self._disk,
            self._brokers,
            topic_id,
            partition,
            self.topic_config,
            on_notice,
            probe=probe,
            gone=gone,
        )

    def _replicas_of(
        self, topic_id: str, partition: TopicPartition, on_notice: Callable[[str], None] | None = None
    ) -> Replicas:
        from pykafka_store.embedded.replication.replicas import Replicas

        home = self._home(topic_id, partition, probe=True, on_notice=on_notice)
        return Replicas(self._disk, self._locks, home, topic_id, partition.partition)

    def replicas(self, partition: TopicPartition) -> Replicas:
        """What keeps the replicas of a partition in order. Raises UnknownTopicOrPartitionError."""
        topic_id = self._catalog.topic_id(partition.topic)
        if topic_id is None or not self._home(topic_id, partition).exists():
            raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")
        return self._replicas_of(topic_id, partition)

    def topic(self, name: str) -> Topic | None:
        """What a producer needs to know of a topic, or None."""
        from pykafka_store.embedded.producer import Topic

        row = self._catalog.topic(name)
        if row is None:
            return None
        replicas = max(len(each.hosts) for each in row.partitions)
        config = self.topic_config(row.configs, row.partitions[0].leader)
        return Topic(row.name, row.id, len(row.partitions), config, replicas)

    def require_topic(self, name: str, *, create: bool, on_notice: Callable[[str], None] | None) -> Topic:
        """The topic, made with the server's defaults if ``create`` (Kafka's auto.create.topics.enable)."""
        found = self.topic(name)
        if found is None and create and not self._read_only:
            try:
                self.admin().create_topic(name)
                if on_notice is not None:
                    on_notice(f"Topic {name} did not exist and was created with 1 partition")
            except TopicExistsError:
                pass  # another process was first
            found = self.topic(name)
        if found is None:
            raise UnknownTopicOrPartitionError(
                f"Topic {name} does not exist: create it with kafka-topics --create --topic {name}"
            )
        return found

    def writer(self, topic: Topic, partition: int, on_notice: Callable[[str], None] | None = None) -> Partition:
        """The producer's side of a partition."""
        from pykafka_store.embedded.partition import Partition

        name = TopicPartition(topic.name, partition)
        gone = " while it was written: what was acknowledged went with it"
        home = self._home(topic.id, name, gone=gone, on_notice=on_notice)
        replicas = self._replicas_of(topic.id, name, on_notice)

        def upkeep() -> None:
            for each in self._upkeep_of(topic.id, home):
                each.run()

        return Partition(home, self._locks, self._clock, topic.id, partition, upkeep, replicas.bring_back)

    def _upkeep_of(self, topic_id: str, home: PartitionHome) -> list[Upkeep]:
        """The upkeep of each replica in sync, the leader's first: others are made like them when they come back."""
        from pykafka_store.embedded.upkeep import Upkeep

        row = home.look()[0]
        directories = [home.directory(broker) for broker in sorted(row.isr, key=lambda broker: broker != row.leader)]
        return [
            Upkeep(
                self._disk,
                self._locks,
                self._clock,
                directory,
                topic_id,
                home.name,
                partial(home.replica_at, directory),
                lambda: home.look()[1],
            )
            for directory in directories
        ]

    def upkeep(self, partition: TopicPartition) -> list[Upkeep]:
        """The upkeep of each replica of a partition that is in sync, the leader's first. Raises
        UnknownTopicOrPartitionError.
        """
        topic_id = self._catalog.topic_id(partition.topic)
        if topic_id is None or not self._home(topic_id, partition).exists():
            raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")
        return self._upkeep_of(topic_id, self._home(topic_id, partition))

    @property
    def catalog(self) -> Catalog:
        return self._catalog


def _nothing() -> None:
    pass


class _ForProducer:
    def __init__(self, cluster: EmbeddedCluster, on_notice: Callable[[str], None] | None) -> None:
        self._cluster = cluster
        self._on_notice = on_notice

    def topic(self, name: str, *, create: bool) -> Topic:
        return self._cluster.require_topic(name, create=create, on_notice=self._on_notice)

    def writer(self, topic: Topic, partition: int) -> Partition:
        return self._cluster.writer(topic, partition, self._on_notice)

    def version(self) -> tuple[int, int]:
        return self._cluster.catalog.version()


class _ForConsumer:
    def __init__(self, cluster: EmbeddedCluster, on_notice: Callable[[str], None] | None) -> None:
        self._cluster = cluster
        self._on_notice = on_notice

    def partitions_of(self, topic: str, *, create: bool) -> tuple[int, ...]:
        found = self._cluster.require_topic(topic, create=create, on_notice=self._on_notice)
        return tuple(range(found.partitions))

    def topic_names(self) -> list[str]:
        return [name for name, _ in self._cluster.catalog.topic_names()]

    def reader(self, partition: TopicPartition) -> PartitionReader:
        return self._cluster.reader(partition)

    def version(self) -> tuple[int, int]:
        return self._cluster.catalog.version()

    def member(self, settings: MemberSettings) -> Member:
        return self._cluster.member(settings)

    def groups(self) -> GroupDatabase:
        return self._cluster.groups()

    def bury(self, group: str) -> None:
        self._cluster._group_admin().bury(group)

    def topic_ids(self) -> dict[str, str]:
        return dict(self._cluster.catalog.topic_names())


class _ForGroups:
    """What groups ask of the catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def partition_counts(self) -> dict[str, int]:
        return self._catalog.partition_counts()

    def topic_ids(self) -> dict[str, str]:
        return dict(self._catalog.topic_names())

    def version(self) -> tuple[int, int]:
        return self._catalog.version()
