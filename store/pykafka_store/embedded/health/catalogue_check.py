"""metadata.db looked at for ``pykafka doctor``, and the brokers' log directories against it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from typing import NamedTuple

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.catalog_rows import BrokerRow, LogDirRow, PartitionRow, TopicRow
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.database_copy import DatabaseBytes, copied, read_database
from pykafka_store.embedded.health.findings import Findings, Remedy, without_path
from pykafka_store.embedded.layout import CATALOG_FILE, OWNER_FILE, is_elsewhere, read_meta
from pykafka_store.embedded.locks import SharedLocks
from pykafka_store.embedded.log.replica_state import read_state
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.embedded.owner import other_owner
from pykafka_store.embedded.partitions import owner_of
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.format.names import parse_partition_directory, partition_directory
from pykafka_store.model import Severity

CATALOGUE_MEANING = "it says which topics there are: restore it from a backup; the logs stay as they are"

_NO_REPLICAS = {META_PROPERTIES_FILE, OWNER_FILE}
"""What else lies in a log directory."""


class Snapshot(NamedTuple):
    """The catalogue at one moment."""

    topics: dict[str, TopicRow]
    """By id."""
    brokers: dict[int, BrokerRow]
    in_use: bool
    """Whether there is more in it than the first broker."""
    deletions: frozenset[str] = frozenset()
    """The ids of topics whose deleting is not finished."""

    def partition(self, topic_id: str, partition: int) -> PartitionRow | None:
        """The row of a partition, or None where it is not there."""
        topic = self.topics.get(topic_id)
        rows = topic.partitions if topic is not None else ()
        return next((row for row in rows if row.partition == partition), None)


class CatalogueCheck:
    """One check of the catalogue of one data directory."""

    def __init__(self, directory: str, disk: Disk, locks: SharedLocks, findings: Findings) -> None:
        self._directory = directory
        self._disk = disk
        self._locks = locks
        self._findings = findings
        self.path = os.path.join(directory, CATALOG_FILE)
        self.lost: set[tuple[int, int]] = set()
        """Log directories that can't be used: the broker, and the position among its log directories."""
        self._seen: tuple[DatabaseBytes, Snapshot] | None = None
        """The catalogue's bytes when it was last looked at, and what they say."""

    def snapshot(self) -> Snapshot:
        """The catalogue as it is now. Raises StorageError where it is damaged, UnsupportedVersionError for one of a
        newer version.
        """
        content = read_database(self._disk, self.path)
        if self._seen is None or self._seen[0] != content:
            with copied(self.path, content) as copy, closing(Catalog(os.path.dirname(copy))) as catalog:
                try:
                    topics = {topic.id: topic for topic in catalog.topics()}
                    self._seen = (
                        content,
                        Snapshot(topics, catalog.brokers(), catalog.is_in_use(), frozenset(catalog.deletions())),
                    )
                except KeyError as error:
                    raise StorageError(f"broker {error} has no log directory") from error
        return self._seen[1]

    def check(self) -> Snapshot | None:
        """The catalogue, its rows checked against each other; None where it can't be read. Raises
        UnsupportedVersionError.
        """
        if not self._disk.exists(self.path):
            self._findings.report(Severity.ERROR, self.path, "is missing", CATALOGUE_MEANING)
            return None
        try:
            catalogue = self.snapshot()
        except StorageError as error:
            self._findings.report(Severity.ERROR, self.path, without_path(self.path, error), CATALOGUE_MEANING)
            return None
        for topic in catalogue.topics.values():
            for problem in _problems_of(topic, catalogue.brokers):
                self._findings.report(Severity.ERROR, self.path, problem, CATALOGUE_MEANING)
        return catalogue

    # ----------------------------------------------------------------------------------------------- log directories

    def log_dir(self, row: LogDirRow) -> str:
        """The path of a log directory."""
        return os.path.join(self._directory, row.path)

    def _log_dirs(self, catalogue: Snapshot) -> Iterator[tuple[BrokerRow, int, str]]:
        """Of each log directory the broker, its position there, and its path."""
        for broker in catalogue.brokers.values():
            for position, row in enumerate(broker.log_dirs):
                yield broker, position, self.log_dir(row)

    def check_log_dirs(self, catalogue: Snapshot) -> None:
        """Check that the log directories are there, and the brokers'; not what is in them."""
        for broker, position, path in self._log_dirs(catalogue):
            severity = Severity.ERROR if broker.running else Severity.INFO
            meaning = f"it is broker {broker.id}'s: mount its disk, and pykafka maintain brings its replicas back"
            try:
                names = self._disk.list(path)
            except (FileNotFoundError, StorageError) as error:
                self.lost.add((broker.id, position))
                missing = isinstance(error, FileNotFoundError)
                text = "is missing" if missing else without_path(path, error)
                self._findings.report(severity, path, text, meaning)
                continue
            row = broker.log_dirs[position]
            directory_id = row.directory_id
            if is_elsewhere(path, row.path) and (other := other_owner(self._disk, path, self._directory)) is not None:
                self.lost.add((broker.id, position))
                meaning = "this is a copy of it, and both would write there: remove or rename one of them"
                self._findings.report(severity, path, f"belongs to the data directory {other}", meaning)
                continue
            if directory_id is None:
                continue
            text, known_as = "is missing", None
            with suppress(FileNotFoundError):
                known_as = read_meta(self._disk, path).get("directory.id")
                text = "does not say this directory's directory.id"
            if known_as == directory_id:
                continue
            has_replicas = any(parse_partition_directory(name) is not None for name in names)
            remedy = Remedy.NONE
            if known_as is None and has_replicas:  # an empty mount point has none
                meaning, remedy = f"without it broker {broker.id} does not use the directory", Remedy.LOG_DIR
            else:
                self.lost.add((broker.id, position))
            self._findings.report(severity, os.path.join(path, META_PROPERTIES_FILE), text, meaning, remedy)

    def check_strays(self, catalogue: Snapshot) -> None:
        """Look for directories that no replica of the catalogue has. Asked twice, for topics come and go."""
        suspects = self._unknown(catalogue)
        if not suspects:
            return
        with self._locks.cluster(), suppress(StorageError):
            now = self.snapshot()
            for path in sorted(suspects & self._unknown(now)):
                self._report_stray(path, now.deletions)

    def is_stray(self, path: str) -> bool:
        """Whether no replica of the catalogue as it is now lies there. Raises StorageError."""
        return path in self._unknown(self.snapshot())

    def _unknown(self, catalogue: Snapshot) -> set[str]:
        """What lies in log directories and is no replica that the catalogue has there."""
        known = set()
        for topic in catalogue.topics.values():
            for row in topic.partitions:
                name = partition_directory(topic.name, row.partition)
                for host in row.hosts:
                    at = catalogue.brokers.get(host.broker)
                    for position, log_dir in enumerate(at.log_dirs if at else ()):
                        if position in {host.log_dir, host.future_log_dir}:
                            known.add(os.path.join(self.log_dir(log_dir), name))
        there = set()
        for broker, position, path in self._log_dirs(catalogue):
            if (broker.id, position) in self.lost:
                continue
            with suppress(FileNotFoundError, StorageError):
                there |= {os.path.join(path, name) for name in self._disk.list(path) if name not in _NO_REPLICAS}
        return there - known

    def _report_stray(self, path: str, deletions: Collection[str]) -> None:
        name = os.path.basename(path)
        report = self._findings.report
        if name.endswith("-delete"):
            report(Severity.INFO, path, "is of a deleted replica", "pykafka maintain removes it")
        elif name.endswith("-stray"):
            report(Severity.INFO, path, "was set aside", "it may hold records that somebody misses: if not, remove it")
        elif parse_partition_directory(name) is None or not os.path.isdir(path):
            report(Severity.INFO, path, "is no file of ours", "nobody reads it")
        elif owner_of(self._disk, path) in deletions:
            report(Severity.INFO, path, "is of a topic whose deleting was cut short", "pykafka maintain removes it")
        elif self._holds_records(path):
            text = "holds records, and no topic of the catalogue is the one"
            meaning = "is the catalogue an older one? --repair renames it to *-stray"
            report(Severity.WARNING, path, text, meaning, Remedy.STRAY)
        else:
            meaning = "the making or deleting of a topic was killed; --repair renames it to *-stray"
            report(Severity.INFO, path, "belongs to no topic, and is empty", meaning, Remedy.STRAY)

    def _holds_records(self, directory: str) -> bool:
        state = read_state(self._disk, directory)
        segments = [Segment(self._disk, directory, base) for base in list_segments(self._disk, directory)]
        return not (state and state.deleted) and any(segment.size() for segment in segments)


def _problems_of(topic: TopicRow, brokers: dict[int, BrokerRow]) -> Iterator[str]:
    """What can't be in the catalogue's rows of a topic."""
    numbers = [row.partition for row in topic.partitions]
    if numbers != list(range(len(numbers))) or not numbers:
        yield f"topic {topic.name} has the partitions {', '.join(map(str, numbers)) or 'of nothing'}"
    for row in topic.partitions:
        name = f"{topic.name}-{row.partition}"
        if not row.hosts:
            yield f"partition {name} has no replicas"
        for host in row.hosts:
            broker = brokers.get(host.broker)
            if broker is None or host.log_dir >= len(broker.log_dirs):
                yield f"a replica of {name} is on broker {host.broker}, log directory {host.log_dir}: there is none"
        if row.leader is not None and row.leader not in row.isr:
            yield f"partition {name} is led by broker {row.leader}, which is not in sync"
