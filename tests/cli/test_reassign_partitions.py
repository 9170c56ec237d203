"""kafka-reassign-partitions with moves that take their time: looked at, given up, killed, and gone on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster, open_data_directory

T = TopicPartition("t", 0)
RECORDS = [b"%d" % number * 1000 for number in range(3000)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two brokers, and some megabytes on the first."""
    path = tmp_path / "data"
    with open_cluster(f"file:{path}") as cluster:
        cluster.admin().create_topic("t")
        with cluster.producer() as producer:
            producer.send("t", RECORDS)
    with open_data_directory(path) as directory:
        directory.add_broker()
    (tmp_path / "plan.json").write_text(json.dumps({"partitions": [{"topic": "t", "partition": 0, "replicas": [1]}]}))
    return path


def command(data: Path, *words: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pykafka_cli", "reassign-partitions", "--data-dir", str(data)),
        *words,
        *(() if "--list" in words else ("--reassignment-json-file", str(data.parent / "plan.json"))),
    ]


def run(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(data, *words), capture_output=True, text=True, check=False, timeout=60)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def replica(data: Path, broker: int) -> Path:
    return data / "brokers" / str(broker) / "t-0"


@pytest.fixture
def slow(data: Path) -> Iterator[subprocess.Popen[str]]:
    """A move that is on, at a rate that lets it take hours."""
    process = subprocess.Popen(
        command(data, "--execute", "--throttle", "1000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = replica(data, 1) / f"{0:020d}.log"
    until(lambda: log.exists() and os.path.getsize(log) > 0)
    yield process
    process.kill()
    process.communicate()


def test_a_move_that_is_on_is_shown_and_another_needs_a_word(data: Path, slow: subprocess.Popen[str]) -> None:
    listed = "Current partition reassignments:\nt-0: replicas: 1,0. adding: 1. removing: 0.\n"
    assert run(data, "--list").stdout == listed
    verified = run(data, "--verify")
    assert (
        verified.stdout == "Status of partition reassignment:\nReassignment of partition t-0 is still in progress.\n\n"
    )
    refused = run(data, "--execute")
    assert (refused.returncode, refused.stderr) == (1, "")
    assert refused.stdout.startswith("Cannot execute because there is an existing partition assignment.  Use --addit")
    assert slow.poll() is None


def test_a_move_that_is_on_is_given_up_by_another_process(data: Path, slow: subprocess.Popen[str]) -> None:
    cancelled = run(data, "--cancel")
    assert cancelled.stdout == (
        "Successfully cancelled partition reassignment for: t-0\n"
        "None of the specified partition moves are active.Clearing broker-level throttles on brokers 0,1\n"
        "Clearing topic-level throttles on topic t\n"
    )
    out, err = slow.communicate(timeout=60)
    assert out.endswith("Successfully started partition reassignment for t-0\n")
    assert err == "The move of t-0 was given up meanwhile.\n"
    assert slow.returncode == 0
    assert run(data, "--list").stdout == "No partition reassignments found.\n"
    assert replica(data, 0).exists()
    assert not replica(data, 1).exists()
    unchanged(data)


def test_a_move_follows_when_its_throttle_is_raised(data: Path, slow: subprocess.Popen[str]) -> None:
    other = run(data, "--execute", "--additional", "--throttle", "1000000000")
    assert other.returncode == 0
    _, err = slow.communicate(timeout=60)
    assert (err, slow.returncode) == ("", 0)
    until(lambda: run(data, "--list").stdout == "No partition reassignments found.\n")
    assert not replica(data, 0).exists()
    unchanged(data)


def test_upkeep_goes_on_with_a_move_that_was_killed(data: Path, slow: subprocess.Popen[str]) -> None:
    slow.kill()
    slow.wait()
    assert run(data, "--list").stdout.startswith("Current partition reassignments:")
    unchanged(data)
    words = ["configs", "--alter", "--broker", "0", "--delete-config", "leader.replication.throttled.rate"]
    other = ["configs", "--alter", "--broker", "1", "--delete-config", "follower.replication.throttled.rate"]
    for each in (words, other, ["maintain"]):
        subprocess.run(
            [sys.executable, "-m", "pykafka_cli", *each, "--data-dir", str(data)], check=True, capture_output=True
        )
    assert run(data, "--verify").stdout.startswith(
        "Status of partition reassignment:\nReassignment of partition t-0 is completed.\n"
    )
    assert not replica(data, 0).exists()
    unchanged(data)


def unchanged(data: Path) -> None:
    """Everything can be read, and written to."""
    with open_cluster(f"file:{data}") as cluster, cluster.consumer() as consumer:
        consumer.assign({T: 0})
        found: list[bytes | None] = []
        while runs := consumer.poll():
            found += [value for each in runs for value in each.values]
        assert found[: len(RECORDS)] == RECORDS
        with cluster.producer() as producer:
            producer.send("t", [b"more"])
        (run,) = consumer.poll(10.0)
        assert run.values == [b"more"]
