"""The rows of many: partitions of one group, groups of one directory, and consumers that all start at once."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.groups.membership import Change, Member, MemberSettings, Subscribed
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.benchmarks.run import Row, in_turns, run, tool

REBALANCE, DESCRIBED = 63, 88
"""What is to be reached, in starts of Python: 0.5 s and 0.7 s on a machine where one takes 8 ms."""

PATIENCE = 300.0
"""Seconds that a crowd may take to be where it is waited for."""


# ----------------------------------------------------------------------------------------------------------- rebalance


def rebalance(work: Path, rounds: int) -> list[Row]:
    """A fourth member joins three that share 10,000 partitions: the CPU of all four, till each has its own.

    It is what the group does; that each partition is opened and read by whoever takes it comes on top. Names are
    sorted, and no start of a process is in it: so ten times as many may take 14 times as long.
    """
    many, few = 10_000, 1_000
    rounds = min(rounds, 3)
    (bare,) = in_turns(5 * rounds, lambda: run([sys.executable, "-c", "pass"]))
    rows = []
    for assignor in ("range", "uniform", "cooperative-sticky"):
        found = {
            count: min(_rebalance(work / f"{assignor}-{count}-{number}", assignor, count) for number in range(rounds))
            for count in (few, many)
        }
        ratio, growth = found[many] / bare.cpu, found[many] / found[few]
        measured = f"{ratio:.0f} × ({found[many]:.2f} s), {growth:.1f} × that of 1,000"
        what = f"a fourth member joins a group with 10,000 partitions, {assignor}: CPU of all four"
        reach = f"{REBALANCE} × `python -c pass`, 14 × 1,000 partitions"
        rows.append(Row(what, reach, measured, ratio <= REBALANCE and growth <= 14))
    return rows


def _rebalance(directory: Path, assignor: str, partitions: int) -> float:
    with ExitStack() as stack:
        members = []
        for _ in range(4):
            cluster = stack.enter_context(EmbeddedCluster(str(directory)))
            settings = MemberSettings("g", "c", None, "classic", (assignor,), 60.0, 60.0, 60.0)
            members.append(Member(cluster.engine, settings))
            stack.callback(members[-1].leave)
        cluster.admin().create_topic("t", partitions=partitions)
        for member in members[:3]:
            member.join(Subscribed(("t",), None))
            _settle(members[:3])
        began = time.process_time()
        members[3].join(Subscribed(("t",), None))
        _settle(members)
        took = time.process_time() - began
        owned = [len(member.owned) for member in members]
        assert sum(owned) == partitions
        assert max(owned) - min(owned) <= 1, owned
        return took


def _settle(members: list[Member]) -> None:
    """Have each look around and do as it is told, until none has anything left to do."""
    joined = [member for member in members if member.member_id is not None]
    while not all(member.settled for member in joined):
        for member in joined:
            member.hurry()
            while (change := member.look_at_group()) != Change():
                member.give_up(change.to_revoke)


# ---------------------------------------------------------------------------------------------------------- description


def described(work: Path, rounds: int) -> list[Row]:
    """`kafka-consumer-groups --describe --all-groups` over 2,000 groups that have committed."""
    many, few = 2_000, 200
    for count in (few, many):
        with EmbeddedCluster(str(work / str(count))) as cluster:
            admin = cluster.admin()
            admin.create_topic("t")
            for number in range(count):
                admin.alter_group_offsets(f"g{number}", {TopicPartition("t", 0): 0})
    words = ("--describe", "--all-groups")
    small, large, bare = in_turns(
        rounds,
        lambda: run([tool("kafka-consumer-groups"), "--data-dir", str(work / str(few)), *words]),
        lambda: run([tool("kafka-consumer-groups"), "--data-dir", str(work / str(many)), *words]),
        lambda: run([sys.executable, "-c", "pass"]),
    )
    ratio, growth = large.seconds / bare.seconds, large.seconds / small.seconds
    measured = f"{ratio:.0f} × ({large.seconds:.2f} s, CPU {large.cpu:.2f} s), {growth:.1f} × that of 200"
    reach = f"{DESCRIBED} × `python -c pass`, 11 × 200 groups"
    return [Row("2,000 groups described, whole process", reach, measured, ratio <= DESCRIBED and growth <= 11)]


# ---------------------------------------------------------------------------------------------------------- all at once


def joining(work: Path, _rounds: int) -> list[Row]:
    """50 producers and 50 consumers of a group, started at once on the 64 partitions of a new directory."""
    each, partitions, lines = 50, 64, 640
    directory = str(work / "crowd")
    run([tool("kafka-topics"), "--data-dir", directory, "--create", "--topic", "t", "--partitions", str(partitions)])
    files = [work / f"lines-{number}" for number in range(each)]
    for number, file in enumerate(files):
        file.write_text("".join(f"k{number}-{line}\t{number}-{line}\n" for line in range(lines)))

    def start(name: str, *words: str, stdin: Path | None = None, stdout: Path | None = None) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            sink = stack.enter_context(stdout.open("wb")) if stdout else subprocess.DEVNULL
            command = [tool(name), "--data-dir", directory, "--topic", "t", *words]
            return subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.DEVNULL)

    outputs = [work / f"read-{number}" for number in range(each)]
    began = time.perf_counter()
    crowd = [
        (
            start("kafka-console-producer", "--reader-property", "parse.key=true", stdin=file),
            start("kafka-console-consumer", "--group", "g", "--from-beginning", stdout=output),
        )
        for file, output in zip(files, outputs, strict=True)
    ]
    failed = sum(bool(producer.wait()) for producer, _ in crowd)
    with open_cluster(directory) as cluster:
        admin = cluster.admin()

        def spread() -> list[int]:
            return sorted(len(member.assignment) for member in admin.describe_group("g").members)

        wanted = [partitions // each] * (each - partitions % each) + [partitions // each + 1] * (partitions % each)
        _until(lambda: spread() == wanted)
        joined = time.perf_counter() - began
        before = [output.stat().st_size for output in outputs]
        with cluster.producer() as producer:  # what comes when all have joined
            producer.send("t", [b"late"] * partitions, partitions=list(range(partitions)))
        _until(lambda: all(output.stat().st_size > size for output, size in zip(outputs, before, strict=True)))
        _until(lambda: sum(output.read_bytes().count(b"\n") for output in outputs) >= each * lines + partitions)
    for _, consumer in crowd:
        consumer.send_signal(signal.SIGINT)
    failed += sum(consumer.wait() != 128 + signal.SIGINT for _, consumer in crowd)
    values = list(itertools.chain.from_iterable(output.read_text().split() for output in outputs))
    once = {f"{number}-{line}" for number in range(each) for line in range(lines)}
    good = not failed and sorted(values) == sorted([*once, *["late"] * partitions])
    what = f"{each} producers and {each} consumers of a group at once, {partitions} partitions of a new directory"
    measured = f"{'each record once' if good else json.dumps([failed, len(values)])}, shared out after {joined:.1f} s"
    return [Row(what, "each record once, the late ones by all", measured, good)]


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
