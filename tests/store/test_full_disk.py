"""A full disk is a state to live in: who reads goes on reading, what frees space works, and the rest says what helps.

On real file systems: a small ext4 where one can be mounted, where a directory and a -shm file need blocks as they do on
people's disks; and a small tmpfs.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.layout import RESERVE_FILE
from pykafka_store.embedded.reserve import RESERVE
from pykafka_store.errors import NoSpaceError
from pykafka_store.model import TopicPartition
from tests.store.helpers import AT_ONCE
from tests.support.in_process import Done, run

SIZE = 16 << 20
Mount = Callable[[Path], None]


def _mounted(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")


def _mount_tmpfs(path: Path) -> None:
    _mounted("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path))


def _mount_ext4(path: Path) -> None:
    image = path.with_suffix(".img")
    with open(image, "wb") as file:
        file.truncate(SIZE)
    try:
        _mounted("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    except FileNotFoundError:
        pytest.skip("there is no mkfs.ext4 here")
    _mounted("mount", "-o", "loop", str(image), str(path))


@contextmanager
def _disk(path: Path, mount: Mount) -> Iterator[Path]:
    path.mkdir()
    mount(path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(params=[_mount_ext4, _mount_tmpfs], ids=["ext4", "tmpfs"])
def mount(request: pytest.FixtureRequest) -> Mount:
    return request.param  # type: ignore[no-any-return]


class Place:
    """A data directory whose brokers lie on small disks: broker 0 and the catalogue on the first."""

    def __init__(self, disks: list[Path]) -> None:
        self.disks = disks
        self.data = disks[0] / "d"
        all_brokers = list(range(len(disks)))
        with EmbeddedCluster(str(self.data)) as cluster:
            for disk in disks[1:]:
                cluster.add_broker(log_dirs=[str(disk / "logs")])
            admin = cluster.admin()
            admin.create_topic("read", assignments=[all_brokers], configs={"segment.bytes": "1048576"})
            admin.create_topic("big", assignments=[all_brokers], configs={"segment.bytes": "1048576"})
            admin.create_topic("one", assignments=[all_brokers])
            with cluster.producer({"linger.ms": "0"}) as producer:
                for topic, count in (("read", 10), ("big", 4000), ("one", 2000)):
                    producer.send(topic, [os.urandom(500).hex().encode() for _ in range(count)])

    def fill(self, *disks: Path) -> None:
        """Use up every block of these disks, or of every one."""
        for disk in disks or self.disks:
            for size in (1 << 16, 512, 1):
                with open(disk / f"filler{size}", "wb", buffering=0) as file:
                    try:
                        while file.write(os.urandom(size)):
                            pass
                    except OSError as error:
                        assert error.errno == errno.ENOSPC

    def free(self) -> list[int]:
        return [os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize for disk in self.disks]

    def run(self, tool: str, *arguments: str) -> Done:
        return run(tool, *arguments, data_dir=self.data)

    def read(self, *arguments: str) -> list[str]:
        """What a console consumer reads of the topic."""
        done = self.run("kafka-console-consumer", "--topic", "read", "--exit-at-end", *arguments)
        assert done.code == 0, done.stderr
        return done.stdout.splitlines()

    def done(self, tool: str, *arguments: str) -> str:
        """The output of what must work."""
        done = self.run(tool, *arguments)
        assert done.code == 0, done
        assert "No space" not in done.stderr
        assert "full" not in done.stderr
        return done.stdout


@pytest.fixture(params=[1, 3])
def place(tmp_path: Path, mount: Mount, request: pytest.FixtureRequest) -> Iterator[Place]:
    with ExitStack() as stack:
        disks = [stack.enter_context(_disk(tmp_path / f"disk{number}", mount)) for number in range(request.param)]
        place = Place(disks)
        yield place


def _delete(place: Place, topic: str, offset: int) -> str:
    path = place.data.parents[1] / "delete.json"
    path.write_text(json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": offset}], "version": 1}))
    return place.done("kafka-delete-records", "--offset-json-file", str(path))


def test_who_reads_goes_on_reading(place: Place) -> None:
    before = place.read("--from-beginning", "--group", "known")
    place.fill()
    assert place.done("kafka-topics", "--list").split() == ["__consumer_offsets", "big", "one", "read"]
    assert "Topic: read\tPartition: 0\tLeader: 0" in place.done("kafka-topics", "--describe", "--topic", "read")
    assert place.done("kafka-get-offsets", "--topic", "read") == "read:0:10\n"
    assert "read-0" in place.done("kafka-log-dirs", "--describe")
    assert "segment.bytes=1048576" in place.done("kafka-configs", "--describe", "--topic", "read")
    assert place.done("kafka-consumer-groups", "--list").split() == ["known"]
    assert "no problems" in place.done("doctor")
    assert place.read("--from-beginning") == before
    # In groups as well: one that has committed, and one that is new.
    assert place.read("--group", "known") == []
    assert place.read("--group", "new", "--from-beginning") == before
    described = place.done("kafka-consumer-groups", "--describe", "--group", "new")
    assert "10" in described.split()


def test_the_first_group_is_made_on_a_full_disk(place: Place) -> None:
    place.fill()
    assert place.done("kafka-consumer-groups", "--list") == ""
    assert len(place.read("--group", "first", "--from-beginning")) == 10
    assert place.done("kafka-consumer-groups", "--list").split() == ["first"]


def test_a_group_goes_on_committing(place: Place) -> None:
    """Hundreds of commits, for which no room is left but the reserve: the log of the database begins anew."""
    place.fill()
    with EmbeddedCluster(str(place.data)) as cluster:
        admin = cluster.admin()
        name = TopicPartition("read", 0)
        for number in range(300):
            admin.alter_group_offsets("known", {name: number % 10})
        (committed,) = admin.group_offsets("known").values()
        assert committed.offset == 299 % 10


@pytest.mark.parametrize("way", ["delete", "retention", "records"])
def test_what_frees_space_works(place: Place, way: str) -> None:
    place.fill()
    done = place.run("kafka-topics", "--create", "--topic", "more")
    assert done.code == 1
    assert "bytes are free): make room (a lower retention.bytes" in done.stderr
    if way == "delete":
        place.done("kafka-topics", "--delete", "--topic", "big")
    elif way == "retention":
        place.done("kafka-configs", "--alter", "--topic", "one", "--add-config", "retention.bytes=0")
        assert "2000 records removed by retention" in place.done("maintain")
    else:
        assert "low_watermark: 4000" in _delete(place, "big", -1)
    assert min(place.free()) > 1 << 20
    assert len(place.read("--from-beginning")) == 10
    # As if nothing had been: records are taken, replicas are in sync, and the next time has a reserve, too.
    with EmbeddedCluster(str(place.data)) as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send("read", [b"x"])
    place.done("maintain")
    with EmbeddedCluster(str(place.data)) as cluster:
        (described,) = cluster.admin().describe_topics(["read"])
        assert len(described.partitions[0].isr) == len(place.disks)
    assert (place.data / RESERVE_FILE).stat().st_size >= RESERVE


def test_a_directory_without_a_reserve_is_read_and_emptied(place: Place) -> None:
    (place.data / RESERVE_FILE).unlink()
    place.fill()
    assert place.done("kafka-get-offsets", "--topic", "big") == "big:0:4000\n"
    with EmbeddedCluster(str(place.data)) as cluster, pytest.raises(NoSpaceError, match="bytes are free"):
        cluster.admin().delete_topic("big")
    assert "low_watermark: 4000" in _delete(place, "big", -1)
    assert min(place.free()) > 1 << 20
    place.done("kafka-topics", "--delete", "--topic", "big")


def test_what_is_read_is_what_others_change_meanwhile(place: Place) -> None:
    """A process that opened the directory while it was full sees what is done to it later."""
    place.fill()
    with EmbeddedCluster(str(place.data)) as reading:
        assert len(reading.admin().list_topics()) == 3
        place.done("kafka-topics", "--delete", "--topic", "big")
        assert [topic.name for topic in reading.admin().list_topics()] == ["one", "read"]
        place.done("kafka-topics", "--create", "--topic", "more")
        assert [topic.name for topic in reading.admin().list_topics()] == ["more", "one", "read"]
        reading.admin().create_topic("again")
    assert place.done("kafka-topics", "--list").split() == ["again", "more", "one", "read"]


@pytest.mark.parametrize("place", [3], indirect=True)
@pytest.mark.parametrize("full", [0, 1])
def test_one_full_disk_of_three_is_left_behind_until_it_has_room(place: Place, full: int) -> None:
    """That of the leader and the catalogue, or a follower's: appends go on elsewhere, and all is read."""
    lines = [f"late-{number}-{'x' * 1000}" for number in range(200)]
    known = place.read("--from-beginning")
    place.fill(place.disks[full])
    with EmbeddedCluster(str(place.data)) as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send("read", [line.encode() for line in lines])
    assert place.read("--from-beginning") == [*known, *lines]
    with EmbeddedCluster(str(place.data)) as cluster:
        (described,) = cluster.admin().describe_topics(["read"])
        assert set(described.partitions[0].isr) == {0, 1, 2} - {full}
    assert "low_watermark: 4000" in _delete(place, "big", -1)
    assert place.free()[full] > 1 << 20
    place.done("maintain")
    with EmbeddedCluster(str(place.data)) as cluster:
        (described,) = cluster.admin().describe_topics(["read"])
        assert set(described.partitions[0].isr) == {0, 1, 2}
    assert "no problems" in place.done("doctor")
    assert place.read("--from-beginning") == [*known, *lines]


def test_a_lack_of_inodes_is_told_as_that(tmp_path: Path) -> None:
    """It was told that all bytes were free."""
    path = tmp_path / "few"
    path.mkdir()
    _mounted("mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=32", "tmpfs", str(path))
    try:
        with EmbeddedCluster(str(path / "data")) as cluster:
            text = r"\(\d+ of 32 inodes are free: it has no room for more files\): make room"
            with pytest.raises(NoSpaceError, match=text):
                for number in range(32):
                    cluster.admin().create_topic(f"t{number}")
            cluster.admin().delete_topic("t0")
            cluster.admin().create_topic("again")
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
