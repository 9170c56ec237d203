"""``kafka-storage``: make a data directory, look at one, make ids.

Source: kafka.tools.StorageTool and org.apache.kafka.metadata.storage.Formatter of Kafka 4.3. A server's configuration
file may name the directories (``log.dirs``): the first one is the data directory, any others are further log
directories of its broker, whose number is ``node.id``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import DIRECTORY, FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, QuietFailure, Refusal
from pykafka_cli.java.properties import load_properties
from pykafka_cli.tool.argparse4j import ArgparseGroup, only_one
from pykafka_cli.tool.feature_levels import (
    feature_dependencies,
    feature_level,
    known_version,
    name_and_level,
    version_mapping,
)
from pykafka_cli.tool.frame import failing_as, one_line
from pykafka_cli.tool.initial_controllers import check_kraft_version, quorum_of
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.server_properties import Server, find_from_now_on, server_of
from pykafka_store.features import KRAFT_VERSION, LATEST, METADATA_VERSION, SUPPORTED, levels_of, metadata_name
from pykafka_store.model import random_topic_id
from pykafka_store.open import format_data_directory
from pykafka_store.settings.static_configs import static_settings

if TYPE_CHECKING:
    from pykafka_store.access import ScramUpsertion

META = "meta.properties"
_FIRST_WITH_SCRAM = 11
"""The level of metadata.version 3.5-IV2."""


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
    server, _ = _server(env, config, data_dir)
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
        raise QuietFailure


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
@click.option(
    "--add-scram",
    "-S",
    metavar="CREDENTIAL",
    multiple=True,
    help="A user's credential: SCRAM-SHA-256=[name=alice,password=...], also iterations, salt, saltedpassword.",
)
@click.option("--ignore-formatted", "-g", is_flag=True, help="Leave a directory alone that is formatted already.")
@click.option(
    "--release-version", "-r", metavar="VERSION", help="A release of Kafka, from 3.3 on, whose features are shown."
)
@click.option("--feature", "-f", metavar="NAME=LEVEL", multiple=True, help="A feature's level, which is shown.")
@click.option("--standalone", "-s", is_flag=True, help="As for a controller of its own.")
@click.option("--no-initial-controllers", "-N", is_flag=True, help="As for a broker.")
@click.option(
    "--initial-controllers",
    "-I",
    metavar="LIST",
    help="The first controllers, ID@HOST:PORT:DIRECTORY,...; a directory has none.",
)
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
    only_one(
        click.get_current_context(),
        {
            "--standalone/-s": standalone,
            "--no-initial-controllers/-N": no_initial_controllers,
            "--initial-controllers/-I": initial_controllers is not None,
        },
    )
    server, properties = _server(env, config, data_dir, makes=True)
    with failing_as(one_line):
        if release_version is not None:
            known_version(release_version, unstable=False)
        given = dict(feature_level(each) for each in feature)
        quorum = quorum_of(server, standalone=standalone, none_yet=no_initial_controllers, listed=initial_controllers)
        levels = _levels(release_version, given)
        if config is not None:
            check_kraft_version(given.get(KRAFT_VERSION), quorum)
            levels[KRAFT_VERSION] = int(quorum.is_dynamic)
    first, *others = server.directories
    if os.path.exists(os.path.join(first, META)):
        _check_formatted(env, first, cluster_id, ignore=ignore_formatted)
        if config is not None:
            find_from_now_on(env, first)
        return
    with failing_as(one_line):
        credentials = [_credential(each, levels) for each in add_scram]
        format_data_directory(
            first, cluster_id, server.broker, others, static_settings(properties), levels, credentials
        )
    release = metadata_name(levels[METADATA_VERSION])
    env.out(f"Bootstrap metadata: {_bootstrap_metadata(levels, credentials)}")
    for directory in others:
        env.out(f"Formatting data directory {directory} with metadata.version {release}.")
    env.out(f"Formatting {quorum.directory} {first} with metadata.version {release}.")
    if config is not None:
        find_from_now_on(env, first)


def _bootstrap_metadata(levels: Mapping[str, int], credentials: Sequence[ScramUpsertion]) -> str:
    """The records that Kafka begins its metadata with, as Java shows them; what would check a password is left out."""
    features = [METADATA_VERSION, *sorted(levels.keys() - {METADATA_VERSION, KRAFT_VERSION})]
    records = [f"FeatureLevelRecord(name='{name}', featureLevel={levels[name]})" for name in features if levels[name]]
    records += [
        f"UserScramCredentialRecord(name='{each.user}', mechanism={int(each.mechanism)}, salt=(hidden), "
        f"storedKey=(hidden), serverKey=(hidden), iterations={each.iterations})"
        for each in credentials
    ]
    listed = ", ".join(f"ApiMessageAndVersion({record} at version 0)" for record in records)
    return (
        f"BootstrapMetadata(records=[{listed}], metadataVersionLevel={levels[METADATA_VERSION]}, source=format command)"
    )


def _credential(argument: str, levels: Mapping[str, int]) -> ScramUpsertion:
    """Raises Refusal, StoreError."""
    from pykafka_cli.tool.scram_arguments import parse

    if levels[METADATA_VERSION] < _FIRST_WITH_SCRAM:
        raise Refusal("SCRAM is only supported in metadata.version 3.5-IV2 or later.")
    return parse(argument)


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


def _levels(release: str | None, given: Mapping[str, int]) -> dict[str, int]:
    """Feature -> the level that a directory is formatted with. Source: Formatter#calculateEffectiveFeatureLevels.
    Raises Refusal.
    """
    for name, level in given.items():
        if name not in SUPPORTED:
            known = ", ".join(sorted(SUPPORTED.keys() - {METADATA_VERSION}))
            raise Refusal(f"Unsupported feature: {name}. Supported features are: {known}")
        if not SUPPORTED[name][0] <= level <= SUPPORTED[name][1]:
            raise Refusal(f"No feature:{name} with feature level {level}")
    if release is not None and METADATA_VERSION in given:
        raise Refusal("Use --release-version instead of --feature metadata.version=X to avoid ambiguity.")
    _, level = known_version(LATEST if release is None else release, unstable=False)
    level = given.get(METADATA_VERSION, level)
    return {METADATA_VERSION: level, **dict(levels_of(level)), **given}


@storage.command("random-uuid", epilog=examples("kafka-storage random-uuid"))
@click.pass_obj
def random_uuid(env: Env) -> None:
    """Print a random UUID."""
    env.out(random_topic_id())


@storage.command("version-mapping", epilog=examples("kafka-storage version-mapping"))
@click.option("--release-version", "-r", metavar="VERSION", help="A release, such as 4.0; the latest without it.")
@click.pass_obj
def mapping(env: Env, release_version: str | None) -> None:
    """Look up the features of a release."""
    with failing_as(one_line):
        for line in version_mapping(release_version):
            env.out(line)


@storage.command(
    "feature-dependencies", epilog=examples("kafka-storage feature-dependencies --feature group.version=1")
)
@click.option("--feature", "-f", metavar="NAME=LEVEL", multiple=True, required=True, help="May be repeated.")
@click.pass_obj
def dependencies(env: Env, feature: tuple[str, ...]) -> None:
    """Look up dependencies for a given feature version."""
    with failing_as(one_line):
        for each in feature:
            named = name_and_level(each)
            for line in feature_dependencies(
                [named], lambda name, level: f"Feature level {level} is not supported for feature {name}"
            ):
                env.out(line)


def _server(
    env: Env, config: str | None, data_dir: str | None, *, makes: bool = False
) -> tuple[Server, dict[str, str]]:
    """The server that is meant, and the properties of its file."""
    if config is None:
        return Server([env.data_directory(data_dir)], 0), {}
    if data_dir is not None:
        raise CommandFailure("--config and --data-dir both name directories: leave one out")
    properties = load_properties(config)
    return server_of(env, properties, makes=makes), properties
