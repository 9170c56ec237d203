"""A hundred couriers send their positions, and a database has them: `python examples/couriers/run.py`.

Each courier is a producer, keyed by its name, so that its positions stay in order. Two sinks of one group gather them
and insert them in bulk; one is killed (kill -9) on the way, and another takes its place. Of an order that is delivered
duration, distance and mean speed are one question in SQL. Simulated seconds take a fiftieth of a real one.

`--map FILE.png` draws the tracks, with matplotlib (pip install '.[plot]'); `--keep DIR` keeps all files in a directory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from pykafka_store import open_cluster

COURIERS = 100
SECONDS = 120
"""Of the simulation; a position each."""

PACE = 0.02
"""Real seconds that a simulated one takes."""

PYKAFKA = (sys.executable, "-m", "pykafka_cli")

DELIVERIES = """
WITH steps AS (
    SELECT "order", courier, at, status,
           km(lat, lon, lag(lat) OVER way, lag(lon) OVER way) AS step
    FROM positions WINDOW way AS (PARTITION BY "order" ORDER BY at)
)
SELECT "order", courier, (max(at) - min(at)) / 60.0 AS minutes, sum(step) AS km,
       sum(step) / ((max(at) - min(at)) / 3600.0) AS speed
FROM steps GROUP BY "order" HAVING max(status = 'delivered') ORDER BY speed DESC
"""


def ride(number: int) -> Iterator[dict[str, object]]:
    """A courier's seconds: straight to the customer, more or less, and then on to the next order."""
    chance = random.Random(number)
    lat, lon = 52.5 + chance.uniform(-0.03, 0.03), 13.4 + chance.uniform(-0.05, 0.05)
    order = number
    left = 0
    for second in range(SECONDS):
        if left == 0:
            order += COURIERS
            left = chance.randrange(40, 80)
            turn, speed = chance.uniform(0, 2 * math.pi), chance.uniform(10, 25) / 3600 / 111.2
        left -= 1
        turn += chance.uniform(-0.2, 0.2)
        lat += speed * math.sin(turn)
        lon += speed * math.cos(turn) / math.cos(math.radians(lat))
        status = "delivered" if left == 0 else "riding"
        yield {
            "courier": f"c{number:02}", "order": order, "lat": round(lat, 6), "lon": round(lon, 6),
            "status": status, "at": 1_700_000_000 + second,
        }  # fmt: skip


def km(lat: float, lon: float, lat_before: float | None, lon_before: float | None) -> float:
    """The distance of two points that are near to each other."""
    if lat_before is None or lon_before is None:
        return 0.0
    wide = math.cos(math.radians(lat))
    return 111.2 * math.hypot(lat - lat_before, (lon - lon_before) * wide)


def start_sink(data: str, database: str) -> subprocess.Popen[bytes]:
    words = ["sink", "--data-dir", data, "--topic", "positions", database, "--group", "storing", "--linger", "200ms"]
    return subprocess.Popen([*PYKAFKA, *words], stderr=subprocess.DEVNULL)


def simulate(data: str, database: str) -> int:
    """Send all positions while sinks are at work; how many that were."""
    with open_cluster(data) as cluster, ExitStack() as stack:
        cluster.admin().create_topic("positions", partitions=8)
        producers = [stack.enter_context(cluster.producer()) for _ in range(COURIERS)]
        sinks = [start_sink(data, database) for _ in range(2)]
        stack.callback(lambda: [sink.kill() for sink in sinks])
        sent = 0
        for second, positions in enumerate(zip(*(ride(number) for number in range(COURIERS)), strict=True)):
            for producer, position in zip(producers, positions, strict=True):
                key, value = str(position["courier"]).encode(), json.dumps(position).encode()
                producer.send("positions", [value], keys=[key])
                sent += 1
            if second == SECONDS // 2:
                sinks[0].kill()  # kill -9
                sinks[0].wait()
                sinks[0] = start_sink(data, database)
            time.sleep(PACE)
        for producer in producers:
            producer.flush()
        wait = [
            "wait",
            "--data-dir",
            data,
            "--topic",
            "positions",
            "--group",
            "storing",
            "--lag",
            "0",
            "--timeout",
            "2m",
        ]
        subprocess.run([*PYKAFKA, *wait], check=True)
        for sink in sinks:
            sink.terminate()
            sink.wait()
        return sent


def check(connection: sqlite3.Connection, sent: int) -> None:
    """Every position is there, once, and each courier's are in their order."""
    assert connection.execute("SELECT count(*) FROM positions").fetchone() == (sent,)
    for number in range(COURIERS):
        rows = connection.execute("SELECT at FROM positions WHERE courier = ? ORDER BY rowid", (f"c{number:02}",))
        assert [at for (at,) in rows] == [1_700_000_000 + second for second in range(SECONDS)]


def draw(connection: sqlite3.Connection, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 8))
    for number in range(COURIERS):
        rows = connection.execute("SELECT lon, lat FROM positions WHERE courier = ? ORDER BY at", (f"c{number:02}",))
        axes.plot(*zip(*rows, strict=True), linewidth=0.8)
    axes.plot(*zip(*connection.execute("SELECT lon, lat FROM positions WHERE status = 'delivered'"), strict=True), "k.")
    axes.set_aspect(1 / math.cos(math.radians(52.5)))
    axes.set_title("Tracks of the couriers, a dot where an order was delivered")
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description="A hundred couriers, and a database that has their positions.")
    parser.add_argument("--map", metavar="FILE.png", help="draw the tracks")
    parser.add_argument("--keep", metavar="DIR", help="keep the topic and the database in this directory, a new one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="couriers-") as scratch:
        place = Path(options.keep or scratch)
        os.makedirs(place, exist_ok=True)
        database = str(place / "couriers.db")
        sent = simulate(str(place / "kafka"), database)
        with closing(sqlite3.connect(database)) as connection:
            check(connection, sent)
            print(f"{sent} positions of {COURIERS} couriers: a row each, in order; a sink was killed")
            connection.create_function("km", 4, km, deterministic=True)
            deliveries = connection.execute(DELIVERIES).fetchall()
            print(f"{len(deliveries)} orders delivered; the fastest:")
            print("order  courier  minutes     km   km/h")
            for order, courier, minutes, distance, speed in deliveries[:3]:
                print(f"{order:>5}  {courier:<7}  {minutes:>7.1f}  {distance:>5.2f}  {speed:>5.1f}")
            mean = sum(row[4] for row in deliveries) / len(deliveries)
            print(f"mean speed of all: {mean:.1f} km/h")
            if options.map:
                draw(connection, options.map)
                print(f"map: {options.map}")


if __name__ == "__main__":
    main()
