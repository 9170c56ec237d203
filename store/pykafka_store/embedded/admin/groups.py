"""What `kafka-consumer-groups` asks: groups listed, described, reset and deleted, from the tables and the leases.

Dead members are taken out on the way where the directory may be written, and not counted where it may only be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import GROUPS
from pykafka_store.errors import (
    GroupIdNotFoundError,
    GroupNotEmptyError,
    GroupSubscribedToTopicError,
    not_hosted,
)
from pykafka_store.model import (
    CommittedOffset,
    GroupDescription,
    GroupListing,
    MemberDescription,
    TopicPartition,
)

if TYPE_CHECKING:
    from pykafka_store.embedded.groups.database import MemberRow

HOST = "/127.0.0.1"
_WITHOUT_MEMBERS = {"Classic": "", "Consumer": "uniform"}
"""The assignor of a group that has no members: their choice, or what brokers choose for them."""


class GroupAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_groups(self) -> list[GroupListing]:
        return [
            GroupListing(each.group_id, each.type, each.state)
            for each in map(self.describe_group, self._engine.groups.group_ids())
            if each.state != "Dead"  # it was deleted since it was listed
        ]

    def describe_group(self, group: str) -> GroupDescription:
        """Source of states: GroupState of the classic and the consumer protocol."""
        row = self._engine.groups.group(group)
        if row is None:
            return GroupDescription(group, "Classic", "Dead", "", self._coordinator(), 0, ())
        live = {member.id for member in self._live_members(group)}
        with self._engine.groups.snapshot():
            row = self._engine.groups.group(group) or row
            members = [member for member in self._engine.groups.members(group) if member.id in live]
            owners = self._engine.groups.owners(group)
            targets = self._engine.groups.targets(group)
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
            row.strategy if members else _WITHOUT_MEMBERS[kind],
            self._coordinator(),
            row.epoch,
            tuple(
                MemberDescription(
                    member.id, member.instance_id, member.client_id, HOST, tuple(owned[member.id]), member.topics
                )
                for member in members
            ),
        )

    def _coordinator(self) -> int:
        """The first broker, as for the quorum, and as clients are told at the port."""
        return (self._engine.brokers.usable() or list(self._engine.brokers.all()))[0]

    def _live_members(self, group: str) -> list[MemberRow]:
        from pykafka_store.embedded.groups.live_members import live_members

        return live_members(self._engine, group)

    # ------------------------------------------------------------------------------------------------------ offsets

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        return self._engine.groups.offsets(group, self._engine.catalog.topic_ids())

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._engine.require_writable()
        now_ms = self._engine.clock.now_ms()
        self._live_members(group)
        counts = self._engine.catalog.partition_counts()
        for partition in offsets:
            if not 0 <= partition.partition < counts.get(partition.topic, 0):
                raise not_hosted()
        self._engine.groups.commit(group, offsets, self._engine.catalog.topic_ids(), now_ms, member_id=None, epochs={})

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        self._engine.require_writable()
        self._require(group)
        self._live_members(group)
        counts = self._engine.catalog.partition_counts()
        answers: dict[TopicPartition, Exception | None] = {}
        with self._engine.groups.transaction():
            subscribed = {topic for member in self._engine.groups.members(group) for topic in member.topics}
            subscribed |= {partition.topic for partition in self._engine.groups.targets(group)}
            for partition in partitions:
                if not 0 <= partition.partition < counts.get(partition.topic, 0):
                    answers[partition] = not_hosted()
                elif partition.topic in subscribed:
                    answers[partition] = GroupSubscribedToTopicError(
                        "Deleting offsets of a topic is forbidden while the consumer group is actively "
                        "subscribed to it."
                    )
                else:
                    self._engine.groups.delete_offset_within(group, partition)
                    answers[partition] = None
        return answers

    def delete_group(self, group: str) -> None:
        from pykafka_store.embedded.groups.leases import group_directory, remove_directory

        self._engine.require_writable()
        self._require(group)
        self._live_members(group)
        with self._engine.groups.transaction():
            if self._engine.groups.members(group):
                raise GroupNotEmptyError("The group is not empty.")
            self._engine.groups.remove_group_within(group)
            directory = os.path.join(self._engine.directory, GROUPS, group_directory(group))
            remove_directory(self._engine.disk, directory)

    def _require(self, group: str) -> None:
        if self._engine.groups.group(group) is None:
            raise GroupIdNotFoundError("The group id does not exist.")
