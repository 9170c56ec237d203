"""A walk over the headers of a log: every batch in its place, by few reads where batches are small, and by short ones
where they are large.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.open_file import OpenFile
from pykafka_store.format.batch import HEADER_SIZE, encode_batch

SMALL, LARGE = [b"x"], [bytes(500)] * 100


class CountingDisk(Disk):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    def read_at(self, descriptor: int, count: int, position: int, path: str) -> bytes:
        data = super().read_at(descriptor, count, position, path)
        self.reads.append(len(data))
        return data


class Log:
    """A file of batches with these records."""

    def __init__(self, path: Path, batches: list[list[bytes]]) -> None:
        self.positions, self.end, self.offset, data = [], 0, 0, b""
        for records in batches:
            placed = b"".join(encode_batch(records, timestamps=1).placed(self.offset, 0))
            self.positions.append((self.end, self.offset))
            self.end += len(placed)
            self.offset += len(records)
            data += placed
        path.write_bytes(data)
        self.disk = CountingDisk()
        self.file = OpenFile(self.disk, str(path))

    def walk(self, position: int = 0, expected: int = 0, end: int | None = None) -> list[tuple[int, int]]:
        found = self.file.headers(self.end if end is None else end, expected, gaps=False, position=position)
        return [(at, header.base_offset) for at, header in found]


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[Log]:
    chance = random.Random(4)
    log = Log(tmp_path / "log", [chance.choice([SMALL, SMALL, [bytes(3000)], LARGE]) for _ in range(600)])
    with log.file:
        yield log


def test_each_batch_is_found_wherever_the_walk_begins_and_ends(mixed: Log) -> None:
    assert mixed.walk() == mixed.positions
    for number in range(0, 600, 37):
        position, offset = mixed.positions[number]
        assert mixed.walk(position, offset) == mixed.positions[number:]
        assert mixed.walk(end=position) == mixed.positions[:number]
        assert mixed.walk(end=position + HEADER_SIZE) == mixed.positions[:number]


def test_small_batches_take_few_reads(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [SMALL] * 2000)
    with log.file:
        assert log.walk() == log.positions
    assert len(log.disk.reads) < 20


def test_of_large_batches_only_the_headers_are_read(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [LARGE] * 50)
    with log.file:
        assert log.walk() == log.positions
    assert log.disk.reads == [HEADER_SIZE] * 50
