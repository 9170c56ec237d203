"""What ``kafka-consumer-groups`` does.

Source: org.apache.kafka.tools.consumer.group.ConsumerGroupCommand of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pykafka_cli.commands.consumer_groups.offset_reset import (
    GroupFailure,
    OffsetReset,
    Offsets,
    all_partitions,
    describe_topic,
    parse_partitions,
    plan_lines,
)
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, RepeatedOption, UsageProblem
from pykafka_cli.java.text import split
from pykafka_cli.output.forms import Result, show
from pykafka_cli.output.group_results import (
    DeletedOffsets,
    GroupMembers,
    GroupOffsets,
    GroupState,
    ListedGroups,
    PartitionLag,
    ResetPlan,
)
from pykafka_cli.output.hints import suggest_group
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.options import Options
from pykafka_store.errors import (
    GroupIdNotFoundError,
    GroupSubscribedToTopicError,
    InvalidGroupIdError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import GroupDescription, MemberDescription, OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin

STATES = ("PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling")
TYPES = ("Consumer", "Classic")
INACTIVE = ("Empty", "Dead")


class Messages:
    """Where results and messages go: Kafka's text has messages on stdout, while tables and JSON are spared of them."""

    def __init__(self, env: Env, options: Options) -> None:
        self._env = env
        self._form = options.text("output")

    @property
    def in_text(self) -> bool:
        return self._form == "text"

    def show(self, result: Result) -> None:
        show(self._env, result, self._form)

    def say(self, text: str) -> None:
        """Print a message, on stdout after an empty line."""
        if self.in_text:
            self._env.out(f"\n{text}")
        else:
            self._env.err(text)

    def error(self, text: str) -> None:
        """Print an error that the command goes on after. Source: ConsumerGroupCommand#printError."""
        self._env.error_reported = True
        self.say(f"Error: {text}")


def run(env: Env, options: Options, admin: Admin, reset: OffsetReset, messages: Messages) -> None:
    """Do the one action that the options name."""
    if options.has("list"):
        messages.show(_list(options, admin))
    elif options.has("describe"):
        _describe(env, options, admin, messages)
    elif options.has("delete"):
        _delete(env, options, admin, messages)
    elif options.has("reset-offsets"):
        plan = _reset(options, admin, reset, messages)
        if options.has("export"):
            for line in plan_lines(plan.groups, with_group=len(options.texts("group")) != 1):
                env.out(line)
            env.out("")
        else:
            messages.show(plan)
    else:
        messages.show(_delete_offsets(env, options, admin, messages))


# ----------------------------------------------------------------------------------------------- list and describe


def _list(options: Options, admin: Admin) -> ListedGroups:
    types = _names(options.maybe_text("type"), TYPES, "types")
    states = _names(options.maybe_text("state"), STATES, "state")
    return ListedGroups(
        tuple(
            listing
            for listing in admin.list_groups()
            if (not types or listing.type in types) and (not states or listing.state in states)
        ),
        show_type=options.has("type"),
        show_state=options.has("state"),
    )


def _names(text: str | None, valid: Sequence[str], what: str) -> set[str]:
    """The names in a list, in whatever case they were written."""
    by_lower_case = {name.lower(): name for name in valid}
    given = [by_lower_case.get(part.strip().lower()) for part in split(text, ",")] if text else []
    if None in given:
        plural = {"state": "states"}.get(what, what)
        raise UsageProblem(f"Invalid {what} list '{text}'. Valid {plural} are: {', '.join(valid)}")
    return {name for name in given if name is not None}


def _group_ids(options: Options, admin: Admin) -> list[str]:
    """The groups to act on, sorted, each once."""
    if options.has("all-groups"):
        return [listing.group_id for listing in admin.list_groups()]
    return sorted(set(options.texts("group")))


def _described(admin: Admin, group: str) -> GroupDescription:
    """A group as it is, which may be Dead; members sorted by their ids."""
    if not group:
        raise InvalidGroupIdError("The group id is invalid.")
    description = admin.describe_group(group)
    return description._replace(members=tuple(sorted(description.members, key=lambda member: member.member_id)))


def _describe(env: Env, options: Options, admin: Admin, messages: Messages) -> None:
    groups = [_described(admin, group) for group in _group_ids(options, admin)]
    for group in groups:
        # One that vanished since it was listed is no error.
        if group.state == "Dead" and not options.has("all-groups"):
            suggest_group(env, admin, group.group_id)
            raise GroupIdNotFoundError(f"Group {group.group_id} not found.")
    groups = [group for group in groups if group.state != "Dead"]
    verbose = options.has("verbose")
    results: list[GroupOffsets | GroupMembers | GroupState]
    if options.has("members"):
        results = [GroupMembers(group, verbose) for group in groups]
    elif options.has("state"):
        results = [GroupState(group, _coordinator(options), verbose) for group in groups]
    else:
        results = [lags._replace(verbose=verbose) for lags in _lags(env, admin, groups)]
    for result in results:
        if result.group.state == "Empty":
            env.err(f"\nConsumer group '{result.group.group_id}' has no active members.")
        elif result.group.state != "Stable":
            env.err(f"\nWarning: Consumer group '{result.group.group_id}' is rebalancing.")
        messages.show(result)

    total = sum(result.total_lag for result in results if isinstance(result, GroupOffsets))
    allowed = options.maybe_integer("fail-if-lag")
    if allowed is not None and total > allowed:
        raise CommandFailure(f"The total lag is {total}, and --fail-if-lag allows {allowed}")


def _coordinator(options: Options) -> str:
    """Where the group is coordinated, as the user calls it: members of a directory's groups are on this host."""
    address = options.maybe_text("bootstrap-server")
    if address is None or address.startswith("file:"):
        return "localhost"
    return address.split(",")[0].strip().rpartition("://")[2]


def _lags(env: Env, admin: Admin, groups: Sequence[GroupDescription]) -> list[GroupOffsets]:
    """Each group's partitions: those of its members, of the member with the most first, then those without an owner."""
    committed = {group.group_id: admin.group_offsets(group.group_id) for group in groups}
    partitions = {partition for offsets in committed.values() for partition in offsets}
    partitions |= {partition for group in groups for member in group.members for partition in member.assignment}
    ends: dict[TopicPartition, int | None] = {}
    for partition, end in admin.list_offsets(dict.fromkeys(sorted(partitions), OffsetAt.LATEST)).items():
        ends[partition] = end if isinstance(end, int) else None
        # A topic deleted in this instant is no error: its commits go with it.
        if isinstance(end, Exception) and not isinstance(end, UnknownTopicOrPartitionError):
            env.report_error(f"The end of {partition} is unknown: {end}")
    results = []
    for group in groups:
        commits = committed[group.group_id]
        owners: dict[TopicPartition, MemberDescription | None] = {
            partition: member
            for member in sorted(group.members, key=lambda member: (-len(member.assignment), member.assignment))
            for partition in sorted(member.assignment)
        }
        owners |= dict.fromkeys(sorted(commits.keys() - owners.keys()))
        rows = (PartitionLag(each, commits.get(each), ends.get(each), owner) for each, owner in owners.items())
        results.append(GroupOffsets(group, tuple(rows)))
    return results


# -------------------------------------------------------------------------------------------- delete, delete-offsets


def _delete(env: Env, options: Options, admin: Admin, messages: Messages) -> None:
    deleted, failed = [], {}
    for group in _group_ids(options, admin):
        try:
            admin.delete_group(group)
            deleted.append(f"'{group}'")
        except StoreError as error:
            failed[group] = error
            if isinstance(error, GroupIdNotFoundError):
                suggest_group(env, admin, group)
    if not failed:
        env.out(f"Deletion of requested consumer groups ({', '.join(deleted)}) was successful.")
        return
    messages.error("Deletion of some consumer groups failed:")
    for group, reason in failed.items():
        env.out(f"* Group '{group}' could not be deleted due to: {exception_line(reason)}")
    if deleted:
        env.out(f"\nThese consumer groups were deleted successfully: {', '.join(deleted)}")


def _delete_offsets(env: Env, options: Options, admin: Admin, messages: Messages) -> DeletedOffsets:
    groups, topics = options.texts("group"), options.texts("topic")
    if len(groups) > 1:
        raise RepeatedOption("group")
    group = groups[0]
    partitions = {partition: None for topic in topics if ":" in topic for partition in parse_partitions(topic)}
    answers: dict[TopicPartition, Exception | None] = {}
    for topic in topics:
        if ":" not in topic:
            try:
                partitions |= dict.fromkeys(all_partitions(describe_topic(admin, topic)))
            except StoreError as error:
                answers[TopicPartition(topic, -1)] = error
    deleted: Mapping[TopicPartition, Exception | None]
    try:
        if not group:
            raise InvalidGroupIdError("The group id is invalid.")
        deleted = admin.delete_group_offsets(group, list(partitions))
    except (GroupIdNotFoundError, InvalidGroupIdError) as error:
        deleted = dict.fromkeys(partitions, error)
        suggest_group(env, admin, group)
        messages.error(str(error))
    else:
        match next(filter(None, deleted.values()), None):
            case None:
                if messages.in_text:
                    env.out(f"Request succeeded for deleting offsets from group {group}.")
            case UnknownTopicOrPartitionError() | GroupSubscribedToTopicError():
                messages.error("Encountered some partition-level error, see the follow-up details.")
            case other:
                messages.error(f"Encountered some unknown error: {other}")
    if answers:
        env.error_reported = True  # a topic that is not there: Kafka's tool says so in the table only
    return DeletedOffsets(answers | dict(deleted))


# --------------------------------------------------------------------------------------------------------------- reset


def _reset(options: Options, admin: Admin, reset: OffsetReset, messages: Messages) -> ResetPlan:
    """Plan every group, and only then change any. A live group is told of, and left as it is."""
    plans: dict[str, Offsets] = {}
    for group in _group_ids(options, admin):
        try:
            state = _described(admin, group).state
        except StoreError as error:
            raise GroupFailure.wrapped(error) from None
        if state in INACTIVE:
            plans[group] = reset.plan(admin, group)
        else:
            plans[group] = {}
            messages.error(
                f"Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            )
    execute = options.has("execute")
    for group, offsets in plans.items():
        if execute and offsets:
            try:
                admin.alter_group_offsets(group, offsets)
            except StoreError as error:
                raise GroupFailure(str(error), error) from None
    return ResetPlan(plans, execute)
