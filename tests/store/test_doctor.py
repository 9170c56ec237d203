"""The doctor names every kind of damage and changes nothing; a repair mends what it may and loses no acknowledged
record; and where nothing is wrong, whoever works or was killed there, nothing is said to be.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import ADVICE, Disk
from pykafka_store.embedded.health.doctor import Doctor
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.replicas import Replicas
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.errors import CorruptRecordError, StorageError, UnsupportedVersionError
from pykafka_store.format.batch import HEADER_SIZE, crc_of, split_batches
from pykafka_store.format.checkpoint import format_leader_epochs
from pykafka_store.format.state import pack_state, parse_state
from pykafka_store.model import CheckReport, ConfigResource, OffsetAt, Severity, TopicPartition, random_topic_id
from pykafka_store.open import check_data_directory
from tests.store.helpers import AT_ONCE, of_another_boot
from tests.store.test_retention import Killed, StoppingDisk

T = TopicPartition("t", 0)
SEGMENTS = {"internal.segment.bytes": "9000", "index.interval.bytes": "300", "retention.ms": "-1"}
STATE = "published-state"


class Data:
    """A data directory with topic t: one partition of several segments, its records known."""

    def __init__(self, path: Path, brokers: int = 1, **configs: str) -> None:
        self.path = path / "data"
        with EmbeddedCluster(str(self.path)) as cluster:
            for _ in range(1, brokers):
                cluster.add_broker()
            settings = {**SEGMENTS, **{name.replace("_", "."): value for name, value in configs.items()}}
            cluster.admin().create_topic("t", assignments=[list(range(brokers))], configs=settings)
            self.sent: list[bytes] = []
            with cluster.producer(AT_ONCE) as producer:
                for number in range(160):
                    values = [b"%d:%d" % (number, index) + b"x" * 40 for index in range(5)]
                    keys = [b"%d" % (index % 3) for index in range(5)]
                    producer.send("t", values, keys=keys, timestamps=1000 + number)
                    self.sent += values

    def replica(self, broker: int = 0) -> Path:
        return self.path / "brokers" / str(broker) / "t-0"

    @property
    def logs(self) -> list[Path]:
        """Of broker 0's replica, oldest first: the last one is active, and not empty."""
        found = sorted(self.replica().glob("*.log"))
        assert len(found) > 5
        assert found[-1].stat().st_size
        return found

    def read(self) -> list[bytes | None]:
        with EmbeddedCluster(str(self.path)) as cluster, cluster.consumer() as consumer:
            consumer.assign({T: OffsetAt.EARLIEST})
            found: list[bytes | None] = []
            while some := consumer.poll():
                found += [value for run in some for value in run.values]
            return found

    def append(self) -> None:
        with EmbeddedCluster(str(self.path)) as cluster, cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"one more"])
            self.sent.append(b"one more")

    def check(self) -> CheckReport:
        """What the doctor says, who must not change anything."""
        before = tree(self.path)
        report = check_data_directory(self.path)
        assert tree(self.path) == before
        return report

    def repair(self) -> CheckReport:
        return check_data_directory(self.path, repair=True)


def tree(path: Path) -> dict[str, tuple[object, ...]]:
    """Everything that is to be seen of a directory: names, times, links, bytes."""
    found = {}
    for parent, directories, files in os.walk(path):
        for name in (".", *directories, *files):
            each = os.path.join(parent, name)
            status = os.lstat(each)
            digest = "" if os.path.isdir(each) else hashlib.sha256(Path(each).read_bytes()).hexdigest()
            found[each] = status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, digest
    return found


def said(report: CheckReport) -> list[str]:
    return [f"{each.severity}: {each.where}: {each.message}" for each in report.findings]


def newest(values: list[bytes | None]) -> dict[int, bytes]:
    """Of each key, the last value: what compaction must leave."""
    return {int(value.split(b":")[1][:1]) % 3: value for value in values if value is not None}


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)


def batch_at(path: Path, number: int) -> int:
    """The position of a batch of a log."""
    return [batch.position for batch in split_batches(path.read_bytes())][number]


# ---------------------------------------------------------------------------------------------------- nothing is wrong


@pytest.mark.parametrize("brokers", [1, 3])
def test_a_healthy_directory(tmp_path: Path, brokers: int) -> None:
    data = Data(tmp_path, brokers)
    report = data.check()
    assert said(report) == []
    logs = sum(path.stat().st_size for path in data.path.rglob("*.log"))
    assert (report.partitions, report.replicas, report.bytes, report.problems) == (1, brokers, logs, 0)
    before = tree(data.path)
    assert data.repair() == report
    assert tree(data.path) == before


def test_after_retention_compaction_and_deletion(tmp_path: Path) -> None:
    data = Data(tmp_path, 3)
    with EmbeddedCluster(str(data.path)) as cluster:
        admin = cluster.admin()
        admin.incremental_alter_configs(
            ConfigResource("topic", "t"), {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
        )
        assert cluster.maintain().compacted_out
        assert said(data.check()) == []
        admin.incremental_alter_configs(
            ConfigResource("topic", "t"), {"cleanup.policy": "delete", "retention.bytes": "5000"}
        )
        assert cluster.maintain().retained_out
        assert said(data.check()) == []
        admin.create_topic("gone")
        admin.delete_topic("gone")
        assert said(data.check()) == []
    assert said(data.check()) == []


def test_after_another_boot(data: Data) -> None:
    state = data.replica() / STATE
    state.write_bytes(of_another_boot(state.read_bytes()))
    assert said(data.check()) == []


@pytest.mark.parametrize("policy", ["compact", "delete"])
def test_upkeep_that_is_killed_at_any_step_is_no_problem(tmp_path: Path, policy: str) -> None:
    sample = Data(tmp_path)
    with EmbeddedCluster(str(sample.path)) as cluster:
        settings = {"cleanup.policy": policy, "min.cleanable.dirty.ratio": "0", "retention.bytes": "5000"}
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), settings)
    seen = set()
    for steps in count(0, 3):
        data = Data.__new__(Data)
        data.path = tmp_path / f"{steps}"
        shutil.copytree(sample.path, data.path)
        cluster = EmbeddedCluster(str(data.path), disk=StoppingDisk(steps))
        try:
            (upkeep,) = upkeep_of(hosted(cluster.engine, T))
            upkeep.run()
            break
        except Killed:
            pass
        finally:
            cluster.close()
        report = data.check()
        assert report.problems == 0, said(report)
        seen |= {re.sub(r"^.*/0+[0-9]*", "", line) for line in said(report)}
        records = data.read()
        assert [line for line in said(data.repair()) if "-stray" not in line] == []
        assert [each for each in data.replica().iterdir() if each.name.endswith((".cleaned", ".swap"))] == []
        assert newest(data.read()) == newest(records)
    if policy == "compact":
        assert {".log.cleaned: of a compaction that was killed", ".log.swap: of a compaction that was killed"} <= seen


def test_a_deleting_that_is_killed_at_any_step_is_no_problem_and_maintain_finishes_it(tmp_path: Path) -> None:
    """What is left holds records, and is told from that of a topic which an older catalogue does not know."""
    sample = Data(tmp_path)
    with EmbeddedCluster(str(sample.path)) as cluster:
        cluster.admin().create_partitions("t", 3)
    seen = set()
    for steps in count():
        data = Data.__new__(Data)
        data.path = tmp_path / f"{steps}"
        shutil.copytree(sample.path, data.path)
        cluster = EmbeddedCluster(str(data.path), disk=StoppingDisk(steps))
        try:
            cluster.admin().delete_topic("t")
            break
        except Killed:
            pass
        finally:
            cluster.close()
        report = data.check()
        assert report.problems == 0, said(report)
        seen |= {each.message for each in report.findings}
        with EmbeddedCluster(str(data.path)) as cluster:
            assert cluster.admin().list_topics() == []
            if steps % 2:  # its name is free, and a new topic of that name is not touched
                cluster.admin().create_topic("t", partitions=2)
            assert cluster.maintain().failures == ()
            assert cluster.engine.catalog.deletions() == {}
        left = {each.name for each in data.replica().parent.iterdir()}
        assert left == ({"t-0", "t-1"} if steps % 2 else set())
        assert said(data.check()) == []
    assert steps > 5
    assert seen == {"is of a topic whose deleting was cut short", "is of a deleted replica"}


WRITER = """
import sys
from pykafka_store.embedded.cluster import EmbeddedCluster
with EmbeddedCluster(sys.argv[1]) as cluster, cluster.producer({"linger.ms": "0"}) as producer:
    number = 0
    while True:
        producer.send("t", [b"%d" % number] * 20, keys=[b"%d" % (i % 5) for i in range(20)])
        if number == 20:
            print("writes", flush=True)
        number += 1
"""


@pytest.mark.parametrize("policy", ["compact", "delete"])
def test_beside_writers_and_after_their_death(tmp_path: Path, policy: str) -> None:
    data = Data(tmp_path, 3, cleanup_policy=policy, min_cleanable_dirty_ratio="0", retention_bytes="30000")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(data.path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writes\n"
        for _ in range(5):
            report = check_data_directory(data.path)
            assert report.problems == 0, said(report)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    report = data.check()
    assert report.problems == 0, said(report)
    assert [line for line in said(data.repair()) if "-stray" not in line] == []


def test_what_may_only_be_read(data: Data) -> None:
    shutil.rmtree(data.path / "locks")
    for path in (data.path, *data.path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert said(data.check()) == []
    finally:
        for path in (data.path, *data.path.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


# -------------------------------------------------------------------------------------------------- what can be mended


def _state(data: Data, **fields: object) -> None:
    path = data.replica() / STATE
    path.write_bytes(pack_state(parse_state(path.read_bytes())._replace(**fields)))  # type: ignore[arg-type]


def _write(name: str, content: bytes) -> Callable[[Data], object]:
    return lambda data: (data.replica() / name).write_bytes(content)


def _remove(name: str) -> Callable[[Data], object]:
    return lambda data: (data.replica() / name).unlink()


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


class Case(NamedTuple):
    """A kind of damage, and a pattern of what is said of it."""

    damage: Callable[[Data], object]
    said: str


MENDED = {
    "bytes beyond the published end": Case(
        lambda data: _append(data.logs[-1], b"x" * 100), r"info: .*\.log: 100 bytes beyond the published end"
    ),
    "a whole batch beyond it": Case(
        lambda data: _append(data.logs[-1], data.logs[0].read_bytes()[:300]), r"info: .*\.log: 300 bytes beyond"
    ),
    "no state": Case(_remove(STATE), f"warning: .*{STATE}: is missing"),
    "a torn state": Case(lambda data: flip(data.replica() / STATE, 60), f"warning: .*{STATE}: does not check"),
    "other times in the state": Case(
        lambda data: _state(data, max_timestamp=5), f"warning: .*{STATE}: has other timestamps"
    ),
    "an offset index is cut": Case(
        lambda data: os.truncate(data.logs[1].with_suffix(".index"), 0),
        r"warning: .*\.index: has no entry for its last",
    ),
    "an offset index is cut within an entry": Case(
        lambda data: os.truncate(data.logs[1].with_suffix(".index"), 13), r"warning: .*\.index: ends with 5 bytes"
    ),
    "a time index is cut": Case(
        lambda data: os.truncate(data.logs[1].with_suffix(".timeindex"), 12),
        r"warning: .*\.timeindex: does not end with the segment's largest timestamp",
    ),
    "garbage in an offset index": Case(
        lambda data: flip(data.logs[1].with_suffix(".index"), 7),
        r"warning: .*\.index: has an entry for byte \d+, where",
    ),
    "another offset in an offset index": Case(
        lambda data: flip(data.logs[1].with_suffix(".index"), 3), r"warning: .*\.index: says offset \d+ of the batch"
    ),
    "garbage in a time index": Case(
        lambda data: flip(data.logs[1].with_suffix(".timeindex"), 7), r"warning: .*\.timeindex: says time \d+ up to"
    ),
    "another offset in a time index": Case(
        lambda data: flip(data.logs[1].with_suffix(".timeindex"), 11),
        r"warning: .*\.timeindex: has an entry for offset",
    ),
    "an index is missing": Case(
        lambda data: data.logs[1].with_suffix(".index").unlink(), r"warning: .*\.index: is missing"
    ),
    "the active index is cut": Case(
        lambda data: os.truncate(data.logs[-1].with_suffix(".index"), 8), r"warning: .*\.index: has 1 entries where"
    ),
    "garbage in the active time index": Case(
        lambda data: flip(data.logs[-1].with_suffix(".timeindex"), 6), r"warning: .*\.timeindex: says time"
    ),
    "no leader epochs": Case(_remove("leader-epoch-checkpoint"), "warning: .*leader-epoch-checkpoint: is missing"),
    "malformed leader epochs": Case(
        _write("leader-epoch-checkpoint", b"0\n2\n0 0\n"), "warning: .*leader-epoch-checkpoint: .*announces 2 entries"
    ),
    "leader epochs that are not those of the log": Case(
        _write("leader-epoch-checkpoint", format_leader_epochs([(0, 10)]).encode()),
        "warning: .*leader-epoch-checkpoint: offset 0 has epoch 0 in the log, and None here",
    ),
    "a leader epoch that was not": Case(
        _write("leader-epoch-checkpoint", format_leader_epochs([(0, 0), (3, 10)]).encode()),
        "warning: .*leader-epoch-checkpoint: it ends with epoch 3",
    ),
    "no partition.metadata": Case(_remove("partition.metadata"), "warning: .*partition.metadata: is missing"),
    "another's partition.metadata": Case(
        _write("partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"),
        "warning: .*partition.metadata: does not name",
    ),
    "a damaged cleaner checkpoint": Case(
        _write("cleaner-offset-checkpoint", b"?"), "warning: .*cleaner-offset-checkpoint: is damaged"
    ),
    "a temporary file": Case(_write("leader-epoch-checkpoint.tmp", b"?"), r"info: .*\.tmp: was left by a process"),
    "compaction's work, not decided": Case(
        _write(f"{0:020d}.log.cleaned", b"?"), r"info: .*\.log.cleaned: of a compaction that was killed"
    ),
    "a directory that no topic has": Case(
        lambda data: shutil.copytree(data.replica(), data.path / "brokers" / "0" / "lost-0"),
        "warning: brokers/0/lost-0: holds records, and no topic",
    ),
    "an empty one": Case(
        lambda data: (data.path / "brokers" / "0" / "lost-0").mkdir(), "info: brokers/0/lost-0: belongs to no topic"
    ),
    "no meta.properties": Case(lambda data: (data.path / "meta.properties").unlink(), "error: meta.properties: is"),
    "no layout.version": Case(
        lambda data: (data.path / "meta.properties").write_text(f"cluster.id={random_topic_id()}\n"),
        "error: meta.properties: has no layout.version",
    ),
}


def _tables(catalogue: bytes) -> list[str]:
    """All that a catalogue says, but how often it was changed."""
    with closing(sqlite3.connect(":memory:")) as connection:
        # In memory there is no WAL: bytes 18 and 19 say that this file has none.
        connection.deserialize(catalogue[:18] + b"\x01\x01" + catalogue[20:])
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "changes"')]


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_mended(data: Data, name: str) -> None:
    case = MENDED[name]
    case.damage(data)
    before = {path: path.read_bytes() for path in data.path.rglob("*") if path.is_file()}
    report = data.check()
    (line,) = said(report)
    assert re.match(case.said, line), line
    assert report.findings[0].repairable
    assert report.problems == (0 if line.startswith("info") else 1)

    repaired = data.repair()
    assert repaired.problems == 0, said(repaired)
    assert repaired.mended == report.findings
    for path, content in before.items():
        kept = [Path(each) / path.relative_to(data.path) for each in repaired.kept]
        moved = [Path(each) / path.name for each in repaired.kept]
        found = [each.read_bytes() for each in (path, *kept, *moved) if each.exists()]
        if path.name == "metadata.db":
            assert _tables(content) in map(_tables, found)  # before a directory is set aside something is committed
        else:
            assert content in found or path.name.endswith(("-wal", "-shm")), path
    assert data.read() == data.sent
    data.append()
    assert data.read() == data.sent
    assert [line for line in said(data.check()) if "was set aside" not in line] == []


@pytest.mark.parametrize("name", ["no state", "no meta.properties", "an offset index is cut"])
def test_a_repair_beside_a_writer(data: Data, name: str) -> None:
    with EmbeddedCluster(str(data.path)) as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"open"])
        data.sent.append(b"open")
        MENDED[name].damage(data)
        assert data.repair().problems == 0
        producer.send("t", [b"after"])
        data.sent.append(b"after")
    assert data.read() == data.sent


# ----------------------------------------------------------------------------------------------- what can't be mended


def _zero_header(data: Data) -> None:
    raw = bytearray(data.logs[1].read_bytes())
    raw[batch_at(data.logs[1], 2) :][:HEADER_SIZE] = bytes(HEADER_SIZE)
    start = batch_at(data.logs[1], 2)
    raw[start : start + HEADER_SIZE] = bytes(HEADER_SIZE)
    data.logs[1].write_bytes(raw)


LOST = {
    "a byte of a sealed segment": Case(
        lambda data: flip(data.logs[1], batch_at(data.logs[1], 3) + 100),
        r"error: .*\.log: at byte \d+: the CRC of the batch is wrong",
    ),
    "a byte of the active segment": Case(
        lambda data: flip(data.logs[-1], batch_at(data.logs[-1], 2) + 100), r"error: .*\.log: at byte \d+: the CRC"
    ),
    "a base offset": Case(
        lambda data: flip(data.logs[1], batch_at(data.logs[1], 2) + 7),
        r"error: .*\.log: at byte \d+: a batch begins with offset \d+ where \d+ comes next",
    ),
    "a batch's length": Case(
        lambda data: flip(data.logs[1], batch_at(data.logs[1], 2) + 11), r"error: .*\.log: at byte \d+: the CRC"
    ),
    "a header": Case(_zero_header, r"error: .*\.log: is damaged at byte \d+: unknown magic byte 0"),
    "a batch's leader epoch": Case(
        lambda data: flip(data.logs[1], batch_at(data.logs[1], 2) + 15),
        r"error: .*\.log: at byte \d+: a batch has leader epoch 1, and the newest is 0",
    ),
    "the end of a sealed segment": Case(
        lambda data: os.truncate(data.logs[1], batch_at(data.logs[1], -1)),
        r"error: .*\.log: ends with offset \d+, and \d+ comes next",
    ),
    "the end of the active segment": Case(
        lambda data: os.truncate(data.logs[-1], batch_at(data.logs[-1], -1)),
        r"error: .*\.log: holds \d+ bytes where \d+ were acknowledged",
    ),
    "a segment": Case(lambda data: data.logs[2].unlink(), r"error: .*\.log: ends with offset"),
    "the first segment": Case(
        lambda data: data.logs[0].unlink(), r"error: brokers/0/t-0: the log starts at offset 0, and its first"
    ),
    "the active segment": Case(lambda data: data.logs[-1].unlink(), r"error: .*\.log: is missing"),
    "the directory": Case(lambda data: shutil.rmtree(data.replica()), "error: brokers/0/t-0: is missing"),
    "another topic's directory": Case(
        lambda data: _state(data, topic_id=b"0123456789abcdef"), f"error: .*{STATE}: is that of another topic"
    ),
    "a state that says deleted": Case(lambda data: _state(data, flags=1), f"error: .*{STATE}: says that the partition"),
    "a state that can't be": Case(
        lambda data: _state(data, high_watermark=10**6), f"error: .*{STATE}: the high watermark is beyond"
    ),
    "a state of a version to come": Case(
        lambda data: (data.replica() / STATE).write_bytes(_of_version_2((data.replica() / STATE).read_bytes())),
        "error: brokers/0/t-0: published state of version 2",
    ),
    "the log directory": Case(lambda data: shutil.rmtree(data.path / "brokers" / "0"), "error: brokers/0: is missing"),
    "the catalogue": Case(
        lambda data: (data.path / "metadata.db").write_bytes(b"?" * 5000), "error: metadata.db: file is not a database"
    ),
    "a page of the catalogue": Case(
        lambda data: _overwrite(data.path / "metadata.db", 4096, b"?" * 4096), "error: metadata.db: "
    ),
    "all of the catalogue": Case(lambda data: (data.path / "metadata.db").unlink(), "error: metadata.db: is missing"),
    "the groups": Case(
        lambda data: (data.path / "groups.db").write_bytes(b"?" * 5000), "error: groups.db: file is not a database"
    ),
    "a transaction index": Case(
        lambda data: data.logs[1].with_suffix(".txnindex").write_bytes(b"?"), r"error: .*\.txnindex: the last entry"
    ),
}


def _overwrite(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def _of_version_2(state: bytes) -> bytes:
    import google_crc32c

    fields = state[:4] + b"\x00\x02" + state[6:148]
    return fields + google_crc32c.value(fields).to_bytes(4, "big")


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_told_and_left_alone(data: Data, name: str) -> None:
    case = LOST[name]
    case.damage(data)
    report = data.check()
    assert re.match(case.said, said(report)[0]), said(report)
    assert report.problems == 1
    before = tree(data.path)
    repaired = data.repair()
    assert tree(data.path) == before
    assert said(repaired) == said(report)
    assert "backup" in repaired.findings[0].meaning or "disk" in repaired.findings[0].meaning


def test_a_lost_state_and_damage_are_not_cut(data: Data) -> None:
    """Recovery would take what is behind the damage for a torn tail: it is told, and no repair does it."""
    log = data.logs[-1]
    flip(log, batch_at(log, 1) + 80)
    (data.replica() / STATE).unlink()
    report = data.check()
    assert re.match(r"error: .*\.log: is damaged at byte \d+, and whole batches follow", said(report)[1])
    before = tree(data.path)
    assert said(data.repair()) == said(report)
    assert tree(data.path) == before


def test_several_things_at_once(data: Data) -> None:
    """What can be mended is, also beside what can't; and the reader is told of the rest."""
    flip(data.logs[1], batch_at(data.logs[1], 2) + 100)
    os.truncate(data.logs[3].with_suffix(".index"), 0)
    (data.replica() / "partition.metadata").unlink()
    assert [each.severity for each in data.check().findings].count(Severity.WARNING) == 2
    repaired = data.repair()
    assert [each.severity for each in repaired.findings] == [Severity.ERROR]
    assert len(repaired.mended) == 2
    with pytest.raises(CorruptRecordError):
        data.read()


def test_rows_of_the_catalogue_that_can_not_be(data: Data) -> None:
    with sqlite3.connect(data.path / "metadata.db") as connection:
        connection.execute("UPDATE partitions SET leader = 7")
    connection.close()
    assert said(data.check()) == ["error: metadata.db: partition t-0 is led by broker 7, which is not in sync"]
    with sqlite3.connect(data.path / "metadata.db") as connection:
        connection.execute("UPDATE partitions SET leader = 0")
        connection.execute("DELETE FROM log_dirs")
    connection.close()
    assert said(data.check()) == ["error: metadata.db: broker 0 has no log directory"]


def test_no_data_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a pykafka data directory"):
        check_data_directory(tmp_path)
    with pytest.raises(StorageError, match="does not exist"):
        check_data_directory(tmp_path / "none", repair=True)
    assert list(tmp_path.iterdir()) == []


def test_versions_to_come(data: Data) -> None:
    with sqlite3.connect(data.path / "metadata.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnsupportedVersionError, match=f"^{data.path}/metadata.db has version 99"):
        check_data_directory(data.path)
    meta = data.path / "meta.properties"
    meta.write_text(meta.read_text().replace("layout.version=1", "layout.version=2"))
    with pytest.raises(UnsupportedVersionError, match="upgrade pykafka-toolkit"):
        data.repair()


# ------------------------------------------------------------------------------------------------------------- groups


MEMBER = """
import sys, time
from pykafka_store.open import open_cluster
with open_cluster("file:" + sys.argv[1]) as cluster, cluster.consumer({"group.id": "g"}) as consumer:
    consumer.subscribe(["t"])
    while not consumer.assignment():
        consumer.poll(0.05)
    consumer.commit()
    print("in", flush=True)
    time.sleep(60)
"""


def test_dead_members(data: Data) -> None:
    process = subprocess.Popen([sys.executable, "-c", MEMBER, str(data.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        assert said(check_data_directory(data.path)) == []
    finally:
        process.kill()
        process.communicate()
    (lease,) = data.path.glob("groups/*/*")
    (lease.parent / ("0" * 32)).write_bytes(b"1\n")
    report = data.check()
    assert report.problems == 0
    assert [re.sub(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line) for line in said(report)] == [
        "info: groups/g-cd0aa9856147b6c5b4ff2b7d/ID: member consumer-g-1-ID of group g is dead",
        "info: groups/g-cd0aa9856147b6c5b4ff2b7d/ID: is a lease that no member of group g has",
    ]
    repaired = data.repair()
    assert said(repaired) == []
    assert len(repaired.mended) == 2
    assert (Path(repaired.kept[0]) / lease.relative_to(data.path)).exists()


def test_what_was_killed_while_it_was_made(tmp_path: Path) -> None:
    data = Data.__new__(Data)
    data.path = tmp_path
    with EmbeddedCluster(str(tmp_path)):
        pass
    (tmp_path / "groups.db").touch()
    assert said(data.check()) == []
    (tmp_path / "meta.properties").unlink()
    assert said(data.check()) == ["info: meta.properties: is missing"]


def test_an_offset_beyond_the_end(data: Data) -> None:
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.admin().alter_group_offsets("g", {T: 800})
        assert said(data.check()) == []
    with sqlite3.connect(data.path / "groups.db") as connection:
        connection.execute("UPDATE offsets SET position = 801")
    connection.close()
    assert said(data.check()) == ["warning: groups.db: group g committed offset 801 of t-0, which ends at 800"]


# ------------------------------------------------------------------------------------------------------------ replicas


def _another_record(data: Data) -> None:
    """A batch of a follower that says something else, with a CRC that is right."""
    path = data.replica(1) / data.logs[1].name
    raw = bytearray(path.read_bytes())
    batch = next(split_batches(bytes(raw)))
    raw[batch.header.size - 2] ^= 1
    raw[17:21] = crc_of(bytes(raw[: batch.header.size])).to_bytes(4, "big")
    path.write_bytes(raw)


REMADE = {
    "another record": Case(_another_record, r"error: brokers/1/t-0/\d+\.log: differs from that of broker 0"),
    "damage at a follower": Case(
        lambda data: flip(data.replica(1) / data.logs[2].name, 100), r"error: brokers/1/t-0/\d+\.log: at byte"
    ),
    "damage at the leader": Case(lambda data: flip(data.logs[2], 100), r"error: brokers/0/t-0/\d+\.log: at byte"),
    "damage at all but one": Case(
        lambda data: [
            flip(data.replica(broker) / data.logs[number].name, 100) for number in range(3) for broker in range(2)
        ],
        r"error: brokers/0/t-0/\d+\.log: at byte",
    ),
    "a segment of the leader is gone": Case(lambda data: data.logs[2].unlink(), "error: brokers/0/t-0/.*: ends with"),
    "the leader's directory is gone": Case(lambda data: shutil.rmtree(data.replica()), "error: brokers/0/t-0: is"),
    "a follower's directory is gone": Case(lambda data: shutil.rmtree(data.replica(2)), "error: brokers/2/t-0: is"),
    "an older follower": Case(
        lambda data: _older(data, 1), "error: brokers/1/t-0: is in sync, and ends at offset 790 of 800"
    ),
}


def _older(data: Data, broker: int) -> None:
    log = data.replica(broker) / data.logs[-1].name
    state = data.replica(broker) / STATE
    old = parse_state(state.read_bytes())
    end = batch_at(log, -2)
    newest, count = 1157, end // 100
    os.truncate(log, end)
    state.write_bytes(
        pack_state(
            old._replace(
                log_end_offset=790,
                high_watermark=790,
                end_position=end,
                index_entries=min(old.index_entries, count) - 2,
                time_index_entries=old.time_index_entries - 2,
                synced_position=0,
                recovery_point=old.active_base_offset,
                max_timestamp=newest,
                max_timestamp_offset=789,
            )
        )
    )


@pytest.mark.parametrize("name", REMADE)
def test_a_replica_is_made_anew_from_another(tmp_path: Path, name: str) -> None:
    data = Data(tmp_path, 3)
    REMADE[name].damage(data)
    report = data.check()
    assert re.match(REMADE[name].said, said(report)[0]), said(report)
    assert report.problems
    assert all(each.repairable for each in report.findings if each.severity is not Severity.INFO)
    repaired = data.repair()
    assert repaired.problems == 0, said(repaired)
    assert data.read() == data.sent
    with EmbeddedCluster(str(data.path)) as cluster:
        assert sorted(cluster.admin().describe_topics(["t"])[0].partitions[0].isr) == [0, 1, 2]
    first, *others = [
        {path.name: path.read_bytes() for path in data.replica(broker).glob("*.log")} for broker in range(3)
    ]
    assert others == [first, first]
    data.append()
    assert data.read() == data.sent


def test_a_replica_that_comes_back_from_a_leader_whose_compaction_was_killed(tmp_path: Path) -> None:
    """What compaction was about to remove is not copied."""
    sample = Data(tmp_path, 2)
    with EmbeddedCluster(str(sample.path)) as cluster:
        settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), settings)
    for steps in count(0, 3):
        data = Data.__new__(Data)
        data.path = tmp_path / f"{steps}"
        shutil.copytree(sample.path, data.path)
        cluster = EmbeddedCluster(str(data.path), disk=StoppingDisk(steps))
        try:
            upkeep_of(hosted(cluster.engine, T))[0].run()
            break
        except Killed:
            pass
        finally:
            cluster.close()
        shutil.rmtree(data.replica(1))
        with EmbeddedCluster(str(data.path)) as cluster:
            assert Replicas(hosted(cluster.engine, T)).bring_back().caught_up == 1
        report = data.check()
        assert report.problems == 0, said(report)


def test_all_replicas_are_damaged(tmp_path: Path) -> None:
    data = Data(tmp_path, 3)
    for broker in range(3):
        flip(data.replica(broker) / data.logs[broker].name, 100)
    before = tree(data.path)
    repaired = data.repair()
    assert tree(data.path) == before
    assert [each.repairable for each in repaired.findings] == [False] * 3


def test_brokers_that_are_stopped_and_behind(tmp_path: Path) -> None:
    data = Data(tmp_path, 3)
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.stop_broker(0)
        data.append()
    behind = "info: brokers/0/t-0: the replica on broker 0 is not in sync"
    assert said(data.check()) == [behind]
    flip(data.logs[0], 100)
    assert said(data.check()) == [behind]
    shutil.rmtree(data.path / "brokers" / "0")
    assert said(data.check()) == ["info: brokers/0: is missing", behind]
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.stop_broker(1)
        cluster.stop_broker(2)
    report = data.check()
    assert (report.problems, report.replicas) == (0, 3)


def test_the_disk_of_a_broker(tmp_path: Path) -> None:
    """Gone, unmounted, or without the file by which it is known."""
    data = Data(tmp_path, 2)
    disk = data.path / "brokers" / "1"
    disk.rename(tmp_path / "away")
    assert said(data.check()) == ["error: brokers/1: is missing"]
    disk.mkdir()
    assert said(data.check()) == ["error: brokers/1/meta.properties: is missing"]
    disk.rmdir()
    (tmp_path / "away").rename(disk)
    meta = disk / "meta.properties"
    text = meta.read_text()
    meta.unlink()
    assert said(data.check()) == ["error: brokers/1/meta.properties: is missing"]
    assert said(data.repair()) == []
    assert sorted(meta.read_text().splitlines()[1:]) == sorted(text.splitlines()[1:])
    meta.write_text(re.sub("directory.id=.*", f"directory.id={random_topic_id()}", text))
    assert said(data.repair()) == ["error: brokers/1/meta.properties: does not say this directory's directory.id"]


def test_log_directories_elsewhere_and_a_move(tmp_path: Path) -> None:
    data = Data(tmp_path)
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.add_broker(log_dirs=[str(tmp_path / "one"), str(tmp_path / "two")])
        cluster.admin().create_topic("m", assignments=[[1]])
        with cluster.producer(AT_ONCE) as producer:
            producer.send("m", [b"x"] * 10)
        assert said(data.check()) == []
        first = next(path.parent for path in (tmp_path / "one" / "m-0", tmp_path / "two" / "m-0") if path.exists())
        other = tmp_path / ({"one", "two"} - {first.name}).pop()
        answers = cluster.admin().alter_replica_log_dirs({(TopicPartition("m", 0), 1): str(other)})
        assert list(answers.values()) == [None]
        shutil.copytree(first / "m-0", other / "m-0")  # on its way
        assert said(data.check()) == []
        cluster.reassign()
        assert said(data.check()) == []
    (other / "m-0" / "partition.metadata").unlink()
    assert said(data.check()) == [f"warning: {other}/m-0/partition.metadata: is missing"]
    (other / "m-0" / "leader-epoch-checkpoint").write_text("?")
    repaired = data.repair()
    assert said(repaired) == []
    kept = Path(repaired.kept[0]) / "outside" / str(other).lstrip("/") / "m-0" / "leader-epoch-checkpoint"
    assert kept.read_text() == "?"


def _after_a_power_cut(data: Data, **lost: int) -> None:
    """Nothing was synced; ``broker_0=3``: that broker's replica lost its last three batches."""
    for broker in range(3):
        state = data.replica(broker) / STATE
        state.write_bytes(of_another_boot(state.read_bytes()))
        log = data.replica(broker) / data.logs[-1].name
        if number := lost.get(f"broker_{broker}"):
            os.truncate(log, batch_at(log, -number))


@pytest.mark.parametrize("damaged", [[0], [1], [2], [0, 2], [0, 1, 2]])
def test_a_repair_after_a_power_cut_keeps_the_longest_replica(tmp_path: Path, damaged: list[int]) -> None:
    """A remedy of one replica does not let it lead though others have more."""
    data = Data(tmp_path, 3)
    _after_a_power_cut(data, broker_0=3, broker_1=2)
    for broker in damaged:
        os.truncate(data.replica(broker) / data.logs[1].with_suffix(".index").name, 0)
    repaired = data.repair()
    assert repaired.problems == 0, said(repaired)
    assert data.read() == data.sent
    with EmbeddedCluster(str(data.path)) as cluster:
        assert Replicas(hosted(cluster.engine, T)).bring_back().behind == 0
    assert data.read() == data.sent
    assert data.check().problems == 0


def test_what_follows_damage_after_a_power_cut_is_told(data: Data) -> None:
    """The next writer takes it for a torn tail: whoever can put the file right should do so before."""
    log = data.logs[-1]
    flip(log, batch_at(log, 1) + 80)
    state = data.replica() / STATE
    state.write_bytes(of_another_boot(state.read_bytes()))
    report = data.check()
    (line,) = said(report)
    assert re.match(r"error: .*\.log: is damaged at byte \d+, and whole batches follow", line), line
    before = tree(data.path)
    assert said(data.repair()) == [line]
    assert tree(data.path) == before


def test_a_lost_state_before_a_large_file_with_nothing_in_it(data: Data) -> None:
    """What follows the last batch is gone through piece by piece."""
    (data.replica() / STATE).unlink()
    os.truncate(data.logs[-1], 1 << 31)
    script = (
        "import sys\n"
        "from pykafka_store.open import check_data_directory\n"
        "print(check_data_directory(sys.argv[1]).findings)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(data.path)], capture_output=True, text=True, check=True)
    findings, peak = done.stdout.splitlines()
    assert "is missing" in findings
    assert int(peak) < 200 << 10  # kilobytes


def test_two_repairs_of_one_second_keep_their_own_copies(data: Data) -> None:
    kept = set()
    for number in range(2):
        (data.replica() / "leader-epoch-checkpoint").write_text(f"damaged {number}")
        kept |= {Path(path) for path in data.repair().kept}
    found = {(path / "brokers/0/t-0/leader-epoch-checkpoint").read_text() for path in kept}
    assert found == {"damaged 0", "damaged 1"}


def test_files_that_are_much_too_large(data: Data) -> None:
    """Each is named, nothing is read that is not there, and a copy of nothing takes no room."""
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.admin().alter_group_offsets("g", {T: 5})
    end = data.logs[-1].stat().st_size
    for path, size in (
        (data.path / "groups.db", 5 << 30),
        (data.logs[2].with_suffix(".txnindex"), 1 << 30),
        (data.logs[-1], 1 << 30),
    ):
        with path.open("ab") as file:
            file.truncate(size)
    repaired = data.repair()
    assert [line.partition(" is larger")[0] for line in said(repaired)] == [
        "error: groups.db:",
        f"error: brokers/0/t-0: {data.logs[2].stem}.txnindex",
    ]
    os.truncate(data.path / "groups.db", 0)
    data.logs[2].with_suffix(".txnindex").unlink()
    repaired = data.repair()
    assert [each.message for each in repaired.mended] == [f"{(1 << 30) - end} bytes beyond the published end"]
    (kept,) = repaired.kept
    copy = Path(kept) / data.logs[-1].relative_to(data.path)
    assert copy.stat().st_size == 1 << 30
    assert copy.stat().st_blocks * 512 < 10 << 20
    assert data.read() == data.sent


def test_what_may_not_be_read_may_be_whole(data: Data) -> None:
    """Of another user: no backup is asked for, and no disk to be mounted."""

    class Locked(Disk):
        def open(self, path: str, flags: int = os.O_RDONLY) -> int:
            if path.endswith("metadata.db"):
                raise StorageError(f"{path}: {os.strerror(errno.EACCES)}: {ADVICE[errno.EACCES]}")
            return super().open(path, flags)

    (finding,) = Doctor(str(data.path), Locked()).run().findings
    assert finding.message == "Permission denied: check its owner and permissions"
    assert finding.meaning == "it may be whole: who runs this may not look into it"


def test_directories_that_hold_nothing_are_made_again(data: Data) -> None:
    """A copy or an archive may lack them."""
    shutil.rmtree(data.path / "locks")
    shutil.rmtree(data.path / "groups")
    assert said(data.check()) == []
    data.append()
    with EmbeddedCluster(str(data.path)) as cluster:
        assert cluster.maintain().partitions == 1
    assert data.read() == data.sent
    assert said(data.check()) == []


def test_something_else_where_they_should_be(data: Data) -> None:
    with EmbeddedCluster(str(data.path)) as cluster:
        cluster.admin().alter_group_offsets("g", {T: 5})
    for name in ("locks", "groups"):
        shutil.rmtree(data.path / name)
        (data.path / name).write_bytes(b"")
    assert said(data.check()) == ["error: locks: is no directory", "error: groups: is no directory"]
    (data.path / "locks").unlink()
    (data.path / "groups").unlink()
    (data.path / "locks" / "cluster.lock").mkdir(parents=True)
    assert said(data.repair()) == ["error: locks/cluster.lock: is a directory"]


def test_a_first_segment_that_is_lost_is_told_after_a_power_cut_as_well(data: Data) -> None:
    """Where the log starts is synced before anything goes, so this is no retention that was cut short."""
    state = data.replica() / STATE
    state.write_bytes(of_another_boot(state.read_bytes()))
    first, *_, sealed, _ = data.logs
    first.unlink()
    os.truncate(sealed.with_suffix(".index"), 0)
    for report in (data.check(), data.repair()):
        assert re.match("error: brokers/0/t-0: the log starts at offset 0, and its first segment at", said(report)[0])
    data.append()
    assert data.check().problems == 1
    with pytest.raises(CorruptRecordError):
        data.read()


def test_a_log_of_one_segment_that_is_lost_is_told_after_a_power_cut_as_well(tmp_path: Path) -> None:
    """Nothing in it was synced; that it was there was."""
    data = Data(tmp_path, internal_segment_bytes="100000000")
    (log,) = data.replica().glob("*.log")
    state = data.replica() / STATE
    state.write_bytes(of_another_boot(state.read_bytes()))
    log.unlink()
    assert f"error: brokers/0/t-0/{log.name}: is missing" in said(data.check())


def test_what_a_replica_is_copied_from_is_mended_first(tmp_path: Path) -> None:
    data = Data(tmp_path, 3)
    shutil.rmtree(data.replica(0))
    for log in sorted(data.replica(1).glob("*.log"))[1:3]:
        os.truncate(log.with_suffix(".timeindex"), 0)
    repaired = data.repair()
    assert repaired.problems == 0, said(repaired)
    assert data.check().problems == 0
    assert data.read() == data.sent
