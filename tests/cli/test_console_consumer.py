"""kafka-console-consumer: what it reads, from where, how far, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from pykafka_store.errors import CorruptRecordError, StoreError
from pykafka_store.model import OffsetAt, Records, TopicPartition
from pykafka_store.open import open_cluster
from tests.support.console import PATIENCE, Tool, measured, produce
from tests.support.in_process import NOW, Done, run

LOG = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,250\] ERROR "
LOGGER = r" \(org\.apache\.kafka\.tools\.consumer\.ConsoleConsumer\)\n"
ENDED = f"{LOG}Error processing message, terminating consumer process: {LOGGER}"
SKIPPED = f"{LOG}Error processing message, skipping this message: {LOGGER}"
UNKNOWN = f"{LOG}Unknown error when running consumer: {LOGGER}"
TIMEOUT = ENDED + r"org\.apache\.kafka\.common\.errors\.TimeoutException\n"
NOW_MS = int(NOW * 1000)
LONG = "org.apache.kafka.common.serialization.LongDeserializer"
NOT_A_LONG = (
    r"org\.apache\.kafka\.common\.errors\.SerializationException: "
    r"Size of data received by LongDeserializer is not 8\n"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Topics ten, m0 to m9; parts, p0 to p8 dealt to three partitions; none, two empty partitions; inc.a, inc.b."""
    path = tmp_path / "data"
    with open_cluster(path) as cluster:
        for topic, partitions in (("ten", 1), ("parts", 3), ("none", 2), ("inc.a", 1), ("inc.b", 1)):
            cluster.admin().create_topic(topic, partitions=partitions, configs={"retention.ms": "-1"})
        with cluster.producer() as producer:
            producer.send("ten", [b"m%d" % number for number in range(10)])
            producer.send("parts", [b"p%d" % number for number in range(9)], partitions=[0, 1, 2] * 3)
            producer.send("inc.a", [b"a"])
            producer.send("inc.b", [b"b"])
    return path


def consume(directory: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Done:
    return run("kafka-console-consumer", *arguments, data_dir=directory, environ=environ)


def count_line(count: int) -> str:
    return f"Processed a total of {count} messages\n"


def all_of(*names: str) -> str:
    return "".join(f"{name}\n" for name in names)


TEN = [f"m{number}" for number in range(10)]


# --------------------------------------------------------------------------------------------------- where it starts


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--from-beginning"], TEN),
        ([], []),
        (["--command-property", "auto.offset.reset=earliest"], TEN),
        (["--command-property", "auto.offset.reset=earliest", "--from-beginning"], TEN),
        (["--partition", "0"], []),
        (["--partition", "0", "--from-beginning"], TEN),
        (["--partition", "0", "--offset", "earliest"], TEN),
        (["--partition", "0", "--offset", "EARLIEST"], TEN),
        (["--partition", "0", "--offset", "LatEst"], []),
        (["--partition", "0", "--offset", "7"], TEN[7:]),
        (["--partition", "0", "--offset", "+7"], TEN[7:]),
        (["--partition", "0", "--offset", "007"], TEN[7:]),
        (["--partition", "0", "--offset", "10"], []),
        (["--partition", "0", "--offset", "99"], []),
        (["--tail", "3"], TEN[-3:]),
        (["--tail", "0"], []),
        (["--tail", "10"], TEN),
        (["--tail", "1000"], TEN),
        (["--tail", "2", "--partition", "0"], TEN[-2:]),
        (["--tail", "2", "--command-property", "auto.offset.reset=none"], TEN[-2:]),
        (["--isolation-level", "read_committed", "--from-beginning"], TEN),
        (["words", "--from-beginning", "that", "mean", "nothing"], TEN),
    ],
)
def test_reading_begins_where_it_is_asked_to(directory: Path, arguments: list[str], expected: list[str]) -> None:
    done = consume(directory, "--topic", "ten", "--exit-at-end", *arguments)
    assert done == Done(all_of(*expected), count_line(len(expected)), 0)


def test_a_position_beyond_the_end_is_reset(directory: Path) -> None:
    reset = ("--command-property", "auto.offset.reset=earliest")
    done = consume(directory, "--topic", "ten", "--partition", "0", "--offset", "99", *reset, "--max-messages", "2")
    assert done == Done(all_of("m0", "m1"), count_line(2), 0)


def test_a_position_beyond_the_end_is_an_error_where_nothing_is_to_be_reset(directory: Path) -> None:
    reset = ("--command-property", "auto.offset.reset=none")
    done = consume(directory, "--topic", "ten", "--partition", "0", "--offset", "99", *reset, "--timeout-ms", "1")
    assert re.fullmatch(
        ENDED + r"org\.apache\.kafka\.clients\.consumer\.OffsetOutOfRangeException: .*ten-0.*\n" + count_line(0),
        done.stderr,
    )
    assert (done.stdout, done.code) == ("", 1)


def test_without_a_group_there_is_no_offset_but_what_the_reset_says(directory: Path) -> None:
    done = consume(directory, "--topic", "parts", "--command-property", "auto.offset.reset=none")
    assert re.fullmatch(
        ENDED + r"org\.apache\.kafka\.clients\.consumer\.NoOffsetForPartitionException: Undefined offset with no reset "
        r"policy for partitions: \[parts-0, parts-1, parts-2\]\n" + count_line(0),
        done.stderr,
    )
    assert done.code == 1


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("PT1H", ["b", "c"]), ("P0DT3H", ["a", "b", "c"]), ("pt59m60.5s", ["b", "c"]), ("PT1S", []),
     ("PT1,5S", []), ("PT1.S", []), ("PT1H-30M", ["c"]), ("P100000D", ["a", "b", "c"])],
)  # fmt: skip
def test_reading_can_begin_with_what_is_not_older_than_so_long(
    directory: Path, duration: str, expected: list[str]
) -> None:
    stamps = (NOW_MS - 7_200_000, NOW_MS - 3_600_000, NOW_MS - 1_800_000)
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("none", [b"a", b"b", b"c"], timestamps=stamps, partitions=1)
    reset = ("--command-property", f"auto.offset.reset=by_duration:{duration}")
    done = consume(directory, "--topic", "none", *reset, "--exit-at-end")
    assert done == Done(all_of(*expected), count_line(len(expected)), 0)


@pytest.mark.parametrize(
    "reset",
    ["bogus", "EARLIEST", "", "by_duration:x", "by_duration:P", "by_duration:PT", "by_duration:-PT1H",
     "by_duration", "by_duration:P1DT", "by_duration:PT1.1234567891S", "by_duration:P99999999999999999D"],
)  # fmt: skip
@pytest.mark.parametrize("group", [(), ("--group", "g")])
def test_a_reset_that_is_none_is_refused_in_kafkas_words(directory: Path, reset: str, group: tuple[str, ...]) -> None:
    done = consume(directory, "--topic", "ten", *group, "--command-property", f"auto.offset.reset={reset}")
    assert re.fullmatch(
        UNKNOWN
        + re.escape(
            f"org.apache.kafka.common.config.ConfigException: Invalid value {reset} for configuration "
            f"auto.offset.reset: Invalid value `{reset}` for configuration auto.offset.reset. The value must be either "
            "'earliest', 'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS.>'.\n"
        ),
        done.stderr,
    )
    assert (done.stdout, done.code) == ("", 1)


# ---------------------------------------------------------------------------------------------------- what is read


def test_all_partitions_of_a_topic_are_read(directory: Path) -> None:
    done = consume(directory, "--topic", "parts", "--from-beginning", "--exit-at-end")
    assert sorted(done.stdout.split()) == [f"p{number}" for number in range(9)]
    assert (done.stderr, done.code) == (count_line(9), 0)


def test_one_partition_can_be_read_alone(directory: Path) -> None:
    done = consume(directory, "--topic", "parts", "--partition", "1", "--from-beginning", "--exit-at-end")
    assert done == Done(all_of("p1", "p4", "p7"), count_line(3), 0)


def test_the_tail_is_that_of_each_partition(directory: Path) -> None:
    done = consume(directory, "--topic", "parts", "--tail", "1", "--exit-at-end")
    assert sorted(done.stdout.split()) == ["p6", "p7", "p8"]


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        ("inc.*", ["a", "b"]),
        ("inc", []),
        (r"inc\.a|inc\.b", ["a", "b"]),
        ("inc.a,inc.b", []),
        ("(?i)INC.A", ["a"]),
        ("nomatch", []),
    ],
)
def test_include_reads_the_topics_whose_whole_name_matches(directory: Path, regex: str, expected: list[str]) -> None:
    done = consume(directory, "--include", regex, "--from-beginning", "--exit-at-end")
    assert sorted(done.stdout.split()) == expected
    assert (done.stderr, done.code) == (count_line(len(expected)), 0)


def test_include_leaves_internal_topics_out_unless_asked(directory: Path) -> None:
    with open_cluster(directory) as cluster:
        cluster.admin().create_topic("__consumer_offsets")
        with cluster.producer() as producer:
            producer.send("__consumer_offsets", [b"internal"])
    arguments = ("--include", "__.*", "--from-beginning", "--exit-at-end")
    assert consume(directory, *arguments).stdout == ""
    arguments += ("--command-property", "exclude.internal.topics=false")
    assert consume(directory, *arguments).stdout == "internal\n"
    assert consume(directory, "--topic", "__consumer_offsets", *arguments[2:4]).stdout == "internal\n"


@pytest.mark.parametrize("selection", [["--topic", "new"], ["--topic", "new", "--partition", "0"]])
def test_a_missing_topic_is_made_as_a_broker_would(directory: Path, selection: list[str]) -> None:
    done = consume(directory, *selection, "--exit-at-end")
    assert (done.stdout, done.code) == ("", 0)
    assert done.stderr.endswith(count_line(0))
    with open_cluster(directory) as cluster:
        assert "new" in [topic.name for topic in cluster.admin().list_topics()]


def test_a_missing_topic_that_may_not_be_made_is_an_error(directory: Path) -> None:
    done = consume(directory, "--topic", "new", "--command-property", "allow.auto.create.topics=false")
    assert re.match(ENDED + r"org\.apache\.kafka\.common\.errors\.UnknownTopicOrPartitionException: .*new", done.stderr)
    assert (done.stdout, done.code) == ("", 1)


@pytest.mark.parametrize("partition", ["3", "-1"])
def test_a_missing_partition_is_an_error(directory: Path, partition: str) -> None:
    done = consume(directory, "--topic", "parts", "--partition", partition)
    assert re.fullmatch(
        ENDED + r"org\.apache\.kafka\.common\.errors\.UnknownTopicOrPartitionException: Topic parts has no partition "
        rf"{partition}\.\n" + count_line(0),
        done.stderr,
    )
    assert (done.stdout, done.code) == ("", 1)


# -------------------------------------------------------------------------------------------------------- how far


@pytest.mark.parametrize(("limit", "expected"), [("0", []), ("3", TEN[:3]), ("10", TEN), ("-5", [])])
def test_reading_ends_after_so_many_records(directory: Path, limit: str, expected: list[str]) -> None:
    done = consume(directory, "--topic", "ten", "--from-beginning", "--max-messages", limit)
    assert done == Done(all_of(*expected), count_line(len(expected)), 0)


def test_the_limit_counts_over_all_partitions(directory: Path) -> None:
    done = consume(directory, "--topic", "parts", "--from-beginning", "--max-messages", "5")
    assert (len(done.stdout.split()), done.stderr, done.code) == (5, count_line(5), 0)


@pytest.mark.parametrize("limit", ["-1", "11"])
def test_a_timeout_is_logged_and_is_no_failure(directory: Path, limit: str) -> None:
    arguments = ("--topic", "ten", "--from-beginning", "--max-messages", limit, "--timeout-ms", "1")
    done = consume(directory, *arguments)
    assert re.fullmatch(TIMEOUT + count_line(10), done.stderr)
    assert (done.stdout, done.code) == (all_of(*TEN), 0)
    assert consume(directory, *arguments, environ={"PYKAFKA_STRICT_EXIT": "1"}).code == 1


@pytest.mark.parametrize("topic", ["none", "ten", "parts"])
def test_the_end_comes_at_once_where_there_is_nothing(directory: Path, topic: str) -> None:
    assert consume(directory, "--topic", topic, "--exit-at-end") == Done("", count_line(0), 0)


class GappedConsumer:
    """A cluster and its consumer over partitions whose offsets have gaps, and which grow while they are read."""

    def __init__(self, offsets: Mapping[TopicPartition, Sequence[int]], ends: Mapping[TopicPartition, int]) -> None:
        self._offsets = offsets
        self._ends = dict(ends)
        self._positions: dict[TopicPartition, int] = {}
        self.grown: Mapping[TopicPartition, int] = {}
        """Ends that the partitions have from the first poll on."""
        self.failure: StoreError | None = None

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> GappedConsumer:
        return GappedConsumer(self._offsets, self._ends) if self._positions else self

    def subscribe(self, topics: object = None, *, pattern: object = None, start: OffsetAt = OffsetAt.LATEST) -> None:
        self.assign(dict.fromkeys(self._offsets, start))

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        self._positions = {}
        for partition, at in positions.items():
            self._positions[partition] = {-1: self._ends[partition], -2: 0}.get(at, int(at))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def assignment(self) -> tuple[TopicPartition, ...]:
        return tuple(self._positions)

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._ends[partition] for partition in partitions}

    def poll(self, timeout: float = 0.0, max_records: int | None = None) -> list[Records]:
        if self.failure is not None:
            raise self.failure
        self._ends |= self.grown
        runs = []
        for partition, position in self._positions.items():
            # Three at a time, so that a partition takes several polls.
            some = [at for at in self._offsets[partition] if position <= at < self._ends[partition]][
                : max_records or 3
            ][:3]
            self._positions[partition] = some[-1] + 1 if len(some) == 3 else self._ends[partition]
            if max_records is not None and some:
                self._positions[partition] = some[-1] + 1
            if some:
                runs.append(
                    Records(
                        *partition,
                        offsets=some,
                        timestamps=[0] * len(some),
                        keys=[None] * len(some),
                        values=[b"%d:%d" % (partition.partition, at) for at in some],
                        headers=[()] * len(some),
                    )
                )
        return runs

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


GAPPED = {
    TopicPartition("g", 0): [0, 1, 2, 10, 11, 50, 51, 52, 90, 97],
    TopicPartition("g", 1): [],
    TopicPartition("g", 2): [5],
}
ENDS = {TopicPartition("g", 0): 95, TopicPartition("g", 1): 40, TopicPartition("g", 2): 6}


def consume_gapped(*arguments: str, grown: Mapping[TopicPartition, int] | None = None) -> Done:
    cluster = GappedConsumer(GAPPED, ENDS)
    cluster.grown = grown or {}
    return run("kafka-console-consumer", "--topic", "g", *arguments, cluster=cluster)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["0:90", "2:5"]),
        (2, ["0:52", "0:90", "2:5"]),
        (5, ["0:11", "0:50", "0:51", "0:52", "0:90", "2:5"]),
        (8, ["0:1", "0:2", "0:10", "0:11", "0:50", "0:51", "0:52", "0:90", "2:5"]),
        (9, ["0:0", "0:1", "0:2", "0:10", "0:11", "0:50", "0:51", "0:52", "0:90", "2:5"]),
        (94, ["0:0", "0:1", "0:2", "0:10", "0:11", "0:50", "0:51", "0:52", "0:90", "2:5"]),
    ],
)
def test_the_tail_counts_records_and_not_offsets(count: int, expected: list[str]) -> None:
    done = consume_gapped("--tail", str(count), "--exit-at-end")
    assert sorted(done.stdout.split()) == sorted(expected)
    assert (done.stderr, done.code) == (count_line(len(expected)), 0)


def test_the_limit_does_not_count_what_the_tail_skips() -> None:
    done = consume_gapped("--tail", "5", "--max-messages", "4")
    assert len(done.stdout.split()) == 4
    assert set(done.stdout.split()) <= {"0:11", "0:50", "0:51", "0:52", "0:90", "2:5"}


def test_the_end_is_that_of_the_start() -> None:
    """What comes while the rest is read is not printed, and gaps at the end are no reason to wait."""
    done = consume_gapped("--from-beginning", "--exit-at-end", grown={TopicPartition("g", 0): 100})
    assert sorted(done.stdout.split()) == sorted(
        ["0:0", "0:1", "0:2", "0:10", "0:11", "0:50", "0:51", "0:52", "0:90", "2:5"]
    )
    assert (done.stderr, done.code) == (count_line(10), 0)


def test_an_error_while_reading_is_logged_counted_and_makes_the_end_bad() -> None:
    cluster = GappedConsumer(GAPPED, ENDS)
    cluster.failure = CorruptRecordError("g-0 is damaged at offset 3 (file)")
    done = run("kafka-console-consumer", "--topic", "g", cluster=cluster)  # type: ignore[arg-type]
    assert re.fullmatch(
        ENDED + r"org\.apache\.kafka\.common\.errors\.CorruptRecordException: g-0 is damaged at offset 3 \(file\)\n"
        + count_line(0),
        done.stderr,
    )  # fmt: skip
    assert (done.stdout, done.code) == ("", 1)


# ------------------------------------------------------------------------------------------------- what is printed


def test_the_formatter_gets_its_properties_and_a_property_wins_over_a_file_case_65(
    directory: Path, tmp_path: Path
) -> None:
    config = tmp_path / "formatter.properties"
    config.write_text("print.key=false\nprint.offset=true\n")
    arguments = ("--topic", "ten", "--from-beginning", "--max-messages", "1", "--formatter-config", str(config))
    assert consume(directory, *arguments).stdout == "Offset:0\tm0\n"
    assert consume(directory, *arguments, "--formatter-property", "print.key=true").stdout == "Offset:0\tnull\tm0\n"


def test_a_deserializer_property_wins_over_the_option(directory: Path) -> None:
    string = "org.apache.kafka.common.serialization.StringDeserializer"
    arguments = ("--topic", "ten", "--from-beginning", "--max-messages", "1", "--value-deserializer", LONG)
    assert consume(directory, *arguments, "--formatter-property", f"value.deserializer={string}").stdout == "m0\n"
    empty = ("--topic", "ten", "--from-beginning", "--max-messages", "1", "--value-deserializer", "")
    assert consume(directory, *empty).stdout == "m0\n"


@pytest.fixture
def mixed(directory: Path) -> Path:
    """none-0 holds two longs, and between them a record that is none."""
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("none", [bytes(7) + b"\x01", b"no", bytes(7) + b"\x02"], partitions=0)
    return directory


LONGS = ("--topic", "none", "--from-beginning", "--exit-at-end", "--value-deserializer", LONG)


def test_a_record_that_can_not_be_formatted_ends_it(mixed: Path) -> None:
    done = consume(mixed, *LONGS, "--formatter-property", "print.offset=true")
    assert done.stdout == "Offset:0\t1\nOffset:1\t"
    assert re.fullmatch(
        count_line(2) + UNKNOWN + NOT_A_LONG,
        done.stderr,
    )
    assert done.code == 1


def test_a_record_that_can_not_be_formatted_can_be_skipped(mixed: Path) -> None:
    done = consume(mixed, *LONGS, "--skip-message-on-error")
    assert re.fullmatch(
        SKIPPED + NOT_A_LONG + count_line(3),
        done.stderr,
    )
    assert (done.stdout, done.code) == ("1\n2\n", 0)
    assert consume(mixed, *LONGS, "--skip-message-on-error", environ={"PYKAFKA_STRICT_EXIT": "1"}).code == 1


def test_the_output_can_be_json_that_the_producer_reads(directory: Path, tmp_path: Path) -> None:
    done = consume(directory, "--topic", "parts", "--from-beginning", "--exit-at-end", "--output", "json")
    assert [json.loads(line)["topic"] for line in done.stdout.splitlines()] == ["parts"] * 9
    copy = tmp_path / "copy"
    with open_cluster(copy) as cluster:
        cluster.admin().create_topic("parts", partitions=3)
    assert produce(copy, done.stdout, "--topic", "parts", "--input", "json").code == 0
    again = consume(copy, "--topic", "parts", "--from-beginning", "--exit-at-end", "--output", "json")
    assert sorted(again.stdout.splitlines()) == sorted(done.stdout.splitlines())


def test_system_tests_are_told_of_the_end(directory: Path) -> None:
    done = consume(directory, "--topic", "ten", "--tail", "1", "--exit-at-end", "--enable-systest-events")
    assert done == Done("m9\nshutdown_complete\n", count_line(1), 0)


# -------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "This tool helps to read data from Kafka topics and outputs it to standard output."),
        (["--exit-at-end"], "Exactly one of the following arguments is required: [topic], [include]"),
        (["--topic", "a", "--include", "b"], "Exactly one of the following arguments is required: [topic], [include]"),
        (["--whitelist", "x"], "whitelist is not a recognized option"),
        (["--include", "test.*", "--partition", "0"], "The topic is required when partition is specified."),
        (
            ["--topic", "t", "--partition", "0", "--from-beginning", "--offset", "123"],
            "Options from-beginning and offset cannot be specified together.",
        ),
        (["--topic", "t", "--offset", "10"], "The partition is required when offset is specified."),
        (
            ["--topic", "t", "--partition", "0", "--group", "g"],
            "Options group and partition cannot be specified together.",
        ),
        (
            ["--topic", "t", "--partition", "0", "--command-property", "group.id=g"],
            "Options group and partition cannot be specified together.",
        ),
        (
            ["--topic", "t", "--group", "b", "--command-property", "group.id=a"],
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via "
            "'--consumer.config') do not match. Detected group ids: 'a', 'b'",
        ),
        (
            ["--topic", "t", "--consumer-property", "a=b", "--command-property", "a=b"],
            "Options --consumer-property and --command-property cannot be specified together.",
        ),
        (
            ["--topic", "t", "--consumer.config", "f", "--command-config", "f"],
            "Options --consumer.config and --command-config cannot be specified together.",
        ),
        (
            ["--topic", "t", "--property", "print.key=true", "--formatter-property", "print.key=true"],
            "Options --property and --formatter-property cannot be specified together.",
        ),
        (["--topic", "t", "--formatter", "kafka.tools.DefaultMessageFormatter"], "kafka.tools.DefaultMessageFormatter"),
        (["--topic", "t", "--output", "xml"], "--output is one of text, json, and not xml"),
        (
            ["--topic", "t", "--output", "json", "--formatter-property", "print.key=true"],
            "--formatter-property is for text, and can't be used with --output json",
        ),
        (
            ["--topic", "t", "--tail", "1", "--from-beginning"],
            "--tail and --from-beginning both say where to start: leave one out",
        ),
        (
            ["--topic", "t", "--tail", "1", "--partition", "0", "--offset", "1"],
            "--tail and --offset both say where to start: leave one out",
        ),
        (["--topic", "t", "--tail", "-1"], "--tail is a number of records, and not -1"),
        *(
            (
                ["--topic", "t", "--partition", "0", "--offset", offset],
                f"The provided offset value '{offset}' is incorrect. Valid values are 'earliest', 'latest', or a "
                "non-negative long.",
            )
            for offset in ("bad", "-100", "", "1.5", "99999999999999999999")
        ),
    ],
)
def test_a_command_line_that_makes_no_sense_gets_the_help(directory: Path, arguments: list[str], message: str) -> None:
    done = consume(directory, *arguments)
    assert (done.stdout, done.message, done.code) == ("", message, 1)
    assert "\nUsage: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--partition", "abc"], "Cannot parse argument 'abc' of option partition"),
        (["--max-messages", "99999999999"], "Cannot parse argument '99999999999' of option max-messages"),
        (["--timeout-ms", "abc"], "Cannot parse argument 'abc' of option timeout-ms"),
        (["--topic", "b"], "Found multiple arguments for option topic, but you asked for only one"),
        (
            ["--command-property", "auto.offset.reset=latest", "--from-beginning"],
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please remove one option",
        ),
        (["--command-config", "/nonexistent"], "/nonexistent can't be read: No such file or directory"),
        (["--formatter-config", "/nonexistent"], "/nonexistent can't be read: No such file or directory"),
        (
            ["--formatter", "org.apache.kafka.tools.consumer.ShareGroupMessageFormatter"],
            "org.apache.kafka.tools.consumer.ShareGroupMessageFormatter is not here, as there are no share groups: "
            "Apache Kafka's kafka-console-consumer has it",
        ),
        (
            ["--value-deserializer", "nosuch.Deserializer"],
            "Unable to instantiate a deserializer from nosuch.Deserializer: it is not known here",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_one_line(directory: Path, arguments: list[str], message: str) -> None:
    assert consume(directory, "--topic", "ten", *arguments) == Done("", f"{message}\n", 1)


@pytest.mark.parametrize(
    ("arguments", "exception"),
    [
        (["--include", ""], "java.lang.IllegalArgumentException: Topic pattern to subscribe to cannot be empty"),
        (
            ["--topic", ""],
            "java.lang.IllegalArgumentException: Topic collection to subscribe to cannot contain null or empty topic",
        ),
        (
            ["--topic", "t", "--isolation-level", "READ_COMMITTED"],
            "org.apache.kafka.common.config.ConfigException: Invalid value READ_COMMITTED for configuration "
            "isolation.level: String must be one of: ",
        ),
    ],
)
def test_what_kafkas_consumer_refuses_is_told_in_its_words(
    directory: Path, arguments: list[str], exception: str
) -> None:
    done = consume(directory, *arguments)
    assert re.match(UNKNOWN + re.escape(exception), done.stderr)
    assert (done.stdout, done.code) == ("", 1)


def test_an_include_that_is_no_regular_expression_is_refused(directory: Path) -> None:
    done = consume(directory, "--include", "[")
    assert (done.stdout, done.stderr.count("\n"), done.code) == ("", 2, 1)
    assert "Unknown error when running consumer: " in done.stderr
    assert "[" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "new"),
    [
        (["--consumer-property", "client.id=x"], "command-property"),
        (["--consumer.config", os.devnull], "command-config"),
        (["--property", "print.key=false"], "formatter-property"),
    ],
)
def test_an_old_spelling_works_and_says_so_on_stdout(directory: Path, arguments: list[str], new: str) -> None:
    """On stdout, of all places: that is where Kafka's tool has it."""
    done = consume(directory, "--topic", "ten", "--tail", "1", "--exit-at-end", *arguments)
    warning = f"Option {arguments[0]} is deprecated and will be removed in a future version. Use --{new} instead.\n"
    assert done == Done(f"{warning}m9\n", count_line(1), 0)


# ------------------------------------------------------------------------------------------------------ live processes


def test_what_is_appended_while_it_follows_is_printed_at_once(directory: Path) -> None:
    with (
        open_cluster(directory) as cluster,
        cluster.producer() as producer,
        Tool(directory, "kafka-console-consumer", "--topic", "ten", "--tail", "1") as tool,
    ):
        assert tool.hear() == b"m9\n"
        for value in (b"first", b"second"):
            producer.send("ten", [value])
            assert tool.hear() == value + b"\n"
        tool.interrupt()
        assert tool.end() == (130, b"", count_line(3).encode())


def test_a_topic_that_appears_is_read_from_its_beginning(directory: Path) -> None:
    with (
        open_cluster(directory) as cluster,
        cluster.producer() as producer,
        Tool(directory, "kafka-console-consumer", "--include", "inc.*", "--from-beginning") as tool,
    ):
        assert sorted([tool.hear(), tool.hear()]) == [b"a\n", b"b\n"]
        producer.send("inc.new", [b"1", b"2"])
        assert [tool.hear(), tool.hear()] == [b"1\n", b"2\n"]


def test_sigterm_ends_it_with_the_count(directory: Path) -> None:
    with Tool(directory, "kafka-console-consumer", "--topic", "ten", "--tail", "1", "--enable-systest-events") as tool:
        assert tool.hear() == b"m9\n"
        tool.interrupt(signal.SIGTERM)
        assert tool.end() == (143, b"shutdown_complete\n", count_line(1).encode())


def test_a_topic_deleted_while_it_is_read_ends_it_badly(directory: Path) -> None:
    with (
        open_cluster(directory) as cluster,
        Tool(directory, "kafka-console-consumer", "--topic", "ten", "--tail", "1") as tool,
    ):
        assert tool.hear() == b"m9\n"
        cluster.admin().delete_topic("ten")
        code, out, err = tool.end()
        assert (code, out) == (1, b"")
        assert b"ERROR Error processing message, terminating consumer process:  (" in err
        assert b"UnknownTopicOrPartitionException" in err
        assert err.endswith(count_line(1).encode())


def shell(directory: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(directory), "PATH": path}
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, env=environ, timeout=PATIENCE)


def test_a_closed_pipe_is_noticed_while_nothing_comes(directory: Path) -> None:
    done = shell(directory, "kafka-console-consumer --topic ten --from-beginning | head -1")
    assert (done.returncode, done.stdout) == (0, b"m0\n")
    assert done.stderr == b"Unable to write to standard out, closing consumer.\n" + count_line(10).encode()


def test_a_closed_pipe_is_no_error(directory: Path) -> None:
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("none", [b"x" * 1000] * 10_000, partitions=0)
    done = shell(directory, "kafka-console-consumer --topic none --from-beginning | head -1 | cut -c1-3")
    assert (done.returncode, done.stdout) == (0, b"xxx\n")
    assert re.fullmatch(
        rb"Unable to write to standard out, closing consumer\.\nProcessed a total of \d+ messages\n", done.stderr
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_output_that_can_not_be_written_is_an_error(directory: Path) -> None:
    done = shell(directory, "kafka-console-consumer --topic ten --from-beginning --exit-at-end > /dev/full")
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert count_line(10).encode() in done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize(("value", "count"), [(b"x" * 82, 100_000), (b"", 500_000), (b"x" * 900_000, 60)])
@pytest.mark.parametrize("arguments", [[], ["--output", "json"]])
def test_memory_does_not_grow_with_the_topic(directory: Path, value: bytes, count: int, arguments: list[str]) -> None:
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        for _ in range(10):
            producer.send("none", [value] * (count // 10), partitions=0)
    selection = ("--topic", "none", "--from-beginning", "--exit-at-end")
    told, peak = measured(directory, "console-consumer", *selection, *arguments)
    assert told == count_line(count)
    assert peak <= 64 * 1024
