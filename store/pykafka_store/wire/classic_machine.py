"""The classic protocol as it is: a leader assigns, all wait for each other. For protocols that the engine lacks:
Kafka Connect, Streams, KafkaJS, assignors of one's own.

What the members say to each other stays here, and is made anew by them if the server dies. That they are members, and
what a consumer's leader has given to whom, is in the directory: `kafka-consumer-groups` shows it, commits are checked
against it, and a member of another protocol is told that it does not fit.

Source: GroupMetadataManager.classicGroupJoin, classicGroupSync, classicGroupHeartbeat of Kafka's coordinator.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto
from typing import Any

from pykafka_store.embedded.serving.members import (
    TopicPartition,
    assign_partitions,
    has_members,
    new_member,
    subscribed_to,
    theirs,
)
from pykafka_store.errors import (
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    StoreError,
    UnknownMemberIdError,
)
from pykafka_store.wire.admin_groups import SelfAssigned
from pykafka_store.wire.broker import Broker
from pykafka_store.wire.classic_groups import check_protocol, join_failure
from pykafka_store.wire.invited import new_id
from pykafka_store.wire.leading import CONSUMER, REBALANCE_IN_PROGRESS, common_of, sync_failure, voted
from pykafka_store.wire.members import Members, Remote
from pykafka_store.wire.protocol import Reply, Request, parse_assignment, seconds

INITIAL_DELAY = 0.2
"""Seconds that a new group waits for more members, and for its first one to learn of its topics; a broker waits 3 s
(group.initial.rebalance.delay.ms), and clients are made for that.
"""


class _State(Enum):
    JOINING = auto()
    """Members join; those that were there are waited for."""
    SYNCING = auto()
    """All know the generation; the leader is to say who has what."""
    STABLE = auto()


class _Seat:
    """A member, as its group sees it."""

    def __init__(self, remote: Remote, protocols: tuple[tuple[str, bytes], ...]) -> None:
        self.remote = remote
        self.protocols = protocols
        self.joined = True
        """Whether it waits for the generation that is being made."""
        self.assignment = b""

    def metadata(self, protocol: str) -> bytes:
        return next((data for name, data in self.protocols if name == protocol), b"")


class MachineGroup:
    """One group."""

    def __init__(self, broker: Broker, members: Members, name: str, protocol_type: str) -> None:
        self._broker = broker
        self._members = members
        self.name = name
        self.protocol_type = protocol_type
        self.seats: dict[str, _Seat] = {}
        self.state = _State.JOINING
        self.generation = 0
        self.protocol = ""
        self.leader = ""
        self.deadline = 0.0
        self._earliest = broker.clock.monotonic() + INITIAL_DELAY

    def rebalance(self) -> None:
        """A new generation is to be made of those who join by the deadline."""
        if self.state is not _State.JOINING:
            self.state = _State.JOINING
            for seat in self.seats.values():
                seat.joined = False
            longest = max((seat.remote.rebalance for seat in self.seats.values()), default=0.0)
            self.deadline = self._broker.clock.monotonic() + longest
        self._broker.wake(("group", self.name))

    def add(self, seat: _Seat) -> None:
        """A member joins, for the first time or again."""
        self.rebalance()
        seat.joined = True
        if not self.seats:
            self.deadline = self._broker.clock.monotonic() + seat.remote.rebalance
        self.seats[seat.remote.id] = seat

    def drop(self, id: str) -> None:
        """A member is gone."""
        if self.seats.pop(id, None) is not None:
            if self.leader == id:
                self.leader = ""
            self.rebalance()

    def complete_if_due(self) -> None:
        """Make the generation if all have joined, or the time is over."""
        now = self._broker.clock.monotonic()
        if self.state is not _State.JOINING or not self.seats or now < self._earliest:
            return
        missing = [seat for seat in self.seats.values() if not seat.joined]
        if missing:
            if now < self.deadline:
                return
            for seat in missing:
                self.seats.pop(seat.remote.id, None)
                self._members.remove(seat.remote)
        if not any(seat.joined for seat in self.seats.values()):
            return
        self.generation += 1
        self.protocol = voted(self._offered()) or ""
        if self.leader not in self.seats:
            self.leader = next(iter(self.seats))
        self.state = _State.SYNCING
        for seat in self.seats.values():
            seat.assignment = b""
            seat.remote.epoch = self.generation
        self._broker.wake(("group", self.name))

    @property
    def common(self) -> set[str]:
        """The protocols that all have."""
        return common_of(self._offered())

    def _offered(self) -> list[list[str]]:
        return [[name for name, _ in seat.protocols] for seat in self.seats.values()]

    def settle(self, assignments: dict[str, bytes]) -> None:
        """The leader has said who has what."""
        for id, seat in self.seats.items():
            seat.assignment = assignments.get(id, b"")
        self.state = _State.STABLE
        if self.protocol_type == CONSUMER:
            shares = {
                seat.remote.member.member_id or id: [
                    TopicPartition(*each) for each in parse_assignment(seat.assignment) or ()
                ]
                for id, seat in self.seats.items()
            }
            epochs = assign_partitions(self._broker.engine, self.name, shares)
            for id, seat in self.seats.items():
                seat.remote.member.owned = epochs.get(seat.remote.member.member_id or id, {})
        self._broker.wake(("group", self.name))


class ClassicMachine:
    """Answers JoinGroup, SyncGroup, Heartbeat and LeaveGroup for the groups that are here."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members
        self._groups: dict[str, MachineGroup] = {}

    def has(self, group: str) -> bool:
        """Whether the group has members here."""
        return group in self._groups

    def described(self, name: str) -> SelfAssigned | None:
        """What a group's members speak; None for one that is not here."""
        group = self._groups.get(name)
        if group is None:
            return None
        return SelfAssigned(
            group.protocol_type,
            group.protocol,
            {id: seat.metadata(group.protocol) for id, seat in group.seats.items()},
            {id: seat.assignment for id, seat in group.seats.items()},
        )

    def group(self, name: str) -> MachineGroup:
        """Raises UnknownMemberIdError."""
        found = self._groups.get(name)
        if found is None:
            raise UnknownMemberIdError("The coordinator is not aware of this member.")
        return found

    # ----------------------------------------------------------------------------------------------------------- join

    def join(self, request: Request) -> Reply | WaitingGeneration:
        """The answer, or what waits for the others."""
        body = request.body
        try:
            protocols = tuple((each.name, each.metadata) for each in body.protocols)
            seat, is_current = self._seat(request, protocols)
        except StoreError as error:
            return join_failure(body.member_id, error)
        group = self._groups[body.group_id]
        if is_current:
            return generation_reply(group, seat)
        waiting = WaitingGeneration(self._broker, group, seat)
        return waiting.attempt(late=False) or waiting

    def check(self, body: Any) -> None:
        """Whether the group may have a member that speaks like this. Raises InconsistentGroupProtocolError. Source:
        ClassicGroup.supportsProtocols.
        """
        if not body.protocols or not body.protocol_type:
            raise InconsistentGroupProtocolError("The member names no protocol")
        group = self._groups.get(body.group_id)
        # Who is in no group of these is a consumer, whatever the names of its assignors.
        spoken = CONSUMER if group is None else group.protocol_type
        if spoken != body.protocol_type and (group is not None or has_members(self._broker.engine, body.group_id)):
            raise InconsistentGroupProtocolError(f"The group's protocol type is {spoken}")
        if group is not None and not group.common & {each.name for each in body.protocols}:
            raise InconsistentGroupProtocolError(f"The group's protocols are {', '.join(sorted(group.common))}")

    def _seat(self, request: Request, protocols: tuple[tuple[str, bytes], ...]) -> tuple[_Seat, bool]:
        """The member's seat, and whether the group's generation stands for it as it is. Raises StoreError."""
        body = request.body
        instance = getattr(body, "group_instance_id", None)
        if body.member_id and not self._members.invited.has(body.group_id, body.member_id):
            remote = self._members.find_classic(body.group_id, body.member_id, instance)
            group = self.group(body.group_id)
            seat = group.seats.get(remote.id)
            if seat is None:
                raise UnknownMemberIdError("The coordinator is not aware of this member.")
            unchanged = seat.protocols == protocols and group.state is not _State.JOINING
            if unchanged and (group.state is _State.SYNCING or group.leader != remote.id):
                return seat, True
            seat.protocols = protocols
            group.add(seat)
            return seat, False
        session = seconds(body.session_timeout)
        member = new_member(
            self._broker.engine,
            body.group_id,
            request.client_id or "consumer",
            member_id=body.member_id or new_id(request.client_id, instance),
            instance_id=instance,
            protocol="classic",
            assignors=tuple(theirs(name) for name, _ in protocols),
            session_timeout=session,
        )
        before = self._members.by_instance(body.group_id, instance) if instance is not None else None
        member.join(subscribed_to((), None))
        group = self._groups.setdefault(
            body.group_id, MachineGroup(self._broker, self._members, body.group_id, body.protocol_type)
        )
        id = member.member_id or ""
        now = self._broker.clock.monotonic()
        rebalance = seconds(getattr(body, "rebalance_timeout", None)) or session
        remote = Remote(body.group_id, id, member, instance, session, rebalance, now)
        seat = _Seat(remote, protocols)
        remote.on_removed = lambda: self._dropped(body.group_id, id)
        if before is not None:
            group.seats.pop(before.id, None)
            self._members.forget(before)
        self._members.add(remote)
        group.add(seat)
        return seat, False

    def _dropped(self, name: str, id: str) -> None:
        group = self._groups.get(name)
        if group is None:
            return
        group.drop(id)
        if not group.seats:
            del self._groups[name]

    # ----------------------------------------------------------------------------------------------- sync, heartbeat

    def _current(self, body: Any) -> tuple[MachineGroup, _Seat]:
        """Raises UnknownMemberIdError, FencedInstanceIdError, IllegalGenerationError."""
        instance = getattr(body, "group_instance_id", None)
        remote = self._members.find_classic(body.group_id, body.member_id, instance)
        group = self.group(body.group_id)
        seat = group.seats.get(remote.id)
        if seat is None or not remote.member.check_held():
            self._members.remove(remote)
            raise UnknownMemberIdError("The coordinator is not aware of this member.")
        if body.generation_id != group.generation:
            raise IllegalGenerationError(f"the generation is {group.generation}, not {body.generation_id}")
        return group, seat

    def sync(self, body: Any) -> Reply | WaitingAssignment:
        """What the leader gave the member, or what waits for it. Raises as ``_current`` and ``check_protocol``."""
        group, seat = self._current(body)
        check_protocol(body, group.protocol_type, group.protocol)
        if group.state is _State.JOINING:
            return sync_failure(REBALANCE_IN_PROGRESS)
        if group.state is _State.SYNCING and group.leader == seat.remote.id:
            group.settle({each.member_id: each.assignment for each in body.assignments})
        waiting = WaitingAssignment(self._broker, group, seat)
        return waiting.attempt(late=False) or waiting

    def heartbeat(self, body: Any) -> Reply:
        """Whether the member is to join again. Raises as ``_current``."""
        group, _ = self._current(body)
        return Reply(error_code=REBALANCE_IN_PROGRESS if group.state is _State.JOINING else 0)


class WaitingGeneration:
    """A member that has joined, and waits for the others. See :class:`pykafka_store.wire.broker.Parked`."""

    polls = True
    """Whether it is to be attempted again and again: the group's deadline may come at any time."""

    def __init__(self, broker: Broker, group: MachineGroup, seat: _Seat) -> None:
        self._group = group
        self._seat = seat
        self.deadline = max(group.deadline, broker.clock.monotonic()) + 0.01
        self.keys: tuple[Hashable, ...] = (("group", group.name),)
        seat.remote.parked = True

    def attempt(self, *, late: bool) -> Reply | None:  # noqa: ARG002 - the group's deadline is this one's
        """See :class:`Parked`."""
        group, seat = self._group, self._seat
        group.complete_if_due()
        if group.seats.get(seat.remote.id) is not seat:
            seat.remote.parked = False
            return join_failure(seat.remote.id, UnknownMemberIdError("The member was taken out"))
        if group.state is _State.JOINING:
            return None
        seat.remote.parked = False
        return generation_reply(group, seat)

    def abandon(self) -> None:
        """See :class:`Parked`."""
        self._seat.remote.parked = False


class WaitingAssignment:
    """A member that waits for what its leader gives it. See :class:`pykafka_store.wire.broker.Parked`."""

    def __init__(self, broker: Broker, group: MachineGroup, seat: _Seat) -> None:
        self._group = group
        self._seat = seat
        self._generation = group.generation
        self.deadline = broker.clock.monotonic() + seat.remote.rebalance
        self.keys: tuple[Hashable, ...] = (("group", group.name),)
        seat.remote.parked = True

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`."""
        group, seat = self._group, self._seat
        gone = group.generation != self._generation or group.state is _State.JOINING
        if not gone and group.state is _State.SYNCING and not late:
            return None
        seat.remote.parked = False
        if gone or group.state is _State.SYNCING:
            if not gone:
                group.rebalance()  # the leader said nothing in time
            return sync_failure(REBALANCE_IN_PROGRESS)
        return Reply(protocol_type=group.protocol_type, protocol_name=group.protocol, assignment=seat.assignment)

    def abandon(self) -> None:
        """See :class:`Parked`."""
        self._seat.remote.parked = False


def generation_reply(group: MachineGroup, seat: _Seat) -> Reply:
    """The answer to a JoinGroup: the leader is told of all members."""
    is_leader = group.leader == seat.remote.id
    return Reply(
        generation_id=group.generation,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol,
        leader=group.leader,
        skip_assignment=False,
        member_id=seat.remote.id,
        members=[
            Reply(member_id=id, group_instance_id=each.remote.instance_id, metadata=each.metadata(group.protocol))
            for id, each in group.seats.items()
            if is_leader
        ],
    )
