"""``pykafka sink`` as a process: how it ends, and what a terminal sees of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pykafka_cli.commands.sink.running import progress_line
from pykafka_store import open_cluster
from pykafka_store.sink.report import SinkReport

PYKAFKA = f"{sysconfig.get_path('scripts')}/pykafka"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_what_was_read_is_written_when_it_is_interrupted(tmp_path: Path, number: int, code: int) -> None:
    """Three of four records are a batch. The fourth, read with them, waits for others when the signal comes."""
    data, database = str(tmp_path / "kafka"), str(tmp_path / "x.db")
    with open_cluster(data) as cluster, cluster.producer() as producer:
        cluster.admin().create_topic("t")
        producer.send("t", [b'{"n": 1}'] * 4)
        producer.flush()
        words = [PYKAFKA, "sink", "--data-dir", data, "--topic", "t", database, "--linger", "1h", "--batch-size", "3"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: os.path.exists(database) and rows(database) == 3)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
    assert (said, process.returncode) == ("Processed a total of 4 messages\n", code)
    assert rows(database) == 4


def rows(database: str) -> int:
    connection = sqlite3.connect(database)
    try:
        ((count,),) = connection.execute("SELECT count(*) FROM t").fetchall()
    except sqlite3.OperationalError:
        return 0  # the table is not there yet
    finally:
        connection.close()
    return int(count)


def test_the_progress_line_says_how_much_how_fast_and_how_much_is_left() -> None:
    assert progress_line(SinkReport(1_234_000, 3, (), None), 10.0, 12_345) == (
        "sink: 1,234,000 rows, 123,400/s, lag 12,345, 3 dead letters"
    )
    assert progress_line(SinkReport(0, 0, (), None), 0.0, 5) == "sink: 0 rows, 0/s, lag 5"
