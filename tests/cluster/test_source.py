"""pykafka source to a real broker: what it sends, and that in transactions kills lose and double nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.open import open_cluster
from tests.cluster.test_tools import fresh, run
from tests.crash.forks import Forks
from tests.crash.test_kill_sinks import KILLS
from tests.crash.test_kill_sources import Database, check, kill_at_random, records
from tests.support import apache

pytestmark = pytest.mark.apache


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "complaints") as server:
        yield server
    server.check_complaints()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "postgres":
        return Database(request.getfixturevalue("server").new_database())
    (tmp_path / "x.db").touch()
    return Database(str(tmp_path / "x.db"))


BOTH = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


@BOTH
@pytest.mark.parametrize("how", [[], ["--exactly-once"]], ids=["at least once", "exactly once"])
def test_rows_get_to_a_broker_and_the_next_run_goes_on(
    broker: apache.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database, how: list[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    topic = fresh()
    words = ["pykafka", "source", "--bootstrap-server", broker.bootstrap, database.address, "--topic", topic]
    words += ["--exit-at-end", *how]
    with open_cluster(broker.bootstrap) as cluster:
        cluster.admin().create_topic(topic, partitions=3)
        database.fill(20)
        assert run(*words, "t", "--cursor", "id", "--key", "k").stderr == "Sent a total of 20 records\n"
        database.fill(20)
        assert run(*words, "t", "--cursor", "id", "--key", "k").stderr == "Sent a total of 20 records\n"
        assert sorted(value["id"] for _, value, _ in records(cluster, topic, 3) if value) == list(range(1, 41))
        compared = fresh()
        words[words.index(topic)] = compared
        query = ["--query", "SELECT id, n FROM t", "--key", "id"]
        assert run(*words, *query).stderr.endswith("Sent a total of 40 records\n")
        database.run("DELETE FROM t WHERE id = 7")
        assert run(*words, *query).stderr == "Sent a total of 1 record, 1 deletion among them\n"
        assert run(*words, *query).stderr == "Sent a total of 0 records\n"


@pytest.mark.slow
@pytest.mark.timeout(180 + 10 * KILLS)
@BOTH
def test_kills_lose_and_double_nothing_in_transactions(
    broker: apache.Broker, tmp_path: Path, forks: Forks, database: Database
) -> None:
    topic = fresh()
    with open_cluster(broker.bootstrap) as cluster:
        cluster.admin().create_topic(topic, partitions=3)
        more = {"topic": topic, "locks": str(tmp_path / "locks")}
        at_work, history = kill_at_random(forks, database, broker.bootstrap, cluster, KILLS // 4, more)
        check(records(cluster, topic, 3), history)
    assert at_work > KILLS / 8


def test_two_of_one_name_are_refused(broker: apache.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "x.db").touch()
    database, topic = Database(str(tmp_path / "x.db")), fresh()
    words = ["pykafka", "source", "--bootstrap-server", broker.bootstrap, database.address, "t", "--topic", topic]
    words += ["--cursor", "id", "--exit-at-end"]
    assert run(*words).returncode == 0
    (path,) = (tmp_path / "pykafka" / "sources").glob("source-*.lock")
    with FileLock(path):
        done = run(*words)
    assert done.returncode == 1
    assert "another process is this source already: name this one with --name" in done.stderr
