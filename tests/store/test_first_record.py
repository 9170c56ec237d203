"""A replica has its published state alone until its first record; whatever happens at that one, it is there once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.partitions import owner_of
from pykafka_store.errors import CorruptRecordError, StorageError
from pykafka_store.format.checkpoint import parse_leader_epochs, parse_partition_metadata
from pykafka_store.format.names import WRITTEN_SUFFIXES, segment_file
from pykafka_store.model import ElectionType, OffsetAt
from pykafka_store.open import check_data_directory
from tests.store.helpers import AT_ONCE, STATE, TOPIC_ID, Log, batch, of_another_boot
from tests.store.test_replication import T, Three, content, read
from tests.support.faulty_disk import FaultyDisk

EPOCHS, METADATA = "leader-epoch-checkpoint", "partition.metadata"
ALL = {STATE, EPOCHS, METADATA, *(segment_file(0, suffix) for suffix in WRITTEN_SUFFIXES)}


def names(directory: str | Path) -> set[str]:
    return set(os.listdir(directory))


def test_the_files_of_a_log_are_made_with_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "d"
    replica = path / "brokers" / "0" / "t-0"
    with EmbeddedCluster(str(path)) as cluster:
        cluster.admin().create_topic("t", configs={"cleanup.policy": "compact,delete", "retention.ms": "1"})
        assert names(replica) == {STATE}
        assert owner_of(Disk(), str(replica)) == cluster.admin().describe_topics(["t"])[0].topic_id
        assert read(str(path)) == []
        for at in (0, OffsetAt.EARLIEST, OffsetAt.LATEST, OffsetAt.MAX_TIMESTAMP):
            assert cluster.admin().list_offsets({T: at})[T] in {0, -1}
        assert not cluster.maintain().failures
        assert check_data_directory(path).findings == ()
        assert names(replica) == {STATE}, "no look at it makes any"
        (replica / METADATA).touch()  # a kill in its making leaves it so
        assert check_data_directory(path).findings == ()
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"a"], keys=[b"k"])
        assert names(replica) == ALL
        assert read(str(path)) == [b"a"]
    assert check_data_directory(path).findings == ()


@pytest.mark.parametrize("how", ["error", "short", "late"])
def test_a_kill_at_the_first_record_leaves_what_the_next_writer_finishes(tmp_path: Path, how: str) -> None:
    for number in range(200):
        log = Log(tmp_path / str(number)).create()
        dying = FaultyDisk(number, how=how, stays_dead=True)
        with suppress(StorageError):
            log.append(batch(b"a"), disk=dying)
        before = [row.value for row in log.read()]
        log.append(batch(b"b"))
        assert [row.value for row in log.read()] == [*before, b"b"]
        files = log.files()
        assert files.keys() == ALL
        assert parse_partition_metadata(files[METADATA].decode()) == TOPIC_ID
        assert parse_leader_epochs(files[EPOCHS].decode()) == [(0, 0)]
        if not dying.failed:
            break
    assert 8 < number < 199


def test_a_directory_whose_empty_logs_have_all_files_goes_on(tmp_path: Path) -> None:
    """As older programs made them, and as a log is that was cut back to nothing."""
    log = Log(tmp_path).create()
    log.append(batch(b"a"))
    files = log.files()
    empty = {name: b"" if name[:1] == "0" else data for name, data in files.items()}
    fresh = Log(tmp_path / "fresh").create()
    fresh.restore(empty | {STATE: fresh.files()[STATE]})
    assert fresh.read() == []
    fresh.append(batch(b"b"))
    assert [row.value for row in fresh.read()] == [b"b"]
    assert {name: len(data) for name, data in fresh.files().items()} == {
        name: len(data) for name, data in files.items()
    }


@pytest.mark.parametrize("lost", [True, False])
def test_an_empty_log_of_another_boot_is_empty_for_all(tmp_path: Path, lost: bool) -> None:
    log = Log(tmp_path).create()
    log.restore({} if lost else {STATE: of_another_boot(log.files()[STATE])})
    assert log.read() == []
    log.append(batch(b"a"))
    assert [(row.offset, row.value) for row in log.read()] == [(0, b"a")]
    assert log.files().keys() == ALL


def test_a_log_that_is_missing_is_no_empty_one(tmp_path: Path) -> None:
    log = Log(tmp_path).create()
    log.append(batch(b"a"))
    os.unlink(log.path(segment_file(0)))
    with pytest.raises(CorruptRecordError, match="is missing: restore the file"):
        log.append(batch(b"b"))


def test_replicas_without_a_record_are_elected_left_behind_and_moved_like_others(tmp_path: Path) -> None:
    three = Three(tmp_path)
    admin = three.admin
    away = three.broker(0).with_name("away")
    three.broker(0).rename(away)
    three.cluster.maintain()
    assert (three.row().leader, three.row().isr) == (1, (1, 2))
    away.rename(three.broker(0))
    three.cluster.maintain()
    assert three.row().isr == (0, 1, 2)
    assert admin.elect_leaders(ElectionType.PREFERRED, [T]) == {T: None}
    three.cluster.add_broker()
    assert admin.alter_partition_reassignments({T: [3, 1, 2]}) == {T: None}
    assert not three.cluster.reassign()[T]
    assert check_data_directory(three.directory).findings == ()
    three.send(b"a")
    first, *others = [content(three.replica(number)) for number in (1, 2, 3)]
    assert others == [first, first]
    assert first.keys() == {*(ALL - {STATE}), "state"}
    epochs = parse_leader_epochs(first[EPOCHS].decode())
    assert epochs == [(three.row().leader_epoch, 0)]
    assert check_data_directory(three.directory).findings == ()
    assert three.read() == [b"a"]
    three.close()


@pytest.mark.parametrize("damage", [None, b"", b"x" * 100])
def test_doctor_mends_the_state_of_a_partition_without_a_record(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "d"
    with EmbeddedCluster(str(path)) as cluster:
        cluster.admin().create_topic("t")
    state = path / "brokers" / "0" / "t-0" / STATE
    state.unlink()
    if damage is not None:
        state.write_bytes(damage)
    check_data_directory(path, repair=True)
    assert check_data_directory(path).findings == ()
    with EmbeddedCluster(str(path)) as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"a"])
    assert read(str(path)) == [b"a"]
