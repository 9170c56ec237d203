"""Who reads what: topics, partitions and groups in every proportion: `python examples/patterns/run.py`.

One producer writes; consumers of one group share the partitions (a queue), and each group reads everything for itself
(publish-subscribe). Every case says which member owned what and how many records it read, idle members too, and checks
that each group read each record once.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack

from pykafka_store import Cluster, Consumer, TopicPartition, open_cluster

RECORDS = 60
"""Of each partition."""

SETTINGS = {"auto.offset.reset": "earliest", "partition.assignment.strategy": "CooperativeStickyAssignor"}


class Member:
    """A consumer of a group, and what it read."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.owned: list[TopicPartition] = []
        self.values: list[bytes | None] = []

    def poll(self) -> None:
        for run in self.consumer.poll(0.01):
            self.values += run.values
        self.owned = sorted(self.consumer.assignment())


def produce(cluster: Cluster, topics: list[str], partitions: int) -> set[bytes]:
    """Write to every partition of these topics; what that was."""
    written = set()
    with cluster.producer() as producer:
        for topic in topics:
            for partition in range(partitions):
                values = [b"%s-%d:%d" % (topic.encode(), partition, number) for number in range(RECORDS)]
                producer.send(topic, values, partitions=partition)
                written.update(values)
    return written


def join(
    cluster: Cluster, stack: ExitStack, group: str, count: int, topics: list[str], partitions: int
) -> list[Member]:
    """So many members of a group, when they have shared its partitions. Who has which is chance; the first has most."""
    members = []
    for _ in range(count):
        consumer = stack.enter_context(cluster.consumer({**SETTINGS, "group.id": group}))
        consumer.subscribe(topics)
        members.append(Member(consumer))
    while not shared(members, partitions):
        for member in members:
            member.poll()
    return sorted(members, key=lambda member: -len(member.owned))


def show(cluster: Cluster, case: str, topics: int, partitions: int, groups: dict[str, int]) -> None:
    """One case: read all of it, say who owned and read what, and check that each group read each record once."""
    names = [f"{case}-{number + 1}" for number in range(topics)]
    for name in names:
        cluster.admin().create_topic(name, partitions=partitions)
    with ExitStack() as stack:
        teams = {
            group: join(cluster, stack, f"{case}-{group}", count, names, topics * partitions)
            for group, count in groups.items()
        }
        written = produce(cluster, names, partitions)
        print(f"{counted(topics, 'topic')} of {counted(partitions, 'partition')}:")
        for group, team in teams.items():
            while sum(len(member.values) for member in team) < len(written):
                for member in team:
                    member.poll()
            read = [value for member in team for value in member.values]
            assert len(read) == len(written)
            assert set(read) == written
            for number, member in enumerate(team, 1):
                has = f"owns {len(member.owned)} of {topics * partitions}" if member.owned else "is idle"
                print(f"  {group} {number} {has}, read {counted(len(member.values), 'record')}")
    print()


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def shared(team: list[Member], partitions: int) -> bool:
    """Whether every partition has an owner, and as many members as can have some have."""
    owners = sum(bool(member.owned) for member in team)
    return sum(len(member.owned) for member in team) == partitions and owners == min(len(team), partitions)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="patterns-") as directory, open_cluster(directory) as cluster:
        print("A queue: one group, whose members share the partitions\n")
        show(cluster, "one", topics=1, partitions=3, groups={"queue": 1})
        show(cluster, "as-many", topics=1, partitions=3, groups={"queue": 3})
        show(cluster, "more", topics=1, partitions=3, groups={"queue": 5})
        show(cluster, "fewer", topics=1, partitions=3, groups={"queue": 2})
        show(cluster, "topics", topics=4, partitions=1, groups={"queue": 2})
        print("Publish-subscribe: several groups, each of which reads everything\n")
        show(cluster, "both", topics=1, partitions=2, groups={"mail": 1, "store": 2, "audit": 3})


if __name__ == "__main__":
    main()
