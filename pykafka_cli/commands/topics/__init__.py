"""``kafka-topics``: create, list, describe, alter and delete topics.

Source: org.apache.kafka.tools.TopicCommand of Kafka 4.3. Checks, texts and their order are that file's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import TOPIC
from pykafka_cli.commands.topics.actions import PARTITION_REPORTS, changes_by_zookeeper, run
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.output.forms import show
from pykafka_cli.tool.frame import (
    check_output,
    command_config_option,
    connection_options,
    failing_as,
    not_with,
    one_action,
    only_with,
    opened,
    output_option,
    require,
)
from pykafka_cli.tool.options import INTEGER, KafkaCommand, Options, examples
from pykafka_store.errors import StoreError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ACTIONS = ("create", "list", "alter", "describe", "delete")
USE_KAFKA_CONFIGS = " (To alter topic configurations, the kafka-configs tool can be used.)"
LOGGER = "org.apache.kafka.tools.TopicCommand"


class ConfigAssignment(click.ParamType[str]):
    """``name=value`` of a topic config; completes the names and, where there are a few, the values."""

    name = "name=value"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from pykafka_store.settings import configs

        name, equals, _value = incomplete.partition("=")
        if not equals:
            return [CompletionItem(f"{known}=") for known in configs.names() if known.startswith(name)]
        setting = configs.SETTINGS.get(name)
        words = ("true", "false") if setting and setting.kind == "BOOLEAN" else setting.words if setting else ()
        return [CompletionItem(f"{name}={word}") for word in words if f"{name}={word}".startswith(incomplete)]


class ConfigOption(click.Option):
    """An option whose help names all configs once it is asked for: most runs have no use for them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from pykafka_store.settings import configs

        record = super().get_help_record(ctx)
        return record and (record[0], f"{record[1]} The names: {', '.join(configs.names())}.")


@click.command(
    "topics",
    cls=KafkaCommand,
    no_arguments="Create, delete, describe, or change a topic.",
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-topics --create --topic orders --partitions 3 --config retention.ms=3600000",
        "kafka-topics --list",
        "kafka-topics --describe --topic 'orders|payments'",
        "kafka-topics --describe --output json | jq -r .topicId",
        "kafka-topics --alter --topic orders --partitions 6",
        "kafka-topics --delete --topic orders",
    ),
)
@connection_options
@command_config_option
@click.option("--list", is_flag=True, help="List all available topics.")
@click.option("--create", is_flag=True, help="Create a new topic.")
@click.option("--delete", is_flag=True, help="Delete a topic.")
@click.option("--alter", is_flag=True, help="Alter the number of partitions." + USE_KAFKA_CONFIGS)
@click.option("--describe", is_flag=True, help="List details for the given topics.")
@click.option(
    "--topic",
    metavar="TOPIC",
    type=TOPIC,
    help="The topic to create, alter, describe, list or delete. Except with --create, a regular expression that "
    "matches the whole name; a comma separates alternatives.",
)
@click.option("--topic-id", metavar="ID", help="The topic id to describe.")
@click.option(
    "--config",
    cls=ConfigOption,
    metavar="NAME=VALUE",
    type=ConfigAssignment(),
    multiple=True,
    help="A topic configuration override for the topic being created; may be repeated.",
)
@click.option("--delete-config", metavar="NAME", multiple=True, help="No longer supported since Kafka 4.0.")
@click.option(
    "--partitions",
    metavar="COUNT",
    type=INTEGER,
    help="The number of partitions of the topic being created or altered; 1 if not supplied with --create. If it is "
    "increased for a topic that has keys, records with the same key may go to another partition than before.",
)
@click.option(
    "--replication-factor",
    metavar="COUNT",
    type=INTEGER,
    help="The number of replicas of each partition of the topic being created; 1 if not supplied.",
)
@click.option(
    "--replica-assignment",
    metavar="ID:ID,ID:ID,...",
    help="The brokers of each partition's replicas for the topic being created or altered: replicas are separated by "
    "colons, partitions by commas.",
)
@click.option(
    "--under-replicated-partitions", is_flag=True, help="When describing, only show under-replicated partitions."
)
@click.option(
    "--unavailable-partitions",
    is_flag=True,
    help="When describing, only show partitions whose leader is not available.",
)
@click.option(
    "--under-min-isr-partitions",
    is_flag=True,
    help="When describing, only show partitions with fewer in-sync replicas than the configured minimum.",
)
@click.option(
    "--at-min-isr-partitions",
    is_flag=True,
    help="When describing, only show partitions with as many in-sync replicas as the configured minimum.",
)
@click.option(
    "--topics-with-overrides", is_flag=True, help="When describing, only show topics that have overridden configs."
)
@click.option("--if-exists", is_flag=True, help="When altering, deleting or describing, do nothing if there is none.")
@click.option("--if-not-exists", is_flag=True, help="When creating, do nothing if the topic exists.")
@click.option("--exclude-internal", is_flag=True, help="When listing or describing, leave out internal topics.")
@click.option(
    "--partition-size-limit-per-response",
    metavar="COUNT",
    type=INTEGER,
    help="The greatest number of partitions in one response of the server. What is printed does not depend on it.",
)
@output_option("The form of --list and --describe; pykafka's own. json is one object a line.", show_default=True)
def topics(env: Env, options: Options) -> None:
    """This tool helps to create, delete, describe, or change a topic."""
    _check(env, options)
    # A cluster that can't be opened is told as main.py tells it; only later errors are told in this tool's words.
    create = True if options.has("create") else None
    with opened(env, options, create=create) as admin, failing_as(partial(_failure, env)):
        result = run(env, options, admin)
        if result is not None:
            show(env, result, options.text("output"))


def _failure(env: Env, error: Refusal | StoreError) -> CommandFailure:
    """Kafka prints the message on stdout, and logs the error with its class's name on stderr.

    Only errors of the cluster have a name that a script might look for; the tool's own are logged by Kafka, too, as
    Java exceptions with a stack trace.
    """
    if isinstance(error, StoreError):
        from pykafka_cli.output.kafka_log import log_line

        named = f"org.apache.kafka.common.errors.{error.kafka_name}: {error}\n"
        env.err(log_line(env.clock(), "ERROR", named, LOGGER))
    return CommandFailure(f"Error while executing topic command : {error}", stream="stdout")


def _check(env: Env, options: Options) -> None:
    """Refuse what makes no sense together. Source: TopicCommandOptions#checkArgs, but for the address."""
    one_action(options, ACTIONS, "--list, --describe, --create, --alter or --delete")
    by_zookeeper = changes_by_zookeeper(options)
    if options.has("delete-config") and not by_zookeeper:
        env.err(
            "delete-config option is no longer supported and deprecated since version 4.0. "
            "The config will be fully removed in future releases."
        )
    if options.has("describe") and options.has("if-exists"):
        if not options.has("topic") and not options.has("topic-id"):
            raise UsageProblem("--topic or --topic-id is required to describe a topic")
        if options.has("topic") and options.has("topic-id"):
            env.out(
                "Only topic id will be used when both --topic and --topic-id are specified "
                "and topicId is not Uuid.ZERO_UUID"
            )
    if not options.has("list") and not options.has("describe"):
        require(options, "topic")
    if options.has("alter") and not by_zookeeper:
        if options.has("config"):
            raise UsageProblem(
                'Option combination "[[bootstrap-server], [config]]" can\'t be used with option "[alter]"'
                + USE_KAFKA_CONFIGS
            )
        require(options, "partitions")

    only_with(options, "config", ACTIONS, "alter", "create")
    only_with(options, "partitions", ACTIONS, "alter", "create")
    only_with(options, "replication-factor", ACTIONS, "create")
    only_with(options, "replica-assignment", ACTIONS, "alter", "create")
    if options.has("create"):
        not_with(options, "replica-assignment", "partitions", "replication-factor")
    for report in PARTITION_REPORTS:
        only_with(options, report, ACTIONS, "describe")
        not_with(options, report, "topics-with-overrides")
    only_with(options, "topics-with-overrides", ACTIONS, "describe")
    only_with(options, "if-exists", ACTIONS, "alter", "delete", "describe")
    only_with(options, "if-not-exists", ACTIONS, "create")
    only_with(options, "exclude-internal", ACTIONS, "list", "describe")
    only_with(options, "output", ACTIONS, "list", "describe")
    check_output(options)
