"""kafka-console-producer: what becomes of lines, what is told of failures, and how it ends."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import pytest

from pykafka_cli.console.produce import Report, gather
from pykafka_cli.console.stdin import Lines
from pykafka_cli.env import Env
from pykafka_store.errors import StorageError
from pykafka_store.model import Delivery, Header, OffsetAt, SendFailure, TopicPartition
from pykafka_store.open import open_cluster
from tests.support.console import PATIENCE, Tool, measured, produce, stored, values, wait_for
from tests.support.in_process import Done

LOG = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,250\] ERROR "
CALLBACK = r" with error: \(org\.apache\.kafka\.clients\.producer\.internals\.ErrorLoggingCallback\)\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    with open_cluster(path) as cluster:
        cluster.admin().create_topic("t")
    return path


def create(directory: Path, topic: str, partitions: int = 1, **configs: str) -> None:
    with open_cluster(directory) as cluster:
        settings = {name.replace("_", "."): value for name, value in configs.items()}
        cluster.admin().create_topic(topic, partitions=partitions, configs=settings)


# ------------------------------------------------------------------------------------------------------------ lines


def test_each_line_is_a_record(directory: Path) -> None:
    assert produce(directory, b"a\n\nb\r\nc\rd\xff\x00", "--topic", "t") == Done("", "", 0)
    assert values(directory, "t") == [b"a", b"", b"b", b"c", b"d\xff\x00"]
    for run in stored(directory, "t"):
        assert (set(run.keys), set(run.headers)) == ({None}, {()})


def test_no_line_is_no_record_and_makes_no_topic(directory: Path) -> None:
    assert produce(directory, b"", "--topic", "new") == Done("", "", 0)
    with open_cluster(directory) as cluster:
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]


def test_keys_and_headers_are_cut_from_lines(directory: Path) -> None:
    properties = ("--reader-property", "parse.key=true", "--reader-property", "parse.headers=true")
    produce(directory, "h:1,h:2\tk\tv\n", "--topic", "t", *properties)
    (run,) = stored(directory, "t")
    assert (run.keys, run.values, list(run.headers[0])) == ([b"k"], [b"v"], [("h", b"1"), ("h", b"2")])


def test_a_reader_config_gives_way_to_reader_properties_case_39(directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "reader.properties"
    config.write_text("parse.key=true\nkey.separator=|\n")
    done = produce(
        directory, "a|b;c\n", "--topic", "t", "--reader-config", str(config), "--reader-property", "key.separator=;"
    )
    assert done == Done("", "", 0)
    (run,) = stored(directory, "t")
    assert (run.keys, run.values) == ([b"a|b"], [b"c"])


def test_a_bad_line_ends_it_after_the_lines_before_it(directory: Path) -> None:
    done = produce(directory, "ok\t1\nnosep\nlater\t2\n", "--topic", "t", "--reader-property", "parse.key=true")
    assert done == Done("", "No key separator found on line number 2: 'nosep'\n", 1)
    assert values(directory, "t") == [b"1"]


def test_lines_of_json_are_records(directory: Path) -> None:
    create(directory, "three", 3, retention_ms="-1")
    lines = [
        '{"value":"a","key":"k","headers":[["h",null]],"partition":2,"timestamp":5}',
        '{"value":null,"partition":1,"topic":"other","offset":7}',
        '{"value":{"base64":"/w=="},"partition":2,"timestamp":6}',
    ]
    assert produce(directory, "\n".join(lines), "--topic", "three", "--input", "json") == Done("", "", 0)
    assert values(directory, "three", (1,)) == [None]
    rows = [
        (run.keys[index], run.values[index], tuple(run.headers[index]), run.timestamps[index])
        for run in stored(directory, "three", (2,))
        for index in range(len(run))
    ]
    assert rows == [(b"k", b"a", (("h", None),), 5), (None, b"\xff", (), 6)]


def test_a_line_that_is_no_json_record_ends_it(directory: Path) -> None:
    done = produce(directory, '{"value":"1"}\n{"valeu":"2"}\n', "--topic", "t", "--input", "json")
    assert done == Done("", "No record found on line number 2: unknown field valeu\n", 1)
    assert values(directory, "t") == [b"1"]


# -------------------------------------------------------------------------------------------------------- partitions


def test_everything_can_be_sent_to_one_partition(directory: Path) -> None:
    create(directory, "three", 3)
    produce(directory, "a\nb\n", "--topic", "three", "--partition", "1")
    produce(directory, '{"value":"c","partition":2}\n', "--topic", "three", "--partition", "1", "--input", "json")
    assert values(directory, "three", (1,)) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("partition", ["3", "-1"])
def test_a_partition_that_is_not_there_is_an_error(directory: Path, partition: str) -> None:
    create(directory, "three", 3)
    done = produce(directory, "a\n", "--topic", "three", "--partition", partition)
    assert f"{partition} is not in the range [0...3)" in done.stderr
    assert (done.stdout, done.code) == ("", 1)


def test_round_robin_takes_turns_keys_or_not(directory: Path) -> None:
    create(directory, "two", 2)
    arguments = ("--reader-property", "parse.key=true", "--command-property")
    produce(
        directory,
        "k\ta\nk\tb\nk\tc\nk\td\n",
        "--topic",
        "two",
        *arguments,
        "partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner",
    )
    assert [values(directory, "two", (number,)) for number in (0, 1)] == [[b"a", b"c"], [b"b", b"d"]]


def test_a_partitioner_can_be_a_python_function(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_partitioner.py").write_text(
        "def by_length(topic, key, value, partitions):\n    return len(value) % partitions\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    create(directory, "two", 2)
    produce(
        directory, "a\nbb\nc\n", "--topic", "two", "--command-property", "partitioner.class=my_partitioner:by_length"
    )
    assert [values(directory, "two", (number,)) for number in (0, 1)] == [[b"bb"], [b"a", b"c"]]


# ---------------------------------------------------------------------------------------------------------- settings


class RecordingCluster:
    """A cluster that only remembers what producer was asked of it."""

    config: Mapping[str, str]

    def __init__(self, on_send: Callable[[RecordingCluster, Sequence[bytes | None]], None] | None = None) -> None:
        self._on_send = on_send
        self.sent: list[list[bytes | None]] = []
        self.flushes = 0
        self.acknowledged = self.failed = 0

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> RecordingCluster:
        self.config = config or {}
        self.on_failure = on_failure
        return self

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Sequence[Header]] | None = None,
        timestamps: Sequence[int] | int | None = None,
        partitions: Sequence[int | None] | int | None = None,
    ) -> None:
        self.sent.append(list(values))
        if self._on_send:
            self._on_send(self, values)

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def config_of(directory: Path, *arguments: str) -> dict[str, str]:
    """The settings of the producer that a command line asks for."""
    cluster = RecordingCluster()
    assert produce(directory, "a\n", "--topic", "t", *arguments, cluster=cluster).code == 0  # type: ignore[arg-type]
    return dict(cluster.config)


DEFAULTS = {
    "acks": "-1",
    "buffer.memory": "33554432",
    "client.id": "console-producer",
    "compression.type": "none",
    "linger.ms": "1000",
    "max.block.ms": "60000",
    "metadata.max.age.ms": "300000",
    "request.timeout.ms": "1500",
    "retries": "3",
    "retry.backoff.ms": "100",
    "send.buffer.bytes": "102400",
}


def test_the_settings_are_kafkas_tools_defaults(directory: Path) -> None:
    """All but batch.size, which is left to the engine."""
    assert config_of(directory) == DEFAULTS


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (["--batch-size", "123"], {"batch.size": "123"}),
        (["--max-partition-memory-bytes", "456"], {"batch.size": "456"}),
        (["--batch-size", "123", "--max-partition-memory-bytes", "456"], {"batch.size": "456"}),
        (["--command-property", "batch.size=7"], {"batch.size": "7"}),
        (["--command-property", "batch.size=7", "--batch-size", "8"], {"batch.size": "8"}),
        (["--command-property", "client.id=producer-1"], {"client.id": "producer-1"}),
        (["--command-property", "acks=1"], {"acks": "1"}),
        (["--command-property", "acks=1", "--request-required-acks", "0"], {"acks": "0"}),
        (["--command-property", "retries=9", "--timeout", "5"], {"retries": "9", "linger.ms": "5"}),
        (["--compression-codec"], {"compression.type": "gzip"}),
        (["--compression-codec="], {"compression.type": "gzip"}),
        (["--compression-codec", "--sync"], {"compression.type": "gzip"}),
        (["--compression-codec", "lz4"], {"compression.type": "lz4"}),
        (["--command-property", "compression.type=zstd"], {}),
        (["--command-property", "key.serializer=x", "--command-property", "bootstrap.servers=x:1"], {}),
        (["--no-auto-create", "--batch-size", "1"], {"batch.size": "1", "allow.auto.create.topics": "false"}),
        (
            ["--message-send-max-retries", "1", "--retry-backoff-ms", "2", "--request-timeout-ms", "3"],
            {"retries": "1", "retry.backoff.ms": "2", "request.timeout.ms": "3"},
        ),
        (
            [
                "--metadata-expiry-ms",
                "1",
                "--max-block-ms",
                "2",
                "--max-memory-bytes",
                "3",
                "--socket-buffer-size",
                "4",
            ],
            {"metadata.max.age.ms": "1", "max.block.ms": "2", "buffer.memory": "3", "send.buffer.bytes": "4"},
        ),
    ],
)
def test_an_option_wins_over_a_property_and_a_property_over_a_default(
    directory: Path, arguments: list[str], changed: dict[str, str]
) -> None:
    if "--no-auto-create" in arguments:
        # The fake cluster has no admin to be asked whether the topic is there.
        monkey = pytest.MonkeyPatch()
        monkey.setattr(RecordingCluster, "admin", lambda self: self, raising=False)
        monkey.setattr(RecordingCluster, "describe_topics", lambda self, names: [], raising=False)
        try:
            assert config_of(directory, *arguments) == {**DEFAULTS, **changed}
        finally:
            monkey.undo()
        return
    assert config_of(directory, *arguments) == {**DEFAULTS, **changed}


def test_a_property_wins_over_a_file(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "producer.properties"
    path.write_text("client.id=filed\nretries=8\ncompression.type=gzip\n")
    changed = {"client.id": "x", "retries": "8"}
    arguments = ("--command-property", "client.id=x", "--command-config", str(path))
    assert config_of(directory, *arguments) == {**DEFAULTS, **changed}
    arguments = ("--producer-property", "client.id=x", "--producer.config", str(path))
    assert config_of(directory, *arguments) == {**DEFAULTS, **changed}


def test_a_setting_that_can_not_be_is_refused_in_kafkas_words(directory: Path) -> None:
    done = produce(directory, "a\n", "--topic", "t", "--compression-codec", "GZIP")
    assert done.stderr == (
        "org.apache.kafka.common.config.ConfigException: Invalid value GZIP for configuration compression.type: "
        "String must be one of: none, gzip, snappy, lz4, zstd\n"
    )
    assert done.code == 1
    done = produce(directory, "a\n", "--topic", "t", "--timeout", "-1")
    assert (done.code, "-1 for configuration linger.ms: Value must be at least 0\n" in done.stderr) == (1, True)
    assert values(directory, "t") == []


def test_a_setting_that_no_client_of_kafkas_knows_is_ignored_with_a_warning(directory: Path) -> None:
    done = produce(directory, "a\n", "--topic", "t", "--command-property", "nosuch=1")
    assert (done.code, done.stderr.splitlines()[0]) == (
        0,
        "WARNING: no setting of Kafka's producer, and ignored: nosuch",
    )
    assert values(directory, "t") == [b"a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "This tool helps to read data from standard input and publish it to Kafka."),
        (["--sync"], 'Missing required argument "[topic]"'),
        (["--t", "t3"], "t is not a recognized option"),
        (
            ["--topic", "t", "--property", "a=b", "--reader-property", "a=b"],
            "Options --reader-property and --property cannot be specified together.",
        ),
        (
            ["--topic", "t", "--producer-property", "a=b", "--command-property", "a=b"],
            "Options --command-property and --producer-property cannot be specified together.",
        ),
        (
            ["--topic", "t", "--producer.config", "f", "--command-config", "f"],
            "Options --command-config and --producer.config cannot be specified together.",
        ),
        (["--topic", "t", "--input", "xml"], "--input is lines or json, and not xml"),
        (
            ["--topic", "t", "--input", "json", "--reader-property", "parse.key=true"],
            "--reader-property is for lines, and can't be used with --input json",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense_gets_the_help(directory: Path, arguments: list[str], message: str) -> None:
    done = produce(directory, "a\n", *arguments)
    assert (done.stdout, done.message, done.code) == ("", message, 1)
    assert "\nUsage: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout", "abc"], "Cannot parse argument 'abc' of option timeout"),
        (["--batch-size", "99999999999"], "Cannot parse argument '99999999999' of option batch-size"),
        (
            ["--line-reader", "nosuch.Reader"],
            "nosuch.Reader is not a line reader known here: there is org.apache.kafka.tools.LineMessageReader only",
        ),
        (["--reader-config", "/nonexistent"], "/nonexistent can't be read: No such file or directory"),
        (["--command-config", "/nonexistent"], "/nonexistent can't be read: No such file or directory"),
        (["--reader-property", "null.marker=,"], "null.marker and headers.separator may not be equal"),
        (["--compression-codec", "a", "--compression-codec", "b"],
         "Found multiple arguments for option compression-codec, but you asked for only one"),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_one_line(directory: Path, arguments: list[str], message: str) -> None:
    assert produce(directory, "a\n", "--topic", "t", *arguments) == Done("", f"{message}\n", 1)
    assert values(directory, "t") == []


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        (
            ["--property", "parse.key=true"],
            "Warning: --property is deprecated and will be removed in a future version. Use --reader-property instead.",
        ),
        (
            ["--producer-property", "client.id=x"],
            "Warning: --producer-property is deprecated and will be removed in a future version. "
            "Use --command-property instead.",
        ),
        (
            ["--max-partition-memory-bytes", "1000"],
            "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. "
            "Use --batch-size instead.",
        ),
        (
            ["--producer.config", os.devnull],
            "Warning: --producer.config is deprecated and will be removed in a future version. "
            "Use --command-config instead.",
        ),
    ],
)
def test_an_old_spelling_works_and_says_so_on_stdout(directory: Path, arguments: list[str], warning: str) -> None:
    """On stdout, of all places: that is where Kafka's tool has it."""
    assert produce(directory, "k\tv\n", "--topic", "t", *arguments) == Done(f"{warning}\n", "", 0)
    assert values(directory, "t") == [b"v" if "--property" in arguments else b"k\tv"]


# ---------------------------------------------------------------------------------------------------------- failures


def test_a_record_that_is_refused_is_logged_as_kafka_logs_it_and_makes_the_end_bad(directory: Path) -> None:
    done = produce(directory, "small\n" + "x" * 1_100_000 + "\nlast\n", "--topic", "t")
    assert re.fullmatch(
        f"{LOG}Error when sending message to topic t with key: null, value: 1100000 bytes{CALLBACK}"
        r"org\.apache\.kafka\.common\.errors\.RecordTooLargeException: The message is 1100088 bytes when serialized "
        r"which is larger than 1048576, which is the value of the max\.request\.size configuration\.\n"
        r"1 of 3 records were not acknowledged\.\n",
        done.stderr,
    )
    assert (done.stdout, done.code) == ("", 1)
    assert values(directory, "t") == [b"small", b"last"]


def test_the_log_tells_the_sizes_of_key_and_value(directory: Path) -> None:
    limit = ("--command-property", "max.request.size=90", "--reader-property", "parse.key=true")
    marker = ("--reader-property", "null.marker=N")
    done = produce(directory, "kkkkkkkkkkkkkkkk\tN\nkey\tvalue value\n", "--topic", "t", *limit, *marker)
    assert "with key: 16 bytes, value: null with error:" in done.stderr
    assert "with key: 3 bytes, value: 11 bytes with error:" in done.stderr
    assert done.stderr.endswith("2 of 2 records were not acknowledged.\n")
    assert done.code == 1


def test_a_line_too_long_to_be_held_is_a_record_too_large(directory: Path) -> None:
    done = produce(directory, "a\n" + "x" * 4_000_000 + "\nb\n", "--topic", "t")
    assert "topic t with key: null, value: 4000000 bytes with error:" in done.stderr
    assert "RecordTooLargeException: Line number 2 is 4000000 bytes long." in done.stderr
    assert done.stderr.endswith("1 of 3 records were not acknowledged.\n")
    assert done.code == 1
    assert values(directory, "t") == [b"a", b"b"]


@pytest.mark.parametrize("size", [1_100_000, 4_000_000])
def test_with_sync_the_first_failure_is_the_end(directory: Path, size: int) -> None:
    done = produce(directory, b"a\n" + b"x" * size + b"\nb\n", "--topic", "t", "--sync")
    wrapped = "java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.RecordTooLargeException: "
    assert done.stderr.startswith(wrapped)
    assert (done.stderr.count("\n"), done.stdout, done.code) == (1, "", 1)
    assert values(directory, "t") == [b"a"]


def test_with_sync_records_are_sent_one_by_one(directory: Path) -> None:
    cluster = RecordingCluster()
    produce(directory, "a\nb\nc\n", "--topic", "t", "--sync", cluster=cluster)  # type: ignore[arg-type]
    assert cluster.sent == [[b"a"], [b"b"], [b"c"]]
    assert cluster.flushes >= 3
    assert cluster.on_failure is None


def test_without_sync_a_chunk_is_sent_at_once(directory: Path) -> None:
    cluster = RecordingCluster()
    produce(directory, "a\nb\nc\n", "--topic", "t", cluster=cluster)  # type: ignore[arg-type]
    assert cluster.sent == [[b"a", b"b", b"c"]]


def test_failures_are_counted_by_record(directory: Path) -> None:
    def fail(cluster: RecordingCluster, values: Sequence[bytes | None]) -> None:
        assert cluster.on_failure is not None
        cluster.on_failure(SendFailure("t", 0, 2, None, 1, StorageError("No space left on device")))

    cluster = RecordingCluster(fail)
    done = produce(directory, "a\nb\nc\n", "--topic", "t", cluster=cluster)  # type: ignore[arg-type]
    assert "org.apache.kafka.common.errors.KafkaStorageException: No space left on device\n" in done.stderr
    assert done.stderr.endswith("2 of 3 records were not acknowledged.\n")
    assert done.code == 1


def test_a_missing_topic_is_made_unless_that_is_forbidden(directory: Path) -> None:
    done = produce(directory, "a\n", "--topic", "new", "--no-auto-create")
    assert (done.stdout, done.code) == ("", 1)
    assert "new" in done.stderr
    done = produce(directory, "", "--topic", "new", "--no-auto-create")
    assert done.code == 1
    done = produce(directory, "a\n", "--topic", "new")
    assert (done.stdout, done.code) == ("", 0)
    assert "new" in done.stderr
    assert values(directory, "new") == [b"a"]
    assert produce(directory, "b\n", "--topic", "new", "--no-auto-create") == Done("", "", 0)


def test_a_name_that_no_topic_can_have_is_refused(directory: Path) -> None:
    done = produce(directory, "a\nk\n", "--topic", "bad name")
    assert done.code == 1
    assert done.stderr.count("Error when sending message to topic bad name with key: null, value: 1 bytes") == 2
    assert done.stderr.count("org.apache.kafka.common.errors.InvalidTopicException: Invalid topics: [bad name]\n") == 2
    assert done.stderr.endswith("2 of 2 records were not acknowledged.\n")


# ------------------------------------------------------------------------------------------------------ live processes


def test_a_slow_pipe_is_appended_line_by_line(directory: Path) -> None:
    with (
        open_cluster(directory) as cluster,
        cluster.consumer() as consumer,
        Tool(directory, "kafka-console-producer", "--topic", "t") as tool,
    ):
        consumer.assign({TopicPartition("t", 0): OffsetAt.EARLIEST})
        tool.say(b"one\ntwo\nthr")
        assert wait_for(consumer, 2) == [b"one", b"two"]
        tool.say(b"ee\n")
        assert wait_for(consumer, 1) == [b"three"]
        tool.say(b"no newline")
        assert tool.end() == (0, b"", b"")
        assert wait_for(consumer, 1) == [b"no newline"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_was_said_before_a_signal_is_kept(directory: Path, number: signal.Signals, code: int) -> None:
    with (
        open_cluster(directory) as cluster,
        cluster.consumer() as consumer,
        Tool(directory, "kafka-console-producer", "--topic", "t") as tool,
    ):
        consumer.assign({TopicPartition("t", 0): OffsetAt.EARLIEST})
        tool.say(b"one\nunfinished")
        assert wait_for(consumer, 1) == [b"one"]
        tool.interrupt(number)
        assert tool.end() == (code, b"", b"")
    assert values(directory, "t") == [b"one"]


def test_a_terminal_gets_a_prompt_before_every_line(directory: Path) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(directory)}
    command = [sys.executable, "-m", "pykafka_cli", "console-producer", "--topic", "t"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environ)
    os.close(theirs)
    try:
        seen = b""

        def until(text: bytes) -> None:
            nonlocal seen
            while text not in seen:
                seen += os.read(ours, 1024)
            seen = seen.partition(text)[2]

        until(b">")
        os.write(ours, b"one\n")
        until(b"one\r\n>")  # the terminal's echo, then the next prompt
        os.write(ours, b"two\n")
        until(b"two\r\n>")
        os.write(ours, b"\x04")
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert values(directory, "t") == [b"one", b"two"]
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        assert process.stderr is not None
        process.stderr.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_once_the_work_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    now = 0.0
    stderr = Terminal()
    env = Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=stderr, environ={}, monotonic=lambda: now)
    report = Report(env)
    report.sent = 3_000_000
    report.show_progress(20_000_000)
    now = 0.9
    report.show_progress(20_000_000)
    assert stderr.getvalue() == ""
    now = 1.5
    report.show_progress(20_000_000)
    shown = f"\r{'3,000,000 records, 20.0 MB, 2,000,000 records/s':<59}"
    assert stderr.getvalue() == shown
    now = 1.6
    report.show_progress(20_000_000)
    assert stderr.getvalue() == shown
    report.notice("a notice")
    ended = f"{shown}\r{'':<59}\ra notice\n"
    assert stderr.getvalue() == ended
    report.end_progress()
    assert stderr.getvalue() == ended


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize(
    ("line", "count", "arguments"),
    [
        (b"x" * 82 + b"\n", 100_000, []),
        (b"\n", 2_000_000, []),
        (b"ab\n", 1_000_000, []),
        (b"x" * 3_000_000 + b"\n", 20, []),
        (b"x" * 30_000_000, 1, []),
        (b"k\tv\n", 300_000, ["--reader-property", "parse.key=true"]),
        (b"h:1,i:2\tv\n", 150_000, ["--reader-property", "parse.headers=true"]),
        (b'{"value":""}\n', 150_000, ["--input", "json"]),
    ],
)
def test_memory_does_not_grow_with_the_input(
    directory: Path, tmp_path: Path, line: bytes, count: int, arguments: list[str]
) -> None:
    path = tmp_path / "input"
    path.write_bytes(line * count)
    with path.open("rb") as stdin:
        _, peak = measured(directory, "console-producer", "--topic", "t", *arguments, stdin=stdin)
    assert peak <= 64 * 1024


class Drips:
    """A pipe that brings lines, each so many milliseconds after the last append."""

    def __init__(self, delays: Sequence[int]) -> None:
        self.now = 0.0
        self.left: list[float] = []
        """For each line, how many milliseconds its pipe was left to bring more."""
        self._delays = iter(delays)

    def wait_for_more(self) -> None:
        self.now += next(self._delays) / 1000
        self.left.append(0.0)

    def let_gather(self, seconds: float) -> None:
        self.left[-1] = round(seconds * 1000)
        self.now += seconds


@pytest.mark.parametrize(
    ("delays", "left"),
    [
        ([50] * 30, [0] * 30),
        ([5] * 30, [0] * 30),
        ([2] * 13, [0] * 10 + [28] * 3),
        ([2] * 12 + [5] + [2] * 12, [0] * 10 + [28] * 2 + [0] + [0] * 10 + [28] * 2),
    ],
)
def test_only_a_pipe_that_goes_on_to_bring_lines_soon_after_an_append_is_left_time(
    delays: list[int], left: list[int]
) -> None:
    pipe, often = Drips(delays), 0
    for _ in delays:
        often = gather(cast("Lines", pipe), lambda: pipe.now, pipe.now, often)
    assert pipe.left == left
