"""One member at a time, on a clock that a test moves: joining, looking around, leaving, being taken for dead.

Several members live in this process, each with a cluster and a clock of its own, and act when the test says so. What
needs real processes is in test_promises.py and test_random_group.py.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded import patterns
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.groups import membership
from pykafka_store.embedded.groups.database import GroupDatabase, GroupRow, MemberRow
from pykafka_store.embedded.groups.leases import group_directory
from pykafka_store.embedded.groups.membership import Change, Member, MemberSettings, Subscribed
from pykafka_store.embedded.serving.members import new_member, subscribed_to
from pykafka_store.errors import (
    FencedInstanceIdError,
    GroupIdNotFoundError,
    GroupNotEmptyError,
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidRegularExpressionError,
    StorageError,
    UnknownMemberIdError,
    UnsupportedVersionError,
)
from pykafka_store.model import TopicPartition

SESSION = 10.0
NEVER = 3600.0


class HeldClock(Clock):
    """Time that passes when a test says so, or when something sleeps."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class World:
    """A data directory, and members in it that all go by one clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = HeldClock()
        self._clusters: list[EmbeddedCluster] = []
        self._members: list[Member] = []
        self._beats = 0
        self.cluster = self.open()
        self.admin = self.cluster.admin()
        self.database = self.cluster.engine.groups

    def open(self) -> EmbeddedCluster:
        cluster = EmbeddedCluster(str(self.directory), clock=self.clock)
        self._clusters.append(cluster)
        return cluster

    def member(
        self,
        *topics: str,
        pattern: re.Pattern[str] | None = None,
        instance: str | None = None,
        assignors: Sequence[str] = ("range",),
        group: str = "g",
        beats: bool = False,
        session: float = SESSION,
        client: str = "c",
    ) -> Member:
        """A member that has joined. Its heart is silent unless it ``beats``."""
        settings = MemberSettings(
            group=group,
            client_id=client,
            instance_id=instance,
            protocol="classic",
            assignors=tuple(assignors),
            session_timeout=session,
            heartbeat_interval=0.01 if beats else NEVER,
            max_poll_interval=NEVER,
        )
        member = Member(self.open().engine, settings)
        self._members.append(member)
        member.join(Subscribed(topics, pattern))
        return member

    def settle(self, *members: Member) -> None:
        """Let these members look around in turns, doing what they are told, until none has anything left to do."""
        for _ in range(100):
            self.clock.sleep(0.2)
            if not [change for change in map(obey, members) if change != Change()]:
                return
        raise AssertionError("the members never came to rest")

    def pass_time(self, seconds: float, *beating: Member) -> None:
        """Let time pass, at the end of which these members' hearts have just beaten."""
        self.clock.sleep(seconds)
        self._beats += 1
        for member in beating:
            os.utime(self.lease(member), (self._beats, self._beats))

    def databases(self) -> list[GroupDatabase]:
        return [cluster.engine.groups for cluster in self._clusters]

    def lease(self, member: Member) -> Path:
        assert member._lease is not None
        return Path(member._lease.path)

    def row(self, group: str = "g") -> GroupRow:
        found = self.database.group(group)
        assert found is not None
        return found

    def leases(self, group: str = "g") -> list[str]:
        return sorted(os.listdir(self.directory / "groups" / group_directory(group)))

    def die(self, member: Member) -> None:
        """What the kernel does for a process that is killed: its lease's lock is gone, its file stays."""
        lease = member._lease
        assert lease is not None
        lease.release(keep_file=True)
        self._members.remove(member)

    def close(self) -> None:
        for member in self._members:
            lease = member._lease
            if lease is not None:
                lease.release(keep_file=True)
        for cluster in self._clusters:
            cluster.close()


def obey(member: Member) -> Change:
    """One look, and what it asks for is done."""
    change = member.look_at_group()
    if change.to_revoke:
        member.give_up(change.to_revoke)
    return change


def owned(member: Member) -> str:
    return " ".join(map(str, sorted(member.owned)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    try:
        yield made
    finally:
        made.close()


# ------------------------------------------------------------------------------------------------------- join and leave


def test_the_first_member_owns_everything_at_its_first_look(world: World) -> None:
    world.admin.create_topic("t", partitions=3)
    member = world.member("t")
    change = member.look_at_group()
    assert change.taken == tuple(TopicPartition("t", number) for number in range(3))
    assert world.admin.describe_group("g").state == "Stable"


def test_a_second_member_takes_only_what_the_first_has_given_up(world: World) -> None:
    """No barrier: what does not move is never let go of, and nothing is owned twice."""
    world.admin.create_topic("t", partitions=4)
    first = world.member("t", assignors=["cooperative-sticky"])
    world.settle(first)
    second = world.member("t", assignors=["cooperative-sticky"])
    assert second.look_at_group() == Change()
    world.clock.sleep(0.2)
    change = first.look_at_group()
    assert len(change.to_revoke) == 2
    assert second.look_at_group().taken == ()  # asked to, but not given up yet
    first.give_up(change.to_revoke)
    world.clock.sleep(0.2)
    assert second.look_at_group().taken == change.to_revoke
    world.settle(first, second)
    assert sorted([*first.owned, *second.owned]) == [TopicPartition("t", number) for number in range(4)]


def test_what_is_owned_can_not_be_taken(world: World) -> None:
    """Not even by the member that is to have it, whatever it believed to be free when it asked."""
    world.admin.create_topic("t", partitions=2)
    first = world.member("t", client="a")
    world.settle(first)
    second = world.member("t", client="b")
    assert second.member_id is not None
    partition = TopicPartition("t", 1)
    assert world.database.targets("g")[partition] == second.member_id
    assert world.database.acquire("g", second.member_id, [partition]) == {}
    assert world.database.owners("g")[partition] == first.member_id
    world.settle(first, second)
    assert (
        world.database.acquire("g", second.member_id, [TopicPartition("t", 0)]) == {}
    )  # nor what is another's to have


def test_leaving_leaves_nothing_behind(world: World) -> None:
    world.admin.create_topic("t", partitions=4)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    second.leave()
    world.settle(first)
    assert len(first.owned) == 4
    assert world.leases() == [world.lease(first).name]
    first.leave()
    assert world.leases() == []
    assert world.admin.describe_group("g").state == "Empty"
    assert world.database.owners("g") == {}
    assert world.database.targets("g") == {}


def test_who_was_not_given_all_of_its_share_yet_does_not_leave(world: World) -> None:
    """What it leaves behind would be nobody's: who has it now is about to give it up."""
    world.admin.create_topic("t", partitions=2)
    first = world.member("t")
    assert not first.leave_if_settled()
    world.settle(first)
    second = world.member("t")
    obey(second)
    assert not second.owned
    assert not second.leave_if_settled()
    assert not first.leave_if_settled()
    world.settle(first, second)
    assert second.leave_if_settled()
    assert world.leases() == [world.lease(first).name]


@pytest.mark.parametrize("how", ["leaves", "dies"])
def test_who_is_given_more_by_another_s_end_does_not_leave_before_it_has_taken_it(world: World, how: str) -> None:
    """Though it has not looked since: the question is asked in the transaction that would take it out."""
    world.admin.create_topic("t", partitions=2)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    if how == "leaves":
        assert first.leave_if_settled()
    else:
        world.die(first)
    assert not second.leave_if_settled()
    assert second.member_id is not None
    world.settle(second)
    assert owned(second) == "t-0 t-1"
    assert second.leave_if_settled()
    assert (world.database.members("g"), world.leases()) == ([], [])


def test_a_settled_static_member_only_goes_away(world: World) -> None:
    world.admin.create_topic("t")
    member = world.member("t", instance="one")
    world.settle(member)
    assert member.leave_if_settled()
    assert [row.instance_id for row in world.database.members("g")] == ["one"]
    assert world.database.owners("g").keys() == {TopicPartition("t", 0)}


def test_joining_again_changes_the_subscription(world: World) -> None:
    world.admin.create_topic("a")
    world.admin.create_topic("b")
    member = world.member("a")
    world.settle(member)
    member.join(Subscribed(("b",), None))
    world.settle(member)
    assert owned(member) == "b-0"
    assert world.leases() == [world.lease(member).name]


def test_idle_members_wait_and_take_over(world: World) -> None:
    """More members than partitions: the extra one owns nothing until there is something for it."""
    world.admin.create_topic("t", partitions=1)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    owner, idle = (first, second) if first.owned else (second, first)
    assert idle.owned == {}
    owner.leave()
    world.settle(idle)
    assert owned(idle) == "t-0"


def test_a_settled_member_writes_nothing(world: World) -> None:
    """Looking around costs no transaction while nothing happens, and none while others commit."""
    world.admin.create_topic("t", partitions=2)
    first, second = world.member("t", session=NEVER), world.member("t", session=NEVER)
    world.settle(first, second)
    with counted(world) as writes:
        for _ in range(50):
            world.clock.sleep(0.2)
            assert first.look_at_group() == second.look_at_group() == Change()
        assert writes() == 0
    world.admin.alter_group_offsets("other", {TopicPartition("t", 0): 0})
    with counted(world) as writes:
        world.settle(first, second)
        assert writes() == 0


def test_waiting_for_a_slow_member_writes_nothing(world: World) -> None:
    """Who waits for a partition looks whether it is free, and does not take the database's lock to find out."""
    world.admin.create_topic("t", partitions=2)
    slow = world.member("t", session=NEVER)
    world.settle(slow)
    waiting = world.member("t", session=NEVER)
    waiting.look_at_group()
    with counted(world) as writes:
        for _ in range(50):
            world.clock.sleep(0.2)
            assert waiting.look_at_group() == Change()
        assert writes() == 0
    world.settle(slow, waiting)
    assert len(waiting.owned) == 1


class counted:  # noqa: N801 - reads as a verb
    """Counts the write transactions of all clusters in this process while it is open."""

    def __init__(self, world: World) -> None:
        self._count = 0
        self._world = world

    def __enter__(self) -> Callable[[], int]:
        for cluster in self._world._clusters:
            cluster.engine.groups._connection.set_trace_callback(self._traced)
        return lambda: self._count

    def _traced(self, statement: str) -> None:
        self._count += statement.startswith("BEGIN")

    def __exit__(self, *_: object) -> None:
        for cluster in self._world._clusters:
            cluster.engine.groups._connection.set_trace_callback(None)


# --------------------------------------------------------------------------------------------------------- the departed


def test_a_dead_member_is_missed_at_the_next_look(world: World) -> None:
    """The lock that the kernel dropped says so; no session timeout is waited for."""
    world.admin.create_topic("t", partitions=2)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    world.die(second)
    world.clock.sleep(0.16)
    assert len(obey(first).taken) == 1
    assert len(first.owned) == 2
    assert world.leases() == [world.lease(first).name]


def test_a_dead_member_is_not_described(world: World) -> None:
    """Even where no other member is left that could have noticed."""
    world.admin.create_topic("t")
    member = world.member("t")
    world.settle(member)
    world.die(member)
    found = world.admin.describe_group("g")
    assert (found.state, found.members) == ("Empty", ())
    assert world.leases() == []


def test_a_member_that_joins_while_another_looks_is_watched(world: World) -> None:
    """Whatever comes between two questions of one look: the newcomer's death is noticed later."""
    world.admin.create_topic("t", partitions=1)
    first = world.member("t", client="a")
    world.settle(first)
    world.admin.create_topic("unrelated")  # the catalogue moves, and so the next look asks everything
    late: list[Member] = []
    counts = first._catalog.partition_counts

    def join_meanwhile() -> dict[str, int]:
        if not late:
            late.append(world.member("t", client="b"))  # behind the first: owns nothing
            world.settle(late[0])
        return counts()

    first._catalog.partition_counts = join_meanwhile  # type: ignore[method-assign]
    world.settle(first)
    world.settle(first, late[0])
    world.die(late[0])
    world.settle(first)
    assert [row.id for row in world.database.members("g")] == [first.member_id]


def test_a_silent_member_is_expired_after_its_session_timeout(world: World) -> None:
    """It holds its lock, as a frozen process does, and does not beat."""
    world.admin.create_topic("t", partitions=2)
    watching, frozen = world.member("t"), world.member("t")
    world.settle(watching, frozen)
    world.settle(watching)
    seen = world.clock.at
    while world.clock.at < seen + SESSION - 1:
        world.clock.sleep(0.5)
        assert watching.look_at_group() == Change()
    world.clock.sleep(1.5)
    obey(watching)
    assert len(watching.owned) == 2
    assert not frozen.check_held()


def test_a_member_that_beats_is_not_expired(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    watching, beating = world.member("t"), world.member("t", beats=True)
    world.settle(watching, beating)
    path = world.lease(beating)
    for _ in range(5):
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:
            pass  # the heart beats on its own
        world.clock.sleep(SESSION * 0.9)
        assert watching.look_at_group() == Change()
    assert beating.check_held()


def test_a_watcher_that_was_frozen_in_the_middle_of_a_look_takes_nobody_for_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first look at the other's lease takes longer than a session, in which the other's heart beats."""
    world.admin.create_topic("t")
    first, second = world.member("t"), world.member("t")
    changed_at, naps = second._disk.changed_at, [2 * SESSION]

    def after_a_nap(path: str) -> int:
        if naps:
            world.pass_time(naps.pop(), first)
        return changed_at(path)

    second._watch.keep(())  # as if it had not looked yet
    monkeypatch.setattr(second._disk, "changed_at", after_a_nap)
    for _ in range(3):
        world.clock.sleep(0.2)
        second.look_at_group()
    assert not naps
    assert first.check_held()
    assert len(world.database.members("g")) == 2


def test_the_watchers_clock_counts_and_not_the_time_of_day(world: World) -> None:
    """A lease whose file seems to be years old, or of next year, is as good as any."""
    world.admin.create_topic("t", partitions=2)
    watching, other = world.member("t"), world.member("t")
    path = world.lease(other)
    for stamp in (0, 1 << 32):
        os.utime(path, (stamp, stamp))
        world.settle(watching, other)
        assert len(watching.owned) == len(other.owned) == 1


def test_an_expired_member_loses_what_it_owned_and_joins_again(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    watching, frozen = world.member("t"), world.member("t")
    world.settle(watching, frozen)
    world.settle(watching)
    before, had = frozen.member_id, tuple(frozen.owned)
    epochs = dict(frozen.owned)
    world.pass_time(SESSION, watching)
    obey(watching)

    assert not frozen.check_held()
    with pytest.raises(UnknownMemberIdError, match="group 'g'"):
        commit(world, frozen, {had[0]: 7}, epochs)
    assert world.admin.group_offsets("g") == {}

    change = frozen.look_at_group()
    assert change == Change(lost=had)
    assert frozen.member_id != before
    world.settle(watching, frozen)
    assert len(watching.owned) == len(frozen.owned) == 1


def test_a_member_whose_data_directory_is_away_makes_none_in_its_place_and_joins_again(world: World) -> None:
    """Else it could not be moved back, or mounted over what is there: ``mv`` would put it inside of that."""
    world.admin.create_topic("t", partitions=2)
    member = world.member("t")
    world.settle(member)
    had, away = tuple(sorted(member.owned)), world.directory.with_name("away")
    world.directory.rename(away)

    assert not member.check_held()
    world.clock.sleep(0.2)
    assert member.look_at_group() == Change(lost=had)
    for _ in range(3):
        world.clock.sleep(0.2)
        assert member.look_at_group() == Change()
    assert not world.directory.exists()

    away.rename(world.directory)
    assert member.look_at_group() == Change()
    world.settle(member)
    assert tuple(sorted(member.owned)) == had


def test_others_are_not_taken_for_dead_where_the_directory_goes_away_amid_a_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their leases can't be seen, nor can one's own: they have their partitions still when it is back."""
    world.admin.create_topic("t", partitions=2)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    theirs, away = tuple(second.owned), world.directory.with_name("away")
    judged = first._watch.is_gone

    def meanwhile(name: str, timeout: float, *, static: bool) -> bool:
        if world.directory.exists():
            world.directory.rename(away)
        return judged(name, timeout, static=static)

    monkeypatch.setattr(first._watch, "is_gone", meanwhile)
    world.clock.sleep(0.2)
    first.look_at_group()
    away.rename(world.directory)
    assert second.check_held()
    assert not set(theirs) & set(first.owned)
    monkeypatch.undo()
    world.settle(first, second)
    assert tuple(second.owned) == theirs


def commit(
    world: World, member: Member, offsets: Mapping[TopicPartition, int], epochs: Mapping[TopicPartition, int]
) -> None:
    ids = dict(world.cluster.engine.catalog.topic_names())
    world.database.commit("g", offsets, ids, 0, member_id=member.member_id, epochs=epochs)


def test_a_commit_for_a_partition_that_went_to_another_changes_nothing(world: World) -> None:
    """All or none: what is still owned is not committed either."""
    world.admin.create_topic("t", partitions=2)
    first = world.member("t")
    world.settle(first)
    epochs = dict(first.owned)
    second = world.member("t")
    world.settle(first, second)
    kept = next(iter(first.owned))
    gone = next(iter(second.owned))
    with pytest.raises(IllegalGenerationError, match=str(gone)):
        commit(world, first, {kept: 5, gone: 5}, epochs)
    assert world.admin.group_offsets("g") == {}
    commit(world, first, {kept: 5}, first.owned)
    assert world.admin.group_offsets("g")[kept].offset == 5


def test_an_older_ownership_of_the_same_member_does_not_count(world: World) -> None:
    """A partition that went and came back is owned under a new epoch."""
    world.admin.create_topic("t", partitions=1)
    member = world.member("t", client="b")
    world.settle(member)
    old = dict(member.owned)
    first_in_order = world.member("t", client="a")
    world.settle(member, first_in_order)
    assert not member.owned
    first_in_order.leave()
    world.settle(member)
    partition = TopicPartition("t", 0)
    assert member.owned[partition] > old[partition]
    with pytest.raises(IllegalGenerationError):
        commit(world, member, {partition: 1}, old)


def test_a_member_that_failed_to_join_again_can_try_once_more(world: World) -> None:
    """Expired, and meanwhile the group speaks another language: the error comes at each look, until it fits again."""
    world.admin.create_topic("t")
    first = world.member("t", assignors=["range"], session=1.0)
    world.settle(first)
    second = world.member("t", assignors=["range", "sticky"])
    world.settle(first, second)
    world.settle(second)
    world.pass_time(2, second)
    world.settle(second)
    third = world.member("t", assignors=["sticky"])
    for _ in range(2):
        with pytest.raises(InconsistentGroupProtocolError):
            first.look_at_group()
    third.leave()
    first.look_at_group()
    world.settle(first, second)
    assert len(world.database.members("g")) == 2


# ------------------------------------------------------------------------------------------------------- static members


def test_a_static_member_that_comes_back_in_time_finds_its_partitions(world: World) -> None:
    """KIP-345: no new target, and nobody else has to give up or take anything."""
    world.admin.create_topic("t", partitions=4)
    other, static = world.member("t"), world.member("t", instance="one")
    world.settle(other, static)
    had, before = owned(static), world.row()
    static.leave()
    world.pass_time(SESSION / 2, other)
    assert other.look_at_group() == Change()
    again = world.member("t", instance="one")
    assert other.look_at_group() == Change()
    world.settle(other, again)
    assert owned(again) == had
    assert world.row() == before
    assert world.leases() == sorted([world.lease(other).name, world.lease(again).name])


def test_a_static_member_that_comes_back_leaves_to_others_what_is_theirs_by_now(world: World) -> None:
    """Nobody else could take it as long as it was away, and it does not know that it had it."""
    world.admin.create_topic("t", partitions=2)
    static = world.member("t", instance="one")
    world.settle(static)
    static.leave()
    other = world.member("t")
    world.settle(other)
    assert owned(other) == ""
    again = world.member("t", instance="one")
    world.settle(other, again)
    assert {owned(other), owned(again)} == {"t-0", "t-1"}


def test_a_static_members_partitions_go_after_its_session_timeout(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    other, static = world.member("t"), world.member("t", instance="one")
    world.settle(other, static)
    static.leave()
    world.settle(other)
    assert len(other.owned) == 1
    world.pass_time(SESSION, other)
    world.settle(other)
    assert len(other.owned) == 2
    assert world.leases() == [world.lease(other).name]


def test_a_static_member_that_came_back_is_watched_under_its_new_lease(world: World) -> None:
    """And neither is its old lease asked for again and again."""
    world.admin.create_topic("t", partitions=2)
    other, static = world.member("t"), world.member("t", instance="one")
    world.settle(other, static)
    static.leave()
    again = world.member("t", instance="one")
    world.settle(other, again)
    world.pass_time(SESSION + 1, other, again)
    world.settle(other, again)
    with counted(world) as writes:
        for _ in range(10):
            world.clock.sleep(0.2)
            assert other.look_at_group() == Change()
        assert writes() == 0
    again.leave()
    world.settle(other)
    world.pass_time(SESSION, other)
    world.settle(other)
    assert len(other.owned) == 2


def test_a_static_member_whose_place_was_taken_is_fenced(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    old = world.member("t", instance="one")
    world.settle(old)
    had, id = dict(old.owned), old.member_id
    new = world.member("t", instance="one")
    assert not old.check_held()
    for _ in range(2):
        with pytest.raises(FencedInstanceIdError, match="one"):
            old.look_at_group()
    with pytest.raises(UnknownMemberIdError):
        commit(world, old, dict.fromkeys(had, 3), had)
    assert id != new.member_id
    world.settle(new)
    assert owned(new) == "t-0 t-1"
    old.leave()
    assert new.check_held()


def test_a_fenced_static_member_does_not_fence_back(world: World) -> None:
    """Not even if it finds its lease gone a moment before the tables say why: only what a transaction reads counts."""
    world.admin.create_topic("t", partitions=2)
    old = world.member("t", instance="one")
    world.settle(old)
    before = world.database.members("g")
    new = world.member("t", instance="one")
    database = old._database
    members = database.members

    def late(group: str) -> list[MemberRow]:
        return members(group) if database._connection.in_transaction else before

    database.members = late  # type: ignore[method-assign]
    world.clock.sleep(0.2)
    for _ in range(2):
        with pytest.raises(FencedInstanceIdError):
            old.look_at_group()
    assert new.check_held()
    assert [row.id for row in world.database.members("g")] == [new.member_id]


def test_a_dead_static_member_does_not_keep_its_group_alive_for_ever(world: World) -> None:
    """Nobody watches; its session ends all the same, and then the group is empty and may be reset and deleted."""
    world.admin.create_topic("t")
    static = world.member("t", instance="one", session=0.3)
    world.settle(static)
    lease = world.lease(static)
    static.leave()
    os.utime(lease)
    with pytest.raises(GroupNotEmptyError):
        world.admin.delete_group("g")
    os.utime(lease, (lease.stat().st_mtime - 1, lease.stat().st_mtime - 1))
    assert world.admin.describe_group("g").state == "Empty"
    assert world.leases() == []
    world.admin.delete_group("g")


# --------------------------------------------------------------------------------------------------- topics that change


def test_partitions_that_are_added_are_shared_out(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    first, second = world.member("t"), world.member("t")
    world.settle(first, second)
    before = world.row().epoch
    world.admin.create_partitions("t", 6)
    world.settle(first, second)
    assert len(first.owned) == len(second.owned) == 3
    assert world.row().epoch == before + 1


def test_a_pattern_takes_in_topics_as_they_appear(world: World) -> None:
    world.admin.create_topic("logs-a")
    world.admin.create_topic("other")
    member = world.member(pattern=re.compile("logs-.*"))
    world.settle(member)
    assert owned(member) == "logs-a-0"
    world.admin.create_topic("logs-b")
    world.admin.create_topic("my-logs-c")
    world.settle(member)
    assert owned(member) == "logs-a-0 logs-b-0"


def test_a_pattern_keeps_its_flags(world: World) -> None:
    """Others compute the target too: what they compile must be the same pattern."""
    world.admin.create_topic("LOGS-a")
    member = world.member(pattern=re.compile("logs-.*  # all of them", re.IGNORECASE | re.VERBOSE | re.ASCII))
    world.settle(member)
    assert owned(member) == "LOGS-a-0"


def test_members_of_one_pattern_share_what_one_of_them_found(world: World) -> None:
    """A new topic is one change of the group, and not one for each member."""
    world.admin.create_topic("logs-a", partitions=2)
    first, second = (world.member(pattern=re.compile("logs-.*")) for _ in range(2))
    third = world.member(pattern=re.compile("logs-a|other"))
    world.settle(first, second, third)
    before = world.row().epoch
    world.admin.create_topic("logs-b", partitions=2)
    world.settle(first, second, third)
    assert world.row().epoch == before + 1
    assert {partition.topic for partition in third.owned} <= {"logs-a"}
    assert {partition.topic for partition in first.owned | second.owned} == {"logs-a", "logs-b"}


ENDLESS = re.compile(r"([a-z]+-?)+\.dlq")


def test_a_pattern_that_takes_for_ever_is_refused_and_nobody_joins_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "LIMIT", 0.05)
    world.admin.create_topic("a" * 33)
    with pytest.raises(InvalidRegularExpressionError, match="repetition"):
        world.member(pattern=ENDLESS)
    assert world.database.group("g") is None
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_a_client_of_a_server_has_little_time_for_its_pattern_and_none_when_it_asks_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All clients wait for it meanwhile, and one that is refused may join again and again."""
    monkeypatch.setattr(patterns, "LIMIT", 1e6)
    limits: list[float] = []
    set_timer = signal.setitimer

    def watched(which: int, seconds: float) -> tuple[float, float]:
        limits.append(seconds)
        return set_timer(which, seconds)

    monkeypatch.setattr(signal, "setitimer", watched)
    world.admin.create_topic("b" * 33)
    for _ in range(3):
        member = new_member(
            world.cluster.engine, "g", "client", member_id=None, instance_id=None, protocol="consumer",
            assignors=("uniform",), session_timeout=45,
        )  # fmt: skip
        with pytest.raises(InvalidRegularExpressionError, match=r"after 0.25 s"):
            member.join(subscribed_to((), ENDLESS.pattern))
    assert limits == [patterns.LIMIT_OF_A_SERVER, 0]
    assert patterns.matching(re.compile(ENDLESS.pattern), ["a.dlq"]) == ["a.dlq"]  # of other names nothing is known


def test_a_pattern_that_takes_for_ever_later_on_stops_only_its_own_member(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "LIMIT", 0.05)
    world.admin.create_topic("a.dlq")
    evil, good = world.member(pattern=ENDLESS), world.member("a.dlq", "b")
    world.settle(evil, good)
    world.admin.create_topic("a" * 33)
    world.admin.create_topic("b")
    world.clock.sleep(1)
    with pytest.raises(InvalidRegularExpressionError):
        evil.look_at_group()
    world.settle(good)
    assert TopicPartition("b", 0) in good.owned
    assert len(world.admin.describe_group("g").members) == 2
    world.die(evil)
    world.settle(good)
    assert owned(good) == "a.dlq-0 b-0"


def test_no_pattern_is_matched_inside_a_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor by anybody but the member whose pattern it is."""
    matched = []

    def watched(pattern: re.Pattern[str], names: Iterable[str], limit: float | None) -> list[str]:
        assert not [each for each in world.databases() if each._connection.in_transaction]
        matched.append(pattern.pattern)
        return patterns.matching(pattern, names, limit)

    monkeypatch.setattr(membership, "matching", watched)
    world.admin.create_topic("logs-a", partitions=4)
    first = world.member(pattern=re.compile("logs-.*"))
    assert matched == ["logs-.*"]
    matched.clear()
    second = world.member("logs-a")
    for _ in range(20):
        world.clock.sleep(0.2)
        obey(second)
    world.die(first)
    world.admin.describe_group("g")
    world.settle(second)
    assert len(second.owned) == 4
    assert matched == []


def test_a_named_topic_that_appears_later_is_taken(world: World) -> None:
    member = world.member("later")
    assert member.look_at_group() == Change()
    world.admin.create_topic("later", partitions=2)
    world.settle(member)
    assert owned(member) == "later-0 later-1"


def test_a_topic_that_is_deleted_is_given_up(world: World) -> None:
    world.admin.create_topic("a")
    world.admin.create_topic("b")
    member = world.member("a", "b")
    world.settle(member)
    world.admin.delete_topic("a")
    world.settle(member)
    assert owned(member) == "b-0"
    assert world.admin.describe_group("g").state == "Stable"


def test_members_with_different_topics_share_what_they_share(world: World) -> None:
    world.admin.create_topic("a", partitions=2)
    world.admin.create_topic("b", partitions=2)
    first, second = world.member("a"), world.member("a", "b")
    world.settle(first, second)
    assert {partition.topic for partition in first.owned} == {"a"}
    assert len(first.owned) == 1
    assert len(second.owned) == 3


# ----------------------------------------------------------------------------------------- the group's epoch, assignors


def test_the_epoch_rises_with_each_change_and_with_nothing_else(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    first = world.member("t")
    world.settle(first)
    epochs = [world.row().epoch]
    world.settle(first)
    assert world.row().epoch == epochs[0]
    second = world.member("t")
    world.settle(first, second)
    epochs.append(world.row().epoch)
    commit(world, first, {next(iter(first.owned)): 1}, first.owned)
    world.admin.create_topic("unrelated")
    world.settle(first, second)
    assert world.row().epoch == epochs[-1]
    second.leave()
    epochs.append(world.row().epoch)
    assert epochs == list(range(epochs[0], epochs[0] + 3))


def test_the_target_is_computed_once_by_whoever_sees_the_change_first(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    trio = [world.member("t") for _ in range(3)]
    world.settle(*trio)
    before = world.row().epoch
    world.admin.create_partitions("t", 3)
    world.settle(*trio)
    assert world.row().epoch == before + 1


def test_members_that_share_no_assignor_are_refused_and_nothing_changes(world: World) -> None:
    world.admin.create_topic("t")
    member = world.member("t", assignors=["range", "cooperative-sticky"])
    world.settle(member)
    before = world.row(), world.database.members("g"), world.database.owners("g"), world.leases()
    with pytest.raises(InconsistentGroupProtocolError, match=r"roundrobin.*range, cooperative-sticky"):
        world.member("t", assignors=["roundrobin"])
    assert (world.row(), world.database.members("g"), world.database.owners("g"), world.leases()) == before
    assert member.look_at_group() == Change()


def test_the_assignor_is_the_one_that_all_know(world: World) -> None:
    """A rolling change of assignors, as Kafka's documentation describes it."""
    world.admin.create_topic("t", partitions=2)
    first = world.member("t", assignors=["range"])
    world.settle(first)
    assert world.row().assignor == "range"
    second = world.member("t", assignors=["sticky", "range"])
    world.settle(first, second)
    assert world.row().assignor == "range"
    first.leave()
    world.settle(second)
    assert world.row().assignor == "sticky"


def test_groups_know_nothing_of_each_other(world: World) -> None:
    world.admin.create_topic("t", partitions=2)
    one, two = world.member("t", group="one"), world.member("t", group="two")
    world.settle(one, two)
    assert owned(one) == owned(two) == "t-0 t-1"
    assert world.admin.describe_group("one").epoch == world.admin.describe_group("two").epoch


# ------------------------------------------------------------------------------------------------------ weird group ids


WEIRD = [
    "plain",
    "a/b",
    "/etc/passwd",
    "..",
    ".",
    "../../brokers",
    "a\\b",
    "with space",
    " padded ",
    " ",
    "tab\tand\nline",
    "naïve-グループ-🎈",
    "ﬀ",
    "x" * 255,
    "é" * 300,
    "%2e%2e",
    "*",
    "-rf",
    "~",
    "nul\0inside",
    "'; DROP TABLE groups; --",
    "CON",
    "A",
    "a",
]


@pytest.mark.parametrize("group", WEIRD, ids=range(len(WEIRD)))
def test_any_group_id_works_and_stays_where_groups_are(world: World, group: str) -> None:
    world.admin.create_topic("t")
    before = {path for path in tree(world.directory.parent) if "groups" not in path}
    member = world.member("t", group=group)
    world.settle(member)
    assert world.admin.describe_group(group).members[0].assignment == (TopicPartition("t", 0),)
    assert [each.group_id for each in world.admin.list_groups()] == [group]
    member.leave()
    world.admin.alter_group_offsets(group, {TopicPartition("t", 0): 5})
    assert world.admin.group_offsets(group)[TopicPartition("t", 0)].offset == 5
    (directory,) = os.listdir(world.directory / "groups")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,100}", directory)
    world.admin.delete_group(group)
    assert os.listdir(world.directory / "groups") == []
    assert {path for path in tree(world.directory.parent) if "groups" not in path} == before
    assert world.admin.describe_group(group).state == "Dead"


def tree(directory: Path) -> list[str]:
    return [os.path.join(parent, name) for parent, folders, files in os.walk(directory) for name in folders + files]


def test_weird_group_ids_are_told_apart(world: World) -> None:
    world.admin.create_topic("t")
    for number, group in enumerate(WEIRD):
        world.admin.alter_group_offsets(group, {TopicPartition("t", 0): number})
        world.member("t", group=group)
    assert len(os.listdir(world.directory / "groups")) == len(WEIRD)
    assert sorted(each.group_id for each in world.admin.list_groups()) == sorted(WEIRD)
    for number, group in enumerate(WEIRD):
        assert world.admin.group_offsets(group)[TopicPartition("t", 0)].offset == number


def test_the_empty_group_id_can_commit_and_not_join(world: World) -> None:
    """Kafka's rule: a join needs a name, a commit does not."""
    world.admin.create_topic("t")
    with pytest.raises(InvalidGroupIdError):
        world.member("t", group="")
    world.admin.alter_group_offsets("", {TopicPartition("t", 0): 5})
    assert world.admin.group_offsets("")[TopicPartition("t", 0)].offset == 5
    world.admin.delete_group("")
    assert world.admin.list_groups() == []


@pytest.mark.parametrize("group", ["\ud800", b"latin-\xe9".decode("utf-8", "surrogateescape")], ids=["lone", "byte"])
def test_a_group_id_that_is_no_unicode_is_refused(world: World, group: str) -> None:
    """A Java string could hold it, and a database can't: an error that says so, and no crash."""
    world.admin.create_topic("t")
    with pytest.raises(InvalidGroupIdError, match="Unicode"):
        world.member("t", group=group)
    with pytest.raises(InvalidGroupIdError, match="Unicode"):
        world.admin.describe_group(group)
    with pytest.raises(InvalidGroupIdError, match="Unicode"):
        world.admin.alter_group_offsets(group, {TopicPartition("t", 0): 5})
    assert os.listdir(world.directory / "groups") == []


# -------------------------------------------------------------------------------------------------- tidiness, and races


def test_what_died_while_it_joined_is_cleared_away(world: World) -> None:
    """A lease under its temporary name, or one that never got into the tables: free, and nobody's."""
    world.admin.create_topic("t")
    member = world.member("t")
    folder = world.directory / "groups" / group_directory("g")
    (folder / "0123.joining").touch()
    (folder / "4567").touch()
    assert world.admin.describe_group("g").state != "Dead"
    assert world.leases() == [world.lease(member).name]


def test_deleting_a_group_does_not_touch_a_member_that_joins_meanwhile(world: World) -> None:
    """Somebody deletes a group again and again, and somebody else joins it and leaves it: no member loses its lease."""
    world.admin.create_topic("t")
    settings = world.member("t", group="other").settings._replace(group="g")
    disturbed: list[int] = []
    done = threading.Event()

    def come_and_go() -> None:
        try:
            with EmbeddedCluster(str(world.directory)) as cluster:
                member = Member(cluster.engine, settings)
                for number in range(300):
                    member.join(Subscribed(("t",), None))
                    if not member.check_held():
                        disturbed.append(number)
                    member.leave()
        finally:
            done.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    deleted = 0
    while not done.is_set():
        with suppress(GroupNotEmptyError, GroupIdNotFoundError):
            world.admin.delete_group("g")
            deleted += 1
    thread.join()
    assert deleted
    assert disturbed == []


def test_a_member_leaves_even_if_the_tables_can_not_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, at the worst moment: its free lease says that it is gone."""
    world.admin.create_topic("t")
    member = world.member("t")
    world.settle(member)

    def full(*_: object) -> None:
        raise StorageError("groups.db: database or disk is full")

    monkeypatch.setattr(type(world.database), "remove_member_within", full)
    with pytest.raises(StorageError):
        member.leave()
    monkeypatch.undo()
    assert world.admin.describe_group("g").state == "Empty"


def test_a_transaction_that_can_not_be_committed_is_rolled_back(world: World) -> None:
    """The connection can be used again: by the next commit, or by the one on close."""
    world.admin.create_topic("t")
    connection = world.database._connection
    connection.execute("CREATE TEMP TABLE parents (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TEMP TABLE orphans (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(StorageError), world.database.transaction():
        connection.execute("INSERT INTO temp.orphans VALUES (1)")  # which only the COMMIT refuses
    assert not connection.in_transaction
    world.admin.alter_group_offsets("g", {TopicPartition("t", 0): 1})


class Struck:
    """A connection that a signal strikes as one of its statements returns: what was waited for has happened by then."""

    def __init__(self, connection: sqlite3.Connection, statement: str) -> None:
        self._connection = connection
        self._statement: str | None = statement

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        cursor = self._connection.execute(sql, parameters)
        if sql == self._statement:
            self._statement = None
            raise KeyboardInterrupt
        return cursor

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
def test_a_signal_out_of_a_transaction_s_begin_or_end_leaves_none_open(
    world: World, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member that is interrupted can still commit and leave, and nobody waits for it."""
    world.admin.create_topic("t", partitions=1)
    member = world.member("t")
    world.settle(member)
    database = member._database
    monkeypatch.setattr(database, "_connection", Struck(database._connection, statement))
    before = database.version()
    with pytest.raises(KeyboardInterrupt), database.transaction():
        database.add_group_within("other")
    assert world.database.group_ids() == (["g"] if statement == "BEGIN IMMEDIATE" else ["g", "other"])
    assert (database.version() != before) == (statement == "COMMIT")
    with world.database.transaction():
        pass
    member.leave()
    assert world.database.members("g") == []


def test_a_transaction_that_a_signal_kept_from_its_body_is_ended_by_whoever_cleans_up(world: World) -> None:
    database = world.database
    try:
        abandoned = database.transaction()
        abandoned.__enter__()
        raise KeyboardInterrupt  # as from the last instructions of __enter__
    except KeyboardInterrupt:
        with database.transaction():
            database.add_group_within("g")
            del abandoned  # collected in the middle of another transaction, it leaves that alone
    assert database.group_ids() == ["g"]
    with pytest.raises(StorageError, match="within a transaction"), database.transaction(), database.transaction():
        pass


def test_a_database_that_another_process_makes_while_this_one_looks_for_it_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lexists = os.path.lexists

    def made_by_then(path: str) -> bool:
        if path.endswith("groups.db") and not lexists(path):
            with monkeypatch.context() as another:
                another.setattr(os.path, "lexists", lexists)
                GroupDatabase(str(tmp_path)).close()
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", made_by_then)
    database = GroupDatabase(str(tmp_path))
    with database.transaction():
        database.add_group_within("g")
    assert database.has_groups()
    database.close()


def test_a_database_of_a_newer_version_is_refused(world: World) -> None:
    world.database._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UnsupportedVersionError, match="upgrade"):
        _ = world.open().engine.groups
    world.database._connection.execute("PRAGMA user_version = 1")


def test_a_database_held_by_a_frozen_process_is_an_error_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.admin.create_topic("t")
    holder = world.open().engine.groups
    world.database._connection.execute("PRAGMA busy_timeout = 10")
    with holder.transaction(), pytest.raises(StorageError, match=r"groups\.db .* may be frozen"):
        world.admin.alter_group_offsets("g", {TopicPartition("t", 0): 1})


@pytest.mark.parametrize("ended", ["closed", "killed"])
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_that_may_only_be_read_is_described(ended: str) -> None:
    """A CI artefact: whatever its writer left of its databases, another user sees its groups."""
    with tempfile.TemporaryDirectory() as open_to_all:  # what pytest makes is not
        os.chmod(open_to_all, 0o755)
        script = READER.format(directory=os.path.join(open_to_all, "data"), ended=ended)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("g Empty 5\n", "")


READER = """
import fcntl, hashlib, json, os, shutil, struct, tempfile, uuid  # while one may read the interpreter's files
import pykafka_store.embedded.admin.topics, pykafka_store.embedded.admin.groups
import pykafka_store.embedded.admin.placement, pykafka_store.embedded.groups.live_members
from pykafka_store.embedded import patterns
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import TopicPartition
if not os.fork():
    cluster = EmbeddedCluster({directory!r})
    cluster.admin().create_topic("t")
    cluster.admin().alter_group_offsets("g", {{TopicPartition("t", 0): 5}})
    if {ended!r} == "closed":
        cluster.close()
    os._exit(0)
os.wait()
for parent, _, files in os.walk({directory!r}):
    os.chmod(parent, 0o555)
    for name in files:
        os.chmod(os.path.join(parent, name), 0o444)
os.setgid(65534)
os.setuid(65534)
with EmbeddedCluster({directory!r}) as cluster:
    admin = cluster.admin()
    for listed in admin.list_groups():
        for found in admin.group_offsets("g").values():
            print(listed.group_id, admin.describe_group(listed.group_id).state, found.offset)
"""


def test_a_directory_that_goes_away_while_a_member_joins_is_made_again(world: World) -> None:
    """Deleting a group takes its directory along; a join in the very same moment is no error."""
    world.admin.create_topic("t")
    disk = world.cluster.engine.disk
    folder = world.directory / "groups" / group_directory("g")

    class Racing(type(disk)):  # type: ignore[misc]
        times = 2

        def open(self, path: str, flags: int = os.O_RDONLY) -> int:
            if path.endswith(".joining") and self.times:
                self.times -= 1
                os.rmdir(folder)
            found: int = super().open(path, flags)
            return found

    settings = world.member("t", group="other").settings._replace(group="g")
    world.cluster.engine.disk = Racing()
    member = Member(world.cluster.engine, settings)
    world._members.append(member)
    member.join(Subscribed(("t",), None))
    assert member.check_held()
