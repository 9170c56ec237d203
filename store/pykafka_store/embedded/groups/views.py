"""What the tables say of a group, and which of its leases are held: found out once for all members of a process.

A server holds a hundred members of a group, and each of them looks at the same tables after each change. A view is of
one version of the groups' database and of the catalogue, and what is asked of it is read when it is first asked for. It
may then be newer than that version, never older: whoever asks after a change gets another view.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.database import GroupDatabase, GroupRow, MemberRow
from pykafka_store.embedded.groups.leases import Watch
from pykafka_store.embedded.groups.targets import basis_of
from pykafka_store.model import TopicPartition

_Found = TypeVar("_Found")


class GroupView:
    """A group. Not for use within a transaction, whose own changes it may not have.

    Not by functools.cached_property: until Python 3.12 that has one lock for all objects, which a thread would hold
    while it waits for the database.
    """

    def __init__(self, database: GroupDatabase, catalog: Catalog, group: str) -> None:
        self._database = database
        self._catalog = catalog
        self._group = group
        self._found: dict[str, Any] = {}

    def _once(self, what: str, read: Callable[[], _Found]) -> _Found:
        if what not in self._found:
            self._found[what] = read()
        return self._found[what]  # type: ignore[no-any-return]  # of that, only its ``read`` is kept

    @property
    def row(self) -> GroupRow | None:
        return self._once("row", lambda: self._database.group(self._group))

    @property
    def epoch(self) -> int:
        """-1 where there is no such group."""
        return -1 if self.row is None else self.row.epoch

    @property
    def members(self) -> tuple[MemberRow, ...]:
        return self._once("members", lambda: tuple(self._database.members(self._group)))

    @property
    def member_ids(self) -> frozenset[str]:
        return self._once("member_ids", lambda: frozenset(self._database.member_ids(self._group)))

    @property
    def shares(self) -> Mapping[str, frozenset[TopicPartition]]:
        """Identity of a member -> the partitions that it should own."""
        return self._once("shares", self._read_shares)

    def _read_shares(self) -> dict[str, frozenset[TopicPartition]]:
        shares: dict[str, set[TopicPartition]] = {}
        for partition, identity in self._database.targets(self._group).items():
            shares.setdefault(identity, set()).add(partition)
        return {identity: frozenset(share) for identity, share in shares.items()}

    @property
    def owners(self) -> Mapping[TopicPartition, str]:
        return self._once("owners", lambda: self._database.owners(self._group))

    @property
    def basis(self) -> str:
        """What a target would be computed from now."""
        return self._once("basis", lambda: basis_of(self.members, self._catalog.partition_counts()))


class GroupViews:
    """Views of groups, and the watch over each group's leases."""

    def __init__(self, database: GroupDatabase, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._kept: tuple[object, dict[str, GroupView]] = None, {}
        self._watches: weakref.WeakValueDictionary[str, Watch] = weakref.WeakValueDictionary()

    def of(self, group: str) -> GroupView:
        """The group, as of now."""
        version = self._database.version(), self._catalog.version()
        kept = self._kept
        if kept[0] != version:
            kept = self._kept = version, {}
        return kept[1].setdefault(group, GroupView(self._database, self._catalog, group))

    def watch(self, disk: Disk, directory: str, clock: Clock) -> Watch:
        """The watch over the leases in a group's directory: one for all members that hold on to it."""
        return self._watches.setdefault(directory, Watch(disk, directory, clock))
