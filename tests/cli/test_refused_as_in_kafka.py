"""What Apache Kafka's tools refuse is refused here with their words, taken from runs of 4.3.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_cli.commands.dump_log import LEFT_OUT
from pykafka_store.errors import InvalidConfigError
from pykafka_store.open import open_cluster
from pykafka_store.settings.client_configs import ClientConfig, check_idempotence
from tests.support.in_process import run

NOPE = "Invalid value nope for configuration"


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            "producer",
            {"compression.gzip.level": "99"},
            "Invalid value 99 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "producer",
            {"compression.lz4.level": "99"},
            "Invalid value 99 for configuration compression.lz4.level: Value must be no more than 17",
        ),
        (
            "producer",
            {"compression.zstd.level": "99"},
            "Invalid value 99 for configuration compression.zstd.level: Value must be no more than 22",
        ),
        (
            "producer",
            {"security.protocol": "nope"},
            f"{NOPE} security.protocol: String must be one of (case insensitive): SASL_SSL, PLAINTEXT, SSL, "
            "SASL_PLAINTEXT",
        ),
        (
            "consumer",
            {"security.protocol": ""},
            "Invalid value  for configuration security.protocol: String must be one of (case insensitive): SASL_SSL, "
            "PLAINTEXT, SSL, SASL_PLAINTEXT",
        ),
        (
            "consumer",
            {"group.protocol": "nope"},
            f"{NOPE} group.protocol: String must be one of (case insensitive): CONSUMER, CLASSIC",
        ),
        (
            "consumer",
            {"group.protocol": "Consumer", "session.timeout.ms": "10000"},
            "session.timeout.ms cannot be set when group.protocol=CONSUMER",
        ),
        (
            "consumer",
            {
                "group.protocol": "consumer",
                "session.timeout.ms": "1",
                "heartbeat.interval.ms": "1",
                "partition.assignment.strategy": "range",
            },
            "partition.assignment.strategy, heartbeat.interval.ms, session.timeout.ms cannot be set when "
            "group.protocol=CONSUMER",
        ),
        (
            "consumer",
            {"group.remote.assignor": "uniform"},
            "group.remote.assignor cannot be set when group.protocol=CLASSIC",
        ),
    ],
)
def test_a_clients_settings(kind: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidConfigError) as refused:
        ClientConfig(kind, given)
    assert str(refused.value) == message


def test_what_is_taken() -> None:
    ClientConfig("producer", {"compression.gzip.level": "-1", "security.protocol": "plaintext"})
    config = ClientConfig("consumer", {"group.protocol": "CONSUMER", "partition.assignment.strategy": " "})
    assert config.group_protocol == "consumer"
    assert ClientConfig("consumer", {}).group_protocol == "classic"


def test_too_many_requests_in_flight_for_idempotence() -> None:
    given = {"enable.idempotence": "true", "max.in.flight.requests.per.connection": "9"}
    with pytest.raises(InvalidConfigError) as refused:
        check_idempotence(ClientConfig("producer", given))
    assert str(refused.value) == (
        "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. Current value "
        "is 9."
    )


def test_an_assignor_that_is_not_known_is_refused_without_a_group_too(tmp_path: Path) -> None:
    with open_cluster(tmp_path) as cluster, pytest.raises(InvalidConfigError, match="nope is not known here"):
        cluster.consumer({"partition.assignment.strategy": "nope"})


def test_two_files_of_admin_settings(tmp_path: Path) -> None:
    arguments = (
        "--election-type",
        "preferred",
        "--all-topic-partitions",
        "--admin.config",
        "a",
        "--command-config",
        "b",
    )
    done = run("kafka-leader-election", *arguments, data_dir=tmp_path)
    assert done.code == 1
    assert done.message == 'Option "[admin.config]" can\'t be used with option "[command-config]"'


@pytest.mark.parametrize(
    ("kind", "name", "refused"), [("brokers", "0", True), ("ips", "::1", True), ("topics", "t", False)]
)
def test_several_names_of_an_entity(tmp_path: Path, kind: str, name: str, refused: bool) -> None:
    names = ("--entity-name", name, "--entity-name", name)
    done = run("kafka-configs", "--describe", "--entity-type", kind, *names, data_dir=tmp_path)
    sentence = "Found multiple arguments for option entity-name, but you asked for only one\n"
    assert (done.code, done.stderr) == ((1, sentence) if refused else (0, ""))


def test_help_of_kafka_cluster_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["-h"], ["cluster-id", "--help"]):
        done = run("kafka-cluster", *arguments, data_dir=tmp_path)
        assert (done.code, done.stderr) == (1, "")
        assert capsys.readouterr().out.startswith("Usage: kafka-cluster")


def test_members_of_the_consumer_protocol_have_ids_of_22_characters(tmp_path: Path) -> None:
    with open_cluster(tmp_path) as cluster:
        cluster.admin().create_topic("t")
        for protocol, length in (("consumer", 22), ("classic", len("consumer-classic-1-") + 36)):
            with cluster.consumer({"group.id": protocol, "group.protocol": protocol}) as consumer:
                consumer.subscribe(["t"])
                (member,) = cluster.admin().describe_group(protocol).members
                assert len(member.member_id) == length


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("cluster-id extra", "unrecognized arguments: 'extra'"),
        ("cluster-id extra more", "unrecognized arguments: 'extra more'"),
        ("cluster-id --nothing", "unrecognized arguments: '--nothing'"),
        ("cluster-id -b", "argument --bootstrap-server/-b: expected one argument"),
        ("unregister --id x", "argument --id/-i: could not convert 'x' to Integer (For input string: \"x\")"),
        ("", "too few arguments"),
    ],
)
def test_the_complaints_of_argparse4j(tmp_path: Path, arguments: str, error: str) -> None:
    done = run("kafka-cluster", *arguments.split(), data_dir=tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == [f"kafka-cluster: error: {error}"]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_decoder_that_is_not_here_says_where_to_look(tmp_path: Path, name: str) -> None:
    done = run("kafka-dump-log", f"--{name}", "--files", "x.log", data_dir=tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"--{name} is not supported, for a data directory has no such topic: ")
    assert "COMPAT" not in done.stderr
