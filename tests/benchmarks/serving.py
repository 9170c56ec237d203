"""The rows of ``pykafka serve``: its start, its idle clients, its memory, what goes in and comes out, and how soon."""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pykafka_store.open import open_cluster
from tests.benchmarks.run import Row, Run, cpu_of, in_turns, make_lines, run
from tests.support import apache
from tests.support.frames import connect, receive
from tests.support.served import Served

CLIENTS = 100
IN_STEP_AFTER, IDLE_FOR = 10.0, 20.0
MANY_TOPICS, MANY_PARTITIONS = 1000, 10
LINES = 1_000_000


def rows(work: Path, rounds: int) -> list[Row]:
    return [*_start(work, rounds), *_idle(work), *_latency(work), *_metadata(work, rounds), *_kcat(work, rounds)]


@contextmanager
def _served(directory: Path) -> Iterator[Served]:
    before = os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # see run()
    try:
        server = Served(directory)
    finally:
        if before is not None:
            os.environ["PYTHONDONTWRITEBYTECODE"] = before
    with server:
        yield server


def _memory(pid: int) -> float:
    """MiB that the process has had resident at most."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _start(work: Path, rounds: int) -> list[Row]:
    """From the command to the answer of the first request."""

    def start() -> Run:
        began = time.perf_counter()
        with _served(work / "start") as server, connect(server.address) as client:
            client.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
            receive(client)
            return Run(time.perf_counter() - began, cpu_of(server.process.pid), 0)

    start()
    ours, bare = in_turns(3 * rounds, start, lambda: run([sys.executable, "-c", "pass"]))
    ratio = ours.seconds / bare.seconds
    measured = f"{ratio:.1f} × ({ours.seconds * 1000:.0f} ms against {bare.seconds * 1000:.0f} ms"
    measured += f"; CPU {ours.cpu / bare.cpu:.1f} ×)"
    reach = "300 ms, and 12 × `python -c pass`"
    return [Row("`pykafka serve`: start → first answer", reach, measured, ratio <= 12 and ours.seconds <= 0.3)]


def _fetch(topic: bytes, number: int, at: int, wait: int) -> bytes:
    """A Fetch of version 4 for the topic's first partition."""
    body = struct.pack(">hhih", 1, 4, number, -1) + struct.pack(">iiiib", -1, wait, 1, 50 << 20, 0)
    body += struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">iiqi", 1, 0, at, 1 << 20)
    return struct.pack(">i", len(body)) + body


def _idle(work: Path) -> list[Row]:
    """Clients that wait for records, as a hundred consumers with nothing to do, once their polls are in step."""
    with open_cluster(work / "idle") as cluster:
        cluster.admin().create_topic("idle")
    with _served(work / "idle") as server, select.epoll() as waiting:
        clients: dict[int, socket.socket] = {}
        number = 0
        for _ in range(CLIENTS):
            client = connect(server.address)
            clients[client.fileno()] = client
            waiting.register(client.fileno(), select.EPOLLIN)
            client.sendall(_fetch(b"idle", number, 0, 500))
            time.sleep(0.005)
        began = measured = 0.0
        start = time.perf_counter()
        while not began or time.perf_counter() - began < IDLE_FOR:
            for descriptor, _ in waiting.poll(0.1):
                receive(clients[descriptor])
                number += 1
                clients[descriptor].sendall(_fetch(b"idle", number, 0, 500))
            if not began and time.perf_counter() - start > IN_STEP_AFTER:
                began, measured = time.perf_counter(), cpu_of(server.process.pid)
        share = (cpu_of(server.process.pid) - measured) / (time.perf_counter() - began)
        resident = _memory(server.process.pid)
        for client in clients.values():
            client.close()
    return [
        Row("its idle hundred clients (polls of 500 ms)", "0.5 % of a core", f"{share:.2%}", share <= 0.005),
        Row("its resident memory with a hundred clients", "64 MiB", f"{resident:.0f} MiB", resident <= 64),
    ]


def _latency(work: Path) -> list[Row]:
    """From the return of an append by another process to a client's poll that has it."""
    with open_cluster(work / "latency") as cluster:
        cluster.admin().create_topic("soon")
        with _served(work / "latency") as server, connect(server.address) as client:
            arrived: list[float] = []

            def poll() -> None:
                for at in range(400):
                    client.sendall(_fetch(b"soon", at, at, 30_000))
                    receive(client)
                    arrived.append(time.perf_counter())

            poller = threading.Thread(target=poll, daemon=True)
            poller.start()
            sent = []
            with cluster.producer() as producer:
                for number in range(400):
                    time.sleep(0.005 + 0.0001 * (number * 37 % 200))
                    producer.send("soon", [b"%d" % number])
                    producer.flush()
                    sent.append(time.perf_counter())
                    while len(arrived) <= number:
                        time.sleep(0.0005)
            poller.join()
    delays = sorted(max(0.0, seen - at) * 1000 for seen, at in zip(arrived, sent, strict=True))
    p99, median = delays[int(len(delays) * 0.99)], delays[len(delays) // 2]
    return [
        Row("append by a command → a client's poll, p99", "10 ms", f"{p99:.1f} ms (median {median:.1f})", p99 <= 10)
    ]


def _metadata(work: Path, rounds: int) -> list[Row]:
    """Metadata of all topics, asked anew after a change each time, as clients do."""
    with open_cluster(work / "many") as cluster:
        admin = cluster.admin()
        for number in range(MANY_TOPICS):
            admin.create_topic(f"topic-{number}", partitions=MANY_PARTITIONS)
        with _served(work / "many") as server, connect(server.address) as client:
            best = float("inf")
            for number in range(rounds):
                admin.create_topic(f"more-{number}")
                before = time.perf_counter()
                client.sendall(struct.pack(">ihhihi", 14, 3, 1, number, -1, -1))
                answer = receive(client)
                assert answer is not None and len(answer) > MANY_TOPICS * MANY_PARTITIONS * 20
                best = min(best, time.perf_counter() - before)
    what = f"Metadata of {MANY_TOPICS:,} topics with {MANY_TOPICS * MANY_PARTITIONS:,} partitions"
    return [Row(what, "1 s", f"{best:.2f} s", best <= 1)]


def _kcat(work: Path, rounds: int) -> list[Row]:
    """kcat's million lines: in, against librdkafka's own mock broker; out, against a real one."""
    kcat = shutil.which("kcat")
    if kcat is None:
        return [Row("kcat through the port", "1.2 × its mock broker", "not measured: kcat is not installed", None)]
    lines = make_lines(work / "million", LINES)
    topics = (f"in-{number}" for number in range(1_000_000))
    why = apache.available()

    def into(*words: str) -> Run:
        return run([kcat, "-P", *words, "-t", next(topics), "-l", str(lines)])

    def out(address: str, topic: str) -> Run:
        return run([kcat, "-C", "-b", address, "-t", topic, "-o", "beginning", "-e", "-q"], pipe=True)

    with _served(work / "kcat") as server:
        cpu = cpu_of(server.process.pid)
        ours, mock = in_turns(
            rounds, partial(into, "-b", server.address), partial(into, "-X", "test.mock.num.brokers=1", "-b", "mock")
        )
        cpu = (cpu_of(server.process.pid) - cpu) / rounds
        ratio = ours.seconds / mock.seconds
        work_of_both = (ours.cpu + cpu) / mock.cpu
        measured = f"{ratio:.2f} × ({ours.seconds:.2f} s against {mock.seconds:.2f} s; CPU of kcat and broker "
        measured += f"{work_of_both:.2f} ×, the server's {cpu:.2f} s)"
        found = [Row("kcat → the port, 1,000,000 lines of 82 bytes", "1.2 × its mock broker", measured, ratio <= 1.2)]
        topic = next(topics)
        run([kcat, "-P", "-b", server.address, "-t", topic, "-l", str(lines)])
        if why is not None:
            return [*found, Row("kcat ← the port", "1.0 × a real broker", f"not measured: {why}", None)]
        with apache.Broker() as broker:
            run([kcat, "-P", "-b", broker.bootstrap, "-t", topic, "-l", str(lines)])
            cpu = cpu_of(server.process.pid)
            ours, real = in_turns(rounds, partial(out, server.address, topic), partial(out, broker.bootstrap, topic))
            cpu = (cpu_of(server.process.pid) - cpu) / rounds
    ratio = ours.seconds / real.seconds
    measured = f"{ratio:.2f} × ({ours.seconds:.2f} s against {real.seconds:.2f} s; the server's CPU {cpu:.2f} s)"
    return [*found, Row("kcat ← the port, 1,000,000 lines of 82 bytes", "1.0 × a real broker", measured, ratio <= 1.0)]
