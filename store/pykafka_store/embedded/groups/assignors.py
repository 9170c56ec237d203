"""Who should own which partition: Kafka's assignors, as pure functions of members, topics and earlier owners.

Sources: org.apache.kafka.clients.consumer.RangeAssignor, RoundRobinAssignor, internals.AbstractStickyAssignor, and
CooperativeStickyAssignor, whose target is the sticky one. Racks are left out: a data directory has none.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from pykafka_store.embedded.groups.theirs import name_of
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
    """As balanced as the subscriptions allow, and then with as few partitions changing their owner as possible.

    This is computed inside a transaction: the work grows with the partitions, and with the logarithm of the members.
    """
    ring = sorted(members, key=lambda member: member.rank)
    sharing = _Sharing(ring)
    left = set(_all_partitions(members, topics))

    # 1. Everybody keeps what they own and may still have.
    for place, member in enumerate(ring):
        for partition in sorted(member.owned):
            if partition in left and partition.topic in member.topics:
                sharing.give(partition, place)
                left.remove(partition)

    # 2. A partition without an owner goes to the member that has least, the partitions with the fewest takers first.
    for partition in sorted(left, key=lambda each: (sharing.choice(each), each)):
        sharing.give(partition, sharing.neediest(partition.topic))

    # 3. Move single partitions while one member has two more than another that could take one, always from the member
    #    that has most: then no member gives away what it would have to get back later. Each move lowers the sum of
    #    squares, so this ends.
    sharing.balance()
    return {member.identity: sharing.partitions(place) for place, member in enumerate(ring)}


class _Sharing:
    """Who has what so far. Members are called by their places in the ring.

    Topics with the same takers are alike, so what a member has is kept apart by these: of each sort the last partition
    is the first to go. Who has least of some takers is looked up in a heap with an entry for each change, where one
    that does not say what its member has by now is corrected or dropped when it comes up.
    """

    def __init__(self, ring: Sequence[Subscriber]) -> None:
        self._ring = ring
        self._counts = [0] * len(ring)
        self._held: list[dict[int, list[TopicPartition]]] = [{} for _ in ring]
        """For each member: sort of topic -> the partitions of that sort that it has."""
        self._sorts: dict[str, int] = {}
        self._takers: list[frozenset[int]] = []
        """For each sort: its takers."""
        self._heaps: list[list[tuple[int, int]]] = []
        """For each sort: (how many it has, taker)."""

    def _sort_of(self, topic: str) -> int:
        known = self._sorts.get(topic)
        if known is None:
            takers = frozenset(place for place, member in enumerate(self._ring) if topic in member.topics)
            if takers not in self._takers:
                self._takers.append(takers)
                self._heaps.append(sorted((self._counts[place], place) for place in takers))
            known = self._sorts[topic] = self._takers.index(takers)
        return known

    def choice(self, partition: TopicPartition) -> int:
        """How many could take it."""
        return len(self._takers[self._sort_of(partition.topic)])

    def neediest(self, topic: str) -> int:
        """The first of those that have least, among those that could take the topic."""
        return self._neediest(self._sort_of(topic))

    def _neediest(self, sort: int) -> int:
        heap = self._heaps[sort]
        while True:
            count, place = heap[0]
            if count == self._counts[place]:
                return place
            heapq.heapreplace(heap, (self._counts[place], place))

    def give(self, partition: TopicPartition, place: int) -> None:
        self._held[place].setdefault(self._sort_of(partition.topic), []).append(partition)
        self._counts[place] += 1

    def partitions(self, place: int) -> list[TopicPartition]:
        """What a member has, in order."""
        return sorted(chain.from_iterable(self._held[place].values()))

    def balance(self) -> None:
        """Make all moves. A member that could give nothing can't until it takes something, or until one of those that
        have least gives something itself.
        """
        for held in chain.from_iterable(each.values() for each in self._held):
            held.sort()
        givers = sorted((-count, place) for place, count in enumerate(self._counts))
        idle: list[int] = []
        while givers:
            count, giver = heapq.heappop(givers)
            if -count != self._counts[giver]:
                continue  # there is a newer entry of its
            movable = [
                (held[-1], sort)
                for sort, held in self._held[giver].items()
                if held and self._counts[giver] - self._counts[self._neediest(sort)] > 1
            ]
            if not movable:
                idle.append(giver)
                continue
            _, sort = max(movable)
            taker = self._neediest(sort)
            bisect.insort(self._held[taker].setdefault(sort, []), self._held[giver][sort].pop())
            changed = [giver, taker]
            if self._lessen(giver):
                changed += idle
                idle.clear()
            self._counts[taker] += 1
            for place in changed:
                heapq.heappush(givers, (-self._counts[place], place))

    def _lessen(self, giver: int) -> bool:
        """One less for a member; whether it was among those that have least of any takers."""
        needy = False
        for sort, takers in enumerate(self._takers):
            if giver in takers:
                needy = needy or self._counts[self._neediest(sort)] == self._counts[giver]
                heapq.heappush(self._heaps[sort], (self._counts[giver] - 1, giver))
        self._counts[giver] -= 1
        return needy


def _all_partitions(members: Sequence[Subscriber], topics: Mapping[str, int]) -> list[TopicPartition]:
    """Every partition that a member subscribes to, in order."""
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


def remote_assignors(name: str | None) -> tuple[str, ...]:
    """What a member of the protocol of KIP-848 agrees to, that asks for one assignor or for none (uniform then).

    It is a wish: the coordinator assigns, by what most members wish, and members of the classic protocol that are in
    the group as well know others. Source: ConsumerGroup.computePreferredServerAssignor.
    """
    wish = name or "uniform"
    return (wish, *(other for other in ASSIGNORS if other != wish))


def choose_assignor(wishes: Sequence[Sequence[str]]) -> str:
    """The assignor that all members know and most prefer (GroupMetadata.selectProtocol: each votes for its first
    choice).

    Raises InconsistentGroupProtocolError if there is none.
    """
    common = [name for name in wishes[0] if all(name in wish for wish in wishes)]
    if not common:
        knows, others = (", ".join(map(name_of, wish)) for wish in (wishes[-1], wishes[0]))
        raise InconsistentGroupProtocolError(
            "The group member's supported protocols are incompatible with those of existing members: this member knows "
            f"{knows}, the others {others} (partition.assignment.strategy)"
        )
    votes = [next(name for name in wish if name in common) for wish in wishes]
    return max(common, key=votes.count)
