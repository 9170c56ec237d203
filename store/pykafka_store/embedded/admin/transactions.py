"""Producers and transactions, as far as a directory has any: it writes no transactions, but a log that a broker wrote
may hold some, and one of those may be open.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from struct import Struct

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.partitions import hosted
from pykafka_store.errors import (
    InvalidRequestError,
    StoreError,
    TimeoutError,
    TransactionalIdNotFoundError,
    UnsupportedVersionError,
    not_hosted,
)
from pykafka_store.format.batch import BatchHeader
from pykafka_store.format.copies import FIRST_COPIED_PRODUCER_ID
from pykafka_store.model import OFFSETS_TOPIC, TopicPartition
from pykafka_store.transactions import ProducerState, TransactionDescription, TransactionListing

_EXPIRE_MS = 24 * 60 * 60 * 1000
"""How long a broker remembers a producer that appends nothing (producer.id.expiration.ms)."""

_MARKER = Struct(">hi")
"""The value of a marker: its version, and the epoch of the coordinator that wrote it (EndTxnMarker.json)."""


class TransactionAdmin:
    """See :class:`pykafka_store.operations.TransactionOperations`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_transactions(
        self,
        *,
        producer_ids: Collection[int] = (),  # noqa: ARG002 - the seam's, as those below
        longer_than_ms: int = -1,  # noqa: ARG002
        pattern: str | None = None,  # noqa: ARG002
    ) -> dict[int, list[TransactionListing]]:
        """No transactional id is known here: no coordinator keeps any."""
        return {broker: [] for broker in self._engine.brokers.usable()}

    def describe_transactions(self, ids: Sequence[str]) -> dict[str, TransactionDescription | StoreError]:
        return {
            each: TransactionalIdNotFoundError(
                f"DescribeTransactions request for transactionalId `{each}` failed because the ID could not be found"
            )
            for each in ids
        }

    def describe_producers(
        self, partitions: Sequence[TopicPartition], broker: int | None = None
    ) -> dict[TopicPartition, tuple[ProducerState, ...] | StoreError]:
        """From the leader's log, which those in sync hold alike."""
        answers: dict[TopicPartition, tuple[ProducerState, ...] | StoreError] = {}
        for partition in partitions:
            try:
                answers[partition] = tuple(self._producers(partition, broker))
            except StoreError as error:
                answers[partition] = error
        return answers

    def _producers(self, partition: TopicPartition, broker: int | None) -> list[ProducerState]:
        from pykafka_store.embedded.replication.reader import PartitionReader

        if broker is not None and broker not in self._engine.brokers.all():
            raise TimeoutError(
                "Timed out waiting for a node assignment. Call: describeProducers(api=DESCRIBE_PRODUCERS)"
            )
        if partition.topic == OFFSETS_TOPIC and self._engine.catalog.topic_id(partition.topic) is None:
            return []  # a view, which nobody produces to
        here = hosted(self._engine, partition)
        if broker is not None and broker not in here.row.replicas:
            raise not_hosted()
        known: dict[int, ProducerState] = {}
        reader = PartitionReader(here)
        try:
            for header in reader.headers(reader.state().log_start_offset):
                if 0 <= header.producer_id < FIRST_COPIED_PRODUCER_ID:
                    last = known.pop(header.producer_id, None)
                    marker = None
                    if header.is_control:
                        marker = reader.decode(reader.read(header.base_offset)[0]).values[0]
                    known[header.producer_id] = _after(last, header, marker)
        finally:
            reader.close()
        since = self._engine.clock.now_ms() - _EXPIRE_MS
        return [each for each in known.values() if each.last_timestamp > since or each.transaction_start is not None]

    def abort_transaction(
        self,
        partition: TopicPartition,
        producer_id: int,
        producer_epoch: int,  # noqa: ARG002 - the seam's, as the next
        coordinator_epoch: int,  # noqa: ARG002
    ) -> None:
        """Refused where the producer has a transaction open there: no marker is written here."""
        for each in self._producers(partition, None):
            if each.producer_id == producer_id and each.transaction_start is not None:
                raise UnsupportedVersionError(
                    f"a data directory writes no markers into {partition}: its readers with isolation.level="
                    f"read_committed stop at offset {each.transaction_start}; copy what is wanted with pykafka mirror"
                )
        raise InvalidRequestError(f"producer {producer_id} has no transaction open in {partition}")

    def terminate_transaction(self, transactional_id: str) -> None:
        """Nothing is open under any transactional id here."""


def _after(last: ProducerState | None, header: BatchHeader, marker: bytes | None) -> ProducerState:
    """What is known of a producer after another batch of its, ``marker`` being the value of one that ends a
    transaction.
    """
    epoch = None if last is None else last.coordinator_epoch
    if header.is_control:
        if marker is not None and len(marker) >= _MARKER.size:
            epoch = _MARKER.unpack_from(marker)[1]
        sequence = -1 if last is None or last.producer_epoch != header.producer_epoch else last.last_sequence
        return ProducerState(header.producer_id, header.producer_epoch, sequence, header.max_timestamp, epoch, None)
    start = None if last is None else last.transaction_start
    if header.is_transactional and start is None:
        start = header.base_offset
    sequence = (header.base_sequence + header.last_offset_delta) % (1 << 31)
    return ProducerState(header.producer_id, header.producer_epoch, sequence, header.max_timestamp, epoch, start)
