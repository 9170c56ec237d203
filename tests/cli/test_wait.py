"""pykafka wait ends when all that it was asked for holds, changes nothing, and says at the timeout what does not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.api import Cluster
from pykafka_store.errors import StorageError
from pykafka_store.model import INTERNAL_TOPICS, TopicPartition
from pykafka_store.open import open_cluster
from tests.support import terminal
from tests.support.console import PATIENCE, Tool
from tests.support.in_process import run

SOON = ("--timeout", "20ms")
LATE = ("--timeout", f"{PATIENCE:.0f}s")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cluster(data: Path) -> Iterator[Cluster]:
    """Topic t: two partitions, with two records and one; topic empty. Group g has read one record of t-0."""
    with open_cluster(data) as opened:
        opened.admin().create_topic("t", partitions=2)
        opened.admin().create_topic("empty")
        with opened.producer() as producer:
            producer.send("t", [b"1", b"2"], partitions=0)
            producer.send("t", [b"3"], partitions=1)
        opened.admin().alter_group_offsets("g", {TopicPartition("t", 0): 1})
        yield opened


def test_a_producer_elsewhere_releases_a_waiter_that_was_there_before_the_directory(data: Path) -> None:
    words = ("wait", "--topic", "orders", "--partitions", "2", "--records", "3", *LATE)
    with Tool(data, "pykafka", *words) as waiter:
        assert run("wait", *SOON, data_dir=data).code == 1
        assert not data.exists()
        with Tool(data, "kafka-topics", "--create", "--topic", "orders", "--partitions", "2") as maker:
            assert maker.end()[0] == 0
        with Tool(data, "kafka-console-producer", "--topic", "orders") as producer:
            producer.say(b"1\n2\n")
            assert run("wait", "--topic", "orders", "--records", "2", *LATE, data_dir=data).code == 0
            done = run("wait", "--topic", "orders", "--records", "3", *SOON, data_dir=data)
            assert done == ("", "wait: after 0.02 s: topic orders holds 2 of 3 records\n", 1)
            assert waiter.process.poll() is None
            producer.say(b"3\n")
            assert waiter.end() == (0, b"", b"")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--topic t",
        "--topic t --topic empty",
        "--topic t --partitions 2 --records 3",
        "--group g",
        "--group g --lag 1",
        "--topic t --group g --lag 2",
        "--topic empty --group g --lag 0",
    ],
)
def test_what_holds_ends_at_once_and_in_silence(cluster: Cluster, data: Path, words: str) -> None:
    assert run("wait", *words.split(), *LATE, data_dir=data) == ("", "", 0)


@pytest.mark.parametrize(
    ("words", "lacking"),
    [
        ("--topic other", "topic other does not exist"),
        ("--topic t --topic other", "topic other does not exist"),
        ("--topic t --partitions 3", "topic t has 2 of 3 partitions"),
        ("--topic t --topic empty --records 1", "topic empty holds 0 of 1 record"),
        ("--topic t --records 4 --group g --lag 1", "topic t holds 3 of 4 records"),
        ("--group other", "group other does not exist"),
        ("--group g --lag 0", "group g has a lag of 1, and at most 0 is wanted"),
        ("--topic t --group g --lag 1", "group g has a lag of 2, and at most 1 is wanted"),
        ("--group g --stable", "group g is Empty, not Stable"),
        ("--group g --members 2 --stable", "group g has 0 of 2 members"),
    ],
)
def test_the_timeout_says_the_first_that_does_not_hold(cluster: Cluster, data: Path, words: str, lacking: str) -> None:
    assert run("wait", *words.split(), *SOON, data_dir=data) == ("", f"wait: after 0.02 s: {lacking}\n", 1)
    assert run("wait", *words.split(), *SOON, "--quiet", data_dir=data) == ("", "", 1)
    named = {topic.name for topic in cluster.admin().list_topics()}
    assert named - INTERNAL_TOPICS == {"empty", "t"}  # nothing was made


def test_records_that_are_deleted_are_held_no_more(cluster: Cluster, data: Path) -> None:
    cluster.admin().delete_records({TopicPartition("t", 0): 1})
    assert run("wait", "--topic", "t", "--records", "2", *LATE, data_dir=data).code == 0
    assert "holds 2 of 3 records" in run("wait", "--topic", "t", "--records", "3", *SOON, data_dir=data).stderr


def test_what_a_group_committed_for_a_topic_that_is_gone_is_no_lag(cluster: Cluster, data: Path) -> None:
    cluster.admin().alter_group_offsets("g", {TopicPartition("empty", 0): 0})
    cluster.admin().delete_topic("t")
    assert run("wait", "--group", "g", "--lag", "0", *LATE, data_dir=data) == ("", "", 0)


def test_a_group_is_waited_for_until_it_is_stable_and_has_read_all(cluster: Cluster, data: Path) -> None:
    words = ("--topic", "t", "--group", "workers", "--lag", "0", "--stable", "--members", "1", *LATE)
    worker = ("--group", "workers", "--from-beginning", "--command-property", "auto.commit.interval.ms=50")
    with (
        Tool(data, "pykafka", "wait", *words) as waiter,
        Tool(data, "kafka-console-consumer", "--topic", "t", *worker) as consumer,
    ):
        assert sorted(consumer.hear() for _ in range(3)) == [b"1\n", b"2\n", b"3\n"]
        assert waiter.end() == (0, b"", b"")
        two = run("wait", "--group", "workers", "--stable", "--members", "2", *SOON, data_dir=data)
        assert "group workers has 1 of 2 members" in two.stderr
        consumer.interrupt()
        assert consumer.end()[0] == 130
    assert "is Empty, not Stable" in run("wait", "--group", "workers", "--stable", *SOON, data_dir=data).stderr
    assert run("wait", "--group", "workers", "--lag", "0", *LATE, data_dir=data).code == 0


def test_a_group_that_was_given_nothing_yet_has_not_read_it_all(cluster: Cluster, data: Path) -> None:
    with cluster.consumer({"group.id": "idle"}) as consumer:
        consumer.subscribe(pattern=re.compile("nothing.*"))
        consumer.poll(0.0)
        done = run("wait", "--group", "idle", "--lag", "0", *SOON, data_dir=data)
    assert done.stderr == "wait: after 0.02 s: group idle has committed nothing and been assigned nothing\n"


def test_a_directory_that_takes_the_place_of_another_is_seen(cluster: Cluster, data: Path, tmp_path: Path) -> None:
    with Tool(data, "pykafka", "wait", "--topic", "new", *LATE) as waiter:
        with open_cluster(tmp_path / "other") as other:
            other.admin().create_topic("new")
        data.rename(tmp_path / "old")
        (tmp_path / "other").rename(data)
        assert waiter.end() == (0, b"", b"")


def test_nothing_is_changed(cluster: Cluster, data: Path) -> None:
    def state() -> dict[Path, int]:
        own = ("-shm", "-wal")  # SQLite's, which come and go
        return {path: path.stat().st_mtime_ns for path in data.rglob("*") if not path.name.endswith(own)}

    cluster.close()
    before = state()
    assert run("wait", "--topic", "t", "--group", "g", "--lag", "2", *LATE, data_dir=data).code == 0
    assert run("wait", "--topic", "x", *SOON, data_dir=data).code == 1
    assert state() == before


def test_a_directory_that_is_not_ours_is_waited_for(data: Path) -> None:
    data.mkdir()
    (data / "file").touch()
    done = run("wait", *SOON, data_dir=data)
    assert done.code == 1
    assert done.stderr.startswith(f"wait: after 0.02 s: {data} is not a pykafka data directory")


def test_what_waiting_can_not_mend_is_an_error_at_once(cluster: Cluster, data: Path, tmp_path: Path) -> None:
    cluster.close()
    hour = ("--timeout", "1h")
    properties = data / "meta.properties"
    properties.write_text(properties.read_text().replace("layout.version=1", "layout.version=99"))
    done = run("wait", *hour, data_dir=data)
    assert done.stderr.startswith("UnsupportedVersionException: ")
    assert done.code == 1
    config = tmp_path / "config"
    config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.jaas.config=nonsense\n")
    at = ("--bootstrap-server", "127.0.0.1:1", "--command-config", str(config))
    done = run("wait", *at, *hour)
    assert done.stderr.startswith("InvalidConfigurationException: sasl.jaas.config is malformed")
    assert done.code == 1
    config.write_text("default.api.timeout.ms=soon\n")
    assert run("wait", *at, *hour).stderr.startswith("Invalid value soon for configuration default.api.timeout.ms: ")
    assert run("wait", "--command-config", str(tmp_path / "none"), *hour).code == 1
    assert run("wait", "--bootstrap-server", "nowhere", *hour).stderr.startswith("Please provide valid host:port")


def test_nobody_at_the_address_is_waited_for_without_a_stream_of_lines(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("metrics.num.samples=1\nno.setting=1\n")
    words = ("--bootstrap-server", "127.0.0.1:1", "--command-config", str(config), "--timeout", "1100ms")
    done = run("wait", *words, data_dir=tmp_path)
    *warnings, last = done.stderr.splitlines()
    assert last.startswith("wait: after 1.1 s: 127.0.0.1:1 did not answer within ")
    assert "Connection refused" in last
    assert len(warnings) == 2
    assert all(line.startswith("WARNING: ") for line in warnings)
    assert done.code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--records 3", "--records needs --topic"),
        ("--partitions 3 --group g", "--partitions needs --topic"),
        ("--lag 0 --topic t", "--lag needs --group"),
        ("--stable", "--stable needs --group"),
        ("--members 1", "--members needs --group"),
        ("--topic t --records -1", "-1 is not in the range"),
        ("--timeout 0", "'0' is no duration"),
    ],
)
def test_options_that_make_no_sense(data: Path, words: str, told: str) -> None:
    done = run("wait", *words.split(), data_dir=data)
    assert told in done.stderr
    assert done.code == 2


def on_a_terminal(data: Path, *words: str) -> tuple[subprocess.Popen[bytes], int]:
    """A waiter whose stderr is a terminal, and the terminal's other end."""
    pykafka = os.path.join(sysconfig.get_path("scripts"), "pykafka")
    return terminal.start([pykafka, "wait", *words, *LATE], PYKAFKA_DATA_DIR=str(data))


def test_progress_on_a_terminal_is_one_line_that_goes_away(cluster: Cluster, data: Path) -> None:
    process, ours = on_a_terminal(data, "--topic", "t", "--records", "4")
    terminal.hear_until(ours, "topic t holds 3 of 4 records")
    with cluster.producer() as producer:
        producer.send("t", [b"4"])
    said = terminal.hear_all(ours)
    process.communicate()
    assert process.returncode == 0
    assert "\n" not in said
    assert said.endswith(terminal.GONE)


def test_ctrl_c_ends_it(cluster: Cluster, data: Path) -> None:
    process, ours = on_a_terminal(data, "--topic", "x")
    terminal.hear_until(ours, "topic x does not exist")
    process.send_signal(signal.SIGINT)
    said = terminal.hear_all(ours)
    process.communicate()
    assert process.returncode == 130
    assert said.endswith(" \r")


def test_a_topic_may_come_and_go_beside_it(data: Path) -> None:
    """Looks that meet a topic half made or half deleted are looks like any other."""
    stop = threading.Event()
    failures: list[Exception] = []

    def churn() -> None:
        with open_cluster(data) as cluster:
            while not stop.is_set():
                try:
                    cluster.admin().create_topic("t", partitions=3)
                    cluster.admin().delete_topic("t")
                except StorageError as error:
                    failures.append(error)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        done = run("wait", "--topic", "t", "--records", "1", "--timeout", "500ms", data_dir=data)
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert done.code == 1
    assert done.stderr.startswith("wait: after 0.5 s: ")
