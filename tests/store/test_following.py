"""Who waits is told: of an append, of a new topic, of a change in its group; and where nothing tells, it looks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store import watching
from pykafka_store.embedded.clients import following, member_consumer
from pykafka_store.embedded.clients.following import Following
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.layout import GROUPS_FILE
from pykafka_store.model import OffsetAt, Records, TopicPartition
from pykafka_store.watching import Watcher, tells

inotify = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nobody looks without being told. The event says that somebody waits to be."""
    waits = threading.Event()
    wait = Clock.wait

    def told(self: Clock, seconds: float, descriptor: int) -> None:
        waits.set()
        wait(self, seconds, descriptor)

    monkeypatch.setattr(following, "LOOK", 1000.0)
    monkeypatch.setattr(member_consumer, "LOOK_INTERVAL", 1000.0)
    monkeypatch.setattr(Clock, "wait", told)
    return waits


def polled(consumer: object, waits: threading.Event, then: Callable[[], None]) -> list[Records]:
    """What a poll returns that waits when ``then`` is done."""
    found: list[list[Records]] = []
    thread = threading.Thread(target=lambda: found.append(consumer.poll(100.0)))  # type: ignore[attr-defined]
    thread.start()
    assert waits.wait(60)
    then()
    thread.join(100)
    return found[0]


@inotify
def test_a_consumer_is_told_of_an_append(cluster: EmbeddedCluster, patient: threading.Event, tmp_path: Path) -> None:
    cluster.admin().create_topic("t", partitions=3)
    with EmbeddedCluster(tmp_path / "data") as other, cluster.consumer() as consumer, other.producer() as producer:
        consumer.subscribe(["t"])

        def append() -> None:
            producer.send("t", [b"tea"], partitions=2)
            producer.flush()

        (run,) = polled(consumer, patient, append)
    assert (run.partition, run.values) == (2, [b"tea"])


@inotify
def test_a_consumer_is_told_of_a_topic_that_its_pattern_matches(
    cluster: EmbeddedCluster, patient: threading.Event, tmp_path: Path
) -> None:
    import re

    cluster.admin().create_topic("a-1")
    with EmbeddedCluster(tmp_path / "data") as other, cluster.consumer() as consumer, other.producer() as producer:
        consumer.subscribe(pattern=re.compile("a-.*"))

        def make() -> None:
            producer.send("a-2", [b"new"])
            producer.flush()

        (run,) = polled(consumer, patient, make)
    assert (run.topic, run.values) == ("a-2", [b"new"])


@inotify
def test_a_member_is_told_of_one_that_leaves(
    cluster: EmbeddedCluster, patient: threading.Event, tmp_path: Path
) -> None:
    admin = cluster.admin()
    admin.create_topic("t", partitions=2)
    config = {"group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": "false"}
    with EmbeddedCluster(tmp_path / "data") as other, cluster.consumer(config) as stays:
        with other.consumer(config) as goes:
            stays.subscribe(["t"])
            goes.subscribe(["t"])
            while len(stays.assignment()) != 1 or len(goes.assignment()) != 1:
                stays.poll(0.02)
                goes.poll(0.02)
            with other.producer() as producer:
                for partition in (0, 1):
                    producer.send("t", [b"tea"], partitions=partition)
            stays.poll(1.0)
            patient.clear()
            (run,) = polled(stays, patient, goes.close)
        assert len(stays.assignment()) == 2
        assert run.values == [b"tea"]


@pytest.mark.parametrize("why", ["another machine's files", "no more watches", "too many partitions"])
def test_where_nothing_tells_a_consumer_looks(
    cluster: EmbeddedCluster, patient: threading.Event, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "another machine's files":
        monkeypatch.setattr(watching, "tells", lambda _: False)
    elif why == "no more watches":
        monkeypatch.setattr(Watcher, "watch", lambda *_: False)
    else:
        monkeypatch.setattr(following, "_MOST_WATCHED", 0)
    cluster.admin().create_topic("t")
    slept = threading.Event()
    sleep = Clock.sleep

    def sleeps(self: Clock, seconds: float) -> None:
        slept.set()
        sleep(self, seconds)

    monkeypatch.setattr(Clock, "sleep", sleeps)
    with cluster.consumer() as consumer, cluster.producer() as producer:
        consumer.assign({TopicPartition("t", 0): OffsetAt.EARLIEST})
        (run,) = polled(consumer, slept, lambda: producer.send("t", [b"tea"]))
    assert run.values == [b"tea"]
    assert not patient.is_set()


@inotify
def test_what_is_more_than_can_be_noted_is_a_change_of_all(tmp_path: Path) -> None:
    watcher = Watcher()
    for name in ("a", "b", "quiet"):
        (tmp_path / name).write_bytes(b"")
        assert watcher.watch(name, str(tmp_path / name))
    first, second = (os.open(tmp_path / name, os.O_WRONLY) for name in ("a", "b"))
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for _ in range(limit // 2 + 2):  # alike events in a row would be one
        os.write(first, b"x")
        os.write(second, b"x")
    found = set()
    while changed := watcher.changed():
        found |= changed
    assert found == {"a", "b", "quiet"}
    os.close(first)
    os.close(second)
    watcher.close()


@inotify
def test_a_file_in_a_directory_is_told_by_its_name_and_one_that_took_anothers_place_is_watched(tmp_path: Path) -> None:
    watcher = Watcher()
    directory = tmp_path / "d"
    directory.mkdir()
    assert watcher.watch("d", str(directory))
    (directory / "file").write_bytes(b"1")
    assert watcher.changed() == {("d", "file")}
    path = tmp_path / "state"
    path.write_bytes(b"old")
    assert watcher.watch("s", str(path))
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "new").replace(path)
    assert watcher.watch("s", str(path))
    watcher.changed()
    path.write_bytes(b"newer")
    assert watcher.changed() == {"s"}
    watcher.close()


@inotify
@pytest.mark.parametrize(
    ("kind", "told"), [("ext4", True), ("overlay", True), ("nfs4", False), ("9p", False), ("fuse.sshfs", False)]
)
def test_what_another_machine_may_write_is_not_told(tmp_path: Path, kind: str, told: bool) -> None:
    place = os.path.realpath(tmp_path)
    mounted = tmp_path / "mountinfo"
    mounted.write_text(
        "22 1 8:1 / / rw - nfs root rw\n"
        f"23 22 8:2 / {place} rw,relatime shared:1 - {kind} source rw\n"
        f"24 22 8:3 / {place}else rw - nfs source rw\n"
    )
    assert tells(str(tmp_path / "a" / "b"), str(mounted)) is told


@inotify
def test_tables_are_looked_at_again_after_they_were_written(tmp_path: Path, patient: threading.Event) -> None:
    """The WAL's bytes come before the shared memory that makes them count, and of that nobody is told."""
    who = Following(str(tmp_path), Clock())
    who.wait(100.0, [], 0)  # it has begun to watch
    (tmp_path / f"{GROUPS_FILE}-wal").write_bytes(b"x")
    looks = 0
    while looks < 3:  # for so long the writer has got no further
        who.wait(100.0, [], 0)
        looks += who.groups_moved
        who.groups_moved = False
    who.close()
