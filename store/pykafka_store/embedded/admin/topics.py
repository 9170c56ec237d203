"""Topics of a data directory: listed, described, made, extended, deleted.

A topic exists when the catalogue says so. Its directories are made before that commits and removed after it is gone
from there, so a crash leaves at most directories that the catalogue does not know.

What touches a log is imported where it is used: listing needs only the catalogue.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pykafka_store.embedded.catalog import unknown_topic
from pykafka_store.embedded.disk import boot_id
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import GROUPS_FILE, set_aside
from pykafka_store.errors import (
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    InvalidTopicError,
    StorageError,
    TopicExistsError,
)
from pykafka_store.format.names import check_topic_name, partition_directory
from pykafka_store.model import (
    INTERNAL_TOPICS,
    OFFSETS_TOPIC,
    TopicListing,
    random_topic_id,
)

if TYPE_CHECKING:
    from pykafka_store.embedded.catalog_rows import ReplicaRow, TopicRow
    from pykafka_store.model import TopicDescription

DEFAULT_PARTITIONS = 1
DEFAULT_REPLICATION_FACTOR = 1
METADATA_TOPIC = "__cluster_metadata"


class TopicAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_topics(self) -> list[TopicListing]:
        found = [
            TopicListing(name, topic_id, name in INTERNAL_TOPICS)
            for name, topic_id in self._engine.catalog.topic_names()
        ]
        if self._has_groups():
            from pykafka_store.embedded import offsets_topic

            if offsets_topic.is_listed(self._engine):
                found.append(TopicListing(OFFSETS_TOPIC, offsets_topic.topic_id(self._engine), True))
                found.sort()
        return found

    def _has_groups(self) -> bool:
        """Whether there may be any: without them there is nothing more to look at."""
        return os.path.exists(os.path.join(self._engine.directory, GROUPS_FILE))

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        """The topics as they are led now. Where brokers came or went without a word, leaders are elected before; a
        directory that may only be read is described as the catalogue has it.
        """
        if not self._engine.read_only:
            from pykafka_store.embedded.admin.elections import settle_what_changed

            settle_what_changed(self._engine)
        if names is not None and len(names) == 1 and names[0] != OFFSETS_TOPIC:
            return [self._describe(self._engine.catalog.require_topic(names[0]))]
        found = {row.name: self._describe(row) for row in self._engine.catalog.topics()}
        if OFFSETS_TOPIC not in found and (self._has_groups() if names is None else OFFSETS_TOPIC in names):
            from pykafka_store.embedded import offsets_topic

            if names is not None or offsets_topic.is_listed(self._engine):
                found[OFFSETS_TOPIC] = offsets_topic.describe(self._engine)
        try:
            return [found[name] for name in (sorted(found) if names is None else names)]
        except KeyError as error:
            raise unknown_topic(str(error.args[0])) from None

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        assignments: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str] | None = None,
        only_check: bool = False,
    ) -> TopicDescription:
        """Checks are made in the order of ReplicationControlManager.createTopic, whose texts these are. With
        ``only_check`` nothing is made, and the topic is described as it would be, without an id.
        """
        from pykafka_store.embedded.admin.placement import check_assignments, place_partitions
        from pykafka_store.settings import configs as topic_configs

        self._engine.require_writable()
        if not name:
            raise InvalidTopicError("The given topic name '' cannot be represented in a request.")
        check_topic_name(name)
        if name == METADATA_TOPIC:
            raise InvalidRequestError(f"Creation of internal topic {METADATA_TOPIC} is prohibited.")
        with self._engine.locks.cluster():
            existing = self._engine.catalog.colliding_topic(name)
            if name == OFFSETS_TOPIC and any(each.name == name for each in self.list_topics()):
                existing = name
            if existing == name:
                raise TopicExistsError(f"Topic '{name}' already exists.")
            if existing is not None:
                raise InvalidTopicError(f"Topic '{name}' collides with existing topic: {existing}")
            checked = topic_configs.validate(configs or {})
            if assignments is None:
                placed = place_partitions(
                    self._engine,
                    self._default(topic_configs.NUM_PARTITIONS, DEFAULT_PARTITIONS)
                    if partitions is None
                    else partitions,
                    self._default(topic_configs.REPLICATION_FACTOR, DEFAULT_REPLICATION_FACTOR)
                    if replication_factor is None
                    else replication_factor,
                )
            else:
                placed = [list(replicas) for replicas in assignments]
                check_assignments(self._engine, placed, len(placed[0]) if placed else 0)
            if only_check:
                from pykafka_store.model import PartitionDescription, TopicDescription

                would_be = (
                    PartitionDescription(number, replicas[0], 0, tuple(replicas), tuple(replicas))
                    for number, replicas in enumerate(placed)
                )
                return TopicDescription(name, "", False, tuple(would_be), ())
            topic_id = random_topic_id()
            with self._made_replicas(topic_id, name, 0, placed) as made, self._engine.catalog.transaction():
                self._engine.catalog.add_topic(topic_id, name, made, checked)
            return self._describe(self._engine.catalog.require_topic(name))  # who deletes it waits for the lock

    def _default(self, setting: str, otherwise: int) -> int:
        """What a server.properties sets for topics that say nothing themselves."""
        value = self._engine.server_setting(setting)
        return otherwise if value is None else int(value)

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None, *, only_check: bool = False
    ) -> TopicDescription:
        """With ``only_check`` nothing is made, and the topic is described as it is. Source of checks and texts:
        ReplicationControlManager.createPartitions.
        """
        from pykafka_store.embedded.admin.placement import check_assignments, place_partitions

        self._engine.require_writable()
        self._refuse_view(name)
        with self._engine.locks.cluster():
            row = self._engine.catalog.require_topic(name)
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
                placed = place_partitions(self._engine, additional, factor)
            else:
                if len(assignments) != additional:
                    raise InvalidReplicaAssignmentError(
                        f"Attempted to add {additional} additional partition(s), but only {len(assignments)} "
                        "assignment(s) were specified."
                    )
                placed = [list(replicas) for replicas in assignments]
                check_assignments(self._engine, placed, factor)
            if only_check:
                return self._describe(row)
            with self._made_replicas(row.id, name, current, placed) as made, self._engine.catalog.transaction():
                self._engine.catalog.add_partitions(row.id, enumerate(made, start=current))
            return self._describe(self._engine.catalog.require_topic(name))

    @contextmanager
    def _made_replicas(
        self, topic_id: str, name: str, first: int, placed: Sequence[Sequence[int]]
    ) -> Iterator[list[list[ReplicaRow]]]:
        """Directories of new replicas, for what makes them known; they go again if that fails.

        A replica whose broker can't be used begins out of sync, as long as another one of its partition can: what was
        made where a disk is not mounted would be hidden when it is. Source: ReplicationControlManager.createTopic.
        """
        from pykafka_store.embedded.admin.placement import replica_placer
        from pykafka_store.embedded.catalog_rows import OUT_OF_SYNC, ReplicaRow
        from pykafka_store.embedded.log.new_replica import create_replica
        from pykafka_store.embedded.log.replica_state import never_held_records
        from pykafka_store.embedded.partitions import owner_of, require_nobodys

        self._engine.catalog.require_in_place()  # before anything is made, or set aside
        parents = set()
        made: list[str] = []
        rows: list[list[ReplicaRow]] = []
        log_dirs = self._engine.brokers.all_paths()
        only_one = [len(paths) for paths in log_dirs.values()] == [1]
        place = ReplicaRow if only_one else replica_placer(self._engine)
        usable = set(log_dirs if only_one else self._engine.brokers.usable())
        try:
            for partition, replicas in enumerate(placed, start=first):
                hosts = [place(broker) for broker in replicas]
                there = [host for host in hosts if host.broker in usable]
                if not there:
                    raise InvalidReplicaAssignmentError(
                        "All brokers specified in the manual partition assignment for partition "
                        f"{partition} are fenced or in controlled shutdown."
                    )
                for host in there:
                    parent = log_dirs[host.broker][host.log_dir]
                    directory = os.path.join(parent, partition_directory(name, partition))
                    if not self._engine.disk.make_new_directory(directory):
                        require_nobodys(self._engine, directory, topic_id)
                        # Left by a crash between making it and the commit, or by a lost catalogue: it may hold records.
                        self._engine.catalog.supersede_unfinished_commit()
                        deleted = owner_of(self._engine.disk, directory) in self._engine.catalog.deletions()
                        needless = deleted or never_held_records(self._engine.disk, directory)
                        set_aside(self._engine.disk, directory, "delete" if needless else "stray")
                    made.append(directory)
                    create_replica(self._engine.disk, directory, topic_id, boot_id())
                    parents.add(parent)
                rows.append([host if host in there else host._replace(sync=OUT_OF_SYNC) for host in hosts])
            for parent in parents:
                self._engine.disk.sync_directory(parent)
            yield rows
        except BaseException as error:
            # A signal may come out of a COMMIT that has succeeded. Where that can't be told, what is left is what a
            # kill leaves: directories that the catalogue does not know.
            if self._engine.catalog.partition(topic_id, first) is None:
                for directory in made:
                    self._engine.disk.remove_tree(directory)
            if isinstance(error, FileNotFoundError):
                raise StorageError(f"{error.filename} is gone: is its disk mounted?") from error
            raise

    def delete_topic(self, name: str, *, topic_id: str | None = None) -> None:
        """See ``deletions.py``. With a ``topic_id`` only that one: raises UnknownTopicIdError where another topic has
        its name by now.
        """
        from pykafka_store.embedded.admin.deletions import remove, take_away

        self._engine.require_writable()
        self._engine.make_room()
        self._refuse_view(name)
        with self._engine.locks.cluster():
            with self._engine.catalog.transaction():
                row = self._engine.catalog.require_topic(name)  # a move may begin until then, to directories of its own
                if topic_id not in {None, row.id}:
                    from pykafka_store.errors import UnknownTopicIdError

                    raise UnknownTopicIdError("This server does not host this topic ID.")
                self._engine.catalog.remove_topic(row.id)
                self._engine.catalog.note_deletion(row.id, name, len(row.partitions))
            aside, complete = take_away(self._engine, row.id, self._directories(row))
            if complete:
                with self._engine.catalog.transaction():
                    self._engine.catalog.forget_deletion(row.id)
        remove(self._engine, aside)

    def _refuse_view(self, name: str) -> None:
        """Raises InvalidRequestError for the topic that is none, but shows what groups have committed."""
        if name == OFFSETS_TOPIC and self._engine.catalog.topic_id(name) is None:
            raise InvalidRequestError(
                f"{name} shows what groups have committed, and can't be changed: kafka-consumer-groups deletes groups"
            )

    def _directories(self, row: TopicRow) -> dict[int, list[str]]:
        """Everywhere that each partition may have a directory."""
        log_dirs = self._engine.brokers.all_paths()
        return {
            each.partition: [
                os.path.join(log_dirs[host.broker][position], partition_directory(row.name, each.partition))
                for host in each.hosts
                for position in host.log_dirs
            ]
            for each in row.partitions
        }

    def _describe(self, row: TopicRow) -> TopicDescription:
        from pykafka_store.model import PartitionDescription, TopicDescription
        from pykafka_store.settings.topic_descriptions import entries

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
            entries(row.configs, self._engine.broker_configs(row.first_leader)),
        )
