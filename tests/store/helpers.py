"""One partition without a cluster around it: its directory, its writers, its readers, and its records as rows."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.catalog_rows import PartitionRow, ReplicaRow
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.new_replica import create_replica
from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.partitions import HostedPartition
from pykafka_store.embedded.replication.writer import Appended, PartitionWriter
from pykafka_store.format import state as states
from pykafka_store.format.batch import EncodedBatch, decode_records, encode_batch
from pykafka_store.format.state import PublishedState, pack_state, parse_state
from pykafka_store.model import Header, Records, TopicPartition
from pykafka_store.settings.configs import TopicConfig

TOPIC_ID = "0123456789abcdefghijkA"
BOOT = b"this boot, still"
OTHER_BOOT = b"the boot before "
TOPIC = "orders"

AT_ONCE = {"linger.ms": "0"}
"""Settings of a producer that appends what it is sent before ``send`` returns."""


class Row(NamedTuple):
    """One record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


def rows(runs: Iterable[Records]) -> list[Row]:
    return [
        Row(*fields)
        for records in runs
        for fields in zip(
            records.offsets, records.timestamps, records.keys, records.values, map(tuple, records.headers), strict=True
        )
    ]


class QuickDisk(Disk):
    """A disk that syncs nothing: for thousands of reopenings in a test that cuts no power."""

    def sync(self, descriptor: int, path: str = "") -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass


class OneReplica(HostedPartition):
    """A partition that has one replica, without a catalogue."""

    def __init__(self, log: Log, engine: Engine) -> None:
        super().__init__(engine, TOPIC_ID, TopicPartition(TOPIC, 0))
        self._log = log

    def current(self) -> tuple[PartitionRow, TopicConfig]:
        return PartitionRow(0, 0, 0, (ReplicaRow(0),)), self._log.config

    def directory(self, broker: int) -> str:
        return self._log.directory

    def replica_at(self, directory: str) -> ReplicaLog:
        return ReplicaLog(self.engine.disk, directory, self.label, TOPIC_ID, self._log.boot)

    def trouble(self, broker: int, *, probe: bool = True) -> str | None:
        return None

    def change(self, row: PartitionRow) -> None:
        raise AssertionError(f"the only replica is left behind: {row}")

    def notice(self, line: str) -> None:
        raise AssertionError(line)


class PlainWriter(PartitionWriter):
    """A writer that appends and no more: what is due after a segment was rolled is left to the test."""

    def _run_upkeep(self) -> None:
        pass

    def _bring_back(self) -> None:
        pass


class Log:
    """A partition's directory."""

    def __init__(self, root: Path, disk: Disk | None = None, *, boot: bytes = BOOT, **configs: str) -> None:
        """``configs`` are topic settings with ``_`` for ``.``; settings named so are passed on as they are."""
        self._root = str(root)
        self.directory = str(root / f"{TOPIC}-0")
        self.disk = disk or QuickDisk()
        self.boot = boot
        self.config = TopicConfig.of({name.replace("_", "."): value for name, value in configs.items()})
        os.makedirs(root / "locks", exist_ok=True)
        self._locks = Locks(str(root / "locks"), Disk(), Clock())
        weakref.finalize(self, self._locks.close)

    def create(self) -> Log:
        create_replica(self.disk, self.directory, TOPIC_ID, self.boot)
        return self

    def partition(self, disk: Disk | None = None, clock: Clock | None = None) -> OneReplica:
        catalog = cast("Catalog", None)  # OneReplica answers for it
        clock = clock or Clock()
        return OneReplica(self, Engine(self._root, disk or self.disk, clock, self._locks, catalog, read_only=False))

    def writer(self, disk: Disk | None = None) -> PartitionWriter:
        return PlainWriter(self.partition(disk))

    def append(self, *batches: EncodedBatch, disk: Disk | None = None) -> Appended:
        """By a writer that is made for it and closed again."""
        writer = self.writer(disk)
        try:
            return writer.append(batches)
        finally:
            writer.close()

    def reader(self, disk: Disk | None = None) -> LogReader:
        return LogReader(disk or self.disk, self.directory, TOPIC, 0, TOPIC_ID, self.boot)

    def state(self) -> PublishedState:
        """As a reader sees it."""
        reader = self.reader()
        try:
            return reader.state()
        finally:
            reader.close()

    def read(self, offset: int | None = None, size: int = 1 << 20) -> list[Row]:
        """Everything from an offset (the log's start) to the high watermark, by a reader that is made for it."""
        reader = self.reader()
        found: list[Row] = []
        try:
            at = reader.state().log_start_offset if offset is None else offset
            while batches := reader.read(at, size):
                found += (row for row in rows(map(reader_decode, batches)) if row.offset >= at)
                at = batches[-1].header.last_offset + 1
            return found
        finally:
            reader.close()

    # ------------------------------------------------------------------------------------------------- the bare files

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def files(self) -> dict[str, bytes]:
        found = {}
        for name in sorted(os.listdir(self.directory)):
            with open(self.path(name), "rb") as file:
                found[name] = file.read()
        return found

    def restore(self, files: dict[str, bytes]) -> None:
        """Make the directory exactly these files."""
        os.makedirs(self.directory, exist_ok=True)
        for name in set(os.listdir(self.directory)) - set(files):
            os.unlink(self.path(name))
        for name, data in files.items():
            with open(self.path(name), "wb") as file:
                file.write(data)


def reader_decode(batch: object) -> Records:
    return decode_records(batch, TOPIC, 0)  # type: ignore[arg-type]


def of_another_boot(state: bytes, **fields: object) -> bytes:
    """The published state as a kernel that has gone down since wrote it."""
    return pack_state(parse_state(state)._replace(**{"boot_id": OTHER_BOOT, **fields}))  # type: ignore[arg-type]


STATE = states.FILE_NAME


def batch(
    *values: bytes | None,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Sequence[Header]] | None = None,
    at: Sequence[int] | int = 1000,
    codec: int = 0,
) -> EncodedBatch:
    return encode_batch(values, keys=keys, headers=headers, timestamps=at, codec=codec)
