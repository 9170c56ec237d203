"""ListGroups, DescribeGroups, ConsumerGroupDescribe, DeleteGroups, OffsetDelete: what `kafka-consumer-groups` asks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pykafka_store.errors import GroupIdNotFoundError, InvalidGroupIdError, StoreError
from pykafka_store.model import GroupDescription, MemberDescription, TopicPartition
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.members import Members
from pykafka_store.wire.metadata import NOT_ASKED
from pykafka_store.wire.protocol import Reply, Request, pack_assignment, pack_subscription

_OPERATIONS = sum(1 << operation for operation in (3, 6, 8, 10, 11))
_CLASSIC_STATES = {"Reconciling": "PreparingRebalance", "Assigning": "CompletingRebalance"}

_NO_GROUP_ID = "The group id is invalid."
"""What a broker says of the empty one, which clients show."""


class SelfAssigned(NamedTuple):
    """A group whose leader assigns, as its members speak."""

    protocol_type: str
    protocol: str
    metadata: Mapping[str, bytes]
    """What each member says of itself."""
    assignments: Mapping[str, bytes]
    """What each was given."""


class GroupAdminApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker, members: Members, self_assigned: Callable[[str], SelfAssigned | None]) -> None:
        """``self_assigned`` is asked for groups whose members the engine can't assign to; None for all others."""
        self._broker = broker
        self._members = members
        self._self_assigned = self_assigned

    def _protocol_type(self, group: GroupDescription) -> str:
        found = self._self_assigned(group.group_id)
        return group.protocol_type if found is None else found.protocol_type

    def list_groups(self, request: Request) -> Reply:
        """All groups, or those in some states or of some types."""
        states = {each.lower() for each in getattr(request.body, "states_filter", ())}
        types = {each.lower() for each in getattr(request.body, "types_filter", ())}
        try:
            found = [self._broker.admin.describe_group(each) for each in self._broker.engine.groups.group_ids()]
        except StoreError as error:
            return Reply(error_code=code_of(error), groups=[])
        return Reply(
            groups=[
                Reply(
                    group_id=each.group_id,
                    protocol_type=self._protocol_type(each),
                    group_state=each.state,
                    group_type=each.type.lower(),
                )
                for each in found
                if (not states or each.state.lower() in states) and (not types or each.type.lower() in types)
            ]
        )

    def _described(self, group: str, kind: str) -> GroupDescription:
        """Raises GroupIdNotFoundError for a group that does not exist, or is of another kind."""
        found: GroupDescription = self._broker.admin.describe_group(group)
        if found.state == "Dead":
            raise GroupIdNotFoundError(f"Group {group} not found.")
        if found.type != kind:
            raise GroupIdNotFoundError(f"Group {group} is not a {kind.lower()} group.")
        return found

    def describe_groups(self, request: Request) -> Reply:
        """Groups of the classic protocol."""
        wanted = getattr(request.body, "include_authorized_operations", False)
        return Reply(groups=[self._classic(each, request.version, asked=wanted) for each in request.body.groups])

    def _classic(self, group: str, version: int, *, asked: bool) -> Reply:
        try:
            found = self._described(group, "Classic")
        except StoreError as error:
            is_missing = isinstance(error, GroupIdNotFoundError) and version < 6
            return Reply(
                error_code=0 if is_missing else code_of(error),
                error_message=str(error),
                group_id=group,
                group_state="Dead",
                protocol_type="",
                protocol_data="",
                members=[],
                authorized_operations=_OPERATIONS if is_missing and asked else NOT_ASKED,
            )
        spoken = self._self_assigned(group) or self._spoken(found)
        return Reply(
            group_id=group,
            group_state=_CLASSIC_STATES.get(found.state, found.state),
            protocol_type=spoken.protocol_type,
            protocol_data=spoken.protocol,
            members=[
                Reply(
                    member_id=each.member_id,
                    group_instance_id=each.instance_id,
                    client_id=each.client_id,
                    client_host=each.host,
                    member_metadata=spoken.metadata.get(each.member_id, b""),
                    member_assignment=spoken.assignments.get(each.member_id, b""),
                )
                for each in found.members
            ],
            authorized_operations=_OPERATIONS if asked else NOT_ASKED,
        )

    def _spoken(self, group: GroupDescription) -> SelfAssigned:
        """Members of the port in their own words and in their leader's, which may say more; others in ours."""
        here = {each.id: each for each in self._members.of_group(group.group_id)}
        metadata, assignments = {}, {}
        for each in group.members:
            remote = here.get(each.member_id)
            said = None if remote is None else remote.offered.get(remote.spoken)
            metadata[each.member_id] = pack_subscription(each.topics) if said is None else said
            has = {*each.assignment}
            assignments[each.member_id] = pack_assignment(sorted(has)) if remote is None else remote.in_words(has)
        return SelfAssigned(group.protocol_type, group.assignor, metadata, assignments)

    def consumer_group_describe(self, request: Request) -> Reply:
        """Groups of the protocol of KIP-848."""
        wanted = request.body.include_authorized_operations
        return Reply(groups=[self._consumer(each, asked=wanted) for each in request.body.group_ids])

    def _consumer(self, group: str, *, asked: bool) -> Reply:
        try:
            if not group:
                raise InvalidGroupIdError(_NO_GROUP_ID)
            found = self._described(group, "Consumer")
        except StoreError as error:
            return Reply(
                error_code=code_of(error),
                error_message=str(error),
                group_id=group,
                group_state="",
                group_epoch=0,
                assignment_epoch=0,
                assignor_name="",
                members=[],
                authorized_operations=NOT_ASKED,
            )
        return Reply(
            group_id=group,
            group_state=found.state,
            group_epoch=found.epoch,
            assignment_epoch=found.epoch,
            assignor_name=found.assignor,
            members=[self._consumer_member(each, found.epoch) for each in found.members],
            authorized_operations=_OPERATIONS if asked else NOT_ASKED,
        )

    def _consumer_member(self, member: MemberDescription, epoch: int) -> Reply:
        assignment = Reply(topic_partitions=self._by_topic(member))
        return Reply(
            member_id=member.member_id,
            instance_id=member.instance_id,
            rack_id=None,
            member_epoch=epoch,
            client_id=member.client_id,
            client_host=member.host,
            subscribed_topic_names=sorted(member.topics),
            subscribed_topic_regex=None,
            assignment=assignment,
            target_assignment=assignment,
            member_type=1,
        )

    def _by_topic(self, member: MemberDescription) -> list[Reply]:
        known = self._broker.topics()
        by_topic: dict[str, list[int]] = {}
        for partition in member.assignment:
            by_topic.setdefault(partition.topic, []).append(partition.partition)
        return [
            Reply(topic_id=known[name].uuid if name in known else uuid.UUID(int=0), topic_name=name, partitions=numbers)
            for name, numbers in by_topic.items()
        ]

    def delete_groups(self, request: Request) -> Reply:
        """Groups without members are forgotten, with their commits."""
        return Reply(results=[self._delete(each) for each in request.body.groups_names])

    def _delete(self, group: str) -> Reply:
        try:
            self._broker.admin.delete_group(group)
        except StoreError as error:
            return Reply(group_id=group, error_code=code_of(error))
        return Reply(group_id=group)

    def offset_delete(self, request: Request) -> Reply:
        """Commits are forgotten, a partition each."""
        body = request.body
        asked = [TopicPartition(topic.name, each.partition_index) for topic in body.topics for each in topic.partitions]
        try:
            if not body.group_id:
                raise InvalidGroupIdError(_NO_GROUP_ID)
            answers = self._broker.admin.delete_group_offsets(body.group_id, asked)
        except StoreError as error:
            return Reply(error_code=code_of(error), topics=[])
        return Reply(topics=[self._deleted(topic, answers) for topic in body.topics])

    def _deleted(self, topic: Any, answers: dict[TopicPartition, Exception | None]) -> Reply:
        found = [(each.partition_index, answers[topic.name, each.partition_index]) for each in topic.partitions]  # type: ignore[index]
        return Reply(
            name=topic.name,
            partitions=[
                Reply(partition_index=number, error_code=0 if error is None else code_of(error))
                for number, error in found
            ],
        )
