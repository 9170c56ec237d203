"""What a user gets wrong is never told as a bug of ours: numbers of any length, Python's encodings, partitioners."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pykafka_cli.click_types import DURATION
from pykafka_store.errors import InvalidConfigError, UnsupportedVersionError
from pykafka_store.numbers import whole_number
from pykafka_store.open import open_cluster
from pykafka_store.partitioners import load_partitioner
from tests.support.in_process import run

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "bits", "number"),
    [
        ("0", 32, 0),
        ("-0", 32, 0),
        ("+7", 32, 7),
        ("2147483647", 32, 2**31 - 1),
        ("2147483648", 32, None),
        ("-2147483648", 32, -(2**31)),
        ("9223372036854775807", 64, 2**63 - 1),
        ("9223372036854775808", 64, None),
        ("0" * 5000 + "5", 32, 5),
        (LONG, 64, None),
        ("-" + LONG, 64, None),
        ("", 32, None),
        ("+", 32, None),
        ("+-1", 32, None),
        ("1_0", 32, None),
        (" 1", 32, None),
        ("٣", 32, None),
        ("²", 32, None),
    ],
)
def test_numbers_as_java_reads_them(text: str, bits: int, number: int | None) -> None:
    assert whole_number(text, bits) == number


@pytest.mark.parametrize(
    "line",
    [
        f"topics --create --topic t --partitions {LONG}",
        f"topics --create --topic t --config retention.ms={LONG}",
        f"topics --create --topic t --replica-assignment {LONG}",
        f"topics --list --topic a{{{LONG}}}",
        f"get-offsets --topic t --time {LONG}",
        f"get-offsets --topic-partitions t:{LONG}",
        f"get-offsets --topic t --partitions {LONG}",
        f"configs --describe --broker {LONG}",
        f"configs --alter --topic t --add-config retention.ms={LONG}",
        f"consumer-groups --reset-offsets --group g --topic t:{LONG} --to-earliest --dry-run",
        f"consumer-groups --describe --group g --timeout {LONG}",
        f"consumer-groups --validate-regex a{{{LONG}}}",
        f"console-consumer --topic t --partition 0 --offset {LONG}",
        f"console-consumer --topic t --max-messages {LONG}",
        f"console-consumer --topic t --command-property max.poll.records={LONG}",
        f"console-consumer --topic t --command-property auto.offset.reset=by_duration:PT{LONG}S",
        f"console-consumer --include a{{{LONG}}}",
        f"console-producer --topic t --timeout {LONG}",
        f"leader-election --election-type preferred --topic t --partition {LONG}",
        f"log-dirs --describe --broker-list {LONG}",
        f"wait --topic t --records {LONG} --timeout 1ms",
        f"wait --topic t --timeout {LONG}x",
        f"brokers remove {LONG}",
        f"cluster unregister --id {LONG}",
    ],
)
def test_a_number_of_any_length_is_a_mistake_of_the_users(tmp_path: Path, line: str) -> None:
    name, *arguments = line.split()
    done = run(f"kafka-{name}" if name not in {"wait", "brokers"} else name, *arguments, data_dir=tmp_path / "data")
    assert done.code in {0, 1, 2}
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "kafka-console-producer --topic {}",
        "kafka-console-consumer --topic {}",
        "kafka-console-consumer --topic t --from-beginning --exit-at-end --formatter-property key.separator={}",
        "kafka-configs --alter --entity-type groups --entity-name {} --add-config consumer.session.timeout.ms=50000",
        "kafka-configs --alter --entity-type client-metrics --entity-name {} --add-config interval.ms=1000",
        "kafka-client-metrics --alter --name {} --interval 1000",
        "kafka-leader-election --election-type preferred --topic {} --partition 0",
        "kafka-producer-perf-test --topic {} --num-records 1 --record-size 1 --throughput -1",
        "kafka-consumer-perf-test --topic {} --num-records 1 --timeout 1",
        "kafka-verifiable-producer --topic {} --max-messages 1",
        "kafka-verifiable-consumer --topic {} --group-id g --max-messages 1",
        "kafka-storage format -t {} -c /dev/null",
        "wait --topic {} --timeout 1ms",
        "expect --topic {} --values /dev/null --timeout 1ms",
        "sink --topic {} x.db --exit-at-end",
        "source x.db dishes --topic {} --changes --exit-at-end",
        "source x.db {} --topic q --changes --exit-at-end",
        "brokers add --log-dir {}",
    ],
)
def test_a_word_that_is_no_text_is_a_mistake_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    open_cluster(tmp_path / "data").admin().create_topic("t")
    with sqlite3.connect("x.db") as database:
        database.execute("CREATE TABLE dishes (id INTEGER PRIMARY KEY, name TEXT)")
    tool, *arguments = line.split()
    name = os.fsdecode(b"a\xff")
    done = run(tool, *(word.replace("{}", name) for word in arguments), data_dir=tmp_path / "data")
    assert done.code in {0, 1}
    assert "unexpected" not in done.stderr
    assert sorted(os.listdir()) == ["data", "x.db"]  # nothing is made before it is refused


@pytest.mark.parametrize("where", ["layout.version", "node.id"])
def test_numbers_in_files(tmp_path: Path, where: str) -> None:
    if where == "node.id":
        (tmp_path / "server.properties").write_text(f"node.id={LONG}\nlog.dirs={tmp_path}/logs\n")
        done = run("kafka-storage", "info", "--config", str(tmp_path / "server.properties"))
        assert (done.code, "must be a number from 0 on" in done.stderr) == (1, True)
        return
    open_cluster(tmp_path / "data").close()
    meta = tmp_path / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("layout.version=1", f"layout.version={LONG}"))
    with pytest.raises(UnsupportedVersionError, match="upgrade"):
        open_cluster(tmp_path / "data")


@pytest.mark.parametrize(
    "encoding",
    [
        "hex",
        "rot13",
        "bz2",
        "zlib",
        "base64",
        "uu",
        "quopri",
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "utf_7",
        "no-such-one",
    ],
)
def test_an_encoding_that_java_does_not_have_is_refused(tmp_path: Path, encoding: str) -> None:
    open_cluster(tmp_path).admin().create_topic("t")
    done = run(
        "kafka-console-consumer", "--topic", "t", "--from-beginning", "--exit-at-end",
        "--value-deserializer", "org.apache.kafka.common.serialization.StringDeserializer",
        "--formatter-property", f"value.deserializer.deserializer.encoding={encoding}", data_dir=tmp_path,
    )  # fmt: skip
    assert done.code == 1
    assert done.stderr == f"Error when deserializing byte[] to string due to unsupported encoding {encoding}\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":y", "can't be loaded: give RoundRobinPartitioner"),
        ("os:", "can't be loaded: give RoundRobinPartitioner"),
        ("no_such:y", "can't be loaded: No module named 'no_such'"),
        ("os.path:no_such", "can't be loaded: module 'posixpath' has no attribute 'no_such'"),
        ("broken:y", "can't be loaded: SyntaxError: "),
        ("raising:y", "can't be loaded: ZeroDivisionError: "),
        ("leaving:y", "can't be loaded: SystemExit: "),
        ("os:sep", "is not a function"),
    ],
)
def test_a_partitioner_that_can_not_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text("def y(:\n")
    (tmp_path / "raising.py").write_text("1 / 0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(InvalidConfigError) as refused:
        load_partitioner(name)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 'text'", "returned 'text', which is no partition's number"),
        ("return True", "returned True, which is no partition's number"),
        ("return None", "returned None, which is no partition's number"),
        ("return 1.0", "returned 1.0, which is no partition's number"),
        ("return 7", "Invalid partition given with record: 7"),
        ("return -1", "Invalid partition given with record: -1"),
        ("raise KeyError('k')", "raised KeyError: 'k'"),
        ("raise SystemExit(0)", "raised SystemExit: 0"),
    ],
)
def test_a_partitioner_that_does_not_choose(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"def choose(topic, key, value, partitions):\n    {body}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pykafka_cli", "console-producer", "--topic", "t", "--data-dir", "data",
         "--command-property", "partitioner.class=mine:choose"],
        cwd=tmp_path, input="a\n", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize("text", ["9223372036854775808", LONG, "40000d"])
def test_a_time_that_no_clock_counts_to_is_a_long_one(text: str) -> None:
    assert 36500 * 86400 == DURATION.convert(text, None, None) < threading.TIMEOUT_MAX


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_of_keys_that_is_never_met(tmp_path: Path, number: str) -> None:
    made = ["--topic", "t", "--max-messages", "3"]
    run("kafka-verifiable-producer", *made, "--repeating-keys", number, data_dir=tmp_path / "data")
    read = ["--topic", "t", "--from-beginning", "--exit-at-end", "--formatter-property", "print.key=true"]
    assert run("kafka-console-consumer", *read, data_dir=tmp_path / "data").stdout == "0\t0\n1\t1\n2\t2\n"
