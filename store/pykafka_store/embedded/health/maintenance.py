"""One pass over a whole data directory: the upkeep of every partition, dead members of groups, and leftovers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from pykafka_store.embedded.admin.deletions import finish_deletions
from pykafka_store.embedded.admin.moves import MoveAdmin
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import GROUPS_FILE
from pykafka_store.embedded.partitions import HostedPartition, hosted
from pykafka_store.embedded.replication.replicas import PATIENCE_TO_START, Replicas
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.errors import (
    NoReassignmentInProgressError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.model import MaintenanceReport, TopicPartition

_DELETED_DIRECTORY = re.compile(r".+\.[0-9a-f]{32}-delete")
"""What a topic's deletion renames a replica's directory to (names.aside_directory)."""


def maintain(engine: Engine, on_progress: Callable[[TopicPartition, int], None] | None = None) -> MaintenanceReport:
    """See :meth:`pykafka_store.directory.DataDirectory.maintain`."""
    engine.require_writable()
    engine.make_room()
    if not engine.disk.exists(os.path.join(engine.directory, META_PROPERTIES_FILE)):
        raise StorageError(f"{engine.directory} is gone: is its disk mounted?")  # every topic would look deleted
    paths = [path for some in engine.brokers.all_paths().values() for path in some]
    partitions = [
        TopicPartition(topic, number)
        for topic, count in sorted(engine.catalog.partition_counts().items())
        for number in range(count)
    ]
    moves = MoveAdmin(engine).reassign()
    over = (NoReassignmentInProgressError, UnknownTopicOrPartitionError)
    stuck = [(str(name), why) for name, why in moves.items() if why is not None and not isinstance(why, over)]
    round_ = _Round()
    for name in partitions:
        on_read = None
        if on_progress is not None:
            on_read = _Counter(name, on_progress)
            on_read(0)
        round_.look_after(engine, name, on_read)
    report = round_.report._replace(failures=(*stuck, *round_.report.failures))
    try:
        report = report._replace(leftovers=report.leftovers + finish_deletions(engine))
    except StoreError as error:
        report = report._replace(failures=(*report.failures, ("deleted topics", error)))
    report = _remove_leftovers(engine.disk, paths, report)
    return report._replace(dead_members=_remove_dead_members(engine))


def _remove_dead_members(engine: Engine) -> int:
    """Take the members out of the groups whose process is gone; returns how many they were."""
    if not engine.disk.exists(os.path.join(engine.directory, GROUPS_FILE)):
        return 0
    from pykafka_store.embedded.groups.live_members import live_members

    dead = 0
    for group in engine.groups.group_ids():
        before = len(engine.groups.members(group))
        dead += max(0, before - len(live_members(engine, group)))
    return dead


class _Round:
    """The partitions one after the other; ``report`` is what was done so far, of one that failed midway, too."""

    def __init__(self) -> None:
        self.report = MaintenanceReport()

    def look_after(self, engine: Engine, name: TopicPartition, on_read: Callable[[int], None] | None) -> None:
        """Bring a partition's replicas into sync, run their upkeep, and remove what lies where a replica was."""
        try:
            self._look_after(hosted(engine, name), on_read)
        except (UnknownTopicOrPartitionError, FileNotFoundError):
            return  # deleted since it was listed
        except StoreError as error:
            self._add(failures=((str(name), error),))
        self._add(partitions=1)

    def _look_after(self, partition: HostedPartition, on_read: Callable[[int], None] | None) -> None:
        replicas = Replicas(partition)
        try:
            back = replicas.bring_back(PATIENCE_TO_START, on_read)
            failures = tuple((partition.label, error) for error in back.errors)
            self._add(caught_up=back.caught_up, behind=back.behind, busy=back.busy, failures=failures)
            for replica in upkeep_of(partition):
                done = replica.run(on_read)
                self._add(
                    busy=int(done.busy),
                    retained_out=done.removed.records,
                    compacted_out=done.compacted.records,
                    freed=done.freed + done.compacted.bytes,
                )
            replicas.make_same()
            self._add(leftovers=replicas.remove_leftovers())
        finally:
            partition.close_locks()  # a process can't have the files of thousands of partitions open

    def _add(self, failures: tuple[tuple[str, Exception], ...] = (), **counts: int) -> None:
        sums = {name: getattr(self.report, name) + count for name, count in counts.items()}
        self.report = self.report._replace(failures=(*self.report.failures, *failures), **sums)


def _remove_leftovers(disk: Disk, log_dirs: Iterable[str], report: MaintenanceReport) -> MaintenanceReport:
    """Remove what deleted topics left behind, and count what is set aside and not due yet."""
    for parent in log_dirs:
        try:
            names = disk.list(parent)
        except (FileNotFoundError, StoreError):
            continue  # a broker whose disk is gone: its partitions said so
        report = report._replace(aside=report.aside + sum(_aside(disk, os.path.join(parent, name)) for name in names))
        for name in filter(_DELETED_DIRECTORY.fullmatch, names):
            path = os.path.join(parent, name)
            report = report._replace(leftovers=report.leftovers + 1, freed=report.freed + disk.size_of(path))
            disk.remove_tree(path)
    return report


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
