"""Retention takes the segments that Kafka's rules take, in an order that a kill can stop anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.retention import SegmentSpan, removable
from pykafka_store.embedded.replication.upkeep import PassReport, Upkeep
from pykafka_store.embedded.replication.writer import PartitionWriter
from pykafka_store.errors import (
    InvalidTopicError,
    OffsetOutOfRangeError,
    PolicyViolationError,
    StorageError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.state import empty_state
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.settings.configs import TopicConfig
from tests.store.helpers import AT_ONCE, STATE, TOPIC, TOPIC_ID, Log, QuickDisk, batch, of_another_boot

P = TopicPartition(TOPIC, 0)
DAY = 86_400_000


class StillClock(Clock):
    """A clock whose time of day is what a test says."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now


def upkeep_of(log: Log, now: int, disk: Disk | None = None) -> Upkeep:
    return Upkeep(log.partition(disk, StillClock(now)), log.directory)


def ten_segments(root: Path, **configs: str) -> Log:
    """Ten segments of one record each, of 170 bytes, written at 1000, 2000, … 10000."""
    log = Log(root, internal_segment_bytes="200", **configs).create()
    for number in range(10):
        log.append(batch(b"x" * 100, at=(number + 1) * 1000))
    assert len(bases(log)) == 10
    return log


def bases(log: Log) -> list[int]:
    return [int(name[:20]) for name in sorted(log.files()) if name.endswith(".log")]


def run(log: Log, now: int = 10_000, **configs: str) -> PassReport:
    log.config = TopicConfig.of({name.replace("_", "."): value for name, value in configs.items()})
    return upkeep_of(log, now).run()


# ---------------------------------------------------------------------------------------------------------- the rules


def segments(*sizes: int) -> list[SegmentSpan]:
    """Ten offsets each, the first one's newest record of time 1000, the next one's of 2000, and so on."""
    return [SegmentSpan(10 * i, 10 * i + 10, size, (1000 * (i + 1)).__lt__, lambda: 0) for i, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("settings", "now", "start", "sizes", "expected"),
    [
        ({}, 5000, 0, (5, 5, 5), 0),
        # by time: strictly older than retention.ms
        ({"retention.ms": "1000"}, 2000, 0, (5, 5, 5), 0),
        ({"retention.ms": "1000"}, 2001, 0, (5, 5, 5), 1),
        ({"retention.ms": "0"}, 9999, 0, (5, 5, 5), 3),
        ({"retention.ms": "0"}, 9999, 0, (5, 5, 0), 2),  # the active segment is empty and stays
        ({"retention.ms": "-1"}, 10**15, 0, (5, 5, 5), 0),
        # by size: while the rest is at least as large as asked for
        ({"retention.bytes": "10"}, 0, 0, (5, 5, 5), 1),
        ({"retention.bytes": "11"}, 0, 0, (5, 5, 5), 0),
        ({"retention.bytes": "0"}, 0, 0, (5, 5, 5), 3),
        ({"retention.bytes": "-1"}, 0, 0, (5, 5, 5), 0),
        ({"retention.bytes": "5"}, 0, 0, (5, 0, 5), 2),
        # below the log start offset, whatever the policy
        ({"cleanup.policy": "compact", "retention.ms": "0", "retention.bytes": "0"}, 9999, 19, (5, 5, 5), 1),
        ({"cleanup.policy": "compact"}, 9999, 30, (5, 5, 5), 2),
        ({"cleanup.policy": ""}, 10**15, 20, (5, 5, 5), 2),
        # one rule goes on where the one before it stopped
        ({"retention.bytes": "5", "retention.ms": "1000"}, 3500, 10, (5, 5, 5), 2),
        ({"cleanup.policy": "compact,delete", "retention.ms": "0"}, 9999, 0, (5, 5, 5), 3),
    ],
)
def test_kafkas_rules(settings: dict[str, str], now: int, start: int, sizes: tuple[int, ...], expected: int) -> None:
    state = empty_state(bytes(16), bytes(16))._replace(log_start_offset=start, high_watermark=30, log_end_offset=30)
    assert removable(segments(*sizes), state, TopicConfig.of(settings), now) == expected


def test_nothing_at_or_beyond_the_high_watermark_goes() -> None:
    state = empty_state(bytes(16), bytes(16))._replace(high_watermark=19, log_end_offset=30)
    for settings in ({"retention.ms": "0"}, {"retention.bytes": "0"}):
        assert removable(segments(5, 5, 5), state, TopicConfig.of(settings), 10**15) == 1


# ---------------------------------------------------------------------------------------------------- over real files


def test_old_segments_are_set_aside_and_removed_when_their_delay_is_over(tmp_path: Path) -> None:
    log = ten_segments(tmp_path)
    report = run(log, now=10_000, retention_ms="6000", file_delete_delay_ms="60000")
    assert report.removed == (3, 3, 3 * 170)
    assert report.freed == 0
    assert bases(log) == list(range(3, 10))
    assert log.state().log_start_offset == 3
    aside = [name for name in log.files() if name.endswith(".deleted")]
    assert [name for name in aside if ".log." in name] == [f"{base:020d}.log.deleted" for base in range(3)]
    assert len(aside) == 9
    assert [row.offset for row in log.read()] == list(range(3, 10))

    assert run(log, now=69_999, retention_ms="-1", file_delete_delay_ms="60000") == PassReport()
    later = run(log, now=70_000, retention_ms="-1", file_delete_delay_ms="60000")
    assert later.freed >= 3 * 170
    assert not any(name.endswith(".deleted") for name in log.files())


def test_the_active_segment_goes_after_a_roll(tmp_path: Path) -> None:
    log = ten_segments(tmp_path)
    report = run(log, now=10**9, retention_ms="1", file_delete_delay_ms="0")
    assert report.removed == (10, 10, 1700)
    assert report.freed >= 1700
    assert bases(log) == [10]
    assert log.read() == []
    assert log.append(batch(b"next", at=5)).base_offset == 10
    assert [row.offset for row in log.read()] == [10]
    assert run(log, now=10**9, retention_ms="1").removed == (1, 1, 72)


def test_an_empty_log_stays_as_it_is(tmp_path: Path) -> None:
    log = Log(tmp_path).create()
    before = log.files()
    assert run(log, now=10**12, retention_ms="0", retention_bytes="0") == PassReport()
    assert log.files() == before


def test_a_lost_time_index_changes_nothing(tmp_path: Path) -> None:
    log = ten_segments(tmp_path)
    for base in range(9):
        os.unlink(log.path(f"{base:020d}.timeindex"))
    assert run(log, now=10_000, retention_ms="6000").removed == (3, 3, 510)


def _overwrite(path: str, position: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(data)


@pytest.mark.parametrize("damaged", ["time", "offset", "both"])
@pytest.mark.parametrize("kind", ["older", "newer"])
def test_a_damaged_time_index_makes_no_record_older_or_younger(tmp_path: Path, damaged: str, kind: str) -> None:
    """Its last entry says how old the newest record is; one that no batch confirms is not believed."""
    log = ten_segments(tmp_path)
    for base in range(9):
        path = log.path(f"{base:020d}.timeindex")
        assert os.path.getsize(path) == 12
        if damaged in ("time", "both"):
            _overwrite(path, 0, (1 if kind == "older" else 1 << 50).to_bytes(8, "big"))
        if damaged in ("offset", "both"):
            _overwrite(path, 8, (-7 if kind == "older" else 7).to_bytes(4, "big", signed=True))
    assert run(log, now=10_000, retention_ms="6000").removed == (3, 3, 510)
    assert bases(log) == list(range(3, 10))


def test_a_time_index_cut_between_two_entries_makes_no_record_older(tmp_path: Path) -> None:
    log = Log(tmp_path, internal_segment_bytes="2000", index_interval_bytes="0").create()
    for number in range(30):
        log.append(batch(b"x" * 100, at=(number + 1) * 1000))
    first = log.path(f"{0:020d}.timeindex")
    assert os.path.getsize(first) > 3 * 12
    os.truncate(first, 2 * 12)
    newest = bases(log)[1] * 1000
    assert run(log, now=newest + 6000, retention_ms="6000").removed.segments == 0
    assert run(log, now=newest + 6001, retention_ms="6000").removed.segments == 1


def test_what_lies_behind_damage_is_as_old_as_the_file(tmp_path: Path) -> None:
    """The newest record of the first segment can't be seen: what can be seen before it is not the newest."""
    log = Log(tmp_path, internal_segment_bytes="2000").create()
    for number in range(30):
        log.append(batch(b"x" * 100, at=(number + 1) * 1000))
    first, second = bases(log)[:2]
    path = log.path(f"{first:020d}.log")
    _overwrite(path, os.path.getsize(path) - 170, bytes(170))
    os.utime(path, ns=(second * 1000 * 1_000_000,) * 2)
    assert run(log, now=second * 1000 + 6000, retention_ms="6000").removed.segments == 0
    assert run(log, now=second * 1000 + 6001, retention_ms="6000").removed.segments == 1


def test_records_without_a_time_are_as_old_as_their_file(tmp_path: Path) -> None:
    log = Log(tmp_path, internal_segment_bytes="200").create()
    for _ in range(3):
        log.append(batch(b"x" * 100, at=-1))
    os.utime(log.path(f"{0:020d}.log"), ns=(1_000_000, 1_000_000))  # one millisecond after the epoch
    now = time.time_ns() // 1_000_000
    assert run(log, now=now, retention_ms=str(DAY)).removed.segments == 1


def test_a_pass_leaves_a_partition_alone_that_another_is_at(tmp_path: Path) -> None:
    log = ten_segments(tmp_path)
    locks = Locks(str(tmp_path / "locks"), Disk(), Clock())
    with locks.upkeep(TOPIC_ID, 0) as ours:
        assert ours
        assert run(log, now=10**9, retention_ms="0") == PassReport(busy=True)
    assert not run(log, now=10**9, retention_ms="0").busy


# ------------------------------------------------------------------------------------------------------------ crashes


class Killed(BaseException):
    pass


class StoppingDisk(QuickDisk):
    """A disk that ends the process, as it were, before its n-th change of anything."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def _step(self) -> None:
        if not self.steps:
            raise Killed
        self.steps -= 1

    def write_at(self, *arguments, **named):  # type: ignore[no-untyped-def]
        self._step()
        return super().write_at(*arguments, **named)

    def rename(self, old: str, new: str) -> None:
        self._step()
        super().rename(old, new)

    def touch(self, path: str, at_ms: int) -> None:
        self._step()
        super().touch(path, at_ms)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        self._step()
        super().truncate(descriptor, size, path)

    def create_file(self, path: str, data: bytes = b"") -> None:
        self._step()
        super().create_file(path, data)


@pytest.mark.parametrize("retention_ms", ["6001", "0"])
@pytest.mark.parametrize("power", ["stays", "is cut"])
def test_a_kill_at_any_step_loses_no_record_that_was_to_stay(tmp_path: Path, retention_ms: str, power: str) -> None:
    """After it, all that was to stay can be read, offsets go on, and the next pass finishes what was begun."""
    sample = ten_segments(tmp_path / "sample")
    before = sample.files()
    first = 3 if retention_ms == "6001" else 10
    settings = {"retention.ms": retention_ms, "file.delete.delay.ms": "0", "internal.segment.bytes": "200"}
    steps = 0
    while True:
        log = Log(tmp_path / "copy", **settings)
        log.restore(before)
        finished = True
        try:
            upkeep_of(log, 10_001, StoppingDisk(steps)).run()
        except Killed:
            finished = False
        if power == "is cut":
            files = log.files()
            log.restore({**files, STATE: of_another_boot(files[STATE])})
        start = log.state().log_start_offset
        assert start in (0, first) or (power == "is cut" and 0 <= start <= first)
        assert [row.offset for row in log.read()] == list(range(start, 10)), steps
        assert log.append(batch(b"x" * 100, at=10_000)).base_offset == 10
        upkeep_of(log, 10_001).run()
        left = list(range(first, 11)) if first < 10 else [row.offset for row in log.read()]
        assert [row.offset for row in log.read()] == left
        assert bases(log)[0] == log.state().log_start_offset
        orphans = {name for name in log.files() if name.endswith("index") and f"{name[:20]}.log" not in log.files()}
        assert orphans == set()
        if finished:
            break
        steps += 1
    assert steps > 20


def test_an_append_succeeds_whatever_its_upkeep_meets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = []

    def failing(*_: object, **__: object) -> None:
        met.append("no disk")
        raise StorageError("no disk")

    log = Log(tmp_path, internal_segment_bytes="200").create()
    writer = PartitionWriter(log.partition())
    monkeypatch.setattr(Upkeep, "run", failing)
    assert writer.append([batch(b"x" * 100)]).error is None
    done = writer.append([batch(b"x" * 100)])
    assert (done.base_offset, done.error, met) == (1, None, ["no disk"])
    writer.close()


# --------------------------------------------------------------------------------------------------- through the seam


def topic(directory: Path, **configs: str) -> EmbeddedCluster:
    cluster = EmbeddedCluster(str(directory))
    cluster.admin().create_topic(TOPIC, configs={name.replace("_", "."): value for name, value in configs.items()})
    return cluster


def _values(cluster: EmbeddedCluster) -> list[bytes | None]:
    with cluster.consumer() as consumer:
        consumer.assign({P: OffsetAt.EARLIEST})
        return [value for run in consumer.poll() for value in run.values]


def test_old_records_outlive_the_append_after_them_as_at_a_broker(tmp_path: Path) -> None:
    """A broker rolls at an append that is much younger, and looks what is too old every five minutes."""
    with topic(tmp_path, internal_segment_bytes="200") as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send(TOPIC, [b"fixture"], timestamps=1_600_000_000_000)
        producer.send(TOPIC, [b"live"])
        log = tmp_path / "brokers/0" / f"{TOPIC}-0"
        assert [path.name for path in sorted(log.glob("*.log"))] == [f"{n:020}.log" for n in (0, 1)]
        assert _values(cluster) == [b"fixture", b"live"]
        cluster.admin().delete_records({P: 0})
        assert _values(cluster) == [b"fixture", b"live"]
        long_ago = time.time() - 301
        os.utime(log / f"{0:020}.log", (long_ago, long_ago))
        producer.send(TOPIC, [b"x" * 100])
        producer.send(TOPIC, [b"later"])
        assert _values(cluster) == [b"live", b"x" * 100, b"later"]


def test_who_asks_for_upkeep_has_it_at_once(tmp_path: Path) -> None:
    with topic(tmp_path) as cluster, cluster.producer(AT_ONCE) as producer:
        producer.send(TOPIC, [b"fixture"], timestamps=1_600_000_000_000)
        producer.send(TOPIC, [b"live"])
        cluster.maintain()
        assert _values(cluster) == [b"live"]


def test_a_writer_that_rolls_applies_retention(tmp_path: Path) -> None:
    with topic(tmp_path, internal_segment_bytes="20000", retention_bytes="60000", file_delete_delay_ms="0") as cluster:
        with cluster.producer(AT_ONCE) as producer:
            for _ in range(100):
                producer.send(TOPIC, [b"x" * 5000])
        found = cluster.admin().list_offsets({P: OffsetAt.EARLIEST})[P]
        assert isinstance(found, int)
        # What is kept is at most retention.bytes and one segment more, as long as segments are that large.
        assert 60000 <= (100 - found) * 5080 <= 80000 + 5080
        names = os.listdir(tmp_path / "brokers" / "0" / f"{TOPIC}-0")
        assert not any(name.endswith(".deleted") for name in names)


def test_delete_records(tmp_path: Path) -> None:
    with topic(tmp_path, internal_segment_bytes="20000", file_delete_delay_ms="0") as cluster:
        admin = cluster.admin()
        with cluster.producer(AT_ONCE) as producer:
            for number in range(20):
                producer.send(TOPIC, [b"%05d" % number * 1000])
        assert admin.delete_records({P: 7}) == {P: 7}
        assert admin.delete_records({P: 3}) == {P: 7}
        with cluster.consumer({"auto.offset.reset": "none"}) as consumer:
            consumer.assign({P: OffsetAt.EARLIEST})
            assert consumer.poll(1.0)[0].offsets[0] == 7
            consumer.seek(P, 6)
            with pytest.raises(OffsetOutOfRangeError):
                consumer.poll(1.0)
        for offset in (-2, 21):
            answer = admin.delete_records({P: offset})[P]
            assert isinstance(answer, OffsetOutOfRangeError)
        directory = tmp_path / "brokers" / "0" / f"{TOPIC}-0"
        assert f"{0:020d}.log" not in os.listdir(directory)
        assert admin.delete_records({P: -1}) == {P: 20}
        assert len([name for name in os.listdir(directory) if name.endswith(".log")]) == 1
        with cluster.producer(AT_ONCE) as producer:
            producer.send(TOPIC, [b"next"])
        assert admin.list_offsets({P: OffsetAt.LATEST}) == {P: 21}


def test_delete_records_is_refused_as_kafka_refuses_it(tmp_path: Path) -> None:
    with topic(tmp_path, cleanup_policy="compact") as cluster:
        admin = cluster.admin()
        admin.create_topic("both", configs={"cleanup.policy": "compact,delete"})
        admin.create_topic("__consumer_offsets")
        there, missing, internal = TopicPartition("both", 0), TopicPartition("both", 1), TopicPartition("none", 0)
        offsets = TopicPartition("__consumer_offsets", 0)
        answers = admin.delete_records(dict.fromkeys([P, there, missing, internal, offsets], 0))
        assert answers[there] == 0
        assert isinstance(answers[P], PolicyViolationError)
        assert isinstance(answers[missing], UnknownTopicOrPartitionError)
        assert isinstance(answers[internal], UnknownTopicOrPartitionError)
        assert isinstance(answers[offsets], InvalidTopicError)


def test_a_log_start_offset_survives_a_power_cut(tmp_path: Path) -> None:
    """It was synced before anybody was told."""
    log = ten_segments(tmp_path)

    class Watched(QuickDisk):
        def __init__(self) -> None:
            self.synced: list[str] = []

        def sync(self, descriptor: int, path: str = "") -> None:
            self.synced.append(os.path.basename(path))

    disk = Watched()
    assert upkeep_of(log, 0, disk).raise_log_start(5) == 5
    assert disk.synced == [STATE]
    files = log.files()
    log.restore({**files, STATE: of_another_boot(files[STATE])})
    assert log.state().log_start_offset == 5


# ---------------------------------------------------------------------------------------------------- real processes

WRITER = """
import sys
from pykafka_store.open import open_cluster
with open_cluster("file:" + sys.argv[1]) as cluster, cluster.producer({"linger.ms": "0"}) as producer:
    number = 0
    while True:
        producer.send("orders", [b"%010d" % (number + i) * 20 for i in range(50)])
        number += 50
        print(number, flush=True)
"""


@pytest.mark.parametrize("round_", range(3))
def test_writers_killed_while_they_retain_and_readers_that_follow(tmp_path: Path, round_: int) -> None:
    """Retention runs in the writer every few milliseconds; it is killed in the middle, again and again. A reader that
    follows sees each record once and in order, but for those that retention took before it came by."""
    data = tmp_path / "data"
    with topic(data, internal_segment_bytes="30000", retention_bytes="90000", file_delete_delay_ms="1"):
        pass
    problems: list[str] = []
    stop = threading.Event()
    seen = [0]

    def follow() -> None:
        with open_cluster(f"file:{data}") as cluster, cluster.consumer({"auto.offset.reset": "earliest"}) as consumer:
            consumer.assign({P: OffsetAt.EARLIEST})
            last = -1
            while not stop.is_set():
                for records in consumer.poll(0.05):
                    for offset in records.offsets:
                        if offset <= last:
                            problems.append(f"{offset} after {last}")
                        last = offset
                        seen[0] += 1

    def guarded() -> None:
        try:
            follow()
        except BaseException as error:
            problems.append(repr(error))

    reader = threading.Thread(target=guarded)
    reader.start()
    acknowledged = 0
    for kill in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(data)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        # Ten kilobytes a line: retention is at work from the tenth on. What the kill strikes is what comes after these.
        said = [writer.stdout.readline() for _ in range(10 + 7 * ((kill + round_) % 5))]
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged += int((rest or said[-1]).split()[-1])
    deadline = time.monotonic() + 30
    while not seen[0] and not problems and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    reader.join(30)
    assert problems == []
    assert seen[0] > 0
    with open_cluster(f"file:{data}") as cluster:
        ends = cluster.admin().list_offsets({P: OffsetAt.LATEST})
        starts = cluster.admin().list_offsets({P: OffsetAt.EARLIEST})
        end, start = ends[P], starts[P]
        assert isinstance(end, int) and isinstance(start, int)
        assert acknowledged <= end
        assert start > 0
        with cluster.consumer() as consumer:
            consumer.assign({P: OffsetAt.EARLIEST})
            offsets: list[int] = []
            while len(offsets) < end - start:
                offsets += [offset for records in consumer.poll(1.0) for offset in records.offsets]
            assert offsets == list(range(start, end))
