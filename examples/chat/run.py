"""Chat: channels as topics, read by live subscribers and by a service that stores them: `python examples/chat/run.py`.

The same topics are publish-subscribe for the people, each a group of its own that reads every message, and a queue for
the storing service, whose two members share them. One member is killed in the middle (kill -9), and another takes its
place: every message is stored once, and each subscriber has seen each message once.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing

from pykafka_store import Consumer, open_cluster

CHANNELS = ("general", "kitchen", "bicycles")
PEOPLE = ("anna", "ben", "carla", "dora")
MESSAGES = 300
PYKAFKA = (sys.executable, "-m", "pykafka_cli")


def start_storing(data: str, database: str) -> subprocess.Popen[bytes]:
    """A member of the storing service: all channels into one table."""
    topics = [word for channel in CHANNELS for word in ("--topic", channel)]
    words = ["sink", "--data-dir", data, *topics, database, "messages", "--group", "storing", "--with", "topic"]
    return subprocess.Popen([*PYKAFKA, *words, "--linger", "100ms"], stderr=subprocess.DEVNULL)


def listen(consumer: Consumer, seen: list[dict[str, object]]) -> None:
    for run in consumer.poll(0.01):
        seen += [json.loads(value) for value in run.values if value is not None]


def main() -> None:
    chance = random.Random(5)
    with tempfile.TemporaryDirectory(prefix="chat-") as directory, ExitStack() as stack:
        data, database = f"{directory}/kafka", f"{directory}/chat.db"
        cluster = stack.enter_context(open_cluster(data))
        for channel in CHANNELS:
            cluster.admin().create_topic(channel, partitions=2)
        storing = [start_storing(data, database) for _ in range(2)]
        stack.callback(lambda: [each.kill() for each in storing])
        people = {}
        for name in PEOPLE:
            consumer = stack.enter_context(cluster.consumer({"group.id": name, "auto.offset.reset": "earliest"}))
            consumer.subscribe(CHANNELS)
            people[name] = consumer
        seen: dict[str, list[dict[str, object]]] = {name: [] for name in PEOPLE}
        producer = stack.enter_context(cluster.producer())
        for number in range(MESSAGES):
            channel, name = chance.choice(CHANNELS), chance.choice(PEOPLE)
            message = {"number": number, "from": name, "text": f"{name} says something in {channel}"}
            producer.send(channel, [json.dumps(message).encode()], keys=[name.encode()])
            if number == MESSAGES // 2:
                storing[0].kill()  # kill -9
                storing[0].wait()
                storing[0] = start_storing(data, database)
            for who, consumer in people.items():
                listen(consumer, seen[who])
        producer.flush()
        for who, consumer in people.items():
            while len(seen[who]) < MESSAGES:
                listen(consumer, seen[who])
            assert sorted(int(str(message["number"])) for message in seen[who]) == list(range(MESSAGES))
        topics = [word for channel in CHANNELS for word in ("--topic", channel)]
        wait = ["wait", "--data-dir", data, *topics, "--group", "storing", "--lag", "0", "--timeout", "2m"]
        subprocess.run([*PYKAFKA, *wait], check=True)
        for each in storing:
            each.terminate()
            each.wait()
        print(f"{len(PEOPLE)} people each saw {MESSAGES} messages in {len(CHANNELS)} channels, each once")
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT number FROM messages ORDER BY number").fetchall()
            assert rows == [(number,) for number in range(MESSAGES)]
            print(f"stored: {len(rows)} messages, each once, though a member of the service was killed")
            for channel, count in connection.execute(
                "SELECT topic, count(*) FROM messages GROUP BY topic ORDER BY topic"
            ):
                print(f"  {channel:<9} {count:>4}")


if __name__ == "__main__":
    main()
