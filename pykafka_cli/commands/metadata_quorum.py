"""``kafka-metadata-quorum``: who keeps the metadata, and how far they are.

Source: org.apache.kafka.tools.MetadataQuorumCommand of Kafka 4.3. A data directory's metadata is one SQLite database
that every process may change: the broker with the lowest number that can be used stands for its one keeper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.java.properties import load_properties
from pykafka_cli.java.text import whole
from pykafka_cli.java.uuid import uuid_bytes
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.argparse4j import INTEGER, ArgparseGroup
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options, failing_as, one_line
from pykafka_cli.tool.java_tables import pretty_table
from pykafka_cli.tool.options import examples
from pykafka_store.errors import StoreError
from pykafka_store.model import QuorumDescription, QuorumReplica

CONNECTION = "pykafka.connection"
"""Under this name the context of a subcommand has the Connection that the options before it say."""
HEADINGS = (
    "NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status",
)  # fmt: skip


@click.group(
    "metadata-quorum",
    short_help="Describe the metadata quorum's status.",
    cls=ArgparseGroup,
    epilog=examples(
        "kafka-metadata-quorum describe --status", "kafka-metadata-quorum describe --replication --human-readable"
    ),
)
@connection_options
@click.option(
    "--bootstrap-controller", metavar="HOST:PORT", help="A controller of the Kafka cluster to talk to instead."
)
@command_config_option
@click.pass_context
def metadata_quorum(
    ctx: click.Context,
    bootstrap_server: str | None,
    data_dir: str | None,
    bootstrap_controller: str | None,
    command_config: str | None,
) -> None:
    """This tool describes kraft metadata quorum status."""
    ctx.meta[CONNECTION] = Connection(bootstrap_server, data_dir, command_config, bootstrap_controller)


@metadata_quorum.command(
    "describe",
    epilog=examples("kafka-metadata-quorum describe --status", "kafka-metadata-quorum describe --replication"),
)
@click.option("--status", is_flag=True, help="A short summary of the quorum's status.")
@click.option("--replication", is_flag=True, help="How far each of its members is.")
@click.option("--human-readable", is_flag=True, help="Times as how long ago they were.")
@click.pass_context
def describe(ctx: click.Context, status: bool, replication: bool, human_readable: bool) -> None:
    """Describe the metadata quorum info."""
    env: Env = ctx.obj
    connection: Connection = ctx.meta[CONNECTION]
    path = connection.command_config
    if path is not None and not os.path.exists(path):
        raise CommandFailure(f"Properties file {path} does not exists!")
    if status and replication:
        raise CommandFailure("Only one of --status or --replication should be specified with describe sub-command")
    if status and human_readable:
        raise CommandFailure("The option --human-readable is only supported along with --replication")
    if not status and not replication:
        raise CommandFailure("One of --status or --replication must be specified with describe sub-command")
    with failing_as(one_line), connection.open(env) as cluster:
        found = cluster.admin().describe_quorum()
        if status:
            for line in _status(cluster.admin().cluster_id(), found, int(env.clock() * 1000)):
                env.out(line)
            return
    rows = list(_replication(found, int(env.clock() * 1000), human=human_readable))
    for line in pretty_table([HEADINGS, *rows]):
        env.out(line)


@metadata_quorum.command("add-controller", epilog=examples("kafka-metadata-quorum add-controller --help"))
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.pass_context
def add_controller(ctx: click.Context, dry_run: bool) -> None:
    """Add a controller to the KRaft controller cluster."""
    env: Env = ctx.obj
    connection: Connection = ctx.meta[CONNECTION]
    if connection.command_config is None:
        raise CommandFailure(
            "You must supply the configuration file of the controller you are adding when using add-controller."
        )
    with failing_as(_named):
        _refuse_directory(env, connection, "add-controller")
        properties = load_properties(connection.command_config)
        controller = _controller_of(properties)
        if not dry_run:
            with connection.open_kafka_cluster(env) as cluster:
                cluster.admin().add_voter(*controller)
    id, directory, endpoints = controller
    listed = ", ".join(f"{name}://{_in_url(host)}:{port}" for name, (host, port) in endpoints.items())
    deed = "DRY RUN of adding" if dry_run else "Added"
    env.out(f"{deed} controller {id} with directory id {directory} and endpoints: {listed}")


@metadata_quorum.command("remove-controller", epilog=examples("kafka-metadata-quorum remove-controller --help"))
@click.option("--controller-id", "-i", type=INTEGER, required=True, help="The controller.")
@click.option("--controller-directory-id", "-d", required=True, help="Its directory.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.pass_context
def remove_controller(ctx: click.Context, controller_id: int, controller_directory_id: str, dry_run: bool) -> None:
    """Remove a controller from the KRaft controller cluster."""
    env: Env = ctx.obj
    connection: Connection = ctx.meta[CONNECTION]
    if controller_id < 0:
        raise CommandFailure(f"Invalid negative --controller-id: {controller_id}")
    try:
        uuid_bytes(controller_directory_id)
    except ValueError as error:
        raise CommandFailure(f"Failed to parse --controller-directory-id: {error}") from None
    with failing_as(_named):
        _refuse_directory(env, connection, "remove-controller")
        if not dry_run:
            with connection.open_kafka_cluster(env) as cluster:
                cluster.admin().remove_voter(controller_id, controller_directory_id)
    deed = "DRY RUN of removing " if dry_run else "Removed "
    env.out(f"{deed} KRaft controller {controller_id} with directory id {controller_directory_id}")


def _named(error: Refusal | StoreError) -> CommandFailure:
    return CommandFailure(exception_line(error) if isinstance(error, StoreError) else str(error))


def _refuse_directory(env: Env, connection: Connection, command: str) -> None:
    if connection.directory(env) is not None:
        raise Refusal(f"{command} can't be honoured: a data directory has no controllers")


def _controller_of(properties: Mapping[str, str]) -> tuple[int, str, dict[str, tuple[str, int]]]:
    """Id, directory id and listeners of the controller whose server.properties these are. Raises Refusal.

    Source: MetadataQuorumCommand#getControllerId, #getMetadataDirectory, #getMetadataDirectoryId and
    #getControllerAdvertisedListeners.
    """
    sure = "Is this a valid controller configuration file?"
    if "node.id" not in properties:
        raise Refusal(f"node.id not found in configuration file. {sure}")
    id = whole(properties["node.id"])
    if id < 0:
        raise Refusal(f"node.id was negative in configuration file. {sure}")
    if "controller" not in properties.get("process.roles", ""):
        raise Refusal(f"process.roles did not contain 'controller' in configuration file. {sure}")
    place = properties.get("metadata.log.dir") or properties.get("log.dirs", "").strip().split(",")[0]
    if not place:
        raise Refusal(f"Neither metadata.log.dir nor log.dirs were found. {sure}")
    if not os.path.exists(meta := os.path.join(place, "meta.properties")):
        raise Refusal(f"Unable to read meta.properties from {place}")
    directory = load_properties(meta).get("directory.id")
    if directory is None:
        raise Refusal(f"No directory id found in {place}")
    if "controller.listener.names" not in properties:
        raise Refusal(f"controller.listener.names was not found. {sure}")
    known = {}
    for setting in ("listeners", "advertised.listeners"):
        for text in filter(None, properties.get(setting, "").split(",")):
            name, _, address = text.strip().partition("://")
            host, _, port = address.rpartition(":")
            known[name.upper()] = host.strip("[]") or "localhost", whole(port)
    endpoints = {}
    for name in (each.strip().upper() for each in properties["controller.listener.names"].split(",")):
        if name not in known:
            raise Refusal(f"Cannot find information about controller listener name: {name}")
        endpoints[name] = known[name]
    return id, directory, endpoints


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _status(cluster_id: str, quorum: QuorumDescription, now: int) -> Iterator[str]:
    """Source: MetadataQuorumCommand#handleDescribeStatus."""
    members = [*quorum.voters, *quorum.observers]
    last = min(members, key=lambda each: each.log_end_offset)
    behind = quorum.high_watermark - last.log_end_offset
    lag = max(0, now - last.last_caught_up_ms) if behind > 0 else 0
    yield f"ClusterId:              {cluster_id}"
    yield f"LeaderId:               {quorum.leader_id}"
    yield f"LeaderEpoch:            {quorum.leader_epoch}"
    yield f"HighWatermark:          {quorum.high_watermark}"
    yield f"MaxFollowerLag:         {max(0, behind)}"
    yield f"MaxFollowerLagTimeMs:   {lag}"
    yield f"CurrentVoters:          [{', '.join(map(_member, quorum.voters))}]"
    yield f"CurrentObservers:       [{', '.join(map(_member, quorum.observers))}]"


def _member(replica: QuorumReplica) -> str:
    endpoints = ", ".join(f'"{each}"' for each in replica.endpoints)
    listening = f', "endpoints": [{endpoints}]' if endpoints else ""
    return f'{{"id": {replica.id}, "directoryId": "{replica.directory_id}"{listening}}}'


def _replication(quorum: QuorumDescription, now: int, *, human: bool) -> Iterator[tuple[str, ...]]:
    """The leader first. Source: MetadataQuorumCommand#handleDescribeReplication."""

    def shown(at: int) -> str:
        return f"{now - at} ms ago" if human and at > 0 else str(at)

    def row(replica: QuorumReplica, status: str) -> tuple[str, ...]:
        lag = quorum.high_watermark - replica.log_end_offset
        times = shown(replica.last_fetch_ms), shown(replica.last_caught_up_ms)
        return str(replica.id), replica.directory_id, str(replica.log_end_offset), str(lag), *times, status

    yield from (row(each, "Leader") for each in quorum.voters if each.id == quorum.leader_id)
    yield from (row(each, "Follower") for each in quorum.voters if each.id != quorum.leader_id)
    yield from (row(each, "Observer") for each in quorum.observers)
