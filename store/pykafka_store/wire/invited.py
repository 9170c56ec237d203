"""Members that were told their id, and have not joined with it yet.

Who joins for the first time is told an id, and joins with that (KIP-394). So one whose first answer was lost leaves no
member behind that all others would wait for. Static members, and the requests of before, are members at once.

Source: GroupMetadataManager.classicGroupJoinNewDynamicMember, and ClassicGroup's pending members.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from pykafka_store.embedded.clock import Clock
from pykafka_store.errors import StoreError

LIMIT = 1000
"""How many are remembered; of more the first are forgotten, which costs them another round."""


class MemberIdRequiredError(StoreError):
    code: ClassVar[int] = 79
    kafka_name: ClassVar[str] = "MemberIdRequiredException"


def new_id(client_id: str | None, instance_id: str | None = None) -> str:
    """The id of a member that has none. Source: ClassicGroup.generateMemberId."""
    return f"{instance_id or client_id or 'consumer'}-{uuid.uuid4()}"


class Invited:
    """Those of all groups."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        """(group, member id) -> when it is forgotten, by the monotonic clock."""

    def add(self, group: str, client_id: str, session: float) -> str:
        """A new member's id. It is good for ``session``, in seconds."""
        now = self._clock.monotonic()
        if len(self._until) >= LIMIT:
            self._until = {key: until for key, until in self._until.items() if until > now}
        if len(self._until) >= LIMIT:
            del self._until[next(iter(self._until))]
        id = new_id(client_id)
        self._until[group, id] = now + session
        return id

    def has(self, group: str, id: str) -> bool:
        """Whether it may join with this id."""
        return self._until.get((group, id), 0.0) > self._clock.monotonic()

    def take(self, group: str, id: str) -> bool:
        """It has joined, or won't; whether it could have."""
        could = self.has(group, id)
        self._until.pop((group, id), None)
        return could
