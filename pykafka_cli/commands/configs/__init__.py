"""``kafka-configs``: describe and change the settings of topics, brokers and groups, quotas of users, clients and
addresses, users' credentials, and subscriptions to clients' metrics.

Source: org.apache.kafka.tools.ConfigCommand (kafka.admin.ConfigCommand) of Kafka 4.3. Checks, texts and their order
are that file's.
"""

from __future__ import annotations

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.commands.configs.actions import alter, describe, refused
from pykafka_cli.commands.configs.entity import ENTITY_TYPES, checked_entity
from pykafka_cli.commands.configs.quotas import QUOTAS
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.frame import (
    check_admin_config,
    command_config_option,
    connection_options,
    controller_option,
    failing_as,
    one_line,
    open_cluster,
)
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_store.settings.configs import SETTINGS


class ConfigsCommand(KafkaCommand):
    """Keeps the words of the command line: the tool repeats them where the cluster refuses."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = args
        return super().parse_args(ctx, args)


@click.command(
    "configs",
    cls=ConfigsCommand,
    no_arguments="This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, "
    "client-metrics or group",
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-configs --describe --topic orders --all",
        "kafka-configs --alter --topic orders --add-config retention.ms=3600000,cleanup.policy=[compact,delete]",
        "kafka-configs --alter --topic orders --delete-config retention.ms",
    ),
)
@connection_options
@controller_option
@command_config_option
@click.option("--alter", is_flag=True, help="Change the settings of the entity.")
@click.option("--describe", is_flag=True, help="List the settings of the entity that were set.")
@click.option("--all", is_flag=True, help="With --describe: the defaults as well.")
@click.option(
    "--entity-type",
    metavar="TYPE",
    multiple=True,
    type=click.Choice(ENTITY_TYPES),
    help="topics, clients, users, brokers, ips, client-metrics, groups or broker-loggers. A data directory enforces "
    "those of topics, brokers and groups, keeps and shows the others, and has no loggers.",
)
@click.option("--entity-name", metavar="NAME", multiple=True, help="The name of the entity.")
@click.option("--entity-default", is_flag=True, help="The default for all clients, users, brokers or ips.")
@click.option(
    "--add-config",
    metavar="KEY=VALUE,...",
    help="Settings to make. Square brackets group a value that contains commas: k1=v1,k2=[v1,v2],k3=v3. Those of "
    "topics: "
    + ", ".join(sorted(name for name in SETTINGS if not name.startswith("internal.")))
    + ". Those of users and clients: "
    + ", ".join(sorted(QUOTAS))
    + "; of users also SCRAM-SHA-256 and SCRAM-SHA-512, as [iterations=8192,password=...]. Those of ips: "
    "connection_creation_rate. Those of client-metrics: interval.ms, match, metrics.",
)
@click.option("--add-config-file", metavar="FILE", type=FILE, help="Property file of settings to make.")
@click.option("--delete-config", metavar="KEY,...", multiple=True, help="Settings to give back to their defaults.")
@click.option("--topic", metavar="NAME", type=TOPIC, help="The topic: short for --entity-type and --entity-name.")
@click.option("--client", metavar="NAME", help="The client's id.")
@click.option("--client-defaults", is_flag=True, help="The default for all clients.")
@click.option("--user", metavar="NAME", help="The user's principal.")
@click.option("--user-defaults", is_flag=True, help="The default for all users.")
@click.option("--broker", metavar="ID", help="The broker's id.")
@click.option("--broker-defaults", is_flag=True, help="The default for all brokers.")
@click.option("--broker-logger", metavar="ID", help="The id of the broker whose logger it is.")
@click.option("--ip", metavar="ADDRESS", help="The address.")
@click.option("--ip-defaults", is_flag=True, help="The default for all addresses.")
@click.option("--group", metavar="NAME", help="The group's id.")
@click.option("--client-metrics", metavar="NAME", help="The name of a subscription to clients' metrics.")
@click.pass_context
def configs(ctx: click.Context, env: Env, options: Options) -> None:
    """This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or
    group
    """
    from pykafka_cli.java.properties import PropertiesError

    with failing_as(one_line):
        entity = checked_entity(options, ctx.meta["words"])
        try:
            check_admin_config(env, options)
        except PropertiesError as error:
            raise refused(" ".join(ctx.meta["words"]), error.java) from None
        act = alter if options.has("alter") else describe
        with open_cluster(env, options) as cluster:
            act(env, options, cluster.admin(), entity, " ".join(ctx.meta["words"]))
