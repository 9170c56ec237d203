"""The leader of a generation of consumers of the classic protocol: who it is, and what it gives to whom.

Where all members of a group are of this protocol and of this server, one of them leads, as at a broker: JoinGroup tells
it of all members, its SyncGroup says who has what, and the others' SyncGroups wait for that. What it says is the
engine's target from then on, in place of the one that the engine made by an assignor of the same name when the
generation began. So members take and give up as ever, nothing has two owners whatever a leader says, and where a member
of another protocol or of the shell joins, the engine's own target stands. Who does not join or sync as long as a
rebalance may last is out, so a leader that says nothing is followed by another.

Source: ClassicGroup and GroupMetadataManager of Kafka's coordinator.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from pykafka_store.embedded.serving.members import TopicPartition, begin_epoch, propose_target
from pykafka_store.errors import FencedInstanceIdError, StoreError, UnknownMemberIdError
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.members import Members, RebalanceInProgressError, Remote
from pykafka_store.wire.protocol import Reply, parse_assignment

CONSUMER = "consumer"
"""The type of protocol that consumers speak."""

REBALANCE_IN_PROGRESS = RebalanceInProgressError.code


def common_of(offered: Iterable[Iterable[str]]) -> set[str]:
    """The protocols that all members offer, of whom there is at least one."""
    return set.intersection(*map(set, offered))


def voted(offered: Sequence[Iterable[str]]) -> str | None:
    """The protocol that all members offer and most prefer; None where there is none. Source:
    ClassicGroup.selectProtocol.
    """
    common = common_of(offered)
    votes = [next(name for name in each if name in common) for each in offered] if common else []
    return max(votes, key=votes.count, default=None)


class Leading:
    """Finds leaders, and takes what they say."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members

    def is_possible(self, group: str) -> bool:
        """Whether one of the members may lead: all of them are here, classic, and have an assignor in common."""
        here = list(self._members.of_group(group))
        ids = {each.member.member_id for each in here if each.protocol == "classic" and each.offered}
        is_all = ids == self._broker.engine.group_views.of(group).member_ids
        return is_all and voted([each.offered for each in here]) is not None

    def offered_by_all(self, group: str) -> set[str]:
        """The assignors that all members have, where one of them may lead."""
        if not any(self._members.of_group(group)) or not self.is_possible(group):
            return set()
        return common_of(each.offered for each in self._members.of_group(group))

    def shut(self, remote: Remote) -> None:
        """No more is waited for those that have not joined: they are out, but for static ones. Raises StoreError where
        the member is none any more. Source: GroupMetadataManager.completeClassicGroupJoin.
        """
        if self.is_possible(remote.group):
            for each in list(self._members.of_group(remote.group)):
                if not each.joining and each.epoch != remote.member.epoch and each.instance_id is None:
                    self._members.remove(each)
            self._members.look(remote)

    def elect(self, remote: Remote, *, late: bool) -> bool:
        """Make the generation of the member's epoch, if all members wait for it, or it is too ``late`` to: whether that
        was done. Who led goes on to do so.
        """
        here = list(self._members.of_group(remote.group))
        epoch = remote.member.epoch
        if any(each.epoch == epoch or not (each.joining or late) for each in here):
            return False
        if not self.is_possible(remote.group):
            return False
        ids = [each.id for each in here if each.joining]
        leader = next((each.leader for each in here if each.leader in ids), ids[0])
        spoken = voted([each.offered for each in here]) or ""
        for each in here:
            each.epoch, each.leader, each.spoken, each.share = epoch, leader, spoken, None
        self._broker.wake(("group", remote.group))
        return True

    def renew(self, remote: Remote, *, changed: bool) -> None:
        """A member of the group's generation joins again: all are to have another one if it leads, or says another
        thing of itself. One whose answer was lost joins the same one. Source: GroupMetadataManager.classicGroupJoin.
        """
        leads = remote.leader == remote.id and remote.share is not None
        if remote.leader and (leads or changed):
            self._begin_after(remote)

    def replace(self, before: Remote, remote: Remote) -> None:
        """A static member came back under another id: it is where it was, unless its leader has not spoken yet, or it
        offers something else. Source: ClassicGroup.replaceStaticMember, and GroupMetadataManager of what follows.
        """
        for each in (before, *self._members.of_group(remote.group)):
            if each.leader == before.id:
                each.leader = remote.id
        remote.leader = before.leader
        if before.share is not None and before.spoken in remote.offered:
            remote.epoch, remote.spoken, remote.share = before.epoch, before.spoken, before.share
        elif before.leader:
            self._begin_after(before)

    def _begin_after(self, remote: Remote) -> None:
        """The generation that the member is in is over, if it is the group's."""
        begin_epoch(self._broker.engine, remote.group, remote.epoch)
        self._members.changed(remote.group)

    def listed(self, remote: Remote) -> list[Reply]:
        """The members, for the one that leads."""
        if remote.leader != remote.id:
            return []
        return [
            Reply(member_id=each.id, group_instance_id=each.instance_id, metadata=each.offered.get(remote.spoken, b""))
            for each in self._members.of_group(remote.group)
        ]

    def sync(self, remote: Remote, body: Any) -> Reply | WaitingShare:
        """What the member's leader gives it, or what waits for that."""
        if remote.leader == remote.id and remote.share is None:
            self._take(remote, {each.member_id: each.assignment for each in body.assignments})
        waiting = WaitingShare(self._broker, self._members, remote)
        return waiting.attempt(late=False) or waiting

    def _take(self, leader: Remote, given: dict[str, bytes]) -> None:
        """The leader has said who has what; who is not named has nothing."""
        here = list(self._members.of_group(leader.group))
        shares = {
            each.member.member_id or "": [
                TopicPartition(*partition) for partition in parse_assignment(given.get(each.id, b"")) or ()
            ]
            for each in here
        }
        if not propose_target(self._broker.engine, leader.group, leader.epoch, leader.spoken, shares):
            leader.member.hurry()  # it finds out why
            return
        for each in here:
            each.share = given.get(each.id, b"")
        for _ in range(2):  # what is given up in the first round is taken in the second, whoever comes to ask for it
            for each in here:
                if each.member.owned.keys() != {*shares[each.member.member_id or ""]}:
                    each.member.doubt()
                    with suppress(UnknownMemberIdError, FencedInstanceIdError):  # it is told so when it asks
                        self._members.look(each)
        self._broker.wake(("group", leader.group))


class WaitingShare:
    """A member that waits for what its leader gives it. See :class:`pykafka_store.wire.broker.Parked`."""

    follows_groups = True
    """See :class:`pykafka_store.wire.broker.Parked`."""

    def __init__(self, broker: Broker, members: Members, remote: Remote) -> None:
        self._broker = broker
        self._members = members
        self._remote = remote
        self._generation = remote.epoch
        self.deadline = broker.clock.monotonic() + remote.rebalance
        self.keys: tuple[Hashable, ...] = (("group", remote.group),)
        remote.parked = True

    def attempt(self, *, late: bool) -> Reply | None:
        """See :class:`Parked`. A leader that said nothing until the deadline is out."""
        remote = self._remote
        try:
            has = self._members.look(remote)
        except StoreError as error:
            self.abandon()
            return sync_failure(code_of(error))
        if not self._generation == remote.epoch >= remote.member.epoch:
            self.abandon()
            return sync_failure(REBALANCE_IN_PROGRESS)
        if late and remote.share is None:
            leader = next((each for each in self._members.of_group(remote.group) if each.id == remote.leader), None)
            if leader is not None:
                self._members.remove(leader)
            self.abandon()
            return sync_failure(REBALANCE_IN_PROGRESS)
        # Who has something to give up is told at once: others wait for that.
        has_all = remote.share is not None and (remote.member.settled or remote.revoking_since is not None)
        if not (has_all or late):
            return None
        self.abandon()
        remote.hear(self._broker.clock.monotonic())
        return share_reply(remote, has)

    def abandon(self) -> None:
        """See :class:`Parked`."""
        self._remote.parked = False


def share_reply(remote: Remote, has: set[TopicPartition]) -> Reply:
    """The member is told that it has these."""
    remote.tell(has)
    return Reply(protocol_type=CONSUMER, protocol_name=remote.spoken, assignment=remote.in_words(has))


def sync_failure(code: int) -> Reply:
    """The answer to a SyncGroup that was refused."""
    return Reply(error_code=code, protocol_type=None, protocol_name=None, assignment=b"")
