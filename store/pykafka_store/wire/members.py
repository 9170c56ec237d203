"""The members that the server holds for its clients, whatever protocol they speak: who they are, what they were told,
what they may still hold, and when they were heard of last.

What a member was told may be in its consumer's hands until the consumer says otherwise, so a partition that is to move
is given up for it only when it said so: then, and not before, another member can take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from pykafka_store.embedded.serving.commits import Commit, commit_as_member, commit_without_member
from pykafka_store.embedded.serving.members import Member, TopicPartition
from pykafka_store.errors import (
    FencedInstanceIdError,
    GroupIdNotFoundError,
    IllegalGenerationError,
    StoreError,
    UnknownMemberIdError,
    UnsupportedVersionError,
)
from pykafka_store.wire.broker import Broker
from pykafka_store.wire.invited import Invited
from pykafka_store.wire.protocol import pack_assignment, parse_assignment

TICK = 0.25
"""Seconds between looks at who was silent for too long."""

MISSED = 1.0
"""Seconds after which a member of KIP-848 that has not said that it holds what it was told is told again. A broker
waits for a heartbeat that says all; librdkafka sends none after one that timed out, which it does after its interval.
"""

ORPHAN_PATIENCE = 5.0
"""Seconds that a member may be silent whose connection from this machine is gone: its process is, most likely. Not a
static one, which has its whole session to come back in.
"""


class FencedMemberEpochError(StoreError):
    code: ClassVar[int] = 110
    kafka_name: ClassVar[str] = "FencedMemberEpochException"


class StaleMemberEpochError(StoreError):
    code: ClassVar[int] = 113
    kafka_name: ClassVar[str] = "StaleMemberEpochException"


class RebalanceInProgressError(StoreError):
    code: ClassVar[int] = 27
    kafka_name: ClassVar[str] = "RebalanceInProgressException"


class Remote:
    """One member of a group, as the server holds it."""

    def __init__(
        self, group: str, id: str, member: Member, instance_id: str | None, session: float, rebalance: float, now: float
    ) -> None:
        """``session`` and ``rebalance`` are its timeouts, in seconds."""
        self.group = group
        self.id = id
        self.member = member
        self.instance_id = instance_id
        self.session = session
        self.rebalance = rebalance
        self.epoch = 0
        """What the member has to say with each request: its epoch, or its generation."""
        self.told: set[TopicPartition] = set()
        """What it was last told that it has."""
        self.told_at = now
        """When a member of KIP-848 was told it last."""
        self.said: set[TopicPartition] = set()
        """What its consumer said last that it holds."""
        self.held: set[TopicPartition] = set()
        """What its consumer may hold."""
        self.heard = now
        """When it was heard of last, by the monotonic clock."""
        self.revoking_since: float | None = None
        """Since when it has had to give something up."""
        self.orphaned_at: float | None = None
        """When its connection went away."""
        self.parked = False
        """Whether a request of its is being waited on."""
        self.previous_epoch = -1
        """The epoch before, which is also taken: an answer may have been lost."""
        self.topics: tuple[str, ...] = ()
        self.pattern: str | None = None
        """What it subscribes to."""
        self.on_removed: Callable[[], None] | None = None
        """Called when it has left, or was taken out."""
        self.offered: dict[str, bytes] = {}
        """The assignors that it offered, where it speaks the classic protocol, with what it says of itself to each."""
        self.spoken = ""
        """That of them which it was told when it joined: its client refuses an answer that names another."""
        self.joining = 0
        """How many of its requests wait for the generation that is being made: more than one where it asked again by
        another connection, and the end of the first was not seen yet.
        """
        self.leader = ""
        """Who leads the generation that it is in, by member id; empty where nobody does."""
        self.syncs_until: float | None = None
        """When it is to have asked what it has, by the monotonic clock; None: it knows that, or no generation yet."""
        self.urged_at: float | None = None
        """When it was told that it is to join again, and has not since."""
        self.share: bytes | None = None
        """What the leader gave it; None: nothing yet."""

    @property
    def protocol(self) -> str:
        """``classic`` or ``consumer``."""
        return self.member.settings.protocol

    def hear(self, now: float) -> None:
        """It asked something."""
        self.heard = now
        self.orphaned_at = None

    def report(self, holding: Iterable[TopicPartition]) -> None:
        """Its consumer holds these; what it was last told may still be on its way into its hands."""
        self.said = set(holding)
        self.held = (self.held & self.said) | (self.held & self.told)

    def may_have_missed_it(self, now: float) -> bool:
        """Whether what it was told last may never have come to it, or keeps its consumer busy: it may be told again."""
        return self.told != self.said and now - self.told_at >= MISSED

    def look(self, now: float) -> set[TopicPartition]:
        """Follow the group: give up what may be given up, take what may be taken. Returns what it has now, and may go
        on with. Raises UnknownMemberIdError where it was expired.
        """
        for _ in range(3):
            if not self.member.check_held():
                raise UnknownMemberIdError("The coordinator is not aware of this member.")
            change = self.member.look_at_group()
            if change.lost:
                raise UnknownMemberIdError("The coordinator is not aware of this member.")
            if not change.to_revoke:
                break
            free = [partition for partition in change.to_revoke if partition not in self.held]
            if not free:
                self.revoking_since = self.revoking_since or now
                return set(self.member.owned) - set(change.to_revoke)
            self.member.give_up(free)
        if self.member.settled:
            self.revoking_since = None
        return set(self.member.owned)

    def tell(self, partitions: set[TopicPartition]) -> None:
        """It is told that it has these."""
        self.syncs_until = None
        self.told = set(partitions)
        self.held |= partitions

    def in_words(self, has: set[TopicPartition]) -> bytes:
        """These partitions in the words of its leader, which may say more, where that gave it these; else in ours."""
        share = self.share
        is_theirs = share is not None and {*(parse_assignment(share) or ())} == has
        return share if share is not None and is_theirs else pack_assignment(sorted(has))

    def is_gone(self, now: float) -> bool:
        """Whether it was silent for too long, or did not give up in time what it had to, or did not join again or ask
        what it has, as one of the classic protocol has to. Source: GroupMetadataManager.expirePendingSync, and
        consumerGroupJoinKey for members that nobody leads.
        """
        if self.parked:
            return False
        if self.orphaned_at is not None and now - self.orphaned_at > ORPHAN_PATIENCE:
            return True
        if self.revoking_since is not None and now - self.revoking_since > self.rebalance:
            return True
        if self.syncs_until is not None and now > self.syncs_until:
            return True
        if self.urged_at is not None and now - self.urged_at > self.rebalance and self.instance_id is None:
            return True
        return now - self.heard > self.session


class Members:
    """All that the server holds."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._next_tick = 0.0
        self.invited = Invited(broker.clock)

    def add(self, remote: Remote) -> None:
        """A member that joined. One with the same group.instance.id has lost its place to it."""
        for other in list(self.of_group(remote.group)):
            if other is not remote and other.instance_id is not None and other.instance_id == remote.instance_id:
                self.forget(other)
        self._remotes[remote.group, remote.id] = remote
        self.invited.take(remote.group, remote.id)
        self.changed(remote.group)

    def changed(self, group: str) -> None:
        """Who belongs to the group is another, or its epoch: all look at it anew, and not when it is due."""
        for each in self.of_group(group):
            each.member.hurry()
        self._broker.wake(("group", group))

    def find(self, group: str, id: str, instance_id: str | None = None) -> Remote:
        """Raises UnknownMemberIdError, also where nobody has its group.instance.id, and FencedInstanceIdError where
        another member has it. Source: ClassicGroup.validateMember.
        """
        found = self._remotes.get((group, id))
        if instance_id is not None:
            holder = self.by_instance(group, instance_id)
            if holder is not None and holder is not found:
                raise FencedInstanceIdError(f"Another member joined with group.instance.id {instance_id}")
            if holder is None:
                found = None
        if found is None:
            raise UnknownMemberIdError("The coordinator is not aware of this member.")
        found.hear(self._broker.clock.monotonic())
        return found

    def find_classic(self, group: str, id: str, instance_id: str | None) -> Remote:
        """The member that a request of the classic protocol is about. Raises as ``find``; one of KIP-848 is none.
        Source: GroupMetadataManager.throwIfMemberDoesNotUseClassicProtocol.
        """
        found = self.find(group, id, instance_id)
        if found.protocol != "classic":
            raise UnknownMemberIdError(f"Member {found.id} does not use the classic protocol.")
        return found

    def has(self, group: str, id: str) -> bool:
        """Whether there is such a member."""
        return (group, id) in self._remotes

    def by_instance(self, group: str, instance_id: str) -> Remote | None:
        """The member that has this group.instance.id."""
        return next((each for each in self.of_group(group) if each.instance_id == instance_id), None)

    def of_group(self, group: str) -> Iterator[Remote]:
        """The members of a group that the server holds."""
        return (each for each in self._remotes.values() if each.group == group)

    def look(self, remote: Remote) -> set[TopicPartition]:
        """What the member has, by a look at its group; others are woken where it took or gave up something. One that is
        none any more is removed. Raises UnknownMemberIdError, FencedInstanceIdError, StoreError.
        """
        before = set(remote.member.owned)
        try:
            return remote.look(self._broker.clock.monotonic())
        except (UnknownMemberIdError, FencedInstanceIdError):
            self.remove(remote)
            raise
        finally:
            if before != set(remote.member.owned):
                self._broker.wake(("group", remote.group))

    def forget(self, remote: Remote) -> None:
        """Another member has its place: nothing of it is left here, and what it owned is not touched."""
        self._remotes.pop((remote.group, remote.id), None)
        remote.member.leave()
        self.changed(remote.group)

    def remove(self, remote: Remote, *, for_good: bool = True) -> None:
        """The member leaves. A static one that does not leave ``for_good`` may come back."""
        self._remotes.pop((remote.group, remote.id), None)
        try:
            remote.member.leave(for_good=for_good)
        except StoreError as error:
            self._broker.on_notice(
                f"member {remote.id} of group {remote.group} is gone, and could not be taken out: {error}"
            )
        if remote.on_removed is not None:
            remote.on_removed()
        self.changed(remote.group)

    def next_tick(self) -> float | None:
        """When ``tick`` is due, by the monotonic clock; None where there is nobody to look after."""
        return self._next_tick if self._remotes else None

    def tick(self) -> None:
        """Take out who was silent for too long."""
        now = self._broker.clock.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK
        for remote in list(self._remotes.values()):
            if remote.is_gone(now):
                self.remove(remote)

    def orphan(self, ids: Iterable[tuple[str, str]]) -> None:
        """The connection is gone by which these (group, member id) were heard of."""
        for key in ids:
            remote = self._remotes.get(key)
            if remote is not None and remote.instance_id is None:
                remote.orphaned_at = self._broker.clock.monotonic()

    def commit(self, body: Any, version: int, commits: dict[TopicPartition, Commit]) -> None:
        """Commit for a member, or with an epoch of -1 for a group that has none: who is in no group may have made up an
        id all the same (KIP-1082). Raises UnknownMemberIdError, FencedInstanceIdError, IllegalGenerationError,
        StaleMemberEpochError, UnsupportedVersionError, and for a member of a group that does not exist
        GroupIdNotFoundError, before version 9 IllegalGenerationError; RebalanceInProgressError where who leads the
        member's generation has not assigned yet. Source: OffsetMetadataManager, and
        validateOffsetCommit of ClassicGroup and ConsumerGroup.
        """
        engine = self._broker.engine
        group, epoch = body.group_id, body.generation_id_or_member_epoch
        if epoch < 0 and (not body.member_id or not any(self.of_group(group))):
            commit_without_member(engine, group, commits)
            return
        try:
            remote = self.find(group, body.member_id, getattr(body, "group_instance_id", None))
        except UnknownMemberIdError:
            if epoch >= 0 and engine.groups.group(group) is None:
                error = GroupIdNotFoundError if version >= 9 else IllegalGenerationError
                raise error(f"Group {group} not found.") from None
            raise
        if remote.protocol == "consumer" and version < 9:
            raise UnsupportedVersionError("Members of the protocol of KIP-848 commit by version 9 or above")
        _check_epoch(remote, epoch)
        if remote.syncs_until is not None and remote.leader and remote.share is None:
            raise RebalanceInProgressError("The group is rebalancing, so a rejoin is needed.")
        commit_as_member(engine, group, commits, remote.member.member_id or "", remote.member.owned)

    def check_reader(self, group: str, id: str | None, epoch: int) -> None:
        """Whether what a group of KIP-848 has committed is told to a member that says who it is. Raises
        UnknownMemberIdError, StaleMemberEpochError, IllegalGenerationError. Source: ConsumerGroup.validateOffsetFetch.
        """
        row = self._broker.engine.groups.group(group)
        if row is not None and row.protocol == "consumer":
            _check_epoch(self.find(group, id or ""), epoch)

    def close(self) -> None:
        """All members leave: their clients will find that out."""
        for remote in list(self._remotes.values()):
            self.remove(remote, for_good=remote.instance_id is None)


def _check_epoch(remote: Remote, epoch: int) -> None:
    """Raises StaleMemberEpochError for a member of KIP-848, IllegalGenerationError for a classic one."""
    if epoch != remote.epoch:
        error = StaleMemberEpochError if remote.protocol == "consumer" else IllegalGenerationError
        raise error(f"the member's epoch is {remote.epoch}, not {epoch}")
