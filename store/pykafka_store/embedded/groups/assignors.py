"""Who should own which partition: Kafka's assignors, as pure functions of members, topics and earlier owners.

Sources: org.apache.kafka.clients.consumer.RangeAssignor, RoundRobinAssignor, internals.AbstractStickyAssignor, and
CooperativeStickyAssignor, whose target is the sticky one. Racks are left out: a data directory has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pykafka_store.errors import InconsistentGroupProtocolError, InvalidConfigError
from pykafka_store.model import TopicPartition

Assignment = dict[str, list[TopicPartition]]
"""Member identity -> its partitions, sorted."""


class Subscriber(NamedTuple):
    """What an assignor sees of a member. ``identity`` is its group.instance.id, or else its member id."""

    identity: str
    static: bool
    topics: frozenset[str]
    owned: tuple[TopicPartition, ...] = ()
    """What it owns at the moment."""

    @property
    def rank(self) -> tuple[bool, str]:
        """The order of members: static ones first, then by id (AbstractPartitionAssignor.MemberInfo)."""
        return not self.static, self.identity


def assign_range(members: Sequence[Subscriber], topics: Mapping[str, int]) -> Assignment:
    """Topic by topic: consecutive partitions to members in order; the first ones get one more where it doesn't
    divide.
    """
    assignment: Assignment = {member.identity: [] for member in members}
    for topic in sorted(topics):
        takers = sorted((member for member in members if topic in member.topics), key=lambda member: member.rank)
        if not takers:
            continue
        each, more = divmod(topics[topic], len(takers))
        start = 0
        for number, member in enumerate(takers):
            stop = start + each + (number < more)
            assignment[member.identity] += [TopicPartition(topic, partition) for partition in range(start, stop)]
            start = stop
    return assignment


def assign_round_robin(members: Sequence[Subscriber], topics: Mapping[str, int]) -> Assignment:
    """All partitions in order, dealt to members in order, skipping those who do not subscribe to the topic."""
    assignment: Assignment = {member.identity: [] for member in members}
    ring = sorted(members, key=lambda member: member.rank)
    turn = 0
    for partition in _all_partitions(members, topics):
        while partition.topic not in ring[turn % len(ring)].topics:
            turn += 1
        assignment[ring[turn % len(ring)].identity].append(partition)
        turn += 1
    return assignment


def assign_sticky(members: Sequence[Subscriber], topics: Mapping[str, int]) -> Assignment:
    """As balanced as the subscriptions allow, and then with as few partitions changing their owner as possible."""
    assignment: Assignment = {member.identity: [] for member in members}
    ring = sorted(members, key=lambda member: member.rank)
    free = _all_partitions(members, topics)

    # 1. Everybody keeps what they own and may still have.
    left = set(free)
    for member in ring:
        for partition in sorted(member.owned):
            if partition in left and partition.topic in member.topics:
                assignment[member.identity].append(partition)
                left.remove(partition)

    # 2. What nobody owns goes to whoever has least, the partitions with the fewest takers first.
    takers = {
        topic: [member.identity for member in ring if topic in member.topics] for topic in {each.topic for each in free}
    }
    for partition in sorted(left, key=lambda each: (len(takers[each.topic]), each)):
        least = min(takers[partition.topic], key=lambda identity: len(assignment[identity]))
        assignment[least].append(partition)

    # 3. Move single partitions while somebody has two more than another who could take one, always from whoever has
    #    most: then nobody gives what must be made up for later. Each move lowers the sum of squares, so this ends.
    while move := _next_move(assignment, takers):
        partition, giver, taker = move
        assignment[giver].remove(partition)
        assignment[taker].append(partition)
    for partitions in assignment.values():
        partitions.sort()
    return assignment


def _next_move(assignment: Assignment, takers: Mapping[str, Sequence[str]]) -> tuple[TopicPartition, str, str] | None:
    """(partition, giver, taker) of a move towards balance, or None."""
    least = {topic: min(some, key=lambda identity: len(assignment[identity])) for topic, some in takers.items()}
    for giver in sorted(assignment, key=lambda identity: -len(assignment[identity])):
        for partition in sorted(assignment[giver], reverse=True):
            taker = least[partition.topic]
            if len(assignment[giver]) - len(assignment[taker]) > 1:
                return partition, giver, taker
    return None


def _all_partitions(members: Sequence[Subscriber], topics: Mapping[str, int]) -> list[TopicPartition]:
    """Every partition that somebody subscribes to, in order."""
    wanted = frozenset().union(*(member.topics for member in members)) if members else frozenset()
    return [
        TopicPartition(topic, number) for topic in sorted(topics) if topic in wanted for number in range(topics[topic])
    ]


ASSIGNORS: dict[str, Callable[[Sequence[Subscriber], Mapping[str, int]], Assignment]] = {
    "range": assign_range,
    "roundrobin": assign_round_robin,
    "sticky": assign_sticky,
    "cooperative-sticky": assign_sticky,
    "uniform": assign_sticky,  # KIP-848's default on the server: balanced over all topics, and sticky
}

_CLASSES = {
    "RangeAssignor": "range",
    "RoundRobinAssignor": "roundrobin",
    "StickyAssignor": "sticky",
    "CooperativeStickyAssignor": "cooperative-sticky",
}


def assignor_names(setting: str) -> tuple[str, ...]:
    """The assignors of a ``partition.assignment.strategy``, most wanted first: class names, or the short ones.

    Raises InvalidConfigError for one that is not known.
    """
    names = []
    for text in filter(None, map(str.strip, setting.split(","))):
        short = text.removeprefix("org.apache.kafka.clients.consumer.")
        name = _CLASSES.get(short, short)
        if name not in ASSIGNORS:
            raise InvalidConfigError(
                f"partition.assignment.strategy {text} is not known here: use {', '.join(_CLASSES)}"
            )
        names.append(name)
    if not names:
        raise InvalidConfigError(f"partition.assignment.strategy is empty: use {', '.join(_CLASSES)}")
    return tuple(names)


def choose_assignor(wishes: Sequence[Sequence[str]]) -> str:
    """The assignor that all members know and most prefer (GroupMetadata.selectProtocol: each votes for its first
    choice).

    Raises InconsistentGroupProtocolError if there is none.
    """
    common = [name for name in wishes[0] if all(name in wish for wish in wishes)]
    if not common:
        raise InconsistentGroupProtocolError(
            "The group member's supported protocols are incompatible with those of existing members: this member knows "
            f"{', '.join(wishes[-1])}, the others {', '.join(wishes[0])} (partition.assignment.strategy)"
        )
    votes = [next(name for name in wish if name in common) for wish in wishes]
    return max(common, key=votes.count)
