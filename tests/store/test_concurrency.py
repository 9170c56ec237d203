"""Many processes on one directory: each one's order is kept, nobody's records are mixed up, nobody waits for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pykafka_store.embedded import database as database_module
from pykafka_store.embedded import locks as locks_module
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.leases import Lease
from pykafka_store.embedded.locks import Locks, SharedLocks
from pykafka_store.errors import StorageError, TimeoutError
from pykafka_store.model import TopicPartition
from tests.crash.forks import Forks
from tests.store.helpers import AT_ONCE, rows
from tests.support import descriptors


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "errors") as forks:
        yield forks
    forks.check_complaints()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        yield cluster


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or not path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("configs", [{}, {"internal.segment.bytes": "2000", "index.interval.bytes": "200"}])
def test_every_writers_order_is_kept_in_every_partition(
    tmp_path: Path, forks: Forks, cluster: EmbeddedCluster, configs: dict[str, str]
) -> None:
    """Four processes, three partitions, no gap between offsets, every acknowledgement true."""
    writers, partitions, count = 4, 3, 150
    cluster.admin().create_topic("t", partitions=partitions, configs=configs)
    (tmp_path / "said").mkdir()
    said = [tmp_path / "said" / str(number) for number in range(writers)]
    pids = [
        forks.start("batch_writer", cluster.directory, "t", number, partitions, count, str(path), writers)
        for number, path in enumerate(said)
    ]
    assert [forks.wait(pid) for pid in pids] == [0] * writers, forks.complaints()
    told = {
        number: [tuple(map(int, line.split())) for line in path.read_text().splitlines()]
        for number, path in enumerate(said)
    }
    for partition in range(partitions):
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition("t", partition): 0})
            found = []
            while some := consumer.poll():
                found += rows(some)
        assert [row.offset for row in found] == list(range(writers * count))
        values = [row.value or b"" for row in found]
        for number in range(writers):
            own = [value for value in values if value.startswith(b"%d:" % number)]
            assert own == [b"%d:%d:" % (number, i) for i in range(count)]
            at = [offset + i for where, offset, size in told[number] if where == partition for i in range(size)]
            assert [values[offset] for offset in at] == own
    turns = [value.split(b":")[0] for value in values]
    assert sum(a != b for a, b in pairwise(turns)) > writers, "one wrote all it had before another began"


def test_a_reader_never_sees_half_of_what_is_being_written(
    tmp_path: Path, forks: Forks, cluster: EmbeddedCluster
) -> None:
    """Following while others write: offsets without a gap, values in their writers' order, as they come."""
    cluster.admin().create_topic("t", configs={"internal.segment.bytes": "2000"})
    pids = [
        forks.start("batch_writer", cluster.directory, "t", number, 1, 300, str(tmp_path / f"said-{number}"))
        for number in range(3)
    ]
    following = [0, 0, 0]
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", 0): 0})
        offset = 0
        deadline = time.monotonic() + 60
        while offset < 900:
            assert time.monotonic() < deadline, forks.complaints()
            for row in rows(consumer.poll(timeout=0.1)):
                assert row.offset == offset
                offset += 1
                number, record, _ = (row.value or b"").split(b":")
                assert int(record) == following[int(number)]
                following[int(number)] += 1
        assert consumer.poll() == []
    assert [forks.wait(pid) for pid in pids] == [0, 0, 0]


# --------------------------------------------------------------------------------------------------------------- locks


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[Locks]:
    locks = Locks(str(tmp_path), Disk(), Clock())
    yield locks
    locks.close()


def test_locks_nest_in_one_order_only(locks: Locks) -> None:
    """Cluster before partition: any other order, and the same twice, is a mistake that is told at once."""
    with locks.cluster(), locks.partition("topic", 0):
        pass
    for first, second in (
        (lambda: locks.partition("topic", 0), locks.cluster),
        (lambda: locks.partition("topic", 0), lambda: locks.partition("topic", 1)),
        (locks.cluster, locks.cluster),
    ):
        with first(), pytest.raises(AssertionError, match="out of order"), second():
            pass
    with locks.cluster(), locks.partition("topic", 0):
        pass


def test_a_lock_is_let_go_whatever_happens_inside(tmp_path: Path, locks: Locks) -> None:
    other = Locks(str(tmp_path), Disk(), Clock())
    for kind in (ValueError, KeyboardInterrupt):
        with pytest.raises(kind), locks.partition("topic", 0):
            raise kind
        with other.partition("topic", 0):
            pass
    other.close()


def test_who_waits_for_a_lock_gets_it_when_it_is_free(tmp_path: Path, locks: Locks) -> None:
    other = Locks(str(tmp_path), Disk(), Clock())
    held, got = threading.Event(), threading.Event()
    order: list[str] = []

    def wait() -> None:
        held.wait()
        with other.cluster():
            order.append("second")
        got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    with locks.cluster():
        held.set()
        order.append("first")
    assert got.wait(60)
    thread.join()
    assert order == ["first", "second"]
    other.close()


class CountingClock(Clock):
    """Counts how often somebody asked for a while."""

    def __init__(self) -> None:
        self.naps = 0

    def sleep(self, seconds: float) -> None:
        self.naps += 1
        super().sleep(seconds)


def _in_the_queue(path: Path) -> int:
    """How many wait for the lock of a file in the kernel."""
    name = f":{path.stat().st_ino} "
    return sum(" -> " in line and name in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for a lock")
def test_whoever_waits_is_woken_in_turn_and_does_not_poll(tmp_path: Path, locks: Locks) -> None:
    """Two hundred that ask again and again leave no processor to the one that they wait for, and some get no turn."""
    path = tmp_path / "cluster.lock"
    order: list[int] = []
    clocks = [CountingClock() for _ in range(12)]

    def wait(number: int) -> None:
        own = Locks(str(tmp_path), Disk(), clocks[number])
        with own.cluster():
            order.append(number)
        own.close()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(len(clocks))]
    with locks.cluster():
        for number, thread in enumerate(threads):
            thread.start()
            deadline = time.monotonic() + 30
            while _in_the_queue(path) <= number:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        naps = [clock.naps for clock in clocks]
    for thread in threads:
        thread.join(30)
    assert order == list(range(len(clocks)))
    assert [clock.naps for clock in clocks] == naps, "whoever is in the queue asks no more"


def test_who_gives_up_waiting_leaves_the_lock_to_others(
    tmp_path: Path, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever timed out is still in the kernel's queue: the lock that falls to it there must be free at once."""
    other = Locks(str(tmp_path), Disk(), Clock())
    with monkeypatch.context() as hasty:
        hasty.setattr(locks_module, "TIMEOUT", 0.2)
        with locks.cluster(), pytest.raises(TimeoutError), other.cluster():
            pass
    third = Locks(str(tmp_path), Disk(), Clock())
    for each in (third, other, locks):
        with each.cluster():
            pass
    third.close()
    other.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for a lock")
def test_a_signal_ends_waiting_for_a_lock(tmp_path: Path, locks: Locks) -> None:
    """Ctrl-C is heard in the queue."""
    path = tmp_path / "cluster.lock"
    other = Locks(str(tmp_path), Disk(), Clock())

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _in_the_queue(path):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = threading.Thread(target=interrupt)
        with locks.cluster():
            thread.start()
            with pytest.raises(KeyboardInterrupt), other.cluster():
                raise AssertionError("the lock was held")
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    with other.cluster():
        pass
    other.close()


def test_a_queue_that_moves_is_no_frozen_holder(tmp_path: Path, locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as others get their turn, one waits for one's own; and in the end the error says what it was."""
    path = tmp_path / "cluster.lock"
    monkeypatch.setattr(locks_module, "TIMEOUT", 0.2)
    monkeypatch.setattr(locks_module, "LONGEST_QUEUE", 1.0)
    moving = threading.Event()

    class Moving(Clock):
        """Another process gets the lock in its turn whenever this one looks at the time."""

        def monotonic(self) -> float:
            path.touch()
            time.sleep(0.002)
            moving.set()
            return super().monotonic()

    other = Locks(str(tmp_path), Disk(), Moving())
    with locks.cluster(), pytest.raises(TimeoutError, match="wanted by so many processes") as caught, other.cluster():
        pass
    assert moving.is_set()
    assert "frozen" not in str(caught.value)
    other.close()


def test_a_system_without_locks_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken, waited for, only looked at, and a lease of a group's member: each names the file and what to do."""
    directory = str(tmp_path / "d")
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t")
    flock, refused = fcntl.flock, errno.ENOLCK

    def at_once(descriptor: int, how: int) -> None:
        if how != fcntl.LOCK_UN:
            raise OSError(refused, os.strerror(refused))
        flock(descriptor, how)

    def when_waited_for(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        at_once(descriptor, how)

    words = r"locks available: it can't be locked: a data directory belongs on a local file system that has locks$"
    lock = f"{directory}/locks/cluster.lock"
    for refuse in (at_once, when_waited_for):
        with EmbeddedCluster(directory) as cluster, monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", refuse)
            with pytest.raises(StorageError, match=f"{re.escape(lock)}: .*{words}"):
                cluster.admin().create_topic("u")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", at_once)
        shared = SharedLocks(f"{directory}/locks", Disk(), Clock())
        with pytest.raises(StorageError, match=f"{re.escape(lock)}: .*{words}"), shared.cluster():
            pass
        with pytest.raises(StorageError, match=f"{re.escape(str(tmp_path))}/leases/member.*{words}"):
            Lease(Disk(), str(tmp_path / "leases"), "member", 60.0, 60.0)
    with EmbeddedCluster(directory) as cluster:  # and none of them has kept anything
        cluster.admin().create_topic("u")


def test_many_processes_make_topics_in_a_directory_that_does_not_exist_yet(tmp_path: Path, forks: Forks) -> None:
    """All at once: each makes a topic of its own, and writes to one that is shared."""
    directory = str(tmp_path / "new")
    pids = [forks.start("first_of_many", directory, number) for number in range(24)]
    assert [forks.wait(pid) for pid in pids] == [0] * len(pids), forks.complaints()
    with EmbeddedCluster(directory) as cluster:
        assert {each.name for each in cluster.admin().list_topics()} == {"shared"} | {f"t{n}" for n in range(24)}
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition("shared", 0): 0})
            found = []
            while some := consumer.poll():
                found += rows(some)
    assert sorted(int(row.value or b"") for row in found) == sorted(n for n in range(24) for _ in range(10))


def test_a_frozen_holder_of_a_lock_is_an_error_that_names_it_and_a_dead_one_is_none(
    tmp_path: Path, forks: Forks, cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting ends; who reads does not wait at all; and when the holder is dead everything goes on."""
    topic = cluster.admin().create_topic("t")
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"before"])
    pid = forks.start("lock_holder", cluster.directory, "t", str(tmp_path / "said"))
    _wait_for(tmp_path / "said")
    os.kill(pid, signal.SIGSTOP)
    path = f"{cluster.directory}/locks/{topic.topic_id}-0.lock"
    with cluster.producer(AT_ONCE) as producer:
        with monkeypatch.context() as hasty, pytest.raises(TimeoutError) as caught:
            hasty.setattr(locks_module, "TIMEOUT", 0.2)
            producer.send("t", [b"meanwhile"])
        assert path in str(caught.value)
        assert "frozen" in str(caught.value)
        if sys.platform == "linux":
            assert f"held by process {pid}, which is stopped, for" in str(caught.value)
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition("t", 0): 0})
            assert [row.value for row in rows(consumer.poll())] == [b"before"]
        forks.kill(pid)
        producer.send("t", [b"after"])
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", 0): 0})
        assert [row.value for row in rows(consumer.poll())] == [b"before", b"after"]


def test_a_frozen_deleter_or_deletee_leaves_a_topic_that_is_there_or_gone(
    tmp_path: Path, forks: Forks, cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting waits for a writer; where that is frozen, the topic is gone from the catalogue and can be made again."""
    cluster.admin().create_topic("t")
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"old"])
    pid = forks.start("lock_holder", cluster.directory, "t", str(tmp_path / "said"))
    _wait_for(tmp_path / "said")
    with monkeypatch.context() as hasty, pytest.raises(TimeoutError):
        hasty.setattr(locks_module, "TIMEOUT", 0.2)
        cluster.admin().delete_topic("t")
    assert cluster.admin().list_topics() == []
    cluster.admin().create_topic("t")
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"new"])
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", 0): 0})
        assert [row.value for row in rows(consumer.poll())] == [b"new"]
    forks.kill(pid)


def test_a_frozen_transaction_of_the_catalogue_is_an_error_by_name(
    tmp_path: Path, forks: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.2)
    directory = str(tmp_path / "data")
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t")
        pid = forks.start("catalogue_holder", directory, str(tmp_path / "said"))
        _wait_for(tmp_path / "said")
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(
            StorageError, match=r"metadata\.db was held by another process for 0\.2 s: it may be frozen"
        ):
            cluster.admin().create_topic("u")
        with cluster.producer(AT_ONCE) as producer:  # appends need no transaction
            producer.send("t", [b"x"])
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]
        forks.kill(pid)
        cluster.admin().create_topic("u")


@pytest.mark.skipif(not descriptors.OURS.exists(), reason="no list of a process's descriptors here")
def test_a_producer_lets_go_of_partitions_it_has_not_used_for_long(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many partitions never need so many open files."""
    from pykafka_store.embedded.clients import producer as producer_module

    monkeypatch.setattr(producer_module, "OPEN_PARTITIONS", 5)
    cluster.admin().create_topic("t", partitions=40)
    with cluster.producer(AT_ONCE) as producer:
        before = descriptors.open_below(cluster.directory)
        for round_ in range(3):
            producer.send("t", [b"%d" % round_] * 40, partitions=list(range(40)))
        # Four files of each open partition's, and the lock of each partition.
        assert descriptors.open_below(cluster.directory) - before <= 4 * 5 + 40
    for partition in range(40):
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition("t", partition): 0})
            assert [row.value for row in rows(consumer.poll())] == [b"0", b"1", b"2"]
