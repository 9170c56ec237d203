"""Measure what is promised of consumer groups: `python tests/benchmarks/groups.py`.

Times are those that a user sees: from a signal or a start to a record. Members are processes, but for the many that are
only described. The median and the worst of the rounds are told; `--rounds N` changes how many there are.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pykafka_store.api import Cluster
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.open import open_cluster
from tests.benchmarks.run import cpu_of
from tests.groups.fleet import Fleet, Member

LIMIT = 20.0


class Row(NamedTuple):
    what: str
    reach: str
    measured: str
    good: bool


@contextmanager
def workspace() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pykafka-groups-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def fleet_of(directory: Path, partitions: int) -> Iterator[tuple[Fleet, Cluster]]:
    with open_cluster(str(directory)) as cluster, Fleet(directory) as fleet:
        cluster.admin().create_topic("t", partitions=partitions)
        yield fleet, cluster


def shared(fleet: Fleet, partitions: int) -> None:
    fleet.until(
        lambda: (
            sum(len(member.owned) for member in fleet.alive) == partitions
            and all(member.of("assigned") for member in fleet.alive)
            and max(len(m.owned) for m in fleet.alive) - min(len(m.owned) for m in fleet.alive) <= 1
        ),
        "the partitions are shared out",
        LIMIT,
    )


def spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"median {ordered[len(ordered) // 2] * 1000:.0f} ms, worst {ordered[-1] * 1000:.0f} ms"


def row_kill(rounds: int) -> list[Row]:
    """kill -9 of one of four members, while a record a millisecond goes to each of its partitions' topic."""
    times = []
    with workspace() as work, fleet_of(work / "data", 8) as (fleet, cluster), cluster.producer() as producer:
        for _ in range(rounds):
            while len(fleet.alive) < 4:
                fleet.start("t")
            shared(fleet, 8)
            victim = fleet.alive[0]
            orphans = set(victim.owned)
            killed = victim.kill()

            def first(member: Member, orphans: set[tuple[str, int]] = orphans, killed: float = killed) -> list[float]:
                return [run.at for run in member.delivered if run.partition in orphans and run.at > killed]

            while not (found := [at for member in fleet.alive if member is not victim for at in first(member)]):
                producer.send("t", [b"x"] * 8, partitions=list(range(8)))
                producer.flush()
                fleet.listen(0.001)
                assert time.monotonic() < killed + LIMIT
            times.append(min(found) - killed)
    return [Row("kill -9 → first record of its partitions elsewhere", "1 s", spread(times), max(times) <= 1)]


def row_start(rounds: int) -> list[Row]:
    """From the start of a consumer to its first record: alone, in an empty group, and in a quiet group of three."""
    alone, empty, quiet = [], [], []

    def first_record(fleet: Fleet, cluster: Cluster, **more: object) -> float:
        started = time.monotonic()
        member = fleet.start("t", **more)  # type: ignore[arg-type]
        with cluster.producer() as producer:
            while not member.delivered:
                producer.send("t", [b"x"] * 8, partitions=list(range(8)))
                producer.flush()
                fleet.listen(0.001)
                assert time.monotonic() < started + LIMIT
        member.kill()
        fleet.until(lambda: not member.alive, "it is gone", LIMIT)
        return member.delivered[0].at - started

    with workspace() as work, fleet_of(work / "data", 8) as (fleet, cluster):
        for _ in range(rounds):
            alone.append(first_record(fleet, cluster, config={"group.id": None}))
            empty.append(first_record(fleet, cluster, config={"group.id": "empty"}))
        for _ in range(3):
            fleet.start("t")
        shared(fleet, 8)
        for _ in range(rounds):
            quiet.append(first_record(fleet, cluster))
            shared(fleet, 8)
    base = sorted(alone)[len(alone) // 2]
    return [
        Row(
            f"start → first record, over a consumer without a group ({base * 1000:.0f} ms): {where}",
            "250 ms",
            spread([each - base for each in times]),
            sorted(times)[len(times) // 2] - base <= 0.25,
        )
        for where, times in (("the group's first", empty), ("the fourth of a quiet group", quiet))
    ]


def row_freeze(rounds: int) -> list[Row]:
    """From SIGSTOP to the first record elsewhere, with session.timeout.ms=1000."""
    config = {"session.timeout.ms": "1000", "heartbeat.interval.ms": "100"}
    times = []
    with workspace() as work, fleet_of(work / "data", 4) as (fleet, cluster), cluster.producer() as producer:
        members = [fleet.start("t", config=config) for _ in range(2)]
        for _ in range(min(rounds, 5)):
            shared(fleet, 4)
            other = members[1]
            frozen = members[0].freeze()
            orphans = set(members[0].owned)
            while not (found := [r.at for r in other.delivered if r.partition in orphans and r.at > frozen]):
                producer.send("t", [b"x"] * 4, partitions=list(range(4)))
                producer.flush()
                fleet.listen(0.01)
                assert time.monotonic() < frozen + LIMIT
            times.append(found[0] - frozen)
            members[0].thaw()
            fleet.until(lambda: members[0].of("lost"), "it knows", LIMIT)
            members[0].events.clear()
            fleet.until(lambda: members[0].of("assigned"), "it is back", LIMIT)
    return [Row("SIGSTOP → first record elsewhere, session.timeout.ms=1000", "2 s", spread(times), max(times) <= 2)]


def row_describe(rounds: int) -> list[Row]:
    """100 groups of 10 members on 20 partitions, each member over a cluster of its own."""
    groups, each, partitions = 100, 10, 20
    times = []
    with workspace() as work, ExitStack() as stack:
        directory = str(work / "data")
        cluster = stack.enter_context(EmbeddedCluster(directory))
        cluster.admin().create_topic("t", partitions=partitions)
        quiet = {"heartbeat.interval.ms": "3000"}
        consumers = [
            stack.enter_context(EmbeddedCluster(directory)).consumer({"group.id": f"g{number:03}", **quiet})
            for number in range(groups)
            for _ in range(each)
        ]
        stack.callback(lambda: [consumer.close() for consumer in consumers])
        for consumer in consumers:
            consumer.subscribe(["t"])
        for _ in range(4):
            for consumer in consumers:
                consumer.poll(0)
        for _ in range(rounds):
            start = time.monotonic()
            with EmbeddedCluster(directory) as fresh:
                admin = fresh.admin()
                found = [admin.describe_group(listed.group_id) for listed in admin.list_groups()]
                offsets = [admin.group_offsets(described.group_id) for described in found]
            times.append(time.monotonic() - start)
        assert len(offsets) == groups
        assert all(len(described.members) == each for described in found)
        assert all(sum(len(m.assignment) for m in d.members) == partitions for d in found), "not shared out yet"
    what = f"list and describe {groups} groups of {each} members, with offsets"
    return [Row(what, "1 s", spread(times), sorted(times)[len(times) // 2] <= 1)]


def row_idle(_rounds: int) -> list[Row]:
    """Members with nothing to read, in a group of ten that nothing happens to."""
    seconds = 10.0
    with workspace() as work, fleet_of(work / "data", 20) as (fleet, _):
        for _ in range(10):
            fleet.start("t", poll=1.0)
        shared(fleet, 20)
        fleet.listen(1.0)
        before = {member: cpu_of(member.pid) for member in fleet.alive}
        fleet.listen(seconds)
        shares = sorted((cpu_of(member.pid) - used) / seconds for member, used in before.items())
    measured = f"median {shares[len(shares) // 2]:.2%}, most {shares[-1]:.2%}"
    return [Row("an idle member of a group of ten", "1 % of a core", measured, shares[-1] < 0.01)]


ROWS: dict[str, Callable[[int], list[Row]]] = {
    "kill": row_kill,
    "start": row_start,
    "freeze": row_freeze,
    "describe": row_describe,
    "idle": row_idle,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="which, by commas: " + ", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    good = True
    print("| what | reach | measured |\n| --- | --- | --- |")
    for name in options.rows.split(","):
        for row in ROWS[name](options.rounds):
            mark = "" if row.good else " **missed**"
            print(f"| {row.what} | {row.reach} | {row.measured}{mark} |", flush=True)
            good = good and row.good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
