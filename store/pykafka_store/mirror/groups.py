"""What groups have committed at the source, committed at the target as the offsets are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pykafka_store.api import Admin
from pykafka_store.errors import UnknownMemberIdError
from pykafka_store.mirror.copying import Copy
from pykafka_store.mirror.telling import Once
from pykafka_store.model import TopicPartition


class GroupReport(NamedTuple):
    group: str
    partitions: int
    """How many have another offset than before."""


class MirroredGroups:
    """As Kafka's MirrorMaker 2 does it: never for a group that has members at the target, and never backwards."""

    def __init__(
        self,
        source: Admin,
        target: Admin,
        groups: Sequence[str],
        pattern: re.Pattern[str] | None,
        on_error: Callable[[str], None],
    ) -> None:
        """These groups, and those whose whole id matches."""
        self._source = source
        self._target = target
        self._groups = groups
        self._pattern = pattern
        self._fail_once = Once(on_error)
        self._set: dict[str, set[TopicPartition]] = {}
        """The partitions whose offsets were set, by group."""

    def sync(self, copies: Mapping[TopicPartition, Copy]) -> None:
        """Commit what is new for the partitions that are copied, by source."""
        if not self._groups and self._pattern is None:
            return
        there = [each.group_id for each in self._source.list_groups()]
        groups = list(self._groups)
        if self._pattern is not None:
            groups += [each for each in there if each not in groups and self._pattern.fullmatch(each)]
        for group in groups:
            if group not in there:
                self._fail_once(f"group {group} does not exist at the source")
                continue
            offsets = {
                copies[partition].target: copies[partition].translated(committed.offset)
                for partition, committed in self._source.group_offsets(group).items()
                if partition in copies
            }
            self._commit(group, offsets)

    def _commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        before = self._target.group_offsets(group)
        new = {
            partition: offset
            for partition, offset in offsets.items()
            if partition not in before or before[partition].offset < offset
        }
        self._set.setdefault(group, set())
        if not new:
            return
        try:
            self._target.alter_group_offsets(group, new)
        except UnknownMemberIdError:
            self._fail_once(f"group {group} has members at the target: its offsets there are left as they are")
            return
        self._set[group] |= new.keys()

    def reports(self) -> list[GroupReport]:
        return [GroupReport(group, len(partitions)) for group, partitions in self._set.items()]
