"""The command lines that Apache Kafka's system tests build, and what they read out of the answers, on a directory.

Source: kafkatest's services in apache/kafka: the console consumer, the verifiable producer and consumer, KafkaService,
ACLs, delegation tokens and performance. A ``Node`` does what ducktape's does with a command line; what is read is read
by the same words, columns and keys.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pykafka_cli.tool.programs import write_programs

BOOTSTRAP = "worker1:9092,worker2:9092"
OPTIONS = 'export JMX_PORT=9192; export KAFKA_OPTS=-Dx=y; export KAFKA_LOG4J_OPTS="-Dlog4j.configuration=file:l"; '


class Node:
    """A machine of ducktape's: this one, with our tools as its distribution of Kafka."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_programs(str(folder / "kafka" / "bin"))
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYKAFKA")},
            "PYKAFKA_EMBED": "worker1:9092,worker2:9092",
            "PYKAFKA_DATA_DIR": str(folder / "data"),
            "LOG_DIR": str(folder / "logs"),
        }

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env=self._environ, stdout=subprocess.PIPE, text=True
        )

    def ssh(self, command: str) -> str:
        """What it prints; it must succeed, as with ducktape's allow_fail=False."""
        with self.start(f"{OPTIONS} {command}") as process:
            assert process.stdout is not None
            output = process.stdout.read()
        assert process.returncode == 0, (command, output)
        return output

    def tool(self, name: str) -> str:
        return f"kafka/bin/{name}.sh --bootstrap-server {BOOTSTRAP}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_topics_as_kafka_service_asks(node: Node) -> None:
    topics = node.tool("kafka-topics")
    node.ssh(
        f"{topics} --create --topic t  --partitions 2 --replication-factor 1 --if-not-exists "
        "--config cleanup.policy=delete"
    )
    node.ssh(f"{topics} --create --topic assigned  --replica-assignment 0,0 --if-not-exists")
    assert sorted(node.ssh(f"{topics} --list").split()) == ["assigned", "t"]
    described = node.ssh(f"{topics} --topic t --describe")
    assert _partitions(described) == [("t", 0, [0]), ("t", 1, [0])]
    line = next(each for each in described.splitlines() if "Partition: 1\t" in each)
    assert [int(each) for each in line.split()[9].split(",")] == [0]  # isr_idx_list
    assert [int(each) for each in line.split()[7].split(",")] == [0]  # replicas
    assert int(line.split()[5]) == 0  # leader
    ids = [each for each in described.splitlines() if re.match(".*TopicId:.*", each)]
    assert len(ids[0].split("\t")[1].split()[1]) == 22
    assert node.ssh(f"{topics} --describe --under-replicated-partitions") == ""
    configs = node.tool("kafka-configs")
    node.ssh(f"{configs} --entity-name t --entity-type topics --alter --add-config unclean.leader.election.enable=true")
    node.ssh(f"{configs} --entity-name u --entity-type users --alter --add-config SCRAM-SHA-256=[password=p]")
    node.ssh("kafka/bin/kafka-features.sh --bootstrap-server w:1 describe".replace("w:1", BOOTSTRAP))
    assert "LeaderId:" in node.ssh(f"{node.tool('kafka-metadata-quorum')} describe --status")
    plan = json.dumps({"partitions": [{"topic": "t", "partition": 0, "replicas": [0]}], "version": 1})
    reassign = (
        f"kafka/bin/kafka-reassign-partitions.sh --bootstrap-server {BOOTSTRAP} --reassignment-json-file plan.json"
    )
    node.ssh(f"echo '{plan}' > plan.json && {reassign} --execute --throttle 3500000")
    verified = node.ssh(f"{reassign} --verify && rm -f plan.json").replace("\n", "")
    assert not re.match(".*Reassignment of partition.*failed.*", verified)
    assert not re.match(".*is still in progress.*", verified)
    node.ssh(f"{topics} --topic t --delete")


def test_acls_and_tokens(node: Node) -> None:
    (node.folder / "client.properties").write_text("\nsecurity.protocol=PLAINTEXT\n")
    acls = f"{node.tool('kafka-acls')} --command-config client.properties"
    for operation in ("ClusterAction", "Alter", "Create"):
        node.ssh(f"{acls} --add --cluster --operation={operation} --allow-principal=User:kafka")
    node.ssh(f"{acls} --remove --force --cluster --operation=ClusterAction --allow-principal=User:kafka")
    assert "operation=ALTER" in node.ssh(f"{acls} --list")
    tokens = node.tool("kafka-delegation-tokens")
    node.ssh(f"{tokens}   --create  --max-life-time-period -1  --command-config client.properties > token.out")
    id, hmac, owner, *_, _issued, _expires, maximum = node.ssh("tail -1 token.out").split()
    assert (len(id), owner.startswith("User:"), maximum > "2") == (22, True, True)
    node.ssh(f"{tokens}   --renew  --renew-time-period -1  --hmac {hmac}  --command-config client.properties > o")
    node.ssh(f"{tokens}   --expire  --expiry-time-period -1  --hmac {hmac}  --command-config client.properties > o")


def test_a_produce_and_consume_validation(node: Node) -> None:
    """ProduceConsumeValidateTest: a verifiable producer, a console consumer that is stopped by a signal."""
    node.ssh(f"{node.tool('kafka-topics')} --create --topic t --partitions 2 --replication-factor 1")
    (node.folder / "producer.properties").write_text(
        "\nrequest.timeout.ms=30000\n\ncompression.type=snappy\n\nacks=-1\n\nmax.in.flight.requests.per.connection=5\n\n"
        "retries=1000000\n\nenable.idempotence=true\n"
    )
    events = _events(
        node.ssh(
            f"{node.tool('kafka-verifiable-producer')} --topic t --max-messages 20 --throughput 1000 --value-prefix 1 "
            " --acks -1  --repeating-keys 3  --producer.config producer.properties 2>> stdout | tee -a stdout"
        )
    )
    assert [event["name"] for event in events[:1] + events[-2:]] == [
        "startup_complete",
        "shutdown_complete",
        "tool_data",
    ]
    sent = [event for event in events if event["name"] == "producer_send_success"]
    acked = [re.fullmatch(r"1\.(\d+)", str(event["value"])) for event in sent]
    assert sorted(int(each[1]) for each in acked if each is not None) == list(range(20))
    assert {(event["topic"], event["partition"]) for event in sent} <= {("t", 0), ("t", 1)}

    (node.folder / "consumer.properties").write_text("group.id=test-consumer-group\n")
    with node.start(
        f"{OPTIONS} exec {node.tool('kafka-console-consumer')} --topic t --consumer.config consumer.properties "
        "--isolation-level read_uncommitted --from-beginning --property print.key=true --formatter "
        "org.apache.kafka.tools.consumer.LoggingMessageFormatter --enable-systest-events "
        "--consumer-property client.id=console-consumer 2>> stderr"
    ) as consumer:
        assert consumer.stdout is not None
        lines = [consumer.stdout.readline().strip() for _ in range(23)]
        os.kill(consumer.pid, signal.SIGTERM)
        rest = consumer.stdout.read().split()
    deprecated, values = lines[:3], lines[3:]
    assert all(line.startswith("Option --") for line in deprecated)
    assert sorted(value.partition("\t")[2] for value in values) == sorted(f"1.{number}" for number in range(20))
    assert rest == ["shutdown_complete"]


def test_a_verifiable_consumer_keeps_the_rules(node: Node) -> None:
    """What ConsumerEventHandler asserts of every event, and get_offset_shell and the groups afterwards."""
    node.ssh(f"{node.tool('kafka-topics')} --create --topic t --partitions 2 --replication-factor 1")
    node.ssh(
        f"{node.tool('kafka-verifiable-producer')} --topic t --max-messages 30 --repeating-keys 9 "
        "--producer.config /dev/null"
    )
    with node.start(
        f"{OPTIONS} exec {node.tool('kafka-verifiable-consumer')} --verbose --reset-policy earliest --topic t "
        "--group-id g --session-timeout 30000 --consumer.config /dev/null "
        "--assignment-strategy org.apache.kafka.clients.consumer.RangeAssignor 2>> stderr"
    ) as consumer:
        assert consumer.stdout is not None
        assignment: set[tuple[str, int]] = set()
        position: dict[tuple[str, int], int] = {}
        seen, committed, told = 0, 0, []
        for line in consumer.stdout:
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            told.append(event["name"])
            parts = {
                (each["topic"], each["partition"]): each for each in event.get("partitions", event.get("offsets", []))
            }
            if event["name"] == "partitions_assigned":
                assignment = set(parts)
            elif event["name"] == "partitions_revoked":
                assignment = set()
            elif event["name"] == "records_consumed":
                assert parts.keys() <= assignment
                for part, read in parts.items():
                    assert position.get(part, read["minOffset"]) == read["minOffset"]
                    position[part] = read["maxOffset"] + 1
                    assert read["count"] == position[part] - read["minOffset"]
                seen += event["count"]
            elif event["name"] == "offsets_committed":
                assert event["success"] and parts.keys() <= assignment
                assert all(position[part] >= each["offset"] for part, each in parts.items())
                committed += 1
            if seen == 30 and committed and "shutdown_requested" not in told and told[-1] == "offsets_committed":
                os.kill(consumer.pid, signal.SIGTERM)
    assert told[0] == "startup_complete"
    assert told[-3:] == ["shutdown_requested", "partitions_revoked", "shutdown_complete"]
    assert told.count("record_data") == 30
    assert node.ssh(f"{node.tool('kafka-consumer-groups')}  --list").split() == ["g"]
    rows = [
        line.split() for line in node.ssh(f"{node.tool('kafka-consumer-groups')}  --group g --describe").splitlines()
    ]
    assert sorted((row[1], int(row[2]), row[5]) for row in rows if row[:1] == ["g"]) == [("t", 0, "0"), ("t", 1, "0")]
    offsets = node.ssh(
        f"{node.tool('kafka-get-offsets')} --topic t  --partitions 0,1 --exclude-internal-topics 2>> l | tee -a l"
    )
    assert sum(int(line.split(":")[2]) for line in offsets.split()) == 30


def test_performance_services(node: Node) -> None:
    node.ssh(f"{node.tool('kafka-topics')} --create --topic t --partitions 1 --replication-factor 1")
    run = 'KAFKA_HEAP_OPTS="-XX:+HeapDumpOnOutOfMemoryError" kafka/bin/kafka-run-class.sh org.apache.kafka.tools'
    last = node.ssh(
        f"{run}.ProducerPerformance --topic t --num-records 100 --record-size 20 --throughput -1 --producer-props "
        f"bootstrap.servers={BOOTSTRAP} client.id=producer  acks=1 compression.type=none 2>>err | tee out"
    ).splitlines()[-1]
    parts = last.split(",")
    assert int(parts[0].split()[0]) == 100
    numbers = [parts[1].split()[0], parts[1].split("(")[1].split()[0], *(part.split()[0] for part in parts[2:8])]
    assert all(float(number) >= 0 for number in numbers)
    (node.folder / "c.properties").write_text("")
    last = node.ssh(
        f"kafka/bin/kafka-consumer-perf-test.sh --topic t --messages 100 --bootstrap-server {BOOTSTRAP} "
        "--consumer.config c.properties 2>> err | tee -a out2"
    ).splitlines()[-1]
    parts = last.split(",")
    assert all(float(parts[number]) >= 0 for number in (2, 3, 5))
    (node.folder / "e.properties").write_text("compression_type=none")
    told = node.ssh(f"{run}.EndToEndLatency {BOOTSTRAP} t 20 1 21 e.properties 2>> err | tee -a out3").splitlines()
    average = next(line for line in told if line.startswith("Avg latency:"))
    percentiles = next(line for line in told if line.startswith("Percentiles"))
    assert float(average.split()[2]) >= 0
    assert [float(percentiles.split()[number].rstrip(",")) >= 0 for number in (3, 6, 9)] == [True] * 3


def _partitions(description: str) -> list[tuple[str, int, list[int]]]:
    """parse_describe_topic."""
    found = []
    for line in map(str.strip, description.split("\n")):
        if re.match(".*Leader:.*", line):
            fields = dict(pair for field in line.split("\t") if len(pair := field.split(": ")) == 2)
            found.append((fields["Topic"], int(fields["Partition"]), list(map(int, fields["Replicas"].split(",")))))
    return found


def _events(text: str) -> list[dict[str, object]]:
    """try_parse_json: a line that is none is passed over."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
