"""Settings of brokers and of groups: what a data directory has, what is valid, and what is in force.

A broker's settings are defaults of the topics that it leads, and the rates of moves; an empty broker name stands for
all brokers. Source: Kafka 4.3's DynamicBrokerConfig, ServerTopicConfigSynonyms, QuotaConfig, GroupConfig, ConfigHelper
(KIP-226, KIP-848).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pykafka_store.errors import InvalidConfigError, InvalidRequestError
from pykafka_store.model import ConfigDescription, ConfigEntry
from pykafka_store.settings.configs import (
    AUTO_CREATE_TOPICS,
    FALLBACKS,
    LONG_MAX,
    NUM_PARTITIONS,
    REPLICATION_FACTOR,
    SETTINGS,
    BrokerConfigs,
    Setting,
    check_value,
)
from pykafka_store.settings.server_configs import SHOWN

OFFSETS_PARTITIONS: Final = "offsets.topic.num.partitions"
MIN_SESSION: Final = "group.min.session.timeout.ms"
MAX_SESSION: Final = "group.max.session.timeout.ms"

_NO_BOUND = ("log.retention.ms", "log.flush.interval.ms")
"""Settings of brokers whose numbers have no lower bound, though those of the topics' settings have."""
_REQUIRED: Final[Mapping[str, tuple[Callable[[int], bool], str]]] = {
    "log.roll.ms": (lambda number: number >= 1, "greater than or equal to 1"),
    "log.roll.jitter.ms": (lambda number: number >= 0, "greater than or equal to 0"),
    "log.cleaner.dedupe.buffer.size": (lambda number: number >= 1 << 20, "at least 1MB per cleaner thread."),
    "log.retention.ms": (lambda number: number != 0, "unlimited (-1) or, greater than or equal to 1"),
}
"""What KafkaConfig#validateValues requires of them, and its words."""
_RATES = (
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
)
WITHOUT_EFFECT: Final[Mapping[str, Setting]] = {
    each.name: each
    for each in (
        Setting("background.threads", "INT", "10", None, low=1),
        Setting("follower.fetch.last.tiered.offset.enable", "BOOLEAN", "false", None),
        Setting("group.coordinator.cached.buffer.max.bytes", "INT", "1048588", None, low=512 << 10),
        Setting("log.cleaner.backoff.ms", "LONG", "15000", None, low=0),
        Setting("log.cleaner.dedupe.buffer.size", "LONG", "134217728", None),
        Setting("log.cleaner.io.buffer.load.factor", "DOUBLE", "0.9", None),
        Setting("log.cleaner.io.buffer.size", "INT", "524288", None, low=0),
        Setting("log.cleaner.io.max.bytes.per.second", "DOUBLE", "1.7976931348623157E308", None),
        Setting("log.cleaner.threads", "INT", "1", None, low=0),
        Setting("max.connection.creation.rate", "INT", "2147483647", None, low=0),
        Setting("max.connections", "INT", "2147483647", None, low=0),
        Setting("max.connections.per.ip", "INT", "2147483647", None, low=0),
        Setting("num.io.threads", "INT", "8", None, low=1),
        Setting("num.network.threads", "INT", "3", None, low=1),
        Setting("num.recovery.threads.per.data.dir", "INT", "2", None, low=1),
        Setting("num.replica.fetchers", "INT", "1", None, low=1),
        Setting("producer.id.expiration.ms", "INT", "86400000", None, low=1),
        Setting("remote.fetch.max.wait.ms", "INT", "500", None, low=1),
        Setting("remote.list.offsets.request.timeout.ms", "LONG", "30000", None, low=1),
        Setting("remote.log.index.file.cache.total.size.bytes", "LONG", str(1 << 30), None, low=1),
        Setting("remote.log.manager.copier.thread.pool.size", "INT", "10", None, low=1),
        Setting("remote.log.manager.copy.max.bytes.per.second", "LONG", str(LONG_MAX), None, low=1),
        Setting("remote.log.manager.expiration.thread.pool.size", "INT", "10", None, low=1),
        Setting("remote.log.manager.fetch.max.bytes.per.second", "LONG", str(LONG_MAX), None, low=1),
        Setting("remote.log.manager.follower.thread.pool.size", "INT", "2", None, low=1),
        Setting("remote.log.reader.threads", "INT", "10", None, low=1),
        Setting("sasl.kerberos.min.time.before.relogin", "LONG", "60000", None),
        Setting("sasl.kerberos.ticket.renew.jitter", "DOUBLE", "0.05", None),
        Setting("sasl.kerberos.ticket.renew.window.factor", "DOUBLE", "0.8", None),
        Setting("sasl.login.refresh.window.factor", "DOUBLE", "0.8", None),
        Setting("sasl.login.refresh.window.jitter", "DOUBLE", "0.05", None),
        Setting("share.coordinator.cached.buffer.max.bytes", "INT", "1048588", None, low=512 << 10),
        Setting("transaction.partition.verification.enable", "BOOLEAN", "true", None),
    )
}
"""What tunes a broker's process, or what is not here (tiered storage, Kerberos, share groups): kept and shown, so that
a script which sets it goes on, and of no effect. What says who may in is none of it: that is honoured, or refused.
"""
BROKER_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        **{
            each.synonym: Setting(
                each.synonym,
                each.kind,
                each.default,
                each.synonym,
                None if each.synonym in (*_NO_BOUND, *_REQUIRED) else each.low,
                each.high,
                each.words,
            )
            for each in SETTINGS.values()
            if each.synonym is not None
        },
        **{name: Setting(name, "LONG", str(LONG_MAX), None, low=0) for name in _RATES},
        **WITHOUT_EFFECT,
    }
)
"""What a broker of a data directory can be told, by name."""

READ_ONLY: Final[Mapping[str, Setting]] = {
    NUM_PARTITIONS: Setting(NUM_PARTITIONS, "INT", "1", None, low=1),
    REPLICATION_FACTOR: Setting(REPLICATION_FACTOR, "INT", "1", None),
    AUTO_CREATE_TOPICS: Setting(AUTO_CREATE_TOPICS, "BOOLEAN", "true", None),
    OFFSETS_PARTITIONS: Setting(OFFSETS_PARTITIONS, "INT", "50", None, low=1),
    MIN_SESSION: Setting(MIN_SESSION, "INT", "6000", None),
    MAX_SESSION: Setting(MAX_SESSION, "INT", "1800000", None),
}
"""What a server.properties says of topics that are made and of its port's clients, by name: described, and changed
there only.
"""

_STATIC = frozenset(
    {
        *READ_ONLY,
        *(SHOWN.keys() - {"listeners", "listener.security.protocol.map"}),  # those a broker can change
    }
)
"""What Kafka knows and changes in its server.properties only."""

_GROUP_BOUNDS = {
    "consumer.session.timeout.ms": (45000, 60000),
    "consumer.heartbeat.interval.ms": (5000, 15000),
}
GROUP_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "consumer.heartbeat.interval.ms": Setting("consumer.heartbeat.interval.ms", "INT", "5000", None, low=1),
        "consumer.session.timeout.ms": Setting("consumer.session.timeout.ms", "INT", "45000", None, low=1),
    }
)
"""What the members of a group with ``group.protocol=consumer`` take from it, by name."""


# -------------------------------------------------------------------------------------------------------------- brokers


def check_broker(name: str, changes: Mapping[str, str], deletions: Sequence[str]) -> dict[str, str]:
    """The values as a broker describes them. ``name`` is empty for all brokers.

    Raises InvalidRequestError with Kafka's texts; and for what Kafka would keep and a data directory can't honour.
    """
    if "min.insync.replicas" in changes or "min.insync.replicas" in deletions:
        if name:
            raise InvalidConfigError("Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
        if "min.insync.replicas" in deletions:
            raise InvalidConfigError("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
    static = [each for each in changes if each in _STATIC]
    if static:
        raise InvalidRequestError(f"Cannot update these configs dynamically: [{', '.join(static)}]")
    for each in changes:
        if each not in BROKER_SETTINGS:
            raise InvalidRequestError(
                f"{each} can't be honoured: kafka-configs --describe --all --broker N lists what a broker of a data "
                "directory has"
            )
    try:
        checked = {each: check_value(BROKER_SETTINGS[each], value) for each, value in changes.items()}
    except InvalidConfigError as error:
        raise InvalidRequestError(str(error)) from None
    for each, value in checked.items():
        holds, words = _REQUIRED.get(each, (None, ""))
        if holds is not None and not holds(int(value)):
            raise InvalidRequestError(f"requirement failed: {each} must be {words}")
    return checked


def describe_broker(configs: BrokerConfigs) -> tuple[ConfigDescription, ...]:
    """Every setting of a broker, sorted by name, each with its synonyms."""
    found = []
    settings = {**BROKER_SETTINGS, **READ_ONLY}
    for name in sorted(settings):
        synonyms = [ConfigEntry(name, *each) for each in configs.synonyms(name)]
        default = None
        if name in FALLBACKS:
            if synonyms:
                default = ConfigEntry(*FALLBACKS[name], "DEFAULT_CONFIG")
        elif name not in _RATES:
            default = ConfigEntry(name, settings[name].default, "DEFAULT_CONFIG")
        if default is not None:
            synonyms.append(default)
        unset = "null" if name in FALLBACKS else settings[name].default
        value, source = synonyms[0][1:] if synonyms else (unset, "DEFAULT_CONFIG")
        found.append(ConfigDescription(name, value, source, tuple(synonyms)))
    return tuple(found)


def describe_cluster(configs: Mapping[str, str]) -> tuple[ConfigDescription, ...]:
    """What was set for all brokers, sorted by name."""
    source = "DYNAMIC_DEFAULT_BROKER_CONFIG"
    return tuple(
        ConfigDescription(name, value, source, (ConfigEntry(name, value, source),))
        for name, value in sorted(configs.items())
    )


# --------------------------------------------------------------------------------------------------------------- groups


def check_group(changes: Mapping[str, str]) -> dict[str, str]:
    """The values as a broker describes them. Raises InvalidConfigError with Kafka's texts; and for what a group of a
    data directory has no use for.
    """
    checked = {}
    for name, value in changes.items():
        if name.startswith(("share.", "streams.")) or name == "consumer.assignment.interval.ms":
            raise InvalidConfigError(
                f"{name} can't be honoured: groups of a data directory have {_listed(GROUP_SETTINGS)}"
            )
        if name not in GROUP_SETTINGS:
            raise InvalidConfigError(f"Unknown group config name: {name}")
        checked[name] = check_value(GROUP_SETTINGS[name], value)
        least, most = _GROUP_BOUNDS[name]
        kind, rest = name.split(".", 1)
        if int(checked[name]) < least:
            raise InvalidConfigError(f"{name} must be greater than or equal to group.{kind}.min.{rest}")
        if int(checked[name]) > most:
            raise InvalidConfigError(f"{name} must be less than or equal to group.{kind}.max.{rest}")
    return checked


def describe_group(configs: Mapping[str, str]) -> tuple[ConfigDescription, ...]:
    """Every setting of a group, sorted by name, each with its synonyms."""
    found = []
    for name, setting in sorted(GROUP_SETTINGS.items()):
        synonyms = [ConfigEntry(f"group.{name}", setting.default, "DEFAULT_CONFIG")]
        if name in configs:
            synonyms.insert(0, ConfigEntry(name, configs[name], "DYNAMIC_GROUP_CONFIG"))
        found.append(ConfigDescription(name, *synonyms[0][1:], tuple(synonyms)))
    return tuple(found)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
