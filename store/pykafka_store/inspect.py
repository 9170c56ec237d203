"""Looking inside the files of a partition: segments, their indexes, and what else Kafka puts beside them.

Everything here reads files and nothing else: no lock is taken and nothing is changed, so a log may be looked at while
it is written. What is read is what was in the file when it was opened; the last batch may then be a partial one, which
is reported as such. One batch is in memory at a time.

Source of the rules: org.apache.kafka.tools.DumpLogSegments, and the classes it uses: FileLogInputStream, OffsetIndex,
TimeIndex, ProducerStateManager, TransactionIndex.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from types import TracebackType
from typing import NamedTuple, Self

from pykafka_store.errors import CorruptRecordError, UnsupportedCompressionError, UnsupportedVersionError
from pykafka_store.format import names
from pykafka_store.format.batch import HEADER, HEADER_SIZE, LOG_OVERHEAD, MAGIC, Batch, BatchHeader, decode_records
from pykafka_store.format.index import OFFSET_ENTRY, TIME_ENTRY, position_for_offset
from pykafka_store.format.snapshot import ProducerSnapshotEntry, snapshot_entries
from pykafka_store.format.transaction_index import AbortedTransaction, aborted_transactions
from pykafka_store.model import NO_SEQUENCE, NO_TIMESTAMP, Records

LOG_SUFFIX = names.LOG_SUFFIX
OFFSET_INDEX_SUFFIX = names.INDEX_SUFFIX
TIME_INDEX_SUFFIX = names.TIME_INDEX_SUFFIX
PRODUCER_SNAPSHOT_SUFFIX = names.SNAPSHOT_SUFFIX
TRANSACTION_INDEX_SUFFIX = names.TRANSACTION_INDEX_SUFFIX
METADATA_SNAPSHOT_SUFFIX = ".checkpoint"
"""A snapshot of the metadata log, which a controller writes; a directory of ours has none."""

_UP_TO_MAGIC = Struct(">qiib")
_SMALLEST_LEGACY_BATCH = 14
"""LegacyRecord.RECORD_OVERHEAD_V0: a batch length below this is no batch of any version."""
_MAX_INT = (1 << 31) - 1
_CHUNK = 1 << 16


def _is_unwritten(path: str) -> bool:
    """Whether a file that is missing is the first segment of a replica that never had a record."""
    from pykafka_store.format import state

    if os.path.basename(path) != f"{0:020d}{LOG_SUFFIX}":
        return False
    try:
        with open(os.path.join(os.path.dirname(path), state.FILE_NAME), "rb") as file:
            return state.parse_state(file.read()).log_end_offset == 0
    except (OSError, CorruptRecordError, UnsupportedVersionError):
        return False


def base_offset_of(path: str) -> int:
    """The offset that a segment's file name says. Raises CorruptRecordError for a name that says none."""
    stem = os.path.basename(path).split(".")[0]
    if not (stem.isascii() and stem.isdigit()):
        raise CorruptRecordError(f"{path}: the name does not begin with an offset, such as {0:020d}")
    return int(stem)


class SegmentFile:
    """A ``.log`` file, open for looking at. ``size`` is its length when it was opened. That of a partition that has no
    record yet is made with the first one: it counts as an empty one, as a broker has it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # and where it came with a first record just now, it is there
            self._fd = os.open(os.devnull if _is_unwritten(path) else path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, start: int = 0, end: int | None = None) -> Iterator[Batch]:
        """The batches that lie wholly between two positions of the file. Their CRCs are not checked.

        Stops before a partial batch: what is left between the end of the last one and ``end`` is no batch. Raises
        CorruptRecordError where a length is impossible, UnsupportedVersionError for message formats v0 and v1.
        """
        end = self.size if end is None else min(end, self.size)
        position = start
        while position < end - _UP_TO_MAGIC.size:
            header = self._header(position, end)
            if header is None or position + header.size > end:
                return
            data = self._read(header.size, position)
            if len(data) < header.size:
                return  # cut back, while we looked, by a writer that repairs a torn tail
            yield Batch(position, header, data)
            position += header.size

    def header_at(self, position: int, max_size: int | None = None) -> BatchHeader | None:
        """The header of the batch of at most ``max_size`` bytes that begins there; None if there is none.

        Raises as :meth:`batches`.
        """
        end = self.size if max_size is None else min(self.size, position + max_size)
        if position < 0 or position >= end - _UP_TO_MAGIC.size:
            return None
        return self._header(position, end)

    def _header(self, position: int, end: int) -> BatchHeader | None:
        raw = self._read(min(HEADER_SIZE, end - position), position)
        if len(raw) < _UP_TO_MAGIC.size:
            return None
        offset, length, _epoch, magic = _UP_TO_MAGIC.unpack_from(raw)
        if length < _SMALLEST_LEGACY_BATCH:
            raise CorruptRecordError(
                f"Found record size {length} smaller than minimum record overhead ({_SMALLEST_LEGACY_BATCH}) in file "
                f"{self.path}, at position {position}"
            )
        if position + LOG_OVERHEAD + length > end:
            return None
        if magic < 0:
            raise CorruptRecordError(
                f"{self.path}: the batch of offset {offset} at position {position} has the impossible magic "
                f"byte {magic}"
            )
        if magic < MAGIC:
            raise UnsupportedVersionError(
                f"{self.path}: the batch of offset {offset} at position {position} has message format v{magic}, which "
                "is older than this tool reads (v2)"
            )
        if LOG_OVERHEAD + length < HEADER_SIZE:
            raise CorruptRecordError(
                f"{self.path}: the batch of offset {offset} at position {position} has {LOG_OVERHEAD + length} bytes, "
                f"less than its header"
            )
        # Only what is needed to find the next batch was checked: the rest is to be shown as it is, be it wrong.
        return BatchHeader._make(HEADER.unpack(raw))

    def _read(self, size: int, position: int) -> bytes:
        return os.pread(self._fd, size, position)


def records_of(batch: Batch, path: str) -> Records:
    """The records of a batch. Raises CorruptRecordError, with file, position and offset, if they don't decode."""
    try:
        return decode_records(batch, path, -1)
    except (CorruptRecordError, UnsupportedCompressionError) as error:
        raise CorruptRecordError(
            f"{path}: the batch of offset {batch.header.base_offset} at position {batch.position} is damaged: {error}"
        ) from error


def sequence_at(header: BatchHeader, offset: int) -> int:
    """The producer's sequence number of the record at that offset; -1 in a batch without any.

    Sequence numbers start again at 0 after 2^31-1. Source: DefaultRecordBatch.incrementSequence.
    """
    if header.base_sequence == NO_SEQUENCE:
        return NO_SEQUENCE
    return (header.base_sequence + offset - header.base_offset) % (_MAX_INT + 1)


# -------------------------------------------------------------------------------------------------- control records

_CONTROL_KEY = Struct(">hh")
_END_TXN_MARKER = Struct(">hi")
_CONTROL_TYPES = (
    "ABORT",
    "COMMIT",
    "LEADER_CHANGE",
    "SNAPSHOT_HEADER",
    "SNAPSHOT_FOOTER",
    "KRAFT_VERSION",
    "KRAFT_VOTERS",
)


class ControlRecord(NamedTuple):
    """What a record of a control batch says. ``coordinator_epoch`` is there for COMMIT and ABORT only."""

    type_id: int
    type_name: str
    coordinator_epoch: int | None


def control_record(key: bytes | None, value: bytes | None) -> ControlRecord:
    """Read a record of a control batch. Raises CorruptRecordError.

    Source: org.apache.kafka.common.record.ControlRecordType and EndTransactionMarker.
    """
    if key is None or len(key) < _CONTROL_KEY.size:
        raise CorruptRecordError(f"a control record's key has {len(key or b'')} bytes, not {_CONTROL_KEY.size}")
    _version, type_id = _CONTROL_KEY.unpack_from(key)
    name = _CONTROL_TYPES[type_id] if 0 <= type_id < len(_CONTROL_TYPES) else "UNKNOWN"
    if name not in {"ABORT", "COMMIT"}:
        return ControlRecord(type_id, name, None)
    if value is None or len(value) < _END_TXN_MARKER.size:
        raise CorruptRecordError(
            f"a transaction marker's value has {len(value or b'')} bytes, not {_END_TXN_MARKER.size}"
        )
    _version, epoch = _END_TXN_MARKER.unpack_from(value)
    return ControlRecord(type_id, name, epoch)


# ---------------------------------------------------------------------------------------------------------- indexes


class OffsetIndexEntry(NamedTuple):
    """An entry of an ``.index``, and the last offset of the batch that really lies where it points."""

    offset: int
    position: int
    found_offset: int

    @property
    def is_right(self) -> bool:
        return self.found_offset == self.offset


class TimeIndexEntry(NamedTuple):
    """An entry of a ``.timeindex``, and what the log says.

    ``found_offset`` is the last offset of the first batch that ends at or after the entry's offset, -1 if there is
    none; ``found_timestamp`` is the largest timestamp in that batch, None if the batch is not the one the entry means.
    """

    timestamp: int
    offset: int
    found_offset: int
    found_timestamp: int | None


def offset_index(path: str, max_batch_size: int | None = None) -> Iterator[OffsetIndexEntry]:
    """The entries of an ``.index`` up to its preallocated zeros, each compared with the log beside it.

    Raises CorruptRecordError for an entry that points where no batch of at most ``max_batch_size`` bytes begins,
    OSError where a file is missing.
    """
    base_offset = base_offset_of(path)
    with SegmentFile(_beside(path, LOG_SUFFIX)) as segment:
        for number, (relative, position) in enumerate(_entries(path, OFFSET_ENTRY)):
            if number and relative == 0:
                return
            header = segment.header_at(position, max_batch_size)
            if header is None:
                raise CorruptRecordError(
                    f"{path}: entry {number} says that offset {base_offset + relative} lies at position {position}, "
                    f"but there is no batch"
                    + (f" of at most {max_batch_size} bytes" if max_batch_size is not None else "")
                    + f" in {segment.path}, which has {segment.size} bytes"
                )
            yield OffsetIndexEntry(base_offset + relative, position, header.last_offset)


def time_index(path: str) -> Iterator[TimeIndexEntry]:
    """The entries of a ``.timeindex`` up to its preallocated zeros, each compared with the log. Raises as above."""
    base_offset = base_offset_of(path)
    index_path = _beside(path, OFFSET_INDEX_SUFFIX)
    with SegmentFile(_beside(path, LOG_SUFFIX)) as segment, open(index_path, "rb", buffering=0) as index:
        index_count = os.fstat(index.fileno()).st_size // OFFSET_ENTRY.size

        def read_index(size: int, position: int) -> bytes:
            return os.pread(index.fileno(), size, position)

        for number, (timestamp, relative) in enumerate(_entries(path, TIME_ENTRY)):
            if number and relative == 0:
                return
            offset = base_offset + relative
            start = position_for_offset(read_index, index_count, base_offset, offset)
            batch = next((batch for batch in segment.batches(start) if batch.header.last_offset >= offset), None)
            if batch is None:
                yield TimeIndexEntry(timestamp, offset, -1, None)
            elif batch.header.last_offset != offset:
                yield TimeIndexEntry(timestamp, offset, batch.header.last_offset, None)
            else:
                newest = max(records_of(batch, segment.path).timestamps, default=NO_TIMESTAMP)
                yield TimeIndexEntry(timestamp, offset, offset, max(newest, NO_TIMESTAMP))


def check_company(path: str) -> None:
    """Raise FileNotFoundError where a file is missing that an index means nothing without."""
    os.stat(_beside(path, LOG_SUFFIX))
    if path.endswith(TIME_INDEX_SUFFIX):
        os.stat(_beside(path, OFFSET_INDEX_SUFFIX))


def index_is_empty(path: str) -> bool:
    """Whether an index has no whole entry."""
    return os.stat(path).st_size < _entry_of(path).size


def check_index(path: str) -> None:
    """The check by which a broker decides at its start whether an index must be rebuilt.

    Raises CorruptRecordError with Kafka's text (CorruptIndexException) if it fails. Source: OffsetIndex#sanityCheck and
    TimeIndex#sanityCheck.
    """
    base_offset, entry, size = base_offset_of(path), _entry_of(path), os.stat(path).st_size
    full_path = os.path.abspath(path)
    if size >= entry.size:
        with open(path, "rb") as file:
            first = entry.unpack(file.read(entry.size))
            file.seek((size // entry.size - 1) * entry.size)
            last = entry.unpack(file.read(entry.size))
        if entry is OFFSET_ENTRY and last[0] < 0:
            raise CorruptRecordError(
                f"Corrupt index found, index file {full_path} has non-zero size but the last offset is "
                f"{base_offset + last[0]} which is less than the base offset {base_offset}"
            )
        if entry is TIME_ENTRY and last[0] < first[0]:
            raise CorruptRecordError(
                f"Corrupt time index found, time index file ({full_path}) has non-zero size but the last timestamp is "
                f"{last[0]} which is less than the first timestamp {first[0]}"
            )
        if entry is TIME_ENTRY and last[1] < 0:
            raise CorruptRecordError(
                f"Corrupt time index found, time index file ({full_path}) has non-zero size but the last offset is "
                f"{base_offset + last[1]} which is less than the first offset {base_offset}"
            )
    if size % entry.size:
        kind = "Index" if entry is OFFSET_ENTRY else "Time index"
        raise CorruptRecordError(
            f"{kind} file {full_path} is corrupt, found {size} bytes which is neither positive nor a multiple of "
            f"{entry.size}"
        )


def _entry_of(path: str) -> Struct:
    return OFFSET_ENTRY if path.endswith(OFFSET_INDEX_SUFFIX) else TIME_ENTRY


def _entries(path: str, entry: Struct) -> Iterator[tuple[int, int]]:
    """All whole entries of an index, preallocated zeros included, with a small piece of the file in memory."""
    with open(path, "rb", buffering=0) as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            data = rest + chunk
            whole = len(data) - len(data) % entry.size
            yield from entry.iter_unpack(data[:whole])
            rest = data[whole:]


def _beside(path: str, suffix: str) -> str:
    """The file of the same segment with another suffix."""
    directory, name = os.path.split(path)
    return os.path.join(directory, name.split(".")[0] + suffix)


# -------------------------------------------------------------------------------------- producer and transaction state


def producer_snapshot(path: str) -> list[ProducerSnapshotEntry]:
    """The entries of a producer ``.snapshot``. Raises CorruptRecordError with Kafka's text."""
    with open(path, "rb") as file:
        return snapshot_entries(file.read(), path)


def transaction_index(path: str) -> Iterator[AbortedTransaction]:
    """The entries of a ``.txnindex``. Raises CorruptRecordError for one of another version, or a partial one."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        yield from aborted_transactions(data)
    except CorruptRecordError as error:
        raise CorruptRecordError(f"{path}: {error}") from error
