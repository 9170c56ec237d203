"""kafka-get-offsets selects, asks and prints as Apache Kafka's does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from pykafka_store.errors import NotEnoughReplicasError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, PartitionDescription, TopicDescription, TopicListing, TopicPartition
from pykafka_store.open import open_cluster
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.in_process import Done, run

BAD_TIME = (
    "Malformed time argument {}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local"
    " / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp"
)
CONFLICT = "--topic-partitions cannot be used with --topic or --partitions"
BAD_LIST = "--partitions expects a comma separated list of numeric partition ids, but received: {}"
BAD_RULE = "org.apache.kafka.tools.TerseException: Invalid rule specification: {}"
NO_MATCH = "Could not match any topic-partitions with the specified filters"


# ------------------------------------------------------------------------- selecting, over a cluster that is made up


class FakeAdmin:
    """Topic i has i partitions, and partition p of it p records (GetOffsetShellTest)."""

    def __init__(self) -> None:
        self.partitions = {f"topic{count}": count for count in range(1, 5)} | {"__consumer_offsets": 4, "t": 12}
        self.failing: dict[TopicPartition, Exception] = {}
        self.asked: set[int] = set()

    def list_topics(self) -> list[TopicListing]:
        return [TopicListing(name, name, name.startswith("__")) for name in sorted(self.partitions)]

    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        assert names is not None
        return [
            TopicDescription(
                name,
                name,
                False,
                tuple(PartitionDescription(number, 0, 0, (0,), (0,)) for number in range(self.partitions[name])),
                (),
            )
            for name in names
        ]

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        self.asked |= set(at.values())
        return {partition: self.failing.get(partition, partition.partition) for partition in at}


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


def ask(*arguments: str, cluster: FakeCluster | None = None) -> Done:
    return run("kafka-get-offsets", *arguments, cluster=cluster or FakeCluster())


def numbers(done: Done) -> list[str]:
    """The partitions that were printed, as ``topic:partition``."""
    assert (done.stderr, done.code) == ("", 0)
    return [line.rpartition(":")[0] for line in done.stdout.splitlines()]


ALL_OF_T = [f"t:{number}" for number in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ("--topic t", ALL_OF_T),
        ("--topic t --partitions ,", ALL_OF_T),
        ("--topic t --partitions 0,3,11", ["t:0", "t:11", "t:3"]),
        ("--topic t --partitions +1,", ["t:1"]),
        ("--topic topic1,topic2", ["topic1:0", "topic2:0", "topic2:1"]),
        ("--topic topic. --partitions 3", ["topic4:3"]),
        ("--topic 'topic1'", ["topic1:0"]),
        ("--partitions 5 words", ["t:5"]),
        (
            "--topic-partitions topic1:0,topic2:1,topic(3|4):2,__.*:3",
            ["__consumer_offsets:3", "topic1:0", "topic2:1", "topic3:2", "topic4:2"],
        ),
        (
            "--topic-partitions :0 --exclude-internal-topics",
            ["t:0", "topic1:0", "topic2:0", "topic3:0", "topic4:0"],
        ),
        ("--topic-partitions t:1-3", ["t:1", "t:2"]),
        ("--topic-partitions t:10-", ["t:10", "t:11"]),
        ("--topic-partitions t:-3", ["t:0", "t:1", "t:2"]),
        ("--topic-partitions t:", ALL_OF_T),
        ("--topic-partitions t:-", ALL_OF_T),
        ("--topic-partitions t", ALL_OF_T),
        ("--topic-partitions t:1,t:1,t:0-2,", ["t:0", "t:1"]),
    ],
)
def test_partitions_are_selected(options: str, selected: list[str]) -> None:
    assert numbers(ask(*options.split())) == selected


def test_the_empty_list_of_rules_allows_everything() -> None:
    everything = numbers(ask("--topic", ".*"))
    assert len(everything) == 12 + 4 + 10
    assert numbers(ask("--topic-partitions", "")) == everything
    assert numbers(ask("--topic-partitions", ":")) == everything
    assert numbers(ask("--topic-partitions", " t:1")) == ["t:1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topic", "none"], NO_MATCH),
        (["--topic", ""], NO_MATCH),
        (["--topic", "t", "--partitions", "99"], NO_MATCH),
        (["--topic", "t", "--partitions", "-1"], NO_MATCH),
        (["--topic", "__consumer_offsets", "--exclude-internal-topics"], NO_MATCH),
        (["--topic-partitions", "t:5-3"], NO_MATCH),
        (["--topic-partitions", ","], NO_MATCH),
        (["--topic-partitions", "X", "--topic", "Y"], CONFLICT),
        (["--topic-partitions", "X", "--partitions", "0"], CONFLICT),
        (["--partitions", "0,x"], BAD_LIST.format("0,x")),
        (["--partitions", "0,,1"], BAD_LIST.format("0,,1")),
        (["--topic-partitions", "t:0,bad:x:y"], BAD_RULE.format("bad:x:y")),
        (["--topic-partitions", "t:1-x"], BAD_RULE.format("t:1-x")),
        (["--topic-partitions", "t:99999999999"], 'For input string: "99999999999"'),
        (["--topic", "["], "[ is an invalid regex."),
        (["--topic-partitions", "[a:0"], "[a is an invalid regex."),
        (["--topic", "t", "--topic", "u"], "Found multiple arguments for option topic, but you asked for only one"),
        (["--time", "-1", "--time", "-2"], "Found multiple arguments for option time, but you asked for only one"),
        (["--topic"], "Option topic requires an argument"),
        (["--broker-list", "x:1"], "broker-list is not a recognized option"),
        (["--version", "--foo"], "foo is not a recognized option"),
        (["--command-config", "/nonexistent"], "/nonexistent can't be read: No such file or directory"),
        *((["--time", text], BAD_TIME.format(text)) for text in ("abc", "LATEST", "", "1.5", "9223372036854775808")),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_said_on_stderr(options: list[str], message: str) -> None:
    assert ask(*options) == Done("", f"Error occurred: {message}\n", 1)


def test_without_arguments_the_usage_is_shown() -> None:
    done = ask()
    assert (done.message, done.stdout, done.code) == (
        "An interactive shell for getting topic-partition offsets.",
        "",
        1,
    )
    assert ask("--version") == Done("4.3.1\n", "", 0)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("-1", OffsetAt.LATEST),
        ("latest", OffsetAt.LATEST),
        ("-2", OffsetAt.EARLIEST),
        ("earliest", OffsetAt.EARLIEST),
        ("-3", OffsetAt.MAX_TIMESTAMP),
        ("max-timestamp", OffsetAt.MAX_TIMESTAMP),
        ("-4", OffsetAt.EARLIEST_LOCAL),
        ("earliest-local", OffsetAt.EARLIEST_LOCAL),
        ("-5", OffsetAt.LATEST_TIERED),
        ("latest-tiered", OffsetAt.LATEST_TIERED),
        ("0", 0),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_a_time_has_a_name_or_a_number(text: str, asked: int) -> None:
    cluster = FakeCluster()
    assert numbers(ask("--topic", "topic1", "--time", text, cluster=cluster)) == ["topic1:0"]
    assert cluster.fake_admin.asked == {asked}


@pytest.mark.parametrize("text", ["-6", "earliest-pending-upload", "-5", "latest-tiered"])
def test_nothing_is_uploaded_so_nothing_answers(text: str, tmp_path: Path) -> None:
    with open_cluster(tmp_path / "data") as cluster, cluster.producer() as producer:
        producer.send("t", [b"a"])
    assert run("kafka-get-offsets", "--topic", "t", data_dir=tmp_path / "data") == Done("t:0:1\n", "", 0)
    assert run("kafka-get-offsets", "--topic", "t", "--time", text, data_dir=tmp_path / "data") == Done("", "", 0)


def test_a_time_that_stands_for_nothing_is_not_supported() -> None:
    why = "org.apache.kafka.common.errors.UnsupportedVersionException: The version of API is not supported."
    message = f"Skip getting offsets for topic-partition topic1-0 due to error: {why}\n"
    assert ask("--topic", "topic1", "--time", "-7") == Done("", message, 0)


def test_one_partition_that_fails_does_not_hide_the_others() -> None:
    cluster = FakeCluster()
    cluster.fake_admin.failing = {
        TopicPartition("topic3", 1): NotEnoughReplicasError("no leader"),
        TopicPartition("topic3", 2): UnknownTopicOrPartitionError("gone"),
    }
    done = ask("--topic", "topic3", cluster=cluster)
    skip = "Skip getting offsets for topic-partition topic3-{} due to error: org.apache.kafka.common.errors.{}\n"
    assert done.stdout == "topic3:0:0\n"
    assert done.stderr == skip.format(1, "NotEnoughReplicasException: no leader") + skip.format(
        2, "UnknownTopicOrPartitionException: gone"
    )
    assert done.code == 0
    strict = run("kafka-get-offsets", "--topic", "topic3", cluster=cluster, environ={"PYKAFKA_STRICT_EXIT": "1"})
    assert strict.code == 1


# --------------------------------------------------------------------------------------------------- over real logs


TIMES = (1_600_000_000_000, 1_600_000_001_000, 1_600_000_002_000)


@pytest.fixture
def timed(tmp_path: Path) -> Path:
    """A topic ``timed`` with three records, a second apart, and one without any."""
    with open_cluster(tmp_path / "data") as cluster:
        cluster.admin().create_topic("timed")
        cluster.admin().create_topic("empty")
        with cluster.producer() as producer:
            for time in TIMES:
                producer.send("timed", [b"x"], timestamps=time)
                producer.flush()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("time", "printed"),
    [
        ("latest", "empty:0:0\ntimed:0:3\n"),
        ("earliest", "empty:0:0\ntimed:0:0\n"),
        ("earliest-local", "empty:0:0\ntimed:0:0\n"),
        ("latest-tiered", ""),
        ("max-timestamp", "timed:0:2\n"),
        ("0", "timed:0:0\n"),
        (str(TIMES[0]), "timed:0:0\n"),
        (str(TIMES[0] + 1), "timed:0:1\n"),
        (str(TIMES[1]), "timed:0:1\n"),
        (str(TIMES[2]), "timed:0:2\n"),
        (str(TIMES[2] + 1), ""),
    ],
)
def test_a_partition_without_an_answer_is_left_out(timed: Path, time: str, printed: str) -> None:
    assert run("kafka-get-offsets", "--topic", "timed|empty", "--time", time, data_dir=timed) == Done(printed, "", 0)


@pytest.mark.apache
@pytest.mark.timeout(180)
def test_apache_kafkas_own_tool_prints_the_same(tmp_path: Path) -> None:
    """The same records by the same keys, in Kafka and in a directory."""
    lines = [b"%d\tx" % number for number in range(40)]
    keyed = ("--reader-property", "parse.key=true")
    questions = (
        ["--topic", "t"],
        ["--topic", "t", "--time", "earliest"],
        ["--topic-partitions", "t:2-5,none:1"],
        ["--topic", "t", "--partitions", "7,1"],
        ["--topic", "t", "--time", "99999999999999"],
        ["--topic", "none"],
    )
    with open_cluster(tmp_path / "data") as cluster:
        cluster.admin().create_topic("t", partitions=12)
        with cluster.producer() as producer:
            producer.send("t", [b"x"] * len(lines), keys=[line.partition(b"\t")[0] for line in lines])
    with apache.Broker() as broker, Tools(broker.bootstrap) as tools:
        assert tools.run("kafka-topics", "--create", "--topic", "t", "--partitions", "12").returncode == 0
        tools.run("kafka-console-producer", "--topic", "t", *keyed, input=b"\n".join(lines) + b"\n")
        for question in questions:
            theirs = tools.run("kafka-get-offsets", *question)
            ours = run("kafka-get-offsets", *question, data_dir=tmp_path / "data")
            assert (ours.stdout, ours.stderr, ours.code) == (
                theirs.stdout.decode(),
                theirs.stderr.decode(),
                theirs.returncode,
            )
