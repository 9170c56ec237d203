"""An open file of a segment, and walking through the batches of a log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from struct import error as StructError
from types import TracebackType
from typing import Self

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.batch import HEADER_SIZE, Batch, BatchHeader, parse_header, split_batches
from pykafka_store.format.state import PublishedState

READ_SIZE = 1 << 20
"""Bytes that are read of a log at a time."""
_AHEAD = 1 << 14
"""Bytes that are read for headers where more than a few are in them."""


class OpenFile:
    """A file that was opened under ``path``; it stays readable whatever becomes of the name. Leaving the context closes
    it.

    All methods raise StorageError, naming the path.
    """

    __slots__ = ("_descriptor", "_disk", "path")

    def __init__(self, disk: Disk, path: str, flags: int = os.O_RDONLY) -> None:
        """Raises FileNotFoundError, StorageError."""
        self._disk = disk
        self.path = path
        self._descriptor = disk.open(path, flags)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._disk.close(self._descriptor)

    def is_in_place(self) -> bool:
        """Whether the path still names this file: another one may have been renamed over it."""
        return self._disk.is_at(self._descriptor, self.path)

    def size(self) -> int:
        """In bytes, as of now."""
        return self._disk.size(self._descriptor)

    def read_at(self, count: int, position: int) -> bytes:
        """Up to ``count`` bytes; fewer only at the file's end."""
        return self._disk.read_at(self._descriptor, count, position, self.path)

    def send_to(self, socket: int, position: int, count: int) -> int:
        """Send bytes to a socket without reading them here (sendfile); how many it took. Raises BlockingIOError where
        it takes none now, and OSError for what is wrong with the socket.
        """
        return self._disk.send(self._descriptor, socket, position, count)

    def write_at(self, pieces: Sequence[bytes | memoryview], position: int) -> None:
        self._disk.write_at(self._descriptor, pieces, position, self.path)

    def truncate(self, size: int) -> None:
        self._disk.truncate(self._descriptor, size, self.path)

    def sync(self) -> None:
        """Bring the file's bytes to the disk itself."""
        self._disk.sync(self._descriptor, self.path)

    # ------------------------------------------------------------------------------------------- of a segment's log

    def batches(self, position: int, end: int, size: int = READ_SIZE) -> list[Batch]:
        """Whole batches from ``position`` on, about ``size`` bytes of them but at least one; none only at ``end``.

        Raises CorruptRecordError or UnsupportedVersionError, with the file and position, where the first bytes are no
        batch or one that does not end by ``end``; what is wrong behind good batches is for the next read. No CRC is
        checked here.
        """
        if position >= end:
            return []
        data = self.read_at(min(max(size, HEADER_SIZE), end - position), position)
        batches: list[Batch] = []
        try:
            for batch in split_batches(data, position):
                batches.append(batch)
            # If there is none, the first batch is larger than what was read: its header says how large.
            needed = 0 if batches else parse_header(data).size
        except StructError:
            raise damaged(self.path, position, f"{len(data)} bytes are no batch") from None
        except CorruptRecordError as error:
            if not batches:
                raise damaged(self.path, position, str(error)) from error
        except UnsupportedVersionError as error:
            if not batches:
                raise UnsupportedVersionError(f"{self.path} at byte {position}: {error}") from error
        if batches:
            return batches
        if needed > end - position:
            raise damaged(self.path, position, f"a batch of {needed} bytes, and {end - position} are left")
        data = self.read_at(needed, position)
        batches = list(split_batches(data, position))
        if not batches:
            raise damaged(self.path, position, f"a batch of {needed} bytes, and the file ends after {len(data)}")
        return batches

    def headers(self, end: int, expected: int, gaps: bool, position: int = 0) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of the batches from ``position``, where offset ``expected`` begins, to ``end``, as far as
        their offsets follow one on the other. No CRC is checked.
        """
        data, start, count = b"", position, HEADER_SIZE
        while position < end:
            if position - start + HEADER_SIZE > len(data):
                data, start = self.read_at(count, position), position
            try:
                header = parse_header(data, position - start)
            except (StructError, CorruptRecordError, UnsupportedVersionError):
                return
            if not follows(header, expected, gaps) or position + header.size > end:
                return
            yield position, header
            position, expected = position + header.size, header.last_offset + 1
            # Of small batches many are read at once; of large ones only the headers.
            count = _AHEAD if header.size < _AHEAD // 8 else HEADER_SIZE

    def valid_batches(self, position: int, end: int, expected: int, gaps: bool) -> Iterator[Batch]:
        """Whole batches whose CRC checks and whose offsets go on from ``expected``, up to the first that is not such a
        one, however it is broken. For recovery.
        """
        while position < end:
            data = self.read_at(min(READ_SIZE, end - position), position)
            try:
                if len(data) >= HEADER_SIZE and (size := parse_header(data).size) > len(data):
                    if size > end - position:
                        return
                    data = self.read_at(size, position)
                before = position
                for batch in split_batches(data, position):
                    if not batch.is_valid or not follows(batch.header, expected, gaps):
                        return
                    expected = batch.header.last_offset + 1
                    position += batch.header.size
                    yield batch
            except (StructError, CorruptRecordError, UnsupportedVersionError):
                return
            if position == before:
                return


def follows(header: BatchHeader, expected: int, gaps: bool) -> bool:
    """Whether a batch may stand where offset ``expected`` is next; with ``gaps`` it may also begin later.

    The CRC does not cover the base offset: this is what tells a damaged one.
    """
    return header.base_offset == expected or (gaps and header.base_offset > expected)


def claims_too_much(header: BatchHeader, state: PublishedState) -> str:
    """What is wrong with a batch that says it has offsets which are not its own; empty for one that does not.

    Whoever believed one would go on behind them: over records of others, or beyond the log's end, from where a
    consumer begins anew and meets it again and again.
    """
    if header.last_offset >= state.log_end_offset > header.base_offset:
        return (
            f"the batch at offset {header.base_offset} says that it ends at {header.last_offset}, and the log ends at "
            f"{state.log_end_offset}"
        )
    if header.record_count <= header.last_offset_delta and not state.has_gaps:
        return (
            f"the batch at offset {header.base_offset} has {header.record_count} records and says that it ends at "
            f"{header.last_offset}"
        )
    return ""


def damaged(path: str, position: int, what: str) -> CorruptRecordError:
    return CorruptRecordError(f"{path} is damaged at byte {position}: {what}")
