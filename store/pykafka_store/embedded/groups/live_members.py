"""Who of a group is alive, as somebody sees it who is no member: by the leases, without waiting for any of them."""

from __future__ import annotations

import os

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.database import MemberRow
from pykafka_store.embedded.groups.leases import group_directory, is_locked, is_overdue, list_leases, remove_strays
from pykafka_store.embedded.groups.targets import retarget_within
from pykafka_store.embedded.layout import GROUPS


def live_members(engine: Engine, group: str) -> list[MemberRow]:
    """Members whose process lives, and static ones that may come back. The others are taken out of the group, together
    with the leases that they left behind; where the directory may only be read, they are only not counted.
    """
    directory = os.path.join(engine.directory, GROUPS, group_directory(group))
    names = list_leases(engine.disk, directory)
    members = engine.groups.members(group)
    dead = [member for member in members if _is_dead(engine.disk, member, os.path.join(directory, member.lease))]
    if engine.read_only:
        return [member for member in members if member not in dead]
    remove_strays(engine.disk, directory, {*names} - {member.lease for member in members})
    if not dead or not engine.disk.exists(engine.directory):  # what is away with it is not gone
        return members
    leases = {member.lease for member in dead}  # whoever has come back under its id since has another
    with engine.groups.transaction():
        for member in engine.groups.members(group):
            # Looked at again: the leases may have been away with their disk, and be back.
            if member.lease in leases and _is_dead(engine.disk, member, os.path.join(directory, member.lease)):
                engine.groups.remove_member_within(group, member.id)
                engine.disk.remove(os.path.join(directory, member.lease))
        retarget_within(engine.groups, group, engine.catalog.partition_counts())
    return engine.groups.members(group)


def _is_dead(disk: Disk, member: MemberRow, lease: str) -> bool:
    return not is_locked(disk, lease) and (
        member.instance_id is None or is_overdue(disk, lease, member.session_timeout)
    )
