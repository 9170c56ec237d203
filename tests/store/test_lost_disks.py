"""A disk that goes away at any verb, and comes back at once or later: nothing of it is lost for good."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.replicas import Replicas
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.errors import LeaderNotAvailableError, StorageError, StoreError
from pykafka_store.model import ConfigResource, OffsetAt, SendFailure
from tests.store.helpers import AT_ONCE
from tests.store.test_replication import T, Three, content, read

VERBS = ("open", "read_at", "write_at", "truncate", "rename", "remove", "list", "exists", "size_of", "is_at")


class LosesOne(Disk):
    """A log directory is renamed away before the n-th verb upon its files, and back some verbs later, as a mount is."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._away = log_dir.with_name("away")
        self._lost_at = self._back_at = -1
        self.verbs = 0

    def begin(self, lost_at: int, verbs_away: int) -> None:
        self.verbs = 0
        self._lost_at, self._back_at = lost_at, lost_at + verbs_away

    def turn(self, *arguments: object) -> None:
        """Before each verb. Those upon other disks' files see nothing of it, and are not counted."""
        if not any(isinstance(each, str) and each.startswith(str(self._log_dir)) for each in arguments):
            return
        if self.verbs == self._lost_at:
            self._log_dir.rename(self._away)
        elif self.verbs == self._back_at:
            self._bring_back()
        self.verbs += 1

    def end(self) -> int:
        """Have the disk there from now on. Returns how many verbs there were meanwhile."""
        self._lost_at = self._back_at = -1
        self._bring_back()
        return self.verbs

    def sync(self, descriptor: int, path: str = "") -> None:
        self.turn(path)

    def sync_directory(self, path: str) -> None:
        self.turn(path)

    def _bring_back(self) -> None:
        if self._away.exists():
            shutil.rmtree(self._log_dir, ignore_errors=True)  # what was made in its place: a mount would hide that
            self._away.rename(self._log_dir)


def _counted(name: str) -> Callable[..., Any]:
    verb = getattr(Disk, name)

    @functools.wraps(verb)
    def counted(disk: LosesOne, *arguments: Any, **options: Any) -> Any:
        disk.turn(*arguments, *options.values())
        return verb(disk, *arguments, **options)

    return counted


for name in VERBS:
    setattr(LosesOne, name, _counted(name))


def _prepared(path: Path) -> list[bytes]:
    """Three replicas of a log of a few segments; broker 1's lacks all but the first of them. Returns what was sent."""
    three = Three(path, internal_segment_bytes="200")
    three.send(b"a" * 50)
    away = three.broker(1).with_name("behind")
    three.broker(1).rename(away)
    for letter in (b"b", b"c", b"d"):
        three.send(letter * 100)
    away.rename(three.broker(1))
    three.close()
    return three.sent


@pytest.mark.parametrize(("lost", "verbs_away"), [(0, 1000), (1, 2)])
def test_a_disk_that_goes_while_a_replica_comes_back_takes_nothing_from_it(
    tmp_path: Path, lost: int, verbs_away: int
) -> None:
    """Found by the storm (seed 1): a leader whose disk was gone was taken for one without partition.metadata."""
    prepared = tmp_path / "prepared"
    sent = _prepared(prepared)
    files = content(prepared / "d" / "brokers" / "0" / "t-0").keys()
    for lost_at in count():
        path = tmp_path / str(lost_at)
        shutil.copytree(prepared, path)
        directory = str(path / "d")
        disk = LosesOne(path / "d" / "brokers" / str(lost))
        with EmbeddedCluster(directory, disk=disk) as cluster:
            partition = hosted(cluster.engine, T)
            disk.begin(lost_at, verbs_away)
            with suppress(StoreError, FileNotFoundError):
                Replicas(partition).bring_back()
            verbs = disk.end()
            Replicas(partition).bring_back()
            assert sorted(partition.row.isr) == [0, 1, 2], lost_at
            with cluster.consumer() as consumer:
                consumer.assign({T: OffsetAt.EARLIEST})
                assert [value for run in consumer.poll(max_records=100) for value in run.values] == sent, lost_at
        first, *others = [content(path / "d" / "brokers" / str(broker) / "t-0") for broker in (0, 1, 2)]
        assert others == [first, first], lost_at
        assert files <= first.keys(), lost_at
        shutil.rmtree(path)
        if verbs <= lost_at:
            break
    assert lost_at > 40


class Hasty(Clock):
    """Seconds pass from one look at it to the next, so that whatever is looked for ever so often is looked for."""

    def __init__(self) -> None:
        self._seconds = count(step=10)

    def monotonic(self) -> float:
        return next(self._seconds)


@pytest.mark.parametrize("verbs_away", [1, 2, 5])
def test_a_reader_waits_for_the_only_disk_there_is(tmp_path: Path, verbs_away: int) -> None:
    """A directory that was away for a moment was taken for that of a topic that was deleted, and the reader ended."""
    directory = str(tmp_path / "d")
    sent = [b"%d" % number * 40 for number in range(6)]
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t", configs={"internal.segment.bytes": "200"})
        with cluster.producer(AT_ONCE) as producer:
            for value in sent:
                producer.send("t", [value])
    for lost_at in count():
        disk = LosesOne(tmp_path / "d" / "brokers" / "0")
        with EmbeddedCluster(directory, disk=disk, clock=Hasty()) as cluster, cluster.consumer() as consumer:
            consumer.assign({T: OffsetAt.EARLIEST})
            found: list[bytes | None] = []
            disk.begin(lost_at, verbs_away)
            for _ in range(20):
                found += [value for run in consumer.poll(timeout=0, max_records=1) for value in run.values]
            verbs = disk.end()
            for _ in range(20):
                found += [value for run in consumer.poll(timeout=0, max_records=1) for value in run.values]
            assert found == sent, lost_at
        if verbs <= lost_at:
            break
    assert lost_at > 20


@pytest.mark.parametrize("verbs_away", [1, 2])
def test_a_disk_that_goes_under_an_append_does_not_bring_back_what_was_deleted(tmp_path: Path, verbs_away: int) -> None:
    """A state that could not be seen for a moment was taken for a lost one, and only it knows where the log starts."""
    three = Three(tmp_path / "prepared")
    three.send(b"a", b"b")
    three.admin.delete_records({T: 1})
    three.close()
    for lost_at in count():
        path = tmp_path / str(lost_at)
        shutil.copytree(tmp_path / "prepared", path)
        disk = LosesOne(path / "d" / "brokers" / "0")
        with EmbeddedCluster(str(path / "d"), disk=disk) as cluster:
            with cluster.producer(AT_ONCE) as producer:
                disk.begin(lost_at, verbs_away)
                producer.send("t", [b"c"], partitions=0)
                verbs = disk.end()
            Replicas(hosted(cluster.engine, T)).bring_back()
            with cluster.consumer() as consumer:
                consumer.assign({T: OffsetAt.EARLIEST})
                found = [
                    (offset, value)
                    for run in (*consumer.poll(), *consumer.poll())
                    for offset, value in zip(run.offsets, run.values, strict=True)
                ]
            assert found == [(1, b"b"), (2, b"c")], lost_at
        first, *others = [content(path / "d" / "brokers" / str(broker) / "t-0") for broker in (0, 1, 2)]
        assert others == [first, first], lost_at
        shutil.rmtree(path)
        if verbs <= lost_at:
            break
    assert lost_at > 5


def test_a_disk_that_goes_under_a_roll_is_told_in_words(tmp_path: Path) -> None:
    """Who looks for a file or lists a directory learns of it by an OSError, whose text is the system's."""
    told: list[str] = []
    for lost_at in count():
        three = Three(tmp_path / str(lost_at), internal_segment_bytes="200")
        three.send(b"a" * 100)
        three.close()
        disk = LosesOne(tmp_path / str(lost_at) / "d" / "brokers" / "1")
        with EmbeddedCluster(three.directory, disk=disk) as cluster:
            with cluster.producer(AT_ONCE, on_notice=told.append) as producer:
                disk.begin(lost_at, 1000)
                producer.send("t", [b"b" * 100], partitions=0)
            if disk.end() <= lost_at:
                break
    assert len(told) > 5
    assert all("Errno" not in line for line in told), told


def test_a_disk_that_goes_under_compaction_leaves_no_segment_whose_records_are_in_another(tmp_path: Path) -> None:
    """One that could not be seen for a moment was taken for removed, and its old records were read again."""
    configs = {"cleanup.policy": "compact", "internal.segment.bytes": "300", "min.cleanable.dirty.ratio": "1"}
    merging = {"internal.segment.bytes": "10000", "min.cleanable.dirty.ratio": "0"}
    prepared = tmp_path / "prepared"
    with EmbeddedCluster(str(prepared)) as cluster:
        cluster.admin().create_topic("t", configs=configs)
        with cluster.producer(AT_ONCE) as producer:
            for number in range(12):
                producer.send("t", [b"%d" % number * 40], keys=[b"k%d" % (number % 2)])
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), merging)

    def compacted(path: Path, disk: LosesOne | None = None, lost_at: int = -1) -> tuple[int, list[str], list[bytes]]:
        verbs = 0
        with EmbeddedCluster(str(path), disk=disk or Disk()) as cluster:
            (upkeep,) = upkeep_of(hosted(cluster.engine, T))
            if disk is not None:
                disk.begin(lost_at, 1)
                with suppress(StoreError, FileNotFoundError):
                    upkeep.run()
                verbs = disk.end()
            upkeep.run()
            with cluster.consumer() as consumer:
                consumer.assign({T: OffsetAt.EARLIEST})
                found = [value for run in consumer.poll(max_records=100) for value in run.values]
        names = sorted(each.name for each in (path / "brokers" / "0" / "t-0").glob("*.log*"))
        return verbs, names, found

    shutil.copytree(prepared, tmp_path / "plain")
    _, names, found = compacted(tmp_path / "plain")
    assert len(names) < 4 < len(list((prepared / "brokers" / "0" / "t-0").glob("*.log")))
    for lost_at in count():
        path = tmp_path / str(lost_at)
        shutil.copytree(prepared, path)
        verbs, *left = compacted(path, LosesOne(path / "brokers" / "0"), lost_at)
        assert left == [names, found], lost_at
        shutil.rmtree(path)
        if verbs <= lost_at:
            break
    assert lost_at > 40


@pytest.mark.parametrize(("replicas", "verbs_away"), [(1, 1), (1, 2), (1, 1000), (3, 1), (3, 1000)])
def test_a_disk_that_goes_under_a_first_record_is_told_as_what_it_is(
    tmp_path: Path, replicas: int, verbs_away: int
) -> None:
    """Found by the storm (seed 1130): files that were made and could not be seen then were taken for a log that needs
    none yet, and the append raised a KeyError.
    """
    for lost_at in count():
        path = tmp_path / str(lost_at)
        disk = LosesOne(path / "disk")
        failures: list[SendFailure] = []
        with EmbeddedCluster(str(path / "d"), disk=disk) as cluster:
            for number in (1, 2):
                cluster.add_broker(log_dirs=[str(path / "disk" if number == 1 else path / "other")])
            cluster.admin().create_topic("t", assignments=[[1, 0, 2][:replicas]])
            with cluster.producer(AT_ONCE | {"retries": "0"}, on_failure=failures.append) as producer:
                disk.begin(lost_at, verbs_away)
                producer.send("t", [b"a"], partitions=0)
                verbs = disk.end()
                told = [b"a"] if not failures else []
                producer.send("t", [b"b"], partitions=0)
        assert [type(each.error) for each in failures] in ([], [StorageError], [LeaderNotAvailableError]), lost_at
        assert read(str(path / "d")) == [*told, b"b"], lost_at
        shutil.rmtree(path)
        if verbs <= lost_at:
            break
    assert lost_at > 5
