"""Topic configs: what there is, what is valid, and what is in force.

Source: Kafka 4.3's LogConfig (names, types, defaults, ranges), ServerTopicConfigSynonyms (the broker's settings) and
ConfigDef (how a text becomes a value, and the words of a refusal). Values are texts wherever they cross the seam or
are stored, written as a broker would describe them: ``007`` is stored as ``7``.

>>> validate({"retention.ms": "007", "preallocate": "TRUE"})
{'retention.ms': '7', 'preallocate': 'true'}
>>> TopicConfig.of({"retention.ms": "7"}).retention_ms
7
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Self

from pykafka_store.errors import InvalidConfigError
from pykafka_store.model import TimestampType
from pykafka_store.numbers import whole_number

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class Setting:
    """One topic config. ``kind`` is Kafka's ConfigDef.Type: INT, LONG, DOUBLE, BOOLEAN, STRING or LIST. ``synonym`` is
    the broker's setting that changes the default. ``low`` and ``high`` bound a number, ``words`` are what a text or a
    list may consist of.
    """

    __slots__ = ("default", "high", "kind", "low", "name", "synonym", "words")

    def __init__(
        self,
        name: str,
        kind: str,
        default: str,
        synonym: str | None,
        low: int | None = None,
        high: int | None = None,
        words: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.synonym = synonym
        self.low = low
        self.high = high
        self.words = words


_CODECS = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
_TIMESTAMP_TYPES = {"CreateTime": TimestampType.CREATE_TIME, "LogAppendTime": TimestampType.LOG_APPEND_TIME}
_THROTTLED = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")

# In LogConfig's order, which is the order of checking: of several bad values the first one here is reported.
_DEFINED = (
    # KIP-1030 raised the least segment.bytes to 1 MiB; internal.segment.bytes is there for tests with smaller ones.
    Setting("segment.bytes", "INT", "1073741824", "log.segment.bytes", low=1048576),
    Setting("segment.ms", "LONG", "604800000", "log.roll.ms", low=1),
    Setting("segment.jitter.ms", "LONG", "0", "log.roll.jitter.ms", low=0),
    Setting("segment.index.bytes", "INT", "10485760", "log.index.size.max.bytes", low=4),
    Setting("flush.messages", "LONG", str(LONG_MAX), "log.flush.interval.messages", low=1),
    Setting("flush.ms", "LONG", str(LONG_MAX), "log.flush.interval.ms", low=0),
    Setting("retention.bytes", "LONG", "-1", "log.retention.bytes"),
    Setting("retention.ms", "LONG", "604800000", "log.retention.ms", low=-1),
    Setting("max.message.bytes", "INT", "1048588", "message.max.bytes", low=0),
    Setting("index.interval.bytes", "INT", "4096", "log.index.interval.bytes", low=0),
    Setting("delete.retention.ms", "LONG", "86400000", "log.cleaner.delete.retention.ms", low=0),
    Setting("min.compaction.lag.ms", "LONG", "0", "log.cleaner.min.compaction.lag.ms", low=0),
    Setting("max.compaction.lag.ms", "LONG", str(LONG_MAX), "log.cleaner.max.compaction.lag.ms", low=1),
    Setting("file.delete.delay.ms", "LONG", "60000", "log.segment.delete.delay.ms", low=0),
    Setting("min.cleanable.dirty.ratio", "DOUBLE", "0.5", "log.cleaner.min.cleanable.ratio", low=0, high=1),
    Setting("cleanup.policy", "LIST", "delete", "log.cleanup.policy", words=("compact", "delete")),
    Setting("unclean.leader.election.enable", "BOOLEAN", "false", "unclean.leader.election.enable"),
    Setting("min.insync.replicas", "INT", "1", "min.insync.replicas", low=1),
    Setting("compression.type", "STRING", "producer", "compression.type", words=_CODECS),
    Setting("compression.gzip.level", "INT", "-1", "compression.gzip.level"),  # 1 to 9 or -1: see _checked
    Setting("compression.lz4.level", "INT", "9", "compression.lz4.level", low=1, high=17),
    Setting("compression.zstd.level", "INT", "3", "compression.zstd.level", low=-131072, high=22),
    Setting("preallocate", "BOOLEAN", "false", "log.preallocate"),
    Setting(
        "message.timestamp.type", "STRING", "CreateTime", "log.message.timestamp.type", words=tuple(_TIMESTAMP_TYPES)
    ),
    Setting("message.timestamp.before.max.ms", "LONG", str(LONG_MAX), "log.message.timestamp.before.max.ms", low=0),
    Setting("message.timestamp.after.max.ms", "LONG", "3600000", "log.message.timestamp.after.max.ms", low=0),
    Setting("leader.replication.throttled.replicas", "LIST", "", None),
    Setting("follower.replication.throttled.replicas", "LIST", "", None),
    Setting("remote.storage.enable", "BOOLEAN", "false", None),
    Setting("local.retention.ms", "LONG", "-2", "log.local.retention.ms", low=-2),
    Setting("local.retention.bytes", "LONG", "-2", "log.local.retention.bytes", low=-2),
    Setting("remote.log.copy.disable", "BOOLEAN", "false", None),
    Setting("remote.log.delete.on.disable", "BOOLEAN", "false", None),
    # Internal: accepted, but in no help and without a default.
    Setting("internal.segment.bytes", "INT", "", None),
)

# A broker answers in the order of a Java HashMap with 64 buckets; `kafka-topics --describe` prints it as it comes.
_DESCRIBED = (
    "compression.type",
    "remote.log.delete.on.disable",
    "leader.replication.throttled.replicas",
    "remote.storage.enable",
    "min.insync.replicas",
    "segment.jitter.ms",
    "remote.log.copy.disable",
    "internal.segment.bytes",
    "local.retention.ms",
    "cleanup.policy",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "compression.lz4.level",
    "segment.bytes",
    "retention.ms",
    "compression.gzip.level",
    "flush.messages",
    "compression.zstd.level",
    "max.compaction.lag.ms",
    "file.delete.delay.ms",
    "max.message.bytes",
    "min.compaction.lag.ms",
    "message.timestamp.type",
    "local.retention.bytes",
    "preallocate",
    "index.interval.bytes",
    "min.cleanable.dirty.ratio",
    "unclean.leader.election.enable",
    "retention.bytes",
    "delete.retention.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "segment.ms",
    "segment.index.bytes",
)

_BY_NAME: Final = {setting.name: setting for setting in _DEFINED}

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType({name: _BY_NAME[name] for name in _DESCRIBED})
"""All topic configs by name, in the order in which a broker describes them."""

CLUSTER_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({"min.insync.replicas": "1"})
"""Set for the whole cluster: a new Kafka 4.3 cluster elects eligible leader replicas (KIP-966), which sets this one
explicitly, so every topic's description shows it."""


def names() -> list[str]:
    """The configs that a user may set, sorted, as in the help of ``--config``."""
    return sorted(name for name in SETTINGS if not name.startswith("internal."))


def parse(configs: Mapping[str, str], on_notice: Callable[[str], None] | None = None) -> dict[str, str]:
    """Check names and values, and return the values as a broker describes them, in the order given.

    This is what a client can check (LogConfig.validate). Raises InvalidConfigError with Kafka's text for an unknown
    name, else for the first bad value in the order of definition. ``on_notice`` gets Kafka's warning for a list that
    names a value twice.
    """
    for name in configs:
        if name not in SETTINGS:
            raise InvalidConfigError(f"Unknown topic config name: {name}")
    checked = {
        setting.name: _checked(setting, configs[setting.name], on_notice)
        for setting in _DEFINED
        if setting.name in configs
    }
    minimum, maximum = (
        int(checked.get(name, SETTINGS[name].default)) for name in ("min.compaction.lag.ms", "max.compaction.lag.ms")
    )
    if minimum > maximum:
        raise InvalidConfigError(
            f"conflict topic config setting min.compaction.lag.ms ({minimum}) > max.compaction.lag.ms ({maximum})"
        )
    return {name: checked[name] for name in configs}


def validate(configs: Mapping[str, str]) -> dict[str, str]:
    """Like :func:`parse`, and refuse also what a broker without tiered storage refuses."""
    checked = parse(configs)
    if checked.get("remote.storage.enable") == "true":
        raise InvalidConfigError(
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage."
        )
    return checked


NUM_PARTITIONS = "num.partitions"
REPLICATION_FACTOR = "default.replication.factor"
AUTO_CREATE_TOPICS = "auto.create.topics.enable"
"""Settings of a server that count where a topic is made."""


class BrokerConfigs:
    """What was set on a broker itself, for all brokers, and in its server's file, by the broker's names."""

    __slots__ = ("cluster", "own", "static")

    def __init__(
        self, own: Mapping[str, str], cluster: Mapping[str, str], static: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.own = own
        self.cluster = cluster
        self.static = static

    @classmethod
    def of(cls, stored: Mapping[str, Mapping[str, str]], broker: int | None) -> Self:
        """Of a broker, or of none in particular. ``stored``: broker's number, or empty for all, or ``static_name`` of
        its number -> setting -> value.
        """
        own = {} if broker is None else stored.get(str(broker), {})
        static = {} if broker is None else stored.get(static_name(broker), {})
        return cls(own, {**CLUSTER_DEFAULTS, **stored.get("", {})}, static)

    def synonyms(self, name: str) -> list[tuple[str, str]]:
        """The values that a broker's setting has, and where each was set, the one that counts first."""
        sources = ("DYNAMIC_BROKER_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG", "STATIC_BROKER_CONFIG")
        configs = (self.own, self.cluster, self.static)
        return [(each[name], source) for each, source in zip(configs, sources, strict=True) if name in each]


def static_name(broker: int) -> str:
    """Under which name the settings of a broker's server.properties are kept, beside those that are its own."""
    return f"{broker} static"


BY_DEFAULT: Final = " by default"
"""Behind the name of a setting in ms that the file has in hours or minutes: to Kafka the topic's is a default then."""


NOT_SET: Final = BrokerConfigs({}, CLUSTER_DEFAULTS)


FALLBACKS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "log.retention.ms": ("log.retention.hours", "168"),
        "log.roll.ms": ("log.roll.hours", "168"),
        "log.roll.jitter.ms": ("log.roll.jitter.hours", "0"),
        "log.flush.interval.ms": ("log.flush.scheduler.interval.ms", str(LONG_MAX)),
    }
)
"""Settings of a broker without a default of their own, and the one that stands in."""


class TopicConfig:
    """The settings in force for one topic, typed; built by :meth:`of` from overrides that passed :func:`validate`."""

    __slots__ = (
        "cleanup_policy", "compression_gzip_level", "compression_lz4_level", "compression_type",
        "compression_zstd_level", "delete_retention_ms", "file_delete_delay_ms", "flush_messages", "flush_ms",
        "index_interval_bytes", "max_compaction_lag_ms", "max_message_bytes", "message_timestamp_after_max_ms",
        "message_timestamp_before_max_ms", "message_timestamp_type", "min_cleanable_dirty_ratio",
        "min_compaction_lag_ms", "min_insync_replicas", "preallocate", "retention_bytes", "retention_ms",
        "segment_bytes", "segment_index_bytes", "segment_jitter_ms", "segment_ms", "unclean_leader_election_enable",
    )  # fmt: skip

    def __init__(self, overrides: Mapping[str, str], brokers: BrokerConfigs = NOT_SET) -> None:
        values = {**_DEFAULTS, **topic_defaults(brokers), **overrides}
        self.segment_bytes = int(values["internal.segment.bytes"] or values["segment.bytes"])
        """The internal one wins, as in LogConfig.segmentSize."""
        self.segment_ms = int(values["segment.ms"])
        self.segment_jitter_ms = int(values["segment.jitter.ms"])
        self.segment_index_bytes = int(values["segment.index.bytes"])
        self.flush_messages = int(values["flush.messages"])
        self.flush_ms = int(values["flush.ms"])
        self.retention_bytes = int(values["retention.bytes"])
        """Below zero: no limit."""
        self.retention_ms = int(values["retention.ms"])
        """-1: no limit."""
        self.max_message_bytes = int(values["max.message.bytes"])
        """The greatest size of a batch as written, with the 12 bytes before its length counts."""
        self.index_interval_bytes = int(values["index.interval.bytes"])
        self.delete_retention_ms = int(values["delete.retention.ms"])
        self.min_compaction_lag_ms = int(values["min.compaction.lag.ms"])
        self.max_compaction_lag_ms = int(values["max.compaction.lag.ms"])
        self.file_delete_delay_ms = int(values["file.delete.delay.ms"])
        self.min_cleanable_dirty_ratio = float(values["min.cleanable.dirty.ratio"])
        self.cleanup_policy = frozenset(values["cleanup.policy"].split(",")) - {""}
        """Of ``compact`` and ``delete`` both, one, or none (KIP-1161): then nothing is ever taken away."""
        self.unclean_leader_election_enable = values["unclean.leader.election.enable"] == "true"
        self.min_insync_replicas = int(values["min.insync.replicas"])
        self.compression_type = values["compression.type"]
        """A codec, ``uncompressed``, or ``producer``: as it came."""
        self.compression_gzip_level = int(values["compression.gzip.level"])
        self.compression_lz4_level = int(values["compression.lz4.level"])
        self.compression_zstd_level = int(values["compression.zstd.level"])
        self.preallocate = values["preallocate"] == "true"
        self.message_timestamp_type = _TIMESTAMP_TYPES[values["message.timestamp.type"]]
        self.message_timestamp_before_max_ms = int(values["message.timestamp.before.max.ms"])
        self.message_timestamp_after_max_ms = int(values["message.timestamp.after.max.ms"])

    @classmethod
    def of(cls, overrides: Mapping[str, str], brokers: BrokerConfigs = NOT_SET) -> Self:
        """``brokers``: of the leader, whose settings stand in for what the topic does not set."""
        return cls(overrides, brokers)


_DEFAULTS: Final = {name: setting.default for name, setting in SETTINGS.items()} | dict(CLUSTER_DEFAULTS)


def topic_defaults(brokers: BrokerConfigs) -> dict[str, str]:
    """Topic config -> what brokers were told instead of its default."""
    if brokers is NOT_SET:
        return {}
    found = {}
    for name, setting in SETTINGS.items():
        if setting.synonym is not None and (synonyms := brokers.synonyms(setting.synonym)):
            found[name] = synonyms[0][0]
        elif f"{setting.synonym}{BY_DEFAULT}" in brokers.static:
            found[name] = brokers.static[f"{setting.synonym}{BY_DEFAULT}"]
    return found


def check_value(setting: Setting, text: str) -> str:
    """One value of a setting, of a topic's or another's, as a broker describes it. Raises InvalidConfigError."""
    return _checked(setting, text, None)


def _checked(setting: Setting, text: str, on_notice: Callable[[str], None] | None) -> str:
    """One value, parsed, checked and written back. Source: ConfigDef.parseType, convertToString and its validators."""
    trimmed = _trim(text)
    match setting.kind:
        case "INT" | "LONG":
            number = whole_number(trimmed, 32 if setting.kind == "INT" else 64)
            if number is None:
                raise _invalid(setting, text, f"Not a number of type {setting.kind}")
            _check_range(setting, number, str(number))
            if setting.name == "compression.gzip.level" and number != -1 and not 1 <= number <= 9:
                raise _invalid(setting, str(number), "Value must be between 1 and 9 or equal to -1")
            return str(number)
        case "DOUBLE":
            if not re.fullmatch(_REAL_NUMBER, trimmed):
                raise _invalid(setting, text, "Not a number of type DOUBLE")
            real = _java_double(trimmed)
            written = _write_double(real)
            _check_range(setting, real, written)
            return written
        case "BOOLEAN":
            if trimmed.lower() not in ("true", "false"):
                raise _invalid(setting, text, "Expected value to be either true or false")
            return trimmed.lower()
        case "LIST":
            items = _split_list(trimmed)
            if setting.name in _THROTTLED:
                _check_throttled(setting, items)
            else:
                items = _check_words(setting, items, on_notice)
            return ",".join(items)
        case _:
            if trimmed not in setting.words:
                raise _invalid(setting, trimmed, f"String must be one of: {', '.join(setting.words)}")
            return trimmed


def _invalid(setting: Setting, value: str, why: str) -> InvalidConfigError:
    return InvalidConfigError(f"Invalid value {value} for configuration {setting.name}: {why}")


# ASCII digits only: Java would take those of other scripts, too, and nobody writes them. Compiled when first used, for
# most commands read no config.
# What Double.parseDouble takes: a type letter may follow, and a hexadecimal number needs its exponent.
_REAL_NUMBER = (
    r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?"
    r"|0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?)"
)


def _trim(text: str) -> str:
    """Java's String.trim: every character up to the space goes, and no other."""
    return text.strip("".join(map(chr, range(33))))


def _java_double(text: str) -> float:
    if "x" in text.lower():
        return float.fromhex(text.rstrip("dDfF") if re.search("[pP].*[fFdD]$", text) else text)
    return float(text.rstrip("dDfF") if text[-1] in "dDfF" else text)


def _write_double(number: float) -> str:
    """Double.toString: plain from 0.001 to 10 million, else a digit, a point and an exponent (``1.0E-4``)."""
    import math  # a library of its own, which hardly any command needs

    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(number)
    digits = repr(number)
    if "e" not in digits:
        # The shortest digits of the number, moved behind one leading digit.
        digits = f"{number:.{len(digits.replace('.', '').replace('-', '').strip('0')) - 1}e}"
    mantissa, exponent = digits.split("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def _check_range(setting: Setting, number: float, written: str) -> None:
    # Asked this way round, NaN passes, as it does in Java.
    if setting.low is not None and number < setting.low:
        raise _invalid(setting, written, f"Value must be at least {setting.low}")
    if setting.high is not None and number > setting.high:
        raise _invalid(setting, written, f"Value must be no more than {setting.high}")


def _split_list(trimmed: str) -> list[str]:
    return re.split(r"\s*,\s*", trimmed) if trimmed else []


def _check_words(setting: Setting, items: list[str], on_notice: Callable[[str], None] | None) -> list[str]:
    unique = list(dict.fromkeys(items))
    if unique != items and on_notice is not None:
        on_notice(
            f'Configuration key "{setting.name}" contains duplicate values. Duplicates will be removed. '
            f"The original value is: [{', '.join(items)}], the updated value is: [{', '.join(unique)}]"
        )
    for item in unique:
        if not item:
            raise InvalidConfigError(f"Configuration '{setting.name}' values must not be empty.")
        if item not in setting.words:
            raise _invalid(setting, item, f"String must be one of: {', '.join(setting.words)}")
    return unique


def _check_throttled(setting: Setting, items: list[str]) -> None:
    """Source: ThrottledReplicaListValidator. An empty item passes there, so it does here."""
    if not all(re.fullmatch(r"([0-9]+:[0-9]+)?", item) for item in items) and "".join(items) != "*":
        raise _invalid(
            setting,
            f"[{', '.join(items)}]",
            f"{setting.name} must be the literal '*' or a list of replicas in the following format: "
            "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
        )
