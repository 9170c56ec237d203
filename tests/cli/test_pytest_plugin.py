"""The plugin of pytest: its fixture in a run of pytest's own, as users have it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from pykafka_cli.pytest_plugin import KafkaDirectory
from pykafka_store.embedded.admin.topics import TopicAdmin
from tests.support.between import once

USERS_TEST = """
import subprocess

import pytest


def test_it_is_this_tests_own(kafka):
    assert not kafka.directory.exists()
    kafka.seed("t", ["tea", b"milk", None, {"sum": 1.5, "of": ["ä"]}], keys=["a", None, b"c", "d"])
    assert kafka.values("t") == ["tea", "milk", None, '{"sum":1.5,"of":["ä"]}']


def test_json_and_partitions(kafka):
    kafka.seed("t", [{"n": 1}, [2], None], partitions=3)
    with kafka.open() as cluster:
        assert len(cluster.admin().describe_topics(["t"])[0].partitions) == 3
    kafka.seed("t", ["4"])
    assert sorted(map(str, kafka.json("t"))) == ["4", "None", "[2]", "{'n': 1}"]


def test_what_is_no_json_is_named(kafka):
    kafka.seed("t", ["1", "tea"])
    with pytest.raises(ValueError, match="topic t, partition 0, offset 1: Expecting value"):
        kafka.json("t")
    kafka.seed("t", [b"\\xff"])
    with pytest.raises(UnicodeDecodeError, match="topic t, partition 0, offset 2"):
        kafka.values("t")


def test_commands_find_it_and_a_group_is_waited_for(kafka):
    kafka.seed("orders", ["tea", "milk"])
    words = ["kafka-console-consumer.sh", "--bootstrap-server", "broker:9092", "--topic", "orders", "--group", "g"]
    worker = subprocess.Popen([*words, "--from-beginning"], stdout=subprocess.PIPE)
    kafka.wait_lag("g", topic="orders")
    worker.terminate()
    assert worker.communicate()[0] == b"tea\\nmilk\\n"


def test_a_client_of_the_port_and_a_command_share_the_topics(kafka_server):
    import os

    import confluent_kafka

    assert os.environ["SPRING_KAFKA_BOOTSTRAP_SERVERS"] == kafka_server.bootstrap_servers
    kafka_server.seed("orders", ["tea"])
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": kafka_server.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["orders"])
    assert consumer.poll(30).value() == b"tea"
    consumer.close()
    kafka_server.wait_lag("g", topic="orders")
    words = ["kafka-topics", "--bootstrap-server", kafka_server.bootstrap_servers, "--list", "--exclude-internal"]
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == b"orders\\n"
    assert kafka_server.stop() == ""
    assert kafka_server.values("orders") == ["tea"]


def test_a_group_that_is_not_there_fails_the_test(kafka):
    kafka.seed("orders", ["tea"])
    kafka.wait_lag("nobody", timeout=0.01)
"""


def test_a_users_tests_have_the_fixture(tmp_path: Path) -> None:
    """By the plugin's module: an installation that is older than the entry point has it all the same."""
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    scripts = os.path.realpath(sysconfig.get_path("scripts"))  # no virtual environment is active
    kept = [place for place in environ["PATH"].split(os.pathsep) if os.path.realpath(place) != scripts]
    environ["PATH"] = os.pathsep.join(kept)
    words = ["-q", "-p", "pykafka_cli.pytest_plugin", "-p", "no:cacheprovider", "-W", "error", "--color=no"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_users.py"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert "1 failed, 5 passed" in done.stdout, done.stdout + done.stderr
    assert "after 0.01 s: group nobody does not exist" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_topic_that_what_the_test_started_makes_just_then_is_seeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, other = KafkaDirectory(tmp_path), KafkaDirectory(tmp_path)
    came = once(monkeypatch, TopicAdmin, "create_topic", lambda: other.seed("t", ["theirs"]))
    kafka.seed("t", ["ours"])
    assert came
    assert kafka.values("t") == ["theirs", "ours"]


def test_the_plugin_is_declared() -> None:
    declared = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert declared["project"]["entry-points"]["pytest11"] == {"pykafka": "pykafka_cli.pytest_plugin"}


def test_reading_the_plugin_costs_no_run_more_than_pytest_does() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import pykafka_cli.pytest_plugin; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pykafka_cli", "pykafka_cli.pytest_plugin"]
