"""kafka-configs prints what Apache Kafka's prints, and what it changes takes effect."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pykafka_cli.commands.configs.actions import parse_additions
from pykafka_cli.errors import Refusal
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import (
    InvalidConfigError,
    InvalidRecordError,
    InvalidRequestError,
    NotEnoughReplicasError,
    RecordTooLargeError,
)
from pykafka_store.model import ConfigResource, OffsetAt, TimestampType, TopicPartition, random_topic_id
from pykafka_store.open import format_data_directory, open_cluster
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.in_process import run

P = TopicPartition("t", 0)


# ------------------------------------------------------------------------------------------------- parsing --add-config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # ConfigCommandTest
        ("a=b,c=,d=e,f=", {"a": "b", "c": "", "d": "e", "f": ""}),
        ("a=b,c=[d,e ,f],g=[h,i]", {"a": "b", "c": "d,e ,f", "g": "h,i"}),
        ("a._-c=b", {"a._-c": "b"}),
        ("a=b,", {"a": "b"}),
        (" a = b , c=d ", {"a": "b", "c": "d"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=[b=c,d]", {"a": "b=c,d"}),
        ("a=[]", {"a": ""}),
    ],
)
def test_additions(text: str, expected: dict[str, str]) -> None:
    assert parse_additions(text) == expected


@pytest.mark.parametrize("text", ["", "a", "a=b=c", "a,=b", "a=b,c", "=", "a=b,,c=d"])
def test_malformed_additions(text: str) -> None:
    if text == "=":
        assert parse_additions(text) == {"": ""}
        return
    with pytest.raises(Refusal, match="requirement failed: Invalid entity config"):
        parse_additions(text)


def test_a_bad_key() -> None:
    with pytest.raises(Refusal, match="Invalid character found for config key: a;c"):
        parse_additions("a;c=b")


# ---------------------------------------------------------------------------------------------------------- the seam


@pytest.fixture
def cluster(tmp_path: Path) -> EmbeddedCluster:
    cluster = EmbeddedCluster(str(tmp_path / "data"))
    cluster.admin().create_topic("t")
    return cluster


def overrides(cluster: EmbeddedCluster) -> dict[str, str]:
    found = cluster.admin().describe_configs(ConfigResource("topic", "t"))
    return {entry.name: entry.value for entry in found if entry.source == "DYNAMIC_TOPIC_CONFIG"}


def test_all_or_nothing(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    admin.incremental_alter_configs(ConfigResource("topic", "t"), {"retention.ms": "007"})
    cases: list[tuple[Mapping[str, str], Sequence[str], type[Exception]]] = [
        ({"flush.ms": "1", "retention.ms": "x"}, (), InvalidConfigError),
        ({"flush.ms": "1", "foo": "x"}, (), InvalidConfigError),
        ({"flush.ms": "1"}, ("flush.ms",), InvalidRequestError),
        ({"flush.ms": "1"}, ("retention.ms", "retention.ms"), InvalidRequestError),
    ]
    for changes, deletions, error in cases:
        with pytest.raises(error):
            admin.incremental_alter_configs(ConfigResource("topic", "t"), changes, deletions)
        assert overrides(cluster) == {"retention.ms": "7"}
    admin.incremental_alter_configs(ConfigResource("topic", "t"), {"flush.ms": "1"}, ["retention.ms", "segment.ms"])
    assert overrides(cluster) == {"flush.ms": "1"}


def test_a_conflict_with_what_was_set_before_is_seen(cluster: EmbeddedCluster) -> None:
    cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"max.compaction.lag.ms": "5"})
    with pytest.raises(InvalidConfigError, match="conflict topic config setting"):
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"min.compaction.lag.ms": "6"})
    cluster.admin().incremental_alter_configs(
        ConfigResource("topic", "t"), {"min.compaction.lag.ms": "6"}, ["max.compaction.lag.ms"]
    )


def test_changes_take_effect_in_a_producer_that_is_at_work(tmp_path: Path, cluster: EmbeddedCluster) -> None:
    """Another process changes the settings between two sends of one producer."""

    def alter(changes: Mapping[str, str], *deletions: str) -> None:
        with open_cluster(f"file:{tmp_path / 'data'}") as other:
            other.admin().incremental_alter_configs(ConfigResource("topic", "t"), changes, deletions)

    def segments() -> int:
        return len(list((tmp_path / "data" / "brokers" / "0" / "t-0").glob("*.log")))

    with cluster, cluster.producer({"linger.ms": "0"}) as producer:
        producer.send("t", [b"x" * 1000], keys=[b"k"])
        alter({"max.message.bytes": "500"})
        with pytest.raises(RecordTooLargeError):
            producer.send("t", [b"x" * 1000], keys=[b"k"])
        alter({"cleanup.policy": "compact"}, "max.message.bytes")
        with pytest.raises(InvalidRecordError):
            producer.send("t", [b"x"])
        alter({"internal.segment.bytes": "2000"}, "cleanup.policy")
        for _ in range(6):
            producer.send("t", [b"x" * 1000])
        assert segments() > 2
        alter({"message.timestamp.type": "LogAppendTime", "compression.type": "gzip", "retention.bytes": "0",
               "file.delete.delay.ms": "0"})  # fmt: skip
        producer.send("t", [b"x" * 1000, b"y" * 1000], timestamps=5)
        producer.send("t", [b"x" * 1000, b"y" * 1000], timestamps=5)
        for _ in range(9):
            producer.send("t", [bytes(range(256)) * 8])
        assert segments() == 1
        with cluster.consumer() as consumer:
            consumer.assign({P: OffsetAt.EARLIEST})
            records = consumer.poll(1.0)[-1]
            assert records.timestamp_type is TimestampType.LOG_APPEND_TIME
            assert min(records.timestamps) > 5


# ------------------------------------------------------------------------------------------------ beside the real tool

COMMANDS = """
--foo
--describe --alter
--describe
--entity-type topics
--alter --topic t
--alter --topic t --add-config retention.ms=1000,segment.bytes=1048576
--describe --topic t
--describe --entity-type topics --entity-name t --all
--describe --entity-type topics
--describe --entity-type topics --entity-default
--alter --entity-type topics --entity-default --add-config a=b
--alter --topic t --add-config foo=b
--alter --topic t --add-config retention.ms=abc
--alter --topic t --delete-config foo
--alter --topic t --delete-config retention.ms --add-config retention.ms=5
--alter --topic t --delete-config retention.ms --delete-config segment.bytes --add-config flush.ms=5
--describe --topic t
--alter --topic t --delete-config ''
--alter --topic t --delete-config ' flush.ms , '
--alter --topic t --delete-config 'a;b'
--alter --topic t --add-config ''
--alter --topic t --add-config =
--alter --topic t --add-config a=b,,c=d
--alter --topic t --add-config 'a;c=b'
--alter --topic t --add-config cleanup.policy=[compact,delete]
--alter --topic t --add-config cleanup.policy=
--describe --topic t
--alter --topic t --add-config ' retention.ms = 7 , flush.ms=[9]'
--alter --topic t --add-config leader.replication.throttled.replicas=[0:1,1:1]
--alter --topic t --add-config internal.segment.bytes=77
--describe --topic t
--alter --topic t --add-config-file /nonexistent
--alter --topic t --add-config-file /
--alter --topic t --add-config-file ''
--alter --topic t --delete-config flush.ms,flush.ms
--alter --topic t --delete-config flush.ms --delete-config flush.ms
--alter --entity-type topics --entity-name t --entity-name u --add-config flush.ms=5
--alter --entity-type topics --entity-name t --entity-name u --add-config-file /nonexistent
--alter --entity-type brokers --entity-name 1 --entity-default --add-config log.retention.ms=1
--alter --entity-type users --entity-type clients --entity-name a --add-config producer_byte_rate=1
--describe --entity-type topics --entity-name t --entity-name u
--describe --entity-type users --entity-type clients --entity-name a --entity-name b --entity-name c
--describe --entity-type clients --entity-name a --entity-name b
--alter --topic t --add-config a=b --add-config-file f
--describe --topic nosuch
--describe --topic 'bad name'
--describe --topic t --entity-type topics
--describe --topic t --entity-name x
--describe --entity-type topics --entity-type users
--describe --entity-type bogus
--describe --topic t --topic u
--describe --topic t --add-config a=b
--describe --topic t --delete-config a
--describe --entity-type broker-loggers
--describe --entity-type clients
--describe --entity-type users
--describe --entity-type groups
--describe --group g
--describe --client-metrics m
--describe --broker x
--describe --broker 77
--describe --broker-defaults
--describe --client-defaults --topic t
--describe --entity-type topics --client-defaults
--describe --entity-name t
--alter --entity-type brokers --add-config a=b
--alter --entity-type clients --add-config a=b
--alter --user u --add-config SCRAM-SHA-256=[iterations=5000,password=x]
--alter --user u --add-config producer_byte_rate=1024
--alter --client c --add-config consumer_byte_rate=0x10p4
--alter --client-metrics m --add-config interval.ms=1000,match=[client_id=a]
--describe --entity-type users
--describe --entity-type clients
--describe --entity-type client-metrics
--alter --user u --add-config producer_byte_rate=0
--alter --user u --delete-config SCRAM-SHA-512
--alter --topic nosuch --add-config retention.ms=5
--alter --topic t --add-config min.compaction.lag.ms=10,max.compaction.lag.ms=5
--alter --topic t --add-config remote.storage.enable=true
--describe --entity-type brokers
--alter --broker 1 --add-config log.retention.ms=1000000,leader.replication.throttled.rate=5000
--alter --entity-type brokers --entity-default --add-config log.retention.ms=2000000,log.roll.ms=5,min.insync.replicas=2
--describe --broker 1
--describe --broker-defaults
--describe --all --topic t
--alter --broker 1 --add-config min.insync.replicas=1
--alter --broker-defaults --delete-config min.insync.replicas
--alter --broker 1 --add-config log.dirs=/x
--alter --broker 1 --add-config log.retention.hours=1
--alter --broker 1 --add-config log.retention.ms=x
--alter --broker 1 --add-config log.retention.ms=0
--alter --broker 1 --add-config log.retention.ms=-5
--describe --broker 1
--alter --broker 1 --add-config log.flush.interval.ms=-1
--alter --broker 1 --delete-config log.retention.ms,log.flush.interval.ms
--alter --broker 1 --add-config log.roll.ms=0
--alter --broker-defaults --add-config log.roll.jitter.ms=-1
--alter --broker-defaults --add-config log.segment.bytes=1
--alter --broker 1 --add-config log.cleanup.policy=x
--alter --broker 1 --add-config leader.replication.throttled.rate=-1
--alter --broker 1 --delete-config log.retention.ms,log.roll.ms
--describe --entity-type brokers
--alter --group g --add-config consumer.session.timeout.ms=50000
--describe --group g
--describe --entity-type groups
--describe --group other
--alter --group g --add-config consumer.session.timeout.ms=1
--alter --group g --add-config consumer.session.timeout.ms=70000
--alter --group g --add-config consumer.heartbeat.interval.ms=60000
--alter --group g --add-config nope=1
--alter --group g --delete-config consumer.session.timeout.ms,nope
""".strip().splitlines()


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_beside_apache_kafka(tmp_path: Path) -> None:
    """The same command lines: the same stdout and exit code, and what it says on stderr but stacks and help."""
    data = tmp_path / "data"
    with apache.Broker() as broker, Tools(broker.bootstrap) as tools:
        tools.run("kafka-topics", "--create", "--topic", "t")
        format_data_directory(data, random_topic_id(), broker=1)
        run("kafka-topics", "--create", "--topic", "t", data_dir=data)
        different = []
        for line in COMMANDS:
            words = shlex.split(line)
            ours = run("kafka-configs", "--bootstrap-server", f"file:{data}", *words, data_dir=data)
            theirs = tools.run("kafka-configs", *words)
            said = theirs.stderr.decode().replace(broker.bootstrap, f"file:{data}").partition("\nOption  ")[0]
            lines = [each for each in said.split("\n") if each and not each.startswith(("\t", "Caused by:"))]
            want = (theirs.stdout.decode(), lines, theirs.returncode)
            told = [
                each
                for each in ours.message.split("\n")
                if each and " WARN " not in each and not each.startswith("Did you mean ")
            ]  # that it enforces nothing, and hints
            have = (ours.stdout, told, ours.code)
            if have != want:
                different.append((line, have, want))
    assert different == []


# ----------------------------------------------------------------------------------------------------- what brokers say


def test_what_brokers_are_told_is_in_force_for_topics_and_producers_that_are_at_work(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        admin = cluster.admin()
        admin.create_topic("t")
        admin.create_topic("own", configs={"max.message.bytes": "2000"})
        with cluster.producer({"linger.ms": "0", "retries": "0"}) as producer:
            producer.send("t", [b"x" * 1000])
            admin.incremental_alter_configs(ConfigResource("broker", ""), {"message.max.bytes": "500"})
            with pytest.raises(RecordTooLargeError):
                producer.send("t", [b"x" * 1000])
            producer.send("own", [b"x" * 1000])
            admin.incremental_alter_configs(ConfigResource("broker", "0"), {"message.max.bytes": "1500"})
            producer.send("t", [b"x" * 1000])
            admin.incremental_alter_configs(ConfigResource("broker", "0"), {}, ["message.max.bytes"])
            with pytest.raises(RecordTooLargeError):
                producer.send("t", [b"x" * 1000])
            cluster.add_broker()
            admin.create_topic("two", assignments=[[0, 1]])
            cluster.stop_broker(1)
            producer.send("two", [b"x"])
            admin.incremental_alter_configs(ConfigResource("broker", ""), {"min.insync.replicas": "2"})
            with pytest.raises(NotEnoughReplicasError):
                producer.send("two", [b"x"])


def test_a_broker_that_is_removed_takes_its_settings_along(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.add_broker()
        resource = ConfigResource("broker", "1")
        cluster.admin().incremental_alter_configs(resource, {"log.retention.ms": "5"})
        cluster.remove_broker(1)
        cluster.add_broker(1, [str(tmp_path / "other")])
        sources = {each.source for each in cluster.admin().describe_configs(resource)}
        assert "DYNAMIC_BROKER_CONFIG" not in sources


def test_members_of_the_consumer_protocol_take_their_timeouts_from_the_group(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.admin().create_topic("t")
        resource = ConfigResource("group", "g")
        cluster.admin().incremental_alter_configs(resource, {"consumer.session.timeout.ms": "50000"})
        for protocol, expected in (("classic", 45.0), ("consumer", 50.0)):
            with cluster.consumer({"group.id": "g", "group.protocol": protocol}) as consumer:
                consumer.subscribe(["t"])
                consumer.poll()
                (member,) = cluster.engine.groups.members("g")
                assert member.session_timeout == expected
