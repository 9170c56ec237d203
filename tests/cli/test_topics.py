"""kafka-topics prints what Apache Kafka's prints, on the same stream, with the same exit code."""

from __future__ import annotations

import json
import os
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import click
import pytest

from pykafka_cli.commands.topics import topics as command
from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.model import ConfigEntry, PartitionDescription, TopicDescription, TopicListing
from tests.support import apache, terminal
from tests.support.apache_tools import Tools
from tests.support.in_process import Done, run

FAILED = "Error while executing topic command : "
WARNING = (
    "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. "
    "To avoid issues it is best to use either, but not both.\n"
)
UUID = "AbCdEfGhIjKlMnOpQrStUw"


class Topics:
    """kafka-topics over a data directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *arguments: str) -> Done:
        return run("kafka-topics", *arguments, data_dir=self.directory)

    def make(self, *names: str) -> None:
        for name in names:
            assert self("--create", "--topic", name).code == 0


@pytest.fixture
def topics(tmp_path: Path) -> Topics:
    return Topics(tmp_path / "data")


def failed(why: str) -> str:
    return f"{FAILED}{why}\n"


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Create, delete, describe, or change a topic."),
        ("--help", "This tool helps to create, delete, describe, or change a topic."),
        ("--help --list", "This tool helps to create, delete, describe, or change a topic."),
        ("--topic x", "Command must include exactly one action: --list, --describe, --create, --alter or --delete"),
        (
            "--list --create",
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
        ),
        ("--create", 'Missing required argument "[topic]"'),
        ("--create -- --topic z", 'Missing required argument "[topic]"'),
        ("--alter --topic t", 'Missing required argument "[partitions]"'),
        (
            "--alter --topic t --config a=b",
            'Option combination "[[bootstrap-server], [config]]" can\'t be used with option "[alter]" '
            "(To alter topic configurations, the kafka-configs tool can be used.)",
        ),
        ("--describe --if-exists", "--topic or --topic-id is required to describe a topic"),
        ("--describe --config a=b", 'Option "[config]" can\'t be used with option "[describe]"'),
        ("--list --partitions 2", 'Option "[partitions]" can\'t be used with option "[list]"'),
        ("--list --replication-factor 1", 'Option "[replication-factor]" can\'t be used with option "[list]"'),
        (
            "--create --topic t --replica-assignment 3:0,5:1 --partitions 2 --replication-factor 2",
            'Option "[replica-assignment]" can\'t be used with option "[partitions]"',
        ),
        (
            "--create --topic t --replica-assignment 3:0,5:1 --replication-factor 2",
            'Option "[replica-assignment]" can\'t be used with option "[replication-factor]"',
        ),
        (
            "--describe --topics-with-overrides --at-min-isr-partitions",
            'Option "[at-min-isr-partitions]" can\'t be used with option "[topics-with-overrides]"',
        ),
        ("--create --topic t --if-exists", 'Option "[if-exists]" can\'t be used with option "[create]"'),
        ("--delete --topic t --if-not-exists", 'Option "[if-not-exists]" can\'t be used with option "[delete]"'),
        ("--delete --topic t --exclude-internal", 'Option "[exclude-internal]" can\'t be used with option "[delete]"'),
        ("--create --topic t --output json", 'Option "[output]" can\'t be used with option "[create]"'),
        ("--list --output yaml", "--output must be one of text, table, json, not yaml"),
    ],
)
def test_a_command_line_that_makes_no_sense(topics: Topics, line: str, message: str) -> None:
    done = topics(*line.split())
    assert (done.message, done.stdout, done.code) == (message, "", 1)
    assert "\nUsage: " in done.stderr
    assert not topics.directory.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--foo", "foo is not a recognized option"),
        ("--t x --list", "t is not a recognized option"),
        ("--create --topic", "Option topic requires an argument"),
        (
            "--list --bootstrap-server a:1 --bootstrap-server b:2",
            "Found multiple arguments for option bootstrap-server, but you asked for only one",
        ),
    ],
)
def test_what_the_option_parser_refuses_comes_without_help(topics: Topics, line: str, message: str) -> None:
    assert topics(*line.split()) == Done("", f"{message}\n", 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--topic a --topic b", "Found multiple arguments for option topic, but you asked for only one"),
        ("--topic a --partitions abc", "Cannot parse argument 'abc' of option partitions"),
        ("--topic a --partitions 99999999999", "Cannot parse argument '99999999999' of option partitions"),
        ("--topic a --replication-factor 1.5", "Cannot parse argument '1.5' of option replication-factor"),
    ],
)
def test_a_value_is_read_late_and_refused_by_the_action(topics: Topics, line: str, why: str) -> None:
    assert topics("--create", *line.split()) == Done(failed(why), "", 1)


def test_a_value_that_is_not_needed_is_not_read(topics: Topics) -> None:
    assert topics("--describe", "--partition-size-limit-per-response", "x") == Done("", "", 0)
    topics.make("t")
    assert topics("--describe", "--partition-size-limit-per-response", "x").code == 1


def test_the_version_is_kafkas(topics: Topics) -> None:
    assert topics("--version", "--list", "--create") == Done("4.3.1\n", "", 0)


def test_delete_config_is_told_to_be_dead(topics: Topics) -> None:
    notice = (
        "delete-config option is no longer supported and deprecated since version 4.0. "
        "The config will be fully removed in future releases.\n"
    )
    assert topics("--create", "--topic", "t", "--delete-config", "retention.ms") == Done(
        "Created topic t.\n", notice, 0
    )


# ---------------------------------------------------------------------------------------------------------- create


@pytest.mark.parametrize("name", ["t", "...", "_0-9_.", "x" * 249, "-dash", "__transaction_state"])
def test_a_topic_is_created(topics: Topics, name: str) -> None:
    warning = WARNING if "." in name or "_" in name else ""
    assert topics("--create", "--topic", name) == Done(f"{warning}Created topic {name}.\n", "", 0)
    assert topics("--list").stdout == f"{name}\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "The given topic name '' cannot be represented in a request."),
        (".", "Topic name is invalid: '.' is not allowed"),
        ("..", "Topic name is invalid: '..' is not allowed"),
        ("x" * 250, f"Topic name is invalid: the length of '{'x' * 250}' is longer than the max allowed length 249"),
        *(
            (
                bad,
                f"Topic name is invalid: '{bad}' contains one or more characters other than ASCII alphanumerics, "
                "'.', '_' and '-'",
            )
            for bad in ("foo bar", "foo:bar", "foo=bar", "a/b", "é", "a,b", "'", " lead", "a\tb", "../up")
        ),
    ],
)
def test_a_bad_name_is_refused(topics: Topics, name: str, why: str) -> None:
    for option in ((), ("--if-not-exists",)):
        done = topics("--create", "--topic", name, *option)
        assert (done.stdout.removeprefix(WARNING), done.code) == (failed(why), 1)
    assert topics("--list").stdout == "\n"


def test_an_error_of_the_cluster_is_logged_with_its_name(topics: Topics) -> None:
    """A script may look for the class's name on stderr, where Kafka's tool logs it."""
    topics.make("t")
    done = topics("--create", "--topic", "t")
    assert done.stdout == failed("Topic 't' already exists.")
    assert re.fullmatch(
        r"\[2023-11-1\d \d\d:\d\d:20,250\] ERROR org\.apache\.kafka\.common\.errors\.TopicExistsException: "
        r"Topic 't' already exists\.\n \(org\.apache\.kafka\.tools\.TopicCommand\)\n",
        done.stderr,
    )
    assert done.code == 1


def test_if_not_exists_is_silent_about_a_topic_that_does(topics: Topics) -> None:
    topics.make("a.b")
    assert topics("--create", "--topic", "a.b", "--if-not-exists") == Done(WARNING, "", 0)
    assert topics("--create", "--topic", "a.b", "--if-not-exists", "--config", "retention.ms=x").code == 1


def test_names_that_collide_in_metrics_are_refused(topics: Topics) -> None:
    topics.make("a.b")
    done = topics("--create", "--topic", "a_b", "--if-not-exists")
    assert done.stdout == WARNING + failed("Topic 'a_b' collides with existing topic: a.b")
    assert topics("--delete", "--topic", r"a\.b").code == 0
    assert topics("--create", "--topic", "a_b").code == 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--partitions 2 --replication-factor 32768", "The replication factor must be between 1 and 32767 inclusive"),
        ("--partitions 0 --replication-factor 0", "The replication factor must be between 1 and 32767 inclusive"),
        ("--replication-factor -1", "The replication factor must be between 1 and 32767 inclusive"),
        ("--partitions -1", "The partitions must be greater than 0"),
        ("--replica-assignment 5:5", "Partition replica lists may not contain duplicate entries: 5"),
        ("--replica-assignment 5:4:3,2:1", "Partition 1 has different replication factor: [2, 1]"),
        ("--replica-assignment x", 'For input string: "x"'),
        ("--replica-assignment ,1", 'For input string: ""'),
        (
            "--replica-assignment 0,7",
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
    ],
)
def test_bad_numbers_are_refused(topics: Topics, line: str, why: str) -> None:
    done = topics("--create", "--topic", "t", *line.split())
    assert (done.stdout, done.code) == (failed(why), 1)


@pytest.mark.parametrize(
    ("assignment", "partitions"), [("0,0,0", 3), ("0, 0", 2), ("0:", 1), ("0,0,", 2), ("", 1), (",", 1)]
)
def test_replicas_are_assigned_by_hand(topics: Topics, assignment: str, partitions: int) -> None:
    assert topics("--create", "--topic", "t", "--replica-assignment", assignment).stdout == "Created topic t.\n"
    assert topics("--describe", "--topic", "t").stdout.count("\tReplicas: 0\t") == partitions


@pytest.mark.parametrize(
    "text", ["foo", "retention.ms", "retention.ms=", "a=b=c", "", "retention.ms=1,segment.ms=5", "="]
)
def test_a_config_is_a_name_and_a_value(topics: Topics, text: str) -> None:
    why = 'requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".'
    assert topics("--create", "--topic", "w.y", "--config", text) == Done(failed(why), "", 1)


def test_configs_are_checked_before_the_name_is_warned_of(topics: Topics) -> None:
    done = topics("--create", "--topic", "w.y", "--config", "foo=1")
    assert (done.stdout, done.code) == (failed("Unknown topic config name: foo"), 1)


def test_configs_are_described_as_a_broker_understands_them(topics: Topics) -> None:
    given = [
        "retention.ms = 007",
        " preallocate=TRUE ",
        "retention.bytes=5",
        "retention.bytes=6",
        "segment.ms=604800000",
    ]
    assert topics("--create", "--topic", "t", *(f"--config={text}" for text in given)).code == 0
    shown = "min.insync.replicas=1,retention.ms=7,preallocate=true,retention.bytes=6,segment.ms=604800000"
    assert topics("--describe").stdout.partition("\n")[0].endswith(f"\tConfigs: {shown}")


def test_a_list_that_names_a_value_twice_is_logged(topics: Topics) -> None:
    done = topics("--create", "--topic", "t", "--config", "cleanup.policy=compact,compact")
    assert done.stdout == "Created topic t.\n"
    assert done.stderr.endswith(
        '] WARN Configuration key "cleanup.policy" contains duplicate values. Duplicates will be removed. The original '
        "value is: [compact, compact], the updated value is: [compact] (org.apache.kafka.common.config.ConfigDef)\n"
    )


# ------------------------------------------------------------------------------------------------------------ list


def test_no_topics_are_one_empty_line(topics: Topics) -> None:
    assert topics("--list") == Done("\n", "", 0)
    assert topics("--list", "--output", "json") == Done("", "", 0)
    assert topics("--describe") == Done("", "", 0)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("c1", "c1"),
        ("C1", ""),
        ("c.*", "c1 c2 c22"),
        ("c1,c2", "c1 c2"),
        (" 'c1 , c2' ", "c1 c2"),
        ("c.", "c1 c2"),
        (r"\Qa.b\E", "a.b"),
        ("a.b", "a.b"),
        (r"c(?!1\b)\d+", "c2 c22"),
        ("", ""),
        ("nomatch", ""),
        ("__.*", "__consumer_offsets"),
    ],
)
def test_topics_are_listed_by_pattern(topics: Topics, pattern: str, names: str) -> None:
    topics.make("c2", "c22", "c1", "a.b", "__consumer_offsets")
    assert topics("--list", "--topic", pattern) == Done("\n".join(names.split()) + "\n", "", 0)


def test_internal_topics_are_hidden_on_request(topics: Topics) -> None:
    topics.make("t", "__consumer_offsets", "__mine")
    assert topics("--list", "--exclude-internal").stdout == "__mine\nt\n"
    assert topics("--list").stdout == "__consumer_offsets\n__mine\nt\n"
    done = topics("--describe", "--topic", "__consumer_offsets", "--exclude-internal")
    assert done == Done(failed("Topic '__consumer_offsets' does not exist as expected"), "", 1)


@pytest.mark.parametrize("action", ["--list", "--describe", "--delete"])
@pytest.mark.parametrize("pattern", ["[", "*", "a{2", "(?P<x>a)"])
def test_a_bad_pattern_is_refused(topics: Topics, action: str, pattern: str) -> None:
    topics.make("t")
    assert topics(action, "--topic", pattern) == Done(failed(f"{pattern} is an invalid regex."), "", 1)


# -------------------------------------------------------------------------------------------------------- describe


def test_a_description_is_kafkas_to_the_byte(topics: Topics) -> None:
    assert topics("--create", "--topic", "t", "--partitions", "2", "--config", "segment.bytes=1048576").code == 0
    described = topics("--describe", "--topic", "t").stdout
    assert re.sub(r"TopicId: [\w-]{22}\t", "TopicId: ID\t", described) == (
        "Topic: t\tTopicId: ID\tPartitionCount: 2\tReplicationFactor: 1\t"
        "Configs: min.insync.replicas=1,segment.bytes=1048576\n"
        "\tTopic: t\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: \tLastKnownElr: \n"
        "\tTopic: t\tPartition: 1\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: \tLastKnownElr: \n"
    )


def test_topics_are_described_sorted_by_name(topics: Topics) -> None:
    topics.make("t2", "T", "t10")
    assert re.findall(r"^Topic: (\S+)", topics("--describe").stdout, re.MULTILINE) == ["T", "t10", "t2"]


@pytest.mark.parametrize("action", [("--describe",), ("--delete",), ("--alter", "--partitions", "3")])
def test_a_topic_that_is_not_there(topics: Topics, action: tuple[str, ...]) -> None:
    assert topics(*action, "--topic", "n.*") == Done(failed("Topic 'n.*' does not exist as expected"), "", 1)
    assert topics(*action, "--topic", "n.*", "--if-exists") == Done("", "", 0)
    assert topics(*action, "--topic", "") == Done("", "", 0)


def topic_id(topics: Topics, name: str) -> str:
    found = re.search(r"\tTopicId: (\S+)\t", topics("--describe", "--topic", name).stdout)
    assert found is not None
    return found[1]


def test_a_topic_is_described_by_its_id(topics: Topics) -> None:
    """The id wins over the name, and a broker asked by id says nothing of eligible replicas."""
    topics.make("t", "u")
    done = topics("--describe", "--topic-id", topic_id(topics, "t"), "--topic", "u")
    assert re.findall(r"^\t?Topic: (\w)", done.stdout, re.MULTILINE) == ["t", "t"]
    assert done.stdout.endswith("\tElr: N/A\tLastKnownElr: N/A\n")
    told = topics("--describe", "--topic-id", topic_id(topics, "t"), "--topic", "u", "--if-exists").stdout
    assert told == (
        "Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID\n"
        + done.stdout
    )


def test_the_zero_id_is_no_id(topics: Topics) -> None:
    topics.make("t", "u")
    assert topics("--describe", "--topic-id", "A" * 22, "--topic", "u") == topics("--describe", "--topic", "u")
    assert topics("--describe", "--topic-id", "A" * 22) == topics("--describe")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (UUID, f"TopicId '{UUID}' does not exist as expected"),
        (f"{UUID}==", f"TopicId '{UUID}' does not exist as expected"),
        ("bogus", "Last unit does not have enough valid bits"),
        ("bogus!", "Illegal base64 character 21"),
        (
            "aaaa",
            "Input string `aaaa` decoded as 3 bytes, "
            "which is not equal to the expected 16 bytes of a base64-encoded UUID",
        ),
        (
            "",
            "Input string `` decoded as 0 bytes, which is not equal to the expected 16 bytes of a base64-encoded UUID",
        ),
        (
            UUID + "abc",
            f"Input string with prefix `{UUID}ab` is too long to be decoded as a base64 UUID",
        ),
    ],
)
def test_an_id_that_is_not_there(topics: Topics, given: str, why: str) -> None:
    assert topics("--describe", "--topic-id", given) == Done(failed(why), "", 1)


def test_an_id_that_is_not_there_may_be_missing(topics: Topics) -> None:
    assert topics("--describe", "--topic-id", UUID, "--if-exists") == Done("", "", 0)


# ------------------------------------------------------------------------------------------------- alter and delete


def test_partitions_are_added_and_nothing_is_said(topics: Topics) -> None:
    topics.make("t")
    assert topics("--alter", "--topic", "t", "--partitions", "3") == Done("", "", 0)
    assert topics("--describe", "--topic", "t").stdout.count("\tPartition: ") == 3


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--partitions 2", "Topic already has 2 partition(s)."),
        ("--partitions 1", "The topic t currently has 2 partition(s); 1 would not be an increase."),
        ("--partitions -1", "The topic t currently has 2 partition(s); -1 would not be an increase."),
        (
            "--partitions 6 --replica-assignment 0,0,0",
            "Attempted to add 4 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            "--partitions 3 --replica-assignment 0",
            "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.",
        ),
        (
            "--partitions 3 --replica-assignment 0,0,9",
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
    ],
)
def test_an_alteration_that_is_refused(topics: Topics, line: str, why: str) -> None:
    topics("--create", "--topic", "t", "--partitions", "2")
    done = topics("--alter", "--topic", "t", *line.split())
    assert (done.stdout, done.code) == (failed(why), 1)
    assert topics("--describe", "--topic", "t").stdout.count("\tPartition: ") == 2


def test_one_topic_that_can_not_be_altered_does_not_shield_the_others(topics: Topics) -> None:
    topics.make("a", "c")
    topics("--create", "--topic", "b", "--partitions", "5")
    done = topics("--alter", "--topic", "a|b|c", "--partitions", "4")
    assert done.stdout == failed("The topic b currently has 5 partition(s); 4 would not be an increase.")
    assert re.findall(r"PartitionCount: (\d)", topics("--describe").stdout) == ["4", "5", "4"]


def test_topics_are_deleted_by_pattern_internal_ones_too(topics: Topics) -> None:
    topics.make("a", "b", "c", "__consumer_offsets")
    assert topics("--delete", "--topic", "a,b") == Done("", "", 0)
    assert topics("--list").stdout == "__consumer_offsets\nc\n"
    assert topics("--delete", "--topic", ".*") == Done("", "", 0)
    assert topics("--list").stdout == "\n"


# --------------------------------------------------------------------- reports, over a cluster that is made up for them


def partition(number: int, leader: int | None, replicas: Sequence[int], isr: Sequence[int]) -> PartitionDescription:
    return PartitionDescription(number, leader, 0, tuple(replicas), tuple(isr))


TWO_OF_THREE = ConfigEntry("min.insync.replicas", "2", "DYNAMIC_TOPIC_CONFIG")
FAKE_TOPICS = {
    "plain": TopicDescription("plain", UUID, False, (partition(0, 1, (1,), (1,)),), ()),
    "pairs": TopicDescription(
        "pairs",
        UUID,
        False,
        (
            partition(0, 1, (1, 2, 3), (1, 2, 3)),
            partition(1, 1, (1, 2, 3), (1, 2)),
            partition(2, 2, (1, 2, 3), (2,)),
            partition(3, None, (1, 2, 3), ()),
            partition(4, 3, (1, 2, 3), (1, 2, 3)),  # broker 3 leads and is not alive
        ),
        (TWO_OF_THREE,),
    ),
    "moving": TopicDescription(
        "moving",
        UUID,
        False,
        (PartitionDescription(0, 1, 0, (1, 2), (1,), adding_replicas=(2,), removing_replicas=(1,)),),
        (),
    ),
}


class FakeAdmin:
    """Brokers 1 and 2 live; the topics above; one that can't be deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def list_topics(self) -> list[TopicListing]:
        return [TopicListing(topic.name, topic.topic_id, topic.internal) for _, topic in sorted(FAKE_TOPICS.items())]

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        return [FAKE_TOPICS[name] for name in (names if names is not None else sorted(FAKE_TOPICS))]

    def live_brokers(self) -> tuple[int, ...]:
        return (1, 2)

    def delete_topic(self, name: str) -> None:
        if name == "moving":
            raise UnknownTopicOrPartitionError("gone already")
        self.deleted.append(name)


class FakeCluster:
    def __init__(self) -> None:
        self.fake_admin = FakeAdmin()

    def admin(self) -> FakeAdmin:
        return self.fake_admin

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("reports", "partitions"),
    [
        (["under-replicated-partitions"], "pairs-1 pairs-2 pairs-3"),
        (["unavailable-partitions"], "pairs-3 pairs-4"),
        (["under-min-isr-partitions"], "pairs-2 pairs-3"),
        (["at-min-isr-partitions"], "moving-0 pairs-1 plain-0"),
        (["under-min-isr-partitions", "unavailable-partitions"], "pairs-2 pairs-3 pairs-4"),
    ],
)
def test_a_report_shows_only_its_partitions(reports: list[str], partitions: str) -> None:
    options = [f"--{report}" for report in reports]
    done = run("kafka-topics", "--describe", *options, cluster=FakeCluster())
    shown = re.findall(r"^\tTopic: (\w+)\tPartition: (\d)\t", done.stdout, re.MULTILINE)
    assert " ".join(map("-".join, shown)) == partitions
    assert done.stdout.count("\n") == len(shown)
    as_json = run("kafka-topics", "--describe", *options, "--output", "json", cluster=FakeCluster()).stdout
    named = [
        f"{topic['topic']}-{part['partition']}"
        for topic in map(json.loads, as_json.splitlines())
        for part in topic["partitions"]
    ]
    assert " ".join(named) == partitions


def test_a_partition_without_a_leader_and_one_that_moves() -> None:
    shown = run("kafka-topics", "--describe", cluster=FakeCluster()).stdout
    assert "\tTopic: pairs\tPartition: 3\tLeader: none\tReplicas: 1,2,3\tIsr: \tElr: \tLastKnownElr: \n" in shown
    assert shown.startswith(
        f"Topic: moving\tTopicId: {UUID}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: \n"
        "\tTopic: moving\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1"
        "\tAdding Replicas: 2\tRemoving Replicas: 1\tElr: \tLastKnownElr: \n"
    )


def test_topics_with_overrides_are_shown_without_their_partitions() -> None:
    done = run("kafka-topics", "--describe", "--topics-with-overrides", cluster=FakeCluster())
    assert done.stdout == (
        f"Topic: pairs\tTopicId: {UUID}\tPartitionCount: 5\tReplicationFactor: 3\tConfigs: min.insync.replicas=2\n"
    )


def test_one_topic_that_can_not_be_deleted_does_not_shield_the_others() -> None:
    cluster = FakeCluster()
    done = run("kafka-topics", "--delete", "--topic", ".*", cluster=cluster)
    assert (done.stdout, done.code) == (failed("gone already"), 1)
    assert cluster.fake_admin.deleted == ["pairs", "plain"]


# --------------------------------------------------------------------------------- tables, JSON, --command-config


def test_json_has_stable_fields() -> None:
    (line,) = run(
        "kafka-topics", "--list", "--topic", "plain", "--output", "json", cluster=FakeCluster()
    ).stdout.splitlines()
    assert json.loads(line) == {"topic": "plain", "topicId": UUID, "internal": False}
    (line,) = run(
        "kafka-topics", "--describe", "--topic", "moving", "--output", "json", cluster=FakeCluster()
    ).stdout.splitlines()
    assert json.loads(line) == {
        "topic": "moving",
        "topicId": UUID,
        "internal": False,
        "configs": {},
        "partitions": [
            {
                "partition": 0,
                "leader": 1,
                "leaderEpoch": 0,
                "replicas": [1, 2],
                "isr": [1],
                "addingReplicas": [2],
                "removingReplicas": [1],
                "elr": [],
                "lastKnownElr": [],
            }
        ],
    }


def test_tables_line_up() -> None:
    listed = run("kafka-topics", "--list", "--output", "table", cluster=FakeCluster()).stdout
    assert listed.splitlines()[0].split("  ")[0] == "TOPIC"
    assert [line.split() for line in listed.splitlines()[1:]] == [
        [name, UUID, "no"] for name in ("moving", "pairs", "plain")
    ]
    described = run("kafka-topics", "--describe", "--topic", "pairs", "--output", "table", cluster=FakeCluster()).stdout
    of_topics, of_partitions = described.split("\n\n")
    assert of_topics.splitlines()[1].split() == ["pairs", UUID, "5", "3", "min.insync.replicas=2"]
    assert of_partitions.splitlines()[4].split() == ["pairs", "3", "none", "1,2,3"]


@pytest.fixture
def properties(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "admin.properties"


@pytest.mark.parametrize(
    "text", ["", "# nothing\nrequest.timeout.ms=500\nssl.truststore.location = /x\nclient.id: me\n"]
)
def test_settings_of_kafkas_admin_client_mean_nothing_here(topics: Topics, properties: Path, text: str) -> None:
    properties.write_text(text)
    assert topics("--list", "--command-config", str(properties)) == Done("\n", "", 0)


def test_other_settings_are_named(topics: Topics, properties: Path) -> None:
    properties.write_text("retention.ms=1\nclient.id=x\ngroup.id=g\n")
    done = topics("--list", "--command-config", str(properties))
    warning = f"WARNING: {properties}: no setting of Kafka's admin client, and ignored: retention.ms, group.id\n"
    assert done == Done("\n", warning, 0)


def test_an_address_in_the_file_is_not_answered_from_a_directory(topics: Topics, properties: Path) -> None:
    properties.write_text("bootstrap.servers=broker:9092\n")
    done = topics("--list", "--command-config", str(properties))
    assert done.stdout == "" and done.code == 1
    assert done.stderr.startswith("--bootstrap-server must be specified")
    named = topics("--list", "--command-config", str(properties), "--data-dir", str(topics.directory))
    assert (named.stdout, named.code) == ("\n", 0)


def test_a_file_that_is_not_there_is_an_error(topics: Topics, properties: Path) -> None:
    done = topics("--list", "--command-config", str(properties))
    assert done == Done("", f"{properties} can't be read: No such file or directory\n", 1)
    assert not topics.directory.exists()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("retention", ["retention.bytes=", "retention.ms="]),
        ("preallocate=", ["preallocate=true", "preallocate=false"]),
        ("cleanup.policy=d", ["cleanup.policy=delete"]),
        ("retention.ms=", []),
        ("nothing=", []),
    ],
)
def test_configs_are_completed(typed: str, completed: list[str]) -> None:
    context = click.Context(command)
    option = next(param for param in command.params if param.name == "config")
    assert [item.value for item in option.shell_complete(context, typed)] == completed


# ------------------------------------------------------------------------------------- beside Apache Kafka's own tool

LINES = (
    "--list",
    "--create --topic t --partitions 3",
    "--create --topic t",
    "--create --topic a.b --config retention.ms=007 --config cleanup.policy=compact,delete",
    "--create --topic a_b",
    "--create --topic bad --partitions 0",
    "--create --topic bad --replication-factor 3",
    "--create --topic bad --config segment.bytes=1000",
    "--create --topic bad --replica-assignment 9",
    "--describe --topic a.b",
    "--describe --topic t --at-min-isr-partitions",
    "--describe --unavailable-partitions",
    "--alter --topic t --partitions 2",
    "--alter --topic t --partitions 4",
    "--list --topic t|a.*",
    "--delete --topic none",
    "--delete --topic t,a.b",
    "--list",
)


@pytest.mark.apache
@pytest.mark.timeout(180)
def test_apache_kafkas_own_tool_prints_the_same(topics: Topics) -> None:
    differences = {}
    with apache.Broker(node_id=0) as broker, Tools(broker.bootstrap) as tools:
        for line in LINES:
            theirs = tools.run("kafka-topics", *line.split())
            ours = topics(*line.split())
            said = [re.sub(r"TopicId: \S+", "TopicId: ID", text) for text in (theirs.stdout.decode(), ours.stdout)]
            if said[0] != said[1] or theirs.returncode != ours.code:
                differences = {**differences, line: (*said, theirs.returncode, ours.code)}
    assert differences == {}


def test_a_deletion_says_on_a_terminal_what_it_is_at_and_nothing_elsewhere(topics: Topics) -> None:
    topics.make("first", "second")
    tool = os.path.join(sysconfig.get_path("scripts"), "kafka-topics")
    command = [tool, "--data-dir", str(topics.directory), "--delete", "--topic"]
    code, out, said = terminal.run([*command, "first"])
    assert (code, out) == (0, b"")
    assert said == terminal.line("kafka-topics: deleting first") + terminal.GONE
    assert topics("--delete", "--topic", "second") == Done("", "", 0)
