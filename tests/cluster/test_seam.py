"""The seam's promises (pykafka_store/api.py), kept alike by both engines: one suite, run against each."""

from __future__ import annotations

import gc
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pykafka_store.api import Admin, Cluster, Consumer
from pykafka_store.errors import (
    GroupIdNotFoundError,
    GroupNotEmptyError,
    IllegalGenerationError,
    IllegalStateError,
    InvalidConfigError,
    InvalidGroupIdError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    InvalidTopicError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    StoreError,
    TopicExistsError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import ConfigResource, Delivery, OffsetAt, Records, SendFailure, TimestampType, TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.partitioners import partition_for_key

PATIENCE = 60.0
"""Seconds until a test that waits for something gives up."""

BOTH = ("embedded", pytest.param("remote", marks=pytest.mark.apache))


@pytest.fixture(params=BOTH)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    remote = request.param == "remote"
    address = request.getfixturevalue("broker").bootstrap if remote else f"file:{tmp_path / 'data'}"
    with open_cluster(address) as opened:
        yield opened


@pytest.fixture
def admin(cluster: Cluster) -> Admin:
    return cluster.admin()


@pytest.fixture
def topic(admin: Admin) -> str:
    """A topic of one partition."""
    return made(admin)


def fresh(prefix: str = "t") -> str:
    """A name that no test has used: they share a broker."""
    return f"{prefix}{uuid.uuid4().hex[:12]}"


def made(admin: Admin, partitions: int = 1, **configs: str) -> str:
    name = fresh()
    admin.create_topic(
        name, partitions=partitions, configs={key.replace("_", "."): value for key, value in configs.items()}
    )
    return name


def fill(cluster: Cluster, topic: str, values: Sequence[bytes | None], partition: int | None = 0) -> None:
    with cluster.producer() as producer:
        producer.send(topic, values, partitions=partition)


def read(consumer: Consumer, count: int) -> list[Records]:
    """Runs of ``count`` records; they must come."""
    runs: list[Records] = []
    deadline = time.monotonic() + PATIENCE
    while sum(map(len, runs)) < count:
        assert time.monotonic() < deadline, f"of {count} records only these came: {runs}"
        runs += consumer.poll(0.5)
    return runs


def values_of(runs: Sequence[Records]) -> list[bytes | None]:
    return [value for run in runs for value in run.values]


def until(condition: Callable[[], bool], *consumers: Consumer) -> None:
    """Let consumers do their work until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        for consumer in consumers:
            consumer.poll(0.05)
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------------------------- topics


def test_a_topic_is_made_listed_described_and_deleted(admin: Admin) -> None:
    name = fresh()
    created = admin.create_topic(name, partitions=3, configs={"retention.ms": "0012345"})
    (described,) = admin.describe_topics([name])
    assert described == created
    assert [(part.partition, part.elr, part.last_known_elr) for part in described.partitions] == [
        (0, (), ()),
        (1, (), ()),
        (2, (), ()),
    ]
    (broker,) = admin.live_brokers()
    assert {(part.leader, part.replicas, part.isr) for part in described.partitions} == {(broker, (broker,), (broker,))}
    assert [(entry.name, entry.value) for entry in described.configs] == [
        ("min.insync.replicas", "1"),
        ("retention.ms", "12345"),
    ]
    (listed,) = (listing for listing in admin.list_topics() if listing.name == name)
    assert (listed.topic_id, listed.internal) == (described.topic_id, False)
    assert re.fullmatch("[A-Za-z0-9_-]{22}", described.topic_id)

    admin.delete_topic(name)
    until(lambda: name not in {listing.name for listing in admin.list_topics()})
    with pytest.raises(UnknownTopicOrPartitionError, match=name):
        admin.describe_topics([name])


def test_topics_are_listed_by_name_and_described_in_the_order_asked(admin: Admin) -> None:
    names = [made(admin) for _ in range(3)]
    listed = [listing.name for listing in admin.list_topics()]
    assert listed == sorted(listed)
    assert [each.name for each in admin.describe_topics(names)] == names
    assert [each.name for each in admin.describe_topics()] == listed


@pytest.mark.parametrize(
    ("wanted", "error", "text"),
    [
        ({"partitions": 0}, InvalidPartitionsError, "Number of partitions was set to an invalid non-positive value."),
        ({"replication_factor": 9}, InvalidReplicationFactorError, "The target replication factor of 9 cannot be reac"),
        ({"replication_factor": 0}, InvalidReplicationFactorError, "Replication factor must be larger than 0"),
        ({"assignments": [[77]]}, InvalidReplicaAssignmentError, "broker 77, but no such broker is registered"),
        ({"assignments": [[]]}, InvalidReplicaAssignmentError, "includes an empty replica list"),
        ({"configs": {"retention.ms": "x"}}, InvalidConfigError, "Invalid value x for configuration retention.ms"),
        ({"configs": {"no.such": "x"}}, InvalidConfigError, "Unknown topic config name: no.such"),
    ],
)
def test_a_topic_that_can_not_be_is_refused_in_kafkas_words(
    admin: Admin, wanted: dict[str, object], error: type[StoreError], text: str
) -> None:
    name = fresh()
    with pytest.raises(error, match=re.escape(text)) as refused:
        admin.create_topic(name, **wanted)  # type: ignore[arg-type]
    assert refused.value.kafka_name == error.kafka_name
    assert name not in {listing.name for listing in admin.list_topics()}


@pytest.mark.parametrize("name", ["", "a b", "..", "x" * 250])
def test_a_name_that_can_not_be_is_refused(admin: Admin, name: str) -> None:
    with pytest.raises(InvalidTopicError):
        admin.create_topic(name)


def test_a_topic_is_not_made_twice_nor_deleted_twice(admin: Admin, topic: str) -> None:
    with pytest.raises(TopicExistsError, match=f"Topic '{topic}' already exists."):
        admin.create_topic(topic)
    admin.delete_topic(topic)
    until(lambda: topic not in {listing.name for listing in admin.list_topics()})
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topic(topic)


def test_partitions_are_added_and_never_taken_away(admin: Admin, topic: str) -> None:
    assert len(admin.create_partitions(topic, 3).partitions) == 3
    for count, text in (
        (3, "Topic already has 3 partition(s)."),
        (2, f"The topic {topic} currently has 3 partition(s); 2 would not be an increase."),
        (-1, f"The topic {topic} currently has 3 partition(s); -1 would not be an increase."),
    ):
        with pytest.raises(InvalidPartitionsError, match=re.escape(text)):
            admin.create_partitions(topic, count)
    with pytest.raises(InvalidReplicaAssignmentError, match="Attempted to add 2 additional partition"):
        admin.create_partitions(topic, 5, [[admin.live_brokers()[0]]])
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.create_partitions(fresh(), 5)


def test_settings_of_a_topic_are_changed_and_given_back(admin: Admin, topic: str) -> None:
    def setting(name: str) -> tuple[str, str]:
        (found,) = (each for each in admin.describe_configs(ConfigResource("topic", topic)) if each.name == name)
        return found.value, found.source

    assert setting("retention.ms") == ("604800000", "DEFAULT_CONFIG")
    admin.incremental_alter_configs(
        ConfigResource("topic", topic), {"retention.ms": "5000", "cleanup.policy": "compact"}
    )
    assert setting("retention.ms") == ("5000", "DYNAMIC_TOPIC_CONFIG")
    admin.incremental_alter_configs(ConfigResource("topic", topic), {}, ["retention.ms"])
    assert setting("retention.ms") == ("604800000", "DEFAULT_CONFIG")
    assert setting("cleanup.policy") == ("compact", "DYNAMIC_TOPIC_CONFIG")
    with pytest.raises(InvalidConfigError):
        admin.incremental_alter_configs(ConfigResource("topic", topic), {"retention.ms": "x"})
    names = [each.name for each in admin.describe_configs(ConfigResource("topic", topic))]
    assert names == sorted(names)


def test_offsets_at_points_in_time(cluster: Cluster, admin: Admin, topic: str) -> None:
    with cluster.producer() as producer:
        producer.send(topic, [b"a", b"b", b"c"], timestamps=[1000, 3000, 2000])
    partition = TopicPartition(topic, 0)

    def at(when: int | OffsetAt) -> int | Exception:
        return admin.list_offsets({partition: when})[partition]

    assert [at(when) for when in OffsetAt] == [3, 0, 1, 0, -1, -1]
    assert [at(when) for when in (0, 1000, 1001, 3000, 3001)] == [0, 0, 1, 1, -1]


def test_a_partition_that_can_not_be_asked_does_not_hide_the_others(admin: Admin, topic: str) -> None:
    asked = [TopicPartition(topic, 0), TopicPartition(topic, 7), TopicPartition(fresh(), 0)]
    answers = admin.list_offsets(dict.fromkeys(asked, OffsetAt.LATEST))
    assert list(answers) == asked
    assert answers[asked[0]] == 0
    for unknown in asked[1:]:
        assert isinstance(answers[unknown], UnknownTopicOrPartitionError)


def test_records_before_an_offset_are_deleted(cluster: Cluster, admin: Admin, topic: str) -> None:
    fill(cluster, topic, [b"%d" % number for number in range(10)])
    here, missing = TopicPartition(topic, 0), TopicPartition(fresh(), 0)
    answers = admin.delete_records({here: 4, missing: 1})
    assert answers[here] == 4
    assert isinstance(answers[missing], UnknownTopicOrPartitionError)
    assert isinstance(admin.delete_records({here: 11})[here], OffsetOutOfRangeError)
    with cluster.consumer() as consumer:
        consumer.assign({here: OffsetAt.EARLIEST})
        assert values_of(read(consumer, 6)) == [b"%d" % number for number in range(4, 10)]
    assert admin.delete_records({here: -1})[here] == 10


# ----------------------------------------------------------------------------------------------------------- producing


def test_a_closed_producer_gives_everything_back_and_takes_nothing_more(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, [b"before"])  # what the cluster itself opens stays
    before = len(os.listdir("/proc/self/task"))
    gc.disable()  # not only when Python happens to look for what refers to itself
    try:
        producers = [cluster.producer() for _ in range(3)]
        for producer in producers:
            producer.send(topic, [b"value"])
            producer.close()
            producer.close()
        deadline = time.monotonic() + PATIENCE
        while len(os.listdir("/proc/self/task")) > before:  # a joined thread is gone a moment later
            assert time.monotonic() < deadline
    finally:
        gc.enable()
    with pytest.raises(IllegalStateError, match="Cannot perform operation after producer has been closed"):
        producers[0].send(topic, [b"lost"])


def test_records_come_back_as_they_were_sent(cluster: Cluster, topic: str) -> None:
    values = [b"value", b"", None, b"\xff\x00", b"last"]
    keys = [b"key", b"", None, b"\x00", None]
    headers = [[("a", b"1"), ("a", None), ("b", b"")], [], [("ä", b"\xff")], [], []]
    timestamps = [1, 1_700_000_000_000, 2, 1_700_000_000_000, 3]
    with cluster.producer() as producer:
        producer.send(topic, values, keys=keys, headers=headers, timestamps=timestamps)
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        runs = read(consumer, len(values))
    assert values_of(runs) == values
    assert [key for run in runs for key in run.keys] == keys
    assert [list(each) for run in runs for each in run.headers] == headers
    assert [stamp for run in runs for stamp in run.timestamps] == timestamps
    assert [offset for run in runs for offset in run.offsets] == [0, 1, 2, 3, 4]
    assert {(run.topic, run.partition, run.timestamp_type, run.leader_epoch) for run in runs} == {
        (topic, 0, TimestampType.CREATE_TIME, 0)
    }


def test_the_logs_own_time_is_told(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000) - 1000
    with cluster.producer() as producer:
        producer.send(topic, [b"x"], timestamps=5)
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        (run,) = read(consumer, 1)
    assert run.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert run.timestamps[0] >= before


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_come_back(cluster: Cluster, topic: str, codec: str) -> None:
    values: list[bytes | None] = [b"%04d" % number * 50 for number in range(500)]
    with cluster.producer({"compression.type": codec}) as producer:
        producer.send(topic, values)
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        assert values_of(read(consumer, 500)) == values


def test_deliveries_are_reported_with_their_offsets(cluster: Cluster, topic: str) -> None:
    told: list[Delivery] = []
    with cluster.producer(on_delivery=told.append) as producer:
        producer.send(topic, [b"a", b"b"])
        producer.send(topic, [b"c"])
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (3, 0)
    assert sum(each.record_count for each in told) == 3
    next_offset = 0
    for each in told:
        assert (each.topic, each.partition, each.base_offset) == (topic, 0, next_offset)
        next_offset += each.record_count


def test_deliveries_without_an_acknowledgement_are_reported(cluster: Cluster, topic: str) -> None:
    """A cluster does not say at which offset such records are."""
    told: list[Delivery] = []
    with cluster.producer({"acks": "0"}, on_delivery=told.append) as producer:
        producer.send(topic, [b"a", b"b", b"c"])
        producer.flush()
    assert sum(each.record_count for each in told) == 3
    assert {each.base_offset for each in told} <= {-1, 0}


def partitions_by_value(cluster: Cluster, topic: str, count: int) -> dict[bytes | None, int]:
    with cluster.consumer() as consumer:
        consumer.subscribe([topic], start=OffsetAt.EARLIEST)
        return {value: run.partition for run in read(consumer, count) for value in run.values}


def test_a_key_goes_where_java_puts_it(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=7)
    keys: list[bytes | None] = [b"key-%d" % number for number in range(100)] + [b""]
    with cluster.producer() as producer:
        producer.send(topic, keys, keys=keys)
    assert partitions_by_value(cluster, topic, 101) == {key: partition_for_key(key or b"", 7) for key in keys}


def test_a_record_goes_where_it_is_told_to(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=3)
    with cluster.producer() as producer:
        producer.send(topic, [b"a", b"b"], partitions=2)
        producer.send(topic, [b"c", b"d", b"k"], keys=[None, None, b"key"], partitions=[1, 0, None])
    assert partitions_by_value(cluster, topic, 5) == {
        b"a": 2,
        b"b": 2,
        b"c": 1,
        b"d": 0,
        b"k": partition_for_key(b"key", 3),
    }


def test_a_partitioner_of_ones_own_chooses(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=3)
    with cluster.producer({"partitioner.class": "org.apache.kafka.clients.producer.RoundRobinPartitioner"}) as producer:
        producer.send(topic, [b"a", b"b", b"c", b"d"], keys=[b"same"] * 4)
    found = partitions_by_value(cluster, topic, 4)
    assert sorted(found.values()) == [0, 0, 1, 2]
    assert found[b"a"] == found[b"d"]


def test_what_is_refused_is_told_and_the_rest_is_sent(cluster: Cluster, topic: str) -> None:
    failures: list[SendFailure] = []
    with cluster.producer(on_failure=failures.append) as producer:
        producer.send(topic, [b"a", b"x" * 1_100_000, b"b"], keys=[None, b"key", None])
        producer.send(topic, [b"c", b"d"], partitions=[5, 0])
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (3, 2)
    large, elsewhere = failures
    assert isinstance(large.error, RecordTooLargeError)
    assert "which is larger than 1048576, which is the value of the max.request.size" in str(large.error)
    assert (large.record_count, large.key_size, large.value_size) == (1, 3, 1_100_000)
    assert isinstance(elsewhere.error, InvalidRequestError)
    assert elsewhere.partition == 5
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        assert values_of(read(consumer, 3)) == [b"a", b"b", b"d"]


@pytest.mark.parametrize("config", [{}, {"enable.idempotence": "false"}, {"compression.type": "gzip"}])
def test_a_topic_that_takes_small_batches_gets_small_ones(
    cluster: Cluster, admin: Admin, config: dict[str, str]
) -> None:
    """A broker refuses a batch above max.message.bytes with all that is in it; only what is too large itself fails."""
    topic = made(admin, max_message_bytes="1000")
    failures: list[SendFailure] = []
    values = [b"%d" % number + b"x" * (number % 300) for number in range(700)]
    with cluster.producer(config, on_failure=failures.append) as producer:
        producer.send(topic, values)
        producer.send(topic, [b"a", os.urandom(2000), b"b"], keys=[b"k"] * 3, headers=[[("h", b"1")]] * 3)
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (702, 1)
    (failure,) = failures
    assert isinstance(failure.error, RecordTooLargeError)
    assert failure.value_size == 2000
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        assert values_of(read(consumer, 702)) == [*values, b"a", b"b"]


def test_without_a_listener_the_first_failure_is_raised(cluster: Cluster, topic: str) -> None:
    with cluster.producer() as producer:
        with pytest.raises(RecordTooLargeError):
            producer.send(topic, [b"x" * 1_100_000])
        with pytest.raises(InvalidRequestError):
            producer.send(topic, [b"x"], partitions=1)
        producer.send(topic, [b"fine"])
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (1, 1)


def test_what_the_log_refuses_is_told(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, cleanup_policy="compact")
    failures: list[SendFailure] = []
    with cluster.producer(on_failure=failures.append) as producer:
        producer.send(topic, [b"no key"])
        producer.flush()
    (failure,) = failures
    assert failure.error.kafka_name == "InvalidRecordException"  # type: ignore[attr-defined]


def test_a_missing_topic_is_made_on_the_way_and_told_of(cluster: Cluster) -> None:
    name = fresh()
    notices: list[str] = []
    with cluster.producer(on_notice=notices.append) as producer:
        producer.send(name, [b"x"])
    assert notices == [f"Topic {name} did not exist and was created with 1 partition"]


def test_a_missing_topic_is_an_error_where_none_may_be_made(cluster: Cluster, admin: Admin) -> None:
    name = fresh()
    with (
        cluster.producer({"allow.auto.create.topics": "false"}) as producer,
        pytest.raises(UnknownTopicOrPartitionError, match=name),
    ):
        producer.send(name, [b"x"])
    with (
        cluster.consumer({"allow.auto.create.topics": "false"}) as consumer,
        pytest.raises(UnknownTopicOrPartitionError, match=name),
    ):
        consumer.subscribe([name])
    assert name not in {listing.name for listing in admin.list_topics()}


@pytest.mark.parametrize(
    "config",
    [
        {"no.such.setting": "1"},
        {"acks": "2"},
        {"compression.type": "brotli"},
        {"transactional.id": "t"},
        {"interceptor.classes": "a.B"},
        {"batch.size": "many"},
    ],
)
def test_a_producer_setting_that_can_not_be_honoured_is_refused(cluster: Cluster, config: dict[str, str]) -> None:
    (name,) = config
    with pytest.raises(InvalidConfigError, match=re.escape(name)):
        cluster.producer(config)


@pytest.mark.parametrize(
    "config",
    [
        {"no.such.setting": "1"},
        {"auto.offset.reset": "middle"},
        {"auto.offset.reset": "by_duration:1h"},
        {"interceptor.classes": "a.B"},
        {"max.poll.records": "0"},
    ],
)
def test_a_consumer_setting_that_can_not_be_honoured_is_refused(cluster: Cluster, config: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        cluster.consumer(config)


# ----------------------------------------------------------------------------------------------------------- consuming


def test_a_subscription_begins_where_it_is_told_to(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=2)
    fill(cluster, topic, [b"old"], 0)
    with cluster.consumer() as late, cluster.consumer() as early:
        late.subscribe([topic])
        early.subscribe([topic], start=OffsetAt.EARLIEST)
        assert late.assignment() == early.assignment() == (TopicPartition(topic, 0), TopicPartition(topic, 1))
        fill(cluster, topic, [b"new"], 1)
        assert sorted(map(str, values_of(read(early, 2)))) == ["b'new'", "b'old'"]
        assert values_of(read(late, 1)) == [b"new"]


def test_new_partitions_and_topics_are_followed_from_their_beginning(cluster: Cluster, admin: Admin) -> None:
    prefix = fresh("p")
    first, second = f"{prefix}a", f"{prefix}b"
    admin.create_topic(first)
    with cluster.consumer({"metadata.max.age.ms": "100"}) as consumer:
        consumer.subscribe(pattern=re.compile(f"{prefix}."))
        admin.create_partitions(first, 2)
        fill(cluster, first, [b"in a new partition"], 1)
        admin.create_topic(second)
        fill(cluster, second, [b"in a new topic"])
        assert sorted(map(str, values_of(read(consumer, 2)))) == ["b'in a new partition'", "b'in a new topic'"]
        assert len(consumer.assignment()) == 3
        admin.delete_topic(second)
        until(lambda: len(consumer.assignment()) == 2, consumer)


def test_positions_are_moved_and_told(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, [b"%d" % number for number in range(10)])
    partition = TopicPartition(topic, 0)
    with cluster.consumer() as consumer:
        consumer.assign({partition: 3})
        assert consumer.position(partition) == 3
        assert values_of(consumer_first(consumer, 2)) == [b"3", b"4"]
        assert consumer.position(partition) == 5
        consumer.seek(partition, 8)
        assert consumer.position(partition) == 8
        assert values_of(read(consumer, 2)) == [b"8", b"9"]
        consumer.seek(partition, OffsetAt.EARLIEST)
        assert values_of(read(consumer, 10))[0] == b"0"
        consumer.seek(partition, OffsetAt.LATEST)
        assert (consumer.position(partition), consumer.poll(0.2)) == (10, [])
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        assert consumer.end_offsets([partition]) == {partition: 10}


def consumer_first(consumer: Consumer, count: int) -> list[Records]:
    """Exactly ``count`` records, in one or more polls."""
    runs: list[Records] = []
    while (left := count - sum(map(len, runs))) > 0:
        runs += consumer.poll(1.0, max_records=left)
    return runs


def test_paused_partitions_are_kept_and_silent(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=2)
    quiet, loud = TopicPartition(topic, 0), TopicPartition(topic, 1)
    with cluster.consumer() as consumer:
        consumer.assign({quiet: 0, loud: 0})
        consumer.pause([quiet])
        for partition in (quiet, loud):
            fill(cluster, topic, [b"%d" % partition.partition], partition.partition)
        assert values_of(read(consumer, 1)) == [b"1"]
        assert consumer.poll(0.3) == []
        assert consumer.assignment() == (quiet, loud)
        consumer.resume([quiet])
        assert values_of(read(consumer, 1)) == [b"0"]


def test_a_poll_gives_no_more_than_it_is_asked_for(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, [b"%d" % number for number in range(100)])
    with cluster.consumer({"max.poll.records": "7"}) as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        seen: list[bytes | None] = []
        while len(seen) < 100:
            found = values_of(consumer.poll(1.0, max_records=5 if len(seen) < 50 else None))
            assert len(found) <= (5 if len(seen) < 50 else 7)
            seen += found
        assert seen == [b"%d" % number for number in range(100)]


def test_an_empty_poll_ends_in_time(cluster: Cluster, topic: str) -> None:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): OffsetAt.LATEST})
        started = time.monotonic()
        assert consumer.poll(0.3) == []
        assert 0.25 <= time.monotonic() - started < 2


def test_what_does_not_exist_can_not_be_assigned(cluster: Cluster, admin: Admin, topic: str) -> None:
    missing = fresh()
    with cluster.consumer() as consumer:
        for partition in (TopicPartition(topic, 1), TopicPartition(missing, 0)):
            with pytest.raises(UnknownTopicOrPartitionError):
                consumer.assign({partition: 0})
        with pytest.raises(UnknownTopicOrPartitionError):
            consumer.position(TopicPartition(topic, 0))
    assert missing not in {listing.name for listing in admin.list_topics()}


def test_an_offset_outside_the_log_is_reset_as_the_setting_says(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, [b"a", b"b"])
    partition = TopicPartition(topic, 0)
    with cluster.consumer({"auto.offset.reset": "earliest"}) as consumer:
        consumer.assign({partition: 99})
        assert values_of(read(consumer, 2)) == [b"a", b"b"]
    with cluster.consumer({"auto.offset.reset": "none"}) as consumer:
        consumer.assign({partition: 99})
        with pytest.raises(OffsetOutOfRangeError, match=f"{topic}-0 is out of range, and auto.offset.reset is none"):
            consumer.poll(PATIENCE)


def test_a_topic_deleted_while_it_is_read_is_an_error(cluster: Cluster, admin: Admin, topic: str) -> None:
    fill(cluster, topic, [b"a"])
    with cluster.consumer({"metadata.max.age.ms": "100"}) as consumer:
        consumer.subscribe([topic], start=OffsetAt.EARLIEST)
        read(consumer, 1)
        admin.delete_topic(topic)
        deadline = time.monotonic() + PATIENCE
        with pytest.raises(UnknownTopicOrPartitionError):
            while time.monotonic() < deadline:
                consumer.poll(0.5)


# -------------------------------------------------------------------------------------------------------------- groups


def test_offsets_of_a_group_are_set_listed_and_forgotten(admin: Admin, topic: str) -> None:
    group = fresh("g")
    partition = TopicPartition(topic, 0)
    assert admin.group_offsets(group) == {}
    assert admin.describe_group(group).state == "Dead"
    admin.alter_group_offsets(group, {partition: 5})
    assert {part: each.offset for part, each in admin.group_offsets(group).items()} == {partition: 5}
    assert (group, "Classic", "Empty") in [tuple(listing) for listing in admin.list_groups()]
    assert (admin.describe_group(group).state, admin.describe_group(group).members) == ("Empty", ())
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.alter_group_offsets(group, {partition: 6, TopicPartition(topic, 1): 0})
    assert admin.group_offsets(group)[partition].offset == 5  # nothing was changed
    admin.delete_group(group)
    assert group not in {listing.group_id for listing in admin.list_groups()}
    with pytest.raises(GroupIdNotFoundError):
        admin.delete_group(group)


def test_a_group_goes_on_where_it_stopped(cluster: Cluster, admin: Admin, topic: str) -> None:
    group = fresh("g")
    fill(cluster, topic, [b"a", b"b", b"c"])
    config = {"group.id": group, "auto.offset.reset": "earliest"}
    partition = TopicPartition(topic, 0)
    with cluster.consumer(config) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 3)) == [b"a", b"b", b"c"]
        consumer.commit({partition: 2})
        assert {part: each.offset for part, each in consumer.committed([partition]).items()} == {partition: 2}
        description = admin.describe_group(group)
        assert (description.state, description.type, description.assignor) == ("Stable", "Classic", "range")
        assert [member.assignment for member in description.members] == [(partition,)]
        with pytest.raises(GroupNotEmptyError):
            admin.delete_group(group)
        with pytest.raises((UnknownMemberIdError, IllegalGenerationError)):
            admin.alter_group_offsets(group, {partition: 0})
        consumer.seek(partition, 2)
    with cluster.consumer(config) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 1)) == [b"c"]
    assert admin.group_offsets(group)[partition].offset == 3  # committed by close


def test_what_was_not_dealt_with_is_not_committed(cluster: Cluster, admin: Admin, topic: str) -> None:
    group = fresh("g")
    fill(cluster, topic, [b"a", b"b", b"c"])
    config = {"group.id": group, "auto.offset.reset": "earliest", "auto.commit.interval.ms": "1"}
    with cluster.consumer(config) as consumer:
        consumer.subscribe([topic])
        deadline = time.monotonic() + PATIENCE
        while not (found := consumer.poll(0.2, max_records=2)):
            assert time.monotonic() < deadline
        time.sleep(0.1)
        assert admin.group_offsets(group).get(TopicPartition(topic, 0), None) is None or (
            admin.group_offsets(group)[TopicPartition(topic, 0)].offset == 0
        )
        consumer.poll(0)
        handled = found[-1].offsets[-1] + 1
        assert admin.group_offsets(group)[TopicPartition(topic, 0)].offset >= handled


def test_members_share_and_are_told(cluster: Cluster, admin: Admin) -> None:
    topic = made(admin, partitions=4)
    group = fresh("g")
    config = {"group.id": group, "auto.offset.reset": "earliest"}
    told: list[tuple[str, int]] = []
    with cluster.consumer(config) as one:
        one.on_rebalance(
            lambda parts: told.append(("assigned", len(parts))),
            lambda parts: told.append(("revoked", len(parts))),
            lambda parts: told.append(("lost", len(parts))),
        )
        one.subscribe([topic])
        until(lambda: len(one.assignment()) == 4, one)
        assert told == [("assigned", 4)]
        with cluster.consumer(config) as two:
            two.subscribe([topic])
            until(lambda: len(one.assignment()) == len(two.assignment()) == 2, one, two)
            assert sorted(one.assignment() + two.assignment()) == [TopicPartition(topic, each) for each in range(4)]
            assert [kind for kind, _ in told].count("revoked") >= 1
            fill(cluster, topic, [b"x"], one.assignment()[0].partition)
            assert values_of(read(one, 1)) == [b"x"]
        until(lambda: len(one.assignment()) == 4, one)
    assert told[-1] == ("revoked", 4)
    assert admin.describe_group(group).state == "Empty"


def test_a_member_with_nothing_left_to_own_is_told(cluster: Cluster, topic: str) -> None:
    config = {"group.id": fresh("g")}
    told: list[int] = []
    with cluster.consumer(config) as one, cluster.consumer(config) as two:
        one.subscribe([topic])
        until(lambda: len(one.assignment()) == 1, one)
        two.on_rebalance(assigned=lambda parts: told.append(len(parts)))
        two.subscribe([topic])
        # In between nobody has it: each learns of its own share when it polls.
        until(lambda: bool(told) and len(one.assignment()) + len(two.assignment()) == 1, one, two)


def test_a_group_without_offsets_and_without_a_reset_is_an_error(cluster: Cluster, topic: str) -> None:
    with cluster.consumer({"group.id": fresh("g"), "auto.offset.reset": "none"}) as consumer:
        consumer.subscribe([topic])
        deadline = time.monotonic() + PATIENCE
        with pytest.raises(NoOffsetForPartitionError, match=re.escape(f"for partitions: [{topic}-0]")):
            while time.monotonic() < deadline:
                consumer.poll(0.2)


def test_a_new_group_may_go_back_for_a_time(cluster: Cluster, topic: str) -> None:
    now = int(time.time() * 1000)
    with cluster.producer() as producer:
        producer.send(topic, [b"old", b"new"], timestamps=[now - 7_200_000, now])
    with cluster.consumer({"group.id": fresh("g"), "auto.offset.reset": "by_duration:PT1H"}) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 1)) == [b"new"]


def test_committing_takes_a_group(cluster: Cluster, topic: str) -> None:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        with pytest.raises(InvalidGroupIdError):
            consumer.commit()
        with pytest.raises(InvalidGroupIdError):
            consumer.committed([TopicPartition(topic, 0)])


def test_a_group_is_committed_for_without_joining_it(cluster: Cluster, admin: Admin, topic: str) -> None:
    group = fresh("g")
    fill(cluster, topic, [b"a", b"b"])
    with cluster.consumer({"group.id": group}) as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        read(consumer, 2)
    assert admin.group_offsets(group)[TopicPartition(topic, 0)].offset == 2
