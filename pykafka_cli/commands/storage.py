"""``kafka-storage``: make a data directory, look at one, make ids.

Source: kafka.tools.StorageTool and org.apache.kafka.metadata.storage.Formatter of Kafka 4.3. A server's configuration
file may name the directories (``log.dirs``): the first one is the data directory, any others are further log
directories of its broker, whose number is ``node.id``.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import click

from pykafka_cli.argparse4j import ArgparseGroup
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.options import examples
from pykafka_cli.params import DIRECTORY, FILE
from pykafka_cli.properties import PropertiesError, load_properties
from pykafka_store.api import format_data_directory
from pykafka_store.errors import StoreError
from pykafka_store.model import random_topic_id

RELEASE = "4.3-IV0"
RELEASES = {RELEASE, "4.3"}
"""The ways to name it."""
FEATURES = (
    ("metadata.version", "30"), ("kraft.version", "1"), ("transaction.version", "2"),
    ("group.version", "1"), ("eligible.leader.replicas.version", "1"), ("share.version", "1"), ("streams.version", "1"),
)  # fmt: skip
META = "meta.properties"


class _Server(NamedTuple):
    """What is made or looked at: where, and which broker it is."""

    directories: list[str]
    broker: int
    is_controller_without_voters: bool = False


_config = click.option(
    "--config", "-c", metavar="FILE", type=FILE, help="A Kafka server's configuration: log.dirs and node.id count."
)
_data_dir = click.option(
    "--data-dir",
    metavar="DIR",
    type=DIRECTORY,
    help="The data directory, instead of --config; pykafka's own. Without both: $PYKAFKA_DATA_DIR, else a directory of "
    "each user.",
)


@click.group(
    "storage",
    cls=ArgparseGroup,
    epilog=examples(
        "kafka-storage format --cluster-id $(kafka-storage random-uuid) --data-dir ./kafka",
        "kafka-storage info --data-dir ./kafka",
    ),
)
def storage() -> None:
    """The Kafka storage tool."""


@storage.command(
    "info", epilog=examples("kafka-storage info --data-dir ./kafka", "kafka-storage info -c server.properties")
)
@_config
@_data_dir
@click.pass_obj
def info(env: Env, config: str | None, data_dir: str | None) -> None:
    """Get information about the Kafka log directories on this node."""
    server = _server(env, config, data_dir)
    problems: list[str] = []
    there: list[str] = []
    metadata: dict[str, str] = {}
    for directory in server.directories:
        if not os.path.exists(directory):
            problems.append(f"{directory} does not exist")
        elif not os.path.isdir(directory):
            problems.append(f"{directory} is not a directory")
        else:
            there.append(directory)
            if not os.path.exists(os.path.join(directory, META)):
                problems.append(f"{directory} is not formatted.")
            else:
                found = load_properties(os.path.join(directory, META))
                if metadata and metadata["cluster.id"] != found.get("cluster.id"):
                    problems.append("Mismatched cluster IDs between storage directories.")
                metadata = metadata or found
    _listed(env, "Found log director", "y:", "ies:", there)
    if metadata:
        env.out(f"Found metadata: {{{', '.join(f'{key}={metadata[key]}' for key in sorted(metadata))}}}\n")
    _listed(env, "Found problem", ":", "s:", problems)
    if problems:
        raise click.exceptions.Exit(1)


def _listed(env: Env, what: str, one: str, many: str, lines: list[str]) -> None:
    if lines:
        env.out(what + (one if len(lines) == 1 else many))
        for line in lines:
            env.out(f"  {line}")
        env.out("")


@storage.command(
    "format",
    epilog=examples("kafka-storage format -t $(kafka-storage random-uuid) --data-dir ./kafka"),
)
@_config
@click.option("--cluster-id", "-t", metavar="ID", required=True, help="The cluster's id (kafka-storage random-uuid).")
@click.option("--add-scram", "-S", metavar="CREDENTIAL", multiple=True, help="Refused: a directory has no users.")
@click.option("--ignore-formatted", "-g", is_flag=True, help="Leave a directory alone that is formatted already.")
@click.option("--release-version", "-r", metavar="VERSION", help=f"Only {RELEASE}, or 4.3, which is what there is.")
@click.option("--feature", "-f", metavar="NAME=LEVEL", multiple=True, help="Refused but for the levels there are.")
@click.option("--standalone", "-s", is_flag=True, help="As for a controller of its own.")
@click.option("--no-initial-controllers", "-N", is_flag=True, help="As for a broker.")
@click.option("--initial-controllers", "-I", metavar="LIST", help="Refused: a directory has no controllers.")
@_data_dir
@click.pass_obj
def format(
    env: Env,
    config: str | None,
    cluster_id: str,
    add_scram: tuple[str, ...],
    ignore_formatted: bool,
    release_version: str | None,
    feature: tuple[str, ...],
    standalone: bool,
    no_initial_controllers: bool,
    initial_controllers: str | None,
    data_dir: str | None,
) -> None:
    """Format the Kafka log directories on this node."""
    if add_scram:
        raise CommandFailure("--add-scram can't be honoured: a data directory has no users")
    if initial_controllers is not None:
        raise CommandFailure("--initial-controllers can't be honoured: a data directory has no controllers")
    if release_version not in {None, *RELEASES}:
        raise CommandFailure(f"--release-version {release_version} can't be honoured: there is only {RELEASE}")
    levels = dict(FEATURES)
    for each in feature:
        name, _, level = each.partition("=")
        if levels.get(name) != level:
            raise CommandFailure(
                f"--feature {each} can't be honoured: kafka-storage version-mapping lists what there is"
            )
    if standalone and no_initial_controllers:
        raise CommandFailure(
            "kafka-storage: error: argument --no-initial-controllers/-N: not allowed with argument --standalone/-s"
        )
    server = _server(env, config, data_dir)
    if server.is_controller_without_voters and not (standalone or no_initial_controllers):
        raise CommandFailure(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: "
            "--standalone, --initial-controllers, or --no-initial-controllers."
        )
    first, *others = server.directories
    if os.path.exists(os.path.join(first, META)):
        _check_formatted(env, first, cluster_id, ignore=ignore_formatted)
        return
    try:
        format_data_directory(first, cluster_id, server.broker, others)
    except StoreError as error:
        raise CommandFailure(str(error)) from None
    for directory in others:
        env.out(f"Formatting data directory {directory} with metadata.version {RELEASE}.")
    env.out(f"Formatting metadata directory {first} with metadata.version {RELEASE}.")


def _check_formatted(env: Env, directory: str, cluster_id: str, *, ignore: bool) -> None:
    path = os.path.join(directory, META)
    found = load_properties(path).get("cluster.id")
    if found != cluster_id:
        raise CommandFailure(f"Invalid cluster.id in: {path}. Expected {cluster_id}, but read {found}")
    if not ignore:
        raise CommandFailure(
            f"Log directory {directory} is already formatted. Use --ignore-formatted to ignore this directory and "
            "format the others."
        )
    env.out("All of the log directories are already formatted.")


@storage.command("random-uuid", epilog=examples("kafka-storage random-uuid"))
@click.pass_obj
def random_uuid(env: Env) -> None:
    """Print a random UUID."""
    env.out(random_topic_id())


@storage.command("version-mapping", epilog=examples("kafka-storage version-mapping"))
@click.option("--release-version", "-r", metavar="VERSION", help=f"Only {RELEASE}, or 4.3, which is what there is.")
@click.pass_obj
def version_mapping(env: Env, release_version: str | None) -> None:
    """Look up the features of a release."""
    if release_version not in {None, *RELEASES}:
        raise CommandFailure(
            f"Unknown release version '{release_version}'. Supported versions are: {RELEASE} to {RELEASE}"
        )
    for name, level in FEATURES:
        release = f" ({release_version or RELEASE})" if name == "metadata.version" else ""
        env.out(f"{name}={level}{release}")


def _server(env: Env, config: str | None, data_dir: str | None) -> _Server:
    if config is None:
        return _Server([env.address(None, data_dir).removeprefix("file:")], 0)
    if data_dir is not None:
        raise CommandFailure("--config and --data-dir both name directories: leave one out")
    try:
        found = load_properties(config)
    except PropertiesError as error:
        raise CommandFailure(str(error)) from None
    listed = found.get("log.dirs", found.get("log.dir", "/tmp/kafka-logs"))  # noqa: S108 - Kafka's default
    directories = [os.path.abspath(path.strip()) for path in listed.split(",") if path.strip()]
    if not directories:
        raise CommandFailure("No directories specified.")
    broker = found.get("node.id", found.get("broker.id", "0"))
    if not broker.isdigit():
        raise CommandFailure(f"Invalid value {broker} for configuration node.id: it must be a number from 0 on")
    roles = {role.strip() for role in found.get("process.roles", "").split(",")}
    lacks_voters = "controller" in roles and not found.get("controller.quorum.voters")
    return _Server(directories, int(broker), lacks_voters)
