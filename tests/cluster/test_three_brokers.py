"""Three brokers: what is replicated, who leads, what is missing, with our tools and with Apache's; a broker dies."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.api import Admin
from pykafka_store.model import TopicDescription
from pykafka_store.remote.cluster import RemoteCluster
from tests.cluster.test_tools import fresh, program, run
from tests.support import apache
from tests.support.apache_tools import Tools

pytestmark = [
    pytest.mark.apache,
    pytest.mark.slow,
    pytest.mark.xdist_group("three-brokers"),
    pytest.mark.timeout(900),
]

PATIENCE = 240.0  # three Java machines, on a machine that does other things as well
ALL = {1, 2, 3}
REPORTS = (
    "--under-replicated-partitions",
    "--unavailable-partitions",
    "--under-min-isr-partitions",
    "--at-min-isr-partitions",
)


@pytest.fixture(scope="module")
def running() -> Iterator[apache.Brokers]:
    with apache.Brokers(3) as started:
        yield started


@pytest.fixture
def brokers(running: apache.Brokers) -> apache.Brokers:
    """All three of them, whatever the test before has done. The first is the controller, and never dies."""
    running.wait_until_complete()
    return running


@pytest.fixture
def at(brokers: apache.Brokers) -> tuple[str, str]:
    return "--bootstrap-server", brokers.bootstrap


@pytest.fixture
def cluster(brokers: apache.Brokers) -> Iterator[RemoteCluster]:
    with RemoteCluster(brokers.bootstrap) as opened:
        yield opened


def until(admin: Admin, topic: str, **wanted: object) -> TopicDescription:
    """The topic, once each of its partitions is so: ``isr`` as a set, ``leader`` as a number or None."""
    deadline = time.monotonic() + PATIENCE
    while True:
        (described,) = admin.describe_topics([topic])
        states = [{"isr": set(each.isr), "leader": each.leader} for each in described.partitions]
        if all(state[name] == value for state in states for name, value in wanted.items()):
            return described
        assert time.monotonic() < deadline, described
        time.sleep(0.05)


def until_in_sync(admin: Admin) -> None:
    """Until every replica of every topic is."""
    deadline = time.monotonic() + PATIENCE
    while any(set(part.isr) != set(part.replicas) for topic in admin.describe_topics() for part in topic.partitions):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of_both(java: Tools, at: tuple[str, str], tool: str, *words: str) -> tuple[list[str], list[str]]:
    """The lines that our tool and Apache's print. Apache's has topics in no order; each line names its own."""
    ours = run(tool, *at, *words)
    theirs = java.run(tool, *at, *words)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert theirs.returncode == 0  # and on stderr warnings of brokers that it can't reach
    return sorted(ours.stdout.splitlines()), sorted(theirs.stdout.decode().splitlines())


def test_replicas_are_placed_and_described_alike(
    java: Tools, brokers: apache.Brokers, at: tuple[str, str], cluster: RemoteCluster
) -> None:
    ours, theirs, given = fresh(), fresh(), fresh()
    words = ("--partitions", "6", "--replication-factor", "3", "--config", "min.insync.replicas=2")
    made = run("kafka-topics", *at, "--create", "--topic", ours, *words)
    assert (made.stdout, made.stderr, made.returncode) == (f"Created topic {ours}.\n", "", 0)
    java.run("kafka-topics", *at, "--create", "--topic", theirs, *words)
    run("kafka-topics", *at, "--create", "--topic", given, "--replica-assignment", "3:1:2,1:2:3,2:3:1")

    for name in (ours, theirs):
        (described,) = cluster.admin().describe_topics([name])
        assert described.replication_factor == 3
        for partition in described.partitions:
            assert set(partition.replicas) == set(partition.isr) == ALL
            assert partition.leader == partition.replicas[0]
        assert Counter(partition.leader for partition in described.partitions) == {1: 2, 2: 2, 3: 2}
    (described,) = cluster.admin().describe_topics([given])
    assert [partition.replicas for partition in described.partitions] == [(3, 1, 2), (1, 2, 3), (2, 3, 1)]

    ours_told, theirs_told = of_both(java, at, "kafka-topics", "--describe")
    assert ours_told == theirs_told
    assert len(ours_told) >= 7 + 7 + 4
    line = f"\tTopic: {given}\tPartition: 0\tLeader: 3\tReplicas: 3,1,2\tIsr: 3,1,2\tElr: \tLastKnownElr: "
    assert line in ours_told

    many = ("--create", "--topic", fresh(), "--replication-factor", "4")
    refused, refused_by_theirs = run("kafka-topics", *at, *many), java.run("kafka-topics", *at, *many)
    assert refused.stdout == refused_by_theirs.stdout.decode().partition("\n")[0] + "\n"
    assert "only 3 broker(s) are registered" in refused.stdout
    assert refused.returncode == refused_by_theirs.returncode == 1


def test_partitions_are_moved_as_by_apaches_tool(java: Tools, at: tuple[str, str], tmp_path: Path) -> None:
    topic = fresh()
    run("kafka-topics", *at, "--create", "--topic", topic, "--replica-assignment", "1")
    sent = run("kafka-console-producer", *at, "--topic", topic, input=("x" * 1000 + "\n") * 5000)
    assert sent.returncode == 0, sent.stderr
    plan = tmp_path / "plan.json"
    partition = {"topic": topic, "partition": 0, "replicas": [2, 3]}
    plan.write_text(json.dumps({"version": 1, "partitions": [partition]}))
    moving = ("--reassignment-json-file", str(plan))

    begun = run("kafka-reassign-partitions", *at, "--execute", *moving, "--throttle", "1000")
    assert begun.returncode == 0, begun.stdout
    assert f"Successfully started partition reassignment for {topic}-0\n" in begun.stdout
    listed, listed_by_theirs = of_both(java, at, "kafka-reassign-partitions", "--list")
    assert listed == listed_by_theirs
    assert f"{topic}-0: replicas: 2,3,1. adding: 2,3. removing: 1." in listed
    described, described_by_theirs = of_both(java, at, "kafka-topics", "--describe", "--topic", topic)
    assert described == described_by_theirs
    assert any("\tAdding Replicas: 2,3\tRemoving Replicas: 1\t" in line for line in described)

    faster = run("kafka-reassign-partitions", *at, "--execute", *moving, "--throttle", "100000000", "--additional")
    assert faster.returncode == 0, faster.stdout
    deadline = time.monotonic() + PATIENCE
    while "still in progress" in run("kafka-reassign-partitions", *at, "--verify", *moving).stdout:
        assert time.monotonic() < deadline
    done, done_by_theirs = of_both(java, at, "kafka-reassign-partitions", "--verify", *moving)
    assert done == done_by_theirs
    assert f"Reassignment of partition {topic}-0 is completed." in done
    for tool, *words in (
        ("kafka-log-dirs", "--describe", "--topic-list", topic),
        ("kafka-metadata-quorum", "describe", "--replication"),
        ("kafka-cluster", "list-endpoints", "--include-fenced-brokers"),
        ("kafka-configs", "--describe", "--entity-type", "brokers"),
    ):
        if tool == "kafka-cluster":
            ours, theirs = run(tool, *words, *at).stdout, java.run(tool, *words, *at).stdout.decode()
        else:
            ours, theirs = run(tool, *at, *words).stdout, java.run(tool, *at, *words).stdout.decode()
        assert without_what_passes(ours) == without_what_passes(theirs)


def without_what_passes(text: str) -> list[str]:
    """Sorted lines, without offsets and times of the metadata, which never stand still."""
    return sorted(re.sub(r"(?<=\t)\d+ *\t", "N\t", line) for line in text.splitlines())


def test_what_a_dead_broker_leaves_behind_is_reported_alike(
    java: Tools, brokers: apache.Brokers, at: tuple[str, str], cluster: RemoteCluster, tmp_path: Path
) -> None:
    """Until it is back, and until the leaders are where they belong. It dies as what our client takes for the
    controller, which brokers say of any of them.
    """
    admin = cluster.admin()
    strict, exact, easy, pair, alone = (f"{fresh()}-{what}" for what in ("strict", "exact", "easy", "pair", "alone"))
    for name, assignments, minimum in (
        (strict, [[3, 1, 2], [1, 2, 3]], 3),
        (exact, [[3, 2, 1]], 2),
        (easy, [[3, 2, 1], [2, 1, 3]], 1),
        (pair, [[1, 2], [2, 3]], 1),
        (alone, [[3], [1]], 1),
    ):
        admin.create_topic(name, assignments=assignments, configs={"min.insync.replicas": str(minimum)})

    deadline = time.monotonic() + PATIENCE
    while cluster.admin_link().contact().list_topics(timeout=PATIENCE).controller_id != 3:
        assert time.monotonic() < deadline
    brokers.node(3).stop(signal.SIGKILL)
    for name in (strict, exact, easy):
        until(admin, name, isr={1, 2})
    waited = run("pykafka", "wait", *at, "--topic", alone, "--timeout", "1s")
    assert waited.stderr == f"wait: after 1 s: partition 0 of topic {alone} has no leader\n"

    told: dict[str, set[str]] = {}
    for report in REPORTS:
        ours, theirs = of_both(java, at, "kafka-topics", "--describe", report)
        assert ours == theirs, report
        told[report] = {
            f"{line[1]}/{line[2]}" for line in re.finditer(r"\tTopic: (\S+)\tPartition: (\d+)", "\n".join(ours))
        }
    mine = {strict, exact, easy, pair, alone}
    told = {report: {each for each in found if each.split("/")[0] in mine} for report, found in told.items()}
    assert told == {
        "--under-replicated-partitions": {
            f"{strict}/0", f"{strict}/1", f"{exact}/0", f"{easy}/0", f"{easy}/1", f"{pair}/1", f"{alone}/0",
        },
        "--unavailable-partitions": {f"{alone}/0"},
        "--under-min-isr-partitions": {f"{strict}/0", f"{strict}/1", f"{alone}/0"},
        "--at-min-isr-partitions": {f"{exact}/0", f"{pair}/1", f"{alone}/1"},
    }  # fmt: skip

    # What must be in three places and can't be is not acknowledged.
    refused = run(
        "kafka-console-producer", *at, "--topic", strict, "--command-property", "acks=all",
        "--command-property", "delivery.timeout.ms=2000", "--request-timeout-ms", "1000", "--timeout", "0",
        input="lost\n",
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == "1 of 1 records were not acknowledged."
    assert run("kafka-get-offsets", *at, "--topic", strict).stdout == f"{strict}:0:0\n{strict}:1:0\n"
    kept = run("kafka-console-producer", *at, "--topic", exact, "--command-property", "acks=all", input="kept\n")
    assert (kept.stderr, kept.returncode) == ("", 0)

    brokers.wait_until_complete()
    until_in_sync(admin)
    assert of_both(java, at, "kafka-topics", "--describe", "--under-replicated-partitions") == ([], [])
    assert admin.describe_topics([exact])[0].partitions[0].leader != 3
    elected = tmp_path / "elected.json"
    elected.write_text(json.dumps({"partitions": [{"topic": exact, "partition": 0}]}))
    done = java.run("kafka-leader-election", *at, "--election-type", "preferred", "--path-to-json-file", str(elected))
    assert done.returncode == 0, done
    until(admin, exact, leader=3)
    ours, theirs = of_both(java, at, "kafka-topics", "--describe")
    assert ours == theirs


def test_no_acknowledged_record_is_lost_while_the_leader_dies_and_returns(
    java: Tools, brokers: apache.Brokers, at: tuple[str, str], cluster: RemoteCluster
) -> None:
    """Nor doubled, nor out of order: the producer is idempotent, and the consumer follows from leader to leader."""
    admin, topic, group = cluster.admin(), fresh(), fresh()
    admin.create_topic(topic, assignments=[[2, 3, 1]], configs={"min.insync.replicas": "2"})
    producer = subprocess.Popen(
        [program("kafka-console-producer"), *at, "--topic", topic, "--command-property", "acks=all"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    consumer = subprocess.Popen(
        [program("kafka-console-consumer"), *at, "--topic", topic, "--from-beginning"], stdout=subprocess.PIPE
    )
    assert producer.stdin is not None
    assert producer.stderr is not None
    assert consumer.stdout is not None
    watchdog = threading.Timer(PATIENCE, consumer.kill)
    watchdog.start()
    try:
        heard: list[bytes] = []
        written = 0

        def write_and_hear(count: int, at_once: int) -> None:
            """Lines, so many on their way at a time, until the consumer has heard them."""
            nonlocal written
            for _ in range(0, count, at_once):
                lines = range(written, written + at_once)
                producer.stdin.write(b"".join(b"%d\n" % number for number in lines))  # type: ignore[union-attr]
                producer.stdin.flush()  # type: ignore[union-attr]
                written += at_once
                while len(heard) < written:
                    line = consumer.stdout.readline()  # type: ignore[union-attr]
                    assert line, f"the consumer ended after {len(heard)} of {written} lines"
                    heard.append(line)

        write_and_hear(50, at_once=1)
        producer.stdin.write(b"".join(b"%d\n" % number for number in range(written, written + 1000)))
        producer.stdin.flush()
        written += 1000
        brokers.node(2).stop(signal.SIGKILL)  # with some of the thousand on their way
        write_and_hear(50, at_once=1)
        until(admin, topic, isr={1, 3})
        grouped = run(
            "kafka-console-consumer", *at, "--topic", topic, "--group", group, "--from-beginning",
            "--max-messages", str(written),
        )  # fmt: skip
        assert grouped.stdout.splitlines() == [str(number) for number in range(written)]
        brokers.node(2).start()
        write_and_hear(50, at_once=1)
        until(admin, topic, isr=ALL)
        brokers.node(3).stop(signal.SIGTERM)  # in good order: it hands over what it leads first
        write_and_hear(50, at_once=1)
        producer.stdin.close()
        assert producer.wait(PATIENCE) == 0, producer.stderr.read()
        assert producer.stderr.read() == b""
        assert heard == [b"%d\n" % number for number in range(written)]
        assert run("kafka-get-offsets", *at, "--topic", topic).stdout == f"{topic}:0:{written}\n"
    finally:
        watchdog.cancel()
        for process in (producer, consumer):
            process.kill()
            process.wait()
        producer.stderr.close()
        consumer.stdout.close()
