"""aiokafka against ``pykafka serve``."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.served import PATIENCE, Served

aiokafka = pytest.importorskip("aiokafka")


async def _round(address: str) -> list[bytes]:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True)
    await producer.start()
    for number in range(50):
        await producer.send("async", b"%d" % number, partition=0)
    await producer.stop()
    consumer = aiokafka.AIOKafkaConsumer(
        "async", bootstrap_servers=address, group_id="async", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(50)]
    finally:
        await consumer.stop()


def test_records_go_in_and_come_out_of_a_group(served: Served) -> None:
    assert asyncio.run(asyncio.wait_for(_round(served.address), PATIENCE)) == [b"%d" % n for n in range(50)]
