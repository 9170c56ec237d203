"""One partition under a microscope: several processes append, roll, lead in turn, remove, delete and make it again.

They are scheduled by `tests/support/scheduler.py`: in every order with one surprise, and by chance. In each history

- every acknowledged record is in the log at the offset that was told, unless retention or a deletion took it away;
- nothing is in the log twice, nothing that nobody sent, offsets have no gap, and each writer's records are in order;
- who reads meanwhile reads what the log has in the end;
- nobody ends with an error but for a topic that was deleted, and `pykafka doctor` finds no problem.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.health.doctor import Doctor
from pykafka_store.embedded.locks import Locks
from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.model import Delivery, OffsetAt, SendFailure, TopicPartition
from tests.store.helpers import AT_ONCE, rows
from tests.support.scheduler import (
    ByChance,
    Fault,
    Finding,
    Process,
    Scheduler,
    SteppedClock,
    SteppedDisk,
    Strategy,
    histories,
)

T0 = TopicPartition("t", 0)
CONFIGS = {"internal.segment.bytes": "300", "retention.bytes": "900", "file.delete.delay.ms": "0"}
"""Two records of 100 bytes fill a segment."""


def made(path: Path, replicas: int, *, first: bool = True) -> Path:
    """A directory with topic t, on one broker or two, and with a first record or none."""
    with EmbeddedCluster(str(path)) as cluster:
        for _ in range(replicas - 1):
            cluster.add_broker()
        cluster.admin().create_topic("t", replication_factor=replicas, configs=CONFIGS)
        if first:
            with cluster.producer(AT_ONCE) as producer:
                producer.send("t", [b"first" + bytes(95)], partitions=0)
    return path


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("one") / "data", 1)


@pytest.fixture(scope="module")
def unborn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("unborn") / "data", 1, first=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("two") / "data", 2)


class History:
    """One history, and what is known of it."""

    def __init__(self, directory: Path, strategy: Strategy) -> None:
        self.directory = str(directory)
        self.scheduler = Scheduler(strategy)
        self.sent: list[bytes] = [b"first"]
        self.acknowledged: dict[int, bytes] = {0: b"first"}
        """What the log of the topic that is there now must have."""
        self.read: dict[int, bytes] = {}
        self.deletions = 0
        """How often the deletion of the topic has begun, and its making has ended: odd while there may be none."""

    def process(self, name: str, work: Callable[[EmbeddedCluster], None], faults: Sequence[Fault] = ()) -> None:
        def program(process: Process) -> None:
            with self.scheduler.unobserved():
                cluster = EmbeddedCluster(
                    self.directory,
                    create=False,
                    disk=SteppedDisk(self.scheduler),
                    clock=SteppedClock(self.scheduler),
                )
            with cluster, suppress(KeyboardInterrupt):
                work(cluster)

        self.scheduler.start(name, program, faults)

    # --------------------------------------------------------------------------------------------------------- work

    def writes(self, name: bytes, count: int = 3) -> Callable[[EmbeddedCluster], None]:
        def work(cluster: EmbeddedCluster) -> None:
            told: list[int] = []
            failures: list[SendFailure] = []

            def delivered(delivery: Delivery) -> None:
                told.append(delivery.base_offset)

            config = {**AT_ONCE, "allow.auto.create.topics": "false"}
            producer = cluster.producer(config, on_delivery=delivered, on_failure=failures.append)
            for number in range(count):
                value = b"%s-%d" % (name, number)
                self.sent.append(value)
                before = self.deletions
                try:
                    producer.send("t", [value.ljust(100, b"\0")], partitions=0)
                    producer.flush()
                except UnknownTopicOrPartitionError:
                    if not self.deletions:
                        raise
                    return
                if failures:
                    if not self.deletions or not isinstance(failures[0].error, UnknownTopicOrPartitionError):
                        raise Finding(f"{value!r} was refused: {failures[0].error}")
                    return
                if self.deletions == before and before % 2 == 0:
                    self.acknowledged[told[-1]] = value
            producer.close()

        return work

    def reads(self, cluster: EmbeddedCluster) -> None:
        """Follow for a while, from the beginning."""
        with cluster.consumer({"auto.offset.reset": "earliest"}) as consumer:
            consumer.assign({T0: OffsetAt.EARLIEST})
            for _ in range(12):
                for row in rows(consumer.poll(0.05)):
                    self.read[row.offset] = _text(row.value)

    def maintains(self, cluster: EmbeddedCluster) -> None:
        for _ in range(2):
            cluster.maintain()

    def fails_over(self, cluster: EmbeddedCluster) -> None:
        """One broker goes and comes back, then the other."""
        for broker in (0, 1):
            cluster.stop_broker(broker)
            cluster.start_broker(broker)

    def makes_again(self, cluster: EmbeddedCluster) -> None:
        self.deletions += 1
        self.acknowledged.clear()
        cluster.admin().delete_topic("t")
        cluster.admin().create_topic("t", configs=CONFIGS)
        self.deletions += 1

    # ------------------------------------------------------------------------------------------------- what must hold

    def check_the_end(self) -> None:
        if self.deletions % 2:
            return  # who was to make the topic again was killed
        with EmbeddedCluster(self.directory) as cluster, cluster.consumer() as consumer:
            consumer.assign({T0: OffsetAt.EARLIEST})
            start = consumer.beginning_offsets([T0])[T0]
            found = []
            while some := consumer.poll():
                found += rows(some)
        log = {row.offset: _text(row.value) for row in found}
        if list(log) != list(range(start, start + len(log))):
            raise Finding(f"the offsets are {list(log)} from {start} on")
        lost = {at: value for at, value in self.acknowledged.items() if at >= start and log.get(at) != value}
        if lost:
            raise Finding(f"acknowledged as {lost}, and the log has {log}")
        values = list(log.values())
        if len({*values}) < len(values) or not {*values} <= {*self.sent}:
            raise Finding(f"sent was {self.sent}, and the log has {values}")
        for name in {value.rpartition(b"-")[0] for value in values}:
            own = [value for value in values if value.startswith(name + b"-")]
            if own != sorted(own):
                raise Finding(f"the order of a writer is {own}")
        if not self.deletions:
            wrong = {at: value for at, value in self.read.items() if at >= start and log.get(at) != value}
            if wrong:
                raise Finding(f"a reader had {wrong}, and the log has {log}")
        problems = [found for found in Doctor(self.directory, Disk()).run().findings if found.severity == "problem"]
        if problems:
            raise Finding(f"the doctor finds {problems}")


def _text(value: bytes | None) -> bytes:
    return (value or b"").rstrip(b"\0")


@contextmanager
def history(full: Path, strategy: Strategy) -> Iterator[History]:
    """A history over a directory of its own, to which the caller adds the processes: it is run then, and judged."""
    directory = full.parent / "now"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(full, directory)
    now = History(directory, strategy)
    yield now
    with pytest.MonkeyPatch.context() as patching:
        now.scheduler.patch(patching)
        now.scheduler.run()
    try:
        now.check_the_end()
    except Finding as finding:
        raise Finding(f"{finding}\n{now.scheduler.story()}") from finding


def appends_and_retention(full: Path, faults: Sequence[Fault] = ()) -> Callable[[Strategy], None]:
    def run(strategy: Strategy) -> None:
        with history(full, strategy) as now:
            now.process("a", now.writes(b"a"), faults)
            now.process("b", now.writes(b"b"))
            now.process("upkeep", now.maintains, faults)
            now.process("reader", now.reads)

    return run


def fail_overs(full: Path, faults: Sequence[Fault] = ()) -> Callable[[Strategy], None]:
    def run(strategy: Strategy) -> None:
        with history(full, strategy) as now:
            now.process("a", now.writes(b"a", 4), faults)
            now.process("b", now.writes(b"b"), faults)
            now.process("brokers", now.fails_over)
            now.process("reader", now.reads)

    return run


def deletions(full: Path, faults: Sequence[Fault] = ()) -> Callable[[Strategy], None]:
    def run(strategy: Strategy) -> None:
        with history(full, strategy) as now:
            now.process("a", now.writes(b"a"), faults)
            now.process("admin", now.makes_again, faults)
            now.process("b", now.writes(b"b"))

    return run


def deletions_before_a_record(empty: Path, faults: Sequence[Fault] = ()) -> Callable[[Strategy], None]:
    """Nobody has ever had the partition's lock when all of them come to it."""

    def run(strategy: Strategy) -> None:
        with history(empty, strategy) as now:
            now.sent.clear()
            now.acknowledged.clear()
            now.process("a", now.writes(b"a", 2), faults)
            now.process("admin", now.makes_again, faults)
            now.process("upkeep", now.maintains, faults)

    return run


def two_writers(full: Path, faults: Sequence[Fault] = ()) -> Callable[[Strategy], None]:
    def run(strategy: Strategy) -> None:
        with history(full, strategy) as now:
            now.process("a", now.writes(b"a", 2), faults)
            now.process("b", now.writes(b"b", 2))

    return run


# ------------------------------------------------------------------------------------------------------------ histories


ANYTHING: tuple[Fault, ...] = ("kill", "freeze", "signal")
CHANGES = ("begin", "committed", "write_at", "truncate", "sync", "rename", "remove", "sleep")
SEEDS = int(os.environ.get("PYKAFKA_MICROSCOPE_SEEDS", "12"))


@pytest.mark.parametrize("fault", ANYTHING)
def test_two_writers_that_roll_in_every_order_with_one_surprise(one: Path, fault: Fault) -> None:
    assert histories(two_writers(one, (fault,)), 1, CHANGES) > 20


def test_two_writers_that_roll_in_every_order_with_two_turns(one: Path) -> None:
    assert histories(two_writers(one), 2, CHANGES) > 100


@pytest.mark.parametrize("seed", range(SEEDS))
def test_appends_and_retention_by_chance(one: Path, seed: int) -> None:
    appends_and_retention(one, ANYTHING[: seed % 4])(ByChance(seed))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_fail_overs_by_chance(two: Path, seed: int) -> None:
    fail_overs(two, ANYTHING[: seed % 4])(ByChance(seed))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_deletions_by_chance(one: Path, seed: int) -> None:
    deletions(one, ANYTHING[: seed % 4])(ByChance(seed))


@pytest.mark.parametrize("fault", [None, "kill"])
def test_deletions_before_the_first_record_in_every_order_with_one_surprise(unborn: Path, fault: Fault | None) -> None:
    assert histories(deletions_before_a_record(unborn, (fault,) if fault else ()), 1, (*CHANGES, "list")) > 20


@pytest.mark.parametrize("seed", range(SEEDS))
def test_deletions_before_the_first_record_by_chance(unborn: Path, seed: int) -> None:
    deletions_before_a_record(unborn, ANYTHING[: seed % 4])(ByChance(seed))


# ---------------------------------------------------------------------------------------------------- what it must find


@contextmanager
def no_lock(_locks: Locks, _topic_id: str, _partition: int, _look: object) -> Iterator[None]:
    yield


def test_it_finds_writers_that_take_no_lock(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Locks, "partition", no_lock)
    with pytest.raises(Finding):
        histories(two_writers(one), 1, CHANGES)
