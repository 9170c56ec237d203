"""One cluster, many threads: what may be shared, what may not and says so, and what a fork leaves to the child."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import ConcurrentModificationError, TopicExistsError
from pykafka_store.model import OffsetAt, TopicPartition
from tests.support import descriptors

THREADS = 8


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        yield cluster


def in_threads(work: Callable[[int], object], count: int = THREADS) -> list[object]:
    """What ``work(0)`` to ``work(count - 1)`` answered, each in a thread of its own, all begun at once."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> object:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def values(cluster: EmbeddedCluster, topic: str, partitions: int = 1) -> list[bytes | None]:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, number): OffsetAt.EARLIEST for number in range(partitions)})
        found: list[bytes | None] = []
        while runs := consumer.poll():
            found += [value for run in runs for value in run.values]
    return found


# ------------------------------------------------------------------------------------------------------------ sharing


def test_a_cluster_is_used_in_another_thread_than_the_one_that_opened_it(cluster: EmbeddedCluster) -> None:
    def work(_: int) -> list[bytes | None]:
        cluster.admin().create_topic("t")
        with cluster.producer() as producer:
            producer.send("t", [b"a", b"b"])
        with cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
            consumer.subscribe(["t"])
            return [value for run in consumer.poll(30.0) for value in run.values]

    assert in_threads(work, 1) == [[b"a", b"b"]]
    assert cluster.admin().group_offsets("g")[TopicPartition("t", 0)].offset == 2


def test_a_thread_a_request_needs_no_end_of_descriptors(cluster: EmbeddedCluster) -> None:
    """A server of many short threads: what a thread opened would pile up."""
    cluster.admin().create_topic("t")
    if not descriptors.OURS.exists():
        pytest.skip("no list of a process's descriptors here")

    def request(_: int) -> None:
        cluster.admin().list_topics()
        cluster.admin().list_groups()

    in_threads(request, 1)
    before = descriptors.open_below(cluster.directory)
    for _ in range(20):
        in_threads(request, 2)
    assert descriptors.open_below(cluster.directory) <= before


def test_of_threads_that_create_one_topic_one_does(cluster: EmbeddedCluster) -> None:
    def create(_: int) -> str:
        try:
            return cluster.admin().create_topic("t", partitions=3).topic_id
        except TopicExistsError:
            return "exists"

    outcome = Counter(in_threads(create))
    assert outcome["exists"] == THREADS - 1
    assert len(cluster.admin().describe_topics()) == 1


def test_topics_come_and_go_in_many_threads(cluster: EmbeddedCluster) -> None:
    def work(number: int) -> None:
        admin = cluster.admin()
        for turn in range(4):
            admin.create_topic(f"t{number}-{turn}", partitions=2)
            with cluster.producer() as producer:
                producer.send(f"t{number}-{turn}", [b"x"] * 10)
            if turn % 2:
                admin.delete_topic(f"t{number}-{turn}")

    in_threads(work)
    names = {topic.name for topic in cluster.admin().list_topics()}
    assert names == {f"t{number}-{turn}" for number in range(THREADS) for turn in (0, 2)}


def test_a_producer_a_thread_and_each_ones_order_is_kept(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t")
    count = 40

    def work(number: int) -> int:
        with cluster.producer() as producer:
            for index in range(count):
                producer.send("t", [b"%d:%d" % (number, index)])
        return producer.acknowledged

    assert in_threads(work) == [count] * THREADS
    found = [tuple(map(int, (value or b"").split(b":"))) for value in values(cluster, "t")]
    assert len(found) == count * THREADS
    for number in range(THREADS):
        assert [index for who, index in found if who == number] == list(range(count))


def test_one_producer_serves_many_threads(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", partitions=2)
    count = 100
    with cluster.producer() as producer:

        def work(number: int) -> None:
            for index in range(count):
                producer.send("t", [b"%d:%d" % (number, index)], partitions=number % 2)

        in_threads(work)
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (count * THREADS, 0)
    found = [tuple(map(int, (value or b"").split(b":"))) for value in values(cluster, "t", 2)]
    assert len(found) == count * THREADS
    for number in range(THREADS):
        assert [index for who, index in found if who == number] == list(range(count))


def test_members_of_a_group_in_threads_share_its_partitions(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", partitions=THREADS)
    total = 400
    with cluster.producer() as producer:
        producer.send("t", [b"%d" % n for n in range(total)], partitions=[n % THREADS for n in range(total)])
    seen: list[bytes | None] = []
    lock = threading.Lock()
    deadline = time.monotonic() + 60

    def work(_: int) -> None:
        with cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
            consumer.subscribe(["t"])
            while len(seen) < total and time.monotonic() < deadline:
                for run in consumer.poll(0.05):
                    with lock:
                        seen.extend(run.values)

    in_threads(work, 4)
    assert sorted(seen, key=lambda value: int(value or b"")) == [b"%d" % n for n in range(total)]
    assert sum(each.offset for each in cluster.admin().group_offsets("g").values()) == total


def test_maintenance_goes_on_beside_writers_of_the_same_process(cluster: EmbeddedCluster) -> None:
    configs = {"internal.segment.bytes": "2000", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.0"}
    cluster.admin().create_topic("t", configs=configs)
    done = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            while not done.is_set():
                cluster.maintain()
            return
        try:
            with cluster.producer() as producer:
                for index in range(200):
                    producer.send("t", [b"%d" % index] * 5, keys=[b"%d" % number] * 5)
                    producer.flush()
        finally:
            done.set()

    in_threads(work, 2)
    assert values(cluster, "t")[-1] == b"199"


# -------------------------------------------------------------------------------------------------------------- locks


def test_threads_of_one_process_exclude_each_other(cluster: EmbeddedCluster) -> None:
    """A lock of the kernel's belongs to an open file, which threads share."""
    held: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with cluster.engine.locks.partition("id", 0):
                held.append(number)
                time.sleep(0)  # whoever else may run, runs now
                assert held == [number]
                held.pop()

    in_threads(work)


def test_a_lock_that_nobody_waits_for_is_taken_in_another_thread(cluster: EmbeddedCluster) -> None:
    locks = cluster.engine.locks

    def try_it(_: int) -> bool:
        with locks.upkeep("id", 0) as ours:
            return ours

    with locks.upkeep("id", 0) as ours:
        assert ours
        assert in_threads(try_it, 1) == [False]
        locks.close_partition("id", 0)  # a lock that is held keeps its file
        assert in_threads(try_it, 1) == [False]
    assert in_threads(try_it, 1) == [True]


def test_the_order_of_locks_is_each_threads_own(cluster: EmbeddedCluster) -> None:
    locks = cluster.engine.locks

    def take_cluster(_: int) -> bool:
        with locks.cluster():
            return True

    with locks.partition("id", 0):
        assert in_threads(take_cluster, 1) == [True]
        with pytest.raises(AssertionError, match="out of order"), locks.cluster():
            pass


# ---------------------------------------------------------------------------------------------------------- consumers


@pytest.mark.parametrize("config", [{}, {"group.id": "g"}])
def test_a_consumer_that_two_threads_use_at_once_says_so(cluster: EmbeddedCluster, config: dict[str, str]) -> None:
    cluster.admin().create_topic("t")
    entered, left = threading.Event(), threading.Event()
    with cluster.consumer(config) as consumer, ExitStack() as in_the_end:
        in_the_end.callback(left.set)
        consumer.subscribe(["t"])

        def hold(_timeout: float = 0.0, _descriptor: int = -1) -> None:
            entered.set()
            left.wait(30)

        cluster.engine.clock.sleep = cluster.engine.clock.wait = hold  # type: ignore[method-assign]  # poll waits in these
        thread = threading.Thread(target=consumer.poll, args=(0.2,), name="reader")
        thread.start()
        assert entered.wait(30)
        with pytest.raises(ConcurrentModificationError, match=r"not safe for multi-threaded access.*reader"):
            consumer.poll()
        with pytest.raises(ConcurrentModificationError):
            consumer.close()
        left.set()
        thread.join(30)
        del cluster.engine.clock.sleep, cluster.engine.clock.wait
        consumer.poll()


def test_a_consumer_goes_from_thread_to_thread(cluster: EmbeddedCluster) -> None:
    """As ``asyncio.to_thread`` does it: one thread at a time, whichever."""
    cluster.admin().create_topic("t")
    with cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
        consumer.subscribe(["t"])
        found: list[object] = []
        for turn in range(3):
            with cluster.producer() as producer:
                producer.send("t", [b"%d" % turn])
            runs = in_threads(lambda _: consumer.poll(30.0), 1)[0]
            assert isinstance(runs, list)
            found += [value for run in runs for value in run.values]
        assert found == [b"0", b"1", b"2"]


# --------------------------------------------------------------------------------------------------------------- fork

FORK = """
    import os, sys
    from pykafka_store import StorageError, open_cluster

    with open_cluster(sys.argv[1]) as cluster:
        cluster.admin().create_topic("t")
        producer = cluster.producer()
        producer.send("t", [b"before"])
        producer.flush()
        consumer = cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["t"])
        consumer.poll(30.0)
        child = os.fork()
        if not child:
            refused = 0
            for use in (
                cluster.admin().list_topics, cluster.admin().list_groups, lambda: producer.send("t", [b"x"]),
                lambda: consumer.poll(0), consumer.commit, lambda: cluster.admin().create_topic("u"),
            ):
                try:
                    use()
                except StorageError as error:
                    refused += "forked" in str(error)
            cluster.close()  # takes nothing from the parent
            with open_cluster(sys.argv[1]) as own, own.producer() as another:
                another.send("t", [b"child"])
            os._exit(0 if refused == 6 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        producer.send("t", [b"after"])
        producer.close()
        print([value for run in consumer.poll(30.0) for value in run.values], len(cluster.admin().list_groups()))
        consumer.close()
"""


def test_what_a_fork_takes_along_is_refused_there_and_works_on_here(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), str(tmp_path / "data")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[b'child', b'after'] 1\n"


FORK_UNDER_LOCK = """
    import os, sys
    from pykafka_store.embedded.cluster import EmbeddedCluster

    cluster = EmbeddedCluster(sys.argv[1])
    with cluster.engine.locks.partition("id", 0):
        ready, told = os.pipe()
        if not os.fork():
            os.close(told)
            os.read(ready, 1)  # until the parent is gone
            with EmbeddedCluster(sys.argv[1]) as own, own.engine.locks.upkeep("id", 0), \
                    own.engine.locks.partition("id", 0):
                print("taken", flush=True)
            os._exit(0)
        os._exit(0)
"""


def test_a_childs_copy_of_a_lock_keeps_nobody_out(tmp_path: Path) -> None:
    """The kernel drops a lock when the last descriptor of its file goes, and a child has those of its parent."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK_UNDER_LOCK), str(tmp_path / "data")],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "taken\n", "")
