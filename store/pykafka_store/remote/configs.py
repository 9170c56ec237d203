"""Settings of Apache Kafka's clients -> librdkafka's.

Sources: ProducerConfig, ConsumerConfig, AdminClientConfig, SslConfigs and SaslConfigs of Kafka 4.3; librdkafka's
CONFIGURATION.md. Every setting given is translated, read by our own code, refused, or named in a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pykafka_store.errors import InvalidConfigError
from pykafka_store.remote.security import SECURITY, identity, log_in, secrets_in, trust
from pykafka_store.settings.client_configs import ClientConfig, check_idempotence

Kind = Literal["admin", "producer", "consumer"]

# Settings that mean the same under librdkafka's name, for every client.
_RENAMED = {
    "client.dns.lookup": "client.dns.lookup",
    "client.id": "client.id",
    "connections.max.idle.ms": "connections.max.idle.ms",
    "enable.metrics.push": "enable.metrics.push",
    "metadata.max.age.ms": "topic.metadata.refresh.interval.ms",
    "metadata.recovery.rebootstrap.trigger.ms": "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy": "metadata.recovery.strategy",
    "reconnect.backoff.max.ms": "reconnect.backoff.max.ms",
    "reconnect.backoff.ms": "reconnect.backoff.ms",
    "request.timeout.ms": "socket.timeout.ms",
    "retry.backoff.max.ms": "retry.backoff.max.ms",
    "retry.backoff.ms": "retry.backoff.ms",
    "sasl.kerberos.kinit.cmd": "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin": "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.service.name": "sasl.kerberos.service.name",
    "sasl.mechanism": "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.scope": "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url": "sasl.oauthbearer.token.endpoint.url",
    "security.protocol": "security.protocol",
    "socket.connection.setup.timeout.ms": "socket.connection.setup.timeout.ms",
    "ssl.key.password": "ssl.key.password",
}
_RENAMED_PRODUCER = {
    "acks": "acks",
    "compression.type": "compression.type",
    "delivery.timeout.ms": "delivery.timeout.ms",
    "enable.idempotence": "enable.idempotence",
    "linger.ms": "linger.ms",
    "max.in.flight.requests.per.connection": "max.in.flight.requests.per.connection",
    "retries": "retries",
}
_RENAMED_CONSUMER = {
    "check.crcs": "check.crcs",
    "client.rack": "client.rack",
    "fetch.max.bytes": "fetch.max.bytes",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "fetch.min.bytes": "fetch.min.bytes",
    "group.id": "group.id",
    "group.instance.id": "group.instance.id",
    "group.protocol": "group.protocol",
    "group.remote.assignor": "group.remote.assignor",
    "heartbeat.interval.ms": "heartbeat.interval.ms",
    "isolation.level": "isolation.level",
    "max.partition.fetch.bytes": "max.partition.fetch.bytes",
    "max.poll.interval.ms": "max.poll.interval.ms",
    "session.timeout.ms": "session.timeout.ms",
}
# Settings that our own code reads, here or in the engine.
_OURS = {"bootstrap.servers", "default.api.timeout.ms", "receive.buffer.bytes", "send.buffer.bytes"}
_OURS_PRODUCER = {
    "allow.auto.create.topics", "batch.size", "buffer.memory", "compression.gzip.level", "compression.lz4.level",
    "compression.zstd.level", "max.block.ms", "max.request.size", "partitioner.class", "partitioner.ignore.keys",
}  # fmt: skip
_OURS_CONSUMER = {
    "allow.auto.create.topics", "auto.commit.interval.ms", "auto.offset.reset", "enable.auto.commit",
    "exclude.internal.topics", "max.poll.records", "partition.assignment.strategy",
}  # fmt: skip
# Settings that are refused where they are given, for they change what is sent or read.
_REFUSED = {
    "interceptor.classes": "there is no Java here to load them",
    "transactional.id": "these tools send no transactions",
}

CONNECTION = frozenset(_RENAMED) | _OURS | SECURITY
"""The settings that every client has: how to reach a cluster, and how to log in."""

# librdkafka's older names, which its complaints are about.
_CANONICAL = {
    "compression.codec": "compression.type",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "message.send.max.retries": "retries",
    "message.timeout.ms": "delivery.timeout.ms",
    "queue.buffering.max.ms": "linger.ms",
    "request.required.acks": "acks",
    "sasl.mechanisms": "sasl.mechanism",
}

TUNING: Mapping[str, str | int | float | bool] = {
    # Otherwise the second connection of every process waits for 50 ms (librdkafka's rd_kafka_connect_any).
    "enable.sparse.connections": False,
}
TUNING_PRODUCER: Mapping[str, str | int | float | bool] = {
    # A batch is bounded by batch.size alone, as Java's is.
    "batch.num.messages": 1000000,
    # buffer.memory bounds the bytes; this bounds what librdkafka needs besides for many small records. A longer queue
    # makes nothing faster: its memory is no longer in the processor's caches when it is used again.
    "queue.buffering.max.messages": 100000,
    # A report costs more than the sending of a record; the engine asks for those that it needs.
    "delivery.report.only.error": True,
}
TUNING_CONSUMER: Mapping[str, str | int | float | bool] = {
    "enable.partition.eof": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # The engine looks for topics itself, and a look is not to make one.
    "allow.auto.create.topics": False,
    # With the default of a second a reader that is faster than the network stands still: 3.7 s for a million records
    # of 82 bytes instead of 0.7 s.
    "fetch.queue.backoff.ms": 10,
}


class Translated:
    """librdkafka's settings for one client, and what there is to say about them."""

    def __init__(self) -> None:
        self.settings: dict[str, str | int | float | bool] = {}
        self.warnings: list[str] = []
        self.secrets: list[str] = []
        self.timeout: float | None = None
        """``default.api.timeout.ms`` in seconds, where it is given."""


def translate(kind: Kind, given: Mapping[str, str]) -> Translated:
    """Raises InvalidConfigError for what is unknown, malformed or can't be honoured. No text holds a secret."""
    made = Translated()
    made.secrets = secrets_in(given)
    renamed = dict(_RENAMED)
    ours = _OURS | SECURITY
    if kind == "producer":
        renamed |= _RENAMED_PRODUCER
        ours |= _OURS_PRODUCER
    elif kind == "consumer":
        renamed |= _RENAMED_CONSUMER
        ours |= _OURS_CONSUMER
    for name, value in given.items():
        if name in _REFUSED and kind != "admin" and value.strip():
            raise InvalidConfigError(f"{name} can't be honoured: {_REFUSED[name]}")
        if name in renamed:
            made.settings[renamed[name]] = value if name == "group.id" else value.strip()
        elif name not in ours and kind != "admin":
            made.warnings.append(f"{name} has no counterpart in librdkafka and has no effect")
    config = ClientConfig(kind, given) if kind != "admin" else ClientConfig("producer", _known_to_admin(given))
    if config.is_given("default.api.timeout.ms"):
        made.timeout = config.milliseconds("default.api.timeout.ms", 0)
    _sockets(config, made)
    if kind == "producer":
        _producer(config, made)
    elif kind == "consumer":
        _consumer(config, made)
    made.settings |= trust(given) | identity(given)
    login, passwords = log_in(given)
    made.settings |= login
    made.secrets += passwords
    return made


def java_name(kind: Kind, name: str) -> str | None:
    """The Java name of one of librdkafka's settings, if they differ."""
    if name in _CANONICAL:
        return _CANONICAL[name]
    renamed = _RENAMED | (_RENAMED_PRODUCER if kind == "producer" else _RENAMED_CONSUMER if kind == "consumer" else {})
    java = next((java for java, theirs in renamed.items() if theirs == name), None)
    return None if java == name else java


def admin_warnings(given: Mapping[str, str]) -> list[str]:
    """A line for each admin setting that Kafka knows and librdkafka does not."""
    known = CONNECTION | {"retries"}
    return [f"{name} has no counterpart in librdkafka and has no effect" for name in given if name not in known]


def _known_to_admin(given: Mapping[str, str]) -> dict[str, str]:
    """Those of a client's settings that an admin client needs; a producer's or a consumer's may be given to it."""
    return {name: value for name, value in given.items() if name in _OURS}


def _sockets(config: ClientConfig, made: Translated) -> None:
    for name in ("send.buffer.bytes", "receive.buffer.bytes"):
        if config.is_given(name):
            # -1 is Java's "as the system has it", 0 is librdkafka's.
            made.settings[f"socket.{name}"] = max(0, config.number(name, -1, low=-1))


def _producer(config: ClientConfig, made: Translated) -> None:
    settings = made.settings
    config.choice("acks", "all", ("all", "-1", "0", "1"))
    codec = config.choice("compression.type", "none", ("none", "gzip", "snappy", "lz4", "zstd"))
    if config.is_given(f"compression.{codec}.level"):
        settings["compression.level"] = config.number(f"compression.{codec}.level", -1)
    if config.is_given("batch.size"):
        settings["batch.size"] = max(1, config.number("batch.size", 0, low=0))
    settings["queue.buffering.max.kbytes"] = max(1, config.number("buffer.memory", 33554432, low=0) // 1024)
    settings["message.max.bytes"] = max(1000, config.number("max.request.size", 1048576, low=0))
    settings.setdefault("delivery.timeout.ms", "120000")
    if config.is_given("request.timeout.ms"):
        settings["request.timeout.ms"] = config.number("request.timeout.ms", 30000, low=0)
    settings["partitioner"] = "random" if config.flag("partitioner.ignore.keys", default=False) else "murmur2_random"
    # Java's default is idempotence where the other settings allow it (ProducerConfig#postProcessAndValidate...).
    possible = check_idempotence(config)
    settings.setdefault("enable.idempotence", "true" if possible else "false")


_ASSIGNORS = {
    "RangeAssignor": "range",
    "RoundRobinAssignor": "roundrobin",
    "CooperativeStickyAssignor": "cooperative-sticky",
}


def _consumer(config: ClientConfig, made: Translated) -> None:
    settings = made.settings
    # librdkafka takes READ_COMMITTED as well.
    settings["isolation.level"] = config.choice(
        "isolation.level", "read_uncommitted", ("read_committed", "read_uncommitted")
    )
    reset = config.text("auto.offset.reset", "latest")
    if config.is_given("fetch.max.bytes"):  # librdkafka wants room for what surrounds the records
        settings["receive.message.max.bytes"] = max(100_000_000, config.number("fetch.max.bytes", 0, low=0) + 4096)
    settings["auto.offset.reset"] = {"none": "error", "earliest": "earliest"}.get(reset, "latest")
    if "group.protocol" in settings:
        settings["group.protocol"] = config.group_protocol
    if config.group_protocol == "consumer":
        return
    settings["partition.assignment.strategy"] = _assignors(config, made)


def _assignors(config: ClientConfig, made: Translated) -> str:
    """librdkafka's names. Java's default offers range first, and cooperative-sticky to upgrade to."""
    given = config.text("partition.assignment.strategy", "")
    if not given:
        return "range"
    names = []
    for part in given.split(","):
        short = part.strip().rpartition(".")[2]
        name = _ASSIGNORS.get(short, short)
        if name not in _ASSIGNORS.values():
            raise InvalidConfigError(
                f"partition.assignment.strategy {part.strip()} is unknown to librdkafka: it has "
                f"{', '.join(_ASSIGNORS.values())}"
            )
        names.append(name)
    eager = [name for name in names if name != "cooperative-sticky"]
    if eager and len(eager) < len(names):
        made.warnings.append(
            "partition.assignment.strategy: librdkafka does not offer cooperative-sticky beside others, and offers "
            f"{','.join(eager)}"
        )
        names = eager
    return ",".join(names)
