"""Bytes agree, too: what a broker wrote to its own log directory is read by us as data, and what we wrote by its tools.

The committed segments in tests/data are of one day; these are of the broker at hand.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from pykafka_store.api import Admin
from pykafka_store.format.checkpoint import CLEANER_CHECKPOINT_FILE
from pykafka_store.format.state import FILE_NAME as STATE_FILE
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from tests.cluster.test_tools import program
from tests.support import apache
from tests.support.apache_tools import Tools

pytestmark = [pytest.mark.apache, pytest.mark.slow, pytest.mark.xdist_group("bytes")]

CODECS = ("uncompressed", "gzip", "snappy", "lz4", "zstd")
SMALL = {"internal.segment.bytes": "4000", "index.interval.bytes": "300"}
TOPICS: Mapping[str, Mapping[str, str]] = {
    **{f"codec-{codec}": {"compression.type": codec, **SMALL} for codec in CODECS},
    "stamped": {"message.timestamp.type": "LogAppendTime"},
    "tx": SMALL,
    "tx-open": {},
    "compacted": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", **SMALL},
}
FORMAT = [
    f"--formatter-property={each}"
    for each in (
        "print.timestamp=true", "print.partition=true", "print.offset=true", "print.epoch=true", "print.headers=true",
        "print.key=true", "null.literal=NULL",
    )
]  # fmt: skip
DUMPS = (
    [],
    ["--print-data-log"],
    ["--deep-iteration"],
    ["--print-data-log", "--deep-iteration", "--skip-record-metadata"],
    ["--index-sanity-check"],
    ["--verify-index-only"],
)


class Written(NamedTuple):
    """What a broker left behind when it was stopped, and what Apache's console consumer had printed of it."""

    log_dir: Path
    uncommitted: dict[str, list[str]]
    """Topic -> its lines under read_uncommitted, in the order of offsets."""
    committed: dict[str, list[str]]


FILLED = 240
"""Records that ``fill`` makes in a topic."""

TRANSACTED = {"read_uncommitted": (12 + 24 + 12, 3), "read_committed": (12 + 16 + 6, 1)}
"""Records of the topics tx and tx-open that a consumer of that isolation level gets."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """All codecs, headers, nulls, a null header, LogAppendTime, transactions of all ends, a log that was compacted."""
    from confluent_kafka import Producer

    config = {"log.cleaner.backoff.ms": "200", "log.cleaner.delete.retention.ms": "86400000"}
    with apache.Broker(config) as broker:
        with open_cluster(broker.bootstrap) as cluster:
            for topic, configs in TOPICS.items():
                cluster.admin().create_topic(topic, configs=configs)
        plain = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0, "linger.ms": 60_000})
        for topic in TOPICS:
            if topic.startswith(("codec-", "stamped")):
                fill(plain, topic)
        chooser = random.Random(7)
        for number in range(30):
            for _ in range(20):
                value = None if chooser.random() < 0.1 else b"%d" % number * 20
                plain.produce("compacted", value, b"k%d" % chooser.randrange(15), headers=[("topic", "compacted")])
            plain.flush()
        transact(plain, broker.bootstrap)
        open_one = transactional(broker.bootstrap, "open")
        begun(open_one, "tx-open", b"ended")
        open_one.commit_transaction()  # type: ignore[attr-defined]
        begun(open_one, "tx-open", b"open")
        send(plain, "tx-open", b"behind an open transaction")
        plain.flush()

        until_cleaned(broker)
        # How many records its consumer is to wait for, however slow the machine is.
        filled = FILLED * sum(topic.startswith(("codec-", "stamped")) for topic in TOPICS)
        filled += apache.record_count(broker.bootstrap, "compacted")
        printed = [
            printed_of(
                broker.run(
                    "kafka-console-consumer", "--include", "codec-.*|stamped|tx|tx-open|compacted", "--from-beginning",
                    "--isolation-level", level, "--max-messages", str(filled + sum(counts)), "--timeout-ms", "60000",
                    *FORMAT,
                )
            )
            for level, counts in TRANSACTED.items()
        ]  # fmt: skip
        broker.stop()
        kept = tmp_path_factory.mktemp("broker") / "data"
        shutil.copytree(broker.log_dir, kept)
    return Written(kept, *printed)


def send(producer: object, topic: str, value: bytes | None, key: bytes | None = None) -> None:
    """Each record says its topic in a header, as the console consumer does not."""
    producer.produce(topic, value, key, partition=0, headers=[("topic", topic)])  # type: ignore[attr-defined]


def fill(producer: object, topic: str) -> None:
    """Batches of several sizes, and what a record can lack."""
    for count in (1, 30, 3, 40, 40, 40, 40, 40):  # a broker refuses a batch that is larger than a segment
        for number in range(count):
            send(producer, topic, b"value %d " % number * (number % 7), b"key %d" % (number % 5))
        producer.flush()  # type: ignore[attr-defined]
    for value, key in ((None, b"no value"), (b"no key", None), (None, None), (b"", b""), (b"\xff\xfe", b"\x00")):
        send(producer, topic, value, key)
    headers = [("topic", topic), ("twice", b"1"), ("twice", b"2"), ("null", None), ("empty", b""), ("é", "ü".encode())]
    producer.produce(topic, b"with headers", headers=headers)  # type: ignore[attr-defined]
    producer.flush()  # type: ignore[attr-defined]


def transactional(bootstrap: str, name: str) -> object:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "log_level": 0})
    producer.init_transactions()
    return producer


def begun(producer: object, topic: str, *values: bytes) -> None:
    producer.begin_transaction()  # type: ignore[attr-defined]
    for value in values:
        send(producer, topic, value)
    producer.flush()  # type: ignore[attr-defined]


def transact(plain: object, bootstrap: str) -> None:
    """Two producers whose transactions overlap, among records of none; over several segments."""
    one, two = transactional(bootstrap, "one"), transactional(bootstrap, "two")
    for number in range(12):
        begun(one, "tx", b"one %d" % number * 20, b"more of one %d" % number)
        begun(two, "tx", b"two %d" % number * 20)
        send(plain, "tx", b"of no transaction %d" % number)
        plain.flush()  # type: ignore[attr-defined]
        for producer, ends in ((one, number % 3), (two, number % 2)):
            if ends:
                producer.commit_transaction()  # type: ignore[attr-defined]
            else:
                producer.abort_transaction()  # type: ignore[attr-defined]


def until_cleaned(broker: apache.Broker) -> None:
    """Until its cleaner has been through all but the active segment."""
    deadline = time.monotonic() + 60
    checkpoint = broker.log_dir / CLEANER_CHECKPOINT_FILE
    active = max(int(path.stem) for path in broker.partition_dir("compacted").glob("*.log"))
    while not checkpoint.exists() or f"compacted 0 {active}" not in checkpoint.read_text().splitlines():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ours(tool: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program(tool), *words], capture_output=True, timeout=60)


def printed_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, list[str]]:
    """Topic -> the lines that a console consumer printed of it."""
    lines: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    for line in done.stdout.decode("utf-8", "backslashreplace").splitlines():
        found = re.search(r"topic:([a-z0-9-]+)", line)
        assert found, line
        lines[found[1]].append(line)
    return lines


@pytest.fixture(scope="module")
def adopted(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of ours with the broker's segments in the place of our own (store/FORMAT.md)."""
    return adopt(written, tmp_path_factory.mktemp("adopted") / "data")


def adopt(written: Written, data: Path) -> Path:
    with open_cluster(data) as cluster:
        for topic, configs in TOPICS.items():
            cluster.admin().create_topic(topic, configs=configs)
    for topic in TOPICS:
        mine, theirs = data / "brokers" / "0" / f"{topic}-0", written.log_dir / f"{topic}-0"
        for path in mine.iterdir():
            if path.name != "partition.metadata":
                path.unlink()
        for path in theirs.iterdir():
            if path.name != "partition.metadata":
                shutil.copy(path, mine)
        assert not (mine / STATE_FILE).exists()
    cleaned = [
        line for line in (written.log_dir / CLEANER_CHECKPOINT_FILE).read_text().splitlines() if "compac" in line
    ]
    (data / "brokers/0/compacted-0" / CLEANER_CHECKPOINT_FILE).write_text(f"0\n1\n{cleaned[0]}\n")
    return data


@pytest.mark.parametrize("level", ["read_uncommitted", "read_committed"])
def test_our_reader_gives_what_apaches_consumer_gave(written: Written, adopted: Path, level: str) -> None:
    wanted = written.uncommitted if level == "read_uncommitted" else written.committed
    assert {len(wanted[topic]) for topic in TOPICS if topic.startswith(("codec-", "stamped"))} == {FILLED}
    assert (len(wanted["tx"]), len(wanted["tx-open"])) == TRANSACTED[level]
    assert 15 <= len(wanted["compacted"]) < 600
    for topic in TOPICS:
        done = ours(
            "kafka-console-consumer", "--data-dir", str(adopted), "--topic", topic, "--from-beginning", "--exit-at-end",
            "--isolation-level", level, *FORMAT,
        )  # fmt: skip
        assert done.stderr.decode() == f"Processed a total of {len(wanted[topic])} messages\n"
        assert printed_of(done)[topic] == wanted[topic]


def everything(directory: Path) -> str:
    """All files of the topics' folders that a dump tool reads, as ``--files`` takes them."""
    kinds = (".log", ".index", ".timeindex", ".snapshot", ".txnindex")
    folders = [directory / f"{topic}-0" for topic in TOPICS]
    found = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in kinds]
    return ",".join(map(str, found))


@pytest.mark.parametrize("options", DUMPS, ids=" ".join)
def test_our_dump_of_its_files_is_that_of_apaches_tool(java: Tools, written: Written, options: list[str]) -> None:
    done = dumped(java, everything(written.log_dir), options)
    assert b"compresscodec: zstd" in done.stdout or "--index-sanity-check" in options
    for topic in ("codec-uncompressed", "tx", "compacted"):
        assert done.stdout.count(f"Dumping {written.log_dir}/{topic}-0/".encode()) > 5, "one segment"
    assert complaints(done) == []


def complaints(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """What Apache's dump tool finds wrong: broken batches and tails on stdout, what does not fit on stderr."""
    found = [line for line in done.stdout.decode().splitlines() if re.search("isvalid: false|invalid bytes", line)]
    # It says that a segment is non-consecutive because its first batch follows no other; and where compaction was.
    errors = done.stderr.decode().splitlines()
    return found + [
        line for line in errors if not re.match(r"Non-consecutive offsets in |  -?\d+ is followed by \d+", line)
    ]


def test_what_we_append_to_its_log_is_read_by_apaches_tool(java: Tools, written: Written, tmp_path: Path) -> None:
    data = adopt(written, tmp_path / "data")
    with open_cluster(data) as cluster:
        ends = {topic: end_of(cluster.admin(), topic) for topic in TOPICS}
        with cluster.producer({"compression.type": "lz4"}) as producer:
            for topic in TOPICS:
                for number in range(20):
                    producer.send(topic, [b"appended %d" % number * 9] * 5, keys=[b"k"] * 5)
        assert {topic: end_of(cluster.admin(), topic) for topic in TOPICS} == {
            topic: end + 100 for topic, end in ends.items()
        }
    brokers = data / "brokers" / "0"
    for options in ([], ["--index-sanity-check"]):
        done = java.run("kafka-dump-log", "--files", everything(brokers), *options)
        assert (complaints(done), done.returncode) == ([], 0)
    done = ours("kafka-console-consumer", "--data-dir", str(data), "--topic", "tx", "--from-beginning", "--exit-at-end")
    assert done.stdout.count(b"appended") == 100 * 9
    assert len(done.stdout.splitlines()) == len(written.uncommitted["tx"]) + 100


def end_of(admin: Admin, topic: str) -> int:
    end = admin.list_offsets({TopicPartition(topic, 0): OffsetAt.LATEST})[TopicPartition(topic, 0)]
    assert isinstance(end, int)
    return end


# ------------------------------------------------------------------------------------------------- what we have written


@pytest.fixture(scope="module")
def our_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every codec over several segments, and a log that our compaction went over whenever a segment was full."""
    data = tmp_path_factory.mktemp("ours") / "data"
    with open_cluster(data) as cluster:
        for topic, configs in TOPICS.items():
            cluster.admin().create_topic(topic, configs=configs)
        for topic in TOPICS:
            with cluster.producer({"compression.type": "none"}) as producer:
                for count in (1, 30, 3, 200):
                    for _ in range(5):
                        values = [b"value %d " % number * (number % 7) for number in range(count)]
                        producer.send(topic, values, keys=[b"key %d" % (number % 15) for number in range(count)])
                headers = [[("twice", b"1"), ("twice", b"2"), ("null", None), ("", b""), ("é", b"")], []]
                producer.send(topic, [None, b"\xff\xfe"], keys=[b"only a key", b""], headers=headers)
    assert (data / "brokers/0/compacted-0" / CLEANER_CHECKPOINT_FILE).exists()
    return data


def dumped(java: Tools, files: str, options: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """What Apache's tool prints, which ours prints as well."""
    theirs = java.run("kafka-dump-log", "--files", files, *options)
    mine = ours("kafka-dump-log", "--files", files, *options)
    assert mine.stdout == theirs.stdout
    assert sorted(mine.stderr.splitlines()) == sorted(theirs.stderr.splitlines())
    assert mine.returncode == theirs.returncode == 0
    return theirs


@pytest.mark.parametrize("options", DUMPS, ids=" ".join)
def test_apaches_tool_accepts_our_files(java: Tools, our_data: Path, options: list[str]) -> None:
    directory = our_data / "brokers" / "0"
    done = dumped(java, everything(directory), options)
    assert complaints(done) == []
    if options == ["--index-sanity-check"]:
        passed, empty = done.stdout.count(b" passed sanity check."), done.stdout.count(b".index is empty.")
        assert passed + empty == done.stdout.count(b"index\n")
        assert passed > 50
    elif options == ["--print-data-log"]:
        assert done.stdout.count(b"| offset: ") > 7 * 5 * 234


def test_apaches_tool_accepts_what_killed_writers_leave(java: Tools, tmp_path: Path) -> None:
    data, partition = tmp_path / "data", TopicPartition("killed", 0)
    directory = data / "brokers" / "0" / "killed-0"
    with open_cluster(data) as cluster:
        cluster.admin().create_topic("killed", configs={"internal.segment.bytes": "50000", "index.interval.bytes": "1"})
        chooser, end = random.Random(3), 0
        for _ in range(12):
            producer = subprocess.Popen(
                [
                    program("kafka-console-producer"),
                    "--data-dir",
                    str(data),
                    "--topic",
                    "killed",
                    "--batch-size",
                    "500",
                ],
                stdin=subprocess.PIPE,
            )
            assert producer.stdin is not None
            enough = end + chooser.randrange(1, 1000)
            with suppress(BrokenPipeError):
                producer.stdin.write(b"a line that is written until its writer is killed\n" * 20_000)
                while end < enough:
                    found = cluster.admin().list_offsets({partition: OffsetAt.LATEST})[partition]
                    assert isinstance(found, int)
                    end = found
            producer.kill()
            producer.wait()
            with suppress(BrokenPipeError):
                producer.stdin.close()
        files = ",".join(sorted(map(str, directory.glob("0*"))))
        dumped(java, files, [])  # a torn tail is told alike
        with cluster.producer() as last:
            last.send("killed", [b"the last"])
    files = ",".join(sorted(map(str, directory.glob("0*"))))
    assert files.count(".log") > 3
    for options in DUMPS:
        assert complaints(dumped(java, files, options)) == []
