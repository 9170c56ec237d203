"""A program that is interrupted anywhere, cleans up by its ``with`` and goes on: what it was told is there, once."""

from __future__ import annotations

import gc
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.model import OffsetAt, SendFailure, TopicPartition
from tests.store.helpers import AT_ONCE, Log, batch

STRIKES = 150


@pytest.mark.parametrize("kind", ["snapshot", "transaction"])
def test_what_a_signal_left_open_is_collected_without_a_word_after_the_database_was_closed(
    tmp_path: Path, kind: str
) -> None:
    """Struck at the first step of its end, it waits for the collector. A complaint of that one would be a traceback."""
    with EmbeddedCluster(str(tmp_path)) as cluster:
        left = getattr(cluster.engine.catalog, kind)()
        left.__enter__()
    complaints: list[object] = []
    sys.unraisablehook, before = complaints.append, sys.unraisablehook
    try:
        del left
        gc.collect()
    finally:
        sys.unraisablehook = before
    assert complaints == []


@pytest.mark.parametrize("made", ["topic", "partitions"])
def test_what_was_committed_when_a_signal_struck_keeps_its_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """Its exception comes out of the COMMIT: the topic is there, and what was made for it must not go again."""
    failures: list[SendFailure] = []
    with EmbeddedCluster(str(tmp_path / "d")) as cluster:
        admin = cluster.admin()
        if made == "partitions":
            admin.create_topic("t")

        class Struck(type(cluster.engine.catalog)):  # type: ignore[misc]
            @contextmanager
            def transaction(self) -> Iterator[None]:
                with super().transaction():
                    yield
                raise KeyboardInterrupt

        monkeypatch.setattr(cluster.engine.catalog, "__class__", Struck)
        with pytest.raises(KeyboardInterrupt):
            if made == "partitions":
                admin.create_partitions("t", 2)
            else:
                admin.create_topic("t", partitions=2)
    with (
        EmbeddedCluster(str(tmp_path / "d")) as cluster,
        cluster.producer(AT_ONCE, on_failure=failures.append) as producer,
    ):
        for partition in range(2):
            producer.send("t", [b"a"], partitions=partition)
    assert not failures


class StruckClosing(Disk):
    """A signal strikes once right after the n-th close."""

    def __init__(self) -> None:
        self.strike_at = -1
        self.closed: list[int] = []

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self.closed.append(descriptor)
        if len(self.closed) == self.strike_at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("files", [4, 2], ids=["writer", "reader"])
def test_a_file_whose_closing_a_signal_struck_is_not_closed_again(tmp_path: Path, files: int) -> None:
    """Its number may be another file's by then: that of another log, or of a lock."""
    log = Log(tmp_path).create()
    log.append(batch(b"a"))
    for strike_at in range(1, files + 1):
        disk = StruckClosing()
        held = log.partition(disk).replica(0) if files == 4 else log.reader(disk)

        def use(held: ReplicaLog | LogReader = held) -> None:
            if isinstance(held, ReplicaLog):
                held.load_locked()
            else:
                assert held.read(0)

        use()
        disk.closed.clear()
        disk.strike_at = strike_at
        with pytest.raises(KeyboardInterrupt):
            held.close()
        held.close()
        assert len(disk.closed) == len(set(disk.closed)) == files
        use()
        held.close()


def test_a_program_that_is_interrupted_again_and_again_loses_nothing_and_is_never_in_its_own_way(
    tmp_path: Path,
) -> None:
    """Each time the cluster and its producer are closed while the exception is under way."""
    directory, chance = str(tmp_path / "d"), random.Random(22)
    with EmbeddedCluster(directory) as cluster:
        configs = {"internal.segment.bytes": "3000", "flush.messages": "3"}
        cluster.admin().create_topic("t", partitions=2, configs=configs)
    acknowledged: set[bytes] = set()
    failures: list[SendFailure] = []
    number = struck = 0

    def strike(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    complaints: list[object] = []

    def complain(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            complaints.append(unraisable)

    sys.unraisablehook, hook = complain, sys.unraisablehook
    before = signal.signal(signal.SIGALRM, strike)
    try:
        while struck < STRIKES:
            try:
                with (
                    EmbeddedCluster(directory) as cluster,
                    cluster.producer(AT_ONCE, on_failure=failures.append) as producer,
                ):
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0005, 0.01))
                    for _ in range(1000):  # Python ignores what strikes a collector's callback
                        value = b"%d" % (number := number + 1)
                        producer.send("t", [value], partitions=number % 2)
                        acknowledged.add(value)
            except KeyboardInterrupt:
                pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            struck += 1
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not failures
    assert not complaints
    found: Counter[bytes | None] = Counter()
    with EmbeddedCluster(directory) as cluster, cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", 0): OffsetAt.EARLIEST, TopicPartition("t", 1): OffsetAt.EARLIEST})
        while runs := consumer.poll():
            found.update(value for run in runs for value in run.values)
    assert acknowledged <= found.keys()
    assert set(found.values()) <= {1}
