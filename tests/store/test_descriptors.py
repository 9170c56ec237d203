"""How many partitions a process works with is no question of how many files it may have open."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pykafka_store.embedded import locks as locks_module
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.locks import Locks
from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from tests.support import descriptors

PARTITIONS = 150
LIMIT = 96
"""Descriptors beyond those that the test's process has at its beginning, of which it may have many in a long run: then
as many again, for the engine goes by the limit as a whole.
"""


@contextmanager
def few_descriptors(count: int = LIMIT) -> Iterator[None]:
    gc.collect()  # what earlier tests left to it may hold files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd"))) if os.path.isdir("/proc/self/fd") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + max(count, used), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=[1, 3])
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        for _ in range(request.param - 1):
            cluster.add_broker()
        cluster.admin().create_topic("t", partitions=PARTITIONS, replication_factor=request.param)
        yield cluster


def _all(cluster: EmbeddedCluster) -> list[TopicPartition]:
    return [TopicPartition("t", number) for number in range(PARTITIONS)]


def test_a_producer_and_a_consumer_of_many_partitions(cluster: EmbeddedCluster) -> None:
    with few_descriptors(), cluster.producer({"linger.ms": "0"}) as producer, cluster.consumer() as consumer:
        consumer.subscribe(["t"], start=OffsetAt.EARLIEST)
        for round_ in range(3):
            for number in range(PARTITIONS):
                producer.send("t", [b"%d %d" % (round_, number)], partitions=number)
            found: list[bytes | None] = []
            while runs := consumer.poll():
                found += [value for run in runs for value in run.values]
            # Each once, though the files of most were closed and opened again in between.
            assert sorted(filter(None, found)) == sorted(b"%d %d" % (round_, number) for number in range(PARTITIONS))
        assert set(consumer.end_offsets(_all(cluster)).values()) == {3}


def test_a_member_of_a_group_and_the_admin_go_over_many_partitions(cluster: EmbeddedCluster) -> None:
    with few_descriptors():
        with cluster.consumer({"group.id": "g"}) as consumer:
            consumer.subscribe(["t"], start=OffsetAt.EARLIEST)
            while len(consumer.assignment()) < PARTITIONS:
                consumer.poll()
        admin = cluster.admin()
        assert set(admin.delete_records(dict.fromkeys(_all(cluster), 0)).values()) == {0}
        assert cluster.maintain().partitions == PARTITIONS
        assert len(admin.describe_topics(["t"])[0].partitions) == PARTITIONS
        admin.delete_topic("t")


def test_a_parked_reader_notices_that_its_topic_was_deleted_and_made_again(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        with cluster.producer({"linger.ms": "0"}) as producer:
            for name in ("t", *(f"other{number}" for number in range(PARTITIONS))):
                producer.send(name, [b"1"])
        with few_descriptors(), cluster.consumer() as consumer:
            consumer.assign({TopicPartition("t", 0): 0})
            assert consumer.poll()
            consumer.subscribe(["t", *(f"other{number}" for number in range(PARTITIONS))], start=OffsetAt.EARLIEST)
            while consumer.poll():
                pass
            with EmbeddedCluster(str(tmp_path / "d")) as elsewhere:
                elsewhere.admin().delete_topic("t")
                elsewhere.admin().create_topic("t")
            with pytest.raises(UnknownTopicOrPartitionError, match=r"topic was deleted|topic t was deleted"):
                while True:
                    consumer.poll()


def test_locks_that_nobody_holds_are_closed_and_those_that_are_held_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks_module, "IDLE", 5)
    (tmp_path / "locks").mkdir()
    locks = Locks(str(tmp_path / "locks"), Disk(), Clock())
    others = Locks(str(tmp_path / "locks"), Disk(), Clock())
    before = descriptors.open_below(tmp_path) if descriptors.OURS.exists() else None
    assert locks.keep("mine")
    with locks.cluster():
        for number in range(50):
            with locks.partition("topic", number):
                assert not others.keep("mine")
                assert not others.keep("cluster")
                assert not others.keep(f"topic-{number}")
        others.close()
        if before is not None:
            assert descriptors.open_below(tmp_path) <= before + 6
    locks.close()


def _script(limit: str, data: Path, line: str) -> subprocess.CompletedProcess[str]:
    scripts = sysconfig.get_path("scripts")
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(data), "PATH": f"{scripts}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", f"ulimit {limit}; {line}"], capture_output=True, text=True, env=environ)


@pytest.mark.parametrize("limit", ["-n 64", "-Sn 40"])
def test_the_tools_work_within_the_limit_and_raise_the_soft_one(tmp_path: Path, limit: str) -> None:
    data = tmp_path / "d"
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("t", partitions=PARTITIONS)
    lines = "".join(f"key{number}:{number}\\n" for number in range(2000))
    (tmp_path / "lines").write_text(lines.replace("\\n", "\n"))
    done = _script(
        limit, data, f"kafka-console-producer --topic t --property parse.key=true --property key.separator=: "
        f"< {tmp_path / 'lines'}"
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for group in ("", "--group g "):
        done = _script(limit, data, f"kafka-console-consumer --topic t --from-beginning --exit-at-end {group}")
        assert done.stderr == "Processed a total of 2000 messages\n"
        assert sorted(map(int, done.stdout.split())) == list(range(2000))
    for line in ("kafka-get-offsets --topic t", "pykafka maintain", "kafka-topics --delete --topic t"):
        done = _script(limit, data, line)
        assert (done.returncode, done.stderr) == (0, "")


def test_who_has_no_descriptor_left_is_told_so_and_not_the_name_of_a_python_file(tmp_path: Path) -> None:
    data = tmp_path / "d"
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("t")
    for limit in range(5, 16):
        done = _script(f"-n {limit}", data, "kafka-topics --list")
        assert done.stdout == "t\n" or "ulimit -n" in done.stderr or "Fatal Python error" in done.stderr, done
        assert ".py)" not in done.stderr
