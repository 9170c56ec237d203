"""A consumer with a group.id: a member of its group where it subscribes, and offsets that the group commits.

Each poll looks at the group first (groups/membership.py): what this member lost is dropped, what it has to give up is
committed and released, what it was given is read from where the group has committed. What was read is delivered only if
the member still has its lease then. With `assign` there is no membership, and commits are made for the group as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pykafka_store.embedded.clients.consumer import UNDEFINED, EmbeddedConsumer, Position
from pykafka_store.embedded.clients.following import IDLE_POLL
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.assignors import assignor_names, remote_assignors
from pykafka_store.embedded.groups.database import fenced
from pykafka_store.embedded.groups.live_members import live_members
from pykafka_store.embedded.groups.membership import LOOK_INTERVAL, Change, Member, MemberSettings, Subscribed
from pykafka_store.embedded.replication.reader import PartitionReader, open_reader
from pykafka_store.errors import (
    IllegalGenerationError,
    InvalidTopicError,
    LeaderNotAvailableError,
    StoreError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import OFFSETS_TOPIC, CommittedOffset, OffsetAt, TopicPartition
from pykafka_store.settings.client_configs import ClientConfig
from pykafka_store.threads import one_thread_at_a_time


@one_thread_at_a_time
class MemberConsumer(EmbeddedConsumer):
    """See :class:`pykafka_store.api.Consumer`."""

    def __init__(
        self,
        engine: Engine,
        settings: ClientConfig,
        group: str,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(engine, settings, on_notice)
        self._group = group
        self._auto_commit = settings.flag("enable.auto.commit", default=True)
        self._auto_commit_interval = settings.milliseconds("auto.commit.interval.ms", 5000)
        self._next_commit = 0.0
        self._knows_its_share = False
        """Whether ``assigned`` was called since joining; like Kafka's it is, with nothing, where nothing is left to
        own.
        """
        self._committed: dict[TopicPartition, int] = {}
        """What this consumer knows to be committed, so that nothing is written twice."""
        self._member: Member | None = None
        self._member_settings = _member_settings(settings, group)
        self._callbacks: dict[str, Callable[[Sequence[TopicPartition]], None] | None] = {}

    def assign(self, positions: Mapping[TopicPartition, int | OffsetAt]) -> None:
        """See :meth:`pykafka_store.api.Consumer.assign`."""
        self._leave()
        self._next_commit = self._clock.monotonic() + self._auto_commit_interval
        super().assign(positions)

    def _partitions_of_view(self) -> range:
        raise InvalidTopicError(
            f"{OFFSETS_TOPIC} can't be shared by a group's members: leave the group out (--group, group.id)"
        )

    def subscribe(
        self,
        topics: Sequence[str] | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        start: OffsetAt = OffsetAt.LATEST,  # noqa: ARG002 - what the group has committed counts, and auto.offset.reset
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.subscribe`."""
        self._prepared = True
        subscription = Subscribed(tuple(topics or ()), pattern)
        member = self._member or Member(self._engine, self._member_settings)
        for name in subscription.topics:
            self._partitions_of(name, create=self._auto_create)
        if self._member is not None:
            self._give_up(self.assignment())
        elif self._auto_commit:
            self._commit_if_still_ours()
        self._drop(tuple(self._positions))
        self._member = None
        try:
            member.join(subscription)
        except BaseException:
            member.leave()
            raise
        self._member = member
        self._knows_its_share = False
        self._next_commit = self._clock.monotonic() + self._auto_commit_interval

    def on_rebalance(
        self,
        assigned: Callable[[Sequence[TopicPartition]], None] | None = None,
        revoked: Callable[[Sequence[TopicPartition]], None] | None = None,
        lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Consumer.on_rebalance`."""
        self._callbacks = {"assigned": assigned, "revoked": revoked, "lost": lost}

    # ------------------------------------------------------------------------------------------------------ rebalance

    def _prepare_to_read(self) -> None:
        """All that was returned before is dealt with by now, so it may be committed, and partitions may come and go."""
        self._commit_when_due()
        if self._member is not None:
            self._follow_group()

    def _wait(self, seconds: float) -> None:
        if self._auto_commit:
            seconds = min(seconds, max(0.0, self._next_commit - self._clock.monotonic()))
        if self._member is not None:
            # That others died nobody is told.
            seconds = min(seconds, LOOK_INTERVAL if self._member.settled else IDLE_POLL)
        super()._wait(seconds)
        if self._member is not None and self._following.groups_moved:
            self._following.groups_moved = False
            self._member.hurry()

    def _may_deliver(self) -> bool:
        return self._member is None or self._member.check_held()

    def _follow_group(self) -> None:
        """Let the group change what is read."""
        assert self._member is not None
        change = self._member.look_at_group()
        while change != Change():
            self._apply(change)
            if not change.lost and not change.to_revoke:
                break
            change = self._member.look_at_group()
        if self._member.settled and not self._knows_its_share:
            self._knows_its_share = True
            self._tell("assigned", ())
        if len(self._positions) < len(self._member.owned):  # taken when its topic was just being deleted
            late = [partition for partition in self._member.owned if partition not in self._positions]
            self._begin(late)
            if begun := self._begun(late):
                self._tell("assigned", begun)
        if self._reset.is_none:
            self._refuse_undefined()

    def _apply(self, change: Change) -> None:
        """Drop what was lost, commit and release what others are to have, begin with what was taken."""
        assert self._member is not None
        if change.lost:
            self._knows_its_share = False
            self._drop([partition for partition in change.lost if partition in self._positions])
            self._tell("lost", change.lost)
        if change.to_revoke:
            self._give_up(change.to_revoke)
            self._drop([partition for partition in change.to_revoke if partition in self._positions])
            self._member.give_up(change.to_revoke)
        if change.taken:
            self._begin(change.taken)
            self._knows_its_share = True
            self._tell("assigned", self._begun(change.taken))

    def _begun(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Those that can be read. Of the others nothing is told before they can."""
        return [partition for partition in partitions if partition in self._positions]

    def _refuse_undefined(self) -> None:
        """Raises NoOffsetForPartitionError where a partition has no position, and auto.offset.reset gives it none. Not
        for one whose topic is gone, which nobody could seek in: the group will see it too.
        """
        for position in self._positions.values():
            if position.offset == UNDEFINED and position.start is None:
                with suppress(UnknownTopicOrPartitionError):
                    with suppress(LeaderNotAvailableError):
                        position.reader.state()
                    self._reset.offset(position.reader, committed=False)

    def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Read partitions from where the group has committed, else by ``auto.offset.reset``. Those of a topic that is
        gone are left out: the group will see it too.
        """
        readers: dict[TopicPartition, PartitionReader] = {}
        for partition in partitions:
            self._committed.pop(partition, None)
            with suppress(UnknownTopicOrPartitionError):
                readers[partition] = open_reader(self._engine, partition, self._readers)
        # Asked with the topic at hand: what was committed for one that had its name before is not meant for it.
        committed = self.committed([*readers])
        beginnings: dict[TopicPartition, int] = {}
        for partition, reader in readers.items():
            try:
                if partition in committed:
                    offset = self._committed[partition] = committed[partition].offset
                elif self._reset.is_none:
                    offset = UNDEFINED
                else:
                    offset = beginnings[partition] = self._reset.offset(reader, committed=False)
            except (UnknownTopicOrPartitionError, LeaderNotAvailableError):
                continue  # asked again at the next look
            self._drop([partition] if partition in self._positions else [])
            self._positions[partition] = Position(reader, offset)
        if self._auto_commit:
            # Where nothing was committed, the beginning is fixed now: found again after a crash it might be later.
            # Only that: this may be in the middle of a poll, whose records nobody has dealt with yet.
            with suppress(UnknownMemberIdError, IllegalGenerationError):
                self._commit(beginnings, only_new=True)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions are about to go to others: commit them, and tell whoever wants to know."""
        if not partitions:
            return
        if self._auto_commit:
            self._commit_if_still_ours()
        assert self._member is not None
        self._tell("revoked" if self._member.check_held() else "lost", partitions)

    def _tell(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        callback = self._callbacks.get(what)
        if callback is not None:
            callback(partitions)

    def _follow_deletion(self, partition: TopicPartition, error: StoreError) -> None:
        """A topic that came by the group goes by it. There may be another one under its name, which is read then: the
        group has the same partitions as before, and takes none away, so who keeps something by them is told here.
        """
        if self._member is None or not isinstance(error, UnknownTopicOrPartitionError):
            raise error
        before = self._positions[partition]
        before.waiting.clear()
        self._begin([partition])
        if self._positions[partition] is not before:
            self._tell("lost", [partition])
            self._tell("assigned", [partition])

    def _leave(self) -> None:
        if self._member is None:
            if self._auto_commit:
                self._commit_if_still_ours()
            return
        owned = tuple(sorted(self._member.owned))
        try:
            self._give_up(owned)
        finally:
            member, self._member = self._member, None
            member.leave()

    def leave_if_settled(self) -> bool:
        """See :meth:`pykafka_store.api.Consumer.leave_if_settled`: for who has read to the end of all that it was
        given, and committed it. Nothing is called back.
        """
        if self._member is None:
            return True
        if self._member.owned.keys() - self._positions.keys():
            return False  # what it could not begin yet: its leader is away, or its topic is just being deleted
        if self._auto_commit:
            self._commit_if_still_ours()
        if not self._member.leave_if_settled():
            return False
        self._member = None
        self._drop(tuple(self._positions))
        return True

    def close(self) -> None:
        try:
            self._leave()
        finally:
            super().close()

    # --------------------------------------------------------------------------------------------------------- commit

    def _commit_when_due(self) -> None:
        now = self._clock.monotonic()
        if self._auto_commit and now >= self._next_commit:
            self._next_commit = now + self._auto_commit_interval
            self._commit_if_still_ours()

    def _commit_if_still_ours(self) -> None:
        """Auto-commit what has moved. A member that was fenced can't, and learns of it at its next look."""
        with suppress(UnknownMemberIdError, IllegalGenerationError):
            self._commit(self._committable(), only_new=True)

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """See :meth:`pykafka_store.api.Consumer.commit`."""
        wanted, gone = (self._committable(), None) if offsets is None else self._those_there(offsets)
        # What a live member committed before stands; anybody else's may have been changed meanwhile.
        live = self._member is not None and self._member.check_held()
        try:
            lost = self._commit(wanted, only_new=live)
        except UnknownMemberIdError:
            instance_id = self._member.settings.instance_id if self._member is not None else None
            if instance_id and any(
                each.instance_id == instance_id for each in self._engine.groups.members(self._group)
            ):
                raise fenced(self._group, instance_id) from None  # it was not expired: its place was taken
            raise
        if lost and offsets is not None:
            gone = gone or UnknownTopicOrPartitionError(f"{min(lost)} is gone: nothing was committed for it")
        if gone is not None:
            raise gone

    def _those_there(
        self, offsets: Mapping[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, int], UnknownTopicOrPartitionError | None]:
        """Those of the offsets whose partition is there, and is the one that was read; and what the first of the others
        is refused with. As a broker does it, one that is gone keeps back none of the others.
        """
        found: dict[TopicPartition, int] = {}
        counts: dict[str, range] = {}
        gone: UnknownTopicOrPartitionError | None = None
        for partition, offset in offsets.items():
            try:
                if partition.topic not in counts:
                    counts[partition.topic] = self._partitions_of(partition.topic, create=False)
                if partition.partition not in counts[partition.topic]:
                    raise UnknownTopicOrPartitionError(f"{partition} does not exist: nothing was committed for it")
                if partition in self._positions:
                    with suppress(LeaderNotAvailableError):
                        self._positions[partition].reader.state()  # raises if the one that was read is gone
            except UnknownTopicOrPartitionError as error:
                gone = gone or error
            else:
                found[partition] = offset
        return found, gone

    def _committable(self) -> dict[TopicPartition, int]:
        """The positions, but for those of topics that are gone: there may be others under their names by now."""
        found = {}
        for partition, position in self._positions.items():
            with suppress(UnknownTopicOrPartitionError):
                with suppress(LeaderNotAvailableError):
                    position.reader.state()
                if position.offset != UNDEFINED:
                    found[partition] = position.offset
        return found

    def _commit(self, offsets: Mapping[TopicPartition, int], *, only_new: bool) -> set[TopicPartition]:
        """Returns those of which nothing was committed, as another topic has the name by now of the one that was
        read.
        """
        new = {
            partition: offset
            for partition, offset in offsets.items()
            if not only_new or self._committed.get(partition) != offset
        }
        if not new:
            return set()
        topic_ids = self._engine.catalog.topic_ids()
        lost = {
            partition
            for partition in new.keys() & self._positions.keys()
            if self._positions[partition].reader.topic_id != topic_ids.get(partition.topic, "")
        }
        for partition in lost:
            del new[partition]
        if not new:
            return lost
        if self._member is None:
            live_members(self._engine, self._group)  # nobody else may be there to do it
        member = (self._member.member_id or "") if self._member is not None else None
        epochs = self._member.owned if self._member is not None else {}
        leader_epochs = {}
        for partition in new.keys() & self._positions.keys():
            with suppress(UnknownTopicOrPartitionError, LeaderNotAvailableError):  # then nothing asks for it
                state = self._positions[partition].reader.state()
                if state.log_end_offset > 0:  # an epoch begins with its first record
                    leader_epochs[partition] = state.leader_epoch
        self._engine.groups.commit(
            self._group,
            new,
            topic_ids,
            self._clock.now_ms(),
            member_id=member,
            epochs=epochs,
            leader_epochs=leader_epochs,
        )
        self._committed.update(new)
        return lost

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        """See :meth:`pykafka_store.api.Consumer.committed`."""
        found = self._engine.groups.offsets(self._group, self._engine.catalog.topic_ids())
        return {partition: found[partition] for partition in partitions if partition in found}


def _member_settings(settings: ClientConfig, group: str) -> MemberSettings:
    session = settings.number("session.timeout.ms", 45000, low=1) / 1000
    protocol = settings.group_protocol
    strategy = settings.text("partition.assignment.strategy", "RangeAssignor,CooperativeStickyAssignor")
    if protocol == "consumer":
        (wish, *_) = assignor_names(settings.text("group.remote.assignor", "uniform"))
        assignors = remote_assignors(wish)
    else:
        assignors = assignor_names(strategy)
    return MemberSettings(
        group=group,
        client_id=settings.text("client.id", "") or f"consumer-{group}-1",
        instance_id=settings.text("group.instance.id", "") or None,
        protocol=protocol,
        assignors=assignors,
        session_timeout=session,
        heartbeat_interval=max(min(settings.milliseconds("heartbeat.interval.ms", 3000), session / 3), 0.01),
        max_poll_interval=settings.milliseconds("max.poll.interval.ms", 300000),
    )
