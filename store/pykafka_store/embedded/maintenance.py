"""One pass over a whole data directory: the upkeep of every partition, dead members of groups, and leftovers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.replication.replicas import PATIENCE_TO_START
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import MaintenanceReport, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.embedded.replication.replicas import Replicas
    from pykafka_store.embedded.upkeep import Upkeep

_DELETED_DIRECTORY = re.compile(r".+\.[0-9a-f]{32}-delete")
"""What a topic's deletion renames a replica's directory to (names.aside_directory)."""


def maintain(
    disk: Disk,
    partitions: Iterable[TopicPartition],
    replicas: Callable[[TopicPartition], Replicas],
    upkeep: Callable[[TopicPartition], Iterable[Upkeep]],
    broker_paths: Iterable[str],
    on_progress: Callable[[TopicPartition, int], None] | None,
) -> MaintenanceReport:
    """See :meth:`pykafka_store.api.DataDirectory.maintain`; ``broker_paths`` are the brokers' log directories."""
    report = MaintenanceReport()
    failures: list[tuple[str, Exception]] = []
    for partition in partitions:
        on_read = None
        if on_progress is not None:
            on_read = _Counter(partition, on_progress)
            on_read(0)
        try:
            kept = replicas(partition)
            back = kept.bring_back(PATIENCE_TO_START, on_read)
            report = report._replace(
                caught_up=report.caught_up + back.caught_up,
                behind=report.behind + back.behind,
                busy=report.busy + back.busy,
            )
            failures += [(str(partition), error) for error in back.errors]
            for replica in upkeep(partition):
                try:
                    done = replica.run(on_read)
                finally:
                    replica.close()
                report = report._replace(
                    busy=report.busy + done.busy,
                    retained_out=report.retained_out + done.removed.records,
                    compacted_out=report.compacted_out + done.compacted.records,
                    freed=report.freed + done.freed + done.compacted.bytes,
                )
            kept.make_same()
            report = report._replace(leftovers=report.leftovers + kept.remove_leftovers())
        except (UnknownTopicOrPartitionError, FileNotFoundError):
            continue  # deleted since it was listed
        except StoreError as error:
            failures.append((str(partition), error))
        report = report._replace(partitions=report.partitions + 1)
    for parent in broker_paths:
        try:
            names = disk.list(parent)
        except (FileNotFoundError, StoreError):
            continue  # a broker whose disk is gone: its partitions said so
        report = report._replace(aside=report.aside + sum(_aside(disk, os.path.join(parent, name)) for name in names))
        for name in filter(_DELETED_DIRECTORY.fullmatch, names):
            path = os.path.join(parent, name)
            report = report._replace(leftovers=report.leftovers + 1, freed=report.freed + disk.size_of(path))
            disk.remove_tree(path)
    return report._replace(failures=tuple(failures))


class _Counter:
    """Adds up the bytes that were read of a partition, and tells of them."""

    def __init__(self, partition: TopicPartition, on_progress: Callable[[TopicPartition, int], None]) -> None:
        self._partition = partition
        self._on_progress = on_progress
        self._bytes = 0

    def __call__(self, count: int) -> None:
        self._bytes += count
        self._on_progress(self._partition, self._bytes)


def _aside(disk: Disk, directory: str) -> int:
    """Bytes of a replica's files that are set aside, to be removed when file.delete.delay.ms is over."""
    try:
        names = disk.list(directory)
    except (FileNotFoundError, StoreError):
        return 0
    return sum(disk.size_of(os.path.join(directory, name)) for name in names if name.endswith(".deleted"))
