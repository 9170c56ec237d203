"""The results of kafka-consumer-groups and kafka-groups, each with its forms (see ``forms``).

Source of the text: ConsumerGroupCommand, OffsetsUtils and GroupsCommand of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pykafka_cli.output.forms import tabulated
from pykafka_cli.output.kafka_log import exception_line
from pykafka_store.errors import StoreError
from pykafka_store.model import CommittedOffset, GroupDescription, GroupListing, MemberDescription, TopicPartition

MISSING = "-"

_OFFSET_HEADINGS = (
    "GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST",
    "CLIENT-ID",
)  # fmt: skip
_MEMBER_HEADINGS = (
    "GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "CURRENT-EPOCH",
    "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT",
)  # fmt: skip
_STATE_HEADINGS = (
    "GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS",
)  # fmt: skip
_PLAN_HEADINGS = ("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
_DELETED_HEADINGS = ("TOPIC", "PARTITION", "STATUS")


class ListedGroups(NamedTuple):
    """The groups that kafka-consumer-groups lists, and which of their columns its text shows."""

    groups: tuple[GroupListing, ...]
    show_type: bool = False
    show_state: bool = False

    def text(self) -> Iterator[str]:
        if not self.show_type and not self.show_state:
            yield from (listing.group_id for listing in self.groups)
            return
        rows = [("GROUP", "TYPE", "STATE"), *self.groups]
        width = _width((row[0] for row in rows), 15) + 10
        for group, kind, state in rows:
            line = f"{group:<{width}}"
            line += f" {kind:<20}" if self.show_type else ""
            line += f" {state:<20}" if self.show_state else ""
            yield line

    def table(self) -> Iterator[str]:
        yield tabulated(("GROUP", "TYPE", "STATE"), self.groups)

    def json(self) -> Iterator[dict[str, Any]]:
        for listing in self.groups:
            yield {"group": listing.group_id, "type": listing.type, "state": listing.state}


class ListedGroupProtocols(NamedTuple):
    """The groups that kafka-groups lists, each with the kind of clients it is for (empty where it never had any)."""

    groups: tuple[tuple[GroupListing, str], ...]

    def text(self) -> Iterator[str]:
        rows = [(listing.group_id, listing.type, protocol) for listing, protocol in self.groups]
        width = _width((item for row in rows for item in row), 20)
        yield " ".join(f"{heading:<{width}}" for heading in ("GROUP", "TYPE", "PROTOCOL"))
        for row in rows:
            yield "".join(f"{item:<{width}} " for item in row)

    def table(self) -> Iterator[str]:
        rows = [(listing.group_id, listing.type, protocol, listing.state) for listing, protocol in self.groups]
        yield tabulated(("GROUP", "TYPE", "PROTOCOL", "STATE"), rows)

    def json(self) -> Iterator[dict[str, Any]]:
        for listing, protocol in self.groups:
            yield {"group": listing.group_id, "type": listing.type, "protocol": protocol, "state": listing.state}


class PartitionLag(NamedTuple):
    """A partition as a group sees it. None stands for a value that is not known, or does not exist."""

    partition: TopicPartition
    committed: CommittedOffset | None
    end: int | None
    member: MemberDescription | None

    @property
    def lag(self) -> int | None:
        return None if self.committed is None or self.end is None else self.end - self.committed.offset


class GroupOffsets(NamedTuple):
    """The partitions of a group, with the offsets that it has committed and the records that it has still to read."""

    group: GroupDescription
    partitions: tuple[PartitionLag, ...]
    verbose: bool = False

    @property
    def total_lag(self) -> int:
        """Records left to read, in the partitions that have a commit."""
        return sum(max(0, row.lag or 0) for row in self.partitions)

    def text(self) -> Iterator[str]:
        if not self.partitions:
            return
        rows = [_OFFSET_HEADINGS, *self._rows()]
        group, topic, consumer, host = (_width((row[column] for row in rows), 15) for column in (0, 1, 7, 8))
        yield ""
        for row in rows:
            epoch = f"{row[3]:<15} " if self.verbose else ""
            yield (
                f"{row[0]:<{group}} {row[1]:<{topic}} {row[2]:<10} {epoch}{row[4]:<15} {row[5]:<15} {row[6]:<15} "
                f"{row[7]:<{consumer}} {row[8]:<{host}} {row[9]}"
            )

    def table(self) -> Iterator[str]:
        total = ("TOTAL LAG", *("",) * 5, str(self.total_lag), *("",) * 3)
        yield tabulated(_OFFSET_HEADINGS, [*self._rows(), total])

    def json(self) -> Iterator[dict[str, Any]]:
        yield {
            **_named(self.group),
            "totalLag": self.total_lag,
            "partitions": [_partition_json(row) for row in self.partitions],
        }

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for row in self.partitions:
            committed, member = row.committed, row.member
            yield (
                self.group.group_id,
                row.partition.topic,
                str(row.partition.partition),
                MISSING if committed is None or committed.leader_epoch < 0 else str(committed.leader_epoch),
                MISSING if committed is None else str(committed.offset),
                MISSING if row.end is None else str(row.end),
                MISSING if row.lag is None else str(row.lag),
                *((MISSING,) * 3 if member is None else (member.member_id, member.host, member.client_id)),
            )


class GroupMembers(NamedTuple):
    """The members of a group, with their partitions."""

    group: GroupDescription
    verbose: bool = False

    def text(self) -> Iterator[str]:
        rows = [_MEMBER_HEADINGS, *self._rows()]
        group, consumer, instance, host, client, current, target = (
            _width((row[column] for row in rows), least)
            for column, least in ((0, 15), (1, 15), (2, 17), (3, 15), (4, 15), (7, 20), (9, 20))
        )
        static = any(member.instance_id for member in self.group.members)
        yield ""
        for row in rows:
            line = f"{row[0]:<{group}} {row[1]:<{consumer}} "
            line += f"{row[2]:<{instance}} " if static else ""
            line += f"{row[3]:<{host}} {row[4]:<{client}} {row[5]:<15} "
            line += f"{row[6]:<15} {row[7]:<{current}} {row[8]:<15} {row[9]:<{target}}" if self.verbose else ""
            yield line

    def table(self) -> Iterator[str]:
        yield tabulated(_MEMBER_HEADINGS, list(self._rows()))

    def json(self) -> Iterator[dict[str, Any]]:
        yield {**_named(self.group), "members": [_member_json(member) for member in self.group.members]}

    def _rows(self) -> Iterator[tuple[str, ...]]:
        group = self.group
        for member in group.members:
            assignment = _assignment(member.assignment)
            current_epoch = target_epoch = target = MISSING
            if group.type == "Consumer":
                target_epoch = _epoch(group)
                if group.state == "Stable":  # else how far the member is, and where it is to go, is not known
                    current_epoch, target = target_epoch, assignment
            yield (
                group.group_id,
                member.member_id,
                member.instance_id or "",
                member.host,
                member.client_id,
                str(len(member.assignment)),
                current_epoch,
                assignment,
                target_epoch,
                target,
            )


class GroupState(NamedTuple):
    """The state of a group, and where it is coordinated."""

    group: GroupDescription
    coordinator: str
    """The coordinator's address: ``host:port``, or ``localhost`` for a data directory."""
    verbose: bool = False

    def text(self) -> Iterator[str]:
        rows = [_STATE_HEADINGS, self._row()]
        group, coordinator = _width((row[0] for row in rows), 15), _width((row[1] for row in rows), 25)
        yield ""
        for row in rows:
            epochs = f"{row[4]:<15} {row[5]:<25} " if self.verbose else ""
            yield f"{row[0]:<{group}} {row[1]:<{coordinator}} {row[2]:<20} {row[3]:<20} {epochs}{row[6]}"

    def table(self) -> Iterator[str]:
        yield tabulated(_STATE_HEADINGS, [self._row()])

    def json(self) -> Iterator[dict[str, Any]]:
        group = self.group
        yield {
            **_named(group),
            "coordinator": self.coordinator,
            "coordinatorId": group.coordinator,
            "assignmentStrategy": group.assignor or None,
            "groupEpoch": group.epoch if group.epoch >= 0 else None,
            "memberCount": len(group.members),
        }

    def _row(self) -> tuple[str, ...]:
        group = self.group
        epoch = _epoch(group)
        return (
            group.group_id,
            f"{self.coordinator}  ({group.coordinator})",
            group.assignor or MISSING,
            group.state,
            epoch,
            epoch,
            str(len(group.members)),
        )


class ResetPlan(NamedTuple):
    """The offsets that groups are to get, or were given if ``executed``."""

    groups: Mapping[str, Mapping[TopicPartition, int]]
    executed: bool

    def text(self) -> Iterator[str]:
        rows = self._rows()
        group = _width(self.groups, 15)
        topic = _width((row[1] for row in rows), 15)
        yield ""
        for row in [_PLAN_HEADINGS, *rows] if self.groups else []:
            yield f"{row[0]:<{group}} {row[1]:<{topic}} {row[2]:<10} {row[3]}"

    def table(self) -> Iterator[str]:
        yield tabulated(_PLAN_HEADINGS, self._rows())

    def json(self) -> Iterator[dict[str, Any]]:
        for group, offsets in self.groups.items():
            yield {
                "group": group,
                "executed": self.executed and bool(offsets),
                "partitions": [
                    {"topic": partition.topic, "partition": partition.partition, "newOffset": offset}
                    for partition, offset in offsets.items()
                ],
            }

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (group, partition.topic, str(partition.partition), str(offset))
            for group, offsets in self.groups.items()
            for partition, offset in offsets.items()
        ]


class DeletedOffsets(NamedTuple):
    """The commits that were to be forgotten: None if one is, else the reason why not. Partition -1 is a whole topic."""

    partitions: Mapping[TopicPartition, Exception | None]

    def text(self) -> Iterator[str]:
        rows = [_DELETED_HEADINGS, *self._rows()]
        topic = _width((row[0] for row in rows), 15)
        yield ""
        for row in rows:
            yield f"{row[0]:<{topic}} {row[1]:<10} {row[2]:<15}"

    def table(self) -> Iterator[str]:
        yield tabulated(_DELETED_HEADINGS, self._rows())

    def json(self) -> Iterator[dict[str, Any]]:
        """One object a partition."""
        for partition, error in self.partitions.items():
            yield {
                "topic": partition.topic,
                "partition": None if partition.partition < 0 else partition.partition,
                "error": None if error is None else _error_text(error),
            }

    def _rows(self) -> list[tuple[str, ...]]:
        """Sorted as Kafka's tool sorts them: by the topic's name with the number behind it, as text."""
        return [
            (
                partition.topic,
                MISSING if partition.partition < 0 else str(partition.partition),
                "Successful" if error is None else f"Error: {_error_text(error)}",
            )
            for partition, error in sorted(
                self.partitions.items(), key=lambda item: f"{item[0].topic}{item[0].partition}"
            )
        ]


# ------------------------------------------------------------------------------------------------------------- helpers


def _width(texts: Iterable[str], least: int) -> int:
    """The width of a column: that of its longest value, and at least ``least``."""
    return max([least, *map(len, texts)])


def _epoch(group: GroupDescription) -> str:
    """Only the consumer protocol has one to show, and not every client learns it from a cluster (-1)."""
    return str(group.epoch) if group.type == "Consumer" and group.epoch >= 0 else MISSING


def _assignment(partitions: Sequence[TopicPartition]) -> str:
    """``a:0,1;b:2``."""
    numbers: dict[str, list[str]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(str(number))
    return ";".join(f"{topic}:{','.join(numbers[topic])}" for topic in numbers) or MISSING


def _error_text(error: Exception) -> str:
    return exception_line(error) if isinstance(error, StoreError) else str(error)


def _named(group: GroupDescription) -> dict[str, Any]:
    return {"group": group.group_id, "type": group.type, "state": group.state}


def _partition_json(row: PartitionLag) -> dict[str, Any]:
    committed, member = row.committed, row.member
    return {
        "topic": row.partition.topic,
        "partition": row.partition.partition,
        "currentOffset": None if committed is None else committed.offset,
        "leaderEpoch": None if committed is None or committed.leader_epoch < 0 else committed.leader_epoch,
        "logEndOffset": row.end,
        "lag": row.lag,
        "consumerId": None if member is None else member.member_id,
        "host": None if member is None else member.host,
        "clientId": None if member is None else member.client_id,
    }


def _member_json(member: MemberDescription) -> dict[str, Any]:
    return {
        "consumerId": member.member_id,
        "groupInstanceId": member.instance_id,
        "host": member.host,
        "clientId": member.client_id,
        "assignment": [{"topic": each.topic, "partition": each.partition} for each in sorted(member.assignment)],
    }
