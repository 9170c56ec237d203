"""Who may write to a shared data directory can't have others write to what is theirs: no link that lies there is
written through, whatever its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.repair import check_and_repair
from pykafka_store.errors import StorageError, StoreError
from pykafka_store.model import TopicPartition

PRECIOUS = b"not to be touched"
T = TopicPartition("t", 0)
REPLICA = "brokers/0/t-0"


def _everything(directory: str) -> None:
    """All that is written in a data directory, as far as it goes: what fails for a link fails, and nothing else."""
    steps: list[Callable[[EmbeddedCluster], object]] = [
        lambda cluster: cluster.admin().create_topic(
            "t", replication_factor=len(cluster.brokers()), configs={"segment.ms": "1", "cleanup.policy": "compact"}
        ),
        lambda cluster: _send(cluster, at=1),
        lambda cluster: _send(cluster, at=1_000_000),
        lambda cluster: cluster.admin().alter_group_offsets("g", {T: 1}),
        _read_in_a_group,
        lambda cluster: cluster.maintain(),
        lambda cluster: cluster.add_broker(),
        lambda cluster: cluster.stop_broker(0),
        lambda cluster: _send(cluster, at=2_000_000),
        lambda cluster: cluster.start_broker(0),
        lambda cluster: cluster.maintain(),
    ]
    for step in steps:
        with suppress(StoreError), EmbeddedCluster(directory) as cluster:
            step(cluster)
    with suppress(StoreError):
        check_and_repair(directory, None, None)


def _send(cluster: EmbeddedCluster, at: int) -> None:
    with cluster.producer({"retries": "0"}) as producer:
        producer.send("t", [b"a", b"b"], keys=[b"k", b"k"], timestamps=at)


def _read_in_a_group(cluster: EmbeddedCluster) -> None:
    with cluster.consumer({"group.id": "h"}) as consumer:
        consumer.subscribe(["t"])
        consumer.poll()
        consumer.commit()


_AT_FIRST = [
    "metadata.db",
    "metadata.db-wal",
    "metadata.db-shm",
    "metadata.db-journal",
    "metadata.db-reserve",
    "groups.db",
    "groups.db-wal",
    "groups.db-shm",
    "groups.db-journal",
    "meta.properties.tmp",
    "locks/cluster.lock",
]
_LATER = [
    "metadata.db-wal",
    "metadata.db-shm",
    "metadata.db-reserve",
    "groups.db",
    "groups.db-wal",
    "brokers/2/meta.properties.tmp",
    f"{REPLICA}/published-state",
    f"{REPLICA}/leader-epoch-checkpoint.tmp",
    f"{REPLICA}/cleaner-offset-checkpoint.tmp",
    f"{REPLICA}/partition.metadata",
    *(f"{REPLICA}/{base:020d}{suffix}" for base in (2, 4) for suffix in (".log", ".index", ".timeindex")),
    *(f"{REPLICA}/{0:020d}{suffix}.cleaned" for suffix in (".log", ".index", ".timeindex")),
    *(f"{REPLICA}/{0:020d}{suffix}.deleted" for suffix in (".log", ".index", ".timeindex")),
]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("name", "later"), [*((name, False) for name in _AT_FIRST), *((name, True) for name in _LATER)]
)
def test_no_link_is_written_through(tmp_path: Path, name: str, later: bool, there: bool) -> None:
    victim = tmp_path / "victim"
    if there:
        victim.write_bytes(PRECIOUS)
        os.utime(victim, (1, 1))
    directory = tmp_path / "d"
    if later:
        with EmbeddedCluster(str(directory)) as cluster:
            cluster.add_broker()
            cluster.admin().create_topic(
                "t", replication_factor=2, configs={"segment.ms": "1", "cleanup.policy": "compact"}
            )
            _send(cluster, at=1)
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    _everything(str(directory))
    if there:
        assert victim.read_bytes() == PRECIOUS
        assert victim.stat().st_mtime == 1
    else:
        assert not victim.exists()


def test_a_file_that_is_written_anew_takes_the_place_of_what_lies_there(tmp_path: Path) -> None:
    """A link, what a killed process left, and a pipe, which would else wait for a reader for ever."""
    disk = Disk()
    victim = tmp_path / "victim"
    victim.write_bytes(PRECIOUS)
    (tmp_path / "a.tmp").symlink_to(victim)
    disk.replace_file(str(tmp_path / "a"), b"new")
    (tmp_path / "b.tmp").write_bytes(b"left over")
    disk.replace_file(str(tmp_path / "b"), b"new")
    os.mkfifo(tmp_path / "c")
    disk.create_file(str(tmp_path / "c"), b"new")
    for name in "abc":
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == b"new"
    assert victim.read_bytes() == PRECIOUS
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(StorageError, match="nothing is written through a symbolic link: remove it"):
        disk.open(str(tmp_path / "lock"), os.O_RDWR | os.O_CREAT)
