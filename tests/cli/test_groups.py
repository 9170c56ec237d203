"""kafka-groups. Expected texts are those of Apache Kafka 4.3.1's GroupsCommand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.api import Cluster
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.support.in_process import Done, run

HEADING = f"{'GROUP':<20} {'TYPE':<20} {'PROTOCOL':<20}\n"


def row(*items: str) -> str:
    return "".join(f"{item:<20} " for item in items) + "\n"


CLASSIC = row("classic", "Classic", "consumer")
MODERN = row("modern", "Consumer", "consumer")
SIMPLE = row("simple", "Classic", "")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cluster(directory: Path) -> Iterator[Cluster]:
    """A classic group that had a member, a modern one that has one, and one that only ever committed."""
    with open_cluster(f"file:{directory}") as opened:
        opened.admin().create_topic("t")
        with opened.consumer({"group.id": "classic", "auto.offset.reset": "earliest"}) as gone:
            gone.subscribe(["t"])
            gone.poll(0.1)
        opened.admin().alter_group_offsets("simple", {TopicPartition("t", 0): 0})
        with opened.consumer({"group.id": "modern", "group.protocol": "consumer"}) as member:
            member.subscribe(["t"])
            member.poll(0.1)
            yield opened


def test_no_groups_are_a_heading(directory: Path) -> None:
    assert run("kafka-groups", "--list", data_dir=directory) == Done(HEADING, "", 0)
    assert run("kafka-groups", "--list", "--output", "json", data_dir=directory) == Done("", "", 0)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", CLASSIC + MODERN + SIMPLE),
        ("--consumer", CLASSIC + MODERN + SIMPLE),
        ("--share", ""),
        ("--streams", ""),
        ("--group-type classic", CLASSIC + SIMPLE),
        ("--group-type CONSUMER", MODERN),
        ("--group-type share", ""),
        ("--group-type Streams", ""),
        ("--group-type classic --protocol consumer", CLASSIC),
        ("--group-type consumer --protocol x", ""),
        ("--protocol consumer", CLASSIC + MODERN),
        ("--protocol=", SIMPLE),
        ("--protocol nosuch", ""),
        ("words --list", CLASSIC + MODERN + SIMPLE),
    ],
)
def test_groups_are_listed_by_type_and_protocol(directory: Path, line: str, rows: str) -> None:
    assert run("kafka-groups", "--list", *line.split(), data_dir=directory) == Done(HEADING + rows, "", 0)


def test_columns_are_as_wide_as_the_longest_value_in_any(cluster: Cluster, directory: Path) -> None:
    name = "a-group-with-a-rather-long-name"
    cluster.admin().alter_group_offsets(name, {TopicPartition("t", 0): 0})
    first, second = run("kafka-groups", "--list", data_dir=directory).stdout.splitlines()[:2]
    assert first == f"{'GROUP':<31} {'TYPE':<31} {'PROTOCOL':<31}"
    assert second == f"{name} {'Classic':<31} {'':<31} "


@pytest.mark.usefixtures("cluster")
def test_groups_as_json_and_as_a_table(directory: Path) -> None:
    as_json = run("kafka-groups", "--list", "--output", "json", data_dir=directory).stdout
    assert [json.loads(line) for line in as_json.splitlines()] == [
        {"group": "classic", "type": "Classic", "protocol": "consumer", "state": "Empty"},
        {"group": "modern", "type": "Consumer", "protocol": "consumer", "state": "Stable"},
        {"group": "simple", "type": "Classic", "protocol": "", "state": "Empty"},
    ]
    as_table = run("kafka-groups", "--list", "--output", "table", data_dir=directory).stdout.splitlines()
    assert as_table[0].split() == ["GROUP", "TYPE", "PROTOCOL", "STATE"]
    assert as_table[2].split() == ["modern", "Consumer", "consumer", "Stable"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "This tool helps to list groups of all types."),
        ("--help", "This tool helps to list groups of all types."),
        ("--consumer", "Command must include exactly one action: --list."),
        ("--describe", "describe is not a recognized option"),
        ("--list --protocol", "Option protocol requires an argument"),
        ("--list --consumer --share", 'Option "[consumer]" can\'t be used with option "[share]"'),
        ("--list --consumer --group-type classic", 'Option "[consumer]" can\'t be used with option "[group-type]"'),
        ("--list --consumer --protocol x", 'Option "[consumer]" can\'t be used with option "[protocol]"'),
        ("--list --share --protocol x", 'Option "[share]" can\'t be used with option "[protocol]"'),
        ("--list --streams --share", 'Option "[share]" can\'t be used with option "[streams]"'),
        ("--list --streams --group-type share", 'Option "[streams]" can\'t be used with option "[group-type]"'),
        ("--list --output yaml", "--output must be one of text, table, json, not yaml"),
    ],
)
def test_a_command_line_that_makes_no_sense(directory: Path, line: str, message: str) -> None:
    done = run("kafka-groups", *line.split(), data_dir=directory)
    assert (done.message, done.stdout, done.code) == (message, "", 1)
    assert "\nUsage: " in done.stderr
    assert not directory.exists()


@pytest.mark.parametrize("kind", ["bad", "", "unknown"])
def test_an_unknown_type_is_refused_without_help(directory: Path, kind: str) -> None:
    done = run("kafka-groups", "--list", "--group-type", kind, data_dir=directory)
    assert done == Done("", "--group-type must be a valid group type.\n", 1)


def test_values_given_twice(directory: Path) -> None:
    twice = "Found multiple arguments for option {}, but you asked for only one"
    done = run("kafka-groups", "--list", "--group-type", "classic", "--group-type", "share", data_dir=directory)
    assert done == Done("", twice.format("group-type") + "\n", 1)
    done = run("kafka-groups", "--list", "--protocol", "a", "--protocol", "b", data_dir=directory)
    assert done == Done(f"Error while executing groups command : {twice.format('protocol')}\n", "", 1)


def test_a_file_that_is_not_there(directory: Path) -> None:
    done = run("kafka-groups", "--list", "--command-config", "/nonexistent", data_dir=directory)
    assert done == Done("", "/nonexistent can't be read: No such file or directory\n", 1)


def test_an_error_of_the_cluster_is_logged_with_its_name(directory: Path) -> None:
    directory.write_text("a file")
    done = run("kafka-groups", "--list", data_dir=directory)
    assert done.stdout.startswith("Error while executing groups command : ") and done.code == 1
    assert " ERROR org.apache.kafka.common.errors.KafkaStorageException: " in done.stderr
    assert done.stderr.endswith("\n (org.apache.kafka.tools.GroupsCommand)\n")


def test_the_version_is_kafkas(directory: Path) -> None:
    assert run("kafka-groups", "--version", data_dir=directory) == Done("4.3.1\n", "", 0)
