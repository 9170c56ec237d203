"""What the log's writer, recovery and readers share about segments: which there are, and walking through one.

A partition's log is a row of segments, each named by the offset of its first record. All but the last are sealed: never
written again, synced before the next was created.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import error as StructError

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.batch import HEADER_SIZE, LOG_OVERHEAD, Batch, BatchHeader, parse_header, split_batches
from pykafka_store.format.names import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, segment_base_offset, segment_file

SEGMENT_SUFFIXES = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX)
READ_SIZE = 1 << 20


def list_segments(disk: Disk, directory: str) -> list[int]:
    """Base offsets of the segments there, in order. Raises FileNotFoundError if the directory is gone."""
    found = (segment_base_offset(name) for name in disk.list(directory))
    return sorted(base for base in found if base is not None)


def segment_path(directory: str, base_offset: int, suffix: str = LOG_SUFFIX) -> str:
    return os.path.join(directory, segment_file(base_offset, suffix))


def read_batches(disk: Disk, descriptor: int, path: str, position: int, end: int, size: int = READ_SIZE) -> list[Batch]:
    """Whole batches from ``position`` on, about ``size`` bytes of them but at least one; none only at ``end``.

    Raises CorruptRecordError or UnsupportedVersionError, with the file and position, where the first bytes are no batch
    or one that does not end by ``end``; what is wrong behind good batches is for the next read. No CRC is checked here.
    """
    if position >= end:
        return []
    data = disk.read_at(descriptor, min(max(size, HEADER_SIZE), end - position), position, path)
    batches: list[Batch] = []
    try:
        for batch in split_batches(data, position):
            batches.append(batch)
        # If there is none, the first batch is larger than what was read: its header says how large.
        needed = 0 if batches else parse_header(data).size
    except StructError:
        raise damaged(path, position, f"{len(data)} bytes are no batch") from None
    except CorruptRecordError as error:
        if not batches:
            raise damaged(path, position, str(error)) from error
    except UnsupportedVersionError as error:
        if not batches:
            raise UnsupportedVersionError(f"{path} at byte {position}: {error}") from error
    if batches:
        return batches
    if needed > end - position:
        raise damaged(path, position, f"a batch of {needed} bytes, and {end - position} are left")
    data = disk.read_at(descriptor, needed, position, path)
    batches = list(split_batches(data, position))
    if not batches:
        raise damaged(path, position, f"a batch of {needed} bytes, and the file ends after {len(data)}")
    return batches


def follows(header: BatchHeader, expected: int, gaps: bool) -> bool:
    """Whether a batch may stand where offset ``expected`` is next; with ``gaps`` it may also begin later.

    The CRC does not cover the base offset: this is what tells a damaged one.
    """
    return header.base_offset == expected or (gaps and header.base_offset > expected)


def walk_headers(
    disk: Disk, descriptor: int, path: str, end: int, expected: int, gaps: bool
) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of the batches from a segment's beginning to ``end``, as far as their offsets follow. No CRC
    is checked.
    """
    position = 0
    while position < end:
        try:
            header = parse_header(disk.read_at(descriptor, HEADER_SIZE, position, path))
        except (StructError, CorruptRecordError, UnsupportedVersionError):
            return
        if not follows(header, expected, gaps) or position + header.size > end:
            return
        yield position, header
        position, expected = position + header.size, header.last_offset + 1


def walk_valid(
    disk: Disk, descriptor: int, path: str, position: int, end: int, expected: int, gaps: bool
) -> Iterator[Batch]:
    """Whole batches whose CRC checks and whose offsets go on from ``expected``, up to the first that is not, however
    it is broken. For recovery.
    """
    while position < end:
        data = disk.read_at(descriptor, min(READ_SIZE, end - position), position, path)
        try:
            if len(data) >= HEADER_SIZE and (size := parse_header(data).size) > len(data):
                if size > end - position:
                    return
                data = disk.read_at(descriptor, size, position, path)
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


def damaged(path: str, position: int, what: str) -> CorruptRecordError:
    return CorruptRecordError(f"{path} is damaged at byte {position}: {what}")


__all__ = [
    "HEADER_SIZE",
    "LOG_OVERHEAD",
    "READ_SIZE",
    "SEGMENT_SUFFIXES",
    "damaged",
    "follows",
    "list_segments",
    "read_batches",
    "segment_path",
    "walk_headers",
    "walk_valid",
]
