"""``kafka-configs``: describe and change the settings of topics, brokers and groups; the other kinds of entities as far
as a directory has any.

Source: org.apache.kafka.tools.ConfigCommand (kafka.admin.ConfigCommand) of Kafka 4.3. Checks, texts and their order
are that file's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.options import (
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    UsageProblem,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE, TOPIC
from pykafka_cli.properties import PropertiesError, load_properties
from pykafka_store.configs import SETTINGS
from pykafka_store.errors import InvalidTopicError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.format.names import check_topic_name
from pykafka_store.model import ConfigDescription, ConfigKind, ConfigResource

if TYPE_CHECKING:
    from pykafka_store.api import Admin

ENTITY_TYPES = ("topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers")
"""In Kafka's order, which its messages show."""
FLAGS = {
    "topic": "topics",
    "client": "clients",
    "user": "users",
    "broker": "brokers",
    "broker-logger": "broker-loggers",
    "ip": "ips",
    "client-metrics": "client-metrics",
    "group": "groups",
}
"""Options that give an entity's type and name at once."""
DEFAULT_FLAGS = {
    "client-defaults": "clients",
    "user-defaults": "users",
    "broker-defaults": "brokers",
    "ip-defaults": "ips",
}
RESOURCES: Mapping[str, ConfigKind] = {"topics": "topic", "brokers": "broker", "groups": "group"}
"""The types whose settings are kept, as they are called one by one."""
WITH_DEFAULTS = ("users", "clients", "brokers", "ips")
"""The types that have an entity for all others, whose name is empty here."""
BAD_FORMAT = (
    'requirement failed: Invalid entity config: all configs to be added must be in the format "key=val" or  '
    '"key=[val1,val2]" to group values which contain commas.'
)

NOT_KEPT = {
    "clients": "quotas: there is no broker to throttle a client",
    "users": "users, nor quotas or credentials for them: who may read its files may use it",
    "ips": "connections that could be limited",
    "broker-loggers": "broker that logs",
    "client-metrics": "metrics of clients",
}
"""Why a directory can't honour a change: ``a data directory has no …``."""


class Refusal(Exception):  # noqa: N818 - the user's mistake, in Kafka's words
    """One line on stderr, exit 1."""


class Entity(NamedTuple):
    """What is described or changed. ``names`` of several types pair with them; an empty one is the default."""

    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def type(self) -> str:
        return self.types[0]

    @property
    def name(self) -> str | None:
        return self.names[0] if self.names else None


class ConfigsCommand(KafkaCommand):
    """Keeps the words of the command line: the tool repeats them where the cluster refuses."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = " ".join(args)
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
@click.option(
    "--bootstrap-controller", metavar="HOST:PORT", help="Not for a data directory, which has no controller to ask."
)
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.option("--alter", is_flag=True, help="Change the settings of the entity.")
@click.option("--describe", is_flag=True, help="List the settings of the entity that were set.")
@click.option("--all", is_flag=True, help="With --describe: the defaults as well.")
@click.option(
    "--entity-type",
    metavar="TYPE",
    multiple=True,
    type=click.Choice(ENTITY_TYPES),
    help="topics, clients, users, brokers, ips, client-metrics, groups or broker-loggers. A data directory keeps "
    "settings of topics, brokers and groups.",
)
@click.option("--entity-name", metavar="NAME", multiple=True, help="The name of the entity.")
@click.option("--entity-default", is_flag=True, help="The default for all clients, users, brokers or ips.")
@click.option(
    "--add-config",
    metavar="KEY=VALUE,...",
    help="Settings to make. Square brackets group a value that contains commas: k1=v1,k2=[v1,v2],k3=v3. Those of "
    "topics: " + ", ".join(sorted(name for name in SETTINGS if not name.startswith("internal."))) + ".",
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
    try:
        entity = _checked_entity(options)
        if options.has("bootstrap-controller"):
            raise Refusal(
                "--bootstrap-controller can't be honoured: a data directory has no controller; use --bootstrap-server "
                "or --data-dir"
            )
        check_admin_config(env, options)
        address = env.address(options.maybe_text("bootstrap-server"), options.maybe_text("data-dir"))
        if entity.type not in RESOURCES and not address.startswith("file:"):
            raise Refusal(
                f"--entity-type {','.join(entity.types)} can't be honoured for a Kafka cluster: of its settings, those "
                "of topics, brokers and groups are described and changed here; use Kafka's own kafka-configs"
            )
        with open_cluster(env, options) as cluster:
            if options.has("alter"):
                _alter(env, options, cluster.admin(), entity, ctx.meta["words"])
            else:
                _describe(env, options, cluster.admin(), entity, ctx.meta["words"])
    except (Refusal, StoreError, OptionProblem, PropertiesError) as error:
        raise CommandFailure(str(error)) from None


# -------------------------------------------------------------------------------------------------------- the options


def _checked_entity(options: Options) -> Entity:
    """Source: ConfigCommandOptions#checkArgs."""
    if options.has("alter") == options.has("describe"):
        raise UsageProblem("Command must include exactly one action: --describe, --alter")
    for given, other in (("describe", "add-config"), ("describe", "delete-config")):
        if options.has(given) and options.has(other):
            raise UsageProblem(f'Option "[{given}]" can\'t be used with option "[{other}]"')
    flags = {name: options.maybe_text(name) or "" for name in FLAGS if options.has(name)}
    default_flags = [name for name in DEFAULT_FLAGS if options.has(name)]
    types = [
        *options.texts("entity-type"),
        *(FLAGS[name] for name in flags),
        *(DEFAULT_FLAGS[name] for name in default_flags),
    ]
    twice = [kind for index, kind in enumerate(types) if kind in types[:index]]
    if twice:
        raise Refusal(f"Duplicate entity type(s) specified: {','.join(twice)}")
    for kind in types:
        if kind not in ENTITY_TYPES:
            raise Refusal(
                f"Invalid entity type {kind}, the entity type must be one of {', '.join(ENTITY_TYPES)} with a "
                "--bootstrap-server or --bootstrap-controller argument"
            )
    if not types:
        raise Refusal("At least one entity type must be specified")
    if len(types) > 1 and set(types) != {"users", "clients"}:
        raise Refusal("Only 'users' and 'clients' entity types may be specified together")
    given_names, default = options.texts("entity-name"), options.has("entity-default")
    if (options.texts("entity-type") or given_names or default) and (flags or default_flags):
        raise Refusal("--entity-{type,name,default} should not be used in conjunction with specific entity flags")
    if options.has("bootstrap-server") and options.has("bootstrap-controller"):
        raise Refusal("Only one of --bootstrap-server or --bootstrap-controller can be specified")
    names = [*given_names, *([""] if default else []), *flags.values(), *("" for _ in default_flags)]
    _check_names(options, types, names, default=default)
    return Entity(tuple(types), tuple(names))


def _check_names(options: Options, types: list[str], names: list[str], *, default: bool) -> None:
    named = any(names)
    joined = ",".join(types)
    if named and types[0] in ("brokers", "broker-loggers"):
        for name in filter(None, names):
            if not re.fullmatch(r"[+-]?[0-9]+", name) or not -(1 << 31) <= int(name) < 1 << 31:
                raise Refusal(f"The entity name for {types[0]} must be a valid integer broker id, but it is: {name}")
    if named and "ips" in types:
        for name in filter(None, names):
            if not _is_host(name):
                raise Refusal(f"The entity name for ips must be a valid IP or resolvable host, but it is: {name}")
    has_defaults = any(kind in WITH_DEFAULTS for kind in types)
    if options.has("describe"):
        if not has_defaults and default:
            raise Refusal(f"--entity-default must not be specified with --describe of {joined}")
        if "broker-loggers" in types and not named:
            raise Refusal(f"An entity name must be specified with --describe of {joined}")
        if types[0] in ("users", "clients") and len(names) > len(types):
            raise Refusal("More entity names specified than entity types")
    if options.has("alter"):
        if has_defaults:
            if not names:
                raise Refusal(
                    "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips"
                )
        elif not named:
            raise Refusal(f"An entity name must be specified with --alter of {joined}")
        adding = [name for name in ("add-config", "add-config-file") if options.has(name)]
        if len(adding) == 2:
            raise Refusal("Only one of --add-config or --add-config-file must be specified")
        if not adding and not options.has("delete-config"):
            raise Refusal(
                "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"
            )
        if len(names) != len(types):  # of several names all but the first would be passed over
            raise Refusal("An entity name must be specified for every entity type")


def _is_host(name: str) -> bool:
    import socket

    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True


def parse_additions(text: str) -> dict[str, str]:
    """``--add-config``. Source: ConfigCommand#parseConfigsToBeAdded: split at commas and equal signs outside of square
    brackets, which are then taken off. A later value wins.
    """
    found = {}
    for part in _split(text, r",(?=[^\]]*(?:\[|$))"):
        pair = re.split(r"\s*=(?=[^\]]*(?:\[|$))", part)
        if len(pair) != 2:
            raise Refusal(BAD_FORMAT)
        key, value = pair[0].strip(), re.sub(r"\[?\]?", "", pair[1]).strip()
        found[key] = value
    _check_keys(found)
    return found


def _split(text: str, pattern: str) -> list[str]:
    """Java's String.split: empty parts at the end don't count, unless the whole text is empty."""
    parts = re.split(pattern, text)
    while text and parts and not parts[-1]:
        parts.pop()
    return parts


def _check_keys(keys: Iterable[str]) -> None:
    for key in keys:
        if not re.fullmatch(r"[a-zA-Z0-9._-]*", key):
            raise Refusal(f"Invalid character found for config key: {key}")


def _deletions(options: Options) -> list[str]:
    parts = [part.strip() for text in options.texts("delete-config") for part in text.split(",")]
    return [part for part in parts if part]


# ------------------------------------------------------------------------------------------------------------ changing


def _alter(env: Env, options: Options, admin: Admin, entity: Entity, words: str) -> None:
    path = options.maybe_text("add-config-file")
    if path is not None:
        try:
            changes = load_properties(path)
        except PropertiesError:
            if os.path.isdir(path or "."):
                raise _refused(words, "java.io.IOException: Is a directory") from None
            raise _refused(words, f"java.nio.file.NoSuchFileException: {path}") from None
        _check_keys(changes)
    else:
        addition = options.maybe_text("add-config")
        changes = {} if addition is None else parse_additions(addition)
    deletions = _deletions(options)
    if entity.type not in RESOURCES:
        option = next((name for name in ("add-config", "add-config-file") if options.has(name)), "delete-config")
        raise Refusal(
            f"--{option} can't be honoured for {','.join(entity.types)}: a data directory has no "
            f"{NOT_KEPT[entity.type]}"
        )
    assert entity.name is not None
    kind = RESOURCES[entity.type]
    try:
        admin.incremental_alter_configs(ConfigResource(kind, entity.name), changes, deletions)
    except StoreError as error:
        what = f"org.apache.kafka.common.errors.{error.kafka_name}: {error}"
        raise _refused(words, f"java.util.concurrent.ExecutionException: {what}") from None
    if entity.name:
        env.out(f"Completed updating config for {kind} {entity.name}.")
    else:
        env.out("Completed updating default config for brokers in the cluster.")


def _refused(words: str, what: str) -> CommandFailure:
    return CommandFailure(f"Error while executing config command with args '{words}'\n{what}")


# ---------------------------------------------------------------------------------------------------------- describing


def _describe(env: Env, options: Options, admin: Admin, entity: Entity, words: str) -> None:
    everything = options.has("all")
    match entity.type:
        case "topics":
            _describe_topics(env, admin, entity.name, everything, words)
        case "brokers":
            _describe_brokers(env, admin, entity.name, everything)
        case "groups":
            _describe_groups(env, admin, entity.name, everything)
        case "client-metrics":
            if entity.name:
                env.out(f"The client-metric '{entity.name}' doesn't exist and doesn't have dynamic config.")
        case "broker-loggers":
            raise Refusal(
                f"--entity-type broker-loggers can't be honoured: a data directory has no {NOT_KEPT[entity.type]}"
            )
        case _:
            pass  # there are no quotas and no credentials, and of none nothing is printed


def _describe_topics(env: Env, admin: Admin, name: str | None, everything: bool, words: str) -> None:
    if name is not None:
        try:
            check_topic_name(name)
        except InvalidTopicError as error:
            raise Refusal(str(error)) from None
    names = [name] if name is not None else [listing.name for listing in admin.list_topics()]
    for each in names:
        try:
            found = admin.describe_configs(ConfigResource("topic", each))
        except UnknownTopicOrPartitionError as error:
            if name is not None and everything:  # Kafka's tool looks whether it is there without --all only
                env.out(f"{_which(everything)} configs for topic {each} are:")
                what = f"org.apache.kafka.common.errors.{error.kafka_name}: "
                raise _refused(words, f"java.util.concurrent.ExecutionException: {what}") from None
            if name is not None:
                env.out(f"The topic '{name}' doesn't exist and doesn't have dynamic config.")
            continue  # else deleted since it was listed
        shown = [entry for entry in found if everything or entry.source == "DYNAMIC_TOPIC_CONFIG"]
        _show(env, f"{_which(everything)} configs for topic {each} are:", shown)


def _describe_brokers(env: Env, admin: Admin, name: str | None, everything: bool) -> None:
    """With ``--all``: the settings behind the topics' defaults, and the rates of moves."""
    brokers = [str(broker) for broker in admin.live_brokers()]
    if name:
        if name not in brokers:
            env.out(f"The broker '{name}' doesn't exist and doesn't have dynamic config.")
            return
        brokers = [name]
    if name != "":
        for broker in brokers:
            found = admin.describe_configs(ConfigResource("broker", broker))
            shown = [entry for entry in found if everything or entry.source == "DYNAMIC_BROKER_CONFIG"]
            _show(env, f"{_which(everything)} configs for broker {broker} are:", shown)
    if not name:
        found = admin.describe_configs(ConfigResource("broker", ""))
        _show(env, "Default configs for brokers in the cluster are:", found)


def _describe_groups(env: Env, admin: Admin, name: str | None, everything: bool) -> None:
    listed = [listing.group_id for listing in admin.list_groups()]
    for each in sorted({*listed, *admin.configured_groups()}) if name is None else [name]:
        found = admin.describe_configs(ConfigResource("group", each))
        shown = [entry for entry in found if everything or entry.source == "DYNAMIC_GROUP_CONFIG"]
        if not shown and each not in listed:
            env.out(f"The group '{each}' doesn't exist and doesn't have dynamic config.")
            continue
        _show(env, f"{_which(everything)} configs for group {each} are:", shown)


def _which(everything: bool) -> str:
    return "All" if everything else "Dynamic"


def _show(env: Env, heading: str, entries: Sequence[ConfigDescription]) -> None:
    env.out(heading)
    for entry in entries:
        synonyms = ", ".join(f"{each.source}:{each.name}={each.value}" for each in entry.synonyms)
        env.out(f"  {entry.name}={entry.value} sensitive={str(entry.sensitive).lower()} synonyms={{{synonyms}}}")
