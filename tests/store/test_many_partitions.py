"""What is done to all partitions of a topic at once does not pay for what none of them has, and nothing goes wrong when
somebody comes to one of them amid it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.replicas import Replicas
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.embedded.replication.writer import open_writer
from pykafka_store.errors import StorageError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import check_data_directory
from tests.store.helpers import AT_ONCE, STATE, QuickDisk, batch
from tests.store.test_replication import Three, read
from tests.support.faulty_disk import FaultyDisk

TOPIC = [TopicPartition("t", number) for number in range(4)]
T1 = TOPIC[1]


class Interrupted(QuickDisk):
    """Something happens just before the first call of one verb for a path that ends so."""

    def __init__(self, verb: str, end: str, happens: Callable[[], None]) -> None:
        self._at: tuple[str, str] | None = (verb, end)
        self._happens = happens

    def _turn(self, verb: str, path: str) -> None:
        if self._at is not None and verb == self._at[0] and path.endswith(self._at[1]):
            self._at = None
            self._happens()

    @property
    def has_happened(self) -> bool:
        return self._at is None

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        self._turn("open", path)
        return super().open(path, flags)

    def write_at(self, descriptor: int, pieces: Sequence[bytes | memoryview], position: int, path: str = "") -> int:
        self._turn("write_at", path)
        return super().write_at(descriptor, pieces, position, path)

    def rename(self, old: str, new: str) -> None:
        self._turn("rename", old)
        super().rename(old, new)


def made(directory: Path, *, with_records: Sequence[int] = ()) -> EmbeddedCluster:
    """A cluster with a topic of four partitions, of which some have a record."""
    cluster = EmbeddedCluster(str(directory))
    cluster.admin().create_topic("t", partitions=4)
    with cluster.producer(AT_ONCE) as producer:
        for partition in with_records:
            producer.send("t", [b"old"], partitions=partition)
    return cluster


def locks_of(directory: Path) -> set[str]:
    """The lock files of partitions."""
    return {name for name in os.listdir(directory / "locks") if name != "cluster.lock"}


# --------------------------------------------------------------------------------------------------------- deletions


def test_a_deletion_takes_the_locks_that_have_files_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "d"
    made(path, with_records=[2]).close()
    assert len(locks_of(path)) == 1
    opened: list[str] = []

    class Noted(QuickDisk):
        def open(self, path: str, flags: int = os.O_RDONLY) -> int:
            opened.append(os.path.basename(path))
            return super().open(path, flags)

    (lock,) = locks_of(path)
    with EmbeddedCluster(str(path), disk=Noted()) as cluster:
        cluster.admin().delete_topic("t")
    assert [name for name in opened if name.endswith(".lock")] == ["cluster.lock", lock]
    assert locks_of(path) == set()
    assert os.listdir(path / "brokers" / "0") == []


def comes_to_write(cluster: EmbeddedCluster) -> Callable[[], None]:
    topic_id = cluster.admin().describe_topics(["t"])[0].topic_id
    writer = open_writer(cluster.engine, topic_id, T1)
    return lambda: str(writer.append([batch(b"late")]))


def comes_to_maintain(cluster: EmbeddedCluster) -> Callable[[], None]:
    (upkeep,) = upkeep_of(hosted(cluster.engine, T1))
    return lambda: str(upkeep.run())


def comes_to_delete_records(cluster: EmbeddedCluster) -> Callable[[], None]:
    (upkeep,) = upkeep_of(hosted(cluster.engine, T1))
    return lambda: str(upkeep.raise_log_start(0))


def comes_to_settle(cluster: EmbeddedCluster) -> Callable[[], None]:
    return Replicas(hosted(cluster.engine, T1)).settle


@pytest.mark.parametrize("verb", ["open", "write_at", "rename"])
@pytest.mark.parametrize("comes", [comes_to_write, comes_to_maintain, comes_to_delete_records, comes_to_settle])
def test_who_comes_to_a_partition_amid_its_deletion_touches_nothing(
    tmp_path: Path, verb: str, comes: Callable[[EmbeddedCluster], Callable[[], None]]
) -> None:
    """He knew the topic before, and nobody has the lock: no file of it was there when the deletion looked."""
    path = tmp_path / "d"
    replica = path / "brokers" / "0" / "t-1"
    with made(path) as other:
        work = comes(other)

        def happens() -> None:
            before = {name: (replica / name).read_bytes() for name in os.listdir(replica)}
            for _ in range(2):  # the second time its lock has a file
                with pytest.raises(UnknownTopicOrPartitionError, match="t-1 is gone: topic t was deleted"):
                    work()
            assert {name: (replica / name).read_bytes() for name in os.listdir(replica)} == before

        disk = Interrupted(verb, "t-1" if verb == "rename" else f"t-1/{STATE}", happens)
        with EmbeddedCluster(str(path), disk=disk) as cluster:
            cluster.admin().delete_topic("t")
        assert disk.has_happened
    assert os.listdir(path / "brokers" / "0") == []


def test_a_process_that_has_the_lock_open_is_waited_for(tmp_path: Path) -> None:
    """It opened it before the topic was gone, so its file is found, though nothing was appended under it."""
    path = tmp_path / "d"
    with made(path) as other:
        partition = hosted(other.engine, T1)
        locked: list[bool] = []

        def happens() -> None:
            with partition.engine.locks.partition(partition.topic_id, 1):
                locked.append(True)

        with partition.lock():
            pass  # its file is there, and open
        disk = Interrupted("open", f"{partition.topic_id}-1.lock", happens)
        with EmbeddedCluster(str(path), disk=disk) as cluster:
            cluster.admin().delete_topic("t")
        assert locked == [True]


@pytest.mark.parametrize("how", ["error", "late"])
def test_a_deletion_that_is_killed_at_any_verb_is_finished_whoever_made_the_topic_again(
    tmp_path: Path, how: str
) -> None:
    for number in range(200):
        path = tmp_path / str(number)
        made(path, with_records=[2]).close()
        dying = FaultyDisk(number, how=how, stays_dead=True)
        with suppress(StorageError), EmbeddedCluster(str(path), disk=dying) as cluster:
            cluster.admin().delete_topic("t")
        with EmbeddedCluster(str(path), disk=QuickDisk()) as cluster:
            admin = cluster.admin()
            if admin.list_topics():
                assert admin.list_offsets(dict.fromkeys(TOPIC, OffsetAt.LATEST)) == dict(
                    zip(TOPIC, [0, 0, 1, 0], strict=True)
                )
                admin.delete_topic("t")
            elif number % 2:
                assert not cluster.maintain().failures
            admin.create_topic("t", partitions=4)
            assert not cluster.maintain().failures
            assert set(admin.list_offsets(dict.fromkeys(TOPIC, OffsetAt.LATEST)).values()) == {0}
            with cluster.producer(AT_ONCE) as producer:
                for each in TOPIC:
                    producer.send("t", [b"new"], partitions=each.partition)
            assert set(admin.list_offsets(dict.fromkeys(TOPIC, OffsetAt.LATEST)).values()) == {1}
        assert check_data_directory(path).findings == ()
        assert sorted(os.listdir(path / "brokers" / "0")) == [str(each) for each in TOPIC]
        if not dying.failed:
            break
    assert 20 < number < 199


# ----------------------------------------------------------------------------------------------------------- offsets


def test_offsets_are_those_of_the_topic_that_is_there_when_they_are_told(tmp_path: Path) -> None:
    """It is deleted, and made again, while its partitions are gone over."""
    path = tmp_path / "d"
    with made(path, with_records=range(4)) as other:

        def happens() -> None:
            other.admin().delete_topic("t")
            other.admin().create_topic("t", partitions=4)

        disk = Interrupted("open", f"t-2/{STATE}", happens)
        with EmbeddedCluster(str(path), disk=disk) as cluster:
            answers = cluster.admin().list_offsets(dict.fromkeys(TOPIC, OffsetAt.LATEST))
        assert disk.has_happened
        assert set(answers.values()) == {0}


def test_offsets_are_those_of_who_leads_when_they_are_told(tmp_path: Path) -> None:
    """The leader goes, and another one has more by the time that the first one's state is read."""
    three = Three(tmp_path)
    three.send(b"a")
    t0 = TopicPartition("t", 0)

    def happens() -> None:
        three.cluster.stop_broker(0)
        three.send(b"b", b"c")

    disk = Interrupted("open", f"brokers/0/t-0/{STATE}", happens)
    with EmbeddedCluster(three.directory, disk=disk) as cluster:
        assert cluster.admin().list_offsets({t0: OffsetAt.LATEST}) == {t0: 3}
    assert disk.has_happened
    assert read(three.directory) == [b"a", b"b", b"c"]
    three.close()


def test_one_state_that_is_lost_or_half_written_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with made(path, with_records=[0, 1]) as cluster:
        (path / "brokers" / "0" / "t-0" / STATE).unlink()
        (path / "brokers" / "0" / "t-2" / STATE).write_bytes(b"PKST")
        answers = cluster.admin().list_offsets({**dict.fromkeys(TOPIC, OffsetAt.LATEST), TopicPartition("t", 9): -1})
    assert [answers[each] for each in TOPIC] == [1, 1, 0, 0]
    assert isinstance(answers[TopicPartition("t", 9)], UnknownTopicOrPartitionError)
    assert list(answers) == [*TOPIC, TopicPartition("t", 9)]
