"""One member of a group: join, look around, move towards the target, leave.

`look` is the whole of it. Every member does the same, as often as the consumer polls:

1. *reap*: members whose lease is free or silent for too long are taken out of the tables, and own nothing any more;
2. *retarget*: if who belongs to the group, what they subscribe to, or how many partitions there are is not what the
target was
   computed from, compute a new one under a raised epoch. Whoever sees it first does it; the computation is the same
   for all;
3. *reconcile*: give up what is owned and not in the target, then take what is in the target and free.

Why no two live members own a partition at once: owning is a row, rows change in transactions, a row is free only if
its owner gave it up or was reaped, and a member that was reaped finds its lease gone before it delivers anything
more.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.assignors import ASSIGNORS, Subscriber, choose_assignor
from pykafka_store.embedded.groups.database import GroupDatabase, MemberRow
from pykafka_store.embedded.groups.leases import Lease, Watch, list_leases, remove_strays
from pykafka_store.errors import FencedInstanceIdError, InvalidGroupIdError, UnknownMemberIdError
from pykafka_store.model import INTERNAL_TOPICS, TopicPartition

LOOK_INTERVAL = 0.15
"""Seconds between looks at the other members' leases, and for other topics: a crash is seen within this time."""

GLANCE_INTERVAL = 0.04
"""Seconds between looks at the groups' database while all is settled; at each poll while something is under way."""


class MemberSettings(NamedTuple):
    group: str
    client_id: str
    instance_id: str | None
    protocol: str
    """``classic`` or ``consumer`` (group.protocol)."""
    assignors: tuple[str, ...]
    session_timeout: float
    heartbeat_interval: float
    max_poll_interval: float
    """All three in seconds."""


class Subscribed(NamedTuple):
    """What a member wants to read: topics by name, and by a pattern of whole names."""

    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None


class Catalogued(Protocol):
    """What a group asks of its cluster's catalogue."""

    def partition_counts(self) -> dict[str, int]:
        """Topic -> its number of partitions."""

    def version(self) -> tuple[int, int]: ...


class Change(NamedTuple):
    """What one look asks of the consumer: give up first, then begin with what was taken."""

    to_revoke: tuple[TopicPartition, ...] = ()
    taken: tuple[TopicPartition, ...] = ()
    lost: tuple[TopicPartition, ...] = ()
    """Owned before this member was expired, and not any more."""


class Member:
    """This process's membership in a group."""

    def __init__(
        self,
        settings: MemberSettings,
        database: GroupDatabase,
        directory: str,
        catalog: Catalogued,
        disk: Disk,
        clock: Clock,
    ) -> None:
        """``directory``: where the group's leases are. Nothing is joined yet."""
        if not settings.group:
            raise InvalidGroupIdError(
                "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer "
                "configuration."
            )
        self.settings = settings
        self._database = database
        self._directory = directory
        self._catalog = catalog
        self._disk = disk
        self._clock = clock
        self._watch = Watch(directory, clock)
        self._lease: Lease | None = None
        self._row: MemberRow | None = None
        self.owned: dict[TopicPartition, int] = {}
        """Partition -> the epoch of our ownership."""
        self._subscribed = Subscribed((), None)
        self._others: list[MemberRow] = []
        self._epoch = -1
        self._seen: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._next_look = 0.0
        self._next_glance = 0.0
        self._settled = False

    @property
    def member_id(self) -> str | None:
        return self._row.id if self._row else None

    @property
    def settled(self) -> bool:
        """Whether this member owned all of its target, and nothing else, when it last looked."""
        return self._settled

    # --------------------------------------------------------------------------------------------------------- join

    def join(self, subscribed: Subscribed) -> None:
        """Become a member, or change the subscription of one. Raises InconsistentGroupProtocolError."""
        self._join(subscribed, again=False)

    def _join(self, subscribed: Subscribed, *, again: bool) -> None:
        """``again``: after having been expired, where a static member must not take the place of one that took its."""
        self._subscribed = subscribed
        was = self.member_id
        if self._lease is not None:
            if self._lease.is_held():
                self._leave_tables()
                self.owned.clear()
            self._lease.release()
            self._lease = None
        name = uuid.uuid4().hex
        settings = self.settings
        self._lease = Lease(self._disk, self._directory, name, settings.heartbeat_interval, settings.max_poll_interval)
        row = self._row = MemberRow(
            id=f"{settings.instance_id or settings.client_id}-{uuid.UUID(name)}",
            lease=name,
            instance_id=settings.instance_id,
            client_id=settings.client_id,
            protocol=settings.protocol,
            topics=subscribed.topics,
            pattern=_with_flags(subscribed.pattern) if subscribed.pattern else None,
            assignors=settings.assignors,
            session_timeout=settings.session_timeout,
        )
        names = list_leases(self._disk, self._directory)
        try:
            with self._database.transaction():
                self._database.add_group_within(settings.group)
                self._reap_within()
                others = self._database.members(settings.group)
                choose_assignor(
                    [*(other.assignors for other in others), row.assignors]
                )  # refuse before anything changes
                before = next(
                    (other for other in others if other.instance_id and other.instance_id == row.instance_id), None
                )
                if before is not None and again and before.id != was:
                    raise FencedInstanceIdError(
                        f"Another member joined group '{settings.group}' with group.instance.id {before.instance_id}: "
                        "this one stops"
                    )
                if before is not None:
                    self._database.replace_member_within(settings.group, before.id, row)
                    self._disk.remove(os.path.join(self._directory, before.lease))
                else:
                    self._database.add_member_within(settings.group, row)
                remove_strays(self._disk, self._directory, {*names} - {name, *(other.lease for other in others)})
                self._retarget_within()
        except BaseException:
            self._lease.release()
            self._lease = self._row = None
            raise
        self.owned.clear()
        self._seen = None
        self._settled = False

    def check_held(self) -> bool:
        """Whether this member was not expired meanwhile: asked before anything is delivered."""
        held = self._lease is not None and self._lease.is_held()
        self._settled = self._settled and held
        return held

    # --------------------------------------------------------------------------------------------------------- look

    def look(self) -> Change:
        """Look around if there is reason to, and say what is to change. Cheap when nothing did.

        An expired member joins again and reports what it ``lost``. Raises FencedInstanceIdError for a static member
        whose place was taken, and what `join` raises for one that does not fit any more.
        """
        if self._lease is None or self._row is None:
            return self._rejoin()
        self._lease.polled()
        now = self._clock.monotonic()
        if self._settled and now < self._next_glance:
            return Change()
        self._next_glance = now + GLANCE_INTERVAL
        if not self._lease.is_held():
            return self._rejoin()
        due = now >= self._next_look
        known_topics = self._seen[1] if self._seen is not None and self._settled and not due else None
        versions = self._database.version(), known_topics or self._catalog.version()
        moved = versions != self._seen
        if not due and not moved:
            return Change()
        if moved and self._settled and self._only_commits(versions):
            self._seen = versions
            moved = False
        if due:
            self._next_look = now + LOOK_INTERVAL
        if moved:
            self._others = [other for other in self._database.members(self.settings.group) if other.id != self._row.id]
            self._watch.keep(other.lease for other in self._others)
        someone_is_gone = due and bool(self._gone(self._others))
        if someone_is_gone or (moved and self._basis() != self._stored_basis()):
            with self._database.transaction():
                self._reap_within()
                self._retarget_within()
        elif not moved and self._settled:
            return Change()
        self._seen = versions  # asked before anything else: what came in between is looked at the next time
        return self._reconcile()

    def _only_commits(self, versions: tuple[tuple[int, int], tuple[int, int]]) -> bool:
        """Whether what was written to the groups' database is of no concern: commits, or another group's doings."""
        assert self._row is not None
        if self._seen is None or versions[1] != self._seen[1]:
            return False  # topics
        group = self.settings.group
        known = {self._row.id, *(other.id for other in self._others)}  # a static member comes back in the same epoch
        return self._database.epoch(group) == self._epoch and self._database.member_ids(group) == known

    def _rejoin(self) -> Change:
        lost = tuple(sorted(self.owned))
        self._join(self._subscribed, again=True)
        return Change(lost=lost)

    def _reconcile(self) -> Change:
        assert self._row is not None
        group, row = self.settings.group, self._row
        self._epoch = self._database.epoch(group)
        mine = {partition for partition, identity in self._database.targets(group).items() if identity == row.identity}
        to_revoke = tuple(sorted(self.owned.keys() - mine))
        wanted = sorted(mine - self.owned.keys())
        taken: dict[TopicPartition, int] = {}
        owners = self._database.owners(group) if wanted else {}
        free = [partition for partition in wanted if owners.get(partition, row.id) == row.id]
        if free and not to_revoke:  # give up first, take after
            try:
                taken = self._database.acquire(group, row.id, free)
            except UnknownMemberIdError:
                return self._rejoin()
            self.owned.update(taken)
        self._settled = not to_revoke and len(taken) == len(wanted)
        if to_revoke:
            self._next_look = 0.0
        return Change(to_revoke=to_revoke, taken=tuple(taken))

    def give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """What ``look`` said to revoke has been dealt with and committed: others may take it."""
        assert self._row is not None
        self._database.release(self.settings.group, self._row.id, partitions)
        for partition in partitions:
            self.owned.pop(partition, None)

    # ------------------------------------------------------------------------------------------- the group as a whole

    def _gone(self, others: Sequence[MemberRow]) -> list[MemberRow]:
        return [
            other
            for other in others
            if self._watch.is_gone(other.lease, other.session_timeout, static=other.instance_id is not None)
        ]

    def _reap_within(self) -> None:
        gone = self._gone(
            [other for other in self._database.members(self.settings.group) if other.id != self.member_id]
        )
        for member in gone:
            self._database.remove_member_within(self.settings.group, member.id)
            self._disk.remove(os.path.join(self._directory, member.lease))

    def _stored_basis(self) -> str:
        group = self._database.group(self.settings.group)
        return group.basis if group else ""

    def _basis(self) -> str:
        return _basis(self._database.members(self.settings.group), self._catalog.partition_counts())

    def _retarget_within(self) -> None:
        retarget_within(self._database, self.settings.group, self._catalog.partition_counts())

    # -------------------------------------------------------------------------------------------------------- leave

    def leave(self) -> None:
        """End the membership. A static member only goes away: what it owns waits for it until its session times out."""
        if self._lease is None:
            return
        static = self.settings.instance_id is not None
        try:
            if not static and self._lease.is_held():
                self._leave_tables()
        finally:  # even if the tables could not be written: a free lease says the same
            self._lease.release(keep_file=static)
            self._lease = self._row = None
            self.owned.clear()

    def _leave_tables(self) -> None:
        assert self._row is not None
        with self._database.transaction():
            self._database.remove_member_within(self.settings.group, self._row.id)
            self._retarget_within()


def retarget_within(database: GroupDatabase, group: str, counts: Mapping[str, int]) -> None:
    """Bring a group's target in line with its members, their subscriptions and the topics, if it is not."""
    row = database.group(group)
    members = database.members(group)
    basis = _basis(members, counts)
    if row is None or row.basis == basis:
        return
    if not members:
        database.set_target_within(row._replace(epoch=row.epoch + 1, basis=basis, assignor=""), {})
        return
    owned: dict[str, list[TopicPartition]] = {}
    for partition, owner in database.owners(group).items():
        owned.setdefault(owner, []).append(partition)
    subscribers = [
        Subscriber(
            member.identity,
            member.instance_id is not None,
            frozenset(_topics_of(member, counts)),
            tuple(owned.get(member.id, ())),
        )
        for member in members
    ]
    assignor = choose_assignor([member.assignors for member in members])
    database.set_target_within(
        row._replace(epoch=row.epoch + 1, basis=basis, assignor=assignor, protocol=members[-1].protocol),
        ASSIGNORS[assignor](subscribers, counts),
    )


def _with_flags(pattern: re.Pattern[str]) -> str:
    """A pattern as text that compiles to the same pattern elsewhere."""
    flags = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    letters = "".join(letter for letter, flag in flags.items() if pattern.flags & flag)
    return f"(?{letters}){pattern.pattern}" if letters else pattern.pattern


def _topics_of(member: MemberRow, counts: Mapping[str, int]) -> list[str]:
    """The existing topics that a member subscribes to."""
    topics = {topic for topic in member.topics if topic in counts}
    if member.pattern is not None:
        pattern = re.compile(member.pattern)
        topics |= {topic for topic in counts if pattern.fullmatch(topic) and topic not in INTERNAL_TOPICS}
    return sorted(topics)


def _basis(members: Sequence[MemberRow], counts: Mapping[str, int]) -> str:
    """All that a target depends on but for who owns what, as text."""
    facts = [[member.identity, member.assignors, _topics_of(member, counts)] for member in members]
    named = {topic: counts[topic] for _, _, topics in facts for topic in topics}
    return json.dumps([sorted(facts, key=str), named], sort_keys=True)
