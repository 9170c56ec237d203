"""SECURITY.md, what concerns a data directory: rights, names, bytes of somebody else's."""

from __future__ import annotations

import os
import re
import resource
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_cli.java import regex
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.database_copy import copied, read_database
from pykafka_store.embedded.layout import RESERVE_FILE
from pykafka_store.errors import CorruptRecordError, InvalidTopicError
from pykafka_store.format import compression
from pykafka_store.format.batch import decode_records, encode_batch, split_batches
from pykafka_store.model import TopicPartition
from tests.support.console import produce, values
from tests.support.in_process import run

SCRIPTS = Path(sysconfig.get_path("scripts"))


def fill(directory: Path) -> None:
    """A topic with records, a group with commits: every kind of file."""
    with EmbeddedCluster(str(directory)) as cluster:
        cluster.admin().create_topic("t", configs={"internal.segment.bytes": "200"})
        with cluster.producer({"linger.ms": "0"}) as producer:  # a batch a send
            for _ in range(5):
                producer.send("t", [b"value"] * 5, keys=[b"key"] * 5)
        with cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
            consumer.subscribe(["t"])
            consumer.poll(10.0)
            consumer.commit()


ADVICE = "check the owner and permissions of all that is named so"


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_new_files_have_the_modes_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        fill(tmp_path / "d")
    finally:
        os.umask(before)
    found = [path for path in (tmp_path / "d").rglob("*") if not path.is_symlink()]
    assert len(found) > 15
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, f"{path}: {mode:o}"


SHARING = """
import os, sys, tempfile
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import StoreError

def work(directory, topic, group):
    with EmbeddedCluster(directory) as cluster:
        with cluster.producer({"linger.ms": "0"}) as producer:
            producer.send("t", [b"value"])
        try:
            cluster.admin().create_topic(topic)
            with cluster.consumer({"group.id": group, "auto.offset.reset": "earliest"}) as consumer:
                consumer.subscribe(["t"])
                while not consumer.poll(10.0):
                    pass
                consumer.commit()
        except StoreError as error:
            print(error)

with tempfile.TemporaryDirectory() as scratch:
    work(scratch, "u", "g")  # imports all that is used below
os.umask(0o002)
os.setgroups([]), os.setgid(54321), os.setuid(int(sys.argv[1]))
work(*sys.argv[2:])
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory for the members of a group. Not in pytest's, which each run that begins makes its user's alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, -1, 54321)
        os.chmod(directory, 0o2775)
        let_others_in(Path(directory))
        yield Path(directory) / "d"


def let_others_in(directory: Path) -> None:
    """Let those who may use a directory get to it."""
    for parent in directory.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)


def work_as(user: int, directory: Path, topic: str) -> str:
    """What a user of that group is told who sends, makes a topic and joins a group."""
    command = [sys.executable, "-c", SHARING, str(user), str(directory), topic, "g"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_who_shares_a_directory_by_a_group_may_do_everything(shared: Path) -> None:
    for user, topic in ((54001, "a"), (54002, "b"), (54001, "c")):
        assert work_as(user, shared, topic) == ""


@pytest.mark.parametrize("name", ["metadata.db", "groups.db"])
def test_who_may_not_write_a_database_keeps_nobody_out_of_it(shared: Path, name: str) -> None:
    """SQLite would leave files beside it that are the visitor's, and the owner could not write it any more."""
    assert work_as(54001, shared, "a") == ""
    (shared / name).chmod(0o644)
    told = work_as(54002, shared, "b")
    assert told == f"{shared / name}: attempt to write a readonly database: {ADVICE}\n"
    assert not list(shared.glob("*-shm"))
    assert work_as(54001, shared, "c") == ""


def test_who_reads_the_files_reads_the_records(tmp_path: Path) -> None:
    fill(tmp_path / "d")
    (log, *_) = sorted((tmp_path / "d").rglob("*.log"))
    assert b"value" in log.read_bytes()
    assert run("kafka-dump-log", "--files", str(log), "--print-data-log").stdout.count("payload: value") == 5


def test_who_may_only_read_changes_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    directory = tmp_path / "d"
    fill(directory)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    code = f"""
import os
from pykafka_store.embedded.admin.topics import TopicAdmin
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.database import sqlite3
from pykafka_store.errors import StoreError
import pykafka_store.embedded.admin, pykafka_store.embedded.clients.producer, pykafka_store.embedded.admin.placement
import random, shutil, tempfile
os.chdir("/")
tempfile.tempdir = "/tmp"
os.setgroups([]); os.setgid(65534); os.setuid(65534)
told = []
with EmbeddedCluster({str(directory)!r}) as cluster:
    admin = cluster.admin()
    for change in (cluster.producer, lambda: admin.delete_topic("t"), lambda: admin.create_topic("u")):
        try:
            change()
        except StoreError as error:
            told.append(type(error).__name__)
print(told)
"""
    let_others_in(directory)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "['StorageError', 'StorageError', 'StorageError']\n", done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_doctors_copies_are_its_users_alone(tmp_path: Path) -> None:
    fill(tmp_path / "d")
    path = str(tmp_path / "d" / "metadata.db")
    with copied(path, read_database(Disk(), path)) as copy:
        assert stat.S_IMODE(os.stat(os.path.dirname(copy)).st_mode) == 0o700


@pytest.mark.parametrize("name", ["../t", "a/b", ".", "..", "a\x00b", "a\x1b[31m", "", "é", "x" * 250, "-rf *"])
def test_topic_names_are_no_paths(tmp_path: Path, name: str) -> None:
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InvalidTopicError):
            cluster.admin().create_topic(name)
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../../g", "/etc/passwd", ".", "..", "a\nb", "g\x1b[2J", "ü" * 300, "-rf"])
def test_group_names_stay_in_the_directory(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "d"
    fill(directory)
    config = {"group.id": name, "client.id": name, "group.instance.id": name, "auto.offset.reset": "earliest"}
    with EmbeddedCluster(str(directory)) as cluster, cluster.consumer(config) as consumer:
        consumer.subscribe(["t"])
        assert consumer.poll(10.0)
        assert {path.name for path in tmp_path.iterdir()} == {"d"}
        groups = [path for path in (directory / "groups").rglob("*") if path.is_file()]
        assert groups
        assert all(path.resolve().is_relative_to(directory / "groups") for path in groups)
        assert {path.name for path in directory.iterdir()} <= {
            *("brokers", "groups", "groups.db", "groups.db-shm", "groups.db-wal", "locks", "meta.properties"),
            *("metadata.db", "metadata.db-reserve", "metadata.db-shm", "metadata.db-wal"),
        }


def test_names_and_values_are_no_sql(tmp_path: Path) -> None:
    name = "g'; DROP TABLE commits; --"
    directory = tmp_path / "d"
    fill(directory)
    with EmbeddedCluster(str(directory)) as cluster:
        here = TopicPartition("t", 0)
        cluster.admin().alter_group_offsets(name, {here: 3})
        cluster.admin().alter_group_offsets('"', {here: 4})
        assert cluster.admin().group_offsets(name)[here].offset == 3
        assert cluster.admin().group_offsets('"')[here].offset == 4
        assert {group.group_id for group in cluster.admin().list_groups()} == {"g", name, '"'}


def test_a_regular_expression_has_a_limit_of_time(tmp_path: Path) -> None:
    """Of a member's pattern the CPU time is bounded, and no lock is held meanwhile."""
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.admin().create_topic("a" * 60)
        with cluster.consumer({"group.id": "evil"}) as consumer:
            begun = time.process_time()
            with pytest.raises(Exception, match=r"was not done .* after 5 s"):
                consumer.subscribe(pattern=regex.compile("([a-z]+-?)+\\.dlq"))
                consumer.poll(0.1)
            assert time.process_time() - begun < 60


# ------------------------------------------------------------------------------------------- of somebody else's making


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_unfolds_within_bounds(name: str) -> None:
    number = compression.codec(name)
    bomb = compression.compress(number, bytes(64 << 20))
    assert len(bomb) < 4 << 20
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordError):
            compression.decompress(number, bomb, limit=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert compression.MAX_DECOMPRESSED == 256 << 20


def test_nothing_is_allocated_for_a_number() -> None:
    """Each field of a batch's header, and the first of a record's, says four thousand millions."""
    batch = b"".join(encode_batch([b"value"] * 3, timestamps=5).placed(0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(0, len(batch) - 4):
        spoilt = bytearray(batch)
        spoilt[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)
        try:
            for found in split_batches(bytes(spoilt)):
                decode_records(found, "t", 0)
        except CorruptRecordError:
            continue
        except Exception as error:
            assert type(error).__name__ in {"UnsupportedVersionError", "UnsupportedCompressionError"}, (at, error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_damaged_bytes_are_an_error_that_names_them(tmp_path: Path) -> None:
    produce(tmp_path / "d", "one\ntwo\n", "--topic", "t")
    assert values(tmp_path / "d", "t") == [b"one", b"two"]
    (log,) = (tmp_path / "d").rglob("*.log")
    whole = log.read_bytes()
    for at in range(8, len(whole), 3):  # the base offset has no check but the order, and the file's end is the state's
        spoilt = bytearray(whole)
        spoilt[at] ^= 0xFF
        log.write_bytes(spoilt)
        arguments = ("--topic", "t", "--from-beginning", "--exit-at-end", "--timeout-ms", "20000")
        done = run("kafka-console-consumer", *arguments, data_dir=tmp_path / "d")
        if done.code == 0:
            assert at in range(12, 16), at  # the leader's epoch is in no CRC
            continue
        assert done.code == 1
        assert re.search(r"CorruptRecordException|UnsupportedVersionException", done.stderr), done.stderr
        assert f"t-0 at offset 0: {log}" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_planted_reserve_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    fill(tmp_path / "d")
    reserve = tmp_path / "d" / RESERVE_FILE
    reserve.unlink(missing_ok=True)
    reserve.symlink_to(victim)
    assert run("maintain", data_dir=tmp_path / "d").code == 0
    assert victim.read_bytes() == b"mine"
