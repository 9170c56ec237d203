"""What idempotent producers have appended, so that a retry is found and never appended twice (KIP-98).

For each producer of a partition the last five batches are known, as a broker knows them. They stand in the headers of
the log's batches: whoever asks about a producer that this server did not name itself has the partition's log read
first. So a retry after the server was killed is found, too: either its batch was published, and is in the log, or it
was not, and its sequence is the next one.

Sources: ProducerStateManager, ProducerStateEntry, ProducerAppendInfo of Kafka's storage module.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar, NamedTuple

from pykafka_store.embedded.serving.partitions import FIRST_COPIED_PRODUCER_ID, ServedPartition
from pykafka_store.errors import StoreError
from pykafka_store.format.batch import BatchHeader
from pykafka_store.wire.broker import Broker

_KEPT = 5
"""Batches of a producer that are known (ProducerStateEntry.NUM_BATCHES_TO_RETAIN)."""

_SEQUENCES = 1 << 31

MAX_PRODUCERS = 10_000
"""Producers of one partition that are known; those that appended least lately are forgotten first."""


class OutOfOrderSequenceError(StoreError):
    code: ClassVar[int] = 45
    kafka_name: ClassVar[str] = "OutOfOrderSequenceException"


class InvalidProducerEpochError(StoreError):
    code: ClassVar[int] = 47
    kafka_name: ClassVar[str] = "InvalidProducerEpochException"


class _Appended(NamedTuple):
    first: int
    last: int
    base_offset: int
    append_time: int


class _Producer:
    """One producer's last batches in one partition, all of one epoch."""

    __slots__ = ("batches", "epoch")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[_Appended] = deque(maxlen=_KEPT)


class Sequences:
    """The producers of all partitions that were appended to."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._known: dict[tuple[str, int], dict[int, _Producer]] = {}
        self._read: set[tuple[str, int]] = set()
        """Partitions whose log was read for producers of earlier servers."""
        self._doubtful: set[tuple[str, int]] = set()
        """Partitions whose log is to be read again, whoever appends next."""

    def duplicate(self, partition: ServedPartition, header: BatchHeader) -> tuple[int, int] | None:
        """(base offset, append time) of the same batch, appended before; None where it is the producer's next one.

        Raises OutOfOrderSequenceError, InvalidProducerEpochError.
        """
        if not self._is_watched(header):
            return None
        known = self._producers(partition, header.producer_id).get(header.producer_id)
        if known is None:
            return None  # a producer that nobody remembers may go on where it is, as at a broker
        last = (header.base_sequence + header.last_offset_delta) % _SEQUENCES
        if header.producer_epoch == known.epoch:
            for batch in known.batches:
                if (batch.first, batch.last) == (header.base_sequence, last):
                    return batch.base_offset, batch.append_time
        if header.producer_epoch < known.epoch:
            raise InvalidProducerEpochError(
                f"Epoch of producer {header.producer_id} in {partition.name} is {header.producer_epoch}, which is "
                f"smaller than the last seen epoch {known.epoch}"
            )
        expected = 0
        if header.producer_epoch == known.epoch and known.batches:
            expected = (known.batches[-1].last + 1) % _SEQUENCES
        if header.base_sequence != expected:
            raise OutOfOrderSequenceError(
                f"Out of order sequence number for producer {header.producer_id} in {partition.name}: "
                f"{header.base_sequence} (incoming seq. number), {expected} (expected)"
            )
        return None

    def appended(self, partition: ServedPartition, header: BatchHeader, base_offset: int, append_time: int) -> None:
        """The batch is in the log."""
        if self._is_watched(header):
            producers = self._known.setdefault((partition.topic_id, partition.name.partition), {})
            sequence, records = header.base_sequence, header.last_offset_delta + 1
            _note(producers, header.producer_id, header.producer_epoch, sequence, records, base_offset, append_time)

    def forget(self, partition: ServedPartition) -> None:
        """An append failed: what is in the log is read from it before the next one."""
        key = partition.topic_id, partition.name.partition
        self._known.pop(key, None)
        self._doubtful.add(key)

    def _is_watched(self, header: BatchHeader) -> bool:
        """Whether a batch is an idempotent producer's; what `pykafka mirror` copied has ids of its own."""
        return 0 <= header.producer_id < FIRST_COPIED_PRODUCER_ID

    def _producers(self, partition: ServedPartition, producer_id: int) -> dict[int, _Producer]:
        key = partition.topic_id, partition.name.partition
        known = self._known.setdefault(key, {})
        first = self._broker.first_producer_id
        is_ours = 0 <= first <= producer_id
        if key in self._doubtful or (producer_id not in known and key not in self._read and not is_ours):
            # Nobody else appends as a producer while this server has its lock, so that once is enough.
            found: dict[int, _Producer] = {}
            for id, epoch, sequence, records, offset in partition.recent_producers(self._broker.clock.now_ms()):
                _note(found, id, epoch, sequence, records, offset, -1)
            known = self._known[key] = {**found, **known}
            self._read.add(key)
            self._doubtful.discard(key)
        return known


def _note(
    producers: dict[int, _Producer], id: int, epoch: int, sequence: int, records: int, offset: int, append_time: int
) -> None:
    known = producers.pop(id, None)
    if known is None or known.epoch != epoch:
        known = _Producer(epoch)
    producers[id] = known  # the last in the order, as it appended last
    known.batches.append(_Appended(sequence, (sequence + records - 1) % _SEQUENCES, offset, append_time))
    if len(producers) > MAX_PRODUCERS:
        del producers[next(iter(producers))]
