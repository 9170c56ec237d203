"""The results of kafka-consumer-groups and kafka-groups -> Kafka's text, a table, or JSON lines.

The text is what Kafka 4.3's tools print, to the byte: ConsumerGroupCommand, OffsetsUtils and GroupsCommand. For tables
and JSON see render.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

from pykafka_cli.env import Env
from pykafka_cli.kafka_log import exception_line
from pykafka_cli.render import json_line, table
from pykafka_cli.results import (
    DeletedOffsets,
    GroupMembers,
    GroupOffsets,
    GroupResult,
    GroupState,
    ListedGroupProtocols,
    ListedGroups,
    PartitionLag,
    ResetPlan,
)
from pykafka_store.errors import StoreError
from pykafka_store.model import GroupDescription, MemberDescription, TopicPartition

MISSING = "-"


def show(env: Env, result: GroupResult, form: str = "text") -> None:
    """Print a result on stdout in one of ``render.FORMS``."""
    match form:
        case "text":
            lines = _text(result)
        case "table":
            lines = iter([_table(result)])
        case _:
            lines = map(json_line, _json(result))
    for line in lines:
        env.out(line)


# --------------------------------------------------------------------------------------------------------------- text


def _text(result: GroupResult) -> Iterator[str]:
    match result:
        case ListedGroups():
            return _listed_text(result)
        case ListedGroupProtocols():
            return _protocols_text(result)
        case GroupOffsets():
            return _offsets_text(result)
        case GroupMembers():
            return _members_text(result)
        case GroupState():
            return _state_text(result)
        case ResetPlan():
            return _plan_text(result)
        case DeletedOffsets():
            return _deleted_text(result)
        case _:
            assert_never(result)


def _listed_text(result: ListedGroups) -> Iterator[str]:
    if not result.show_type and not result.show_state:
        yield from (listing.group_id for listing in result.groups)
        return
    rows = [("GROUP", "TYPE", "STATE"), *result.groups]
    width = _width((row[0] for row in rows), 15) + 10
    for group, kind, state in rows:
        line = f"{group:<{width}}"
        line += f" {kind:<20}" if result.show_type else ""
        line += f" {state:<20}" if result.show_state else ""
        yield line


def _protocols_text(result: ListedGroupProtocols) -> Iterator[str]:
    rows = [(listing.group_id, listing.type, protocol) for listing, protocol in result.groups]
    width = _width((item for row in rows for item in row), 20)
    yield " ".join(f"{heading:<{width}}" for heading in ("GROUP", "TYPE", "PROTOCOL"))
    for row in rows:
        yield "".join(f"{item:<{width}} " for item in row)


def _offsets_text(result: GroupOffsets) -> Iterator[str]:
    if not result.partitions:
        return
    rows = [_OFFSET_HEADINGS, *(_offset_row(result.group, row) for row in result.partitions)]
    group, topic, consumer, host = (_width((row[column] for row in rows), 15) for column in (0, 1, 7, 8))
    yield ""
    for row in rows:
        epoch = f"{row[3]:<15} " if result.verbose else ""
        yield (
            f"{row[0]:<{group}} {row[1]:<{topic}} {row[2]:<10} {epoch}{row[4]:<15} {row[5]:<15} {row[6]:<15} "
            f"{row[7]:<{consumer}} {row[8]:<{host}} {row[9]}"
        )


def _members_text(result: GroupMembers) -> Iterator[str]:
    rows = [_MEMBER_HEADINGS, *(_member_row(result.group, member) for member in result.group.members)]
    group, consumer, instance, host, client, current, target = (
        _width((row[column] for row in rows), least)
        for column, least in ((0, 15), (1, 15), (2, 17), (3, 15), (4, 15), (7, 20), (9, 20))
    )
    static = any(member.instance_id for member in result.group.members)
    yield ""
    for row in rows:
        line = f"{row[0]:<{group}} {row[1]:<{consumer}} "
        line += f"{row[2]:<{instance}} " if static else ""
        line += f"{row[3]:<{host}} {row[4]:<{client}} {row[5]:<15} "
        line += f"{row[6]:<15} {row[7]:<{current}} {row[8]:<15} {row[9]:<{target}}" if result.verbose else ""
        yield line


def _state_text(result: GroupState) -> Iterator[str]:
    rows = [_STATE_HEADINGS, _state_row(result)]
    group, coordinator = _width((row[0] for row in rows), 15), _width((row[1] for row in rows), 25)
    yield ""
    for row in rows:
        epochs = f"{row[4]:<15} {row[5]:<25} " if result.verbose else ""
        yield f"{row[0]:<{group}} {row[1]:<{coordinator}} {row[2]:<20} {row[3]:<20} {epochs}{row[6]}"


def _plan_text(result: ResetPlan) -> Iterator[str]:
    rows = _plan_rows(result)
    group = _width(result.groups, 15)
    topic = _width((row[1] for row in rows), 15)
    yield ""
    for row in [_PLAN_HEADINGS, *rows] if result.groups else []:
        yield f"{row[0]:<{group}} {row[1]:<{topic}} {row[2]:<10} {row[3]}"


def _deleted_text(result: DeletedOffsets) -> Iterator[str]:
    rows = [_DELETED_HEADINGS, *_deleted_rows(result)]
    topic = _width((row[0] for row in rows), 15)
    yield ""
    for row in rows:
        yield f"{row[0]:<{topic}} {row[1]:<10} {row[2]:<15}"


def _width(texts: Iterable[str], least: int) -> int:
    """The width of a column: that of its longest value, but not less than so many."""
    return max([least, *map(len, texts)])


# -------------------------------------------------------------------------------------- rows, for the text and tables

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


def _offset_row(group: GroupDescription, row: PartitionLag) -> tuple[str, ...]:
    committed, member = row.committed, row.member
    return (
        group.group_id,
        row.partition.topic,
        str(row.partition.partition),
        MISSING if committed is None or committed.leader_epoch < 0 else str(committed.leader_epoch),
        MISSING if committed is None else str(committed.offset),
        MISSING if row.end is None else str(row.end),
        MISSING if row.lag is None else str(row.lag),
        *((MISSING,) * 3 if member is None else (member.member_id, member.host, member.client_id)),
    )


def _member_row(group: GroupDescription, member: MemberDescription) -> tuple[str, ...]:
    assignment = _assignment(member.assignment)
    current_epoch = target_epoch = target = MISSING
    if group.type == "Consumer":
        target_epoch = _epoch(group)
        if group.state == "Stable":  # else how far the member is, and where it is to go, is not known
            current_epoch, target = target_epoch, assignment
    return (
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


def _epoch(group: GroupDescription) -> str:
    """Only the consumer protocol has one to show, and not every client learns it from a cluster (-1)."""
    return str(group.epoch) if group.type == "Consumer" and group.epoch >= 0 else MISSING


def _assignment(partitions: Sequence[TopicPartition]) -> str:
    """``a:0,1;b:2``."""
    numbers: dict[str, list[str]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(str(number))
    return ";".join(f"{topic}:{','.join(numbers[topic])}" for topic in numbers) or MISSING


def _state_row(result: GroupState) -> tuple[str, ...]:
    group = result.group
    epoch = _epoch(group)
    return (
        group.group_id,
        f"{result.coordinator}  ({group.coordinator})",
        group.assignor or MISSING,
        group.state,
        epoch,
        epoch,
        str(len(group.members)),
    )


def _plan_rows(result: ResetPlan) -> list[tuple[str, ...]]:
    return [
        (group, partition.topic, str(partition.partition), str(offset))
        for group, offsets in result.groups.items()
        for partition, offset in offsets.items()
    ]


def _deleted_rows(result: DeletedOffsets) -> list[tuple[str, ...]]:
    """Sorted as Kafka's tool sorts them: by the topic's name with the number behind it, as text."""
    return [
        (
            partition.topic,
            MISSING if partition.partition < 0 else str(partition.partition),
            "Successful" if error is None else f"Error: {_error_text(error)}",
        )
        for partition, error in sorted(
            result.partitions.items(), key=lambda item: f"{item[0].topic}{item[0].partition}"
        )
    ]


def _error_text(error: Exception) -> str:
    return exception_line(error) if isinstance(error, StoreError) else str(error)


# ----------------------------------------------------------------------------------------------------- tables and JSON


def _table(result: GroupResult) -> str:
    match result:
        case ListedGroups(groups):
            return table(("GROUP", "TYPE", "STATE"), groups)
        case ListedGroupProtocols(groups):
            rows = [(listing.group_id, listing.type, protocol, listing.state) for listing, protocol in groups]
            return table(("GROUP", "TYPE", "PROTOCOL", "STATE"), rows)
        case GroupOffsets(group, partitions):
            offset_rows = [_offset_row(group, row) for row in partitions]
            total = ("TOTAL LAG", *("",) * 5, str(result.total_lag), *("",) * 3)
            return table(_OFFSET_HEADINGS, [*offset_rows, total])
        case GroupMembers(group):
            return table(_MEMBER_HEADINGS, [_member_row(group, member) for member in group.members])
        case GroupState():
            return table(_STATE_HEADINGS, [_state_row(result)])
        case ResetPlan():
            return table(_PLAN_HEADINGS, _plan_rows(result))
        case DeletedOffsets():
            return table(_DELETED_HEADINGS, _deleted_rows(result))
        case _:
            assert_never(result)


def _json(result: GroupResult) -> Iterator[dict[str, Any]]:
    """One object a group, or, of deleted offsets, a partition."""
    match result:
        case ListedGroups(groups):
            for listing in groups:
                yield {"group": listing.group_id, "type": listing.type, "state": listing.state}
        case ListedGroupProtocols(protocols):
            for listing, protocol in protocols:
                yield {
                    "group": listing.group_id,
                    "type": listing.type,
                    "protocol": protocol,
                    "state": listing.state,
                }
        case GroupOffsets(group, partitions):
            yield {
                **_named(group),
                "totalLag": result.total_lag,
                "partitions": [_partition_json(row) for row in partitions],
            }
        case GroupMembers(group):
            yield {**_named(group), "members": [_member_json(member) for member in group.members]}
        case GroupState(group, coordinator):
            yield {
                **_named(group),
                "coordinator": coordinator,
                "coordinatorId": group.coordinator,
                "assignmentStrategy": group.assignor or None,
                "groupEpoch": group.epoch if group.epoch >= 0 else None,
                "memberCount": len(group.members),
            }
        case ResetPlan(plans, executed):
            for group_id, offsets in plans.items():
                yield {
                    "group": group_id,
                    "executed": executed and bool(offsets),
                    "partitions": [
                        {"topic": partition.topic, "partition": partition.partition, "newOffset": offset}
                        for partition, offset in offsets.items()
                    ],
                }
        case DeletedOffsets(answers):
            for partition, error in answers.items():
                yield {
                    "topic": partition.topic,
                    "partition": None if partition.partition < 0 else partition.partition,
                    "error": None if error is None else _error_text(error),
                }
        case _:
            assert_never(result)


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
