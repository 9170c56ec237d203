"""JoinGroup, SyncGroup, Heartbeat, LeaveGroup of consumers whose assignors the engine has: as members of the engine.

Consumers of this protocol, of KIP-848 and of the shell are members of one group: they get what the engine's target
gives them. What they hold moves as in the engine: a consumer that is to give something up is told by its heartbeat to
rebalance (REBALANCE_IN_PROGRESS); when it joins again it says what it still holds, which for an eager one is nothing,
and all else may go to others.

Where all members are of this protocol, joining is a barrier, as a broker has it: each is answered when all of them are
in the generation, and the target is what one of them makes it (:mod:`pykafka_store.wire.leading`). Otherwise each is
told that another one leads, and the engine makes the target, as a broker's groups of KIP-848 have it.

Groups of other protocols (Connect, custom assignors) are :mod:`pykafka_store.wire.classic_machine`'s.

Source: how Kafka's coordinator takes classic members into groups of KIP-848 (GroupMetadataManager, "classic group join
to consumer group").
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from pykafka_store.embedded.serving.members import (
    ASSIGNORS,
    TopicPartition,
    check_session,
    new_member,
    stored_assignor,
    subscribed_to,
)
from pykafka_store.errors import (
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    StoreError,
    UnknownMemberIdError,
)
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.invited import new_id
from pykafka_store.wire.leading import CONSUMER, REBALANCE_IN_PROGRESS, Leading, WaitingShare, share_reply
from pykafka_store.wire.members import Members, Remote
from pykafka_store.wire.protocol import Reply, Request, Subscription, parse_subscription, seconds

_LONGEST_JOIN = 10.0
"""Seconds after which a member is told what it has by then, where it shares its group with members of other protocols;
the rest follows when they have given it up. Among its like it waits as long as a rebalance may last, as at a broker.
"""

_SKIPS_ASSIGNMENT = 9
"""The JoinGroup that tells a leader which came back, a static member, that it has assigned already (KIP-814). Before
that it isn't told that it leads.
"""


class ClassicGroupsApi:
    """Answers what the module says, for members that ``takes`` says yes to."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members
        self._leading = Leading(broker, members)

    def takes(self, body: Any) -> bool:
        """Whether a member that joins may be one of the engine's: it says what it subscribes to. One that offers only
        assignors of its own may where one leads and all others offer that, too: so consumers go over from one assignor
        to another, one by one.
        """
        names = {each.name for each in body.protocols}
        if body.protocol_type != CONSUMER or not names or _subscription(body) is None:
            return False
        return bool(names & ASSIGNORS.keys() or names & self._leading.offered_by_all(body.group_id))

    # ----------------------------------------------------------------------------------------------------------- join

    def join(self, request: Request) -> Reply | WaitingJoin:
        """The answer, or what waits until others have given up what the member is to have."""
        body = request.body
        try:
            waiting = WaitingJoin(self._broker, self._members, self._leading, self._joined(request), request.version)
        except StoreError as error:
            return join_failure(body.member_id, error)
        return waiting.attempt(late=False) or waiting

    def _joined(self, request: Request) -> Remote:
        """The member, new or again. Raises StoreError."""
        body = request.body
        now = self._broker.clock.monotonic()
        instance = getattr(body, "group_instance_id", None)
        offered = {each.name: bytes(each.metadata) for each in body.protocols}
        known = [name for name in offered if name in ASSIGNORS]
        subscription = _subscription(body)
        assert subscription is not None  # else it is not taken
        holding = {TopicPartition(*each) for each in subscription.owned}
        wanted = subscribed_to(tuple(sorted(set(subscription.topics))), None)
        if body.member_id and not self._members.invited.has(body.group_id, body.member_id):
            remote = self._members.find_classic(body.group_id, body.member_id, instance)
            remote.told = set()
            remote.report(holding)
            if remote.topics != wanted.topics:
                remote.member.resubscribe(wanted)
                remote.topics = wanted.topics
            changed, remote.offered = [*remote.offered.items()] != [*offered.items()], offered
            self._leading.renew(remote, changed=changed)
            return remote
        # Whoever only follows can live with any assignor: its own are what it would rather have.
        assignors = (*known, *(name for name in ASSIGNORS if name not in known))
        before = self._members.by_instance(body.group_id, instance) if instance is not None else None
        id = body.member_id or new_id(request.client_id, instance)
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
        rebalance = seconds(getattr(body, "rebalance_timeout", None)) or session
        remote = Remote(body.group_id, id, member, instance, session, rebalance, now)
        remote.topics = wanted.topics
        remote.offered = offered
        if before is not None:
            self._members.forget(before)
        self._members.add(remote)
        if before is not None:
            self._leading.replace(before, remote)
        return remote

    # ----------------------------------------------------------------------------------------- sync, heartbeat, leave

    def sync(self, body: Any) -> Reply | WaitingShare:
        """What the member has, or what waits until its leader has said so. Raises UnknownMemberIdError,
        InconsistentGroupProtocolError, and as ``find``.
        """
        remote = self._current(body)
        check_protocol(body, CONSUMER, remote.spoken)
        return self._leading.sync(remote, body) if remote.leader else share_reply(remote, self._members.look(remote))

    def heartbeat(self, body: Any) -> Reply:
        """Whether the member has what it should, by the group's newest target; if not, it is to join again. So all
        have one generation when it is calm. Raises as ``sync``.
        """
        remote = self._current(body)
        has = self._members.look(remote)
        is_syncing = remote.syncs_until is not None
        is_current = remote.member.epoch <= remote.epoch and (is_syncing or has == remote.told)
        if not is_current and remote.urged_at is None:
            remote.urged_at = self._broker.clock.monotonic()
        return Reply(error_code=0 if is_current else REBALANCE_IN_PROGRESS)

    def _current(self, body: Any) -> Remote:
        instance = getattr(body, "group_instance_id", None)
        remote = self._members.find_classic(body.group_id, body.member_id, instance)
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
        if not self._members.invited.take(group, member_id):
            self._members.remove(self._members.find_classic(group, member_id, instance_id))


class WaitingJoin:
    """A member that has joined, and waits for what it is to have. See :class:`pykafka_store.wire.broker.Parked`."""

    follows_groups = True
    """See :class:`pykafka_store.wire.broker.Parked`."""

    def __init__(self, broker: Broker, members: Members, leading: Leading, remote: Remote, version: int) -> None:
        self._broker = broker
        self._members = members
        self._leading = leading
        self._remote = remote
        self._version = version
        self._is_mixed = any(each.protocol != "classic" for each in broker.engine.group_views.of(remote.group).members)
        """Whether members of other protocols are in the group: they don't wait for each other."""
        self._longest = max(each.rebalance for each in (remote, *members.of_group(remote.group)))
        patience = min(_LONGEST_JOIN, remote.rebalance) if self._is_mixed else self._longest
        self.deadline = broker.clock.monotonic() + patience
        self.keys: tuple[Hashable, ...] = (("group", remote.group),)
        self._waits = remote.parked = True
        remote.joining += 1
        remote.urged_at = remote.syncs_until = None

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`."""
        remote = self._remote
        now = self._broker.clock.monotonic()
        remote.hear(now)
        try:
            self._members.look(remote)
            if late:
                self._leading.shut(remote)
        except StoreError as error:
            self.abandon()
            return join_failure(remote.id, error)
        epoch = remote.member.epoch
        is_led = (remote.leader != "" and remote.epoch == epoch) or self._leading.elect(remote, late=late)
        if not (late or is_led or self._is_ready_without_leader()):
            return None
        self.abandon()
        remote.revoking_since = None
        remote.syncs_until = now + self._longest
        if not is_led:
            remote.epoch, remote.leader, remote.share = epoch, "", None
            remote.spoken = protocol_of(self._broker, remote)
        has_assigned = remote.leader == remote.id and remote.share is not None
        is_told = not has_assigned or self._version >= _SKIPS_ASSIGNMENT
        return Reply(
            generation_id=epoch,
            protocol_type=CONSUMER,
            protocol_name=remote.spoken,
            leader=(remote.leader if is_told else "") or f"pykafka-{self._broker.coordinator()}",
            skip_assignment=has_assigned,
            member_id=remote.id,
            members=self._leading.listed(remote) if is_told else [],
        )

    def _is_ready_without_leader(self) -> bool:
        """Whether the member can be answered though nobody leads: not where somebody is to lead as soon as all have
        joined, and nobody has been told already that nobody does.
        """
        remote = self._remote
        epoch = remote.member.epoch
        others = [each for each in self._members.of_group(remote.group) if each is not remote]
        if not any(each.epoch == epoch for each in (remote, *others)) and self._leading.is_possible(remote.group):
            return False
        # Who still has something to give up is told at once: others wait for that. As at a broker nobody is in a
        # generation before all are: a consumer that is told at once that it has nothing would take it to be complete.
        have_joined = self._is_mixed or all(each.joining or each.epoch >= epoch for each in others)
        return remote.revoking_since is not None or (remote.member.settled and have_joined)

    def abandon(self) -> None:
        """See :class:`Parked`."""
        self._remote.joining -= self._waits
        self._remote.parked = self._remote.joining > 0
        self._waits = False


def _subscription(body: Any) -> Subscription | None:
    """What a member that offers a protocol says with the first that the engine has, or else with its first."""
    said = next((each for each in body.protocols if each.name in ASSIGNORS), body.protocols[0])
    return parse_subscription(bytes(said.metadata))


def protocol_of(broker: Broker, remote: Remote) -> str:
    """The assignor that a member is told: the group's, or one of its own where that is none of its."""
    name = stored_assignor(broker.engine, remote.group)
    if name in remote.offered:
        return name
    return next((each for each in remote.offered if each in ASSIGNORS), next(iter(remote.offered)))


def check_join(broker: Broker, body: Any) -> None:
    """Raises InvalidGroupIdError, InvalidSessionTimeoutError."""
    if not body.group_id:
        raise InvalidGroupIdError("The group id is empty")
    check_session(broker.engine, seconds(body.session_timeout), by_default=True)


def check_protocol(body: Any, protocol_type: str, protocol: str) -> None:
    """Whether a SyncGroup is for what was agreed on; up to version 4 it does not say. Raises
    InconsistentGroupProtocolError. Source: GroupMetadataManager.throwIfClassicProtocolUnmatched.
    """
    said = getattr(body, "protocol_type", None), getattr(body, "protocol_name", None)
    if said not in {(None, None), (protocol_type, protocol)}:
        raise InconsistentGroupProtocolError(
            f"The group speaks {protocol_type} by {protocol}, not {said[0]} by {said[1]}"
        )


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
