"""What metadata.db says: its rows, as objects. Listing topics does without them."""

from typing import NamedTuple

OUT_OF_SYNC, IN_SYNC, ELIGIBLE, LED_LAST = range(4)
"""What replicas.in_sync says. ELIGIBLE: left when too few stayed, so it has all that readers saw (KIP-966's ELR).
LED_LAST: eligible, and the leader until no replica was left that could lead.
"""


class LogDirRow:
    __slots__ = ("directory_id", "path")

    def __init__(self, path: str, directory_id: str | None = None) -> None:
        self.path = path
        """A relative one is below the data directory."""
        self.directory_id = directory_id
        """What its meta.properties must say, so that an empty mount point is not taken for it. None: it has none."""


class BrokerRow:
    __slots__ = ("id", "log_dirs", "running")

    def __init__(self, id: int, running: bool, log_dirs: tuple[LogDirRow, ...]) -> None:
        self.id = id
        self.running = running
        self.log_dirs = log_dirs


class ReplicaRow(NamedTuple):
    broker: int
    sync: int = IN_SYNC
    log_dir: int = 0
    """The position of the broker's log directory that holds it."""
    future_log_dir: int | None = None
    """The one that it is on its way to."""
    change: str | None = None
    """``adding`` or ``removing``, while the partition is on its way to other brokers."""

    @property
    def log_dirs(self) -> set[int]:
        """The positions of the log directories that may have a directory of it."""
        return {self.log_dir} if self.future_log_dir is None else {self.log_dir, self.future_log_dir}


class PartitionRow(NamedTuple):
    partition: int
    leader: int | None
    leader_epoch: int
    hosts: tuple[ReplicaRow, ...]
    """In the order of the replica list."""
    isr_sorted: bool = False
    """Whether the ISR is told by number, and not in the order of the replica list: a broker does once it has grown."""

    @property
    def replicas(self) -> tuple[int, ...]:
        return tuple(each.broker for each in self.hosts)

    @property
    def isr(self) -> tuple[int, ...]:
        brokers = (each.broker for each in self.hosts if each.sync == IN_SYNC)
        return tuple(sorted(brokers)) if self.isr_sorted else tuple(brokers)

    @property
    def elr(self) -> tuple[int, ...]:
        return tuple(each.broker for each in self.hosts if each.sync in {ELIGIBLE, LED_LAST})

    @property
    def last_leader(self) -> int | None:
        """The broker that led last, while none does."""
        return next((each.broker for each in self.hosts if each.sync == LED_LAST), None)

    @property
    def adding(self) -> tuple[int, ...]:
        return tuple(each.broker for each in self.hosts if each.change == "adding")

    @property
    def removing(self) -> tuple[int, ...]:
        return tuple(each.broker for each in self.hosts if each.change == "removing")

    def host(self, broker: int) -> ReplicaRow | None:
        return next((each for each in self.hosts if each.broker == broker), None)


class TopicRow:
    __slots__ = ("configs", "id", "name", "partitions")

    def __init__(self, id: str, name: str, partitions: tuple[PartitionRow, ...], configs: dict[str, str]) -> None:
        self.id = id
        self.name = name
        self.partitions = partitions
        """By partition number, 0 … n-1."""
        self.configs = configs
        """Only the topic's own overrides."""

    @property
    def first_leader(self) -> int | None:
        """The leader of its first partition. Where settings come from brokers, this one's stand for the whole topic."""
        return self.partitions[0].leader
