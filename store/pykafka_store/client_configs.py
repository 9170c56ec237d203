"""Producer and consumer settings by the names that Apache Kafka's clients know, for both engines.

Every name that Apache Kafka's clients know is accepted, so that one script runs on both. On a directory those that
only mean something on a network, or to a broker, have no effect (COMPAT.md lists them); on a cluster those that
librdkafka can't honour are warned of. A name that no Kafka client knows is an error.

Sources: org.apache.kafka.clients.producer.ProducerConfig, ...consumer.ConsumerConfig, CommonClientConfigs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pykafka_store.errors import InvalidConfigError

_COMMON = frozenset(
    [
        "auto.include.jmx.reporter",
        "bootstrap.controllers",
        "bootstrap.servers",
        "client.dns.lookup",
        "client.id",
        "connections.max.idle.ms",
        "enable.metrics.push",
        "interceptor.classes",
        "metadata.max.age.ms",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.recovery.strategy",
        "metric.reporters",
        "metrics.num.samples",
        "metrics.recording.level",
        "metrics.sample.window.ms",
        "receive.buffer.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "request.timeout.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "security.protocol",
        "security.providers",
        "send.buffer.bytes",
        "socket.connection.setup.timeout.max.ms",
        "socket.connection.setup.timeout.ms",
        "config.providers",
        "default.api.timeout.ms",
    ]
)
_COMMON_PREFIXES = ("sasl.", "ssl.", "config.providers.")

_PRODUCER = frozenset(
    [
        "acks",
        "batch.size",
        "buffer.memory",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "delivery.timeout.ms",
        "enable.idempotence",
        "key.serializer",
        "linger.ms",
        "max.block.ms",
        "max.in.flight.requests.per.connection",
        "max.request.size",
        "metadata.max.idle.ms",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.class",
        "partitioner.ignore.keys",
        "retries",
        "transaction.timeout.ms",
        "transaction.two.phase.commit.enable",
        "transactional.id",
        "value.serializer",
        "allow.auto.create.topics",
    ]
)
_CONSUMER = frozenset(
    [
        "allow.auto.create.topics",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "client.rack",
        "enable.auto.commit",
        "exclude.internal.topics",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "isolation.level",
        "key.deserializer",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "partition.assignment.strategy",
        "session.timeout.ms",
        "share.acknowledgement.mode",
        "share.acquire.mode",
        "value.deserializer",
    ]
)


_NAME = re.compile(r"[a-z][a-z0-9]{,30}(?:[._-][a-z0-9]{1,30})*")


def shown_name(name: str) -> str:
    """An unknown setting's name, for a message: what does not look like one may be a line of a key or a password that
    was pasted without the backslashes that a property file wants.
    """
    return name if _NAME.fullmatch(name) else f"{name[:2]}... (the rest is not shown: it may be part of a secret)"


class ClientConfig:
    """Settings of one client, checked by name when made and by value when asked for. All raise InvalidConfigError."""

    def __init__(self, kind: str, given: Mapping[str, str] | None) -> None:
        """``kind`` is ``producer`` or ``consumer``."""
        self._given = dict(given or {})
        known = _COMMON | (_PRODUCER if kind == "producer" else _CONSUMER)
        for name in self._given:
            if name not in known and not name.startswith(_COMMON_PREFIXES):
                raise InvalidConfigError(
                    f"{shown_name(name)} is not a {kind} setting that Kafka knows: check its spelling"
                )

    def text(self, name: str, default: str) -> str:
        return self._given.get(name, default).strip()

    def is_given(self, name: str) -> bool:
        return bool(self._given.get(name, "").strip())

    def milliseconds(self, name: str, default: int) -> float:
        """A setting in ms, as seconds."""
        return self.number(name, default, low=0) / 1000

    def number(self, name: str, default: int, low: int | None = None) -> int:
        text = self._given.get(name)
        if text is None:
            return default
        try:
            number = int(text.strip())
        except ValueError:
            raise InvalidConfigError(
                f"Invalid value {text} for configuration {name}: Not a number of type INT"
            ) from None
        if low is not None and number < low:
            raise InvalidConfigError(f"Invalid value {number} for configuration {name}: Value must be at least {low}")
        return number

    def flag(self, name: str, default: bool) -> bool:
        text = self._given.get(name)
        if text is None:
            return default
        if text.strip().lower() not in {"true", "false"}:
            raise InvalidConfigError(
                f"Invalid value {text} for configuration {name}: Expected value to be either true or false"
            )
        return text.strip().lower() == "true"

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise InvalidConfigError(
                f"Invalid value {text} for configuration {name}: String must be one of: {', '.join(choices)}"
            )
        return text


_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE)


def reset_duration_ms(setting: str) -> int | None:
    """How far ``auto.offset.reset`` goes back, in ms, if it is ``by_duration:PnDTnHnMn.nS`` (KIP-1106), else None.

    Raises InvalidConfigError for a setting that is none of Kafka's.
    """
    if setting in {"latest", "earliest", "none"}:
        return None
    if not setting.startswith("by_duration:"):
        raise InvalidConfigError(
            f"Invalid value {setting} for configuration auto.offset.reset: Invalid value `{setting}` for "
            "configuration auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the "
            "format 'by_duration:<PnDTnHnMn.nS.>'."
        )
    text = setting.removeprefix("by_duration:")
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise InvalidConfigError(
            f"Invalid value {text} for configuration auto.offset.reset: Unable to parse duration string"
        )
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
