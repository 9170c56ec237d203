"""``kafka-cluster``: the cluster's id, its brokers, and how to forget one.

Source: org.apache.kafka.tools.ClusterTool of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.argparse4j import INTEGER, ArgparseGroup
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options, failing_as, one_line
from pykafka_cli.tool.options import examples
from pykafka_store.errors import StoreError
from pykafka_store.model import BrokerDescription
from pykafka_store.nodes import NodeDescription
from pykafka_store.open import open_data_directory

_F = TypeVar("_F", bound=Callable[..., Any])


def _connection(command: _F) -> _F:
    command = command_config_option(command, "-c")
    command = click.option("--config", metavar="FILE", type=FILE, help="Deprecated: the same as --command-config.")(
        command
    )
    command = click.option(
        "--bootstrap-controller",
        "-C",
        metavar="HOST:PORT",
        help="A controller of the Kafka cluster to talk to instead.",
    )(command)
    return connection_options(command, "-b")


@click.group(
    "cluster",
    cls=ArgparseGroup,
    help_exit_code=1,
    epilog=examples("kafka-cluster cluster-id", "kafka-cluster list-endpoints"),
)
def cluster() -> None:
    """The Kafka cluster tool."""


@cluster.command("cluster-id", epilog=examples("kafka-cluster cluster-id"))
@_connection
@click.pass_obj
def cluster_id(env: Env, /, **connection: str | None) -> None:
    """Get information about the ID of a cluster."""
    with failing_as(one_line):
        where = _where(env, connection)
        where.directory(env)  # a wrong address is told before a wrong file
        with where.open(env) as opened:
            found = opened.admin().cluster_id()
    env.out(f"Cluster ID: {found}" if found else "No cluster ID found. The Kafka version is probably too old.")


@cluster.command("list-endpoints", epilog=examples("kafka-cluster list-endpoints"))
@_connection
@click.option("--include-fenced-brokers", is_flag=True, help="Brokers that are stopped or can't be used as well.")
@click.pass_obj
def list_endpoints(env: Env, /, include_fenced_brokers: bool, **connection: str | None) -> None:
    """List endpoints: of a data directory, the address that leads there, or the brokers' log directories."""
    with failing_as(one_line):
        where = _where(env, connection)
        of_controllers = where.bootstrap_controller is not None
        if of_controllers and include_fenced_brokers:
            raise CommandFailure("The option --include-fenced-brokers is only supported with --bootstrap-server option")
        if (path := where.directory(env)) is not None:
            with env.open_data_directory(path) as directory:
                called = env.node_of(where.bootstrap_controller or where.bootstrap_server)
                nodes = [_node(broker, called) for broker in directory.brokers()]
        else:
            with where.open_kafka_cluster(env) as cluster:
                nodes = cluster.admin().nodes(fenced=include_fenced_brokers)
    shown = [node for node in nodes if include_fenced_brokers or not node.fenced]
    width = max([9, *(len(node.host) for node in shown)])
    _row(env, width, "ID", "HOST", "PORT", "RACK", *([] if of_controllers else ["STATE"]), "ENDPOINT_TYPE")
    for node in shown:
        state = [] if of_controllers else ["fenced" if node.fenced else "unfenced"]
        kind = "controller" if of_controllers else "broker"
        _row(env, width, str(node.id), node.host, str(node.port), node.rack or "null", *state, kind)


def _node(broker: BrokerDescription, called: tuple[str, int] | None) -> NodeDescription:
    fenced = not broker.running or len(broker.problems) == len(broker.log_dirs)
    host, port = called or (broker.log_dirs[0], -1)
    return NodeDescription(broker.id, host, port, fenced=fenced)


def _row(env: Env, width: int, id: str, host: str, *rest: str) -> None:
    """Source: ClusterTool#listEndpoints."""
    *middle, kind = rest
    env.out(" ".join([f"{id:<10}", f"{host:<{width}}", *(f"{cell:<10}" for cell in middle), f"{kind:<15}"]))


@cluster.command("unregister", epilog=examples("kafka-cluster unregister --id 3"))
@_connection
@click.option("--id", "-i", type=INTEGER, required=True, help="The broker to forget; it must hold no replica.")
@click.pass_obj
def unregister(env: Env, /, id: int, **connection: str | None) -> None:
    """Unregister a broker."""
    with failing_as(_named):
        where = _where(env, connection)
        if (path := where.directory(env)) is not None:
            with open_data_directory(path) as directory:
                directory.remove_broker(id)
        else:
            with where.open_kafka_cluster(env) as cluster:
                cluster.admin().unregister_broker(id)
    env.out(f"Broker {id} is no longer registered.")


def _named(error: Refusal | StoreError) -> CommandFailure:
    return CommandFailure(exception_line(error) if isinstance(error, StoreError) else str(error))


def _where(env: Env, connection: dict[str, str | None]) -> Connection:
    """What the options of ``_connection`` say, the deprecated one among them."""
    if connection["config"] is not None:
        env.out(
            "Option --config has been deprecated and will be removed in a future version. Use --command-config instead."
        )
    return Connection(
        connection["bootstrap_server"],
        connection["data_dir"],
        connection["command_config"] or connection["config"],
        connection["bootstrap_controller"],
    )
