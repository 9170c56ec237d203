"""``kafka-client-metrics``: subscriptions to clients' metrics (KIP-714). A data directory keeps and shows them; it asks
no client for metrics.

Source: org.apache.kafka.tools.ClientMetricsCommand of Kafka 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.java.text import is_whole
from pykafka_cli.tool.frame import (
    check_admin_config,
    command_config_option,
    connection_options,
    failing_as,
    not_with,
    open_cluster,
)
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_cli.tool.unenforced import UNENFORCED, tell_unenforced
from pykafka_store.model import ConfigResource, random_topic_id

if TYPE_CHECKING:
    from pykafka_store.api import Admin
    from pykafka_store.errors import StoreError

_ACTIONS = ("alter", "delete", "describe", "list")
_SETTINGS = ("generate-name", "interval", "match", "metrics")


@click.command(
    "client-metrics",
    cls=KafkaCommand,
    no_arguments="This tool helps to manipulate and describe client metrics configurations.",
    epilog=examples(
        "kafka-client-metrics --alter --name latencies --metrics org.apache.kafka.producer. --interval 30000",
        "kafka-client-metrics --describe",
    ),
)
@connection_options
@command_config_option
@click.option("--alter", is_flag=True, help="Make a subscription, or change one.")
@click.option("--delete", is_flag=True, help="Delete a subscription.")
@click.option("--describe", is_flag=True, help="Describe the subscription of --name, or all.")
@click.option("--list", is_flag=True, help="List the names of all subscriptions.")
@click.option("--name", metavar="NAME", help="The subscription's name.")
@click.option("--generate-name", is_flag=True, help="Make up a name.")
@click.option("--interval", metavar="MS", help="How often clients are to send, in ms; empty for the default.")
@click.option(
    "--match",
    metavar="KEY=VALUE,...",
    multiple=True,
    help="Which clients are meant, by expressions for client_id, client_instance_id, client_software_name, "
    "client_software_version, client_source_address and client_source_port; empty for all.",
)
@click.option("--metrics", metavar="PREFIX,...", multiple=True, help="Beginnings of metrics' names; empty for none.")
def client_metrics(env: Env, options: Options) -> None:
    """This tool helps to manipulate and describe client metrics configurations.

    A data directory keeps subscriptions and shows them; there is no broker that asks clients for metrics.
    """
    _check(options)
    interval = options.maybe_text("interval")
    if interval and not is_whole(interval):
        raise Refusal("Invalid interval value. Enter an integer, or leave empty to reset.")
    check_admin_config(env, options, failure=_failure)
    with failing_as(_failure), open_cluster(env, options) as cluster:
        admin = cluster.admin()
        if options.has("alter"):
            _alter(env, options, admin, interval)
        elif options.has("delete"):
            name = options.text("name")
            resource = ConfigResource("client-metrics", name)
            admin.incremental_alter_configs(resource, {}, [each.name for each in admin.describe_configs(resource)])
            env.out(f"Deleted client metrics config for {name}.")
        elif options.has("describe"):
            _describe(env, options.maybe_text("name"), admin)
        else:
            env.out("\n".join(admin.configured_client_metrics()))


def _check(options: Options) -> None:
    """Raises UsageProblem, Refusal."""
    if sum(map(options.has, _ACTIONS)) != 1:
        raise UsageProblem("Command must include exactly one action: --alter, --delete, --describe or --list.")
    not_with(options, "delete", *_SETTINGS)
    not_with(options, "describe", *_SETTINGS)
    not_with(options, "list", "name", *_SETTINGS)
    if options.has("alter") and options.has("name") == options.has("generate-name"):
        raise Refusal("One of --name or --generate-name must be specified with --alter.")
    if options.has("delete") and not options.has("name"):
        raise Refusal("A client metrics resource name must be specified with --delete.")


def _failure(error: Refusal | StoreError) -> CommandFailure:
    return CommandFailure(f"Error while executing client metrics command : {error}", stream="stdout")


def _alter(env: Env, options: Options, admin: Admin, interval: str | None) -> None:
    name = random_topic_id() if options.has("generate-name") else options.text("name")
    wanted = {key: ",".join(_parts(options.texts(key))) for key in ("metrics", "match") if options.has(key)}
    if interval is not None:
        wanted["interval.ms"] = interval
    changes = {key: value for key, value in wanted.items() if value}
    admin.incremental_alter_configs(
        ConfigResource("client-metrics", name), changes, [key for key in wanted if key not in changes]
    )
    tell_unenforced(
        env, options, f"Subscriptions to metrics {UNENFORCED}", "org.apache.kafka.tools.ClientMetricsCommand"
    )
    env.out(f"Altered client metrics config for {name}.")


def _parts(texts: list[str]) -> list[str]:
    """jopt's values separated by commas: empty ones are passed over, unless there is nothing else."""
    return [part for text in texts for part in [each for each in text.split(",") if each] or [text]]


def _describe(env: Env, name: str | None, admin: Admin) -> None:
    there = admin.configured_client_metrics()
    if name is not None and name not in there:
        env.out(f"The client metric resource {name} doesn't exist and doesn't have dynamic config.")
        return
    for each in there if name is None else [name]:
        env.out(f"Client metrics configs for {each} are:")
        for entry in admin.describe_configs(ConfigResource("client-metrics", each)):
            env.out(f"  {entry.name}={entry.value}")
