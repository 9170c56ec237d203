"""kafka-consumer-groups. Expected texts and exit codes are those of Apache Kafka 4.3.1's ConsumerGroupCommand."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import click
import pytest

from pykafka_cli.commands.consumer_groups import DRY_RUN_WARNING
from pykafka_cli.commands.consumer_groups import consumer_groups as command
from pykafka_cli.env import Env
from pykafka_store.api import Admin, Cluster, Consumer
from pykafka_store.errors import CorruptRecordError, UnknownMemberIdError, UnknownTopicOrPartitionError
from pykafka_store.model import (
    CommittedOffset,
    GroupDescription,
    GroupListing,
    MemberDescription,
    OffsetAt,
    PartitionDescription,
    TopicDescription,
    TopicPartition,
)
from pykafka_store.open import open_cluster
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.in_process import NOW, Done, run

DESCRIPTION = (
    "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset "
    "consumer group offsets."
)
ONE_ACTION = (
    "Command must include exactly one action: "
    "--list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex"
)
SCENARIO_MISSING = (
    "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [shift-by], [to-datetime], "
    "[by-duration], [to-earliest], [to-latest], [to-current], [from-file]]"
)
HEADING = (
    "\nGROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             "
    "CONSUMER-ID     HOST            CLIENT-ID\n"
)
PLAN = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n"
NOT_FOUND = "org.apache.kafka.common.errors.GroupIdNotFoundException"
NOW_MS = int(NOW * 1000)
TIMES = (NOW_MS - 5000, NOW_MS - 4000, NOW_MS - 3000, NOW_MS - 2000, NOW_MS - 1000, NOW_MS - 100)
"""When the six records of topic t were made."""


def failed(why: str) -> str:
    return f"\nError: Executing consumer group command failed due to {why}\n"


def inactive(*groups: str) -> str:
    return "".join(f"\nConsumer group '{group}' has no active members.\n" for group in groups)


def lag_row(group: str, topic: str, partition: int, current: object, end: object, lag: object, *member: str) -> str:
    consumer, host, client = member or ("-", "-", "-")
    offsets = f"{current:<15} {end:<15} {lag:<15}"
    return f"{group:<15} {topic:<15} {partition:<10} {offsets} {consumer:<15} {host:<15} {client}\n"


def plan_row(group: str, topic: str, partition: int, offset: int) -> str:
    return f"{group:<15} {topic:<15} {partition:<10} {offset}\n"


class Groups:
    """kafka-consumer-groups over a data directory of the test's own: t with 6 records, two with 3 and 1, and empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster: Cluster = open_cluster(f"file:{directory}")
        self.admin: Admin = self.cluster.admin()
        for name, partitions in (("t", 1), ("two", 2), ("empty", 1)):
            self.admin.create_topic(name, partitions=partitions)
        with self.cluster.producer() as producer:
            producer.send("t", [b"v"] * 6, timestamps=TIMES)
            producer.send("two", [b"v"] * 4, partitions=[0, 0, 0, 1])

    def __call__(self, *arguments: str, **environ: str) -> Done:
        return run("kafka-consumer-groups", *arguments, data_dir=self.directory, environ=environ)

    def commit(self, group: str, offsets: Mapping[str, int]) -> None:
        """``{"t-0": 3}``"""
        split = {TopicPartition(*_name(name)): offset for name, offset in offsets.items()}
        self.admin.alter_group_offsets(group, split)

    def committed(self, group: str) -> dict[str, int]:
        return {str(partition): commit.offset for partition, commit in self.admin.group_offsets(group).items()}

    @contextlib.contextmanager
    def member(self, group: str, *topics: str, **config: str) -> Iterator[Consumer]:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        with self.cluster.consumer({"group.id": group, "auto.offset.reset": "earliest", **settings}) as consumer:
            consumer.subscribe(topics)
            consumer.poll(0.2)
            yield consumer


def _name(text: str) -> tuple[str, int]:
    topic, _, number = text.rpartition("-")
    return topic, int(number)


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path / "data")
    with made.cluster:
        yield made


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "data"


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", DESCRIPTION),
        ("--help", DESCRIPTION),
        ("--help --list --members", DESCRIPTION),
        ("--group x", ONE_ACTION),
        ("--list --delete --group x", 'Option "[group]" can\'t be used with option "[list]"'),
        ("--list --delete --all-groups", ONE_ACTION),
        ("--list --validate-regex x", ONE_ACTION),
        ("--describe", "Option [describe] takes one of these options: [all-groups], [group]"),
        ("--list --describe", "Option [describe] takes one of these options: [all-groups], [group]"),
        ("--delete", "Option [delete] takes one of these options: [all-groups], [group]"),
        (
            "--describe --group x --members --state",
            "Option [describe] takes at most one of these options: [members], [offsets], [state]",
        ),
        (
            "--describe --group x --members --offsets",
            "Option [describe] takes at most one of these options: [members], [offsets], [state]",
        ),
        ("--describe --all-groups --state Stable", "Option [describe] does not take a value for [state]"),
        ("--describe --group x --topic t", 'Option "[topic]" can\'t be used with option "[describe]"'),
        ("--list --topic t", 'Option "[topic]" can\'t be used with option "[list]"'),
        ("--list --group x", 'Option "[group]" can\'t be used with option "[list]"'),
        ("--describe --group x --all-groups", 'Option "[group]" can\'t be used with option "[all-groups]"'),
        ("--delete --group x --all-groups", 'Option "[group]" can\'t be used with option "[all-groups]"'),
        (
            "--delete --group x --topic t",
            "The consumer does not support topic-specific offset deletion from a consumer group.",
        ),
        ("--delete-offsets", "Option [delete-offsets] takes the following options: [group], [topic]"),
        ("--delete-offsets --group x", "Option [delete-offsets] takes the following options: [group], [topic]"),
        ("--delete-offsets --topic x", "Option [delete-offsets] takes the following options: [group], [topic]"),
        (
            "--delete-offsets --all-groups --topic x",
            "Option [delete-offsets] takes the following options: [group], [topic]",
        ),
        ("--reset-offsets --dry-run", "Option [reset-offsets] takes one of these options: [all-groups], [group]"),
        (
            "--reset-offsets --group x --dry-run --execute",
            "Option [reset-offsets] only accepts one of [execute] and [dry-run]",
        ),
        (
            "--reset-offsets --group x --topic t --to-latest --to-earliest --dry-run",
            'Option "[to-earliest]" can\'t be used with option "[to-latest]"',
        ),
        (
            "--reset-offsets --group x --topic t --shift-by 1 --to-offset 1 --dry-run",
            'Option "[to-offset]" can\'t be used with option "[shift-by]"',
        ),
        (
            "--reset-offsets --group x --topic t --to-current --from-file x --dry-run",
            'Option "[to-current]" can\'t be used with option "[from-file]"',
        ),
        (
            "--reset-offsets --group x --all-groups --topic t --to-earliest --dry-run",
            'Option "[group]" can\'t be used with option "[all-groups]"',
        ),
        ("--list --output yaml", "--output must be one of text, table, json, not yaml"),
        (
            "--reset-offsets --group x --dry-run --export --output json",
            'Option "[output]" can\'t be used with option "[export]"',
        ),
        ("--delete --group x --output json", 'Option "[output]" can\'t be used with option "[delete]"'),
        ("--list --fail-if-lag 1", 'Option "[fail-if-lag]" can\'t be used with option "[list]"'),
        (
            "--describe --group x --members --fail-if-lag 1",
            'Option "[fail-if-lag]" can\'t be used with option "[members]"',
        ),
        (
            "--validate-regex a --validate-regex b",
            "Found multiple arguments for option validate-regex, but you asked for only one",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense(nowhere: Path, line: str, message: str) -> None:
    done = run("kafka-consumer-groups", *line.split(), data_dir=nowhere)
    assert (done.message, done.stdout, done.code) == (message, "", 1)
    assert "\nUsage: " in done.stderr
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--new-consumer --list", "new-consumer is not a recognized option"),
        ("--describe --group", "Option group requires an argument"),
        ("--list --members", "Option(s) [members] are unavailable given other options on the command line"),
        (
            "--delete --group x --verbose --state --offsets --members --type",
            "Option(s) [members, offsets, state, type, verbose] "
            "are unavailable given other options on the command line",
        ),
        ("--describe --group x --type", "Option(s) [type] are unavailable given other options on the command line"),
        (
            "--describe --group x --state a --state b",
            "Found multiple arguments for option state, but you asked for only one",
        ),
    ],
)
def test_what_the_option_parser_refuses_comes_without_help(nowhere: Path, line: str, message: str) -> None:
    assert run("kafka-consumer-groups", *line.split(), data_dir=nowhere) == Done("", f"{message}\n", 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--list --timeout abc", "Cannot parse argument 'abc' of option timeout"),
        ("--list --timeout 9223372036854775808", "Cannot parse argument '9223372036854775808' of option timeout"),
        ("--list --timeout 1 --timeout 2", "Found multiple arguments for option timeout, but you asked for only one"),
        ("--list --to-offset abc", "Cannot parse argument 'abc' of option to-offset"),
        ("--list --shift-by 1.5", "Cannot parse argument '1.5' of option shift-by"),
        (
            "--list --by-duration PT1S --by-duration PT2S",
            "Found multiple arguments for option by-duration, but you asked for only one",
        ),
        ("--list --state a --state b", "Found multiple arguments for option state, but you asked for only one"),
        ("--list --type a --type b", "Found multiple arguments for option type, but you asked for only one"),
        (
            "--delete-offsets --group a --group b --topic t",
            "Found multiple arguments for option group, but you asked for only one",
        ),
        ("--list --command-config /nonexistent", "java.nio.file.NoSuchFileException: /nonexistent"),
    ],
)
def test_a_value_is_read_late_and_its_error_exits_0(groups: Groups, line: str, why: str) -> None:
    assert groups(*line.split()) == Done(failed(why), "", 0)
    assert groups(*line.split(), PYKAFKA_STRICT_EXIT="1").code == 1


def test_options_of_other_actions_are_ignored(groups: Groups) -> None:
    for line in ("--all-groups", "--all-topics --execute", "--to-earliest --export", "words", "--timeout 0"):
        assert groups("--list", *line.split()) == Done("", "", 0)
    assert groups("--list=5") == Done("", "", 0)


def test_the_version_is_kafkas(nowhere: Path) -> None:
    done = run("kafka-consumer-groups", "--version", "--list", "--delete", data_dir=nowhere)
    assert done == Done("4.3.1\n", "", 0)


@pytest.mark.parametrize(
    ("regex", "verdict"),
    [
        ("a.*", "valid."),
        ("", "valid."),
        ("[a", "invalid: missing closing ]."),
        (r"\1", "invalid: invalid escape sequence."),
    ],
)
def test_a_regex_is_checked_without_a_cluster(nowhere: Path, regex: str, verdict: str) -> None:
    done = run("kafka-consumer-groups", "--validate-regex", regex, "--group", "ignored", data_dir=nowhere)
    assert done == Done(f"The regular expression `{regex}` is {verdict}\n", "", 0)
    assert not nowhere.exists()


def test_group_ids_are_completed(groups: Groups) -> None:
    groups.commit("billing", {"t-0": 1})
    groups.commit("shipping", {"t-0": 1})
    context = click.Context(command, obj=Env.of_process())
    context.params = {"data_dir": str(groups.directory)}
    option = next(param for param in command.params if param.name == "group")
    assert [item.value for item in option.shell_complete(context, "b")] == ["billing"]


# ------------------------------------------------------------------------------------------------------------ list


def test_groups_are_listed_one_a_line(groups: Groups) -> None:
    assert groups("--list") == Done("", "", 0)
    groups.commit("b", {"t-0": 1})
    groups.commit("a", {"t-0": 1})
    assert groups("--list") == Done("a\nb\n", "", 0)


def test_a_heading_stands_even_above_nothing(groups: Groups) -> None:
    group, kind, state = f"{'GROUP':<25} ", f"{'TYPE':<20}", f"{'STATE':<20}"
    assert groups("--list", "--state").stdout == f"{group}{state}\n"
    assert groups("--list", "--type").stdout == f"{group}{kind}\n"
    for line in (("--state", "--type"), ("--type", "--state"), ("--type", "", "--state", "")):
        assert groups("--list", *line).stdout == f"{group}{kind} {state}\n"


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ("--state", "idle live modern"),
        ("--state stable", "live modern"),
        ("--state EMPTY,", "idle"),
        ("--state ,", "idle live modern"),
        ("--state Dead,CompletingRebalance,", ""),
        ("--type classic", "idle live"),
        ("--type CONSUMER", "modern"),
        ("--type consumer,Classic --state Stable", "live modern"),
    ],
)
def test_groups_are_listed_by_state_and_type(groups: Groups, line: str, listed: str) -> None:
    groups.commit("idle", {"t-0": 1})
    with groups.member("live", "t"), groups.member("modern", "t", group_protocol="consumer"):
        done = groups("--list", *line.split())
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == listed.split()
    assert (done.stderr, done.code) == ("", 0)


def test_a_blank_between_states_does_no_harm_and_names_widen_their_column(groups: Groups) -> None:
    name = "a-group-with-a-name-of-some-length"
    groups.commit(name, {"t-0": 1})
    assert groups("--list", "--state", "stable, empty", "--type").stdout == (
        f"{'GROUP':<44} {'TYPE':<20} {'STATE':<20}\n{name:<44} {'Classic':<20} {'Empty':<20}\n"
    )


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--state", "bad, wrong", "Invalid state list 'bad, wrong'. Valid states are: PreparingRebalance, "),
        ("--state", "   ,   ,", "Invalid state list '   ,   ,'. Valid states are: PreparingRebalance, "),
        ("--state", "unknown", "Invalid state list 'unknown'. Valid states are: PreparingRebalance, "),
        ("--type", "bad, Wrong", "Invalid types list 'bad, Wrong'. Valid types are: Consumer, Classic"),
        ("--type", "share", "Invalid types list 'share'. Valid types are: Consumer, Classic"),
    ],
)
def test_a_state_or_type_that_does_not_exist(groups: Groups, option: str, text: str, message: str) -> None:
    done = groups("--list", option, text)
    assert done.message.startswith(message) and (done.stdout, done.code) == ("", 1)


def test_a_list_as_json_and_as_a_table(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    assert groups("--list", "--output", "json").stdout == '{"group":"g","type":"Classic","state":"Empty"}\n'
    heading, row = groups("--list", "--output", "table").stdout.splitlines()
    assert (heading.split(), row.split()) == (["GROUP", "TYPE", "STATE"], ["g", "Classic", "Empty"])


# ------------------------------------------------------------------------------------------------------- describe


@pytest.mark.parametrize("what", ["", "--offsets", "--members", "--members --verbose", "--state", "--state --verbose"])
def test_a_group_that_is_not_there(groups: Groups, what: str) -> None:
    why = f"{NOT_FOUND}: Group missing.group not found."
    groups.commit("g", {"t-0": 1})
    done = groups("--describe", "--group", "g", "--group", "missing.group", *what.split())
    assert done == Done(failed(why), f"{why}\n", 0)
    done = groups("--describe", "--group", "missing.group", *what.split(), "--output", "json")
    assert (done.stdout, done.stderr, done.code) == ("", failed(why)[1:], 0)


def test_the_empty_group_id_is_invalid(groups: Groups) -> None:
    why = "org.apache.kafka.common.errors.InvalidGroupIdException: The group id is invalid."
    assert groups("--describe", "--group", "").stdout == failed(why)
    reset = groups("--reset-offsets", "--group", "", "--topic", "t", "--to-latest", "--execute")
    assert reset.stdout == failed(f"java.util.concurrent.ExecutionException: {why}")


def test_no_groups_at_all(groups: Groups) -> None:
    for what in ("", "--members", "--state"):
        assert groups("--describe", "--all-groups", *what.split()) == Done("", "", 0)


def test_a_group_without_members(groups: Groups) -> None:
    groups.commit("g", {"two-1": 0, "two-0": 1, "t-0": 6})
    rows = lag_row("g", "t", 0, 6, 6, 0) + lag_row("g", "two", 0, 1, 3, 2) + lag_row("g", "two", 1, 0, 1, 1)
    assert groups("--describe", "--group", "g") == Done(HEADING + rows, inactive("g"), 0)
    assert groups("--describe", "--group", "g", "--offsets", "--group", "g") == Done(HEADING + rows, inactive("g"), 0)


def test_several_groups_come_in_order_each_with_its_own_heading(groups: Groups) -> None:
    groups.commit("b", {"t-0": 0})
    groups.commit("a", {"t-0": 1})
    text = HEADING + lag_row("a", "t", 0, 1, 6, 5) + HEADING + lag_row("b", "t", 0, 0, 6, 6)
    assert groups("--describe", "--group", "b", "--group", "a") == Done(text, inactive("a", "b"), 0)
    assert groups("--describe", "--all-groups") == Done(text, inactive("a", "b"), 0)


def test_columns_are_as_wide_as_their_longest_value(groups: Groups) -> None:
    topic = "a-rather-long-topic-name-that-is-over-30-chars"
    groups.admin.create_topic(topic)
    groups.commit("a-group-of-19-chars", {f"{topic}-0": 0, "t-0": 6})
    assert groups("--describe", "--all-groups").stdout == (
        f"\n{'GROUP':<19} {'TOPIC':<46} PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             "
        "CONSUMER-ID     HOST            CLIENT-ID\n"
        f"a-group-of-19-chars {topic} 0          0               0               0               "
        "-               -               -\n"
        f"a-group-of-19-chars {'t':<46} 0          6               6               0               "
        "-               -               -\n"
    )


def test_a_group_that_has_forgotten_everything(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    groups.admin.delete_group_offsets("g", [TopicPartition("t", 0)])
    assert groups("--describe", "--group", "g") == Done("", inactive("g"), 0)


def test_commits_of_a_deleted_topic_are_gone(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1, "empty-0": 0})
    groups.admin.delete_topic("t")
    assert groups("--describe", "--group", "g").stdout == HEADING + lag_row("g", "empty", 0, 0, 0, 0)


def test_the_state_of_a_group_without_members(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    assert groups("--describe", "--group", "g", "--state") == Done(
        "\nGROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS\n"
        "g               localhost  (0)            -                    Empty                0\n",
        inactive("g"),
        0,
    )
    assert groups("--describe", "--group", "g", "--state", "--verbose").stdout == (
        "\nGROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                GROUP-EPOCH     "
        "TARGET-ASSIGNMENT-EPOCH   #MEMBERS\n"
        "g               localhost  (0)            -                    Empty                -               "
        "-                         0\n"
    )


def test_the_coordinator_is_called_as_the_user_calls_it(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    where = "broker.example:9092, other:9092"
    done = groups("--bootstrap-server", where, "--describe", "--group", "g", "--state", PYKAFKA_EMBED="*")
    assert done.stdout.splitlines()[2].split()[1:3] == ["broker.example:9092", "(0)"]


def test_no_members_are_a_heading(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    heading = "\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     "
    assert groups("--describe", "--group", "g", "--members") == Done(f"{heading}\n", inactive("g"), 0)
    verbose = "CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT   "
    assert groups("--describe", "--group", "g", "--members", "--verbose").stdout == f"{heading}{verbose}\n"


ID = "me-" + "x" * 36


def without_uuids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "x" * 36, text)


def has_read_all(member: Consumer) -> bool:
    ends = member.end_offsets(member.assignment())
    return all(member.position(partition) == end for partition, end in ends.items())


def test_live_members_of_a_classic_group(groups: Groups) -> None:
    """The member with the most partitions first; a static member by its instance; a commit that nobody owns last."""
    groups.commit("g", {"empty-0": 0})
    names = {"client_id": "me"}
    with (
        groups.member("g", "two", "t", **names) as one,
        groups.member("g", "two", "t", **names, group_instance_id="an-instance-id-of-26-chars") as two,
    ):
        deadline = time.monotonic() + 60
        while sorted(len(member.assignment()) for member in (one, two)) != [1, 2] or not all(
            map(has_read_all, (one, two))
        ):
            assert time.monotonic() < deadline
            for member in (one, two):
                member.poll(0.05)
        for member in (one, two):
            member.commit()
        offsets, members, verbose, state = (
            groups("--describe", "--group", "g", *what.split())
            for what in ("", "--members", "--members --verbose", "--state --verbose")
        )
    assert (offsets.stderr, offsets.code) == ("", 0)
    static = "an-instance-id-of-26-chars-" + "x" * 36
    owners = [row.split()[6] for row in without_uuids(offsets.stdout).splitlines()[2:]]
    rows = [row.split()[1:6] for row in offsets.stdout.splitlines()[2:]]
    assert rows[-1] == ["empty", "0", "0", "0", "0"] and owners[-1] == "-"
    assert sorted(rows[:-1]) == [["t", "0", "6", "6", "0"], ["two", "0", "3", "3", "0"], ["two", "1", "1", "1", "0"]]
    assert owners[0] == owners[1] != owners[2] and set(owners[:3]) == {ID, static}

    heading, *rows_of_members = without_uuids(members.stdout).splitlines()[1:]
    names_of_columns = "GROUP-INSTANCE-ID          HOST            CLIENT-ID       #PARTITIONS     "
    assert heading == f"{'GROUP':<15} {'CONSUMER-ID':<63} {names_of_columns}"
    assert {row[:-17] for row in rows_of_members} == {
        f"{'g':<15} {ID:<63} {'':<26} /127.0.0.1      me             ",
        f"{'g':<15} {static} an-instance-id-of-26-chars /127.0.0.1      me             ",
    }
    assert sorted(int(row.split()[-1]) for row in rows_of_members) == [1, 2]
    assert re.search(r"  (two:0|t:0;two:0) +-               -                   \n", verbose.stdout)
    assert state.stdout.splitlines()[2].split()[3:] == ["range", "Stable", "-", "-", "2"]


def test_live_members_of_a_consumer_group(groups: Groups) -> None:
    with groups.member("g", "two", group_protocol="consumer", client_id="me") as member:
        member.commit()
        offsets = groups("--describe", "--group", "g")
        members = groups("--describe", "--group", "g", "--members", "--verbose")
        state = groups("--describe", "--group", "g", "--state", "--verbose")
    (owner,) = {row.split()[6] for row in offsets.stdout.splitlines()[2:]}
    assert "".join(offsets.stdout.splitlines(keepends=True)[2:]) == (
        lag_row("g", "two", 0, 3, 3, 0, owner, "/127.0.0.1", "me")
        + lag_row("g", "two", 1, 1, 1, 0, owner, "/127.0.0.1", "me")
    )
    row = members.stdout.splitlines()[2].split()
    epoch = row[5]
    assert row == ["g", owner, "/127.0.0.1", "me", "2", epoch, "two:0,1", epoch, "two:0,1"]
    assert state.stdout.splitlines()[2].split()[4:] == ["Stable", epoch, epoch, "1"]


def test_the_leader_epoch_of_a_commit_is_shown_on_request() -> None:
    fake = FakeAdmin(
        offsets={TopicPartition("t", 0): CommittedOffset(3, 7), TopicPartition("t", 1): CommittedOffset(4)}
    )
    done = run("kafka-consumer-groups", "--describe", "--group", "g", "--verbose", cluster=FakeCluster(fake))
    heading, first, second = (line.split() for line in done.stdout.splitlines()[1:])
    assert heading[3] == "LEADER-EPOCH"
    assert (first[3:7], second[3:7]) == (["7", "3", "10", "7"], ["-", "4", "10", "6"])


def test_descriptions_as_json(groups: Groups) -> None:
    groups.commit("idle", {"t-0": 1})
    with groups.member("live", "two", client_id="me", group_instance_id="i", enable_auto_commit="false"):
        offsets, members, states = (
            [
                json.loads(line)
                for line in groups("--describe", "--all-groups", *what, "--output", "json").stdout.split("\n")[:-1]
            ]
            for what in ([], ["--members"], ["--state"])
        )
    owner = members[1]["members"][0]["consumerId"]
    assert offsets == [
        {
            "group": "idle",
            "type": "Classic",
            "state": "Empty",
            "totalLag": 5,
            "partitions": [
                {
                    "topic": "t",
                    "partition": 0,
                    "currentOffset": 1,
                    "leaderEpoch": None,
                    "logEndOffset": 6,
                    "lag": 5,
                    "consumerId": None,
                    "host": None,
                    "clientId": None,
                }
            ],
        },
        {
            "group": "live",
            "type": "Classic",
            "state": "Stable",
            "totalLag": 0,
            "partitions": [
                {
                    "topic": "two",
                    "partition": number,
                    "currentOffset": None,
                    "leaderEpoch": None,
                    "logEndOffset": end,
                    "lag": None,
                    "consumerId": owner,
                    "host": "/127.0.0.1",
                    "clientId": "me",
                }
                for number, end in ((0, 3), (1, 1))
            ],
        },
    ]
    assert members[1] == {
        "group": "live",
        "type": "Classic",
        "state": "Stable",
        "members": [
            {
                "consumerId": owner,
                "groupInstanceId": "i",
                "host": "/127.0.0.1",
                "clientId": "me",
                "assignment": [{"topic": "two", "partition": 0}, {"topic": "two", "partition": 1}],
            }
        ],
    }
    assert states[0] == {
        "group": "idle",
        "type": "Classic",
        "state": "Empty",
        "coordinator": "localhost",
        "coordinatorId": 0,
        "assignmentStrategy": None,
        "groupEpoch": 0,
        "memberCount": 0,
    }


def test_descriptions_as_tables(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1, "two-0": 1})
    lines = groups("--describe", "--group", "g", "--output", "table").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["g", "t", "0", "-", "1", "6", "5", "-", "-", "-"],
        ["g", "two", "0", "-", "1", "3", "2", "-", "-", "-"],
        ["TOTAL", "LAG", "7"],
    ]
    state = groups("--describe", "--group", "g", "--state", "--output", "table").stdout.splitlines()[1]
    assert state.split() == ["g", "localhost", "(0)", "-", "Empty", "-", "-", "0"]
    members = groups("--describe", "--group", "g", "--members", "--output", "table")
    assert members.stdout.split()[:2] == ["GROUP", "CONSUMER-ID"]


@pytest.mark.parametrize(("allowed", "code"), [("6", 1), ("7", 0), ("100", 0), ("-1", 1)])
def test_a_script_can_fail_on_lag(groups: Groups, allowed: str, code: int) -> None:
    groups.commit("a", {"t-0": 1})
    groups.commit("b", {"two-0": 1})
    plain = groups("--describe", "--all-groups")
    done = groups("--describe", "--all-groups", "--fail-if-lag", allowed)
    told = f"The total lag is 7, and --fail-if-lag allows {allowed}\n" if code else ""
    assert done == Done(plain.stdout, plain.stderr + told, code)


def test_a_script_that_can_fail_on_lag_fails_on_errors(groups: Groups) -> None:
    assert groups("--describe", "--group", "missing", "--fail-if-lag", "5").code == 1
    assert groups("--describe", "--all-groups", "--fail-if-lag", "x").code == 1
    assert groups("--describe", "--all-groups", "--fail-if-lag", "5").code == 0


# ---------------------------------------------------------------------- states that are hard to bring about, made up


def member(name: str, *partitions: int) -> MemberDescription:
    return MemberDescription(
        name, None, f"client-{name}", "/10.0.0.1", tuple(TopicPartition("t", n) for n in partitions)
    )


class FakeAdmin:
    """One group, g, of topic t with three partitions whose ends are at 10."""

    def __init__(
        self,
        *,
        state: str = "Stable",
        kind: str = "Classic",
        members: Sequence[MemberDescription] = (),
        offsets: Mapping[TopicPartition, CommittedOffset] | None = None,
        ends: Mapping[TopicPartition, int | Exception] | None = None,
        leader: int | None = 1,
    ) -> None:
        self.description = GroupDescription("g", kind, state, "", 1, 5, tuple(members))
        self.offsets = dict(offsets or {})
        self.ends = ends or {}
        self.leader = leader

    def list_groups(self) -> list[GroupListing]:
        return [GroupListing("g", self.description.type, self.description.state)]

    def describe_group(self, group: str) -> GroupDescription:
        return self.description._replace(group_id=group)

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        return self.offsets

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        partitions = tuple(PartitionDescription(number, self.leader, 0, (1,), (1,)) for number in range(3))
        return [TopicDescription("t", "id", False, partitions, ())]

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        return {partition: self.ends.get(partition, 10) for partition in at}

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        raise UnknownMemberIdError("The coordinator is not aware of this member.")


class FakeCluster:
    def __init__(self, fake: FakeAdmin) -> None:
        self.fake = fake

    def admin(self) -> FakeAdmin:
        return self.fake

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.mark.parametrize("state", ["PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"])
@pytest.mark.parametrize("what", ["--offsets", "--members", "--state"])
def test_a_rebalancing_group_is_shown_with_a_warning(state: str, what: str) -> None:
    fake = FakeAdmin(state=state, members=[member("m", 0)])
    done = run("kafka-consumer-groups", "--describe", "--group", "g", what, cluster=FakeCluster(fake))
    assert done.stderr == "\nWarning: Consumer group 'g' is rebalancing.\n"
    assert done.stdout.count("\n") == 3 and done.code == 0


def test_how_far_a_member_is_on_its_way_is_not_made_up() -> None:
    fake = FakeAdmin(state="Reconciling", kind="Consumer", members=[member("m", 0)])
    done = run(
        "kafka-consumer-groups", "--describe", "--group", "g", "--members", "--verbose", cluster=FakeCluster(fake)
    )
    assert done.stdout.splitlines()[2].split() == ["g", "m", "/10.0.0.1", "client-m", "1", "-", "t:0", "5", "-"]


def test_the_end_of_a_partition_may_be_unknown() -> None:
    gone, broken = TopicPartition("t", 1), TopicPartition("t", 2)
    fake = FakeAdmin(
        offsets={TopicPartition("t", number): CommittedOffset(4) for number in range(3)},
        members=[member("m", 0)],
        ends={gone: UnknownTopicOrPartitionError("gone"), broken: CorruptRecordError("a flipped bit")},
    )
    done = run("kafka-consumer-groups", "--describe", "--group", "g", "--output", "json", cluster=FakeCluster(fake))
    described = json.loads(done.stdout)
    assert [(row["logEndOffset"], row["lag"]) for row in described["partitions"]] == [
        (10, 6),
        (None, None),
        (None, None),
    ]
    assert (described["totalLag"], done.stderr) == (6, "The end of t-2 is unknown: a flipped bit\n")


def test_a_commit_beyond_the_end_is_no_negative_lag_in_the_total() -> None:
    fake = FakeAdmin(offsets={TopicPartition("t", 0): CommittedOffset(15), TopicPartition("t", 1): CommittedOffset(8)})
    done = run("kafka-consumer-groups", "--describe", "--group", "g", "--output", "json", cluster=FakeCluster(fake))
    described = json.loads(done.stdout)
    assert ([row["lag"] for row in described["partitions"]], described["totalLag"]) == ([-5, 2], 2)


def test_a_reset_needs_a_leader() -> None:
    fake = FakeAdmin(state="Empty", leader=None)
    line = "--reset-offsets --group g --topic t:0,2 --to-latest --dry-run"
    done = run("kafka-consumer-groups", *line.split(), cluster=FakeCluster(fake))
    assert done == Done(failed('The partitions "t-0,t-2" have no leader'), "", 0)


def test_a_member_that_joins_in_the_middle_of_a_reset() -> None:
    fake = FakeAdmin(state="Empty")
    line = "--reset-offsets --group g --topic t:0 --to-latest --execute"
    done = run("kafka-consumer-groups", *line.split(), cluster=FakeCluster(fake))
    assert done.stdout == failed("The coordinator is not aware of this member.")


# ---------------------------------------------------------------------------------------------------- reset-offsets


def utc(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}"


@pytest.mark.parametrize(
    ("scenario", "offset"),
    [
        ("--to-earliest", 0),
        ("--to-latest", 6),
        ("--to-current", 3),
        ("--to-offset 2", 2),
        ("--to-offset 6", 6),
        ("--to-offset 2 --to-offset 5", 2),
        ("--shift-by 1", 4),
        ("--shift-by +2", 5),
        ("--shift-by -1", 2),
        ("--shift-by 0", 3),
        (f"--to-datetime {utc(TIMES[0])}", 0),
        (f"--to-datetime {utc(TIMES[2])}Z", 2),
        (f"--to-datetime {utc(TIMES[2] + 1)}", 3),
        (f"--to-datetime {utc(TIMES[2] + 3_600_000)}+01:00", 2),
        ("--to-datetime 2000-01-01T00:00:00.000-05:30", 0),
        ("--by-duration PT3S", 2),
        ("--by-duration PT2.5S", 3),
        ("--by-duration P1D", 0),
    ],
)
def test_what_is_committed_is_reset(groups: Groups, scenario: str, offset: int) -> None:
    groups.commit("g", {"t-0": 3})
    line = ["--reset-offsets", "--group", "g", "--all-topics", *scenario.split()]
    plan = PLAN + plan_row("g", "t", 0, offset)
    assert groups(*line, "--dry-run") == Done(plan, "", 0)
    assert groups(*line) == Done(plan, f"{DRY_RUN_WARNING}\n", 0)
    assert groups.committed("g") == {"t-0": 3}
    assert groups(*line, "--execute") == Done(plan, "", 0)
    assert groups.committed("g") == {"t-0": offset}


@pytest.mark.parametrize(
    ("scenario", "wanted", "offset"),
    [
        ("--to-offset 500", "New offset (500) is higher than latest", 6),
        ("--to-offset -5", "New offset (-5) is lower than earliest", 0),
        ("--shift-by 50", "New offset (53) is higher than latest", 6),
        ("--shift-by -50", "New offset (-47) is lower than earliest", 0),
    ],
)
def test_an_offset_is_kept_within_the_log(groups: Groups, scenario: str, wanted: str, offset: int) -> None:
    groups.commit("g", {"t-0": 3})
    done = groups("--reset-offsets", "--group", "g", "--topic", "t", *scenario.split(), "--dry-run")
    assert done.stdout == PLAN + plan_row("g", "t", 0, offset)
    warning = f" WARN {wanted} offset for topic partition t-0. Value will be set to {offset}"
    logged = f"{warning} (org.apache.kafka.tools.OffsetsUtils)\n"
    assert re.fullmatch(r"\[2023-11-1\d \d\d:\d\d:20,250\]" + re.escape(logged), done.stderr)


@pytest.mark.parametrize("scenario", [f"--to-datetime {utc(NOW_MS)}", "--by-duration PT0.05S", "--by-duration -PT1H"])
def test_a_time_after_the_last_record_is_the_end(groups: Groups, scenario: str) -> None:
    line = "--reset-offsets --group g --topic t --topic empty --dry-run"
    warnings = "".join(
        f"\nWarn: Partition 0 from topic {topic} is empty. Falling back to latest known offset.\n"
        for topic in ("empty", "t")
    )
    plan = PLAN + plan_row("g", "empty", 0, 0) + plan_row("g", "t", 0, 6)
    assert groups(*line.split(), *scenario.split()) == Done(warnings + plan, "", 0)
    as_json = groups(*line.split(), *scenario.split(), "--output", "json")
    assert as_json.stdout.count("\n") == 1 and as_json.stderr == warnings.replace("\n\n", "\n")[1:]


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        (
            "--to-datetime 2000-01-01",
            "java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
        ),
        (
            "--to-datetime 2000-13-01T00:00:00.000",
            'java.text.ParseException: Unparseable date: "2000-13-01T00:00:00.000Z"',
        ),
        ("--by-duration 1h", "Text cannot be parsed to a Duration"),
        ("--by-duration P99999999999999D", "Instant exceeds minimum or maximum instant"),
    ],
)
def test_what_is_no_time(groups: Groups, scenario: str, why: str) -> None:
    line = "--reset-offsets --group g --topic t --dry-run"
    assert groups(*line.split(), *scenario.split()) == Done(failed(why), "", 0)


@pytest.mark.parametrize("scenario", ["--to-datetime 1969-12-31T23:59:59.999", "--by-duration P100000D"])
def test_a_time_before_1970_is_not_taken_for_one_of_the_special_ones(groups: Groups, scenario: str) -> None:
    done = groups("--reset-offsets", "--group", "g", "--topic", "t", *scenario.split(), "--execute")
    why = "org.apache.kafka.common.errors.UnsupportedVersionException: The version of API is not supported."
    assert done == Done(failed(f"java.util.concurrent.ExecutionException: {why}"), f"{why}\n", 0)


@pytest.mark.parametrize(
    ("topics", "partitions"),
    [
        ("--topic t", "t-0"),
        ("--topic two", "two-0 two-1"),
        ("--topic two:1", "two-1"),
        ("--topic two:1,0,", "two-0 two-1"),
        ("--topic two --topic t --topic two:0", "t-0 two-0 two-1"),
        ("--all-topics", "two-1"),
        ("--all-topics --topic t", "two-1"),
    ],
)
def test_topics_and_partitions_are_named(groups: Groups, topics: str, partitions: str) -> None:
    groups.commit("g", {"two-1": 1})
    done = groups("--reset-offsets", "--group", "g", *topics.split(), "--to-earliest", "--dry-run")
    rows = "".join(plan_row("g", *_name(name), 0) for name in partitions.split())
    assert done == Done(PLAN + rows, "", 0)


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("t:x", "Invalid partition 'x' specified in topic arg 't:x''"),
        ("t:0, 1", "Invalid partition ' 1' specified in topic arg 't:0, 1''"),
        ("t:0:1", "Invalid topic arg 't:0:1', expected topic name and partitions"),
        ("t:", "Invalid topic arg 't:', expected topic name and partitions"),
        (":", "Invalid topic arg ':', expected topic name and partitions"),
    ],
)
def test_a_malformed_topic(groups: Groups, topic: str, message: str) -> None:
    for action in (("--reset-offsets", "--to-earliest", "--dry-run"), ("--delete-offsets",)):
        done = groups(*action, "--group", "g", "--topic", topic)
        assert (done.message, done.stdout, done.code) == (message, "", 1)


@pytest.mark.parametrize(
    ("topic", "name", "why"),
    [
        ("nosuch", "UnknownTopicOrPartition", "This server does not host this topic-partition."),
        ("a b", "InvalidTopic", "The request attempted to perform an operation on an invalid topic."),
        ("t.*", "InvalidTopic", "The request attempted to perform an operation on an invalid topic."),
        ("", "InvalidTopic", "The given topic name '' cannot be represented in a request."),
        ("two:1,7,9", "UnknownTopicOrPartition", 'The partitions "two-7,two-9" do not exist'),
        ("t:-1", "UnknownTopicOrPartition", 'The partitions "t--1" do not exist'),
    ],
)
def test_a_topic_or_partition_that_is_not_there(groups: Groups, topic: str, name: str, why: str) -> None:
    done = groups("--reset-offsets", "--group", "g", "--topic", topic, "--to-earliest", "--execute")
    assert done == Done(failed(why), f"org.apache.kafka.common.errors.{name}Exception: {why}\n", 0)
    assert groups.committed("g") == {}


def test_partitions_of_a_topic_that_is_not_there(groups: Groups) -> None:
    why = (
        "java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: "
        "This server does not host this topic-partition."
    )
    done = groups("--reset-offsets", "--group", "g", "--topic", "nosuch:0", "--to-earliest", "--dry-run")
    assert (done.stdout, done.code) == (failed(why), 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--to-earliest", "One of the reset scopes should be defined: --all-topics, --topic."),
        ("", "One of the reset scopes should be defined: --all-topics, --topic."),
        ("--topic t", SCENARIO_MISSING),
        ("--all-topics", SCENARIO_MISSING),
        (
            "--topic t --shift-by 1",
            "Cannot shift offset for partition t-0 since there is no current committed offset",
        ),
    ],
)
def test_what_is_missing_for_a_reset(groups: Groups, line: str, message: str) -> None:
    done = groups("--reset-offsets", "--group", "new", "--dry-run", *line.split())
    assert (done.message, done.stdout, done.code) == (message, "", 1)


def test_a_group_that_is_not_there_can_be_reset_and_is_made_then(groups: Groups) -> None:
    line = "--reset-offsets --group new --topic two --to-current"
    plan = PLAN + plan_row("new", "two", 0, 3) + plan_row("new", "two", 1, 1)
    assert groups(*line.split(), "--dry-run") == Done(plan, "", 0)
    assert groups("--list") == Done("", "", 0)
    assert groups(*line.split(), "--execute") == Done(plan, "", 0)
    assert groups.committed("new") == {"two-0": 3, "two-1": 1}
    nothing = groups("--reset-offsets", "--group", "other", "--all-topics", "--to-current", "--execute")
    assert nothing == Done(PLAN, "", 0)


def test_all_groups_are_reset(groups: Groups) -> None:
    assert groups("--reset-offsets", "--all-groups", "--all-topics", "--to-earliest", "--dry-run").stdout == "\n"
    groups.commit("b", {"t-0": 1})
    groups.commit("a", {"two-0": 1})
    done = groups("--reset-offsets", "--all-groups", "--all-topics", "--to-earliest", "--execute")
    assert done == Done(PLAN + plan_row("a", "two", 0, 0) + plan_row("b", "t", 0, 0), "", 0)
    assert (groups.committed("a"), groups.committed("b")) == ({"two-0": 0}, {"t-0": 0})


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_live_group_is_not_reset(groups: Groups, protocol: str) -> None:
    refused = (
        "\nError: Assignments can only be reset if the group 'live' is inactive, but the current state is Stable.\n"
    )
    groups.commit("idle", {"t-0": 3})
    line = "--reset-offsets --topic t --to-earliest"
    with groups.member("live", "t", group_protocol=protocol) as live:
        live.commit()
        assert groups(*line.split(), "--group", "live", "--execute") == Done(refused + PLAN, "", 0)
        assert groups(*line.split(), "--group", "live", "--execute", PYKAFKA_STRICT_EXIT="1").code == 1
        both = groups(*line.split(), "--group", "live", "--group", "idle", "--execute")
        export = groups(*line.split(), "--group", "live", "--export", "--dry-run")
        as_json = groups(*line.split(), "--group", "live", "--execute", "--output", "json")
        assert groups.committed("live") == {"t-0": 6}
    assert both == Done(refused + PLAN + plan_row("idle", "t", 0, 0), "", 0)
    assert export.stdout == f"{refused}\n"
    assert as_json.stdout == '{"group":"live","executed":false,"partitions":[]}\n'
    assert as_json.stderr == refused[1:]


def test_no_group_is_changed_where_one_can_not_be_planned(groups: Groups) -> None:
    groups.commit("a", {"t-0": 1})
    done = groups("--reset-offsets", "--group", "a", "--group", "b", "--topic", "t", "--shift-by", "1", "--execute")
    assert done.code == 1
    assert groups.committed("a") == {"t-0": 1}


def test_a_plan_as_json_and_as_a_table(groups: Groups) -> None:
    line = "--reset-offsets --group g --topic two --to-latest --execute --output"
    assert json.loads(groups(*line.split(), "json").stdout) == {
        "group": "g",
        "executed": True,
        "partitions": [
            {"topic": "two", "partition": 0, "newOffset": 3},
            {"topic": "two", "partition": 1, "newOffset": 1},
        ],
    }
    assert [row.split() for row in groups(*line.split(), "table").stdout.splitlines()] == [
        ["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"],
        ["g", "two", "0", "3"],
        ["g", "two", "1", "1"],
    ]


# ------------------------------------------------------------------------------------------------ export and from-file


def test_a_plan_goes_into_a_file_and_comes_back(groups: Groups, tmp_path: Path) -> None:
    groups.commit("a", {"t-0": 5, "two-1": 1})
    groups.commit("b", {"two-0": 2})
    one = groups("--reset-offsets", "--group", "a", "--all-topics", "--to-current", "--export", "--dry-run")
    assert one == Done("t,0,5\ntwo,1,1\n\n", "", 0)
    both = groups("--reset-offsets", "--all-groups", "--all-topics", "--to-current", "--export", "--dry-run")
    assert both == Done("a,t,0,5\na,two,1,1\nb,two,0,2\n\n", "", 0)
    file = tmp_path / "plan.csv"
    line = ["--reset-offsets", "--from-file", str(file), "--execute"]
    for group in ("a", "b"):
        groups.admin.delete_group(group)

    file.write_text(one.stdout)
    assert groups(*line, "--group", "c").stdout == PLAN + plan_row("c", "t", 0, 5) + plan_row("c", "two", 1, 1)
    file.write_text(both.stdout)
    assert groups(*line, "--group", "a").stdout == PLAN + plan_row("a", "t", 0, 5) + plan_row("a", "two", 1, 1)
    everything = groups(*line, "--group", "a", "--group", "b")
    assert everything.stdout.splitlines()[-1] == plan_row("b", "two", 0, 2)[:-1]
    assert [groups.committed(group) for group in "abc"] == [
        {"t-0": 5, "two-1": 1},
        {"two-0": 2},
        {"t-0": 5, "two-1": 1},
    ]


@pytest.mark.parametrize(
    ("group", "written"),
    [
        ("a b", '"a b"'),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("+x", '"+x"'),
        ("it's", '"it\'s"'),
        ("a\\b", '"a\\b"'),
        ("exactly-24-chars-x-x-x-xx", '"exactly-24-chars-x-x-x-xx"'),
        ("exactly-24-chars-x-x-x-x", "exactly-24-chars-x-x-x-x"),
        ("ünïcode", "ünïcode"),
        ("-x.y:z~", "-x.y:z~"),
        ("a/../b", "a/../b"),
        ("a\tb", '"a\tb"'),
    ],
)
def test_names_are_quoted_as_kafka_quotes_them_and_come_back(
    groups: Groups, tmp_path: Path, group: str, written: str
) -> None:
    scope = ["--reset-offsets", "--group", group, "--group", "~~~", "--dry-run"]
    export = groups(*scope, "--topic", "t", "--to-latest", "--export").stdout
    assert f"{written},t,0,6" in export.splitlines()
    file = tmp_path / "plan.csv"
    file.write_text(export)
    back = groups(*scope, "--from-file", str(file), "--export")
    assert back == Done(export, "", 0)


@pytest.mark.parametrize(
    ("text", "offset"), [("t,0,4\n", 4), ("t,0,4", 4), ("\nt,0,4\r\n\n", 4), ('"t",0, 4 \n', 4), ("t,0,4\nt,0,5\n", 5)]
)
def test_files_that_are_understood(groups: Groups, tmp_path: Path, text: str, offset: int) -> None:
    file = tmp_path / "plan.csv"
    file.write_text(text)
    done = groups("--reset-offsets", "--group", "g", "--from-file", str(file), "--dry-run")
    assert done == Done(PLAN + plan_row("g", "t", 0, offset), "", 0)


@pytest.mark.parametrize(
    ("text", "arguments", "where", "expected"),
    [
        ("t,0\n", "--group g", 1, "expected group,topic,partition,offset, with whole numbers, and found t,0"),
        ("t,0,\n", "--group g", 1, "expected topic,partition,offset, with whole numbers, and found t,0,"),
        ("t,0,4\nt,0,x\n", "--group g", 2, "expected topic,partition,offset, with whole numbers, and found t,0,x"),
        ("t,0,4\ng,t,0,4\n", "--group g", 2, "expected topic,partition,offset, with whole numbers, and found g,t,0,4"),
        ("t,0,4\n", "--all-groups", 1, "expected group,topic,partition,offset, with whole numbers, and found t,0,4"),
        ('"t,0,4\n', "--group g", 1, "unexpected end of data"),
    ],
)
def test_a_file_with_a_malformed_line(
    groups: Groups, tmp_path: Path, text: str, arguments: str, where: int, expected: str
) -> None:
    groups.commit("g", {"t-0": 1})
    file = tmp_path / "plan.csv"
    file.write_text(text)
    done = groups("--reset-offsets", *arguments.split(), "--from-file", str(file), "--execute")
    assert done == Done(failed(f"{file}, line {where}: {expected}"), "", 0)
    assert groups.committed("g") == {"t-0": 1}


def test_files_that_say_nothing_of_a_group_or_can_not_be_read(groups: Groups, tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    file.write_text("other,t,0,4\n")
    line = ["--reset-offsets", "--from-file", str(file), "--dry-run"]
    assert groups(*line, "--group", "g") == Done(f"\nError: No reset plan for group g found\n{PLAN}", "", 0)
    file.write_text("t,0,-4\n")
    refused = groups(*line, "--group", "g")
    assert (refused.message, refused.stdout, refused.code) == ("Invalid negative offset", "", 1)
    file.write_text("\ufefft,0,4\n", encoding="utf-8")
    mark = f"{file} begins with a byte order mark: take that away (tail -c +4)"
    assert groups(*line, "--group", "g").stdout == failed(mark)
    file.write_text("t,3,4\n")
    assert groups(*line, "--group", "g").stdout == failed('The partitions "t-3" do not exist')
    file.write_text("t,0,44\n")
    assert groups(*line, "--group", "g").stdout == PLAN + plan_row("g", "t", 0, 6)
    file.write_text(
        ""
    )  # an error for Kafka's tool too ("No content to map due to end-of-input"), while an empty line is none
    assert groups(*line, "--group", "g").stdout == failed(f"{file} is empty: expected topic,partition,offset")
    file.write_text("\n")
    assert groups(*line, "--group", "g") == Done(f"\nError: No reset plan for group g found\n{PLAN}", "", 0)
    file.unlink()
    assert groups(*line, "--group", "g") == Done(failed(f"java.io.IOException: Unable to read file {file}"), "", 0)


# ------------------------------------------------------------------------------------------- delete and delete-offsets


def test_groups_are_deleted(groups: Groups) -> None:
    nothing = groups("--delete", "--all-groups")
    assert nothing == Done("Deletion of requested consumer groups () was successful.\n", "", 0)
    for group in "abc":
        groups.commit(group, {"t-0": 1})
    done = groups("--delete", "--group", "b", "--group", "a", "--group", "b")
    assert done == Done("Deletion of requested consumer groups ('a', 'b') was successful.\n", "", 0)
    assert groups("--list").stdout == "c\n"
    assert groups("--delete", "--all-groups").stdout == "Deletion of requested consumer groups ('c') was successful.\n"


def test_groups_that_can_not_be_deleted(groups: Groups) -> None:
    for group in ("a", "b"):
        groups.commit(group, {"t-0": 1})
    with groups.member("live", "t"):
        done = groups("--delete", "--group", "live", "--group", "missing", "--group", "b", "--group", "a")
    assert done == Done(
        "\nError: Deletion of some consumer groups failed:\n"
        "* Group 'live' could not be deleted due to: org.apache.kafka.common.errors.GroupNotEmptyException: "
        "The group is not empty.\n"
        f"* Group 'missing' could not be deleted due to: {NOT_FOUND}: The group id does not exist.\n"
        "\nThese consumer groups were deleted successfully: 'a', 'b'\n",
        "",
        0,
    )
    assert groups("--delete", "--group", "missing", PYKAFKA_STRICT_EXIT="1").code == 1


DELETED = "\nTOPIC           PARTITION  STATUS         \n"
SUCCESS = "Request succeeded for deleting offsets from group g.\n"
PARTLY = "\nError: Encountered some partition-level error, see the follow-up details.\n"
ERRORS = "Error: org.apache.kafka.common.errors."
UNKNOWN = f"{ERRORS}UnknownTopicOrPartitionException: This server does not host this topic-partition."


def status(topic: str, partition: str, text: str) -> str:
    return f"{topic:<15} {partition:<10} {text:<15}\n"


@pytest.mark.parametrize(
    ("topics", "said", "rows"),
    [
        ("t", SUCCESS, status("t", "0", "Successful")),
        ("t t:0 t", SUCCESS, status("t", "0", "Successful")),
        ("two:1", SUCCESS, status("two", "1", "Successful")),
        ("nosuch", SUCCESS, status("nosuch", "-", UNKNOWN)),
        ("nosuch two:0", SUCCESS, status("nosuch", "-", UNKNOWN) + status("two", "0", "Successful")),
        ("nosuch:3", PARTLY, status("nosuch", "3", UNKNOWN)),
        ("t:0,9", PARTLY, status("t", "0", "Successful") + status("t", "9", UNKNOWN)),
        (
            "a;b",
            SUCCESS,
            status(
                "a;b",
                "-",
                f"{ERRORS}InvalidTopicException: The request attempted to perform an operation on an invalid topic.",
            ),
        ),
    ],
)
def test_offsets_are_forgotten(groups: Groups, topics: str, said: str, rows: str) -> None:
    groups.commit("g", {"t-0": 1, "two-0": 1, "two-1": 1})
    arguments = [word for topic in topics.split() for word in ("--topic", topic)]
    assert groups("--delete-offsets", "--group", "g", *arguments) == Done(said + DELETED + rows, "", 0)
    left = groups.committed("g")
    assert {"t-0", "two-0", "two-1"} - left.keys() == {
        f"{topic}-{number}" for topic, number in re.findall(r"^(\w+) +(\d) +Successful", rows, re.MULTILINE)
    }
    strict = groups("--delete-offsets", "--group", "g", *arguments, PYKAFKA_STRICT_EXIT="1")
    assert strict.code == (1 if "Error" in said + rows else 0)


def test_partitions_come_in_the_order_of_their_names_as_text(groups: Groups) -> None:
    groups.admin.create_topic("many", partitions=12)
    groups.commit("g", {"many-3": 0})
    done = groups("--delete-offsets", "--group", "g", "--topic", "many")
    numbers = " ".join(line.split()[1] for line in done.stdout.splitlines()[3:])
    assert numbers == "0 1 10 11 2 3 4 5 6 7 8 9"


def test_offsets_of_topics_that_are_read_are_kept(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    with groups.member("g", "t") as live:
        live.commit()
        done = groups("--delete-offsets", "--group", "g", "--topic", "t", "--topic", "two:0")
        assert groups.committed("g") == {"t-0": 6}
    subscribed = (
        f"{ERRORS}GroupSubscribedToTopicException: Deleting offsets of a topic is forbidden while the consumer group "
        "is actively subscribed to it."
    )
    assert done.stdout == PARTLY + DELETED + status("t", "0", subscribed) + status("two", "0", "Successful")


@pytest.mark.parametrize(
    ("group", "name", "why"),
    [
        ("missing", "GroupIdNotFound", "The group id does not exist."),
        ("", "InvalidGroupId", "The group id is invalid."),
    ],
)
def test_offsets_of_a_group_that_is_not_there(groups: Groups, group: str, name: str, why: str) -> None:
    done = groups("--delete-offsets", "--group", group, "--topic", "t", "--topic", "nosuch")
    rows = status("nosuch", "-", UNKNOWN) + status("t", "0", f"{ERRORS}{name}Exception: {why}")
    assert done == Done(f"\nError: {why}\n{DELETED}{rows}", "", 0)


def test_forgotten_offsets_as_json_and_as_a_table(groups: Groups) -> None:
    groups.commit("g", {"t-0": 1})
    line = "--delete-offsets --group g --topic t --topic nosuch --output"
    assert [json.loads(text) for text in groups(*line.split(), "json").stdout.splitlines()] == [
        {"topic": "nosuch", "partition": None, "error": UNKNOWN.removeprefix("Error: ")},
        {"topic": "t", "partition": 0, "error": None},
    ]
    rows = groups(*line.split(), "table").stdout.splitlines()
    assert [rows[0].split(), rows[2].split()] == [["TOPIC", "PARTITION", "STATUS"], ["t", "0", "Successful"]]


# ------------------------------------------------------------------------------------- beside Apache Kafka's own tool

LINES = (
    "--list --state",
    "--describe --group missing",
    "--delete --group missing",
    "--reset-offsets --group g --topic two --to-offset 1 --execute",
    "--reset-offsets --group h --topic two:0 --topic empty --to-latest --execute",
    "--list --state --type",
    "--describe --group g --verbose",
    "--describe --all-groups",
    "--describe --all-groups --members --verbose",
    "--describe --group g --state",
    "--reset-offsets --group g --all-topics --shift-by 99 --dry-run",
    "--reset-offsets --group g --all-topics --by-duration PT1H",
    "--reset-offsets --group g --topic empty --to-datetime 2020-01-01T00:00:00.000 --dry-run",
    "--reset-offsets --group g --all-topics --to-current --export --dry-run",
    "--reset-offsets --group g --group h --topic two:1 --to-latest --export --dry-run",
    "--reset-offsets --group g --topic two:7 --to-latest --dry-run",
    "--reset-offsets --group g --topic nosuch --to-latest --dry-run",
    "--reset-offsets --group new --topic two:0 --shift-by 1 --dry-run",
    "--delete-offsets --group g --topic two:0,9 --topic nosuch",
    "--delete-offsets --group missing --topic two",
    "--delete --group h --group missing",
    "--validate-regex (a",
)
KEYS = (0, 2, 5, 1)
LIVE_LINES = (
    "--list --state --type",
    "--describe --group live",
    "--describe --group live --members",
    "--describe --group live --members --verbose",
    "--describe --group live --state --verbose",
    "--reset-offsets --group live --topic two --to-earliest --execute",
    "--delete --group live",
    "--delete-offsets --group live --topic two:0 --topic empty",
)


@pytest.mark.apache
@pytest.mark.timeout(240)
def test_apache_kafkas_own_tool_prints_the_same(groups: Groups) -> None:
    """But for the order of rows, which is that of a hash table there, and the coordinator's address."""
    differences = {}

    def compare(line: str) -> None:
        theirs = tools.run("kafka-consumer-groups", *line.split())
        ours = groups("--bootstrap-server", broker.bootstrap, *line.split(), PYKAFKA_EMBED="*")
        said = [sorted(without_uuids(text).split("\n")) for text in (theirs.stdout.decode(), ours.stdout)]
        if said[0] != said[1] or theirs.returncode != ours.code:
            differences[line] = (*said, theirs.returncode, ours.code)

    with apache.Broker(node_id=0) as broker, Tools(broker.bootstrap) as tools:
        for topic, partitions in (("two", "2"), ("empty", "1")):
            tools.run("kafka-topics", "--create", "--topic", topic, "--partitions", partitions)
        # Kafka's partitioner spreads these keys as the fixture spreads its records: three on partition 0, one on 1.
        keyed = "".join(f"{key}\tv\n" for key in KEYS)
        tools.run(
            "kafka-console-producer", "--topic", "two", "--reader-property", "parse.key=true", input=keyed.encode()
        )
        for line in LINES:
            compare(line)
        live = apache.start(
            "kafka-console-consumer", "--bootstrap-server", broker.bootstrap, "--topic", "two", "--group", "live",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with groups.member("live", "two", client_id="console-consumer", auto_offset_reset="latest") as member:
                member.commit()
                await_commit(tools)
                for line in LIVE_LINES:
                    compare(line)
        finally:
            live.send_signal(signal.SIGINT)
            live.wait(30)
    assert differences == {}


def await_commit(tools: Tools) -> None:
    """Until the console consumer has committed, which it does every five seconds."""
    deadline = time.monotonic() + 60
    while True:
        said = tools.run("kafka-consumer-groups", "--describe", "--group", "live").stdout
        if said.count(b"live ") == 2 and b" - " not in said:  # while it is rebalancing there are no rows
            return
        assert time.monotonic() < deadline
        time.sleep(0.5)
