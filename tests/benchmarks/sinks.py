"""The rows of ``pykafka sink``: into SQLite and PostgreSQL, against the pipe and against one row a commit."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from pykafka_store.open import open_cluster
from tests.benchmarks.run import Row, Run, in_turns, produce, run, tool
from tests.support import postgres

MANY = 1_000_000
PIPED = 100_000
SINGLE = 2_000
WARM = 1_000


def rows(work: Path, rounds: int) -> list[Row]:
    work = work / "sinks"
    work.mkdir()
    data = work / "kafka"
    lines = _lines(work / "lines", MANY)
    produce(data, lines, "positions")
    produce(data, _lines(work / "some", PIPED), "some")
    produce(data, _lines(work / "bad", MANY, bad=10_000), "spoilt")
    number = 0

    def sink(topic: str, database: str | None = None, *words: str, code: int = 0) -> Run:
        """Into a database that is new for this run, and for a group that is."""
        nonlocal number
        number += 1
        goal = database or str(work / f"{number}.db")
        name = f"t{number}"
        argv = [tool("pykafka"), "sink", "--data-dir", str(data), "--topic", topic, goal, name, *words, "--exit-at-end"]
        try:
            return run(argv, code=code)
        finally:
            for path in work.glob(f"{number}.db*"):
                path.unlink()

    def piped() -> Run:
        path = work / "piped.db"
        path.unlink(missing_ok=True)
        consumer = f"{tool('kafka-console-consumer')} --data-dir {data} --topic some --from-beginning --exit-at-end"
        return run(["sh", "-c", f"{consumer} 2>/dev/null | {tool('sqlite-utils')} insert {path} t - --nl"])

    def single() -> Run:
        return run([sys.executable, "-c", _SINGLE, str(work / "some"), str(work / "single.db"), str(SINGLE)])

    insert, upsert, spoilt, few, pipe, one = in_turns(
        rounds,
        lambda: sink("positions"),
        lambda: sink("positions", None, "--pk", "id", "--upsert"),
        lambda: sink("spoilt", None, "--errors", "dead-letter", code=1),
        lambda: sink("some"),
        piped,
        single,
    )
    rate, pipe_rate, one_rate = MANY / insert.seconds, PIPED / pipe.seconds, SINGLE / one.seconds
    found = [
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
            "the same against one row a commit",
            "30 ×",
            f"{rate / one_rate:.0f} × ({one_rate:,.0f} rows/s)",
            rate >= 30 * one_rate,
        ),
        Row(
            "the same with `--pk id --upsert`, against inserting",
            "0.8 ×",
            f"{insert.seconds / upsert.seconds:.2f} ×",
            insert.seconds >= 0.8 * upsert.seconds,
        ),
        Row(
            "one bad record in 10,000, `--errors dead-letter`, against none",
            "1.6 × the time",
            f"{spoilt.seconds / insert.seconds:.2f} ×",
            spoilt.seconds <= 1.6 * insert.seconds,
        ),
        Row(
            "resident memory of `pykafka sink`, 10⁶ records and 10⁵",
            "64 MiB",
            f"{insert.peak_mib:.0f} MiB and {few.peak_mib:.0f} MiB",
            max(insert.peak_mib, few.peak_mib) <= 64,
        ),
        *_latency(work),
    ]
    if postgres.available() is not None:
        return [
            *found,
            Row("the same into PostgreSQL", "110,000 rows/s", f"not measured: {postgres.available()}", None),
        ]
    with postgres.Server() as server:
        address = server.new_database()
        copied, merged = in_turns(
            rounds,
            lambda: sink("positions", address),
            lambda: sink("positions", address, "--pk", "id", "--upsert"),
        )
    for what, done, reach in (("COPY", copied, 110_000), ("upsert", merged, 65_000)):
        rate = MANY / done.seconds
        found.append(
            Row(f"the same topic → PostgreSQL, {what}", f"{reach:,} rows/s", f"{rate:,.0f} rows/s", rate >= reach)
        )
    peak = max(copied.peak_mib, merged.peak_mib)
    found.append(Row("resident memory of those", "64 MiB", f"{peak:.0f} MiB", peak <= 64))
    return found


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
            position: dict[str, object] = {
                "id": number,
                "courier": f"c{number % 5000}",
                "lat": round(52.3 + chance.random() / 3, 6),
                "lon": round(13.1 + chance.random() / 3, 6),
                "status": "riding",
                "at": 1_700_000_000_000 + number,
            }
            if bad and number % bad == bad // 2:
                position["at"] = 2**70
            file.write(json.dumps(position) + "\n")
    return path


def _latency(work: Path) -> list[Row]:
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
                cpu = _cpu(process.pid)
                time.sleep(5.0)
                idle = (_cpu(process.pid) - cpu) / 5.0
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


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
