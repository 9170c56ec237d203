"""What `kafka-consumer-groups` asks: groups listed, described, reset and deleted, from the tables and the leases.

Dead members are taken out on the way where the directory may be written, and not counted where it may only be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.database import GroupDatabase, MemberRow
from pykafka_store.embedded.groups.leases import (
    group_directory,
    is_locked,
    is_overdue,
    list_leases,
    remove_directory,
    remove_strays,
)
from pykafka_store.embedded.groups.membership import Catalogued, retarget_within
from pykafka_store.errors import (
    GroupIdNotFoundError,
    GroupNotEmptyError,
    GroupSubscribedToTopicError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import (
    CommittedOffset,
    GroupDescription,
    GroupListing,
    MemberDescription,
    TopicPartition,
)

COORDINATOR = 0
HOST = "/127.0.0.1"
_WITHOUT_MEMBERS = {"Classic": "", "Consumer": "uniform"}
"""The assignor of a group that has no members: their choice, or what brokers choose for them."""


class Topics(Catalogued, Protocol):
    """The catalogue, and the ids of its topics."""

    def topic_ids(self) -> dict[str, str]: ...


class GroupAdmin:
    def __init__(self, database: GroupDatabase, directory: str, topics: Topics, disk: Disk, *, read_only: bool) -> None:
        """``directory``: the one that holds the groups' lease directories."""
        self._database = database
        self._directory = directory
        self._topics = topics
        self._disk = disk
        self._read_only = read_only

    def list_groups(self) -> list[GroupListing]:
        return [
            GroupListing(each.group_id, each.type, each.state)
            for each in map(self.describe_group, self._database.group_ids())
        ]

    def describe_group(self, group: str) -> GroupDescription:
        """Source of states: GroupState of the classic and the consumer protocol."""
        row = self._database.group(group)
        if row is None:
            return GroupDescription(group, "Classic", "Dead", "", COORDINATOR, 0, ())
        live = {member.id for member in self._live_members(group)}
        with self._database.snapshot():
            row = self._database.group(group) or row
            members = [member for member in self._database.members(group) if member.id in live]
            owners = self._database.owners(group)
            targets = self._database.targets(group)
        kind = "Consumer" if row.protocol == "consumer" else "Classic"
        owned: dict[str, list[TopicPartition]] = {member.id: [] for member in members}
        for partition, owner in sorted(owners.items()):
            if owner in owned:
                owned[owner].append(partition)
        identities = {member.id: member.identity for member in members}
        settled = {partition: identities.get(owner) for partition, owner in owners.items()} == targets
        if not members:
            state = "Empty"
        elif settled:
            state = "Stable"
        else:
            state = "Reconciling" if kind == "Consumer" else "PreparingRebalance"
        return GroupDescription(
            group,
            kind,
            state,
            row.assignor if members else _WITHOUT_MEMBERS[kind],
            COORDINATOR,
            row.epoch,
            tuple(
                MemberDescription(member.id, member.instance_id, member.client_id, HOST, tuple(owned[member.id]))
                for member in members
            ),
        )

    def bury(self, group: str) -> None:
        """Take members that have died out of a group, and what they left behind."""
        self._live_members(group)

    def _live_members(self, group: str) -> list[MemberRow]:
        """Members whose process lives, and static ones that may come back; the others are taken out."""
        directory = os.path.join(self._directory, group_directory(group))
        names = list_leases(self._disk, directory)
        members = self._database.members(group)
        dead = [member for member in members if self._is_dead(member, os.path.join(directory, member.lease))]
        if self._read_only:
            return [member for member in members if member not in dead]
        remove_strays(self._disk, directory, {*names} - {member.lease for member in members})
        if not dead:
            return members
        with self._database.transaction():
            for member in dead:
                self._database.remove_member_within(group, member.id)
                self._disk.remove(os.path.join(directory, member.lease))
            retarget_within(self._database, group, self._topics.partition_counts())
        return self._database.members(group)

    def _is_dead(self, member: MemberRow, lease: str) -> bool:
        return not is_locked(lease) and (member.instance_id is None or is_overdue(lease, member.session_timeout))

    # ------------------------------------------------------------------------------------------------------ offsets

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        return self._database.offsets(group, self._topics.topic_ids())

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int], now_ms: int) -> None:
        self._live_members(group)
        counts = self._topics.partition_counts()
        for partition in offsets:
            if not 0 <= partition.partition < counts.get(partition.topic, 0):
                raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")
        self._database.commit(group, offsets, self._topics.topic_ids(), now_ms, member_id=None, epochs={})

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        self._require(group)
        self._live_members(group)
        counts = self._topics.partition_counts()
        answers: dict[TopicPartition, Exception | None] = {}
        with self._database.transaction():
            subscribed = {topic for member in self._database.members(group) for topic in member.topics}
            subscribed |= {partition.topic for partition in self._database.targets(group)}
            for partition in partitions:
                if not 0 <= partition.partition < counts.get(partition.topic, 0):
                    answers[partition] = UnknownTopicOrPartitionError("This server does not host this topic-partition.")
                elif partition.topic in subscribed:
                    answers[partition] = GroupSubscribedToTopicError(
                        "Deleting offsets of a topic is forbidden while the consumer group is actively "
                        "subscribed to it."
                    )
                else:
                    self._database.delete_offset_within(group, partition)
                    answers[partition] = None
        return answers

    def delete_group(self, group: str) -> None:
        self._require(group)
        self._live_members(group)
        with self._database.transaction():
            if self._database.members(group):
                raise GroupNotEmptyError("The group is not empty.")
            self._database.remove_group_within(group)
            remove_directory(self._disk, os.path.join(self._directory, group_directory(group)))

    def _require(self, group: str) -> None:
        if self._database.group(group) is None:
            raise GroupIdNotFoundError("The group id does not exist.")
