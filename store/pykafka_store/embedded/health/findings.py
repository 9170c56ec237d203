"""What a check of a data directory finds, and what is needed to mend it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from pykafka_store.embedded.disk import ADVICE
from pykafka_store.model import Finding, Severity

OnFinding = Callable[[Finding], None] | None


class Remedy(Enum):
    """What :mod:`pykafka_store.embedded.health.repair` can do about a finding."""

    NONE = auto()
    META = auto()
    """Write the data directory's meta.properties anew."""
    LOG_DIR = auto()
    """Write a log directory's meta.properties anew."""
    STRAY = auto()
    """Set a directory aside that no topic has."""
    DEAD_MEMBERS = auto()
    """Take the members of dead processes out of their groups."""
    RECOVER = auto()
    """Find the end of a replica's log and publish it."""
    REMOVE = auto()
    """Remove a file that was not written to its end."""
    FINISH = auto()
    """Finish a compaction that was killed."""
    INDEXES = auto()
    """Make the indexes of a segment anew."""
    EPOCHS = auto()
    """Make a replica's leader-epoch-checkpoint anew."""
    METADATA = auto()
    """Write a replica's partition.metadata anew."""
    CLEANER = auto()
    """Have compaction begin at the log's start again."""
    REMAKE = auto()
    """Copy a replica anew from one that is whole."""


class Place(NamedTuple):
    """A replica, and where it lies."""

    topic: str
    topic_id: str
    partition: int
    broker: int
    directory: str
    leader_epoch: int
    """As the catalogue has it."""
    index_interval: int
    """index.interval.bytes of the topic."""

    @property
    def label(self) -> str:
        return f"{self.topic}-{self.partition}"


class Found(NamedTuple):
    """A finding, and what is needed to mend it."""

    severity: Severity
    path: str
    message: str
    meaning: str
    remedy: Remedy = Remedy.NONE
    place: Place | None = None
    base: int = -1
    """The segment that it is about, if it is about one."""
    source: int = -1
    """To make the replica anew: a broker that has a whole one."""


class Findings:
    """The findings of one check of one data directory, reported as they come."""

    def __init__(self, directory: str, on_finding: OnFinding) -> None:
        self._directory = directory
        self._on_finding = on_finding
        self.found: list[Found] = []
        self.reported: list[Finding] = []
        """The same ones as the caller of a check gets them."""

    def report(self, severity: Severity, path: str, message: str, meaning: str, remedy: Remedy = Remedy.NONE) -> None:
        """Add a finding about a file that is no replica's."""
        if message.endswith(ADVICE[errno.EACCES]):
            meaning = "it may be whole: who runs this may not look into it"
        self.add(Found(severity, path, message, meaning, remedy))

    def add(self, found: Found) -> None:
        """Add a finding."""
        inside = found.path.startswith(self._directory + os.sep)
        where = os.path.relpath(found.path, self._directory) if inside else found.path
        finding = Finding(found.severity, where, found.message, found.meaning, found.remedy is not Remedy.NONE)
        self.found.append(found)
        self.reported.append(finding)
        if self._on_finding is not None:
            self._on_finding(finding)


def without_path(path: str, error: Exception) -> str:
    """An error's text without the path that the finding about it begins with."""
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ").removeprefix(f"{path}{os.sep}")
