"""Topics of a data directory: made, described, extended, deleted. See :class:`pykafka_store.api.Admin`.

What touches a log is imported where it is used: listing and describing need only the catalogue.

A topic exists when the catalogue says so. Its directories are made before that commits and removed after it is gone
from there, so a crash leaves at most directories that nobody knows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pykafka_store import configs as topic_configs
from pykafka_store.configs import BrokerConfigs
from pykafka_store.embedded.catalog import OUT_OF_SYNC, Catalog, PartitionRow, ReplicaRow, TopicRow
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.replication.home import Brokers
from pykafka_store.errors import (
    BrokerIdNotRegisteredError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    InvalidTopicError,
    PolicyViolationError,
    StoreError,
    TopicExistsError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.names import aside_directory, check_topic_name, partition_directory
from pykafka_store.model import (
    INTERNAL_TOPICS,
    CommittedOffset,
    ConfigDescription,
    ConfigResource,
    ElectionType,
    GroupDescription,
    GroupListing,
    LogDirDescription,
    OffsetAt,
    PartitionDescription,
    QuorumDescription,
    Reassignment,
    TopicDescription,
    TopicListing,
    TopicPartition,
    random_topic_id,
)
from pykafka_store.placement import striped

if TYPE_CHECKING:
    from pykafka_store.embedded.groups.admin import GroupAdmin
    from pykafka_store.embedded.replication.admin import BrokerAdmin
    from pykafka_store.embedded.replication.reader import PartitionReader
    from pykafka_store.embedded.upkeep import Upkeep

DEFAULT_PARTITIONS = 1
DEFAULT_REPLICATION_FACTOR = 1
MAX_PARTITIONS_PER_REQUEST = 10_000
METADATA_TOPIC = "__cluster_metadata"


class EmbeddedAdmin:
    def __init__(
        self,
        catalog: Catalog,
        locks: Locks,
        disk: Disk,
        brokers: Brokers,
        reader: Callable[[TopicPartition], PartitionReader],
        require_writable: Callable[[], None],
        groups: Callable[[], GroupAdmin],
        upkeep: Callable[[TopicPartition], Sequence[Upkeep]],
        broker_admin: Callable[[], BrokerAdmin],
        *,
        read_only: bool,
    ) -> None:
        self._catalog = catalog
        self._locks = locks
        self._disk = disk
        self._brokers = brokers
        self._reader = reader
        self._require_writable = require_writable
        self._groups = groups
        self._upkeep = upkeep
        self._broker_admin = broker_admin
        self._read_only = read_only

    # ------------------------------------------------------------------------------------------------------ looking

    def list_topics(self) -> list[TopicListing]:
        return [TopicListing(name, topic_id, name in INTERNAL_TOPICS) for name, topic_id in self._catalog.topic_names()]

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        if not self._read_only:
            self._broker_admin().settle_what_changed()
        if names is None:
            return [self._describe(row) for row in self._catalog.topics()]
        if len(names) == 1:
            return [self._describe(self._require(names[0]))]
        rows = {row.name: row for row in self._catalog.topics()}
        try:
            return [self._describe(rows[name]) for name in names]
        except KeyError as error:
            raise _unknown(str(error.args[0])) from None

    def live_brokers(self) -> tuple[int, ...]:
        return tuple(self._brokers.usable())

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        answers: dict[TopicPartition, int | Exception] = {}
        for partition, when in at.items():
            try:
                answers[partition] = self._offset_at(partition, when)
            except StoreError as error:
                answers[partition] = error
        return answers

    def _offset_at(self, partition: TopicPartition, when: int | OffsetAt) -> int:
        reader = self._reader(partition)
        try:
            match when:
                case OffsetAt.LATEST:
                    return reader.state().high_watermark
                case OffsetAt.EARLIEST | OffsetAt.EARLIEST_LOCAL:
                    return reader.state().log_start_offset
                case OffsetAt.LATEST_TIERED | OffsetAt.EARLIEST_PENDING_UPLOAD:
                    return -1  # nothing is tiered here
                case OffsetAt.MAX_TIMESTAMP:
                    found = reader.offset_of_max_timestamp()
                case _ if when < 0:
                    raise InvalidRequestError(f"{when} is neither a timestamp nor one of ListOffsets' special ones")
                case _:
                    found = reader.offset_for_timestamp(int(when))
        finally:
            reader.close()
        return -1 if found is None else found[0]

    def _require(self, name: str) -> TopicRow:
        row = self._catalog.topic(name)
        if row is None:
            raise _unknown(name)
        return row

    # ------------------------------------------------------------------------------------------------------- making

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        assignments: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Checks are made in the order of ReplicationControlManager.createTopic, whose texts these are."""
        self._require_writable()
        if not name:
            raise InvalidTopicError("The given topic name '' cannot be represented in a request.")
        check_topic_name(name)
        if name == METADATA_TOPIC:
            raise InvalidRequestError(f"Creation of internal topic {METADATA_TOPIC} is prohibited.")
        with self._locks.cluster():
            existing = self._catalog.colliding_topic(name)
            if existing == name:
                raise TopicExistsError(f"Topic '{name}' already exists.")
            if existing is not None:
                raise InvalidTopicError(f"Topic '{name}' collides with existing topic: {existing}")
            checked = topic_configs.validate(configs or {})
            if assignments is None:
                placed = self._place(
                    DEFAULT_PARTITIONS if partitions is None else partitions,
                    DEFAULT_REPLICATION_FACTOR if replication_factor is None else replication_factor,
                )
            else:
                placed = [list(replicas) for replicas in assignments]
                self._check_assignments(placed, len(placed[0]) if placed else 0)
            topic_id = random_topic_id()
            with self._made_replicas(topic_id, name, 0, placed) as made, self._catalog.transaction():
                self._catalog.add_topic(topic_id, name, made, checked)
        return self._describe(self._require(name))

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None
    ) -> TopicDescription:
        """Source of checks and texts: ReplicationControlManager.createPartitions."""
        self._require_writable()
        with self._locks.cluster():
            row = self._require(name)
            current = len(row.partitions)
            if count == current:
                raise InvalidPartitionsError(f"Topic already has {count} partition(s).")
            if count < current:
                raise InvalidPartitionsError(
                    f"The topic {name} currently has {current} partition(s); {count} would not be an increase."
                )
            additional = count - current
            factor = len(row.partitions[0].replicas)
            if assignments is None:
                placed = self._place(additional, factor)
            else:
                if len(assignments) != additional:
                    raise InvalidReplicaAssignmentError(
                        f"Attempted to add {additional} additional partition(s), but only {len(assignments)} "
                        "assignment(s) were specified."
                    )
                placed = [list(replicas) for replicas in assignments]
                self._check_assignments(placed, factor)
            with self._made_replicas(row.id, name, current, placed) as made, self._catalog.transaction():
                self._catalog.add_partitions(row.id, enumerate(made, start=current))
        return self._describe(self._require(name))

    def _place(self, partitions: int, factor: int) -> list[list[int]]:
        """Replica lists of new partitions. Source: ReplicationControlManager#createTopic."""
        if partitions < 1:
            raise InvalidPartitionsError("Number of partitions was set to an invalid non-positive value.")
        if factor < 1:
            raise InvalidReplicationFactorError(
                "Replication factor must be larger than 0, or -1 to use the default value."
            )
        if partitions > MAX_PARTITIONS_PER_REQUEST:
            raise PolicyViolationError("Excessively large number of partitions per request.")
        usable = self._brokers.usable()
        missing = [broker for broker in self._brokers.all() if broker not in usable]
        try:
            return striped(usable, missing, partitions, factor)
        except InvalidReplicationFactorError as error:
            raise InvalidReplicationFactorError(
                f"Unable to replicate the partition {factor} time(s): {error}"
            ) from None

    def _check_assignments(self, assignments: Sequence[Sequence[int]], factor: int) -> None:
        """Source: ReplicationControlManager.validateManualPartitionAssignment."""
        known = self._brokers.all()
        for replicas in assignments:
            if not replicas:
                raise InvalidReplicaAssignmentError("The manual partition assignment includes an empty replica list.")
            for broker in replicas:
                if broker not in known:
                    raise InvalidReplicaAssignmentError(
                        f"The manual partition assignment includes broker {broker}, but no such broker is registered."
                    )
            if len(set(replicas)) != len(replicas):
                twice = next(broker for broker in sorted(replicas) if replicas.count(broker) > 1)
                raise InvalidReplicaAssignmentError(
                    f"The manual partition assignment includes the broker {twice} more than once."
                )
            if len(replicas) != factor:
                raise InvalidReplicaAssignmentError(
                    f"The manual partition assignment includes a partition with {len(replicas)} replica(s), but this "
                    f"is not consistent with previous partitions, which have {factor} replica(s)."
                )

    @contextmanager
    def _made_replicas(
        self, topic_id: str, name: str, first: int, placed: Sequence[Sequence[int]]
    ) -> Iterator[list[list[ReplicaRow]]]:
        """Directories of new replicas, for what makes them known; they go again if that fails.

        A replica whose broker can't be used begins out of sync, as long as another one of its partition can.
        """
        from pykafka_store.embedded.log.replica import create_replica

        parents = set()
        made: list[str] = []
        rows: list[list[ReplicaRow]] = []
        only_one = len(self._brokers.all()) == 1
        place = ReplicaRow if only_one else self._broker_admin().placer()
        usable = list(self._brokers.all()) if only_one else self._brokers.usable()
        try:
            for partition, replicas in enumerate(placed, start=first):
                hosts = [place(broker) for broker in replicas]
                there = [host for host in hosts if host.broker in usable]
                for host in there or hosts:
                    parent = self._brokers.paths(host.broker)[host.log_dir]
                    directory = os.path.join(parent, partition_directory(name, partition))
                    if self._disk.exists(directory):
                        # Left by a crash between making it and the commit, or by a lost catalogue: it may hold records.
                        self._catalog.bury_unfinished()
                        self._set_aside(directory, "stray")
                    made.append(directory)
                    create_replica(self._disk, directory, topic_id, boot_id())
                    parents.add(parent)
                rows.append([host if host in (there or hosts) else host._replace(sync=OUT_OF_SYNC) for host in hosts])
            for parent in parents:
                self._disk.sync_directory(parent)
            yield rows
        except BaseException:
            for directory in made:
                self._disk.remove_tree(directory)
            raise

    # ----------------------------------------------------------------------------------------------------- removing

    def delete_topic(self, name: str) -> None:
        from pykafka_store.embedded.log.replica import mark_deleted

        self._require_writable()
        with self._locks.cluster():
            row = self._require(name)
            with self._catalog.transaction():
                self._catalog.remove_topic(row.id)
            for partition in row.partitions:
                with self._locks.partition(row.id, partition.partition):
                    for directory in self._directories(name, partition):
                        if not self._disk.exists(directory):
                            continue
                        # Where a disk fails its replica stays, and is a stray one when the disk is back, as in Kafka.
                        with suppress(StoreError, FileNotFoundError):
                            # Readers and writers hold the state file open: they see the mark even after it is unlinked.
                            mark_deleted(self._disk, directory)
                            self._disk.remove_tree(self._set_aside(directory, "delete"))
                self._locks.forget_partition(row.id, partition.partition)

    def _directories(self, name: str, row: PartitionRow) -> list[str]:
        """Everywhere that a partition may have a directory."""
        return [
            os.path.join(self._brokers.paths(host.broker)[log_dir], partition_directory(name, row.partition))
            for host in row.hosts
            for log_dir in {host.log_dir, host.future_log_dir} - {None}
            if log_dir is not None
        ]

    def describe_configs(self, resource: ConfigResource) -> tuple[ConfigDescription, ...]:
        from pykafka_store import dynamic_configs

        match resource.type:
            case "topic":
                check_topic_name(resource.name)
                row = self._require(resource.name)
                return topic_configs.describe(row.configs, self._broker_configs(row))
            case "broker" if resource.name:
                stored = self._catalog.configs("broker")
                return dynamic_configs.describe_broker(BrokerConfigs.of(stored, self._registered(resource.name)))
            case "broker":
                return dynamic_configs.describe_cluster(BrokerConfigs.of(self._catalog.configs("broker"), None).cluster)
            case _:
                return dynamic_configs.describe_group(self._catalog.configs("group").get(resource.name, {}))

    def _registered(self, broker: str) -> int:
        if int(broker) not in self._brokers.all():
            raise BrokerIdNotRegisteredError(
                f"Broker ID {broker} is not currently registered: pykafka brokers list shows those that are"
            )
        return int(broker)

    def configured_groups(self) -> list[str]:
        return sorted(self._catalog.configs("group"))

    def incremental_alter_configs(
        self, resource: ConfigResource, changes: Mapping[str, str], deletions: Sequence[str] = ()
    ) -> None:
        """Source of checks and texts: ControllerApis#incrementalAlterConfigs, ConfigurationControlManager."""
        from pykafka_store import dynamic_configs

        self._require_writable()
        named = [*changes, *deletions]
        if len(set(named)) != len(named):
            raise InvalidRequestError("Error due to duplicate config keys")
        with self._catalog.transaction():
            match resource.type:
                case "topic":
                    self._alter_topic_configs(resource.name, changes, deletions)
                    return
                case "broker":
                    name = str(self._registered(resource.name)) if resource.name else ""
                    checked = dynamic_configs.check_broker(name, changes, deletions)
                case _:
                    name, checked = resource.name, dynamic_configs.check_group(changes)
            self._catalog.change_entity_configs(resource.type, name, checked, deletions)

    def _alter_topic_configs(self, name: str, changes: Mapping[str, str], deletions: Sequence[str]) -> None:
        check_topic_name(name)
        row = self._catalog.topic(name)
        if row is None:
            raise UnknownTopicOrPartitionError(f"The topic '{name}' does not exist.")
        kept = {key: value for key, value in row.configs.items() if key not in deletions}
        checked = topic_configs.validate({**kept, **changes})
        self._catalog.change_configs(row.id, {key: checked[key] for key in changes}, deletions)

    def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Exception]:
        self._require_writable()
        answers: dict[TopicPartition, int | Exception] = {}
        for partition, offset in before.items():
            try:
                answers[partition] = self._delete_records(partition, offset)
            except StoreError as error:
                answers[partition] = error
        return answers

    def _delete_records(self, partition: TopicPartition, offset: int) -> int:
        """Source: Partition#deleteRecordsOnLeader, ReplicaManager#deleteRecordsOnLocalLog."""
        self._upkeep(partition)  # or that there is no such partition
        if partition.topic in INTERNAL_TOPICS:
            raise InvalidTopicError("The request attempted to perform an operation on an invalid topic.")
        row = self._require(partition.topic)
        policy = topic_configs.TopicConfig.of(row.configs, self._broker_configs(row)).cleanup_policy
        if policy == {"compact"}:
            raise PolicyViolationError("Request parameters do not satisfy the configured policy.")
        self._broker_admin().settle_partition(partition)  # who leads, and who can follow
        leader, *followers = self._upkeep(partition)
        lowest = leader.raise_log_start(offset)
        for follower in followers:
            # One that fails just now is left behind by the next append, and gets all that the leader has.
            with suppress(StoreError, FileNotFoundError):
                follower.raise_log_start(lowest)
        for replica in (leader, *followers):
            # The records are gone, as nobody can read them. Their files go now, or with the next pass.
            with suppress(StoreError, FileNotFoundError):
                replica.run()
            replica.close()
        return lowest

    # ----------------------------------------------------------------------------------------- brokers and replicas

    def cluster_id(self) -> str:
        return self._broker_admin().cluster_id()

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        self._require_writable()
        return self._broker_admin().elect_leaders(election, partitions)

    def alter_partition_reassignments(
        self, targets: Mapping[TopicPartition, Sequence[int] | None]
    ) -> dict[TopicPartition, StoreError | None]:
        self._require_writable()
        return self._broker_admin().alter_partition_reassignments(
            targets, lambda replicas: self._check_assignments(replicas, len(replicas[0]))
        )

    def list_partition_reassignments(
        self, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        return self._broker_admin().list_partition_reassignments(partitions)

    def alter_replica_log_dirs(
        self, moves: Mapping[tuple[TopicPartition, int], str]
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        self._require_writable()
        return self._broker_admin().alter_replica_log_dirs(moves)

    def describe_log_dirs(self, brokers: Sequence[int]) -> dict[int, tuple[LogDirDescription, ...]]:
        return self._broker_admin().describe_log_dirs(brokers)

    def describe_quorum(self) -> QuorumDescription:
        return self._broker_admin().describe_quorum()

    # ------------------------------------------------------------------------------------------------------- groups

    def list_groups(self) -> list[GroupListing]:
        return self._groups().list_groups()

    def describe_group(self, group: str) -> GroupDescription:
        return self._groups().describe_group(group)

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        return self._groups().group_offsets(group)

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._require_writable()
        self._groups().alter_group_offsets(group, offsets, time.time_ns() // 1_000_000)

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        self._require_writable()
        return self._groups().delete_group_offsets(group, partitions)

    def delete_group(self, group: str) -> None:
        self._require_writable()
        self._groups().delete_group(group)

    def _describe(self, row: TopicRow) -> TopicDescription:
        return TopicDescription(
            row.name,
            row.id,
            row.name in INTERNAL_TOPICS,
            tuple(
                PartitionDescription(
                    each.partition,
                    each.leader,
                    each.leader_epoch,
                    each.replicas,
                    each.isr,
                    adding_replicas=each.adding,
                    removing_replicas=each.removing,
                    elr=each.elr,
                    last_known_elr=() if each.last_leader is None else (each.last_leader,),
                )
                for each in row.partitions
            ),
            topic_configs.entries(row.configs, self._broker_configs(row)),
        )

    def _broker_configs(self, row: TopicRow) -> BrokerConfigs:
        """What brokers were told that a topic's settings may come from: those of the one that leads its first partition
        stand for all.
        """
        return BrokerConfigs.of(self._catalog.configs("broker"), row.partitions[0].leader)

    def _set_aside(self, directory: str, kind: str) -> str:
        """Rename a replica's directory out of the way, as Kafka names such ones; returns its new path."""
        import uuid

        parent, name = os.path.split(directory)
        aside = os.path.join(parent, aside_directory(name, uuid.uuid4().hex, kind))
        self._disk.rename(directory, aside)
        return aside


def _unknown(name: str) -> UnknownTopicOrPartitionError:
    return UnknownTopicOrPartitionError(
        f"Topic '{name}' does not exist: create it with kafka-topics --create --topic {name}"
    )
