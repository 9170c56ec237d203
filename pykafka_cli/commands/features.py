"""``kafka-features``: the feature flags of a cluster.

Source: org.apache.kafka.tools.FeatureCommand of Kafka 4.3. Texts and the order of checks are that file's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.tool.argparse4j import TerseGroup
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.feature_levels import feature_dependencies, feature_level, known_version, version_mapping
from pykafka_cli.tool.frame import command_config_option, connection_options, failing_as, one_line
from pykafka_cli.tool.options import examples
from pykafka_store.features import METADATA_VERSION, FeatureUpdate, UpgradeType, levels_of, metadata_name

if TYPE_CHECKING:
    from pykafka_store.api import Admin

CONNECTION = "pykafka.connection"
"""Under this name the context of a subcommand has the Connection that the options before it say."""


@click.group(
    "features",
    cls=TerseGroup,
    epilog=examples("kafka-features describe", "kafka-features version-mapping --release-version 4.0"),
)
@connection_options
@click.option("--bootstrap-controller", metavar="HOST:PORT", help="A controller of the cluster to talk to instead.")
@command_config_option
@click.pass_context
def features(
    ctx: click.Context,
    bootstrap_server: str | None,
    data_dir: str | None,
    bootstrap_controller: str | None,
    command_config: str | None,
) -> None:
    """This tool manages feature flags in Kafka.

    Those of a directory are kept and shown; nothing in it depends on them.
    """
    if bootstrap_server is not None and bootstrap_controller is not None:
        raise TerseGroup.failure("argument --bootstrap-controller: not allowed with argument --bootstrap-server")
    if command_config is not None and not os.path.exists(command_config):
        raise CommandFailure(command_config)
    ctx.meta[CONNECTION] = Connection(bootstrap_server, data_dir, command_config, bootstrap_controller)


@contextmanager
def _admin(ctx: click.Context) -> Iterator[Admin]:
    with failing_as(one_line), ctx.meta[CONNECTION].open(ctx.obj) as cluster:
        yield cluster.admin()


@features.command("describe", epilog=examples("kafka-features describe"))
@click.pass_context
def describe(ctx: click.Context) -> None:
    """Describes the current active feature flags."""
    env: Env = ctx.obj
    with _admin(ctx) as admin:
        found = admin.describe_features()
    epoch = "-" if found.epoch is None else found.epoch
    for name, (lowest, highest) in sorted(found.supported.items()):
        levels = (_level(name, level) for level in (lowest, highest, found.finalized.get(name, 0)))
        titles = ("SupportedMinVersion", "SupportedMaxVersion", "FinalizedVersionLevel")
        columns = "".join(f"{title}: {level:<17}" for title, level in zip(titles, levels, strict=True))
        env.out(f"Feature: {name:<42}{columns}Epoch: {epoch}")


def _level(feature: str, level: int) -> str:
    if feature == METADATA_VERSION:
        return metadata_name(level) or f"UNKNOWN {level}"
    return str(level)


_metadata = click.option("--metadata", metavar="VERSION", help="Deprecated: the level of metadata.version, by name.")
_release = click.option("--release-version", metavar="VERSION", help="Update all features to those of a release.")
_feature = click.option(
    "--feature", metavar="NAME=LEVEL", multiple=True, help="A feature and its level; may be repeated."
)
_unsafe = click.option("--unsafe", is_flag=True, help="Even if that may destroy metadata.")
_dry_run = click.option("--dry-run", is_flag=True, help="Validate this, but do not perform it.")


@features.command("upgrade", epilog=examples("kafka-features upgrade --release-version 4.3"))
@_metadata
@_release
@_feature
@_dry_run
@click.pass_context
def upgrade(
    ctx: click.Context, metadata: str | None, release_version: str | None, feature: tuple[str, ...], dry_run: bool
) -> None:
    """Upgrade one or more feature flags."""
    with failing_as(one_line):
        updates = _updates(ctx.obj, UpgradeType.UPGRADE, metadata, release_version, feature)
    _update(ctx, "upgrade", updates, dry_run=dry_run)


@features.command("downgrade", epilog=examples("kafka-features downgrade --feature group.version=0 --dry-run"))
@_metadata
@_release
@_feature
@_unsafe
@_dry_run
@click.pass_context
def downgrade(
    ctx: click.Context,
    metadata: str | None,
    release_version: str | None,
    feature: tuple[str, ...],
    unsafe: bool,
    dry_run: bool,
) -> None:
    """Downgrade one or more feature flags."""
    with failing_as(one_line):
        updates = _updates(ctx.obj, _downgrade(unsafe), metadata, release_version, feature)
    _update(ctx, "downgrade", updates, dry_run=dry_run)


@features.command("disable", epilog=examples("kafka-features disable --feature streams.version"))
@click.option("--feature", metavar="NAME", multiple=True, help="A feature flag to disable; may be repeated.")
@_unsafe
@_dry_run
@click.pass_context
def disable(ctx: click.Context, feature: tuple[str, ...], unsafe: bool, dry_run: bool) -> None:
    """Disable one or more feature flags. This is the same as downgrading the version to zero."""
    updates: dict[str, FeatureUpdate] = {}
    with failing_as(one_line):
        for name in feature:
            _add(updates, name, FeatureUpdate(0, _downgrade(unsafe)))
    _update(ctx, "disable", updates, dry_run=dry_run)


@features.command("version-mapping", epilog=examples("kafka-features version-mapping --release-version 4.0"))
@click.option("--release-version", metavar="VERSION", help="A release, such as 4.0 or 4.0-IV3; the latest without it.")
@click.pass_obj
def mapping(env: Env, release_version: str | None) -> None:
    """Look up the corresponding features for a given metadata version."""
    with failing_as(one_line):
        for line in version_mapping(release_version):
            env.out(line)


@features.command(
    "feature-dependencies", epilog=examples("kafka-features feature-dependencies --feature group.version=1")
)
@click.option("--feature", metavar="NAME=LEVEL", multiple=True, required=True, help="May be repeated.")
@click.pass_obj
def dependencies(env: Env, feature: tuple[str, ...]) -> None:
    """Look up dependencies for a given feature version."""
    with failing_as(one_line):
        for each in feature:
            for line in feature_dependencies(
                [feature_level(each)], lambda name, level: f"No feature:{name} with feature level {level}"
            ):
                env.out(line)


def _downgrade(unsafe: bool) -> UpgradeType:
    return UpgradeType.UNSAFE_DOWNGRADE if unsafe else UpgradeType.SAFE_DOWNGRADE


def _updates(
    env: Env, kind: UpgradeType, metadata: str | None, release: str | None, features: tuple[str, ...]
) -> dict[str, FeatureUpdate]:
    """What the options ask for. Source: FeatureCommand#handleUpgradeOrDowngrade. Raises Refusal."""
    updates: dict[str, FeatureUpdate] = {}
    if release is not None:
        if metadata is not None or features:
            raise Refusal("Can not specify `release-version` with other feature flags.")
        _, level = known_version(release)
        _add(updates, METADATA_VERSION, _checked(level, kind))
        for name, own in levels_of(level):
            if own or kind is not UpgradeType.UPGRADE:
                _add(updates, name, _checked(own, kind))
        return updates
    if metadata is not None:
        env.out(" `metadata` flag is deprecated and may be removed in a future release.")
        _add(updates, METADATA_VERSION, _checked(known_version(metadata)[1], kind))
    for each in features:
        name, level = feature_level(each)
        _add(updates, name, _checked(level, kind))
    return updates


def _add(updates: dict[str, FeatureUpdate], name: str, update: FeatureUpdate) -> None:
    if name in updates:
        raise Refusal(f"Feature {name} was specified more than once.")
    updates[name] = update


def _checked(level: int, kind: UpgradeType) -> FeatureUpdate:
    """Source: org.apache.kafka.clients.admin.FeatureUpdate."""
    if level == 0 and kind is UpgradeType.UPGRADE:
        raise Refusal(
            "The upgradeType flag should be set to SAFE_DOWNGRADE or UNSAFE_DOWNGRADE when the provided "
            f"maxVersionLevel:{level} is < 1."
        )
    if level < 0:
        raise Refusal("Cannot specify a negative version level.")
    return FeatureUpdate(level, kind)


def _update(ctx: click.Context, deed: str, updates: Mapping[str, FeatureUpdate], *, dry_run: bool) -> None:
    env: Env = ctx.obj
    if not updates:
        raise CommandFailure(f"You must specify at least one feature to {deed}")
    with _admin(ctx) as admin:
        answers = admin.update_features(updates, validate_only=dry_run)
    failures = 0
    for name, error in sorted(answers.items()):
        level = "" if deed == "disable" else f" to {updates[name].level}"
        if error is None:
            env.out(f"{name} {'can be' if dry_run else 'was'} {deed}d{level}.")
        else:
            failures += 1
            env.out(f"{'Can' if dry_run else 'Could'} not {deed} {name}{level}. {error}")
    if failures:
        raise CommandFailure(f"{failures} out of {len(updates)} operation(s) failed.")
