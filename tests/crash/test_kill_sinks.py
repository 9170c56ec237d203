"""Sinks that are killed at every statement, frozen, and killed at random while they work: no row is missing, doubled or
out of order. ``PYKAFKA_KILLS=500 pytest tests/crash/test_kill_sinks.py -k random`` kills more than every run does, and
``PYKAFKA_SWEEP=all`` at every statement instead of each third.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import TopicPartition
from tests.crash.forks import Forks
from tests.crash.sinkers import query, written
from tests.support import sweep

KILLS = int(os.environ.get("PYKAFKA_KILLS", "24"))


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "complaints") as server:
        yield server
    server.check_complaints()


def topic_of(directory: Path, partitions: int, rows: int) -> str:
    """A directory with a topic ``t`` that holds so many rows in each partition."""
    with EmbeddedCluster(str(directory)) as cluster:
        cluster.admin().create_topic("t", partitions=partitions)
        with cluster.producer() as producer:
            for partition in range(partitions):
                values = [json.dumps({"p": partition, "n": number}).encode() for number in range(rows)]
                producer.send("t", values, partitions=partition)
    return str(directory)


def check(database: str, partitions: int, rows: int) -> None:
    for partition in range(partitions):
        assert written(database, TopicPartition("t", partition)) == list(range(rows))
    if not database.startswith("postgresql:"):
        assert query(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes databases of the kind that the test asks for."""
    if request.param == "sqlite":
        return lambda name: str(tmp_path / f"{name}.db")
    server = request.getfixturevalue("server")
    database = server.new_database()

    def make(name: str) -> str:
        address = str(server.new_schema(database, f"s{name}"))
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE t (p bigint, n bigint, seq bigserial)")
        return address

    return make


BOTH = pytest.mark.parametrize("new_database", ["sqlite", "postgres"], indirect=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@BOTH
def test_a_sink_can_be_killed_at_any_statement(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], str]
) -> None:
    """Claims, the making of tables, three batches of two partitions, COMMITs: each is one of them, and before the one
    is after the other.
    """
    directory = topic_of(tmp_path / "kafka", partitions=2, rows=10)
    options = {"exit_at_end": True, "batch_size": 8, "errors": "dead-letter"}
    step = sweep.stride(3)
    for kill_at in range(random.randrange(step), 1000, step):
        database, group = new_database(str(kill_at)), f"g{kill_at}"
        wanted = json.dumps({**options, "kill_at": kill_at})
        code = forks.wait(forks.start("sinker", f"file:{directory}", database, group, wanted))
        assert forks.wait(forks.start("sinker", f"file:{directory}", database, group, json.dumps(options))) == 0
        check(database, 2, 10)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert kill_at > 30, "so few statements are not three batches"


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "control"])
@BOTH
def test_a_sink_that_was_frozen_before_it_writes_is_fenced(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], str], fenced: bool
) -> None:
    """The control writes without the fence, and doubles: so this test can fail."""
    directory, database = topic_of(tmp_path / "kafka", partitions=2, rows=400), new_database("x")
    frozen = forks.start(
        "sinker",
        f"file:{directory}",
        database,
        "g",
        json.dumps({"exit_at_end": True, "freeze": True, "fenced": fenced}),
    )
    until(lambda: state(frozen) == "T", "it freezes")
    # The other one takes the partitions over, writes all of them, and leaves.
    other = forks.start("sinker", f"file:{directory}", database, "g", json.dumps({"max_messages": 800}))
    assert forks.wait(other) == 0
    check(database, 2, 400)
    os.kill(frozen, signal.SIGCONT)
    assert forks.wait(frozen) == 0
    if fenced:
        check(database, 2, 400)
    else:
        rows = sum(len(written(database, TopicPartition("t", partition))) for partition in range(2))
        assert rows > 800


@pytest.mark.slow
@pytest.mark.timeout(120 + 5 * KILLS)
@BOTH
def test_sinks_that_are_killed_and_frozen_at_random_lose_and_double_nothing(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], str]
) -> None:
    """Two of one group at work on one file, each killed or frozen when the file has just grown, and more has come."""
    partitions, rows = 4, 20
    directory, database = topic_of(tmp_path / "kafka", partitions=partitions, rows=rows), new_database("x")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    wanted = json.dumps({"batch_size": 30, "linger": 0.02})
    sinks = [forks.start("sinker", f"file:{directory}", database, "g", wanted) for _ in range(2)]
    at_work = kills = 0
    with EmbeddedCluster(directory) as cluster, cluster.producer() as producer:
        while kills < KILLS:
            begun = progress(database)
            for partition in range(partitions):
                values = [json.dumps({"p": partition, "n": number}).encode() for number in range(rows, rows + 40)]
                producer.send("t", values, partitions=partition)
            producer.flush()
            rows += 40
            at_work += until_or_not(lambda begun=begun: progress(database) > begun, 5.0)  # type: ignore[misc]
            time.sleep(chance.random() * 0.03)  # a moment of the flush, whichever
            victim = chance.choice(sinks)
            if chance.random() < 0.2:
                os.kill(victim, signal.SIGSTOP)
                begun = progress(database)
                until_or_not(lambda begun=begun: progress(database) > begun, 1.5)  # type: ignore[misc]
                os.kill(victim, signal.SIGCONT)
                continue
            kills += 1
            forks.kill(victim)
            sinks[sinks.index(victim)] = forks.start("sinker", f"file:{directory}", database, "g", wanted)
    forks.kill(*sinks)
    assert forks.wait(forks.start("sinker", f"file:{directory}", database, "g", json.dumps({"exit_at_end": True}))) == 0
    check(database, partitions, rows)
    print(f"{kills} kills, {at_work} when rows had just been written, {rows * partitions} rows")
    assert at_work > KILLS / 2


def test_a_sink_waits_for_a_disk_that_is_full(tmp_path: Path, forks: Forks) -> None:
    """The file may not grow beyond a limit, which is lifted when the sink says that it waits."""
    directory, database = topic_of(tmp_path / "kafka", partitions=1, rows=20_000), str(tmp_path / "x.db")
    said = tmp_path / "said"
    wanted = {"max_messages": 20_000, "room": 300_000, "said": str(said), "batch_size": 2000}
    pid = forks.start("sinker", f"file:{directory}", database, "g", json.dumps(wanted))
    until(lambda: said.exists() and "waiting for it" in said.read_text(), "it says that it waits")
    assert progress(database) < 20_000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert forks.wait(pid) == 0
    check(database, 1, 20_000)
    first, last = said.read_text().splitlines()
    assert "can't write rows: " in first
    assert f"{database} is back after" in last


def progress(database: str) -> int:
    """The sum of all offsets that are written; 0 where nothing is yet."""
    try:
        ((found,),) = query(database, "SELECT coalesce(sum(next), 0) FROM _pykafka_offsets")
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
        return 0
    return int(found)


def state(pid: int) -> str:
    """A process's state as the kernel tells it: R, S, T (stopped), Z (ended)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "Z"
    return text.rpartition(")")[2].split()[0]


def until_or_not(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition of another process, at most so long; whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def until(condition: Callable[[], bool], what: str) -> None:
    assert until_or_not(condition, 60.0), f"waited in vain until {what}"
