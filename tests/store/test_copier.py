"""The producer of copies: what it says is synced is on the disks of every replica in sync."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pykafka_store.embedded.clients import producer
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import StorageError
from pykafka_store.format.state import parse_state
from pykafka_store.model import Records, TopicPartition
from tests.store.test_replication import Three

NOW = 1_700_000_000_000


def one(partition: int, value: bytes = b"v") -> Records:
    return Records("s", partition, offsets=[0], timestamps=[NOW], keys=[None], values=[value], headers=[()])


class SyncingDisk(Disk):
    """Writes down which files were synced, and which were written to since; those in ``broken`` can't be synced."""

    def __init__(self) -> None:
        self.unsynced: set[str] = set()
        self.broken = ""

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        self.unsynced.add(path)
        return super().write_at(descriptor, pieces, position, path)

    def sync(self, descriptor: int, path: str = "") -> None:
        if self.broken and self.broken in path:
            raise StorageError(f"{path}: Input/output error")
        super().sync(descriptor, path)
        self.unsynced.discard(path)

    def unsynced_logs(self) -> list[str]:
        return sorted(path for path in self.unsynced if path.endswith(".log"))


@pytest.mark.parametrize("open_partitions", [1, 2, 100])
def test_what_was_evicted_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_partitions: int) -> None:
    monkeypatch.setattr(producer, "OPEN_PARTITIONS", open_partitions)
    disk = SyncingDisk()
    with EmbeddedCluster(str(tmp_path / "d"), disk=disk) as cluster:
        cluster.admin().create_topic("t", partitions=5)
        with cluster.copier({}) as copier:
            for number in range(5):
                copier.copy(one(number), TopicPartition("t", number), f"s-{number}")
            assert len(disk.unsynced_logs()) == 5
            copier.sync()
            assert disk.unsynced_logs() == []
            for number in range(5):
                directory = tmp_path / "d" / "brokers" / "0" / f"t-{number}"
                assert parse_state((directory / "published-state").read_bytes()).recovery_point == 1


def test_only_what_was_appended_to_since_is_synced(tmp_path: Path) -> None:
    """A sync costs milliseconds; a mirror of many partitions that copies to one of them is not to pay for all."""
    disk = SyncingDisk()
    with EmbeddedCluster(str(tmp_path / "d"), disk=disk) as cluster:
        cluster.admin().create_topic("t", partitions=2)
        with cluster.copier({}) as copier:
            for number in range(2):
                copier.copy(one(number), TopicPartition("t", number), f"s-{number}")
            copier.sync()
            copier.copy(one(0), TopicPartition("t", 0), "s-0")
            disk.broken = "/t-1/"
            copier.sync()
            assert disk.unsynced_logs() == []


def test_a_topic_that_was_deleted_needs_no_sync(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        for name in ("t", "u"):
            cluster.admin().create_topic(name)
        with cluster.copier({}) as copier:
            for name in ("t", "u"):
                copier.copy(one(0), TopicPartition(name, 0), "s-0")
            cluster.admin().delete_topic("t")
            copier.sync()
        state = tmp_path / "d" / "brokers" / "0" / "u-0" / "published-state"
        assert parse_state(state.read_bytes()).recovery_point == 1


@pytest.mark.parametrize("broken", [1, 0])
def test_a_replica_that_cannot_be_synced_is_left_behind(tmp_path: Path, broken: int) -> None:
    """As one that can't be appended to: the others have all that it has."""
    disk = SyncingDisk()
    three = Three(tmp_path, disk)
    notices: list[str] = []
    try:
        with three.cluster.copier({}, on_notice=notices.append) as copier:
            copier.copy(one(0), TopicPartition("t", 0), "s-0")
            disk.broken = f"brokers/{broken}/"
            copier.sync()
            stay = [number for number in range(3) if number != broken]
            assert list(three.row().isr) == stay
            assert three.row().leader == stay[0]
            assert [path for path in disk.unsynced_logs() if disk.broken not in path] == []
            for number in stay:
                assert three.state(number).recovery_point == 1
            assert "Input/output error" in notices[0]
        assert three.read() == [b"v"]
    finally:
        three.close()


def test_no_replica_that_can_be_synced_is_an_error(tmp_path: Path) -> None:
    disk = SyncingDisk()
    three = Three(tmp_path, disk)
    try:
        with three.cluster.copier({}) as copier:
            copier.copy(one(0), TopicPartition("t", 0), "s-0")
            disk.broken = "brokers/"
            with pytest.raises(StorageError, match="Input/output error"):
                copier.sync()
            assert three.row().isr == (0, 1, 2)
            disk.broken = ""
            copier.sync()
            assert disk.unsynced_logs() == []
    finally:
        three.close()
