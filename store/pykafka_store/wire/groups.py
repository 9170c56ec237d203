"""The door to groups: which of the two kinds of classic membership a request belongs to."""

from __future__ import annotations

from typing import Any

from pykafka_store.errors import InconsistentGroupProtocolError, InvalidGroupIdError, StoreError
from pykafka_store.wire.broker import Broker, Parked, code_of
from pykafka_store.wire.classic_groups import ClassicGroupsApi, check_join, join_failure
from pykafka_store.wire.classic_machine import ClassicMachine
from pykafka_store.wire.invited import MemberIdRequiredError
from pykafka_store.wire.leading import sync_failure
from pykafka_store.wire.members import Members
from pykafka_store.wire.protocol import Reply, Request, seconds


class GroupsApi:
    """Answers JoinGroup, SyncGroup, Heartbeat and LeaveGroup."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members
        self._bridged = ClassicGroupsApi(broker, members)
        self._machine = ClassicMachine(broker, members)
        self.self_assigned = self._machine.described
        """What is spoken in a group that assigns itself; None for another."""

    def join(self, request: Request) -> Reply | Parked:
        """A member of the engine's where its assignor is one, else one of a group that assigns itself."""
        body = request.body
        machine = self._machine if self._machine.has(body.group_id) or not self._bridged.takes(body) else None
        try:
            check_join(self._broker, body)
            if machine is not None:
                machine.check(body)
        except StoreError as error:
            return join_failure(body.member_id, error)
        if not body.member_id and request.version >= 4 and getattr(body, "group_instance_id", None) is None:
            id = self._members.invited.add(body.group_id, request.client_id, seconds(body.session_timeout))
            return join_failure(id, MemberIdRequiredError("The member is to join with the id that it is given"))
        return self._bridged.join(request) if machine is None else machine.join(request)

    def sync(self, request: Request) -> Reply | Parked:
        """What the member has."""
        body = request.body
        try:
            _check_group_id(body)
            if request.version >= 5 and not (body.protocol_type and body.protocol_name):
                raise InconsistentGroupProtocolError("The member does not say what its group speaks")
            return self._machine.sync(body) if self._machine.has(body.group_id) else self._bridged.sync(body)
        except StoreError as error:
            return sync_failure(code_of(error))

    def heartbeat(self, request: Request) -> Reply:
        """Whether the member is to join again."""
        body = request.body
        try:
            _check_group_id(body)
            return self._machine.heartbeat(body) if self._machine.has(body.group_id) else self._bridged.heartbeat(body)
        except StoreError as error:
            return Reply(error_code=code_of(error))

    def leave(self, request: Request) -> Reply:
        """Members leave, each with an answer of its own."""
        body = request.body
        try:
            _check_group_id(body)
        except StoreError as error:
            return Reply(error_code=code_of(error), members=[])
        if request.version < 3:
            return Reply(error_code=self._leave(body.group_id, body.member_id, None))
        return Reply(
            members=[
                Reply(
                    member_id=each.member_id,
                    group_instance_id=each.group_instance_id,
                    error_code=self._leave(body.group_id, each.member_id, each.group_instance_id),
                )
                for each in body.members
            ]
        )

    def _leave(self, group: str, member_id: str, instance_id: str | None) -> int:
        try:
            self._bridged.leave(group, member_id, instance_id)
        except StoreError as error:
            return code_of(error)
        return 0


def _check_group_id(body: Any) -> None:
    """Raises InvalidGroupIdError."""
    if not body.group_id:
        raise InvalidGroupIdError("The group id is empty")
