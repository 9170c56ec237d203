"""PYKAFKA_OLD_OPTIONS=1: every option that Kafka's tools had and have no more is said in today's words.

The list is what the branches 0.8 to 3.9 of Apache Kafka declare and 4.3 does not; that the words do what the old ones
did is in tests/scripts/wild/old_options.
"""

from __future__ import annotations

import io

import click
import pytest

from pykafka_cli.env import Env
from pykafka_cli.java import regex as java_regex
from pykafka_cli.main import load_command
from pykafka_cli.tool.old_options import tell_todays_words

WITH_ARGUMENT = {
    "topics": "zookeeper replica partition replica-assignment-list deleteConfig",
    "console-producer": "broker-list queue-size queue-enqueuetimeout-ms key-serializer value-serializer "
    "metadata-fetch-timeout-ms",
    "console-consumer": "whitelist blacklist zookeeper metrics-dir fetch-size socket-buffer-size consumer-timeout-ms "
    "autocommit.interval.ms min-fetch-bytes max-wait-ms socket-timeout-ms refresh-leader-backoff-ms",
    "consumer-groups": "zookeeper",
    "configs": "zookeeper zk-tls-config-file",
    "acls": "authorizer authorizer-properties zk-tls-config-file",
    "get-offsets": "broker-list offsets max-wait-ms",
    "leader-election": "zookeeper",
    "reassign-partitions": "zookeeper manual-assignment-json-file status-check-json-file",
    "streams-application-reset": "bootstrap-servers zookeeper",
    "producer-perf-test": "broker-list topics messages message-size request-timeout-ms producer-num-retries "
    "producer-retry-backoff-ms request-num-acks threads initial-message-id message-send-gap-ms metrics-dir "
    "batch-size compression-codec",
    "consumer-perf-test": "zookeeper broker-list threads num-fetch-threads message-size batch-size compression-codec "
    "server partition clientId",
    "verifiable-producer": "broker-list",
    "verifiable-consumer": "broker-list",
}
FLAGS = {
    "topics": "disable-rack-aware force",
    "console-producer": "old-producer new-producer",
    "console-consumer": "delete-consumer-offsets csv-reporter-enabled new-consumer",
    "consumer-groups": "new-consumer",
    "configs": "force",
    "features": "describe from-controller",
    "streams-application-reset": "execute",
    "producer-perf-test": "vary-message-size sync async csv-reporter-enabled new-producer hide-header "
    "show-detailed-stats",
    "consumer-perf-test": "new-consumer",
}


def world() -> Env:
    return Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=io.StringIO(), environ={"PYKAFKA_OLD_OPTIONS": "1"})


def declared(tool: str) -> set[str]:
    params = load_command(tool).params
    names = [name for each in params if isinstance(each, click.Option) for name in each.opts]
    return {name.removeprefix("--") for name in names}


def in_todays_words(tool: str, *words: str) -> list[str]:
    return tell_todays_words(world(), tool, list(words), declared(tool))[0]


@pytest.mark.parametrize(
    ("tool", "option", "has_argument"),
    [
        (tool, option, has_argument)
        for table, has_argument in ((WITH_ARGUMENT, True), (FLAGS, False))
        for tool, options in table.items()
        for option in options.split()
    ],
)
def test_no_option_of_old_is_unknown(tool: str, option: str, has_argument: bool) -> None:
    known = declared(tool)
    assert option not in known
    for words in ([f"--{option}", "7"], [f"--{option}=7"]) if has_argument else ([f"--{option}"],):
        env = world()
        today, old = tell_todays_words(env, tool, [*words, "--marker"], known)
        assert old == {option}
        assert "--marker" in today  # and of the words after it none is taken
        assert {word for word in today if word.startswith("--")} <= {f"--{name}" for name in known} | {"--marker"}
        assert isinstance(env.stderr, io.StringIO)
        assert f"--{option} is " in env.stderr.getvalue()


def test_what_a_tool_has_today_is_left_alone() -> None:
    words = ["--describe", "--broker-list", "0", "--bootstrap-server", "h:1"]
    env = world()
    assert tell_todays_words(env, "log-dirs", words, declared("log-dirs")) == (words, frozenset())
    assert isinstance(env.stderr, io.StringIO)
    assert env.stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("name", "wanted"), [("orders", True), ("logs", False), ("logs-2", True), ("audit.x", False), ("xaudit.x", True)]
)
def test_a_blacklist_is_all_but_what_it_names(name: str, wanted: bool) -> None:
    option, pattern = in_todays_words("console-consumer", "--blacklist", "logs,audit[.].*")
    assert option == "--include"
    assert (java_regex.compile(pattern).fullmatch(name) is not None) is wanted


def test_names_that_kafka_warns_of_on_stdout_are_said_anew() -> None:
    """A script of before Kafka 4.2 reads stdout and expects what it asked for there, and no warning."""
    words = ["--topic", "t", "--property", "print.key=true", "--property=print.offset=true", "--consumer.config", "c"]
    assert in_todays_words("console-consumer", *words) == [
        "--topic", "t", "--formatter-property", "print.key=true", "--formatter-property=print.offset=true",
        "--command-config", "c",
    ]  # fmt: skip


def test_the_first_performance_test_gets_what_todays_requires() -> None:
    words = in_todays_words("producer-perf-test", "--broker-list", "h:1", "--topics", "t", "--messages", "5")
    assert words == [
        "--bootstrap-server", "h:1", "--topic", "t", "--num-records", "5", "--record-size", "100", "--throughput", "-1",
    ]  # fmt: skip
