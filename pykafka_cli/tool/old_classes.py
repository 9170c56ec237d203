"""Classes that scripts of before Kafka 4 start, and the command line of today that does what each did.

For who asks for them with PYKAFKA_OLD_OPTIONS=1; else they are refused, and the refusal says what there is instead.
Source: kafka.admin and kafka.tools of Kafka 0.8 to 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.old_options import VARIABLE


class OldClass(NamedTuple):
    tool: str
    today: Callable[[list[str]], list[str]]
    """The words for that tool; options of before Kafka 4 may be among them, which the tool itself looks after."""
    instead: str
    asked: str = "runs it as it was"
    """What becomes of it where it is asked for."""


def _preferred_election(words: list[str]) -> list[str]:
    everywhere = [] if any(word.startswith("--path-to-json-file") for word in words) else ["--all-topic-partitions"]
    return [*words, "--election-type", "preferred", *everywhere]


_OFFSETS = {"-1": "latest", "-2": "earliest"}


def _simple_consumer(words: list[str]) -> list[str]:
    """One partition from a place on. What it printed of each offset is a column today."""
    today: list[str] = []
    left_out = {"--replica", "--clientId", "--fetchsize", "--max-wait-ms"}
    given = {"--partition": "0", "--offset": "-2"}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in left_out | given.keys():
            given[name] = value if equals else next(rest, "")
        elif name == "--no-wait-at-logend":
            today.append("--exit-at-end")
        elif name == "--print-offsets":
            today += ["--property", "print.offset=true"]
        else:
            today.append(word)
    offset = _OFFSETS.get(given["--offset"], given["--offset"])
    return [*today, "--partition", given["--partition"], "--offset", offset]


def _first_perf_test(words: list[str]) -> list[str]:
    """Kafka 0.8.2's new producer: words in place of options, then settings of the producer. Raises CommandFailure."""
    if len(words) < 4:
        raise CommandFailure(
            "USAGE: java org.apache.kafka.clients.tools.ProducerPerformance topic_name num_records record_size "
            "target_records_sec [prop_name=prop_value]*"
        )
    topic, records, size, rate, *settings = words
    options = ["--topic", topic, "--num-records", records, "--record-size", size, "--throughput", rate]
    return [*options, "--command-property", *settings] if settings else options


def _first_latency_test(words: list[str]) -> list[str]:
    """Kafka 0.8's: ZooKeeper's address is the second word, and each record had eleven bytes. Raises CommandFailure."""
    if len(words) not in {4, 6}:
        raise CommandFailure(
            "USAGE: java kafka.tools.TestEndToEndLatency broker_list zookeeper_connect topic num_messages "
            "consumer_fetch_max_wait producer_acks"
        )
    broker, _zookeeper, topic, count, *tuned = words
    acks = "all" if tuned[1:] == ["-1"] else "1"
    options = ["--bootstrap-server", broker, "--topic", topic, "--num-records", count]
    return [*options, "--producer-acks", acks, "--record-size", "11"]


_ELECTION = "its place is taken by kafka-leader-election --election-type preferred"
_SIMPLE = "its place is taken by kafka-console-consumer --partition N --offset earliest"
_CHECKER = "its place is taken by kafka-consumer-groups --describe --group"
_CREATE, _LIST = "its place is taken by kafka-topics --create", "its place is taken by kafka-topics --describe"
_PERFORMANCE = "its place is taken by kafka-producer-perf-test"

_ZOOKEEPER = "there is no ZooKeeper here, nor in Kafka 4: leave it out, kafka-server-start needs none"

OFFSET_CHECKER, ZOOKEEPER, ZOOKEEPER_SHELL = "consumer-offset-checker", "zookeeper", "zookeeper-shell"
"""No tools of today: offset_checker.py and zookeeper.py."""

OLD_CLASSES: Mapping[str, OldClass] = {
    "kafka.admin.PreferredReplicaLeaderElectionCommand": OldClass("leader-election", _preferred_election, _ELECTION),
    "kafka.tools.SimpleConsumerShell": OldClass("console-consumer", _simple_consumer, _SIMPLE),
    "kafka.tools.ConsumerOffsetChecker": OldClass(OFFSET_CHECKER, list, _CHECKER),
    "kafka.admin.CreateTopicCommand": OldClass("topics", lambda words: ["--create", *words], _CREATE),
    "kafka.admin.DeleteTopicCommand": OldClass(
        "topics", lambda words: ["--delete", *words], "its place is taken by kafka-topics --delete"
    ),
    "kafka.admin.ListTopicCommand": OldClass("topics", lambda words: ["--describe", *words], _LIST),
    "org.apache.kafka.clients.tools.ProducerPerformance": OldClass(
        "producer-perf-test", _first_perf_test, _PERFORMANCE
    ),
    "kafka.tools.TestEndToEndLatency": OldClass(
        "e2e-latency", _first_latency_test, "its place is taken by kafka-e2e-latency"
    ),
    "kafka.tools.ProducerPerformance": OldClass("producer-perf-test", list, _PERFORMANCE),
    "kafka.tools.SimpleConsumerPerformance": OldClass(
        "consumer-perf-test", list, "its place is taken by kafka-consumer-perf-test"
    ),
    "org.apache.zookeeper.server.quorum.QuorumPeerMain": OldClass(ZOOKEEPER, list, _ZOOKEEPER, "passes over it"),
    "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka": OldClass(
        ZOOKEEPER_SHELL, list, _ZOOKEEPER, "answers ls and get"
    ),
    "org.apache.zookeeper.ZooKeeperMain": OldClass(ZOOKEEPER_SHELL, list, _ZOOKEEPER, "answers ls and get"),
}

OLD_SCRIPTS: Mapping[str, str] = {
    "kafka-preferred-replica-election": "kafka.admin.PreferredReplicaLeaderElectionCommand",
    "kafka-simple-consumer-shell": "kafka.tools.SimpleConsumerShell",
    "kafka-consumer-offset-checker": "kafka.tools.ConsumerOffsetChecker",
    "kafka-create-topic": "kafka.admin.CreateTopicCommand",
    "kafka-list-topic": "kafka.admin.ListTopicCommand",
    "kafka-simple-consumer-perf-test": "kafka.tools.SimpleConsumerPerformance",
    "zookeeper-server-start": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "zookeeper-server-stop": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "zookeeper-shell": "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka",
}
"""Script of an old bin/ -> the class that it starts."""


def refusal(name: str, old: OldClass) -> str:
    """What is said of an old script or class where it is not asked for."""
    return f"{name} is not here: {old.instead}; {VARIABLE}=1 {old.asked}"
