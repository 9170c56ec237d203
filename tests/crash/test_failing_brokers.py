"""Brokers whose directories fail and return at random, under four producers with acks=all that are killed or frozen,
while partitions move between them, leaders are elected and upkeep runs: in processes that are killed as well.

What was acknowledged stays, once, at its offset, at every replica; no reader has seen anything that is not there later;
each leader epoch had one leader.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_data_directory
from tests.crash.forks import Forks, lines_of
from tests.store.test_replication import content, epochs

PARTITIONS = 3
WRITERS = 4
ROUNDS = 40
LONG_ENOUGH = 25.0
"""Seconds after which no further round is begun."""
DISK = 96
"""Mebibytes of the file systems that can be filled."""


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "errors") as forks:
        yield forks
    forks.check_complaints()


@pytest.fixture
def seed() -> int:
    """Printed when a test fails; set PYKAFKA_TEST_SEED to have the same failures again, as far as the clock allows."""
    found = int(os.environ.get("PYKAFKA_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"PYKAFKA_TEST_SEED={found}")
    return found


@pytest.fixture
def log_dirs(tmp_path: Path) -> Iterator[list[Path]]:
    """Of brokers 1 and 2: on file systems of their own, where these can be had."""
    mounts = [tmp_path / "disk1", tmp_path / "disk2"]
    for path in mounts:
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(path)], check=False)
    yield [path / "logs" for path in mounts]
    for path in mounts:
        if path.is_mount():
            subprocess.run(["umount", "--lazy", str(path)], check=True)


class Broker:
    """One broker, and what can happen to its only log directory."""

    def __init__(self, data: Path, number: int, log_dir: Path, writers: Writers) -> None:
        self.number = number
        self._writers = writers
        self.log_dir = log_dir
        self._data = data
        self._restore: Callable[[], object] | None = None
        self.ways: list[Callable[[], Callable[[], object]]] = [self._rename, self._stop]
        if log_dir.parent.is_mount():
            self.ways += [self._fill, self._make_read_only]

    @property
    def fails(self) -> bool:
        return self._restore is not None

    def fail(self, chance: random.Random) -> str:
        way = chance.choice(self.ways)
        self._restore = way()
        return way.__name__.removeprefix("_")

    def come_back(self) -> None:
        if self._restore is not None:
            self._restore()
            self._restore = None

    def _rename(self) -> Callable[[], object]:
        away = self.log_dir.with_name(self.log_dir.name + ".away")
        self.log_dir.rename(away)
        return lambda: away.rename(self.log_dir)

    def _stop(self) -> Callable[[], object]:
        self._command("stop")
        return lambda: self._command("start")

    def _command(self, verb: str) -> None:
        pykafka(self._data, "brokers", verb, str(self.number))

    def _fill(self) -> Callable[[], object]:
        filler = self.log_dir.parent / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass  # full
        return filler.unlink

    def _make_read_only(self) -> Callable[[], object]:
        """No file may be open to be written: the writers are killed, and others find it so."""
        mount = str(self.log_dir.parent)
        self._writers.kill(WRITERS)
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        self._writers.start(WRITERS)
        return lambda: subprocess.run(["mount", "-o", "remount,rw", mount], check=True)


class Writers:
    """The producers that are alive, and what all were told."""

    def __init__(self, data: Path, path: Path, forks: Forks, chance: random.Random) -> None:
        self.said: list[Path] = []
        """A file of each that ever was."""
        self._data = data
        self._path = path
        self._forks = forks
        self._chance = chance
        self._alive: list[int] = []

    def start(self, count: int) -> None:
        for _ in range(count):
            number = len(self.said)
            self.said.append(self._path / f"said-{number}")
            self._alive.append(
                self._forks.start("replicated_writer", str(self._data), "t", PARTITIONS, number, str(self.said[number]))
            )

    def kill(self, count: int) -> None:
        self._forks.kill(*(self._alive.pop(self._chance.randrange(len(self._alive))) for _ in range(count)))

    def freeze_one(self, seconds: float) -> None:
        """It may hold a lock, and all others wait for it then."""
        frozen = self._chance.choice(self._alive)
        os.kill(frozen, signal.SIGSTOP)
        time.sleep(seconds)  # how long it is frozen, not a synchronisation
        os.kill(frozen, signal.SIGCONT)

    def acknowledged(self) -> int:
        return lines(self.said)

    def wait_for_more(self, count: int, patience: float) -> None:
        """Until they were told more; or not, where nobody can lead."""
        wanted, deadline = self.acknowledged() + count, time.monotonic() + patience
        while self.acknowledged() < wanted and time.monotonic() < deadline:
            time.sleep(0.001)


def pykafka(data: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pykafka_cli", *words, "--data-dir", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def plan(path: Path, moves: dict[int, list[int]]) -> str:
    """A --reassignment-json-file."""
    partitions = [{"topic": "t", "partition": number, "replicas": brokers} for number, brokers in moves.items()]
    path.write_text(json.dumps({"version": 1, "partitions": partitions}))
    return str(path)


def upheaval(data: Path, path: Path, chance: random.Random) -> str:
    """Run a command that changes who holds what, and maybe kill it on the way."""
    moves = {chance.randrange(PARTITIONS): chance.sample(range(4), 3)}
    reassign = ["reassign-partitions", "--reassignment-json-file", plan(path / "plan", moves)]
    words = chance.choice(
        [
            ["maintain"],
            [*reassign, "--execute", "--additional"],
            [*reassign, "--execute", "--additional"],
            [*reassign, "--cancel"],
            ["leader-election", "--election-type", "preferred", "--all-topic-partitions"],
        ]
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "pykafka_cli", *words, "--data-dir", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if kill := chance.random() < 0.5:
        time.sleep(chance.uniform(0, 0.6))  # the instant of the kill, not a synchronisation
        running.kill()
    running.wait()
    return f"{words[-2] if words[-1] == '--additional' else words[-1]} {moves}{' killed' if kill else ''}"


def watch_leaders(data: Path) -> None:
    """Have the catalogue itself keep every leader that it ever names."""
    with sqlite3.connect(data / "metadata.db") as connection:
        connection.executescript(
            """
            CREATE TABLE test_leaders (number INTEGER PRIMARY KEY, partition, epoch, leader);
            CREATE TRIGGER test_leads AFTER UPDATE ON partitions BEGIN
                INSERT INTO test_leaders (partition, epoch, leader)
                VALUES (new.partition, new.leader_epoch, new.leader);
            END;
            """
        )
    connection.close()


def leaders(data: Path) -> list[tuple[int, int, int | None]]:
    """(partition, epoch, leader or None), in the order of time."""
    with sqlite3.connect(data / "metadata.db") as connection:
        found = connection.execute("SELECT partition, epoch, leader FROM test_leaders ORDER BY number").fetchall()
    connection.close()
    return found


def lines(paths: list[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())


@pytest.mark.slow
def test_brokers_fail_and_return_under_producers_that_are_killed(  # noqa: C901 - one story of kills, in order
    tmp_path: Path, log_dirs: list[Path], forks: Forks, seed: int
) -> None:
    chance = random.Random(seed)
    data = tmp_path / "data"
    for path in [*log_dirs, tmp_path / "spare"]:
        pykafka(data, "brokers", "add", "--log-dir", str(path))
    home = {0: [0, 1, 2], 1: [1, 2, 0], 2: [2, 0, 1]}
    with open_data_directory(data) as cluster:
        cluster.admin().create_topic(
            "t",
            assignments=list(home.values()),
            configs={"internal.segment.bytes": "100000", "min.insync.replicas": str(chance.choice([1, 2]))},
        )
        writers = Writers(data, tmp_path, forks, chance)
        brokers = [Broker(data, each.id, Path(each.log_dirs[0]), writers) for each in cluster.brokers()]
    watch_leaders(data)

    seen = tmp_path / "seen"
    writers.start(WRITERS)
    watching = forks.start("watcher", str(data), "t", PARTITIONS, str(seen))
    writers.wait_for_more(10, 30.0)

    happened: list[str] = []
    begun = time.monotonic()
    while len(happened) < ROUNDS and time.monotonic() - begun < LONG_ENOUGH:
        broker = chance.choice(brokers)
        if broker.fails:
            broker.come_back()
            happened.append(f"{broker.number} returns")
        elif sum(each.fails for each in brokers) < 2:
            happened.append(f"{broker.number} {broker.fail(chance)}")
        if chance.random() < 0.4:
            writers.kill(1)
            writers.start(1)
        if chance.random() < 0.2:
            writers.freeze_one(chance.uniform(0, 0.2))
        if chance.random() < 0.5:
            happened.append(upheaval(data, tmp_path, chance))
        writers.wait_for_more(chance.randrange(200), 1.0)
    print("; ".join(happened))

    for broker in brokers:
        broker.come_back()
    writers.wait_for_more(20, 10.0)
    writers.kill(WRITERS)
    pykafka(data, "maintain")
    pykafka(data, "reassign-partitions", "--execute", "--reassignment-json-file", plan(tmp_path / "plan", home))
    pykafka(data, "maintain")
    pykafka(data, "doctor")

    # ---- All replicas are in sync, and the same, byte for byte.
    with open_data_directory(data) as cluster:
        (described,) = cluster.admin().describe_topics(["t"])
        assert [sorted(each.isr) for each in described.partitions] == [[0, 1, 2]] * PARTITIONS
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition("t", number): 0 for number in range(PARTITIONS)})
            values: list[list[str]] = [[] for _ in range(PARTITIONS)]
            while runs := consumer.poll():
                for run in runs:
                    assert run.offsets[0] == len(values[run.partition])
                    values[run.partition] += [str(value, "ascii").split(":x")[0] for value in run.values if value]
    for number in range(PARTITIONS):
        first, *others = [content(brokers[broker].log_dir / f"t-{number}") for broker in home[number]]
        assert all(other == first for other in others), f"t-{number}"
        found = epochs(brokers[0].log_dir / f"t-{number}")
        assert found == sorted(found)

    # ---- What was acknowledged is there, at its offset, and nothing is there twice.
    acknowledged = 0
    for writer, path in enumerate(writers.said):
        for line in lines_of(path):
            partition, offset, start, count = map(int, line.split())
            named = [text.rstrip(":") for text in values[partition][offset : offset + count]]
            assert named == [f"{writer}:{partition}:{start + i}" for i in range(count)], f"acknowledged to {writer}"
            acknowledged += count
    for number in range(PARTITIONS):
        assert len(set(values[number])) == len(values[number]), f"t-{number} has a record twice"

    # ---- What a reader saw is what is there.
    wanted = sum(map(len, values))
    deadline = time.monotonic() + 60
    while lines([seen]) < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    forks.kill(watching)
    saw: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for line in lines_of(seen):
        partition_, offset_, value = line.split(" ", 2)
        assert int(offset_) == len(saw[int(partition_)])
        saw[int(partition_)].append(value)
    assert saw == values

    # ---- An epoch has one leader, and epochs only grow.
    named_: dict[tuple[int, int], int] = {}
    newest = [0] * PARTITIONS
    for partition, epoch, leader in leaders(data):
        assert epoch >= newest[partition]
        newest[partition] = epoch
        if leader is not None:
            assert named_.setdefault((partition, epoch), leader) == leader, f"epoch {epoch} of t-{partition}"
    print(f"{acknowledged} acknowledged of {wanted}, {len(writers.said)} writers, epochs {newest}")
    assert acknowledged > 1000
    assert sum(newest) > 0
