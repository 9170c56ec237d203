"""What was found in a data directory, and what was done about it."""

from enum import StrEnum
from typing import NamedTuple


class MaintenanceReport(NamedTuple):
    """What one pass over a data directory did."""

    partitions: int = 0
    busy: int = 0
    """Replicas that were left to another process, which was at them."""
    retained_out: int = 0
    """Records that retention took away."""
    compacted_out: int = 0
    """Records that compaction took away."""
    freed: int = 0
    """Bytes that are free again."""
    aside: int = 0
    """Bytes that are out of the logs, and free when file.delete.delay.ms is over."""
    dead_members: int = 0
    """Members of groups whose process was gone."""
    leftovers: int = 0
    """Directories of deleted topics that a kill had left."""
    caught_up: int = 0
    """Replicas that are in sync again."""
    behind: int = 0
    """Replicas that are not in sync, for their broker is stopped or its directory can't be used."""
    failures: tuple[tuple[str, Exception], ...] = ()
    """(partition, what was wrong with it): the others were gone through."""


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """A normal state that is worth knowing, such as what a kill left behind: nothing is wrong."""
    WARNING = "warning"
    """Something is wrong, and no record is affected."""
    ERROR = "error"
    """Records are lost, or can't be served, or will not be if this goes on."""


class Finding(NamedTuple):
    """What a check of a data directory found in one place."""

    severity: Severity
    where: str
    """A path, relative where it lies below the data directory."""
    message: str
    """What is so."""
    meaning: str
    """What that means, and what to do."""
    repairable: bool = False
    """Whether ``repair`` mends it without touching an acknowledged record."""


class CheckReport(NamedTuple):
    """What a check of a data directory read, and what it found."""

    findings: tuple[Finding, ...] = ()
    partitions: int = 0
    replicas: int = 0
    bytes: int = 0
    """Bytes of logs that were read."""
    mended: tuple[Finding, ...] = ()
    """What was found before, and is no more: it was repaired."""
    kept: tuple[str, ...] = ()
    """Where the copies of what the repair removed or overwrote are, and what it set aside."""

    @property
    def problems(self) -> int:
        """Findings that say that something is wrong."""
        return sum(finding.severity is not Severity.INFO for finding in self.findings)
