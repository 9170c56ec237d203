"""Every verb of the disk fails once, everywhere; and the power goes in every verb.

After a failure the log holds exactly what was acknowledged, once, and takes new records. After a power cut it holds
everything that was synced, and nothing that nobody sent.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log import reader as reader_module
from pykafka_store.embedded.log.by_time import offset_for_timestamp
from pykafka_store.embedded.replication.writer import PartitionWriter
from pykafka_store.errors import StorageError, StoreError
from pykafka_store.model import TopicPartition
from tests.store.helpers import AT_ONCE, Log, QuickDisk, batch, reader_decode, rows
from tests.support.faulty_disk import FaultyDisk, ForgetfulDisk, Killed

SETTINGS = {"internal_segment_bytes": "400", "index_interval_bytes": "80", "flush_messages": "4"}
APPENDS: list[list[list[bytes]]] = [
    [[b"a0", b"a1"]],
    [[b"b0"], [b"b1" * 60], [b"b2", b"b3"]],
    [[b"c0" * 50]],
    [[b"d0" * 60], [b"d1" * 60], [b"d2" * 60]],
    [[b"e0"]],
]
"""Values by append and batch: single batches, several at once, and rolls between and within appends."""


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_STATE_TRIES", 2)


def values(log: Log) -> list[bytes]:
    found = log.read()
    assert [row.offset for row in found] == list(range(len(found)))
    return [row.value or b"" for row in found]


def send(writer: PartitionWriter, what: list[list[bytes]], acknowledged: list[bytes]) -> StoreError | None:
    """One append; what it acknowledges is noted."""
    batches = [batch(*some, at=1000 + len(acknowledged)) for some in what]
    try:
        done = writer.append(batches)
    except StoreError as error:
        return error
    assert done.base_offset == len(acknowledged)
    for some in what[: done.batches]:
        acknowledged += some
    assert (done.error is None) == (done.batches == len(what))
    return done.error


def send_anew(log: Log, what: list[list[bytes]], acknowledged: list[bytes]) -> StoreError | None:
    """By another writer, on a disk that works."""
    writer = log.writer()
    try:
        return send(writer, what, acknowledged)
    finally:
        writer.close()


def script(log: Log, disk: FaultyDisk, *, check: bool = True) -> list[bytes]:
    """Append everything once with one long-lived writer, over failures; returns what was acknowledged."""
    acknowledged: list[bytes] = []
    writer = log.writer(disk)
    try:
        for what in APPENDS:
            before = len(disk.failed)
            error = send(writer, what, acknowledged)
            if error is not None:
                assert isinstance(error, StorageError)
                assert os.strerror(disk.number) in str(error)
                assert len(disk.failed) > before
                if check:
                    assert values(log) == acknowledged
    finally:
        try:
            writer.close()
        except StorageError:
            assert disk.failed
    return acknowledged


def verbs_of_the_script(tmp_path: Path) -> int:
    disk = FaultyDisk()
    log = Log(tmp_path / "count", **SETTINGS).create()
    assert script(log, disk) == [value for what in APPENDS for some in what for value in some]
    assert len([name for name in log.files() if name.endswith(".log")]) >= 3, "no roll is tried"
    assert {verb.name for verb in disk.done} >= {"open", "read_at", "write_at", "truncate", "sync", "sync_directory"}
    return len(disk.done)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE])
@pytest.mark.parametrize("how", ["error", "short", "late"])
def test_a_verb_that_fails_once_loses_and_doubles_nothing(tmp_path: Path, how: str, number: int) -> None:
    """The same writer goes on, another one too, and each record is there once, if and only if it was acknowledged."""
    for fail_at in range(verbs_of_the_script(tmp_path)):
        log = Log(tmp_path / str(fail_at), **SETTINGS).create()
        disk = FaultyDisk(fail_at, how=how, number=number)
        acknowledged = script(log, disk)
        assert len(disk.failed) == 1
        assert len(acknowledged) >= 3, "what comes after the failure is taken"
        assert values(log) == acknowledged
        assert send_anew(log, [[b"after"], [b"all" * 60]], acknowledged) is None
        assert values(log) == acknowledged


@pytest.mark.parametrize("how", ["error", "short"])
def test_a_disk_that_dies_for_good_keeps_what_was_acknowledged(tmp_path: Path, how: str) -> None:
    """Not even the cutting back works; when the disk is back, the next writer does it."""
    for fail_at in range(verbs_of_the_script(tmp_path)):
        log = Log(tmp_path / str(fail_at), **SETTINGS).create()
        disk = FaultyDisk(fail_at, how=how, stays_dead=True)
        acknowledged = script(log, disk, check=False)
        assert values(log) == acknowledged
        assert send_anew(log, [[b"after"], [b"all" * 60]], acknowledged) is None
        assert values(log) == acknowledged


def test_a_disk_that_fills_up_and_is_freed_takes_records_again(tmp_path: Path) -> None:
    """Every write fails for a while, as on a full disk; the writer lives through it."""
    log = Log(tmp_path, **SETTINGS).create()
    disk = FaultyDisk(how="short", number=errno.ENOSPC, stays_dead=True)
    writer = log.writer(disk)
    acknowledged: list[bytes] = []
    try:
        for round_ in range(30):
            disk.fail_at = len(disk.done) + round_ % 5 if round_ % 3 == 1 else -1
            error = send(writer, [[b"%d" % round_ * 20], [b"x"]], acknowledged)
            assert error is None or "No space left on device" in str(error)
            disk.heal()
            if error is not None:
                error = send(writer, [[b"again %d" % round_]], acknowledged)
                assert error is None
                assert acknowledged[-1] == b"again %d" % round_
            assert values(log) == acknowledged
    finally:
        writer.close()
    assert len(acknowledged) > 40


def test_a_reader_that_meets_a_failing_disk_goes_on_where_it_was(tmp_path: Path) -> None:
    """Whatever verb of a read fails, the next read gives what it would have given: nothing skipped, nothing twice."""
    log = Log(tmp_path, **SETTINGS).create()
    acknowledged = script(log, FaultyDisk())

    def everything(disk: FaultyDisk, size: int) -> tuple[list[bytes], int]:
        reader = log.reader(disk)
        found: list[bytes] = []
        failures = 0
        try:
            while len(found) < len(acknowledged):
                try:
                    batches = reader.read(len(found), size)
                except StorageError:
                    failures += 1
                    continue
                found += (row.value or b"" for row in rows(map(reader_decode, batches)))
            assert reader.read(len(found)) == []
        finally:
            reader.close()
        return found, failures

    for size in (1, 1 << 20):
        disk = FaultyDisk()
        assert everything(disk, size) == (acknowledged, 0)
        for fail_at in range(len(disk.done) - 1):
            assert everything(FaultyDisk(fail_at), size) == (acknowledged, 1)


def test_a_question_by_time_on_a_failing_disk_is_answered_right_or_not_at_all(tmp_path: Path) -> None:
    log = Log(tmp_path, **SETTINGS).create()
    script(log, FaultyDisk())
    stamps = [row.timestamp for row in log.read()]
    for timestamp in sorted({*stamps, max(stamps) + 1}):
        expected = next(((at, stamp) for at, stamp in enumerate(stamps) if stamp >= timestamp), None)
        disk = FaultyDisk()
        reader = log.reader(disk)
        assert offset_for_timestamp(reader, timestamp) == expected
        reader.close()
        for fail_at in range(len(disk.done)):
            reader = log.reader(FaultyDisk(fail_at))
            with pytest.raises(StorageError):
                offset_for_timestamp(reader, timestamp)
            assert offset_for_timestamp(reader, timestamp) == expected
            reader.close()


# ------------------------------------------------------------------------------------------------------- whole clusters


def _each_failure(tmp_path: Path) -> Iterator[tuple[Path, FaultyDisk]]:
    """(directory, disk) with the disk's next verb going wrong, the one after it, and so on."""
    for how in ("error", "late"):
        for fail_at in range(1000):
            disk = FaultyDisk(fail_at, how=how)
            yield tmp_path / how / str(fail_at), disk
            if not disk.failed:
                break
        else:
            pytest.fail("it never ends")


def test_a_directory_whose_making_fails_is_made_the_next_time(tmp_path: Path) -> None:
    for directory, disk in _each_failure(tmp_path):
        try:
            EmbeddedCluster(str(directory), disk=disk).close()
        except StorageError as error:
            assert disk.failed
            assert "\n" not in str(error)
        with EmbeddedCluster(str(directory), disk=QuickDisk()) as cluster:
            cluster.admin().create_topic("t")
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"x"])
            assert [topic.name for topic in cluster.admin().list_topics()] == ["t"]


def _partitions(directory: Path) -> set[str]:
    return {path.name for path in (directory / "brokers" / "0").iterdir()}


def test_a_topic_whose_making_fails_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Refused, it leaves nothing behind, and can be made again by the same process."""
    for directory, disk in _each_failure(tmp_path):
        EmbeddedCluster(str(directory), disk=QuickDisk()).close()
        first = disk.fail_at
        disk.fail_at = -1
        with EmbeddedCluster(str(directory), disk=disk) as cluster:
            admin = cluster.admin()
            disk.fail_at = len(disk.done) + first
            try:
                admin.create_topic("t", partitions=2)
            except StorageError:
                assert disk.failed
                assert admin.list_topics() == []
                assert _partitions(directory) == set()
                admin.create_topic("t", partitions=2)
            disk.fail_at = len(disk.done) + first
            try:
                admin.create_partitions("t", 4)
            except StorageError:
                assert len(admin.describe_topics(["t"])[0].partitions) == 2
                assert _partitions(directory) == {"t-0", "t-1"}
                admin.create_partitions("t", 4)
            disk.heal()
            assert _partitions(directory) == {"t-0", "t-1", "t-2", "t-3"}
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"x"] * 4, partitions=[0, 1, 2, 3])


def test_a_topic_whose_deletion_fails_half_way_is_gone_all_the_same(tmp_path: Path) -> None:
    """It may leave files, never a topic that is half there; its name can be used again, by a new and empty topic."""
    for directory, disk in _each_failure(tmp_path):
        first = disk.fail_at
        disk.fail_at = -1
        with EmbeddedCluster(str(directory), disk=disk) as cluster:
            admin = cluster.admin()
            admin.create_topic("t", partitions=2)
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"old"] * 2, partitions=[0, 1])
            disk.fail_at = len(disk.done) + first
            try:
                admin.delete_topic("t")
            except StorageError:
                assert disk.failed
            disk.heal()
            if [topic.name for topic in admin.list_topics()] == ["t"]:
                admin.delete_topic("t")
            admin.create_topic("t", partitions=2)
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"new"] * 2, partitions=[0, 1])
            with cluster.consumer() as consumer:
                consumer.assign({TopicPartition("t", 0): 0, TopicPartition("t", 1): 0})
                found = rows(consumer.poll())
            assert [(row.offset, row.value) for row in found] == [(0, b"new"), (0, b"new")]


# --------------------------------------------------------------------------------------------------------- power cuts


class _Boot:
    """A log on a disk that forgets, between two power cuts."""

    def __init__(self, root: Path, number: int, left: dict[str, bytes] | None, **settings: str) -> None:
        """``left`` are the partition's files that the last power cut left; None: there is no partition yet."""
        self.disk = ForgetfulDisk(durable_root=str(root / str(number)))
        os.makedirs(root / str(number))
        self.log = Log(root / str(number), self.disk, boot=b"boot number %04d" % number, **settings)
        if left is None:
            self.log.create()
            return
        self.disk.make_directory(self.log.directory)
        for name, data in left.items():
            self.disk.create_file(self.log.path(name), data)
            descriptor = self.disk.open(self.log.path(name), os.O_RDWR)
            self.disk.sync(descriptor)
            self.disk.close(descriptor)
        self.disk.sync_directory(self.log.directory)


@pytest.mark.parametrize("flush", ["1", "5", "9223372036854775807"])
@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_takes_nothing_that_was_synced(tmp_path: Path, seed: int, flush: str) -> None:
    """Boot after boot on the same log, with kills and power cuts in the middle of any verb. What was synced is there,
    at its offset; what else is there was sent for that offset; readers agree with the writer that comes after them.
    """
    chance = random.Random(f"{seed} {flush}")
    settings = {"internal_segment_bytes": "700", "index_interval_bytes": "100", "flush_messages": flush}
    left: dict[str, bytes] | None = None
    held: list[bytes] = []
    """What the log holds, as its readers see it."""
    synced = 0
    sent: dict[int, set[bytes]] = {}
    """What was ever sent for an offset."""
    kept = 0
    for number in range(12):
        boot = _Boot(tmp_path, number, left, **settings)
        if left is not None:
            found = values(boot.log)
            assert found[:synced] == held[:synced]
            assert all(value in sent[offset] for offset, value in enumerate(found))
            kept += len(found)
            held = found
        synced = min(synced, len(held))
        durable = 0
        boot.disk.kill_at = boot.disk.verbs + chance.choice([3, 10, 30, 60, 200])
        writer = boot.log.writer()
        for _ in range(chance.randint(1, 12)):
            what = [
                [b"%d." % chance.randrange(1000) * chance.randint(1, 40) for _ in range(chance.randint(1, 3))]
                for _ in range(chance.randint(1, 3))
            ]
            for offset, value in enumerate((value for some in what for value in some), start=len(held)):
                sent.setdefault(offset, set()).add(value)
            before = list(held)
            try:
                assert send(writer, what, held) is None
                durable = len(held)
            except Killed:
                boot.disk.kill_at = -1
                boot.disk.close_all()
                if chance.random() < 0.5:
                    break  # and the power with it
                # The next process finds all of what was acknowledged, and at most the start of what was under way.
                found = values(boot.log)
                assert found[: len(before)] == before
                assert all(value in sent[offset] for offset, value in enumerate(found))
                held = found
                writer = boot.log.writer()
                boot.disk.kill_at = boot.disk.verbs + chance.choice([3, 10, 30, 60, 200])
            reader = boot.log.reader(Disk())
            synced = max(synced, reader.state().recovery_point)
            reader.close()
        assert synced >= durable or flush != "1", "with flush.messages=1, to be acknowledged is to be synced"
        boot.disk.close_all()
        left = boot.disk.after_power_cut(boot.log.directory, chance)
    assert kept, "nothing ever came through: this tests nothing"


def test_a_second_power_cut_brings_nothing_back_that_the_first_one_took(tmp_path: Path) -> None:
    """Recovery cuts a torn tail off. Were that not synced, a batch behind it, still whole on the disk, could come back
    when a new batch of the torn one's size took its place.
    """
    first = _Boot(tmp_path, 0, None)
    first.log.append(batch(b"one"), batch(b"two"), batch(b"three"))
    size = len(first.log.files()[f"{0:020d}.log"]) // 3
    left = first.log.files()
    log = bytearray(left[f"{0:020d}.log"])
    log[size + 70] ^= 1
    left[f"{0:020d}.log"] = bytes(log)
    second = _Boot(tmp_path, 1, left)
    assert values(second.log) == [b"one"]
    second.log.append(batch(b"new"))
    assert values(second.log) == [b"one", b"new"]
    for seed in range(50):
        third = _Boot(tmp_path, 2 + seed, second.disk.after_power_cut(second.log.directory, random.Random(seed)))
        assert values(third.log) in ([b"one"], [b"one", b"new"])


def test_the_forgetful_disk_forgets_and_remembers(tmp_path: Path) -> None:
    """The tests above are worth something only if it really drops what was not synced, and never what was."""
    boot = _Boot(tmp_path, 0, None, flush_messages="1")
    boot.log.append(batch(b"synced"))
    boot.log.config = Log(tmp_path).config
    boot.log.append(batch(b"not synced"))
    outcomes = set()
    for seed in range(60):
        left = boot.disk.after_power_cut(boot.log.directory, random.Random(seed))
        outcomes.add(tuple(values(_Boot(tmp_path, 1 + seed, left).log)))
    assert outcomes == {(b"synced",), (b"synced", b"not synced")}
