"""What lies in the brokers' log directories."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pykafka_store.embedded.catalog_rows import PartitionRow
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import StorageError, StoreError
from pykafka_store.format.names import partition_directory
from pykafka_store.model import LogDirDescription, ReplicaSize, TopicPartition


class LogDirAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe_log_dirs(self, brokers: Sequence[int]) -> dict[int, tuple[LogDirDescription, ...]]:
        rows = self._engine.catalog.partitions()
        paths, usable = self._engine.brokers.all_paths(), self._engine.brokers.usable()
        return {
            broker: tuple(self._log_dir(broker, number, rows, paths) for number in range(len(paths[broker])))
            for broker in brokers
            if broker in usable and broker in paths
        }

    def _log_dir(
        self,
        broker: int,
        number: int,
        rows: Sequence[tuple[TopicPartition, PartitionRow]],
        paths: Mapping[int, Sequence[str]],
    ) -> LogDirDescription:
        path = paths[broker][number]
        problem = self._engine.brokers.problem(path)
        if problem is not None:
            return LogDirDescription(path, StorageError(problem), ())
        replicas = []
        for name, row in rows:
            host = row.host(broker)
            if host is None or number not in {host.log_dir, host.future_log_dir}:
                continue
            directory = os.path.join(path, partition_directory(*name))
            is_future, size = number == host.future_log_dir, self._log_size(directory)
            if size is not None or is_future:
                lag = max(0, self._high_watermark(name, row, paths) - self._log_end(directory))
                replicas.append(ReplicaSize(name, size or 0, lag, is_future))
        try:
            total, usable = self._engine.disk.space(path)
        except FileNotFoundError:  # its disk went just now
            return LogDirDescription(path, StorageError(f"{path} does not exist"), ())
        return LogDirDescription(path, None, tuple(replicas), total, usable)

    def _log_size(self, directory: str) -> int | None:
        """None where there is no such directory, or no more: topics are deleted, and replicas moved, meanwhile."""
        disk = self._engine.disk
        try:
            names = disk.list(directory)
        except FileNotFoundError:
            return None
        return sum(disk.size_of(os.path.join(directory, name)) for name in names if name.endswith(".log"))

    def _high_watermark(self, name: TopicPartition, row: PartitionRow, paths: Mapping[int, Sequence[str]]) -> int:
        host = row.host(row.leader) if row.leader is not None else None
        if host is None or host.broker not in paths:  # moved away from a broker that is removed by now
            return 0
        path = paths[host.broker][host.log_dir]
        return self._published(os.path.join(path, partition_directory(*name)))[1]

    def _log_end(self, directory: str) -> int:
        return self._published(directory)[0]

    def _published(self, directory: str) -> tuple[int, int]:
        """(log end offset, high watermark) as last published; zeros where nothing says."""
        from pykafka_store.format import state as states

        try:
            state = states.parse_state(self._engine.disk.read_file(os.path.join(directory, states.FILE_NAME)))
        except (FileNotFoundError, StoreError):
            return 0, 0
        return state.log_end_offset, state.high_watermark
