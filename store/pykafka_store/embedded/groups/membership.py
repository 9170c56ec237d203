"""One member of a group: join, look around, move towards the target, leave.

`Member.look_at_group` is the whole of it. Every member does the same, as often as the consumer polls:

1. *reap*: members whose lease is free or silent for too long are taken out of the tables, and own nothing any more;
2. *retarget*: the target was computed from who belongs to the group, what they subscribe to, and how many partitions
   there are. Where one of these has changed, compute a new target under a raised epoch. Who sees it first does so; the
   computation is the same for all. What a member's pattern matches it finds out by itself, before the transaction, and
   leaves the names in the tables: a slow pattern holds up nobody else;
3. *reconcile*: give up what is owned and not in the target, then take what is in the target and free.

Why no two live members own a partition at once: owning is a row, rows change in transactions, a row is free only if
its owner gave it up or was reaped, and a member that was reaped finds its lease gone before it delivers anything
more.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.assignors import choose_assignor
from pykafka_store.embedded.groups.database import MemberRow, fenced
from pykafka_store.embedded.groups.leases import AwayError, Lease, group_directory, list_leases, remove_strays
from pykafka_store.embedded.groups.sessions import check_session, of_group
from pykafka_store.embedded.groups.targets import retarget_within
from pykafka_store.embedded.groups.views import GroupView
from pykafka_store.embedded.layout import GROUPS
from pykafka_store.embedded.patterns import matching, text_of
from pykafka_store.errors import InvalidGroupIdError, UnknownMemberIdError
from pykafka_store.model import INTERNAL_TOPICS, TopicPartition, random_topic_id

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
    member_id: str | None = None
    """An id that the member chose itself; None for one that is made here."""
    pattern_limit: float | None = None
    """See :func:`pykafka_store.embedded.patterns.matching`."""


class Subscribed(NamedTuple):
    """What a member wants to read: topics by name, and by a pattern of whole names."""

    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None


class Change(NamedTuple):
    """What one look asks of the consumer: give up first, then begin with what was taken."""

    to_revoke: tuple[TopicPartition, ...] = ()
    taken: tuple[TopicPartition, ...] = ()
    lost: tuple[TopicPartition, ...] = ()
    """Owned before this member was expired, and not any more."""


class Member:
    """This process's membership in a group."""

    def __init__(self, engine: Engine, settings: MemberSettings) -> None:
        """Nothing is joined yet. Raises InvalidSessionTimeoutError; StorageError where there is only reading."""
        engine.require_writable()
        if not settings.group:
            raise InvalidGroupIdError(
                "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer "
                "configuration."
            )
        if settings.protocol == "classic":
            check_session(engine, settings.session_timeout, by_default=False)
        if settings.protocol == "consumer":
            session, heartbeat = settings.session_timeout, settings.heartbeat_interval
            session, heartbeat = of_group(engine.catalog, settings.group, session, heartbeat)
            settings = settings._replace(session_timeout=session, heartbeat_interval=heartbeat)
        self.settings = settings
        self._engine = engine
        self._database = engine.groups
        self._directory = os.path.join(engine.directory, GROUPS, group_directory(settings.group))
        self._catalog = engine.catalog
        self._disk = engine.disk
        self._clock = engine.clock
        self._views = engine.group_views
        self._watch = self._views.watch(engine.disk, self._directory, engine.clock)
        self._lease: Lease | None = None
        self._row: MemberRow | None = None
        self.owned: dict[TopicPartition, int] = {}
        """Partition -> the epoch of our ownership."""
        self._subscribed = Subscribed((), None)
        self._others: list[MemberRow] = []
        self._known: frozenset[str] = frozenset()
        """The ids of all members, when it last looked who they are."""
        self._epoch = -1
        self._seen: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._matched_at = (-1, -1)
        """The catalogue's version for which the pattern was matched."""
        self._next_look = 0.0
        self._next_glance = 0.0
        self._settled = False
        self._inherits = False
        """Whether it came back, a static member, and has not looked yet: by the tables it owns more than it knows."""

    @property
    def member_id(self) -> str | None:
        return self._row.id if self._row else None

    @property
    def settled(self) -> bool:
        """Whether this member owned all of its target, and nothing else, when it last looked."""
        return self._settled

    @property
    def epoch(self) -> int:
        """The group's epoch when this member last looked; -1 before that."""
        return self._epoch

    # --------------------------------------------------------------------------------------------------------- join

    def join(self, subscribed: Subscribed) -> None:
        """Become a member, or change the subscription of one. Raises InconsistentGroupProtocolError."""
        self._join(subscribed, again=False)

    def _join(self, subscribed: Subscribed, *, again: bool) -> None:
        """``again``: after having been expired, where a static member must not take the place of one that took its."""
        self._matched_at = self._catalog.version()
        topics = self._wanted_topics(subscribed)  # before anything changes: a pattern may be refused
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
        self._engine.make_room()  # for the group's directory: who only reads goes on reading on a full disk
        self._lease = Lease(self._disk, self._directory, name, settings.heartbeat_interval, settings.max_poll_interval)
        row = self._row = MemberRow(
            id=settings.member_id or _member_id(settings, name),
            lease=name,
            instance_id=settings.instance_id,
            client_id=settings.client_id,
            protocol=settings.protocol,
            topics=topics,
            pattern=text_of(subscribed.pattern) if subscribed.pattern else None,
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
                    raise fenced(settings.group, before.instance_id)
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
        self._inherits = before is not None

    def _wanted_topics(self, subscribed: Subscribed) -> tuple[str, ...]:
        """The topics that are named, and those that the pattern matches. Raises InvalidRegularExpressionError."""
        if subscribed.pattern is None:
            return subscribed.topics
        names = self._catalog.topic_ids().keys() - INTERNAL_TOPICS
        found = matching(subscribed.pattern, names, self.settings.pattern_limit)
        return tuple(sorted({*subscribed.topics, *found}))

    def check_held(self) -> bool:
        """Whether this member was not expired meanwhile: asked before anything is delivered."""
        held = self._lease is not None and self._lease.is_held()
        self._settled = self._settled and held
        return held

    # --------------------------------------------------------------------------------------------------------- look

    def hurry(self) -> None:
        """The groups' database was written: the next look at it is due."""
        self._next_glance = 0.0

    def doubt(self) -> None:
        """The target may be another in the same epoch: the next look compares it with what is owned."""
        self._settled = False
        self._seen = None
        self.hurry()

    def look_at_group(self) -> Change:
        """Look at the group if there is reason to, and say what is to change. Cheap when nothing did.

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
        versions = self._versions(due=due)
        moved = versions != self._seen and not self._only_commits(versions)
        if due:
            self._next_look = now + LOOK_INTERVAL
        if moved:
            self._note_others(self._row.id)
        retargeted = self._follow_pattern(versions[1]) | self._retarget_where_needed(due=due, moved=moved)
        unsettled = due and not self._settled
        self._seen = versions  # asked before anything else: what came in between is looked at the next time
        return self._reconcile() if moved or retargeted or unsettled else Change()

    def _versions(self, *, due: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """The groups' database's version and the catalogue's, which a settled member asks for only when it is due."""
        groups = self._database.version()
        if self._seen is not None and self._settled and not due:
            return groups, self._seen[1]
        return groups, self._catalog.version()

    def _note_others(self, own_id: str) -> None:
        view = self._view()
        self._others = [other for other in view.members if other.id != own_id]
        self._known = view.member_ids | {own_id}
        self._watch.keep(each.lease for each in view.members)

    def _only_commits(self, versions: tuple[tuple[int, int], tuple[int, int]]) -> bool:
        """Whether what was written to the groups' database is of no concern to a settled member: commits, or what
        another group did.
        """
        if not self._settled or self._seen is None or versions[1] != self._seen[1]:
            return False  # topics
        view = self._view()
        return view.epoch == self._epoch and view.member_ids == self._known  # a static one comes back in the same epoch

    def _retarget_where_needed(self, *, due: bool, moved: bool) -> bool:
        """Reap members that are gone, which is looked for when it is ``due``, and compute a new target where what the
        old one was computed from has changed; whether there was need of either.
        """
        someone_is_gone = due and bool(self._gone(self._others, self._watch.seems_gone))
        if not someone_is_gone and not (moved and self._is_out_of_date()):
            return False
        with self._database.transaction():
            self._reap_within()
            self._retarget_within()
        return True

    def _follow_pattern(self, catalog: tuple[int, int]) -> bool:
        """Match the pattern again where the catalogue has changed; whether it matches other topics by now."""
        assert self._row is not None
        if self._subscribed.pattern is None or catalog == self._matched_at:
            return False
        self._matched_at = catalog
        topics = self._wanted_topics(self._subscribed)
        group, own_id = self.settings.group, self._row.id
        known = next((member for member in self._database.members(group) if member.id == own_id), None)
        if known is None or known.topics == topics:
            return False
        with self._database.transaction():
            self._database.set_topics_within(group, known, topics)
            self._reap_within()
            self._retarget_within()
        return True

    def resubscribe(self, subscribed: Subscribed) -> None:
        """Subscribe to something else without leaving: what is owned stays so until the target says otherwise. Raises
        UnknownMemberIdError for a member that was expired, InvalidRegularExpressionError.
        """
        self._matched_at = self._catalog.version()
        topics = self._wanted_topics(subscribed)
        self._subscribed = subscribed
        with self._database.transaction():
            members = self._database.members(self.settings.group)
            known = next((member for member in members if member.id == self.member_id), None)
            if known is None:
                raise UnknownMemberIdError("The coordinator is not aware of this member.")
            pattern = text_of(subscribed.pattern) if subscribed.pattern else None
            if (known.topics, known.pattern) != (topics, pattern):
                self._database.subscribe_member_within(known.id, topics, pattern)
                self._reap_within()
                self._retarget_within()
        self._settled = False

    def _rejoin(self) -> Change:
        lost = tuple(sorted(self.owned))
        try:
            self._join(self._subscribed, again=True)
        except AwayError:
            self.owned.clear()  # at each look it is tried again, until the directory has come back
        return Change(lost=lost)

    def _reconcile(self) -> Change:
        assert self._row is not None
        group, row = self.settings.group, self._row
        view = self._view()
        self._epoch = view.epoch
        mine = view.shares.get(row.identity, frozenset())
        to_revoke = tuple(sorted(self.owned.keys() - mine))
        wanted = sorted(mine - self.owned.keys())
        taken: dict[TopicPartition, int] = {}
        owners = view.owners if wanted else {}
        free = [partition for partition in wanted if owners.get(partition, row.id) == row.id]
        if free and not to_revoke:  # give up first, take after
            try:
                taken = self._database.acquire(group, row.id, free)
            except UnknownMemberIdError:
                return self._rejoin()
            self.owned.update(taken)
        if self._inherits:  # what it is not to have any more nobody else could take
            self._database.release_all_but(group, row.id, self.owned)
            self._inherits = False
        self._settled = not to_revoke and len(taken) == len(wanted)
        if to_revoke:
            self._next_look = 0.0
        return Change(to_revoke=to_revoke, taken=tuple(taken))

    def give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """What ``look_at_group`` said to revoke has been dealt with and committed: others may take it."""
        assert self._row is not None
        self._database.release(self.settings.group, self._row.id, partitions)
        for partition in partitions:
            self.owned.pop(partition, None)

    # ------------------------------------------------------------------------------------------- the group as a whole

    def _gone(self, others: Sequence[MemberRow], gone: Callable[..., bool]) -> list[MemberRow]:
        """Nobody where this member's own lease can't be seen either: the directory went away amid the look."""
        found = [each for each in others if gone(each.lease, each.session_timeout, static=each.instance_id is not None)]
        return found if found and self._lease is not None and self._lease.is_held() else []

    def _reap_within(self) -> None:
        gone = self._gone(
            [other for other in self._database.members(self.settings.group) if other.id != self.member_id],
            self._watch.is_gone,
        )
        for member in gone:
            self._database.remove_member_within(self.settings.group, member.id)
            self._disk.remove(os.path.join(self._directory, member.lease))

    def _view(self) -> GroupView:
        return self._views.of(self.settings.group)

    def _is_out_of_date(self) -> bool:
        """Whether the target was computed from something else than what there is now."""
        view = self._view()
        return view.basis != (view.row.basis if view.row else "")

    def _retarget_within(self) -> None:
        retarget_within(self._database, self.settings.group, self._catalog.partition_counts())

    # -------------------------------------------------------------------------------------------------------- leave

    def leave(self, *, for_good: bool = False) -> None:
        """End the membership. A static member only goes away, unless it leaves ``for_good``: what it owns waits for it
        until its session times out.
        """
        if self._lease is None:
            return
        stays = self.settings.instance_id is not None and not for_good
        try:
            if not stays and self._lease.is_held():
                self._leave_tables()
        finally:  # even if the tables could not be written: a free lease says the same
            self._let_go(keep_file=stays)

    def leave_if_settled(self) -> bool:
        """End the membership if the group means this member to have just what it owns; whether it has ended.

        Who has read all that it owns may go only then: what it is meant to take besides, the others leave to it. That
        is asked in the transaction that takes it out of the tables, so what it owns passes on to members that have not
        gone yet, or to nobody if it is the last; and what the dead owned counts as theirs no more.
        """
        if self._lease is None or self._row is None or not self._settled or not self._lease.is_held():
            return False
        group, row = self.settings.group, self._row
        with self._database.transaction():
            self._reap_within()
            self._retarget_within()
            mine = {each for each, identity in self._database.targets(group).items() if identity == row.identity}
            owned = {each for each, owner in self._database.owners(group).items() if owner == row.id}
            self._settled = mine == owned == self.owned.keys()
            if self._settled and row.instance_id is None:
                self._database.remove_member_within(group, row.id)
                self._retarget_within()
        if not self._settled:
            self._next_look = 0.0
            return False
        self._let_go(keep_file=row.instance_id is not None)
        return True

    def _let_go(self, *, keep_file: bool) -> None:
        assert self._lease is not None
        self._lease.release(keep_file=keep_file)
        self._lease = self._row = None
        self.owned.clear()

    def _leave_tables(self) -> None:
        assert self._row is not None
        with self._database.transaction():
            self._database.remove_member_within(self.settings.group, self._row.id)
            self._retarget_within()


def _member_id(settings: MemberSettings, name: str) -> str:
    """As Kafka's members have it: one of the consumer protocol makes its own, of 22 characters (KIP-1082); those of the
    classic one are given it by the coordinator, with the client's name in front.
    """
    if settings.protocol == "consumer":
        return random_topic_id()
    return f"{settings.instance_id or settings.client_id}-{uuid.UUID(name)}"
