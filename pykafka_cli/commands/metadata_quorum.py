"""``kafka-metadata-quorum``: who keeps the metadata, and how far they are.

Source: org.apache.kafka.tools.MetadataQuorumCommand of Kafka 4.3. A data directory's metadata is one SQLite database
that every process may change: the broker with the lowest number that can be used stands for its one keeper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from pykafka_cli.admin_config import read_admin_config
from pykafka_cli.argparse4j import ArgparseGroup
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, UsageProblem
from pykafka_cli.options import connection_options, examples
from pykafka_cli.params import FILE
from pykafka_cli.properties import PropertiesError
from pykafka_store.api import Cluster
from pykafka_store.errors import StoreError
from pykafka_store.model import QuorumDescription, QuorumReplica

HEADINGS = (
    "NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status",
)  # fmt: skip


@click.group(
    "metadata-quorum",
    cls=ArgparseGroup,
    epilog=examples(
        "kafka-metadata-quorum describe --status", "kafka-metadata-quorum describe --replication --human-readable"
    ),
)
@connection_options
@click.option("--bootstrap-controller", metavar="HOST:PORT", help="Refused: librdkafka talks to brokers only.")
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.pass_context
def metadata_quorum(
    ctx: click.Context,
    bootstrap_server: str | None,
    data_dir: str | None,
    bootstrap_controller: str | None,
    command_config: str | None,
) -> None:
    """This tool describes kraft metadata quorum status."""
    ctx.meta["pykafka.connection"] = (bootstrap_server, data_dir, bootstrap_controller, command_config)


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
    _check_config(ctx)
    if status and replication:
        raise CommandFailure("Only one of --status or --replication should be specified with describe sub-command")
    if status and human_readable:
        raise CommandFailure("The option --human-readable is only supported along with --replication")
    if not status and not replication:
        raise CommandFailure("One of --status or --replication must be specified with describe sub-command")
    try:
        with _opened(ctx) as cluster:
            found = cluster.admin().describe_quorum()
            if status:
                for line in _status(cluster.admin().cluster_id(), found, int(env.clock() * 1000)):
                    env.out(line)
                return
    except (StoreError, PropertiesError, UsageProblem) as error:
        raise CommandFailure(str(error)) from None
    rows = list(_replication(found, int(env.clock() * 1000), human=human_readable))
    for line in _pretty([HEADINGS, *rows]):
        env.out(line)


@metadata_quorum.command("add-controller", epilog=examples("kafka-metadata-quorum add-controller --help"))
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.pass_context
def add_controller(ctx: click.Context, dry_run: bool) -> None:  # noqa: ARG001 - refused either way
    """Refused: controllers belong to a cluster of Apache Kafka's."""
    if ctx.meta["pykafka.connection"][3] is None:
        raise CommandFailure(
            "You must supply the configuration file of the controller you are adding when using add-controller."
        )
    raise CommandFailure(_no_controllers("add-controller"))


@metadata_quorum.command("remove-controller", epilog=examples("kafka-metadata-quorum remove-controller --help"))
@click.option("--controller-id", "-i", type=int, required=True, help="The controller.")
@click.option("--controller-directory-id", "-d", required=True, help="Its directory.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
def remove_controller(controller_id: int, controller_directory_id: str, dry_run: bool) -> None:  # noqa: ARG001
    """Refused: controllers belong to a cluster of Apache Kafka's."""
    if controller_id < 0:
        raise CommandFailure(f"Invalid negative --controller-id: {controller_id}")
    raise CommandFailure(_no_controllers("remove-controller"))


def _no_controllers(command: str) -> str:
    return (
        f"{command} can't be honoured: a data directory has no controllers, and for a cluster use Apache Kafka's "
        f"kafka-metadata-quorum {command}"
    )


def _check_config(ctx: click.Context) -> None:
    path = ctx.meta["pykafka.connection"][3]
    if path is not None and not os.path.exists(path):
        raise CommandFailure(f"Properties file {path} does not exists!")


def _opened(ctx: click.Context) -> Cluster:
    env: Env = ctx.obj
    server, directory, controller, path = ctx.meta["pykafka.connection"]
    if controller is not None:
        raise CommandFailure(
            "--bootstrap-controller can't be honoured: librdkafka talks to brokers only (--bootstrap-server)"
        )
    config = None
    if path is not None:
        config = read_admin_config(env, path, address_named=server is not None or directory is not None)
    return env.open_cluster(server, directory, create=False, config=config)


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
    return f'{{"id": {replica.id}, "directoryId": "{replica.directory_id}"}}'


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


def _pretty(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Source: ToolsUtils#prettyPrintTable: cells padded to their column, a tab behind each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "".join(f"{cell:<{width}}\t" for cell, width in zip(row, widths, strict=True))
