"""Replicas in corners that a random walk hardly ever finds: what a replica may be believed to have, and when."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.layout import RESERVE_FILE
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.embedded.reserve import RESERVE
from pykafka_store.errors import InvalidReplicaAssignmentError, NotEnoughReplicasError, StorageError, StoreError
from pykafka_store.format.state import FILE_NAME, pack_state, parse_state
from pykafka_store.model import ConfigResource, TopicPartition
from tests.store.helpers import AT_ONCE
from tests.store.test_replication import DyingDisk, Killed, T, Three, content, read


class DiesPublishing(Disk):
    """Dies before the state of one replica says that its log ends at an offset."""

    def __init__(self, replica: str, end: int) -> None:
        self._path = f"{replica}/{FILE_NAME}"
        self._end = end

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        if path.endswith(self._path) and parse_state(b"".join(pieces)).log_end_offset == self._end:
            raise Killed
        return super().write_at(descriptor, pieces, position, path)


class DiesCopying(Disk):
    """Dies when the first byte of a log is written on one broker."""

    def __init__(self, broker: int) -> None:
        self._part = f"/brokers/{broker}/"

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        if self._part in path and path.endswith(".log"):
            raise Killed
        return super().write_at(descriptor, pieces, position, path)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    found = Three(tmp_path)
    yield found
    found.close()


def test_a_tail_of_nobody_that_is_as_long_as_what_took_its_place_is_not_kept(tmp_path: Path) -> None:
    """A follower published an append that its leader never did, as its writer was killed in between. Then it was left
    behind, and other records of the same size took these offsets, up to the end of a segment: in the same leader epoch.
    """
    three = Three(tmp_path, internal_segment_bytes="80")
    three.send(b"a")
    three.close()
    killed = EmbeddedCluster(three.directory, disk=DiesPublishing("brokers/0/t-0", 2))
    with pytest.raises(Killed):
        killed.producer({**AT_ONCE, "retries": "0"}).send("t", [b"never told"], partitions=0)
    three = _reopened(three)
    assert three.state(1).log_end_offset == 2
    away = three.broker(1).with_name("away")
    three.broker(1).rename(away)
    three.send(b"other told")
    three.send(b"c")
    away.rename(three.broker(1))
    three.cluster.maintain()
    assert three.row().isr == (0, 1, 2)
    three.agree()
    three.close()


def _reopened(three: Three) -> Three:
    found = object.__new__(Three)
    found.directory = three.directory
    found.cluster = EmbeddedCluster(three.directory)
    found.admin = found.cluster.admin()
    found.failures, found.notices = [], []
    found.producer = found.cluster.producer({**AT_ONCE, "retries": "0"}, on_failure=found.failures.append)
    found.sent = []
    return found


def _without(three: Three, *brokers: int) -> None:
    """Have them left behind, in this order."""
    for broker in brokers:
        three.cluster.stop_broker(broker)


def test_an_eligible_replica_is_none_any_more_once_it_is_made_anew(tmp_path: Path) -> None:
    """It left when too few stayed, so that it could lead. Its files are lost, and whoever copies them is killed."""
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    _without(three, 1, 2)
    assert three.row().elr == (2,)
    shutil.rmtree(three.replica(2))
    with EmbeddedCluster(three.directory, disk=DiesCopying(2)) as killed, pytest.raises(Killed):
        killed.start_broker(2)
    three.cluster.stop_broker(0)
    assert three.row().leader is None
    three.cluster.start_broker(0)
    assert three.read() == [b"a"]
    three.close()


def test_an_eligible_replica_of_a_compacted_log_is_none_any_more_once_it_is_cut(tmp_path: Path) -> None:
    three = Three(
        tmp_path,
        min_insync_replicas="2",
        internal_segment_bytes="200",
        min_cleanable_dirty_ratio="0",
    )
    for value in range(10):
        three.producer.send("t", [b"%d" % value], keys=[b"k%d" % (value % 3)], partitions=0)
    before = three.read()
    _without(three, 1, 2)
    assert three.row().elr == (2,)
    three.admin.incremental_alter_configs(ConfigResource("topic", "t"), {"cleanup.policy": "compact"})
    three.cluster.maintain()  # compacts the leader only
    after = three.read()
    assert len(after) < len(before)
    with EmbeddedCluster(three.directory, disk=DiesCopying(2)) as killed, pytest.raises(Killed):
        killed.start_broker(2)
    three.cluster.stop_broker(0)
    assert three.row().leader is None
    three.cluster.start_broker(0)
    assert three.read()[-3:] == after[-3:]
    three.close()


def test_who_was_eligible_is_not_when_fewer_are_enough(tmp_path: Path) -> None:
    """It has all that readers saw while too few were in sync, and nothing of what was shown since."""
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    _without(three, 1, 2)
    assert three.row().elr == (2,)
    three.admin.incremental_alter_configs(ConfigResource("topic", "t"), {"min.insync.replicas": "1"})
    three.send(b"b")
    assert three.row().elr == ()
    with three.cluster.engine.catalog.transaction():
        three.cluster.engine.catalog.set_running(2, running=True)
    three.cluster.stop_broker(0)
    assert three.row().leader is None
    three.cluster.start_broker(0)
    assert three.read() == [b"a", b"b"]
    three.close()


def test_of_those_that_are_eligible_leads_who_has_most(tmp_path: Path) -> None:
    """What ``acks=1`` appended while too few were in sync is lost with its leader, and not beside it."""
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    places = [three.broker(number) for number in range(3)]
    away = [path.with_name(f"away{path.name}") for path in places]
    places[0].rename(away[0])
    places[2].rename(away[2])
    with three.cluster.producer({**AT_ONCE, "acks": "1"}) as producer:
        producer.send("t", [b"acks=1"], partitions=0)
    assert (three.row().leader, three.row().isr) == (1, (1,))
    places[1].rename(away[1])
    three.cluster.maintain()
    assert (three.row().leader, three.row().elr) == (None, (0, 1, 2))
    for path, other in zip(places, away, strict=True):
        other.rename(path)
    three.cluster.maintain()
    assert three.row().leader == 1
    assert three.read() == [b"a", b"acks=1"]
    three.close()


def test_a_move_is_not_given_up_where_only_new_replicas_are_in_sync(tmp_path: Path) -> None:
    """Source of the text: ReplicationControlManager#cancelPartitionReassignment."""
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        for _ in range(3):
            cluster.add_broker()
        admin = cluster.admin()
        admin.create_topic("t", assignments=[[0]])
        producer = cluster.producer({**AT_ONCE, "retries": "0"})
        cluster.stop_broker(2)
        with cluster.engine.catalog.transaction():
            cluster.engine.catalog.set_running(2, running=True)
        assert admin.alter_partition_reassignments({T: [1, 2]}) == {T: None}
        with cluster.engine.catalog.transaction():
            cluster.engine.catalog.set_running(2, running=False)
        (error,) = cluster.reassign().values()
        assert error is not None
        producer.send("t", [b"a"], partitions=0)
        assert admin.describe_topics(["t"])[0].partitions[0].isr == (0, 1)
        cluster.stop_broker(0)
        producer.send("t", [b"b"], partitions=0)
        (error,) = admin.alter_partition_reassignments({T: None}).values()
        assert isinstance(error, InvalidReplicaAssignmentError)
        assert str(error) == (
            "Unable to revert partition assignment for t:0 because it would require an unclean leader election."
        )
        cluster.start_broker(0)
        assert admin.alter_partition_reassignments({T: None}) == {T: None}
        assert admin.describe_topics(["t"])[0].partitions[0].isr == (0,)
        producer.close()
    assert read(str(tmp_path / "d")) == [b"a", b"b"]


@pytest.mark.parametrize("broker", [0, 1])
def test_an_older_copy_of_a_replica_is_not_taken_for_it(tmp_path: Path, broker: int) -> None:
    """A disk that was brought back from a backup: what it lacks was acknowledged, and the others have it."""
    three = Three(tmp_path)
    three.send(b"a")
    backup = tmp_path / "backup"
    shutil.copytree(three.replica(broker), backup)
    three.send(b"b")
    three.send(b"c")
    shutil.rmtree(three.replica(broker))
    backup.rename(three.replica(broker))
    three.send(b"d")
    assert three.read() == three.sent
    three.cluster.maintain()
    three.agree()
    assert sorted(three.row().isr) == [0, 1, 2]
    three.close()


def test_one_of_two_log_directories_that_fails_is_told(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        paths = [tmp_path / "one", tmp_path / "two"]
        cluster.add_broker(log_dirs=[str(path) for path in paths])
        admin = cluster.admin()
        admin.create_topic("t", assignments=[[1, 0]])
        (there,) = [path for path in paths if (path / "t-0").exists()]
        there.rename(tmp_path / "away")
        row = admin.describe_topics(["t"])[0].partitions[0]
        assert (row.leader, row.isr) == (0, (0,))


def test_records_are_deleted_though_a_follower_is_gone(three: Three) -> None:
    three.send(b"a", b"b", b"c")
    three.broker(1).rename(three.broker(1).with_name("away"))
    assert three.admin.delete_records({T: 2}) == {T: 2}
    assert three.read() == [b"c"]
    assert three.row().isr == (0, 2)


def test_records_are_deleted_at_a_leader_that_is_gone(three: Three) -> None:
    three.send(b"a", b"b", b"c")
    three.broker(0).rename(three.broker(0).with_name("away"))
    assert three.admin.delete_records({T: 2}) == {T: 2}
    assert three.read() == [b"c"]


def test_a_directory_of_a_broker_that_was_removed_is_one_for_another(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        path = str(tmp_path / "disk")
        cluster.add_broker(1, [path])
        cluster.remove_broker(1)
        assert cluster.add_broker(2, [path]).log_dirs == (path,)
        assert cluster.admin().live_brokers() == (0, 2)


def test_upkeep_removes_what_was_moved_away_while_its_disk_was_gone(three: Three) -> None:
    three.send(b"a")
    away = three.broker(2).with_name("away")
    three.broker(2).rename(away)
    assert three.admin.alter_partition_reassignments({T: [0, 1]}) == {T: None}
    assert three.row().replicas == (0, 1)
    away.rename(three.broker(2))
    assert three.replica(2).exists()
    report = three.cluster.maintain()
    assert (report.leftovers, report.failures) == (1, ())
    assert not three.replica(2).exists()
    assert three.read() == [b"a"]


def test_upkeep_leaves_what_the_replicas_do_not_have(tmp_path: Path) -> None:
    """The catalogue and one disk are older ones, of before a move: what was written since is only where it went."""
    three = Three(tmp_path)
    three.send(b"a")
    three.admin.alter_partition_reassignments({T: [0]})
    catalog, replica, other = Path(three.directory, "metadata.db"), three.replica(0), three.replica(2)
    _copy_database(catalog, tmp_path / "older.db")
    shutil.copytree(replica, tmp_path / "older")
    three.admin.alter_partition_reassignments({T: [2]})
    three.cluster.reassign()
    three.send(b"b")
    three.close()
    assert not replica.exists()
    _copy_database(tmp_path / "older.db", catalog)
    (tmp_path / "older").rename(replica)
    with EmbeddedCluster(three.directory) as cluster:
        assert cluster.maintain().leftovers == 0
    assert other.exists()


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def test_after_a_power_cut_the_longest_replica_leads_and_none_is_cut_to_the_shortest(tmp_path: Path) -> None:
    three = Three(tmp_path)
    three.send(b"a")
    kept = three.state(0).end_position
    three.send(b"b")
    states = [three.replica(number) / FILE_NAME for number in range(3)]
    logs = [three.replica(number) / f"{0:020d}.log" for number in range(3)]
    three.close()
    for path in states:
        path.write_bytes(pack_state(parse_state(path.read_bytes())._replace(boot_id=b"another boot's 1")))
    for number in (0, 2):  # what was never synced
        os.truncate(logs[number], kept)
    three = _reopened(three)
    three.send(b"c")
    assert three.read() == [b"a", b"b", b"c"]
    three.cluster.maintain()
    assert three.row().leader == 1
    three.agree()
    three.close()


class ReadOnly(Disk):
    """One broker's log directory may be read only."""

    def __init__(self, broker: int) -> None:
        self._part = f"/brokers/{broker}/"

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        if self._part in path and flags & (os.O_RDWR | os.O_WRONLY):
            raise StorageError(f"{path}: Read-only file system")
        return super().open(path, flags)


def test_a_topic_is_deleted_though_one_disk_is_read_only(three: Three) -> None:
    """It was reported, and the replicas behind that one stayed, though the topic was gone by then."""
    with EmbeddedCluster(three.directory, disk=ReadOnly(0)) as cluster:
        cluster.admin().delete_topic("t")
        assert cluster.admin().list_topics() == []
    assert [three.replica(number).exists() for number in range(3)] == [True, False, False]
    three.admin.create_topic("t", assignments=[[0, 1, 2]])
    three.producer.send("t", [b"new"], partitions=0)
    assert three.read() == [b"new"]


def test_a_move_waits_for_a_producer_at_its_upkeep(three: Three) -> None:
    three.cluster.add_broker()
    three.send(b"a")
    assert three.admin.alter_partition_reassignments({T: [3]}) == {T: None}
    topic_id = three.admin.describe_topics(["t"])[0].topic_id
    with EmbeddedCluster(three.directory) as other, ThreadPoolExecutor(1) as pool:
        with other.engine.locks.upkeep(topic_id, 0) as ours:
            assert ours
            asked = threading.Event()
            moving = pool.submit(_reassign, three.directory, asked)
            assert asked.wait(30)
        assert moving.result() == {T: None}
    assert three.row().replicas == (3,)


def _reassign(directory: str, asked: threading.Event) -> dict[TopicPartition, StoreError | None]:
    with EmbeddedCluster(directory, disk=Asked(".upkeep.lock", asked)) as cluster:
        return cluster.reassign()


class Asked(Disk):
    """Tells that a file was opened."""

    def __init__(self, suffix: str, asked: threading.Event) -> None:
        self._suffix = suffix
        self._asked = asked

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        found = super().open(path, flags)
        if path.endswith(self._suffix):
            self._asked.set()
        return found


def test_a_producer_leaves_moves_and_their_throttles_alone(three: Three) -> None:
    """It brings back who was left behind. It copied new replicas, too, as fast as it could, and ended no move."""
    three.cluster.add_broker()
    three.send(b"a")
    assert three.admin.alter_partition_reassignments({T: [3, 0]}) == {T: None}
    three.send(b"b")
    assert not three.replica(3).exists()
    assert three.row().isr == (0, 1, 2)
    assert three.cluster.maintain().failures == ()
    assert three.row().isr == (0, 3)


def test_upkeep_tells_of_a_move_that_can_not_go_on(three: Three) -> None:
    three.cluster.add_broker()
    assert three.admin.alter_partition_reassignments({T: [3]}) == {T: None}
    three.cluster.stop_broker(3)
    ((name, error),) = three.cluster.maintain().failures
    assert (name, str(error)) == ("t-0", "t-0: broker 3 is stopped (pykafka brokers start 3)")


def test_replicas_on_the_full_disk_of_the_data_directory_are_left_behind(tmp_path: Path) -> None:
    """The catalogue lies there, too, and has to say so."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        three = Three(mount, log_dirs=[str(tmp_path / "one"), str(tmp_path / "two")])
        three.send(b"a")
        with suppress(OSError), open(mount / "filler", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        three.send(b"b" * 10_000)
        assert three.row().isr == (1, 2)
        three.cluster.stop_broker(0)
        assert not three.cluster.brokers()[0].running
        three.close()
        assert read(three.directory) == three.sent
        (mount / "filler").unlink()
        with EmbeddedCluster(three.directory) as cluster:
            cluster.start_broker(0)
            cluster.maintain()
            assert cluster.admin().describe_topics(["t"])[0].partitions[0].isr == (0, 1, 2)
            assert Path(three.directory, RESERVE_FILE).stat().st_size >= RESERVE
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_data_directory_moves_though_a_link_led_to_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with EmbeddedCluster(str(tmp_path / "link" / "d")) as cluster:
        cluster.add_broker(log_dirs=[str(tmp_path / "real" / "d" / "brokers" / "x")])
    (tmp_path / "real" / "d").rename(tmp_path / "moved")
    with EmbeddedCluster(str(tmp_path / "moved")) as cluster:
        assert cluster.admin().live_brokers() == (0, 1)


class Unsyncable(Disk):
    """One broker's disk takes bytes and loses them."""

    def __init__(self, broker: int) -> None:
        self._part = f"/brokers/{broker}/"
        self.fails = False

    def sync(self, descriptor: int, path: str = "") -> None:
        if self.fails and self._part in path:
            raise StorageError(f"{path}: Input/output error")
        super().sync(descriptor, path)


def test_a_producer_that_ends_leaves_behind_who_can_not_be_synced(tmp_path: Path) -> None:
    disk = Unsyncable(1)
    three = Three(tmp_path, disk=disk, flush_ms="3600000")
    three.send(b"a")  # and synced, as nothing ever was
    three.send(b"b")
    disk.fails = True
    three.producer.close()
    assert three.row().isr == (0, 2)
    three.cluster.close()


def test_an_unclean_election_takes_a_new_replica_last(tmp_path: Path) -> None:
    """It is the first in the list, and its copying had just begun."""
    three = Three(tmp_path, unclean_leader_election_enable="true")
    three.cluster.add_broker()
    three.send(b"a")
    assert three.admin.alter_partition_reassignments({T: [3, 1]}) == {T: None}
    with EmbeddedCluster(three.directory, disk=DiesCopying(3)) as killed, pytest.raises(Killed):
        killed.reassign()
    assert three.replica(3).exists()
    _without(three, 1, 2)
    with three.cluster.engine.catalog.transaction():
        three.cluster.engine.catalog.set_running(1, running=True)
    three.cluster.stop_broker(0)
    assert three.read() == [b"a"]
    assert three.row().leader == 1
    three.close()


def test_an_index_that_was_copied_anew_under_a_producer_gets_its_entries(tmp_path: Path) -> None:
    """A replica that was left behind and came back has its indexes by rename, and its log in place. A producer that
    lived through that, and finds the same segment active (another's roll was taken back), has the old indexes open.
    """
    three = Three(tmp_path, internal_segment_bytes="200")
    three.send(b"a" * 50)
    for index in three.replica(1).glob("*index"):
        shutil.copy(index, tmp_path / "copy")
        (tmp_path / "copy").rename(index)
    three.send(b"b" * 100)
    assert len([*three.replica(1).glob("*.log")]) == 2
    assert content(three.replica(1)) == content(three.replica(0))
    three.close()


class GoesAway(Disk):
    """Broker 1's log directory is renamed away as soon as a directory was made in it."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        super().make_directory(path, parents=parents)
        if os.path.dirname(path) == str(self._log_dir):
            self._log_dir.rename(self._log_dir.with_name("away"))


def test_a_disk_that_goes_while_a_topic_is_made_is_told_by_its_name(three: Three) -> None:
    with EmbeddedCluster(three.directory, disk=GoesAway(three.broker(1))) as cluster:
        with pytest.raises(StorageError, match=r"1.* is gone: is its disk mounted\?"):
            cluster.admin().create_topic("another", replication_factor=3)
        with pytest.raises(InvalidReplicaAssignmentError, match="for partition 0 are fenced"):
            cluster.admin().create_topic("another", assignments=[[1]])
        assert not three.broker(1).exists()
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]


class RollsBack(Disk):
    """The first look at an index of the leader finds it as it is while a roll is taken back: without its last entry."""

    def __init__(self, index: Path) -> None:
        self._index = str(index)
        self.looks = 0

    def read_file(self, path: str, limit: int = 1 << 20) -> bytes:
        data = super().read_file(path, limit)
        if path != self._index:
            return data
        self.looks += 1
        return data[:-12] if self.looks == 1 else data


def test_an_index_that_was_copied_while_a_roll_was_taken_back_is_copied_again(tmp_path: Path) -> None:
    three = Three(tmp_path, internal_segment_bytes="200")
    away = three.broker(1).with_name("away")
    three.broker(1).rename(away)
    for letter in (b"a", b"b", b"c"):
        three.send(letter * 100)
    away.rename(three.broker(1))
    disk = RollsBack(three.replica(0) / f"{0:020d}.timeindex")
    with EmbeddedCluster(three.directory, disk=disk) as cluster:
        cluster.maintain()
    assert disk.looks == 2
    assert three.row().isr == (0, 1, 2)
    assert content(three.replica(1)) == content(three.replica(0))
    three.close()


def test_an_index_that_was_copied_while_a_roll_was_taken_back_is_copied_again_by_the_next_one(tmp_path: Path) -> None:
    """Whoever was to look again was killed; for the next one these segments agree already."""
    three = Three(tmp_path, internal_segment_bytes="200")
    away = three.broker(1).with_name("away")
    three.broker(1).rename(away)
    for letter in (b"a", b"b", b"c"):
        three.send(letter * 100)
    away.rename(three.broker(1))
    index = three.replica(0) / f"{0:020d}.timeindex"

    class Fails(RollsBack):
        def size_of(self, path: str) -> int:
            if self.looks and path == str(index):
                raise StorageError("as if it was killed")
            return super().size_of(path)

    disk = Fails(index)
    with EmbeddedCluster(three.directory, disk=disk) as cluster, suppress(StorageError):
        cluster.maintain()
    assert disk.looks == 1
    assert content(three.replica(1)) != content(three.replica(0))
    three.cluster.maintain()
    assert three.row().isr == (0, 1, 2)
    assert content(three.replica(1)) == content(three.replica(0))
    three.close()


@pytest.mark.parametrize("how", ["delete_records", "retention", "a follower's retention"])
def test_where_a_log_starts_never_goes_back_whoever_dies_and_whoever_leads_next(tmp_path: Path, how: str) -> None:
    """Found by the storm (seed 306): killed between two replicas, then the leader's disk was gone. And once more (seed
    1201): a clock that had been put forward since the leader's pass had a follower's find more to take.
    """
    for kill_at in range(8):  # in the first three the starts are raised, then files go
        (place := tmp_path / str(kill_at)).mkdir()
        three = Three(place, internal_segment_bytes="200", file_delete_delay_ms="0")
        for number in range(6):
            three.send(b"%d" % number * 50)
        if how != "delete_records":
            three.admin.incremental_alter_configs(ConfigResource("topic", "t"), {"retention.bytes": "300"})
        disk = DyingDisk(kill_at)
        with suppress(Killed), EmbeddedCluster(three.directory, disk=disk) as cluster:
            if how == "retention":
                cluster.maintain()
            elif how == "delete_records":
                cluster.admin().delete_records({T: 4})
            else:
                followers = upkeep_of(hosted(cluster.engine, T))[1:]
                assert [follower.run().removed.segments for follower in followers] == [4, 4]
        seen = three.state(0).log_start_offset
        for leader in (1, 2):
            three.broker(leader - 1).rename(place / f"away-{leader}")
            three.send(b"next")
            assert three.row().leader == leader
            assert three.state(leader).log_start_offset >= seen, f"killed at {kill_at}"
            seen = three.state(leader).log_start_offset
        three.close()
    assert seen >= 3


@pytest.mark.parametrize("how", ["delete_records", "retention"])
@pytest.mark.parametrize("away", [True, False], ids=["away", "stopped"])
def test_what_was_deleted_does_not_come_back_with_an_eligible_leader(tmp_path: Path, how: str, away: bool) -> None:
    """One that is out of sync has all that was shown when it left, and where the log starts was told to the others."""
    three = Three(tmp_path, min_insync_replicas="3", internal_segment_bytes="200", file_delete_delay_ms="0")
    for number in range(6):
        three.send(b"%d" % number * 50)
    gone = three.broker(2).with_name("away")
    if away:
        three.broker(2).rename(gone)
    else:
        three.cluster.stop_broker(2)
    assert isinstance(three.refused(b"x"), NotEnoughReplicasError)
    assert three.row().elr == (2,)
    if how == "delete_records":
        three.admin.delete_records({T: 4})
    else:
        three.admin.incremental_alter_configs(ConfigResource("topic", "t"), {"retention.bytes": "300"})
        three.cluster.maintain()
    start = three.state(0).log_start_offset
    assert start >= 3
    assert three.read() == three.sent[start:]

    for broker in (0, 1):
        three.broker(broker).rename(tmp_path / f"gone-{broker}")
    assert three.row().leader is None
    if away:
        gone.rename(three.broker(2))
    else:
        three.cluster.start_broker(2)
    assert three.row().leader == 2
    assert three.read() == three.sent[start:]
    for broker in (0, 1):
        (tmp_path / f"gone-{broker}").rename(three.broker(broker))
    three.admin.delete_topic("t")
    assert three.cluster.engine.catalog.configs("log start") == {}
    three.close()


def test_what_was_shown_is_shown_by_whoever_leads_next_though_too_few_are_in_sync(tmp_path: Path) -> None:
    """The high watermark was raised at the leader alone where a replica came back into sync, and where one took over:
    the follower that led next went back to its own, for as long as min.insync.replicas was not met.
    """
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    three.cluster.stop_broker(2)
    away = three.broker(1).with_name("away")
    three.broker(1).rename(away)
    with three.cluster.producer({**AT_ONCE, "acks": "1"}) as producer:
        producer.send("t", [b"b"], partitions=0)
    assert (three.row().isr, three.read()) == ((0,), [b"a"])
    away.rename(three.broker(1))
    three.cluster.maintain()
    assert (three.row().isr, three.read()) == ((0, 1), [b"a", b"b"])
    three.cluster.stop_broker(0)
    assert (three.row().leader, three.row().isr, three.read()) == (1, (1,), [b"a", b"b"])
    three.close()


@pytest.mark.parametrize("leader", ["same", "another"])
def test_a_kill_amid_the_showing_takes_nothing_back(tmp_path: Path, leader: str) -> None:
    """The followers are told before the leader is, as whoever takes over may be the only one in sync."""
    for kill_at in range(6):
        (place := tmp_path / str(kill_at)).mkdir()
        three = Three(place, min_insync_replicas="2")
        three.send(b"a", b"b")
        logs = [three.replica(broker) for broker in range(3)]
        for log in logs:  # killed before the records were shown
            (log / FILE_NAME).write_bytes(
                pack_state(parse_state((log / FILE_NAME).read_bytes())._replace(high_watermark=0))
            )
        three.close()
        if leader == "another":
            logs[0].parent.rename(place / "gone")
        with suppress(Killed), EmbeddedCluster(three.directory, disk=DyingDisk(kill_at)) as cluster:
            cluster.maintain()
        leads = 0 if leader == "same" else 1
        seen = parse_state((logs[leads] / FILE_NAME).read_bytes()).high_watermark
        for lost in {leads, 2} if leader == "same" else {leads}:
            logs[lost].parent.rename(place / f"lost-{lost}")
        with EmbeddedCluster(three.directory) as cluster:
            cluster.admin().describe_topics(["t"])
        assert len(read(three.directory)) >= seen, kill_at


def test_compaction_takes_nothing_away_for_a_record_that_is_not_shown(tmp_path: Path) -> None:
    """A value went that everybody had seen, for a newer one that ``acks=1`` appended while too few were in sync: nobody
    sees that one, and it goes with its leader where another leads next. Source: LogCleanerManager#cleanableOffsets.
    """
    small = {"internal_segment_bytes": "150", "min_cleanable_dirty_ratio": "0", "cleanup_policy": "compact"}
    three = Three(tmp_path, min_insync_replicas="3", **small)
    three.producer.send("t", [b"seen"], keys=[b"k"], partitions=0)
    three.cluster.stop_broker(2)
    with three.cluster.producer({**AT_ONCE, "acks": "1"}) as producer:
        for number in range(4):
            producer.send("t", [b"%d" % number * 50], keys=[b"k"], partitions=0)
    three.cluster.maintain()
    assert three.read() == [b"seen"]
    three.cluster.start_broker(2)
    three.cluster.maintain()
    assert three.read() == [b"2" * 50, b"3" * 50]  # the last is in the active segment
    three.close()
