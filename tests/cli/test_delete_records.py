"""kafka-delete-records prints what Apache Kafka's prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pykafka_store.open import open_cluster
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.in_process import Done, run

HEADER = "Executing records delete operation\nRecords delete operation completed:\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Topic t with five records, c that is only compacted, b that is both."""
    directory = tmp_path / "data"
    with open_cluster(f"file:{directory}") as cluster:
        admin = cluster.admin()
        admin.create_topic("t")
        admin.create_topic("c", configs={"cleanup.policy": "compact"})
        admin.create_topic("b", configs={"cleanup.policy": "compact,delete"})
        with cluster.producer() as producer:
            producer.send("t", [b"x"] * 5)
    return directory


def delete(data: Path, text: str, **environ: str) -> Done:
    file = data.parent / "offsets.json"
    file.write_text(text)
    return run("kafka-delete-records", "--offset-json-file", str(file), data_dir=data, environ=environ)


def test_each_partition_has_its_line_and_errors_exit_0(data: Path) -> None:
    asked = [("t", 0, 3), ("t", 1, 0), ("none", 0, 0), ("c", 0, 0), ("b", 0, -1)]
    text = json.dumps({"partitions": [{"topic": t, "partition": p, "offset": offset} for t, p, offset in asked]})
    done = delete(data, text)
    package = "org.apache.kafka.common.errors"
    assert done.stdout == HEADER + (
        "partition: t-0\tlow_watermark: 3\n"
        f"partition: t-1\terror: {package}.UnknownTopicOrPartitionException: "
        "This server does not host this topic-partition.\n"
        f"partition: none-0\terror: {package}.UnknownTopicOrPartitionException: "
        "This server does not host this topic-partition.\n"
        f"partition: c-0\terror: {package}.PolicyViolationException: "
        "Request parameters do not satisfy the configured policy.\n"
        "partition: b-0\tlow_watermark: 0\n"
    )
    assert (done.stderr, done.code) == ("", 0)
    assert delete(data, text, PYKAFKA_STRICT_EXIT="1").code == 1


def test_an_offset_beyond_the_log(data: Path) -> None:
    for offset in (6, -2):
        done = delete(data, json.dumps({"partitions": [{"topic": "t", "partition": 0, "offset": offset}]}))
        assert done.stdout == HEADER + (
            "partition: t-0\terror: org.apache.kafka.common.errors.OffsetOutOfRangeException: "
            "The requested offset is not within the range of offsets maintained by the server.\n"
        )


CASES = [
    '{"partitions":[]}',
    '{"partitions":[],"version":1,"x":[]} and more',
    '{"partitions":[],"version":2}',
    '{"partitions":[],"version":null}',
    '{"version":3}',
    "{}",
    "[]",
    "12",
    "{'a':1}",
    '{"partitions":[{"topic":"t","partition":0,"offset":9223372036854775808}]}',
    '{"partitions":[{"topic":"t","partition":0.0,"offset":1}]}',
    '{"partitions":[{"topic":null,"partition":0,"offset":1}]}',
    '{"partitions":[{"topic":"t","partition":0,"offset":1},{"topic":"t","partition":0,"offset":2}]}',
    '{"partitions":[{"topic":"t","partition":0,"offset":6}]}',
    '{"partitions":[{"topic":"t","partition":0,"offset":4}]}',
    '{"partitions":[{"topic":"t","partition":0,"offset":1}]}',
    '{"partitions":[{"topic":"t","partition":0,"offset":-1}]}',
]


@pytest.mark.apache
@pytest.mark.slow
def test_beside_apache_kafka(data: Path) -> None:
    """The same files: the same stdout and exit code, and the same first line on stderr."""
    with apache.Broker() as broker, Tools(broker.bootstrap) as tools:
        assert tools.run("kafka-topics", "--create", "--topic", "t").returncode == 0
        tools.run("kafka-console-producer", "--topic", "t", input=b"x\n" * 5)
        for text in CASES:
            ours = delete(data, text)
            file = str(data.parent / "offsets.json")
            theirs = tools.run("kafka-delete-records", "--offset-json-file", file)
            first = "".join(
                line
                for line in theirs.stderr.decode().splitlines(keepends=True)[:1]
                if " ERROR [AdminClient" not in line
            )
            assert (ours.stdout, ours.stderr, ours.code) == (theirs.stdout.decode(), first, theirs.returncode), text
