"""What a group promises to processes that start, stop, freeze and are killed. Every member here is a real process.

How long something takes is printed and compared with a deadline that is generous for a busy machine, and far below the
session timeout that must not be waited for; tests/benchmarks/groups.py measures it on a quiet one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pykafka_store.api import Cluster
from pykafka_store.errors import (
    GroupNotEmptyError,
    GroupSubscribedToTopicError,
    UnknownMemberIdError,
)
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.crash.forks import Forks
from tests.groups.fleet import Fleet, Member, Partition
from tests.store.helpers import AT_ONCE

SOON = 15.0
"""Seconds: a third of the session timeout."""

SHORT = {"session.timeout.ms": "4000", "heartbeat.interval.ms": "100"}
"""Waited for, and longer than a busy machine stands still: who is expired has to be who was frozen."""


def produce(cluster: Cluster, topic: str, values: Sequence[str], *, partition: int | None = None) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send(topic, [value.encode() for value in values], partitions=partition)


def partitions(topic: str, count: int) -> set[Partition]:
    return {(topic, number) for number in range(count)}


def settled(fleet: Fleet, *members: Member, owning: set[Partition]) -> float:
    """Wait until these members own these partitions between them, as evenly as can be."""

    def even() -> bool:
        counts = [len(member.owned) for member in members]
        together = set().union(*(member.owned for member in members))
        return together == owning and sum(counts) == len(owning) and max(counts) - min(counts) <= 1

    return fleet.until(even, f"{list(members)} share {len(owning)} partitions evenly")


def committed(cluster: Cluster, group: str = "g") -> dict[Partition, int]:
    return {tuple(each): found.offset for each, found in cluster.admin().group_offsets(group).items()}  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------ killed, stopped


def test_a_killed_members_partitions_are_read_elsewhere_at_once(fleet: Fleet, cluster: Cluster) -> None:
    """kill -9: the kernel drops its lock, and no session timeout (here Kafka's 45 s) is waited for."""
    cluster.admin().create_topic("t", partitions=4)
    members = [fleet.start("t", values=True) for _ in range(2)]
    settled(fleet, *members, owning=partitions("t", 4))
    victim, other = members
    orphan = min(victim.owned)
    killed = victim.kill()
    produce(cluster, "t", ["after"], partition=orphan[1])
    fleet.until(lambda: "after" in other.values, "the other reads it", SOON)
    took = next(run.at for run in other.delivered if "after" in run.values) - killed
    print(f"kill -9 to the first record elsewhere: {took * 1000:.0f} ms")
    settled(fleet, other, owning=partitions("t", 4))


@pytest.mark.parametrize("stop", ["close", "terminate"])
def test_a_member_that_leaves_hands_over_at_once(fleet: Fleet, cluster: Cluster, stop: str) -> None:
    """And what it had read is committed: nothing comes twice."""
    cluster.admin().create_topic("t", partitions=2)
    members = [fleet.start("t", values=True) for _ in range(2)]
    settled(fleet, *members, owning=partitions("t", 2))
    for number in range(2):
        produce(cluster, "t", [f"{number}-{n}" for n in range(100)], partition=number)
    fleet.until(lambda: sum(len(member.values) for member in members) == 200, "all is read")
    leaving, other = members
    asked = time.monotonic()
    getattr(leaving, stop)()
    fleet.until(lambda: len(other.owned) == 2, "the other owns all", SOON)
    took = other.of("assigned")[-1].at - asked
    print(f"{stop} to assigned elsewhere: {took * 1000:.0f} ms")
    fleet.until(lambda: not leaving.alive, "it ends")
    assert leaving.of("closed")
    produce(cluster, "t", ["after"], partition=0)
    produce(cluster, "t", ["after"], partition=1)
    fleet.until(lambda: other.values.count("after") == 2, "the other reads on")
    assert max(Counter(leaving.values + other.values).values()) == 2  # only "after", once a partition


def test_a_new_member_gets_its_first_record_soon(fleet: Fleet, cluster: Cluster) -> None:
    """Of a quiet group that owned everything before."""
    cluster.admin().create_topic("t", partitions=2)
    first = fleet.start("t")
    settled(fleet, first, owning=partitions("t", 2))
    started = time.monotonic()
    second = fleet.start("t", values=True)
    for number in range(2):
        produce(cluster, "t", ["new"], partition=number)
    took = fleet.until(lambda: second.values or len(second.owned) == 1, "it owns one", SOON)
    settled(fleet, first, second, owning=partitions("t", 2))
    produce(cluster, "t", ["newer"], partition=next(iter(second.owned))[1])
    fleet.until(lambda: "newer" in second.values, "it reads", SOON)
    print(f"start to owning: {second.of('assigned')[-1].at - started:.3f} s (seen after {took:.3f})")


def test_nothing_is_left_of_processes_that_were_killed(fleet: Fleet, cluster: Cluster) -> None:
    """Neither while others are there to see it, nor when all are gone."""
    cluster.admin().create_topic("t", partitions=6)
    members = [fleet.start("t") for _ in range(6)]
    settled(fleet, *members, owning=partitions("t", 6))
    (leases,) = (fleet.directory / "groups").iterdir()
    for member in members[:3]:
        member.kill()
    settled(fleet, *members[3:], owning=partitions("t", 6))
    assert len(list(leases.iterdir())) == 3
    for member in members[3:]:
        member.kill()
    fleet.until(lambda: not fleet.alive, "all are gone")
    found = cluster.admin().describe_group("g")
    assert (found.state, found.members) == ("Empty", ())
    assert list(leases.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------- frozen


def test_a_frozen_member_is_expired_and_can_commit_nothing_when_it_wakes(fleet: Fleet, cluster: Cluster) -> None:
    """SIGSTOP: it holds its locks and does not beat. What others committed meanwhile stands."""
    cluster.admin().create_topic("t", partitions=2)
    config = {**SHORT, "enable.auto.commit": "false"}
    frozen, other = fleet.start("t", config=config), fleet.start("t", config=SHORT | {"auto.commit.interval.ms": "50"})
    settled(fleet, frozen, other, owning=partitions("t", 2))
    topic, number = min(frozen.owned)
    produce(cluster, "t", list("abcde"), partition=number)
    fleet.until(lambda: frozen.delivered, "it has read something")
    assert frozen.ask("commit", [[[topic, number], 1]]) is None
    frozen.ask("hold")  # in the middle of a batch
    frozen.freeze()
    took = fleet.until(lambda: len(other.owned) == 2, "the other takes over")
    print(f"SIGSTOP to taken over with session.timeout.ms=4000: {took:.2f} s")
    fleet.until(lambda: committed(cluster)[topic, number] == 5, "the other reads and commits")
    produce(cluster, "t", list("fgh"), partition=number)
    fleet.until(lambda: committed(cluster)[topic, number] == 8, "and goes on")

    thawed = frozen.thaw()
    assert frozen.ask("commit") == "UnknownMemberIdError"
    assert frozen.ask("commit", [[[topic, number], 3]]) == "UnknownMemberIdError"
    assert committed(cluster)[topic, number] == 8
    frozen.ask("go on")
    fleet.until(lambda: frozen.of("lost"), "it learns that it lost them")
    assert [topic, number] in frozen.of("lost")[0].data
    assert committed(cluster)[topic, number] == 8
    settled(fleet, frozen, other, owning=partitions("t", 2))
    print(f"SIGCONT to sharing again: {max(m.of('assigned')[-1].at for m in (frozen, other)) - thawed:.2f} s")
    again = [run for run in frozen.delivered if run.at > thawed and run.partition == (topic, number)]
    assert all(run.first >= 8 for run in again)


def test_a_member_that_is_busy_for_too_long_is_fenced_in_commit_itself(fleet: Fleet, cluster: Cluster) -> None:
    """max.poll.interval.ms: its heart goes on, and yet it counts as dead."""
    cluster.admin().create_topic("t", partitions=2)
    config = {**SHORT, "max.poll.interval.ms": "2500", "enable.auto.commit": "false"}
    busy, other = fleet.start("t", config=config), fleet.start("t", config=SHORT)
    settled(fleet, busy, other, owning=partitions("t", 2))
    topic, number = min(busy.owned)
    produce(cluster, "t", list("abc"), partition=number)
    fleet.until(lambda: busy.delivered, "it has read something")
    busy.ask("hold")
    fleet.until(lambda: len(other.owned) == 2, "the other takes over")
    assert busy.ask("commit") == "UnknownMemberIdError"
    assert busy.ask("commit", [[[topic, number], 2]]) == "UnknownMemberIdError"
    busy.ask("go on")
    fleet.until(lambda: busy.of("lost"), "it learns that it lost them")
    settled(fleet, busy, other, owning=partitions("t", 2))


def test_a_short_freeze_changes_nothing(fleet: Fleet, cluster: Cluster) -> None:
    """Ctrl-Z and fg within the session: no partition moves, and nothing comes twice."""
    cluster.admin().create_topic("t", partitions=2)
    members = [fleet.start("t", values=True, config={"session.timeout.ms": "20000"}) for _ in range(2)]
    settled(fleet, *members, owning=partitions("t", 2))
    epoch = cluster.admin().describe_group("g").epoch
    told = [len(member.of("revoked", "lost")) for member in members]
    members[0].freeze()
    produce(cluster, "t", ["a"], partition=0)
    produce(cluster, "t", ["b"], partition=1)
    fleet.until(lambda: members[1].values, "the other reads on")
    members[0].thaw()
    fleet.until(lambda: members[0].values, "it goes on")
    assert sorted(members[0].values + members[1].values) == ["a", "b"]
    assert cluster.admin().describe_group("g").epoch == epoch
    assert [len(member.of("revoked", "lost")) for member in members] == told


def test_a_group_whose_members_are_all_frozen_is_alive(fleet: Fleet, cluster: Cluster) -> None:
    """Nobody watched them: they may wake and go on, so nothing of theirs may be changed."""
    cluster.admin().create_topic("t")
    member = fleet.start("t")
    settled(fleet, member, owning=partitions("t", 1))
    member.freeze()
    with pytest.raises(GroupNotEmptyError):
        cluster.admin().delete_group("g")
    with pytest.raises(UnknownMemberIdError):
        cluster.admin().alter_group_offsets("g", {TopicPartition("t", 0): 3})
    member.thaw()
    produce(cluster, "t", ["a"])
    fleet.until(lambda: member.delivered, "it reads on")


# ----------------------------------------------------------------------------------------------------- administration


def test_a_live_group_can_not_be_reset_or_deleted(fleet: Fleet, cluster: Cluster) -> None:
    """Kafka's errors, and nothing changed."""
    admin = cluster.admin()
    admin.create_topic("t", partitions=2)
    admin.create_topic("elsewhere")
    produce(cluster, "t", list("abc"), partition=0)
    admin.alter_group_offsets("g", {TopicPartition("elsewhere", 0): 0})
    member = fleet.start("t", config={"auto.commit.interval.ms": "50"})
    fleet.until(lambda: committed(cluster).get(("t", 0)) == 3, "it commits")
    before = admin.group_offsets("g"), admin.describe_group("g")
    with pytest.raises(UnknownMemberIdError):
        admin.alter_group_offsets("g", {TopicPartition("t", 0): 0, TopicPartition("elsewhere", 0): 0})
    with pytest.raises(GroupNotEmptyError):
        admin.delete_group("g")
    answers = admin.delete_group_offsets("g", [TopicPartition("t", 0), TopicPartition("t", 1)])
    assert {type(answer) for answer in answers.values()} == {GroupSubscribedToTopicError}
    assert (admin.group_offsets("g"), admin.describe_group("g")) == before
    # What it does not subscribe to may go, even so.
    assert admin.delete_group_offsets("g", [TopicPartition("elsewhere", 0)]) == {TopicPartition("elsewhere", 0): None}
    assert ("elsewhere", 0) not in committed(cluster)
    member.close()
    fleet.until(lambda: not member.alive, "it ends")
    admin.alter_group_offsets("g", {TopicPartition("t", 0): 1})
    admin.delete_group("g")
    assert admin.list_groups() == []


def test_a_reset_group_reads_again_from_there(fleet: Fleet, cluster: Cluster) -> None:
    cluster.admin().create_topic("t")
    produce(cluster, "t", list("abcde"))
    first = fleet.start("t", values=True)
    fleet.until(lambda: len(first.values) == 5, "all is read")
    first.kill()  # describing or resetting a group with a dead member needs no patience
    fleet.until(lambda: not first.alive, "it is gone")
    cluster.admin().alter_group_offsets("g", {TopicPartition("t", 0): 3})
    second = fleet.start("t", values=True)
    fleet.until(lambda: len(second.values) == 2, "the rest is read")
    assert second.values == ["d", "e"]


# --------------------------------------------------------------------------------------- the patterns


@pytest.mark.parametrize(("topics", "consumers"), [(3, 3), (3, 5), (4, 2)], ids=["N", "N+X", "N-Z"])
def test_one_producer_with_n_topics(fleet: Fleet, cluster: Cluster, topics: int, consumers: int) -> None:
    """As many consumers as topics, more, and fewer: every record is read once, and nobody has two more than another."""
    names = [f"t{number}" for number in range(topics)]
    for name in names:
        cluster.admin().create_topic(name)
    config = {"partition.assignment.strategy": "RoundRobinAssignor"}
    members = [fleet.start(*names, values=True, config=config) for _ in range(consumers)]
    settled(fleet, *members, owning={(name, 0) for name in names})
    assert sum(not member.owned for member in members) == max(0, consumers - topics)
    sent = [f"{name}-{number}" for number in range(50) for name in names]
    with cluster.producer(AT_ONCE) as producer:
        for value in sent:
            producer.send(value.partition("-")[0], [value.encode()])
    fleet.until(lambda: sum(len(member.values) for member in members) >= len(sent), "all is read")
    assert sorted(value for member in members for value in member.values) == sorted(sent)


@pytest.mark.parametrize("strategy", ["RangeAssignor", "RoundRobinAssignor", "StickyAssignor"])
@pytest.mark.parametrize(("count", "consumers"), [(4, 4), (2, 4), (7, 3)], ids=["as-many", "fewer", "more"])
def test_partitions_against_consumers(
    fleet: Fleet, cluster: Cluster, count: int, consumers: int, strategy: str
) -> None:
    cluster.admin().create_topic("t", partitions=count)
    members = [fleet.start("t", config={"partition.assignment.strategy": strategy}) for _ in range(consumers)]
    settled(fleet, *members, owning=partitions("t", count))
    fleet.until(lambda: all(member.of("assigned") for member in members), "each is told its share, be it nothing")
    for number in range(count):
        produce(cluster, "t", ["x"], partition=number)
    fleet.until(lambda: sum(len(member.delivered) for member in members) == count, "all is read")
    assert cluster.admin().describe_group("g").state == "Stable"


def test_a_queue_one_group_shares_the_records(fleet: Fleet, cluster: Cluster) -> None:
    cluster.admin().create_topic("jobs", partitions=6)
    members = [fleet.start("jobs", values=True) for _ in range(3)]
    settled(fleet, *members, owning=partitions("jobs", 6))
    sent = [f"job-{number}" for number in range(300)]
    with cluster.producer(AT_ONCE) as producer:
        producer.send("jobs", [value.encode() for value in sent], keys=[value.encode() for value in sent])
    fleet.until(lambda: sum(len(member.values) for member in members) >= 300, "all is read")
    assert sorted(value for member in members for value in member.values) == sorted(sent)
    assert all(member.values for member in members)


def test_publish_subscribe_each_group_gets_every_record(fleet: Fleet, cluster: Cluster) -> None:
    cluster.admin().create_topic("news", partitions=2)
    groups = {name: [fleet.start("news", values=True, config={"group.id": name}) for _ in range(2)] for name in "xyz"}
    for members in groups.values():
        settled(fleet, *members, owning=partitions("news", 2))
    sent = [f"n{number}" for number in range(100)]
    for number in range(2):
        produce(cluster, "news", sent[number::2], partition=number)
    for members in groups.values():
        fleet.until(lambda members=members: sum(len(m.values) for m in members) >= 100, "all is read")
        assert sorted(value for member in members for value in member.values) == sorted(sent)


def test_records_of_a_key_come_in_order_while_members_come_and_go(fleet: Fleet, cluster: Cluster) -> None:
    """Whoever reads them: what one member has read of a key, no other reads before or again."""
    cluster.admin().create_topic("t", partitions=4)
    keys = [f"user-{number}" for number in range(10)]
    config = {"partition.assignment.strategy": "CooperativeStickyAssignor"}
    fleet.start("t", values=True, config=config, max_records=7)
    sent: Counter[str] = Counter()
    with cluster.producer(AT_ONCE) as producer:
        for step in range(12):
            for _ in range(20):
                batch = [(key, sent[key] + 1) for key in keys]
                sent.update(keys)
                producer.send(
                    "t", [f"{key}:{number}".encode() for key, number in batch], keys=[key.encode() for key, _ in batch]
                )
            producer.flush()
            if step % 3 < 2:
                fleet.start("t", values=True, config=config, max_records=7)
            else:
                fleet.alive[0].close()
            read = sum(len(member.values) for member in fleet.members)
            fleet.until(
                lambda read=read: sum(len(member.values) for member in fleet.members) >= read + 40, "reading goes on"
            )
    total = sum(sent.values())
    fleet.until(lambda: sum(len(member.values) for member in fleet.members) >= total, "all is read")
    seen: Counter[str] = Counter()
    runs = sorted((run for member in fleet.members for run in member.delivered), key=lambda run: run.at)
    for run in runs:
        for key, value in zip(run.keys, run.values, strict=True):
            seen[key] += 1
            assert value == f"{key}:{seen[key]}"
    assert seen == sent


# --------------------------------------------------------------------------------------------------- topics on the move


def test_partitions_and_topics_that_appear_are_shared_out_while_the_group_runs(fleet: Fleet, cluster: Cluster) -> None:
    admin = cluster.admin()
    admin.create_topic("logs-a", partitions=2)
    members = [fleet.start(pattern="logs-.*", values=True) for _ in range(2)]
    settled(fleet, *members, owning=partitions("logs-a", 2))
    admin.create_partitions("logs-a", 4)
    admin.create_topic("logs-b", partitions=4)
    settled(fleet, *members, owning=partitions("logs-a", 4) | partitions("logs-b", 4))
    produce(cluster, "logs-a", ["x"], partition=3)
    produce(cluster, "logs-b", ["y"], partition=0)
    fleet.until(lambda: sorted(v for m in members for v in m.values) == ["x", "y"], "both are read")
    admin.delete_topic("logs-a")
    settled(fleet, *members, owning=partitions("logs-b", 4))


def test_a_static_member_comes_back_to_its_partitions(fleet: Fleet, cluster: Cluster) -> None:
    """Restarted within its session, in another process: nobody else notices."""
    cluster.admin().create_topic("t", partitions=4)
    config = [{"group.instance.id": name} for name in ("one", "two")]
    one, two = (fleet.start("t", config=each) for each in config)
    settled(fleet, one, two, owning=partitions("t", 4))
    had, epoch = set(one.owned), cluster.admin().describe_group("g").epoch
    told = len(two.events)
    one.kill()
    fleet.until(lambda: not one.alive, "it is gone")
    again = fleet.start("t", config=config[0])
    fleet.until(lambda: again.owned == had, "it owns what it owned")
    assert cluster.admin().describe_group("g").epoch == epoch
    assert len(two.events) == told


def test_of_two_processes_with_one_instance_id_the_later_one_wins(fleet: Fleet, cluster: Cluster) -> None:
    cluster.admin().create_topic("t", partitions=2)
    config = {"group.instance.id": "one"}
    first = fleet.start("t", config=config)
    settled(fleet, first, owning=partitions("t", 2))
    second = fleet.start("t", config=config)
    fleet.until(lambda: not first.alive, "the first stops")
    assert first.of("failed")[0].data[0] == "FencedInstanceIdError"
    settled(fleet, second, owning=partitions("t", 2))


def test_many_processes_open_a_new_directory_at_once(fleet: Fleet, directory: Path) -> None:
    """None of them finds a database that is half made."""
    with open_cluster(str(directory)) as cluster:
        cluster.admin().create_topic("t", partitions=8)
    members = [fleet.start("t") for _ in range(8)]
    settled(fleet, *members, owning=partitions("t", 8))
    assert not [member for member in members if member.of("failed", "lost")]


def test_producers_and_members_that_all_start_at_once_share_what_there_is(
    fleet: Fleet, cluster: Cluster, directory: Path, tmp_path: Path
) -> None:
    """Each record comes once while the group is still gathering, and what comes later is spread over all of them."""
    cluster.admin().create_topic("t", partitions=8)
    (said := tmp_path / "said").mkdir()
    with Forks(tmp_path / "errors") as forks:
        writers = [forks.start("batch_writer", str(directory), "t", n, 8, 20, str(said / str(n))) for n in range(6)]
        members = [fleet.start("t", values=True) for _ in range(6)]
        assert [forks.wait(pid) for pid in writers] == [0] * 6, forks.complaints()
    settled(fleet, *members, owning=partitions("t", 8))
    fleet.until(lambda: sum(len(member.values) for member in members) >= 6 * 8 * 20, "all is read")
    values = Counter(value for member in members for value in member.values)
    assert values == dict.fromkeys((f"{number}:{n}:" for number in range(6) for n in range(20)), 8)
    for number in range(8):
        produce(cluster, "t", ["late"], partition=number)
    fleet.until(lambda: sum(member.values.count("late") for member in members) == 8, "the late ones are read")
    assert all("late" in member.values for member in members)
