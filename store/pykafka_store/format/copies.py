"""What a copied batch's header says of where it came from: the fields in which Kafka keeps a producer's sequence.

A mirror is a producer like any other, and its sequence is the source's offset: the last sequence of a batch is the
source offset of its last record. For a source without gaps that is exactly what Kafka's idempotent producer would
write. So the log itself says how far the copying came, in the same bytes as the records: no kill and no power cut can
part the two, compaction keeps the last batch of every producer id (for its sequence, as in Kafka), and Kafka's own
``kafka-dump-log`` shows it. A source of rows (pykafka_store.source) writes its rows' positions in the same way.

- producer id: 63 bits of a hash that names the source's partition (`producer_id_of`). Kafka's own ids count from 0.
- base sequence: such that the last sequence is the low 31 bits of the last source offset; sequences wrap there.
- producer epoch: the next 15 bits of it. An epoch begins sequences anew, which is what happens every 2^31 offsets.
"""

from __future__ import annotations

from pykafka_store.errors import InvalidRequestError
from pykafka_store.format.batch import BatchHeader

_SEQUENCE_BITS = 31
_SEQUENCES = 1 << _SEQUENCE_BITS
_EPOCHS = 1 << 15

FIRST_COPIED_PRODUCER_ID = 1 << 40
"""Ids from here on are no producer's: those of copies are hashes."""


def producer_id_of(source: str) -> int:
    """The producer id that stands for a source: a cluster, a topic by its id, and a partition."""
    from hashlib import blake2b

    return int.from_bytes(blake2b(source.encode(), digest_size=8).digest(), "big") >> 1


def copied_producer(producer_id: int, last_offset: int, count: int) -> tuple[int, int, int]:
    """(producer id, epoch, base sequence) of a batch of ``count`` records whose last one has that offset at the source.

    Raises InvalidRequestError for an offset of 2^46 or more, which has no room.
    """
    epoch = last_offset >> _SEQUENCE_BITS
    if not 0 <= epoch < _EPOCHS:
        raise InvalidRequestError(f"Source offset {last_offset} is beyond 2^46, and can't be copied")
    return producer_id, epoch, (last_offset - count + 1) % _SEQUENCES


def last_source_offset(header: BatchHeader) -> int:
    """The source offset of the last record that a copied batch held when it was written."""
    sequence = (header.base_sequence + header.last_offset_delta) % _SEQUENCES
    return header.producer_epoch << _SEQUENCE_BITS | sequence
