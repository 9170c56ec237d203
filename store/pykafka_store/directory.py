"""What a data directory can be asked besides what any cluster can (pykafka_store.api): upkeep, brokers, copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pykafka_store.api import Cluster, Producer
from pykafka_store.errors import StoreError
from pykafka_store.model import (
    BrokerDescription,
    CopiedRun,
    Delivery,
    MaintenanceReport,
    Records,
    TopicPartition,
)


class Copier(Producer, Protocol):
    """A producer of copies into a data directory: each of its batches says where its records come from, so that after a
    kill the log itself tells how far the copying came.
    """

    def copy(self, records: Records, to: TopicPartition, source: str) -> None:
        """Append records to a partition as they are. ``source`` names the partition they come from, for good.

        Raises what was not appended, as nobody is told of single records.
        """

    def sync(self) -> None:
        """Bring what was appended to the disks themselves, of every replica in sync."""


class DataDirectory(Cluster, Protocol):
    """What can be done to a data directory besides: nothing that a Kafka cluster would let a client do."""

    def maintain(self, on_progress: Callable[[TopicPartition, int], None] | None = None) -> MaintenanceReport:
        """One pass of upkeep over everything: moves, replicas that fell behind, retention, compaction, dead members of
        groups, what kills left behind.

        ``on_progress`` is called with each partition, and the bytes of it that were read so far; at least once, with
        none, before anything is. What fails in one partition is in the report.
        """

    def reassign(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, StoreError | None]:
        """Go on with the moves of these partitions (all that are on, for None) until they are done.

        Honours the brokers' ``leader.replication.throttled.rate``. A partition's answer is None when it is where it
        was to go, or why not yet.
        """

    # ------------------------------------------------------------------------------------------------------ copies

    def copier(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Copier:
        """``on_notice`` is told what a user should know, such as a replica that was left behind, in a line each."""

    def copied(self, partition: TopicPartition, source: str, since: int = 0) -> list[CopiedRun]:
        """What a partition holds of copies from ``source``, in order, of batches from offset ``since`` on."""

    def keep_lock(self, name: str) -> bool:
        """Take a lock that nobody else has, until ``close``; False where another process has it."""

    def lock_is_kept(self, name: str) -> bool:
        """Whether another process has such a lock."""

    # ----------------------------------------------------------------------------------------------------- brokers

    def brokers(self) -> list[BrokerDescription]:
        """All brokers, stopped ones too, sorted by id."""

    def set_server_settings(self, broker: int, settings: Mapping[str, str]) -> None:
        """What the broker's server.properties says (``static_settings``), instead of what it said before.

        Raises BrokerIdNotRegisteredError.
        """

    def add_broker(self, broker: int | None = None, log_dirs: Sequence[str] = ()) -> BrokerDescription:
        """A new broker, the next free number for None, with log directories of its own on any local disk; without one,
        a directory below the data directory. It holds replicas of topics that are made from now on, or moved to it.

        Raises InvalidRequestError for a number or a directory that is taken, StorageError.
        """

    def stop_broker(self, broker: int) -> None:
        """Take a broker out of service: others lead what it led, and it falls behind. One that is stopped already is
        fine.

        Raises BrokerIdNotRegisteredError.
        """

    def start_broker(self, broker: int) -> None:
        """Bring a broker back: its replicas are truncated to where they agree with the leaders', and catch up."""

    def remove_broker(self, broker: int) -> None:
        """Forget a broker that holds no replica. Its directories stay where they are, empty.

        Raises BrokerIdNotRegisteredError, InvalidRequestError while it holds replicas, or is the last one.
        """
