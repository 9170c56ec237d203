"""Options and classes that Kafka's tools had and have no more, for who asks for them with PYKAFKA_OLD_OPTIONS=1.

By default they are errors, as in Kafka 4.3. With that variable an old command line does what it did, and one warning
names the spelling of today. Source: the options of every tool in the branches 0.8 to 3.9, KIP-604, KIP-629, KIP-896.
What an old class of kafka-run-class becomes is in old_classes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pykafka_cli.env import Env

VARIABLE = "PYKAFKA_OLD_OPTIONS"


class _Old(NamedTuple):
    takes_argument: bool
    today: Callable[[str], list[str]]
    """Today's words for the option's argument; none where there is nothing to say any more."""
    advice: str


def _left_out(*, argument: bool) -> _Old:
    return _Old(argument, lambda _value: [], "left out")


def _named(now: str) -> _Old:
    return _Old(True, lambda value: [f"--{now}", value], f"--{now}")


def _setting(name: str) -> _Old:
    """A setting of the client, by its name of today."""
    return _Old(True, lambda value: ["--command-property", f"{name}={value}"], f"--command-property {name}=")


def _all_but(patterns: str) -> list[str]:
    """``--blacklist``: by commas, the patterns of the topics that are not wanted. Source: kafka.consumer.Blacklist."""
    return ["--include", f"(?!(?:{_one_pattern(patterns)})$).*"]


def _one_pattern(patterns: str) -> str:
    """Source: kafka.consumer.TopicFilter, of the consumer that read by ZooKeeper."""
    return patterns.strip().replace(",", "|").replace(" ", "").strip("\"'")


_CODECS = ("none", "gzip", "snappy", "lz4")


def _compressed(number: str) -> list[str]:
    codec = _CODECS[int(number)] if number in {"0", "1", "2", "3"} else number
    return ["--command-property", f"compression.type={codec}"]


_FLAG, _VALUE = _left_out(argument=False), _left_out(argument=True)
_CLUSTER = _Old(True, lambda _value: [], "--bootstrap-server")
"""ZooKeeper's address: the cluster that is meant is the data directory."""

_OPTIONS: Mapping[str, _Old] = {
    "zookeeper": _CLUSTER,
    "broker-list": _named("bootstrap-server"),
    "bootstrap-servers": _named("bootstrap-server"),
    "whitelist": _named("include"),
    "new-consumer": _FLAG,
    "new-producer": _FLAG,
    "old-producer": _FLAG,
    "force": _FLAG,
    "disable-rack-aware": _FLAG,
    "csv-reporter-enabled": _FLAG,
    "metrics-dir": _VALUE,
    "authorizer": _VALUE,
    "authorizer-properties": _CLUSTER,
    "zk-tls-config-file": _VALUE,
}
"""By name, without dashes, of every tool. A tool that has an option of that name today keeps it."""

_OF_TOOL: Mapping[str, Mapping[str, _Old]] = {
    "topics": {
        "replica": _named("replication-factor"),
        "partition": _named("partitions"),
        "replica-assignment-list": _named("replica-assignment"),
        "deleteConfig": _named("delete-config"),
    },
    "console-producer": {
        "key-serializer": _VALUE,
        "value-serializer": _VALUE,
        "queue-size": _Old(True, lambda _value: [], "--batch-size"),
        "queue-enqueuetimeout-ms": _Old(True, lambda _value: [], "--max-block-ms"),
        "metadata-fetch-timeout-ms": _Old(True, lambda _value: [], "--max-block-ms"),
    },
    "console-consumer": {
        "blacklist": _Old(True, _all_but, "--include"),
        "delete-consumer-offsets": _FLAG,
        "consumer-timeout-ms": _named("timeout-ms"),
        "autocommit.interval.ms": _VALUE,
        "fetch-size": _VALUE,
        "socket-buffer-size": _VALUE,
        "min-fetch-bytes": _VALUE,
        "max-wait-ms": _VALUE,
        "socket-timeout-ms": _VALUE,
        "refresh-leader-backoff-ms": _VALUE,
    },
    "get-offsets": {"max-wait-ms": _VALUE, "offsets": _VALUE},
    "reassign-partitions": {
        "manual-assignment-json-file": _Old(
            True, lambda path: ["--execute", "--reassignment-json-file", path], "--execute --reassignment-json-file"
        ),
        "status-check-json-file": _Old(
            True, lambda path: ["--verify", "--reassignment-json-file", path], "--verify --reassignment-json-file"
        ),
    },
    "features": {"describe": _Old(False, lambda _value: ["describe"], "describe"), "from-controller": _FLAG},
    "streams-application-reset": {"execute": _FLAG},
    "consumer-perf-test": {
        "server": _named("bootstrap-server"),
        "threads": _VALUE,
        "num-fetch-threads": _VALUE,
        "message-size": _VALUE,
        "batch-size": _VALUE,
        "compression-codec": _VALUE,
        "partition": _VALUE,
        "clientId": _VALUE,
    },
    "producer-perf-test": {
        "topics": _named("topic"),
        "messages": _named("num-records"),
        "message-size": _named("record-size"),
        "request-num-acks": _setting("acks"),
        "request-timeout-ms": _setting("request.timeout.ms"),
        "producer-num-retries": _setting("retries"),
        "producer-retry-backoff-ms": _setting("retry.backoff.ms"),
        "compression-codec": _Old(True, _compressed, "--command-property compression.type="),
        "batch-size": _VALUE,
        "threads": _VALUE,
        "initial-message-id": _VALUE,
        "message-send-gap-ms": _Old(True, lambda _value: [], "--throughput"),
        "date-format": _VALUE,
        "vary-message-size": _FLAG,
        "sync": _FLAG,
        "async": _FLAG,
        "hide-header": _FLAG,
        "show-detailed-stats": _FLAG,
    },
}
"""By tool, what only it had."""

_OF_CLIENTS = dict.fromkeys(("producer.config", "consumer.config", "admin.config", "config-file"), "command-config")
_SUCCESSORS: Mapping[str, Mapping[str, str]] = {
    "console-producer": {"property": "reader-property", "producer-property": "command-property"},
    "console-consumer": {"property": "formatter-property", "consumer-property": "command-property"},
    "consumer-perf-test": {"messages": "num-records"},
    "producer-perf-test": {"producer-props": "command-property"},
}
"""By tool, names that it still has beside today's, and warns of on stdout, where a script of before Kafka 4.2 reads
what it asked for. ``_OF_CLIENTS`` are those of every tool.
"""

_TOOLS = "kafka.tools."
_TODAY = "org.apache.kafka.tools.consumer."
_OFFSETS, _METADATA = f"{_TODAY}OffsetsMessageFormatter", f"{_TODAY}GroupMetadataMessageFormatter"
CLASSES: Mapping[str, str] = {
    f"{_TOOLS}DefaultMessageFormatter": f"{_TODAY}DefaultMessageFormatter",
    f"{_TOOLS}LoggingMessageFormatter": f"{_TODAY}LoggingMessageFormatter",
    f"{_TOOLS}NoOpMessageFormatter": f"{_TODAY}NoOpMessageFormatter",
    "kafka.consumer.DefaultMessageFormatter": f"{_TODAY}DefaultMessageFormatter",
    "kafka.consumer.NoOpMessageFormatter": f"{_TODAY}NoOpMessageFormatter",
    f"{_TOOLS}ConsoleProducer$LineMessageReader": "org.apache.kafka.tools.LineMessageReader",
    "kafka.producer.ConsoleProducer$LineMessageReader": "org.apache.kafka.tools.LineMessageReader",
    "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter": _METADATA,
    "kafka.coordinator.GroupMetadataManager$GroupMetadataMessageFormatter": _METADATA,
    "kafka.coordinator.transaction.TransactionLog$TransactionLogMessageFormatter": (
        f"{_TODAY}TransactionLogMessageFormatter"
    ),
}
"""A class of before Kafka 4 -> today's."""
_AS_JSON = f"{_OFFSETS} now, which prints JSON"
KEPT: Mapping[str, str] = {
    "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter": _AS_JSON,
    "kafka.coordinator.GroupMetadataManager$OffsetsMessageFormatter": _AS_JSON,
    "kafka.server.OffsetManager$OffsetsMessageFormatter": _AS_JSON,
    f"{_TOOLS}ChecksumMessageFormatter": "of the time when records had checksums of their own",
}
"""Classes that print what they printed (console/old_formatters.py), and what is told of them."""


def tell_todays_words(
    env: Env, tool: str, words: Sequence[str], declared: Container[str]
) -> tuple[list[str], frozenset[str]]:
    """The words of a tool's command line as that tool has them today, after a warning that says what was old; and the
    names of the options that were, for which a tool may owe what it does not do today. ``declared``: the names of its
    options, without dashes.
    """
    known = {**_OPTIONS, **_OF_TOOL.get(tool, {})}
    successors = {**_OF_CLIENTS, **_SUCCESSORS.get(tool, {})}
    new: list[str] = []
    told: list[str] = []
    old: set[str] = set()
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")  # jopt-simple takes one dash, too
        is_option = word.startswith("-")
        found = known.get(name) if is_option and name not in declared else None
        if is_option and name in declared and name in successors:
            told.append(f"--{name} is --{successors[name]} now")
            new.append(f"--{successors[name]}{equals}{value}")
            continue
        if found is None:
            argument = value if equals else word
            if argument in KEPT:
                told.append(f"{argument} is {KEPT[argument]}")
            elif argument in CLASSES:
                told.append(f"{argument} is {CLASSES[argument]} now")
                word = f"--{name}={CLASSES[argument]}" if equals else CLASSES[argument]  # noqa: PLW2901
            new.append(word)
            continue
        old.add(name)
        told.append(f"--{name} is {found.advice} now")
        if found.takes_argument and not equals:
            value = next(rest, "")
        today = found.today(value)
        if not today or not today[0].startswith("--") or today[0].removeprefix("--") in declared:
            new += today
    if tool in _WHOLE:
        _WHOLE[tool](new, old, told)
    if told:
        env.err(f"WARNING: {'; '.join(dict.fromkeys(told))} ({VARIABLE}=1 lets it pass)")
    return new, frozenset(old)


# ------------------------------------------------------------------------------------------------ whole command lines


def _console_consumer(new: list[str], old: set[str], _told: list[str]) -> None:
    """By ZooKeeper, commas stood between patterns."""
    if {"zookeeper", "whitelist"} <= old:
        at = new.index("--include") + 1
        new[at] = _one_pattern(new[at])


def _consumer_groups(new: list[str], old: set[str], told: list[str]) -> None:
    """By ZooKeeper, what a group had of one topic could be deleted."""
    if "zookeeper" in old and {"--delete", "--group", "--topic"} <= set(new):
        new[new.index("--delete")] = "--delete-offsets"
        told.append("--delete with --topic is --delete-offsets now")


def _producer_perf_test(new: list[str], old: set[str], _told: list[str]) -> None:
    """What Kafka 0.8's could leave out, and today's can't."""
    if "messages" in old:
        for name, value in (("--record-size", "100"), ("--throughput", "-1")):
            if name not in new:
                new += [name, value]


_WHOLE: Mapping[str, Callable[[list[str], set[str], list[str]], None]] = {
    "console-consumer": _console_consumer,
    "consumer-groups": _consumer_groups,
    "producer-perf-test": _producer_perf_test,
}
"""By tool, what is done to the words once each has been looked at."""
