"""``kafka-cluster``: the cluster's id, its brokers, and how to forget one.

Source: org.apache.kafka.tools.ClusterTool of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pykafka_cli.admin_config import read_admin_config
from pykafka_cli.argparse4j import ArgparseGroup
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, UsageProblem
from pykafka_cli.kafka_log import exception_line
from pykafka_cli.options import connection_options, examples
from pykafka_cli.params import FILE
from pykafka_cli.properties import PropertiesError
from pykafka_store.api import Cluster, open_data_directory
from pykafka_store.errors import StoreError

_F = TypeVar("_F", bound=Callable[..., Any])


def _connection(command: _F) -> _F:
    command = click.option(
        "--command-config",
        "-c",
        metavar="FILE",
        type=FILE,
        help="Property file of the admin client. A data directory needs none of its settings.",
    )(command)
    command = click.option("--config", metavar="FILE", type=FILE, help="Deprecated: the same as --command-config.")(
        command
    )
    command = click.option(
        "--bootstrap-controller", "-C", metavar="HOST:PORT", help="Refused: librdkafka talks to brokers only."
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
    try:
        with _opened(env, connection) as opened:
            found = opened.admin().cluster_id()
    except (StoreError, PropertiesError, UsageProblem) as error:
        raise CommandFailure(str(error)) from None
    env.out(f"Cluster ID: {found}" if found else "No cluster ID found. The Kafka version is probably too old.")


@cluster.command("list-endpoints", epilog=examples("kafka-cluster list-endpoints"))
@_connection
@click.option("--include-fenced-brokers", is_flag=True, help="Brokers that are stopped or can't be used as well.")
@click.pass_obj
def list_endpoints(env: Env, /, include_fenced_brokers: bool, **connection: str | None) -> None:
    """List endpoints: of a data directory, the brokers' log directories."""
    try:
        address = _address(env, connection)
        if not address.startswith("file:"):
            raise CommandFailure(
                "librdkafka does not tell which brokers are fenced: use Apache Kafka's kafka-cluster list-endpoints"
            )
        with open_data_directory(address.removeprefix("file:")) as directory:
            brokers = directory.brokers()
    except (StoreError, PropertiesError, UsageProblem) as error:
        raise CommandFailure(str(error)) from None
    rows = [("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE")]
    for broker in brokers:
        fenced = not broker.running or len(broker.problems) == len(broker.log_dirs)
        if include_fenced_brokers or not fenced:
            state = "fenced" if fenced else "unfenced"
            rows.append((str(broker.id), broker.log_dirs[0], "-1", "null", state, "broker"))
    width = max(len(row[1]) for row in rows)
    for id, host, port, rack, state, kind in rows:
        env.out(f"{id:<10} {host:<{max(9, width)}} {port:<10} {rack:<10} {state:<10} {kind:<15}")


@cluster.command("unregister", epilog=examples("kafka-cluster unregister --id 3"))
@_connection
@click.option("--id", "-i", type=int, required=True, help="The broker to forget; it must hold no replica.")
@click.pass_obj
def unregister(env: Env, /, id: int, **connection: str | None) -> None:
    """Unregister a broker."""
    try:
        address = _address(env, connection)
        if not address.startswith("file:"):
            raise CommandFailure(
                "librdkafka has no request to unregister a broker: use Apache Kafka's kafka-cluster unregister"
            )
        with open_data_directory(address.removeprefix("file:")) as directory:
            directory.remove_broker(id)
    except StoreError as error:
        raise CommandFailure(exception_line(error)) from None
    except (PropertiesError, UsageProblem) as error:
        raise CommandFailure(str(error)) from None
    env.out(f"Broker {id} is no longer registered.")


def _address(env: Env, connection: dict[str, str | None]) -> str:
    if connection["config"] is not None:
        env.out(
            "Option --config has been deprecated and will be removed in a future version. Use --command-config instead."
        )
    if connection["bootstrap_controller"] is not None:
        raise CommandFailure(
            "--bootstrap-controller can't be honoured: librdkafka talks to brokers only (--bootstrap-server)"
        )
    return env.address(connection["bootstrap_server"], connection["data_dir"])


def _opened(env: Env, connection: dict[str, str | None]) -> Cluster:
    _address(env, connection)
    server, directory = connection["bootstrap_server"], connection["data_dir"]
    path = connection["command_config"] or connection["config"]
    config = None
    if path is not None:
        config = read_admin_config(env, path, address_named=server is not None or directory is not None)
    return env.open_cluster(server, directory, create=False, config=config)
