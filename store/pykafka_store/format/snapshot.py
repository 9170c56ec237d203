"""What a broker remembers of the producers of a partition, as of the offset in the file's name: a ``.snapshot`` file.

This engine writes none: it meets them beside segments that a broker wrote. Source:
org.apache.kafka.storage.internals.log.ProducerStateManager#readSnapshot and ProducerSnapshot.json.
"""

from struct import Struct
from typing import NamedTuple

from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.crc32c import crc32c


class ProducerSnapshotEntry(NamedTuple):
    """What a broker remembers of a producer. ``last_offset`` is -1 if it has written no batch yet."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int
    coordinator_epoch: int
    current_txn_first_offset: int | None
    """Of the transaction that it had open, or None."""

    @property
    def first_sequence(self) -> int:
        """Sequence of the first record of the last batch. Source: DefaultRecordBatch.decrementSequence."""
        return (self.last_sequence - self.offset_delta) % (1 << 31)


_SNAPSHOT_START = Struct(">hIi")
"""Version, CRC-32C of all that follows it, number of entries."""
_SNAPSHOT_ENTRY = Struct(">qhiqiqiq")
_SNAPSHOT_CRC_START = 6


def snapshot_entries(data: bytes, path: str) -> list[ProducerSnapshotEntry]:
    """The entries of a whole ``.snapshot``. Raises CorruptRecordError with Kafka's text (CorruptSnapshotException)."""
    if len(data) < _SNAPSHOT_START.size:
        raise CorruptRecordError(f"Snapshot failed schema validation: {path} has {len(data)} bytes")
    version, crc, count = _SNAPSHOT_START.unpack_from(data)
    if version != 1:
        raise CorruptRecordError(
            f"Snapshot failed schema validation: Snapshot contained an unknown file version {version}"
        )
    if count < 0 or _SNAPSHOT_START.size + count * _SNAPSHOT_ENTRY.size > len(data):
        raise CorruptRecordError(f"Snapshot failed schema validation: {count} entries in {len(data)} bytes of {path}")
    computed = crc32c(data[_SNAPSHOT_CRC_START:])
    if crc != computed:
        raise CorruptRecordError(
            f"Snapshot is corrupt (CRC is no longer valid). Stored crc: {crc}. Computed crc: {computed}"
        )
    entries = data[_SNAPSHOT_START.size :][: count * _SNAPSHOT_ENTRY.size]
    found = map(ProducerSnapshotEntry._make, _SNAPSHOT_ENTRY.iter_unpack(entries))
    return [
        entry if entry.current_txn_first_offset != -1 else entry._replace(current_txn_first_offset=None)
        for entry in found
    ]
