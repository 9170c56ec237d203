"""``kafka-consumer-groups``: list, describe and delete groups; reset and delete what they have committed.

Source: org.apache.kafka.tools.consumer.group.ConsumerGroupCommand, ConsumerGroupCommandOptions and
org.apache.kafka.tools.OffsetsUtils of Kafka 4.3. Checks, texts and their order are those files'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from pykafka_cli import render, render_groups
from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.kafka_log import exception_line
from pykafka_cli.offset_reset import (
    SCENARIOS,
    GroupFailure,
    OffsetReset,
    Offsets,
    all_partitions,
    describe_topic,
    parse_partitions,
    plan_lines,
    split,
)
from pykafka_cli.options import (
    LONG,
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    UsageProblem,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE, GROUP, TOPIC
from pykafka_cli.properties import PropertiesError
from pykafka_cli.results import (
    DeletedOffsets,
    GroupMembers,
    GroupOffsets,
    GroupResult,
    GroupState,
    ListedGroups,
    PartitionLag,
    ResetPlan,
)
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

DESCRIPTION = (
    "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset "
    "consumer group offsets."
)
ACTIONS = ("list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex")
ONLY_WITH = {
    "members": ("describe",),
    "offsets": ("describe",),
    "state": ("describe", "list"),
    "type": ("list",),
    "verbose": ("describe",),
}
"""Options that the parser itself refuses where none of these is given, by name."""

STATES = ("PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling")
TYPES = ("Consumer", "Classic")
INACTIVE = ("Empty", "Dead")
DRY_RUN_WARNING = (
    "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will require "
    "either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are "
    "scripting this command and want to keep the current default behavior without prompting."
)


@click.command(
    "consumer-groups",
    cls=KafkaCommand,
    no_arguments=DESCRIPTION,
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-consumer-groups --list --state",
        "kafka-consumer-groups --describe --group billing",
        "kafka-consumer-groups --describe --group billing --members --verbose",
        "kafka-consumer-groups --describe --all-groups --output json | jq .totalLag",
        "kafka-consumer-groups --describe --group billing --fail-if-lag 1000 > lag",
        "kafka-consumer-groups --reset-offsets --group billing --topic orders:0,1 --to-earliest --dry-run",
        "kafka-consumer-groups --reset-offsets --group billing --all-topics --by-duration PT1H --execute",
        "kafka-consumer-groups --delete-offsets --group billing --topic orders",
        "kafka-consumer-groups --delete --group billing",
    ),
)
@connection_options
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.option(
    "--timeout",
    metavar="MS",
    type=LONG,
    default=30000,
    show_default=True,
    help="How long a cluster may take to answer. A data directory answers at once.",
)
@click.option("--list", is_flag=True, help="List all consumer groups.")
@click.option(
    "--describe",
    is_flag=True,
    help="Describe consumer groups: --offsets, the default, --members or --state. The lag is the number of records "
    "not yet read.",
)
@click.option("--delete", is_flag=True, help="Delete groups that have no members, with all they have committed.")
@click.option(
    "--reset-offsets",
    is_flag=True,
    help="Reset what groups without members have committed. How: one of --to-earliest, --to-latest, --to-offset, "
    "--to-current, --shift-by, --to-datetime, --by-duration, --from-file. Of what: --topic or --all-topics, but for "
    "--from-file. Only --execute changes anything.",
)
@click.option("--delete-offsets", is_flag=True, help="Forget what one group has committed for the topics given.")
@click.option(
    "--validate-regex", metavar="REGEX", help="Check the syntax of a regular expression in the format of RE2."
)
@click.option("--group", metavar="ID", type=GROUP, multiple=True, help="The group to act on; may be repeated.")
@click.option("--all-groups", is_flag=True, help="Act on all groups: --describe, --delete and --reset-offsets.")
@click.option(
    "--topic",
    metavar="TOPIC[:N,N]",
    type=TOPIC,
    multiple=True,
    help="A topic, or partitions of it, whose offsets to reset or to delete; may be repeated.",
)
@click.option("--all-topics", is_flag=True, help="Reset the offsets of all that the group has committed for.")
@click.option("--offsets", is_flag=True, help="Describe the partitions of a group, their offsets and lag.")
@click.option("--members", is_flag=True, help="Describe the members of a group.")
@click.option(
    "--state",
    metavar="STATE,...",
    is_flag=False,
    flag_value="",
    help="With --describe: describe the state of a group. With --list: list states, too, and only the groups in those "
    f"given, of {', '.join(STATES)}.",
)
@click.option(
    "--type",
    metavar="TYPE,...",
    is_flag=False,
    flag_value="",
    help="With --list: list types, too, and only the groups of those given, of classic and consumer.",
)
@click.option("--verbose", is_flag=True, help="Describe more: leader epochs, assignments, group epochs.")
@click.option("--dry-run", is_flag=True, help="Only show what --reset-offsets would do; the default.")
@click.option("--execute", is_flag=True, help="Do what --reset-offsets shows.")
@click.option("--export", is_flag=True, help="Show the offsets of --reset-offsets as CSV, for --from-file.")
@click.option(
    "--to-offset", metavar="OFFSET", type=LONG, multiple=True, help="Reset to this offset, or the nearest there is."
)
@click.option("--shift-by", metavar="N", type=LONG, help="Reset to the current offset plus N, which may be negative.")
@click.option(
    "--to-datetime",
    metavar="TIME",
    multiple=True,
    help="Reset to the first record at or after YYYY-MM-DDThh:mm:ss.sss, in UTC or with Z, +hh or +hh:mm behind it.",
)
@click.option("--by-duration", metavar="PnDTnHnMnS", help="Reset to the first record that is not older than this.")
@click.option("--to-earliest", is_flag=True, help="Reset to the first record.")
@click.option("--to-latest", is_flag=True, help="Reset to the end.")
@click.option("--to-current", is_flag=True, help="Reset to what is committed; to the end where nothing is.")
@click.option(
    "--from-file",
    metavar="FILE",
    type=FILE,
    multiple=True,
    help="Reset to the offsets in a CSV file as --export writes it: topic,partition,offset for one group, "
    "group,topic,partition,offset for several.",
)
@click.option(
    "--output",
    metavar="|".join(render.FORMS),
    type=click.Choice(render.FORMS),
    default="text",
    help="How to show what is listed, described, reset or deleted: as Kafka's tool does, as a table, or as JSON, one "
    "object a line. Not one of Kafka's options.",
)
@click.option(
    "--fail-if-lag",
    metavar="N",
    type=LONG,
    help="With --describe: exit 1 if the total lag of the groups described is over N. Partitions without a commit "
    "don't count. Any error exits 1, too. Not one of Kafka's options.",
)
def consumer_groups(env: Env, options: Options) -> None:
    """This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset
    consumer group offsets.
    """
    unavailable = [
        name for name, needed in ONLY_WITH.items() if options.has(name) and not any(map(options.has, needed))
    ]
    if unavailable:
        raise CommandFailure(
            f"Option(s) [{', '.join(unavailable)}] are unavailable given other options on the command line"
        )
    _check(env, options)
    if options.has("validate-regex"):
        try:
            _validate_regex(env, options.text("validate-regex"))
        except OptionProblem as problem:
            raise UsageProblem(str(problem)) from None
        return
    try:
        check_admin_config(env, options)
        # Kafka's tool reads these values before it does anything, whatever it is to do.
        reset = OffsetReset(env, options, say=lambda text: _say(env, options, text))
        timeout = options.integer("timeout")
        if options.has("timeout"):
            options.admin_config["default.api.timeout.ms"] = str(timeout)
        options.maybe_integer("fail-if-lag")
        with open_cluster(env, options) as cluster:
            _run(env, options, cluster.admin(), reset)
    except StoreError as error:
        _fail(env, options, GroupFailure(exception_line(error), error))
    except (OptionProblem, PropertiesError) as error:
        _fail(env, options, GroupFailure(str(error)))
    except GroupFailure as failure:
        _fail(env, options, failure)


def _run(env: Env, options: Options, admin: Admin, reset: OffsetReset) -> None:
    if options.has("list"):
        _show(env, options, _list(options, admin))
    elif options.has("describe"):
        _describe(env, options, admin)
    elif options.has("delete"):
        _delete(env, options, admin)
    elif options.has("reset-offsets"):
        plan = _reset(env, options, admin, reset)
        if options.has("export"):
            for line in plan_lines(plan.groups, with_group=len(options.texts("group")) != 1):
                env.out(line)
            env.out("")
        else:
            _show(env, options, plan)
    else:
        _show(env, options, _delete_offsets(env, options, admin))


def _show(env: Env, options: Options, result: GroupResult) -> None:
    render_groups.show(env, result, options.text("output"))


def _say(env: Env, options: Options, text: str) -> None:
    """A message that Kafka's tool prints on stdout, after an empty line. Tables and JSON are spared of it."""
    if _in_text(options):
        env.out(f"\n{text}")
    else:
        env.err(text)


def _error(env: Env, options: Options, text: str) -> None:
    """An error that the command goes on after. Source: ConsumerGroupCommand#printError."""
    env.error_reported = True
    _say(env, options, f"Error: {text}")


def _fail(env: Env, options: Options, failure: GroupFailure) -> NoReturn:
    """The reason on stdout, and exit 0, as Kafka's tool does; on stderr the error's name, where it prints a stack."""
    exit_code = 1 if options.has("fail-if-lag") else 0
    message = f"Error: Executing consumer group command failed due to {failure}"
    if not _in_text(options):
        raise CommandFailure(message, exit_code=exit_code)
    if failure.error is not None:
        env.err(exception_line(failure.error))
    raise CommandFailure(f"\n{message}", stream="stdout", exit_code=exit_code)


def _in_text(options: Options) -> bool:
    return not options.has("output") or options.text("output") == "text"


# ------------------------------------------------------------------------------------------------ the command line


def _check(env: Env, options: Options) -> None:
    """Refuse what makes no sense together. Source: ConsumerGroupCommandOptions#checkArgs, but for the address."""
    if options.has("describe"):
        _require_groups(options, "describe")
        if sum(map(options.has, ("members", "offsets", "state"))) > 1:
            raise UsageProblem("Option [describe] takes at most one of these options: [members], [offsets], [state]")
        if options.has("state") and options.text("state"):
            raise UsageProblem("Option [describe] does not take a value for [state]")
    if options.has("delete"):
        _require_groups(options, "delete")
        if options.has("topic"):
            raise UsageProblem("The consumer does not support topic-specific offset deletion from a consumer group.")
    if options.has("delete-offsets") and not (options.has("group") and options.has("topic")):
        raise UsageProblem("Option [delete-offsets] takes the following options: [group], [topic]")
    if options.has("reset-offsets"):
        if options.has("dry-run") and options.has("execute"):
            raise UsageProblem("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
        if not options.has("dry-run") and not options.has("execute"):
            env.err(DRY_RUN_WARNING)
        _require_groups(options, "reset-offsets")
        for number, scenario in enumerate(SCENARIOS):
            for other in SCENARIOS[number + 1 :]:
                _not_together(options, scenario, other)
        _not_together(options, "output", "export")
    _not_together(options, "group", "all-groups")
    _not_together(options, "group", "list")
    _not_together(options, "topic", "list")
    _not_together(options, "topic", "describe")
    if sum(map(options.has, ACTIONS)) != 1:
        actions = ", ".join(f"--{action}" for action in ACTIONS)
        raise UsageProblem(f"Command must include exactly one action: {actions}")
    for other in ("list", "delete", "reset-offsets", "delete-offsets", "validate-regex", "members", "state"):
        _not_together(options, "fail-if-lag", other)
    for other in ("delete", "validate-regex"):
        _not_together(options, "output", other)
    if options.text("output") not in render.FORMS:
        raise UsageProblem(f"--output must be one of {', '.join(render.FORMS)}, not {options.text('output')}")


def _require_groups(options: Options, action: str) -> None:
    if not options.has("group") and not options.has("all-groups"):
        raise UsageProblem(f"Option [{action}] takes one of these options: [all-groups], [group]")


def _not_together(options: Options, name: str, other: str) -> None:
    if options.has(name) and options.has(other):
        raise UsageProblem(f'Option "[{name}]" can\'t be used with option "[{other}]"')


def _validate_regex(env: Env, regex: str) -> None:
    from pykafka_cli.re2_syntax import problem

    found = problem(regex)
    verdict = "valid." if found is None else f"invalid: {found}."
    env.out(f"The regular expression `{regex}` is {verdict}")


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


def _describe(env: Env, options: Options, admin: Admin) -> None:
    groups = [_described(admin, group) for group in _group_ids(options, admin)]
    for group in groups:
        # One that vanished since it was listed is no error.
        if group.state == "Dead" and not options.has("all-groups"):
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
        _show(env, options, result)

    total = sum(result.total_lag for result in results if isinstance(result, GroupOffsets))
    allowed = options.maybe_integer("fail-if-lag")
    if allowed is not None and total > allowed:
        raise CommandFailure(f"The total lag is {total}, and --fail-if-lag allows {allowed}")


def _coordinator(options: Options) -> str:
    """Where the group is coordinated, as the user calls it: members of a directory's groups are on this host."""
    address = options.maybe_text("bootstrap-server")
    if address is None or address.startswith("file:"):
        return "localhost"
    return address.split(",")[0].strip()


def _lags(env: Env, admin: Admin, groups: Sequence[GroupDescription]) -> list[GroupOffsets]:
    """Each group's partitions: those of its members, of the member with the most first, then those nobody owns."""
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


def _delete(env: Env, options: Options, admin: Admin) -> None:
    deleted, failed = [], {}
    for group in _group_ids(options, admin):
        try:
            admin.delete_group(group)
            deleted.append(f"'{group}'")
        except StoreError as error:
            failed[group] = error
    if not failed:
        env.out(f"Deletion of requested consumer groups ({', '.join(deleted)}) was successful.")
        return
    _error(env, options, "Deletion of some consumer groups failed:")
    for group, reason in failed.items():
        env.out(f"* Group '{group}' could not be deleted due to: {exception_line(reason)}")
    if deleted:
        env.out(f"\nThese consumer groups were deleted successfully: {', '.join(deleted)}")


def _delete_offsets(env: Env, options: Options, admin: Admin) -> DeletedOffsets:
    groups, topics = options.texts("group"), options.texts("topic")
    if len(groups) > 1:
        raise OptionProblem("Found multiple arguments for option group, but you asked for only one")
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
        _error(env, options, str(error))
    else:
        match next(filter(None, deleted.values()), None):
            case None:
                if _in_text(options):
                    env.out(f"Request succeeded for deleting offsets from group {group}.")
            case UnknownTopicOrPartitionError() | GroupSubscribedToTopicError():
                _error(env, options, "Encountered some partition-level error, see the follow-up details.")
            case other:
                _error(env, options, f"Encountered some unknown error: {other}")
    if answers:
        env.error_reported = True  # a topic that is not there: Kafka's tool says so in the table only
    return DeletedOffsets(answers | dict(deleted))


# --------------------------------------------------------------------------------------------------------------- reset


def _reset(env: Env, options: Options, admin: Admin, reset: OffsetReset) -> ResetPlan:
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
            _error(
                env,
                options,
                f"Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}.",
            )
    execute = options.has("execute")
    for group, offsets in plans.items():
        if execute and offsets:
            try:
                admin.alter_group_offsets(group, offsets)
            except StoreError as error:
                raise GroupFailure(str(error), error) from None
    return ResetPlan(plans, execute)
