"""Who works in the mixed storm, a process each: ``mixed_workers.py ROLE ARGUMENT...``; see mixed.py.

Histories are lines: the monotonic clock in ns, what happened, the partition, and what belongs to it.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

TOPIC = GROUP = "mixed"

AGAIN = {"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"}
"""What a broker, too, answers a commit while a generation is made that its member is not told of yet: it holds for the
next. (Java's client says RebalanceInProgressException of both.)
"""


def librdkafka(address: str, protocol: str, history: str, stop: str) -> None:
    """A member by confluent-kafka. ``protocol``: ``consumer``, or what classic members assign by."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    settings = {
        "bootstrap.servers": address,
        "group.id": GROUP,
        "group.protocol": "consumer" if protocol == "consumer" else "classic",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "log_level": 0,
    }
    if protocol != "consumer":
        strategy = {"range": "range", "cooperative": "cooperative-sticky"}[protocol]
        settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
        settings |= {"partition.assignment.strategy": strategy}
    consumer = Consumer(settings)
    owed: dict[int, int] = {}
    with Path(history).open("a") as file:

        def say(what: str, partition: int, more: str = "") -> None:
            file.write(f"{time.monotonic_ns()} {what} {partition} {more}\n")

        def commit() -> None:
            file.flush()
            if not owed:
                return
            try:
                offsets = [TopicPartition(TOPIC, partition, offset) for partition, offset in owed.items()]
                consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                say("failed", -1, error.args[0].name())
                if error.args[0].name() in AGAIN:
                    return  # what is owed is committed when it is taken away, or with the next records
            owed.clear()

        def told(what: str) -> Any:
            def callback(_: object, partitions: list[TopicPartition]) -> None:
                if what == "revoked":
                    commit()
                for each in partitions:
                    say(what, each.partition)
                    if what != "assigned":
                        owed.pop(each.partition, None)
                file.flush()

            return callback

        consumer.subscribe([TOPIC], on_assign=told("assigned"), on_revoke=told("revoked"), on_lost=told("lost"))
        while not Path(stop).exists():
            for message in consumer.consume(50, 0.2):
                if message.error() is None:
                    say("read", message.partition(), f"{message.offset()} {message.value().decode()}")
                    owed[message.partition()] = message.offset() + 1
            commit()
        consumer.close()


def through_the_port(address: str, partitions: str, history: str, stop: str) -> None:
    """An idempotent producer by confluent-kafka: what was acknowledged."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
    with Path(history).open("a") as file:

        def delivered(error: object, message: Any) -> None:
            if error is None:
                file.write(f"{time.monotonic_ns()} sent {message.partition()} {message.value().decode()}\n")

        number = 0
        while not Path(stop).exists():
            for _ in range(5):
                number += 1
                where = random.randrange(int(partitions))
                producer.produce(TOPIC, f"port-{number}", partition=where, on_delivery=delivered)
            producer.poll(0.02)
        producer.flush(60)


def beside_the_port(directory: str, partitions: str, history: str, stop: str) -> None:
    """A producer on the directory itself."""
    from pykafka_store.open import open_cluster

    with Path(history).open("a") as file, open_cluster(directory) as cluster, cluster.producer() as producer:
        number = 0
        while not Path(stop).exists():
            some = [f"beside-{number + each}" for each in range(5)]
            number += 5
            where = [random.randrange(int(partitions)) for _ in some]
            producer.send(TOPIC, [each.encode() for each in some], partitions=where)
            producer.flush()
            for partition, value in zip(where, some, strict=True):
                file.write(f"{time.monotonic_ns()} sent {partition} {value}\n")
            time.sleep(0.02)


if __name__ == "__main__":
    {each.__name__: each for each in (librdkafka, through_the_port, beside_the_port)}[sys.argv[1]](*sys.argv[2:])
