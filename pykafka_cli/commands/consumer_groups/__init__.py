"""``kafka-consumer-groups``: list, describe and delete groups; reset and delete what they have committed.

Source: org.apache.kafka.tools.consumer.group.ConsumerGroupCommand, ConsumerGroupCommandOptions and
org.apache.kafka.tools.OffsetsUtils of Kafka 4.3. Checks, texts and their order are those files'.
"""

from __future__ import annotations

from functools import partial

import click

from pykafka_cli.click_types import FILE, GROUP, TOPIC
from pykafka_cli.commands.consumer_groups.actions import STATES, Messages, run
from pykafka_cli.commands.consumer_groups.offset_reset import SCENARIOS, GroupFailure, OffsetReset
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, OptionProblem, Refusal, UsageProblem
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    check_admin_config,
    check_output,
    command_config_option,
    connection_options,
    failing_as,
    not_with,
    one_action,
    only_with,
    open_cluster,
    output_option,
)
from pykafka_cli.tool.options import LONG, KafkaCommand, Options, examples
from pykafka_store.errors import StoreError

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
@command_config_option
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
@output_option(
    "How to show what is listed, described, reset or deleted: as Kafka's tool does, as a table, or as JSON, one "
    "object a line. Not one of Kafka's options."
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
    _check_parser_rules(options)
    _check(env, options)
    if options.has("validate-regex"):
        try:
            _validate_regex(env, options.text("validate-regex"))
        except OptionProblem as problem:
            raise UsageProblem(str(problem)) from None
        return
    messages = Messages(env, options)
    with failing_as(partial(_failure, env, options, messages)):
        check_admin_config(env, options)
        # Kafka's tool reads these values before it does anything, whatever it is to do.
        reset = OffsetReset(env, options, messages.say)
        timeout = options.integer("timeout")
        if options.has("timeout"):
            options.admin_config["default.api.timeout.ms"] = str(timeout)
        options.maybe_integer("fail-if-lag")
        with open_cluster(env, options) as cluster:
            run(env, options, cluster.admin(), reset, messages)


def _failure(env: Env, options: Options, messages: Messages, error: Refusal | StoreError) -> CommandFailure:
    """The reason on stdout, and exit 0, as Kafka's tool does; on stderr the error's name, where it prints a stack."""
    cause = error if isinstance(error, StoreError) else error.error if isinstance(error, GroupFailure) else None
    from pykafka_cli.java.properties import PropertiesError
    from pykafka_cli.tool.admin_config import AdminSettingError

    reason = exception_line(error) if isinstance(error, StoreError) else str(error)
    if isinstance(error, PropertiesError) and not isinstance(error, AdminSettingError):
        reason = error.java
    exit_code = 1 if options.has("fail-if-lag") else 0
    message = f"Error: Executing consumer group command failed due to {reason}"
    if not messages.in_text:
        return CommandFailure(message, exit_code=exit_code)
    if cause is not None:
        env.err(exception_line(cause))
    return CommandFailure(f"\n{message}", stream="stdout", exit_code=exit_code)


def _check_parser_rules(options: Options) -> None:
    """Refuse what Kafka's option parser itself refuses, with one line and without the help."""
    unavailable = [
        name for name, needed in ONLY_WITH.items() if options.has(name) and not any(map(options.has, needed))
    ]
    if unavailable:
        raise CommandFailure(
            f"Option(s) [{', '.join(unavailable)}] are unavailable given other options on the command line"
        )


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
        _check_reset(env, options)
    not_with(options, "group", "all-groups", "list")
    not_with(options, "topic", "list", "describe")
    one_action(options, ACTIONS)
    only_with(options, "fail-if-lag", ACTIONS, "describe")
    not_with(options, "fail-if-lag", "members", "state")
    not_with(options, "output", "delete", "validate-regex")
    check_output(options)


def _check_reset(env: Env, options: Options) -> None:
    if options.has("dry-run") and options.has("execute"):
        raise UsageProblem("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
    if not options.has("dry-run") and not options.has("execute"):
        env.err(DRY_RUN_WARNING)
    _require_groups(options, "reset-offsets")
    for number, scenario in enumerate(SCENARIOS):
        not_with(options, scenario, *SCENARIOS[number + 1 :])
    not_with(options, "output", "export")


def _require_groups(options: Options, action: str) -> None:
    if not options.has("group") and not options.has("all-groups"):
        raise UsageProblem(f"Option [{action}] takes one of these options: [all-groups], [group]")


def _validate_regex(env: Env, regex: str) -> None:
    from pykafka_cli.java.re2_syntax import problem

    found = problem(regex)
    verdict = "valid." if found is None else f"invalid: {found}."
    env.out(f"The regular expression `{regex}` is {verdict}")
