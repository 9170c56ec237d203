"""What lies in the brokers' log directories."""

from __future__ import annotations

import os
from collections.abc import Sequence

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
            broker: tuple(self._log_dir(broker, number, path, rows) for number, path in enumerate(paths[broker]))
            for broker in brokers
            if broker in usable and broker in paths
        }

    def _log_dir(
        self, broker: int, number: int, path: str, rows: Sequence[tuple[TopicPartition, PartitionRow]]
    ) -> LogDirDescription:
        problem = self._engine.brokers.problem(path)
        if problem is not None:
            return LogDirDescription(path, StorageError(problem), ())
        replicas = []
        for name, row in rows:
            host = row.host(broker)
            if host is None or number not in {host.log_dir, host.future_log_dir}:
                continue
            directory = os.path.join(path, partition_directory(*name))
            is_future, is_there = number == host.future_log_dir, self._engine.disk.exists(directory)
            if is_there or is_future:
                lag = max(0, self._high_watermark(name, row) - self._log_end(directory))
                replicas.append(ReplicaSize(name, self._log_size(directory) if is_there else 0, lag, is_future))
        total, usable = self._engine.disk.space(path)
        return LogDirDescription(path, None, tuple(replicas), total, usable)

    def _log_size(self, directory: str) -> int:
        return sum(
            self._engine.disk.size_of(os.path.join(directory, name))
            for name in self._engine.disk.list(directory)
            if name.endswith(".log")
        )

    def _high_watermark(self, name: TopicPartition, row: PartitionRow) -> int:
        host = row.host(row.leader) if row.leader is not None else None
        if host is None:
            return 0
        path = self._engine.brokers.paths(host.broker)[host.log_dir]
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
