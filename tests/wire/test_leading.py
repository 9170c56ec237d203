"""Who leads a generation of consumers of the classic protocol, as at a broker, and what becomes of what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.model import TopicPartition
from pykafka_store.wire.broker import Parked
from pykafka_store.wire.protocol import (
    DESCRIBE_GROUPS,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    SYNC_GROUP,
    Reply,
    pack_assignment,
    pack_subscription,
    parse_assignment,
)
from tests.support.requests import World, asked

ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS = 22, 23, 25, 27
ZERO, ONE = ("there", 0), ("there", 1)
BOTH = [ZERO, ONE]


def holding(*partitions: tuple[str, int]) -> bytes:
    """What a cooperative consumer of the topic says of itself that holds these: version 1 of the subscription."""
    plain = pack_subscription(["there"])[2:]
    numbers = b"".join(number.to_bytes(4, "big") for _, number in partitions)
    owned = (1).to_bytes(4, "big") + b"\x00\x05there" + len(partitions).to_bytes(4, "big") + numbers
    return b"\x00\x01" + plain + (owned if partitions else bytes(4))


class Consumer:
    """A consumer of ``there`` in the group ``led``. Its requests are answered when ``answer`` is called."""

    def __init__(self, world: World, instance: str | None = None, offers: tuple[str, ...] = ("range",)) -> None:
        self.world, self.instance, self.offers = world, instance, offers
        self.id, self.generation = "", -1
        self.protocol, self.leader = "", ""
        self.members: dict[str, bytes] = {}
        self.waits: Parked | None = None
        self.says = holding()
        self.version = 5
        """Of its JoinGroup."""
        self.skips = False
        """Whether it was told that it has assigned already."""

    def join(self, says: bytes | None = None) -> None:
        self.says = self.says if says is None else says
        self._ask(
            JOIN_GROUP, self.version,
            protocol_type="consumer", session_timeout=10_000, rebalance_timeout=10_000,
            protocols=[{"name": name, "metadata": self.says} for name in self.offers],
        )  # fmt: skip

    def sync(self, given: dict[Consumer, bytes] | None = None) -> None:
        shares = [{"member_id": each.id, "assignment": share} for each, share in (given or {}).items()]
        self._ask(SYNC_GROUP, 3, generation_id=self.generation, assignments=shares)

    def _ask(self, key: int, version: int, **fields: Any) -> None:
        assert self.waits is None
        fields |= {"group_id": "led", "member_id": self.id, "group_instance_id": self.instance}
        answer = self.world.handlers[key](asked(key, version, **fields))
        if isinstance(answer, Reply) and answer.error_code == 79:  # it is told its id first (KIP-394)
            fields["member_id"] = answer.member_id
            answer = self.world.handlers[key](asked(key, version, **fields))
        self.told: Reply | None = answer if isinstance(answer, Reply) else None
        self.waits = None if isinstance(answer, Reply) else answer  # type: ignore[assignment]

    def is_answered(self, *, late: bool = False) -> bool:
        """Whether its request is answered by now."""
        if self.waits is not None:
            self.told = self.waits.attempt(late=late)
            self.waits = None if self.told is not None else self.waits
        return self.told is not None

    def joined(self, *, late: bool = False) -> Consumer:
        """It is answered its joining."""
        assert self.is_answered(late=late) and self.told is not None and self.told.error_code == 0, self.told
        told = self.told
        self.id, self.generation, self.leader = told.member_id, told.generation_id, told.leader
        self.protocol, self.skips = told.protocol_name, told.skip_assignment and self.version >= 9
        self.members = {each.member_id: each.metadata for each in told.members}
        return self

    def share(self, *, late: bool = False) -> list[tuple[str, int]]:
        """It is answered what it has."""
        assert self.is_answered(late=late) and self.told is not None and self.told.error_code == 0, self.told
        return sorted(parse_assignment(self.told.assignment) or [])

    def sync_error(self) -> int:
        assert self.is_answered() and self.told is not None
        return int(self.told.error_code)

    def commit(self, partition: tuple[str, int]) -> int:
        topic, number = partition
        asking = {"group_id": "led", "member_id": self.id, "generation_id_or_member_epoch": self.generation}
        offset = {"partition_index": number, "committed_offset": 0, "committed_leader_epoch": -1}
        topics = [{"name": topic, "partitions": [offset]}]
        answer = self.world.ask(OFFSET_COMMIT, 7, **asking, group_instance_id=self.instance, topics=topics)
        return int(answer.topics[0].partitions[0].error_code)

    def heartbeat(self) -> int:
        asking = {"group_id": "led", "member_id": self.id, "generation_id": self.generation}
        return int(self.world.ask(HEARTBEAT, 3, **asking, group_instance_id=self.instance).error_code)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.close()


def both(
    world: World, offers: tuple[str, ...] = ("range",), instances: tuple[str | None, str | None] = (None, None)
) -> tuple[Consumer, Consumer]:
    """The leader and its follower, in one generation, before anybody has anything."""
    leader, other = (Consumer(world, instance, offers) for instance in instances)
    leader.join()
    leader.joined()
    other.join()
    leader.join()
    leader.joined()
    other.joined()
    assert (leader.leader, other.leader, leader.generation) == (leader.id, leader.id, other.generation)
    return leader, other


def owners(world: World) -> dict[TopicPartition, str]:
    return world.cluster.engine.groups.owners("led")


def test_the_first_leads_and_is_told_of_all(world: World) -> None:
    leader, other = both(world)
    assert leader.members == {leader.id: holding(), other.id: holding()}
    assert other.members == {}


def test_what_the_leader_gives_is_what_members_have(world: World) -> None:
    """Other than any assignor of the engine's would do it, and with words of its own."""
    leader, other = both(world)
    words = pack_assignment([ZERO])[:-4] + b"\x00\x00\x00\x05hello"
    other.sync()
    assert not other.is_answered()
    assert other.heartbeat() == 0
    leader.sync({leader: pack_assignment([ONE]), other: words})
    assert leader.share() == [ONE]
    assert other.share() == [ZERO]
    assert other.told is not None and other.told.assignment == words
    assert owners(world) == {ZERO: other.id, ONE: leader.id}
    assert (leader.heartbeat(), other.heartbeat()) == (0, 0)
    (described,) = world.ask(DESCRIBE_GROUPS, 5, groups=["led"]).groups
    assert {each.member_id: parse_assignment(each.member_assignment) for each in described.members} == {
        leader.id: [ONE],
        other.id: [ZERO],
    }


def test_who_is_not_named_has_nothing(world: World) -> None:
    leader, other = both(world)
    leader.sync({leader: pack_assignment([ONE])})
    other.sync()
    assert (leader.share(), other.share()) == ([ONE], [])
    assert other.told is not None and other.told.assignment == b""  # as a broker says it
    assert owners(world) == {ONE: leader.id}


def test_a_partition_that_is_given_to_two_has_one_owner(world: World) -> None:
    leader, other = both(world)
    leader.sync({leader: pack_assignment(BOTH), other: pack_assignment(BOTH)})
    other.sync()
    shares = [*leader.share(), *other.share()]
    assert sorted(shares) == BOTH


def test_a_leader_that_says_nothing_for_as_long_as_a_rebalance_may_last_is_followed_by_another(world: World) -> None:
    leader, other = both(world)
    other.sync()
    assert not other.is_answered()
    assert other.is_answered(late=True) and other.sync_error() == REBALANCE_IN_PROGRESS
    assert leader.heartbeat() == UNKNOWN_MEMBER_ID
    other.join()
    assert other.joined().leader == other.id
    assert other.members.keys() == {other.id}


def test_who_joins_and_does_not_ask_what_it_has_is_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is heard of."""
    leader, other = both(world)
    leader.sync({leader: pack_assignment([ONE]), other: pack_assignment([ZERO])})
    assert leader.share() == [ONE]
    now = Clock.monotonic(world.cluster.engine.clock)
    for later, codes in ((9.0, (0, 0)), (11.0, (UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS))):
        monkeypatch.setattr(Clock, "monotonic", lambda _, moment=now + later: moment)
        world.members.tick()
        assert (other.heartbeat(), leader.heartbeat()) == codes


def test_who_is_not_back_when_the_time_for_joining_is_over_is_out(world: World) -> None:
    """The others have a generation without it, and one of them leads."""
    leader, other = both(world)
    third = Consumer(world)
    third.join()
    assert leader.heartbeat() == REBALANCE_IN_PROGRESS
    other.join()
    assert not other.is_answered() and not third.is_answered()
    assert third.joined(late=True).leader == other.joined().leader
    assert leader.heartbeat() == UNKNOWN_MEMBER_ID
    assert {*third.members, *other.members} == {third.id, other.id}


def test_a_static_member_is_in_a_generation_that_it_was_not_back_for(world: World) -> None:
    """As at a broker; but it does not lead it."""
    first = Consumer(world, instance="one")
    first.join()
    first.joined()
    second = Consumer(world)
    second.join()
    assert second.joined(late=True).leader == second.id
    assert second.members.keys() == {first.id, second.id}
    assert first.heartbeat() == ILLEGAL_GENERATION
    first.join()
    assert (first.joined().leader, first.generation) == (second.id, second.generation)
    second.sync({first: pack_assignment([ONE]), second: pack_assignment([ZERO])})
    first.sync()
    assert (second.share(), first.share()) == ([ZERO], [ONE])


def test_who_is_to_join_again_where_nobody_leads_and_does_not_is_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Consumer(world)
    first.join()
    first.joined()
    first.sync({first: pack_assignment([ONE])})
    assert first.share() == [ONE]
    with world.cluster.consumer({"group.id": "led"}) as consumer:
        consumer.subscribe(["there"])
        consumer.poll(0)
        while first.heartbeat() != REBALANCE_IN_PROGRESS:
            pass
        now = Clock.monotonic(world.cluster.engine.clock)
        monkeypatch.setattr(Clock, "monotonic", lambda _: now + 5.0)
        assert first.heartbeat() == REBALANCE_IN_PROGRESS
        monkeypatch.setattr(Clock, "monotonic", lambda _: now + 11.0)
        world.members.tick()
        assert first.heartbeat() == UNKNOWN_MEMBER_ID


def test_a_leader_that_is_gone_is_followed_by_another(world: World) -> None:
    leader, other = both(world)
    other.sync()
    world.ask(LEAVE_GROUP, 0, group_id="led", member_id=leader.id)
    assert other.sync_error() == REBALANCE_IN_PROGRESS
    other.join()
    assert other.joined().leader == other.id
    other.sync({other: pack_assignment(BOTH)})
    assert other.share() == BOTH


def test_who_does_not_know_yet_what_it_has_commits_nothing(world: World) -> None:
    leader, other = both(world)
    assert (leader.commit(ZERO), other.commit(ONE)) == (REBALANCE_IN_PROGRESS, REBALANCE_IN_PROGRESS)
    leader.sync({leader: pack_assignment([ZERO]), other: pack_assignment([ONE])})
    assert (leader.share(), leader.commit(ZERO), other.commit(ONE)) == ([ZERO], 0, 0)


def test_what_a_leader_says_of_an_earlier_generation_is_refused(world: World) -> None:
    leader, other = both(world)
    third = Consumer(world)
    third.join()
    other.join()
    leader.sync({leader: pack_assignment(BOTH)})
    assert leader.sync_error() == REBALANCE_IN_PROGRESS
    leader.join()
    for each in (leader, other, third):
        assert each.joined().leader == leader.id
    assert len(leader.members) == 3
    leader.sync({each: pack_assignment([partition]) for each, partition in ((third, ZERO), (other, ONE))})
    third.sync()
    other.sync()
    assert (leader.share(), third.share(), other.share()) == ([], [ZERO], [ONE])


def test_nobody_is_in_a_generation_before_all_have_joined(world: World) -> None:
    leader, other = both(world)
    third = Consumer(world)
    third.join()
    leader.join()
    assert not third.is_answered() and not leader.is_answered()
    assert other.heartbeat() == REBALANCE_IN_PROGRESS
    other.join()
    assert {each.joined().generation for each in (leader, other, third)} == {leader.generation}


@pytest.mark.parametrize(
    ("leads", "changes", "anew"), [(True, False, True), (True, True, True), (False, False, False), (False, True, True)]
)
def test_who_joins_again_makes_a_new_generation_if_it_leads_or_changed(
    world: World, leads: bool, changes: bool, anew: bool
) -> None:
    leader, other = both(world)
    leader.sync({leader: pack_assignment([ZERO]), other: pack_assignment([ONE])})
    other.sync()
    assert (leader.share(), other.share()) == ([ZERO], [ONE])
    again, stays = (leader, other) if leads else (other, leader)
    before = again.generation
    again.join(holding(ONE) if changes else None)
    assert again.is_answered() is not anew
    assert stays.heartbeat() == (REBALANCE_IN_PROGRESS if anew else 0)
    if anew:
        stays.join()
        assert stays.joined().generation > before
    assert again.joined().generation == stays.generation
    assert again.leader == leader.id


def test_an_answer_that_was_lost_is_given_again(world: World) -> None:
    """As long as the leader has not spoken, it too may join again, and is told of all once more."""
    leader, other = both(world)
    before, members = leader.generation, leader.members
    leader.join()
    assert leader.joined().generation == before
    assert leader.members == members
    leader.sync({leader: pack_assignment([ONE]), other: pack_assignment([ZERO])})
    other.join()
    assert other.joined().generation == before
    other.sync()
    assert (leader.share(), other.share()) == ([ONE], [ZERO])


def test_who_asked_again_by_another_connection_still_joins_when_the_first_one_ends(world: World) -> None:
    leader, other = both(world)
    third = Consumer(world)
    third.join()
    leader.join()
    first, leader.waits = leader.waits, None
    leader.join()
    assert first is not None
    first.abandon()
    other.join()
    assert {each.joined().leader for each in (leader, other, third)} == {leader.id}


def test_what_another_still_holds_is_had_when_that_has_given_it_up(world: World) -> None:
    """A leader of cooperative consumers leaves out what is to move; one that does not has it moved all the same, but
    never to a second owner.
    """
    leader, other = both(world, offers=("cooperative-sticky",))
    leader.sync({leader: pack_assignment(BOTH)})
    other.sync()
    assert (leader.share(), other.share()) == (BOTH, [])
    leader.join(holding(*BOTH))
    other.join()
    for each in (leader, other):
        each.joined()
    leader.sync({leader: pack_assignment([ZERO]), other: pack_assignment([ONE])})
    other.sync()
    assert leader.share() == [ZERO]
    assert not other.is_answered()
    assert owners(world) == {ZERO: leader.id, ONE: leader.id}
    leader.join(holding(ZERO))
    assert other.sync_error() == REBALANCE_IN_PROGRESS
    other.join()
    for each in (leader, other):
        each.joined()
    assert leader.members == {leader.id: holding(ZERO), other.id: holding()}
    leader.sync({leader: pack_assignment([ZERO]), other: pack_assignment([ONE])})
    other.sync()
    assert (leader.share(), other.share()) == ([ZERO], [ONE])


def test_all_speak_what_all_offer_and_most_prefer(world: World) -> None:
    first = Consumer(world, offers=("range", "mine", "roundrobin"))
    second = Consumer(world, offers=("mine", "roundrobin"))
    first.join()
    assert first.joined().protocol == "range"
    second.join()
    first.join()
    assert (first.joined().protocol, second.joined().protocol) == ("mine", "mine")
    assert first.members.keys() == {first.id, second.id}


def test_who_prefers_another_assignor_by_now_makes_a_new_generation(world: World) -> None:
    """Though it offers the same ones."""
    first = Consumer(world, offers=("range", "roundrobin"))
    first.join()
    first.joined()
    first.sync({first: pack_assignment(BOTH)})
    assert (first.share(), first.protocol) == (BOTH, "range")
    before, first.offers = first.generation, ("roundrobin", "range")
    first.join()
    assert first.joined().generation > before
    assert first.protocol == "roundrobin"
    first.offers = ("range", "roundrobin")
    first.join()
    assert first.joined().protocol == "range"


def test_where_nothing_is_offered_by_all_the_engine_assigns(world: World) -> None:
    first, second = Consumer(world, offers=("range",)), Consumer(world, offers=("roundrobin",))
    first.join()
    first.joined()
    second.join()
    first.join()
    assert (first.joined().protocol, second.joined().protocol) == ("range", "roundrobin")
    assert (first.members, second.members) == ({}, {})
    first.sync()
    second.sync()
    assert sorted(first.share() + second.share()) == BOTH


def test_beside_a_member_of_the_shell_nobody_leads(world: World) -> None:
    leader, other = both(world)
    leader.sync({leader: pack_assignment([ONE]), other: pack_assignment([ZERO])})
    other.sync()
    assert (leader.share(), other.share()) == ([ONE], [ZERO])
    consumer = world.cluster.consumer({"group.id": "led"})
    consumer.subscribe(["there"])
    consumer.poll(0)
    for each in (leader, other):
        while each.heartbeat() != REBALANCE_IN_PROGRESS:
            pass
    for each in (leader, other):
        each.join()
    for each in (leader, other):
        assert each.joined(late=True).members == {}
        assert each.leader not in {leader.id, other.id}
        each.sync()
    held = {partition for partition, owner in owners(world).items() if owner in {leader.id, other.id}}
    assert sorted(leader.share() + other.share()) == sorted(held)
    consumer.close()
    for each in (leader, other):
        while each.heartbeat() != REBALANCE_IN_PROGRESS:
            pass
        each.join()
    assert leader.joined().leader == other.joined().leader
    assert {*leader.members, *other.members} == {leader.id, other.id}


@pytest.mark.parametrize("version", [5, 9])
@pytest.mark.parametrize("leads", [True, False])
def test_a_static_member_that_comes_back_has_what_it_had(world: World, leads: bool, version: int) -> None:
    """From version 9 on one that leads is told so, and that it has assigned already; before it is not told."""
    first, second = both(world, instances=("one", "two"))
    first.sync({first: pack_assignment([ONE]), second: pack_assignment([ZERO])})
    second.sync()
    assert (first.share(), second.share()) == ([ONE], [ZERO])
    gone, stays = (first, second) if leads else (second, first)
    back = Consumer(world, instance=gone.instance)
    back.version = version
    back.join()
    assert back.joined().generation == gone.generation
    told = leads and version == 9
    assert (back.leader == back.id, back.skips) == (told, told)
    assert back.members.keys() == ({back.id, stays.id} if told else set())
    assert leads or back.leader == first.id
    assert back.id != gone.id
    assert stays.heartbeat() == 0
    back.sync({back: pack_assignment(BOTH)})  # too late to say so
    assert back.share() == ([ONE] if leads else [ZERO])
    assert stays.heartbeat() == 0


def test_a_static_member_that_comes_back_before_the_leader_spoke_is_in_the_next_generation(world: World) -> None:
    first, second = both(world, instances=("one", "two"))
    back = Consumer(world, instance="one")
    back.join()
    second.sync()
    assert second.sync_error() == REBALANCE_IN_PROGRESS
    assert not back.is_answered()
    second.join()
    assert back.joined().generation == second.joined().generation > first.generation
    assert back.members.keys() == {back.id, second.id}


def test_a_static_member_that_leads_does_so_when_it_came_back_while_others_join(world: World) -> None:
    first, second = Consumer(world, instance="one"), Consumer(world)
    first.join()
    first.joined()
    second.join()
    back = Consumer(world, instance="one")
    back.join()
    assert back.joined().leader == second.joined().leader == back.id


def test_consumers_go_over_to_an_assignor_of_their_own_one_by_one(world: World) -> None:
    """First all offer it as well, then each comes back with it alone: there is one group all the time."""
    first, second = both(world, offers=("range", "mine"))
    assert first.protocol == "range"
    first.sync({first: pack_assignment([ZERO]), second: pack_assignment([ONE])})
    second.sync()
    first.share(), second.share()
    stranger = Consumer(world, offers=("other",))
    stranger.join()
    assert stranger.told is not None and stranger.told.error_code == INCONSISTENT_GROUP_PROTOCOL
    stayed = [first, second]
    for _ in range(2):
        world.ask(LEAVE_GROUP, 0, group_id="led", member_id=stayed.pop(0).id)
        stayed.append(Consumer(world, offers=("mine",)))
        for each in reversed(stayed):  # who stays would be alone before the other comes, and be answered at once
            each.join()
        for each in stayed:
            assert each.joined().protocol == "mine"
        (leader,) = (each for each in stayed if each.members)
        leader.sync({stayed[0]: pack_assignment([ONE]), stayed[1]: pack_assignment([ZERO])})
        for each in stayed:
            if each is not leader:
                each.sync()
        assert [each.share() for each in stayed] == [[ONE], [ZERO]]


def test_what_a_static_member_had_before_it_came_back_goes_to_whom_its_leader_gives_it(world: World) -> None:
    first, second = Consumer(world, instance="one"), Consumer(world)
    first.join()
    first.joined()
    first.sync({first: pack_assignment(BOTH)})
    assert first.share() == BOTH
    second.join()
    back = Consumer(world, instance="one")
    back.join()
    back.joined(), second.joined()
    back.sync({second: pack_assignment(BOTH)})
    second.sync()
    assert (back.share(), second.share()) == ([], BOTH)
