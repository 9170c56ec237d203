"""What ``kafka-configs`` does: describing and changing settings.

Source: org.apache.kafka.tools.ConfigCommand of Kafka 4.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pykafka_cli.commands.configs import quotas
from pykafka_cli.commands.configs.entity import Entity
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.java.text import split_at
from pykafka_cli.output.hints import suggest, suggest_broker, suggest_topic
from pykafka_cli.tool.frame import directory_named
from pykafka_cli.tool.options import Options
from pykafka_cli.tool.unenforced import UNENFORCED, tell_unenforced
from pykafka_store.errors import (
    BrokerIdNotRegisteredError,
    InvalidRequestError,
    InvalidTopicError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.names import check_topic_name
from pykafka_store.model import ConfigDescription, ConfigKind, ConfigResource
from pykafka_store.settings.client_metrics import CLIENT_METRICS
from pykafka_store.settings.configs import SETTINGS
from pykafka_store.settings.dynamic_configs import GROUP_SETTINGS

if TYPE_CHECKING:
    from pykafka_store.api import Admin

RESOURCES: Mapping[str, ConfigKind] = {
    "topics": "topic",
    "brokers": "broker",
    "groups": "group",
    "client-metrics": "client-metrics",
    "broker-loggers": "broker-logger",
}
"""The types whose settings are kept, as they are called one by one."""
NO_LOGGERS = "a data directory has no broker that logs"
_KNOWN: Mapping[ConfigKind, Iterable[str]] = {
    "topic": SETTINGS,
    "broker": (),
    "group": GROUP_SETTINGS,
    "client-metrics": CLIENT_METRICS,
    "broker-logger": (),
}
_NO_NODE = "org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment."
_LOGGER = "kafka.admin.ConfigCommand"
BAD_FORMAT = (
    'requirement failed: Invalid entity config: all configs to be added must be in the format "key=val" or  '
    '"key=[val1,val2]" to group values which contain commas.'
)

# ------------------------------------------------------------------------------------------------------------ changing


def alter(env: Env, options: Options, admin: Admin, entity: Entity, words: str) -> None:
    path = options.maybe_text("add-config-file")
    if path is not None:
        from pykafka_cli.java.properties import PropertiesError, load_properties

        try:
            changes = load_properties(path)
        except PropertiesError as error:
            raise refused(words, error.java) from None
        _check_keys(changes)
    else:
        addition = options.maybe_text("add-config")
        changes = {} if addition is None else parse_additions(addition)
    deletions = _deletions(options)
    resource = None if entity.type in quotas.TYPES else _resource(env, entity, options)
    try:
        if resource is None:
            singly = "zookeeper" in options.old  # each was a node of its own there
            told = quotas.alter(admin, entity, changes, deletions, singly=singly)
            tell_unenforced(env, options, told, _LOGGER)
        else:
            _check_loggers(admin, resource, {*changes, *deletions})
            admin.incremental_alter_configs(resource, changes, deletions)
    except StoreError as error:
        if resource is not None:
            _suggest(env, admin, resource, changes, error)
        what = f"org.apache.kafka.common.errors.{error.kafka_name}: {error}"
        if isinstance(error, BrokerIdNotRegisteredError):  # which Kafka's tool looks for for a minute
            suggest_broker(env, admin)
            what = f"{_NO_NODE} Call: describeConfigs"
        raise refused(words, f"java.util.concurrent.ExecutionException: {what}") from None
    if entity.type == "client-metrics":
        tell_unenforced(env, options, f"Subscriptions to metrics {UNENFORCED}", _LOGGER)
    if entity.name:
        env.out(f"Completed updating config for {entity.type[:-1]} {entity.name}.")
    else:
        env.out(f"Completed updating default config for {entity.type} in the cluster.")


def _resource(env: Env, entity: Entity, options: Options) -> ConfigResource:
    """Raises Refusal for what a directory has none of."""
    if entity.type == "broker-loggers" and directory_named(env, options) is not None:
        option = next((name for name in ("add-config", "add-config-file") if options.has(name)), "delete-config")
        raise Refusal(f"--{option} can't be honoured for {entity.type}: {NO_LOGGERS}")
    assert entity.name is not None
    return ConfigResource(RESOURCES[entity.type], entity.name)


def _check_loggers(admin: Admin, resource: ConfigResource, names: Iterable[str]) -> None:
    """Source: ConfigCommand#alterResourceConfig: a broker would take the name of any logger."""
    if resource.type == "broker-logger":
        known = {entry.name for entry in admin.describe_configs(resource)}
        unknown = sorted(set(names) - known)
        if unknown:
            raise Refusal(f"Invalid broker logger(s): {','.join(unknown)}")


def _suggest(env: Env, admin: Admin, resource: ConfigResource, changes: Iterable[str], error: StoreError) -> None:
    """Name the topic, or the setting, that was probably meant."""
    if isinstance(error, UnknownTopicOrPartitionError):
        suggest_topic(env, admin, resource.name)
        return
    # A name that is none of a directory's brokers may well be one of a real broker's.
    known = _KNOWN[resource.type]
    for name in changes:
        if name not in known:
            suggest(env, name, known)


def refused(words: str, what: str) -> CommandFailure:
    words = re.sub(r"(password=)[^\]]*", r"\1(hidden)", words)  # Kafka's tool repeats it
    return CommandFailure(f"Error while executing config command with args '{words}'\n{what}")


def parse_additions(text: str) -> dict[str, str]:
    """``--add-config``. Source: ConfigCommand#parseConfigsToBeAdded: split at commas and equal signs outside of square
    brackets, which are then taken off. A later value wins.
    """
    found = {}
    for part in split_at(text, r",(?=[^\]]*(?:\[|$))"):
        pair = re.split(r"\s*=(?=[^\]]*(?:\[|$))", part)
        if len(pair) != 2:
            raise Refusal(BAD_FORMAT)
        key, value = pair[0].strip(), re.sub(r"\[?\]?", "", pair[1]).strip()
        found[key] = value
    _check_keys(found)
    return found


def _check_keys(keys: Iterable[str]) -> None:
    for key in keys:
        if not re.fullmatch(r"[a-zA-Z0-9._-]*", key):
            raise Refusal(f"Invalid character found for config key: {key}")


def _deletions(options: Options) -> list[str]:
    """As jopt splits them: empty parts are passed over, unless there is nothing else."""
    texts = options.texts("delete-config")
    return [part.strip() for text in texts for part in [each for each in text.split(",") if each] or [text]]


# ---------------------------------------------------------------------------------------------------------- describing


def describe(env: Env, options: Options, admin: Admin, entity: Entity, words: str) -> None:
    everything = options.has("all")
    match entity.type:
        case "topics":
            _describe_topics(env, admin, entity.name, everything, words)
        case "brokers":
            _describe_brokers(env, admin, entity.name, everything, words)
        case "groups":
            _describe_groups(env, admin, entity.name, everything)
        case "client-metrics":
            _describe_client_metrics(env, admin, entity.name, everything, words)
        case "broker-loggers":
            assert entity.name is not None
            if not _is_there(env, admin, "broker-logger", entity.name, everything, words):
                return
            if directory_named(env, options) is not None:
                raise Refusal(f"--entity-type broker-loggers can't be honoured: {NO_LOGGERS}")
            found = admin.describe_configs(ConfigResource("broker-logger", entity.name))
            _show(env, f"{_which(everything)} configs for broker-logger {entity.name} are:", found)
        case _:
            quotas.describe(env, admin, entity)


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
                raise refused(words, f"java.util.concurrent.ExecutionException: {what}") from None
            if name is not None:
                suggest_topic(env, admin, name)
                env.out(f"The topic '{name}' doesn't exist and doesn't have dynamic config.")
            continue  # else deleted since it was listed
        shown = [entry for entry in found if everything or entry.source == "DYNAMIC_TOPIC_CONFIG"]
        _show(env, f"{_which(everything)} configs for topic {each} are:", shown)


def _is_there(env: Env, admin: Admin, kind: str, broker: str, everything: bool, words: str) -> bool:
    """Whether that broker runs; says so if not. Kafka's tool looks without ``--all`` only: with it, it asks the broker,
    and gives up after a minute.
    """
    if broker in map(str, admin.live_brokers()):
        return True
    if everything:
        env.out(f"{_which(everything)} configs for {kind} {broker} are:")
        raise refused(words, f"java.util.concurrent.ExecutionException: {_NO_NODE} Call: describeConfigs")
    suggest_broker(env, admin)
    env.out(f"The {kind} '{broker}' doesn't exist and doesn't have dynamic config.")
    return False


def _describe_brokers(env: Env, admin: Admin, name: str | None, everything: bool, words: str) -> None:
    """With ``--all``: the settings behind the topics' defaults, and the rates of moves."""
    if name and not _is_there(env, admin, "broker", name, everything, words):
        return
    brokers = [name] if name else [str(broker) for broker in admin.live_brokers()]
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
            suggest(env, each, listed)
            env.out(f"The group '{each}' doesn't exist and doesn't have dynamic config.")
            continue
        _show(env, f"{_which(everything)} configs for group {each} are:", shown)


def _describe_client_metrics(env: Env, admin: Admin, name: str | None, everything: bool, words: str) -> None:
    there = admin.configured_client_metrics()
    for each in there if name is None else [name]:
        if each not in there and not everything:
            suggest(env, each, there)
            env.out(f"The client-metric '{each}' doesn't exist and doesn't have dynamic config.")
            continue
        try:
            found = admin.describe_configs(ConfigResource("client-metrics", each))
        except InvalidRequestError as error:
            env.out("Default configs for client-metrics in the cluster are:")
            what = f"org.apache.kafka.common.errors.{error.kafka_name}: {error}"
            raise refused(words, f"java.util.concurrent.ExecutionException: {what}") from None
        shown = [entry for entry in found if everything or entry.source == "DYNAMIC_CLIENT_METRICS_CONFIG"]
        _show(env, f"{_which(everything)} configs for client-metric {each} are:", shown)


def _which(everything: bool) -> str:
    return "All" if everything else "Dynamic"


def _show(env: Env, heading: str, entries: Sequence[ConfigDescription]) -> None:
    env.out(heading)
    for entry in entries:
        synonyms = ", ".join(f"{each.source}:{each.name}={each.value}" for each in entry.synonyms)
        env.out(f"  {entry.name}={entry.value} sensitive={str(entry.sensitive).lower()} synonyms={{{synonyms}}}")
