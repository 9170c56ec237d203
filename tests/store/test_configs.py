"""Topic configs: the same names, values, refusals and order as Apache Kafka 4.3's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.errors import InvalidConfigError
from pykafka_store.model import TimestampType
from pykafka_store.settings import configs, topic_descriptions

CHECKS = Path(__file__).parent.parent / "data" / "topic_config_checks.tsv"


def kafka_checks() -> list[tuple[str, str]]:
    rows = [line for line in CHECKS.read_text("utf-8").split("\n") if line and not line.startswith("#")]
    return [(row.partition("\t")[0], row.partition("\t")[2]) for row in rows]


@pytest.mark.parametrize(("given", "expected"), kafka_checks())
def test_kafka_says_the_same(given: str, expected: str) -> None:
    pairs = dict(text.split("=", 1) for text in given.split(" & "))
    try:
        said = "OK " + " ".join(f"[{value}]" for value in configs.parse(pairs).values())
    except InvalidConfigError as error:
        said = str(error)
    assert said == expected


def test_every_default_is_valid_and_written_as_kafka_writes_it() -> None:
    defaults = {name: setting.default for name, setting in configs.SETTINGS.items() if setting.default}
    assert configs.parse(defaults) == defaults


def test_values_come_back_in_the_order_given() -> None:
    assert list(configs.parse({"segment.ms": "1", "cleanup.policy": "delete", "flush.ms": "2"})) == [
        "segment.ms",
        "cleanup.policy",
        "flush.ms",
    ]


def test_a_value_named_twice_is_taken_once_and_told() -> None:
    """A broker keeps one of them; Kafka's client logs this warning."""
    notices: list[str] = []
    assert configs.parse({"cleanup.policy": "compact, compact"}, notices.append) == {"cleanup.policy": "compact"}
    assert notices == [
        'Configuration key "cleanup.policy" contains duplicate values. Duplicates will be removed. '
        "The original value is: [compact, compact], the updated value is: [compact]"
    ]


def test_tiered_storage_is_refused_where_there_is_none() -> None:
    """A client lets it pass, for it can't know; a broker without tiered storage does not."""
    assert configs.parse({"remote.storage.enable": "true"}) == {"remote.storage.enable": "true"}
    with pytest.raises(InvalidConfigError, match="Tiered Storage functionality is disabled in the broker"):
        configs.validate({"remote.storage.enable": "true"})
    assert configs.validate({"remote.storage.enable": "false"}) == {"remote.storage.enable": "false"}


def test_entries_are_in_the_order_in_which_a_broker_describes_them() -> None:
    """The line below is what kafka-topics 4.3.1 printed of a topic with nearly all configs set."""
    described = (
        "compression.type=zstd,leader.replication.throttled.replicas=0:1,min.insync.replicas=1,segment.jitter.ms=4,"
        "local.retention.ms=-2,cleanup.policy=compact,flush.ms=7,follower.replication.throttled.replicas=*,"
        "compression.lz4.level=5,segment.bytes=2000000,retention.ms=1000,compression.gzip.level=5,flush.messages=9,"
        "compression.zstd.level=5,max.compaction.lag.ms=100000,file.delete.delay.ms=1000,max.message.bytes=1000,"
        "min.compaction.lag.ms=1,message.timestamp.type=LogAppendTime,local.retention.bytes=-2,preallocate=true,"
        "index.interval.bytes=100,min.cleanable.dirty.ratio=0.25,unclean.leader.election.enable=true,"
        "retention.bytes=55,delete.retention.ms=5,message.timestamp.after.max.ms=3600001,"
        "message.timestamp.before.max.ms=8,segment.ms=100000,segment.index.bytes=1000"
    )
    given = dict(pair.split("=") for pair in sorted(described.split(",")))
    entries = topic_descriptions.entries(configs.parse(given))
    assert ",".join(f"{entry.name}={entry.value}" for entry in entries) == described
    assert {entry.source for entry in entries} == {"DYNAMIC_TOPIC_CONFIG"}


def test_entries_show_what_a_new_cluster_sets_for_all_topics() -> None:
    (entry,) = topic_descriptions.entries({})
    assert entry == ("min.insync.replicas", "1", "DYNAMIC_DEFAULT_BROKER_CONFIG")
    assert not entry.is_default


def test_names_leave_out_the_internal_one() -> None:
    assert len(configs.names()) == 33
    assert configs.names() == sorted(configs.names())
    assert "internal.segment.bytes" not in configs.names()


def test_the_settings_in_force_without_overrides_are_kafkas_defaults() -> None:
    config = configs.TopicConfig.of({})
    assert {name: getattr(config, name) for name in configs.TopicConfig.__slots__} == {
        "segment_bytes": 1 << 30,
        "segment_ms": 604_800_000,
        "segment_jitter_ms": 0,
        "segment_index_bytes": 10 << 20,
        "flush_messages": (1 << 63) - 1,
        "flush_ms": (1 << 63) - 1,
        "retention_bytes": -1,
        "retention_ms": 604_800_000,
        "max_message_bytes": (1 << 20) + 12,
        "index_interval_bytes": 4096,
        "delete_retention_ms": 86_400_000,
        "min_compaction_lag_ms": 0,
        "max_compaction_lag_ms": (1 << 63) - 1,
        "file_delete_delay_ms": 60_000,
        "min_cleanable_dirty_ratio": 0.5,
        "cleanup_policy": frozenset({"delete"}),
        "unclean_leader_election_enable": False,
        "min_insync_replicas": 1,
        "compression_type": "producer",
        "compression_gzip_level": -1,
        "compression_lz4_level": 9,
        "compression_zstd_level": 3,
        "preallocate": False,
        "message_timestamp_type": TimestampType.CREATE_TIME,
        "message_timestamp_before_max_ms": (1 << 63) - 1,
        "message_timestamp_after_max_ms": 3_600_000,
    }


def test_overrides_are_in_force() -> None:
    config = configs.TopicConfig.of(
        configs.validate(
            {
                "cleanup.policy": "compact , delete",
                "message.timestamp.type": "LogAppendTime",
                "preallocate": "TRUE",
                "min.cleanable.dirty.ratio": "1e-4",
                "segment.bytes": "2000000",
                "internal.segment.bytes": "100",
            }
        )
    )
    assert config.cleanup_policy == {"compact", "delete"}
    assert config.message_timestamp_type is TimestampType.LOG_APPEND_TIME
    assert config.preallocate is True
    assert config.min_cleanable_dirty_ratio == 0.0001
    assert config.segment_bytes == 100


def test_no_cleanup_policy_at_all_is_one() -> None:
    """KIP-1161 lets the list be empty: nothing is deleted and nothing compacted."""
    assert configs.TopicConfig.of(configs.parse({"cleanup.policy": ""})).cleanup_policy == frozenset()
