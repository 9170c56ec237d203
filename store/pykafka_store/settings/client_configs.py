"""Producer, consumer and admin settings by the names that Apache Kafka's clients know, for both engines.

Every name that Apache Kafka's clients know is accepted, so that one script runs on both. On a directory those that
only mean something on a network, or to a broker, have no effect (COMPAT.md lists them); on a cluster those that
librdkafka can't honour are warned of. A name that no Kafka client knows is an error.

Sources: org.apache.kafka.clients.producer.ProducerConfig, ...consumer.ConsumerConfig, ...admin.AdminClientConfig,
CommonClientConfigs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from pykafka_store.errors import InvalidConfigError, InvalidGroupIdError
from pykafka_store.numbers import whole_number

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
_ADMIN = _COMMON - {"auto.include.jmx.reporter", "interceptor.classes"} | {"retries"}

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

_NO_LIMIT = None
_NUMBERS: Mapping[str, tuple[str, int | None]] = {
    "auto.commit.interval.ms": ("INT", 0),
    "batch.size": ("INT", 0),
    "buffer.memory": ("LONG", 0),
    "connections.max.idle.ms": ("LONG", _NO_LIMIT),
    "default.api.timeout.ms": ("INT", 0),
    "delivery.timeout.ms": ("INT", 0),
    "fetch.max.bytes": ("INT", 0),
    "fetch.max.wait.ms": ("INT", 0),
    "fetch.min.bytes": ("INT", 0),
    "heartbeat.interval.ms": ("INT", _NO_LIMIT),
    "linger.ms": ("LONG", 0),
    "max.block.ms": ("LONG", 0),
    "max.in.flight.requests.per.connection": ("INT", 1),
    "max.partition.fetch.bytes": ("INT", 0),
    "max.poll.interval.ms": ("INT", 1),
    "max.poll.records": ("INT", 1),
    "max.request.size": ("INT", 0),
    "metadata.max.age.ms": ("LONG", 0),
    "metadata.max.idle.ms": ("LONG", 5000),
    "metadata.recovery.rebootstrap.trigger.ms": ("LONG", 0),
    "metrics.num.samples": ("INT", 1),
    "metrics.sample.window.ms": ("LONG", 0),
    "partitioner.availability.timeout.ms": ("LONG", 0),
    "receive.buffer.bytes": ("INT", -1),
    "reconnect.backoff.max.ms": ("LONG", 0),
    "reconnect.backoff.ms": ("LONG", 0),
    "request.timeout.ms": ("INT", 0),
    "retries": ("INT", 0),
    "retry.backoff.max.ms": ("LONG", 0),
    "retry.backoff.ms": ("LONG", 0),
    "send.buffer.bytes": ("INT", -1),
    "session.timeout.ms": ("INT", _NO_LIMIT),
    "socket.connection.setup.timeout.max.ms": ("LONG", _NO_LIMIT),
    "socket.connection.setup.timeout.ms": ("LONG", _NO_LIMIT),
    "transaction.timeout.ms": ("INT", _NO_LIMIT),
}
"""Java's type of each number, and the least that it takes."""
_FLAGS = frozenset(
    [
        "allow.auto.create.topics",
        "auto.include.jmx.reporter",
        "check.crcs",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.metrics.push",
        "exclude.internal.topics",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.ignore.keys",
    ]
)
_BITS = {"INT": 32, "LONG": 64}


_NAME = r"[a-z][a-z0-9]{,30}(?:[._-][a-z0-9]{1,30})*"


def client_settings(kind: str) -> frozenset[str]:
    """The names of the settings of Kafka's ``producer``, ``consumer`` or ``admin``. Source: ProducerConfig,
    ConsumerConfig, AdminClientConfig.
    """
    return _ADMIN if kind == "admin" else _COMMON | (_PRODUCER if kind == "producer" else _CONSUMER)


def is_client_setting(kind: str, name: str) -> bool:
    """Whether Kafka's client of that kind has a setting of that name, or one of its plug-ins may."""
    return name in client_settings(kind) or name.startswith(_COMMON_PREFIXES)


def shown_name(name: str) -> str:
    """An unknown setting's name, for a message: what does not look like one may be a line of a key or a password that
    was pasted without the backslashes that a property file wants.
    """
    return name if re.fullmatch(_NAME, name) else f"{name[:2]}... (the rest is not shown: it may be part of a secret)"


_LEVELS = frozenset(["compression.gzip.level", "compression.lz4.level", "compression.zstd.level"])
"""Settings that a topic has, too, with the same values."""
# In the order of Kafka's messages.
_GROUP_PROTOCOLS = ("CONSUMER", "CLASSIC")
_IN_ANY_CASE = {
    "metadata.recovery.strategy": ("REBOOTSTRAP", "NONE"),
    "security.protocol": ("SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"),
}
_CHOICES = {
    "client.dns.lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "metrics.recording.level": ("INFO", "DEBUG", "TRACE"),
}
"""What every client takes one of, whether it has an effect here or not."""
_NOT_WITH = {
    "consumer": ("partition.assignment.strategy", "heartbeat.interval.ms", "session.timeout.ms"),
    "classic": ("group.remote.assignor",),
}
"""The settings that a group.protocol refuses (CONSUMER_PROTOCOL_UNSUPPORTED_CONFIGS and CLASSIC_...)."""


class ClientConfig:
    """Settings of one client. Numbers, flags, protocols, levels and the like are checked when it is made, whether
    they have an effect here or not; other values when they are asked for. All raise InvalidConfigError.
    """

    def __init__(self, kind: str, given: Mapping[str, str] | None) -> None:
        """``kind`` is ``producer``, ``consumer`` or ``admin``."""
        self._given = dict(given or {})
        for name in self._given:
            if not is_client_setting(kind, name):
                from pykafka_store.spelling import nearest

                meant = nearest(name, sorted(client_settings(kind)))
                advice = "check its spelling" if meant is None else f"did you mean {meant}?"
                raise InvalidConfigError(f"{shown_name(name)} is not a {kind} setting that Kafka knows: {advice}")
        for name in self._given:
            if name in _NUMBERS:
                self.number(name, 0)
            elif name in _FLAGS:
                self.flag(name, default=False)
            elif name in _LEVELS:
                from pykafka_store.settings.configs import SETTINGS, check_value

                check_value(SETTINGS[name], self._given[name])
            elif name in _IN_ANY_CASE:
                self._of(name, "", _IN_ANY_CASE[name])
            elif name in _CHOICES:
                self.choice(name, "", _CHOICES[name])
        if kind == "consumer":
            self._check_group_protocol()

    @property
    def group_protocol(self) -> str:
        """``classic`` or ``consumer``."""
        return self._of("group.protocol", "classic", _GROUP_PROTOCOLS).lower()

    def _check_group_protocol(self) -> None:
        """Refuse the settings that the protocol leaves to the brokers, or does not have.

        Source: ConsumerConfig#checkUnsupportedConfigsPostProcess.
        """
        protocol = self.group_protocol
        refused = [name for name in _NOT_WITH[protocol] if self.is_given(name)]
        if refused:
            raise InvalidConfigError(f"{', '.join(refused)} cannot be set when group.protocol={protocol.upper()}")

    def _of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of the choices, in whatever case. Source: ConfigDef.CaseInsensitiveValidString."""
        text = self.text(name, default)
        if text.upper() not in choices:
            raise InvalidConfigError(
                f"Invalid value {text} for configuration {name}: String must be one of (case insensitive): "
                f"{', '.join(choices)}"
            )
        return text

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
        kind, least = _NUMBERS.get(name, ("INT", None))
        number = whole_number(text.strip(), _BITS[kind])
        if number is None:
            raise InvalidConfigError(f"Invalid value {text} for configuration {name}: Not a number of type {kind}")
        low = least if low is None else low
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


def check_idempotence(config: ClientConfig) -> bool:
    """Whether a producer's other settings allow for idempotence. Raises InvalidConfigError where it is asked for and
    they don't. Source: ProducerConfig#postProcessAndValidateIdempotenceConfigs.
    """
    problem = None
    if config.number("retries", 1) == 0:
        problem = "Must set retries to non-zero when using the idempotent producer."
    elif config.text("acks", "all") not in {"all", "-1"}:
        problem = (
            "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."
        )
    elif (in_flight := config.number("max.in.flight.requests.per.connection", 5)) > 5:
        problem = (
            "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. Current "
            f"value is {in_flight}."
        )
    if problem is not None and config.flag("enable.idempotence", default=False):
        raise InvalidConfigError(problem)
    return problem is None


def group_id(given: Mapping[str, str]) -> str | None:
    """``group.id`` as it is, for Kafka trims no names. Raises InvalidGroupIdError for one of no letters."""
    group = given.get("group.id")
    if group is not None and not group.strip():
        raise InvalidGroupIdError("The configured group.id should not be an empty string or whitespace.")
    return group


def reset_duration_ms(setting: str) -> int | None:
    """How far ``auto.offset.reset`` goes back, in ms, if it is ``by_duration:PnDTnHnMn.nS`` (KIP-1106), else None.

    Raises InvalidConfigError for a setting that is none of Kafka's. Source: AutoOffsetResetStrategy.Validator.
    """
    if setting in {"latest", "earliest", "none"}:
        return None
    from pykafka_store.settings.durations import DurationError, parse_duration_ms

    kind, _, period = setting.partition(":")
    if kind == "by_duration":
        with suppress(DurationError):
            found = parse_duration_ms(period)
            if found >= 0:
                return found
    raise InvalidConfigError(
        f"Invalid value {setting} for configuration auto.offset.reset: Invalid value `{setting}` for "
        "configuration auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the "
        "format 'by_duration:<PnDTnHnMn.nS.>'."
    )
