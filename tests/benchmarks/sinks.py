"""The rows of ``pykafka sink``: into SQLite and PostgreSQL, against the pipe and against one row a commit.

Each function takes less than a minute of a quiet machine in three rounds.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from pykafka_store.open import open_cluster
from tests.benchmarks.run import Row, Run, cpu_of, in_turns, produce, run, tool
from tests.support import postgres

MANY = 1_000_000
PIPED = 100_000
SINGLE = 20_000


class Lab:
    """Topics of couriers' positions, and sinks into databases that are new for each run."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.data = work / "kafka"
        self._runs = 0

    def topic(self, name: str, count: int, bad: int = 0) -> None:
        """Make one; see ``_lines``."""
        produce(self.data, _lines(self.work / name, count, bad), name)

    def sink(self, topic: str, *words: str, database: str | None = None, code: int = 0) -> Run:
        self._runs += 1
        goal, table = database or str(self.work / f"{self._runs}.db"), f"t{self._runs}"
        argv = [tool("pykafka"), "sink", "--data-dir", str(self.data), "--topic", topic, goal, table]
        try:
            return run([*argv, *words, "--exit-at-end"], code=code)
        finally:
            for path in self.work.glob(f"{self._runs}.db*"):
                path.unlink()


def inserting(work: Path, rounds: int) -> list[Row]:
    """Into SQLite, against what people do without a sink."""
    lab = Lab(work)
    lab.topic("positions", MANY)
    lab.topic("some", PIPED)

    def piped() -> Run:
        path = work / "piped.db"
        path.unlink(missing_ok=True)
        consumer = f"{tool('kafka-console-consumer')} --data-dir {lab.data} --topic some --from-beginning --exit-at-end"
        return run(["sh", "-c", f"{consumer} 2>/dev/null | {tool('sqlite-utils')} insert {path} t - --nl"])

    def single() -> Run:
        return run([sys.executable, "-c", _SINGLE, str(work / "some"), str(work / "single.db"), str(SINGLE)])

    insert, pipe, one = in_turns(rounds, lambda: lab.sink("positions"), piped, single)
    rate, pipe_rate, one_rate = MANY / insert.seconds, PIPED / pipe.seconds, SINGLE / one.seconds
    return [
        Row(
            "a topic of 1,000,000 JSON records of 108 bytes → SQLite, `pykafka sink`, whole process",
            "120,000 rows/s",
            f"{rate:,.0f} rows/s",
            rate >= 120_000,
        ),
        Row(
            "the same against `kafka-console-consumer \\| sqlite-utils insert --nl`",
            "4 ×",
            f"{rate / pipe_rate:.1f} × ({pipe_rate:,.0f} rows/s)",
            rate >= 4 * pipe_rate,
        ),
        Row(
            f"the same against one row a commit, {SINGLE:,} of them",
            "30 ×",
            f"{rate / one_rate:.0f} × ({one_rate:,.0f} rows/s)",
            rate >= 30 * one_rate,
        ),
    ]


def otherwise(work: Path, rounds: int) -> list[Row]:
    """What may cost more than inserting good records: processor time against processor time, of which a machine that
    others use too changes little.
    """
    lab = Lab(work)
    count = MANY // 4
    lab.topic("positions", count)
    lab.topic("spoilt", count, bad=10_000)
    lab.topic("few", PIPED // 10)
    insert, upsert, spoilt, few = in_turns(
        rounds,
        lambda: lab.sink("positions"),
        lambda: lab.sink("positions", "--pk", "id", "--upsert"),
        lambda: lab.sink("spoilt", "--errors", "dead-letter", code=1),
        lambda: lab.sink("few"),
    )
    return [
        Row(
            "`pykafka sink` with `--pk id --upsert`, against inserting",
            "0.8 ×",
            f"{insert.cpu / upsert.cpu:.2f} ×",
            insert.cpu >= 0.8 * upsert.cpu,
        ),
        Row(
            "one bad record in 10,000, `--errors dead-letter`, against none",
            "1.6 × the time",
            f"{spoilt.cpu / insert.cpu:.2f} ×",
            spoilt.cpu <= 1.6 * insert.cpu,
        ),
        Row(
            f"resident memory of `pykafka sink`, {count:,} records and {PIPED // 10:,}",
            "64 MiB",
            f"{insert.peak_mib:.0f} MiB and {few.peak_mib:.0f} MiB",
            max(insert.peak_mib, few.peak_mib) <= 64,
        ),
    ]


def into_postgres(work: Path, rounds: int) -> list[Row]:
    if postgres.available() is not None:
        return [Row("a topic → PostgreSQL", "110,000 rows/s", f"not measured: {postgres.available()}", None)]
    lab = Lab(work)
    count = MANY // 2
    lab.topic("positions", count)
    with postgres.Server() as server:
        address = server.new_database()
        copied, merged = in_turns(
            rounds,
            lambda: lab.sink("positions", database=address),
            lambda: lab.sink("positions", "--pk", "id", "--upsert", database=address),
        )
    found = []
    for what, done, reach in (("COPY", copied, 110_000), ("upsert", merged, 65_000)):
        rate = count / done.seconds
        name = f"a topic of {count:,} such records → PostgreSQL, {what}"
        found.append(Row(name, f"{reach:,} rows/s", f"{rate:,.0f} rows/s", rate >= reach))
    peak = max(copied.peak_mib, merged.peak_mib)
    return [*found, Row("resident memory of those", "64 MiB", f"{peak:.0f} MiB", peak <= 64)]


_SINGLE = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[2], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE IF NOT EXISTS t (id, courier, lat, lon, status, at)")
with open(sys.argv[1]) as lines:
    for _, line in zip(range(int(sys.argv[3])), lines):
        connection.execute("INSERT INTO t VALUES (:id, :courier, :lat, :lon, :status, :at)", json.loads(line))
"""


def _lines(path: Path, count: int, bad: int = 0) -> Path:
    """Couriers' positions; every ``bad``-th of them has a number that no column can hold."""
    chance = random.Random(1)
    with path.open("w") as file:
        for number in range(count):
            at = 2**70 if bad and number % bad == bad // 2 else 1_700_000_000_000 + number
            lat, lon = round(52.3 + chance.random() / 3, 6), round(13.1 + chance.random() / 3, 6)
            file.write(
                f'{{"id": {number}, "courier": "c{number % 5000}", "lat": {lat}, "lon": {lon}, "status": "riding", '
                f'"at": {at}}}\n'
            )
    return path


def waiting(work: Path, _rounds: int) -> list[Row]:
    """From an append to a row that a reader of the database sees, and what waiting costs."""
    data, database, linger = work / "late", work / "late.db", 0.05
    with open_cluster(str(data)) as cluster, cluster.producer({"linger.ms": "0"}) as producer:
        cluster.admin().create_topic("t")
        producer.send("t", [b'{"n": -1}'])
        argv = [
            tool("pykafka"),
            "sink",
            "--data-dir",
            str(data),
            "--topic",
            "t",
            str(database),
            "--linger",
            f"{linger}s",
        ]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
            try:
                _seen(database, -1)
                waits = []
                with closing(sqlite3.connect(database)) as reader:
                    for number in range(200):
                        begun = time.perf_counter()
                        producer.send("t", [b'{"n": %d}' % number])
                        while reader.execute("SELECT count(*) FROM t WHERE n = ?", (number,)).fetchone() == (0,):
                            time.sleep(0.0005)
                        waits.append(time.perf_counter() - begun)
                cpu = cpu_of(process.pid)
                time.sleep(5.0)
                idle = (cpu_of(process.pid) - cpu) / 5.0
            finally:
                process.terminate()
    waits.sort()
    p99, median = waits[197], waits[100]
    return [
        Row(
            "append → row that a reader sees, p99, `--linger 50ms`",
            "100 ms",
            f"{p99 * 1000:.0f} ms (median {median * 1000:.0f})",
            p99 <= linger + 0.05,
        ),
        Row("an idle sink", "1 % of a core", f"{idle:.2%}", idle <= 0.01),
    ]


def _seen(database: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
                if reader.execute("SELECT count(*) FROM t WHERE n = ?", (number,)).fetchone() == (1,):
                    return
        except sqlite3.OperationalError:
            pass  # not made yet
        time.sleep(0.01)
    raise SystemExit("the sink wrote nothing in a minute")
