"""Batches that come as bytes, from a client of Kafka's protocol, and go into a log as they are."""

from __future__ import annotations

from collections.abc import Sequence
from struct import error as StructError

from pykafka_store.errors import CorruptRecordError, InvalidRecordError
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import (
    CRC_START,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    PREFIX,
    PREFIX_SIZE,
    TIMESTAMP_TYPE_BIT,
    Batch,
    BatchHeader,
    crc_of,
    parse_header,
)
from pykafka_store.format.crc32c import crc32c


class RawBatch:
    """One batch as a client sent it; see :class:`pykafka_store.format.batch.LogBatch`."""

    __slots__ = ("append_time", "data", "header", "max_timestamp", "record_count")

    def __init__(self, data: bytes, header: BatchHeader) -> None:
        """``data``: the whole batch; see ``parse_raw_batch``."""
        self.data = data
        self.header = header
        self.record_count = header.record_count
        self.max_timestamp = header.max_timestamp
        self.append_time = -1
        """What ``stamped`` was last told, in ms; -1 before that."""

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def batch(self) -> Batch:
        """The same for whoever decodes its records."""
        return Batch(0, self.header, self.data)

    def stamped(self, append_time: int) -> RawBatch:
        """See :meth:`LogBatch.stamped`. The answer to a producer has the time, so it is kept here, too."""
        self.append_time = append_time
        header = self.header._replace(attributes=self.header.attributes | TIMESTAMP_TYPE_BIT, max_timestamp=append_time)
        return _summed(header, self.data[HEADER_SIZE:])

    def placed(self, base_offset: int, leader_epoch: int) -> Sequence[bytes | memoryview]:
        """See :meth:`LogBatch.placed`."""
        prefix = PREFIX.pack(base_offset, self.header.length, leader_epoch)
        return prefix, memoryview(self.data)[PREFIX_SIZE:]

    def recompressed(self, codec: int, level: int | None) -> RawBatch:
        """The same records under another codec. Raises CorruptRecordError."""
        header = self.header
        payload = codecs.decompress(header.codec, self.data[HEADER_SIZE:])
        attributes = header.attributes & ~codecs.CODEC_MASK | codec
        return _summed(header._replace(attributes=attributes), codecs.compress(codec, payload, level))


def _summed(header: BatchHeader, payload: bytes) -> RawBatch:
    """A batch with another header or other bytes, and the CRC of these."""
    length = HEADER_SIZE - LOG_OVERHEAD + len(payload)
    packed = HEADER.pack(*header._replace(length=length))
    header = header._replace(length=length, crc=crc32c(payload, crc32c(packed[CRC_START:])))
    return RawBatch(HEADER.pack(*header) + payload, header)


def parse_raw_batch(data: bytes) -> RawBatch:
    """The one batch that ``data`` is, checked as far as that goes without its records.

    Raises CorruptRecordError for bytes that are no batch or whose CRC is wrong, UnsupportedVersionError for magic 0 or
    1, InvalidRecordError for a batch that no producer may send. Sources: LogValidator.validateBatch,
    ProduceRequest.validateRecords (one batch a partition), UnifiedLog.analyzeAndValidateRecords.
    """
    try:
        header = parse_header(data)
    except StructError:
        raise CorruptRecordError(f"{len(data)} bytes are no record batch") from None
    if header.size < len(data):
        raise InvalidRecordError("Produce requests must contain exactly one record batch for each partition")
    if header.size > len(data):
        raise CorruptRecordError(f"a batch of {header.size} bytes, and {len(data)} came")
    if crc_of(data) != header.crc:
        raise CorruptRecordError("Record is corrupt: the CRC of the batch is wrong")
    count = header.record_count
    if count <= 0 or header.last_offset_delta + 1 != count:
        raise InvalidRecordError(f"Batch has {count} records and offsets 0 to {header.last_offset_delta}")
    if header.is_control:
        raise InvalidRecordError("Clients are not allowed to write control records")
    if header.producer_id >= 0 and (header.producer_epoch < 0 or header.base_sequence < 0):
        raise InvalidRecordError("Batch has a producer id, and no producer epoch or sequence")
    if header.codec >= len(codecs.NAMES):
        raise CorruptRecordError(f"Unknown compression type id: {header.codec}")
    return RawBatch(data, header)
