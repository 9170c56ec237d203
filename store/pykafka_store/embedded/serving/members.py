"""Members of groups whose consumers are elsewhere: to the engine they are members like any other, held by the server.

Their leases are the server's, so that their being alive is its to judge: it takes out who was silent for too long. If
the server dies, all of them die with it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.assignors import ASSIGNORS, remote_assignors
from pykafka_store.embedded.groups.live_members import live_members
from pykafka_store.embedded.groups.membership import LOOK_INTERVAL, Change, Member, MemberSettings, Subscribed
from pykafka_store.embedded.groups.sessions import check_session
from pykafka_store.embedded.groups.targets import retarget_within, set_target
from pykafka_store.embedded.groups.theirs import theirs
from pykafka_store.embedded.patterns import LIMIT_OF_A_SERVER
from pykafka_store.errors import InvalidRegularExpressionError
from pykafka_store.model import TopicPartition

__all__ = [
    "ASSIGNORS",
    "LOOK_INTERVAL",
    "Change",
    "Member",
    "TopicPartition",
    "assign_partitions",
    "begin_epoch",
    "check_session",
    "free_id",
    "has_members",
    "new_member",
    "propose_target",
    "remote_assignors",
    "stored_assignor",
    "subscribed_to",
    "theirs",
]


def new_member(
    engine: Engine,
    group: str,
    client_id: str,
    *,
    member_id: str | None,
    instance_id: str | None,
    protocol: str,
    assignors: tuple[str, ...],
    session_timeout: float,
) -> Member:
    """A member that has not joined yet. ``session_timeout`` in seconds. Raises InvalidGroupIdError."""
    settings = MemberSettings(
        group=group,
        client_id=client_id,
        instance_id=instance_id,
        protocol=protocol,
        assignors=assignors,
        session_timeout=session_timeout,
        heartbeat_interval=max(0.01, min(3.0, session_timeout / 3)),
        max_poll_interval=float("inf"),  # the server takes out who is silent
        member_id=member_id,
        pattern_limit=LIMIT_OF_A_SERVER,
    )
    return Member(engine, settings)


def subscribed_to(topics: tuple[str, ...], pattern: str | None) -> Subscribed:
    """Topics by name, and by a pattern of whole names. Raises InvalidRegularExpressionError."""
    if not pattern:
        return Subscribed(topics, None)
    try:
        return Subscribed(topics, re.compile(pattern))
    except re.error as error:
        raise InvalidRegularExpressionError(f"The regular expression {pattern} is not valid: {error}") from None


def free_id(engine: Engine, group: str, id: str, instance_id: str | None) -> str:
    """The id that the engine is to know a member by that made up its own: the same, or one like it where another member
    has that, of this group or of another; one with the same ``instance_id`` gives its place away.
    """
    holder = engine.groups.group_of_member(id)
    if holder == group:
        others = (
            each for each in live_members(engine, group) if instance_id is None or each.instance_id != instance_id
        )
        holder = group if any(each.id == id for each in others) else None
    return id if holder is None else f"{id}-{uuid.uuid4()}"


def has_members(engine: Engine, group: str) -> bool:
    """Whether somebody is in the group whose process lives."""
    return bool(live_members(engine, group))


def stored_assignor(engine: Engine, group: str) -> str:
    """The assignor by which the group's target was computed."""
    row = engine.groups.group(group)
    return row.assignor if row is not None else ""


def assign_partitions(
    engine: Engine, group: str, shares: Mapping[str, Sequence[TopicPartition]]
) -> dict[str, dict[TopicPartition, int]]:
    """Note what members have assigned to each other, by member id; the epochs of their owning."""
    return engine.groups.assign(group, shares)


def begin_epoch(engine: Engine, group: str, after: int) -> None:
    """Have the group's members be assigned to anew, in the epoch after this one, if it is in this one."""
    with engine.groups.transaction():
        if engine.groups.epoch(group) == after:
            retarget_within(engine.groups, group, engine.catalog.partition_counts(), anew=True)


def propose_target(
    engine: Engine, group: str, epoch: int, assignor: str, shares: Mapping[str, Sequence[TopicPartition]]
) -> bool:
    """What a group's leader gave to all members, by member id: that is the target, and they take it as they take every
    target. False where the group has moved on.
    """
    return set_target(engine.groups, group, epoch, assignor if assignor in ASSIGNORS else theirs(assignor), shares)
