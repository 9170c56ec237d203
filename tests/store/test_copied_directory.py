"""A data directory that was copied: a log directory on another disk is in no copy, and both would write into it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.layout import OWNER_FILE
from pykafka_store.errors import StorageError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import check_data_directory, format_data_directory
from tests.store.helpers import AT_ONCE

OTHERS = r"belongs to the data directory .*/data, of which .*/copy is a copy"


def send(cluster: EmbeddedCluster, topic: str, *values: bytes) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send(topic, list(values))


@pytest.fixture(params=["--log-dir", "a link"])
def data(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A data directory whose topic ``a`` lies on another disk: in an added broker's log directory, or behind a link."""
    directory, disk = tmp_path / "data", tmp_path / "disk"
    with EmbeddedCluster(str(directory)) as cluster:
        if request.param == "--log-dir":
            cluster.add_broker(1, [str(disk)])
            cluster.admin().create_topic("a", assignments=[[1]])
        else:
            os.rename(directory / "brokers" / "0", disk)
            (directory / "brokers" / "0").symlink_to(disk)
            cluster.admin().create_topic("a")
        send(cluster, "a", b"1")
    return directory


def test_a_copy_neither_writes_nor_deletes_beside_the_original(data: Path, tmp_path: Path) -> None:
    with EmbeddedCluster(str(data)):  # whoever opens it first makes it known that the disk is this one's
        pass
    with EmbeddedCluster(str(data)) as original:
        send(original, "a", b"2")
        copy = shutil.copytree(data, tmp_path / "copy", symlinks=True)
        with EmbeddedCluster(str(copy)) as other:
            with pytest.raises(StorageError, match=OTHERS):
                send(other, "a", b"lost")
            with pytest.raises(StorageError, match=OTHERS):
                other.admin().delete_topic("a")
            with pytest.raises(StorageError, match=OTHERS):
                other.maintain()
        original.admin().create_topic("b", assignments=[original.engine.catalog.partitions()[0][1].replicas])
        send(original, "b", b"3")
        (finding,) = check_data_directory(str(copy), repair=True).findings
        assert finding.message == f"belongs to the data directory {data}"
        send(original, "a", b"4")
        a = TopicPartition("a", 0)
        assert original.admin().list_offsets({a: OffsetAt.LATEST}) == {a: 3}
    assert check_data_directory(str(data)).findings == ()


def test_where_the_original_is_gone_the_copy_has_the_disk(data: Path, tmp_path: Path) -> None:
    with EmbeddedCluster(str(data)) as original:
        send(original, "a", b"2")
    copy = shutil.copytree(data, tmp_path / "copy", symlinks=True)
    data.rename(tmp_path / "old")
    with EmbeddedCluster(str(copy)) as other:
        send(other, "a", b"3")
    with EmbeddedCluster(str(tmp_path / "old")) as old, pytest.raises(StorageError, match="is a copy"):
        send(old, "a", b"lost")


def test_what_a_log_directory_says_is_told_without_what_a_terminal_obeys(data: Path, tmp_path: Path) -> None:
    with EmbeddedCluster(str(data)) as cluster:
        assert cluster.brokers()
    there = shutil.copytree(data, tmp_path / "\x1b[2J\n", symlinks=True)
    (tmp_path / "disk" / OWNER_FILE).write_bytes(os.fsencode(there))
    with EmbeddedCluster(str(data)) as cluster, pytest.raises(StorageError, match="is a copy") as caught:
        cluster.brokers()
    assert str(caught.value).isprintable()


def test_a_disk_that_is_another_ones_is_no_new_brokers(tmp_path: Path) -> None:
    """A removed broker's log directory may be added again, but not to a copy of the directory that it is known to."""
    data, disk = str(tmp_path / "data"), str(tmp_path / "disk")
    with EmbeddedCluster(data) as original:
        original.add_broker(1, [disk])
        original.brokers()
        original.remove_broker(1)
        copy = shutil.copytree(data, tmp_path / "copy")
        with EmbeddedCluster(str(copy)) as other, pytest.raises(StorageError, match="is a copy"):
            other.add_broker(1, [disk])
        original.add_broker(1, [disk])


def test_a_new_directory_takes_no_log_directory_that_is_in_use(tmp_path: Path) -> None:
    """As where two server.properties name one (kafka-storage format): its directory.id became another, and the
    partitions in it had no leader any more.
    """
    disk = str(tmp_path / "disk")
    one, two = tmp_path / "one", tmp_path / "two"
    format_data_directory(str(one), "c" * 22, 0, [disk])
    with pytest.raises(StorageError, match=r"belongs to the data directory .*/one: choose another"):
        format_data_directory(str(two), "d" * 22, 0, [disk])
    with EmbeddedCluster(str(one)) as cluster:
        cluster.admin().create_topic("a", partitions=2)
        with pytest.raises(StorageError, match=r"is not empty \(a-\d is in it\): choose another"):
            format_data_directory(str(two), "c" * 22, 0, [disk])
        assert cluster.brokers()[0].problems == ()
        cluster.admin().delete_topic("a")
        cluster.maintain()
    one.rename(tmp_path / "gone")
    format_data_directory(str(two), "d" * 22, 0, [disk])


def test_a_directory_by_two_names_is_one(tmp_path: Path) -> None:
    data, disk = tmp_path / "data", str(tmp_path / "disk")
    (tmp_path / "name").symlink_to(data)
    for name in (data, tmp_path / "name", data):
        with EmbeddedCluster(str(name)) as cluster:
            if name == data and 1 not in {each.id for each in cluster.brokers()}:
                cluster.add_broker(1, [disk])
                cluster.admin().create_topic("a", assignments=[[1]])
            send(cluster, "a", b"1")
    # What stands there may be the name of a mount that is gone, or be another's in this container.
    (tmp_path / "disk" / "data-directory").write_bytes(os.fsencode(tmp_path))
    with EmbeddedCluster(str(data)) as cluster:
        send(cluster, "a", b"1")
    assert (tmp_path / "disk" / "data-directory").read_bytes() == os.fsencode(data)


def test_what_shares_its_catalogue_by_a_hard_link_is_refused(tmp_path: Path) -> None:
    """Each name would have a WAL of its own: of two topics that were made, one was lost."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("a")
    shutil.copytree(data, copy, copy_function=os.link)
    for each in (data, copy):
        with pytest.raises(StorageError, match="has 2 names"), EmbeddedCluster(str(each)):
            pass
    shutil.rmtree(copy)
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("b")


@pytest.mark.parametrize("error", [FileNotFoundError, StorageError])
@pytest.mark.parametrize("verb", ["open", "read_file", "replace_file"])
def test_a_disk_that_goes_away_while_it_is_claimed_is_away_and_no_more(
    data: Path, monkeypatch: pytest.MonkeyPatch, verb: str, error: type[Exception]
) -> None:
    """Whoever looked at the brokers just then failed, be it for a topic on another disk."""
    (data.parent / "disk" / OWNER_FILE).unlink(missing_ok=True)
    truly = getattr(Disk, verb)

    def fail(self: Disk, path: str, *arguments: object, **more: object) -> object:
        if path.endswith(("/disk", OWNER_FILE)):
            raise error(path)
        return truly(self, path, *arguments, **more)

    monkeypatch.setattr(Disk, verb, fail)
    with EmbeddedCluster(str(data)) as cluster:
        assert cluster.engine.brokers.all()
        assert [each.name for each in cluster.admin().describe_topics(["a"])] == ["a"]
