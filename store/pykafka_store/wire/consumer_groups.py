"""ConsumerGroupHeartbeat: members of the protocol of KIP-848, as members of the engine, whose model that is.

Source: GroupMetadataManager.consumerGroupHeartbeat of Kafka's coordinator.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any, ClassVar

from pykafka_store.embedded.serving.members import (
    ASSIGNORS,
    TopicPartition,
    free_id,
    new_member,
    remote_assignors,
    subscribed_to,
)
from pykafka_store.errors import GroupIdNotFoundError, InvalidRequestError, StoreError, UnknownMemberIdError
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.members import FencedMemberEpochError, Members, Remote
from pykafka_store.wire.protocol import Reply, Request, seconds

_LEAVE, _LEAVE_FOR_A_WHILE = -1, -2
_SESSION_TIMEOUT = 45.0
"""Seconds; group.consumer.session.timeout.ms."""

_SETTLED_INTERVAL, _UNSETTLED_INTERVAL = 1000, 200
"""Milliseconds between a member's heartbeats; a broker's are 5 s, which is long on one machine."""


class UnsupportedAssignorError(StoreError):
    code: ClassVar[int] = 112
    kafka_name: ClassVar[str] = "UnsupportedAssignorException"


class UnreleasedInstanceIdError(StoreError):
    code: ClassVar[int] = 111
    kafka_name: ClassVar[str] = "UnreleasedInstanceIdException"


class ConsumerGroupsApi:
    """Answers ConsumerGroupHeartbeat."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members

    def heartbeat(self, request: Request) -> Reply:
        """What the member has now, where that changed."""
        body = request.body
        try:
            _check(request)
            if body.member_epoch in {_LEAVE, _LEAVE_FOR_A_WHILE}:
                return self._leave(body)
            return self._beat(request, body)
        except StoreError as error:
            return _failure(body, error)

    def _leave(self, body: Any) -> Reply:
        row = self._broker.engine.groups.group(body.group_id)
        if row is None or row.protocol != "consumer":
            raise GroupIdNotFoundError(f"Group {body.group_id} is not a consumer group.")
        remote = self._members.find(body.group_id, body.member_id, body.instance_id)
        self._members.remove(remote, for_good=body.member_epoch == _LEAVE)
        return Reply(member_id=body.member_id, member_epoch=body.member_epoch, heartbeat_interval=0, assignment=None)

    def _beat(self, request: Request, body: Any) -> Reply:
        now = self._broker.clock.monotonic()
        if body.member_epoch == 0:
            remote = self._join(request, body, now)
        else:
            # A broker has GROUP_ID_NOT_FOUND for a group that is not there. Here it may be gone because the server
            # was killed: its members are to join again, and not to give up.
            remote = self._members.find(body.group_id, body.member_id, body.instance_id)
            if body.member_epoch not in {remote.epoch, remote.previous_epoch}:
                raise FencedMemberEpochError(
                    f"The consumer group member has epoch {body.member_epoch}, and the coordinator {remote.epoch}"
                )
            self._resubscribe(remote, body)
        if body.topic_partitions is not None:
            remote.report(self._named(body.topic_partitions))
        try:
            has = remote.look(now)
        except UnknownMemberIdError:
            self._members.remove(remote)
            raise
        changed = has != remote.told or body.member_epoch == 0 or remote.may_have_missed_it(now)
        answered = changed or _says_all(body)
        if remote.revoking_since is None and remote.member.epoch > remote.epoch:
            remote.previous_epoch, remote.epoch = remote.epoch, remote.member.epoch
        remote.tell(has)
        if answered:
            remote.told_at = now
        self._broker.wake(("group", remote.group))
        interval = _SETTLED_INTERVAL if remote.member.settled and not changed else _UNSETTLED_INTERVAL
        return Reply(
            member_id=remote.id,
            member_epoch=remote.epoch,
            heartbeat_interval=self._interval(remote.group, interval),
            assignment=Reply(topic_partitions=self._by_id(has)) if answered else None,
        )

    def _interval(self, group: str, otherwise: int) -> int:
        """What the group's settings say, else what suits one machine."""
        configs = self._broker.engine.catalog.configs("group").get(group, {})
        return int(configs.get("consumer.heartbeat.interval.ms", otherwise))

    def _join(self, request: Request, body: Any, now: float) -> Remote:
        """A new member, or one that begins anew."""
        topics = tuple(body.subscribed_topic_names or ())
        pattern = getattr(body, "subscribed_topic_regex", None)
        id = body.member_id or str(uuid.uuid4())
        with suppress(UnknownMemberIdError):  # the usual case
            self._members.remove(self._members.find(body.group_id, id))
        member = new_member(
            self._broker.engine,
            body.group_id,
            request.client_id or "consumer",
            member_id=free_id(self._broker.engine, body.group_id, id, body.instance_id),
            instance_id=body.instance_id,
            protocol="consumer",
            assignors=remote_assignors(body.server_assignor),
            session_timeout=_SESSION_TIMEOUT,
        )
        if body.instance_id is not None and self._members.by_instance(body.group_id, body.instance_id) is not None:
            raise UnreleasedInstanceIdError(
                f"Static member with instance id {body.instance_id} is a member still, and did not leave"
            )
        member.join(subscribed_to(topics, pattern))
        rebalance = seconds(body.rebalance_timeout)
        remote = Remote(
            body.group_id, id, member, body.instance_id, member.settings.session_timeout, max(rebalance, 1.0), now
        )
        remote.topics, remote.pattern = topics, pattern or None
        self._members.add(remote)
        return remote

    def _resubscribe(self, remote: Remote, body: Any) -> None:
        """Follow what the member says of its subscription, which is nothing where it stays as it is."""
        names, pattern = body.subscribed_topic_names, getattr(body, "subscribed_topic_regex", None)
        wanted = (
            remote.topics if names is None else tuple(names),
            remote.pattern if pattern is None else pattern or None,
        )
        if wanted != (remote.topics, remote.pattern):
            remote.member.resubscribe(subscribed_to(*wanted))
            remote.topics, remote.pattern = wanted

    def _named(self, topics: Any) -> set[TopicPartition]:
        """What the member holds, by names; what is gone is held by nobody."""
        held: set[TopicPartition] = set()
        for topic in topics:
            try:
                name = self._broker.topic(None, topic.topic_id).name
            except StoreError:
                continue
            held |= {TopicPartition(name, number) for number in topic.partitions}
        return held

    def _by_id(self, partitions: set[TopicPartition]) -> list[Reply]:
        known = self._broker.topics()
        by_topic: dict[str, list[int]] = {}
        for partition in sorted(partitions):
            if partition.topic in known:
                by_topic.setdefault(partition.topic, []).append(partition.partition)
        return [Reply(topic_id=known[name].uuid, partitions=numbers) for name, numbers in by_topic.items()]


def _says_all(body: Any) -> bool:
    """Whether a heartbeat says all that a member can say: it joins, or had no answer to the one before, in which it may
    have been told of a change. Source: isFullRequest of GroupMetadataManager.consumerGroupHeartbeat.
    """
    subscribes = body.subscribed_topic_names is not None or getattr(body, "subscribed_topic_regex", None) is not None
    return subscribes and body.topic_partitions is not None and seconds(body.rebalance_timeout) >= 0


def _check(request: Request) -> None:
    """Raises InvalidRequestError, UnsupportedAssignorError. Source:
    GroupMetadataManager.throwIfConsumerGroupHeartbeatRequestIsInvalid.
    """
    body = request.body
    if not body.group_id:
        raise InvalidRequestError("GroupId can't be empty.")
    if not body.member_id and (request.version >= 1 or body.member_epoch != 0):  # KIP-1082
        raise InvalidRequestError("MemberId can't be empty.")
    if body.instance_id == "":
        raise InvalidRequestError("InstanceId can't be empty.")
    if body.rack_id == "":
        raise InvalidRequestError("RackId can't be empty.")
    if body.member_epoch == 0:
        if seconds(body.rebalance_timeout) < 0:
            raise InvalidRequestError("RebalanceTimeoutMs must be provided in first request.")
        if body.topic_partitions is None or body.topic_partitions:
            raise InvalidRequestError("TopicPartitions must be empty when (re-)joining.")
        if body.subscribed_topic_names is None and getattr(body, "subscribed_topic_regex", None) is None:
            raise InvalidRequestError(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
            )
    if body.member_epoch == _LEAVE_FOR_A_WHILE and body.instance_id is None:
        raise InvalidRequestError("InstanceId can't be null.")
    if body.member_epoch < _LEAVE_FOR_A_WHILE:
        raise InvalidRequestError("MemberEpoch is invalid.")
    if body.server_assignor is not None and body.server_assignor not in ASSIGNORS:
        raise UnsupportedAssignorError(
            f"ServerAssignor {body.server_assignor} is not supported. Supported assignors: {', '.join(ASSIGNORS)}."
        )


def _failure(body: Any, error: StoreError) -> Reply:
    return Reply(
        error_code=code_of(error),
        error_message=str(error),
        member_id=body.member_id,
        member_epoch=0,
        heartbeat_interval=_UNSETTLED_INTERVAL,
        assignment=None,
    )
