"""The published state of a partition: one fixed record beside its log, in the file ``published-state``.

It is what readers look at and the last thing an append writes, so that a reader never sees bytes that are not whole,
and the end offset, the lag and "is there anything new?" are one pread. Big-endian::

    off len
      0   4  magic "PKST"
      4   2  version = 1
      6   2  flags: bit 0 the partition was deleted; bit 1 offsets have gaps, for compaction has been here
      8  16  topic id
     24  16  boot id of the kernel under which this was written
     40   8  log start offset
     48   8  log end offset: the next append's first offset
     56   8  high watermark: readers stop here
     64   8  base offset of the active segment
     72   8  end position: bytes of the active segment that count
     80   8  synced position: bytes of the active segment known to be on the disk itself
     88   8  position of the last indexed batch of the active segment
     96   4  entries in the active .index that count
    100   4  entries in the active .timeindex that count
    104   8  first timestamp of the active segment (-1 while it is empty)
    112   8  largest timestamp of the active segment (-1 while it is empty)
    120   8  last offset of the batch that holds it
    128   8  recovery point: the offset up to which records are known to be on the disk itself
    136   8  when that was last so, in ms
    144   4  leader epoch
    148   4  CRC-32C of bytes 0-147
"""

from struct import Struct
from typing import NamedTuple

from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.crc32c import crc32c

FILE_NAME = "published-state"
MAGIC = b"PKST"
VERSION = 1
_FIELDS = Struct(">4sHH16s16sqqqqqqqiiqqqqqi")
SIZE = 152
DELETED = 1
COMPACTED = 2

assert _FIELDS.size + 4 == SIZE


class PublishedState(NamedTuple):
    """The fields of the record, in file order, without magic, version and CRC."""

    flags: int
    topic_id: bytes
    boot_id: bytes
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    active_base_offset: int
    end_position: int
    synced_position: int
    indexed_position: int
    index_entries: int
    time_index_entries: int
    first_timestamp: int
    max_timestamp: int
    max_timestamp_offset: int
    recovery_point: int
    synced_at: int
    leader_epoch: int

    @property
    def deleted(self) -> bool:
        return bool(self.flags & DELETED)

    @property
    def has_gaps(self) -> bool:
        """Whether offsets may be missing between batches; in any other log a gap is damage."""
        return bool(self.flags & COMPACTED)


def empty_state(topic_id: bytes, boot_id: bytes, *, offset: int = 0, leader_epoch: int = 0) -> PublishedState:
    """The state of a partition that holds nothing and whose next record gets ``offset``."""
    return PublishedState(
        flags=0,
        topic_id=topic_id,
        boot_id=boot_id,
        log_start_offset=offset,
        log_end_offset=offset,
        high_watermark=offset,
        active_base_offset=offset,
        end_position=0,
        synced_position=0,
        indexed_position=0,
        index_entries=0,
        time_index_entries=0,
        first_timestamp=-1,
        max_timestamp=-1,
        max_timestamp_offset=-1,
        recovery_point=offset,
        synced_at=0,
        leader_epoch=leader_epoch,
    )


def pack_state(state: PublishedState) -> bytes:
    fields = _FIELDS.pack(MAGIC, VERSION, *state)
    return fields + crc32c(fields).to_bytes(4, "big")


def parse_state(data: bytes) -> PublishedState:
    """Raises CorruptRecordError for bytes that do not check, UnsupportedVersionError for a version we do not know."""
    if len(data) < SIZE or data[:4] != MAGIC:
        raise CorruptRecordError(f"{len(data)} bytes are no published state")
    _, version, *fields = _FIELDS.unpack_from(data)
    if crc32c(data[: SIZE - 4]) != int.from_bytes(data[SIZE - 4 : SIZE], "big"):
        raise CorruptRecordError("the published state does not check")
    if version != VERSION:
        raise UnsupportedVersionError(f"published state of version {version}, this tool knows {VERSION}")
    return PublishedState._make(fields)
