"""``pykafka serve`` killed at random instants under idempotent producers: what was acknowledged is in the log, once and
in order, for a retry after the kill is found there.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from pykafka_store.open import open_cluster
from tests.support.apache import free_port
from tests.support.console import values
from tests.support.served import PATIENCE, Served

client = pytest.importorskip("confluent_kafka")

ROUNDS = int(os.environ.get("PYKAFKA_SERVER_KILLS", "6"))
PARTITIONS = 2


class _Producing:
    """A producer that goes on until it is told to stop, and what it was told was stored."""

    def __init__(self, address: str, number: int) -> None:
        self.acknowledged: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
        self.failed: list[object] = []
        self._number = number
        self._stop = threading.Event()
        settings = {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": 1,
            "batch.num.messages": 50,
            "retry.backoff.ms": 20,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "message.timeout.ms": 0,
            "log_level": 0,
        }
        self._producer = client.Producer(settings)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        sent = 0
        while not self._stop.is_set():
            try:
                self._producer.produce(
                    "killed", b"%d %d" % (self._number, sent), partition=sent % PARTITIONS, on_delivery=self._note
                )
                sent += 1
            except BufferError:
                self._producer.poll(0.05)
            self._producer.poll(0 if sent % 5 else 0.001)

    def _note(self, error: object, message: object) -> None:
        if error is not None:
            self.failed.append(error)
            return
        value = message.value()  # type: ignore[attr-defined]
        self.acknowledged[message.partition()].append(int(value.split()[1]))  # type: ignore[attr-defined]

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        left = len(self._producer)
        while left:  # a hundred thousand at most, which take as long as the machine is busy with other things
            before, left = left, self._producer.flush(PATIENCE)
            assert left < before, f"{left} records are left, and none is acknowledged"

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * ROUNDS)
def test_no_acknowledged_record_is_lost_doubled_or_reordered(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with open_cluster(directory) as cluster:
        cluster.admin().create_topic("killed", partitions=PARTITIONS, configs={"segment.bytes": "1048576"})
    seed = int(os.environ.get("PYKAFKA_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    server = Served(directory, listen=f"127.0.0.1:{free_port()}")  # nobody else is given it while it restarts
    producers = [_Producing(server.address, number) for number in range(2)]
    try:
        for _ in range(ROUNDS):
            before = [each.count for each in producers]
            deadline = time.monotonic() + PATIENCE
            while any(each.count <= was for each, was in zip(producers, before, strict=True)):
                assert time.monotonic() < deadline, f"nothing is acknowledged (seed {seed})"
                time.sleep(0.005)  # until it works again: a state that is waited for, with a deadline
            time.sleep(chance.random() * 0.2)  # no synchronisation: the instant of the kill is what is random
            server.stop(signal.SIGKILL)
            server = Served(directory, listen=server.address)
        for each in producers:
            each.end()
        assert server.stop()[0] == 143
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
    for partition in range(PARTITIONS):
        stored = [tuple(map(int, (value or b"").split())) for value in values(directory, "killed", [partition])]
        for number, each in enumerate(producers):
            assert each.failed == []
            mine = [sent for owner, sent in stored if owner == number]
            assert mine == each.acknowledged[partition], f"seed {seed}, producer {number}, partition {partition}"
