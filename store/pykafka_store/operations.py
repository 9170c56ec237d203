"""What an operator asks of a cluster besides: its feature flags, its transactions. Part of the seam
(:mod:`pykafka_store.api`); protocols only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pykafka_store.errors import StoreError
from pykafka_store.features import FeatureMetadata, FeatureUpdate
from pykafka_store.model import TopicPartition
from pykafka_store.transactions import ProducerState, TransactionDescription, TransactionListing


class FeatureOperations(Protocol):
    def describe_features(self) -> FeatureMetadata:
        """Which levels are supported, and which are in force."""

    def update_features(
        self, updates: Mapping[str, FeatureUpdate], *, validate_only: bool = False
    ) -> dict[str, StoreError | None]:
        """Change levels, all or none. Each feature's answer is None, or why not; where one is refused all are."""


class TransactionOperations(Protocol):
    def list_transactions(
        self, *, producer_ids: Collection[int] = (), longer_than_ms: int = -1, pattern: str | None = None
    ) -> dict[int, list[TransactionListing]]:
        """Coordinator -> the transactional ids that it knows. Of these only such with one of the ``producer_ids``
        (where there are any), with a transaction open for longer, and whose whole id matches the RE2 ``pattern``.
        """

    def describe_transactions(self, ids: Sequence[str]) -> dict[str, TransactionDescription | StoreError]:
        """What a coordinator knows of each transactional id, or why it says nothing:
        TransactionalIdNotFoundError.
        """

    def describe_producers(
        self, partitions: Sequence[TopicPartition], broker: int | None = None
    ) -> dict[TopicPartition, tuple[ProducerState, ...] | StoreError]:
        """The producers that the leader of a partition remembers, or the replica on ``broker``; or why it can't say."""

    def abort_transaction(
        self, partition: TopicPartition, producer_id: int, producer_epoch: int, coordinator_epoch: int
    ) -> None:
        """Write an abort marker into a partition whose coordinator does not do it (a hanging transaction)."""

    def terminate_transaction(self, transactional_id: str) -> None:
        """Have the coordinator abort what is open under a transactional id, and fence its producer (KIP-1073)."""
