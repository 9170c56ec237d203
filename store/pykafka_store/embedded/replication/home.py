"""One partition as its cluster knows it: where its replicas lie, who leads, and the settings in force."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.catalog import BrokerRow, Catalog, LogDirRow, PartitionRow
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.errors import LeaderNotAvailableError, StorageError, UnknownTopicOrPartitionError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE, format_properties, parse_properties
from pykafka_store.format.names import partition_directory
from pykafka_store.model import TopicPartition

if TYPE_CHECKING:
    from pykafka_store.embedded.log.replica import ReplicaLog


class Brokers:
    """The brokers of a data directory, looked up again only when the catalogue moved."""

    def __init__(self, catalog: Catalog, disk: Disk, root: str) -> None:
        self._catalog = catalog
        self._disk = disk
        self._root = root
        self._seen: tuple[int, int] | None = None
        self._rows: dict[int, BrokerRow] = {}

    def all(self) -> dict[int, BrokerRow]:
        version = self._catalog.version()
        if version != self._seen:
            self._rows, self._seen = self._catalog.brokers(), version
        return self._rows

    def paths(self, broker: int) -> list[str]:
        """The broker's log directories. Raises KeyError."""
        return [os.path.join(self._root, log_dir.path) for log_dir in self.all()[broker].log_dirs]

    def problem(self, path: str) -> str | None:
        """Why a log directory can't be used, or None."""
        if not self._disk.exists(path):
            return f"{path} does not exist"
        if not self._disk.may_write(path):
            return f"{path} can't be written to"
        rows = (log_dir for row in self.all().values() for log_dir in row.log_dirs)
        directory_id = next((row.directory_id for row in rows if os.path.join(self._root, row.path) == path), None)
        if directory_id is None:
            return None
        try:
            text = self._disk.read_file(os.path.join(path, META_PROPERTIES_FILE)).decode("utf-8", "replace")
        except FileNotFoundError:
            return f"{path} has no {META_PROPERTIES_FILE}: is its disk mounted?"
        except StorageError as error:
            return str(error)
        if parse_properties(text).get("directory.id") != directory_id:
            return f"{path} is not the broker's: its {META_PROPERTIES_FILE} says another directory.id"
        return None

    def usable(self) -> list[int]:
        """Brokers that run and have a log directory that can be used, sorted."""
        return [
            id
            for id, row in self.all().items()
            if row.running and any(self.problem(path) is None for path in self.paths(id))
        ]


def format_log_dir(disk: Disk, path: str, cluster_id: str, broker: int, row: LogDirRow) -> None:
    """Write the file by which a log directory is known, so that the empty mount point of a disk is not taken for it."""
    disk.make_directory(path)
    properties = {
        "cluster.id": cluster_id,
        "directory.id": row.directory_id or "",
        "node.id": str(broker),
        "version": "1",
    }
    text = format_properties(properties, "a log directory of a pykafka broker")
    disk.replace_file(os.path.join(path, META_PROPERTIES_FILE), text.encode())
    disk.sync_directory(os.path.dirname(path))


class PartitionHome:
    """See :class:`pykafka_store.embedded.replication.leadership.Home`."""

    def __init__(
        self,
        catalog: Catalog,
        disk: Disk,
        brokers: Brokers,
        topic_id: str,
        name: TopicPartition,
        config: Callable[[Mapping[str, str], int | None], TopicConfig],
        on_notice: Callable[[str], None] | None = None,
        *,
        probe: bool = False,
        gone: str = "",
    ) -> None:
        """``config`` makes settings of a topic's overrides, under a leader. With ``probe``, a log directory that is
        gone or read-only is trouble before anything is written to it. ``gone`` is what to add where the topic is.
        """
        self._catalog = catalog
        self._disk = disk
        self._brokers = brokers
        self._topic_id = topic_id
        self.name = name
        self._config = config
        self._on_notice = on_notice
        self._probe = probe
        self._gone = gone
        self._leader_directory: str | None = None
        self._seen: tuple[int, int] | None = None
        self._looked: tuple[PartitionRow, TopicConfig] | None = None
        self.label = str(name)

    def exists(self) -> bool:
        try:
            self.look()
        except UnknownTopicOrPartitionError:
            return False
        return True

    def look(self) -> tuple[PartitionRow, TopicConfig]:
        version = self._catalog.version()
        if self._looked is None or version != self._seen:
            found = self._catalog.partition(self._topic_id, self.name.partition)
            if found is None:
                raise UnknownTopicOrPartitionError(
                    f"{self.label} is gone: topic {self.name.topic} was deleted{self._gone}"
                )
            self._looked = found[0], self._config(found[1], found[0].leader)
            self._seen, self._leader_directory = version, None
        return self._looked

    def directory(self, broker: int) -> str:
        host = self.look()[0].host(broker)
        return self.directory_in(broker, host.log_dir if host is not None else 0)

    def directory_in(self, broker: int, log_dir: int) -> str:
        """Where a replica lies, or would lie, in one of the broker's log directories."""
        return os.path.join(self._brokers.paths(broker)[log_dir], partition_directory(*self.name))

    def directories(self) -> set[str]:
        """Where its replicas lie, those that are on their way included."""
        return {
            self.directory_in(host.broker, log_dir)
            for host in self.look()[0].hosts
            for log_dir in (host.log_dir, host.future_log_dir)
            if log_dir is not None
        }

    def leftovers(self) -> list[str]:
        """Directories of its name that no replica of it has, on log directories that can be used."""
        name = partition_directory(*self.name)
        everywhere = {
            os.path.join(path, name) for broker in self._brokers.all() for path in self._brokers.paths(broker)
        }
        there = [path for path in everywhere - self.directories() if self._disk.exists(path)]
        return sorted(path for path in there if self._brokers.problem(os.path.dirname(path)) is None)

    def replica(self, broker: int) -> ReplicaLog:
        return self.replica_at(self.directory(broker))

    def replica_at(self, directory: str) -> ReplicaLog:
        from pykafka_store.embedded.log.replica import ReplicaLog

        return ReplicaLog(self._disk, directory, self.label, self._topic_id, boot_id())

    def trouble(self, broker: int) -> str | None:
        row = self._brokers.all().get(broker)
        if row is None:
            return f"broker {broker} is not registered"
        if not row.running:
            return f"broker {broker} is stopped (pykafka brokers start {broker})"
        if self._probe:
            problem = self._brokers.problem(os.path.dirname(self.directory(broker)))
            return None if problem is None else f"broker {broker} can't be used: {problem}"
        return None

    def problem(self, log_dir: str) -> str | None:
        """Why a log directory can't be used, or None."""
        return self._brokers.problem(log_dir)

    def change(self, row: PartitionRow) -> None:
        self._catalog.with_reserve(partial(self._change, row))

    def _change(self, row: PartitionRow) -> None:
        with self._catalog.transaction():
            if self._catalog.partition(self._topic_id, row.partition) is None:
                raise UnknownTopicOrPartitionError(f"{self.label} is gone: the topic was deleted")
            self._catalog.set_partition(self._topic_id, row)

    def notice(self, line: str) -> None:
        if self._on_notice is not None:
            self._on_notice(line)

    def leader_directory(self) -> str:
        """Raises LeaderNotAvailableError."""
        leader = self.look()[0].leader
        if self._leader_directory is None:
            if leader is None:
                raise LeaderNotAvailableError(
                    f"{self.label} has no leader: no replica that is in sync can be used (pykafka brokers list shows "
                    "which brokers are missing)"
                )
            self._leader_directory = self.directory(leader)
        return self._leader_directory

    def readable_directory(self) -> str:
        """The leader's, or where that is gone and nobody may elect another, that of a replica which is there."""
        row = self.look()[0]
        brokers = sorted(row.isr or row.elr or row.replicas, key=lambda broker: broker != row.leader)
        directories = [self.directory(broker) for broker in brokers]
        return next(filter(self._disk.exists, directories), directories[0])
