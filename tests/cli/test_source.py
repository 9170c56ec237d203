"""``pykafka source`` as a process: it follows, waits for a database that is locked, and ends when it is told to."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from pykafka_store import TopicPartition, open_cluster
from tests.cli.test_sink import PYKAFKA, until

PLACE = TopicPartition("t", 0)


def made(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT)")
        connection.execute("INSERT INTO t (word) VALUES ('one')")
    return str(path)


@pytest.mark.parametrize("how", [["--cursor", "id"], ["--changes"]], ids=["cursor", "changes"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_it_follows_until_it_is_interrupted(tmp_path: Path, how: list[str], number: int, code: int) -> None:
    data, database = str(tmp_path / "kafka"), made(tmp_path / "x.db")
    with open_cluster(data) as cluster, cluster.consumer() as consumer:
        cluster.admin().create_topic("t")
        words = [PYKAFKA, "source", "--data-dir", data, database, "t", "--topic", "t", "--every", "10ms", *how]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: consumer.end_offsets([PLACE])[PLACE] == 1)
            with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
                connection.execute("INSERT INTO t (word) VALUES ('two')")
            until(lambda: consumer.end_offsets([PLACE])[PLACE] == 2)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
    assert (said, process.returncode) == ("Sent a total of 2 records\n", code)


def test_it_waits_for_a_database_that_is_locked(tmp_path: Path) -> None:
    data, database = str(tmp_path / "kafka"), made(tmp_path / "x.db")
    with open_cluster(data) as cluster:
        cluster.admin().create_topic("t")
    words = [PYKAFKA, "source", "--data-dir", data, database, "t", "--topic", "t", "--changes", "--exit-at-end"]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            waiting = process.stderr.readline()
            connection.execute("ROLLBACK")
            rest = process.communicate(timeout=60)[1].splitlines()
    assert waiting == f"WARNING: source: {database}: can't make the triggers: database is locked: waiting for it\n"
    assert rest[0].startswith(f"WARNING: source: {database} is back after ")
    assert (rest[1], process.returncode) == ("Sent a total of 1 record", 0)
