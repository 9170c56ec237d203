"""Who gets which partition: Kafka's rules, Kafka's examples, and what must hold for any members and topics.

Examples: RangeAssignorTest, RoundRobinAssignorTest and AbstractStickyAssignorTest of Apache Kafka.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka_store.embedded.groups.assignors import (
    ASSIGNORS,
    Assignment,
    Subscriber,
    assign_range,
    assign_round_robin,
    assign_sticky,
    assignor_names,
    choose_assignor,
)
from pykafka_store.errors import InconsistentGroupProtocolError, InvalidConfigError
from pykafka_store.model import TopicPartition


def member(identity: str, *topics: str, owned: Sequence[str] = (), static: bool = False) -> Subscriber:
    return Subscriber(identity, static, frozenset(topics), tuple(partitions(*owned)))


def partitions(*labels: str) -> list[TopicPartition]:
    """``"t0-1"`` -> partition 1 of t0."""
    return [TopicPartition(label.rpartition("-")[0], int(label.rpartition("-")[2])) for label in labels]


def shown(assignment: Assignment) -> dict[str, str]:
    return {identity: " ".join(map(str, found)) for identity, found in assignment.items()}


# ----------------------------------------------------------------------------------------------------- Kafka's examples


TWO_TOPICS = {"t0": 3, "t1": 3}
PAIR = [member("C0", "t0", "t1"), member("C1", "t0", "t1")]


@pytest.mark.parametrize(
    ("assignor", "expected"),
    [
        ("range", {"C0": "t0-0 t0-1 t1-0 t1-1", "C1": "t0-2 t1-2"}),
        ("roundrobin", {"C0": "t0-0 t0-2 t1-1", "C1": "t0-1 t1-0 t1-2"}),
        ("sticky", {"C0": "t0-0 t0-2 t1-1", "C1": "t0-1 t1-0 t1-2"}),
        ("cooperative-sticky", {"C0": "t0-0 t0-2 t1-1", "C1": "t0-1 t1-0 t1-2"}),
        ("uniform", {"C0": "t0-0 t0-2 t1-1", "C1": "t0-1 t1-0 t1-2"}),
    ],
)
def test_two_members_and_two_topics_of_three_partitions(assignor: str, expected: dict[str, str]) -> None:
    """The example that Kafka's documentation gives for each assignor."""
    assert shown(ASSIGNORS[assignor](PAIR, TWO_TOPICS)) == expected


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_the_order_in_which_members_are_named_does_not_matter(assignor: str) -> None:
    """Whoever computes a target computes the same."""
    trio = [*PAIR, member("C2", "t0")]
    answers = [shown(ASSIGNORS[assignor](list(order), TWO_TOPICS)) for order in itertools.permutations(trio)]
    assert all(answer == answers[0] for answer in answers)


def test_range_gives_the_first_members_one_more() -> None:
    """RangeAssignorTest: 7 partitions among 3."""
    found = assign_range([member(name, "t") for name in ("c", "a", "b")], {"t": 7})
    assert shown(found) == {"a": "t-0 t-1 t-2", "b": "t-3 t-4", "c": "t-5 t-6"}


def test_range_leaves_members_idle_where_there_are_too_many() -> None:
    found = assign_range([member(name, "t") for name in "abc"], {"t": 2})
    assert shown(found) == {"a": "t-0", "b": "t-1", "c": ""}


MIXED = [member("c1", "t1"), member("c2", "t1", "t2"), member("c3", "t1")]


@pytest.mark.parametrize("assignor", ["range", "roundrobin"])
def test_members_with_different_topics(assignor: str) -> None:
    """RangeAssignorTest and RoundRobinAssignorTest, testMultipleConsumersMixedTopics."""
    found = ASSIGNORS[assignor](MIXED, {"t1": 3, "t2": 2})
    assert shown(found) == {"c1": "t1-0", "c2": "t1-1 t2-0 t2-1", "c3": "t1-2"}


def test_sticky_makes_up_for_different_topics() -> None:
    """Who alone takes t2 gets less of t1."""
    found = assign_sticky(MIXED, {"t1": 3, "t2": 2})
    assert shown(found)["c2"] == "t2-0 t2-1"
    assert {len(found["c1"]), len(found["c3"])} == {1, 2}


def test_round_robin_goes_on_where_the_last_topic_ended() -> None:
    """RoundRobinAssignorTest.testTwoConsumersTwoTopicsSixPartitions, and an uneven case."""
    found = assign_round_robin([member("a", "x", "y"), member("b", "x", "y")], {"x": 1, "y": 2})
    assert shown(found) == {"a": "x-0 y-1", "b": "y-0"}


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_static_members_come_first_by_their_instance_ids(assignor: str) -> None:
    """AbstractPartitionAssignor.MemberInfo: a static member's place does not change with its member id."""
    members = [member("a", "t"), member("instance:z", "t", static=True), member("instance:y", "t", static=True)]
    found = ASSIGNORS[assignor](members, {"t": 3})
    assert shown(found) == {"instance:y": "t-0", "instance:z": "t-1", "a": "t-2"}


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_a_topic_that_does_not_exist_is_waited_for(assignor: str) -> None:
    """Its subscriber has nothing of it, and is a member all the same."""
    found = ASSIGNORS[assignor]([member("a", "ghost"), member("b", "t")], {"t": 1})
    assert shown(found) == {"a": "", "b": "t-0"}


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_a_topic_nobody_subscribes_to_goes_to_nobody(assignor: str) -> None:
    assert shown(ASSIGNORS[assignor]([member("a", "t")], {"t": 1, "other": 5})) == {"a": "t-0"}


def test_sticky_keeps_what_is_owned_when_a_member_leaves() -> None:
    """AbstractStickyAssignorTest.testReassignmentAfterOneConsumerLeaves, small."""
    found = assign_sticky([member("a", "t", owned=["t-0", "t-3"]), member("c", "t", owned=["t-2", "t-5"])], {"t": 6})
    assert set(partitions("t-0", "t-3")) < set(found["a"])
    assert set(partitions("t-2", "t-5")) < set(found["c"])


def test_sticky_takes_only_the_newcomers_share() -> None:
    """AbstractStickyAssignorTest.testReassignmentAfterOneConsumerAdded, small."""
    found = assign_sticky(
        [
            member("a", "t", owned=["t-0", "t-1", "t-2"]),
            member("b", "t", owned=["t-3", "t-4", "t-5"]),
            member("c", "t"),
        ],
        {"t": 6},
    )
    assert [len(found[name]) for name in "abc"] == [2, 2, 2]
    assert set(found["a"]) < set(partitions("t-0", "t-1", "t-2"))
    assert set(found["b"]) < set(partitions("t-3", "t-4", "t-5"))


def test_sticky_takes_from_the_fullest_first() -> None:
    """Nobody gives away what it must be given back by another."""
    members = [
        member("a", "t", owned=[f"t-{n}" for n in range(6)]),
        member("b", "t", owned=[f"t-{n}" for n in range(6, 10)]),
        member("c", "t"),
        member("d", "t"),
    ]
    found = assign_sticky(members, {"t": 10})
    assert sorted(map(len, found.values())) == [2, 2, 3, 3]
    assert set(found["a"]) < set(members[0].owned)
    assert set(found["b"]) < set(members[1].owned)


def test_sticky_lets_go_of_what_is_no_longer_subscribed_to() -> None:
    found = assign_sticky([member("a", "t", owned=["old-0", "t-0"]), member("b", "old")], {"t": 2, "old": 1})
    assert shown(found) == {"a": "t-0 t-1", "b": "old-0"}


# --------------------------------------------------------------------------------------------------- any group whatever


TOPICS = [f"t{number}" for number in range(4)]
in_any_time = settings(deadline=None)  # the machine may be busy


@st.composite
def groups(draw: st.DrawFn, *, alike: bool = False) -> tuple[list[Subscriber], dict[str, int]]:
    """Members with subscriptions (``alike``: the same for all), owning something of what there is, and topics."""
    topics = {topic: draw(st.integers(1, 9)) for topic in draw(st.sets(st.sampled_from(TOPICS), min_size=1))}
    count = draw(st.integers(1, 8))
    subscriptions = st.frozensets(st.sampled_from([*TOPICS, "ghost"]), min_size=1)
    same = frozenset(topics)
    wanted = [same if alike else draw(subscriptions) for _ in range(count)]
    owned: list[list[TopicPartition]] = [[] for _ in range(count)]
    # What is owned may be of a topic that is gone, or no longer subscribed to.
    every = [TopicPartition(topic, number) for topic in topics for number in range(topics[topic])]
    every.append(TopicPartition("gone", 0))
    owners = draw(st.integers(0, count - 1))
    for partition in every:
        owner = draw(st.integers(-1, owners))
        if owner >= 0:
            owned[owner].append(partition)
    names = draw(st.permutations([f"m{number}" for number in range(count)]))
    members = [
        Subscriber(name, draw(st.booleans()), topics_of, tuple(owns))
        for name, topics_of, owns in zip(names, wanted, owned, strict=True)
    ]
    return members, topics


Group = tuple[list[Subscriber], dict[str, int]]


def everything(topics: Mapping[str, int], members: Sequence[Subscriber]) -> list[TopicPartition]:
    wanted = {topic for each in members for topic in each.topics}
    return sorted(
        TopicPartition(topic, number) for topic in topics if topic in wanted for number in range(topics[topic])
    )


@pytest.mark.parametrize("assignor", ASSIGNORS)
@in_any_time
@given(group=groups())
def test_every_partition_goes_to_exactly_one_who_subscribes(assignor: str, group: Group) -> None:
    members, topics = group
    found = ASSIGNORS[assignor](members, topics)
    assert set(found) == {each.identity for each in members}
    assert sorted(itertools.chain(*found.values())) == everything(topics, members)
    for each in members:
        assert {partition.topic for partition in found[each.identity]} <= each.topics
        assert found[each.identity] == sorted(found[each.identity])


@in_any_time
@given(group=groups())
def test_range_gives_consecutive_partitions_of_each_topic_in_order(group: Group) -> None:
    members, topics = group
    found = assign_range(members, topics)
    for topic in topics:
        takers = sorted((each for each in members if topic in each.topics), key=lambda each: each.rank)
        dealt = [[p.partition for p in found[each.identity] if p.topic == topic] for each in takers]
        assert [*itertools.chain(*dealt)] == list(range(topics[topic] if takers else 0))
        counts = [len(some) for some in dealt]
        assert counts == sorted(counts, reverse=True)
        assert not counts or counts[0] - counts[-1] <= 1


@pytest.mark.parametrize("assignor", ["roundrobin", "sticky"])
@in_any_time
@given(group=groups(alike=True))
def test_equal_subscriptions_differ_by_one_at_most(assignor: str, group: Group) -> None:
    members, topics = group
    counts = [len(some) for some in ASSIGNORS[assignor](members, topics).values()]
    assert max(counts) - min(counts) <= 1


@in_any_time
@given(group=groups())
def test_sticky_leaves_nobody_two_ahead_of_one_who_could_take(group: Group) -> None:
    members, topics = group
    found = assign_sticky(members, topics)
    for giver in members:
        for partition in found[giver.identity]:
            for taker in members:
                if partition.topic in taker.topics:
                    assert len(found[giver.identity]) - len(found[taker.identity]) <= 1


@in_any_time
@given(group=groups(alike=True))
def test_sticky_moves_no_more_than_balance_asks(group: Group) -> None:
    """With equal subscriptions: who has too much gives the surplus, and nobody else gives anything."""
    members, topics = group
    found = assign_sticky(members, topics)
    total = sum(topics.values())
    each, more = divmod(total, len(members))
    held = sorted((sum(p.topic in topics for p in one.owned) for one in members), reverse=True)
    best = sum(min(has, each + (number < more)) for number, has in enumerate(held))
    kept = sum(len(set(one.owned) & set(found[one.identity])) for one in members)
    assert kept == best


@in_any_time
@given(group=groups())
def test_sticky_is_at_rest_once_everybody_owns_their_part(group: Group) -> None:
    """A target that has been reached is the target still."""
    members, topics = group
    found = assign_sticky(members, topics)
    there = [each._replace(owned=tuple(found[each.identity])) for each in members]
    assert assign_sticky(there, topics) == found


@in_any_time
@given(group=groups(alike=True), leaving=st.integers(0, 7))
def test_sticky_takes_nothing_from_those_who_stay_when_one_leaves(group: Group, leaving: int) -> None:
    members, topics = group
    before = assign_sticky(members, topics)
    there = [each._replace(owned=tuple(before[each.identity])) for each in members]
    del there[leaving % len(there)]
    after = assign_sticky(there, topics)
    for each in there:
        assert set(each.owned) <= set(after[each.identity])


@in_any_time
@given(group=groups(alike=True))
def test_sticky_gives_a_newcomer_its_share_and_moves_nothing_else(group: Group) -> None:
    members, topics = group
    before = assign_sticky(members, topics)
    there = [each._replace(owned=tuple(before[each.identity])) for each in members]
    after = assign_sticky([*there, Subscriber("new", False, frozenset(topics))], topics)
    for each in there:
        assert set(after[each.identity]) <= set(each.owned)


# ------------------------------------------------------------------------------------------------- choosing an assignor


def test_the_default_is_range() -> None:
    """Kafka's default list; range is its first."""
    wish = assignor_names("RangeAssignor,CooperativeStickyAssignor")
    assert wish == ("range", "cooperative-sticky")
    assert choose_assignor([wish, wish]) == "range"


def test_class_names_and_short_names_are_known() -> None:
    text = "org.apache.kafka.clients.consumer.StickyAssignor, roundrobin , RoundRobinAssignor"
    assert assignor_names(text) == ("sticky", "roundrobin", "roundrobin")


@pytest.mark.parametrize("text", ["", " , ", "com.example.MyAssignor", "ranger"])
def test_an_assignor_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError):
        assignor_names(text)


def test_each_member_votes_for_its_first_choice_that_all_know() -> None:
    """GroupMetadata.selectProtocol."""
    wishes = [("range", "sticky"), ("sticky", "range"), ("roundrobin", "sticky", "range")]
    assert choose_assignor(wishes) == "sticky"


def test_what_one_member_does_not_know_is_not_chosen() -> None:
    assert choose_assignor([("range", "sticky"), ("range", "sticky"), ("sticky",)]) == "sticky"


def test_members_with_nothing_in_common_are_an_error_that_names_both() -> None:
    with pytest.raises(InconsistentGroupProtocolError, match=r"roundrobin.*range, cooperative-sticky"):
        choose_assignor([("range", "cooperative-sticky"), ("roundrobin",)])


# ------------------------------------------------------------------------------------------------------- large groups


def plainly_sticky(members: Sequence[Subscriber], topics: Mapping[str, int]) -> Assignment:
    """The three steps of ``assign_sticky`` as they read, without a thought for the time they take."""
    ring = sorted(members, key=lambda each: each.rank)
    found: Assignment = {each.identity: [] for each in ring}
    takers = {topic: [each.identity for each in ring if topic in each.topics] for topic in topics}

    def neediest(topic: str) -> str:
        return min(takers[topic], key=lambda identity: len(found[identity]))

    def move() -> bool:
        for giver in sorted(found, key=lambda identity: -len(found[identity])):
            for partition in sorted(found[giver], reverse=True):
                taker = neediest(partition.topic)
                if len(found[giver]) - len(found[taker]) > 1:
                    found[giver].remove(partition)
                    found[taker].append(partition)
                    return True
        return False

    left = set(everything(topics, members))
    for each in ring:
        kept = [partition for partition in sorted(each.owned) if partition in left and partition.topic in each.topics]
        found[each.identity] += kept
        left -= {*kept}
    for partition in sorted(left, key=lambda each: (len(takers[each.topic]), each)):
        found[neediest(partition.topic)].append(partition)
    while move():
        pass
    return {identity: sorted(some) for identity, some in found.items()}


@in_any_time
@given(group=groups())
def test_sticky_does_just_what_its_steps_say(group: Group) -> None:
    """Members of two versions must come to the same target, or they would overrule each other for ever."""
    members, topics = group
    assert assign_sticky(members, topics) == plainly_sticky(members, topics)


def calls_to_share(partitions: int, members: int) -> int:
    """How many functions are called when all but one of the members join a group of one that owns all."""
    every = tuple(TopicPartition("t", number) for number in range(partitions))
    group = [Subscriber(f"m{number:03}", False, frozenset({"t"}), () if number else every) for number in range(members)]
    called = 0

    def count(_frame: FrameType, event: str, _what: object) -> None:
        nonlocal called
        called += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        found = assign_sticky(group, {"t": partitions})
    finally:
        sys.setprofile(None)
    assert {len(some) for some in found.values()} == {partitions // members}
    return called


def test_the_work_of_sharing_grows_with_the_partitions_and_not_with_their_square() -> None:
    small, large = calls_to_share(400, 20), calls_to_share(1600, 20)
    assert large < 5 * small
    assert calls_to_share(400, 200) < 3 * small
