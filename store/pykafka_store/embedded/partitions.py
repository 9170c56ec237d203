"""One partition as its data directory hosts it: its row in the catalogue, the settings in force, its directories, its
locks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from pykafka_store.embedded.catalog_rows import PartitionRow, TopicRow
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import set_aside
from pykafka_store.errors import (
    CorruptRecordError,
    LeaderNotAvailableError,
    StorageError,
    UnknownTopicOrPartitionError,
    not_hosted,
)
from pykafka_store.format.checkpoint import PARTITION_METADATA_FILE, parse_partition_metadata, topic_id_text
from pykafka_store.format.names import partition_directory
from pykafka_store.model import TopicPartition
from pykafka_store.settings.configs import TopicConfig

if TYPE_CHECKING:
    from pykafka_store.embedded.log.replica import ReplicaLog


class HostedPartition:
    """See the module. Cheap to make; what the catalogue says is asked again only when the catalogue has changed."""

    def __init__(
        self,
        engine: Engine,
        topic_id: str,
        name: TopicPartition,
        on_notice: Callable[[str], None] | None = None,
        *,
        gone: str = "",
        known: tuple[tuple[int, int], PartitionRow, TopicConfig] | None = None,
    ) -> None:
        """``on_notice`` is told of elections, and of replicas that are left behind. ``gone`` is what the error adds
        that says that the topic was deleted. ``known`` is what the catalogue said of it, behind its version, which was
        asked before.
        """
        self.engine = engine
        self.topic_id = topic_id
        self.name = name
        self.label = str(name)
        """``topic-partition``, for messages."""
        self._on_notice = on_notice
        self._gone = gone
        self._seen_version: tuple[int, int] | None = None if known is None else known[0]
        self._current: tuple[PartitionRow, TopicConfig] | None = None if known is None else known[1:]
        self._directories_of: tuple[PartitionRow | None, dict[int, str]] = (None, {})
        """By broker, where the replicas of a row lie: of that one only, so that it is never another's."""

    # --------------------------------------------------------------------------------------------------- the catalogue

    def current(self) -> tuple[PartitionRow, TopicConfig]:
        """The partition and its topic's settings as the catalogue has them now. Raises UnknownTopicOrPartitionError if
        the topic is gone.
        """
        version = self.engine.catalog.version()
        if self._current is None or version != self._seen_version:
            stored = self.engine.catalog.partition(self.topic_id, self.name.partition)
            if stored is None:
                raise UnknownTopicOrPartitionError(
                    f"{self.label} is gone: topic {self.name.topic} was deleted{self._gone}"
                )
            row, overrides = stored
            self._current = row, self.engine.topic_config(overrides, row.leader)
            self._seen_version = version
        return self._current

    @property
    def row(self) -> PartitionRow:
        """See ``current``."""
        return self.current()[0]

    @property
    def config(self) -> TopicConfig:
        """See ``current``."""
        return self.current()[1]

    def change(self, row: PartitionRow) -> None:
        """Make ``row`` the catalogue's, at once and for good. Raises UnknownTopicOrPartitionError."""
        self.engine.catalog.with_reserve(partial(self._change, row))

    def _change(self, row: PartitionRow) -> None:
        with self.engine.catalog.transaction():
            if self.engine.catalog.partition(self.topic_id, row.partition) is None:
                raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted")
            self.engine.catalog.set_partition(self.topic_id, row)

    def note_log_start(self, offset: int) -> None:
        """Have the catalogue say where the log starts, for a replica that may lead next and can't be told. Needs the
        partition's lock.
        """
        if self.noted_log_start() < offset:
            self.engine.catalog.with_reserve(partial(self._note_log_start, offset))

    def _note_log_start(self, offset: int) -> None:
        with self.engine.catalog.transaction():
            self.engine.catalog.note_log_start(self.topic_id, self.name.partition, offset)

    def noted_log_start(self) -> int:
        """Where the log starts at least, whatever a replica's own state says."""
        return self.engine.catalog.log_start(self.topic_id, self.name.partition)

    def notice(self, line: str) -> None:
        """Tell whoever wants to know."""
        if self._on_notice is not None:
            self._on_notice(line)

    # ---------------------------------------------------------------------------------------------------------- locks

    def lock(self) -> AbstractContextManager[bool]:
        """Guards the files of all replicas, see :meth:`Locks.partition`. May raise UnknownTopicOrPartitionError if the
        topic is gone.
        """
        return self.engine.locks.partition(self.topic_id, self.name.partition, self.current)

    def upkeep_lock(self) -> AbstractContextManager[bool]:
        """Guards the sealed segments of all replicas; the value is False where another process has it."""
        return self.engine.locks.upkeep(self.topic_id, self.name.partition)

    def close_locks(self) -> None:
        """Let go of the files of the locks; they are opened again when needed."""
        self.engine.locks.close_partition(self.topic_id, self.name.partition)

    # -------------------------------------------------------------------------------------------------------- replicas

    def directory(self, broker: int) -> str:
        """Where the replica on that broker lies."""
        return self._directory(self.row, broker)

    def _directory(self, row: PartitionRow, broker: int) -> str:
        of, known = self._directories_of
        if of is not row:
            self._directories_of = row, (known := {})
        found = known.get(broker)
        if found is None:
            host = row.host(broker)
            found = known[broker] = self.directory_in(broker, host.log_dir if host is not None else 0)
        return found

    def directory_in(self, broker: int, log_dir: int) -> str:
        """Where a replica lies, or would lie, in one of the broker's log directories."""
        return os.path.join(self.engine.brokers.paths(broker)[log_dir], partition_directory(*self.name))

    def leftovers(self) -> list[str]:
        """Directories of its name that no replica of it has, on log directories that can be used."""
        brokers = self.engine.brokers
        name = partition_directory(*self.name)
        everywhere = {os.path.join(path, name) for paths in brokers.all_paths().values() for path in paths}
        there = [path for path in everywhere - self.directories() if self.engine.disk.exists(path)]
        return sorted(path for path in there if brokers.problem(os.path.dirname(path)) is None)

    def directories(self) -> set[str]:
        """Where its replicas lie, those that are on their way included."""
        return {self.directory_in(host.broker, log_dir) for host in self.row.hosts for log_dir in host.log_dirs}

    def replica(self, broker: int) -> ReplicaLog:
        """A writer of the replica on that broker, to be closed by whoever asks."""
        return self.replica_at(self.directory(broker))

    def replica_at(self, directory: str) -> ReplicaLog:
        """A writer of the replica that lies there, to be closed by whoever asks."""
        from pykafka_store.embedded.log.replica import ReplicaLog

        return ReplicaLog(self.engine.disk, directory, self.label, self.topic_id, boot_id())

    def trouble(self, broker: int, *, probe: bool = True) -> str | None:
        """Why the replica's broker can't be used at all, or None. With ``probe`` its log directory is looked at, too;
        without, one that is gone or read-only is met when it is written to.
        """
        row = self.engine.brokers.all().get(broker)
        if row is None:
            return f"broker {broker} is not registered"
        if not row.running:
            return f"broker {broker} is stopped (pykafka brokers start {broker})"
        if probe:
            problem = self.engine.brokers.problem(os.path.dirname(self.directory(broker)))
            return None if problem is None else f"broker {broker} can't be used: {problem}"
        return None

    def leader_directory(self) -> str:
        """Raises LeaderNotAvailableError."""
        row = self.row
        if row.leader is None:
            raise LeaderNotAvailableError(
                f"{self.label} has no leader: no replica that is in sync can be used (pykafka brokers list shows "
                "which brokers are missing)"
            )
        return self._directory(row, row.leader)

    def readable_directory(self) -> str:
        """The leader's; that of another replica which is there, where the leader's is gone and this process may not
        elect another.
        """
        row = self.row
        brokers = sorted(row.isr or row.elr or row.replicas, key=lambda broker: broker != row.leader)
        directories = [self.directory(broker) for broker in brokers]
        return next(filter(self.engine.disk.exists, directories), directories[0])


def hosted(
    engine: Engine, name: TopicPartition, on_notice: Callable[[str], None] | None = None, *, gone: str = ""
) -> HostedPartition:
    """The partition of that name. Raises UnknownTopicOrPartitionError where there is none."""
    topic_id = engine.catalog.topic_id(name.topic)
    if topic_id is None:
        raise not_hosted()
    partition = HostedPartition(engine, topic_id, name, on_notice, gone=gone)
    try:
        partition.current()
    except UnknownTopicOrPartitionError:
        raise not_hosted() from None
    return partition


def all_hosted(engine: Engine, names: Iterable[TopicPartition], *, gone: str = "") -> Iterator[HostedPartition | None]:
    """The partitions of those names, in their order, in a few questions to the catalogue for each topic; None for one
    that is not there.
    """
    version = engine.catalog.version()
    topics: dict[str, TopicRow | None] = {}
    configs: dict[tuple[str, int | None], TopicConfig] = {}
    for name in names:
        topic = (
            topics[name.topic]
            if name.topic in topics
            else topics.setdefault(name.topic, engine.catalog.topic(name.topic))
        )
        if topic is None or not 0 <= name.partition < len(topic.partitions):
            yield None
            continue
        row = topic.partitions[name.partition]
        config = configs.get((name.topic, row.leader))
        if config is None:
            config = configs[name.topic, row.leader] = engine.topic_config(topic.configs, row.leader)
        yield HostedPartition(engine, topic.id, name, gone=gone, known=(version, row, config))


def owner_of(disk: Disk, directory: str) -> str | None:
    """The id of the topic that a replica's directory belongs to; None where nothing says."""
    from pykafka_store.embedded.log.replica_state import read_state

    try:
        text = disk.read_file(os.path.join(directory, PARTITION_METADATA_FILE)).decode("ascii", "replace")
        return parse_partition_metadata(text)
    except (FileNotFoundError, CorruptRecordError):
        state = read_state(disk, directory)  # before the first record there is nothing else
        return None if state is None else topic_id_text(state.topic_id)


def require_nobodys(engine: Engine, directory: str, topic_id: str) -> None:
    """Raises StorageError for a directory that another topic has by its own name, where the file system does not tell
    upper from lower case. What no topic has may be set aside.
    """
    owner = owner_of(engine.disk, directory)
    if owner in {None, topic_id}:
        return
    parent, name = os.path.split(directory)
    number = name.rpartition("-")[2]
    for row in engine.catalog.topics("WHERE topics.id = ?", (str(owner),)):
        its = os.path.join(parent, f"{row.name}-{number}")
        if os.path.exists(its) and os.path.samefile(its, directory):
            raise StorageError(
                f"{directory} is the directory of topic {row.name}: does this file system tell upper from lower case? "
                "Choose another name"
            )


def remove_replica(disk: Disk, directory: str) -> None:
    """Take away a replica that is no partition's any more, if it is there. Readers and writers hold its state file
    open: they see the mark even after it is unlinked.
    """
    from pykafka_store.embedded.log.replica_state import mark_deleted

    if disk.exists(directory):
        mark_deleted(disk, directory)
        disk.remove_tree(set_aside(disk, directory, "delete"))
