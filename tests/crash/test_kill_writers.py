"""kill -9, at random instants and at every verb of the disk: what was acknowledged stays, once, in its order."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import OffsetAt, TopicPartition
from tests.crash.forks import Forks, lines_of
from tests.store.helpers import AT_ONCE, rows

ROUNDS = 300
"""Of four writers each, all of them killed."""

LONG_ENOUGH = 60.0
"""Seconds after which no further block of rounds is begun."""

SEGMENTS = {"internal.segment.bytes": "3000", "index.interval.bytes": "300"}


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "errors") as forks:
        yield forks
    forks.check_complaints()


@pytest.fixture
def seed() -> int:
    """Printed when a test fails; set PYKAFKA_TEST_SEED to have the same kills again, as far as the clock allows."""
    found = int(os.environ.get("PYKAFKA_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"PYKAFKA_TEST_SEED={found}")
    return found


def _wait_for_lines(said: list[Path], count: int) -> None:
    """Until processes have said so much together; it may be nothing yet."""
    deadline = time.monotonic() + 30
    while sum(path.read_bytes().count(b"\n") for path in said if path.exists()) < count:
        assert time.monotonic() < deadline, "the processes do nothing"
        time.sleep(0.0005)


class Witness:
    """What a topic's log holds, as it grows, and what was acknowledged of it."""

    def __init__(self, directory: str, topic: str) -> None:
        self.topic = topic
        self.values: list[bytes] = []
        self._cluster = EmbeddedCluster(directory)
        self._consumer = self._cluster.consumer()
        self._consumer.assign({TopicPartition(topic, 0): 0})
        self._next: dict[int, int] = {}
        """Writer -> the number of its next record."""

    def close(self) -> None:
        self._consumer.close()
        self._cluster.close()

    def look(self) -> None:
        """Read on. Offsets are contiguous, and each writer's records are there once and in its order."""
        while found := rows(self._consumer.poll()):
            for row in found:
                assert row.offset == len(self.values)
                assert row.value is not None
                self.values.append(row.value)
                number, record, _ = row.value.split(b":", 2)
                assert int(record) == self._next.get(int(number), 0), f"of writer {int(number)} at {row.offset}"
                self._next[int(number)] = int(record) + 1

    def check(self, number: int, said: Path) -> int:
        """What a writer was told of is there, at its offset, in its order. Returns how many records that is."""
        told = [tuple(map(int, line.split())) for line in lines_of(said) if not line.startswith("verbs")]
        records = [offset + i for offset, count in told for i in range(count)]
        for record, offset in enumerate(records):
            assert self.values[offset].startswith(b"%d:%d:" % (number, record)), f"writer {number}, offset {offset}"
        # At most the send that was under way may be there besides.
        assert 0 <= self._next.get(number, 0) - len(records) <= 5
        return len(records)

    def check_again(self, directory: str) -> None:
        """From the beginning, by a reader that has seen nothing yet."""
        other = Witness(directory, self.topic)
        other.look()
        other.close()
        assert other.values == self.values


@pytest.mark.slow
def test_four_writers_killed_at_random_lose_and_double_nothing(tmp_path: Path, forks: Forks, seed: int) -> None:
    """Hundreds of rounds on one partition, with rolls all the time and followers that watch. The log opens without
    help each time, and no follower has seen a record that is not there later.
    """
    chance = random.Random(seed)
    directory = str(tmp_path / "data")
    acknowledged = rolls = seen = rounds = 0
    begun = time.monotonic()
    with EmbeddedCluster(directory) as cluster:
        for block in range(ROUNDS // 25):
            if time.monotonic() - begun > LONG_ENOUGH:
                break  # on a machine that is busy with something else
            topic = f"t{block}"
            cluster.admin().create_topic(topic, configs=SEGMENTS)
            witness = Witness(directory, topic)
            followed = tmp_path / f"followed-{block}"
            steady = forks.start("follower", directory, topic, 0, str(followed))
            watched = [followed]
            for round_ in range(25):
                numbers = [(block * 25 + round_) * 4 + i for i in range(4)]
                said = {number: tmp_path / f"said-{number}" for number in numbers}
                pids = [
                    forks.start("writer", directory, topic, number, chance.randrange(1 << 30), str(said[number]))
                    for number in numbers
                ]
                watched.append(tmp_path / f"followed-{block}-{round_}")
                offset = chance.randint(0, len(witness.values))
                pids.append(forks.start("follower", directory, topic, offset, str(watched[-1])))
                chance.shuffle(pids)
                _wait_for_lines(list(said.values()), chance.choice([0, 1, 4, 10, 20, 40]))
                time.sleep(chance.uniform(0, 0.003))  # the instant of the kill, not a synchronisation
                while pids:
                    group = [pids.pop() for _ in range(min(len(pids), chance.randint(1, 3)))]
                    forks.kill(*group)
                    time.sleep(chance.choice([0, 0.001, 0.005]))
                witness.look()
                acknowledged += sum(witness.check(number, said[number]) for number in numbers)
                rounds += 1
            forks.kill(steady)
            witness.check_again(directory)
            for path in watched:
                for line in lines_of(path):
                    at, value = line.split(" ", 1)
                    assert repr(witness.values[int(at)]) == value, f"{path.name} saw what is not there"
                    seen += 1
            witness.close()
            rolls += len(list((tmp_path / "data/brokers/0" / f"{topic}-0").glob("*.log"))) - 1
            cluster.admin().delete_topic(topic)
    print(f"{rounds} rounds, {acknowledged} records acknowledged, {rolls} rolls, {seen} records followed")
    assert acknowledged > rounds * 4
    assert rolls > rounds
    assert seen > rounds


@pytest.mark.parametrize("how", ["before", "middle", "after"])
def test_a_writer_killed_at_any_verb_of_the_disk_loses_and_doubles_nothing(
    tmp_path: Path, forks: Forks, how: str
) -> None:
    """Every verb of five appends with rolls among them: before, in the middle of (where it has one) and after each."""
    directory = str(tmp_path / "data")
    with EmbeddedCluster(directory) as cluster:
        for kill_at in range(1000):
            topic = f"t{kill_at}"
            cluster.admin().create_topic(topic, configs={**SEGMENTS, "internal.segment.bytes": "500"})
            said = tmp_path / f"said-{how}-{kill_at}"
            code = forks.wait(forks.start("scripted_writer", directory, topic, 1, kill_at, how, str(said)))
            witness = Witness(directory, topic)
            witness.look()
            assert witness.check(1, said) == 11 or code == -signal.SIGKILL
            before = len(witness.values)
            after = tmp_path / f"after-{how}-{kill_at}"
            assert forks.wait(forks.start("scripted_writer", directory, topic, 2, -1, how, str(after))) == 0
            witness.look()
            assert len(witness.values) == before + 11
            assert witness.check(2, after) == 11
            witness.check_again(directory)
            witness.close()
            if code == 0:
                break
            assert code == -signal.SIGKILL
    assert kill_at > (8 if how == "middle" else 30), "so few verbs are not five appends with rolls"


# ------------------------------------------------------------------------------------------ directories and topics


def usable(directory: str) -> None:
    """The catalogue and the directories agree, every topic takes records, and new topics can be made."""
    with EmbeddedCluster(directory) as cluster:
        admin = cluster.admin()
        topics = admin.describe_topics()
        known = {f"{topic.name}-{partition.partition}" for topic in topics for partition in topic.partitions}
        there = {path.name for path in (Path(directory) / "brokers" / "0").iterdir() if path.is_dir()}
        assert known <= there
        with cluster.producer(AT_ONCE) as producer:
            for topic in topics:
                count = len(topic.partitions)
                producer.send(topic.name, [b"alive"] * count, partitions=list(range(count)))
        with cluster.consumer({"auto.offset.reset": "none"}) as consumer:
            for topic in topics:
                for partition in topic.partitions:
                    here = TopicPartition(topic.name, partition.partition)
                    consumer.assign({here: OffsetAt.EARLIEST})
                    found = []
                    while some := consumer.poll():
                        found += rows(some)
                    assert [row.offset for row in found] == list(range(len(found)))
                    assert found[-1].value == b"alive"
        for name in ("t", "another"):
            if name not in [topic.name for topic in topics]:
                admin.create_topic(name, partitions=4)
        for listed in admin.list_topics():
            admin.delete_topic(listed.name)
        left = [path.name for path in (Path(directory) / "brokers" / "0").iterdir()]
        assert all(name.endswith(("-delete", "-stray")) or name in there - known for name in left), left


@pytest.mark.parametrize("how", ["before", "middle", "after"])
def test_making_a_directory_and_its_topics_can_be_killed_at_any_verb(tmp_path: Path, forks: Forks, how: str) -> None:
    """What was said to be done is done, what was under way is done or not, and everything goes on."""
    for kill_at in range(1000):
        directory = str(tmp_path / how / str(kill_at))
        said = tmp_path / f"said-{how}-{kill_at}"
        code = forks.wait(forks.start("opener", directory, kill_at, how, str(said)))
        told = lines_of(said)
        if "opened" in told:
            with EmbeddedCluster(directory, create=False) as cluster:
                found = {topic.name: len(topic.partitions) for topic in cluster.admin().describe_topics()}
            expected: dict[str, list[dict[str, int]]] = {
                "opened": [{}, {"t": 2}],
                "made": [{"t": 2}, {"t": 3}],
                "extended": [{"t": 3}, {}],
                "deleted": [{}],
            }
            assert found in expected[[line for line in told if not line.startswith("verbs")][-1]]
        usable(directory)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert kill_at > (2 if how == "middle" else 24)


@pytest.mark.slow
def test_topics_made_and_deleted_by_processes_that_are_killed_stay_whole(
    tmp_path: Path, forks: Forks, seed: int
) -> None:
    """Random instants, so that the catalogue's own files are hit too."""
    chance = random.Random(seed)
    directory = str(tmp_path / "data")
    number = made = settled = 0
    for round_ in range(60):
        paths = [tmp_path / f"said-{number + i}" for i in range(3)]
        pids = [
            forks.start("topic_maker", directory, number + i, chance.randrange(1 << 30), str(path))
            for i, path in enumerate(paths)
        ]
        _wait_for_lines(paths, chance.choice([0, 3, 10, 20, 30]))
        time.sleep(chance.uniform(0, 0.003))  # the instant of the kill, not a synchronisation
        for pid in pids:
            forks.kill(pid)
            time.sleep(chance.choice([0, 0.002]))
        with EmbeddedCluster(directory) as cluster:
            ids = {topic.name: topic.topic_id for topic in cluster.admin().list_topics()}
        for path in paths:
            last: dict[str, tuple[str, str]] = {}
            for line in lines_of(path):
                what, name, topic_id = line.split()
                last[name] = what, topic_id
                made += what == "made"
            for name, (what, topic_id) in last.items():
                if name.startswith("own") and what != "trying":
                    assert ids.get(name) == (topic_id if what == "made" else None), name
                    settled += 1
        number += 3
        if round_ % 10 == 9:
            usable(directory)
    print(f"60 rounds, {made} topics made, {settled} found as they were said to be")
    assert made > 60
    assert settled > 60


@pytest.mark.slow
def test_many_processes_that_make_one_directory_at_once_agree(tmp_path: Path, forks: Forks) -> None:
    """The same directory and the same topic, from nothing: one makes it, all use it."""
    for round_ in range(30):
        directory = str(tmp_path / f"data-{round_}")
        said = [tmp_path / f"said-{round_}-{i}" for i in range(4)]
        pids = [forks.start("quick_opener", directory, str(path)) for path in said]
        assert [forks.wait(pid) for pid in pids] == [0, 0, 0, 0], forks.complaints()
        told = [line.split() for path in said for line in lines_of(path)]
        assert sorted(what for what, _ in told) == ["made", "there", "there", "there"]
        assert len({topic_id for _, topic_id in told}) == 1
        with EmbeddedCluster(directory) as cluster:
            here = TopicPartition("t", 0)
            assert cluster.admin().list_offsets({here: OffsetAt.LATEST}) == {here: 4}


@pytest.mark.slow
def test_many_processes_that_make_the_groups_database_at_once_agree(tmp_path: Path, forks: Forks) -> None:
    """No lock is held meanwhile but SQLite's own, and SQLite refuses some of them without a wait."""
    for round_ in range(40):
        directory = tmp_path / str(round_)
        directory.mkdir()
        pids = [forks.start("groups_maker", str(directory), number, 6) for number in range(6)]
        assert [forks.wait(pid) for pid in pids] == [0] * 6, forks.complaints()


@pytest.mark.slow
def test_a_directory_killed_while_it_is_made_is_made_by_the_next(tmp_path: Path, forks: Forks, seed: int) -> None:
    chance = random.Random(seed)
    unfinished = 0
    for round_ in range(60):
        directory = str(tmp_path / f"data-{round_}")
        pids = [forks.start("quick_opener", directory, str(tmp_path / "said")) for _ in range(2)]
        awaited = Path(directory, chance.choice(["brokers", "metadata.db", "metadata.db-wal", "meta.properties.tmp"]))
        deadline = time.monotonic() + 60
        while not awaited.exists() and not Path(directory, "meta.properties").exists():
            assert time.monotonic() < deadline
        time.sleep(chance.uniform(0, 0.003))  # the instant of the kill, not a synchronisation
        forks.kill(*pids)
        unfinished += not os.path.exists(os.path.join(directory, "meta.properties"))
        usable(directory)
    print(f"60 rounds, {unfinished} directories killed before they were one")
    assert 0 < unfinished < 60


def test_the_witness_sees_what_is_wrong(tmp_path: Path) -> None:
    """A lost, doubled or reordered record fails: else the rounds above promise nothing."""
    directory = str(tmp_path)
    with EmbeddedCluster(directory) as cluster:
        for name, values in {
            "lost": [b"1:0:", b"1:2:"],
            "doubled": [b"1:0:", b"1:0:"],
            "reordered": [b"1:1:", b"1:0:"],
        }.items():
            cluster.admin().create_topic(name)
            with cluster.producer(AT_ONCE) as producer:
                producer.send(name, values)
            witness = Witness(directory, name)
            with pytest.raises(AssertionError):
                witness.look()
            witness.close()
        cluster.admin().create_topic("told")
        with cluster.producer(AT_ONCE) as producer:
            producer.send("told", [b"1:0:", b"1:1:"])
        witness = Witness(directory, "told")
        witness.look()
        for said, right in {"0 2": True, "1 1": False, "0 2\n2 1": False, "0 1": True}.items():
            path = tmp_path / "said"
            path.write_text(said + "\n")
            if right:
                witness.check(1, path)
            else:
                with pytest.raises((AssertionError, IndexError)):
                    witness.check(1, path)
        witness.close()


def test_killed_processes_leave_no_lock_behind(tmp_path: Path, forks: Forks) -> None:
    """The kernel drops a lock with its holder: the next writer does not wait."""
    directory = str(tmp_path / "data")
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t", configs=SEGMENTS)
    for number in range(20):
        said = tmp_path / f"said-{number}"
        pid = forks.start("writer", directory, "t", number, number, str(said))
        while not lines_of(said):
            forks.check_complaints()
        forks.kill(pid)
        begun = time.monotonic()
        with EmbeddedCluster(directory) as cluster, cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"after"])
        assert time.monotonic() - begun < 5


def test_errors_of_the_processes_are_told(tmp_path: Path) -> None:
    """A writer that ends in an error must not pass for one that was killed."""
    with Forks(tmp_path / "errors") as forks:
        assert forks.wait(forks.start("writer", "/dev/null/nowhere", "t", 0, 0, str(tmp_path / "said"))) == 1
        assert "StorageError" in forks.complaints()


def test_a_commit_that_a_kill_cut_short_does_not_come_back_without_its_directories(
    tmp_path: Path, forks: Forks
) -> None:
    """SQLite syncs a commit's frames before it tells of them. Killed in between, nobody sees the commit, until all
    processes died and the next one reads the WAL from its file. Whoever found the directories of such a topic meanwhile
    and set them aside must not be the last to have died before it committed anything itself.
    """
    for kill_at in range(100):
        directory = tmp_path / str(kill_at)
        with EmbeddedCluster(str(directory)) as cluster:
            cluster.admin().create_topic("held")
        said = [tmp_path / f"{kill_at}-{who}" for who in ("holder", "victim", "next")]
        holder = forks.start("lock_holder", str(directory), "held", str(said[0]))
        _wait_for_lines(said[:1], 1)
        index = directory / "metadata.db-shm"
        before = index.read_bytes()[:96]  # both copies of the header, which says how much of the WAL counts
        assert forks.wait(forks.start("quick_opener", str(directory), str(said[1]))) == 0
        with open(index, "r+b") as file:
            file.write(before)  # as if it had been killed just before it wrote that
        assert (directory / "brokers/0/t-0").is_dir()
        code = forks.wait(forks.start("opener", str(directory), kill_at, "after", str(said[2])))
        forks.kill(holder)
        with EmbeddedCluster(str(directory)) as cluster:
            known = {topic.name: len(topic.partitions) for topic in cluster.admin().describe_topics()}
        assert known.pop("held") == 1
        for name, count in known.items():
            assert all((directory / f"brokers/0/{name}-{number}").is_dir() for number in range(count)), (kill_at, name)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert kill_at > 10
