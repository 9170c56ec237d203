"""Data directories as they come: newer, foreign, read-only, full, on a network, half made, and taken away under one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded import disk as disk_module
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import network_file_system
from pykafka_store.embedded.making import NewDirectory
from pykafka_store.errors import (
    CorruptRecordError,
    InvalidTopicError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.format import state as states
from pykafka_store.format.names import MAX_TOPIC_NAME, check_topic_name
from pykafka_store.model import ConfigResource, OffsetAt, SendFailure, TopicPartition
from pykafka_store.open import check_data_directory, open_cluster
from tests.crash.forks import Forks
from tests.store.helpers import AT_ONCE, of_another_boot, rows
from tests.support import descriptors

HERE = TopicPartition("t", 0)


def made(path: Path, *values: bytes) -> str:
    """A data directory with a topic in it."""
    with EmbeddedCluster(str(path)) as cluster:
        cluster.admin().create_topic("t", partitions=2)
        with cluster.producer(AT_ONCE) as producer:
            if values:
                producer.send("t", values, partitions=0)
    return str(path)


def read(cluster: EmbeddedCluster, topic: str = "t") -> list[bytes | None]:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        found = []
        while some := consumer.poll():
            found += rows(some)
    assert [row.offset for row in found] == list(range(len(found)))
    return [row.value for row in found]


def everything(directory: str) -> dict[str, tuple[int, bytes]]:
    """All files below a directory: when they were changed, and what they hold."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(Path(directory).rglob("*"))
    }


def own_files(directory: Path) -> set[str]:
    """All names below a directory, but those of files that SQLite makes and removes by itself."""
    names = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    return {name for name in names if not name.endswith(("-wal", "-shm"))}


def is_one_line(error: BaseException, *parts: str) -> bool:
    text = str(error)
    assert "\n" not in text
    assert text.strip() == text != ""
    return all(part in text for part in parts)


# ------------------------------------------------------------------------------------------------------------- opening


def test_a_newer_layout_is_refused_with_what_to_do(tmp_path: Path) -> None:
    directory = made(tmp_path / "d")
    path = tmp_path / "d" / "meta.properties"
    path.write_text(path.read_text().replace("layout.version=1", "layout.version=2"))
    for read_only in (False, True):
        with pytest.raises(UnsupportedVersionError, match=r"layout version 2.*upgrade") as caught:
            EmbeddedCluster(directory, read_only=read_only)
        assert is_one_line(caught.value, str(path))


@pytest.mark.parametrize("content", ["", "version=1\nnode.id=1\n", "layout.version=\n", "layout.version=²\n", "\0\xff"])
def test_a_meta_properties_that_is_not_ours_is_refused_by_name(tmp_path: Path, content: str) -> None:
    """A Kafka broker's log directory has one, too."""
    path = tmp_path / "meta.properties"
    path.write_text(content, "utf-8")
    with pytest.raises(CorruptRecordError, match="not a pykafka data directory") as caught:
        EmbeddedCluster(str(tmp_path))
    assert is_one_line(caught.value, str(path))


def test_any_flipped_byte_in_meta_properties_is_refused_or_harmless(tmp_path: Path) -> None:
    directory = made(tmp_path / "d", b"x")
    path = tmp_path / "d" / "meta.properties"
    data = path.read_bytes()
    for position in range(len(data)):
        for mask in (0xFF, 1 << position % 8):
            path.write_bytes(data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :])
            try:
                with EmbeddedCluster(directory) as cluster:
                    assert read(cluster) == [b"x"]
            except StoreError as error:
                assert is_one_line(error, str(path))


def test_a_directory_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(StorageError, match=r"not a pykafka data directory and not empty \(thesis\.txt") as caught:
        EmbeddedCluster(str(tmp_path))
    assert is_one_line(caught.value, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_a_directory_is_an_error_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    for directory in (path, path / "below"):
        with pytest.raises(StorageError) as caught:
            EmbeddedCluster(str(directory))
        assert is_one_line(caught.value, str(path))


@pytest.mark.parametrize("how", [{"create": False}, {"read_only": True}])
def test_a_missing_directory_is_not_made_unless_asked_for(tmp_path: Path, how: dict[str, bool]) -> None:
    with pytest.raises(StorageError, match="does not exist: create a topic") as caught:
        EmbeddedCluster(str(tmp_path / "d"), **how)  # type: ignore[arg-type]
    assert is_one_line(caught.value, str(tmp_path / "d"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "d").mkdir()
    with pytest.raises(StorageError, match="is not a pykafka data directory"):
        EmbeddedCluster(str(tmp_path / "d"), **how)  # type: ignore[arg-type]
    assert list((tmp_path / "d").iterdir()) == []


def test_a_missing_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    made(tmp_path / "a b" / "ü?#%20" / "d", b"x")
    with open_cluster(f"file:{tmp_path}/a b/ü?#%20/d") as cluster:
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]


@pytest.mark.parametrize("holds", ["topics", "groups", "brokers", "settings"])
@pytest.mark.parametrize("how", [{}, {"create": False}, {"read_only": True}])
def test_a_directory_that_lost_its_meta_properties_is_not_made_anew(
    tmp_path: Path, holds: str, how: dict[str, bool]
) -> None:
    """Another cluster.id in its place would make it another cluster to all who know it, and nobody would be told."""
    with EmbeddedCluster(str(tmp_path), new=NewDirectory("dxpOZ9ejQRupHXAnzNrn3A", broker=7)) as cluster:
        match holds:
            case "topics":
                cluster.admin().create_topic("t")
            case "groups":
                cluster.admin().alter_group_offsets("g", {})
                for path in tmp_path.glob("metadata.db*"):
                    path.unlink()
            case "brokers":
                cluster.add_broker()
            case _:
                cluster.admin().incremental_alter_configs(ConfigResource("broker", ""), {"log.retention.ms": "1000"})
    (tmp_path / "meta.properties").unlink()
    before = own_files(tmp_path)
    with pytest.raises(StorageError, match=r"has lost its meta\.properties.*pykafka doctor --repair") as caught:
        EmbeddedCluster(str(tmp_path), **how)  # type: ignore[arg-type]
    assert is_one_line(caught.value, str(tmp_path))
    assert own_files(tmp_path) == before
    assert check_data_directory(tmp_path).findings[0].message == "is missing"


def test_a_directory_whose_making_was_killed_is_made_by_the_next_one(tmp_path: Path) -> None:
    made(tmp_path / "d")
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.admin().delete_topic("t")
    (tmp_path / "d" / "meta.properties").unlink()
    (tmp_path / "d" / "meta.properties.tmp").touch()
    with pytest.raises(StorageError, match="is not a pykafka data directory: create a topic"):
        EmbeddedCluster(str(tmp_path / "d"), create=False)
    made(tmp_path / "d", b"x")
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "metadata.db").touch()
    with pytest.raises(StorageError, match="is not a pykafka data directory: create a topic"):
        EmbeddedCluster(str(tmp_path / "d"), create=False)
    made(tmp_path / "d", b"x")


@pytest.mark.skipif(not descriptors.OURS.exists(), reason="no list of a process's descriptors here")
def test_a_failed_opening_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    made(tmp_path / "d")
    (tmp_path / "d" / "metadata.db").write_bytes(b"no database" * 99)
    before = descriptors.open_below(tmp_path)
    for directory in (tmp_path, tmp_path / "d"):
        with pytest.raises(StorageError):
            EmbeddedCluster(str(directory))
    assert descriptors.open_below(tmp_path) == before


# ----------------------------------------------------------------------------------------------------------- read only


def _as_left(tmp_path: Path, kind: str) -> str:
    """A directory as its writers left it, at a place that everybody may look at."""
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.admin().create_topic("t", partitions=2)
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"a", b"b"], partitions=0)
        if kind != "closed":  # copied while it is open, so that metadata.db is still in its -wal file
            shutil.copytree(tmp_path / "d", tmp_path / "copy")
    directory = tmp_path / ("d" if kind == "closed" else "copy")
    if kind != "closed":
        assert (directory / "metadata.db-wal").stat().st_size
    if kind == "wal without shm":
        (directory / "metadata.db-shm").unlink()
    if kind == "from another machine":
        (directory / "metadata.db-shm").unlink()
        path = directory / "brokers" / "0" / "t-0" / states.FILE_NAME
        path.write_bytes(of_another_boot(path.read_bytes()))
    return str(directory)


_KINDS = ["closed", "wal", "wal without shm", "from another machine"]


@pytest.mark.parametrize("kind", _KINDS)
def test_a_directory_opened_read_only_is_not_changed(tmp_path: Path, kind: str) -> None:
    """Also where it could be: but for the files that SQLite's readers and writers share."""
    directory = _as_left(tmp_path, kind)
    before = everything(directory)
    with EmbeddedCluster(directory, read_only=True) as cluster:
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]
        assert len(cluster.admin().describe_topics(["t"])[0].partitions) == 2
        assert read(cluster) == [b"a", b"b"]
        assert cluster.admin().list_offsets({HERE: OffsetAt.LATEST}) == {HERE: 2}
        changes: list[Callable[[], object]] = [
            cluster.producer,
            lambda: cluster.admin().create_topic("u"),
            lambda: cluster.admin().delete_topic("t"),
            lambda: cluster.admin().create_partitions("t", 5),
        ]
        for change in changes:
            with pytest.raises(StorageError, match="may only be read"):
                change()
        with pytest.raises(UnknownTopicOrPartitionError), cluster.consumer() as consumer:
            consumer.subscribe(["not there, and not to be made"])
    after = everything(directory)
    for name in ("metadata.db-shm", "metadata.db-wal"):
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """A directory that other users may look into, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="pykafka-shared-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", _KINDS)
def test_another_users_directory_can_be_looked_at_and_read(shared_path: Path, tmp_path: Path, kind: str) -> None:
    """As a CI artefact or a colleague's directory: nothing may be written there, a WAL may be left over."""
    directory = _as_left(shared_path, kind)
    for path in [Path(directory), *Path(directory).rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = everything(directory)
    with Forks(tmp_path / "errors") as forks:
        known = made(tmp_path / "known", b"x")
        code = forks.wait(forks.start("without_rights", directory, "t", known, str(tmp_path / "said")))
        assert (code, forks.complaints()) == (0, "")
    answer = json.loads((tmp_path / "said").read_text())
    refusals = answer.pop("refusals")
    assert answer == {"topics": ["t"], "partitions": 2, "brokers": [0], "end": 2, "by time": 0, "values": ["a", "b"]}
    assert len(refusals) == 4
    for refusal in refusals:
        assert refusal == f"{directory} may only be read here: check its owner and permissions"
    assert everything(directory) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    "name",
    [
        "meta.properties",
        "metadata.db",
        "metadata.db-wal",
        "brokers/0/t-0/published-state",
        f"brokers/0/t-0/{0:020d}.log",
    ],
)
def test_what_may_not_even_be_read_is_an_error_by_name(shared_path: Path, tmp_path: Path, name: str) -> None:
    directory = _as_left(shared_path, "wal without shm")
    for path in [Path(directory), *Path(directory).rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    (Path(directory) / name).chmod(0o600)
    with Forks(tmp_path / "errors") as forks:
        known = made(tmp_path / "known", b"x")
        code = forks.wait(forks.start("without_rights", directory, "t", known, str(tmp_path / "said")))
        assert (code, forks.complaints()) == (0, "")
    (line,) = (tmp_path / "said").read_text().splitlines()
    assert line.startswith(f"refused: {directory}")
    assert name in line
    assert "Permission denied" in line


# ----------------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    path = tmp_path / "small"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def _fill(path: Path, leave: int = 0) -> None:
    """Use up a file system but for some bytes."""
    with open(path / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(0, file.tell() - leave))


def test_a_disk_that_fills_up_is_one_line_and_costs_nothing_that_was_acknowledged(small_disk: Path) -> None:
    directory = str(small_disk / "d")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(65536))
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t", configs={"internal.segment.bytes": "50000"})
        failures: list[SendFailure] = []
        sent: list[bytes] = []
        with cluster.producer(AT_ONCE, on_failure=failures.append) as producer:
            while not failures:
                values = [b"%d:" % (len(sent) + i) + b"x" * 900 for i in range(10)]
                before = producer.acknowledged
                producer.send("t", values)
                sent += values[: producer.acknowledged - before]
            assert len(sent) > 200
            assert read(cluster) == sent
            error = failures[0].error
            assert isinstance(error, StorageError)
            assert is_one_line(error, "No space left on device", "what was acknowledged is safe", directory)
            failures.clear()
            producer.send("t", [b"y" * 20_000])
            assert len(failures) == 1
            assert read(cluster) == sent
            # Space is made, and the same producer goes on.
            ballast.unlink()
            failures.clear()
            producer.send("t", [b"after"])
            assert failures == []
        assert read(cluster) == [*sent, b"after"]


def test_topics_on_a_full_disk_are_made_when_there_is_space_again(small_disk: Path) -> None:
    directory = made(small_disk / "d", b"x")
    with EmbeddedCluster(directory) as cluster:
        for leave in (0, 4096, 8192, 16384, 40960):
            _fill(small_disk, leave)
            names = [topic.name for topic in cluster.admin().list_topics()]
            try:
                cluster.admin().create_topic(f"u{leave}", partitions=3)
                names = sorted([*names, f"u{leave}"])
            except StorageError as error:
                assert is_one_line(error, directory)
                there = {path.name for path in (small_disk / "d/brokers/0").iterdir()}
                assert not any(name.startswith(f"u{leave}") for name in there)
            assert [topic.name for topic in cluster.admin().list_topics()] == names
            assert read(cluster) == [b"x"]
            try:
                cluster.admin().delete_topic("t")
                names.remove("t")
            except StorageError as error:
                assert is_one_line(error, directory)
            assert [topic.name for topic in cluster.admin().list_topics()] == names
            (small_disk / "filler").unlink()
            if "t" not in names:
                cluster.admin().create_topic("t", partitions=2)
                with cluster.producer(AT_ONCE) as producer:
                    producer.send("t", [b"x"], partitions=0)
            if f"u{leave}" not in names:
                cluster.admin().create_topic(f"u{leave}", partitions=3)
        with EmbeddedCluster(directory) as other:
            assert len(other.admin().list_topics()) == 6


def test_a_directory_on_a_full_disk_is_made_when_there_is_space_again(small_disk: Path) -> None:
    for leave in range(0, 80_000, 4096):
        _fill(small_disk, leave)
        directory = str(small_disk / f"d{leave}")
        try:
            EmbeddedCluster(directory).close()
        except StorageError as error:
            assert is_one_line(error, directory)
        (small_disk / "filler").unlink()
        with EmbeddedCluster(directory) as cluster:
            cluster.admin().create_topic("t")
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"x"])
            assert read(cluster) == [b"x"]
        shutil.rmtree(directory)


# ------------------------------------------------------------------------------------------------ network file systems

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local\\040disk xfs rw 0 0
//box/share /mnt cifs rw 0 0
sshfs /mnt/ssh fuse.sshfs rw 0 0
tmpfs /mnt/ssh/tmp tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data", None),
        ("/home", "nfs4"),
        ("/home/me/kafka", "nfs4"),
        ("/homeless", None),
        ("/home/local disk/kafka", None),
        ("/mnt/x", "cifs"),
        ("/mnt/ssh/x", "fuse.sshfs"),
        ("/mnt/ssh/tmp/x", None),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_nearest_mount(path: str, kind: str | None) -> None:
    assert network_file_system(path, lambda: MOUNTS) == kind


def test_a_network_file_system_is_refused_unless_one_insists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(tmp_path / "d", b"x")
    monkeypatch.delenv("PYKAFKA_ALLOW_NETWORK_FS", raising=False)
    monkeypatch.setattr(disk_module, "network_file_system", lambda path: "nfs4")
    for path in (directory, str(tmp_path / "new")):
        with pytest.raises(StorageError, match=r"network file system \(nfs4\).*PYKAFKA_ALLOW_NETWORK_FS=1") as caught:
            EmbeddedCluster(path)
        assert is_one_line(caught.value, path)
    with EmbeddedCluster(directory, read_only=True) as cluster:
        assert read(cluster) == [b"x"]
    monkeypatch.setenv("PYKAFKA_ALLOW_NETWORK_FS", "1")
    with EmbeddedCluster(directory) as cluster:
        assert read(cluster) == [b"x"]


# --------------------------------------------------------------------------------------------------------------- names

ILLEGAL = [
    "",
    ".",
    "..",
    "a/b",
    "../evil",
    "/etc/passwd",
    "a\0b",
    "a\n",
    "a b",
    "ü",
    "a" * 250,
    "a\\b",
    "t:0",
    "٣",
    "a,b",
]


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_name_is_refused_and_touches_nothing(tmp_path: Path, name: str) -> None:
    directory = made(tmp_path / "outer" / "d", b"x")
    before = everything(str(tmp_path))
    with EmbeddedCluster(directory) as cluster:
        with pytest.raises(InvalidTopicError):
            cluster.admin().create_topic(name)
        with pytest.raises((InvalidTopicError, UnknownTopicOrPartitionError)), cluster.producer(AT_ONCE) as producer:
            producer.send(name, [b"x"])
        with pytest.raises((InvalidTopicError, UnknownTopicOrPartitionError)), cluster.consumer() as consumer:
            consumer.assign({TopicPartition(name, 0): 0})
        with pytest.raises((InvalidTopicError, UnknownTopicOrPartitionError)), cluster.consumer() as consumer:
            consumer.subscribe([name])
        with pytest.raises(UnknownTopicOrPartitionError):
            cluster.admin().delete_topic(name)
        with pytest.raises(UnknownTopicOrPartitionError):
            cluster.admin().create_partitions(name, 3)
        with pytest.raises(UnknownTopicOrPartitionError):
            cluster.admin().describe_topics([name])
        (answer,) = cluster.admin().list_offsets({TopicPartition(name, 0): 0}).values()
        assert isinstance(answer, UnknownTopicOrPartitionError)
    after = everything(str(tmp_path))
    assert {name for name in after if "locks" not in name} == {name for name in before if "locks" not in name}


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "-", "...", "a-0", "t-0", "a" * MAX_TOPIC_NAME, "a.0123-delete"])
def test_a_legal_name_is_taken_however_odd(tmp_path: Path, name: str) -> None:
    assert check_topic_name(name) == name
    with EmbeddedCluster(str(tmp_path)) as cluster:
        cluster.admin().create_topic("t")
        cluster.admin().create_topic(name, partitions=2)
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"of t"])
            producer.send(name, [b"own"], partitions=0)
        assert read(cluster, name) == [b"own"]
        cluster.admin().delete_topic(name)
        assert read(cluster) == [b"of t"]
        cluster.admin().create_topic(name)
        assert read(cluster, name) == []


def test_partitions_outside_a_topic_are_refused(tmp_path: Path) -> None:
    with EmbeddedCluster(made(tmp_path / "d")) as cluster:
        for number in (-1, 2, 1 << 40):
            with pytest.raises(UnknownTopicOrPartitionError), cluster.consumer() as consumer:
                consumer.assign({TopicPartition("t", number): 0})
            with pytest.raises(StoreError), cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"x"], partitions=number)


# -------------------------------------------------------------------------------- topics that go away under a producer


@pytest.mark.parametrize("flush", [{}, {"flush.messages": "1"}, {"flush.ms": "1000000"}])
def test_a_producer_learns_that_its_topic_was_deleted(tmp_path: Path, flush: dict[str, str]) -> None:
    """Nothing is acknowledged any more, nothing is made again behind the deleter's back, and closing works."""
    directory = str(tmp_path / "d")
    failures: list[SendFailure] = []
    with EmbeddedCluster(directory) as cluster, EmbeddedCluster(directory) as other:
        other.admin().create_topic("t", partitions=2, configs=flush)
        producer = cluster.producer(AT_ONCE, on_failure=failures.append)
        producer.send("t", [b"a", b"b"], partitions=[0, 1])
        other.admin().delete_topic("t")
        producer.send("t", [b"c", b"d"], partitions=[0, 1])
        assert [failure.record_count for failure in failures] == [1, 1]
        for failure in failures:
            assert isinstance(failure.error, UnknownTopicOrPartitionError)
            assert is_one_line(failure.error, "t was deleted")
        assert (producer.acknowledged, producer.failed) == (2, 2)
        with pytest.raises(UnknownTopicOrPartitionError):
            producer.send("t", [b"e"])
        assert other.admin().list_topics() == []
        producer.close()
        assert list((tmp_path / "d/brokers/0").iterdir()) == []


@pytest.mark.parametrize("flush", [{}, {"flush.ms": "1000000"}])
def test_a_producer_that_is_closed_after_its_topic_was_deleted_says_nothing(
    tmp_path: Path, flush: dict[str, str]
) -> None:
    with EmbeddedCluster(str(tmp_path)) as cluster:
        for name in ("t", "u"):
            cluster.admin().create_topic(name, configs=flush)
        producer = cluster.producer(AT_ONCE)
        producer.send("t", [b"a"])
        producer.send("u", [b"a"])
        cluster.admin().delete_topic("t")
        producer.close()
        assert read(cluster, "u") == [b"a"]


def test_a_topic_made_again_is_another_topic_to_a_producer_that_lived_through_it(tmp_path: Path) -> None:
    """The records of before are not in it, and what is sent now is not lost in the old one's files."""
    directory = str(tmp_path)
    failures: list[SendFailure] = []
    with EmbeddedCluster(directory) as cluster, EmbeddedCluster(directory) as other:
        other.admin().create_topic("t")
        with cluster.producer(AT_ONCE, on_failure=failures.append) as producer:
            producer.send("t", [b"old"] * 3)
            other.admin().delete_topic("t")
            other.admin().create_topic("t", partitions=1)
            producer.send("t", [b"while it learns of it"])
            assert len(failures) == 1
            producer.send("t", [b"new"])
            assert len(failures) == 1
            assert read(other) == [b"new"]


def test_the_directory_of_a_catalogued_topic_that_is_gone_is_an_error_by_name(tmp_path: Path) -> None:
    directory = made(tmp_path / "d", b"x")
    shutil.rmtree(tmp_path / "d/brokers/0/t-0")
    with EmbeddedCluster(directory) as cluster:
        assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]
        for use in (
            lambda: cluster.producer(AT_ONCE).send("t", [b"y"], partitions=0),
            lambda: cluster.consumer().assign({HERE: OffsetAt.EARLIEST}),
        ):
            with pytest.raises((StorageError, UnknownTopicOrPartitionError)) as caught:
                use()
            assert is_one_line(caught.value, "t-0", f"{directory}/brokers/0/t-0")
        cluster.admin().delete_topic("t")
        assert cluster.admin().list_topics() == []


def test_what_a_lost_catalogue_left_behind_is_set_aside_and_never_taken_over(tmp_path: Path) -> None:
    """Its records are somebody's: the new topic is empty, and the old files are still there for whoever looks."""
    directory = made(tmp_path / "d", b"precious")
    for path in (tmp_path / "d").glob("metadata.db*"):
        path.unlink()
    (tmp_path / "d" / "meta.properties").unlink()
    made(tmp_path / "d")
    with EmbeddedCluster(directory) as cluster:
        assert read(cluster) == []
    (stray,) = (path for path in (tmp_path / "d/brokers/0").glob("t-0.*-stray"))
    assert b"precious" in next(stray.glob("*.log")).read_bytes()


def test_where_two_names_are_one_the_directory_of_a_topic_is_not_another_ones(tmp_path: Path) -> None:
    """As on a file system that does not tell upper from lower case (macOS): it was set aside, with all its records."""
    logs = tmp_path / "d/brokers/0"
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        cluster.add_broker(1)
        cluster.admin().create_topic("Orders", assignments=[[0]])
        with cluster.producer(AT_ONCE) as producer:
            producer.send("Orders", [b"precious"])
        (logs / "orders-0").symlink_to("Orders-0")
        with pytest.raises(StorageError, match="is the directory of topic Orders: does this file system tell"):
            cluster.admin().create_topic("orders", assignments=[[0]])
        assert [topic.name for topic in cluster.admin().list_topics()] == ["Orders"]
        # Nor where it gets there by a move.
        cluster.admin().create_topic("orders", assignments=[[1]])
        orders = TopicPartition("orders", 0)
        cluster.admin().alter_partition_reassignments({orders: [0]})
        error = cluster.reassign([orders])[orders]
        assert error is not None
        assert "is the directory of topic Orders" in str(error)
        assert b"precious" in next((logs / "Orders-0").glob("*.log")).read_bytes()
        assert not list(logs.glob("*-stray"))


def test_what_a_killed_creation_left_goes_when_the_topic_is_made_again(tmp_path: Path) -> None:
    """Set aside as what might be missed it stayed for ever."""
    directory = made(tmp_path / "d")
    logs = tmp_path / "d/brokers/0"
    (logs / "u-0").mkdir()
    with EmbeddedCluster(directory) as cluster:
        state = (logs / "t-0" / "published-state").read_bytes()
        (logs / "u-1").mkdir()
        (logs / "u-1" / "published-state").write_bytes(state)
        cluster.admin().create_topic("u", partitions=2)
        cluster.maintain()
    assert sorted(path.name for path in logs.iterdir()) == ["t-0", "t-1", "u-0", "u-1"]
