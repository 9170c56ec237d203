"""Sources that are killed at every step, and at random while rows change: no row is missing, doubled or out of order.
``PYKAFKA_KILLS=500 pytest tests/crash/test_kill_sources.py -k random`` kills more than every run does, and
``PYKAFKA_SWEEP=all`` at every step instead of each seventh.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pykafka_store.api import Cluster
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import TopicPartition
from tests.crash.forks import Forks
from tests.crash.test_kill_sinks import KILLS, until_or_not
from tests.support import sweep

STEP = sweep.stride(7)
"""From one step that kills to the next; a run begins with any of the first."""

KINDS = pytest.mark.parametrize("kind", ["cursor", "changes", "query"])


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "complaints") as server:
        yield server
    server.check_complaints()


class Database:
    """A table ``t``: an id, a key ``k`` and a number ``n``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_postgres = address.startswith("postgresql:")
        kind = (
            "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            if self.is_postgres
            else "INTEGER PRIMARY KEY AUTOINCREMENT"
        )
        self.run(f"CREATE TABLE t (id {kind}, k text, n integer)")

    def connect(self) -> Any:
        return psycopg.connect(self.address) if self.is_postgres else sqlite3.connect(self.address, timeout=60)

    def run(self, *statements: str) -> None:
        """All of them in one transaction."""
        with closing(self.connect()) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def fill(self, rows: int) -> None:
        self.run(*(f"INSERT INTO t (k, n) VALUES ('k{number % 5}', {number})" for number in range(rows)))


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Database]:
    """Makes databases of the kind that the test asks for."""
    if request.param == "sqlite":
        return lambda name: Database(str(_touched(tmp_path / f"{name}.db")))
    server = request.getfixturevalue("server")
    database = server.new_database()
    return lambda name: Database(server.new_schema(database, f"s{name}"))


def _touched(path: Path) -> Path:
    path.touch()
    return path


BOTH = pytest.mark.parametrize("new_database", ["sqlite", "postgres"], indirect=True)


def records(cluster: Cluster, topic: str, partitions: int) -> list[tuple[int, dict[str, Any] | None, Any]]:
    """(partition, value, key) of all records, partition after partition."""
    found = []
    with cluster.consumer({"isolation.level": "read_committed"}) as consumer:
        for partition in range(partitions):
            place = TopicPartition(topic, partition)
            consumer.assign({place: 0})
            end = consumer.end_offsets([place])[place]
            while consumer.position(place) < end:
                for run in consumer.poll(1.0):
                    for key, value in zip(run.keys, run.values, strict=True):
                        found.append((partition, None if value is None else json.loads(value), key))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@KINDS
@BOTH
def test_a_source_can_be_killed_at_any_step(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], Database], kind: str
) -> None:
    """Statements of the database, sends to two partitions, syncs and notes of three batches; each is one of them."""
    database = new_database("x")
    database.fill(20)
    for kill_at in range(random.randrange(STEP), 1000, STEP):
        if kind == "changes" and kill_at >= STEP:
            database = new_database(str(kill_at))  # its triggers and changes are in it
            database.fill(20)
        directory = str(tmp_path / f"kafka{kill_at}")
        with EmbeddedCluster(directory) as cluster:
            cluster.admin().create_topic("t", partitions=2)
        options = {"exit_at_end": True, "batch_size": 8}
        wanted = json.dumps({**options, "kill_at": kill_at})
        code = forks.wait(forks.start("sourcer", directory, database.address, kind, wanted))
        with EmbeddedCluster(directory) as cluster:
            cluster.admin().create_partitions("t", 3)  # which would divide the rest of a batch anew
        assert forks.wait(forks.start("sourcer", directory, database.address, kind, json.dumps(options))) == 0
        with EmbeddedCluster(directory) as cluster:
            rows = records(cluster, "t", 3)
        assert sorted(value["n"] for _, value, _ in rows if value) == list(range(20)), f"killed at step {kill_at}"
        for partition in range(3):
            numbers = [value["n"] for place, value, _ in rows if place == partition and value]
            # A query's rows are a state: one key's changes have an order, and those of two have none.
            assert kind == "query" or numbers == sorted(numbers)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert kill_at > 15, "so few steps are not three batches"


@BOTH
def test_without_what_the_log_says_rows_would_be_doubled(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], Database]
) -> None:
    """The control: a source that goes by its note alone, killed as above. So the tests above can fail."""
    doubled = 0
    database = new_database("x")
    database.fill(20)
    for kill_at in range(0, 1000, STEP):
        directory = str(tmp_path / f"kafka{kill_at}")
        with EmbeddedCluster(directory) as cluster:
            cluster.admin().create_topic("t", partitions=2)
        options = {"exit_at_end": True, "batch_size": 8, "forgetful": True}
        wanted = json.dumps({**options, "kill_at": kill_at})
        code = forks.wait(forks.start("sourcer", directory, database.address, "cursor", wanted))
        assert forks.wait(forks.start("sourcer", directory, database.address, "cursor", json.dumps(options))) == 0
        with EmbeddedCluster(directory) as cluster:
            doubled += len(records(cluster, "t", 2)) > 20
        if code == 0 or doubled:
            break
    assert doubled


@pytest.mark.slow
@pytest.mark.timeout(120 + 5 * KILLS)
@BOTH
def test_a_source_that_is_killed_at_random_loses_and_doubles_nothing(
    tmp_path: Path, forks: Forks, new_database: Callable[[str], Database]
) -> None:
    """Rows are put in, changed and deleted all the time, in transactions of several; each change counts up its row."""
    directory = str(tmp_path / "kafka")
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic("t", partitions=3)
        at_work, history = kill_at_random(forks, new_database("x"), directory, cluster, KILLS, {})
        check(records(cluster, "t", 3), history)
    assert at_work > KILLS / 2


def kill_at_random(
    forks: Forks, database: Database, address: str, cluster: Cluster, kills: int, more: dict[str, object]
) -> tuple[int, dict[int, list[int | None]]]:
    """Kill a source of changes so often. The answer: how often it was at work then, and what became of each row."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    wanted = {"batch_size": 20, "every": 0.01, **more}
    topic = str(wanted.get("topic", "t"))
    places = [TopicPartition(topic, number) for number in range(3)]
    history: dict[int, list[int | None]] = {}
    alive: dict[int, int] = {}
    at_work = 0
    with cluster.consumer() as consumer, closing(database.connect()) as connection:

        def reached() -> int:
            return sum(consumer.end_offsets(places).values())

        # Triggers see what comes after them, so they come first.
        first = json.dumps({**wanted, "exit_at_end": True})
        assert forks.wait(forks.start("sourcer", address, database.address, "changes", first)) == 0
        pid = forks.start("sourcer", address, database.address, "changes", json.dumps(wanted))
        for _ in range(kills):
            before = reached()
            for _ in range(chance.randrange(1, 6)):
                with connection.transaction() if database.is_postgres else connection:
                    for _ in range(chance.randrange(1, 20)):
                        change(connection, chance, history, alive)
            at_work += until_or_not(lambda before=before: reached() > before, 20.0)  # type: ignore[misc]
            time.sleep(chance.random() * 0.03)  # a moment of a batch, whichever
            forks.kill(pid)
            pid = forks.start("sourcer", address, database.address, "changes", json.dumps(wanted))
        forks.kill(pid)
        assert forks.wait(forks.start("sourcer", address, database.address, "changes", first)) == 0
    print(f"{kills} kills, {at_work} when records had just been sent, {sum(map(len, history.values()))} changes")
    return at_work, history


def change(connection: Any, chance: random.Random, history: dict[int, list[int | None]], alive: dict[int, int]) -> None:
    """Put a row in, change one, or delete one, and note that."""
    what = chance.random()
    if what < 0.4 or not alive:
        (row,) = connection.execute("INSERT INTO t (k, n) VALUES ('k', 0) RETURNING id").fetchone()
        alive[row] = 0
        history[row] = [0]
        return
    row = chance.choice(list(alive))
    if what < 0.9:
        alive[row] += 1
        connection.execute(f"UPDATE t SET n = {alive[row]} WHERE id = {row}")
        history[row].append(alive[row])
    else:
        del alive[row]
        connection.execute(f"DELETE FROM t WHERE id = {row}")
        history[row].append(None)


def check(rows: list[tuple[int, dict[str, Any] | None, Any]], history: dict[int, list[int | None]]) -> None:
    found: dict[int, list[int | None]] = {}
    for _, value, key in rows:
        found.setdefault(json.loads(key)["id"], []).append(None if value is None else value["n"])
    assert found == history
