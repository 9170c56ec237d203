"""Replicas: failing directories under a running producer, elections, coming back, moves; and kills at every verb."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import google_crc32c
import pytest

from pykafka_store.api import Producer
from pykafka_store.embedded.admin.moves import Throttle
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.segment import list_segments
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.replicas import Replicas
from pykafka_store.errors import (
    CorruptRecordError,
    ElectionNotNeededError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    LeaderNotAvailableError,
    NoReassignmentInProgressError,
    NotEnoughReplicasError,
    PreferredLeaderNotAvailableError,
    StorageError,
    StoreError,
)
from pykafka_store.format.batch import split_batches
from pykafka_store.format.checkpoint import parse_leader_epochs
from pykafka_store.format.state import PublishedState, pack_state, parse_state
from pykafka_store.model import ElectionType, OffsetAt, PartitionDescription, SendFailure, TopicPartition
from pykafka_store.open import format_data_directory
from tests.store.helpers import AT_ONCE, of_another_boot
from tests.support import descriptors
from tests.support.faulty_disk import FaultyDisk

T = TopicPartition("t", 0)


class Three:
    """A data directory with three brokers, and a topic whose only partition is on all of them, 0 leading."""

    def __init__(self, path: Path, disk: Disk | None = None, log_dirs: Sequence[str] = (), **configs: str) -> None:
        self.directory = str(path / "d")
        self.cluster = EmbeddedCluster(self.directory, disk=disk)
        self.cluster.add_broker(log_dirs=log_dirs[:1])
        self.cluster.add_broker(log_dirs=log_dirs[1:])
        self.admin = self.cluster.admin()
        self.admin.create_topic(
            "t", assignments=[[0, 1, 2]], configs={key.replace("_", "."): value for key, value in configs.items()}
        )
        self.failures: list[SendFailure] = []
        self.notices: list[str] = []
        self.producer = self.new_producer()
        self.sent: list[bytes] = []

    def new_producer(self) -> Producer:
        return self.cluster.producer(
            {**AT_ONCE, "retries": "0"}, on_failure=self.failures.append, on_notice=self.notices.append
        )

    def broker(self, number: int) -> Path:
        return Path(self.cluster.brokers()[number].log_dirs[0])

    def replica(self, number: int) -> Path:
        return self.broker(number) / "t-0"

    def send(self, *values: bytes) -> None:
        """Append, to be acknowledged."""
        self.producer.send("t", values, partitions=0)
        assert not self.failures, self.failures
        self.sent += values

    def refused(self, *values: bytes) -> StoreError:
        self.producer.send("t", values, partitions=0)
        (failure,) = self.failures
        self.failures.clear()
        assert isinstance(failure.error, StoreError)
        return failure.error

    def row(self) -> PartitionDescription:
        return self.admin.describe_topics(["t"])[0].partitions[0]

    def read(self) -> list[bytes | None]:
        return read(self.directory)

    def state(self, number: int) -> PublishedState:
        return parse_state((self.replica(number) / "published-state").read_bytes())

    def agree(self, *brokers: int) -> None:
        """The replicas have the same bytes, in the same files."""
        first, *others = [content(self.replica(number)) for number in brokers or (0, 1, 2)]
        for other in others:
            assert other == first

    def close(self) -> None:
        self.producer.close()
        self.cluster.close()


def read(directory: str) -> list[bytes | None]:
    with EmbeddedCluster(directory) as cluster, cluster.consumer() as consumer:
        consumer.assign({T: OffsetAt.EARLIEST})
        found: list[bytes | None] = []
        while some := consumer.poll():
            found += [value for run in some for value in run.values]
        return found


def content(replica: Path) -> dict[str, bytes]:
    """A replica's files as far as they count: before the first record those of one may be there, and of another not."""
    found = {path.name: path.read_bytes() for path in replica.iterdir() if not path.name.endswith(".deleted")}
    state = parse_state(found["published-state"])
    if not state.log_end_offset:
        return {"state": repr((state.high_watermark, state.leader_epoch)).encode()}
    active = f"{state.active_base_offset:020d}"
    found[f"{active}.log"] = found[f"{active}.log"][: state.end_position]
    found[f"{active}.index"] = found[f"{active}.index"][: state.index_entries * 8]
    found[f"{active}.timeindex"] = found[f"{active}.timeindex"][: state.time_index_entries * 12]
    del found["published-state"]
    same = state.log_start_offset, state.log_end_offset, state.high_watermark, state.leader_epoch
    return {**found, "state": repr(same).encode()}


def epochs(replica: Path) -> list[int]:
    """The leader epochs of its batches, in order."""
    found = []
    for base in list_segments(Disk(), str(replica)):
        data = (replica / f"{base:020d}.log").read_bytes()
        found += [batch.header.leader_epoch for batch in split_batches(data, 0)]
    return found


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    found = Three(tmp_path)
    yield found
    found.close()


# -------------------------------------------------------------------------------------------------------- in the append


def test_a_record_is_at_every_replica_before_it_is_acknowledged(three: Three) -> None:
    three.send(b"a", b"b")
    three.send(b"c")
    three.agree()
    assert three.read() == [b"a", b"b", b"c"]
    assert three.row() == PartitionDescription(0, 0, 0, (0, 1, 2), (0, 1, 2))


def _renamed(three: Three, broker: int) -> Callable[[], object]:
    path = three.broker(broker)
    aside = path.with_name(f"{path.name}-away")
    path.rename(aside)
    return lambda: aside.rename(path)


def _removed(three: Three, broker: int) -> Callable[[], object]:
    """What an operator does with a dead disk: an empty one takes its place."""
    path = three.broker(broker)
    properties = (path / "meta.properties").read_bytes() if (path / "meta.properties").exists() else None
    shutil.rmtree(path)

    def back() -> None:
        path.mkdir()
        if properties is not None:
            (path / "meta.properties").write_bytes(properties)

    return back


def _replica_removed(three: Three, broker: int) -> Callable[[], object]:
    shutil.rmtree(three.replica(broker))
    return lambda: None


def _cut(three: Three, broker: int) -> Callable[[], object]:
    (log,) = three.replica(broker).glob("*.log")
    os.truncate(log, 10)
    return lambda: None


WAYS = [_renamed, _removed, _replica_removed, _cut]


@pytest.mark.parametrize("broker", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_a_directory_that_fails_is_left_behind_in_the_same_append(
    three: Three, way: Callable[[Three, int], Callable[[], object]], broker: int
) -> None:
    three.send(b"a")
    follower = three.cluster.consumer()
    follower.assign({T: 0})
    assert follower.poll(1.0)[0].values == [b"a"]
    back = way(three, broker)
    three.send(b"b")
    three.send(b"c")
    row = three.row()
    assert any(f"t-0: broker {broker} was left behind" in line for line in three.notices)
    if way in {_renamed, _removed}:
        assert row.isr == tuple(sorted({0, 1, 2} - {broker}))
    else:  # its log directory can be used, so it was brought back at once
        assert sorted(row.isr) == [0, 1, 2]
    assert (row.leader, row.leader_epoch) == ((1, 1) if broker == 0 else (0, 0))
    assert [value for run in follower.poll(1.0) for value in run.values] == [b"b", b"c"]
    assert three.read() == three.sent
    back()
    report = three.cluster.maintain()
    assert (report.behind, report.failures) == (0, ())
    assert sorted(three.row().isr) == [0, 1, 2]
    three.agree()
    three.send(b"d")
    three.agree()
    assert [value for run in follower.poll(1.0) for value in run.values] == [b"d"]
    follower.close()


def test_all_replicas_on_a_full_disk_stay_in_sync(tmp_path: Path) -> None:
    """Nobody is better than the others: the append fails, and nothing changes."""
    disk = FaultyDisk()
    three = Three(tmp_path, disk)
    three.send(b"a")
    before = three.row()
    disk.number, disk.stays_dead, disk.fail_at = errno.ENOSPC, True, len(disk.done)
    assert isinstance(three.refused(b"b"), StorageError)
    disk.heal()
    assert three.row() == before
    three.send(b"c")
    three.agree()
    assert three.read() == [b"a", b"c"]
    three.close()


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[str]]:
    """Two small file systems."""
    paths = [tmp_path / "disk1", tmp_path / "disk2"]
    for path in paths:
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
    yield [str(path / "logs") for path in paths]
    for path in paths:
        subprocess.run(["umount", "--lazy", str(path)], check=False)


def test_a_disk_that_is_full_read_only_or_unmounted_is_left_behind(tmp_path: Path, disks: list[str]) -> None:
    three = Three(tmp_path, log_dirs=disks, internal_segment_bytes="200000")
    mount = Path(disks[0]).parent
    three.send(b"a")

    filler = mount / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while file.write(bytes(4096)):
            pass
    while 1 in three.row().isr:
        three.send(*[os.urandom(10_000) for _ in range(5)])
    assert three.row().isr == (0, 2)
    filler.unlink()
    assert three.cluster.maintain().caught_up == 1
    three.agree()

    # Read-only: what is open can't be written any more.
    three.producer.close()
    three.producer = three.new_producer()
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    three.send(b"b")
    assert three.row().isr == (0, 2)
    assert not three.cluster.maintain().caught_up
    subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
    assert three.cluster.maintain().caught_up == 1

    # Unmounted: what is left is an empty directory, which is not the broker's.
    subprocess.run(["umount", "--lazy", str(mount)], check=True)
    three.send(b"c")
    Path(disks[0]).mkdir(parents=True)
    report = three.cluster.maintain()
    assert (report.caught_up, report.behind) == (0, 1)
    assert list(Path(disks[0]).iterdir()) == []
    (problem,) = three.cluster.brokers()[1].problems
    assert problem == f"{disks[0]} has no meta.properties: is its disk mounted?"
    assert three.read() == three.sent
    three.close()


def test_descriptors_do_not_pile_up_over_fail_overs(three: Three) -> None:
    three.send(b"0")
    before = descriptors.open_below(three.directory)
    for number in range(6):
        back = _renamed(three, number % 3)
        three.send(b"%d" % number)
        back()
        three.cluster.maintain()
    assert descriptors.open_below(three.directory) <= before + 3


# -------------------------------------------------------------------------------------------------- min.insync.replicas


def _power_cut(three: Three, cut: dict[int, int]) -> None:
    """Everybody stops, nothing was synced, and each broker loses so many of its last batches."""
    replicas = [three.replica(broker) for broker in range(3)]
    three.close()
    for broker, replica in enumerate(replicas):
        state = replica / "published-state"
        state.write_bytes(of_another_boot(state.read_bytes()))
        if lost := cut.get(broker):
            log = replica / f"{0:020d}.log"
            os.truncate(log, list(split_batches(log.read_bytes()))[-lost].position)


@pytest.mark.parametrize("cut", [{0: 3}, {1: 3}, {0: 3, 1: 2}, {1: 1, 2: 4}, {0: 1, 1: 4, 2: 2}])
def test_after_a_power_cut_the_longest_replica_leads_and_keeps_what_it_has(tmp_path: Path, cut: dict[int, int]) -> None:
    three = Three(tmp_path)
    for number in range(10):
        three.send(b"%d" % number)
    _power_cut(three, cut)
    kept = three.sent[: 10 - min(cut.get(broker, 0) for broker in range(3))]
    assert read(three.directory) == kept
    with EmbeddedCluster(three.directory) as cluster:
        Replicas(hosted(cluster.engine, T)).bring_back()
        assert set(cluster.admin().describe_topics(["t"])[0].partitions[0].isr) == {0, 1, 2}
        three.cluster = cluster
        three.agree()
    assert read(three.directory) == kept


def test_what_a_power_cut_made_shorter_may_not_lead_though_too_few_are_in_sync(tmp_path: Path) -> None:
    """Eligible are replicas that lack nothing that was shown (KIP-966), and these do."""
    three = Three(tmp_path, min_insync_replicas="3")
    for number in range(10):
        three.send(b"%d" % number)
    _power_cut(three, {0: 2, 1: 1})
    with EmbeddedCluster(three.directory) as cluster:
        Replicas(hosted(cluster.engine, T)).settle()
        row = cluster.admin().describe_topics(["t"])[0].partitions[0]
    assert (row.leader, row.isr, row.elr) == (2, (2,), ())
    assert read(three.directory) == three.sent


def test_records_are_deleted_though_a_follower_fails_or_lags(tmp_path: Path) -> None:
    """Whose disk is gone is left behind; a high watermark that a kill left behind is put right first."""
    three = Three(tmp_path)
    for number in range(10):
        three.send(b"%d" % number)
    three.replica(1).rename(tmp_path / "away")
    state = three.replica(2) / "published-state"
    state.write_bytes(pack_state(three.state(2)._replace(high_watermark=5)))
    assert three.admin.delete_records({T: 8}) == {T: 8}
    assert three.read() == three.sent[8:]
    assert (three.row().isr, three.state(2).log_start_offset) == ((0, 2), 8)
    three.close()


def test_too_few_in_sync_refuse_acks_all_and_show_nothing_new(tmp_path: Path) -> None:
    """What acks=1 appends meanwhile is in the log, and shown when enough replicas have it. Source: KIP-966."""
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    three.cluster.stop_broker(1)
    three.send(b"b")
    three.cluster.stop_broker(2)
    error = three.refused(b"c")
    assert isinstance(error, NotEnoughReplicasError)
    assert str(error) == (
        "The size of the current ISR Set(0) is insufficient to satisfy the min.isr requirement of 2 for partition t-0"
    )
    row = three.row()
    assert (row.leader, row.isr, row.elr) == (0, (0,), (2,))
    with three.cluster.producer({**AT_ONCE, "acks": "1"}) as producer:
        producer.send("t", [b"d"], partitions=0)
    assert three.read() == [b"a", b"b"]
    assert three.admin.list_offsets({T: OffsetAt.LATEST}) == {T: 2}
    three.cluster.start_broker(1)
    assert three.read() == [b"a", b"b", b"d"]
    three.sent = [b"a", b"b", b"d"]
    three.send(b"e")
    three.cluster.start_broker(2)
    three.agree()
    assert (three.row().isr, three.row().elr) == ((0, 1, 2), ())
    three.close()


def test_what_acks_1_appends_while_too_few_are_in_sync_may_go_with_its_leader(tmp_path: Path) -> None:
    """Nobody was shown it, and who is eligible lacks it: as in Kafka, ``acks=1`` is the leader's word alone then."""
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    three.cluster.stop_broker(1)
    three.cluster.stop_broker(2)
    with three.cluster.producer({**AT_ONCE, "acks": "1"}) as producer:
        producer.send("t", [b"acks=1"], partitions=0)
    three.cluster.stop_broker(0)
    three.cluster.start_broker(2)
    assert (three.row().leader, three.read()) == (2, [b"a"])
    three.cluster.start_broker(1)
    three.send(b"b")
    three.cluster.start_broker(0)
    assert three.read() == [b"a", b"b"]
    three.agree()
    three.close()


def test_a_producer_that_has_too_few_replicas_brings_back_what_has_returned(tmp_path: Path) -> None:
    three = Three(tmp_path, min_insync_replicas="2")
    three.send(b"a")
    back = [_renamed(three, 1), _renamed(three, 2)]
    assert isinstance(three.refused(b"b"), NotEnoughReplicasError)
    back[0]()
    with three.cluster.producer({**AT_ONCE, "retries": "1", "retry.backoff.ms": "1"}) as producer:
        producer.send("t", [b"c"], partitions=0)
    assert three.read() == [b"a", b"c"]
    assert three.row().isr == (0, 1)
    three.close()


# ------------------------------------------------------------------------------------------------------------ elections


def test_stopping_and_starting_brokers_moves_leaders(three: Three) -> None:
    three.send(b"a")
    three.cluster.stop_broker(0)
    assert (three.row().leader, three.row().leader_epoch, three.row().isr) == (1, 1, (1, 2))
    three.send(b"b")
    three.cluster.stop_broker(1)
    three.cluster.stop_broker(2)
    row = three.row()
    assert (row.leader, row.isr, row.elr) == (None, (), (2,))
    error = three.refused(b"c")
    assert isinstance(error, LeaderNotAvailableError)
    assert "pykafka brokers start 2" in str(error)
    three.cluster.start_broker(0)  # it lacks a record that was acknowledged
    assert three.row().leader is None
    assert isinstance(three.refused(b"c"), LeaderNotAvailableError)
    three.cluster.start_broker(2)
    assert three.row().leader == 2
    three.cluster.start_broker(1)
    assert sorted(three.row().isr) == [0, 1, 2]
    assert three.read() == [b"a", b"b"]
    three.agree()


def test_a_consumer_waits_while_nobody_leads(three: Three) -> None:
    three.send(b"a")
    for broker in range(3):
        three.cluster.stop_broker(broker)
    with EmbeddedCluster(three.directory) as other, other.consumer() as consumer:
        consumer.assign({T: OffsetAt.EARLIEST})
        assert consumer.poll(0.05) == []
        three.cluster.start_broker(2)
        assert consumer.poll(30.0)[0].values == [b"a"]


def test_the_preferred_leader_is_elected_when_it_is_in_sync(three: Three) -> None:
    three.send(b"a")
    three.cluster.stop_broker(0)
    (error,) = three.admin.elect_leaders(ElectionType.PREFERRED, [T]).values()
    assert isinstance(error, PreferredLeaderNotAvailableError)
    three.send(b"b")
    three.cluster.start_broker(0)
    assert three.row().leader == 1
    assert three.admin.elect_leaders(ElectionType.PREFERRED) == {T: None}
    assert (three.row().leader, three.row().leader_epoch) == (0, 2)
    assert three.admin.elect_leaders(ElectionType.PREFERRED) == {}
    (error,) = three.admin.elect_leaders(ElectionType.PREFERRED, [T]).values()
    assert isinstance(error, ElectionNotNeededError)
    three.send(b"c")
    three.agree()
    assert parse_leader_epochs((three.replica(2) / "leader-epoch-checkpoint").read_text()) == [(0, 0), (1, 1), (2, 2)]
    assert epochs(three.replica(1)) == [0, 1, 2]


def test_an_unclean_election_loses_what_only_others_had_and_truncates_them(three: Three) -> None:
    three.send(b"a")
    three.cluster.stop_broker(0)
    three.send(b"lost", b"lost too")
    three.cluster.stop_broker(1)
    three.cluster.stop_broker(2)
    three.cluster.start_broker(0)
    assert three.row().leader is None
    assert three.admin.elect_leaders(ElectionType.UNCLEAN) == {T: None}
    assert (three.row().leader, three.row().isr) == (0, (0,))
    three.sent = [b"a"]
    three.send(b"b")
    three.cluster.start_broker(1)
    three.cluster.start_broker(2)
    assert three.read() == [b"a", b"b"]
    three.agree()


def test_unclean_elections_happen_by_themselves_where_the_topic_says_so(tmp_path: Path) -> None:
    three = Three(tmp_path, unclean_leader_election_enable="true")
    three.send(b"a")
    three.cluster.stop_broker(0)
    three.send(b"lost")
    three.cluster.stop_broker(1)
    three.cluster.stop_broker(2)
    three.cluster.start_broker(0)
    assert three.row().leader == 0
    three.send(b"b")
    assert three.read() == [b"a", b"b"]
    three.close()


# ---------------------------------------------------------------------------------------------------------- coming back


def test_a_replica_that_was_away_gets_segments_indexes_and_retention(tmp_path: Path) -> None:
    three = Three(tmp_path, internal_segment_bytes="3000", index_interval_bytes="300")
    for number in range(30):
        three.send(b"%03d" % number * 60)
    back = _renamed(three, 2)
    for number in range(30, 90):
        three.send(b"%03d" % number * 60)
    three.admin.delete_records({T: 40})
    back()
    assert three.cluster.maintain().caught_up == 1
    three.agree()
    assert len(list_segments(Disk(), str(three.replica(2)))) > 3
    three.send(b"x")
    three.agree()
    three.cluster.stop_broker(0)
    three.cluster.stop_broker(1)
    assert three.row().leader == 2
    assert three.read() == three.sent[40:]
    three.close()


def test_a_compacted_log_is_the_same_at_a_replica_that_was_away(tmp_path: Path) -> None:
    three = Three(tmp_path, internal_segment_bytes="2000", cleanup_policy="compact", min_cleanable_dirty_ratio="0.01")

    def put(rounds: int) -> None:
        for number in range(rounds):
            three.producer.send("t", [b"v%d" % number + b"." * 80], keys=[b"k%d" % (number % 5)], partitions=0)
        assert not three.failures

    put(80)
    back = _renamed(three, 1)
    put(80)
    three.cluster.maintain()
    back()
    three.cluster.maintain()
    three.agree()
    put(80)
    three.cluster.maintain()
    three.agree()
    three.close()


def test_replicas_are_the_same_though_they_were_compacted_at_different_times(tmp_path: Path) -> None:
    three = Three(tmp_path, internal_segment_bytes="2000", cleanup_policy="compact", min_cleanable_dirty_ratio="0.01")
    back = _renamed(three, 2)
    for number in range(100):
        key = b"k%d" % (number % 5 if number < 60 else 9)
        three.producer.send("t", [None if number % 7 == 0 else b"." * 80], keys=[key], partitions=0)
    back()
    three.cluster.maintain()
    three.agree()
    # As if one of them had been at it at another time: a delete horizon of a millisecond later.
    for path in three.replica(1).glob("*.log"):
        data = bytearray(path.read_bytes())
        for batch in split_batches(bytes(data), 0):
            if batch.header.attributes & 1 << 6:
                data[batch.position + 34] ^= 1
                crc = google_crc32c.value(bytes(data[batch.position + 21 : batch.position + batch.header.size]))
                data[batch.position + 17 : batch.position + 21] = crc.to_bytes(4, "big")
        changed = bytes(data) != path.read_bytes()
        path.write_bytes(data)
        if changed:
            break
    else:
        raise AssertionError("no delete horizon was written")
    three.cluster.maintain()
    three.agree()
    assert sorted(three.row().isr) == [0, 1, 2]
    three.close()


# ---------------------------------------------------------------------------------------------------------------- moves


def test_a_partition_moves_to_other_brokers_under_its_producer(three: Three) -> None:
    three.cluster.add_broker()
    three.send(b"a")
    assert three.admin.alter_partition_reassignments({T: [3, 1]}) == {T: None}
    ((name, move),) = three.admin.list_partition_reassignments().items()
    assert (name, move.replicas, move.adding, move.removing) == (T, (3, 1, 0, 2), (3,), (0, 2))
    three.send(b"b")
    assert three.cluster.reassign() == {T: None}
    assert three.admin.list_partition_reassignments() == {}
    row = three.row()
    assert (row.leader, row.replicas, sorted(row.isr)) == (3, (3, 1), [1, 3])
    assert not three.replica(0).exists()
    three.send(b"c")
    three.agree(1, 3)
    assert three.read() == [b"a", b"b", b"c"]


def test_a_move_that_is_on_can_be_given_up_or_gone_on_with_by_maintain(three: Three) -> None:
    three.cluster.add_broker()
    three.send(b"a")
    three.admin.alter_partition_reassignments({T: [3]})
    assert three.admin.alter_partition_reassignments({T: None}) == {T: None}
    assert three.row().replicas == (0, 1, 2)
    (error,) = three.admin.alter_partition_reassignments({T: None}).values()
    assert isinstance(error, NoReassignmentInProgressError)
    assert str(error) == "No partition reassignment is in progress."
    (error,) = three.admin.alter_partition_reassignments({T: [9]}).values()
    assert isinstance(error, InvalidReplicaAssignmentError)
    three.admin.alter_partition_reassignments({T: [3]})
    three.cluster.maintain()
    assert (three.row().replicas, three.row().leader) == ((3,), 3)
    assert three.read() == [b"a"]


def test_a_move_that_is_given_up_while_it_copies_leaves_nothing_behind(three: Three) -> None:
    three.cluster.add_broker()
    three.send(b"a")
    three.admin.alter_partition_reassignments({T: [3, 1]})
    seen = []

    def give_up(leader: int, broker: int, count: int) -> None:
        seen.append((leader, broker, count > 0))
        assert three.replica(3).exists()
        assert three.admin.alter_partition_reassignments({T: None}) == {T: None}

    with pytest.raises((StoreError, FileNotFoundError)):
        Replicas(hosted(three.cluster.engine, T)).advance(give_up)
    assert seen == [(0, 3, True)]
    assert three.row().replicas == (1, 0, 2), "as in Kafka: those of the target first"
    assert not three.replica(3).exists()
    assert three.cluster.reassign() == {}
    three.send(b"b")
    three.agree()


def test_a_move_to_another_log_directory_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        paths = [str(tmp_path / name) for name in ("one", "two")]
        cluster.add_broker(log_dirs=paths)
        admin = cluster.admin()
        admin.create_topic("t", assignments=[[1]])
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"a"])
        here, there = sorted(paths, key=lambda path: not Path(path, "t-0").exists())
        admin.alter_replica_log_dirs({(T, 1): there})

        def give_up(*_: int) -> None:
            assert Path(there, "t-0").exists()
            assert admin.alter_replica_log_dirs({(T, 1): here}) == {(T, 1): None}

        with pytest.raises((StoreError, FileNotFoundError)):
            Replicas(hosted(cluster.engine, T)).advance(give_up)
        assert [Path(path, "t-0").exists() for path in (here, there)] == [True, False]
        assert cluster.reassign() == {}
        # A replica that is still to be added is made in the directory that it is wanted in.
        admin.alter_partition_reassignments({T: [0, 1]})
        assert cluster.reassign() == {T: None}
        admin.alter_partition_reassignments({T: [0]})
        assert cluster.reassign() == {}, "nothing was to be copied"
        admin.alter_partition_reassignments({T: [1]})
        admin.alter_replica_log_dirs({(T, 1): there})
        assert cluster.reassign() == {T: None}
        assert [Path(path, "t-0").exists() for path in (here, there)] == [False, True]


def test_a_throttle_holds_its_rate_and_follows_when_it_changes() -> None:
    now = 0.0

    class Sleeping(Clock):
        def monotonic(self) -> float:
            return now

        def sleep(self, seconds: float) -> None:
            nonlocal now
            now += seconds

    rate: int | None = 1000
    throttle = Throttle(lambda *_: rate, lambda: None, Sleeping())
    for _ in range(10):
        throttle.copied(0, 1, 500)
    assert 4.4 <= now <= 5.1
    rate = 100_000
    throttle.copied(0, 1, 100_000)
    assert 5.4 <= now <= 6.1
    rate = None
    before = now
    throttle.copied(0, 1, 1 << 30)
    assert now == before


def test_a_replica_moves_to_another_log_directory_under_its_readers(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        paths = [str(tmp_path / "one"), str(tmp_path / "two")]
        cluster.add_broker(log_dirs=paths)
        admin = cluster.admin()
        admin.create_topic("t", assignments=[[1], [1]])
        assert sorted(path.name for path in tmp_path.glob("*/t-*")) == ["t-0", "t-1"]
        assert len(list((tmp_path / "one").glob("t-*"))) == 1
        producer = cluster.producer(AT_ONCE)
        producer.send("t", [b"a"], partitions=0)
        consumer = cluster.consumer()
        consumer.assign({T: 0})
        assert consumer.poll(1.0)[0].values == [b"a"]
        (there,) = [path for path in paths if Path(path, "t-0").exists()]
        (other,) = [path for path in paths if path != there]
        assert admin.alter_replica_log_dirs({(T, 1): other}) == {(T, 1): None}
        producer.send("t", [b"b"], partitions=0)
        assert cluster.reassign() == {T: None}
        assert not Path(there, "t-0").exists()
        assert Path(other, "t-0").exists()
        producer.send("t", [b"c"], partitions=0)
        assert [value for run in consumer.poll(1.0) for value in run.values] == [b"b", b"c"]
        (one, two) = admin.describe_log_dirs([1])[1]
        assert {len(one.replicas), len(two.replicas)} == {0, 2}
        consumer.close()
        producer.close()


def test_the_only_brokers_log_directories_have_as_many_partitions_each(tmp_path: Path) -> None:
    """As ``log.dirs`` of a server's file names them. Source: LogManager#nextLogDirs."""
    format_data_directory(tmp_path / "d", "cluster", log_dirs=[str(tmp_path / "other")])
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.admin().create_topic("t", partitions=4)
        cluster.admin().create_partitions("t", 6)
        (there,) = cluster.admin().describe_log_dirs([0]).values()
        assert [len(each.replicas) for each in there] == [3, 3]


# -------------------------------------------------------------------------------------------------------------- brokers


def test_brokers_are_added_and_removed(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        assert cluster.add_broker().id == 1
        assert cluster.add_broker(7, [str(tmp_path / "x")]).log_dirs == (str(tmp_path / "x"),)
        assert cluster.admin().live_brokers() == (0, 1, 7)
        for broker, path, problem in (
            (7, "y", "Broker 7 exists already"),
            (8, "x", "is a broker's log directory already"),
            (8, "x/below", "is a broker's log directory already"),
            (8, "d/groups", "is a part of the data directory"),
            (-1, "y", "is no broker id"),
        ):
            with pytest.raises(InvalidRequestError, match=re.escape(problem)):
                cluster.add_broker(broker, [str(tmp_path / path)])
        cluster.admin().create_topic("t", assignments=[[7]])
        with pytest.raises(InvalidRequestError, match="holds 1 replica"):
            cluster.remove_broker(7)
        cluster.admin().delete_topic("t")
        cluster.remove_broker(7)
        cluster.remove_broker(1)
        with pytest.raises(InvalidRequestError, match="the only one"):
            cluster.remove_broker(0)


def test_a_topic_is_made_though_a_broker_is_stopped(tmp_path: Path) -> None:
    three = Three(tmp_path)
    three.cluster.stop_broker(1)
    found = three.admin.create_topic("u", partitions=4, replication_factor=3)
    assert {each.isr for each in found.partitions} <= {(0, 2), (2, 0)}
    three.cluster.start_broker(1)
    assert {len(each.isr) for each in three.admin.describe_topics(["u"])[0].partitions} == {3}
    three.close()


# ---------------------------------------------------------------------------------------------------- kills at any verb


class Killed(BaseException):
    """The process is gone in the middle of a verb; nothing of it runs any more."""


class DyingDisk(Disk):
    """Dies in the ``kill_at``-th verb of those that change something, before it or ``late``, after it; stays dead."""

    def __init__(self, kill_at: int = -1, *, late: bool = False) -> None:
        self.kill_at = kill_at
        self.late = late
        self.verbs = 0
        self.dead = False

    def _do(self, verb: Callable[[], object]) -> None:
        if self.dead:
            raise Killed
        self.verbs += 1
        if self.verbs - 1 == self.kill_at:
            self.dead = True
            if self.late:
                verb()
            raise Killed
        verb()

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        self._do(lambda: super(DyingDisk, self).write_at(descriptor, pieces, position, path))
        return position + sum(map(len, pieces))

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        self._do(lambda: super(DyingDisk, self).truncate(descriptor, size, path))

    def sync(self, descriptor: int, path: str = "") -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass

    def rename(self, old: str, new: str) -> None:
        self._do(lambda: super(DyingDisk, self).rename(old, new))

    def remove(self, path: str) -> None:
        self._do(lambda: super(DyingDisk, self).remove(path))

    def remove_tree(self, path: str) -> None:
        self._do(lambda: super(DyingDisk, self).remove_tree(path))

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        self._do(lambda: super(DyingDisk, self).make_directory(path, parents=parents))


def _story(path: Path, disk: DyingDisk, acknowledged: list[bytes]) -> None:
    """Appends with rolls, a leader that fails, one that comes back, a preferred election, a move."""
    with EmbeddedCluster(str(path / "d"), disk=disk) as cluster:
        producer = cluster.producer(AT_ONCE, on_failure=lambda failure: None)

        def send(*values: bytes) -> None:
            before = producer.acknowledged
            producer.send("t", values, partitions=0)
            acknowledged.extend(values[: producer.acknowledged - before])

        send(b"a" * 60)
        send(b"b" * 60, b"c" * 60)
        shutil.move(path / "d/brokers/0", path / "away")
        send(b"d" * 60)
        send(b"e" * 60)
        shutil.move(path / "away", path / "d/brokers/0")
        cluster.maintain()
        cluster.admin().elect_leaders(ElectionType.PREFERRED)
        send(b"f" * 60)
        cluster.admin().alter_partition_reassignments({T: [2, 3]})
        cluster.reassign()
        send(b"g" * 60)
        producer.close()


def _prepared(path: Path) -> None:
    with EmbeddedCluster(str(path / "d")) as cluster:
        for _ in range(3):
            cluster.add_broker()
        cluster.admin().create_topic("t", assignments=[[0, 1, 2]], configs={"internal.segment.bytes": "250"})


@pytest.mark.parametrize("shard", range(4))
@pytest.mark.parametrize("late", [False, True])
def test_a_kill_at_any_verb_loses_doubles_and_reorders_nothing(tmp_path: Path, late: bool, shard: int) -> None:
    prepared = tmp_path / "prepared"
    _prepared(prepared)
    counted = DyingDisk()
    shutil.copytree(prepared, tmp_path / "whole")
    whole: list[bytes] = []
    _story(tmp_path / "whole", counted, whole)
    assert len(whole) == 7
    assert counted.verbs > 150
    for kill_at in range(shard, counted.verbs, 4):
        path = tmp_path / f"{kill_at}"
        shutil.copytree(prepared, path)
        acknowledged: list[bytes] = []
        disk = DyingDisk(kill_at, late=late)
        with pytest.raises(Killed):
            _story(path, disk, acknowledged)
        if (path / "away").exists():
            shutil.move(path / "away", path / "d/brokers/0")
        seen = read(str(path / "d"))
        assert _is_history(seen, acknowledged, whole), (kill_at, seen)
        with EmbeddedCluster(str(path / "d")) as cluster:
            report = cluster.maintain()
            assert not report.failures
            (row,) = cluster.admin().describe_topics(["t"])[0].partitions
            assert sorted(row.isr) == sorted(row.replicas)
            first, *others = [content(path / f"d/brokers/{broker}/t-0") for broker in row.replicas]
            for other in others:
                assert other == first, kill_at
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"last"], partitions=0)
        after = read(str(path / "d"))
        assert after[: len(seen)] == seen, kill_at
        assert after[-1] == b"last"
        assert _is_history(after[:-1], acknowledged, whole), kill_at
        shutil.rmtree(path)


def _is_history(seen: Sequence[bytes | None], acknowledged: Sequence[bytes], whole: Sequence[bytes]) -> bool:
    """All that was acknowledged, in order, and of the rest at most the append that was on its way."""
    return list(seen) == whole[: len(seen)] and len(acknowledged) <= len(seen) <= len(acknowledged) + 2


def test_a_failure_of_any_verb_at_one_broker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Whatever one replica's disk does, the append goes on without it."""
    for broker in (0, 1):
        for fail_at in count():
            path = tmp_path / f"{broker}-{fail_at}"
            disk = OneFails(f"/brokers/{broker}/t-0", fail_at)
            three = Three(path, disk, internal_segment_bytes="250")
            disk.begin()
            for number in range(4):
                three.send(b"%d" % number * 60)
            assert three.read() == three.sent
            disk.heal()
            three.cluster.maintain()
            three.agree()
            three.close()
            shutil.rmtree(path)
            if disk.verbs <= fail_at:
                break
        assert fail_at > 50


class OneFails(Disk):
    """Fails for ever, from the n-th verb on files whose path holds ``part``."""

    def __init__(self, part: str, fail_at: int) -> None:
        self._part = part
        self._fail_at = fail_at
        self._on = False
        self.verbs = 0

    def begin(self) -> None:
        self._on = True

    def heal(self) -> None:
        self._on = False

    def _check(self, path: str) -> None:
        if self._on and self._part in path:
            self.verbs += 1
            if self.verbs > self._fail_at:
                raise StorageError(f"{path}: Input/output error")

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        self._check(path)
        return super().open(path, flags)

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        self._check(path)
        return super().write_at(descriptor, pieces, position, path)

    def read_at(self, descriptor: int, count: int, position: int, path: str = "") -> bytes:
        self._check(path)
        return super().read_at(descriptor, count, position, path)

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        self._check(path)
        super().truncate(descriptor, size, path)

    def sync(self, descriptor: int, path: str = "") -> None:
        self._check(path)


def test_a_flipped_bit_at_the_leader_is_an_error_and_no_reason_for_another_leader(three: Three) -> None:
    three.send(b"a" * 100)
    (log,) = three.replica(0).glob("*.log")
    data = bytearray(log.read_bytes())
    data[90] ^= 1
    log.write_bytes(data)
    with pytest.raises(CorruptRecordError, match="CRC"):
        three.read()
    assert three.row().leader == 0


def test_a_producer_that_lived_through_its_followers_being_copied_anew(tmp_path: Path) -> None:
    """Its open files are not those that are under these names by now."""
    three = Three(tmp_path, internal_segment_bytes="1000")
    try:
        for number in range(30):
            three.send(b"%d" % number + b"x" * 50)
        with EmbeddedCluster(three.directory) as other:
            other.stop_broker(1)
            min(three.replica(1).glob("*.log")).unlink()
            other.start_broker(1)
            assert sorted(other.admin().describe_topics(["t"])[0].partitions[0].isr) == [0, 1, 2]
        for number in range(3):
            three.send(b"%d" % number)
        assert three.row().isr == (0, 1, 2)
        three.agree()
    finally:
        three.close()
