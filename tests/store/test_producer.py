"""What a producer takes, what it refuses record by record, and what it says of both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.clients.producer import EmbeddedProducer
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import (
    InvalidRecordError,
    InvalidRequestError,
    InvalidTimestampError,
    RecordTooLargeError,
    StoreError,
)
from pykafka_store.format.batch import split_batches
from pykafka_store.model import Delivery, SendFailure, TopicPartition
from pykafka_store.partitioners import partition_for_key
from tests.store.helpers import AT_ONCE, Row, rows


class Sender:
    """A producer with a note of what it said."""

    def __init__(self, cluster: EmbeddedCluster, **config: str) -> None:
        self.delivered: list[Delivery] = []
        self.failed: list[SendFailure] = []
        self.producer: EmbeddedProducer = cluster.producer(
            AT_ONCE | {name.replace("_", "."): value for name, value in config.items()},
            on_delivery=self.delivered.append,
            on_failure=self.failed.append,
        )

    @property
    def errors(self) -> list[type[Exception]]:
        return [type(failure.error) for failure in self.failed]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        yield cluster


def read(cluster: EmbeddedCluster, partition: int = 0) -> list[Row]:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", partition): 0})
        found = []
        while some := consumer.poll():
            found += rows(some)
    return found


def test_a_timestamp_out_of_range_is_refused_be_it_one_for_all_or_one_of_many(cluster: EmbeddedCluster) -> None:
    """As a broker refuses it: else a mistyped century would keep a segment from ever expiring."""
    cluster.admin().create_topic("t", configs={"message.timestamp.before.max.ms": "1000000"})
    now = time.time_ns() // 1_000_000
    for stamp in (now + 4_000_000, now - 2_000_000, -2, 1 << 63, 1 << 100):
        sender = Sender(cluster)
        sender.producer.send("t", [b"a", b"b"], timestamps=stamp)
        assert sender.errors == [InvalidTimestampError] * 2
        assert str(stamp) in str(sender.failed[0].error)
        sender.producer.send("t", [b"a", b"b"], timestamps=[stamp, now])
        assert sender.errors == [InvalidTimestampError] * 3
        assert [row.value for row in read(cluster)] == [b"b"]
        sender.producer.close()
        cluster.admin().delete_topic("t")
        cluster.admin().create_topic("t", configs={"message.timestamp.before.max.ms": "1000000"})
    sender = Sender(cluster)
    sender.producer.send("t", [b"a"], timestamps=-1)
    sender.producer.send("t", [b"b"], timestamps=now)
    assert sender.errors == []
    assert [row.timestamp for row in read(cluster)] == [-1, now]
    sender.producer.close()


@pytest.mark.parametrize("column", ["keys", "headers", "timestamps", "partitions"])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_columns_of_different_lengths_are_a_mistake_that_is_told_before_anything_is_written(
    cluster: EmbeddedCluster, column: str, length: int
) -> None:
    """Taken as they come, records would silently be left out."""
    cluster.admin().create_topic("t")
    item: object = {"keys": b"k", "headers": (), "timestamps": time.time_ns() // 1_000_000, "partitions": 0}[column]
    with cluster.producer(AT_ONCE) as producer, pytest.raises(ValueError, match=f"{length} {column} for 2 values"):
        producer.send("t", [b"a", b"b"], **{column: [item] * length})  # type: ignore[arg-type]
    assert read(cluster) == []


def test_a_record_too_large_is_refused_alone(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t")
    sender = Sender(cluster, max_request_size="1000")
    values = [b"a", b"x" * 2000, b"b", b"y" * 900, b"z" * 950]
    sender.producer.send("t", values)
    assert [row.value for row in read(cluster)] == [b"a", b"b", b"y" * 900]
    assert sender.errors == [RecordTooLargeError] * 2
    assert [(failure.value_size, failure.key_size) for failure in sender.failed] == [(2000, None), (950, None)]
    assert (sender.producer.acknowledged, sender.producer.failed) == (3, 2)
    sender.producer.close()


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_batch_too_large_for_its_topic_is_halved_until_it_fits(cluster: EmbeddedCluster, codec: str) -> None:
    """What does not fit alone is refused; the others keep their order."""
    cluster.admin().create_topic("t", configs={"max.message.bytes": "300"})
    sender = Sender(cluster, compression_type=codec)
    incompressible = bytes(range(256)) * 2
    values = [b"%d" % number * 10 for number in range(40)]
    values.insert(20, incompressible)
    sender.producer.send("t", values)
    assert [row.value for row in read(cluster)] == [value for value in values if value != incompressible]
    assert sender.errors == [RecordTooLargeError]
    assert sum(delivery.record_count for delivery in sender.delivered) == 40
    log = next(Path(cluster.directory).glob("brokers/0/t-0/*.log")).read_bytes()
    assert all(batch.header.size <= 300 for batch in split_batches(log))
    sender.producer.close()


def test_a_null_key_is_refused_where_the_topic_is_compacted(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", configs={"cleanup.policy": "compact"})
    sender = Sender(cluster)
    sender.producer.send("t", [b"a", b"b"], keys=[None, b"k"])
    sender.producer.send("t", [b"c"])
    assert sender.errors == [InvalidRecordError] * 2
    assert "t-0" in str(sender.failed[0].error)
    assert [row.value for row in read(cluster)] == [b"b"]
    sender.producer.close()


def test_keys_choose_the_partition_and_an_explicit_one_wins(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", partitions=5)
    keys = [b"%d" % number for number in range(50)]
    sender = Sender(cluster)
    sender.producer.send("t", keys, keys=keys)
    sender.producer.send("t", keys, keys=keys, partitions=[3] * 50)
    sender.producer.send("t", keys, keys=keys, partitions=4)
    for partition in range(5):
        own = [key for key in keys if partition_for_key(key, 5) == partition]
        expected = own + (keys if partition in {3, 4} else [])
        assert [row.key for row in read(cluster, partition)] == expected
    sender.producer.send("t", [b"x", b"y"], partitions=[9, 0])
    assert sender.errors == [InvalidRequestError]
    sender.producer.close()


def test_null_keys_stay_together_until_a_batch_is_full(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", partitions=10)
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"x"] * 20)
        producer.send("t", [b"x"] * 20)
    assert sorted(len(read(cluster, partition)) for partition in range(10)) == [0] * 9 + [40]
    with cluster.producer({**AT_ONCE, "batch.size": "1000"}) as producer:
        producer.send("t", [b"x" * 100] * 200)
    assert sum(bool(read(cluster, partition)) for partition in range(10)) > 2


def test_deliveries_tell_where_the_records_are(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", partitions=2, configs={"internal.segment.bytes": "2000"})
    sender = Sender(cluster, batch_size="300")
    values = [b"%d" % number * 20 for number in range(300)]
    sender.producer.send("t", values, partitions=[number % 2 for number in range(300)])
    told: dict[int, int] = {0: 0, 1: 0}
    for delivery in sender.delivered:
        assert delivery.topic == "t"
        assert delivery.base_offset == told[delivery.partition]
        told[delivery.partition] += delivery.record_count
    assert told == {0: 150, 1: 150}
    for partition in (0, 1):
        assert [row.value for row in read(cluster, partition)] == values[partition::2]
    sender.producer.close()


def test_without_a_listener_the_first_failure_is_raised(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t")
    with cluster.producer({**AT_ONCE, "max.request.size": "500"}) as producer:
        with pytest.raises(RecordTooLargeError):
            producer.send("t", [b"a", b"x" * 900])
        producer.send("t", [b"b"])
        assert producer.failed == 1
    assert [row.value for row in read(cluster)][-1] == b"b"


@pytest.mark.parametrize("name", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_topics_compression_wins_over_the_producers(cluster: EmbeddedCluster, name: str) -> None:
    cluster.admin().create_topic("t", configs={"compression.type": "uncompressed" if name == "none" else name})
    with cluster.producer({**AT_ONCE, "compression.type": "gzip"}) as producer:
        producer.send("t", [b"text" * 50] * 20)
    log = next(Path(cluster.directory).glob("brokers/0/t-0/*.log")).read_bytes()
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    assert {codecs[batch.header.codec] for batch in split_batches(log)} == {name}
    assert [row.value for row in read(cluster)] == [b"text" * 50] * 20


@pytest.mark.parametrize("how", ["keys", "plain"])
def test_interrupted_anywhere_a_producer_can_go_on(
    cluster: EmbeddedCluster, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in any verb of the disk: the lock is let go, nothing half done is seen, and the next send works."""
    cluster.admin().create_topic("t", configs={"internal.segment.bytes": "300"})
    disk = cluster.engine.disk
    sent: list[bytes] = []
    with cluster.producer(
        AT_ONCE, on_delivery=lambda delivery: sent.extend(values[: delivery.record_count])
    ) as producer:
        for number in range(160):
            values = [b"%d" % number * 30]
            countdown = [number % 40]

            def interrupted(*arguments: object, verb: object, countdown: list[int] = countdown) -> object:
                if countdown[0] == 0:
                    countdown[0] = -1
                    raise KeyboardInterrupt
                countdown[0] -= 1
                return verb(*arguments)  # type: ignore[operator]

            with monkeypatch.context() as patch:
                for name in ("write_at", "truncate", "sync", "open", "read_at"):
                    verb = getattr(disk, name)
                    patch.setattr(disk, name, lambda *rest, verb=verb, stop=interrupted: stop(*rest, verb=verb))
                with suppress(KeyboardInterrupt):
                    producer.send("t", values, keys=[b"k"] if how == "keys" else None)
            found = [row.value for row in read(cluster)]
            if found != sent:  # published, and interrupted before it was told of
                assert found == [*sent, values[0]]
                sent.append(values[0])
        values = [b"last"]
        producer.send("t", values)
    assert [row.value for row in read(cluster)] == sent
    assert len(sent) > 40


def test_every_error_is_one_line(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("t", configs={"max.message.bytes": "100"})
    sender = Sender(cluster)
    sender.producer.send("t", [b"x" * 500])
    (failure,) = sender.failed
    assert isinstance(failure.error, StoreError)
    assert "\n" not in str(failure.error)
    sender.producer.close()
