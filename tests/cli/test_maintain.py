"""pykafka maintain goes over everything once, says what it did, and goes on where a partition fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from pykafka_cli.click_types import DURATION
from pykafka_cli.commands.maintain import summary
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import ConfigResource, MaintenanceReport, OffsetAt, TopicPartition
from pykafka_store.open import open_data_directory
from tests.support import terminal
from tests.support.in_process import run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Topic t: two partitions of several old segments; topic c: many records of few keys."""
    directory = tmp_path / "data"
    with EmbeddedCluster(str(directory)) as cluster:
        admin = cluster.admin()
        admin.create_topic("t", partitions=2, configs={"internal.segment.bytes": "2000", "retention.ms": "-1"})
        admin.create_topic(
            "c",
            configs={
                "cleanup.policy": "compact",
                "internal.segment.bytes": "20000",
                "min.cleanable.dirty.ratio": "1",
            },
        )
        with cluster.producer() as producer:
            for number in range(20):
                producer.send("t", [b"x" * 900], partitions=number % 2, timestamps=1000)
                producer.send("c", [b"%d" % number * 100] * 20, keys=[b"k%d" % (i % 4) for i in range(20)])
        admin.incremental_alter_configs(
            ConfigResource("topic", "t"), {"retention.ms": "1000", "file.delete.delay.ms": "0"}
        )
        admin.incremental_alter_configs(ConfigResource("topic", "c"), {"min.cleanable.dirty.ratio": "0"})
    return directory


def test_a_pass(data: Path) -> None:
    left = data / "brokers" / "0" / f"gone-0.{'0' * 32}-delete"
    left.mkdir()
    (left / "file").write_bytes(b"x" * 1000)
    seen: dict[TopicPartition, int] = {}
    with open_data_directory(data) as directory:
        report = directory.maintain(seen.__setitem__)
        assert list(seen) == [TopicPartition("c", 0), TopicPartition("t", 0), TopicPartition("t", 1)]
        # What compaction reads twice, once for the keys.
        assert seen[TopicPartition("c", 0)] > 1.5 * 20 * 20 * 50
        assert (report.partitions, report.retained_out, report.leftovers) == (3, 20, 1)
        assert report.compacted_out > 300
        assert report.freed > 1000 + 20 * 900 + report.compacted_out * 100
        assert report.failures == ()
        assert not left.exists()
        again = directory.maintain()
        assert again == MaintenanceReport(partitions=3)
        offsets = directory.admin().list_offsets({TopicPartition("t", 0): OffsetAt.EARLIEST})
        assert offsets == {TopicPartition("t", 0): 10}


def test_what_is_set_aside_is_told(data: Path) -> None:
    with open_data_directory(data) as directory:
        directory.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"file.delete.delay.ms": "3600000"})
        report = directory.maintain()
        assert report.aside > 20 * 900
        assert "kB to be freed after file.delete.delay.ms" in summary(report)


def test_damage_in_one_partition_does_not_stop_the_others(data: Path) -> None:
    segments = sorted((data / "brokers" / "0" / "c-0").glob("*.log"))
    segments[0].write_bytes(segments[0].read_bytes()[:-1] + b"?")
    done = run("maintain", data_dir=data)
    assert done.code == 1
    assert done.stdout.startswith("3 partitions: 20 records removed by retention, 0 by compaction")
    first, last = done.stderr.splitlines()
    assert first.startswith(f"c-0: CorruptRecordException: {segments[0]} is damaged at byte ")
    assert last == "maintain: 1 partition could not be gone through"


def test_two_at_once_do_each_thing_once(data: Path) -> None:
    command = [sys.executable, "-m", "pykafka_cli", "maintain", "--data-dir", str(data)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(int(output.split(": ")[1].split()[0]) for output in outputs) == 20


def test_more_partitions_than_a_process_may_have_files(data: Path) -> None:
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("wide", partitions=300)
    command = f"ulimit -n 64; exec {sys.executable} -m pykafka_cli maintain --data-dir {data}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("303 partitions: ")


def test_every(data: Path) -> None:
    """A pass now and then, until Ctrl-C; what another process does in between is followed."""
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "pykafka_cli", "maintain", "--every", "0.1s"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("3 partitions: 20 records removed")
        assert process.stdout.readline().startswith("3 partitions: 0 records removed")
        with EmbeddedCluster(str(data)) as cluster:
            cluster.admin().create_topic("new")
        deadline = time.monotonic() + 60
        while not process.stdout.readline().startswith("4 partitions: "):
            assert time.monotonic() < deadline
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


def test_dead_members_are_taken_out(data: Path) -> None:
    member = """
import sys, time
from pykafka_store.open import open_cluster
with open_cluster("file:" + sys.argv[1]) as cluster, cluster.consumer({"group.id": "g"}) as consumer:
    consumer.subscribe(["t"])
    while not consumer.assignment():
        consumer.poll(0.05)
    print("in", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", member, str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with open_data_directory(data) as directory:
            assert directory.maintain().dead_members == 0
    finally:
        process.kill()
        process.communicate()
    with open_data_directory(data) as directory:
        report = directory.maintain()
        assert report.dead_members == 1
        assert "1 dead member of groups taken out" in summary(report)


def test_the_summary() -> None:
    assert summary(MaintenanceReport(partitions=1, freed=999)) == (
        "1 partition: 0 records removed by retention, 0 by compaction, 999 bytes freed"
    )
    report = MaintenanceReport(2, 1, 3, 4, 1_500_000, 2_000, 2, 2)
    assert summary(report) == (
        "2 partitions: 3 records removed by retention, 4 by compaction, 1.5 MB freed, 2.0 kB to be freed after "
        "file.delete.delay.ms, 2 dead members of groups taken out, 2 deleted directories removed, "
        "1 left to another process"
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m", 60), ("2h", 7200), ("1d", 86400), ("5", 5), ("250ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


def test_progress_on_a_terminal_goes_away_and_none_is_in_a_pipe(data: Path) -> None:
    pykafka = [os.path.join(sysconfig.get_path("scripts"), "pykafka"), "maintain", "--data-dir", str(data)]
    code, _, said = terminal.run(pykafka)
    assert code == 0
    assert said.startswith(terminal.line("maintain: c-0, 0 bytes read"))
    assert said.endswith(terminal.GONE)
    assert subprocess.run(pykafka, capture_output=True, check=True).stderr == b""


def test_a_directory_that_goes_away_meanwhile_is_an_error(data: Path) -> None:
    pykafka = [os.path.join(sysconfig.get_path("scripts"), "pykafka"), "maintain", "--every", "1s"]
    process = subprocess.Popen(
        [*pykafka, "--data-dir", str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("3 partitions: ")
    data.rename(data.with_name("away"))
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) == (f"KafkaStorageException: {data} is gone: is its disk mounted?\n", 1)
