"""What a server.properties says of the server itself: shown, as scripts look for it, and changed in the file only.

A directory knows its brokers' numbers and log directories without a file; the port knows where it is. Source: Kafka
4.3's KafkaConfig, SocketServerConfigs, ServerLogConfigs, and its config/server.properties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pykafka_store.model import ConfigDescription, ConfigEntry
from pykafka_store.settings.configs import Setting

UNSET: Final = "null"

SHOWN: Final[Mapping[str, Setting]] = {
    name: Setting(name, kind, default, None)
    for name, kind, default in (
        ("advertised.listeners", "LIST", UNSET),
        ("broker.id", "INT", "-1"),
        ("broker.rack", "STRING", UNSET),
        ("controller.listener.names", "LIST", UNSET),
        ("controller.quorum.bootstrap.servers", "LIST", ""),
        ("controller.quorum.voters", "LIST", ""),
        ("delete.topic.enable", "BOOLEAN", "true"),
        ("group.initial.rebalance.delay.ms", "INT", "3000"),
        ("inter.broker.listener.name", "STRING", UNSET),
        (
            "listener.security.protocol.map",
            "STRING",
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        ),
        ("listeners", "LIST", "PLAINTEXT://:9092"),
        ("log.dir", "STRING", "/tmp/kafka-logs"),  # noqa: S108 - Kafka's
        ("log.dirs", "STRING", UNSET),
        ("log.retention.check.interval.ms", "LONG", "300000"),
        ("log.retention.hours", "INT", "168"),
        ("log.retention.minutes", "INT", UNSET),
        ("log.roll.hours", "INT", "168"),
        ("log.roll.jitter.hours", "INT", "0"),
        ("metadata.log.dir", "STRING", UNSET),
        ("node.id", "INT", UNSET),
        ("offsets.topic.replication.factor", "SHORT", "3"),
        ("process.roles", "LIST", UNSET),
        ("security.inter.broker.protocol", "STRING", "PLAINTEXT"),
        ("share.coordinator.state.topic.min.isr", "SHORT", "2"),
        ("share.coordinator.state.topic.replication.factor", "SHORT", "3"),
        ("socket.receive.buffer.bytes", "INT", "102400"),
        ("socket.request.max.bytes", "INT", "104857600"),
        ("socket.send.buffer.bytes", "INT", "102400"),
        ("transaction.state.log.min.isr", "INT", "2"),
        ("transaction.state.log.replication.factor", "SHORT", "3"),
    )
}
"""By name, with a broker's defaults. None of them is a secret."""
_NOT_FROM_THE_FILE: Final = frozenset({"broker.id", "delete.topic.enable", "log.dir", "log.dirs", "node.id"})
"""What the directory knows, or decides, itself."""


def of_the_file(properties: Mapping[str, str]) -> dict[str, str]:
    """What a server's properties say of these, as they stand there."""
    return {name: properties[name].strip() for name in SHOWN.keys() - _NOT_FROM_THE_FILE if name in properties}


def describe_server(broker: int, log_dirs: Sequence[str], static: Mapping[str, str]) -> list[ConfigDescription]:
    """These settings of a broker. ``static``: what its file says."""
    number = str(broker)
    given = {**static, "broker.id": number, "node.id": number, "log.dirs": ",".join(log_dirs)}
    found = []
    for name, setting in SHOWN.items():
        synonyms = [ConfigEntry(name, given[name], "STATIC_BROKER_CONFIG")] if name in given else []
        if setting.default != UNSET:
            synonyms.append(ConfigEntry(name, setting.default, "DEFAULT_CONFIG"))
        value, source = synonyms[0][1:] if synonyms else (UNSET, "DEFAULT_CONFIG")
        found.append(ConfigDescription(name, value, source, tuple(synonyms)))
    return found
