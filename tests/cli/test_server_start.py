"""kafka-server-start and kafka-server-stop as processes: ready, found, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("kio")

PROGRAMS = Path(sysconfig.get_path("scripts"))
FILE = """
process.roles=broker,controller
node.id=7
controller.quorum.voters=7@localhost:9093
listeners=PLAINTEXT://:0,CONTROLLER://:9093
log.dirs={logs}
num.partitions=2
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "server.properties").write_text(FILE.format(logs=tmp_path / "logs"))
    return {
        **os.environ,
        "PYKAFKA_DATA_DIR": str(tmp_path / "data"),
        "LOG_DIR": str(tmp_path / "out"),
        "PYKAFKA_EMBED": "localhost:9092",
    }


def run(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAMS / words[0]), *words[1:]]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_a_server_in_the_background_is_found_by_commands_and_stopped(environ: dict[str, str], tmp_path: Path) -> None:
    file = str(tmp_path / "server.properties")
    started = run(environ, "kafka-server-start", "-daemon", file)
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    try:
        assert "[KafkaRaftServer nodeId=7] Kafka Server started" in (tmp_path / "out/kafkaServer.out").read_text()
        assert "Kafka Server started" in (tmp_path / "out/server.log").read_text()
        made = run(environ, "kafka-topics", "--bootstrap-server", "localhost:9092", "--create", "--topic", "orders")
        assert made.stdout == "Created topic orders.\n"
        shown = run(environ, "kafka-topics", "--describe", "--topic", "orders").stdout
        assert "PartitionCount: 2" in shown
        assert "Leader: 7" in shown
        assert (tmp_path / "logs/meta.properties").exists()  # the file's place, which the environment's name leads to
        second = run(environ, "kafka-server-start", "-daemon", file)
        assert second.returncode == 1
        assert "is served by another pykafka serve already" in second.stderr
    finally:
        stopped = run(environ, "kafka-server-stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")


def test_a_server_in_the_foreground_ends_at_sigterm(environ: dict[str, str], tmp_path: Path) -> None:
    command = [str(PROGRAMS / "kafka-server-start"), str(tmp_path / "server.properties"), "--override", "node.id=3"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "nodeId=3] Kafka Server started" in server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 143
    again = run(environ, "kafka-server-stop")
    assert (again.returncode, again.stdout, again.stderr) == (1, "No kafka server to stop\n", "")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--override", "listeners=SSL://:9092"], "listener SSL needs ssl.keystore.type=PEM and ssl.keystore.location"),
        (
            ["--override", "listeners=PLAINTEXT://nowhere"],
            "PLAINTEXT://nowhere is no address: write PLAINTEXT://HOST:PORT",
        ),
        (["--override", "broker.id=8"], "You must set `node.id` to the same value as `broker.id`."),
        (["--override", "num.partitions=many"], "Invalid value many for configuration num.partitions"),
        (["--override", "node.id"], "--override node.id is no property: write NAME=VALUE"),
    ],
)
def test_what_can_not_be_honoured_is_one_line(
    environ: dict[str, str], tmp_path: Path, more: list[str], message: str
) -> None:
    done = run(environ, "kafka-server-start", str(tmp_path / "server.properties"), *more)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_log_directory_that_was_removed_is_made_anew(environ: dict[str, str], tmp_path: Path) -> None:
    """What the environment leads to is a link to it, and for a while to nothing."""
    file = str(tmp_path / "server.properties")
    assert run(environ, "kafka-storage", "format", "-t", "first", "-c", file).returncode == 0
    assert run(environ, "kafka-topics", "--create", "--topic", "old").returncode == 0
    shutil.rmtree(tmp_path / "logs")
    done = run(environ, "kafka-storage", "format", "-t", "second", "-c", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert run(environ, "kafka-cluster", "cluster-id").stdout == "Cluster ID: second\n"
    assert run(environ, "kafka-topics", "--list").stdout == "\n"
    shutil.rmtree(tmp_path / "logs")
    assert run(environ, "kafka-topics", "--create", "--topic", "new").stdout == "Created topic new.\n"
    assert (tmp_path / "logs/meta.properties").exists()


def test_in_a_distributions_bin_the_log_is_in_the_logs_beside_it(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "kafka/config").mkdir(parents=True)
    assert run(environ, "pykafka", "link", str(tmp_path / "kafka/bin")).returncode == 0
    del environ["LOG_DIR"]
    start = str(tmp_path / "kafka/bin/kafka-server-start.sh")
    done = run(environ, start, "-daemon", str(tmp_path / "server.properties"))
    assert (done.returncode, done.stderr) == (0, "")
    assert run(environ, "kafka-server-stop").returncode == 0
    logs = tmp_path / "kafka/logs"
    assert sorted(path.name for path in logs.iterdir()) == ["kafkaServer.out", "server.log"]
    assert (logs / "server.log").read_text().count("started") == 1


@pytest.mark.parametrize("words", [("kafka-server-start", "--foo"), ("kafka-server-start", "/")])
def test_a_mistake_ends_as_one_of_any_tool_of_kafkas(environ: dict[str, str], words: tuple[str, ...]) -> None:
    done = run(environ, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert ("--foo" if "--foo" in words else "/ can't be read: Is a directory") in done.stderr


def test_the_servers_broker_coordinates_its_groups(environ: dict[str, str], tmp_path: Path) -> None:
    done = run(environ, "kafka-storage", "format", "-t", "abc", "-c", str(tmp_path / "server.properties"))
    assert done.returncode == 0, done.stderr
    assert run(environ, "kafka-console-consumer", "--topic", "t", "--group", "g", "--exit-at-end").returncode == 0
    done = run(environ, "kafka-consumer-groups", "--describe", "--group", "g", "--state", "--output", "json")
    assert json.loads(done.stdout)["coordinatorId"] == 7, done.stdout


def test_the_server_that_is_meant_is_stopped_and_other_words_change_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """As Kafka's script does it, which scripts give the server's file."""
    environ["COLUMNS"] = "40"  # where it is exported, ps cuts what it shows
    file = str(tmp_path / "server.properties")
    with open(file, "a") as properties:
        properties.write("\nprocess.roles=broker,controller\n")
    assert run(environ, "kafka-server-start", "-daemon", file, "--override", "num.partitions=3").returncode == 0
    for other in ("--node-id=8", "--process-role=controller"):
        assert run(environ, "kafka-server-stop", other).returncode == 0
        again = run(environ, "kafka-server-start", "-daemon", file)
        assert "is served by another pykafka serve already" in again.stderr  # for it goes on
    stopped = run(environ, "kafka-server-stop", "--node-id=7", "-c", file)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")
