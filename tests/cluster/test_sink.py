"""pykafka sink on a real broker: what it writes, and that kills and freezes lose and double nothing there either."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.cluster.test_tools import fresh, run
from tests.crash.forks import Forks
from tests.crash.sinkers import query, written
from tests.crash.test_kill_sinks import KILLS, progress, until_or_not
from tests.support import apache

pytestmark = pytest.mark.apache


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "complaints") as server:
        yield server
    server.check_complaints()


def test_a_topic_of_a_broker_is_written_and_the_group_follows(broker: apache.Broker, tmp_path: Path) -> None:
    topic, database, at = fresh(), str(tmp_path / "x.db"), ("--bootstrap-server", broker.bootstrap)
    with open_cluster(broker.bootstrap) as cluster:
        cluster.admin().create_topic(topic, partitions=2)
        with cluster.producer() as producer:
            producer.send(topic, [b'{"n": 1}', b"no row", b'{"n": 2}'], keys=[b"a", b"b", None], partitions=0)
            producer.send(topic, [b'{"n": 3}'], partitions=1)
    words = ("pykafka", "sink", *at, "--topic", topic, database, "t", "--with", "key,offset", "--exit-at-end")
    stopped = run(*words)
    assert f"sink: {topic}-0@1: the value is no JSON" in stopped.stderr
    assert stopped.returncode == 1
    done = run(*words, "--errors", "dead-letter")
    assert done.stderr.endswith("Processed a total of 2 messages, 1 dead letter\n") or "1 message," not in done.stderr
    assert done.returncode == 1
    assert sorted(query(database, 'SELECT n, key, "offset" FROM t')) == [(1, "a", 0), (2, None, 2), (3, None, 0)]
    assert run("pykafka", "wait", *at, "--group", "sink-t", "--topic", topic, "--lag", "0").returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(180 + 5 * KILLS)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kills_and_freezes_lose_and_double_nothing(
    broker: apache.Broker, tmp_path: Path, forks: Forks, request: pytest.FixtureRequest, kind: str
) -> None:
    """Two sinks of one group, as over a directory; the broker takes a frozen or dead one out after 0.7 s."""
    topic, partitions, rows, database = fresh(), 4, 0, str(tmp_path / "x.db")
    if kind == "postgres":
        database = request.getfixturevalue("server").new_database()
        with psycopg.connect(database) as connection:
            connection.execute("CREATE TABLE t (p bigint, n bigint, seq bigserial)")
    chance = random.Random()
    wanted = {"batch_size": 30, "linger": 0.02, "topic": topic}
    with open_cluster(broker.bootstrap) as cluster, cluster.producer() as producer:
        cluster.admin().create_topic(topic, partitions=partitions)
        sinks = [forks.start("sinker", broker.bootstrap, database, topic, json.dumps(wanted)) for _ in range(2)]
        at_work = kills = 0
        while kills < KILLS / 4:
            begun = progress(database)
            for partition in range(partitions):
                values = [json.dumps({"p": partition, "n": number}).encode() for number in range(rows, rows + 40)]
                producer.send(topic, values, partitions=partition)
            producer.flush()
            rows += 40
            at_work += until_or_not(lambda begun=begun: progress(database) > begun, 20.0)  # type: ignore[misc]
            time.sleep(chance.random() * 0.03)  # a moment of the flush, whichever
            victim = chance.choice(sinks)
            if chance.random() < 0.3:
                os.kill(victim, signal.SIGSTOP)
                begun = progress(database)
                until_or_not(lambda begun=begun: progress(database) > begun, 1.5)  # type: ignore[misc]
                os.kill(victim, signal.SIGCONT)
                continue
            kills += 1
            forks.kill(victim)
            sinks[sinks.index(victim)] = forks.start("sinker", broker.bootstrap, database, topic, json.dumps(wanted))
    forks.kill(*sinks)
    # One that is to end knows its share only when the broker has given the dead ones up: so it is told how many.
    left = rows * partitions - progress(database)
    if left:
        last = json.dumps({"max_messages": left, "topic": topic})
        assert forks.wait(forks.start("sinker", broker.bootstrap, database, topic, last)) == 0
    for partition in range(partitions):
        assert written(database, TopicPartition(topic, partition)) == list(range(rows))
    assert kind == "postgres" or query(database, "PRAGMA integrity_check") == [("ok",)]
    print(f"{kills} kills, {at_work} when rows had just been written, {rows * partitions} rows")
    assert at_work > KILLS / 8
