"""Apache Kafka's own tools and clients through the port of ``pykafka serve``, and what its brokers advertise."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.console import produce, values
from tests.support.served import PATIENCE, Served

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]


@pytest.fixture
def run(java: Tools, served: Served) -> Callable[..., str]:
    """Runs one of Apache's tools at the port: what it prints."""

    def run(tool: str, *arguments: str, stdin: bytes = b"") -> str:
        done = java.run(tool, "--bootstrap-server", served.address, *arguments, input=stdin)
        assert done.returncode == 0, (tool, arguments, done.stdout, done.stderr)
        return done.stdout.decode()

    return run


def test_records_go_in_and_come_out_of_each_kind_of_group(served: Served, run: Callable[..., str]) -> None:
    run("kafka-console-producer", "--topic", "java", stdin=b"one\ntwo\n")
    assert produce(served.directory, "three\n", "--topic", "java").code == 0
    assert values(served.directory, "java") == [b"one", b"two", b"three"]
    read = ("kafka-console-consumer", "--topic", "java", "--from-beginning", "--max-messages", "3")
    assert run(*read) == "one\ntwo\nthree\n"
    assert run(*read, "--group", "classic") == "one\ntwo\nthree\n"
    consumer = ("--group", "consumer", "--command-property", "group.protocol=consumer")
    assert run(*read, *consumer) == "one\ntwo\nthree\n"
    told = run("kafka-consumer-groups", "--describe", "--all-groups", "--state").split()
    assert told.count("Empty") == 3  # the consumer without a group had one of its own
    for group in ("classic", "consumer"):
        lines = run("kafka-consumer-groups", "--describe", "--group", group).splitlines()
        assert lines[-1].split()[:6] == [group, "java", "0", "3", "3", "0"]


def test_a_java_consumer_and_one_of_the_shell_share_a_group(served: Served) -> None:
    from pykafka_store.open import open_cluster

    with open_cluster(served.directory) as cluster:
        cluster.admin().create_topic("mixed", partitions=2)
        settings = {"group.id": "mixed", "group.protocol": "consumer", "auto.offset.reset": "earliest"}
        arguments = ("--topic", "mixed", "--group", "mixed", "--command-property", "group.protocol=consumer")
        java = subprocess.Popen(
            apache.command("kafka-console-consumer", "--bootstrap-server", served.address, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            with cluster.consumer(settings) as shell:
                shell.subscribe(["mixed"])
                for _ in range(int(PATIENCE * 20)):
                    shell.poll(0.05)
                    members = cluster.admin().describe_group("mixed").members
                    if sorted(len(each.assignment) for each in members) == [1, 1]:
                        break
                else:
                    raise AssertionError(cluster.admin().describe_group("mixed"))
                with cluster.producer() as producer:
                    producer.send("mixed", [b"0", b"1"], partitions=[0, 1])
                (mine,) = (run for run in shell.poll(PATIENCE))
                assert java.stdout is not None
                assert sorted([*mine.values, java.stdout.readline().strip()]) == [b"0", b"1"]
        finally:
            java.kill()
            java.communicate()


def test_the_admin_tools(served: Served, run: Callable[..., str], tmp_path: Path) -> None:
    run("kafka-topics", "--create", "--topic", "admin", "--partitions", "2", "--config", "retention.ms=100000")
    run("kafka-topics", "--alter", "--topic", "admin", "--partitions", "3")
    described = run("kafka-topics", "--describe", "--topic", "admin")
    assert "PartitionCount: 3" in described and "retention.ms=100000" in described
    entity = ("--entity-type", "topics", "--entity-name", "admin")
    run("kafka-configs", "--alter", *entity, "--add-config", "max.message.bytes=5000")
    run("kafka-configs", "--alter", *entity, "--delete-config", "retention.ms")
    configs = run("kafka-configs", "--describe", *entity)
    assert "max.message.bytes=5000" in configs and "retention.ms" not in configs
    assert produce(served.directory, "1\n2\n3\n", "--topic", "admin", "--partition", "0").code == 0
    wanted = tmp_path / "delete.json"
    wanted.write_text(json.dumps({"partitions": [{"topic": "admin", "partition": 0, "offset": 2}], "version": 1}))
    assert "low_watermark: 2" in run("kafka-delete-records", "--offset-json-file", str(wanted))
    assert run("kafka-get-offsets", "--topic", "admin", "--time", "earliest").splitlines()[0] == "admin:0:2"
    assert '"partition":"admin-0"' in run("kafka-log-dirs", "--describe")
    assert "LeaderId:" in run("kafka-metadata-quorum", "describe", "--status")
    group = ("--group", "reset", "--topic", "admin")
    run("kafka-consumer-groups", "--reset-offsets", *group, "--to-latest", "--execute")
    assert run("kafka-groups", "--list").split()[-2:] == ["reset", "Classic"]  # and no protocol
    run("kafka-consumer-groups", "--delete-offsets", *group)
    run("kafka-consumer-groups", "--delete", "--group", "reset")
    run("kafka-topics", "--delete", "--topic", "admin")
    assert run("kafka-topics", "--list").split() == []


def _versions(address: str) -> dict[int, tuple[int, int]]:
    """What ApiVersions 0 answers."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        frame = struct.pack(">hhih", 18, 0, 1, -1)
        client.sendall(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))[0]
        answer = client.recv(size, socket.MSG_WAITALL)
    _, code, count = struct.unpack_from(">ihi", answer)
    assert code == 0
    return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])}


def test_the_versions_are_those_of_a_broker(served: Served) -> None:
    ours = _versions(served.address)
    with apache.Broker() as broker:
        theirs = _versions(broker.bootstrap)
    assert {key: versions for key, versions in ours.items() if theirs.get(key) != versions} == {}
