"""Sends three orders, and reads them as a member of a group. confluent-kafka; the address is in the environment."""

import os

from confluent_kafka import Consumer, Producer

settings = {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}


def send(*orders: str) -> None:
    producer = Producer(settings)
    for order in orders:
        producer.produce("orders", order.encode())
    if producer.flush(30):
        raise SystemExit("the orders could not be sent")


def receive(count: int) -> list[str]:
    consumer = Consumer(settings | {"group.id": "billing", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    received = consumer.consume(count, timeout=30)
    consumer.close()
    return [(message.value() or b"").decode() for message in received]


if __name__ == "__main__":
    send("tea", "milk", "bread")
    print(*receive(3))
