"""What a cluster says of transactions and of the producers that it remembers (KIP-664)."""

from __future__ import annotations

from typing import NamedTuple

from pykafka_store.model import TopicPartition


class TransactionListing(NamedTuple):
    transactional_id: str
    producer_id: int
    state: str
    """In the words of Kafka's TransactionState: ``Ongoing``, ``CompleteCommit``, …"""


class TransactionDescription(NamedTuple):
    coordinator: int
    producer_id: int
    producer_epoch: int
    state: str
    timeout_ms: int
    start_time_ms: int | None
    """None where no transaction is open."""
    partitions: tuple[TopicPartition, ...]


class ProducerState(NamedTuple):
    """What is remembered of an idempotent producer of a partition."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp: int
    coordinator_epoch: int | None
    """None where no marker of a transaction was written for it."""
    transaction_start: int | None
    """The offset at which its open transaction begins; None where it has none open."""
