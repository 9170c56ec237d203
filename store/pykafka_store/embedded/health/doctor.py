"""``pykafka doctor``: everything in a data directory looked at, file by file, and what is wrong reported.

Nothing is changed: databases are read as copies, and locks are taken shared, for moments, on files that exist, and not
at all in a directory that may only be read. Writers, upkeep, admins and members of groups may be at work meanwhile. So
what seems wrong is looked at again, with a newer copy of the catalogue and upkeep held off, before it is reported.

This module goes over the directory as a whole; ``catalogue_check``, ``partition_check``, ``replica_check`` and
``group_check`` look at its parts, and :mod:`pykafka_store.embedded.health.repair` mends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.catalogue_check import CatalogueCheck
from pykafka_store.embedded.health.findings import Findings, Found, OnFinding, Remedy
from pykafka_store.embedded.health.group_check import GroupCheck
from pykafka_store.embedded.health.partition_check import PartitionCheck
from pykafka_store.embedded.layout import (
    CATALOG_FILE,
    GROUPS,
    GROUPS_FILE,
    LAYOUT_VERSION,
    LOCKS,
    check_layout,
    names_of_others,
    read_meta,
)
from pykafka_store.embedded.locks import SharedLocks
from pykafka_store.embedded.open import not_a_data_directory
from pykafka_store.errors import CorruptRecordError, StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.model import CheckReport, Severity, TopicPartition

_META = "without it nobody opens the directory"

OnProgress = Callable[[TopicPartition | None, int], None] | None


class Doctor:
    """One check of one data directory."""

    def __init__(
        self, directory: str, disk: Disk, on_finding: OnFinding = None, on_progress: OnProgress = None
    ) -> None:
        """``on_progress`` is called with the partition that is being looked at, and the bytes read so far."""
        self._directory = os.path.abspath(os.path.expanduser(directory))
        self._disk = disk
        self._on_progress = on_progress
        self._findings = Findings(self._directory, on_finding)
        locks = SharedLocks(self._path(LOCKS), disk, Clock())
        self._catalogue = CatalogueCheck(self._directory, disk, locks, self._findings)
        self._partitions = PartitionCheck(disk, locks, self._catalogue, self._findings, self._read)
        self._groups = GroupCheck(self._directory, disk, self._findings)
        self._bytes = 0
        self._partition: TopicPartition | None = None

    @property
    def found(self) -> list[Found]:
        """The findings so far, with what a repair needs to know of them."""
        return self._findings.found

    def run(self) -> CheckReport:
        """Look at everything. Raises StorageError for a directory that is no data directory at all,
        UnsupportedVersionError for one of a newer layout.
        """
        self._check_meta()
        usable = self._check_own_directories()
        self._groups.read()
        catalogue = self._catalogue.check()
        partitions = replicas = 0
        if catalogue is not None:
            self._catalogue.check_log_dirs(catalogue)
            for topic in sorted(catalogue.topics.values(), key=lambda each: each.name):
                for row in topic.partitions:
                    self._partition = TopicPartition(topic.name, row.partition)
                    self._read(0)
                    partitions += 1
                    replicas += len(row.hosts)
                    self._partitions.check(topic, row, catalogue)
            self._catalogue.check_strays(catalogue)
        if GROUPS in usable:
            self._groups.check(self._partitions.ends)
        for name in names_of_others(self._disk, self._directory):
            self._findings.report(Severity.INFO, self._path(name), "is no file of ours", "nobody reads it")
        return CheckReport(tuple(self._findings.reported), partitions, replicas, self._bytes)

    def is_stray(self, path: str) -> bool:
        """Whether no replica of the catalogue as it is now lies there. Raises StorageError."""
        return self._catalogue.is_stray(path)

    def _path(self, *names: str) -> str:
        return os.path.join(self._directory, *names)

    def _read(self, count: int) -> None:
        self._bytes += count
        if self._on_progress is not None:
            self._on_progress(self._partition, self._bytes)

    # ------------------------------------------------------------------------------------------------------ the whole

    def _check_meta(self) -> None:
        path = self._path(META_PROPERTIES_FILE)
        try:
            meta = read_meta(self._disk, self._directory)
        except FileNotFoundError:
            has_groups = self._disk.size_of(self._path(GROUPS_FILE)) > 0
            if not has_groups and not self._disk.exists(self._path(CATALOG_FILE)):
                raise not_a_data_directory(self._disk, self._directory) from None
            severity, meaning = Severity.ERROR, _META
            with suppress(StorageError):  # which is reported later
                if not has_groups and not self._catalogue.snapshot().in_use:
                    severity = Severity.INFO
                    meaning = "the directory is empty: its making was killed, or goes on"
            self._findings.report(severity, path, "is missing", meaning, Remedy.META)
            return
        with suppress(CorruptRecordError):  # which is reported below
            check_layout(meta, path)
        if not meta.get("cluster.id"):  # which may be any text (kafka-storage format --cluster-id)
            self._findings.report(Severity.ERROR, path, "has no cluster.id", _META, Remedy.META)
        elif meta.get("layout.version") != str(LAYOUT_VERSION):
            self._findings.report(Severity.ERROR, path, "has no layout.version", _META, Remedy.META)

    def _check_own_directories(self) -> set[str]:
        """That nothing else has their names; returns those of which that is so. One that is missing is made again."""
        usable = set()
        for name in (LOCKS, GROUPS):
            path = self._path(name)
            if os.path.lexists(path) and not os.path.isdir(path):
                self._findings.report(Severity.ERROR, path, "is no directory", "nothing can be written: remove it")
                continue
            usable.add(name)
        for name in self._disk.list(self._path(LOCKS)) if os.path.isdir(self._path(LOCKS)) else ():
            path = self._path(LOCKS, name)
            if os.path.isdir(path):
                self._findings.report(Severity.ERROR, path, "is a directory", "nobody can take this lock: remove it")
        return usable
