"""A group's target assignment: who should own what, and what that was computed from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pykafka_store.embedded.groups.assignors import ASSIGNORS, Subscriber, choose_assignor
from pykafka_store.embedded.groups.database import GroupDatabase, MemberRow
from pykafka_store.model import TopicPartition


def retarget_within(database: GroupDatabase, group: str, counts: Mapping[str, int], *, anew: bool = False) -> None:
    """Bring a group's target in line with its members, their subscriptions and the topics, if it is not; ``anew``:
    whether it is or not, under a raised epoch.
    """
    row = database.group(group)
    members = database.members(group)
    basis = basis_of(members, counts)
    if row is None:
        return
    protocol = protocol_of(members) or row.protocol
    if (row.basis, row.protocol) == (basis, protocol) and not anew:
        return
    if not members:
        database.set_target_within(row._replace(epoch=row.epoch + 1, basis=basis, assignor=""), {})
        return
    owned: dict[str, list[TopicPartition]] = {}
    for partition, owner in database.owners(group).items():
        owned.setdefault(owner, []).append(partition)
    subscribers = [
        Subscriber(
            member.identity,
            member.instance_id is not None,
            frozenset(member.topics) & counts.keys(),
            tuple(owned.get(member.id, ())),
        )
        for member in members
    ]
    assignor = choose_assignor([member.assignors for member in members])
    database.set_target_within(
        row._replace(epoch=row.epoch + 1, basis=basis, assignor=assignor, protocol=protocol),
        ASSIGNORS[assignor](subscribers, counts) if assignor in ASSIGNORS else {},  # else its members assign themselves
    )


def set_target(
    database: GroupDatabase, group: str, epoch: int, assignor: str, shares: Mapping[str, Sequence[TopicPartition]]
) -> bool:
    """Have what one of a group's members assigned to all of them (by member id) be the target, in the epoch in which it
    was asked to. False, and nothing is changed, where the group is in another epoch or has other members by now.
    """
    with database.transaction():
        row = database.group(group)
        identities = {member.id: member.identity for member in database.members(group)}
        if row is None or row.epoch != epoch or identities.keys() != shares.keys():
            return False
        target = {partition: identities[id] for id, partitions in shares.items() for partition in partitions}
        if (assignor, target) != (row.assignor, database.targets(group)):
            given = {identities[id]: partitions for id, partitions in shares.items()}  # of two, the last one has it
            database.set_target_within(row._replace(assignor=assignor), given)
    return True


def protocol_of(members: Sequence[MemberRow]) -> str | None:
    """What a group of these members is: of the consumer protocol as soon as one of them speaks it, and as long. None
    without members: it stays what it was. Source: GroupMetadataManager's conversions of groups (KIP-848).
    """
    if not members:
        return None
    return "consumer" if any(each.protocol == "consumer" for each in members) else "classic"


def basis_of(members: Sequence[MemberRow], counts: Mapping[str, int]) -> str:
    """All that a target depends on but for who owns what, as text."""
    facts = [[member.identity, member.assignors, sorted({*member.topics} & counts.keys())] for member in members]
    named = {topic: counts[topic] for _, _, topics in facts for topic in topics}
    return json.dumps([sorted(facts, key=str), named], sort_keys=True)
