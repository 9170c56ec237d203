"""JoinGroup, SyncGroup, Heartbeat, LeaveGroup of consumers whose assignors the engine has: as members of the engine.

In the classic protocol one member leads, and assigns partitions to all. Here nobody leads: each is told that another
one does, and gets from SyncGroup what the engine's target gives it. So consumers of this protocol, of KIP-848 and of
the shell are members of one group. What they hold moves as in the engine: a consumer that is to give something up is
told by its heartbeat to rebalance (REBALANCE_IN_PROGRESS); when it joins again it says what it still holds, which for
an eager one is nothing, and all else may go to others. Where all members are of this protocol, joining is a barrier:
each is answered when all of them are in the generation, as a broker has it.

Groups of other protocols (Connect, custom assignors) are :mod:`pykafka_store.wire.classic_machine`'s.

Source: how Kafka's coordinator takes classic members into groups of KIP-848 (GroupMetadataManager, "classic group join
to consumer group").
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable
from typing import Any, ClassVar

from pykafka_store.embedded.serving.members import ASSIGNORS, TopicPartition, new_member, stored_assignor, subscribed_to
from pykafka_store.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidGroupIdError,
    StoreError,
    UnknownMemberIdError,
)
from pykafka_store.settings.dynamic_configs import MAX_SESSION, MIN_SESSION, READ_ONLY
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.members import Members, Remote
from pykafka_store.wire.protocol import Reply, Request, pack_assignment, parse_subscription, seconds

CONSUMER = "consumer"
"""The type of protocol that consumers speak."""

REBALANCE_IN_PROGRESS = 27
_LONGEST_JOIN = 10.0
"""Seconds after which a member is told what it has by then, where it shares its group with members of other protocols;
the rest follows when they have given it up. Among its like it waits as long as a rebalance may last, as at a broker.
"""
_SESSION_BOUNDS = (MIN_SESSION, MAX_SESSION)


class InvalidSessionTimeoutError(StoreError):
    code: ClassVar[int] = 26
    kafka_name: ClassVar[str] = "InvalidSessionTimeoutException"


class ClassicGroupsApi:
    """Answers what the module says, for members that ``takes`` says yes to."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members

    @staticmethod
    def takes(body: Any) -> bool:
        """Whether a member that joins may be one of the engine's."""
        return body.protocol_type == CONSUMER and any(each.name in ASSIGNORS for each in body.protocols)

    # ----------------------------------------------------------------------------------------------------------- join

    def join(self, request: Request) -> Reply | WaitingJoin:
        """The answer, or what waits until others have given up what the member is to have."""
        body = request.body
        try:
            check_join(self._broker, body)
            waiting = WaitingJoin(self._broker, self._members, self._joined(request), request.version)
        except StoreError as error:
            return join_failure(body.member_id, error)
        return waiting.attempt(late=False) or waiting

    def _joined(self, request: Request) -> Remote:
        """The member, new or again. Raises StoreError."""
        body = request.body
        now = self._broker.clock.monotonic()
        instance = getattr(body, "group_instance_id", None)
        names = [each.name for each in body.protocols]
        offered = [each for each in body.protocols if each.name in ASSIGNORS]
        subscription = parse_subscription(offered[0].metadata)
        holding = {TopicPartition(*each) for each in subscription.owned}
        wanted = subscribed_to(tuple(sorted(set(subscription.topics))), None)
        if body.member_id:
            remote = self._members.find(body.group_id, body.member_id, instance)
            remote.told = set()
            remote.report(holding)
            if remote.topics != wanted.topics:
                remote.member.resubscribe(wanted)
                remote.topics = wanted.topics
            return remote
        known = [name for name in names if name in ASSIGNORS]
        # Whoever only follows can live with any assignor: its own are what it would rather have.
        assignors = (*known, *(name for name in ASSIGNORS if name not in known))
        before = self._members.by_instance(body.group_id, instance) if instance is not None else None
        id = f"{instance or request.client_id or 'consumer'}-{uuid.uuid4()}"
        session = seconds(body.session_timeout)
        member = new_member(
            self._broker.engine,
            body.group_id,
            request.client_id or "consumer",
            member_id=id,
            instance_id=instance,
            protocol="classic",
            assignors=assignors,
            session_timeout=session,
        )
        member.join(wanted)
        if before is not None:
            self._members.forget(before)
        rebalance = seconds(getattr(body, "rebalance_timeout", None)) or session
        remote = Remote(body.group_id, id, member, instance, session, rebalance, now)
        remote.topics = wanted.topics
        remote.protocols = tuple(known)
        self._members.add(remote)
        return remote

    # ----------------------------------------------------------------------------------------- sync, heartbeat, leave

    def sync(self, body: Any) -> Reply:
        """What the member has. Raises UnknownMemberIdError, and what ``find`` raises."""
        remote = self._current(body)
        has = self._look(remote)
        remote.tell(has)
        return Reply(
            protocol_type=CONSUMER,
            protocol_name=protocol_of(self._broker, remote),
            assignment=pack_assignment(sorted(has)),
        )

    def heartbeat(self, body: Any) -> Reply:
        """Whether the member has what it should, by the group's newest target; if not, it is to join again. So all
        have one generation when it is calm. Raises as ``sync``.
        """
        remote = self._current(body)
        is_current = self._look(remote) == remote.told and remote.member.epoch <= remote.epoch
        return Reply(error_code=0 if is_current else REBALANCE_IN_PROGRESS)

    def _look(self, remote: Remote) -> set[TopicPartition]:
        try:
            return remote.look(self._broker.clock.monotonic())
        except UnknownMemberIdError:
            self._members.remove(remote)
            raise

    def _current(self, body: Any) -> Remote:
        remote = self._members.find(body.group_id, body.member_id, getattr(body, "group_instance_id", None))
        if body.generation_id != remote.epoch:
            raise IllegalGenerationError(f"the generation is {remote.epoch}, not {body.generation_id}")
        return remote

    def leave(self, group: str, member_id: str, instance_id: str | None) -> None:
        """Raises UnknownMemberIdError, FencedInstanceIdError."""
        if instance_id is not None and not member_id:
            found = self._members.by_instance(group, instance_id)  # an admin removes a static member by its name
            if found is None:
                raise UnknownMemberIdError("The coordinator is not aware of this member.")
            self._members.remove(found)
            return
        self._members.remove(self._members.find(group, member_id, instance_id))


class WaitingJoin:
    """A member that has joined, and waits for what it is to have. See :class:`pykafka_store.wire.broker.Parked`."""

    polls = True
    """Whether it is to be attempted again and again: other processes give partitions up, and tell nobody."""

    def __init__(self, broker: Broker, members: Members, remote: Remote, version: int) -> None:
        self._broker = broker
        self._members = members
        self._remote = remote
        self._version = version
        self._is_mixed = any(each.protocol != "classic" for each in broker.engine.groups.members(remote.group))
        """Whether members of other protocols are in the group: they don't wait for each other."""
        longest = max(each.rebalance for each in (remote, *members.of_group(remote.group)))
        if self._is_mixed:
            longest = min(_LONGEST_JOIN, remote.rebalance)
        self.deadline = broker.clock.monotonic() + longest
        self.keys: tuple[Hashable, ...] = (("group", remote.group),)
        remote.parked = True

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`."""
        remote = self._remote
        now = self._broker.clock.monotonic()
        remote.hear(now)
        try:
            before = set(remote.member.owned)
            remote.look(now)
        except StoreError as error:
            remote.parked = False
            if isinstance(error, UnknownMemberIdError | FencedInstanceIdError):
                self._members.remove(remote)
            return join_failure(remote.id, error)
        if before != set(remote.member.owned):
            self._broker.wake(("group", remote.group))
        # Who still has something to give up is told at once: others wait for that.
        if not (late or remote.revoking_since is not None or (remote.member.settled and self._have_all_joined())):
            return None
        remote.parked = False
        remote.epoch = remote.member.epoch
        remote.revoking_since = None
        return Reply(
            generation_id=remote.epoch,
            protocol_type=CONSUMER,
            protocol_name=protocol_of(self._broker, remote),
            leader=f"pykafka-{self._broker.coordinator()}",
            skip_assignment=False,
            member_id=remote.id,
            members=[],
        )

    def _have_all_joined(self) -> bool:
        """Whether the others are in the generation that is being made, or wait for it, too. As at a broker nobody is in
        it before: a consumer that is told at once that it has nothing would take the group to be complete.
        """
        if self._is_mixed:
            return True
        epoch = self._remote.member.epoch
        return all(each.parked or each.epoch >= epoch for each in self._members.of_group(self._remote.group))

    def abandon(self) -> None:
        """See :class:`Parked`."""
        self._remote.parked = False


def protocol_of(broker: Broker, remote: Remote) -> str:
    """The assignor that a member is told: the group's, or one of its own where that is none of its."""
    name = stored_assignor(broker.engine, remote.group)
    return name if name in remote.protocols else remote.protocols[0]


def check_join(broker: Broker, body: Any) -> None:
    """Raises InvalidGroupIdError, InvalidSessionTimeoutError."""
    if not body.group_id:
        raise InvalidGroupIdError("The group id is empty")
    low, high = (int(broker.engine.server_setting(each) or READ_ONLY[each].default) for each in _SESSION_BOUNDS)
    if not low <= 1000 * seconds(body.session_timeout) <= high:
        raise InvalidSessionTimeoutError(f"session.timeout.ms is not within {low} and {high}")


def join_failure(member_id: str, error: StoreError) -> Reply:
    """The answer to a JoinGroup that was refused."""
    return Reply(
        error_code=code_of(error),
        generation_id=-1,
        protocol_type=None,
        protocol_name="",
        leader="",
        skip_assignment=False,
        member_id=member_id,
        members=[],
    )
