"""What commands return: frozen values, which render.py turns into Kafka's text, a table or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pykafka_store.model import (
    CommittedOffset,
    GroupDescription,
    GroupListing,
    MemberDescription,
    TopicDescription,
    TopicListing,
    TopicPartition,
)


class CreatedTopic(NamedTuple):
    name: str


class ListedTopics(NamedTuple):
    topics: tuple[TopicListing, ...]


class DescribedTopics(NamedTuple):
    """Descriptions, and which of their lines to show: a report shows only partitions, or only topics."""

    topics: tuple[TopicDescription, ...]
    show_topics: bool = True
    show_partitions: bool = True


class PartitionOffsets(NamedTuple):
    offsets: tuple[tuple[TopicPartition, int], ...]


class ListedGroups(NamedTuple):
    groups: tuple[GroupListing, ...]
    show_type: bool = False
    show_state: bool = False


class ListedGroupProtocols(NamedTuple):
    """What kafka-groups lists: a group, and the kind of clients it is for (empty where it never had any)."""

    groups: tuple[tuple[GroupListing, str], ...]


class PartitionLag(NamedTuple):
    """A partition as a group sees it. None for what is not known, or not there."""

    partition: TopicPartition
    committed: CommittedOffset | None
    end: int | None
    member: MemberDescription | None

    @property
    def lag(self) -> int | None:
        return None if self.committed is None or self.end is None else self.end - self.committed.offset


class GroupOffsets(NamedTuple):
    group: GroupDescription
    partitions: tuple[PartitionLag, ...]
    verbose: bool = False

    @property
    def total_lag(self) -> int:
        """Records left to read, in the partitions that have a commit."""
        return sum(max(0, row.lag or 0) for row in self.partitions)


class GroupMembers(NamedTuple):
    group: GroupDescription
    verbose: bool = False


class GroupState(NamedTuple):
    group: GroupDescription
    coordinator: str
    """Where the group is coordinated: ``host:port``, or ``localhost`` for a data directory."""
    verbose: bool = False


class ResetPlan(NamedTuple):
    """The offsets that groups are to get, or were given if ``executed``."""

    groups: Mapping[str, Mapping[TopicPartition, int]]
    executed: bool


class DeletedOffsets(NamedTuple):
    """What became of each partition's commit: None if it is forgotten, else why not. Partition -1 is a whole topic."""

    partitions: Mapping[TopicPartition, Exception | None]


GroupResult = (
    ListedGroups | ListedGroupProtocols | GroupOffsets | GroupMembers | GroupState | ResetPlan | DeletedOffsets
)
"""What render_groups.py shows."""

Result = CreatedTopic | ListedTopics | DescribedTopics | PartitionOffsets
