"""``kafka-groups``: list groups of all types. Source: org.apache.kafka.tools.GroupsCommand of Kafka 4.3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.output.forms import show
from pykafka_cli.output.group_results import ListedGroupProtocols
from pykafka_cli.output.kafka_log import exception_line, log_line
from pykafka_cli.tool.frame import (
    check_admin_config,
    check_output,
    command_config_option,
    connection_options,
    failing_as,
    not_with,
    open_cluster,
    output_option,
)
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_store.errors import StoreError
from pykafka_store.model import CONSUMER_PROTOCOL

if TYPE_CHECKING:
    from pykafka_store.api import Admin
    from pykafka_store.model import GroupListing

DESCRIPTION = "This tool helps to list groups of all types."
TYPES = ("classic", "consumer", "share", "streams")
LOGGER = "org.apache.kafka.tools.GroupsCommand"


@click.command(
    "groups",
    cls=KafkaCommand,
    no_arguments=DESCRIPTION,
    epilog=examples(
        "kafka-groups --list", "kafka-groups --list --group-type classic", "kafka-groups --list --output json"
    ),
)
@connection_options
@command_config_option
@click.option("--list", is_flag=True, help="List the groups.")
@click.option(
    "--group-type",
    metavar="TYPE",
    type=click.Choice(TYPES),
    help="Only the groups of this type: classic, consumer, share or streams. There are no share and streams groups in "
    "a data directory.",
)
@click.option("--protocol", metavar="PROTOCOL", help="Only the groups of this protocol: consumer, or empty.")
@click.option(
    "--consumer",
    is_flag=True,
    help="Only consumer groups of all kinds: those of type consumer, and those of type classic whose protocol is "
    "consumer or empty.",
)
@click.option("--share", is_flag=True, help="Only share groups.")
@click.option("--streams", is_flag=True, help="Only streams groups.")
@output_option(
    "How to list: as Kafka's tool does, as a table, or as JSON, one object a line. Not one of Kafka's options."
)
def groups(env: Env, options: Options) -> None:
    """This tool helps to list groups of all types."""
    _check(options)
    failure = partial(_failure, env)
    check_admin_config(env, options, failure=failure)
    with failing_as(failure), open_cluster(env, options) as cluster:
        show(env, run(options, cluster.admin()), options.text("output"))


def _failure(env: Env, error: Refusal | StoreError) -> CommandFailure:
    """The message goes to stdout; an error of the cluster is logged on stderr, with its class."""
    if isinstance(error, StoreError):
        env.err(log_line(env.clock(), "ERROR", f"{exception_line(error)}\n", LOGGER))
    return CommandFailure(f"Error while executing groups command : {error}", stream="stdout")


def _check(options: Options) -> None:
    """Source: GroupsCommandOptions#checkArgs."""
    if not options.has("list"):
        raise UsageProblem("Command must include exactly one action: --list.")
    kind = options.maybe_text("group-type")
    if kind is not None and kind.lower() not in TYPES:
        raise CommandFailure("--group-type must be a valid group type.")
    for name, others in (
        ("consumer", ("group-type", "protocol", "share", "streams")),
        ("share", ("consumer", "group-type", "protocol", "streams")),
        ("streams", ("consumer", "group-type", "protocol", "share")),
    ):
        not_with(options, name, *others)
    check_output(options)


def run(options: Options, admin: Admin) -> ListedGroupProtocols:
    """The groups that the options mean. Source: GroupsCommand.GroupsService#combinedFilter."""
    kind, protocol = options.maybe_text("group-type"), options.maybe_text("protocol")
    # All groups of a data directory are consumers' groups, so --consumer leaves none out.
    none_are_meant = options.has("share") or options.has("streams")
    listed = [(listing, _protocol(admin, listing)) for listing in admin.list_groups()]
    return ListedGroupProtocols(
        tuple(
            (listing, spoken)
            for listing, spoken in listed
            if not none_are_meant
            and (kind is None or listing.type.lower() == kind.lower())
            and (protocol is None or spoken == protocol)
        )
    )


def _protocol(admin: Admin, listing: GroupListing) -> str:
    """What a group's members agreed on. One that never had a member, only commits, has none."""
    if listing.type == "Classic" and listing.state == "Empty":
        return admin.describe_group(listing.group_id).protocol_type
    return CONSUMER_PROTOCOL
