"""groups.db: who belongs to a group, who should own what, who does, and what is committed.

It is a database of its own beside metadata.db, so that commits, which come all the time, do not make every producer
look again at its topics. Each change is one BEGIN IMMEDIATE transaction: whatever a member does is checked against the
tables in the same instant in which it is written, so a member that was expired can change nothing. It is not synced at
each commit: after a power cut the last commits may be missing, and their records are delivered again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pykafka_store.embedded.database import Database
from pykafka_store.embedded.groups.theirs import name_of
from pykafka_store.embedded.layout import GROUPS_FILE
from pykafka_store.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidGroupIdError,
    StoreError,
    UnknownMemberIdError,
)
from pykafka_store.model import CommittedOffset, TopicPartition

_SCHEMA = """
    CREATE TABLE groups (
        id TEXT PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, assignor TEXT NOT NULL DEFAULT '',
        protocol TEXT NOT NULL DEFAULT 'classic', basis TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
    CREATE TABLE members (
        id TEXT PRIMARY KEY, group_id TEXT NOT NULL, lease TEXT NOT NULL, instance_id TEXT, client_id TEXT NOT NULL,
        protocol TEXT NOT NULL, topics TEXT NOT NULL, pattern TEXT, assignors TEXT NOT NULL,
        session_timeout REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX members_of ON members (group_id);
    CREATE TABLE targets (
        group_id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, identity TEXT NOT NULL,
        PRIMARY KEY (group_id, topic, partition)) WITHOUT ROWID;
    CREATE TABLE owners (
        group_id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, member_id TEXT, epoch INTEGER NOT NULL,
        PRIMARY KEY (group_id, topic, partition)) WITHOUT ROWID;
    CREATE TABLE offsets (
        group_id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, topic_id TEXT NOT NULL,
        position INTEGER NOT NULL, leader_epoch INTEGER NOT NULL, metadata TEXT NOT NULL, committed_at INTEGER NOT NULL,
        PRIMARY KEY (group_id, topic, partition)) WITHOUT ROWID;
"""


class MemberRow(NamedTuple):
    id: str
    lease: str
    """The name of its lease file."""
    instance_id: str | None
    client_id: str
    protocol: str
    """``classic`` or ``consumer``."""
    topics: tuple[str, ...]
    """What it wants to read: topics by name, and those that its pattern matched when it last looked."""
    pattern: str | None
    """Its Python regular expression, with flags. Members with the same one share what one of them found by it."""
    assignors: tuple[str, ...]
    session_timeout: float
    """Seconds."""

    @property
    def identity(self) -> str:
        """What targets are kept by: a static member that comes back under a new id finds its own."""
        return self.id if self.instance_id is None else f"instance:{self.instance_id}"


class GroupRow(NamedTuple):
    id: str
    epoch: int
    assignor: str
    protocol: str
    basis: str
    """What the target was computed from, as text: if it is no longer true, neither is the target."""

    @property
    def strategy(self) -> str:
        """The assignor, as members know it."""
        return name_of(self.assignor)


class GroupDatabase(Database):
    """One connection to groups.db. Methods that end in ``_within`` need a transaction around them."""

    MIGRATIONS = (_SCHEMA,)
    SYNCHRONOUS = "NORMAL"
    MAY_BE_MISSING = True  # a directory that never had a group

    def __init__(self, directory: str, *, read_only: bool = False) -> None:
        super().__init__(os.path.join(directory, GROUPS_FILE), "ro" if read_only else "rwc")

    def _not_text(self, error: UnicodeEncodeError) -> StoreError:
        return InvalidGroupIdError(f"The group or member id {error.object!r} is not Unicode text")

    def _rows(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        with self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    # ------------------------------------------------------------------------------------------------------- groups

    def groups(self) -> list[GroupRow]:
        """All of them, sorted."""
        rows = self._rows("SELECT id, epoch, assignor, protocol, basis FROM groups ORDER BY id")
        return [GroupRow(*row) for row in rows]  # type: ignore[arg-type]  # columns as declared

    def group_ids(self) -> list[str]:
        return [str(row[0]) for row in self._rows("SELECT id FROM groups ORDER BY id")]

    def has_groups(self) -> bool:
        return bool(self._rows("SELECT 1 FROM groups LIMIT 1"))

    def group(self, group: str) -> GroupRow | None:
        rows = self._rows("SELECT id, epoch, assignor, protocol, basis FROM groups WHERE id = ?", group)
        return GroupRow(*rows[0]) if rows else None  # type: ignore[arg-type]  # columns as declared

    def epoch(self, group: str) -> int:
        """The group's epoch; -1 if it does not exist."""
        rows = self._rows("SELECT epoch FROM groups WHERE id = ?", group)
        return int(str(rows[0][0])) if rows else -1

    def add_group_within(self, group: str) -> None:
        self._rows("INSERT OR IGNORE INTO groups (id) VALUES (?)", group)

    def remove_group_within(self, group: str) -> None:
        for table, column in (
            ("groups", "id"),
            ("members", "group_id"),
            ("targets", "group_id"),
            ("owners", "group_id"),
            ("offsets", "group_id"),
        ):
            self._rows(f"DELETE FROM {table} WHERE {column} = ?", group)  # noqa: S608 - names from the line above

    # ------------------------------------------------------------------------------------------------------ members

    def members(self, group: str) -> list[MemberRow]:
        rows = self._rows(
            "SELECT id, lease, instance_id, client_id, protocol, topics, pattern, assignors, session_timeout "
            "FROM members WHERE group_id = ? ORDER BY id",
            group,
        )
        return [
            MemberRow(*row[:5], tuple(json.loads(str(row[5]))), row[6], tuple(json.loads(str(row[7]))), row[8])  # type: ignore[arg-type, call-arg]
            for row in rows
        ]

    def groups_with_members(self) -> set[str]:
        return {str(row[0]) for row in self._rows("SELECT DISTINCT group_id FROM members")}

    def group_of_member(self, member_id: str) -> str | None:
        """The group that has a member of this id, dead or alive; None: there is none."""
        rows = self._rows("SELECT group_id FROM members WHERE id = ?", member_id)
        return str(rows[0][0]) if rows else None

    def member_ids(self, group: str) -> set[str]:
        return {str(row[0]) for row in self._rows("SELECT id FROM members WHERE group_id = ?", group)}

    def add_member_within(self, group: str, member: MemberRow) -> None:
        self._rows(
            "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            member.id, group, member.lease, member.instance_id, member.client_id, member.protocol,
            json.dumps(member.topics), member.pattern, json.dumps(member.assignors), member.session_timeout,
        )  # fmt: skip

    def set_topics_within(self, group: str, member: MemberRow, topics: Sequence[str]) -> None:
        """A member's pattern matches other topics by now, as it does for all that had the same ones by it."""
        self._rows(
            "UPDATE members SET topics = ? WHERE group_id = ? AND (id = ? OR (pattern = ? AND topics = ?))",
            json.dumps(topics), group, member.id, member.pattern, json.dumps(member.topics),
        )  # fmt: skip

    def subscribe_member_within(self, member_id: str, topics: Sequence[str], pattern: str | None) -> None:
        """The member subscribes to something else."""
        self._rows("UPDATE members SET topics = ?, pattern = ? WHERE id = ?", json.dumps(topics), pattern, member_id)

    def remove_member_within(self, group: str, member_id: str) -> None:
        """The member is gone, and owns nothing any more."""
        self._rows("UPDATE owners SET member_id = NULL WHERE group_id = ? AND member_id = ?", group, member_id)
        self._rows("DELETE FROM members WHERE id = ?", member_id)

    def replace_member_within(self, group: str, old: str, new: MemberRow) -> None:
        """A static member came back: what the old id owns is the new one's, under raised epochs."""
        self._rows(
            "UPDATE owners SET member_id = ?, epoch = epoch + 1 WHERE group_id = ? AND member_id = ?",
            new.id,
            group,
            old,
        )
        self._rows("DELETE FROM members WHERE id = ?", old)
        self.add_member_within(group, new)

    # ------------------------------------------------------------------------------------------------------ targets

    def targets(self, group: str) -> dict[TopicPartition, str]:
        """Partition -> the identity of the member that should own it."""
        rows = self._rows("SELECT topic, partition, identity FROM targets WHERE group_id = ?", group)
        return {TopicPartition(topic, partition): identity for topic, partition, identity in rows}  # type: ignore[arg-type, misc]

    def set_target_within(self, row: GroupRow, targets: Mapping[str, Iterable[TopicPartition]]) -> None:
        """A new target assignment, with all that belongs to it."""
        self._rows(
            "UPDATE groups SET epoch = ?, assignor = ?, protocol = ?, basis = ? WHERE id = ?",
            row.epoch, row.assignor, row.protocol, row.basis, row.id,
        )  # fmt: skip
        self._rows("DELETE FROM targets WHERE group_id = ?", row.id)
        self._connection.executemany(
            "INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?)",
            ((row.id, *partition, identity) for identity, partitions in targets.items() for partition in partitions),
        )

    # ------------------------------------------------------------------------------------------------------- owners

    def owners(self, group: str) -> dict[TopicPartition, str]:
        """Partition -> the id of the member that owns it; those without an owner are left out."""
        rows = self._rows(
            "SELECT topic, partition, member_id FROM owners WHERE group_id = ? AND member_id IS NOT NULL", group
        )
        return {TopicPartition(topic, partition): member for topic, partition, member in rows}  # type: ignore[arg-type, misc]

    def acquire(self, group: str, member_id: str, wanted: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Take what is free of ``wanted``: partition -> ownership epoch of what this member owns from now on.

        Only a member takes partitions, and only those that are still its target: both are asked in the same
        transaction. Raises UnknownMemberIdError.
        """
        taken: dict[TopicPartition, int] = {}
        with self.transaction():
            rows = self._rows("SELECT instance_id FROM members WHERE id = ? AND group_id = ?", member_id, group)
            if not rows:
                raise _expired(group)
            identity = member_id if rows[0][0] is None else f"instance:{rows[0][0]}"
            targets = self.targets(group)
            for partition in wanted:
                if targets.get(partition) != identity:
                    continue
                owner = self._rows(
                    "SELECT member_id, epoch FROM owners WHERE group_id = ? AND topic = ? AND partition = ?",
                    group,
                    *partition,
                )
                if owner and owner[0][0] not in {None, member_id}:
                    continue
                epoch = int(str(owner[0][1])) + 1 if owner else 1
                self._rows("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?)", group, *partition, member_id, epoch)
                taken[partition] = epoch
        return taken

    def assign(
        self, group: str, assignments: Mapping[str, Sequence[TopicPartition]]
    ) -> dict[str, dict[TopicPartition, int]]:
        """Members have assigned partitions to each other (by member id): that is the target, and they own them from now
        on, and nothing else. Returns the epochs of their owning.
        """
        epochs: dict[str, dict[TopicPartition, int]] = {id: {} for id in assignments}
        with self.transaction():
            row = self.group(group)
            identities = {member.id: member.identity for member in self.members(group)}
            if row is None:
                return epochs
            known = {id: partitions for id, partitions in assignments.items() if id in identities}
            self.set_target_within(row, {identities[id]: dict.fromkeys(partitions) for id, partitions in known.items()})
            self._rows("UPDATE owners SET member_id = NULL, epoch = epoch + 1 WHERE group_id = ?", group)
            for id, partitions in known.items():
                for partition in partitions:
                    self._rows(
                        "INSERT INTO owners VALUES (?, ?, ?, ?, 1) ON CONFLICT (group_id, topic, partition) "
                        "DO UPDATE SET member_id = excluded.member_id",
                        group, *partition, id,
                    )  # fmt: skip
            owners = (
                "SELECT topic, partition, member_id, epoch FROM owners WHERE group_id = ? AND member_id IS NOT NULL"
            )
            for topic, number, owner, epoch in self._rows(owners, group):
                epochs.setdefault(str(owner), {})[TopicPartition(str(topic), int(str(number)))] = int(str(epoch))
        return epochs

    def release(self, group: str, member_id: str, given_up: Sequence[TopicPartition]) -> None:
        """Give partitions up; those that another member has taken meanwhile are left alone."""
        with self.transaction():
            for partition in given_up:
                self._rows(
                    "UPDATE owners SET member_id = NULL "
                    "WHERE group_id = ? AND topic = ? AND partition = ? AND member_id = ?",
                    group, *partition, member_id,
                )  # fmt: skip

    def release_all_but(self, group: str, member_id: str, kept: Collection[TopicPartition]) -> None:
        """Give up all that a member owns by the tables, but for these."""
        self.release(
            group, member_id, [each for each, id in self.owners(group).items() if id == member_id and each not in kept]
        )

    # ------------------------------------------------------------------------------------------------------ offsets

    def offsets(self, group: str, topic_ids: Mapping[str, str]) -> dict[TopicPartition, CommittedOffset]:
        """What is committed, sorted. ``topic_ids``: name -> id of the topics that exist; what was committed for another
        topic of the same name does not count.
        """
        rows = self._rows(
            "SELECT topic, partition, position, leader_epoch, metadata, topic_id FROM offsets WHERE group_id = ? "
            "ORDER BY topic, partition",
            group,
        )
        return {
            TopicPartition(topic, partition): CommittedOffset(position, epoch, metadata)  # type: ignore[arg-type]
            for topic, partition, position, epoch, metadata, topic_id in rows
            if topic_ids.get(topic) == topic_id  # type: ignore[call-overload]
        }

    def commits(self) -> list[tuple[str, str, int, str, int, int, str, int]]:
        """(group, topic, partition, topic id, offset, leader epoch, text, time in ms) of all that is committed, as it
        was, sorted.
        """
        return self._rows(  # type: ignore[return-value]  # columns as declared
            "SELECT group_id, topic, partition, topic_id, position, leader_epoch, metadata, committed_at FROM offsets "
            "ORDER BY group_id, topic, partition"
        )

    def commit(
        self,
        group: str,
        offsets: Mapping[TopicPartition, int],
        topic_ids: Mapping[str, str],
        now_ms: int,
        *,
        member_id: str | None,
        epochs: Mapping[TopicPartition, int],
        leader_epochs: Mapping[TopicPartition, int] | None = None,
        texts: Mapping[TopicPartition, str] | None = None,
        free_too: bool = False,
    ) -> None:
        """Write committed offsets, all or none, with the leader epochs where they are known, and with ``texts`` that
        the one who commits wants to find again.

        With a ``member_id`` each partition must be owned by it under the epoch in ``epochs``, or with ``free_too`` by
        nobody; without one the group must have no members. Raises UnknownMemberIdError or IllegalGenerationError, and
        writes nothing.
        """
        with self.transaction():
            if member_id is None:
                if self._rows("SELECT 1 FROM members WHERE group_id = ? LIMIT 1", group):
                    raise UnknownMemberIdError("The coordinator is not aware of this member.")
                self.add_group_within(group)
            elif not self._rows("SELECT 1 FROM members WHERE id = ?", member_id):
                raise _expired(group)
            for partition, offset in offsets.items():
                if member_id is not None:
                    owner = self._rows(
                        "SELECT member_id, epoch FROM owners WHERE group_id = ? AND topic = ? AND partition = ?",
                        group, *partition,
                    )  # fmt: skip
                    is_free = free_too and partition not in epochs and (not owner or owner[0][0] is None)
                    if not is_free and (not owner or owner[0] != (member_id, epochs.get(partition))):
                        raise IllegalGenerationError(
                            f"Offset commit for {partition} cannot be completed: group '{group}' has "
                            "given it to another member"
                        )
                self._rows(
                    "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    group, *partition, topic_ids.get(partition.topic, ""), offset,
                    (leader_epochs or {}).get(partition, -1), (texts or {}).get(partition, ""), now_ms,
                )  # fmt: skip

    def delete_offset_within(self, group: str, partition: TopicPartition) -> None:
        self._rows("DELETE FROM offsets WHERE group_id = ? AND topic = ? AND partition = ?", group, *partition)


def _expired(group: str) -> UnknownMemberIdError:
    return UnknownMemberIdError(
        f"This consumer is not part of group '{group}' any more: it was expired while it did not "
        "move (session.timeout.ms)"
    )


def fenced(group: str, instance_id: str | None) -> FencedInstanceIdError:
    return FencedInstanceIdError(
        f"Another member joined group '{group}' with group.instance.id {instance_id}: this one stops"
    )
