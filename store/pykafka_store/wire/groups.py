"""The door to groups: which of the two kinds of classic membership a request belongs to."""

from __future__ import annotations

from pykafka_store.errors import StoreError
from pykafka_store.wire.broker import Broker, Parked, code_of
from pykafka_store.wire.classic_groups import ClassicGroupsApi
from pykafka_store.wire.classic_machine import ClassicMachine, sync_failure
from pykafka_store.wire.members import Members
from pykafka_store.wire.protocol import Reply, Request


class GroupsApi:
    """Answers JoinGroup, SyncGroup, Heartbeat and LeaveGroup."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._members = members
        self._bridged = ClassicGroupsApi(broker, members)
        self._machine = ClassicMachine(broker, members)
        self.self_assigned = self._machine.described
        """What is spoken in a group that assigns itself; None for another."""

    def join(self, request: Request) -> Reply | Parked:
        """A member of the engine's where its assignor is one, else one of a group that assigns itself."""
        body = request.body
        if self._machine.has(body.group_id) or not self._bridged.takes(body):
            return self._machine.join(request)
        return self._bridged.join(request)

    def sync(self, request: Request) -> Reply | Parked:
        """What the member has."""
        body = request.body
        try:
            return self._machine.sync(body) if self._machine.has(body.group_id) else self._bridged.sync(body)
        except StoreError as error:
            return sync_failure(code_of(error))

    def heartbeat(self, request: Request) -> Reply:
        """Whether the member is to join again."""
        body = request.body
        try:
            return self._machine.heartbeat(body) if self._machine.has(body.group_id) else self._bridged.heartbeat(body)
        except StoreError as error:
            return Reply(error_code=code_of(error))

    def leave(self, request: Request) -> Reply:
        """Members leave, each with an answer of its own."""
        body = request.body
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
